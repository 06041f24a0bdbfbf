//! A world of two nodes, by their C functions, and a broker, on simulated time.
//!
//! Included by several tests, none of which uses all of it.
#![allow(dead_code)]

use rit::drive::*;
use rit::error::{RIT_ERR_AGAIN, RIT_ERR_STATE, RIT_OK};
use rit::event::*;
use rit::io::{RIT_BATCH_LEN_MAX, RIT_BATCH_MAX, RIT_LOG_WARN, rit_io, rit_path};
use rit::node::*;
use rit::service::*;
use rit::session::*;
use rit::stream::*;
use rit::{RIT_KEY_LEN, rit_broker, rit_broker_connect, rit_config, rit_config_init, rit_crypto};
use rit_core::base::{Path, PublicKey, Time};
use rit_core::broker::{Answer, Query, code_hash};
use rit_core::crypto::{self, Ed25519Signer};
use rit_core::node::BrokerNode;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;

pub(crate) const DELAY_US: u64 = 10_000;
pub(crate) const BROKER: u8 = 9;

/// What the callbacks of one node share with the test.
pub(crate) struct Port {
    pub(crate) now_us: u64,
    pub(crate) noise: u64,
    pub(crate) timer_us: u64,
    pub(crate) outbox: Vec<(rit_path, Vec<u8>)>,
    /// Calls of send_batch.
    pub(crate) batches: usize,
    pub(crate) warnings: Vec<String>,
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
pub(crate) fn sized<T>() -> T {
    // SAFETY: the structs of this interface may be zero, and begin with their size.
    unsafe {
        let mut value: T = std::mem::zeroed();
        std::ptr::from_mut(&mut value).cast::<u32>().write(size_of::<T>() as u32);
        value
    }
}

pub(crate) fn path(last: u8) -> rit_path {
    let ip = Path::v4([10, 0, 0, last], 7480).ip;
    rit_path { ip, port: 7480, ..sized() }
}

/// One node, by its C functions.
pub(crate) struct Peer {
    pub(crate) node: *mut rit_node,
    pub(crate) port: *mut Port,
    pub(crate) events: VecDeque<rit_event>,
}

impl Peer {
    /// One with an odd seed sends several datagrams at once where it can; of one with an even seed
    /// they are fetched.
    pub(crate) fn new(seed: u64, change: impl FnOnce(&mut rit_config)) -> Peer {
        Peer::try_new(seed, change, std::ptr::null()).expect("all is in order")
    }

    /// One with crypto of its own; or why there is none.
    pub(crate) fn try_new(
        seed: u64,
        change: impl FnOnce(&mut rit_config),
        crypto: *const rit_crypto,
    ) -> Result<Peer, i32> {
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
            send: (seed % 2 == 1).then_some(send),
            set_timer: Some(set_timer),
            log: Some(log),
            send_batch: (seed % 2 == 1).then_some(send_batch),
            crypto,
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
        assert_eq!(node.is_null(), err != RIT_OK);
        if node.is_null() {
            // SAFETY: made above, and there is no node to use it.
            drop(unsafe { Box::from_raw(port) });
            return Err(err);
        }
        Ok(Peer { node, port, events: VecDeque::new() })
    }

    /// What it sent since the last call, and what it has to send now if that is to be fetched: with
    /// no more room than the largest datagram has that a relay passes on to it.
    fn take_sent(&mut self) -> Vec<(rit_path, Vec<u8>)> {
        let mut taken = std::mem::take(&mut self.port().outbox);
        let (mut to, mut buf, mut len) = (sized(), [0; 1452 + 9], 99);
        loop {
            // SAFETY: good pointers.
            let code = unsafe {
                rit_node_transmit(self.node, &mut to, buf.as_mut_ptr(), buf.len(), &mut len)
            };
            match code {
                RIT_OK => taken.push((to, buf[..len].to_vec())),
                RIT_ERR_AGAIN | RIT_ERR_STATE => break,
                other => panic!("rit_node_transmit answered {other}"),
            }
        }
        assert_eq!(len, 0);
        taken
    }

    pub(crate) fn port(&mut self) -> &mut Port {
        // SAFETY: no call into the library is under way.
        unsafe { &mut *self.port }
    }

    pub(crate) fn key(&self) -> [u8; RIT_KEY_LEN] {
        let mut key = [0; RIT_KEY_LEN];
        // SAFETY: room for a key.
        assert_eq!(unsafe { rit_node_public_key(self.node, key.as_mut_ptr()) }, RIT_OK);
        key
    }

