//! The node: made, asked, freed; and how every call on it runs.
//!
//! Owns the entropy contract, the identity's loading and storing, the drain after each call, and
//! the mark that keeps a callback from re-entering. A call goes: mark busy, read the clock, do it,
//! send what is to be sent, set the timer, unmark.

use crate::args::{self, Answer, Versioned};
use crate::config::{self, rit_config};
use crate::crypto;
use crate::error::{Error, RIT_OK};
use crate::guard;
use crate::io::{
    Io, RIT_BATCH_LEN_MAX, RIT_LOG_DEBUG, RIT_LOG_ERROR, RIT_SLOT_IDENTITY, RIT_SLOT_MAX, rit_io,
    rit_path,
};
use crate::memory;
use crate::text;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ffi::c_char;
use core::sync::atomic::{AtomicBool, Ordering};
use rit_core::base::{Ecn, Path, Rng, Time};
use rit_core::crypto::{Provider, Signer};
use rit_core::node::{Config, Node};
use rit_core::transport::{MAX_DATAGRAM, Transmit};
use rit_core::traverse::RELAY_OVERHEAD;
use rit_core::trust::Identity;
use rit_core::wire::relay::DATA_OVERHEAD;
use zeroize::Zeroizing;

/// Host candidates that a node announces; those of a larger list would not reach the peer.
const LOCAL_PATHS_MAX: usize = 8;
/// Blocks of 32 bytes drawn at creation: more than the seed needs, to tell a stuck source.
const ENTROPY_BLOCKS: usize = 4;
/// Unit in which the drawn bytes are compared.
const ENTROPY_PIECE: usize = 16;
/// Memory for an error as text.
const LINE_ROOM: usize = 512;
/// Memory for the parts of a node, beside itself and its buffer.
const PARTS_ROOM: usize = 256 * size_of::<usize>();
/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// A node: a device, a user, or both. One thread at a time; nodes are independent of each other.
pub struct rit_node {
    is_busy: AtomicBool,
    inner: UnsafeCell<Inner>,
}

pub(crate) struct Inner {
    pub(crate) node: Node,
    pub(crate) io: Io,
    /// One datagram on its way in, or as many as are sent at once on their way out.
    pub(crate) buf: Vec<u8>,
    /// Bytes of the largest datagram taken, and of the largest sent, a relay's wrapping included.
    pub(crate) max_receive: usize,
    max_send: usize,
    now_us: u64,
    /// What the timer was last set to.
    pub(crate) timer_us: u64,
    last_error: Option<Error>,
    /// A call panicked: nothing here is to be relied on.
    is_broken: bool,
    pub(crate) oversized: u64,
    /// Below the node, so that it is dropped after it.
    _crypto: crypto::Used,
}

