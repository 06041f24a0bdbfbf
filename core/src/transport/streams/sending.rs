//! What the streams have to send: which frames go into a packet, and what becomes of them.
//!
//! Owns the order of frames and the use of the peer's limits (RFC 9000 §4). Does not own packets;
//! what was written is handed out, to come back acknowledged or lost.

use super::{Line, Stream, Streams};
use crate::transport::StreamId;
use crate::transport::sent::SentFrame;
use crate::wire::codec::{Full, Writer};
use crate::wire::frame;

/// Room below which no further STREAM frame is begun.
const MIN_STREAM_ROOM: usize = 32;

impl Streams {
    pub(in crate::transport) fn has_pending(&self) -> bool {
        self.pending_max_data || self.pending_max_streams || !self.schedule.is_empty()
    }

    /// Writes what the streams have to say, until the packet is full. Each that shares has a turn
    /// in `round` bytes.
    pub(in crate::transport) fn write_frames(
        &mut self,
        w: &mut Writer<'_>,
        round: u64,
        mut sent: impl FnMut(SentFrame),
    ) {
        // Full: what does not fit goes into the next packet.
        let _ = self.write_limits(w, &mut sent);
        self.write_control(w, &mut sent);
        while w.remaining() >= MIN_STREAM_ROOM {
            let Some((id, credit, stream)) = self.begin_turn() else { return };
            let before = w.len();
            let fresh = write_data(id, credit, stream, w, &mut sent);
            let wants_more = self.end_turn(fresh, (w.len() - before) as u64, round);
            if w.len() == before && wants_more {
                return; // it needs more room than is left
            }
        }
    }

    /// The connection's limits.
    fn write_limits(
        &mut self,
        w: &mut Writer<'_>,
        sent: &mut impl FnMut(SentFrame),
    ) -> Result<(), Full> {
        if self.pending_max_data {
            // Written into a full packet it would be lost: ask for room first.
            reserve(w, 9)?;
            frame::write_max_data(w, self.announce_max_data())?;
            sent(SentFrame::MaxData);
        }
        if self.pending_max_streams {
            reserve(w, 9)?;
            frame::write_max_streams(w, self.announce_max_streams())?;
            sent(SentFrame::MaxStreams);
        }
        if let Some(limit) = self.blocked_at() {
            frame::write_data_blocked(w, limit)?;
        }
        Ok(())
    }

    /// The control frames of streams.
    fn write_control(&mut self, w: &mut Writer<'_>, sent: &mut impl FnMut(SentFrame)) {
        while let Some(id) = self.schedule.control_front() {
            if let Some(stream) = self.table.get_mut(&id) {
                if write_control(id, stream, w, sent).is_err() {
                    return;
                }
                stream.is_in_control_line = false;
            }
            self.schedule.pop_control();
        }
    }

    /// The stream whose turn it is. The caller sends what it can and calls [`Self::end_turn`].
    fn begin_turn(&mut self) -> Option<(StreamId, u64, &mut Stream)> {
        let credit = self.send_max - self.sent;
        while let Some(id) = self.schedule.front() {
            if self.table.contains_key(&id) {
                // Looked up twice: the borrow checker does not see that the loop ends here.
                return self.table.get_mut(&id).map(|stream| (id, credit, stream));
            }
            self.schedule.pop();
        }
        None
    }

    /// The stream at the front sent `bytes`, of them `fresh` ones never sent before. Tells whether
    /// it still stands in line.
    fn end_turn(&mut self, fresh: u64, bytes: u64, round: u64) -> bool {
        self.sent += fresh;
        let has_credit = self.send_max > self.sent;
        let Some(id) = self.schedule.front() else { return false };
        let Some(stream) = self.table.get_mut(&id) else { return false };
        let has_pending = stream.send.has_pending();
        self.schedule.on_sent(bytes);
        if stream.send.has_pending_without_credit() || has_pending && has_credit {
            self.schedule.end_turn(round);
            return true;
        }
        stream.ticket = self.schedule.pop().unwrap_or(stream.ticket);
        if has_pending {
            stream.line = Line::Starved;
            self.schedule.push_starved(id);
        } else {
            stream.line = Line::Out;
        }
        false
    }

    /// The connection's limit, if it is what holds new data back.
    fn blocked_at(&self) -> Option<u64> {
        (self.schedule.has_starved() && self.sent == self.send_max).then_some(self.send_max)
    }

    fn announce_max_data(&mut self) -> u64 {
        self.recv_max = self.recv_max.max(self.consumed + self.window);
        self.pending_max_data = false;
        self.recv_max
    }

