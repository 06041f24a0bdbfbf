//! Simulated links: what happens to a datagram between two addresses.
//!
//! Owns delay, jitter, rate and queue, loss, reordering, duplication, corruption and MTU, all
//! drawn from one seeded generator. Knows nothing of protocols. Sans-I/O like the core: `send`
//! puts a datagram in, `pop` takes out what has arrived by `now`.
//!
//! Invariant: deliveries leave in order of arrival time, ties in order of sending.

use super::sites::SiteId;
use rit_core::base::{Ecn, Path, Rng, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// What one direction of a link does to datagrams. Shares are in parts per million.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// One-way propagation delay.
    pub delay: Duration,
    /// Further delay up to this much, evenly drawn; never reorders by itself.
    pub jitter: Duration,
    /// Bytes per second the link carries; none: as fast as they come.
    pub rate_bytes_per_s: Option<u64>,
    /// Bytes that wait for the link at most; a datagram over this is dropped.
    pub queue_bytes: u64,
    /// Share of datagrams lost.
    pub loss_ppm: u32,
    /// Share of datagrams held back so that later ones overtake them.
    pub reorder_ppm: u32,
    /// How long a held-back datagram is late, at most.
    pub reorder_by: Duration,
    /// Share of datagrams delivered twice.
    pub duplicate_ppm: u32,
    /// Share of datagrams with one to three bits flipped.
    pub corrupt_ppm: u32,
    /// Largest datagram carried, UDP payload bytes.
    pub mtu: usize,
    /// Whether anything passes at all.
    pub up: bool,
    /// What becomes of datagrams that can carry a mark of congestion.
    pub ecn: EcnTreatment,
}

/// What a link does to a datagram with an ECN codepoint (RFC 3168).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcnTreatment {
    /// Lets it pass as it is.
    Pass,
    /// Marks it where more than so many bytes wait for the link.
    MarkAbove(u64),
    /// Marks it, whatever the load.
    MarkAll,
    /// Takes the codepoint away.
    Clear,
    /// Drops it.
    Drop,
}

impl LinkConfig {
    /// A link that only delays.
    pub fn clean(delay: Duration) -> Self {
        LinkConfig {
            delay,
            jitter: Duration::ZERO,
            rate_bytes_per_s: None,
            queue_bytes: u64::MAX,
            loss_ppm: 0,
            reorder_ppm: 0,
            reorder_by: Duration::ZERO,
            duplicate_ppm: 0,
            corrupt_ppm: 0,
            mtu: 1472,
            up: true,
            ecn: EcnTreatment::Pass,
        }
    }

    /// The bad day: 50 ms, 5 % loss, 2 % reordering, 1 % duplication, 1 % corruption.
    pub fn hostile() -> Self {
        LinkConfig {
            jitter: Duration::from_millis(2),
            loss_ppm: 50_000,
            reorder_ppm: 20_000,
            reorder_by: Duration::from_millis(40),
            duplicate_ppm: 10_000,
            corrupt_ppm: 10_000,
            ..LinkConfig::clean(Duration::from_millis(50))
        }
    }
}

/// A datagram on its way or arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Whose network it is on; the same addresses may be on others too.
    pub site: SiteId,
    /// The sender's address.
    pub src: Path,
    /// The receiver's address.
    pub dst: Path,
    /// Its IP packet's ECN codepoint.
    pub ecn: Ecn,
    /// UDP payload.
    pub bytes: Vec<u8>,
}

/// What the network did, for tests that must know that it did something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Datagrams handed in.
    pub sent: u64,
    /// Datagrams handed out, copies included.
    pub delivered: u64,
    /// Lost by chance, queue, MTU or a link that is down.
    pub lost: u64,
    /// Held back.
    pub reordered: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Bits flipped in.
    pub corrupted: u64,
    /// Marked as having met congestion.
    pub marked: u64,
}

#[derive(Default)]
struct LinkState {
    /// When the link has sent all that waits for it.
    free_at: Time,
    /// Arrival of the latest in-order datagram, so that jitter does not reorder.
    latest: Time,
}

/// All links between all addresses.
pub struct Net {
    rng: Rng,
    default: LinkConfig,
    configs: BTreeMap<(Path, Path), LinkConfig>,
    states: BTreeMap<(SiteId, Path, Path), LinkState>,
    site_defaults: BTreeMap<SiteId, LinkConfig>,
    in_flight: BTreeMap<(Time, u64), Datagram>,
    next_id: u64,
    /// Counters so far.
    pub stats: NetStats,
}

impl Net {
    /// A network whose links are all like `default` until told otherwise.
    pub fn new(default: LinkConfig, rng: Rng) -> Self {
        Net {
            rng,
            default,
            configs: BTreeMap::new(),
            states: BTreeMap::new(),
            site_defaults: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_id: 0,
            stats: NetStats::default(),
        }
    }

    /// Changes what links without a setting of their own do, from the next datagram on.
    pub fn set_default(&mut self, config: LinkConfig) {
        self.default = config;
    }

