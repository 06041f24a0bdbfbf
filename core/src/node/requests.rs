//! Sessions for which the broker was asked, until it answers.

use super::{Node, Reason};
use crate::base::{Deadlines, Handle, Time};
use core::time::Duration;

/// How long the broker may take to answer a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests without an answer yet, and whose they are.
#[derive(Default)]
pub(super) struct Requests {
    deadlines: Deadlines<(u32, Handle)>,
    last: u32,
}

impl Requests {
    /// The number of the next request, which is not used again soon.
    pub(super) fn fresh(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1).max(1);
        self.last
    }

    /// The broker was asked for the session.
    pub(super) fn add(&mut self, request: u32, session: Handle, now: Time) {
        self.deadlines.set((request, session), Some(now + REQUEST_TIMEOUT));
    }

    /// It answered, or need not any more.
    pub(super) fn remove(&mut self, request: u32, session: Handle) {
        self.deadlines.set((request, session), None);
    }

    fn first(&self) -> Option<(u32, Handle)> {
        self.deadlines.keys().next()
    }

    /// The earliest moment at which one is given up.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }
}

impl Node {
    pub(super) fn find_request(&self, wanted: u32) -> Option<Handle> {
        let mut requests = self.requests.deadlines.keys();
        requests.find(|(request, _)| *request == wanted).map(|(_, handle)| handle)
    }

    pub(super) fn expire_requests(&mut self, now: Time) {
        while let Some((request, handle)) = self.requests.deadlines.due(now) {
            self.fail_request(request, handle, Reason::TimedOut);
        }
    }

    /// The broker is gone: nobody will answer.
    pub(super) fn fail_requests(&mut self) {
        while let Some((request, handle)) = self.requests.first() {
            self.fail_request(request, handle, Reason::Offline);
        }
    }

    fn fail_request(&mut self, request: u32, handle: Handle, reason: Reason) {
        self.requests.remove(request, handle);
        self.end_session(handle, reason);
    }
}
