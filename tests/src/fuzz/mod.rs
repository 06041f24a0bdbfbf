//! The bodies of the fuzz targets: each takes arbitrary bytes and panics if the core is wrong.
//!
//! They live here rather than in `fuzz/` so that the stable toolchain runs them too: the test
//! `fuzz_seeds` replays every file of `fuzz/seeds`.

mod wire;

pub use wire::{frame, packet};

/// A fuzz target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by the name of its folder in `fuzz/seeds`.
pub const TARGETS: &[Target] = &[("packet", packet), ("frame", frame)];
