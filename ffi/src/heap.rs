//! The heap of a bare-metal build: one block of the integrator's memory, in constant time.
//!
//! Owns the arena and its figures, and the C functions about them. Does not decide whether it is
//! the library's allocator: `firmware` does, for builds without the standard library. The arena is
//! two-level segregated fit (rlsf): blocks are merged as they are freed, and both ways take the
//! same few steps however full it is.

use crate::args::{Answer, Versioned};
use crate::error::{Error, RIT_OK};
use crate::guard;
use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use rlsf::{GRANULARITY, Tlsf};
use spin::Mutex;

/// Powers of two that blocks are sorted by: up to half a MiB on 32-bit targets, 1 MiB on 64-bit
/// ones. A larger arena is cut into pieces of this size.
const LEVELS: usize = 15;
/// Steps in each: a request is rounded up by an eighth at most to be found in constant time.
const STEPS: usize = 8;
/// What precedes every block.
const HEADER: usize = GRANULARITY / 2;

/// Memory handed in once, given out in blocks.
pub struct Heap(Mutex<State>);

struct State {
    blocks: Tlsf<'static, u16, u8, LEVELS, STEPS>,
    info: Info,
}

/// Figures of a [`Heap`] in bytes, with what the heap itself takes for each block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Info {
    /// Of the memory handed in, what is of use; 0 before.
    pub size: usize,
    /// Given out now.
    pub live: usize,
    /// The most that was given out since the start, or since the last reset.
    pub peak: usize,
    /// Requests that were refused, ever.
    pub refused: usize,
}

/// The bytes that a block of this layout takes from the arena.
fn taken(layout: Layout) -> usize {
    let padding = layout.align().saturating_sub(HEADER);
    (layout.size() + HEADER + padding).next_multiple_of(GRANULARITY)
}

impl State {
    fn count(&mut self, given: usize, back: usize) {
        self.info.live = self.info.live + given - back;
        self.info.peak = self.info.peak.max(self.info.live);
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let block = self.blocks.allocate(layout);
        match block {
            Some(_) => self.count(taken(layout), 0),
            None => self.info.refused += 1,
        }
        block
    }
}

impl Heap {
    /// Without memory: every request is refused.
    pub const fn new() -> Heap {
        let info = Info { size: 0, live: 0, peak: 0, refused: 0 };
        Heap(Mutex::new(State { blocks: Tlsf::new(), info }))
    }

    /// Takes the memory over; false: it has some already, or this is too little for any block.
    ///
    /// # Safety
    /// `memory` points to `size` bytes that nobody else uses for as long as the heap is used.
    pub unsafe fn init(&self, memory: NonNull<u8>, size: usize) -> bool {
        let mut state = self.0.lock();
        if state.info.size != 0 {
            return false;
        }
        let memory = NonNull::slice_from_raw_parts(memory, size);
        // SAFETY: the caller's promise.
        let used = unsafe { state.blocks.insert_free_block_ptr(memory) };
        state.info.size = used.map_or(0, |used| used.get() - GRANULARITY);
        used.is_some()
    }

    /// Figures.
    pub fn info(&self) -> Info {
        self.0.lock().info
    }

    /// The largest request that would be granted now, by trying.
    pub fn largest(&self) -> usize {
        let mut state = self.0.lock();
        let (mut fits, mut too_large) = (0, state.info.size + 1);
        while too_large - fits > 1 {
            let middle = fits.midpoint(too_large);
            let Ok(layout) = Layout::from_size_align(middle, 1) else { break };
            match state.blocks.allocate(layout) {
                None => too_large = middle,
                Some(block) => {
                    // SAFETY: just allocated with that alignment.
                    unsafe { state.blocks.deallocate(block, 1) };
                    fits = middle;
                }
            }
        }
        fits
    }

