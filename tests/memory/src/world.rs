//! A device on an arena, a user and a broker, on a loss-free wire in virtual time.
//!
//! Owns the callbacks and the turn of the world. Device and user are driven by the C functions
//! alone; a refusal for lack of memory is noted, and every other failure is the test's.

use crate::arena::{inside, outside};
use rit::drive::{rit_node_receive, rit_node_timeout};
use rit::error::{RIT_ERR_AGAIN, RIT_ERR_NOMEM, RIT_OK};
use rit::event::{rit_event, rit_node_next_event};
use rit::io::{rit_io, rit_path};
use rit::node::{rit_node, rit_node_free, rit_node_new, rit_node_public_key};
use rit::{RIT_KEY_LEN, rit_config, rit_config_init};
use rit_core::base::{Path, PublicKey, Time};
use rit_core::broker::{Answer, Query, code_hash};
use rit_core::crypto::{self, Ed25519Signer};
use rit_core::node::BrokerNode;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::{c_char, c_void};
use std::sync::Arc;

const DELAY_US: u64 = 5_000;
/// The last byte of the broker's address.
pub const BROKER: u8 = 9;
/// The peer with the arena.
pub const DEVICE: usize = 0;
/// The other.
pub const USER: usize = 1;

/// What the callbacks of one node share with the test.
struct Port {
    now_us: u64,
    noise: u64,
    timer_us: u64,
    outbox: Vec<(rit_path, Vec<u8>)>,
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
    outside(|| port.outbox.push((to, pkt.to_vec())));
    0
}

unsafe extern "C" fn set_timer(ctx: *mut c_void, deadline_us: u64) {
    // SAFETY: as above.
    unsafe { (*ctx.cast::<Port>()).timer_us = deadline_us }
}

unsafe extern "C" fn log(_: *mut c_void, _: i32, _: *const c_char) {}

/// A struct for the library to read or fill.
pub fn sized<T>() -> T {
    // SAFETY: the structs of this interface may be zero, and begin with their size.
    unsafe {
        let mut value: T = std::mem::zeroed();
        std::ptr::from_mut(&mut value).cast::<u32>().write(size_of::<T>() as u32);
        value
    }
}

/// Where a node is.
pub fn path(last: u8) -> rit_path {
    let ip = Path::v4([10, 0, 0, last], 7480).ip;
    rit_path { ip, port: 7480, ..sized() }
}

/// One node, by its C functions.
pub struct Peer {
    node: *mut rit_node,
    port: *mut Port,
    is_inside: bool,
    /// What happened and was not looked at.
    pub events: VecDeque<rit_event>,
    /// Calls that were refused for lack of memory.
    pub refused: u64,
    /// What is done before each call into the library.
    pub before: Option<Box<dyn FnMut()>>,
    /// What is done after it, with the name of what was called, and its answer.
    pub after: Option<Box<dyn FnMut(&'static str, i32)>>,
}

impl Peer {
    /// A node; the error if there is none.
    pub fn new(seed: u64, is_inside: bool, config: &rit_config) -> Result<Peer, i32> {
        let port = Port { now_us: 0, noise: seed, timer_us: u64::MAX, outbox: Vec::new() };
        let port = Box::into_raw(Box::new(port));
        let io = rit_io {
            ctx: port.cast(),
            now_us: Some(now_us),
            entropy: Some(entropy),
            send: Some(send),
            set_timer: Some(set_timer),
            log: Some(log),
            ..sized()
        };
        let mut err = 1;
        // SAFETY: all pointers are good; the port outlives the node.
        let mut make = || unsafe { rit_node_new(config, &io, &mut err) };
        let node = if is_inside { inside(make) } else { make() };
        if node.is_null() {
            // SAFETY: made above.
            drop(unsafe { Box::from_raw(port) });
            return Err(err);
        }
        assert_eq!(err, RIT_OK);
        let events = VecDeque::new();
        Ok(Peer { node, port, is_inside, events, refused: 0, before: None, after: None })
    }

    fn port(&mut self) -> &mut Port {
        // SAFETY: no call into the library is under way.
        unsafe { &mut *self.port }
    }

