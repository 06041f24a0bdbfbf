//! What the integrator provides: the callback table, and the calls into it.
//!
//! Owns the copied table. Callbacks are called by `node` only, between calls into core and while
//! the node is marked busy, so that no callback can re-enter what it stands on.

use crate::args::{self, Versioned};
use crate::crypto::{self, rit_crypto};
use crate::error::Error;
use crate::memory;
use alloc::string::String;
use core::ffi::{c_char, c_void};
use rit_core::base::{Ecn, Path};
use rit_core::traverse::{LAN_GROUPS, LAN_PORT};
#[cfg(feature = "trust")]
use rit_core::wire::identify::IDENTIFY_PORT;

/// A remote UDP address as the port sees it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_path {
    /// sizeof(struct rit_path).
    pub struct_size: u32,
    /// The port's number of the interface; 0: whichever routing chooses. Two paths that differ in
    /// it are different paths: a datagram that came in has the number only if the node sent to that
    /// address by that interface, or the address means nothing without it (IPv6 link-local).
    pub ifindex: u32,
    /// IPv6 address in network order; IPv4 as ::ffff:a.b.c.d.
    pub ip: [u8; 16],
    /// UDP port in host order, not 0; of a RIT_SOCKET_TLS the TCP port.
    pub port: u16,
    /// Which of the port's own sockets the datagram leaves from or came in by: 0 the one that it
    /// always has, 1 to rit_io.sockets one of those, RIT_SOCKET_IDENTIFY that of RIT_IDENTIFY_PORT,
    /// RIT_SOCKET_TLS none but a TCP connection.
    pub socket: u16,
    /// The ECN codepoint of the IP packet (RFC 3168), 0 to 3: that a datagram came with, in
    /// rit_node_receive and rit_io.recv; that it is to be sent with, in rit_io.send and
    /// rit_io.send_batch. A system that cannot tell or set it leaves it 0, and 0 elsewhere.
    pub ecn: u8,
    /// 0.
    pub reserved: [u8; 3],
}

/// rit_path.socket of a path that is a TCP connection with TLS.
pub const RIT_SOCKET_TLS: u16 = 0xffff;
/// rit_path.socket of what comes by RIT_IDENTIFY_PORT, where the port has opened it, and of the
/// answers; nothing else is sent by it, and nothing but a probe is taken.
pub const RIT_SOCKET_IDENTIFY: u16 = 0xfffe;
/// rit_io.sockets is at most this.
pub const RIT_SOCKETS_MAX: u32 = 1024;

/// UDP port of multicast on the local network; see rit_io.multicast.
pub const RIT_LAN_PORT: u16 = 7484;
/// IPv4 address of its group: 239.255.114.116. That of IPv6, ff12::efff:7274, has the same last
/// four bytes.
pub const RIT_LAN_GROUP: u32 = 0xefff_7274;

/// UDP port at which a device is asked who it is, while its owner lets it be found
/// (RIT_EVENT_CLOAK). A port that has a socket to spare opens it for that time, and hands in what
/// comes there with rit_path.socket RIT_SOCKET_IDENTIFY; without, the node answers at its own
/// ports.
pub const RIT_IDENTIFY_PORT: u16 = 7485;

#[cfg(feature = "trust")]
const _: () = assert!(IDENTIFY_PORT == RIT_IDENTIFY_PORT && Path::IDENTIFY == RIT_SOCKET_IDENTIFY);

const _: () = {
    assert!(LAN_PORT == RIT_LAN_PORT);
    let mut group = 0;
    while group < LAN_GROUPS.len() {
        let [.., a, b, c, d] = LAN_GROUPS[group].ip;
        assert!(u32::from_be_bytes([a, b, c, d]) == RIT_LAN_GROUP);
        group += 1;
    }
};

