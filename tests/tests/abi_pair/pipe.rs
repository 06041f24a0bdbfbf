//! Quality of a session through C: how full the pipe is, asked for, and told as it fills and
//! empties; and who has which share of it.

use super::world::*;
use rit::error::{RIT_ERR_ARG, RIT_ERR_HANDLE, RIT_OK};
use rit::event::RIT_EVENT_SESSION_PIPE;
use rit::event::{RIT_EVENT_STREAM_INCOMING, RIT_EVENT_STREAM_OPENED, RIT_EVENT_STREAM_READABLE};
use rit::pipe::*;
use rit::stream::rit_stream_accept;

const BULK: usize = 60_000;

#[test]
fn the_pipe_is_told_as_it_fills_and_empties() {
    for congestion in [RIT_CONGESTION_CUBIC, RIT_CONGESTION_DELAY_BOUNDED] {
        let (mut world, _, session) = World::connected(|_| {});
        let node = world.peers[USER].node;
        let (device, user) = world.stream(session);
        let mut pipe: rit_pipe = sized();
        // SAFETY: a live node and a sized struct.
        unsafe {
            assert_eq!(rit_session_set_congestion(node, session, congestion, 0), RIT_OK);
            assert_eq!(rit_session_pipe(node, session, &mut pipe), RIT_OK);
            assert_eq!(pipe.queued_bytes, 0);
            assert_eq!(rit_session_watch(node, session, 1_000, 50_000), RIT_OK);
        }
        let written = world.peers[USER].write(user, &[7; BULK]).unwrap();
        let event = world.wait(USER, RIT_EVENT_SESSION_PIPE);
        assert_eq!((event.session, event.code), (session, 1));
        let mut got = 0;
        while got < written {
            world.wait(DEVICE, RIT_EVENT_STREAM_READABLE);
            while let Ok(bytes) = world.peers[DEVICE].read(device) {
                got += bytes.len();
            }
        }
        let event = world.wait(USER, RIT_EVENT_SESSION_PIPE);
        assert_eq!((event.session, event.code), (session, 0));
        // SAFETY: as above.
        unsafe {
            assert_eq!(rit_session_pipe(node, session, &mut pipe), RIT_OK);
            assert_eq!(rit_session_watch(node, session, 0, 0), RIT_OK);
            assert_eq!(rit_session_pipe(node, session + 1, &mut pipe), RIT_ERR_HANDLE);
        }
        assert_eq!((pipe.queued_bytes, pipe.reserved), (0, [0; 3]));
        assert!(pipe.drain_rate > 0 && pipe.delay_us < 1_000, "{pipe:?}");
    }
}

/// Fills streams of two services from the device, whose services have these weights; what the user
/// has of each when the first has all.
fn race(weights: [u32; 2], urgencies: [u32; 2]) -> [usize; 2] {
    let (mut world, _, session) = World::connected(|_| {});
    let names = [c"video", c"files"];
    let mut streams = Vec::new();
    for (name, (weight, urgency)) in names.into_iter().zip(weights.into_iter().zip(urgencies)) {
        let node = world.peers[DEVICE].node;
        let service = world.peers[DEVICE].offer(name);
        // SAFETY: a live node.
        unsafe {
            assert_eq!(rit_service_set_priority(node, service, 8, weight), RIT_ERR_ARG);
            assert_eq!(rit_service_set_priority(node, service, urgency, 0), RIT_ERR_ARG);
            assert_eq!(rit_service_set_priority(node, service, urgency, weight), RIT_OK);
        }
        let theirs = world.peers[USER].open(session, name).unwrap();
        let ours = world.wait(DEVICE, RIT_EVENT_STREAM_INCOMING).stream;
        // SAFETY: a live node.
        assert_eq!(unsafe { rit_stream_accept(node, ours) }, RIT_OK);
        assert_eq!(world.wait(USER, RIT_EVENT_STREAM_OPENED).stream, theirs);
        streams.push((ours, theirs));
    }
    // In the order that is the other way round, so that nobody is first by chance.
    for (ours, _) in streams.iter().rev() {
        assert_eq!(world.peers[DEVICE].write(*ours, &[7; BULK]).unwrap(), BULK);
    }
    let mut got = [0; 2];
    while got.iter().all(|got| *got < BULK) {
        world.wait(USER, RIT_EVENT_STREAM_READABLE);
        for ((_, theirs), got) in streams.iter().zip(&mut got) {
            while let Ok(bytes) = world.peers[USER].read(*theirs) {
                *got += bytes.len();
            }
        }
    }
    got
}

#[test]
fn services_of_a_bundle_have_their_shares() {
    // The one written to first has the first window for itself, and then a fifth.
    let got = race([64, 16], [3, 3]);
    assert_eq!(got[0], BULK);
    assert!((BULK / 8..BULK * 2 / 3).contains(&got[1]), "{got:?}");
    // Urgency goes before shares.
    assert_eq!(race([1, 256], [2, 3])[0], BULK);
}
