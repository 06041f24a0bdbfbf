//! One-time enrol codes: 80 random bits in base32, in groups a person can read out.
//!
//! Owns their text. The store knows their hashes only, so a code is shown once and never again.

use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use rit_core::broker::code_hash;
use rit_core::crypto;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::store::Db;
use crate::wall_unix_s;

/// How long the code printed at the start may be used.
pub(crate) const VALID: Duration = Duration::from_secs(3600);

/// Too many to try: the broker hears three of a link.
const CODE_BITS: usize = 80;
const GROUP_LEN: usize = 4;

/// Makes codes, stores their hashes and returns their texts. Nodes that use them belong to the
/// profile, if there is one.
pub(crate) async fn make(
    db: &Db,
    valid: Duration,
    count: u32,
    profile: Option<i64>,
) -> Result<Vec<Zeroizing<String>>, Error> {
    let codes = (0..count).map(|_| random_code()).collect::<Result<Vec<_>, Error>>()?;
    let hash = |code: &Zeroizing<String>| code_hash(crypto::default_provider(), code);
    let hashes: Vec<_> = codes.iter().map(hash).collect();
    let added = db.add_codes(&hashes, valid, profile, wall_unix_s()).await;
    added.map_err(|error| db.failed(error))?;
    Ok(codes)
}

fn random_code() -> Result<Zeroizing<String>, Error> {
    let mut bits = Zeroizing::new([0; CODE_BITS / 8]);
    getrandom::fill(&mut *bits).map_err(Error::Entropy)?;
    let text = Zeroizing::new(BASE32_NOPAD.encode(&*bits));
    let mut code = Zeroizing::new(String::with_capacity(text.len() + text.len() / GROUP_LEN));
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at % GROUP_LEN == 0 {
            code.push('-');
        }
        code.push(character);
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_four_groups_of_four_and_differ() {
        let code = random_code().unwrap();
        assert_eq!(code.len(), 19);
        assert!(code.split('-').all(|group| {
            group.len() == 4 && group.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        }));
        assert_ne!(*code, *random_code().unwrap());
    }
}
