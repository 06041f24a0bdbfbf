//! `rit share` and `rit grants`.
//!
//! Owns making a grant: the owner's, or one more link of a chain that may be shared on. What is
//! made is checked here as the device checks it, before anybody gets it.

use std::path::Path;

use rit_core::base::PublicKey;
use rit_core::trust::{GrantId, Rights, ServiceList, Services, Terms, append_grant, decode_chain};
use rit_core::wire::text::key_to_text;
use serde_json::{Value, json};

use crate::App;
use crate::api::entries;
use crate::args;
use crate::error::{Error, Exit, other};
use crate::state::{Given, rng};
use crate::{chain, connect, files, names, owned, text};

/// `rit share`.
pub(crate) fn share(app: &App, args: &args::Share) -> Result<(), Error> {
    let device = names::device(app, &args.device)?;
    let subject = names::person(app, &args.to)?;
    let services = match args.all {
        true => ServiceList::all(),
        false => ServiceList::of(&args.services.iter().map(String::as_str).collect::<Vec<_>>())
            .map_err(|error| Error::usage(error.to_string()))?,
    };
    let own = match &args.grant {
        Some(_) => None,
        None => owned::find(app, &device)?,
    };
    let parent = match (&own, &args.grant) {
        (Some(_), _) => Vec::new(),
        (None, Some(path)) => read_chain(path)?,
        (None, None) => received(app, &device)?.ok_or_else(|| {
            Error::new(Exit::Refused, "the device is not yours, and nobody shares it with you")
                .advice("Ask its owner, or claim it: rit claim.")
        })?,
    };
    let id = GrantId(rng()?.array());
    let mut terms = Terms {
        device,
        subject,
        id,
        issued_s: text::now_s(),
        not_before_s: None,
        expires_s: args.valid_s.map(|valid_s| text::now_s() + valid_s),
        epoch: 0,
        rights: if args.can_share > 0 { Rights::USE.and(Rights::SHARE) } else { Rights::USE },
        depth: args.can_share,
        must_be_fresh: args.fresh,
        services: services.services(),
    };
    if let Some(own) = &own {
        terms.epoch = own.epoch;
        terms.issued_s = terms.issued_s.max(own.revoked.floor_s);
    }
    let made = append(app, terms, &parent)?;
    chain::check(&made, &device, &subject)?;
    if let Some(own) = &own {
        let given = given(&made)?;
        own.keep(app, |owned| owned.grants.push(given))?;
    }
    hand_over(app, args, &made)
}

/// The chain with a grant of these terms at its end, which are narrowed where they say nothing.
fn append(app: &App, mut terms: Terms<'_>, parent: &[u8]) -> Result<Vec<u8>, Error> {
    if let Some(last) = decode_chain(parent).unwrap_or_default().last() {
        let last = &last.terms;
        terms.epoch = last.epoch;
        terms.not_before_s = last.not_before_s;
        terms.expires_s = terms.expires_s.or(last.expires_s);
        terms.must_be_fresh |= last.must_be_fresh;
    }
    let grant = terms.sign(&app.state.identity()?.signer()).map_err(other)?;
    append_grant(parent, &grant).map_err(chain::refused)
}

/// What is kept of a grant that was made here.
fn given(made: &[u8]) -> Result<Given, Error> {
    let last = chain::last(made)?.terms;
    Ok(Given {
        id: data_encoding::HEXLOWER.encode(&last.id.0),
        to: key_to_text(&last.subject),
        services: list_of(&last.services),
        depth: last.depth,
        issued_s: last.issued_s,
        expires_s: last.expires_s,
    })
}

fn list_of(services: &Services<'_>) -> Option<Vec<String>> {
    (!services.is_all()).then(|| services.names().map(str::to_owned).collect())
}

/// Stores the chain at the server and in a file.
fn hand_over(app: &App, args: &args::Share, made: &[u8]) -> Result<(), Error> {
    let made_text = chain::to_text(made);
    let is_printed = args.out.as_deref() == Some(Path::new("-"));
    match &args.out {
        Some(_) if is_printed => print!("{made_text}"),
        Some(path) => files::write(path, made_text.as_bytes())?,
        None => {}
    }
    let is_logged_in = app.state.read()?.login.is_some_and(|login| login.http.is_some());
    if is_logged_in {
        app.api()?.post("/grants", &json!({ "chain": text::base64(made) }))?;
    } else if args.out.is_none() {
        return Err(Error::new(Exit::LoggedOut, "nobody is logged in, and there is no --out")
            .advice("Log in, or hand the grant over yourself: --out FILE"));
    }
    let given = given(made)?;
    if app.json {
        return app.print_json(&json!({
            "id": given.id, "to": given.to, "services": given.services,
            "expires_s": given.expires_s, "chain": text::base64(made),
        }));
    }
    if !is_printed {
        let until = given.expires_s.map_or("until it is revoked".to_owned(), |expires_s| {
            format!("until {}", text::time(expires_s))
        });
        println!("granted {until}; take it back with: rit revoke {}", &given.id[..8]);
    }
    Ok(())
}

