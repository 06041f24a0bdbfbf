//! Limits and timers of a node, given at creation.

use crate::RIT_ABI_VERSION;
use crate::args::{self, Versioned};
use crate::error::Error;
use crate::memory;
use core::time::Duration;
use rit_core::node::Config;
use rit_core::transport;

/// Limits and timers of a node. 0 in any of them means its default. Reaching a limit is
/// an ordinary error of that one operation. Buffers grow as they are needed, up to these bounds.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_config {
    /// sizeof(struct rit_config).
    pub struct_size: u32,
    /// RIT_ABI_VERSION.
    pub abi_version: u32,
    /// Sessions at once, opened here and by peers together; default 16.
    pub max_sessions: u32,
    /// Services offered here, at most 32; default 16.
    pub max_services: u32,
    /// Peers that rit_peer_allow has let in; default 64.
    pub max_peers: u32,
    /// Streams of one session, for each end that opens them, at most 2^30; default 1024.
    pub max_streams: u32,
    /// Bytes received and not read yet of one stream, 256 to session_window; default 262144. More
    /// than that only a stream has whose reader keeps up.
    pub stream_window: u32,
    /// Bytes received and not read yet of all streams of one session, where addresses have 32 bits
    /// at most 2^30; default 4194304.
    pub session_window: u32,
    /// Bytes written and not acknowledged yet of one stream, at least 256, where addresses have 32
    /// bits at most 2^30; default 262144.
    pub stream_send_buffer: u32,
    /// The largest UDP payload sent and received, 512 to 9000 bytes; default 1452. What goes
    /// through a relay is 9 bytes longer, 71 until the relay has answered, unless rit_node_transmit
    /// is given less room. For a link of 576 bytes that may not be passed: 539.
    pub max_datagram: u32,
    /// A session without a packet for this long is over, in milliseconds; default 30000.
    pub idle_timeout_ms: u32,
    /// A quiet session, and the link to the broker, sends a packet this often, in milliseconds;
    /// UINT32_MAX: never; default 10000 for sessions, and for the link as seldom as the NAT lets
    /// it: 28500, or 115000 where rit_io.sockets is not 0 and the broker finds that possible.
    pub keep_alive_ms: u32,
    /// Flows of one session, both directions together; default 64; UINT32_MAX: none.
    pub max_flows: u32,
    /// Datagrams of one session that may wait, each way; default 256; UINT32_MAX: none, so that
    /// messages of flows go on streams only.
    pub datagram_queue: u32,
    /// Bytes of datagrams that may wait to be sent, at most 2^30; default 65536.
    pub datagram_send_buffer: u32,
    /// Bytes of datagrams received and not read yet, at most 2^30; default 65536. For more the
    /// oldest makes room.
    pub datagram_recv_buffer: u32,
    /// 0.
    pub reserved: [u64; 2],
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_config {
    const NAME: &'static str = "rit_config";
}

impl rit_config {
    const fn new() -> Self {
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
            max_flows: 0,
            datagram_queue: 0,
            datagram_send_buffer: 0,
            datagram_recv_buffer: 0,
            reserved: [0; 2],
        }
    }

    fn to_core(self) -> Config {
        let mut config = Config::default();
        memory::keep(&mut config.transport);
        let t = &mut config.transport;
        or_default(&mut t.max_datagram, self.max_datagram as usize);
        or_default(&mut t.stream_window, self.stream_window.into());
        or_default(&mut t.session_window, self.session_window.into());
        or_default(&mut t.stream_send_buffer, self.stream_send_buffer.into());
        or_default(&mut t.max_streams, self.max_streams.into());
        or_default(&mut t.idle_timeout, Duration::from_millis(self.idle_timeout_ms.into()));
        match self.keep_alive_ms {
            0 => {}
            u32::MAX => t.keep_alive = Duration::ZERO,
            ms => t.keep_alive = Duration::from_millis(ms.into()),
        }
        config.link_keep_alive = Some(t.keep_alive).filter(|_| self.keep_alive_ms != 0);
        or_default(&mut t.datagram_send_buffer, self.datagram_send_buffer as usize);
        or_default(&mut t.datagram_recv_buffer, self.datagram_recv_buffer as usize);
        or_none(&mut t.datagram_queue, self.datagram_queue);
        or_none(&mut config.max_flows, self.max_flows);
        or_default(&mut config.max_sessions, self.max_sessions as usize);
        or_default(&mut config.max_services, self.max_services as usize);
        or_default(&mut config.max_peers, self.max_peers as usize);
        config
    }
}

/// Zero, in any type, leaves the default.
fn or_default<T: PartialEq + Default>(limit: &mut T, given: T) {
    if given != T::default() {
        *limit = given;
    }
}

/// The same, and UINT32_MAX stands for none.
fn or_none(limit: &mut usize, given: u32) {
    match given {
        0 => {}
        u32::MAX => *limit = 0,
        given => *limit = given as usize,
    }
}

/// Checks all that can be checked without a node.
///
/// # Safety
/// `cfg` is null or points to `struct_size` readable bytes.
pub(crate) unsafe fn read(cfg: *const rit_config) -> Result<Config, Error> {
    // SAFETY: the caller's promise.
    let cfg = if cfg.is_null() { rit_config::new() } else { unsafe { args::read(cfg)? } };
    if cfg.abi_version != RIT_ABI_VERSION {
        return Err(Error::Version(cfg.abi_version));
    }
    if cfg.reserved != [0; 2] {
        return Err(Error::Argument("rit_config.reserved"));
    }
    let mut config = cfg.to_core();
    // A default that a smaller session_window would make impossible is lowered with it.
    let t: &mut transport::Config = &mut config.transport;
    if cfg.stream_window == 0 {
        t.stream_window = t.stream_window.min(t.session_window);
    }
    Ok(config)
}

/// Fills in a configuration that means "all defaults": struct_size and abi_version set, the rest
/// zero. cfg need not be initialised; null is ignored. Callable anywhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_config_init(cfg: *mut rit_config) {
    if !cfg.is_null() {
        // SAFETY: not null, and the header asks for room for one struct.
        unsafe { cfg.write_unaligned(rit_config::new()) }
    }
}
