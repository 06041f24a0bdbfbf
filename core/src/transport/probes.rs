//! Asking whether the peer is at other addresses than the one in use, and answering where it asks
//! (RFC 9000 §§8.2, 9.1).
//!
//! Owns the questions and answers under way. Does not own which addresses are worth a question, nor
//! when: that is `traverse`'s. Invariant: every list is bounded, and where it is full the oldest
//! makes room. They are short, and mostly empty: vectors, from whose front is taken.
//!
//! Unlike in QUIC a question is not padded, and neither is its answer: addresses are tried by the
//! hundred, and what size a path carries is found out where it is used.

use crate::base::{Path, Time};
use alloc::vec::Vec;
use core::time::Duration;

/// Questions that wait to be sent, or for their answer.
const MAX_ASKED: usize = if cfg!(feature = "std") { 128 } else { 16 };
/// Answers owed.
const MAX_RESPONSES: usize = 8;
/// Paths that answered.
const MAX_KNOWN: usize = 8;
/// How long an answer proves that the peer is there.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// A PATH_RESPONSE owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// Where it goes: where the challenge came from.
    pub(super) path: Path,
    pub(super) data: [u8; 8],
}

struct Asked {
    path: Path,
    data: [u8; 8],
    at: Time,
}

struct Known {
    path: Path,
    at: Time,
    rtt: Duration,
}

#[derive(Default)]
pub(super) struct Probes {
    /// And whether the answer is waited for.
    to_ask: Vec<(Path, bool)>,
    asked: Vec<Asked>,
    responses: Vec<Response>,
    known: Vec<Known>,
    /// The path we left for a better one, and until when the peer may not have heard of that.
    left: Option<(Path, Time)>,
}

impl Probes {
    /// We leave `path` for one that is known to work.
    pub(super) fn leave(&mut self, path: Path, until: Time) {
        self.left = Some((path, until));
    }

    /// Whether what comes by `path` was perhaps sent before the peer heard that we left it.
    pub(super) fn has_just_left(&self, path: &Path, now: Time) -> bool {
        self.left.is_some_and(|(left, until)| left == *path && now < until)
    }

    /// To be asked; once, however often it is wanted before that.
    pub(super) fn ask(&mut self, path: Path) {
        if !self.to_ask.contains(&(path, true)) {
            push(&mut self.to_ask, (path, true), MAX_ASKED);
        }
    }

    /// To be asked only so that NATs on the way know the path: an answer says nothing.
    pub(super) fn open(&mut self, path: Path) {
        push(&mut self.to_ask, (path, false), MAX_ASKED);
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.to_ask.is_empty() || !self.responses.is_empty()
    }

    /// The next path to ask, with this.
    pub(super) fn next_to_ask(&mut self, data: [u8; 8], at: Time) -> Option<Path> {
        if self.to_ask.is_empty() {
            return None;
        }
        let (path, is_awaited) = self.to_ask.remove(0);
        if is_awaited {
            push(&mut self.asked, Asked { path, data, at }, MAX_ASKED);
        }
        Some(path)
    }

    /// PATH_RESPONSE: which path it proves, and the round trip. A late or foreign one is harmless.
    pub(super) fn on_response(&mut self, data: [u8; 8], now: Time) -> Option<(Path, Duration)> {
        let index = self.asked.iter().position(|asked| asked.data == data)?;
        let asked = self.asked.remove(index);
        let rtt = now.since(asked.at);
        self.known.retain(|known| known.path != asked.path);
        push(&mut self.known, Known { path: asked.path, at: now, rtt }, MAX_KNOWN);
        Some((asked.path, rtt))
    }

    /// The round trip of a path, if the peer answered on it not long ago.
    pub(super) fn known(&self, path: &Path, now: Time) -> Option<Duration> {
        let known = self.known.iter().find(|known| known.path == *path)?;
        (now.since(known.at) <= KNOWN_FOR).then_some(known.rtt)
    }

    /// The peer asks. Elsewhere than at `active`, which may be anybody's address, one answer is
    /// owed at a time: a packet full of questions draws no more than one.
    pub(super) fn respond(&mut self, response: Response, active: &Path) {
        if response.path != *active {
            self.responses.retain(|owed| owed.path != response.path);
        }
        push(&mut self.responses, response, MAX_RESPONSES);
    }

