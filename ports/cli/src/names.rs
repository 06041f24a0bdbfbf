//! Which key a name stands for.
//!
//! A key is taken as it is; then the names of the configuration, then those that were used before,
//! then the server's. Invariant: what a server says a name stands for is asked once and kept, so a
//! server cannot put another device in the place of one that is in use.

use rit_core::base::PublicKey;
use rit_core::wire::text::{key_from_text, key_to_text};
use serde_json::Value;

use crate::App;
use crate::error::{Error, Exit};
use crate::text::escape_line;

/// A person: a key, or a name of the configuration.
pub(crate) fn person(app: &App, name: &str) -> Result<PublicKey, Error> {
    if let Ok(key) = key_from_text(name) {
        return Ok(key);
    }
    app.config.key_of(name).ok_or_else(|| {
        Error::new(Exit::Unknown, format!("nobody is called '{name}'")).advice(format!(
            "Give the key that `rit status` shows to them, or write it into {}:\n     \
             [names]\n     {name} = \"KEY\"",
            app.config_path.display()
        ))
    })
}

/// A device.
pub(crate) fn device(app: &App, name: &str) -> Result<PublicKey, Error> {
    if let Ok(key) = key_from_text(name) {
        return Ok(key);
    }
    if let Some(key) = app.config.key_of(name) {
        return Ok(key);
    }
    if let Some(key) = app.state.read()?.names.get(name) {
        return key_from_text(key).map_err(crate::error::other);
    }
    let devices = match app.api() {
        Ok(mut api) => crate::api::entries(api.get("/devices")?, "devices"),
        Err(_nobody_logged_in) => return Err(unknown(name)),
    };
    let keys: Vec<PublicKey> =
        devices.iter().filter(|device| device["name"] == name).filter_map(key_of).collect();
    match keys[..] {
        [key] => {
            keep(app, name, &key)?;
            Ok(key)
        }
        [] => Err(unknown(name)),
        _ => {
            let keys: Vec<String> = keys.iter().map(key_to_text).collect();
            Err(Error::new(Exit::Unknown, format!("several devices are called '{name}'"))
                .advice(format!("Give the key of the one you mean: {}", keys.join(", "))))
        }
    }
}

fn unknown(name: &str) -> Error {
    Error::new(Exit::Unknown, format!("no device is called '{name}'"))
        .advice("`rit devices` lists those you know.")
}

/// The key of what the server tells of a device.
pub(crate) fn key_of(device: &Value) -> Option<PublicKey> {
    key_from_text(device["key"].as_str()?).ok()
}

/// From now on this name stands for this device.
pub(crate) fn keep(app: &App, name: &str, key: &PublicKey) -> Result<(), Error> {
    app.state.change(|stored| {
        stored.names.insert(name.to_owned(), key_to_text(key));
    })
}

/// What to call a device or a person to this person: the configuration's name, or the key's
/// beginning.
pub(crate) fn label(app: &App, key: &PublicKey) -> String {
    app.config.name_of(key).map_or_else(|| crate::text::short(key), escape_line)
}

/// `rit forget`.
pub(crate) fn forget(app: &App, name: &str) -> Result<(), Error> {
    match app.state.change(|stored| stored.names.remove(name))? {
        Some(_) => Ok(()),
        None => Err(unknown(name)),
    }
}

/// A service and the port to listen at, 0 for its own.
pub(crate) type Service<'a> = (&'a str, u16);

/// `DEVICE[/SERVICE][@PORT]` taken apart.
pub(crate) fn target(text: &str) -> Result<(&str, Option<Service<'_>>), Error> {
    let wrong = |what: &str| Err(Error::usage(format!("'{text}': {what}")));
    let (device, service) = match text.rsplit_once('/') {
        Some((device, service)) => (device, Some(service)),
        None => (text, None),
    };
    if device.is_empty() {
        return wrong("the device is missing");
    }
    let Some(service) = service else {
        return if text.contains('@') && key_from_text(text).is_err() {
            wrong("@PORT belongs to a service: DEVICE/SERVICE@PORT")
        } else {
            Ok((device, None))
        };
    };
    self::service(service).map(|service| (device, Some(service)))
}

/// `SERVICE[@PORT]`.
pub(crate) fn service(text: &str) -> Result<Service<'_>, Error> {
    let (name, port) = match text.split_once('@') {
        Some((name, port)) => (name, port.parse().ok().filter(|port| *port > 0)),
        None => (text, Some(0)),
    };
    match port {
        Some(port) if rit_core::wire::message::is_service_name(name) => Ok((name, port)),
        Some(_) => Err(Error::usage(format!("'{name}' is no name of a service"))),
        None => Err(Error::usage(format!("'{text}': the port is not a number from 1 to 65535"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let parts = |text| target(text).map_err(|error| error.exit);
        assert_eq!(parts("garage"), Ok(("garage", None)));
        assert_eq!(parts("garage/web"), Ok(("garage", Some(("web", 0)))));
        assert_eq!(parts("a/b/web@8080"), Ok(("a/b", Some(("web", 8080)))));
        for wrong in [
            "",
            "/web",
            "garage/",
            "garage/Web",
            "garage/web@0",
            "garage/web@x",
            "garage/web@65536",
            "garage@80",
        ] {
            assert_eq!(parts(wrong), Err(Exit::Usage), "{wrong}");
        }
    }
}
