//! Why a handshake failed, in words that carry no byte of what was secret, and the TLS alert
//! (RFC 8446 §6.2) that tells the peer.

use rustls::{AlertDescription, CertificateError, Error};
use thiserror::Error;

/// Why a handshake failed. After one, the handshake stays failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// The peer has a key, but not one that is allowed here.
    #[error("the peer's key is not the expected one")]
    UnexpectedPeer,
    /// What the peer calls its key is not a raw public key of a known kind.
    #[error("the peer's key is not a raw key of a known kind")]
    BadPeerKey,
    /// The peer did not say who it is.
    #[error("the peer has not shown a key")]
    NoPeerKey,
    /// The peer does not hold the private key of the key that it shows.
    #[error("the peer's signature does not verify")]
    BadSignature,
    /// The bytes are no TLS messages.
    #[error("malformed handshake message")]
    Malformed,
    /// A message that has no place here, or anything after the last one.
    #[error("unexpected handshake message")]
    UnexpectedMessage,
    /// A record or Finished message does not authenticate.
    #[error("handshake record does not authenticate")]
    BadRecord,
    /// The two ends share no version, suite, group, signature scheme or key type.
    #[error("the peer's TLS is not compatible")]
    Incompatible,
    /// The peer broke a rule of TLS.
    #[error("the peer broke a rule of TLS")]
    Misbehaved,
    /// The peer did not agree on this protocol by ALPN.
    #[error("the peer does not speak this protocol")]
    NoProtocol,
    /// The peer's transport parameters are longer than allowed.
    #[error("the peer's transport parameters are too long")]
    ParamsTooLong,
    /// The peer sent more than any handshake needs.
    #[error("the peer sent too many handshake bytes")]
    TooMuchData,
    /// The peer gave up, with this alert.
    #[error("the peer gave up with alert {0}")]
    PeerAlert(u8),
    /// Our own key gave no signature.
    #[error("the local key gave no signature")]
    Sign,
    /// The integrator's crypto failed at this end.
    #[error("the integrator's crypto failed")]
    Crypto,
    /// Our own parameters or connection ID are longer than allowed.
    #[error("local parameters are too long")]
    LocalParamsTooLong,
    /// A fault on our side.
    #[error("internal error in the handshake")]
    Internal,
}

impl HandshakeError {
    /// The alert to tell the peer; on the wire it is CRYPTO_ERROR, 0x100 plus this.
    pub fn tls_alert(self) -> u8 {
        let alert = match self {
            HandshakeError::UnexpectedPeer => AlertDescription::AccessDenied,
            HandshakeError::BadPeerKey => AlertDescription::BadCertificate,
            HandshakeError::NoPeerKey => AlertDescription::CertificateRequired,
            HandshakeError::BadSignature => AlertDescription::DecryptError,
            HandshakeError::Malformed => AlertDescription::DecodeError,
            HandshakeError::UnexpectedMessage => AlertDescription::UnexpectedMessage,
            HandshakeError::BadRecord => AlertDescription::BadRecordMac,
            HandshakeError::Incompatible => AlertDescription::HandshakeFailure,
            HandshakeError::Misbehaved | HandshakeError::ParamsTooLong => {
                AlertDescription::IllegalParameter
            }
            HandshakeError::NoProtocol => AlertDescription::NoApplicationProtocol,
            HandshakeError::TooMuchData => AlertDescription::RecordOverflow,
            HandshakeError::PeerAlert(alert) => return alert,
            HandshakeError::Sign
            | HandshakeError::Crypto
            | HandshakeError::LocalParamsTooLong
            | HandshakeError::Internal => AlertDescription::InternalError,
        };
        alert.into()
    }
}

impl From<Error> for HandshakeError {
    /// Keeps the kind and drops the text.
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
                HandshakeError::UnexpectedPeer
            }
            Error::InvalidCertificate(CertificateError::BadSignature) => {
                HandshakeError::BadSignature
            }
            Error::InvalidCertificate(_) => HandshakeError::BadPeerKey,
            Error::NoCertificatesPresented => HandshakeError::NoPeerKey,
            Error::InvalidMessage(_) => HandshakeError::Malformed,
            Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
                HandshakeError::UnexpectedMessage
            }
            Error::DecryptError => HandshakeError::BadRecord,
            Error::PeerIncompatible(_) => HandshakeError::Incompatible,
            Error::PeerMisbehaved(_) => HandshakeError::Misbehaved,
            Error::NoApplicationProtocol => HandshakeError::NoProtocol,
            Error::PeerSentOversizedRecord => HandshakeError::TooMuchData,
            Error::AlertReceived(alert) => HandshakeError::PeerAlert(alert.into()),
            _ => HandshakeError::Internal,
        }
    }
}
