//! The node as C holds it: creation, datagrams, timer, statistics, broker and peers.
//!
//! `enter` is the only way in: it refuses calls from inside callbacks, guards against panics, and
//! drains what the call gave to send.

use crate::config::rit_config;
use crate::error::{
    RIT_ERR_ARG, RIT_ERR_IDENTITY, RIT_ERR_INTERNAL, RIT_ERR_NULL, RIT_ERR_REENTRY, RIT_ERR_SIZE,
    RIT_ERR_STATE, RIT_OK, from_config, from_node, rit_strerror,
};
use crate::io::{Io, RIT_LOG_ERROR, RIT_SLOT_IDENTITY, RIT_SLOT_MAX, rit_io, rit_path};
use crate::structs::{self, Sized32};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::ffi::{CStr, c_char};
use rit_core::base::{Path, PublicKey, Rng, Time};
use rit_core::crypto::default_provider;
use rit_core::node::{BrokerAddress, Node};
use rit_core::transport::MAX_DATAGRAM;
use rit_core::trust::Identity;
use zeroize::Zeroizing;

/// Bytes of a node's public key.
pub const RIT_KEY_LEN: usize = 32;
/// Datagrams taken by one rit_node_poll.
const POLL_DATAGRAMS: usize = 64;
/// Addresses of a broker, or of this node, taken at most.
const MAX_PATHS: usize = 8;

/// A node. Opaque; made by rit_node_new, freed by rit_node_free. It belongs to one thread at a time;
/// nodes are independent of each other.
pub struct rit_node {
    is_busy: Cell<bool>,
    inner: UnsafeCell<Inner>,
}

pub(crate) struct Inner {
    pub(crate) node: Node,
    io: Io,
    packet: Vec<u8>,
    deadline_us: u64,
    last_error: i32,
    /// A panic was caught: nothing in here is to be trusted.
    is_broken: bool,
}

impl Inner {
    /// Sends all there is to send and sets the timer.
    fn drain(&mut self, now: Time) {
        while let Some(transmit) = self.node.poll_transmit(&mut self.packet, now) {
            self.io.send(&transmit.path, &self.packet[..transmit.len]);
        }
        let deadline_us = self.node.poll_timeout().map_or(u64::MAX, Time::as_micros);
        if deadline_us != self.deadline_us {
            self.deadline_us = deadline_us;
            self.io.set_timer(deadline_us);
        }
    }

    fn poll(&mut self, now: Time) {
        for _ in 0..POLL_DATAGRAMS {
            let Some((from, len)) = self.io.receive(&mut self.packet) else { break };
            let Some(datagram) = self.packet.get_mut(..len) else { break };
            self.node.handle_datagram(from, datagram, now);
            self.drain(now);
        }
        self.node.handle_timeout(now);
    }
}

/// Runs `act` on a node, with the time; returns RIT_OK or the error, which the node remembers.
pub(crate) fn enter(
    ptr: *const rit_node,
    act: impl FnOnce(&mut Inner, Time) -> Result<(), i32>,
) -> i32 {
    // SAFETY: the caller promises a pointer from `rit_node_new`, not freed yet, or NULL.
    let Some(outer) = (unsafe { ptr.as_ref() }) else { return RIT_ERR_NULL };
    if outer.is_busy.replace(true) {
        return RIT_ERR_REENTRY;
    }
    // SAFETY: `is_busy` was false, so no other call on this thread is inside, and a node belongs to
    // one thread at a time: this is the only reference.
    let inner = unsafe { &mut *outer.inner.get() };
    let result = guarded(inner, |inner| {
        let now = inner.io.now();
        let result = act(inner, now);
        inner.drain(now);
        result
    });
    let err = result.err().unwrap_or(RIT_OK);
    if err != RIT_OK {
        inner.last_error = err;
    }
    outer.is_busy.set(false);
    err
}

/// A panic never crosses the boundary: it breaks this node alone.
fn guarded(inner: &mut Inner, act: impl FnOnce(&mut Inner) -> Result<(), i32>) -> Result<(), i32> {
    if inner.is_broken {
        return Err(RIT_ERR_INTERNAL);
    }
    #[cfg(feature = "std")]
    {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(inner)));
        result.unwrap_or_else(|_| {
            inner.is_broken = true;
            Err(RIT_ERR_INTERNAL)
        })
    }
    #[cfg(not(feature = "std"))]
    act(inner)
}

