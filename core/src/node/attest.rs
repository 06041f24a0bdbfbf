//! Attestation: either end of a session may demand a statement of what code the other runs, before
//! anything else of the session is used (PROTOCOL.md, section 6.1).
//!
//! Owns the question and its answer, and what waits for them. Does not own what a statement says,
//! who makes one and who checks it: the caller does, by [`Node::poll_attest`]. Invariants: a
//! session of which a statement is demanded is not told of, opens no stream and answers none before
//! the statement was accepted; a challenge is good in one session alone, so that a statement made
//! for one is none for another.

use super::{Node, NodeError, Reason, SessionId};
use crate::base::{Handle, PublicKey, Time};
use crate::transport::StreamId;
use crate::tunnel::{KIND_ATTEST, Refusal, Tunnel, TunnelEvent};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use data_encoding::HEXLOWER;

/// The longest statement.
pub const ATTESTATION_LEN_MAX: usize = 2048;

/// How long the peer may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Streams that may wait for the decision; the peer is refused more.
const HELD_MAX: usize = 16;
const NONCE_LEN: usize = 16;
/// Of what is read at once.
const CHUNK_LEN: usize = 256;

/// What this node does about attestation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attestation {
    /// It makes statements of its own.
    pub has_own: bool,
    /// It demands one of each peer.
    pub is_demanded: bool,
}

/// What the caller is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttestTask {
    /// Make a statement of what runs here, which has `challenge` in it; then call
    /// [`Node::attest_made`].
    Make {
        /// In which session.
        session: SessionId,
        /// Who wants it.
        peer: PublicKey,
        /// Names the session, this node and the question.
        challenge: [u8; 32],
    },
    /// Check the peer's statement, and that `challenge` is in it; then call
    /// [`Node::attest_checked`].
    Check {
        /// In which session.
        session: SessionId,
        /// Who made it.
        peer: PublicKey,
        /// Names the session, the peer and the question.
        challenge: [u8; 32],
        /// What it says.
        statement: Vec<u8>,
    },
}

/// Those of a node. Each session has at most one of either kind.
#[derive(Default)]
pub(super) struct Tasks {
    config: Attestation,
    tasks: VecDeque<AttestTask>,
}

/// What one session waits for.
#[derive(Default)]
pub(super) struct Attest {
    demand: Demand,
    /// The peer's question: to be answered, and then to be delivered.
    asked: Option<StreamId>,
    is_answered: bool,
    /// What the peer opened meanwhile.
    held: Vec<(StreamId, u8, String)>,
}

#[derive(Default)]
enum Demand {
    /// Nothing is demanded, or it was accepted.
    #[default]
    Nothing,
    /// The peer was asked.
    Asked { stream: StreamId, nonce: String, statement: Vec<u8>, until: Time },
    /// The caller checks.
    Checking,
}

impl Attest {
    /// Whether the session waits for a statement, or for the decision on it.
    pub(super) fn is_pending(&self) -> bool {
        !matches!(self.demand, Demand::Nothing)
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        if let Demand::Asked { until, .. } = &self.demand { Some(*until) } else { None }
    }
}

impl Node {
    /// Switches attestation on or off, for sessions to come.
    pub fn set_attestation(&mut self, config: Attestation) {
        self.attest.config = config;
    }

    /// What is to be made or checked next.
    pub fn poll_attest(&mut self) -> Option<AttestTask> {
        self.attest.tasks.pop_front()
    }

    /// Gives the peer the statement it asked for, of 1 to [`ATTESTATION_LEN_MAX`] bytes; `None`:
    /// there is none. `State` if nobody asks, `TooLarge` if it does not fit the session's buffers.
    pub fn attest_made(
        &mut self,
        session: SessionId,
        statement: Option<&[u8]>,
        now: Time,
    ) -> Result<(), NodeError> {
        let handle = Handle(session.0);
        let session = self.live_session(handle)?;
        let Some(id) = session.attest.asked.filter(|_| !session.attest.is_answered) else {
            return Err(NodeError::State);
        };
        let tunnel = session.tunnel().ok_or(NodeError::State)?;
        tunnel.connection.advance(now);
        let result = match statement {
            Some(statement) => answer(tunnel, id, statement),
            None => {
                let _ = tunnel.refuse(id, Refusal::Service);
                Err(NodeError::State)
            }
        };
        match result {
            Ok(()) => session.attest.is_answered = true,
            Err(_) => session.attest.asked = None,
        }
        self.process_session(handle, now);
        if statement.is_none() { Ok(()) } else { result }
    }

