//! The key schedule: HKDF-Expand-Label (RFC 8446 §7.1) on SHA-256, packet keys (RFC 9001 §5.1),
//! the secrets of a contact and those of a session.
//!
//! Owns every label the protocol uses. Does not own when a secret is used.

use super::{HeaderKey, PacketKey, Provider, Secret, Suite};
use crate::base::{ContactId, PublicKey};
use crate::wire::VERSION;
use alloc::boxed::Box;
use zeroize::{Zeroize, Zeroizing};

const INITIATOR: &[u8] = b"initiator";
const RESPONDER: &[u8] = b"responder";

/// HKDF-Expand-Label. `label` and `context` have at most 249 and 255 bytes, `out` at most 8160:
/// all of them are constants or hashes of ours, never input.
pub fn expand_label(
    p: &dyn Provider,
    secret: &Secret,
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) {
    const PREFIX: &[u8] = b"tls13 ";
    debug_assert!(label.len() <= 249 && context.len() <= 255 && out.len() <= 255 * 32);
    let out_len = (out.len() as u16).to_be_bytes();
    let label_len = [(PREFIX.len() + label.len()) as u8];
    let context_len = [context.len() as u8];
    let mut block = Zeroizing::new([0; 32]);
    for (i, chunk) in out.chunks_mut(32).enumerate() {
        let previous: &[u8] = if i == 0 { &[] } else { &*block };
        let number = [i as u8 + 1];
        let parts: [&[u8]; 8] =
            [previous, &out_len, &label_len, PREFIX, label, &context_len, context, &number];
        *block = p.hmac_sha256(secret.as_bytes(), &parts);
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
}

/// HKDF-Extract (RFC 5869 §2.2).
pub fn extract(p: &dyn Provider, salt: &[u8], ikm: &[u8]) -> Secret {
    Secret(p.hmac_sha256(salt, &[ikm]))
}

/// What protects the packets of one direction.
pub struct DirectionKeys {
    /// Seals and opens packets.
    pub packet: Box<dyn PacketKey>,
    /// Masks headers.
    pub header: Box<dyn HeaderKey>,
}

impl DirectionKeys {
    /// The keys of RFC 9001 §5.1 for a direction's secret.
    pub fn new(p: &dyn Provider, suite: Suite, secret: &Secret) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        let key = &mut key[..suite.key_len()];
        expand_label(p, secret, b"quic hp", b"", key);
        DirectionKeys { packet: packet_key(p, suite, secret), header: p.header_key(suite, key) }
    }
}

/// The packet key of a direction's secret (RFC 9001 §5.1).
pub fn packet_key(p: &dyn Provider, suite: Suite, secret: &Secret) -> Box<dyn PacketKey> {
    let mut key = Zeroizing::new([0; 32]);
    let mut iv = Zeroizing::new([0; 12]);
    let key = &mut key[..suite.key_len()];
    expand_label(p, secret, b"quic iv", b"", &mut *iv);
    expand_label(p, secret, b"quic key", b"", key);
    p.packet_key(suite, key, &iv)
}

/// The secret of a direction after a key update (RFC 9001 §6.1).
pub fn next_secret(p: &dyn Provider, secret: &Secret) -> Secret {
    child(p, secret, b"quic ku", b"")
}

/// The initiator's and the responder's secret for long-header packets: `dcid` is the destination of
/// the initiator's first packet.
pub fn contact_secrets(p: &dyn Provider, contact_key: &Secret, dcid: &[u8]) -> (Secret, Secret) {
    let mut ikm = [0; 4 + 255];
    let len = 4 + dcid.len().min(255);
    ikm[..4].copy_from_slice(&VERSION.to_be_bytes());
    ikm[4..len].copy_from_slice(&dcid[..len - 4]);
    let prk = extract(p, contact_key.as_bytes(), &ikm[..len]);
    (child(p, &prk, INITIATOR, b""), child(p, &prk, RESPONDER, b""))
}

/// The contact by which anyone who knows a broker's public key reaches it.
pub fn broker_contact(p: &dyn Provider, broker: &PublicKey) -> (ContactId, Secret) {
    let prk = extract(p, b"rit/1 broker contact", &broker.0);
    let mut id = [0; 8];
    expand_label(p, &prk, b"contact id", b"", &mut id);
    (ContactId(id), child(p, &prk, b"contact key", b""))
}

/// The initiator's and the responder's secret for 1-RTT packets. They depend on the contact key and
/// on TLS: whoever lacks either has neither. `context_hash` binds what was sent in the open.
pub fn session_secrets(
    p: &dyn Provider,
    contact_key: &Secret,
    exporter_secret: &[u8; 32],
    context_hash: &[u8; 32],
) -> (Secret, Secret) {
    // RFC 8446 §7.5.
    let exporter_secret = Secret::new(*exporter_secret);
    let derived = child(p, &exporter_secret, b"EXPORTER-rit/1", &p.sha256(&[]));
    let exported = child(p, &derived, b"exporter", &p.sha256(&[context_hash]));
    let prk = extract(p, contact_key.as_bytes(), exported.as_bytes());
    (child(p, &prk, INITIATOR, context_hash), child(p, &prk, RESPONDER, context_hash))
}

/// What only the two ends of a session know and no other session has, for statements about the
/// session; from the initiator's secret, of which it tells nothing.
#[cfg(feature = "attest")]
pub(crate) fn session_binding(p: &dyn Provider, initiator: &Secret) -> [u8; 32] {
    *child(p, initiator, b"session binding", b"").as_bytes()
}

fn child(p: &dyn Provider, secret: &Secret, label: &[u8], context: &[u8]) -> Secret {
    let mut bytes = [0; 32];
    expand_label(p, secret, label, context, &mut bytes);
    let child = Secret::new(bytes);
    bytes.zeroize();
    child
}
