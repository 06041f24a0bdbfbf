//! Which datagram size a path carries: DPLPMTUD (RFC 8899, RFC 9000 §14.3).
//!
//! Packets of PING and PADDING are sent at sizes between one known to pass and one known not to.
//! Only a connection that fills its datagrams probes: an idle one stays as quiet as it is. A path
//! that stops carrying large packets is noticed and searched anew from the base.

use crate::base::Time;
use core::time::Duration;

/// Lost probes of one size before it counts as too large (MAX_PROBES, RFC 8899 §5.1.2).
const MAX_PROBES: u8 = 3;
/// What Ethernet carries under IPv6: passes most often, so it is tried before anything larger.
const USUAL: usize = 1452;
/// Search ends when no more than this can be gained.
const GRAIN: usize = 16;
/// Large packets lost, while small ones sent after them arrive, before the path counts as changed.
const MAX_LARGE_LOST: u8 = 3;
/// Probe timeouts in a row that may be the size's fault.
const MAX_PTO: u32 = 2;
/// How long a size found too large is believed (PMTU_RAISE_TIMER, RFC 8899 §5.1.1).
const RAISE_AFTER: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct MtuDiscovery {
    /// Passes on every path (BASE_PLPMTU).
    base: usize,
    /// Passes on this one.
    current: usize,
    /// Neither end takes more.
    max: usize,
    /// Does not pass, as far as is known.
    too_large: usize,
    /// The probe under way: its packet number and size.
    probe: Option<(u64, usize)>,
    /// Probes of the size tried that were lost.
    lost_probes: u8,
    /// When to forget `too_large`.
    raise_at: Option<Time>,
    /// A datagram was filled since the last probe.
    is_wanted: bool,
    /// The newest packet larger than the base that arrived, and those lost that were sent later.
    large_acked: u64,
    large_lost: u8,
}

impl MtuDiscovery {
    /// No probe before [`Self::start`].
    pub(super) fn new(base: usize) -> Self {
        MtuDiscovery {
            base,
            current: base,
            max: base,
            too_large: base + 1,
            probe: None,
            lost_probes: 0,
            raise_at: None,
            is_wanted: false,
            large_acked: 0,
            large_lost: 0,
        }
    }

    /// The peer's limit is known: neither end takes more than `max`.
    pub(super) fn start(&mut self, max: usize) {
        let large_acked = self.large_acked;
        let new = Self::new(self.base.min(max));
        *self = MtuDiscovery { max, too_large: max + 1, large_acked, ..new };
    }

    /// Another path: nothing is known of it.
    pub(super) fn restart(&mut self) {
        self.start(self.max);
        (self.large_acked, self.is_wanted) = (0, false);
    }

    /// The largest datagram to send.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// A datagram of `len` bytes is sent; if it is full, larger ones would be of use.
    pub(super) fn on_sent(&mut self, len: usize) {
        self.is_wanted |= len >= self.current;
    }

    /// The size to probe now.
    pub(super) fn next_probe(&mut self, now: Time) -> Option<usize> {
        if !self.is_wanted || self.probe.is_some() {
            return None;
        }
        if self.raise_at.is_some_and(|at| at <= now) {
            self.raise_at = None;
            self.too_large = self.max + 1;
        }
        if self.current < USUAL && USUAL < self.max.min(self.too_large) {
            return Some(USUAL);
        }
        // Then what both ends wish for.
        if self.too_large > self.max {
            return (self.max > self.current).then_some(self.max);
        }
        let size = self.current + (self.too_large - self.current) / 2;
        if self.too_large - self.current <= GRAIN {
            self.raise_at = self.raise_at.or(Some(now + RAISE_AFTER));
            return None;
        }
        Some(size)
    }

    /// Bytes of the probe under way.
    pub(super) fn probe_size(&self) -> u64 {
        self.probe.map_or(0, |(_, size)| size as u64)
    }

    pub(super) fn on_probe_sent(&mut self, pn: u64, size: usize) {
        self.probe = Some((pn, size));
        self.is_wanted = false;
    }

    /// A packet arrived. True if `current` grew.
    pub(super) fn on_acked(&mut self, pn: u64, size: usize) -> bool {
        if size <= self.base {
            return false;
        }
        if pn >= self.large_acked {
            self.large_acked = pn;
            self.large_lost = 0;
        }
        if self.probe.is_none_or(|(probe, _)| probe != pn) {
            return false;
        }
        self.probe = None;
        self.lost_probes = 0;
        let grew = size > self.current;
        self.current = self.current.max(size);
        grew
    }

