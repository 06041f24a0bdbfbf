//! What was received in a packet number space and when to acknowledge it (RFC 9000 §13.2).

use super::error::{TransportCode, Violation};
use crate::base::{Ecn, RangeSet, Time};
use crate::wire::ack::EcnCounts;
use crate::wire::frame::AckFrequency;
use core::ops::RangeInclusive;
use core::time::Duration;

/// Ranges remembered and sent. More only appear on a path that loses or reorders heavily; the
/// oldest are forgotten, and packets in them count as duplicates from then on.
const MAX_RANGES: usize = 64;
/// Ack-eliciting packets that may wait together for an ACK (RFC 9000 §13.2.2: every second one is
/// due), unless the peer asks for another number.
const THRESHOLD: u64 = 1;
/// How long one may wait; announced as max_ack_delay.
pub(super) const MAX_ACK_DELAY: Duration = Duration::from_millis(25);
/// The least a peer may make that: what a timer is good for; announced as min_ack_delay.
pub(super) const MIN_ACK_DELAY: Duration = Duration::from_millis(1);

/// What the peer asks for (draft-ietf-quic-ack-frequency-11 §4).
struct Wish {
    /// Of the newest frame that said so.
    sequence: Option<u64>,
    threshold: u64,
    max_delay: Duration,
    /// An ACK at once for a packet out of order.
    hears_of_gaps: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Wish { sequence: None, threshold: THRESHOLD, max_delay: MAX_ACK_DELAY, hears_of_gaps: true }
    }
}

/// Receive side of a packet number space.
#[derive(Default)]
pub(super) struct Acks {
    received: RangeSet,
    /// Everything below counts as received.
    floor: u64,
    largest_at: Time,
    /// Ack-eliciting packets since the last ACK was sent.
    unacked: u64,
    wish: Wish,
    deadline: Option<Time>,
    /// Something new to tell, ack-eliciting or not.
    is_due: bool,
    ecn: EcnCounts,
    last_ecn: Ecn,
}

impl Acks {
    /// Largest received plus one: what packet number expansion expects.
    pub(super) fn expected(&self) -> u64 {
        self.received.last().map_or(self.floor, |r| r.end)
    }

    /// Whether `pn` was seen before or is too old to tell.
    pub(super) fn is_duplicate(&self, pn: u64) -> bool {
        pn < self.floor || self.received.contains(pn)
    }

    /// The memory that recording another packet needs.
    pub(super) fn growth(&self) -> usize {
        self.received.growth()
    }

    /// The peer wants more or fewer ACKs. An older wish, come late, is no news.
    pub(super) fn on_frequency(&mut self, frame: &AckFrequency) -> Result<(), Violation> {
        let max_delay = Duration::from_micros(frame.max_delay_us);
        if max_delay < MIN_ACK_DELAY {
            let reason = "asks for ACKs sooner than min_ack_delay";
            return Err(Violation::new(TransportCode::PROTOCOL, reason));
        }
        if self.wish.sequence.is_none_or(|newest| frame.sequence > newest) {
            self.wish = Wish {
                sequence: Some(frame.sequence),
                threshold: frame.threshold,
                // Longer would only hold back what the peer has waited for long enough.
                max_delay: max_delay.min(MAX_ACK_DELAY),
                // At any gap rather than at one of so many: it is no more than RFC 9000 has.
                hears_of_gaps: frame.reordering > 0,
            };
        }
        Ok(())
    }

    /// The peer wants an ACK of the packet at hand at once.
    pub(super) fn want_now(&mut self) {
        self.is_due = true;
    }

    /// Records a packet whose frames were processed.
    pub(super) fn on_received(
        &mut self,
        pn: u64,
        is_ack_eliciting: bool,
        immediate: bool,
        now: Time,
    ) {
        let expected = self.expected();
        if pn >= self.expected() {
            self.largest_at = now;
        }
        self.received.insert(pn..pn + 1);
        if self.received.range_count() > MAX_RANGES {
            if let Some(oldest) = self.received.pop_first() {
                self.floor = oldest.end;
            }
        }
        if !is_ack_eliciting {
            return;
        }
        self.unacked += 1;
        let is_gap_news = pn != expected && self.wish.hears_of_gaps;
        if immediate || is_gap_news || self.unacked > self.wish.threshold {
            self.is_due = true;
        } else if self.deadline.is_none() {
            self.deadline = Some(now + self.wish.max_delay);
        }
    }

    /// Counts the mark of a packet just recorded (RFC 9000 §13.4.1). The first of several that met
    /// congestion is told at once (draft-ietf-quic-ack-frequency-11 §6.4).
    pub(super) fn on_ecn(&mut self, ecn: Ecn, is_ack_eliciting: bool) {
        match ecn {
            Ecn::NotEct => {}
            Ecn::Ect1 => self.ecn.ect1 += 1,
            Ecn::Ect0 => self.ecn.ect0 += 1,
            Ecn::Ce => self.ecn.ce += 1,
        }
        let before = core::mem::replace(&mut self.last_ecn, ecn);
        self.is_due |= is_ack_eliciting && ecn == Ecn::Ce && before != Ecn::Ce;
    }

    /// What to report of marks, if any came.
    pub(super) fn ecn(&self) -> Option<EcnCounts> {
        (self.ecn != EcnCounts::default()).then_some(self.ecn)
    }

