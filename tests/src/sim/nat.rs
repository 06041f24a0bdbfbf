//! Simulated NATs and firewalls in the words of RFC 4787: UDP, and TCP in the same manner;
//! sans-I/O, seeded.
//!
//! Owns one box's table of mappings and what it lets through, for one family of addresses: IPv4
//! to IPv4, IPv6 behind a stateful firewall (RFC 6092), or IPv6 to IPv4 (NAT64: RFC 6146 with the
//! prefix of RFC 6052). Knows nothing of links or of who sits where; `sites` does.
//!
//! Invariants: a port in use is never given to another inside endpoint; what was silent for the
//! whole timeout is gone.

use super::net::Datagram;
use rit_core::base::{Path, Rng, Time};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The well-known prefix of RFC 6052 §2.1, `64:ff9b::/96`.
const NAT64_PREFIX: [u8; 12] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
/// Ports below are never given out (RFC 4787 §4.2.1 keeps them apart).
const PORT_MIN: u16 = 1024;
const PORT_COUNT: u32 = 65_536 - PORT_MIN as u32;

/// What an outside port is chosen by (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mapping {
    /// Addresses are not translated.
    None,
    /// The inside endpoint alone.
    EndpointIndependent,
    /// The inside endpoint and the outside address.
    AddressDependent,
    /// The inside endpoint, the outside address and its port.
    AddressAndPortDependent,
}

/// What may come in (RFC 4787 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filtering {
    /// Everything: what has a mapping, or without translation simply all.
    None,
    /// What goes to an inside endpoint that sent anything to anybody.
    EndpointIndependent,
    /// What comes from an address that the inside endpoint sent to.
    AddressDependent,
    /// What comes from an endpoint that the inside endpoint sent to.
    AddressAndPortDependent,
}

/// How a new mapping's port is chosen; one that is taken makes way for the next that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// The inside endpoint's own.
    Preserving,
    /// The last one and so many more.
    Sequential(u16),
    /// Any.
    Random,
}

/// Which addresses the box has inside and outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4 both sides.
    V4,
    /// IPv6 both sides.
    V6,
    /// IPv6 inside, IPv4 outside.
    Nat64,
}

/// What a box does.
#[derive(Clone, Debug)]
pub struct NatConfig {
    /// Addresses it handles.
    pub family: Family,
    /// By what it chooses an outside port.
    pub mapping: Mapping,
    /// What it lets in.
    pub filtering: Filtering,
    /// Which port it chooses.
    pub ports: Ports,
    /// Silence after which it forgets.
    pub timeout: Duration,
    /// Whether what comes in counts as a sign of life too (RFC 4787 §4.3).
    pub is_refreshed_inbound: bool,
    /// Whether two inside endpoints reach each other by outside addresses (RFC 4787 §6).
    pub is_hairpinning: bool,
    /// Nothing but TCP passes.
    pub is_udp_blocked: bool,
}

impl NatConfig {
    /// An IPv4 NAT; without translation a firewall.
    pub fn v4(mapping: Mapping, filtering: Filtering) -> Self {
        NatConfig {
            family: Family::V4,
            mapping,
            filtering,
            ports: Ports::Random,
            timeout: Duration::from_secs(120),
            is_refreshed_inbound: false,
            is_hairpinning: true,
            is_udp_blocked: false,
        }
    }

    /// An IPv6 firewall.
    pub fn v6(filtering: Filtering) -> Self {
        NatConfig { family: Family::V6, ..NatConfig::v4(Mapping::None, filtering) }
    }

    /// A NAT64. It cannot be without translation.
    pub fn nat64(mapping: Mapping, filtering: Filtering) -> Self {
        assert_ne!(mapping, Mapping::None, "a NAT64 translates");
        NatConfig { family: Family::Nat64, ..NatConfig::v4(mapping, filtering) }
    }
}

/// What became of datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatStats {
    /// Let out.
    pub outbound: u64,
    /// Let in.
    pub inbound: u64,
    /// Dropped because UDP is blocked.
    pub blocked: u64,
    /// Dropped on the way in: no mapping has that port.
    pub unmapped: u64,
    /// Dropped on the way in: the filter does not know the sender.
    pub filtered: u64,
    /// Dropped on the way out: to the box itself, which does not hairpin.
    pub unturned: u64,
}

