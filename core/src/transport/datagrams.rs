//! Datagrams (RFC 9221): those that wait to be sent, and those that came and were not read yet.
//!
//! Two bounded queues over byte rings, which take memory with the first datagram only. Nothing is
//! sent twice. What is full is told to the sender here ([`Outbox`]); of what comes the oldest makes
//! room ([`Inbox`]). Owns no packets and no meaning: whoever reads sorts what came by a tag.

use super::connection::{Connection, State};
use super::error::{StreamError, TransportCode, Violation};
use super::{Config, StreamId};
use crate::base::{ByteRing, Reserve, Time, growth};
use crate::wire::cid::LOCAL_CID_LEN;
use crate::wire::codec::Writer;
use crate::wire::frame::{self, Datagram};
use crate::wire::packet::TAG_LEN;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use thiserror::Error;

/// Bytes of a 1-RTT packet around its frames, with the longest packet number.
const PACKET_OVERHEAD: usize = 1 + LOCAL_CID_LEN + 4 + TAG_LEN;
/// Bytes of a datagram shown to who sorts it.
const HEAD_LEN: usize = 8;

/// Why a datagram was not taken or not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DatagramError {
    /// It does not fit into a packet on this path now, or the peer takes none:
    /// see [`Connection::datagram_max`].
    #[error("the datagram is too large")]
    TooLarge,
    /// Too many wait to be sent. No event follows: drop it, as UDP does.
    #[error("too many datagrams wait to be sent")]
    Full,
    /// There is no memory for it now.
    #[error("out of memory")]
    Memory,
    /// The buffer has less room than this datagram, which stays, has bytes.
    #[error("the buffer is too small for {0} bytes")]
    Buffer(usize),
    /// The connection is not up.
    #[error("not connected")]
    NotConnected,
}

struct Waiting {
    len: usize,
    /// Given up if it is not sent before.
    expires: Option<Time>,
}

/// Datagrams to send, first in first out.
pub(super) struct Outbox {
    ring: ByteRing,
    end: u64,
    waiting: VecDeque<Waiting>,
    max_bytes: usize,
    max_count: usize,
    reserve: Reserve,
    /// The last packet with datagrams began with them: streams have the next one.
    pub(super) has_led: bool,
    /// Expired, or too large for the path since it changed.
    pub(super) dropped: u64,
}

impl Outbox {
    pub(super) fn new(config: &Config) -> Self {
        Outbox {
            ring: ByteRing::new(),
            end: 0,
            waiting: VecDeque::new(),
            max_bytes: config.datagram_send_buffer,
            max_count: config.datagram_queue,
            reserve: config.reserve,
            has_led: false,
            dropped: 0,
        }
    }

    fn push(
        &mut self,
        parts: [&[u8]; 2],
        expires: Option<Time>,
        now: Time,
    ) -> Result<(), DatagramError> {
        self.expire(now);
        let len = parts[0].len() + parts[1].len();
        if self.waiting.len() >= self.max_count || self.used() + len > self.max_bytes {
            return Err(DatagramError::Full);
        }
        let queue = growth::<Waiting>(self.waiting.len(), self.waiting.capacity());
        if !self.reserve.allows(self.ring.growth(self.end + len as u64) + queue) {
            return Err(DatagramError::Memory);
        }
        for part in parts {
            self.ring.write_at(self.end, part, self.end);
            self.end += part.len() as u64;
        }
        self.waiting.push_back(Waiting { len, expires });
        Ok(())
    }

    fn used(&self) -> usize {
        (self.end - self.ring.base()) as usize
    }

    /// Whether one waits; drops those in front that it is too late for.
    pub(super) fn has_pending(&mut self, now: Time) -> bool {
        if !cfg!(feature = "udp") {
            return false;
        }
        self.expire(now);
        !self.waiting.is_empty()
    }

    fn expire(&mut self, now: Time) {
        while self.waiting.front().and_then(|w| w.expires).is_some_and(|at| at <= now) {
            self.dropped += 1;
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(waiting) = self.waiting.pop_front() {
            self.ring.advance(self.ring.base() + waiting.len as u64);
        }
    }

    /// Writes as many as fit; those larger than `max` never will. Tells whether there was one.
    pub(super) fn write(&mut self, w: &mut Writer<'_>, max: usize, now: Time) -> bool {
        if !cfg!(feature = "udp") {
            return false;
        }
        let before = w.len();
        while self.has_pending(now) {
            let Some(len) = self.waiting.front().map(|waiting| waiting.len) else { break };
            if len > max {
                self.dropped += 1;
                self.pop();
                continue;
            }
            let Ok(out) = frame::write_datagram(w, len) else { break };
            self.ring.read_at(self.ring.base(), out);
            self.pop();
        }
        w.len() > before
    }
}

struct Arrived {
    at: u64,
    len: usize,
    state: Sorted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sorted {
    NotYet,
    Tag(u64),
    /// Read, or wanted by nobody; its bytes go when all before it are gone.
    Gone,
}

/// Datagrams that came, read in order by tag.
pub(super) struct Inbox {
    ring: ByteRing,
    end: u64,
    arrived: VecDeque<Arrived>,
    /// How many at the end are not sorted yet.
    unsorted: usize,
    max_bytes: usize,
    max_count: usize,
    reserve: Reserve,
    /// Dropped to make room, or wanted by nobody.
    pub(super) dropped: u64,
    /// Some came since this was last looked at.
    pub(super) is_news: bool,
}

impl Inbox {
    pub(super) fn new(config: &Config) -> Self {
        Inbox {
            ring: ByteRing::new(),
            end: 0,
            arrived: VecDeque::new(),
            unsorted: 0,
            max_bytes: config.datagram_recv_buffer,
            max_count: config.datagram_queue,
            reserve: config.reserve,
            dropped: 0,
            is_news: false,
        }
    }

