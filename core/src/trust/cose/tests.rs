//! Statements: one encoding, one signature, one kind of key, one kind of statement.

use super::super::test_keys::{ed25519, p256};
use super::*;
use proptest::prelude::*;
use std::boxed::Box;

const KINDS: [Kind; 5] = [Kind::Grant, Kind::Revoked, Kind::Transfer, Kind::Claim, Kind::Time];

fn signers() -> [Box<dyn Signer>; 2] {
    [Box::new(ed25519(1)), Box::new(p256(1))]
}

fn check(bytes: &[u8], kind: Kind) -> Result<(), StatementError> {
    Signed::decode(bytes, kind, 1024)?.verify()
}

/// A statement of these parts, each encoded already.
fn craft(header: &[u8], unprotected: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut w = Writer::default();
    w.tag(TAG_SIGN1).array(4).bytes(header).raw(unprotected).raw(rest);
    w.out
}

fn with_header(write: impl FnOnce(&mut Writer)) -> Result<(), StatementError> {
    let (mut header, mut rest) = (Writer::default(), Writer::default());
    write(&mut header);
    rest.bytes(b"payload").bytes(&[0; 64]);
    check(&craft(&header.out, &[0xa0], &rest.out), Kind::Grant)
}

#[test]
fn by_either_kind_of_key_and_of_one_kind_only() {
    for signer in signers() {
        for kind in KINDS {
            let bytes = sign(kind, b"payload", &*signer).unwrap();
            let signed = Signed::decode(&bytes, kind, bytes.len()).unwrap();
            assert_eq!((signed.payload, signed.key), (&b"payload"[..], signer.raw_key()));
            assert_eq!(signed.verify(), Ok(()));
            let too_long = Signed::decode(&bytes, kind, bytes.len() - 1).err();
            assert_eq!(too_long, Some(StatementError::TooLong));
            for other in KINDS {
                let expected = if other == kind { Ok(()) } else { Err(StatementError::Kind) };
                assert_eq!(check(&bytes, other), expected);
            }
        }
    }
}

#[test]
fn nothing_of_it_can_be_changed() {
    for signer in signers() {
        let bytes = sign(Kind::Grant, b"payload", &*signer).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(check(&changed, Kind::Grant).is_err(), "{at} {bit}");
            }
            assert_eq!(check(&bytes[..at], Kind::Grant), Err(CborError::Truncated.into()));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(check(&longer, Kind::Grant), Err(CborError::Trailing.into()));
    }
}

#[test]
fn a_key_is_of_the_kind_of_its_algorithm() {
    let (ed25519, p256) = (ed25519(1).public_key().0, p256(1));
    let RawKey::P256(point) = p256.raw_key() else { panic!() };
    let header = |alg: i8, kid: &[u8]| {
        with_header(|w| {
            w.map(3).uint(ALG).small_int(alg).uint(KID).bytes(kid).uint(TYP).text(b"rit-grant");
        })
    };
    assert_eq!(header(EDDSA, &ed25519), Err(StatementError::Signature), "well-formed");
    assert_eq!(header(ES256, &point), Err(StatementError::Signature), "well-formed");
    assert_eq!(header(EDDSA, &point), Err(StatementError::Key));
    assert_eq!(header(ES256, &ed25519), Err(StatementError::Key));
    assert_eq!(header(ES256, &p256.public_key().0), Err(StatementError::Key), "a name is no key");
    assert_eq!(header(ES256, &[2; 33]), Err(StatementError::Key), "compressed");
    assert_eq!(header(ES256, &[2; 65]), Err(StatementError::Key));
    assert_eq!(header(ES256, &[4; 65]), Err(StatementError::Signature), "off the curve");
    assert_eq!(header(EDDSA, &[]), Err(StatementError::Key));
    assert_eq!(header(EDDSA, &[0; 32]), Err(StatementError::Signature), "of small order");
    for alg in [-9, -19, -35, 5, 0] {
        assert_eq!(header(alg, &ed25519), Err(StatementError::Algorithm), "{alg}");
    }
}

#[test]
fn a_name_signs_nothing() {
    // Somebody signs by Ed25519 what is to pass for a statement by a key on P-256, or vice versa.
    let [ed25519, p256] = signers();
    let p = crate::crypto::default_provider();
    for signer in [&ed25519, &p256] {
        let bytes = sign(Kind::Grant, b"payload", &**signer).unwrap();
        let signed = Signed::decode(&bytes, Kind::Grant, 1024).unwrap();
        assert_eq!(signed.name(p), signer.public_key());
        for other in [&ed25519, &p256] {
            let mut forged = signed.clone();
            forged.key = other.raw_key();
            assert_eq!(forged.verify().is_ok(), other.public_key() == signer.public_key());
        }
    }
}

