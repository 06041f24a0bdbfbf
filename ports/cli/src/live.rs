//! A running node: what it reaches, and the lines that tell how it goes.
//!
//! Owns the port, which services are wanted, and what is worth a line. Does not own who reads the
//! lines: this terminal, or others by the control socket. One form of line serves people, `--json`
//! and the socket.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rit_core::base::PublicKey;
use rit_core::wire::text::{key_from_text, key_to_text};
use serde::{Deserialize, Serialize};

use crate::App;
use crate::args;
use crate::error::{Error, Exit};
use crate::port::{Event, Port, PortError};
use crate::text;

/// How often the way of each session is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Why the gateway is left where nothing is wrong.
const NOT_NEEDED: &str = "the broker is there";

/// What happened. Keys in their text form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Line {
    Online,
    Offline {
        reason: String,
    },
    /// The broker is away; the gateway of the LAN introduces instead.
    GatewayOnline,
    GatewayOffline {
        reason: String,
    },
    Enrolled,
    EnrolRefused {
        reason: String,
    },
    SessionUp {
        device: String,
    },
    SessionDown {
        device: String,
        reason: String,
    },
    Path {
        device: String,
        path: String,
        address: String,
        rtt_us: u64,
    },
    Listening {
        device: String,
        service: String,
        kind: String,
        address: String,
        port: u16,
    },
    Unavailable {
        device: String,
        service: String,
        reason: String,
    },
    Refused {
        device: String,
        service: String,
        reason: String,
    },
    /// Not reached any more: a service, or all of the device.
    Left {
        device: String,
        service: Option<String>,
    },
    NetworkChanged,
    /// Names are answered there.
    Resolver {
        address: String,
    },
    /// Of the control socket: the request came to nothing.
    Failed {
        reason: String,
    },
    /// Of the control socket: all that there is was told.
    End,
}

impl Line {
    /// The device that it is about.
    pub(crate) fn device(&self) -> Option<&str> {
        match self {
            Line::SessionUp { device }
            | Line::SessionDown { device, .. }
            | Line::Path { device, .. }
            | Line::Listening { device, .. }
            | Line::Unavailable { device, .. }
            | Line::Refused { device, .. }
            | Line::Left { device, .. } => Some(device),
            _ => None,
        }
    }

    /// For people; `name` of the device.
    pub(crate) fn words(&self, name: &str) -> String {
        match self {
            Line::Online => "online".to_owned(),
            Line::Offline { reason } => format!("offline: {reason}; trying again"),
            Line::GatewayOnline => "online by the gateway".to_owned(),
            Line::GatewayOffline { reason } => format!("not online by the gateway: {reason}"),
            Line::Enrolled => "enrolled".to_owned(),
            Line::EnrolRefused { reason } => format!("the broker refused the code: {reason}"),
            Line::SessionUp { .. } => format!("{name}: connected"),
            Line::SessionDown { reason, .. } => format!("{name}: no connection: {reason}"),
            Line::Path { path, address, rtt_us, .. } => {
                let way = if path == "relay" { "through the relay at" } else { "directly to" };
                let rtt = if *rtt_us > 0 { text::milliseconds(*rtt_us) } else { "?".to_owned() };
                format!("{name}: {way} {address}, round trip {rtt}")
            }
            Line::Listening { service, kind, address, port, .. } => {
                let udp = if kind == "udp" { " (UDP)" } else { "" };
                format!("{name}: {service} at {}{udp}", text::bold(&format!("{address}:{port}")))
            }
            Line::Unavailable { service, reason, .. } => format!("{name}: {service}: {reason}"),
            Line::Refused { service, reason, .. } => {
                format!("{name}: {service}: a connection was refused: {reason}")
            }
            Line::Left { service, .. } => {
                let what = service.as_deref().unwrap_or("the device");
                format!("{name}: {what} is not reached any more")
            }
            Line::NetworkChanged => "the network changed".to_owned(),
            Line::Resolver { address } => format!("names below rit are answered at {address}"),
            Line::Failed { reason } => reason.clone(),
            Line::End => String::new(),
        }
    }
}

/// What is to be reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Want {
    /// The device's key.
    pub(crate) device: String,
    /// Services and their ports, 0 for their own; none: all.
    pub(crate) services: Vec<(String, u16)>,
    /// The chain of grants, in base64url.
    pub(crate) chain: Option<String>,
    /// Somebody chose this chain: the server's does not take its place.
    #[serde(default)]
    pub(crate) is_chosen: bool,
}

