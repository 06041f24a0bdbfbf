//! A device that its owner lets be found, through a broker that may be against it.

use rit_core::base::Path;
use rit_core::node::{Event, TrustEvent};
use rit_core::trust::{NoteError, sign_cloak};
use rit_core::wire::identify::{Identification, PROBE_LEN, Probe};
use rit_core::wire::message::NOTE_CLOAK;
use rit_tests::sim::estate::Estate;
use rit_tests::sim::host::Disk;
use std::time::Duration;

const PROBE: Probe = Probe { nonce: *b"inventry" };

fn stranger() -> Path {
    Path::v4([203, 0, 113, 9], 4444)
}

fn estate(seed: u64) -> Estate {
    let mut estate = Estate::claimed(seed);
    estate.world.capture = Some(Vec::new());
    estate.forget();
    estate
}

/// Sends so many probes to the device, and gives what came of them within a second.
fn probe(estate: &mut Estate, count: usize) -> Vec<Vec<u8>> {
    estate.world.capture = Some(Vec::new());
    for _ in 0..count {
        estate.world.inject(stranger(), estate.device, &PROBE.encode());
    }
    estate.world.run_for(Duration::from_millis(90));
    let capture = estate.world.capture.as_ref().expect("captures");
    let answers = capture.iter().filter(|(_, datagram)| datagram.dst == stranger());
    answers.map(|(_, datagram)| datagram.bytes.clone()).collect()
}

fn is_found(estate: &mut Estate) -> bool {
    let answers = probe(estate, 1);
    let key = estate.world.key(estate.device);
    for answer in &answers {
        let told = Identification::parse(answer).expect("an identification");
        assert_eq!((told.key, told.nonce), (key, PROBE.nonce));
    }
    assert!(answers.len() <= 1, "{} answers to one probe", answers.len());
    answers.len() == 1
}

fn cloak_events(estate: &Estate) -> Vec<TrustEvent> {
    estate.trust_events(estate.device)
}

#[test]
fn it_is_found_while_the_owner_says_so() {
    let mut estate = estate(1);
    assert!(!is_found(&mut estate));
    assert_eq!(estate.uncloak(1, 60), Ok(0));
    assert!(is_found(&mut estate));
    let opened = cloak_events(&estate);
    assert!(matches!(opened[..], [TrustEvent::Uncloaked { left_s: 59 | 60 }]), "{opened:?}");
    estate.world.run_for(Duration::from_secs(57));
    assert!(is_found(&mut estate));
    estate.world.run_for(Duration::from_secs(4));
    assert!(!is_found(&mut estate));
    assert_eq!(cloak_events(&estate).last(), Some(&TrustEvent::Cloaked), "told by itself");
    // Sessions are what they were.
    let session = estate.session(estate.owner, &[]);
    assert!(estate.can_use(estate.owner, session, rit_tests::sim::estate::WEB));
}

#[test]
fn a_flood_is_answered_ten_times_a_second_and_with_fewer_bytes() {
    let mut estate = estate(2);
    assert_eq!(estate.uncloak(1, 600), Ok(0));
    let mut answers = Vec::new();
    for _ in 0..110 {
        answers.extend(probe(&mut estate, 50)); // 9.9 s in all
    }
    assert!((100..=110).contains(&answers.len()), "{}", answers.len());
    assert!(answers.iter().all(|answer| answer.len() <= PROBE_LEN));
}

#[test]
fn a_restart_cloaks_and_what_was_said_works_no_second_time() {
    let mut estate = estate(3);
    let statement = estate.cloak_off(1, 3600);
    assert_eq!(estate.note(estate.owner, NOTE_CLOAK, &statement), Ok(0));
    assert!(is_found(&mut estate));
    estate.restart_device();
    assert!(!is_found(&mut estate));
    // Whoever has seen it may say it again, the broker among them.
    for host in [estate.owner, estate.user] {
        let again = estate.note(host, NOTE_CLOAK, &statement);
        assert_eq!(again, Ok(NoteError::Older.code()));
    }
    assert!(!is_found(&mut estate));
    assert_eq!(estate.uncloak(2, 60), Ok(0));
    assert!(is_found(&mut estate));
}

