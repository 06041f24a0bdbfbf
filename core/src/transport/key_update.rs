//! Key update (RFC 9001 §6): which packet key a 1-RTT packet takes, and when the next one is due.
//!
//! Owns the secrets ahead and the key behind. Header protection keys never change (§6.1). The next
//! receiving key is made ahead, so that a packet with a flipped phase costs what any other does.

use super::connection::Connection;
use super::protect::{self, OpenError, Opened};
use super::space::{Keys, SpaceId};
use crate::base::Time;
use crate::crypto::{PacketKey, Provider, Secret, Suite, next_secret, packet_key};
use crate::wire::packet::Header;
use alloc::boxed::Box;
use core::time::Duration;

/// Packets sealed before the next key: half of what AES-128-GCM bears (RFC 9001 §6.6, Appendix B),
/// and no more than that for the others, so that a key found opens little.
const UPDATE_AFTER: u64 = 1 << 22;

/// Packets kept for saying goodbye when a key is used up; one for each doubling of what comes.
const CLOSE_PACKETS: u64 = 64;

/// Which key opens a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    Previous,
    Current,
    Next,
}

pub(super) struct KeyUpdate {
    provider: &'static dyn Provider,
    suite: Suite,
    next_local: Secret,
    next_remote: Secret,
    next_remote_key: Box<dyn PacketKey>,
    /// Opens what was under way at the last update.
    previous: Option<Box<dyn PacketKey>>,
    /// Until when; known once the peer uses the current key (RFC 9001 §6.5).
    previous_until: Option<Time>,
    phase: bool,
    /// Our first packet number under the current key.
    first_sent: u64,
    /// The lowest of the peer's.
    first_received: Option<u64>,
    is_wanted: bool,
}

impl KeyUpdate {
    /// `local` and `remote` are the secrets of the first keys.
    pub(super) fn new(
        provider: &'static dyn Provider,
        suite: Suite,
        local: &Secret,
        remote: &Secret,
    ) -> Self {
        let next_remote = next_secret(provider, remote);
        KeyUpdate {
            provider,
            suite,
            next_local: next_secret(provider, local),
            next_remote_key: packet_key(provider, suite, &next_remote),
            next_remote,
            previous: None,
            previous_until: None,
            phase: false,
            first_sent: 0,
            first_received: None,
            is_wanted: false,
        }
    }

    /// The key phase bit to send.
    pub(super) fn phase(&self) -> bool {
        self.phase
    }

    /// Packets sealed under the current key before `pn`.
    pub(super) fn sealed(&self, pn: u64) -> u64 {
        pn - self.first_sent
    }

    /// Has the limit of AES-128-GCM hold, whichever suite this processor made the ends agree on.
    #[cfg(test)]
    pub(super) fn limit_as_aes(&mut self) {
        self.suite = Suite::Aes128Gcm;
    }

    fn limit(&self) -> u64 {
        let limit: u64 = match self.suite {
            Suite::Aes128Gcm => 1 << 23,
            Suite::ChaCha20Poly1305 => 1 << 62,
        };
        limit - CLOSE_PACKETS
    }

    /// Which key a packet with this phase bit and number takes (RFC 9001 §6.3, §6.5).
    pub(super) fn generation(&self, phase: bool, pn: u64) -> Generation {
        if phase == self.phase {
            return Generation::Current;
        }
        let is_older = self.first_received.is_none_or(|first| pn < first);
        if is_older && self.previous.is_some() { Generation::Previous } else { Generation::Next }
    }

    /// The receiving key, where it is not the current one.
    pub(super) fn other_key(&self, generation: Generation, now: Time) -> Option<&dyn PacketKey> {
        match generation {
            Generation::Current => None,
            Generation::Next => Some(&*self.next_remote_key),
            Generation::Previous if self.previous_until.is_some_and(|at| at <= now) => None,
            Generation::Previous => self.previous.as_deref(),
        }
    }

    /// A packet opened under the current key; what is under way under the previous one may come
    /// for `keep` more after the first.
    pub(super) fn on_received(&mut self, pn: u64, now: Time, keep: Duration) {
        self.previous_until = self.previous_until.or(Some(now + keep));
        self.first_received = Some(self.first_received.map_or(pn, |first| first.min(pn)));
    }

