//! The search for a way between an end whose NAT gives it another port for each address that it
//! calls, and one whose NAT keeps its port but lets in only who was called there.
//!
//! Owns which path is tried when. The first end spreads: it sends from many of its own sockets, so
//! that as many of its NAT's ports lead back to it. The other hunts: it sends to many ports of the
//! first one's address. A datagram that meets one of those ports goes through, since each end has
//! called the other there: the birthday problem. With S sockets and H ports tried of 64512, none
//! meets with the chance of (1 - S / 64512)^H: less than 2 % at 511 and 512. Neither end can do it
//! alone, so both begin with the session, or when it has come back to a relay, by the same clock.
//!
//! Invariants: no more than [`MAX_PROBES`] at a time, in [`SEARCH_TIME`]; a search that found
//! nothing is followed by the next one ever later.

use crate::base::{Path, Rng, Time};
use crate::wire::message::{MAPPING_DEPENDENT, MAPPING_UNKNOWN};
use core::time::Duration;

/// Questions of one end in one search.
pub const MAX_PROBES: u16 = 512;
/// From the beginning to the last question.
pub const SEARCH_TIME: Duration = Duration::from_millis(4400);

/// Most pairs of NATs are done without in this time.
const PATIENCE: Duration = Duration::from_millis(500);
/// From one socket to the next: all are used in a second.
const SPREAD_INTERVAL: Duration = Duration::from_millis(2);
/// The hunt begins where most of that is done.
const HUNT_DELAY: Duration = Duration::from_millis(1200);
/// From one port to the next.
const HUNT_INTERVAL: Duration = Duration::from_micros(6250);
/// Who is so late was asleep.
const LATE: Duration = Duration::from_secs(1);
/// From the beginning of one to that of the next, where what was found is lost again.
const REST: Duration = Duration::from_secs(20);
/// Until the second search; doubles.
const AGAIN: Duration = Duration::from_secs(600);
const MAX_DOUBLINGS: u32 = 5;
/// A NAT that counts up has opened a run of ports by then, from about the one the broker saw: so
/// far behind that one the hunt begins.
const GUESSES: [u16; 8] = [2, 64, 128, 192, 256, 320, 384, 448];
const PORT_MIN: u16 = 1024;
const PORT_COUNT: u32 = 65_536 - PORT_MIN as u32;
/// Has no divisor in common with [`PORT_COUNT`], so that no port comes twice.
const STRIDE: u32 = 24_671;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Spread,
    Hunt,
}

/// One end's part in it.
#[derive(Debug)]
pub struct PortSearch {
    part: Part,
    /// Where the broker saw the peer.
    peer: Path,
    limit: u16,
    first_port: u16,
    /// Since when there is but a relay; `None`: there is something better.
    relayed_since: Option<Time>,
    /// When the search at hand began, or the next one will.
    begins_at: Time,
    /// When the last one did.
    began_at: Option<Time>,
    sent: u16,
    searches: u32,
}

impl PortSearch {
    /// `own` and `peers` are how the NATs map, of the messages' `MAPPING_*`; `sockets` of our own
    /// can be sent from beside the first. `None` where a search is not what helps, or cannot be.
    pub fn new(own: u8, peers: u8, peer: Path, sockets: u16, rng: &mut Rng) -> Option<PortSearch> {
        let part = match (own, peers) {
            (MAPPING_UNKNOWN, _) | (MAPPING_DEPENDENT, MAPPING_DEPENDENT) => return None,
            (MAPPING_DEPENDENT, _) if sockets > 0 => Part::Spread,
            (MAPPING_DEPENDENT, _) => return None,
            // Two that keep their ports need no search: what fails there is a peer whose NAT looks
            // at addresses alone, which its broker cannot see.
            _ => Part::Hunt,
        };
        Some(PortSearch {
            part,
            peer,
            limit: if part == Part::Spread { sockets.min(MAX_PROBES) } else { MAX_PROBES },
            first_port: PORT_MIN + rng.below(u64::from(PORT_COUNT)) as u16,
            relayed_since: None,
            begins_at: Time::ZERO,
            began_at: None,
            sent: 0,
            searches: 0,
        })
    }

