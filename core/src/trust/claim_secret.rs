//! The secret that a device is made with and that whoever holds the device can read: 15 bytes, in
//! text 25 characters.
//!
//! Crockford's base32, five groups of five with hyphens, the last character a check: over GF(32),
//! by x⁵ + x² + 1, the 24 characters before it are the coefficients of a polynomial whose value at
//! x, times x, it is. So any one wrong character is found, and any two that changed places.

use alloc::string::String;

use crate::base::{PublicKey, Rng};
use crate::crypto::{Provider, Secret, extract};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a claim secret.
pub const CLAIM_SECRET_LEN: usize = 15;
/// Characters of its text, hyphens included.
pub const CLAIM_SECRET_TEXT_LEN: usize = SYMBOLS + SYMBOLS / GROUP - 1;

pub(super) const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const DATA_SYMBOLS: usize = CLAIM_SECRET_LEN * 8 / 5;
const SYMBOLS: usize = DATA_SYMBOLS + 1;
const GROUP: usize = 5;

/// Why a text is no claim secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClaimTextError {
    /// Characters are missing, or there are too many.
    #[error("a claim secret has 25 characters, without hyphens and spaces")]
    Length,
    /// A character that none has.
    #[error("a claim secret has a character that does not belong there")]
    Character,
    /// The check character does not fit: a typing error.
    #[error("the claim secret is mistyped: its last character does not fit the others")]
    Check,
}

/// A claim secret. Zeroized on drop, never printed by itself.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ClaimSecret([u8; CLAIM_SECRET_LEN]);

impl ClaimSecret {
    /// A new one.
    pub fn generate(rng: &mut Rng) -> Self {
        ClaimSecret(rng.array())
    }

    /// The one of these bytes.
    pub fn new(bytes: [u8; CLAIM_SECRET_LEN]) -> Self {
        ClaimSecret(bytes)
    }

    /// That of a device by a maker's secret, so that a factory need not keep one for each:
    /// `HMAC(maker's, "rit/1 claim secret" ‖ device)`, its first bytes.
    pub fn derive(p: &dyn Provider, maker: &Secret, device: &PublicKey) -> Self {
        let hash = p.hmac_sha256(maker.as_bytes(), &[b"rit/1 claim secret", &device.0]);
        let hash = Zeroizing::new(hash);
        ClaimSecret(core::array::from_fn(|i| hash[i]))
    }

    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8; CLAIM_SECRET_LEN] {
        &self.0
    }

    /// What proofs are made with.
    pub(super) fn key(&self, p: &dyn Provider) -> Secret {
        extract(p, b"rit/1 claim", &self.0)
    }

    /// The text to print.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(CLAIM_SECRET_TEXT_LEN));
        let mut check = 0;
        for i in 0..SYMBOLS {
            if i > 0 && i % GROUP == 0 {
                text.push('-');
            }
            let symbol = if i < DATA_SYMBOLS { self.symbol(i) } else { check };
            check = times_x(check ^ symbol);
            text.push(char::from(ALPHABET[usize::from(symbol & 31)]));
        }
        text
    }

    /// The secret of a text as people type it: case, hyphens and spaces do not matter, and neither
    /// does O for 0, and I or L for 1.
    pub fn from_text(text: &str) -> Result<Self, ClaimTextError> {
        let mut secret = ClaimSecret([0; CLAIM_SECRET_LEN]);
        let (mut check, mut count) = (0, 0);
        for byte in text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')) {
            let symbol = symbol_of(byte).ok_or(ClaimTextError::Character)?;
            match count {
                0..DATA_SYMBOLS => {
                    secret.put(count, symbol);
                    check = times_x(check ^ symbol);
                }
                DATA_SYMBOLS => check ^= symbol,
                _ => return Err(ClaimTextError::Length),
            }
            count += 1;
        }
        match (count, check) {
            (SYMBOLS, 0) => Ok(secret),
            (SYMBOLS, _) => Err(ClaimTextError::Check),
            _ => Err(ClaimTextError::Length),
        }
    }

    /// The five bits of character `i`.
    fn symbol(&self, i: usize) -> u8 {
        (0..5).fold(0, |symbol, bit| {
            symbol << 1 | (self.0[(5 * i + bit) / 8] >> (7 - (5 * i + bit) % 8) & 1)
        })
    }

    fn put(&mut self, i: usize, symbol: u8) {
        for bit in 0..5 {
            let at = 5 * i + bit;
            self.0[at / 8] |= (symbol >> (4 - bit) & 1) << (7 - at % 8);
        }
    }
}

/// In GF(32), by x⁵ + x² + 1.
pub(super) fn times_x(symbol: u8) -> u8 {
    let twice = symbol << 1;
    if twice & 32 == 0 { twice } else { twice ^ 0b10_0101 }
}

pub(super) fn symbol_of(byte: u8) -> Option<u8> {
    let byte = match byte.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        byte => byte,
    };
    ALPHABET.iter().position(|symbol| *symbol == byte).map(|at| at as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const TEXT: &str = "000G4-0R40M-30E20-9185G-R38ED";

    fn secret() -> ClaimSecret {
        ClaimSecret::new(core::array::from_fn(|i| i as u8))
    }

    fn read(text: &str) -> Result<[u8; CLAIM_SECRET_LEN], ClaimTextError> {
        ClaimSecret::from_text(text).map(|secret| *secret.as_bytes())
    }

    #[test]
    fn text_and_back() {
        let text = secret().to_text();
        assert_eq!((text.as_str(), text.len()), (TEXT, CLAIM_SECRET_TEXT_LEN));
        assert_eq!(read(&text), Ok(*secret().as_bytes()));
        let typed = text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        assert_eq!(read(&typed), Ok(*secret().as_bytes()));
        assert_eq!(read(&text[..28]), Err(ClaimTextError::Length));
        assert_eq!(read(&std::format!("{}0", *text)), Err(ClaimTextError::Length));
        assert_eq!(read(&text.replace('G', "U")), Err(ClaimTextError::Character));
        assert_eq!(read(""), Err(ClaimTextError::Length));
    }

    proptest! {
        #[test]
        fn one_wrong_character_and_any_swap_are_found(bytes: [u8; CLAIM_SECRET_LEN]) {
            let text = ClaimSecret::new(bytes).to_text().replace('-', "").into_bytes();
            prop_assert_eq!(read(core::str::from_utf8(&text).unwrap()), Ok(bytes));
            let is_found = |text: Vec<u8>| {
                read(core::str::from_utf8(&text).unwrap()) == Err(ClaimTextError::Check)
            };
            for at in 0..SYMBOLS {
                for symbol in ALPHABET.iter().filter(|symbol| **symbol != text[at]) {
                    let mut wrong = text.clone();
                    wrong[at] = *symbol;
                    prop_assert!(is_found(wrong));
                }
                for other in (0..at).filter(|other| text[*other] != text[at]) {
                    let mut swapped = text.clone();
                    swapped.swap(at, other);
                    prop_assert!(is_found(swapped));
                }
            }
        }
    }
}
