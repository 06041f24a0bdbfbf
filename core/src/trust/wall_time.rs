//! What a device knows of the time of day, and how it asks a broker for it.
//!
//! ```cddl
//! time = [device: bstr .size 32, nonce: bstr .size 16, now: uint, list: uint]
//! ```
//!
//! Signed by the broker: the seconds since 1970, and the number of the newest revocation list that
//! it has for the device (0: none), in answer to the device's own nonce. Such a statement shows
//! that the broker agreed just now; who stole its key can say any time, so it never replaces what
//! the integrator told, and nothing of it outlives a restart.

use alloc::vec::Vec;
use core::time::Duration;

use super::cbor::{CborError, Reader, Writer};
use super::cose::{Kind, Signed, StatementError, sign};
use crate::base::{PublicKey, Rng, Time};
use crate::crypto::{Provider, SignError, Signer, constant_time_eq};
pub use crate::wire::message::{TIME_LEN_MAX, TIME_NONCE_LEN};
use thiserror::Error;

/// An answer comes within this, or it is none.
pub const TIME_ANSWER: Duration = Duration::from_secs(30);
/// A statement is fresh for so long after the device asked.
pub const FRESH: Duration = Duration::from_secs(60);

/// Why a broker's statement was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WallTimeError {
    /// It is not the CBOR that belongs there.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// It is not a statement of that kind, or not signed.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// A key or a nonce has a wrong length.
    #[error("the statement of time has an entry of a wrong length")]
    Length,
    /// Not the broker's.
    #[error("the statement of time is not the broker's")]
    NotBroker,
    /// For another device.
    #[error("the statement of time is for another device")]
    Device,
    /// The device did not ask, or asked with another nonce.
    #[error("the statement of time answers no question of the device")]
    Nonce,
    /// Too long ago.
    #[error("the statement of time came too late")]
    Late,
}

/// What is known at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallTime {
    /// Seconds since 1970; `None`: nobody has told.
    pub unix_s: Option<u64>,
    /// A broker agreed just now, and knows of the revocation list of this number.
    pub fresh: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Integrator,
    Broker,
    #[cfg(feature = "gateway")]
    Gateway,
}

#[derive(Clone, Copy)]
struct Known {
    unix_s: u64,
    at: Time,
    source: Source,
}

/// Keeps the time of day from one word of it to the next, by the caller's clock.
#[derive(Clone, Default)]
pub struct WallClock {
    known: Option<Known>,
    asked: Option<([u8; TIME_NONCE_LEN], Time)>,
    fresh: Option<(u64, Time)>,
}

impl WallClock {
    /// One that nobody has set.
    pub fn new() -> Self {
        WallClock::default()
    }

    /// The integrator knows the time, and is believed.
    pub fn set(&mut self, unix_s: u64, now: Time) {
        self.known = Some(Known { unix_s, at: now, source: Source::Integrator });
    }

    /// A broker told the time over its link, whose handshake is no older than `at`: as good as a
    /// signed answer, but for what asks for a fresh one.
    pub fn set_by_link(&mut self, unix_s: u64, at: Time) {
        if !self.known.is_some_and(|known| known.source == Source::Integrator) {
            self.known = Some(Known { unix_s, at, source: Source::Broker });
        }
    }

    /// A gateway told the time so: that counts until somebody else has told it.
    #[cfg(feature = "gateway")]
    pub fn set_by_gateway(&mut self, unix_s: u64, at: Time) {
        if self.known.is_none_or(|known| known.source == Source::Gateway) {
            self.known = Some(Known { unix_s, at, source: Source::Gateway });
        }
    }

    /// What to send to the broker. Ends an earlier question.
    pub fn ask(&mut self, rng: &mut Rng, now: Time) -> [u8; TIME_NONCE_LEN] {
        let nonce = rng.array();
        self.asked = Some((nonce, now));
        nonce
    }

    /// Takes a broker's answer.
    pub fn hear(
        &mut self,
        p: &dyn Provider,
        broker: &PublicKey,
        device: &PublicKey,
        statement: &[u8],
        now: Time,
    ) -> Result<(), WallTimeError> {
        let (nonce, at) = self.asked.ok_or(WallTimeError::Nonce)?;
        let statement = TimeStatement::decode(statement)?;
        if statement.signed.name(p) != *broker {
            return Err(WallTimeError::NotBroker);
        }
        if statement.device != *device {
            return Err(WallTimeError::Device);
        }
        if !constant_time_eq(&statement.nonce, &nonce) {
            return Err(WallTimeError::Nonce);
        }
        if now.since(at) > TIME_ANSWER {
            return Err(WallTimeError::Late);
        }
        statement.signed.verify()?;
        self.asked = None;
        // As of the question: so it is never earlier than here, and no grant outlives its expiry.
        self.set_by_link(statement.unix_s, at);
        self.fresh = Some((statement.list, at));
        Ok(())
    }

    /// When it will be so late; `None`: nobody has told the time.
    pub fn when(&self, unix_s: u64) -> Option<Time> {
        let known = self.known?;
        Some(known.at + Duration::from_secs(unix_s.saturating_sub(known.unix_s)))
    }

    /// What is known at `now`.
    pub fn at(&self, now: Time) -> WallTime {
        WallTime {
            unix_s: self
                .known
                .map(|known| known.unix_s.saturating_add(now.since(known.at).as_secs())),
            fresh: self.fresh.filter(|(_, at)| now.since(*at) <= FRESH).map(|(list, _)| list),
        }
    }
}

/// A statement as it came. Nobody has checked the signature yet.
pub struct TimeStatement<'a> {
    signed: Signed<'a>,
    /// The device that asked.
    pub device: PublicKey,
    /// What it asked with.
    pub nonce: [u8; TIME_NONCE_LEN],
    /// Seconds since 1970.
    pub unix_s: u64,
    /// The number of the newest revocation list for the device; 0: there is none.
    pub list: u64,
}

impl<'a> TimeStatement<'a> {
    /// The statement that all of `bytes` is.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WallTimeError> {
        let signed = Signed::decode(bytes, Kind::Time, TIME_LEN_MAX)?;
        let mut r = Reader::new(signed.payload);
        r.array_of(4)?;
        let device = r.sized()?.map(PublicKey).ok_or(WallTimeError::Length)?;
        let nonce = r.sized()?.ok_or(WallTimeError::Length)?;
        let (unix_s, list) = (r.uint()?, r.uint()?);
        r.end()?;
        Ok(TimeStatement { signed, device, nonce, unix_s, list })
    }
}

/// A broker's answer.
pub fn sign_time(
    device: &PublicKey,
    nonce: &[u8; TIME_NONCE_LEN],
    unix_s: u64,
    list: u64,
    signer: &dyn Signer,
) -> Result<Vec<u8>, SignError> {
    let mut w = Writer::default();
    w.array(4).bytes(&device.0).bytes(nonce).uint(unix_s).uint(list);
    sign(Kind::Time, &w.out, signer)
}

#[cfg(all(test, feature = "p256", any(feature = "ring", feature = "rustcrypto")))]
mod tests;