    /// The same for the links of one site's own network.
    pub fn set_site_default(&mut self, site: SiteId, config: LinkConfig) {
        self.site_defaults.insert(site, config);
    }

    /// Gives both directions between two addresses a setting of their own.
    pub fn set_link(&mut self, a: Path, b: Path, config: LinkConfig) {
        self.configs.insert((a, b), config.clone());
        self.configs.insert((b, a), config);
    }

    /// The setting of the direction `src` → `dst`.
    pub fn link(&self, src: Path, dst: Path) -> &LinkConfig {
        self.configs.get(&(src, dst)).unwrap_or(&self.default)
    }

    fn link_of(&self, datagram: &Datagram) -> &LinkConfig {
        let default = self.site_defaults.get(&datagram.site).unwrap_or(&self.default);
        self.configs.get(&(datagram.src, datagram.dst)).unwrap_or(default)
    }

    /// Cuts or heals both directions between two addresses.
    pub fn set_up(&mut self, a: Path, b: Path, up: bool) {
        for (src, dst) in [(a, b), (b, a)] {
            let config = LinkConfig { up, ..self.link(src, dst).clone() };
            self.configs.insert((src, dst), config);
        }
    }

    /// Takes a datagram; what comes out of the far end, and when, is decided here.
    pub fn send(&mut self, mut datagram: Datagram, now: Time) {
        self.stats.sent += 1;
        let config = self.link_of(&datagram).clone();
        let len = datagram.bytes.len();
        let is_dropped = config.ecn == EcnTreatment::Drop && datagram.ecn != Ecn::NotEct;
        if !config.up || len > config.mtu || is_dropped || self.chance(config.loss_ppm) {
            self.stats.lost += 1;
            return;
        }
        self.mark(&config, &mut datagram, now);
        let Some(departs) = self.depart(&config, &datagram, now) else {
            self.stats.lost += 1;
            return;
        };
        let mut arrives = departs + config.delay + self.up_to(config.jitter);
        let state = self.states.entry(link_key(&datagram)).or_default();
        arrives = arrives.max(state.latest);
        if self.chance(config.reorder_ppm) {
            self.stats.reordered += 1;
            arrives = arrives + self.up_to(config.reorder_by);
        } else {
            self.states.entry(link_key(&datagram)).or_default().latest = arrives;
        }
        if self.chance(config.duplicate_ppm) {
            self.stats.duplicated += 1;
            let later = arrives + self.up_to(config.delay);
            self.enqueue(later, datagram.clone());
        }
        let datagram = self.maybe_corrupt(config.corrupt_ppm, datagram);
        self.enqueue(arrives, datagram);
    }

    /// Takes a segment of a TCP connection: delayed as datagrams are, in order, and lost only where
    /// the link is cut.
    pub fn send_reliably(&mut self, segment: Datagram, now: Time) {
        self.stats.sent += 1;
        let config = self.link_of(&segment).clone();
        if !config.up {
            self.stats.lost += 1;
            return;
        }
        let state = self.states.entry(link_key(&segment)).or_default();
        state.latest = state.latest.max(now + config.delay);
        let arrives = state.latest;
        self.enqueue(arrives, segment);
    }

    /// Puts a datagram at its destination at `when`, whatever the link is like.
    pub fn inject(&mut self, datagram: Datagram, when: Time) {
        self.enqueue(when, datagram);
    }

    /// When the next datagram arrives.
    pub fn next_arrival(&self) -> Option<Time> {
        self.in_flight.keys().next().map(|&(time, _)| time)
    }

    /// The next datagram that has arrived by `now`.
    pub fn pop(&mut self, now: Time) -> Option<Datagram> {
        let entry = self.in_flight.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        self.stats.delivered += 1;
        Some(entry.remove())
    }

    /// How many datagrams are on their way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// When the last byte of the datagram has left, or none if the queue is full.
    fn depart(&mut self, config: &LinkConfig, datagram: &Datagram, now: Time) -> Option<Time> {
        let Some(rate) = config.rate_bytes_per_s else { return Some(now) };
        let waiting = self.waiting(config, datagram, now);
        let state = self.states.entry(link_key(datagram)).or_default();
        let starts = state.free_at.max(now);
        let len = datagram.bytes.len() as u64;
        if waiting + len > config.queue_bytes {
            return None;
        }
        state.free_at = starts + Duration::from_micros(len * 1_000_000 / rate.max(1));
        Some(state.free_at)
    }

    /// Bytes that wait for the link.
    fn waiting(&self, config: &LinkConfig, datagram: &Datagram, now: Time) -> u64 {
        let state = self.states.get(&link_key(datagram));
        let wait = state.map_or(Duration::ZERO, |state| state.free_at.since(now));
        wait.as_micros() as u64 * config.rate_bytes_per_s.unwrap_or(0) / 1_000_000
    }

