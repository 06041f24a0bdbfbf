//! How a link is kept up while nothing is said on it: no more often than the NAT needs, which is
//! found out.
//!
//! Owns when the next packet is due and of which kind, and the test of how long the NAT remembers.
//! Does not own the connection that sends them. A NAT is to remember what goes out for two minutes
//! (RFC 4787, REQ-5); many do for half of one. So the node begins with that, and lets the broker
//! ask, after two minutes of silence, at a socket that nothing else uses.

use crate::base::{Path, Time};
use core::time::Duration;

/// What every NAT is taken to remember: just below 30 s.
const SHORT: Duration = Duration::from_millis(28_500);
/// What one is that passed the test.
const LONG: Duration = Duration::from_secs(115);
/// So long after it was told to the broker asks back: a NAT of two minutes is to pass, wherever the
/// broker is.
const TESTED: Duration = Duration::from_secs(117);
/// One packet in so many asks for an answer; the others only show where the node is.
const ASKS_SHORT: u32 = 8;
const ASKS_LONG: u32 = 3;
/// The first test, after the link came up or the network changed.
const SETTLED: Duration = Duration::from_secs(60);
/// What the test found is found out anew: networks change without a word.
const AGAIN: Duration = Duration::from_secs(6 * 3600);
/// How long the broker's answers may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much earlier a packet is sent than the broker would wonder.
const MARGIN: Duration = Duration::from_secs(1);
/// A test that fails is done once more: a datagram may be lost.
const TRIES: u32 = 2;

/// What is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A packet that asks for nothing.
    Show,
    /// One that asks for an acknowledgement.
    Ask,
    /// A question from the socket under test.
    Test(u16),
}

/// What the broker is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Say {
    /// Longer silence means that the node is gone.
    pub(super) silence_s: u32,
    /// When to ask back.
    pub(super) ask_back_s: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    /// Nothing to test with.
    Never,
    /// Until the next one.
    Rests(Time),
    /// The question that opens the NAT went out; until its answer is overdue.
    Opening(Time),
    /// Since when nothing was sent from there.
    Silent(Time),
}

pub(super) struct KeepAlive {
    /// What the integrator wants; nothing is found out then. Zero: no packets.
    fixed: Option<Duration>,
    /// The socket to test with; 0: there is none.
    socket: u16,
    /// Each packet asks, and none is later than every NAT bears.
    is_watchful: bool,
    /// What the broker bears.
    longest: Duration,
    interval: Duration,
    /// When to send, if nothing is sent before.
    due: Option<Time>,
    /// Packets without an answer since the peer was heard.
    shown: u32,
    test: Test,
    tries: u32,
}

impl KeepAlive {
    /// `socket`: one that is used for nothing else; 0: there is none.
    pub(super) fn new(fixed: Option<Duration>, socket: u16) -> Self {
        KeepAlive {
            fixed,
            socket,
            is_watchful: false,
            longest: Duration::MAX,
            interval: fixed.unwrap_or(SHORT),
            due: None,
            shown: 0,
            test: Test::Never,
            tries: 0,
        }
    }

    /// Whether it decides when something is sent, rather than the connection.
    pub(super) fn is_adaptive(&self) -> bool {
        self.fixed.is_none()
    }

    /// Whether it is to be known soon that the broker is gone, rather than with few packets. After
    /// a change to that: [`Self::on_forgotten`].
    #[cfg(feature = "gateway")]
    pub(super) fn set_watchful(&mut self, is_watchful: bool) {
        self.is_watchful = is_watchful;
    }

    pub(super) fn is_watchful(&self) -> bool {
        cfg!(feature = "gateway") && self.is_watchful
    }

    /// The broker bears no longer silence than this; before the link is up. 0: it does not mind.
    pub(super) fn limit(&mut self, silence_max_s: u32) {
        let said = Duration::from_secs(silence_max_s.into());
        self.longest = if said.is_zero() { Duration::MAX } else { said - MARGIN.min(said / 2) };
    }

    /// The link is up, or the network another one: nothing is known of the NAT.
    pub(super) fn start(&mut self, now: Time) {
        if self.is_adaptive() {
            self.interval = self.short();
            self.due = Some(now + self.interval);
            self.rest(now + SETTLED);
        }
    }

    /// The link is down.
    pub(super) fn stop(&mut self) {
        (self.due, self.test) = (None, Test::Never);
    }

    /// Something was sent, by which the NAT remembers.
    pub(super) fn on_sent(&mut self, now: Time) {
        if self.due.is_some() {
            self.due = Some(now + self.interval);
        }
    }

    /// The broker was heard.
    pub(super) fn on_heard(&mut self) {
        self.shown = 0;
    }

