//! Things to tell of the entries of a slab, coalesced: a bit for each thing, told lowest first.
//!
//! Owns the line of entries with something to tell. An entry stands in it at most once, so it is
//! bounded by their number. Does not own what a bit means, nor whether it still holds when told.

use crate::base::{Handle, Slab};
use alloc::collections::VecDeque;

/// What is to be told of one entry.
#[derive(Default)]
pub(super) struct News {
    bits: u8,
    is_in_line: bool,
}

/// An entry of which there may be something to tell.
pub(super) trait Newsworthy {
    fn news(&mut self) -> &mut News;
}

/// Entries with something to tell, in the order in which it came up.
#[derive(Default)]
pub(super) struct NewsLine {
    line: VecDeque<Handle>,
}

impl NewsLine {
    /// There is something to tell of an entry; nothing if it is gone.
    pub(super) fn tell<T: Newsworthy>(&mut self, slab: &mut Slab<T>, handle: Handle, bits: u8) {
        let Some(news) = slab.get_mut(handle).map(T::news) else { return };
        news.bits |= bits;
        if news.bits != 0 && !core::mem::replace(&mut news.is_in_line, true) {
            self.line.push_back(handle);
        }
    }

    /// The next thing to tell, and of which entry.
    pub(super) fn next<T: Newsworthy>(&mut self, slab: &mut Slab<T>) -> Option<(Handle, u8)> {
        while let Some(handle) = self.line.front().copied() {
            if let Some(news) = slab.get_mut(handle).map(T::news) {
                if news.bits != 0 {
                    let bit = 1 << news.bits.trailing_zeros();
                    news.bits &= !bit;
                    return Some((handle, bit));
                }
                news.is_in_line = false;
            }
            self.line.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Newsworthy for News {
        fn news(&mut self) -> &mut News {
            self
        }
    }

    #[test]
    fn each_thing_is_told_once_and_of_those_that_are_still_there() {
        let mut slab = Slab::new(3);
        let [a, b, c] = [(); 3].map(|()| slab.insert(News::default()).ok().unwrap());
        let mut line = NewsLine::default();
        line.tell(&mut slab, c, 0);
        line.tell(&mut slab, b, 4);
        line.tell(&mut slab, a, 1);
        line.tell(&mut slab, b, 2 | 4);
        assert_eq!(line.next(&mut slab), Some((b, 2)));
        line.tell(&mut slab, b, 2);
        assert_eq!(line.next(&mut slab), Some((b, 2)));
        assert_eq!(line.next(&mut slab), Some((b, 4)));
        slab.remove(a);
        line.tell(&mut slab, a, 1);
        assert_eq!(line.next(&mut slab), None);
        line.tell(&mut slab, b, 1);
        assert_eq!((line.next(&mut slab), line.next(&mut slab)), (Some((b, 1)), None));
        assert!(line.line.is_empty());
    }
}
