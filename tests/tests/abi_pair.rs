//! A device and a user driven through the C functions alone, with core's broker between them, on a
//! loss-free wire in virtual time: each event and each stream function does what the header says.

use rit::error::{RIT_ERR_AGAIN, RIT_ERR_CLOSED, RIT_ERR_DENIED, RIT_ERR_HANDLE, RIT_ERR_LIMIT};
use rit::error::{RIT_ERR_ARG, RIT_ERR_OFFLINE, RIT_ERR_TIMEOUT, RIT_ERR_UNKNOWN};
use rit::error::{RIT_ERR_CODE, RIT_ERR_REFUSED, RIT_ERR_RESET, RIT_ERR_STATE, RIT_OK};
use rit::event::*;
use rit::node::*;
use rit::service::*;
use rit::session::*;
use rit::stream::*;
use std::ffi::CStr;

#[path = "abi_pair/cloak.rs"]
mod cloak;
#[path = "abi_pair/flows.rs"]
mod flows;
#[path = "abi_pair/gateway.rs"]
mod gateway;
#[path = "abi_pair/parts.rs"]
mod parts;
#[path = "abi_pair/pipe.rs"]
mod pipe;
#[path = "abi_pair/wire.rs"]
mod wire;
#[path = "abi_pair/world.rs"]
mod world;

use world::*;

#[test]
fn bytes_and_ends_both_ways() {
    let (mut world, _, session) = World::connected(|_| {});
    let mut info: rit_session_info = sized();
    let mut service: rit_service_info = sized();
    let mut path: rit_path_info = sized();
    let node = world.peers[USER].node;
    // SAFETY: sized structs.
    unsafe {
        assert_eq!(rit_session_info(node, session, &mut info), RIT_OK);
        assert_eq!(rit_session_service(node, session, 0, &mut service), RIT_OK);
        assert!(rit_session_service(node, session, 1, &mut service) != RIT_OK);
        assert_eq!(CStr::from_ptr(service.name.as_ptr()), c"web");
        assert_eq!(rit_session_path(node, session, 0, &mut path), RIT_OK);
        assert!(rit_session_path(node, session, info.path_count, &mut path) != RIT_OK);
    }
    assert_eq!((path.kind, path.state), (RIT_PATH_DIRECT, RIT_PATH_ANSWERS));
    assert_eq!((path.path.port, path.rtt_us), (info.path.port, info.rtt_us));
    assert!(path.datagrams_sent >= 2 && path.bytes_sent > 400, "{path:?}");
    assert!(path.datagrams_received >= 1 && path.bytes_received > 400, "{path:?}");
    assert_eq!((info.is_up, info.is_initiator, info.service_count), (1, 1, 1));
    assert_eq!((info.path.ip[15], info.path.port, service.port), (0, 7480, 80));
    assert!(info.rtt_us >= 2 * DELAY_US && info.rtt_us < 4 * DELAY_US, "{}", info.rtt_us);

    let (device, user) = world.stream(session);
    assert_eq!(world.peers[USER].read(user), Err(RIT_ERR_AGAIN));
    assert_eq!(world.peers[USER].write(user, b"GET /"), Ok(5));
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_stream_finish(node, user) }, RIT_OK);
    assert_eq!(world.peers[USER].write(user, b"more"), Err(RIT_ERR_STATE));
    assert_eq!(world.wait(DEVICE, RIT_EVENT_STREAM_READABLE).stream, device);
    assert_eq!(world.peers[DEVICE].read(device), Ok(b"GET /".to_vec()));
    assert_eq!(world.peers[DEVICE].read(device), Ok(Vec::new()), "the end");
    // The other direction is still open.
    assert_eq!(world.peers[DEVICE].write(device, b"200"), Ok(3));
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_stream_finish(world.peers[DEVICE].node, device) }, RIT_OK);
    // SAFETY: a live node. What is finished still arrives.
    assert_eq!(unsafe { rit_stream_release(world.peers[DEVICE].node, device) }, RIT_OK);
    assert_eq!(world.wait(USER, RIT_EVENT_STREAM_READABLE).stream, user);
    assert_eq!(world.peers[USER].read(user), Ok(b"200".to_vec()));
    assert_eq!(world.peers[USER].read(user), Ok(Vec::new()));
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_stream_release(node, user) }, RIT_OK);
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_stream_release(node, user) }, RIT_ERR_HANDLE);
}

