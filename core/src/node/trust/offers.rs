//! Who may open a session to this device: those on its list, and whom the owner granted it.
//!
//! Where the decision needs the time, or a fresh word of the broker, the broker is asked, and the
//! offer waits for the answer, once.

use super::super::meet::Offer;
use super::super::{Node, Which};
use super::{PERMIT_LEN, Right};
use crate::base::{PublicKey, Time};
use crate::trust::{GrantError, Permit, authorize};
use crate::wire::message::ToBroker;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// Offers that wait; the oldest makes room.
const HELD_MAX: usize = 4;
/// Memory of a list of them.
const HELD_LEN: usize = 2 * HELD_MAX * size_of::<Offer>();
/// For so long, then it is decided without: the initiator calls for some more seconds.
const HELD_TIME: Duration = Duration::from_secs(4);

/// Offers that wait for what the broker says of the time.
#[derive(Default)]
pub(super) struct Held {
    offers: Vec<Offer>,
    /// Until when they wait; the broker was asked then.
    until: Option<Time>,
    /// The broker said so; the state is not stored yet.
    is_heard: bool,
}

impl Held {
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.until
    }
}

impl Node {
    /// Decides about an offer, or keeps it until it can be decided.
    pub(in super::super) fn admit(&mut self, offer: Offer, now: Time) -> Option<(Offer, Right)> {
        if self.allowed.contains(&offer.peer) {
            return Some((offer, Right::default()));
        }
        match self.judge(&offer.peer, &offer.chain, now) {
            Ok(permit) if permit.is_fresh() || !self.wants_fresh() => {
                Some((offer, Right(Some(permit))))
            }
            Ok(permit) => {
                let offer = self.hold_offer(offer, now)?;
                Some((offer, Right(Some(permit))))
            }
            Err(GrantError::TimeUnknown | GrantError::NotFresh | GrantError::ListMissing) => {
                self.hold_offer(offer, now);
                None
            }
            Err(_) => None,
        }
    }

    fn judge(
        &mut self,
        peer: &PublicKey,
        chain: &[u8],
        now: Time,
    ) -> Result<Box<Permit>, GrantError> {
        let device = self.trust.device.as_ref().ok_or(GrantError::Unclaimed)?;
        if self.check_memory(PERMIT_LEN).is_err() {
            self.is_short_of_memory = true;
            return Err(GrantError::NoMemory);
        }
        let (provider, this) = (self.endpoint.provider(), self.public_key());
        let time = self.trust.clock.at(now);
        authorize(provider, &device.state, &this, peer, chain, time).map(Box::new)
    }

    /// Whether a service is offered that asks for a fresh word of the broker.
    fn wants_fresh(&self) -> bool {
        self.services.iter().any(|(_, offered)| offered.must_be_fresh)
    }

    /// Asks the broker for the time, unless it was asked; meanwhile the offer waits. Gives it back
    /// where it cannot.
    fn hold_offer(&mut self, offer: Offer, now: Time) -> Option<Offer> {
        let has_room = self.check_memory(HELD_LEN).is_ok();
        let Some(device) = &mut self.trust.device else { return Some(offer) };
        if !has_room {
            self.is_short_of_memory = true;
            return Some(offer);
        }
        if device.held.until.is_none() {
            let nonce = self.trust.clock.ask(&mut self.endpoint.rng, now);
            // A gateway does not know what its owner said last, so that its word is not fresh.
            let link = self.links.of_mut(Which::Broker);
            if !link.is_online() || link.send(&ToBroker::TimeQuery { nonce }, now).is_err() {
                return Some(offer);
            }
            device.held.until = Some(now + HELD_TIME);
        }
        let offers = &mut device.held.offers;
        if let Some(older) = offers.iter().position(|older| older.peer == offer.peer) {
            offers.remove(older);
        } else if offers.len() >= HELD_MAX {
            offers.remove(0);
        }
        offers.push(offer);
        None
    }

    /// The broker's answer. What it tells of a list is waited for until that is stored.
    pub(super) fn on_time(&mut self, statement: &[u8], now: Time) {
        let (provider, this) = (self.endpoint.provider(), self.public_key());
        let Some(broker) = self.links.of(Which::Broker).broker_key() else { return };
        if self.trust.clock.hear(provider, &broker, &this, statement, now).is_err() {
            return;
        }
        self.check_permits(now);
        self.check_cloak(now);
        if let Some(device) = &mut self.trust.device {
            device.held.is_heard = true;
        }
        self.go_on(now);
    }

    /// A change is stored, or the time is known: what waited for both goes on.
    pub(super) fn go_on(&mut self, now: Time) {
        let is_ready = |device: &super::Device| device.held.is_heard && device.pending.is_none();
        if self.trust.device.as_deref().is_some_and(is_ready) {
            self.retry_held(now);
        }
    }

    /// Decides about all offers that wait, by what is known now.
    pub(super) fn retry_held(&mut self, now: Time) {
        let Some(device) = &mut self.trust.device else { return };
        let held = core::mem::take(&mut device.held);
        for offer in held.offers {
            if let Ok(permit) = self.judge(&offer.peer, &offer.chain, now) {
                self.await_peer(offer, Right(Some(permit)), now);
            }
        }
    }
}
