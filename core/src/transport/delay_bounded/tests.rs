//! The controller on a queue of one line: what it lets go waits for the link, and comes back a
//! round trip later.

use super::*;
use alloc::collections::VecDeque;

const MSS: u64 = 1200;
const RTT: Duration = Duration::from_millis(40);
const TARGET: Duration = Duration::from_millis(60);

/// A sender that always has something to say, and a link of `rate` bytes a second.
struct Line {
    controller: DelayBounded,
    now: Time,
    rate: u64,
    buffer: u64,
    /// When what was sent arrives at the end of the queue, and when it was sent.
    flying: VecDeque<(Time, Time)>,
    free_at: Time,
    delivered: u64,
    longest_queue: Duration,
}

impl Line {
    fn new(rate: u64) -> Self {
        Line {
            controller: DelayBounded::new(MSS as usize, TARGET),
            now: Time::from_micros(1),
            rate,
            buffer: u64::MAX,
            flying: VecDeque::new(),
            free_at: Time::ZERO,
            delivered: 0,
            longest_queue: Duration::ZERO,
        }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        (self.delivered, self.longest_queue) = (0, Duration::ZERO);
        while self.now < end {
            self.send();
            self.now = self.now + Duration::from_millis(1);
            let now = self.now;
            while self.flying.front().is_some_and(|(at, _)| *at <= now) {
                let Some((_, sent)) = self.flying.pop_front() else { break };
                self.delivered += MSS;
                self.controller.on_ack(MSS, sent, RTT, true, now);
                self.controller.on_rtt(now.since(sent), now);
            }
        }
    }

    fn send(&mut self) {
        let each = Duration::from_micros(MSS * 1_000_000 / self.rate);
        while (self.flying.len() as u64 + 1) * MSS <= self.controller.window() {
            let starts = self.free_at.max(self.now);
            let queue = starts.since(self.now);
            if queue.as_micros() as u64 * self.rate / 1_000_000 > self.buffer {
                self.controller.on_loss(self.now, self.now);
                return;
            }
            self.longest_queue = self.longest_queue.max(queue);
            self.free_at = starts + each;
            self.flying.push_back((self.free_at + RTT, self.now));
        }
    }

    fn share(&self, seconds: u64) -> f64 {
        self.delivered as f64 / (self.rate * seconds) as f64
    }
}

#[test]
fn fills_a_steady_path_and_keeps_the_queue_at_its_target_for_minutes() {
    for rate in [200_000, 2_000_000, 20_000_000] {
        let mut line = Line::new(rate);
        line.run(5);
        line.run(120);
        let (share, queue) = (line.share(120), line.longest_queue);
        assert!(share > 0.98, "{rate}: {share}");
        assert!(queue < TARGET * 3 / 2, "{rate}: {queue:?}");
    }
}

#[test]
fn follows_a_path_that_grows_and_shrinks() {
    let mut line = Line::new(200_000);
    line.run(3);
    line.rate = 5_000_000;
    line.run(1);
    line.run(2);
    assert!(line.share(2) > 0.95, "{}", line.share(2));
    line.rate = 200_000;
    line.run(3);
    line.run(3);
    assert!(line.longest_queue < TARGET * 2, "{:?}", line.longest_queue);
    assert!(line.share(3) > 0.95, "{}", line.share(3));
}

#[test]
fn on_a_slow_path_the_least_window_is_no_reason_to_compete() {
    let mut line = Line::new(20_000);
    line.run(10);
    line.run(60);
    assert!(line.share(60) > 0.95, "{}", line.share(60));
    assert!(line.controller.window() <= MSS * (FLOOR + 2));
    assert!(matches!(line.controller.mode, Mode::Bounded));
}

/// Whatever is in flight, the queue stays: it is others'.
#[test]
fn competes_where_the_queue_is_others_and_stops_when_it_is_gone() {
    let mut line = Line::new(1_000_000);
    line.run(2);
    let mut controller = line.controller;
    let step = Duration::from_millis(2);
    let clock = core::cell::Cell::new(line.now);
    let ack = |controller: &mut DelayBounded, rtt: Duration| {
        let now = clock.get() + step;
        clock.set(now);
        controller.on_ack(MSS, now, rtt, true, now);
        controller.on_rtt(rtt, now);
    };
    for _ in 0..3000 {
        ack(&mut controller, Duration::from_millis(300));
    }
    assert!(matches!(controller.mode, Mode::Competing { .. }));
    // 600 kB/s for a round trip and the target would be 60 kB.
    assert!(controller.window() > 70_000, "{}", controller.window());
    let before = controller.window();
    controller.on_loss(clock.get(), clock.get());
    ack(&mut controller, Duration::from_millis(300));
    assert!(controller.window() < before * 8 / 10, "it gives way as CUBIC does");
    for _ in 0..100 {
        ack(&mut controller, RTT + TARGET / 2);
    }
    assert!(matches!(controller.mode, Mode::Bounded));
}

