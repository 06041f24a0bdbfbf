//! Who is logged in at which service's host: handed over from the main host, where the login is.
//!
//! Owns handover codes and sessions, in memory: they end with the process, and people are handed
//! over anew without noticing. Invariants: all are known by their hashes only; a code is good once,
//! for a minute, at one host, and for the browser that was sent to the login alone; a session is
//! good at one host; both are bounded in number.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use rit_core::crypto;

use crate::error::Error;
use crate::state::random_seed;

/// How long the way from the login back may take.
const CODE_TIME: Duration = Duration::from_secs(60);
/// However much a session is used, the account's login is looked at again after this long.
const SESSION_TIME: Duration = Duration::from_secs(12 * 3600);
/// The oldest make room.
const CODES_MAX: usize = 10_000;
const SESSIONS_MAX: usize = 100_000;

type Digest = [u8; 32];

/// An account of the main host.
pub(crate) type Account = i64;

struct Code {
    label: String,
    state: Digest,
    account: Account,
    made: Instant,
}

struct Session {
    label: String,
    account: Account,
    made: Instant,
    used: Instant,
}

/// All of them.
pub(crate) struct Logins {
    idle: Duration,
    codes: Mutex<HashMap<Digest, Code>>,
    sessions: Mutex<HashMap<Digest, Session>>,
}

/// A fresh secret in characters that URLs and cookies take.
pub(crate) fn secret() -> Result<String, Error> {
    Ok(BASE64URL_NOPAD.encode(&random_seed()?))
}

/// What a secret is known by, in the same characters.
pub(crate) fn public(secret: &str) -> String {
    BASE64URL_NOPAD.encode(&digest(secret))
}

fn digest(secret: &str) -> Digest {
    crypto::default_provider().sha256(&[b"rit/1 face login", secret.as_bytes()])
}

fn state_of(public: &str) -> Option<Digest> {
    BASE64URL_NOPAD.decode(public.as_bytes()).ok()?.try_into().ok()
}

impl Logins {
    /// A session ends that was not used for as long as `idle`.
    pub(crate) fn new(idle: Duration) -> Self {
        Logins { idle, codes: Mutex::default(), sessions: Mutex::default() }
    }

    /// A code with which the browser that has the secret behind `state` logs in at `label`; none if
    /// `state` is not one.
    pub(crate) fn hand_over(
        &self,
        label: &str,
        state: &str,
        account: Account,
        now: Instant,
    ) -> Result<Option<String>, Error> {
        let Some(state) = state_of(state) else { return Ok(None) };
        let (code, label) = (secret()?, label.to_owned());
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = |one: &Code| now.saturating_duration_since(one.made) < CODE_TIME;
        make_room(&mut codes, CODES_MAX, kept, |one| one.made);
        codes.insert(digest(&code), Code { label, state, account, made: now });
        Ok(Some(code))
    }

    /// Uses a code up: a session's secret.
    pub(crate) fn enter(
        &self,
        label: &str,
        state_secret: &str,
        code: &str,
        now: Instant,
    ) -> Result<Option<String>, Error> {
        let code = {
            let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
            codes.remove(&digest(code))
        };
        let is_good = |code: &Code| {
            code.label == label
                && code.state == digest(state_secret)
                && now.saturating_duration_since(code.made) < CODE_TIME
        };
        let Some(code) = code.filter(is_good) else { return Ok(None) };
        let secret = secret()?;
        let session = Session { label: code.label, account: code.account, made: now, used: now };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = |one: &Session| self.is_live(one, now);
        make_room(&mut sessions, SESSIONS_MAX, kept, |one| one.used);
        sessions.insert(digest(&secret), session);
        Ok(Some(secret))
    }

