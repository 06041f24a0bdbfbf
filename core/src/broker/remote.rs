//! Several brokers that are one: the same identity, the same store, each with links of its own.
//!
//! Owns letters between them: an introduction or a note for a node whose link is at another
//! instance. Does not own their carriage: the host takes them there, sealed, for offers hold the
//! contact key. Nothing is kept of a letter once it is out: the instance that has the device
//! completes both offers and sends one back. Invariant: what a letter brings goes to nodes that are
//! online here, or is dropped; a letter that came back is not sent on.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::link::Link;
use super::{Broker, BrokerEvent, InstanceId, LinkId, Output, Wanted};
use crate::base::{Path, PublicKey, Time};
use crate::wire::message::{
    self, MAPPING_UNKNOWN, MESSAGE_LEN_MAX, Message, Note, RefuseReason, ServiceInfo, ToNode,
};

/// What a letter is: two offers, to be completed for the device and sent back to who asked.
const INTRODUCE: u8 = 0;
/// A message for a node, whose sender wants to know if that is not there.
const ASK: u8 = 1;
/// A message for a node, whoever sent it.
const TELL: u8 = 2;
/// Kind, from whom, and to whom.
const HEAD_LEN: usize = 1 + 32 + 32;
const LETTER_LEN_MAX: usize = HEAD_LEN + 2 * (2 + MESSAGE_LEN_MAX);

/// What one end of an introduction is told of the other.
pub(super) struct End {
    pub(super) key: PublicKey,
    pub(super) candidates: Vec<Path>,
    pub(super) services: Vec<ServiceInfo>,
    pub(super) mapping: u8,
}

impl End {
    pub(super) fn of(link: &Link) -> Self {
        End {
            key: link.key,
            candidates: link.all_candidates(),
            services: link.services.clone(),
            mapping: link.mapping,
        }
    }

    /// Of whom nothing is known here.
    fn unknown(key: PublicKey) -> Self {
        End { key, candidates: Vec::new(), services: Vec::new(), mapping: MAPPING_UNKNOWN }
    }
}

/// Of one introduction.
pub(super) struct Offers {
    pub(super) responder: ToNode,
    pub(super) initiator: ToNode,
}

/// A letter taken apart.
struct Letter {
    kind: u8,
    from: PublicKey,
    to: PublicKey,
    messages: Vec<ToNode>,
}

impl Letter {
    fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        // No growing, which would leave copies behind.
        let mut out = Zeroizing::new(Vec::with_capacity(LETTER_LEN_MAX));
        out.push(self.kind);
        out.extend_from_slice(&self.from.0);
        out.extend_from_slice(&self.to.0);
        for message in &self.messages {
            message.encode(&mut out).ok()?;
        }
        Some(out)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (to, mut rest) = rest.split_first_chunk()?;
        let mut messages = Vec::new();
        while let Some((message, len)) = message::split(rest).ok()? {
            messages.push(ToNode::decode(message).ok()??);
            rest = rest.get(len..)?;
        }
        let is_whole = rest.is_empty() && messages.len() <= 2;
        let [from, to] = [from, to].map(|key| PublicKey(*key));
        is_whole.then_some(Letter { kind: *kind, from, to, messages })
    }
}

impl Broker {
    /// Another instance posted this letter. What cannot be read is dropped.
    pub fn handle_post(&mut self, instance: InstanceId, letter: &[u8], now: Time) {
        let Some(letter) = Letter::decode(letter) else { return };
        let Letter { kind, from, to, mut messages } = letter;
        match (kind, messages.pop(), messages.pop()) {
            (INTRODUCE, Some(initiator), Some(responder)) => {
                let offers = Offers { responder, initiator };
                self.on_offers(instance, from, to, offers, now);
            }
            (ASK, Some(message), None) => match self.online(&to) {
                Some(link) => self.send(link, message),
                None if from == self.signer.public_key() => {}
                None => self.refuse_at(instance, to, from, &message, RefuseReason::Offline),
            },
            (TELL, Some(message), None) => {
                if let Some(link) = self.online(&to) {
                    self.send(link, message);
                }
            }
            _ => {}
        }
    }

    /// A note of this broker to a device at another instance, as [`Broker::send_note`].
    pub fn post_note(
        &mut self,
        instance: InstanceId,
        device: &PublicKey,
        (request, kind, body): (u32, u8, Vec<u8>),
    ) {
        let key = self.signer.public_key();
        let note = ToNode::Note(Note { request, key, kind, body });
        self.post(instance, ASK, key, *device, [note].into());
    }