/// A node that runs.
pub(crate) struct Live {
    port: Port,
    looked: Instant,
    /// Services that are reached; an empty name stands for all of the device.
    devices: BTreeMap<PublicKey, BTreeSet<String>>,
    /// Those whose grant was chosen.
    chosen: BTreeSet<PublicKey>,
    /// Relay or not, as it was told last, and whether its round trip was known.
    ways: BTreeMap<PublicKey, (bool, bool)>,
    /// What was told and still holds.
    standing: Vec<Line>,
    /// To be told with the next step.
    left: Vec<Line>,
    /// More was asked for since it was looked at.
    was_asked: bool,
}

impl Live {
    /// Makes the node and calls the broker. `Ok(None)`: another process has the state folder.
    pub(crate) fn open(
        app: &App,
        broker: &str,
        given: &args::Broker,
        is_shared: bool,
    ) -> Result<Option<Live>, Error> {
        let port = match Port::open(&app.state.node_dir(), app.config.tls_port, is_shared) {
            Err(error) if error.is_in_use() => return Ok(None),
            port => port.map_err(crate::error::other)?,
        };
        let looked = Instant::now();
        let (devices, ways, chosen) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let (standing, left) = (Vec::new(), Vec::new());
        let mut live =
            Live { port, looked, devices, chosen, ways, standing, left, was_asked: false };
        call(&mut live.port, app, broker, given)?;
        Ok(Some(live))
    }

    /// Reaches more. What is reached already stays as it is.
    pub(crate) fn add(&mut self, want: &Want) -> Result<(), Error> {
        self.was_asked = true;
        let device = key_from_text(&want.device).map_err(crate::error::other)?;
        if let Some(chain) = &want.chain {
            let chain = text::from_base64(chain, "the grant")?;
            self.port.set_grant(&device, &chain).map_err(crate::error::other)?;
            if want.is_chosen {
                self.chosen.insert(device);
            }
        }
        let all = [(None, 0)];
        let named: Vec<(Option<&str>, u16)> =
            want.services.iter().map(|(name, port)| (Some(name.as_str()), *port)).collect();
        for (service, number) in if named.is_empty() { &all[..] } else { &named } {
            match self.port.reach(&device, *service, *number) {
                Err(PortError(rit_ffi::error::RIT_ERR_EXISTS)) => {}
                result => result.map_err(crate::error::other)?,
            }
        }
        let names = self.devices.entry(device).or_default();
        names.extend(named.iter().map(|(name, _)| name.unwrap_or_default().to_owned()));
        if named.is_empty() {
            names.insert(String::new());
        }
        Ok(())
    }

    /// Reaches a service no more, or (`None`) the device. Whether it was reached.
    pub(crate) fn leave(&mut self, key: &str, service: Option<&str>) -> bool {
        let Ok(device) = key_from_text(key) else { return false };
        if self.port.leave(&device, service).is_err() {
            return false;
        }
        if let Some(names) = self.devices.get_mut(&device) {
            names.retain(|name| service.is_some_and(|left| name != left && !name.is_empty()));
        }
        let is_left = self.devices.get(&device).is_none_or(BTreeSet::is_empty);
        if is_left {
            self.devices.remove(&device);
            self.ways.remove(&device);
            self.chosen.remove(&device);
        }
        self.standing.retain(|line| {
            let is_its = match line {
                Line::Listening { service: its, .. } | Line::Unavailable { service: its, .. } => {
                    service.is_some_and(|left| left == its)
                }
                _ => false,
            };
            line.device() != Some(key) || !(is_left || is_its)
        });
        let service = if is_left { None } else { service.map(str::to_owned) };
        self.left.push(Line::Left { device: key.to_owned(), service });
        true
    }

    /// Shows another grant to a device from now on, unless somebody chose one meanwhile.
    pub(crate) fn renew(&mut self, device: &PublicKey, grant: &[u8]) {
        if self.devices.contains_key(device) && !self.chosen.contains(device) {
            // One that is too long the port would not have taken before.
            let _ = self.port.set_grant(device, grant);
        }
    }

