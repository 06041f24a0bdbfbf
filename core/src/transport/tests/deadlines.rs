//! Stream deadlines over a pair: at and just before them, for data unsent, in flight, and there.

use super::*;

const CODE: u64 = 77;

fn after(pair: &Pair, ms: u64) -> Option<Time> {
    Some(pair.now + Duration::from_millis(ms))
}

fn run_to(pair: &mut Pair, at: Time) {
    // Nothing may be due before: then time is only pushed on.
    while [pair.a.poll_timeout(), pair.b.as_ref().unwrap().poll_timeout()]
        .into_iter()
        .flatten()
        .chain(pair.wire.front().map(|x| x.0))
        .any(|next| next <= at)
    {
        pair.step();
    }
    pair.now = at;
    pair.a.handle_timeout(at);
    pair.drain_events();
}

fn told(pair: &Pair, id: StreamId) -> bool {
    pair.a_events.contains(&Event::Stream(id))
}

#[test]
fn what_never_arrives_is_given_up_at_the_deadline_and_not_before() {
    let (mut pair, id) = settled();
    pair.loss_percent = 100;
    let deadline = after(&pair, 300).unwrap();
    pair.a.stream_write(id, &[7; 1000]).unwrap();
    pair.a.stream_set_deadline(id, Some(deadline), CODE).unwrap();
    pair.a_events.clear();
    run_to(&mut pair, Time::from_micros(deadline.as_micros() - 1));
    assert!(!told(&pair, id) && !pair.a.stream_state(id).unwrap().is_expired);
    assert_eq!(pair.a.stats().buffered_bytes, 1000);
    assert_eq!(pair.a.stream_write(id, b"x"), Ok(1), "it is still open");
    assert!(pair.a.poll_timeout().unwrap() <= deadline);
    run_to(&mut pair, deadline);
    assert!(told(&pair, id) && pair.a.stream_state(id).unwrap().is_expired);
    assert!(!pair.a.stream_state(id).unwrap().is_writable);
    assert_eq!(pair.a.stats().buffered_bytes, 0);
    assert_eq!(pair.a.stream_write(id, b"x"), Err(StreamError::Expired));
    assert_eq!(pair.a.stream_finish(id), Err(StreamError::Finished));
    // The peer learns it; the other direction goes on.
    pair.loss_percent = 0;
    pair.run_until(|p| {
        p.b.as_ref().unwrap().stream_state(id).is_some_and(|s| s.reset == Some(CODE))
    });
    let b = pair.b.as_mut().unwrap();
    assert_eq!(b.stream_read(id, &mut [0; 10]), Err(StreamError::Reset(CODE)));
    assert_eq!(b.stream_write(id, b"answer"), Ok(6));
    pair.run_until(|p| p.a.stream_read(id, &mut [0; 10]) == Ok(6));
}

#[test]
fn what_arrived_in_time_is_not_given_up() {
    let (mut pair, id) = settled();
    pair.a.stream_write(id, &[7; 1000]).unwrap();
    pair.a.stream_set_deadline(id, after(&pair, 300), CODE).unwrap();
    let after_it = after(&pair, 400).unwrap();
    run_to(&mut pair, after_it);
    // The deadline is spent: what comes later is not given up.
    pair.loss_percent = 100;
    assert_eq!(pair.a.stream_write(id, &[8; 1000]), Ok(1000));
    let later = after(&pair, 1000).unwrap();
    run_to(&mut pair, later);
    assert!(!pair.a.stream_state(id).unwrap().is_expired);
    pair.loss_percent = 0;
    let (mut read, mut out) = (0, [0; 3000]);
    pair.run_until(|p| {
        read += p.b.as_mut().unwrap().stream_read(id, &mut out).unwrap_or(0);
        read == 2000
    });
}

