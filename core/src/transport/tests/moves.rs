//! Moves: of the initiator during the handshake, of either end after it, by a NAT and on purpose;
//! and of nobody, though it looks so.

use super::*;
use crate::wire::frame::NewConnectionId;

/// A pair whose initiator moved to another address between its first packet and its last of the
/// handshake.
fn moved() -> Pair {
    let mut pair = Pair::new(no_keep_alive());
    pair.run_until(|p| p.b.is_some());
    // As if it had acknowledged something already: that says nothing of another address.
    pair.b.as_mut().unwrap().paths.on_proof();
    pair.a_path = path(3);
    pair.run_until(|p| p.b.as_ref().is_some_and(|b| b.is_established()));
    let b = pair.b.as_ref().unwrap();
    assert!(b.path() == path(3) && !b.paths.is_validated());
    pair
}

#[test]
fn an_address_moved_to_is_validated_by_its_answer() {
    let mut pair = moved();
    let b = pair.b.as_mut().unwrap();
    let id = b.stream_open().unwrap();
    assert_eq!(b.stream_write(id, &[7; 100_000]), Ok(100_000));
    let mut out = [0; 100_000];
    let mut read = 0;
    pair.run_until(|p| {
        read += p.a.stream_read(id, &mut out).unwrap_or(0);
        read == out.len()
    });
    assert!(pair.b.as_ref().unwrap().paths.is_validated());
}

#[test]
fn an_address_that_does_not_answer_gets_three_times_what_came_from_it() {
    let mut pair = moved();
    let b = pair.b.as_mut().unwrap();
    let id = b.stream_open().unwrap();
    b.stream_write(id, &[7; 100_000]).unwrap();
    let mut buf = [0; MAX_DATAGRAM];
    while !b.is_closed() {
        while b.poll_transmit(&mut buf, pair.now).is_some() {}
        let Some(next) = b.poll_timeout() else { break };
        pair.now = pair.now.max(next);
        b.handle_timeout(pair.now);
    }
    let (sent, received) = (b.paths.sent, b.paths.received);
    assert!(b.is_closed() && sent > 0);
    assert!(sent <= 3 * received, "{sent} of {received}");
}

fn b_of(pair: &mut Pair) -> &mut Connection {
    pair.b.as_mut().unwrap()
}

#[test]
fn a_session_goes_on_when_a_nat_gives_it_another_address() {
    let (mut pair, id) = settled();
    transfer(&mut pair, id, 2_000_000);
    let used = *b_of(&mut pair).control.cids.remote();
    pair.a_path = path(3);
    transfer(&mut pair, id, 2_000_000);
    let b = pair.b.as_ref().unwrap();
    assert_eq!((b.path(), b.paths.is_validated()), (path(3), true));
    assert_eq!(*b.control.cids.remote(), used, "the peer did not change its own");
    assert_eq!(
        pair.b_events.iter().filter(|event| **event == Event::Path(PathEvent::Moved)).count(),
        1
    );
    // The other way round: the responder is the one that sends.
    pair.a_path = path(4);
    pair.a.stream_write(id, b"x").unwrap();
    pair.run_until(|p| p.b.as_ref().unwrap().path() == path(4));
    let b = b_of(&mut pair);
    assert_eq!(b.stream_write(id, &[7; 200_000]), Ok(200_000));
    let (mut out, mut read) = ([0; 5000], 0);
    pair.run_until(|p| {
        while let Ok(len) = p.a.stream_read(id, &mut out) {
            read += len;
        }
        read == 200_000
    });
}

#[test]
fn moving_on_purpose_takes_other_connection_ids_on_both_sides() {
    let (mut pair, id) = settled();
    transfer(&mut pair, id, 100_000);
    let old = [*pair.a.control.cids.remote(), *b_of(&mut pair).control.cids.remote()];
    for last in 3..9 {
        // What is under way comes from where it was sent.
        pair.run_until(|p| p.wire.is_empty() && p.a.stats().buffered_bytes == 0);
        pair.a_path = path(last);
        pair.a.migrate(path(2), pair.now);
        assert_eq!(pair.a.recovery.mtu.current(), BASE_DATAGRAM);
        transfer(&mut pair, id, 100_000);
        let b = pair.b.as_ref().unwrap();
        assert_eq!((b.path(), b.paths.is_validated()), (path(last), true));
        assert_eq!(pair.a.paths.asked(), None);
        let new = [*pair.a.control.cids.remote(), *b.control.cids.remote()];
        assert!(new[0] != old[0] && new[1] != old[1], "move {last}");
    }
    // What was used before was retired, and others took its place.
    let cids = &mut b_of(&mut pair).control.cids;
    assert_eq!(cids.poll_event(), Some(CidEvent::Token([1; 16])));
    let mut retired = 0;
    while let Some(event) = cids.poll_event() {
        retired += usize::from(matches!(event, CidEvent::Retired(_)));
    }
    assert!(retired >= 6, "{retired}");
}

