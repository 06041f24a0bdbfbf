//! Scenarios: the line of a LAN is cut, and the gateway there is its broker until it is back.

use rit_core::base::{Path, PublicKey};
use rit_core::node::{
    BrokerAddress, Event, FALLBACK_AFTER, Node, NodeError, RETURN_AFTER, Reason, TrustEvent,
};
use rit_core::wire::message::ToBroker;
use rit_tests::sim::estate::{LIMIT, WEB};
use rit_tests::sim::host::{HostId, Machine};
use rit_tests::sim::hostile::HostileBroker;
use rit_tests::sim::lan::{Lan, is_gateway_left, is_gateway_online, is_lost};
use rit_tests::sim::seeds;
use rit_tests::sim::world::World;
use std::time::Duration;

/// How soon an idle member has turned to the gateway: it asks its broker each 28.5 s, and gives it
/// some seconds.
const NOTICED: Duration = Duration::from_secs(40);
/// How long a request takes at most that was made before that was noticed.
const ASKED: Duration = Duration::from_secs(10);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn is_broker_online(event: &Event) -> bool {
    *event == Event::BrokerOnline
}

/// Puts a list of the owner's into the outer broker's database, as its program does.
fn revoke_outside(lan: &mut Lan, number: u64) {
    let estate = &mut lan.estate;
    let list = estate.list(number, &[estate.last_grant()], &[]);
    let key = estate.world.key(estate.device);
    let row = estate.world.store(estate.broker).trust.get_mut(&key).expect("it told");
    (row.number, row.list) = (number, list);
}

fn is_session_down(session: rit_core::node::SessionId, why: Reason) -> impl Fn(&Event) -> bool {
    move |event| *event == Event::SessionDown { session, reason: why }
}

/// It came up, or never will.
fn is_decided(asked: rit_core::node::SessionId) -> impl Fn(&Event) -> bool {
    move |event| match event {
        Event::SessionUp { session, .. } | Event::SessionDown { session, .. } => *session == asked,
        _ => false,
    }
}

#[test]
fn the_line_is_cut_and_comes_back() {
    seeds::run("the_line_is_cut_and_comes_back", 20, |seed| {
        let mut lan = Lan::new(seed);
        let (device, user, other) = (lan.estate.device, lan.estate.user, lan.estate.other);
        let stays = lan.estate.grant(user, |_| {});
        let running = lan.estate.session(user, &stays);
        let ends = lan.estate.grant(other, |_| {});
        // Each member asks at a moment of its own.
        lan.estate.world.run_for(Duration::from_millis(seed * 997));
        lan.begin_transfer(user, running, 200_000);
        let cut = lan.estate.world.now;
        lan.cut_and_wait();
        lan.begin_transfer(user, running, 3_000_000);
        for member in lan.members() {
            let at = lan.told_at(member, is_gateway_online).expect("it waited for it");
            assert!(at.since(cut) < NOTICED, "seed {seed}: {:?}", at.since(cut));
        }
        // A new one, by the same rules.
        let asked = lan.estate.ask(other, &ends);
        assert!(lan.comes_up(other, asked, s(2)), "seed {seed}: {}", lan.estate.events());
        assert!(lan.estate.can_use(other, asked, WEB));
        let now = lan.estate.world.now;
        let words = lan.estate.world.node(other).explain(asked, now).expect("it is up");
        assert!(words.contains("introduced by the gateway"), "{words}");
        lan.estate.no_session(other, &[]);
        revoke_outside(&mut lan, 5);
        lan.estate.world.run_for(s(seed));
        assert!(!lan.estate.is_over(other, asked));
        lan.heal_and_wait();
        lan.estate.expect(other, "the revocation", is_session_down(asked, Reason::NotPermitted));
        assert!(lan.estate.trust_events(device).contains(&TrustEvent::Revoked { number: 5 }));
        // The gateway is left, quietly.
        lan.estate.world.run_for(RETURN_AFTER + s(20));
        for member in lan.members() {
            assert_eq!(lan.count(member, is_gateway_left), 1, "{}", lan.estate.events());
        }
        if let Machine::Broker(gateway, _) = &lan.estate.world.host(lan.gateway).machine {
            assert_eq!(gateway.online().count(), 0);
        }
        lan.end_transfers(user, 2);
        assert!(!lan.estate.is_over(user, running), "{}", lan.estate.events());
        lan.estate.session(user, &stays);
    });
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let mut lan = Lan::new(7);
        lan.cut_and_wait();
        lan.heal_and_wait();
        lan.estate.world.run_for(s(100));
        lan.estate.world.trace_hash()
    };
    assert_eq!(run(), run());
}

