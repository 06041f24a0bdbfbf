//! The receiving side of a stream (RFC 9000 §3.2): reassembly within a window.
//!
//! Owns its unread bytes. Does not own the connection's window; it reports what it adds to it.

use super::StreamError;
use super::error::{TransportCode, Violation};
use crate::base::{ByteRing, RangeSet};
use crate::wire::codec::VARINT_MAX;
use core::ops::Range;

/// Separate pieces held of one stream, however little of it has come. A piece takes as much memory
/// as [`PIECE_LEN`] bytes of the stream.
const MIN_PIECES: u64 = 64;
const PIECE_LEN: u64 = 16;
/// The window of a stream whose reader has not shown yet that it keeps up. A stalled one holds no
/// more than this of the connection's window.
const FIRST_WINDOW: u64 = 256 * 1024;

pub(super) struct RecvStream {
    /// Unread bytes; its base is what the application has read.
    ring: ByteRing,
    received: RangeSet,
    /// Offset behind the highest byte received.
    end: u64,
    /// The limit announced.
    max_data: u64,
    window: u64,
    /// What must be read before the window may grow again.
    grows_at: u64,
    final_size: Option<u64>,
    reset: Option<u64>,
    /// The application wants no more.
    stop: Option<u64>,
    fin_read: bool,
    pub(super) pending_stop: bool,
    pub(super) pending_max_data: bool,
}

impl RecvStream {
    /// The window that a stream begins with, of at most `window_max`.
    pub(super) fn first_window(window_max: u64) -> u64 {
        window_max.min(FIRST_WINDOW)
    }

    pub(super) fn new(window_max: u64) -> Self {
        let window = Self::first_window(window_max);
        RecvStream {
            ring: ByteRing::new(),
            received: RangeSet::new(),
            end: 0,
            max_data: window,
            window,
            grows_at: window,
            final_size: None,
            reset: None,
            stop: None,
            fin_read: false,
            pending_stop: false,
            pending_max_data: false,
        }
    }

    /// Takes a STREAM frame's data. `credit` is what the connection's window still allows beyond
    /// this stream's highest offset. Returns how much of it is used up.
    pub(super) fn on_data(
        &mut self,
        offset: u64,
        data: &[u8],
        fin: bool,
        credit: u64,
    ) -> Result<u64, Violation> {
        let end = offset + data.len() as u64;
        let used = self.check_limits(end, credit)?;
        if self.final_size.is_some_and(|size| end > size || (fin && end != size))
            || (fin && end < self.end)
        {
            return Err(Violation::new(TransportCode::FINAL_SIZE, "final size changed"));
        }
        if fin {
            self.final_size = Some(end);
        }
        self.end = self.end.max(end);
        if self.stop.is_none() && self.reset.is_none() {
            let live = self.received.last().map_or(0, |r| r.end);
            self.ring.write_at(offset, data, live);
            self.received.insert(offset..end);
        }
        Ok(used)
    }

    /// Takes a RESET_STREAM. Returns the connection credit it uses up.
    pub(super) fn on_reset(
        &mut self,
        code: u64,
        final_size: u64,
        credit: u64,
    ) -> Result<u64, Violation> {
        let used = self.check_limits(final_size, credit)?;
        if final_size < self.end || self.final_size.is_some_and(|size| size != final_size) {
            return Err(Violation::new(TransportCode::FINAL_SIZE, "final size changed"));
        }
        // Once all data up to a FIN is here, a late reset takes nothing away.
        let was_complete = self.is_complete();
        self.final_size = Some(final_size);
        self.end = final_size;
        if self.reset.is_none() && !was_complete {
            self.reset = Some(code);
            self.ring.shrink();
        }
        Ok(used)
    }

    fn check_limits(&self, end: u64, credit: u64) -> Result<u64, Violation> {
        let used = end.saturating_sub(self.end);
        if end > self.max_data || used > credit {
            return Err(Violation::new(TransportCode::FLOW_CONTROL, "flow control limit exceeded"));
        }
        Ok(used)
    }

    /// All bytes up to the end are here.
    fn is_complete(&self) -> bool {
        self.final_size.is_some_and(|size| self.readable_end() == size)
    }

    fn readable_end(&self) -> u64 {
        self.received.first().filter(|r| r.start == 0).map_or(0, |r| r.end)
    }

    /// Whether bytes at `range` would be one piece too many: then the packet is not acknowledged,
    /// as if it were lost, and comes again when there are fewer holes. Keeps a peer from making us
    /// hold more holes than bytes.
    pub(super) fn is_too_scattered(&self, range: Range<u64>) -> bool {
        let end = self.end.max(range.end);
        let most = MIN_PIECES + end.saturating_sub(self.ring.base()) / PIECE_LEN;
        self.received.range_count() as u64 >= most && !self.received.touches(range)
    }

