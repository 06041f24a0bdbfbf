//! A byte ring addressed by absolute offset, that grows up to a limit.
//!
//! Bytes may be written out of order anywhere within `base .. base + limit`; who wrote what is
//! the caller's bookkeeping. Storage doubles with need, so idle streams cost nothing.

use alloc::boxed::Box;
use alloc::vec;

const MIN_CAPACITY: usize = 1024;

/// A window onto a byte stream.
#[derive(Default)]
pub struct ByteRing {
    storage: Box<[u8]>,
    /// Absolute offset of the first byte kept.
    base: u64,
}

impl ByteRing {
    /// An empty ring at offset 0 that owns no memory.
    pub fn new() -> Self {
        ByteRing::default()
    }

    /// Absolute offset of the first byte kept.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Bytes of memory owned.
    pub fn capacity(&self) -> usize {
        self.storage.len()
    }

    /// The memory that bytes up to `end` need beyond what there is; while they are copied the old
    /// is still there.
    pub fn growth(&self, end: u64) -> usize {
        let needed = usize::try_from(end.saturating_sub(self.base)).unwrap_or(usize::MAX);
        if needed <= self.storage.len() { 0 } else { capacity_for(needed) }
    }

    /// Writes `data` at an absolute offset, growing as needed. What lies below `base` is skipped.
    /// The caller checked its window: `offset + data.len() - base` is the memory this may take.
    /// `live` is the end of what must survive a growth.
    pub fn write_at(&mut self, offset: u64, data: &[u8], live: u64) {
        let skip = usize::try_from(self.base.saturating_sub(offset)).unwrap_or(usize::MAX);
        let Some(data) = data.get(skip..).filter(|data| !data.is_empty()) else { return };
        let start = offset.max(self.base);
        let needed = (start - self.base) as usize + data.len();
        if needed > self.storage.len() {
            self.grow(needed, live);
        }
        let (at, len) = (self.index(start), self.storage.len());
        let first = data.len().min(len - at);
        self.storage[at..at + first].copy_from_slice(&data[..first]);
        self.storage[..data.len() - first].copy_from_slice(&data[first..]);
    }

    /// Copies bytes from an absolute offset; the caller wrote them before.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) {
        debug_assert!(offset >= self.base);
        debug_assert!((offset - self.base) as usize + out.len() <= self.storage.len());
        if out.is_empty() {
            return;
        }
        let (at, len) = (self.index(offset), self.storage.len());
        let first = out.len().min(len - at);
        let rest = out.len() - first;
        out[..first].copy_from_slice(&self.storage[at..at + first]);
        out[first..].copy_from_slice(&self.storage[..rest]);
    }

    /// Forgets everything below `offset`.
    pub fn advance(&mut self, offset: u64) {
        self.base = self.base.max(offset);
    }

    /// Gives the memory back; nothing in it is needed.
    pub fn shrink(&mut self) {
        self.replace(Box::default());
    }

    /// Gives back memory that what lies below `live` does not need.
    pub fn compact(&mut self, live: u64) {
        let needed = live.saturating_sub(self.base) as usize;
        if needed == 0 {
            self.shrink();
        } else if self.storage.len() / 4 >= needed.max(MIN_CAPACITY) {
            self.grow(needed, live);
        }
    }

    /// What passed through is not left behind in memory given back.
    fn replace(&mut self, storage: Box<[u8]>) {
        self.storage.fill(0);
        // Keeps the compiler from leaving the fill out; `zeroize` goes byte by byte.
        core::hint::black_box(&mut self.storage);
        self.storage = storage;
    }

    fn index(&self, offset: u64) -> usize {
        // Capacities are powers of two.
        offset as usize & (self.storage.len() - 1)
    }

    fn grow(&mut self, needed: usize, live: u64) {
        let mut next =
            ByteRing { storage: vec![0; capacity_for(needed)].into_boxed_slice(), base: self.base };
        let live = (live.saturating_sub(self.base) as usize).min(self.storage.len());
        if live > 0 {
            let at = self.index(self.base);
            let first = live.min(self.storage.len() - at);
            next.write_at(self.base, &self.storage[at..at + first], 0);
            next.write_at(self.base + first as u64, &self.storage[..live - first], 0);
        }
        self.replace(core::mem::take(&mut next.storage));
    }
}

/// A power of two, so that no division is needed.
fn capacity_for(needed: usize) -> usize {
    needed.checked_next_power_of_two().unwrap_or(usize::MAX).max(MIN_CAPACITY)
}

impl Drop for ByteRing {
    fn drop(&mut self) {
        self.shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn out_of_order_writes_wrap_and_grow() {
        let byte = |i: u64| (i * 7 % 251) as u8;
        let chunk = |from: u64, len: u64| (from..from + len).map(byte).collect::<Vec<_>>();
        let mut ring = ByteRing::new();
        let mut end = 0;
        for step in 0..200u64 {
            let len = 37 + step * 5 % 1500;
            ring.write_at(end + 10, &chunk(end + 10, len - 10), end);
            ring.write_at(end, &chunk(end, 10), end + len);
            end += len;
            let have = (end - ring.base()) as usize;
            let mut out = std::vec![0; have * 3 / 4];
            ring.read_at(ring.base(), &mut out);
            assert_eq!(out, chunk(ring.base(), out.len() as u64));
            ring.advance(ring.base() + out.len() as u64);
        }
        assert!(ring.capacity() <= 8192);
    }

    #[test]
    fn a_nearly_empty_ring_becomes_small() {
        let mut ring = ByteRing::new();
        let data: Vec<u8> = (0..60_000u32).map(|i| i as u8).collect();
        ring.write_at(0, &data, 0);
        assert_eq!(ring.capacity(), 65_536);
        ring.advance(40_000);
        ring.compact(60_000);
        assert_eq!(ring.capacity(), 65_536, "a quarter is in use");
        ring.advance(59_990);
        ring.compact(60_000);
        assert_eq!(ring.capacity(), MIN_CAPACITY);
        let mut out = [0; 10];
        ring.read_at(59_990, &mut out);
        assert_eq!(out, data[59_990..]);
        ring.advance(60_000);
        ring.compact(60_000);
        assert_eq!((ring.capacity(), ring.base()), (0, 60_000));
    }

    #[test]
    fn bytes_below_the_base_are_skipped() {
        let mut ring = ByteRing::new();
        ring.advance(100);
        ring.write_at(98, b"abcd", 100);
        let mut out = [0; 2];
        ring.read_at(100, &mut out);
        assert_eq!(&out, b"cd");
        ring.write_at(0, b"old", 102);
        assert_eq!(ring.base(), 100);
    }

    #[test]
    fn nothing_can_be_written_where_there_is_no_memory() {
        let mut ring = ByteRing::new();
        ring.write_at(0, b"", 0);
        ring.write_at(7, b"", 0);
        ring.advance(9);
        ring.write_at(7, b"ab", 9);
        assert_eq!(ring.capacity(), 0);
    }
}
