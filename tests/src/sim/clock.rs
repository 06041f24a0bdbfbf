//! A host's clock, which runs a little fast or slow.
//!
//! Owns the map between the world's time and the host's. Invariant: it never jumps, and a deadline
//! of the host is reached when the world says it is.

use rit_core::base::Time;
use std::time::Duration;

const MILLION: i128 = 1_000_000;

/// Tells the host's time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    drift_ppm: i32,
    /// The world's time when the drift was set, and the host's.
    set_at: (Time, Time),
}

impl Clock {
    /// From `now` on it gains so many microseconds per second; below zero it loses them.
    pub fn set_drift(&mut self, drift_ppm: i32, now: Time) {
        assert!(drift_ppm > -500_000, "a clock that hardly runs");
        self.set_at = (now, self.local(now));
        self.drift_ppm = drift_ppm;
    }

    /// The host's time at the world's.
    pub fn local(&self, now: Time) -> Time {
        // Most hosts' clocks do not drift, and this is asked for every datagram.
        if self.drift_ppm == 0 {
            return self.set_at.1 + now.since(self.set_at.0);
        }
        let passed = i128::from(now.since(self.set_at.0).as_micros() as u64);
        let passed = passed * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        self.set_at.1 + Duration::from_micros(passed as u64)
    }

    /// The first moment of the world at which the host's clock has reached `local`.
    pub fn when(&self, local: Time) -> Time {
        if self.drift_ppm == 0 {
            return self.set_at.0 + local.since(self.set_at.1);
        }
        let rate = MILLION + i128::from(self.drift_ppm);
        let ahead = i128::from(local.since(self.set_at.1).as_micros() as u64) * MILLION;
        let us = (ahead + rate - 1) / rate;
        self.set_at.0 + Duration::from_micros(u64::try_from(us).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_comes_when_the_clock_shows_it_and_not_before() {
        for drift in [-300_000, -100, -1, 0, 1, 100, 300_000] {
            let mut clock = Clock::default();
            clock.set_drift(drift, Time::from_micros(1_234_567));
            assert_eq!(clock.local(Time::from_micros(1_234_567)), Time::from_micros(1_234_567));
            for us in (1_234_568..2_000_000).step_by(997).chain([9_999_999_999, 10_000_000_001]) {
                let local = Time::from_micros(us);
                let when = clock.when(local);
                assert!(clock.local(when) >= local, "{drift} {us}");
                let before = when.before(Duration::from_micros(1));
                assert!(clock.local(before) < local, "{drift} {us}");
            }
        }
    }

    #[test]
    fn a_fast_clock_gains_what_was_said_and_never_jumps() {
        let mut clock = Clock::default();
        clock.set_drift(100, Time::ZERO);
        assert_eq!(clock.local(Time::from_micros(10_000_000)).as_micros(), 10_001_000);
        clock.set_drift(-100, Time::from_micros(10_000_000));
        assert_eq!(clock.local(Time::from_micros(10_000_000)).as_micros(), 10_001_000);
        assert_eq!(clock.local(Time::from_micros(20_000_000)).as_micros(), 20_000_000);
        assert_eq!(clock.when(Time::from_micros(u64::MAX)), Time::from_micros(u64::MAX));
    }
}
