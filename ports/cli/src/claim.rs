//! `rit claim`: becoming a device's owner, by the secret that it was made with or the code that it
//! shows.
//!
//! Owns the conversation of PROTOCOL.md, section 11.2, through the server, which need not be
//! trusted: the device proves by the secret that it is the one. Does not own the proofs.

use rit_core::base::PublicKey;
use rit_core::crypto::default_provider;
use rit_core::trust::{
    CLAIM_NONCE_LEN, ClaimCode, ClaimSecret, ClaimTextError, NoteError, sign_claim, verify_claimed,
};
use rit_core::wire::message::{NOTE_CLAIM, NOTE_CLAIM_ASK, NOTE_CLAIM_NONCE, NOTE_CLAIMED};
use rit_core::wire::text::{key_from_text, key_to_text};
use serde_json::{Value, json};

use crate::App;
use crate::api::entries;
use crate::args;
use crate::error::{Error, Exit, other};
use crate::{names, owned, prompt, secret, text};

/// `rit claim`.
pub(crate) fn claim(app: &App, args: &args::Claim) -> Result<(), Error> {
    if args.nearby {
        return nearby(app);
    }
    let given = secret::given(args.secret.as_deref().unwrap_or("-"))?;
    let (secret, named) = read(&given)?;
    let device = match (&args.device, named) {
        (Some(name), named) => {
            let device = names::device(app, name)?;
            if named.is_some_and(|named| named != device) {
                return Err(Error::usage("the QR code is of another device"));
            }
            device
        }
        (None, Some(device)) => device,
        (None, None) => {
            return Err(Error::usage("which device?").advice("rit claim SECRET DEVICE"));
        }
    };
    take(app, &device, &secret)
}

/// A printed secret, a QR code's text, or the code that a device shows, which is shorter.
fn read(text: &str) -> Result<(ClaimSecret, Option<PublicKey>), Error> {
    match ClaimCode::from_text(text.trim()) {
        Ok(code) => Ok((code.secret(default_provider()), None)),
        Err(ClaimTextError::Check) => {
            Err(Error::usage("the code is mistyped: its last character does not fit the others"))
        }
        Err(_) => secret::parse(text),
    }
}

/// The conversation, and keeping what came of it.
fn take(app: &App, device: &PublicKey, secret: &ClaimSecret) -> Result<(), Error> {
    let (p, signer) = (default_provider(), app.state.identity()?.signer());
    let me = app.state.identity()?.public_key();
    let mut api = app.api()?;
    let asked = api.note(device, NOTE_CLAIM_ASK, &[]);
    let (kind, body) = asked.map_err(|error| match error.exit {
        Exit::Unknown => {
            error.advice("Is it enrolled at this server? Or somebody owns it already.")
        }
        _ => error,
    })?;
    if kind != u64::from(NOTE_CLAIM_NONCE) {
        return Err(refused(&body));
    }
    let nonce: [u8; CLAIM_NONCE_LEN] = body.try_into().map_err(|_length| refused(&[]))?;
    let statement = sign_claim(p, device, &nonce, secret, &signer).map_err(other)?;
    let (kind, answer) = api.note(device, NOTE_CLAIM, &statement)?;
    if kind != u64::from(NOTE_CLAIMED) {
        return Err(refused(&answer));
    }
    let epoch = verify_claimed(p, device, &me, &nonce, secret, &answer).map_err(|_not_it| {
        Error::new(Exit::Refused, "whoever answered is not that device")
            .advice("The server, or somebody in between, handed out another device. Do not use it.")
    })?;
    let list = app.state.change(|stored| {
        let kept = stored.devices.entry(key_to_text(device)).or_default();
        if kept.epoch != epoch {
            *kept = Default::default();
        }
        kept.epoch = epoch;
        kept.list.clone()
    })?;
    // A device that lost its state counts anew, and must have the list of this ownership.
    if let Some(list) = list {
        owned::deliver(app, device, &text::from_base64(&list, "the list")?)?;
    }
    if app.json {
        return app.print_json(&json!({ "device": key_to_text(device), "epoch": epoch }));
    }
    println!("{}", text::green(&format!("{} is yours", names::label(app, device))));
    Ok(())
}

/// Why a device did not do what a note asked for, by its answer.
pub(crate) fn refused(answer: &[u8]) -> Error {
    let why = NoteError::of_body(answer).err().unwrap_or(NoteError::Malformed);
    let error = Error::new(Exit::Refused, format!("the device refused: {why}"));
    match why {
        NoteError::Locked => error.advice("Restart the device, then try again."),
        NoteError::Proof => error.advice("Look again: it is printed on the device, or shown."),
        NoteError::Claimed => {
            error.advice("Its owner can transfer it, or whoever has it reset it.")
        }
        NoteError::Busy => error.advice("Try again."),
        NoteError::Closed => error.advice("Have it show a code; its manual says how."),
        NoteError::NoOwners => error.advice("Such a device lets in the keys that it was given."),
        _ => error,
    }
}

/// `rit claim --nearby`.
fn nearby(app: &App) -> Result<(), Error> {
    let found = entries(app.api()?.get("/claimable")?, "claimable");
    if app.json {
        return app.print_json(&json!(found));
    }
    if found.is_empty() {
        println!("no device without an owner was seen behind your address in the last minutes");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = found.iter().enumerate().map(|(i, it)| row(i, it)).collect();
    print!("{}", text::table(&["", "KEY", "FIRMWARE", "SEEN"], &rows));
    if !prompt::is_possible() {
        return Ok(());
    }
    let number =
        if found.len() == 1 { "1".to_owned().into() } else { prompt::text("Which (number)?")? };
    let chosen = number.trim().parse::<usize>().ok().and_then(|n| found.get(n.checked_sub(1)?));
    let device = chosen.and_then(|it| it["key"].as_str()).and_then(|key| key_from_text(key).ok());
    let device = device.ok_or_else(|| Error::usage("there is no such number"))?;
    let (secret, _) = read(&prompt::secret("The code that the device shows:")?)?;
    take(app, &device, &secret)
}

fn row(i: usize, device: &Value) -> Vec<String> {
    let seen = device["seen_s"].as_u64().map_or_else(String::new, text::ago);
    let field = |name: &str| device[name].as_str().unwrap_or_default().to_owned();
    vec![(i + 1).to_string(), field("key"), field("firmware"), seen]
}
