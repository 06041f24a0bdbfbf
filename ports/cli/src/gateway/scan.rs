//! `rit gateway scan`: the hosts and services of the networks here, and what they likely are.
//!
//! Owns putting together what the kernel, mDNS and connects tell, and showing it. Invariants:
//! nothing is published; nothing is connected to but what a rule allows and what is somebody
//! else's; texts of strangers are made harmless before they are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::args::Scan;
use super::kinds::{self, Guess};
use super::lines::kind;
use super::mdns::{self, Advertised};
use super::neighbours::{self, Neighbour};
use super::probe::{self, Open};
use super::rules::{Net, Rule};
use super::{Given, store};
use crate::App;
use crate::error::{Error, other};
use crate::port::is_never;
use crate::text;

/// A rule that names so many ports of its own means each of them.
const OWN_PORTS_MAX: u16 = 16;
/// A rule for so many addresses can be swept.
const SWEEP_MAX: u32 = 256;
/// Connects of one scan; at ten in a second they take some minutes.
const TARGETS_MAX: usize = 2000;

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Host {
    name: Option<String>,
    /// The address of its interface.
    link: Option<String>,
    services: Vec<Found>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Found {
    port: u16,
    kind: &'static str,
    #[serde(rename = "type")]
    likely: String,
    why: String,
    /// It was connected to.
    is_open: bool,
    is_allowed: bool,
    /// The name by which it is offered, by the configuration or because it was published.
    offered_as: Option<String>,
    /// What it could be called.
    suggestion: Option<String>,
}

/// `rit gateway scan`.
pub(crate) fn scan(app: &App, args: &Scan) -> Result<(), Error> {
    let given = Given::of(app, &args.allow, &[])?;
    let published = store::read(app)?;
    let rules = given.rules_with(&published);
    let own = neighbours::own().map_err(other)?;
    let say = |what: &str| {
        if !app.json {
            eprintln!("{what}");
        }
    };
    let mut heard = mdns::Heard::default();
    if !args.no_mdns {
        say("asking by mDNS");
        heard = mdns::ask(&networks(&own));
    }
    let (mut advertised, mut names) = heard.into_services();
    // Whoever is told to be elsewhere is no neighbour.
    let is_here = |address: &IpAddr| own.iter().any(|net| net.contains(address));
    names.retain(|address, _| is_here(address));
    advertised.iter_mut().for_each(|it| it.addresses.retain(is_here));
    if args.sweep {
        let targets = sweep(&rules, &own);
        say(&format!("looking for hosts at {} addresses", targets.len()));
        probe::probe(&targets);
    }
    let table = neighbours::table().map_err(other)?;
    let targets = targets(&rules, &own, &table, &advertised);
    say(&format!("connecting to {} ports", targets.len()));
    let open = probe::probe(&targets);
    let offered: BTreeMap<(String, u16, bool), String> = given
        .services
        .iter()
        .chain(&published.services)
        .map(|it| ((it.host.clone(), it.port, it.is_udp), it.name.clone()))
        .collect();
    let hosts = Inventory { rules: &rules, own: &own, offered }.of(table, names, advertised, open);
    if app.json {
        return app.print_json(&json(&hosts)?);
    }
    if hosts.is_empty() && !args.sweep {
        say("nobody was spoken to lately; --sweep tries each address that is allowed");
    }
    print!("{}", words(&hosts));
    Ok(())
}

/// This host's addresses on networks with others.
fn networks(own: &[Net]) -> Vec<std::net::Ipv4Addr> {
    let v4 = own.iter().filter_map(|net| match net.address {
        IpAddr::V4(v4) if !v4.is_loopback() && net.bits < 32 => Some(v4),
        _ => None,
    });
    v4.collect()
}

/// Whether it may be somebody else's, and can be said without an interface.
fn is_somebody(address: &IpAddr, own: &[Net]) -> bool {
    let is_link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !is_link_local && !is_never(address) && own.iter().all(|net| net.address != *address)
}

/// One connect for each address of the rules.
fn sweep(rules: &BTreeSet<Rule>, own: &[Net]) -> Vec<SocketAddr> {
    let mut targets = BTreeMap::new();
    for rule in rules {
        if rule.net.size().is_some_and(|size| size <= SWEEP_MAX) {
            let port = ports(rule).next().unwrap_or(rule.first);
            for address in rule.net.addresses() {
                if is_somebody(&address, own) {
                    targets.entry(address).or_insert(port);
                }
            }
        }
    }
    targets.into_iter().map(SocketAddr::from).take(TARGETS_MAX).collect()
}

/// The ports of a rule that are worth a connect: well-known ones, or all where it names a few.
fn ports(rule: &Rule) -> impl Iterator<Item = u16> + use<> {
    let (first, last) = (rule.first, rule.last);
    let own = (first..=last).take(if last - first < OWN_PORTS_MAX { usize::MAX } else { 0 });
    let known = kinds::well_known_ports().filter(move |port| (first..=last).contains(port));
    own.chain(known)
}

/// Where somebody may listen that a rule allows.
fn targets(
    rules: &BTreeSet<Rule>,
    own: &[Net],
    table: &[Neighbour],
    advertised: &[Advertised],
) -> Vec<SocketAddr> {
    let mut addresses: BTreeSet<IpAddr> = table.iter().map(|it| it.address).collect();
    addresses.extend(advertised.iter().flat_map(|it| it.addresses.iter().copied()));
    let single = |rule: &&Rule| rule.net.size() == Some(1);
    addresses.extend(rules.iter().filter(single).map(|rule| rule.net.address));
    let mut targets = BTreeSet::new();
    for address in addresses.iter().filter(|address| is_somebody(address, own)) {
        for rule in rules.iter().filter(|rule| rule.net.contains(address)) {
            targets.extend(ports(rule).map(|port| SocketAddr::new(*address, port)));
        }
    }
    let tcp = advertised.iter().filter(|it| it.kind.ends_with("._tcp.local"));
    for (address, port) in tcp.flat_map(|it| it.addresses.iter().map(|at| (*at, it.port))) {
        let is_allowed = rules.iter().any(|rule| rule.allows(&address, port));
        if is_allowed && is_somebody(&address, own) {
            targets.insert(SocketAddr::new(address, port));
        }
    }
    targets.into_iter().take(TARGETS_MAX).collect()
}

struct Inventory<'a> {
    rules: &'a BTreeSet<Rule>,
    own: &'a [Net],
    /// Names of what is offered, by host, port, and whether it is UDP.
    offered: BTreeMap<(String, u16, bool), String>,
}

