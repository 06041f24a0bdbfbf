//! Where the peer is: the path in use, whether it is validated, and where to go back to if it is
//! not (RFC 9000 §§8.1, 8.2, 9).
//!
//! Either end may move. Owns addresses and what may be sent to them. Does not own what a move does
//! to congestion control and connection IDs; that is the connection's.

use super::probes::Probes;
use crate::base::{Ecn, Path, Time};
use alloc::boxed::Box;
use core::time::Duration;

/// Bytes that may go to an address we chose to try before anything came from it: three probes.
const TRY_BYTES: u64 = 1200;

/// Moves with shorter pauses between them that are no chase yet.
const FEW_MOVES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(8);

/// A PATH_CHALLENGE that waits for its answer.
struct Challenge {
    data: [u8; 8],
    asked_at: Time,
    /// To be said now, whatever else there is to say.
    is_due: bool,
    again_at: Time,
    gives_up_at: Time,
    interval: Duration,
}

pub(super) struct Paths {
    pub(super) active: Path,
    /// The peer answered on it; until then it is a guess.
    pub(super) is_latched: bool,
    is_validated: bool,
    /// Apart: a path that is proven needs none.
    challenge: Option<Box<Challenge>>,
    /// Validated, and left for the active one.
    previous: Option<Path>,
    /// Questions about other paths, and answers; apart, for most connections need none.
    probes: Option<Box<Probes>>,
    /// On the active path: what may be sent to an address not validated follows from it.
    pub(super) received: u64,
    pub(super) sent: u64,
    /// When the peer last moved, and how often without a pause.
    moves: (Time, u32),
    /// Where the datagram at hand came from.
    pub(super) from: Path,
    /// What it was marked with.
    pub(super) from_ecn: Ecn,
}

impl Paths {
    pub(super) fn new(path: Path, is_validated: bool) -> Self {
        Paths {
            active: path,
            is_latched: false,
            is_validated,
            challenge: None,
            previous: None,
            probes: None,
            received: 0,
            sent: 0,
            moves: (Time::ZERO, 0),
            from: path,
            from_ecn: Ecn::NotEct,
        }
    }

    /// Questions and answers; made when first needed.
    pub(super) fn probes(&mut self) -> &mut Probes {
        self.probes.get_or_insert_default()
    }

    /// The same, if there ever were any.
    pub(super) fn any_probes(&self) -> Option<&Probes> {
        self.probes.as_deref()
    }

    /// The round trip of `path`, if the peer answered there not long ago.
    pub(super) fn known(&self, path: &Path, now: Time) -> Option<Duration> {
        self.any_probes()?.known(path, now)
    }

    /// Bytes that may go to the active path (RFC 9000 §8.1).
    pub(super) fn room(&self) -> usize {
        if self.is_validated {
            return usize::MAX;
        }
        usize::try_from((self.received * 3).saturating_sub(self.sent)).unwrap_or(usize::MAX)
    }

    pub(super) fn on_received(&mut self, path: Path, len: u64) {
        if path == self.active {
            self.received += len;
        }
    }

    pub(super) fn on_sent(&mut self, len: usize) {
        self.sent += len as u64;
    }

    pub(super) fn is_validated(&self) -> bool {
        self.is_validated
    }

    /// The peer knows what only a packet to this address told it; an outstanding challenge asks for
    /// more.
    pub(super) fn on_proof(&mut self) {
        self.is_validated |= self.challenge.is_none();
    }

    /// Goes to another address before the handshake is confirmed: nothing there to go back to.
    pub(super) fn follow(&mut self, path: Path, is_validated: bool) {
        self.active = path;
        self.is_validated = is_validated;
        (self.received, self.sent, self.challenge) = (0, 0, None);
    }

    /// Counts a move of the peer to be followed; false if there were too many without a pause.
    pub(super) fn may_follow(&mut self, now: Time) -> bool {
        let (last, count) = self.moves;
        let count = if now.since(last) > PAUSE { 1 } else { count.saturating_add(1) };
        self.moves = (now, count);
        count <= FEW_MOVES
    }

    /// The peer moved to `path`. The address left is where to go back to, if it is validated.
    pub(super) fn on_moved(&mut self, path: Path) {
        if self.previous == Some(path) {
            self.go_back();
            return;
        }
        self.leave();
        self.active = path;
        self.is_validated = false;
        // The datagram at hand is counted once it is taken apart.
        (self.received, self.sent) = (0, 0);
    }

    /// We moved, or try another address of the peer's.
    pub(super) fn migrate(&mut self, path: Path) {
        if path != self.active {
            self.leave();
            self.active = path;
            self.is_validated = false;
            (self.received, self.sent) = (TRY_BYTES, 0);
        }
    }

    /// The active path answered before it became that.
    pub(super) fn is_known(&mut self) {
        self.is_validated = true;
        self.challenge = None;
        self.previous = None;
    }

    fn leave(&mut self) {
        if self.is_validated {
            self.previous = Some(self.active);
        }
    }

    /// Asks whether the peer is there: for `interval` × 3, if there is a way back, else until it
    /// answers.
    pub(super) fn challenge(&mut self, data: [u8; 8], interval: Duration, now: Time) {
        let gives_up_at = now + interval * 3;
        let again_at = now + interval;
        let (asked_at, is_due) = (now, true);
        let challenge = Challenge { data, asked_at, is_due, again_at, gives_up_at, interval };
        self.challenge = Some(Box::new(challenge));
    }

