//! Monotonic time as the caller gives it.
//!
//! Owns the newtype only; nobody in core reads a clock.

use core::ops::Add;
use core::time::Duration;

/// A moment, in microseconds since an arbitrary start chosen by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The caller's arbitrary start.
    pub const ZERO: Time = Time(0);

    /// The moment `us` microseconds after the start.
    pub const fn from_micros(us: u64) -> Self {
        Time(us)
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`, zero if that is in the future.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The moment `duration` before this one, the start if there is none.
    pub fn before(self, duration: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Rounds up, so that a deadline is never reached before its duration has passed.
    fn add(self, rhs: Duration) -> Time {
        // Not by way of `as_nanos`: a division of 128 bits, for each packet.
        let us = rhs.as_secs().saturating_mul(1_000_000);
        let us = us.saturating_add(u64::from(rhs.subsec_nanos().div_ceil(1000)));
        Time(self.0.saturating_add(us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_rounded_up_and_never_wraps() {
        let after = |duration| (Time::from_micros(7) + duration).as_micros();
        assert_eq!(after(Duration::from_nanos(1)), 8);
        assert_eq!(after(Duration::new(2, 999_999_001)), 3_000_007);
        assert_eq!(after(Duration::new(2, 999_999_000)), 3_000_006);
        assert_eq!(after(Duration::MAX), u64::MAX);
    }
}