    pub(crate) fn fetch(&mut self) {
        let mut event: rit_event = sized();
        // SAFETY: a sized event.
        while unsafe { rit_node_next_event(self.node, &mut event) } == RIT_OK {
            self.events.push_back(event);
        }
    }

    pub(crate) fn offer(&mut self, name: &CStr) -> rit_service_id {
        let service = rit_service { port: 80, name: name.as_ptr(), ..sized() };
        let mut id = 0;
        // SAFETY: good pointers.
        assert_eq!(unsafe { rit_service_add(self.node, &service, &mut id) }, RIT_OK);
        id
    }

    pub(crate) fn allow(&mut self, peer: &Peer) {
        let key = peer.key();
        // SAFETY: a whole key.
        assert_eq!(unsafe { rit_peer_allow(self.node, key.as_ptr()) }, RIT_OK);
    }

    pub(crate) fn reach(&mut self, device: [u8; RIT_KEY_LEN]) -> Result<rit_session, i32> {
        let target = rit_target { device, ..sized() };
        let mut session = 0;
        // SAFETY: good pointers.
        match unsafe { rit_session_open(self.node, &target, &mut session) } {
            RIT_OK => Ok(session),
            error => Err(error),
        }
    }

    pub(crate) fn open(&mut self, session: rit_session, service: &CStr) -> Result<rit_stream, i32> {
        let mut stream = 0;
        // SAFETY: good pointers.
        match unsafe { rit_stream_open(self.node, session, service.as_ptr(), &mut stream) } {
            RIT_OK => Ok(stream),
            error => Err(error),
        }
    }

    pub(crate) fn write(&mut self, stream: rit_stream, data: &[u8]) -> Result<usize, i32> {
        let mut written = 99;
        // SAFETY: good pointers.
        match unsafe {
            rit_stream_write(self.node, stream, data.as_ptr(), data.len(), &mut written)
        } {
            RIT_OK => Ok(written),
            error => Err(error),
        }
    }

