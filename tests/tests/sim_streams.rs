//! Scenarios: streams end as TCP connections do, and a slow reader costs no memory.

use rit_core::node::{Event, NodeError, SessionId, StreamHandle};
use rit_tests::sim::app::{ReadPace, fill_pattern};
use rit_tests::sim::host::HostId;
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::trio::{self, SERVICE, Trio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A session and one stream accepted by hand, so that the scenario moves every byte itself.
struct Pair {
    trio: Trio,
    session: SessionId,
    near: StreamHandle,
    far: StreamHandle,
}

fn pair(seed: u64, links: LinkConfig) -> Pair {
    let mut trio = Trio::new(seed, links);
    trio.online();
    let session = trio.session();
    trio.world.app(trio.device).is_passive = true;
    let near = trio.world.with(trio.user, |node, _, now| node.stream_open(session, SERVICE, now));
    let near = near.expect("a stream can be opened");
    trio.expect(trio.device, LIMIT, "the stream", |e| matches!(e, Event::StreamIncoming { .. }));
    let incoming = trio.world.host(trio.device).events.iter().find_map(|(_, e)| match e {
        Event::StreamIncoming { stream, .. } => Some(*stream),
        _ => None,
    });
    let far = incoming.expect("it came");
    let accepted = trio.world.with(trio.device, |node, _, now| node.stream_accept(far, now));
    accepted.expect("it can be accepted");
    trio.expect(trio.user, LIMIT, "the answer", |e| matches!(e, Event::StreamOpened { .. }));
    Pair { trio, session, near, far }
}

impl Pair {
    fn clean(seed: u64) -> Pair {
        pair(seed, LinkConfig::clean(Duration::from_millis(20)))
    }

    fn write(&mut self, host: HostId, stream: StreamHandle, data: &[u8]) {
        let written =
            self.trio.world.with(host, |node, _, now| node.stream_write(stream, data, now));
        assert_eq!(written.expect("the stream takes bytes"), data.len());
    }

    fn finish(&mut self, host: HostId, stream: StreamHandle) {
        let finished = self.trio.world.with(host, |node, _, now| node.stream_finish(stream, now));
        finished.expect("the stream can be finished");
    }

    /// Reads until the end of the stream or an error; the bytes, and whether the end came.
    fn read_to_end(&mut self, host: HostId, stream: StreamHandle) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        for _ in 0..200 {
            let mut buf = [0; 4096];
            let read =
                self.trio.world.with(host, |node, _, now| node.stream_read(stream, &mut buf, now));
            match read {
                Ok(0) => return (all, true),
                Ok(len) => {
                    all.extend_from_slice(&buf[..len]);
                    continue;
                }
                Err(NodeError::Blocked) => {}
                Err(_) => return (all, false),
            }
            self.trio.world.run_for(Duration::from_millis(20));
        }
        (all, false)
    }

    fn release(&mut self) {
        for (host, stream) in [(self.trio.user, self.near), (self.trio.device, self.far)] {
            let released =
                self.trio.world.with(host, |node, _, now| node.stream_release(stream, now));
            released.expect("it is ours");
        }
        self.trio.world.run_for(Duration::from_secs(5));
        for host in [self.trio.user, self.trio.device] {
            let stats = self.trio.world.node(host).stats();
            assert_eq!(stats.streams, 0, "a stream is left: {stats:?}");
        }
        self.trio.world.app(self.trio.device).is_passive = false;
        let session = self.session;
        self.trio.check_alive(session, 77);
    }
}

#[test]
fn each_half_closes_by_itself() {
    for user_first in [true, false] {
        let mut pair = Pair::clean(1);
        let (user, device, near, far) = (pair.trio.user, pair.trio.device, pair.near, pair.far);
        let [(a, a_stream), (b, b_stream)] =
            if user_first { [(user, near), (device, far)] } else { [(device, far), (user, near)] };
        pair.write(a, a_stream, b"question");
        pair.finish(a, a_stream);
        assert_eq!(pair.read_to_end(b, b_stream), (b"question".to_vec(), true));
        // Long after the one half closed, the other still carries.
        pair.trio.world.run_for(Duration::from_secs(60));
        pair.write(b, b_stream, b"answer");
        pair.finish(b, b_stream);
        assert_eq!(pair.read_to_end(a, a_stream), (b"answer".to_vec(), true));
        pair.release();
    }
}

#[test]
fn an_empty_half_is_an_end_of_stream() {
    let mut pair = Pair::clean(2);
    let (user, device, near, far) = (pair.trio.user, pair.trio.device, pair.near, pair.far);
    pair.finish(user, near);
    pair.finish(device, far);
    assert_eq!(pair.read_to_end(device, far), (Vec::new(), true));
    assert_eq!(pair.read_to_end(user, near), (Vec::new(), true));
    let late = pair.trio.world.with(user, |node, _, now| node.stream_write(near, b"late", now));
    assert!(late.is_err(), "bytes after the end were taken");
    pair.release();
}

#[test]
fn a_reset_reaches_the_reader_with_its_code() {
    for from_user in [true, false] {
        let mut pair = Pair::clean(3);
        let (user, device, near, far) = (pair.trio.user, pair.trio.device, pair.near, pair.far);
        let [(a, a_stream), (b, b_stream)] =
            if from_user { [(user, near), (device, far)] } else { [(device, far), (user, near)] };
        pair.write(a, a_stream, &[1; 10_000]);
        let reset = pair.trio.world.with(a, |node, _, now| node.stream_reset(a_stream, 42, now));
        reset.expect("it can be reset");
        pair.trio
            .expect(b, LIMIT, "the reset", |e| matches!(e, Event::StreamReset { code: 42, .. }));
        let (_, is_ended) = pair.read_to_end(b, b_stream);
        assert!(!is_ended, "a reset looks like a proper end");
        // The other direction is not touched.
        pair.write(b, b_stream, b"still here");
        pair.finish(b, b_stream);
        assert_eq!(pair.read_to_end(a, a_stream), (b"still here".to_vec(), true));
        pair.release();
    }
}

