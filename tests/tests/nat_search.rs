//! Scenario: one end's NAT keeps its port and lets in only who was called there, the other's gives
//! it another port for each address that it calls. Neither knows where to send: both try many.

use rit_core::base::Time;
use rit_core::node::{Config, Event};
use rit_core::traverse::MAX_PROBES;
use rit_tests::sim::host::HostId;
use rit_tests::sim::nat::{Filtering, Mapping, NatConfig, Ports};
use rit_tests::sim::net::{Datagram, LinkConfig};
use rit_tests::sim::seeds;
use rit_tests::sim::trio::Trio;
use rit_tests::sim::world::World;
use std::sync::Mutex;
use std::time::Duration;

/// Runs, one after the other of each combination of who is where and how ports are chosen.
const SEEDS: u64 = 400;
const DELAY: Duration = Duration::from_millis(25);
const LOSS_PPM: u32 = 10_000;
const LIMIT: Duration = Duration::from_secs(5);
const SOCKETS: u16 = 512;
/// A question with its headers, about: longer ones are no part of the search.
const QUESTION_LEN: usize = 40;
/// Other questions, acknowledgements and keeping paths warm in that time.
const OTHERS: usize = 80;

fn strict(mapping: Mapping, ports: Ports) -> NatConfig {
    NatConfig { ports, ..NatConfig::v4(mapping, Filtering::AddressAndPortDependent) }
}

struct Found {
    direct: Option<Duration>,
    /// Short datagrams sent by device and user.
    sent: [usize; 2],
}

/// Even seeds have the device behind the NAT that keeps its port; one in four NATs counts up.
fn stage(seed: u64) -> Trio {
    let links = LinkConfig { loss_ppm: LOSS_PPM, ..LinkConfig::clean(DELAY) };
    let mapping = match seed / 2 % 2 {
        0 => Mapping::AddressDependent,
        _ => Mapping::AddressAndPortDependent,
    };
    let ports = if seed / 4 % 4 == 0 { Ports::Sequential(1) } else { Ports::Random };
    let keeps = strict(Mapping::EndpointIndependent, Ports::Random);
    let changes = strict(mapping, ports);
    let (device, user) = if seed % 2 == 0 { (keeps, changes) } else { (changes, keeps) };
    let config = Config { sockets: SOCKETS, ..Config::default() };
    let mut trio = Trio::behind_with(seed, links, config, &[device], &[user]);
    trio.online();
    trio
}

fn is_direct(world: &World, host: HostId) -> bool {
    let session = world.host(host).events.iter().rev().find_map(|(_, event)| match event {
        Event::SessionUp { session, .. } => Some(*session),
        _ => None,
    });
    let info = session.and_then(|session| world.node(host).session_info(session).ok());
    info.and_then(|info| info.path).is_some_and(|path| path.via == 0)
}

fn run(seed: u64) -> Found {
    let mut trio = stage(seed);
    trio.session();
    let (device, user) = (trio.device, trio.user);
    let start = trio.world.now;
    trio.world.capture = Some(Vec::new());
    let is_both = |world: &World| is_direct(world, device) && is_direct(world, user);
    let is_met = trio.world.run_until(LIMIT, is_both);
    let direct = is_met.then(|| trio.world.now.since(start));
    trio.world.run_for(LIMIT - direct.unwrap_or(LIMIT));
    let capture = trio.world.capture.take().unwrap_or_default();
    let sent = [device, user].map(|host| {
        let site = trio.world.host(host).site;
        let ip = trio.world.boxes(site)[0].outer_ip();
        let is_question =
            |(_, d): &&(Time, Datagram)| d.src.ip == ip && d.bytes.len() <= QUESTION_LEN;
        capture.iter().filter(is_question).count()
    });
    if let Some(session) = direct.map(|_| trio.session_of(user)) {
        trio.check_alive(session, 1);
    }
    Found { direct, sent }
}

#[test]
fn nineteen_in_twenty_meet_in_five_seconds_and_512_questions() {
    let found: Mutex<Vec<(u64, Found)>> = Mutex::default();
    seeds::run("search", SEEDS, |seed| {
        let became = run(seed);
        let most = *became.sent.iter().max().unwrap_or(&0);
        assert!(most <= usize::from(MAX_PROBES) + OTHERS, "seed {seed}: {most} sent");
        found.lock().expect("no thread panics here").push((seed, became));
    });
    let found = found.into_inner().expect("no thread panics here");
    let missed: Vec<u64> =
        found.iter().filter(|(_, f)| f.direct.is_none()).map(|(seed, _)| *seed).collect();
    let mut times: Vec<Duration> = found.iter().filter_map(|(_, f)| f.direct).collect();
    times.sort();
    let at = |percent: usize| times.get(times.len().saturating_sub(1) * percent / 100);
    println!("{} of {} direct; not: {missed:?}", times.len(), found.len());
    println!("median {:?}, 90 % {:?}, last {:?}", at(50), at(90), at(100));
    let most = found.iter().flat_map(|(_, f)| f.sent).max();
    println!("most short datagrams of one end in that time: {most:?}");
    if found.len() as u64 == SEEDS {
        assert!(missed.len() * 20 <= found.len(), "more than one in twenty: {missed:?}");
    }
}

/// The way that was found is lost for longer than NATs remember: the relay carries on, and another
/// one is found.
#[test]
fn what_is_lost_is_searched_for_again() {
    let mut trio = stage(1);
    let session = trio.session();
    let (device, user) = (trio.device, trio.user);
    let is_both = move |world: &World| is_direct(world, device) && is_direct(world, user);
    assert!(trio.world.run_until(LIMIT, is_both));
    let site = trio.world.host(device).site;
    trio.world.boxes(site)[0].reboot();
    trio.open_flow(session, 1, 300_000, 300_000);
    assert!(trio.run_until_idle(Duration::from_secs(60)));
    assert!(trio.world.run_until(Duration::from_secs(30), is_both), "{}", trio.events());
    trio.check_alive(session, 2);
}

/// The NAT that chooses ports forgets them all, when no search rests any more.
#[test]
fn where_the_nat_forgot_they_meet_again_nearly_always() {
    let met: Vec<u64> = (0..16).filter(|seed| meets_again(*seed)).collect();
    println!("{} of 16 met again within {LIMIT:?} of the relay: {met:?}", met.len());
    assert!(met.len() >= 14, "only {met:?}");
}

fn meets_again(seed: u64) -> bool {
    let mut trio = stage(seed);
    let session = trio.session();
    let (device, user) = (trio.device, trio.user);
    let is_both = move |world: &World| is_direct(world, device) && is_direct(world, user);
    if !trio.world.run_until(LIMIT, is_both) {
        return true;
    }
    trio.world.run_for(Duration::from_secs(40));
    let site = trio.world.host(if seed % 2 == 0 { user } else { device }).site;
    trio.world.boxes(site)[0].reboot();
    trio.check_alive(session, 1);
    trio.world.run_for(LIMIT);
    trio.check_alive(session, 2);
    is_both(&trio.world)
}