    /// The memory that it takes to keep bytes up to `end`, which may be anything.
    pub(super) fn growth(&self, end: u64) -> usize {
        if self.stop.is_some() || self.reset.is_some() {
            return 0;
        }
        self.ring.growth(end).saturating_add(self.received.growth())
    }

    /// Bytes received and not read; those the application refused count as read.
    pub(super) fn unread(&self) -> u64 {
        if self.stop.is_some() || self.reset.is_some() { 0 } else { self.end - self.ring.base() }
    }

    pub(super) fn memory(&self) -> usize {
        self.ring.capacity()
    }

    pub(super) fn is_readable(&self) -> bool {
        self.stop.is_none()
            && self.reset.is_none()
            && (self.readable_end() > self.ring.base() || (self.is_complete() && !self.fin_read))
    }

    pub(super) fn reset_code(&self) -> Option<u64> {
        self.reset
    }

    /// Copies out what is there, in order. 0 bytes are the end of the stream, told once. The window
    /// may grow to `window_max`.
    pub(super) fn read(&mut self, out: &mut [u8], window_max: u64) -> Result<usize, StreamError> {
        if let Some(code) = self.reset {
            return Err(StreamError::Reset(code));
        }
        if self.stop.is_some() || self.fin_read {
            return Err(StreamError::Finished);
        }
        let base = self.ring.base();
        let len = out.len().min((self.readable_end() - base) as usize);
        if len == 0 {
            self.fin_read = !out.is_empty() && self.final_size == Some(base);
            return if self.fin_read { Ok(0) } else { Err(StreamError::Blocked) };
        }
        self.ring.read_at(base, &mut out[..len]);
        self.ring.advance(base + len as u64);
        self.grow_window(window_max);
        if self.final_size.is_none()
            && self.ring.base() + self.window - self.max_data >= self.window / 4
        {
            self.pending_max_data = true;
        }
        Ok(len)
    }

    /// A reader who took a whole window, and has left little of it unread, is not what the sender
    /// waits for: the window may be.
    fn grow_window(&mut self, window_max: u64) {
        let base = self.ring.base();
        let keeps_up = self.end - base < self.window / 4;
        if self.window < window_max && base >= self.grows_at && keeps_up {
            self.window = (self.window * 2).min(window_max);
            self.grows_at = base + self.window;
        }
    }

    /// The limit to announce now.
    pub(super) fn announce_max_data(&mut self) -> u64 {
        self.max_data = self.max_data.max(self.ring.base() + self.window);
        self.pending_max_data = false;
        self.max_data
    }

    /// The application wants no more. Returns the unread bytes dropped; `None` if it is over.
    pub(super) fn stop(&mut self, code: u64) -> Option<u64> {
        if self.stop.is_some() || self.is_terminal() {
            return None;
        }
        let dropped = self.unread();
        // A larger one could not be told, and would hold up those behind it.
        self.stop = Some(code.min(VARINT_MAX));
        self.pending_stop = self.final_size.is_none();
        self.pending_max_data = false;
        self.ring.shrink();
        Some(dropped)
    }

    pub(super) fn stop_code(&self) -> Option<u64> {
        self.stop
    }

    /// STOP_SENDING was lost.
    pub(super) fn on_stop_lost(&mut self) {
        self.pending_stop = self.final_size.is_none();
    }

    /// Nothing more can come or be read.
    pub(super) fn is_terminal(&self) -> bool {
        self.fin_read || self.reset.is_some() || (self.stop.is_some() && self.final_size.is_some())
    }

    /// Gives its memory back if nothing is unread.
    pub(super) fn shrink(&mut self) {
        if self.received.last().is_none_or(|last| last.end <= self.ring.base()) {
            self.ring.shrink();
        }
    }

