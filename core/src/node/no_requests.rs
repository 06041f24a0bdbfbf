//! In place of `requests` where opening sessions is left out: nothing is ever asked for.

use super::{Node, NodeError, Reason, SessionId, Which};
use crate::base::{Handle, PublicKey, Time};

#[derive(Default)]
pub(super) struct Requests;

impl Requests {
    pub(super) fn remove(&mut self, _request: u32, _session: Handle) {}

    pub(super) fn next_deadline(&self) -> Option<Time> {
        None
    }
}

impl Node {
    /// Without the feature `initiator` it is never possible.
    pub fn session_open(&mut self, _device: PublicKey, _now: Time) -> Result<SessionId, NodeError> {
        Err(NodeError::State)
    }

    /// Nor this.
    pub fn session_open_with(
        &mut self,
        _device: PublicKey,
        _chain: &[u8],
        _now: Time,
    ) -> Result<SessionId, NodeError> {
        Err(NodeError::State)
    }

    pub(super) fn find_request(&self, _wanted: u32, _from: Which) -> Option<Handle> {
        None
    }

    pub(super) fn on_refused(
        &mut self,
        _request: u32,
        _session: Handle,
        _reason: Reason,
        _now: Time,
    ) {
    }

    pub(super) fn expire_requests(&mut self, _now: Time) {}

    pub(super) fn fail_requests(&mut self, _which: Which, _now: Time) {}

    pub(super) fn ask_anew(&mut self, _which: Which, _now: Time) {}
}