#[test]
fn who_has_not_noticed_yet_is_helped_too() {
    let mut unaware = 0;
    for seed in 0..12 {
        let mut lan = Lan::new(seed);
        let (device, user) = (lan.estate.device, lan.estate.user);
        let chain = lan.estate.grant(user, |_| {});
        // The user's link was used last, and is quiet for the longest.
        lan.estate.world.run_for(s(15));
        let nobody = PublicKey([9; 32]);
        lan.estate.world.with(user, |node, _, now| node.session_open(nobody, now)).unwrap();
        lan.estate.world.run_for(Duration::from_millis(seed * 700));
        lan.estate.forget();
        lan.cut();
        let is_met = lan
            .estate
            .world
            .run_until(LIMIT, |world| world.host(device).has_event(is_gateway_online));
        assert!(is_met, "seed {seed}: {}", lan.estate.events());
        unaware += u32::from(lan.estate.world.host(user).events.is_empty());
        // Or it is just turning to the gateway, and knows that it cannot ask.
        let key = lan.estate.world.key(device);
        let ask = |world: &mut World| {
            let open = |node: &mut Node, now| node.session_open_with(key, &chain, now);
            world.with(user, |node, _, now| open(node, now))
        };
        let asked = ask(&mut lan.estate.world).or_else(|_| {
            lan.estate.world.run_for(FALLBACK_AFTER + s(1));
            ask(&mut lan.estate.world)
        });
        let asked = asked.expect("it is online again");
        assert!(lan.comes_up(user, asked, ASKED), "seed {seed}: {}", lan.estate.events());
    }
    assert!(unaware > 3, "the scenario is not the one that is meant");
}

#[test]
fn a_member_that_starts_without_the_line_begins_at_the_gateway() {
    let mut lan = Lan::new(1);
    let (device, user) = (lan.estate.device, lan.estate.user);
    let until = lan.estate.unix_s() + 3600;
    let chain = lan.estate.grant(user, |terms| terms.expires_s = Some(until));
    let over = lan.estate.grant(lan.estate.other, |terms| terms.expires_s = Some(until - 3590));
    lan.cut_and_wait();
    lan.estate.restart_device_alone();
    lan.tell_addresses(device);
    lan.know(device);
    let started = lan.estate.world.now;
    lan.estate.connect(device, None);
    lan.estate.expect(device, "the gateway", is_gateway_online);
    // Not before it is time to, and at once then.
    let took = lan.told_at(device, is_gateway_online).unwrap().since(started);
    assert!(took >= FALLBACK_AFTER && took < FALLBACK_AFTER + s(1), "{took:?}");
    // The device knows the time from the gateway alone.
    lan.estate.session(user, &chain);
    lan.estate.world.run_for(s(10));
    lan.estate.no_session(lan.estate.other, &over);
    lan.estate.forget();
    lan.heal();
    lan.estate.expect(device, "the broker", is_broker_online);
    let back = lan.estate.world.now;
    lan.estate.world.run_for(RETURN_AFTER - s(1));
    assert_eq!(lan.count(device, is_gateway_left), 0);
    lan.estate.expect(device, "to leave", is_gateway_left);
    let took = lan.told_at(device, is_gateway_left).unwrap().since(back);
    assert!(took >= RETURN_AFTER && took < RETURN_AFTER + s(1), "{took:?}");
}

