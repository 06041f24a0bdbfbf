//! A table made of this crate's own parts, that counts, lacks and fails what a test wants.

use super::*;
use crate::crypto::{ring, rustcrypto};
use aes::cipher::{BlockEncrypt, KeyInit};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use std::sync::Mutex;
use std::vec::Vec;

pub(crate) const ENTRIES: [Entry; 8] = [
    Entry::Seal(Suite::Aes128Gcm),
    Entry::Seal(Suite::ChaCha20Poly1305),
    Entry::Open(Suite::Aes128Gcm),
    Entry::Open(Suite::ChaCha20Poly1305),
    Entry::Block(Suite::Aes128Gcm),
    Entry::Block(Suite::ChaCha20Poly1305),
    Entry::Sha256,
    Entry::X25519,
];

#[derive(Default)]
struct Knobs {
    lacks: Vec<Entry>,
    fails: Vec<Entry>,
    calls: Vec<Entry>,
}

#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Knobs>>);

impl Fake {
    pub(crate) fn lacking(lacks: &[Entry]) -> Self {
        Fake(Arc::new(Mutex::new(Knobs { lacks: lacks.to_vec(), ..Knobs::default() })))
    }

    pub(crate) fn fail(&self, entries: &[Entry]) {
        self.0.lock().unwrap().fails = entries.to_vec();
    }

    pub(crate) fn has_called(&self, entry: Entry) -> bool {
        self.0.lock().unwrap().calls.contains(&entry)
    }

    /// Never freed: for a test's short life.
    pub(crate) fn provider(&self) -> &'static dyn Provider {
        Box::leak(Box::new(WithTable::new(Box::new(self.clone()))))
    }

    fn call(&self, entry: Entry) -> Result<(), CryptoFailed> {
        let mut knobs = self.0.lock().unwrap();
        assert!(!knobs.lacks.contains(&entry), "{entry:?} is called, which is not there");
        knobs.calls.push(entry);
        if knobs.fails.contains(&entry) { Err(CryptoFailed) } else { Ok(()) }
    }
}

impl Table for Fake {
    fn has(&self, entry: Entry) -> bool {
        !self.0.lock().unwrap().lacks.contains(&entry)
    }

    fn fast_aes(&self) -> bool {
        rustcrypto().fast_aes()
    }

    fn seal(
        &self,
        suite: Suite,
        key: &[u8],
        nonce: &[u8; 12],
        aad: &[u8],
        buf: &mut [u8],
    ) -> Result<(), CryptoFailed> {
        self.call(Entry::Seal(suite))?;
        rustcrypto().packet_key(suite, key, nonce).seal(0, aad, buf).map_err(|_| CryptoFailed)
    }

    fn open(
        &self,
        suite: Suite,
        key: &[u8],
        nonce: &[u8; 12],
        aad: &[u8],
        buf: &mut [u8],
    ) -> Result<(), AeadError> {
        self.call(Entry::Open(suite))?;
        rustcrypto().packet_key(suite, key, nonce).open(0, aad, buf).map(drop)
    }

    fn aes_block(&self, key: &[u8; 16], block: &[u8; 16]) -> Result<[u8; 16], CryptoFailed> {
        self.call(Entry::Block(Suite::Aes128Gcm))?;
        let mut block = (*block).into();
        aes::Aes128::new(key.into()).encrypt_block(&mut block);
        Ok(block.into())
    }

    fn chacha_block(
        &self,
        key: &[u8; 32],
        counter: u32,
        nonce: &[u8; 12],
    ) -> Result<[u8; 64], CryptoFailed> {
        self.call(Entry::Block(Suite::ChaCha20Poly1305))?;
        let mut block = [0; 64];
        let mut cipher = ChaCha20::new(key.into(), nonce.into());
        cipher.seek(u64::from(counter) * 64);
        // The last counter is one that the crate's cipher does not take.
        if cipher.try_apply_keystream(&mut block).is_err() {
            let key = rustcrypto().header_key(Suite::ChaCha20Poly1305, key);
            let sample = [&counter.to_le_bytes()[..], nonce].concat();
            block[..5].copy_from_slice(&key.mask(&sample.try_into().unwrap()).unwrap());
        }
        Ok(block)
    }

    fn sha256(&self, parts: &[&[u8]]) -> Result<[u8; 32], CryptoFailed> {
        assert!(parts.len() <= MAX_PARTS);
        self.call(Entry::Sha256)?;
        Ok(ring().sha256(parts))
    }

    fn x25519(&self, scalar: &[u8; 32], point: &[u8; 32]) -> Result<[u8; 32], CryptoFailed> {
        self.call(Entry::X25519)?;
        Ok(x25519_dalek::x25519(*scalar, *point))
    }
}

