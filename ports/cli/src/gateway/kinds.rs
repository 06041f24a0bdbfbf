//! What a service likely is, and what it could be called.
//!
//! Owns the table of well-known ports, of DNS-SD's types and of what services say first.
//! Invariants: a guess says why; a suggested name is a service's name, whatever the neighbour calls
//! itself.

use std::collections::BTreeSet;

/// What is looked for where a rule allows it: port, type.
const PORTS: &[(u16, &str)] = &[
    (22, "ssh"),
    (53, "dns"),
    (80, "http"),
    (443, "https"),
    (502, "modbus"),
    (554, "rtsp"),
    (631, "printer"),
    (1883, "mqtt"),
    (5900, "vnc"),
    (8080, "http"),
    (8443, "https"),
    (9100, "printer"),
];

/// DNS-SD's names (RFC 6763 section 7) without `_tcp.local`: type.
const ADVERTISED: &[(&str, &str)] = &[
    ("_http", "http"),
    ("_https", "https"),
    ("_ipp", "printer"),
    ("_ipps", "printer"),
    ("_modbus", "modbus"),
    ("_mqtt", "mqtt"),
    ("_pdl-datastream", "printer"),
    ("_printer", "printer"),
    ("_rfb", "vnc"),
    ("_rtsp", "rtsp"),
    ("_sftp-ssh", "ssh"),
    ("_smb", "smb"),
    ("_ssh", "ssh"),
];

/// What comes by itself on a new connection begins so: type.
const BANNERS: &[(&[u8], &str)] = &[(b"SSH-", "ssh"), (b"RFB ", "vnc"), (b"220 ", "mail or ftp")];

const HOST_MAX: usize = 30;

/// A type and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guess {
    pub(crate) kind: String,
    pub(crate) why: String,
}

pub(crate) fn well_known_ports() -> impl Iterator<Item = u16> {
    PORTS.iter().map(|(port, _)| *port)
}

/// Types that are asked for by their names, beside those that responders list.
pub(crate) fn advertised_types() -> impl Iterator<Item = String> {
    ADVERTISED.iter().map(|(name, _)| format!("{name}._tcp.local"))
}

/// The best reason first: what it said itself, what it is advertised as, its port.
pub(crate) fn guess(port: u16, is_udp: bool, banner: &[u8], advertised: Option<&str>) -> Guess {
    if let Some((_, kind)) = BANNERS.iter().find(|(start, _)| banner.starts_with(start)) {
        let line = banner.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or(banner);
        let line: String = String::from_utf8_lossy(line).chars().take(80).collect();
        return Guess { kind: (*kind).to_owned(), why: format!("it says '{line}'") };
    }
    if let Some(name) = advertised {
        let known = ADVERTISED.iter().find(|(it, _)| name.split('.').next() == Some(*it));
        let own = name.split('.').next().unwrap_or_default().trim_start_matches('_');
        let kind = known.map_or_else(|| own.to_owned(), |(_, kind)| (*kind).to_owned());
        return Guess { kind, why: format!("mDNS: {name}") };
    }
    let known = PORTS.iter().find(|(it, _)| *it == port);
    let unknown = if is_udp { "udp" } else { "tcp" };
    let kind = known.map_or(unknown, |(_, kind)| kind).to_owned();
    Guess { kind, why: format!("port {port}") }
}

/// A name that nothing has yet, and that has it from now on.
pub(crate) fn suggest(kind: &str, host: &str, taken: &mut BTreeSet<String>) -> String {
    let kind = match label(kind, 12) {
        kind if kind.is_empty() => "service".to_owned(),
        kind if kind == "http" => "web".to_owned(),
        kind => kind,
    };
    let host = match label(host, HOST_MAX) {
        host if host.is_empty() => "host".to_owned(),
        host => host,
    };
    let mut name = format!("{kind}.{host}");
    let mut number = 1;
    while taken.contains(&name) {
        number += 1;
        name = format!("{kind}-{number}.{host}");
    }
    taken.insert(name.clone());
    name
}

/// Letters in lower case, digits, and single hyphens between them.
fn label(text: &str, most: usize) -> String {
    let mut label = String::new();
    for c in text.chars().take(256) {
        if label.len() >= most {
            break;
        }
        if c.is_ascii_alphanumeric() {
            label.push(c.to_ascii_lowercase());
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_reason_counts() {
        let is = |port, banner: &[u8], advertised| guess(port, false, banner, advertised).kind;
        assert_eq!(is(2222, b"SSH-2.0-OpenSSH_9.2\r\n", Some("_http._tcp.local")), "ssh");
        assert_eq!(is(22, b"RFB 003.008\n", None), "vnc");
        assert_eq!(is(9999, b"", Some("_http._tcp.local")), "http");
        assert_eq!(is(9999, b"hello", Some("_airplay._tcp.local")), "airplay");
        assert_eq!(is(502, b"", None), "modbus");
        assert_eq!(is(9999, b"", None), "tcp");
        assert_eq!(guess(9999, true, b"", None).kind, "udp");
        let long = [b"SSH-".to_vec(), vec![b'a'; 300], b"\r\nmore".to_vec()].concat();
        assert_eq!(guess(22, false, &long, None).why.len(), 80 + "it says ''".len());
    }

    #[test]
    fn suggestions_are_names() {
        let is_name = rit_core::wire::message::is_service_name;
        let mut taken = BTreeSet::new();
        assert_eq!(suggest("http", "HVAC Roof", &mut taken), "web.hvac-roof");
        assert_eq!(suggest("http", "hvac.roof", &mut taken), "web-2.hvac-roof");
        for (kind, host) in [
            ("", ""),
            ("\u{1b}[2J", "\u{202e}"),
            ("…", "…"),
            (&*"k".repeat(500), &*"é-".repeat(500)),
            ("a", "-"),
        ] {
            for _ in 0..12 {
                let name = suggest(kind, host, &mut taken);
                assert!(is_name(&name) && name.len() <= 63, "{name}");
            }
        }
    }
}
