//! Lends a node's randomness to rustls, which asks for it through `&'static` objects without any
//! context.
//!
//! One slot holds a fork of the node's generator while one rustls call runs. Outside of such a call
//! the slot is empty and rustls gets an error: there is no other source of entropy. With `std` the
//! slot is the thread's. Without, there is one for the whole program, and calls into nodes must not
//! run on several tasks at once: if they do, a handshake may fail, or not repeat by its seed, but
//! no randomness is used twice.

use crate::base::Rng;

#[cfg(not(any(feature = "std", test)))]
use global as slot;
#[cfg(any(feature = "std", test))]
use per_thread as slot;

/// Runs `f` with a fork of `rng` lent to rustls. Calls do not nest.
pub fn lend<R>(rng: &mut Rng, f: impl FnOnce() -> R) -> R {
    // Empties the slot on the way out of a panic too.
    struct Emptied;
    impl Drop for Emptied {
        fn drop(&mut self) {
            slot::put(None);
        }
    }
    slot::put(Some(rng.fork()));
    let _emptied = Emptied;
    f()
}

/// Fills `out` from the lent generator; false if none is lent.
pub(super) fn fill(out: &mut [u8]) -> bool {
    slot::fill(out)
}

// Unit tests run on many threads, so they have this one always.
#[cfg(any(feature = "std", test))]
mod per_thread {
    use crate::base::Rng;
    use core::cell::RefCell;

    std::thread_local! {
        static SLOT: RefCell<Option<Rng>> = const { RefCell::new(None) };
    }

    pub(super) fn put(rng: Option<Rng>) {
        // A thread that is ending has no slot any more: then nothing is lent.
        let _ = SLOT.try_with(|slot| slot.replace(rng));
    }

    pub(super) fn fill(out: &mut [u8]) -> bool {
        SLOT.try_with(|slot| match slot.borrow_mut().as_mut() {
            Some(rng) => {
                rng.fill(out);
                true
            }
            None => false,
        })
        .unwrap_or(false)
    }
}

#[cfg(any(not(feature = "std"), test))]
mod global {
    use crate::base::Rng;
    use spin::Mutex;

    static SLOT: Mutex<Option<Rng>> = Mutex::new(None);

    pub(super) fn put(rng: Option<Rng>) {
        *SLOT.lock() = rng;
    }

    pub(super) fn fill(out: &mut [u8]) -> bool {
        match SLOT.lock().as_mut() {
            Some(rng) => {
                rng.fill(out);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lent_bytes_follow_the_seed_and_end_with_the_call() {
        let draw = |seed| {
            let mut bytes = [0; 16];
            assert!(lend(&mut Rng::from_seed([seed; 32]), || fill(&mut bytes)));
            bytes
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(!fill(&mut [0; 16]));
    }

    #[test]
    fn the_global_slot_does_the_same() {
        let (mut lent, mut drawn) = ([0; 40], [0; 40]);
        global::put(Some(Rng::from_seed([4; 32])));
        assert!(global::fill(&mut lent));
        Rng::from_seed([4; 32]).fill(&mut drawn);
        assert_eq!(lent, drawn);
        global::put(None);
        assert!(!global::fill(&mut lent));
    }

    #[test]
    fn a_panic_empties_the_slot() {
        let caught = std::panic::catch_unwind(|| {
            lend(&mut Rng::from_seed([1; 32]), || {
                std::panic::resume_unwind(std::boxed::Box::new(()))
            })
        });
        assert!(caught.is_err());
        assert!(!fill(&mut [0; 16]));
    }
}
