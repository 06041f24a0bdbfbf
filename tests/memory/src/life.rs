//! A device's whole life, as far as its memory lets it come.

use crate::world::{BROKER, DEVICE, USER, World, path, sized};
use rit::error::{RIT_ERR_AGAIN, RIT_ERR_HANDLE, RIT_ERR_NOMEM, RIT_ERR_STATE, RIT_OK};
use rit::event::*;
use rit::service::{rit_peer_allow, rit_service, rit_service_add};
use rit::session::{rit_session, rit_session_close, rit_session_open, rit_target};
use rit::stream::*;
use rit::{rit_broker, rit_broker_connect};
use std::ffi::CStr;

/// Bytes that go to the device and come back.
const ECHOED: usize = 10_000;
/// Virtual seconds that anything may take.
const PATIENCE_S: u64 = 60;

/// How far a life came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// There is a node.
    Made,
    /// It has a service and lets the user in.
    SetUp,
    /// It is connected to the broker.
    Online,
    /// The user's session is up.
    Reached,
    /// A stream is open.
    Open,
    /// All bytes came back and both ends were told.
    Echoed,
    /// The session was closed.
    Closed,
}

/// A life under way.
pub struct Life {
    session: rit_session,
    ours: rit_stream,
    theirs: rit_stream,
}

type Step = fn(&mut Life, &mut World) -> Option<()>;

/// The steps after which there is a device online.
const BEGINNING: [(Step, Stage); 2] =
    [(Life::set_up, Stage::SetUp), (Life::connect, Stage::Online)];
/// The steps of a session.
const SESSION: [(Step, Stage); 4] = [
    (Life::reach, Stage::Reached),
    (Life::open, Stage::Open),
    (Life::echo, Stage::Echoed),
    (Life::close, Stage::Closed),
];

/// Runs as much of a life as memory lets. A step that fails was refused for want of it, or this
/// panics.
pub fn live(world: &mut World) -> Stage {
    run(world, BEGINNING.into_iter().chain(SESSION))
}

/// The same for a device that was online once, or tries to be.
pub fn live_on(world: &mut World) -> Stage {
    world.peers[USER].events.clear();
    world.peers[DEVICE].events.clear();
    // Whatever was refused before is done anew; what was not exists.
    run(world, BEGINNING.into_iter().chain(SESSION))
}

fn run(world: &mut World, steps: impl Iterator<Item = (Step, Stage)>) -> Stage {
    let mut stage = Stage::Made;
    let mut life = Life { session: 0, ours: 0, theirs: 0 };
    for (step, next) in steps {
        let before = world.peers[DEVICE].refused;
        if step(&mut life, world).is_none() {
            let refused = world.peers[DEVICE].refused - before;
            assert!(refused > 0, "it did not come to {next:?}, and no call was refused");
            return stage;
        }
        stage = next;
    }
    stage
}

impl Life {
    fn set_up(&mut self, world: &mut World) -> Option<()> {
        let user = world.peers[USER].key();
        let device = &mut world.peers[DEVICE];
        // SAFETY: a whole key.
        let allowed =
            device.call("rit_peer_allow", |node| unsafe { rit_peer_allow(node, user.as_ptr()) });
        let service = rit_service { port: 80, name: c"web".as_ptr(), ..sized() };
        let mut id = 0;
        // SAFETY: good pointers.
        let added = device
            .call("rit_service_add", |node| unsafe { rit_service_add(node, &service, &mut id) });
        let exists = rit::error::RIT_ERR_EXISTS;
        assert!(matches!(added, RIT_OK | RIT_ERR_NOMEM) || added == exists, "{added}");
        assert!(matches!(allowed, RIT_OK | RIT_ERR_NOMEM), "{allowed}");
        (allowed == RIT_OK && added != RIT_ERR_NOMEM).then_some(())
    }

    fn call_broker(world: &mut World, peer: usize, code: &CStr) -> i32 {
        let to = path(BROKER);
        let broker = rit_broker {
            key: world.broker_key(),
            paths: &to,
            path_count: 1,
            enrol_code: code.as_ptr(),
            ..sized()
        };
        // SAFETY: good pointers.
        world.peers[peer]
            .call("rit_broker_connect", |node| unsafe { rit_broker_connect(node, &broker) })
    }

    fn connect(&mut self, world: &mut World) -> Option<()> {
        for (peer, code) in [(USER, c"two"), (DEVICE, c"one")] {
            match Self::call_broker(world, peer, code) {
                RIT_OK => {
                    world.wait(peer, &[RIT_EVENT_BROKER_ONLINE], PATIENCE_S)?;
                }
                // It is, or tries to be.
                RIT_ERR_STATE => world.run(PATIENCE_S),
                RIT_ERR_NOMEM => return None,
                code => panic!("rit_broker_connect: {code}"),
            }
        }
        Some(())
    }

