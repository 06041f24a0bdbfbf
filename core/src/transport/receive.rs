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
use super::space::SpaceId;
use super::streams::Streams;
use crate::base::{Path, Side, Time};
use crate::wire::ack::Ack;
use crate::wire::codec::Reader;
use crate::wire::frame::{Frame, FrameError};
use crate::wire::packet::Header;
use core::time::Duration;

/// Forged packets taken before the keys count as attacked (RFC 9001 §6.6, the smaller limit).
const INTEGRITY_LIMIT: u64 = 1 << 36;

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
        self.path_received += packet.len() as u64;
        self.on_opened(header, opened, packet);
    }

    /// Takes a datagram that came from `path`. It is decrypted in place.
    pub fn handle_datagram(&mut self, path: Path, datagram: &mut [u8], now: Time) {
        self.clamp(now);
        if self.state == State::Closed {
            return;
        }
        let datagram_len = datagram.len() as u64;
        self.bytes_received += datagram_len;
        let mut rest = datagram;
        // Each packet takes at least a header, so the number of rounds is bounded by the length.
        while let Ok(header) = Header::parse(rest) {
            if header.dcid != self.local_cid && header.dcid != self.original_dcid {
                break;
            }
            self.handle_packet(path, &header, &mut rest[..header.len]);
            rest = rest.split_at_mut(header.len).1;
        }
        if path == self.path {
            self.path_received += datagram_len;
        }
    }

    fn handle_packet(&mut self, path: Path, header: &Header, packet: &mut [u8]) {
        let id = if header.is_long() { SpaceId::Contact } else { SpaceId::Data };
        let Some(keys) = &self.spaces[id as usize].keys else { return };
        // Before the initiator is authenticated, what it sends under 1-RTT keys is not believed
        // (RFC 9001 §5.7); it will be sent again.
        if id == SpaceId::Data && self.state == State::Handshaking {
            return;
        }
        let expected = self.spaces[id as usize].acks.expected();
        let opened = match id {
            SpaceId::Contact => protect::open(&keys.remote, header, packet, expected),
            SpaceId::Data => self.open_data(header, packet, expected),
        };
        match opened {
            Ok(opened) => {
                if header.is_long() && !self.spaces[id as usize].acks.is_duplicate(opened.pn) {
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
            Err(OpenError::ReservedBits) => self.close_for_violation(Violation::new(
                TransportCode::PROTOCOL,
                "reserved header bits are set",
            )),
        }
    }

    /// While contact packets come, the peer is where the newest came from: whoever sends a copy of
    /// one ahead from elsewhere draws the connection there until the next, and no further.
    fn follow(&mut self, path: Path) {
        if self.path != path {
            self.path = path;
            (self.path_received, self.path_sent) = (0, 0);
            // Its connection ID says where it was, not where it is.
            self.is_address_validated = false;
            self.path_challenge = (self.side == Side::Responder).then(|| self.rng.array());
        }
        self.is_path_latched = true;
    }

    /// Takes an authentic packet.
    pub(super) fn on_opened(&mut self, header: &Header, opened: &Opened, packet: &[u8]) {
        let id = if header.is_long() { SpaceId::Contact } else { SpaceId::Data };
        if self.spaces[id as usize].acks.is_duplicate(opened.pn) {
            self.packets_dropped += 1;
            return;
        }
        match self.state {
            State::Closing => self.on_packet_while_closing(),
            State::Draining | State::Closed => return,
            State::Handshaking | State::Established => self.on_heard(),
        }
        if let Some(scid) = header.scid {
            if self.remote_cid == self.original_dcid && self.side == Side::Initiator {
                self.remote_cid = scid;
            }
            // It knows the ID we chose, so it is where it says (RFC 9000 §8.1), unless it moved.
            self.is_address_validated |=
                header.dcid == self.local_cid && self.path_challenge.is_none();
        }
        let Some(payload) = packet.get(opened.payload.clone()) else { return };
        let result = self.handle_payload(id, payload);
        if core::mem::take(&mut self.streams.has_declined) {
            return;
        }
        match result {
            Ok(is_eliciting) if self.spaces[id as usize].keys.is_some() => {
                let is_immediate = id == SpaceId::Contact;
                let acks = &mut self.spaces[id as usize].acks;
                acks.on_received(opened.pn, is_eliciting, is_immediate, self.now);
            }
            Ok(_) => {}
            Err(violation) => self.close_for_violation(violation),
        }
    }

    /// Processes a packet's frames; tells whether they ask for an acknowledgement.
    fn handle_payload(&mut self, id: SpaceId, payload: &[u8]) -> Result<bool, Violation> {
        let mut reader = Reader::new(payload);
        if reader.is_empty() {
            return Err(Violation::new(TransportCode::PROTOCOL, "packet without frames"));
        }
        let mut is_eliciting = false;
        while let Some(frame) = Frame::read(&mut reader).map_err(encoding)? {
            is_eliciting |= frame.is_ack_eliciting();
            if id == SpaceId::Contact && !frame.is_allowed_in_contact() {
                let reason = "frame not allowed in a contact packet";
                return Err(Violation::new(TransportCode::PROTOCOL, reason));
            }
            if self.state == State::Closing && !matches!(frame, Frame::Close(_)) {
                continue;
            }
            self.handle_frame(id, frame)?;
        }
        Ok(is_eliciting)
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
            Frame::PathChallenge(data) => self.pending_path_response = Some(data),
            Frame::PathResponse(data) => self.on_path_response(data),
            Frame::Close(close) => self.move_to_draining(&close),
            Frame::HandshakeDone => self.on_handshake_done()?,
            // None of ours to be replaced or retired was ever told to the peer.
            Frame::NewConnectionId(_) | Frame::RetireConnectionId(_) => {}
            Frame::AckFrequency(frame) => self.spaces[id as usize].acks.on_frequency(&frame)?,
            Frame::ImmediateAck => self.spaces[id as usize].acks.want_now(),
        }
        Ok(())
    }

    fn on_ack(&mut self, id: SpaceId, ack: &Ack<'_>) -> Result<(), Violation> {
        let now = self.now;
        let space = &mut self.spaces[id as usize];
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
        let streams = &mut self.streams;
        let mut ack_acked = None;
        let mut newest = None;
        let mut is_any_new = false;
        for range in ack.ranges() {
            let range = *range.start()..range.end() + 1;
            let at = self.recovery.on_range_acked(space, range, now, |frame| match frame {
                SentFrame::Ack { largest } => ack_acked = ack_acked.max(Some(*largest)),
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
        if let Some(at) = newest.filter(|_| is_news) {
            let delay = match id {
                SpaceId::Contact => Duration::ZERO,
                SpaceId::Data => self.peer_ack_delay(ack.delay),
            };
            self.recovery.on_rtt(now.since(at), delay, now);
        }
        self.recovery.pto_count = 0;
        self.detect_lost(id);
        if id == SpaceId::Data {
            let (packets, rtt) = (self.recovery.window_packets(), self.recovery.rtt.smoothed());
            self.control.ack_frequency.update(packets, rtt);
        }
        Ok(())
    }

    fn peer_ack_delay(&self, delay: u64) -> Duration {
        let us = delay.saturating_mul(1 << self.peer_params.ack_delay_exponent.min(20));
        let max = Duration::from_millis(self.peer_params.max_ack_delay_ms);
        Duration::from_micros(us).min(max)
    }

    fn on_crypto(&mut self, offset: u64, data: &[u8]) -> Result<(), Violation> {
        // TLS has no more to say: a late copy.
        if self.handshake.is_none() {
            return Ok(());
        }
        self.crypto_rx.insert(offset, data)?;
        self.drive_handshake();
        Ok(())
    }

    /// The peer is where we sent the challenge (RFC 9000 §8.2.3); a late answer is harmless.
    fn on_path_response(&mut self, data: [u8; 8]) {
        if self.path_challenge == Some(data) {
            self.path_challenge = None;
            self.is_address_validated = true;
        }
    }

    fn on_handshake_done(&mut self) -> Result<(), Violation> {
        if self.side == Side::Responder {
            let reason = "HANDSHAKE_DONE from the initiator";
            return Err(Violation::new(TransportCode::PROTOCOL, reason));
        }
        if !self.is_confirmed {
            self.confirm();
        }
        Ok(())
    }

    /// Bytes that may go to an address not validated (RFC 9000 §8.1).
    pub(super) fn amplification_room(&self) -> usize {
        if self.side == Side::Initiator || self.is_address_validated {
            return usize::MAX;
        }
        let room = (self.path_received * 3).saturating_sub(self.path_sent);
        usize::try_from(room).unwrap_or(usize::MAX)
    }
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
        SentFrame::HandshakeDone | SentFrame::AckFrequency => control.on_lost(frame),
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
