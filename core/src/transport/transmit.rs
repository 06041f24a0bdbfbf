//! Building datagrams: which packets, then one small function per kind of frame.
//!
//! A datagram holds a contact packet, a 1-RTT packet, or both. What a packet carried is noted in
//! its space, so that a loss brings it back.

use super::connection::{Connection, State};
use super::error::{TransportCode, Violation};
use super::key_update::KeyUpdate;
use super::probes::Probes;
use super::sent::SentFrame;
use super::space::SpaceId;
use super::{BASE_DATAGRAM, Transmit, protect};
use crate::base::{Ecn, Time};
use crate::crypto::AeadError;
use crate::wire::ack;
use crate::wire::cid::LOCAL_CID_LEN;
use crate::wire::codec::{Full, Writer};
use crate::wire::frame;
use crate::wire::packet::{self, TAG_LEN, TruncatedPn};

/// Packet number and payload have at least this many bytes together, for the sample.
const MIN_PN_AND_PAYLOAD: usize = 4;
/// Payload of a packet that fills a datagram of the least size, about.
const PADDED_PAYLOAD: usize = BASE_DATAGRAM - 1 - LOCAL_CID_LEN - 4 - TAG_LEN;
/// Bytes of a PATH_CHALLENGE or PATH_RESPONSE.
const PATH_FRAME_LEN: usize = 9;
/// Shift of the ACK delay field: the default of RFC 9000 §18.2.
const ACK_DELAY_EXPONENT: u32 = 3;

/// What to put into a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Frames,
    MtuProbe,
    /// Nothing but where we are.
    Show,
    /// To another path than the one in use.
    PathChallenge([u8; 8]),
    /// To another path than the one in use.
    PathResponse([u8; 8]),
}

