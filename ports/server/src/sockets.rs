//! The server's UDP sockets.
//!
//! Owns binding, and which socket a datagram came in by: that is the `ifindex` of a `Path` here, so
//! that an answer leaves by the socket whose address the node called. Datagrams come many at once,
//! those of one sender joined where the system can (UDP_GRO), and leave joined where they go the
//! same way (UDP_SEGMENT). Invariant: sending never waits; what the system does not take at once is
//! lost, as datagrams may be.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::task::{Context, Poll};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use rit_core::base::Path;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::error::Error;

/// Datagrams of a burst of nodes coming back wait in the kernel; it may grant less.
const RECEIVE_BUFFER_LEN: usize = 4 << 20;

/// The largest datagram of IPv4 and IPv6 without jumbograms, and the most that is joined.
const SLOT_LEN: usize = 65_535;
/// The most bytes that leave joined: a datagram's, without the headers of IPv6 and UDP.
const JOINED_MAX: usize = 65_535 - 48;

/// What came at once, until all of it is taken.
pub(crate) struct Received {
    slots: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
    /// Filled slots, of which so many are taken.
    filled: usize,
    taken: usize,
    ifindex: u32,
}

/// Datagrams of one sender, end to end, each `size` bytes long, the last perhaps shorter.
pub(crate) struct Run<'a> {
    pub(crate) from: Path,
    pub(crate) datagrams: &'a mut [u8],
    pub(crate) size: usize,
}

impl Received {
    pub(crate) fn new() -> Self {
        Received {
            slots: vec![0; BATCH_SIZE * SLOT_LEN],
            metas: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
            taken: 0,
            ifindex: 0,
        }
    }

    /// The next of what came.
    pub(crate) fn next(&mut self) -> Option<Run<'_>> {
        let is_answerable = |meta: &&RecvMeta| meta.addr.port() != 0;
        let came = self.metas.get(self.taken..self.filled)?;
        // To send to port 0 fails, and makes quinn-udp give up UDP_SEGMENT for good.
        self.taken += came.iter().take_while(|meta| !is_answerable(meta)).count();
        let meta = self.metas.get(..self.filled)?.get(self.taken)?;
        let from = Path { ifindex: self.ifindex, ..meta.addr.into() };
        let start = self.taken * SLOT_LEN;
        self.taken += 1;
        let datagrams = self.slots.get_mut(start..start + meta.len)?;
        Some(Run { from, datagrams, size: meta.stride.max(1) })
    }

    /// Takes from a socket what is there, instead of what was here.
    fn fill(&mut self, bound: &Bound, ifindex: u32) -> io::Result<()> {
        (self.filled, self.taken, self.ifindex) = (0, 0, ifindex);
        let mut chunks = self.slots.chunks_mut(SLOT_LEN);
        let mut slots: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let Bound { socket, state, .. } = bound;
        let receive = || state.recv(socket.into(), &mut slots, &mut self.metas);
        self.filled = socket.try_io(Interest::READABLE, receive)?;
        Ok(())
    }
}

/// The sockets, in the order they were asked for.
pub(crate) struct Sockets {
    sockets: Vec<Bound>,
    /// Who is asked first for a datagram, so that a busy socket cannot starve the others.
    first: usize,
}

struct Bound {
    socket: UdpSocket,
    state: UdpSocketState,
    is_v6: bool,
}

impl Bound {
    fn new(address: SocketAddr) -> io::Result<Self> {
        let socket = bind(address)?;
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Bound { socket, state, is_v6: address.is_ipv6() })
    }

    /// Sends datagrams of one destination as one, if the system can.
    fn send_joined(&self, address: SocketAddr, datagrams: &[u8], size: usize) -> io::Result<()> {
        if datagrams.len() <= size {
            return self.socket.try_send_to(datagrams, address).map(|_| ());
        }
        let transmit = Transmit {
            destination: address,
            ecn: None,
            contents: datagrams,
            segment_size: Some(size),
            src_ip: None,
        };
        let send = || self.state.try_send((&self.socket).into(), &transmit);
        match self.socket.try_io(Interest::WRITABLE, send) {
            // Not every device can; and there the system says so only now.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => datagrams
                .chunks(size)
                .try_for_each(|datagram| self.socket.try_send_to(datagram, address).map(|_| ())),
            result => result,
        }
    }
}

