//! The sending side of a stream (RFC 9000 §3.1): what is buffered, in flight, lost, acknowledged.
//!
//! Owns its bytes until they are acknowledged. Does not own the connection's flow control credit.

use super::StreamError;
use crate::base::{ByteRing, RangeSet, Reserve};
use crate::wire::codec::VARINT_MAX;
use core::ops::Range;

/// Where the end of the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    Open,
    Pending,
    Sent,
    Acked,
}

/// Where a RESET_STREAM stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    None,
    Pending(u64),
    Sent(u64),
    Acked,
}

/// A piece to put into a STREAM frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) range: Range<u64>,
    pub(super) fin: bool,
    /// Bytes of it never sent before: they use up connection credit.
    pub(super) fresh: u64,
}

pub(super) struct SendStream {
    ring: ByteRing,
    /// Offset behind the last byte written by the application.
    end: u64,
    /// Offset of the first byte never sent.
    next: u64,
    acked: RangeSet,
    lost: RangeSet,
    /// The peer's limit.
    max_data: u64,
    /// The peer was told that its limit is in our way.
    is_blocked_told: bool,
    fin: Fin,
    reset: Reset,
    stopped: Option<u64>,
    /// It was reset because its deadline passed.
    is_expired: bool,
    /// The application was told to wait.
    pub(super) wants_room: bool,
}

impl SendStream {
    pub(super) fn new(max_data: u64) -> Self {
        SendStream {
            ring: ByteRing::new(),
            end: 0,
            next: 0,
            acked: RangeSet::new(),
            lost: RangeSet::new(),
            max_data,
            is_blocked_told: false,
            fin: Fin::Open,
            reset: Reset::None,
            stopped: None,
            is_expired: false,
            wants_room: false,
        }
    }

    /// Bytes ever written.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes written and not acknowledged.
    pub(super) fn buffered(&self) -> u64 {
        if self.reset == Reset::None { self.end - self.ring.base() } else { 0 }
    }

    /// Bytes that are to be sent, for the first time or again.
    #[cfg(feature = "media")]
    pub(super) fn unsent(&self) -> u64 {
        if self.reset != Reset::None {
            return 0;
        }
        let lost = self.lost.iter().map(|range| range.end - range.start);
        self.end - self.next + lost.sum::<u64>()
    }

    pub(super) fn memory(&self) -> usize {
        self.ring.capacity()
    }

    /// Whether `write` would be taken, room aside.
    pub(super) fn check_open(&self) -> Result<(), StreamError> {
        if self.is_expired {
            return Err(StreamError::Expired);
        }
        match (self.stopped, self.reset, self.fin) {
            (Some(code), _, _) => Err(StreamError::Stopped(code)),
            (None, Reset::None, Fin::Open) => Ok(()),
            _ => Err(StreamError::Finished),
        }
    }

    /// How many of `wanted` bytes there is memory for.
    pub(super) fn room(&self, wanted: u64, reserve: Reserve) -> u64 {
        if reserve.allows(self.ring.growth(self.end + wanted)) {
            return wanted;
        }
        let left = (self.ring.capacity() as u64).saturating_sub(self.end - self.ring.base());
        left.min(wanted)
    }

    /// Takes as much of `data` as `room` bytes allow.
    pub(super) fn write(&mut self, data: &[u8], room: u64) -> usize {
        let len = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.ring.write_at(self.end, &data[..len], self.end);
        self.end += len as u64;
        len
    }

    pub(super) fn finish(&mut self) -> Result<(), StreamError> {
        if self.reset != Reset::None || self.fin != Fin::Open {
            return Err(StreamError::Finished);
        }
        self.fin = Fin::Pending;
        Ok(())
    }

    /// Gives the stream up. False if there is nothing left to give up.
    pub(super) fn reset(&mut self, code: u64) -> bool {
        if self.reset != Reset::None || self.is_terminal() {
            return false;
        }
        // A larger one could not be told, and would hold up those behind it.
        self.reset = Reset::Pending(code.min(VARINT_MAX));
        self.lost.clear();
        self.ring.shrink();
        true
    }

    /// The peer asked to stop; the stream is reset with its code (RFC 9000 §3.5).
    pub(super) fn on_stop_sending(&mut self, code: u64) -> bool {
        if self.stopped.is_some() || self.is_terminal() {
            return false;
        }
        self.stopped = Some(code);
        self.reset(code);
        true
    }

    /// The deadline is over: what is not acknowledged is given up. False if there is nothing.
    pub(super) fn expire(&mut self, code: u64) -> bool {
        let is_settled = self.buffered() == 0 && matches!(self.fin, Fin::Open | Fin::Acked);
        let is_given_up = !is_settled && self.reset(code);
        self.is_expired |= is_given_up;
        is_given_up
    }

