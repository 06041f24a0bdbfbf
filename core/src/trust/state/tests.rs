//! Ownership from claim to claim, revocation lists, and the stored form.

use super::super::test_keys::{DEVICE, EPOCH, NOW_S, key, name};
use super::super::{CborError, StatementError, sign_transfer};
use super::*;
use crate::crypto::default_provider;
use alloc::vec;
use proptest::prelude::*;

const OWNER: u8 = 0;
const OTHER: PublicKey = PublicKey([0xde; 32]);

fn owned() -> TrustState {
    TrustState::owned(name(OWNER), EPOCH)
}

fn revoke(state: &mut TrustState, list: &[u8]) -> Result<bool, RevocationError> {
    state.revoke(default_provider(), &DEVICE, list)
}

fn transfer(state: &mut TrustState, statement: &[u8]) -> Result<u32, TransferError> {
    state.transfer(default_provider(), &DEVICE, statement)
}

fn list(number: u64) -> Revocations {
    Revocations { number, ids: vec![GrantId([number as u8; 16])], ..Revocations::default() }
}

fn signed(number: u64) -> Vec<u8> {
    list(number).sign(&DEVICE, EPOCH, NOW_S + number, key(OWNER)).unwrap()
}

#[test]
fn the_newest_list_holds() {
    let mut state = owned();
    assert_eq!(revoke(&mut state, &signed(5)), Ok(true));
    assert_eq!((state.revoked(), state.seen_s()), (&list(5), NOW_S + 5));
    assert_eq!(revoke(&mut state, &signed(5)), Ok(false));
    assert_eq!(revoke(&mut state, &signed(4)), Err(RevocationError::Older));
    assert_eq!(state.revoked(), &list(5));
    assert_eq!(revoke(&mut state, &signed(6)), Ok(true));
    assert_eq!((state.revoked(), state.seen_s()), (&list(6), NOW_S + 6));
    let early = list(7).sign(&DEVICE, EPOCH, 5, key(OWNER)).unwrap();
    assert_eq!(revoke(&mut state, &early), Ok(true));
    assert_eq!(state.seen_s(), NOW_S + 6, "time does not go back");
}

#[test]
fn lists_that_are_refused() {
    let is = |list: &[u8], expected: RevocationError| {
        let mut state = owned();
        assert_eq!(revoke(&mut state, list), Err(expected));
        assert_eq!(state, owned());
    };
    let by = |issuer: u8, device: &PublicKey, epoch: u32| {
        list(1).sign(device, epoch, NOW_S, key(issuer)).unwrap()
    };
    is(&by(1, &DEVICE, EPOCH), RevocationError::NotOwner);
    is(&by(OWNER, &OTHER, EPOCH), RevocationError::Device);
    is(&by(OWNER, &DEVICE, EPOCH - 1), RevocationError::Epoch);
    is(&by(OWNER, &DEVICE, EPOCH + 1), RevocationError::Epoch);
    let good = signed(1);
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    is(&forged, StatementError::Signature.into());
    is(&[&good[..], &[0]].concat(), StatementError::from(CborError::Trailing).into());
    is(&sign_transfer(&DEVICE, EPOCH, &OTHER, key(OWNER)).unwrap(), StatementError::Kind.into());
    assert_eq!(revoke(&mut TrustState::new(), &good), Err(RevocationError::Unclaimed));
}

#[test]
fn entries_are_in_order_and_bounded() {
    let ids = |n: usize| (0..n).map(|n| GrantId([n as u8; 16])).collect::<Vec<_>>();
    let keys = |n: usize| (0..n).map(|n| PublicKey([n as u8; 32])).collect::<Vec<_>>();
    let make = |ids, keys| {
        let revocations = Revocations { number: u64::MAX, floor_s: u64::MAX, ids, keys };
        revocations.sign(&DEVICE, EPOCH, u64::MAX, key(OWNER))
    };
    let full = make(ids(REVOKED_IDS_MAX), keys(REVOKED_KEYS_MAX)).unwrap();
    assert!(full.len() <= super::super::REVOCATION_LEN_MAX, "{}", full.len());
    let mut state = owned();
    assert_eq!(revoke(&mut state, &full), Ok(true));
    let stored = state.encode(default_provider());
    assert_eq!(stored.len(), TRUST_STATE_LEN_MAX);
    assert_eq!(TrustState::decode(default_provider(), &stored), Ok(state));
    let too_many = Err(RevocationError::TooMany.into());
    assert_eq!(make(ids(REVOKED_IDS_MAX + 1), vec![]), too_many);
    assert_eq!(make(vec![], keys(REVOKED_KEYS_MAX + 1)), too_many);
    assert_eq!(make([ids(1), ids(1)].concat(), vec![]), Err(RevocationError::Order.into()));
    let mut mixed = ids(3);
    mixed.reverse();
    assert!(make(mixed, vec![]).is_ok(), "the owner's program puts them in order");
}

#[test]
fn a_device_changes_hands() {
    let mut state = owned();
    assert_eq!(revoke(&mut state, &signed(5)), Ok(true));
    let to_1 = sign_transfer(&DEVICE, EPOCH, &name(1), key(OWNER)).unwrap();
    assert_eq!(transfer(&mut state, &to_1), Ok(EPOCH + 1));
    assert_eq!(state, TrustState::owned(name(1), EPOCH + 1), "the lists were the old owner's");
    assert_eq!(transfer(&mut state, &to_1), Err(TransferError::NotOwner));
    let back = sign_transfer(&DEVICE, EPOCH + 1, &name(OWNER), key(1)).unwrap();
    assert_eq!(transfer(&mut state, &back), Ok(EPOCH + 2));
    assert_eq!(transfer(&mut state, &to_1), Err(TransferError::Epoch), "it was used");
    assert_eq!(revoke(&mut state, &signed(6)), Err(RevocationError::Epoch));
}