#[test]
fn what_must_be_fresh_waits_for_the_broker() {
    let mut lan = Lan::new(2);
    let user = lan.estate.user;
    let chain = lan.estate.grant(user, |terms| terms.must_be_fresh = true);
    lan.estate.session(user, &chain);
    lan.cut_and_wait();
    lan.estate.world.run_for(s(61));
    lan.estate.no_session(user, &chain);
    lan.heal_and_wait();
    lan.estate.session(user, &chain);
}

#[test]
fn who_is_online_at_both_finds_who_is_at_one() {
    let mut lan = Lan::new(3);
    let (device, user) = (lan.estate.device, lan.estate.user);
    let chain = lan.estate.grant(user, |_| {});
    lan.cut_and_wait();
    // The outer broker does not take the device any more, so that it stays at the gateway.
    let key = lan.estate.world.key(device);
    lan.estate.world.store(lan.estate.broker).enrolled.remove(&key);
    lan.estate.forget();
    lan.heal();
    lan.estate.expect(user, "the broker", is_broker_online);
    lan.estate.expect(device, "the refusal", |e| matches!(e, Event::EnrolRefused(_)));
    let session = lan.estate.session(user, &chain);
    assert!(lan.estate.can_use(user, session, WEB));
    // Where neither has it, what the broker says of it is told.
    lan.estate.world.host_mut(device).is_running = false;
    let nobody = PublicKey([9; 32]);
    let asked = lan.estate.world.with(user, |node, _, now| node.session_open(nobody, now)).unwrap();
    lan.estate.expect(user, "the end", is_session_down(asked, Reason::Unknown));
    assert_eq!(lan.count(user, is_gateway_left), 0, "still at both");
}

#[test]
fn a_session_asked_of_a_silent_gateway_is_asked_of_the_broker_once_it_is_back() {
    let mut lan = Lan::with_actor(4, HostileBroker::new([4; 32]));
    let (device, user) = (lan.estate.device, lan.estate.user);
    let chain = lan.estate.grant(user, |_| {});
    // The device knows no gateway, so that this one has nobody to introduce, and says nothing.
    lan.estate.world.with(device, |node, _, now| node.gateway_forget(now));
    lan.estate.forget();
    lan.cut();
    lan.estate.expect(user, "the gateway", is_gateway_online);
    let asked = lan.estate.ask(user, &chain);
    lan.heal();
    for host in [device, user] {
        lan.estate.world.with(host, |node, _, now| node.network_changed(now));
    }
    assert!(lan.comes_up(user, asked, ASKED + s(1)), "{}", lan.estate.events());
}

#[test]
fn another_key_at_the_gateways_address_gets_nothing() {
    let mut lan = Lan::new(5);
    let user = lan.estate.user;
    let wrong = BrokerAddress { key: lan.estate.world.key(lan.estate.other), ..lan.address() };
    lan.know_at(user, wrong, None);
    lan.estate.forget();
    lan.cut();
    lan.estate.world.run_for(s(120));
    assert_eq!(lan.count(user, is_gateway_online), 0);
    let is_timeout = |event: &Event| *event == Event::GatewayOffline(Reason::TimedOut);
    assert!((2..10).contains(&lan.count(user, is_timeout)), "{}", lan.estate.events());
    let key = lan.estate.world.key(user);
    if let Machine::Broker(gateway, _) = &lan.estate.world.host(lan.gateway).machine {
        let is_it = |event: &rit_core::broker::BrokerEvent| {
            format!("{event:?}").contains(&format!("{key:?}"))
        };
        assert!(!gateway.online().any(|event| is_it(&event)));
    }
    let asked =
        lan.estate.world.with(user, |node, _, now| node.session_open(PublicKey([9; 32]), now));
    assert_eq!(asked, Err(NodeError::Offline));
    lan.heal_and_wait();
}