    /// What is reached by grants that nobody chose.
    pub(crate) fn renewable(&self) -> Vec<PublicKey> {
        self.devices.keys().filter(|device| !self.chosen.contains(device)).copied().collect()
    }

    /// Tells this with the next step.
    pub(crate) fn tell(&mut self, line: Line) {
        self.left.push(line);
    }

    /// Whether more was asked for since the last call.
    pub(crate) fn was_asked(&mut self) -> bool {
        std::mem::take(&mut self.was_asked)
    }

    /// What holds now.
    pub(crate) fn standing(&self) -> &[Line] {
        &self.standing
    }

    /// Waits for something to do and does it; what happened.
    pub(crate) fn step(&mut self, at_most: Duration) -> Result<Vec<Line>, Error> {
        self.port.step(at_most).map_err(crate::error::other)?;
        let mut lines = std::mem::take(&mut self.left);
        while let Some(event) = self.port.next() {
            let Some(line) = line(event) else { continue };
            let device = line.device().and_then(|key| key_from_text(key).ok());
            // The end of a session with a device that was left is no news.
            if device.is_none_or(|device| self.devices.contains_key(&device)) {
                self.note(&line);
                lines.push(line);
            }
        }
        let is_news = lines.iter().any(|line| matches!(line, Line::SessionUp { .. }));
        if is_news || self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.look(&mut lines);
        }
        for line in &lines {
            self.keep(line);
        }
        Ok(lines)
    }

    /// A device of which all is reached has the service too.
    fn note(&mut self, line: &Line) {
        let Line::Listening { device, service, .. } = line else { return };
        if let Ok(device) = key_from_text(device)
            && let Some(names) = self.devices.get_mut(&device)
        {
            names.insert(service.clone());
        }
    }

    /// Tells of sessions that go another way than before.
    fn look(&mut self, lines: &mut Vec<Line>) {
        for device in self.devices.keys() {
            let Some(way) = self.port.way(device) else {
                self.ways.remove(device);
                continue;
            };
            let told = (way.is_relay, way.rtt_us > 0);
            let line = Line::Path {
                device: key_to_text(device),
                path: if way.is_relay { "relay" } else { "direct" }.to_owned(),
                address: way.address.to_string(),
                rtt_us: way.rtt_us,
            };
            if self.ways.insert(*device, told) == Some(told) {
                // Not worth a line, but whoever asks gets the newest.
                if let Some(old) = self.standing.iter_mut().find(|old| is_same(old, &line)) {
                    *old = line;
                }
            } else {
                lines.push(line);
            }
        }
    }

    fn keep(&mut self, line: &Line) {
        let is_about = |old: &Line| {
            is_same(old, line)
                || match line {
                    Line::Online | Line::Offline { .. } => {
                        matches!(old, Line::Online | Line::Offline { .. })
                    }
                    Line::GatewayOnline | Line::GatewayOffline { .. } => {
                        matches!(old, Line::GatewayOnline | Line::GatewayOffline { .. })
                    }
                    Line::SessionUp { .. } | Line::SessionDown { .. } => {
                        old.device() == line.device()
                            && matches!(
                                old,
                                Line::SessionUp { .. }
                                    | Line::SessionDown { .. }
                                    | Line::Path { .. }
                            )
                    }
                    _ => false,
                }
        };
        self.standing.retain(|old| !is_about(old));
        let is_passing = matches!(
            line,
            Line::Refused { .. } | Line::Left { .. } | Line::NetworkChanged | Line::Enrolled
        ) || matches!(line, Line::GatewayOffline { reason } if reason == NOT_NEEDED);
        if !is_passing {
            self.standing.push(line.clone());
        }
    }
}

/// Whether the one takes the place of the other.
fn is_same(a: &Line, b: &Line) -> bool {
    match (a, b) {
        (Line::Path { device: a, .. }, Line::Path { device: b, .. }) => a == b,
        (
            Line::Listening { device: a, service: c, kind: e, .. },
            Line::Listening { device: b, service: d, kind: f, .. },
        ) => (a, c, e) == (b, d, f),
        (
            Line::Unavailable { device: a, service: c, .. },
            Line::Unavailable { device: b, service: d, .. },
        ) => (a, c) == (b, d),
        _ => false,
    }
}

