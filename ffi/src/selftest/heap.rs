//! The heap: blocks aligned, apart from each other, enough of them, and free again when freed.
//!
//! Asks the allocator that the library uses, and gives everything back before it returns.

use super::finding::*;
use core::alloc::Layout;
use core::ptr;

/// Blocks taken at once; together they are what is wanted.
const BLOCKS: usize = 64;
/// How often what is wanted is taken and given back, a block at a time.
const ROUNDS: usize = 64;
const ALIGNMENTS: [usize; 6] = [1, 2, 4, 8, 16, 64];
const ALIGNED_LEN: usize = 24;

/// Where memory comes from.
pub(super) trait Heap {
    /// A block, or null.
    fn take(&mut self, layout: Layout) -> *mut u8;
    /// Takes one back.
    ///
    /// # Safety
    /// The block came from `take` with the same layout, and is not used any more.
    unsafe fn give(&mut self, block: *mut u8, layout: Layout);
}

/// The library's own.
pub(super) struct Own;

impl Heap for Own {
    fn take(&mut self, layout: Layout) -> *mut u8 {
        // SAFETY: no layout here has size 0.
        unsafe { alloc::alloc::alloc(layout) }
    }

    unsafe fn give(&mut self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { alloc::alloc::dealloc(block, layout) }
    }
}

/// A finding's code, value and wanted.
type Finding = (u32, i64, i64);

/// The first fault there is; `wanted` bytes should be free.
pub(super) fn check(heap: &mut impl Heap, wanted: usize) -> Option<Finding> {
    let len = wanted.div_ceil(BLOCKS).next_multiple_of(8).max(8);
    let layout = Layout::from_size_align(len, 8).ok()?;
    aligned(heap).or_else(|| apart(heap, layout, wanted)).or_else(|| free_again(heap, layout))
}

fn aligned(heap: &mut impl Heap) -> Option<Finding> {
    for align in ALIGNMENTS {
        let layout = Layout::from_size_align(ALIGNED_LEN, align).ok()?;
        let block = heap.take(layout);
        if block.is_null() {
            return Some((RIT_SELFTEST_HEAP_SMALL, 0, ALIGNED_LEN as i64));
        }
        let remainder = block.addr() % align;
        // SAFETY: taken above.
        unsafe { heap.give(block, layout) };
        if remainder != 0 {
            return Some((RIT_SELFTEST_HEAP_ALIGN, remainder as i64, align as i64));
        }
    }
    None
}

/// Fills all blocks, then looks whether each still holds its own.
fn apart(heap: &mut impl Heap, layout: Layout, wanted: usize) -> Option<Finding> {
    let mut blocks = [ptr::null_mut::<u8>(); BLOCKS];
    let mut count = 0;
    for block in &mut blocks {
        *block = heap.take(layout);
        if block.is_null() {
            break;
        }
        count += 1;
    }
    let mark = |i: usize| (i as u8).wrapping_mul(37) ^ 0x5a;
    for (i, block) in blocks.iter().take(count).enumerate() {
        // SAFETY: the block was taken with this layout's size. Volatile: it is the memory that is
        // asked, not what the compiler knows of it.
        (0..layout.size()).for_each(|at| unsafe { block.add(at).write_volatile(mark(i)) });
    }
    let holds = |(i, block): (usize, &*mut u8)| {
        // SAFETY: as above, and it was written.
        (0..layout.size()).all(|at| unsafe { block.add(at).read_volatile() } == mark(i))
    };
    let all_hold = blocks.iter().take(count).enumerate().all(holds);
    for block in blocks.iter().take(count) {
        // SAFETY: taken above, and given back once.
        unsafe { heap.give(*block, layout) };
    }
    if !all_hold {
        return Some((RIT_SELFTEST_HEAP_OVERLAP, layout.size() as i64, 0));
    }
    let had = count * layout.size();
    (count < BLOCKS).then_some((RIT_SELFTEST_HEAP_SMALL, had as i64, wanted as i64))
}

fn free_again(heap: &mut impl Heap, layout: Layout) -> Option<Finding> {
    for i in 0..BLOCKS * ROUNDS {
        let block = heap.take(layout);
        if block.is_null() {
            let taken = i * layout.size();
            return Some((RIT_SELFTEST_HEAP_LEAKS, taken as i64, layout.size() as i64));
        }
        // SAFETY: taken above.
        unsafe { heap.give(block, layout) };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    /// An arena with faults to order.
    struct Arena {
        memory: Vec<u64>,
        used: usize,
        live: usize,
        /// Added to every address.
        skew: usize,
        /// Bytes that a block is shorter than it should be.
        short: usize,
        never_frees: bool,
    }

    fn arena(len: usize) -> Arena {
        let memory = vec![0; len / 8];
        Arena { memory, used: 0, live: 0, skew: 0, short: 0, never_frees: false }
    }

    impl Heap for Arena {
        fn take(&mut self, layout: Layout) -> *mut u8 {
            let base = self.memory.as_mut_ptr().cast::<u8>();
            let at = (base.addr() + self.used).next_multiple_of(layout.align()) - base.addr();
            let end = at + layout.size() + self.skew;
            if end > self.memory.len() * 8 {
                return ptr::null_mut();
            }
            self.used = end - self.short;
            self.live += 1;
            base.wrapping_add(at + self.skew)
        }

        unsafe fn give(&mut self, _block: *mut u8, _layout: Layout) {
            self.live -= 1;
            if self.live == 0 && !self.never_frees {
                self.used = 0;
            }
        }
    }

    #[test]
    fn a_good_heap_passes_and_gets_all_back() {
        let mut heap = arena(70_000);
        assert_eq!(check(&mut heap, 65_536), None);
        assert_eq!(heap.live, 0);
        assert_eq!(check(&mut Own, 65_536), None);
    }

    #[test]
    fn each_fault_has_its_code() {
        let code = |heap: &mut Arena| {
            let (code, value, wanted) = check(heap, 65_536).unwrap();
            assert_eq!(heap.live, 0);
            (code, value, wanted)
        };
        assert_eq!(code(&mut arena(0)), (RIT_SELFTEST_HEAP_SMALL, 0, 24));
        assert_eq!(code(&mut arena(10_300)), (RIT_SELFTEST_HEAP_SMALL, 10_240, 65_536));
        let mut skewed = Arena { skew: 4, ..arena(70_000) };
        assert_eq!(code(&mut skewed), (RIT_SELFTEST_HEAP_ALIGN, 4, 8));
        let mut overlapping = Arena { short: 8, ..arena(70_000) };
        assert_eq!(code(&mut overlapping), (RIT_SELFTEST_HEAP_OVERLAP, 1024, 0));
        let mut leaking = Arena { never_frees: true, ..arena(70_000) };
        assert_eq!(code(&mut leaking).0, RIT_SELFTEST_HEAP_LEAKS);
    }
}
