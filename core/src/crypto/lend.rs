//! Lends a node's randomness and crypto library to rustls, which asks for them through `&'static`
//! objects without any context.
//!
//! One slot holds a fork of the node's generator, and the provider, while one rustls call runs.
//! Outside of such a call the slot is empty and rustls gets an error: there is no other source of
//! entropy. With `std` the slot is the thread's. Without, there is one for the whole program, and
//! calls into nodes must not run on several tasks at once: if they do, a handshake may fail, or not
//! repeat by its seed, or be computed by the other node's provider; no randomness is used twice.

use super::Provider;
use crate::base::Rng;

/// What rustls may use while it runs.
struct Lent {
    provider: &'static dyn Provider,
    rng: Rng,
}

#[cfg(not(any(feature = "std", test)))]
use global as slot;
#[cfg(any(feature = "std", test))]
use per_thread as slot;

/// Runs `f` with `provider` and a fork of `rng` lent to rustls. Calls may nest: a callback
/// of the integrator's, asked by rustls for one node, may run another node.
pub fn lend<R>(provider: &'static dyn Provider, rng: &mut Rng, f: impl FnOnce() -> R) -> R {
    // On the way out of a panic too.
    struct Former(Option<Lent>);
    impl Drop for Former {
        fn drop(&mut self) {
            slot::put(self.0.take());
        }
    }
    let _former = Former(slot::put(Some(Lent { provider, rng: rng.fork() })));
    f()
}

/// Fills `out` from the lent generator; false if none is lent.
pub(super) fn fill(out: &mut [u8]) -> bool {
    slot::with(|lent| lent.rng.fill(out)).is_some()
}

/// The lent provider, if one is.
pub(super) fn provider() -> Option<&'static dyn Provider> {
    slot::with(|lent| lent.provider)
}

// Unit tests run on many threads, so they have this one always.
#[cfg(any(feature = "std", test))]
mod per_thread {
    use super::Lent;
    use core::cell::RefCell;

    std::thread_local! {
        static SLOT: RefCell<Option<Lent>> = const { RefCell::new(None) };
    }

    pub(super) fn put(lent: Option<Lent>) -> Option<Lent> {
        // A thread that is ending has no slot any more: then nothing is lent.
        SLOT.try_with(|slot| slot.replace(lent)).ok().flatten()
    }

    pub(super) fn with<R>(f: impl FnOnce(&mut Lent) -> R) -> Option<R> {
        SLOT.try_with(|slot| slot.borrow_mut().as_mut().map(f)).ok().flatten()
    }
}

#[cfg(any(not(feature = "std"), test))]
mod global {
    use super::Lent;
    use spin::Mutex;

    static SLOT: Mutex<Option<Lent>> = Mutex::new(None);

    pub(super) fn put(lent: Option<Lent>) -> Option<Lent> {
        core::mem::replace(&mut *SLOT.lock(), lent)
    }

    pub(super) fn with<R>(f: impl FnOnce(&mut Lent) -> R) -> Option<R> {
        SLOT.lock().as_mut().map(f)
    }
}

#[cfg(all(test, any(feature = "ring", feature = "rustcrypto")))]
mod tests {
    use super::*;
    use crate::crypto::default_provider;

    #[test]
    fn lent_bytes_follow_the_seed_and_end_with_the_call() {
        let draw = |seed| {
            let mut bytes = [0; 16];
            let rng = &mut Rng::from_seed([seed; 32]);
            assert!(lend(default_provider(), rng, || fill(&mut bytes)));
            bytes
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(!fill(&mut [0; 16]));
    }

    #[test]
    fn the_global_slot_does_the_same() {
        let (mut lent, mut drawn) = ([0; 40], [0; 40]);
        let rng = Rng::from_seed([4; 32]);
        global::put(Some(Lent { provider: default_provider(), rng }));
        assert!(global::with(|slot| slot.rng.fill(&mut lent)).is_some());
        Rng::from_seed([4; 32]).fill(&mut drawn);
        assert_eq!(lent, drawn);
        global::put(None);
        assert!(global::with(|_| ()).is_none());
    }

    #[test]
    fn what_was_lent_is_there_again_after_a_call_inside() {
        let (mut outer, mut inner) = (Rng::from_seed([1; 32]), Rng::from_seed([2; 32]));
        let mut bytes = [[0; 16]; 3];
        let [first, within, second] = &mut bytes;
        lend(default_provider(), &mut outer, || {
            assert!(fill(first));
            lend(default_provider(), &mut inner, || assert!(fill(within)));
            assert!(fill(second));
        });
        let mut whole = [0; 32];
        lend(default_provider(), &mut Rng::from_seed([1; 32]), || assert!(fill(&mut whole)));
        assert_eq!([*first, *second].concat(), whole);
        assert_ne!(first, within);
    }

    #[test]
    fn a_panic_empties_the_slot() {
        let caught = std::panic::catch_unwind(|| {
            lend(default_provider(), &mut Rng::from_seed([1; 32]), || {
                std::panic::resume_unwind(std::boxed::Box::new(()))
            })
        });
        assert!(caught.is_err());
        assert!(!fill(&mut [0; 16]) && provider().is_none());
    }
}
