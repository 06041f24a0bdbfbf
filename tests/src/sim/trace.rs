//! A hash over everything that was sent: two runs of one seed must agree in it.

use super::net::Datagram;
use rit_core::base::Time;

/// FNV-1a, 64 bits: enough to tell two traces apart.
pub(super) struct Fnv(pub(super) u64);

impl Fnv {
    pub(super) fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn add(&mut self, datagram: &Datagram, now: Time) {
        self.bytes(&now.as_micros().to_le_bytes());
        for path in [&datagram.src, &datagram.dst] {
            self.bytes(&path.ip);
            self.bytes(&path.port.to_le_bytes());
        }
        self.bytes(&[datagram.ecn as u8]);
        self.bytes(&(datagram.bytes.len() as u64).to_le_bytes());
        self.bytes(&datagram.bytes);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
