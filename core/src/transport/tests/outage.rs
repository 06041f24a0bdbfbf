//! After an outage: what is acknowledged late says nothing of the round trip.

use super::*;
use crate::transport::receive::MAX_HELD_BACK;
use crate::wire::ack::write_ack;

/// Hands `a` an acknowledgement of `range` that was held back for `delay`.
fn acknowledge(pair: &mut Pair, range: core::ops::RangeInclusive<u64>, delay: Duration) {
    let b = pair.b.as_mut().unwrap();
    let mut packet = packet_of(b, |w| {
        let delay = delay.as_micros() as u64 >> 3;
        write_ack(w, delay, core::iter::once(range), None).unwrap();
    });
    pair.a.handle_datagram(path(2), Ecn::NotEct, &mut packet, pair.now);
}

/// A pair at rest, one of whose ends has sent a packet that is on its way; its number.
fn one_under_way() -> (Pair, u64) {
    let (mut pair, id) = settled();
    transfer(&mut pair, id, 10_000);
    pair.run_until(|p| p.wire.is_empty() && p.a.stats().buffered_bytes == 0);
    pair.a.stream_write(id, b"x").unwrap();
    let mut buf = [0; MAX_DATAGRAM];
    assert!(pair.a.poll_transmit(&mut buf, pair.now).is_some());
    let pn = pair.a.spaces.data.sent.next_pn() - 1;
    (pair, pn)
}

#[test]
fn an_acknowledgement_repeated_is_no_round_trip() {
    let (mut pair, pn) = one_under_way();
    let before = pair.a.rtt().smoothed();
    let outage = Duration::from_secs(20);
    pair.now = pair.now + outage;
    acknowledge(&mut pair, pn..=pn, outage);
    assert_eq!(pair.a.rtt().smoothed(), before);
    assert!(!pair.a.spaces.data.sent.has_ack_eliciting(), "it counts all the same");
    // One not held back is.
    let (mut pair, pn) = one_under_way();
    pair.now = pair.now + outage;
    acknowledge(&mut pair, pn..=pn, MAX_HELD_BACK - Duration::from_millis(1));
    assert!(pair.a.rtt().smoothed() > before);
}

#[test]
fn a_round_trip_is_that_of_the_largest_acknowledged() {
    let (mut pair, pn) = one_under_way();
    let before = pair.a.rtt().smoothed();
    pair.now = pair.now + Duration::from_secs(5);
    // What elicits no acknowledgement is not kept, so when it was sent is not known.
    packet_of(&mut pair.a, |w| w.u8(0).unwrap());
    acknowledge(&mut pair, pn..=pn + 1, Duration::ZERO);
    assert_eq!(pair.a.rtt().smoothed(), before);
    assert!(!pair.a.spaces.data.sent.has_ack_eliciting());
}

#[test]
fn a_path_mtu_probe_larger_than_the_window_holds_up_nothing() {
    let mut pair = Pair::connected(Config { max_datagram: MAX_DATAGRAM, ..Config::default() });
    pair.path_mtu = 1452;
    let id = pair.a.stream_open().unwrap();
    transfer(&mut pair, id, 100_000);
    pair.run_until(|p| p.wire.is_empty() && p.a.stats().buffered_bytes == 0);
    // As after an outage: two packets may be in flight, and the size is searched for anew.
    pair.a.recovery.controller.on_persistent_congestion();
    pair.a.recovery.mtu.restart();
    assert!(pair.a.congestion_window() < MAX_DATAGRAM as u64);
    let (start, mut sizes) = (pair.now, pair.a.recovery.mtu.probe_size());
    pair.a.stream_write(id, &[7; 30_000]).unwrap();
    pair.run_until(|p| {
        sizes = sizes.max(p.a.recovery.mtu.probe_size());
        p.a.recovery.in_flight < 100 && p.a.stats().buffered_bytes == 0
    });
    assert_eq!(sizes, MAX_DATAGRAM as u64, "it was sent");
    // Six round trips or so, and the probes' loss is noticed by what follows them.
    assert!(pair.now.since(start) < Duration::from_millis(300), "{:?}", pair.now.since(start));
}
