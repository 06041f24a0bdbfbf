//! Tests of the broker's state machine, with a store in memory.

mod remote;
mod trust;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::crypto::{Ed25519Signer, Secret, Signer, default_provider};
use crate::trust::{relay_end_key, relay_pseudonym, verify_relay_token};
use crate::wire::message::{
    CANDIDATES_MAX, EnrolCode, MAPPING_DEPENDENT, MAPPING_INDEPENDENT, MAPPING_UNKNOWN, RelayOffer,
    ServiceInfo,
};

const CODE: &str = "ABCD-EFGH-2345-6723";
const WALL_S: u64 = 1_700_000_000;
/// The seed of the broker's key.
const BROKER: u8 = 0xbb;
const DEVICE: PublicKey = PublicKey([0xdd; 32]);
const USER: PublicKey = PublicKey([0xaa; 32]);
const T: Time = Time::ZERO;

fn signer(seed: u8) -> Arc<dyn Signer> {
    Arc::new(Ed25519Signer::from_seed(&[seed; 32]))
}

/// A broker and a store that answers at once, unless it is told to hold its answers back.
struct World {
    broker: Broker,
    enrolled: BTreeSet<PublicKey>,
    codes: BTreeSet<[u8; 32]>,
    rows: BTreeMap<PublicKey, TrustRow>,
    /// Nodes whose link is at another instance.
    elsewhere: BTreeMap<PublicKey, InstanceId>,
    posted: Vec<(InstanceId, Zeroizing<Vec<u8>>)>,
    is_failing: bool,
    is_holding: bool,
    held: Vec<(AskId, Query)>,
    sent: Vec<(LinkId, ToNode)>,
    closed: Vec<(LinkId, RefuseReason)>,
    events: Vec<BrokerEvent>,
    now: Time,
}

impl World {
    fn new(limits: Limits) -> Self {
        World {
            broker: Broker::new(
                default_provider(),
                signer(BROKER),
                limits,
                Rng::from_seed([9; 32]),
            ),
            enrolled: BTreeSet::from([DEVICE, USER]),
            codes: BTreeSet::from([code_hash(default_provider(), CODE)]),
            rows: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            posted: vec![],
            is_failing: false,
            is_holding: false,
            held: vec![],
            sent: vec![],
            closed: vec![],
            events: vec![],
            now: T,
        }
    }

    fn connect(&mut self, link: u64, key: PublicKey) -> LinkId {
        self.broker.on_connected(LinkId(link), key, observed(link), self.now);
        self.drain();
        LinkId(link)
    }

    /// Connects and says hello.
    fn online(&mut self, link: u64, key: PublicKey) -> LinkId {
        let link = self.connect(link, key);
        self.message(link, hello());
        self.sent.clear();
        link
    }

    fn message(&mut self, link: LinkId, message: ToBroker) {
        self.broker.on_message(link, message, self.now);
        self.drain();
    }

    fn ask_for(&mut self, link: LinkId, request: u32, device: PublicKey) {
        self.message(link, ToBroker::Connect { request, device, chain: vec![] });
    }

    fn answer(&mut self, id: AskId, query: &Query) {
        let answer = match query {
            _ if self.is_failing => Answer::Failed,
            Query::Lookup { key } if self.elsewhere.contains_key(key) => {
                Answer::Elsewhere(self.elsewhere[key])
            }
            Query::Lookup { key } => Answer::Enrolled(self.enrolled.contains(key)),
            Query::Trust { key } => Answer::Trust(self.rows.get(key).cloned().map(Box::new)),
            Query::Enrol { key, code_hash } => {
                let is_in = self.enrolled.contains(key) || self.codes.remove(code_hash);
                if is_in {
                    self.enrolled.insert(*key);
                }
                Answer::Enrolled(is_in)
            }
        };
        self.broker.handle_answer(id, answer, WALL_S, self.now);
    }

