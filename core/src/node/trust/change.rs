//! Changes of a device's trust state, in two phases: made and handed to the integrator to be
//! stored; then true. Claim codes, too.

use super::super::{Node, NodeError, Which};
use super::cloak::Opening;
use super::{CHANGE_LEN, TrustEvent};
use crate::base::{PublicKey, Time};
use crate::trust::{ClaimCode, NoteError, TrustState};
use crate::wire::message::{NOTE_CLAIMED, NOTE_DONE};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use zeroize::Zeroizing;

/// How long a claim code is good.
pub const CLAIM_CODE_TIME: Duration = Duration::from_secs(600);

/// What becomes true.
pub(super) enum Change {
    /// The device has an owner, who gets this answer.
    Claimed(Vec<u8>),
    Transferred,
    Revoked,
    Reset,
    /// It may be found for a while, or no more. What else is known of the owner stays.
    Cloak(Opening),
}

/// Bytes to be stored, each kind in a place of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// What [`TrustState::decode`] reads.
    Trust(Vec<u8>),
    /// What [`CloakState::decode`](crate::trust::CloakState::decode) reads.
    Cloak(Vec<u8>),
}

/// Who is told of it, by which link, and in answer to what.
pub(super) type Asker = Option<(Which, PublicKey, u32)>;

/// A change that is not stored yet.
pub(super) struct Pending {
    state: TrustState,
    change: Change,
    asker: Asker,
    is_fetched: bool,
}

impl Pending {
    pub(super) fn new(state: TrustState, change: Change, asker: Asker) -> Self {
        Pending { state, change, asker, is_fetched: false }
    }
}

impl Node {
    /// Bytes that the integrator is to store now, in place of those of their kind that it has, as a
    /// whole or not at all; then it calls [`Node::handle_stored`]. Asked for after every call, as
    /// events are. When the node is made anew, it is given them again.
    pub fn poll_store(&mut self) -> Option<Stored> {
        let provider = self.endpoint.provider();
        let pending = self.trust.device.as_mut()?.pending.as_mut()?;
        if core::mem::replace(&mut pending.is_fetched, true) {
            return None;
        }
        Some(match &pending.change {
            Change::Cloak(opening) => Stored::Cloak(opening.state.encode(provider)),
            _ => Stored::Trust(pending.state.encode(provider)),
        })
    }

    /// What was fetched is stored, or could not be: only now it is true, or forgotten.
    pub fn handle_stored(&mut self, is_stored: bool, now: Time) {
        let Some(device) = &mut self.trust.device else { return };
        let Some(pending) = device.pending.take_if(|pending| pending.is_fetched) else { return };
        let Pending { state, change, asker, .. } = pending;
        if !is_stored {
            self.answer(asker, NOTE_DONE, vec![NoteError::Store.code()], now);
            return self.go_on(now);
        }
        device.state = state;
        let (owner, epoch) = (device.state.owner().copied(), device.state.epoch());
        let number = device.state.revoked().number;
        let is_other_ownership = !matches!(change, Change::Revoked);
        let (kind, body) = match change {
            Change::Claimed(answer) => {
                device.code = None;
                self.tell_owner_event(owner.map(|owner| TrustEvent::Claimed { owner, epoch }));
                (NOTE_CLAIMED, answer)
            }
            Change::Transferred => {
                self.tell_owner_event(owner.map(|owner| TrustEvent::OwnerChanged { owner, epoch }));
                (NOTE_DONE, vec![0])
            }
            Change::Revoked => {
                self.tell_owner_event(Some(TrustEvent::Revoked { number }));
                (NOTE_DONE, vec![0])
            }
            Change::Reset => {
                self.tell_owner_event(Some(TrustEvent::OwnerForgotten));
                (NOTE_DONE, vec![0])
            }
            // Nothing else is other than it was.
            Change::Cloak(opening) => {
                self.set_cloak(opening, now);
                self.answer(asker, NOTE_DONE, vec![0], now);
                return self.go_on(now);
            }
        };
        if is_other_ownership {
            self.cloak_at_once();
        }
        self.check_permits(now);
        self.answer(asker, kind, body, now);
        self.tell_ownership(now);
        self.go_on(now);
    }

    /// Makes the device unclaimed, once that is stored. To be called only where somebody showed to
    /// be there, by a button that is held or the like. `State`: this node obeys no owner, or
    /// another change is not stored yet.
    pub fn factory_reset(&mut self) -> Result<(), NodeError> {
        self.check_memory(CHANGE_LEN)?;
        let device = self.trust.device.as_mut().ok_or(NodeError::State)?;
        if device.pending.is_some() {
            return Err(NodeError::State);
        }
        let mut state = device.state.clone();
        state.factory_reset();
        device.claiming.unlock();
        device.pending = Some(Pending::new(state, Change::Reset, None));
        Ok(())
    }

    /// Makes a code for the integrator to show, by which the device can be claimed once within
    /// [`CLAIM_CODE_TIME`], beside its claim secret; it ends the one before. As somebody is there
    /// to see it, claims that were wrong too often may go on. `State`: this node obeys no owner,
    /// or has one already.
    pub fn show_claim_code(&mut self, now: Time) -> Result<Zeroizing<String>, NodeError> {
        let provider = self.endpoint.provider();
        self.check_memory(size_of::<String>())?;
        let device = self.trust.device.as_mut().ok_or(NodeError::State)?;
        if device.state.owner().is_some() {
            return Err(NodeError::State);
        }
        let code = ClaimCode::generate(&mut self.endpoint.rng);
        device.code = Some((code.secret(provider), now + CLAIM_CODE_TIME));
        device.claiming.unlock();
        Ok(code.to_text())
    }

    /// The code is shown no more, and good for nothing.
    pub fn hide_claim_code(&mut self) {
        if let Some(device) = &mut self.trust.device {
            device.code = None;
        }
    }
}