/// Version of the interface the library was built with; compare with RIT_ABI_VERSION.
///
/// Callable from everywhere.
#[unsafe(no_mangle)]
pub extern "C" fn rit_abi_version() -> u32 {
    crate::config::RIT_ABI_VERSION
}

/// Version of the library, "major.minor.patch": a static text.
///
/// Callable from everywhere.
#[unsafe(no_mangle)]
pub extern "C" fn rit_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Makes a node. cfg may be NULL: all defaults. io is copied.
///
/// Loads the identity from slot RIT_SLOT_IDENTITY, or makes one and stores it. Nothing is sent before
/// rit_broker_connect. Returns NULL on failure, with the reason in *err (which may be NULL):
/// RIT_ERR_NULL, RIT_ERR_SIZE, RIT_ERR_ARG, RIT_ERR_VERSION, RIT_ERR_ENTROPY, RIT_ERR_STORAGE,
/// RIT_ERR_IDENTITY. The node is freed with rit_node_free. Not callable in a callback or an interrupt.
#[unsafe(no_mangle)]
pub extern "C" fn rit_node_new(
    cfg: *const rit_config,
    io: *const rit_io,
    err: *mut i32,
) -> *mut rit_node {
    let (node, code) = match catch(|| create(cfg, io)) {
        Ok(inner) => {
            let node = rit_node { is_busy: Cell::new(false), inner: UnsafeCell::new(inner) };
            (Box::into_raw(Box::new(node)), RIT_OK)
        }
        Err(code) => (core::ptr::null_mut(), code),
    };
    // `err` may be NULL, as documented.
    let _ = structs::put(err, code);
    node
}

fn catch<T>(act: impl FnOnce() -> Result<T, i32>) -> Result<T, i32> {
    #[cfg(feature = "std")]
    {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        result.unwrap_or(Err(RIT_ERR_INTERNAL))
    }
    #[cfg(not(feature = "std"))]
    act()
}

fn create(cfg: *const rit_config, io: *const rit_io) -> Result<Inner, i32> {
    let config = rit_config::read(cfg)?;
    let io = Io::new(io)?;
    let mut rng = Rng::from_seed(*io.seed()?);
    let identity = identity(&io, &mut rng)?;
    let signer = Arc::new(identity.signer());
    let seed = Zeroizing::new(rng.array());
    let packet = vec![0; MAX_DATAGRAM.min(config.transport.max_datagram)];
    let node = Node::new(config, default_provider(), signer, *seed, io.now());
    let node = node.map_err(from_config)?;
    Ok(Inner { node, io, packet, deadline_us: u64::MAX, last_error: RIT_OK, is_broken: false })
}

/// Loads the identity, or makes one and stores it before anyone can learn of it.
fn identity(io: &Io, rng: &mut Rng) -> Result<Identity, i32> {
    let provider = default_provider();
    let mut stored = Zeroizing::new([0; RIT_SLOT_MAX]);
    let len = io.load(RIT_SLOT_IDENTITY, &mut *stored)?;
    if len > 0 {
        return Identity::decode(provider, &stored[..len]).map_err(|error| {
            io.log(RIT_LOG_ERROR, &alloc::format!("identity: {error}"));
            RIT_ERR_IDENTITY
        });
    }
    let identity = Identity::generate(rng);
    if io.has_storage() {
        io.store(RIT_SLOT_IDENTITY, &*identity.encode(provider))?;
    }
    Ok(identity)
}

/// Frees a node; its sessions end without a word. NULL is fine. A call from inside one of the node's
/// callbacks is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn rit_node_free(node: *mut rit_node) {
    // SAFETY: the caller promises a pointer from `rit_node_new`, not freed yet, or NULL.
    let Some(outer) = (unsafe { node.as_ref() }) else { return };
    if !outer.is_busy.get() {
        // SAFETY: it came from `Box::into_raw`, and no call is inside.
        drop(unsafe { Box::from_raw(node) });
    }
}

/// Hands in a datagram that came from an address. One that is not for this node is dropped without
/// an answer. pkt is copied. Events may follow.
///
/// RIT_ERR_NULL, RIT_ERR_SIZE, RIT_ERR_ARG (len above 65535), RIT_ERR_REENTRY. Not callable in a
/// callback or an interrupt.
#[unsafe(no_mangle)]
pub extern "C" fn rit_node_receive(
    node: *mut rit_node,
    from: *const rit_path,
    pkt: *const u8,
    len: usize,
) -> i32 {
    enter(node, |inner, now| {
        let from = structs::read(from)?.to_path()?;
        let packet = structs::bytes(pkt, len)?;
        if len > 65_535 {
            return Err(RIT_ERR_ARG);
        }
        // Longer than we said we take: not from a peer that listens to us.
        let Some(buf) = inner.packet.get_mut(..len) else { return Ok(()) };
        buf.copy_from_slice(packet);
        inner.node.handle_datagram(from, buf, now);
        Ok(())
    })
}

