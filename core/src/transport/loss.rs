//! Loss detection and probe timeouts over all spaces (RFC 9002 §6, Appendix A).
//!
//! Owns RTT, congestion window and the loss timer. Frames of lost packets are handed to the caller.

use super::acks::MAX_ACK_DELAY;
use super::congestion::{Controller, Cubic};
use super::rtt::{GRANULARITY, RttEstimator};
use super::sent::SentFrame;
use super::space::{Space, SpaceId};
use crate::base::Time;
use alloc::boxed::Box;
use core::time::Duration;

/// kPacketThreshold (RFC 9002 §6.1.1).
const PACKET_THRESHOLD: u64 = 3;
/// Backoff stops doubling here, so that a shift cannot overflow.
const MAX_PTO_SHIFT: u32 = 12;

pub(super) struct Recovery {
    pub(super) rtt: RttEstimator,
    pub(super) controller: Box<dyn Controller>,
    pub(super) in_flight: u64,
    pub(super) pto_count: u32,
    pub(super) packets_lost: u64,
    /// The window, not the application, was what stopped the last send.
    pub(super) is_limited: bool,
}

impl Recovery {
    pub(super) fn new(mss: usize) -> Self {
        Recovery {
            rtt: RttEstimator::default(),
            controller: Box::new(Cubic::new(mss)),
            in_flight: 0,
            pto_count: 0,
            packets_lost: 0,
            is_limited: false,
        }
    }

    /// Whether the window has room for another full packet.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight < self.controller.window()
    }

    pub(super) fn on_sent(&mut self, space: &mut Space, size: u16, eliciting: bool, now: Time) {
        if eliciting {
            self.in_flight += u64::from(size);
            space.last_eliciting = Some(now);
            space.probes = space.probes.saturating_sub(1);
        }
    }

    /// Takes a range of acknowledged packet numbers, calling `on_frame` for each frame delivered.
    /// Returns when the newest of them was sent, if it is news.
    pub(super) fn on_range_acked(
        &mut self,
        space: &mut Space,
        range: core::ops::Range<u64>,
        now: Time,
        mut on_frame: impl FnMut(&SentFrame),
    ) -> Option<Time> {
        let mut newest = None;
        let mut next = range.start;
        while let Some((pn, _)) = space.sent.first_outstanding(next..range.end) {
            next = pn + 1;
            let Some(packet) = space.sent.settle(pn, &mut on_frame) else { continue };
            let size = u64::from(packet.size);
            self.in_flight = self.in_flight.saturating_sub(size);
            let (rtt, limited) = (self.rtt.smoothed(), self.is_limited);
            self.controller.on_ack(size, packet.at, rtt, limited, now);
            newest = Some(packet.at);
        }
        newest
    }

    /// Declares packets lost, calling `on_frame` for each frame to be sent again (A.10).
    pub(super) fn detect_lost(
        &mut self,
        space: &mut Space,
        now: Time,
        mut on_frame: impl FnMut(&SentFrame),
    ) {
        space.loss_time = None;
        let Some(largest) = space.largest_acked else { return };
        let delay = (self.rtt.conservative() * 9 / 8).max(GRANULARITY);
        let mut next = 0;
        while let Some((pn, at)) = space.sent.first_outstanding(next..largest + 1) {
            next = pn + 1;
            // One rounding for both, or the timer would fire before the packet counts as lost.
            let when = at + delay;
            let is_lost = when <= now || largest >= pn + PACKET_THRESHOLD;
            if !is_lost {
                space.loss_time = Some(space.loss_time.map_or(when, |t| t.min(when)));
                continue;
            }
            let Some(packet) = space.sent.settle(pn, &mut on_frame) else { continue };
            self.packets_lost += 1;
            self.in_flight = self.in_flight.saturating_sub(u64::from(packet.size));
            self.controller.on_loss(packet.at, now);
        }
        space.sent.shrink();
    }

    /// Forgets a space whose keys are discarded (RFC 9002 §6.4).
    pub(super) fn discard(&mut self, space: &mut Space) {
        let flying: u64 =
            space.sent.outstanding(0..u64::MAX).map(|(_, packet)| u64::from(packet.size)).sum();
        self.in_flight = self.in_flight.saturating_sub(flying);
        self.pto_count = 0;
        *space = Space::default();
    }

    /// Probe timeout without backoff (RFC 9002 §6.2.1). The peer may hold its ACK back only in the
    /// data space.
    pub(super) fn pto(&self, space: SpaceId) -> Duration {
        let held = if space == SpaceId::Data { MAX_ACK_DELAY } else { Duration::ZERO };
        self.rtt.pto_base() + held
    }

    fn pto_with_backoff(&self, space: SpaceId) -> Duration {
        self.pto(space) * (1 << self.pto_count.min(MAX_PTO_SHIFT))
    }

    /// When, and for which space, the loss timer fires (A.8). `is_unconfirmed` keeps an initiator
    /// probing while the responder may not send for want of a validated address (§6.2.2.1).
    pub(super) fn deadline(
        &self,
        spaces: &[Space; 2],
        is_unconfirmed: bool,
    ) -> Option<(Time, SpaceId)> {
        let each = || SpaceId::ALL.into_iter().zip(spaces);
        let loss = each().filter_map(|(id, s)| s.loss_time.map(|at| (at, id))).min_by_key(|x| x.0);
        loss.or_else(|| {
            each()
                .filter(|(id, space)| {
                    let is_locked = is_unconfirmed && *id == SpaceId::Contact;
                    space.sent.has_ack_eliciting() || (is_locked && space.keys.is_some())
                })
                .filter_map(|(id, space)| {
                    space.last_eliciting.map(|at| (at + self.pto_with_backoff(id), id))
                })
                .min_by_key(|x| x.0)
        })
    }
}
