//! What of a script concerns owners: the caller owns the node, and the liar knows all it signs.

use super::{CALLER, LIAR, Stage};
use rit_core::base::PublicKey;
use rit_core::broker::{Answer, TrustRow};
use rit_core::crypto::{self, Ed25519Signer, Signer};
use rit_core::node::Stored;
use rit_core::trust::{
    ClaimSecret, CloakState, GrantId, Revocations, Rights, Services, Terms, TrustState,
    append_grant, sign_claim, sign_cloak, sign_time, sign_transfer,
};
use rit_core::wire::message::{NOTE_CLOAK, Note, ToNode};

/// The caller, who owns the node.
fn owner() -> Ed25519Signer {
    Ed25519Signer::from_seed(&[CALLER; 32])
}

fn secret() -> ClaimSecret {
    ClaimSecret::new([3; 15])
}

pub(super) fn state() -> TrustState {
    TrustState::owned(owner().public_key(), 1)
}

fn list(node: PublicKey, a: u8) -> Vec<u8> {
    let revoked = Revocations {
        number: u64::from(a >> 4),
        floor_s: u64::from(a & 1),
        ids: vec![GrantId([a & 0x0f; 16])],
        keys: Vec::new(),
    };
    revoked.sign(&node, u32::from(a & 3), 1, &owner()).expect("it is short")
}

/// The owner's grant to this peer.
pub(super) fn chain(node: PublicKey, peer: PublicKey, a: u8) -> Vec<u8> {
    let terms = Terms {
        device: node,
        subject: peer,
        id: GrantId([a & 0x0f; 16]),
        issued_s: u64::from(a),
        not_before_s: Some(1).filter(|_| a & 0x40 != 0),
        expires_s: Some(100).filter(|_| a & 0x20 != 0),
        epoch: 1,
        rights: Rights::USE,
        depth: 0,
        must_be_fresh: a & 1 != 0,
        services: Services::ALL,
    };
    append_grant(&[], &terms.sign(&owner()).expect("it signs")).expect("it fits")
}

/// A broker's message.
pub(super) fn message(node: PublicKey, what: u8, a: u8) -> ToNode {
    let nonce = [a; 16];
    let kind = if what >= 248 { NOTE_CLOAK } else { what % 8 };
    let body = match kind {
        0 => {
            let liar = Ed25519Signer::from_seed(&[LIAR; 32]);
            let signed = sign_time(&node, &nonce, u64::from(a), u64::from(a), &liar);
            return ToNode::Time { statement: signed.expect("it signs") };
        }
        3 => sign_claim(crypto::default_provider(), &node, &nonce, &secret(), &owner())
            .expect("it signs"),
        5 => list(node, a),
        6 => {
            sign_transfer(&node, u32::from(a & 3), &PublicKey([a; 32]), &owner()).expect("it signs")
        }
        NOTE_CLOAK => {
            sign_cloak(&node, u32::from(a & 3), u64::from(a >> 4), 1, u32::from(a), &owner())
                .expect("it signs")
        }
        _ => vec![a; usize::from(a)],
    };
    let key = if a & 1 == 0 { owner().public_key() } else { PublicKey([a; 32]) };
    ToNode::Note(Note { request: u32::from(a) + 1, key, kind, body })
}

/// What a store says of a device's owner.
pub(super) fn row(node: PublicKey, a: u8) -> Answer {
    let row = TrustRow {
        owner: Some(owner().public_key()),
        epoch: u32::from(a & 3),
        number: u64::from(a >> 4),
        list: list(node, a),
    };
    Answer::Trust(Some(Box::new(row)).filter(|_| a & 4 == 0))
}

impl Stage {
    pub(super) fn owner_command(&mut self, a: u8) {
        let now = self.now;
        let to = PublicKey([a; 32]);
        match a % 8 {
            0 => self.node.set_wall_time(u64::from(a), now),
            1 => drop(self.node.factory_reset()),
            2 => drop(self.node.show_claim_code(now)),
            3 => self.node.hide_claim_code(),
            4 => drop(self.node.send_note(to, a >> 4, &[a; 4], now)),
            5 => drop(self.node.claim_device(to, secret(), now)),
            6 => drop(self.node.set_trust(state(), Some(secret()), now)),
            _ => {
                let chain = chain(to, self.node.public_key(), a);
                self.sessions.extend(self.node.session_open_with(to, &chain, now));
                self.node.handle_stored(a & 8 == 0, now);
            }
        }
    }

    /// Stores what the node wants stored; now and then that fails.
    pub(super) fn store(&mut self) {
        let provider = crypto::default_provider();
        while let Some(to_store) = self.node.poll_store() {
            let bytes = match to_store {
                Stored::Trust(bytes) => {
                    TrustState::decode(provider, &bytes).expect("the node reads what it wrote");
                    bytes
                }
                Stored::Cloak(bytes) => {
                    CloakState::decode(provider, &bytes).expect("the node reads what it wrote");
                    bytes
                }
            };
            let is_stored = bytes.last().is_none_or(|last| last & 7 != 0);
            self.node.handle_stored(is_stored, self.now);
        }
        assert_eq!(self.node.poll_store(), None, "nothing waits to be stored");
    }
}
