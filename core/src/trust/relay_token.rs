//! The right to use a relay: tokens that a broker makes and a relay checks with a secret they
//! share, and the key that an end proves with that a token is its own.
//!
//! Pure; nothing is kept here. Tags are HMAC-SHA-256 cut to 16 bytes, compared in constant time.

use crate::base::PublicKey;
use crate::crypto::{Provider, Secret, constant_time_eq};
use crate::wire::relay::{BIND_TAGGED, BOUND_TAGGED, Claims, RelayToken, TAG_LEN};

/// What stands for a node in tokens, so that a relay can limit what one node uses without knowing
/// who it is.
pub fn relay_pseudonym(p: &dyn Provider, secret: &Secret, node: &PublicKey) -> [u8; 8] {
    first(&p.hmac_sha256(secret.as_bytes(), &[b"rit/1 relay node", &node.0]))
}

/// Makes a token.
pub fn issue_relay_token(p: &dyn Provider, secret: &Secret, claims: &Claims) -> RelayToken {
    let mut token = RelayToken::unsigned(claims);
    token.sign(token_tag(p, secret, &token));
    token
}

/// What a token says, if the holder of `secret` made it.
pub fn verify_relay_token(p: &dyn Provider, secret: &Secret, token: &RelayToken) -> Option<Claims> {
    let is_ours = constant_time_eq(&token_tag(p, secret, token), token.tag());
    token.claims().ok().filter(|_| is_ours)
}

/// The key that the end a token is for, its broker and the relay share.
pub fn relay_end_key(p: &dyn Provider, secret: &Secret, token: &RelayToken) -> Secret {
    Secret::new(p.hmac_sha256(secret.as_bytes(), &[b"rit/1 relay end", &token.0]))
}

/// Gives a bind, payload and all, its tag. False: it is too short for one.
pub fn sign_bind(p: &dyn Provider, end_key: &Secret, datagram: &mut [u8]) -> bool {
    sign(p, end_key, b"rit/1 relay bind", datagram, BIND_TAGGED)
}

/// Whether the tag of a bind is right.
pub fn verify_bind(p: &dyn Provider, end_key: &Secret, datagram: &[u8]) -> bool {
    verify(p, end_key, b"rit/1 relay bind", datagram, BIND_TAGGED)
}

/// Gives a bound its tag. False: it is too short for one.
pub fn sign_bound(p: &dyn Provider, end_key: &Secret, datagram: &mut [u8]) -> bool {
    sign(p, end_key, b"rit/1 relay bound", datagram, BOUND_TAGGED)
}

/// Whether the tag of a bound is right.
pub fn verify_bound(p: &dyn Provider, end_key: &Secret, datagram: &[u8]) -> bool {
    verify(p, end_key, b"rit/1 relay bound", datagram, BOUND_TAGGED)
}

fn token_tag(p: &dyn Provider, secret: &Secret, token: &RelayToken) -> [u8; TAG_LEN] {
    first(&p.hmac_sha256(secret.as_bytes(), &[b"rit/1 relay token", token.signed()]))
}

/// The tag stands at `at`, over what is before and behind it.
fn sign(p: &dyn Provider, key: &Secret, label: &[u8], datagram: &mut [u8], at: usize) -> bool {
    let Some((right, _)) = tags(p, key, label, datagram, at) else { return false };
    datagram[at..at + TAG_LEN].copy_from_slice(&right);
    true
}

fn verify(p: &dyn Provider, key: &Secret, label: &[u8], datagram: &[u8], at: usize) -> bool {
    tags(p, key, label, datagram, at).is_some_and(|(right, tag)| constant_time_eq(&right, tag))
}

/// The right tag, and the one that stands there; `None`: there is no room for one.
fn tags<'a>(
    p: &dyn Provider,
    key: &Secret,
    label: &[u8],
    datagram: &'a [u8],
    at: usize,
) -> Option<([u8; TAG_LEN], &'a [u8])> {
    let (head, behind) = datagram.split_at_checked(at)?;
    let (tag, rest) = behind.split_at_checked(TAG_LEN)?;
    Some((first(&p.hmac_sha256(key.as_bytes(), &[label, head, rest])), tag))
}

fn first<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    core::array::from_fn(|i| bytes[i])
}

#[cfg(all(test, any(feature = "ring", feature = "rustcrypto")))]
mod tests {
    use super::*;
    use crate::base::Side;
    use crate::crypto::default_provider;
    use crate::wire::codec::Writer;
    use crate::wire::relay::{BIND_OVERHEAD, Bind, ChannelId, TOKEN_LEN, write_bind};

    fn claims(side: Side) -> Claims {
        Claims { channel: ChannelId([1; 8]), side, rate: 0, expires_min: 77, node: [2; 8] }
    }

    #[test]
    fn a_token_is_good_where_it_was_made_and_unchanged() {
        let p = default_provider();
        let (ours, theirs) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let token = issue_relay_token(p, &ours, &claims(Side::Responder));
        assert_eq!(verify_relay_token(p, &ours, &token), Some(claims(Side::Responder)));
        assert_eq!(verify_relay_token(p, &theirs, &token), None);
        for i in 0..TOKEN_LEN {
            let mut forged = token;
            forged.0[i] ^= 1;
            assert_eq!(verify_relay_token(p, &ours, &forged), None, "{i}");
        }
        let key = |secret, token| *relay_end_key(p, secret, token).as_bytes();
        let other = issue_relay_token(p, &ours, &claims(Side::Initiator));
        assert_ne!(key(&ours, &token), key(&ours, &other));
        assert_ne!(key(&ours, &token), key(&theirs, &token));
        let node = |secret, n| relay_pseudonym(p, secret, &PublicKey([n; 32]));
        assert!(node(&ours, 1) != node(&ours, 2) && node(&ours, 1) != node(&theirs, 1));
    }

    #[test]
    fn a_tag_covers_all_of_a_datagram() {
        let (p, key) = (default_provider(), Secret::new([3; 32]));
        let token = issue_relay_token(p, &key, &claims(Side::Initiator));
        let mut bytes = [0x55; BIND_OVERHEAD + 20];
        let bind = Bind { token, sequence: 1, cookie: [0; 8] };
        write_bind(&mut Writer::new(&mut bytes), &bind, Side::Initiator).unwrap();
        assert!(!verify_bind(p, &key, &bytes));
        assert!(sign_bind(p, &key, &mut bytes) && verify_bind(p, &key, &bytes));
        assert!(!verify_bind(p, &Secret::new([4; 32]), &bytes));
        assert!(!verify_bound(p, &key, &bytes), "an answer is no question");
        for i in 0..bytes.len() {
            bytes[i] ^= 1;
            assert!(!verify_bind(p, &key, &bytes), "{i}");
            bytes[i] ^= 1;
        }
        assert!(!verify_bind(p, &key, &bytes[..BIND_OVERHEAD - 1]));
        assert!(!sign_bound(p, &key, &mut [0; 20]));
    }
}
