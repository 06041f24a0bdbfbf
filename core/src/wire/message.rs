//! What a node and its broker say to each other: CBOR (RFC 8949) on stream 0 of their connection.
//!
//! Owns the bytes, described below in CDDL (RFC 8610), and the limits on them. Does not own what
//! the messages mean: `broker` and `node` do. Unknown message types and fields are skipped, so that
//! versions can mix; what is known must be right and within its limit, or the message is an error.
//! Both ways a message is preceded by its length in two bytes, big-endian.
//!
//! ```cddl
//! message = enrol / hello / connect / candidates-msg / quiet    ; node to broker
//!         / welcome / enrolled / refused / offer / presence / observed   ; broker to node
//!
//! enrol          = [1, {0: code, ext}]
//! hello          = [2, {0: version: uint .size 4, 1: abi: uint .size 4, 2: firmware,
//!                       ? 3: services, ? 4: candidates, ext}]
//! connect        = [3, {0: request, 1: key, ext}]                ; 1: the device
//! candidates-msg = [4, {0: candidates, ext}]
//! welcome        = [5, {0: observed: path, 1: is-enrolled: bool, 2: time-unix-s: uint,
//!                       ? 3: candidates, ext}]                 ; 3: other sockets of the broker
//! enrolled       = [6, {ext}]
//! refused        = [7, {0: request, 1: reason: uint .size 1, ext}]
//! offer          = [8, {0: request, 1: side, 2: contact-id, 3: contact-key, 4: lifetime-s,
//!                       5: key, ? 6: candidates, ? 7: services, ? 8: relays, ? 9: mapping,
//!                       ext}]                                  ; 5: the peer, 9: its NAT's
//! presence       = [9, {0: key, 1: is-online: bool, ext}]
//! observed       = [10, {0: path, ? 1: path, ext}]               ; 1: as the other socket sees it
//! quiet          = [11, {0: silence-s, ? 1: ask-back-s, ext}]
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
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use minicbor::{Decode, Decoder, Encode};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use self::cbor::{contact_id, key, maybe_path, path, paths, relay_token, side};
use super::relay::RelayToken;
use crate::base::{ContactId, Path, PublicKey, Side};

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
/// [`ServiceInfo::kind`] of a TCP service.
pub const SERVICE_TCP: u8 = 0;
/// [`ServiceInfo::kind`] of a UDP service.
pub const SERVICE_UDP: u8 = 1;

/// The longest time in a [`Message::Quiet`], in seconds.
pub const QUIET_MAX_S: u32 = 600;

const KNOWN_TYPES: core::ops::RangeInclusive<u64> = 1..=11;
const LENGTH_LEN: usize = 2;
const BODY_LEN_USUAL: usize = 1024;

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
#[derive(Clone, PartialEq, Eq, Encode, Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(transparent)]
pub struct EnrolCode(#[n(0)] pub String);

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
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ServiceInfo {
    /// 1 to 63 of `a-z 0-9 - _ .`.
    #[n(0)]
    pub name: String,
    /// [`SERVICE_TCP`] or [`SERVICE_UDP`]; other kinds come with later versions.
    #[n(1)]
    pub kind: u8,
    /// The port people know the service by.
    #[n(2)]
    pub port: u16,
}

/// [`Message::Offer`]'s mapping: nobody knows yet.
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
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RelayOffer {
    /// Where it is; 1 to [`RELAY_PATHS_MAX`].
    #[n(0)]
    #[cbor(with = "paths")]
    pub paths: Vec<Path>,
    /// What the receiver of the offer shows it.
    #[n(1)]
    #[cbor(with = "relay_token")]
    pub token: RelayToken,
    /// What it proves with that the token is its own.
    #[n(2)]
    pub key: ContactKey,
    /// Where it is by TCP with TLS; at most [`RELAY_PATHS_MAX`]. No `socket` is on the wire.
    #[n(3)]
    #[cbor(default, with = "paths")]
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
            code => RefuseReason::Other(code),
        }
    }
}

