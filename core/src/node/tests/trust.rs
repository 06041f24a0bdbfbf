//! What a device makes of the chains in offers, through the whole of the node: each that is not
//! right to the last bit lets nobody come.

use super::*;
use crate::trust::{
    CHAIN_LEN_MAX, GrantId, Revocations, Rights, ServiceList, Services, Terms, TrustState,
    append_grant,
};
use crate::wire::message::{NOTE_REVOKED, Note};
use proptest::prelude::*;
use std::vec::Vec;

const NOW_S: u64 = 1_800_000_000;
const EPOCH: u32 = 3;
const OWNER: u8 = 1;
/// The first of those to whom the owner grants, and who pass it on one to the next.
const FIRST: u8 = 2;

fn signer(n: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[n; 32])
}

fn name(n: u8) -> PublicKey {
    signer(n).public_key()
}

/// A device that knows the time and obeys key 1.
fn device() -> Node {
    let provider = crypto::default_provider();
    let signer = Arc::new(signer(100));
    let mut node = Node::new(Config::default(), provider, signer, [100; 32], Time::ZERO).unwrap();
    node.set_trust(TrustState::owned(name(OWNER), EPOCH), None, Time::ZERO).unwrap();
    node.set_wall_time(NOW_S, Time::ZERO);
    node
}

fn offer(peer: PublicKey, n: u8, chain: Vec<u8>) -> ToNode {
    ToNode::Offer {
        request: 0,
        role: Side::Responder,
        contact_id: ContactId([n; 8]),
        contact_key: ContactKey([n; 32]),
        lifetime_s: 60,
        peer,
        candidates: vec![path(9)],
        services: vec![],
        relays: vec![],
        mapping: 0,
        chain,
    }
}

/// Whether the device would take a first packet of `peer` with this chain.
fn is_let(peer: PublicKey, chain: &[u8]) -> bool {
    let mut device = device();
    device.on_session_message(offer(peer, 1, chain.to_vec()), Which::Broker, Time::ZERO);
    device.endpoint.contact_count() == 1
}

/// All of the device, to be passed on, for an hour around now.
fn terms(subject: u8) -> Terms<'static> {
    Terms {
        device: name(100),
        subject: name(subject),
        id: GrantId([subject; 16]),
        issued_s: NOW_S,
        not_before_s: Some(NOW_S - 1800),
        expires_s: Some(NOW_S + 1800),
        epoch: EPOCH,
        rights: Rights::ALL,
        depth: 3,
        must_be_fresh: false,
        services: Services::ALL,
    }
}

/// Grants of these terms, each by the key before its subject's.
fn chain_of(links: &[Terms<'_>]) -> Vec<u8> {
    let grants = links.iter().enumerate().map(|(n, terms)| terms.sign(&signer(OWNER + n as u8)));
    grants.fold(Vec::new(), |chain, grant| append_grant(&chain, &grant.unwrap()).unwrap())
}

/// As many links, each as wide as it may be.
fn links(count: u8) -> Vec<Terms<'static>> {
    (0..count).map(|n| Terms { depth: 3 - n, ..terms(FIRST + n) }).collect()
}

#[test]
fn the_owner_and_each_subject_of_a_good_chain_are_let() {
    assert!(is_let(name(OWNER), &[]));
    assert!(is_let(name(OWNER), &[0xff; 10]), "the owner needs no chain, whatever it is");
    for count in 1..=4 {
        assert!(is_let(name(OWNER + count), &chain_of(&links(count))), "{count}");
    }
}

