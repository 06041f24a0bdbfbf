//! Asking whether the peer is still there, and keeping the way to it open while nothing is said.
//!
//! Owns when an end that but receives asks by itself. Does not own how often a quiet connection
//! does: that is the configuration's, or the caller's.

use super::connection::{Connection, State};
use super::space::SpaceId;
use crate::base::Time;
use core::time::Duration;

/// So many packets are a steady stream. Where it stops, the end that but receives asks for the
/// peer: perhaps its own address is another one now, which the peer learns by that.
const STEADY: u32 = 32;
/// A longer pause, in milliseconds, ends a stream that was none yet.
const PAUSE_MS: u32 = 1000;
const MIN_LULL: Duration = Duration::from_millis(200);

/// Notices that a steady stream stopped.
#[derive(Default)]
pub(super) struct Lull {
    /// Much came lately, and by then more should have.
    pub(super) deadline: Option<Time>,
    /// Packets without a pause, and when the last came, in milliseconds.
    in_a_row: u32,
    heard_at_ms: u32,
}

impl Lull {
    /// A packet came.
    pub(super) fn on_heard(&mut self, pto: Duration, now: Time) {
        let now_ms = (now.as_micros() / 1000) as u32;
        let pause_ms = now_ms.wrapping_sub(core::mem::replace(&mut self.heard_at_ms, now_ms));
        let before = if pause_ms < PAUSE_MS { self.in_a_row } else { 0 };
        self.in_a_row = before.saturating_add(1);
        if self.in_a_row >= STEADY {
            self.deadline = Some(now + (pto * 2).max(MIN_LULL));
        }
    }

    /// Whether a stream stopped; told once.
    pub(super) fn is_over(&mut self, now: Time) -> bool {
        let is_over = self.deadline.take_if(|at| *at <= now).is_some();
        if is_over {
            self.in_a_row = 0;
        }
        is_over
    }
}

impl Connection {
    /// Asks the peer for an acknowledgement, wherever we may be now.
    pub fn ping(&mut self) {
        if self.state == State::Established {
            self.probe();
        }
    }

    /// Shows the peer where we are, and any NAT on the way that somebody still is, in one small
    /// packet that asks for no answer: PADDING alone. Left out where something else is sent.
    pub fn show(&mut self) {
        self.control.is_to_show = self.state == State::Established && self.is_confirmed;
    }

    /// Sends PING after this long without a packet from now on, instead of what was configured;
    /// zero: never.
    pub fn set_keep_alive(&mut self, after: Duration) {
        self.config.keep_alive = after;
        if self.state == State::Established {
            self.restart_keep_alive();
        }
    }

    /// How often in a row what was sent was not acknowledged in time (RFC 9002 §6.2): 0 on a path
    /// that works.
    pub fn unanswered(&self) -> u32 {
        self.recovery.pto_count
    }

    pub(super) fn restart_keep_alive(&mut self) {
        let keep_alive = self.config.keep_alive;
        self.keep_alive_deadline = (!keep_alive.is_zero()).then(|| self.now + keep_alive);
    }

    /// How long the peer may leave something unacknowledged.
    pub(super) fn ack_timeout(&self) -> Option<Duration> {
        let floor = self.recovery.pto(SpaceId::Data) * 3;
        let asked = self.config.ack_timeout.map(|timeout| timeout.max(floor));
        asked.or_else(|| Some(self.idle_timeout()? * 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lull_is_the_end_of_many_packets_without_a_pause() {
        let at = |ms: u64| Time::ZERO + Duration::from_millis(ms);
        let pto = Duration::from_millis(150);
        let mut lull = Lull::default();
        // Pauses between them: no stream.
        (0..100).for_each(|n| lull.on_heard(pto, at(n * 1000)));
        assert_eq!(lull.deadline, None);
        (1..STEADY.into()).for_each(|n| lull.on_heard(pto, at(200_000 + n)));
        assert_eq!(lull.deadline, None);
        lull.on_heard(pto, at(200_900));
        assert_eq!(lull.deadline, Some(at(201_200)));
        assert!(!lull.is_over(at(201_199)));
        assert!(lull.is_over(at(201_200)) && !lull.is_over(at(201_200)));
        lull.on_heard(pto, at(201_201));
        assert_eq!(lull.deadline, None, "a stream of one");
    }
}
