//! One-time codes of RFC 6238: six digits, 30 seconds, HMAC-SHA-1, as every authenticator does.
//!
//! Owns the arithmetic. That no code is taken twice is the store's part: it keeps the step of the
//! last one taken, and takes only later ones.

use data_encoding::BASE32_NOPAD;
use ring::hmac;
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

/// RFC 4226 §4 asks for 128 bits and advises 160.
pub(crate) const SECRET_LEN: usize = 20;
const STEP_S: u64 = 30;
const DIGITS: u32 = 6;

/// The step of a right code, for the store to compare; each of the last, this and the next step is
/// tried, whichever fits.
pub(crate) fn check(secret: &[u8], code: &str, now_unix_s: u64) -> Option<u64> {
    let now = now_unix_s / STEP_S;
    let mut found = 0;
    for step in [now.saturating_sub(1), now, now + 1] {
        let is_it = self::code(secret, step).as_bytes().ct_eq(code.as_bytes());
        found = u64::conditional_select(&found, &step, is_it);
    }
    Some(found).filter(|step| *step > 0)
}

/// The code of a step.
pub(crate) fn code(secret: &[u8], step: u64) -> Zeroizing<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    // RFC 4226 §5.3: the last nibble says where to read 31 bits.
    let at = usize::from(tag.last().copied().unwrap_or(0) & 0xf);
    let word = tag.get(at..at + 4).and_then(|word| word.try_into().ok()).unwrap_or([0; 4]);
    let number = (u32::from_be_bytes(word) & 0x7fff_ffff) % 10_u32.pow(DIGITS);
    Zeroizing::new(format!("{number:06}"))
}

/// The secret as people type it into an authenticator.
pub(crate) fn secret_text(secret: &[u8; SECRET_LEN]) -> Zeroizing<String> {
    Zeroizing::new(BASE32_NOPAD.encode(secret))
}

/// What an authenticator reads as a QR code.
pub(crate) fn uri(secret: &[u8; SECRET_LEN], user: &str, host: &str) -> Zeroizing<String> {
    let text = secret_text(secret);
    let (user, host) = (escape(user), escape(host));
    Zeroizing::new(format!("otpauth://totp/{host}:{user}?secret={}&issuer={host}", *text))
}

/// Percent-encodes what is not unreserved (RFC 3986 §2.3).
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, the last six digits.
    #[test]
    fn the_rfcs_codes() {
        let secret = b"12345678901234567890";
        for (at, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(*code(secret, at / STEP_S), expected);
            assert_eq!(check(secret, expected, at), Some(at / STEP_S));
        }
    }

    #[test]
    fn a_code_is_good_one_step_around() {
        let (secret, now) = (b"12345678901234567890", 1_234_567_890);
        let code = code(secret, now / STEP_S);
        let good = |at| check(secret, &code, at).is_some();
        assert!(good(now - STEP_S) && good(now + STEP_S));
        assert!(!good(now - 2 * STEP_S) && !good(now + 2 * STEP_S));
        for wrong in ["", "0", "005925", "0059240", " 05924"] {
            assert_eq!(check(secret, wrong, now), None, "{wrong}");
        }
    }

    #[test]
    fn names_are_escaped() {
        let uri = uri(&[0; SECRET_LEN], "a b&c", "h:1");
        assert!(uri.starts_with("otpauth://totp/h%3A1:a%20b%26c?secret=AAAA"), "{}", *uri);
    }
}