    pub(super) fn is_expired(&self) -> bool {
        self.is_expired
    }

    pub(super) fn stopped(&self) -> Option<u64> {
        self.stopped
    }

    /// Everything, and the end or the reset, is acknowledged.
    pub(super) fn is_terminal(&self) -> bool {
        self.reset == Reset::Acked || self.is_delivered()
    }

    pub(super) fn is_delivered(&self) -> bool {
        self.fin == Fin::Acked && self.ring.base() == self.end
    }

    /// RESET_STREAM to send: code and final size.
    pub(super) fn pending_reset(&self) -> Option<(u64, u64)> {
        match self.reset {
            Reset::Pending(code) => Some((code, self.next)),
            _ => None,
        }
    }

    pub(super) fn on_reset_sent(&mut self) {
        if let Reset::Pending(code) = self.reset {
            self.reset = Reset::Sent(code);
        }
    }

    pub(super) fn on_reset_lost(&mut self) {
        if let Reset::Sent(code) = self.reset {
            self.reset = Reset::Pending(code);
        }
    }

    pub(super) fn on_reset_acked(&mut self) {
        self.reset = Reset::Acked;
    }

    pub(super) fn on_max_data(&mut self, max: u64) -> bool {
        let grew = max > self.max_data;
        self.is_blocked_told &= !grew;
        self.max_data = self.max_data.max(max);
        grew
    }

    /// The stream's limit, if it is what holds new data back. Each is told once: it is a hint,
    /// whose loss does no harm (RFC 9000 §4.1).
    pub(super) fn take_blocked(&mut self) -> Option<u64> {
        let is_blocked =
            self.reset == Reset::None && self.next == self.max_data && self.end > self.next;
        (is_blocked && !core::mem::replace(&mut self.is_blocked_told, true))
            .then_some(self.max_data)
    }

    /// Whether data could go out if the connection had credit.
    pub(super) fn has_pending(&self) -> bool {
        self.reset == Reset::None
            && (!self.lost.is_empty()
                || self.next < self.end.min(self.max_data)
                || (self.fin == Fin::Pending && self.next == self.end))
    }

    /// Whether something could go out without connection credit.
    pub(super) fn has_pending_without_credit(&self) -> bool {
        self.reset == Reset::None
            && (!self.lost.is_empty() || (self.fin == Fin::Pending && self.next == self.end))
    }

    /// Offset of the next chunk, for the caller to size the frame's header.
    pub(super) fn next_offset(&self) -> u64 {
        self.lost.first().map_or(self.next, |r| r.start)
    }

    /// The next piece of at most `max` bytes, `credit` of them fresh. Lost bytes go first.
    pub(super) fn take(&mut self, max: usize, credit: u64) -> Option<Chunk> {
        if self.reset != Reset::None {
            return None;
        }
        let max = max as u64;
        let (range, fresh) = match self.lost.first() {
            Some(lost) => (lost.start..lost.end.min(lost.start + max), 0),
            None => {
                let limit = self.end.min(self.max_data).min(self.next.saturating_add(credit));
                let range = self.next..limit.min(self.next + max).max(self.next);
                let fresh = range.end - range.start;
                (range, fresh)
            }
        };
        let fin = range.end == self.end && matches!(self.fin, Fin::Pending | Fin::Sent);
        if range.is_empty() && !(fin && self.fin == Fin::Pending) {
            return None;
        }
        self.lost.remove(range.clone());
        self.next = self.next.max(range.end);
        if fin {
            self.fin = Fin::Sent;
        }
        Some(Chunk { range, fin, fresh })
    }

    /// Copies a chunk's bytes.
    pub(super) fn copy(&self, range: &Range<u64>, out: &mut [u8]) {
        self.ring.read_at(range.start, out);
    }

    pub(super) fn on_acked(&mut self, range: Range<u64>, fin: bool) {
        if self.reset != Reset::None {
            return;
        }
        if fin {
            self.fin = Fin::Acked;
        }
        self.lost.remove(range.clone());
        self.acked.insert(range);
        if let Some(first) = self.acked.first().filter(|first| first.start <= self.ring.base()) {
            self.ring.advance(first.end);
            self.acked.remove_below(first.end);
        }
        if self.is_delivered() {
            self.ring.shrink();
        }
    }

    pub(super) fn on_lost(&mut self, range: Range<u64>, fin: bool) {
        if self.reset != Reset::None {
            return;
        }
        if fin && self.fin == Fin::Sent {
            self.fin = Fin::Pending;
        }
        let base = self.ring.base();
        let range = range.start.max(base)..range.end.max(base);
        let lost = &mut self.lost;
        self.acked.gaps(range).for_each(|gap| {
            lost.insert(gap);
        });
    }

