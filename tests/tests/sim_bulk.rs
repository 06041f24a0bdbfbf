//! Scenario: 16 concurrent streams both ways over a bad path, a thousand seeds.
//!
//! Every byte arrives in its place, nothing hangs, buffers stay under their bound, and the same
//! seed gives the same bytes on the wire.

use rit_core::node::Config;
use rit_tests::heap::{Counting, most_bytes};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::seeds;
use rit_tests::sim::trio::{self, Trio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const STREAMS: u64 = 16;
/// Heap of one whole world: two nodes, each with both windows full and its rings up to twice that,
/// the broker, and what is in flight on the simulated links.
const HEAP_MAX: u64 = 4 * 1024 * 1024;

#[global_allocator]
static HEAP: Counting = Counting;

const SEEDS: u64 = 1000;
const SEEDS_TWICE: u64 = 20;

fn config() -> Config {
    trio::config(|config| {
        config.transport.stream_window = 32 * 1024;
        config.transport.session_window = 256 * 1024;
    })
}

/// Runs the scenario; gives its trace hash and the most that either node buffered.
fn scenario(seed: u64) -> (u64, u64) {
    let mut trio = Trio::with_config(seed, LinkConfig::hostile(), config());
    trio.online();
    let session = trio.session();
    // 32 to 64 KiB each way, different for each stream and seed.
    let len = |i: u64, way: u64| 32 * 1024 + (seed * 7919 + i * 2741 + way * 104_729) % (32 * 1024);
    for i in 0..STREAMS {
        trio.open_flow(session, seed << 8 | i, len(i, 0), len(i, 1));
    }
    let is_idle = trio.run_until_idle(Duration::from_secs(300));
    assert!(is_idle, "seed {seed}: bytes are missing after 300 s of virtual time");
    let (user, device) = (trio.user, trio.device);
    let done = |host| &trio.world.app_ref(host).done;
    assert_eq!(done(user).len() as u64, STREAMS);
    assert_eq!(done(device).len() as u64, STREAMS);
    let sum = |way| (0..STREAMS).map(|i| len(i, way)).sum::<u64>();
    assert_eq!(done(device).iter().map(|flow| flow.received).sum::<u64>(), sum(0));
    assert_eq!(done(user).iter().map(|flow| flow.received).sum::<u64>(), sum(1));
    let most = |host| trio.world.host(host).buffered_bytes_max;
    (trio.world.trace_hash(), most(user).max(most(device)))
}

#[test]
fn a_thousand_seeds_deliver_every_byte() {
    let (most, most_heap) = (AtomicU64::new(0), AtomicU64::new(0));
    // Sent and received bytes are each bounded by the session's window; the broker's link and the
    // handshake add a little.
    let bound = 2 * config().transport.session_window + 128 * 1024;
    seeds::run("bulk", SEEDS, |seed| {
        let ((_, buffered), heap) = most_bytes(|| scenario(seed));
        assert!(heap <= HEAP_MAX, "{heap} bytes of heap, the bound is {HEAP_MAX}");
        most_heap.fetch_max(heap, Ordering::Relaxed);
        assert!(buffered <= bound, "{buffered} bytes buffered, the bound is {bound}");
        most.fetch_max(buffered, Ordering::Relaxed);
    });
    println!("most bytes buffered by one node: {most:?} of {bound}");
    println!("most heap of one world: {most_heap:?} of {HEAP_MAX}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    seeds::run("trace", SEEDS_TWICE, |seed| {
        let first = scenario(seed).0;
        assert_eq!(first, scenario(seed).0, "the trace differs");
        assert_ne!(first, scenario(seed + 1_000_000).0, "the seed does not matter");
    });
}