impl Connection {
    /// Writes the next datagram into `buf`; `None` when there is nothing to send now.
    pub fn poll_transmit(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit> {
        self.clamp(now);
        if let Some(transmit) = self.transmit_elsewhere(buf) {
            return Some(transmit);
        }
        let room = buf.len().min(self.paths.room());
        let mut len = 0;
        match self.state {
            State::Draining | State::Closed => return None,
            State::Closing if !core::mem::take(&mut self.close.is_pending) => return None,
            _ => {}
        }
        if let Some(size) = self.mtu_probe_size(room) {
            len = self.build_packet(SpaceId::Data, &mut buf[..size], Content::MtuProbe);
        } else {
            let buf = &mut buf[..room.min(self.max_datagram())];
            for id in SpaceId::ALL {
                len += self.build_packet(id, &mut buf[len..], Content::Frames);
            }
            if core::mem::take(&mut self.control.is_to_show) && len == 0 {
                len = self.build_packet(SpaceId::Data, buf, Content::Show);
            }
            self.recovery.mtu.on_sent(len);
        }
        if len == 0 {
            self.recovery.is_limited =
                !self.recovery.has_room() || self.recovery.paced_until.is_some();
            return None;
        }
        self.bytes_sent += len as u64;
        self.paths.on_sent(len);
        let ecn = self.recovery.ecn.take_mark();
        Some(Transmit { path: self.paths.active, len, ecn })
    }

    /// What goes elsewhere than all else does, in a datagram of its own: a PATH_RESPONSE, or a
    /// PATH_CHALLENGE.
    fn transmit_elsewhere(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        let has_pending = |probes: &Probes| probes.has_pending();
        if self.state != State::Established || !self.paths.any_probes().is_some_and(has_pending) {
            return None;
        }
        let (active, now) = (self.paths.active, self.now);
        let (path, content) =
            if let Some(response) = self.paths.probes().take_response(|path| *path != active) {
                (response.path, Content::PathResponse(response.data))
            } else if self.is_confirmed {
                let data = self.rng.array();
                let path = self.paths.probes().next_to_ask(data, now)?;
                (path, Content::PathChallenge(data))
            } else {
                return None;
            };
        let room = buf.len().min(BASE_DATAGRAM.min(self.config.max_datagram));
        let len = self.build_packet(SpaceId::Data, &mut buf[..room], content);
        self.bytes_sent += len as u64;
        (len > 0).then_some(Transmit { path, len, ecn: Ecn::NotEct })
    }

    /// Writes one packet; returns its length, 0 if there is nothing to say or no room.
    fn build_packet(&mut self, id: SpaceId, buf: &mut [u8], content: Content) -> usize {
        if id == SpaceId::Data {
            self.update_keys_if_due();
        }
        let Some(space) = self.spaces.get(id).filter(|space| space.keys.is_some()) else {
            return 0;
        };
        let pn = space.sent.next_pn();
        if id == SpaceId::Data && self.state != State::Closing && self.is_key_used_up(pn) {
            let limit = Violation::new(TransportCode::AEAD_LIMIT, "keys are used up");
            self.close_for_violation(limit);
            return 0;
        }
        let short_pn = TruncatedPn::new(pn, space.largest_acked);
        let cids = &self.control.cids;
        let pn_offset = match id {
            SpaceId::Contact => packet::long_header_len(cids.remote(), &cids.first()),
            SpaceId::Data => 1 + LOCAL_CID_LEN,
        };
        let start = pn_offset + short_pn.len;
        let Some(room) = buf.len().checked_sub(start + TAG_LEN + MIN_PN_AND_PAYLOAD) else {
            return 0;
        };
        let mut w = Writer::new(&mut buf[start..start + room + MIN_PN_AND_PAYLOAD]);
        let is_eliciting = match content {
            Content::Frames => self.write_frames(id, &mut w),
            Content::MtuProbe => write_mtu_probe(&mut w),
            // The padding that any packet needs is all.
            Content::Show => Some(false),
            Content::PathChallenge(data) => write_lone_challenge(&mut w, &data),
            Content::PathResponse(data) => write_lone_response(&mut w, &data),
        };
        let Some(is_eliciting) = is_eliciting else { return 0 };
        while w.len() + short_pn.len < MIN_PN_AND_PAYLOAD {
            if w.u8(0).is_err() {
                return 0;
            }
        }
        let payload_len = w.len() + TAG_LEN;
        let len = start + payload_len;
        let header = self.write_header(id, buf, short_pn, payload_len);
        let Some(space) = self.spaces.get_mut(id) else { return 0 };
        let sealed = match &space.keys {
            Some(keys) if header.is_ok() => {
                protect::seal(&keys.local, &mut buf[..len], pn_offset, short_pn.len, pn)
            }
            _ => Err(AeadError::Unauthentic),
        };
        debug_assert!(sealed != Err(AeadError::Unauthentic));
        // The packet counts as lost on the way: what it held is sent again in time.
        self.has_crypto_failed |= sealed.is_err();
        let is_marked = is_eliciting && self.recovery.ecn.mark();
        space.sent.push_packet(self.now, len as u16, is_eliciting, is_marked);
        if content == Content::MtuProbe {
            self.recovery.mtu.on_probe_sent(pn, len);
        }
        self.recovery.on_sent(space, len as u16, is_eliciting, self.now);
        if is_eliciting && !core::mem::replace(&mut self.has_sent_since_receive, true) {
            self.restart_idle_timer();
        }
        if sealed.is_ok() { len } else { 0 }
    }

    fn write_header(
        &self,
        id: SpaceId,
        buf: &mut [u8],
        pn: TruncatedPn,
        payload_len: usize,
    ) -> Result<(), Full> {
        let mut w = Writer::new(buf);
        let cids = &self.control.cids;
        match id {
            SpaceId::Contact => {
                packet::write_long(&mut w, cids.remote(), &cids.first(), pn, payload_len)
            }
            SpaceId::Data => {
                let phase = self.key_update.as_ref().is_some_and(KeyUpdate::phase);
                packet::write_short(&mut w, cids.remote(), pn, phase)
            }
        }
    }

    /// Whether window, memory and pace let another packet go. Where memory does not, packets are
    /// under way, and their ACK is what makes room.
    fn may_send(&mut self, id: SpaceId) -> bool {
        let growth = self.spaces.get(id).map_or(0, |space| space.sent.growth());
        self.recovery.has_room()
            && self.recovery.is_paced(self.now)
            && self.config.reserve.allows(growth)
    }

    /// The size of the path MTU probe to send now, if it has room.
    fn mtu_probe_size(&mut self, room: usize) -> Option<usize> {
        if self.state != State::Established || !self.is_confirmed || !self.recovery.has_room() {
            return None;
        }
        if !self.config.reserve.allows(self.spaces.data.sent.growth()) {
            return None;
        }
        self.recovery.mtu.next_probe(self.now).filter(|size| *size <= room)
    }

    /// Writes what the space has to say. `None`: nothing. Otherwise whether it is ack-eliciting.
    fn write_frames(&mut self, id: SpaceId, w: &mut Writer<'_>) -> Option<bool> {
        if self.state == State::Closing {
            frame::write_close(w, &self.close_frame(id)).ok()?;
            return Some(false);
        }
        let space = self.spaces.get(id)?;
        let (is_probe, is_ack_due) = (space.probes > 0, space.acks.is_due());
        let is_wanted = is_probe || self.has_frames(id) && self.may_send(id);
        if !is_wanted && !is_ack_due {
            return None;
        }
        self.write_ack(id, w);
        let after_ack = w.len();
        if is_wanted {
            if is_probe && id == SpaceId::Data && self.peer.takes_ack_frequency {
                let _ = frame::write_immediate_ack(w);
            }
            match id {
                SpaceId::Contact => self.write_crypto(w),
                SpaceId::Data => self.write_data(w),
            }
            if is_probe && w.len() == after_ack {
                // Without room for one byte the packet would not be built at all.
                let _ = frame::write_ping(w);
            }
        }
        if w.is_empty() { None } else { Some(w.len() > after_ack) }
    }

    fn has_frames(&mut self, id: SpaceId) -> bool {
        match id {
            SpaceId::Contact => self.crypto_tx.has_pending(),
            SpaceId::Data => {
                self.state == State::Established
                    && (self.has_stream_frames() || self.has_datagrams())
            }
        }
    }

    fn has_stream_frames(&self) -> bool {
        self.control.has_pending()
            || self.paths.is_challenge_due()
            || self.paths.any_probes().is_some_and(|p| p.owes(|to| *to == self.paths.active))
            || self.streams.has_pending()
    }

    fn write_ack(&mut self, id: SpaceId, w: &mut Writer<'_>) {
        let Some(space) = self.spaces.get_mut(id) else { return };
        if !space.acks.is_due() && !space.acks.is_useful() {
            return;
        }
        let delay = space.acks.delay_us(self.now) >> ACK_DELAY_EXPONENT;
        if ack::write_ack(w, delay, space.acks.ranges(), space.acks.ecn()).is_ok() {
            let largest = space.acks.expected().saturating_sub(1);
            space.acks.on_sent();
            space.sent.push_frame(SentFrame::Ack { largest });
        }
    }

    fn write_crypto(&mut self, w: &mut Writer<'_>) {
        while self.crypto_tx.has_pending() {
            let offset = self.crypto_tx.next_offset();
            let header = frame::crypto_header_len(offset, w.remaining());
            let Some(room) = w.remaining().checked_sub(header).filter(|room| *room > 0) else {
                return;
            };
            let Some((range, data)) = self.crypto_tx.take(room) else { return };
            let Ok(out) = frame::write_crypto(w, range.start, data.len()) else { return };
            out.copy_from_slice(data);
            if let Some(space) = self.spaces.get_mut(SpaceId::Contact) {
                space.sent.push_frame(SentFrame::Crypto(range));
            }
        }
    }

    fn write_data(&mut self, w: &mut Writer<'_>) {
        if self.state != State::Established {
            return;
        }
        let is_asking = self.paths.is_challenge_due();
        // Datagrams first, for they are late the soonest; but no two packets in a row begin with
        // them while streams wait, and none that asks whether a path is one.
        let both = self.datagrams.as_mut();
        let has_led = both.is_some_and(|both| core::mem::take(&mut both.outbox.has_led));
        let is_streams_turn = is_asking || has_led && self.has_stream_frames();
        if !is_streams_turn && self.write_datagrams(w) {
            if let Some(both) = &mut self.datagrams {
                both.outbox.has_led = true;
            }
        }
        // Full: what does not fit goes into the next packet.
        let _ = self.write_control(w);
        let sent = &mut self.spaces.data.sent;
        let round = self.recovery.round();
        self.streams.write_frames(w, round, |frame| sent.push_frame(frame));
        if is_streams_turn {
            self.write_datagrams(w);
        }
        if is_asking {
            // Shows at once that the path carries datagrams of the least size (RFC 9000 §8.2.1);
            // where so much may not be sent yet, the room is for asking again.
            self.paths.on_challenge_sent();
            let short = PADDED_PAYLOAD.saturating_sub(w.len());
            if short <= w.remaining() {
                let _ = (0..short).try_for_each(|_| w.u8(0));
            }
        }
    }

    /// Tells whether there was one to write. Nothing is noted of them: lost ones stay lost.
    fn write_datagrams(&mut self, w: &mut Writer<'_>) -> bool {
        let max = self.datagram_max().unwrap_or(0);
        let now = self.now;
        self.datagrams.as_mut().is_some_and(|both| both.outbox.write(w, max, now))
    }

    fn write_control(&mut self, w: &mut Writer<'_>) -> Result<(), Full> {
        let sent = &mut self.spaces.data.sent;
        self.control.write(w, sent)?;
        // In each packet, so that the loss of one is no matter.
        if let Some(data) = self.paths.asked() {
            frame::write_path_challenge(w, &data)?;
        }
        let active = self.paths.active;
        while self.paths.any_probes().is_some_and(|probes| probes.owes(|to| *to == active)) {
            if w.remaining() < PATH_FRAME_LEN {
                return Err(Full);
            }
            if let Some(response) = self.paths.probes().take_response(|to| *to == active) {
                frame::write_path_response(w, &response.data)?;
            }
        }
        Ok(())
    }
}

/// What is lost on a path not in use says nothing of the one that is: these count as packets that
/// elicit no acknowledgement, though the peer sends one.
fn write_lone_challenge(w: &mut Writer<'_>, data: &[u8; 8]) -> Option<bool> {
    frame::write_path_challenge(w, data).ok()?;
    Some(false)
}

/// Not padded (RFC 9000 §8.2.2 asks for that): it goes to where a challenge came from, which may be
/// anybody's address, and what the path carries is found out where it is used.
fn write_lone_response(w: &mut Writer<'_>, data: &[u8; 8]) -> Option<bool> {
    frame::write_path_response(w, data).ok()?;
    Some(false)
}

/// A probe carries nothing whose loss would matter.
fn write_mtu_probe(w: &mut Writer<'_>) -> Option<bool> {
    frame::write_ping(w).ok()?;
    while w.u8(0).is_ok() {}
    Some(true)
}
