//! Limits of a node, given when it is made.

use super::ConfigError;
use crate::transport;
use crate::wire::message::SERVICES_MAX;
use core::time::Duration;

/// Limits of a node; see [`transport::Config`] for those of each connection.
#[derive(Clone, Debug)]
pub struct Config {
    /// Limits and timers of each connection.
    pub transport: transport::Config,
    /// Sessions at once, both directions together.
    pub max_sessions: usize,
    /// Services offered; at most 32.
    pub max_services: usize,
    /// UDP flows of one session, both directions together.
    pub max_flows: usize,
    /// Keys on the allow-list.
    pub max_peers: usize,
    /// Further UDP ports that can be sent from: `socket` 1 to this of a
    /// [`Path`](crate::base::Path). The last is kept for finding out how long the NAT remembers.
    pub sockets: u16,
    /// What is sent to [`LAN_GROUPS`](crate::traverse::LAN_GROUPS) goes by multicast to this host's
    /// networks, and what comes by them is heard.
    pub multicast: bool,
    /// A packet goes to the broker after this long without one; zero: never. `None`: as seldom as
    /// the NAT lets it, which is found out where there are `sockets`.
    pub link_keep_alive: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            transport: transport::Config::default(),
            max_sessions: 16,
            max_services: 16,
            max_flows: 64,
            max_peers: 64,
            sockets: 0,
            multicast: false,
            link_keep_alive: None,
        }
    }
}

/// Bytes of the largest window: the next power of two of what is in it can be allocated.
const WINDOW_MAX: u64 = if usize::BITS == 32 { 1 << 30 } else { 1 << 40 };

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let t = &self.transport;
        if !(transport::MIN_DATAGRAM..=transport::MAX_DATAGRAM).contains(&t.max_datagram) {
            return Err(ConfigError::MaxDatagram);
        }
        let is_sound = t.stream_window >= 256
            && t.stream_window <= t.session_window
            && t.session_window <= WINDOW_MAX
            && (256..=WINDOW_MAX).contains(&t.stream_send_buffer)
            && (1..=1 << 30).contains(&t.max_streams)
            && self.max_sessions > 0
            && (1..=SERVICES_MAX).contains(&self.max_services)
            && self.max_peers > 0
            && self.max_flows <= 1 << 20
            && t.datagram_send_buffer <= 1 << 30
            && t.datagram_recv_buffer <= 1 << 30
            && t.datagram_queue <= 1 << 20
            && !t.idle_timeout.is_zero();
        if is_sound { Ok(()) } else { Err(ConfigError::Limits) }
    }
}
