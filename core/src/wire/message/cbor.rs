//! The CBOR (RFC 8949) of broker messages: items, fields of maps, and skipping what is not known.
//!
//! Every device has this, so it is small: one function reads all heads, none is generic over what
//! is read. Taken are heads longer than need be and maps of indefinite length; written are neither.

use alloc::vec::Vec;

use super::MessageError;
use crate::wire::cbor::{ARRAY, BYTES, MAP, NEGATIVE, SIMPLE, TAG, TEXT, UNSIGNED, write_head};
use crate::wire::codec::{Reader, Truncated};

/// Ends what is of indefinite length.
const BREAK: u8 = 0xff;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;

impl From<Truncated> for MessageError {
    fn from(_: Truncated) -> Self {
        MessageError::Malformed
    }
}

/// What every item begins with (RFC 8949 §3).
struct Head {
    major: u8,
    /// The value, length or count; `None`: indefinite, or the break.
    argument: Option<u64>,
}

impl Head {
    fn is_break(&self) -> bool {
        self.major == SIMPLE && self.argument.is_none()
    }
}

/// How many items of a list or a map are to come; `None`: until the break.
pub(super) struct Items(Option<u64>);

impl Items {
    /// Whether they are exactly so many.
    pub(super) fn are(&self, count: u64) -> bool {
        self.0 == Some(count)
    }

    pub(super) fn is_indefinite(&self) -> bool {
        self.0.is_none()
    }
}

/// Goes through the fields of a map.
pub(super) struct Fields {
    items: Items,
    /// Bit by bit, keys that must come yet.
    missing: u16,
    known: u8,
}

impl Fields {
    /// The key of the next field that is known, whose value is to be read next.
    pub(super) fn next_key(&mut self, d: &mut Decoder<'_>) -> Result<Option<u8>, MessageError> {
        while d.has_next(&mut self.items)? {
            let key = d.key()?;
            if key < self.known {
                self.missing &= !(1 << key);
                return Ok(Some(key));
            }
            d.skip()?;
        }
        if self.missing == 0 { Ok(None) } else { Err(MessageError::Malformed) }
    }
}

