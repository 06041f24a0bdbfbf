//! Handshakes between two ends in memory, whole and in pieces, honest and not.

use super::client;
use super::*;
use crate::base::Rng;
use crate::crypto::with_table::tests::{ENTRIES, Fake};
use crate::crypto::{Ed25519Signer, Entry, P256_POINT_LEN, RawKey, SignError, ring, rustcrypto};
use alloc::boxed::Box;
use proptest::prelude::*;
use std::println;

const DCID: &[u8] = b"contact id+nonce";
const INITIATOR_PARAMS: &[u8] = b"what the initiator can do";
/// Transport parameter 0x21, empty.
const SERVER_PARAMS: &[u8] = &[0x21, 0];
const RESPONDER_PARAMS: &[u8] = b"what the responder can do";

struct End {
    handshake: Handshake,
    rng: Rng,
}

fn signer(seed: u8) -> Arc<dyn Signer> {
    Arc::new(Ed25519Signer::from_seed(&[seed; 32]))
}

fn key(seed: u8) -> PublicKey {
    signer(seed).public_key()
}

/// What the tests vary of one end.
struct Setup {
    provider: &'static dyn Provider,
    side: Side,
    role: TlsRole,
    signer: Arc<dyn Signer>,
    policy: PeerPolicy,
    contact_key: u8,
    dcid: &'static [u8],
}

/// The initiator has key 1, the responder key 2, and each expects the other.
fn initiator() -> Setup {
    let policy = PeerPolicy::Exactly(key(2));
    let (provider, side, signer) = (ring(), Side::Initiator, signer(1));
    let role = TlsRole::Client;
    Setup { provider, side, role, signer, policy, contact_key: 7, dcid: DCID }
}

fn responder() -> Setup {
    let policy = PeerPolicy::AnyOf([key(9), key(1)].into());
    Setup { side: Side::Responder, signer: signer(2), policy, ..initiator() }
}

impl Setup {
    fn start(self) -> End {
        let (seed, params) = match self.side {
            Side::Initiator if self.role == TlsRole::Server => (1, SERVER_PARAMS),
            Side::Initiator => (1, INITIATOR_PARAMS),
            Side::Responder => (2, RESPONDER_PARAMS),
        };
        let mut rng = Rng::from_seed([seed; 32]);
        let contact_key = Secret::new([self.contact_key; 32]);
        let Setup { provider: p, side, role, signer, policy, dcid, .. } = self;
        let handshake =
            Handshake::new(p, side, role, signer, policy, params, contact_key, dcid, &mut rng);
        End { handshake: handshake.unwrap(), rng }
    }
}

impl End {
    fn read(&mut self, data: &[u8]) -> Result<(), HandshakeError> {
        self.handshake.read(data, &mut self.rng)
    }

    fn read_pieces(&mut self, data: &[u8], len: usize) -> Result<(), HandshakeError> {
        data.chunks(len).try_for_each(|piece| self.read(piece))
    }

    fn flight(&mut self) -> Vec<u8> {
        self.handshake.take_output().unwrap_or_default()
    }

    fn secrets(&mut self) -> SessionSecrets {
        self.handshake.take_secrets().unwrap()
    }
}

/// The three flights of a handshake, passed on in pieces of `len` bytes.
fn run(a: &mut End, b: &mut End, len: usize) -> Result<[Vec<u8>; 3], HandshakeError> {
    let first = a.flight();
    b.read_pieces(&first, len)?;
    let second = b.flight();
    a.read_pieces(&second, len)?;
    let third = a.flight();
    b.read_pieces(&third, len)?;
    Ok([first, second, third])
}

fn assert_agreed(a: &mut End, b: &mut End) {
    let (a_secrets, b_secrets) = (a.secrets(), b.secrets());
    assert_eq!(a_secrets.suite, b_secrets.suite);
    assert_eq!(a_secrets.local.as_bytes(), b_secrets.remote.as_bytes());
    assert_eq!(a_secrets.remote.as_bytes(), b_secrets.local.as_bytes());
    assert_ne!(a_secrets.local.as_bytes(), a_secrets.remote.as_bytes());
    assert!(a.handshake.take_secrets().is_none() && b.handshake.take_secrets().is_none());
}

fn assert_disagreed(a: &mut End, b: &mut End) {
    let (a, b) = (a.secrets(), b.secrets());
    assert_ne!(a.local.as_bytes(), b.remote.as_bytes());
    assert_ne!(a.remote.as_bytes(), b.local.as_bytes());
}

