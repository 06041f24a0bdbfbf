//! Known answers, for a device to find out whether its cryptography computes right: a compiler's
//! mistake, a wrong accelerator, memory that does not hold what it is given.
//!
//! Owns one question per primitive, each at most a signature's time long. Does not own what is done
//! about a wrong answer. The answers were computed apart from this code, by OpenSSL.

use super::{Ed25519Signer, Provider, Signer, Suite, TAG_LEN, lend, verify};
use crate::base::{PublicKey, Rng};

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primitive {
    /// SHA-256.
    Sha256,
    /// HMAC-SHA-256.
    HmacSha256,
    /// AES-128-GCM, and AES-128 for header protection.
    Aes128Gcm,
    /// ChaCha20-Poly1305, and ChaCha20 for header protection.
    ChaCha20Poly1305,
    /// X25519, as TLS uses it.
    X25519,
    /// Ed25519, signing and verifying.
    Ed25519,
}

impl Primitive {
    /// All of them, each on those before it.
    pub const ALL: [Primitive; 6] = [
        Primitive::Sha256,
        Primitive::HmacSha256,
        Primitive::Aes128Gcm,
        Primitive::ChaCha20Poly1305,
        Primitive::X25519,
        Primitive::Ed25519,
    ];
}

/// Longer than a block of any of the primitives, and no multiple of one.
const MESSAGE_LEN: usize = 150;
const HMAC: [u8; 32] = [
    0x66, 0x5e, 0xc5, 0x95, 0x3f, 0x1d, 0xd4, 0xda, 0x60, 0x0d, 0x08, 0x97, 0x23, 0x41, 0xe0, 0x1e,
    0xca, 0xd3, 0x2f, 0xc7, 0x8a, 0xfd, 0x1b, 0x87, 0x81, 0x82, 0x95, 0x3f, 0x94, 0xa5, 0x89, 0xe4,
];
const SHA256: [u8; 32] = [
    0xf2, 0x2b, 0x2e, 0x61, 0x4e, 0x92, 0xd6, 0x45, 0x36, 0x12, 0xb7, 0x07, 0x38, 0x50, 0x38, 0x30,
    0x02, 0x93, 0xd2, 0xcc, 0x29, 0x2b, 0x14, 0x8b, 0xc5, 0x33, 0x57, 0x54, 0xb5, 0xea, 0x30, 0xfd,
];
const PACKET_NUMBER: u64 = 0x0102_0304_0506_0708;

/// The first bytes of what is sealed, the tag over all of it, and the mask of a header.
struct Sealed([u8; 8], [u8; TAG_LEN], [u8; 5]);

const AES: Sealed = Sealed(
    [0x84, 0xea, 0x32, 0x28, 0x6d, 0x16, 0x09, 0xbc],
    [
        0x27, 0x41, 0x8a, 0x32, 0x33, 0x63, 0x57, 0x08, 0xd9, 0xdc, 0xcf, 0xd4, 0xf4, 0x2b, 0x96,
        0x77,
    ],
    [0x0a, 0x94, 0x0b, 0xb5, 0x41],
);
const CHACHA: Sealed = Sealed(
    [0xba, 0xae, 0x12, 0xe5, 0x9d, 0x5d, 0x9d, 0x99],
    [
        0x10, 0x9c, 0x0a, 0x54, 0x81, 0xbd, 0x6c, 0xf1, 0xdf, 0xc0, 0xda, 0x5e, 0x8e, 0xd4, 0x70,
        0x0f,
    ],
    [0xb6, 0x5b, 0x70, 0xa7, 0x16],
);

