//! Scenario: a device and a user behind every pair of boxes, with loss and clocks that drift.
//!
//! Each pair must come to what first principles say (`sim::reach`), as far as this version goes:
//! see `as_built`. How long it took is in the table, `core/NAT.md`, which must be as this test
//! makes it: `RIT_WRITE_NAT=1` writes it anew. `RIT_SEED=n` runs pair n alone.

use rit_core::base::{Path, Time};
use rit_core::node::{Config, Event};
use rit_tests::sim::host::HostId;
use rit_tests::sim::nat::{Filtering, Mapping, NatConfig};
use rit_tests::sim::net::{Datagram, LinkConfig};
use rit_tests::sim::reach::{End, MAPPINGS, Outcome, ends, expected};
use rit_tests::sim::seeds;
use rit_tests::sim::trio::{SERVICE, Trio};
use rit_tests::sim::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// One way between any two hosts.
const DELAY: Duration = Duration::from_millis(25);
const LOSS_PPM: u32 = 10_000;
const DRIFT_PPM: i32 = 100;
/// How long to go on after the session was asked for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what was found must last: longer than boxes remember what is not used.
const AFTERWARDS: Duration = Duration::from_secs(150);
/// Datagrams that all three and the relay together send then, while nothing happens: one in four
/// seconds from each to each of two others, and half as much again.
const IDLE_DATAGRAMS: usize = 450;
/// What each end can send from beside its first socket.
const SOCKETS: u16 = 512;
/// Ports tried, or sent from, that make a search: more than there are candidates.
const SEARCH_PORTS: usize = 48;

/// What this version can do; what it cannot is expected to fail, but for a NAT64, where only some
/// pairs do.
const HAS_NAT64: bool = true;
const HAS_RELAY: bool = true;
const HAS_SEARCH: bool = true;
const HAS_RELAY_OVER_TCP: bool = true;

/// What addresses the two ends have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Net {
    /// IPv4.
    V4,
    /// IPv6 behind firewalls.
    V6,
    /// The device has but IPv6, and a NAT64.
    Nat64Device,
    /// The user has.
    Nat64User,
}

/// Where UDP is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocked {
    Nowhere,
    Device,
    User,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    net: Net,
    blocked: Blocked,
    device: End,
    user: End,
}

/// What became of a pair; times since the session was asked for.
#[derive(Clone, Copy, Debug)]
struct Found {
    outcome: Outcome,
    first_byte: Option<Duration>,
    direct: Option<Duration>,
}

const NETS: [Net; 4] = [Net::V4, Net::V6, Net::Nat64Device, Net::Nat64User];
const BLOCKED: [Blocked; 3] = [Blocked::Nowhere, Blocked::Device, Blocked::User];

/// The ends of a kind of net: of the device, and of the user.
fn ends_of(net: Net) -> [Vec<End>; 2] {
    let (all, nat64, firewalls) = (ends(&MAPPINGS), ends(&MAPPINGS[1..]), ends(&[Mapping::None]));
    match net {
        Net::V4 => [all.clone(), all],
        Net::V6 => [firewalls.clone(), firewalls],
        Net::Nat64Device => [nat64, all],
        Net::Nat64User => [all, nat64],
    }
}

fn pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (net, blocked) in NETS.iter().flat_map(|net| BLOCKED.map(|blocked| (*net, blocked))) {
        let [devices, users] = ends_of(net);
        for device in &devices {
            let pair = |user: &End| Pair { net, blocked, device: *device, user: *user };
            pairs.extend(users.iter().map(pair));
        }
    }
    pairs
}

impl Pair {
    /// The boxes of device and user.
    fn boxes(&self) -> [NatConfig; 2] {
        let of = |end: End, is_nat64: bool| match self.net {
            Net::V6 => NatConfig::v6(end.filtering),
            _ if is_nat64 => NatConfig::nat64(end.mapping, end.filtering),
            _ => NatConfig::v4(end.mapping, end.filtering),
        };
        let device = NatConfig {
            is_udp_blocked: self.blocked == Blocked::Device,
            ..of(self.device, self.net == Net::Nat64Device)
        };
        let user = NatConfig {
            is_udp_blocked: self.blocked == Blocked::User,
            ..of(self.user, self.net == Net::Nat64User)
        };
        [device, user]
    }

