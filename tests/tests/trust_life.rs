//! The life of a device with an owner: claimed, shared, passed on, taken back, given away.

use rit_core::base::PublicKey;
use rit_core::node::{CLAIM_CODE_TIME, Event, Reason, TrustEvent};
use rit_core::trust::{ClaimCode, NoteError, Rights, ServiceList, Services};
use rit_core::wire::message::{NOTE_CLAIM, NOTE_REVOKED, NOTE_TRANSFER};
use rit_tests::sim::estate::{Estate, SHELL, WEB, is_down, secret};
use rit_tests::sim::host::Disk;
use std::time::Duration;

fn is_not_permitted(event: &Event) -> bool {
    matches!(event, Event::SessionDown { reason: Reason::NotPermitted, .. })
}

#[test]
fn nobody_uses_a_device_without_owner() {
    let mut estate = Estate::new(1);
    estate.no_session(estate.owner, &[]);
    estate.no_session(estate.user, &[]);
}

#[test]
fn whoever_knows_the_secret_becomes_the_owner_and_may_everything() {
    let mut estate = Estate::new(2);
    assert_eq!(estate.claim(), 1);
    let owner = estate.world.key(estate.owner);
    assert_eq!(estate.trust_events(estate.device), [TrustEvent::Claimed { owner, epoch: 1 }]);
    assert_eq!(estate.state().owner(), Some(&owner));
    let session = estate.session(estate.owner, &[]);
    assert!(estate.can_use(estate.owner, session, WEB));
    assert!(estate.can_use(estate.owner, session, SHELL));
    // The broker knows it, for whoever asks there.
    let key = estate.world.key(estate.device);
    let row = estate.world.store(estate.broker).trust[&key].clone();
    assert_eq!((row.owner, row.epoch), (Some(owner), 1));
    // Once only.
    let refused = estate.claim_by(estate.user, secret());
    assert!(
        matches!(refused, Err(TrustEvent::ClaimRefused { error: NoteError::Claimed, .. })),
        "{refused:?}"
    );
}

#[test]
fn a_claim_code_is_as_good_as_the_secret_while_it_is_shown() {
    let mut estate = Estate::new(3);
    let show = |estate: &mut Estate| {
        let text = estate.world.with(estate.device, |node, _, now| node.show_claim_code(now));
        let code = ClaimCode::from_text(&text.expect("nobody owns it")).expect("it is a code");
        code.secret(rit_core::crypto::default_provider())
    };
    let is_wrong = |refused: &Result<u32, TrustEvent>| {
        matches!(refused, Err(TrustEvent::ClaimRefused { error: NoteError::Proof, .. }))
    };
    let (first, second) = (show(&mut estate), show(&mut estate));
    let refused = estate.claim_by(estate.user, first);
    assert!(is_wrong(&refused), "only the last one counts: {refused:?}");
    estate.world.run_for(CLAIM_CODE_TIME);
    let refused = estate.claim_by(estate.user, second);
    assert!(is_wrong(&refused), "not for longer: {refused:?}");
    let third = show(&mut estate);
    assert_eq!(estate.claim_by(estate.owner, third.clone()), Ok(1));
    estate.world.with(estate.device, |node, _, _| node.factory_reset()).expect("nothing waits");
    let refused = estate.claim_by(estate.user, third);
    assert!(is_wrong(&refused), "not twice: {refused:?}");
    let shown = estate.world.with(estate.device, |node, _, now| node.show_claim_code(now));
    assert!(shown.is_ok());
    estate.world.with(estate.device, |node, _, _| node.hide_claim_code());
}

#[test]
fn a_grant_opens_what_it_names_and_nothing_else() {
    let mut estate = Estate::claimed(4);
    estate.no_session(estate.user, &[]);
    let web = ServiceList::of(&[WEB]).expect("one name");
    let mut terms = estate.terms(estate.user, |_| {});
    terms.services = Services::ALL;
    let chain = estate.append(
        &[],
        estate.owner,
        &rit_core::trust::Terms { services: web.services(), ..terms },
    );
    let session = estate.session(estate.user, &chain);
    assert!(estate.can_use(estate.user, session, WEB));
    assert!(!estate.can_use(estate.user, session, SHELL));
    assert!(!estate.can_use(estate.user, session, "unknown"));
    // It is for nobody else.
    estate.no_session(estate.other, &chain);
}

