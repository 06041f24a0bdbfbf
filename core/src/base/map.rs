//! Ordered maps and sets: the standard library's trees where there may be very many entries,
//! sorted vectors on devices, which have few and count every byte of code and memory.
//!
//! Owns the choice, and the sorted vector. Both keep their entries in the order of the keys, so
//! that what is sent does not depend on the choice.

#[cfg(feature = "std")]
pub use alloc::collections::{BTreeMap as Map, BTreeSet as Set};
#[cfg(not(feature = "std"))]
pub use sorted::{SortedMap as Map, SortedSet as Set};

// Where there are trees its tests alone see it.
#[cfg(any(not(feature = "std"), test))]
#[allow(unreachable_pub)]
mod sorted {
    use alloc::vec::Vec;
    use core::cmp::Ordering;

    /// As much of `BTreeMap` as is used here. Everything takes time with the number of entries,
    /// which are few. Room is made for one entry at a time.
    ///
    /// Three functions are never inlined: those of entries of one shape become one.
    #[derive(Clone, Debug)]
    pub struct SortedMap<K, V>(Vec<(K, V)>);

    impl<K, V> Default for SortedMap<K, V> {
        fn default() -> Self {
            SortedMap(Vec::new())
        }
    }

    impl<K, V> SortedMap<K, V> {
        /// An empty one, without memory.
        pub fn new() -> Self {
            Self::default()
        }
    }

    impl<K: Ord, V> SortedMap<K, V> {
        /// Where the key is, or would be.
        #[inline(never)]
        fn find(&self, key: &K) -> Result<usize, usize> {
            for (at, (other, _)) in self.0.iter().enumerate() {
                match other.cmp(key) {
                    Ordering::Less => {}
                    Ordering::Equal => return Ok(at),
                    Ordering::Greater => return Err(at),
                }
            }
            Err(self.0.len())
        }

        #[inline(never)]
        fn put(&mut self, at: usize, entry: (K, V)) {
            self.0.reserve_exact(1);
            self.0.insert(at, entry);
        }

        #[inline(never)]
        fn take(&mut self, at: usize) -> (K, V) {
            let entry = self.0.remove(at);
            self.release();
            entry
        }

        /// The value of a key.
        pub fn get(&self, key: &K) -> Option<&V> {
            self.0.get(self.find(key).ok()?).map(|(_, value)| value)
        }

        /// The value of a key, to be changed.
        pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
            let at = self.find(key).ok()?;
            self.0.get_mut(at).map(|(_, value)| value)
        }

        /// Whether there is a value.
        pub fn contains_key(&self, key: &K) -> bool {
            self.find(key).is_ok()
        }

        /// Sets the value of a key and returns what it was.
        pub fn insert(&mut self, key: K, value: V) -> Option<V> {
            match self.find(&key) {
                Ok(at) => self.0.get_mut(at).map(|(_, old)| core::mem::replace(old, value)),
                Err(at) => {
                    self.put(at, (key, value));
                    None
                }
            }
        }

        /// Takes an entry out.
        pub fn remove(&mut self, key: &K) -> Option<V> {
            let at = self.find(key).ok()?;
            Some(self.take(at).1)
        }

