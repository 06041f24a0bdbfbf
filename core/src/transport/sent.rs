//! Packets sent and not settled yet, and which frames they carried (RFC 9002 A.1).
//!
//! Two queues that only grow at the back and shrink at the front, so that steady traffic allocates
//! nothing. Packets that elicit no ACK may never be acknowledged and are not kept: what is kept is
//! bounded by the congestion window, whatever the peer does not acknowledge. Settled packets in the
//! middle wait for the front.

use super::StreamId;
use crate::base::{Time, growth};
use alloc::collections::VecDeque;
use core::ops::Range;

/// Packets, and frames of one packet, that are sent whether or not there is memory for more.
const FEW: usize = 4;

/// What to do again if its packet is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SentFrame {
    /// ACK up to this packet number; never sent again, but its arrival lets state go.
    Ack {
        largest: u64,
    },
    Crypto(Range<u64>),
    Stream {
        id: StreamId,
        range: Range<u64>,
        fin: bool,
    },
    ResetStream(StreamId),
    StopSending(StreamId),
    MaxData,
    MaxStreamData(StreamId),
    MaxStreams,
    HandshakeDone,
    AckFrequency,
    NewConnectionId(u64),
    RetireConnectionId(u64),
}

/// What loss recovery knows about an ack-eliciting packet.
#[derive(Clone, Debug)]
pub(super) struct SentPacket {
    pn: u64,
    /// Its place among the ack-eliciting ones.
    pub(super) ordinal: u64,
    pub(super) at: Time,
    pub(super) size: u16,
    /// Sent as able to carry a mark of congestion.
    pub(super) is_marked: bool,
    /// Acknowledged or declared lost.
    is_settled: bool,
    frame_count: u16,
    /// Absolute index of its first frame.
    first_frame: u64,
}

/// Send side of a packet number space.
#[derive(Default)]
pub(super) struct SentPackets {
    /// By packet number.
    packets: VecDeque<SentPacket>,
    next_pn: u64,
    next_ordinal: u64,
    frames: VecDeque<SentFrame>,
    first_frame: u64,
    outstanding: usize,
}

impl SentPackets {
    /// The number of the next packet.
    pub(super) fn next_pn(&self) -> u64 {
        self.next_pn
    }

    /// Whether an acknowledgement is awaited.
    pub(super) fn has_ack_eliciting(&self) -> bool {
        self.outstanding > 0
    }

    /// The memory that another packet needs, with what becomes of it: pieces acknowledged or lost.
    /// The first few need none to speak of.
    pub(super) fn growth(&self) -> usize {
        if self.packets.len() < FEW {
            return 0;
        }
        let packets = growth::<SentPacket>(self.packets.len(), self.packets.capacity());
        let frames = growth::<SentFrame>(self.frames.len() + FEW - 1, self.frames.capacity());
        packets + frames
    }

    /// Notes a frame of the packet that [`Self::push_packet`] will complete.
    pub(super) fn push_frame(&mut self, frame: SentFrame) {
        self.frames.push_back(frame);
    }

    /// Completes a packet from the frames pushed since the last one.
    pub(super) fn push_packet(
        &mut self,
        at: Time,
        size: u16,
        is_ack_eliciting: bool,
        is_marked: bool,
    ) {
        let pn = self.next_pn;
        self.next_pn += 1;
        let first_frame = self
            .packets
            .back()
            .map_or(self.first_frame, |last| last.first_frame + u64::from(last.frame_count));
        let kept = (first_frame - self.first_frame) as usize;
        if !is_ack_eliciting {
            self.frames.truncate(kept);
            return;
        }
        self.outstanding += 1;
        let frame_count = (self.frames.len() - kept) as u16;
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        self.packets.push_back(SentPacket {
            pn,
            ordinal,
            at,
            size,
            is_marked,
            is_settled: false,
            frame_count,
            first_frame,
        });
    }

    /// Settles packet `pn` and hands its frames out; `None` if it is settled already or unknown.
    pub(super) fn settle(
        &mut self,
        pn: u64,
        mut on_frame: impl FnMut(&SentFrame),
    ) -> Option<SentPacket> {
        let index = self.index_from(pn);
        let packet = self.packets.get_mut(index)?;
        if packet.pn != pn || packet.is_settled {
            return None;
        }
        packet.is_settled = true;
        let packet = packet.clone();
        self.outstanding -= 1;
        let start = (packet.first_frame - self.first_frame) as usize;
        for frame in self.frames.range(start..start + usize::from(packet.frame_count)) {
            on_frame(frame);
        }
        Some(packet)
    }

