//! Time: asked for, answered once, and whom to believe.

use super::super::test_keys::{DEVICE, NOW_S, key, name};
use super::*;
use crate::crypto::default_provider;

const BROKER: u8 = 1;

fn s(s: u64) -> Time {
    Time::from_micros(s * 1_000_000)
}

fn hear(clock: &mut WallClock, statement: &[u8], now: Time) -> Result<(), WallTimeError> {
    clock.hear(default_provider(), &name(BROKER), &DEVICE, statement, now)
}

fn answer(nonce: &[u8; 16]) -> Vec<u8> {
    sign_time(&DEVICE, nonce, NOW_S, 7, key(BROKER)).unwrap()
}

fn asked() -> (WallClock, [u8; 16]) {
    let mut clock = WallClock::new();
    let nonce = clock.ask(&mut Rng::from_seed([3; 32]), s(100));
    (clock, nonce)
}

#[test]
fn unknown_until_somebody_tells() {
    let (mut clock, nonce) = asked();
    assert_eq!(clock.at(s(100)), WallTime::default());
    assert_eq!(hear(&mut clock, &answer(&nonce), s(101)), Ok(()));
    let heard = WallTime { unix_s: Some(NOW_S + 1), fresh: Some(7) };
    assert_eq!(clock.at(s(101)), heard, "as of the question");
    assert_eq!(clock.at(s(160)).fresh, Some(7));
    assert_eq!(clock.at(s(161)), WallTime { unix_s: Some(NOW_S + 61), fresh: None });
    assert_eq!(hear(&mut clock, &answer(&nonce), s(101)), Err(WallTimeError::Nonce), "once");
}

#[cfg(feature = "gateway")]
#[test]
fn a_gateway_counts_until_anybody_else_has_spoken() {
    let (mut clock, nonce) = asked();
    clock.set_by_gateway(5, s(100));
    clock.set_by_gateway(50, s(100));
    assert_eq!(clock.at(s(102)), WallTime { unix_s: Some(52), fresh: None });
    let mut set = clock.clone();
    set.set(9000, s(102));
    assert_eq!(hear(&mut clock, &answer(&nonce), s(103)), Ok(()));
    set.set_by_gateway(50, s(104));
    clock.set_by_gateway(50, s(104));
    assert_eq!(set.at(s(104)).unix_s, Some(9002));
    assert_eq!(clock.at(s(104)).unix_s, Some(NOW_S + 4));
}

#[test]
fn answers_that_are_refused() {
    let is = |make: &dyn Fn(&[u8; 16]) -> Vec<u8>, at: u64, expected: WallTimeError| {
        let (mut clock, nonce) = asked();
        assert_eq!(hear(&mut clock, &make(&nonce), s(at)), Err(expected));
        assert_eq!(clock.at(s(at)), WallTime::default());
    };
    let by = |broker: u8, device: PublicKey| {
        move |nonce: &[u8; 16]| sign_time(&device, nonce, NOW_S, 7, key(broker)).unwrap()
    };
    is(&by(0, DEVICE), 101, WallTimeError::NotBroker);
    is(&by(BROKER, PublicKey([0xde; 32])), 101, WallTimeError::Device);
    is(&|_| answer(&[0; 16]), 101, WallTimeError::Nonce);
    is(&by(BROKER, DEVICE), 131, WallTimeError::Late);
    is(&|_| [0; TIME_LEN_MAX + 1].into(), 101, StatementError::TooLong.into());
    let forged = |nonce: &[u8; 16]| {
        let mut bytes = answer(nonce);
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    is(&forged, 101, StatementError::Signature.into());
    let (mut clock, nonce) = asked();
    assert_eq!(hear(&mut clock, &answer(&nonce), s(130)), Ok(()), "at the limit");
    let mut silent = WallClock::new();
    assert_eq!(hear(&mut silent, &answer(&nonce), s(1)), Err(WallTimeError::Nonce));
}

#[test]
fn the_integrator_is_believed_more_than_a_broker() {
    let (mut clock, nonce) = asked();
    clock.set_by_link(5, s(90));
    assert_eq!(clock.at(s(100)).unix_s, Some(15));
    clock.set(1000, s(100));
    clock.set_by_link(5, s(101));
    assert_eq!(hear(&mut clock, &answer(&nonce), s(102)), Ok(()));
    assert_eq!(clock.at(s(110)), WallTime { unix_s: Some(1010), fresh: Some(7) });
    clock.set(2000, s(110));
    assert_eq!(clock.at(s(110)).unix_s, Some(2000));
    clock.set(u64::MAX, s(110));
    assert_eq!(clock.at(s(120)).unix_s, Some(u64::MAX), "no overflow");
}
