//! What stands in messages of both directions, as CBOR.

use alloc::vec::Vec;

#[cfg(feature = "trust")]
use super::NOTE_LEN_MAX;
use super::cbor::{Decoder, Encoder};
use super::{ContactKey, MessageError, RelayOffer, ServiceInfo};
use crate::base::{Path, PublicKey, Side};
use crate::wire::relay::RelayToken;

/// Whom a device obeys, as it tells its broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The number of this ownership, or of the last one.
    pub epoch: u32,
    /// The number of the revocation list that it has; 0: none.
    pub list: u64,
    /// The owner; `None`: it is unclaimed.
    pub owner: Option<PublicKey>,
}

/// What one node says to another, or a broker to a node, about ownership; the broker in between
/// hands it on unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Comes back in the answer; not 0.
    pub request: u32,
    /// To a broker: whom it is for. From a broker: whom it is from, the broker itself among them.
    pub key: PublicKey,
    /// What the body is.
    pub kind: u8,
    /// At most [`NOTE_LEN_MAX`](super::NOTE_LEN_MAX) bytes.
    pub body: Vec<u8>,
}

/// A path before it is read. Interfaces are the other machine's own business.
pub(super) const NO_PATH: Path = Path { ip: [0; 16], port: 0, via: 0, socket: 0, ifindex: 0 };

pub(super) fn write_path(e: &mut Encoder<'_>, path: &Path) {
    e.array(2).bytes(&path.ip).uint(path.port);
}

pub(super) fn read_path(d: &mut Decoder<'_>) -> Result<Path, MessageError> {
    if !d.array()?.are(2) {
        return Err(MessageError::Malformed);
    }
    let mut path = NO_PATH;
    d.bytes(&mut path.ip)?;
    path.port = d.u16()?;
    Ok(path)
}

pub(super) fn write_paths(e: &mut Encoder<'_>, paths: &[Path]) {
    e.array(paths.len());
    paths.iter().for_each(|path| write_path(e, path));
}

pub(super) fn read_paths(d: &mut Decoder<'_>) -> Result<Vec<Path>, MessageError> {
    let mut items = d.array()?;
    if items.is_indefinite() {
        return Err(MessageError::Malformed);
    }
    // The length is a claim: nothing is reserved for it.
    let mut paths = Vec::new();
    while d.has_next(&mut items)? {
        paths.push(read_path(d)?);
    }
    Ok(paths)
}

pub(super) fn write_services(e: &mut Encoder<'_>, services: &[ServiceInfo]) {
    e.array(services.len());
    for ServiceInfo { name, kind, port } in services {
        e.map(3).key(0).text(name).key(1).uint(*kind).key(2).uint(*port);
    }
}

pub(super) fn read_services(d: &mut Decoder<'_>) -> Result<Vec<ServiceInfo>, MessageError> {
    let mut items = d.array()?;
    let mut services = Vec::new();
    while d.has_next(&mut items)? {
        let (mut name, mut kind, mut port) = ("", 0, 0);
        let mut fields = d.fields(3, 3)?;
        while let Some(key) = fields.next_key(d)? {
            match key {
                0 => name = d.text()?,
                1 => kind = d.u8()?,
                _ => port = d.u16()?,
            }
        }
        services.push(ServiceInfo { name: name.into(), kind, port });
    }
    Ok(services)
}

pub(super) fn write_relays(e: &mut Encoder<'_>, relays: &[RelayOffer]) {
    e.array(relays.len());
    for RelayOffer { paths, token, key, tls } in relays {
        e.map(4).key(0);
        write_paths(e, paths);
        e.key(1).bytes(&token.0).key(2).bytes(&key.0).key(3);
        write_paths(e, tls);
    }
}

pub(super) fn read_relays(d: &mut Decoder<'_>) -> Result<Vec<RelayOffer>, MessageError> {
    let mut items = d.array()?;
    let mut relays = Vec::new();
    while d.has_next(&mut items)? {
        let mut relay = RelayOffer {
            paths: Vec::new(),
            token: RelayToken([0; 38]),
            key: ContactKey([0; 32]),
            tls: Vec::new(),
        };
        let mut fields = d.fields(3, 4)?;
        while let Some(key) = fields.next_key(d)? {
            match key {
                0 => relay.paths = read_paths(d)?,
                1 => d.bytes(&mut relay.token.0)?,
                2 => d.bytes(&mut relay.key.0)?,
                _ => relay.tls = read_paths(d)?,
            }
        }
        relays.push(relay);
    }
    Ok(relays)
}

/// Which end of a connection, as a number.
pub(super) fn side_number(side: Side) -> u8 {
    match side {
        Side::Initiator => 0,
        Side::Responder => 1,
    }
}

pub(super) fn read_side(d: &mut Decoder<'_>) -> Result<Side, MessageError> {
    match d.u8()? {
        0 => Ok(Side::Initiator),
        1 => Ok(Side::Responder),
        _ => Err(MessageError::Malformed),
    }
}

pub(super) fn write_ownership(e: &mut Encoder<'_>, ownership: &Ownership) {
    e.map(2 + usize::from(ownership.owner.is_some()));
    e.key(0).uint(ownership.epoch).key(1).uint(ownership.list);
    if let Some(owner) = &ownership.owner {
        e.key(2).bytes(&owner.0);
    }
}

pub(super) fn read_ownership(d: &mut Decoder<'_>) -> Result<Ownership, MessageError> {
    let mut ownership = Ownership { epoch: 0, list: 0, owner: None };
    let mut fields = d.fields(2, 3)?;
    while let Some(key) = fields.next_key(d)? {
        match key {
            0 => ownership.epoch = d.u32()?,
            1 => ownership.list = d.u64()?,
            _ => d.bytes(&mut ownership.owner.insert(PublicKey([0; 32])).0)?,
        }
    }
    Ok(ownership)
}

#[cfg(feature = "trust")]
impl Note {
    pub(super) fn is_fine(&self) -> bool {
        self.request != 0 && self.body.len() <= NOTE_LEN_MAX
    }

    pub(super) fn write(&self, e: &mut Encoder<'_>) {
        e.map(4).key(0).uint(self.request).key(1).bytes(&self.key.0);
        e.key(2).uint(self.kind).key(3).bytes(&self.body);
    }

    pub(super) fn read(d: &mut Decoder<'_>) -> Result<Note, MessageError> {
        let mut note = Note { request: 0, key: PublicKey([0; 32]), kind: 0, body: Vec::new() };
        let mut fields = d.fields(4, 4)?;
        while let Some(key) = fields.next_key(d)? {
            match key {
                0 => note.request = d.u32()?,
                1 => d.bytes(&mut note.key.0)?,
                2 => note.kind = d.u8()?,
                _ => note.body = d.byte_string()?.into(),
            }
        }
        Ok(note)
    }
}
