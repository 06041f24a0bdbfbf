//! The bodies of the fuzz targets: each takes arbitrary bytes and panics if the core is wrong.
//!
//! They live here rather than in `fuzz/` so that the stable toolchain runs them too: the test
//! `fuzz_seeds` replays every file of `fuzz/seeds`.

mod carrier;
mod connection;
mod handshake;
mod message;
mod node;
mod relay;
mod trust;
mod wire;

pub use carrier::carrier;
pub use connection::connection;
pub use handshake::crypto_reassembly;
pub use message::message;
pub use node::node;
pub use relay::relay;
pub use trust::{claim, cloak, grant, revocation, trust_state};
pub use wire::{frame, identify, packet};

/// A fuzz target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by the name of its folder in `fuzz/seeds`.
pub const TARGETS: &[Target] = &[
    ("packet", packet),
    ("frame", frame),
    ("crypto_reassembly", crypto_reassembly),
    ("message", message),
    ("connection", connection),
    ("node", node),
    ("relay", relay),
    ("carrier", carrier),
    ("grant", grant),
    ("revocation", revocation),
    ("claim", claim),
    ("trust_state", trust_state),
    ("cloak", cloak),
    ("identify", identify),
];