impl Sockets {
    /// Binds all of `addresses`, or where there are none all addresses of the machine on `port`.
    pub(crate) fn bind(addresses: &[SocketAddr], port: u16) -> Result<Self, Error> {
        let bound = if addresses.is_empty() {
            let any_v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
            let any_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            let socket = match Bound::new(any_v6) {
                Err(error) if is_without_v6(&error) => Bound::new(any_v4).map_err(listen(any_v4)),
                result => result.map_err(listen(any_v6)),
            };
            vec![socket?]
        } else {
            let bound = |at: &SocketAddr| Bound::new(*at).map_err(listen(*at));
            let bound = addresses.iter().map(bound);
            bound.collect::<Result<Vec<_>, Error>>()?
        };
        Ok(Sockets { sockets: bound, first: 0 })
    }

    /// Binds another port of the first socket's address, and says which.
    pub(crate) fn bind_second(&mut self, port: u16) -> Result<u16, Error> {
        let Some(first) = self.sockets.first() else { return Ok(0) };
        let failed = |error: io::Error| Error::Start(error.to_string());
        let mut address = first.socket.local_addr().map_err(failed)?;
        address.set_port(port);
        let second = Bound::new(address).map_err(listen(address))?;
        let port = second.socket.local_addr().map_err(failed)?.port();
        self.sockets.push(second);
        Ok(port)
    }

    /// The IP addresses of all sockets, without repetition.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let local = |bound: &Bound| bound.socket.local_addr().map(|address| address.ip());
        let mut all: Vec<IpAddr> = self.sockets.iter().filter_map(|one| local(one).ok()).collect();
        all.dedup();
        all
    }

    /// The address of the first socket, as a node can reach it: instead of "all addresses", the one
    /// this machine calls others from.
    pub(crate) fn reachable(&self) -> io::Result<SocketAddr> {
        let Some(first) = self.sockets.first() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let local = first.socket.local_addr()?;
        if !local.ip().is_unspecified() {
            return Ok(local);
        }
        // Addresses for documentation (RFC 5737, RFC 3849): nothing is sent to them.
        let outer = outgoing_ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        let outer = outer.or_else(|| {
            let doc = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
            outgoing_ip(IpAddr::V6(doc)).filter(|_| local.is_ipv6())
        });
        Ok(SocketAddr::new(outer.unwrap_or(Ipv4Addr::LOCALHOST.into()), local.port()))
    }

    /// Waits for datagrams.
    pub(crate) async fn receive(&mut self, received: &mut Received) {
        std::future::poll_fn(|context| self.poll_receive(context, received)).await;
    }

    /// Sends, or loses, datagrams of `size` bytes each, end to end, the last perhaps shorter.
    pub(crate) fn send_run(&self, path: &Path, datagrams: &[u8], size: usize) {
        let mut address = path.socket_addr();
        let by_number = (path.ifindex as usize).checked_sub(1).and_then(|at| self.sockets.get(at));
        let Some(bound) = by_number.or(self.sockets.first()) else { return };
        // A socket for both families takes the mapped form only.
        if let (true, IpAddr::V4(v4)) = (bound.is_v6, address.ip()) {
            address.set_ip(v4.to_ipv6_mapped().into());
        }
        let mut rest = datagrams;
        while !rest.is_empty() {
            let count = bound.state.max_gso_segments().min(JOINED_MAX / size.max(1)).max(1);
            let (joined, more) = rest.split_at(rest.len().min(count * size.max(1)));
            rest = more;
            if let Err(error) = bound.send_joined(address, joined, size) {
                tracing::debug!(%address, %error, "datagrams were lost");
            }
        }
    }

    fn poll_receive(&mut self, context: &mut Context<'_>, received: &mut Received) -> Poll<()> {
        let count = self.sockets.len();
        for offset in 0..count {
            let at = (self.first + offset) % count;
            let bound = &self.sockets[at];
            while bound.socket.poll_recv_ready(context).is_ready() {
                match received.fill(bound, at as u32 + 1) {
                    Ok(()) => {
                        self.first = (at + 1) % count;
                        return Poll::Ready(());
                    }
                    // It is not ready any more, and says when it is.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // An error belongs to something sent before (ICMP), and reading took it away.
                    Err(error) => tracing::debug!(%error, "receiving failed"),
                }
            }
        }
        Poll::Pending
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN) {
        tracing::debug!(%error, "the receive buffer stays small");
    }
    socket.bind(&address.into())?;
    UdpSocket::from_std(StdSocket::from(socket))
}

