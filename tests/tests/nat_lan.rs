//! Scenarios: two of one home that are told no good address of each other there, behind a box that
//! does not hairpin. They find each other by multicast, where their ports can, and by nothing else.

use rit_core::base::{Path, Time};
use rit_core::node::Config;
use rit_core::traverse::LAN_GROUPS;
use rit_tests::sim::host::HostId;
use rit_tests::sim::nat::{Filtering, Mapping, NatConfig};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::sites::INTERNET;
use rit_tests::sim::trio::Trio;
use rit_tests::sim::world::World;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(25);

fn plain() -> NatConfig {
    let home = NatConfig::v4(Mapping::EndpointIndependent, Filtering::AddressAndPortDependent);
    NatConfig { is_hairpinning: false, ..home }
}

/// Device and user at a site behind `boxes` or each at one of its own, the ports of their addresses
/// told wrong; links with a loss in parts per million; whether the ports of device and user can do
/// multicast.
fn stage(seed: u64, boxes: &[NatConfig], is_together: bool, loss: u32, can: [bool; 2]) -> Trio {
    let lossy = |delay| LinkConfig { loss_ppm: loss, ..LinkConfig::clean(delay) };
    let config = |multicast| Config { multicast, ..Config::default() };
    let mut trio = Trio::behind_with(seed, lossy(DELAY), config(can[0]), &[], &[]);
    trio.world.restart_node(trio.user, config(can[1]));
    let site = trio.world.add_site(INTERNET, boxes);
    let other = if is_together { site } else { trio.world.add_site(INTERNET, boxes) };
    trio.world.net.set_site_default(site, lossy(Duration::from_millis(1)));
    for (host, site) in [(trio.device, site), (trio.user, other)] {
        trio.world.place(host, site);
        let wrong = |own: &Path| Path { port: own.port + 1, ..*own };
        let told: Vec<Path> = trio.world.host(host).addresses.iter().map(wrong).collect();
        trio.world.with(host, |node, _, now| node.set_local_paths(&told, now)).unwrap();
    }
    trio.world.capture = Some(Vec::new());
    trio.online();
    trio
}

/// The session after this long: its round trip at the user, and whether that is by a relay.
fn meet(trio: &mut Trio, wait: Duration) -> (u64, bool) {
    let session = trio.session();
    trio.check_alive(session, 1);
    trio.world.run_for(wait);
    trio.check_alive(session, 2);
    state(trio)
}

fn state(trio: &Trio) -> (u64, bool) {
    let node = trio.world.node(trio.user);
    let info = node.session_info(trio.session_of(trio.user)).expect("it is up");
    (info.rtt_us / 1000, info.path.expect("it has one").via != 0)
}

/// What went to groups from a host: when, and how long it is.
fn to_groups(trio: &Trio, from: HostId) -> Vec<(Time, usize)> {
    let own = &trio.world.host(from).addresses;
    let capture = trio.world.capture.as_ref().expect("it is captured");
    let is_its = |(_, datagram): &&(Time, rit_tests::sim::net::Datagram)| {
        datagram.dst.is_multicast() && own.contains(&datagram.src)
    };
    capture.iter().filter(is_its).map(|(at, datagram)| (*at, datagram.bytes.len())).collect()
}

#[test]
fn two_of_one_home_find_each_other_though_nobody_tells_where_they_are() {
    for seed in 0..20 {
        let mut trio = stage(seed, &[plain()], true, 0, [true; 2]);
        let (rtt, is_relayed) = meet(&mut trio, Duration::from_secs(2));
        assert!(rtt < 10 && !is_relayed, "seed {seed}: {rtt} ms, relayed: {is_relayed}");
        // Found by the first, of either or of both.
        let asked = [trio.device, trio.user].map(|host| to_groups(&trio, host));
        assert!(asked.iter().all(|own| own.len() <= 1), "seed {seed}: {asked:?}");
        let lens = || asked.iter().flatten().map(|(_, len)| *len);
        assert!(lens().count() > 0 && lens().all(|len| len < 80), "seed {seed}: {asked:?}");
    }
}

#[test]
fn by_either_family_and_by_both() {
    let v6 = NatConfig::v6(Filtering::AddressAndPortDependent);
    for (seed, boxes) in [vec![v6.clone()], vec![plain(), v6]].iter().enumerate() {
        let mut trio = stage(seed as u64, boxes, true, 0, [true; 2]);
        let (rtt, is_relayed) = meet(&mut trio, Duration::from_secs(2));
        assert!(rtt < 10 && !is_relayed, "{rtt} ms, relayed: {is_relayed}");
    }
}

#[test]
fn with_loss_some_of_the_questions_are_enough() {
    let mut relayed = Vec::new();
    for seed in 0..40 {
        let mut trio = stage(seed, &[plain()], true, 100_000, [true; 2]);
        let (_, is_relayed) = meet(&mut trio, Duration::from_secs(6));
        relayed.extend(is_relayed.then_some(seed));
    }
    assert!(relayed.is_empty(), "seeds {relayed:?}");
}

#[test]
fn one_that_only_listens_is_found_too() {
    for is_user in [true, false] {
        let mut trio = stage(1, &[plain()], true, 0, [true; 2]);
        let deaf = if is_user { trio.user } else { trio.device };
        trio.world.host_mut(deaf).is_in_groups = false;
        let (rtt, is_relayed) = meet(&mut trio, Duration::from_secs(2));
        assert!(rtt < 10 && !is_relayed, "{rtt} ms, relayed: {is_relayed}");
    }
}

