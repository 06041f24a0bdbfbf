//! What people write about neighbours: rules, and services with where they are.
//!
//! Owns the forms `192.168.1.0/24:80,443`, `192.168.1.20:80=web.hvac` and
//! `web.hvac=udp:192.168.1.20:53`, and which addresses are nobody's neighbour. Whether something is
//! connected to the POSIX port decides by rules of the same meaning; here it is for scans.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Addresses with a common beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Net {
    pub(crate) address: IpAddr,
    pub(crate) bits: u8,
}

/// Addresses and a range of ports at which neighbours' services may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    pub(crate) net: Net,
    pub(crate) first: u16,
    pub(crate) last: u16,
}

/// A neighbour's service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) is_udp: bool,
    /// An address, or a name.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Net {
    pub(crate) fn contains(&self, address: &IpAddr) -> bool {
        let shared = |a: &[u8], b: &[u8]| {
            let (whole, rest) = (usize::from(self.bits / 8), self.bits % 8);
            a[..whole] == b[..whole] && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0)
        };
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => shared(&a.octets(), &b.octets()),
            (IpAddr::V6(a), IpAddr::V6(b)) => shared(&a.octets(), &b.octets()),
            _ => false,
        }
    }

    /// How many addresses; `None`: more than can be gone through.
    pub(crate) fn size(&self) -> Option<u32> {
        let width = if self.address.is_ipv4() { 32 } else { 128 };
        1_u32.checked_shl(u32::from(width - self.bits)).filter(|size| *size <= 1 << 16)
    }

    /// Each of them, of a network that has a size.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let size = self.size().unwrap_or(0);
        let one = |i: u32| match self.address {
            IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from(u32::from(first) | i)),
            IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from(u128::from(first) | u128::from(i))),
        };
        (0..size).map(one).collect()
    }

    fn parse(text: &str) -> Result<Net, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_error| format!("'{address}' is no address"))?;
        if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            return Err(format!("'{address}': write it as IPv4"));
        }
        let width = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |bits: &&str| bits.bytes().all(|b| b.is_ascii_digit());
        let bits = bits.map_or(Some(width), |bits| {
            Some(bits).filter(is_number)?.parse().ok().filter(|bits| *bits <= width)
        });
        let bits =
            bits.ok_or_else(|| format!("'{text}': up to {width} bits stand behind the /"))?;
        let rest = match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
            IpAddr::V6(v6) => u128::from(v6),
        };
        if bits < width && rest << bits != 0 {
            return Err(format!("'{text}': there are bits behind the first {bits}"));
        }
        Ok(Net { address, bits })
    }
}

impl Rule {
    pub(crate) fn allows(&self, address: &IpAddr, port: u16) -> bool {
        self.net.contains(address) && (self.first..=self.last).contains(&port)
    }

    /// The one that a service at an address needs.
    pub(crate) fn of(service: &Service) -> Option<Rule> {
        let net = Net::parse(&service.host).ok()?;
        Some(Rule { net, first: service.port, last: service.port })
    }
}

fn port(text: &str) -> Result<u16, String> {
    let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("'{text}' is no port: they are numbers from 1 to 65535"))
}

/// `HOST:PORTS`, where HOST may stand in brackets, and has to if there are colons in it.
fn split_host(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or_else(|| format!("'{text}': no ]"))?;
        return match rest.strip_prefix(':') {
            Some(ports) => Ok((host, Some(ports))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(format!("'{text}': a colon and ports stand behind the ]")),
        };
    }
    match text.split_once(':') {
        Some((_, more)) if more.contains(':') => {
            Err(format!("'{text}': an IPv6 address stands in brackets"))
        }
        Some((host, ports)) => Ok((host, Some(ports))),
        None => Ok((text, None)),
    }
}

/// `ADDRESS[/BITS][:PORTS]`: a rule for each range of ports.
pub(crate) fn rules(text: &str) -> Result<Vec<Rule>, String> {
    let (host, ports) = split_host(text)?;
    let net = Net::parse(host)?;
    let Some(ports) = ports else { return Ok(vec![Rule { net, first: 1, last: u16::MAX }]) };
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(format!("'{text}' is no range of ports"));
        }
        Ok(Rule { net, first, last })
    };
    ports.split(',').map(range).collect()
}

fn service(name: &str, place: &str) -> Result<Service, String> {
    if !rit_core::wire::message::is_service_name(name) {
        return Err(format!("'{name}' is no name of a service: a-z 0-9 - _ . such as web.hvac"));
    }
    let (is_udp, place) = match place.strip_prefix("udp:") {
        Some(place) => (true, place),
        None => (false, place),
    };
    let (host, number) = split_host(place)?;
    let number = number.ok_or_else(|| format!("'{place}': the port is missing"))?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '%');
    if host.is_empty() || host.len() > 255 || !host.chars().all(is_name) {
        return Err(format!("'{host}' is no host"));
    }
    Ok(Service { name: name.to_owned(), is_udp, host: host.to_owned(), port: port(number)? })
}

/// `[udp:]HOST:PORT=NAME`, as it is published.
pub(crate) fn published(text: &str) -> Result<Service, String> {
    let (place, name) =
        text.split_once('=').ok_or_else(|| format!("'{text}': =NAME is missing"))?;
    service(name, place)
}

