//! The broker: enrols nodes, knows which are online and where, and introduces one to another.
//!
//! Owns links (one authenticated connection of one node), presence and the fresh keys of
//! introductions. Does not own connections (`node` does), nor storage: what must outlive the
//! process is asked for with [`Query`] and comes back through [`Broker::handle_answer`], in any
//! order.
//!
//! Invariants: a key has at most one link, the newest. Every list is bounded by [`Limits`]. What
//! one node sends can close its own link and no other. After any call, drain `poll_output` and
//! `poll_event`. A contact key is in the two offers that carry it and nowhere else.

mod host;
mod limits;
mod link;
mod relays;
mod remote;
mod trust;

#[cfg(all(test, any(feature = "ring", feature = "rustcrypto")))]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use zeroize::Zeroizing;

pub use self::host::{Answer, AskId, BrokerEvent, InstanceId, LinkId, Output, Query};
pub use self::limits::Limits;
pub use self::relays::RelayService;
pub use self::trust::TrustRow;

use self::link::{Link, Standing};
use self::remote::{End, Offers};
use crate::base::{ContactId, Path, PublicKey, Rng, Side, Time};
use crate::crypto::{Provider, Signer};
use crate::wire::message::{
    self, ContactKey, MAPPING_UNKNOWN, Note, RefuseReason, TIME_NONCE_LEN, ToBroker, ToNode,
};

/// The hash under which the store knows an enrol code. Case, hyphens and spaces do not matter.
pub fn code_hash(provider: &dyn Provider, code: &str) -> [u8; 32] {
    let is_significant = |b: &u8| !matches!(b, b'-' | b' ');
    let bytes = code.bytes().filter(is_significant).map(|b| b.to_ascii_uppercase());
    let canonical: Zeroizing<Vec<u8>> = Zeroizing::new(bytes.collect());
    provider.sha256(&[b"rit/1 enrol code", &canonical])
}

enum Ask {
    Lookup { link: LinkId },
    Enrol { link: LinkId },
    Device { link: LinkId, want: Wanted },
    Trust { link: LinkId },
    Time { link: LinkId, nonce: [u8; TIME_NONCE_LEN] },
    Note { link: LinkId, note: Note },
}

/// What a node wants to be introduced to.
struct Wanted {
    request: u32,
    device: PublicKey,
    chain: Vec<u8>,
}

impl Ask {
    fn link(&self) -> LinkId {
        match self {
            Ask::Lookup { link }
            | Ask::Enrol { link }
            | Ask::Device { link, .. }
            | Ask::Trust { link }
            | Ask::Time { link, .. }
            | Ask::Note { link, .. } => *link,
        }
    }
}

/// The state machine.
pub struct Broker {
    provider: &'static dyn Provider,
    /// The broker's own key.
    signer: Arc<dyn Signer>,
    limits: Limits,
    rng: Rng,
    links: BTreeMap<LinkId, Link>,
    by_key: BTreeMap<PublicKey, LinkId>,
    watchers: BTreeMap<PublicKey, BTreeSet<LinkId>>,
    /// When strangers must be gone.
    deadlines: BTreeSet<(Time, LinkId)>,
    asks: BTreeMap<AskId, Ask>,
    next_ask: u64,
    output: VecDeque<Output>,
    events: VecDeque<BrokerEvent>,
    relays: Vec<RelayService>,
    /// Other addresses of this broker.
    others: Vec<Path>,
    /// How long a node may be silent, as it is told; 0: nothing is told.
    silence_max_s: u32,
    /// The wall clock, and when it was read.
    clock: Option<(u64, Time)>,
}

impl Broker {
    /// A broker without links.
    pub fn new(
        provider: &'static dyn Provider,
        signer: Arc<dyn Signer>,
        limits: Limits,
        rng: Rng,
    ) -> Self {
        Broker {
            provider,
            signer,
            limits,
            rng,
            links: BTreeMap::new(),
            by_key: BTreeMap::new(),
            watchers: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            asks: BTreeMap::new(),
            next_ask: 1,
            output: VecDeque::new(),
            events: VecDeque::new(),
            relays: Vec::new(),
            others: Vec::new(),
            silence_max_s: 0,
            clock: None,
        }
    }