/// The seed of the generator that is lent for the key share.
const X25519_SEED: [u8; 32] = [7; 32];
/// Bob's key of RFC 7748 §6.1.
const X25519_PEER: [u8; 32] = [
    0xde, 0x9e, 0xdb, 0x7d, 0x7b, 0x7d, 0xc1, 0xb4, 0xd3, 0x5b, 0x61, 0xc2, 0xec, 0xe4, 0x35, 0x37,
    0x3f, 0x83, 0x43, 0xc8, 0x5b, 0x78, 0x67, 0x4d, 0xad, 0xfc, 0x7e, 0x14, 0x6f, 0x88, 0x2b, 0x4f,
];
const X25519_SHARE: [u8; 32] = [
    0xbe, 0x87, 0xa0, 0x67, 0x68, 0x47, 0xfc, 0xfd, 0x7a, 0xa1, 0x4e, 0x15, 0xa4, 0x6c, 0xd3, 0xd4,
    0x5e, 0x6b, 0xc4, 0x6b, 0xc6, 0x5c, 0xf6, 0xf5, 0xb2, 0xdd, 0x95, 0xd9, 0x18, 0x3e, 0x73, 0x5e,
];
const X25519_SECRET: [u8; 32] = [
    0x3b, 0x52, 0xbb, 0x80, 0x07, 0xa5, 0xaa, 0x24, 0x45, 0x80, 0x27, 0x37, 0x24, 0x38, 0xb6, 0xd1,
    0xb8, 0x80, 0xea, 0x95, 0xbe, 0xfe, 0x12, 0x9c, 0xff, 0xd7, 0xdb, 0x1b, 0x65, 0xfd, 0xa1, 0x6e,
];
const ED25519_PUBLIC: [u8; 32] = [
    0x03, 0xa1, 0x07, 0xbf, 0xf3, 0xce, 0x10, 0xbe, 0x1d, 0x70, 0xdd, 0x18, 0xe7, 0x4b, 0xc0, 0x99,
    0x67, 0xe4, 0xd6, 0x30, 0x9b, 0xa5, 0x0d, 0x5f, 0x1d, 0xdc, 0x86, 0x64, 0x12, 0x55, 0x31, 0xb8,
];
const ED25519_SIGNATURE: [u8; 64] = [
    0xac, 0x37, 0x2f, 0xd7, 0xf7, 0x0b, 0xce, 0x71, 0x6d, 0xfb, 0x37, 0x20, 0xdc, 0x24, 0x85, 0x61,
    0x47, 0x5c, 0x3f, 0xcf, 0xa1, 0xb0, 0xe5, 0x72, 0x01, 0xe2, 0x52, 0x46, 0xd3, 0x29, 0x0c, 0xa7,
    0x6d, 0x24, 0xd4, 0x24, 0xbe, 0xd1, 0xc5, 0xcf, 0x64, 0x07, 0xec, 0x75, 0xfd, 0xc9, 0x7c, 0x0a,
    0xbb, 0xec, 0x39, 0x62, 0xc2, 0xe4, 0x9b, 0x7e, 0x04, 0x7f, 0x3e, 0x5c, 0x2e, 0x18, 0x24, 0x0b,
];

/// 0, 1, 2 and so on.
fn count<const N: usize>(from: u8) -> [u8; N] {
    core::array::from_fn(|i| from.wrapping_add(i as u8))
}

/// Whether the provider computes what everybody else does. What it has not is not wrong.
pub fn is_right(p: &'static dyn Provider, primitive: Primitive) -> bool {
    match primitive {
        Primitive::Sha256 => {
            let message = count::<MESSAGE_LEN>(0);
            p.sha256(&[&message[..60], &message[60..]]) == SHA256
        }
        Primitive::HmacSha256 => {
            p.hmac_sha256(&count::<32>(0), &[&count::<MESSAGE_LEN>(0)]) == HMAC
        }
        Primitive::Aes128Gcm => !p.has_aes() || seals(p, Suite::Aes128Gcm, &AES),
        Primitive::ChaCha20Poly1305 => seals(p, Suite::ChaCha20Poly1305, &CHACHA),
        Primitive::X25519 => agrees(p),
        Primitive::Ed25519 => signs(),
    }
}

fn seals(p: &dyn Provider, suite: Suite, wanted: &Sealed) -> bool {
    let Sealed(start, tag, mask) = wanted;
    let key = count::<32>(0);
    let aad = count::<23>(0);
    let packet_key = p.packet_key(suite, &key[..suite.key_len()], &count(32));
    let mut packet = [0; MESSAGE_LEN + TAG_LEN];
    packet[..MESSAGE_LEN].copy_from_slice(&count::<MESSAGE_LEN>(0));
    let is_sealed = packet_key.seal(PACKET_NUMBER, &aad, &mut packet).is_ok()
        && packet.starts_with(start)
        && packet.ends_with(tag);
    let mut altered = packet;
    altered[MESSAGE_LEN - 1] ^= 1;
    is_sealed
        && packet_key.open(PACKET_NUMBER, &aad, &mut packet) == Ok(MESSAGE_LEN)
        && packet[..MESSAGE_LEN] == count::<MESSAGE_LEN>(0)
        && packet_key.open(PACKET_NUMBER, &aad, &mut altered).is_err()
        && p.header_key(suite, &key[..suite.key_len()]).mask(&count(0)) == Ok(*mask)
}