impl Inventory<'_> {
    fn of(
        &self,
        table: Vec<Neighbour>,
        names: BTreeMap<IpAddr, String>,
        advertised: Vec<Advertised>,
        open: Vec<Open>,
    ) -> BTreeMap<IpAddr, Host> {
        let mut hosts: BTreeMap<IpAddr, Host> = BTreeMap::new();
        for Neighbour { address, link } in table {
            hosts.entry(address).or_default().link = Some(link);
        }
        for (address, name) in names {
            hosts.entry(address).or_default().name = Some(name);
        }
        for Open { at, banner } in open {
            let kind = advertised.iter().find(|it| it.port == at.port() && it.is_at(&at.ip()));
            let kind = kind.map(|it| it.kind.as_str());
            let guess = kinds::guess(at.port(), false, &banner, kind);
            let found = self.found(at.ip(), at.port(), false, guess, true);
            hosts.entry(at.ip()).or_default().services.push(found);
        }
        for service in &advertised {
            let is_udp = service.kind.ends_with("._udp.local");
            for address in &service.addresses {
                let services = &mut hosts.entry(*address).or_default().services;
                let is_same = |it: &Found| it.port == service.port && it.kind == kind(is_udp);
                if !services.iter().any(is_same) {
                    let guess = kinds::guess(service.port, is_udp, b"", Some(&service.kind));
                    services.push(self.found(*address, service.port, is_udp, guess, false));
                }
            }
        }
        // One's own are no neighbours.
        hosts.retain(|address, _| {
            !is_never(address) && self.own.iter().all(|own| own.address != *address)
        });
        self.suggest(&mut hosts);
        hosts
    }

    fn found(&self, at: IpAddr, port: u16, is_udp: bool, guess: Guess, is_open: bool) -> Found {
        Found {
            port,
            kind: kind(is_udp),
            likely: guess.kind,
            why: guess.why,
            is_open,
            is_allowed: self.rules.iter().any(|rule| rule.allows(&at, port)),
            offered_as: self.offered.get(&(at.to_string(), port, is_udp)).cloned(),
            suggestion: None,
        }
    }

    fn suggest(&self, hosts: &mut BTreeMap<IpAddr, Host>) {
        let mut taken: BTreeSet<String> = self.offered.values().cloned().collect();
        for (address, host) in hosts {
            let name = host.name.clone().unwrap_or_else(|| address.to_string());
            host.services.sort_by_key(|it| (it.port, it.kind));
            for found in host.services.iter_mut().filter(|it| it.offered_as.is_none()) {
                found.suggestion = Some(kinds::suggest(&found.likely, &name, &mut taken));
            }
        }
    }
}

impl Advertised {
    fn is_at(&self, address: &IpAddr) -> bool {
        self.addresses.contains(address)
    }
}

fn json(hosts: &BTreeMap<IpAddr, Host>) -> Result<serde_json::Value, Error> {
    let mut list = Vec::new();
    for (address, host) in hosts {
        let mut value = serde_json::to_value(host).map_err(other)?;
        value["address"] = address.to_string().into();
        list.push(value);
    }
    Ok(serde_json::json!({ "hosts": list }))
}

