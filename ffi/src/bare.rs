//! What a build without the standard library needs: memory from the firmware's `malloc` and `free`,
//! and a panic handler. Core promises that no input reaches a panic; if one happens all the same,
//! the node cannot go on, and a watchdog is the firmware's way out.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::panic::PanicInfo;

unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn free(ptr: *mut c_void);
}

/// What every C library's `malloc` aligns to at least.
const MALLOC_ALIGN: usize = 2 * size_of::<usize>();

struct Malloc;

// SAFETY: memory comes from `malloc`, aligned as asked: beyond MALLOC_ALIGN, the block is larger and
// the pointer before the aligned start remembers where it began.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        if align <= MALLOC_ALIGN {
            // SAFETY: `malloc` takes any size.
            return unsafe { malloc(size) }.cast();
        }
        let Some(total) = size.checked_add(align + size_of::<usize>()) else {
            return core::ptr::null_mut();
        };
        // SAFETY: `malloc` takes any size.
        let raw: *mut u8 = unsafe { malloc(total) }.cast();
        if raw.is_null() {
            return raw;
        }
        // SAFETY: `total` leaves room for the pointer and for moving up to the alignment.
        unsafe {
            let after_pointer = raw.add(size_of::<usize>());
            let aligned = after_pointer.add(after_pointer.align_offset(align));
            aligned.cast::<*mut u8>().sub(1).write_unaligned(raw);
            aligned
        }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let raw = if layout.align() <= MALLOC_ALIGN {
            ptr
        } else {
            // SAFETY: `alloc` put it there.
            unsafe { ptr.cast::<*mut u8>().sub(1).read_unaligned() }
        };
        // SAFETY: it came from `malloc`.
        unsafe { free(raw.cast()) }
    }
}

#[global_allocator]
static ALLOCATOR: Malloc = Malloc;

#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
