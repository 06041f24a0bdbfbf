//! Sets of numbers as sorted, disjoint, non-adjacent half-open ranges.
//!
//! Used for packet numbers received, stream bytes acknowledged, lost or arrived. A `Vec` because
//! these sets are short: a few holes at most on a working path.

use super::growth;
use alloc::vec::Vec;
use core::ops::Range;

/// A set of `u64` kept as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet(Vec<Range<u64>>);

impl RangeSet {
    /// The empty set.
    pub const fn new() -> Self {
        RangeSet(Vec::new())
    }

    /// How many ranges, not numbers.
    pub fn range_count(&self) -> usize {
        self.0.len()
    }

    /// The memory that one more range needs.
    pub fn growth(&self) -> usize {
        growth::<Range<u64>>(self.0.len(), self.0.capacity())
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lowest range.
    pub fn first(&self) -> Option<Range<u64>> {
        self.0.first().cloned()
    }

    /// The highest range.
    pub fn last(&self) -> Option<Range<u64>> {
        self.0.last().cloned()
    }

    /// The range at `index`, counted from the lowest.
    pub fn nth(&self, index: usize) -> Option<Range<u64>> {
        self.0.get(index).cloned()
    }

    /// Ranges, lowest first; reversible.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Range<u64>> {
        self.0.iter()
    }

    /// Whether `x` is in it.
    pub fn contains(&self, x: u64) -> bool {
        let i = self.0.partition_point(|r| r.end <= x);
        self.0.get(i).is_some_and(|r| r.start <= x)
    }

    /// Whether adding `range` would make no new range: it overlaps one or lies next to one.
    pub fn touches(&self, range: Range<u64>) -> bool {
        let i = self.0.partition_point(|r| r.end < range.start);
        range.start >= range.end || self.0.get(i).is_some_and(|r| r.start <= range.end)
    }

    /// Adds a range; true if any of it was missing.
    pub fn insert(&mut self, range: Range<u64>) -> bool {
        if range.start >= range.end {
            return false;
        }
        let from = self.0.partition_point(|r| r.end < range.start);
        let to = self.0.partition_point(|r| r.start <= range.end);
        if from == to {
            if self.0.is_empty() {
                // As a rule there is no other.
                self.0.reserve_exact(1);
            }
            self.0.insert(from, range);
            return true;
        }
        let (start, end) = (self.0[from].start, self.0[to - 1].end);
        if to - from == 1 && start <= range.start && end >= range.end {
            return false;
        }
        self.0[from] = start.min(range.start)..end.max(range.end);
        self.0.drain(from + 1..to);
        true
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let from = self.0.partition_point(|r| r.end <= range.start);
        let to = self.0.partition_point(|r| r.start < range.end);
        if from >= to {
            return;
        }
        let left = self.0[from].start..range.start;
        let right = range.end..self.0[to - 1].end;
        let keep = [left, right];
        self.0.splice(from..to, keep.into_iter().filter(|r| r.start < r.end));
    }

    /// Takes out everything below `x`.
    pub fn remove_below(&mut self, x: u64) {
        self.remove(0..x);
    }

    /// Takes the lowest range out.
    pub fn pop_first(&mut self) -> Option<Range<u64>> {
        if self.0.is_empty() { None } else { Some(self.0.remove(0)) }
    }

    /// Empties the set.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The parts of `range` that are not in the set, lowest first.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut at = range.start;
        let mut i = self.0.partition_point(|r| r.end <= range.start);
        core::iter::from_fn(move || {
            while at < range.end {
                let next = self.0.get(i).filter(|r| r.start < range.end);
                let Some(r) = next else {
                    let gap = at..range.end;
                    at = range.end;
                    return Some(gap);
                };
                let gap = at..r.start;
                at = r.end;
                i += 1;
                if gap.start < gap.end {
                    return Some(gap);
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn behaves_as_a_set(
            ops in proptest::collection::vec((any::<bool>(), 0u64..60, 0u64..12), 0..40),
        ) {
            let (mut set, mut model) = (RangeSet::new(), BTreeSet::new());
            for (add, start, len) in ops {
                let range = start..start + len;
                if add {
                    let count = set.range_count();
                    let touches = set.touches(range.clone());
                    let grew = range.clone().any(|x| !model.contains(&x));
                    prop_assert_eq!(set.insert(range.clone()), grew);
                    prop_assert_eq!(touches, set.range_count() <= count);
                    model.extend(range);
                } else {
                    set.remove(range.clone());
                    model.retain(|x| !range.contains(x));
                }
                prop_assert!(set.iter().zip(set.iter().skip(1)).all(|(a, b)| a.end < b.start));
                let flat: Vec<u64> = set.iter().cloned().flatten().collect();
                prop_assert_eq!(flat, model.iter().copied().collect::<Vec<_>>());
                let gaps: Vec<u64> = set.gaps(5..50).flatten().collect();
                prop_assert_eq!(gaps, (5..50).filter(|x| !model.contains(x)).collect::<Vec<_>>());
            }
        }
    }
}
