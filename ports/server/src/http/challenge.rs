//! What a node signs to show that it holds its key: 16 bytes, good once, for two minutes.
//!
//! Owns the nonces. They are made without being stored: `time (4) ‖ random (4) ‖ MAC (8)`, the MAC
//! with a key that only the broker's identity gives, so that asking for one costs nothing, and
//! every instance knows the nonces of every other. What was used is remembered by the store until
//! it is too old.

use rit_core::base::PublicKey;
use rit_core::crypto::{RawKey, Secret, Signer, default_provider};
use subtle::ConstantTimeEq;

use super::problem::Problem;

/// What a login signs begins so; nothing else does.
const LOGIN_LABEL: &[u8] = b"rit/1 login";
const LEN: usize = 16;
/// How long a nonce may be used.
pub(crate) const VALID_S: u64 = 120;

/// Makes and knows nonces.
pub(crate) struct Challenges {
    key: Secret,
    broker: PublicKey,
}

impl Challenges {
    pub(crate) fn new(signer: &dyn Signer) -> Option<Self> {
        let key = signer.derive(default_provider(), b"rit-server login nonce")?;
        Some(Challenges { key, broker: signer.public_key() })
    }

    /// A new one.
    pub(crate) fn make(&self, now_unix_s: u64) -> Result<[u8; LEN], Problem> {
        let mut nonce = [0; LEN];
        let (stated, mac) = nonce.split_at_mut(LEN / 2);
        let (time, random) = stated.split_at_mut(4);
        time.copy_from_slice(&short(now_unix_s).to_be_bytes());
        random.copy_from_slice(&super::password::random::<4>()?);
        mac.copy_from_slice(&self.mac(stated));
        Ok(nonce)
    }

    /// Whether `signature` is `key`'s for a nonce of ours that is not too old. That it is used once
    /// only, the caller sees to. `point`: the key itself, where it is on P-256 and `key` its name.
    pub(crate) fn check(
        &self,
        key: &PublicKey,
        point: Option<&[u8]>,
        nonce: &[u8],
        signature: &[u8],
        now_unix_s: u64,
    ) -> bool {
        let (Some(raw), Ok(nonce), Ok(signature)) =
            (raw_key(key, point), <&[u8; LEN]>::try_from(nonce), <&[u8; 64]>::try_from(signature))
        else {
            return false;
        };
        let (stated, mac) = nonce.split_at(LEN / 2);
        let time = stated.first_chunk().map_or(0, |time| u32::from_be_bytes(*time));
        let is_ours = bool::from(self.mac(stated).ct_eq(mac));
        let age_s = short(now_unix_s).wrapping_sub(time);
        // Another instance's clock may be a little ahead.
        let is_new = u64::from(age_s) < VALID_S || age_s > u32::MAX - 10;
        let message = [LOGIN_LABEL, &self.broker.0, nonce].concat();
        let is_signed = raw.verify(&message, raw.scheme(), &raw.tls_signature(signature));
        is_ours && is_new && is_signed
    }

    fn mac(&self, stated: &[u8]) -> [u8; LEN / 2] {
        let mac = default_provider().hmac_sha256(self.key.as_bytes(), &[stated]);
        std::array::from_fn(|i| mac[i])
    }
}

/// The key that is called so.
fn raw_key(name: &PublicKey, point: Option<&[u8]>) -> Option<RawKey> {
    let Some(point) = point else { return Some(RawKey::Ed25519(name.0)) };
    let raw = RawKey::P256(point.try_into().ok()?);
    (raw.name(default_provider()) == *name).then_some(raw)
}

/// Seconds modulo 2³², which are compared only with near ones.
fn short(unix_s: u64) -> u32 {
    (unix_s & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use rit_core::trust::Identity;

    const NOW: u64 = 1_700_000_000;

    fn signed(identity: &Identity, broker: &Identity, nonce: &[u8]) -> [u8; 64] {
        let message = [LOGIN_LABEL, &broker.public_key().0, nonce].concat();
        identity.signer().sign(&message).unwrap()
    }

    #[test]
    fn a_signature_is_good_for_this_nonce_broker_and_time() {
        let (broker, other, node) = (
            Identity::from_seed([1; 32]),
            Identity::from_seed([2; 32]),
            Identity::from_seed([3; 32]),
        );
        let ours = Challenges::new(&broker.signer()).unwrap();
        let nonce = ours.make(NOW).unwrap();
        let signature = signed(&node, &broker, &nonce);
        let check = |nonce: &[u8], signature: &[u8], now| {
            ours.check(&node.public_key(), None, nonce, signature, now)
        };
        assert!(check(&nonce, &signature, NOW) && check(&nonce, &signature, NOW + VALID_S - 1));
        assert!(check(&nonce, &signature, NOW - 9), "another instance's clock");
        assert!(!check(&nonce, &signature, NOW + VALID_S) && !check(&nonce, &signature, NOW - 60));
        assert!(!check(&nonce, &signed(&node, &other, &nonce), NOW), "another broker");
        assert!(!check(&nonce, &signed(&other, &broker, &nonce), NOW), "another key");
        assert!(!check(&nonce[..15], &signature, NOW) && !check(&nonce, &signature[..63], NOW));
        for at in 0..LEN {
            let mut forged = nonce;
            forged[at] ^= 1;
            assert!(!check(&forged, &signed(&node, &broker, &forged), NOW), "{at}");
        }
    }

    #[test]
    fn a_key_on_p256_is_shown_beside_its_name() {
        use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
        let random = ring::rand::SystemRandom::new();
        let pair = || {
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
            let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
            EcdsaKeyPair::from_pkcs8(kind, made.unwrap().as_ref(), &random).unwrap()
        };
        let (node, other, broker) = (pair(), pair(), Identity::from_seed([1; 32]));
        let ours = Challenges::new(&broker.signer()).unwrap();
        let nonce = ours.make(NOW).unwrap();
        let message = [LOGIN_LABEL, &broker.public_key().0, &nonce].concat();
        let sign = |pair: &EcdsaKeyPair| pair.sign(&random, &message).unwrap().as_ref().to_vec();
        let point = |pair: &EcdsaKeyPair| pair.public_key().as_ref().to_vec();
        let name = |pair: &EcdsaKeyPair| {
            RawKey::P256(point(pair).try_into().unwrap()).name(default_provider())
        };
        let check = |key: &PublicKey, point: Option<&[u8]>, signature: &[u8]| {
            ours.check(key, point, &nonce, signature, NOW)
        };
        let (key, shown, signature) = (name(&node), point(&node), sign(&node));
        assert!(check(&key, Some(&shown), &signature));
        assert!(!check(&key, Some(&shown), &sign(&other)));
        assert!(!check(&key, Some(&point(&other)), &sign(&other)), "of another name");
        assert!(!check(&key, None, &signature) && !check(&key, Some(&shown[1..]), &signature));
        let ed25519 = Identity::from_seed([3; 32]);
        let signature = ed25519.signer().sign(&message).unwrap();
        assert!(!check(&ed25519.public_key(), Some(&shown), &signature));
    }
}
