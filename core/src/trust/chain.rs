//! Who may use a device: the owner, and whoever shows a chain of grants that begins with the owner.
//!
//! ```cddl
//! chain = [1*4 statement]             ; grants, the owner's first
//! ```
//!
//! Owns the decision, and the [`Permit`] that ends a session when it no longer holds. Link by link,
//! in one loop, with two grants in view; nothing of a link is believed before its signature is
//! checked, and no signature is checked but of the key that must have signed. Invariant: each link
//! only narrows the one before, so what the last one says is what is permitted.

use alloc::vec::Vec;

use super::cbor::{CborError, Reader, Writer};
use super::cose::StatementError;
use super::grant::{DEPTH_MAX, Grant, GrantFormError, GrantId, Rights, Terms};
use super::services::{ServiceList, Services};
use super::state::TrustState;
use super::wall_time::WallTime;
use crate::base::PublicKey;
use crate::crypto::Provider;
pub use crate::wire::message::CHAIN_LEN_MAX;
use thiserror::Error;

/// Grants in a chain.
pub const CHAIN_GRANTS_MAX: usize = DEPTH_MAX as usize + 1;

/// Why somebody may not use a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GrantError {
    /// A grant of the chain, or the chain itself, is malformed or not signed by whom it says.
    #[error(transparent)]
    Form(#[from] GrantFormError),
    /// The chain is longer than [`CHAIN_LEN_MAX`].
    #[error("a chain of grants is longer than {CHAIN_LEN_MAX} bytes")]
    TooLong,
    /// The chain has more than [`CHAIN_GRANTS_MAX`] grants.
    #[error("a chain has more than {CHAIN_GRANTS_MAX} grants")]
    TooMany,
    /// There is no grant.
    #[error("there is no grant")]
    NoGrant,
    /// Nobody owns the device, so nobody may use it.
    #[error("the device has no owner")]
    Unclaimed,
    /// The first grant is not the owner's.
    #[error("the first grant is not the owner's")]
    NotOwner,
    /// A grant is not by the subject of the one before it.
    #[error("a grant is not by the subject of the one before it")]
    Broken,
    /// The last grant is for somebody else.
    #[error("the grant is for somebody else")]
    Subject,
    /// A grant is for another device.
    #[error("a grant is for another device")]
    Device,
    /// A grant is of another ownership of this device.
    #[error("a grant is of another ownership of the device")]
    Epoch,
    /// A grant was passed on by who may not, or once too often.
    #[error("a grant was passed on without the right to")]
    MayNotShare,
    /// A grant names services that the one before it does not.
    #[error("a grant has more services than the one before it")]
    MoreServices,
    /// A grant has rights that the one before it has not.
    #[error("a grant has more rights than the one before it")]
    MoreRights,
    /// A grant may be passed on as often as the one before it, or more often.
    #[error("a grant has not less depth than the one before it")]
    MoreDepth,
    /// A grant is good when the one before it is not.
    #[error("a grant is good for longer than the one before it")]
    MoreTime,
    /// A grant need not be fresh, but the one before it must.
    #[error("a grant need not be fresh, but the one before it must")]
    LessFresh,
    /// Its time has not come.
    #[error("the grant is not good yet")]
    NotYetValid,
    /// Its time is over.
    #[error("the grant has expired")]
    Expired,
    /// It is good for a time, and the device does not know the time: ask the broker.
    #[error("the grant is limited in time, and the time is not known")]
    TimeUnknown,
    /// It must be fresh: ask the broker.
    #[error("the grant needs a fresh statement of the broker")]
    NotFresh,
    /// The broker knows of a revocation list that the device does not have: ask for that.
    #[error("the grant must be fresh, and there is a revocation list that has not come")]
    ListMissing,
    /// The owner took a grant back.
    #[error("a grant was revoked")]
    Revoked,
    /// The owner takes no grant to this key, or through it.
    #[error("a key in the chain was revoked")]
    RevokedKey,
    /// The owner took back all that was issued before some time.
    #[error("a grant was issued before the time from which the owner's grants are good")]
    BelowFloor,
    /// There is no memory for it.
    #[error("there is no memory for a permit")]
    NoMemory,
}

impl From<CborError> for GrantError {
    fn from(error: CborError) -> Self {
        GrantError::Form(error.into())
    }
}

impl From<StatementError> for GrantError {
    fn from(error: StatementError) -> Self {
        GrantError::Form(error.into())
    }
}