/// `NAME=[udp:]HOST:PORT`.
pub(crate) fn offered(text: &str) -> Result<Service, String> {
    let (name, place) =
        text.split_once('=').ok_or_else(|| format!("'{text}': NAME= is missing"))?;
    service(name, place)
}

/// Of `--allow`: rules, or a service with the rule that it needs.
pub(crate) fn allowed(text: &str) -> Result<(Vec<Rule>, Option<Service>), String> {
    if !text.contains('=') {
        return Ok((rules(text)?, None));
    }
    let service = published(text)?;
    let rule = Rule::of(&service)
        .ok_or_else(|| format!("'{}' is no address: names are not rules", service.host))?;
    Ok((vec![rule], Some(service)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_as_people_write_them() {
        let written = |text: &str| {
            let rules = rules(text)?;
            let one = |rule: &Rule| format!("{} {}-{}", rule.net, rule.first, rule.last);
            Ok::<_, String>(rules.iter().map(one).collect::<Vec<_>>().join(", "))
        };
        assert_eq!(
            written("192.168.1.0/24:80,443").unwrap(),
            "192.168.1.0/24 80-80, 192.168.1.0/24 443-443"
        );
        assert_eq!(written("192.168.1.20:8000-8099").unwrap(), "192.168.1.20/32 8000-8099");
        assert_eq!(written("10.0.0.0/8").unwrap(), "10.0.0.0/8 1-65535");
        assert_eq!(written("0.0.0.0/0:65535").unwrap(), "0.0.0.0/0 65535-65535");
        assert_eq!(written("[fd00:1::/64]:22").unwrap(), "fd00:1::/64 22-22");
        assert_eq!(written("[::/0]").unwrap(), "::/0 1-65535");
        for wrong in [
            "",
            ":80",
            "hvac:80",
            "192.168.1.20/24:80",
            "192.168.1.0/33:80",
            "192.168.1.0/+4",
            "192.168.1.0/:80",
            "192.168.1.20:",
            "192.168.1.20:0",
            "192.168.1.20:65536",
            "192.168.1.20:+80",
            "192.168.1.20:90-80",
            "192.168.1.20:80,",
            "192.168.1.20:80-",
            "fd00::1:80",
            "[fd00::1]80",
            "[fd00::1",
            "[fd00::1/64]:80",
            "[::ffff:10.0.0.1]:80",
            "[]:80",
        ] {
            assert!(rules(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn services_as_people_write_them() {
        let web = Service {
            name: "web.hvac".into(),
            is_udp: false,
            host: "192.168.1.20".into(),
            port: 80,
        };
        assert_eq!(published("192.168.1.20:80=web.hvac"), Ok(web.clone()));
        assert_eq!(offered("web.hvac=192.168.1.20:80"), Ok(web.clone()));
        let dns = published("udp:[fd00::5]:53=dns").unwrap();
        assert_eq!((dns.is_udp, &*dns.host, dns.port), (true, "fd00::5", 53));
        assert_eq!(offered("print=printer.lan:631").unwrap().host, "printer.lan");
        let (rules, service) = allowed("192.168.1.20:80=web.hvac").unwrap();
        assert_eq!((&*rules, service), (&[Rule::of(&web).unwrap()][..], Some(web)));
        assert_eq!(allowed("192.168.1.0/24").unwrap().1, None);
        for wrong in [
            "192.168.1.20:80",
            "192.168.1.20=web",
            "192.168.1.20:80=Web",
            "h:80=",
            ":80=web",
            "a b:80=web",
            "h:80=web=x",
            "\u{1b}:80=web",
            "h:0=web",
            "udp:h=web",
        ] {
            assert!(published(wrong).is_err(), "{wrong}");
        }
        for wrong in ["printer.lan:631=print", "192.168.1.0/24:80=web", "192.168.1.20=web"] {
            assert!(allowed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn networks_at_their_edges() {
        let is_in =
            |net: &str, address: &str| Net::parse(net).unwrap().contains(&address.parse().unwrap());
        for (net, inside, outside) in [
            ("192.168.4.0/23", ["192.168.4.0", "192.168.5.255"], ["192.168.3.255", "192.168.6.0"]),
            ("10.0.0.9", ["10.0.0.9", "10.0.0.9"], ["10.0.0.8", "10.0.0.10"]),
            ("fd00::8/125", ["fd00::8", "fd00::f"], ["fd00::7", "fd00::10"]),
        ] {
            assert!(inside.iter().all(|address| is_in(net, address)), "{net}");
            assert!(!outside.iter().any(|address| is_in(net, address)), "{net}");
        }
        assert!(is_in("0.0.0.0/0", "1.2.3.4") && !is_in("0.0.0.0/0", "::1"));
        let net = Net::parse("10.0.0.4/30").unwrap();
        assert_eq!(net.addresses().len(), 4);
        assert_eq!(net.addresses()[3], IpAddr::from([10, 0, 0, 7]));
        assert_eq!(Net::parse("10.0.0.0/8").unwrap().size(), None);
        assert_eq!(Net::parse("::/0").unwrap().addresses().len(), 0);
    }
}
