//! The sockets by which a gateway is found: one for each family of each interface.
//!
//! Owns which interfaces there are, looked at every few seconds, and a task for each socket. Does
//! not own what is said there (`responder`). Invariants: a socket is bound to the group's address,
//! so that this machine has no open port more; it hears only its interface; only hosts on the
//! network of an interface are answered (RFC 6762 §11); what is read is bounded, whatever comes.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use if_addrs::{IfAddr, Interface};
use rit_core::base::{PublicKey, Rng};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::records::{ADDRESSES_MAX, Records};
use super::responder::{PORT, Responder};
use crate::state::random_seed;

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// RFC 6762 §17.
const DATAGRAM_MAX: usize = 9000;
/// How often interfaces are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// What is read of a socket: so many datagrams, then it waits.
const READ_AT_ONCE: u32 = 100;
const READ_PAUSE: Duration = Duration::from_millis(100);
/// Interfaces with neighbours that are served.
const LINES_MAX: usize = 32;

/// Where the server listens, as far as it matters here.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) key: PublicKey,
    pub(crate) port: u16,
    /// Unspecified ones stand for all.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Listening {
    fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| match (own, address) {
            (IpAddr::V6(own), _) if own.is_unspecified() => true,
            (IpAddr::V4(own), IpAddr::V4(_)) if own.is_unspecified() => true,
            (own, address) => *own == address,
        })
    }
}

/// An interface by its index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Of this machine on it, each with the length of its prefix.
    own: Vec<(IpAddr, u8)>,
    /// Those at which the server listens.
    pub(crate) served: Vec<IpAddr>,
    /// This machine's on all interfaces, which may be on the same network.
    machine: Vec<IpAddr>,
}

impl Link {
    fn is_on_link(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => true,
            _ => self.own.iter().any(|(own, len)| is_same_net(*own, address, *len)),
        }
    }
}

fn is_same_net(a: IpAddr, b: IpAddr, prefix_len: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let ((a, a_len), (b, b_len)) = (bits(a), bits(b));
    let rest = 128 - u32::from(prefix_len).min(a_len);
    a_len == b_len && (a ^ b).checked_shr(rest).unwrap_or(0) == 0
}

/// Interfaces that are up, with neighbours, and with an address at which the server listens.
pub(crate) fn links(listening: &Listening) -> BTreeMap<u32, Link> {
    let found = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "the interfaces cannot be looked at");
        Vec::new()
    });
    sorted(listening, &found)
}

fn sorted(listening: &Listening, found: &[Interface]) -> BTreeMap<u32, Link> {
    let mut links: BTreeMap<u32, Link> = BTreeMap::new();
    let machine: Vec<IpAddr> = found.iter().map(Interface::ip).collect();
    for one in found.iter().filter(|one| !one.is_loopback() && !one.is_p2p && one.is_oper_up()) {
        let Some(index) = one.index else { continue };
        let prefix_len = match &one.addr {
            IfAddr::V4(v4) => v4.prefixlen,
            IfAddr::V6(v6) => v6.prefixlen,
        };
        let link = links.entry(index).or_default();
        link.machine.clone_from(&machine);
        link.own.push((one.ip(), prefix_len));
        if listening.has(one.ip()) && link.served.len() < ADDRESSES_MAX {
            link.served.push(one.ip());
        }
    }
    links.retain(|_, link| !link.served.is_empty());
    while links.len() > LINES_MAX {
        links.pop_last();
    }
    links
}

/// A task for each socket.
pub(crate) struct Lines {
    listening: Listening,
    is_silent: bool,
    links: BTreeMap<u32, Link>,
    tasks: BTreeMap<(u32, bool), (watch::Sender<Link>, JoinHandle<()>)>,
}

impl Lines {
    /// is_silent: nothing is said or heard, the interfaces are looked at all the same.
    pub(crate) fn new(listening: Listening, is_silent: bool) -> Self {
        Lines { listening, is_silent, links: BTreeMap::new(), tasks: BTreeMap::new() }
    }

    /// Serves the interfaces that there are, until the other end of `stop` is dropped; tells of
    /// each change.
    pub(crate) async fn run(
        mut self,
        mut stop: watch::Receiver<()>,
        changed: impl Fn(&BTreeMap<u32, Link>),
    ) {
        loop {
            let links = links(&self.listening);
            if links != self.links {
                self.set(links);
                changed(&self.links);
            }
            self.tasks.retain(|_, (_, task)| !task.is_finished());
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stop.changed() => break,
            }
        }
        // Each says goodbye.
        for (_, (orders, task)) in self.tasks {
            drop(orders);
            let _ = task.await;
        }
    }

    fn set(&mut self, links: BTreeMap<u32, Link>) {
        self.tasks.retain(|(index, _), (orders, task)| match links.get(index) {
            Some(link) => {
                let is_new = orders.borrow().clone() != *link;
                !task.is_finished() && (!is_new || orders.send(link.clone()).is_ok())
            }
            None => false,
        });
        for (index, link) in links.iter().filter(|_| !self.is_silent) {
            for is_v6 in [false, true] {
                let has_family = link.own.iter().any(|(own, _)| own.is_ipv6() == is_v6);
                if has_family && !self.tasks.contains_key(&(*index, is_v6)) {
                    match self.start(*index, is_v6, link) {
                        Ok(task) => {
                            self.tasks.insert((*index, is_v6), task);
                        }
                        Err(error) => {
                            tracing::info!(index, is_v6, %error, "nobody is told of this server");
                        }
                    }
                }
            }
        }
        self.links = links;
    }

    fn start(
        &self,
        index: u32,
        is_v6: bool,
        link: &Link,
    ) -> io::Result<(watch::Sender<Link>, JoinHandle<()>)> {
        let socket = if is_v6 { open_v6(index) } else { open_v4(index, link) }?;
        let group = if is_v6 {
            SocketAddr::V6(SocketAddrV6::new(GROUP_V6, PORT, 0, index))
        } else {
            SocketAddr::from((GROUP_V4, PORT))
        };
        let seed = random_seed().map_err(|_| io::ErrorKind::Other)?;
        let Listening { key, port, .. } = self.listening;
        let records = Records::new(&key, port, link.served.clone());
        let responder = Responder::new(records, Rng::from_seed(seed), Instant::now());
        let (orders, received) = watch::channel(link.clone());
        let line = Line { socket, group, responder, orders: received, key, port };
        Ok((orders, tokio::spawn(line.run())))
    }
}

