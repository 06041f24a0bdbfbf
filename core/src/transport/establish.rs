//! From the first packet to a confirmed handshake (RFC 9001 §4): TLS is fed and drained, keys and
//! identity are taken over, contact keys are let go of.

use super::Event;
use super::connection::{Connection, Local, Parts, State};
use super::crypto_stream::{CryptoReceiver, CryptoSender};
use super::error::{CloseReason, TransportCode, Violation};
use super::key_update::KeyUpdate;
use super::space::{Keys, SpaceId};
use crate::base::{Rng, Side};
use crate::crypto::{DirectionKeys, Provider, Suite, contact_secrets};
use crate::handshake::{Contact, Handshake, HandshakeError, SessionSecrets, TlsRole};
use crate::wire::cid::Cid;
use crate::wire::codec::Writer;
use crate::wire::params::TransportParams;

impl Connection {
    /// Feeds what came to TLS, sends what it answers, takes keys and the peer's identity over.
    #[inline(never)]
    pub(super) fn drive_handshake(&mut self) {
        let Some(handshake) = &mut self.handshake else { return };
        while let Some(data) = self.crypto_rx.read() {
            if let Err(error) = handshake.read(data, &mut self.rng) {
                return self.fail_handshake(error);
            }
        }
        self.role = handshake.role();
        while let Some(data) = handshake.take_output() {
            self.crypto_tx.write(&data);
        }
        if let Some(secrets) = handshake.take_secrets() {
            let params = handshake.peer_params().map(TransportParams::read);
            let Some(Ok(params)) = params else {
                let violation = Violation::new(TransportCode::PARAMS, "bad transport parameters");
                return self.close_for_violation(violation);
            };
            self.peer_params = params;
            self.adopt_secrets(&secrets);
        }
        let Some(handshake) = &self.handshake else { return };
        if handshake.is_complete() {
            self.peer_key = handshake.peer_key();
            if self.key_update.is_some() && self.peer_key.is_some() {
                self.move_to_established();
            }
        }
    }

    #[inline(never)]
    fn adopt_secrets(&mut self, secrets: &SessionSecrets) {
        let theirs = usize::try_from(self.peer_params.max_udp_payload_size);
        self.recovery.mtu.start(self.config.max_datagram.min(theirs.unwrap_or(usize::MAX)));
        let SessionSecrets { suite, local, remote } = secrets;
        self.key_update = Some(KeyUpdate::new(self.provider, *suite, local, remote));
        let keys = |secret| DirectionKeys::new(self.provider, *suite, secret);
        self.spaces[SpaceId::Data as usize].keys =
            Some(Keys { local: keys(local), remote: keys(remote) });
    }

    fn fail_handshake(&mut self, error: HandshakeError) {
        let code = TransportCode::crypto(error.tls_alert());
        let reason = match error {
            HandshakeError::UnexpectedPeer
            | HandshakeError::BadPeerKey
            | HandshakeError::NoPeerKey
            | HandshakeError::BadSignature => CloseReason::Untrusted("it proved another key"),
            HandshakeError::PeerAlert(_) => CloseReason::Untrusted("it refused our key"),
            HandshakeError::Sign | HandshakeError::Crypto => CloseReason::Crypto,
            HandshakeError::Internal => CloseReason::Internal,
            _ => CloseReason::Violation { code: code.0, reason: "TLS handshake failed" },
        };
        self.close_with(code, reason);
    }

    fn move_to_established(&mut self) {
        self.state = State::Established;
        self.handshake_deadline = None;
        self.handshake = None;
        self.crypto_rx = CryptoReceiver::default();
        self.streams.on_params(&self.peer_params);
        let params = &self.peer_params;
        let (limit, token) = (params.active_connection_id_limit, params.stateless_reset_token);
        self.control.cids.start(limit, token);
        self.control.ack_frequency.start(self.peer_params.min_ack_delay_us);
        // The server of TLS has the last word of the handshake.
        if self.role == TlsRole::Server {
            self.control.handshake_done = true;
            self.confirm();
        }
        self.restart_idle_timer();
        self.events.push_back(Event::Connected);
    }

    /// The contact keys have done their work (RFC 9001 §4.9.2).
    pub(super) fn confirm(&mut self) {
        self.is_confirmed = true;
        self.recovery.ecn.start();
        self.crypto_tx = CryptoSender::default();
        self.recovery.discard(&mut self.spaces[SpaceId::Contact as usize]);
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