#[test]
fn every_pair_of_providers_agrees_in_pieces_of_any_length() {
    let table = Fake::default().provider();
    let pairs = [
        (ring(), ring()),
        (ring(), rustcrypto()),
        (rustcrypto(), ring()),
        (table, ring()),
        (rustcrypto(), table),
    ];
    for (pa, pb) in pairs {
        for len in [1, 7, usize::MAX] {
            let mut a = Setup { provider: pa, ..initiator() }.start();
            let mut b = Setup { provider: pb, ..responder() }.start();
            let [first, second, third] = run(&mut a, &mut b, len).unwrap();
            println!("flights: {}, {}, {} bytes", first.len(), second.len(), third.len());
            assert!(first.len() <= 300 && second.len() <= 450 && third.len() <= 250);
            assert!(a.handshake.is_complete() && b.handshake.is_complete());
            assert_eq!(a.handshake.peer_key(), Some(key(2)));
            assert_eq!(b.handshake.peer_key(), Some(key(1)));
            assert_eq!(a.handshake.peer_params(), Some(RESPONDER_PARAMS));
            assert_eq!(b.handshake.peer_params(), Some(INITIATOR_PARAMS));
            assert_agreed(&mut a, &mut b);
            assert!(a.flight().is_empty() && b.flight().is_empty());
        }
    }
}

#[test]
fn the_initiator_may_be_the_server_of_tls() {
    for (pa, pb) in [(ring(), ring()), (rustcrypto(), ring())] {
        for len in [1, usize::MAX] {
            let role = TlsRole::Server;
            let mut a = Setup { provider: pa, role, ..initiator() }.start();
            let mut b = Setup { provider: pb, ..responder() }.start();
            let [first, second, third] = run(&mut a, &mut b, len).unwrap();
            assert_eq!(first, [&[2][..], SERVER_PARAMS].concat(), "its parameters, and no TLS");
            assert!(!second.is_empty() && !third.is_empty());
            assert_eq!((a.handshake.role(), b.handshake.role()), (role, TlsRole::Client));
            assert!(!a.handshake.is_complete() && b.handshake.is_complete());
            let fourth = b.flight();
            a.read_pieces(&fourth, len).unwrap();
            assert_eq!(a.handshake.peer_key(), Some(key(2)));
            assert_eq!(b.handshake.peer_key(), Some(key(1)));
            assert_agreed(&mut a, &mut b);
        }
    }
    // Whoever is not expected fails whichever its role: the responder here, then the initiator.
    let stranger = |a_key, b_key| {
        let mut a = Setup { role: TlsRole::Server, signer: signer(a_key), ..initiator() }.start();
        let mut b = Setup { signer: signer(b_key), ..responder() }.start();
        let result = run(&mut a, &mut b, usize::MAX);
        result.and_then(|_| a.read(&b.flight()))
    };
    assert_eq!(stranger(1, 3), Err(HandshakeError::UnexpectedPeer));
    assert_eq!(stranger(3, 2), Err(HandshakeError::UnexpectedPeer));
    assert_eq!(stranger(1, 2), Ok(()));
}

#[test]
fn same_seed_same_bytes_with_either_provider() {
    let flights = |provider| {
        let mut a = Setup { provider, ..initiator() }.start();
        let mut b = Setup { provider, ..responder() }.start();
        (run(&mut a, &mut b, usize::MAX).unwrap(), *a.secrets().local.as_bytes())
    };
    assert!(flights(ring()) == flights(ring()));
    // Their preference of suites is the same wherever both find AES instructions.
    if ring().fast_aes() == rustcrypto().fast_aes() {
        assert!(flights(ring()) == flights(rustcrypto()));
        assert!(flights(ring()) == flights(Fake::default().provider()));
    }
}

