//! Loss detection and probe timeouts over all spaces (RFC 9002 §6, Appendix A).
//!
//! Owns RTT, congestion window and the loss timer. Frames of lost packets are handed to the caller.

use super::acks::MAX_ACK_DELAY;
use super::controller::{Congestion, Controller};
use super::cubic::Cubic;
#[cfg(feature = "media")]
use super::delay_bounded::DelayBounded;
use super::ecn::EcnControl;
use super::mtu::MtuDiscovery;
use super::pacer::Pacer;
use super::rtt::{GRANULARITY, RttEstimator};
use super::sent::{SentFrame, SentPacket};
use super::space::{Space, SpaceId, Spaces};
use crate::base::Time;
use alloc::boxed::Box;
use core::time::Duration;

/// kPacketThreshold (RFC 9002 §6.1.1).
const PACKET_THRESHOLD: u64 = 3;
/// kPersistentCongestionThreshold (RFC 9002 §7.6.1).
const PERSISTENT_CONGESTION_THRESHOLD: u32 = 3;
/// Backoff stops doubling here, so that a shift cannot overflow.
const MAX_PTO_SHIFT: u32 = 12;
/// Probes are no further apart than this, unless the probe timeout itself is longer: after an
/// outage that the idle timeout bears, traffic goes on within seconds.
const MAX_PTO: Duration = Duration::from_secs(4);

/// How long a stream may wait for its turn where the round trip is shorter.
const ROUND: Duration = Duration::from_millis(10);

/// The longest time in which all that was sent was lost.
#[derive(Default)]
struct LostRun {
    /// When the first of the packets lost one after the other was sent, and the last one's ordinal.
    current: Option<(Time, u64)>,
    longest: Duration,
}

impl LostRun {
    fn add(&mut self, packet: &SentPacket) {
        let start = match self.current {
            Some((start, last)) if packet.ordinal == last + 1 => start,
            _ => packet.at,
        };
        self.current = Some((start, packet.ordinal));
        self.longest = self.longest.max(packet.at.since(start));
    }
}

pub(super) struct Recovery {
    pub(super) rtt: RttEstimator,
    pub(super) controller: Box<dyn Controller>,
    pub(super) mtu: MtuDiscovery,
    pub(super) ecn: EcnControl,
    pacer: Pacer,
    /// Something waits for the pacer until then.
    pub(super) paced_until: Option<Time>,
    pub(super) in_flight: u64,
    pub(super) pto_count: u32,
    first_sample_at: Option<Time>,
    /// Since when the path is the one it is: what was sent before says nothing of it.
    path_since: Time,
    pub(super) packets_lost: u64,
    /// The window, not the application, was what stopped the last send.
    pub(super) is_limited: bool,
}

impl Recovery {
    pub(super) fn new(mss: usize, congestion: Congestion) -> Self {
        let controller = controller(congestion, mss);
        Recovery {
            rtt: RttEstimator::default(),
            pacer: Pacer::new(controller.pacing_gain()),
            controller,
            mtu: MtuDiscovery::new(mss),
            ecn: EcnControl::default(),
            paced_until: None,
            in_flight: 0,
            pto_count: 0,
            first_sample_at: None,
            path_since: Time::ZERO,
            packets_lost: 0,
            is_limited: false,
        }
    }

    /// Another path: begins as on a new connection (RFC 9000 §9.4).
    pub(super) fn on_path_change(&mut self, base: usize, now: Time) {
        let mut mtu = core::mem::replace(&mut self.mtu, MtuDiscovery::new(base));
        mtu.restart();
        let mut ecn = core::mem::take(&mut self.ecn);
        ecn.start();
        let (packets_lost, same) = (self.packets_lost, self.controller.congestion());
        *self = Recovery { mtu, ecn, packets_lost, path_since: now, ..Recovery::new(base, same) };
    }