fn listen(address: SocketAddr) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Listen { address, source }
}

fn is_without_v6(error: &io::Error) -> bool {
    let codes = [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::ADDRNOTAVAIL];
    codes.iter().any(|code| error.raw_os_error() == Some(code.raw_os_error()))
}

/// The address this machine has towards `target`, by its routing table.
fn outgoing_ip(target: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match target {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = StdSocket::bind((any, 0)).ok()?;
    socket.connect((target, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_leaves_by_the_socket_that_was_called() {
        let loopback: Vec<SocketAddr> =
            ["127.0.0.1:0", "127.0.0.2:0"].map(|text| text.parse().unwrap()).to_vec();
        let mut sockets = Sockets::bind(&loopback, 0).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut received = Received::new();
        for at in [1, 0, 1] {
            let called = sockets.sockets[at].socket.local_addr().unwrap();
            client.send_to(b"ping", called).await.unwrap();
            client.send_to(b"more!", called).await.unwrap();
            let mut came = Vec::new();
            while came.len() < 2 {
                sockets.receive(&mut received).await;
                while let Some(run) = received.next() {
                    assert_eq!(run.from.socket_addr(), client.local_addr().unwrap());
                    came.push(run.datagrams.to_vec());
                    sockets.send_run(&run.from, b"pong", 4);
                    let (_, from) = client.recv_from(&mut [0; 16]).await.unwrap();
                    assert_eq!(from, called);
                }
            }
            assert_eq!(came, [&b"ping"[..], b"more!"]);
        }
    }

    #[tokio::test]
    async fn a_run_comes_as_the_datagrams_it_is_made_of() {
        let loopback = ["127.0.0.1:0".parse().unwrap()];
        let (a, mut b) =
            (Sockets::bind(&loopback, 0).unwrap(), Sockets::bind(&loopback, 0).unwrap());
        let to = Path::from(b.sockets[0].socket.local_addr().unwrap());
        let from = a.sockets[0].socket.local_addr().unwrap();
        a.sockets[0].socket.writable().await.unwrap();
        let mut received = Received::new();
        // Alone, joined, and more than can be joined: by their number, and by their length.
        for (count, size, last) in
            [(1, 9, 9), (3, 100, 1), (3, 100, 100), (200, 9, 5), (9, 9000, 1)]
        {
            let sent: Vec<u8> = (0..(count - 1) * size + last).map(|i| (i / size) as u8).collect();
            a.send_run(&to, &sent, size);
            let mut came = Vec::new();
            while came.len() < count {
                b.receive(&mut received).await;
                while let Some(run) = received.next() {
                    assert_eq!(run.from.socket_addr(), from);
                    came.extend(run.datagrams.chunks(run.size).map(<[u8]>::to_vec));
                }
            }
            assert_eq!(came, sent.chunks(size).map(<[u8]>::to_vec).collect::<Vec<_>>());
        }
        a.send_run(&to, &[], 0);
        a.send_run(&to, b"end", 3);
        while received.next().is_none_or(|run| run.datagrams != b"end") {
            b.receive(&mut received).await;
        }
    }

    #[tokio::test]
    async fn all_addresses_serve_both_families() {
        let mut sockets = Sockets::bind(&[], 0).unwrap();
        let port = sockets.reachable().unwrap().port();
        assert!(!sockets.reachable().unwrap().ip().is_unspecified());
        let (mut received, mut buf) = (Received::new(), [0; 16]);
        for any in ["127.0.0.1", "::1"] {
            let Ok(client) = UdpSocket::bind((any, 0)).await else { continue };
            client.send_to(b"ping", (any, port)).await.unwrap();
            sockets.receive(&mut received).await;
            sockets.send_run(&received.next().unwrap().from, b"pong", 4);
            assert_eq!(client.recv(&mut buf).await.unwrap(), 4);
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_said() {
        let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let _holder = bind(taken).unwrap();
        let error = Sockets::bind(&[taken], 0).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
    }
}
