//! Tests of two instances of one broker, between which letters go.

use super::*;
use crate::wire::message::{NOTE_LEN_MAX, RELAYS_MAX};

const HERE: InstanceId = InstanceId(1);
const THERE: InstanceId = InstanceId(2);

/// The user at one instance, the device at another.
fn pair() -> ([World; 2], LinkId, LinkId) {
    let [mut here, mut there] = [world(), world()];
    here.elsewhere.insert(DEVICE, THERE);
    there.elsewhere.insert(USER, HERE);
    there.broker.rng = Rng::from_seed([8; 32]);
    let user = here.online(1, USER);
    let device = there.online(2, DEVICE);
    here.events.clear();
    there.events.clear();
    ([here, there], user, device)
}

/// Takes letters to where they go until there are none.
fn carry([here, there]: &mut [World; 2]) {
    loop {
        let (out, back) = (core::mem::take(&mut here.posted), core::mem::take(&mut there.posted));
        if out.is_empty() && back.is_empty() {
            return;
        }
        for (to, letter) in out {
            assert_eq!(to, THERE);
            there.broker.handle_post(HERE, &letter, there.now);
            there.drain();
        }
        for (to, letter) in back {
            assert_eq!(to, HERE);
            here.broker.handle_post(THERE, &letter, here.now);
            here.drain();
        }
    }
}

fn connect(request: u32, chain: Vec<u8>) -> ToBroker {
    ToBroker::Connect { request, device: DEVICE, chain }
}

#[test]
fn nodes_of_two_instances_are_introduced() {
    let (mut worlds, user, device) = pair();
    let relay = |port| RelayService {
        paths: vec![Path::v4([192, 0, 2, 9], port)],
        secret: Secret::new([7; 32]),
        rate: 0,
    };
    worlds[0].broker.set_relays((1..=RELAYS_MAX as u16).map(relay).collect());
    worlds[0].message(user, connect(7, vec![3; 5]));
    assert_eq!(worlds[0].take_sent(), []);
    carry(&mut worlds);
    let [here, there] = &mut worlds;
    let [(to, to_device)] = there.take_sent().try_into().unwrap();
    assert_eq!(to, device);
    let [(to, to_user)] = here.take_sent().try_into().unwrap();
    assert_eq!(to, user);
    let ToNode::Offer { contact_id, contact_key, peer, candidates, chain, relays, role, .. } =
        to_device
    else {
        panic!("{to_device:?}");
    };
    assert_eq!((peer, chain, role, relays.len()), (USER, vec![3; 5], Side::Responder, RELAYS_MAX));
    assert_eq!(candidates, [observed(1), local(1)]);
    let secret = (contact_id, contact_key);
    let ToNode::Offer { contact_id, contact_key, peer, candidates, request, services, .. } =
        to_user
    else {
        panic!("{to_user:?}");
    };
    assert!(secret == (contact_id, contact_key));
    assert_eq!((peer, request, services), (DEVICE, 7, web()));
    assert_eq!(candidates, [observed(2), local(1)]);
    let introduced =
        BrokerEvent::Introduced { initiator: USER, responder: DEVICE, contact: contact_id };
    assert_eq!((&here.events[..], &there.events[..]), (&[][..], &[introduced][..]), "told once");
    // It is told when the device goes, which the other instance tells this one.
    assert_eq!(here.broker.watched_elsewhere().collect::<Vec<_>>(), [&DEVICE]);
    here.broker.on_presence_elsewhere(DEVICE, false);
    here.drain();
    assert_eq!(here.take_sent(), [(user, ToNode::Presence { key: DEVICE, online: false })]);
}

#[test]
fn a_device_that_went_is_offline_and_one_that_came_here_is_introduced_here() {
    let (mut worlds, user, device) = pair();
    worlds[1].broker.on_disconnected(device, T);
    worlds[1].drain();
    worlds[0].message(user, connect(7, vec![]));
    carry(&mut worlds);
    worlds[0].expect_refused(user, 7, RefuseReason::Offline);
    // The store does not know yet that it is here.
    worlds[0].online(3, DEVICE);
    worlds[0].message(user, connect(8, vec![]));
    assert_eq!((worlds[0].take_offers()[0].0, worlds[0].posted.len()), (LinkId(3), 0));
}

#[test]
fn notes_go_to_another_instance_and_back() {
    let (mut worlds, user, device) = pair();
    let note = |request, key, body: &[u8]| Note { request, key, kind: 3, body: body.to_vec() };
    let longest = vec![7; NOTE_LEN_MAX];
    worlds[0].message(user, ToBroker::Note(note(5, DEVICE, &longest)));
    carry(&mut worlds);
    assert_eq!(worlds[1].take_sent(), [(device, ToNode::Note(note(5, USER, &longest)))]);
    worlds[1].message(device, ToBroker::Note(note(5, USER, b"yes")));
    carry(&mut worlds);
    assert_eq!(worlds[0].take_sent(), [(user, ToNode::Note(note(5, DEVICE, b"yes")))]);
    // The broker's own, whose answer is told where the device is.
    worlds[0].broker.post_note(THERE, &DEVICE, (9, 1, vec![]));
    worlds[0].drain();
    carry(&mut worlds);
    let sent = worlds[1].take_sent();
    let key = signer(BROKER).public_key();
    let own = Note { request: 9, key, kind: 1, body: vec![] };
    assert_eq!(sent, [(device, ToNode::Note(own))]);
    worlds[1].broker.on_disconnected(device, T);
    worlds[0].message(user, ToBroker::Note(note(6, DEVICE, b"")));
    carry(&mut worlds);
    worlds[0].expect_refused(user, 6, RefuseReason::Offline);
}

#[test]
fn a_link_is_closed_from_outside() {
    let mut world = world();
    let device = world.online(1, DEVICE);
    assert_eq!(world.broker.online_nodes().collect::<Vec<_>>(), [came(1)]);
    assert!(!world.broker.disconnect(&USER, RefuseReason::Replaced));
    assert!(world.broker.disconnect(&DEVICE, RefuseReason::Replaced));
    world.drain();
    world.expect_closed(device, RefuseReason::Replaced);
    assert_eq!(world.broker.online_nodes().count(), 0);
}

#[test]
fn letters_that_are_none_are_dropped() {
    let (mut worlds, user, _) = pair();
    worlds[0].message(user, connect(7, vec![3; 5]));
    let (_, good) = worlds[0].posted.remove(0);
    let there = &mut worlds[1];
    let try_letter = |there: &mut World, letter: &[u8]| {
        there.broker.handle_post(HERE, letter, there.now);
        there.drain();
        (there.take_sent().len(), core::mem::take(&mut there.posted).len())
    };
    for len in 0..good.len() {
        assert_eq!(try_letter(there, &good[..len]), (0, 0), "{len}");
    }
    let longer = [&good[..], &[0]].concat();
    assert_eq!(try_letter(there, &longer), (0, 0));
    for kind in [1, 2, 3, 255] {
        let mut other = good.to_vec();
        other[0] = kind;
        assert_eq!(try_letter(there, &other), (0, 0), "{kind}");
    }
    assert_eq!(try_letter(there, &good), (1, 1));
}
