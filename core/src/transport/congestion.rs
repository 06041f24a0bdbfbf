//! Congestion control behind one trait; CUBIC (RFC 9438) is the default.
//!
//! Windows are in bytes. Arithmetic is plain IEEE addition, multiplication and division, so every
//! target computes the same.

use super::hystart::HyStart;
use crate::base::Time;
use core::time::Duration;

/// What loss recovery tells, and asks of, a congestion controller (RFC 9002 §7).
pub trait Controller: Send {
    /// Bytes that may be in flight.
    fn window(&self) -> u64;
    /// A packet sent at `sent_at` was acknowledged. `is_limited` tells whether the window, rather
    /// than the application, held sending back.
    fn on_ack(&mut self, bytes: u64, sent_at: Time, rtt: Duration, is_limited: bool, now: Time);
    /// A packet sent at `sent_at` was lost.
    fn on_loss(&mut self, sent_at: Time, now: Time);
    /// Everything sent in a long time was lost (RFC 9002 §7.6).
    fn on_persistent_congestion(&mut self);
    /// A round-trip time was measured.
    fn on_rtt(&mut self, latest: Duration);
    /// Packets have `mss` bytes from now on.
    fn on_mss(&mut self, mss: usize);
}

/// C of RFC 9438 §5, in segments per second cubed.
const C: f64 = 0.4;
/// beta_cubic of RFC 9438 §4.6.
const BETA: f64 = 0.7;
/// alpha_cubic of RFC 9438 §4.3, until the window is what it was: 3 × (1 - β) / (1 + β).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// Ten packets, unless they are large (RFC 9002 §7.2).
fn initial_window(mss: f64) -> f64 {
    (mss * 10.0).min((mss * 2.0).max(14_720.0))
}

/// CUBIC.
#[derive(Clone, Debug)]
pub struct Cubic {
    mss: f64,
    /// The part of the window that was there from the start.
    initial: f64,
    window: f64,
    ssthresh: f64,
    w_max: f64,
    /// Where the cubic curve is flat: `w_max`, or the window where that is larger already.
    origin: f64,
    /// Seconds to grow back to `origin`.
    k: f64,
    w_est: f64,
    /// The window before it was last reduced.
    prior: f64,
    epoch: Option<Time>,
    /// Packets sent before this do not count as a new loss.
    recovery_start: Option<Time>,
    slow_start: HyStart,
}

impl Cubic {
    /// Starts with the initial window for packets of `mss` bytes (RFC 9002 §7.2).
    pub fn new(mss: usize) -> Self {
        let mss = mss as f64;
        Cubic {
            mss,
            initial: initial_window(mss),
            window: initial_window(mss),
            ssthresh: f64::INFINITY,
            w_max: 0.0,
            origin: 0.0,
            k: 0.0,
            w_est: 0.0,
            prior: 0.0,
            epoch: None,
            recovery_start: None,
            slow_start: HyStart::default(),
        }
    }

    /// Growth along the curve starts here, from the window as it is. After a reduction that is when
    /// it was made, not a round trip later when recovery ends (RFC 9438 §4.2 would have it so): the
    /// curve is to say how long ago the path was full, and others count alike.
    fn begin_epoch(&mut self, now: Time) {
        self.origin = self.w_max.max(self.window);
        self.k = cbrt((self.origin - self.window) / self.mss / C);
        self.w_est = self.window;
        self.epoch = Some(now);
    }

    fn avoid_congestion(&mut self, bytes: f64, rtt: Duration, now: Time) {
        let epoch = self.epoch.unwrap_or(now);
        if self.epoch.is_none() {
            self.begin_epoch(now);
        }
        let t = now.since(epoch).as_secs_f64() + rtt.as_secs_f64() - self.k;
        let target = (self.origin + C * t * t * t * self.mss).clamp(self.window, self.window * 1.5);
        let alpha = if self.w_est < self.prior { ALPHA } else { 1.0 };
        self.w_est += alpha * self.mss * bytes / self.window;
        if self.w_est > target {
            self.window = self.window.max(self.w_est);
        } else {
            self.window += (target - self.window) * bytes / self.window;
        }
    }
}

impl Controller for Cubic {
    fn window(&self) -> u64 {
        self.window as u64
    }

    fn on_ack(&mut self, bytes: u64, sent_at: Time, rtt: Duration, is_limited: bool, now: Time) {
        if self.recovery_start.is_some_and(|start| sent_at <= start) {
            return;
        }
        if !is_limited {
            // An idle sender learns nothing about the path; growth restarts from here.
            self.epoch = None;
            return;
        }
        if self.window < self.ssthresh {
            self.window += bytes as f64 / self.slow_start.divisor(sent_at, now);
            if self.slow_start.is_over() {
                self.ssthresh = self.window;
            }
        } else {
            self.avoid_congestion(bytes as f64, rtt, now);
        }
    }