    /// The NAT forgot us, though we were not silent for long: what to say if we were for longer
    /// than it remembers.
    pub(super) fn on_forgotten(&mut self, now: Time) -> Option<Say> {
        let was_long = self.is_adaptive() && self.interval > SHORT;
        was_long.then(|| self.settle(self.short(), now))
    }

    /// The broker answered at the socket under test: what to ask of it.
    pub(super) fn on_answered(&mut self, path: Path, now: Time) -> Option<Say> {
        if path.socket != self.socket || !matches!(self.test, Test::Opening(_)) {
            return None;
        }
        self.test = Test::Silent(now);
        Some(Say { ask_back_s: Some(TESTED.as_secs() as u32), ..self.say() })
    }

    /// The broker asked at the socket under test: what to say if the NAT remembered for long.
    pub(super) fn on_asked(&mut self, path: Path, now: Time) -> Option<Say> {
        let Test::Silent(since) = self.test else { return None };
        if path.socket != self.socket || now.since(since) < LONG {
            return None;
        }
        Some(self.settle(LONG, now))
    }

    /// When something is due.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let test = match self.test {
            Test::Never => None,
            Test::Rests(at) | Test::Opening(at) => Some(at),
            Test::Silent(since) => Some(since + TESTED + PATIENCE),
        };
        [self.due, test].into_iter().flatten().min()
    }

    /// What is due now; `Err`: a test that failed, and what to say.
    pub(super) fn poll(&mut self, now: Time) -> Option<Result<Due, Say>> {
        if self.due.is_some_and(|at| at <= now) {
            self.due = Some(now + self.interval);
            self.shown += 1;
            let asks = match self.interval > SHORT {
                _ if self.is_watchful() => 1,
                true => ASKS_LONG,
                false => ASKS_SHORT,
            };
            return Some(Ok(if self.shown >= asks { Due::Ask } else { Due::Show }));
        }
        match self.test {
            Test::Rests(at) if at <= now => {
                self.tries += 1;
                self.test = Test::Opening(now + PATIENCE);
                Some(Ok(Due::Test(self.socket)))
            }
            Test::Opening(at) if at <= now => self.on_failed(now),
            Test::Silent(since) if since + TESTED + PATIENCE <= now => self.on_failed(now),
            _ => None,
        }
    }

    fn on_failed(&mut self, now: Time) -> Option<Result<Due, Say>> {
        if self.tries < TRIES {
            self.test = Test::Rests(now);
            return self.poll(now);
        }
        let was_long = self.interval > SHORT;
        let say = self.settle(self.short(), now);
        was_long.then_some(Err(say))
    }

    fn settle(&mut self, interval: Duration, now: Time) -> Say {
        if interval < self.interval {
            // The last packet may be longer ago than that.
            self.due = Some(now);
        }
        self.interval = interval;
        self.rest(now + AGAIN);
        self.say()
    }

    fn rest(&mut self, until: Time) {
        self.tries = 0;
        let is_of_use = self.socket != 0 && self.longest >= LONG && !self.is_watchful();
        self.test = if is_of_use { Test::Rests(until) } else { Test::Never };
    }

    fn short(&self) -> Duration {
        SHORT.min(self.longest)
    }

    fn say(&self) -> Say {
        Say { silence_s: self.interval.as_secs() as u32 + 1, ask_back_s: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const SOCKET: u16 = 9;

    fn at(s: u64) -> Time {
        Time::ZERO + Duration::from_secs(s)
    }

    fn path(socket: u16) -> Path {
        Path { socket, ..Path::v4([192, 0, 2, 1], 7480) }
    }

    /// What is sent until `end`, with the times in seconds.
    fn run(keep: &mut KeepAlive, end: Time) -> Vec<(u64, Result<Due, Say>)> {
        let mut out = Vec::new();
        while let Some(now) = keep.poll_timeout().filter(|at| *at < end) {
            let due = keep.poll(now);
            out.extend(due.map(|due| (now.as_micros() / 1_000_000, due)));
            if due == Some(Ok(Due::Ask)) {
                keep.on_heard();
            }
        }
        out
    }

    #[test]
    fn one_packet_in_28_s_of_which_one_in_eight_asks() {
        let mut keep = KeepAlive::new(None, 0);
        keep.start(at(0));
        let sent = run(&mut keep, at(28 * 16 + 10));
        let asks = |sent: &[(u64, _)]| sent.iter().filter(|(_, due)| *due == Ok(Due::Ask)).count();
        assert_eq!((sent.len(), asks(&sent)), (16, 2));
        assert!(sent.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 28));
        // What is sent anyway is enough.
        keep.on_sent(at(1000));
        assert_eq!(keep.poll_timeout(), Some(at(1000) + SHORT));
        keep.stop();
        assert_eq!(keep.poll_timeout(), None);
    }

    #[test]
    fn two_minutes_are_found_out() {
        let mut keep = KeepAlive::new(None, SOCKET);
        keep.start(at(0));
        let sent = run(&mut keep, at(61));
        assert_eq!(sent.last(), Some(&(60, Ok(Due::Test(SOCKET)))));
        assert_eq!(keep.on_answered(path(0), at(61)), None);
        let say = Say { silence_s: 29, ask_back_s: Some(117) };
        assert_eq!(keep.on_answered(path(SOCKET), at(61)), Some(say));
        assert_eq!(keep.on_asked(path(SOCKET), at(100)), None, "too early to tell");
        let found = Say { silence_s: 116, ask_back_s: None };
        assert_eq!(keep.on_asked(path(SOCKET), at(179)), Some(found));
        // What it says is a packet too, and is acknowledged.
        keep.on_sent(at(179));
        keep.on_heard();
        let sent = run(&mut keep, at(179 + 115 * 6 + 1));
        assert_eq!(sent.iter().filter(|(_, due)| *due == Ok(Due::Ask)).count(), 2);
        assert_eq!(sent.len(), 6);
        // The NAT is another one, as the broker sees.
        let short = Say { silence_s: 29, ask_back_s: None };
        assert_eq!(keep.on_forgotten(at(900)), Some(short));
        assert_eq!(keep.on_forgotten(at(900)), None);
        // Six hours later it is found out anew.
        let sent = run(&mut keep, at(900 + 6 * 3600 + 1));
        assert_eq!(sent.last(), Some(&(900 + 6 * 3600, Ok(Due::Test(SOCKET)))));
    }

    #[test]
    fn a_test_fails_twice_before_it_is_believed() {
        let mut keep = KeepAlive::new(None, SOCKET);
        keep.start(at(0));
        let is_test = |sent: &[(u64, Result<Due, Say>)]| {
            sent.iter().filter(|(_, due)| *due == Ok(Due::Test(SOCKET))).count()
        };
        // No answer at all, then answers but no question.
        assert_eq!(is_test(&run(&mut keep, at(66))), 2);
        assert!(keep.on_answered(path(SOCKET), at(66)).is_some());
        assert_eq!(is_test(&run(&mut keep, at(3600))), 0);
        // The next one, of what was found to be long, says that it is not any more.
        assert_eq!(keep.interval, SHORT);
        keep.interval = LONG;
        keep.test = Test::Silent(at(3600));
        keep.tries = TRIES;
        let short = Say { silence_s: 29, ask_back_s: None };
        let said = run(&mut keep, at(3600 + 130));
        assert!(said.iter().any(|(_, due)| *due == Err(short)), "{said:?}");
    }

    #[test]
    fn what_the_broker_bears_is_not_exceeded() {
        for (limit, interval) in [(0, SHORT), (45, SHORT), (20, Duration::from_secs(19))] {
            let mut keep = KeepAlive::new(None, SOCKET);
            keep.limit(limit);
            keep.start(at(0));
            assert_eq!(keep.poll_timeout(), Some(Time::ZERO + interval));
            let is_test = |(_, due): &(u64, Result<Due, Say>)| *due == Ok(Due::Test(SOCKET));
            assert_eq!(run(&mut keep, at(61)).iter().any(is_test), limit == 0, "{limit}");
        }
        let mut keep = KeepAlive::new(None, SOCKET);
        keep.limit(1);
        keep.start(at(0));
        assert_eq!(keep.poll_timeout(), Some(Time::ZERO + Duration::from_millis(500)));
    }

    #[cfg(feature = "gateway")]
    #[test]
    fn who_is_watchful_asks_each_time_and_tests_nothing() {
        let mut keep = KeepAlive::new(None, SOCKET);
        keep.start(at(0));
        keep.settle(LONG, at(1));
        keep.set_watchful(true);
        let short = Say { silence_s: 29, ask_back_s: None };
        assert_eq!(keep.on_forgotten(at(10)), Some(short));
        let sent = run(&mut keep, at(10 + 7 * 3600));
        assert_eq!(sent[0], (10, Ok(Due::Ask)));
        assert!(sent.iter().all(|(_, due)| *due == Ok(Due::Ask)), "no test, and none that shows");
        assert!(sent.windows(2).all(|pair| pair[1].0 - pair[0].0 <= 29));
    }

    #[test]
    fn what_is_fixed_is_left_to_the_connection() {
        let mut keep = KeepAlive::new(Some(Duration::from_secs(5)), SOCKET);
        keep.start(at(0));
        assert!(!keep.is_adaptive());
        assert_eq!(keep.poll_timeout(), None);
        assert_eq!(keep.on_forgotten(at(1)), None);
    }
}
