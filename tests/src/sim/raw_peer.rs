//! A peer without manners: shakes hands properly, then says whatever it is told to.
//!
//! Owns packets under contact and session keys, without retransmission, congestion or flow
//! control. For fuzzing and for attacks that need valid keys.

use rit_core::base::{PublicKey, Rng, Side};
use rit_core::crypto::{self, DirectionKeys, Ed25519Signer, Signer, contact_secrets};
use rit_core::handshake::{Contact, Handshake, PeerPolicy, TlsRole};
use rit_core::transport::{Config, CryptoReceiver, protect};
use rit_core::wire::ack;
use rit_core::wire::cid::{Cid, LOCAL_CID_LEN};
use rit_core::wire::codec::{Reader, Writer};
use rit_core::wire::frame::{self, Frame};
use rit_core::wire::packet::{self, FIRST_DCID_LEN, Header, TAG_LEN, TruncatedPn};
use std::sync::Arc;

const CONTACT: usize = 0;
const DATA: usize = 1;

/// Keys and numbers of one packet number space.
struct Space {
    local: DirectionKeys,
    remote: DirectionKeys,
    next_pn: u64,
    expected: u64,
    must_ack: bool,
}

/// One end of one connection.
pub struct RawPeer {
    side: Side,
    key: PublicKey,
    signer: Arc<Ed25519Signer>,
    contact: Contact,
    handshake: Option<Handshake>,
    rng: Rng,
    spaces: [Option<Space>; 2],
    local_cid: Cid,
    remote_cid: Cid,
    crypto_rx: CryptoReceiver,
    crypto_sent: u64,
    /// Stream bytes received, all streams, in the order of arrival; for looking, not for checking.
    pub heard: Vec<u8>,
    /// Whether both ends are authenticated.
    pub is_up: bool,
}

impl RawPeer {
    /// A peer that will shake hands under `contact`.
    pub fn new(side: Side, seed: [u8; 32], contact: Contact) -> Self {
        let signer = Arc::new(Ed25519Signer::from_seed(&seed));
        let mut rng = Rng::from_seed(seed).fork();
        let local_cid = Cid::local(rng.array::<LOCAL_CID_LEN>());
        let mut dcid = [0; FIRST_DCID_LEN];
        dcid[..8].copy_from_slice(&contact.id.0);
        rng.fill(&mut dcid[8..]);
        let mut peer = RawPeer {
            side,
            key: signer.public_key(),
            signer,
            contact,
            handshake: None,
            rng,
            spaces: [None, None],
            local_cid,
            remote_cid: Cid::new(&dcid).expect("sixteen bytes"),
            crypto_rx: CryptoReceiver::default(),
            crypto_sent: 0,
            heard: Vec::new(),
            is_up: false,
        };
        if side == Side::Initiator {
            peer.start(peer.remote_cid);
        }
        peer
    }

    /// Its public key.
    pub fn public_key(&self) -> PublicKey {
        self.key
    }

    fn start(&mut self, dcid: Cid) {
        let provider = crypto::default_provider();
        let mut params = [0; 128];
        let mut w = Writer::new(&mut params);
        Config::default().params().write(&mut w).expect("they fit");
        let len = w.len();
        let handshake = Handshake::new(
            provider,
            self.side,
            TlsRole::INITIATOR,
            self.signer.clone(),
            PeerPolicy::Anyone,
            &params[..len],
            self.contact.key.clone(),
            dcid.as_bytes(),
            &mut self.rng,
        );
        self.handshake = Some(handshake.expect("a handshake starts"));
        let (initiator, responder) = contact_secrets(provider, &self.contact.key, dcid.as_bytes());
        let keys = |s| DirectionKeys::new(provider, crypto::Suite::CONTACT, s);
        let (local, remote) = match self.side {
            Side::Initiator => (keys(&initiator), keys(&responder)),
            Side::Responder => (keys(&responder), keys(&initiator)),
        };
        self.spaces[CONTACT] =
            Some(Space { local, remote, next_pn: 0, expected: 0, must_ack: false });
    }

    /// Takes a datagram from the other end.
    pub fn handle_datagram(&mut self, datagram: &mut [u8]) {
        let mut rest = datagram;
        while let Ok(header) = Header::parse(rest) {
            let (packet, after) = rest.split_at_mut(header.len);
            self.handle_packet(&header, packet);
            rest = after;
        }
    }

