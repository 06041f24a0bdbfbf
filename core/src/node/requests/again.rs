//! Asking the other one: the broker's answer is not the last word where there is a gateway, nor the
//! gateway's where the broker is online.
//!
//! Owns what was asked of whom, as long as it may have to be said again. Invariant: no request is
//! at both at a time, and each is asked once, but for one whose link broke.

use super::super::{Node, NodeError, Reason, Which};
use super::REQUEST_TIMEOUT;
use crate::base::{Handle, Map, Time};
use alloc::vec::Vec;

struct Asking {
    /// Who was asked; `None`: it waits for somebody to come online.
    by: Option<Which>,
    /// Who need not be asked any more.
    asked: Vec<Which>,
    /// What the broker said, which is told if the gateway is no help either.
    reason: Option<Reason>,
    chain: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Again {
    requests: Map<u32, Asking>,
}

impl Again {
    pub(super) fn is_by(&self, request: u32, which: Which) -> bool {
        self.requests.get(&request).is_some_and(|asking| asking.by == Some(which))
    }

    fn is_waiting(&self, request: u32) -> bool {
        self.requests.get(&request).is_some_and(|asking| asking.by.is_none())
    }

    pub(super) fn first_reason(&self, request: u32) -> Option<Reason> {
        self.requests.get(&request)?.reason
    }

    pub(super) fn remove(&mut self, request: u32) {
        self.requests.remove(&request);
    }
}

impl Node {
    pub(super) fn has_room_to_ask_again(&self, chain: &[u8]) -> Result<(), NodeError> {
        self.check_memory(chain.len() + size_of::<Asking>() + size_of::<Which>())
    }

    pub(super) fn prepare_to_ask_again(&mut self, request: u32, by: Which, chain: &[u8]) {
        // Without a gateway nobody else is ever asked.
        let chain = if self.links.has_gateway() { chain.to_vec() } else { Vec::new() };
        let asking = Asking { by: Some(by), asked: alloc::vec![by], reason: None, chain };
        self.requests.again.requests.insert(request, asking);
    }

    /// Who is asked now is to show that it is there.
    pub(super) fn doubt(&mut self, which: Which, now: Time) {
        self.links.of_mut(which).doubt(now);
    }

    /// Who was asked refused or did not answer: asks the other, if it is online. A gateway's word
    /// never counts where the broker can be asked; the broker's does where it speaks of more than
    /// who is online.
    pub(super) fn ask_elsewhere(
        &mut self,
        request: u32,
        session: Handle,
        reason: Reason,
        now: Time,
    ) -> bool {
        let Some(asking) = self.requests.again.requests.get_mut(&request) else { return false };
        let is_missing = matches!(
            reason,
            Reason::Unknown
                | Reason::Offline
                | Reason::Unavailable
                | Reason::Limit
                | Reason::TimedOut
        );
        match asking.by {
            Some(Which::Broker) if !is_missing => return false,
            Some(Which::Broker) => asking.reason = Some(reason),
            Some(Which::Gateway) => {}
            // Nobody came online in time.
            None => {
                asking.reason = Some(Reason::Offline);
                return false;
            }
        }
        let asked = &asking.asked;
        let mut online = Which::ALL.into_iter().filter(|which| self.links.of(*which).is_online());
        match online.find(|which| !asked.contains(which)) {
            Some(next) => self.ask_again(request, session, next, now),
            None => false,
        }
    }

    /// The link by which it was asked is gone: asks the other one, or whichever is online first, if
    /// there may be one.
    pub(super) fn ask_after_loss(
        &mut self,
        request: u32,
        session: Handle,
        lost: Which,
        now: Time,
    ) -> bool {
        if self.ask_elsewhere(request, session, Reason::Offline, now) {
            return true;
        }
        let may_wait = lost == Which::Broker && self.links.may_have_gateway();
        let Some(asking) = self.requests.again.requests.get_mut(&request) else { return false };
        if !may_wait || asking.asked.len() == Which::ALL.len() {
            return false;
        }
        // It may be the one that is back first.
        asking.asked.clear();
        asking.by = None;
        true
    }

    /// This one is online: asks it for what waits.
    pub(in super::super) fn ask_anew(&mut self, which: Which, now: Time) {
        while let Some((request, session)) =
            self.requests.find(|request| self.requests.again.is_waiting(request))
        {
            if !self.ask_again(request, session, which, now) {
                return self.fail_request(request, session, Reason::Offline);
            }
        }
    }

    fn ask_again(&mut self, request: u32, session: Handle, which: Which, now: Time) -> bool {
        let Some(peer) = self.sessions.get(session).map(|session| session.peer) else {
            return false;
        };
        let Some(asking) = self.requests.again.requests.get_mut(&request) else { return false };
        let has_waited = asking.by.replace(which).is_none();
        asking.asked.push(which);
        let chain = asking.chain.clone();
        // A link that breaks again and again gives it no more time.
        if !has_waited {
            self.requests.deadlines.set((request, session), Some(now + REQUEST_TIMEOUT));
        }
        let sent = self.ask_for_session(request, peer, &chain, which, now);
        self.endpoint.touch(super::super::Owner::Link(which));
        sent.is_ok()
    }
}
