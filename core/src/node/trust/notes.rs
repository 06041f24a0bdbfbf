//! Notes that come: what others want of this device, and the broker's signed time.

use super::super::{Node, Which};
use super::change::{Asker, Change, Pending};
use super::cloak::Opening;
use super::{CHANGE_LEN, Device};
use crate::base::{PublicKey, Rng, Time};
use crate::crypto::Provider;
use crate::trust::{NoteError, WallClock};
use crate::wire::message::{
    NOTE_CLAIM, NOTE_CLAIM_ASK, NOTE_CLAIM_NONCE, NOTE_CLAIMED, NOTE_CLOAK, NOTE_DONE,
    NOTE_REVOKED, NOTE_TRANSFER, Note, ToBroker, ToNode,
};
use alloc::vec;
use alloc::vec::Vec;

impl Device {
    /// Does what a note asks for. Gives the answer, or `None`: it is given once the new state is
    /// stored.
    fn take_note(
        &mut self,
        p: &dyn Provider,
        rng: &mut Rng,
        this: &PublicKey,
        (from, note): (Which, &Note),
        (clock, now): (&WallClock, Time),
    ) -> Result<Option<(u8, Vec<u8>)>, NoteError> {
        if self.pending.is_some() {
            return Err(NoteError::Busy);
        }
        let code = self.code.as_ref().filter(|(_, until)| now <= *until).map(|(code, _)| code);
        let secrets = self.secret.iter().chain(code);
        let mut state = self.state.clone();
        let change = match note.kind {
            NOTE_CLAIM_ASK => {
                let nonce = self.claiming.ask(&state, rng)?;
                // Nobody need know whether a code is shown but who sees it; a device without any
                // secret says so.
                if secrets.count() == 0 {
                    return Err(NoteError::Closed);
                }
                return Ok(Some((NOTE_CLAIM_NONCE, nonce.to_vec())));
            }
            NOTE_CLAIM => {
                Change::Claimed(self.claiming.accept(p, &mut state, this, secrets, &note.body)?)
            }
            NOTE_REVOKED => {
                if !state.revoke(p, this, &note.body)? {
                    return Ok(Some((NOTE_DONE, vec![0])));
                }
                Change::Revoked
            }
            NOTE_TRANSFER => {
                state.transfer(p, this, &note.body)?;
                Change::Transferred
            }
            NOTE_CLOAK => {
                let (said, taken) =
                    self.cloak.state.take(p, &state, this, &note.body, clock.at(now))?;
                Change::Cloak(Opening::new(taken, (said.for_s, said.ends_s()), clock, now))
            }
            _ => return Err(NoteError::Malformed),
        };
        self.pending = Some(Pending::new(state, change, Some((from, note.key, note.request))));
        Ok(None)
    }
}

impl Node {
    pub(in super::super) fn on_trust_message(&mut self, message: ToNode, from: Which, now: Time) {
        match message {
            ToNode::Note(note) => match note.kind {
                NOTE_CLAIM_NONCE | NOTE_CLAIMED | NOTE_DONE => {
                    self.on_note_answered(note, from, now)
                }
                _ => self.on_note(&note, from, now),
            },
            ToNode::Time { statement } if from == Which::Broker => self.on_time(&statement, now),
            _ => {}
        }
    }

    fn on_note(&mut self, note: &Note, from: Which, now: Time) {
        // As if it were lost: whoever sent it asks again.
        if self.check_memory(CHANGE_LEN).is_err() {
            self.is_short_of_memory = true;
            return;
        }
        let (provider, this) = (self.endpoint.provider(), self.public_key());
        let (clock, rng) = (&self.trust.clock, &mut self.endpoint.rng);
        let done = match &mut self.trust.device {
            Some(device) => device.take_note(provider, rng, &this, (from, note), (clock, now)),
            None => Err(NoteError::NoOwners),
        };
        let asker = Some((from, note.key, note.request));
        match done {
            Ok(None) => {}
            Ok(Some((kind, body))) => self.answer(asker, kind, body, now),
            Err(error) => self.answer(asker, NOTE_DONE, vec![error.code()], now),
        }
    }

    /// Answers a note; an answer that does not go out is asked for again.
    pub(super) fn answer(&mut self, asker: Asker, kind: u8, body: Vec<u8>, now: Time) {
        if let Some((by, key, request)) = asker {
            let note = Note { request, key, kind, body };
            let _ = self.links.of_mut(by).send(&ToBroker::Note(note), now);
            self.process_link(by, now);
        }
    }
}
