//! Which of the peer's addresses to ask, when, and which to use.
//!
//! Owns the candidates of an established session and what is known of each. Does not own the
//! connection, which sends the questions. Both ends ask all they know at the same time: that is
//! what opens a hole in the NATs on the way. The initiator chooses the path; the responder does
//! only where the one in use is dead.
//!
//! Invariants: the list is bounded; a candidate that does not answer is asked ever more rarely.

use crate::base::{Path, Side, Time};
use alloc::vec::Vec;
use core::time::Duration;

/// Candidates of one session, relays included.
pub const MAX_CANDIDATES: usize = if cfg!(feature = "std") { 24 } else { 12 };
/// The first wait for an answer; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Questions in a row without an answer that may well be under way.
const FEW_MISSES: u32 = 2;
/// Questions in a row without an answer before a candidate counts as out of reach: 6.3 s.
const MAX_MISSES: u32 = 6;
/// Then it is asked after this long, doubling.
const SLOW_WAIT: Duration = Duration::from_secs(60);
const MAX_SLOW_DOUBLINGS: u32 = 3;
/// Paths that work are asked this often, so that NATs do not forget them.
const KEEP_WARM: Duration = Duration::from_secs(20);
/// So many are kept warm beside the one in use.
const MAX_WARM: usize = 3;
/// Round trips of which the least counts.
const SAMPLES: usize = 4;
/// A relay is worth using where it saves a fifth of the round trip, and this much.
const RELAY_COST: Duration = Duration::from_millis(2);
/// Another path of the same kind is, where it saves an eighth, and this much.
const MIN_GAIN: Duration = Duration::from_millis(1);
/// Probe timeouts in a row that are more than the loss of a packet.
const SURE_TIMEOUTS: u32 = 2;
/// Where the path in use is dead all others are asked so often, for so long.
const TROUBLE_WAIT: Duration = Duration::from_secs(2);
const TROUBLE: Duration = Duration::from_secs(60);
/// Probe timeouts in a row after which the responder goes another way by itself, or sooner, if one
/// answers after the path in use should have. The initiator goes at the first: if both went at
/// once, they would pass each other.
const RESPONDER_PATIENCE: u32 = 2;

#[derive(Clone, Copy, Default)]
struct Samples {
    us: [u32; SAMPLES],
    len: usize,
}

impl Samples {
    fn add(&mut self, rtt: Duration) {
        self.us.rotate_right(1);
        self.us[0] = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        self.len = (self.len + 1).min(SAMPLES);
    }

    fn min(&self) -> Option<Duration> {
        self.us.iter().take(self.len).min().map(|us| Duration::from_micros(u64::from(*us)))
    }
}

struct Candidate {
    path: Path,
    /// The broker or the peer named it. Where a datagram merely came from may be anybody's address.
    is_named: bool,
    /// Questions since the last answer.
    misses: u32,
    /// When the next question is due, if one is.
    ask_at: Option<Time>,
    answered_at: Option<Time>,
    /// When the question was asked that was answered last.
    proven_at: Option<Time>,
    /// It went silent while in use: until an answer to what is asked from then on it is not chosen
    /// again.
    doubted_at: Option<Time>,
    /// It is kept warm.
    is_kept: bool,
    /// The newest round trips, newest first.
    rtts: Samples,
}

impl Candidate {
    fn new(path: Path, is_named: bool, now: Time) -> Self {
        Candidate {
            path,
            is_named,
            misses: 0,
            ask_at: Some(now),
            answered_at: None,
            proven_at: None,
            doubted_at: None,
            is_kept: false,
            rtts: Samples::default(),
        }
    }

    /// Answered, and not silent since for so long that it must be taken for gone.
    fn is_warm(&self) -> bool {
        self.answered_at.is_some() && self.misses <= MAX_MISSES
    }

    /// Answers now, as far as can be known: not just some seconds ago.
    fn answers(&self) -> bool {
        self.misses <= FEW_MISSES && self.cost().is_some()
    }