    /// Takes an answer that goes to `active`, or, if there is none to say, elsewhere.
    pub(super) fn take_response(&mut self, is_meant: impl Fn(&Path) -> bool) -> Option<Response> {
        let index = self.responses.iter().position(|response| is_meant(&response.path))?;
        Some(self.responses.remove(index))
    }

    /// Whether an answer is owed there.
    pub(super) fn owes(&self, is_meant: impl Fn(&Path) -> bool) -> bool {
        self.responses.iter().any(|response| is_meant(&response.path))
    }
}

fn push<T>(queue: &mut Vec<T>, item: T, max: usize) {
    if queue.len() >= max {
        queue.remove(0);
    }
    if cfg!(not(feature = "std")) {
        queue.reserve_exact(1);
    }
    queue.push(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(n: u16) -> Path {
        Path::v4([10, 0, 0, 1], n)
    }

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn an_answer_proves_the_path_that_was_asked() {
        let mut probes = Probes::default();
        probes.ask(path(1));
        probes.ask(path(2));
        probes.ask(path(1));
        assert!(probes.has_pending());
        probes.open(path(3));
        assert_eq!(probes.next_to_ask([1; 8], at(0)), Some(path(1)));
        assert_eq!(probes.next_to_ask([2; 8], at(10)), Some(path(2)));
        assert_eq!(probes.next_to_ask([3; 8], at(10)), Some(path(3)));
        assert!(!probes.has_pending());
        assert_eq!(probes.on_response([3; 8], at(20)), None);
        assert_eq!(probes.on_response([2; 8], at(40)), Some((path(2), Duration::from_millis(30))));
        assert_eq!(probes.on_response([2; 8], at(40)), None, "a copy");
        assert_eq!(probes.known(&path(1), at(40)), None);
        assert_eq!(probes.known(&path(2), at(60_040)), Some(Duration::from_millis(30)));
        assert_eq!(probes.known(&path(2), at(60_041)), None);
    }

    #[test]
    fn what_was_left_is_remembered_for_a_while() {
        let mut probes = Probes::default();
        probes.leave(path(1), at(100));
        assert!(probes.has_just_left(&path(1), at(99)) && !probes.has_just_left(&path(1), at(100)));
        assert!(!probes.has_just_left(&path(2), at(0)));
    }

    #[test]
    fn limits_at_and_over() {
        let mut probes = Probes::default();
        for n in 0..MAX_ASKED as u16 {
            probes.ask(path(n));
            assert_eq!(probes.next_to_ask([n as u8; 8], at(0)), Some(path(n)));
        }
        (0..=MAX_ASKED as u16).for_each(|n| probes.ask(path(n)));
        assert_eq!((probes.to_ask.len(), probes.asked.len()), (MAX_ASKED, MAX_ASKED));
        assert_eq!(probes.next_to_ask([255; 8], at(0)), Some(path(1)), "the oldest made room");
        assert_eq!((probes.to_ask.len(), probes.asked.len()), (MAX_ASKED - 1, MAX_ASKED));
        assert!(probes.on_response([0; 8], at(0)).is_none(), "there too");
        for n in 1..=MAX_KNOWN as u8 + 1 {
            assert!(probes.on_response([n; 8], at(0)).is_some());
        }
        assert_eq!(probes.known.len(), MAX_KNOWN);
        for n in 0..=MAX_RESPONSES as u16 {
            probes.respond(Response { path: path(n), data: [0; 8] }, &path(99));
        }
        assert_eq!(probes.responses.len(), MAX_RESPONSES);
        assert!(!probes.owes(|p| *p == path(0)) && probes.owes(|p| *p == path(1)));
        assert!(probes.take_response(|p| *p == path(1)).is_some());
        assert!(!probes.owes(|p| *p == path(1)));
        // Only where the peer is is each question answered.
        for (active, owed) in [(path(50), 2), (path(99), 1)] {
            let mut probes = Probes::default();
            (0..2).for_each(|n| probes.respond(Response { path: path(50), data: [n; 8] }, &active));
            assert_eq!(probes.responses.len(), owed);
            assert_eq!(probes.responses.last().map(|last| last.data), Some([1; 8]));
        }
    }
}