/// Calls the broker, and the LAN's gateway where there is one and the broker is not.
pub(crate) fn call(
    port: &mut Port,
    app: &App,
    broker: &str,
    given: &args::Broker,
) -> Result<(), Error> {
    if let Some(gateway) = given.gateway.as_ref().or(app.config.lan_gateway.as_ref()) {
        port.gateway(gateway, given.gateway_enrol.as_deref()).map_err(|error| {
            Error::new(Exit::Usage, format!("{gateway}: {error}"))
                .advice("`rit-server --lan` prints what is to be here.")
        })?;
    }
    port.broker(broker, given.enrol.as_deref()).map_err(|error| {
        Error::new(Exit::Unreachable, format!("{broker}: {error}"))
            .advice("Is the address right? rit://KEY@HOST[:PORT] is what rit-server prints.")
    })
}

fn line(event: Event) -> Option<Line> {
    Some(match event {
        Event::Online => Line::Online,
        Event::Offline(error) => Line::Offline { reason: broker_words(error) },
        Event::GatewayOnline => Line::GatewayOnline,
        Event::GatewayOffline(error) => Line::GatewayOffline { reason: gateway_words(error) },
        Event::Enrolled => Line::Enrolled,
        Event::EnrolRefused(error) => Line::EnrolRefused { reason: error.to_string() },
        Event::SessionUp(device) => Line::SessionUp { device: key_to_text(&device) },
        Event::SessionDown(device, error) => {
            Line::SessionDown { device: key_to_text(&device), reason: session_words(error) }
        }
        Event::Listening { device, service, is_udp, address, port } => Line::Listening {
            device: key_to_text(&device),
            service,
            kind: if is_udp { "udp" } else { "tcp" }.to_owned(),
            address,
            port,
        },
        Event::NotListening { device, service, error } => {
            Line::Unavailable { device: key_to_text(&device), service, reason: error.to_string() }
        }
        Event::Refused { device, service, error } => {
            Line::Refused { device: key_to_text(&device), service, reason: error.to_string() }
        }
        Event::NetworkChanged => Line::NetworkChanged,
        // That they work is no news; and nobody owns a node that offers nothing.
        Event::Connection { .. } | Event::Claimed(_) | Event::OwnerChanged(_) => return None,
    })
}

pub(crate) fn broker_words(error: PortError) -> String {
    match error.0 {
        rit_ffi::error::RIT_ERR_DENIED => {
            "this machine is not enrolled (rit login, or --enrol CODE)".to_owned()
        }
        _ => error.to_string(),
    }
}

pub(crate) fn gateway_words(error: PortError) -> String {
    match error.0 {
        0 => NOT_NEEDED.to_owned(),
        rit_ffi::error::RIT_ERR_DENIED => {
            "it does not know this machine (rit-server members add, or --gateway-enrol CODE)"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

fn session_words(error: i32) -> String {
    match error {
        0 => "it ended".to_owned(),
        rit_ffi::error::RIT_ERR_TIMEOUT => {
            "no answer: the device is offline, or does not let you in".to_owned()
        }
        rit_ffi::error::RIT_ERR_DENIED => {
            "you are not let in: there is no grant for you, or it is over or was taken back"
                .to_owned()
        }
        rit_ffi::error::RIT_ERR_UNKNOWN => "the broker knows no such device".to_owned(),
        rit_ffi::error::RIT_ERR_OFFLINE => "the device is offline".to_owned(),
        error => PortError(error).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_form() {
        let line = Line::Listening {
            device: "k".into(),
            service: "web".into(),
            kind: "tcp".into(),
            address: "127.1.2.3".into(),
            port: 80,
        };
        let json = serde_json::to_string(&line).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"event":"listening","device":"k","service":"web","kind":"tcp","#,
                r#""address":"127.1.2.3","port":80}"#
            )
        );
        assert_eq!(serde_json::from_str::<Line>(&json).unwrap(), line);
        assert_eq!(serde_json::to_string(&Line::Online).unwrap(), r#"{"event":"online"}"#);
        let gateway = serde_json::to_string(&Line::GatewayOnline).unwrap();
        assert_eq!(gateway, r#"{"event":"gateway-online"}"#);
        assert_eq!(Line::GatewayOnline.words(""), "online by the gateway");
        assert_eq!(line.words("garage"), "garage: web at 127.1.2.3:80");
    }
}
