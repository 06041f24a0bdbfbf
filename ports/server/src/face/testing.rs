//! What the face's tests are made of: a server on a thread, a device with a small web server in it,
//! and a browser that says exactly what it is told to.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path as FilePath;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use clap::Parser;
use rit_core::base::{Ecn, Path, PublicKey, Time};
use rit_core::crypto::{self, Ed25519Signer};
use rit_core::node::{BrokerAddress, Config, Event, Node, NodeError, StreamHandle};
use rit_core::wire::message::{SERVICE_TCP, ServiceInfo};
use rit_core::wire::text::Uri;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsConnector, rustls};

use super::logins;
use super::{Face, names};
use crate::serve::Server;
use crate::store::args;
use crate::store::face::FaceRule;
use crate::{Cli, code, wall_unix_s};

pub(super) const DOMAIN: &str = "face.example";
pub(super) const MAIN: &str = "https://main.example";
pub(super) const ACCOUNT: logins::Account = 1;
pub(super) const OTHER_ACCOUNT: logins::Account = 2;
/// Longer than anything here takes, on a machine that does much else.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const BIG_LEN: usize = 3 << 20;

/// All there is in a test.
pub(super) struct Bed {
    pub(super) face: Arc<Face>,
    pub(super) device: Device,
    address: SocketAddr,
    connector: TlsConnector,
    _dir: tempfile::TempDir,
}

impl Bed {
    /// A face, and a device with the services `web` and `other`.
    pub(super) fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let connector = certificate(dir.path());
        let (sender, started) = mpsc::channel();
        let path = dir.path().to_owned();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let server = server(&path).await;
                let running = server.face().unwrap();
                let (uri, db) = server.broker().unwrap();
                let code = code::make(db, code::VALID, 1, None).await.unwrap().remove(0);
                for account in [ACCOUNT, OTHER_ACCOUNT] {
                    let sql = "INSERT INTO account (id, name, role, created_unix_s)
                               VALUES ($1, $2, 'user', 0)";
                    let name = account.to_string();
                    db.execute(sql, args![account, name.as_str()]).await.unwrap();
                }
                let face = (running.face.clone(), running.face.key(), running.address);
                sender.send((face, uri.clone(), code.to_string())).unwrap();
                // It goes on until the process ends.
                let _ = server.run().await;
            });
        });
        let ((face, key, address), uri, code) = started.recv_timeout(PATIENCE).unwrap();
        let device = Device::start(&uri, &code, key);
        Bed { face, device, address, connector, _dir: dir }
    }

    /// Allows the account a service; its label.
    pub(super) async fn allow(&self, service: &str) -> String {
        self.allow_account(service, ACCOUNT).await
    }

    pub(super) async fn allow_account(&self, service: &str, account: logins::Account) -> String {
        let (label, device) = (self.label(service), self.device.key);
        let (service, chain) = (service.to_owned(), Vec::new());
        let rule = FaceRule { label: label.clone(), account, device, service, chain };
        self.face.rules.0.set_face_rule(&rule, wall_unix_s()).await.unwrap();
        label
    }

    pub(super) fn label(&self, service: &str) -> String {
        names::label(&self.device.key, service)
    }

    /// TLS for a host's name.
    pub(super) async fn connect(&self, name: &str) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        self.connector.connect(name, stream).await.unwrap()
    }

    /// Asks by a connection of its own, and returns what is answered until its end.
    pub(super) async fn ask(&self, name: &str, request: &str) -> String {
        let mut stream = self.connect(name).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
        let _ = read.await.expect("an answer");
        String::from_utf8(answer).unwrap()
    }

    /// The same with the right host, more fields, and a connection that ends.
    pub(super) async fn get(&self, label: &str, path: &str, fields: &str) -> String {
        let host = format!("{label}.{DOMAIN}");
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        self.ask(&host, &format!("{head}{fields}\r\n")).await
    }

    /// Goes to the login and back; the session's cookie.
    pub(super) async fn log_in(&self, label: &str) -> String {
        let sent = self.get(label, "/", "").await;
        let state = field(&sent, "set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let location = field(&sent, "location").unwrap();
        let public = super::pages::query(location.split_once('?').unwrap().1, "state").unwrap();
        let url = self.face.hand_over(label, &public, ACCOUNT, Instant::now()).unwrap().unwrap();
        let path = url.strip_prefix(&self.face.url(label)).unwrap();
        let path = format!("{path}&path=/back");
        let entered = self.get(label, &path, &format!("Cookie: {state}\r\n")).await;
        assert_eq!(field(&entered, "location"), Some("/back"), "{entered}");
        field(&entered, "set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }
}

/// A field of an answer's head.
pub(super) fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| {
        let (field, value) = line.split_once(": ")?;
        field.eq_ignore_ascii_case(name).then_some(value)
    })
}

pub(super) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

async fn server(dir: &FilePath) -> Server {
    let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (state, cert, key) = (file("state"), file("cert.pem"), file("key.pem"));
    let line = format!(
        "rit-server --listen 127.0.0.1:0 --second-port 0 --tls-port 0 --face *.{DOMAIN} \
         --face-cert {cert} --face-key {key} --face-listen 127.0.0.1:0 --face-main {MAIN}"
    );
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|e| panic!("{e}"));
    Server::start(state.into(), &cli.serve).await.unwrap()
}