    fn push(&mut self, data: &[u8]) {
        while !self.arrived.is_empty()
            && (self.arrived.len() >= self.max_count || self.used() + data.len() > self.max_bytes)
        {
            self.drop_oldest();
        }
        let queue = growth::<Arrived>(self.arrived.len(), self.arrived.capacity());
        let grows_by = self.ring.growth(self.end + data.len() as u64) + queue;
        let is_too_large = self.max_count == 0 || data.len() > self.max_bytes;
        if is_too_large || !self.reserve.allows(grows_by) {
            self.dropped += 1;
            return;
        }
        self.ring.write_at(self.end, data, self.end);
        self.arrived.push_back(Arrived { at: self.end, len: data.len(), state: Sorted::NotYet });
        self.end += data.len() as u64;
        self.unsorted += 1;
        self.is_news = true;
    }

    fn used(&self) -> usize {
        (self.end - self.ring.base()) as usize
    }

    fn drop_oldest(&mut self) {
        if self.arrived.front().is_some_and(|arrived| arrived.state != Sorted::Gone) {
            self.dropped += 1;
        }
        self.arrived.pop_front();
        self.unsorted = self.unsorted.min(self.arrived.len());
        self.trim();
    }

    /// Lets go of what is gone in front.
    fn trim(&mut self) {
        while self.arrived.front().is_some_and(|arrived| arrived.state == Sorted::Gone) {
            self.arrived.pop_front();
        }
        self.ring.advance(self.arrived.front().map_or(self.end, |arrived| arrived.at));
    }

    /// Shows the first bytes of each new datagram to `sort`, which answers with its tag and how
    /// many of these bytes are not for the reader; `None`: nobody wants it.
    fn sort(&mut self, mut sort: impl FnMut(&[u8]) -> Option<(u64, usize)>) {
        let start = self.arrived.len() - core::mem::take(&mut self.unsorted);
        for arrived in self.arrived.range_mut(start..) {
            let mut head = [0; HEAD_LEN];
            let head = &mut head[..arrived.len.min(HEAD_LEN)];
            self.ring.read_at(arrived.at, head);
            match sort(head) {
                Some((tag, skip)) => {
                    let skip = skip.min(arrived.len);
                    arrived.at += skip as u64;
                    arrived.len -= skip;
                    arrived.state = Sorted::Tag(tag);
                }
                None => {
                    arrived.state = Sorted::Gone;
                    self.dropped += 1;
                }
            }
        }
        self.trim();
    }

    fn position(&self, tag: u64) -> Option<usize> {
        self.arrived.iter().position(|arrived| arrived.state == Sorted::Tag(tag))
    }

    fn read(&mut self, tag: u64, out: &mut [u8]) -> Option<Result<usize, DatagramError>> {
        let index = self.position(tag)?;
        let arrived = self.arrived.get_mut(index)?;
        let len = arrived.len;
        let Some(out) = out.get_mut(..len) else { return Some(Err(DatagramError::Buffer(len))) };
        self.ring.read_at(arrived.at, out);
        arrived.state = Sorted::Gone;
        self.trim();
        Some(Ok(len))
    }

    fn forget(&mut self, tag: u64) {
        for arrived in &mut self.arrived {
            if arrived.state == Sorted::Tag(tag) {
                arrived.state = Sorted::Gone;
            }
        }
        self.trim();
    }
}

/// Both queues, made with the first datagram.
pub(super) struct Datagrams {
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
}

impl Connection {
    /// `None`: there is no memory for them.
    fn datagrams(&mut self) -> Option<&mut Datagrams> {
        if self.datagrams.is_none() {
            if !self.config.reserve.allows(size_of::<Datagrams>()) {
                self.is_short_of_memory = true;
                return None;
            }
            let (outbox, inbox) = (Outbox::new(&self.config), Inbox::new(&self.config));
            self.datagrams = Some(Box::new(Datagrams { outbox, inbox }));
        }
        self.datagrams.as_deref_mut()
    }

    /// Whether one waits to be sent.
    pub(super) fn has_datagrams(&mut self) -> bool {
        let now = self.now;
        self.datagrams.as_mut().is_some_and(|datagrams| datagrams.outbox.has_pending(now))
    }

