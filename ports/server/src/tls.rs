//! Nodes that come by TCP with TLS, because their network blocks UDP: core's carriers around
//! tokio's sockets.
//!
//! Owns the listeners, the connections and their queues. What comes out of a connection goes into
//! the serve loop as a datagram of a path with socket [`Path::TLS`], and what the loop sends to
//! such a path goes into the connection's queue. Invariants: connections have a thread of their
//! own, so that handshakes hold up nothing else; they are limited in number, in all and by address;
//! a handshake and silence have their time; whoever sends too much waits, whoever reads too slowly
//! loses datagrams, and the loop waits for nobody.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rit_core::base::{Path, Rng, Time};
use rit_core::carrier::{Carrier, DATAGRAM_MAX};
use rit_core::crypto::{self, Ed25519Signer};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::state::random_seed;
use crate::thread::Thread;

/// The port that every network lets through.
pub(crate) const DEFAULT_PORT: u16 = 443;
/// Connections at once.
const CONNECTIONS_MAX: usize = 10_000;
/// Those of one IPv4 address, or IPv6 network of 64 bits: there may be many nodes behind it.
const CONNECTIONS_OF_ONE_MAX: usize = 256;
/// Datagrams that wait for one connection: some trains of a fast sender.
const QUEUE_LEN: usize = 128;
/// Who reads nothing, or hardly anything, for so long is let go.
const STUCK_TIME: Duration = Duration::from_secs(30);
/// Those that its carrier is given at once: it has room for them.
const TAKEN_MAX: usize = 32;
/// Datagrams of all connections that wait for the loop.
const ARRIVED_LEN: usize = 1024;
/// Bytes read at once.
const READ_LEN: usize = 16 * 1024;
/// Where the system has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// A datagram and where it came from.
pub(crate) type Arrived = (Path, Vec<u8>);

/// Queues to the connections there are, and how many each party has.
#[derive(Default)]
struct Table {
    by_path: HashMap<Path, mpsc::Sender<Vec<u8>>>,
    by_network: HashMap<[u8; 16], usize>,
}

/// Who is connected; the loop and the connections' tasks share it.
#[derive(Clone, Default)]
struct Connections(Arc<Mutex<Table>>);

impl Connections {
    fn with<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        // Nobody panics while holding it; if somebody did, the map would still be one.
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// A place for a connection; none if there are too many.
    fn add(&self, path: Path) -> Option<mpsc::Receiver<Vec<u8>>> {
        self.with(|all| {
            let network = network_of(path);
            let of_one = all.by_network.get(&network).copied().unwrap_or(0);
            if all.by_path.len() >= CONNECTIONS_MAX || of_one >= CONNECTIONS_OF_ONE_MAX {
                return None;
            }
            let (sender, receiver) = mpsc::channel(QUEUE_LEN);
            all.by_path.insert(path, sender);
            all.by_network.insert(network, of_one + 1);
            Some(receiver)
        })
    }

    fn remove(&self, path: &Path) {
        self.with(|all| {
            let network = network_of(*path);
            let left = all.by_network.get(&network).map_or(0, |of_one| of_one - 1);
            if all.by_path.remove(path).is_none() {
                return;
            }
            if left > 0 {
                all.by_network.insert(network, left);
            } else {
                all.by_network.remove(&network);
            }
        });
    }
}

/// What is one party as far as limits go.
fn network_of(path: Path) -> [u8; 16] {
    let is_v4 = Ipv6Addr::from(path.ip).to_ipv4_mapped().is_some();
    let kept = if is_v4 { 16 } else { 8 };
    std::array::from_fn(|i| if i < kept { path.ip[i] } else { 0 })
}

/// The listeners and their connections.
pub(crate) struct Tls {
    connections: Connections,
    arrived: mpsc::Receiver<Arrived>,
    /// So that the queue stays open where nothing listens.
    _sender: mpsc::Sender<Arrived>,
    port: Option<u16>,
    /// The connections' thread, if there is to be one.
    thread: Option<Thread>,
}

/// What all connections' tasks need.
#[derive(Clone)]
struct Shared {
    connections: Connections,
    arrived: mpsc::Sender<Arrived>,
    signer: Arc<Ed25519Signer>,
    start: Instant,
}