/// For people. Cells of a table are made harmless there.
fn words(hosts: &BTreeMap<IpAddr, Host>) -> String {
    let mut rows = Vec::new();
    for (address, host) in hosts {
        let who = vec![address.to_string(), host.name.clone().unwrap_or_default()];
        if host.services.is_empty() {
            let link = host.link.clone().unwrap_or_default();
            rows.push([who.clone(), vec![String::new(), String::new(), link]].concat());
        }
        for found in &host.services {
            let place =
                if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
            let udp = if found.kind == "udp" { "udp:" } else { "" };
            let what = match (&found.offered_as, &found.suggestion) {
                (Some(name), _) => format!("offered as {name}"),
                (None, Some(name)) => format!("{udp}{place}:{}={name}", found.port),
                (None, None) => String::new(),
            };
            let port = format!("{}/{}", found.port, found.kind);
            let why = match (found.is_open, found.is_allowed) {
                (true, _) => found.why.clone(),
                (false, true) => format!("{}, no answer", found.why),
                (false, false) => format!("{}, not looked at: no rule allows it", found.why),
            };
            rows.push([who.clone(), vec![port, found.likely.clone(), why, what]].concat());
        }
    }
    let table = text::table(&["ADDRESS", "HOST", "PORT", "TYPE", "WHY", "TO PUBLISH IT"], &rows);
    format!("{table}\nNothing is published. To do it, one by one: rit gateway publish …\n")
}

#[cfg(test)]
mod tests {
    use super::super::rules::rules;
    use super::*;

    fn rules_of(texts: &[&str]) -> BTreeSet<Rule> {
        texts.iter().flat_map(|text| rules(text).unwrap()).collect()
    }

    fn own() -> Vec<Net> {
        vec![Net { address: IpAddr::from([192, 168, 1, 1]), bits: 24 }]
    }

    fn neighbour(last: u8) -> Neighbour {
        Neighbour { address: IpAddr::from([192, 168, 1, last]), link: "02:00".into() }
    }

    fn web(last: u8) -> Advertised {
        Advertised {
            label: "HVAC\u{1b}[2J".into(),
            kind: "_http._tcp.local".into(),
            host: "hvac.local".into(),
            addresses: vec![IpAddr::from([192, 168, 1, last])],
            port: 8123,
        }
    }

    #[test]
    fn only_what_a_rule_allows_is_connected_to() {
        let rules = rules_of(&["192.168.1.20:80,8123", "192.168.1.0/28", "10.0.0.5:7000"]);
        let table = [neighbour(1), neighbour(5), neighbour(20), neighbour(30)];
        let found = targets(&rules, &own(), &table, &[web(20), web(30)]);
        assert!(found.iter().all(|at| rules.iter().any(|it| it.allows(&at.ip(), at.port()))));
        let at = |text: &str| found.contains(&text.parse().unwrap());
        assert!(at("192.168.1.20:80") && at("192.168.1.20:8123") && at("10.0.0.5:7000"));
        assert!(at("192.168.1.5:22") && !at("192.168.1.1:22") && !at("192.168.1.20:22"));
        assert!(!found.iter().any(|at| at.ip() == IpAddr::from([192, 168, 1, 30])));
        assert_eq!(targets(&BTreeSet::new(), &own(), &table, &[web(20)]), []);
        let all = targets(&rules_of(&["0.0.0.0/0"]), &own(), &table, &[]);
        assert_eq!(all.len(), 3 * kinds::well_known_ports().count());
    }

    #[test]
    fn a_sweep_has_its_bounds() {
        let swept = |rule: &str| sweep(&rules_of(&[rule]), &own()).len();
        assert_eq!(swept("192.168.1.0/24:80"), 255);
        assert_eq!(swept("192.168.0.0/23:80"), 0);
        assert_eq!(swept("127.0.0.0/30"), 0);
        assert_eq!(swept("192.168.1.7:9999"), 1);
    }

    #[test]
    fn what_is_shown_is_harmless() {
        let rules = rules_of(&["192.168.1.20:22"]);
        let offered =
            BTreeMap::from([(("192.168.1.20".to_owned(), 22, false), "shell".to_owned())]);
        let inventory = Inventory { rules: &rules, own: &own(), offered };
        let at = SocketAddr::from(([192, 168, 1, 20], 22));
        let names = BTreeMap::from([(at.ip(), "\u{1b}]0;x\u{7}\u{202e}\nhvac".to_owned())]);
        let open = vec![Open { at, banner: b"SSH-\x1b[2J\x07\n".to_vec() }];
        let hosts = inventory.of(vec![neighbour(1), neighbour(20)], names, vec![web(20)], open);
        assert_eq!(hosts.len(), 1);
        let host = hosts.values().next().unwrap();
        let [ssh, web] = &host.services[..] else { panic!("{host:?}") };
        assert_eq!((&*ssh.likely, ssh.offered_as.as_deref()), ("ssh", Some("shell")));
        assert_eq!((&*web.likely, web.is_open, web.is_allowed), ("http", false, false));
        assert_eq!(web.suggestion.as_deref(), Some("web.0-x-hvac"));
        let words = words(&hosts);
        assert!(words.chars().all(|c| c == '\n' || !c.is_control()) && !words.contains('\u{202e}'));
        assert_eq!(json(&hosts).unwrap()["hosts"][0]["address"], "192.168.1.20");
    }
}