    /// Whether an ACK must go out now.
    pub(super) fn is_due(&self) -> bool {
        self.is_due
    }

    /// Whether an ACK may ride along with something else.
    pub(super) fn is_useful(&self) -> bool {
        self.unacked > 0
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        if self.is_due { None } else { self.deadline }
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.is_due = true;
        }
    }

    /// Microseconds since the largest packet came.
    pub(super) fn delay_us(&self, now: Time) -> u64 {
        now.since(self.largest_at).as_micros() as u64
    }

    /// Ranges to write, highest first.
    pub(super) fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u64>> + Clone + '_ {
        let set = &self.received;
        (0..set.range_count()).rev().filter_map(move |i| set.nth(i)).map(|r| r.start..=r.end - 1)
    }

    /// An ACK of everything was written.
    pub(super) fn on_sent(&mut self) {
        self.unacked = 0;
        self.deadline = None;
        self.is_due = false;
    }

    /// The peer has seen an ACK up to `largest`: older packets need not be told again.
    pub(super) fn on_ack_acked(&mut self, largest: u64) {
        let expected = self.expected();
        // The newest stays, so that there is always something to acknowledge with.
        let cut = (largest + 1).min(expected.saturating_sub(1));
        self.received.remove_below(cut);
        self.floor = self.floor.max(cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn every_second_packet_a_gap_or_the_deadline_makes_it_due() {
        let mut acks = Acks::default();
        acks.on_received(0, true, false, Time::ZERO);
        assert!(!acks.is_due());
        acks.on_received(1, true, false, Time::ZERO);
        assert!(acks.is_due());
        acks.on_sent();
        acks.on_received(2, true, false, Time::ZERO);
        acks.handle_timeout(Time::ZERO + MAX_ACK_DELAY);
        assert!(acks.is_due());
        acks.on_sent();
        acks.on_received(5, true, false, Time::ZERO);
        assert!(acks.is_due());
        assert_eq!(acks.ranges().collect::<Vec<_>>(), [5..=5, 0..=2]);
    }

    #[test]
    fn the_peer_says_how_often() {
        let wish = |sequence, threshold, max_delay_us, reordering| AckFrequency {
            sequence,
            threshold,
            max_delay_us,
            reordering,
        };
        let mut acks = Acks::default();
        assert!(acks.on_frequency(&wish(0, 3, 999, 1)).is_err());
        acks.on_frequency(&wish(5, 3, 1_000, 0)).unwrap();
        acks.on_frequency(&wish(4, 0, 25_000, 1)).unwrap();
        for pn in [0, 1, 3] {
            acks.on_received(pn, true, false, Time::ZERO);
            assert!(!acks.is_due(), "{pn}");
        }
        assert_eq!(acks.deadline(), Some(Time::ZERO + MIN_ACK_DELAY));
        acks.on_received(4, true, false, Time::ZERO);
        assert!(acks.is_due(), "the fourth");
        acks.on_sent();
        acks.on_frequency(&wish(6, 0, 60_000_000, 1)).unwrap();
        acks.on_received(5, true, false, Time::ZERO);
        assert!(acks.is_due(), "each one");
        acks.on_sent();
        acks.on_frequency(&wish(7, 9, 60_000_000, 1)).unwrap();
        acks.on_received(6, true, false, Time::ZERO);
        assert_eq!(acks.deadline(), Some(Time::ZERO + MAX_ACK_DELAY));
        acks.on_received(8, true, false, Time::ZERO);
        assert!(acks.is_due(), "a gap");
    }

    #[test]
    fn marks_are_counted_and_the_first_of_congestion_is_told_at_once() {
        let mut acks = Acks::default();
        assert_eq!(acks.ecn(), None);
        let mut is_due_after = |pn, ecn, is_ack_eliciting| {
            acks.on_received(pn, is_ack_eliciting, false, Time::ZERO);
            acks.on_ecn(ecn, is_ack_eliciting);
            let is_due = acks.is_due();
            acks.on_sent();
            is_due
        };
        assert!(!is_due_after(0, Ecn::Ect0, true));
        assert!(is_due_after(1, Ecn::Ce, true));
        assert!(!is_due_after(2, Ecn::Ce, true));
        assert!(!is_due_after(3, Ecn::Ect1, true));
        // Or two ends would acknowledge each other's ACKs for ever.
        assert!(!is_due_after(4, Ecn::Ce, false));
        assert!(!is_due_after(5, Ecn::NotEct, true));
        assert_eq!(acks.ecn(), Some(EcnCounts { ect0: 1, ect1: 1, ce: 3 }));
    }

    #[test]
    fn oldest_ranges_are_forgotten_as_duplicates() {
        let mut acks = Acks::default();
        for i in 0..=MAX_RANGES as u64 {
            acks.on_received(i * 2, true, false, Time::ZERO);
        }
        assert_eq!(acks.ranges().count(), MAX_RANGES);
        assert!(acks.is_duplicate(0));
        assert!(!acks.is_duplicate(3));
        acks.on_ack_acked(127);
        assert_eq!(acks.ranges().collect::<Vec<_>>(), [128..=128]);
        assert!(acks.is_duplicate(3));
    }
}
