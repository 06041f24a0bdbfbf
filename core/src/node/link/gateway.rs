//! The link as one to a gateway: called and left as `links` says, rather than kept for ever; and
//! what a broker's link does otherwise where there is a gateway to turn to.

use super::super::endpoint::Endpoint;
use super::super::{BrokerAddress, Event, Owner, Reason, Which};
use super::{Link, MAX_BACKOFF, MIN_BACKOFF, Phase};
use crate::base::{PublicKey, Time};
use crate::wire::message::EnrolCode;
use alloc::collections::VecDeque;
use core::time::Duration;

/// How long a gateway that refused this node is left alone: it may have learned of it by then.
const REFUSED_PAUSE: Duration = Duration::from_secs(900);
/// The longest pause of the broker's link where there is a gateway: its LAN is to return soon.
const WATCHFUL_BACKOFF: Duration = Duration::from_secs(20);
/// The same of the link to the gateway: it is near, and serves few.
const GATEWAY_BACKOFF: Duration = Duration::from_secs(15);

impl Link {
    /// Whether it has somebody to call.
    pub(in super::super) fn is_known(&self) -> bool {
        self.address.is_some()
    }

    pub(in super::super) fn key(&self) -> Option<PublicKey> {
        self.address.as_ref().map(|address| address.key)
    }

    /// Whether it is neither up nor to be.
    pub(in super::super) fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// Whether it is left alone for a while, as it refused this node.
    pub(in super::super) fn is_refused(&self) -> bool {
        self.refused_until.is_some_and(|until| self.phase == Phase::Waiting(until))
    }

    /// It will not have this node: no reason to ask it again soon.
    pub(super) fn leave_alone(&mut self, reason: Reason, events: &mut VecDeque<Event>, now: Time) {
        events.push_back(self.which.offline(reason));
        let until = now + REFUSED_PAUSE;
        self.phase = Phase::Waiting(until);
        self.refused_until = Some(until);
    }

    /// The longest pause before it connects again.
    pub(super) fn max_backoff(&self) -> Duration {
        match self.which {
            Which::Broker if self.keep_alive.is_watchful() => WATCHFUL_BACKOFF,
            Which::Broker => MAX_BACKOFF,
            Which::Gateway => GATEWAY_BACKOFF,
        }
    }

    /// Where to call the next time, and with which code.
    pub(in super::super) fn set_address(
        &mut self,
        address: BrokerAddress,
        code: Option<&str>,
        now: Time,
    ) {
        if self.address.as_ref() != Some(&address) {
            self.address = Some(address);
            let is_refused = self.is_refused();
            if let Phase::Waiting(at) = &mut self.phase {
                // It was called where it is not any more.
                *at = if is_refused { *at } else { (*at).min(now + MIN_BACKOFF) };
            }
        }
        if !self.is_online() {
            self.code = code.map(EnrolCode::from);
        }
    }

    pub(in super::super) fn forget_address(&mut self) {
        (self.address, self.code) = (None, None);
    }

    /// Connects, and stays connected until [`Self::rest`].
    pub(in super::super) fn call(&mut self, endpoint: &mut Endpoint<Owner>, now: Time) {
        self.failures = 0;
        if self.connect(endpoint, now).is_err() {
            self.wait(endpoint, now);
        }
    }

    /// Closes the link, or gives up what it was about to do.
    pub(in super::super) fn rest(
        &mut self,
        endpoint: &mut Endpoint<Owner>,
        events: &mut VecDeque<Event>,
        now: Time,
    ) {
        if self.is_online() {
            events.push_back(self.which.offline(Reason::Local));
        }
        self.phase = Phase::Idle;
        self.keep_alive.stop();
        if let Some(connection) = &mut self.connection {
            connection.close(0, now);
            endpoint.touch(Owner::Link(self.which));
        }
    }

    /// With somebody else to turn to, the node wants to know soon whether this one is there.
    pub(in super::super) fn set_watchful(&mut self, is_watchful: bool, now: Time) {
        self.keep_alive.set_watchful(is_watchful);
        if is_watchful {
            let say = self.keep_alive.on_forgotten(now);
            say.into_iter().for_each(|say| self.say(say, now));
        }
    }

    /// It was asked for something that others wait for: silence soon means that it is gone.
    #[cfg_attr(not(feature = "initiator"), expect(dead_code))]
    pub(in super::super) fn doubt(&mut self, now: Time) {
        if self.keep_alive.is_watchful() && self.connection.is_some() {
            self.suspect_until = Some(now + super::SUSPICION);
        }
    }
}