#[test]
fn a_stop_reaches_the_writer_with_its_code() {
    for from_user in [true, false] {
        let mut pair = Pair::clean(4);
        let (user, device, near, far) = (pair.trio.user, pair.trio.device, pair.near, pair.far);
        let [(a, a_stream), (b, b_stream)] =
            if from_user { [(user, near), (device, far)] } else { [(device, far), (user, near)] };
        pair.write(b, b_stream, &[1; 10_000]);
        let stopped = pair.trio.world.with(a, |node, _, now| node.stream_stop(a_stream, 43, now));
        stopped.expect("it can be stopped");
        pair.trio
            .expect(b, LIMIT, "the stop", |e| matches!(e, Event::StreamStopped { code: 43, .. }));
        let late = pair.trio.world.with(b, |node, _, now| node.stream_write(b_stream, b"x", now));
        assert!(late.is_err(), "a stopped stream takes bytes: {late:?}");
        // The other direction is not touched.
        pair.write(a, a_stream, b"still here");
        pair.finish(a, a_stream);
        assert_eq!(pair.read_to_end(b, b_stream), (b"still here".to_vec(), true));
        pair.release();
    }
}

#[test]
fn a_released_stream_is_reset_for_the_other_end() {
    let mut pair = Pair::clean(5);
    let (user, near, far) = (pair.trio.user, pair.near, pair.far);
    pair.write(user, near, &[1; 1000]);
    let released = pair.trio.world.with(user, |node, _, now| node.stream_release(near, now));
    released.expect("it is ours");
    pair.trio
        .expect(pair.trio.device, LIMIT, "the reset", |e| matches!(e, Event::StreamReset { .. }));
    let stale = pair.trio.world.with(user, |node, _, now| node.stream_write(near, b"x", now));
    assert!(matches!(stale, Err(NodeError::StaleHandle)), "{stale:?}");
    let device = pair.trio.device;
    let released = pair.trio.world.with(device, |node, _, now| node.stream_release(far, now));
    released.expect("it is ours");
    pair.trio.world.run_for(Duration::from_secs(5));
    assert_eq!(pair.trio.world.node(user).stats().streams, 0);
    assert_eq!(pair.trio.world.node(device).stats().streams, 0);
}

#[test]
fn a_slow_reader_holds_the_writer_back() {
    let config = trio::config(|config| {
        config.transport.stream_window = 64 * 1024;
        config.transport.stream_send_buffer = 64 * 1024;
    });
    let links = LinkConfig::clean(Duration::from_millis(20));
    let mut trio = Trio::with_config(6, links, config);
    trio.online();
    let session = trio.session();
    let pace = ReadPace { bytes: 10_000, every: Duration::from_millis(100) };
    trio.world.app(trio.device).pace = Some(pace);
    trio.open_flow(session, 1, 2_000_000, 0);
    // 100 kB/s: twenty seconds.
    assert!(trio.run_until_idle(Duration::from_secs(40)), "{}", trio.events());
    let device_most = trio.world.host(trio.device).buffered_bytes_max;
    let user_most = trio.world.host(trio.user).buffered_bytes_max;
    assert!(device_most <= 160 * 1024, "{device_most} bytes at the slow reader");
    assert!(user_most <= 160 * 1024, "{user_most} bytes at the writer");
    assert!(device_most >= 32 * 1024, "the reader was not slow: {device_most} bytes");
}

#[test]
fn one_blocked_stream_does_not_block_the_others() {
    let mut pair = Pair::clean(7);
    let (user, near, session) = (pair.trio.user, pair.near, pair.session);
    // Nobody reads this one: it fills its window.
    let mut sent = 0;
    let mut chunk = [0; 8192];
    for _ in 0..100 {
        fill_pattern(1, true, sent, &mut chunk);
        let wrote = pair.trio.world.with(user, |node, _, now| node.stream_write(near, &chunk, now));
        sent += wrote.unwrap_or(0) as u64;
        pair.trio.world.run_for(Duration::from_millis(50));
    }
    assert!(sent < 800_000, "{sent} bytes were taken and nobody reads");
    pair.trio.world.app(pair.trio.device).is_passive = false;
    pair.trio.check_alive(session, 9);
}

#[test]
fn ten_thousand_short_streams_leave_nothing() {
    let mut trio = Trio::new(8, LinkConfig::clean(Duration::from_millis(5)));
    trio.online();
    let session = trio.session();
    for round in 0..500 {
        for i in 0..20 {
            trio.open_flow(session, round * 100 + i, 100, 100);
        }
        assert!(trio.run_until_idle(LIMIT), "round {round}");
    }
    trio.world.run_for(Duration::from_secs(5));
    for host in [trio.user, trio.device] {
        let stats = trio.world.node(host).stats();
        assert_eq!(stats.streams, 0, "{stats:?}");
        // What is left is the broker link's.
        assert!(stats.buffered_bytes == 0 && stats.buffer_memory < 16 * 1024, "{stats:?}");
        assert_eq!(trio.world.app(host).done.len(), 10_000);
    }
}
