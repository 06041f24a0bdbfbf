//! One grant: its one encoding, and what is refused with which error.

use super::super::test_keys::{DEVICE, key, name, terms};
use super::super::{GRANT_SERVICES_MAX, ServiceList};
use super::*;
use crate::crypto::default_provider;
use proptest::prelude::*;
use std::format;
use std::string::String;

/// The grant with these claims, whatever they are.
fn with_claims(claims: &[u8]) -> Vec<u8> {
    sign(Kind::Grant, claims, key(1)).unwrap()
}

fn decode(claims: &[u8]) -> Result<(), GrantFormError> {
    Grant::decode(&with_claims(claims)).map(|_| ())
}

/// The claims of a grant, one of them left out, or written otherwise where the map has no place.
fn claims(number: u64, instead: Option<&[u8]>) -> Vec<u8> {
    let scope = scope(3, 1, 0, &[0xf4], &[0xf6]);
    let audience = key_to_text(&DEVICE);
    let mut w = Writer::default();
    w.map(if instead.is_some() { 5 } else { 4 });
    for claim in [AUD, IAT, CTI, CNF, SCOPE] {
        match instead {
            None if claim == number => {}
            Some(instead) if claim == number => _ = w.uint(claim).raw(instead),
            _ => match claim {
                AUD => _ = w.uint(AUD).text(audience.as_bytes()),
                IAT => _ = w.uint(IAT).uint(7),
                CTI => _ = w.uint(CTI).bytes(&[1; 16]),
                CNF => _ = w.uint(CNF).map(1).uint(CNF_KID).bytes(&[2; 32]),
                _ => _ = w.uint(SCOPE).bytes(&scope),
            },
        }
    }
    w.out
}

fn scope(epoch: u64, rights: u64, depth: u64, fresh: &[u8], services: &[u8]) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(5).uint(epoch).uint(rights).uint(depth).raw(fresh).raw(services);
    w.out
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    let mut w = Writer::default();
    w.bytes(bytes);
    w.out
}

#[test]
fn says_what_it_was_told() {
    let services = ServiceList::of(&["web", "ssh"]).unwrap();
    for issuer in [0, 1] {
        let terms = Terms {
            not_before_s: Some(5),
            expires_s: Some(9),
            rights: Rights::USE.and(Rights::SHARE),
            must_be_fresh: true,
            services: services.services(),
            ..terms(4)
        };
        let bytes = terms.sign(key(issuer)).unwrap();
        let grant = Grant::decode(&bytes).unwrap();
        assert_eq!(grant.terms, terms);
        assert_eq!(grant.verify(), Ok(()));
        assert_eq!(grant.issuer(default_provider()), name(issuer));
        assert_eq!(*grant.issuer_key(), key(issuer).raw_key());
    }
}

#[test]
fn claims_that_are_missing_or_unknown() {
    assert_eq!(decode(&claims(CTI, Some(&bytes(&[1; 16])))), Ok(()));
    for claim in [AUD, IAT, CTI, CNF, SCOPE] {
        let missing = GrantFormError::MissingClaim(claim as u8);
        assert_eq!(decode(&claims(claim, None)), Err(missing));
    }
    let with = |extra: fn(&mut Writer)| {
        let mut w = Writer::default();
        w.map(6).raw(&claims(0, Some(&[]))[1..]);
        extra(&mut w);
        decode(&w.out)
    };
    assert_eq!(with(|w| _ = w.uint(10).bytes(&[1])), Err(GrantFormError::UnknownClaim));
    assert_eq!(with(|w| _ = w.small_int(-1).uint(1)), Err(GrantFormError::UnknownClaim));
    assert_eq!(with(|w| _ = w.text(b"x").uint(1)), Err(CborError::Type.into()));
    assert_eq!(with(|w| _ = w.uint(SCOPE).uint(1)), Err(CborError::DuplicateKey.into()));
    assert_eq!(with(|w| _ = w.uint(EXP).uint(1)), Err(CborError::KeyOrder.into()));
    assert_eq!(with(|_| ()), Err(CborError::Truncated.into()));
    let mut issued_by = Writer::default();
    issued_by.map(1).uint(1).text(b"somebody");
    assert_eq!(decode(&issued_by.out), Err(GrantFormError::UnknownClaim), "iss");
    let trailing = [&claims(0, Some(&[]))[..], &[0]].concat();
    assert_eq!(decode(&trailing), Err(CborError::Trailing.into()));
    assert_eq!(decode(&[0xbf, 0xff]), Err(CborError::Indefinite.into()));
}

