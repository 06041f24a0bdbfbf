//! Leaving slow start before it overflows the path: HyStart++ (RFC 9406).
//!
//! When a round's smallest round-trip time is clearly above the one before's, a queue is building
//! up: growth becomes conservative for some rounds, and ends if the time does not come down again.
//! Packets are paced, so that no limit L on growth is needed (§4.2).

use crate::base::Time;
use core::time::Duration;

const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
const CSS_GROWTH_DIVISOR: u64 = 4;
const CSS_ROUNDS: u32 = 5;

/// Where slow start stands.
#[derive(Clone, Debug, Default)]
pub(super) struct HyStart {
    /// Packets sent after this belong to the next round.
    round_end: Option<Time>,
    samples: u32,
    last_round_min: Option<Duration>,
    this_round_min: Option<Duration>,
    /// Conservative slow start: what made it begin, and its rounds so far.
    css: Option<(Duration, u32)>,
}

impl HyStart {
    /// A packet sent at `sent_at` was acknowledged: by how much growth is to be divided.
    pub(super) fn divisor(&mut self, sent_at: Time, now: Time) -> u64 {
        if self.round_end.is_none_or(|end| sent_at > end) {
            self.round_end = Some(now);
            self.last_round_min = self.this_round_min.take().or(self.last_round_min);
            self.samples = 0;
            if let Some((_, rounds)) = &mut self.css {
                *rounds += 1;
            }
        }
        if self.css.is_some() { CSS_GROWTH_DIVISOR } else { 1 }
    }

    /// A round-trip time was measured.
    pub(super) fn on_rtt(&mut self, latest: Duration) {
        self.samples += 1;
        let this = self.this_round_min.map_or(latest, |min| min.min(latest));
        self.this_round_min = Some(this);
        if self.samples < N_RTT_SAMPLE {
            return;
        }
        match self.css {
            // It came down again: the queue was not ours.
            Some((baseline, _)) if this < baseline => self.css = None,
            Some(_) => {}
            None => {
                let Some(last) = self.last_round_min else { return };
                let thresh = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if this >= last + thresh {
                    self.css = Some((this, 0));
                }
            }
        }
    }

    /// Whether congestion avoidance is to begin.
    pub(super) fn is_over(&self) -> bool {
        self.css.is_some_and(|(_, rounds)| rounds >= CSS_ROUNDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round of ten packets, each taking `rtt`; the divisors of its acknowledgements.
    fn round(hystart: &mut HyStart, now: &mut Time, rtt_ms: u64) -> u64 {
        let rtt = Duration::from_millis(rtt_ms);
        let sent = *now + Duration::from_micros(1);
        *now = *now + rtt;
        let mut divisor = 0;
        for _ in 0..10 {
            divisor = hystart.divisor(sent, *now);
            hystart.on_rtt(rtt);
        }
        divisor
    }

    #[test]
    fn a_growing_queue_ends_slow_start_after_five_careful_rounds() {
        let (mut hystart, mut now) = (HyStart::default(), Time::ZERO);
        for _ in 0..5 {
            assert_eq!(round(&mut hystart, &mut now, 50), 1);
        }
        round(&mut hystart, &mut now, 60);
        for _ in 0..4 {
            assert_eq!(round(&mut hystart, &mut now, 65), CSS_GROWTH_DIVISOR);
            assert!(!hystart.is_over());
        }
        round(&mut hystart, &mut now, 65);
        assert!(hystart.is_over());
    }

    #[test]
    fn a_jitter_that_passes_does_not() {
        let (mut hystart, mut now) = (HyStart::default(), Time::ZERO);
        round(&mut hystart, &mut now, 50);
        assert_eq!(round(&mut hystart, &mut now, 70), CSS_GROWTH_DIVISOR);
        assert_eq!(round(&mut hystart, &mut now, 50), 1);
        assert!(!hystart.is_over());
        // Less than the threshold is no sign.
        assert_eq!(round(&mut hystart, &mut now, 53), 1);
        assert_eq!(round(&mut hystart, &mut now, 53), 1);
    }
}