    /// Lets the peak be what is given out now.
    pub fn reset_peak(&self) {
        let info = &mut self.0.lock().info;
        info.peak = info.live;
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: rlsf gives out blocks that are apart, as large and as aligned as asked for, all inside
// the memory of `init`; the lock keeps its state whole.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else { return };
        let mut state = self.0.lock();
        state.count(0, taken(layout));
        // SAFETY: the caller's promise: a block of this heap, made with this layout.
        unsafe { state.blocks.deallocate(block, layout.align()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(block) = NonNull::new(block) else { return ptr::null_mut() };
        let Ok(new) = Layout::from_size_align(new_size, layout.align()) else {
            return ptr::null_mut();
        };
        let mut state = self.0.lock();
        // In place where there is room behind or before it.
        // SAFETY: the caller's promise: a block of this heap, made with this alignment.
        let moved = unsafe { state.blocks.reallocate(block, new) };
        match moved {
            Some(_) => state.count(taken(new), taken(layout)),
            None => state.info.refused += 1,
        }
        moved.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

/// Figures of the heap given to rit_heap_init, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_heap_info {
    /// sizeof(struct rit_heap_info); set by the caller.
    pub struct_size: u32,
    /// Of the memory given, what can be used.
    pub size: u32,
    /// In use now, with what the heap itself takes for each block. 0 when there is no node.
    pub live: u32,
    /// The most that was in use since the start, or since rit_heap_reset_peak.
    pub peak: u32,
    /// The largest block that could be had now. Much less than size - live: the heap is fragmented.
    pub largest: u32,
    /// Times that memory was asked for and there was none, since the start.
    pub refused: u32,
    /// 0.
    pub reserved: [u32; 2],
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_heap_info {
    const NAME: &'static str = "rit_heap_info";
}

/// The library's own heap, if this build has one.
fn own() -> Result<&'static Heap, Error> {
    #[cfg(all(not(feature = "std"), target_os = "none", not(feature = "malloc")))]
    return Ok(&crate::firmware::HEAP);
    #[cfg(not(all(not(feature = "std"), target_os = "none", not(feature = "malloc"))))]
    return Err(Error::NoHeap);
}

fn run(act: impl FnOnce() -> Result<(), Error>) -> i32 {
    guard::run(act).unwrap_or(Err(Error::Internal)).map_or_else(Error::code, |()| RIT_OK)
}

/// Gives the library the memory that it allocates from, once, before anything else. For builds for
/// bare metal; without it every rit_node_new answers NOMEM. A library built for a system with
/// processes, or with the option `malloc`, has C's heap and answers STATE.
///
/// memory: size bytes, of any alignment, the library's for good. Nodes of all kinds share it, and
/// no pointer into it is handed out but rit_node. The least of use, for a device with one session
/// and one stream at a time, windows and buffers of 2048 bytes and datagrams of 1280: 24 KiB on
/// 32-bit targets, 32 KiB on 64-bit ones. Some of it is asked for and given back at once: whatever
/// is kept leaves room for what goes on, and a connection is not begun that could not be finished.
/// What there is no room for is answered by NOMEM, or taken for lost on the way where the network
/// brings it; all else goes on, and works again once there is room.
/// Errors: NULL, ARG (too small for anything; more than UINT32_MAX), STATE (it has its memory, or
/// this build takes none). Callable in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_heap_init(memory: *mut c_void, size: usize) -> i32 {
    run(|| {
        let heap = own()?;
        let memory = NonNull::new(memory.cast::<u8>()).ok_or(Error::Null("memory"))?;
        if u32::try_from(size).is_err() || size < 3 * GRANULARITY {
            return Err(Error::Argument("size"));
        }
        // SAFETY: as the header asks of the caller.
        if unsafe { heap.init(memory, size) } { Ok(()) } else { Err(Error::HeapTaken) }
    })
}

/// Figures of that heap. The caller sets out->struct_size.
///
/// Errors: NULL, SIZE, STATE (this build has C's heap). Callable in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_heap_info(out: *mut rit_heap_info) -> i32 {
    run(|| {
        // SAFETY: as the header asks of the caller.
        let answer = unsafe { Answer::new(out)? };
        let heap = own()?;
        let info = heap.info();
        let small = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        answer.write(rit_heap_info {
            struct_size: 0,
            size: small(info.size),
            live: small(info.live),
            peak: small(info.peak),
            largest: small(heap.largest()),
            refused: small(info.refused),
            reserved: [0; 2],
        });
        Ok(())
    })
}

/// Lets rit_heap_info.peak begin anew, at what is in use now: to see what one operation takes.
///
/// Errors: STATE (this build has C's heap). Callable in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub extern "C" fn rit_heap_reset_peak() -> i32 {
    run(|| {
        own()?.reset_peak();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    fn heap(size: usize) -> (Heap, Vec<u8>) {
        let mut memory = vec![0; size];
        let heap = Heap::new();
        // SAFETY: the memory lives as long as the heap is used.
        assert!(unsafe { heap.init(NonNull::new(memory.as_mut_ptr()).unwrap(), size) });
        (heap, memory)
    }

    #[test]
    fn without_memory_every_request_is_refused() {
        let heap = Heap::new();
        // SAFETY: a layout of some bytes.
        assert!(unsafe { heap.alloc(layout(1)) }.is_null());
        assert_eq!((heap.largest(), heap.info().size, heap.info().refused), (0, 0, 1));
        let mut little = [0; GRANULARITY];
        // SAFETY: memory of the test's.
        assert!(!unsafe { heap.init(NonNull::new(little.as_mut_ptr()).unwrap(), GRANULARITY) });
    }

    #[test]
    fn figures_are_exact_and_memory_comes_back() {
        let (heap, mut memory) = heap(10_000);
        let whole = heap.largest();
        assert!(whole > 8_000, "{whole}");
        let start = NonNull::new(memory.as_mut_ptr()).unwrap();
        // SAFETY: it is not taken.
        assert!(!unsafe { heap.init(start, 10_000) });
        let mut blocks = Vec::new();
        loop {
            // SAFETY: a layout of some bytes.
            let block = unsafe { heap.alloc(layout(100)) };
            if block.is_null() {
                break;
            }
            blocks.push(block);
        }
        let info = heap.info();
        assert_eq!(info.live, blocks.len() * (100 + HEADER).next_multiple_of(GRANULARITY));
        assert!(info.live <= info.size && info.size - info.live < 300, "{info:?}");
        assert_eq!((info.peak, info.refused), (info.live, 1));
        // Every other one: much is free and nothing large.
        for block in blocks.iter().step_by(2) {
            // SAFETY: from above, once.
            unsafe { heap.dealloc(*block, layout(100)) };
        }
        assert!(heap.largest() < 300 && heap.info().live < info.live / 2 + 200);
        heap.reset_peak();
        assert_eq!(heap.info().peak, heap.info().live);
        for block in blocks.iter().skip(1).step_by(2) {
            // SAFETY: from above, once.
            unsafe { heap.dealloc(*block, layout(100)) };
        }
        assert_eq!((heap.info().live, heap.largest()), (0, whole));
    }

    #[test]
    fn a_block_grows_where_it_is() {
        let (heap, _memory) = heap(4_000);
        // SAFETY: layouts as they were asked for, blocks of this heap.
        unsafe {
            let block = heap.alloc(layout(1_000));
            block.write_bytes(7, 1_000);
            let grown = heap.realloc(block, layout(1_000), 3_000);
            assert_eq!(grown, block);
            assert!(heap.realloc(grown, layout(3_000), 5_000).is_null());
            assert_eq!(grown.add(999).read(), 7);
            heap.dealloc(grown, layout(3_000));
        }
        assert_eq!((heap.info().live, heap.info().refused), (0, 1));
    }

    #[test]
    fn this_build_has_the_systems_heap() {
        let mut byte = 0_u8;
        // SAFETY: a byte of the test's.
        let answer = unsafe { rit_heap_init((&raw mut byte).cast(), 1) };
        assert_eq!(answer, crate::error::RIT_ERR_STATE);
        assert_eq!(rit_heap_reset_peak(), crate::error::RIT_ERR_STATE);
    }
}