    /// Where `pn` is, or the next that is kept.
    fn index_from(&self, pn: u64) -> usize {
        let Some(front) = self.packets.front() else { return 0 };
        // Nearly all packets elicit an ACK, so that a number is as far behind the first as it is
        // higher; never further.
        let most = usize::try_from(pn.saturating_sub(front.pn)).unwrap_or(usize::MAX);
        let most = most.min(self.packets.len());
        let is_before = |index: usize| self.packets.get(index).is_none_or(|p| p.pn >= pn);
        if is_before(most) && (most == 0 || !is_before(most - 1)) {
            return most;
        }
        self.packets.partition_point(|packet| packet.pn < pn)
    }

    /// Outstanding packet numbers within `range`, lowest first.
    pub(super) fn outstanding(
        &self,
        range: Range<u64>,
    ) -> impl Iterator<Item = (u64, &SentPacket)> {
        let start = self.index_from(range.start);
        self.packets
            .range(start..)
            .take_while(move |packet| packet.pn < range.end)
            .filter(|packet| !packet.is_settled)
            .map(|packet| (packet.pn, packet))
    }

    /// The lowest outstanding packet number within `range`, and when it was sent.
    pub(super) fn first_outstanding(&self, range: Range<u64>) -> Option<(u64, Time)> {
        self.outstanding(range).next().map(|(pn, packet)| (pn, packet.at))
    }

    /// Calls `on_frame` for the frames of the `count` oldest outstanding packets, settling nothing.
    pub(super) fn for_oldest(&self, count: usize, mut on_frame: impl FnMut(&SentFrame)) {
        for (_, packet) in self.outstanding(0..u64::MAX).take(count) {
            let start = (packet.first_frame - self.first_frame) as usize;
            let end = start + usize::from(packet.frame_count);
            self.frames.range(start..end).for_each(&mut on_frame);
        }
    }

    /// Drops settled packets from the front.
    pub(super) fn shrink(&mut self) {
        while self.packets.front().is_some_and(|packet| packet.is_settled) {
            let Some(packet) = self.packets.pop_front() else { return };
            for _ in 0..packet.frame_count {
                self.frames.pop_front();
            }
            self.first_frame += u64::from(packet.frame_count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn frames_come_back_with_their_packet_once() {
        let mut sent = SentPackets::default();
        for i in 0..4u64 {
            sent.push_frame(SentFrame::Crypto(i..i + 1));
            sent.push_packet(Time::ZERO, 100, i != 2, false);
        }
        let mut got = Vec::new();
        assert!(sent.settle(1, |f| got.push(f.clone())).is_some());
        assert!(sent.settle(1, |_| panic!()).is_none());
        assert!(sent.settle(9, |_| panic!()).is_none());
        assert_eq!(got, [SentFrame::Crypto(1..2)]);
        assert_eq!(sent.outstanding(0..10).map(|(pn, _)| pn).collect::<Vec<_>>(), [0, 3]);
        assert!(sent.settle(0, |_| ()).is_some());
        sent.shrink();
        assert_eq!((sent.packets.len(), sent.next_pn()), (1, 4));
        got.clear();
        assert!(sent.settle(3, |f| got.push(f.clone())).is_some());
        assert_eq!(got, [SentFrame::Crypto(3..4)]);
        assert!(!sent.has_ack_eliciting());
    }

    #[test]
    fn a_packet_is_found_among_those_kept() {
        let mut sent = SentPackets::default();
        let kept = |pn: u64| !matches!(pn, 0 | 3 | 4 | 9 | 17..=40);
        for pn in 0..50 {
            sent.push_packet(Time::ZERO, 100, kept(pn), false);
        }
        for pn in 0..60 {
            let expected = sent.packets.iter().position(|packet| packet.pn >= pn);
            assert_eq!(sent.index_from(pn), expected.unwrap_or(sent.packets.len()), "{pn}");
            assert_eq!(sent.settle(pn, |_| ()).is_some(), pn < 50 && kept(pn), "{pn}");
        }
    }

    #[test]
    fn what_elicits_no_ack_is_not_kept() {
        let mut sent = SentPackets::default();
        for pn in 0..10_000 {
            sent.push_frame(SentFrame::Ack { largest: pn });
            sent.push_packet(Time::ZERO, 100, pn == 0 || pn == 9_999, false);
        }
        assert_eq!((sent.packets.len(), sent.frames.len(), sent.next_pn()), (2, 2, 10_000));
        let mut got = Vec::new();
        assert!(sent.settle(9_999, |f| got.push(f.clone())).is_some());
        assert_eq!(got, [SentFrame::Ack { largest: 9_999 }]);
    }
}
