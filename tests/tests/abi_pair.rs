//! A device and a user driven through the C functions alone, with core's broker between them, on a
//! loss-free wire in virtual time: each event and each stream function does what the header says.

use rit::drive::*;
use rit::error::{RIT_ERR_AGAIN, RIT_ERR_CLOSED, RIT_ERR_DENIED, RIT_ERR_HANDLE, RIT_ERR_LIMIT};
use rit::error::{RIT_ERR_ARG, RIT_ERR_OFFLINE, RIT_ERR_TIMEOUT, RIT_ERR_UNKNOWN};
use rit::error::{RIT_ERR_CODE, RIT_ERR_REFUSED, RIT_ERR_RESET, RIT_ERR_STATE, RIT_OK};
use rit::event::*;
use rit::io::{RIT_BATCH_LEN_MAX, RIT_BATCH_MAX, RIT_LOG_WARN, rit_io, rit_path};
use rit::node::*;
use rit::service::*;
use rit::session::*;
use rit::stream::*;
use rit::{RIT_KEY_LEN, rit_broker, rit_broker_connect, rit_config, rit_config_init};
use rit_core::base::{Path, PublicKey, Time};
use rit_core::broker::{Answer, Query, code_hash};
use rit_core::crypto::{self, Ed25519Signer};
use rit_core::node::BrokerNode;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;

#[path = "abi_pair/flows.rs"]
mod flows;
#[path = "abi_pair/wire.rs"]
mod wire;

use wire::{Flying, next_train};

const DELAY_US: u64 = 10_000;
const BROKER: u8 = 9;

/// What the callbacks of one node share with the test.
struct Port {
    now_us: u64,
    noise: u64,
    timer_us: u64,
    outbox: Vec<(rit_path, Vec<u8>)>,
    /// Calls of send_batch.
    batches: usize,
    warnings: Vec<String>,
}

unsafe extern "C" fn now_us(ctx: *mut c_void) -> u64 {
    // SAFETY: in each callback: ctx is the node's Port, and nobody else holds it during a call.
    unsafe { (*ctx.cast::<Port>()).now_us }
}

unsafe extern "C" fn entropy(ctx: *mut c_void, out: *mut u8, len: usize) -> i32 {
    // SAFETY: as above; the library lends len bytes.
    let (port, out) =
        unsafe { (&mut *ctx.cast::<Port>(), std::slice::from_raw_parts_mut(out, len)) };
    for byte in out {
        port.noise = port.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (port.noise >> 56) as u8;
    }
    0
}

unsafe extern "C" fn send(
    ctx: *mut c_void,
    to: *const rit_path,
    pkt: *const u8,
    len: usize,
) -> i32 {
    // SAFETY: as above.
    let (port, to, pkt) =
        unsafe { (&mut *ctx.cast::<Port>(), *to, std::slice::from_raw_parts(pkt, len)) };
    port.outbox.push((to, pkt.to_vec()));
    0
}

unsafe extern "C" fn send_batch(
    ctx: *mut c_void,
    to: *const rit_path,
    pkts: *const u8,
    len: usize,
    size: usize,
) -> i32 {
    // SAFETY: as above.
    let (port, to, pkts) =
        unsafe { (&mut *ctx.cast::<Port>(), *to, std::slice::from_raw_parts(pkts, len)) };
    assert!(len > size && len.div_ceil(size) <= RIT_BATCH_MAX && len <= RIT_BATCH_LEN_MAX);
    port.batches += 1;
    port.outbox.extend(pkts.chunks(size).map(|pkt| (to, pkt.to_vec())));
    0
}

unsafe extern "C" fn set_timer(ctx: *mut c_void, deadline_us: u64) {
    // SAFETY: as above.
    unsafe { (*ctx.cast::<Port>()).timer_us = deadline_us }
}

unsafe extern "C" fn log(ctx: *mut c_void, level: i32, msg: *const c_char) {
    // SAFETY: as above; the text ends with a NUL.
    let (port, msg) = unsafe { (&mut *ctx.cast::<Port>(), CStr::from_ptr(msg)) };
    if level <= RIT_LOG_WARN {
        port.warnings.push(msg.to_string_lossy().into_owned());
    }
}

/// A struct for the library to read or fill.
fn sized<T>() -> T {
    // SAFETY: the structs of this interface may be zero, and begin with their size.
    unsafe {
        let mut value: T = std::mem::zeroed();
        std::ptr::from_mut(&mut value).cast::<u32>().write(size_of::<T>() as u32);
        value
    }
}