const SUITES: [Suite; 2] = [Suite::Aes128Gcm, Suite::ChaCha20Poly1305];

/// Everything that a provider computes.
fn bytes_of(p: &dyn Provider) -> Vec<u8> {
    let mut out = Vec::new();
    for suite in SUITES {
        let key = [3; 32];
        let key = &key[..suite.key_len()];
        let packet = p.packet_key(suite, key, &[5; 12]);
        let mut buf = [&b"payload"[..], &[0; TAG_LEN]].concat();
        packet.seal(7, b"header", &mut buf).unwrap();
        out.extend_from_slice(&buf);
        assert_eq!(packet.open(7, b"header", &mut buf), Ok(7));
        out.extend(p.header_key(suite, key).mask(&[9; 16]).unwrap());
    }
    let many = [&b"part"[..]; MAX_PARTS + 1];
    out.extend(p.sha256(&many));
    out.extend(p.sha256(&[b"one", b"two"]));
    for key in [&[1; 32][..], &[1; 64], &[1; 65]] {
        out.extend(p.hmac_sha256(key, &[b"one", b"two"]));
        out.extend(p.hmac_sha256(key, &many));
        let tls = p.tls_hmac(key);
        out.extend(tls.sign_concat(b"one", &[b"two", b"three"], b"four").as_ref());
        out.extend(tls.sign_concat(b"", &many, b"").as_ref());
        assert_eq!(tls.tag_len(), 32);
    }
    out.extend(p.x25519(&[5; 32], &[9; 32]).unwrap());
    out.extend(p.x25519_base(&[5; 32]).unwrap());
    out
}

#[test]
fn any_entry_may_be_missing() {
    let all = bytes_of(ring());
    let whole = Fake::default();
    assert_eq!(bytes_of(whole.provider()), all);
    for entry in ENTRIES {
        assert!(whole.has_called(entry), "{entry:?}");
        let lacking = Fake::lacking(&[entry]);
        assert_eq!(bytes_of(lacking.provider()), all, "without {entry:?}");
        let others: Vec<Entry> = ENTRIES.into_iter().filter(|other| *other != entry).collect();
        let alone = Fake::lacking(&others);
        assert_eq!(bytes_of(alone.provider()), all, "{entry:?} alone");
        assert!(alone.has_called(entry));
    }
    assert_eq!(bytes_of(Fake::lacking(&ENTRIES).provider()), all, "with nothing");
}

#[test]
fn a_failure_is_told_once_and_makes_no_wrong_bytes() {
    for entry in ENTRIES {
        let fake = Fake::default();
        let p = fake.provider();
        assert!(!p.take_failure());
        fake.fail(&[entry]);
        let suite = match entry {
            Entry::Seal(suite) | Entry::Open(suite) | Entry::Block(suite) => suite,
            Entry::Sha256 | Entry::X25519 => Suite::Aes128Gcm,
        };
        let key = p.packet_key(suite, &[3; 32][..suite.key_len()], &[5; 12]);
        let header = p.header_key(suite, &[3; 32][..suite.key_len()]);
        let mut buf = [&b"payload"[..], &[0; TAG_LEN]].concat();
        let failed = Err(AeadError::Failed(CryptoFailed));
        assert_eq!(key.seal(7, b"", &mut buf).is_err(), matches!(entry, Entry::Seal(_)));
        let is_open = matches!(entry, Entry::Open(_));
        assert_eq!(key.open(7, b"", &mut buf.clone()) == failed, is_open);
        assert_eq!(header.mask(&[9; 16]).is_err(), matches!(entry, Entry::Block(_)));
        assert_eq!(p.x25519_base(&[5; 32]).is_err(), entry == Entry::X25519);
        assert_eq!(p.x25519(&[5; 32], &[9; 32]).is_err(), entry == Entry::X25519);
        assert_eq!(p.sha256(&[b"x"]), ring().sha256(&[b"x"]));
        assert_eq!(p.hmac_sha256(b"k", &[b"x"]), ring().hmac_sha256(b"k", &[b"x"]));
        assert!(p.take_failure() && !p.take_failure(), "{entry:?}");
        fake.fail(&[]);
        assert_eq!(bytes_of(p), bytes_of(ring()));
        assert!(!p.take_failure());
    }
}

#[test]
fn a_forged_packet_is_no_failure() {
    let fake = Fake::default();
    let p = fake.provider();
    let key = p.packet_key(Suite::Aes128Gcm, &[3; 16], &[5; 12]);
    assert_eq!(key.open(7, b"", &mut [0; 30]), Err(AeadError::Unauthentic));
    assert_eq!(key.open(7, b"", &mut [0; 15]), Err(AeadError::Unauthentic));
    assert_eq!(key.seal(7, b"", &mut [0; 15]), Err(AeadError::Unauthentic));
    assert!(!p.take_failure());
}