#[test]
fn an_acknowledgement_just_in_time_saves_and_one_too_late_does_not() {
    // 10 ms there, up to 25 ms before it is acknowledged, 10 ms back.
    for (ms, is_expired) in [(44, true), (46, false)] {
        let (mut pair, id) = settled();
        pair.a.stream_write(id, b"x").unwrap();
        pair.a.stream_set_deadline(id, after(&pair, ms), CODE).unwrap();
        let end = after(&pair, 500).unwrap();
        run_to(&mut pair, end);
        assert_eq!(pair.a.stream_state(id).unwrap().is_expired, is_expired, "{ms} ms");
    }
}

#[test]
fn the_end_of_a_stream_counts_as_data() {
    for (ms, is_expired) in [(5, true), (100, false)] {
        let (mut pair, id) = settled();
        pair.a.stream_finish(id).unwrap();
        pair.a.stream_set_deadline(id, after(&pair, ms), CODE).unwrap();
        let end = after(&pair, 500).unwrap();
        run_to(&mut pair, end);
        let state = pair.a.stream_state(id).unwrap();
        assert_eq!((state.is_expired, state.is_delivered), (is_expired, !is_expired), "{ms} ms");
    }
}

#[test]
fn a_deadline_can_be_moved_and_taken_back() {
    let (mut pair, id) = settled();
    pair.loss_percent = 100;
    pair.a.stream_write(id, b"x").unwrap();
    pair.a.stream_set_deadline(id, after(&pair, 100), CODE).unwrap();
    pair.a.stream_set_deadline(id, after(&pair, 300), CODE).unwrap();
    let end = after(&pair, 200).unwrap();
    run_to(&mut pair, end);
    assert!(!pair.a.stream_state(id).unwrap().is_expired, "moved");
    pair.a.stream_set_deadline(id, None, CODE).unwrap();
    let end = after(&pair, 200).unwrap();
    run_to(&mut pair, end);
    assert!(!pair.a.stream_state(id).unwrap().is_expired, "taken back");
    pair.a.stream_set_deadline(id, Some(Time::ZERO), CODE).unwrap();
    assert_eq!(pair.a.poll_timeout(), Some(Time::ZERO));
    pair.a.handle_timeout(pair.now);
    assert!(pair.a.stream_state(id).unwrap().is_expired, "in the past: at once");
    assert_eq!(pair.a.stream_set_deadline(StreamId(400), None, 0), Err(StreamError::Unknown));
}

#[test]
fn each_of_many_deadlines_ends_its_own_stream_even_when_let_go_of() {
    let (mut pair, first) = settled();
    pair.loss_percent = 100;
    let ids: Vec<StreamId> = (0..50).map(|_| pair.a.stream_open().unwrap()).collect();
    for (i, id) in ids.iter().enumerate() {
        pair.a.stream_write(*id, &[7; 100]).unwrap();
        pair.a.stream_set_deadline(*id, after(&pair, 100 - i as u64), CODE).unwrap();
        pair.a.stream_finish(*id).unwrap();
        if i % 2 == 0 {
            pair.a.stream_release(*id, 0).unwrap();
        }
    }
    let half = after(&pair, 75).unwrap();
    run_to(&mut pair, half);
    assert_eq!(pair.a.stats().buffered_bytes, 25 * 100);
    pair.a_events.clear();
    let end = after(&pair, 100).unwrap();
    run_to(&mut pair, end);
    assert_eq!(pair.a.stats().buffered_bytes, 0);
    assert!(told(&pair, ids[1]) && !told(&pair, ids[0]) && !told(&pair, first));
    pair.loss_percent = 0;
    pair.run_until(|p| p.b.as_ref().unwrap().stats().streams == 51);
    for id in ids.iter().skip(1).step_by(2) {
        pair.a.stream_release(*id, 0).unwrap();
    }
    for id in &ids {
        pair.b.as_mut().unwrap().stream_release(*id, 0).unwrap();
    }
    pair.run_until(|p| p.a.stats().streams == 1 && p.b.as_ref().unwrap().stats().streams == 1);
}