/// What the integrator provides. The table is copied at creation; ctx is handed back in every call
/// and must outlive the node. Callbacks are called on the thread that called the library, only from
/// inside such a call, and must not block, throw, or jump out. Calling the library for the same
/// node from inside a callback answers RIT_ERR_REENTRY.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_io {
    /// sizeof(struct rit_io).
    pub struct_size: u32,
    /// How many local UDP ports send can leave from beside its own: 0 to RIT_SOCKETS_MAX, 512 where
    /// there is room for them for some seconds, 0 where there is not. A node behind a NAT that
    /// gives each address called another port needs them to be reached directly by one that such
    /// ports are strange to (RFC 4787, endpoint-dependent mapping and filtering). rit_path.socket
    /// says which; the port opens one when it is first sent from, hands over what arrives there,
    /// and closes it once nothing was sent from it for 150 s, or for a minute if nothing ever
    /// arrived there. The last is for finding out how long the NAT remembers.
    pub sockets: u32,
    /// Handed back in every call; the library does not look at it.
    pub ctx: *mut c_void,
    /// REQUIRED. Microseconds since any fixed moment, never going back. Called once per call into
    /// the library.
    pub now_us: Option<unsafe extern "C" fn(ctx: *mut c_void) -> u64>,
    /// REQUIRED. Fills out with len bytes from a true random source and returns 0; anything else:
    /// failure. Called only by rit_node_new, a few times for 32 bytes each; everything secret
    /// follows from them. On a device: the hardware generator, not a seeded rand().
    pub entropy: Option<unsafe extern "C" fn(ctx: *mut c_void, out: *mut u8, len: usize) -> i32>,
    /// REQUIRED of those who do not call rit_node_transmit instead. Sends one UDP datagram; 0:
    /// taken; anything else: it counts as lost on the way and is repeated in time. to and pkt are
    /// good only during the call.
    pub send: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            to: *const rit_path,
            pkt: *const u8,
            len: usize,
        ) -> i32,
    >,
    /// OPTIONAL, for polled stacks: rit_node_poll takes datagrams through it. Writes one datagram
    /// of at most cap bytes to buf and its source to from (struct_size is filled in already);
    /// returns its length, 0 if there is none, negative on failure (taken as none). A longer
    /// datagram may be dropped.
    pub recv: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            from: *mut rit_path,
            buf: *mut u8,
            cap: usize,
        ) -> i32,
    >,
    /// OPTIONAL for those who ask rit_node_deadline instead. The one timer: rit_node_timeout is to
    /// be called at deadline_us on the clock of now_us; replaces the former deadline. UINT64_MAX:
    /// none. May lie in the past: then call soon, but not from in here. Called when the deadline
    /// changed, and by rit_node_timeout.
    pub set_timer: Option<unsafe extern "C" fn(ctx: *mut c_void, deadline_us: u64)>,
    /// OPTIONAL, together with store. Reads what was stored in a slot (RIT_SLOT_*) into buf;
    /// returns its length, 0 if nothing was ever stored, negative on failure. Without load and
    /// store the node has a new identity each time.
    pub load:
        Option<unsafe extern "C" fn(ctx: *mut c_void, slot: u32, buf: *mut u8, cap: usize) -> i32>,
    /// OPTIONAL, together with load. Replaces what is in a slot by len bytes, at most RIT_SLOT_MAX
    /// (RIT_SLOT_TRUST: RIT_SLOT_TRUST_MAX);
    /// 0: it is safe there even if power fails now; anything else: failure, and the old content is
    /// still there. The identity slot holds a private key: let nobody else read it.
    pub store: Option<
        unsafe extern "C" fn(ctx: *mut c_void, slot: u32, buf: *const u8, len: usize) -> i32,
    >,
    /// OPTIONAL. A line of text for people, without a line end, at a level RIT_LOG_*; never a
    /// secret. msg is good only during the call. A library built without texts does not call it.
    pub log: Option<unsafe extern "C" fn(ctx: *mut c_void, level: i32, msg: *const c_char)>,
    /// OPTIONAL, for systems that send many datagrams in one call (UDP_SEGMENT of Linux): called
    /// instead of send where several go to one address. pkts holds len bytes: datagrams of size
    /// bytes each, end to end; the last may be shorter. At most RIT_BATCH_MAX of them and
    /// RIT_BATCH_LEN_MAX bytes, for which the node keeps a buffer. Answers as send does.
    pub send_batch: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            to: *const rit_path,
            pkts: *const u8,
            len: usize,
            size: usize,
        ) -> i32,
    >,
    /// OPTIONAL, together with tcp_close: for networks that block UDP. Writes bytes to the TCP
    /// connection to the address of to, whose socket is RIT_SOCKET_TLS and whose ifindex is 0; that
    /// path is the connection's name. Where there is none yet, begins to open it and takes none.
    /// Returns how many of the len bytes it took, 0 if none can be taken now, negative if there is
    /// no connection and none can be opened. After less than len it is not called again for this
    /// connection before rit_node_tcp_writable. The bytes are TLS already; there are at most 8
    /// connections. On lwIP's raw API: tcp_new and tcp_connect the first time, then tcp_write of up
    /// to tcp_sndbuf with TCP_WRITE_FLAG_COPY, and tcp_output; the callbacks of tcp_connect and
    /// tcp_sent call rit_node_tcp_writable, that of tcp_recv gives each pbuf to
    /// rit_node_tcp_receive, or for a null one closes and calls rit_node_tcp_closed, as that of
    /// tcp_err does without closing. None of them runs inside a call of the library, but where
    /// tcp_output delivers at once (a loopback interface): there put it off.
    pub tcp_write: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            to: *const rit_path,
            bytes: *const u8,
            len: usize,
        ) -> i32,
    >,
    /// OPTIONAL, together with tcp_write. Closes the connection to to, if there is one; nothing is
    /// called for it any more. What was written need not arrive. The next tcp_write opens another.
    pub tcp_close: Option<unsafe extern "C" fn(ctx: *mut c_void, to: *const rit_path)>,
    /// OPTIONAL: 1, or 0 where the port does nothing of this. A peer on the same network is found
    /// even if nobody could tell its address. The port listens at RIT_LAN_PORT of the groups of
    /// RIT_LAN_GROUP, on each interface and beside other programs (SO_REUSEADDR), and hands in what
    /// comes there as if it had come to its own socket: from the sender's own address, with socket
    /// 0 and ifindex as ever. What send is given for a group leaves from that socket too, by each
    /// of those interfaces, with a TTL or hop limit of 1. It is a few datagrams a session, and none
    /// where the peer is near already. On lwIP: igmp_joingroup and mld6_joingroup, and a second
    /// udp_pcb.
    pub multicast: u32,
    /// 0.
    pub reserved: u32,
    /// OPTIONAL. Crypto that the integrator computes, and the node's private key if it is held
    /// elsewhere; copied. Null: the library computes all itself. In a library built without
    /// `own-crypto` it must be null, or rit_node_new and rit_selftest_new answer ARG.
    pub crypto: *const rit_crypto,
    /// OPTIONAL. Makes a statement of what code runs here, for a peer that demands one: writes it
    /// to out, at most cap bytes (RIT_ATTESTATION_MAX), and returns its length; 0 or less: there is
    /// none, and that peer ends the session. The statement must have challenge, 32 bytes, in it: it
    /// names the session, this node and the question, so that a statement cannot be passed on by
    /// somebody else. What makes it is the integrator's: a quote of a TPM, what a secure element
    /// signs of the boot's measurements. Called once for each session in which it is demanded. In a
    /// library built without `attest` it must be null.
    pub attest: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            challenge: *const u8,
            out: *mut u8,
            cap: usize,
        ) -> i32,
    >,
    /// OPTIONAL. Where it is set, each peer must state what code it runs before a session with it
    /// is up, whoever opened it; 10 s are given. Checks the statement of peer (RIT_KEY_LEN bytes):
    /// that it is of code that is trusted, that whoever measures signed it, and that challenge, 32
    /// bytes, is in it. 0: the session begins; anything else, or a peer that gives none: it ends,
    /// and SESSION_DOWN tells DENIED to whoever was to be told. In a library built without
    /// `attest` it must be null.
    pub check_attestation: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            peer: *const u8,
            challenge: *const u8,
            statement: *const u8,
            len: usize,
        ) -> i32,
    >,
}

