//! Taking datagrams apart: open each packet, then one small function per frame kind.
//!
//! Invariant: a packet that does not open changes nothing but a counter; a packet that breaks the
//! protocol closes this connection alone.

use super::connection::{Connection, State};
use super::control::Control;
use super::crypto_stream::CryptoSender;
use super::error::{TransportCode, Violation};
use super::protect::{self, OpenError, Opened};
use super::sent::SentFrame;
use super::space::{Space, SpaceId};
use super::streams::Streams;
use crate::base::{Ecn, Path, Side, Time};
use crate::handshake::TlsRole;
use crate::wire::ack::Ack;
use crate::wire::codec::Reader;
use crate::wire::frame::{Frame, FrameError};
use crate::wire::packet::Header;
use core::time::Duration;

/// Forged packets taken before the keys count as attacked (RFC 9001 §6.6, the smaller limit).
const INTEGRITY_LIMIT: u64 = 1 << 36;

/// An ACK held back for so long repeats one that was lost, in an outage as a rule. It says nothing
/// of the round trip, which it would make as long as the outage.
pub(super) const MAX_HELD_BACK: Duration = Duration::from_secs(1);

impl Connection {
    /// Takes the first packet, opened already with [`Self::first_packet_keys`].
    pub fn handle_first_packet(
        &mut self,
        header: &Header,
        opened: &Opened,
        packet: &[u8],
        now: Time,
    ) {
        self.clamp(now);
        self.bytes_received += packet.len() as u64;
        self.paths.on_received(self.paths.active, packet.len() as u64);
        self.on_opened(header, opened, packet);
    }

    /// Takes a datagram that came from `path`, its IP packet marked with `ecn`. It is decrypted in
    /// place.
    pub fn handle_datagram(&mut self, path: Path, ecn: Ecn, datagram: &mut [u8], now: Time) {
        self.clamp(now);
        if self.state == State::Closed {
            return;
        }
        let datagram_len = datagram.len() as u64;
        self.bytes_received += datagram_len;
        self.paths.from = path;
        self.paths.from_ecn = ecn;
        let mut rest = datagram;
        // Each packet takes at least a header, so the number of rounds is bounded by the length.
        while let Ok(header) = Header::parse(rest) {
            self.used_cid = self.control.cids.sequence_of(&header.dcid);
            if self.used_cid.is_none() && header.dcid != self.original_dcid {
                break;
            }
            self.handle_packet(path, &header, &mut rest[..header.len]);
            rest = rest.split_at_mut(header.len).1;
        }
        self.paths.on_received(path, datagram_len);
    }

    fn handle_packet(&mut self, path: Path, header: &Header, packet: &mut [u8]) {
        let id = if header.is_long() { SpaceId::Contact } else { SpaceId::Data };
        let Some(space) = self.spaces.get(id) else { return };
        let Some(keys) = &space.keys else { return };
        // Before the peer is authenticated, what it sends under 1-RTT keys is not believed
        // (RFC 9001 §5.7); it will be sent again.
        if id == SpaceId::Data && self.state == State::Handshaking {
            return;
        }
        // TLS takes what it needs.
        if id == SpaceId::Contact && self.handshake.is_some() && !self.config.reserve.allows_step()
        {
            self.is_short_of_memory = true;
            return;
        }
        let expected = space.acks.expected();
        let opened = match id {
            SpaceId::Contact => protect::open(&keys.remote, header, packet, expected),
            SpaceId::Data => self.open_data(header, packet, expected),
        };
        match opened {
            Ok(opened) => {
                self.has_crypto_failed = false;
                let space = self.spaces.get(id);
                if header.is_long() && space.is_some_and(|s| !s.acks.is_duplicate(opened.pn)) {
                    self.follow(path);
                }
                self.on_opened(header, &opened, packet);
            }
            Err(OpenError::Unauthentic) => {
                self.packets_dropped += 1;
                if self.packets_dropped >= INTEGRITY_LIMIT {
                    let limit =
                        Violation::new(TransportCode::AEAD_LIMIT, "too many forged packets");
                    self.close_for_violation(limit);
                }
            }
            // As if it had been lost on the way.
            Err(OpenError::Failed) => {
                self.packets_dropped += 1;
                self.has_crypto_failed = true;
            }
            Err(OpenError::ReservedBits) => self.close_for_violation(Violation::new(
                TransportCode::PROTOCOL,
                "reserved header bits are set",
            )),
        }
    }

    /// Takes an authentic packet, then runs TLS on what it brought: with little on the stack, as
    /// verifying a signature takes the most of it that anything does.
    fn on_opened(&mut self, header: &Header, opened: &Opened, packet: &[u8]) {
        self.take_opened(header, opened, packet);
        self.drive_handshake();
    }

