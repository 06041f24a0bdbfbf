//! The clock: never back, never still, in microseconds.
//!
//! There is no second clock to compare with, so the unit is judged by work: a chain of operations,
//! each waiting for the one before, has a least time on any processor there is, and a known time
//! where the processor's frequency is given.

use super::World;
use super::finding::*;
use core::hint::black_box;

/// Readings in a row, in which halves that are read apart show.
const READINGS: u32 = 256;
/// Operations between two readings: about 3 ms on a Cortex-M at 100 MHz.
const WORK: u32 = 32_768;
/// Pieces of work that are enough to judge a clock that moves.
const PIECES: u32 = 32;
/// After so many a clock that has not moved is taken to stand still; a second on a fast machine.
const PIECES_MAX: u32 = 8192;
/// Between two readings, microseconds: half an hour.
const LEAP_US: u64 = 1_800_000_000;
/// Picoseconds that one round of `work` takes at least on anything: six operations, one after the
/// other, some of which one instruction does in pairs, at 6 GHz.
const ROUND_MIN_PS: u64 = 400;
/// And at most: 100 us.
const ROUND_MAX_PS: u64 = 100_000_000;
/// Cycles that it takes at the least and at the most; the most is flash with many wait states.
const ROUND_CYCLES_MIN: u64 = 1;
const ROUND_CYCLES_MAX: u64 = 200;

#[derive(Default)]
pub(super) struct Clock {
    pieces: u32,
    counted_us: u64,
}

/// xorshift32: nothing of it can be left out or done at once.
fn work(rounds: u32) {
    let mut x = black_box(1_u32);
    for _ in 0..rounds {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
    }
    black_box(x);
}

/// A reading that must not be far from the last.
fn near(world: &mut World, last_us: u64) -> u64 {
    let now_us = world.now_us();
    let step_us = now_us - last_us;
    if step_us > LEAP_US && !world.is_clock_wrong() {
        world.findings.tell(RIT_SELFTEST_CLOCK_LEAPS, clamp(step_us), 0);
    }
    now_us
}

fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Clock {
    /// A piece of work; true: the clock is judged.
    pub(super) fn step(&mut self, world: &mut World) -> bool {
        let mut last_us = world.now_us();
        for _ in 0..READINGS {
            last_us = near(world, last_us);
        }
        work(WORK);
        self.counted_us = self.counted_us.saturating_add(near(world, last_us) - last_us);
        self.pieces += 1;
        if world.is_clock_wrong() {
            return true;
        }
        if self.pieces < PIECES || (self.counted_us == 0 && self.pieces < PIECES_MAX) {
            return false;
        }
        self.judge(world, last_us);
        true
    }

    fn judge(&self, world: &mut World, now_us: u64) {
        let rounds = u64::from(self.pieces) * u64::from(WORK);
        // Both in cycles if the frequency is known, or both in picoseconds.
        let (least, most, counted) = match u64::from(world.config.cpu_mhz) {
            0 => (ROUND_MIN_PS, ROUND_MAX_PS, 1_000_000),
            mhz => (ROUND_CYCLES_MIN, ROUND_CYCLES_MAX, mhz),
        };
        let (least_us, most_us) = (least * rounds / counted, most * rounds / counted);
        let (code, wanted_us) = if self.counted_us == 0 {
            (RIT_SELFTEST_CLOCK_STILL, 0)
        } else if self.counted_us < least_us {
            (RIT_SELFTEST_CLOCK_SLOW, least_us)
        } else if self.counted_us > most_us {
            (RIT_SELFTEST_CLOCK_FAST, most_us)
        } else {
            return;
        };
        let is_still = code == RIT_SELFTEST_CLOCK_STILL;
        let value = if is_still { now_us } else { self.counted_us };
        world.findings.tell(code, clamp(value), clamp(wanted_us));
    }
}