    /// It is not kept warm: asked rarely, or not unless it asks.
    fn rest(&mut self, now: Time) {
        self.is_kept = false;
        self.ask_at = self.is_named.then(|| now + SLOW_WAIT);
    }

    /// What using it costs, as a time; relays have a handicap.
    fn cost(&self) -> Option<Duration> {
        if self.doubted_at > self.proven_at {
            return None;
        }
        let rtt = self.rtts.min().filter(|_| self.is_warm())?;
        Some(if self.path.via == 0 { rtt } else { rtt + rtt / 4 + RELAY_COST })
    }

    /// How long to wait for the answer to the question just asked; `None`: until it asks again.
    fn wait(&self) -> Option<Duration> {
        if !self.is_named && self.answered_at.is_none() {
            return None;
        }
        Some(match self.misses.checked_sub(MAX_MISSES + 1) {
            None => FIRST_WAIT * (1 << self.misses.saturating_sub(1)),
            Some(more) => SLOW_WAIT * (1 << more.min(MAX_SLOW_DOUBLINGS)),
        })
    }
}

/// What is known of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Which.
    pub path: Path,
    /// Questions since the last answer, or at all.
    pub asked: u32,
    /// The least of the last round trips, if it ever answered.
    pub rtt: Option<Duration>,
    /// How long ago it last answered, if it should have since.
    pub silent_for: Option<Duration>,
}

/// The search for, and the care of, the paths of one session.
pub struct Search {
    side: Side,
    candidates: Vec<Candidate>,
    /// Since when the path in use does not acknowledge.
    in_trouble_since: Option<Time>,
    /// Probe timeouts in a row there.
    unanswered: u32,
    /// Something answered since the last choice.
    has_news: bool,
}

impl Search {
    /// Knows no candidate yet.
    pub fn new(side: Side) -> Self {
        Search {
            side,
            candidates: Vec::new(),
            in_trouble_since: None,
            unanswered: 0,
            has_news: false,
        }
    }

    /// The peer may be at `path`: to be asked at once. One more than [`MAX_CANDIDATES`] takes the
    /// place of one that does not answer, or has none.
    pub fn add(&mut self, path: Path, now: Time) {
        self.add_one(path, true, now);
    }

    fn add_one(&mut self, path: Path, is_named: bool, now: Time) {
        let is_nobodys = path.port == 0 || path.is_multicast();
        if is_nobodys || self.candidates.iter().any(|known| known.path == path) {
            return;
        }
        if self.candidates.len() >= MAX_CANDIDATES {
            let is_silent = |(_, c): &(usize, &Candidate)| !c.is_warm();
            let worst = self.candidates.iter().enumerate().filter(is_silent);
            match worst.max_by_key(|(_, c)| c.misses).map(|(index, _)| index) {
                Some(index) => self.candidates.remove(index),
                None => return,
            };
        }
        self.candidates.reserve_exact(1);
        self.candidates.push(Candidate::new(path, is_named, now));
    }

    /// The peer asked from `path`: it may be there, and its NAT lets our question in now: one for
    /// each of its.
    pub fn on_asked(&mut self, path: Path, now: Time) {
        // Behind NATs that give each address called another port, each question comes from another
        // one: to ask back there would never end, and leads to a host that answers already.
        let is_reached =
            |c: &Candidate| c.answers() && (c.path.ip, c.path.via) == (path.ip, path.via);
        let is_well = self.in_trouble_since.is_none();
        if is_well && self.find(path).is_none() && self.candidates.iter().any(is_reached) {
            return;
        }
        // At one of our further sockets nobody asks by chance: it was searched for.
        self.add_one(path, path.socket != 0, now);
        if let Some(candidate) = self.find(path) {
            if !candidate.is_warm() {
                candidate.ask_at = Some(now);
                candidate.misses = candidate.misses.min(1);
            }
        }
    }

    /// The peer answered on `path`.
    pub fn on_answered(&mut self, path: Path, rtt: Duration, now: Time) {
        self.add_one(path, false, now);
        self.has_news = true;
        let Some(candidate) = self.find(path) else { return };
        candidate.answered_at = Some(now);
        let asked_us = now.as_micros().saturating_sub(rtt.as_micros() as u64);
        candidate.proven_at = Some(Time::from_micros(asked_us));
        candidate.misses = 0;
        candidate.rtts.add(rtt);
        self.keep(path, now);
    }

