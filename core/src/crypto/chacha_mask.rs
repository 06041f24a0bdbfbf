//! Header protection by ChaCha20 (RFC 9001 §5.4.4), for every provider that has none of its own.

use super::{CryptoFailed, HeaderKey, sized};
use chacha20::ChaChaCore;
use chacha20::cipher::consts::U10;
use chacha20::cipher::{KeyIvInit, StreamCipherCore, StreamCipherSeekCore};
use zeroize::Zeroizing;

/// The key of one direction.
pub(super) struct ChaChaHeaderKey(Zeroizing<[u8; 32]>);

impl ChaChaHeaderKey {
    /// `key` has 32 bytes.
    pub(super) fn new(key: &[u8]) -> Self {
        ChaChaHeaderKey(sized(key))
    }
}

impl HeaderKey for ChaChaHeaderKey {
    fn mask(&self, sample: &[u8; 16]) -> Result<[u8; 5], CryptoFailed> {
        let [c0, c1, c2, c3, nonce @ ..] = *sample;
        let mut core = ChaChaCore::<U10>::new((&*self.0).into(), &nonce.into());
        core.set_block_pos(u32::from_le_bytes([c0, c1, c2, c3]));
        // The core, not the cipher: that one refuses the last counter, which a peer can choose.
        let mut block = Default::default();
        core.write_keystream_block(&mut block);
        Ok([block[0], block[1], block[2], block[3], block[4]])
    }
}