/// One inside endpoint as the outside sees it.
struct Entry {
    inner: Path,
    /// Outside endpoints it has to do with, and the last sign of life of each.
    remotes: BTreeMap<Path, Time>,
}

/// A NAT or firewall.
pub struct NatBox {
    /// What it does; may change while it runs.
    pub config: NatConfig,
    /// What it did.
    pub stats: NatStats,
    outer_ip: [u8; 16],
    /// By outside endpoint.
    entries: BTreeMap<Path, Entry>,
    /// Outside endpoints by inside endpoint and, as far as the mapping depends on it, the remote.
    outer_of: BTreeMap<(Path, Option<Path>), Path>,
    last_port: u16,
    rng: Rng,
}

impl NatBox {
    /// A box with nothing in its table; `outer` is its outside address where it translates.
    pub fn new(config: NatConfig, outer: [u8; 4], mut rng: Rng) -> Self {
        NatBox {
            config,
            stats: NatStats::default(),
            outer_ip: Path::v4(outer, 0).ip,
            entries: BTreeMap::new(),
            outer_of: BTreeMap::new(),
            last_port: any_port(&mut rng),
            rng,
        }
    }

    /// Whether a datagram from inside to `dst` leaves through this box.
    pub fn is_way_to(&self, dst: &Path) -> bool {
        let is_nat64 = dst.ip.starts_with(&NAT64_PREFIX);
        match self.config.family {
            Family::V4 => is_v4(dst),
            Family::V6 => !is_v4(dst) && !is_nat64,
            Family::Nat64 => is_nat64,
        }
    }

    /// Whether `address` is the box's own, on its outside.
    pub fn is_own(&self, address: &Path) -> bool {
        self.config.mapping != Mapping::None && address.ip == self.outer_ip
    }

    /// The outside address.
    pub fn outer_ip(&self) -> [u8; 16] {
        self.outer_ip
    }

    /// Mappings that live.
    pub fn mappings(&mut self, now: Time) -> usize {
        self.forget_idle(now);
        self.entries.len()
    }

    /// Forgets all, and goes on with other ports unless it preserves them.
    pub fn reboot(&mut self) {
        self.entries.clear();
        self.outer_of.clear();
        self.last_port = any_port(&mut self.rng);
    }

    /// The same with another outside address.
    pub fn readdress(&mut self, outer: [u8; 4]) {
        self.reboot();
        self.outer_ip = Path::v4(outer, 0).ip;
    }

    /// A datagram from inside, as it leaves outside.
    pub fn outbound(&mut self, datagram: Datagram, now: Time) -> Option<Datagram> {
        if self.is_blocked(&datagram) {
            self.stats.blocked += 1;
            return None;
        }
        let remote = match self.config.family {
            Family::Nat64 => without_prefix(&datagram.dst)?,
            Family::V4 | Family::V6 => datagram.dst,
        };
        if self.is_own(&remote) && !self.config.is_hairpinning {
            self.stats.unturned += 1;
            return None;
        }
        self.forget_idle(now);
        let outer = self.map(datagram.src, remote)?;
        let inner = datagram.src;
        let fresh = || Entry { inner, remotes: BTreeMap::new() };
        self.entries.entry(outer).or_insert_with(fresh).remotes.insert(remote, now);
        self.stats.outbound += 1;
        Some(Datagram { src: outer, dst: remote, ..datagram })
    }

    /// A datagram from outside, as it arrives inside.
    pub fn inbound(&mut self, datagram: Datagram, now: Time) -> Option<Datagram> {
        if self.is_blocked(&datagram) {
            self.stats.blocked += 1;
            return None;
        }
        self.forget_idle(now);
        let is_open =
            self.config.mapping == Mapping::None && self.config.filtering == Filtering::None;
        let dst = match self.entries.get_mut(&datagram.dst) {
            Some(entry) if is_open || permits(self.config.filtering, entry, &datagram.src) => {
                if self.config.is_refreshed_inbound {
                    entry.remotes.insert(datagram.src, now);
                }
                entry.inner
            }
            Some(_) => {
                self.stats.filtered += 1;
                return None;
            }
            None if is_open => datagram.dst,
            None => {
                self.stats.unmapped += 1;
                return None;
            }
        };
        self.stats.inbound += 1;
        let src = match self.config.family {
            Family::Nat64 => with_prefix(&datagram.src)?,
            Family::V4 | Family::V6 => datagram.src,
        };
        Some(Datagram { src, dst, ..datagram })
    }

