//! All streams of a connection: their table, the connection's flow control, and whose turn it is.
//!
//! Owns stream numbers, limits and both windows (RFC 9000 §§2–4). Does not own packets. Whose turn
//! it is to send is in `schedule`. A stream leaves the table when both its sides are over and its
//! user has let go of it.

mod deadlines;
mod schedule;
mod sending;

use super::error::{TransportCode, Violation};
use super::recv_stream::RecvStream;
use super::send_stream::SendStream;
use super::{Config, Priority, StreamError, StreamId, StreamState};
use crate::base::{Map, Reserve, Set, Side};
use crate::wire::frame;
use crate::wire::params::TransportParams;
use alloc::collections::VecDeque;
use deadlines::Deadlines;
use schedule::{Schedule, Ticket};

#[cfg(test)]
pub(super) use schedule::MAX_TURN;

/// Bytes at the start of each stream that are taken even when the connection's send buffer is full:
/// a service's header and answer must not wait for other streams' peers to read. Not less than the
/// least `stream_send_buffer`.
const FIRST_WRITE: u64 = 256;

/// Memory that a stream takes outside the table: its handle, its header, its places in queues.
const STREAM_OVERHEAD: usize = 64 * size_of::<usize>();

/// Where a stream with data to send stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Nothing can go out now.
    Out,
    Ready,
    /// Fresh data, but no connection credit.
    Starved,
}

struct Stream {
    send: SendStream,
    recv: RecvStream,
    priority: Priority,
    ticket: Ticket,
    line: Line,
    is_in_control_line: bool,
    is_notified: bool,
    is_released: bool,
    /// Memory of its rings when it was looked at last.
    memory: usize,
}

impl Stream {
    /// By how much its rings grew since they were looked at.
    fn look_at_memory(&mut self) -> usize {
        let now = self.send.memory() + self.recv.memory();
        let grown = now.saturating_sub(self.memory);
        self.memory += grown;
        grown
    }
}

pub(super) struct Streams {
    side: Side,
    table: Map<StreamId, Stream>,
    /// Ordinal of the next stream we open, and the peer's limit on it.
    next_local: u64,
    max_local: u64,
    /// Ordinal of the next stream the peer opens, and our limit on it.
    next_remote: u64,
    max_remote: u64,
    stream_window: u64,
    stream_send_buffer: u64,
    /// What the peer allows at first on a stream we open, and on one it opens.
    initial_local: u64,
    initial_remote: u64,
    /// Connection flow control, sending: the peer's limit and what is used of it.
    send_max: u64,
    sent: u64,
    /// Receiving: what was announced, arrived, and was read or dropped.
    recv_max: u64,
    arrived: u64,
    consumed: u64,
    window: u64,
    buffered: u64,
    /// Memory of all rings, or more than that: each stream's when it was looked at last.
    memory: usize,
    schedule: Schedule,
    deadlines: Deadlines,
    reserve: Reserve,
    /// Writers told to wait because the connection's send buffer is full.
    waiting: Set<StreamId>,
    changed: VecDeque<StreamId>,
    opened: VecDeque<StreamId>,
    pending_max_data: bool,
    pending_max_streams: bool,
    /// A frame of the packet at hand was not taken, for lack of memory or order: the packet must
    /// not be acknowledged.
    pub(super) has_declined: bool,
}

impl Streams {
    pub(super) fn new(side: Side, config: &Config) -> Self {
        Streams {
            side,
            table: Map::new(),
            next_local: 0,
            max_local: 0,
            next_remote: 0,
            max_remote: config.max_streams,
            stream_window: config.stream_window,
            stream_send_buffer: config.stream_send_buffer,
            initial_local: 0,
            initial_remote: 0,
            send_max: 0,
            sent: 0,
            recv_max: config.session_window,
            arrived: 0,
            consumed: 0,
            window: config.session_window,
            buffered: 0,
            memory: 0,
            schedule: Schedule::default(),
            deadlines: Deadlines::default(),
            reserve: config.reserve,
            waiting: Set::new(),
            changed: VecDeque::new(),
            opened: VecDeque::new(),
            pending_max_data: false,
            pending_max_streams: false,
            has_declined: false,
        }
    }

