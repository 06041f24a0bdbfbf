//! Pacing (RFC 9002 §7.7): packets leave at the rate at which the window would be used up in one
//! round trip, and a little faster, instead of all at once.
//!
//! A bucket of bytes. What it holds at most is what two milliseconds of that rate make, so that a
//! timer of a millisecond is fine enough, but never less than a few packets. A sender that had
//! nothing in flight begins with a burst of the initial window, as a new one does; one that has is
//! no burstier than its timer makes it, or a full queue would drop more of it than of others.

use crate::base::Time;
use core::time::Duration;

const BURST_TIME_US: u64 = 2_000;
/// Packets the bucket holds at least and at most.
const MIN_BURST: u64 = 4;
const MAX_BURST: u64 = 256;
/// Packets it holds at least for a sender that had nothing in flight (RFC 9002 §7.7).
const FIRST_BURST: u64 = 10;

/// Larger windows are paced as this one, and longer times and round trips count as 268 s, so that
/// 64 bits hold every product: bytes gained, 2^32 × 2^28 × 5 < 2^63, and time to wait for at most
/// 128 packets of 64 KiB, 2^7 × 2^16 × 2^28 × 4 = 2^53.
const MAX_WINDOW: u64 = 1 << 32;
const MAX_TIME_US: u64 = 1 << 28;

fn in_us(time: Duration) -> u64 {
    (time.as_micros() as u64).min(MAX_TIME_US)
}

#[derive(Debug)]
pub(super) struct Pacer {
    /// The rate is window × gain a round trip (N of RFC 9002 §7.7), as a fraction.
    gain: (u64, u64),
    tokens: u64,
    filled_at: Option<Time>,
}

impl Pacer {
    /// `gain`: see `Controller::pacing_gain`; numbers up to 5.
    pub(super) fn new(gain: (u64, u64)) -> Self {
        Pacer { gain, tokens: 0, filled_at: None }
    }

    /// When the next packet of up to `mtu` bytes may leave; `None`: now. `is_idle`: nothing is in
    /// flight.
    pub(super) fn delay(
        &mut self,
        window: u64,
        rtt: Duration,
        mtu: usize,
        is_idle: bool,
        now: Time,
    ) -> Option<Time> {
        let mtu = mtu as u64;
        // The same moment, as within a batch: nothing was gained.
        if self.tokens >= mtu && self.filled_at == Some(now) {
            return None;
        }
        // A window in a round trip, both as the gain has it.
        let window = window.clamp(1, MAX_WINDOW) * self.gain.0;
        let rtt_us = in_us(rtt).max(1) * self.gain.1;
        let least = if is_idle { FIRST_BURST } else { MIN_BURST };
        let capacity = (window * BURST_TIME_US / rtt_us).clamp(least * mtu, MAX_BURST * mtu);
        let Some(filled_at) = self.filled_at else {
            (self.tokens, self.filled_at) = (capacity.max(FIRST_BURST * mtu), Some(now));
            return None;
        };
        let gained = window * in_us(now.since(filled_at)) / rtt_us;
        // Too little time for a byte is kept for later, and so is what is left of a first burst.
        if gained > 0 {
            self.tokens = self.tokens.saturating_add(gained).min(capacity.max(self.tokens));
            self.filled_at = Some(now);
        }
        if self.tokens >= mtu {
            return None;
        }
        // Half a bucket at once, rather than one wake-up for each packet.
        let missing = (capacity / 2).max(mtu) - self.tokens;
        Some(now + Duration::from_micros(missing * rtt_us / window + 1))
    }

