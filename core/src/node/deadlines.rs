//! Who has to be looked after next, of many: each has at most one deadline.
//!
//! Owns the order. Invariant: both lists hold the same; to ask for the first, and to change one,
//! takes time with the logarithm of their number.

use crate::base::{Map, Set, Time};

pub(super) struct Deadlines<K> {
    by_time: Set<(Time, K)>,
    of: Map<K, Time>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { by_time: Set::new(), of: Map::new() }
    }
}

impl<K: Copy + Ord> Deadlines<K> {
    /// From now on this is the deadline of `key`, instead of what it was.
    pub(super) fn set(&mut self, key: K, deadline: Option<Time>) {
        let old = match deadline {
            Some(at) => self.of.insert(key, at),
            None => self.of.remove(&key),
        };
        if old == deadline {
            return;
        }
        if let Some(old) = old {
            self.by_time.remove(&(old, key));
        }
        if let Some(at) = deadline {
            self.by_time.insert((at, key));
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Whose is the earliest that is over, if any is.
    pub(super) fn due(&self, now: Time) -> Option<K> {
        self.by_time.first().filter(|(at, _)| *at <= now).map(|(_, key)| *key)
    }

    /// All who have one.
    #[cfg(any(test, feature = "initiator"))]
    pub(super) fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.of.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_a_new_one_takes_the_place_of_the_old() {
        let at = Time::from_micros;
        let mut deadlines = Deadlines::default();
        assert_eq!((deadlines.next(), deadlines.due(at(9))), (None, None));
        for (key, us) in [('a', 5), ('b', 3), ('c', 4), ('b', 6), ('c', 4)] {
            deadlines.set(key, Some(at(us)));
        }
        assert_eq!((deadlines.next(), deadlines.due(at(3))), (Some(at(4)), None));
        assert_eq!(deadlines.due(at(4)), Some('c'));
        deadlines.set('c', None);
        deadlines.set('c', None);
        assert_eq!(deadlines.due(at(9)), Some('a'));
        assert_eq!(deadlines.keys().collect::<std::vec::Vec<_>>(), ['a', 'b']);
        deadlines.set('a', None);
        deadlines.set('b', None);
        assert!(deadlines.next().is_none() && deadlines.by_time.is_empty());
    }
}
