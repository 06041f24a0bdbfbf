//! Which statements a device takes, each limit at and over it, and the stored form.

use super::super::test_keys::{DEVICE, EPOCH, NOW_S, key, name};
use super::super::{Revocations, sign_transfer};
use super::*;
use crate::crypto::default_provider;
use proptest::prelude::*;

const OWNER: u8 = 0;
const OTHER: PublicKey = PublicKey([0xde; 32]);
const UNKNOWN: WallTime = WallTime { unix_s: None, fresh: None };

fn at(unix_s: u64) -> WallTime {
    WallTime { unix_s: Some(unix_s), fresh: None }
}

fn owned() -> TrustState {
    TrustState::owned(name(OWNER), EPOCH)
}

fn signed(number: u64, issued_s: u64, for_s: u32) -> Vec<u8> {
    sign_cloak(&DEVICE, EPOCH, number, issued_s, for_s, key(OWNER)).unwrap()
}

fn take(last: &CloakState, statement: &[u8], time: WallTime) -> Result<CloakState, CloakError> {
    let taken = last.take(default_provider(), &owned(), &DEVICE, statement, time);
    taken.map(|(_, state)| state)
}

/// Takes it as a device that took none.
fn first(statement: &[u8], time: WallTime) -> Result<(), CloakError> {
    take(&CloakState::new(), statement, time).map(|_| ())
}

#[test]
fn numbers_rise() {
    let mut state = CloakState::new();
    assert_eq!(first(&signed(0, NOW_S, 60), at(NOW_S)), Err(CloakError::Older));
    for number in [1, 2, 7, u64::MAX] {
        let statement = signed(number, NOW_S, 60);
        state = take(&state, &statement, at(NOW_S)).unwrap();
        for time in [at(NOW_S), UNKNOWN] {
            assert_eq!(take(&state, &statement, time), Err(CloakError::Older), "a replay");
        }
        let before = signed(number - 1, NOW_S, 0);
        assert_eq!(take(&state, &before, at(NOW_S)), Err(CloakError::Older), "kept back");
    }
    let signed = signed(1, NOW_S, 60);
    let statement = CloakStatement::decode(&signed).unwrap();
    assert_eq!((statement.issued_s, statement.for_s, statement.ends_s()), (NOW_S, 60, NOW_S + 60));
}

#[test]
fn another_ownership_counts_anew() {
    let p = default_provider();
    let state = take(&CloakState::new(), &signed(9, NOW_S, 60), UNKNOWN).unwrap();
    let next = TrustState::owned(name(1), EPOCH + 1);
    let by_next = sign_cloak(&DEVICE, EPOCH + 1, 1, NOW_S, 60, key(1)).unwrap();
    let taken = state.take(p, &next, &DEVICE, &by_next, UNKNOWN).map(|(_, state)| state);
    assert_eq!(taken, Ok(CloakState { epoch: EPOCH + 1, number: 1 }));
    let same = sign_cloak(&DEVICE, EPOCH, 10, NOW_S, 60, key(OWNER)).unwrap();
    let back = TrustState::owned(name(OWNER), EPOCH + 2);
    let taken = state.take(p, &back, &DEVICE, &same, UNKNOWN).map(|_| ());
    assert_eq!(taken, Err(CloakError::Epoch), "not even of the same owner");
}

#[test]
fn what_was_lost_opens_nothing_in_this_ownership() {
    let lost = CloakState::lost(EPOCH);
    for number in [1, u64::MAX] {
        assert_eq!(take(&lost, &signed(number, NOW_S, 60), UNKNOWN), Err(CloakError::Older));
    }
    assert!(take(&CloakState::lost(EPOCH - 1), &signed(1, NOW_S, 60), UNKNOWN).is_ok());
}

#[test]
fn its_time_is_now() {
    let statement = signed(1, NOW_S, 60);
    assert_eq!(first(&statement, at(NOW_S + 59)), Ok(()));
    assert_eq!(first(&statement, at(NOW_S + 60)), Err(CloakError::Over));
    assert_eq!(first(&statement, at(u64::MAX)), Err(CloakError::Over));
    assert_eq!(first(&statement, at(NOW_S - CLOAK_AHEAD_MAX_S)), Ok(()));
    assert_eq!(first(&statement, at(NOW_S - CLOAK_AHEAD_MAX_S - 1)), Err(CloakError::Ahead));
    assert_eq!(first(&statement, at(0)), Err(CloakError::Ahead));
    assert_eq!(first(&statement, UNKNOWN), Ok(()));
    let last = signed(1, u64::MAX, CLOAK_FOR_MAX_S);
    assert_eq!(first(&last, at(u64::MAX - 1)), Ok(()), "nothing overflows");
    assert_eq!(first(&last, at(NOW_S)), Err(CloakError::Ahead));
    for time in [at(0), at(NOW_S + 60), at(u64::MAX), UNKNOWN] {
        assert_eq!(first(&signed(1, NOW_S, 0), time), Ok(()), "what closes is good at any time");
    }
}

