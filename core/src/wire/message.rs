//! What a node and its broker say to each other: CBOR (RFC 8949) on stream 0 of their connection.
//!
//! Owns the bytes, described below in CDDL (RFC 8610), and the limits on them. Does not own what
//! the messages mean: `broker` and `node` do. Unknown message types and fields are skipped, so that
//! versions can mix; what is known must be right and within its limit, or the message is an error.
//! Both ways a message is preceded by its length in two bytes, big-endian.
//!
//! ```cddl
//! message = enrol / hello / connect / candidates-msg / quiet / time-query   ; node to broker
//!         / welcome / enrolled / refused / offer / presence / observed / time   ; broker to node
//!         / note                                                        ; both ways
//!
//! enrol          = [1, {0: code, ext}]
//! hello          = [2, {0: version: uint .size 4, 1: abi: uint .size 4, 2: firmware,
//!                       ? 3: services, ? 4: candidates, ? 5: ownership, ext}]
//! connect        = [3, {0: request, 1: key, ? 2: chain, ext}]    ; 1: the device
//! candidates-msg = [4, {0: candidates, ext}]
//! welcome        = [5, {0: observed: path, 1: is-enrolled: bool, 2: time-unix-s: uint,
//!                       ? 3: candidates, ext}]                 ; 3: other sockets of the broker
//! enrolled       = [6, {ext}]
//! refused        = [7, {0: request, 1: reason: uint .size 1, ext}]
//! offer          = [8, {0: request, 1: side, 2: contact-id, 3: contact-key, 4: lifetime-s,
//!                       5: key, ? 6: candidates, ? 7: services, ? 8: relays, ? 9: mapping,
//!                       ? 10: chain, ext}]           ; 5: the peer, 9: its NAT's, 10: side 1 alone
//! presence       = [9, {0: key, 1: is-online: bool, ext}]
//! observed       = [10, {0: path, ? 1: path, ext}]               ; 1: as the other socket sees it
//! quiet          = [11, {0: silence-s, ? 1: ask-back-s, ext}]
//! note           = [12, {0: request, 1: key, 2: note-kind, 3: bstr .size (0..2048), ext}]
//! time-query     = [13, {0: nonce, ext}]
//! time           = [14, {0: bstr .size (1..256), ext}]           ; a statement, section 11.5
//!
//! code        = tstr .size (1..64)
//! firmware    = tstr .size (0..64)
//! lifetime-s  = uint .size 4
//! silence-s   = 1..600                     ; the node is not silent for longer
//! ask-back-s  = 1..600                     ; when to ask where the node last asked from elsewhere
//! request     = uint .size 4               ; chosen by the node, not 0; 0 in a refusal: the link
//! services    = [0*32 service]
//! service     = {0: name, 1: kind, 2: port: uint .size 2, ext}
//! kind        = 0 / 1 / uint .size 1       ; 0: TCP, 1: UDP; others are later versions'
//! name        = tstr .regexp "[a-z0-9_.-]{1,63}"
//! candidates  = [0*16 path]
//! ownership   = {0: epoch: uint .size 4, 1: list: uint, ? 2: key, ext}   ; 2: the owner
//! chain       = bstr .size (1..2048)       ; of grants, section 11.3
//! note-kind   = uint .size 1               ; those of section 11.7
//! nonce       = bstr .size 16
//! relays      = [0*4 relay]
//! relay       = {0: candidates, 1: token: bstr .size 38, 2: end-key: bstr .size 32,
//!                ? 3: candidates, ext}
//! mapping     = 0 / 1 / 2 / uint .size 1   ; unknown, endpoint-independent, -dependent (RFC 4787)
//! path        = [ip: bstr .size 16, port: 1..65535]   ; IPv4 as ::ffff:a.b.c.d
//! side        = 0 / 1                      ; the receiver of the offer 0: initiates, 1: responds
//! key         = bstr .size 32
//! contact-id  = bstr .size 8
//! contact-key = bstr .size 32
//! ext         = (* int => any)             ; fields of later versions
//! ```

mod cbor;
mod parts;
#[cfg(test)]
mod tests;
mod to_broker;
mod to_node;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use self::cbor::{Decoder, Encoder};
pub use self::parts::{Note, Ownership};
pub use self::to_broker::ToBroker;
pub use self::to_node::ToNode;
use super::relay::RelayToken;
use crate::base::{Path, Side};

