//! A broker that is the attacker's, with all that it ever stored or heard, and its keys: what it
//! still cannot do to a device that has an owner. Each attack is a test.

use rit_core::base::PublicKey;
use rit_core::crypto::{self, DirectionKeys, Secret, Suite, contact_secrets, session_secrets};
use rit_core::handshake::PeerPolicy;
use rit_core::node::{Event, Reason, TrustEvent};
use rit_core::transport::{Config, protect};
use rit_core::trust::{
    ClaimSecret, NoteError, Revocations, ServiceList, Terms, TrustState, append_grant, sign_claim,
    sign_transfer,
};
use rit_core::wire::message::{
    NOTE_CLAIM, NOTE_CLAIM_ASK, NOTE_CLAIM_NONCE, NOTE_CLAIMED, NOTE_REVOKED, NOTE_TRANSFER, Note,
    ToBroker, ToNode,
};
use rit_core::wire::packet::Header;
use rit_tests::sim::app::PLAINTEXT_MARKER;
use rit_tests::sim::endpoint::Endpoint;
use rit_tests::sim::estate::{Estate, SHELL, WEB, is_up, secret};
use rit_tests::sim::host::HostId;
use rit_tests::sim::hostile::{HostileBroker, Lies};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// All are online at a broker that does as it is told; the owner has claimed the device.
fn estate(seed: u64) -> Estate {
    let mut estate = unclaimed(seed);
    estate.claim();
    estate
}

fn unclaimed(seed: u64) -> Estate {
    Estate::with_broker(seed, HostileBroker::new([seed as u8; 32]))
}

fn broker(estate: &mut Estate) -> &mut HostileBroker {
    let id = estate.broker;
    estate.world.actor(id)
}

/// The broker says this to the device.
fn say(estate: &mut Estate, message: &ToNode) {
    let (device, id) = (estate.world.key(estate.device), estate.broker);
    assert!(broker(estate).say(&device, message), "the device has a link");
    estate.world.drain(id);
    estate.world.run_for(SECOND);
}

/// The broker gives the device a note, as if `from` had said it; what the device answered.
fn note(estate: &mut Estate, from: PublicKey, kind: u8, body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (device, request) = (estate.world.key(estate.device), 77_000);
    broker(estate).heard.clear();
    say(estate, &ToNode::Note(Note { request, key: from, kind, body: body.to_vec() }));
    let heard = std::mem::take(&mut broker(estate).heard);
    let answers = heard.into_iter().filter_map(|(key, message)| match message {
        ToBroker::Note(note) if key == device && note.request == request => {
            Some((note.kind, note.body))
        }
        _ => None,
    });
    answers.collect()
}

fn done(error: NoteError) -> Vec<(u8, Vec<u8>)> {
    vec![(7, vec![error.code()])]
}

/// What somebody sent to the device in a note of this kind.
fn overheard(estate: &mut Estate, kind: u8) -> Vec<u8> {
    let heard = &broker(estate).heard;
    let body = heard.iter().rev().find_map(|(_, message)| match message {
        ToBroker::Note(note) if note.kind == kind => Some(note.body.clone()),
        _ => None,
    });
    body.expect("it went through the broker")
}

#[test]
fn an_honest_word_by_the_same_actor_works() {
    let mut estate = estate(1);
    let chain = estate.grant(estate.user, |terms| terms.must_be_fresh = true);
    let session = estate.session(estate.user, &chain);
    assert!(estate.can_use(estate.user, session, WEB));
}