    fn release(&mut self) {
        self.is_holding = false;
        for (id, query) in core::mem::take(&mut self.held) {
            self.answer(id, &query);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Send { link, message } => self.sent.push((link, message)),
                Output::Quiet { .. } => {}
                Output::Close { link, reason } => self.closed.push((link, reason)),
                Output::Post { instance, letter } => self.posted.push((instance, letter)),
                Output::Ask { id, query } if self.is_holding => self.held.push((id, query)),
                Output::Ask { id, query } => self.answer(id, &query),
            }
        }
        while let Some(event) = self.broker.poll_event() {
            self.events.push(event);
        }
    }

    fn take_sent(&mut self) -> Vec<(LinkId, ToNode)> {
        core::mem::take(&mut self.sent)
    }

    #[track_caller]
    fn expect_refused(&mut self, link: LinkId, request: u32, reason: RefuseReason) {
        assert_eq!(self.take_sent(), [(link, ToNode::Refused { request, reason })]);
        assert_eq!(self.closed, []);
    }

    #[track_caller]
    fn expect_closed(&mut self, link: LinkId, reason: RefuseReason) {
        let refused = (link, ToNode::Refused { request: 0, reason });
        assert_eq!(self.take_sent().last(), Some(&refused));
        assert_eq!(core::mem::take(&mut self.closed), [(link, reason)]);
    }

    /// The two offers just sent: to whom, and what.
    #[track_caller]
    fn take_offers(&mut self) -> [(LinkId, Offer); 2] {
        let offers = self.take_sent().into_iter().map(|(link, message)| match message {
            ToNode::Offer {
                request,
                role,
                contact_id,
                contact_key,
                lifetime_s,
                peer,
                candidates,
                services,
                relays,
                mapping,
                chain: _,
            } => {
                assert_eq!(lifetime_s, Limits::default().contact_lifetime_s);
                let secret = (contact_id, contact_key);
                let offer =
                    Offer { request, role, secret, peer, candidates, services, relays, mapping };
                (link, offer)
            }
            other => panic!("not an offer: {other:?}"),
        });
        offers.collect::<Vec<_>>().try_into().ok().unwrap()
    }

    /// The node is seen elsewhere, and told so.
    fn move_to(&mut self, link: LinkId, observed: Path) {
        self.broker.on_observed(link, observed, self.now);
        self.drain();
        let told = ToNode::Observed { observed, other: None };
        assert_eq!(self.take_sent(), [(link, told)]);
    }
}

#[test]
fn what_a_node_says_of_its_silence_is_handed_on() {
    let mut world = world();
    let link = world.connect(1, USER);
    let quiet = ToBroker::Quiet { silence_s: 116, ask_back_s: Some(120) };
    world.broker.on_message(link, quiet, world.now);
    let seconds = Duration::from_secs;
    let outputs: Vec<_> = core::iter::from_fn(|| world.broker.poll_output()).collect();
    let handed = Output::Quiet { link, silence: seconds(116), ask_back: Some(seconds(120)) };
    assert!(outputs.contains(&handed), "{outputs:?}");
}

struct Offer {
    request: u32,
    role: Side,
    secret: (ContactId, ContactKey),
    peer: PublicKey,
    candidates: Vec<Path>,
    services: Vec<ServiceInfo>,
    relays: Vec<RelayOffer>,
    mapping: u8,
}

fn observed(link: u64) -> Path {
    Path::v4([192, 0, 2, link as u8], 1000)
}

fn local(last: u8) -> Path {
    Path::v4([10, 0, 0, last], 2000)
}

fn web() -> Vec<ServiceInfo> {
    vec![ServiceInfo { name: "web".into(), kind: 0, port: 80 }]
}

fn hello_with(candidates: Vec<Path>) -> ToBroker {
    let firmware = String::new();
    ToBroker::Hello { version: 1, abi: 1, firmware, services: web(), candidates, ownership: None }
}

/// The device came by this link.
fn came(link: u64) -> BrokerEvent {
    let (path, firmware) = (observed(link), String::new());
    BrokerEvent::NodeOnline { key: DEVICE, path, firmware, services: web() }
}

fn hello() -> ToBroker {
    hello_with(vec![local(1)])
}

fn enrol(code: &str) -> ToBroker {
    ToBroker::Enrol { code: code.into() }
}

fn stranger(byte: u8) -> PublicKey {
    PublicKey([byte; 32])
}

fn world() -> World {
    World::new(Limits::default())
}

#[test]
fn the_first_message_is_a_welcome() {
    let mut world = world();
    for (link, key, enrolled) in [(1, USER, true), (2, stranger(1), false)] {
        let link = world.connect(link, key);
        let observed = observed(link.0);
        let welcome = ToNode::Welcome {
            observed,
            enrolled,
            time_unix_s: WALL_S,
            others: vec![],
            silence_max_s: 0,
        };
        assert_eq!(world.take_sent(), [(link, welcome)]);
    }
}