/// Does what is due. Call at or after the deadline; earlier calls are harmless.
///
/// RIT_ERR_NULL, RIT_ERR_REENTRY. Not callable in a callback or an interrupt.
#[unsafe(no_mangle)]
pub extern "C" fn rit_node_timeout(node: *mut rit_node) -> i32 {
    enter(node, |inner, now| {
        inner.node.handle_timeout(now);
        Ok(())
    })
}

/// For polled stacks: fetches up to 64 datagrams by io.recv, then does what is due.
///
/// RIT_ERR_STATE without io.recv; RIT_ERR_NULL, RIT_ERR_REENTRY. Not callable in a callback or an
/// interrupt.
#[unsafe(no_mangle)]
pub extern "C" fn rit_node_poll(node: *mut rit_node) -> i32 {
    enter(node, |inner, now| {
        if !inner.io.can_receive() {
            return Err(RIT_ERR_STATE);
        }
        inner.poll(now);
        Ok(())
    })
}

/// When to call rit_node_timeout, on io.now_us's clock; UINT64_MAX: never, or node is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn rit_node_deadline(node: *const rit_node) -> u64 {
    let mut deadline_us = u64::MAX;
    enter(node, |inner, _| {
        deadline_us = inner.deadline_us;
        Ok(())
    });
    deadline_us
}

/// Writes this node's public key: who it is.
///
/// RIT_ERR_NULL, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_node_public_key(node: *const rit_node, out: *mut u8) -> i32 {
    enter(node, |inner, _| {
        structs::bytes_mut(out, RIT_KEY_LEN)?.copy_from_slice(&inner.node.public_key().0);
        Ok(())
    })
}

/// Writes the text of the last error a call with this node returned, NUL-ended and cut to cap bytes.
/// Returns its length without the NUL, or RIT_ERR_NULL, RIT_ERR_BUFFER (cap is 0), RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_node_last_error(node: *const rit_node, out: *mut c_char, cap: usize) -> i32 {
    let mut written = 0;
    let err = enter(node, |inner, _| {
        // SAFETY: `rit_strerror` gives static NUL-ended texts.
        let text = unsafe { CStr::from_ptr(rit_strerror(inner.last_error)) }.to_bytes();
        let room = cap.checked_sub(1).ok_or(crate::error::RIT_ERR_BUFFER)?;
        let out = structs::bytes_mut(out.cast(), cap)?;
        let len = text.len().min(room);
        out[..len].copy_from_slice(&text[..len]);
        out[len] = 0;
        written = len as i32;
        Ok(())
    });
    if err == RIT_OK { written } else { err }
}

/// Tells the node its own addresses (not the broker's view of them), so that a peer on the same
/// network finds it. At most 8; replaces those told before; count 0 clears them.
///
/// RIT_ERR_NULL, RIT_ERR_SIZE, RIT_ERR_ARG, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_node_set_local_paths(
    node: *mut rit_node,
    paths: *const rit_path,
    count: usize,
) -> i32 {
    enter(node, |inner, now| {
        let paths = read_paths(paths, count)?;
        inner.node.set_local_paths(&paths, now);
        Ok(())
    })
}

/// An array's elements have our size: a longer struct of a later version would need its own stride.
fn read_paths(paths: *const rit_path, count: usize) -> Result<Vec<Path>, i32> {
    if count > MAX_PATHS {
        return Err(RIT_ERR_ARG);
    }
    if count > 0 && paths.is_null() {
        return Err(RIT_ERR_NULL);
    }
    (0..count)
        .map(|i| {
            // SAFETY: the caller promises `count` elements.
            let path = structs::read(unsafe { paths.add(i) })?;
            let is_ours = path.struct_size as usize == size_of::<rit_path>();
            if is_ours { path.to_path() } else { Err(RIT_ERR_SIZE) }
        })
        .collect()
}