    /// Applies the peer's limits.
    pub(super) fn on_params(&mut self, params: &TransportParams) {
        self.max_local = params.initial_max_streams_bidi;
        self.send_max = params.initial_max_data;
        // "Local" in the peer's words is a stream the peer opens.
        self.initial_local = params.initial_max_stream_data_bidi_remote;
        self.initial_remote = params.initial_max_stream_data_bidi_local;
    }

    // ---- what the application does

    pub(super) fn open(&mut self) -> Result<StreamId, StreamError> {
        if self.next_local >= self.max_local {
            return Err(StreamError::Limit);
        }
        if !self.has_memory_for_stream() {
            return Err(StreamError::Memory);
        }
        let id = StreamId(self.next_local << 2 | first_bit(self.side));
        self.next_local += 1;
        self.insert(id, self.initial_local);
        Ok(id)
    }

    pub(super) fn write(&mut self, id: StreamId, data: &[u8]) -> Result<usize, StreamError> {
        let total_room = self.window.saturating_sub(self.buffered);
        let stream = self.table.get_mut(&id).ok_or(StreamError::Unknown)?;
        stream.send.check_open()?;
        let room = self.stream_send_buffer.saturating_sub(stream.send.buffered());
        let total_room = total_room.max(FIRST_WRITE.saturating_sub(stream.send.end()));
        let wanted = room.min(total_room).min(data.len() as u64);
        let fitting = stream.send.room(wanted, self.reserve);
        if fitting == 0 && wanted > 0 && stream.send.buffered() == 0 {
            // Nothing will be acknowledged that a writer could wait for.
            return Err(StreamError::Memory);
        }
        let len = stream.send.write(data, fitting);
        self.buffered += len as u64;
        self.memory += stream.look_at_memory();
        if len < data.len() {
            if !stream.send.wants_room && total_room < room {
                self.waiting.insert(id);
            }
            stream.send.wants_room = true;
        }
        if len == 0 && !data.is_empty() {
            return Err(StreamError::Blocked);
        }
        self.queue(id);
        Ok(len)
    }

    /// How many of so many bytes [`Self::write`] would take now.
    pub(super) fn room(&self, id: StreamId, len: usize) -> Result<u64, StreamError> {
        let stream = self.table.get(&id).ok_or(StreamError::Unknown)?;
        stream.send.check_open()?;
        let room = self.stream_send_buffer.saturating_sub(stream.send.buffered());
        let total_room = self.window.saturating_sub(self.buffered);
        let room = room.min(total_room.max(FIRST_WRITE.saturating_sub(stream.send.end())));
        Ok(stream.send.room(room.min(len as u64), self.reserve))
    }

    pub(super) fn read(&mut self, id: StreamId, out: &mut [u8]) -> Result<usize, StreamError> {
        let stream = self.table.get_mut(&id).ok_or(StreamError::Unknown)?;
        let len = stream.recv.read(out, self.stream_window)?;
        if stream.recv.pending_max_data {
            self.queue_control(id);
        }
        self.consume(len as u64);
        self.trim(id);
        self.collect(id);
        Ok(len)
    }

    pub(super) fn finish(&mut self, id: StreamId) -> Result<(), StreamError> {
        let stream = self.table.get_mut(&id).ok_or(StreamError::Unknown)?;
        stream.send.finish()?;
        self.queue(id);
        Ok(())
    }

