//! The relay of a server process: two ends with tokens, over UDP on loopback.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path as FilePath;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{PROGRAM, Server, failure};
use rit_core::base::Side;
use rit_core::crypto::{Secret, default_provider};
use rit_core::trust::{issue_relay_token, relay_end_key, sign_bind, verify_bound};
use rit_core::wire::codec::Writer;
use rit_core::wire::relay::{
    BIND_OVERHEAD, Bind, Bound, ChannelId, Claims, RelayDatagram, RelayToken, write_bind,
    write_data,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// The channel of those who use a relay, and of those who look whether it lives.
const CHANNELS: [ChannelId; 2] = [ChannelId([6; 8]), ChannelId([7; 8])];

/// One end, on a socket of its own.
struct End {
    socket: UdpSocket,
    channel: ChannelId,
    side: Side,
    token: RelayToken,
    key: Secret,
    sequence: u64,
    cookie: [u8; 8],
}

impl End {
    fn new(relay: &str, secret: &Secret, channel: ChannelId, side: Side) -> End {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let expires_min = (wall / 60) as u32 + 10;
        let claims = Claims { channel, side, rate: 0, expires_min, node: [1; 8] };
        let token = issue_relay_token(default_provider(), secret, &claims);
        let key = relay_end_key(default_provider(), secret, &token);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(relay).unwrap();
        End { socket, channel, side, token, key, sequence: 0, cookie: [0; 8] }
    }

    fn send_bind(&mut self, payload: &[u8]) {
        self.sequence += 1;
        let bind = Bind { token: self.token, sequence: self.sequence, cookie: self.cookie };
        let mut bytes = vec![0; BIND_OVERHEAD];
        write_bind(&mut Writer::new(&mut bytes), &bind, self.side).unwrap();
        bytes.extend(payload);
        assert!(sign_bind(default_provider(), &self.key, &mut bytes));
        self.socket.send(&bytes).unwrap();
    }

    fn receive(&self) -> Vec<u8> {
        let mut buf = [0; 2048];
        let len = self.socket.recv(&mut buf).expect("the relay sends it");
        buf[..len].to_vec()
    }

    fn bind(&mut self, payload: &[u8]) -> Bound {
        self.send_bind(payload);
        let answer = self.receive();
        assert!(verify_bound(default_provider(), &self.key, &answer));
        let Ok(RelayDatagram::Bound(bound)) = RelayDatagram::parse(&answer) else {
            panic!("{answer:?}")
        };
        let local = self.socket.local_addr().unwrap();
        assert_eq!(bound.observed.socket_addr(), local);
        self.cookie = bound.cookie;
        bound
    }

    fn data(&self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 9];
        write_data(&mut Writer::new(&mut bytes), self.side, self.channel).unwrap();
        bytes.extend(payload);
        bytes
    }
}

fn secret_of(state: &FilePath) -> Secret {
    let path = state.join("relay-secret");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    Secret::new(fs::read(path).unwrap().try_into().unwrap())
}

/// Both ends come, prove their addresses, and pass many datagrams each way.
fn relays(relay: &str, secret: &Secret) {
    let end = |side| End::new(relay, secret, CHANNELS[0], side);
    let (mut i, mut r) = (end(Side::Initiator), end(Side::Responder));
    assert!(!i.bind(b"early").is_peer_bound);
    assert!(r.bind(&[0; 50]).is_peer_bound);
    assert_eq!(r.receive(), i.data(b"early"), "it was kept");
    assert_eq!(i.receive(), r.data(&[0; 50]));
    i.bind(&[]);
    r.bind(&[]);
    for round in 0..100_u8 {
        for len in [0, 1, 1200, 1400] {
            let (up, down) = (i.data(&vec![round; len]), r.data(&vec![!round; len]));
            i.socket.send(&up).unwrap();
            r.socket.send(&down).unwrap();
            assert_eq!((r.receive(), i.receive()), (up, down));
        }
    }
    // A burst is taken in one go, and none of it is lost.
    for at in 0..100_u8 {
        i.socket.send(&i.data(&[at; 100])).unwrap();
    }
    for at in 0..100_u8 {
        assert_eq!(r.receive(), i.data(&[at; 100]));
    }
}

