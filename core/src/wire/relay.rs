//! What an end and its relay say to each other, each in one datagram whose first byte begins with
//! two zero bits, as no packet's does.
//!
//! ```text
//! bind   0x10 | side, token (38), sequence (8), cookie (8), tag (16), payload (0..)   end → relay
//! bound  0x12 | side, channel (8), sequence (8), cookie (8), observed (18), flags (1), tag (16)
//! data   0x14 | side, channel (8), payload                         end → relay → other end
//! token  channel (8), 0x10 | side, rate (1), expires (4), node (8), tag (16)
//! ```
//!
//! Side is the sender's, 0: initiator, 1: responder; in bound it is the receiver's. What the tags
//! are made with, and what all of it means, is not known here.

use super::codec::{Full, Reader, Truncated, Writer};
use crate::base::{Path, Side};
use thiserror::Error;

/// Bytes of a channel's name.
pub const CHANNEL_LEN: usize = 8;
/// Bytes of a token.
pub const TOKEN_LEN: usize = SIGNED_LEN + TAG_LEN;
/// Bytes of each tag.
pub const TAG_LEN: usize = 16;
/// Bytes of a datagram beside what is relayed in it.
pub const DATA_OVERHEAD: usize = 1 + CHANNEL_LEN;
/// The same, of one that binds as well.
pub const BIND_OVERHEAD: usize = BIND_TAGGED + TAG_LEN;
/// Bytes of a bound: fewer than of any bind.
pub const BOUND_LEN: usize = BOUND_TAGGED + TAG_LEN;
/// Bytes of a bind that its tag covers, beside the payload.
pub const BIND_TAGGED: usize = 1 + TOKEN_LEN + 8 + 8;
/// Bytes of a bound that its tag covers.
pub const BOUND_TAGGED: usize = 1 + CHANNEL_LEN + 8 + 8 + 18 + 1;

const SIGNED_LEN: usize = CHANNEL_LEN + 1 + 1 + 4 + 8;
const BIND: u8 = 0x10;
const BOUND: u8 = 0x12;
const DATA: u8 = 0x14;
const VERSION: u8 = 0x10;
const SIDE: u8 = 0x01;
const PEER_IS_BOUND: u8 = 0x01;

/// Why bytes are none of these; such a datagram is dropped without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RelayError {
    /// It ends too early.
    #[error("the datagram ends too early")]
    Truncated,
    /// Its first byte names none of the three, or its token is of another version.
    #[error("not a relay's datagram")]
    Type,
}

impl From<Truncated> for RelayError {
    fn from(_: Truncated) -> Self {
        RelayError::Truncated
    }
}

/// Names a channel, the pair of ends of one session that a relay joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub [u8; CHANNEL_LEN]);

/// What a broker lets one end use a relay with. Not a secret by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayToken(pub [u8; TOKEN_LEN]);

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The channel it is for.
    pub channel: ChannelId,
    /// The end it is for.
    pub side: Side,
    /// At most 2^rate kbit/s each way; 0: no limit.
    pub rate: u8,
    /// Until when, in minutes since 1970.
    pub expires_min: u32,
    /// Stands for the node, for limits by node.
    pub node: [u8; 8],
}

impl RelayToken {
    /// From what it says; the tag is zero.
    pub fn unsigned(claims: &Claims) -> Self {
        let mut token = RelayToken([0; TOKEN_LEN]);
        let mut w = Writer::new(&mut token.0);
        // It has room for exactly this.
        let _ = w.bytes(&claims.channel.0);
        let _ = w.u8(VERSION | side_bit(claims.side));
        let _ = w.u8(claims.rate);
        let _ = w.u32(claims.expires_min);
        let _ = w.bytes(&claims.node);
        token
    }

    /// What it says; whether it is true its tag tells.
    pub fn claims(&self) -> Result<Claims, RelayError> {
        let mut r = Reader::new(&self.0);
        let channel = ChannelId(r.array()?);
        let version = r.u8()?;
        if version & !SIDE != VERSION {
            return Err(RelayError::Type);
        }
        let (rate, expires_min) = (r.u8()?, r.u32()?);
        Ok(Claims { channel, side: side_of(version), rate, expires_min, node: r.array()? })
    }