#[test]
fn what_was_kept_back_is_over_where_the_time_is_known() {
    let mut estate = estate(4);
    let statement = estate.cloak_off(1, 60);
    estate.world.run_for(Duration::from_secs(61));
    let late = estate.note(estate.user, NOTE_CLOAK, &statement);
    assert_eq!(late, Ok(NoteError::Time.code()));
    // And where a later one was said, in any case.
    let statement = estate.cloak_off(2, 3600);
    assert_eq!(estate.uncloak(3, 0), Ok(0));
    assert_eq!(estate.note(estate.user, NOTE_CLOAK, &statement), Ok(NoteError::Older.code()));
    assert!(!is_found(&mut estate));
}

#[test]
fn nobody_but_the_owner_of_this_ownership() {
    let mut estate = estate(5);
    let (device, now_s) = (estate.world.key(estate.device), estate.unix_s());
    let by = |estate: &Estate, host, epoch, device| {
        sign_cloak(&device, epoch, 1, now_s, 60, &estate.world.signer(host)).expect("it signs")
    };
    let (owner, user) = (estate.owner, estate.user);
    let cases = [
        (by(&estate, user, 1, device), NoteError::NotOwner),
        (by(&estate, owner, 2, device), NoteError::Epoch),
        (by(&estate, owner, 1, estate.world.key(user)), NoteError::Device),
        (vec![0; 10], NoteError::Malformed),
    ];
    for (statement, error) in cases {
        assert_eq!(estate.note(owner, NOTE_CLOAK, &statement), Ok(error.code()));
    }
    assert!(!is_found(&mut estate));
    assert_eq!(cloak_events(&estate), []);
    let anybody = estate.world.key(user);
    let asked = estate.world.with(owner, |node, _, now| {
        node.send_note(anybody, NOTE_CLOAK, &[], now).expect("a note can be sent")
    });
    let is_answer = |event: &Event| {
        let Event::Trust(TrustEvent::NoteAnswered { request, body, .. }) = event else {
            return false;
        };
        *request == asked && *body == [NoteError::NoOwners.code()]
    };
    estate.expect(owner, "an answer of who obeys nobody", is_answer);
}

#[test]
fn another_owner_and_a_reset_cloak_at_once() {
    let mut estate = estate(6);
    assert_eq!(estate.uncloak(1, 3600), Ok(0));
    assert!(is_found(&mut estate));
    assert_eq!(estate.transfer(estate.user), Ok(0));
    assert!(!is_found(&mut estate));
    let late = estate.cloak_off(2, 3600);
    assert_eq!(estate.note(estate.owner, NOTE_CLOAK, &late), Ok(NoteError::NotOwner.code()));
    // The numbers of the one before are not the next one's concern.
    let (device, epoch) = (estate.world.key(estate.device), estate.state().epoch());
    let by_user = |estate: &Estate, number| {
        let signer = estate.world.signer(estate.user);
        sign_cloak(&device, epoch, number, estate.unix_s(), 3600, &signer).expect("it signs")
    };
    let statement = by_user(&estate, 1);
    assert_eq!(estate.note(estate.user, NOTE_CLOAK, &statement), Ok(0));
    assert!(is_found(&mut estate));
    estate.world.with(estate.device, |node, _, _| node.factory_reset()).expect("nothing waits");
    assert!(!is_found(&mut estate));
    let statement = by_user(&estate, 2);
    let unclaimed = estate.note(estate.user, NOTE_CLOAK, &statement);
    assert_eq!(unclaimed, Ok(NoteError::Unclaimed.code()));
}

#[test]
fn it_is_stored_first() {
    let mut estate = estate(7);
    estate.set_disk(Disk::Fails);
    assert_eq!(estate.uncloak(1, 60), Ok(NoteError::Store.code()));
    assert!(!is_found(&mut estate));
    estate.set_disk(Disk::Waits);
    let statement = estate.cloak_off(1, 60);
    let device = estate.world.key(estate.device);
    estate.world.with(estate.owner, |node, _, now| {
        node.send_note(device, NOTE_CLOAK, &statement, now).expect("a note can be sent")
    });
    estate.world.run_for(Duration::from_secs(1));
    assert!(!is_found(&mut estate), "not yet");
    assert_eq!(estate.revoke(1, &[]), Ok(NoteError::Busy.code()), "one change at a time");
    estate.set_disk(Disk::Works);
    estate.world.with(estate.device, |node, _, now| node.handle_stored(true, now));
    assert!(is_found(&mut estate));
}
