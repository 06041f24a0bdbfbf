//! Packet headers: the contact packet (long header, handshake) and the 1-RTT packet (short header).
//!
//! Layout is RFC 9000 §17 with one long type and our version; a first contact packet's destination
//! is contact ID (8) ‖ nonce (8). Knows where header protection applies, not how.

use super::VERSION;
use super::cid::{Cid, LOCAL_CID_LEN, MAX_CID_LEN};
use super::codec::{Full, Reader, Truncated, Writer};
use thiserror::Error;

/// AEAD tag length of both suites.
pub const TAG_LEN: usize = 16;
/// Bytes sampled for header protection (RFC 9001 §5.4.2).
pub const SAMPLE_LEN: usize = 16;
/// Length of a first contact packet's destination: contact ID and nonce.
pub const FIRST_DCID_LEN: usize = 16;

const FORM_LONG: u8 = 0x80;
const FIXED: u8 = 0x40;
const TYPE_MASK: u8 = 0x30;
const LONG_RESERVED: u8 = 0x0c;
const SHORT_RESERVED: u8 = 0x18;
const KEY_PHASE: u8 = 0x04;

/// Why bytes are no packet of ours. Such a datagram is dropped without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PacketError {
    /// Ends inside the header, or is too short to hold a header protection sample.
    #[error("the packet ends inside its header")]
    Truncated,
    /// The fixed bit is zero.
    #[error("the fixed bit is not set")]
    NotFixed,
    /// Another protocol version.
    #[error("unknown version")]
    Version,
    /// A long header type that version 1 does not have.
    #[error("unknown long header type")]
    Type,
    /// A connection ID of more than 20 bytes.
    #[error("connection ID too long")]
    CidLength,
}

impl From<Truncated> for PacketError {
    fn from(_: Truncated) -> Self {
        PacketError::Truncated
    }
}

/// What the unprotected part of a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender's connection ID in a contact packet; `None` in a 1-RTT packet.
    pub scid: Option<Cid>,
    /// Where the packet goes.
    pub dcid: Cid,
    /// Offset of the packet number in the packet.
    pub pn_offset: usize,
    /// Bytes of this packet; what follows in the datagram is another one.
    pub len: usize,
}

impl Header {
    /// Reads the header at the start of `datagram` (RFC 9000 §12.2: packets may be coalesced).
    pub fn parse(datagram: &[u8]) -> Result<Header, PacketError> {
        let mut r = Reader::new(datagram);
        let first = r.u8()?;
        if first & FIXED == 0 {
            return Err(PacketError::NotFixed);
        }
        let header = if first & FORM_LONG != 0 {
            Self::parse_long(first, &mut r, datagram.len())?
        } else {
            let dcid = Cid::local(r.array()?);
            Header { scid: None, dcid, pn_offset: 1 + LOCAL_CID_LEN, len: datagram.len() }
        };
        if header.len < header.pn_offset + 4 + SAMPLE_LEN {
            return Err(PacketError::Truncated);
        }
        Ok(header)
    }

    fn parse_long(first: u8, r: &mut Reader<'_>, total: usize) -> Result<Header, PacketError> {
        if r.u32()? != VERSION {
            return Err(PacketError::Version);
        }
        if first & TYPE_MASK != 0 {
            return Err(PacketError::Type);
        }
        let dcid = read_cid(r)?;
        let scid = read_cid(r)?;
        r.var_bytes()?; // token: reserved for Retry
        let len = usize::try_from(r.varint()?).map_err(|_| PacketError::Truncated)?;
        let pn_offset = total - r.remaining();
        r.bytes(len)?;
        Ok(Header { scid: Some(scid), dcid, pn_offset, len: pn_offset + len })
    }

    /// Whether this is a contact packet.
    pub fn is_long(&self) -> bool {
        self.scid.is_some()
    }
}

fn read_cid(r: &mut Reader<'_>) -> Result<Cid, PacketError> {
    let len = usize::from(r.u8()?);
    if len > MAX_CID_LEN {
        return Err(PacketError::CidLength);
    }
    Cid::new(r.bytes(len)?).ok_or(PacketError::CidLength)
}

/// Writes a contact packet's header, with room for `payload_len` bytes (frames and tag) announced.
pub fn write_long(
    w: &mut Writer<'_>,
    dcid: &Cid,
    scid: &Cid,
    pn: TruncatedPn,
    payload_len: usize,
) -> Result<(), Full> {
    w.u8(FORM_LONG | FIXED | (pn.len as u8 - 1))?;
    w.u32(VERSION)?;
    w.u8(dcid.len() as u8)?;
    w.bytes(dcid.as_bytes())?;
    w.u8(scid.len() as u8)?;
    w.bytes(scid.as_bytes())?;
    w.varint(0)?;
    // Always two bytes, so that the header's length is known before the payload's.
    let len = u16::try_from(pn.len + payload_len).ok().filter(|len| *len < 0x4000).ok_or(Full)?;
    w.u16(len | 0x4000)?;
    pn.write(w)
}

