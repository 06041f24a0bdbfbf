//! Passwords: Argon2id, a few at a time, off the threads that serve.
//!
//! Owns the cost and its bound. Invariants: a user who does not exist, or has no password, costs
//! the same work and gets the same answer as a wrong password; at most [`AT_ONCE`] hashes are
//! computed at once and [`WAITING_MAX`] wait, so a flood of logins takes no memory and no core
//! from the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::problem::Problem;

/// Each takes 19 MiB and tens of milliseconds.
const AT_ONCE: usize = 2;
/// More than that are told to come back.
const WAITING_MAX: usize = 32;
/// What OWASP advises for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Shorter ones are guessed.
pub(crate) const LEN_MIN: usize = 10;
/// Longer ones only cost time.
pub(crate) const LEN_MAX: usize = 256;

/// A password as it came; erased after use.
pub(crate) type Password = Zeroizing<String>;

/// The hasher.
pub(crate) struct Passwords {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Of a password that nobody knows; what users without one are compared with.
    nobody: String,
}

impl Passwords {
    pub(crate) fn new() -> Result<Self, Problem> {
        let nobody = Zeroizing::new(data_encoding::HEXLOWER.encode(&random::<16>()?));
        Ok(Passwords {
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: AtomicUsize::new(0),
            nobody: hash(&nobody)?,
        })
    }

    /// The text to store of a new password.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, Problem> {
        if !is_acceptable(&password) {
            return Err(Problem::bad("password-length", "a password has 10 to 256 bytes"));
        }
        self.with_slot(move || hash(&password)).await?
    }

    /// Whether `password` is the one of `stored`; where none is stored, it takes as long to say no.
    pub(crate) async fn verify(
        &self,
        password: Password,
        stored: Option<String>,
    ) -> Result<bool, Problem> {
        let is_known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.nobody.clone());
        let is_right = self.with_slot(move || verify(&password, &stored)).await?;
        Ok(is_known & is_right)
    }

    async fn with_slot<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let waiting = Waiting::enter(&self.waiting)?;
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| Problem::internal())?;
        drop(waiting);
        let work = move || {
            let done = work();
            drop(slot);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())
    }
}

/// A place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Result<Self, Problem> {
        let place = Waiting(count);
        let before = count.fetch_add(1, Ordering::Relaxed);
        if before < WAITING_MAX { Ok(place) } else { Err(Problem::busy()) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a password may be set.
pub(crate) fn is_acceptable(password: &str) -> bool {
    (LEN_MIN..=LEN_MAX).contains(&password.len())
}

fn argon2() -> Result<Argon2<'static>, Problem> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|_| Problem::internal())?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The text to store, without the bound on work: for the command line.
pub(crate) fn hash(password: &str) -> Result<String, Problem> {
    let salt = SaltString::encode_b64(&random::<16>()?).map_err(|_| Problem::internal())?;
    let hash = argon2()?.hash_password(password.as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).map_err(|_| Problem::internal())
}

fn verify(password: &str, stored: &str) -> bool {
    let (Ok(stored), Ok(argon2)) = (PasswordHash::new(stored), argon2()) else { return false };
    password.len() <= LEN_MAX && argon2.verify_password(password.as_bytes(), &stored).is_ok()
}

/// Bytes of the system's randomness.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no randomness");
        Problem::internal()
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(password: &str) -> Password {
        Zeroizing::new(password.to_owned())
    }

    #[tokio::test]
    async fn the_right_password_alone_is_right() {
        let passwords = Passwords::new().unwrap();
        let stored = passwords.hash(text("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let verify =
            |password: &str, stored: Option<String>| passwords.verify(text(password), stored);
        assert!(verify("correct horse", Some(stored.clone())).await.unwrap());
        assert!(!verify("correct horsf", Some(stored.clone())).await.unwrap());
        assert!(!verify("", Some(stored)).await.unwrap());
        assert!(!verify("correct horse", None).await.unwrap());
        assert!(!verify("correct horse", Some("damaged".into())).await.unwrap());
    }

    #[tokio::test]
    async fn lengths_are_limited() {
        let passwords = Passwords::new().unwrap();
        for (len, is_fine) in [(9, false), (10, true), (256, true), (257, false)] {
            assert_eq!(passwords.hash(text(&"x".repeat(len))).await.is_ok(), is_fine, "{len}");
        }
    }

    #[tokio::test]
    async fn no_more_wait_than_there_is_room_for() {
        let passwords = Arc::new(Passwords::new().unwrap());
        let held = passwords.slots.clone().acquire_many_owned(AT_ONCE as u32).await.unwrap();
        let one = |passwords: Arc<Passwords>| async move {
            passwords.verify(text("correct horse"), None).await.is_ok()
        };
        let waiting: Vec<_> =
            (0..WAITING_MAX).map(|_| tokio::spawn(one(passwords.clone()))).collect();
        while passwords.waiting.load(Ordering::Relaxed) < WAITING_MAX {
            tokio::task::yield_now().await;
        }
        assert!(!one(passwords.clone()).await, "one too many");
        drop(held);
        for a_try in waiting {
            assert!(a_try.await.unwrap());
        }
    }
}
