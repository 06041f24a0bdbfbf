//! One connection: packet protection, acknowledgement, loss recovery, congestion control, streams,
//! datagrams, flow control, close.
//!
//! Owns everything between a datagram and the bytes of a stream (RFC 9000, 9001 §5, 9002, 9221).
//! Does not own which datagram belongs to which connection (`node`), nor what streams mean
//! (`tunnel`).
//! Invariant: after any `handle_*` or command, drain `poll_transmit` and `poll_event`.

mod ack_frequency;
mod acks;
mod cids;
mod close;
mod connection;
mod contact_probe;
mod control;
mod controller;
mod crypto_stream;
mod cubic;
mod datagrams;
#[cfg(feature = "media")]
mod delay_bounded;
#[cfg(feature = "media")]
mod delivery;
mod ecn;
mod error;
mod establish;
mod hystart;
mod keep_alive;
mod key_update;
mod loss;
mod migrate;
mod mtu;
mod pacer;
mod paths;
#[cfg(feature = "media")]
mod pipe;
mod priority;
mod probes;
pub mod protect;
mod receive;
mod recv_stream;
mod rtt;
mod send_stream;
mod sent;
mod space;
mod stats;
mod streams;
mod transmit;

#[cfg(test)]
mod tests;

pub use cids::{CidEvent, ResetToken};
pub use connection::{Accept, Connection, Local, Open};
pub use contact_probe::{CONTACT_PROBE_LEN, is_contact_probe, write_contact_probe};
#[cfg(feature = "media")]
pub use controller::DEFAULT_TARGET;
pub use controller::{Congestion, Controller};
pub use crypto_stream::CryptoReceiver;
pub use cubic::Cubic;
pub use datagrams::DatagramError;
pub use error::{CloseReason, StreamError, TransportCode};
#[cfg(feature = "media")]
pub use pipe::{FORECAST, Pipe};
pub use priority::{Priority, SHARES_MAX, WEIGHT_DEFAULT, WEIGHT_MAX};
pub use rtt::RttEstimator;
pub use stats::Stats;

use acks::MIN_ACK_DELAY;
use cids::ACTIVE_CIDS;
use core::time::Duration;
use recv_stream::RecvStream;

use crate::base::{Ecn, Path, Reserve};
use crate::handshake::TlsRole;
use crate::wire::params::TransportParams;

/// Smallest `max_datagram`. An IPv4 path of 576 bytes carries 548 of UDP payload, 9 of which a
/// relay's header takes.
pub const MIN_DATAGRAM: usize = 512;
/// Largest `max_datagram`: a jumbo frame.
pub const MAX_DATAGRAM: usize = 9000;
/// What a path is taken to carry until it is probed (RFC 9000 §14).
pub const BASE_DATAGRAM: usize = 1200;

/// Limits and timers of a connection.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which end of TLS this is where it opens a connection.
    pub role: TlsRole,
    /// Bytes of UDP payload taken from the peer; [`MIN_DATAGRAM`] to [`MAX_DATAGRAM`].
    pub max_datagram: usize,
    /// Unread bytes one stream may hold. Above 256 KiB only one whose reader keeps up may.
    pub stream_window: u64,
    /// Unread bytes all streams may hold together; the same bound holds for unacknowledged ones.
    pub session_window: u64,
    /// Unacknowledged bytes one stream may hold.
    pub stream_send_buffer: u64,
    /// Streams the peer may have open.
    pub max_streams: u64,
    /// Bytes of datagrams (RFC 9221) that may wait to be sent; 0: none are.
    pub datagram_send_buffer: usize,
    /// Bytes of datagrams that may wait to be read; 0: none are taken from the peer.
    pub datagram_recv_buffer: usize,
    /// Datagrams that may wait, each way.
    pub datagram_queue: usize,
    /// The connection ends after this long without a packet.
    pub idle_timeout: Duration,
    /// The connection ends when something is not acknowledged for this long; `None`: twice the idle
    /// timeout.
    pub ack_timeout: Option<Duration>,
    /// PING is sent after this long without a packet; zero: never.
    pub keep_alive: Duration,
    /// The handshake is given up after this long.
    pub handshake_timeout: Duration,
    /// Bytes of the peer's part of a handshake taken.
    pub max_handshake: usize,
    /// Memory that is to stay free.
    pub reserve: Reserve,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            role: TlsRole::INITIATOR,
            max_datagram: 1452,
            stream_window: 256 * 1024,
            session_window: 4 * 1024 * 1024,
            stream_send_buffer: 256 * 1024,
            max_streams: 1024,
            datagram_send_buffer: 64 * 1024,
            datagram_recv_buffer: 64 * 1024,
            datagram_queue: 256,
            idle_timeout: Duration::from_secs(30),
            ack_timeout: None,
            keep_alive: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            max_handshake: 16 * 1024,
            reserve: Reserve::default(),
        }
    }
}

impl Config {
    /// What the peer is told of these limits.
    pub fn params(&self) -> TransportParams {
        TransportParams {
            max_idle_timeout_ms: self.idle_timeout.as_millis() as u64,
            max_udp_payload_size: self.max_datagram as u64,
            initial_max_data: self.session_window,
            initial_max_stream_data_bidi_local: RecvStream::first_window(self.stream_window),
            initial_max_stream_data_bidi_remote: RecvStream::first_window(self.stream_window),
            initial_max_streams_bidi: self.max_streams,
            active_connection_id_limit: ACTIVE_CIDS,
            min_ack_delay_us: MIN_ACK_DELAY.as_micros() as u64,
            max_datagram_frame_size: self.max_datagram_frame(),
            ..TransportParams::default()
        }
    }

    /// The largest DATAGRAM frame taken: what a packet holds and the queue has room for.
    fn max_datagram_frame(&self) -> u64 {
        let room = if self.datagram_queue == 0 { 0 } else { self.datagram_recv_buffer };
        room.min(self.max_datagram) as u64
    }
}

/// A datagram to send: where to; its bytes are in the buffer handed to `poll_transmit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub path: Path,
    /// Bytes written.
    pub len: usize,
    /// What its IP packet is to be marked with, by a port that can.
    pub ecn: Ecn,
}

/// A stream's number (RFC 9000 §2.1); bidirectional ones only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// What happened on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer is authenticated; streams may be opened.
    Connected,
    /// The peer opened a stream.
    Opened(StreamId),
    /// Something about where the peer is.
    Path(PathEvent),
    /// Something about a stream changed: look at [`Connection::stream_state`].
    Stream(StreamId),
    /// Datagrams came: see [`Connection::datagram_sort`].
    Datagrams,
    /// The connection is over. The last event.
    Closed(CloseReason),
}

/// What became known of where the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathEvent {
    /// It is at another address: [`Connection::path`].
    Moved,
    /// It is at a path that it was asked about: [`Connection::probe_path`], or because it moved
    /// there.
    Answered {
        /// Which.
        path: Path,
        /// The time between question and answer.
        rtt: Duration,
    },
    /// It asked from a path that is not in use, and may be reached there.
    Asked(Path),
}

/// What a stream's owner may want to know, all at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// Bytes can be read, or the end of the stream.
    pub is_readable: bool,
    /// Bytes can be written.
    pub is_writable: bool,
    /// The peer reset its side, with this code.
    pub reset: Option<u64>,
    /// The peer wants no more, with this code.
    pub stopped: Option<u64>,
    /// All that was written, and the end, is acknowledged.
    pub is_delivered: bool,
    /// Our side's deadline passed before that.
    pub is_expired: bool,
}