/// The longest encoded message, without its length.
pub const MESSAGE_LEN_MAX: usize = 4096;
/// The longest name of a service.
pub const SERVICE_NAME_LEN_MAX: usize = 63;
/// The longest description of a node's firmware.
pub const FIRMWARE_LEN_MAX: usize = 64;
/// The longest enrol code.
pub const CODE_LEN_MAX: usize = 64;
/// Services in one message; with candidates at their limit too, they fit [`MESSAGE_LEN_MAX`].
pub const SERVICES_MAX: usize = 32;
/// Candidates in one message.
pub const CANDIDATES_MAX: usize = 16;
/// Relays in one offer.
pub const RELAYS_MAX: usize = 4;
/// Addresses of one relay.
pub const RELAY_PATHS_MAX: usize = 4;
/// The longest chain of grants, in bytes. An offer with one has no services, so it fits.
pub const CHAIN_LEN_MAX: usize = 2048;
/// The longest body of a [`Note`], in bytes.
pub const NOTE_LEN_MAX: usize = 2048;
/// [`Note::kind`]: asks a device what to claim it with.
pub const NOTE_CLAIM_ASK: u8 = 1;
/// [`Note::kind`]: what to claim the device with, its answer.
pub const NOTE_CLAIM_NONCE: u8 = 2;
/// [`Note::kind`]: a claim, a statement.
pub const NOTE_CLAIM: u8 = 3;
/// [`Note::kind`]: the device has taken the claimant for its owner, and proves that it is itself.
pub const NOTE_CLAIMED: u8 = 4;
/// [`Note::kind`]: a revocation list, a statement.
pub const NOTE_REVOKED: u8 = 5;
/// [`Note::kind`]: a transfer, a statement.
pub const NOTE_TRANSFER: u8 = 6;
/// [`Note::kind`]: one byte; 0: it is done, another: why not.
pub const NOTE_DONE: u8 = 7;
/// [`Note::kind`]: that the device may be found for a while, or no more; a statement.
pub const NOTE_CLOAK: u8 = 8;
/// Length of what a node asks for the time with.
pub const TIME_NONCE_LEN: usize = 16;
/// The longest statement of time, in bytes.
pub const TIME_LEN_MAX: usize = 256;
/// [`ServiceInfo::kind`] of a TCP service.
pub const SERVICE_TCP: u8 = 0;
/// [`ServiceInfo::kind`] of a UDP service.
pub const SERVICE_UDP: u8 = 1;

/// The longest time in a [`ToBroker::Quiet`], in seconds.
pub const QUIET_MAX_S: u32 = 600;

/// A node that obeys no owner skips what concerns owners.
const KNOWN_TYPES: core::ops::RangeInclusive<u64> =
    1..=if cfg!(feature = "trust") { 14 } else { 11 };
const LENGTH_LEN: usize = 2;
/// The type of a [`Note`], both ways.
#[cfg(feature = "trust")]
const NOTE: u8 = 12;

/// Why bytes are no message, or a message cannot become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It is longer than [`MESSAGE_LEN_MAX`].
    #[error("a message is longer than {MESSAGE_LEN_MAX} bytes")]
    TooLong,
    /// It is not CBOR, or not of the shape of its type.
    #[error("a message is malformed")]
    Malformed,
    /// A list or a text in it exceeds its limit, or has characters it must not have.
    #[error("a value in a message is out of its limits")]
    Value,
}

/// Which end of the introduced connection the receiver of an offer is.
pub type Role = Side;

/// A one-time enrol code as a person typed it. Zeroized on drop, not printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct EnrolCode(pub String);

impl From<&str> for EnrolCode {
    fn from(code: &str) -> Self {
        EnrolCode(code.into())
    }
}

impl fmt::Debug for EnrolCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolCode(..)")
    }
}

/// The fresh key of one introduction. Zeroized on drop, not printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ContactKey(pub [u8; 32]);

impl fmt::Debug for ContactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContactKey(..)")
    }
}

/// A service a node offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceInfo {
    /// 1 to 63 of `a-z 0-9 - _ .`.
    pub name: String,
    /// [`SERVICE_TCP`] or [`SERVICE_UDP`]; other kinds come with later versions.
    pub kind: u8,
    /// The port people know the service by.
    pub port: u16,
}

/// [`ToNode::Offer`]'s mapping: nobody knows yet.
pub const MAPPING_UNKNOWN: u8 = 0;
/// Whomever the node calls sees it at the same address (RFC 4787 §4.1).
pub const MAPPING_INDEPENDENT: u8 = 1;
/// Each sees it at another one.
pub const MAPPING_DEPENDENT: u8 = 2;

/// How a node's NAT maps that two of the broker's sockets see at these addresses.
pub fn mapping(observed: &Path, other: &Path) -> u8 {
    if observed.is_same_address(other) { MAPPING_INDEPENDENT } else { MAPPING_DEPENDENT }
}

/// A relay, and the right to use it in one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayOffer {
    /// Where it is; 1 to [`RELAY_PATHS_MAX`].
    pub paths: Vec<Path>,
    /// What the receiver of the offer shows it.
    pub token: RelayToken,
    /// What it proves with that the token is its own.
    pub key: ContactKey,
    /// Where it is by TCP with TLS; at most [`RELAY_PATHS_MAX`]. No `socket` is on the wire.
    pub tls: Vec<Path>,
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseReason {
    /// The node is not enrolled with this broker (1).
    NotEnrolled,
    /// The enrol code is wrong, expired or used: which of them is not told (2).
    BadCode,
    /// The device is unknown or not enrolled (3).
    Unknown,
    /// The device is enrolled but has no link now (4).
    Offline,
    /// A limit of the broker is reached; later it may work (5).
    Limit,
    /// The node broke the protocol (6).
    Malformed,
    /// A newer link with the same key took this one's place (7).
    Replaced,
    /// The broker's store failed; later it may work (8).
    Unavailable,
    /// The broker knows that the device would not permit it (9).
    NotPermitted,
    /// A reason of a later version.
    Other(u8),
}

