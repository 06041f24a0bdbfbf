//! Relays that the broker sends its nodes to: for each introduction a fresh channel, and a token
//! for either end.
//!
//! Owns the list. Knows of a relay only where it is and the secret shared with it.

use crate::base::{Path, PublicKey, Rng, Side};
use crate::crypto::{Provider, Secret};
use crate::trust::{issue_relay_token, relay_end_key, relay_pseudonym};
use crate::wire::message::{ContactKey, RELAY_PATHS_MAX, RELAYS_MAX, RelayOffer};
use crate::wire::relay::{ChannelId, Claims};
use alloc::vec::Vec;

/// How long a session may begin to use a relay, and begin again after the relay has forgotten it.
const TOKEN_LIFETIME_MIN: u64 = 24 * 60;

/// A relay that takes this broker's tokens.
pub struct RelayService {
    /// Where it is, by UDP and, with `socket` [`Path::TLS`], by TCP; of either the first
    /// [`RELAY_PATHS_MAX`] are told.
    pub paths: Vec<Path>,
    /// What it checks tokens with.
    pub secret: Secret,
    /// At most 2^rate kbit/s each way for a session; 0: no limit.
    pub rate: u8,
}

/// Offers of the first [`RELAYS_MAX`] relays to both ends of one session: the initiator's and the
/// responder's.
pub(super) fn offers(
    relays: &[RelayService],
    provider: &dyn Provider,
    ends: [&PublicKey; 2],
    wall_unix_s: u64,
    rng: &mut Rng,
) -> [Vec<RelayOffer>; 2] {
    let expires_min = u32::try_from(wall_unix_s / 60 + TOKEN_LIFETIME_MIN).unwrap_or(u32::MAX);
    let mut both = [Vec::new(), Vec::new()];
    let has_udp = |relay: &&RelayService| relay.paths.iter().any(|path| path.socket != Path::TLS);
    for relay in relays.iter().filter(has_udp).take(RELAYS_MAX) {
        let channel = ChannelId(rng.array());
        let sides = [Side::Initiator, Side::Responder];
        for ((offers, side), node) in both.iter_mut().zip(sides).zip(ends) {
            let node = relay_pseudonym(provider, &relay.secret, node);
            let claims = Claims { channel, side, rate: relay.rate, expires_min, node };
            let token = issue_relay_token(provider, &relay.secret, &claims);
            let key = ContactKey(*relay_end_key(provider, &relay.secret, &token).as_bytes());
            let [paths, tls] = [false, true].map(|is_tls| told(&relay.paths, is_tls));
            offers.push(RelayOffer { paths, token, key, tls });
        }
    }
    both
}

/// Addresses of one kind, as they are on the wire.
fn told(paths: &[Path], is_tls: bool) -> Vec<Path> {
    let is_meant = |path: &&Path| (path.socket == Path::TLS) == is_tls;
    let plain = |path: &Path| Path { socket: 0, ..*path };
    paths.iter().filter(is_meant).map(plain).take(RELAY_PATHS_MAX).collect()
}
