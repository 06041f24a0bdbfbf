//! Round-trip time estimation (RFC 9002 §5).

use core::time::Duration;

/// RTT taken before the first sample (RFC 9002 §6.2.2).
const INITIAL_RTT: Duration = Duration::from_millis(333);
/// Timer granularity (RFC 9002 §6.1.2).
pub(super) const GRANULARITY: Duration = Duration::from_millis(1);

/// Smoothed, varying and smallest round-trip time of a path.
#[derive(Clone, Debug)]
pub struct RttEstimator {
    latest: Duration,
    smoothed: Option<Duration>,
    var: Duration,
    min: Duration,
}

impl Default for RttEstimator {
    fn default() -> Self {
        RttEstimator {
            latest: Duration::ZERO,
            smoothed: None,
            var: INITIAL_RTT / 2,
            min: Duration::MAX,
        }
    }
}

impl RttEstimator {
    /// Whether a packet was acknowledged yet.
    pub fn has_sample(&self) -> bool {
        self.smoothed.is_some()
    }

    /// smoothed_rtt.
    pub fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or(INITIAL_RTT)
    }

    /// The newest sample; zero before the first.
    #[cfg(feature = "media")]
    pub(super) fn latest(&self) -> Duration {
        self.latest
    }

    /// The larger of smoothed and latest, which loss detection waits by.
    pub(super) fn conservative(&self) -> Duration {
        self.smoothed().max(self.latest)
    }

    /// min_rtt; zero before the first sample.
    pub fn min(&self) -> Duration {
        if self.has_sample() { self.min } else { Duration::ZERO }
    }

    /// Probe timeout without max_ack_delay and backoff (RFC 9002 §6.2.1).
    pub(super) fn pto_base(&self) -> Duration {
        self.smoothed() + (self.var * 4).max(GRANULARITY)
    }

    /// Takes a sample; `ack_delay` is what the peer says it waited, already capped.
    pub(super) fn on_sample(&mut self, latest: Duration, ack_delay: Duration) {
        self.latest = latest;
        self.min = self.min.min(latest);
        let Some(smoothed) = self.smoothed else {
            self.smoothed = Some(latest);
            self.var = latest / 2;
            return;
        };
        let adjusted = if latest >= self.min + ack_delay { latest - ack_delay } else { latest };
        self.var = (self.var * 3 + smoothed.abs_diff(adjusted)) / 4;
        self.smoothed = Some((smoothed * 7 + adjusted) / 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_sample_is_taken_whole_later_ones_smoothed() {
        let ms = Duration::from_millis;
        let mut rtt = RttEstimator::default();
        assert_eq!(rtt.pto_base(), ms(333 + 666));
        rtt.on_sample(ms(100), ms(0));
        assert_eq!((rtt.smoothed(), rtt.pto_base()), (ms(100), ms(300)));
        rtt.on_sample(ms(180), ms(20));
        assert_eq!(rtt.smoothed(), Duration::from_micros(107_500));
        rtt.on_sample(ms(101), ms(50));
        assert_eq!(rtt.min(), ms(100));
    }
}