    pub(crate) fn read(&mut self, stream: rit_stream) -> Result<Vec<u8>, i32> {
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

pub(crate) struct World {
    pub(crate) broker: BrokerNode,
    pub(crate) codes: BTreeSet<[u8; 32]>,
    pub(crate) enrolled: BTreeSet<PublicKey>,
    /// The device, then the user.
    pub(crate) peers: [Peer; 2],
    pub(crate) wire: VecDeque<Flying>,
    /// The most datagrams that a node took at once.
    pub(crate) longest_train: usize,
    /// Datagrams sent as ECT(0).
    pub(crate) marked: usize,
    pub(crate) now_us: u64,
    /// Every datagram sent, if anybody wants to know.
    pub(crate) recorded: Option<Vec<Vec<u8>>>,
}

pub(crate) const DEVICE: usize = 0;
pub(crate) const USER: usize = 1;

impl World {
    pub(crate) fn new(change: impl Fn(&mut rit_config)) -> World {
        World::with([Peer::new(1, &change), Peer::new(2, &change)])
    }

    pub(crate) fn with(peers: [Peer; 2]) -> World {
        let signer = Arc::new(Ed25519Signer::from_seed(&[200; 32]));
        let provider = crypto::default_provider();
        let config = rit_core::node::Config::default();
        let broker = BrokerNode::new(config, provider, signer, [200; 32], Time::ZERO).unwrap();
        World {
            broker,
            codes: ["one", "two"].map(|code| code_hash(provider, code)).into(),
            enrolled: BTreeSet::new(),
            peers,
            wire: VecDeque::new(),
            longest_train: 0,
            marked: 0,
            now_us: 0,
            recorded: None,
        }
    }

    /// Two nodes online, the user let in by the device, and a session up; its handles.
    pub(crate) fn connected(change: impl Fn(&mut rit_config)) -> (World, rit_session, rit_session) {
        World::new(change).up()
    }

    /// The same with these.
    pub(crate) fn up(self) -> (World, rit_session, rit_session) {
        let mut world = self;
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

    pub(crate) fn connect(&mut self, peer: usize, code: &CStr) {
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

    pub(crate) fn answer_asks(&mut self, now: Time) {
        while let Some((id, query)) = self.broker.poll_ask() {
            let is_enrolled = match query {
                Query::Trust { .. } => {
                    let none = Answer::Trust(None);
                    self.broker.handle_answer(id, none, 1_700_000_000, now);
                    continue;
                }
                Query::Lookup { key } => self.enrolled.contains(&key),
                Query::Enrol { key, code_hash } => {
                    self.codes.remove(&code_hash) && self.enrolled.insert(key)
                }
            };
            self.broker.handle_answer(id, Answer::Enrolled(is_enrolled), 1_700_000_000, now);
        }
    }

    /// Puts what was sent on the wire; the moment at which something happens next.
    pub(crate) fn collect(&mut self) -> u64 {
        let now = Time::from_micros(self.now_us);
        let at_us = self.now_us + DELAY_US;
        self.answer_asks(now);
        let mut buf = [0; 2000];
        while let Some(sent) = self.broker.poll_transmit(&mut buf, now) {
            let (to, bytes, ecn) = (sent.path.ip[15], buf[..sent.len].to_vec(), sent.ecn as u8);
            self.wire.push_back(Flying { at_us, from: BROKER, to, bytes, ecn });
        }
        for (from, peer) in (0..).zip(&mut self.peers) {
            for (to, bytes) in peer.take_sent() {
                if let Some(recorded) = &mut self.recorded {
                    recorded.push(bytes.clone());
                }
                self.marked += usize::from(to.ecn == 2);
                self.wire.push_back(Flying { at_us, from, to: to.ip[15], bytes, ecn: to.ecn });
            }
        }
        let timers = self.peers.each_mut().map(|peer| peer.port().timer_us);
        let broker = self.broker.poll_timeout().map_or(u64::MAX, Time::as_micros);
        let wire = self.wire.front().map_or(u64::MAX, |next| next.at_us);
        timers.into_iter().fold(broker.min(wire), u64::min)
    }

    pub(crate) fn step(&mut self) {
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
    pub(crate) fn wait(&mut self, peer: usize, wanted: u32) -> rit_event {
        self.wait_any(peer, &[wanted])
    }

    /// The next event of one of these types.
    pub(crate) fn wait_any(&mut self, peer: usize, wanted: &[u32]) -> rit_event {
        for _ in 0..10_000 {
            self.peers[peer].fetch();
            while let Some(event) = self.peers[peer].events.pop_front() {
                if wanted.contains(&event.r#type) {
                    return event;
                }
            }
            self.step();
        }
        panic!("no event of types {wanted:?}");
    }

    /// An open stream: the device's handle and the user's.
    pub(crate) fn stream(&mut self, session: rit_session) -> (rit_stream, rit_stream) {
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

/// A datagram, when it arrives, whose it is, and its ECN codepoint.
pub(crate) struct Flying {
    pub(crate) at_us: u64,
    pub(crate) from: u8,
    pub(crate) to: u8,
    pub(crate) bytes: Vec<u8>,
    pub(crate) ecn: u8,
}

/// Datagrams that arrived one after the other between the same two, all but the last of `size`
/// bytes, as a system with UDP_GRO would give them.
pub(crate) struct Train {
    pub(crate) first: Flying,
    pub(crate) size: usize,
    pub(crate) count: usize,
}

/// The next that arrived by `now_us`.
pub(crate) fn next_train(wire: &mut VecDeque<Flying>, now_us: u64) -> Option<Train> {
    wire.front().filter(|next| next.at_us <= now_us)?;
    let first = wire.pop_front()?;
    let mut train = Train { size: first.bytes.len(), count: 1, first };
    while train.first.bytes.len() == train.count * train.size {
        let Train { first, size, .. } = &train;
        let key = |flying: &Flying| (flying.at_us, flying.from, flying.to, flying.ecn);
        if wire.front().is_none_or(|next| key(next) != key(first) || next.bytes.len() > *size) {
            break;
        }
        train.first.bytes.extend(wire.pop_front()?.bytes);
        train.count += 1;
    }
    Some(train)
}

impl Train {
    /// One call for each datagram.
    pub(crate) fn hand_in_singly(&self, node: *mut rit_node) {
        let from = rit_path { ecn: self.first.ecn, ..path(self.first.from) };
        for datagram in self.first.bytes.chunks(self.size) {
            // SAFETY: good pointers.
            let code = unsafe { rit_node_receive(node, &from, datagram.as_ptr(), datagram.len()) };
            assert_eq!(code, RIT_OK);
        }
    }

    /// One call for all.
    pub(crate) fn hand_in(mut self, node: *mut rit_node) {
        let from = rit_path { ecn: self.first.ecn, ..path(self.first.from) };
        let (pkts, len) = (self.first.bytes.as_mut_ptr(), self.first.bytes.len());
        // SAFETY: good pointers.
        let code = unsafe { rit_node_receive_batch(node, &from, pkts, len, self.size) };
        assert_eq!(code, RIT_OK);
    }
}