    /// The relays that offers name from now on, the first the one to prefer.
    pub fn set_relays(&mut self, relays: Vec<RelayService>) {
        self.relays = relays;
    }

    /// Addresses of this broker beside the one that nodes know, at which it sees whether a node's
    /// NAT gives it another address for each that it calls.
    pub fn set_others(&mut self, others: Vec<Path>) {
        self.others = others;
    }

    /// How long nodes that come from now on may be silent, at most [`message::QUIET_MAX_S`]; 0: as
    /// long as their NATs bear.
    pub fn set_longest_silence(&mut self, silence_max_s: u32) {
        self.silence_max_s = silence_max_s.min(message::QUIET_MAX_S);
    }

    /// A connection is up whose peer proved to hold `key`.
    pub fn on_connected(&mut self, link: LinkId, key: PublicKey, observed: Path, now: Time) {
        if let Some(older) = self.by_key.get(&key).copied() {
            self.close(older, RefuseReason::Replaced);
        }
        if self.links.len() >= self.limits.links {
            self.refuse(link, 0, RefuseReason::Limit);
            self.output.push_back(Output::Close { link, reason: RefuseReason::Limit });
            return;
        }
        self.links.insert(link, Link::new(key, observed, &self.limits, now));
        self.by_key.insert(key, link);
        if !self.ask(link, Ask::Lookup { link }, Query::Lookup { key }) {
            self.close(link, RefuseReason::Limit);
        }
    }

    /// The node is seen at another address now.
    pub fn on_observed(&mut self, id: LinkId, observed: Path, _now: Time) {
        if let Some(link) = self.links.get_mut(&id) {
            link.observed = observed;
            link.mapping = MAPPING_UNKNOWN;
            self.send(id, ToNode::Observed { observed, other: None });
        }
    }

