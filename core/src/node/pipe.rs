//! Quality of a session: how full the pipe to its peer is, the event that tells when that changes,
//! and the parts of it that services and streams have.
//!
//! Owns the thresholds, and which share of the transport is whose: the first are the integrator's,
//! the others those of services. Invariant: of each session at most one such event waits to be
//! fetched.

use super::{Event, Node, NodeError, ServiceId, SessionId, StreamHandle};
use crate::base::{Handle, Time};
use crate::transport::{Congestion, Pipe, Priority, SHARES_MAX, StreamId, WEIGHT_MAX};
use crate::wire::message::SERVICES_MAX;
use core::time::Duration;

/// Shares that the integrator numbers.
const OWN_SHARES: usize = 32;
const _: () = assert!(OWN_SHARES + SERVICES_MAX <= SHARES_MAX);

/// How the streams of a service begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quality {
    priority: Priority,
    weight: u16,
}

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

    /// Streams of the service that come from now on begin with this urgency, incremental, and have
    /// together a share of this weight. `Argument` if `urgency` is above 7, or `weight` 0 or above
    /// 256.
    pub fn service_set_priority(
        &mut self,
        service: ServiceId,
        urgency: u8,
        weight: u16,
    ) -> Result<(), NodeError> {
        let priority = Priority::new(urgency, true).ok_or(NodeError::Argument)?;
        let offered = self.services.get_mut(Handle(service.0)).ok_or(NodeError::StaleHandle)?;
        check_weight(weight)?;
        offered.quality = Some(Quality { priority, weight });
        Ok(())
    }

    /// The stream is one of the service's.
    pub(super) fn begin_as_service(&mut self, owner: Handle, id: StreamId, service: ServiceId) {
        let offered = self.services.get(Handle(service.0));
        let Some(Quality { priority, weight }) = offered.and_then(|offered| offered.quality) else {
            return;
        };
        let share = OWN_SHARES as u8 + Handle(service.0).slot() as u8;
        let Some(tunnel) = self.sessions.get_mut(owner).and_then(|session| session.tunnel()) else {
            return;
        };
        // A stream that has just come is there, and shares are as many as services.
        let _ = tunnel.connection.stream_set_priority(id, priority);
        let _ = tunnel.connection.stream_set_share(id, share, weight);
    }

    /// Makes the stream one of those that have a share together, 0 to 31, and sets its weight; see
    /// [`Connection::stream_set_share`]. `Argument` if `share` is above 31, or `weight` 0 or above
    /// 256.
    ///
    /// [`Connection::stream_set_share`]: crate::transport::Connection::stream_set_share
    pub fn stream_set_share(
        &mut self,
        stream: StreamHandle,
        share: u8,
        weight: u16,
        now: Time,
    ) -> Result<(), NodeError> {
        if usize::from(share) >= OWN_SHARES {
            return Err(NodeError::Argument);
        }
        check_weight(weight)?;
        self.with_stream(stream, now, |tunnel, id| {
            Ok(tunnel.connection.stream_set_share(id, share, weight)?)
        })
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

fn check_weight(weight: u16) -> Result<(), NodeError> {
    if (1..=WEIGHT_MAX).contains(&weight) { Ok(()) } else { Err(NodeError::Argument) }
}
