//! Monotonic time as the caller gives it.
//!
//! Owns the newtype only; nobody in core reads a clock.

use core::num::NonZeroU64;
use core::ops::Add;
use core::time::Duration;

/// A moment, in microseconds since an arbitrary start chosen by the caller. The last there is comes
/// one before `u64::MAX`.
// One more than that, so that an `Option` of it takes no more memory: there are many deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(NonZeroU64);

impl Time {
    /// The caller's arbitrary start.
    pub const ZERO: Time = Time(NonZeroU64::MIN);

    /// The moment `us` microseconds after the start.
    pub const fn from_micros(us: u64) -> Self {
        Time(NonZeroU64::MIN.saturating_add(us))
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0.get() - 1
    }

    /// Time passed since `earlier`, zero if that is in the future.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// The moment `duration` before this one, the start if there is none.
    pub fn before(self, duration: Duration) -> Time {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Time::from_micros(self.as_micros().saturating_sub(us))
    }
}

impl Default for Time {
    fn default() -> Self {
        Time::ZERO
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
    fn no_deadline_takes_no_memory_beside_one() {
        assert_eq!(size_of::<Option<Time>>(), size_of::<u64>());
    }

    #[test]
    fn a_deadline_is_rounded_up_and_never_wraps() {
        let after = |duration| (Time::from_micros(7) + duration).as_micros();
        assert_eq!(after(Duration::from_nanos(1)), 8);
        assert_eq!(after(Duration::new(2, 999_999_001)), 3_000_007);
        assert_eq!(after(Duration::new(2, 999_999_000)), 3_000_006);
        assert_eq!(after(Duration::MAX), u64::MAX - 1);
        assert_eq!(Time::from_micros(u64::MAX), Time::from_micros(u64::MAX - 1));
    }
}
