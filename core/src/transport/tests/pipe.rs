//! How full the pipe is, told by both controllers, and a change from one to the other.

use super::*;

const BULK: usize = 100_000;

fn bounded() -> Congestion {
    Congestion::DelayBounded { target: DEFAULT_TARGET }
}

/// Fills a stream, looks at the pipe of the sender, and lets B read until it has all.
fn fill(pair: &mut Pair) -> Pipe {
    let now = pair.now;
    assert_eq!(pair.a.pipe(now).queued, 0);
    let id = pair.a.stream_open().unwrap();
    assert_eq!(pair.a.stream_write(id, &[7; BULK]), Ok(BULK));
    pair.a.datagram_send([&[1; 300], &[]], None).unwrap();
    assert_eq!(pair.a.pipe(now).queued, BULK as u64 + 300);
    let (mut got, mut fullest) = (0, Pipe::default());
    let mut out = [0; 5000];
    pair.run_until(|p| {
        let pipe = p.a.pipe(p.now);
        assert!(pipe.in_flight <= p.a.congestion_window() + 1452, "{pipe:?}");
        fullest.rate = fullest.rate.max(pipe.rate);
        fullest.forecast = fullest.forecast.max(pipe.forecast);
        fullest.in_flight = fullest.in_flight.max(pipe.in_flight);
        let b = p.b.as_mut().unwrap();
        got += core::iter::from_fn(|| b.stream_read(id, &mut out).ok()).sum::<usize>();
        got == BULK && p.a.pipe(p.now).in_flight == 0
    });
    assert_eq!(pair.a.pipe(pair.now).queued, 0);
    fullest
}

#[test]
fn what_waits_and_what_flies_is_counted_by_either_controller() {
    for congestion in [Congestion::Cubic, bounded()] {
        let (mut pair, _) = settled();
        pair.a.set_congestion(congestion);
        let fullest = fill(&mut pair);
        assert!(fullest.rate > 100_000 && fullest.in_flight > 10_000, "{fullest:?}");
        // One who asks again after a long time learns that nothing flows.
        let later = pair.now + Duration::from_secs(2);
        let pipe = pair.a.pipe(later);
        assert_eq!((pipe.rate, pipe.forecast, pipe.delay()), (0, 0, pipe.queueing_delay));
    }
}

#[test]
fn another_controller_begins_anew_and_the_same_goes_on() {
    let (mut pair, _) = settled();
    fill(&mut pair);
    let grown = pair.a.congestion_window();
    assert!(grown > 20_000);
    pair.a.set_congestion(Congestion::Cubic);
    assert_eq!(pair.a.congestion_window(), grown);
    pair.a.set_congestion(bounded());
    assert!(pair.a.congestion_window() < grown);
    fill(&mut pair);
    let other = Congestion::DelayBounded { target: Duration::from_millis(5) };
    pair.a.set_congestion(other);
    pair.a.recovery.on_path_change(BASE_DATAGRAM, pair.now);
    assert_eq!(pair.a.recovery.controller.congestion(), other, "on another path too");
}

#[test]
fn a_delay_is_what_waits_by_how_fast_it_goes() {
    let pipe = Pipe { queued: 1000, rate: 10_000, ..Pipe::default() };
    assert_eq!(pipe.delay(), Duration::from_millis(100));
    let queueing_delay = Duration::from_millis(7);
    assert_eq!(Pipe { queueing_delay, ..pipe }.delay(), Duration::from_millis(107));
    // What the window lets go waits for nothing, however slow the last bytes went.
    assert_eq!(Pipe { open: 999, ..pipe }.delay(), Duration::from_micros(100));
    assert_eq!(Pipe { open: 1000, rate: 0, ..pipe }.delay(), Duration::ZERO);
    assert_eq!(Pipe { open: 999, rate: 0, ..pipe }.delay(), Duration::from_secs(60));
    assert_eq!(Pipe { rate: 0, ..pipe }.delay(), Duration::from_secs(60));
    assert_eq!(Pipe { rate: 1, queued: u64::MAX, ..pipe }.delay(), Duration::from_secs(60));
}