/// Decides whether `peer`, who has proved to hold its key, may use `device`, and how. An owner
/// needs no grants, whatever `chain` is.
pub fn authorize(
    p: &dyn Provider,
    state: &TrustState,
    device: &PublicKey,
    peer: &PublicKey,
    chain: &[u8],
    time: WallTime,
) -> Result<Permit, GrantError> {
    let owner = state.owner().ok_or(GrantError::Unclaimed)?;
    if peer == owner {
        return Ok(Permit::of_owner(state, time));
    }
    let mut links = Vec::new();
    let mut parent: Option<Terms<'_>> = None;
    let mut r = Reader::new(chain);
    for _ in 0..begin(&mut r, chain)? {
        let grant = Grant::read(&mut r)?;
        let issuer = grant.issuer(p);
        match &parent {
            None if issuer != *owner => return Err(GrantError::NotOwner),
            Some(parent) if issuer != parent.subject => return Err(GrantError::Broken),
            _ => grant.verify()?,
        }
        let terms = grant.terms;
        check_link(state, device, parent.as_ref(), &terms)?;
        links.try_reserve(1).map_err(|_| GrantError::NoMemory)?;
        links.push(Link { id: terms.id, subject: terms.subject, issued_s: terms.issued_s });
        parent = Some(terms);
    }
    r.end()?;
    let terms = parent.ok_or(GrantError::NoGrant)?;
    if terms.subject != *peer {
        return Err(GrantError::Subject);
    }
    check_time(state, time, terms.not_before_s, terms.expires_s)?;
    if terms.must_be_fresh {
        check_fresh(state, time)?;
    }
    Permit::of_terms(state, time, &terms, links).ok_or(GrantError::NoMemory)
}

/// The grants of a chain, the owner's first. Nobody has checked anything yet but their form.
pub fn decode_chain(chain: &[u8]) -> Result<Vec<Grant<'_>>, GrantError> {
    let mut r = Reader::new(chain);
    let grants: Result<Vec<_>, _> =
        (0..begin(&mut r, chain)?).map(|_| Grant::read(&mut r)).collect();
    r.end()?;
    Ok(grants?)
}

/// A chain with one more grant at its end; an empty `chain` has none yet.
pub fn append_grant(chain: &[u8], grant: &[u8]) -> Result<Vec<u8>, GrantError> {
    let mut r = Reader::new(chain);
    let count = if chain.is_empty() { 0 } else { begin(&mut r, chain)? };
    let mut w = Writer::default();
    w.array(count + 1).raw(r.rest()).raw(grant);
    decode_chain(&w.out)?;
    Ok(w.out)
}

/// How many grants follow.
fn begin(r: &mut Reader<'_>, chain: &[u8]) -> Result<usize, GrantError> {
    if chain.len() > CHAIN_LEN_MAX {
        return Err(GrantError::TooLong);
    }
    if chain.is_empty() {
        return Err(GrantError::NoGrant);
    }
    match usize::try_from(r.array()?) {
        Ok(0) => Err(GrantError::NoGrant),
        Ok(count @ 1..=CHAIN_GRANTS_MAX) => Ok(count),
        _ => Err(GrantError::TooMany),
    }
}

/// What must hold of each link, whose signature is right.
fn check_link(
    state: &TrustState,
    device: &PublicKey,
    parent: Option<&Terms<'_>>,
    terms: &Terms<'_>,
) -> Result<(), GrantError> {
    if terms.device != *device {
        return Err(GrantError::Device);
    }
    if terms.epoch != state.epoch() {
        return Err(GrantError::Epoch);
    }
    if let Some(parent) = parent {
        check_narrows(parent, terms)?;
    }
    check_revoked(state, &terms.id, &terms.subject, terms.issued_s)
}

fn check_narrows(parent: &Terms<'_>, terms: &Terms<'_>) -> Result<(), GrantError> {
    const FOREVER: u64 = u64::MAX;
    if !parent.rights.contains(Rights::SHARE) || parent.depth == 0 {
        return Err(GrantError::MayNotShare);
    }
    if terms.depth >= parent.depth {
        return Err(GrantError::MoreDepth);
    }
    if !parent.rights.contains(terms.rights) {
        return Err(GrantError::MoreRights);
    }
    if !terms.services.is_within(&parent.services) {
        return Err(GrantError::MoreServices);
    }
    if terms.not_before_s.unwrap_or(0) < parent.not_before_s.unwrap_or(0)
        || terms.expires_s.unwrap_or(FOREVER) > parent.expires_s.unwrap_or(FOREVER)
    {
        return Err(GrantError::MoreTime);
    }
    if parent.must_be_fresh && !terms.must_be_fresh {
        return Err(GrantError::LessFresh);
    }
    Ok(())
}

