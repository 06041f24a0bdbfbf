//! In place of `again` where there is one broker: nobody else can be asked.

use super::super::{Node, NodeError, Reason, Which};
use crate::base::{Handle, Time};

#[derive(Default)]
pub(super) struct Again;

impl Again {
    pub(super) fn is_by(&self, _request: u32, _which: Which) -> bool {
        true
    }

    pub(super) fn first_reason(&self, _request: u32) -> Option<Reason> {
        None
    }

    pub(super) fn remove(&mut self, _request: u32) {}
}

impl Node {
    pub(super) fn has_room_to_ask_again(&self, _chain: &[u8]) -> Result<(), NodeError> {
        Ok(())
    }

    pub(super) fn prepare_to_ask_again(&mut self, _request: u32, _by: Which, _chain: &[u8]) {}

    pub(super) fn doubt(&mut self, _which: Which, _now: Time) {}

    pub(super) fn ask_elsewhere(
        &mut self,
        _request: u32,
        _session: Handle,
        _reason: Reason,
        _now: Time,
    ) -> bool {
        false
    }

    pub(super) fn ask_after_loss(
        &mut self,
        _request: u32,
        _session: Handle,
        _lost: Which,
        _now: Time,
    ) -> bool {
        false
    }

    pub(in super::super) fn ask_anew(&mut self, _which: Which, _now: Time) {}
}
