//! What a node says to its broker.

use alloc::string::String;
use alloc::vec::Vec;

use super::cbor::{Decoder, Encoder};
#[cfg(feature = "trust")]
use super::parts::Note;
use super::parts::{
    Ownership, read_ownership, read_paths, read_services, write_ownership, write_paths,
    write_services,
};
use super::{
    CODE_LEN_MAX, EnrolCode, FIRMWARE_LEN_MAX, Message, MessageError, QUIET_MAX_S, ServiceInfo,
    are_paths_fine, are_services_fine, decode, encode, is_chain_fine,
};
#[cfg(feature = "trust")]
use super::{NOTE, TIME_NONCE_LEN};
use crate::base::{Path, PublicKey};

const ENROL: u8 = 1;
const HELLO: u8 = 2;
const CONNECT: u8 = 3;
const CANDIDATES: u8 = 4;
const QUIET: u8 = 11;
#[cfg(feature = "trust")]
const TIME_QUERY: u8 = 13;

/// A message of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToBroker {
    /// Take me in, here is a code.
    Enrol {
        /// As the person typed it.
        code: EnrolCode,
    },
    /// What I am and offer, and where I may be reached. From now on the node is online.
    Hello {
        /// The wire version it speaks.
        version: u32,
        /// The version of the C interface it was built with.
        abi: u32,
        /// What runs on it, for people.
        firmware: String,
        /// Its services.
        services: Vec<ServiceInfo>,
        /// Its own addresses.
        candidates: Vec<Path>,
        /// Whom it obeys; `None`: it obeys no owner, and decides otherwise.
        ownership: Option<Ownership>,
    },
    /// Introduce me to this device.
    Connect {
        /// Comes back in the answer; not 0.
        request: u32,
        /// The device's key.
        device: PublicKey,
        /// What the device's owner granted; empty: the node needs no grant.
        chain: Vec<u8>,
    },
    /// My addresses are these now.
    Candidates {
        /// All of them, not only the new ones.
        candidates: Vec<Path>,
    },
    /// I keep my link up from now on by a packet in this time; and find out for me how long my
    /// NAT remembers.
    Quiet {
        /// Seconds, 1 to [`QUIET_MAX_S`]: silence for longer means that the node is gone.
        silence_s: u32,
        /// Seconds, 1 to [`QUIET_MAX_S`], after which the broker is to send a PATH_CHALLENGE to
        /// where the node's last one came from.
        ask_back_s: Option<u32>,
    },
    /// Hand this on.
    #[cfg(feature = "trust")]
    Note(Note),
    /// What time is it, and is there a revocation list for me?
    #[cfg(feature = "trust")]
    TimeQuery {
        /// Stands in the answer.
        nonce: [u8; TIME_NONCE_LEN],
    },
}

impl Message for ToBroker {
    fn len_at_most(&self) -> usize {
        match self {
            ToBroker::Hello { services, candidates, .. } => {
                let names: usize = services.iter().map(|service| service.name.len() + 16).sum();
                names + candidates.len() * 24 + FIRMWARE_LEN_MAX + 96
            }
            ToBroker::Candidates { candidates } => candidates.len() * 24 + 32,
            ToBroker::Enrol { .. } => CODE_LEN_MAX + 16,
            ToBroker::Connect { chain, .. } => chain.len() + 64,
            ToBroker::Quiet { .. } => 64,
            #[cfg(feature = "trust")]
            ToBroker::Note(note) => note.body.len() + 64,
            #[cfg(feature = "trust")]
            ToBroker::TimeQuery { .. } => 64,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), MessageError> {
        encode(out, self.check(), |e| self.write(e))
    }

    fn decode(bytes: &[u8]) -> Result<Option<Self>, MessageError> {
        decode(bytes, Self::read, Self::check)
    }
}

impl ToBroker {
    pub(super) fn write(&self, e: &mut Encoder<'_>) {
        e.array(2);
        match self {
            ToBroker::Enrol { code } => {
                e.uint(ENROL).map(1).key(0).text(&code.0);
            }
            ToBroker::Hello { version, abi, firmware, services, candidates, ownership } => {
                let ownership = ownership.filter(|_| cfg!(feature = "trust"));
                e.uint(HELLO)
                    .map(5 + usize::from(ownership.is_some()))
                    .key(0)
                    .uint(*version)
                    .key(1)
                    .uint(*abi);
                e.key(2).text(firmware).key(3);
                write_services(e, services);
                e.key(4);
                write_paths(e, candidates);
                if let Some(ownership) = &ownership {
                    write_ownership(e.key(5), ownership);
                }
            }
            ToBroker::Connect { request, device, chain } => {
                e.uint(CONNECT).map(2 + usize::from(!chain.is_empty()));
                e.key(0).uint(*request).key(1).bytes(&device.0);
                if !chain.is_empty() {
                    e.key(2).bytes(chain);
                }
            }
            ToBroker::Candidates { candidates } => {
                e.uint(CANDIDATES).map(1).key(0);
                write_paths(e, candidates);
            }
            ToBroker::Quiet { silence_s, ask_back_s } => {
                e.uint(QUIET).map(1 + usize::from(ask_back_s.is_some()));
                e.key(0).uint(*silence_s);
                if let Some(ask_back_s) = ask_back_s {
                    e.key(1).uint(*ask_back_s);
                }
            }
            #[cfg(feature = "trust")]
            ToBroker::Note(note) => note.write(e.uint(NOTE)),
            #[cfg(feature = "trust")]
            ToBroker::TimeQuery { nonce } => {
                e.uint(TIME_QUERY).map(1).key(0).bytes(nonce);
            }
        }
    }

