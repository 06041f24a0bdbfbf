//! Entropy: what no source of randomness does.
//!
//! Draws as the node does, 32 bytes at a time. Passing says nothing about quality: only faults that
//! are as good as impossible by chance are told. A source that begins anew after each reset is
//! found by what the run before left in the storage.

use super::World;
use super::finding::*;
use crate::error::Error;
use alloc::vec::Vec;

const BLOCK: usize = 32;
/// Bytes after the buffer that nobody may touch.
const GUARD: usize = 16;
const BLOCKS: usize = 64;
/// Blocks drawn in one step: sources may be slow.
const BLOCKS_AT_ONCE: usize = 4;
/// Unit in which blocks are compared, as rit_node_new does.
const PIECE: usize = 16;
/// What is in the buffer before; several, so that a constant source is not taken for one that does
/// not write.
const OLD: [u8; 4] = [0x5a, 0xa5, 0x3c, 0xc3];
/// Blocks in which a byte keeps its old value, by chance one in 256, before it is taken as
/// untouched.
const UNTOUCHED_MAX: u8 = 24;
/// Chi squared of 2048 bytes in 256 classes: 255 on average, 23 the standard deviation.
const CHI_SQUARED_MAX: u32 = 520;
/// Blocks that are remembered for the next run.
pub(super) const REMEMBERED: usize = 4;

pub(super) struct Entropy {
    drawn: Vec<u8>,
    /// For each place in a block, in how many blocks it kept what was there before.
    untouched: [u8; BLOCK],
}

impl Entropy {
    pub(super) fn new() -> Result<Entropy, Error> {
        let mut drawn = Vec::new();
        drawn.try_reserve_exact(BLOCKS * BLOCK).map_err(|_| Error::Memory)?;
        Ok(Entropy { drawn, untouched: [0; BLOCK] })
    }

    /// Some blocks; true: that was all.
    pub(super) fn step(&mut self, world: &mut World) -> bool {
        for _ in 0..BLOCKS_AT_ONCE {
            if !self.draw(world) {
                return true;
            }
        }
        if self.drawn.len() < BLOCKS * BLOCK {
            return false;
        }
        match self.judge() {
            Some((code, value, wanted)) => world.findings.tell(code, value, wanted),
            None => self.compare_with_last_run(world),
        }
        true
    }

    /// False: there is no sense in going on.
    fn draw(&mut self, world: &mut World) -> bool {
        let call = self.drawn.len() / BLOCK;
        let old = OLD[call % OLD.len()];
        let mut room = [old; BLOCK + GUARD];
        let (block, guard) = room.split_at_mut(BLOCK);
        if !world.io.entropy(block) {
            world.findings.tell(RIT_SELFTEST_ENTROPY_FAILS, call as i64 + 1, 0);
            return false;
        }
        if guard.iter().any(|byte| *byte != old) {
            world.findings.tell(RIT_SELFTEST_ENTROPY_LONG, BLOCK as i64, 0);
            return false;
        }
        for (byte, untouched) in block.iter().zip(&mut self.untouched) {
            *untouched += u8::from(*byte == old);
        }
        self.drawn.extend_from_slice(block);
        true
    }

    fn judge(&self) -> Option<(u32, i64, i64)> {
        let pieces = || self.drawn.chunks_exact(PIECE);
        if let Some(at) = self.untouched.iter().position(|count| *count > UNTOUCHED_MAX) {
            return Some((RIT_SELFTEST_ENTROPY_SHORT, at as i64, 0));
        }
        let mut constant = pieces().filter(|piece| piece.iter().all(|byte| *byte == piece[0]));
        if let Some(piece) = constant.next() {
            return Some((RIT_SELFTEST_ENTROPY_CONSTANT, i64::from(piece[0]), 0));
        }
        for (i, piece) in pieces().enumerate() {
            if pieces().take(i).any(|earlier| earlier == piece) {
                let call = i * PIECE / BLOCK + 1;
                return Some((RIT_SELFTEST_ENTROPY_REPEATS, call as i64, 0));
            }
        }
        let chi_squared = self.chi_squared();
        (chi_squared > CHI_SQUARED_MAX).then_some((
            RIT_SELFTEST_ENTROPY_BIASED,
            i64::from(chi_squared),
            i64::from(CHI_SQUARED_MAX),
        ))
    }

    fn chi_squared(&self) -> u32 {
        let wanted = (self.drawn.len() / 256) as u32;
        let squares = (0..=u8::MAX).map(|value| {
            let count = self.drawn.iter().filter(|byte| **byte == value).count() as u32;
            count.abs_diff(wanted).pow(2)
        });
        squares.sum::<u32>() / wanted.max(1)
    }

    fn compare_with_last_run(&self, world: &mut World) {
        let hash = |block: &[u8]| -> [u8; 8] {
            let [a, b, c, d, e, f, g, h, ..] =
                world.provider.sha256(&[b"rit self-test: entropy", block]);
            [a, b, c, d, e, f, g, h]
        };
        let mut hashes = [[0; 8]; REMEMBERED];
        let mut is_repeated = false;
        for (i, block) in self.drawn.chunks_exact(BLOCK).enumerate() {
            let hash = hash(block);
            is_repeated |= world.record.hashes.contains(&hash);
            if let Some(place) = hashes.get_mut(i) {
                *place = hash;
            }
        }
        world.record.hashes = hashes;
        if is_repeated && world.record.runs > 0 {
            let runs = i64::from(world.record.runs);
            world.findings.tell(RIT_SELFTEST_ENTROPY_RESET, runs, 0);
        }
    }
}