/// Reads items, front to back.
pub(super) struct Decoder<'a>(Reader<'a>);

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Decoder(Reader::new(bytes))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn head(&mut self) -> Result<Head, MessageError> {
        let first = self.0.u8()?;
        let argument = match first & 0x1f {
            small @ 0..=23 => Some(u64::from(small)),
            info @ 24..=27 => {
                let bytes = self.0.bytes(1 << (info - 24))?;
                Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
            }
            31 => None,
            _ => return Err(MessageError::Malformed),
        };
        Ok(Head { major: first >> 5, argument })
    }

    /// The argument of an item of this type.
    fn argument(&mut self, major: u8) -> Result<u64, MessageError> {
        match self.head()? {
            Head { major: is, argument: Some(argument) } if is == major => Ok(argument),
            _ => Err(MessageError::Malformed),
        }
    }

    pub(super) fn u64(&mut self) -> Result<u64, MessageError> {
        self.argument(UNSIGNED)
    }

    pub(super) fn u32(&mut self) -> Result<u32, MessageError> {
        self.u64()?.try_into().map_err(|_too_large| MessageError::Malformed)
    }

    pub(super) fn u16(&mut self) -> Result<u16, MessageError> {
        self.u32()?.try_into().map_err(|_too_large| MessageError::Malformed)
    }

    pub(super) fn u8(&mut self) -> Result<u8, MessageError> {
        self.u32()?.try_into().map_err(|_too_large| MessageError::Malformed)
    }

    pub(super) fn bool(&mut self) -> Result<bool, MessageError> {
        match self.0.u8()? {
            FALSE => Ok(false),
            TRUE => Ok(true),
            _ => Err(MessageError::Malformed),
        }
    }

    /// A byte string of the length of `out`.
    pub(super) fn bytes(&mut self, out: &mut [u8]) -> Result<(), MessageError> {
        if self.argument(BYTES)? != out.len() as u64 {
            return Err(MessageError::Malformed);
        }
        out.copy_from_slice(self.0.bytes(out.len())?);
        Ok(())
    }

    /// A byte string of any length.
    pub(super) fn byte_string(&mut self) -> Result<&'a [u8], MessageError> {
        let len = self.argument(BYTES)?;
        self.string(len)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, MessageError> {
        let len = self.argument(TEXT)?;
        core::str::from_utf8(self.string(len)?).map_err(|_not_utf8| MessageError::Malformed)
    }

    fn string(&mut self, len: u64) -> Result<&'a [u8], MessageError> {
        let len = usize::try_from(len).map_err(|_too_long| MessageError::Malformed)?;
        Ok(self.0.bytes(len)?)
    }

    pub(super) fn array(&mut self) -> Result<Items, MessageError> {
        self.items(ARRAY)
    }

    fn items(&mut self, major: u8) -> Result<Items, MessageError> {
        let head = self.head()?;
        if head.major == major { Ok(Items(head.argument)) } else { Err(MessageError::Malformed) }
    }

    /// Whether there is another item; takes the break.
    pub(super) fn has_next(&mut self, items: &mut Items) -> Result<bool, MessageError> {
        match &mut items.0 {
            None if self.0.peek() == Some(BREAK) => {
                self.0.u8()?;
                Ok(false)
            }
            Some(0) => Ok(false),
            None => Ok(true),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
        }
    }

    /// The fields of a map whose keys below `known` this version knows; those below `required`
    /// must be there.
    pub(super) fn fields(&mut self, required: u8, known: u8) -> Result<Fields, MessageError> {
        let items = self.items(MAP)?;
        Ok(Fields { items, missing: (1 << required) - 1, known })
    }

    /// A field's key; those that no version knows are all the same.
    fn key(&mut self) -> Result<u8, MessageError> {
        let Head { major, argument: Some(argument) } = self.head()? else {
            return Err(MessageError::Malformed);
        };
        match major {
            UNSIGNED | NEGATIVE if argument > i64::MAX as u64 => Err(MessageError::Malformed),
            UNSIGNED => Ok(argument.try_into().unwrap_or(u8::MAX)),
            NEGATIVE => Ok(u8::MAX),
            _ => Err(MessageError::Malformed),
        }
    }

    /// Skips an item of any type, with all that is in it.
    pub(super) fn skip(&mut self) -> Result<(), MessageError> {
        // Items to come; within one of indefinite length those to come before it may end.
        let mut left = 1usize;
        // For each of indefinite length that has begun: items to come behind it.
        let mut behind: Vec<u16> = Vec::new();
        while left > 0 || !behind.is_empty() {
            // Each takes a byte at least, as does each break.
            if left + behind.len() > self.0.remaining() {
                return Err(MessageError::Malformed);
            }
            let head = self.head()?;
            if left == 0 && head.is_break() {
                left = behind.pop().map_or(0, usize::from);
                continue;
            }
            left = left.saturating_sub(1);
            if let Head { major: ARRAY | MAP, argument: None } = head {
                behind.push(left as u16);
                left = 0;
            } else {
                left += self.skip_behind(&head)?;
            }
        }
        Ok(())
    }

    /// Skips the bytes of what begins with `head`, and says how many items are in it.
    fn skip_behind(&mut self, head: &Head) -> Result<usize, MessageError> {
        let Head { major, argument } = *head;
        match (major, argument) {
            (BYTES | TEXT, Some(len)) => self.skip_string(major, len).map(|()| 0),
            (BYTES | TEXT, None) => loop {
                match self.head()? {
                    chunk if chunk.is_break() => return Ok(0),
                    Head { major: of, argument: Some(len) } if of == major => {
                        self.skip_string(major, len)?;
                    }
                    _ => return Err(MessageError::Malformed),
                }
            },
            (ARRAY | MAP, Some(count)) => {
                let count = u16::try_from(count).map_err(|_too_many| MessageError::Malformed)?;
                Ok(usize::from(count) << (major - ARRAY))
            }
            (TAG, Some(_)) => Ok(1),
            (_, Some(_)) => Ok(0),
            (_, None) => Err(MessageError::Malformed),
        }
    }

    fn skip_string(&mut self, major: u8, len: u64) -> Result<(), MessageError> {
        let string = self.string(len)?;
        if major == TEXT && core::str::from_utf8(string).is_err() {
            return Err(MessageError::Malformed);
        }
        Ok(())
    }
}

/// Appends items.
pub(super) struct Encoder<'a>(&'a mut Vec<u8>);

