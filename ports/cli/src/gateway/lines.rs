//! The lines by which a gateway tells how it goes, for people and as JSON.
//!
//! Owns their form, which is that of `rit up` where they say the same. Does not own what happens.

use rit_core::base::PublicKey;
use rit_core::wire::text::key_to_text;
use serde::Serialize;

use super::rules::Service;
use crate::live::{broker_words, gateway_words};
use crate::port::{Event, PortError};
use crate::text::escape_line;

/// What happened. Keys in their text form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Line {
    /// Who this gateway is.
    Key {
        key: String,
    },
    ClaimCode {
        code: String,
    },
    Online,
    Offline {
        reason: String,
    },
    /// The broker is away; the gateway of the LAN, broker there, introduces instead.
    GatewayOnline,
    GatewayOffline {
        reason: String,
    },
    Enrolled,
    EnrolRefused {
        reason: String,
    },
    SessionUp {
        peer: String,
    },
    SessionDown {
        peer: String,
        reason: Option<String>,
    },
    Offered {
        service: String,
        kind: &'static str,
        host: String,
        port: u16,
    },
    NotOffered {
        service: String,
        kind: &'static str,
        host: String,
        port: u16,
        reason: String,
    },
    Withdrawn {
        service: String,
        kind: &'static str,
    },
    Connection {
        peer: String,
        service: String,
    },
    Refused {
        peer: String,
        service: String,
        reason: String,
    },
    Claimed {
        owner: String,
    },
    /// Nobody, if there is none any more.
    OwnerChanged {
        owner: Option<String>,
    },
    NetworkChanged,
}

/// `tcp` or `udp`.
pub(crate) fn kind(is_udp: bool) -> &'static str {
    if is_udp { "udp" } else { "tcp" }
}

impl Line {
    pub(crate) fn offered(service: &Service) -> Line {
        Line::Offered {
            service: service.name.clone(),
            kind: kind(service.is_udp),
            host: service.host.clone(),
            port: service.port,
        }
    }

    pub(crate) fn not_offered(service: &Service, reason: &str) -> Line {
        Line::NotOffered {
            service: service.name.clone(),
            kind: kind(service.is_udp),
            host: service.host.clone(),
            port: service.port,
            reason: reason.to_owned(),
        }
    }

    /// `None`: it is none of a gateway's.
    pub(crate) fn of(event: Event) -> Option<Line> {
        let is_nobody = |key: &PublicKey| key.0 == [0; 32];
        Some(match event {
            Event::Online => Line::Online,
            Event::Offline(error) => Line::Offline { reason: broker_words(error) },
            Event::GatewayOnline => Line::GatewayOnline,
            Event::GatewayOffline(error) => Line::GatewayOffline { reason: gateway_words(error) },
            Event::Enrolled => Line::Enrolled,
            Event::EnrolRefused(error) => Line::EnrolRefused { reason: error.to_string() },
            Event::SessionUp(peer) => Line::SessionUp { peer: key_to_text(&peer) },
            Event::SessionDown(peer, error) => Line::SessionDown {
                peer: key_to_text(&peer),
                reason: (error != 0).then(|| PortError(error).to_string()),
            },
            Event::Connection { peer, service } => {
                Line::Connection { peer: key_to_text(&peer), service }
            }
            Event::Refused { device, service, error } => {
                Line::Refused { peer: key_to_text(&device), service, reason: error.to_string() }
            }
            Event::Claimed(owner) => Line::Claimed { owner: key_to_text(&owner) },
            Event::OwnerChanged(owner) => {
                Line::OwnerChanged { owner: (!is_nobody(&owner)).then(|| key_to_text(&owner)) }
            }
            Event::NetworkChanged => Line::NetworkChanged,
            Event::Listening { .. } | Event::NotListening { .. } => return None,
        })
    }

    /// Whom it is about.
    pub(crate) fn person(&self) -> Option<&str> {
        match self {
            Line::SessionUp { peer }
            | Line::SessionDown { peer, .. }
            | Line::Connection { peer, .. }
            | Line::Refused { peer, .. } => Some(peer),
            Line::Claimed { owner } => Some(owner),
            Line::OwnerChanged { owner } => owner.as_deref(),
            _ => None,
        }
    }

    /// For people; `name` of whom it is about.
    pub(crate) fn words(&self, name: &str) -> String {
        match self {
            Line::Key { key } => format!("this gateway's key is {key}"),
            Line::ClaimCode { code } => format!("to become its owner: rit claim {code} KEY"),
            Line::Online => "online".to_owned(),
            Line::Offline { reason } => format!("offline: {reason}; trying again"),
            Line::GatewayOnline => "online by the LAN's gateway".to_owned(),
            Line::GatewayOffline { reason } => {
                format!("not online by the LAN's gateway: {reason}")
            }
            Line::Enrolled => "enrolled".to_owned(),
            Line::EnrolRefused { reason } => format!("the broker refused the code: {reason}"),
            Line::SessionUp { .. } => format!("{name}: connected"),
            Line::SessionDown { reason: None, .. } => format!("{name}: gone"),
            Line::SessionDown { reason: Some(reason), .. } => format!("{name}: gone: {reason}"),
            Line::Offered { service, kind, host, port } => {
                format!("{service}: offered ({kind}, {} port {port})", escape_line(host))
            }
            Line::NotOffered { service, host, port, reason, .. } => {
                format!("{service}: not offered: {} port {port}: {reason}", escape_line(host))
            }
            Line::Withdrawn { service, .. } => format!("{service}: offered no more"),
            Line::Connection { service, .. } => format!("{name}: uses {service}"),
            Line::Refused { service, reason, .. } => {
                format!("{name}: {service}: a connection was refused: {reason}")
            }
            Line::Claimed { .. } => format!("{name} is the owner"),
            Line::OwnerChanged { owner: Some(_) } => format!("{name} is the owner now"),
            Line::OwnerChanged { owner: None } => "there is no owner any more".to_owned(),
            Line::NetworkChanged => "the network changed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_form() {
        let service =
            Service { name: "web.hvac".into(), is_udp: false, host: "10.0.0.2".into(), port: 80 };
        let line = Line::offered(&service);
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"event":"offered","service":"web.hvac","kind":"tcp","host":"10.0.0.2","port":80}"#
        );
        assert_eq!(line.words(""), "web.hvac: offered (tcp, 10.0.0.2 port 80)");
        let line = Line::of(Event::OwnerChanged(PublicKey([0; 32]))).unwrap();
        assert_eq!(line, Line::OwnerChanged { owner: None });
        assert_eq!(line.person(), None);
    }
}