    fn read(kind: u8, d: &mut Decoder<'_>) -> Result<Self, MessageError> {
        match kind {
            ENROL => read_enrol(d),
            HELLO => read_hello(d),
            CONNECT => read_connect(d),
            CANDIDATES => read_candidates(d),
            QUIET => read_quiet(d),
            #[cfg(feature = "trust")]
            NOTE => Note::read(d).map(ToBroker::Note),
            #[cfg(feature = "trust")]
            TIME_QUERY => read_time_query(d),
            _ => Err(MessageError::Malformed),
        }
    }

    fn check(&self) -> Result<(), MessageError> {
        let is_fine = match self {
            ToBroker::Enrol { code } => (1..=CODE_LEN_MAX).contains(&code.0.len()),
            ToBroker::Hello { firmware, services, candidates, .. } => {
                firmware.len() <= FIRMWARE_LEN_MAX
                    && are_services_fine(services)
                    && are_paths_fine(candidates)
            }
            ToBroker::Connect { request, chain, .. } => *request != 0 && is_chain_fine(chain),
            #[cfg(feature = "trust")]
            ToBroker::Note(note) => note.is_fine(),
            #[cfg(feature = "trust")]
            ToBroker::TimeQuery { .. } => true,
            ToBroker::Candidates { candidates } => are_paths_fine(candidates),
            ToBroker::Quiet { silence_s, ask_back_s } => {
                let is_fine = |s: u32| (1..=QUIET_MAX_S).contains(&s);
                is_fine(*silence_s) && ask_back_s.is_none_or(is_fine)
            }
        };
        if is_fine { Ok(()) } else { Err(MessageError::Value) }
    }
}

fn read_enrol(d: &mut Decoder<'_>) -> Result<ToBroker, MessageError> {
    let mut code = EnrolCode::from("");
    let mut fields = d.fields(1, 1)?;
    while fields.next_key(d)?.is_some() {
        code = EnrolCode::from(d.text()?);
    }
    Ok(ToBroker::Enrol { code })
}

fn read_hello(d: &mut Decoder<'_>) -> Result<ToBroker, MessageError> {
    let (mut version, mut abi, mut firmware) = (0, 0, "");
    let (mut services, mut candidates, mut ownership) = (Vec::new(), Vec::new(), None);
    let mut fields = d.fields(3, 6)?;
    while let Some(key) = fields.next_key(d)? {
        match key {
            0 => version = d.u32()?,
            1 => abi = d.u32()?,
            2 => firmware = d.text()?,
            3 => services = read_services(d)?,
            4 => candidates = read_paths(d)?,
            _ => ownership = Some(read_ownership(d)?),
        }
    }
    Ok(ToBroker::Hello { version, abi, firmware: firmware.into(), services, candidates, ownership })
}

fn read_connect(d: &mut Decoder<'_>) -> Result<ToBroker, MessageError> {
    let (mut request, mut device, mut chain) = (0, PublicKey([0; 32]), Vec::new());
    let mut fields = d.fields(2, 3)?;
    while let Some(key) = fields.next_key(d)? {
        match key {
            0 => request = d.u32()?,
            1 => d.bytes(&mut device.0)?,
            _ => chain = d.byte_string()?.into(),
        }
    }
    Ok(ToBroker::Connect { request, device, chain })
}

fn read_candidates(d: &mut Decoder<'_>) -> Result<ToBroker, MessageError> {
    let mut candidates = Vec::new();
    let mut fields = d.fields(1, 1)?;
    while fields.next_key(d)?.is_some() {
        candidates = read_paths(d)?;
    }
    Ok(ToBroker::Candidates { candidates })
}

fn read_quiet(d: &mut Decoder<'_>) -> Result<ToBroker, MessageError> {
    let (mut silence_s, mut ask_back_s) = (0, None);
    let mut fields = d.fields(1, 2)?;
    while let Some(key) = fields.next_key(d)? {
        match key {
            0 => silence_s = d.u32()?,
            _ => ask_back_s = Some(d.u32()?),
        }
    }
    Ok(ToBroker::Quiet { silence_s, ask_back_s })
}

#[cfg(feature = "trust")]
fn read_time_query(d: &mut Decoder<'_>) -> Result<ToBroker, MessageError> {
    let mut nonce = [0; TIME_NONCE_LEN];
    let mut fields = d.fields(1, 1)?;
    while fields.next_key(d)?.is_some() {
        d.bytes(&mut nonce)?;
    }
    Ok(ToBroker::TimeQuery { nonce })
}
