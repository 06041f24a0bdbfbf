//! Nodes of the real core against a server process, over UDP on loopback.

mod common;

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use common::{Server, codes};
use rit_core::base::{Ecn, Path, PublicKey, Time};
use rit_core::crypto::{self, Ed25519Signer};
use rit_core::node::{BrokerAddress, Config, Event, Node, Reason};
use rit_core::transport;
use rit_core::wire::message::{SERVICE_TCP, ServiceInfo};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

/// Longer than anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node on a socket of its own.
struct Peer {
    node: Node,
    socket: UdpSocket,
    start: Instant,
}

impl Peer {
    fn new(seed: u8) -> Self {
        Peer::with(seed, Config::default())
    }

    fn with(seed: u8, config: Config) -> Self {
        let signer = Arc::new(Ed25519Signer::from_seed(&[seed; 32]));
        let provider = crypto::default_provider();
        // Never the same twice: a repeated first packet is a replay.
        static PEERS: AtomicU8 = AtomicU8::new(0);
        let randomness = [PEERS.fetch_add(1, Ordering::Relaxed); 32];
        let node = Node::new(config, provider, signer, randomness, Time::ZERO).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        Peer { node, socket, start: Instant::now() }
    }

    fn key(&self) -> PublicKey {
        self.node.public_key()
    }

    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    fn connect(&mut self, server: &Server, code: Option<&str>) {
        let paths = vec![Path::v4([127, 0, 0, 1], server.uri.port)];
        let address = BrokerAddress { key: server.uri.key, paths };
        self.node.broker_connect(address, code, self.now()).unwrap();
    }

    /// Sends what is due, takes one datagram, and returns the next event.
    fn step(&mut self) -> Option<Event> {
        let mut buf = [0; 2048];
        while let Some(transmit) = self.node.poll_transmit(&mut buf, self.now()) {
            let _ = self.socket.send_to(&buf[..transmit.len], transmit.path.socket_addr());
        }
        if let Ok((len, from)) = self.socket.recv_from(&mut buf) {
            self.node.handle_datagram(from.into(), Ecn::NotEct, &mut buf[..len], self.now());
        }
        self.node.handle_timeout(self.now());
        self.node.poll_event()
    }

    fn until(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        until(&mut [self], |_, event| is_it(event))
    }

    /// Enrols, or finds out that it may not.
    fn enrol(&mut self, server: &Server, code: &str) -> Event {
        self.connect(server, Some(code));
        self.until(|event| matches!(event, Event::Enrolled | Event::EnrolRefused(_)))
    }
}

/// Drives peers until one has the event.
fn until(peers: &mut [&mut Peer], is_it: impl Fn(usize, &Event) -> bool) -> Event {
    let give_up = Instant::now() + PATIENCE;
    let mut seen = vec![];
    while Instant::now() < give_up {
        for (at, peer) in peers.iter_mut().enumerate() {
            if let Some(event) = peer.step() {
                if is_it(at, &event) {
                    return event;
                }
                seen.push((at, event));
            }
        }
    }
    panic!("it did not happen; what did: {seen:?}");
}

/// Changes the server's database behind its back.
fn sql(server: &Server, statement: &'static str) {
    let path = std::path::Path::new(&server.state).join("broker.db");
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn a_restart_keeps_nodes_and_codes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let unused = codes(dir.path(), &[]).remove(0);
    let code = server.code.clone();
    let mut device = Peer::new(1);
    assert_eq!(device.enrol(&server, &code.to_lowercase()), Event::Enrolled);
    device.until(|event| *event == Event::BrokerOnline);
    assert_eq!(Peer::new(2).enrol(&server, &code), Event::EnrolRefused(Reason::BadCode), "used");
    assert_eq!(server.stop("TERM"), Some(0));

    let server = Server::start(dir.path(), "127.0.0.1:0");
    let mut device = Peer::new(1);
    device.connect(&server, None);
    device.until(|event| *event == Event::BrokerOnline);
    let refused = Event::EnrolRefused(Reason::BadCode);
    assert_eq!(Peer::new(2).enrol(&server, &code), refused, "still used");
    assert_eq!(Peer::new(3).enrol(&server, &unused), Event::Enrolled);
    assert_eq!(Peer::new(4).enrol(&server, "AAAA-AAAA-AAAA-AAAA"), refused, "wrong");
    let mut nobody = Peer::new(5);
    nobody.connect(&server, None);
    nobody.until(|event| *event == Event::EnrolRefused(Reason::NotEnrolled));
}