    /// The bytes that its tag covers.
    pub fn signed(&self) -> &[u8] {
        self.0.split_at(SIGNED_LEN).0
    }

    /// Its tag.
    pub fn tag(&self) -> &[u8] {
        self.0.split_at(SIGNED_LEN).1
    }

    /// Gives it its tag.
    pub fn sign(&mut self, tag: [u8; TAG_LEN]) {
        self.0.split_at_mut(SIGNED_LEN).1.copy_from_slice(&tag);
    }
}

/// Asks the relay to take the address it comes from for one end's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The sender's right to it.
    pub token: RelayToken,
    /// Comes back in the answer; higher in each.
    pub sequence: u64,
    /// What the last answer held, 0 before the first.
    pub cookie: [u8; 8],
}

/// The relay's answer to a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The receiver's end of the channel.
    pub side: Side,
    /// Which channel.
    pub channel: ChannelId,
    /// The bind's.
    pub sequence: u64,
    /// Proves, in the next bind, that the address can be answered.
    pub cookie: [u8; 8],
    /// Where the bind came from.
    pub observed: Path,
    /// Whether the other end is bound too.
    pub is_peer_bound: bool,
}

/// A datagram between an end and a relay. What it carries is its last `payload` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayDatagram {
    /// An end's, with `payload` to be relayed; the tag is the bytes before that.
    Bind {
        /// What it asks.
        bind: Bind,
        /// Bytes to be relayed.
        payload: usize,
    },
    /// The relay's.
    Bound(Bound),
    /// An end's, to the other.
    Data {
        /// The sender's end.
        side: Side,
        /// Which channel.
        channel: ChannelId,
        /// Bytes of it.
        payload: usize,
    },
}

/// Whether a datagram is one of these, and not packets.
pub fn is_relays(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0xc0 == 0)
}

impl RelayDatagram {
    /// Reads one; the tag is not checked.
    pub fn parse(datagram: &[u8]) -> Result<RelayDatagram, RelayError> {
        let mut r = Reader::new(datagram);
        let first = r.u8()?;
        let side = side_of(first);
        match first & !SIDE {
            BIND => {
                let token = RelayToken(r.array()?);
                let (sequence, cookie) = (r.u64()?, r.array()?);
                r.bytes(TAG_LEN)?;
                if token.claims()?.side != side {
                    return Err(RelayError::Type);
                }
                let bind = Bind { token, sequence, cookie };
                Ok(RelayDatagram::Bind { bind, payload: r.remaining() })
            }
            BOUND => {
                let (channel, sequence) = (ChannelId(r.array()?), r.u64()?);
                let cookie = r.array()?;
                let observed =
                    Path { ip: r.array()?, port: r.u16()?, via: 0, socket: 0, ifindex: 0 };
                let is_peer_bound = r.u8()? & PEER_IS_BOUND != 0;
                r.bytes(TAG_LEN)?;
                let bound = Bound { side, channel, sequence, cookie, observed, is_peer_bound };
                Ok(RelayDatagram::Bound(bound))
            }
            DATA => {
                let channel = ChannelId(r.array()?);
                Ok(RelayDatagram::Data { side, channel, payload: r.remaining() })
            }
            _ => Err(RelayError::Type),
        }
    }
}

/// Writes a bind, with a tag of zeroes.
pub fn write_bind(w: &mut Writer<'_>, bind: &Bind, side: Side) -> Result<(), Full> {
    w.u8(BIND | side_bit(side))?;
    w.bytes(&bind.token.0)?;
    w.u64(bind.sequence)?;
    w.bytes(&bind.cookie)?;
    w.bytes(&[0; TAG_LEN])
}

/// Writes a bound, with a tag of zeroes.
pub fn write_bound(w: &mut Writer<'_>, bound: &Bound) -> Result<(), Full> {
    w.u8(BOUND | side_bit(bound.side))?;
    w.bytes(&bound.channel.0)?;
    w.u64(bound.sequence)?;
    w.bytes(&bound.cookie)?;
    w.bytes(&bound.observed.ip)?;
    w.u16(bound.observed.port)?;
    w.u8(if bound.is_peer_bound { PEER_IS_BOUND } else { 0 })?;
    w.bytes(&[0; TAG_LEN])
}