#[test]
fn it_cannot_open_a_session_to_a_claimed_device() {
    let mut estate = estate(2);
    let (owner, user) = (estate.world.key(estate.owner), estate.world.key(estate.user));
    let others = estate.grant(estate.user, |_| {});
    // As itself, with nothing, and with what is somebody else's.
    estate.no_session(estate.other, &[]);
    estate.no_session(estate.other, &others);
    // As the owner, or as who has a grant: the handshake shows that it is not.
    for (peer, chain) in [(owner, vec![]), (user, others)] {
        let chain = Some(chain);
        broker(&mut estate).lies = Lies { peer_at_responder: Some(peer), chain, ..Lies::default() };
        estate.no_session(estate.other, &[]);
    }
    broker(&mut estate).lies = Lies::default();
    // By somebody who knows the contact, and is no node.
    let accomplice = estate.world.add_actor(Endpoint::new([99; 32], Config::default()));
    let path = estate.world.path(accomplice);
    let (contact, offer) = broker(&mut estate).offer(owner, path, vec![]);
    say(&mut estate, &offer);
    let (now, device) = (estate.world.now, estate.world.path(estate.device));
    estate.world.actor::<Endpoint>(accomplice).open(&contact, device, PeerPolicy::Anyone, now);
    estate.world.drain(accomplice);
    estate.world.run_for(20 * SECOND);
    assert!(!estate.world.actor::<Endpoint>(accomplice).connections[0].is_established());
    assert!(!estate.world.host(estate.device).has_event(is_up), "{}", estate.events());
    // The device still serves whom it must.
    estate.session(estate.owner, &[]);
}

#[test]
fn it_cannot_widen_a_grant() {
    let mut estate = estate(3);
    let web = ServiceList::of(&[WEB]).expect("one name");
    let all = estate.terms(estate.user, |_| {});
    let narrow = Terms { services: web.services(), ..all };
    let chain = estate.append(&[], estate.owner, &narrow);
    // What it signs itself, or has the user sign, is not the owner's.
    let by_user = all.sign(&estate.world.signer(estate.user)).expect("it signs");
    let mut wider = vec![
        append_grant(&[], &by_user).expect("it fits"),
        append_grant(&chain, &by_user).expect("it fits"),
        [&chain[..], &[0]].concat(),
        chain[..chain.len() - 1].to_vec(),
        [&[0x82], &chain[1..], &chain[1..]].concat(),
    ];
    // Nor is what it changes, wherever.
    for at in (0..chain.len()).step_by(5) {
        let mut changed = chain.clone();
        changed[at] ^= 1 << (at % 8);
        wider.push(changed);
    }
    for chain in wider {
        broker(&mut estate).lies = Lies { chain: Some(chain), ..Lies::default() };
        estate.no_session(estate.user, &[]);
    }
    broker(&mut estate).lies = Lies::default();
    let session = estate.session(estate.user, &chain);
    assert!(estate.can_use(estate.user, session, WEB));
    assert!(!estate.can_use(estate.user, session, SHELL));
}

#[test]
fn it_cannot_undo_a_revocation_that_the_device_has_seen() {
    let mut estate = estate(4);
    let owner = estate.world.key(estate.owner);
    let chain = estate.grant(estate.user, |_| {});
    let revoked = estate.last_grant();
    assert_eq!(estate.revoke(1, &[]), Ok(0));
    let older = overheard(&mut estate, NOTE_REVOKED);
    assert_eq!(estate.revoke(2, &[revoked]), Ok(0));
    let attacks = |estate: &mut Estate| {
        assert_eq!(note(estate, owner, NOTE_REVOKED, &older), done(NoteError::Older));
        // An empty list of its own making, of any number.
        let device = estate.world.key(estate.device);
        let forged = Revocations { number: 9, ..Revocations::default() };
        let forged = forged.sign(&device, 1, 1, &estate.world.signer(estate.other));
        let forged = forged.expect("it signs");
        assert_eq!(note(estate, owner, NOTE_REVOKED, &forged), done(NoteError::NotOwner));
        // A time before the revocation, and its word that there is no list.
        broker(estate).lies = Lies { time_unix_s: Some(1), ..Lies::default() };
        estate.no_session(estate.user, &chain);
        assert_eq!(estate.state().revoked().number, 2);
    };
    attacks(&mut estate);
    // Nor by a restart.
    estate.restart_device();
    attacks(&mut estate);
}