/// Counters of a node. They start at 0 with it and do not go back, but for those marked "now".
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_stats {
    /// sizeof(struct rit_stats); set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved0: u32,
    /// Datagrams handed in.
    pub datagrams_received: u64,
    /// Datagrams handed to rit_io.send.
    pub datagrams_sent: u64,
    /// Payload bytes of the datagrams handed in.
    pub bytes_received: u64,
    /// Payload bytes of the datagrams handed to rit_io.send.
    pub bytes_sent: u64,
    /// Datagrams that belong to nothing known here; they are never answered.
    pub datagrams_dropped: u64,
    /// Packets declared lost on the connections there are now.
    pub packets_lost: u64,
    /// Sessions, now.
    pub sessions: u32,
    /// Streams, now.
    pub streams: u32,
    /// Bytes of streams not read by the application or not acknowledged by the peer, now.
    pub buffered_bytes: u64,
    /// Memory of stream and datagram buffers in bytes, now.
    pub buffer_memory: u64,
    /// Flows, now.
    pub flows: u64,
    /// Messages of flows given up before they were sent, for their expiry or because the path
    /// carries less than it did; on the connections there are now.
    pub messages_unsent: u64,
    /// Messages that came as datagrams and were dropped unread, because too many waited or their
    /// flow was over; on the connections there are now.
    pub messages_unread: u64,
    /// 0.
    pub reserved: [u64; 1],
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_stats {
    const NAME: &'static str = "rit_stats";
}

/// Datagrams to one address, end to end at the front of the buffer.
#[derive(Default)]
struct Batch {
    path: Option<Path>,
    ecn: Ecn,
    len: usize,
    /// Length of each but the last.
    size: usize,
}

impl Batch {
    fn takes(&self, transmit: &Transmit) -> bool {
        self.path.is_none_or(|path| {
            path == transmit.path && self.ecn == transmit.ecn && transmit.len <= self.size
        })
    }

    fn add(&mut self, transmit: &Transmit) {
        if self.path.is_none() {
            *self =
                Batch { path: Some(transmit.path), ecn: transmit.ecn, len: 0, size: transmit.len };
        }
        self.len += transmit.len;
    }
}

// ---- how a call runs

impl Inner {
    fn now(&mut self) -> Time {
        // A clock that goes back is taken to stand still.
        self.now_us = self.now_us.max(self.io.now_us());
        Time::from_micros(self.now_us)
    }

    fn drain(&mut self, now: Time) {
        #[cfg(feature = "trust")]
        self.drain_store(now);
        #[cfg(feature = "attest")]
        self.drain_attest(now);
        if self.io.has_send() {
            self.drain_datagrams(now);
        }
        #[cfg(feature = "tcp")]
        self.drain_tcp();
        let deadline = self.deadline();
        if deadline != self.timer_us {
            self.timer_us = deadline;
            self.io.set_timer(deadline);
        }
    }

    fn drain_datagrams(&mut self, now: Time) {
        let mut batch = Batch::default();
        loop {
            if batch.len + self.max_send > self.buf.len() {
                self.send(&mut batch);
            }
            let Some(room) = self.buf.get_mut(batch.len..) else { break };
            let Some(transmit) = self.node.poll_transmit(room, now) else { break };
            if !batch.takes(&transmit) {
                let at = batch.len;
                self.send(&mut batch);
                self.buf.copy_within(at..at + transmit.len, 0);
            }
            batch.add(&transmit);
            if transmit.len < batch.size {
                self.send(&mut batch);
            }
        }
        self.send(&mut batch);
    }

    fn send(&self, batch: &mut Batch) {
        let Batch { path, ecn, len, size } = core::mem::take(batch);
        let (Some(path), Some(datagrams)) = (path, self.buf.get(..len)) else { return };
        let answer = self.io.send_all(&path, ecn, datagrams, size);
        if answer != 0 {
            self.io.log(RIT_LOG_DEBUG, || format!("rit_io.send failed with {answer}"));
        }
    }

    pub(crate) fn deadline(&self) -> u64 {
        self.node.poll_timeout().map_or(NEVER, Time::as_micros)
    }
}

/// A call that changes something: with the time, and the drain after it.
///
/// # Safety
/// `node` is null or came from `rit_node_new` and was not freed.
pub(crate) unsafe fn command(
    node: *mut rit_node,
    act: impl FnOnce(&mut Inner, Time) -> Result<(), Error>,
) -> i32 {
    let run = |inner: &mut Inner| {
        let now = inner.now();
        let result = act(inner, now);
        inner.drain(now);
        result
    };
    // SAFETY: the caller's promise.
    unsafe { enter(node, run) }
}

/// A call that only looks, or takes an event: no callback but `log` is called.
///
/// # Safety
/// `node` is null or came from `rit_node_new` and was not freed.
pub(crate) unsafe fn query(
    node: *const rit_node,
    act: impl FnOnce(&mut Inner) -> Result<(), Error>,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { enter(node, act) }
}

/// # Safety
/// `node` is null or came from `rit_node_new` and was not freed.
unsafe fn enter(node: *const rit_node, act: impl FnOnce(&mut Inner) -> Result<(), Error>) -> i32 {
    // SAFETY: the caller's promise.
    let Some(node) = (unsafe { node.as_ref() }) else { return Error::Null("node").code() };
    if node.is_busy.swap(true, Ordering::Acquire) {
        return Error::Reentry.code();
    }
    // SAFETY: whoever set `is_busy` is the only one who may look inside, until it is unset.
    let inner = unsafe { &mut *node.inner.get() };
    let result = if inner.is_broken { Err(Error::Internal) } else { run(inner, act) };
    if let Err(error) = result {
        inner.last_error = Some(error);
    }
    node.is_busy.store(false, Ordering::Release);
    result.map_or_else(Error::code, |()| RIT_OK)
}

fn run(inner: &mut Inner, act: impl FnOnce(&mut Inner) -> Result<(), Error>) -> Result<(), Error> {
    if let Some(result) = guard::run(|| act(&mut *inner)) {
        return result;
    }
    inner.is_broken = true;
    let place = guard::take_place().unwrap_or_default();
    inner.io.log(RIT_LOG_ERROR, || format!("internal error at {place}"));
    Err(Error::Internal)
}

// ---- creation

/// Draws what all randomness of the node comes from, and refuses a source that is evidently none.
fn draw_seed(io: &Io, provider: &dyn Provider) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut drawn = Zeroizing::new([0; 32 * ENTROPY_BLOCKS]);
    for block in drawn.chunks_exact_mut(32) {
        if !io.entropy(block) {
            return Err(Error::Entropy("the callback failed"));
        }
    }
    let pieces = || drawn.chunks_exact(ENTROPY_PIECE);
    // By chance: once in 2^120.
    if pieces().any(|piece| piece.iter().all(|byte| piece.first() == Some(byte))) {
        return Err(Error::Entropy("a block is constant"));
    }
    if pieces().enumerate().any(|(i, piece)| pieces().skip(i + 1).any(|other| other == piece)) {
        return Err(Error::Entropy("a block is repeated"));
    }
    Ok(Zeroizing::new(provider.sha256(&[b"rit/1 node seed", &*drawn])))
}