/// Writes what stands before the payload of a datagram of `side`.
pub fn write_data(w: &mut Writer<'_>, side: Side, channel: ChannelId) -> Result<(), Full> {
    w.u8(DATA | side_bit(side))?;
    w.bytes(&channel.0)
}

fn side_bit(side: Side) -> u8 {
    match side {
        Side::Initiator => 0,
        Side::Responder => SIDE,
    }
}

fn side_of(bits: u8) -> Side {
    if bits & SIDE == 0 { Side::Initiator } else { Side::Responder }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const CHANNEL: ChannelId = ChannelId([7; 8]);

    fn claims(side: Side) -> Claims {
        Claims { channel: CHANNEL, side, rate: 12, expires_min: 0x0102_0304, node: [9; 8] }
    }

    fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
        let mut buf = [0; 200];
        let mut w = Writer::new(&mut buf);
        write(&mut w).unwrap();
        let len = w.len();
        buf[..len].to_vec()
    }

    fn survives(bytes: &[u8], datagram: RelayDatagram, least: usize) {
        assert!(is_relays(bytes));
        assert_eq!(RelayDatagram::parse(bytes), Ok(datagram));
        for cut in 0..least {
            assert_eq!(RelayDatagram::parse(&bytes[..cut]), Err(RelayError::Truncated), "{cut}");
        }
    }

    #[test]
    fn each_survives_a_round_trip_and_every_cut() {
        for side in [Side::Initiator, Side::Responder] {
            let mut token = RelayToken::unsigned(&claims(side));
            token.sign([5; TAG_LEN]);
            assert_eq!((token.claims(), token.tag()), (Ok(claims(side)), &[5; TAG_LEN][..]));
            assert_eq!(token.signed().len() + TAG_LEN, TOKEN_LEN);
            let bind = Bind { token, sequence: 3, cookie: [4; 8] };
            let mut bytes = written(|w| write_bind(w, &bind, side));
            assert_eq!(bytes.len(), BIND_OVERHEAD);
            bytes.extend(b"abc");
            survives(&bytes, RelayDatagram::Bind { bind, payload: 3 }, BIND_OVERHEAD);
            let bound = Bound {
                side,
                channel: CHANNEL,
                sequence: 3,
                cookie: [4; 8],
                observed: Path::v4([10, 0, 0, 1], 99),
                is_peer_bound: side == Side::Responder,
            };
            let bytes = written(|w| write_bound(w, &bound));
            assert_eq!(bytes.len(), BOUND_LEN);
            survives(&bytes, RelayDatagram::Bound(bound), BOUND_LEN);
            let mut bytes = written(|w| write_data(w, side, CHANNEL));
            assert_eq!(bytes.len(), DATA_OVERHEAD);
            bytes.extend(b"abcd");
            let data = RelayDatagram::Data { side, channel: CHANNEL, payload: 4 };
            survives(&bytes, data, DATA_OVERHEAD);
        }
        const { assert!(BOUND_LEN < BIND_OVERHEAD, "an answer does not amplify") };
    }

    #[test]
    fn others_are_told_apart() {
        for first in [0x00, 0x0f, 0x16, 0x3f, 0x40, 0xc0] {
            assert_eq!(RelayDatagram::parse(&[first; 100]), Err(RelayError::Type), "{first:#x}");
        }
        assert!(!is_relays(&[0x40]) && !is_relays(&[0xc0]) && !is_relays(&[]));
        // A token for the other side, and one of another version.
        let bind = |token| Bind { token, sequence: 0, cookie: [0; 8] };
        let token = RelayToken::unsigned(&claims(Side::Responder));
        let bytes = written(|w| write_bind(w, &bind(token), Side::Initiator));
        assert_eq!(RelayDatagram::parse(&bytes), Err(RelayError::Type));
        let mut token = token;
        token.0[CHANNEL_LEN] = 0x21;
        let bytes = written(|w| write_bind(w, &bind(token), Side::Responder));
        assert_eq!(RelayDatagram::parse(&bytes), Err(RelayError::Type));
    }
}