    /// Whose session it is.
    pub(crate) fn account(&self, label: &str, secret: &str, now: Instant) -> Option<Account> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get_mut(&digest(secret))?;
        if session.label != label || !self.is_live(session, now) {
            return None;
        }
        session.used = now;
        Some(session.account)
    }

    /// Ends a session.
    pub(crate) fn leave(&self, secret: &str) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&digest(secret));
    }

    fn is_live(&self, session: &Session, now: Instant) -> bool {
        now.saturating_duration_since(session.used) < self.idle
            && now.saturating_duration_since(session.made) < SESSION_TIME
    }
}

/// Removes what is over, and the oldest if that is not enough.
fn make_room<K: Copy + Eq + Hash, V>(
    all: &mut HashMap<K, V>,
    max: usize,
    is_kept: impl Fn(&V) -> bool,
    age: impl Fn(&V) -> Instant,
) {
    if all.len() < max {
        return;
    }
    all.retain(|_, one| is_kept(one));
    while all.len() >= max {
        let oldest = all.iter().min_by_key(|(_, one)| age(one)).map(|(key, _)| *key);
        oldest.map(|key| all.remove(&key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(3600);
    const ACCOUNT: Account = 7;

    fn enter(logins: &Logins, now: Instant) -> String {
        let code = logins.hand_over("a", &public("browser"), ACCOUNT, now).unwrap().unwrap();
        logins.enter("a", "browser", &code, now).unwrap().unwrap()
    }

    #[test]
    fn a_code_is_good_once_at_one_host_for_one_browser_for_a_minute() {
        let (logins, now) = (Logins::new(IDLE), Instant::now());
        let code = || logins.hand_over("a", &public("browser"), ACCOUNT, now).unwrap().unwrap();
        let enter = |label, state, code: &str, now| {
            logins.enter(label, state, code, now).unwrap().is_some()
        };
        let good = code();
        assert!(enter("a", "browser", &good, now));
        assert!(!enter("a", "browser", &good, now), "used");
        assert!(!enter("b", "browser", &code(), now));
        assert!(!enter("a", "another", &code(), now));
        assert!(!enter("a", "browser", "guessed", now));
        assert!(!enter("a", "browser", &code(), now + CODE_TIME));
        assert!(enter("a", "browser", &code(), now + CODE_TIME - Duration::from_secs(1)));
        for bad in ["", "short", "not base64!", &public("browser")[1..]] {
            assert!(logins.hand_over("a", bad, ACCOUNT, now).unwrap().is_none(), "{bad}");
        }
    }

    #[test]
    fn a_session_is_good_at_one_host_while_it_is_used() {
        let (logins, start) = (Logins::new(IDLE), Instant::now());
        let secret = enter(&logins, start);
        assert_eq!(logins.account("b", &secret, start), None);
        assert_eq!(logins.account("a", "guessed", start), None);
        let mut now = start;
        while now < start + SESSION_TIME {
            assert_eq!(logins.account("a", &secret, now), Some(ACCOUNT));
            now += IDLE - Duration::from_secs(1);
        }
        assert_eq!(logins.account("a", &secret, now), None, "too old");
        let unused = enter(&logins, start);
        assert_eq!(logins.account("a", &unused, start + IDLE), None);
    }

    #[test]
    fn sessions_end_when_they_are_left() {
        let (logins, now) = (Logins::new(IDLE), Instant::now());
        let (one, two) = (enter(&logins, now), enter(&logins, now));
        logins.leave(&one);
        assert_eq!(logins.account("a", &one, now), None);
        assert_eq!(logins.account("a", &two, now), Some(ACCOUNT));
    }

    #[test]
    fn the_oldest_makes_room() {
        let start = Instant::now();
        let mut all: HashMap<u8, Instant> =
            (0..3).map(|at| (at, start + Duration::from_secs(at.into()))).collect();
        make_room(&mut all, 4, |_| true, |at| *at);
        assert_eq!(all.len(), 3, "there is room");
        make_room(&mut all, 3, |_| true, |at| *at);
        assert!(!all.contains_key(&0) && all.len() == 2);
        make_room(&mut all, 2, |_| false, |at| *at);
        assert!(all.is_empty());
    }
}