    fn is_blocked(&self, datagram: &Datagram) -> bool {
        self.config.is_udp_blocked && datagram.dst.socket != Path::TLS
    }

    /// The outside endpoint of what `inner` sends to `remote`.
    fn map(&mut self, inner: Path, remote: Path) -> Option<Path> {
        let scope = match self.config.mapping {
            Mapping::None => return Some(inner),
            Mapping::EndpointIndependent => None,
            Mapping::AddressDependent => Some(Path { port: 0, ..remote }),
            Mapping::AddressAndPortDependent => Some(remote),
        };
        if let Some(outer) = self.outer_of.get(&(inner, scope)) {
            return Some(*outer);
        }
        let outer = self.allocate(inner)?;
        self.outer_of.insert((inner, scope), outer);
        Some(outer)
    }

    /// A port that is free; none if all are taken.
    fn allocate(&mut self, inner: Path) -> Option<Path> {
        let first = match self.config.ports {
            Ports::Preserving => inner.port.max(PORT_MIN),
            Ports::Sequential(step) => plus(self.last_port, u32::from(step)),
            Ports::Random => any_port(&mut self.rng),
        };
        let (ip, socket) = (self.outer_ip, inner.socket);
        let endpoint = |port| Path { ip, port, via: 0, socket, ifindex: 0 };
        let mut all = (0..PORT_COUNT).map(|more| endpoint(plus(first, more)));
        let outer = all.find(|outer| !self.entries.contains_key(outer))?;
        self.last_port = outer.port;
        Some(outer)
    }

    fn forget_idle(&mut self, now: Time) {
        let timeout = self.config.timeout;
        self.entries.retain(|_, entry| {
            entry.remotes.retain(|_, last| now.since(*last) < timeout);
            !entry.remotes.is_empty()
        });
        let entries = &self.entries;
        self.outer_of.retain(|_, outer| entries.contains_key(outer));
    }
}

fn permits(filtering: Filtering, entry: &Entry, src: &Path) -> bool {
    match filtering {
        Filtering::None | Filtering::EndpointIndependent => true,
        Filtering::AddressDependent => entry.remotes.keys().any(|remote| remote.ip == src.ip),
        Filtering::AddressAndPortDependent => entry.remotes.contains_key(src),
    }
}

fn any_port(rng: &mut Rng) -> u16 {
    PORT_MIN + rng.below(u64::from(PORT_COUNT)) as u16
}

/// A port so many further, round the range of those given out.
fn plus(port: u16, more: u32) -> u16 {
    PORT_MIN + ((u32::from(port - PORT_MIN) + more) % PORT_COUNT) as u16
}

/// Whether this is an IPv4 address.
pub fn is_v4(path: &Path) -> bool {
    Ipv6Addr::from(path.ip).to_ipv4_mapped().is_some()
}

/// An IPv4 address as hosts behind a NAT64 see it (RFC 6052 §2.2); none of an IPv6 address.
pub fn with_prefix(path: &Path) -> Option<Path> {
    let v4 = Ipv6Addr::from(path.ip).to_ipv4_mapped()?;
    let mut ip = [0; 16];
    ip[..12].copy_from_slice(&NAT64_PREFIX);
    ip[12..].copy_from_slice(&v4.octets());
    Some(Path { ip, ..*path })
}

/// The IPv4 address in one of `64:ff9b::/96`.
pub fn without_prefix(path: &Path) -> Option<Path> {
    let last: [u8; 4] = path.ip.strip_prefix(&NAT64_PREFIX)?.try_into().ok()?;
    Some(Path { ip: Ipv4Addr::from(last).to_ipv6_mapped().octets(), ..*path })
}

#[cfg(test)]
mod tests;
