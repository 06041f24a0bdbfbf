//! Calling IPv4 addresses from a network that has but IPv6 (RFC 6146).
//!
//! Knows the well-known prefix alone, 64:ff9b::/96 (RFC 6052 §2.1); that the network has a NAT64
//! shows by the broker's answering at an address with it.

use crate::base::Path;

const PREFIX: [u8; 12] = [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
const V4_MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// Whether a path leads through a NAT64.
pub fn is_by_nat64(path: &Path) -> bool {
    path.ip.starts_with(&PREFIX)
}

/// How an IPv4 path is called through a NAT64; others stay as they are.
pub fn by_nat64(mut path: Path) -> Path {
    if path.ip.starts_with(&V4_MAPPED) {
        path.ip[..PREFIX.len()].copy_from_slice(&PREFIX);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_gets_the_prefix_and_ipv6_stays() {
        let path = by_nat64(Path::v4([192, 0, 2, 33], 7));
        let text = alloc::format!("{path:?}");
        assert_eq!(text, "[64:ff9b::c000:221]:7");
        assert!(is_by_nat64(&path) && !is_by_nat64(&Path::v4([192, 0, 2, 33], 7)));
        let v6 = Path { ip: [0x20; 16], ..path };
        assert_eq!(by_nat64(v6), v6);
        assert_eq!(by_nat64(path), path);
    }
}