/// Counters of a node.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct rit_stats {
    /// sizeof(struct rit_stats), set by the caller
    pub struct_size: u32,
    /// Zero.
    pub reserved0: u32,
    /// Datagrams handed in.
    pub datagrams_received: u64,
    /// Datagrams handed to io.send.
    pub datagrams_sent: u64,
    /// Payload bytes of those received.
    pub bytes_received: u64,
    /// Payload bytes of those sent.
    pub bytes_sent: u64,
    /// Datagrams that belong to nothing known here; never answered.
    pub datagrams_dropped: u64,
    /// Packets declared lost, on the connections there are now.
    pub packets_lost: u64,
    /// Sessions there are now.
    pub sessions: u32,
    /// Stream handles there are now.
    pub streams: u32,
    /// Unread and unacknowledged stream bytes.
    pub buffered_bytes: u64,
    /// Memory of stream buffers, in bytes.
    pub buffer_memory: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

// SAFETY: integers only.
unsafe impl Sized32 for rit_stats {}

/// Fills counters. The caller sets out->struct_size.
///
/// RIT_ERR_NULL, RIT_ERR_SIZE, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_node_stats(node: *const rit_node, out: *mut rit_stats) -> i32 {
    enter(node, |inner, _| {
        let stats = inner.node.stats();
        let value = rit_stats {
            datagrams_received: stats.datagrams_received,
            datagrams_sent: stats.datagrams_sent,
            bytes_received: stats.bytes_received,
            bytes_sent: stats.bytes_sent,
            datagrams_dropped: stats.datagrams_dropped,
            packets_lost: stats.packets_lost,
            sessions: stats.sessions as u32,
            streams: stats.streams as u32,
            buffered_bytes: stats.buffered_bytes,
            buffer_memory: stats.buffer_memory,
            ..rit_stats::default()
        };
        structs::write(out, &value)
    })
}

/// A broker: who it is and where.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_broker {
    /// sizeof(struct rit_broker)
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Its public key.
    pub key: [u8; RIT_KEY_LEN],
    /// Its addresses, 1 to 8; all are tried at once. Not kept after the call.
    pub paths: *const rit_path,
    /// How many.
    pub path_count: usize,
    /// One-time enrol code, needed the first time; NULL later. Not kept once used.
    pub enrol_code: *const c_char,
}

// SAFETY: integers and pointers only.
unsafe impl Sized32 for rit_broker {}

/// Connects to a broker and stays connected, trying again with growing pauses.
/// RIT_EVENT_BROKER_ONLINE, RIT_EVENT_BROKER_OFFLINE, RIT_EVENT_ENROLLED, RIT_EVENT_ENROL_REFUSED
/// tell what comes of it; after the last, call again with a good code.
///
/// RIT_ERR_STATE while a link is up or being made; RIT_ERR_NULL, RIT_ERR_SIZE, RIT_ERR_ARG,
/// RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_broker_connect(node: *mut rit_node, broker: *const rit_broker) -> i32 {
    enter(node, |inner, now| {
        let broker = structs::read(broker)?;
        if broker.reserved != 0 {
            return Err(RIT_ERR_SIZE);
        }
        let paths = read_paths(broker.paths, broker.path_count)?;
        let code = match broker.enrol_code.is_null() {
            true => None,
            false => Some(structs::text(broker.enrol_code)?),
        };
        let is_long =
            |code: &str| !(1..=rit_core::wire::message::CODE_LEN_MAX).contains(&code.len());
        if paths.is_empty() || code.is_some_and(is_long) {
            return Err(RIT_ERR_ARG);
        }
        let address = BrokerAddress { key: PublicKey(broker.key), paths };
        inner.node.broker_connect(address, code, now).map_err(from_node)
    })
}

/// Lets a peer open sessions to this node and use its services. Not stored: call at each start.
///
/// RIT_ERR_LIMIT (max_peers), RIT_ERR_NULL, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_peer_allow(node: *mut rit_node, key: *const u8) -> i32 {
    enter(node, |inner, _| inner.node.peer_allow(PublicKey(structs::key(key)?)).map_err(from_node))
}

/// Takes that back; sessions which that peer opened end.
///
/// RIT_ERR_UNKNOWN if it was not allowed; RIT_ERR_NULL, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_peer_forbid(node: *mut rit_node, key: *const u8) -> i32 {
    enter(node, |inner, now| {
        let was_allowed = inner.node.peer_forbid(&PublicKey(structs::key(key)?), now);
        if was_allowed { Ok(()) } else { Err(crate::error::RIT_ERR_UNKNOWN) }
    })
}
