//! What the relay knows of one channel and its two ends.
//!
//! Owns an end's address, what may still be sent to it, and what it may still send. Decides
//! nothing else: [`super::Relay`] does.
//!
//! Invariant: to an address that has not proved to be its sender's go at most three times the
//! bytes that came from it.

use crate::base::{Path, Side, Time};
use crate::wire::relay::Claims;
use alloc::vec::Vec;
use core::time::Duration;

/// Bytes to an address not validated, for each byte from it (RFC 9000 §8).
const AMPLIFICATION: u64 = 3;
/// Bytes a second of one kbit/s.
const KBIT: u64 = 125;
/// Above this exponent a rate is none: no link is as fast.
const RATE_MAX: u8 = 32;
/// What an end may send at once, in the time its rate takes for it.
const BURST: Duration = Duration::from_millis(100);
/// The least of that, in bytes: a first window and some.
const BURST_MIN: u64 = 32 * 1024;
const MICROS: u64 = 1_000_000;

/// A datagram that waits for an end.
pub(super) struct Kept {
    pub(super) bytes: Vec<u8>,
    pub(super) until: Time,
}

/// One end that is bound.
pub(super) struct End {
    pub(super) path: Path,
    pub(super) node: [u8; 8],
    /// Of the newest bind that was taken.
    pub(super) sequence: u64,
    /// What may still be sent to an address that is not validated; none: it is.
    allowance: Option<u64>,
    bucket: Bucket,
}

impl End {
    pub(super) fn new(path: Path, claims: &Claims, sequence: u64, now: Time) -> Self {
        let bucket = Bucket::new(claims.rate, now);
        End { path, node: claims.node, sequence, allowance: Some(0), bucket }
    }

    /// It answered from `path`.
    pub(super) fn validate(&mut self, path: Path) {
        self.path = path;
        self.allowance = None;
    }

    /// As many bytes came from its address.
    pub(super) fn received(&mut self, len: usize) {
        if let Some(allowance) = &mut self.allowance {
            *allowance = allowance.saturating_add(AMPLIFICATION * len as u64);
        }
    }

    /// Whether `len` bytes may go to its address; counts them.
    pub(super) fn take_allowance(&mut self, len: usize) -> bool {
        let Some(allowance) = &mut self.allowance else { return true };
        let left = allowance.checked_sub(len as u64);
        *allowance = left.unwrap_or(*allowance);
        left.is_some()
    }

    /// Whether it may send `len` bytes now; counts them.
    pub(super) fn take_rate(&mut self, len: usize, now: Time) -> bool {
        self.bucket.take(len as u64, now)
    }
}

/// A pair of ends, of which at least one is or was bound.
pub(super) struct Channel {
    ends: [Option<End>; 2],
    kept: [Option<Kept>; 2],
    /// When a datagram last came from an end.
    pub(super) heard: Time,
    /// When it is looked after.
    pub(super) due: Time,
}

impl Channel {
    pub(super) fn new(due: Time, now: Time) -> Self {
        Channel { ends: [None, None], kept: [None, None], heard: now, due }
    }

    pub(super) fn end(&mut self, side: Side) -> &mut Option<End> {
        let [initiator, responder] = &mut self.ends;
        match side {
            Side::Initiator => initiator,
            Side::Responder => responder,
        }
    }

    /// The end at `side` and the other, if both are bound.
    pub(super) fn both(&mut self, side: Side) -> Option<(&mut End, &mut End)> {
        let [initiator, responder] = self.ends.each_mut().map(Option::as_mut);
        match side {
            Side::Initiator => initiator.zip(responder),
            Side::Responder => responder.zip(initiator),
        }
    }

    /// What waits for an end.
    pub(super) fn kept(&mut self, side: Side) -> &mut Option<Kept> {
        let [initiator, responder] = &mut self.kept;
        match side {
            Side::Initiator => initiator,
            Side::Responder => responder,
        }
    }

    /// Ends that are bound.
    pub(super) fn ends(&self) -> impl Iterator<Item = &End> {
        self.ends.iter().flatten()
    }

    /// Throws away what waited too long; how many that were.
    pub(super) fn expire_kept(&mut self, now: Time) -> usize {
        let mut expired = 0;
        for kept in &mut self.kept {
            expired += usize::from(kept.take_if(|kept| kept.until <= now).is_some());
        }
        expired
    }

    /// Payloads that wait.
    pub(super) fn kept_len(&self) -> usize {
        self.kept.iter().flatten().count()
    }

    /// When it has to be looked after, if it ends at `end`.
    pub(super) fn next_due(&self, end: Time) -> Time {
        self.kept.iter().flatten().map(|kept| kept.until).fold(end, Time::min)
    }
}

/// A token bucket, in bytes times microseconds so that nothing is lost to rounding.
struct Bucket {
    /// Bytes a second; 0: no limit.
    rate: u64,
    credit: u64,
    at: Time,
}

impl Bucket {
    fn new(exponent: u8, now: Time) -> Self {
        let is_limited = (1..=RATE_MAX).contains(&exponent);
        let rate = if is_limited { KBIT << exponent } else { 0 };
        let mut bucket = Bucket { rate, credit: 0, at: now };
        bucket.credit = bucket.size();
        bucket
    }

    fn size(&self) -> u64 {
        let burst = self.rate / (MICROS / BURST.as_micros() as u64);
        burst.max(BURST_MIN).saturating_mul(MICROS)
    }

    fn take(&mut self, len: u64, now: Time) -> bool {
        if self.rate == 0 {
            return true;
        }
        let passed = now.as_micros().saturating_sub(self.at.as_micros());
        self.at = self.at.max(now);
        let credit = self.credit.saturating_add(passed.saturating_mul(self.rate));
        self.credit = credit.min(self.size());
        let left = self.credit.checked_sub(len.saturating_mul(MICROS));
        self.credit = left.unwrap_or(self.credit);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        // 2^13 kbit/s are 1 024 000 bytes a second.
        let mut bucket = Bucket::new(13, Time::ZERO);
        let burst = 102_400;
        assert!(bucket.take(burst, Time::ZERO) && !bucket.take(1, Time::ZERO));
        let mut sent = 0;
        for ms in 1..=10_000 {
            let now = Time::from_micros(ms * 1000);
            while bucket.take(1000, now) {
                sent += 1000;
            }
        }
        assert_eq!(sent, 10_240_000);
        let late = Time::from_micros(3_600 * MICROS);
        assert!(bucket.take(burst, late) && !bucket.take(1, late), "no more than a burst is saved");
    }

    #[test]
    fn the_slowest_rate_loses_nothing_and_none_is_none() {
        let mut bucket = Bucket::new(1, Time::ZERO);
        assert!(bucket.take(BURST_MIN, Time::ZERO));
        // 250 bytes a second: asked each millisecond, a quarter of a byte.
        let taken = (1..=8000).filter(|ms| bucket.take(1, Time::from_micros(ms * 1000))).count();
        assert_eq!(taken, 2000);
        for exponent in [0, RATE_MAX + 1, u8::MAX] {
            assert!(Bucket::new(exponent, Time::ZERO).take(u64::MAX, Time::ZERO));
        }
        let mut fastest = Bucket::new(RATE_MAX, Time::ZERO);
        assert!(fastest.take(1500, Time::from_micros(u64::MAX)));
        assert!(fastest.take(1500, Time::ZERO), "time that stands still takes nothing away");
    }
}
