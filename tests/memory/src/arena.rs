//! The heap of bare-metal builds under a part of a hosted program.
//!
//! A test binary makes [`Switch`] its global allocator. What a thread allocates [`inside`] comes
//! from that thread's [`Arena`], all else from the system; memory goes back to where it came from.

use rit::heap::{Heap, Info};
use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The alignment by which core's questions for room are told from all other requests.
const QUESTION_ALIGN: usize = 64;

thread_local! {
    static HEAP: Cell<*const Heap> = const { Cell::new(ptr::null()) };
    static START: Cell<usize> = const { Cell::new(0) };
    static SIZE: Cell<usize> = const { Cell::new(0) };
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
    static QUESTIONS: Cell<u64> = const { Cell::new(0) };
    static DENIED: Cell<u64> = const { Cell::new(u64::MAX) };
    static IS_MEASURED: Cell<bool> = const { Cell::new(false) };
}

/// Without the standard library, nodes must not run on several threads at once: what is lent to
/// rustls is the whole program's (core::crypto::lend). So one test runs at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The system's allocator outside, the arena inside.
pub struct Switch;

/// The heap, if the address is in its memory.
fn owner(block: *mut u8) -> Option<&'static Heap> {
    let (start, size) = (START.get(), SIZE.get());
    let is_its = (start..start + size).contains(&(block as usize));
    // SAFETY: the arena that put the pointer there outlives its memory's use.
    if is_its { unsafe { HEAP.get().as_ref() } } else { None }
}

/// Before the program ends for it: what asked.
#[cold]
fn tell(layout: Layout) {
    outside(|| eprintln!("no memory for {layout:?} of\n{}", Backtrace::force_capture()));
}

// SAFETY: each block is the system's or the heap's, and goes back there, known by its address.
unsafe impl GlobalAlloc for Switch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !IS_INSIDE.get() {
            // SAFETY: the caller's promises are the same.
            return unsafe { System.alloc(layout) };
        }
        let is_question = layout.align() == QUESTION_ALIGN;
        if is_question {
            QUESTIONS.set(QUESTIONS.get() + 1);
            if QUESTIONS.get() == DENIED.get() {
                return ptr::null_mut();
            }
            if IS_MEASURED.get() {
                // SAFETY: as above.
                return unsafe { System.alloc(layout) };
            }
        }
        // SAFETY: inside there is a heap, and the caller's promises are the same.
        let block = unsafe { (*HEAP.get()).alloc(layout) };
        if block.is_null() && !is_question {
            tell(layout);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        match owner(block) {
            Some(heap) => unsafe { heap.dealloc(block, layout) },
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = match owner(block) {
            Some(heap) => unsafe { heap.realloc(block, layout, size) },
            None => unsafe { System.realloc(block, layout, size) },
        };
        if moved.is_null() {
            tell(layout);
        }
        moved
    }
}

fn with<R>(is_inside: bool, work: impl FnOnce() -> R) -> R {
    let before = IS_INSIDE.replace(is_inside);
    let result = work();
    IS_INSIDE.set(before);
    result
}

/// What is allocated meanwhile comes from this thread's arena.
pub fn inside<R>(work: impl FnOnce() -> R) -> R {
    assert!(!HEAP.get().is_null(), "this thread has no arena");
    with(true, work)
}

/// The way back, for callbacks.
pub fn outside<R>(work: impl FnOnce() -> R) -> R {
    with(false, work)
}

/// Questions for room so far.
pub fn questions() -> u64 {
    QUESTIONS.get()
}

/// The question with this number, counted from now, is answered with no, whatever room there is.
pub fn deny(number: u64) {
    QUESTIONS.set(0);
    DENIED.set(number);
}

/// Whether the heap's figures are to be without what is asked for as a question. There is room.
pub fn measure(is_measured: bool) {
    IS_MEASURED.set(is_measured);
}

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line {
    _bytes: [u8; 64],
}

/// A heap of this thread's. Threads that want one wait for each other.
pub struct Arena {
    heap: Box<Heap>,
    _memory: Vec<Line>,
    held: Vec<(NonNull<u8>, Layout)>,
    /// What that takes.
    held_len: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Arena {
    /// A heap with so many bytes, or none if they are too few for one.
    pub fn new(size: usize) -> Arena {
        assert!(HEAP.get().is_null(), "this thread has an arena");
        // A test that failed did so alone.
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = vec![Line { _bytes: [0x5a; 64] }; size.div_ceil(64) + 1];
        let heap = Box::new(Heap::new());
        let start = NonNull::from(memory.as_mut_slice()).cast::<u8>();
        // SAFETY: the memory lives as long as the heap is used, and is nobody else's.
        unsafe { heap.init(start, size) };
        HEAP.set(&*heap);
        START.set(start.as_ptr() as usize);
        SIZE.set(size);
        deny(u64::MAX);
        Arena { heap, _memory: memory, held: Vec::new(), held_len: 0, _alone: alone }
    }

    /// Its figures.
    pub fn info(&self) -> Info {
        self.heap.info()
    }

    /// The largest block that could be had.
    pub fn largest(&self) -> usize {
        self.heap.largest()
    }

    /// Lets the peak begin anew.
    pub fn reset_peak(&self) {
        self.heap.reset_peak();
    }

    /// Takes a block of so many bytes out of use; false if there is none.
    pub fn hold(&mut self, size: usize) -> bool {
        let Ok(layout) = Layout::from_size_align(size, 8) else { return false };
        let before = self.info().live;
        // SAFETY: not of no bytes.
        let block = NonNull::new(unsafe { self.heap.alloc(layout) });
        self.held.extend(block.map(|block| (block, layout)));
        self.held_len += self.info().live - before;
        block.is_some()
    }

    /// Takes blocks of so many bytes out of use, all there are, and gives every other one back.
    pub fn fragment(&mut self, size: usize) {
        while self.hold(size) {}
        let all = std::mem::take(&mut self.held);
        let before = self.info().live;
        for (at, (block, layout)) in all.into_iter().enumerate() {
            if at % 2 == 0 {
                self.held.push((block, layout));
            } else {
                // SAFETY: a block of this heap with its layout.
                unsafe { self.heap.dealloc(block.as_ptr(), layout) };
            }
        }
        self.held_len -= before - self.info().live;
    }

    /// Takes blocks out of use until no larger one than this could be had.
    pub fn squeeze(&mut self, left: usize) {
        while self.largest() > left {
            let largest = self.largest();
            // What is behind it remains.
            if largest < left + 256 || !self.hold(largest - left - 128) {
                break;
            }
        }
    }

    /// Gives back what was taken out of use.
    pub fn release(&mut self) {
        for (block, layout) in self.held.drain(..) {
            // SAFETY: a block of this heap with its layout.
            unsafe { self.heap.dealloc(block.as_ptr(), layout) };
        }
        self.held_len = 0;
    }

    /// What the library holds of it.
    pub fn live(&self) -> usize {
        self.info().live - self.held_len
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.release();
        HEAP.set(ptr::null());
        SIZE.set(0);
    }
}
