//! Keys of both kinds: published vectors, agreement of both verifiers, and no confusion of kinds.

use super::*;
use crate::crypto::{Ed25519Signer, Signer, default_provider};
use data_encoding::HEXLOWER;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, Signature, SigningKey};
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// The key of RFC 6979 §A.2.5.
fn private() -> SigningKey {
    let x = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
    SigningKey::from_slice(&hex(x)).unwrap()
}

fn point(private: &SigningKey) -> [u8; P256_POINT_LEN] {
    private.verifying_key().to_encoded_point(false).as_bytes().try_into().unwrap()
}

fn raw(signature: &Signature) -> [u8; 64] {
    signature.to_bytes().into()
}

#[test]
fn rfc_6979_signatures_verify() {
    let key = RawKey::P256(point(&private()));
    let public = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                  7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
    assert_eq!(key, RawKey::P256([&[4][..], &hex(public)].concat().try_into().unwrap()));
    // Message "sample", SHA-256.
    let signature = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                     f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    let der = key.tls_signature(&hex(signature).try_into().unwrap());
    let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    assert!(key.verify(b"sample", scheme, &der));
    assert!(!key.verify(b"Sample", scheme, &der));
    let RawKey::P256(point) = key else { panic!() };
    assert!(verify_p256_soft(&point, b"sample", &der));
    assert!(!verify_p256_soft(&point, b"Sample", &der));
}

/// Computed apart from this code, with Python's `hashlib`; also in PROTOCOL.md.
#[test]
fn names() {
    let key = RawKey::P256(point(&private()));
    let name = "0c5a6feee1d063dde9545c61871a933e15262dd54645950269d790bde627825b";
    assert_eq!(HEXLOWER.encode(&key.name(default_provider()).0), name);
    assert_eq!(RawKey::Ed25519([7; 32]).name(default_provider()), PublicKey([7; 32]));
}

#[test]
fn one_encoding_each() {
    for key in [RawKey::Ed25519([7; 32]), RawKey::P256(point(&private()))] {
        let spki = key.to_spki();
        assert_eq!(RawKey::from_spki(&spki), Some(key));
        for len in 0..spki.len() {
            assert_eq!(RawKey::from_spki(&spki[..len]), None, "{len}");
        }
        assert_eq!(RawKey::from_spki(&[&spki[..], &[0]].concat()), None);
        let prefix = spki.len() - if spki.len() == 44 { 32 } else { 64 };
        for i in 0..prefix {
            let mut other = spki.clone();
            other[i] ^= 1;
            assert_eq!(RawKey::from_spki(&other), None, "{i}");
        }
    }
    // The name of a P-256 key is no Ed25519 key that its holder can sign by, nor is it a point.
    let name = RawKey::P256(point(&private())).name(default_provider());
    let as_ed25519 = RawKey::Ed25519(name.0);
    let der: DerSignature = private().sign(b"message");
    for scheme in verify_schemes() {
        assert!(!as_ed25519.verify(b"message", scheme, der.as_bytes()));
    }
}

#[test]
fn each_kind_signs_by_its_own_scheme() {
    let ed25519 = Ed25519Signer::from_seed(&[1; 32]);
    let ed25519_key = RawKey::Ed25519(ed25519.public_key().0);
    let p256_key = RawKey::P256(point(&private()));
    let by_ed25519 = ed25519.sign(b"message").unwrap();
    let signature: Signature = private().sign(b"message");
    let by_p256 = p256_key.tls_signature(&raw(&signature));
    for key in [ed25519_key, p256_key] {
        for scheme in verify_schemes() {
            for signature in [&by_ed25519[..], &by_p256, &raw(&signature)] {
                let is_its_own = key.scheme() == scheme
                    && signature == if key == ed25519_key { &by_ed25519[..] } else { &by_p256 };
                assert_eq!(key.verify(b"message", scheme, signature), is_its_own);
            }
        }
    }
}

#[test]
fn points_off_the_curve_verify_nothing() {
    let signature: DerSignature = private().sign(b"message");
    for i in 0..P256_POINT_LEN {
        let mut point = point(&private());
        point[i] ^= 1;
        assert!(!verify_p256(&point, b"message", signature.as_bytes()));
        assert!(!verify_p256_soft(&point, b"message", signature.as_bytes()));
    }
    let infinity = [0; P256_POINT_LEN];
    assert!(!verify_p256(&infinity, b"message", signature.as_bytes()));
}

proptest! {
    /// Numbers of any length come out as the crate `p256` encodes them.
    #[test]
    fn der_is_that_of_others(mut r: [u8; 32], mut s: [u8; 32], zeros in 0usize..31) {
        r[..zeros].fill(0);
        s[..zeros / 2].fill(0);
        let bytes: [u8; 64] = [r, s].concat().try_into().unwrap();
        if let Ok(signature) = Signature::from_slice(&bytes) {
            let der = signature.to_der();
            prop_assert_eq!(&ecdsa_sig_value(&bytes), der.as_bytes());
        }
        prop_assert!(ecdsa_sig_value(&bytes).len() <= 72);
    }

    /// ring and the crate `p256` say the same of every signature, however it was changed.
    #[test]
    fn verifiers_agree(at in 0usize..80, bit in 0u8..8, cut in 0usize..4, message: [u8; 8]) {
        let signature: DerSignature = private().sign(&message);
        let mut der = signature.as_bytes().to_vec();
        let is_whole = at >= der.len() && cut == 0;
        if let Some(byte) = der.get_mut(at) {
            *byte ^= 1 << bit;
        }
        der.truncate(der.len() - cut);
        let point = point(&private());
        prop_assert_eq!(verify_p256(&point, &message, &der), is_whole);
        prop_assert_eq!(verify_p256_soft(&point, &message, &der), is_whole);
    }

    #[test]
    fn arbitrary_bytes_never_panic(spki: Vec<u8>, signature: Vec<u8>, point: [u8; 32]) {
        let _ = RawKey::from_spki(&spki);
        let mut whole = [4; P256_POINT_LEN];
        whole[1..33].copy_from_slice(&point);
        prop_assert!(!verify_p256(&whole, b"", &signature));
        prop_assert!(!verify_p256_soft(&whole, b"", &signature));
    }
}
