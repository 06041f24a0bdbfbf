//! The C interface of librit: `include/rit.h` is generated from this crate's doc comments.
//!
//! Owns the ABI: structs, error codes, callbacks, handles. Does not own any protocol: each function
//! checks its arguments, calls core, and drains what core has to send. The only crate with unsafe
//! code; every block says why it is sound.
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(non_camel_case_types)] // C names

extern crate alloc;

#[cfg(not(feature = "std"))]
mod bare;
mod config;
mod error;
mod event;
mod io;
mod node;
mod service;
mod session;
mod stream;
mod structs;
mod text;

pub use config::*;
pub use error::*;
pub use event::*;
pub use io::*;
pub use node::*;
pub use service::*;
pub use session::*;
pub use stream::*;
pub use text::*;
