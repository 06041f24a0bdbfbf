//! A congestion controller that bounds the delay it causes: what is in flight is what the path is
//! about to deliver, and a bounded queue.
//!
//! The window is forecast × (least round trip + target). The forecast is the larger of the rates at
//! which the path delivered over the last round trip and over two and a half of them: a short time
//! follows a link that grows faster, a long one bridges its gaps (the moving average of Winstein,
//! Sivaraman and Balakrishnan, NSDI 2013, §5.3, over two times instead of one). The target is what
//! the integrator wants; 80 ms unless told otherwise: RFC 8298 and LEDBAT++ have 60, RFC 6817 100.
//!
//! The least round trip is of the last 30 seconds. As a queue that is always there would creep into
//! it, the window is brought below it for a round trip in ten seconds in which the queue was not
//! seen empty (as BBR does), and where the queue stays long. What remains in the queue then is
//! others': beside a sender that fills it (CUBIC) this one would starve, so that it does as CUBIC
//! does until the queue is short again (as in Copa, NSDI 2018, §2.2). Where many packets are lost
//! the buffer is smaller than the target, which is lowered until few are.
//!
//! Windows are in bytes, times in microseconds, and all fit: see the limits.

use super::controller::{Congestion, Controller};
use super::cubic::Cubic;
use super::delivery::{Delivery, MAX_OVER};
use crate::base::Time;
use alloc::boxed::Box;
use core::time::Duration;

/// Packets in flight at least, so that there is something to measure by.
const FLOOR: u64 = 4;
/// Packets in flight after everything was lost (RFC 9002 §7.6.2).
const LEAST: u64 = 2;
/// Windows and rates stay below this: times a second and a half in microseconds, less than 2^53.
const MAX_WINDOW: u64 = 1 << 32;
/// The least time that a rate is taken over: some slots of [`Delivery`].
const LEAST_OVER: Duration = Duration::from_millis(40);
/// Round trips and targets count as this at most.
const MAX_TIME_US: u64 = 1 << 20;
/// Of a shorter target, bursts would be a good part.
const BURST_US: u64 = 10_000;
/// The least round trip is that of so many of these.
const EPOCH: Duration = Duration::from_secs(10);
const EPOCHS: usize = 3;
/// Others are suspected where the queue was longer than twice the target for so many round trips,
/// and for so long.
const SUSPICIOUS_ROUNDS: u32 = 3;
const SUSPICIOUS_TIME: Duration = Duration::from_millis(200);
/// Fewer packets lost than one in so many are chance, more are a small buffer.
const LOSS_SHARE: u64 = 200;
/// Parts of the target in which it is lowered and raised; and how long after a change it is raised,
/// which is about as long as CUBIC takes to come back.
const ROOM: u64 = 16;
const ROOM_TIME: Duration = Duration::from_secs(1);

/// What the window is made by.
#[derive(Clone, Debug)]
enum Mode {
    /// Twice as much each round trip, until there is a queue.
    Start,
    Bounded,
    /// As CUBIC does, beside others that fill the queue, until it is no longer than `ours` or has
    /// grown beyond `most` with nothing lost, which others would not let it.
    Competing {
        cubic: Box<Cubic>,
        ours: u64,
        most: u64,
    },
}

/// The controller.
#[derive(Clone, Debug)]
pub(super) struct DelayBounded {
    mss: u64,
    target_us: u64,
    window: u64,
    mode: Mode,
    delivery: Delivery,
    /// Least round trips in microseconds, of this epoch and those before.
    least: [u64; EPOCHS],
    epoch_since: Time,
    /// The queue was seen to be empty in this epoch.
    was_empty: bool,
    /// The window held sending back in this epoch.
    was_limited: bool,
    /// The window is kept below the path's until then.
    drain_until: Option<Time>,
    /// When the queue was last no longer than twice the target, or what is said next.
    short_at: Time,
    /// While it is found out whose the queue is: microseconds of it that are ours.
    suspicion: Option<u64>,
    round: Round,
    /// Sixteenths of the target that the buffer has room for, and since when.
    room: u64,
    room_since: Time,
    /// Packets sent before this do not count as another mark of congestion.
    recovery_start: Option<Time>,
    /// Acknowledged since the last round-trip time, and whether the window held sending back then.
    pending: u64,
    is_limited: bool,
}