/// Who has no token, or one made with another secret, hears nothing.
fn ignores_strangers(relay: &str, secret: &Secret) {
    let mut stranger = End::new(relay, &Secret::new([9; 32]), CHANNELS[1], Side::Initiator);
    stranger.send_bind(b"hello");
    stranger.socket.send(&stranger.data(b"hello")).unwrap();
    for first in 0..0x40 {
        stranger.socket.send(&[first; 200]).unwrap();
    }
    // The relay answers this one after all of those, so it has seen them.
    End::new(relay, secret, CHANNELS[1], Side::Responder).bind(&[]);
    stranger.socket.set_nonblocking(true).unwrap();
    assert!(stranger.socket.recv(&mut [0; 2048]).is_err());
}

#[test]
fn a_server_relays_by_default() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let relay = format!("127.0.0.1:{}", server.uri.port);
    let secret = secret_of(dir.path());
    ignores_strangers(&relay, &secret);
    relays(&relay, &secret);
    assert_eq!(server.stop("TERM"), Some(0));
    let _server = Server::start(dir.path(), "127.0.0.1:0");
    assert_eq!(secret_of(dir.path()).as_bytes(), secret.as_bytes());
}

#[test]
fn a_broker_that_is_no_relay_says_nothing_to_ends() {
    let dir = tempfile::tempdir().unwrap();
    let options = ["--listen", "127.0.0.1:0", "--role", "broker", "--relay", "127.0.0.1:9"];
    let server = Server::start_with(dir.path(), &options);
    let relay = format!("127.0.0.1:{}", server.uri.port);
    let mut end = End::new(&relay, &secret_of(dir.path()), CHANNELS[0], Side::Initiator);
    end.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    end.send_bind(&[]);
    assert!(end.socket.recv(&mut [0; 2048]).is_err());
}

struct RelayProcess {
    child: Child,
    address: String,
}

impl RelayProcess {
    fn start(state: &FilePath, secret: &FilePath) -> RelayProcess {
        let mut child = Command::new(PROGRAM)
            .args(["--role", "relay", "--listen", "127.0.0.1:0", "--state"])
            .arg(state)
            .arg("--relay-secret")
            .arg(secret)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.next().unwrap().unwrap();
        let address = address.strip_prefix("relay ").expect("no broker's address").to_owned();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        RelayProcess { child, address }
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_relay_alone_needs_nothing_but_the_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (file, state) = (dir.path().join("secret"), dir.path().join("state"));
    fs::write(&file, [5; 32]).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let relay = RelayProcess::start(&state, &file);
    let secret = Secret::new([5; 32]);
    ignores_strangers(&relay.address, &secret);
    relays(&relay.address, &secret);
    assert!(!state.join("identity").exists() && !state.join("broker.db").exists());
}

#[test]
fn the_second_port_answers_nodes_and_may_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let is_free = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok();
    let none = ["--listen", "127.0.0.1:0", "--second-port", "0"];
    let server = Server::start_with(dir.path(), &none);
    assert!(!is_free(server.uri.port));
    drop(server);
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let given = ["--listen", "127.0.0.1:0", "--second-port", &free.to_string()];
    let server = Server::start_with(dir.path(), &given);
    assert!(!is_free(server.uri.port) && !is_free(free));
    drop(server);
    // Taken: an error if it was asked for.
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().port().to_string();
    let state = dir.path().to_str().unwrap();
    let error = failure(&[
        "--state",
        state,
        "--log",
        "off",
        "--listen",
        "127.0.0.1:0",
        "--second-port",
        &taken,
    ]);
    assert!(error.contains(&format!("127.0.0.1:{taken}")), "{error}");
}

#[test]
fn bad_relays_and_secrets_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let base = ["--state", state, "--log", "off", "--listen", "127.0.0.1:0"];
    let with = |more: &[&str]| failure(&[&base[..], more].concat());
    assert!(with(&["--relay", "127.0.0.1:0"]).contains("--relay 127.0.0.1:0"));
    let missing = dir.path().join("missing");
    let missing = missing.to_str().unwrap();
    assert!(with(&["--relay-secret", missing]).contains("cannot read"));
    let short = dir.path().join("short");
    fs::write(&short, [5; 31]).unwrap();
    fs::set_permissions(&short, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(with(&["--relay-secret", short.to_str().unwrap()]).contains("32 bytes"));
}