#[test]
fn offers_name_relays_and_say_how_the_peers_nat_maps() {
    let mut world = world();
    let [device, user] = [world.online(1, DEVICE), world.online(2, USER)];
    let other = |link: LinkId, port| Path { port, ..observed(link.0) };
    let service = |port, n| RelayService {
        paths: vec![Path::v4([192, 0, 2, 99], port); n],
        secret: Secret::new([port as u8; 32]),
        rate: 10,
    };
    world.broker.set_relays(vec![service(1, 9), service(2, 0), service(3, 1)]);
    world.broker.on_observed_elsewhere(device, other(device, 1000), world.now);
    world.broker.on_observed_elsewhere(user, other(user, 1001), world.now);
    world.drain();
    let told = world.take_sent();
    let says = |link: LinkId, port| {
        (link, ToNode::Observed { observed: observed(link.0), other: Some(other(link, port)) })
    };
    assert_eq!(told, [says(device, 1000), says(user, 1001)]);
    world.message(user, ToBroker::Connect { request: 7, device: DEVICE, chain: vec![] });
    let [(_, to_device), (_, to_user)] = world.take_offers();
    assert_eq!([to_device.mapping, to_user.mapping], [MAPPING_DEPENDENT, MAPPING_INDEPENDENT]);
    let provider = default_provider();
    let sides = [(to_device, Side::Responder, DEVICE), (to_user, Side::Initiator, USER)];
    let mut channels = Vec::new();
    for (offer, side, key) in sides {
        assert_eq!(offer.relays.iter().map(|r| r.paths.len()).collect::<Vec<_>>(), [4, 1]);
        for (relay, n) in offer.relays.iter().zip([1, 3]) {
            let secret = Secret::new([n; 32]);
            let claims = verify_relay_token(provider, &secret, &relay.token).unwrap();
            let expires_min = (WALL_S / 60) as u32 + 24 * 60;
            assert_eq!((claims.side, claims.rate, claims.expires_min), (side, 10, expires_min));
            assert_eq!(claims.node, relay_pseudonym(provider, &secret, &key));
            assert_eq!(relay.key.0, *relay_end_key(provider, &secret, &relay.token).as_bytes());
            channels.push(claims.channel);
        }
    }
    assert_eq!((channels[0], channels[1]), (channels[2], channels[3]), "the same for both");
    assert_ne!(channels[0], channels[1]);
    // Told to go elsewhere, nobody knows what its NAT does there.
    world.move_to(device, observed(9));
    world.message(user, ToBroker::Connect { request: 8, device: DEVICE, chain: vec![] });
    assert_eq!(world.take_offers()[1].1.mapping, MAPPING_UNKNOWN);
}

#[test]
fn a_code_enrols_one_node_once() {
    let mut world = world();
    let first = world.connect(1, stranger(1));
    let second = world.connect(2, stranger(2));
    world.take_sent();
    world.message(first, enrol("abcd efgh23456723"));
    assert_eq!(world.take_sent(), [(first, ToNode::Enrolled)]);
    assert_eq!(world.events, [BrokerEvent::Enrolled { key: stranger(1) }]);
    world.message(second, enrol(CODE));
    world.expect_refused(second, 0, RefuseReason::BadCode);
    world.message(first, enrol(CODE));
    assert_eq!(world.take_sent(), [(first, ToNode::Enrolled)], "enrolled is enrolled");
    assert!(world.broker.poll_timeout().is_some(), "the second must go");
}

#[test]
fn an_enrolled_node_uses_up_no_code() {
    let mut world = world();
    let link = world.connect(1, USER);
    world.message(link, enrol(CODE));
    assert_eq!(world.take_sent().last(), Some(&(link, ToNode::Enrolled)));
    assert_eq!(world.codes.len(), 1);
}

#[test]
fn wrong_codes_end_the_link() {
    let mut world = world();
    let link = world.connect(1, stranger(1));
    world.take_sent();
    for _ in 1..Limits::default().bad_codes {
        world.message(link, enrol("wrong"));
        world.expect_refused(link, 0, RefuseReason::BadCode);
    }
    world.message(link, enrol("wrong"));
    world.expect_closed(link, RefuseReason::BadCode);
    assert_eq!((world.broker.links(), world.broker.poll_timeout()), (0, None));
    world.message(link, enrol(CODE));
    assert_eq!((world.take_sent(), world.codes.len()), (vec![], 1), "a closed link is deaf");
}

