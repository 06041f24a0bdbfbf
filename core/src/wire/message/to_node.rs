//! What a broker says to a node.

use alloc::vec::Vec;

use super::cbor::{Decoder, Encoder};
#[cfg(feature = "trust")]
use super::parts::Note;
use super::parts::{
    NO_PATH, read_path, read_paths, read_relays, read_services, read_side, side_number, write_path,
    write_paths, write_relays, write_services,
};
use super::{
    ContactKey, MAPPING_UNKNOWN, MESSAGE_LEN_MAX, Message, MessageError, QUIET_MAX_S, RELAYS_MAX,
    RefuseReason, RelayOffer, Role, ServiceInfo, are_paths_fine, are_services_fine, decode, encode,
    is_chain_fine,
};
#[cfg(feature = "trust")]
use super::{NOTE, TIME_LEN_MAX};
use crate::base::{ContactId, Path, PublicKey};

const WELCOME: u8 = 5;
const ENROLLED: u8 = 6;
const REFUSED: u8 = 7;
const OFFER: u8 = 8;
const PRESENCE: u8 = 9;
const OBSERVED: u8 = 10;
#[cfg(feature = "trust")]
const TIME: u8 = 14;

/// A message of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToNode {
    /// The first message on a link.
    Welcome {
        /// The node's address as the broker sees it.
        observed: Path,
        /// Whether the node is enrolled already.
        enrolled: bool,
        /// The broker's wall clock.
        time_unix_s: u64,
        /// Other addresses of the broker: asked there, it sees whether the node's NAT gives it
        /// another address for each it calls.
        others: Vec<Path>,
        /// Seconds, at most [`QUIET_MAX_S`]: the node is not to be silent for longer; 0: the broker
        /// does not mind.
        silence_max_s: u32,
    },
    /// The code was right, the node is enrolled.
    Enrolled,
    /// No.
    Refused {
        /// What is refused; 0: the enrolment, or the link itself.
        request: u32,
        /// Why.
        reason: RefuseReason,
    },
    /// Here is a peer, and how to reach it.
    Offer {
        /// The request this answers; 0 at the end that responds.
        request: u32,
        /// Which end the receiver is.
        role: Role,
        /// Names the contact in the first packet.
        contact_id: ContactId,
        /// Seals the first packets, and goes into the keys of all others.
        contact_key: ContactKey,
        /// How long the contact may be used.
        lifetime_s: u32,
        /// The key the peer must prove to hold.
        peer: PublicKey,
        /// Where the peer may be; the address the broker sees comes first.
        candidates: Vec<Path>,
        /// The device's services; empty at the end that responds, which knows its own.
        services: Vec<ServiceInfo>,
        /// Relays that both ends may use; first the one to prefer.
        relays: Vec<RelayOffer>,
        /// How the peer's NAT maps: [`MAPPING_UNKNOWN`] and its siblings.
        mapping: u8,
        /// What the peer shows of its right, at the end that responds; or empty.
        chain: Vec<u8>,
    },
    /// A device the node asked for came or went.
    Presence {
        /// The device's key.
        key: PublicKey,
        /// Whether it has a link now.
        online: bool,
    },
    /// Where I see you.
    Observed {
        /// By the socket that the link leads to.
        observed: Path,
        /// By another one, if the node asked there.
        other: Option<Path>,
    },
    /// Somebody says this.
    #[cfg(feature = "trust")]
    Note(Note),
    /// The answer to a question for the time.
    #[cfg(feature = "trust")]
    Time {
        /// Signed by the broker; 1 to [`TIME_LEN_MAX`] bytes.
        statement: Vec<u8>,
    },
}

impl Message for ToNode {
    fn len_at_most(&self) -> usize {
        MESSAGE_LEN_MAX
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), MessageError> {
        encode(out, self.check(), |e| self.write(e))
    }

    fn decode(bytes: &[u8]) -> Result<Option<Self>, MessageError> {
        decode(bytes, Self::read, Self::check)
    }
}

