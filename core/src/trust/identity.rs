//! The stored form of a node's private key.
//!
//! `"RITi" || version u8 = 1 || seed 32 || checksum 8`, where the seed is that of RFC 8032 §5.1.5
//! and the checksum is the beginning of SHA-256 over all before it. The checksum finds damage: a
//! flipped bit must not silently become another identity. It is no protection against writing.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::base::{PublicKey, Rng};
use crate::crypto::{Ed25519Signer, Provider, Signer};
use thiserror::Error;

/// Length of a stored identity.
pub const IDENTITY_LEN: usize = MAGIC.len() + 1 + SEED_LEN + CHECKSUM_LEN;

const MAGIC: [u8; 4] = *b"RITi";
const VERSION: u8 = 1;
const SEED_LEN: usize = 32;
const CHECKSUM_LEN: usize = 8;

/// Why stored bytes are not an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// Cut short, or something was added.
    #[error("the stored identity has a wrong length")]
    Length,
    /// It is something else.
    #[error("what is stored is not an identity")]
    Magic,
    /// A later version wrote it.
    #[error("the stored identity has version {0}, which this program does not know")]
    Version(u8),
    /// Some bits of it changed.
    #[error("the stored identity is damaged")]
    Checksum,
}

/// A node's private key. Zeroized on drop, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Identity {
    seed: [u8; SEED_LEN],
}

impl Identity {
    /// A new one.
    pub fn generate(rng: &mut Rng) -> Self {
        Identity { seed: rng.array() }
    }

    /// The one of this seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Identity { seed }
    }

    /// The bytes to store.
    pub fn encode(&self, provider: &dyn Provider) -> Zeroizing<[u8; IDENTITY_LEN]> {
        let mut out = Zeroizing::new([0; IDENTITY_LEN]);
        let checksum = checksum(provider, VERSION, &self.seed);
        let parts = MAGIC.iter().chain(&[VERSION]).chain(&self.seed).chain(&checksum);
        for (to, from) in out.iter_mut().zip(parts) {
            *to = *from;
        }
        out
    }

    /// Reads what [`Identity::encode`] made.
    pub fn decode(provider: &dyn Provider, stored: &[u8]) -> Result<Self, IdentityError> {
        let (magic, rest) = stored.split_first_chunk::<4>().ok_or(IdentityError::Length)?;
        if *magic != MAGIC {
            return Err(IdentityError::Magic);
        }
        let (version, rest) = rest.split_first().ok_or(IdentityError::Length)?;
        if *version != VERSION {
            return Err(IdentityError::Version(*version));
        }
        let (seed, rest) = rest.split_first_chunk::<SEED_LEN>().ok_or(IdentityError::Length)?;
        if rest.len() != CHECKSUM_LEN {
            return Err(IdentityError::Length);
        }
        if rest != checksum(provider, *version, seed) {
            return Err(IdentityError::Checksum);
        }
        Ok(Identity { seed: *seed })
    }

    /// The key that signs for this identity.
    pub fn signer(&self) -> Ed25519Signer {
        Ed25519Signer::from_seed(&self.seed)
    }

    /// The public key: what the node is called.
    pub fn public_key(&self) -> PublicKey {
        self.signer().public_key()
    }
}

fn checksum(provider: &dyn Provider, version: u8, seed: &[u8; SEED_LEN]) -> [u8; CHECKSUM_LEN] {
    let hash = Zeroizing::new(provider.sha256(&[&MAGIC, &[version], seed]));
    let mut out = [0; CHECKSUM_LEN];
    for (to, from) in out.iter_mut().zip(hash.iter()) {
        *to = *from;
    }
    out
}

#[cfg(all(test, any(feature = "ring", feature = "rustcrypto")))]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::crypto::default_provider;

    fn decode(stored: &[u8]) -> Result<PublicKey, IdentityError> {
        Identity::decode(default_provider(), stored).map(|identity| identity.public_key())
    }

    #[test]
    fn stored_and_read_again() {
        let identity = Identity::generate(&mut Rng::from_seed([1; 32]));
        let stored = identity.encode(default_provider());
        assert_eq!(decode(&*stored), Ok(identity.public_key()));
    }

    #[test]
    fn the_form_does_not_change() {
        let stored = Identity::from_seed([0x11; 32]).encode(default_provider());
        let expected = alloc::format!("5249546901{}5a36ff29c3187200", "11".repeat(32));
        assert_eq!(HEXLOWER.encode(&*stored), expected);
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let stored = Identity::from_seed([7; 32]).encode(default_provider());
        for bit in 0..IDENTITY_LEN * 8 {
            let mut damaged = *stored;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = match bit / 8 {
                0..=3 => IdentityError::Magic,
                4 => IdentityError::Version(damaged[4]),
                _ => IdentityError::Checksum,
            };
            assert_eq!(decode(&damaged), Err(error), "bit {bit}");
        }
    }

    #[test]
    fn any_other_length_is_found() {
        let stored = Identity::from_seed([7; 32]).encode(default_provider());
        for len in 0..IDENTITY_LEN {
            assert_eq!(decode(&stored[..len]), Err(IdentityError::Length), "{len}");
        }
        let mut longer = stored.to_vec();
        longer.push(0);
        assert_eq!(decode(&longer), Err(IdentityError::Length));
        assert_eq!(decode(&[0; IDENTITY_LEN]), Err(IdentityError::Magic));
    }
}