#[test]
fn aes_is_used_only_where_it_is_fast_at_both_ends() {
    struct Slow;
    impl Provider for Slow {
        fn packet_key(
            &self,
            suite: Suite,
            key: &[u8],
            iv: &[u8; 12],
        ) -> Box<dyn crate::crypto::PacketKey> {
            ring().packet_key(suite, key, iv)
        }
        fn header_key(&self, suite: Suite, key: &[u8]) -> Box<dyn crate::crypto::HeaderKey> {
            ring().header_key(suite, key)
        }
        fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
            ring().sha256(parts)
        }
        fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
            ring().hmac_sha256(key, parts)
        }
        fn fast_aes(&self) -> bool {
            false
        }
        fn tls(&self) -> rustls::crypto::CryptoProvider {
            let mut tls = ring().tls();
            if ring().fast_aes() {
                tls.cipher_suites.reverse();
            }
            tls
        }
    }
    let suite = |pa, pb| {
        let mut a = Setup { provider: pa, ..initiator() }.start();
        let mut b = Setup { provider: pb, ..responder() }.start();
        run(&mut a, &mut b, usize::MAX).unwrap();
        a.secrets().suite
    };
    assert_eq!(suite(&Slow, ring()), Suite::ChaCha20Poly1305);
    assert_eq!(suite(ring(), &Slow), Suite::ChaCha20Poly1305);
    let fast = if ring().fast_aes() { Suite::Aes128Gcm } else { Suite::ChaCha20Poly1305 };
    assert_eq!(suite(ring(), ring()), fast);
}

#[test]
fn the_responder_has_secrets_before_it_knows_who_asks() {
    let (mut a, mut b) = (initiator().start(), responder().start());
    b.read(&a.flight()).unwrap();
    assert!(b.handshake.take_secrets().is_some());
    assert!(!b.handshake.is_complete());
    assert_eq!(b.handshake.peer_key(), None);
    a.read(&b.flight()).unwrap();
    assert!(a.handshake.is_complete());
}

#[test]
fn a_broker_takes_anyone_and_learns_who() {
    let mut a = Setup { signer: signer(77), ..initiator() }.start();
    let mut b = Setup { policy: PeerPolicy::Anyone, ..responder() }.start();
    run(&mut a, &mut b, usize::MAX).unwrap();
    assert_eq!(b.handshake.peer_key(), Some(key(77)));
}

#[test]
fn an_unexpected_peer_is_refused_by_either_end() {
    let mut a = Setup { policy: PeerPolicy::Exactly(key(3)), ..initiator() }.start();
    let mut b = responder().start();
    assert_eq!(run(&mut a, &mut b, usize::MAX), Err(HandshakeError::UnexpectedPeer));
    assert!(!a.handshake.is_complete() && !b.handshake.is_complete());
    assert!(a.handshake.take_secrets().is_none() && a.handshake.take_output().is_none());
    assert_eq!(a.read(b"more"), Err(HandshakeError::UnexpectedPeer));
    assert_eq!(a.read(b""), Err(HandshakeError::UnexpectedPeer));
    assert_eq!(HandshakeError::UnexpectedPeer.tls_alert(), 49);

    for policy in [PeerPolicy::Exactly(key(3)), PeerPolicy::AnyOf(Vec::new())] {
        let (mut a, mut b) = (initiator().start(), Setup { policy, ..responder() }.start());
        assert_eq!(run(&mut a, &mut b, 1), Err(HandshakeError::UnexpectedPeer));
        assert!(!b.handshake.is_complete() && b.handshake.take_secrets().is_none());
    }
}

#[test]
fn a_key_without_its_private_half_is_refused() {
    struct Impostor;
    impl Signer for Impostor {
        fn public_key(&self) -> PublicKey {
            key(1)
        }
        fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
            signer(3).sign(message)
        }
    }
    let mut a = Setup { signer: Arc::new(Impostor), ..initiator() }.start();
    let mut b = responder().start();
    assert_eq!(run(&mut a, &mut b, usize::MAX), Err(HandshakeError::BadSignature));
    assert!(!b.handshake.is_complete());
}

#[test]
fn a_silent_key_fails_its_own_end_alone() {
    struct Locked;
    impl Signer for Locked {
        fn public_key(&self) -> PublicKey {
            key(1)
        }
        fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignError> {
            Err(SignError)
        }
    }
    let mut a = Setup { signer: Arc::new(Locked), ..initiator() }.start();
    let mut b = responder().start();
    assert_eq!(run(&mut a, &mut b, usize::MAX), Err(HandshakeError::Sign));
    assert!(a.handshake.take_output().is_none());
}