impl RefuseReason {
    /// The number on the wire.
    pub fn code(self) -> u8 {
        match self {
            RefuseReason::NotEnrolled => 1,
            RefuseReason::BadCode => 2,
            RefuseReason::Unknown => 3,
            RefuseReason::Offline => 4,
            RefuseReason::Limit => 5,
            RefuseReason::Malformed => 6,
            RefuseReason::Replaced => 7,
            RefuseReason::Unavailable => 8,
            RefuseReason::NotPermitted => 9,
            RefuseReason::Other(code) => code,
        }
    }

    /// The reason of a number on the wire.
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => RefuseReason::NotEnrolled,
            2 => RefuseReason::BadCode,
            3 => RefuseReason::Unknown,
            4 => RefuseReason::Offline,
            5 => RefuseReason::Limit,
            6 => RefuseReason::Malformed,
            7 => RefuseReason::Replaced,
            8 => RefuseReason::Unavailable,
            9 => RefuseReason::NotPermitted,
            code => RefuseReason::Other(code),
        }
    }
}

/// A message, [`ToBroker`] or [`ToNode`]: a node needs not know how to read the first, nor how to
/// write the other.
pub trait Message: Sized {
    /// The bytes of it, or more: what is to be free before it is encoded.
    fn len_at_most(&self) -> usize;

    /// Appends the length and the message to `out`, which on error stays as it was. Where there is
    /// room for both, nothing that `out` holds is moved.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), MessageError>;

    /// Reads a message without its length. `None`: of a type this version does not know. One that
    /// only the other end may send is an error.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, MessageError>;
}

/// Whether `name` may name a service.
pub fn is_service_name(name: &str) -> bool {
    let is_name_byte =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    (1..=SERVICE_NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(is_name_byte)
}

/// The first whole message in a stream's bytes, without its length, and how many bytes it took with
/// it. `None`: wait for more.
pub fn split(stream: &[u8]) -> Result<Option<(&[u8], usize)>, MessageError> {
    let Some((length, rest)) = stream.split_first_chunk::<LENGTH_LEN>() else {
        return Ok(None);
    };
    let len = usize::from(u16::from_be_bytes(*length));
    if len > MESSAGE_LEN_MAX {
        return Err(MessageError::TooLong);
    }
    Ok(rest.get(..len).map(|message| (message, LENGTH_LEN + len)))
}

impl RelayOffer {
    fn is_fine(&self) -> bool {
        (1..=RELAY_PATHS_MAX).contains(&self.paths.len())
            && self.tls.len() <= RELAY_PATHS_MAX
            && are_paths_fine(&self.paths)
            && are_paths_fine(&self.tls)
    }
}

fn is_chain_fine(chain: &[u8]) -> bool {
    chain.len() <= CHAIN_LEN_MAX
}

fn are_services_fine(services: &[ServiceInfo]) -> bool {
    services.len() <= SERVICES_MAX && services.iter().all(|service| is_service_name(&service.name))
}

fn are_paths_fine(paths: &[Path]) -> bool {
    paths.len() <= CANDIDATES_MAX && paths.iter().all(|path| path.port != 0)
}

/// Writes what was found to be fine.
fn encode(
    out: &mut Vec<u8>,
    check: Result<(), MessageError>,
    write: impl FnOnce(&mut Encoder<'_>),
) -> Result<(), MessageError> {
    check?;
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_LEN]);
    write(&mut Encoder::new(out));
    let len = out.len() - start - LENGTH_LEN;
    if len > MESSAGE_LEN_MAX {
        out[start..].zeroize();
        out.truncate(start);
        return Err(MessageError::TooLong);
    }
    out[start..][..LENGTH_LEN].copy_from_slice(&(len as u16).to_be_bytes());
    Ok(())
}

fn decode<M>(
    bytes: &[u8],
    read: impl FnOnce(u8, &mut Decoder<'_>) -> Result<M, MessageError>,
    check: impl FnOnce(&M) -> Result<(), MessageError>,
) -> Result<Option<M>, MessageError> {
    if bytes.len() > MESSAGE_LEN_MAX {
        return Err(MessageError::TooLong);
    }
    let mut decoder = Decoder::new(bytes);
    if !decoder.array()?.are(2) {
        return Err(MessageError::Malformed);
    }
    let message = match decoder.u64()? {
        kind if KNOWN_TYPES.contains(&kind) => Some(read(kind as u8, &mut decoder)?),
        _ => {
            decoder.skip()?;
            None
        }
    };
    if !decoder.is_empty() {
        return Err(MessageError::Malformed);
    }
    message.as_ref().map_or(Ok(()), check)?;
    Ok(message)
}