fn path(last: u8) -> rit_path {
    let ip = Path::v4([10, 0, 0, last], 7480).ip;
    rit_path { ip, port: 7480, ..sized() }
}

/// One node, by its C functions.
struct Peer {
    node: *mut rit_node,
    port: *mut Port,
    events: VecDeque<rit_event>,
}

impl Peer {
    /// One with an odd seed sends several datagrams at once where it can.
    fn new(seed: u64, change: impl FnOnce(&mut rit_config)) -> Peer {
        let port = Port {
            now_us: 0,
            noise: seed,
            timer_us: u64::MAX,
            outbox: Vec::new(),
            batches: 0,
            warnings: Vec::new(),
        };
        let port = Box::into_raw(Box::new(port));
        let io = rit_io {
            ctx: port.cast(),
            now_us: Some(now_us),
            entropy: Some(entropy),
            send: Some(send),
            set_timer: Some(set_timer),
            log: Some(log),
            send_batch: (seed % 2 == 1).then_some(send_batch),
            ..sized()
        };
        let mut config: rit_config = sized();
        let mut err = 1;
        // SAFETY: all pointers are good; the port outlives the node.
        let node = unsafe {
            rit_config_init(&mut config);
            change(&mut config);
            rit_node_new(&config, &io, &mut err)
        };
        assert!(!node.is_null() && err == RIT_OK);
        Peer { node, port, events: VecDeque::new() }
    }

    fn port(&mut self) -> &mut Port {
        // SAFETY: no call into the library is under way.
        unsafe { &mut *self.port }
    }

    fn key(&self) -> [u8; RIT_KEY_LEN] {
        let mut key = [0; RIT_KEY_LEN];
        // SAFETY: room for a key.
        assert_eq!(unsafe { rit_node_public_key(self.node, key.as_mut_ptr()) }, RIT_OK);
        key
    }

    fn fetch(&mut self) {
        let mut event: rit_event = sized();
        // SAFETY: a sized event.
        while unsafe { rit_node_next_event(self.node, &mut event) } == RIT_OK {
            self.events.push_back(event);
        }
    }

    fn offer(&mut self, name: &CStr) -> rit_service_id {
        let service = rit_service { port: 80, name: name.as_ptr(), ..sized() };
        let mut id = 0;
        // SAFETY: good pointers.
        assert_eq!(unsafe { rit_service_add(self.node, &service, &mut id) }, RIT_OK);
        id
    }

    fn allow(&mut self, peer: &Peer) {
        let key = peer.key();
        // SAFETY: a whole key.
        assert_eq!(unsafe { rit_peer_allow(self.node, key.as_ptr()) }, RIT_OK);
    }

    fn reach(&mut self, device: [u8; RIT_KEY_LEN]) -> Result<rit_session, i32> {
        let target = rit_target { device, ..sized() };
        let mut session = 0;
        // SAFETY: good pointers.
        match unsafe { rit_session_open(self.node, &target, &mut session) } {
            RIT_OK => Ok(session),
            error => Err(error),
        }
    }

    fn open(&mut self, session: rit_session, service: &CStr) -> Result<rit_stream, i32> {
        let mut stream = 0;
        // SAFETY: good pointers.
        match unsafe { rit_stream_open(self.node, session, service.as_ptr(), &mut stream) } {
            RIT_OK => Ok(stream),
            error => Err(error),
        }
    }

    fn write(&mut self, stream: rit_stream, data: &[u8]) -> Result<usize, i32> {
        let mut written = 99;
        // SAFETY: good pointers.
        match unsafe {
            rit_stream_write(self.node, stream, data.as_ptr(), data.len(), &mut written)
        } {
            RIT_OK => Ok(written),
            error => Err(error),
        }
    }

