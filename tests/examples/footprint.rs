//! The network, the broker and the peer of an emulated device, for tests/footprint.sh:
//!
//!     footprint MACHINE IMAGE PROFILE SUITE [--blocks]
//!
//! boots IMAGE (tests/footprint/device.c over joined.c) on a MACHINE of qemu-system-arm, joins it
//! to a simulated world by two FIFOs, and leads it from boot to its end: online at its broker, a
//! session that a user opens, a stream that echoes 1 KiB again and again, rest, close, free. Prints
//! what the image counted, a `name value` a line. PROFILE sets the device's limits (`device`,
//! `smallest` or `full`); SUITE (`chacha20` or `aes128`) is the session's. The seed is fixed: each
//! run is the same.

use rit_core::base::{Ecn, Path, PublicKey, Time};
use rit_core::crypto::{self, HeaderKey, PacketKey, Provider, Suite};
use rit_core::node::{Config, Event, Node, SessionId, StreamHandle};
use rit_core::transport::Transmit;
use rit_tests::sim::app::App;
use rit_tests::sim::host::{Actor, HostId, Machine};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::world::World;
use std::any::Any;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

/// What a board tick stands for (examples-c/cortex-m/board/board.h).
const INSTRUCTIONS_PER_TICK: u64 = 40;
/// Times that 1 KiB goes to the device and back.
const ECHOES: usize = 32;
const KIB: usize = 1024;
const NEVER: u64 = u64::MAX;
/// The broker of device.c.
const BROKER: ([u8; 4], u16) = ([192, 0, 2, 1], 7480);

/// The limits that device_limits() of joined.c sets, in its order; 0 leaves the default.
struct Limits {
    max_datagram: u32,
    max_sessions: u32,
    max_services: u32,
    max_peers: u32,
    max_streams: u32,
    stream_window: u32,
    session_window: u32,
    stream_send_buffer: u32,
    max_flows: u32,
    datagram_queue: u32,
}

impl Limits {
    fn of(profile: &str) -> Option<Limits> {
        let device = Limits {
            max_datagram: 1280,
            max_sessions: 1,
            max_services: 1,
            max_peers: 4,
            max_streams: 8,
            stream_window: 4096,
            session_window: 8192,
            stream_send_buffer: 4096,
            max_flows: u32::MAX,
            datagram_queue: u32::MAX,
        };
        match profile {
            "device" => Some(device),
            "smallest" => Some(Limits {
                max_datagram: 548,
                max_peers: 1,
                max_streams: 2,
                stream_window: 1024,
                session_window: 2048,
                stream_send_buffer: 1024,
                ..device
            }),
            "full" => Some(Limits {
                max_datagram: 0,
                max_sessions: 0,
                max_services: 0,
                max_peers: 0,
                max_streams: 0,
                stream_window: 0,
                session_window: 0,
                stream_send_buffer: 0,
                max_flows: 0,
                datagram_queue: 0,
            }),
            _ => None,
        }
    }

    fn words(&self) -> [u32; 10] {
        [
            self.max_datagram,
            self.max_sessions,
            self.max_services,
            self.max_peers,
            self.max_streams,
            self.stream_window,
            self.session_window,
            self.stream_send_buffer,
            self.max_flows,
            self.datagram_queue,
        ]
    }
}

/// What joined.c counted since it was last asked.
#[derive(Clone, Copy, Debug)]
struct Figures {
    heap_live: u32,
    heap_peak: u32,
    stack_peak: u32,
    ticks: u32,
    longest: u32,
    receive: u32,
    received: u32,
    write: u32,
    written: u32,
}

/// The emulated device.
struct Board {
    qemu: Child,
    to: File,
    from: File,
    key: PublicKey,
    deadline: u64,
    sent: VecDeque<(Path, Vec<u8>)>,
}

