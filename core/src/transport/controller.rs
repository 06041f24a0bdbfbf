//! What loss recovery tells, and asks of, a congestion controller (RFC 9002 §7), and which there
//! are.

#[cfg(feature = "media")]
use super::delivery::Delivery;
use crate::base::Time;
use core::time::Duration;

/// The queue that `Congestion::DelayBounded` aims at unless told otherwise: on recorded LTE links
/// as much throughput as BBR's at a fraction of its delay. RFC 8298 §5.2 and LEDBAT++ have 60 ms,
/// RFC 6817 100.
#[cfg(feature = "media")]
pub const DEFAULT_TARGET: Duration = Duration::from_millis(80);

/// Which congestion controller one end of a connection sends by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// CUBIC (RFC 9438): fills the path and its queue; for bulk.
    #[default]
    Cubic,
    /// Keeps its queue short, on paths whose rate varies; for interactive media.
    #[cfg(feature = "media")]
    DelayBounded {
        /// How long what it sends may wait on the path: 1 µs to 1.05 s.
        target: Duration,
    },
}

/// A congestion controller.
pub trait Controller: Send {
    /// Bytes that may be in flight.
    fn window(&self) -> u64;
    /// A packet sent at `sent_at` was acknowledged. `is_limited` tells whether the window, rather
    /// than the application, held sending back.
    fn on_ack(&mut self, bytes: u64, sent_at: Time, rtt: Duration, is_limited: bool, now: Time);
    /// A packet sent at `sent_at` was lost.
    fn on_loss(&mut self, sent_at: Time, now: Time);
    /// A packet met congestion, which the path told rather than dropping it. `sent_at` is when the
    /// newest of those acknowledged with it was sent (RFC 9002 B.7).
    fn on_mark(&mut self, sent_at: Time, now: Time) {
        self.on_loss(sent_at, now);
    }
    /// Everything sent in a long time was lost (RFC 9002 §7.6).
    fn on_persistent_congestion(&mut self);
    /// A round-trip time was measured, after all that its ACK acknowledged was told.
    fn on_rtt(&mut self, latest: Duration, now: Time);
    /// Packets have `mss` bytes from now on.
    fn on_mss(&mut self, mss: usize);
    /// How much faster than a window in a round trip packets leave (N of RFC 9002 §7.7), as a
    /// fraction.
    fn pacing_gain(&self) -> (u64, u64) {
        (5, 4)
    }
    /// ACKs a round trip that it lives well by: HyStart++ alone wants eight samples.
    fn acks_per_window(&self) -> u64 {
        16
    }
    /// Which it is.
    fn congestion(&self) -> Congestion;
    /// How fast the path delivers; measured from the first call on, unless it was before.
    #[cfg(feature = "media")]
    fn delivery(&mut self) -> &mut Delivery;
}