    fn read(&mut self, stream: rit_stream) -> Result<Vec<u8>, i32> {
        let mut buf = [0; 4096];
        let mut len = 99;
        // SAFETY: good pointers.
        match unsafe { rit_stream_read(self.node, stream, buf.as_mut_ptr(), buf.len(), &mut len) } {
            RIT_OK => Ok(buf[..len].to_vec()),
            error => Err(error),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SAFETY: both were made by `new`, the node is gone before its port.
        unsafe {
            rit_node_free(self.node);
            drop(Box::from_raw(self.port));
        }
    }
}

struct World {
    broker: BrokerNode,
    codes: BTreeSet<[u8; 32]>,
    enrolled: BTreeSet<PublicKey>,
    /// The device, then the user.
    peers: [Peer; 2],
    wire: VecDeque<Flying>,
    /// The most datagrams that a node took at once.
    longest_train: usize,
    /// Datagrams sent as ECT(0).
    marked: usize,
    now_us: u64,
}

const DEVICE: usize = 0;
const USER: usize = 1;

impl World {
    fn new(change: impl Fn(&mut rit_config)) -> World {
        let signer = Arc::new(Ed25519Signer::from_seed(&[200; 32]));
        let provider = crypto::default_provider();
        let config = rit_core::node::Config::default();
        let broker = BrokerNode::new(config, provider, signer, [200; 32], Time::ZERO).unwrap();
        World {
            broker,
            codes: ["one", "two"].map(|code| code_hash(provider, code)).into(),
            enrolled: BTreeSet::new(),
            peers: [Peer::new(1, &change), Peer::new(2, &change)],
            wire: VecDeque::new(),
            longest_train: 0,
            marked: 0,
            now_us: 0,
        }
    }

    /// Two nodes online, the user let in by the device, and a session up; its handles.
    fn connected(change: impl Fn(&mut rit_config)) -> (World, rit_session, rit_session) {
        let mut world = World::new(change);
        world.connect(DEVICE, c"one");
        world.connect(USER, c"two");
        world.wait(DEVICE, RIT_EVENT_BROKER_ONLINE);
        world.wait(USER, RIT_EVENT_BROKER_ONLINE);
        let [device, user] = &mut world.peers;
        device.allow(user);
        let (device_key, user_key) = (device.key(), user.key());
        device.offer(c"web");
        let session = user.reach(device_key).unwrap();
        let up = world.wait(USER, RIT_EVENT_SESSION_UP);
        assert_eq!((up.session, up.peer, up.is_initiator), (session, device_key, 1));
        let up = world.wait(DEVICE, RIT_EVENT_SESSION_UP);
        assert_eq!((up.peer, up.is_initiator), (user_key, 0));
        (world, up.session, session)
    }

    fn connect(&mut self, peer: usize, code: &CStr) {
        let to = path(BROKER);
        let broker = rit_broker {
            key: self.broker.public_key().0,
            paths: &to,
            path_count: 1,
            enrol_code: code.as_ptr(),
            ..sized()
        };
        // SAFETY: good pointers.
        assert_eq!(unsafe { rit_broker_connect(self.peers[peer].node, &broker) }, RIT_OK);
    }

    fn answer_asks(&mut self, now: Time) {
        while let Some((id, query)) = self.broker.poll_ask() {
            let answer = match query {
                Query::Lookup { key } => self.enrolled.contains(&key),
                Query::Enrol { key, code_hash } => {
                    self.codes.remove(&code_hash) && self.enrolled.insert(key)
                }
            };
            self.broker.handle_answer(id, Answer::Enrolled(answer), 1_700_000_000, now);
        }
    }

    /// Puts what was sent on the wire; the moment at which something happens next.
    fn collect(&mut self) -> u64 {
        let now = Time::from_micros(self.now_us);
        let at_us = self.now_us + DELAY_US;
        self.answer_asks(now);
        let mut buf = [0; 2000];
        while let Some(sent) = self.broker.poll_transmit(&mut buf, now) {
            let (to, bytes, ecn) = (sent.path.ip[15], buf[..sent.len].to_vec(), sent.ecn as u8);
            self.wire.push_back(Flying { at_us, from: BROKER, to, bytes, ecn });
        }
        for (from, peer) in (0..).zip(&mut self.peers) {
            for (to, bytes) in peer.port().outbox.drain(..) {
                self.marked += usize::from(to.ecn == 2);
                self.wire.push_back(Flying { at_us, from, to: to.ip[15], bytes, ecn: to.ecn });
            }
        }
        let timers = self.peers.each_mut().map(|peer| peer.port().timer_us);
        let broker = self.broker.poll_timeout().map_or(u64::MAX, Time::as_micros);
        let wire = self.wire.front().map_or(u64::MAX, |next| next.at_us);
        timers.into_iter().fold(broker.min(wire), u64::min)
    }

