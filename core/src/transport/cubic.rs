//! CUBIC (RFC 9438).
//!
//! Windows are in bytes. Arithmetic is of 64-bit integers, which every target has; the comments
//! say why nothing overflows.

use super::controller::{Congestion, Controller};
#[cfg(feature = "media")]
use super::delivery::Delivery;
use super::hystart::HyStart;
use crate::base::Time;
#[cfg(feature = "media")]
use alloc::boxed::Box;
use core::time::Duration;

/// A byte of a window: parts of it count, or a large window would never grow by small packets.
const BYTE: u64 = 1 << 16;
/// Windows grow to 4 GiB at most. The bounds of all products below follow from this, from packets
/// of less than 2^16 bytes, and from segments of at most 2^14.
const MAX_WINDOW: u64 = BYTE << 32;
const MAX_MSS: u64 = 1 << 14;
/// The curve is followed for that long on either side of its flat part: 262 s.
const MAX_AWAY_MS: u64 = 1 << 18;
const NO_THRESHOLD: u64 = u64::MAX;

/// Ten packets, unless they are large (RFC 9002 §7.2).
fn initial_window(mss: u64) -> u64 {
    (mss * 10).min((mss * 2).max(14_720)) * BYTE
}

/// beta_cubic of RFC 9438 §4.6: 0.7.
fn reduced(window: u64) -> u64 {
    window * 7 / 10
}

/// C × `away`³ of RFC 9438 §4.2, where C is 0.4 segments per second cubed.
fn rise(away_ms: u64, mss: u64) -> u64 {
    // 2^54 / 1000 × 4 × 2^14 < 2^61, by 10^7 less than 2^38 bytes.
    let cubed = away_ms.min(MAX_AWAY_MS).pow(3) / 1000;
    cubed * 4 * mss / 10_000_000 * BYTE
}

/// The reverse: in how many milliseconds the curve rises by `bytes`, which are less than 2^32.
fn time_to_rise(bytes: u64, mss: u64) -> u64 {
    // (bytes / mss / 0.4 s³)^(1/3); 2^32 × 2.5 × 10^9 < 2^64.
    cbrt(bytes * 2_500_000_000 / mss)
}

/// CUBIC.
#[derive(Clone, Debug)]
pub struct Cubic {
    /// Bytes of a segment. All windows are in parts of a byte: see [`BYTE`].
    mss: u64,
    /// The part of the window that was there from the start.
    initial: u32,
    window: u64,
    ssthresh: u64,
    w_max: u64,
    /// Where the cubic curve is flat: `w_max`, or the window where that is larger already.
    origin: u64,
    /// Milliseconds to grow back to `origin`.
    k_ms: u32,
    w_est: u64,
    /// The window before it was last reduced.
    prior: u64,
    epoch: Option<Time>,
    /// Packets sent before this do not count as a new loss.
    recovery_start: Option<Time>,
    slow_start: HyStart,
    /// Since somebody asked.
    #[cfg(feature = "media")]
    delivery: Option<Box<Delivery>>,
}

impl Cubic {
    /// Starts with the initial window for packets of `mss` bytes (RFC 9002 §7.2).
    pub fn new(mss: usize) -> Self {
        let mss = (mss as u64).clamp(1, MAX_MSS);
        Cubic {
            mss,
            initial: initial_window(mss) as u32,
            window: initial_window(mss),
            ssthresh: NO_THRESHOLD,
            w_max: 0,
            origin: 0,
            k_ms: 0,
            w_est: 0,
            prior: 0,
            epoch: None,
            recovery_start: None,
            slow_start: HyStart::default(),
            #[cfg(feature = "media")]
            delivery: None,
        }
    }

    /// Starts with this window, in congestion avoidance.
    #[cfg(feature = "media")]
    pub(super) fn with_window(mss: usize, window: u64) -> Self {
        let mut cubic = Cubic::new(mss);
        cubic.window = (window.min(MAX_WINDOW / BYTE) * BYTE).max(cubic.mss * 2 * BYTE);
        cubic.ssthresh = cubic.window;
        cubic
    }

    /// Growth along the curve starts here, from the window as it is. After a reduction that is when
    /// it was made, not a round trip later when recovery ends (RFC 9438 §4.2 would have it so): the
    /// curve is to say how long ago the path was full, and others count alike.
    fn begin_epoch(&mut self, now: Time) {
        self.origin = self.w_max.max(self.window);
        // Less than 2^22: see there.
        self.k_ms = time_to_rise((self.origin - self.window) / BYTE, self.mss) as u32;
        self.w_est = self.window;
        self.epoch = Some(now);
    }

