//! Packets sent and not settled yet, and which frames they carried (RFC 9002 A.1).
//!
//! Two queues that only grow at the back and shrink at the front, so that steady traffic allocates
//! nothing. Packet numbers are contiguous; settled packets in the middle wait for the front.

use super::StreamId;
use crate::base::Time;
use alloc::collections::VecDeque;
use core::ops::Range;

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
}

/// A packet's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Outstanding,
    Settled,
}

/// What loss recovery knows about a packet.
#[derive(Clone, Debug)]
pub(super) struct SentPacket {
    pub(super) at: Time,
    pub(super) size: u16,
    pub(super) is_ack_eliciting: bool,
    status: Status,
    frame_count: u16,
    /// Absolute index of its first frame.
    first_frame: u64,
}

/// Send side of a packet number space.
#[derive(Default)]
pub(super) struct SentPackets {
    packets: VecDeque<SentPacket>,
    first_pn: u64,
    frames: VecDeque<SentFrame>,
    first_frame: u64,
    /// Outstanding ack-eliciting packets.
    eliciting: usize,
}

impl SentPackets {
    /// The number of the next packet.
    pub(super) fn next_pn(&self) -> u64 {
        self.first_pn + self.packets.len() as u64
    }

    /// Whether an acknowledgement is awaited.
    pub(super) fn has_ack_eliciting(&self) -> bool {
        self.eliciting > 0
    }

    /// Notes a frame of the packet that [`Self::push_packet`] will complete.
    pub(super) fn push_frame(&mut self, frame: SentFrame) {
        self.frames.push_back(frame);
    }

    /// Completes a packet from the frames pushed since the last one.
    pub(super) fn push_packet(&mut self, at: Time, size: u16, is_ack_eliciting: bool) {
        let behind = self
            .packets
            .back()
            .map_or(self.first_frame, |last| last.first_frame + u64::from(last.frame_count));
        let end = self.first_frame + self.frames.len() as u64;
        // A packet that elicits no ACK may never be acknowledged; waiting for it would block the
        // front.
        let status = if is_ack_eliciting { Status::Outstanding } else { Status::Settled };
        self.eliciting += usize::from(is_ack_eliciting);
        self.packets.push_back(SentPacket {
            at,
            size,
            is_ack_eliciting,
            status,
            frame_count: (end - behind) as u16,
            first_frame: behind,
        });
        self.shrink();
    }

    /// Settles packet `pn` and hands its frames out; `None` if it is settled already or unknown.
    pub(super) fn settle(
        &mut self,
        pn: u64,
        mut on_frame: impl FnMut(&SentFrame),
    ) -> Option<SentPacket> {
        let index = usize::try_from(pn.checked_sub(self.first_pn)?).ok()?;
        let packet = self.packets.get_mut(index)?;
        if packet.status == Status::Settled {
            return None;
        }
        packet.status = Status::Settled;
        let packet = packet.clone();
        self.eliciting -= usize::from(packet.is_ack_eliciting);
        let start = (packet.first_frame - self.first_frame) as usize;
        for frame in self.frames.range(start..start + usize::from(packet.frame_count)) {
            on_frame(frame);
        }
        Some(packet)
    }

    /// Outstanding packet numbers within `range`, lowest first.
    pub(super) fn outstanding(
        &self,
        range: Range<u64>,
    ) -> impl Iterator<Item = (u64, &SentPacket)> {
        let len = self.packets.len() as u64;
        let start = range.start.saturating_sub(self.first_pn).min(len);
        let end = range.end.saturating_sub(self.first_pn).min(len).max(start);
        let numbers = self.first_pn + start..;
        numbers
            .zip(self.packets.range(start as usize..end as usize))
            .filter(|(_, packet)| packet.status == Status::Outstanding)
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

    /// The lowest packet number not settled.
    pub(super) fn first_pn(&self) -> u64 {
        self.first_pn
    }

    /// Drops settled packets from the front.
    pub(super) fn shrink(&mut self) {
        while self.packets.front().is_some_and(|p| p.status == Status::Settled) {
            let Some(packet) = self.packets.pop_front() else { return };
            self.frames.drain(..usize::from(packet.frame_count));
            self.first_frame += u64::from(packet.frame_count);
            self.first_pn += 1;
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
            sent.push_packet(Time::ZERO, 100, i != 2);
        }
        let mut got = Vec::new();
        assert!(sent.settle(1, |f| got.push(f.clone())).is_some());
        assert!(sent.settle(1, |_| panic!()).is_none());
        assert!(sent.settle(9, |_| panic!()).is_none());
        assert_eq!(got, [SentFrame::Crypto(1..2)]);
        assert_eq!(sent.outstanding(0..10).map(|(pn, _)| pn).collect::<Vec<_>>(), [0, 3]);
        assert!(sent.settle(0, |_| ()).is_some());
        sent.shrink();
        assert_eq!((sent.first_pn(), sent.next_pn()), (3, 4));
        got.clear();
        assert!(sent.settle(3, |f| got.push(f.clone())).is_some());
        assert_eq!(got, [SentFrame::Crypto(3..4)]);
        assert!(!sent.has_ack_eliciting());
    }
}
