//! `rit secret`: claim secrets for the maker of devices, in text and as QR codes.
//!
//! A QR code says `RIT:CLAIM:KEY:SECRET`, or without the key `RIT:CLAIM:SECRET`, in capitals and
//! digits, which make the smallest codes. Secrets are printed because that is what is asked for.

use std::io::Write;

use qrcode::render::unicode;
use qrcode::{EcLevel, QrCode};
use rit_core::base::PublicKey;
use rit_core::crypto::{Secret as Key, default_provider};
use rit_core::trust::ClaimSecret;
use rit_core::wire::text::{key_from_text, key_to_text};
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::Secret;
use crate::error::{self, Error, other};
use crate::prompt;
use crate::state::rng;

const HEAD: &str = "RIT:CLAIM:";

/// `rit secret …`.
pub(crate) fn run(command: &Secret, json: bool) -> Result<(), Error> {
    let (secret, device, picture) = match command {
        Secret::New { picture, device } => {
            let device = device.as_deref().map(key).transpose()?;
            (ClaimSecret::generate(&mut rng()?), device, picture)
        }
        Secret::Derive { maker, device, picture } => {
            let stored = std::fs::read(maker).map(Zeroizing::new);
            let stored = stored.map_err(|error| error::io("read", maker, &error))?;
            let bytes: [u8; 32] = stored[..].try_into().map_err(|_length| {
                Error::usage(format!("{} has not 32 bytes", maker.display()))
                    .advice("head -c 32 /dev/urandom > FILE makes a maker's secret.")
            })?;
            let device = key(device)?;
            let secret = ClaimSecret::derive(default_provider(), &Key::new(bytes), &device);
            (secret, Some(device), picture)
        }
        Secret::Show { secret, picture, device } => {
            let (secret, named) = parse(&given(secret)?)?;
            (secret, device.as_deref().map(key).transpose()?.or(named), picture)
        }
    };
    let text = secret.to_text();
    if json {
        let device = device.map(|device| key_to_text(&device));
        println!(
            "{}",
            json!({ "secret": *text, "device": device, "qr": *code(&text, device.as_deref()) })
        );
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", *text).map_err(other)?;
    if picture.qr {
        let device = device.map(|device| key_to_text(&device));
        write!(out, "{}", self::picture(&code(&text, device.as_deref()))?).map_err(other)?;
    }
    Ok(())
}

fn key(text: &str) -> Result<PublicKey, Error> {
    key_from_text(text).map_err(|error| Error::usage(format!("'{text}': {error}")))
}

/// What stands in a QR code.
fn code(secret: &str, device: Option<&str>) -> Zeroizing<String> {
    let device = device.map_or_else(String::new, |device| format!("{}:", device.to_uppercase()));
    Zeroizing::new(format!("{HEAD}{device}{secret}"))
}

/// The argument, or standard input for "-".
pub(crate) fn given(argument: &str) -> Result<Zeroizing<String>, Error> {
    if argument == "-" {
        prompt::secret("Secret:")
    } else {
        Ok(Zeroizing::new(argument.to_owned()))
    }
}

/// A secret as it is printed, or what a QR code said, with the device if that names one.
pub(crate) fn parse(text: &str) -> Result<(ClaimSecret, Option<PublicKey>), Error> {
    let text = Zeroizing::new(text.trim().to_uppercase());
    let secret = |text: &str| {
        ClaimSecret::from_text(text).map_err(|error| {
            Error::usage(error.to_string()).advice("Look again: it is printed on the device.")
        })
    };
    let Some(rest) = text.strip_prefix(HEAD) else { return Ok((secret(&text)?, None)) };
    match rest.split_once(':') {
        Some((device, rest)) => Ok((secret(rest)?, Some(key(&device.to_lowercase())?))),
        None => Ok((secret(rest)?, None)),
    }
}

/// A QR code in the terminal's characters, two modules in one.
pub(crate) fn picture(text: &str) -> Result<String, Error> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(other)?;
    // Light on dark: most terminals are dark, and readers take both.
    let mut drawn = code.render::<unicode::Dense1x2>();
    drawn.dark_color(unicode::Dense1x2::Light).light_color(unicode::Dense1x2::Dark);
    Ok(drawn.build() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_qr_code_says_is_read_again() {
        let secret = ClaimSecret::new(*b"fifteen bytes !");
        let device = PublicKey([5; 32]);
        let text = secret.to_text();
        let code = code(&text, Some(&key_to_text(&device)));
        let (read, named) = parse(&code).unwrap();
        assert_eq!((read.as_bytes(), named), (secret.as_bytes(), Some(device)));
        let (read, named) = parse(&format!(" {} ", text.to_lowercase())).unwrap();
        assert_eq!((read.as_bytes(), named), (secret.as_bytes(), None));
        let (read, named) = parse(&self::code(&text, None)).unwrap();
        assert_eq!((read.as_bytes(), named), (secret.as_bytes(), None));
        assert!(parse("RIT:CLAIM:X:Y").is_err() && parse("").is_err());
        // Alphanumeric: 52 + 29 + 11 characters fit version 5.
        let lines = picture(&code).unwrap().lines().count();
        assert!(lines <= 24, "{lines} lines");
    }
}
