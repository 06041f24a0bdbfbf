//! How full the pipe to the peer is: what waits, what is under way, how fast it goes, and how much
//! may be counted on soon. For senders that adapt what they make to it.

use super::Congestion;
use super::connection::Connection;
use crate::base::Time;
use core::time::Duration;

/// The time over which the rate is taken.
const RATE_OVER: Duration = Duration::from_millis(200);
/// The time that the forecast is of.
pub const FORECAST: Duration = Duration::from_millis(100);

/// How full the pipe is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pipe {
    /// Bytes of streams and datagrams that wait here.
    pub queued: u64,
    /// How many of them the congestion window lets go without anything being acknowledged first.
    pub open: u64,
    /// Bytes sent, with headers, of which nothing is known yet.
    pub in_flight: u64,
    /// Bytes a second, with headers, that the peer acknowledged in the last 200 ms; 0 before it is
    /// known.
    pub rate: u64,
    /// How much longer the last round trip was than the shortest on this path: what queues on the
    /// way add.
    pub queueing_delay: Duration,
    /// Bytes, with headers, that will be delivered within [`FORECAST`] with a probability of about
    /// 95 %; 0 before it is known.
    pub forecast: u64,
}

impl Pipe {
    /// How long a byte written now waits, here and on the way, beyond what an empty path takes; no
    /// more than a minute is told. What the window lets go does not wait for anything that the path
    /// delivers: of a sender that leaves the path half empty, the rate is its own.
    pub fn delay(&self) -> Duration {
        const MOST: Duration = Duration::from_secs(60);
        let here = match (self.queued.saturating_sub(self.open), self.rate) {
            (0, _) => Duration::ZERO,
            (_, 0) => MOST,
            (waits, rate) => Duration::from_micros(waits.saturating_mul(1_000_000) / rate),
        };
        here.saturating_add(self.queueing_delay).min(MOST)
    }
}

impl Connection {
    /// Sends by this congestion controller from now on; it begins as on a new connection.
    pub fn set_congestion(&mut self, congestion: Congestion) {
        self.recovery.set_congestion(congestion);
    }

    /// How full the pipe is. Of a controller that does not measure rates by itself they are
    /// measured from the first call on.
    pub fn pipe(&mut self, now: Time) -> Pipe {
        let queued = self.streams.unsent() + self.datagrams_unsent_bytes();
        let rtt = &self.recovery.rtt;
        let queueing_delay = rtt.latest().saturating_sub(rtt.min());
        let in_flight = self.recovery.in_flight;
        let open = queued.min(self.recovery.room());
        let delivery = self.recovery.controller.delivery();
        let (rate, forecast) = (delivery.rate(RATE_OVER, now), delivery.forecast(FORECAST, now));
        Pipe { queued, open, in_flight, rate, queueing_delay, forecast }
    }
}
