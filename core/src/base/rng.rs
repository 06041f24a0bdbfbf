//! The one source of randomness: ChaCha20 keystream from a 32-byte seed, with fast key erasure.
//!
//! Every block's first 32 bytes become the next key, so a later look at memory does not tell
//! earlier output. Same seed, same bytes, on every target with the standard library, and on every
//! one without: those draw in smaller blocks, for there is a generator in each connection.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use zeroize::{Zeroize, ZeroizeOnDrop};

const KEY_LEN: usize = 32;
const BLOCK_LEN: usize = if cfg!(feature = "std") { 256 } else { 64 };

/// A deterministic random bit generator.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Rng {
    key: [u8; KEY_LEN],
    pool: [u8; BLOCK_LEN - KEY_LEN],
    used: usize,
}

impl Rng {
    /// A generator whose output depends on nothing but `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Rng { key: seed, pool: [0; BLOCK_LEN - KEY_LEN], used: BLOCK_LEN - KEY_LEN }
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut filled = 0;
        while filled < out.len() {
            if self.used == self.pool.len() {
                self.refill();
            }
            let n = (out.len() - filled).min(self.pool.len() - self.used);
            let from = &mut self.pool[self.used..self.used + n];
            out[filled..filled + n].copy_from_slice(from);
            from.zeroize();
            self.used += n;
            filled += n;
        }
    }

    /// Random bytes as an array.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A random 64-bit number.
    pub fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A number below `n`; 0 if `n` is 0. The bias of one multiplication, below 2^-32 for small n.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A generator of its own, seeded from this one.
    pub fn fork(&mut self) -> Rng {
        Rng::from_seed(self.array())
    }

    fn refill(&mut self) {
        let mut block = [0; BLOCK_LEN];
        ChaCha20::new(&self.key.into(), &[0; 12].into()).apply_keystream(&mut block);
        self.key.copy_from_slice(&block[..KEY_LEN]);
        self.pool.copy_from_slice(&block[KEY_LEN..]);
        self.used = 0;
        block.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_bytes_whatever_the_pieces() {
        let mut whole = [0; 1000];
        Rng::from_seed([7; 32]).fill(&mut whole);
        let mut rng = Rng::from_seed([7; 32]);
        for chunk in whole.chunks(13) {
            let mut piece = [0; 13];
            rng.fill(&mut piece[..chunk.len()]);
            assert_eq!(&piece[..chunk.len()], chunk);
        }
        assert_ne!(Rng::from_seed([8; 32]).next_u64(), Rng::from_seed([7; 32]).next_u64());
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::from_seed([1; 32]);
        assert!((0..1000).all(|_| rng.below(3) < 3));
        assert_eq!(rng.below(0), 0);
    }
}
