//! Error codes on the wire (RFC 9000 §20.1), why a connection ended, what a stream call may answer.

use alloc::string::String;
use thiserror::Error;

/// Transport error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportCode(pub u64);

impl TransportCode {
    /// NO_ERROR.
    pub const NO_ERROR: Self = Self(0x00);
    /// INTERNAL_ERROR.
    pub const INTERNAL: Self = Self(0x01);
    /// FLOW_CONTROL_ERROR.
    pub const FLOW_CONTROL: Self = Self(0x03);
    /// STREAM_LIMIT_ERROR.
    pub const STREAM_LIMIT: Self = Self(0x04);
    /// STREAM_STATE_ERROR.
    pub const STREAM_STATE: Self = Self(0x05);
    /// FINAL_SIZE_ERROR.
    pub const FINAL_SIZE: Self = Self(0x06);
    /// FRAME_ENCODING_ERROR.
    pub const FRAME_ENCODING: Self = Self(0x07);
    /// TRANSPORT_PARAMETER_ERROR.
    pub const PARAMS: Self = Self(0x08);
    /// CONNECTION_ID_LIMIT_ERROR.
    pub const CONNECTION_ID_LIMIT: Self = Self(0x09);
    /// PROTOCOL_VIOLATION.
    pub const PROTOCOL: Self = Self(0x0a);
    /// CRYPTO_BUFFER_EXCEEDED.
    pub const CRYPTO_BUFFER: Self = Self(0x0d);
    /// KEY_UPDATE_ERROR.
    pub const KEY_UPDATE: Self = Self(0x0e);
    /// AEAD_LIMIT_REACHED.
    pub const AEAD_LIMIT: Self = Self(0x0f);

    /// CRYPTO_ERROR with a TLS alert.
    pub const fn crypto(alert: u8) -> Self {
        Self(0x0100 + alert as u64)
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CloseReason {
    /// We closed it.
    #[error("closed here with code {0}")]
    Local(u64),
    /// The peer's application closed it.
    #[error("closed by the peer with code {0}")]
    Peer(u64),
    /// The peer's transport closed it.
    #[error("closed by the peer's transport with code {code:#x}: {reason}")]
    PeerTransport {
        /// Its code.
        code: u64,
        /// Its words.
        reason: String,
    },
    /// The peer broke the protocol; `TransportCode` was sent.
    #[error("the peer broke the protocol ({code:#x}): {reason}")]
    Violation {
        /// The code sent.
        code: u64,
        /// What was wrong.
        reason: &'static str,
    },
    /// The peer did not prove to be who was expected.
    #[error("the peer is not who was expected: {0}")]
    Untrusted(&'static str),
    /// Nothing came for the idle timeout, or the handshake was not done in time.
    #[error("timed out")]
    TimedOut,
    /// The peer has forgotten the connection: a stateless reset came.
    #[error("the peer has forgotten the connection")]
    Reset,
    /// The integrator's crypto failed, or its key gave no signature.
    #[error("the integrator's crypto failed")]
    Crypto,
    /// A broken promise of this library.
    #[error("internal error")]
    Internal,
}

/// Why a stream call did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StreamError {
    /// Nothing to read or no room to write now; a `Stream` event follows.
    #[error("nothing to do now")]
    Blocked,
    /// No such stream, or it is over.
    #[error("no such stream")]
    Unknown,
    /// The peer allows no further stream now.
    #[error("stream limit reached")]
    Limit,
    /// The peer reset the stream with this code.
    #[error("reset by the peer with code {0}")]
    Reset(u64),
    /// The peer asked to stop with this code.
    #[error("stopped by the peer with code {0}")]
    Stopped(u64),
    /// Our side's deadline passed before all was acknowledged; the rest is given up.
    #[error("the deadline of this side of the stream is over")]
    Expired,
    /// There is no memory for it.
    #[error("out of memory")]
    Memory,
    /// Our side was finished or reset before.
    #[error("this side of the stream is finished")]
    Finished,
    /// The connection is not up.
    #[error("not connected")]
    NotConnected,
}

/// What to close the connection with: the peer's fault, found while taking a packet apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) code: TransportCode,
    pub(super) reason: &'static str,
}

impl Violation {
    pub(super) const fn new(code: TransportCode, reason: &'static str) -> Self {
        Violation { code, reason: text(reason) }
    }
}

/// A text for people, where there are any.
pub(super) const fn text(text: &'static str) -> &'static str {
    if cfg!(feature = "log") { text } else { "" }
}