#[test]
fn an_address_that_is_not_the_peers_is_left_again() {
    let (mut pair, id) = settled();
    let mut buf = [0; MAX_DATAGRAM];
    // A copy of a packet comes ahead of it, from elsewhere.
    pair.a.stream_write(id, b"x").unwrap();
    let len = pair.a.poll_transmit(&mut buf, pair.now).unwrap().len;
    let mut now = pair.now;
    let b = b_of(&mut pair);
    b.handle_datagram(path(9), Ecn::NotEct, &mut buf[..len].to_vec(), now);
    b.handle_datagram(path(1), Ecn::NotEct, &mut buf[..len].to_vec(), now);
    assert_eq!(b.path(), path(9));
    b.stream_write(id, &[7; 50_000]).unwrap();
    let mut sent = 0;
    while b.path() == path(9) {
        while let Some(transmit) = b.poll_transmit(&mut buf, now) {
            sent += if transmit.path == path(9) { transmit.len } else { 0 };
        }
        now = b.poll_timeout().unwrap();
        b.handle_timeout(now);
    }
    assert!(sent > 0 && sent <= 3 * len, "{sent} for {len}");
    assert_eq!((b.path(), b.paths.is_validated()), (path(1), true));
    // Or the peer speaks before that is found out.
    pair.now = now;
    pair.a.stream_write(id, b"y").unwrap();
    let len = pair.a.poll_transmit(&mut buf, pair.now).unwrap().len;
    let now = pair.now;
    b_of(&mut pair).handle_datagram(path(9), Ecn::NotEct, &mut buf[..len], now);
    assert_eq!(b_of(&mut pair).path(), path(9));
    pair.a.stream_write(id, b"z").unwrap();
    let len = pair.a.poll_transmit(&mut buf, pair.now).unwrap().len;
    let b = b_of(&mut pair);
    b.handle_datagram(path(1), Ecn::NotEct, &mut buf[..len], now);
    assert_eq!((b.path(), b.paths.is_validated()), (path(1), true));
    assert_eq!(b.stream_read(id, &mut buf), Ok(3));
    transfer(&mut pair, id, 50_000);
}

#[test]
fn a_full_window_does_not_keep_the_question_back() {
    let (mut pair, _) = settled();
    let mut packet = packet_of(&mut pair.a, |w| frame::write_ping(w).unwrap());
    let now = pair.now;
    let b = b_of(&mut pair);
    b.recovery.in_flight = b.recovery.controller.window();
    // The same host behind another port: nothing says that the path is another one.
    b.handle_datagram(Path { port: 9, ..path(1) }, Ecn::NotEct, &mut packet, now);
    let mut buf = [0; MAX_DATAGRAM];
    b.poll_transmit(&mut buf, now).unwrap();
    assert!(b.paths.asked().is_some() && !b.paths.is_challenge_due(), "asked");
    let again_at = b.paths.deadline().unwrap();
    b.handle_timeout(again_at);
    b.poll_transmit(&mut buf, again_at).unwrap();
    assert!(!b.paths.is_challenge_due(), "asked again");
}

#[test]
fn a_question_about_a_path_is_answered_there_and_moves_nobody() {
    let (mut pair, _) = settled();
    let mut packet = packet_of(&mut pair.a, |w| {
        frame::write_path_challenge(w, &[5; 8]).unwrap();
        (0..1000).for_each(|_| w.u8(0).unwrap());
    });
    let now = pair.now;
    let b = b_of(&mut pair);
    b.handle_datagram(path(9), Ecn::NotEct, &mut packet, now);
    let mut buf = [0; MAX_DATAGRAM];
    let sent = b.poll_transmit(&mut buf, now).unwrap();
    assert!((sent.path, b.path()) == (path(9), path(1)) && sent.len < 50, "{}", sent.len);
    let mut packet = packet_of(&mut pair.a, |w| frame::write_path_challenge(w, &[6; 8]).unwrap());
    let b = b_of(&mut pair);
    b.handle_datagram(path(9), Ecn::NotEct, &mut packet, now);
    let sent = b.poll_transmit(&mut buf, now).unwrap();
    assert!(sent.path == path(9) && sent.len <= packet.len(), "{}", sent.len);
}

/// Hands on what `a` sends elsewhere than to its peer's usual address, and its peer's answer.
fn ask(pair: &mut Pair, to: Path, from: Path) -> bool {
    let mut buf = [0; MAX_DATAGRAM];
    pair.a.probe_path(to);
    let sent = pair.a.poll_transmit(&mut buf, pair.now).unwrap();
    assert_eq!(sent.path, to);
    pair.now = pair.now + Duration::from_millis(7);
    let now = pair.now;
    let b = b_of(pair);
    b.handle_datagram(from, Ecn::NotEct, &mut buf[..sent.len], now);
    let answer = b.poll_transmit(&mut buf, now).unwrap();
    assert!(answer.path == from && answer.len <= sent.len + 3);
    pair.a.handle_datagram(to, Ecn::NotEct, &mut buf[..answer.len], now);
    let rtt = Duration::from_millis(7);
    let answered = Event::Path(PathEvent::Answered { path: to, rtt });
    let asked = Event::Path(PathEvent::Asked(from));
    let has =
        |c: &mut Connection, wanted| core::iter::from_fn(|| c.poll_event()).any(|e| e == wanted);
    has(&mut pair.a, answered) && has(b_of(pair), asked)
}