fn read_chain(path: &Path) -> Result<Vec<u8>, Error> {
    let text = files::read(path)?;
    let text = text.ok_or_else(|| Error::failed(format!("there is no file {}", path.display())))?;
    chain::from_text(&text)
}

/// The best chain that somebody gave us for a device: the server's, or what is kept. `None`: there
/// is none, as for an owner.
pub(crate) fn received(app: &App, device: &PublicKey) -> Result<Option<Vec<u8>>, Error> {
    let me = app.state.identity()?.public_key();
    let kept = app.state.chain(device)?;
    if app.state.read()?.devices.contains_key(&key_to_text(device)) {
        return Ok(None);
    }
    let path = format!("/grants?role=received&device={}", key_to_text(device));
    let answer = match app.api() {
        Ok(mut api) => api.get(&path)?,
        Err(_nobody_logged_in) => return Ok(kept),
    };
    let told = entries(answer, "grants")
        .into_iter()
        .filter_map(|grant| text::from_base64(grant["chain"].as_str()?, "a grant").ok());
    let is_for_us = |chain: &Vec<u8>| {
        chain::last(chain)
            .is_ok_and(|last| last.terms.subject == me && last.terms.device == *device)
    };
    let best = told.filter(is_for_us).max_by_key(|chain| worth(chain, device, &me));
    // What is kept may have been taken back since; it is for grants that the server never had.
    Ok(best.or(kept))
}

/// Of two chains the better one: good now, more services, longer.
fn worth(chain: &[u8], device: &PublicKey, me: &PublicKey) -> (bool, bool, usize, u64, u64) {
    let is_good = chain::check(chain, device, me).is_ok();
    chain::last(chain).map_or((false, false, 0, 0, 0), |last| {
        let (terms, services) = (&last.terms, &last.terms.services);
        let until = terms.expires_s.unwrap_or(u64::MAX);
        (is_good, services.is_all(), services.names().count(), until, terms.issued_s)
    })
}

/// `rit grants`.
pub(crate) fn list(app: &App, args: &args::Grants) -> Result<(), Error> {
    let device = args.device.as_deref().map(|name| names::device(app, name)).transpose()?;
    let filter = device.map_or_else(String::new, |key| format!("&device={}", key_to_text(&key)));
    let mut api = app.api()?;
    let mut of = |role: &str| {
        let answer = api.get(&format!("/grants?role={role}{filter}"))?;
        Ok::<_, Error>(entries(answer, "grants"))
    };
    let (given, received) = (of("given")?, of("received")?);
    if app.json {
        return app.print_json(&json!({ "given": given, "received": received }));
    }
    let rows: Vec<Vec<String>> = (given.iter().map(|grant| row(app, grant, "given")))
        .chain(received.iter().map(|grant| row(app, grant, "received")))
        .collect();
    if rows.is_empty() {
        println!("no grants: `rit share` makes one");
    } else {
        let heading = ["ID", "", "DEVICE", "FROM", "TO", "SERVICES", "SHARE", "UNTIL"];
        print!("{}", text::table(&heading, &rows));
    }
    Ok(())
}

fn row(app: &App, grant: &Value, role: &str) -> Vec<String> {
    let made = grant["chain"].as_str().and_then(|made| text::from_base64(made, "").ok());
    let made = made.unwrap_or_default();
    let Ok(last) = chain::last(&made) else {
        return vec![grant["id"].as_str().unwrap_or_default().to_owned(), "damaged".to_owned()];
    };
    let (terms, p) = (&last.terms, rit_core::crypto::default_provider());
    let until = terms.expires_s.map_or("revoked".to_owned(), text::time);
    vec![
        data_encoding::HEXLOWER.encode(&terms.id.0[..4]),
        role.to_owned(),
        names::label(app, &terms.device),
        names::label(app, &last.issuer(p)),
        names::label(app, &terms.subject),
        connect::text_of(&terms.services),
        terms.depth.to_string(),
        until,
    ]
}