    /// W_cubic of RFC 9438 §4.2.
    fn curve(&self, t_ms: u64) -> u64 {
        let k_ms = u64::from(self.k_ms);
        let rise = rise(t_ms.abs_diff(k_ms), self.mss);
        if t_ms < k_ms { self.origin.saturating_sub(rise) } else { self.origin + rise }
    }

    fn avoid_congestion(&mut self, bytes: u64, rtt: Duration, now: Time) {
        let epoch = self.epoch.unwrap_or(now);
        if self.epoch.is_none() {
            self.begin_epoch(now);
        }
        let t_ms = (now.since(epoch) + rtt).as_millis() as u64;
        let target = self.curve(t_ms).clamp(self.window, self.window * 3 / 2);
        // A segment for each window acknowledged, and a byte at most: 2^14 × 2^16 × 2^32 = 2^62.
        let bytes = bytes.min(u64::from(u16::MAX));
        let reno = self.mss * bytes * (BYTE * BYTE) / self.window;
        // alpha_cubic of RFC 9438 §4.3 until the window is what it was: 3 × (1 - β) / (1 + β).
        let reno = if self.w_est < self.prior { reno * 9 / 17 } else { reno };
        self.w_est = (self.w_est + reno).min(MAX_WINDOW);
        if self.w_est > target {
            self.window = self.window.max(self.w_est);
        } else {
            // 2^47 × 2^16 = 2^63: the target is half a window above at most.
            let step = (target - self.window) * bytes / (self.window / BYTE);
            self.window = (self.window + step).min(MAX_WINDOW);
        }
    }
}

impl Controller for Cubic {
    fn window(&self) -> u64 {
        self.window / BYTE
    }

    fn on_ack(&mut self, bytes: u64, sent_at: Time, rtt: Duration, is_limited: bool, now: Time) {
        #[cfg(feature = "media")]
        if let Some(delivery) = &mut self.delivery {
            delivery.on_acked(bytes, now);
        }
        if self.recovery_start.is_some_and(|start| sent_at <= start) {
            return;
        }
        if !is_limited {
            // An idle sender learns nothing about the path; growth restarts from here.
            self.epoch = None;
            return;
        }
        if self.window < self.ssthresh {
            let grown = bytes.min(u64::from(u32::MAX)) * BYTE;
            self.window += grown / self.slow_start.divisor(sent_at, now);
            self.window = self.window.min(MAX_WINDOW);
            if self.slow_start.is_over() {
                self.ssthresh = self.window;
            }
        } else {
            self.avoid_congestion(bytes, rtt, now);
        }
    }

    fn on_loss(&mut self, sent_at: Time, now: Time) {
        if self.recovery_start.is_some_and(|start| sent_at <= start) {
            return;
        }
        self.recovery_start = Some(now);
        self.prior = self.window;
        // Fast convergence (RFC 9438 §4.7): leave room for a newcomer.
        self.w_max = if self.window < self.w_max { self.window * 17 / 20 } else { self.window };
        self.window = reduced(self.window).max(self.mss * 2 * BYTE);
        self.ssthresh = self.window;
        self.begin_epoch(now);
    }

    fn on_persistent_congestion(&mut self) {
        self.window = self.mss * 2 * BYTE;
        self.epoch = None;
        self.recovery_start = None;
    }

    fn on_rtt(&mut self, latest: Duration, _now: Time) {
        if self.window < self.ssthresh {
            self.slow_start.on_rtt(latest);
        }
    }

    fn congestion(&self) -> Congestion {
        Congestion::Cubic
    }

    #[cfg(feature = "media")]
    fn delivery(&mut self) -> &mut Delivery {
        self.delivery.get_or_insert_default()
    }

    fn on_mss(&mut self, mss: usize) {
        let mss = (mss as u64).clamp(1, MAX_MSS);
        if self.ssthresh == NO_THRESHOLD {
            // The initial window is computed anew (RFC 9002 §7.2); larger once, not each time.
            let initial = self.initial.max(initial_window(mss) as u32);
            let before = core::mem::replace(&mut self.initial, initial);
            self.window += u64::from(initial - before);
        }
        self.mss = mss;
        self.window = self.window.clamp(self.mss * 2 * BYTE, MAX_WINDOW);
    }
}