    /// Decides on the peer's statement: the session begins, or ends. `State` if none is being
    /// checked.
    pub fn attest_checked(
        &mut self,
        session: SessionId,
        is_accepted: bool,
        now: Time,
    ) -> Result<(), NodeError> {
        let handle = Handle(session.0);
        let session = self.live_session(handle)?;
        if !matches!(session.attest.demand, Demand::Checking) {
            return Err(NodeError::State);
        }
        if is_accepted {
            session.attest.demand = Demand::Nothing;
            let held = core::mem::take(&mut session.attest.held);
            self.announce_session(handle);
            for (id, kind, service) in held {
                self.on_incoming(handle, id, kind, &service);
            }
        } else {
            self.refuse_peer(handle, now);
        }
        self.process_session(handle, now);
        Ok(())
    }

    /// Asks the peer of a session that has just come up, if that is wanted.
    pub(super) fn demand_attestation(&mut self, handle: Handle, now: Time) -> bool {
        if !self.attest.config.is_demanded {
            return false;
        }
        let nonce = HEXLOWER.encode(&self.endpoint.rng.array::<NONCE_LEN>());
        let Some(session) = self.sessions.get_mut(handle) else { return true };
        let Some(tunnel) = session.tunnel() else { return true };
        let asked = tunnel.open_kind(KIND_ATTEST, &nonce);
        match asked.and_then(|stream| tunnel.finish(stream).map(|()| stream)) {
            Ok(stream) => {
                let until = now + ANSWER_TIME;
                session.attest.demand =
                    Demand::Asked { stream, nonce, statement: Vec::new(), until };
            }
            Err(_) => self.refuse_peer(handle, now),
        }
        true
    }

    /// Takes what concerns attestation out of what happens in a session's tunnel.
    pub(super) fn filter_attest(
        &mut self,
        handle: Handle,
        event: TunnelEvent,
        now: Time,
    ) -> Option<TunnelEvent> {
        let Some(session) = self.sessions.get_mut(handle) else { return Some(event) };
        let own = match &session.attest.demand {
            Demand::Asked { stream, .. } => Some(*stream),
            _ => None,
        };
        match event {
            TunnelEvent::Incoming { id, kind: KIND_ATTEST, service } => {
                self.on_attest_asked(handle, id, &service);
            }
            TunnelEvent::Incoming { id, kind, service } if session.attest.is_pending() => {
                self.hold_incoming(handle, id, kind, service);
            }
            TunnelEvent::Accepted(id) | TunnelEvent::Changed(id) if Some(id) == own => {
                self.read_statement(handle, id, now);
            }
            TunnelEvent::Refused(id, _) if Some(id) == own => self.refuse_peer(handle, now),
            TunnelEvent::Changed(id) if Some(id) == session.attest.asked => {
                let Some(tunnel) = session.tunnel() else { return None };
                let state = tunnel.state(id);
                if state.is_none_or(|s| s.is_delivered || s.stopped.is_some()) {
                    let _ = tunnel.release(id);
                    session.attest.asked = None;
                    session.attest.is_answered = false;
                }
            }
            event => return Some(event),
        }
        None
    }

    /// A peer that does not answer in time is not let in.
    pub(super) fn check_attest_deadline(&mut self, handle: Handle, now: Time) {
        let Some(session) = self.sessions.get(handle) else { return };
        if session.attest.poll_timeout().is_some_and(|until| until <= now) {
            self.refuse_peer(handle, now);
        }
    }

