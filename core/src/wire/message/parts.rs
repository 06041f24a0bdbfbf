//! What stands in messages of both directions, as CBOR.

use alloc::vec::Vec;

use super::cbor::{Decoder, Encoder};
use super::{ContactKey, MessageError, RelayOffer, ServiceInfo};
use crate::base::{Path, Side};
use crate::wire::relay::RelayToken;

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
