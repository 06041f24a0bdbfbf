//! How full the pipe is, through C: asked for, and told as it fills and empties.

use super::world::*;
use rit::error::{RIT_ERR_HANDLE, RIT_OK};
use rit::event::RIT_EVENT_SESSION_PIPE;
use rit::event::RIT_EVENT_STREAM_READABLE;
use rit::pipe::*;

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
