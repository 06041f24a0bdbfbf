//! What hosts tell of themselves by mDNS (RFC 6762) and DNS-SD (RFC 6763).
//!
//! Owns the one-shot questions (RFC 6762 section 5.1), asked from a port of its own, and taking the
//! answers apart. Does not own whether they are true: anybody on the network can say anything.
//! Invariants: what is kept of answers is bounded, however many come; only those to a question that
//! was asked, from mDNS's port, are looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, TYPE};

use super::kinds;
use crate::port::is_never;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
/// Which types there are (RFC 6763 section 9).
const TYPES: &str = "_services._dns-sd._udp.local";
/// How long answers to one round of questions are waited for.
const WAIT: Duration = Duration::from_millis(1200);
const DATAGRAM_MAX: usize = 9000;
const DATAGRAMS_MAX: usize = 500;
const QUESTIONS_MAX: usize = 16;
const SOCKETS_MAX: usize = 16;
const TYPES_MAX: usize = 64;
const INSTANCES_MAX: usize = 500;
const HOSTS_MAX: usize = 500;
const ADDRESSES_MAX: usize = 8;

/// A service as it is advertised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Advertised {
    /// Its name for people.
    pub(crate) label: String,
    /// `_http._tcp.local`.
    pub(crate) kind: String,
    pub(crate) host: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: u16,
}

#[derive(Default)]
struct Instance {
    label: String,
    kind: String,
    place: Option<(String, u16)>,
}

/// What was heard, by names in lower case.
#[derive(Default)]
pub(crate) struct Heard {
    kinds: BTreeSet<String>,
    instances: BTreeMap<String, Instance>,
    hosts: BTreeMap<String, BTreeSet<IpAddr>>,
    asked: BTreeSet<(String, u16)>,
}

impl Heard {
    /// Takes an answer to the question with this number.
    pub(crate) fn take(&mut self, bytes: &[u8], id: u16) {
        let Ok(packet) = Packet::parse(bytes) else { return };
        if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
            return;
        }
        // What an answer leads to stands behind it, as a rule.
        for record in packet.answers.iter().chain(&packet.additional_records) {
            let owner = record.name.to_string().to_lowercase();
            match &record.rdata {
                RData::PTR(ptr) => self.take_pointer(owner, &ptr.0),
                RData::SRV(srv) => {
                    if let Some(instance) = self.instances.get_mut(&owner) {
                        instance.place = Some((srv.target.to_string().to_lowercase(), srv.port));
                    }
                }
                RData::A(a) => self.take_address(owner, IpAddr::V4(Ipv4Addr::from(a.address))),
                RData::AAAA(a) => self.take_address(owner, IpAddr::V6(Ipv6Addr::from(a.address))),
                _ => {}
            }
        }
    }

    fn take_pointer(&mut self, owner: String, to: &Name<'_>) {
        let name = to.to_string();
        if owner == TYPES {
            let is_known = self.kinds.len() < TYPES_MAX && name.ends_with(".local");
            if is_known && name.starts_with('_') {
                self.kinds.insert(name.to_lowercase());
            }
        } else if owner.starts_with('_') && self.instances.len() < INSTANCES_MAX {
            let Some(label) = to.as_bytes().next() else { return };
            let label = String::from_utf8_lossy(label).into_owned();
            let instance = self.instances.entry(name.to_lowercase()).or_default();
            instance.label = label;
            instance.kind = owner;
        }
    }

    fn take_address(&mut self, owner: String, address: IpAddr) {
        if is_never(&address) {
            return;
        }
        let is_new = !self.hosts.contains_key(&owner);
        if is_new && self.hosts.len() >= HOSTS_MAX {
            return;
        }
        let addresses = self.hosts.entry(owner).or_default();
        if addresses.len() < ADDRESSES_MAX {
            addresses.insert(address);
        }
    }

    /// What is to be asked next; nothing twice.
    fn questions(&mut self) -> Vec<(String, TYPE)> {
        let mut wanted = vec![(TYPES.to_owned(), TYPE::PTR)];
        wanted.extend(kinds::advertised_types().map(|kind| (kind, TYPE::PTR)));
        wanted.extend(self.kinds.iter().map(|kind| (kind.clone(), TYPE::PTR)));
        for (name, instance) in &self.instances {
            match &instance.place {
                None => wanted.push((name.clone(), TYPE::SRV)),
                Some((host, _)) if !self.hosts.contains_key(host) => {
                    wanted.push((host.clone(), TYPE::A));
                    wanted.push((host.clone(), TYPE::AAAA));
                }
                Some(_) => {}
            }
        }
        wanted.retain(|(name, kind)| self.asked.insert((name.clone(), u16::from(*kind))));
        wanted
    }

    /// The services, and the names of hosts by their addresses.
    pub(crate) fn into_services(self) -> (Vec<Advertised>, BTreeMap<IpAddr, String>) {
        let mut names = BTreeMap::new();
        for (host, addresses) in &self.hosts {
            for address in addresses {
                names.entry(*address).or_insert_with(|| host.trim_end_matches(".local").to_owned());
            }
        }
        let mut services = Vec::new();
        for Instance { label, kind, place } in self.instances.into_values() {
            let Some((host, port)) = place.filter(|(_, port)| *port > 0) else { continue };
            let addresses = self.hosts.get(&host).map(|it| it.iter().copied().collect());
            let addresses = addresses.unwrap_or_default();
            services.push(Advertised { label, kind, host, addresses, port });
        }
        services.sort();
        (services, names)
    }
}