    #[inline(never)]
    fn take_opened(&mut self, header: &Header, opened: &Opened, packet: &[u8]) {
        let id = if header.is_long() { SpaceId::Contact } else { SpaceId::Data };
        let Some(space) = self.spaces.get(id) else { return };
        if space.acks.is_duplicate(opened.pn) {
            self.packets_dropped += 1;
            return;
        }
        let is_newest = opened.pn >= space.acks.expected();
        if !self.config.reserve.allows(space.acks.growth()) {
            self.is_short_of_memory = true;
            return;
        }
        match self.state {
            State::Closing => self.on_packet_while_closing(),
            State::Draining | State::Closed => return,
            State::Handshaking | State::Established => self.on_heard(),
        }
        if let Some(scid) = header.scid {
            let cids = &mut self.control.cids;
            if *cids.remote() == self.original_dcid && self.side == Side::Initiator {
                cids.on_handshake(scid);
            }
            // It knows the ID we chose, so it is where it says (RFC 9000 §8.1), unless it moved.
            if header.dcid == cids.first() {
                self.paths.on_proof();
            }
        }
        let Some(payload) = packet.get(opened.payload.clone()) else { return };
        let result = self.handle_payload(id, payload);
        if core::mem::take(&mut self.streams.has_declined) {
            self.is_short_of_memory = true;
            return;
        }
        match result {
            Ok(payload) => {
                // Discarded by what it said, perhaps.
                let Some(Space { acks, .. }) = self.spaces.get_mut(id) else { return };
                let is_immediate = id == SpaceId::Contact;
                acks.on_received(opened.pn, payload.is_eliciting, is_immediate, self.now);
                acks.on_ecn(self.paths.from_ecn, payload.is_eliciting);
                if id == SpaceId::Data && is_newest && !payload.is_probing {
                    self.on_newest();
                }
            }
            Err(violation) => self.close_for_violation(violation),
        }
    }

    /// The newest packet says where the peer is, and which of our connection IDs it uses.
    fn on_newest(&mut self) {
        let path = self.paths.from;
        if path != self.paths.active && self.is_confirmed && self.may_follow(path) {
            self.on_peer_moved(path, self.used_cid);
        }
        if let Some(sequence) = self.used_cid {
            self.control.cids.in_use_here = sequence;
        }
    }

    /// Processes a packet's frames.
    fn handle_payload(&mut self, id: SpaceId, payload: &[u8]) -> Result<Payload, Violation> {
        let mut reader = Reader::new(payload);
        if reader.is_empty() {
            return Err(Violation::new(TransportCode::PROTOCOL, "packet without frames"));
        }
        let mut seen = Payload { is_eliciting: false, is_probing: true };
        let mut is_padding = true;
        while let Some(frame) = Frame::read(&mut reader).map_err(encoding)? {
            seen.is_eliciting |= frame.is_ack_eliciting();
            seen.is_probing &= frame.is_probing();
            is_padding &= matches!(frame, Frame::Padding(_));
            if id == SpaceId::Contact && !frame.is_allowed_in_contact() {
                let reason = "frame not allowed in a contact packet";
                return Err(Violation::new(TransportCode::PROTOCOL, reason));
            }
            if self.state == State::Closing && !matches!(frame, Frame::Close(_)) {
                continue;
            }
            self.handle_frame(id, frame)?;
        }
        // Nothing but PADDING is how an end shows where it is.
        seen.is_probing &= !is_padding;
        Ok(seen)
    }

    fn handle_frame(&mut self, id: SpaceId, frame: Frame<'_>) -> Result<(), Violation> {
        match frame {
            Frame::Padding(_) | Frame::Ping | Frame::DataBlocked(_) | Frame::StreamsBlocked(_) => {}
            Frame::Ack(ack) => self.on_ack(id, &ack)?,
            Frame::Crypto { offset, data } => self.on_crypto(offset, data)?,
            Frame::Stream(stream) => self.streams.on_stream(&stream)?,
            Frame::ResetStream { id, code, final_size } => {
                self.streams.on_reset(id, code, final_size)?;
            }
            Frame::StopSending { id, code } => self.streams.on_stop_sending(id, code)?,
            Frame::MaxData(max) => self.streams.on_max_data(max),
            Frame::MaxStreamData { id, max } => self.streams.on_max_stream_data(id, max)?,
            Frame::MaxStreams(max) => self.streams.on_max_streams(max),
            Frame::StreamDataBlocked { id, .. } => self.streams.on_stream_data_blocked(id)?,
            Frame::PathChallenge(data) => self.on_path_challenge(data),
            Frame::PathResponse(data) => self.on_path_response(data),
            Frame::Close(close) => self.move_to_draining(&close),
            Frame::HandshakeDone => self.on_handshake_done()?,
            Frame::NewConnectionId(new) => self.control.cids.on_new(&new)?,
            Frame::RetireConnectionId(sequence) => {
                self.control.cids.on_retire(sequence, self.used_cid)?;
            }
            Frame::AckFrequency(frame) => self.spaces.data.acks.on_frequency(&frame)?,
            Frame::ImmediateAck => self.spaces.data.acks.want_now(),
            Frame::Datagram(datagram) => self.on_datagram(&datagram)?,
        }
        Ok(())
    }

