//! What the integrator provides: the callback table, paths, and how they are called.

use crate::error::{RIT_ERR_ENTROPY, RIT_ERR_NULL, RIT_ERR_SIZE, RIT_ERR_STORAGE};
use crate::structs::{self, Sized32};
use alloc::ffi::CString;
use core::ffi::{c_char, c_void};
use rit_core::base::{Path, Time};
use zeroize::Zeroizing;

/// A remote UDP address, and the interface it is reached by.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_path {
    /// sizeof(struct rit_path)
    pub struct_size: u32,
    /// The port's number of the interface; 0: whichever routing chooses.
    pub ifindex: u32,
    /// IPv6 address; IPv4 as ::ffff:a.b.c.d
    pub ip: [u8; 16],
    /// UDP port, host byte order.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
}

// SAFETY: integers only.
unsafe impl Sized32 for rit_path {}

impl rit_path {
    pub(crate) fn new(path: &Path) -> Self {
        let struct_size = size_of::<rit_path>() as u32;
        rit_path { struct_size, ifindex: path.ifindex, ip: path.ip, port: path.port, reserved: 0 }
    }

    pub(crate) fn to_path(self) -> Result<Path, i32> {
        if self.reserved != 0 {
            return Err(RIT_ERR_SIZE);
        }
        Ok(Path { ip: self.ip, port: self.port, ifindex: self.ifindex })
    }
}

/// Log levels of rit_io.log.
pub const RIT_LOG_ERROR: i32 = 1;
/// Something is wrong, and the library copes.
pub const RIT_LOG_WARN: i32 = 2;
/// What an operator may want to know.
pub const RIT_LOG_INFO: i32 = 3;
/// What a developer may want to know.
pub const RIT_LOG_DEBUG: i32 = 4;

/// Slot of rit_io.load and .store: the identity. Secret: keep it from other users of the machine.
pub const RIT_SLOT_IDENTITY: u32 = 1;
/// Slot for what is known of the broker; not used yet.
pub const RIT_SLOT_BROKER: u32 = 2;
/// No slot's content is longer, in bytes.
pub const RIT_SLOT_MAX: usize = 512;

/// What the integrator provides. Copied at creation; ctx must live as long as the node.
///
/// Callbacks are called from inside rit_ calls only, on the caller's thread. They must not call the
/// library with the same node: such a call returns RIT_ERR_REENTRY and does nothing.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_io {
    /// sizeof(struct rit_io)
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Handed back in every call.
    pub ctx: *mut c_void,
    /// REQUIRED. Microseconds since an arbitrary start, never going back.
    pub now_us: Option<unsafe extern "C" fn(ctx: *mut c_void) -> u64>,
    /// REQUIRED. Fills len bytes from a true random source; 0, or anything else on failure. Asked at
    /// creation only. A source that fails, or gives constant or repeated blocks, is refused.
    pub entropy: Option<unsafe extern "C" fn(ctx: *mut c_void, out: *mut u8, len: usize) -> i32>,
    /// REQUIRED. Sends one UDP datagram; to and pkt are good during the call. 0: taken. Anything
    /// else: not sent, which counts as lost on the way and is repaired.
    pub send: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            to: *const rit_path,
            pkt: *const u8,
            len: usize,
        ) -> i32,
    >,
    /// OPTIONAL, for polled stacks: receives one datagram of at most cap bytes into buf and fills
    /// from (struct_size is set already). Returns its length, 0 if there is none. See rit_node_poll.
    pub recv: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            from: *mut rit_path,
            buf: *mut u8,
            cap: usize,
        ) -> i32,
    >,
    /// OPTIONAL. The one timer: call rit_node_timeout at deadline_us on now_us's clock; UINT64_MAX:
    /// never. Called when it changes. Without it, ask rit_node_deadline after each call.
    pub set_timer: Option<unsafe extern "C" fn(ctx: *mut c_void, deadline_us: u64)>,
    /// OPTIONAL, with store. Reads a slot into buf: its length, 0 if nothing was ever stored,
    /// negative on failure. Without load and store the identity is new at each start.
    pub load:
        Option<unsafe extern "C" fn(ctx: *mut c_void, slot: u32, buf: *mut u8, cap: usize) -> i32>,
    /// OPTIONAL, with load. Replaces a slot's content, all of it or, on failure, nothing; it must
    /// survive a loss of power once this returned 0.
    pub store: Option<
        unsafe extern "C" fn(ctx: *mut c_void, slot: u32, buf: *const u8, len: usize) -> i32,
    >,
    /// OPTIONAL. A line for people, NUL-ended, good during the call; never holds a secret.
    pub log: Option<unsafe extern "C" fn(ctx: *mut c_void, level: i32, msg: *const c_char)>,
}

// SAFETY: integers, a pointer and optional functions, for which all zeros is a value and other bytes
// are the caller's promise to be functions.
unsafe impl Sized32 for rit_io {}