    /// Sends by another controller, which begins as on a new connection.
    #[cfg(feature = "media")]
    pub(super) fn set_congestion(&mut self, congestion: Congestion) {
        if congestion != self.controller.congestion() {
            self.controller = controller(congestion, self.mtu.current());
            self.pacer = Pacer::new(self.controller.pacing_gain());
        }
    }

    /// Whether the window has room for another full packet.
    pub(super) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Bytes that the window lets go. A path MTU probe takes none of it: one larger than a small
    /// window would hold up all else, and only what is sent after it tells that it was lost.
    pub(super) fn room(&self) -> u64 {
        let counted = self.in_flight.saturating_sub(self.mtu.probe_size());
        self.controller.window().saturating_sub(counted)
    }

    /// Full packets that one ACK may cover.
    pub(super) fn packets_per_ack(&self) -> u64 {
        self.controller.window() / self.mtu.current() as u64 / self.controller.acks_per_window()
    }

    /// Bytes in which each of the streams that share is to have a turn: what leaves in half a round
    /// trip, or in [`ROUND`] where that is more.
    pub(super) fn round(&self) -> u64 {
        let (window, rtt) = (self.controller.window(), self.rtt.smoothed().as_micros() as u64);
        (window / 2).max(window.saturating_mul(ROUND.as_micros() as u64) / rtt.max(1))
    }

    /// Whether a packet may leave now, as far as its pace is concerned.
    pub(super) fn is_paced(&mut self, now: Time) -> bool {
        // Without a round-trip time there is no pace; the initial window is a burst anyway.
        self.paced_until = if self.rtt.has_sample() {
            let (window, rtt) = (self.controller.window(), self.rtt.smoothed());
            let (mtu, is_idle) = (self.mtu.current(), self.in_flight == 0);
            self.pacer.delay(window, rtt, mtu, is_idle, now)
        } else {
            None
        };
        self.paced_until.is_none()
    }

    pub(super) fn on_sent(&mut self, space: &mut Space, size: u16, eliciting: bool, now: Time) {
        if eliciting {
            self.in_flight += u64::from(size);
            self.pacer.on_sent(u64::from(size));
            space.last_eliciting = Some(now);
            space.probes = space.probes.saturating_sub(1);
        }
    }

    /// Takes a range of acknowledged packet numbers, calling `on_frame` for each frame delivered.
    /// Returns the newest of them and when it was sent, if it is news.
    pub(super) fn on_range_acked(
        &mut self,
        space: &mut Space,
        range: core::ops::Range<u64>,
        now: Time,
        mut on_frame: impl FnMut(&SentFrame),
    ) -> Option<(u64, Time)> {
        let mut newest = None;
        let mut next = range.start;
        while let Some((pn, _)) = space.sent.first_outstanding(next..range.end) {
            next = pn + 1;
            let Some(packet) = space.sent.settle(pn, &mut on_frame) else { continue };
            if packet.at < self.path_since {
                continue;
            }
            let size = u64::from(packet.size);
            self.in_flight = self.in_flight.saturating_sub(size);
            let (rtt, limited) = (self.rtt.smoothed(), self.is_limited);
            self.controller.on_ack(size, packet.at, rtt, limited, now);
            if packet.is_marked {
                self.ecn.on_packet_acked();
            }
            if self.mtu.on_acked(pn, usize::from(packet.size)) {
                self.controller.on_mss(self.mtu.current());
            }
            newest = Some((pn, packet.at));
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
        let mtu = self.mtu.current();
        let mut run = LostRun::default();
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
            if packet.at < self.path_since {
                self.packets_lost += 1;
                continue;
            }
            self.in_flight = self.in_flight.saturating_sub(u64::from(packet.size));
            if self.mtu.on_lost(pn, usize::from(packet.size)) {
                continue;
            }
            self.packets_lost += 1;
            self.controller.on_loss(packet.at, now);
            // What was sent before the first sample does not count.
            if self.first_sample_at.is_some_and(|first| packet.at > first) {
                run.add(&packet);
            }
        }
        if run.longest > self.pto(SpaceId::Data) * PERSISTENT_CONGESTION_THRESHOLD {
            self.controller.on_persistent_congestion();
        }
        if self.mtu.current() != mtu {
            self.controller.on_mss(self.mtu.current());
        }
        space.sent.shrink();
    }