    /// Closes a node's link; whether it had one.
    pub fn disconnect(&mut self, key: &PublicKey, reason: RefuseReason) -> bool {
        let link = self.by_key.get(key).copied();
        link.into_iter().for_each(|link| self.close(link, reason));
        link.is_some()
    }

    /// Nodes that are online here, as events told.
    pub fn online_nodes(&self) -> impl Iterator<Item = BrokerEvent> + '_ {
        self.links.values().filter(|link| link.is_online).map(Link::online_event)
    }

    /// Devices that nodes here want to hear of and that have no link here.
    pub fn watched_elsewhere(&self) -> impl Iterator<Item = &PublicKey> + '_ {
        self.watchers.keys().filter(|key| self.online(key).is_none())
    }

    /// A device came or went at another instance.
    pub fn on_presence_elsewhere(&mut self, key: PublicKey, is_online: bool) {
        if self.online(&key).is_none() {
            self.tell_watchers(key, is_online);
        }
    }

    /// The device asked for has its link at another instance.
    pub(super) fn on_device_elsewhere(
        &mut self,
        link: LinkId,
        want: Wanted,
        instance: InstanceId,
        now: Time,
    ) {
        if self.online(&want.device).is_some() {
            return self.on_device_looked_up(link, want, true, now);
        }
        let Some(state) = self.links.get(&link) else { return };
        let Wanted { request, device, chain } = want;
        let from = state.key;
        let ends = (End { services: Vec::new(), ..End::of(state) }, End::unknown(device));
        let (_, offers) = self.offers(ends.0, ends.1, request, chain, now);
        self.watch(link, device);
        let messages = [offers.responder, offers.initiator].into();
        self.post(instance, INTRODUCE, from, device, messages);
    }

    pub(super) fn on_note_elsewhere(&mut self, link: LinkId, note: Note, instance: InstanceId) {
        if self.online(&note.key).is_some() {
            return self.on_note_looked_up(link, note, true);
        }
        let Some(state) = self.links.get(&link) else { return };
        let (from, to) = (state.key, note.key);
        let message = ToNode::Note(Note { key: from, ..note });
        self.post(instance, ASK, from, to, [message].into());
    }

    /// Another instance's node wants to be introduced to a device that has its link here.
    fn on_offers(
        &mut self,
        instance: InstanceId,
        from: PublicKey,
        to: PublicKey,
        offers: Offers,
        now: Time,
    ) {
        let Offers { responder, mut initiator } = offers;
        let refused = |broker: &mut Self, reason| {
            broker.refuse_at(instance, to, from, &initiator, reason);
        };
        let Some(link) = self.online(&to) else { return refused(self, RefuseReason::Offline) };
        let ToNode::Offer { chain, contact_id: contact, .. } = &responder else { return };
        if self.is_refused(link, &from, chain, now) {
            return refused(self, RefuseReason::NotPermitted);
        }
        let Some(state) = self.links.get(&link) else { return };
        let end = End::of(state);
        if let ToNode::Offer { candidates, services, mapping, .. } = &mut initiator {
            (*candidates, *services, *mapping) = (end.candidates, end.services, end.mapping);
        }
        let contact = *contact;
        self.send(link, responder);
        self.post(instance, TELL, to, from, [initiator].into());
        self.events.push_back(BrokerEvent::Introduced { initiator: from, responder: to, contact });
    }

    /// Tells a node at another instance that what it asked for is not to be had.
    fn refuse_at(
        &mut self,
        instance: InstanceId,
        from: PublicKey,
        to: PublicKey,
        asked: &ToNode,
        reason: RefuseReason,
    ) {
        let request = match asked {
            ToNode::Offer { request, .. } | ToNode::Note(Note { request, .. }) => *request,
            _ => return,
        };
        self.post(instance, TELL, from, to, [ToNode::Refused { request, reason }].into());
    }

    fn post(
        &mut self,
        instance: InstanceId,
        kind: u8,
        from: PublicKey,
        to: PublicKey,
        messages: Vec<ToNode>,
    ) {
        if let Some(letter) = (Letter { kind, from, to, messages }).encode() {
            self.output.push_back(Output::Post { instance, letter });
        }
    }
}
