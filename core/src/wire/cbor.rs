//! What every CBOR item begins with (RFC 8949 §3): its type, and a head in its shortest form.
//!
//! Owns what the readers and writers of CBOR share: broker messages are read as leniently as the
//! RFC lets, what an owner signs is not, but all is written alike.

use alloc::vec::Vec;

pub(crate) const UNSIGNED: u8 = 0;
pub(crate) const NEGATIVE: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;
pub(crate) const TAG: u8 = 6;
/// Simple values, floating-point numbers, and the break.
pub(crate) const SIMPLE: u8 = 7;

/// Bytes that an argument takes beside the first one, if it takes any.
pub(crate) fn argument_len(value: u64) -> usize {
    match value {
        0..=23 => 0,
        24..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

/// Appends a head.
pub(crate) fn write_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let len = argument_len(argument);
    let info = if len == 0 { argument as u8 } else { 24 + len.trailing_zeros() as u8 };
    out.push(major << 5 | info);
    out.extend_from_slice(&argument.to_be_bytes()[8 - len..]);
}