    /// A call into the library; a refusal for lack of memory is counted.
    pub fn call(&mut self, name: &'static str, call: impl FnOnce(*mut rit_node) -> i32) -> i32 {
        if let Some(before) = &mut self.before {
            before();
        }
        let node = self.node;
        let code = if self.is_inside { inside(|| call(node)) } else { call(node) };
        self.refused += u64::from(code == RIT_ERR_NOMEM);
        if let Some(after) = &mut self.after {
            after(name, code);
        }
        code
    }

    /// The node's key.
    pub fn key(&mut self) -> [u8; RIT_KEY_LEN] {
        let mut key = [0; RIT_KEY_LEN];
        // SAFETY: room for a key.
        assert_eq!(
            self.call("rit_node_public_key", |node| unsafe {
                rit_node_public_key(node, key.as_mut_ptr())
            }),
            RIT_OK
        );
        key
    }

    fn fetch(&mut self) {
        loop {
            let mut event: rit_event = sized();
            // SAFETY: a sized event.
            match self.call("rit_node_next_event", |node| unsafe {
                rit_node_next_event(node, &mut event)
            }) {
                RIT_OK => self.events.push_back(event),
                RIT_ERR_AGAIN => return,
                code => panic!("rit_node_next_event: {code}"),
            }
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

struct Flying {
    at_us: u64,
    from: u8,
    to: u8,
    bytes: Vec<u8>,
}

/// All of them.
pub struct World {
    broker: BrokerNode,
    codes: BTreeSet<[u8; 32]>,
    enrolled: BTreeSet<PublicKey>,
    /// The device, then the user.
    pub peers: [Peer; 2],
    wire: VecDeque<Flying>,
    now_us: u64,
    sent: u64,
    /// Steps since time went on.
    still: u32,
    /// One in so many datagrams is lost; 0: none.
    pub loss: u64,
}

/// What a small device has.
pub fn small_config() -> rit_config {
    let mut config: rit_config = sized();
    // SAFETY: room for one.
    unsafe { rit_config_init(&mut config) };
    rit_config {
        max_sessions: 2,
        max_services: 2,
        max_peers: 4,
        max_streams: 4,
        stream_window: 2048,
        session_window: 4096,
        stream_send_buffer: 2048,
        max_datagram: 1280,
        max_flows: 2,
        datagram_queue: 4,
        datagram_send_buffer: 2048,
        datagram_recv_buffer: 2048,
        ..config
    }
}

impl World {
    /// A world with a device on this thread's arena; the error if there is no room for it.
    pub fn new() -> Result<World, i32> {
        let device = Peer::new(1, true, &small_config())?;
        let user = Peer::new(2, false, &sized_config()).expect("the system has memory");
        let signer = Arc::new(Ed25519Signer::from_seed(&[200; 32]));
        let provider = crypto::default_provider();
        let config = rit_core::node::Config::default();
        let broker = BrokerNode::new(config, provider, signer, [200; 32], Time::ZERO)
            .expect("the default configuration");
        Ok(World {
            broker,
            codes: ["one", "two"].map(|code| code_hash(provider, code)).into(),
            enrolled: BTreeSet::new(),
            peers: [device, user],
            wire: VecDeque::new(),
            now_us: 0,
            sent: 0,
            still: 0,
            loss: 0,
        })
    }

    /// The broker's key.
    pub fn broker_key(&self) -> [u8; RIT_KEY_LEN] {
        self.broker.public_key().0
    }

    /// Virtual time.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    fn answer_asks(&mut self, now: Time) {
        while let Some((id, query)) = self.broker.poll_ask() {
            let is_enrolled = match query {
                Query::Trust { .. } => {
                    let none = Answer::Trust(None);
                    self.broker.handle_answer(id, none, 1_700_000_000, now);
                    continue;
                }
                Query::Lookup { key } => self.enrolled.contains(&key),
                // Codes are good for more than once here: a device may have to ask again.
                Query::Enrol { key, code_hash } => {
                    self.codes.contains(&code_hash) && {
                        self.enrolled.insert(key);
                        true
                    }
                }
            };
            self.broker.handle_answer(id, Answer::Enrolled(is_enrolled), 1_700_000_000, now);
        }
    }

    /// Puts what was sent on the wire; the moment at which something happens next.
    fn collect(&mut self) -> u64 {
        let now = Time::from_micros(self.now_us);
        let at_us = self.now_us + DELAY_US;
        self.answer_asks(now);
        let mut buf = [0; 2000];
        while let Some(sent) = self.broker.poll_transmit(&mut buf, now) {
            let (to, bytes) = (sent.path.ip[15], buf[..sent.len].to_vec());
            self.wire.push_back(Flying { at_us, from: BROKER, to, bytes });
        }
        for (from, peer) in (0..).zip(&mut self.peers) {
            for (to, bytes) in peer.port().outbox.drain(..) {
                self.sent += 1;
                if self.loss == 0 || self.sent % self.loss != 0 {
                    self.wire.push_back(Flying { at_us, from, to: to.ip[15], bytes });
                }
            }
        }
        let timers = self.peers.each_mut().map(|peer| peer.port().timer_us);
        let broker = self.broker.poll_timeout().map_or(u64::MAX, Time::as_micros);
        let wire = self.wire.front().map_or(u64::MAX, |next| next.at_us);
        timers.into_iter().fold(broker.min(wire), u64::min)
    }

    /// The next thing happens.
    pub fn step(&mut self) {
        let next = self.collect();
        self.still = if next > self.now_us { 0 } else { self.still + 1 };
        let timers = self.peers.each_mut().map(|peer| peer.port().timer_us);
        assert!(self.still < 10_000, "time stands still: {} of {timers:?}", self.now_us);
        self.now_us = next.max(self.now_us);
        let now = Time::from_micros(self.now_us);
        for peer in &mut self.peers {
            peer.port().now_us = self.now_us;
        }
        while self.wire.front().is_some_and(|next| next.at_us <= self.now_us) {
            let Some(mut flying) = self.wire.pop_front() else { break };
            let Some(peer) = self.peers.get_mut(usize::from(flying.to)) else {
                let from = Path::v4([10, 0, 0, flying.from], 7480);
                self.broker.handle_datagram(from, &mut flying.bytes, now);
                continue;
            };
            let (from, bytes) = (path(flying.from), &flying.bytes);
            // SAFETY: good pointers.
            let code = peer.call("rit_node_receive", |node| unsafe {
                rit_node_receive(node, &from, bytes.as_ptr(), bytes.len())
            });
            assert!(code == RIT_OK || code == RIT_ERR_NOMEM, "rit_node_receive: {code}");
        }
        self.broker.handle_timeout(now);
        let now_us = self.now_us;
        for peer in &mut self.peers {
            // It has gone off; the library tells the next, if there is one.
            if peer.port().timer_us <= now_us {
                peer.port().timer_us = u64::MAX;
            }
            // SAFETY: a live node.
            let code = peer.call("rit_node_timeout", |node| unsafe { rit_node_timeout(node) });
            assert!(code == RIT_OK || code == RIT_ERR_NOMEM, "rit_node_timeout: {code}");
            peer.fetch();
        }
    }

    /// Lets so many virtual seconds go by.
    pub fn run(&mut self, seconds: u64) {
        let until = self.now_us + seconds * 1_000_000;
        while self.now_us < until {
            self.step();
        }
    }

    /// The next event of one of these types within some virtual seconds; those before it are passed
    /// over.
    pub fn wait(&mut self, peer: usize, wanted: &[u32], seconds: u64) -> Option<rit_event> {
        let until = self.now_us + seconds * 1_000_000;
        loop {
            while let Some(event) = self.peers[peer].events.pop_front() {
                if wanted.contains(&event.r#type) {
                    return Some(event);
                }
            }
            if self.now_us >= until {
                return None;
            }
            self.step();
        }
    }
}

fn sized_config() -> rit_config {
    let mut config: rit_config = sized();
    // SAFETY: room for one.
    unsafe { rit_config_init(&mut config) };
    config
}