    pub(super) fn on_sent(&mut self, bytes: u64) {
        self.tokens = self.tokens.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: usize = 1200;
    const GAIN: (u64, u64) = (5, 4);

    #[test]
    fn sends_a_burst_and_then_at_the_rate_of_the_window() {
        let (window, rtt) = (1_000_000, Duration::from_millis(100));
        let (mut pacer, mut now, mut sent) = (Pacer::new(GAIN), Time::ZERO, 0);
        let end = Time::ZERO + rtt * 10;
        while now < end {
            match pacer.delay(window, rtt, MTU, false, now) {
                None => {
                    pacer.on_sent(MTU as u64);
                    sent += MTU as u64;
                    assert!(now > Time::ZERO || sent <= 25_000, "a burst of {sent}");
                }
                Some(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        assert!((12_000_000..13_000_000).contains(&sent), "{sent}");
    }

    #[test]
    fn wakes_seldom_and_never_too_early() {
        let mut pacer = Pacer::new(GAIN);
        let rtt = Duration::from_millis(50);
        let now = Time::from_micros(5);
        assert_eq!(pacer.delay(20_000, rtt, MTU, false, now), None);
        pacer.on_sent(12_000);
        let at = pacer.delay(20_000, rtt, MTU, false, now).expect("the bucket is empty");
        assert_eq!(pacer.delay(20_000, rtt, MTU, false, at), None);
        for _ in 0..2 {
            assert_eq!(pacer.delay(20_000, rtt, MTU, false, at), None);
            pacer.on_sent(MTU as u64);
        }
        // A clock that stands still, and a round trip of nothing.
        pacer.on_sent(u64::MAX);
        assert!(pacer.delay(20_000, Duration::ZERO, MTU, false, at).is_some_and(|next| next > at));
    }

    #[test]
    fn nothing_overflows_at_the_edges() {
        for window in [0, 1, MAX_WINDOW, MAX_WINDOW + 1, u64::MAX] {
            for rtt_us in [0, 1, MAX_TIME_US, MAX_TIME_US + 1, u64::MAX] {
                for gap_us in [0, 1, MAX_TIME_US, u64::MAX] {
                    let (rtt, mtu) = (Duration::from_micros(rtt_us), 1 << 16);
                    let mut pacer = Pacer::new(GAIN);
                    let now = Time::from_micros(gap_us);
                    assert_eq!(pacer.delay(window, rtt, mtu, false, Time::ZERO), None);
                    assert!(pacer.tokens <= MAX_BURST << 16);
                    pacer.on_sent(u64::MAX);
                    if let Some(at) = pacer.delay(window, rtt, mtu, false, now) {
                        assert!(at > now || gap_us == u64::MAX);
                        // No longer than half a bucket takes at the slowest there is.
                        assert!(at.since(now).as_micros() <= 1 + (128 << (16 + 30)));
                    }
                    assert!(pacer.tokens <= MAX_BURST << 16);
                }
            }
        }
    }

    #[test]
    fn bursts_are_short_unless_nothing_was_in_flight() {
        let rtt = Duration::from_millis(50);
        let (mut pacer, mut now) = (Pacer::new(GAIN), Time::ZERO);
        let mut burst = |is_idle: bool| {
            now = now + Duration::from_secs(1);
            let mut is_first = is_idle;
            let mut count = 0;
            while pacer.delay(20_000, rtt, MTU, core::mem::take(&mut is_first), now).is_none() {
                pacer.on_sent(MTU as u64);
                count += 1;
            }
            count
        };
        assert_eq!([true, false, true, false].map(&mut burst), [10, 4, 10, 4]);
    }

    #[test]
    fn what_is_left_of_a_first_burst_is_not_taken_away() {
        let rtt = Duration::from_millis(50);
        let (mut pacer, now) = (Pacer::new(GAIN), Time::ZERO);
        assert_eq!(pacer.delay(20_000, rtt, MTU, true, now), None);
        pacer.on_sent(MTU as u64);
        let later = now + Duration::from_millis(1);
        for _ in 0..9 {
            assert_eq!(pacer.delay(20_000, rtt, MTU, false, later), None);
            pacer.on_sent(MTU as u64);
        }
        assert!(pacer.delay(20_000, rtt, MTU, false, later).is_some());
    }
}
