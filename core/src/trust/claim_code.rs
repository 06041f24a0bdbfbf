//! The code that a device without owner shows for a while, so that whoever sees it can claim it.
//!
//! Twelve characters of Crockford's base32 and a check character, as in a claim secret, in groups
//! of four: 60 bits. The claim secret that it stands for is the beginning of
//! `SHA-256("rit/1 claim code" ‖ the twelve characters in upper case)`. A device lets it be tried
//! ten times and for minutes, so it need not be longer.

use alloc::string::String;

use super::claim_secret::{
    ALPHABET, CLAIM_SECRET_LEN, ClaimSecret, ClaimTextError, symbol_of, times_x,
};
use crate::base::Rng;
use crate::crypto::Provider;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// Characters of a code's text, hyphens included.
pub const CLAIM_CODE_TEXT_LEN: usize = DATA_SYMBOLS + 1 + DATA_SYMBOLS / GROUP;

const DATA_SYMBOLS: usize = 12;
const GROUP: usize = 4;

/// A claim code. Zeroized on drop, never printed by itself.
#[derive(Clone, ZeroizeOnDrop)]
pub struct ClaimCode([u8; DATA_SYMBOLS]);

impl ClaimCode {
    /// A new one.
    pub fn generate(rng: &mut Rng) -> Self {
        let bytes = Zeroizing::new(rng.array::<DATA_SYMBOLS>());
        ClaimCode(bytes.map(|byte| ALPHABET[usize::from(byte & 31)]))
    }

    /// What proofs are made with.
    pub fn secret(&self, p: &dyn Provider) -> ClaimSecret {
        let hash = Zeroizing::new(p.sha256(&[b"rit/1 claim code", &self.0]));
        ClaimSecret::new(core::array::from_fn::<_, CLAIM_SECRET_LEN, _>(|i| hash[i]))
    }

    /// The text to show.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(CLAIM_CODE_TEXT_LEN));
        for (i, byte) in self.0.iter().enumerate() {
            if i > 0 && i % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(*byte));
        }
        text.push('-');
        text.push(char::from(ALPHABET[usize::from(self.check() & 31)]));
        text
    }

    /// The code of a text as people type it.
    pub fn from_text(text: &str) -> Result<Self, ClaimTextError> {
        let mut code = ClaimCode([b'0'; DATA_SYMBOLS]);
        let (mut count, mut check) = (0, 0);
        for byte in text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')) {
            let symbol = symbol_of(byte).ok_or(ClaimTextError::Character)?;
            match code.0.get_mut(count) {
                Some(place) => *place = ALPHABET[usize::from(symbol & 31)],
                None if count == DATA_SYMBOLS => check = symbol,
                None => return Err(ClaimTextError::Length),
            }
            count += 1;
        }
        match count {
            _ if count <= DATA_SYMBOLS => Err(ClaimTextError::Length),
            _ if check != code.check() => Err(ClaimTextError::Check),
            _ => Ok(code),
        }
    }

    fn check(&self) -> u8 {
        let symbols = self.0.iter().filter_map(|byte| symbol_of(*byte));
        symbols.fold(0, |check, symbol| times_x(check ^ symbol))
    }
}

#[cfg(all(test, any(feature = "ring", feature = "rustcrypto")))]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::crypto::default_provider;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn read(text: &str) -> Result<[u8; DATA_SYMBOLS], ClaimTextError> {
        ClaimCode::from_text(text).map(|code| code.0)
    }

    #[test]
    fn text_and_back() {
        let code = ClaimCode(*b"0123456789AB");
        let text = code.to_text();
        assert_eq!((&text[..14], text.len()), ("0123-4567-89AB", CLAIM_CODE_TEXT_LEN));
        assert_eq!(read(&text), Ok(code.0));
        let typed = text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        assert_eq!(read(&typed), Ok(code.0));
        assert_eq!(read(&text[..15]), Err(ClaimTextError::Length));
        assert_eq!(read(&std::format!("{}0", *text)), Err(ClaimTextError::Length));
        assert_eq!(read(&text.replace('A', "U")), Err(ClaimTextError::Character));
        assert_eq!(read(&text.replace('A', "B")), Err(ClaimTextError::Check));
    }

    #[test]
    fn the_secret_is_that_of_the_characters() {
        let p = default_provider();
        let hash = p.sha256(&[b"rit/1 claim code0123456789AB"]);
        let code = ClaimCode(*b"0123456789AB");
        assert_eq!(code.secret(p).as_bytes()[..], hash[..CLAIM_SECRET_LEN]);
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_found(
            seed: [u8; 32],
            at in 0..DATA_SYMBOLS + 1,
            symbol in 0..32usize,
        ) {
            let code = ClaimCode::generate(&mut Rng::from_seed(seed));
            let mut text: Vec<u8> = code.to_text().replace('-', "").into_bytes();
            let was = core::mem::replace(&mut text[at], ALPHABET[symbol]);
            let text = core::str::from_utf8(&text).unwrap();
            if was == ALPHABET[symbol] {
                prop_assert_eq!(read(text), Ok(code.0));
            } else {
                prop_assert_eq!(read(text), Err(ClaimTextError::Check));
            }
        }
    }
}