#[test]
fn a_hostile_gateway_costs_nothing_but_time() {
    seeds::run("a_hostile_gateway_costs_nothing_but_time", 5, |seed| {
        let mut gateway = HostileBroker::new([5; 32]);
        gateway.lies.peer_at_initiator = Some(PublicKey([7; 32]));
        gateway.lies.time_unix_s = Some(1);
        gateway.lies.list = 99;
        let mut lan = Lan::with_actor(seed, gateway);
        let (device, user) = (lan.estate.device, lan.estate.user);
        let until = lan.estate.unix_s() + 300;
        let chain = lan.estate.grant(user, |terms| terms.expires_s = Some(until));
        let running = lan.estate.session(user, &chain);
        lan.cut_and_wait();
        // Another peer than was asked for.
        let asked = lan.estate.ask(user, &chain);
        lan.estate.expect(user, "the end", is_session_down(asked, Reason::Untrusted));
        // Garbage behind an offer ends the link to it, and nothing else.
        let lies = |lan: &mut Lan, garbage: &[u8]| {
            let gateway = lan.estate.world.actor::<HostileBroker>(lan.gateway);
            gateway.lies.garbage = garbage.to_vec();
        };
        lies(&mut lan, &[0xff; 64]);
        let asked = lan.estate.ask(user, &chain);
        lan.estate.expect(
            user,
            "the end",
            |e| matches!(e, Event::SessionDown { session, .. } if *session == asked),
        );
        lies(&mut lan, &[]);
        // It was asked for no signed time, and what it says of the time counts for nothing here.
        lan.estate.world.run_for(s(1));
        let heard = &lan.estate.world.actor::<HostileBroker>(lan.gateway).heard;
        assert!(!heard.iter().any(|(_, m)| matches!(m, ToBroker::TimeQuery { .. })));
        lan.heal_and_wait();
        assert!(lan.estate.can_use(user, running, WEB));
        let again = lan.estate.session(user, &chain);
        assert!(lan.estate.can_use(user, again, WEB));
        let left = s(until - lan.estate.unix_s() + 2);
        lan.estate.world.run_for(left);
        assert!(lan.estate.is_over(user, again), "the grant is over, whatever the gateway said");
        assert_eq!(lan.count(device, |e| matches!(e, Event::BrokerOffline(_))), 0);
    });
}

#[test]
fn a_flapping_line_breaks_nothing() {
    seeds::run("a_flapping_line_breaks_nothing", 10, |seed| {
        let mut lan = Lan::new(seed);
        let user = lan.estate.user;
        let chain = lan.estate.grant(user, |_| {});
        let running = lan.estate.session(user, &chain);
        lan.estate.forget();
        let mut length = seed * 7919 + 1;
        for _ in 0..20 {
            length = length * 48271 % 0x7fff_ffff;
            lan.cut();
            lan.estate.world.run_for(s(length % 25));
            lan.begin_transfer(user, running, 100_000);
            lan.heal();
            lan.estate.world.run_for(s(length / 31 % 25));
        }
        lan.end_transfers(user, 20);
        assert_eq!(lan.count(user, is_lost), 0, "{}", lan.estate.events());
        let turns = lan.members().map(|member| lan.count(member, is_gateway_online));
        assert!(turns.iter().all(|n| *n <= 10), "seed {seed}: {turns:?}");
        lan.estate.world.run_for(s(60) + RETURN_AFTER);
        let online = lan.members().map(|member| {
            let up = lan.told_at(member, is_broker_online);
            let down = lan.told_at(member, |e| matches!(e, Event::BrokerOffline(_)));
            up >= down
                && lan.told_at(member, is_gateway_online) <= lan.told_at(member, is_gateway_left)
        });
        assert_eq!(online, [true; 3], "seed {seed}: {}", lan.estate.events());
        let session = lan.estate.session(user, &chain);
        assert!(lan.estate.can_use(user, session, WEB));
    });
}