    fn mark(&mut self, config: &LinkConfig, datagram: &mut Datagram, now: Time) {
        if datagram.ecn == Ecn::NotEct {
            return;
        }
        let is_full = match config.ecn {
            EcnTreatment::Pass | EcnTreatment::Drop => return,
            EcnTreatment::Clear => {
                datagram.ecn = Ecn::NotEct;
                return;
            }
            EcnTreatment::MarkAbove(bytes) => self.waiting(config, datagram, now) > bytes,
            EcnTreatment::MarkAll => true,
        };
        if is_full {
            self.stats.marked += 1;
            datagram.ecn = Ecn::Ce;
        }
    }

    fn maybe_corrupt(&mut self, ppm: u32, mut datagram: Datagram) -> Datagram {
        if self.chance(ppm) && !datagram.bytes.is_empty() {
            self.stats.corrupted += 1;
            // Distinct bits, so that two flips cannot undo each other.
            let bits = datagram.bytes.len() as u64 * 8;
            let first = self.rng.below(bits);
            for i in 0..=self.rng.below(3) {
                let bit = (first + i * 11) % bits;
                datagram.bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
        }
        datagram
    }

    fn enqueue(&mut self, when: Time, datagram: Datagram) {
        self.in_flight.insert((when, self.next_id), datagram);
        self.next_id += 1;
    }

    fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.rng.below(1_000_000) < u64::from(ppm)
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.rng.below(most.as_micros() as u64 + 1))
    }
}

fn link_key(datagram: &Datagram) -> (SiteId, Path, Path) {
    (datagram.site, datagram.src, datagram.dst)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 4] = [10, 0, 0, 1];
    const B: [u8; 4] = [10, 0, 0, 2];

    fn net(config: LinkConfig) -> Net {
        Net::new(config, Rng::from_seed([3; 32]))
    }

    fn datagram(n: u32, len: usize) -> Datagram {
        let mut bytes = vec![0; len.max(4)];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        let (src, dst) = (Path::v4(A, 1), Path::v4(B, 2));
        Datagram { site: SiteId::default(), src, dst, ecn: Ecn::NotEct, bytes }
    }

    fn drain(net: &mut Net) -> Vec<(Time, Vec<u8>)> {
        let mut out = Vec::new();
        while let Some(at) = net.next_arrival() {
            let datagram = net.pop(at).expect("one arrived now");
            out.push((at, datagram.bytes));
        }
        out
    }

    #[test]
    fn a_clean_link_keeps_order_and_delay() {
        let mut net = net(LinkConfig {
            jitter: Duration::from_millis(5),
            ..LinkConfig::clean(Duration::from_millis(50))
        });
        (0..100).for_each(|n| net.send(datagram(n, 100), Time::from_micros(u64::from(n) * 100)));
        let arrived = drain(&mut net);
        assert_eq!(arrived.len(), 100);
        assert!(arrived.iter().zip(0u32..).all(|((_, bytes), n)| bytes[..4] == n.to_be_bytes()));
        assert!(arrived[0].0 >= Time::from_micros(50_000));
    }

    #[test]
    fn the_rate_spaces_datagrams_and_the_queue_is_finite() {
        let mut net = net(LinkConfig {
            rate_bytes_per_s: Some(100_000),
            queue_bytes: 5_000,
            ..LinkConfig::clean(Duration::ZERO)
        });
        (0..10).for_each(|n| net.send(datagram(n, 1000), Time::ZERO));
        let arrived = drain(&mut net);
        assert_eq!(arrived.len(), 5);
        assert_eq!(arrived[4].0, Time::from_micros(50_000));
        assert_eq!(net.stats.lost, 5);
    }

    #[test]
    fn shares_are_about_what_was_asked() {
        let mut net = net(LinkConfig::hostile());
        (0..20_000).for_each(|n| net.send(datagram(n, 100), Time::from_micros(u64::from(n) * 500)));
        let near = |count: u64, percent: f64| {
            let share = count as f64 / 200.0;
            assert!((share - percent).abs() < percent / 5.0, "{share} % instead of {percent} %");
        };
        near(net.stats.lost, 5.0);
        near(net.stats.reordered, 2.0 * 0.95);
        near(net.stats.duplicated, 0.95);
        near(net.stats.corrupted, 0.95);
        let arrived = drain(&mut net);
        let sorted = arrived.windows(2).filter(|w| w[0].1[..4] > w[1].1[..4]).count();
        assert!(sorted > 100, "only {sorted} inversions");
    }

    #[test]
    fn a_cut_link_and_the_mtu_carry_nothing() {
        let mut net = net(LinkConfig::clean(Duration::ZERO));
        net.send(datagram(0, 1473), Time::ZERO);
        net.set_up(Path::v4(A, 1), Path::v4(B, 2), false);
        net.send(datagram(1, 10), Time::ZERO);
        assert_eq!(net.stats.lost, 2);
        net.set_up(Path::v4(A, 1), Path::v4(B, 2), true);
        net.send(datagram(2, 10), Time::ZERO);
        assert_eq!(drain(&mut net).len(), 1);
    }
}