    /// What must come of it.
    fn expected(&self) -> Outcome {
        match self.blocked {
            Blocked::Nowhere => expected(self.device, self.user),
            Blocked::Device | Blocked::User => Outcome::Relayed,
        }
    }

    /// What this version makes of it; none where that is not settled.
    fn as_built(&self) -> Option<Outcome> {
        let is_nat64 = matches!(self.net, Net::Nat64Device | Net::Nat64User);
        if is_nat64 && !HAS_NAT64 {
            return None;
        }
        Some(match self.expected() {
            Outcome::Searched if HAS_SEARCH => Outcome::Searched,
            Outcome::Searched | Outcome::Relayed if self.is_relayed() => Outcome::Relayed,
            Outcome::Direct => Outcome::Direct,
            _ => Outcome::None,
        })
    }

    /// Whether the two never come to rest.
    fn is_chase(&self) -> bool {
        let is_mapped = |end: End| end.mapping == Mapping::AddressAndPortDependent;
        is_mapped(self.device) && is_mapped(self.user)
    }

    fn is_relayed(&self) -> bool {
        HAS_RELAY && (HAS_RELAY_OVER_TCP || self.blocked == Blocked::Nowhere)
    }
}

fn is_online(world: &World, host: HostId) -> bool {
    world.host(host).has_event(|event| matches!(event, Event::BrokerOnline))
}

fn is_up(world: &World, host: HostId) -> bool {
    world.host(host).has_event(|event| matches!(event, Event::SessionUp { .. }))
}

/// Whether a host's session goes straight.
fn is_direct(world: &World, host: HostId) -> bool {
    let session = world.host(host).events.iter().rev().find_map(|(_, event)| match event {
        Event::SessionUp { session, .. } => Some(*session),
        _ => None,
    });
    let info = session.and_then(|session| world.node(host).session_info(session).ok());
    info.and_then(|info| info.path).is_some_and(|path| path.via == 0)
}

/// Whether one end tried many ports, or sent from many.
fn is_search(capture: &[(Time, Datagram)]) -> bool {
    let mut tried: BTreeMap<[u8; 16], [BTreeSet<Path>; 2]> = BTreeMap::new();
    for (_, datagram) in capture {
        let [from, to] = tried.entry(datagram.src.ip).or_default();
        from.insert(datagram.src);
        to.insert(datagram.dst);
    }
    tried.values().flatten().any(|ports| ports.len() > SEARCH_PORTS)
}

fn run(pair: &Pair, seed: u64) -> Found {
    let links = LinkConfig { loss_ppm: LOSS_PPM, ..LinkConfig::clean(DELAY) };
    let [device_box, user_box] = pair.boxes();
    let config = Config { sockets: SOCKETS, ..Config::default() };
    let mut trio = Trio::behind_with(seed, links, config, &[device_box], &[user_box]);
    let (device, user) = (trio.device, trio.user);
    trio.world.set_drift(device, DRIFT_PPM);
    trio.world.set_drift(user, -DRIFT_PPM);
    let mut found = Found { outcome: Outcome::None, first_byte: None, direct: None };
    trio.connect();
    let is_met = trio.world.run_until(Duration::from_secs(20), |world| {
        is_online(world, device) && is_online(world, user)
    });
    if !is_met {
        return found;
    }
    let start = trio.world.now;
    trio.world.capture = Some(Vec::new());
    let session = trio.ask_for_session();
    if !trio.world.run_until(PATIENCE, |world| is_up(world, user)) {
        return found;
    }
    found.first_byte = Some(trio.world.now.since(start));
    trio.open_flow(session, 1, 1_000, 1_000);
    let is_both = |world: &World| is_direct(world, device) && is_direct(world, user);
    if trio.world.run_until(PATIENCE, is_both) {
        found.direct = Some(trio.world.now.since(start));
    }
    let capture = trio.world.capture.replace(Vec::new()).unwrap_or_default();
    trio.world.run_for(AFTERWARDS);
    let idle = trio.world.capture.take().unwrap_or_default().len();
    // Where each question of one comes from a port that the other does not know, more are asked.
    let is_quiet = idle <= IDLE_DATAGRAMS * if pair.is_chase() { 3 } else { 1 };
    assert!(is_quiet, "{pair:?}: {idle} datagrams where nothing happened");
    let again = trio
        .world
        .with(user, |node, app, now| app.open(node, session, (SERVICE, 2, 1_000, 1_000), now));
    if again.is_ok() {
        trio.run_until_idle(PATIENCE);
    }
    found.outcome = match (trio.world.app(user).done.len(), is_both(&trio.world)) {
        (0..=1, _) => Outcome::None,
        (_, false) => Outcome::Relayed,
        (_, true) if is_search(&capture) => Outcome::Searched,
        (_, true) => Outcome::Direct,
    };
    found
}