impl<'a> Encoder<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Encoder(out)
    }

    fn head(&mut self, major: u8, argument: u64) -> &mut Self {
        write_head(self.0, major, argument);
        self
    }

    pub(super) fn uint(&mut self, value: impl Into<u64>) -> &mut Self {
        self.head(UNSIGNED, value.into())
    }

    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.0.push(if value { TRUE } else { FALSE });
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(BYTES, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.head(TEXT, text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Of so many items, which follow.
    pub(super) fn array(&mut self, len: usize) -> &mut Self {
        self.head(ARRAY, len as u64)
    }

    /// Of so many fields; their keys and values follow.
    pub(super) fn map(&mut self, len: usize) -> &mut Self {
        self.head(MAP, len as u64)
    }

    /// The key of a field.
    pub(super) fn key(&mut self, key: u8) -> &mut Self {
        self.head(UNSIGNED, key.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    /// What is skipped of `bytes`.
    fn skipped(bytes: &[u8]) -> Result<usize, MessageError> {
        let mut d = Decoder::new(bytes);
        d.skip().map(|()| bytes.len() - d.0.remaining())
    }

    #[test]
    fn heads_are_as_long_as_need_be() {
        for (value, len) in [
            (0, 1),
            (23, 1),
            (24, 2),
            (0xff, 2),
            (0x100, 3),
            (0xffff, 3),
            (0x1_0000, 5),
            (u32::MAX.into(), 5),
            (1 << 32, 9),
            (u64::MAX, 9),
        ] {
            let mut bytes = Vec::new();
            Encoder::new(&mut bytes).uint(value);
            assert_eq!(bytes.len(), len);
            assert_eq!(bytes, minicbor::to_vec(value).unwrap());
            assert_eq!(Decoder::new(&bytes).u64(), Ok(value));
            let is = |fits: bool| if fits { Ok(value) } else { Err(MessageError::Malformed) };
            assert_eq!(Decoder::new(&bytes).u32().map(u64::from), is(value <= u32::MAX.into()));
            assert_eq!(Decoder::new(&bytes).u16().map(u64::from), is(value <= u16::MAX.into()));
            assert_eq!(Decoder::new(&bytes).u8().map(u64::from), is(value <= u8::MAX.into()));
        }
    }

    #[test]
    fn heads_may_be_longer() {
        for bytes in [&[7][..], &[0x18, 7], &[0x19, 0, 7], &[0x1a, 0, 0, 0, 7]] {
            assert_eq!(Decoder::new(bytes).u8(), Ok(7));
        }
        assert_eq!(Decoder::new(&[0x1b, 0, 0, 0, 0, 0, 0, 0, 7]).u8(), Ok(7));
        for reserved in 0x1c..=0x1f {
            assert_eq!(Decoder::new(&[reserved, 0]).u8(), Err(MessageError::Malformed));
        }
    }

    #[test]
    fn maps_may_be_indefinite() {
        let read = |bytes: &[u8]| {
            let mut d = Decoder::new(bytes);
            let (mut fields, mut sum) = (d.fields(2, 3)?, 0);
            while let Some(key) = fields.next_key(&mut d)? {
                sum = 10 * sum + 3 * u32::from(key) + d.u32()?;
            }
            Ok((sum, d.0.remaining()))
        };
        assert_eq!(read(&[0xa2, 0, 5, 1, 1, 0]), Ok((54, 1)));
        assert_eq!(read(&[0xbf, 1, 1, 0, 5, 0xff, 0]), Ok((45, 1)));
        assert_eq!(read(&[0xa4, 0, 5, 1, 1, 2, 3, 0x20, 0x80]), Ok((549, 0)), "all, and another");
        assert_eq!(read(&[0xa3, 0, 5, 0, 5, 1, 1]), Ok((554, 0)), "the same twice");
        let past_known = [0xa4, 0, 5, 1, 1, 3, 0xf6, 0x19, 0xff, 0xff, 0x60];
        assert_eq!(read(&past_known), Ok((54, 0)));
        for bad in [
            &[0xa2, 0, 5, 2, 1][..],
            &[0xa3, 0, 5, 1, 1, 0x60, 0],
            &[0xa3, 0, 5, 1, 1, 0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xa3, 0, 5, 1, 1],
            &[0xbf, 0, 5, 1, 1],
            &[0xbf, 0, 5, 1, 0xff],
            &[0x82, 0, 5, 1, 1],
        ] {
            assert_eq!(read(bad), Err(MessageError::Malformed), "{bad:02x?}");
        }
    }

    #[test]
    fn what_is_no_item_is_not_skipped() {
        for bytes in [
            &[][..],
            &[0xff],
            &[0x1c],
            &[0x1f],
            &[0x3f],
            &[0xdf],
            &[0xc1],
            &[0x82, 1, 0xff],
            &[0x9f, 1],
            &[0x9f, 0x82, 1, 0xff, 0xff],
            &[0x9f, 0xc1, 0xff],
            &[0x5f, 0x61, b'a', 0xff],
            &[0x5f, 0x5f, 0xff, 0xff],
            &[0x7f, 0x61, 0xff, 0xff],
            &[0x61, 0xff],
            &[0x42, 1],
            &[0x5b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xbb, 128, 0, 0, 0, 0, 0, 0, 0],
            &[0xb9, 255, 255],
        ] {
            assert_eq!(skipped(bytes), Err(MessageError::Malformed), "{bytes:02x?}");
        }
    }

    #[test]
    fn depth_has_no_limit() {
        for (begin, end) in [(&[0x81][..], &[][..]), (&[0xc1], &[]), (&[0x9f], &[0xff])] {
            let deep = [begin.repeat(2000), vec![0], end.repeat(2000)].concat();
            assert_eq!(skipped(&deep), Ok(deep.len()));
            assert_eq!(skipped(&deep[..deep.len() - 1]), Err(MessageError::Malformed));
        }
    }

    fn head(major: u8, argument: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes).head(major, argument);
        bytes
    }

    fn string(major: u8, len: u8) -> Vec<u8> {
        [head(major, len.into()), vec![b'a'; len.into()]].concat()
    }

    /// A list or a map of `items`.
    fn all(major: u8, items: &[Vec<u8>], count: Option<usize>) -> Vec<u8> {
        let begin = count.map_or(vec![major << 5 | 31], |count| head(major, count as u64));
        let end = if count.is_none() { &[BREAK][..] } else { &[] };
        [&begin, &*items.concat(), end].concat()
    }

    /// Well-formed items.
    fn item() -> impl Strategy<Value = Vec<u8>> {
        let flat = prop_oneof![
            (prop::sample::select(vec![UNSIGNED, NEGATIVE]), any::<u64>())
                .prop_map(|(major, argument)| head(major, argument)),
            (prop::sample::select(vec![BYTES, TEXT]), any::<u8>())
                .prop_map(|(major, len)| string(major, len)),
            (prop::sample::select(vec![BYTES, TEXT]), prop::collection::vec(any::<u8>(), 0..3))
                .prop_map(|(major, lens)| {
                    let chunks: Vec<_> = lens.iter().map(|len| string(major, *len)).collect();
                    all(major, &chunks, None)
                }),
            prop::sample::select(vec![
                vec![FALSE],
                vec![0xf6],
                vec![0xf8, 99],
                vec![0xf9, 0, 0],
                vec![0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
            ]),
        ];
        flat.prop_recursive(6, 40, 5, |inner| {
            let items = prop::collection::vec(inner.clone(), 0..5);
            let pair =
                (inner.clone(), inner.clone()).prop_map(|(key, value)| [key, value].concat());
            let pairs = prop::collection::vec(pair, 0..3);
            prop_oneof![
                (any::<u64>(), inner).prop_map(|(tag, item)| [head(TAG, tag), item].concat()),
                (items, any::<bool>()).prop_map(|(items, ends)| all(
                    ARRAY,
                    &items,
                    (!ends).then_some(items.len())
                )),
                (pairs, any::<bool>()).prop_map(|(pairs, ends)| all(
                    MAP,
                    &pairs,
                    (!ends).then_some(pairs.len())
                )),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_well_formed_is_skipped(item in item()) {
            let mut bytes = item.clone();
            bytes.extend([0; 9]);
            prop_assert_eq!(skipped(&bytes), Ok(item.len()));
            for len in 0..item.len() {
                prop_assert_eq!(skipped(&item[..len]), Err(MessageError::Malformed));
            }
        }

        /// What is skipped, another decoder skips as well, and no further.
        #[test]
        fn nothing_more_is_skipped(
            mut bytes in prop_oneof![item(), prop::collection::vec(any::<u8>(), 0..40)],
            at: prop::sample::Index,
            byte: u8,
        ) {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(len) = skipped(&bytes) {
                let mut other = minicbor::Decoder::new(&bytes);
                prop_assert!(other.skip().is_ok());
                prop_assert_eq!(other.position(), len);
            }
        }
    }
}
