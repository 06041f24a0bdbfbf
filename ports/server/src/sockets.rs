//! The server's UDP sockets.
//!
//! Owns binding, and which socket a datagram came in by: that is the `ifindex` of a `Path` here, so
//! that an answer leaves by the socket whose address the node called. Invariant: sending never
//! waits; what the system does not take at once is lost, as datagrams may be.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::task::{Context, Poll};

use rit_core::base::Path;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use crate::error::Error;

/// Datagrams of a burst of nodes coming back wait in the kernel; it may grant less.
const RECEIVE_BUFFER_LEN: usize = 4 << 20;

/// The sockets, in the order they were asked for.
pub(crate) struct Sockets {
    sockets: Vec<Bound>,
    /// Who is asked first for a datagram, so that a busy socket cannot starve the others.
    first: usize,
}

struct Bound {
    socket: UdpSocket,
    is_v6: bool,
}

impl Bound {
    fn new(address: SocketAddr) -> io::Result<Self> {
        Ok(Bound { socket: bind(address)?, is_v6: address.is_ipv6() })
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

    /// Waits for a datagram.
    pub(crate) async fn receive(&mut self, buf: &mut [u8]) -> (Path, usize) {
        std::future::poll_fn(|context| self.poll_receive(context, buf)).await
    }

    /// Takes another datagram from the socket that gave the last, if it is there already.
    pub(crate) fn receive_more(&self, last: &Path, buf: &mut [u8]) -> Option<(Path, usize)> {
        let at = (last.ifindex as usize).checked_sub(1)?;
        let (len, from) = self.sockets.get(at)?.socket.try_recv_from(buf).ok()?;
        Some((Path { ifindex: last.ifindex, ..from.into() }, len))
    }

    /// Sends, or loses, a datagram.
    pub(crate) fn send(&self, path: &Path, datagram: &[u8]) {
        let mut address = path.socket_addr();
        let by_number = (path.ifindex as usize).checked_sub(1).and_then(|at| self.sockets.get(at));
        let Some(Bound { socket, is_v6 }) = by_number.or(self.sockets.first()) else { return };
        // A socket for both families takes the mapped form only.
        if let (true, IpAddr::V4(v4)) = (is_v6, address.ip()) {
            address.set_ip(v4.to_ipv6_mapped().into());
        }
        if let Err(error) = socket.try_send_to(datagram, address) {
            tracing::debug!(%address, %error, "a datagram was lost");
        }
    }

    fn poll_receive(&mut self, context: &mut Context<'_>, buf: &mut [u8]) -> Poll<(Path, usize)> {
        let count = self.sockets.len();
        for offset in 0..count {
            let at = (self.first + offset) % count;
            loop {
                let mut read = ReadBuf::new(buf);
                match self.sockets[at].socket.poll_recv_from(context, &mut read) {
                    Poll::Ready(Ok(from)) => {
                        let len = read.filled().len();
                        self.first = (at + 1) % count;
                        return Poll::Ready((Path { ifindex: at as u32 + 1, ..from.into() }, len));
                    }
                    // An error belongs to something sent before (ICMP), and reading took it away.
                    Poll::Ready(Err(error)) => tracing::debug!(%error, "receiving failed"),
                    Poll::Pending => break,
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
        for at in [1, 0, 1] {
            let called = sockets.sockets[at].socket.local_addr().unwrap();
            client.send_to(b"ping", called).await.unwrap();
            client.send_to(b"more!", called).await.unwrap();
            let mut buf = [0; 16];
            let (path, len) = sockets.receive(&mut buf).await;
            assert_eq!((path.socket_addr(), len), (client.local_addr().unwrap(), 4));
            assert_eq!(sockets.receive_more(&path, &mut buf), Some((path, 5)));
            assert_eq!(sockets.receive_more(&path, &mut buf), None);
            sockets.send(&path, b"pong");
            let (_, from) = client.recv_from(&mut buf).await.unwrap();
            assert_eq!(from, called);
        }
    }

    #[tokio::test]
    async fn all_addresses_serve_both_families() {
        let mut sockets = Sockets::bind(&[], 0).unwrap();
        let port = sockets.reachable().unwrap().port();
        assert!(!sockets.reachable().unwrap().ip().is_unspecified());
        let mut buf = [0; 16];
        for any in ["127.0.0.1", "::1"] {
            let Ok(client) = UdpSocket::bind((any, 0)).await else { continue };
            client.send_to(b"ping", (any, port)).await.unwrap();
            let (path, _) = sockets.receive(&mut buf).await;
            sockets.send(&path, b"pong");
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
