//! What a node says to its broker.

use alloc::string::String;
use alloc::vec::Vec;

use super::cbor::{Decoder, Encoder};
use super::parts::{read_paths, read_services, write_paths, write_services};
use super::{
    CODE_LEN_MAX, EnrolCode, FIRMWARE_LEN_MAX, Message, MessageError, QUIET_MAX_S, ServiceInfo,
    are_paths_fine, are_services_fine, decode, encode,
};
use crate::base::{Path, PublicKey};

const ENROL: u8 = 1;
const HELLO: u8 = 2;
const CONNECT: u8 = 3;
const CANDIDATES: u8 = 4;
const QUIET: u8 = 11;

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
    },
    /// Introduce me to this device.
    Connect {
        /// Comes back in the answer; not 0.
        request: u32,
        /// The device's key.
        device: PublicKey,
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
}

impl Message for ToBroker {
    fn len_at_most(&self) -> usize {
        match self {
            ToBroker::Hello { services, candidates, .. } => {
                let names: usize = services.iter().map(|service| service.name.len() + 16).sum();
                names + candidates.len() * 24 + FIRMWARE_LEN_MAX + 32
            }
            ToBroker::Candidates { candidates } => candidates.len() * 24 + 32,
            ToBroker::Enrol { .. } => CODE_LEN_MAX + 16,
            ToBroker::Connect { .. } | ToBroker::Quiet { .. } => 64,
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
            ToBroker::Hello { version, abi, firmware, services, candidates } => {
                e.uint(HELLO).map(5).key(0).uint(*version).key(1).uint(*abi);
                e.key(2).text(firmware).key(3);
                write_services(e, services);
                e.key(4);
                write_paths(e, candidates);
            }
            ToBroker::Connect { request, device } => {
                e.uint(CONNECT).map(2).key(0).uint(*request).key(1).bytes(&device.0);
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
        }
    }

    fn read(kind: u8, d: &mut Decoder<'_>) -> Result<Self, MessageError> {
        match kind {
            ENROL => read_enrol(d),
            HELLO => read_hello(d),
            CONNECT => read_connect(d),
            CANDIDATES => read_candidates(d),
            QUIET => read_quiet(d),
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
            ToBroker::Connect { request, .. } => *request != 0,
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
    let (mut services, mut candidates) = (Vec::new(), Vec::new());
    let mut fields = d.fields(3, 5)?;
    while let Some(key) = fields.next_key(d)? {
        match key {
            0 => version = d.u32()?,
            1 => abi = d.u32()?,
            2 => firmware = d.text()?,
            3 => services = read_services(d)?,
            _ => candidates = read_paths(d)?,
        }
    }
    Ok(ToBroker::Hello { version, abi, firmware: firmware.into(), services, candidates })
}

fn read_connect(d: &mut Decoder<'_>) -> Result<ToBroker, MessageError> {
    let (mut request, mut device) = (0, PublicKey([0; 32]));
    let mut fields = d.fields(2, 2)?;
    while let Some(key) = fields.next_key(d)? {
        match key {
            0 => request = d.u32()?,
            _ => d.bytes(&mut device.0)?,
        }
    }
    Ok(ToBroker::Connect { request, device })
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