/// No statement of rit_io.attest is longer; nor than stream_send_buffer of the one who makes it.
pub const RIT_ATTESTATION_MAX: usize = 2048;

/// Datagrams in one call of rit_io.send_batch at the most.
pub const RIT_BATCH_MAX: usize = 64;
/// Bytes in one call of rit_io.send_batch at the most.
pub const RIT_BATCH_LEN_MAX: usize = 65000;

/// Level of rit_io.log: something does not work.
pub const RIT_LOG_ERROR: i32 = 1;
/// Level of rit_io.log: something is not as it should be.
pub const RIT_LOG_WARN: i32 = 2;
/// Level of rit_io.log: what an operator wants to know.
pub const RIT_LOG_INFO: i32 = 3;
/// Level of rit_io.log: what a developer wants to know.
pub const RIT_LOG_DEBUG: i32 = 4;

/// Storage slot of the node's private key.
pub const RIT_SLOT_IDENTITY: u32 = 1;
/// Storage slot of what a port needs to find its broker again; this version of the library neither
/// loads nor stores it.
pub const RIT_SLOT_BROKER: u32 = 2;
/// Storage slot of rit_selftest_new: what one run leaves for the next; no node uses it.
pub const RIT_SLOT_SELFTEST: u32 = 3;
/// Storage slot of whom a device obeys, and of what its owner took back; only of a node for which
/// rit_trust_start is called.
pub const RIT_SLOT_TRUST: u32 = 4;
/// Storage slot of the last statement by which the owner let a device be found, so that none works
/// twice; only of a node for which rit_trust_start is called. Where it cannot be stored, the device
/// stays cloaked.
pub const RIT_SLOT_CLOAK: u32 = 5;
/// RIT_SLOT_TRUST holds no more bytes than this.
pub const RIT_SLOT_TRUST_MAX: usize = 1612;
/// No other slot ever holds more bytes than this.
pub const RIT_SLOT_MAX: usize = 512;