    fn on_ack(&mut self, id: SpaceId, ack: &Ack<'_>) -> Result<(), Violation> {
        let now = self.now;
        let Some(space) = self.spaces.get_mut(id) else { return Ok(()) };
        if ack.largest >= space.sent.next_pn() {
            let reason = "acknowledges a packet not sent";
            return Err(Violation::new(TransportCode::PROTOCOL, reason));
        }
        if let Some(update) = self.key_update.as_ref().filter(|_| id == SpaceId::Data) {
            if update.is_ack_too_early(self.opened_under, ack.largest) {
                let reason = "acknowledges new keys under old ones";
                return Err(Violation::new(TransportCode::KEY_UPDATE, reason));
            }
        }
        let is_news = space.largest_acked.is_none_or(|largest| ack.largest > largest);
        space.largest_acked = space.largest_acked.max(Some(ack.largest));
        let (streams, cids) = (&mut self.streams, &mut self.control.cids);
        let mut ack_acked = None;
        let mut newest = None;
        let mut is_any_new = false;
        for range in ack.ranges() {
            let range = *range.start()..range.end() + 1;
            let at = self.recovery.on_range_acked(space, range, now, |frame| match frame {
                SentFrame::Ack { largest } => ack_acked = ack_acked.max(Some(*largest)),
                SentFrame::RetireConnectionId(_) => cids.on_acked(frame),
                other => streams.on_frame_acked(other),
            });
            is_any_new |= at.is_some();
            newest = newest.or(at);
        }
        if let Some(largest) = ack_acked {
            space.acks.on_ack_acked(largest);
        }
        if !is_any_new {
            return Ok(());
        }
        if id == SpaceId::Data && self.recovery.ecn.on_ack(ack.ecn, is_news) {
            self.recovery.on_congestion(newest.map_or(now, |(_, at)| at), now);
        }
        // The round trip is that of the largest (RFC 9002 §5.1), if it was one that is kept.
        if let Some((_, at)) = newest.filter(|(pn, _)| is_news && *pn == ack.largest) {
            let held_back = match id {
                SpaceId::Contact => Duration::ZERO,
                SpaceId::Data => self.peer_ack_delay(ack.delay),
            };
            if held_back < MAX_HELD_BACK {
                let max = Duration::from_millis(self.peer.max_ack_delay_ms.into());
                self.recovery.on_rtt(at, held_back.min(max), now);
            }
        }
        self.recovery.pto_count = 0;
        self.detect_lost(id);
        if id == SpaceId::Data {
            let (packets, rtt) = (self.recovery.packets_per_ack(), self.recovery.rtt.smoothed());
            self.control.ack_frequency.update(packets, rtt);
        }
        Ok(())
    }

    fn peer_ack_delay(&self, delay: u64) -> Duration {
        let us = delay.saturating_mul(1 << self.peer.ack_delay_exponent);
        Duration::from_micros(us)
    }

    fn on_crypto(&mut self, offset: u64, data: &[u8]) -> Result<(), Violation> {
        // TLS has no more to say: a late copy.
        if self.handshake.is_none() {
            return Ok(());
        }
        if offset.saturating_add(data.len() as u64) > self.config.max_handshake as u64 {
            return Err(Violation::new(TransportCode::CRYPTO_BUFFER, "handshake too long"));
        }
        self.crypto_rx.insert(offset, data)
    }

    fn on_handshake_done(&mut self) -> Result<(), Violation> {
        if self.role == TlsRole::Server {
            let reason = "HANDSHAKE_DONE from the client";
            return Err(Violation::new(TransportCode::PROTOCOL, reason));
        }
        if !self.is_confirmed {
            self.confirm();
        }
        Ok(())
    }
}

/// What a packet's frames were.
struct Payload {
    /// It asks for an acknowledgement.
    is_eliciting: bool,
    /// It asks about a path, and no more (RFC 9000 §9.1).
    is_probing: bool,
}

/// Sends again what a lost packet carried.
pub(super) fn on_frame_lost(
    frame: &SentFrame,
    crypto: &mut CryptoSender,
    streams: &mut Streams,
    control: &mut Control,
) {
    match frame {
        SentFrame::Ack { .. } => {}
        SentFrame::Crypto(range) => crypto.on_lost(range.clone()),
        SentFrame::HandshakeDone
        | SentFrame::AckFrequency
        | SentFrame::NewConnectionId(_)
        | SentFrame::RetireConnectionId(_) => control.on_lost(frame),
        other => streams.on_frame_lost(other),
    }
}

fn encoding(error: FrameError) -> Violation {
    let reason = match error {
        FrameError::Truncated => "truncated frame",
        FrameError::Type(_) => "unknown frame type",
        FrameError::Range => "frame field out of range",
    };
    Violation::new(TransportCode::FRAME_ENCODING, reason)
}