/// What happened to the packets of one round trip.
#[derive(Clone, Debug, Default)]
struct Round {
    since: Time,
    acked: u64,
    lost: u64,
}

impl DelayBounded {
    pub(super) fn new(mss: usize, target: Duration) -> Self {
        let mss = (mss as u64).clamp(1, 1 << 14);
        DelayBounded {
            mss,
            target_us: (target.as_micros() as u64).clamp(1, MAX_TIME_US),
            window: mss * 10,
            mode: Mode::Start,
            delivery: Delivery::default(),
            least: [u64::MAX; EPOCHS],
            epoch_since: Time::ZERO,
            was_empty: false,
            was_limited: false,
            drain_until: None,
            short_at: Time::ZERO,
            suspicion: None,
            round: Round::default(),
            room: ROOM,
            room_since: Time::ZERO,
            recovery_start: None,
            pending: 0,
            is_limited: false,
        }
    }

    fn least_us(&self) -> u64 {
        self.least.iter().copied().min().unwrap_or(u64::MAX)
    }

    /// The queue that is aimed at: less where the buffer has no room for it, more where a round
    /// trip is so long that growth by the target alone would take forever.
    fn queue_us(&self) -> u64 {
        self.target_us.max(self.least_us() / 8) * self.room / ROOM
    }

    /// Bytes a second that the path will deliver.
    fn forecast(&mut self, now: Time) -> u64 {
        let round = Duration::from_micros(self.least_us());
        let short = round.clamp(LEAST_OVER, MAX_OVER * 2 / 5);
        let long = short * 5 / 2;
        self.delivery.rate(short, now).max(self.delivery.rate(long, now)).min(MAX_WINDOW)
    }

    fn next_epoch(&mut self, latest: u64, now: Time) {
        self.epoch_since = now;
        self.least = [latest, self.least[0], self.least[1]];
        if !core::mem::take(&mut self.was_limited) {
            // What the path carried that long ago it may not carry now (RFC 7661 §4.4.1).
            self.window /= 2;
        }
        let has_queue = !core::mem::take(&mut self.was_empty);
        if has_queue || matches!(self.mode, Mode::Competing { .. }) {
            self.drain(latest, now);
        }
    }

    /// Whether others keep the queue long.
    fn update_mode(&mut self, queue: u64, latest: u64, rate: u64, now: Time) {
        let aim = self.queue_us();
        let ours = 2 * self.target_us.max(aim);
        if queue <= self.suspicion.unwrap_or(ours) {
            (self.short_at, self.suspicion) = (now, None);
        }
        let patience = SUSPICIOUS_TIME.max(Duration::from_micros(latest) * SUSPICIOUS_ROUNDS);
        match (&self.mode, self.suspicion) {
            (Mode::Start, _) if queue > aim / 2 => self.mode = Mode::Bounded,
            // Once the window was small for long enough.
            (Mode::Bounded, Some(ours)) if self.drain_until.is_none() => {
                self.suspicion = None;
                let cubic = Box::new(Cubic::with_window(self.mss as usize, self.window));
                self.mode = Mode::Competing { cubic, ours, most: queue * 4 };
            }
            (Mode::Bounded, None) if now.since(self.short_at) > patience => {
                // On a slow path the least window is a long queue already.
                self.suspicion = Some(ours.max(self.mss * FLOOR * 1_000_000 / rate.max(1)));
                self.drain(latest, now);
            }
            (Mode::Competing { ours, most, .. }, _) if queue <= *ours || queue > *most => {
                self.mode = Mode::Bounded;
                self.short_at = now;
            }
            _ => {}
        }
    }

    /// It takes a round trip until a small window shows, and one more to see it.
    fn drain(&mut self, latest: u64, now: Time) {
        self.drain_until = Some(now + Duration::from_micros(latest * 2));
    }

