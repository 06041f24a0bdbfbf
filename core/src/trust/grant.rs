//! One grant: a CBOR Web Token (RFC 8392) that says who may do what with a device until when.
//!
//! ```cddl
//! claims = {3: key-text,              ; aud: the device
//!           ? 4: uint,                ; exp: seconds since 1970
//!           ? 5: uint,                ; nbf
//!           6: uint,                  ; iat
//!           7: bstr .size 16,         ; cti: the grant's ID, by which it is revoked
//!           8: {3: bstr .size 32},    ; cnf (RFC 8747 §3.4): the subject's name
//!           9: bstr .cbor scope}      ; scope (RFC 9200 §5.8.1)
//! scope  = [epoch: uint .size 4, rights: 1..7, depth: 0..3, must-be-fresh: bool, services]
//! ```
//!
//! Owns the bytes of one. The issuer is the key that signed (`cose`); what a chain of them says is
//! told in `chain`. Every claim restricts, so one that is not known is refused, not skipped.

use alloc::vec::Vec;

use super::cbor::{CborError, Keys, Reader, Writer};
use super::cose::{Kind, Signed, StatementError, sign};
use super::services::{Services, ServicesError};
use crate::base::PublicKey;
use crate::crypto::{Provider, RawKey, SignError, Signer};
use crate::wire::text::{key_from_text, key_to_text};
use thiserror::Error;

/// The longest grant, in bytes.
pub const GRANT_LEN_MAX: usize = 1024;

/// How often a grant may be passed on at most.
pub const DEPTH_MAX: u8 = 3;

const AUD: u64 = 3;
const EXP: u64 = 4;
const NBF: u64 = 5;
const IAT: u64 = 6;
const CTI: u64 = 7;
const CNF: u64 = 8;
const SCOPE: u64 = 9;
const CNF_KID: u64 = 3;

/// Why bytes are not a grant, whoever signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GrantFormError {
    /// The claims are not the CBOR that belongs there.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// It is not a statement of that kind.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The list of services is wrong.
    #[error(transparent)]
    Services(#[from] ServicesError),
    /// A claim of this number is not known here.
    #[error("a grant has a claim that is not known here")]
    UnknownClaim,
    /// The claim of this number is not there.
    #[error("a grant lacks claim {0}")]
    MissingClaim(u8),
    /// The audience is no key.
    #[error("the audience of a grant is no key")]
    Audience,
    /// The ID has not 16 bytes.
    #[error("the ID of a grant has a wrong length")]
    Id,
    /// The subject is not the name of a key.
    #[error("the subject of a grant is no name of a key")]
    Subject,
    /// The epoch is not a number of four bytes.
    #[error("the epoch in a grant is out of its limits")]
    Epoch,
    /// No rights, or some that are not known here.
    #[error("the rights in a grant are none, or not known here")]
    Rights,
    /// More than [`DEPTH_MAX`].
    #[error("a grant may be passed on more than {DEPTH_MAX} times")]
    Depth,
}

/// What names a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(pub [u8; 16]);

/// What the subject of a grant may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// To use the services.
    pub const USE: Rights = Rights(1);
    /// To pass on what it has itself, as often as the depth says.
    pub const SHARE: Rights = Rights(2);
    /// To manage the device.
    pub const MANAGE: Rights = Rights(4);
    /// All of them.
    pub const ALL: Rights = Rights(7);

    /// Those of a sum of 1, 2 and 4. `None`: there are none, or others.
    pub fn from_bits(bits: u64) -> Option<Rights> {
        u8::try_from(bits).ok().filter(|bits| (1..=Self::ALL.0).contains(bits)).map(Rights)
    }

    /// Their sum.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// These and others.
    #[must_use]
    pub const fn and(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    pub fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a grant says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    /// The device.
    pub device: PublicKey,
    /// Who may.
    pub subject: PublicKey,
    /// By this it is revoked: random, used once.
    pub id: GrantId,
    /// When it was made, in seconds since 1970.
    pub issued_s: u64,
    /// Not good before this second.
    pub not_before_s: Option<u64>,
    /// No longer good from this second on.
    pub expires_s: Option<u64>,
    /// The ownership of the device that it belongs to.
    pub epoch: u32,
    /// To do what.
    pub rights: Rights,
    /// How often it may be passed on.
    pub depth: u8,
    /// A session needs a broker's statement that it is good now.
    pub must_be_fresh: bool,
    /// With what.
    pub services: Services<'a>,
}

impl Terms<'_> {
    /// The grant that says so. Fails where the signer does, or where it would be no grant.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, GrantSignError> {
        let grant = sign(Kind::Grant, &self.encode(), signer)?;
        if grant.len() > GRANT_LEN_MAX {
            return Err(GrantFormError::from(StatementError::TooLong).into());
        }
        Grant::decode(&grant)?;
        Ok(grant)
    }

    fn encode(&self) -> Vec<u8> {
        let mut scope = Writer::default();
        scope.array(5).uint(self.epoch.into()).uint(self.rights.0.into()).uint(self.depth.into());
        scope.bool(self.must_be_fresh).raw(self.services.encoded());
        let optional =
            usize::from(self.expires_s.is_some()) + usize::from(self.not_before_s.is_some());
        let mut w = Writer::default();
        w.map(5 + optional).uint(AUD).text(key_to_text(&self.device).as_bytes());
        for (claim, time) in [(EXP, self.expires_s), (NBF, self.not_before_s)] {
            if let Some(time) = time {
                w.uint(claim).uint(time);
            }
        }
        w.uint(IAT).uint(self.issued_s).uint(CTI).bytes(&self.id.0);
        w.uint(CNF).map(1).uint(CNF_KID).bytes(&self.subject.0);
        w.uint(SCOPE).bytes(&scope.out);
        w.out
    }
}