    fn on_loss(&mut self, sent_at: Time, now: Time) {
        if self.recovery_start.is_some_and(|start| sent_at <= start) {
            return;
        }
        self.recovery_start = Some(now);
        self.prior = self.window;
        // Fast convergence (RFC 9438 §4.7): leave room for a newcomer.
        self.w_max =
            if self.window < self.w_max { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.window = (self.window * BETA).max(self.mss * 2.0);
        self.ssthresh = self.window;
        self.begin_epoch(now);
    }

    fn on_persistent_congestion(&mut self) {
        self.window = self.mss * 2.0;
        self.epoch = None;
        self.recovery_start = None;
    }

    fn on_rtt(&mut self, latest: Duration) {
        if self.window < self.ssthresh {
            self.slow_start.on_rtt(latest);
        }
    }

    fn on_mss(&mut self, mss: usize) {
        let mss = mss as f64;
        if self.ssthresh.is_infinite() {
            // The initial window is computed anew (RFC 9002 §7.2); larger once, not each time.
            let initial = self.initial.max(initial_window(mss));
            self.window += initial - core::mem::replace(&mut self.initial, initial);
        }
        self.mss = mss;
        self.window = self.window.max(self.mss * 2.0);
    }
}

/// Cube root by Newton's method: `core` has none.
fn cbrt(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let mut root = if x > 1.0 { x / 3.0 + 1.0 } else { 1.0 };
    for _ in 0..200 {
        let next = (2.0 * root + x / (root * root)) / 3.0;
        if next >= root {
            break;
        }
        root = next;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    #[test]
    fn cube_roots() {
        for x in [0.001, 0.5, 1.0, 8.0, 27.0, 1e9] {
            assert!((cbrt(x) - f64::cbrt(x)).abs() < 1e-6 * f64::cbrt(x), "{x}");
        }
    }

    #[test]
    fn slow_start_then_one_cut_per_round_then_growth_past_the_old_window() {
        let at = |ms: u64| Time::from_micros(ms * 1000);
        let mut cubic = Cubic::new(1200);
        cubic.on_ack(12_000, at(1), RTT, true, at(51));
        assert_eq!(cubic.window(), 24_000);
        cubic.on_ack(12_000, at(1), RTT, false, at(51));
        assert_eq!(cubic.window(), 24_000);
        cubic.on_loss(at(60), at(100));
        cubic.on_loss(at(70), at(101));
        assert_eq!(cubic.window(), 16_800);
        for ms in 0..6000 {
            let now = at(200 + ms);
            cubic.on_ack(cubic.window() / 50, now, RTT, true, now);
        }
        assert!(cubic.window() > 24_000);
        for i in 0..40 {
            cubic.on_loss(at(10_000 + i * 100), at(10_050 + i * 100));
        }
        assert_eq!(cubic.window(), 2400);
    }

    /// As if all the time: a window acknowledged each round trip.
    fn grow(cubic: &mut Cubic, rounds: u32, now: &mut Time, rtt: Duration) -> f64 {
        let before = cubic.window;
        for _ in 0..rounds {
            *now = *now + rtt;
            let (whole, mut acked) = (cubic.window(), 0);
            while acked < whole {
                cubic.on_ack(1200, *now, rtt, true, *now);
                acked += 1200;
            }
        }
        (cubic.window - before) / cubic.mss / f64::from(rounds)
    }

    #[test]
    fn where_renos_growth_leads_it_is_full_once_the_old_window_is_reached() {
        // So short a round trip that the curve is no matter.
        let rtt = Duration::from_millis(1);
        let mut cubic = Cubic::new(1200);
        let mut now = Time::from_micros(1_000);
        cubic.window = 60_000.0;
        cubic.on_loss(now, now);
        let first = grow(&mut cubic, 20, &mut now, rtt);
        assert!((0.5..0.6).contains(&first), "{first}");
        grow(&mut cubic, 10, &mut now, rtt);
        assert!(cubic.window > 60_000.0);
        let then = grow(&mut cubic, 20, &mut now, rtt);
        assert!((0.95..1.1).contains(&then), "{then}");
        // The same with a lower peak to come back to: what counts is the window, not w_max.
        cubic.on_loss(now, now);
        now = now + rtt;
        cubic.on_loss(now, now);
        let again = grow(&mut cubic, 10, &mut now, rtt);
        assert!((0.5..0.6).contains(&again), "{again}");
    }

    #[test]
    fn the_curve_begins_with_the_reduction() {
        let mut cubic = Cubic::new(1200);
        cubic.window = 1_200_000.0;
        let lost_at = Time::from_micros(1_000_000);
        cubic.on_loss(lost_at, lost_at);
        let flat = lost_at + Duration::from_secs_f64(cbrt(300.0 / C)).saturating_sub(RTT);
        cubic.on_ack(cubic.window(), flat, RTT, true, flat);
        assert!((cubic.window - 1_200_000.0).abs() < 1200.0, "{}", cubic.window);
    }

    #[test]
    fn the_initial_window_follows_the_packets_size() {
        let mut cubic = Cubic::new(1200);
        let mut window = |mss| {
            cubic.on_mss(mss);
            cubic.window()
        };
        assert_eq!([1200, 1452, 1200, 1452].map(&mut window), [12_000, 14_520, 14_520, 14_520]);
        cubic.on_ack(10_000, Time::ZERO, RTT, true, Time::ZERO);
        cubic.on_mss(9000);
        assert_eq!(cubic.window(), 28_000);
        cubic.on_loss(Time::ZERO, Time::ZERO);
        let reduced = cubic.window();
        cubic.on_mss(9_001);
        assert_eq!(cubic.window(), reduced);
    }
}