/// The cube root, rounded down, bit by bit.
fn cbrt(x: u64) -> u64 {
    // 2^22 cubed is more than 64 bits hold.
    (0..22).rev().fold(0, |root, bit| {
        let next = root | 1 << bit;
        if next * next <= x / next { next } else { root }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    #[test]
    fn cube_roots() {
        for root in [0, 1, 2, 3, 100, 1_625_000, 2_642_245u64] {
            assert_eq!(cbrt(root.pow(3)), root);
            assert_eq!(cbrt((root + 1).checked_pow(3).map_or(u64::MAX, |cube| cube - 1)), root);
        }
    }

    /// W_cubic of RFC 9438 §4.2 after a reduction of `w_max`, in bytes and seconds.
    fn w_cubic(w_max: f64, mss: f64, t: f64) -> f64 {
        let k = (w_max * 0.3 / mss / 0.4).cbrt();
        0.4 * (t - k).powi(3) * mss + w_max
    }

    /// Times are in whole milliseconds: the curve is met within what 2 ms of it make, and 2 bytes.
    #[test]
    fn the_curve_is_that_of_rfc_9438() {
        for mss in [512, 1200, 1452, 9000] {
            for w_max in [100_000, 1_000_000, 50_000_000, 4_000_000_000u64] {
                let mut cubic = Cubic::new(mss);
                cubic.window = w_max * BYTE;
                cubic.on_loss(Time::ZERO, Time::ZERO);
                for t_ms in [1, 50, 400, 1000, 2500, 7000, 20_000, 100_000, 200_000] {
                    let exact = |ms: u64| w_cubic(w_max as f64, mss as f64, ms as f64 / 1e3);
                    let curve = cubic.curve(t_ms) as f64 / BYTE as f64;
                    let (low, high) = (exact(t_ms.saturating_sub(2)) - 2.0, exact(t_ms + 2) + 2.0);
                    assert!((low..high).contains(&curve), "{mss} {w_max} {t_ms}: {curve}");
                }
            }
        }
    }

    /// Within a hundredth, up to where it does not matter beside the curve.
    #[test]
    fn renos_growth_is_that_of_rfc_9438() {
        for window in [20_000, 1_000_000, 100_000_000] {
            let mut cubic = Cubic::new(1200);
            let now = Time::ZERO;
            cubic.window = window * BYTE;
            cubic.on_loss(now, now);
            let (mut exact, start) = (0.0, cubic.w_est);
            for _ in 0..100 {
                exact += 9.0 / 17.0 * 1200.0 * 1200.0 / (cubic.window as f64 / BYTE as f64);
                cubic.avoid_congestion(1200, Duration::ZERO, now);
            }
            let grown = (cubic.w_est - start) as f64 / BYTE as f64;
            assert!((grown / exact - 1.0).abs() < 1e-2, "{window}: {grown} {exact}");
        }
    }

    #[test]
    fn nothing_overflows_at_the_edges() {
        for mss in [0, 1, 512, 9000, usize::MAX] {
            let mut cubic = Cubic::new(mss);
            for (step, us) in [0, 1, 1 << 40, u64::MAX].into_iter().enumerate() {
                let now = Time::from_micros(us);
                for bytes in [0, 1, 9000, u64::from(u16::MAX), u64::MAX] {
                    for rtt in [Duration::ZERO, RTT, Duration::from_micros(u64::MAX)] {
                        cubic.on_ack(bytes, now, rtt, true, now);
                        cubic.avoid_congestion(bytes, rtt, now);
                    }
                }
                cubic.on_mss(mss);
                assert!(cubic.window <= MAX_WINDOW && cubic.window() > 0);
                if step == 1 {
                    cubic.window = MAX_WINDOW;
                    cubic.on_loss(now, now);
                    assert_eq!(cubic.window(), (1 << 32) * 7 / 10);
                }
                cubic.window = if step == 2 { MAX_WINDOW } else { cubic.window };
            }
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
        let before = cubic.window();
        for _ in 0..rounds {
            *now = *now + rtt;
            let (whole, mut acked) = (cubic.window(), 0);
            while acked < whole {
                cubic.on_ack(1200, *now, rtt, true, *now);
                acked += 1200;
            }
        }
        (cubic.window() - before) as f64 / cubic.mss as f64 / f64::from(rounds)
    }

    #[test]
    fn where_renos_growth_leads_it_is_full_once_the_old_window_is_reached() {
        // So short a round trip that the curve is no matter.
        let rtt = Duration::from_millis(1);
        let mut cubic = Cubic::new(1200);
        let mut now = Time::from_micros(1_000);
        cubic.window = 60_000 * BYTE;
        cubic.on_loss(now, now);
        let first = grow(&mut cubic, 20, &mut now, rtt);
        assert!((0.5..0.6).contains(&first), "{first}");
        grow(&mut cubic, 10, &mut now, rtt);
        assert!(cubic.window() > 60_000);
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
        cubic.window = 1_200_000 * BYTE;
        let lost_at = Time::from_micros(1_000_000);
        cubic.on_loss(lost_at, lost_at);
        let k = (300.0f64 / 0.4).cbrt();
        let flat = lost_at + Duration::from_secs_f64(k).saturating_sub(RTT);
        for _ in 0..10_000 {
            cubic.on_ack(1200, flat, RTT, true, flat);
        }
        assert!(cubic.window().abs_diff(1_200_000) < 1200, "{}", cubic.window());
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