    /// What is asked, if it is not answered yet.
    pub(super) fn asked(&self) -> Option<[u8; 8]> {
        self.challenge.as_ref().map(|challenge| challenge.data)
    }

    pub(super) fn is_challenge_due(&self) -> bool {
        self.challenge.as_ref().is_some_and(|challenge| challenge.is_due)
    }

    pub(super) fn on_challenge_sent(&mut self) {
        if let Some(challenge) = &mut self.challenge {
            challenge.is_due = false;
        }
    }

    /// PATH_RESPONSE (RFC 9000 §8.2.3); a late or foreign one is harmless.
    /// How long the peer took to answer, if this was it.
    pub(super) fn on_response(&mut self, data: [u8; 8], now: Time) -> Option<Duration> {
        let challenge = self.challenge.take_if(|challenge| challenge.data == data)?;
        self.is_validated = true;
        self.previous = None;
        Some(now.since(challenge.asked_at))
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let challenge = self.challenge.as_ref()?;
        Some(match self.previous {
            Some(_) => challenge.again_at.min(challenge.gives_up_at),
            None => challenge.again_at,
        })
    }

    /// Does what is due. True if the active path was given up for the previous one.
    pub(super) fn handle_timeout(&mut self, now: Time) -> bool {
        let Some(challenge) = &mut self.challenge else { return false };
        if challenge.gives_up_at <= now && self.previous.is_some() {
            self.go_back();
            return true;
        }
        if challenge.again_at <= now {
            challenge.is_due = true;
            challenge.again_at = now + challenge.interval;
        }
        false
    }

    fn go_back(&mut self) {
        if let Some(previous) = self.previous.take() {
            self.active = previous;
            self.is_validated = true;
            self.challenge = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Path = Path { ip: [1; 16], port: 1, via: 0, socket: 0, ifindex: 0 };
    const B: Path = Path { ip: [2; 16], port: 2, via: 0, socket: 0, ifindex: 0 };
    const C: Path = Path { ip: [3; 16], port: 3, via: 0, socket: 0, ifindex: 0 };
    const INTERVAL: Duration = Duration::from_millis(100);

    fn moved() -> Paths {
        let mut paths = Paths::new(A, true);
        paths.from = B;
        paths.on_moved(B);
        paths.on_received(B, 500);
        paths.challenge([7; 8], INTERVAL, Time::ZERO);
        paths
    }

    #[test]
    fn three_times_what_came_until_it_answers() {
        let mut paths = moved();
        assert_eq!((paths.active, paths.room(), paths.asked()), (B, 1500, Some([7; 8])));
        paths.on_sent(1500);
        assert_eq!(paths.room(), 0);
        paths.on_received(C, 1000);
        assert_eq!(paths.room(), 0);
        paths.on_received(B, 1);
        assert_eq!(paths.room(), 3);
        assert_eq!(paths.on_response([8; 8], Time::ZERO), None);
        assert!(!paths.is_validated());
        assert_eq!(paths.on_response([7; 8], Time::ZERO + INTERVAL), Some(INTERVAL));
        assert_eq!((paths.room(), paths.asked(), paths.deadline()), (usize::MAX, None, None));
    }

    #[test]
    fn an_address_that_does_not_answer_is_left() {
        let mut paths = moved();
        for i in 1..3u32 {
            assert!(paths.is_challenge_due());
            paths.on_challenge_sent();
            let at = Time::ZERO + INTERVAL * i;
            assert_eq!(paths.deadline(), Some(at));
            assert!(!paths.handle_timeout(at));
        }
        assert!(paths.handle_timeout(Time::ZERO + INTERVAL * 3));
        assert_eq!((paths.active, paths.room(), paths.deadline()), (A, usize::MAX, None));
    }

    #[test]
    fn with_no_way_back_it_is_asked_on() {
        let mut paths = moved();
        // It moves on before it answered: B is no place to go back to, A is.
        paths.from = C;
        paths.on_moved(C);
        assert_eq!(paths.previous, Some(A));
        paths.on_moved(A);
        assert_eq!((paths.active, paths.is_validated(), paths.asked()), (A, true, None));
        let mut paths = Paths::new(A, false);
        paths.challenge([7; 8], INTERVAL, Time::ZERO);
        paths.on_challenge_sent();
        assert!(!paths.handle_timeout(Time::ZERO + INTERVAL * 10));
        assert!(paths.is_challenge_due());
    }

    #[test]
    fn a_chase_is_given_up() {
        let mut paths = Paths::new(A, true);
        let at = |s| Time::ZERO + Duration::from_secs(s);
        assert!((0..FEW_MOVES).all(|_| paths.may_follow(at(20))));
        assert!(
            !paths.may_follow(at(20)) && !paths.may_follow(at(28)) && !paths.may_follow(at(36))
        );
        assert!(paths.may_follow(at(45)));
    }

    #[test]
    fn a_proof_counts_unless_a_challenge_waits() {
        let mut paths = Paths::new(A, false);
        paths.challenge([7; 8], INTERVAL, Time::ZERO);
        paths.on_proof();
        assert!(!paths.is_validated());
        paths.follow(B, false);
        paths.on_proof();
        assert!(paths.is_validated());
    }
}