#[test]
fn what_a_list_told_of_time_counts() {
    let p = default_provider();
    let mut state = owned();
    let list = Revocations { number: 1, ..Revocations::default() };
    let list = list.sign(&DEVICE, EPOCH, NOW_S + 60, key(OWNER)).unwrap();
    assert_eq!(state.revoke(p, &DEVICE, &list), Ok(true));
    let take = |for_s: u32, time: WallTime| {
        let statement = signed(1, NOW_S, for_s);
        CloakState::new().take(p, &state, &DEVICE, &statement, time).map(|_| ())
    };
    assert_eq!(take(60, UNKNOWN), Err(CloakError::Over));
    assert_eq!(take(60, at(NOW_S)), Err(CloakError::Over), "a clock that is late");
    assert_eq!(take(61, UNKNOWN), Ok(()));
    assert_eq!(take(61, at(0)), Ok(()), "it is later than that");
}

#[test]
fn a_day_at_most() {
    let over = sign_cloak(&DEVICE, EPOCH, 1, NOW_S, CLOAK_FOR_MAX_S + 1, key(OWNER));
    assert_eq!(over, Err(CloakSignError::TooLong));
    assert_eq!(first(&signed(1, NOW_S, CLOAK_FOR_MAX_S), at(NOW_S)), Ok(()));
    for for_s in [u64::from(CLOAK_FOR_MAX_S) + 1, 1 << 32, u64::MAX] {
        let mut w = Writer::default();
        w.array(5).bytes(&DEVICE.0).uint(EPOCH.into()).uint(1).uint(NOW_S).uint(for_s);
        let statement = sign(Kind::Cloak, &w.out, key(OWNER)).unwrap();
        assert_eq!(first(&statement, at(NOW_S)), Err(CloakError::TooLong), "{for_s}");
    }
}

#[test]
fn statements_that_are_refused() {
    let by = |issuer: u8, device: &PublicKey, epoch: u32| {
        first(&sign_cloak(device, epoch, 1, NOW_S, 60, key(issuer)).unwrap(), at(NOW_S))
    };
    assert_eq!(by(OWNER, &DEVICE, EPOCH), Ok(()));
    assert_eq!(by(1, &DEVICE, EPOCH), Err(CloakError::NotOwner));
    assert_eq!(by(OWNER, &OTHER, EPOCH), Err(CloakError::Device));
    assert_eq!(by(OWNER, &DEVICE, EPOCH - 1), Err(CloakError::Epoch));
    assert_eq!(by(OWNER, &DEVICE, EPOCH + 1), Err(CloakError::Epoch));
    let good = signed(1, NOW_S, 60);
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(first(&forged, at(NOW_S)), Err(StatementError::Signature.into()));
    let trailing = [&good[..], &[0]].concat();
    let expected = StatementError::from(CborError::Trailing).into();
    assert_eq!(first(&trailing, at(NOW_S)), Err(expected));
    let transfer = sign_transfer(&DEVICE, EPOCH, &OTHER, key(OWNER)).unwrap();
    assert_eq!(first(&transfer, at(NOW_S)), Err(StatementError::Kind.into()));
    let long = [0; CLOAK_LEN_MAX + 1];
    assert_eq!(first(&long, at(NOW_S)), Err(StatementError::TooLong.into()));
    let unclaimed = CloakState::new()
        .take(default_provider(), &TrustState::new(), &DEVICE, &good, at(NOW_S))
        .map(|_| ());
    assert_eq!(unclaimed, Err(CloakError::Unclaimed));
    for len in 0..good.len() {
        assert!(first(&good[..len], at(NOW_S)).is_err(), "cut to {len}");
    }
}

#[test]
fn the_longest_fits() {
    // The other kind of key has the longer name.
    let longest =
        sign_cloak(&DEVICE, u32::MAX, u64::MAX, u64::MAX, CLOAK_FOR_MAX_S, key(OWNER)).unwrap();
    assert!(longest.len() <= CLOAK_LEN_MAX, "{}", longest.len());
    assert!(CloakStatement::decode(&longest).is_ok());
}

proptest! {
    #[test]
    fn what_is_stored_is_read_again(
        epoch: u32,
        number: u64,
        at in 0..CLOAK_STATE_LEN,
        bit in 0..8,
    ) {
        let p = default_provider();
        let state = CloakState { epoch, number };
        let stored = state.encode(p);
        prop_assert_eq!(stored.len(), CLOAK_STATE_LEN);
        prop_assert_eq!(CloakState::decode(p, &stored), Ok(state));
        prop_assert!(CloakState::decode(p, &stored[..at]).is_err());
        let longer = [&stored[..], &[0]].concat();
        prop_assert!(CloakState::decode(p, &longer).is_err());
        let mut damaged = stored;
        damaged[at] ^= 1u8 << bit;
        prop_assert!(CloakState::decode(p, &damaged).is_err());
    }
}
