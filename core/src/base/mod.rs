//! What everything stands on: time, seeded randomness, identities of things, byte rings and ranges.
//!
//! Owns plain data and containers. Knows nothing of packets, crypto or connections.

mod deadlines;
mod id;
mod map;
mod memory;
mod range_set;
mod ring;
mod rng;
mod slab;
mod time;

pub use deadlines::Deadlines;
pub use id::{ContactId, Ecn, Path, PublicKey, Side};
pub use map::{Map, Set};
pub use memory::{Reserve, growth, has_room, push_few};
pub use range_set::RangeSet;
pub use ring::ByteRing;
pub use rng::Rng;
pub use slab::{Handle, Slab};
pub use time::Time;