// SAFETY: repr(C), begins with struct_size, any bytes are a value.
unsafe impl Versioned for rit_path {
    const NAME: &'static str = "rit_path";
}

// SAFETY: repr(C), begins with struct_size; pointers and nullable function pointers of any value.
unsafe impl Versioned for rit_io {
    const NAME: &'static str = "rit_io";
}

impl rit_path {
    /// The path in C's form.
    pub(crate) fn new(path: &Path, ecn: Ecn) -> Self {
        rit_path {
            struct_size: size_of::<rit_path>() as u32,
            ifindex: path.ifindex,
            ip: path.ip,
            port: path.port,
            socket: path.socket,
            ecn: ecn as u8,
            reserved: [0; 3],
        }
    }

    /// Nothing yet, for somebody to fill in.
    pub(crate) fn empty() -> Self {
        rit_path::new(&Path { ip: [0; 16], port: 0, via: 0, socket: 0, ifindex: 0 }, Ecn::NotEct)
    }

    /// The path in core's form.
    pub(crate) fn path(&self) -> Result<Path, Error> {
        if self.port == 0 || self.ecn > 0b11 || self.reserved != [0; 3] {
            return Err(Error::Argument("rit_path"));
        }
        let (socket, ifindex) = (self.socket, self.ifindex);
        Ok(Path { ip: self.ip, port: self.port, via: 0, socket, ifindex })
    }

    /// The codepoint in core's form.
    pub(crate) fn ecn(&self) -> Ecn {
        Ecn::from_bits(self.ecn)
    }
}

/// Memory for one line, while it is made.
const LOG_ROOM: usize = 512;

/// The integrator's table, checked.
pub(crate) struct Io {
    pub(crate) raw: rit_io,
    now_us: unsafe extern "C" fn(*mut c_void) -> u64,
    entropy: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> i32,
}