/// What the identity slot holds.
fn load_identity(io: &Io, provider: &dyn Provider) -> Result<Option<Identity>, Error> {
    let mut slot = Zeroizing::new([0; RIT_SLOT_MAX]);
    match io.load(RIT_SLOT_IDENTITY, &mut *slot)? {
        0 => Ok(None),
        len => Ok(Some(Identity::decode(provider, slot.get(..len).unwrap_or_default())?)),
    }
}

/// The key that is held elsewhere, or the stored one; of a new one also what is to be stored.
///
/// # Safety
/// As for [`crypto::Used::provider`].
unsafe fn find_signer(
    io: &Io,
    used: &crypto::Used,
    rng: &mut Rng,
) -> Result<(Arc<dyn Signer>, Option<Identity>), Error> {
    // SAFETY: the caller's promise.
    if let Some(signer) = unsafe { used.signer()? } {
        return Ok((signer, None));
    }
    // SAFETY: the caller's promise.
    let loaded = load_identity(io, unsafe { used.provider() })?;
    let is_new = loaded.is_none();
    let identity = loaded.unwrap_or_else(|| Identity::generate(rng));
    Ok((Arc::new(identity.signer()), is_new.then_some(identity)))
}

/// # Safety
/// What the table of `io` points to is readable.
unsafe fn create(mut config: Config, io: Io) -> Result<Box<rit_node>, Error> {
    let max_datagram = config.transport.max_datagram.min(MAX_DATAGRAM);
    let max_send = max_datagram + RELAY_OVERHEAD;
    let buf_len = (max_send * io.batch_max()).min(RIT_BATCH_LEN_MAX.max(max_send));
    // All at once: no half of a node is made.
    memory::check(size_of::<rit_node>() + buf_len + PARTS_ROOM + config.transport.reserve.spare)?;
    config.sockets = io.sockets();
    config.multicast = io.has_multicast();
    // SAFETY: the caller's promise.
    let used = unsafe { io.crypto()? };
    // SAFETY: the node, which is given it, is dropped before `used`, here and in `Inner`.
    let provider = unsafe { used.provider() };
    let mut rng = Rng::from_seed(*draw_seed(&io, provider)?);
    let mut buf = Vec::new();
    buf.try_reserve_exact(buf_len).map_err(|_| Error::Memory)?;
    buf.resize(buf_len, 0);
    // SAFETY: as above.
    let (signer, new) = unsafe { find_signer(&io, &used, &mut rng)? };
    let now_us = io.now_us();
    let seed = Zeroizing::new(rng.array());
    let node = Node::new(config, provider, signer, *seed, Time::from_micros(now_us))?;
    // Last: what fails before leaves no trace.
    if let Some(identity) = new {
        io.store(RIT_SLOT_IDENTITY, &*identity.encode(provider))?;
    }
    #[cfg_attr(not(any(feature = "tcp", feature = "attest")), expect(unused_mut))]
    let mut inner = Inner {
        node,
        io,
        buf,
        max_receive: max_datagram + DATA_OVERHEAD,
        max_send,
        now_us,
        timer_us: NEVER,
        last_error: None,
        is_broken: false,
        oversized: 0,
        _crypto: used,
    };
    #[cfg(feature = "tcp")]
    inner.node.set_tcp(inner.io.has_tcp());
    #[cfg(feature = "attest")]
    inner.node.set_attestation(inner.io.attestation());
    Ok(Box::new(rit_node { is_busy: AtomicBool::new(false), inner: UnsafeCell::new(inner) }))
}

