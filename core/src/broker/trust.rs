//! The broker's part in ownership: what it knows of a device's owner, notes, lists and signed time.
//!
//! Owns the check of grants before an introduction, which saves the device one that it would
//! refuse, and the hand-over of notes, unread. Does not decide who may use a device: the device
//! does, and does not believe the broker. Invariants: a note goes to an enrolled node that is
//! online, from one; a list is sent only to the ownership that it is of.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::link::Standing;
use super::{Ask, Broker, BrokerEvent, LinkId, Query};
use crate::base::{PublicKey, Time};
use crate::trust::{GrantError, TrustState, WallTime, authorize, sign_time};
use crate::wire::message::{
    NOTE_LEN_MAX, NOTE_REVOKED, Note, Ownership, RefuseReason, TIME_NONCE_LEN, ToNode,
};

/// The request of notes that the broker sends by itself, whose answers nobody waits for. The host's
/// own are below it.
const OWN_REQUEST: u32 = u32::MAX;

/// What the store has of a device's owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustRow {
    /// As the device told last; `None`: it is unclaimed.
    pub owner: Option<PublicKey>,
    /// The ownership that all of this is of.
    pub epoch: u32,
    /// The number of `list`; 0: there is none.
    pub number: u64,
    /// The owner's newest revocation list, checked when it was stored, as a device takes it.
    pub list: Vec<u8>,
}

/// What a link knows of its device's owner.
#[derive(Default)]
pub(super) struct LinkTrust {
    /// As the device told; `None`: it obeys no owner.
    pub(super) told: Option<Ownership>,
    /// What grants are checked against in the device's place.
    state: Option<Box<TrustState>>,
}

impl Broker {
    /// The host says this to a device, as the broker. The answer comes as a
    /// [`BrokerEvent::Note`] with this request, which is 1 to 4 294 967 294, or not at all.
    pub fn send_note(
        &mut self,
        device: &PublicKey,
        request: u32,
        kind: u8,
        body: Vec<u8>,
    ) -> Result<(), RefuseReason> {
        if !(1..OWN_REQUEST).contains(&request) || body.len() > NOTE_LEN_MAX {
            return Err(RefuseReason::Malformed);
        }
        let link = self.online(device).ok_or(RefuseReason::Offline)?;
        self.say(link, request, kind, body);
        Ok(())
    }

    fn say(&mut self, link: LinkId, request: u32, kind: u8, body: Vec<u8>) {
        let key = self.signer.public_key();
        self.send(link, ToNode::Note(Note { request, key, kind, body }));
    }

    // ---- what a device tells of its owner