#[test]
fn who_may_share_passes_on_and_nobody_else() {
    let mut estate = Estate::claimed(5);
    let shared = estate.grant(estate.user, |terms| {
        (terms.rights, terms.depth) = (Rights::USE.and(Rights::SHARE), 1);
    });
    let passed_on = estate.terms(estate.other, |_| {});
    let chain = estate.append(&shared, estate.user, &passed_on);
    let session = estate.session(estate.other, &chain);
    assert!(estate.can_use(estate.other, session, WEB));
    let kept = estate.grant(estate.user, |_| {});
    let taken = estate.append(&kept, estate.user, &passed_on);
    estate.no_session(estate.other, &taken);
}

#[test]
fn a_session_ends_when_its_grant_expires() {
    let mut estate = Estate::claimed(6);
    let until = estate.unix_s() + 60;
    let short = estate.grant(estate.user, |terms| terms.expires_s = Some(until));
    let long = estate.grant(estate.other, |_| {});
    let ends = estate.session(estate.user, &short);
    let stays = estate.session(estate.other, &long);
    estate.world.run_for(Duration::from_secs(until - estate.unix_s() - 2));
    assert!(!estate.is_over(estate.user, ends), "{}", estate.events());
    estate.world.run_for(Duration::from_secs(4));
    assert!(estate.is_over(estate.user, ends), "{}", estate.events());
    assert!(estate.world.host(estate.device).has_event(is_not_permitted));
    assert!(estate.world.host(estate.user).has_event(is_not_permitted), "the peer learns why");
    assert!(estate.can_use(estate.other, stays, WEB));
    estate.no_session(estate.user, &short);
}

#[test]
fn the_integrators_time_counts_before_the_brokers() {
    let mut estate = Estate::claimed(7);
    let until = estate.unix_s() + 3600;
    let chain = estate.grant(estate.user, |terms| terms.expires_s = Some(until));
    let session = estate.session(estate.user, &chain);
    estate.world.with(estate.device, |node, _, now| node.set_wall_time(until, now));
    assert!(estate.world.host(estate.device).has_event(is_not_permitted), "in the same call");
    estate.world.run_for(Duration::from_secs(1));
    assert!(estate.is_over(estate.user, session));
}

#[test]
fn revoking_ends_what_runs_and_leaves_all_else() {
    let mut estate = Estate::claimed(8);
    let bad = estate.grant(estate.user, |_| {});
    let revoked = estate.last_grant();
    let good = estate.grant(estate.other, |_| {});
    let [ends, stays] = [(estate.user, &bad), (estate.other, &good)]
        .map(|(host, chain)| estate.session(host, chain));
    let owners = estate.session(estate.owner, &[]);
    let before = estate.world.now;
    assert_eq!(estate.revoke(1, &[revoked]), Ok(0));
    let is_over = |world: &rit_tests::sim::world::World| world.host(estate.user).has_event(is_down);
    assert!(estate.world.run_until(Duration::from_secs(5), is_over), "{}", estate.events());
    assert!(estate.world.now.since(before) < Duration::from_secs(3));
    assert!(estate.is_over(estate.user, ends));
    assert!(estate.trust_events(estate.device).contains(&TrustEvent::Revoked { number: 1 }));
    assert!(estate.can_use(estate.other, stays, WEB));
    assert!(estate.can_use(estate.owner, owners, SHELL));
    estate.no_session(estate.user, &bad);
    // The same list again changes nothing, an older one is refused.
    assert_eq!(estate.revoke(1, &[revoked]), Ok(0));
    assert_eq!(estate.revoke(0, &[]), Ok(NoteError::Older.code()));
    // A new grant is a new grant.
    let again = estate.grant(estate.user, |_| {});
    estate.session(estate.user, &again);
}

#[test]
fn a_revoked_key_takes_all_with_it_that_came_through_it() {
    let mut estate = Estate::claimed(9);
    let shared = estate.grant(estate.user, |terms| {
        (terms.rights, terms.depth) = (Rights::USE.and(Rights::SHARE), 1);
    });
    let passed_on = estate.terms(estate.other, |_| {});
    let chain = estate.append(&shared, estate.user, &passed_on);
    let session = estate.session(estate.other, &chain);
    let user: PublicKey = estate.world.key(estate.user);
    let list = estate.list(4, &[], &[user]);
    assert_eq!(estate.note(estate.owner, NOTE_REVOKED, &list), Ok(0));
    estate.world.run_for(Duration::from_secs(2));
    assert!(estate.is_over(estate.other, session));
    estate.no_session(estate.other, &chain);
}

#[test]
fn a_device_that_was_away_gets_the_list_when_it_comes_back() {
    let mut estate = Estate::claimed(10);
    let chain = estate.grant(estate.user, |_| {});
    let list = estate.list(3, &[estate.last_grant()], &[]);
    let key = estate.world.key(estate.device);
    let row = estate.world.store(estate.broker).trust.get_mut(&key).expect("it told");
    (row.number, row.list) = (3, list);
    estate.restart_device();
    estate.world.run_for(Duration::from_secs(2));
    assert_eq!(estate.state().revoked().number, 3);
    estate.no_session(estate.user, &chain);
}

