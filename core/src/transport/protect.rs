//! Packet protection and header protection of one packet (RFC 9001 §§5.3, 5.4).
//!
//! Pure: keys and bytes in, bytes out. The caller knows which keys and which packet number space.

use crate::crypto::{AeadError, DirectionKeys, HeaderKey, PacketKey};
use crate::wire::packet::{self, Header, SAMPLE_LEN};
use core::ops::Range;

/// Why a packet did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Not sealed under these keys: drop it silently.
    Unauthentic,
    /// The integrator's crypto failed: nothing is known of it.
    Failed,
    /// Authentic, but reserved bits are set: PROTOCOL_VIOLATION.
    ReservedBits,
}

/// An opened packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its full packet number.
    pub pn: u64,
    /// Where in the packet its frames are.
    pub payload: Range<usize>,
}

/// What a packet says of itself once header protection is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmasked {
    /// Its full packet number.
    pub pn: u64,
    /// Its key phase, if it is a 1-RTT packet.
    pub key_phase: bool,
    first: u8,
    payload_start: usize,
}

/// Takes header and packet protection off in place. `packet` is `header.len` bytes; `expected` is
/// the largest packet number received in the space plus one. On failure the bytes are spoiled.
pub fn open(
    keys: &DirectionKeys,
    header: &Header,
    packet: &mut [u8],
    expected: u64,
) -> Result<Opened, OpenError> {
    let unmasked = unmask(&*keys.header, header, packet, expected)?;
    open_payload(&*keys.packet, &unmasked, packet)
}

/// Takes header protection off in place; arguments as for [`open`].
pub fn unmask(
    key: &dyn HeaderKey,
    header: &Header,
    packet: &mut [u8],
    expected: u64,
) -> Result<Unmasked, OpenError> {
    let pn_offset = header.pn_offset;
    let sample = sample_at(packet, pn_offset).ok_or(OpenError::Unauthentic)?;
    let mask = key.mask(&sample).map_err(|_| OpenError::Failed)?;
    packet[0] ^= mask[0] & packet::protected_bits(packet[0]);
    let first = packet[0];
    let pn_len = packet::pn_len(first);
    let mut truncated = 0;
    for (byte, mask) in packet[pn_offset..pn_offset + pn_len].iter_mut().zip(&mask[1..]) {
        *byte ^= mask;
        truncated = truncated << 8 | u64::from(*byte);
    }
    Ok(Unmasked {
        pn: packet::expand_pn(expected, truncated, pn_len),
        key_phase: packet::key_phase(first),
        first,
        payload_start: pn_offset + pn_len,
    })
}

/// Takes packet protection off in place, behind [`unmask`].
pub fn open_payload(
    key: &dyn PacketKey,
    unmasked: &Unmasked,
    packet: &mut [u8],
) -> Result<Opened, OpenError> {
    let Unmasked { pn, first, payload_start: start, .. } = *unmasked;
    let (aad, sealed) = packet.split_at_mut(start);
    let len = key.open(pn, aad, sealed).map_err(|error| match error {
        AeadError::Unauthentic => OpenError::Unauthentic,
        AeadError::Failed(_) => OpenError::Failed,
    })?;
    if !packet::reserved_bits_are_zero(first) {
        return Err(OpenError::ReservedBits);
    }
    Ok(Opened { pn, payload: start..start + len })
}

/// Seals in place. `packet` is header, frames and 16 bytes of room; the packet number is `pn_len`
/// bytes at `pn_offset`. An error that is no failure means that the bytes are too few.
pub fn seal(
    keys: &DirectionKeys,
    packet: &mut [u8],
    pn_offset: usize,
    pn_len: usize,
    pn: u64,
) -> Result<(), AeadError> {
    let parts = packet.split_at_mut_checked(pn_offset + pn_len);
    let (aad, payload) = parts.ok_or(AeadError::Unauthentic)?;
    keys.packet.seal(pn, aad, payload)?;
    let sample = sample_at(packet, pn_offset).ok_or(AeadError::Unauthentic)?;
    let mask = keys.header.mask(&sample)?;
    packet[0] ^= mask[0] & packet::protected_bits(packet[0]);
    for (byte, mask) in packet[pn_offset..pn_offset + pn_len].iter_mut().zip(&mask[1..]) {
        *byte ^= mask;
    }
    Ok(())
}

/// The sample stands where it would if the packet number had four bytes.
fn sample_at(packet: &[u8], pn_offset: usize) -> Option<[u8; SAMPLE_LEN]> {
    packet.get(pn_offset + 4..)?.first_chunk().copied()
}