#[test]
fn transfers_that_are_refused() {
    let is = |statement: &[u8], expected: TransferError| {
        let mut state = owned();
        assert_eq!(transfer(&mut state, statement), Err(expected));
        assert_eq!(state, owned());
    };
    let by = |issuer: u8, device: &PublicKey, epoch: u32| {
        sign_transfer(device, epoch, &name(1), key(issuer)).unwrap()
    };
    let good = by(OWNER, &DEVICE, EPOCH);
    is(&by(1, &DEVICE, EPOCH), TransferError::NotOwner);
    is(&by(OWNER, &OTHER, EPOCH), TransferError::Device);
    is(&by(OWNER, &DEVICE, EPOCH + 1), TransferError::Epoch);
    is(&signed(1), StatementError::Kind.into());
    is(&[0; 257], StatementError::TooLong.into());
    for at in 0..good.len() {
        let mut forged = good.clone();
        forged[at] ^= 1;
        let mut state = owned();
        assert!(transfer(&mut state, &forged).is_err() && state == owned(), "{at}");
    }
    assert_eq!(transfer(&mut TrustState::new(), &good), Err(TransferError::Unclaimed));
    let mut last = TrustState::owned(name(OWNER), u32::MAX);
    let statement = by(OWNER, &DEVICE, u32::MAX);
    assert_eq!(transfer(&mut last, &statement), Err(OwnerError::Epoch.into()));
}

#[test]
fn a_reset_device_takes_another_owner_and_does_not_forget_how_many_it_had() {
    let mut state = owned();
    assert_eq!(state.accept_owner(name(1)), Err(OwnerError::Claimed));
    assert_eq!(revoke(&mut state, &signed(5)), Ok(true));
    state.factory_reset();
    assert_eq!((state.owner(), state.epoch(), state.seen_s()), (None, EPOCH, 0));
    assert_eq!(state.revoked(), &Revocations::default());
    let stored = state.encode(default_provider());
    let mut state = TrustState::decode(default_provider(), &stored).unwrap();
    assert_eq!(state.accept_owner(name(OWNER)), Ok(EPOCH + 1));
    assert_eq!(TrustState::new().accept_owner(name(OWNER)), Ok(1));
}

fn stored() -> Vec<u8> {
    let mut state = owned();
    let revocations = Revocations {
        number: 2,
        floor_s: 3,
        ids: vec![GrantId([1; 16]), GrantId([2; 16])],
        keys: vec![PublicKey([3; 32])],
    };
    let list = revocations.sign(&DEVICE, EPOCH, NOW_S, key(OWNER)).unwrap();
    assert_eq!(revoke(&mut state, &list), Ok(true));
    state.encode(default_provider())
}

/// Stored bytes with a checksum that fits.
fn with_checksum(body: &[u8]) -> Vec<u8> {
    [body, &default_provider().sha256(&[body])[..CHECKSUM_LEN]].concat()
}

#[test]
fn damage_is_found() {
    let decode = |stored: &[u8]| TrustState::decode(default_provider(), stored);
    let stored = stored();
    assert_eq!(decode(&stored).map(|state| state.encode(default_provider())), Ok(stored.clone()));
    for bit in 0..stored.len() * 8 {
        let mut damaged = stored.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit / 8 {
            0..=3 => TrustStateError::Magic,
            4 => TrustStateError::Version(damaged[4]),
            _ => TrustStateError::Checksum,
        };
        assert_eq!(decode(&damaged), Err(expected), "bit {bit}");
    }
    for len in 0..stored.len() {
        assert!(decode(&stored[..len]).is_err(), "{len}");
    }
    let body = &stored[..stored.len() - CHECKSUM_LEN];
    for len in 5..body.len() {
        assert_eq!(decode(&with_checksum(&body[..len])), Err(TrustStateError::Length), "{len}");
    }
    assert_eq!(decode(&with_checksum(&[body, &[0]].concat())), Err(TrustStateError::Length));
}

#[test]
fn what_no_state_says_is_refused() {
    let decode = |body: &[u8]| TrustState::decode(default_provider(), &with_checksum(body));
    let body = stored();
    let body = &body[..body.len() - CHECKSUM_LEN];
    let with = |at: usize, byte: u8| {
        let mut body = body.to_vec();
        body[at] = byte;
        decode(&body)
    };
    const IDS_AT: usize = 4 + 1 + 1 + 32 + 4 + 3 * 8;
    assert!(with(6, 0x55).is_ok(), "any key may be the owner");
    assert_eq!(with(5, 0), Err(TrustStateError::Value), "nobody has a key");
    assert_eq!(with(5, 2), Err(TrustStateError::Value));
    assert_eq!(with(IDS_AT, REVOKED_IDS_MAX as u8 + 1), Err(TrustStateError::Value));
    assert_eq!(with(IDS_AT + 1, 9), Err(TrustStateError::Value), "out of order");
    assert_eq!(with(IDS_AT + 33, REVOKED_KEYS_MAX as u8 + 1), Err(TrustStateError::Value));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_an_error(bytes: Vec<u8>) {
        let mut state = owned();
        prop_assert!(revoke(&mut state, &bytes).is_err() && transfer(&mut state, &bytes).is_err());
        prop_assert!(TrustState::decode(default_provider(), &bytes).is_err());
        let body = [&MAGIC[..], &[VERSION], &bytes].concat();
        if let Ok(state) = TrustState::decode(default_provider(), &with_checksum(&body)) {
            prop_assert_eq!(state.encode(default_provider()), with_checksum(&body));
        }
    }
}