/// Makes a wildcard's certificate, and a client's TLS that trusts it.
fn certificate(dir: &FilePath) -> TlsConnector {
    let names = vec![format!("*.{DOMAIN}"), "elsewhere.example".into()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), made.key_pair.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// A device on a thread, for as long as the value lives.
pub(super) struct Device {
    pub(super) key: PublicKey,
    is_over: Arc<AtomicBool>,
    /// It does not allow the face any more.
    pub(super) is_forbidden: Arc<AtomicBool>,
}

impl Drop for Device {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Device {
    fn start(uri: &Uri, code: &str, face: PublicKey) -> Device {
        let signer = Arc::new(Ed25519Signer::from_seed(&[1; 32]));
        let provider = crypto::default_provider();
        let randomness = crate::state::random_seed().unwrap();
        let mut node =
            Node::new(Config::default(), provider, signer, randomness, Time::ZERO).unwrap();
        for name in ["web", "other"] {
            let info = ServiceInfo { name: name.into(), kind: SERVICE_TCP, port: 80 };
            node.service_add(info, Time::ZERO).unwrap();
        }
        node.peer_allow(face).unwrap();
        let paths = vec![Path::v4([127, 0, 0, 1], uri.port)];
        let address = BrokerAddress { key: uri.key, paths };
        node.broker_connect(address, Some(code), Time::ZERO).unwrap();
        let device = Device {
            key: node.public_key(),
            is_over: Arc::default(),
            is_forbidden: Arc::default(),
        };
        let (is_over, is_forbidden) = (device.is_over.clone(), device.is_forbidden.clone());
        let (sender, is_online) = mpsc::channel();
        std::thread::spawn(move || {
            let mut web = Web { node, start: Instant::now(), streams: HashMap::new() };
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                if is_forbidden.load(Ordering::Relaxed) {
                    web.node.peer_forbid(&face, web.now());
                }
                if web.step(&socket) {
                    let _ = sender.send(());
                }
            }
        });
        is_online.recv_timeout(PATIENCE).unwrap();
        device
    }
}

/// What came of a stream, and what is to go back.
#[derive(Default)]
struct Exchange {
    came: Vec<u8>,
    to_send: Vec<u8>,
    /// After a change of protocol: what comes goes back.
    is_echo: bool,
}

struct Web {
    node: Node,
    start: Instant,
    streams: HashMap<StreamHandle, Exchange>,
}

impl Web {
    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// Does what there is to do; whether the broker just came online.
    fn step(&mut self, socket: &UdpSocket) -> bool {
        let mut buf = [0; 2048];
        let mut is_online = false;
        while let Some(event) = self.node.poll_event() {
            match event {
                Event::BrokerOnline => is_online = true,
                Event::StreamIncoming { stream, .. } => {
                    self.node.stream_accept(stream, self.now()).unwrap();
                    self.streams.insert(stream, Exchange::default());
                }
                Event::StreamReadable { stream } => self.read(stream),
                Event::StreamWritable { stream } => self.write(stream),
                Event::StreamReset { stream, .. } | Event::StreamStopped { stream, .. } => {
                    self.streams.remove(&stream);
                    let _ = self.node.stream_release(stream, self.now());
                }
                _ => {}
            }
        }
        while let Some(transmit) = self.node.poll_transmit(&mut buf, self.now()) {
            let _ = socket.send_to(&buf[..transmit.len], transmit.path.socket_addr());
        }
        if let Ok((len, from)) = socket.recv_from(&mut buf) {
            self.node.handle_datagram(from.into(), Ecn::NotEct, &mut buf[..len], self.now());
        }
        self.node.handle_timeout(self.now());
        is_online
    }

    fn read(&mut self, stream: StreamHandle) {
        let mut buf = [0; 4096];
        loop {
            match self.node.stream_read(stream, &mut buf, self.now()) {
                Ok(0) => {
                    let _ = self.node.stream_finish(stream, self.now());
                    break;
                }
                Ok(len) => {
                    let exchange = self.streams.entry(stream).or_default();
                    exchange.came.extend_from_slice(&buf[..len]);
                }
                Err(NodeError::Blocked) => break,
                Err(_) => return,
            }
        }
        if let Some(exchange) = self.streams.get_mut(&stream) {
            exchange.answer();
        }
        self.write(stream);
    }

    fn write(&mut self, stream: StreamHandle) {
        let now = self.now();
        let Some(exchange) = self.streams.get_mut(&stream) else { return };
        while !exchange.to_send.is_empty() {
            match self.node.stream_write(stream, &exchange.to_send, now) {
                Ok(len) => drop(exchange.to_send.drain(..len)),
                Err(_) => return,
            }
        }
    }
}

impl Exchange {
    fn answer(&mut self) {
        if self.is_echo {
            self.to_send.append(&mut self.came);
            return;
        }
        while let Some(end) = self.came.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(self.came[..end].to_vec()).unwrap();
            let length = field(&head, "content-length").map_or(0, |text| text.parse().unwrap());
            if self.came.len() < end + 4 + length {
                return;
            }
            self.came.drain(..end + 4 + length);
            let body = match head.split(' ').nth(1).unwrap() {
                "/socket" => {
                    self.is_echo = true;
                    self.to_send.extend_from_slice(
                        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                          Upgrade: websocket\r\n\r\n",
                    );
                    self.to_send.append(&mut self.came);
                    return;
                }
                "/big" => vec![b'b'; BIG_LEN],
                "/sum" => length.to_string().into_bytes(),
                _ => head.into_bytes(),
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nKeep-Alive: 5\r\n\
                 Set-Cookie: own=1; Domain={DOMAIN}\r\n\r\n",
                body.len()
            );
            self.to_send.extend_from_slice(answer.as_bytes());
            self.to_send.extend_from_slice(&body);
        }
    }
}