#[test]
fn a_slow_reader_stops_its_writer_and_nobody_else() {
    let (mut world, _, session) = World::connected(|config| {
        config.stream_window = 4096;
        config.stream_send_buffer = 4096;
    });
    let (device, user) = world.stream(session);
    let mut taken = 0;
    for _ in 0..200 {
        match world.peers[USER].write(user, &[7; 1000]) {
            Ok(len) => taken += len,
            Err(error) => assert_eq!(error, RIT_ERR_AGAIN),
        }
        world.step();
    }
    assert!((4096..=8192).contains(&taken), "{taken}");
    let (other_device, other_user) = world.stream(session);
    assert_eq!(world.peers[USER].write(other_user, b"hello"), Ok(5));
    assert_eq!(world.wait(DEVICE, RIT_EVENT_STREAM_READABLE).stream, other_device);
    assert_eq!(world.peers[DEVICE].read(other_device), Ok(b"hello".to_vec()));
    // Reading makes room.
    world.peers[USER].events.clear();
    let mut read = 0;
    while read < taken {
        match world.peers[DEVICE].read(device) {
            Ok(bytes) => read += bytes.len(),
            Err(error) => assert_eq!(error, RIT_ERR_AGAIN),
        }
        world.step();
    }
    assert_eq!(world.wait(USER, RIT_EVENT_STREAM_WRITABLE).stream, user);
    assert_eq!(world.peers[USER].write(user, b"on"), Ok(2));
}

#[test]
fn refusals_resets_and_stops_are_told() {
    let (mut world, _, session) = World::connected(|_| {});
    let unknown = world.peers[USER].open(session, c"ftp").unwrap();
    let refused = world.wait(USER, RIT_EVENT_STREAM_REFUSED);
    assert_eq!((refused.stream, refused.error), (unknown, RIT_ERR_UNKNOWN));
    assert_eq!(refused.code, RIT_REFUSED_UNKNOWN as u64);
    for (refusal, error) in [
        (RIT_REFUSED_SERVICE, RIT_ERR_REFUSED),
        (RIT_REFUSED_DENIED, RIT_ERR_DENIED),
        (RIT_REFUSED_LIMIT, RIT_ERR_LIMIT),
    ] {
        let stream = world.peers[USER].open(session, c"web").unwrap();
        let incoming = world.wait(DEVICE, RIT_EVENT_STREAM_INCOMING).stream;
        let node = world.peers[DEVICE].node;
        // SAFETY: a live node.
        assert_eq!(unsafe { rit_stream_refuse(node, incoming, refusal) }, RIT_OK);
        // SAFETY: a live node.
        assert_eq!(unsafe { rit_stream_release(node, incoming) }, RIT_ERR_HANDLE);
        let refused = world.wait(USER, RIT_EVENT_STREAM_REFUSED);
        assert_eq!((refused.stream, refused.error), (stream, error));
        assert_eq!(refused.code, refusal as u64);
        // SAFETY: a live node.
        assert_eq!(unsafe { rit_stream_release(world.peers[USER].node, stream) }, RIT_OK);
    }
    let (device, user) = world.stream(session);
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_stream_stop(world.peers[USER].node, user, 41) }, RIT_OK);
    let stopped = world.wait(DEVICE, RIT_EVENT_STREAM_STOPPED);
    assert_eq!((stopped.stream, stopped.code), (device, 41));
    assert_eq!(world.peers[DEVICE].write(device, b"x"), Err(RIT_ERR_CLOSED));
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_stream_reset(world.peers[USER].node, user, 42) }, RIT_OK);
    let reset = world.wait(DEVICE, RIT_EVENT_STREAM_RESET);
    assert_eq!((reset.stream, reset.code), (device, 42));
    assert_eq!(world.peers[DEVICE].read(device), Err(RIT_ERR_RESET));
}

