//! Words between instances, sealed: nonce (16) ‖ sender (8) ‖ ciphertext of time (8) ‖ word.
//!
//! The key of each follows from what all instances share and the nonce, so no key seals twice. Who
//! sends it, and to whom, is authenticated with it.

use std::collections::HashMap;

use rit_core::broker::InstanceId;
use rit_core::crypto::{Provider, Secret, Suite, TAG_LEN, default_provider};
use zeroize::Zeroizing;

const NONCE_LEN: usize = 16;
/// How old a word may be, whichever of two clocks is wrong.
const AGE_MAX_S: u64 = 60;

pub(super) struct Seal {
    key: Zeroizing<[u8; 32]>,
}

/// Nonces of words that were taken lately.
#[derive(Default)]
pub(super) struct Once {
    taken: HashMap<[u8; NONCE_LEN], u64>,
    cleaned_unix_s: u64,
}

impl Once {
    /// Whether this is the first time.
    fn take(&mut self, nonce: [u8; NONCE_LEN], now_unix_s: u64) -> bool {
        if now_unix_s.saturating_sub(self.cleaned_unix_s) > AGE_MAX_S {
            self.cleaned_unix_s = now_unix_s;
            self.taken.retain(|_, at| now_unix_s.saturating_sub(*at) <= 2 * AGE_MAX_S);
        }
        self.taken.insert(nonce, now_unix_s).is_none()
    }
}

impl Seal {
    /// `secret` is what instances share.
    pub(super) fn new(secret: &Secret) -> Self {
        let key = provider().hmac_sha256(secret.as_bytes(), &[b"rit/1 instances"]);
        Seal { key: Zeroizing::new(key) }
    }

    pub(super) fn close(
        &self,
        from: InstanceId,
        to: InstanceId,
        word: &[u8],
        now_unix_s: u64,
    ) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut out = Vec::with_capacity(NONCE_LEN + 16 + word.len() + TAG_LEN);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&from.0.to_be_bytes());
        let start = out.len();
        out.extend_from_slice(&now_unix_s.to_be_bytes());
        out.extend_from_slice(word);
        out.resize(out.len() + TAG_LEN, 0);
        self.packet_key(&nonce).seal(0, &aad(from, to), &mut out[start..]).ok()?;
        Some(out)
    }

    /// Who sent it, and what. `None`: it is not authentic, too old, or was here before.
    pub(super) fn open(
        &self,
        to: InstanceId,
        bytes: &[u8],
        now_unix_s: u64,
        once: &mut Once,
    ) -> Option<(InstanceId, Zeroizing<Vec<u8>>)> {
        let (nonce, rest) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let (from, rest) = rest.split_first_chunk()?;
        let from = InstanceId(u64::from_be_bytes(*from));
        let mut plain = Zeroizing::new(rest.to_vec());
        let len = self.packet_key(nonce).open(0, &aad(from, to), &mut plain).ok()?;
        let (sent, word) = plain.get(..len)?.split_first_chunk()?;
        let age = u64::from_be_bytes(*sent).abs_diff(now_unix_s);
        let is_good = age <= AGE_MAX_S && once.take(*nonce, now_unix_s);
        is_good.then(|| (from, Zeroizing::new(word.to_vec())))
    }

    fn packet_key(&self, nonce: &[u8; NONCE_LEN]) -> Box<dyn rit_core::crypto::PacketKey> {
        let key = Zeroizing::new(provider().hmac_sha256(&*self.key, &[nonce]));
        provider().packet_key(Suite::ChaCha20Poly1305, &*key, &[0; 12])
    }
}

fn aad(from: InstanceId, to: InstanceId) -> [u8; 16] {
    let mut aad = [0; 16];
    let (first, second) = aad.split_at_mut(8);
    first.copy_from_slice(&from.0.to_be_bytes());
    second.copy_from_slice(&to.0.to_be_bytes());
    aad
}

fn provider() -> &'static dyn Provider {
    default_provider()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    #[test]
    fn a_word_is_opened_once_and_by_whom_it_is_for() {
        let [a, b] = [1, 2].map(InstanceId);
        let seal = Seal::new(&Secret::new([1; 32]));
        let closed = seal.close(a, b, b"word", NOW).unwrap();
        let mut once = Once::default();
        let other = Seal::new(&Secret::new([2; 32]));
        assert!(other.open(b, &closed, NOW, &mut once).is_none());
        assert!(seal.open(a, &closed, NOW, &mut once).is_none());
        assert!(seal.open(b, &closed, NOW + AGE_MAX_S + 1, &mut once).is_none());
        assert!(seal.open(b, &closed, NOW - AGE_MAX_S - 1, &mut once).is_none());
        for at in 0..closed.len() {
            let mut flipped = closed.clone();
            flipped[at] ^= 1;
            assert!(seal.open(b, &flipped, NOW, &mut once).is_none(), "{at}");
            assert!(seal.open(b, &closed[..at], NOW, &mut once).is_none(), "{at}");
        }
        let (from, word) = seal.open(b, &closed, NOW + AGE_MAX_S, &mut once).unwrap();
        assert_eq!((from, &word[..]), (a, &b"word"[..]));
        assert!(seal.open(b, &closed, NOW, &mut once).is_none(), "again");
    }
}