impl Tls {
    /// Listens at the IP addresses of `addresses`. `port` none: the default one, if the system lets
    /// us; 0: nowhere.
    pub(crate) fn start(addresses: &[IpAddr], port: Option<u16>) -> Result<Tls, Error> {
        let (sender, arrived) = mpsc::channel(ARRIVED_LEN);
        let connections = Connections::default();
        let _sender = sender.clone();
        let mut tls = Tls { connections, arrived, _sender, port: None, thread: None };
        let wanted = port.unwrap_or(DEFAULT_PORT);
        if wanted == 0 {
            return Ok(tls);
        }
        let thread = Thread::start("tls", 1)?;
        let tasks = thread.clone();
        tls.thread = Some(thread);
        let _entered = tasks.enter();
        // Nobody needs to know this key again: clients let any pass.
        let signer = Arc::new(Ed25519Signer::from_seed(&random_seed()?));
        let (connections, start) = (tls.connections.clone(), Instant::now());
        let shared = Shared { connections, arrived: sender, signer, start };
        for address in addresses {
            let address = SocketAddr::new(*address, wanted);
            match listen(address) {
                Ok(listener) => {
                    tls.port = Some(wanted);
                    tasks.spawn(accept(listener, shared.clone()));
                }
                Err(source) if port.is_some() => return Err(Error::Listen { address, source }),
                Err(error) => {
                    tracing::warn!(%address, %error, "no TLS: nodes need UDP to come here");
                }
            }
        }
        Ok(tls)
    }

    /// The port listened at, if any.
    pub(crate) fn port(&self) -> Option<u16> {
        self.port
    }

    /// The next datagram of a connection.
    pub(crate) async fn receive(&mut self) -> Option<Arrived> {
        self.arrived.recv().await
    }

    /// Sends, or loses, a datagram.
    pub(crate) fn send(&self, path: &Path, datagram: &[u8]) {
        let sender = self.connections.with(|all| all.by_path.get(path).cloned());
        if sender.is_none_or(|sender| sender.try_send(datagram.to_vec()).is_err()) {
            tracing::debug!(?path, "a datagram by TLS was lost");
        }
    }
}