    fn handle_packet(&mut self, header: &Header, packet: &mut [u8]) {
        if self.handshake.is_none() && self.side == Side::Responder {
            if header.dcid.as_bytes().get(..8) != Some(&self.contact.id.0[..]) {
                return;
            }
            self.start(header.dcid);
        }
        let id = if header.is_long() { CONTACT } else { DATA };
        let Some(space) = &mut self.spaces[id] else { return };
        let Ok(opened) = protect::open(&space.remote, header, packet, space.expected) else {
            return;
        };
        space.expected = space.expected.max(opened.pn + 1);
        space.must_ack = true;
        if let Some(scid) = header.scid {
            self.remote_cid = scid;
        }
        let mut reader = Reader::new(&packet[opened.payload]);
        while let Ok(Some(frame)) = Frame::read(&mut reader) {
            match frame {
                Frame::Crypto { offset, data } if self.crypto_rx.on_frame(offset, data) => {}
                Frame::Stream(stream) => self.heard.extend_from_slice(stream.data),
                _ => {}
            }
        }
        self.advance();
    }

    fn advance(&mut self) {
        let Some(handshake) = &mut self.handshake else { return };
        while let Some(data) = self.crypto_rx.read() {
            if handshake.read(data, &mut self.rng).is_err() {
                return;
            }
        }
        if let Some(secrets) = handshake.take_secrets() {
            let keys = |s| DirectionKeys::new(crypto::default_provider(), secrets.suite, s);
            self.spaces[DATA] = Some(Space {
                local: keys(&secrets.local),
                remote: keys(&secrets.remote),
                next_pn: 0,
                expected: 0,
                must_ack: false,
            });
        }
        self.is_up = handshake.is_complete();
    }

    /// The next datagram of the handshake, or an acknowledgement.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let output = self.handshake.as_mut().and_then(Handshake::take_output);
        if let Some(data) = output {
            let offset = self.crypto_sent;
            self.crypto_sent += data.len() as u64;
            let payload = written(|w| {
                let _ =
                    frame::write_crypto(w, offset, data.len()).map(|o| o.copy_from_slice(&data));
            });
            return self.seal(CONTACT, &payload);
        }
        let id = (0..2).find(|&i| self.spaces[i].as_ref().is_some_and(|space| space.must_ack))?;
        self.seal(id, &[])
    }

    /// A packet with these frames, under session keys or, before there are any, contact keys. The
    /// frames may be any bytes.
    pub fn say(&mut self, frames: &[u8], contact: bool) -> Option<Vec<u8>> {
        let id = if contact || self.spaces[DATA].is_none() { CONTACT } else { DATA };
        self.seal(id, frames)
    }

    fn seal(&mut self, id: usize, frames: &[u8]) -> Option<Vec<u8>> {
        let (remote_cid, local_cid) = (self.remote_cid, self.local_cid);
        let space = self.spaces[id].as_mut()?;
        let pn = space.next_pn;
        space.next_pn += 1;
        let mut payload = Vec::new();
        if std::mem::take(&mut space.must_ack) {
            let all = 0..=space.expected - 1;
            payload = written(|w| {
                let _ = ack::write_ack(w, 0, std::iter::once(all), None);
            });
        }
        payload.extend_from_slice(frames);
        payload.resize(payload.len().max(4), 0);
        let mut buf = vec![0; payload.len() + 128];
        let truncated = TruncatedPn { value: pn as u32, len: 4 };
        let mut w = Writer::new(&mut buf);
        let sealed_len = payload.len() + TAG_LEN;
        match id {
            CONTACT => {
                packet::write_long(&mut w, &remote_cid, &local_cid, truncated, sealed_len).ok()?;
            }
            _ => packet::write_short(&mut w, &remote_cid, truncated, false).ok()?,
        }
        let start = w.len();
        w.bytes(&payload).ok()?;
        buf.truncate(start + sealed_len);
        protect::seal(&space.local, &mut buf, start - 4, 4, pn).ok().map(|()| buf)
    }
}

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buf = vec![0; 2048];
    let mut w = Writer::new(&mut buf);
    write(&mut w);
    let len = w.len();
    buf.truncate(len);
    buf
}
