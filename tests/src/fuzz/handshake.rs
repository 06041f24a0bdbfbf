//! Fuzz body over the CRYPTO stream: reassembly against a model, and the handshake fed with what
//! comes out of it.
//!
//! The first byte chooses: arbitrary frames to a responder, or a real handshake of which the
//! script damages bytes.

use rit_core::base::{Rng, Side};
use rit_core::crypto::{self, Ed25519Signer, Secret, Signer};
use rit_core::handshake::{Handshake, PeerPolicy, SessionSecrets, TlsRole};
use rit_core::transport::CryptoReceiver;
use rit_core::wire::codec::Reader;
use std::sync::Arc;

const STREAM_MAX: usize = 16 * 1024;
const PARAMS: [u8; 8] = [1, 4, 0x80, 0, 0x75, 0x30, 0x0a, 0];
const DCID: [u8; 16] = [9; 16];

/// CRYPTO frames in any order, and damaged handshakes.
pub fn crypto_reassembly(data: &[u8]) {
    match data.split_first() {
        Some((mode, script)) if mode & 1 == 0 => reassembly(script),
        Some((_, script)) => damaged_handshake(script),
        None => {}
    }
}

/// One end of a handshake, with everything fixed.
struct End {
    handshake: Handshake,
    rng: Rng,
    secrets: Option<SessionSecrets>,
    has_failed: bool,
}

fn end(side: Side) -> End {
    let seed = |side| [if side == Side::Initiator { 1 } else { 2 }; 32];
    let signer = Ed25519Signer::from_seed(&seed(side));
    let peer = Ed25519Signer::from_seed(&seed(side.peer())).public_key();
    let policy = match side {
        Side::Initiator => PeerPolicy::Exactly(peer),
        Side::Responder => PeerPolicy::AnyOf(vec![peer]),
    };
    let mut rng = Rng::from_seed([3; 32]);
    let handshake = Handshake::new(
        crypto::default_provider(),
        side,
        TlsRole::INITIATOR,
        Arc::new(signer),
        policy,
        &PARAMS,
        Secret::new([4; 32]),
        &DCID,
        &mut rng,
    )
    .expect("a handshake starts");
    End { handshake, rng, secrets: None, has_failed: false }
}

impl End {
    fn read(&mut self, bytes: &[u8]) {
        let result = self.handshake.read(bytes, &mut self.rng);
        assert!(!self.has_failed || result.is_err(), "a failed handshake goes on");
        self.has_failed = result.is_err();
        if let Some(secrets) = self.handshake.take_secrets() {
            self.secrets = Some(secrets);
        }
        assert!(!(self.has_failed && self.handshake.is_complete()));
    }
}

/// Frames of (offset, length, bytes): what is read must be what a plain array says.
fn reassembly(script: &[u8]) {
    let mut r = Reader::new(script);
    let mut receiver = CryptoReceiver::default();
    let mut model: Vec<Option<u8>> = vec![None; STREAM_MAX];
    let mut read = 0;
    let mut responder = end(Side::Responder);
    while let Ok(offset) = r.varint() {
        let len = usize::from(r.u8().unwrap_or(0)).min(r.remaining());
        let Ok(data) = r.bytes(len) else { return };
        let fits = offset.saturating_add(len as u64) <= STREAM_MAX as u64;
        assert_eq!(receiver.on_frame(offset, data), fits, "limit at {offset} + {len}");
        if fits {
            for (slot, &byte) in model[offset as usize..].iter_mut().zip(data) {
                slot.get_or_insert(byte);
            }
        }
        let expected: Vec<u8> = model[read..].iter().map_while(|slot| *slot).collect();
        let got = receiver.read().unwrap_or_default();
        assert_eq!(got, expected);
        read += got.len();
        if !got.is_empty() {
            responder.read(&got);
        }
    }
    assert!(!responder.handshake.is_complete(), "authenticated without a signature");
}

/// A handshake in pieces; the script says where to cut and which bytes to change.
fn damaged_handshake(script: &[u8]) {
    let mut r = Reader::new(script);
    let mut initiator = end(Side::Initiator);
    let mut responder = end(Side::Responder);
    let mut has_changed_params = false;
    let mut is_first_flight = [true; 2];
    for _ in 0..8 {
        for (i, side) in [Side::Initiator, Side::Responder].into_iter().enumerate() {
            let (from, to) = match side {
                Side::Initiator => (&mut initiator, &mut responder),
                Side::Responder => (&mut responder, &mut initiator),
            };
            let Some(mut flight) = from.handshake.take_output() else { continue };
            let before = flight.clone();
            damage(&mut flight, &mut r);
            if std::mem::take(&mut is_first_flight[i]) {
                has_changed_params |= flight[..=PARAMS.len()] != before[..=PARAMS.len()];
            }
            deliver(to, &flight, &mut r);
        }
    }
    let both = initiator.handshake.is_complete() && responder.handshake.is_complete();
    if script.is_empty() {
        assert!(both, "an honest handshake fails");
    }
    if let (true, Some(one), Some(other)) = (both, &initiator.secrets, &responder.secrets) {
        let is_same = one.local.as_bytes() == other.remote.as_bytes();
        assert!(!(is_same && has_changed_params), "changed parameters are not noticed");
        assert!(is_same || has_changed_params, "two ends are done and have different keys");
    }
}

fn damage(flight: &mut [u8], r: &mut Reader<'_>) {
    let changes = r.u8().unwrap_or(0) & 3;
    for _ in 0..changes {
        let (Ok(at), Ok(xor)) = (r.u16(), r.u8()) else { return };
        let at = usize::from(at) % flight.len();
        flight[at] ^= xor;
    }
}

fn deliver(to: &mut End, mut flight: &[u8], r: &mut Reader<'_>) {
    while !flight.is_empty() {
        let len = match r.u8() {
            Ok(0) | Err(_) => flight.len(),
            Ok(len) => usize::from(len).min(flight.len()),
        };
        let (piece, rest) = flight.split_at(len);
        to.read(piece);
        flight = rest;
    }
}
