//! Host names of services under the wildcard: one for each service of a device, always the same.
//!
//! Owns how a name is made and read. Invariant: a name tells nothing of the device, and another
//! device's or service's is another.

use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use rit_core::base::PublicKey;
use rit_core::crypto;

/// 130 bits in base32: nobody finds another service with the same.
pub(crate) const LABEL_LEN: usize = 26;
/// RFC 1035: of a whole name.
const NAME_LEN_MAX: usize = 253;

/// What the wildcard is under, as `face.example` of `*.face.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Domain(String);

impl FromStr for Domain {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix("*.").unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_name = text.len() + LABEL_LEN < NAME_LEN_MAX && text.split('.').all(is_label);
        if is_name { Ok(Domain(text)) } else { Err("it is not a domain") }
    }
}

impl Domain {
    /// The host name of a label.
    pub(crate) fn host(&self, label: &str) -> String {
        format!("{label}.{}", self.0)
    }

    /// The label of a host name, which may be in capitals; none if it is not one of ours.
    pub(crate) fn label(&self, host: &str) -> Option<String> {
        let host = host.to_ascii_lowercase();
        let label = host.strip_suffix(&self.0)?.strip_suffix('.')?;
        let is_ours = label.len() == LABEL_LEN
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        is_ours.then(|| label.to_owned())
    }
}

/// What a service of a device is called.
pub(crate) fn label(device: &PublicKey, service: &str) -> String {
    let parts: [&[u8]; 3] = [b"rit/1 face", &device.0, service.as_bytes()];
    let hash = crypto::default_provider().sha256(&parts);
    let mut text = BASE32_NOPAD.encode(&hash).to_ascii_lowercase();
    text.truncate(LABEL_LEN);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_others_are_not() {
        let domain: Domain = "*.Face.Example".parse().unwrap();
        let label = label(&PublicKey([1; 32]), "web");
        let host = domain.host(&label);
        assert_eq!(host, format!("{label}.face.example"));
        assert_eq!(domain.label(&host).as_deref(), Some(&label[..]));
        assert_eq!(domain.label(&host.to_ascii_uppercase()), Some(label.clone()));
        let others = [
            "face.example".into(),
            format!("x{label}.face.example"),
            format!("{label}face.example"),
            format!("a.{label}.face.example"),
            format!("{label}.face.example.org"),
            format!("{label}.face.example."),
            format!("{}1.face.example", &label[1..]),
        ];
        for other in others {
            assert_eq!(domain.label(&other), None, "{other}");
        }
    }

    #[test]
    fn each_service_of_each_device_has_its_own() {
        let made = [(1, "web"), (1, "ssh"), (2, "web")]
            .map(|(device, service)| label(&PublicKey([device; 32]), service));
        assert!(made[0] != made[1] && made[0] != made[2] && made[1] != made[2]);
        assert_eq!(made[0], label(&PublicKey([1; 32]), "web"));
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for bad in ["", "*.", "a..b", "-a.b", "a-.b", "a b", "a/b", "*.*.b", &"a.".repeat(120)] {
            assert!(bad.parse::<Domain>().is_err(), "{bad}");
        }
        let limit = format!("{}a", "a.".repeat((NAME_LEN_MAX - LABEL_LEN) / 2 - 1));
        assert!(limit.parse::<Domain>().is_ok());
    }
}