#[test]
fn strangers_have_to_leave() {
    let mut world = world();
    let link = world.connect(1, stranger(1));
    world.connect(2, USER);
    let deadline = world.broker.poll_timeout().unwrap();
    assert_eq!(deadline, T + Limits::default().enrol_time);
    world.broker.handle_timeout(Time::from_micros(deadline.as_micros() - 1));
    world.drain();
    assert_eq!(world.closed, []);
    world.broker.handle_timeout(deadline);
    world.drain();
    world.expect_closed(link, RefuseReason::NotEnrolled);
    assert_eq!((world.broker.links(), world.broker.poll_timeout()), (1, None));
}

#[test]
fn the_limit_of_strangers() {
    let mut world = World::new(Limits { strangers: 2, ..Limits::default() });
    world.connect(1, stranger(1));
    world.connect(2, stranger(2));
    let third = world.connect(3, stranger(3));
    world.expect_closed(third, RefuseReason::Limit);
    world.connect(4, USER);
    world.broker.on_disconnected(LinkId(1), T);
    world.connect(5, stranger(5));
    assert_eq!((world.broker.links(), world.closed.len()), (3, 0));
}

#[test]
fn an_introduction_gives_both_ends_the_same_fresh_key() {
    let mut world = world();
    let device = world.online(1, DEVICE);
    let user = world.online(2, USER);
    let mut secrets = vec![];
    for request in 1..=3 {
        world.ask_for(user, request, DEVICE);
        let [(first, to_device), (second, to_user)] = world.take_offers();
        assert_eq!((first, second), (device, user), "the responder first");
        assert_eq!((to_device.request, to_user.request), (0, request));
        assert_eq!((to_device.role, to_user.role), (Side::Responder, Side::Initiator));
        assert_eq!((to_device.peer, to_user.peer), (USER, DEVICE));
        assert_eq!(to_device.candidates, [observed(2), local(1)]);
        assert_eq!(to_user.candidates, [observed(1), local(1)]);
        assert_eq!((to_device.services, to_user.services), (vec![], web()));
        assert!(to_device.secret == to_user.secret);
        assert!(!secrets.contains(&to_user.secret));
        secrets.push(to_user.secret);
    }
    let is_introduced = |event: &&BrokerEvent| {
        matches!(event, BrokerEvent::Introduced { initiator: USER, responder: DEVICE, .. })
    };
    assert_eq!(world.events.iter().filter(is_introduced).count(), 3);
}

#[test]
fn whom_nobody_can_be_introduced_to() {
    let mut world = world();
    let user = world.online(1, USER);
    world.ask_for(user, 1, stranger(1));
    world.expect_refused(user, 1, RefuseReason::Unknown);
    world.ask_for(user, 2, DEVICE);
    world.expect_refused(user, 2, RefuseReason::Offline);
    world.ask_for(user, 3, USER);
    world.expect_refused(user, 3, RefuseReason::Unknown);
    world.online(2, stranger(1));
    world.ask_for(user, 4, stranger(1));
    world.expect_refused(user, 4, RefuseReason::Unknown);
    world.connect(3, DEVICE);
    world.take_sent();
    world.ask_for(user, 5, DEVICE);
    world.expect_refused(user, 5, RefuseReason::Offline);
}

#[test]
fn strangers_are_introduced_to_nobody() {
    let mut world = world();
    world.online(1, DEVICE);
    let link = world.online(2, stranger(1));
    world.ask_for(link, 7, DEVICE);
    world.expect_refused(link, 7, RefuseReason::NotEnrolled);
    assert_eq!(world.events, [came(1)]);
}

#[test]
fn a_newer_link_takes_the_place() {
    let mut world = world();
    let user = world.online(1, USER);
    let older = world.online(2, DEVICE);
    let newer = world.connect(3, DEVICE);
    assert_eq!(world.closed, [(older, RefuseReason::Replaced)]);
    assert_eq!(
        world.take_sent()[0],
        (older, ToNode::Refused { request: 0, reason: RefuseReason::Replaced })
    );
    world.message(newer, hello());
    world.take_sent();
    world.broker.on_disconnected(older, T);
    world.ask_for(user, 1, DEVICE);
    let [(first, _), (second, _)] = world.take_offers();
    assert_eq!((first, second, world.broker.links()), (newer, user, 2));
}