    fn step(&mut self) {
        self.now_us = self.collect().max(self.now_us);
        let now = Time::from_micros(self.now_us);
        for peer in &mut self.peers {
            peer.port().now_us = self.now_us;
        }
        while let Some(mut train) = next_train(&mut self.wire, self.now_us) {
            match usize::from(train.first.to) {
                DEVICE => train.hand_in_singly(self.peers[DEVICE].node),
                USER => {
                    self.longest_train = self.longest_train.max(train.count);
                    train.hand_in(self.peers[USER].node);
                }
                _ => {
                    let from = Path::v4([10, 0, 0, train.first.from], 7480);
                    for datagram in train.first.bytes.chunks_mut(train.size) {
                        self.broker.handle_datagram(from, datagram, now);
                    }
                }
            }
        }
        self.broker.handle_timeout(now);
        for peer in &mut self.peers {
            // SAFETY: a live node.
            assert_eq!(unsafe { rit_node_timeout(peer.node) }, RIT_OK);
            peer.fetch();
        }
    }

    /// The next event of a type; those before it are passed over.
    fn wait(&mut self, peer: usize, wanted: u32) -> rit_event {
        for _ in 0..10_000 {
            self.peers[peer].fetch();
            while let Some(event) = self.peers[peer].events.pop_front() {
                if event.r#type == wanted {
                    return event;
                }
            }
            self.step();
        }
        panic!("no event of type {wanted}");
    }

    /// An open stream: the device's handle and the user's.
    fn stream(&mut self, session: rit_session) -> (rit_stream, rit_stream) {
        let theirs = self.peers[USER].open(session, c"web").unwrap();
        let incoming = self.wait(DEVICE, RIT_EVENT_STREAM_INCOMING);
        let ours = incoming.stream;
        assert!(incoming.service != 0 && incoming.session != 0);
        let device = &mut self.peers[DEVICE];
        assert_eq!(device.write(ours, b"early"), Err(RIT_ERR_STATE));
        // SAFETY: a live node.
        assert_eq!(unsafe { rit_stream_accept(device.node, ours) }, RIT_OK);
        // SAFETY: a live node.
        assert_eq!(unsafe { rit_stream_accept(device.node, ours) }, RIT_ERR_STATE);
        assert_eq!(self.wait(USER, RIT_EVENT_STREAM_OPENED).stream, theirs);
        (ours, theirs)
    }
}

#[test]
fn bytes_and_ends_both_ways() {
    let (mut world, _, session) = World::connected(|_| {});
    let mut info: rit_session_info = sized();
    let mut service: rit_service_info = sized();
    let mut path: rit_path_info = sized();
    let node = world.peers[USER].node;
    // SAFETY: sized structs.
    unsafe {
        assert_eq!(rit_session_info(node, session, &mut info), RIT_OK);
        assert_eq!(rit_session_service(node, session, 0, &mut service), RIT_OK);
        assert!(rit_session_service(node, session, 1, &mut service) != RIT_OK);
        assert_eq!(CStr::from_ptr(service.name.as_ptr()), c"web");
        assert_eq!(rit_session_path(node, session, 0, &mut path), RIT_OK);
        assert!(rit_session_path(node, session, info.path_count, &mut path) != RIT_OK);
    }
    assert_eq!((path.kind, path.state), (RIT_PATH_DIRECT, RIT_PATH_ANSWERS));
    assert_eq!((path.path.port, path.rtt_us), (info.path.port, info.rtt_us));
    assert!(path.datagrams_sent >= 2 && path.bytes_sent > 400, "{path:?}");
    assert!(path.datagrams_received >= 1 && path.bytes_received > 400, "{path:?}");
    assert_eq!((info.is_up, info.is_initiator, info.service_count), (1, 1, 1));
    assert_eq!((info.path.ip[15], info.path.port, service.port), (0, 7480, 80));
    assert!(info.rtt_us >= 2 * DELAY_US && info.rtt_us < 4 * DELAY_US, "{}", info.rtt_us);

    let (device, user) = world.stream(session);
    assert_eq!(world.peers[USER].read(user), Err(RIT_ERR_AGAIN));
    assert_eq!(world.peers[USER].write(user, b"GET /"), Ok(5));
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_stream_finish(node, user) }, RIT_OK);
    assert_eq!(world.peers[USER].write(user, b"more"), Err(RIT_ERR_STATE));
    assert_eq!(world.wait(DEVICE, RIT_EVENT_STREAM_READABLE).stream, device);
    assert_eq!(world.peers[DEVICE].read(device), Ok(b"GET /".to_vec()));
    assert_eq!(world.peers[DEVICE].read(device), Ok(Vec::new()), "the end");
    // The other direction is still open.
    assert_eq!(world.peers[DEVICE].write(device, b"200"), Ok(3));
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_stream_finish(world.peers[DEVICE].node, device) }, RIT_OK);
    // SAFETY: a live node. What is finished still arrives.
    assert_eq!(unsafe { rit_stream_release(world.peers[DEVICE].node, device) }, RIT_OK);
    assert_eq!(world.wait(USER, RIT_EVENT_STREAM_READABLE).stream, user);
    assert_eq!(world.peers[USER].read(user), Ok(b"200".to_vec()));
    assert_eq!(world.peers[USER].read(user), Ok(Vec::new()));
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_stream_release(node, user) }, RIT_OK);
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_stream_release(node, user) }, RIT_ERR_HANDLE);
}

