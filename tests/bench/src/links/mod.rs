//! Simulated links: a bottleneck in virtual time, and bulk transfers through it.
//!
//! Owns what goes between the ends. Does not own which links are measured and what counts; that is
//! the areas'. Invariant: the same configuration, seed and flows make the same figures.

pub mod age;
mod codel;
pub mod goodput;
pub mod link;
mod ours;
pub mod parallel;
mod quinn;
pub mod trace;
pub mod varying;
pub mod world;

pub use ours::OurFlow;
pub use quinn::QuinnFlow;

/// UDP payload of a full datagram: what an Ethernet path carries.
pub const DATAGRAM: usize = 1452;
/// Windows are not what limits: at least this, and more where the link holds more.
const MIN_WINDOW: u64 = 1024 * 1024;

/// Flow control windows and send buffers for a link: four times what may be under way, because
/// what is behind a lost packet waits for it for some round trips.
pub fn window(config: &link::LinkConfig) -> u64 {
    (4 * (config.bdp() + config.buffer)).max(MIN_WINDOW)
}