    /// The best of those that answer are asked often, the others rarely, or not unless they ask.
    fn keep(&mut self, path: Path, now: Time) {
        let Some(cost) = self.find(path).and_then(|candidate| candidate.cost()) else { return };
        let others = self.candidates.iter_mut().filter(|c| c.is_kept && c.path != path);
        let (count, worst) = others.fold((0, None::<&mut Candidate>), |(count, worst), other| {
            let worst = worst.filter(|worst| worst.cost() >= other.cost()).or(Some(other));
            (count + 1, worst)
        });
        let is_kept = match worst {
            Some(worst) if count > MAX_WARM && worst.cost() > Some(cost) => {
                worst.rest(now);
                true
            }
            _ => count <= MAX_WARM,
        };
        if let Some(candidate) = self.find(path) {
            candidate.rest(now);
            if is_kept {
                candidate.is_kept = true;
                // A relay is kept by being bound there.
                let wait = if path.via == 0 { KEEP_WARM } else { SLOW_WAIT };
                candidate.ask_at = Some(now + wait);
            }
        }
    }

    /// What is known of each candidate.
    pub fn tried(&self, now: Time) -> impl Iterator<Item = Tried> + '_ {
        self.candidates.iter().map(move |candidate| Tried {
            path: candidate.path,
            asked: candidate.misses,
            rtt: candidate.rtts.min(),
            silent_for: candidate
                .answered_at
                .filter(|_| !candidate.is_warm())
                .map(|at| now.since(at)),
        })
    }

    /// Whether the peer answers at an address of its own.
    pub fn knows_direct(&self) -> bool {
        self.candidates.iter().any(|candidate| candidate.path.via == 0 && candidate.answers())
    }

    fn find(&mut self, path: Path) -> Option<&mut Candidate> {
        self.candidates.iter_mut().find(|candidate| candidate.path == path)
    }

    /// Our network changed, or the peer's did: nothing learnt so far counts.
    pub fn restart(&mut self, now: Time) {
        for candidate in &mut self.candidates {
            *candidate = Candidate::new(candidate.path, candidate.is_named, now);
        }
    }

    /// The next path to ask.
    pub fn poll_probe(&mut self, now: Time) -> Option<Path> {
        let is_urgent =
            self.is_in_trouble() && self.in_trouble_since.is_some_and(|at| now.since(at) < TROUBLE);
        let is_due = |c: &&mut Candidate| c.ask_at.is_some_and(|at| at <= now);
        let candidate = self.candidates.iter_mut().find(is_due)?;
        candidate.misses = candidate.misses.saturating_add(1);
        let mut wait = candidate.wait();
        if is_urgent {
            wait = wait.map(|wait| wait.min(TROUBLE_WAIT));
        }
        candidate.ask_at = wait.map(|wait| now + wait);
        Some(candidate.path)
    }

    /// Whether the path in use does not acknowledge, and that not by the loss of one packet.
    pub fn is_in_trouble(&self) -> bool {
        self.unanswered >= SURE_TIMEOUTS
    }

    /// When the next question is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.candidates.iter().filter_map(|candidate| candidate.ask_at).min()
    }

    /// How long after a probe timeout the answer to what is sent then is there, if it comes by
    /// `active`.
    fn answer_time(&self, active: Path) -> Duration {
        let known = self.candidates.iter().find(|candidate| candidate.path == active);
        let rtt = known.and_then(|candidate| candidate.rtts.min());
        rtt.map_or(Duration::MAX, |rtt| rtt * 3 / 2)
    }

    /// Where to go from `active`, on which probes timed out `unanswered` times in a row; `None`:
    /// stay.
    pub fn choose(&mut self, active: Path, unanswered: u32, now: Time) -> Option<Path> {
        let has_news = core::mem::take(&mut self.has_news);
        self.unanswered = unanswered;
        if unanswered == 0 && self.in_trouble_since.is_none() && !has_news {
            return None;
        }
        if unanswered == 0 {
            self.in_trouble_since = None;
        } else if self.in_trouble_since.is_none() {
            self.in_trouble_since = Some(now);
            for candidate in &mut self.candidates {
                candidate.ask_at = Some(now);
                candidate.misses = candidate.misses.min(1);
                if candidate.path == active {
                    candidate.doubted_at = Some(now);
                }
            }
        }
        if let Some(since) = self.in_trouble_since {
            let is_sure = match self.side {
                Side::Initiator => unanswered >= 1,
                Side::Responder => {
                    unanswered >= RESPONDER_PATIENCE || now.since(since) >= self.answer_time(active)
                }
            };
            // Asked since, not only answered: the peer may have moved between the two.
            let best = self.cheapest_but(active, since).filter(|_| is_sure);
            return best.map(|(_, path)| path);
        }
        if self.side == Side::Responder {
            return None;
        }
        let current = self.candidates.iter().find(|candidate| candidate.path == active);
        // What it costs is not known before it is asked too.
        let current = current.and_then(Candidate::cost)?;
        let (cost, path) = self.cheapest_but(active, Time::ZERO)?;
        if cost + cost / 8 + MIN_GAIN < current {
            return Some(path);
        }
        if active.via != 0 {
            self.measure_direct(now);
        }
        None
    }

    /// A relay is not used for long because the first round trip past it was long by chance, or
    /// because the way there had to be found: some more are taken.
    fn measure_direct(&mut self, now: Time) {
        let is_new = |c: &&mut Candidate| {
            c.path.via == 0 && c.is_kept && c.rtts.len < SAMPLES && c.misses == 0
        };
        for candidate in self.candidates.iter_mut().filter(is_new) {
            candidate.ask_at = candidate.ask_at.min(Some(now + FIRST_WAIT));
        }
    }

    /// The cheapest of the other paths, of those proven by what was asked since then.
    fn cheapest_but(&self, active: Path, since: Time) -> Option<(Duration, Path)> {
        let mut best: Option<(Duration, Path)> = None;
        for candidate in &self.candidates {
            if candidate.path == active || candidate.proven_at < Some(since) {
                continue;
            }
            let Some(cost) = candidate.cost() else { continue };
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, candidate.path));
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traverse::LAN_GROUPS;

    const RTT: Duration = Duration::from_millis(40);

    fn path(n: u8) -> Path {
        Path::v4([10, 0, 0, n], 1)
    }

    fn relay(n: u8) -> Path {
        Path { via: 1, ..path(n) }
    }

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    fn asked(search: &mut Search, now: Time) -> Vec<Path> {
        core::iter::from_fn(|| search.poll_probe(now)).collect()
    }

    #[test]
    fn what_is_nobodys_address_is_never_a_candidate() {
        let mut search = Search::new(Side::Initiator);
        for path in [Path { port: 0, ..path(1) }, LAN_GROUPS[0], LAN_GROUPS[1]] {
            search.add(path, at(0));
            search.on_asked(path, at(0));
            search.on_answered(path, RTT, at(0));
        }
        assert!(search.tried(at(0)).next().is_none() && asked(&mut search, at(0)).is_empty());
    }

    #[test]
    fn who_does_not_answer_is_asked_ever_more_rarely() {
        let mut search = Search::new(Side::Initiator);
        search.add(path(1), at(0));
        let mut times = Vec::new();
        while times.len() < 12 {
            let now = search.poll_timeout().unwrap();
            assert_eq!(asked(&mut search, now), [path(1)]);
            times.push(now.as_micros() / 1000);
        }
        assert_eq!(times[..7], [0, 100, 300, 700, 1500, 3100, 6300]);
        let waits: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(waits[6..], [60_000, 120_000, 240_000, 480_000, 480_000]);
        // It asks us: perhaps there is a way now.
        let now = at(1_400_000);
        search.on_asked(path(1), now);
        assert_eq!(asked(&mut search, now), [path(1)]);
    }

    #[test]
    fn what_answers_is_kept_warm_but_not_too_much_of_it() {
        let mut search = Search::new(Side::Initiator);
        for n in 1..=6 {
            search.add(path(n), at(0));
        }
        assert_eq!(asked(&mut search, at(0)).len(), 6);
        for n in 1..=6 {
            search.on_answered(path(n), RTT * u32::from(n), at(50));
        }
        assert_eq!(asked(&mut search, at(20_049)), []);
        assert_eq!(asked(&mut search, at(20_050)).len(), MAX_WARM + 1);
        assert_eq!(search.poll_timeout(), Some(at(20_150)), "no answer: again soon");
    }

    #[test]
    fn the_initiator_goes_where_it_costs_least() {
        let mut search = Search::new(Side::Initiator);
        search.on_answered(relay(1), RTT, at(0));
        assert_eq!(search.choose(relay(1), 0, at(0)), None);
        search.add(path(2), at(0));
        assert_eq!(search.choose(relay(1), 0, at(0)), None, "it has not answered");
        search.on_answered(path(2), RTT + RTT / 20, at(0));
        assert_eq!(search.choose(relay(1), 0, at(0)), Some(path(2)), "direct, if about as near");
        assert_eq!(search.choose(path(2), 0, at(0)), None);
        // Not for a little.
        search.on_answered(path(3), RTT, at(0));
        assert_eq!(search.choose(path(2), 0, at(0)), None);
        search.on_answered(path(4), RTT / 2, at(0));
        assert_eq!(search.choose(path(2), 0, at(0)), Some(path(4)));
        // A relay that is much nearer is better than any of them.
        search.on_answered(relay(5), RTT / 10, at(0));
        assert_eq!(search.choose(path(4), 0, at(0)), Some(relay(5)));
        let mut search = Search { side: Side::Responder, ..search };
        assert_eq!(search.choose(path(4), 0, at(0)), None, "not the responder's to say");
    }

    #[test]
    fn a_first_round_trip_that_is_long_by_chance_does_not_keep_a_relay() {
        let mut search = Search::new(Side::Initiator);
        search.on_answered(relay(1), RTT, at(0));
        search.on_answered(path(2), RTT * 2, at(0));
        for (n, now) in [100, 200, 300].map(at).into_iter().enumerate() {
            assert_eq!(search.choose(relay(1), 0, now), None);
            assert_eq!(search.poll_timeout(), Some(now + FIRST_WAIT));
            assert_eq!(asked(&mut search, now + FIRST_WAIT), [path(2)]);
            search.on_answered(path(2), RTT * 2, now + FIRST_WAIT);
            assert_eq!(search.find(path(2)).map(|c| c.rtts.len), Some(n + 2));
        }
        // It is as far as it seemed.
        assert_eq!(search.choose(relay(1), 0, at(400)), None);
        assert_eq!(asked(&mut search, at(20_399)), []);
        // Or it is not.
        let mut search = Search::new(Side::Initiator);
        search.on_answered(relay(1), RTT, at(0));
        search.on_answered(path(2), RTT * 2, at(0));
        assert_eq!(search.choose(relay(1), 0, at(0)), None);
        search.on_answered(path(2), RTT, at(140));
        assert_eq!(search.choose(relay(1), 0, at(140)), Some(path(2)));
    }

    #[test]
    fn a_dead_path_is_left_for_one_that_answers_now() {
        for (side, patience) in [(Side::Initiator, 1), (Side::Responder, RESPONDER_PATIENCE)] {
            let mut search = Search::new(side);
            for n in 1..=3 {
                search.on_answered(path(n), RTT, at(0));
            }
            // Long silent.
            search.add(path(4), at(0));
            (0..9).for_each(|n| drop(asked(&mut search, at(n * 7_000))));
            let now = at(64_000);
            assert_eq!(search.choose(path(1), 1, now), None, "none answered since");
            let mut all = asked(&mut search, now);
            all.sort();
            all.retain(|asked| *asked != path(1));
            assert_eq!(all, [path(2), path(3), path(4)], "all others are asked at once");
            assert!(!search.is_in_trouble(), "a packet may be lost");
            search.choose(path(1), 2, now);
            assert!(search.is_in_trouble());
            let last = (1..=20).flat_map(|s| asked(&mut search, now + Duration::from_secs(s * 2)));
            assert!(last.filter(|asked| *asked == path(4)).count() > 15, "and on and on");
            assert_eq!(search.choose(path(1), 1, now), None);
            search.on_answered(path(3), RTT, now + RTT);
            let early = search.choose(path(1), 1, now + RTT);
            assert_eq!(early, Some(path(3)).filter(|_| patience == 1));
            assert_eq!(search.choose(path(1), patience, now + RTT), Some(path(3)));
            // It works again.
            assert_eq!(search.choose(path(1), 0, now + RTT), None);
            assert_eq!(search.choose(path(1), patience, now + RTT), None, "another time");
        }
    }

    #[test]
    fn a_path_that_went_silent_has_to_answer_before_it_is_chosen_again() {
        let mut search = Search::new(Side::Initiator);
        search.on_answered(path(1), RTT, at(0));
        search.on_answered(path(2), RTT * 3, at(0));
        assert_eq!(search.choose(path(1), 1, at(100)), None);
        assert_eq!(asked(&mut search, at(100)), [path(1), path(2)]);
        search.on_answered(path(2), RTT * 3, at(220));
        assert_eq!(search.choose(path(1), 1, at(220)), Some(path(2)));
        // An answer from before it went silent comes late.
        search.on_answered(path(1), RTT * 4, at(221));
        assert_eq!(search.choose(path(2), 0, at(221)), None);
        search.on_answered(path(1), RTT, at(300));
        assert_eq!(search.choose(path(2), 0, at(300)), Some(path(1)));
    }

    #[test]
    fn a_responder_waits_as_long_as_an_answer_on_the_path_in_use_takes() {
        for (later, choice) in [(59, None), (60, Some(path(2)))] {
            let mut search = Search::new(Side::Responder);
            search.on_answered(path(1), RTT, at(0));
            assert_eq!(search.choose(path(1), 1, at(100)), None);
            search.on_answered(path(2), RTT / 2, at(100 + later));
            assert_eq!(search.choose(path(1), 1, at(100 + later)), choice);
        }
    }

    #[test]
    fn what_went_silent_does_not_keep_another_port_of_it_from_being_asked() {
        let mut search = Search::new(Side::Initiator);
        let other = Path { port: 2, ..path(1) };
        search.on_answered(path(1), RTT, at(0));
        search.on_asked(other, at(1));
        assert_eq!(asked(&mut search, at(1)), [], "the peer answers already");
        assert!(search.knows_direct());
        // The session goes on by a relay, which is well.
        search.on_answered(relay(9), RTT, at(1));
        search.choose(path(1), 1, at(100));
        search.on_answered(relay(9), RTT, at(200));
        assert_eq!(search.choose(path(1), 1, at(200)), Some(relay(9)));
        search.choose(relay(9), 0, at(201));
        asked(&mut search, at(201));
        assert!(!search.knows_direct());
        search.on_asked(other, at(202));
        assert_eq!(asked(&mut search, at(202)), [other]);
    }

    #[test]
    fn limits_at_and_over() {
        let mut search = Search::new(Side::Initiator);
        search.add(Path { port: 0, ..path(1) }, at(0));
        assert_eq!(search.candidates.len(), 0);
        for n in 0..MAX_CANDIDATES as u8 {
            search.add(path(n), at(0));
            search.add(path(n), at(0));
        }
        assert_eq!(search.candidates.len(), MAX_CANDIDATES);
        search.on_answered(path(0), RTT, at(0));
        asked(&mut search, at(0));
        search.add(path(100), at(1));
        assert_eq!(search.candidates.len(), MAX_CANDIDATES);
        assert_eq!(asked(&mut search, at(1)), [path(100)]);
        for n in 1..=100 {
            search.on_answered(path(n), RTT, at(2));
        }
        search.add(path(200), at(3));
        assert_eq!(asked(&mut search, at(3)), [], "all of them answer");
    }
}
