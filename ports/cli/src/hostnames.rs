//! Names for loopback addresses: `SERVICE.DEVICE.rit`, and `DEVICE.rit` for all of a device's.
//!
//! Owns how a device's name becomes a label, and which names there are. Does not own who answers
//! them (`resolver`) or writes them down (`hosts`). Invariants: a name of the configuration goes
//! before one that was used before; one that would stand for two devices stands for none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use rit_core::wire::text::key_from_text;

use crate::App;
use crate::error::Error;
use crate::live::Line;
use crate::text::escape_line;

/// What all names end with.
pub(crate) const DOMAIN: &str = "rit";
/// Of a label (RFC 1035 section 2.3.4).
const LABEL_MAX: usize = 63;

/// Addresses by names, in lower case and without the last dot.
pub(crate) type Table = BTreeMap<String, BTreeSet<Ipv4Addr>>;

/// The names of what is reached, and words about what has none.
pub(crate) fn table(app: &App, lines: &[Line]) -> Result<(Table, Vec<String>), Error> {
    let mut complaints = Vec::new();
    let written: Vec<(&str, &str)> = app.config.names().collect();
    let stored = app.state.read()?.names;
    let used: Vec<(&str, &str)> =
        stored.iter().map(|(name, key)| (name.as_str(), key.as_str())).collect();
    let devices: BTreeSet<&str> = lines.iter().filter_map(listening).map(|it| it.0).collect();
    let labels = labels([&written, &used], &devices, &mut complaints);
    let mut table = Table::new();
    for (device, service, address) in lines.iter().filter_map(listening) {
        // By its key, what nobody has named.
        let key = BTreeSet::from([device.to_owned()]);
        for label in labels.get(device).unwrap_or(&key) {
            table.entry(format!("{label}.{DOMAIN}")).or_default().insert(address);
            if service.split('.').all(|part| !part.is_empty()) {
                let name = format!("{service}.{label}.{DOMAIN}");
                table.entry(name).or_default().insert(address);
            }
        }
        if service.split('.').any(str::is_empty) {
            complaints
                .push(format!("the service '{service}' has no name below {DOMAIN}: its dots"));
        }
    }
    Ok((table, complaints))
}

fn listening(line: &Line) -> Option<(&str, &str, Ipv4Addr)> {
    match line {
        Line::Listening { device, service, address, .. } => {
            Some((device, service, address.parse().ok()?))
        }
        _ => None,
    }
}

/// The labels of each of these devices, of names in the order in which they count.
fn labels(
    names: [&[(&str, &str)]; 2],
    devices: &BTreeSet<&str>,
    complaints: &mut Vec<String>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for names in names {
        let mut here: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (name, key) in names {
            let is_key = key_from_text(name).is_ok();
            match label(name) {
                Some(label) if !is_key => {
                    here.entry(label).or_default().insert(key);
                }
                None if devices.contains(key) => complaints.push(format!(
                    "'{}' does not make a name below {DOMAIN}: give the device another in [names]",
                    escape_line(name)
                )),
                _ => {}
            }
        }
        for (label, keys) in here {
            if !taken.insert(label.clone()) {
                continue;
            }
            if keys.len() == 1 {
                owners.extend(keys.first().map(|key| (label, (*key).to_owned())));
            } else if keys.iter().any(|key| devices.contains(key)) {
                complaints.push(format!("{label}.{DOMAIN} would stand for several devices"));
            }
        }
    }
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (label, key) in owners {
        labels.entry(key).or_default().insert(label);
    }
    labels
}

/// A device's name as a label: letters in lower case, digits, and a hyphen for whatever else
/// stands between them. `None`: nothing is left, or too much.
fn label(name: &str) -> Option<String> {
    let mut label = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c.to_ascii_lowercase());
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(label.trim_end_matches('-').len());
    (1..=LABEL_MAX).contains(&label.len()).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_labels() {
        let is = |name: &str| label(name);
        assert_eq!(is("Front Door").as_deref(), Some("front-door"));
        assert_eq!(is(" _garage (2).").as_deref(), Some("garage-2"));
        assert_eq!(is("Küche").as_deref(), Some("k-che"));
        assert_eq!((is(""), is("…"), is("-")), (None, None, None));
        assert_eq!(is(&"a".repeat(63)).unwrap().len(), 63);
        assert_eq!(is(&"a".repeat(64)), None);
    }

    #[test]
    fn what_counts_and_what_is_told() {
        let written = [("Garage", "k1"), ("door a", "k2"), ("door_a", "k3"), ("person", "p")];
        let used = [("garage", "k2"), ("shed", "k2"), ("…", "k3"), ("door-a", "k1")];
        let mut told = Vec::new();
        let devices = BTreeSet::from(["k1", "k2", "k3"]);
        let labels = labels([&written, &used], &devices, &mut told);
        let of = |key: &str| labels.get(key).map(|all| Vec::from_iter(all.clone()));
        assert_eq!(of("k1"), Some(vec!["garage".to_owned()]));
        assert_eq!(of("k2"), Some(vec!["shed".to_owned()]));
        assert_eq!(of("k3"), None);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("several") && told[1].contains("does not make a name"));
    }
}