#[test]
fn presence_goes_to_those_who_asked() {
    let mut world = world();
    let user = world.online(1, USER);
    let other = PublicKey([0xbb; 32]);
    world.enrolled.insert(other);
    world.online(2, other);
    world.ask_for(user, 1, DEVICE);
    world.expect_refused(user, 1, RefuseReason::Offline);
    let device = world.connect(3, DEVICE);
    world.take_sent();
    world.message(device, hello());
    assert_eq!(world.take_sent(), [(user, ToNode::Presence { key: DEVICE, online: true })]);
    world.message(device, hello());
    assert_eq!(world.take_sent(), [], "still online");
    world.broker.on_disconnected(device, T);
    world.drain();
    assert_eq!(world.take_sent(), [(user, ToNode::Presence { key: DEVICE, online: false })]);
    assert_eq!(world.events.last(), Some(&BrokerEvent::NodeOffline { key: DEVICE }));
    world.broker.on_disconnected(user, T);
    world.online(4, DEVICE);
    assert!(world.broker.watchers.is_empty(), "nothing is left of who left");
}

#[test]
fn the_oldest_watch_is_forgotten_first() {
    let mut world = World::new(Limits { watched_per_link: 2, ..Limits::default() });
    let user = world.online(1, USER);
    for byte in 1..=3 {
        world.enrolled.insert(stranger(byte));
        world.ask_for(user, u32::from(byte), stranger(byte));
        world.ask_for(user, u32::from(byte), stranger(byte));
    }
    world.take_sent();
    for byte in 1..=3 {
        let link = world.connect(10 + u64::from(byte), stranger(byte));
        world.message(link, hello());
    }
    let told: Vec<_> = world.take_sent().into_iter().filter(|(link, _)| *link == user).collect();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].1, ToNode::Presence { key: stranger(2), online: true });
    assert_eq!(world.broker.watchers.len(), 2);
}

#[test]
fn messages_before_the_lookup_wait_their_turn() {
    let mut world = World::new(Limits { waiting_per_link: 2, ..Limits::default() });
    let device = world.online(1, DEVICE);
    world.is_holding = true;
    let user = world.connect(2, stranger(1));
    world.message(user, enrol(CODE));
    world.message(user, hello());
    world.ask_for(user, 5, DEVICE);
    assert_eq!(world.take_sent(), []);
    world.ask_for(user, 6, DEVICE);
    world.expect_refused(user, 6, RefuseReason::Limit);
    world.message(user, enrol(CODE));
    world.expect_refused(user, 0, RefuseReason::Limit);
    world.release();
    let sent = world.take_sent();
    assert!(matches!(sent[0], (_, ToNode::Welcome { enrolled: false, .. })));
    // The connect came before the code was known to be good.
    let reason = RefuseReason::NotEnrolled;
    assert_eq!(sent[1], (user, ToNode::Refused { request: 5, reason }));
    assert_eq!(sent[2], (user, ToNode::Enrolled));
    world.ask_for(user, 7, DEVICE);
    assert_eq!(world.take_offers()[0].0, device);
}

#[test]
fn questions_to_the_store_are_bounded() {
    let limits = Limits { asks_per_link: 2, asks: 3, ..Limits::default() };
    let mut world = World::new(limits);
    let user = world.online(1, USER);
    world.is_holding = true;
    world.ask_for(user, 1, stranger(1));
    world.ask_for(user, 2, stranger(2));
    assert_eq!(world.take_sent(), []);
    world.ask_for(user, 3, stranger(3));
    world.expect_refused(user, 3, RefuseReason::Limit);
    world.connect(2, stranger(4));
    let fourth = world.connect(3, stranger(5));
    world.expect_closed(fourth, RefuseReason::Limit);
    world.broker.on_disconnected(user, T);
    world.release();
    assert_eq!(world.take_sent().len(), 1, "only the second link is welcomed");
    assert!(world.broker.asks.is_empty());
    world.connect(4, stranger(6));
    assert_eq!(world.closed, []);
}

#[test]
fn introductions_are_rationed() {
    let mut world = World::new(Limits { connects: 2, ..Limits::default() });
    world.online(1, DEVICE);
    let user = world.online(2, USER);
    let reach = |world: &mut World| {
        world.ask_for(user, 1, DEVICE);
        matches!(world.take_sent()[0], (_, ToNode::Offer { .. }))
    };
    assert_eq!([(); 3].map(|()| reach(&mut world)), [true, true, false]);
    world.now = Time::from_micros(999_999);
    assert!(!reach(&mut world));
    world.now = Time::from_micros(1_000_000);
    assert_eq!([(); 2].map(|()| reach(&mut world)), [true, false]);
    world.now = Time::from_micros(u64::MAX);
    assert_eq!([(); 3].map(|()| reach(&mut world)), [true, true, false]);
    world.now = T;
    assert!(!reach(&mut world), "time that goes back earns nothing");
}

