//! The librit protocol as sans-I/O state machines: no socket, no clock, no thread, no entropy of
//! its own.
//!
//! Invariant: time, randomness and packets enter only through arguments. After any call, drain
//! `poll_transmit` and `poll_event` until they are empty, then sleep until `poll_timeout`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod base;
pub mod wire;
pub mod crypto;
pub mod handshake;
#[cfg(feature = "tcp")]
pub mod carrier;
pub mod transport;
pub mod trust;
pub mod tunnel;
pub mod traverse;
#[cfg(feature = "broker")]
pub mod broker;
#[cfg(feature = "relay")]
pub mod relay;
pub mod node;