/// Makes a node. It is not connected to anything yet: tell it what to offer and whom to let in,
/// then call rit_broker_connect.
///
/// cfg: limits, from rit_config_init, or null for the defaults; copied. io: the callbacks; copied,
/// but io->ctx must outlive the node. err: where the reason of a failure goes (RIT_OK otherwise),
/// or null; details go to io->log. Returns the node, to be given to rit_node_free in the end; null
/// on failure.
///
/// Draws randomness; loads the identity from RIT_SLOT_IDENTITY or, where that is empty, makes one
/// and stores it; where rit_io.crypto holds the key, it does neither. Calls now_us, entropy, load,
/// store, log, and entries of rit_io.crypto.
///
/// Errors: NULL, ARG, SIZE, VERSION, NOMEM, ENTROPY, STORAGE, IDENTITY, CRYPTO. Not in a callback
/// of a node being made (that would not end), not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_new(
    cfg: *const rit_config,
    io: *const rit_io,
    err: *mut i32,
) -> *mut rit_node {
    let make = || {
        // SAFETY: as the header asks of the caller.
        let config = unsafe { config::read(cfg)? };
        // SAFETY: as the header asks of the caller.
        let io = unsafe { Io::read(io)? };
        // SAFETY: as the header asks of the caller.
        unsafe { create(config, io) }
    };
    let result = guard::run(make).unwrap_or(Err(Error::Internal));
    // SAFETY: err is null or the caller's.
    if let Some(err) = unsafe { err.as_mut() } {
        *err = result.as_ref().map_or_else(|error| error.code(), |_| RIT_OK);
    }
    match result {
        Ok(node) => Box::into_raw(node),
        Err(error) => {
            // SAFETY: as the header asks of the caller. A table that is not in order cannot log.
            if let Ok(io) = unsafe { Io::read(io) } {
                io.log(RIT_LOG_ERROR, || format!("no node: {error}"));
            }
            core::ptr::null_mut()
        }
    }
}

/// Frees a node and all its sessions, without a word to the peers, who notice by their idle
/// timeout; to say goodbye, close sessions first. Calls no callback. Null is ignored. Handles and
/// the pointer are invalid afterwards. Inside a callback of the node it does nothing. Not in an
/// ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_free(node: *mut rit_node) {
    // SAFETY: null, or a live node of the caller's.
    let Some(shared) = (unsafe { node.as_ref() }) else { return };
    if !shared.is_busy.swap(true, Ordering::Acquire) {
        // SAFETY: the pointer came from Box::into_raw, and nobody is inside.
        guard::run(|| drop(unsafe { Box::from_raw(node) }));
    }
}

// ---- asking

/// Who this node is: writes its public key, 32 bytes, to out.
///
/// Errors: NULL, REENTRY, INTERNAL. Not in a callback, not in an ISR.
/// cbindgen:ptrs-as-arrays=[[out; RIT_KEY_LEN]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_public_key(node: *const rit_node, out: *mut u8) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        query(node, |inner| {
            let out = args::place(out.cast::<[u8; 32]>(), "out")?;
            out.write(inner.node.public_key().0);
            Ok(())
        })
    }
}

