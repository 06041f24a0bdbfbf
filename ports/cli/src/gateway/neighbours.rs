//! The kernel's table of neighbours (ARP and IPv6 neighbour discovery), and this host's addresses.
//!
//! Owns asking for both by rtnetlink(7) and reading the answer. Nothing is sent to the network.
//! Invariant: only what the kernel sent is read.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::rules::Net;
use crate::port::is_never;

const HEADER_LEN: usize = 16;
const MESSAGES_MAX: usize = 100_000;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_NEIGHBOUR: u16 = 28;
const GET_NEIGHBOUR: u16 = 30;
/// Reachable, stale, delay, probe, permanent: somebody has answered, or somebody said so.
const STATES: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;

/// A host that this one has spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) address: IpAddr,
    /// Of its interface, `aa:bb:…`.
    pub(crate) link: String,
}

/// Who is there, as far as the kernel knows.
pub(crate) fn table() -> io::Result<Vec<Neighbour>> {
    let answer = dump(GET_NEIGHBOUR, 12)?;
    let mut found: Vec<Neighbour> =
        messages(&answer, NEW_NEIGHBOUR).filter_map(neighbour).collect();
    found.sort_by_key(|neighbour| neighbour.address);
    found.dedup_by_key(|neighbour| neighbour.address);
    Ok(found)
}

/// This host's addresses, each with the network that it is in.
pub(crate) fn own() -> io::Result<Vec<Net>> {
    let answer = dump(GET_ADDRESS, 8)?;
    Ok(messages(&answer, NEW_ADDRESS).filter_map(own_address).collect())
}

fn neighbour(body: &[u8]) -> Option<Neighbour> {
    let state = u16::from_ne_bytes([*body.get(8)?, *body.get(9)?]);
    let address = ip(attribute(body.get(12..)?, 1)?)?;
    let link = attribute(body.get(12..)?, 2)?;
    let is_there = state & STATES != 0 && link.len() <= 8 && link.iter().any(|byte| *byte != 0);
    let link: Vec<String> = link.iter().map(|byte| format!("{byte:02x}")).collect();
    (is_there && !is_never(&address)).then(|| Neighbour { address, link: link.join(":") })
}

fn own_address(body: &[u8]) -> Option<Net> {
    let bits = *body.get(1)?;
    let attributes = body.get(8..)?;
    // Where they differ, the first is the other end's of a point-to-point link.
    let address = ip(attribute(attributes, 2).or_else(|| attribute(attributes, 1))?)?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    (bits <= width).then_some(Net { address, bits })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::V4(Ipv4Addr::from(v4)));
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| IpAddr::V6(Ipv6Addr::from(v6)))
}

/// Length and type, aligned to four octets.
fn split(bytes: &[u8], header: usize) -> Option<(&[u8], &[u8])> {
    let len = if header == 4 {
        usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?))
    } else {
        usize::try_from(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?
    };
    let one = bytes.get(..len).filter(|one| one.len() >= header)?;
    let next = len.checked_next_multiple_of(4)?.min(bytes.len());
    Some((one, &bytes[next..]))
}

fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some((one, rest)) = split(bytes, 4) {
        if u16::from_ne_bytes([one[2], one[3]]) == wanted {
            return Some(&one[4..]);
        }
        bytes = rest;
    }
    None
}

/// The bodies of the messages of a type.
fn messages(bytes: &[u8], wanted: u16) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (one, after) = split(rest, HEADER_LEN)?;
        rest = after;
        Some(one)
    })
    .filter(move |one| u16::from_ne_bytes([one[4], one[5]]) == wanted)
    .map(|one| &one[HEADER_LEN..])
}