    /// Whether an ACK of `largest` in a packet under the previous key is a lie: what it
    /// acknowledges was sent under keys that its sender did not have yet (RFC 9001 §6.2).
    pub(super) fn is_ack_too_early(&self, generation: Generation, largest: u64) -> bool {
        generation == Generation::Previous && largest >= self.first_sent
    }

    /// Asks for an update at the next occasion.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
    }

    /// Whether to update before sealing `pn`: asked for or needed, the peer has acknowledged
    /// something under the current key, and has let go of the previous one (RFC 9001 §6.1, §6.5).
    pub(super) fn is_due(&self, pn: u64, largest_acked: Option<u64>, now: Time) -> bool {
        (self.is_wanted || self.sealed(pn) >= UPDATE_AFTER)
            && largest_acked.is_some_and(|acked| acked >= self.first_sent)
            && (self.previous.is_none() || self.previous_until.is_some_and(|at| at <= now))
    }

    /// Both directions go to the next keys. `next_pn` is our next packet number.
    pub(super) fn update(&mut self, keys: &mut Keys, next_pn: u64) {
        keys.local.packet = packet_key(self.provider, self.suite, &self.next_local);
        self.next_local = next_secret(self.provider, &self.next_local);
        self.next_remote = next_secret(self.provider, &self.next_remote);
        let after = packet_key(self.provider, self.suite, &self.next_remote);
        let current = core::mem::replace(&mut self.next_remote_key, after);
        self.previous = Some(core::mem::replace(&mut keys.remote.packet, current));
        self.previous_until = None;
        self.phase = !self.phase;
        self.first_sent = next_pn;
        self.first_received = None;
        self.is_wanted = false;
    }
}

impl Connection {
    /// Whether the current key may seal nothing more but a close (RFC 9001 §6.6): the peer has not
    /// acknowledged anything for so long that it could not be updated.
    pub(super) fn is_key_used_up(&self, pn: u64) -> bool {
        self.key_update.as_ref().is_some_and(|keys| keys.sealed(pn) >= keys.limit())
    }

    /// Goes to the next packet keys as soon as the peer may be asked to (RFC 9001 §6). It happens
    /// by itself long before a key is used up.
    pub fn update_keys(&mut self) {
        if let Some(key_update) = &mut self.key_update {
            key_update.want();
        }
    }

    /// Uses the next keys from now on.
    pub(super) fn move_to_next_keys(&mut self) {
        let space = &mut self.spaces.data;
        if let (Some(update), Some(keys)) = (&mut self.key_update, &mut space.keys) {
            update.update(keys, space.sent.next_pn());
        }
    }

    /// Updates before the next packet if it is time.
    pub(super) fn update_keys_if_due(&mut self) {
        let space = &self.spaces.data;
        let (pn, acked) = (space.sent.next_pn(), space.largest_acked);
        let is_due = self.key_update.as_ref().is_some_and(|keys| keys.is_due(pn, acked, self.now));
        if is_due && self.is_confirmed && self.config.reserve.allows_step() {
            self.move_to_next_keys();
        }
    }

    /// Opens a 1-RTT packet under the key that its phase and number ask for (RFC 9001 §6.3).
    pub(super) fn open_data(
        &mut self,
        header: &Header,
        packet: &mut [u8],
        expected: u64,
    ) -> Result<Opened, OpenError> {
        let keys = self.spaces.data.keys.as_ref();
        let (Some(keys), Some(update)) = (keys, &self.key_update) else {
            return Err(OpenError::Unauthentic);
        };
        let unmasked = protect::unmask(&*keys.remote.header, header, packet, expected)?;
        let generation = update.generation(unmasked.key_phase, unmasked.pn);
        // As if it were lost: there is no room for the keys after those.
        if generation == Generation::Next && !self.config.reserve.allows_step() {
            self.is_short_of_memory = true;
            return Err(OpenError::Unauthentic);
        }
        let other = match generation {
            Generation::Current => Some(&*keys.remote.packet),
            other => update.other_key(other, self.now),
        };
        let opened =
            protect::open_payload(other.ok_or(OpenError::Unauthentic)?, &unmasked, packet)?;
        self.opened_under = generation;
        if generation == Generation::Next {
            self.move_to_next_keys();
        }
        let keep = self.recovery.pto(SpaceId::Data) * 3;
        if let Some(update) =
            self.key_update.as_mut().filter(|_| generation != Generation::Previous)
        {
            update.on_received(opened.pn, self.now, keep);
        }
        Ok(opened)
    }
}
