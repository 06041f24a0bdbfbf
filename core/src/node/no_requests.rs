//! In place of `requests` where opening sessions is left out: nothing is ever asked for.

use super::Node;
use crate::base::{Handle, Time};

#[derive(Default)]
pub(super) struct Requests;

impl Requests {
    pub(super) fn fresh(&mut self) -> u32 {
        0
    }

    pub(super) fn add(&mut self, _request: u32, _session: Handle, _now: Time) {}

    pub(super) fn remove(&mut self, _request: u32, _session: Handle) {}

    pub(super) fn next_deadline(&self) -> Option<Time> {
        None
    }
}

impl Node {
    pub(super) fn find_request(&self, _wanted: u32) -> Option<Handle> {
        None
    }

    pub(super) fn expire_requests(&mut self, _now: Time) {}

    pub(super) fn fail_requests(&mut self) {}
}