/// The table, checked: what is required is there.
pub(crate) struct Io {
    table: rit_io,
    now_us: unsafe extern "C" fn(*mut c_void) -> u64,
    entropy: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> i32,
    send: unsafe extern "C" fn(*mut c_void, *const rit_path, *const u8, usize) -> i32,
}

/// Blocks drawn to tell a stuck source.
const ENTROPY_BLOCKS: usize = 4;

impl Io {
    pub(crate) fn new(ptr: *const rit_io) -> Result<Io, i32> {
        let table = structs::read(ptr)?;
        if table.reserved != 0 {
            return Err(RIT_ERR_SIZE);
        }
        let (Some(now_us), Some(entropy), Some(send)) = (table.now_us, table.entropy, table.send)
        else {
            return Err(RIT_ERR_NULL);
        };
        if table.load.is_some() != table.store.is_some() {
            return Err(RIT_ERR_NULL);
        }
        Ok(Io { table, now_us, entropy, send })
    }

    pub(crate) fn now(&self) -> Time {
        // SAFETY: the integrator's function with its own ctx.
        Time::from_micros(unsafe { (self.now_us)(self.table.ctx) })
    }

    /// A seed from four blocks, none constant, none equal to another.
    pub(crate) fn seed(&self) -> Result<Zeroizing<[u8; 32]>, i32> {
        let mut blocks = Zeroizing::new([[0u8; 32]; ENTROPY_BLOCKS]);
        for i in 0..ENTROPY_BLOCKS {
            let block = &mut blocks[i];
            // SAFETY: the integrator's function, a buffer of the length told.
            let failed = unsafe { (self.entropy)(self.table.ctx, block.as_mut_ptr(), 32) } != 0;
            let is_constant = block.iter().all(|byte| *byte == block[0]);
            let block = blocks[i];
            if failed || is_constant || blocks[..i].contains(&block) {
                return Err(RIT_ERR_ENTROPY);
            }
        }
        let parts: [&[u8]; 4] = [&blocks[0], &blocks[1], &blocks[2], &blocks[3]];
        Ok(Zeroizing::new(rit_core::crypto::default_provider().sha256(&parts)))
    }

    /// Sends a datagram; what is not taken counts as lost.
    pub(crate) fn send(&self, to: &Path, packet: &[u8]) {
        let to = rit_path::new(to);
        // SAFETY: the integrator's function, pointers good during the call.
        let _lost = unsafe { (self.send)(self.table.ctx, &to, packet.as_ptr(), packet.len()) };
    }

    /// Whether datagrams are to be fetched rather than handed in.
    pub(crate) fn can_receive(&self) -> bool {
        self.table.recv.is_some()
    }

    pub(crate) fn receive(&self, buf: &mut [u8]) -> Option<(Path, usize)> {
        let recv = self.table.recv?;
        let mut from = rit_path::new(&Path { ip: [0; 16], port: 0, ifindex: 0 });
        // SAFETY: the integrator's function, a buffer of the length told.
        let len = unsafe { recv(self.table.ctx, &mut from, buf.as_mut_ptr(), buf.len()) };
        let len = usize::try_from(len).ok().filter(|len| (1..=buf.len()).contains(len))?;
        Some((from.to_path().ok()?, len))
    }

    pub(crate) fn set_timer(&self, deadline_us: u64) {
        if let Some(set_timer) = self.table.set_timer {
            // SAFETY: the integrator's function with its own ctx.
            unsafe { set_timer(self.table.ctx, deadline_us) }
        }
    }

    pub(crate) fn has_storage(&self) -> bool {
        self.table.load.is_some()
    }

    pub(crate) fn load(&self, slot: u32, buf: &mut [u8]) -> Result<usize, i32> {
        let Some(load) = self.table.load else { return Ok(0) };
        // SAFETY: the integrator's function, a buffer of the length told.
        let len = unsafe { load(self.table.ctx, slot, buf.as_mut_ptr(), buf.len()) };
        usize::try_from(len).ok().filter(|len| *len <= buf.len()).ok_or(RIT_ERR_STORAGE)
    }

    pub(crate) fn store(&self, slot: u32, content: &[u8]) -> Result<(), i32> {
        let Some(store) = self.table.store else { return Ok(()) };
        // SAFETY: the integrator's function, a buffer of the length told.
        let result = unsafe { store(self.table.ctx, slot, content.as_ptr(), content.len()) };
        if result == 0 { Ok(()) } else { Err(RIT_ERR_STORAGE) }
    }

    pub(crate) fn log(&self, level: i32, message: &str) {
        let Some(log) = self.table.log else { return };
        if let Ok(message) = CString::new(message) {
            // SAFETY: the integrator's function, a text good during the call.
            unsafe { log(self.table.ctx, level, message.as_ptr()) }
        }
    }
}