/// One message, either way.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub enum Message {
    /// Node: take me in, here is a code.
    #[n(1)]
    Enrol {
        /// As the person typed it.
        #[n(0)]
        code: EnrolCode,
    },
    /// Node: what I am and offer, and where I may be reached. From now on the node is online.
    #[n(2)]
    Hello {
        /// The wire version it speaks.
        #[n(0)]
        version: u32,
        /// The version of the C interface it was built with.
        #[n(1)]
        abi: u32,
        /// What runs on it, for people.
        #[n(2)]
        firmware: String,
        /// Its services.
        #[n(3)]
        #[cbor(default)]
        services: Vec<ServiceInfo>,
        /// Its own addresses.
        #[n(4)]
        #[cbor(default, with = "paths")]
        candidates: Vec<Path>,
    },
    /// Node: introduce me to this device.
    #[n(3)]
    Connect {
        /// Comes back in the answer; not 0.
        #[n(0)]
        request: u32,
        /// The device's key.
        #[n(1)]
        #[cbor(with = "key")]
        device: PublicKey,
    },
    /// Node: my addresses are these now.
    #[n(4)]
    Candidates {
        /// All of them, not only the new ones.
        #[n(0)]
        #[cbor(with = "paths")]
        candidates: Vec<Path>,
    },
    /// Broker: the first message on a link.
    #[n(5)]
    Welcome {
        /// The node's address as the broker sees it.
        #[n(0)]
        #[cbor(with = "path")]
        observed: Path,
        /// Whether the node is enrolled already.
        #[n(1)]
        enrolled: bool,
        /// The broker's wall clock.
        #[n(2)]
        time_unix_s: u64,
        /// Other addresses of the broker: asked there, it sees whether the node's NAT gives it
        /// another address for each it calls.
        #[n(3)]
        #[cbor(default, with = "paths")]
        others: Vec<Path>,
    },
    /// Broker: the code was right, the node is enrolled.
    #[n(6)]
    Enrolled,
    /// Broker: no.
    #[n(7)]
    Refused {
        /// What is refused; 0: the enrolment, or the link itself.
        #[n(0)]
        request: u32,
        /// Why.
        #[n(1)]
        reason: RefuseReason,
    },
    /// Broker: here is a peer, and how to reach it.
    #[n(8)]
    Offer {
        /// The request this answers; 0 at the end that responds.
        #[n(0)]
        request: u32,
        /// Which end the receiver is.
        #[n(1)]
        #[cbor(with = "side")]
        role: Role,
        /// Names the contact in the first packet.
        #[n(2)]
        #[cbor(with = "contact_id")]
        contact_id: ContactId,
        /// Seals the first packets, and goes into the keys of all others.
        #[n(3)]
        contact_key: ContactKey,
        /// How long the contact may be used.
        #[n(4)]
        lifetime_s: u32,
        /// The key the peer must prove to hold.
        #[n(5)]
        #[cbor(with = "key")]
        peer: PublicKey,
        /// Where the peer may be; the address the broker sees comes first.
        #[n(6)]
        #[cbor(default, with = "paths")]
        candidates: Vec<Path>,
        /// The device's services; empty at the end that responds, which knows its own.
        #[n(7)]
        #[cbor(default)]
        services: Vec<ServiceInfo>,
        /// Relays that both ends may use; first the one to prefer.
        #[n(8)]
        #[cbor(default)]
        relays: Vec<RelayOffer>,
        /// How the peer's NAT maps: [`MAPPING_UNKNOWN`] and its siblings.
        #[n(9)]
        #[cbor(default)]
        mapping: u8,
    },
    /// Broker: a device the node asked for came or went.
    #[n(9)]
    Presence {
        /// The device's key.
        #[n(0)]
        #[cbor(with = "key")]
        key: PublicKey,
        /// Whether it has a link now.
        #[n(1)]
        online: bool,
    },
    /// Broker: where it sees the node.
    #[n(10)]
    Observed {
        /// By the socket that the link leads to.
        #[n(0)]
        #[cbor(with = "path")]
        observed: Path,
        /// By another one, if the node asked there.
        #[n(1)]
        #[cbor(with = "maybe_path", has_nil)]
        other: Option<Path>,
    },
    /// Node: I keep my link up from now on by a packet in this time; and find out for me how long
    /// my NAT remembers.
    #[n(11)]
    Quiet {
        /// Seconds, 1 to [`QUIET_MAX_S`]: silence for longer means that the node is gone.
        #[n(0)]
        silence_s: u32,
        /// Seconds, 1 to [`QUIET_MAX_S`], after which the broker is to send a PATH_CHALLENGE to
        /// where the node's last one came from.
        #[n(1)]
        ask_back_s: Option<u32>,
    },
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