#[test]
fn what_must_be_fresh_asks_the_broker_first() {
    let mut estate = Estate::claimed(11);
    let chain = estate.grant(estate.user, |terms| terms.must_be_fresh = true);
    let session = estate.session(estate.user, &chain);
    assert!(estate.can_use(estate.user, session, WEB));
    // A list that the broker has is taken before the grant is looked at.
    let revoked = estate.last_grant();
    let list = estate.list(5, &[revoked], &[]);
    let key = estate.world.key(estate.device);
    let row = estate.world.store(estate.broker).trust.get_mut(&key).expect("it told");
    (row.number, row.list) = (5, list);
    estate.world.run_for(Duration::from_secs(61));
    estate.forget();
    estate.no_session(estate.user, &chain);
    assert_eq!(estate.trust_events(estate.device), [TrustEvent::Revoked { number: 5 }]);
}

#[test]
fn a_service_may_demand_a_fresh_word() {
    let mut estate = Estate::claimed(12);
    let shell = estate.shell;
    estate.world.with(estate.device, |node, _, _| node.service_demand_fresh(shell, true)).unwrap();
    let chain = estate.grant(estate.user, |_| {});
    let fresh = estate.session(estate.user, &chain);
    assert!(estate.can_use(estate.user, fresh, SHELL), "the device asked by itself");
    estate.world.store(estate.broker).is_broken = true;
    estate.world.run_for(Duration::from_secs(61));
    let asked = estate.session(estate.user, &chain);
    assert!(estate.can_use(estate.user, asked, WEB), "without an answer the rest is open");
    assert!(!estate.can_use(estate.user, asked, SHELL));
}

#[test]
fn a_transfer_ends_the_old_owners_sessions_and_grants() {
    let mut estate = Estate::claimed(13);
    let chain = estate.grant(estate.other, |_| {});
    let sessions = [(estate.owner, vec![]), (estate.other, chain.clone())]
        .map(|(host, chain)| (host, estate.session(host, &chain)));
    assert_eq!(estate.transfer(estate.user), Ok(0));
    let owner = estate.world.key(estate.user);
    let changed = TrustEvent::OwnerChanged { owner, epoch: 2 };
    assert!(estate.trust_events(estate.device).contains(&changed));
    estate.world.run_for(Duration::from_secs(2));
    for (host, session) in sessions {
        assert!(estate.is_over(host, session), "{}", estate.events());
    }
    estate.no_session(estate.owner, &[]);
    estate.no_session(estate.other, &chain);
    let session = estate.session(estate.user, &[]);
    assert!(estate.can_use(estate.user, session, SHELL));
}

#[test]
fn a_factory_reset_makes_the_device_nobodys() {
    let mut estate = Estate::claimed(14);
    let chain = estate.grant(estate.user, |_| {});
    let session = estate.session(estate.user, &chain);
    estate.world.with(estate.device, |node, _, _| node.factory_reset()).expect("nothing waits");
    estate.world.run_for(Duration::from_secs(2));
    assert!(estate.is_over(estate.user, session));
    assert!(estate.trust_events(estate.device).contains(&TrustEvent::OwnerForgotten));
    estate.no_session(estate.owner, &[]);
    estate.no_session(estate.user, &chain);
    // The next ownership is another one, be the owner the same.
    assert_eq!(estate.claim(), 2);
    estate.no_session(estate.user, &chain);
    estate.session(estate.owner, &[]);
}

