//! Who has to be looked after next: each has at most one deadline.
//!
//! Owns the order: sorted where there may be very many, so that to ask for the first and to change
//! one takes time with the logarithm of their number; looked through on devices, which have few.

#[cfg(not(feature = "std"))]
pub use few::Deadlines;
#[cfg(feature = "std")]
pub use many::Deadlines;

#[cfg(feature = "std")]
mod many {
    use crate::base::{Map, Set, Time};

    /// Deadlines by whose they are. Invariant: both lists hold the same.
    pub struct Deadlines<K> {
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
        pub fn set(&mut self, key: K, deadline: Option<Time>) {
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
        pub fn next(&self) -> Option<Time> {
            self.by_time.first().map(|(at, _)| *at)
        }

        /// Whose is the earliest that is over, if any is.
        pub fn due(&self, now: Time) -> Option<K> {
            self.by_time.first().filter(|(at, _)| *at <= now).map(|(_, key)| *key)
        }

        /// All who have one.
        pub fn keys(&self) -> impl Iterator<Item = K> + '_ {
            self.of.keys().copied()
        }
    }
}

// Where there may be many its test alone sees it.
#[cfg(any(not(feature = "std"), test))]
#[allow(unreachable_pub)]
mod few {
    use crate::base::{Map, Time};

    /// Deadlines by whose they are.
    pub struct Deadlines<K>(Map<K, Time>);

    impl<K> Default for Deadlines<K> {
        fn default() -> Self {
            Deadlines(Map::new())
        }
    }

    impl<K: Copy + Ord> Deadlines<K> {
        /// From now on this is the deadline of `key`, instead of what it was.
        pub fn set(&mut self, key: K, deadline: Option<Time>) {
            match deadline {
                Some(at) => self.0.insert(key, at),
                None => self.0.remove(&key),
            };
        }

        /// The earliest deadline.
        pub fn next(&self) -> Option<Time> {
            self.0.values().min().copied()
        }

        /// Whose is the earliest that is over, if any is.
        pub fn due(&self, now: Time) -> Option<K> {
            let each = self.0.keys().zip(self.0.values());
            each.filter(|(_, at)| **at <= now).min_by_key(|(_, at)| **at).map(|(key, _)| *key)
        }

        /// All who have one.
        pub fn keys(&self) -> impl Iterator<Item = K> + '_ {
            self.0.keys().copied()
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::base::Time;

    macro_rules! check {
        ($deadlines:expr) => {
            let at = Time::from_micros;
            let mut deadlines = $deadlines;
            assert_eq!((deadlines.next(), deadlines.due(at(9))), (None, None));
            for (key, us) in [('a', 5), ('b', 3), ('c', 4), ('b', 6), ('c', 4)] {
                deadlines.set(key, Some(at(us)));
            }
            assert_eq!((deadlines.next(), deadlines.due(at(3))), (Some(at(4)), None));
            assert_eq!(deadlines.due(at(4)), Some('c'));
            deadlines.set('b', Some(at(4)));
            assert_eq!(deadlines.due(at(9)), Some('b'), "of two at once");
            deadlines.set('b', Some(at(6)));
            deadlines.set('c', None);
            deadlines.set('c', None);
            assert_eq!(deadlines.due(at(9)), Some('a'));
            assert_eq!(deadlines.keys().collect::<std::vec::Vec<_>>(), ['a', 'b']);
            deadlines.set('a', None);
            deadlines.set('b', None);
            assert_eq!(deadlines.next(), None);
        };
    }

    #[test]
    fn the_earliest_comes_first_and_a_new_one_takes_the_place_of_the_old() {
        check!(super::many::Deadlines::default());
        check!(super::few::Deadlines::default());
    }
}
