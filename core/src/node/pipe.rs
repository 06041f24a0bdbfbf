//! How full the pipe to a session's peer is, and the event that tells when that changes.
//!
//! Owns the thresholds. Invariant: of each session at most one such event waits to be fetched.

use super::{Event, Node, NodeError, SessionId};
use crate::base::{Handle, Time};
use crate::transport::{Congestion, Pipe};
use core::time::Duration;

/// When to tell that the pipe fills or empties.
#[derive(Debug)]
pub(super) struct Watch {
    high: Duration,
    low: Duration,
    is_full: bool,
    /// The event was put into the queue and not fetched.
    is_queued: bool,
}

impl Node {
    /// The congestion controller by which this end sends on the session. It begins anew, unless it
    /// is the one that is there already.
    pub fn session_set_congestion(
        &mut self,
        session: SessionId,
        congestion: Congestion,
    ) -> Result<(), NodeError> {
        let tunnel = self.live_session(Handle(session.0))?.tunnel_to_open()?;
        tunnel.connection.set_congestion(congestion);
        Ok(())
    }

    /// How full the pipe to the peer is.
    pub fn session_pipe(&mut self, session: SessionId, now: Time) -> Result<Pipe, NodeError> {
        Ok(self.live_session(Handle(session.0))?.tunnel_to_open()?.connection.pipe(now))
    }

    /// From now on, [`Event::SessionPipe`] tells when [`Pipe::delay`] rises above `high`, and when
    /// it falls below `low` after that. `None`: no more. `Argument` unless `low` is less than
    /// `high`.
    pub fn session_watch(
        &mut self,
        session: SessionId,
        thresholds: Option<(Duration, Duration)>,
        now: Time,
    ) -> Result<(), NodeError> {
        let live = self.live_session(Handle(session.0))?;
        if thresholds.is_some_and(|(low, high)| low >= high) {
            return Err(NodeError::Argument);
        }
        let is_queued = live.watch.as_ref().is_some_and(|watch| watch.is_queued);
        let watch = thresholds.map(|(low, high)| Watch { high, low, is_full: false, is_queued });
        live.watch = watch.map(alloc::boxed::Box::new);
        self.check_watch(Handle(session.0), now);
        Ok(())
    }

    /// Something went into the pipe of a session, or out of it.
    pub(super) fn check_watch(&mut self, handle: Handle, now: Time) {
        let Ok(session) = self.live_session(handle) else { return };
        let Some(mut watch) = session.watch.take() else { return };
        if let Some(tunnel) = session.tunnel() {
            let delay = tunnel.connection.pipe(now).delay();
            let was_full = watch.is_full;
            watch.is_full = if was_full { delay >= watch.low } else { delay > watch.high };
            if watch.is_full != was_full && !core::mem::replace(&mut watch.is_queued, true) {
                let session = SessionId(handle.0);
                self.events.push_back(Event::SessionPipe { session, is_full: watch.is_full });
            }
        }
        if let Ok(session) = self.live_session(handle) {
            session.watch = Some(watch);
        }
    }

    /// The event as it is now that it is fetched.
    pub(super) fn refresh_pipe_event(&mut self, event: &mut Event) {
        let Event::SessionPipe { session, is_full } = event else { return };
        let Some(watch) =
            self.live_session(Handle(session.0)).ok().and_then(|live| live.watch.as_mut())
        else {
            return;
        };
        watch.is_queued = false;
        *is_full = watch.is_full;
    }
}
