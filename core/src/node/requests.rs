//! Sessions for which a broker was asked, until it answers.
//!
//! Owns whom was asked, and that another is asked where the first does not know the device, or is
//! gone. Does not own what comes of the answer.

#[cfg(feature = "gateway")]
mod again;
#[cfg(not(feature = "gateway"))]
#[path = "requests/no_again.rs"]
mod again;

use self::again::Again;
use super::{Node, NodeError, Reason, SessionId, Which};
use crate::base::{Deadlines, Handle, PublicKey, Time};
use crate::wire::message::{CHAIN_LEN_MAX, ToBroker};
use core::time::Duration;

/// How long a broker may take to answer a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests without an answer yet, and whose they are.
#[derive(Default)]
pub(super) struct Requests {
    deadlines: Deadlines<(u32, Handle)>,
    last: u32,
    again: Again,
}

impl Requests {
    /// The number of the next request, which is not used again soon.
    pub(super) fn fresh(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1).max(1);
        self.last
    }

    /// A broker was asked for the session.
    fn add(&mut self, request: u32, session: Handle, now: Time) {
        self.deadlines.set((request, session), Some(now + REQUEST_TIMEOUT));
    }

    /// It answered, or need not any more.
    pub(super) fn remove(&mut self, request: u32, session: Handle) {
        self.deadlines.set((request, session), None);
        self.again.remove(request);
    }

    fn find(&self, is_it: impl Fn(u32) -> bool) -> Option<(u32, Handle)> {
        self.deadlines.keys().find(|(request, _)| is_it(*request))
    }

    /// The earliest moment at which one is given up.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }
}

impl Node {
    /// Asks the broker for a session with `device`. `SessionUp` or `SessionDown` follows. Without
    /// the feature `initiator` it is never possible.
    pub fn session_open(&mut self, device: PublicKey, now: Time) -> Result<SessionId, NodeError> {
        self.session_open_with(device, &[], now)
    }

    /// The same, with the chain of grants by which this node may use the device; `Argument`: it is
    /// longer than a chain may be.
    pub fn session_open_with(
        &mut self,
        device: PublicKey,
        chain: &[u8],
        now: Time,
    ) -> Result<SessionId, NodeError> {
        let by = self.links.to_ask().ok_or(NodeError::Offline)?;
        if device == self.public_key() || chain.len() > CHAIN_LEN_MAX {
            return Err(NodeError::Argument);
        }
        // Asked for in vain if the connection to come had no room.
        if !self.has_room_for_connection() {
            return Err(NodeError::Memory);
        }
        self.has_room_to_ask_again(chain)?;
        let request = self.requests.fresh();
        let handle = self.insert_session(request, device, true)?;
        self.requests.add(request, handle, now);
        self.prepare_to_ask_again(request, by, chain);
        let sent = self.ask_for_session(request, device, chain, by, now);
        self.process_link(by, now);
        if let Err(error) = sent {
            self.remove_session(handle);
            return Err(error);
        }
        Ok(SessionId(handle.0))
    }

    fn ask_for_session(
        &mut self,
        request: u32,
        device: PublicKey,
        chain: &[u8],
        by: Which,
        now: Time,
    ) -> Result<(), NodeError> {
        self.doubt(by, now);
        let message = ToBroker::Connect { request, device, chain: chain.to_vec() };
        self.links.of_mut(by).send(&message, now)
    }

    /// Whose request it is, if the one was asked that answers.
    pub(super) fn find_request(&self, wanted: u32, from: Which) -> Option<Handle> {
        let is_it = |request| request == wanted && self.requests.again.is_by(request, from);
        self.requests.find(is_it).map(|(_, handle)| handle)
    }

    /// Who was asked has no session for us.
    pub(super) fn on_refused(&mut self, request: u32, handle: Handle, reason: Reason, now: Time) {
        if !self.ask_elsewhere(request, handle, reason, now) {
            self.fail_request(request, handle, reason);
        }
    }

    pub(super) fn expire_requests(&mut self, now: Time) {
        while let Some((request, handle)) = self.requests.deadlines.due(now) {
            self.on_refused(request, handle, Reason::TimedOut, now);
        }
    }

    /// This link is gone: whoever was asked by it will not answer.
    pub(super) fn fail_requests(&mut self, which: Which, now: Time) {
        while let Some((request, handle)) =
            self.requests.find(|request| self.requests.again.is_by(request, which))
        {
            if !self.ask_after_loss(request, handle, which, now) {
                self.fail_request(request, handle, Reason::Offline);
            }
        }
    }

    fn fail_request(&mut self, request: u32, handle: Handle, reason: Reason) {
        let reason = self.requests.again.first_reason(request).unwrap_or(reason);
        self.requests.remove(request, handle);
        self.end_session(handle, reason);
    }
}
