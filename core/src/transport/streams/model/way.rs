//! One direction of a stream, said as plainly as it can be: a flag for each byte.
//!
//! Owns what both ends must know of it. Panics when the implementation did what it must not.

use super::{FIRST_WRITE, SEND_BUFFER, STREAM_WINDOW};
use crate::base::Time;
use crate::transport::{StreamError, StreamId};
use std::vec::Vec;

/// Something that must arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Parcel {
    #[default]
    None,
    Pending,
    Sent,
    Acked,
}

impl Parcel {
    pub(super) fn on_lost(&mut self) {
        if *self == Parcel::Sent {
            *self = Parcel::Pending;
        }
    }
}

#[derive(Debug)]
pub(super) struct Way {
    // The sender's.
    pub(super) written: u64,
    pub(super) fin: Parcel,
    pub(super) reset: Option<u64>,
    pub(super) reset_parcel: Parcel,
    pub(super) stopped: Option<u64>,
    pub(super) is_expired: bool,
    pub(super) deadline: Option<Time>,
    /// The limit that has arrived.
    pub(super) limit: u64,
    /// The first byte never sent.
    pub(super) next: u64,
    lost: Vec<bool>,
    acked: Vec<bool>,
    // The receiver's.
    got: Vec<bool>,
    pub(super) end: u64,
    pub(super) read: u64,
    pub(super) final_size: Option<u64>,
    pub(super) rx_reset: Option<u64>,
    pub(super) rx_stop: Option<u64>,
    pub(super) stop_parcel: Parcel,
    pub(super) is_end_told: bool,
    /// The limit told.
    pub(super) announced: u64,
    pub(super) limit_parcel: Parcel,
}

fn byte(id: StreamId, sender: usize, offset: u64) -> u8 {
    (id.0 * 31 + offset * 7 + sender as u64 * 113 + offset / 251) as u8
}

/// What an end writes on a stream.
pub(super) fn bytes(id: StreamId, sender: usize, from: u64, to: u64) -> Vec<u8> {
    (from..to).map(|offset| byte(id, sender, offset)).collect()
}

fn prefix(flags: &[bool]) -> u64 {
    flags.iter().take_while(|flag| **flag).count() as u64
}

impl Way {
    pub(super) fn new() -> Way {
        Way {
            written: 0,
            fin: Parcel::None,
            reset: None,
            reset_parcel: Parcel::None,
            stopped: None,
            is_expired: false,
            deadline: None,
            limit: STREAM_WINDOW,
            next: 0,
            lost: Vec::new(),
            acked: Vec::new(),
            got: Vec::new(),
            end: 0,
            read: 0,
            final_size: None,
            rx_reset: None,
            rx_stop: None,
            stop_parcel: Parcel::None,
            is_end_told: false,
            announced: STREAM_WINDOW,
            limit_parcel: Parcel::None,
        }
    }

    // ---- the sender

    pub(super) fn buffered(&self) -> u64 {
        if self.reset.is_some() { 0 } else { self.written - prefix(&self.acked) }
    }

    pub(super) fn is_delivered(&self) -> bool {
        self.fin == Parcel::Acked && prefix(&self.acked) == self.written
    }

    pub(super) fn is_sent(&self) -> bool {
        self.reset_parcel == Parcel::Acked || self.is_delivered()
    }

    pub(super) fn check_open(&self) -> Result<(), StreamError> {
        match (self.is_expired, self.stopped, self.reset, self.fin) {
            (true, ..) => Err(StreamError::Expired),
            (_, Some(code), ..) => Err(StreamError::Stopped(code)),
            (_, _, None, Parcel::None) => Ok(()),
            _ => Err(StreamError::Finished),
        }
    }

    pub(super) fn write(&mut self, len: u64, total_room: u64) -> Result<usize, StreamError> {
        self.check_open()?;
        let total_room = total_room.max(FIRST_WRITE.saturating_sub(self.written));
        let taken = len.min(SEND_BUFFER - self.buffered()).min(total_room);
        if taken == 0 && len > 0 {
            return Err(StreamError::Blocked);
        }
        self.written += taken;
        self.lost.resize(self.written as usize, false);
        self.acked.resize(self.written as usize, false);
        Ok(taken as usize)
    }

    pub(super) fn finish(&mut self) -> Result<(), StreamError> {
        if self.reset.is_some() || self.fin != Parcel::None {
            return Err(StreamError::Finished);
        }
        self.fin = Parcel::Pending;
        Ok(())
    }

    pub(super) fn reset(&mut self, code: u64) -> bool {
        if self.reset.is_some() || self.is_sent() {
            return false;
        }
        self.reset = Some(code);
        self.reset_parcel = Parcel::Pending;
        true
    }

    /// True if the sender gave something up.
    pub(super) fn expire(&mut self, now: Time, code: u64) -> bool {
        if self.deadline.is_none_or(|at| at > now) {
            return false;
        }
        self.deadline = None;
        let is_settled = self.buffered() == 0 && matches!(self.fin, Parcel::None | Parcel::Acked);
        let is_expired = !is_settled && self.reset(code);
        self.is_expired |= is_expired;
        is_expired
    }

    pub(super) fn on_stop_sending(&mut self, code: u64) -> bool {
        if self.stopped.is_some() || self.is_sent() {
            return false;
        }
        self.stopped = Some(code);
        self.reset(code);
        true
    }

