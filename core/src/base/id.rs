//! Names of things that every layer speaks of: keys, contacts, addresses, sides.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Who opened the connection. Stream parity and key directions follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Sent the first packet; the TLS client.
    Initiator,
    /// Held the contact; the TLS server.
    Responder,
}

impl Side {
    /// The other end.
    pub fn peer(self) -> Side {
        match self {
            Side::Initiator => Side::Responder,
            Side::Responder => Side::Initiator,
        }
    }
}

/// What a node is called: its Ed25519 public key, or a hash of its key on P-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell keys apart in a log.
        write!(f, "key-{:02x}{:02x}{:02x}{:02x}", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

/// Names a contact key on the wire: the first 8 bytes of a first packet's destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContactId(pub [u8; 8]);

/// A remote UDP address as the port sees it, and the interface it is reached by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// IPv6 address; IPv4 as `::ffff:a.b.c.d`.
    pub ip: [u8; 16],
    /// UDP port, host order.
    pub port: u16,
    /// The relay channel of this node that it leads through, to whom address and port are the
    /// relay's; 0: none, the address is the peer's.
    pub via: u16,
    /// Which of this node's own sockets leads there: 0 the one it is known by, others are further
    /// UDP ports, [`Path::TLS`] a TCP connection with TLS.
    pub socket: u16,
    /// The port's number of the interface; 0: whichever routing chooses.
    pub ifindex: u32,
}

impl Path {
    /// The `socket` of paths that are a TCP connection with TLS, which carries datagrams.
    pub const TLS: u16 = u16::MAX;
    /// The `socket` of what comes by a UDP port that a node has for a while so that it is found,
    /// and of the answers. Nothing else goes by it.
    pub const IDENTIFY: u16 = u16::MAX - 1;

    /// Whether it is a TCP connection with TLS. Never where the library is built without.
    pub fn is_tls(&self) -> bool {
        cfg!(feature = "tcp") && self.socket == Path::TLS
    }

    /// A path to an IPv4 address.
    pub fn v4(ip: [u8; 4], port: u16) -> Self {
        Path {
            ip: Ipv4Addr::from(ip).to_ipv6_mapped().octets(),
            port,
            via: 0,
            socket: 0,
            ifindex: 0,
        }
    }

    /// Whether address and port are the same, by whatever interface or relay.
    pub fn is_same_address(&self, other: &Path) -> bool {
        (self.ip, self.port) == (other.ip, other.port)
    }

    /// Whether it leads to many at once: none of them is a peer's address.
    pub fn is_multicast(&self) -> bool {
        self.socket_addr().ip().is_multicast()
    }

    /// The address in the standard library's form.
    pub fn socket_addr(&self) -> SocketAddr {
        let v6 = Ipv6Addr::from(self.ip);
        let ip = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4);
        SocketAddr::new(ip, self.port)
    }
}

impl From<SocketAddr> for Path {
    fn from(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Path { ip: ip.octets(), port: addr.port(), via: 0, socket: 0, ifindex: 0 }
    }
}

/// The ECN codepoint of the IP packet that a datagram comes in (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// Not able to carry a mark; or nobody can tell.
    #[default]
    NotEct = 0b00,
    /// Able to, in the words of RFC 9331; never sent here.
    Ect1 = 0b01,
    /// Able to.
    Ect0 = 0b10,
    /// Met congestion.
    Ce = 0b11,
}

impl Ecn {
    /// From the low two bits of the IPv4 TOS or IPv6 traffic class octet; the others are not looked
    /// at.
    pub fn from_bits(octet: u8) -> Self {
        match octet & 0b11 {
            0b01 => Ecn::Ect1,
            0b10 => Ecn::Ect0,
            0b11 => Ecn::Ce,
            _ => Ecn::NotEct,
        }
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.socket_addr())?;
        match self.socket {
            0 => {}
            Path::TLS => write!(f, " by TLS")?,
            socket => write!(f, " from socket {socket}")?,
        }
        if self.via == 0 { Ok(()) } else { write!(f, " via {}", self.via) }
    }
}