#[test]
fn a_slow_reader_stops_its_writer_and_nobody_else() {
    let (mut world, _, session) = World::connected(|config| {
        config.stream_window = 4096;
        config.stream_send_buffer = 4096;
    });
    let (device, user) = world.stream(session);
    let mut taken = 0;
    for _ in 0..200 {
        match world.peers[USER].write(user, &[7; 1000]) {
            Ok(len) => taken += len,
            Err(error) => assert_eq!(error, RIT_ERR_AGAIN),
        }
        world.step();
    }
    assert!((4096..=8192).contains(&taken), "{taken}");
    let (other_device, other_user) = world.stream(session);
    assert_eq!(world.peers[USER].write(other_user, b"hello"), Ok(5));
    assert_eq!(world.wait(DEVICE, RIT_EVENT_STREAM_READABLE).stream, other_device);
    assert_eq!(world.peers[DEVICE].read(other_device), Ok(b"hello".to_vec()));
    // Reading makes room.
    world.peers[USER].events.clear();
    let mut read = 0;
    while read < taken {
        match world.peers[DEVICE].read(device) {
            Ok(bytes) => read += bytes.len(),
            Err(error) => assert_eq!(error, RIT_ERR_AGAIN),
        }
        world.step();
    }
    assert_eq!(world.wait(USER, RIT_EVENT_STREAM_WRITABLE).stream, user);
    assert_eq!(world.peers[USER].write(user, b"on"), Ok(2));
}

#[test]
fn refusals_resets_and_stops_are_told() {
    let (mut world, _, session) = World::connected(|_| {});
    let unknown = world.peers[USER].open(session, c"ftp").unwrap();
    let refused = world.wait(USER, RIT_EVENT_STREAM_REFUSED);
    assert_eq!((refused.stream, refused.error), (unknown, RIT_ERR_UNKNOWN));
    assert_eq!(refused.code, RIT_REFUSED_UNKNOWN as u64);
    for (refusal, error) in [
        (RIT_REFUSED_SERVICE, RIT_ERR_REFUSED),
        (RIT_REFUSED_DENIED, RIT_ERR_DENIED),
        (RIT_REFUSED_LIMIT, RIT_ERR_LIMIT),
    ] {
        let stream = world.peers[USER].open(session, c"web").unwrap();
        let incoming = world.wait(DEVICE, RIT_EVENT_STREAM_INCOMING).stream;
        let node = world.peers[DEVICE].node;
        // SAFETY: a live node.
        assert_eq!(unsafe { rit_stream_refuse(node, incoming, refusal) }, RIT_OK);
        // SAFETY: a live node.
        assert_eq!(unsafe { rit_stream_release(node, incoming) }, RIT_ERR_HANDLE);
        let refused = world.wait(USER, RIT_EVENT_STREAM_REFUSED);
        assert_eq!((refused.stream, refused.error), (stream, error));
        assert_eq!(refused.code, refusal as u64);
        // SAFETY: a live node.
        assert_eq!(unsafe { rit_stream_release(world.peers[USER].node, stream) }, RIT_OK);
    }
    let (device, user) = world.stream(session);
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_stream_stop(world.peers[USER].node, user, 41) }, RIT_OK);
    let stopped = world.wait(DEVICE, RIT_EVENT_STREAM_STOPPED);
    assert_eq!((stopped.stream, stopped.code), (device, 41));
    assert_eq!(world.peers[DEVICE].write(device, b"x"), Err(RIT_ERR_CLOSED));
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_stream_reset(world.peers[USER].node, user, 42) }, RIT_OK);
    let reset = world.wait(DEVICE, RIT_EVENT_STREAM_RESET);
    assert_eq!((reset.stream, reset.code), (device, 42));
    assert_eq!(world.peers[DEVICE].read(device), Err(RIT_ERR_RESET));
}