impl Board {
    /// Starts an image and waits until its node waits. The FIFOs are made in the working folder.
    fn boot(
        [machine, image]: [&str; 2],
        limits: &Limits,
        peers: [PublicKey; 2],
        now: Time,
    ) -> Board {
        assert!(std::path::Path::new(image).is_file(), "there is no {image}");
        for name in ["to-board", "from-board"] {
            let _ = std::fs::remove_file(name);
            let made = Command::new("mkfifo").arg(name).status().expect("mkfifo is there");
            assert!(made.success(), "no FIFO {name}");
        }
        let qemu = Command::new("qemu-system-arm")
            .args(["-machine", machine, "-icount", "shift=0", "-display", "none"])
            .args(["-monitor", "none", "-serial", "file:board.log"])
            .args(["-semihosting-config", "enable=on,target=native", "-kernel", image])
            .spawn()
            .expect("qemu-system-arm is there");
        // In the image's order: each waits for the other end.
        let to = File::options().write(true).open("to-board").expect("the FIFO was made");
        let from = File::open("from-board").expect("the FIFO was made");
        let key = PublicKey([0; 32]);
        let mut board = Board { qemu, to, from, key, deadline: NEVER, sent: VecDeque::new() };
        let mut start = now.as_micros().to_le_bytes().to_vec();
        limits.words().iter().for_each(|word| start.extend(word.to_le_bytes()));
        peers.iter().for_each(|key| start.extend(key.0));
        board.tell(&start);
        board.listen();
        board
    }