/// A listener that a restart can bind again at once.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, shared: Shared) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let path = Path { socket: Path::TLS, ..from.into() };
                if let Some(queue) = shared.connections.add(path) {
                    tokio::spawn(serve(stream, path, queue, shared.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One connection, to its end.
async fn serve(stream: TcpStream, path: Path, mut queue: mpsc::Receiver<Vec<u8>>, shared: Shared) {
    let now = || Time::ZERO + shared.start.elapsed();
    let rng = random_seed().map(Rng::from_seed).ok();
    let new = |rng| Carrier::server(crypto::default_provider(), shared.signer.clone(), rng, now());
    let _ = stream.set_nodelay(true);
    let (mut input, mut datagram) = (vec![0; READ_LEN], [0; DATAGRAM_MAX]);
    let mut stuck: Option<Instant> = None;
    if let Some(mut carrier) = rng.and_then(new) {
        while write(&stream, &mut carrier).is_ok() {
            let Some(deadline) = carrier.poll_timeout() else { break };
            let has_output = !carrier.poll_bytes().is_empty();
            stuck = stuck.or(Some(Instant::now())).filter(|_| has_output);
            let deadline = shared.start + Duration::from_micros(deadline.as_micros());
            let give_up = stuck.map_or(deadline, |since| since + STUCK_TIME);
            if give_up <= Instant::now() {
                break;
            }
            let sleep = deadline.min(give_up);
            let interest = if has_output {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            tokio::select! {
                () = tokio::time::sleep_until(sleep.into()) => carrier.handle_timeout(now()),
                // What the connection does not take yet waits in the queue.
                Some(out) = queue.recv(), if !has_output => {
                    carrier.send_datagram(&out, now());
                    for _ in 1..TAKEN_MAX {
                        let Ok(out) = queue.try_recv() else { break };
                        carrier.send_datagram(&out, now());
                    }
                }
                ready = stream.ready(interest) => {
                    if !ready.is_ok_and(|ready| !ready.is_readable() || {
                        read(&stream, &mut input, &mut carrier, now())
                    }) {
                        break;
                    }
                    // Where the loop has no time, this connection waits; others have their turn.
                    while let Some(len) = carrier.poll_datagram(&mut datagram) {
                        if shared.arrived.send((path, datagram[..len].to_vec())).await.is_err() {
                            break;
                        }
                    }
                }
            }
        }
    }
    shared.connections.remove(&path);
}

/// Writes as much as goes; an error: the connection is over.
fn write(stream: &TcpStream, carrier: &mut Carrier) -> io::Result<()> {
    loop {
        let bytes = carrier.poll_bytes();
        if bytes.is_empty() {
            let is_over = carrier.is_closed();
            return if is_over { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) };
        }
        match stream.try_write(bytes) {
            Ok(len) => carrier.consume(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Reads once; whether the connection goes on.
fn read(stream: &TcpStream, buf: &mut [u8], carrier: &mut Carrier, now: Time) -> bool {
    match stream.try_read(buf) {
        Ok(0) => false,
        Ok(len) => {
            carrier.handle_bytes(buf.get(..len).unwrap_or_default(), now);
            true
        }
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn path(n: u32, port: u16) -> Path {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        Path { socket: Path::TLS, ..SocketAddr::new(ip.into(), port).into() }
    }

    #[test]
    fn connections_are_limited_in_all_and_by_address() {
        let all = Connections::default();
        let mut held = Vec::new();
        for port in 0..CONNECTIONS_OF_ONE_MAX {
            held.push(all.add(path(0, port as u16 + 1)).unwrap());
        }
        assert!(all.add(path(0, 9999)).is_none());
        for n in CONNECTIONS_OF_ONE_MAX..CONNECTIONS_MAX {
            held.push(all.add(path(n as u32, 1)).unwrap());
        }
        assert!(all.add(path(1, 1)).is_none());
        all.remove(&path(0, 1));
        all.remove(&path(0, 1));
        assert!(all.add(path(0, 9998)).is_some() && all.add(path(0, 9999)).is_none());
        (0..CONNECTIONS_OF_ONE_MAX).for_each(|port| all.remove(&path(0, port as u16 + 1)));
        all.remove(&path(0, 9998));
        assert!(all.with(|all| !all.by_network.contains_key(&network_of(path(0, 1)))));
        // An IPv6 site is one party.
        let v6 = |text: &str| {
            network_of(Path::from(format!("[{text}]:1").parse::<SocketAddr>().unwrap()))
        };
        assert_eq!(v6("2001:db8:1:2::3"), v6("2001:db8:1:2:4::5"));
        assert_ne!(v6("2001:db8:1:2::3"), v6("2001:db8:1:3::3"));
    }

    /// A client's connection, run until it has received a datagram or is closed.
    async fn exchange(port: u16, datagram: &[u8]) -> Option<Vec<u8>> {
        let stream = TcpStream::connect((LOCALHOST, port)).await.unwrap();
        let (start, mut buf) = (Instant::now(), vec![0; READ_LEN]);
        let rng = Rng::from_seed([4; 32]);
        let mut carrier = Carrier::client(crypto::default_provider(), rng, Time::ZERO).unwrap();
        assert!(carrier.send_datagram(datagram, Time::ZERO));
        loop {
            write(&stream, &mut carrier).ok()?;
            stream.readable().await.unwrap();
            if !read(&stream, &mut buf, &mut carrier, Time::ZERO + start.elapsed()) {
                return None;
            }
            if let Some(len) = carrier.poll_datagram(&mut buf) {
                return Some(buf[..len].to_vec());
            }
        }
    }

    /// A port that was free a moment ago.
    async fn free_port() -> u16 {
        TcpListener::bind((LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn datagrams_come_and_go() {
        let port = free_port().await;
        let mut tls = Tls::start(&[LOCALHOST], Some(port)).unwrap();
        assert_eq!(tls.port(), Some(port));
        let client = tokio::spawn(async move { exchange(port, b"ping").await });
        let (path, datagram) = tls.receive().await.unwrap();
        assert_eq!((path.socket, &datagram[..]), (Path::TLS, &b"ping"[..]));
        tls.send(&path, b"pong");
        assert_eq!(client.await.unwrap().as_deref(), Some(&b"pong"[..]));
        tls.send(&super::Path { port: 1, ..path }, b"nobody is there");
    }

    #[tokio::test]
    async fn off_is_off_and_a_port_in_use_is_said() {
        let port = free_port().await;
        assert_eq!(Tls::start(&[LOCALHOST], Some(0)).unwrap().port(), None);
        let _holder = Tls::start(&[LOCALHOST], Some(port)).unwrap();
        let _listening = listen(SocketAddr::new(LOCALHOST, port)).map(|_| ()).unwrap_err();
        assert!(Tls::start(&[LOCALHOST], Some(port)).is_err());
    }

    #[tokio::test]
    async fn a_stranger_is_let_go_at_once() {
        let port = free_port().await;
        let _tls = Tls::start(&[LOCALHOST], Some(port)).unwrap();
        let stream = TcpStream::connect((LOCALHOST, port)).await.unwrap();
        stream.writable().await.unwrap();
        stream.try_write(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        stream.readable().await.unwrap();
        assert!(matches!(stream.try_read(&mut [0; 100]), Ok(0) | Err(_)));
    }
}