    /// Gives memory back that what is unread does not need.
    pub(super) fn compact(&mut self) {
        if self.stop.is_none() && self.reset.is_none() {
            self.ring.compact(self.received.last().map_or(0, |r| r.end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rx: &mut RecvStream) -> Result<std::vec::Vec<u8>, StreamError> {
        let mut out = [0; 100];
        rx.read(&mut out, 0).map(|len| out[..len].to_vec())
    }

    #[test]
    fn the_window_grows_for_a_reader_that_keeps_up() {
        const MAX: u64 = FIRST_WINDOW * 3;
        let mut rx = RecvStream::new(MAX);
        let (mut at, mut out) = (0, std::vec![0; FIRST_WINDOW as usize]);
        let mut pass = |rx: &mut RecvStream, len: u64, leave: u64| {
            rx.on_data(at, &out[..len as usize], false, u64::MAX).unwrap();
            at += len;
            let read = rx.read(&mut out[..(len - leave) as usize], MAX).unwrap();
            assert_eq!(read as u64, len - leave);
            rx.announce_max_data() - rx.ring.base()
        };
        let quarter = FIRST_WINDOW / 4;
        for _ in 0..3 {
            assert_eq!(pass(&mut rx, quarter, 0), FIRST_WINDOW);
        }
        // A window has been read, but this reader is late.
        assert_eq!(pass(&mut rx, quarter * 2, quarter), FIRST_WINDOW);
        assert_eq!(pass(&mut rx, quarter, 0), FIRST_WINDOW);
        assert_eq!(rx.read(&mut std::vec![0; quarter as usize], MAX), Ok(quarter as usize));
        assert_eq!(rx.announce_max_data() - rx.ring.base(), FIRST_WINDOW * 2);
        for _ in 0..7 {
            assert_eq!(pass(&mut rx, quarter, 0), FIRST_WINDOW * 2);
        }
        assert_eq!(pass(&mut rx, quarter, 0), FIRST_WINDOW * 3);
        for _ in 0..20 {
            assert_eq!(pass(&mut rx, quarter, 0), FIRST_WINDOW * 3);
        }
    }

    #[test]
    fn reorders_and_ends() {
        let mut rx = RecvStream::new(100);
        assert_eq!(rx.on_data(3, b"def", true, 100), Ok(6));
        assert_eq!(read(&mut rx), Err(StreamError::Blocked));
        assert_eq!(rx.on_data(0, b"abcd", false, 100), Ok(0));
        assert_eq!(read(&mut rx), Ok(b"abcdef".to_vec()));
        assert!(rx.is_readable() && !rx.is_terminal(), "the end is still to be read");
        assert_eq!(rx.read(&mut [], 0), Err(StreamError::Blocked));
        assert_eq!(read(&mut rx), Ok(std::vec![]));
        assert!(!rx.is_readable() && rx.is_terminal());
        assert_eq!(read(&mut rx), Err(StreamError::Finished));
    }

    #[test]
    fn limits_at_and_over() {
        let code = |r: Result<u64, Violation>| r.map_err(|v| v.code);
        let mut rx = RecvStream::new(4);
        assert_eq!(code(rx.on_data(0, b"abcde", false, 9)), Err(TransportCode::FLOW_CONTROL));
        assert_eq!(code(rx.on_data(0, b"abcd", false, 3)), Err(TransportCode::FLOW_CONTROL));
        assert_eq!(code(rx.on_data(0, b"abcd", false, 4)), Ok(4));
        assert_eq!(read(&mut rx), Ok(b"abcd".to_vec()));
        assert!(rx.pending_max_data);
        assert_eq!(rx.announce_max_data(), 8);
        assert_eq!(code(rx.on_data(4, b"e", true, 4)), Ok(1));
        assert_eq!(code(rx.on_data(5, b"f", false, 4)), Err(TransportCode::FINAL_SIZE));
        assert_eq!(code(rx.on_reset(1, 4, 4)), Err(TransportCode::FINAL_SIZE));
        assert_eq!(code(rx.on_reset(1, 5, 4)), Ok(0));
        assert_eq!(read(&mut rx), Ok(b"e".to_vec()));
    }

    #[test]
    fn holes_are_limited_by_what_has_come() {
        let mut rx = RecvStream::new(10_000);
        let mut taken = 0;
        for i in 0..1_000u64 {
            let at = i * 2 + 1;
            if rx.is_too_scattered(at..at + 1) {
                break;
            }
            rx.on_data(at, b"x", false, 10_000).unwrap();
            taken += 1;
        }
        assert_eq!(taken, MIN_PIECES + 2 * taken / PIECE_LEN);
        // What closes a hole, or joins on, is welcome; so is a piece behind much data.
        assert!(!rx.is_too_scattered(0..1) && !rx.is_too_scattered(2..3));
        assert!(!rx.is_too_scattered(9_000..9_001));
    }

    #[test]
    fn stop_drops_what_comes() {
        let mut rx = RecvStream::new(10);
        rx.on_data(0, b"abc", false, 10).unwrap();
        assert_eq!(rx.stop(7), Some(3));
        assert!(rx.pending_stop);
        let mut other = RecvStream::new(10);
        assert_eq!((other.stop(u64::MAX), other.stop_code()), (Some(0), Some(VARINT_MAX)));
        assert_eq!(rx.on_data(3, b"def", false, 10), Ok(3));
        assert_eq!((rx.unread(), rx.memory()), (0, 0));
        assert!(!rx.is_terminal());
        assert_eq!(rx.on_reset(7, 8, 10), Ok(2));
        assert!(rx.is_terminal());
    }
}