/// Bytes that [`write_long`] takes before the packet number.
pub fn long_header_len(dcid: &Cid, scid: &Cid) -> usize {
    1 + 4 + 1 + dcid.len() + 1 + scid.len() + 1 + 2
}

/// Writes a 1-RTT packet's header.
pub fn write_short(
    w: &mut Writer<'_>,
    dcid: &Cid,
    pn: TruncatedPn,
    key_phase: bool,
) -> Result<(), Full> {
    w.u8(FIXED | if key_phase { KEY_PHASE } else { 0 } | (pn.len as u8 - 1))?;
    w.bytes(dcid.as_bytes())?;
    pn.write(w)
}

/// The bits of the first byte that header protection covers (RFC 9001 §5.4.1).
pub fn protected_bits(first: u8) -> u8 {
    if first & FORM_LONG != 0 { 0x0f } else { 0x1f }
}

/// Packet number length told by an unprotected first byte.
pub fn pn_len(first: u8) -> usize {
    usize::from(first & 3) + 1
}

/// Whether the reserved bits are zero, as they must be once protection is off.
pub fn reserved_bits_are_zero(first: u8) -> bool {
    first & if first & FORM_LONG != 0 { LONG_RESERVED } else { SHORT_RESERVED } == 0
}

/// Key phase told by an unprotected short header's first byte.
pub fn key_phase(first: u8) -> bool {
    first & KEY_PHASE != 0
}

/// A packet number cut to the bytes its reader needs (RFC 9000 §17.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TruncatedPn {
    /// The low bytes.
    pub value: u32,
    /// 1 to 4 bytes.
    pub len: usize,
}

impl TruncatedPn {
    /// The shortest form a peer that acknowledged `largest_acked` reads right (RFC 9000 A.2).
    pub fn new(pn: u64, largest_acked: Option<u64>) -> Self {
        let unacked = largest_acked.map_or(pn + 1, |acked| pn.saturating_sub(acked));
        let len = match unacked {
            0..=0x7f => 1,
            0x80..=0x7fff => 2,
            0x8000..=0x7f_ffff => 3,
            _ => 4,
        };
        TruncatedPn { value: pn as u32, len }
    }

    fn write(self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.bytes(&self.value.to_be_bytes()[4 - self.len..])
    }
}

/// The full packet number nearest to the one expected (RFC 9000 A.3). `expected` is the largest
/// received plus one.
pub fn expand_pn(expected: u64, truncated: u64, len: usize) -> u64 {
    let window = 1u64 << (len * 8);
    let candidate = (expected & !(window - 1)) | truncated;
    if candidate + window / 2 <= expected && candidate < (1 << 62) - window {
        candidate + window
    } else if candidate > expected + window / 2 && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_numbers_of_rfc9000_appendix_a() {
        assert_eq!(TruncatedPn::new(0xac5c02, Some(0xabe8b3)).len, 2);
        assert_eq!(TruncatedPn::new(0xace8fe, Some(0xabe8b3)).len, 3);
        assert_eq!(expand_pn(0xa82f30ea + 1, 0x9b32, 2), 0xa82f9b32);
    }

    #[test]
    fn long_header_survives_a_round_trip_and_every_cut() {
        let dcid = Cid::new(&[1; 16]).unwrap();
        let scid = Cid::local([2; 8]);
        let mut buf = [0; 200];
        let mut w = Writer::new(&mut buf);
        write_long(&mut w, &dcid, &scid, TruncatedPn::new(0, None), 60).unwrap();
        assert_eq!(w.len(), long_header_len(&dcid, &scid) + 1);
        let header = Header::parse(&buf).unwrap();
        assert_eq!((header.scid, header.dcid), (Some(scid), dcid));
        assert_eq!(header.len, header.pn_offset + 61);
        for cut in 0..header.len {
            assert_eq!(Header::parse(&buf[..cut]), Err(PacketError::Truncated), "{cut}");
        }
    }

    #[test]
    fn strangers_are_told_apart() {
        let mut bytes = [0xc0; 64];
        assert_eq!(Header::parse(&bytes), Err(PacketError::Version));
        bytes[1..5].copy_from_slice(&VERSION.to_be_bytes());
        assert_eq!(Header::parse(&bytes), Err(PacketError::CidLength));
        bytes[0] = 0xf0;
        assert_eq!(Header::parse(&bytes), Err(PacketError::Type));
        bytes[0] = 0x00;
        assert_eq!(Header::parse(&bytes), Err(PacketError::NotFixed));
    }
}