    pub(super) fn reset(&mut self, id: StreamId, code: u64) -> Result<(), StreamError> {
        let stream = self.table.get_mut(&id).ok_or(StreamError::Unknown)?;
        let buffered = stream.send.buffered();
        if stream.send.reset(code) {
            self.unbuffer(buffered);
            self.queue_control(id);
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, id: StreamId, code: u64) -> Result<(), StreamError> {
        let stream = self.table.get_mut(&id).ok_or(StreamError::Unknown)?;
        if let Some(dropped) = stream.recv.stop(code) {
            self.consume(dropped);
            self.queue_control(id);
        }
        Ok(())
    }

    /// The application lets go: what is unfinished is reset and stopped with `code`.
    pub(super) fn release(&mut self, id: StreamId, code: u64) -> Result<(), StreamError> {
        let stream = self.table.get_mut(&id).ok_or(StreamError::Unknown)?;
        stream.is_released = true;
        if stream.send.check_open().is_ok() {
            self.reset(id, code)?;
        }
        self.stop(id, code)?;
        self.collect(id);
        Ok(())
    }

    pub(super) fn set_priority(
        &mut self,
        id: StreamId,
        priority: Priority,
    ) -> Result<(), StreamError> {
        let stream = self.table.get_mut(&id).ok_or(StreamError::Unknown)?;
        let old = core::mem::replace(&mut stream.priority, priority);
        if old != priority {
            // Another level has another time.
            stream.ticket.served = 0;
            if stream.line == Line::Ready {
                self.schedule.remove(id, old);
                self.schedule.push(id, priority, stream.ticket);
            }
        }
        Ok(())
    }

    #[cfg(feature = "media")]
    pub(super) fn set_share(
        &mut self,
        id: StreamId,
        share: u8,
        weight: u16,
    ) -> Result<(), StreamError> {
        let stream = self.table.get_mut(&id).ok_or(StreamError::Unknown)?;
        self.schedule.set_weight(share, weight)?;
        let in_line = match stream.line {
            Line::Ready => self.schedule.remove(id, stream.priority),
            Line::Out | Line::Starved => None,
        };
        let served = in_line.unwrap_or(stream.ticket).served;
        stream.ticket = Ticket { share: Some(share), served };
        if in_line.is_some() {
            self.schedule.push(id, stream.priority, stream.ticket);
        }
        Ok(())
    }

    pub(super) fn state(&self, id: StreamId) -> Option<StreamState> {
        let stream = self.table.get(&id)?;
        let has_room = stream.send.buffered() < self.stream_send_buffer;
        Some(StreamState {
            is_readable: stream.recv.is_readable(),
            // Not whether the connection's buffer has room: a writer told to go on asks again, one
            // not told would wait for ever.
            is_writable: stream.send.check_open().is_ok() && has_room,
            reset: stream.recv.reset_code(),
            stopped: stream.send.stopped(),
            is_delivered: stream.send.is_delivered(),
            is_expired: stream.send.is_expired(),
        })
    }

    pub(super) fn poll_opened(&mut self) -> Option<StreamId> {
        self.opened.pop_front()
    }

    pub(super) fn poll_changed(&mut self) -> Option<StreamId> {
        while let Some(id) = self.changed.pop_front() {
            if let Some(stream) = self.table.get_mut(&id) {
                stream.is_notified = false;
                return Some(id);
            }
        }
        None
    }

    /// Bytes buffered in both directions: (unread, unacknowledged).
    pub(super) fn buffered(&self) -> (u64, u64) {
        (self.arrived - self.consumed, self.buffered)
    }

    /// Bytes that wait to be sent.
    #[cfg(feature = "media")]
    pub(super) fn unsent(&self) -> u64 {
        self.table.values().map(|stream| stream.send.unsent()).sum()
    }

    pub(super) fn memory(&self) -> usize {
        self.table.values().map(|s| s.send.memory() + s.recv.memory()).sum()
    }

    pub(super) fn count(&self) -> usize {
        self.table.len()
    }

    // ---- frames of the peer

    /// The stream a frame of the peer is about; `None` if it is over already.
    fn remote(&mut self, id: u64) -> Result<Option<&mut Stream>, Violation> {
        let error = |code, reason| Err(Violation::new(code, reason));
        if id & 2 != 0 {
            return error(TransportCode::STREAM_LIMIT, "unidirectional streams are not offered");
        }
        let ordinal = id >> 2;
        if id & 1 == first_bit(self.side) {
            if ordinal >= self.next_local {
                return error(TransportCode::STREAM_STATE, "frame for a stream not opened");
            }
        } else if ordinal >= self.max_remote {
            return error(TransportCode::STREAM_LIMIT, "stream limit exceeded");
        }
        // Opening a stream opens all before it (RFC 9000 §3.2).
        while id & 1 != first_bit(self.side) && self.next_remote <= ordinal {
            if !self.has_memory_for_stream() {
                self.has_declined = true;
                return Ok(None);
            }
            let opened = StreamId(self.next_remote << 2 | first_bit(self.side.peer()));
            self.next_remote += 1;
            self.insert(opened, self.initial_remote);
            self.opened.push_back(opened);
        }
        Ok(self.table.get_mut(&StreamId(id)))
    }

    pub(super) fn on_stream(&mut self, frame: &frame::Stream<'_>) -> Result<(), Violation> {
        let (credit, reserve) = (self.recv_max - self.arrived, self.reserve);
        let Some(stream) = self.remote(frame.id)? else { return Ok(()) };
        let range = frame.offset..frame.offset + frame.data.len() as u64;
        let growth = stream.recv.growth(range.end);
        if stream.recv.is_too_scattered(range) || !reserve.allows(growth) {
            self.has_declined = true;
            return Ok(());
        }
        let used = stream.recv.on_data(frame.offset, frame.data, frame.fin, credit)?;
        let is_dropped = stream.recv.stop_code().is_some() || stream.recv.reset_code().is_some();
        let is_readable = stream.recv.is_readable();
        let grown = stream.look_at_memory();
        self.memory += grown;
        self.arrived += used;
        if is_dropped {
            self.consume(used);
        }
        if is_readable {
            self.notify(StreamId(frame.id));
        }
        self.collect(StreamId(frame.id));
        Ok(())
    }

    pub(super) fn on_reset(&mut self, id: u64, code: u64, size: u64) -> Result<(), Violation> {
        let credit = self.recv_max - self.arrived;
        let Some(stream) = self.remote(id)? else { return Ok(()) };
        let unread = stream.recv.unread();
        let used = stream.recv.on_reset(code, size, credit)?;
        let is_dropped = stream.recv.unread() == 0;
        self.arrived += used;
        self.consume(if is_dropped { used + unread } else { 0 });
        self.notify(StreamId(id));
        self.collect(StreamId(id));
        Ok(())
    }

    pub(super) fn on_stop_sending(&mut self, id: u64, code: u64) -> Result<(), Violation> {
        let Some(stream) = self.remote(id)? else { return Ok(()) };
        let buffered = stream.send.buffered();
        if stream.send.on_stop_sending(code) {
            let freed = buffered - stream.send.buffered();
            self.unbuffer(freed);
            self.queue_control(StreamId(id));
            self.notify(StreamId(id));
        }
        Ok(())
    }

    pub(super) fn on_max_stream_data(&mut self, id: u64, max: u64) -> Result<(), Violation> {
        let Some(stream) = self.remote(id)? else { return Ok(()) };
        if stream.send.on_max_data(max) {
            self.queue(StreamId(id));
        }
        Ok(())
    }

    pub(super) fn on_stream_data_blocked(&mut self, id: u64) -> Result<(), Violation> {
        self.remote(id).map(|_| ())
    }

    pub(super) fn on_max_data(&mut self, max: u64) {
        self.send_max = self.send_max.max(max);
        while let Some(id) = self.schedule.pop_starved() {
            if let Some(stream) = self.table.get_mut(&id) {
                stream.line = Line::Out;
                self.queue(id);
            }
        }
    }

    pub(super) fn on_max_streams(&mut self, max: u64) {
        self.max_local = self.max_local.max(max);
    }

    // ---- bookkeeping

    /// Whether another stream can be kept, with what stands for it in queues and tables elsewhere.
    fn has_memory_for_stream(&self) -> bool {
        let entry = size_of::<(StreamId, Stream)>();
        // The table is copied as it grows.
        self.reserve.allows((self.table.len() + 1) * entry + STREAM_OVERHEAD)
    }

    fn insert(&mut self, id: StreamId, send_max: u64) {
        let stream = Stream {
            send: SendStream::new(send_max),
            recv: RecvStream::new(self.stream_window),
            priority: Priority::default(),
            ticket: Ticket::default(),
            line: Line::Out,
            is_in_control_line: false,
            is_notified: false,
            is_released: false,
            memory: 0,
        };
        self.table.insert(id, stream);
    }

    /// The stream may have data to send.
    fn queue(&mut self, id: StreamId) {
        let Some(stream) = self.table.get_mut(&id) else { return };
        match core::mem::replace(&mut stream.line, Line::Ready) {
            Line::Ready => return,
            Line::Out => {}
            // Lost data needs no credit: do not let it starve.
            Line::Starved => self.schedule.remove_starved(id),
        }
        self.schedule.push(id, stream.priority, stream.ticket);
    }

    /// The stream has a control frame to send.
    fn queue_control(&mut self, id: StreamId) {
        let Some(stream) = self.table.get_mut(&id) else { return };
        if !core::mem::replace(&mut stream.is_in_control_line, true) {
            self.schedule.push_control(id);
        }
    }

    fn notify(&mut self, id: StreamId) {
        let Some(stream) = self.table.get_mut(&id) else { return };
        if !stream.is_released && !core::mem::replace(&mut stream.is_notified, true) {
            self.changed.push_back(id);
        }
    }

    fn consume(&mut self, bytes: u64) {
        self.consumed += bytes;
        if self.consumed + self.window - self.recv_max >= self.window / 4 {
            self.pending_max_data = true;
        }
    }

    fn unbuffer(&mut self, bytes: u64) {
        self.buffered -= bytes;
        if bytes == 0 || self.buffered >= self.window {
            return;
        }
        while let Some(id) = self.waiting.pop_first() {
            if let Some(stream) = self.table.get_mut(&id) {
                stream.send.wants_room = false;
                self.notify(id);
            }
        }
    }

    /// Rings give back what they do not need once all of them have more memory than the
    /// connection's windows, of both directions, ask for.
    fn trim(&mut self, id: StreamId) {
        let is_crowded = self.memory as u64 > self.window * 2;
        // What is to become smaller is copied.
        let may = |stream: &&mut Stream| is_crowded && self.reserve.allows(stream.memory);
        if let Some(stream) = self.table.get_mut(&id).filter(may) {
            stream.send.compact();
            stream.recv.compact();
            self.memory -= stream.memory;
            stream.memory = 0;
            self.memory += stream.look_at_memory();
        }
    }

    /// A stream's rings that are empty give all their memory back.
    pub(super) fn shrink(&mut self, id: StreamId) {
        if let Some(stream) = self.table.get_mut(&id).filter(|stream| stream.memory > 0) {
            stream.send.shrink();
            stream.recv.shrink();
            self.memory -= stream.memory;
            stream.memory = 0;
            self.memory += stream.look_at_memory();
        }
    }

    /// Forgets a stream that is over on both sides and released.
    fn collect(&mut self, id: StreamId) {
        let is_over = self.table.get(&id).is_some_and(|stream| {
            stream.is_released && stream.send.is_terminal() && stream.recv.is_terminal()
        });
        if is_over {
            self.memory -= self.table.remove(&id).map_or(0, |stream| stream.memory);
            self.deadlines.remove(id);
            self.waiting.remove(&id);
            if id.0 & 1 != first_bit(self.side) {
                self.max_remote += 1;
                self.pending_max_streams = true;
            }
        }
    }
}

/// The low bit of the numbers of streams that `side` opens (RFC 9000 §2.1).
fn first_bit(side: Side) -> u64 {
    match side {
        Side::Initiator => 0,
        Side::Responder => 1,
    }
}

#[cfg(test)]
mod model;
