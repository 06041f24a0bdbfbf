//! A claim: by who knows the secret, of this device, once.

use super::super::sign_transfer;
use super::super::test_keys::{DEVICE, key, name};
use super::*;
use crate::crypto::default_provider;
use proptest::prelude::{prop_assert, proptest};

const OTHER: PublicKey = PublicKey([0xde; 32]);

fn secret(n: u8) -> ClaimSecret {
    ClaimSecret::new([n; 15])
}

/// An unclaimed device.
struct Device {
    claiming: Claiming,
    state: TrustState,
    rng: Rng,
}

impl Device {
    fn new() -> Self {
        let (claiming, state) = (Claiming::new(), TrustState::new());
        Device { claiming, state, rng: Rng::from_seed([9; 32]) }
    }

    fn ask(&mut self) -> Result<[u8; CLAIM_NONCE_LEN], ClaimError> {
        self.claiming.ask(&self.state, &mut self.rng)
    }

    fn accept(&mut self, claim: &[u8]) -> Result<Vec<u8>, ClaimError> {
        self.claiming.accept(default_provider(), &mut self.state, &DEVICE, [&secret(1)], claim)
    }
}

fn claim(owner: u8, device: &PublicKey, nonce: &[u8; 16], secret: &ClaimSecret) -> Vec<u8> {
    sign_claim(default_provider(), device, nonce, secret, key(owner)).unwrap()
}

fn answer(
    owner: u8,
    nonce: &[u8; 16],
    secret: &ClaimSecret,
    bytes: &[u8],
) -> Result<u32, ClaimError> {
    verify_claimed(default_provider(), &DEVICE, &name(owner), nonce, secret, bytes)
}

#[test]
fn who_knows_the_secret_is_the_owner() {
    for owner in [0, 1] {
        let mut device = Device::new();
        let nonce = device.ask().unwrap();
        let claim = claim(owner, &DEVICE, &nonce, &secret(1));
        assert_eq!(Claim::decode(&claim).unwrap().owner(default_provider()), name(owner));
        let claimed = device.accept(&claim).unwrap();
        assert_eq!(device.state, TrustState::owned(name(owner), 1));
        assert_eq!(answer(owner, &nonce, &secret(1), &claimed), Ok(1));
        let is_claimed = ClaimError::Owner(OwnerError::Claimed);
        assert_eq!(device.accept(&claim), Err(is_claimed));
        assert_eq!(device.ask(), Err(is_claimed));
        device.state.factory_reset();
        assert_eq!(device.accept(&claim), Err(ClaimError::Nonce), "a claim works once");
    }
}

#[test]
fn claims_that_are_refused() {
    let is = |make: &dyn Fn(&[u8; 16]) -> Vec<u8>, expected: ClaimError| {
        let mut device = Device::new();
        let nonce = device.ask().unwrap();
        assert_eq!(device.accept(&make(&nonce)), Err(expected));
        assert_eq!(device.state, TrustState::new());
    };
    is(&|nonce| claim(1, &DEVICE, nonce, &secret(2)), ClaimError::Proof);
    is(&|nonce| claim(1, &OTHER, nonce, &secret(1)), ClaimError::Device);
    is(&|_| claim(1, &DEVICE, &[0; 16], &secret(1)), ClaimError::Nonce);
    is(&|_| [0; CLAIM_LEN_MAX + 1].into(), StatementError::TooLong.into());
    is(&|_| sign_transfer(&DEVICE, 0, &OTHER, key(1)).unwrap(), StatementError::Kind.into());
    // The proof of one is of no use to another, who signs it: it is of the first one's key.
    let stolen = |nonce: &[u8; 16]| {
        let of_another = claim(1, &DEVICE, nonce, &secret(1));
        let payload = Signed::decode(&of_another, Kind::Claim, CLAIM_LEN_MAX).unwrap().payload;
        sign(Kind::Claim, payload, key(2)).unwrap()
    };
    is(&stolen, ClaimError::Proof);
    let unsigned = |nonce: &[u8; 16]| {
        let mut claim = claim(1, &DEVICE, nonce, &secret(1));
        *claim.last_mut().unwrap() ^= 1;
        claim
    };
    is(&unsigned, StatementError::Signature.into());
    let mut silent = Device::new();
    assert_eq!(silent.accept(&claim(1, &DEVICE, &[0; 16], &secret(1))), Err(ClaimError::Nonce));
}

#[test]
fn a_nonce_is_good_for_one_try_and_tries_are_counted() {
    let mut device = Device::new();
    let first = device.ask().unwrap();
    let second = device.ask().unwrap();
    assert_ne!(first, second);
    assert_eq!(device.accept(&claim(1, &DEVICE, &first, &secret(1))), Err(ClaimError::Nonce));
    assert_eq!(device.accept(&claim(1, &DEVICE, &second, &secret(2))), Err(ClaimError::Proof));
    assert_eq!(device.accept(&claim(1, &DEVICE, &second, &secret(1))), Err(ClaimError::Nonce));
    for _ in 1..CLAIM_FAILURES_MAX {
        let nonce = device.ask().unwrap();
        assert_eq!(device.accept(&claim(1, &DEVICE, &nonce, &secret(2))), Err(ClaimError::Proof));
    }
    assert_eq!(device.ask(), Err(ClaimError::Locked));
    assert_eq!(device.accept(&claim(1, &DEVICE, &second, &secret(1))), Err(ClaimError::Locked));
    device.claiming.unlock();
    let nonce = device.ask().unwrap();
    assert!(device.accept(&claim(1, &DEVICE, &nonce, &secret(1))).is_ok());
}

#[test]
fn an_answer_is_the_devices_own() {
    let mut device = Device::new();
    let nonce = device.ask().unwrap();
    let claimed = device.accept(&claim(1, &DEVICE, &nonce, &secret(1))).unwrap();
    assert_eq!(answer(2, &nonce, &secret(1), &claimed), Err(ClaimError::Proof));
    assert_eq!(answer(1, &[0; 16], &secret(1), &claimed), Err(ClaimError::Proof));
    assert_eq!(answer(1, &nonce, &secret(2), &claimed), Err(ClaimError::Proof));
    for at in 0..claimed.len() {
        let mut forged = claimed.clone();
        forged[at] ^= 1;
        assert!(answer(1, &nonce, &secret(1), &forged).is_err(), "{at}");
        assert!(answer(1, &nonce, &secret(1), &claimed[..at]).is_err(), "{at}");
    }
    // The claimant's own proof does not come back as the device's.
    let proof = Claim::decode(&claim(1, &DEVICE, &nonce, &secret(1))).unwrap().proof;
    let mut reflected = Writer::default();
    reflected.array(2).uint(1).bytes(&proof);
    assert_eq!(answer(1, &nonce, &secret(1), &reflected.out), Err(ClaimError::Proof));
    let mut long_epoch = Writer::default();
    long_epoch.array(2).uint(1 << 32).bytes(&proof);
    assert_eq!(answer(1, &nonce, &secret(1), &long_epoch.out), Err(ClaimError::Epoch));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_an_error(bytes: Vec<u8>) {
        let mut device = Device::new();
        let nonce = device.ask().unwrap();
        prop_assert!(device.accept(&bytes).is_err());
        prop_assert!(answer(1, &nonce, &secret(1), &bytes).is_err());
    }
}