// In each method below: SAFETY: the integrator promised by the table that the function may be
// called with its ctx; pointers and lengths are those of live slices.
impl Io {
    /// Reads and checks the table.
    ///
    /// # Safety
    /// `io` is null or points to `struct_size` readable bytes.
    pub(crate) unsafe fn read(io: *const rit_io) -> Result<Io, Error> {
        // SAFETY: the caller's promise.
        let raw = unsafe { args::read(io)? };
        if raw.sockets > RIT_SOCKETS_MAX {
            return Err(Error::Argument("rit_io.sockets"));
        }
        if raw.load.is_some() != raw.store.is_some() {
            return Err(Error::Argument("rit_io.load without store, or store without load,"));
        }
        if raw.tcp_write.is_some() != raw.tcp_close.is_some() {
            let which = "rit_io.tcp_write without tcp_close, or tcp_close without tcp_write,";
            return Err(Error::Argument(which));
        }
        if raw.multicast > 1 || raw.reserved != 0 {
            return Err(Error::Argument("rit_io.multicast or rit_io.reserved"));
        }
        let wants_attestation = raw.attest.is_some() || raw.check_attestation.is_some();
        if wants_attestation && !cfg!(feature = "attest") {
            let which = "rit_io.attest or check_attestation, in a library built without attest,";
            return Err(Error::Argument(which));
        }
        let now_us = raw.now_us.ok_or(Error::Null("rit_io.now_us"))?;
        let entropy = raw.entropy.ok_or(Error::Null("rit_io.entropy"))?;
        if raw.send.is_none() && raw.send_batch.is_some() {
            return Err(Error::Null("rit_io.send"));
        }
        Ok(Io { raw, now_us, entropy })
    }

    /// The integrator's crypto, read.
    ///
    /// # Safety
    /// What the table's `crypto` points to is still readable.
    pub(crate) unsafe fn crypto(&self) -> Result<crypto::Used, Error> {
        // SAFETY: the caller's promise.
        unsafe { crypto::Used::read(self.raw.crypto) }
    }

    /// Sockets that can be sent from beside the one it always has.
    pub(crate) fn sockets(&self) -> u16 {
        self.raw.sockets as u16
    }

    /// Whether it sends to groups, and listens to them.
    pub(crate) fn has_multicast(&self) -> bool {
        self.raw.multicast != 0
    }

    pub(crate) fn now_us(&self) -> u64 {
        // SAFETY: see above.
        unsafe { (self.now_us)(self.raw.ctx) }
    }

    /// Fills `out`; false: the source failed.
    pub(crate) fn entropy(&self, out: &mut [u8]) -> bool {
        // SAFETY: see above.
        unsafe { (self.entropy)(self.raw.ctx, out.as_mut_ptr(), out.len()) == 0 }
    }

    /// Whether datagrams are handed out by `send`, not fetched.
    pub(crate) fn has_send(&self) -> bool {
        self.raw.send.is_some()
    }

    /// The integrator's answer: 0 if the datagram was taken.
    pub(crate) fn send(&self, to: &Path, ecn: Ecn, datagram: &[u8]) -> i32 {
        let Some(send) = self.raw.send else { return -1 };
        let to = rit_path::new(to, ecn);
        // SAFETY: see above.
        unsafe { send(self.raw.ctx, &to, datagram.as_ptr(), datagram.len()) }
    }

    /// Whether there is a timer to be set.
    pub(crate) fn has_timer(&self) -> bool {
        self.raw.set_timer.is_some()
    }

    /// Whether anything can be stored.
    pub(crate) fn has_storage(&self) -> bool {
        self.raw.store.is_some()
    }

    /// Whether datagrams are asked for.
    pub(crate) fn has_recv(&self) -> bool {
        self.raw.recv.is_some()
    }

    /// How many datagrams may be sent at once.
    pub(crate) fn batch_max(&self) -> usize {
        if self.raw.send_batch.is_some() { RIT_BATCH_MAX } else { 1 }
    }