fn query(id: u16, questions: &[(String, TYPE)]) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    for (text, kind) in questions {
        // One that is too long to be asked for stays unanswered.
        let Ok(name) = Name::new(text) else { continue };
        packet.questions.push(Question::new(name, (*kind).into(), CLASS::IN.into(), false));
    }
    (!packet.questions.is_empty()).then(|| packet.build_bytes_vec_compressed().ok()).flatten()
}

/// Asks on the networks of these addresses.
pub(crate) fn ask(own: &[Ipv4Addr]) -> Heard {
    let mut heard = Heard::default();
    let sockets: Vec<UdpSocket> =
        own.iter().take(SOCKETS_MAX).filter_map(|own| socket(*own)).collect();
    let mut left = DATAGRAMS_MAX;
    for _round in 0..4 {
        let questions = heard.questions();
        if questions.is_empty() || sockets.is_empty() {
            break;
        }
        let mut seed = [0; 2];
        if getrandom::fill(&mut seed).is_err() {
            break;
        }
        let id = u16::from_ne_bytes(seed);
        for packet in questions.chunks(QUESTIONS_MAX).filter_map(|some| query(id, some)) {
            for socket in &sockets {
                let _ = socket.send_to(&packet, (GROUP, PORT));
            }
        }
        listen(&sockets, &mut heard, id, &mut left);
    }
    heard
}

/// The address chooses the interface.
fn socket(own: Ipv4Addr) -> Option<UdpSocket> {
    let socket = UdpSocket::bind((own, 0)).ok()?;
    rustix::net::sockopt::set_ip_multicast_if(&socket, &own).ok()?;
    socket.set_multicast_ttl_v4(255).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

fn listen(sockets: &[UdpSocket], heard: &mut Heard, id: u16, left: &mut usize) {
    let end = Instant::now() + WAIT;
    let mut bytes = vec![0; DATAGRAM_MAX];
    while Instant::now() < end && *left > 0 {
        for socket in sockets {
            while let Ok((len, from)) = socket.recv_from(&mut bytes) {
                if *left > 0 && is_responder(&from) {
                    *left -= 1;
                    heard.take(&bytes[..len], id);
                }
                if Instant::now() >= end {
                    return;
                }
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_responder(from: &SocketAddr) -> bool {
    from.port() == PORT
}

#[cfg(test)]
mod tests;