#[test]
fn a_path_that_answered_is_taken_without_another_question() {
    let (mut pair, id) = settled();
    pair.run_until(|p| p.wire.is_empty() && p.a.stats().buffered_bytes == 0);
    let in_flight = pair.a.recovery.in_flight;
    assert!(ask(&mut pair, path(22), path(33)));
    assert_eq!(pair.a.recovery.in_flight, in_flight, "a question is not in flight");
    assert_eq!((pair.a.path(), b_of(&mut pair).path()), (path(2), path(1)), "nobody moved");
    let now = pair.now;
    pair.a.migrate(path(22), now);
    assert_eq!((pair.a.paths.is_validated(), pair.a.paths.asked()), (true, None));
    assert_eq!(pair.a.rtt().smoothed(), Duration::from_millis(7));
    // The other end did not ask; it does once it is moved to.
    pair.a.stream_write(id, b"x").unwrap();
    let mut buf = [0; MAX_DATAGRAM];
    let sent = pair.a.poll_transmit(&mut buf, now).unwrap();
    let b = b_of(&mut pair);
    b.handle_datagram(path(33), Ecn::NotEct, &mut buf[..sent.len], now);
    assert_eq!((b.path(), b.paths.is_validated()), (path(33), false));
    // An answer of long ago proves nothing.
    let (mut pair, _) = settled();
    assert!(ask(&mut pair, path(22), path(33)));
    let late = pair.now + Duration::from_secs(61);
    pair.a.migrate(path(22), late);
    assert!(!pair.a.paths.is_validated() && pair.a.paths.asked().is_some());
}

#[test]
fn questions_about_dead_paths_cost_the_one_in_use_nothing() {
    let (mut pair, id) = settled();
    transfer(&mut pair, id, 100_000);
    let (lost, window) = (pair.a.stats().packets_lost, pair.a.congestion_window());
    let mut buf = [0; MAX_DATAGRAM];
    for n in 0..50 {
        pair.a.probe_path(path(100 + n));
        let sent = pair.a.poll_transmit(&mut buf, pair.now).unwrap();
        assert!(sent.path == path(100 + n) && sent.len < 64, "{}", sent.len);
    }
    transfer(&mut pair, id, 500_000);
    assert_eq!((pair.a.stats().packets_lost, pair.a.unanswered()), (lost, 0));
    assert!(pair.a.congestion_window() >= window);
}

#[test]
fn too_many_connection_ids_close_the_connection() {
    let (mut pair, _) = settled();
    let mut packet = packet_of(&mut pair.a, |w| {
        for sequence in 3..9 {
            let cid = Cid::local([sequence as u8; 8]);
            let new = NewConnectionId { sequence, retire_prior_to: 0, cid, token: [0; 16] };
            frame::write_new_connection_id(w, &new).unwrap();
        }
    });
    let now = pair.now;
    b_of(&mut pair).handle_datagram(path(1), Ecn::NotEct, &mut packet, now);
    pair.drain_events();
    let is_meant = |e: &Event| match e {
        Event::Closed(CloseReason::Violation { code, .. }) => {
            *code == TransportCode::CONNECTION_ID_LIMIT.0
        }
        _ => false,
    };
    assert!(pair.b_events.iter().any(is_meant), "{:?}", pair.b_events);
}

#[test]
fn a_reset_ends_it_at_once() {
    let (mut pair, _) = settled();
    pair.a.handle_reset(pair.now);
    pair.drain_events();
    assert_eq!(pair.a_events.last(), Some(&Event::Closed(CloseReason::Reset)));
    assert!(pair.a.is_closed() && pair.a.poll_timeout().is_none());
}

/// One datagram full of questions, which seems to come from a victim, draws one short answer.
#[test]
fn questions_from_elsewhere_amplify_nothing() {
    let (mut pair, _) = settled();
    pair.run_until(|p| p.wire.is_empty());
    let mut packet = packet_of(&mut pair.a, |w| {
        (0..8).for_each(|n| frame::write_path_challenge(w, &[n; 8]).unwrap());
    });
    let (victim, asked) = (Path::v4([203, 0, 113, 9], 53), packet.len());
    let b = pair.b.as_mut().unwrap();
    let mut buf = [0; MAX_DATAGRAM];
    while b.poll_transmit(&mut buf, pair.now).is_some() {}
    b.handle_datagram(victim, Ecn::NotEct, &mut packet, pair.now);
    let sent = core::iter::from_fn(|| b.poll_transmit(&mut buf, pair.now));
    let there: Vec<usize> = sent.filter(|t| t.path == victim).map(|t| t.len).collect();
    assert!(there.len() == 1 && there[0] < asked, "{there:?} of {asked}");
}
