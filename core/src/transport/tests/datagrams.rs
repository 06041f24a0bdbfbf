//! Datagrams between two connections: sizes, limits, expiry, loss, and their share of the packets.

use super::*;
use std::vec;

/// Everything the other end takes, read at once.
fn read_all(connection: &mut Connection) -> Vec<Vec<u8>> {
    connection.datagram_sort(|_| Some((0, 0)));
    let mut all = Vec::new();
    let mut out = [0; MAX_DATAGRAM];
    while let Some(len) = connection.datagram_read(0, &mut out) {
        all.push(out[..len.unwrap()].to_vec());
    }
    all
}

fn send(connection: &mut Connection, data: &[u8]) -> Result<(), DatagramError> {
    connection.datagram_send([data, &[]], None)
}

#[test]
fn a_datagram_arrives_as_it_was_sent_and_frees_its_room() {
    let (mut pair, _) = settled();
    assert!(pair.a.datagram_memory() == 0 && pair.b.as_ref().unwrap().datagram_memory() == 0);
    for data in [&b""[..], b"a", &[7; 63], &[8; 64], &[9; 1000]] {
        pair.a.datagram_send([b"head", data], None).unwrap();
    }
    pair.run_until(|p| p.b_events.contains(&Event::Datagrams));
    let got = read_all(pair.b.as_mut().unwrap());
    assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [4, 5, 67, 68, 1004]);
    assert!(got[4][..4] == *b"head" && got[4][4..].iter().all(|b| *b == 9));
    assert!(pair.a.datagram_memory() > 0);
    pair.a.datagram_shrink();
    pair.b.as_mut().unwrap().datagram_shrink();
    assert!(pair.a.datagram_memory() == 0 && pair.b.as_ref().unwrap().datagram_memory() == 0);
}

#[test]
fn the_largest_fits_and_one_more_byte_does_not() {
    for theirs in [2, 3, 65, 66, 67, 200, 1200, 65_535] {
        let (mut pair, _) = settled();
        pair.a.peer.max_datagram_frame = theirs;
        let max = pair.a.datagram_max().unwrap();
        assert!(frame::datagram_frame_len(max) <= theirs, "{theirs}: {max}");
        let is_path = theirs >= 1200;
        assert!(is_path || frame::datagram_frame_len(max + 1) > theirs, "{theirs}: {max}");
        assert_eq!(send(&mut pair.a, &vec![1; max + 1]), Err(DatagramError::TooLarge));
        assert_eq!(send(&mut pair.a, &vec![1; max]), Ok(()));
        pair.run_until(|p| p.b_events.contains(&Event::Datagrams));
        assert_eq!(read_all(pair.b.as_mut().unwrap()), [vec![1; max]]);
    }
    let (mut pair, _) = settled();
    for theirs in [0, 1] {
        pair.a.peer.max_datagram_frame = theirs;
        assert_eq!(pair.a.datagram_max(), None);
        assert_eq!(send(&mut pair.a, b""), Err(DatagramError::TooLarge));
    }
}

#[test]
fn the_largest_grows_with_the_path_and_what_it_outgrows_is_dropped() {
    let (mut pair, id) = settled();
    let before = pair.a.datagram_max().unwrap();
    assert!((1160..1200).contains(&before), "{before}");
    pair.a.stream_write(id, &[1; 100_000]).unwrap();
    pair.run_until(|p| p.a.stats().buffered_bytes == 0);
    let after = pair.a.datagram_max().unwrap();
    assert_eq!(after - before, 1452 - 1200);
    send(&mut pair.a, &vec![1; after]).unwrap();
    send(&mut pair.a, b"small").unwrap();
    pair.a.recovery.mtu.start(1200);
    pair.run_until(|p| p.b_events.contains(&Event::Datagrams));
    assert_eq!(read_all(pair.b.as_mut().unwrap()), [b"small".to_vec()]);
    assert_eq!(pair.a.stats().datagrams_unsent, 1);
}