#[test]
fn what_is_not_so_in_one_grant_refuses_the_peer() {
    let bad: &[fn(&mut Terms<'_>)] = &[
        |terms| terms.device = name(OWNER),
        |terms| terms.subject = name(OWNER),
        |terms| terms.epoch = EPOCH - 1,
        |terms| terms.epoch = EPOCH + 1,
        |terms| terms.expires_s = Some(NOW_S),
        |terms| terms.not_before_s = Some(NOW_S + 1),
        |terms| terms.must_be_fresh = true,
    ];
    for change in bad {
        let mut one = terms(FIRST);
        change(&mut one);
        assert!(!is_let(name(FIRST), &chain_of(&[one])), "{one:?}");
    }
    let mut edge = terms(FIRST);
    (edge.not_before_s, edge.expires_s) = (Some(NOW_S), Some(NOW_S + 1));
    assert!(is_let(name(FIRST), &chain_of(&[edge])));
}

#[test]
fn no_link_widens_the_one_before() {
    let narrow = ServiceList::of(&["web"]).unwrap();
    let first = Terms {
        services: narrow.services(),
        rights: Rights::USE.and(Rights::SHARE),
        depth: 1,
        ..terms(FIRST)
    };
    let second = Terms { depth: 0, rights: Rights::USE, ..first };
    let second = Terms { subject: name(FIRST + 1), id: GrantId([9; 16]), ..second };
    assert!(is_let(name(FIRST + 1), &chain_of(&[first, second])));
    let wide = ServiceList::of(&["shell", "web"]).unwrap();
    let until = |terms: &Terms<'_>, by: i64| terms.expires_s.and_then(|s| s.checked_add_signed(by));
    for wider in [
        Terms { services: wide.services(), ..second },
        Terms { services: Services::ALL, ..second },
        Terms { rights: Rights::MANAGE, ..second },
        Terms { depth: 1, ..second },
        Terms { expires_s: None, ..second },
        Terms { expires_s: until(&first, 1), ..second },
        Terms { not_before_s: None, ..second },
        Terms { not_before_s: first.not_before_s.map(|s| s - 1), ..second },
    ] {
        assert!(!is_let(name(FIRST + 1), &chain_of(&[first, wider])), "{wider:?}");
    }
    for kept in [Terms { depth: 0, ..first }, Terms { rights: Rights::USE, ..first }] {
        assert!(!is_let(name(FIRST + 1), &chain_of(&[kept, second])), "{kept:?}");
    }
}

#[test]
fn the_order_of_links_and_their_number_matter() {
    let grants: Vec<Vec<u8>> = links(4)
        .iter()
        .enumerate()
        .map(|(n, terms)| terms.sign(&signer(OWNER + n as u8)).unwrap())
        .collect();
    let raw = |count: u8, which: &[usize]| {
        let grants: Vec<&[u8]> = which.iter().map(|at| &grants[*at][..]).collect();
        [&[0x80 | count][..], &grants.concat()].concat()
    };
    let last = name(FIRST + 3);
    assert!(is_let(last, &raw(4, &[0, 1, 2, 3])));
    for which in [&[1, 0, 2, 3][..], &[0, 2, 1, 3], &[0, 1, 3], &[1, 2, 3], &[3], &[3, 2, 1, 0]] {
        assert!(!is_let(last, &raw(which.len() as u8, which)), "{which:?}");
    }
    for which in [&[0, 1, 2, 3, 3][..], &[0, 0, 1, 2, 3], &[0, 1, 2, 3, 0]] {
        assert!(!is_let(last, &raw(5, which)), "five grants: {which:?}");
        assert!(!is_let(last, &raw(4, which)), "more than it says: {which:?}");
    }
    assert!(!is_let(last, &raw(5, &[0, 1, 2, 3])), "fewer than it says");
    assert!(!is_let(last, &raw(0, &[])));
    // A list of unknown length, and one whose length is longer than need be.
    let whole = raw(4, &[0, 1, 2, 3]);
    assert!(!is_let(last, &[&[0x9f], &whole[1..], &[0xff]].concat()));
    assert!(!is_let(last, &[&[0x98, 4], &whole[1..]].concat()));
    // Nobody in the middle comes by a chain that goes on.
    for n in 0..3 {
        assert!(!is_let(name(FIRST + n), &whole));
    }
}

#[test]
fn a_chain_is_as_long_as_a_chain_may_be() {
    let of_len = |count: usize, longer: usize| {
        let name = |n: usize| std::format!("{n:02}{}", "a".repeat(58));
        let mut names: Vec<String> = (0..count).map(name).collect();
        names.push("z".repeat(longer));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let services = ServiceList::of(&names).unwrap();
        let all: Vec<Terms<'_>> = links(3)
            .into_iter()
            .map(|terms| Terms { services: services.services(), ..terms })
            .collect();
        let grants = all.iter().enumerate().map(|(n, t)| t.sign(&signer(OWNER + n as u8)).unwrap());
        [vec![0x83], grants.collect::<Vec<_>>().concat()].concat()
    };
    // One byte in each of three grants makes three.
    let (mut at, mut over) = (None, None);
    for (count, longer) in (4..=8).flat_map(|count| (1..=60).map(move |longer| (count, longer))) {
        let chain = of_len(count, longer);
        match chain.len() {
            2046..=CHAIN_LEN_MAX => at = Some(chain),
            2049..=2051 => over = Some(chain),
            _ => {}
        }
    }
    let last = name(FIRST + 2);
    assert!(is_let(last, &at.expect("there is one of that length")));
    assert!(!is_let(last, &over.expect("there is one of that length")));
}

/// 2²⁵² + 27742317777372353535851937790883648493, the order of the group, lowest byte first.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[test]
fn no_other_bytes_are_the_same_signature() {
    let chain = chain_of(&[terms(FIRST)]);
    let s_at = chain.len() - 32;
    let mut other = chain.clone();
    let mut carry = 0;
    for (byte, add) in other[s_at..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0);
    assert!(is_let(name(FIRST), &chain));
    assert!(!is_let(name(FIRST), &other));
}

#[test]
fn what_is_revoked_before_the_first_packet_does_not_come() {
    let mut device = device();
    let peer = name(FIRST);
    device.on_session_message(offer(peer, 1, chain_of(&[terms(FIRST)])), Which::Broker, Time::ZERO);
    assert!(device.is_welcome(&ContactId([1; 8]), &peer, Time::ZERO));
    assert!(!device.is_welcome(&ContactId([2; 8]), &peer, Time::ZERO));
    let later = Time::ZERO + Duration::from_secs(1800);
    assert!(!device.is_welcome(&ContactId([1; 8]), &peer, later), "it has expired by then");
    let list = Revocations { number: 1, ids: vec![GrantId([FIRST; 16])], ..Revocations::default() };
    let list = list.sign(&name(100), EPOCH, NOW_S, &signer(OWNER)).unwrap();
    let note = Note { request: 1, key: name(9), kind: NOTE_REVOKED, body: list };
    device.on_session_message(ToNode::Note(note), Which::Broker, Time::ZERO);
    assert!(device.is_welcome(&ContactId([1; 8]), &peer, Time::ZERO), "it is not stored yet");
    assert!(device.poll_store().is_some());
    assert_eq!(device.poll_store(), None, "told once");
    device.handle_stored(true, Time::ZERO);
    assert!(!device.is_welcome(&ContactId([1; 8]), &peer, Time::ZERO));
}

#[test]
fn without_a_state_only_the_list_counts() {
    let provider = crypto::default_provider();
    let mut node =
        Node::new(Config::default(), provider, Arc::new(signer(100)), [100; 32], Time::ZERO)
            .unwrap();
    node.on_session_message(
        offer(name(FIRST), 1, chain_of(&[terms(FIRST)])),
        Which::Broker,
        Time::ZERO,
    );
    assert_eq!(node.endpoint.contact_count(), 0);
    assert_eq!(node.factory_reset(), Err(NodeError::State));
    assert_eq!(node.show_claim_code(Time::ZERO).map(|_| ()), Err(NodeError::State));
    assert_eq!(node.poll_store(), None);
    node.handle_stored(true, Time::ZERO);
    node.peer_allow(name(FIRST)).unwrap();
    node.on_session_message(offer(name(FIRST), 1, vec![]), Which::Broker, Time::ZERO);
    assert_eq!(node.endpoint.contact_count(), 1);
}

#[test]
fn what_cannot_be_said() {
    let mut device = device();
    let long = vec![0; CHAIN_LEN_MAX + 1];
    let now = Time::ZERO;
    assert_eq!(device.send_note(name(1), 1, &[0; 2049], now), Err(NodeError::Argument));
    assert_eq!(device.send_note(name(1), 1, &[], now), Err(NodeError::Offline));
    let (mut world, _) = World::introduced();
    let other = world.nodes[0].public_key();
    assert_eq!(world.nodes[1].session_open_with(other, &long, now), Err(NodeError::Argument));
    for _ in 0..NOTES_MAX {
        assert!(world.nodes[1].send_note(other, 200, &[], world.now).is_ok());
    }
    let over = world.nodes[1].send_note(other, 200, &[], world.now);
    assert_eq!(over, Err(NodeError::Limit));
}

#[test]
fn a_flood_of_notes_ends_no_link() {
    let (mut world, _) = World::session_up();
    let (device, now) = (world.nodes[0].public_key(), world.now);
    for request in 1..=200 {
        world.broker.send_note(&device, request, 200, vec![0; 2048], now).unwrap();
    }
    let later = now + Duration::from_secs(60);
    world.run_until(|world| world.now >= later);
    let is_offline = |event: &Event| matches!(event, Event::BrokerOffline(_));
    assert!(!world.events[0].iter().any(is_offline), "{:?}", world.events[0]);
    // What came of it was answered.
    let mut answers = 0;
    while let Some(event) = world.broker.poll_event() {
        answers += u32::from(matches!(event, crate::broker::BrokerEvent::Note { .. }));
    }
    assert!((1..200).contains(&answers), "{answers}");
}

proptest! {
    /// Whatever is changed in a chain, nobody is let who was not by the chain as it was.
    #[test]
    fn a_changed_chain_lets_nobody(
        count in 1..=3u8,
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
        what in 0..4,
    ) {
        let chain = chain_of(&links(count));
        let at = at.index(chain.len());
        let mut changed = chain.clone();
        match what {
            0 => changed[at] ^= 1 << bit,
            1 => changed.truncate(at),
            2 => changed.insert(at, bit),
            _ => drop(changed.remove(at)),
        }
        if changed != chain {
            for peer in OWNER + 1..=OWNER + 4 {
                prop_assert!(!is_let(name(peer), &changed));
            }
        }
    }
}