    fn reach(&mut self, world: &mut World) -> Option<()> {
        let target = rit_target { device: world.peers[DEVICE].key(), ..sized() };
        let mut session = 0;
        let open = |node| {
            // SAFETY: good pointers.
            unsafe { rit_session_open(node, &target, &mut session) }
        };
        assert_eq!(world.peers[USER].call("rit_session_open", open), RIT_OK);
        self.session = session;
        let ends = [RIT_EVENT_SESSION_UP, RIT_EVENT_SESSION_DOWN];
        let event = world.wait(USER, &ends, PATIENCE_S)?;
        (event.r#type == RIT_EVENT_SESSION_UP).then_some(())
    }

    fn open(&mut self, world: &mut World) -> Option<()> {
        let (session, mut theirs) = (self.session, 0);
        let open = |node| {
            // SAFETY: good pointers.
            unsafe { rit_stream_open(node, session, c"web".as_ptr(), &mut theirs) }
        };
        if world.peers[USER].call("rit_stream_open", open) == RIT_ERR_HANDLE {
            return None; // the session is down already
        }
        self.theirs = theirs;
        self.ours = world.wait(DEVICE, &[RIT_EVENT_STREAM_INCOMING], PATIENCE_S)?.stream;
        let ours = self.ours;
        // SAFETY: a live node.
        match world.peers[DEVICE]
            .call("rit_stream_accept", |node| unsafe { rit_stream_accept(node, ours) })
        {
            RIT_OK => {}
            RIT_ERR_NOMEM | RIT_ERR_HANDLE => return None,
            code => panic!("rit_stream_accept: {code}"),
        }
        let ends = [RIT_EVENT_STREAM_OPENED, RIT_EVENT_SESSION_DOWN];
        let event = world.wait(USER, &ends, PATIENCE_S)?;
        (event.r#type == RIT_EVENT_STREAM_OPENED).then_some(())
    }

    fn echo(&mut self, world: &mut World) -> Option<()> {
        let sent: Vec<u8> = (0..ECHOED).map(|i| (i * 7 % 251) as u8).collect();
        let (mut written, mut back, mut waiting) = (0, Vec::new(), Vec::new());
        let (mut has_finished, mut is_over) = (false, false);
        let until = world.now_us() + 4 * PATIENCE_S * 1_000_000;
        while back.len() < sent.len() || !is_over {
            if world.now_us() > until {
                return None;
            }
            if written < sent.len() {
                written += write(world, USER, self.theirs, &sent[written..])?;
                if written == sent.len() {
                    let theirs = self.theirs;
                    // SAFETY: a live node.
                    world.peers[USER].call("rit_stream_finish", |node| unsafe {
                        rit_stream_finish(node, theirs)
                    });
                }
            }
            // The device keeps no more than fits it: it reads when it has written all.
            while waiting.is_empty() && !has_finished {
                match read(world, DEVICE, self.ours, 700)? {
                    None => break,
                    Some(bytes) if bytes.is_empty() => {
                        let ours = self.ours;
                        // SAFETY: a live node.
                        world.peers[DEVICE].call("rit_stream_finish", |node| unsafe {
                            rit_stream_finish(node, ours)
                        });
                        has_finished = true;
                    }
                    Some(bytes) => waiting = bytes,
                }
                if !waiting.is_empty() {
                    let len = write(world, DEVICE, self.ours, &waiting)?;
                    waiting.drain(..len);
                }
            }
            if !waiting.is_empty() {
                let len = write(world, DEVICE, self.ours, &waiting)?;
                waiting.drain(..len);
            }
            while let Some(bytes) = read(world, USER, self.theirs, 4096)? {
                is_over = bytes.is_empty();
                back.extend(bytes);
                if is_over {
                    break;
                }
            }
            world.step();
        }
        assert_eq!(back, sent);
        for (peer, stream) in [(DEVICE, self.ours), (USER, self.theirs)] {
            // SAFETY: a live node.
            let code = world.peers[peer]
                .call("rit_stream_release", |node| unsafe { rit_stream_release(node, stream) });
            assert_eq!(code, RIT_OK);
        }
        Some(())
    }

    fn close(&mut self, world: &mut World) -> Option<()> {
        let session = self.session;
        // SAFETY: a live node.
        let code = world.peers[USER]
            .call("rit_session_close", |node| unsafe { rit_session_close(node, session, 0) });
        assert_eq!(code, RIT_OK);
        world.wait(DEVICE, &[RIT_EVENT_SESSION_DOWN], PATIENCE_S).map(|_| ())
    }
}

/// Bytes taken; `None`: the stream is gone.
fn write(world: &mut World, peer: usize, stream: rit_stream, data: &[u8]) -> Option<usize> {
    let mut written = 0;
    let code = world.peers[peer].call("rit_stream_write", |node| {
        // SAFETY: good pointers.
        unsafe { rit_stream_write(node, stream, data.as_ptr(), data.len(), &mut written) }
    });
    match code {
        RIT_OK => Some(written),
        RIT_ERR_AGAIN | RIT_ERR_NOMEM => Some(0),
        RIT_ERR_HANDLE => None,
        code => panic!("rit_stream_write: {code}"),
    }
}

/// Bytes, or that there are none now; `None`: the stream is gone.
fn read(world: &mut World, peer: usize, stream: rit_stream, cap: usize) -> Option<Option<Vec<u8>>> {
    let (mut buf, mut len) = (vec![0; cap], 0);
    let code = world.peers[peer].call("rit_stream_read", |node| {
        // SAFETY: good pointers.
        unsafe { rit_stream_read(node, stream, buf.as_mut_ptr(), buf.len(), &mut len) }
    });
    match code {
        RIT_OK => {
            buf.truncate(len);
            Some(Some(buf))
        }
        RIT_ERR_AGAIN => Some(None),
        RIT_ERR_HANDLE => None,
        code => panic!("rit_stream_read: {code}"),
    }
}