#[test]
fn a_full_queue_says_so_by_count_and_by_bytes() {
    let config = Config { datagram_queue: 4, datagram_send_buffer: 1000, ..Config::default() };
    let mut pair = Pair::connected(config);
    pair.run_until(|p| p.a.is_confirmed);
    for _ in 0..4 {
        send(&mut pair.a, b"1").unwrap();
    }
    assert_eq!(send(&mut pair.a, b"1"), Err(DatagramError::Full));
    pair.run_until(|p| p.b_events.contains(&Event::Datagrams));
    send(&mut pair.a, &[2; 600]).unwrap();
    assert_eq!(send(&mut pair.a, &[2; 401]), Err(DatagramError::Full));
    send(&mut pair.a, &[2; 400]).unwrap();
    assert_eq!(pair.a.datagram_max(), Some(1000));
    let mut none = Pair::connected(Config { datagram_queue: 0, ..Config::default() });
    assert_eq!((none.a.datagram_max(), none.b.unwrap().datagram_max()), (None, None));
    assert_eq!(send(&mut none.a, b"1"), Err(DatagramError::TooLarge));
}

#[test]
fn unread_ones_make_room_oldest_first_and_are_counted() {
    let config = Config { datagram_queue: 4, ..Config::default() };
    let mut pair = Pair::connected(config);
    pair.run_until(|p| p.a.is_confirmed);
    for i in 0..10u8 {
        send(&mut pair.a, &[i]).unwrap();
        pair.b_events.clear();
        pair.run_until(|p| p.b_events.contains(&Event::Datagrams));
        let b = pair.b.as_mut().unwrap();
        b.datagram_sort(|head| (head[0] != 3).then_some((u64::from(head[0] % 2), 0)));
    }
    let b = pair.b.as_mut().unwrap();
    // 3 was wanted by nobody; 6 to 9 have room.
    assert_eq!(b.stats().datagrams_unread, 6);
    let mut out = [0; 1];
    assert_eq!(b.datagram_read(1, &mut []), Some(Err(DatagramError::Buffer(1))));
    for (tag, byte) in [(1, 7), (0, 6), (0, 8), (1, 9)] {
        assert!(b.has_datagram(tag));
        assert_eq!(b.datagram_read(tag, &mut out), Some(Ok(1)));
        assert_eq!(out, [byte]);
    }
    assert_eq!(b.datagram_read(0, &mut out), None);
    send(&mut pair.a, b"xyz").unwrap();
    pair.b_events.clear();
    pair.run_until(|p| p.b_events.contains(&Event::Datagrams));
    let b = pair.b.as_mut().unwrap();
    b.datagram_sort(|_| Some((5, 2)));
    assert_eq!((b.datagram_read(5, &mut out), out), (Some(Ok(1)), *b"z"));
    assert_eq!(b.stats().datagrams_unread, 6);
}

#[test]
fn what_expires_before_it_can_leave_is_never_sent() {
    let (mut pair, id) = settled();
    let now = pair.now;
    let soon = Some(now + Duration::from_millis(1));
    pair.a.datagram_send([b"soon", b""], soon).unwrap();
    pair.a.datagram_send([b"later", b""], Some(now + Duration::from_secs(1))).unwrap();
    pair.a.datagram_send([b"soon", b""], soon).unwrap();
    pair.now = now + Duration::from_millis(2);
    pair.a.handle_timeout(pair.now);
    pair.run_until(|p| p.b_events.contains(&Event::Datagrams));
    assert_eq!(read_all(pair.b.as_mut().unwrap()), [b"later".to_vec()]);
    assert_eq!(pair.a.stats().datagrams_unsent, 2);
    // Alone, an expired one makes no packet at all.
    pair.run_until(|p| !p.a.spaces.data.sent.has_ack_eliciting());
    let soon = Some(pair.now + Duration::from_millis(1));
    pair.a.datagram_send([b"soon", b""], soon).unwrap();
    let sent = pair.a.stats().bytes_sent;
    pair.now = pair.now + Duration::from_millis(1);
    assert_eq!(pair.a.poll_transmit(&mut [0; 2000], pair.now), None);
    assert_eq!((pair.a.stats().bytes_sent, pair.a.stats().datagrams_unsent), (sent, 3));
    let _ = id;
}

#[test]
fn lost_ones_stay_lost_and_congestion_holds_them_back() {
    let (mut pair, _) = settled();
    pair.loss_percent = 30;
    let (mut sent, mut got) = (0u32, Vec::new());
    let mut in_flight = 0;
    while sent < 2000 {
        while send(&mut pair.a, &[&sent.to_be_bytes()[..], &[0; 400]].concat()).is_ok() {
            sent += 1;
        }
        assert!(pair.step());
        in_flight = in_flight.max(pair.a.recovery.in_flight);
        got.extend(read_all(pair.b.as_mut().unwrap()));
    }
    pair.loss_percent = 0;
    pair.run_until(|p| !p.a.spaces.data.sent.has_ack_eliciting());
    got.extend(read_all(pair.b.as_mut().unwrap()));
    let numbers: Vec<u32> =
        got.iter().map(|d| u32::from_be_bytes(d[..4].try_into().unwrap())).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "twice or out of order");
    let share = numbers.len() as f64 / f64::from(sent);
    assert!((0.6..0.8).contains(&share), "{share}");
    assert!(in_flight < 40_000, "{in_flight} bytes in flight over a path that loses a third");
}