#[test]
fn a_broker_that_is_there_for_moments_keeps_nobody_from_the_gateway() {
    seeds::run("a_broker_that_is_there_for_moments", 5, |seed| {
        let mut lan = Lan::new(seed);
        let user = lan.estate.user;
        let chain = lan.estate.grant(user, |_| {});
        lan.estate.forget();
        let is_lost_broker = |e: &Event| matches!(e, Event::BrokerOffline(_));
        let wait = |lan: &mut Lan, limit: Duration, is_it: &dyn Fn(&Lan) -> bool| {
            let end = lan.estate.world.now + limit;
            while !is_it(lan) && lan.estate.world.now < end {
                lan.estate.world.run_for(Duration::from_millis(50));
            }
        };
        let mut asked = Vec::new();
        for moment in 1..=4 {
            lan.cut();
            asked.push(lan.estate.ask(user, &chain));
            wait(&mut lan, s(20), &|lan| lan.count(user, is_lost_broker) >= moment);
            assert_eq!(lan.count(user, is_lost_broker), moment, "{}", lan.estate.events());
            lan.heal();
            wait(&mut lan, s(5), &|lan| lan.count(user, is_broker_online) >= moment);
        }
        lan.cut();
        lan.estate.ask(user, &chain);
        wait(&mut lan, s(20), &|lan| lan.count(user, is_lost_broker) > 4);
        // It was away, but for moments, for longer than it takes to call the gateway.
        lan.estate.world.run_for(s(2));
        assert!(lan.count(user, is_gateway_online) > 0, "{}", lan.estate.events());
        // None of the sessions is asked for without end.
        lan.estate.world.run_for(s(30));
        let decided = asked.iter().filter(|one| lan.count(user, is_decided(**one)) > 0);
        assert_eq!(decided.count(), asked.len(), "{}", lan.estate.events());
    });
}

#[test]
fn a_gateway_that_does_not_know_a_node_is_asked_again_much_later() {
    let mut lan = Lan::new(6);
    let user = lan.estate.user;
    let key = lan.estate.world.key(user);
    lan.estate.world.store(lan.gateway).enrolled.remove(&key);
    lan.estate.forget();
    lan.cut();
    let is_refused = |event: &Event| *event == Event::GatewayOffline(Reason::NotEnrolled);
    lan.estate.expect(user, "the refusal", is_refused);
    lan.estate.world.run_for(s(890));
    assert_eq!(lan.count(user, is_refused), 1, "{}", lan.estate.events());
    lan.estate.world.run_for(s(20));
    assert_eq!(lan.count(user, is_refused), 2);
    lan.admit(user);
    lan.estate.world.run_for(s(910));
    assert_eq!((lan.count(user, is_refused), lan.count(user, is_gateway_online)), (2, 1));
    // The broker's link is another matter.
    assert_eq!(lan.count(user, |e| matches!(e, Event::EnrolRefused(_))), 0);
    lan.heal_and_wait();
}

#[test]
fn a_code_of_the_gateway_is_good_there() {
    let mut lan = Lan::new(8);
    let user = lan.estate.user;
    let key = lan.estate.world.key(user);
    lan.estate.world.store(lan.gateway).enrolled.remove(&key);
    lan.estate.world.store(lan.gateway).add_code("inside", 3600);
    let address = lan.address();
    lan.know_at(user, address, Some("wrong"));
    lan.estate.forget();
    lan.cut();
    lan.estate.expect(user, "no", |e| *e == Event::GatewayOffline(Reason::BadCode));
    let address = lan.address();
    lan.know_at(user, address, Some("inside"));
    lan.estate.world.run_for(s(910));
    assert_eq!(lan.count(user, is_gateway_online), 1, "{}", lan.estate.events());
    assert!(lan.estate.world.store(lan.gateway).enrolled.contains(&key));
    assert_eq!(lan.count(user, |e| *e == Event::Enrolled), 0, "that is of the broker");
}

