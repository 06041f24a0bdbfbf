//! The bound: what ring alone takes to seal, mask, unmask and open the same packets.

use crate::bulk::{BURST, Run};
use crate::clock::cpu_time;
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey, quic};

const TAG_LEN: usize = 16;
const SAMPLE_LEN: usize = 16;
/// Short header with an eight-byte connection ID and a two-byte packet number.
const HEADER_LEN: usize = 11;
/// Type, stream, six-byte average of offset, and length of a STREAM frame.
const FRAME_LEN: usize = 10;

/// Packets of one size under one key.
pub struct Bound {
    packet_key: LessSafeKey,
    header_key: quic::HeaderProtectionKey,
    datagram: usize,
    pn: u64,
    burst: Vec<Vec<u8>>,
}

impl Bound {
    /// Packets of `datagram` bytes.
    pub fn new(datagram: usize) -> Bound {
        let packet_key = UnboundKey::new(&aead::AES_128_GCM, &[1; 16]).expect("sixteen bytes");
        Bound {
            packet_key: LessSafeKey::new(packet_key),
            header_key: quic::HeaderProtectionKey::new(&quic::AES_128, &[2; 16])
                .expect("sixteen bytes"),
            datagram,
            pn: 0,
            burst: vec![vec![7; datagram]; BURST],
        }
    }

    /// As many packets as `bytes` of a stream take.
    pub fn run(&mut self, bytes: u64) -> Run {
        let payload = (self.datagram - HEADER_LEN - FRAME_LEN - TAG_LEN) as u64;
        let bursts = bytes.div_ceil(payload).div_ceil(BURST as u64);
        let start = cpu_time();
        for _ in 0..bursts {
            self.seal_and_open();
        }
        let bytes = bursts * BURST as u64 * payload;
        Run { bytes, cpu: cpu_time() - start, datagram: self.datagram }
    }

    fn seal_and_open(&mut self) {
        let first = self.pn;
        for (packet, pn) in self.burst.iter_mut().zip(first..) {
            let (header, sealed) = packet.split_at_mut(HEADER_LEN);
            let (plain, room) = sealed.split_at_mut(sealed.len() - TAG_LEN);
            let tag = self
                .packet_key
                .seal_in_place_separate_tag(nonce(pn), Aad::from(&*header), plain)
                .expect("it seals");
            room.copy_from_slice(tag.as_ref());
            mask(&self.header_key, packet);
        }
        for (packet, pn) in self.burst.iter_mut().zip(first..) {
            mask(&self.header_key, packet);
            let (header, sealed) = packet.split_at_mut(HEADER_LEN);
            self.packet_key
                .open_in_place(nonce(pn), Aad::from(&*header), sealed)
                .expect("what was sealed opens");
        }
        self.pn += BURST as u64;
    }
}

/// Puts header protection on, or takes it off (RFC 9001 §5.4.1).
fn mask(key: &quic::HeaderProtectionKey, packet: &mut [u8]) {
    let (header, sealed) = packet.split_at_mut(HEADER_LEN);
    // The sample stands where it would if the packet number had four bytes.
    let mask = key.new_mask(&sealed[2..2 + SAMPLE_LEN]).expect("sixteen bytes");
    header[0] ^= mask[0] & 0x1f;
    header[HEADER_LEN - 2] ^= mask[1];
    header[HEADER_LEN - 1] ^= mask[2];
}

fn nonce(pn: u64) -> Nonce {
    let mut nonce = [5; aead::NONCE_LEN];
    for (byte, pn) in nonce[4..].iter_mut().zip(pn.to_be_bytes()) {
        *byte ^= pn;
    }
    Nonce::assume_unique_for_key(nonce)
}