#[test]
fn a_node_comes_back_to_a_server_that_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let address = format!("127.0.0.1:{}", server.uri.port);
    let transport = transport::Config {
        idle_timeout: Duration::from_secs(2),
        keep_alive: Duration::from_millis(500),
        ..transport::Config::default()
    };
    let link_keep_alive = Some(transport.keep_alive);
    let mut device = Peer::with(1, Config { transport, link_keep_alive, ..Config::default() });
    assert_eq!(device.enrol(&server, &server.code), Event::Enrolled);
    drop(server);
    let _server = Server::start(dir.path(), &address);
    device.until(|event| matches!(event, Event::BrokerOffline(_)));
    device.until(|event| *event == Event::BrokerOnline);
}

#[test]
fn an_expired_code_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    sql(&server, "UPDATE enrol_code SET expires_unix_s = unixepoch()");
    let refused = Event::EnrolRefused(Reason::BadCode);
    assert_eq!(Peer::new(1).enrol(&server, &server.code), refused);
    let fresh = codes(dir.path(), &[]).remove(0);
    assert_eq!(Peer::new(1).enrol(&server, &fresh), Event::Enrolled);
}

#[test]
fn a_failing_database_loses_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let code = codes(dir.path(), &[]).remove(0);
    let mut device = Peer::new(1);
    assert_eq!(device.enrol(&server, &server.code), Event::Enrolled);
    sql(&server, "ALTER TABLE enrol_code RENAME TO away");
    let mut second = Peer::new(2);
    second.connect(&server, Some(&code));
    second.until(|event| *event == Event::BrokerOffline(Reason::Unavailable));
    sql(&server, "ALTER TABLE away RENAME TO enrol_code");
    assert_eq!(Peer::new(3).enrol(&server, &code), Event::Enrolled);
    let nothing_lost = |event: &Event| !matches!(event, Event::BrokerOffline(_));
    while let Some(event) = device.step() {
        assert!(nothing_lost(&event), "{event:?}");
    }
}

#[test]
fn two_nodes_are_introduced() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let (mut device, mut user) = (Peer::new(1), Peer::new(2));
    let web = ServiceInfo { name: "web".into(), kind: SERVICE_TCP, port: 80 };
    device.node.service_add(web.clone(), Time::ZERO).unwrap();
    device.node.peer_allow(user.key()).unwrap();
    assert_eq!(device.enrol(&server, &server.code), Event::Enrolled);
    let code = codes(dir.path(), &[]).remove(0);
    assert_eq!(user.enrol(&server, &code), Event::Enrolled);

    let session = user.node.session_open(device.key(), user.now()).unwrap();
    until(&mut [&mut device, &mut user], |at, event| {
        at == 1 && matches!(event, Event::SessionUp { .. })
    });
    assert_eq!(user.node.session_services(session).unwrap(), [web]);
    let log = server.stop_and_log();
    assert!(log.contains("introduced"), "{log}");
    for secret in [&code, &code.replace('-', "")] {
        assert!(!log.contains(secret.as_str()), "{log}");
    }
}

#[test]
fn an_offline_and_an_unknown_device_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let code = codes(dir.path(), &[]).remove(0);
    let mut device = Peer::new(1);
    assert_eq!(device.enrol(&server, &server.code), Event::Enrolled);
    let (key, mut user) = (device.key(), Peer::new(2));
    assert_eq!(user.enrol(&server, &code), Event::Enrolled);
    assert_eq!(server.stop("TERM"), Some(0));
    let server = Server::start(dir.path(), "127.0.0.1:0");

    let mut user = Peer::new(2);
    user.connect(&server, None);
    user.until(|event| *event == Event::BrokerOnline);
    for (device, expected) in [(key, Reason::Offline), (PublicKey([9; 32]), Reason::Unknown)] {
        let session = user.node.session_open(device, user.now()).unwrap();
        let down = Event::SessionDown { session, reason: expected };
        user.until(|event| *event == down);
    }
}

#[test]
fn strangers_get_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", server.uri.port)).unwrap();
    for len in 0..1500 {
        let datagram: Vec<u8> = (0..len).map(|at| (at * 31 + len) as u8).collect();
        socket.send(&datagram).unwrap();
    }
    // The server answers a node after all of these, so it has seen them.
    assert_eq!(Peer::new(1).enrol(&server, &server.code), Event::Enrolled);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 2048]).is_err());
}
