//! Scenarios: a broker that lies, or tells others what it knows. It can keep two nodes apart; it
//! cannot put a third between them.

use rit_core::base::PublicKey;
use rit_core::handshake::PeerPolicy;
use rit_core::node::Event;
use rit_core::transport::Config;
use rit_tests::sim::endpoint::Endpoint;
use rit_tests::sim::host::HostId;
use rit_tests::sim::hostile::{HostileBroker, Lies};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::trio::Trio;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn is_up(event: &Event) -> bool {
    matches!(event, Event::SessionUp { .. })
}

fn is_down(event: &Event) -> bool {
    matches!(event, Event::SessionDown { .. })
}

/// Device and user are online at a broker with these lies.
fn trio(seed: u64, lies: Lies) -> Trio {
    let mut trio = Trio::with_hostile_broker(seed, LinkConfig::clean(Duration::from_millis(20)));
    trio.connect_host(trio.device, None);
    trio.connect_host(trio.user, None);
    let hosts = [trio.device, trio.user];
    let is_met = trio.world.run_until(LIMIT, |world| {
        hosts.iter().all(|&h| world.host(h).has_event(|e| matches!(e, Event::BrokerOnline)))
    });
    assert!(is_met, "not online");
    trio.world.actor::<HostileBroker>(trio.broker).lies = lies;
    trio
}

fn events(trio: &Trio) -> String {
    format!("{:?} {:?}", trio.world.host(trio.device).events, trio.world.host(trio.user).events)
}

/// The user asks and gets nothing; then the broker behaves, and all is well.
fn nothing_comes_of_it(mut trio: Trio) {
    trio.ask_for_session();
    trio.world.run_for(LIMIT);
    for host in [trio.device, trio.user] {
        assert!(!trio.world.host(host).has_event(is_up), "{}", events(&trio));
    }
    assert!(trio.world.host(trio.user).has_event(is_down), "{}", events(&trio));
    trio.world.actor::<HostileBroker>(trio.broker).lies = Lies::default();
    let session = trio.session();
    trio.check_alive(session, 1);
}

#[test]
fn an_honest_introduction_by_the_same_actor_works() {
    let mut trio = trio(1, Lies::default());
    let session = trio.session();
    trio.check_alive(session, 1);
}

#[test]
fn the_device_is_told_another_callers_key() {
    let lies = Lies { peer_at_responder: Some(PublicKey([8; 32])), ..Lies::default() };
    nothing_comes_of_it(trio(2, lies));
}

#[test]
fn the_user_is_told_another_devices_key() {
    let lies = Lies { peer_at_initiator: Some(PublicKey([8; 32])), ..Lies::default() };
    nothing_comes_of_it(trio(3, lies));
}

#[test]
fn the_two_ends_are_given_different_keys() {
    nothing_comes_of_it(trio(4, Lies { has_two_keys: true, ..Lies::default() }));
}

/// Adds somebody to whom the broker tells everything.
fn accomplice(trio: &mut Trio) -> HostId {
    trio.world.add_actor(Endpoint::new([99; 32], Config::default()))
}

#[test]
fn the_user_is_sent_to_an_accomplice_who_knows_the_contact_key() {
    for claims_own_key in [false, true] {
        let mut trio = trio(5, Lies::default());
        let other = accomplice(&mut trio);
        let other_key = trio.world.key(other);
        trio.world.actor::<HostileBroker>(trio.broker).lies = Lies {
            path_at_initiator: Some(trio.world.path(other)),
            peer_at_initiator: claims_own_key.then_some(other_key),
            ..Lies::default()
        };
        trio.ask_for_session();
        // The accomplice answers to whatever contact the broker makes.
        for _ in 0..600 {
            let contacts = trio.world.actor::<HostileBroker>(trio.broker).contacts.clone();
            for contact in contacts {
                trio.world.actor::<Endpoint>(other).invite(contact, PeerPolicy::Anyone);
            }
            trio.world.run_for(Duration::from_millis(5));
        }
        trio.world.run_for(LIMIT);
        assert!(!trio.world.host(trio.user).has_event(is_up), "{}", events(&trio));
        assert!(trio.world.host(trio.user).has_event(is_down), "{}", events(&trio));
        if !claims_own_key {
            let tried = trio.world.actor::<Endpoint>(other).connections.len();
            assert!(tried > 0, "the user never called the accomplice: nothing was tested");
        }
    }
}

#[test]
fn an_accomplice_who_knows_the_contact_key_calls_the_device() {
    for is_announced in [false, true] {
        let mut trio = trio(6, Lies { has_two_keys: true, ..Lies::default() });
        let other = accomplice(&mut trio);
        let other_key = trio.world.key(other);
        let lies = &mut trio.world.actor::<HostileBroker>(trio.broker).lies;
        lies.peer_at_responder = is_announced.then_some(other_key);
        trio.ask_for_session();
        trio.world.run_for(Duration::from_millis(200));
        // With two keys, the device holds key n + 100: the user's call cannot use it up.
        let mut contact = trio.world.actor::<HostileBroker>(trio.broker).contacts[0].clone();
        contact.key = rit_core::crypto::Secret::new([101; 32]);
        let (now, path) = (trio.world.now, trio.world.path(trio.device));
        trio.world.actor::<Endpoint>(other).open(&contact, path, PeerPolicy::Anyone, now);
        trio.world.drain(other);
        trio.world.run_for(LIMIT);
        assert!(!trio.world.host(trio.device).has_event(is_up), "{}", events(&trio));
        let connection = &trio.world.actor::<Endpoint>(other).connections[0];
        assert!(!connection.is_established());
    }
}

#[test]
fn garbage_on_the_control_stream_ends_the_link_and_no_session() {
    let garbage: [&[u8]; 4] =
        [&[0xff; 64], &[0, 1, 0xff], &[0, 3, 0x82, 0x08, 0xa0], &[0x10, 0x01, 0, 0]];
    for bytes in garbage {
        let mut trio = trio(7, Lies { garbage: bytes.to_vec(), ..Lies::default() });
        let session = trio.session();
        trio.world.run_for(Duration::from_secs(5));
        for host in [trio.device, trio.user] {
            assert!(!trio.world.host(host).has_event(is_down), "{}", events(&trio));
        }
        let is_offline = |e: &Event| matches!(e, Event::BrokerOffline(_));
        assert!(trio.world.host(trio.user).has_event(is_offline), "{bytes:?} {}", events(&trio));
        trio.check_alive(session, 1);
    }
}