fn agrees(p: &'static dyn Provider) -> bool {
    let groups = p.tls().kx_groups;
    let x25519 = groups.iter().find(|group| group.name() == rustls::NamedGroup::X25519);
    let Some(x25519) = x25519 else { return false };
    let agree = || {
        let Ok(exchange) = x25519.start() else { return false };
        exchange.pub_key() == X25519_SHARE
            && exchange
                .complete(&X25519_PEER)
                .is_ok_and(|secret| secret.secret_bytes() == X25519_SECRET)
    };
    lend(p, &mut Rng::from_seed(X25519_SEED), agree)
}

fn signs() -> bool {
    let signer = Ed25519Signer::from_seed(&count(0));
    let message = count::<MESSAGE_LEN>(0);
    let public_key = PublicKey(ED25519_PUBLIC);
    signer.public_key() == public_key
        && signer.sign(&message) == Ok(ED25519_SIGNATURE)
        && verify(&public_key, &message, &ED25519_SIGNATURE)
        && !verify(&public_key, &message[1..], &ED25519_SIGNATURE)
}

#[cfg(test)]
mod tests {
    use super::super::{HeaderKey, PacketKey};
    use super::*;
    use alloc::boxed::Box;
    use alloc::vec;
    use alloc::vec::Vec;

    fn providers() -> Vec<&'static dyn Provider> {
        vec![
            #[cfg(feature = "ring")]
            crate::crypto::ring(),
            #[cfg(feature = "rustcrypto")]
            crate::crypto::rustcrypto(),
        ]
    }

    #[test]
    fn every_provider_answers_right() {
        for p in providers() {
            assert!(Primitive::ALL.iter().all(|primitive| is_right(p, *primitive)));
        }
    }

    /// Computes all but one thing right.
    struct Wrong(&'static dyn Provider, Primitive);

    impl Provider for Wrong {
        fn packet_key(&self, suite: Suite, key: &[u8], iv: &[u8; 12]) -> Box<dyn PacketKey> {
            let wrong = self.1 == Primitive::Aes128Gcm && suite == Suite::Aes128Gcm;
            let iv = if wrong { &[0; 12] } else { iv };
            self.0.packet_key(suite, key, iv)
        }

        fn header_key(&self, suite: Suite, key: &[u8]) -> Box<dyn HeaderKey> {
            let wrong = self.1 == Primitive::ChaCha20Poly1305 && suite == Suite::ChaCha20Poly1305;
            self.0.header_key(suite, if wrong { &[0; 32] } else { key })
        }

        fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
            let wrong = self.1 == Primitive::Sha256;
            self.0.sha256(if wrong { &parts[1..] } else { parts })
        }

        fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
            let wrong = self.1 == Primitive::HmacSha256;
            self.0.hmac_sha256(if wrong { &key[1..] } else { key }, parts)
        }

        fn has_aes(&self) -> bool {
            self.0.has_aes()
        }

        fn fast_aes(&self) -> bool {
            self.0.fast_aes()
        }

        fn tls(&self) -> rustls::crypto::CryptoProvider {
            let mut tls = self.0.tls();
            if self.1 == Primitive::X25519 {
                tls.kx_groups.clear();
            }
            tls
        }
    }

    #[test]
    fn a_wrong_answer_is_noticed_and_no_other() {
        for p in providers() {
            // Ed25519 is not the provider's.
            let has_it = |one: &&Primitive| p.has_aes() || **one != Primitive::Aes128Gcm;
            for wrong in Primitive::ALL[..5].iter().filter(has_it) {
                for primitive in Primitive::ALL {
                    assert_eq!(
                        is_right(Box::leak(Box::new(Wrong(p, *wrong))), primitive),
                        primitive != *wrong
                    );
                }
            }
        }
    }
}
