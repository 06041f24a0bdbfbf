//! What the crypto of a packet costs: `aead seal|open BYTES` prints the nanoseconds for a byte
//! that the default provider takes to seal and mask, or to unmask and open, packets with so many.
//! For the throughput of ports/lwip, which is told without it.

use rit_core::crypto::{Suite, default_provider};
use std::hint::black_box;
use std::time::Instant;

const PACKETS: u64 = 20_000;
const ROUNDS: usize = 15;
const HEADER: [u8; 12] = [0x40; 12];

fn main() {
    let mut args = std::env::args().skip(1);
    let (what, bytes) = (args.next(), args.next().and_then(|text| text.parse::<usize>().ok()));
    let (Some(what @ ("seal" | "open")), Some(bytes)) = (what.as_deref(), bytes) else {
        eprintln!("usage: aead seal|open BYTES");
        std::process::exit(2);
    };
    let provider = default_provider();
    let suite = if provider.fast_aes() { Suite::Aes128Gcm } else { Suite::ChaCha20Poly1305 };
    let key = vec![7; suite.key_len()];
    let (packet, header) =
        (provider.packet_key(suite, &key, &[3; 12]), provider.header_key(suite, &key));
    let mut sealed = vec![1; bytes + 16];
    packet.seal(1, &HEADER, &mut sealed).expect("room for the tag");
    let mut buf = sealed.clone();
    // The least of the rounds: what else runs on this machine makes some longer.
    let mut least_ns = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for pn in 0..PACKETS {
            if what == "seal" {
                packet.seal(pn, &HEADER, &mut buf).expect("room for the tag");
            } else {
                buf.copy_from_slice(&sealed);
                packet.open(1, &HEADER, &mut buf).expect("it was sealed so");
            }
            let sample = buf.first_chunk().expect("a sample");
            let _ = black_box(header.mask(sample));
        }
        least_ns = least_ns.min(start.elapsed().as_nanos() as f64 / PACKETS as f64);
    }
    println!("{:.4} {suite:?}", least_ns / bytes as f64);
}
