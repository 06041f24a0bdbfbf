//! No panic crosses the boundary.
//!
//! Hosted: a panic inside a call is caught, kept from printing, and answered by `RIT_ERR_INTERNAL`.
//! On bare metal there is no unwinder: `firmware` has the panic handler.

/// Runs `f`; `None` if it panicked.
#[cfg(feature = "std")]
pub(crate) fn run<R>(f: impl FnOnce() -> R) -> Option<R> {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    hook::silence();
    let _inside = hook::Inside::enter();
    // What the panic may have left half done is never looked at: the node is marked broken.
    catch_unwind(AssertUnwindSafe(f)).ok()
}

/// Runs `f`.
#[cfg(not(feature = "std"))]
pub(crate) fn run<R>(f: impl FnOnce() -> R) -> Option<R> {
    Some(f())
}

/// Where the last caught panic of this thread happened, once.
#[cfg(feature = "std")]
pub(crate) fn take_place() -> Option<alloc::string::String> {
    hook::PLACE.with(|place| place.borrow_mut().take())
}

/// Where the last caught panic of this thread happened, once.
#[cfg(not(feature = "std"))]
pub(crate) fn take_place() -> Option<alloc::string::String> {
    None
}

#[cfg(feature = "std")]
mod hook {
    use alloc::boxed::Box;
    use alloc::string::{String, ToString};
    use std::cell::{Cell, RefCell};
    use std::sync::Once;

    std::thread_local! {
        static DEPTH: Cell<u32> = const { Cell::new(0) };
        pub(super) static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    /// This thread is inside a call, for as long as the value lives.
    pub(super) struct Inside;

    impl Inside {
        pub(super) fn enter() -> Inside {
            DEPTH.set(DEPTH.get() + 1);
            Inside
        }
    }

    impl Drop for Inside {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }

    /// Libraries do not print: inside a call the place is noted instead. Panics of other code,
    /// where this crate is part of a Rust program, go to the hook that was there.
    pub(super) fn silence() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                if DEPTH.get() == 0 {
                    previous(info);
                } else {
                    let place = info.location().map(ToString::to_string);
                    PLACE.with(|cell| *cell.borrow_mut() = place);
                }
            }));
        });
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer() {
        assert_eq!(run(|| 1), Some(1));
        assert_eq!(run(|| -> i32 { panic!("on purpose") }), None);
        let place = take_place().unwrap();
        assert!(place.contains("guard.rs"), "{place}");
        assert_eq!(take_place(), None);
    }
}