#[test]
fn a_restart_forgets_nothing_that_was_stored() {
    let mut estate = Estate::claimed(15);
    let bad = estate.grant(estate.user, |_| {});
    let revoked = estate.last_grant();
    let good = estate.grant(estate.other, |_| {});
    assert_eq!(estate.revoke(7, &[revoked]), Ok(0));
    estate.restart_device();
    let owner = estate.world.key(estate.owner);
    assert_eq!(estate.state().owner(), Some(&owner));
    assert_eq!(estate.state().revoked().number, 7);
    estate.no_session(estate.user, &bad);
    estate.session(estate.other, &good);
    let refused = estate.claim_by(estate.user, secret());
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn what_is_not_stored_is_not_so() {
    let mut estate = Estate::new(16);
    estate.set_disk(Disk::Fails);
    let refused = estate.claim_by(estate.owner, secret());
    let is_store = matches!(refused, Err(TrustEvent::ClaimRefused { error: NoteError::Store, .. }));
    assert!(is_store, "{refused:?}");
    assert_eq!(estate.state().owner(), None);
    assert_eq!(estate.trust_events(estate.device), []);
    estate.set_disk(Disk::Works);
    estate.claim();
    let chain = estate.grant(estate.user, |_| {});
    let revoked = estate.last_grant();
    let session = estate.session(estate.user, &chain);
    estate.set_disk(Disk::Fails);
    assert_eq!(estate.revoke(1, &[revoked]), Ok(NoteError::Store.code()));
    assert_eq!(estate.transfer(estate.other), Ok(NoteError::Store.code()));
    assert!(!estate.is_over(estate.user, session));
    assert_eq!(estate.state().revoked().number, 0);
}

#[test]
fn one_change_at_a_time() {
    let mut estate = Estate::claimed(17);
    estate.set_disk(Disk::Waits);
    let chain = estate.grant(estate.user, |_| {});
    let revoked = estate.last_grant();
    let session = estate.session(estate.user, &chain);
    let list = estate.list(1, &[revoked], &[]);
    let device = estate.world.key(estate.device);
    let sent = estate
        .world
        .with(estate.owner, |node, _, now| node.send_note(device, NOTE_REVOKED, &list, now));
    assert!(sent.is_ok());
    estate.world.run_for(Duration::from_secs(2));
    assert!(!estate.is_over(estate.user, session), "it is not stored yet");
    assert_eq!(estate.transfer(estate.other), Ok(NoteError::Busy.code()));
    let reset = estate.world.with(estate.device, |node, _, _| node.factory_reset());
    assert!(reset.is_err());
    estate.world.with(estate.device, |node, _, now| node.handle_stored(true, now));
    assert!(estate.world.host(estate.device).has_event(is_not_permitted), "in the same call");
    estate.set_disk(Disk::Works);
    assert_eq!(estate.transfer(estate.other), Ok(0));
}

#[test]
fn a_node_that_obeys_nobody_says_so() {
    let mut estate = Estate::claimed(18);
    let user = estate.world.key(estate.user);
    for kind in [NOTE_CLAIM, NOTE_REVOKED, NOTE_TRANSFER, 200] {
        let request = estate.world.with(estate.other, |node, _, now| {
            node.send_note(user, kind, &[1, 2, 3], now).expect("it is online")
        });
        let answer = TrustEvent::NoteAnswered {
            request,
            from: user,
            kind: 7,
            body: vec![NoteError::NoOwners.code()],
        };
        estate.expect(estate.other, "an answer", |event| *event == Event::Trust(answer.clone()));
    }
    // Nor does the device do what it does not know.
    assert_eq!(estate.note(estate.owner, 200, &[]), Ok(NoteError::Malformed.code()));
    let far = PublicKey([9; 32]);
    let request = estate.world.with(estate.owner, |node, _, now| {
        node.send_note(far, 200, &[], now).expect("it is online")
    });
    let failed = TrustEvent::NoteFailed { request, reason: Reason::Unknown };
    estate.expect(estate.owner, "a refusal", |event| *event == Event::Trust(failed.clone()));
}

#[test]
fn who_calls_a_device_offers_it_nothing() {
    let mut estate = Estate::claimed(19);
    let own = estate.world.with(estate.owner, |node, _, now| {
        node.service_add(rit_tests::sim::trio::service_info("mine"), now)
    });
    assert!(own.is_ok());
    estate.session(estate.owner, &[]);
    let at_device = estate.world.host(estate.device).events.iter().rev().find_map(|(_, event)| {
        if let Event::SessionUp { session, .. } = event { Some(*session) } else { None }
    });
    let session = at_device.expect("it is up there too");
    assert!(!estate.can_use(estate.device, session, "mine"));
    let device = estate.world.key(estate.device);
    estate.world.with(estate.owner, |node, _, _| node.peer_allow(device)).expect("there is room");
    assert!(estate.can_use(estate.device, session, "mine"), "but to whom it allowed");
}

#[test]
fn those_on_the_list_of_the_integrator_stay() {
    let mut estate = Estate::claimed(20);
    let user = estate.world.key(estate.user);
    estate.world.with(estate.device, |node, _, _| node.peer_allow(user)).expect("there is room");
    let session = estate.session(estate.user, &[]);
    assert_eq!(estate.transfer(estate.other), Ok(0));
    estate.world.with(estate.device, |node, _, _| node.factory_reset()).expect("nothing waits");
    estate.world.run_for(Duration::from_secs(2));
    assert!(estate.can_use(estate.user, session, SHELL));
    estate.world.with(estate.device, |node, _, now| node.peer_forbid(&user, now));
    estate.world.run_for(Duration::from_secs(2));
    assert!(estate.is_over(estate.user, session));
}
