//! `rit devices` and `rit services`.

use rit_core::base::PublicKey;
use rit_core::wire::text::{key_from_text, key_to_text};
use serde_json::{Value, json};

use crate::App;
use crate::api::{Api, entries};
use crate::args;
use crate::error::Error;
use crate::{names, text};

/// Pages of a list that are asked for at most.
const PAGES_MAX: usize = 1000;

/// All devices that one sees.
pub(crate) fn all(api: &mut Api) -> Result<Vec<Value>, Error> {
    let (mut devices, mut path) = (Vec::new(), "/devices".to_owned());
    for _ in 0..PAGES_MAX {
        let answer = api.get(&path)?;
        let next = answer["next"].as_str().and_then(|next| key_from_text(next).ok());
        devices.extend(entries(answer, "devices"));
        match next {
            Some(next) => path = format!("/devices?after={}", key_to_text(&next)),
            None => break,
        }
    }
    Ok(devices)
}

/// `rit devices`.
pub(crate) fn list(app: &App, args: &args::Devices) -> Result<(), Error> {
    let devices = all(&mut app.api()?)?;
    warn_of_names(app, &devices)?;
    if app.json {
        return app.print_json(&json!(devices));
    }
    if devices.is_empty() {
        println!("no devices yet: `rit claim` makes one yours");
        return Ok(());
    }
    let me = app.state.identity()?.public_key();
    let rows: Vec<Vec<String>> = devices.iter().map(|it| row(app, it, &me, args.keys)).collect();
    let heading = ["NAME", "STATE", "OWNER", "SERVICES", "WHERE", "KEY"];
    print!("{}", text::table(&heading, &rows));
    Ok(())
}

fn row(app: &App, device: &Value, me: &PublicKey, keys: bool) -> Vec<String> {
    let field = |name: &str| device[name].as_str().unwrap_or_default().to_owned();
    let key = names::key_of(device);
    let own_name = key.as_ref().and_then(|key| app.config.name_of(key)).map(str::to_owned);
    let state = match (device["is_online"].as_bool(), device["seen_s"].as_u64()) {
        (Some(true), _) => "online".to_owned(),
        (_, Some(seen)) if seen > 0 => format!("seen {}", text::ago(seen)),
        _ => "never seen".to_owned(),
    };
    let owner = match device["owner"].as_str().and_then(|owner| key_from_text(owner).ok()) {
        Some(owner) if owner == *me => "you".to_owned(),
        Some(owner) => names::label(app, &owner),
        None => "nobody".to_owned(),
    };
    let place = [field("city"), field("country"), field("address")];
    let place: Vec<String> = place.into_iter().filter(|part| !part.is_empty()).collect();
    let key = match key {
        Some(key) if keys => key_to_text(&key),
        Some(key) => text::short(&key),
        None => field("key"),
    };
    let name = own_name.unwrap_or_else(|| field("name"));
    vec![name, state, owner, service_names(device).join(","), place.join(", "), key]
}

fn service_names(device: &Value) -> Vec<String> {
    let services = device["services"].as_array();
    let name = |service: &Value| service["name"].as_str().map(str::to_owned);
    services.into_iter().flatten().filter_map(name).collect()
}

/// A name that stood for another device when it was used first.
fn warn_of_names(app: &App, devices: &[Value]) -> Result<(), Error> {
    let known = app.state.read()?.names;
    for device in devices {
        let (Some(name), Some(key)) = (device["name"].as_str(), names::key_of(device)) else {
            continue;
        };
        let Some(old) = known.get(name).filter(|old| **old != key_to_text(&key)) else { continue };
        // Two devices may have one name; what matters is that the first one lost it.
        if !devices.iter().any(|it| it["key"] == **old && it["name"] == name) {
            let name = text::escape_line(name);
            eprintln!(
                "rit: the server gives the name '{name}' to another device now; here it goes on \
                 to be the first one. `rit forget '{name}'` takes the server's."
            );
        }
    }
    Ok(())
}

/// `rit services`.
pub(crate) fn services(app: &App, name: &str) -> Result<(), Error> {
    let key = names::device(app, name)?;
    let device = app.api()?.get(&format!("/devices/{}", key_to_text(&key)))?;
    if app.json {
        return app.print_json(&device["services"]);
    }
    let port = |service: &Value| service["port"].as_u64().filter(|port| *port > 0);
    let rows: Vec<Vec<String>> = device["services"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| {
            vec![
                it["name"].as_str().unwrap_or_default().to_owned(),
                it["kind"].as_str().unwrap_or_default().to_owned(),
                port(it).map_or_else(String::new, |port| port.to_string()),
            ]
        })
        .collect();
    if rows.is_empty() {
        println!("the device offers no services that the server knows of");
    } else {
        print!("{}", text::table(&["NAME", "KIND", "PORT"], &rows));
    }
    Ok(())
}

/// `rit rename`.
pub(crate) fn rename(app: &App, device: &str, name: &str) -> Result<(), Error> {
    let key = names::device(app, device)?;
    app.api()?.patch(&format!("/devices/{}", key_to_text(&key)), &json!({ "name": name }))?;
    app.state.change(|stored| {
        stored.names.retain(|_, named| *named != key_to_text(&key));
        stored.names.insert(name.to_owned(), key_to_text(&key));
    })
}
