//! How a connection ends (RFC 9000 §10): immediate close, draining, silent end.
//!
//! The owner learns of it at once by [`Event::Closed`]; the connection lingers three probe timeouts
//! to answer late packets, then `is_closed`.

use super::Event;
use super::connection::{Connection, State};
#[cfg(feature = "attest")]
use super::error::text;
use super::error::{CloseReason, TransportCode, Violation};
use super::space::SpaceId;
use crate::base::{Time, push_few};
use crate::wire::frame;
use alloc::string::String;

/// What is said to the peer, and when the end is over.
#[derive(Default)]
pub(super) struct Close {
    pub(super) code: u64,
    pub(super) is_application: bool,
    pub(super) reason: &'static str,
    pub(super) deadline: Option<Time>,
    /// A CONNECTION_CLOSE is to be sent.
    pub(super) is_pending: bool,
    /// Packets that came since we closed; answered at powers of two (RFC 9000 §10.2.1).
    answered: u32,
}

/// Bytes kept of the peer's words.
const REASON_LEN_MAX: usize = 128;

/// APPLICATION_ERROR: stands for an application's code where that may not be shown yet
/// (RFC 9000 §10.2.3).
const APPLICATION_ERROR: u64 = 0x0c;

/// The TLS alert of an end whose key is right, but which is not let in.
#[cfg(feature = "attest")]
const ACCESS_DENIED: u8 = 49;

impl Connection {
    /// Closes for the application; nothing already buffered is sent.
    pub fn close(&mut self, code: u64, now: Time) {
        self.clamp(now);
        if matches!(self.state, State::Handshaking | State::Established) {
            self.close.is_application = true;
            self.move_to_closing(code, "", CloseReason::Local(code));
        }
    }

    /// Closes because the peer is not let in after all; to it this looks as if its key had not been
    /// accepted (RFC 8446 §6.2, access_denied).
    #[cfg(feature = "attest")]
    pub fn refuse_peer(&mut self, why: &'static str, now: Time) {
        self.clamp(now);
        self.close_with(TransportCode::crypto(ACCESS_DENIED), CloseReason::Untrusted(text(why)));
    }

    /// Closes because the peer broke the protocol.
    pub(super) fn close_for_violation(&mut self, violation: Violation) {
        let Violation { code, reason } = violation;
        let why = CloseReason::Violation { code: code.0, reason };
        self.close_with(code, why);
    }

    pub(super) fn close_with(&mut self, code: TransportCode, why: CloseReason) {
        if matches!(self.state, State::Handshaking | State::Established) {
            let reason =
                if let CloseReason::Violation { reason, .. } = &why { *reason } else { "" };
            self.move_to_closing(code.0, reason, why);
        }
    }

    fn move_to_closing(&mut self, code: u64, reason: &'static str, why: CloseReason) {
        self.state = State::Closing;
        self.close.code = code;
        self.close.reason = reason;
        self.close.is_pending = true;
        self.linger(why);
    }

    /// The peer closed: nothing more is sent.
    pub(super) fn move_to_draining(&mut self, close: &frame::Close<'_>) {
        if !matches!(self.state, State::Handshaking | State::Established) {
            // We closed too: its close says that ours arrived.
            self.state = if self.state == State::Closing { State::Draining } else { self.state };
            return;
        }
        self.state = State::Draining;
        self.linger(if close.is_application {
            CloseReason::Peer(close.code)
        } else {
            let reason = close.reason.get(..REASON_LEN_MAX).unwrap_or(close.reason);
            let reason = if cfg!(feature = "log") {
                String::from_utf8_lossy(reason).into_owned()
            } else {
                String::new()
            };
            CloseReason::PeerTransport { code: close.code, reason }
        });
    }

    fn linger(&mut self, why: CloseReason) {
        let pto = self.recovery.pto(SpaceId::Data);
        self.close.deadline = Some(self.now + pto * 3);
        self.handshake = None;
        push_few(&mut self.events, Event::Closed(why));
    }

    /// A stateless reset came (RFC 9000 §10.3): the peer knows nothing of us any more.
    pub fn handle_reset(&mut self, now: Time) {
        self.clamp(now);
        if matches!(self.state, State::Handshaking | State::Established) {
            self.end_silently(CloseReason::Reset);
        }
    }

    /// Ends without a word: the peer is gone.
    pub(super) fn end_silently(&mut self, why: CloseReason) {
        push_few(&mut self.events, Event::Closed(why));
        self.move_to_closed();
    }

    pub(super) fn move_to_closed(&mut self) {
        self.state = State::Closed;
        self.close.is_pending = false;
        self.handshake = None;
    }

    /// A packet came although we closed: say so again, ever more rarely.
    pub(super) fn on_packet_while_closing(&mut self) {
        self.close.answered = self.close.answered.saturating_add(1);
        if self.close.answered.is_power_of_two() {
            self.close.is_pending = true;
        }
    }

    /// The frame for a packet of `space`.
    pub(super) fn close_frame(&self, space: SpaceId) -> frame::Close<'static> {
        let may_show = !self.close.is_application || space == SpaceId::Data;
        frame::Close {
            is_application: self.close.is_application && may_show,
            code: if may_show { self.close.code } else { APPLICATION_ERROR },
            reason: if may_show { self.close.reason.as_bytes() } else { b"" },
        }
    }
}