    /// A node that is online told whom it obeys, in this `hello` or an earlier one.
    pub(super) fn on_ownership(&mut self, link: LinkId) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let (key, Some(ownership)) = (state.key, state.trust.told) else { return };
        let owner = ownership.owner;
        state.trust.state = owner.map(|owner| TrustState::owned(owner, ownership.epoch).into());
        self.events.push_back(BrokerEvent::Ownership { key, ownership });
        // Without the answer the list comes later, when the device asks for the time.
        let _ = self.ask(link, Ask::Trust { link }, Query::Trust { key });
    }

    pub(super) fn on_trust_row(&mut self, link: LinkId, row: Option<&TrustRow>) {
        let Some(row) = self.list_of(link, row) else { return };
        self.push_list(link, row);
        let Some(state) = self.links.get_mut(&link) else { return };
        if let Some(trust) = &mut state.trust.state {
            // One that is no good is the store's fault, and the device does not take it either.
            let _ = trust.revoke(self.provider, &state.key, &row.list);
        }
    }

    /// The row if it has a list of the ownership that the device told.
    fn list_of<'a>(&self, link: LinkId, row: Option<&'a TrustRow>) -> Option<&'a TrustRow> {
        let told = self.links.get(&link)?.trust.told?;
        row.filter(|row| row.epoch == told.epoch && row.number > 0)
    }

    /// Sends the list to a device that has none, or an older one.
    fn push_list(&mut self, link: LinkId, row: &TrustRow) {
        let told = self.links.get(&link).and_then(|state| state.trust.told);
        let is_newer = told.is_some_and(|told| row.number > told.list);
        if is_newer && row.list.len() <= NOTE_LEN_MAX {
            self.say(link, OWN_REQUEST, NOTE_REVOKED, row.list.clone());
        }
    }

    /// Whether the device of `responder` would refuse `peer` with this chain. What depends on more
    /// than is known here is left to the device, as is a peer that shows none.
    pub(super) fn is_refused(
        &self,
        responder: LinkId,
        peer: &PublicKey,
        chain: &[u8],
        now: Time,
    ) -> bool {
        let Some(state) = self.links.get(&responder) else { return false };
        let Some(trust) = state.trust.state.as_deref().filter(|_| !chain.is_empty()) else {
            return false;
        };
        let unix_s = self.clock.map(|(wall, at)| wall.saturating_add(now.since(at).as_secs()));
        let time = WallTime { unix_s, fresh: None };
        match authorize(self.provider, trust, &state.key, peer, chain, time) {
            Ok(_) => false,
            Err(GrantError::TimeUnknown | GrantError::NotFresh | GrantError::NoMemory) => false,
            Err(_) => true,
        }
    }

    // ---- time

    pub(super) fn on_time_query(&mut self, link: LinkId, nonce: [u8; TIME_NONCE_LEN], now: Time) {
        let size = self.limits.notes;
        let Some(state) = self.links.get_mut(&link) else { return };
        let key = state.key;
        // One that is not answered is asked again.
        if state.standing == Standing::Enrolled && state.take_note(size, now) {
            let _ = self.ask(link, Ask::Time { link, nonce }, Query::Trust { key });
        }
    }

    pub(super) fn on_time_row(
        &mut self,
        link: LinkId,
        nonce: &[u8; TIME_NONCE_LEN],
        row: Option<&TrustRow>,
        wall_unix_s: u64,
    ) {
        let row = self.list_of(link, row);
        if let Some(row) = row {
            self.push_list(link, row);
        }
        let Some(state) = self.links.get(&link) else { return };
        let number = row.map_or(0, |row| row.number);
        let signed = sign_time(&state.key, nonce, wall_unix_s, number, &*self.signer);
        // A key that does not sign now may do so when it is asked again.
        if let Ok(statement) = signed {
            self.send(link, ToNode::Time { statement });
        }
    }

    // ---- notes

    pub(super) fn on_note(&mut self, link: LinkId, note: Note, now: Time) {
        let (size, request) = (self.limits.notes, note.request);
        let Some(state) = self.links.get_mut(&link) else { return };
        if state.standing != Standing::Enrolled {
            return self.refuse(link, request, RefuseReason::NotEnrolled);
        }
        if !state.take_note(size, now) {
            return self.refuse(link, request, RefuseReason::Limit);
        }
        if note.key == self.signer.public_key() {
            if request != OWN_REQUEST {
                let (key, Note { kind, body, .. }) = (state.key, note);
                self.events.push_back(BrokerEvent::Note { key, request, kind, body });
            }
            return;
        }
        if let Some(to) = self.online(&note.key) {
            return self.hand_on(link, to, note);
        }
        let query = Query::Lookup { key: note.key };
        if !self.ask(link, Ask::Note { link, note }, query) {
            self.refuse(link, request, RefuseReason::Limit);
        }
    }

    pub(super) fn on_note_looked_up(&mut self, link: LinkId, note: Note, is_known: bool) {
        let reason = if is_known { RefuseReason::Offline } else { RefuseReason::Unknown };
        match self.online(&note.key) {
            Some(to) => self.hand_on(link, to, note),
            None => self.refuse(link, note.request, reason),
        }
    }

    fn hand_on(&mut self, from: LinkId, to: LinkId, note: Note) {
        if let Some(state) = self.links.get(&from) {
            let key = state.key;
            self.send(to, ToNode::Note(Note { key, ..note }));
        }
    }
}