    /// Sends datagrams of `size` bytes each, the last perhaps shorter; answers as `send`.
    pub(crate) fn send_all(&self, to: &Path, ecn: Ecn, datagrams: &[u8], size: usize) -> i32 {
        match self.raw.send_batch {
            Some(send_batch) if datagrams.len() > size => {
                let to = rit_path::new(to, ecn);
                // SAFETY: see above.
                unsafe { send_batch(self.raw.ctx, &to, datagrams.as_ptr(), datagrams.len(), size) }
            }
            _ => self.send(to, ecn, datagrams),
        }
    }

    /// Whether the integrator can do TCP, and this build.
    pub(crate) fn has_tcp(&self) -> bool {
        cfg!(feature = "tcp") && self.raw.tcp_write.is_some()
    }

    /// How many bytes were taken; negative: there is no connection.
    #[cfg(feature = "tcp")]
    pub(crate) fn tcp_write(&self, to: &Path, bytes: &[u8]) -> i32 {
        let Some(tcp_write) = self.raw.tcp_write else { return -1 };
        let to = rit_path::new(to, Ecn::NotEct);
        // SAFETY: see above.
        unsafe { tcp_write(self.raw.ctx, &to, bytes.as_ptr(), bytes.len()) }
    }

    #[cfg(feature = "tcp")]
    pub(crate) fn tcp_close(&self, to: &Path) {
        if let Some(tcp_close) = self.raw.tcp_close {
            let to = rit_path::new(to, Ecn::NotEct);
            // SAFETY: see above.
            unsafe { tcp_close(self.raw.ctx, &to) }
        }
    }

    /// The next datagram of a polled stack. `Err`: the callback claims more than there is room for.
    pub(crate) fn recv(&self, buf: &mut [u8]) -> Result<Option<(Path, Ecn, usize)>, Error> {
        let Some(recv) = self.raw.recv else { return Err(Error::NoRecv) };
        let mut from = rit_path::empty();
        // SAFETY: see above.
        let len = unsafe { recv(self.raw.ctx, &mut from, buf.as_mut_ptr(), buf.len()) };
        match usize::try_from(len) {
            Ok(0) | Err(_) => Ok(None),
            Ok(len) if len > buf.len() => Err(Error::Argument("what rit_io.recv returned")),
            Ok(len) => Ok(Some((from.path()?, from.ecn(), len))),
        }
    }

    pub(crate) fn set_timer(&self, deadline_us: u64) {
        if let Some(set_timer) = self.raw.set_timer {
            // SAFETY: see above.
            unsafe { set_timer(self.raw.ctx, deadline_us) }
        }
    }

    /// How many bytes a slot holds, now in `buf`.
    pub(crate) fn load(&self, slot: u32, buf: &mut [u8]) -> Result<usize, Error> {
        let Some(load) = self.raw.load else { return Ok(0) };
        // SAFETY: see above.
        let len = unsafe { load(self.raw.ctx, slot, buf.as_mut_ptr(), buf.len()) };
        match usize::try_from(len) {
            Ok(held) if held <= buf.len() => Ok(held),
            _ => Err(Error::Storage("load", len)),
        }
    }

    pub(crate) fn store(&self, slot: u32, bytes: &[u8]) -> Result<(), Error> {
        let Some(store) = self.raw.store else { return Ok(()) };
        // SAFETY: see above.
        match unsafe { store(self.raw.ctx, slot, bytes.as_ptr(), bytes.len()) } {
            0 => Ok(()),
            answer => Err(Error::Storage("store", answer)),
        }
    }

    /// Tells people; does no work where nobody listens.
    pub(crate) fn log(&self, level: i32, text: impl FnOnce() -> String) {
        let Some(log) = self.raw.log.filter(|_| cfg!(feature = "log")) else { return };
        if memory::check(LOG_ROOM).is_err() {
            return; // nor is there for words
        }
        let mut text = text();
        text.retain(|c| c != '\0');
        text.push('\0');
        // SAFETY: see above; the text ends with its only NUL.
        unsafe { log(self.raw.ctx, level, text.as_ptr().cast()) }
    }
}