    fn tell(&mut self, bytes: &[u8]) {
        self.to.write_all(bytes).expect("the board listens");
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).expect("the board speaks (see board.log)");
        bytes
    }

    /// Takes what the device says until it waits.
    fn listen(&mut self) {
        loop {
            match self.take::<1>() {
                [b'K'] => self.key = PublicKey(self.take()),
                [b'S'] => {
                    let ip = self.take();
                    let [port, len] = [(); 2].map(|()| u16::from_le_bytes(self.take()));
                    let mut bytes = vec![0; usize::from(len)];
                    self.from.read_exact(&mut bytes).expect("the board speaks (see board.log)");
                    let path = Path { ip, port, via: 0, socket: 0, ifindex: 0 };
                    self.sent.push_back((path, bytes));
                }
                [b'W'] => {
                    self.deadline = u64::from_le_bytes(self.take());
                    return;
                }
                [other] => panic!("the board says {other}"),
            }
        }
    }

    fn figures(&mut self, ask: u8) -> Figures {
        self.tell(&[ask]);
        let mut word = || u32::from_le_bytes(self.take());
        Figures {
            heap_live: word(),
            heap_peak: word(),
            stack_peak: word(),
            ticks: word(),
            longest: word(),
            receive: word(),
            received: word(),
            write: word(),
            written: word(),
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Actor for Board {
    fn public_key(&self) -> PublicKey {
        self.key
    }

    fn handle_datagram(&mut self, path: Path, datagram: &mut [u8], now: Time) {
        let mut message = vec![b'D'];
        message.extend(now.as_micros().to_le_bytes());
        message.extend(path.ip);
        message.extend(path.port.to_le_bytes());
        message.extend((datagram.len() as u16).to_le_bytes());
        message.extend_from_slice(datagram);
        self.tell(&message);
        self.listen();
    }

    fn handle_timeout(&mut self, now: Time) {
        if now.as_micros() >= self.deadline {
            let mut message = vec![b'T'];
            message.extend(now.as_micros().to_le_bytes());
            self.tell(&message);
            self.listen();
        }
    }

    fn poll_transmit(&mut self, buf: &mut [u8], _now: Time) -> Option<Transmit> {
        let (path, bytes) = self.sent.pop_front()?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Some(Transmit { path, len: bytes.len(), ecn: Ecn::NotEct })
    }

    fn poll_timeout(&self) -> Option<Time> {
        (self.deadline != NEVER).then(|| Time::from_micros(self.deadline))
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// ring, offering TLS one suite alone.
struct Only(Suite);

static ONLY_CHACHA20: Only = Only(Suite::ChaCha20Poly1305);
static ONLY_AES128: Only = Only(Suite::Aes128Gcm);

impl Provider for Only {
    fn packet_key(&self, suite: Suite, key: &[u8], iv: &[u8; 12]) -> Box<dyn PacketKey> {
        crypto::ring().packet_key(suite, key, iv)
    }

    fn header_key(&self, suite: Suite, key: &[u8]) -> Box<dyn HeaderKey> {
        crypto::ring().header_key(suite, key)
    }

    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        crypto::ring().sha256(parts)
    }

    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        crypto::ring().hmac_sha256(key, parts)
    }

    fn fast_aes(&self) -> bool {
        self.0 == Suite::Aes128Gcm
    }

    fn tls(&self) -> rustls::crypto::CryptoProvider {
        let mut tls = crypto::ring().tls();
        let wanted = match self.0 {
            Suite::Aes128Gcm => rustls::CipherSuite::TLS13_AES_128_GCM_SHA256,
            Suite::ChaCha20Poly1305 => rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        };
        tls.cipher_suites.retain(|suite| suite.suite() == wanted);
        tls
    }
}

/// The play: broker, device and user, and what is printed.
struct Play {
    world: World,
    device: HostId,
    user: HostId,
}

impl Play {
    fn new(board: [&str; 2], limits: &Limits, provider: &'static dyn Provider) -> Play {
        let mut world = World::new(1, LinkConfig::clean(Duration::from_millis(10)));
        let broker = world.add_broker(Config::default());
        world.host_mut(broker).addresses[0] = Path::v4(BROKER.0, BROKER.1);
        let user = world.add_node(Config::default());
        let signer = Arc::new(crypto::Ed25519Signer::from_seed(&[7; 32]));
        let node = Node::new(Config::default(), provider, signer, [8; 32], world.now);
        let node = node.expect("the default configuration is sound");
        world.host_mut(user).machine = Machine::Node(Box::new(node), Box::<App>::default());

        let peers = [world.key(broker), world.key(user)];
        let board = Board::boot(board, limits, peers, world.now);
        let device = world.add_actor(board);
        for host in [user, device] {
            let key = world.key(host);
            world.store(broker).enrolled.insert(key);
        }
        let mut play = Play { world, device, user };
        play.print("start", Board::figures);
        play.world.drain(device);
        let address = play.world.broker_address(broker);
        let asked = play.world.with(user, |node, _, now| node.broker_connect(address, None, now));
        assert_eq!(asked, Ok(()));
        play
    }

    /// Prints what the device counted since the last time.
    fn print(&mut self, phase: &str, ask: fn(&mut Board, u8) -> Figures) -> Figures {
        let board: &mut Board = self.world.actor(self.device);
        let figures = ask(board, if phase == "end" { b'E' } else { b'F' });
        let instructions = |ticks: u32| u64::from(ticks) * INSTRUCTIONS_PER_TICK;
        println!("{phase}.heap_live {}", figures.heap_live);
        println!("{phase}.heap_peak {}", figures.heap_peak);
        println!("{phase}.stack_peak {}", figures.stack_peak);
        println!("{phase}.instructions {}", instructions(figures.ticks));
        println!("{phase}.longest_call {}", instructions(figures.longest));
        figures
    }

    fn expect(&mut self, what: &str, is_met: impl Fn(&World) -> bool) {
        let is_met = self.world.run_until(Duration::from_secs(60), is_met);
        let events = &self.world.host(self.user).events;
        assert!(is_met, "{what} did not come: {events:?}");
    }

    fn expect_event(&mut self, what: &str, is_it: fn(&Event) -> bool) {
        let user = self.user;
        self.expect(what, |world| world.host(user).has_event(is_it));
    }

    fn open_session(&mut self) -> SessionId {
        let device = self.world.key(self.device);
        let session = self.world.with(self.user, |node, _, now| node.session_open(device, now));
        self.expect_event("the session", |event| matches!(event, Event::SessionUp { .. }));
        self.world.run_for(Duration::from_secs(1));
        session.expect("the user is online")
    }

    fn open_stream(&mut self, session: SessionId) -> StreamHandle {
        let stream =
            self.world.with(self.user, |node, _, now| node.stream_open(session, "web", now));
        self.expect_event("the stream", |event| matches!(event, Event::StreamOpened { .. }));
        stream.expect("a stream can be opened")
    }

    /// Sends 1 KiB and waits until it is back.
    fn echo(&mut self, stream: StreamHandle) {
        let data: Vec<u8> = (0..KIB).map(|i| (i * 7) as u8).collect();
        let user = self.user;
        let written = self.world.with(user, |node, _, now| node.stream_write(stream, &data, now));
        assert_eq!(written, Ok(KIB));
        let mut back = Vec::new();
        let end = self.world.now + Duration::from_secs(10);
        while back.len() < KIB {
            assert!(self.world.step(end), "{} bytes of {KIB} came back", back.len());
            let mut buf = [0; KIB];
            let read =
                self.world.with(user, |node, _, now| node.stream_read(stream, &mut buf, now));
            back.extend_from_slice(&buf[..read.unwrap_or(0)]);
        }
        assert_eq!(back, data);
        self.world.run_for(Duration::from_millis(200));
    }

    fn close_stream(&mut self, stream: StreamHandle) {
        let user = self.user;
        let finished = self.world.with(user, |node, _, now| node.stream_finish(stream, now));
        assert_eq!(finished, Ok(()));
        self.world.run_for(Duration::from_secs(1));
        let end = self.world.with(user, |node, _, now| node.stream_read(stream, &mut [0; 1], now));
        assert_eq!(end, Ok(0), "the device ends its side too");
        let released = self.world.with(user, |node, _, now| node.stream_release(stream, now));
        assert_eq!(released, Ok(()));
    }

    /// From boot to end.
    fn run(&mut self, suite: &str, wants_blocks: bool) {
        self.expect_event("the user's broker", |event| *event == Event::BrokerOnline);
        self.world.run_for(Duration::from_secs(5));
        self.print("link", Board::figures);
        self.world.run_for(Duration::from_secs(300));
        self.print("idle", Board::figures);
        let session = self.open_session();
        self.print("handshake", Board::figures);
        self.world.run_for(Duration::from_secs(120));
        self.print("rest", Board::figures);
        if wants_blocks {
            let board: &mut Board = self.world.actor(self.device);
            board.tell(b"B");
        }
        let stream = self.open_stream(session);
        self.echo(stream);
        self.print("stream", Board::figures);
        for _ in 0..ECHOES {
            self.echo(stream);
        }
        let figures = self.print("echoes", Board::figures);
        // Smaller packets than that have no figures.
        if figures.received as usize >= ECHOES && figures.written as usize >= ECHOES {
            let each = |ticks: u32, count: u32| {
                u64::from(ticks) * INSTRUCTIONS_PER_TICK / u64::from(count)
            };
            println!("{suite}.open_1k {}", each(figures.receive, figures.received));
            println!("{suite}.seal_1k {}", each(figures.write, figures.written));
        }
        self.close_stream(stream);
        self.world.run_for(Duration::from_secs(60));
        self.print("after", Board::figures);
        let closed = self.world.with(self.user, |node, _, now| node.session_close(session, 0, now));
        assert_eq!(closed, Ok(()));
        self.world.run_for(Duration::from_secs(60));
        self.print("closed", Board::figures);
        let end = self.print("end", Board::figures);
        assert_eq!(end.heap_live, 0, "memory was not freed");
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [machine, image, profile, suite, rest @ ..] = arguments.as_slice() else {
        panic!("usage: footprint MACHINE IMAGE PROFILE SUITE [--blocks]")
    };
    let limits = Limits::of(profile).expect("a profile is `device`, `smallest` or `full`");
    let provider = match suite.as_str() {
        "chacha20" => &ONLY_CHACHA20,
        "aes128" => &ONLY_AES128,
        other => panic!("no suite {other}"),
    };
    Play::new([machine, image], &limits, provider).run(suite, rest == ["--blocks"]);
}
