//! C's malloc and free as Rust's allocator.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::ptr;

unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn free(ptr: *mut c_void);
}

/// What malloc promises at least (C11 7.22.3: enough for any fundamental type).
const MALLOC_ALIGN: usize = 8;

struct Malloc;

// SAFETY: blocks come from malloc, are as large and aligned as asked for, and go back to free.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size();
        let align = layout.align();
        if align <= MALLOC_ALIGN {
            // SAFETY: any size is fine for malloc.
            return unsafe { malloc(size) }.cast();
        }
        // Room to move the block up to its alignment, and below it for what malloc gave.
        let Some(whole) = size.checked_add(align + size_of::<usize>()) else {
            return ptr::null_mut();
        };
        // SAFETY: any size is fine for malloc.
        let base: *mut u8 = unsafe { malloc(whole) }.cast();
        if base.is_null() {
            return base;
        }
        let gap = size_of::<usize>();
        let up = (base as usize + gap).next_multiple_of(align) - base as usize;
        // SAFETY: gap <= up <= align + gap, so the block and the pointer below it are inside.
        unsafe {
            let block = base.add(up);
            block.cast::<*mut u8>().sub(1).write(base);
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `alloc` made the block with the same layout.
        unsafe {
            if layout.align() <= MALLOC_ALIGN {
                free(block.cast());
            } else {
                free(block.cast::<*mut u8>().sub(1).read().cast());
            }
        }
    }
}

#[global_allocator]
static MALLOC: Malloc = Malloc;
