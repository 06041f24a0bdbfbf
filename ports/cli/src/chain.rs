//! A chain of grants as a file, and what it lets one do.
//!
//! Owns the text form: base64url on a line, with lines of `#` that say to people what it is. Does
//! not own the decision, which is the core's (`rit_core::trust::authorize`) and the device's.

use rit_core::base::PublicKey;
use rit_core::crypto::default_provider;
use rit_core::trust::{
    CHAIN_LEN_MAX, Grant, GrantError, Permit, TrustState, WallTime, authorize, decode_chain,
};
use rit_core::wire::text::key_to_text;

use crate::error::{Error, Exit};
use crate::text;

/// A file's text.
pub(crate) fn to_text(chain: &[u8]) -> String {
    let mut out = String::from("# rit grant: use it with rit connect --grant FILE DEVICE\n");
    for grant in decode_chain(chain).unwrap_or_default() {
        let until = grant.terms.expires_s.map_or("for ever".to_owned(), text::time);
        let device = key_to_text(&grant.terms.device);
        let subject = key_to_text(&grant.terms.subject);
        out += &format!("# device {device}\n# for {subject} until {until}\n");
    }
    out + &text::base64(chain) + "\n"
}

/// The chain of such a text.
pub(crate) fn from_text(text: &str) -> Result<Vec<u8>, Error> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let digits: String = lines.collect();
    if digits.len() > CHAIN_LEN_MAX * 4 / 3 + 2 {
        return Err(Error::failed("the file is too long for a grant"));
    }
    let chain = text::from_base64(&digits, "the grant")?;
    last(&chain)?;
    Ok(chain)
}

/// The last grant: what the chain says in the end.
pub(crate) fn last(chain: &[u8]) -> Result<Grant<'_>, Error> {
    let mut grants = decode_chain(chain).map_err(refused)?;
    grants.pop().ok_or_else(|| refused(GrantError::NoGrant))
}

/// Whether the chain is good for `me` now, as far as that can be told without the device: its
/// owner is taken to be who signed first.
pub(crate) fn check(chain: &[u8], device: &PublicKey, me: &PublicKey) -> Result<Permit, Error> {
    let p = default_provider();
    let grants = decode_chain(chain).map_err(refused)?;
    let first = grants.first().ok_or_else(|| refused(GrantError::NoGrant))?;
    let mut owner = TrustState::owned(first.issuer(p), first.terms.epoch);
    // A list of that owner can only take away; the device knows it.
    let time = WallTime { unix_s: Some(text::now_s()), fresh: Some(0) };
    let owner = &mut owner;
    authorize(p, owner, device, me, chain, time).map_err(refused)
}

/// Why the device would say no.
pub(crate) fn refused(error: GrantError) -> Error {
    let advice = match error {
        GrantError::Expired => "Ask the owner for a new one.",
        GrantError::Subject => "It is for another key; `rit status` shows yours.",
        GrantError::Device => "Name the device that the grant is for.",
        GrantError::NotYetValid => "It is good later; is the clock of this machine right?",
        _ => "Ask the owner for another one.",
    };
    Error::new(Exit::Refused, error.to_string()).advice(advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rit_core::trust::{GrantId, Identity, Rights, Services, Terms, append_grant};

    const DEVICE: PublicKey = PublicKey([4; 32]);

    fn me() -> PublicKey {
        Identity::from_seed([2; 32]).public_key()
    }

    fn chain(expires_s: Option<u64>) -> Vec<u8> {
        let terms = Terms {
            device: DEVICE,
            subject: me(),
            id: GrantId([7; 16]),
            issued_s: text::now_s(),
            not_before_s: None,
            expires_s,
            epoch: 3,
            rights: Rights::USE,
            depth: 0,
            must_be_fresh: true,
            services: Services::ALL,
        };
        let grant = terms.sign(&Identity::from_seed([1; 32]).signer()).unwrap();
        append_grant(&[], &grant).unwrap()
    }

    #[test]
    fn a_file_is_read_again() {
        let chain = chain(Some(951_782_400));
        let text = to_text(&chain);
        assert!(text.contains("until 2000-02-29"));
        assert_eq!(from_text(&text).unwrap(), chain);
        let wrapped = text.replace(&text::base64(&chain)[..40], &{
            let line = &text::base64(&chain)[..40];
            format!("{}\r\n  {}", &line[..20], &line[20..])
        });
        assert_eq!(from_text(&wrapped).unwrap(), chain);
        assert!(from_text("").is_err() && from_text("!!").is_err());
        assert!(from_text(&"A".repeat(CHAIN_LEN_MAX * 2)).is_err());
    }

    #[test]
    fn what_the_device_would_refuse_is_refused_here() {
        assert!(check(&chain(None), &DEVICE, &me()).is_ok());
        let expired = check(&chain(Some(1)), &DEVICE, &me()).unwrap_err();
        assert_eq!(expired.exit, Exit::Refused);
        assert!(expired.to_string().contains("expired"));
        assert!(check(&chain(None), &DEVICE, &PublicKey([5; 32])).is_err());
        assert!(check(&chain(None), &PublicKey([5; 32]), &me()).is_err());
        let mut damaged = chain(None);
        *damaged.last_mut().unwrap() ^= 1;
        assert!(check(&damaged, &DEVICE, &me()).is_err());
    }
}