    fn has_lost(&self) -> bool {
        self.lost.contains(&true)
    }

    /// Whether a STREAM frame could be sent with so much of the connection's credit.
    pub(super) fn is_sendable(&self, credit: u64) -> bool {
        let is_fin_due = self.fin == Parcel::Pending && self.next == self.written;
        let has_fresh = self.next < self.written.min(self.limit) && credit > 0;
        self.reset.is_none() && (self.has_lost() || has_fresh || is_fin_due)
    }

    /// A STREAM frame is being sent: only what is lost or was never sent, and within the limits.
    /// Returns the credit it uses.
    pub(super) fn on_sent(&mut self, from: u64, to: u64, fin: bool, credit: u64) -> u64 {
        assert!(self.reset.is_none(), "data after a reset");
        assert!(to <= self.written, "bytes nobody wrote");
        let is_end = to == self.written && matches!(self.fin, Parcel::Pending | Parcel::Sent);
        assert_eq!(fin, is_end, "the end of the stream is where it is");
        assert!(from < to || self.fin == Parcel::Pending, "an empty frame for nothing");
        let range = from as usize..to as usize;
        let is_again = from < to && self.lost[range.clone()].iter().all(|lost| *lost);
        assert!(is_again || from == self.next, "neither lost nor fresh: {from}..{to}");
        assert!(is_again || from == to || !self.has_lost(), "what is lost goes first");
        self.lost[range].fill(false);
        let fresh = to.saturating_sub(self.next);
        assert!(to <= self.limit && fresh <= credit, "more than the peer allows");
        self.next = self.next.max(to);
        if fin {
            self.fin = Parcel::Sent;
        }
        fresh
    }

    pub(super) fn on_acked(&mut self, from: u64, to: u64, fin: bool) {
        if self.reset.is_some() {
            return;
        }
        if fin {
            self.fin = Parcel::Acked;
        }
        self.acked[from as usize..to as usize].fill(true);
        self.lost[from as usize..to as usize].fill(false);
    }

    pub(super) fn on_lost(&mut self, from: u64, to: u64, fin: bool) {
        if self.reset.is_some() {
            return;
        }
        if fin {
            self.fin.on_lost();
        }
        for i in from as usize..to as usize {
            self.lost[i] = !self.acked[i];
        }
    }

    // ---- the receiver

    fn readable_end(&self) -> u64 {
        prefix(&self.got)
    }

    fn is_refused(&self) -> bool {
        self.rx_stop.is_some() || self.rx_reset.is_some()
    }

    fn is_complete(&self) -> bool {
        self.final_size == Some(self.readable_end())
    }

    /// Nothing more can come or be read.
    pub(super) fn is_received(&self) -> bool {
        self.is_end_told
            || self.rx_reset.is_some()
            || (self.rx_stop.is_some() && self.final_size.is_some())
    }

    pub(super) fn is_readable(&self) -> bool {
        let has_bytes = self.readable_end() > self.read;
        !self.is_refused() && (has_bytes || (self.is_complete() && !self.is_end_told))
    }

    /// What of the connection's credit is free again.
    pub(super) fn consumed(&self) -> u64 {
        if self.is_refused() { self.end } else { self.read }
    }

    /// Returns the credit used.
    pub(super) fn on_data(&mut self, from: u64, to: u64, fin: bool) -> u64 {
        let used = to.saturating_sub(self.end);
        if fin {
            self.final_size = Some(to);
        }
        self.end = self.end.max(to);
        if !self.is_refused() {
            let len = self.got.len().max(to as usize);
            self.got.resize(len, false);
            self.got[from as usize..to as usize].fill(true);
        }
        used
    }

    /// Returns the credit used.
    pub(super) fn on_reset(&mut self, code: u64, size: u64) -> u64 {
        let was_complete = self.is_complete();
        let used = size - self.end;
        (self.final_size, self.end) = (Some(size), size);
        if self.rx_reset.is_none() && !was_complete {
            self.rx_reset = Some(code);
        }
        used
    }

    pub(super) fn read(&mut self, cap: u64) -> Result<usize, StreamError> {
        if let Some(code) = self.rx_reset {
            return Err(StreamError::Reset(code));
        }
        if self.rx_stop.is_some() || self.is_end_told {
            return Err(StreamError::Finished);
        }
        let len = cap.min(self.readable_end() - self.read);
        if len == 0 {
            self.is_end_told = cap > 0 && self.final_size == Some(self.read);
            return if self.is_end_told { Ok(0) } else { Err(StreamError::Blocked) };
        }
        self.read += len;
        if self.final_size.is_none()
            && self.read + STREAM_WINDOW - self.announced >= STREAM_WINDOW / 4
        {
            self.limit_parcel = Parcel::Pending;
        }
        Ok(len as usize)
    }

    pub(super) fn stop(&mut self, code: u64) {
        if self.rx_stop.is_some() || self.is_received() {
            return;
        }
        self.rx_stop = Some(code);
        if self.final_size.is_none() {
            self.stop_parcel = Parcel::Pending;
        }
        self.limit_parcel = Parcel::None;
    }

    /// Whether the sender must be told something.
    pub(super) fn owes_control(&self) -> bool {
        let owes = self.limit_parcel == Parcel::Pending || self.stop_parcel == Parcel::Pending;
        self.final_size.is_none() && owes
    }
}