impl Message {
    /// The bytes of it, or more: what is to be free before it is encoded.
    pub fn len_at_most(&self) -> usize {
        match self {
            Message::Hello { services, candidates, .. } => {
                let names: usize = services.iter().map(|service| service.name.len() + 16).sum();
                names + candidates.len() * 24 + FIRMWARE_LEN_MAX + 32
            }
            Message::Enrol { .. } => CODE_LEN_MAX + 16,
            Message::Connect { .. } | Message::Quiet { .. } => 64,
            _ => MESSAGE_LEN_MAX,
        }
    }

    /// Appends the length and the message to `out`, which on error stays as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), MessageError> {
        self.check()?;
        // Roomy enough that growing never leaves a copy of a contact key behind but in offers of
        // very many services.
        let mut body = Zeroizing::new(Vec::with_capacity(BODY_LEN_USUAL.min(self.len_at_most())));
        minicbor::encode(self, &mut *body).map_err(|_impossible| MessageError::Malformed)?;
        if body.len() > MESSAGE_LEN_MAX {
            return Err(MessageError::TooLong);
        }
        out.extend_from_slice(&(body.len() as u16).to_be_bytes());
        out.extend_from_slice(&body);
        Ok(())
    }

    /// Reads a message without its length. `None`: of a type this version does not know.
    pub fn decode(bytes: &[u8]) -> Result<Option<Message>, MessageError> {
        if bytes.len() > MESSAGE_LEN_MAX {
            return Err(MessageError::TooLong);
        }
        let mut decoder = Decoder::new(bytes);
        let message = decode_item(&mut decoder).map_err(|_not_ours| MessageError::Malformed)?;
        if decoder.position() != bytes.len() {
            return Err(MessageError::Malformed);
        }
        if let Some(message) = &message {
            message.check()?;
        }
        Ok(message)
    }

    fn check(&self) -> Result<(), MessageError> {
        let is_fine = match self {
            Message::Enrol { code } => (1..=CODE_LEN_MAX).contains(&code.0.len()),
            Message::Hello { firmware, services, candidates, .. } => {
                firmware.len() <= FIRMWARE_LEN_MAX
                    && are_services_fine(services)
                    && are_paths_fine(candidates)
            }
            Message::Connect { request, .. } => *request != 0,
            Message::Candidates { candidates } => are_paths_fine(candidates),
            Message::Offer { services, candidates, relays, .. } => {
                are_services_fine(services)
                    && are_paths_fine(candidates)
                    && relays.len() <= RELAYS_MAX
                    && relays.iter().all(RelayOffer::is_fine)
            }
            Message::Welcome { others, .. } => are_paths_fine(others),
            Message::Quiet { silence_s, ask_back_s } => {
                let is_fine = |s: u32| (1..=QUIET_MAX_S).contains(&s);
                is_fine(*silence_s) && ask_back_s.is_none_or(is_fine)
            }
            Message::Enrolled
            | Message::Observed { .. }
            | Message::Refused { .. }
            | Message::Presence { .. } => true,
        };
        if is_fine { Ok(()) } else { Err(MessageError::Value) }
    }
}

impl RelayOffer {
    fn is_fine(&self) -> bool {
        (1..=RELAY_PATHS_MAX).contains(&self.paths.len())
            && self.tls.len() <= RELAY_PATHS_MAX
            && are_paths_fine(&self.paths)
            && are_paths_fine(&self.tls)
    }
}

fn are_services_fine(services: &[ServiceInfo]) -> bool {
    services.len() <= SERVICES_MAX && services.iter().all(|service| is_service_name(&service.name))
}

fn are_paths_fine(paths: &[Path]) -> bool {
    paths.len() <= CANDIDATES_MAX && paths.iter().all(|path| path.port != 0)
}

fn decode_item(decoder: &mut Decoder<'_>) -> Result<Option<Message>, minicbor::decode::Error> {
    let mut ahead = decoder.probe();
    if ahead.array()? != Some(2) {
        return Err(minicbor::decode::Error::message("not a pair"));
    }
    if KNOWN_TYPES.contains(&ahead.u64()?) {
        return decoder.decode().map(Some);
    }
    decoder.skip()?;
    Ok(None)
}
