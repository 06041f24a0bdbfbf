//! Explicit Congestion Notification (RFC 9000 §13.4): whether packets are marked as able to carry
//! it, and whether what the peer reports of them can be believed.
//!
//! Owns the state of the path in use. So that a path that drops marked packets holds nothing up,
//! the handshake goes unmarked, and so do packets that elicit no ACK, whose loss nobody notices.
//! Counting what comes is in `acks`.

use crate::base::Ecn;
use crate::wire::ack::EcnCounts;

/// Packets marked before one of them must have been acknowledged (RFC 9000 A.4).
const TEST_PACKETS: u8 = 10;
/// Probe timeouts in a row after which marks are under suspicion.
const SUSPECT_PTOS: u32 = 3;

/// What is known of the path (RFC 9000 A.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing is marked yet.
    #[default]
    Off,
    /// So many more are marked.
    Testing(u8),
    /// None is marked until one that was is acknowledged.
    Unknown,
    /// Marks arrive and are reported.
    Capable,
    /// They do not, or the reports are wrong.
    Failed,
}

/// Our side's marks and the peer's reports of them.
#[derive(Debug, Default)]
pub(super) struct EcnControl {
    state: State,
    /// The datagram at hand holds a marked packet.
    is_at_hand: bool,
    /// Packets marked, on all paths.
    marked: u64,
    /// The newest counts believed.
    reported: EcnCounts,
    /// Marked packets that the ACK at hand is the first to acknowledge.
    newly_acked: u64,
}

impl EcnControl {
    /// The path is new, or may be used for the first time.
    pub(super) fn start(&mut self) {
        self.state = State::Testing(TEST_PACKETS);
    }

    /// A packet that elicits an ACK leaves: whether it is marked.
    pub(super) fn mark(&mut self) -> bool {
        match self.state {
            State::Off | State::Unknown | State::Failed => return false,
            State::Capable => {}
            State::Testing(left) if left > 1 => self.state = State::Testing(left - 1),
            State::Testing(_) => self.state = State::Unknown,
        }
        self.marked += 1;
        self.is_at_hand = true;
        true
    }

    /// The codepoint for the datagram that holds the last packet.
    pub(super) fn take_mark(&mut self) -> Ecn {
        if core::mem::take(&mut self.is_at_hand) { Ecn::Ect0 } else { Ecn::NotEct }
    }

    /// A marked packet of the path in use was acknowledged for the first time.
    pub(super) fn on_packet_acked(&mut self) {
        self.newly_acked += 1;
    }

    /// The ACK that acknowledged those packets is processed. `is_news`: it acknowledges a higher
    /// number than any before; others come late and prove nothing (RFC 9000 §13.4.2.1). Returns
    /// whether more packets than before met congestion.
    pub(super) fn on_ack(&mut self, counts: Option<EcnCounts>, is_news: bool) -> bool {
        let newly_acked = core::mem::take(&mut self.newly_acked);
        if !is_news || matches!(self.state, State::Off | State::Failed) {
            return false;
        }
        let Some(counts) = counts else {
            if newly_acked > 0 {
                self.state = State::Failed;
            }
            return false;
        };
        let before = core::mem::replace(&mut self.reported, counts);
        // Ours are ECT(0), or CE by now. More may be reported than is acknowledged here: an ACK may
        // have been lost.
        let arrived = |counts: &EcnCounts| counts.ect0.saturating_add(counts.ce);
        let is_sound = counts.ect1 == 0
            && counts.ect0 >= before.ect0
            && counts.ce >= before.ce
            && arrived(&counts) <= self.marked
            && arrived(&counts) - arrived(&before) >= newly_acked;
        if !is_sound {
            self.state = State::Failed;
            return false;
        }
        if newly_acked > 0 {
            self.state = State::Capable;
        }
        counts.ce > before.ce
    }

    /// So many probe timeouts passed: perhaps it is marked packets that are dropped.
    pub(super) fn on_pto(&mut self, count: u32) {
        if matches!(self.state, State::Testing(_))
            || self.state == State::Capable && count >= SUSPECT_PTOS
        {
            self.state = State::Unknown;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(ect0: u64, ce: u64) -> Option<EcnCounts> {
        Some(EcnCounts { ect0, ect1: 0, ce })
    }

    /// Ten packets sent, all that a test marks.
    fn tested() -> EcnControl {
        let mut ecn = EcnControl::default();
        assert!(!ecn.mark());
        ecn.start();
        for _ in 0..TEST_PACKETS {
            assert!(ecn.mark());
            assert_eq!((ecn.take_mark(), ecn.take_mark()), (Ecn::Ect0, Ecn::NotEct));
        }
        assert!(!ecn.mark());
        ecn
    }

    fn acked(ecn: &mut EcnControl, packets: u64, counts: Option<EcnCounts>) -> bool {
        (0..packets).for_each(|_| ecn.on_packet_acked());
        ecn.on_ack(counts, true)
    }

    #[test]
    fn marks_go_on_once_one_was_reported() {
        let mut ecn = tested();
        assert!(!acked(&mut ecn, 1, counts(1, 0)));
        assert!(ecn.mark());
        assert!(acked(&mut ecn, 2, counts(2, 1)));
        assert!(!acked(&mut ecn, 1, counts(3, 1)));
        assert_eq!(ecn.state, State::Capable);
    }

    #[test]
    fn a_report_that_cannot_be_true_ends_them() {
        let ect1 = Some(EcnCounts { ect0: 5, ect1: 1, ce: 0 });
        let too_few = counts(2, 0);
        let more_than_sent = counts(10, 1);
        let fewer_than_before = counts(3, 3);
        let huge = counts(u64::MAX, u64::MAX);
        for wrong in [None, ect1, too_few, more_than_sent, fewer_than_before, huge] {
            let mut ecn = tested();
            assert!(!acked(&mut ecn, 1, counts(4, 0)), "{wrong:?}");
            assert!(!acked(&mut ecn, 2, wrong), "{wrong:?}");
            assert_eq!(ecn.state, State::Failed, "{wrong:?}");
            assert!(!acked(&mut ecn, 1, counts(5, 5)));
            assert!(!ecn.mark());
        }
        let mut ecn = tested();
        assert!(acked(&mut ecn, 2, counts(5, 5)), "all that was sent, is at the limit");
    }

    #[test]
    fn a_late_ack_proves_nothing() {
        let mut ecn = tested();
        acked(&mut ecn, 1, counts(4, 2));
        ecn.on_packet_acked();
        assert!(!ecn.on_ack(counts(1, 0), false));
        assert!(!ecn.on_ack(None, false));
        assert_eq!(ecn.state, State::Capable);
        // What it acknowledged is not asked of the next.
        assert!(!acked(&mut ecn, 0, counts(4, 2)));
        assert_eq!(ecn.state, State::Capable);
    }

    #[test]
    fn what_gets_no_answer_goes_on_unmarked() {
        let mut ecn = EcnControl::default();
        ecn.start();
        assert!(ecn.mark());
        ecn.on_pto(1);
        assert!(!ecn.mark());
        acked(&mut ecn, 1, counts(1, 0));
        assert!(ecn.mark(), "it was another's fault");
        ecn.on_pto(SUSPECT_PTOS - 1);
        assert!(ecn.mark());
        ecn.on_pto(SUSPECT_PTOS);
        assert!(!ecn.mark());
    }
}