#[test]
fn urgency_is_taken_and_a_deadline_told_at_both_ends() {
    let (mut world, _, session) = World::connected(|_| {});
    let (device, user) = world.stream(session);
    let node = world.peers[USER].node;
    let priority = |urgency, incremental| {
        // SAFETY: a live node.
        unsafe { rit_stream_set_priority(node, user, urgency, incremental) }
    };
    assert_eq!([priority(0, 0), priority(7, 1)], [RIT_OK; 2]);
    assert_eq!([priority(8, 1), priority(u32::MAX, 0), priority(0, 2)], [RIT_ERR_ARG; 3]);
    // SAFETY: a live node.
    let deadline = |us| unsafe { rit_stream_set_deadline(node, user, us) };
    assert_eq!([deadline(u64::MAX - 1), deadline(u64::MAX), deadline(5_000)], [RIT_OK; 3]);
    assert_eq!(world.peers[USER].write(user, b"late"), Ok(4));
    world.collect();
    assert!(world.peers[USER].port().timer_us <= world.now_us + 5_000);
    assert_eq!(world.wait(USER, RIT_EVENT_STREAM_EXPIRED).stream, user);
    assert_eq!(world.peers[USER].write(user, b"more"), Err(RIT_ERR_TIMEOUT));
    let reset = world.wait(DEVICE, RIT_EVENT_STREAM_RESET);
    assert_eq!((reset.stream, reset.code), (device, RIT_CODE_DEADLINE));
}

#[test]
fn a_closed_session_makes_its_handles_stale() {
    let (mut world, device_session, session) = World::connected(|_| {});
    let (device, user) = world.stream(session);
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_session_close(world.peers[USER].node, session, 5) }, RIT_OK);
    let down = world.wait(USER, RIT_EVENT_SESSION_DOWN);
    assert_eq!((down.session, down.error, down.code), (session, RIT_OK, 0));
    let down = world.wait(DEVICE, RIT_EVENT_SESSION_DOWN);
    assert_eq!((down.session, down.error, down.code), (device_session, RIT_ERR_CLOSED, 5));
    assert_eq!(world.peers[USER].write(user, b"x"), Err(RIT_ERR_HANDLE));
    assert_eq!(world.peers[DEVICE].read(device), Err(RIT_ERR_HANDLE));
    assert_eq!(world.peers[USER].open(session, c"web"), Err(RIT_ERR_HANDLE));
    // A new one is another.
    let device_key = world.peers[DEVICE].key();
    let again = world.peers[USER].reach(device_key).unwrap();
    assert_ne!(again, session);
    assert_eq!(world.wait(USER, RIT_EVENT_SESSION_UP).session, again);
    world.wait(DEVICE, RIT_EVENT_SESSION_UP);
    // Taken back: what the peer has opened ends.
    let user_key = world.peers[USER].key();
    // SAFETY: a live node, a whole key.
    let code = unsafe { rit_peer_forbid(world.peers[DEVICE].node, user_key.as_ptr()) };
    assert_eq!(code, RIT_OK);
    assert_eq!(world.wait(USER, RIT_EVENT_SESSION_DOWN).error, RIT_ERR_CLOSED);
}

#[test]
fn the_broker_says_no() {
    let mut world = World::new(|_| {});
    assert_eq!(world.peers[USER].reach([1; 32]), Err(RIT_ERR_OFFLINE));
    world.connect(DEVICE, c"wrong");
    let refused = world.wait(DEVICE, RIT_EVENT_ENROL_REFUSED);
    assert_eq!(refused.error, RIT_ERR_CODE);
    assert!(!world.peers[DEVICE].port().warnings.is_empty());
    world.connect(USER, c"two");
    world.wait(USER, RIT_EVENT_ENROLLED);
    world.wait(USER, RIT_EVENT_BROKER_ONLINE);
    let session = world.peers[USER].reach([1; 32]).unwrap();
    let down = world.wait(USER, RIT_EVENT_SESSION_DOWN);
    assert_eq!((down.session, down.error), (session, RIT_ERR_UNKNOWN));
    // With the right code the same node is let in.
    world.connect(DEVICE, c"one");
    world.wait(DEVICE, RIT_EVENT_BROKER_ONLINE);
}