    /// A packet is lost. True if it was a probe: that says nothing of congestion
    /// (RFC 9000 §14.4).
    pub(super) fn on_lost(&mut self, pn: u64, size: usize) -> bool {
        if size <= self.base {
            return false;
        }
        if let Some((_, size)) = self.probe.filter(|(probe, _)| *probe == pn) {
            self.probe = None;
            self.is_wanted = true;
            self.lost_probes += 1;
            if self.lost_probes >= MAX_PROBES {
                self.lost_probes = 0;
                self.too_large = size;
            }
            return true;
        }
        if pn > self.large_acked {
            self.large_lost += 1;
            if self.large_lost >= MAX_LARGE_LOST {
                self.on_black_hole();
            }
        }
        false
    }

    /// The probe timeout fired `count` times in a row: an outage, or a path that carries no large
    /// packets any more. Begins anew.
    pub(super) fn on_pto(&mut self, count: u32) {
        if count >= MAX_PTO && self.current > self.base {
            self.start(self.max);
        }
    }

    /// Large packets are lost, small ones are not.
    fn on_black_hole(&mut self) {
        let too_large = self.current;
        self.start(self.max);
        if too_large > self.base {
            self.too_large = too_large;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probes until nothing more is wanted, over a path that carries `path` bytes.
    fn search(mtu: &mut MtuDiscovery, path: usize, pn: &mut u64, now: Time) -> u32 {
        let mut probes = 0;
        mtu.on_sent(mtu.current());
        while let Some(size) = mtu.next_probe(now) {
            mtu.on_probe_sent(*pn, size);
            assert_eq!(mtu.next_probe(now), None, "one at a time");
            if size <= path {
                assert!(mtu.on_acked(*pn, size));
            } else {
                assert!(mtu.on_lost(*pn, size));
            }
            *pn += 1;
            probes += 1;
            mtu.on_sent(mtu.current());
        }
        probes
    }

    #[test]
    fn finds_what_a_path_carries() {
        for path in [1200, 1201, 1280, 1400, 1452, 1500, 8900, 9000] {
            let (mut pn, mut mtu) = (0, MtuDiscovery::new(1200));
            mtu.start(8900);
            let probes = search(&mut mtu, path, &mut pn, Time::ZERO);
            let found = mtu.current();
            assert!(found <= path.min(8900) && found + GRAIN > path.min(8900), "{path}: {found}");
            assert!(probes <= 40, "{probes}");
        }
        let mut mtu = MtuDiscovery::new(1200);
        mtu.start(600);
        assert_eq!((mtu.current(), search(&mut mtu, 9000, &mut 0, Time::ZERO)), (600, 0));
    }

    #[test]
    fn the_usual_size_comes_first_and_the_largest_next() {
        let mut mtu = MtuDiscovery::new(1200);
        mtu.start(9000);
        mtu.on_sent(1200);
        assert_eq!(mtu.next_probe(Time::ZERO), Some(USUAL));
        mtu.on_probe_sent(0, USUAL);
        assert!(mtu.on_acked(0, USUAL));
        mtu.on_sent(USUAL);
        assert_eq!(mtu.next_probe(Time::ZERO), Some(9000));
        mtu.start(USUAL - 1);
        mtu.on_sent(1200);
        assert_eq!(mtu.next_probe(Time::ZERO), Some(USUAL - 1));
    }

    #[test]
    fn an_idle_connection_does_not_probe() {
        let mut mtu = MtuDiscovery::new(1200);
        mtu.start(1452);
        mtu.on_sent(1199);
        assert_eq!(mtu.next_probe(Time::ZERO), None);
    }

    #[test]
    fn a_path_that_shrinks_is_noticed_and_one_that_grows_is_tried_again() {
        let (mut pn, mut mtu) = (0, MtuDiscovery::new(1200));
        mtu.start(1452);
        search(&mut mtu, 9000, &mut pn, Time::ZERO);
        assert_eq!(mtu.current(), 1452);
        // Lost before a large one that arrived: congestion. Lost after it: the size, perhaps.
        mtu.on_acked(100, 1452);
        for pn in 50..60 {
            assert!(!mtu.on_lost(pn, 1452));
        }
        assert_eq!(mtu.current(), 1452);
        for pn in 101..104 {
            assert!(!mtu.on_lost(pn, 1452));
        }
        assert_eq!(mtu.current(), 1200);
        search(&mut mtu, 1300, &mut 200, Time::ZERO);
        assert!((1285..=1300).contains(&mtu.current()));
        search(&mut mtu, 9000, &mut 300, Time::ZERO + Duration::from_secs(599));
        assert!(mtu.current() <= 1300);
        search(&mut mtu, 9000, &mut 400, Time::ZERO + Duration::from_secs(601));
        assert_eq!(mtu.current(), 1452);
        mtu.on_pto(2);
        assert_eq!(mtu.current(), 1200);
    }
}
