//! What a node's calls answer, and why sessions and links end.

#[cfg(feature = "trust")]
use super::trust::CODE_NOT_PERMITTED;
use crate::handshake::HandshakeError;
use crate::transport::{CloseReason, DatagramError, StreamError};
use crate::trust::AllowError;
use crate::wire::message::RefuseReason;
use thiserror::Error;

/// Why a call did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NodeError {
    /// The handle's thing is gone, or never was.
    #[error("stale or unknown handle")]
    StaleHandle,
    /// A configured limit, or the peer's, is reached.
    #[error("a limit is reached")]
    Limit,
    /// It is there already.
    #[error("it exists already")]
    Exists,
    /// Not 1 to 63 of `a-z 0-9 - _ .`.
    #[error("not a service name")]
    Name,
    /// An argument outside its range.
    #[error("an argument is out of range")]
    Argument,
    /// The broker cannot be asked now.
    #[error("the broker is not online")]
    Offline,
    /// Not now: the session is not up, or the stream not at that point.
    #[error("not in this state")]
    State,
    /// A message that can never be sent.
    #[error("the message is too large")]
    TooLarge,
    /// The buffer has less room than the message has bytes; it stays.
    #[error("the buffer is too small for {0} bytes")]
    Buffer(usize),
    /// Nothing to read or no room to write; an event follows.
    #[error("nothing to do now")]
    Blocked,
    /// The peer reset the stream.
    #[error("reset by the peer with code {0}")]
    Reset(u64),
    /// The peer wants no more.
    #[error("stopped by the peer with code {0}")]
    Stopped(u64),
    /// The stream's deadline passed; what had not arrived is given up.
    #[error("the stream's deadline is over")]
    Expired,
    /// The integrator's crypto failed.
    #[error("the integrator's crypto failed")]
    Crypto,
    /// There is no memory for it; nothing changed.
    #[error("out of memory")]
    Memory,
    /// A broken promise of this library or its crypto provider.
    #[error("internal error")]
    Internal,
}

impl From<HandshakeError> for NodeError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Sign | HandshakeError::Crypto => NodeError::Crypto,
            _ => NodeError::Internal,
        }
    }
}

impl From<StreamError> for NodeError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Blocked => NodeError::Blocked,
            StreamError::Unknown => NodeError::StaleHandle,
            StreamError::Limit => NodeError::Limit,
            StreamError::Reset(code) => NodeError::Reset(code),
            StreamError::Stopped(code) => NodeError::Stopped(code),
            StreamError::Expired => NodeError::Expired,
            StreamError::Memory => NodeError::Memory,
            StreamError::Finished | StreamError::NotConnected => NodeError::State,
        }
    }
}

impl From<DatagramError> for NodeError {
    fn from(error: DatagramError) -> Self {
        match error {
            DatagramError::TooLarge => NodeError::TooLarge,
            DatagramError::Full => NodeError::Limit,
            DatagramError::Memory => NodeError::Memory,
            DatagramError::Buffer(len) => NodeError::Buffer(len),
            DatagramError::NotConnected => NodeError::State,
        }
    }
}

impl From<AllowError> for NodeError {
    fn from(_: AllowError) -> Self {
        NodeError::Limit
    }
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// `max_datagram` outside 512..=9000.
    #[error("max_datagram is out of range")]
    MaxDatagram,
    /// A window, buffer or limit is zero, or a stream's window is larger than its session's.
    #[error("a window, buffer or limit is out of range")]
    Limits,
}

/// Why a session or the link to the broker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// Closed here.
    #[error("closed here")]
    Local,
    /// The peer closed it with this code.
    #[error("closed by the peer with code {0}")]
    Peer(u64),
    /// No answer in time.
    #[error("timed out")]
    TimedOut,
    /// The peer knows nothing of it any more: it was restarted.
    #[error("the peer has forgotten it")]
    Forgotten,
    /// The peer did not prove to be who was expected, or would not believe us.
    #[error("the peer's identity was not accepted")]
    Untrusted,
    /// The broker does not know the device.
    #[error("unknown device")]
    Unknown,
    /// The device, or the broker, is not online.
    #[error("offline")]
    Offline,
    /// This node is not enrolled.
    #[error("not enrolled")]
    NotEnrolled,
    /// The enrol code is wrong, expired or used.
    #[error("enrol code not accepted")]
    BadCode,
    /// A limit of the peer or the broker.
    #[error("a limit is reached")]
    Limit,
    /// The device's owner does not permit it, or not any more.
    #[error("not permitted by the device's owner")]
    NotPermitted,
    /// Another process with the same identity took the link over.
    #[error("replaced by another process with the same identity")]
    Replaced,
    /// The broker's storage failed.
    #[error("the broker is unavailable")]
    Unavailable,
    /// There is no memory for it here.
    #[error("out of memory")]
    Memory,
    /// One end broke the protocol.
    #[error("protocol violation")]
    Protocol,
    /// The integrator's crypto failed, or its key gave no signature.
    #[error("the integrator's crypto failed")]
    Crypto,
    /// A broken promise of this library or its crypto provider.
    #[error("internal error")]
    Internal,
}

impl From<HandshakeError> for Reason {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Sign | HandshakeError::Crypto => Reason::Crypto,
            _ => Reason::Internal,
        }
    }
}

impl From<&CloseReason> for Reason {
    fn from(reason: &CloseReason) -> Self {
        match reason {
            CloseReason::Local(_) => Reason::Local,
            #[cfg(feature = "trust")]
            CloseReason::Peer(CODE_NOT_PERMITTED) => Reason::NotPermitted,
            CloseReason::Peer(code) => Reason::Peer(*code),
            // 0x100 + a TLS alert: it refused the handshake.
            CloseReason::PeerTransport { code, .. } if *code & 0xff00 == 0x100 => Reason::Untrusted,
            CloseReason::PeerTransport { .. } | CloseReason::Violation { .. } => Reason::Protocol,
            CloseReason::Untrusted(_) => Reason::Untrusted,
            CloseReason::Reset => Reason::Forgotten,
            CloseReason::TimedOut => Reason::TimedOut,
            CloseReason::Crypto => Reason::Crypto,
            CloseReason::Internal => Reason::Internal,
        }
    }
}

impl From<RefuseReason> for Reason {
    fn from(reason: RefuseReason) -> Self {
        match reason {
            RefuseReason::NotEnrolled => Reason::NotEnrolled,
            RefuseReason::BadCode => Reason::BadCode,
            RefuseReason::Unknown => Reason::Unknown,
            RefuseReason::Offline => Reason::Offline,
            RefuseReason::Limit => Reason::Limit,
            RefuseReason::Replaced => Reason::Replaced,
            RefuseReason::Unavailable => Reason::Unavailable,
            RefuseReason::NotPermitted => Reason::NotPermitted,
            _ => Reason::Protocol,
        }
    }
}