#[test]
fn the_limit_of_links() {
    let mut world = World::new(Limits { links: 2, ..Limits::default() });
    world.online(1, DEVICE);
    let user = world.online(2, USER);
    let third = world.connect(3, stranger(1));
    world.expect_closed(third, RefuseReason::Limit);
    world.broker.on_disconnected(third, T);
    world.connect(4, DEVICE);
    assert_eq!(world.closed, [(LinkId(1), RefuseReason::Replaced)], "no room needed to replace");
    world.ask_for(user, 1, stranger(1));
    assert_eq!(world.broker.links(), 2);
}

#[test]
fn malformed_messages_close_that_link_only() {
    let mut world = world();
    world.online(1, DEVICE);
    let user = world.online(2, USER);
    let bad = world.connect(3, stranger(1));
    // What it goes on saying does not count.
    world.broker.on_malformed(bad, T);
    world.broker.on_malformed(bad, T);
    world.drain();
    world.expect_closed(bad, RefuseReason::Malformed);
    world.ask_for(user, 1, DEVICE);
    assert_eq!((world.take_offers().len(), world.broker.links()), (2, 2));
}

#[test]
fn a_failing_store_loses_nothing_else() {
    let mut world = world();
    let user = world.online(1, USER);
    let link = world.connect(2, stranger(1));
    let device = world.online(3, DEVICE);
    world.is_failing = true;
    world.message(link, enrol(CODE));
    world.expect_refused(link, 0, RefuseReason::Unavailable);
    world.ask_for(user, 1, stranger(1));
    world.expect_refused(user, 1, RefuseReason::Unavailable);
    world.ask_for(user, 2, DEVICE);
    assert_eq!(world.take_offers()[0].0, device);
    let late = world.connect(4, stranger(2));
    world.expect_closed(late, RefuseReason::Unavailable);
    world.is_failing = false;
    world.message(link, enrol(CODE));
    assert_eq!(world.take_sent(), [(link, ToNode::Enrolled)]);
}

#[test]
fn an_offer_carries_the_newest_addresses() {
    let mut world = world();
    let device = world.online(1, DEVICE);
    let user = world.online(2, USER);
    let many: Vec<Path> = (1..=CANDIDATES_MAX as u8).map(local).collect();
    world.message(device, ToBroker::Candidates { candidates: many.clone() });
    world.move_to(device, observed(77));
    world.ask_for(user, 1, DEVICE);
    let [_, (_, to_user)] = world.take_offers();
    assert_eq!(to_user.candidates[0], observed(77));
    assert_eq!(to_user.candidates[1..], many[..CANDIDATES_MAX - 1]);
    world.message(device, ToBroker::Candidates { candidates: vec![observed(77), local(3)] });
    world.ask_for(user, 2, DEVICE);
    let [_, (_, to_user)] = world.take_offers();
    assert_eq!(to_user.candidates, [observed(77), local(3)], "no repeats");
}

#[test]
fn what_is_not_known_is_ignored() {
    let mut world = world();
    world.message(LinkId(1), hello());
    world.broker.on_disconnected(LinkId(1), T);
    world.broker.handle_answer(AskId(1), Answer::Enrolled(true), WALL_S, T);
    world.broker.handle_timeout(Time::from_micros(u64::MAX));
    world.drain();
    assert_eq!((world.take_sent().len(), world.events.len()), (0, 0));
}

#[test]
fn same_seed_same_keys() {
    let run = || {
        let mut world = world();
        world.online(1, DEVICE);
        let user = world.online(2, USER);
        world.ask_for(user, 1, DEVICE);
        world.take_sent()
    };
    assert_eq!(run(), run());
}

#[test]
fn codes_as_people_type_them() {
    let hash = |code: &str| code_hash(default_provider(), code);
    assert_eq!(hash("ABCD-EFGH"), hash(" abcdefgh "));
    assert_ne!(hash("ABCD-EFGH"), hash("ABCD-EFGI"));
    assert_eq!(EnrolCode::from(CODE).0, CODE);
}