        /// Keeps the entries that `keep` says.
        pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
            self.0.retain_mut(|(key, value)| keep(key, value));
            self.release();
        }

        fn release(&mut self) {
            if self.0.is_empty() {
                self.0 = Vec::new();
            }
        }

        /// Number of entries.
        pub fn len(&self) -> usize {
            self.0.len()
        }

        /// Whether there is none.
        pub fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        /// The keys in order.
        pub fn keys(&self) -> impl Iterator<Item = &K> {
            self.0.iter().map(|(key, _)| key)
        }

        /// The values in the order of their keys.
        pub fn values(&self) -> impl Iterator<Item = &V> {
            self.0.iter().map(|(_, value)| value)
        }

        /// The entries in order, their values to be changed.
        pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
            self.0.iter_mut().map(|(key, value)| (&*key, value))
        }
    }

    impl<K, V> IntoIterator for SortedMap<K, V> {
        type Item = (K, V);
        type IntoIter = alloc::vec::IntoIter<(K, V)>;

        fn into_iter(self) -> Self::IntoIter {
            self.0.into_iter()
        }
    }

    /// As much of `BTreeSet` as is used here.
    #[derive(Clone, Debug)]
    pub struct SortedSet<K>(SortedMap<K, ()>);

    impl<K> Default for SortedSet<K> {
        fn default() -> Self {
            SortedSet(SortedMap::default())
        }
    }

    impl<K> SortedSet<K> {
        /// An empty one, without memory.
        pub fn new() -> Self {
            Self::default()
        }
    }

    impl<K: Ord> SortedSet<K> {
        /// Whether the key is there.
        pub fn contains(&self, key: &K) -> bool {
            self.0.contains_key(key)
        }

        /// Puts a key in; false if it was there.
        pub fn insert(&mut self, key: K) -> bool {
            self.0.insert(key, ()).is_none()
        }

        /// Takes a key out; false if it was not there.
        pub fn remove(&mut self, key: &K) -> bool {
            self.0.remove(key).is_some()
        }

        /// The first key.
        pub fn first(&self) -> Option<&K> {
            self.iter().next()
        }

        /// Takes the first key out.
        pub fn pop_first(&mut self) -> Option<K> {
            if self.is_empty() {
                return None;
            }
            Some(self.0.take(0).0)
        }

        /// The keys in order.
        pub fn iter(&self) -> impl Iterator<Item = &K> {
            self.0.keys()
        }

        /// Number of keys.
        pub fn len(&self) -> usize {
            self.0.len()
        }

        /// Whether there is none.
        pub fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sorted::{SortedMap, SortedSet};
    use alloc::collections::{BTreeMap, BTreeSet};
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        /// Keys of a small range, so that they meet.
        #[test]
        fn a_sorted_map_is_a_tree_map(steps in vec((0u8..5, 0u8..12, any::<u8>()), 0..200)) {
            let (mut sorted, mut tree) = (SortedMap::new(), BTreeMap::new());
            for (what, key, value) in steps {
                match what {
                    0 | 1 => assert_eq!(sorted.insert(key, value), tree.insert(key, value)),
                    2 => assert_eq!(sorted.remove(&key), tree.remove(&key)),
                    3 => {
                        if let Some(old) = sorted.get_mut(&key) {
                            *old = value;
                        }
                        tree.entry(key).and_modify(|old| *old = value);
                    }
                    _ => {
                        sorted.retain(|_, old| *old % 3 != value % 3);
                        tree.retain(|_, old| *old % 3 != value % 3);
                    }
                }
                assert_eq!(sorted.get(&key), tree.get(&key));
                assert_eq!(sorted.contains_key(&key), tree.contains_key(&key));
                assert_eq!((sorted.len(), sorted.is_empty()), (tree.len(), tree.is_empty()));
                assert!(sorted.keys().eq(tree.keys()) && sorted.values().eq(tree.values()));
                assert!(sorted.iter_mut().eq(tree.iter_mut()));
            }
            assert!(sorted.into_iter().eq(tree));
        }

        #[test]
        fn a_sorted_set_is_a_tree_set(steps in vec((0u8..3, 0u8..12), 0..200)) {
            let (mut sorted, mut tree) = (SortedSet::new(), BTreeSet::new());
            for (what, key) in steps {
                match what {
                    0 => assert_eq!(sorted.insert(key), tree.insert(key)),
                    1 => assert_eq!(sorted.remove(&key), tree.remove(&key)),
                    _ => assert_eq!(sorted.pop_first(), tree.pop_first()),
                }
                assert_eq!(sorted.first(), tree.first());
                assert_eq!(sorted.contains(&key), tree.contains(&key));
                assert_eq!((sorted.len(), sorted.is_empty()), (tree.len(), tree.is_empty()));
                assert!(sorted.iter().eq(tree.iter()));
            }
        }
    }
}
