//! `config.toml`: what a person writes; the program only reads it.
//!
//! ```toml
//! broker = "rit://KEY@HOST"        # instead of the one that was logged in to
//! lan_gateway = "rit://KEY@_rit._udp.local" # for when the broker cannot be reached
//! resolver = "127.0.0.153:53"     # answers SERVICE.DEVICE.rit there
//! share_with_all_users = true      # of this machine; else only one's own programs are served
//! [names]
//! bob = "KEY"                      # people and devices
//! [[connections]]                  # kept by `rit up`
//! device = "garage"
//! services = ["web@8080", "ssh"]   # without them: all that the device offers
//! [gateway]                        # of `rit gateway`; see there
//! allow = ["192.168.1.20:80=web.hvac"]
//! ```
//!
//! Owns its form. Unknown fields are errors: a mistyped word must not be ignored.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use rit_core::base::PublicKey;
use rit_core::wire::text::key_from_text;
use serde::Deserialize;

use crate::error::{Error, Exit};
use crate::files;
use crate::gateway::rules;

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) broker: Option<String>,
    /// The LAN's gateway, for when the broker cannot be reached.
    pub(crate) lan_gateway: Option<String>,
    /// TCP port of the broker where UDP is blocked; 0: the usual one.
    #[serde(default)]
    pub(crate) tls_port: u16,
    /// Where names of what is reached are answered.
    resolver: Option<String>,
    /// Whether every user of this machine may use what is reached.
    #[serde(default)]
    pub(crate) share_with_all_users: bool,
    #[serde(default)]
    names: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) connections: Vec<Connection>,
    #[serde(default)]
    pub(crate) gateway: Gateway,
}

/// What `rit gateway` offers, and to whom; its command line adds to it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gateway {
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    #[serde(default)]
    pub(crate) offer: Vec<String>,
    #[serde(default)]
    pub(crate) keys: Vec<String>,
    pub(crate) connections: Option<u32>,
    pub(crate) rate: Option<u32>,
}

/// What `rit up` keeps.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Connection {
    pub(crate) device: String,
    #[serde(default)]
    pub(crate) services: Vec<String>,
}

impl Config {
    /// What the file says; nothing, where there is none.
    pub(crate) fn read(path: &Path) -> Result<Config, Error> {
        let Some(text) = files::read(path)? else { return Ok(Config::default()) };
        Config::parse(&text).map_err(|error| {
            Error::new(Exit::Usage, format!("{}: {error}", path.display()))
                .advice("Correct the file, or name another: --config FILE.")
        })
    }

    fn parse(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        for (name, key) in &config.names {
            key_from_text(key).map_err(|error| format!("names.{name}: {error}"))?;
        }
        config.resolver()?;
        for text in &config.gateway.allow {
            rules::allowed(text).map_err(|error| format!("gateway.allow: {error}"))?;
        }
        for text in &config.gateway.offer {
            rules::offered(text).map_err(|error| format!("gateway.offer: {error}"))?;
        }
        Ok(config)
    }

    /// Where names of what is reached are answered, if anywhere.
    pub(crate) fn resolver(&self) -> Result<Option<SocketAddr>, String> {
        let wrong = |error| format!("resolver: {error}");
        self.resolver.as_deref().map(crate::resolver::address).transpose().map_err(wrong)
    }

    /// Names and keys' texts.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().map(|(name, key)| (name.as_str(), key.as_str()))
    }

    /// Whom the person calls so.
    pub(crate) fn key_of(&self, name: &str) -> Option<PublicKey> {
        self.names.get(name).and_then(|key| key_from_text(key).ok())
    }

    /// What the person calls this key.
    pub(crate) fn name_of(&self, key: &PublicKey) -> Option<&str> {
        let text = rit_core::wire::text::key_to_text(key);
        self.names.iter().find(|(_, key)| **key == text).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rit_core::wire::text::key_to_text;

    #[test]
    fn what_people_write() {
        let key = key_to_text(&PublicKey([3; 32]));
        let text = format!(
            "tls_port = 4433\nlan_gateway = \"rit://k@h\"\n[names]\nbob = \"{key}\"\n\
             [[connections]]\ndevice = \"garage\"\nservices = [\"web@8080\"]\n"
        );
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.key_of("bob"), Some(PublicKey([3; 32])));
        assert_eq!(config.name_of(&PublicKey([3; 32])), Some("bob"));
        assert_eq!(config.key_of("eve"), None);
        assert_eq!((config.tls_port, config.connections.len()), (4433, 1));
        assert_eq!(config.lan_gateway.as_deref(), Some("rit://k@h"));
        assert!(Config::parse("").unwrap().broker.is_none());
        for wrong in [
            "[names]\nbob = \"x\"",
            "brokr = \"rit://\"",
            "broker = 1",
            "resolver = \"192.0.2.1\"",
            "[gateway]\nallow = [\"hvac:80=web\"]",
            "[gateway]\noffer = [\"web\"]",
        ] {
            assert!(Config::parse(wrong).is_err(), "{wrong}");
        }
    }
}