#[test]
fn it_cannot_turn_back_the_time_that_the_device_knows() {
    let mut estate = estate(5);
    let until = estate.unix_s() + 100;
    let chain = estate.grant(estate.user, |terms| terms.expires_s = Some(until));
    let early = Lies { time_unix_s: Some(until - 50), ..Lies::default() };
    estate.world.run_for(200 * SECOND);
    // The integrator's clock says so.
    let now_s = estate.unix_s();
    estate.world.with(estate.device, |node, _, now| node.set_wall_time(now_s, now));
    broker(&mut estate).lies = early.clone();
    estate.no_session(estate.user, &chain);
    // The owner's list said so, before a restart without any clock.
    assert_eq!(estate.revoke(1, &[]), Ok(0));
    estate.restart_device();
    estate.no_session(estate.user, &chain);
    let fresh = estate.grant(estate.user, |terms| {
        (terms.expires_s, terms.must_be_fresh) = (Some(until), true);
    });
    estate.no_session(estate.user, &fresh);
}

#[test]
fn its_answers_from_before_are_no_fresh_word() {
    let mut estate = estate(6);
    let chain = estate.grant(estate.user, |terms| terms.must_be_fresh = true);
    estate.session(estate.user, &chain);
    // It kept its own answer, but the next question is another one.
    let device = estate.world.key(estate.device);
    let nonce = broker(&mut estate).heard.iter().find_map(|(_, message)| match message {
        ToBroker::TimeQuery { nonce } => Some(*nonce),
        _ => None,
    });
    let signer = estate.world.signer(estate.other);
    let now_s = estate.unix_s() + 62;
    estate.world.run_for(62 * SECOND);
    broker(&mut estate).lies = Lies { keeps_time: true, ..Lies::default() };
    let asked = estate.ask(estate.user, &chain);
    estate.world.run_for(SECOND);
    let nonce = nonce.expect("the device asked");
    let by_another = rit_core::trust::sign_time(&device, &nonce, now_s, 0, &signer);
    say(&mut estate, &ToNode::Time { statement: by_another.expect("it signs") });
    say(&mut estate, &ToNode::Time { statement: vec![0xd2; 100] });
    estate.world.run_for(20 * SECOND);
    assert!(estate.is_over(estate.user, asked), "{}", estate.events());
}

#[test]
fn it_cannot_read_a_byte() {
    let mut estate = estate(7);
    estate.world.capture = Some(Vec::new());
    let session = estate.session(estate.owner, &[]);
    assert!(estate.can_use(estate.owner, session, SHELL));
    let capture = estate.world.capture.take().expect("it is captured");
    let contacts = broker(&mut estate).contacts.clone();
    let contact = contacts.last().expect("it made the contact");
    let ends = [estate.world.path(estate.device), estate.world.path(estate.owner)];
    let between =
        |d: &&rit_tests::sim::net::Datagram| ends.contains(&d.src) && ends.contains(&d.dst);
    let datagrams: Vec<_> = capture.iter().map(|(_, d)| d).filter(between).collect();
    let (mut opened, mut sealed) = (0, 0);
    let keys = its_keys(&contact.key, &datagrams.iter().map(|d| &d.bytes[..]).collect::<Vec<_>>());
    for datagram in datagrams {
        let mut rest = &datagram.bytes[..];
        while let Ok(header) = Header::parse(rest) {
            let (packet, after) = rest.split_at(header.len);
            rest = after;
            let plain = keys.iter().find_map(|keys| {
                let mut packet = packet.to_vec();
                let plain = protect::open(keys, &header, &mut packet, 0).ok()?;
                Some(packet[plain.payload].to_vec())
            });
            match plain {
                // The handshake, which TLS protects: nothing of what is said.
                Some(plain) if header.is_long() => {
                    opened += 1;
                    for secret in [&PLAINTEXT_MARKER[..], SHELL.as_bytes()] {
                        assert!(!plain.windows(secret.len()).any(|w| w == secret));
                    }
                }
                Some(_) => panic!("it opened a packet of the session"),
                None => sealed += 1,
            }
        }
    }
    assert!(opened > 1 && sealed > 4, "{opened} opened, {sealed} sealed");
}