/// How an end is written in the table.
fn name(end: &End) -> String {
    let mapping = match end.mapping {
        Mapping::None => "none",
        Mapping::EndpointIndependent => "EI",
        Mapping::AddressDependent => "AD",
        Mapping::AddressAndPortDependent => "APD",
    };
    let filtering = match end.filtering {
        Filtering::None => "none",
        Filtering::EndpointIndependent => "EI",
        Filtering::AddressDependent => "AD",
        Filtering::AddressAndPortDependent => "APD",
    };
    format!("{mapping}/{filtering}")
}

fn round_trips(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() / (2.0 * DELAY.as_secs_f64()))
}

fn cell(found: &Found) -> String {
    let times = [found.first_byte, found.direct].map(|t| t.map_or("–".to_owned(), round_trips));
    match found.outcome {
        Outcome::None => "none".to_owned(),
        outcome => format!("{outcome} {}, {}", times[0], times[1]),
    }
}

/// One row for each end of the device, one column for each of the user.
fn matrix(out: &mut String, net: Net, found: &[Found]) {
    let [devices, users] = ends_of(net);
    let columns: Vec<String> = users.iter().map(name).collect();
    let _ = writeln!(out, "| device \\ user | {} |", columns.join(" | "));
    let _ = writeln!(out, "|{}", " --- |".repeat(users.len() + 1));
    for (device, row) in devices.iter().zip(found.chunks(users.len())) {
        let cells: Vec<String> = row.iter().map(cell).collect();
        let _ = writeln!(out, "| **{}** | {} |", name(device), cells.join(" | "));
    }
}

/// How many pairs came to what.
fn count(found: &[Found]) -> String {
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    found.iter().for_each(|f| *counts.entry(f.outcome).or_default() += 1);
    let counts: Vec<String> = counts.iter().map(|(outcome, n)| format!("{n} {outcome}")).collect();
    counts.join(", ")
}

const HEAD: &str = "\
# Who reaches whom

Made by `tests/tests/nat_pairs.rs`; do not edit. `RIT_WRITE_NAT=1 cargo test -p rit-tests --test
nat_pairs` writes it anew.

A device (rows) and a user (columns), each behind a box of the kind `mapping/filtering` in the words
of RFC 4787: `none`, `EI` endpoint-independent, `AD` address-dependent, `APD`
address-and-port-dependent. Boxes choose ports at random, forget after 120 s and do not take what
comes in for a sign of life; each link has a delay of 25 ms and loses 1 %; the two clocks drift
apart by 200 ppm. In each cell: how the two reach each other, and in round trips (50 ms) after the
session was asked for: when the user could send its first byte, and when both ends used the direct
path. The least possible for the first byte is 2: one round trip to the broker, one to the peer.

What must come of a pair, and why, is in `tests/src/sim/reach.rs`; the test fails where it does not.
";