#[test]
fn a_buffer_smaller_than_the_target_is_found_out() {
    let mut line = Line::new(2_000_000);
    line.buffer = 30_000;
    line.run(5);
    let before = line.controller.room;
    line.run(20);
    assert!(before < ROOM && line.controller.room < ROOM, "{before} {}", line.controller.room);
    assert!(line.share(20) > 0.9, "{}", line.share(20));
}

#[test]
fn marks_lower_the_target_once_a_round() {
    let mut controller = DelayBounded::new(1200, TARGET);
    let at = |ms: u64| Time::from_micros(ms * 1000);
    controller.on_mark(at(10), at(50));
    controller.on_mark(at(20), at(51));
    assert_eq!(controller.room, ROOM / 2);
    controller.on_mark(at(60), at(100));
    assert_eq!(controller.room, ROOM / 4);
    (0..10).for_each(|round| controller.on_mark(at(200 + round), at(200 + round)));
    assert_eq!(controller.room, 1);
}

#[test]
fn what_the_application_leaves_unused_does_not_shrink_the_window() {
    let mut line = Line::new(2_000_000);
    line.run(3);
    let (mut controller, mut now) = (line.controller, line.now);
    let window = controller.window();
    for _ in 0..200 {
        now = now + Duration::from_millis(10);
        controller.on_ack(MSS, now, RTT, false, now);
        controller.on_rtt(RTT, now);
    }
    assert!(controller.window() >= window);
}

/// A second's worth of acknowledgements of a sender that sends 120 kB/s on an empty path.
fn leave_unused(controller: &mut DelayBounded, seconds: u64, now: &mut Time) {
    for _ in 0..seconds * 100 {
        *now = *now + Duration::from_millis(10);
        controller.on_ack(MSS, *now, RTT, false, *now);
        controller.on_rtt(RTT, *now);
    }
}

#[test]
fn a_sender_that_was_never_held_back_has_its_first_window_for_ever() {
    let (mut controller, mut now) = (DelayBounded::new(MSS as usize, TARGET), Time::ZERO);
    leave_unused(&mut controller, 600, &mut now);
    assert!(controller.window() <= 10 * MSS + 12_000, "{}", controller.window());
}

#[test]
fn what_was_not_used_for_minutes_is_forgotten() {
    let mut line = Line::new(20_000_000);
    line.run(3);
    let (mut controller, mut now) = (line.controller, line.now);
    assert!(controller.window() > 1_000_000);
    leave_unused(&mut controller, 9, &mut now);
    assert!(controller.window() > 500_000);
    leave_unused(&mut controller, 120, &mut now);
    assert!(controller.window() < 30_000, "{}", controller.window());
}

#[test]
fn after_everything_was_lost_it_starts_again() {
    let mut line = Line::new(2_000_000);
    line.run(3);
    line.controller.on_persistent_congestion();
    assert_eq!(line.controller.window(), MSS * LEAST);
    line.run(1);
    line.run(2);
    assert!(line.share(2) > 0.95, "{}", line.share(2));
}

#[test]
fn nothing_overflows_at_the_edges() {
    let times = [0, 1, 1 << 40, u64::MAX].map(Time::from_micros);
    for target in [Duration::ZERO, TARGET, Duration::MAX] {
        for mss in [0, 1, 1200, usize::MAX] {
            let mut controller = DelayBounded::new(mss, target);
            for now in times {
                for rtt in [Duration::ZERO, RTT, Duration::MAX] {
                    controller.on_ack(u64::MAX, now, rtt, true, now);
                    controller.on_rtt(rtt, now);
                    controller.on_ack(1, now, rtt, false, now);
                    controller.on_mark(now, now);
                    controller.on_rtt(rtt, now);
                    controller.on_mss(mss);
                }
                assert!((1..=MAX_WINDOW).contains(&controller.window()));
            }
        }
    }
}

#[test]
fn a_short_target_is_paced_more_evenly() {
    let gain = |us| DelayBounded::new(1200, Duration::from_micros(us)).pacing_gain();
    assert_eq!(gain(BURST_US - 1), (5, 2));
    assert_eq!(gain(BURST_US), (4, 1));
}