#[test]
fn without_it_there_is_but_the_relay() {
    for can in [[false, false], [true, false], [false, true]] {
        let mut trio = stage(2, &[plain()], true, 0, can);
        let is_deaf = |host| !trio.world.host(host).is_in_groups;
        assert_eq!([is_deaf(trio.device), is_deaf(trio.user)], can.map(|can| !can));
        let (rtt, is_relayed) = meet(&mut trio, Duration::from_secs(60));
        assert!(is_relayed && rtt >= 100, "{rtt} ms");
        for (host, can) in [(trio.device, can[0]), (trio.user, can[1])] {
            // Three questions to one group: the host has no address of the other's family.
            assert_eq!(to_groups(&trio, host).len(), if can { 3 } else { 0 });
        }
    }
}

#[test]
fn those_who_are_elsewhere_ask_a_few_times_and_are_left_alone() {
    let mut trio = stage(3, &[plain()], false, 0, [true; 2]);
    let (_, is_relayed) = meet(&mut trio, Duration::from_secs(900));
    assert!(!is_relayed, "their boxes let them");
    assert_eq!([trio.device, trio.user].map(|host| to_groups(&trio, host).len()), [3, 3]);
}

#[test]
fn who_is_near_by_its_own_address_asks_nobody() {
    let mut trio = stage(4, &[plain()], true, 0, [true; 2]);
    for host in [trio.device, trio.user] {
        trio.tell_addresses(host);
    }
    trio.world.run_for(Duration::from_secs(1));
    let (rtt, is_relayed) = meet(&mut trio, Duration::from_secs(20));
    assert!(rtt < 10 && !is_relayed);
    assert_eq!([trio.device, trio.user].map(|host| to_groups(&trio, host).len()), [0, 0]);
}

#[test]
fn one_that_comes_home_finds_the_other_there() {
    // By its box's address before, or by the relay.
    let strict = NatConfig { mapping: Mapping::AddressAndPortDependent, ..plain() };
    for (is_relayed_before, nat) in [(false, plain()), (true, strict)] {
        let mut trio = stage(5, &[nat], false, 0, [true; 2]);
        let (rtt, is_relayed) = meet(&mut trio, Duration::from_secs(20));
        assert!(rtt > 10 && is_relayed == is_relayed_before);
        let (home, user) = (trio.world.host(trio.device).site, trio.user);
        trio.world.place(user, home);
        trio.world.with(user, |node, _, now| node.network_changed(now));
        trio.world.run_for(Duration::from_secs(5));
        let (rtt, is_relayed) = state(&trio);
        assert!(rtt < 10 && !is_relayed, "{rtt} ms, relayed: {is_relayed}");
    }
}

#[test]
fn a_group_is_never_a_path() {
    for seed in 0..5 {
        let mut trio = stage(seed, &[plain()], true, 50_000, [true; 2]);
        let session = trio.session();
        for _ in 0..200 {
            trio.world.run_for(Duration::from_millis(50));
            for host in [trio.device, trio.user] {
                let (now, session) = (trio.world.local_time(host), trio.session_of(host));
                let paths = trio.world.node(host).session_paths(session, now).expect("it is up");
                assert!(paths.iter().all(|info| !info.path.is_multicast()), "{paths:?}");
            }
        }
        trio.check_alive(session, 1);
        for host in [trio.device, trio.user] {
            assert!(to_groups(&trio, host).iter().all(|(_, len)| *len < 80), "questions alone");
        }
    }
}

#[test]
fn a_stranger_gets_no_answer_to_what_it_overhears() {
    let mut trio = stage(6, &[plain()], true, 0, [true; 2]);
    trio.ask_for_session();
    let is_asked = |world: &World| {
        world.capture.iter().flatten().any(|(_, datagram)| datagram.dst.is_multicast())
    };
    assert!(trio.world.run_until(Duration::from_secs(5), is_asked));
    trio.world.run_for(Duration::from_micros(1500));
    let stranger = Path::v4([192, 168, 1, 99], 7484);
    let repeat = |trio: &mut Trio| {
        let capture = trio.world.capture.as_ref().expect("it is captured");
        let all = capture.iter().filter(|(_, datagram)| datagram.dst.is_multicast());
        let overheard: Vec<Vec<u8>> = all.map(|(_, datagram)| datagram.bytes.clone()).collect();
        for mut bytes in overheard {
            for host in [trio.device, trio.user] {
                trio.world.inject(stranger, host, &bytes);
                *bytes.last_mut().expect("it is a packet") ^= 1;
                trio.world.inject(stranger, host, &bytes);
            }
        }
        trio.world.run_for(Duration::from_secs(5));
        let capture = trio.world.capture.iter().flatten();
        let answers = capture.filter(|(_, datagram)| datagram.dst == stranger);
        answers.map(|(_, datagram)| datagram.bytes.len()).collect::<Vec<usize>>()
    };
    assert!(repeat(&mut trio).is_empty());
    // Later, to a connection ID that is not in use any more: a stateless reset, as ever.
    assert!(repeat(&mut trio).iter().all(|len| *len <= 43));
    let (rtt, is_relayed) = state(&trio);
    assert!(rtt < 10 && !is_relayed, "the session notices nothing");
}

#[test]
fn a_group_told_as_an_address_is_not_called() {
    let mut trio = stage(7, &[plain()], false, 0, [false; 2]);
    for host in [trio.device, trio.user] {
        trio.world.with(host, |node, _, now| node.set_local_paths(&LAN_GROUPS, now)).unwrap();
    }
    trio.world.run_for(Duration::from_secs(1));
    meet(&mut trio, Duration::from_secs(20));
    assert_eq!([trio.device, trio.user].map(|host| to_groups(&trio, host).len()), [0, 0]);
}
