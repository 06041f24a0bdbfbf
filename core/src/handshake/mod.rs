//! The handshake: TLS 1.3 (RFC 8446) over the CRYPTO stream, driven sans-I/O; yields the session's
//! secrets and the peer's verified identity.
//!
//! Each direction of the CRYPTO stream is a varint length, that many bytes of transport parameters,
//! then TLS records. Owns that stream's content, and what binds TLS, parameters and contact key
//! together. Does not own packets, retransmission, or the meaning of the parameters.
//! Invariants: no secret leaves before ALPN is agreed; no peer key before TLS is complete; a failed
//! handshake stays failed and says nothing more.

#[cfg(feature = "tcp")]
mod channel;
#[cfg(feature = "tls-client")]
mod client;
mod error;
mod tls;

#[cfg(all(test, feature = "ring", feature = "own-crypto"))]
mod tests;

#[cfg(feature = "tcp")]
pub use channel::TlsChannel;
pub use error::HandshakeError;

use crate::base::{ContactId, PublicKey, Rng, Side};
use crate::crypto::{Provider, Secret, Signer, Suite, lend, session_secrets};
use crate::wire::VERSION;
use crate::wire::codec::{Reader, Writer};
use crate::wire::params::TransportParams;
use alloc::sync::Arc;
use alloc::vec::Vec;
use tls::{Taps, Tls};

/// Longest transport parameters of either side, in bytes.
pub const MAX_PARAMS_LEN: usize = 1024;

/// Most bytes a peer may send in its CRYPTO stream. The longest honest handshake, with the longest
/// parameters, takes a tenth.
pub const MAX_STREAM_LEN: usize = 16 * 1024;

/// Longest connection ID that a version of QUIC may have (RFC 8999 §5.1).
const MAX_CID_LEN: usize = 255;

/// Which peers a handshake lets pass.
#[derive(Clone, Debug)]
pub enum PeerPolicy {
    /// This key alone.
    Exactly(PublicKey),
    /// Any of these keys.
    AnyOf(Vec<PublicKey>),
    /// Whoever proves to hold a key: a broker asks its database afterwards.
    Anyone,
}

impl PeerPolicy {
    /// Whether a peer with this key may pass.
    pub fn allows(&self, key: &PublicKey) -> bool {
        match self {
            PeerPolicy::Exactly(one) => one == key,
            PeerPolicy::AnyOf(keys) => keys.contains(key),
            PeerPolicy::Anyone => true,
        }
    }
}

/// Which end of TLS one is. The initiator of a connection is the client as a rule; it may ask to be
/// the server, which costs a round trip more and needs no code for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsRole {
    /// Says ClientHello.
    Client,
    /// Answers.
    Server,
}

impl TlsRole {
    /// The initiator's where it has the choice: the client, but where there is no code for one.
    pub const INITIATOR: TlsRole =
        if cfg!(feature = "tls-client") { TlsRole::Client } else { TlsRole::Server };
}

/// What lets one end's first packet be understood by the other.
#[derive(Clone)]
pub struct Contact {
    /// Names the key, in the open.
    pub id: ContactId,
    /// Seals the first packets, and goes into the session's secrets.
    pub key: Secret,
}

/// What the 1-RTT packets are protected with.
pub struct SessionSecrets {
    /// The AEAD that TLS has agreed on.
    pub suite: Suite,
    /// For packets that we send.
    pub local: Secret,
    /// For packets that the peer sends.
    pub remote: Secret,
}

/// One handshake, of either side.
pub struct Handshake {
    provider: &'static dyn Provider,
    side: Side,
    role: TlsRole,
    /// A responder has none before the initiator has said who is the client.
    tls: Option<Tls>,
    credentials: Credentials,
    taps: Arc<Taps>,
    /// What [`session_secrets`] needs, until it has run.
    binding: Option<Binding>,
    peer_params: Option<Vec<u8>>,
    incoming: Vec<u8>,
    received_len: usize,
    output: Vec<u8>,
    /// Whether the local parameters have gone ahead of the first TLS record.
    has_sent_params: bool,
    secrets: Option<SessionSecrets>,
    peer_key: Option<PublicKey>,
    failed: Option<HandshakeError>,
}

struct Credentials {
    signer: Arc<dyn Signer>,
    peer: PeerPolicy,
}

struct Binding {
    contact_key: Secret,
    original_dcid: Vec<u8>,
    local_params: Vec<u8>,
}

