//! Area `memory`: bytes that one end of a connection takes, at rest and amid a transfer. Smaller
//! is better, and a ratio below one is ours.
//!
//! Counted are the struct of the connection itself and what it has on the heap; not the endpoint
//! or node around it, the keys and configuration that connections share, or buffers of the driver.
//! Invariant: the global allocator is [`heap::Counting`]; with another, `rows` panics. What C code
//! takes (BoringSSL) it does not see, so quiche is left out.

use crate::bulk::{Pair, transfer_watched};
use crate::heap;
use crate::ours::Ours;
use crate::quinn_peer::Quinn;
use crate::report::Row;
use crate::settings::Settings;
use std::hint::black_box;

/// What every path carries: no end has looked for more.
const DATAGRAM: usize = 1200;
/// Rounds after the handshake in which its last acknowledgements, tickets and key discards pass:
/// 100 µs each, together beyond all delays of acknowledgements.
const REST_ROUNDS: usize = 2000;
/// Bytes of the transfer; the heap is looked at in its second half.
const BYTES: u64 = 8 << 20;
/// Bytes that the busy sender is ahead of the reader: both ends' buffers are as full as this.
const AHEAD: u64 = 64 * 1024;

/// Bytes of one end, half of what both take.
#[derive(Clone, Copy, Debug)]
struct Usage {
    idle: f64,
    busy: f64,
}

/// Measures both states. Nothing here is noisy, so the settings are not asked.
pub fn rows(_: &Settings) -> Vec<Row> {
    let (_, most) = heap::most_bytes(|| black_box(vec![0_u8; 64]));
    assert!(most >= 64, "the heap is not counted");
    let ours = usage(Ours::prepare(DATAGRAM), Ours::connect, Ours::CONNECTION_BYTES);
    let quinn = usage(Quinn::prepare(DATAGRAM), Quinn::connect, Quinn::CONNECTION_BYTES);
    let row = |state: &str, ours: f64, peer: f64| Row {
        name: format!("memory of one end, {state} (smaller is better)"),
        unit: "bytes",
        ours,
        peer,
        peer_name: "quinn-proto",
    };
    vec![row("idle", ours.idle, quinn.idle), row("busy, 64 KiB ahead", ours.busy, quinn.busy)]
}

/// `prepared` is all that connections do not own, and is not counted; `struct_bytes` is counted
/// once an end, as the struct stands in the pair and not on the heap.
fn usage<P, C: Pair>(prepared: P, connect: fn(P) -> C, struct_bytes: usize) -> Usage {
    let before = heap::bytes_held();
    let mut pair = connect(prepared);
    for _ in 0..REST_ROUNDS {
        pair.forward();
        pair.backward();
    }
    let of_one_end = |held: i64| (held - before) as f64 / 2.0 + struct_bytes as f64;
    let idle = of_one_end(heap::bytes_held());
    let mut most = 0;
    let mut carried = 0;
    transfer_watched(&mut pair, BYTES, AHEAD, |read| {
        carried = read;
        if read >= BYTES / 2 {
            most = heap::bytes_held().max(most);
        }
    });
    assert!(carried >= BYTES / 2, "the transfer was watched");
    Usage { idle, busy: of_one_end(most) }
}