fn heading(net: Net) -> &'static str {
    match net {
        Net::V4 => "IPv4 at both",
        Net::V6 => "IPv6 at both, firewalls without translation",
        Net::Nat64Device => "The device has IPv6 and a NAT64, the user IPv4",
        Net::Nat64User => "The user has IPv6 and a NAT64, the device IPv4",
    }
}

fn table(found: &[Found]) -> String {
    let mut out = HEAD.to_owned();
    let mut rest = found;
    for net in NETS {
        let _ = writeln!(out, "\n## {}\n", heading(net));
        let [devices, users] = ends_of(net);
        for blocked in BLOCKED {
            let (these, more) = rest.split_at(devices.len() * users.len());
            rest = more;
            match blocked {
                Blocked::Nowhere => {
                    let _ = writeln!(out, "{}.\n", count(these));
                    matrix(&mut out, net, these);
                }
                Blocked::Device => {
                    let _ = writeln!(out, "\nUDP blocked at the device: {}.", count(these));
                }
                Blocked::User => {
                    let _ = writeln!(out, "\nUDP blocked at the user: {}.", count(these));
                }
            }
        }
    }
    out
}

/// Compares the table with the one that is kept, or writes it.
fn keep(table: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/NAT.md");
    if env::var_os("RIT_WRITE_NAT").is_some() {
        return fs::write(&path, table).expect("the table can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(table.lines()).find(|(kept, made)| kept != made);
    if let Some((kept, made)) = differs {
        panic!("core/NAT.md is old; RIT_WRITE_NAT=1 writes it anew\nkept {kept}\nmade {made}");
    }
    assert_eq!(kept.len(), table.len(), "core/NAT.md is old; RIT_WRITE_NAT=1 writes it anew");
}

#[test]
fn every_pair_comes_to_what_it_must() {
    let pairs = pairs();
    let found: Mutex<BTreeMap<u64, Found>> = Mutex::default();
    seeds::run("pairs", pairs.len() as u64, |index| {
        let became = run(&pairs[index as usize], index);
        found.lock().expect("no thread panics here").insert(index, became);
    });
    let found = found.into_inner().expect("no thread panics here");
    // A search is a matter of chance.
    let is_unlucky = |index: &u64, became: &Found| {
        let must = pairs[*index as usize].as_built();
        must == Some(Outcome::Searched) && became.outcome == Outcome::Relayed
    };
    let is_wrong = |(index, became): &(&u64, &Found)| {
        let must = pairs[**index as usize].as_built();
        must.is_some_and(|must| must != became.outcome) && !is_unlucky(index, became)
    };
    let unlucky = found.iter().filter(|(index, became)| is_unlucky(index, became)).count();
    let lucky = found.values().filter(|became| became.outcome == Outcome::Searched).count();
    println!("{unlucky} of {} searches found nothing", unlucky + lucky);
    let wrong: Vec<_> = found.iter().filter(is_wrong).collect();
    for (index, became) in &wrong {
        let pair = &pairs[**index as usize];
        let (device, user, must) = (name(&pair.device), name(&pair.user), pair.expected());
        let (net, blocked) = (pair.net, pair.blocked);
        eprintln!("pair {index}: {net:?} {blocked:?} {device} {user}: {became:?}, not {must}");
    }
    assert!(wrong.is_empty(), "{} pairs of {} went wrong", wrong.len(), found.len());
    if found.len() == pairs.len() {
        assert!(unlucky * 20 <= unlucky + lucky, "more than one search in twenty found nothing");
        let table = table(&found.into_values().collect::<Vec<_>>());
        println!("{table}");
        keep(&table);
    }
}

#[test]
fn the_same_pair_takes_the_same_time_again() {
    let pairs = pairs();
    for index in (0..pairs.len() as u64).step_by(97) {
        let both = [(); 2].map(|()| cell(&run(&pairs[index as usize], index)));
        assert_eq!(both[0], both[1], "{:?}", pairs[index as usize]);
    }
}
