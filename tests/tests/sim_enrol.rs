//! Scenarios: enrolment with good, wrong, expired and used codes; the store failing.
//!
//! A refusal says so at the node that asked, and nothing else is lost: others stay online, and a
//! good code works afterwards.

use rit_core::node::{Config, Event};
use rit_tests::sim::host::HostId;
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::trio::{DEVICE_CODE, Trio, USER_CODE};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn trio(seed: u64) -> Trio {
    Trio::new(seed, LinkConfig::clean(Duration::from_millis(20)))
}

fn is_refused(event: &Event) -> bool {
    matches!(event, Event::EnrolRefused(_))
}

fn is_enrolled(event: &Event) -> bool {
    matches!(event, Event::Enrolled)
}

/// The user comes with `code`, is refused, and the device's link is none the worse.
fn user_is_refused(trio: &mut Trio, code: &str) {
    trio.connect_host(trio.device, Some(DEVICE_CODE));
    trio.expect(trio.device, LIMIT, "the device's enrolment", is_enrolled);
    trio.connect_host(trio.user, Some(code));
    trio.expect(trio.user, LIMIT, "the refusal", is_refused);
    trio.world.run_for(Duration::from_secs(60));
    assert!(!trio.world.host(trio.user).has_event(is_enrolled));
    let went_offline = |e: &Event| matches!(e, Event::BrokerOffline(_));
    assert!(!trio.world.host(trio.device).has_event(went_offline), "{}", trio.events());
}

/// The user comes again with a good code and reaches the device.
fn good_code_works(trio: &mut Trio) {
    trio.connect_host(trio.user, Some(USER_CODE));
    trio.expect(trio.user, LIMIT, "the user's enrolment", is_enrolled);
    let session = trio.session();
    trio.check_alive(session, 1);
}

#[test]
fn good_codes_enrol() {
    let mut trio = trio(1);
    trio.online();
    assert_eq!(trio.world.store(trio.broker).enrolled.len(), 2);
    let session = trio.session();
    trio.check_alive(session, 1);
}

#[test]
fn a_wrong_code_is_refused() {
    let mut trio = trio(2);
    user_is_refused(&mut trio, "no-such-code");
    good_code_works(&mut trio);
}

#[test]
fn an_expired_code_is_refused() {
    let mut trio = trio(3);
    trio.world.store(trio.broker).add_code("short-lived", 5);
    trio.world.run_for(Duration::from_secs(6));
    user_is_refused(&mut trio, "short-lived");
    good_code_works(&mut trio);
}

#[test]
fn a_used_code_is_refused() {
    let mut trio = trio(4);
    user_is_refused(&mut trio, DEVICE_CODE);
    good_code_works(&mut trio);
}

#[test]
fn a_restarted_node_may_come_again_with_its_used_code_or_none() {
    for code in [Some(USER_CODE), None] {
        let mut trio = trio(5);
        trio.online();
        trio.world.restart_node(trio.user, Config::default());
        trio.connect_host(trio.user, code);
        trio.expect(trio.user, LIMIT, "that it is online", |e| matches!(e, Event::BrokerOnline));
        assert!(!trio.world.host(trio.user).has_event(is_refused), "{}", trio.events());
        let session = trio.session();
        trio.check_alive(session, 1);
    }
}

#[test]
fn no_code_and_not_enrolled_is_no_session() {
    let mut trio = trio(6);
    trio.connect_host(trio.device, Some(DEVICE_CODE));
    trio.connect_host(trio.user, None);
    trio.world.run_for(Duration::from_secs(5));
    let key = trio.world.key(trio.device);
    let session = trio.world.with(trio.user, |node, _, now| node.session_open(key, now));
    if session.is_ok() {
        trio.expect(trio.user, LIMIT, "the end of the session", |e| {
            matches!(e, Event::SessionDown { .. })
        });
    }
    trio.world.run_for(LIMIT);
    let is_up = |e: &Event| matches!(e, Event::SessionUp { .. });
    for host in [trio.user, trio.device] {
        assert!(!trio.world.host(host).has_event(is_up), "{}", trio.events());
    }
    good_code_works(&mut trio);
}

#[test]
fn a_broken_store_refuses_and_recovers() {
    let mut trio = trio(7);
    trio.world.store(trio.broker).is_broken = true;
    trio.connect();
    trio.world.run_for(Duration::from_secs(20));
    let none_enrolled = |host: HostId| !trio.world.host(host).has_event(is_enrolled);
    assert!(none_enrolled(trio.user) && none_enrolled(trio.device));
    trio.world.store(trio.broker).is_broken = false;
    // Both come again by themselves, with the code they were given.
    for host in [trio.user, trio.device] {
        trio.expect(host, Duration::from_secs(120), "enrolment", is_enrolled);
    }
    let session = trio.session();
    trio.check_alive(session, 1);
}

#[test]
fn a_slow_store_delays_and_no_more() {
    let mut trio = trio(8);
    trio.world.store(trio.broker).delay = Duration::from_secs(3);
    trio.online();
    let session = trio.session();
    trio.check_alive(session, 1);
}