#[test]
fn a_failing_entry_fails_its_own_end_alone() {
    let is_used = |entry| {
        let suite = match entry {
            Entry::Seal(suite) | Entry::Open(suite) => suite,
            // Headers are not the handshake's.
            Entry::Block(_) => return false,
            Entry::Sha256 | Entry::X25519 => return true,
        };
        (suite == Suite::Aes128Gcm) == rustcrypto().fast_aes()
    };
    for (side, entry) in ENTRIES.into_iter().flat_map(|entry| [(0, entry), (1, entry)]) {
        let fake = Fake::default();
        let provider = fake.provider();
        let mut ends = [initiator(), responder()];
        ends[side].provider = provider;
        let [mut a, mut b] = ends.map(Setup::start);
        fake.fail(&[entry]);
        let result = run(&mut a, &mut b, usize::MAX);
        // The initiator has made its first flight before.
        assert_eq!(result.err(), is_used(entry).then_some(HandshakeError::Crypto), "{entry:?}");
        let failed = [&mut a, &mut b][side].read(&[]);
        assert_eq!(failed.is_err(), is_used(entry), "{entry:?}");
        assert_ne!([&mut b, &mut a][side].read(&[]), Err(HandshakeError::Crypto));
        // The next one, when all is well again, is not affected.
        fake.fail(&[]);
        let (mut a, mut b) =
            (Setup { provider, ..initiator() }.start(), Setup { provider, ..responder() }.start());
        run(&mut a, &mut b, usize::MAX).unwrap();
    }
    // In the first flight there is the key share.
    let fake = Fake::default();
    fake.fail(&[Entry::X25519]);
    let Setup { side, role, signer, policy, .. } = initiator();
    let (key, mut rng) = (Secret::new([7; 32]), Rng::from_seed([1; 32]));
    let started =
        Handshake::new(fake.provider(), side, role, signer, policy, b"", key, DCID, &mut rng)
            .map(drop);
    assert_eq!(started, Err(HandshakeError::Crypto));
}

/// A key on P-256, as a secure element holds it.
struct P256Signer(p256::ecdsa::SigningKey);

