//! Fuzz bodies over what owners sign (grants, lists, claims, transfers, cloaking) and what is
//! stored of it.
//!
//! Arbitrary bytes seldom have a right signature, so each body looks at the input twice: as it is,
//! and as the payload of statements that are signed here. Checked: no panic; what is accepted has
//! one encoding, which is the one it came in; nothing is permitted that a link did not permit.

use rit_core::base::{PublicKey, Rng, Time};
use rit_core::crypto::{self, Ed25519Signer, Provider, Signer};
use rit_core::trust::{
    CLOAK_FOR_MAX_S, Claim, ClaimSecret, Claiming, CloakState, Grant, Revocations,
    TRUST_STATE_LEN_MAX, TrustState, WallClock, WallTime, authorize, decode_chain, sign_cloak,
    sign_time, sign_transfer, verify_claimed,
};

const DEVICE: PublicKey = PublicKey([0xdd; 32]);
const EPOCH: u32 = 3;
const LINKS: usize = 4;

fn provider() -> &'static dyn Provider {
    crypto::default_provider()
}

/// Key 0 is the owner's, the others those of the subjects one after the other.
fn signer(n: usize) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[n as u8 + 1; 32])
}

fn owned() -> TrustState {
    TrustState::owned(signer(0).public_key(), EPOCH)
}

fn head(major: u8, len: usize) -> Vec<u8> {
    match len {
        0..=23 => vec![major << 5 | len as u8],
        24..=0xff => vec![major << 5 | 24, len as u8],
        _ => [&[major << 5 | 25][..], &(len as u16).to_be_bytes()].concat(),
    }
}

/// A statement with any payload, signed by an Ed25519 key.
fn statement(kind: &str, payload: &[u8], signer: &Ed25519Signer) -> Vec<u8> {
    let kid = signer.public_key().0;
    let header = [
        &[0xa3, 0x01, 0x27, 0x04, 0x58, 0x20][..],
        &kid,
        &[0x10],
        &head(3, kind.len()),
        kind.as_bytes(),
    ]
    .concat();
    let header = [&head(2, header.len())[..], &header].concat();
    let payload = [&head(2, payload.len())[..], payload].concat();
    let message = [&b"\x84\x6aSignature1"[..], &header, &[0x40], &payload].concat();
    let signature = signer.sign(&message).expect("a software key signs");
    [&[0xd2, 0x84][..], &header, &[0xa0], &payload, &[0x58, 0x40], &signature].concat()
}

/// Chains: the input itself, and one of the claims that it holds, each signed by the right key. The
/// first byte says what time is known; then a length of two bytes before each set of claims.
pub fn grant(data: &[u8]) {
    let _ = decode_chain(data);
    let _ = Grant::decode(data);
    let (state, time) = (owned(), WallTime { unix_s: Some(150), fresh: Some(0) });
    let _ = authorize(provider(), &state, &DEVICE, &signer(1).public_key(), data, time);
    let Some((choice, mut rest)) = data.split_first() else { return };
    let time = WallTime {
        unix_s: (choice & 1 == 0).then_some(150),
        fresh: (choice & 2 == 0).then_some(0),
    };
    let mut grants = Vec::new();
    while let Some((len, behind)) = rest.split_first_chunk::<2>() {
        // One more than a chain may have.
        if grants.len() > LINKS {
            break;
        }
        let len = usize::from(u16::from_be_bytes(*len)).min(behind.len());
        let (claims, behind) = behind.split_at(len);
        grants.push(statement("rit-grant", claims, &signer(grants.len())));
        rest = behind;
    }
    check_chain(&grants, time);
}

fn check_chain(grants: &[Vec<u8>], time: WallTime) {
    let chain = [head(4, grants.len()), grants.concat()].concat();
    let Ok(decoded) = decode_chain(&chain) else { return };
    for (n, grant) in decoded.iter().enumerate() {
        assert_eq!(grant.verify(), Ok(()));
        let again = grant.terms.sign(&signer(n)).expect("what was read can be written");
        assert_eq!(again, grants[n], "there is one encoding");
    }
    let Some(last) = decoded.last() else { return };
    let peer = last.terms.subject;
    let Ok(permit) = authorize(provider(), &owned(), &DEVICE, &peer, &chain, time) else { return };
    if permit.is_owner() {
        return assert_eq!(peer, signer(0).public_key());
    }
    for grant in &decoded {
        let terms = &grant.terms;
        assert!(terms.device == DEVICE && terms.epoch == EPOCH);
        assert!(terms.rights.contains(permit.rights()));
        assert!(permit.services().is_within(&terms.services));
        assert!(permit.services().names().all(|name| terms.services.contains(name)));
        assert!(!terms.must_be_fresh || permit.is_fresh());
        let until = permit.expires_s().unwrap_or(u64::MAX);
        assert!(until <= terms.expires_s.unwrap_or(u64::MAX));
    }
    assert_eq!(permit.still_holds(&owned(), time), Ok(()));
}

/// Revocation lists: the input itself, and as the owner would sign it.
pub fn revocation(data: &[u8]) {
    for list in [data, &statement("rit-revoked", data, &signer(0))] {
        let mut state = owned();
        if state.revoke(provider(), &DEVICE, list) != Ok(true) {
            assert_eq!(state, owned());
            continue;
        }
        let again = state.revoked().sign(&DEVICE, EPOCH, state.seen_s(), &signer(0));
        assert_eq!(again.as_deref(), Ok(list), "there is one encoding");
        assert_eq!(state.revoke(provider(), &DEVICE, list), Ok(false));
        check_stored(&state);
    }
}