#[test]
fn a_peer_that_sends_unasked_or_more_than_announced_is_closed() {
    let to_the_end = |len: usize| vec![0x30; len];
    // The length field has two bytes where one would do: they count.
    let with_length = |len: u8| [&[0x31, 0x40, len - 3][..], &vec![1; len as usize - 3]].concat();
    for (announced, frame, is_fine) in [
        (0, to_the_end(1), false),
        (100, to_the_end(100), true),
        (100, to_the_end(101), false),
        (60, with_length(60), true),
        (60, with_length(61), false),
    ] {
        let config = Config { datagram_recv_buffer: announced, ..Config::default() };
        let mut pair = Pair::connected(config);
        pair.run_until(|p| p.a.is_confirmed);
        inject(&mut pair, &frame);
        pair.drain_events();
        let violation = |e: &Event| match e {
            Event::Closed(CloseReason::Violation { code, .. }) => *code == 0x0a,
            _ => false,
        };
        assert_eq!(pair.b_events.contains(&Event::Datagrams), is_fine);
        assert_eq!(pair.b_events.iter().any(violation), !is_fine, "{:?}", pair.b_events);
    }
}

/// Streams with plenty to send get every second packet at least, datagrams too.
#[test]
fn neither_streams_nor_datagrams_starve() {
    let (mut pair, id) = settled();
    pair.loss_percent = 1; // so that the window, not what there is to send, is the limit
    let (mut datagrams, mut stream) = (0, 0);
    let start = pair.now;
    while pair.now < start + Duration::from_secs(2) {
        let _ = pair.a.stream_write(id, &[1; 50_000]);
        while send(&mut pair.a, &[2; 1100]).is_ok() {}
        assert!(pair.step());
        let b = pair.b.as_mut().unwrap();
        datagrams += read_all(b).iter().map(Vec::len).sum::<usize>();
        let mut out = [0; 50_000];
        while let Ok(len) = b.stream_read(id, &mut out) {
            stream += len;
        }
    }
    let share = stream as f64 / (stream + datagrams) as f64;
    assert!((0.4..0.65).contains(&share), "{stream} of streams, {datagrams} of datagrams");
    assert!(stream > 1_000_000, "{stream}");
}

/// A datagram as large as the path allows finds an empty packet, whatever else waits.
#[test]
fn the_largest_datagram_is_not_kept_waiting_by_small_frames() {
    let (mut pair, id) = settled();
    let max = pair.a.datagram_max().unwrap();
    for i in 0..50u8 {
        pair.a.stream_write(id, &[i]).unwrap();
        pair.b.as_mut().unwrap().stream_write(id, &[i]).unwrap();
        let mut out = vec![i; max];
        out[0] = i;
        send(&mut pair.a, &out).unwrap();
        let packets = pair.datagrams;
        pair.b_events.clear();
        pair.run_until(|p| p.b_events.contains(&Event::Datagrams));
        assert!(pair.datagrams - packets < 10);
        assert_eq!(read_all(pair.b.as_mut().unwrap()), [out]);
    }
}

/// The frames in a packet of A's, as only A could have sealed it.
fn inject(pair: &mut Pair, frames: &[u8]) {
    let mut buf = [0; MAX_DATAGRAM];
    let sent = &mut pair.a.spaces.data.sent;
    let pn = sent.next_pn();
    sent.push_packet(pair.now, 0, false, false);
    let mut w = Writer::new(&mut buf);
    let short = TruncatedPn { value: pn as u32, len: 4 };
    write_short(&mut w, pair.a.control.cids.remote(), short, false).unwrap();
    let pn_offset = w.len() - 4;
    w.bytes(frames).unwrap();
    let len = w.len() + 16;
    let keys = &pair.a.spaces.data.keys.as_ref().unwrap().local;
    protect::seal(keys, &mut buf[..len], pn_offset, 4, pn).unwrap();
    pair.b.as_mut().unwrap().handle_datagram(path(1), Ecn::NotEct, &mut buf[..len], pair.now);
}
