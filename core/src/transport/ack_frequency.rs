//! How often we ask the peer for ACKs (draft-ietf-quic-ack-frequency-11): the more packets a round
//! trip has, the fewer of them need one each.
//!
//! Owns what was asked and what would be better now. Does not own the frame's loss: the sender says
//! [`AckFrequencyControl::on_lost`].

use super::acks::MAX_ACK_DELAY;
use crate::wire::frame::AckFrequency;
use core::time::Duration;

/// Packets that one ACK covers at most, so that a lost ACK costs little.
const MAX_THRESHOLD: u64 = 32;
/// An ACK held back for more of a round trip than this makes the window grow late.
const DELAY_SHARE: u32 = 4;

/// What the peer is asked for, and what would be better.
#[derive(Debug, Default)]
pub(super) struct AckFrequencyControl {
    /// The least delay the peer can be asked for; `None`: it takes no wishes.
    min_delay: Option<Duration>,
    asked: Wish,
    sequence: u64,
    pub(super) is_pending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    threshold: u64,
    max_delay: Duration,
}

impl Default for Wish {
    /// What a peer does that was not asked (RFC 9000 §13.2.2).
    fn default() -> Self {
        Wish { threshold: 1, max_delay: MAX_ACK_DELAY }
    }
}

impl AckFrequencyControl {
    /// Takes the peer's min_ack_delay, in microseconds; 0: it takes no wishes.
    pub(super) fn start(&mut self, min_delay_us: u64) {
        self.min_delay = (min_delay_us > 0).then(|| Duration::from_micros(min_delay_us));
    }

    /// An ACK may cover so many packets, and the round trip is that. Asks anew only for twice or
    /// half as many, so that the frames stay few.
    pub(super) fn update(&mut self, covered: u64, rtt: Duration) {
        let Some(min_delay) = self.min_delay else { return };
        let covered = covered.clamp(2, MAX_THRESHOLD).next_power_of_two();
        let max_delay = (rtt / DELAY_SHARE).max(min_delay).min(MAX_ACK_DELAY);
        // A wish costs a frame: a shorter delay alone is not worth it.
        let max_delay = if covered == 2 { MAX_ACK_DELAY } else { max_delay };
        let wish = Wish { threshold: covered - 1, max_delay };
        let is_far = |new: u64, old: u64| new > old * 3 / 2 || new < old / 2 + old / 4;
        let delays = [wish, self.asked].map(|wish| wish.max_delay.as_micros() as u64);
        if is_far(covered, self.asked.threshold + 1) || is_far(delays[0], delays[1]) {
            self.asked = wish;
            self.is_pending = true;
        }
    }

    /// The frame to send now; [`Self::on_sent`] follows.
    pub(super) fn frame(&self) -> AckFrequency {
        AckFrequency {
            sequence: self.sequence,
            threshold: self.asked.threshold,
            max_delay_us: self.asked.max_delay.as_micros() as u64,
            reordering: 1,
        }
    }

    pub(super) fn on_sent(&mut self) {
        self.sequence += 1;
        self.is_pending = false;
    }

    /// Says it again; what was asked since goes instead.
    pub(super) fn on_lost(&mut self) {
        self.is_pending = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(40);

    #[test]
    fn asks_for_fewer_as_the_window_grows_and_for_more_as_it_shrinks() {
        let mut control = AckFrequencyControl::default();
        control.update(64, RTT);
        assert!(!control.is_pending, "the peer takes no wishes");
        control.start(1_000);
        control.update(1, RTT);
        assert!(!control.is_pending, "what it does anyway");
        let mut asked = std::vec::Vec::new();
        for packets in [40, 64, 70, 128, 128, 512, 4096, 100_000, 30, 20] {
            control.update(packets / 16, RTT);
            if control.is_pending {
                let frame = control.frame();
                control.on_sent();
                asked.push((packets, frame.threshold + 1, frame.max_delay_us));
            }
        }
        let delay = 10_000;
        assert_eq!(asked, [(64, 4, delay), (128, 8, delay), (512, 32, delay), (30, 2, 25_000)]);
        assert_eq!(control.sequence, 4);
    }

    #[test]
    fn delays_stay_within_what_both_ends_can() {
        let mut control = AckFrequencyControl::default();
        control.start(3_000);
        let mut delay = |rtt_us| {
            control.update(64, Duration::from_micros(rtt_us));
            control.frame().max_delay_us
        };
        assert_eq!([delay(100), delay(40_000), delay(900_000)], [3_000, 10_000, 25_000]);
    }
}