    /// The node is seen at `other` by another of the broker's sockets.
    pub fn on_observed_elsewhere(&mut self, link: LinkId, other: Path, _now: Time) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let observed = state.observed;
        state.mapping = message::mapping(&observed, &other);
        self.send(link, ToNode::Observed { observed, other: Some(other) });
    }

    /// The node sent `message`.
    pub fn on_message(&mut self, link: LinkId, message: ToBroker, now: Time) {
        let Some(state) = self.links.get_mut(&link) else { return };
        match message {
            ToBroker::Hello { services, candidates, ownership, firmware, .. } => {
                let is_other = (&state.services, &state.firmware) != (&services, &firmware);
                (state.services, state.firmware) = (services, firmware);
                state.candidates = candidates;
                state.has_hello = true;
                if is_other && state.is_online {
                    self.events.push_back(state.online_event());
                }
                let is_news = state.trust.told != ownership && state.is_online;
                state.trust.told = ownership;
                self.update_presence(link);
                if is_news {
                    self.on_ownership(link);
                }
            }
            ToBroker::Candidates { candidates } => state.candidates = candidates,
            ToBroker::Quiet { silence_s, ask_back_s } => {
                let seconds = |s: u32| Duration::from_secs(s.into());
                let (silence, ask_back) = (seconds(silence_s), ask_back_s.map(seconds));
                self.output.push_back(Output::Quiet { link, silence, ask_back });
            }
            ToBroker::Enrol { .. }
            | ToBroker::Connect { .. }
            | ToBroker::Note(_)
            | ToBroker::TimeQuery { .. }
                if state.standing == Standing::Unknown =>
            {
                self.wait(link, message);
            }
            ToBroker::Enrol { code } => self.on_enrol(link, &code.0),
            ToBroker::Connect { request, device, chain } => {
                self.on_connect(link, Wanted { request, device, chain }, now);
            }
            ToBroker::Note(note) => self.on_note(link, note, now),
            ToBroker::TimeQuery { nonce } => self.on_time_query(link, nonce, now),
        }
    }

    /// The node sent what is no message. Closes its link.
    pub fn on_malformed(&mut self, link: LinkId, _now: Time) {
        self.close(link, RefuseReason::Malformed);
    }

    /// The connection is gone.
    pub fn on_disconnected(&mut self, link: LinkId, _now: Time) {
        self.forget(link);
    }

    /// The store answered; `wall_unix_s` is the wall clock, which nodes are told.
    pub fn handle_answer(&mut self, id: AskId, answer: Answer, wall_unix_s: u64, now: Time) {
        self.clock = Some((wall_unix_s, now));
        let Some(ask) = self.asks.remove(&id) else { return };
        let Some(state) = self.links.get_mut(&ask.link()) else { return };
        state.asks = state.asks.saturating_sub(1);
        match (ask, answer) {
            (Ask::Lookup { link }, Answer::Enrolled(is_enrolled)) => {
                self.on_looked_up(link, is_enrolled, wall_unix_s, now);
            }
            (Ask::Lookup { link }, Answer::Elsewhere(_)) => {
                self.on_looked_up(link, true, wall_unix_s, now);
            }
            (Ask::Device { link, want }, Answer::Elsewhere(instance)) => {
                self.on_device_elsewhere(link, want, instance, now);
            }
            (Ask::Note { link, note }, Answer::Elsewhere(instance)) => {
                self.on_note_elsewhere(link, note, instance);
            }
            (Ask::Lookup { link }, Answer::Failed) => self.close(link, RefuseReason::Unavailable),
            (Ask::Enrol { link }, Answer::Enrolled(true)) => self.on_enrolled(link),
            (Ask::Enrol { link }, Answer::Enrolled(false)) => self.on_bad_code(link),
            (Ask::Enrol { link }, Answer::Failed) => {
                self.refuse(link, 0, RefuseReason::Unavailable);
            }
            (Ask::Device { link, want }, Answer::Enrolled(is_enrolled)) => {
                self.on_device_looked_up(link, want, is_enrolled, now);
            }
            (Ask::Device { link, want }, Answer::Failed) => {
                self.refuse(link, want.request, RefuseReason::Unavailable);
            }
            (Ask::Note { link, note }, Answer::Enrolled(is_enrolled)) => {
                self.on_note_looked_up(link, note, is_enrolled);
            }
            (Ask::Note { link, note }, Answer::Failed) => {
                self.refuse(link, note.request, RefuseReason::Unavailable);
            }
            (Ask::Trust { link }, Answer::Trust(row)) => self.on_trust_row(link, row.as_deref()),
            (Ask::Time { link, nonce }, Answer::Trust(row)) => {
                self.on_time_row(link, &nonce, row.as_deref(), wall_unix_s);
            }
            // What the broker does not know it does not tell; or an answer to another question.
            (Ask::Trust { .. } | Ask::Time { .. }, _) | (_, Answer::Trust(_)) => {}
            (Ask::Enrol { .. }, Answer::Elsewhere(_)) => {}
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<BrokerEvent> {
        self.events.pop_front()
    }

    /// When to call [`Broker::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Sends strangers away whose time is over.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(&(at, link)) = self.deadlines.first() {
            if at > now {
                return;
            }
            self.deadlines.pop_first();
            self.close(link, RefuseReason::NotEnrolled);
        }
    }

    /// How many links there are.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    fn on_looked_up(&mut self, link: LinkId, is_enrolled: bool, wall_unix_s: u64, now: Time) {
        let strangers = self.deadlines.len();
        let Some(state) = self.links.get_mut(&link) else { return };
        let welcome = ToNode::Welcome {
            observed: state.observed,
            enrolled: is_enrolled,
            time_unix_s: wall_unix_s,
            others: self.others.clone(),
            silence_max_s: self.silence_max_s,
        };
        let waiting = core::mem::take(&mut state.waiting);
        if is_enrolled {
            state.standing = Standing::Enrolled;
        } else if strangers >= self.limits.strangers {
            return self.close(link, RefuseReason::Limit);
        } else {
            let deadline = now + self.limits.enrol_time;
            state.standing = Standing::Stranger { deadline };
            self.deadlines.insert((deadline, link));
        }
        self.send(link, welcome);
        self.update_presence(link);
        for message in waiting {
            self.on_message(link, message, now);
        }
    }

    /// Keeps a message until the store says who sends it.
    fn wait(&mut self, link: LinkId, message: ToBroker) {
        let Some(state) = self.links.get_mut(&link) else { return };
        if state.waiting.len() < self.limits.waiting_per_link {
            return state.waiting.push(message);
        }
        let request = match message {
            ToBroker::Connect { request, .. } | ToBroker::Note(Note { request, .. }) => request,
            _ => 0,
        };
        self.refuse(link, request, RefuseReason::Limit);
    }

    fn on_enrol(&mut self, link: LinkId, code: &str) {
        let Some(state) = self.links.get(&link) else { return };
        if state.standing == Standing::Enrolled {
            // The code stays good for another node.
            return self.send(link, ToNode::Enrolled);
        }
        let query = Query::Enrol { key: state.key, code_hash: code_hash(self.provider, code) };
        if !self.ask(link, Ask::Enrol { link }, query) {
            self.refuse(link, 0, RefuseReason::Limit);
        }
    }

    fn on_enrolled(&mut self, link: LinkId) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let key = state.key;
        if let Standing::Stranger { deadline } = state.standing {
            self.deadlines.remove(&(deadline, link));
            self.events.push_back(BrokerEvent::Enrolled { key });
        }
        state.standing = Standing::Enrolled;
        self.send(link, ToNode::Enrolled);
        self.update_presence(link);
    }

    fn on_bad_code(&mut self, link: LinkId) {
        let Some(state) = self.links.get_mut(&link) else { return };
        state.bad_codes += 1;
        if state.bad_codes >= self.limits.bad_codes {
            self.close(link, RefuseReason::BadCode);
        } else {
            self.refuse(link, 0, RefuseReason::BadCode);
        }
    }

    fn on_connect(&mut self, link: LinkId, want: Wanted, now: Time) {
        let (connects, request, device) = (self.limits.connects, want.request, want.device);
        let Some(state) = self.links.get_mut(&link) else { return };
        if state.standing != Standing::Enrolled {
            return self.refuse(link, request, RefuseReason::NotEnrolled);
        }
        if !state.take_connect(connects, now) {
            return self.refuse(link, request, RefuseReason::Limit);
        }
        if state.key == device {
            return self.refuse(link, request, RefuseReason::Unknown);
        }
        if let Some(online) = self.online(&device) {
            return self.introduce(link, want, online, now);
        }
        let ask = Ask::Device { link, want };
        if !self.ask(link, ask, Query::Lookup { key: device }) {
            self.refuse(link, request, RefuseReason::Limit);
        }
    }

    fn on_device_looked_up(&mut self, link: LinkId, want: Wanted, is_known: bool, now: Time) {
        let Wanted { request, device, .. } = want;
        if let Some(online) = self.online(&device) {
            self.introduce(link, want, online, now);
        } else if is_known {
            self.watch(link, device);
            self.refuse(link, request, RefuseReason::Offline);
        } else {
            self.refuse(link, request, RefuseReason::Unknown);
        }
    }

    /// Gives both ends a fresh contact: the responder first, so that it listens when it is called.
    fn introduce(&mut self, initiator: LinkId, want: Wanted, responder: LinkId, now: Time) {
        let Wanted { request, chain, .. } = want;
        let Some(from) = self.links.get(&initiator) else { return };
        if self.is_refused(responder, &from.key, &chain, now) {
            return self.refuse(initiator, request, RefuseReason::NotPermitted);
        }
        let Some(to) = self.links.get(&responder) else { return };
        let (from, to) = (End::of(from), End::of(to));
        let (initiator_key, responder_key) = (from.key, to.key);
        let (contact, offers) = self.offers(from, to, request, chain, now);
        self.send(responder, offers.responder);
        self.send(initiator, offers.initiator);
        self.watch(initiator, responder_key);
        self.events.push_back(BrokerEvent::Introduced {
            initiator: initiator_key,
            responder: responder_key,
            contact,
        });
    }

    /// A fresh contact in two offers.
    fn offers(
        &mut self,
        from: End,
        to: End,
        request: u32,
        chain: Vec<u8>,
        now: Time,
    ) -> (ContactId, Offers) {
        let contact_id = ContactId(self.rng.array());
        let contact_key = ContactKey(self.rng.array());
        let lifetime_s = self.limits.contact_lifetime_s;
        let wall_unix_s = self.clock.map_or(0, |(wall, at)| wall + now.since(at).as_secs());
        let ends = [&from.key, &to.key];
        let [relays_initiator, relays_responder] =
            relays::offers(&self.relays, self.provider, ends, wall_unix_s, &mut self.rng);
        let responder = ToNode::Offer {
            request: 0,
            role: Side::Responder,
            contact_id,
            contact_key: contact_key.clone(),
            lifetime_s,
            peer: from.key,
            candidates: from.candidates,
            services: Vec::new(),
            relays: relays_responder,
            mapping: from.mapping,
            chain,
        };
        let initiator = ToNode::Offer {
            request,
            role: Side::Initiator,
            contact_id,
            contact_key,
            lifetime_s,
            peer: to.key,
            candidates: to.candidates,
            services: to.services,
            relays: relays_initiator,
            mapping: to.mapping,
            chain: Vec::new(),
        };
        (contact_id, Offers { responder, initiator })
    }

    /// The link of a key that may be introduced.
    fn online(&self, key: &PublicKey) -> Option<LinkId> {
        let link = self.by_key.get(key)?;
        self.links.get(link).filter(|state| state.is_online).map(|_| *link)
    }

    /// A node is online from when it is enrolled and has said hello.
    fn update_presence(&mut self, link: LinkId) {
        let Some(state) = self.links.get_mut(&link) else { return };
        if state.is_online || !state.has_hello || state.standing != Standing::Enrolled {
            return;
        }
        state.is_online = true;
        let key = state.key;
        self.events.push_back(state.online_event());
        self.tell_watchers(key, true);
        self.on_ownership(link);
    }

    fn tell_watchers(&mut self, key: PublicKey, online: bool) {
        let watchers = self.watchers.get(&key).into_iter().flatten();
        let message = ToNode::Presence { key, online };
        let told = watchers.map(|link| Output::Send { link: *link, message: message.clone() });
        self.output.extend(told);
    }

    fn watch(&mut self, link: LinkId, device: PublicKey) {
        let Some(state) = self.links.get_mut(&link) else { return };
        if state.watched.contains(&device) || self.limits.watched_per_link == 0 {
            return;
        }
        let oldest = if state.watched.len() >= self.limits.watched_per_link {
            state.watched.pop_front()
        } else {
            None
        };
        state.watched.push_back(device);
        self.watchers.entry(device).or_default().insert(link);
        if let Some(oldest) = oldest {
            self.unwatch(link, &oldest);
        }
    }

    fn unwatch(&mut self, link: LinkId, device: &PublicKey) {
        let Some(watchers) = self.watchers.get_mut(device) else { return };
        watchers.remove(&link);
        if watchers.is_empty() {
            self.watchers.remove(device);
        }
    }

    /// Asks the store for a link; `false`: too many questions are open.
    fn ask(&mut self, link: LinkId, ask: Ask, query: Query) -> bool {
        let Some(state) = self.links.get_mut(&link) else { return false };
        if state.asks >= self.limits.asks_per_link || self.asks.len() >= self.limits.asks {
            return false;
        }
        state.asks += 1;
        let id = AskId(self.next_ask);
        self.next_ask += 1;
        self.asks.insert(id, ask);
        self.output.push_back(Output::Ask { id, query });
        true
    }

    fn send(&mut self, link: LinkId, message: ToNode) {
        self.output.push_back(Output::Send { link, message });
    }

    fn refuse(&mut self, link: LinkId, request: u32, reason: RefuseReason) {
        self.send(link, ToNode::Refused { request, reason });
    }

    fn close(&mut self, link: LinkId, reason: RefuseReason) {
        if !self.links.contains_key(&link) {
            return;
        }
        self.refuse(link, 0, reason);
        self.output.push_back(Output::Close { link, reason });
        self.forget(link);
    }

    fn forget(&mut self, link: LinkId) {
        let Some(state) = self.links.remove(&link) else { return };
        if self.by_key.get(&state.key) == Some(&link) {
            self.by_key.remove(&state.key);
        }
        if let Standing::Stranger { deadline } = state.standing {
            self.deadlines.remove(&(deadline, link));
        }
        for device in &state.watched {
            self.unwatch(link, device);
        }
        if state.is_online {
            self.events.push_back(BrokerEvent::NodeOffline { key: state.key });
            self.tell_watchers(state.key, false);
        }
    }
}
