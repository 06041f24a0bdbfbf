//! The timer: it goes off when it should, and not when it should not.
//!
//! Judged on the node's own clock, after that was found right. Five cases, less than a second in
//! all where everything works.

use super::World;
use super::finding::*;

/// Microseconds of a short wait; of one after which nothing more is expected; of giving up.
const SHORT_US: u64 = 50_000;
const WAIT_US: u64 = 200_000;
const NEVER_US: u64 = 5_000_000;
/// How much too late is told as a fault, and how early: a coarse tick and a busy loop are none.
const LATE_US: u64 = 1_000_000;
const EARLY_US: u64 = WAIT_US / 4;
/// 49 days, and a short wait: in 32 bits that is a short wait, whether they count micro- or
/// milliseconds.
const FAR_US: u64 = 1000 * (1 << 32) + SHORT_US;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Fires,
    Replaced,
    Stopped,
    Far,
    Past,
}

const CASES: [Case; 5] = [Case::Fires, Case::Replaced, Case::Stopped, Case::Far, Case::Past];

#[derive(Default)]
pub(super) struct Timer {
    next: usize,
    /// When the timer was set, once it was.
    set_us: Option<u64>,
    fired_us: Option<u64>,
}

impl Timer {
    /// The timer went off.
    pub(super) fn on_timeout(&mut self, world: &mut World) {
        if self.set_us.is_some() && self.fired_us.is_none() {
            self.fired_us = Some(world.now_us());
        }
    }

    /// True: all was tried, or there is no sense in going on.
    pub(super) fn step(&mut self, world: &mut World) -> bool {
        if !world.io.has_timer() {
            world.findings.tell(RIT_SELFTEST_NOTE_TIMER, 0, 0);
            return true;
        }
        let Some(case) = CASES.get(self.next).copied() else {
            world.io.set_timer(u64::MAX);
            return true;
        };
        let now_us = world.now_us();
        let Some(set_us) = self.set_us else {
            self.set_us = Some(now_us);
            set(world, case, now_us);
            return false;
        };
        let waited_us = now_us - set_us;
        let fired_after_us = self.fired_us.map(|fired_us| fired_us - set_us);
        match verdict(case, fired_after_us, waited_us) {
            Verdict::Wait => return false,
            Verdict::Right => {}
            Verdict::Wrong(code, value_us, wanted_us) => {
                // A call from inside set_timer was refused, so that nothing was due any more.
                if !world.findings.has(RIT_SELFTEST_REENTRY) {
                    world.findings.tell(code, value_us as i64, wanted_us as i64);
                }
                world.io.set_timer(u64::MAX);
                return true;
            }
        }
        *self = Timer { next: self.next + 1, ..Timer::default() };
        false
    }
}

fn set(world: &World, case: Case, now_us: u64) {
    let deadlines: &[u64] = match case {
        Case::Fires => &[now_us + WAIT_US],
        Case::Replaced => &[now_us + SHORT_US, now_us + WAIT_US],
        Case::Stopped => &[now_us + SHORT_US, u64::MAX],
        Case::Far => &[now_us.saturating_add(FAR_US)],
        Case::Past => &[now_us.saturating_sub(SHORT_US)],
    };
    deadlines.iter().for_each(|deadline_us| world.io.set_timer(*deadline_us));
}

enum Verdict {
    Wait,
    Right,
    /// The code, when it went off or how long it did not, and when it should have.
    Wrong(u32, u64, u64),
}

fn verdict(case: Case, fired_us: Option<u64>, waited_us: u64) -> Verdict {
    let (early, never, wanted_us) = match case {
        Case::Fires => (RIT_SELFTEST_TIMER_EARLY, RIT_SELFTEST_TIMER_NEVER, WAIT_US),
        Case::Replaced => (RIT_SELFTEST_TIMER_NOT_REPLACED, RIT_SELFTEST_TIMER_NEVER, WAIT_US),
        Case::Past => (RIT_SELFTEST_TIMER_EARLY, RIT_SELFTEST_TIMER_PAST, 0),
        Case::Stopped | Case::Far => {
            let (code, wanted_us) = if case == Case::Far {
                (RIT_SELFTEST_TIMER_CUT, FAR_US)
            } else {
                (RIT_SELFTEST_TIMER_NOT_STOPPED, 0)
            };
            return match fired_us {
                Some(fired_us) => Verdict::Wrong(code, fired_us, wanted_us),
                None if waited_us < WAIT_US => Verdict::Wait,
                None => Verdict::Right,
            };
        }
    };
    match fired_us {
        None if waited_us > NEVER_US => Verdict::Wrong(never, waited_us, wanted_us),
        None => Verdict::Wait,
        Some(fired_us) if fired_us + EARLY_US < wanted_us => {
            Verdict::Wrong(early, fired_us, wanted_us)
        }
        Some(fired_us) if fired_us > wanted_us + LATE_US => {
            Verdict::Wrong(RIT_SELFTEST_TIMER_LATE, fired_us, wanted_us)
        }
        Some(_) => Verdict::Right,
    }
}
