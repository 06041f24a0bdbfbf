//! Scenarios: each limit at its edge. Reaching one is an error of that one call; what is there
//! stays there.

use rit_core::base::PublicKey;
use rit_core::node::{Config, Event, NodeError};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::trio::{self, SERVICE, Trio, service_info};
use std::time::Duration;

fn trio(seed: u64, config: Config) -> Trio {
    Trio::with_config(seed, LinkConfig::clean(Duration::from_millis(20)), config)
}

#[test]
fn services_at_the_limit() {
    let mut trio = trio(1, trio::config(|config| config.max_services = 4));
    let device = trio.device;
    let mut add = |name: &str| {
        trio.world.with(device, |node, _, now| node.service_add(service_info(name), now))
    };
    let ids: Vec<_> = ["b", "c", "d"].iter().map(|n| add(n).expect("below the limit")).collect();
    assert!(matches!(add("e"), Err(NodeError::Limit)));
    assert!(add("").is_err() && add("Upper").is_err() && add(&"x".repeat(64)).is_err());
    let removed = trio.world.with(device, |node, _, now| node.service_remove(ids[0], now));
    removed.expect("it is there");
    let mut add = |name: &str| {
        trio.world.with(device, |node, _, now| node.service_add(service_info(name), now))
    };
    add("e").expect("one was removed");
    let stale = trio.world.with(device, |node, _, now| node.service_remove(ids[0], now));
    assert!(matches!(stale, Err(NodeError::StaleHandle)), "{stale:?}");
    trio.online();
    let session = trio.session();
    trio.check_alive(session, 1);
}

#[test]
fn a_service_name_twice_is_refused() {
    let mut trio = trio(2, Config::default());
    let added =
        trio.world.with(trio.device, |node, _, now| node.service_add(service_info(SERVICE), now));
    assert!(added.is_err(), "{added:?}");
}

#[test]
fn peers_at_the_limit() {
    let mut trio = trio(3, trio::config(|config| config.max_peers = 3));
    let device = trio.device;
    let mut allow =
        |n: u8| trio.world.with(device, |node, _, _| node.peer_allow(PublicKey([n; 32])));
    allow(1).expect("the second of three");
    allow(1).expect("the same again takes no room");
    allow(2).expect("the third");
    assert!(matches!(allow(3), Err(NodeError::Limit)));
    trio.online();
    let session = trio.session();
    trio.check_alive(session, 1);
}

#[test]
fn sessions_at_the_limit() {
    let mut trio = trio(4, trio::config(|config| config.max_sessions = 2));
    trio.online();
    let session = trio.session();
    let nobody = |n: u8| PublicKey([n; 32]);
    let mut open =
        |n: u8| trio.world.with(trio.user, |node, _, now| node.session_open(nobody(n), now));
    open(1).expect("the second of two");
    let over = open(2);
    assert!(matches!(over, Err(NodeError::Limit)), "{over:?}");
    // The second was to nobody and ends; its place is free again.
    trio.world.run_for(Duration::from_secs(60));
    trio.world
        .with(trio.user, |node, _, now| node.session_open(nobody(3), now))
        .expect("a place is free");
    trio.check_alive(session, 1);
}

#[test]
fn a_device_full_of_sessions_refuses_one_more_and_keeps_the_others() {
    let mut trio = trio(5, trio::config(|config| config.max_sessions = 2));
    let others: Vec<_> = (0..2)
        .map(|i| {
            let host = trio.world.add_node(Config::default());
            let key = trio.world.key(host);
            trio.world.with(trio.device, |node, _, _| node.peer_allow(key)).expect("there is room");
            trio.world.store(trio.broker).add_code(&format!("more-{i}"), 3600);
            trio.connect_host(host, Some(&format!("more-{i}")));
            host
        })
        .collect();
    trio.online();
    let session = trio.session();
    let device_key = trio.world.key(trio.device);
    trio.world.run_for(Duration::from_secs(5));
    for &host in &others {
        trio.world
            .with(host, |node, _, now| node.session_open(device_key, now))
            .expect("below its own limit");
        trio.world.run_for(Duration::from_secs(60));
    }
    let is_up = |e: &Event| matches!(e, Event::SessionUp { .. });
    assert!(trio.world.host(others[0]).has_event(is_up), "the second of two has no place");
    assert!(!trio.world.host(others[1]).has_event(is_up), "the third of two has a place");
    let is_down = |e: &Event| matches!(e, Event::SessionDown { .. });
    assert!(trio.world.host(others[1]).has_event(is_down), "the third waits forever");
    assert_eq!(trio.world.node(trio.device).stats().sessions, 2);
    trio.check_alive(session, 1);
}

#[test]
fn streams_at_the_limit() {
    let mut trio = trio(6, trio::config(|config| config.transport.max_streams = 8));
    trio.online();
    let session = trio.session();
    let user = trio.user;
    trio.world.app(trio.device).is_passive = true;
    let mut streams = Vec::new();
    let over = loop {
        let opened = trio.world.with(user, |node, _, now| node.stream_open(session, SERVICE, now));
        match opened {
            Ok(stream) => streams.push(stream),
            Err(error) => break error,
        }
        assert!(streams.len() <= 8, "more streams than allowed");
    };
    assert!(matches!(over, NodeError::Limit), "{over:?}");
    assert_eq!(streams.len(), 8);
    trio.world.run_for(Duration::from_secs(1));
    // The eight are refused by nobody and released; then there is room again.
    for stream in streams {
        let released = trio.world.with(user, |node, _, now| node.stream_release(stream, now));
        released.expect("it is ours");
    }
    let incoming: Vec<_> = trio
        .world
        .host(trio.device)
        .events
        .iter()
        .filter_map(|(_, e)| match e {
            Event::StreamIncoming { stream, .. } => Some(*stream),
            _ => None,
        })
        .collect();
    assert_eq!(incoming.len(), 8);
    for stream in incoming {
        let released =
            trio.world.with(trio.device, |node, _, now| node.stream_release(stream, now));
        released.expect("it is ours");
    }
    trio.world.run_for(Duration::from_secs(5));
    trio.world.app(trio.device).is_passive = false;
    for key in 0..20 {
        trio.check_alive(session, key);
    }
}

#[test]
fn buffers_stay_under_the_configured_windows() {
    let config = trio::config(|config| {
        config.transport.stream_window = 16 * 1024;
        config.transport.session_window = 64 * 1024;
        config.transport.stream_send_buffer = 16 * 1024;
    });
    let mut trio = trio(7, config);
    trio.online();
    let session = trio.session();
    for i in 0..32 {
        trio.open_flow(session, i, 100_000, 100_000);
    }
    assert!(trio.run_until_idle(Duration::from_secs(300)), "{}", trio.events());
    for host in [trio.user, trio.device] {
        let most = trio.world.host(host).buffered_bytes_max;
        assert!(most <= 2 * 64 * 1024 + 64 * 1024, "{most} bytes buffered");
    }
}

#[test]
fn a_configuration_out_of_range_is_refused() {
    let mut world = rit_tests::sim::world::World::new(1, LinkConfig::clean(Duration::ZERO));
    for config in [
        trio::config(|config| config.transport.max_datagram = 100),
        trio::config(|config| config.transport.max_datagram = 100_000),
        trio::config(|config| config.transport.stream_window = u64::MAX),
        trio::config(|config| config.max_sessions = 0),
        trio::config(|config| config.max_services = 1000),
    ] {
        assert!(world.node_of(config, &[1; 32]).is_err());
    }
}