    fn on_attest_asked(&mut self, handle: Handle, id: StreamId, nonce: &str) {
        let (own, has_own) = (self.public_key(), self.attest.config.has_own);
        let has_room = self.check_memory(size_of::<AttestTask>() * 2).is_ok();
        let Some(session) = self.sessions.get_mut(handle) else { return };
        let is_free = session.attest.asked.is_none();
        let peer = session.peer;
        let Some(tunnel) = session.tunnel() else { return };
        if !has_own || !is_free || !has_room {
            let refusal = if has_own { Refusal::Limit } else { Refusal::Unknown };
            let _ = tunnel.refuse(id, refusal);
            return;
        }
        let binding = *tunnel.connection.binding();
        session.attest.asked = Some(id);
        session.attest.is_answered = false;
        let challenge = self.attest_challenge(&binding, &own, nonce);
        let session = SessionId(handle.0);
        self.attest.tasks.push_back(AttestTask::Make { session, peer, challenge });
    }

    fn hold_incoming(&mut self, handle: Handle, id: StreamId, kind: u8, service: String) {
        let has_room = self.check_memory(size_of::<(StreamId, u8, String)>() * HELD_MAX).is_ok();
        let Some(session) = self.sessions.get_mut(handle) else { return };
        if has_room && session.attest.held.len() < HELD_MAX {
            session.attest.held.push((id, kind, service));
        } else if let Some(tunnel) = session.tunnel() {
            let _ = tunnel.refuse(id, Refusal::Limit);
        }
    }

    fn read_statement(&mut self, handle: Handle, id: StreamId, now: Time) {
        let has_room = self.check_memory(ATTESTATION_LEN_MAX * 2).is_ok();
        let Some(session) = self.sessions.get_mut(handle) else { return };
        let peer = session.peer;
        let mut demand = core::mem::take(&mut session.attest.demand);
        let read = match (&mut demand, session.tunnel()) {
            (Demand::Asked { statement, .. }, Some(tunnel)) if has_room => {
                read_to_end(tunnel, id, statement)
            }
            _ => Err(()),
        };
        match (read, demand) {
            (Ok(false), demand) => session.attest.demand = demand,
            (Ok(true), Demand::Asked { nonce, statement, .. }) if !statement.is_empty() => {
                session.attest.demand = Demand::Checking;
                let Some(tunnel) = session.tunnel() else { return };
                let binding = *tunnel.connection.binding();
                let _ = tunnel.release(id);
                let challenge = self.attest_challenge(&binding, &peer, &nonce);
                let session = SessionId(handle.0);
                let task = AttestTask::Check { session, peer, challenge, statement };
                self.attest.tasks.push_back(task);
            }
            _ => self.refuse_peer(handle, now),
        }
    }

    /// What a statement of `maker` has in it, in answer to a question in one session.
    fn attest_challenge(&self, binding: &[u8; 32], maker: &PublicKey, nonce: &str) -> [u8; 32] {
        let provider = self.endpoint.provider();
        provider.sha256(&[b"rit/1 attestation", binding, &maker.0, nonce.as_bytes()])
    }

    fn refuse_peer(&mut self, handle: Handle, now: Time) {
        let Some(session) = self.sessions.get_mut(handle) else { return };
        session.attest = Attest::default();
        if let Some(tunnel) = session.tunnel() {
            tunnel.connection.refuse_peer("its attestation was not accepted", now);
        }
        self.end_session(handle, Reason::Untrusted);
    }
}

/// Sends a statement whole, or nothing of it.
fn answer(tunnel: &mut Tunnel, id: StreamId, statement: &[u8]) -> Result<(), NodeError> {
    let is_fine = (1..=ATTESTATION_LEN_MAX).contains(&statement.len());
    let accepted = if is_fine { tunnel.accept(id).is_ok() } else { false };
    if accepted && tunnel.write(id, statement) == Ok(statement.len()) {
        return Ok(tunnel.finish(id)?);
    }
    let _ = tunnel.release(id);
    Err(NodeError::TooLarge)
}

/// Reads what came of a statement; whether that is all of it.
fn read_to_end(tunnel: &mut Tunnel, id: StreamId, statement: &mut Vec<u8>) -> Result<bool, ()> {
    let mut chunk = [0; CHUNK_LEN];
    loop {
        match tunnel.read(id, &mut chunk) {
            Ok(0) => return Ok(true),
            Ok(len) if statement.len() + len <= ATTESTATION_LEN_MAX => {
                statement.extend_from_slice(chunk.get(..len).unwrap_or_default());
            }
            Err(crate::transport::StreamError::Blocked) => return Ok(false),
            _ => return Err(()),
        }
    }
}