#[test]
fn a_gateway_may_move_be_forgotten_and_be_another() {
    let mut lan = Lan::new(9);
    let (device, user) = (lan.estate.device, lan.estate.user);
    let nowhere = BrokerAddress { paths: vec![], ..lan.address() };
    let told = lan.estate.world.with(user, |node, _, now| node.gateway_connect(nowhere, None, now));
    assert_eq!(told, Err(NodeError::Argument));
    // Where it was.
    let old = BrokerAddress { paths: vec![Path::v4([192, 168, 1, 250], 7480)], ..lan.address() };
    lan.know_at(user, old.clone(), None);
    lan.estate.forget();
    lan.cut();
    lan.estate.world.run_for(s(60));
    assert_eq!(lan.count(user, is_gateway_online), 0);
    lan.know(user);
    lan.estate.expect(user, "the gateway", is_gateway_online);
    // While it is up other paths are for later, and the same key and paths are no news.
    lan.know_at(user, old, None);
    lan.know(user);
    lan.estate.world.run_for(s(30));
    assert_eq!(lan.count(user, is_gateway_online), 1);
    // Forgotten, it is left and called no more.
    lan.estate.world.with(user, |node, _, now| node.gateway_forget(now));
    assert_eq!(lan.count(user, is_gateway_left), 1);
    lan.estate.world.run_for(s(120));
    assert_eq!(lan.count(user, is_gateway_online), 1);
    lan.estate.world.with(user, |node, _, now| node.gateway_forget(now));
    // Another one takes its place.
    lan.know(user);
    lan.estate.world.run_for(s(1));
    assert_eq!(lan.count(user, is_gateway_online), 2, "at once, as the broker is away for long");
    let other = BrokerAddress { key: PublicKey([3; 32]), ..lan.address() };
    lan.know_at(user, other, None);
    assert_eq!(lan.count(user, is_gateway_left), 2);
    lan.estate.world.run_for(s(60));
    assert!(lan.count(device, is_gateway_online) == 1 && lan.count(user, is_gateway_online) == 2);
    lan.heal_and_wait();
}

#[test]
fn the_gateway_dies_while_it_is_needed_and_comes_back() {
    let mut lan = Lan::new(10);
    let user = lan.estate.user;
    let chain = lan.estate.grant(user, |_| {});
    lan.cut_and_wait();
    let running = lan.estate.session(user, &chain);
    lan.estate.world.host_mut(lan.gateway).is_running = false;
    let offline = |event: &Event| matches!(event, Event::GatewayOffline(_));
    lan.estate.expect(user, "the loss", offline);
    assert!(lan.estate.can_use(user, running, WEB));
    lan.estate.world.restart_broker(lan.gateway, rit_core::node::Config::default());
    lan.estate.forget();
    for member in lan.members() {
        lan.estate.expect(member, "the gateway", is_gateway_online);
    }
    lan.estate.session(user, &chain);
}

#[test]
fn without_a_gateway_nothing_is_different() {
    // Which packets a node sends that knows none is looked at in `nat_idle`; here, that it says
    // nothing of one.
    let mut lan = Lan::new(11);
    let host: HostId = lan.estate.user;
    lan.estate.world.with(host, |node, _, now| node.gateway_forget(now));
    lan.estate.forget();
    lan.cut();
    lan.estate.world.run_for(s(400));
    lan.heal();
    lan.estate.expect(host, "the broker", is_broker_online);
    let of_gateway = |e: &Event| matches!(e, Event::GatewayOnline | Event::GatewayOffline(_));
    assert_eq!(lan.count(host, of_gateway), 0);
}