    /// A packet sent at `sent_at` was acknowledged: a round-trip time.
    pub(super) fn on_rtt(&mut self, sent_at: Time, ack_delay: Duration, now: Time) {
        if sent_at < self.path_since {
            return;
        }
        let latest = now.since(sent_at);
        self.first_sample_at = self.first_sample_at.or(Some(now));
        self.rtt.on_sample(latest, ack_delay);
        self.controller.on_rtt(latest, now);
    }

    /// A packet met congestion, which the path told rather than dropping it. `sent_at` is when the
    /// newest of those acknowledged with it was sent (RFC 9002 B.7).
    pub(super) fn on_congestion(&mut self, sent_at: Time, now: Time) {
        self.controller.on_mark(sent_at, now);
    }

    /// A probe timeout fired.
    pub(super) fn on_pto(&mut self) {
        self.pto_count += 1;
        self.mtu.on_pto(self.pto_count);
        self.ecn.on_pto(self.pto_count);
        self.controller.on_mss(self.mtu.current());
    }

    /// A space's keys are discarded, and it with them (RFC 9002 §6.4).
    pub(super) fn on_discarded(&mut self, space: &Space) {
        let flying: u64 =
            space.sent.outstanding(0..u64::MAX).map(|(_, packet)| u64::from(packet.size)).sum();
        self.in_flight = self.in_flight.saturating_sub(flying);
        self.pto_count = 0;
    }

    /// Probe timeout without backoff (RFC 9002 §6.2.1). The peer may hold its ACK back only in the
    /// data space.
    pub(super) fn pto(&self, space: SpaceId) -> Duration {
        let held = if space == SpaceId::Data { MAX_ACK_DELAY } else { Duration::ZERO };
        self.rtt.pto_base() + held
    }

    fn pto_with_backoff(&self, space: SpaceId) -> Duration {
        let base = self.pto(space);
        (base * (1 << self.pto_count.min(MAX_PTO_SHIFT))).min(base.max(MAX_PTO))
    }

    /// When, and for which space, the loss timer fires (A.8). `is_unconfirmed` keeps an initiator
    /// probing while the responder may not send for want of a validated address (§6.2.2.1), and
    /// the client of TLS from wasting probes on data that the server does not take yet (§6.2.1).
    pub(super) fn deadline(
        &self,
        spaces: &Spaces,
        is_unconfirmed: bool,
    ) -> Option<(Time, SpaceId)> {
        let mut first = None;
        for (id, space) in spaces.iter() {
            first = sooner(first, space.loss_time, id);
        }
        if first.is_some() {
            return first;
        }
        for (id, space) in spaces.iter() {
            let is_armed = if is_unconfirmed {
                id == SpaceId::Contact && space.keys.is_some()
            } else {
                space.sent.has_ack_eliciting()
            };
            if let (true, Some(last)) = (is_armed, space.last_eliciting) {
                first = sooner(first, Some(last + self.pto_with_backoff(id)), id);
            }
        }
        first
    }
}

/// The controller of this kind, for packets of `mss` bytes.
fn controller(congestion: Congestion, mss: usize) -> Box<dyn Controller> {
    match congestion {
        Congestion::Cubic => Box::new(Cubic::new(mss)),
        #[cfg(feature = "media")]
        Congestion::DelayBounded { target } => Box::new(DelayBounded::new(mss, target)),
    }
}

/// The sooner of two timers; the first, if both are as soon.
fn sooner(
    first: Option<(Time, SpaceId)>,
    other: Option<Time>,
    id: SpaceId,
) -> Option<(Time, SpaceId)> {
    match (first, other) {
        (Some((at, _)), Some(other)) if at <= other => first,
        (_, Some(other)) => Some((other, id)),
        (_, None) => first,
    }
}
