//! Measures librit beside its peers: who is driven how, what is timed, how it is printed.
//!
//! Owns the contenders and the one driver that all of them run under. Does not own the areas' list
//! (`main`, `bin/memory`) or the builds (`tests/bench.sh`).
//! Invariants: everything is timed in CPU time of the one thread that runs both ends, or in the
//! virtual time of a simulated link; contenders take turns within one process; what is printed
//! carries the datagram size really sent.

pub mod aead;
pub mod bulk;
pub mod cellular_area;
pub mod cli;
pub mod clock;
pub mod core_area;
pub mod fairness_area;
pub mod handshake_area;
#[allow(unsafe_code)] // Counting the heap takes an allocator.
#[path = "../../src/heap.rs"]
pub mod heap;
pub mod links;
pub mod links_area;
pub mod memory_area;
pub mod ours;
#[cfg(feature = "quiche")]
pub mod quiche_peer;
pub mod quinn_peer;
pub mod report;
pub mod sessions_area;
pub mod settings;
pub mod svg;
pub mod tls;
