//! Marks of congestion, over paths that are good and bad at carrying them.

use super::*;

/// Sends `len` bytes from A to B over a path that makes `marks` of marks.
fn transfer(pair: &mut Pair, id: StreamId, len: usize) {
    let data = std::vec![7; len];
    let (mut wrote, mut read) = (0, 0);
    pair.run_until(|p| {
        while let Ok(n) = p.a.stream_write(id, &data[wrote..]) {
            wrote += n;
            if wrote == len {
                break;
            }
        }
        let b = p.b.as_mut().unwrap();
        while let Ok(n) = b.stream_read(id, &mut [0; 4096]) {
            read += n;
        }
        read == len && p.a.stats().buffered_bytes == 0
    });
}

/// Whether A marks what it sends.
fn marks(pair: &mut Pair) -> bool {
    let is_marked = pair.a.recovery.ecn.mark();
    pair.a.recovery.ecn.take_mark();
    is_marked
}

fn window(pair: &Pair) -> u64 {
    pair.a.recovery.controller.window()
}

#[test]
fn a_path_that_carries_marks_is_used_with_them() {
    let (mut pair, id) = settled();
    assert!(marks(&mut pair), "one was acknowledged");
    transfer(&mut pair, id, 1 << 20);
    assert!(marks(&mut pair));
    assert_eq!(pair.a.stats().packets_lost, 0);
}

#[test]
fn a_mark_of_congestion_counts_as_a_loss_does() {
    let (mut pair, id) = settled();
    transfer(&mut pair, id, 1 << 20);
    let before = window(&pair);
    pair.marks = |ecn| Some(if ecn == Ecn::Ect0 { Ecn::Ce } else { ecn });
    transfer(&mut pair, id, 64 << 10);
    assert!(window(&pair) < before, "{} and {before}", window(&pair));
    assert_eq!((pair.a.stats().packets_lost, marks(&mut pair)), (0, true));
}

#[test]
fn a_path_that_clears_marks_is_used_without() {
    let (mut pair, id) = settled();
    pair.marks = |_| Some(Ecn::NotEct);
    transfer(&mut pair, id, 64 << 10);
    let before = window(&pair);
    transfer(&mut pair, id, 64 << 10);
    assert!(!marks(&mut pair));
    assert!(window(&pair) >= before);
    // Another path may be better.
    pair.marks = Some;
    let now = pair.now;
    pair.a.migrate(path(2), now);
    assert!(marks(&mut pair));
    transfer(&mut pair, id, 64 << 10);
    assert!(marks(&mut pair));
}

#[test]
fn a_path_that_drops_what_is_marked_carries_the_rest() {
    let mut pair = Pair::new(Config::default());
    pair.marks = |ecn| (ecn == Ecn::NotEct).then_some(ecn);
    pair.run_until(|p| p.b.as_ref().is_some_and(|b| b.is_established()));
    assert_eq!(pair.now, Time::from_micros(30_000), "the handshake has no marks");
    let id = pair.a.stream_open().unwrap();
    transfer(&mut pair, id, 64 << 10);
    assert!(!marks(&mut pair));
    assert!(pair.now < Time::from_micros(2_000_000), "{:?}", pair.now);
}
