//! TLS 1.3 for its own sake: a byte stream with records around it, as any HTTPS client and server
//! have. The server shows a raw key (RFC 7250), the client none.
//!
//! Owns the TLS state and the input that no record is complete of. Does not own what the bytes
//! mean. Who the server is does not matter here: see [`crate::carrier`].

use super::tls::{NoTime, PeerVerifier, Step, Taps, certified_key, encode, step};
use super::{HandshakeError, PeerPolicy};
use crate::base::Rng;
use crate::crypto::{Provider, Signer, lend};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus};
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, ServerConfig};

/// What every HTTPS client may say and every filter lets pass. The first byte that tells otherwise
/// is encrypted.
const ALPN: &[u8] = b"http/1.1";
/// A record is 16 KiB and some (RFC 8446 §5.2); of a handshake no message is as long.
const INCOMING_MAX: usize = 17 * 1024;

enum Tls {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// One TLS connection, of either side.
pub struct TlsChannel {
    provider: &'static dyn Provider,
    tls: Tls,
    incoming: Vec<u8>,
}

impl TlsChannel {
    /// A client that lets any key pass and shows none. [`Self::read`] of nothing begins.
    pub fn client(provider: &'static dyn Provider, rng: &mut Rng) -> Result<Self, HandshakeError> {
        let config = client_config(provider)?;
        // rustls wants a name; it is neither sent nor checked.
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0, 0, 0, 0])));
        let new = || UnbufferedClientConnection::new(Arc::new(config), name);
        let tls = Tls::Client(Box::new(lend(provider, rng, new)?));
        Ok(TlsChannel { provider, tls, incoming: Vec::new() })
    }

    /// A server that shows the signer's key and asks for none.
    pub fn server(
        provider: &'static dyn Provider,
        signer: Arc<dyn Signer>,
        rng: &mut Rng,
    ) -> Result<Self, HandshakeError> {
        let config = server_config(provider, signer)?;
        let new = || UnbufferedServerConnection::new(Arc::new(config));
        let tls = Tls::Server(Box::new(lend(provider, rng, new)?));
        Ok(TlsChannel { provider, tls, incoming: Vec::new() })
    }

    /// Whether the handshake is over and [`Self::seal`] possible.
    pub fn is_open(&self) -> bool {
        match &self.tls {
            Tls::Client(tls) => !tls.is_handshaking(),
            Tls::Server(tls) => !tls.is_handshaking(),
        }
    }

    /// Bytes that came of a record that is not whole.
    pub fn waiting(&self) -> usize {
        self.incoming.len()
    }

    /// Takes bytes of the stream: appends what they say to `plaintext`, and what TLS itself has to
    /// say to `output`. After an error, and when the peer says that it is done, which is one too,
    /// nothing more can come of this.
    pub fn read(
        &mut self,
        bytes: &[u8],
        plaintext: &mut Vec<u8>,
        output: &mut Vec<u8>,
        rng: &mut Rng,
    ) -> Result<(), HandshakeError> {
        if self.incoming.len() + bytes.len() > INCOMING_MAX {
            // No more at once than there may be of one record.
            let (first, rest) = bytes.split_at(INCOMING_MAX.saturating_sub(self.incoming.len()));
            if first.is_empty() {
                return Err(HandshakeError::TooMuchData);
            }
            self.read(first, plaintext, output, rng)?;
            return self.read(rest, plaintext, output, rng);
        }
        self.incoming.extend_from_slice(bytes);
        let sent = output.len();
        self.provider.take_failure();
        let result = lend(self.provider, rng, || self.advance(plaintext, output));
        self.unless_crypto_failed(result, output, sent)
    }

    fn advance(
        &mut self,
        plaintext: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Result<(), HandshakeError> {
        loop {
            let incoming = &mut self.incoming;
            let (used, step) = match &mut self.tls {
                Tls::Client(tls) => read_step(tls.process_tls_records(incoming), plaintext, output),
                Tls::Server(tls) => read_step(tls.process_tls_records(incoming), plaintext, output),
            };
            incoming.drain(..used.min(incoming.len()));
            if let Step::Blocked = step? {
                return Ok(());
            }
        }
    }

    /// Appends `plaintext` to `output`, in records. Only when it [is open](Self::is_open), and all
    /// that came was read.
    pub fn seal(&mut self, plaintext: &[u8], output: &mut Vec<u8>) -> Result<(), HandshakeError> {
        let sent = output.len();
        self.provider.take_failure();
        let incoming = &mut self.incoming;
        let result = match &mut self.tls {
            Tls::Client(tls) => seal_step(tls.process_tls_records(incoming), plaintext, output),
            Tls::Server(tls) => seal_step(tls.process_tls_records(incoming), plaintext, output),
        };
        self.unless_crypto_failed(result, output, sent)
    }

    /// Records that the integrator's crypto failed to seal are none: they are not sent.
    fn unless_crypto_failed(
        &self,
        result: Result<(), HandshakeError>,
        output: &mut Vec<u8>,
        sent: usize,
    ) -> Result<(), HandshakeError> {
        if !self.provider.take_failure() {
            return result;
        }
        output.truncate(sent);
        Err(HandshakeError::Crypto)
    }
}

fn client_config(provider: &'static dyn Provider) -> Result<ClientConfig, Error> {
    let taps = Arc::new(Taps::default());
    let verifier = PeerVerifier { provider, policy: PeerPolicy::Anyone, taps };
    let mut config = ClientConfig::builder_with_details(Arc::new(provider.tls()), Arc::new(NoTime))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    // Another crate of the build may have turned compression on in rustls.
    config.cert_compressors.clear();
    config.cert_decompressors.clear();
    Ok(config)
}

fn server_config(provider: &dyn Provider, signer: Arc<dyn Signer>) -> Result<ServerConfig, Error> {
    let key = certified_key(signer, Arc::new(Taps::default()));
    let mut config = ServerConfig::builder_with_details(Arc::new(provider.tls()), Arc::new(NoTime))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.cert_compressors.clear();
    config.cert_decompressors.clear();
    Ok(config)
}

fn read_step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    plaintext: &mut Vec<u8>,
    output: &mut Vec<u8>,
) -> (usize, Result<Step, HandshakeError>) {
    let UnbufferedStatus { mut discard, state } = status;
    let Ok(ConnectionState::ReadTraffic(mut data)) = state else {
        return step(UnbufferedStatus { discard, state }, output);
    };
    while let Some(record) = data.next_record() {
        match record {
            Ok(record) => {
                discard += record.discard;
                plaintext.extend_from_slice(record.payload);
            }
            Err(error) => return (discard, Err(error.into())),
        }
    }
    (discard, Ok(Step::Again))
}

fn seal_step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    plaintext: &[u8],
    output: &mut Vec<u8>,
) -> Result<(), HandshakeError> {
    let Ok(ConnectionState::WriteTraffic(mut data)) = status.state else {
        return Err(HandshakeError::Internal);
    };
    let seal = |room: &mut [u8]| {
        data.encrypt(plaintext, room).map_err(|error| match error {
            EncryptError::InsufficientSize(size) => Some(size),
            EncryptError::EncryptExhausted => None,
        })
    };
    encode(seal, output)
}
