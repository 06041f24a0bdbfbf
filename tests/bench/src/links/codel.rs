//! CoDel (RFC 8289): drops from the head of a queue whose least wait stays too long.

use super::link::Nanos;

const TARGET: Nanos = 5_000_000;
const INTERVAL: Nanos = 100_000_000;
/// Less than this waiting is no queue.
const MTU: u64 = 1500;

/// The state of one queue (RFC 8289 §5.3).
#[derive(Debug, Default)]
pub(super) struct CoDel {
    first_above: Option<Nanos>,
    drop_next: Nanos,
    count: u32,
    last_count: u32,
    is_dropping: bool,
}

impl CoDel {
    /// Whether the datagram at the head, which waited for `sojourn`, is to be dropped rather than
    /// sent; `waiting`: the bytes behind it. Asked again for the next head after a drop.
    pub(super) fn drops(&mut self, sojourn: Nanos, waiting: u64, now: Nanos) -> bool {
        let may_drop = self.is_above(sojourn, waiting, now);
        if self.is_dropping {
            if !may_drop {
                self.is_dropping = false;
            } else if now >= self.drop_next {
                self.count += 1;
                self.drop_next = control_law(self.drop_next, self.count);
                return true;
            }
            return false;
        }
        if !may_drop {
            return false;
        }
        self.is_dropping = true;
        // Where it left off, if it was dropping lately (RFC 8289 §5.6).
        let delta = self.count - self.last_count;
        let is_recent = now.saturating_sub(self.drop_next) < 16 * INTERVAL;
        self.count = if delta > 1 && is_recent { delta } else { 1 };
        self.drop_next = control_law(now, self.count);
        self.last_count = self.count;
        true
    }

    fn is_above(&mut self, sojourn: Nanos, waiting: u64, now: Nanos) -> bool {
        if sojourn < TARGET || waiting <= MTU {
            self.first_above = None;
            return false;
        }
        now >= *self.first_above.get_or_insert(now + INTERVAL)
    }
}

fn control_law(from: Nanos, count: u32) -> Nanos {
    from + (INTERVAL as f64 / f64::from(count).sqrt()) as Nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn waits_an_interval_and_then_drops_ever_sooner() {
        let mut codel = CoDel::default();
        let drops: Vec<Nanos> = (0..500).filter(|ms| codel.drops(20 * MS, 9000, ms * MS)).collect();
        assert_eq!(drops[0], 100);
        let gaps: Vec<Nanos> = drops.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps[..3], [100, 71, 58]);
        assert!(!codel.drops(TARGET - 1, 9000, 501 * MS));
        assert!(!codel.drops(20 * MS, 9000, 502 * MS), "another interval");
    }

    #[test]
    fn a_short_wait_or_a_short_queue_is_none() {
        let mut codel = CoDel::default();
        assert!((0..1000).all(|ms| !codel.drops(TARGET - 1, 9000, ms * MS)));
        assert!((0..1000).all(|ms| !codel.drops(20 * MS, MTU, ms * MS)));
    }
}