impl ToNode {
    pub(super) fn write(&self, e: &mut Encoder<'_>) {
        e.array(2);
        match self {
            ToNode::Welcome { observed, enrolled, time_unix_s, others, silence_max_s } => {
                e.uint(WELCOME).map(4 + usize::from(*silence_max_s > 0)).key(0);
                write_path(e, observed);
                e.key(1).bool(*enrolled).key(2).uint(*time_unix_s).key(3);
                write_paths(e, others);
                if *silence_max_s > 0 {
                    e.key(4).uint(*silence_max_s);
                }
            }
            ToNode::Enrolled => {
                e.uint(ENROLLED).map(0);
            }
            ToNode::Refused { request, reason } => {
                e.uint(REFUSED).map(2).key(0).uint(*request).key(1).uint(reason.code());
            }
            ToNode::Offer {
                request,
                role,
                contact_id,
                contact_key,
                lifetime_s,
                peer,
                candidates,
                services,
                relays,
                mapping,
                chain,
            } => {
                e.uint(OFFER)
                    .map(10 + usize::from(!chain.is_empty()))
                    .key(0)
                    .uint(*request)
                    .key(1)
                    .uint(side_number(*role));
                e.key(2).bytes(&contact_id.0).key(3).bytes(&contact_key.0);
                e.key(4).uint(*lifetime_s).key(5).bytes(&peer.0).key(6);
                write_paths(e, candidates);
                e.key(7);
                write_services(e, services);
                e.key(8);
                write_relays(e, relays);
                e.key(9).uint(*mapping);
                if !chain.is_empty() {
                    e.key(10).bytes(chain);
                }
            }
            ToNode::Presence { key, online } => {
                e.uint(PRESENCE).map(2).key(0).bytes(&key.0).key(1).bool(*online);
            }
            ToNode::Observed { observed, other } => {
                e.uint(OBSERVED).map(1 + usize::from(other.is_some())).key(0);
                write_path(e, observed);
                if let Some(other) = other {
                    write_path(e.key(1), other);
                }
            }
            #[cfg(feature = "trust")]
            ToNode::Note(note) => note.write(e.uint(NOTE)),
            #[cfg(feature = "trust")]
            ToNode::Time { statement } => {
                e.uint(TIME).map(1).key(0).bytes(statement);
            }
        }
    }

    fn read(kind: u8, d: &mut Decoder<'_>) -> Result<Self, MessageError> {
        match kind {
            WELCOME => read_welcome(d),
            ENROLLED => read_enrolled(d),
            REFUSED => read_refused(d),
            OFFER => read_offer(d),
            PRESENCE => read_presence(d),
            OBSERVED => read_observed(d),
            #[cfg(feature = "trust")]
            NOTE => Note::read(d).map(ToNode::Note),
            #[cfg(feature = "trust")]
            TIME => read_time(d),
            _ => Err(MessageError::Malformed),
        }
    }

    fn check(&self) -> Result<(), MessageError> {
        let is_fine = match self {
            ToNode::Offer { services, candidates, relays, chain, .. } => {
                is_chain_fine(chain)
                    && (chain.is_empty() || services.is_empty())
                    && are_services_fine(services)
                    && are_paths_fine(candidates)
                    && relays.len() <= RELAYS_MAX
                    && relays.iter().all(RelayOffer::is_fine)
            }
            ToNode::Welcome { others, silence_max_s, .. } => {
                are_paths_fine(others) && *silence_max_s <= QUIET_MAX_S
            }
            #[cfg(feature = "trust")]
            ToNode::Note(note) => note.is_fine(),
            #[cfg(feature = "trust")]
            ToNode::Time { statement } => (1..=TIME_LEN_MAX).contains(&statement.len()),
            ToNode::Enrolled
            | ToNode::Observed { .. }
            | ToNode::Refused { .. }
            | ToNode::Presence { .. } => true,
        };
        if is_fine { Ok(()) } else { Err(MessageError::Value) }
    }
}

