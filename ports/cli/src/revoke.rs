//! `rit revoke` and `rit transfer`: what an owner takes back, and gives away.
//!
//! Running sessions that rest on what was taken back end when the device has the list; it gets it
//! at once if it is online, else when it comes.

use rit_core::base::PublicKey;
use rit_core::trust::{GrantId, decode_chain, sign_transfer};
use rit_core::wire::text::{key_from_text, key_to_text};
use serde_json::json;

use crate::App;
use crate::api::entries;
use crate::args;
use crate::error::{Error, Exit, other};
use crate::{claim, names, owned, prompt, text};

/// The kind of note by which a device says that it did something, or why not.
const DONE: u64 = 7;

/// `rit revoke`.
pub(crate) fn revoke(app: &App, args: &args::Revoke) -> Result<(), Error> {
    let named = args.device.as_deref().map(|name| names::device(app, name)).transpose()?;
    let (device, id) = match &args.id {
        Some(text) => find(app, text, named)?,
        // clap sees to it that there is one.
        None => (named.ok_or_else(|| Error::usage("--device is missing"))?, None),
    };
    let own = owned::need(app, &device)?;
    let mut revoked = own.revoked.clone();
    if let Some(id) = id {
        if !revoked.ids.contains(&id) {
            revoked.ids.push(id);
        }
    }
    if let Some(name) = &args.key {
        let key = names::person(app, name)?;
        if !revoked.keys.contains(&key) {
            revoked.keys.push(key);
        }
    }
    if args.all {
        revoked.ids.clear();
        revoked.floor_s = text::now_s() + 1;
    }
    let is_delivered = own.revoke(app, revoked)?;
    if let Some(id) = id {
        // The device does not need this; it keeps the server's lists short.
        let path = format!("/grants/{}", text::base64(&id.0));
        let _ = app.api().and_then(|mut api| api.delete(&path));
    }
    if app.json {
        return app.print_json(&json!({
            "device": key_to_text(&device), "is_delivered": is_delivered,
        }));
    }
    println!(
        "{}",
        if is_delivered {
            "revoked; the device knows"
        } else {
            "revoked; the device is offline, and will know before it lets anybody in by this server"
        }
    );
    Ok(())
}

/// The grant whose ID begins so, and its device: of those made here, and those at the server.
fn find(
    app: &App,
    beginning: &str,
    device: Option<PublicKey>,
) -> Result<(PublicKey, Option<GrantId>), Error> {
    let beginning = beginning.to_ascii_lowercase();
    let is_hex = beginning.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || !(4..=32).contains(&beginning.len()) {
        return Err(Error::usage("a grant's ID has 32 hexadecimal digits; give 4 or more of them"));
    }
    let mut found: Vec<(PublicKey, GrantId)> = Vec::new();
    let mut look = |of: PublicKey, id: GrantId| {
        let is_it = data_encoding::HEXLOWER.encode(&id.0).starts_with(&beginning);
        if is_it && device.is_none_or(|device| device == of) && !found.contains(&(of, id)) {
            found.push((of, id));
        }
    };
    for (key, kept) in app.state.read()?.devices {
        let Ok(key) = key_from_text(&key) else { continue };
        for given in kept.grants {
            let id = data_encoding::HEXLOWER.decode(given.id.as_bytes()).unwrap_or_default();
            id.try_into().into_iter().for_each(|id| look(key, GrantId(id)));
        }
    }
    if let Ok(answer) = app.api().and_then(|mut api| api.get("/grants?role=given")) {
        for grant in entries(answer, "grants") {
            let made = grant["chain"].as_str().and_then(|made| text::from_base64(made, "").ok());
            for link in decode_chain(&made.unwrap_or_default()).unwrap_or_default() {
                look(link.terms.device, link.terms.id);
            }
        }
    }
    match found[..] {
        [(device, id)] => Ok((device, Some(id))),
        [] => Err(Error::new(Exit::Unknown, format!("no grant's ID begins with {beginning}"))
            .advice("`rit grants` lists them.")),
        _ => Err(Error::new(Exit::Unknown, "several grants begin so").advice("Give more digits.")),
    }
}

/// `rit transfer`.
pub(crate) fn transfer(app: &App, args: &args::Transfer) -> Result<(), Error> {
    let device = names::device(app, &args.device)?;
    let to = names::person(app, &args.to)?;
    let own = owned::need(app, &device)?;
    if !args.yes {
        if !prompt::is_possible() {
            return Err(Error::usage("a transfer cannot be taken back").advice("Say --yes."));
        }
        let question = format!(
            "{} will be the owner of {}, and all grants end. Type yes:",
            key_to_text(&to),
            args.device
        );
        if *prompt::text(&question)? != "yes" {
            return Err(Error::failed("nothing was changed"));
        }
    }
    let signer = app.state.identity()?.signer();
    let statement = sign_transfer(&device, own.epoch, &to, &signer).map_err(other)?;
    let path = format!("/devices/{}/transfer", key_to_text(&device));
    let answer = app.api()?.post(&path, &json!({ "statement": text::base64(&statement) }))?;
    let body = text::from_base64(answer["body"].as_str().unwrap_or_default(), "the answer")?;
    if answer["kind"].as_u64() != Some(DONE) || body != [0] {
        return Err(claim::refused(&body));
    }
    app.state.change(|stored| stored.devices.remove(&key_to_text(&device)))?;
    if app.json {
        return app
            .print_json(&json!({ "device": key_to_text(&device), "owner": key_to_text(&to) }));
    }
    println!("the device is theirs");
    Ok(())
}