/// All keys that follow from what it knows: those of contact packets, and of 1-RTT packets with
/// what it could guess of TLS.
fn its_keys(contact: &Secret, datagrams: &[&[u8]]) -> Vec<DirectionKeys> {
    let p = crypto::default_provider();
    let headers = datagrams.iter().filter_map(|datagram| Header::parse(datagram).ok());
    let dcids = headers.filter(Header::is_long).map(|header| header.dcid);
    let mut secrets: Vec<(Secret, Secret)> =
        dcids.map(|dcid| contact_secrets(p, contact, dcid.as_bytes())).collect();
    for guess in [[0; 32], *contact.as_bytes()] {
        secrets.push(session_secrets(p, contact, &guess, &[0; 32]));
        secrets.push((Secret::new(guess), Secret::new(*contact.as_bytes())));
    }
    let suites = [Suite::CONTACT, Suite::Aes128Gcm, Suite::ChaCha20Poly1305];
    let both = secrets.iter().flat_map(|(one, other)| [one, other]);
    both.flat_map(|secret| suites.map(|suite| DirectionKeys::new(p, suite, secret))).collect()
}

#[test]
fn it_cannot_move_a_session_to_another_device() {
    let mut estate = estate(8);
    let (other, path) = (estate.world.key(estate.other), estate.world.path(estate.other));
    // The other one is a device too, and would take anybody.
    let owner = estate.world.key(estate.owner);
    estate.world.with(estate.other, |node, _, _| node.peer_allow(owner)).expect("there is room");
    for peer_at_initiator in [None, Some(other)] {
        // The right device is kept away, or it would look for the owner.
        broker(&mut estate).lies = Lies {
            peer_at_initiator,
            path_at_initiator: Some(path),
            has_two_keys: true,
            ..Lies::default()
        };
        let asked = estate.ask(estate.owner, &[]);
        // The other device is told to expect the owner by that very contact.
        estate.world.run_for(Duration::from_millis(60));
        let contact = broker(&mut estate).contacts.last().expect("it made one").clone();
        let path = estate.world.path(estate.owner);
        let (_, mut offer) = broker(&mut estate).offer(owner, path, vec![]);
        if let ToNode::Offer { contact_id, contact_key, .. } = &mut offer {
            (*contact_id, contact_key.0) = (contact.id, *contact.key.as_bytes());
        }
        let id = estate.broker;
        broker(&mut estate).say(&other, &offer);
        estate.world.drain(id);
        estate.world.run_for(30 * SECOND);
        assert!(estate.is_over(estate.owner, asked), "{}", estate.events());
        assert!(!estate.world.host(estate.owner).has_event(is_up), "{}", estate.events());
        assert!(!estate.world.host(estate.other).has_event(is_up), "{}", estate.events());
    }
    // A grant for one device says nothing to another, be the owner the same.
    let chain = estate.grant(estate.user, |_| {});
    let device = estate.world.key(estate.other);
    estate.world.with(estate.other, |node, _, now| {
        node.set_trust(TrustState::owned(owner, 1), None, now).expect("memory is not counted here");
    });
    broker(&mut estate).lies = Lies::default();
    let asked = estate.world.with(estate.user, |node, _, now| {
        node.session_open_with(device, &chain, now).expect("it is online")
    });
    estate.world.run_for(30 * SECOND);
    assert!(estate.is_over(estate.user, asked), "{}", estate.events());
}

/// Somebody's claim, as the broker can make it with a secret that it guesses.
fn forged_claim(estate: &mut Estate, by: HostId, secret: &ClaimSecret) -> Vec<(u8, Vec<u8>)> {
    let (device, claimant) = (estate.world.key(estate.device), estate.world.key(by));
    let asked = note(estate, claimant, NOTE_CLAIM_ASK, &[]);
    let [(NOTE_CLAIM_NONCE, nonce)] = &asked[..] else { return asked };
    let nonce = nonce[..].try_into().expect("sixteen bytes");
    let signer = estate.world.signer(by);
    let claim = sign_claim(crypto::default_provider(), &device, nonce, secret, &signer);
    note(estate, claimant, NOTE_CLAIM, &claim.expect("it signs"))
}

