//! Where nodes of one network ask for each other; `lan` owns when.

use crate::base::Path;

/// Where all nodes that can listen do: 239.255.114.116, of the IPv4 local scope (RFC 2365 §6.1),
/// and ff12::efff:7274, link-local and not assigned by IANA (RFC 4291 §2.7, RFC 3307 §4.3).
pub const LAN_GROUPS: [Path; 2] = [
    group([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xef, 0xff, 0x72, 0x74]),
    group([0xff, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xef, 0xff, 0x72, 0x74]),
];
/// The UDP port there.
pub const LAN_PORT: u16 = 7484;

pub(super) const fn group(ip: [u8; 16]) -> Path {
    Path { ip, port: LAN_PORT, via: 0, socket: 0, ifindex: 0 }
}
