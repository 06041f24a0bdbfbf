//! What a build without the standard library needs from somewhere: an allocator and a panic
//! handler.
//!
//! The allocator is the arena of `heap`, or with the feature `malloc` C's malloc and free, which
//! every C library for devices has.

use core::panic::PanicInfo;

#[cfg(not(feature = "malloc"))]
#[global_allocator]
pub(crate) static HEAP: crate::heap::Heap = crate::heap::Heap::new();

#[cfg(feature = "malloc")]
mod malloc;

/// Nothing here is known to be in order any more, so nothing is called: the watchdog has its day.
#[panic_handler]
fn on_panic(_info: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
