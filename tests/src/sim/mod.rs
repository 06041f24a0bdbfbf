//! The deterministic simulator: virtual time, seeded links, real nodes and brokers of the core.
//!
//! Nothing in here reads a clock or asks for entropy: a seed decides everything, so a failing
//! seed fails again. `net` carries datagrams, `nat` translates and filters them, `sites` knows who
//! is behind which box, `world` runs the machines, `app` is the code that would sit above a node,
//! `seeds` runs one scenario over many seeds.

pub mod app;
pub mod clock;
pub mod endpoint;
pub mod estate;
pub mod host;
pub mod hostile;
pub mod hostile_relay;
pub mod lan;
pub mod nat;
pub mod net;
pub mod provider;
pub mod raw_peer;
pub mod reach;
pub mod relay;
pub mod seeds;
pub mod sites;
pub mod store;
pub mod tcp;
mod trace;
pub mod trio;
pub mod udp;
pub mod world;
