//! Storage: what is stored is there again, in a slot of the test's own.
//!
//! Owns the record that one run leaves for the next. The other slots are only read; the node's key,
//! if one of them holds it, is hashed and compared.

use super::World;
use super::entropy::REMEMBERED;
use super::finding::*;
use crate::error::Error;
use crate::io::{RIT_SLOT_IDENTITY, RIT_SLOT_MAX, RIT_SLOT_SELFTEST};
use zeroize::Zeroizing;

/// Lengths stored one after the other: longer, shorter, one byte, the longest.
const LENGTHS: [usize; 4] = [100, 17, 1, RIT_SLOT_MAX];
const MAGIC: &[u8; 16] = b"rit self-test 1\0";
const RECORD_LEN: usize = MAGIC.len() + 4 + 8 * REMEMBERED;

/// What a run leaves behind.
#[derive(Default)]
pub(super) struct Record {
    /// Runs before this one.
    pub(super) runs: u32,
    pub(super) hashes: [[u8; 8]; REMEMBERED],
}

impl Record {
    fn encode(&self) -> [u8; RECORD_LEN] {
        let mut out = [0; RECORD_LEN];
        let (magic, rest) = out.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        let (runs, rest) = rest.split_at_mut(4);
        runs.copy_from_slice(&self.runs.to_le_bytes());
        for (place, hash) in rest.chunks_exact_mut(8).zip(&self.hashes) {
            place.copy_from_slice(hash);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Record> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (runs, rest) = rest.split_first_chunk::<4>()?;
        let mut hashes = [[0; 8]; REMEMBERED];
        if rest.len() != size_of_val(&hashes) {
            return None;
        }
        for (hash, bytes) in hashes.iter_mut().zip(rest.chunks_exact(8)) {
            hash.copy_from_slice(bytes);
        }
        Some(Record { runs: u32::from_le_bytes(*runs), hashes })
    }
}

#[derive(Default)]
pub(super) struct Storage {
    next: usize,
    identity: [u8; 32],
}

impl Storage {
    /// One slot stored; true: that was all.
    pub(super) fn step(&mut self, world: &mut World) -> bool {
        if !world.io.has_storage() {
            world.findings.tell(RIT_SELFTEST_NOTE_STORAGE, 0, 0);
            return true;
        }
        if self.next == 0 && !self.begin(world) {
            return true;
        }
        let Some(len) = LENGTHS.get(self.next) else {
            self.end(world);
            return true;
        };
        self.next += 1;
        !round_trip(world, *len, self.next as u8)
    }

    /// What is there before anything is stored; false: loading does not work.
    fn begin(&mut self, world: &mut World) -> bool {
        let mut slot = [0; RIT_SLOT_MAX];
        let Some(len) = load(world, RIT_SLOT_SELFTEST, &mut slot) else { return false };
        match Record::decode(&slot[..len]) {
            Some(record) => world.record = record,
            None if len > 0 => {
                world.findings.tell(RIT_SELFTEST_STORAGE_NOT_EMPTY, len as i64, 0);
            }
            None if world.config.is_after_reset => {
                world.findings.tell(RIT_SELFTEST_STORAGE_FORGETS, 0, 0);
            }
            None => {}
        }
        let Some(hash) = identity_hash(world) else { return false };
        self.identity = hash;
        true
    }

    fn end(&self, world: &mut World) {
        if identity_hash(world).is_some_and(|hash| hash != self.identity) {
            world.findings.tell(RIT_SELFTEST_STORAGE_MIXED, 0, 0);
        }
    }
}

/// Leaves the record of this run.
pub(super) fn keep_record(world: &mut World) {
    if !world.io.has_storage() || world.findings.has_in(30..=39) {
        return;
    }
    if !world.config.is_after_reset {
        world.findings.tell(RIT_SELFTEST_NOTE_RESET, i64::from(world.record.runs), 0);
    }
    world.record.runs = world.record.runs.saturating_add(1);
    let bytes = world.record.encode();
    if let Err(Error::Storage(_, answer)) = world.io.store(RIT_SLOT_SELFTEST, &bytes) {
        world.findings.tell(RIT_SELFTEST_STORAGE_STORE, i64::from(answer), 0);
    }
}

fn load(world: &mut World, slot: u32, buf: &mut [u8; RIT_SLOT_MAX]) -> Option<usize> {
    match world.io.load(slot, buf) {
        Ok(len) => Some(len),
        Err(error) => {
            let answer = if let Error::Storage(_, answer) = error { answer } else { 0 };
            world.findings.tell(RIT_SELFTEST_STORAGE_LOAD, i64::from(answer), 0);
            None
        }
    }
}

fn identity_hash(world: &mut World) -> Option<[u8; 32]> {
    let mut slot = Zeroizing::new([0; RIT_SLOT_MAX]);
    let len = load(world, RIT_SLOT_IDENTITY, &mut slot)?;
    Some(world.provider.sha256(&[&len.to_le_bytes(), &slot[..len]]))
}

/// False: there is no sense in going on.
fn round_trip(world: &mut World, len: usize, salt: u8) -> bool {
    let pattern = core::array::from_fn::<u8, RIT_SLOT_MAX, _>(|i| (i as u8 ^ salt).rotate_left(3));
    if let Err(Error::Storage(_, answer)) = world.io.store(RIT_SLOT_SELFTEST, &pattern[..len]) {
        world.findings.tell(RIT_SELFTEST_STORAGE_STORE, i64::from(answer), 0);
        return false;
    }
    let mut slot = [0; RIT_SLOT_MAX];
    let Some(held) = load(world, RIT_SLOT_SELFTEST, &mut slot) else { return false };
    if held != len {
        world.findings.tell(RIT_SELFTEST_STORAGE_LENGTH, held as i64, len as i64);
        return false;
    }
    if let Some(at) = slot.iter().zip(&pattern[..len]).position(|(got, put)| got != put) {
        world.findings.tell(RIT_SELFTEST_STORAGE_DIFFERS, at as i64, len as i64);
        return false;
    }
    true
}
