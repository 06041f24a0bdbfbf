//! The C interface of librit: `include/rit.h` is generated from the items of this crate.
//!
//! Owns every pointer that crosses the boundary, and all `unsafe` code of the library. Does not own
//! any protocol: each function checks its arguments, calls `rit_core::node`, then drains what is to
//! be sent through the integrator's callbacks. Doc comments of public items are written for people
//! who read the header, who know no Rust. Invariants: no panic leaves this crate; a callback runs
//! only while its node cannot be entered again.
#![cfg_attr(not(feature = "std"), no_std)]
// C names are C's. What a C caller must hold to is what the header says, not a `# Safety` section.
// Brackets in comments are for cbindgen.
#![allow(non_camel_case_types, clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

extern crate alloc;

pub mod error;
pub mod io;
pub mod heap;
pub mod crypto;
pub mod config;
pub mod node;
pub mod drive;
pub mod tcp;
pub mod event;
pub mod broker;
pub mod owner;
pub mod trust;
pub mod service;
pub mod session;
pub mod pipe;
pub mod stream;
pub mod flow;
pub mod text;
pub mod selftest;
mod args;
#[cfg(feature = "attest")]
mod attest;
#[cfg(all(not(feature = "std"), target_os = "none"))]
mod firmware;
mod guard;
#[cfg(all(test, feature = "std", not(feature = "initiator"), not(feature = "own-crypto")))]
mod left_out;
mod memory;

pub use broker::{rit_broker, rit_broker_connect, rit_gateway_connect, rit_gateway_forget};
pub use config::{rit_config, rit_config_init};
pub use crypto::{rit_bytes, rit_crypto};
pub use error::rit_strerror;
pub use event::{rit_event, rit_node_next_event};
pub use flow::rit_flow;
pub use heap::rit_heap_info;
pub use io::{rit_io, rit_path};
pub use node::{rit_node, rit_node_free, rit_node_new, rit_stats};
pub use owner::{rit_cloak, rit_grant, rit_revoked};
pub use pipe::rit_pipe;
pub use selftest::{
    rit_finding, rit_selftest, rit_selftest_config, rit_selftest_free, rit_selftest_new,
};
pub use service::{rit_service, rit_service_id, rit_service_info};
pub use session::{rit_path_info, rit_session, rit_session_info, rit_target};
pub use stream::rit_stream;
pub use trust::rit_ownership;

/// The version of this interface. Goes into rit_config.abi_version (rit_config_init does it), so
/// that a library of another version refuses to start instead of misbehaving.
pub const RIT_ABI_VERSION: u32 = 1;

/// Bytes of a node's name: its public key of Ed25519, or where its key is on P-256 a hash of that.
pub const RIT_KEY_LEN: usize = 32;

/// Bytes of a key's text form: 52 characters of a-z and 2-7, and a NUL.
pub const RIT_KEY_TEXT_LEN: usize = 53;
