//! Asking one's own network for the peer, by multicast: the way to one that is on it, though nobody
//! could tell its address there.
//!
//! Owns when that is asked. The question is an ordinary PATH_CHALLENGE of the connection, so that
//! only the peer can open it; it comes from the asker's own address, by which the two then find
//! each other as by any other. A group is never a path: an answer proves nothing of it.
//!
//! Invariants: no more than [`ASKS`] questions to each group in [`REST`], however often the way to
//! the peer changes; none once the path in use stays on the network.

use super::lan_groups::LAN_GROUPS;
use crate::base::{Path, Time};
use core::time::Duration;

/// Questions to each group in a row: some are lost.
const ASKS: u32 = 3;
/// Most that are neighbours know it by then without being asked.
const PATIENCE: Duration = Duration::from_millis(500);
/// From the first question to the second; doubles.
const WAIT: Duration = Duration::from_secs(1);
/// From the beginning of one row to that of the next.
const REST: Duration = Duration::from_secs(10);

/// One session's questions to the network that this node is on.
#[derive(Debug)]
pub struct Lan {
    /// When the next one is due.
    ask_at: Option<Time>,
    /// Said so far in the row at hand, to either group.
    asked: usize,
    /// When the row at hand began, or the last one.
    began_at: Option<Time>,
    /// Another row is to follow the one at hand.
    is_wanted_again: bool,
    is_relayed: bool,
    is_in_trouble: bool,
}

impl Lan {
    /// The session is up.
    pub fn new(now: Time) -> Self {
        let mut lan = Lan {
            ask_at: None,
            asked: 0,
            began_at: None,
            is_wanted_again: false,
            is_relayed: false,
            is_in_trouble: false,
        };
        lan.begin(now);
        lan
    }

    /// The same, where it is wanted.
    pub fn if_wanted(is_wanted: bool, now: Time) -> Option<Self> {
        is_wanted.then(|| Lan::new(now))
    }

    /// The peer may be near now: our network changed, or the way to it was lost.
    pub fn begin(&mut self, now: Time) {
        if self.ask_at.is_some() {
            self.is_wanted_again |= self.asked > 0;
            return;
        }
        let rested = self.began_at.map(|at| at + REST);
        self.ask_at = (now + PATIENCE).max(rested.unwrap_or(now)).into();
        self.asked = 0;
    }

    /// The session uses `active`, which is dead if it `is_in_trouble`; this node's addresses are
    /// `own`.
    pub fn look(&mut self, active: Path, is_in_trouble: bool, own: &[Path], now: Time) {
        let is_relayed = active.via != 0;
        if is_relayed && !self.is_relayed || is_in_trouble && !self.is_in_trouble {
            self.begin(now);
        }
        (self.is_relayed, self.is_in_trouble) = (is_relayed, is_in_trouble);
        if self.ask_at.is_some() && !is_in_trouble && is_near(&active, own) {
            (self.ask_at, self.is_wanted_again) = (None, false);
        }
    }

    /// When the next question is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.ask_at
    }

    /// The group to ask next, if one is due.
    pub fn poll_probe(&mut self, now: Time) -> Option<Path> {
        let at = self.ask_at.filter(|at| *at <= now)?;
        if self.asked == 0 {
            self.began_at = Some(now);
        }
        let group = LAN_GROUPS.get(self.asked % LAN_GROUPS.len()).copied();
        self.asked += 1;
        if self.asked % LAN_GROUPS.len() == 0 {
            let round = (self.asked / LAN_GROUPS.len()) as u32;
            self.ask_at = (round < ASKS).then(|| at.max(now) + WAIT * (1 << (round - 1)));
            if self.ask_at.is_none() && core::mem::take(&mut self.is_wanted_again) {
                self.begin(now);
            }
        }
        group
    }
}

/// Whether a path stays on this node's own network, as far as addresses tell: a part of the network
/// as small as most are, so that a mistake costs some questions and not the way.
fn is_near(path: &Path, own: &[Path]) -> bool {
    let bytes = if is_v4(path) { 15 } else { 8 };
    let is_alone = match path.ip {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, ..] => a == 127 || (a, b) == (169, 254),
        [0xfe, b, ..] => b & 0xc0 == 0x80,
        ip => ip == core::net::Ipv6Addr::LOCALHOST.octets(),
    };
    path.via == 0 && (is_alone || own.iter().any(|own| own.ip[..bytes] == path.ip[..bytes]))
}

