//! What signs for a node, a software key of Ed25519 (RFC 8032) that does, and its verification.
//!
//! A node's private key may live in a secure element; then the integrator implements [`Signer`].
//! Verification is the strict kind: no small-order keys, no second encoding of a signature.

use super::{Provider, RawKey, Secret, SignError};
use crate::base::PublicKey;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// Signs with a node's private key.
pub trait Signer: Send + Sync {
    /// What the node is called: the name of its [`raw_key`](Self::raw_key).
    fn public_key(&self) -> PublicKey;

    /// The key that belongs to the signatures; of Ed25519 by default.
    fn raw_key(&self) -> RawKey {
        RawKey::Ed25519(self.public_key().0)
    }

    /// The signature of `message`: of Ed25519, or r ‖ s of ECDSA with SHA-256.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;

    /// A secret that only who holds the key can derive, the same each time. `None` where the key
    /// does nothing but sign, which is the default.
    fn derive(&self, provider: &dyn Provider, label: &[u8]) -> Option<Secret> {
        let _ = (provider, label);
        None
    }
}

/// A private key in memory. Zeroized on drop, never printed.
pub struct Ed25519Signer(SigningKey);

impl Ed25519Signer {
    /// The key that RFC 8032 §5.1.5 derives from 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Ed25519Signer(SigningKey::from_bytes(seed))
    }
}

impl Signer for Ed25519Signer {
    fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        Ok(self.0.try_sign(message).map_err(|_| SignError)?.to_bytes())
    }

    fn derive(&self, provider: &dyn Provider, label: &[u8]) -> Option<Secret> {
        let seed = Zeroizing::new(self.0.to_bytes());
        Some(Secret::new(provider.hmac_sha256(&*seed, &[label])))
    }
}

/// Whether `signature` is `key`'s for `message`.
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(&key.0) else { return false };
    key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// Seed, public key, message, signature: RFC 8032 §7.1, tests 1 and 2.
    const VECTORS: [[&str; 4]; 2] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac\
             c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e\
             458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ],
    ];

    #[test]
    fn rfc_8032_section_7_1() {
        for vector in VECTORS {
            let [seed, public, message, signature] =
                vector.map(|text| HEXLOWER.decode(text.as_bytes()).unwrap());
            let signer = Ed25519Signer::from_seed(&seed.try_into().unwrap());
            assert_eq!(signer.public_key().0.as_slice(), public);
            let mut made = signer.sign(&message).unwrap();
            assert_eq!(made.as_slice(), signature);
            assert!(verify(&signer.public_key(), &message, &made));
            assert!(!verify(&signer.public_key(), b"another message", &made));
            made[0] ^= 1;
            assert!(!verify(&signer.public_key(), &message, &made));
        }
    }

    #[test]
    fn small_order_keys_verify_nothing() {
        // With the neutral element as key and as R, and S = 0, lax verification takes any message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&neutral);
        assert!(!verify(&PublicKey(neutral), b"anything", &signature));
    }
}