/// Everything that the kernel answers to a request for a table.
#[cfg(target_os = "linux")]
fn dump(request: u16, body_len: usize) -> io::Result<Vec<u8>> {
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
    use rustix::net::{bind, recvfrom, sendto, socket_with};

    const REQUEST_AND_DUMP: u16 = 0x301;
    let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    // Its protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(family, SocketType::RAW, flags, None)?;
    let kernel = SocketAddrNetlink::new(0, 0);
    bind(&socket, &kernel)?;
    let mut asked = vec![0; HEADER_LEN + body_len];
    let len = asked.len() as u32;
    asked[..4].copy_from_slice(&len.to_ne_bytes());
    asked[4..6].copy_from_slice(&request.to_ne_bytes());
    asked[6..8].copy_from_slice(&REQUEST_AND_DUMP.to_ne_bytes());
    sendto(&socket, &asked, SendFlags::empty(), &kernel)?;
    let (mut all, mut part) = (Vec::new(), vec![0; 1 << 16]);
    for _ in 0..MESSAGES_MAX {
        let (len, _, from) = recvfrom(&socket, &mut part[..], RecvFlags::empty())?;
        let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
        if from.is_none_or(|from| from.pid() != 0) {
            continue;
        }
        let part = &part[..len];
        if messages(part, ERROR).next().is_some() {
            return Err(io::Error::other("the kernel refused to list its tables"));
        }
        all.extend_from_slice(part);
        if messages(part, DONE).next().is_some() {
            return Ok(all);
        }
    }
    Err(io::Error::other("the kernel's tables do not end"))
}

#[cfg(not(target_os = "linux"))]
fn dump(_request: u16, _body_len: usize) -> io::Result<Vec<u8>> {
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rit_core::base::Rng;

    fn attribute_of(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = (4 + value.len()) as u16;
        let mut bytes = [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message_of(kind: u16, body: &[u8]) -> Vec<u8> {
        let len = (HEADER_LEN + body.len()) as u32;
        [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], body].concat()
    }

    fn neighbour_of(address: [u8; 4], state: u16, link: &[u8]) -> Vec<u8> {
        let head = [&[0; 8][..], &state.to_ne_bytes(), &[0; 2]].concat();
        let body = [head, attribute_of(1, &address), attribute_of(2, link)].concat();
        message_of(NEW_NEIGHBOUR, &body)
    }

    #[test]
    fn a_table_is_read() {
        let link = [2, 0, 0, 0, 0, 7];
        let table = [
            neighbour_of([192, 168, 1, 20], 0x04, &link),
            neighbour_of([192, 168, 1, 21], 0x20, &link), // failed
            neighbour_of([192, 168, 1, 22], 0x01, &[]),   // nobody answered yet
            neighbour_of([192, 168, 1, 23], 0x02, &[0; 6]),
            neighbour_of([224, 0, 0, 251], 0x80, &link),
            message_of(DONE, &[0; 4]),
        ]
        .concat();
        let found: Vec<Neighbour> = messages(&table, NEW_NEIGHBOUR).filter_map(neighbour).collect();
        let address = IpAddr::from([192, 168, 1, 20]);
        assert_eq!(found, [Neighbour { address, link: "02:00:00:00:00:07".into() }]);
        let body = [&[2, 24, 0, 0, 0, 0, 0, 0][..], &attribute_of(1, &[10, 0, 0, 9])].concat();
        let own = own_address(&body).unwrap();
        assert_eq!((own.address, own.bits), (IpAddr::from([10, 0, 0, 9]), 24));
    }

    #[test]
    fn noise_does_no_harm() {
        let mut rng = Rng::from_seed([4; 32]);
        let good = neighbour_of([192, 168, 1, 20], 0x04, &[2, 0, 0, 0, 0, 7]);
        for _ in 0..20_000 {
            let mut bent = good.clone();
            let mut dice = [0; 5];
            rng.fill(&mut dice);
            for pair in dice[..4].chunks(2) {
                let at = usize::from(pair[0]) % bent.len();
                bent[at] = pair[1];
            }
            bent.truncate(usize::from(dice[4]) % (good.len() + 1));
            let _ = messages(&bent, NEW_NEIGHBOUR).filter_map(neighbour).count();
            let _ = messages(&bent, NEW_NEIGHBOUR).filter_map(own_address).count();
        }
    }

    #[test]
    fn the_kernel_s_own() {
        // Its loopback address every machine has where it is up; a table may be empty.
        assert!(table().is_ok());
        assert!(own().is_ok());
    }
}
