//! Reading and writing integers and byte strings; varints of RFC 9000 §16.

use thiserror::Error;

/// The largest number a varint carries.
pub const VARINT_MAX: u64 = (1 << 62) - 1;

/// The bytes end before the value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes end before the value does")]
pub struct Truncated;

/// The value does not fit into the room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the value does not fit into the room left")]
pub struct Full;

/// Why bytes are not a frame: FRAME_ENCODING_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Ends inside a field.
    #[error("the frame ends inside a field")]
    Truncated,
    /// Not a type of this version.
    #[error("unknown frame type {0:#x}")]
    Type(u64),
    /// A field outside its range.
    #[error("a frame field is out of range")]
    Range,
}

impl From<Truncated> for FrameError {
    fn from(_: Truncated) -> Self {
        FrameError::Truncated
    }
}

/// Reads from a byte slice, front to back.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `data` from its start.
    pub fn new(data: &'a [u8]) -> Self {
        Reader { data }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.data.len()
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], Truncated> {
        let (head, tail) = self.data.split_at_checked(n).ok_or(Truncated)?;
        self.data = tail;
        Ok(head)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.data)
    }

    /// The next byte without taking it.
    pub fn peek(&self) -> Option<u8> {
        self.data.first().copied()
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, tail) = self.data.split_first_chunk::<N>().ok_or(Truncated)?;
        self.data = tail;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Truncated> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self) -> Result<u16, Truncated> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self) -> Result<u32, Truncated> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self) -> Result<u64, Truncated> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A variable-length integer.
    pub fn varint(&mut self) -> Result<u64, Truncated> {
        let first = self.peek().ok_or(Truncated)?;
        let len = 1usize << (first >> 6);
        let mut value = u64::from(first & 0x3f);
        for byte in &self.bytes(len)?[1..] {
            value = (value << 8) | u64::from(*byte);
        }
        Ok(value)
    }

    /// A varint length and as many bytes.
    pub fn var_bytes(&mut self) -> Result<&'a [u8], Truncated> {
        let len = usize::try_from(self.varint()?).map_err(|_| Truncated)?;
        self.bytes(len)
    }
}

/// Writes into a byte slice, front to back.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// Writes `buf` from its start.
    pub fn new(buf: &'a mut [u8]) -> Self {
        Writer { buf, at: 0 }
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.at
    }

    /// Whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// Room left.
    pub fn remaining(&self) -> usize {
        self.buf.len() - self.at
    }

    /// Takes the next `n` bytes to be filled by the caller.
    pub fn take(&mut self, n: usize) -> Result<&mut [u8], Full> {
        let end = self.at.checked_add(n).ok_or(Full)?;
        let out = self.buf.get_mut(self.at..end).ok_or(Full)?;
        self.at = end;
        Ok(out)
    }

    /// Copies `bytes`.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.take(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// One byte.
    pub fn u8(&mut self, v: u8) -> Result<(), Full> {
        self.bytes(&[v])
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, v: u16) -> Result<(), Full> {
        self.bytes(&v.to_be_bytes())
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, v: u32) -> Result<(), Full> {
        self.bytes(&v.to_be_bytes())
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, v: u64) -> Result<(), Full> {
        self.bytes(&v.to_be_bytes())
    }

    /// A variable-length integer in its shortest form; values above [`VARINT_MAX`] do not fit.
    pub fn varint(&mut self, v: u64) -> Result<(), Full> {
        match varint_len(v) {
            1 => self.u8(v as u8),
            2 => self.u16(v as u16 | 0x4000),
            4 => self.u32(v as u32 | 0x8000_0000),
            _ if v <= VARINT_MAX => self.u64(v | 0xc000_0000_0000_0000),
            _ => Err(Full),
        }
    }

    /// A varint length and the bytes.
    pub fn var_bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.varint(bytes.len() as u64)?;
        self.bytes(bytes)
    }
}

/// Bytes that [`Writer::varint`] takes for `v`.
#[cfg_attr(feature = "compact", inline(never))]
pub const fn varint_len(v: u64) -> usize {
    match v {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_rfc9000_appendix_a1() {
        let cases: [(&[u8], u64); 4] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ];
        for (bytes, value) in cases {
            assert_eq!(Reader::new(bytes).varint(), Ok(value));
            let mut buf = [0; 8];
            let mut w = Writer::new(&mut buf);
            w.varint(value).unwrap();
            let len = w.len();
            assert_eq!(&buf[..len], bytes);
            for cut in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..cut]).varint(), Err(Truncated));
            }
        }
    }

    #[test]
    fn writer_refuses_what_does_not_fit() {
        let mut buf = [0; 3];
        let mut w = Writer::new(&mut buf);
        assert_eq!(w.u32(1), Err(Full));
        assert_eq!(w.u16(1), Ok(()));
        assert_eq!(w.varint(64), Err(Full));
        assert_eq!(w.varint(63), Ok(()));
        let mut buf = [0; 8];
        assert_eq!(Writer::new(&mut buf).varint(VARINT_MAX + 1), Err(Full));
        assert_eq!(Writer::new(&mut buf).varint(VARINT_MAX), Ok(()));
    }
}