impl Handshake {
    /// Starts a handshake; an initiator's first flight is ready at once.
    ///
    /// `role` is the initiator's choice, which has to stand in its parameters too; a responder's
    /// follows from them. `original_dcid` is the destination connection ID of the initiator's first
    /// packet.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        provider: &'static dyn Provider,
        side: Side,
        role: TlsRole,
        signer: Arc<dyn Signer>,
        peer: PeerPolicy,
        local_params: &[u8],
        contact_key: Secret,
        original_dcid: &[u8],
        rng: &mut Rng,
    ) -> Result<Handshake, HandshakeError> {
        if local_params.len() > MAX_PARAMS_LEN || original_dcid.len() > MAX_CID_LEN {
            return Err(HandshakeError::LocalParamsTooLong);
        }
        let mut handshake = Handshake {
            provider,
            side,
            role,
            tls: None,
            credentials: Credentials { signer, peer },
            taps: Arc::new(Taps::default()),
            binding: Some(Binding {
                contact_key,
                original_dcid: original_dcid.to_vec(),
                local_params: local_params.to_vec(),
            }),
            peer_params: None,
            incoming: Vec::new(),
            received_len: 0,
            output: Vec::new(),
            has_sent_params: false,
            secrets: None,
            peer_key: None,
            failed: None,
        };
        if side == Side::Initiator {
            handshake.read(Vec::new(), rng)?;
        }
        Ok(handshake)
    }

    /// Takes the next bytes of the peer's CRYPTO stream, in order, and goes as far as they allow.
    pub fn read(&mut self, data: impl Into<Vec<u8>>, rng: &mut Rng) -> Result<(), HandshakeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.provider.take_failure();
        let result = self.receive(data.into()).and_then(|()| self.advance(rng));
        // A hash that the integrator's crypto failed to make was made here; but who brings a
        // crypto library along does not want another one used.
        let result =
            if self.provider.take_failure() { Err(HandshakeError::Crypto) } else { result };
        result.map_err(|error| self.move_to_failed(error))
    }

    /// Which end of TLS this is; a responder knows it once it has the peer's parameters.
    pub fn role(&self) -> TlsRole {
        self.role
    }

    /// The next bytes for our CRYPTO stream.
    pub fn take_output(&mut self) -> Option<Vec<u8>> {
        if self.output.is_empty() { None } else { Some(core::mem::take(&mut self.output)) }
    }

    /// The peer's transport parameters, as soon as they are here. What was said in them is certain
    /// once a packet opens under the session's secrets.
    pub fn peer_params(&self) -> Option<&[u8]> {
        self.peer_params.as_deref()
    }

    /// The session's secrets, once, as soon as they exist. At a responder that is before the
    /// initiator is authenticated: until [`is_complete`](Self::is_complete), do nothing for it.
    pub fn take_secrets(&mut self) -> Option<SessionSecrets> {
        self.secrets.take()
    }

    /// Whether the peer is authenticated and its Finished verified.
    pub fn is_complete(&self) -> bool {
        self.peer_key.is_some()
    }

    /// Who the peer is, once that is proved.
    pub fn peer_key(&self) -> Option<PublicKey> {
        self.peer_key
    }

    fn receive(&mut self, data: Vec<u8>) -> Result<(), HandshakeError> {
        if data.is_empty() {
            return Ok(());
        }
        if self.is_complete() {
            return Err(HandshakeError::UnexpectedMessage);
        }
        self.received_len = self.received_len.saturating_add(data.len());
        if self.received_len > MAX_STREAM_LEN {
            return Err(HandshakeError::TooMuchData);
        }
        if self.incoming.is_empty() {
            self.incoming = data;
        } else {
            self.incoming.extend_from_slice(&data);
        }
        Ok(())
    }

    fn advance(&mut self, rng: &mut Rng) -> Result<(), HandshakeError> {
        if self.peer_params.is_none() {
            self.peer_params = split_params(&mut self.incoming)?;
        }
        if self.tls.is_none() {
            match (&self.peer_params, self.side) {
                (None, Side::Responder) => return Ok(()),
                (Some(params), Side::Responder) => self.role = role_beside(params),
                (_, Side::Initiator) => {}
            }
            self.start(rng)?;
        }
        let mut records = Vec::new();
        let Handshake { tls: Some(tls), incoming, peer_params, .. } = self else { return Ok(()) };
        // Of an initiator's input, what precedes TLS may be all there is yet.
        let mut nothing = Vec::new();
        let incoming = if peer_params.is_some() { incoming } else { &mut nothing };
        let result = lend(self.provider, rng, || tls.advance(incoming, &mut records));
        if result.is_err() && self.taps.has_sign_failed() {
            return Err(HandshakeError::Sign);
        }
        result?;
        self.append_output(records)?;
        self.derive_secrets()?;
        self.authenticate()
    }

    /// Apart, for the stack: the configuration of TLS is large, and gone before TLS runs.
    #[inline(never)]
    fn start(&mut self, rng: &mut Rng) -> Result<(), HandshakeError> {
        let Credentials { signer, peer } = &self.credentials;
        let (signer, peer) = (signer.clone(), peer.clone());
        let new = || Tls::new(self.provider, self.role, signer, peer, &self.taps);
        self.tls = Some(lend(self.provider, rng, new)?);
        Ok(())
    }

    /// Puts the local parameters before the first records, which a server has later.
    fn append_output(&mut self, records: Vec<u8>) -> Result<(), HandshakeError> {
        if !self.has_sent_params {
            let Some(binding) = &self.binding else { return Err(HandshakeError::Internal) };
            let mut length = [0; 8];
            let mut writer = Writer::new(&mut length);
            writer
                .varint(binding.local_params.len() as u64)
                .map_err(|_| HandshakeError::Internal)?;
            let len = writer.len();
            self.output.extend(length.iter().take(len));
            self.output.extend_from_slice(&binding.local_params);
            self.has_sent_params = true;
        }
        self.output.extend_from_slice(&records);
        Ok(())
    }

    #[inline(never)]
    fn derive_secrets(&mut self) -> Result<(), HandshakeError> {
        let Some(exporter_secret) = self.taps.take_exporter_secret() else { return Ok(()) };
        let Some(tls) = &self.tls else { return Err(HandshakeError::Internal) };
        if !tls.has_agreed_protocol() {
            return Err(HandshakeError::NoProtocol);
        }
        let (Some(binding), Some(peer_params), Some(suite)) =
            (self.binding.take(), &self.peer_params, tls.suite())
        else {
            return Err(HandshakeError::Internal);
        };
        let (initiator_params, responder_params) = match self.side {
            Side::Initiator => (&binding.local_params, peer_params),
            Side::Responder => (peer_params, &binding.local_params),
        };
        let context_hash = self.provider.sha256(&[
            &VERSION.to_be_bytes(),
            &[binding.original_dcid.len() as u8],
            &binding.original_dcid,
            &(initiator_params.len() as u16).to_be_bytes(),
            initiator_params,
            &(responder_params.len() as u16).to_be_bytes(),
            responder_params,
        ]);
        let (initiator, responder) = session_secrets(
            self.provider,
            &binding.contact_key,
            exporter_secret.as_bytes(),
            &context_hash,
        );
        let (local, remote) = match self.side {
            Side::Initiator => (initiator, responder),
            Side::Responder => (responder, initiator),
        };
        self.secrets = Some(SessionSecrets { suite, local, remote });
        Ok(())
    }

    fn authenticate(&mut self) -> Result<(), HandshakeError> {
        if self.is_complete() || !self.tls.as_ref().is_some_and(Tls::is_complete) {
            return Ok(());
        }
        if !self.incoming.is_empty() {
            return Err(HandshakeError::UnexpectedMessage);
        }
        // Without secrets there is nothing to be authenticated for.
        if self.binding.is_some() {
            return Err(HandshakeError::Internal);
        }
        self.peer_key = Some(self.taps.peer().ok_or(HandshakeError::NoPeerKey)?);
        self.incoming = Vec::new();
        Ok(())
    }

    fn move_to_failed(&mut self, error: HandshakeError) -> HandshakeError {
        self.failed = Some(error);
        self.peer_key = None;
        self.binding = None;
        self.secrets = None;
        self.incoming = Vec::new();
        self.output = Vec::new();
        error
    }
}

/// A responder's role beside an initiator with these parameters. Bad ones are refused later, by
/// whom they belong to.
fn role_beside(params: &[u8]) -> TlsRole {
    match TransportParams::read(params) {
        Ok(TransportParams { is_tls_server: true, .. }) => TlsRole::Client,
        _ => TlsRole::Server,
    }
}

/// Takes the transport parameters from the front of the stream, if they are all there.
fn split_params(incoming: &mut Vec<u8>) -> Result<Option<Vec<u8>>, HandshakeError> {
    let mut reader = Reader::new(incoming);
    let Ok(len) = reader.varint() else { return Ok(None) };
    let len = usize::try_from(len).map_err(|_| HandshakeError::ParamsTooLong)?;
    if len > MAX_PARAMS_LEN {
        return Err(HandshakeError::ParamsTooLong);
    }
    let Ok(params) = reader.bytes(len) else { return Ok(None) };
    let params = params.to_vec();
    let used = incoming.len() - reader.remaining();
    incoming.drain(..used);
    Ok(Some(params))
}