fn is_v4(path: &Path) -> bool {
    path.socket_addr().is_ipv4()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traverse::lan_groups::group;
    use alloc::vec::Vec;

    const PEER: Path = group([0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9]);

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    fn relay() -> Path {
        Path { via: 1, ..Path::v4([198, 51, 100, 1], 7480) }
    }

    /// When each group was asked, in milliseconds, until `end`.
    fn asked(lan: &mut Lan, end: Time) -> Vec<u64> {
        let mut times = Vec::new();
        while let Some(now) = lan.poll_timeout().filter(|at| *at <= end) {
            let groups: Vec<Path> = core::iter::from_fn(|| lan.poll_probe(now)).collect();
            assert_eq!(groups, LAN_GROUPS);
            times.push(now.as_micros() / 1000);
        }
        times
    }

    #[test]
    fn a_few_questions_follow_the_beginning() {
        let mut lan = Lan::new(at(0));
        lan.look(relay(), false, &[], at(0));
        assert_eq!(lan.poll_probe(at(499)), None);
        assert_eq!(asked(&mut lan, at(1_000_000)), [500, 1500, 3500]);
        lan.look(relay(), false, &[], at(1_000_000));
        assert_eq!(lan.poll_timeout(), None);
    }

    #[test]
    fn who_is_near_is_not_asked_for() {
        let near = [
            (Path::v4([192, 168, 1, 7], 9), [192, 168, 1, 200]),
            (Path::v4([169, 254, 1, 7], 9), [10, 0, 0, 1]),
            (Path::v4([127, 0, 0, 7], 9), [10, 0, 0, 1]),
        ];
        for (path, own) in near {
            let mut lan = Lan::new(at(0));
            lan.look(path, false, &[Path::v4([10, 1, 1, 1], 1), Path::v4(own, 1)], at(499));
            assert_eq!(lan.poll_timeout(), None, "{path:?}");
        }
        let v6 = |ip: [u16; 8]| group(core::net::Ipv6Addr::from(ip).octets());
        let own = [Path::v4([192, 168, 1, 2], 1), v6([0x2001, 0xdb8, 0, 1, 0, 0, 0, 1])];
        for (path, is) in [
            (PEER, true),
            (v6([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]), false),
            (v6([0xfe80, 0, 0, 0, 0, 0, 0, 1]), true),
            (v6([0, 0, 0, 0, 0, 0, 0, 1]), true),
            (Path { via: 1, ..PEER }, false),
            (Path::v4([192, 168, 2, 2], 1), false),
            (Path::v4([203, 0, 113, 2], 1), false),
        ] {
            assert_eq!(is_near(&path, &own), is, "{path:?}");
        }
    }

    #[test]
    fn it_is_asked_again_where_the_way_is_lost() {
        let own = [PEER];
        let mut lan = Lan::new(at(0));
        lan.look(PEER, false, &own, at(0));
        assert_eq!(lan.poll_timeout(), None);
        // The way is dead: that it is a near one means nothing.
        lan.look(PEER, true, &own, at(5_000));
        assert_eq!(asked(&mut lan, at(6_000)), [5_500]);
        lan.look(PEER, true, &own, at(6_000));
        lan.look(relay(), false, &own, at(6_000));
        assert_eq!(asked(&mut lan, at(9_000)), [6_500, 8_500]);
        // It was lost to a relay meanwhile: again, but not at once.
        assert_eq!(asked(&mut lan, at(100_000)), [15_500, 16_500, 18_500]);
        lan.look(PEER, false, &own, at(100_000));
        lan.begin(at(200_000));
        assert_eq!(lan.poll_timeout(), Some(at(200_500)));
        lan.look(PEER, false, &own, at(200_499));
        assert_eq!(lan.poll_timeout(), None);
    }

    #[test]
    fn however_often_it_is_wanted_the_questions_are_few() {
        let mut lan = Lan::new(at(0));
        let mut times = Vec::new();
        for ms in (0..100_000).step_by(100) {
            lan.begin(at(ms));
            lan.look(relay(), ms % 200 == 0, &[], at(ms));
            times.extend(asked(&mut lan, at(ms)));
        }
        assert_eq!(times.len(), 3 * 10);
        for ms in 0..90_000 {
            let within = times.iter().filter(|at| (ms..ms + 10_000).contains(*at));
            assert!(within.count() <= ASKS as usize, "from {ms}");
        }
    }
}
