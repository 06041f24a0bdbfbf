//! Text forms people copy: a key as base32 (RFC 4648 §6) and a broker's `rit://KEY@HOST:PORT`.
//!
//! Owns parsing and printing. Does not resolve hosts. Each key has exactly one text: lower case,
//! no padding, unused bits zero; so texts may be compared instead of keys.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

use data_encoding::BASE32_NOPAD;
use thiserror::Error;

use crate::base::PublicKey;

/// Length of a key's text.
pub const KEY_TEXT_LEN: usize = 52;

/// The UDP port of a broker whose address names none.
pub const DEFAULT_PORT: u16 = 7480;

/// The longest host name of the DNS (RFC 1035 §2.3.4), without the final dot.
pub const HOST_LEN_MAX: usize = 253;

const SCHEME: &str = "rit://";

/// Why a text is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TextError {
    /// It does not begin with `rit://`.
    #[error("the address does not begin with rit://")]
    Scheme,
    /// The key is missing, or not 52 characters of `a-z2-7`.
    #[error("the key is not {KEY_TEXT_LEN} characters of a-z and 2-7")]
    Key,
    /// The host is missing, too long, or has characters no host name has.
    #[error("the host is neither a name, nor an IPv4 address, nor an IPv6 address in brackets")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

/// Where a broker is and which key it must prove to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// The broker's key.
    pub key: PublicKey,
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

/// The text of a key.
pub fn key_to_text(key: &PublicKey) -> String {
    let mut text = BASE32_NOPAD.encode(&key.0);
    text.make_ascii_lowercase();
    text
}

/// The key of a text made by [`key_to_text`].
pub fn key_from_text(text: &str) -> Result<PublicKey, TextError> {
    if text.len() != KEY_TEXT_LEN || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(TextError::Key);
    }
    let bytes = BASE32_NOPAD
        .decode(text.to_ascii_uppercase().as_bytes())
        .map_err(|_not_base32| TextError::Key)?;
    bytes.try_into().map(PublicKey).map_err(|_wrong_length| TextError::Key)
}

impl FromStr for Uri {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let (scheme, rest) = text.split_at_checked(SCHEME.len()).ok_or(TextError::Scheme)?;
        // Schemes are case-insensitive (RFC 3986 §3.1).
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(TextError::Scheme);
        }
        let (key, authority) = rest.split_once('@').ok_or(TextError::Key)?;
        let key = key_from_text(key)?;
        let (host, port) = split_port(authority)?;
        Ok(Uri { key, host: host.to_owned(), port: port.map_or(Ok(DEFAULT_PORT), parse_port)? })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = key_to_text(&self.key);
        if self.host.contains(':') {
            write!(f, "{SCHEME}{key}@[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{SCHEME}{key}@{}:{}", self.host, self.port)
        }
    }
}

/// Splits `host[:port]`; the host comes without brackets.
pub fn split_port(authority: &str) -> Result<(&str, Option<&str>), TextError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').ok_or(TextError::Host)?;
        Ipv6Addr::from_str(host).map_err(|_not_ipv6| TextError::Host)?;
        return match tail.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if tail.is_empty() => Ok((host, None)),
            None => Err(TextError::Port),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_host_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || host.len() > HOST_LEN_MAX || !host.bytes().all(is_host_byte) {
        return Err(TextError::Host);
    }
    Ok((host, port))
}

fn parse_port(text: &str) -> Result<u16, TextError> {
    // `u16::from_str` takes a sign; an address does not.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TextError::Port);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(TextError::Port),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "aebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4qa";

    fn key() -> PublicKey {
        let mut bytes = [0; 32];
        (0..32u8).for_each(|i| bytes[usize::from(i)] = i + 1);
        PublicKey(bytes)
    }

    #[test]
    fn one_text_for_a_key() {
        assert_eq!(key_to_text(&key()), KEY);
        assert_eq!(key_from_text(KEY), Ok(key()));
        let unused_bits_set = format!("{}b", &KEY[..51]);
        let bad = [&KEY[..51], &KEY.to_uppercase(), &unused_bits_set, &KEY.replace('b', "1"), ""];
        for text in bad {
            assert_eq!(key_from_text(text), Err(TextError::Key), "{text}");
        }
    }

    #[test]
    fn addresses_that_parse() {
        for (authority, host, port) in [
            ("broker.example.org:1234", "broker.example.org", 1234),
            ("broker", "broker", DEFAULT_PORT),
            ("192.0.2.7:65535", "192.0.2.7", 65535),
            ("[2001:db8::1]", "2001:db8::1", DEFAULT_PORT),
            ("[::1]:1", "::1", 1),
        ] {
            let uri: Uri = format!("rit://{KEY}@{authority}").parse().unwrap();
            assert_eq!((uri.key, uri.host.as_str(), uri.port), (key(), host, port));
            assert_eq!(uri.to_string().parse::<Uri>().unwrap(), uri);
        }
        assert!(format!("RIT://{KEY}@h").parse::<Uri>().is_ok());
    }

    #[test]
    fn addresses_that_do_not() {
        let long = "a".repeat(HOST_LEN_MAX + 1);
        for (authority, error) in [
            ("", TextError::Host),
            (":7480", TextError::Host),
            ("ho st", TextError::Host),
            ("h/", TextError::Host),
            ("a@b", TextError::Host),
            ("[::1", TextError::Host),
            ("[1.2.3.4]", TextError::Host),
            (&long, TextError::Host),
            ("h:", TextError::Port),
            ("h:0", TextError::Port),
            ("h:65536", TextError::Port),
            ("h:+1", TextError::Port),
            ("::1", TextError::Host),
            ("h:1:2", TextError::Port),
            ("[::1]7480", TextError::Port),
        ] {
            let text = format!("rit://{KEY}@{authority}");
            assert_eq!(text.parse::<Uri>(), Err(error), "{text}");
        }
        assert_eq!("rit://".parse::<Uri>(), Err(TextError::Key));
        assert_eq!(format!("http://{KEY}@h").parse::<Uri>(), Err(TextError::Scheme));
        assert_eq!("".parse::<Uri>(), Err(TextError::Scheme));
        assert!(format!("rit://{KEY}@{}", &long[1..]).parse::<Uri>().is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer(text in "\\PC*") {
            let _ = text.parse::<Uri>();
            let _ = key_from_text(&text);
            let _ = format!("rit://{KEY}@{text}").parse::<Uri>();
        }

        #[test]
        fn every_key_survives(bytes: [u8; 32]) {
            prop_assert_eq!(key_from_text(&key_to_text(&PublicKey(bytes))), Ok(PublicKey(bytes)));
        }
    }
}