/// The detail of the last call on this node that failed, as English text for a log; empty if none
/// did, or in a library built without texts.
///
/// out: cap bytes, of which the text takes what fits, always with a NUL at its end; null if cap is
/// 0. Returns the length of the whole text without the NUL, so a result of cap or more means that
/// it was cut. Errors: NULL, REENTRY. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_last_error(
    node: *const rit_node,
    out: *mut c_char,
    cap: usize,
) -> i32 {
    let mut len = 0;
    let tell = |inner: &mut Inner| {
        // SAFETY: as the header asks of the caller.
        let out = unsafe { args::bytes_mut(out.cast(), cap, "out")? };
        memory::check(LINE_ROOM)?;
        let text = match inner.last_error {
            Some(error) if cfg!(feature = "log") => error.to_string(),
            _ => Default::default(),
        };
        text::copy_cut(&text, out);
        len = i32::try_from(text.len()).unwrap_or(i32::MAX);
        Ok(())
    };
    // SAFETY: as the header asks of the caller.
    let code = unsafe { query(node, tell) };
    if code == RIT_OK { len } else { code }
}

/// Tells the node its own addresses, for peers that can reach it directly; replaces the former
/// ones. Not needed to be reachable at the address that the broker sees.
///
/// paths: count addresses with the UDP port the node receives at; copied. At most 8.
/// Errors: NULL, ARG (port 0), SIZE, LIMIT, NOMEM (the former ones stay), REENTRY, INTERNAL.
/// Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_set_local_paths(
    node: *mut rit_node,
    paths: *const rit_path,
    count: usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let paths = read_paths(paths, count, LOCAL_PATHS_MAX, "local paths")?;
            Ok(inner.node.set_local_paths(&paths, now)?)
        })
    }
}

/// Tells the node that the system's addresses or routes changed, or that it was asleep: the broker
/// and every peer are asked at once whether they are there, from wherever this node is now, instead
/// of when they are next due. Ports call it when they know, after rit_node_set_local_paths if
/// addresses changed. Harmless at any time; it costs a packet or two for each session, so that a
/// burst of changes is better told once it is over.
///
/// Errors: NULL, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_network_changed(node: *mut rit_node) -> i32 {
    let tell = |inner: &mut Inner, now| {
        inner.node.network_changed(now);
        Ok(())
    };
    // SAFETY: as the header asks of the caller.
    unsafe { command(node, tell) }
}

/// An array of paths of the caller's.
///
/// # Safety
/// `paths` is null or points to `count` paths.
pub(crate) unsafe fn read_paths(
    paths: *const rit_path,
    count: usize,
    max: usize,
    name: &'static str,
) -> Result<Vec<rit_core::base::Path>, Error> {
    if count > max {
        return Err(Error::TooMany(max, name));
    }
    let mut list = Vec::with_capacity(count);
    // SAFETY: the caller's promise.
    unsafe {
        args::read_array(paths, count, |path| {
            list.push(path.path()?);
            Ok(())
        })?;
    }
    Ok(list)
}

/// Counters. The caller sets out->struct_size.
///
/// Errors: NULL, SIZE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_stats(node: *const rit_node, out: *mut rit_stats) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        query(node, |inner| {
            let answer = Answer::new(out)?;
            let stats = inner.node.stats();
            let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            answer.write(rit_stats {
                struct_size: 0,
                reserved0: 0,
                datagrams_received: stats.datagrams_received + inner.oversized,
                datagrams_sent: stats.datagrams_sent,
                bytes_received: stats.bytes_received,
                bytes_sent: stats.bytes_sent,
                datagrams_dropped: stats.datagrams_dropped + inner.oversized,
                packets_lost: stats.packets_lost,
                sessions: small(stats.sessions),
                streams: small(stats.streams),
                buffered_bytes: stats.buffered_bytes,
                buffer_memory: stats.buffer_memory,
                flows: stats.flows,
                messages_unsent: stats.messages_unsent,
                messages_unread: stats.messages_unread,
                reserved: [0; 1],
            });
            Ok(())
        })
    }
}