#[test]
fn urgency_is_taken_and_a_deadline_told_at_both_ends() {
    let (mut world, _, session) = World::connected(|_| {});
    let (device, user) = world.stream(session);
    let node = world.peers[USER].node;
    let priority = |urgency, incremental| {
        // SAFETY: a live node.
        unsafe { rit_stream_set_priority(node, user, urgency, incremental) }
    };
    assert_eq!([priority(0, 0), priority(7, 1)], [RIT_OK; 2]);
    assert_eq!([priority(8, 1), priority(u32::MAX, 0), priority(0, 2)], [RIT_ERR_ARG; 3]);
    // SAFETY: a live node.
    let deadline = |us| unsafe { rit_stream_set_deadline(node, user, us) };
    assert_eq!([deadline(u64::MAX - 1), deadline(u64::MAX), deadline(5_000)], [RIT_OK; 3]);
    assert_eq!(world.peers[USER].write(user, b"late"), Ok(4));
    assert!(world.peers[USER].port().timer_us <= world.now_us + 5_000);
    assert_eq!(world.wait(USER, RIT_EVENT_STREAM_EXPIRED).stream, user);
    assert_eq!(world.peers[USER].write(user, b"more"), Err(RIT_ERR_TIMEOUT));
    let reset = world.wait(DEVICE, RIT_EVENT_STREAM_RESET);
    assert_eq!((reset.stream, reset.code), (device, RIT_CODE_DEADLINE));
}

#[test]
fn a_closed_session_makes_its_handles_stale() {
    let (mut world, device_session, session) = World::connected(|_| {});
    let (device, user) = world.stream(session);
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_session_close(world.peers[USER].node, session, 5) }, RIT_OK);
    let down = world.wait(USER, RIT_EVENT_SESSION_DOWN);
    assert_eq!((down.session, down.error, down.code), (session, RIT_OK, 0));
    let down = world.wait(DEVICE, RIT_EVENT_SESSION_DOWN);
    assert_eq!((down.session, down.error, down.code), (device_session, RIT_ERR_CLOSED, 5));
    assert_eq!(world.peers[USER].write(user, b"x"), Err(RIT_ERR_HANDLE));
    assert_eq!(world.peers[DEVICE].read(device), Err(RIT_ERR_HANDLE));
    assert_eq!(world.peers[USER].open(session, c"web"), Err(RIT_ERR_HANDLE));
    // A new one is another.
    let device_key = world.peers[DEVICE].key();
    let again = world.peers[USER].reach(device_key).unwrap();
    assert_ne!(again, session);
    assert_eq!(world.wait(USER, RIT_EVENT_SESSION_UP).session, again);
    world.wait(DEVICE, RIT_EVENT_SESSION_UP);
    // Taken back: what the peer has opened ends.
    let user_key = world.peers[USER].key();
    // SAFETY: a live node, a whole key.
    let code = unsafe { rit_peer_forbid(world.peers[DEVICE].node, user_key.as_ptr()) };
    assert_eq!(code, RIT_OK);
    assert_eq!(world.wait(USER, RIT_EVENT_SESSION_DOWN).error, RIT_ERR_CLOSED);
}

#[test]
fn the_broker_says_no() {
    let mut world = World::new(|_| {});
    assert_eq!(world.peers[USER].reach([1; 32]), Err(RIT_ERR_OFFLINE));
    world.connect(DEVICE, c"wrong");
    let refused = world.wait(DEVICE, RIT_EVENT_ENROL_REFUSED);
    assert_eq!(refused.error, RIT_ERR_CODE);
    assert!(!world.peers[DEVICE].port().warnings.is_empty());
    world.connect(USER, c"two");
    world.wait(USER, RIT_EVENT_ENROLLED);
    world.wait(USER, RIT_EVENT_BROKER_ONLINE);
    let session = world.peers[USER].reach([1; 32]).unwrap();
    let down = world.wait(USER, RIT_EVENT_SESSION_DOWN);
    assert_eq!((down.session, down.error), (session, RIT_ERR_UNKNOWN));
    // With the right code the same node is let in.
    world.connect(DEVICE, c"one");
    world.wait(DEVICE, RIT_EVENT_BROKER_ONLINE);
}