impl P256Signer {
    fn new(seed: u8) -> Self {
        P256Signer(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    fn point(&self) -> [u8; P256_POINT_LEN] {
        self.0.verifying_key().to_encoded_point(false).as_bytes().try_into().unwrap()
    }
}

impl Signer for P256Signer {
    fn public_key(&self) -> PublicKey {
        self.raw_key().name(ring())
    }

    fn raw_key(&self) -> RawKey {
        RawKey::P256(self.point())
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        use p256::ecdsa::signature::Signer as _;
        let signature: p256::ecdsa::Signature = self.0.sign(message);
        Ok(signature.to_bytes().into())
    }
}

#[test]
fn keys_of_both_kinds_reach_each_other() {
    let kinds: [(Arc<dyn Signer>, Arc<dyn Signer>); 3] = [
        (Arc::new(P256Signer::new(1)), signer(2)),
        (signer(1), Arc::new(P256Signer::new(2))),
        (Arc::new(P256Signer::new(1)), Arc::new(P256Signer::new(2))),
    ];
    for (ours, theirs) in kinds {
        let names = [ours.public_key(), theirs.public_key()];
        let policies = names.map(PeerPolicy::Exactly);
        let [mut a, mut b] = [
            Setup { signer: ours, policy: policies[1].clone(), ..initiator() },
            Setup { signer: theirs, policy: policies[0].clone(), ..responder() },
        ]
        .map(Setup::start);
        let flights = run(&mut a, &mut b, usize::MAX).unwrap();
        println!("flights: {:?} bytes", flights.map(|flight| flight.len()));
        assert_eq!(a.handshake.peer_key(), Some(names[1]));
        assert_eq!(b.handshake.peer_key(), Some(names[0]));
        assert_agreed(&mut a, &mut b);
    }
}

#[test]
fn no_kind_of_key_passes_for_the_other() {
    /// Shows one key and signs by another one, of the other kind.
    struct Confused(RawKey, Arc<dyn Signer>);
    impl Signer for Confused {
        fn public_key(&self) -> PublicKey {
            self.0.name(ring())
        }
        fn raw_key(&self) -> RawKey {
            self.0
        }
        fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
            self.1.sign(message)
        }
    }
    let p256 = P256Signer::new(1);
    let name = p256.public_key();
    let cases: [(Arc<dyn Signer>, PublicKey); 3] = [
        // A key on P-256 whose signatures are of Ed25519, and the other way round.
        (Arc::new(Confused(p256.raw_key(), signer(1))), name),
        (Arc::new(Confused(RawKey::Ed25519(key(1).0), Arc::new(P256Signer::new(1)))), key(1)),
        // The name of a key on P-256, shown as an Ed25519 key.
        (Arc::new(Confused(RawKey::Ed25519(name.0), Arc::new(P256Signer::new(1)))), name),
    ];
    for (ours, name) in cases {
        let mut a = Setup { signer: ours, ..initiator() }.start();
        let mut b = Setup { policy: PeerPolicy::Exactly(name), ..responder() }.start();
        assert_eq!(run(&mut a, &mut b, usize::MAX), Err(HandshakeError::BadSignature));
        assert!(!b.handshake.is_complete());
    }
    // The right key by another name.
    let other = PublicKey(p256.point()[1..33].try_into().unwrap());
    let mut a = Setup { signer: Arc::new(p256), ..initiator() }.start();
    let mut b = Setup { policy: PeerPolicy::Exactly(other), ..responder() }.start();
    assert_eq!(run(&mut a, &mut b, usize::MAX), Err(HandshakeError::UnexpectedPeer));
}

#[test]
fn what_goes_into_the_secrets() {
    // Another contact key, or another connection: TLS completes, and the secrets differ.
    for other in
        [Setup { contact_key: 8, ..responder() }, Setup { dcid: b"another", ..responder() }]
    {
        let (mut a, mut b) = (initiator().start(), other.start());
        run(&mut a, &mut b, usize::MAX).unwrap();
        assert_disagreed(&mut a, &mut b);
    }
    // Parameters changed on the way, in either direction.
    for i in [1, INITIATOR_PARAMS.len()] {
        let (mut a, mut b) = (initiator().start(), responder().start());
        let mut first = a.flight();
        first[i] ^= 1;
        b.read(&first).unwrap();
        a.read(&b.flight()).unwrap();
        assert_disagreed(&mut a, &mut b);

        let (mut a, mut b) = (initiator().start(), responder().start());
        b.read(&a.flight()).unwrap();
        let mut second = b.flight();
        second[i] ^= 1;
        a.read(&second).unwrap();
        assert_disagreed(&mut a, &mut b);
    }
}

#[test]
fn altered_flights_never_show_another_peer() {
    let lens = run(&mut initiator().start(), &mut responder().start(), usize::MAX)
        .unwrap()
        .map(|flight| flight.len());
    for (n, len) in lens.into_iter().enumerate() {
        for i in 0..len {
            let (mut a, mut b) = (initiator().start(), responder().start());
            for turn in 0..3 {
                let (from, to) = if turn == 1 { (&mut b, &mut a) } else { (&mut a, &mut b) };
                let mut flight = from.flight();
                if let (true, Some(byte)) = (turn == n, flight.get_mut(i)) {
                    *byte ^= 1 << (i % 8);
                }
                let _ = to.read(&flight);
            }
            assert!(a.handshake.peer_key().is_none_or(|peer| peer == key(2)));
            assert!(b.handshake.peer_key().is_none_or(|peer| peer == key(1)));
        }
    }
}

#[test]
fn truncated_flights_wait() {
    let flights = run(&mut initiator().start(), &mut responder().start(), usize::MAX).unwrap();
    for cut in 0..flights[0].len() {
        let mut b = responder().start();
        assert_eq!(b.read(&flights[0][..cut]), Ok(()));
        assert!(b.handshake.take_secrets().is_none());
    }
    for cut in 0..flights[1].len() {
        let mut a = initiator().start();
        assert_eq!(a.read(&flights[1][..cut]), Ok(()));
        assert!(!a.handshake.is_complete() && a.handshake.take_secrets().is_none());
    }
}

#[test]
fn nothing_may_follow_the_last_message() {
    let (mut a, mut b) = (initiator().start(), responder().start());
    run(&mut a, &mut b, usize::MAX).unwrap();
    assert_eq!(a.read(b""), Ok(()));
    assert_eq!(a.read(b"x"), Err(HandshakeError::UnexpectedMessage));

    let (mut a, mut b) = (initiator().start(), responder().start());
    b.read(&a.flight()).unwrap();
    let second = [b.flight(), [23].to_vec()].concat();
    assert_eq!(a.read(&second), Err(HandshakeError::UnexpectedMessage));
    assert!(!a.handshake.is_complete());
}

#[test]
fn garbage_has_an_error() {
    let mut b = responder().start();
    assert_eq!(b.read(&[0, b'G', b'E', b'T', b' ', b'/', b'\r']), Err(HandshakeError::Malformed));
    let mut a = initiator().start();
    assert_eq!(a.read(&[0, 23, 3, 3, 0, 1, 0]), Err(HandshakeError::UnexpectedMessage));
    // A fatal alert.
    let mut a = initiator().start();
    assert_eq!(a.read(&[0, 21, 3, 3, 0, 2, 2, 40]), Err(HandshakeError::PeerAlert(40)));
}

#[test]
fn lengths_are_bounded() {
    let mut b = responder().start();
    // 1025, as a two-byte varint.
    assert_eq!(b.read(&[0x44, 0x01]), Err(HandshakeError::ParamsTooLong));
    let mut b = responder().start();
    assert_eq!(b.read(&[0xff; 8]), Err(HandshakeError::ParamsTooLong));
    let mut b = responder().start();
    assert_eq!(b.read(&[0; MAX_STREAM_LEN + 1]), Err(HandshakeError::TooMuchData));
    // A record that announces 16 KiB and never ends.
    let mut b = responder().start();
    assert_eq!(b.read(&[0, 22, 3, 1, 0x40, 0x00]), Ok(()));
    let mut result = Ok(());
    for _ in 0..MAX_STREAM_LEN / 64 {
        result = result.and_then(|()| b.read(&[0; 64]));
    }
    assert!(result.is_err());
    assert_eq!(b.handshake.incoming.capacity(), 0);

    let start = |params: &[u8], dcid: &[u8]| {
        let (policy, key, mut rng) =
            (PeerPolicy::Anyone, Secret::new([0; 32]), Rng::from_seed([0; 32]));
        let side = Side::Initiator;
        let (role, signer) = (TlsRole::Client, signer(1));
        Handshake::new(ring(), side, role, signer, policy, params, key, dcid, &mut rng).map(drop)
    };
    assert_eq!(start(&[0; MAX_PARAMS_LEN], DCID), Ok(()));
    assert_eq!(start(&[0; MAX_PARAMS_LEN + 1], DCID), Err(HandshakeError::LocalParamsTooLong));
    assert_eq!(start(&[], &[0; 256]), Err(HandshakeError::LocalParamsTooLong));
}

#[test]
fn a_peer_without_alpn_is_refused() {
    let (mut a, mut b) = (initiator().start(), responder().start());
    let mut config =
        client::config(ring(), signer(1), PeerPolicy::Anyone, &a.handshake.taps).unwrap();
    config.alpn_protocols.clear();
    a.handshake.tls = Some(lend(ring(), &mut a.rng, || client::start(config)).unwrap());
    a.handshake.output.clear();
    a.handshake.has_sent_params = false;
    a.handshake.advance(&mut a.rng).unwrap();
    assert_eq!(b.read(&a.flight()), Err(HandshakeError::NoProtocol));
    assert!(b.handshake.take_output().is_none() && b.handshake.take_secrets().is_none());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
        is_initiator: bool,
    ) {
        let mut end = if is_initiator { initiator() } else { responder() }.start();
        for piece in &pieces {
            let _ = end.read(piece);
        }
        prop_assert!(!end.handshake.is_complete());
    }

    #[test]
    fn spliced_flights_never_panic(
        splices in prop::collection::vec(
            (any::<u8>(), 0usize..400, 0usize..8, any::<[u8; 8]>()),
            1..4,
        ),
        len in 1usize..300,
    ) {
        let (mut a, mut b) = (initiator().start(), responder().start());
        for turn in 0..3 {
            let (from, to) = if turn == 1 { (&mut b, &mut a) } else { (&mut a, &mut b) };
            let mut flight = from.flight();
            for (at_turn, at, removed, bytes) in &splices {
                if usize::from(at_turn % 3) == turn {
                    let at = (*at).min(flight.len());
                    let end = (at + removed).min(flight.len());
                    flight.splice(at..end, bytes[..*removed].iter().copied());
                }
            }
            let _ = to.read_pieces(&flight, len);
        }
        prop_assert!(a.handshake.peer_key().is_none_or(|peer| peer == key(2)));
        prop_assert!(b.handshake.peer_key().is_none_or(|peer| peer == key(1)));
    }
}
