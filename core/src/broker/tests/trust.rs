//! Tests of what the broker does for owners: chains, notes, lists and signed time.

use super::*;
use crate::trust::{
    Grant, GrantId, RevocationList, Revocations, Rights, Services, Terms, TrustState, WallClock,
    WallTime, append_grant, authorize, decode_chain,
};
use crate::wire::message::{NOTE_LEN_MAX, NOTE_REVOKED, Ownership};

const OWNER: u8 = 0x0e;
const EPOCH: u32 = 3;

fn owner() -> PublicKey {
    signer(OWNER).public_key()
}

fn broker_key() -> PublicKey {
    signer(BROKER).public_key()
}

fn told(owner: Option<PublicKey>, list: u64) -> ToBroker {
    let mut hello = hello();
    if let ToBroker::Hello { ownership, .. } = &mut hello {
        *ownership = Some(Ownership { epoch: EPOCH, list, owner });
    }
    hello
}

/// The owner's grant for `USER`.
fn chain_with(change: impl FnOnce(&mut Terms<'static>)) -> Vec<u8> {
    let mut terms = Terms {
        device: DEVICE,
        subject: USER,
        id: GrantId([7; 16]),
        issued_s: WALL_S,
        not_before_s: None,
        expires_s: None,
        epoch: EPOCH,
        rights: Rights::USE,
        depth: 0,
        must_be_fresh: false,
        services: Services::ALL,
    };
    change(&mut terms);
    append_grant(&[], &terms.sign(&*signer(OWNER)).unwrap()).unwrap()
}

fn list(number: u64, ids: Vec<GrantId>) -> Vec<u8> {
    let list = Revocations { number, floor_s: 0, ids, keys: vec![] };
    list.sign(&DEVICE, EPOCH, WALL_S, &*signer(OWNER)).unwrap()
}

fn row(number: u64, list: Vec<u8>) -> TrustRow {
    TrustRow { owner: Some(owner()), epoch: EPOCH, number, list }
}

/// The device online with an owner, and the user; nothing sent yet.
fn claimed(row: Option<TrustRow>, has: u64) -> (World, LinkId, LinkId) {
    let mut world = World::new(Limits::default());
    world.rows.extend(row.map(|row| (DEVICE, row)));
    let device = world.connect(1, DEVICE);
    world.message(device, told(Some(owner()), has));
    let user = world.online(2, USER);
    (world, device, user)
}

fn connect(request: u32, chain: Vec<u8>) -> ToBroker {
    ToBroker::Connect { request, device: DEVICE, chain }
}

fn note(request: u32, key: PublicKey, kind: u8) -> Note {
    Note { request, key, kind, body: vec![1, 2] }
}

#[test]
fn the_device_gets_the_chain_and_the_user_does_not() {
    let (mut world, device, user) = claimed(None, 0);
    let good = chain_with(|_| {});
    world.message(user, connect(7, good.clone()));
    let chains: Vec<_> = world
        .take_sent()
        .into_iter()
        .map(|(link, message)| match message {
            ToNode::Offer { chain, .. } => (link, chain),
            other => panic!("not an offer: {other:?}"),
        })
        .collect();
    assert_eq!(chains, [(device, good), (user, vec![])]);
}

#[test]
fn what_the_device_would_refuse_is_not_introduced() {
    let (mut world, _, user) = claimed(Some(row(2, list(2, vec![GrantId([9; 16])]))), 2);
    for bad in [
        chain_with(|terms| terms.epoch = EPOCH - 1),
        chain_with(|terms| terms.device = USER),
        chain_with(|terms| terms.subject = DEVICE),
        chain_with(|terms| terms.expires_s = Some(WALL_S)),
        chain_with(|terms| terms.not_before_s = Some(WALL_S + 1)),
        chain_with(|terms| terms.id = GrantId([9; 16])),
        vec![0x80],
        vec![1],
    ] {
        world.message(user, connect(1, bad));
        world.expect_refused(user, 1, RefuseReason::NotPermitted);
    }
    let good = chain_with(|_| {});
    let terms = &decode_chain(&good).unwrap()[0].terms;
    let by_another = terms.sign(&*signer(OWNER + 1)).unwrap();
    world.message(user, connect(1, append_grant(&[], &by_another).unwrap()));
    world.expect_refused(user, 1, RefuseReason::NotPermitted);
}

#[test]
fn what_only_the_device_can_tell_it_is_asked() {
    let (mut world, _, user) = claimed(None, 0);
    for chain in [
        vec![],
        chain_with(|terms| terms.must_be_fresh = true),
        chain_with(|terms| terms.expires_s = Some(WALL_S + 1)),
    ] {
        world.message(user, connect(1, chain));
        world.take_offers();
    }
    // One that obeys no owner has its own rule, one without owner will refuse by itself.
    let device = world.online(3, DEVICE);
    world.message(user, connect(2, vec![0x80]));
    world.take_offers();
    world.message(device, told(None, 0));
    world.message(user, connect(3, vec![0x80]));
    world.take_offers();
}

#[test]
fn ownership_is_told_to_the_host_once() {
    let mut world = World::new(Limits::default());
    world.is_holding = true;
    let device = world.connect(1, DEVICE);
    world.message(device, told(Some(owner()), 4));
    assert_eq!(world.events, [], "nobody knows yet whether it is enrolled");
    world.release();
    let ownership = |list, owner| BrokerEvent::Ownership {
        key: DEVICE,
        ownership: Ownership { epoch: EPOCH, list, owner },
    };
    assert_eq!(world.events.last(), Some(&ownership(4, Some(owner()))));
    world.events.clear();
    world.message(device, told(Some(owner()), 4));
    assert_eq!(world.events, []);
    world.message(device, told(Some(owner()), 5));
    world.message(device, told(None, 0));
    assert_eq!(world.events, [ownership(5, Some(owner())), ownership(0, None)]);
    world.events.clear();
    world.message(device, hello());
    assert_eq!(world.events, []);
}

#[test]
fn a_device_with_an_older_list_gets_the_newest() {
    let newest = list(5, vec![GrantId([9; 16])]);
    for (has, is_sent) in [(4, true), (5, false), (6, false)] {
        let mut world = World::new(Limits::default());
        world.rows.insert(DEVICE, row(5, newest.clone()));
        let device = world.connect(1, DEVICE);
        world.take_sent();
        world.message(device, told(Some(owner()), has));
        let pushed =
            Note { request: u32::MAX, key: broker_key(), kind: NOTE_REVOKED, body: newest.clone() };
        let expected = if is_sent { vec![(device, ToNode::Note(pushed))] } else { vec![] };
        assert_eq!(world.take_sent(), expected);
    }
}

#[test]
fn a_list_of_another_ownership_is_not_sent() {
    let mut world = World::new(Limits::default());
    world.rows.insert(DEVICE, TrustRow { epoch: EPOCH - 1, ..row(5, list(5, vec![])) });
    let device = world.connect(1, DEVICE);
    world.take_sent();
    world.message(device, told(Some(owner()), 0));
    assert_eq!(world.take_sent(), []);
    world.message(device, ToBroker::TimeQuery { nonce: [1; TIME_NONCE_LEN] });
    assert_eq!(world.take_sent().len(), 1, "the time alone");
}

#[test]
fn the_time_is_signed_behind_the_list_that_it_names() {
    let (p, newest) = (default_provider(), list(5, vec![]));
    let mut world = World::new(Limits::default());
    let device = world.connect(1, DEVICE);
    world.message(device, told(Some(owner()), 0));
    world.rows.insert(DEVICE, row(5, newest.clone()));
    world.take_sent();
    let mut clock = WallClock::new();
    let nonce = clock.ask(&mut Rng::from_seed([1; 32]), T);
    world.message(device, ToBroker::TimeQuery { nonce });
    let [(_, ToNode::Note(list)), (_, ToNode::Time { statement })] = &world.take_sent()[..] else {
        panic!("not a list and a time");
    };
    assert_eq!((list.kind, &list.body), (NOTE_REVOKED, &newest));
    clock.hear(p, &broker_key(), &DEVICE, statement, T).unwrap();
    assert_eq!(clock.at(T), WallTime { unix_s: Some(WALL_S), fresh: Some(5) });
    // What the device then knows is enough for a grant that must be fresh.
    let mut state = TrustState::owned(owner(), EPOCH);
    let fresh = chain_with(|terms| terms.must_be_fresh = true);
    assert!(authorize(p, &state, &DEVICE, &USER, &fresh, clock.at(T)).is_err());
    state.revoke(p, &DEVICE, &list.body).unwrap();
    assert!(authorize(p, &state, &DEVICE, &USER, &fresh, clock.at(T)).is_ok());
    assert_eq!(RevocationList::decode(&newest).unwrap().revocations.number, 5);
    assert_eq!(Grant::decode(&fresh[1..]).unwrap().terms.id, GrantId([7; 16]));
}

#[test]
fn strangers_and_a_failing_store_get_no_time() {
    let mut world = World::new(Limits::default());
    let stranger = world.connect(1, PublicKey([5; 32]));
    world.take_sent();
    world.message(stranger, ToBroker::TimeQuery { nonce: [1; TIME_NONCE_LEN] });
    assert_eq!(world.take_sent(), []);
    let device = world.online(2, DEVICE);
    world.is_failing = true;
    world.message(device, ToBroker::TimeQuery { nonce: [1; TIME_NONCE_LEN] });
    assert_eq!(world.take_sent(), []);
    assert_eq!(world.closed, []);
}

#[test]
fn notes_are_handed_on_with_the_name_of_the_sender() {
    let (mut world, device, user) = claimed(None, 0);
    world.message(user, ToBroker::Note(note(5, DEVICE, 200)));
    assert_eq!(world.take_sent(), [(device, ToNode::Note(note(5, USER, 200)))]);
    world.message(device, ToBroker::Note(note(5, USER, 201)));
    assert_eq!(world.take_sent(), [(user, ToNode::Note(note(5, DEVICE, 201)))]);
}

#[test]
fn notes_that_reach_nobody_are_refused() {
    let mut world = World::new(Limits::default());
    let user = world.online(1, USER);
    world.message(user, ToBroker::Note(note(5, DEVICE, 1)));
    world.expect_refused(user, 5, RefuseReason::Offline);
    world.message(user, ToBroker::Note(note(6, PublicKey([1; 32]), 1)));
    world.expect_refused(user, 6, RefuseReason::Unknown);
    let stranger = world.connect(2, PublicKey([5; 32]));
    world.take_sent();
    world.message(stranger, ToBroker::Note(note(7, USER, 1)));
    world.expect_refused(stranger, 7, RefuseReason::NotEnrolled);
    world.is_failing = true;
    world.message(user, ToBroker::Note(note(8, DEVICE, 1)));
    world.expect_refused(user, 8, RefuseReason::Unavailable);
}

#[test]
fn notes_have_an_allowance_of_their_own() {
    let limits = Limits { notes: 2, connects: 1, ..Limits::default() };
    let mut world = World::new(limits);
    let (device, user) = (world.online(1, DEVICE), world.online(2, USER));
    for _ in 0..2 {
        world.message(user, ToBroker::Note(note(5, DEVICE, 1)));
        assert_eq!(world.take_sent().len(), 1);
    }
    world.message(user, ToBroker::Note(note(6, DEVICE, 1)));
    world.expect_refused(user, 6, RefuseReason::Limit);
    world.message(user, ToBroker::TimeQuery { nonce: [1; TIME_NONCE_LEN] });
    assert_eq!(world.take_sent(), [], "nor is the time told");
    world.message(user, connect(7, vec![]));
    world.take_offers();
    world.now = T + Duration::from_secs(1);
    world.message(user, ToBroker::Note(note(8, DEVICE, 1)));
    assert_eq!(world.take_sent(), [(device, ToNode::Note(note(8, USER, 1)))]);
}

#[test]
fn the_host_speaks_as_the_broker_and_hears_the_answer() {
    let mut world = World::new(Limits::default());
    let offline = world.broker.send_note(&DEVICE, 1, 3, vec![]);
    assert_eq!(offline, Err(RefuseReason::Offline));
    let device = world.online(1, DEVICE);
    world.events.clear();
    for (request, len) in [(0, 0), (u32::MAX, 0), (1, NOTE_LEN_MAX + 1)] {
        let bad = world.broker.send_note(&DEVICE, request, 3, vec![0; len]);
        assert_eq!(bad, Err(RefuseReason::Malformed));
    }
    world.broker.send_note(&DEVICE, 9, 3, vec![1, 2]).unwrap();
    world.drain();
    assert_eq!(world.take_sent(), [(device, ToNode::Note(note(9, broker_key(), 3)))]);
    world.message(device, ToBroker::Note(note(9, broker_key(), 7)));
    // To what the broker said by itself nobody waits for the answer.
    world.message(device, ToBroker::Note(note(u32::MAX, broker_key(), 7)));
    let heard = BrokerEvent::Note { key: DEVICE, request: 9, kind: 7, body: vec![1, 2] };
    assert_eq!(world.events, [heard]);
    assert_eq!(world.take_sent(), []);
}

#[test]
fn notes_wait_for_the_lookup() {
    let mut world = World::new(Limits::default());
    world.is_holding = true;
    let user = world.connect(1, USER);
    world.message(user, ToBroker::Note(note(5, broker_key(), 1)));
    assert_eq!(world.events, []);
    world.release();
    assert!(matches!(world.events[..], [BrokerEvent::Note { request: 5, .. }]));
}
