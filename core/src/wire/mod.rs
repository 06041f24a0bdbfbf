//! Bytes ↔ packets, frames, messages. Pure functions: no state, no I/O, no crypto.
//!
//! Encodings are those of RFC 9000 §§12, 16–19 unless a file says otherwise.

pub mod ack;
pub(crate) mod cbor;
pub mod cid;
pub mod codec;
pub mod frame;
#[cfg(feature = "trust")]
pub mod identify;
pub mod message;
pub mod packet;
pub mod params;
pub mod relay;
pub mod text;

/// The wire version, in every long header and bound into the keys: "rit" and 1.
pub const VERSION: u32 = 0x7269_7401;
