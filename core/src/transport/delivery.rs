//! How fast a path delivers: bytes acknowledged in the last third of a second, by slots of 5 ms.
//!
//! Owns the slots and what they say: a rate, and how much may be counted on to be delivered soon.
//! Does not own what is done about it: see `delay_bounded` and `pipe`.

use crate::base::Time;
use core::time::Duration;

const SLOT_US: u64 = 5_000;
/// Whole slots that are kept, beside the one at hand.
const SLOTS: usize = 64;
/// Rates are over so long a time at most.
pub(super) const MAX_OVER: Duration = Duration::from_micros(SLOT_US * (SLOTS as u64 - 1));
/// Slots that make one of the samples that a forecast is drawn from, and how many samples.
const SAMPLE: usize = 4;
const SAMPLES: usize = SLOTS / SAMPLE - 1;

/// What was acknowledged lately.
#[derive(Clone, Debug)]
pub struct Delivery {
    slots: [u32; SLOTS],
    /// The slot at hand, counted from the start of time.
    slot: u64,
    /// Slots since the first acknowledgement, with the one at hand; no more than there are.
    used: u64,
}

impl Default for Delivery {
    fn default() -> Self {
        Delivery { slots: [0; SLOTS], slot: 0, used: 0 }
    }
}

impl Delivery {
    /// So many bytes were acknowledged.
    pub(super) fn on_acked(&mut self, bytes: u64, now: Time) {
        self.advance(now);
        let slot = &mut self.slots[(self.slot % SLOTS as u64) as usize];
        *slot = slot.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    fn advance(&mut self, now: Time) {
        let slot = since_start_us(now) / SLOT_US;
        if self.used == 0 {
            (self.slot, self.used) = (slot, 1);
        }
        let passed = slot.saturating_sub(self.slot);
        for _ in 0..passed.min(SLOTS as u64) {
            self.slot += 1;
            self.slots[(self.slot % SLOTS as u64) as usize] = 0;
        }
        self.slot = self.slot.max(slot);
        self.used = self.used.saturating_add(passed).min(SLOTS as u64);
    }

    /// Bytes that were delivered in the `count` slots before the last `skip`.
    fn sum(&self, skip: usize, count: usize) -> u64 {
        let slot = |back: usize| {
            let at = self.slot.checked_sub(back as u64)?;
            Some(u64::from(self.slots[(at % SLOTS as u64) as usize]))
        };
        (skip..skip + count).filter_map(slot).sum()
    }

    /// Bytes a second, over about the time given, [`MAX_OVER`] at most; while less than that is
    /// known, over what is known.
    pub(super) fn rate(&mut self, over: Duration, now: Time) -> u64 {
        self.advance(now);
        let whole = (over.as_micros() as u64 / SLOT_US).clamp(1, SLOTS as u64 - 1);
        let whole = whole.min(self.used.max(2) - 1);
        // The one at hand counts as far as it has gone.
        let us = whole * SLOT_US + since_start_us(now) % SLOT_US;
        self.sum(0, whole as usize + 1) * 1_000_000 / us
    }

    /// Bytes that will be delivered within `within` with a probability of about 95 %, if the path
    /// goes on as it lately did: the mean of its samples of 20 ms, less 1.64 of their standard
    /// deviations over that time (as if they were independent).
    pub(super) fn forecast(&mut self, within: Duration, now: Time) -> u64 {
        self.advance(now);
        let count = ((self.used as usize).saturating_sub(1) / SAMPLE).min(SAMPLES);
        if count == 0 {
            return 0;
        }
        let sample = |index: usize| self.sum(1 + index * SAMPLE, SAMPLE);
        let mean = (0..count).map(sample).sum::<u64>() / count as u64;
        // Less than 2^34 bytes each, so that squares are summed in 128 bits.
        let squares = |index| u128::from(sample(index).abs_diff(mean)).pow(2);
        let variance = (0..count).map(squares).sum::<u128>() / count as u128;
        let us = (within.as_micros() as u64).min(10_000_000);
        let samples = u128::from(us) * 1000 / u128::from(SLOT_US * SAMPLE as u64);
        let deviation = (variance * samples / 1000).isqrt() as u64;
        let expected = (u128::from(mean) * samples / 1000) as u64;
        expected.saturating_sub(deviation.saturating_mul(164) / 100)
    }
}

fn since_start_us(now: Time) -> u64 {
    now.since(Time::ZERO).as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_micros(ms * 1000)
    }

    const TENTH: Duration = Duration::from_millis(100);

    #[test]
    fn a_steady_path_has_its_rate_and_may_be_counted_on() {
        let mut delivery = Delivery::default();
        assert_eq!((delivery.rate(TENTH, at(0)), delivery.forecast(TENTH, at(0))), (0, 0));
        for ms in 1000..2000 {
            delivery.on_acked(1000, at(ms));
        }
        for over in [1, 20, 100, 315, 10_000].map(Duration::from_millis) {
            let rate = delivery.rate(over, at(2000));
            assert!((900_000..=1_010_000).contains(&rate), "{rate} over {over:?}");
        }
        assert_eq!(delivery.forecast(TENTH, at(2000)), 100_000);
        assert_eq!(delivery.forecast(Duration::ZERO, at(2000)), 0);
    }

    #[test]
    fn of_the_first_moments_no_more_is_said_than_is_known() {
        let mut delivery = Delivery::default();
        for ms in 1000..1020 {
            delivery.on_acked(1000, at(ms));
        }
        let rate = delivery.rate(TENTH, at(1020));
        assert!((900_000..=1_400_000).contains(&rate), "{rate}");
    }

    #[test]
    fn the_forecast_of_a_varying_path_is_cautious() {
        let mut delivery = Delivery::default();
        for ms in 0..1000 {
            let bytes = if (ms / 20) % 2 == 0 { 1900 } else { 100 };
            delivery.on_acked(bytes, at(ms));
        }
        let forecast = delivery.forecast(TENTH, at(1000));
        assert!((20_000..60_000).contains(&forecast), "{forecast}");
    }

    #[test]
    fn silence_counts_and_old_news_is_forgotten() {
        let mut delivery = Delivery::default();
        for ms in 0..1000 {
            delivery.on_acked(1000, at(ms));
        }
        assert!((450_000..600_000).contains(&delivery.rate(TENTH, at(1050))));
        assert_eq!(delivery.rate(MAX_OVER, at(1400)), 0);
        assert_eq!(delivery.forecast(TENTH, at(1400)), 0);
        delivery.on_acked(5, Time::from_micros(u64::MAX));
        assert!(delivery.rate(TENTH, Time::from_micros(u64::MAX)) > 0);
    }

    #[test]
    fn nothing_overflows_at_the_edges() {
        for us in [0, 1, 1 << 40, u64::MAX] {
            let mut delivery = Delivery::default();
            for _ in 0..3 {
                delivery.on_acked(u64::MAX, Time::from_micros(us));
                delivery.rate(Duration::MAX, Time::from_micros(us));
                delivery.forecast(Duration::MAX, Time::from_micros(us));
            }
            delivery.on_acked(u64::MAX, Time::from_micros(u64::MAX));
        }
    }
}
