//! From the first packet to a confirmed handshake (RFC 9001 §4): TLS is fed and drained, keys and
//! identity are taken over, contact keys are let go of.

use super::Event;
use super::connection::{Connection, Local, Parts, State};
use super::crypto_stream::{CryptoReceiver, CryptoSender};
use super::error::{CloseReason, TransportCode, Violation, text};
use super::key_update::KeyUpdate;
use super::space::Keys;
use crate::base::{Rng, Side, push_few};
use crate::crypto::{DirectionKeys, Provider, Suite, contact_secrets};
use crate::handshake::{Contact, Handshake, HandshakeError, SessionSecrets, TlsRole};
use crate::wire::cid::Cid;
use crate::wire::codec::Writer;
use crate::wire::params::TransportParams;

/// What remains of interest of the peer's transport parameters.
pub(super) struct PeerLimits {
    pub(super) max_idle_timeout_ms: u64,
    pub(super) max_ack_delay_ms: u16,
    pub(super) ack_delay_exponent: u8,
    pub(super) takes_ack_frequency: bool,
    pub(super) max_datagram_frame: usize,
    /// Bytes that a stream, whoever opens it, takes at first.
    pub(super) first_window: u64,
}

impl PeerLimits {
    pub(super) fn of(params: &TransportParams) -> Self {
        let local = params.initial_max_stream_data_bidi_local;
        PeerLimits {
            max_idle_timeout_ms: params.max_idle_timeout_ms,
            // Both are within range, or would not have been read.
            max_ack_delay_ms: u16::try_from(params.max_ack_delay_ms).unwrap_or(u16::MAX),
            ack_delay_exponent: params.ack_delay_exponent.min(20) as u8,
            takes_ack_frequency: params.min_ack_delay_us > 0,
            max_datagram_frame: usize::try_from(params.max_datagram_frame_size)
                .unwrap_or(usize::MAX),
            first_window: local.min(params.initial_max_stream_data_bidi_remote),
        }
    }
}

impl Connection {
    /// Feeds what came to TLS, sends what it answers, takes keys and the peer's identity over. What
    /// is done besides has functions of its own, for the stack: TLS takes most of it.
    #[inline(never)]
    pub(super) fn drive_handshake(&mut self) {
        let Some(handshake) = &mut self.handshake else { return };
        while let Some(data) = self.crypto_rx.read() {
            if let Err(error) = handshake.read(data, &mut self.rng) {
                return self.fail_handshake(error);
            }
        }
        self.adopt();
    }

    #[inline(never)]
    fn adopt(&mut self) {
        let Some(handshake) = &mut self.handshake else { return };
        self.role = handshake.role();
        while let Some(data) = handshake.take_output() {
            self.crypto_tx.write(&data);
        }
        let secrets = handshake.take_secrets();
        let (is_complete, peer_key) = (handshake.is_complete(), handshake.peer_key());
        if secrets.is_none() && !is_complete {
            return;
        }
        let params = handshake.peer_params().map(TransportParams::read);
        let Some(Ok(params)) = params else {
            let violation = Violation::new(TransportCode::PARAMS, "bad transport parameters");
            return self.close_for_violation(violation);
        };
        if let Some(secrets) = secrets {
            self.peer = PeerLimits::of(&params);
            self.adopt_secrets(&secrets, &params);
        }
        if is_complete {
            self.peer_key = peer_key;
            if self.key_update.is_some() && self.peer_key.is_some() {
                self.move_to_established(&params);
            }
        }
    }

    fn adopt_secrets(&mut self, secrets: &SessionSecrets, params: &TransportParams) {
        let theirs = usize::try_from(params.max_udp_payload_size);
        self.recovery.mtu.start(self.config.max_datagram.min(theirs.unwrap_or(usize::MAX)));
        let SessionSecrets { suite, local, remote } = secrets;
        #[cfg(feature = "attest")]
        {
            let initiator = if self.side == Side::Initiator { local } else { remote };
            self.binding = crate::crypto::session_binding(self.provider, initiator);
        }
        self.key_update = Some(KeyUpdate::new(self.provider, *suite, local, remote));
        let keys = |secret| DirectionKeys::new(self.provider, *suite, secret);
        self.spaces.data.keys = Some(Keys { local: keys(local), remote: keys(remote) });
    }

    #[inline(never)]
    fn fail_handshake(&mut self, error: HandshakeError) {
        let code = TransportCode::crypto(error.tls_alert());
        let reason = match error {
            HandshakeError::UnexpectedPeer
            | HandshakeError::BadPeerKey
            | HandshakeError::NoPeerKey
            | HandshakeError::BadSignature => CloseReason::Untrusted(text("it proved another key")),
            HandshakeError::PeerAlert(_) => CloseReason::Untrusted(text("it refused our key")),
            HandshakeError::Sign | HandshakeError::Crypto => CloseReason::Crypto,
            HandshakeError::Internal => CloseReason::Internal,
            _ => CloseReason::Violation { code: code.0, reason: text("TLS handshake failed") },
        };
        self.close_with(code, reason);
    }

    fn move_to_established(&mut self, params: &TransportParams) {
        self.state = State::Established;
        self.handshake_deadline = None;
        self.handshake = None;
        self.crypto_rx = CryptoReceiver::default();
        self.streams.on_params(params);
        let (limit, token) = (params.active_connection_id_limit, params.stateless_reset_token);
        self.control.cids.start(limit, token);
        self.control.ack_frequency.start(params.min_ack_delay_us);
        // The server of TLS has the last word of the handshake.
        if self.role == TlsRole::Server {
            self.control.handshake_done = true;
            self.confirm();
        }
        self.restart_idle_timer();
        push_few(&mut self.events, Event::Connected);
    }

    /// The contact keys have done their work (RFC 9001 §4.9.2).
    pub(super) fn confirm(&mut self) {
        self.is_confirmed = true;
        self.recovery.ecn.start();
        self.crypto_tx = CryptoSender::default();
        if let Some(contact) = self.spaces.discard_contact() {
            self.recovery.on_discarded(&contact);
        }
    }
}

/// Begins TLS, with what this end says of itself.
#[inline(never)]
pub(super) fn start_handshake(
    local: &Local,
    parts: &Parts<'_>,
    rng: &mut Rng,
) -> Result<Handshake, HandshakeError> {
    let mut params = [0; 128];
    let mut w = Writer::new(&mut params);
    let stated = TransportParams {
        stateless_reset_token: Some(parts.reset_token),
        is_tls_server: parts.side == Side::Initiator && parts.role == TlsRole::Server,
        ..local.config.params()
    };
    stated.write(&mut w).map_err(|_| HandshakeError::Internal)?;
    let len = w.len();
    Handshake::new(
        local.provider,
        parts.side,
        parts.role,
        local.signer.clone(),
        parts.peer.clone(),
        &params[..len],
        parts.contact.key.clone(),
        parts.dcid.as_bytes(),
        rng,
    )
}

/// The keys of contact packets.
pub(super) fn contact_keys(
    provider: &'static dyn Provider,
    side: Side,
    contact: &Contact,
    dcid: &Cid,
) -> Keys {
    let (initiator, responder) = contact_secrets(provider, &contact.key, dcid.as_bytes());
    let keys = |secret| DirectionKeys::new(provider, Suite::CONTACT, secret);
    match side {
        Side::Initiator => Keys { local: keys(&initiator), remote: keys(&responder) },
        Side::Responder => Keys { local: keys(&responder), remote: keys(&initiator) },
    }
}