fn check_revoked(
    state: &TrustState,
    id: &GrantId,
    subject: &PublicKey,
    issued_s: u64,
) -> Result<(), GrantError> {
    let revoked = state.revoked();
    if issued_s < revoked.floor_s {
        Err(GrantError::BelowFloor)
    } else if revoked.ids.binary_search(id).is_ok() {
        Err(GrantError::Revoked)
    } else if revoked.keys.binary_search(subject).is_ok() {
        Err(GrantError::RevokedKey)
    } else {
        Ok(())
    }
}

/// RFC 8392 §3.1.4 and §3.1.5. What the owner's lists told of time holds whatever others say.
fn check_time(
    state: &TrustState,
    time: WallTime,
    not_before_s: Option<u64>,
    expires_s: Option<u64>,
) -> Result<(), GrantError> {
    let at_least = time.unix_s.unwrap_or(0).max(state.seen_s());
    if expires_s.is_some_and(|expires_s| at_least >= expires_s) {
        return Err(GrantError::Expired);
    }
    let is_early = not_before_s.is_some_and(|not_before_s| at_least < not_before_s);
    match time.unix_s {
        Some(_) if is_early => Err(GrantError::NotYetValid),
        None if is_early || expires_s.is_some() => Err(GrantError::TimeUnknown),
        _ => Ok(()),
    }
}

fn check_fresh(state: &TrustState, time: WallTime) -> Result<(), GrantError> {
    match time.fresh {
        None => Err(GrantError::NotFresh),
        Some(list) if list > state.revoked().number => Err(GrantError::ListMissing),
        Some(_) => Ok(()),
    }
}

/// What of a grant a permit rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    id: GrantId,
    subject: PublicKey,
    issued_s: u64,
}

/// What somebody may do with a device, for as long as it [holds](Self::still_holds).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    epoch: u32,
    rights: Rights,
    services: ServiceList,
    not_before_s: Option<u64>,
    expires_s: Option<u64>,
    is_fresh: bool,
    links: Vec<Link>,
}

impl Permit {
    fn of_owner(state: &TrustState, time: WallTime) -> Self {
        Permit {
            epoch: state.epoch(),
            rights: Rights::ALL,
            services: ServiceList::all(),
            not_before_s: None,
            expires_s: None,
            is_fresh: check_fresh(state, time).is_ok(),
            links: Vec::new(),
        }
    }

    fn of_terms(
        state: &TrustState,
        time: WallTime,
        terms: &Terms<'_>,
        links: Vec<Link>,
    ) -> Option<Self> {
        Some(Permit {
            epoch: state.epoch(),
            rights: terms.rights,
            services: terms.services.to_list()?,
            not_before_s: terms.not_before_s,
            expires_s: terms.expires_s,
            is_fresh: check_fresh(state, time).is_ok(),
            links,
        })
    }

    /// Whether it is the owner's, who needs no grant.
    pub fn is_owner(&self) -> bool {
        self.links.is_empty()
    }

    /// To do what.
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// With what.
    pub fn services(&self) -> Services<'_> {
        self.services.services()
    }

    /// Whether the service of this name may be used.
    pub fn allows(&self, service: &str) -> bool {
        self.rights.contains(Rights::USE) && self.services().contains(service)
    }

    /// No longer good from this second on: a reason to look again then.
    pub fn expires_s(&self) -> Option<u64> {
        self.expires_s
    }

    /// Whether a broker agreed just then, which a service may demand.
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// The grants that it rests on, the owner's first.
    pub fn grants(&self) -> impl Iterator<Item = &GrantId> {
        self.links.iter().map(|link| &link.id)
    }

    /// Whether it holds by what the device knows now. To be asked after each change of the state,
    /// and of the time that is not its passing, and when it expires; a session whose permit does
    /// not hold ends. That a grant must be fresh is asked when a session begins, and not again.
    pub fn still_holds(&self, state: &TrustState, time: WallTime) -> Result<(), GrantError> {
        if state.owner().is_none() {
            return Err(GrantError::Unclaimed);
        }
        if state.epoch() != self.epoch {
            return Err(GrantError::Epoch);
        }
        for link in &self.links {
            check_revoked(state, &link.id, &link.subject, link.issued_s)?;
        }
        check_time(state, time, self.not_before_s, self.expires_s)
    }
}

#[cfg(all(test, feature = "p256", any(feature = "ring", feature = "rustcrypto")))]
mod tests;