    fn announce_max_streams(&mut self) -> u64 {
        self.pending_max_streams = false;
        self.max_remote
    }

    // ---- what becomes of our frames

    pub(in crate::transport) fn on_frame_acked(&mut self, sent: &SentFrame) {
        match sent {
            SentFrame::Stream { id, range, fin } => {
                let Some(stream) = self.table.get_mut(id) else { return };
                let before = stream.send.buffered();
                stream.send.on_acked(range.clone(), *fin);
                let freed = before - stream.send.buffered();
                let has_room = stream.send.buffered() < self.stream_send_buffer / 2
                    || stream.send.is_delivered();
                if has_room && core::mem::take(&mut stream.send.wants_room) {
                    self.notify(*id);
                }
                self.unbuffer(freed);
                self.trim(*id);
                self.collect(*id);
            }
            SentFrame::ResetStream(id) => {
                if let Some(stream) = self.table.get_mut(id) {
                    stream.send.on_reset_acked();
                    self.collect(*id);
                }
            }
            _ => {}
        }
    }

    pub(in crate::transport) fn on_frame_lost(&mut self, sent: &SentFrame) {
        match sent {
            SentFrame::MaxData => self.pending_max_data = true,
            SentFrame::MaxStreams => self.pending_max_streams = true,
            SentFrame::Stream { id, range, fin } => {
                let Some(stream) = self.table.get_mut(id) else { return };
                stream.send.on_lost(range.clone(), *fin);
                self.queue(*id);
            }
            SentFrame::ResetStream(id) => {
                let Some(stream) = self.table.get_mut(id) else { return };
                stream.send.on_reset_lost();
                self.queue_control(*id);
            }
            SentFrame::StopSending(id) => {
                let Some(stream) = self.table.get_mut(id) else { return };
                stream.recv.on_stop_lost();
                self.queue_control(*id);
            }
            SentFrame::MaxStreamData(id) => {
                let Some(stream) = self.table.get_mut(id) else { return };
                if !stream.recv.is_terminal() && stream.recv.stop_code().is_none() {
                    stream.recv.pending_max_data = true;
                    self.queue_control(*id);
                }
            }
            _ => {}
        }
    }
}

/// Writes one stream's control frames; `Full` if one of them found no room.
fn write_control(
    id: StreamId,
    stream: &mut Stream,
    w: &mut Writer<'_>,
    sent: &mut impl FnMut(SentFrame),
) -> Result<(), Full> {
    if let Some((code, final_size)) = stream.send.pending_reset() {
        frame::write_reset_stream(w, id.0, code, final_size)?;
        stream.send.on_reset_sent();
        sent(SentFrame::ResetStream(id));
    }
    if let Some(code) = stream.recv.stop_code().filter(|_| stream.recv.pending_stop) {
        frame::write_stop_sending(w, id.0, code)?;
        stream.recv.pending_stop = false;
        sent(SentFrame::StopSending(id));
    }
    if stream.recv.pending_max_data {
        reserve(w, 17)?;
        frame::write_max_stream_data(w, id.0, stream.recv.announce_max_data())?;
        sent(SentFrame::MaxStreamData(id));
    }
    Ok(())
}

/// Writes one STREAM frame of a stream. Returns the fresh bytes written.
fn write_data(
    id: StreamId,
    credit: u64,
    stream: &mut Stream,
    w: &mut Writer<'_>,
    sent: &mut impl FnMut(SentFrame),
) -> u64 {
    if let Some(limit) = stream.send.take_blocked() {
        let _ = frame::write_stream_data_blocked(w, id.0, limit);
    }
    let header = frame::stream_header_len(id.0, stream.send.next_offset(), w.remaining());
    let Some(room) = w.remaining().checked_sub(header) else { return 0 };
    let Some(chunk) = stream.send.take(room, credit) else { return 0 };
    let len = (chunk.range.end - chunk.range.start) as usize;
    let Ok(out) = frame::write_stream(w, id.0, chunk.range.start, len, chunk.fin) else {
        stream.send.on_lost(chunk.range, chunk.fin);
        return chunk.fresh;
    };
    stream.send.copy(&chunk.range, out);
    sent(SentFrame::Stream { id, range: chunk.range, fin: chunk.fin });
    chunk.fresh
}

fn reserve(w: &Writer<'_>, bytes: usize) -> Result<(), Full> {
    if w.remaining() < bytes { Err(Full) } else { Ok(()) }
}
