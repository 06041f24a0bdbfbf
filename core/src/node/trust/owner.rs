//! The owner's end: notes to devices and their answers, and claiming one.

use super::super::{Node, NodeError, Reason, Which};
use super::TrustEvent;
use crate::base::{PublicKey, Time};
use crate::trust::{CLAIM_NONCE_LEN, ClaimSecret, NoteError, sign_claim, verify_claimed};
use crate::wire::message::{
    NOTE_CLAIM, NOTE_CLAIM_ASK, NOTE_CLAIM_NONCE, NOTE_CLAIMED, NOTE_DONE, NOTE_LEN_MAX, Note,
    RefuseReason, ToBroker,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// Notes that wait for an answer at once.
pub const NOTES_MAX: usize = 8;
/// How long another node may take to answer.
const NOTE_TIMEOUT: Duration = Duration::from_secs(15);

/// What goes on with a note beyond its answer.
enum Course {
    Plain,
    /// A claim, and what the device asked for it with. The secret stays in its place, so that no
    /// copy is left where it was.
    Claim(Box<ClaimSecret>, Option<[u8; CLAIM_NONCE_LEN]>),
}

struct Asking {
    by: Which,
    request: u32,
    to: PublicKey,
    until: Time,
    course: Course,
}

/// Notes without an answer yet, the oldest first.
#[derive(Default)]
pub(super) struct Asked(Vec<Asking>);

impl Asked {
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.0.iter().map(|asking| asking.until).min()
    }

    fn take(&mut self, is_it: impl Fn(&Asking) -> bool) -> Option<Asking> {
        let at = self.0.iter().position(is_it)?;
        Some(self.0.remove(at))
    }
}

impl Node {
    /// Sends a note to another node by the broker, and gives its number; `NoteAnswered` or
    /// `NoteFailed` with that follows. `Limit`: [`NOTES_MAX`] wait for an answer.
    pub fn send_note(
        &mut self,
        to: PublicKey,
        kind: u8,
        body: &[u8],
        now: Time,
    ) -> Result<u32, NodeError> {
        self.ask_node(to, kind, body, Course::Plain, now)
    }

    /// Claims a device with its claim secret, or that of its claim code, for this node's key.
    /// `DeviceClaimed`, `ClaimRefused` or `NoteFailed` with the number follows.
    pub fn claim_device(
        &mut self,
        device: PublicKey,
        secret: ClaimSecret,
        now: Time,
    ) -> Result<u32, NodeError> {
        self.ask_node(device, NOTE_CLAIM_ASK, &[], Course::Claim(Box::new(secret), None), now)
    }

    fn ask_node(
        &mut self,
        to: PublicKey,
        kind: u8,
        body: &[u8],
        course: Course,
        now: Time,
    ) -> Result<u32, NodeError> {
        if body.len() > NOTE_LEN_MAX {
            return Err(NodeError::Argument);
        }
        let by = self.links.to_ask().ok_or(NodeError::Offline)?;
        if self.trust.asked.0.len() >= NOTES_MAX {
            return Err(NodeError::Limit);
        }
        let listed = 2 * NOTES_MAX * size_of::<Asking>();
        self.check_memory(listed + size_of::<ClaimSecret>() + body.len())?;
        let request = self.requests.fresh();
        let note = Note { request, key: to, kind, body: body.to_vec() };
        self.links.of_mut(by).send(&ToBroker::Note(note), now)?;
        self.trust.asked.0.push(Asking { by, request, to, until: now + NOTE_TIMEOUT, course });
        self.process_link(by, now);
        Ok(request)
    }

    pub(super) fn on_note_answered(&mut self, note: Note, from: Which, now: Time) {
        let is_it = |asking: &Asking| {
            asking.by == from && asking.request == note.request && asking.to == note.key
        };
        let Some(asking) = self.trust.asked.take(is_it) else { return };
        let Note { request, key, kind, body } = note;
        match asking.course {
            Course::Plain => {
                let answered = TrustEvent::NoteAnswered { request, from: key, kind, body };
                self.tell_owner_event(answered);
            }
            Course::Claim(secret, nonce) => {
                self.go_on_claiming((from, request, key), (kind, &body), (secret, nonce), now);
            }
        }
    }

    fn go_on_claiming(
        &mut self,
        (by, request, device): (Which, u32, PublicKey),
        (kind, body): (u8, &[u8]),
        (secret, asked_with): (Box<ClaimSecret>, Option<[u8; CLAIM_NONCE_LEN]>),
        now: Time,
    ) {
        let provider = self.endpoint.provider();
        let error = match (kind, asked_with) {
            (NOTE_CLAIM_NONCE, None) => match body.try_into() {
                Ok(nonce) => return self.send_claim((by, request, device), secret, nonce, now),
                Err(_) => NoteError::Malformed,
            },
            (NOTE_CLAIMED, Some(nonce)) => {
                let owner = self.public_key();
                match verify_claimed(provider, &device, &owner, &nonce, &secret, body) {
                    Ok(epoch) => {
                        let claimed = TrustEvent::DeviceClaimed { request, device, epoch };
                        return self.tell_owner_event(claimed);
                    }
                    Err(error) => error.into(),
                }
            }
            (NOTE_DONE, _) => NoteError::of_body(body).err().unwrap_or(NoteError::Malformed),
            _ => NoteError::Malformed,
        };
        self.tell_owner_event(TrustEvent::ClaimRefused { request, device, error });
    }

    /// The device asked; here is the proof.
    fn send_claim(
        &mut self,
        (by, request, device): (Which, u32, PublicKey),
        secret: Box<ClaimSecret>,
        nonce: [u8; CLAIM_NONCE_LEN],
        now: Time,
    ) {
        let provider = self.endpoint.provider();
        let signer = &*self.endpoint.local.signer;
        let Ok(body) = sign_claim(provider, &device, &nonce, &secret, signer) else {
            let reason = Reason::Crypto;
            return self.tell_owner_event(TrustEvent::NoteFailed { request, reason });
        };
        let claim = Note { request, key: device, kind: NOTE_CLAIM, body };
        if self.links.of_mut(by).send(&ToBroker::Note(claim), now).is_err() {
            let reason = Reason::Offline;
            return self.tell_owner_event(TrustEvent::NoteFailed { request, reason });
        }
        let course = Course::Claim(secret, Some(nonce));
        let until = now + NOTE_TIMEOUT;
        self.trust.asked.0.push(Asking { by, request, to: device, until, course });
    }

    /// The broker did not hand a note on.
    pub(in super::super) fn on_note_refused(
        &mut self,
        request: u32,
        from: Which,
        reason: RefuseReason,
    ) {
        let is_it = |asking: &Asking| asking.by == from && asking.request == request;
        if self.trust.asked.take(is_it).is_some() {
            let reason = Reason::from(reason);
            self.tell_owner_event(TrustEvent::NoteFailed { request, reason });
        }
    }

    /// Those that went by this link get no answer.
    pub(super) fn fail_notes(&mut self, by: Which, reason: Reason) {
        while let Some(Asking { request, .. }) = self.trust.asked.take(|a| a.by == by) {
            self.tell_owner_event(TrustEvent::NoteFailed { request, reason });
        }
    }

    pub(super) fn expire_notes(&mut self, now: Time) {
        while let Some(Asking { request, .. }) = self.trust.asked.take(|a| a.until <= now) {
            let reason = Reason::TimedOut;
            self.tell_owner_event(TrustEvent::NoteFailed { request, reason });
        }
    }
}