#[test]
fn headers_that_are_refused() {
    let kid = ed25519(1).public_key().0;
    let typ = b"rit-grant";
    let is = |write: fn(&mut Writer, &[u8]), error: StatementError| {
        assert_eq!(with_header(|w| write(w, &kid)), Err(error));
    };
    is(|w, _| _ = w.map(0), StatementError::Algorithm);
    is(|w, _| _ = w.map(1).uint(ALG).small_int(EDDSA), StatementError::Key);
    is(|w, kid| _ = w.map(1).uint(KID).bytes(kid), StatementError::Algorithm);
    is(|w, kid| _ = w.map(2).uint(ALG).small_int(EDDSA).uint(KID).bytes(kid), StatementError::Kind);
    is(
        |w, _| _ = w.map(2).uint(ALG).small_int(EDDSA).uint(CRIT).array(1).uint(TYP),
        StatementError::Critical,
    );
    is(|w, _| _ = w.map(2).uint(ALG).small_int(EDDSA).uint(3).uint(0), StatementError::Header);
    is(|w, _| _ = w.map(1).small_int(-1).uint(0), StatementError::Header);
    is(|w, _| _ = w.map(1).text(b"a").uint(0), CborError::Type.into());
    is(
        |w, _| _ = w.map(2).uint(ALG).small_int(EDDSA).uint(ALG).small_int(EDDSA),
        CborError::DuplicateKey.into(),
    );
    is(
        |w, kid| _ = w.map(2).uint(KID).bytes(kid).uint(ALG).small_int(EDDSA),
        CborError::KeyOrder.into(),
    );
    is(|w, _| _ = w.map(1).raw(&[0x18, 0x01]).small_int(EDDSA), CborError::NotShortest.into());
    is(|w, _| _ = w.raw(&[0xbf, 0xff]), CborError::Indefinite.into());
    is(|_, _| (), CborError::Truncated.into());
    let trailing = with_header(|w| {
        w.map(3).uint(ALG).small_int(EDDSA).uint(KID).bytes(&kid).uint(TYP).text(typ).uint(0);
    });
    assert_eq!(trailing, Err(CborError::Trailing.into()));
}

#[test]
fn shapes_that_are_refused() {
    let good = sign(Kind::Grant, b"payload", &ed25519(1)).unwrap();
    let signed = Signed::decode(&good, Kind::Grant, 1024).unwrap();
    let (header, signature) = (signed.protected, signed.signature);
    let rest = |signature: &[u8]| {
        let mut w = Writer::default();
        w.bytes(b"payload").bytes(signature);
        w.out
    };
    let check = |bytes: &[u8]| check(bytes, Kind::Grant);
    assert_eq!(check(&craft(header, &[0xa0], &rest(&signature))), Ok(()));
    assert_eq!(
        check(&craft(header, &[0xa1, 0x04, 0x40], &rest(&signature))),
        Err(StatementError::Unprotected)
    );
    assert_eq!(check(&craft(header, &[0xf6], &rest(&signature))), Err(CborError::Type.into()));
    for len in [0, 63, 65, 72] {
        let signature = [&signature[..], &[0; 8]].concat();
        let bytes = craft(header, &[0xa0], &rest(&signature[..len]));
        assert_eq!(check(&bytes), Err(StatementError::Signature), "{len}");
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert_eq!(check(&with(0, 0xd1)), Err(StatementError::NotSign1), "COSE_Mac0");
    assert_eq!(check(&with(1, 0x83)), Err(CborError::Count.into()));
    assert_eq!(check(&good[1..]), Err(CborError::Type.into()), "untagged");
    assert_eq!(check(&[&[0xd8, 61], &good[..]].concat()), Err(StatementError::NotSign1));
    assert_eq!(check(&[&[0xd8, 18], &good[1..]].concat()), Err(CborError::NotShortest.into()));
}

#[test]
fn the_high_s_is_refused() {
    let signer = p256(1);
    for n in 0..16u8 {
        let mut bytes = sign(Kind::Grant, &[n], &signer).unwrap();
        assert_eq!(check(&bytes, Kind::Grant), Ok(()), "whatever the signer gave");
        let at = bytes.len() - 64;
        let low = p256::ecdsa::Signature::from_slice(&bytes[at..]).unwrap();
        let (r, s) = low.split_scalars();
        let high = p256::ecdsa::Signature::from_scalars(r, -s).unwrap();
        bytes[at..].copy_from_slice(&high.to_bytes());
        assert_eq!(check(&bytes, Kind::Grant), Err(StatementError::HighS));
    }
}

#[test]
fn ed25519_with_s_plus_the_order_is_refused() {
    // The order of the group, little-endian (RFC 8032 §5.1).
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut bytes = sign(Kind::Grant, b"payload", &ed25519(1)).unwrap();
    let at = bytes.len() - 32;
    let mut carry = 0;
    for (byte, order) in bytes[at..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(check(&bytes, Kind::Grant), Err(StatementError::Signature));
}

proptest! {
    /// The crate `p256` says the same.
    #[test]
    fn the_lower_s_is_that_of_others(r: [u8; 32], s: [u8; 32]) {
        let bytes: [u8; 64] = [r, s].concat().try_into().unwrap();
        if let Ok(signature) = p256::ecdsa::Signature::from_slice(&bytes) {
            let mut lower = bytes;
            lower_s(&mut lower);
            let expected = signature.normalize_s().unwrap_or(signature).to_bytes();
            prop_assert_eq!(lower.as_slice(), expected.as_slice());
        }
    }

    #[test]
    fn arbitrary_bytes_are_an_error(bytes: Vec<u8>) {
        prop_assert!(check(&bytes, Kind::Grant).is_err());
        prop_assert!(read_header(&bytes, Kind::Grant).is_err());
    }
}
