//! A device that its owner lets be found: who is answered, how often, until when.

use super::*;
use crate::trust::{CloakState, NoteError, TrustState, sign_cloak, sign_transfer};
use crate::wire::identify::{Identification, PROBE_LEN, Probe};
use crate::wire::message::{NOTE_CLOAK, NOTE_TRANSFER, Note};
use std::vec::Vec;

const NOW_S: u64 = 1_800_000_000;
const EPOCH: u32 = 3;
const PROBE: Probe = Probe { nonce: [7; 8] };

fn signer(n: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[n; 32])
}

fn key() -> PublicKey {
    signer(100).public_key()
}

fn after(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

/// A device of key 1's, which knows no time.
fn device() -> Node {
    let provider = crypto::default_provider();
    let signer = Arc::new(signer(100));
    let mut node = Node::new(Config::default(), provider, signer, [100; 32], Time::ZERO).unwrap();
    let owner = self::signer(1).public_key();
    node.set_trust(TrustState::owned(owner, EPOCH), None, Time::ZERO).unwrap();
    node
}

fn statement(number: u64, for_s: u32) -> Vec<u8> {
    sign_cloak(&key(), EPOCH, number, NOW_S, for_s, &signer(1)).unwrap()
}

fn tell(node: &mut Node, kind: u8, body: Vec<u8>, now: Time) {
    let note = Note { request: 1, key: PublicKey([9; 32]), kind, body };
    node.on_session_message(ToNode::Note(note), now);
}

/// Takes the statement and stores what there is to store.
fn uncloak(node: &mut Node, number: u64, for_s: u32, now: Time) -> Option<Stored> {
    tell(node, NOTE_CLOAK, statement(number, for_s), now);
    let stored = node.poll_store();
    node.handle_stored(true, now);
    stored
}

fn events(node: &mut Node) -> Vec<Event> {
    core::iter::from_fn(|| node.poll_event()).collect()
}

const CLOAKED: Event = Event::Trust(TrustEvent::Cloaked);

fn uncloaked(left_s: u32) -> Event {
    Event::Trust(TrustEvent::Uncloaked { left_s })
}

/// Hands a datagram in; what is sent because of it.
fn ask_by(node: &mut Node, from: Path, datagram: &[u8], now: Time) -> Option<(Path, Vec<u8>)> {
    node.handle_datagram(from, Ecn::NotEct, &mut datagram.to_vec(), now);
    let mut buf = [0; 1500];
    let sent = node.poll_transmit(&mut buf, now)?;
    assert_eq!(node.poll_transmit(&mut [0; 1500], now), None, "one answer to one probe");
    Some((sent.path, buf[..sent.len].to_vec()))
}

fn is_answered(node: &mut Node, now: Time) -> bool {
    ask_by(node, path(9), &PROBE.encode(), now).is_some()
}

#[test]
fn nobody_is_answered_but_while_the_owner_says_so() {
    let mut node = device();
    assert!(!is_answered(&mut node, Time::ZERO));
    assert_eq!((node.poll_timeout(), node.uncloaked_for(Time::ZERO)), (None, None));
    let stored = uncloak(&mut node, 1, 60, Time::ZERO).expect("it is stored");
    let Stored::Cloak(stored) = stored else { panic!("in its own place") };
    assert_eq!(events(&mut node), [uncloaked(60)]);
    let (to, answer) = ask_by(&mut node, path(9), &PROBE.encode(), Time::ZERO).expect("an answer");
    assert_eq!(to, path(9));
    assert!(answer.len() <= PROBE_LEN);
    let told = Identification::parse(&answer).unwrap();
    assert_eq!((told.nonce, told.version, told.key), (PROBE.nonce, crate::wire::VERSION, key()));
    assert!(told.product.starts_with("librit "));
    // It ends by itself, to the moment, whether or not the timer was in time.
    assert_eq!(node.poll_timeout(), Some(after(60_000)));
    assert_eq!(node.uncloaked_for(after(59_999)), Some(Duration::from_millis(1)));
    node.handle_timeout(after(59_999));
    assert!(is_answered(&mut node, after(59_999)));
    assert!(!is_answered(&mut node, after(60_000)));
    node.handle_timeout(after(60_000));
    assert_eq!((events(&mut node), node.poll_timeout()), (vec![CLOAKED], None));
    assert!(!is_answered(&mut node, after(60_000)));
    // What it took, it takes once, and a restart cloaks.
    let state = CloakState::decode(node.provider(), &stored).unwrap();
    let mut again = device();
    again.set_cloak_state(state).unwrap();
    assert!(!is_answered(&mut again, Time::ZERO));
    assert_eq!(uncloak(&mut again, 1, 60, Time::ZERO), None);
    assert!(!is_answered(&mut again, Time::ZERO));
    assert!(uncloak(&mut again, 2, 60, Time::ZERO).is_some());
    assert!(is_answered(&mut again, Time::ZERO));
}

#[test]
fn what_is_not_stored_opens_nothing() {
    let mut node = device();
    tell(&mut node, NOTE_CLOAK, statement(1, 60), Time::ZERO);
    assert!(!is_answered(&mut node, Time::ZERO), "not yet");
    assert!(node.poll_store().is_some());
    node.handle_stored(false, Time::ZERO);
    assert!(!is_answered(&mut node, Time::ZERO) && events(&mut node).is_empty());
    assert!(uncloak(&mut node, 1, 60, Time::ZERO).is_some(), "its number is not used up");
    assert!(is_answered(&mut node, Time::ZERO));
}

#[test]
fn the_owner_cloaks_it_again() {
    let mut node = device();
    uncloak(&mut node, 1, 60, Time::ZERO);
    assert!(uncloak(&mut node, 2, 0, after(1)).is_some());
    assert_eq!(events(&mut node), [uncloaked(60), CLOAKED]);
    assert!(!is_answered(&mut node, after(1)));
    assert!(uncloak(&mut node, 3, 0, after(2)).is_some());
    assert_eq!(events(&mut node), [], "it was cloaked");
    // A later statement takes the place of the one before, be it shorter.
    uncloak(&mut node, 4, 60, after(3));
    uncloak(&mut node, 5, 1, after(4));
    assert_eq!(events(&mut node), [uncloaked(60), uncloaked(1)]);
    assert!(is_answered(&mut node, after(1003)) && !is_answered(&mut node, after(1004)));
}

#[test]
fn another_ownership_cloaks_at_once() {
    let mut node = device();
    uncloak(&mut node, 1, 60, Time::ZERO);
    let new = PublicKey([5; 32]);
    let transfer = sign_transfer(&key(), EPOCH, &new, &signer(1)).unwrap();
    tell(&mut node, NOTE_TRANSFER, transfer, Time::ZERO);
    let Some(Stored::Trust(_)) = node.poll_store() else { panic!("an owner is stored") };
    node.handle_stored(true, Time::ZERO);
    assert!(!is_answered(&mut node, Time::ZERO));
    assert_eq!(events(&mut node).last(), Some(&CLOAKED));
    assert_eq!(uncloak(&mut node, 2, 60, Time::ZERO), None, "not the former owner");
    let mut node = device();
    uncloak(&mut node, 1, 60, Time::ZERO);
    node.factory_reset().unwrap();
    assert!(node.poll_store().is_some());
    node.handle_stored(true, Time::ZERO);
    assert!(!is_answered(&mut node, Time::ZERO));
    assert!(events(&mut node).contains(&CLOAKED));
    assert_eq!(uncloak(&mut node, 2, 60, Time::ZERO), None, "nobody owns it");
}

#[test]
fn where_the_time_is_known_it_ends_by_the_owners_clock() {
    let mut node = device();
    node.set_wall_time(NOW_S + 50, Time::ZERO);
    uncloak(&mut node, 1, 60, Time::ZERO);
    assert_eq!(events(&mut node), [uncloaked(10)], "it was ten seconds from its end");
    assert_eq!(node.poll_timeout(), Some(after(10_000)));
    assert_eq!(uncloak(&mut node, 2, 50, Time::ZERO), None, "over");
    // From ahead, as far as that goes, it is no longer than it says.
    let mut node = device();
    node.set_wall_time(NOW_S - 300, Time::ZERO);
    uncloak(&mut node, 1, 60, Time::ZERO);
    assert_eq!(node.uncloaked_for(Time::ZERO), Some(Duration::from_secs(60)));
    node.set_wall_time(NOW_S - 301, Time::ZERO);
    assert_eq!(uncloak(&mut node, 2, 60, Time::ZERO), None, "ahead");
    // Whoever tells the time later ends it in time, too.
    let mut node = device();
    uncloak(&mut node, 1, 60, Time::ZERO);
    node.set_wall_time(NOW_S + 30, after(1000));
    assert_eq!(events(&mut node), [uncloaked(60), uncloaked(30)]);
    node.set_wall_time(NOW_S + 20, after(1000));
    assert_eq!((events(&mut node), node.poll_timeout()), (vec![], Some(after(31_000))));
    node.set_wall_time(NOW_S + 60, after(2000));
    assert_eq!(events(&mut node), [CLOAKED]);
    assert!(!is_answered(&mut node, after(2000)));
}

#[test]
fn so_many_answers_a_second() {
    let mut node = device();
    uncloak(&mut node, 1, 3600, Time::ZERO);
    let count = |node: &mut Node, ms: u64, times: u32| {
        (0..times).filter(|_| is_answered(node, after(ms))).count()
    };
    assert_eq!(count(&mut node, 0, 100), 10, "a burst");
    assert_eq!(count(&mut node, 99, 100), 0);
    assert_eq!(count(&mut node, 100, 100), 1);
    assert_eq!((1000..2000).map(|ms| count(&mut node, ms, 3)).sum::<usize>(), 9 + 9);
    assert_eq!(count(&mut node, 60_000, 100), 10, "not more after a pause");
    // Nor do more wait than that, if nobody fetches them.
    let now = after(120_000);
    for ms in 0..10_000 {
        node.handle_datagram(
            path(9),
            Ecn::NotEct,
            &mut PROBE.encode(),
            now + Duration::from_millis(ms),
        );
    }
    let mut sent = 0;
    while node.poll_transmit(&mut [0; 1500], after(130_000)).is_some() {
        sent += 1;
    }
    assert_eq!(sent, 10);
}

#[test]
fn nothing_but_a_probe_is_answered_nor_taken_where_probes_are_expected() {
    let mut node = device();
    let by = |socket: u16| Path { socket, ..path(9) };
    let dropped = |node: &Node| node.stats().datagrams_dropped;
    for (number, expected) in [(0, false), (1, true)] {
        if number > 0 {
            uncloak(&mut node, number, 60, Time::ZERO);
        }
        for socket in [0, 1, 512, Path::IDENTIFY] {
            let answer = ask_by(&mut node, by(socket), &PROBE.encode(), Time::ZERO);
            assert_eq!(answer.map(|(to, _)| to), expected.then_some(by(socket)));
        }
        assert!(ask_by(&mut node, by(Path::TLS), &PROBE.encode(), Time::ZERO).is_none());
        let before = dropped(&node);
        let mut count = 0;
        for at in [0, 4, 5, 14, 127] {
            let mut near = PROBE.encode();
            near[at] ^= 1;
            for socket in [0, Path::IDENTIFY] {
                assert_eq!(ask_by(&mut node, by(socket), &near, Time::ZERO), None);
                count += 1;
            }
        }
        for len in [0, 1, 127] {
            assert_eq!(ask_by(&mut node, by(0), &PROBE.encode()[..len], Time::ZERO), None);
            assert_eq!(
                ask_by(&mut node, by(Path::IDENTIFY), &[0x40; 100][..len.min(100)], Time::ZERO),
                None
            );
            count += 2;
        }
        assert_eq!(dropped(&node) - before, count, "each is dropped and counted");
    }
}

#[test]
fn who_obeys_no_owner_is_not_found() {
    let (mut world, _) = World::introduced();
    let mut node = world.nodes.remove(1);
    assert_eq!(node.set_cloak_state(CloakState::new()), Err(NodeError::State));
    tell(&mut node, NOTE_CLOAK, statement(1, 60), Time::ZERO);
    assert!(node.poll_store().is_none());
    node.handle_datagram(path(9), Ecn::NotEct, &mut PROBE.encode(), Time::ZERO);
    assert_eq!(node.uncloaked_for(Time::ZERO), None);
    assert_eq!(NoteError::Time.code(), 15);
}
