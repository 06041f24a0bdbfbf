//! What a connection counts.

use super::connection::Connection;

/// Counters of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// UDP payload bytes received for it.
    pub bytes_received: u64,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
    /// Packets that did not open or were duplicates.
    pub packets_dropped: u64,
    /// Unread and unacknowledged stream bytes.
    pub buffered_bytes: u64,
    /// Memory of stream and datagram buffers.
    pub buffer_memory: u64,
    /// Bytes of datagrams that wait to be sent or read.
    pub datagram_bytes: u64,
    /// Datagrams taken to send and never sent: expired, or outgrown by the path.
    pub datagrams_unsent: u64,
    /// Datagrams received and never read: too many came, or nobody wanted them.
    pub datagrams_unread: u64,
    /// Streams in the table.
    pub streams: u64,
}

impl Connection {
    /// Counters.
    pub fn stats(&self) -> Stats {
        let (unread, unacked) = self.streams.buffered();
        let (datagrams_unsent, datagrams_unread) = self.datagrams_dropped();
        Stats {
            bytes_received: self.bytes_received,
            bytes_sent: self.bytes_sent,
            packets_lost: self.recovery.packets_lost,
            packets_dropped: self.packets_dropped,
            buffered_bytes: unread + unacked,
            buffer_memory: (self.streams.memory() + self.datagram_memory()) as u64,
            datagram_bytes: self.datagram_bytes() as u64,
            datagrams_unsent,
            datagrams_unread,
            streams: self.streams.count() as u64,
        }
    }
}