    /// Whether the session has but a relay now. A search begins where it comes to that, and ends
    /// where it does not need one.
    pub fn set_relayed(&mut self, is_relayed: bool, now: Time) {
        if !is_relayed {
            self.relayed_since = None;
        } else if self.relayed_since.is_none() {
            self.relayed_since = Some(now);
            let begins_at = self.began_at.map_or(now, |at| now.max(at + REST));
            (self.begins_at, self.sent, self.searches) = (begins_at, 0, 0);
        }
    }

    /// Questions sent in the search at hand, or the last one.
    pub fn sent(&self) -> u16 {
        self.sent
    }

    /// When the next question is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.relayed_since.map(|_| self.begins_at + self.offset())
    }

    fn offset(&self) -> Duration {
        let n = u32::from(self.sent % self.limit);
        match self.part {
            Part::Spread => PATIENCE + SPREAD_INTERVAL * n,
            Part::Hunt => HUNT_DELAY + HUNT_INTERVAL * n,
        }
    }

    /// The next path to ask, if one is due.
    pub fn poll_probe(&mut self, now: Time) -> Option<Path> {
        let due = self.poll_timeout().filter(|at| *at <= now)?;
        if now.since(due) >= LATE {
            // We slept: what is left is not asked all at once.
            self.begins_at = self.begins_at + now.since(due);
        }
        self.sent %= self.limit;
        if self.sent == 0 {
            self.began_at = Some(self.begins_at);
        }
        let path = match self.part {
            Part::Spread => Path { socket: self.sent + 1, ..self.peer },
            Part::Hunt => Path { port: self.port(self.sent), ..self.peer },
        };
        self.sent += 1;
        if self.sent == self.limit {
            self.begins_at = self.begins_at + AGAIN * (1 << self.searches.min(MAX_DOUBLINGS));
            self.searches += 1;
        }
        Some(path)
    }

    /// The port to try after so many.
    fn port(&self, n: u16) -> u16 {
        match GUESSES.get(usize::from(n)) {
            Some(further) => plus(self.peer.port, u32::from(*further)),
            None => plus(self.first_port, u32::from(n) * STRIDE),
        }
    }
}