fn read_welcome(d: &mut Decoder<'_>) -> Result<ToNode, MessageError> {
    let mut observed = NO_PATH;
    let (mut enrolled, mut time_unix_s, mut others) = (false, 0, Vec::new());
    let mut silence_max_s = 0;
    let mut fields = d.fields(3, 5)?;
    while let Some(key) = fields.next_key(d)? {
        match key {
            0 => observed = read_path(d)?,
            1 => enrolled = d.bool()?,
            2 => time_unix_s = d.u64()?,
            3 => others = read_paths(d)?,
            _ => silence_max_s = d.u32()?,
        }
    }
    Ok(ToNode::Welcome { observed, enrolled, time_unix_s, others, silence_max_s })
}

fn read_enrolled(d: &mut Decoder<'_>) -> Result<ToNode, MessageError> {
    d.fields(0, 0)?.next_key(d)?;
    Ok(ToNode::Enrolled)
}

fn read_refused(d: &mut Decoder<'_>) -> Result<ToNode, MessageError> {
    let (mut request, mut reason) = (0, 0);
    let mut fields = d.fields(2, 2)?;
    while let Some(key) = fields.next_key(d)? {
        match key {
            0 => request = d.u32()?,
            _ => reason = d.u8()?,
        }
    }
    Ok(ToNode::Refused { request, reason: RefuseReason::from_code(reason) })
}

fn read_offer(d: &mut Decoder<'_>) -> Result<ToNode, MessageError> {
    let (mut request, mut role, mut lifetime_s) = (0, Role::Initiator, 0);
    let (mut contact_id, mut contact_key) = (ContactId([0; 8]), ContactKey([0; 32]));
    let (mut peer, mut candidates) = (PublicKey([0; 32]), Vec::new());
    let (mut services, mut relays, mut mapping) = (Vec::new(), Vec::new(), MAPPING_UNKNOWN);
    let mut chain = Vec::new();
    let mut fields = d.fields(6, if cfg!(feature = "trust") { 11 } else { 10 })?;
    while let Some(key) = fields.next_key(d)? {
        match key {
            0 => request = d.u32()?,
            1 => role = read_side(d)?,
            2 => d.bytes(&mut contact_id.0)?,
            3 => d.bytes(&mut contact_key.0)?,
            4 => lifetime_s = d.u32()?,
            5 => d.bytes(&mut peer.0)?,
            6 => candidates = read_paths(d)?,
            7 => services = read_services(d)?,
            8 => relays = read_relays(d)?,
            9 => mapping = d.u8()?,
            _ => chain = d.byte_string()?.into(),
        }
    }
    Ok(ToNode::Offer {
        request,
        role,
        contact_id,
        contact_key,
        lifetime_s,
        peer,
        candidates,
        services,
        relays,
        mapping,
        chain,
    })
}

fn read_presence(d: &mut Decoder<'_>) -> Result<ToNode, MessageError> {
    let (mut of, mut online) = (PublicKey([0; 32]), false);
    let mut fields = d.fields(2, 2)?;
    while let Some(key) = fields.next_key(d)? {
        match key {
            0 => d.bytes(&mut of.0)?,
            _ => online = d.bool()?,
        }
    }
    Ok(ToNode::Presence { key: of, online })
}

fn read_observed(d: &mut Decoder<'_>) -> Result<ToNode, MessageError> {
    let (mut observed, mut other) = (NO_PATH, None);
    let mut fields = d.fields(1, 2)?;
    while let Some(key) = fields.next_key(d)? {
        match key {
            0 => observed = read_path(d)?,
            _ => other = Some(read_path(d)?),
        }
    }
    Ok(ToNode::Observed { observed, other })
}

#[cfg(feature = "trust")]
fn read_time(d: &mut Decoder<'_>) -> Result<ToNode, MessageError> {
    let mut statement = Vec::new();
    let mut fields = d.fields(1, 1)?;
    while fields.next_key(d)?.is_some() {
        statement = d.byte_string()?.into();
    }
    Ok(ToNode::Time { statement })
}