    /// Gives its memory back if nothing is buffered.
    pub(super) fn shrink(&mut self) {
        if self.buffered() == 0 {
            self.ring.shrink();
        }
    }

    /// Gives memory back that what is buffered does not need.
    pub(super) fn compact(&mut self) {
        self.ring.compact(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_loss_and_fin() {
        let mut tx = SendStream::new(8);
        assert_eq!(tx.write(b"0123456789", 100), 10);
        assert_eq!(tx.take(5, 100), Some(Chunk { range: 0..5, fin: false, fresh: 5 }));
        assert_eq!(tx.take(5, 1), Some(Chunk { range: 5..6, fin: false, fresh: 1 }));
        assert_eq!(tx.take(5, 100), Some(Chunk { range: 6..8, fin: false, fresh: 2 }));
        assert_eq!((tx.take(5, 100), tx.take_blocked()), (None, Some(8)));
        assert_eq!(tx.take_blocked(), None, "told already");
        assert!(tx.on_max_data(9));
        assert_eq!((tx.take_blocked(), tx.take(5, 100).map(|c| c.range)), (None, Some(8..9)));
        assert_eq!((tx.take_blocked(), tx.take_blocked()), (Some(9), None));
        tx.finish().unwrap();
        assert!(tx.on_max_data(20));
        assert_eq!(tx.take(5, 100), Some(Chunk { range: 9..10, fin: true, fresh: 1 }));
        tx.on_acked(3..6, false);
        tx.on_lost(0..5, false);
        tx.on_lost(8..10, true);
        assert_eq!(tx.take(100, 0), Some(Chunk { range: 0..3, fin: false, fresh: 0 }));
        assert_eq!(tx.take(100, 0), Some(Chunk { range: 8..10, fin: true, fresh: 0 }));
        let mut out = [0; 2];
        tx.copy(&(8..10), &mut out);
        assert_eq!(&out, b"89");
        tx.on_acked(0..3, false);
        tx.on_acked(6..10, true);
        assert!(tx.is_terminal());
        assert_eq!((tx.buffered(), tx.memory()), (0, 0));
    }

    #[test]
    fn an_empty_stream_ends_with_a_bare_fin() {
        let mut tx = SendStream::new(0);
        tx.finish().unwrap();
        assert!(tx.has_pending());
        assert_eq!(tx.take(10, 0), Some(Chunk { range: 0..0, fin: true, fresh: 0 }));
        assert_eq!(tx.take(10, 0), None);
        tx.on_lost(0..0, true);
        assert!(tx.take(10, 0).is_some());
        tx.on_acked(0..0, true);
        assert!(tx.is_terminal());
        assert_eq!(tx.finish(), Err(StreamError::Finished));
    }

    #[test]
    fn a_deadline_gives_up_what_is_not_acknowledged_and_no_more() {
        let mut tx = SendStream::new(100);
        assert!(!tx.expire(7));
        tx.write(b"abc", 10);
        tx.take(3, 10);
        tx.on_acked(0..3, false);
        assert!(!tx.expire(7), "all is there");
        assert_eq!(tx.check_open(), Ok(()));
        tx.finish().unwrap();
        tx.take(3, 10);
        assert!(tx.expire(7), "its end is not");
        assert_eq!(
            (tx.check_open(), tx.pending_reset()),
            (Err(StreamError::Expired), Some((7, 3)))
        );
        let mut tx = SendStream::new(100);
        tx.finish().unwrap();
        tx.take(3, 10);
        tx.on_acked(0..0, true);
        assert!(!tx.expire(7) && tx.is_terminal());
    }

    #[test]
    fn reset_gives_up_the_rest() {
        let mut tx = SendStream::new(100);
        tx.write(b"abc", 10);
        tx.take(2, 10);
        assert!(tx.on_stop_sending(7));
        assert_eq!(tx.check_open(), Err(StreamError::Stopped(7)));
        assert_eq!((tx.pending_reset(), tx.take(2, 10)), (Some((7, 2)), None));
        let mut other = SendStream::new(100);
        assert!(other.reset(u64::MAX));
        assert_eq!(other.pending_reset(), Some((VARINT_MAX, 0)));
        tx.on_reset_sent();
        tx.on_acked(0..2, false);
        assert_eq!(tx.pending_reset(), None);
        tx.on_reset_lost();
        assert_eq!(tx.pending_reset(), Some((7, 2)));
        tx.on_reset_acked();
        assert!(tx.is_terminal());
    }
}
