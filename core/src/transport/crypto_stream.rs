//! The CRYPTO stream of each direction (RFC 9000 §7.5): the handshake's bytes, in order.
//!
//! A handshake is a few hundred bytes; what is sent is kept until it is over.

use super::error::{TransportCode, Violation};
use crate::base::RangeSet;
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes of a peer's handshake accepted in all.
pub(super) const MAX_CRYPTO: usize = 16 * 1024;
/// Separate pieces held of them; a handshake of a few packets never has as many.
const MAX_PIECES: usize = 64;

/// Our direction.
#[derive(Default)]
pub(super) struct CryptoSender {
    data: Vec<u8>,
    to_send: RangeSet,
}

impl CryptoSender {
    pub(super) fn write(&mut self, data: &[u8]) {
        let start = self.data.len() as u64;
        self.data.extend_from_slice(data);
        self.to_send.insert(start..self.data.len() as u64);
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.to_send.is_empty()
    }

    /// Offset of the next bytes to send.
    pub(super) fn next_offset(&self) -> u64 {
        self.to_send.first().map_or(0, |r| r.start)
    }

    /// Takes up to `max` bytes to send, with their place.
    pub(super) fn take(&mut self, max: usize) -> Option<(Range<u64>, &[u8])> {
        let first = self.to_send.first()?;
        let range = first.start..first.end.min(first.start + max as u64);
        if range.is_empty() {
            return None;
        }
        self.to_send.remove(range.clone());
        let data = self.data.get(range.start as usize..range.end as usize)?;
        Some((range, data))
    }

    pub(super) fn on_lost(&mut self, range: Range<u64>) {
        self.to_send.insert(range);
    }
}

/// The peer's direction: reassembly within 16 KiB.
#[derive(Default)]
pub struct CryptoReceiver {
    /// From `read` on.
    data: Vec<u8>,
    received: RangeSet,
    read: u64,
}

impl CryptoReceiver {
    /// Takes a CRYPTO frame. CRYPTO_BUFFER_EXCEEDED if it lies beyond what is accepted.
    pub(super) fn insert(&mut self, offset: u64, data: &[u8]) -> Result<(), Violation> {
        let end = offset.saturating_add(data.len() as u64);
        if end > MAX_CRYPTO as u64 {
            return Err(Violation::new(TransportCode::CRYPTO_BUFFER, "handshake too long"));
        }
        let len = end.saturating_sub(self.read) as usize;
        if self.data.len() < len {
            self.data.reserve_exact(len - self.data.len());
            self.data.resize(len, 0);
        }
        // What was received first counts: a later copy cannot change it.
        let gaps: Vec<_> = self.received.gaps(offset..end).collect();
        for gap in gaps {
            let at = |start: u64| (gap.start - start) as usize..(gap.end - start) as usize;
            // All below `read` was received.
            self.data[at(self.read)].copy_from_slice(&data[at(offset)]);
            self.received.insert(gap);
        }
        if self.received.range_count() > MAX_PIECES {
            return Err(Violation::new(TransportCode::CRYPTO_BUFFER, "handshake in pieces"));
        }
        Ok(())
    }

    /// Takes a CRYPTO frame's bytes: false if it lies beyond the limit.
    pub fn on_frame(&mut self, offset: u64, data: &[u8]) -> bool {
        self.insert(offset, data).is_ok()
    }

    /// Takes the next bytes in order, if any came.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let end = self.received.first().filter(|r| r.start == 0)?.end;
        if end <= self.read {
            return None;
        }
        let rest = self.data.split_off((end - self.read) as usize);
        self.read = end;
        Some(core::mem::replace(&mut self.data, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reassembles_and_keeps_the_first_copy() {
        let mut rx = CryptoReceiver::default();
        rx.insert(3, b"def").unwrap();
        assert_eq!(rx.read(), None);
        rx.insert(0, b"abcXYZg").unwrap();
        assert_eq!(rx.read(), Some(b"abcdefg".to_vec()));
        assert_eq!(rx.read(), None);
        rx.insert(5, b"XYhi").unwrap();
        rx.insert(0, b"XY").unwrap();
        rx.insert(11, b"l").unwrap();
        assert_eq!(rx.read(), Some(b"hi".to_vec()));
        rx.insert(9, b"jk").unwrap();
        assert_eq!((rx.read(), rx.read()), (Some(b"jkl".to_vec()), None));
        assert!(rx.insert(MAX_CRYPTO as u64 - 1, b"x").is_ok());
        assert!(rx.insert(MAX_CRYPTO as u64, b"x").is_err());
        assert!(rx.insert(u64::MAX, b"x").is_err());
    }

    #[test]
    fn pieces_are_limited() {
        let mut rx = CryptoReceiver::default();
        for i in 1..=MAX_PIECES as u64 {
            assert!(rx.insert(i * 2, b"x").is_ok());
        }
        assert!(rx.insert(3, b"x").is_ok(), "one fewer");
        assert!(rx.insert(1_000, b"x").is_ok());
        assert!(rx.insert(2_000, b"x").is_err());
    }

    #[test]
    fn lost_bytes_are_sent_again() {
        let mut tx = CryptoSender::default();
        tx.write(b"hello world");
        assert_eq!(tx.take(5), Some((0..5, &b"hello"[..])));
        assert_eq!(tx.take(100), Some((5..11, &b" world"[..])));
        assert_eq!(tx.take(100), None);
        tx.on_lost(2..4);
        assert_eq!((tx.next_offset(), tx.take(100)), (2, Some((2..4, &b"ll"[..]))));
    }
}
