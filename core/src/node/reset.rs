//! Stateless reset (RFC 9000 §10.3) that strangers cannot ask for.
//!
//! A node that lost its state, by a reboot say, tells a peer that still sends to an old connection.
//! A QUIC server does so for whatever comes; here a connection ID carries a mark that only this
//! node makes and knows, and a datagram without it is dropped in silence as ever. The mark and the
//! tokens follow from the node's private key, so that they outlast a reboot.

use crate::base::{Ecn, Map, Path, Rng, Time};
use crate::crypto::{Provider, Secret, Signer, constant_time_eq};
use crate::transport::{ResetToken, Transmit};
use crate::wire::cid::{Cid, LOCAL_CID_LEN};
use alloc::collections::VecDeque;
use core::time::Duration;

const NONCE_LEN: usize = LOCAL_CID_LEN / 2;
const TOKEN_LEN: usize = 16;
/// The shortest datagram a reset can look like (RFC 9000 §10.3), and the longest this one does.
const MIN_LEN: usize = 21;
const MAX_LEN: usize = 43;
/// Resets that wait to be sent, and those of one second, whoever asks.
const MAX_PENDING: usize = 8;
const PER_SECOND: u32 = 32;

pub(super) struct Resets<O> {
    provider: &'static dyn Provider,
    key: Secret,
    /// Whose end a token means. By a hash of it, so that no comparison's duration tells it.
    owners: Map<ResetToken, O>,
    hash_of: Map<O, ResetToken>,
    pending: VecDeque<(Path, Cid, usize)>,
    second: Time,
    in_second: u32,
    per_second: u32,
}

impl<O: Copy + Ord> Resets<O> {
    /// `rng` stands in where the signer derives nothing: then there are no resets after a reboot.
    pub(super) fn new(provider: &'static dyn Provider, signer: &dyn Signer, rng: &mut Rng) -> Self {
        let key = signer.derive(provider, b"rit/1 reset");
        Resets {
            provider,
            key: key.unwrap_or_else(|| Secret::new(rng.array())),
            owners: Map::new(),
            hash_of: Map::new(),
            pending: VecDeque::new(),
            second: Time::ZERO,
            in_second: 0,
            per_second: PER_SECOND,
        }
    }

    /// One with very many peers tells more of them in one second that it forgot them.
    #[cfg(feature = "broker")]
    pub(super) fn set_per_second(&mut self, per_second: u32) {
        self.per_second = per_second.max(PER_SECOND);
    }

    fn mac(&self, label: &[u8], bytes: &[u8]) -> [u8; 32] {
        self.provider.hmac_sha256(self.key.as_bytes(), &[label, bytes])
    }

    /// A connection ID with our mark: nonce ‖ mark.
    pub(super) fn fresh_cid(&self, rng: &mut Rng) -> Cid {
        let mut cid = [0; LOCAL_CID_LEN];
        let (nonce, mark) = cid.split_at_mut(NONCE_LEN);
        rng.fill(nonce);
        mark.copy_from_slice(&self.mac(b"mark", nonce)[..LOCAL_CID_LEN - NONCE_LEN]);
        Cid::local(cid)
    }

    fn is_ours(&self, cid: &Cid) -> bool {
        let Some((nonce, mark)) = cid.as_bytes().split_at_checked(NONCE_LEN) else { return false };
        constant_time_eq(mark, &self.mac(b"mark", nonce)[..LOCAL_CID_LEN - NONCE_LEN])
    }

    /// What a reset of one of our connection IDs ends with.
    pub(super) fn token(&self, cid: &Cid) -> ResetToken {
        let mut token = [0; TOKEN_LEN];
        token.copy_from_slice(&self.mac(b"token", cid.as_bytes())[..TOKEN_LEN]);
        token
    }

    // ---- to a peer whose connection we forgot

    /// A short-header datagram for no connection known here: queues a reset if it was meant for us.
    pub(super) fn on_unknown(&mut self, path: Path, dcid: &Cid, len: usize, now: Time) {
        // Shorter than what it answers, so that two such nodes fall silent (RFC 9000 §10.3.3).
        let room = len.saturating_sub(1).min(MAX_LEN);
        if room < MIN_LEN || self.pending.len() >= MAX_PENDING || !self.is_ours(dcid) {
            return;
        }
        if now.since(self.second) >= Duration::from_secs(1) {
            (self.second, self.in_second) = (now, 0);
        }
        self.in_second += 1;
        if self.in_second <= self.per_second {
            self.pending.push_back((path, *dcid, room));
        }
    }