    /// At the end of each round trip: what was lost in it says how large the buffer is.
    fn update_room(&mut self, latest: u64, now: Time) {
        if now.since(self.round.since) < Duration::from_micros(latest) {
            return;
        }
        let Round { acked, lost, .. } =
            core::mem::replace(&mut self.round, Round { since: now, ..Round::default() });
        if lost * LOSS_SHARE > acked {
            self.room = (self.room / 2).max(1);
            self.room_since = now;
        } else if now.since(self.room_since) > ROOM_TIME {
            self.room = (self.room + 1).min(ROOM);
            self.room_since = now;
        }
    }
}

impl Controller for DelayBounded {
    fn window(&self) -> u64 {
        self.window
    }

    fn on_ack(&mut self, bytes: u64, sent_at: Time, rtt: Duration, is_limited: bool, now: Time) {
        self.delivery.on_acked(bytes, now);
        self.pending = self.pending.saturating_add(bytes);
        self.round.acked = self.round.acked.saturating_add(bytes);
        self.is_limited |= is_limited;
        if let Mode::Competing { cubic, .. } = &mut self.mode {
            cubic.on_ack(bytes, sent_at, rtt, is_limited, now);
        }
    }

    fn on_loss(&mut self, sent_at: Time, now: Time) {
        self.round.lost += self.mss;
        if matches!(self.mode, Mode::Start) {
            self.mode = Mode::Bounded;
        }
        if let Mode::Competing { cubic, most, .. } = &mut self.mode {
            *most = u64::MAX;
            cubic.on_loss(sent_at, now);
        }
    }

    fn on_mark(&mut self, sent_at: Time, now: Time) {
        self.on_loss(sent_at, now);
        if self.recovery_start.is_none_or(|start| sent_at > start) {
            self.recovery_start = Some(now);
            self.room = (self.room / 2).max(1);
        }
    }

    fn on_persistent_congestion(&mut self) {
        self.window = self.mss * LEAST;
        self.mode = Mode::Start;
    }

    fn on_rtt(&mut self, latest: Duration, now: Time) {
        let latest = (latest.as_micros() as u64).clamp(1, MAX_TIME_US * 16);
        if now.since(self.epoch_since) > EPOCH {
            self.next_epoch(latest, now);
        }
        self.least[0] = self.least[0].min(latest);
        let least = self.least_us().min(MAX_TIME_US);
        let queue = latest.saturating_sub(least);
        self.was_empty |= queue <= self.queue_us() / 8;
        let acked = core::mem::take(&mut self.pending);
        let is_limited = core::mem::take(&mut self.is_limited);
        self.was_limited |= is_limited;
        if self.drain_until.is_some_and(|until| now >= until || self.was_empty) {
            self.drain_until = None;
        }
        let rate = self.forecast(now);
        self.update_mode(queue, latest, rate, now);
        self.update_room(latest, now);
        let path = rate * least / 1_000_000;
        let bounded = rate * (least + self.queue_us()) / 1_000_000;
        let (wanted, floor) = match &self.mode {
            _ if self.drain_until.is_some() => (path * 7 / 8, LEAST),
            Mode::Start if is_limited => (self.window.saturating_add(acked), FLOOR),
            // What the application leaves unused says nothing of the path.
            Mode::Start => (self.window, FLOOR),
            Mode::Bounded if !is_limited && queue <= self.queue_us() => {
                (bounded.max(self.window), FLOOR)
            }
            Mode::Bounded => (bounded, FLOOR),
            Mode::Competing { cubic, .. } => (bounded.max(cubic.window()), FLOOR),
        };
        self.window = wanted.clamp(self.mss * floor, MAX_WINDOW);
    }

    fn on_mss(&mut self, mss: usize) {
        self.mss = (mss as u64).clamp(1, 1 << 14);
        if let Mode::Competing { cubic, .. } = &mut self.mode {
            cubic.on_mss(mss);
        }
    }

    /// The window is the bound; what it lets go is best gone before the link has time for it, but
    /// where a burst of it would be the queue that the target forbids.
    fn pacing_gain(&self) -> (u64, u64) {
        if self.target_us < BURST_US { (5, 2) } else { (4, 1) }
    }

    fn acks_per_window(&self) -> u64 {
        64
    }

    fn delivery(&mut self) -> &mut Delivery {
        &mut self.delivery
    }

    fn congestion(&self) -> Congestion {
        Congestion::DelayBounded { target: Duration::from_micros(self.target_us) }
    }
}

#[cfg(test)]
mod tests;
