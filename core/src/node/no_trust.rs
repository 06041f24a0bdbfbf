//! In place of `trust` where owners are left out: only the static list says who may come.

use super::meet::Offer;
use super::{Node, ServiceId, Which};
use crate::base::{ContactId, Handle, Path, PublicKey, Time};
use crate::transport::Transmit;
use crate::wire::message::{RefuseReason, ToNode};

/// Why a peer may be here: it is on the list.
#[derive(Default)]
pub(super) struct Right;

impl Right {
    pub(super) fn is_by_list(&self) -> bool {
        true
    }
}

#[derive(Default)]
pub(super) struct Trust;

impl Trust {
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        None
    }
}

impl Node {
    pub(super) fn admit(&mut self, offer: Offer, _now: Time) -> Option<(Offer, Right)> {
        self.allowed.contains(&offer.peer).then_some((offer, Right))
    }

    /// Taken back since the offer came?
    pub(super) fn is_welcome(&self, _: &ContactId, peer: &PublicKey, _now: Time) -> bool {
        self.allowed.contains(peer)
    }

    pub(super) fn may_use(&self, session: Handle, _: Option<ServiceId>, _name: &str) -> bool {
        self.is_caller_or_allowed(session)
    }

    pub(super) fn check_permits(&mut self, _now: Time) {}

    pub(super) fn on_trust_message(&mut self, _message: ToNode, _from: Which, _now: Time) {}

    pub(super) fn on_note_refused(&mut self, _request: u32, _from: Which, _why: RefuseReason) {}

    pub(super) fn on_link(&mut self, _which: Which, _now: Time) {}

    /// Nobody could say that this node may be found.
    pub(super) fn take_probe(&mut self, _path: Path, _datagram: &[u8], _now: Time) -> bool {
        false
    }

    pub(super) fn poll_identification(&mut self, _buf: &mut [u8]) -> Option<Transmit> {
        None
    }

    pub(super) fn on_trust_timeout(&mut self, _now: Time) {}
}
