//! CBOR in the one encoding that RFC 8949 §4.2.1 calls deterministic, and no other.
//!
//! Owns reading and writing single items. What is read stays where it is, nothing is skipped, and
//! so nothing recurses. A map is read key by key: [`Keys`] sees to their order.

use alloc::vec::Vec;

use crate::wire::cbor::{
    ARRAY, BYTES, MAP, NEGATIVE, SIMPLE, TAG, TEXT, UNSIGNED, argument_len, write_head,
};
use thiserror::Error;

/// Why bytes are not the CBOR that belongs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CborError {
    /// It ends inside an item.
    #[error("the CBOR ends inside an item")]
    Truncated,
    /// Something follows its end.
    #[error("bytes follow the end of the CBOR")]
    Trailing,
    /// A number or a length takes more bytes than it needs.
    #[error("the CBOR has a number that is not in its shortest form")]
    NotShortest,
    /// An item has no length.
    #[error("the CBOR has an item of indefinite length")]
    Indefinite,
    /// An item is of another type than belongs there, or of none.
    #[error("the CBOR has an item of a type that does not belong there")]
    Type,
    /// A list has more or fewer items than belong there.
    #[error("the CBOR has a list of a length that does not belong there")]
    Count,
    /// A map has a key twice.
    #[error("the CBOR has a map with a key that stands twice")]
    DuplicateKey,
    /// The keys of a map are not in order.
    #[error("the CBOR has a map whose keys are out of order")]
    KeyOrder,
}

const FALSE: u64 = 20;
const TRUE: u64 = 21;
const NULL: u64 = 22;

/// Reads items, front to back.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Reader { data }
    }

    /// What was read since `start`, a copy made before.
    pub(super) fn since(&self, start: &Reader<'a>) -> &'a [u8] {
        let len = start.data.len().saturating_sub(self.data.len());
        start.data.get(..len).unwrap_or_default()
    }

    /// All that is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.data
    }

    /// Nothing must be left.
    pub(super) fn end(&self) -> Result<(), CborError> {
        if self.data.is_empty() { Ok(()) } else { Err(CborError::Trailing) }
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8], CborError> {
        let n = usize::try_from(n).map_err(|_| CborError::Truncated)?;
        let (head, tail) = self.data.split_at_checked(n).ok_or(CborError::Truncated)?;
        self.data = tail;
        Ok(head)
    }

    /// Major type and argument (RFC 8949 §3).
    fn head(&mut self) -> Result<(u8, u64), CborError> {
        const INDEFINITE: u8 = 31;
        let first = self.take(1)?.first().copied().unwrap_or_default();
        let (major, info) = (first >> 5, first & 0x1f);
        let len = match info {
            0..=23 => return Ok((major, u64::from(info))),
            // Floats, and simple values that belong nowhere.
            24..=27 if major == SIMPLE => return Err(CborError::Type),
            24..=27 => 1u64 << (info - 24),
            INDEFINITE => return Err(CborError::Indefinite),
            _ => return Err(CborError::Type),
        };
        let value = self.take(len)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        if len != argument_len(value) as u64 {
            return Err(CborError::NotShortest);
        }
        Ok((major, value))
    }

    fn of(&mut self, major: u8) -> Result<u64, CborError> {
        match self.head()? {
            (found, value) if found == major => Ok(value),
            _ => Err(CborError::Type),
        }
    }

    pub(super) fn uint(&mut self) -> Result<u64, CborError> {
        self.of(UNSIGNED)
    }

    /// A number of either sign: whether it is negative, and the argument, which is -1 - n then.
    fn int(&mut self) -> Result<(bool, u64), CborError> {
        match self.head()? {
            (UNSIGNED, value) => Ok((false, value)),
            (NEGATIVE, value) => Ok((true, value)),
            _ => Err(CborError::Type),
        }
    }

    /// A negative number of small size, or a positive one.
    pub(super) fn small_int(&mut self) -> Result<Option<i8>, CborError> {
        let (is_negative, value) = self.int()?;
        let value = i8::try_from(value).ok();
        Ok(value.map(|value| if is_negative { -1 - value } else { value }))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.of(BYTES)?;
        self.take(len)
    }

    /// Bytes of which there must be `N`: `None` if there are others.
    pub(super) fn sized<const N: usize>(&mut self) -> Result<Option<[u8; N]>, CborError> {
        self.bytes().map(|bytes| bytes.try_into().ok())
    }

    /// A text, which nobody has yet found to be UTF-8.
    pub(super) fn text(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.of(TEXT)?;
        self.take(len)
    }

    /// How many items follow.
    pub(super) fn array(&mut self) -> Result<u64, CborError> {
        self.of(ARRAY)
    }

    /// An array of exactly `n` items follows.
    pub(super) fn array_of(&mut self, n: u64) -> Result<(), CborError> {
        if self.array()? == n { Ok(()) } else { Err(CborError::Count) }
    }

    /// How many pairs follow.
    pub(super) fn map(&mut self) -> Result<u64, CborError> {
        self.of(MAP)
    }

    pub(super) fn tag(&mut self) -> Result<u64, CborError> {
        self.of(TAG)
    }

    pub(super) fn bool(&mut self) -> Result<bool, CborError> {
        match self.head()? {
            (SIMPLE, FALSE) => Ok(false),
            (SIMPLE, TRUE) => Ok(true),
            _ => Err(CborError::Type),
        }
    }

    /// Takes a null if one is next.
    pub(super) fn null(&mut self) -> bool {
        let mut ahead = self.clone();
        let is_null = ahead.head() == Ok((SIMPLE, NULL));
        if is_null {
            *self = ahead;
        }
        is_null
    }
}

