//! In place of `owner` where a node owns nothing: it says nothing of its own, and nobody answers.

use super::super::{Node, Reason, Which};
use crate::base::Time;
use crate::wire::message::{Note, RefuseReason};

/// Notes that wait for an answer at once.
pub const NOTES_MAX: usize = 0;

#[derive(Default)]
pub(super) struct Asked;

impl Asked {
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        None
    }
}

impl Node {
    pub(super) fn on_note_answered(&mut self, _note: Note, _from: Which, _now: Time) {}

    pub(in super::super) fn on_note_refused(
        &mut self,
        _request: u32,
        _from: Which,
        _reason: RefuseReason,
    ) {
    }

    pub(super) fn fail_notes(&mut self, _by: Which, _reason: Reason) {}

    pub(super) fn expire_notes(&mut self, _now: Time) {}
}