    /// The next reset to send: bytes like any packet's, then the token.
    pub(super) fn poll_transmit(&mut self, buf: &mut [u8], rng: &mut Rng) -> Option<Transmit> {
        let (path, cid, len) = self.pending.pop_front()?;
        let datagram = buf.get_mut(..len)?;
        rng.fill(datagram);
        datagram[0] = 0x40 | datagram[0] & 0x3f;
        let token = self.token(&cid);
        datagram[len - TOKEN_LEN..].copy_from_slice(&token);
        Some(Transmit { path, len, ecn: Ecn::NotEct })
    }

    // ---- from a peer that forgot ours

    fn hash(&self, token: &[u8]) -> ResetToken {
        let mut hash = [0; TOKEN_LEN];
        hash.copy_from_slice(&self.mac(b"known", token)[..TOKEN_LEN]);
        hash
    }

    /// The peer of `owner` uses another connection ID, whose reset ends with `token`.
    pub(super) fn set_token(&mut self, owner: O, token: &ResetToken) {
        self.forget(owner);
        let hash = self.hash(token);
        self.hash_of.insert(owner, hash);
        self.owners.insert(hash, owner);
    }

    pub(super) fn forget(&mut self, owner: O) {
        if let Some(hash) = self.hash_of.remove(&owner) {
            self.owners.remove(&hash);
        }
    }

    /// Whose connection a datagram resets.
    pub(super) fn owner(&self, datagram: &[u8]) -> Option<O> {
        if datagram.len() < MIN_LEN {
            return None;
        }
        let token = datagram.last_chunk::<TOKEN_LEN>()?;
        self.owners.get(&self.hash(token)).copied()
    }
}

#[cfg(all(test, feature = "ring"))]
mod tests {
    use super::*;
    use crate::crypto::{self, Ed25519Signer};

    const PATH: Path = Path { ip: [1; 16], port: 1, via: 0, socket: 0, ifindex: 0 };

    fn resets(seed: u8) -> Resets<u8> {
        let signer = Ed25519Signer::from_seed(&[seed; 32]);
        Resets::new(crypto::ring(), &signer, &mut Rng::from_seed([seed; 32]))
    }

    #[test]
    fn only_who_was_given_an_id_is_answered_and_only_by_its_token() {
        let mut rng = Rng::from_seed([3; 32]);
        let (mut ours, mut theirs) = (resets(1), resets(2));
        let cid = ours.fresh_cid(&mut rng);
        // The peer was told the token before we forgot everything.
        theirs.set_token(7, &ours.token(&cid));
        ours = resets(1);
        let mut buf = [0; 100];
        for stranger in [Cid::local([9; 8]), theirs.fresh_cid(&mut rng)] {
            ours.on_unknown(PATH, &stranger, 100, Time::ZERO);
            assert_eq!(ours.poll_transmit(&mut buf, &mut rng), None);
        }
        ours.on_unknown(PATH, &cid, MIN_LEN, Time::ZERO);
        assert_eq!(ours.poll_transmit(&mut buf, &mut rng), None, "no room for a shorter one");
        for len in [MIN_LEN + 1, 40, 1452] {
            ours.on_unknown(PATH, &cid, len, Time::ZERO);
            let sent = ours.poll_transmit(&mut buf, &mut rng).unwrap();
            assert!(sent.path == PATH && sent.len < len && sent.len <= MAX_LEN);
            assert_eq!(buf[0] & 0xc0, 0x40, "a short header");
            assert_eq!(theirs.owner(&buf[..sent.len]), Some(7));
            assert_eq!(theirs.owner(&buf[1..sent.len]).is_some(), sent.len > MIN_LEN);
            buf[sent.len - 1] ^= 1;
            assert_eq!(theirs.owner(&buf[..sent.len]), None);
        }
        theirs.forget(7);
        assert!(theirs.owners.is_empty());
    }

    #[test]
    fn there_are_so_many_a_second() {
        let (mut ours, mut rng) = (resets(1), Rng::from_seed([3; 32]));
        let cid = ours.fresh_cid(&mut rng);
        let mut count = |now| {
            let mut sent = 0;
            for _ in 0..100 {
                (0..20).for_each(|_| ours.on_unknown(PATH, &cid, 100, now));
                assert!(ours.pending.len() <= MAX_PENDING);
                while ours.poll_transmit(&mut [0; 100], &mut rng).is_some() {
                    sent += 1;
                }
            }
            sent
        };
        assert_eq!(count(Time::ZERO), PER_SECOND);
        assert_eq!(count(Time::ZERO + Duration::from_millis(999)), 0);
        assert_eq!(count(Time::ZERO + Duration::from_secs(1)), PER_SECOND);
    }
}