/// The keys of one map, all of them numbers: in order, none twice.
#[derive(Default)]
pub(super) struct Keys {
    last: Option<(bool, u64)>,
}

impl Keys {
    /// The next key; `None`: a negative one, of which we know none.
    pub(super) fn next(&mut self, r: &mut Reader<'_>) -> Result<Option<u64>, CborError> {
        // Bytewise order is this order, as each number is in its shortest form.
        let key = r.int()?;
        match self.last.replace(key) {
            Some(last) if last == key => Err(CborError::DuplicateKey),
            Some(last) if last > key => Err(CborError::KeyOrder),
            _ => Ok((!key.0).then_some(key.1)),
        }
    }
}

/// Writes items, one behind the other.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) out: Vec<u8>,
}

impl Writer {
    fn head(&mut self, major: u8, value: u64) -> &mut Self {
        write_head(&mut self.out, major, value);
        self
    }

    pub(super) fn uint(&mut self, value: u64) -> &mut Self {
        self.head(UNSIGNED, value)
    }

    pub(super) fn small_int(&mut self, value: i8) -> &mut Self {
        match u64::try_from(value) {
            Ok(value) => self.uint(value),
            Err(_) => self.head(NEGATIVE, u64::from((-1 - value).unsigned_abs())),
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(BYTES, bytes.len() as u64).raw(bytes)
    }

    pub(super) fn text(&mut self, text: &[u8]) -> &mut Self {
        self.head(TEXT, text.len() as u64).raw(text)
    }

    pub(super) fn array(&mut self, items: usize) -> &mut Self {
        self.head(ARRAY, items as u64)
    }

    pub(super) fn map(&mut self, pairs: usize) -> &mut Self {
        self.head(MAP, pairs as u64)
    }

    pub(super) fn tag(&mut self, tag: u64) -> &mut Self {
        self.head(TAG, tag)
    }

    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.head(SIMPLE, if value { TRUE } else { FALSE })
    }

    /// Items that are encoded already.
    pub(super) fn raw(&mut self, items: &[u8]) -> &mut Self {
        self.out.extend_from_slice(items);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_of_rfc_8949_appendix_a() {
        for (value, text) in [
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (100, "1864"),
            (1000, "1903e8"),
            (1_000_000, "1a000f4240"),
            (1_000_000_000_000, "1b000000e8d4a51000"),
            (u64::MAX, "1bffffffffffffffff"),
        ] {
            let mut w = Writer::default();
            w.uint(value);
            assert_eq!(w.out, hex(text));
            let bytes = w.out;
            assert_eq!(Reader::new(&bytes).uint(), Ok(value));
            for len in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..len]).uint(), Err(CborError::Truncated));
            }
        }
    }

    #[test]
    fn other_encodings_are_refused() {
        for text in ["1817", "1900ff", "1a0000ffff", "1b00000000ffffffff", "5803010203"] {
            assert_eq!(Reader::new(&hex(text)).head(), Err(CborError::NotShortest), "{text}");
        }
        for text in ["5f", "7f", "9f", "bf", "ff"] {
            assert_eq!(Reader::new(&hex(text)).head(), Err(CborError::Indefinite), "{text}");
        }
        for text in ["1c", "5d", "fe", "fb3ff0000000000000", "f6", "40"] {
            assert_eq!(Reader::new(&hex(text)).uint(), Err(CborError::Type), "{text}");
        }
        assert_eq!(Reader::new(&hex("f814")).bool(), Err(CborError::Type), "not well-formed");
    }

    #[test]
    fn keys_come_in_order_and_once() {
        let keys = |text| {
            let (bytes, mut keys) = (hex(text), Keys::default());
            let mut r = Reader::new(&bytes);
            while r.end().is_err() {
                keys.next(&mut r)?;
            }
            Ok(())
        };
        assert_eq!(keys("01031818203a00010000"), Ok(()));
        assert_eq!(keys("0101"), Err(CborError::DuplicateKey));
        assert_eq!(keys("0301"), Err(CborError::KeyOrder));
        assert_eq!(keys("2003"), Err(CborError::KeyOrder));
        assert_eq!(keys("2020"), Err(CborError::DuplicateKey));
        assert_eq!(keys("6161"), Err(CborError::Type));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(uint: u64, small: i8, bytes: Vec<u8>, flag: bool) {
            let mut w = Writer::default();
            w.tag(uint).array(6).uint(uint).small_int(small).bytes(&bytes).text(b"t").bool(flag);
            w.raw(&[0xf6]).map(0);
            let mut r = Reader::new(&w.out);
            prop_assert_eq!(r.tag(), Ok(uint));
            prop_assert_eq!(r.array_of(6), Ok(()));
            prop_assert_eq!(r.uint(), Ok(uint));
            prop_assert_eq!(r.small_int(), Ok(Some(small)));
            prop_assert_eq!(r.bytes(), Ok(&bytes[..]));
            prop_assert_eq!(r.text(), Ok(&b"t"[..]));
            prop_assert!(!r.null());
            prop_assert_eq!(r.bool(), Ok(flag));
            prop_assert!(r.null());
            prop_assert_eq!(r.map(), Ok(0));
            prop_assert_eq!(r.end(), Ok(()));
        }
    }
}