#[test]
fn it_cannot_claim_a_device_whose_secret_it_does_not_know() {
    let mut estate = unclaimed(9);
    let other = estate.other;
    for guess in 0..10 {
        let guess = ClaimSecret::new([guess; 15]);
        assert_eq!(forged_claim(&mut estate, other, &guess), done(NoteError::Proof));
    }
    // After that nobody may, until somebody is there.
    let right = secret();
    assert_eq!(forged_claim(&mut estate, other, &right), done(NoteError::Locked));
    assert_eq!(estate.state().owner(), None);
    let shown = estate.world.with(estate.device, |node, _, now| node.show_claim_code(now));
    assert!(shown.is_ok());
    assert_eq!(estate.claim(), 1);
}

#[test]
fn it_cannot_put_itself_between_owner_and_device() {
    let mut estate = unclaimed(10);
    let (device, other) = (estate.world.key(estate.device), estate.world.key(estate.other));
    broker(&mut estate).lies = Lies { keeps_notes: true, ..Lies::default() };
    let request = estate.world.with(estate.owner, |node, _, now| {
        node.claim_device(device, secret(), now).expect("it is online")
    });
    estate.world.run_for(SECOND);
    // The device's question, asked in another's name, goes to the owner.
    let asked = note(&mut estate, other, NOTE_CLAIM_ASK, &[]);
    let [(NOTE_CLAIM_NONCE, nonce)] = &asked[..] else { panic!("{asked:?}") };
    let (owner, id) = (estate.world.key(estate.owner), estate.broker);
    let to_owner = |estate: &mut Estate, kind, body: &[u8]| {
        let note = Note { request, key: device, kind, body: body.to_vec() };
        broker(estate).say(&owner, &ToNode::Note(note));
        estate.world.drain(id);
        estate.world.run_for(SECOND);
    };
    broker(&mut estate).heard.clear();
    to_owner(&mut estate, NOTE_CLAIM_NONCE, nonce);
    let claim = overheard(&mut estate, NOTE_CLAIM);
    // The proof is for that owner: under another signature it is wrong. One byte is the key's.
    let proof = claim.len() - 64 - 2 - 32;
    let signer = estate.world.signer(estate.other);
    let p = crypto::default_provider();
    let guess = sign_claim(p, &device, nonce[..].try_into().unwrap(), &secret_unknown(), &signer);
    let mut spliced = guess.expect("it signs");
    spliced[proof..proof + 32].copy_from_slice(&claim[proof..proof + 32]);
    assert_eq!(note(&mut estate, other, NOTE_CLAIM, &spliced), done(NoteError::Proof));
    // It answers itself: the owner finds that this is not the device.
    to_owner(&mut estate, NOTE_CLAIMED, &[&[0x82, 1, 0x58, 32][..], &[7; 32]].concat());
    let refused = TrustEvent::ClaimRefused { request, device, error: NoteError::Proof };
    assert_eq!(estate.trust_events(estate.owner), [refused]);
    assert_eq!(estate.state().owner(), None);
}

fn secret_unknown() -> ClaimSecret {
    ClaimSecret::new([1; 15])
}

#[test]
fn it_cannot_replay_a_claim() {
    let mut estate = unclaimed(11);
    estate.claim();
    let owner = estate.world.key(estate.owner);
    let claim = overheard(&mut estate, NOTE_CLAIM);
    assert_eq!(note(&mut estate, owner, NOTE_CLAIM, &claim), done(NoteError::Claimed));
    estate.world.with(estate.device, |node, _, _| node.factory_reset()).expect("nothing waits");
    estate.world.run_for(SECOND);
    assert_eq!(note(&mut estate, owner, NOTE_CLAIM, &claim), done(NoteError::Nonce));
    // Nor after a new question.
    note(&mut estate, owner, NOTE_CLAIM_ASK, &[]);
    assert_eq!(note(&mut estate, owner, NOTE_CLAIM, &claim), done(NoteError::Nonce));
    assert_eq!(estate.state().owner(), None);
}