/// Why no grant was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GrantSignError {
    /// The signer gave no signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The terms do not fit into a grant.
    #[error(transparent)]
    Form(#[from] GrantFormError),
}

/// A grant in the bytes that it came in. Nobody has checked the signature yet.
#[derive(Clone)]
pub struct Grant<'a> {
    signed: Signed<'a>,
    /// What it says.
    pub terms: Terms<'a>,
}

impl<'a> Grant<'a> {
    /// The grant that all of `bytes` is.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, GrantFormError> {
        let mut r = Reader::new(bytes);
        let grant = Self::read(&mut r)?;
        r.end()?;
        Ok(grant)
    }

    /// The next grant of a chain.
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, GrantFormError> {
        let start = r.clone();
        let signed = Signed::read(r, Kind::Grant)?;
        if r.since(&start).len() > GRANT_LEN_MAX {
            return Err(StatementError::TooLong.into());
        }
        let terms = read_claims(signed.payload)?;
        Ok(Grant { signed, terms })
    }

    /// The name of the key that signed it.
    pub fn issuer(&self, provider: &dyn Provider) -> PublicKey {
        self.signed.name(provider)
    }

    /// The key itself.
    pub fn issuer_key(&self) -> &RawKey {
        &self.signed.key
    }

    /// Checks that it is the issuer's.
    pub fn verify(&self) -> Result<(), StatementError> {
        self.signed.verify()
    }
}

fn read_claims(claims: &[u8]) -> Result<Terms<'_>, GrantFormError> {
    let mut r = Reader::new(claims);
    let (mut device, mut issued_s, mut id, mut subject) = (None, None, None, None);
    let (mut expires_s, mut not_before_s, mut scope) = (None, None, None);
    let pairs = r.map()?;
    let mut keys = Keys::default();
    for _ in 0..pairs {
        match keys.next(&mut r)? {
            Some(AUD) => device = Some(read_audience(r.text()?)?),
            Some(EXP) => expires_s = Some(r.uint()?),
            Some(NBF) => not_before_s = Some(r.uint()?),
            Some(IAT) => issued_s = Some(r.uint()?),
            Some(CTI) => id = Some(GrantId(r.sized()?.ok_or(GrantFormError::Id)?)),
            Some(CNF) => subject = Some(read_subject(&mut r)?),
            Some(SCOPE) => scope = Some(read_scope(r.bytes()?)?),
            _ => return Err(GrantFormError::UnknownClaim),
        }
    }
    r.end()?;
    let missing = |claim: u64| GrantFormError::MissingClaim(claim as u8);
    let scope = scope.ok_or(missing(SCOPE))?;
    Ok(Terms {
        device: device.ok_or(missing(AUD))?,
        subject: subject.ok_or(missing(CNF))?,
        id: id.ok_or(missing(CTI))?,
        issued_s: issued_s.ok_or(missing(IAT))?,
        not_before_s,
        expires_s,
        epoch: scope.epoch,
        rights: scope.rights,
        depth: scope.depth,
        must_be_fresh: scope.must_be_fresh,
        services: scope.services,
    })
}

fn read_audience(text: &[u8]) -> Result<PublicKey, GrantFormError> {
    let text = core::str::from_utf8(text).map_err(|_| GrantFormError::Audience)?;
    key_from_text(text).map_err(|_| GrantFormError::Audience)
}

fn read_subject(r: &mut Reader<'_>) -> Result<PublicKey, GrantFormError> {
    if r.map()? != 1 || r.uint()? != CNF_KID {
        return Err(GrantFormError::Subject);
    }
    r.sized()?.map(PublicKey).ok_or(GrantFormError::Subject)
}

struct Scope<'a> {
    epoch: u32,
    rights: Rights,
    depth: u8,
    must_be_fresh: bool,
    services: Services<'a>,
}

fn read_scope(scope: &[u8]) -> Result<Scope<'_>, GrantFormError> {
    let mut r = Reader::new(scope);
    r.array_of(5)?;
    let scope = Scope {
        epoch: u32::try_from(r.uint()?).map_err(|_| GrantFormError::Epoch)?,
        rights: Rights::from_bits(r.uint()?).ok_or(GrantFormError::Rights)?,
        depth: match u8::try_from(r.uint()?) {
            Ok(depth @ 0..=DEPTH_MAX) => depth,
            _ => return Err(GrantFormError::Depth),
        },
        must_be_fresh: r.bool()?,
        services: Services::read(&mut r)?,
    };
    r.end()?;
    Ok(scope)
}

#[cfg(all(test, feature = "p256", any(feature = "ring", feature = "rustcrypto")))]
mod tests;