    /// Those given up before they were sent, and before they were read.
    pub(super) fn datagrams_dropped(&self) -> (u64, u64) {
        self.datagrams.as_ref().map_or((0, 0), |both| (both.outbox.dropped, both.inbox.dropped))
    }

    /// The largest datagram that can be sent now; it changes with the path. `None`: the peer takes
    /// none, or the send queue holds none.
    pub fn datagram_max(&self) -> Option<usize> {
        let room = self.max_datagram().saturating_sub(PACKET_OVERHEAD);
        let frame = room.min(self.peer.max_datagram_frame);
        let len = frame.checked_sub(frame::datagram_frame_len(0))?;
        // A longer length field takes its bytes from the data.
        let excess = frame::datagram_frame_len(len) - frame;
        let Config { datagram_queue: max_count, datagram_send_buffer: max_bytes, .. } = self.config;
        (max_count > 0).then_some((len - excess).min(max_bytes))
    }

    /// Queues `parts`, one behind the other, as one datagram. It is sent once or never: given up if
    /// it has not left by `expires`.
    pub fn datagram_send(
        &mut self,
        parts: [&[u8]; 2],
        expires: Option<Time>,
    ) -> Result<(), DatagramError> {
        if self.state != State::Established {
            return Err(DatagramError::NotConnected);
        }
        let len = parts[0].len() + parts[1].len();
        if self.datagram_max().is_none_or(|max| len > max) {
            return Err(DatagramError::TooLarge);
        }
        let now = self.now;
        let datagrams = self.datagrams().ok_or(DatagramError::Memory)?;
        datagrams.outbox.push(parts, expires, now)
    }

    /// Sorts what came since the last call: `sort` is shown the first bytes, up to eight, and
    /// answers with a tag and how many of the bytes to strip, or drops the datagram.
    pub fn datagram_sort(&mut self, sort: impl FnMut(&[u8]) -> Option<(u64, usize)>) {
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.inbox.sort(sort);
        }
    }

    /// Copies the oldest datagram with `tag` out; `None` if there is none.
    pub fn datagram_read(
        &mut self,
        tag: u64,
        out: &mut [u8],
    ) -> Option<Result<usize, DatagramError>> {
        self.datagrams.as_mut()?.inbox.read(tag, out)
    }

    /// Whether there is a datagram with `tag`.
    pub fn has_datagram(&self, tag: u64) -> bool {
        self.datagrams.as_ref().is_some_and(|both| both.inbox.position(tag).is_some())
    }

    /// Drops what came with `tag`.
    pub fn datagram_forget(&mut self, tag: u64) {
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.inbox.forget(tag);
        }
    }

    /// Gives the memory of empty queues back: no datagrams are expected for a while.
    pub fn datagram_shrink(&mut self) {
        let Some(Datagrams { outbox, inbox }) = self.datagrams.as_deref_mut() else { return };
        if outbox.waiting.is_empty() {
            outbox.ring.shrink();
            outbox.waiting = VecDeque::new();
        }
        if inbox.arrived.is_empty() {
            inbox.ring.shrink();
            inbox.arrived = VecDeque::new();
        }
    }

    /// Bytes that wait to be sent.
    #[cfg(feature = "media")]
    pub(super) fn datagrams_unsent_bytes(&self) -> u64 {
        self.datagrams.as_ref().map_or(0, |both| both.outbox.used() as u64)
    }

    /// Bytes in both queues.
    pub(super) fn datagram_bytes(&self) -> usize {
        self.datagrams.as_ref().map_or(0, |both| both.outbox.used() + both.inbox.used())
    }

    /// Time as it was last told.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Bytes that a stream holds at once, here and at the peer, at least at its start: no message
    /// on a stream may be longer.
    pub fn message_max_to_send(&self) -> u64 {
        self.config.stream_send_buffer.min(self.peer.first_window)
    }

    /// The same of what comes.
    pub fn message_max_to_receive(&self) -> u64 {
        self.config.stream_window
    }

    /// How many of so many bytes a write to a stream would take now.
    pub fn stream_room(&self, id: StreamId, len: usize) -> Result<u64, StreamError> {
        self.streams.room(id, len)
    }

    /// Gives the memory of a stream's empty buffers back: little is expected for a while.
    pub fn stream_shrink(&mut self, id: StreamId) {
        self.streams.shrink(id);
    }

    /// Memory of both queues' bytes.
    pub(super) fn datagram_memory(&self) -> usize {
        let Some(Datagrams { outbox, inbox }) = self.datagrams.as_deref() else { return 0 };
        outbox.ring.capacity() + inbox.ring.capacity()
    }

    pub(super) fn on_datagram(&mut self, datagram: &Datagram<'_>) -> Result<(), Violation> {
        if datagram.frame_len as u64 > self.config.max_datagram_frame() {
            let reason = "DATAGRAM larger than announced";
            return Err(Violation::new(TransportCode::PROTOCOL, reason));
        }
        if cfg!(feature = "udp") {
            if let Some(datagrams) = self.datagrams() {
                datagrams.inbox.push(datagram.data);
            }
        }
        Ok(())
    }
}