fn check_stored(state: &TrustState) {
    let stored = state.encode(provider());
    assert!(stored.len() <= TRUST_STATE_LEN_MAX);
    assert_eq!(TrustState::decode(provider(), &stored).as_ref(), Ok(state));
}

/// Claims, their answers, transfers and statements of time: the input itself, and signed.
pub fn claim(data: &[u8]) {
    let (p, secret) = (provider(), ClaimSecret::new([1; 15]));
    let (mut claiming, mut state) = (Claiming::new(), TrustState::new());
    let mut rng = Rng::from_seed([1; 32]);
    let nonce = claiming.ask(&state, &mut rng).expect("it is unclaimed");
    for claim in [data, &statement("rit-claim", data, &signer(0))] {
        assert!(claiming.accept(p, &mut state, &DEVICE, [&secret], claim).is_err());
        let _ = Claim::decode(claim).map(|claim| claim.owner(p));
    }
    assert_eq!(state, TrustState::new());
    let owner = signer(0).public_key();
    assert!(verify_claimed(p, &DEVICE, &owner, &nonce, &secret, data).is_err());
    if let Ok(secret) = ClaimSecret::from_text(&String::from_utf8_lossy(data)) {
        let again = ClaimSecret::from_text(&secret.to_text()).expect("it was printed here");
        assert_eq!(again.as_bytes(), secret.as_bytes());
    }
    transfer_and_time(data);
}

fn transfer_and_time(data: &[u8]) {
    let p = provider();
    for transfer in [data, &statement("rit-transfer", data, &signer(0))] {
        let mut state = owned();
        if state.transfer(p, &DEVICE, transfer).is_ok() {
            let owner = state.owner().expect("it was passed on");
            let again = sign_transfer(&DEVICE, EPOCH, owner, &signer(0));
            assert_eq!(again.as_deref(), Ok(transfer), "there is one encoding");
            check_stored(&state);
        }
    }
    let mut clock = WallClock::new();
    let nonce = clock.ask(&mut Rng::from_seed([2; 32]), Time::ZERO);
    let broker = signer(0).public_key();
    assert!(clock.hear(p, &broker, &DEVICE, data, Time::ZERO).is_err());
    // So that the nonce fits, whatever it is.
    let (nonce_at, mut payload) = (36, data.to_vec());
    if let Some(place) = payload.get_mut(nonce_at..nonce_at + nonce.len()) {
        place.copy_from_slice(&nonce);
    }
    let time = statement("rit-time", &payload, &signer(0));
    if clock.hear(p, &broker, &DEVICE, &time, Time::ZERO).is_ok() {
        let now = clock.at(Time::ZERO);
        let (unix_s, list) = now.unix_s.zip(now.fresh).expect("it was told");
        let again = sign_time(&DEVICE, &nonce, unix_s, list, &signer(0));
        assert_eq!(again, Ok(time), "there is one encoding");
    }
}

/// Statements about the cloak: the input itself, and as the owner would sign it; and what is stored
/// of them.
pub fn cloak(data: &[u8]) {
    let (p, state) = (provider(), owned());
    for statement in [data, &statement("rit-cloak", data, &signer(0))] {
        for time in [WallTime::default(), WallTime { unix_s: Some(150), fresh: None }] {
            let last = CloakState::new();
            let Ok((said, taken)) = last.take(p, &state, &DEVICE, statement, time) else {
                continue;
            };
            assert!(said.for_s <= CLOAK_FOR_MAX_S && said.number > 0);
            let (number, issued_s) = (said.number, said.issued_s);
            let again = sign_cloak(&DEVICE, EPOCH, number, issued_s, said.for_s, &signer(0));
            assert_eq!(again.as_deref(), Ok(statement), "there is one encoding");
            assert!(taken.take(p, &state, &DEVICE, statement, time).is_err(), "it works once");
            assert_eq!(CloakState::decode(p, &taken.encode(p)), Ok(taken));
        }
    }
    let checksum = &p.sha256(&[data])[..8];
    for stored in [data, &[data, checksum].concat()] {
        if let Ok(state) = CloakState::decode(p, stored) {
            assert_eq!(state.encode(p), stored, "there is one encoding");
        }
    }
}

/// Stored states: the input itself, and with a checksum that fits.
pub fn trust_state(data: &[u8]) {
    let p = provider();
    let checksum = &p.sha256(&[data])[..8];
    for stored in [data, &[data, checksum].concat()] {
        let Ok(mut state) = TrustState::decode(p, stored) else { continue };
        assert_eq!(state.encode(p), stored, "there is one encoding");
        let Revocations { ids, keys, floor_s, .. } = state.revoked();
        assert!(ids.is_sorted() && keys.is_sorted());
        let _ = (floor_s, authorize(p, &state, &DEVICE, &DEVICE, &[], WallTime::default()));
        state.factory_reset();
        check_stored(&state);
        if let Ok(epoch) = state.accept_owner(DEVICE) {
            assert_eq!(epoch, state.epoch());
            check_stored(&state);
        }
    }
}
