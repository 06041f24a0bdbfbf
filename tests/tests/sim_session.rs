//! Scenarios: who gets a session and who does not, and what sessions outlive.

use rit_core::base::PublicKey;
use rit_core::handshake::TlsRole;
use rit_core::node::{Config, Event, NodeError, Reason};
use rit_core::tunnel::Refusal;
use rit_tests::sim::app::Behaviour;
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::trio::{self, Trio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn trio(seed: u64) -> Trio {
    Trio::new(seed, LinkConfig::clean(Duration::from_millis(20)))
}

fn is_up(event: &Event) -> bool {
    matches!(event, Event::SessionUp { .. })
}

fn is_down(event: &Event) -> bool {
    matches!(event, Event::SessionDown { .. })
}

fn is_online(event: &Event) -> bool {
    matches!(event, Event::BrokerOnline)
}

fn is_offline(event: &Event) -> bool {
    matches!(event, Event::BrokerOffline(_))
}

#[test]
fn both_ends_learn_who_the_other_is() {
    let mut trio = trio(1);
    trio.online();
    trio.session();
    let (user_key, device_key) = (trio.world.key(trio.user), trio.world.key(trio.device));
    for (host, other, initiator) in [(trio.user, device_key, true), (trio.device, user_key, false)]
    {
        let is_right = |event: &Event| match event {
            Event::SessionUp { peer, is_initiator, .. } => {
                *peer == other && *is_initiator == initiator
            }
            _ => false,
        };
        assert!(trio.world.host(host).has_event(is_right), "{}", trio.events());
    }
}

#[test]
fn nodes_without_a_client_of_tls_reach_their_broker_and_each_other() {
    for seed in 0..10 {
        let mut config = Config::default();
        config.transport.role = TlsRole::Server;
        let links =
            LinkConfig { loss_ppm: 100_000, ..LinkConfig::clean(Duration::from_millis(20)) };
        let mut trio = Trio::with_config(100 + seed, links, config);
        trio.online();
        let session = trio.session();
        trio.check_alive(session, 1);
    }
}

#[test]
fn a_peer_not_on_the_list_gets_no_session() {
    let mut trio = trio(2);
    let user_key = trio.world.key(trio.user);
    trio.world.with(trio.device, |node, _, now| node.peer_forbid(&user_key, now));
    trio.online();
    trio.ask_for_session();
    trio.expect(trio.user, LIMIT, "the end of the session", is_down);
    assert!(!trio.world.host(trio.device).has_event(is_up), "{}", trio.events());
    // Allowed again, it works: nothing else was lost.
    trio.world.with(trio.device, |node, _, _| node.peer_allow(user_key)).expect("there is room");
    let session = trio.session();
    trio.check_alive(session, 1);
}

#[test]
fn an_unknown_device_is_no_session() {
    let mut trio = trio(3);
    trio.online();
    let nobody = PublicKey([9; 32]);
    let asked = trio.world.with(trio.user, |node, _, now| node.session_open(nobody, now));
    asked.expect("it can be asked for");
    trio.expect(trio.user, LIMIT, "the end of the session", is_down);
    let session = trio.session();
    trio.check_alive(session, 1);
}

#[test]
fn a_device_that_is_offline_is_no_session() {
    let mut trio = trio(4);
    trio.online();
    trio.world.host_mut(trio.device).is_running = false;
    trio.ask_for_session();
    trio.expect(trio.user, LIMIT, "the end of the session", is_down);
}

#[test]
fn an_unknown_service_is_refused() {
    let mut trio = trio(5);
    trio.online();
    let session = trio.session();
    let user = trio.user;
    let opened = trio
        .world
        .with(user, |node, app, now| app.open(node, session, ("no-such-service", 1, 10, 10), now));
    if opened.is_ok() {
        trio.expect(user, LIMIT, "the refusal", |e| {
            matches!(e, Event::StreamRefused { refusal: Refusal::Unknown, .. })
        });
    }
    assert!(!trio.world.host(trio.device).has_event(|e| matches!(e, Event::StreamIncoming { .. })));
    trio.check_alive(session, 1);
}

#[test]
fn a_refused_service_says_why() {
    for refusal in [Refusal::Service, Refusal::Denied, Refusal::Unknown, Refusal::Limit] {
        let mut trio = trio(6);
        trio.online();
        let session = trio.session();
        let service = trio.service;
        trio.world.app(trio.device).behaviours.insert(service, Behaviour::Refuse(refusal));
        trio.open_flow(session, 1, 1000, 1000);
        let user = trio.user;
        let is_refused = trio.world.run_until(LIMIT, |world| {
            world.host(user).has_event(
                |e| matches!(e, Event::StreamRefused { refusal: r, .. } if *r == refusal),
            )
        });
        assert!(is_refused, "{refusal:?}: {}", trio.events());
        trio.world.app(trio.device).behaviours.clear();
        trio.check_alive(session, 2);
    }
}

#[test]
fn a_removed_service_is_unknown() {
    let mut trio = trio(7);
    trio.online();
    let session = trio.session();
    trio.check_alive(session, 1);
    let service = trio.service;
    trio.world
        .with(trio.device, |node, _, now| node.service_remove(service, now))
        .expect("it was there");
    trio.open_flow(session, 2, 10, 10);
    trio.expect(trio.user, LIMIT, "the refusal", |e| {
        matches!(e, Event::StreamRefused { refusal: Refusal::Unknown, .. })
    });
}

#[test]
fn an_unreachable_broker_is_said_and_found_again() {
    let mut trio = trio(8);
    let (broker, device) = (trio.world.path(trio.broker), trio.world.path(trio.device));
    trio.world.net.set_up(broker, device, false);
    trio.connect();
    trio.expect(trio.device, LIMIT, "that the broker is offline", is_offline);
    trio.world.run_for(Duration::from_secs(120));
    let tries = trio.world.host(trio.device).sent;
    assert!(tries < 200, "{tries} datagrams in three minutes is no backoff");
    assert!(!trio.world.host(trio.device).has_event(is_online));
    trio.world.net.set_up(broker, device, true);
    trio.expect(trio.device, Duration::from_secs(180), "that the broker is online", is_online);
    let session = trio.session();
    trio.check_alive(session, 1);
}

#[test]
fn a_wrong_broker_key_gets_no_answer() {
    let mut trio = trio(9);
    let mut address = trio.world.broker_address(trio.broker);
    address.key = PublicKey([7; 32]);
    let connected = trio
        .world
        .with(trio.user, |node, _, now| node.broker_connect(address, Some("user-code-1"), now));
    if connected.is_ok() {
        trio.expect(trio.user, LIMIT, "that the broker is offline", is_offline);
    }
    assert_eq!(trio.world.host(trio.broker).sent, 0);
    assert!(!trio.world.host(trio.user).has_event(is_online));
}

#[test]
fn a_session_outlives_its_broker_and_the_broker_comes_back() {
    let mut trio = trio(10);
    trio.online();
    let session = trio.session();
    trio.open_flow(session, 1, 300_000, 300_000);
    trio.world.run_for(Duration::from_millis(60));
    trio.world.host_mut(trio.broker).is_running = false;
    assert!(trio.run_until_idle(LIMIT), "{}", trio.events());
    trio.expect(trio.user, Duration::from_secs(300), "that the broker is offline", is_offline);
    trio.expect(trio.device, Duration::from_secs(300), "that the broker is offline", is_offline);
    trio.check_alive(session, 2);
    assert!(!trio.world.host(trio.user).has_event(is_down), "{}", trio.events());
    assert!(!trio.world.host(trio.device).has_event(is_down), "{}", trio.events());

    // It comes back as a fresh process with the same identity.
    let online_before = count(&trio, is_online);
    trio.restart_broker(Config::default());
    let hosts = [trio.user, trio.device];
    let is_back = trio.world.run_until(Duration::from_secs(300), |world| {
        let online: usize = hosts
            .iter()
            .map(|&h| world.host(h).events.iter().filter(|e| is_online(&e.1)).count())
            .sum();
        online >= online_before + 2
    });
    assert!(is_back, "{}", trio.events());
    trio.check_alive(session, 3);
}

fn count(trio: &Trio, is_it: fn(&Event) -> bool) -> usize {
    [trio.user, trio.device]
        .iter()
        .map(|&host| trio.world.host(host).events.iter().filter(|(_, e)| is_it(e)).count())
        .sum()
}

#[test]
fn closing_is_seen_by_the_other_end() {
    for closer_is_user in [true, false] {
        let mut trio = trio(11);
        trio.online();
        let session = trio.session();
        trio.open_flow(session, 1, 10_000_000, 10_000_000);
        trio.world.run_for(Duration::from_secs(1));
        let (closer, other) =
            if closer_is_user { (trio.user, trio.device) } else { (trio.device, trio.user) };
        let session = trio.session_of(closer);
        let closed = trio.world.with(closer, |node, _, now| node.session_close(session, 7, now));
        closed.expect("it is open");
        trio.expect(other, Duration::from_secs(1), "the end of the session", is_down);
        trio.world.run_for(Duration::from_secs(10));
        for host in [closer, other] {
            let stats = trio.world.node(host).stats();
            assert_eq!((stats.sessions, stats.streams), (0, 0), "{stats:?}");
        }
        let stale = trio.world.with(closer, |node, _, now| node.session_close(session, 7, now));
        assert!(matches!(stale, Err(NodeError::StaleHandle)), "{stale:?}");
        // The next one is as good as the first.
        trio.forget();
        let session = trio.session();
        trio.check_alive(session, 3);
    }
}

#[test]
fn a_dead_peer_is_noticed_and_an_idle_one_kept() {
    let config = trio::config(|config| {
        config.transport.idle_timeout = Duration::from_secs(10);
        config.transport.keep_alive = Duration::from_secs(3);
    });
    let links = LinkConfig::clean(Duration::from_millis(20));
    let mut trio = Trio::with_config(12, links, config);
    trio.online();
    let session = trio.session();
    trio.world.run_for(Duration::from_secs(300));
    assert!(!trio.world.host(trio.user).has_event(is_down), "{}", trio.events());
    trio.check_alive(session, 1);
    trio.world.host_mut(trio.device).is_running = false;
    let died_at = trio.world.now;
    trio.expect(trio.user, LIMIT, "the end of the session", is_down);
    let noticed_after = trio.world.now.since(died_at);
    assert!(noticed_after >= Duration::from_secs(6), "{noticed_after:?}");
    assert!(noticed_after <= Duration::from_secs(14), "{noticed_after:?}");
}

#[test]
fn without_keep_alive_an_idle_session_ends() {
    let config = trio::config(|config| {
        config.transport.idle_timeout = Duration::from_secs(10);
        config.transport.keep_alive = Duration::ZERO;
    });
    let links = LinkConfig::clean(Duration::from_millis(20));
    let mut trio = Trio::with_config(13, links, config);
    trio.online();
    trio.session();
    trio.expect(trio.user, Duration::from_secs(15), "the end of the session", is_down);
    trio.expect(trio.device, Duration::from_secs(15), "the end of the session", is_down);
}

#[test]
fn a_small_path_still_works() {
    let config = trio::config(|config| config.transport.max_datagram = 548);
    let links = LinkConfig { mtu: 548, ..LinkConfig::clean(Duration::from_millis(20)) };
    let mut trio = Trio::with_config(14, links, config);
    trio.online();
    let session = trio.session();
    trio.check_alive(session, 1);
}

#[test]
fn two_processes_with_one_identity_do_not_fight_over_the_link() {
    let mut trio = trio(15);
    trio.online();
    let session = trio.session();
    let twin = trio.world.add_twin(trio.user, Config::default());
    trio.connect_host(twin, None);
    trio.expect(trio.user, LIMIT, "that another took its place", |e| {
        matches!(e, Event::BrokerOffline(Reason::Replaced))
    });
    trio.world.run_for(Duration::from_secs(600));
    let lost = |host| {
        let events = &trio.world.host(host).events;
        events.iter().filter(|(_, e)| is_offline(e)).count()
    };
    let lost = lost(trio.user) + lost(twin);
    assert!(lost <= 30, "the link changed hands {lost} times in ten minutes");
    trio.check_alive(session, 1);
}