fn open_v4(index: u32, link: &Link) -> io::Result<UdpSocket> {
    let own = link.own.iter().find_map(|(own, _)| match own {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    });
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_multicast_if_v4(&own.unwrap_or(Ipv4Addr::UNSPECIFIED))?;
    socket.set_multicast_ttl_v4(255)?;
    socket.set_ttl_v4(255)?;
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v4(false)?;
    socket.bind(&SocketAddr::from((GROUP_V4, PORT)).into())?;
    socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))?;
    finish(socket)
}

fn open_v6(index: u32) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.set_multicast_if_v6(index)?;
    socket.set_multicast_hops_v6(255)?;
    socket.set_unicast_hops_v6(255)?;
    socket.bind(&SocketAddr::V6(SocketAddrV6::new(GROUP_V6, PORT, 0, index)).into())?;
    socket.join_multicast_v6(&GROUP_V6, index)?;
    finish(socket)
}

fn finish(socket: Socket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// One socket, and what is said by it.
struct Line {
    socket: UdpSocket,
    group: SocketAddr,
    responder: Responder,
    orders: watch::Receiver<Link>,
    key: PublicKey,
    port: u16,
}

impl Line {
    async fn run(mut self) {
        let mut buffer = vec![0; DATAGRAM_MAX];
        let (mut left, mut link) = (READ_AT_ONCE, self.orders.borrow().clone());
        loop {
            let deadline = self.responder.deadline();
            let deadline = deadline.unwrap_or_else(|| Instant::now() + LOOK_EVERY);
            tokio::select! {
                changed = self.orders.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    link = self.orders.borrow_and_update().clone();
                    let records = Records::new(&self.key, self.port, link.served.clone());
                    self.responder.set_records(records, Instant::now());
                }
                () = tokio::time::sleep_until(deadline.into()) => {}
                received = self.socket.recv_from(&mut buffer), if left > 0 => {
                    left -= 1;
                    if let Ok((len, from)) = received {
                        self.take(&buffer[..len], from, &link).await;
                    }
                }
                () = tokio::time::sleep(READ_PAUSE), if left < READ_AT_ONCE => left = READ_AT_ONCE,
            }
            while let Some(bytes) = self.responder.poll(Instant::now()) {
                self.send(&bytes, self.group).await;
            }
        }
        if let Some(bytes) = self.responder.goodbye() {
            self.send(&bytes, self.group).await;
        }
    }

    async fn take(&mut self, datagram: &[u8], from: SocketAddr, link: &Link) {
        if !link.is_on_link(from.ip()) {
            return;
        }
        let is_own = link.machine.contains(&from.ip());
        if let Some(answer) = self.responder.handle(datagram, from, is_own, Instant::now()) {
            self.send(&answer, from).await;
        }
    }

    async fn send(&self, bytes: &[u8], to: SocketAddr) {
        if let Err(error) = self.socket.send_to(bytes, to).await {
            tracing::debug!(%to, %error, "an answer was lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_told_apart() {
        for (own, len, other, is_same) in [
            ("192.168.1.1", 24, "192.168.1.255", true),
            ("192.168.1.1", 24, "192.168.2.1", false),
            ("192.168.1.1", 32, "192.168.1.1", true),
            ("192.168.1.1", 32, "192.168.1.2", false),
            ("192.168.1.1", 0, "8.8.8.8", true),
            ("2001:db8::1", 64, "2001:db8::2:3", true),
            ("2001:db8::1", 64, "2001:db8:0:1::1", false),
            ("2001:db8::1", 0, "::1", true),
            ("192.168.1.1", 0, "::1", false),
        ] {
            assert_eq!(is_same_net(ip(own), ip(other), len), is_same, "{own}/{len} {other}");
        }
        let link = Link { own: vec![(ip("10.0.0.1"), 8)], ..Link::default() };
        assert!(link.is_on_link(ip("10.9.9.9")) && link.is_on_link(ip("fe80::9")));
        assert!(!link.is_on_link(ip("11.0.0.1")) && !link.is_on_link(ip("2001:db8::1")));
    }

    #[test]
    fn only_what_is_listened_at_is_told() {
        let listening = |all: &[&str]| Listening {
            key: PublicKey([1; 32]),
            port: 7480,
            addresses: all.iter().map(|text| ip(text)).collect(),
        };
        let (v4, v6) = (ip("192.168.1.1"), ip("fd00::1"));
        let has = |all: &[&str]| (listening(all).has(v4), listening(all).has(v6));
        assert_eq!(has(&["::"]), (true, true));
        assert_eq!(has(&["0.0.0.0"]), (true, false));
        assert_eq!(has(&["192.168.1.1"]), (true, false));
        assert_eq!(has(&["192.168.1.2", "fd00::1"]), (false, true));
        // Loopback is no link, whatever else this machine has.
        assert!(links(&listening(&["127.0.0.1"])).is_empty());
    }
}