#[test]
fn it_cannot_replay_or_forge_a_transfer() {
    let mut estate = estate(12);
    let (owner, device) = (estate.world.key(estate.owner), estate.world.key(estate.device));
    let other = estate.world.key(estate.other);
    let forged = sign_transfer(&device, 1, &other, &estate.world.signer(estate.other));
    let forged = forged.expect("it signs");
    assert_eq!(note(&mut estate, owner, NOTE_TRANSFER, &forged), done(NoteError::NotOwner));
    assert_eq!(estate.transfer(estate.user), Ok(0));
    let statement = overheard(&mut estate, NOTE_TRANSFER);
    assert_eq!(note(&mut estate, owner, NOTE_TRANSFER, &statement), done(NoteError::NotOwner));
    // The user gives it back: the same statement is of an ownership that is over.
    let back = sign_transfer(&device, 2, &owner, &estate.world.signer(estate.user));
    let user = estate.world.key(estate.user);
    let back = back.expect("it signs");
    assert_eq!(note(&mut estate, user, NOTE_TRANSFER, &back), vec![(7, vec![0])]);
    assert_eq!(estate.state().owner(), Some(&owner));
    assert_eq!(note(&mut estate, owner, NOTE_TRANSFER, &statement), done(NoteError::Epoch));
    let another = sign_transfer(&other, 3, &other, &estate.world.signer(estate.owner));
    let another = another.expect("it signs");
    assert_eq!(note(&mut estate, owner, NOTE_TRANSFER, &another), done(NoteError::Device));
}

#[test]
fn whatever_it_says_in_notes_changes_nothing() {
    let mut estate = estate(13);
    let before = estate.state().clone();
    let owner = estate.world.key(estate.owner);
    let list = estate.list(1, &[], &[]);
    let transfer = estate.transfer_to(estate.other);
    for (kind, statement) in [(NOTE_REVOKED, &transfer), (NOTE_TRANSFER, &list)] {
        assert_eq!(note(&mut estate, owner, kind, statement), done(NoteError::Malformed));
    }
    for (kind, statement) in [(NOTE_REVOKED, &list), (NOTE_TRANSFER, &transfer)] {
        for at in (0..statement.len()).step_by(3) {
            let mut changed = statement.clone();
            changed[at] ^= 1 << (at % 8);
            let answer = note(&mut estate, owner, kind, &changed);
            assert!(matches!(&answer[..], [(7, body)] if body[0] != 0), "{at}: {answer:?}");
        }
    }
    for kind in 0..=u8::MAX {
        note(&mut estate, owner, kind, &[0xff; 40]);
    }
    assert_eq!(estate.state(), &before);
    estate.session(estate.owner, &[]);
}

#[test]
fn it_can_only_keep_things_back() {
    let mut estate = estate(14);
    let chain = estate.grant(estate.user, |_| {});
    let session = estate.session(estate.user, &chain);
    broker(&mut estate).lies = Lies { keeps_notes: true, ..Lies::default() };
    let device = estate.world.key(estate.device);
    let list = estate.list(1, &[estate.last_grant()], &[]);
    let request = estate.world.with(estate.owner, |node, _, now| {
        node.send_note(device, NOTE_REVOKED, &list, now).expect("it is online")
    });
    let failed = TrustEvent::NoteFailed { request, reason: Reason::TimedOut };
    estate
        .expect(estate.owner, "the end of waiting", |event| *event == Event::Trust(failed.clone()));
    assert!(!estate.is_over(estate.user, session));
    assert!(estate.can_use(estate.user, session, WEB));
}
