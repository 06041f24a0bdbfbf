//! Limits of a node as C sees them.

use crate::error::{RIT_ERR_SIZE, RIT_ERR_VERSION};
use crate::structs::{self, Sized32};
use core::time::Duration;
use rit_core::node::Config;

/// Version of this interface. The library refuses a config made with another one.
pub const RIT_ABI_VERSION: u32 = 1;

/// Limits and timers of a node. Fill it with rit_config_init, then change what you need; 0 means the
/// default, in brackets. Memory in use is bounded by them: at most, for each session, twice
/// session_window each way and about 4 KB; reaching a limit is RIT_ERR_LIMIT for that operation.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_config {
    /// sizeof(struct rit_config)
    pub struct_size: u32,
    /// RIT_ABI_VERSION
    pub abi_version: u32,
    /// [16] Sessions at once, both directions together.
    pub max_sessions: u32,
    /// [16] Services offered; at most 32.
    pub max_services: u32,
    /// [64] Keys of peers that may open sessions.
    pub max_peers: u32,
    /// [1024] Streams that a peer may have open in one session.
    pub max_streams: u32,
    /// [262144] Unread bytes one stream may hold; at least 256, at most session_window.
    pub stream_window: u32,
    /// [4194304] Unread bytes all streams of a session may hold; the same for unacknowledged ones.
    pub session_window: u32,
    /// [262144] Unacknowledged bytes one stream may hold; at least 256.
    pub stream_send_buffer: u32,
    /// [1452] Bytes of UDP payload received and sent at most; 548 to 9000.
    pub max_datagram: u32,
    /// [30000] A session ends after this long without a packet, in milliseconds.
    pub idle_timeout_ms: u32,
    /// [10000] A packet is sent after this long without one, in milliseconds.
    pub keep_alive_ms: u32,
    /// Zero.
    pub reserved: [u64; 4],
}

// SAFETY: integers only.
unsafe impl Sized32 for rit_config {}

/// Fills a config with its size, the ABI version and zeros: all defaults. NULL is ignored.
///
/// Callable from everywhere.
#[unsafe(no_mangle)]
pub extern "C" fn rit_config_init(cfg: *mut rit_config) {
    // A null pointer is ignored, as documented.
    let _ = structs::put(cfg, rit_config::default());
}

impl Default for rit_config {
    fn default() -> Self {
        rit_config {
            struct_size: size_of::<rit_config>() as u32,
            abi_version: RIT_ABI_VERSION,
            max_sessions: 0,
            max_services: 0,
            max_peers: 0,
            max_streams: 0,
            stream_window: 0,
            session_window: 0,
            stream_send_buffer: 0,
            max_datagram: 0,
            idle_timeout_ms: 0,
            keep_alive_ms: 0,
            reserved: [0; 4],
        }
    }
}

impl rit_config {
    /// Reads the caller's config; NULL means all defaults.
    pub(crate) fn read(ptr: *const rit_config) -> Result<Config, i32> {
        let c = if ptr.is_null() { rit_config::default() } else { structs::read(ptr)? };
        if c.abi_version != RIT_ABI_VERSION {
            return Err(RIT_ERR_VERSION);
        }
        if c.reserved != [0; 4] {
            return Err(RIT_ERR_SIZE);
        }
        let mut config = Config::default();
        let t = &mut config.transport;
        set(&mut config.max_sessions, c.max_sessions as usize);
        set(&mut config.max_services, c.max_services as usize);
        set(&mut config.max_peers, c.max_peers as usize);
        set(&mut t.max_streams, u64::from(c.max_streams));
        set(&mut t.stream_window, u64::from(c.stream_window));
        set(&mut t.session_window, u64::from(c.session_window));
        set(&mut t.stream_send_buffer, u64::from(c.stream_send_buffer));
        set(&mut t.max_datagram, c.max_datagram as usize);
        set(&mut t.idle_timeout, Duration::from_millis(u64::from(c.idle_timeout_ms)));
        set(&mut t.keep_alive, Duration::from_millis(u64::from(c.keep_alive_ms)));
        Ok(config)
    }
}

fn set<T: Default + PartialEq>(field: &mut T, value: T) {
    if value != T::default() {
        *field = value;
    }
}