/// A port so many further, round the range of those that NATs give out.
fn plus(port: u16, more: u32) -> u16 {
    let at = u32::from(port.saturating_sub(PORT_MIN)) + more;
    PORT_MIN + (at % PORT_COUNT) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::MAPPING_INDEPENDENT;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    const PEER: [u8; 4] = [192, 0, 2, 7];

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    fn search(own: u8, peers: u8, sockets: u16) -> Option<PortSearch> {
        let mut rng = Rng::from_seed([1; 32]);
        PortSearch::new(own, peers, Path::v4(PEER, 5000), sockets, &mut rng)
    }

    #[test]
    fn who_slept_goes_on_where_it_was() {
        let mut hunt = search(MAPPING_INDEPENDENT, MAPPING_DEPENDENT, 0).unwrap();
        hunt.set_relayed(true, at(0));
        assert_eq!(run(&mut hunt, at(2000)).len(), 129);
        assert!(hunt.poll_probe(at(60_000)).is_some());
        assert_eq!(hunt.poll_probe(at(60_000)), None);
        assert_eq!(run(&mut hunt, at(65_000)).len(), 512 - 130);
    }

    /// What is asked until `end`, and when, in milliseconds.
    fn run(search: &mut PortSearch, end: Time) -> Vec<(u64, Path)> {
        let mut out = Vec::new();
        while let Some(now) = search.poll_timeout().filter(|at| *at <= end) {
            let path = search.poll_probe(now).unwrap();
            assert_eq!(search.poll_probe(now), None, "one at a time");
            out.push((now.as_micros() / 1000, path));
        }
        out
    }

    #[test]
    fn only_where_one_nat_keeps_the_port() {
        let kinds = [MAPPING_UNKNOWN, MAPPING_INDEPENDENT, MAPPING_DEPENDENT];
        for (own, peers) in kinds.iter().flat_map(|own| kinds.map(|peers| (*own, peers))) {
            let is_hopeless = own == MAPPING_DEPENDENT && peers == MAPPING_DEPENDENT;
            let is_worth_it = own != MAPPING_UNKNOWN && !is_hopeless;
            assert_eq!(search(own, peers, 9).is_some(), is_worth_it, "{own} {peers}");
        }
        assert!(search(MAPPING_DEPENDENT, MAPPING_INDEPENDENT, 0).is_none(), "without sockets");
        assert!(search(MAPPING_INDEPENDENT, MAPPING_DEPENDENT, 0).is_some(), "none are needed");
    }

    #[test]
    fn one_spreads_over_its_sockets_and_the_other_over_ports() {
        let mut spread = search(MAPPING_DEPENDENT, MAPPING_INDEPENDENT, 511).unwrap();
        let mut hunt = search(MAPPING_INDEPENDENT, MAPPING_DEPENDENT, 0).unwrap();
        assert_eq!((spread.poll_timeout(), hunt.poll_timeout()), (None, None));
        spread.set_relayed(true, at(0));
        hunt.set_relayed(true, at(0));
        let end = Time::ZERO + SEARCH_TIME;
        let asked = run(&mut spread, end);
        let sockets: BTreeSet<u16> = asked.iter().map(|(_, path)| path.socket).collect();
        assert_eq!((sockets.first(), sockets.last(), sockets.len()), (Some(&1), Some(&511), 511));
        assert!(asked.iter().all(|(ms, path)| (500..1522).contains(ms) && path.port == 5000));
        let asked = run(&mut hunt, end);
        let ports: BTreeSet<u16> = asked.iter().map(|(_, path)| path.port).collect();
        assert_eq!((asked.len(), ports.len()), (512, 512), "none twice");
        assert!(ports.first() >= Some(&1024) && ports.contains(&5002) && ports.contains(&5448));
        assert!(asked.iter().all(|(ms, path)| *ms >= 1200 && path.socket == 0));
        assert_eq!((spread.sent(), hunt.sent()), (511, 512));
    }

    #[test]
    fn what_found_nothing_is_tried_again_ever_later_and_at_the_same_time() {
        let mut spread = search(MAPPING_DEPENDENT, MAPPING_INDEPENDENT, 600).unwrap();
        let mut hunt = search(MAPPING_INDEPENDENT, MAPPING_DEPENDENT, 0).unwrap();
        let mut begins = Vec::new();
        for search in [&mut spread, &mut hunt] {
            search.set_relayed(true, at(0));
            let asked = run(search, at(45_000_000));
            assert_eq!(asked.len() % usize::from(MAX_PROBES), 0);
            let first = asked.chunks(usize::from(MAX_PROBES)).map(|all| all[0].0 / 1000);
            begins.push(first.collect::<Vec<_>>());
        }
        assert_eq!(begins[0], [0, 600, 1800, 4200, 9000, 18_600, 37_800]);
        assert_eq!(begins[1], [1, 601, 1801, 4201, 9001, 18_601, 37_801]);
    }

    #[test]
    fn it_ends_where_there_is_a_better_way_and_begins_where_that_is_lost() {
        let mut hunt = search(MAPPING_INDEPENDENT, MAPPING_DEPENDENT, 0).unwrap();
        hunt.set_relayed(true, at(0));
        assert_eq!(run(&mut hunt, at(1300)).len(), 17);
        hunt.set_relayed(true, at(1300));
        assert_eq!(run(&mut hunt, at(1310)).len(), 1, "the same one goes on");
        hunt.set_relayed(false, at(1310));
        assert_eq!(hunt.poll_timeout(), None);
        // One that began is rested from, however often what it found is lost.
        for ms in [9000, 19_999, 20_000] {
            hunt.set_relayed(true, at(ms));
            assert_eq!(hunt.poll_timeout(), Some(at(20_000) + HUNT_DELAY));
            hunt.set_relayed(false, at(ms));
        }
        hunt.set_relayed(true, at(20_001));
        assert_eq!(hunt.poll_timeout(), Some(at(20_001) + HUNT_DELAY));
        // One that did not cost nothing.
        hunt.set_relayed(false, at(20_002));
        hunt.set_relayed(true, at(20_003));
        assert_eq!(hunt.poll_timeout(), Some(at(20_003) + HUNT_DELAY));
    }

    #[test]
    fn ports_go_round() {
        assert_eq!((plus(65_535, 1), plus(1024, PORT_COUNT), plus(80, 0)), (1024, 1024, 1024));
    }
}