#[test]
fn values_that_are_refused() {
    let is = |claim: u64, value: &[u8], error: GrantFormError| {
        assert_eq!(decode(&claims(claim, Some(value))), Err(error), "{claim} {value:x?}");
    };
    let text = |text: &str| [&[0x78, text.len() as u8], text.as_bytes()].concat();
    let device = key_to_text(&DEVICE);
    is(AUD, &text(&device.to_uppercase()), GrantFormError::Audience);
    is(AUD, &text(&device[..51]), GrantFormError::Audience);
    is(AUD, &[0x62, 0xff, 0xff], GrantFormError::Audience);
    is(AUD, &bytes(&DEVICE.0), CborError::Type.into());
    is(IAT, &[0x20], CborError::Type.into());
    is(IAT, &[0xfb, 0x41, 0, 0, 0, 0, 0, 0, 0], CborError::Type.into());
    is(IAT, &[0x18, 0x17], CborError::NotShortest.into());
    is(IAT, &[0xc1, 0x01], CborError::Type.into());
    is(CTI, &bytes(&[1; 15]), GrantFormError::Id);
    is(CTI, &bytes(&[1; 17]), GrantFormError::Id);
    is(CTI, &[0x5f, 0x50], CborError::Indefinite.into());
    let cnf = |key: u64, name: &[u8]| {
        let mut w = Writer::default();
        w.map(1).uint(key).bytes(name);
        w.out
    };
    is(CNF, &cnf(CNF_KID, &[2; 31]), GrantFormError::Subject);
    is(CNF, &cnf(CNF_KID, &[2; 65]), GrantFormError::Subject);
    is(CNF, &cnf(1, &[2; 32]), GrantFormError::Subject);
    is(CNF, &[0xa0], GrantFormError::Subject);
    is(CNF, &bytes(&[2; 32]), CborError::Type.into());
}

#[test]
fn scopes_that_are_refused() {
    let is = |scope: &[u8], error: GrantFormError| {
        assert_eq!(decode(&claims(SCOPE, Some(&bytes(scope)))), Err(error), "{scope:x?}");
    };
    let (no, all) = ([0xf4], [0xf6]);
    is(&scope(1 << 32, 1, 0, &no, &all), GrantFormError::Epoch);
    is(&scope(3, 0, 0, &no, &all), GrantFormError::Rights);
    is(&scope(3, 8, 0, &no, &all), GrantFormError::Rights);
    is(&scope(3, 257, 0, &no, &all), GrantFormError::Rights);
    is(&scope(3, 1, 4, &no, &all), GrantFormError::Depth);
    is(&scope(3, 1, 256, &no, &all), GrantFormError::Depth);
    is(&scope(3, 1, 0, &[0], &all), CborError::Type.into());
    is(&scope(3, 1, 0, &no, &[0xf7]), ServicesError::Cbor(CborError::Type).into());
    is(&scope(3, 1, 0, &no, &[0x82, 0x61, b'b', 0x61, b'a']), ServicesError::Order.into());
    is(&scope(3, 1, 0, &no, &[0x81, 0x61, b'B']), ServicesError::Name.into());
    is(&scope(3, 1, 0, &no, &[0x81]), ServicesError::Cbor(CborError::Truncated).into());
    is(&scope(3, 1, 0, &no, &[0xf6, 0xf6]), CborError::Trailing.into());
    is(&[0x84, 3, 1, 0, 0xf4], CborError::Count.into());
    is(&[0x86, 3, 1, 0, 0xf4, 0xf6, 0], CborError::Count.into());
    is(&[], CborError::Truncated.into());
    for rights in 1..=7 {
        assert_eq!(decode(&claims(SCOPE, Some(&bytes(&scope(0, rights, 3, &no, &all))))), Ok(()));
    }
}

#[test]
fn size_at_and_over_the_limit() {
    let grant_of = |fill: usize| {
        let names: Vec<String> = (0..GRANT_SERVICES_MAX)
            .map(|n| format!("{n:02}{}", "x".repeat(if n == 0 { fill } else { 20 })))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let services = ServiceList::of(&names).unwrap();
        Terms { services: services.services(), ..terms(1) }.sign(key(1))
    };
    let fill = (1..60).rfind(|fill| grant_of(*fill).is_ok()).unwrap();
    assert_eq!(grant_of(fill).map(|grant| grant.len()), Ok(GRANT_LEN_MAX));
    let too_long = GrantFormError::Statement(StatementError::TooLong);
    assert_eq!(grant_of(fill + 1), Err(too_long.into()));
    let padded = with_claims(&[0; GRANT_LEN_MAX]);
    assert_eq!(Grant::decode(&padded).err(), Some(too_long), "before anything is looked at");
}

proptest! {
    /// What is read is written as the same bytes: there is one encoding.
    #[test]
    fn one_encoding(bytes: Vec<u8>, at in 0usize..300, value: u8) {
        let mut changed = claims(0, Some(&[]));
        if let Some(byte) = changed.get_mut(at) {
            *byte = value;
        }
        for claims in [&bytes, &changed] {
            if let Ok(terms) = read_claims(claims) {
                prop_assert_eq!(&terms.encode(), claims);
            }
        }
    }
}
