//! Sockets: datagrams come back as they went out, each by itself, from where they were sent to.
//!
//! Sends to the echo address: the device's own, or an echo service (RFC 862). One length after the
//! other, then several at once. Bytes follow from a seed, so nothing needs to be kept. A datagram
//! that never comes may be lost, so each gets three tries of a second.

use super::World;
use super::finding::*;
use crate::error::Error;
use alloc::vec::Vec;
use rit_core::base::{Ecn, Path};
use rit_core::wire::relay::DATA_OVERHEAD;

const TRIES: u32 = 3;
const WAIT_US: u64 = 1_000_000;
/// How much longer than the longest a datagram may come in and still be looked at.
const SLACK: usize = 64;
const RECEIVED_AT_ONCE: usize = 16;
const BURST: usize = 8;
const BURST_LEN: usize = 500;
const BATCH: usize = 5;
const BATCH_LAST_LEN: usize = 100;
/// What the buffer is overwritten with once it was sent.
const SCRIBBLE: u8 = 0xdd;
/// Shorter datagrams may be somebody else's.
const ALTERED_LEN_MIN: usize = 16;
/// The least a node is configured for, on any path of the Internet (RFC 791: 576, less headers).
const SMALL_LEN: usize = 548;
const SIZES: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Size(usize),
    Burst,
    Batch,
}

pub(super) struct Sockets {
    buf: Vec<u8>,
    echo: Path,
    sizes: [usize; SIZES],
    phase: Phase,
    seed: u32,
    tries: u32,
    sent_us: u64,
    /// By size: how often it was sent, and came.
    sent: [u32; SIZES],
    came: [u32; SIZES],
    /// Datagrams of the burst or batch that came, a bit each.
    several: u32,
    refused: i32,
    first_missing: Option<usize>,
}

/// Byte `at` of the datagram `index`.
fn byte(seed: u32, index: usize, at: usize) -> u8 {
    let mixed = seed ^ (index as u32).wrapping_mul(0x9e37_79b1) ^ (at as u32);
    (mixed.wrapping_mul(0x85eb_ca6b) >> 23) as u8
}

/// Where `bytes` stop being the first bytes of a datagram.
fn first_difference(bytes: &[u8], seed: u32, index: usize) -> Option<usize> {
    bytes.iter().enumerate().position(|(at, got)| *got != byte(seed, index, at))
}

impl Sockets {
    pub(super) fn new(echo: Path, max_datagram: usize) -> Result<Sockets, Error> {
        let longest = max_datagram + DATA_OVERHEAD;
        let mut buf = Vec::new();
        let room = longest.max(BATCH * BURST_LEN) + SLACK;
        buf.try_reserve_exact(room).map_err(|_| Error::Memory)?;
        buf.resize(room, 0);
        Ok(Sockets {
            buf,
            echo,
            sizes: [1, SMALL_LEN.min(max_datagram), max_datagram, longest],
            phase: Phase::Size(0),
            seed: 0,
            tries: 0,
            sent_us: 0,
            sent: [0; SIZES],
            came: [0; SIZES],
            several: 0,
            refused: 0,
            first_missing: None,
        })
    }

    /// True: that was all.
    pub(super) fn step(&mut self, world: &mut World) -> bool {
        if self.seed == 0 {
            // Another one for each run: what is late of the run before is not taken for this one's.
            self.seed = (world.now_us() as u32) | 1;
        }
        self.poll(world);
        if self.is_complete() {
            return self.advance(world);
        }
        let now_us = world.now_us();
        if self.tries > 0 && now_us - self.sent_us < WAIT_US {
            return false;
        }
        if self.tries == TRIES || (self.tries == 1 && self.phase == Phase::Burst) {
            self.give_up(world);
            return self.advance(world);
        }
        self.tries += 1;
        self.sent_us = now_us;
        self.send(world);
        false
    }

    fn poll(&mut self, world: &mut World) {
        let mut buf = core::mem::take(&mut self.buf);
        for _ in 0..RECEIVED_AT_ONCE {
            if !world.io.has_recv() {
                break;
            }
            match world.io.recv(&mut buf) {
                Ok(Some((from, _, len))) => self.on_datagram(world, &from, &buf[..len]),
                Ok(None) => break,
                Err(Error::Argument("rit_path")) => {
                    let code = Error::Argument("rit_path").code();
                    world.findings.tell(RIT_SELFTEST_SOCKET_PATH, i64::from(code), 0);
                }
                Err(_) => world.findings.tell(RIT_SELFTEST_SOCKET_RECV, 0, 0),
            }
        }
        self.buf = buf;
    }

    /// The next phase; true: there is none.
    fn advance(&mut self, world: &mut World) -> bool {
        self.tries = 0;
        self.several = 0;
        self.refused = 0;
        self.phase = match self.phase {
            // Nothing so far, and nothing is to be expected.
            Phase::Size(i) if i > 0 && self.came == [0; SIZES] => {
                self.judge(world);
                return true;
            }
            Phase::Size(i) if i + 1 < SIZES => Phase::Size(i + 1),
            Phase::Size(_) => {
                self.judge(world);
                if is_explained(world) {
                    return true;
                }
                Phase::Burst
            }
            Phase::Burst if world.io.batch_max() > 1 && !is_explained(world) => Phase::Batch,
            Phase::Burst | Phase::Batch => return true,
        };
        false
    }

    fn judge(&self, world: &mut World) {
        if is_explained(world) {
            return;
        }
        if self.came == [0; SIZES] {
            let sent = self.sent.iter().sum::<u32>();
            world.findings.tell(RIT_SELFTEST_SOCKET_SILENT, i64::from(sent), 0);
        } else if let Some(len) = self.first_missing {
            world.findings.tell(RIT_SELFTEST_SOCKET_SIZE, len as i64, 0);
        }
    }

    // ---- out

    fn send(&mut self, world: &mut World) {
        match self.phase {
            Phase::Size(i) => {
                self.sent[i] += 1;
                self.send_one(world, i, self.sizes[i]);
            }
            Phase::Burst => {
                for i in 0..BURST {
                    self.send_one(world, SIZES + i, BURST_LEN);
                }
            }
            Phase::Batch => self.send_batch(world),
        }
    }

    fn fill(&mut self, index: usize, from: usize, len: usize) {
        let seed = self.seed;
        for (at, place) in self.buf[from..from + len].iter_mut().enumerate() {
            *place = byte(seed, index, at);
        }
    }

    fn send_one(&mut self, world: &mut World, index: usize, len: usize) {
        self.fill(index, 0, len);
        let answer = world.io.send(&self.echo, Ecn::NotEct, &self.buf[..len]);
        self.on_answer(world, answer, len);
    }

    fn send_batch(&mut self, world: &mut World) {
        for i in 0..BATCH {
            self.fill(SIZES + BURST + i, i * BURST_LEN, BURST_LEN);
        }
        let len = (BATCH - 1) * BURST_LEN + BATCH_LAST_LEN;
        let answer = world.io.send_all(&self.echo, Ecn::NotEct, &self.buf[..len], BURST_LEN);
        self.on_answer(world, answer, len);
    }

    fn on_answer(&mut self, world: &mut World, answer: i32, len: usize) {
        self.buf.fill(SCRIBBLE);
        if usize::try_from(answer) == Ok(len) {
            world.findings.tell(RIT_SELFTEST_SOCKET_SEND_LENGTH, i64::from(answer), 0);
        } else {
            self.refused = answer;
        }
    }

    // ---- in

    pub(super) fn on_datagram(&mut self, world: &mut World, from: &Path, datagram: &[u8]) {
        if self.is_ours(world, datagram) {
            self.check_sender(world, from);
        }
    }

    /// Whether it is a datagram that was sent, whatever became of it.
    fn is_ours(&mut self, world: &mut World, datagram: &[u8]) -> bool {
        let len = datagram.len();
        for i in 0..SIZES {
            if self.sent[i] > 0
                && len == self.sizes[i]
                && first_difference(datagram, self.seed, i).is_none()
            {
                self.came[i] += 1;
                if self.came[i] > self.sent[i] {
                    world.findings.tell(RIT_SELFTEST_SOCKET_TWICE, len as i64, 0);
                }
                return true;
            }
        }
        match self.phase {
            Phase::Size(i) => self.is_ours_but_wrong(world, i, datagram),
            Phase::Burst => self.is_one_of(SIZES, BURST, BURST_LEN, datagram),
            Phase::Batch => {
                self.is_one_of(SIZES + BURST, BATCH - 1, BURST_LEN, datagram)
                    || self.is_one_of(SIZES + BURST + BATCH - 1, 1, BATCH_LAST_LEN, datagram)
            }
        }
    }

    fn is_one_of(&mut self, first: usize, count: usize, len: usize, datagram: &[u8]) -> bool {
        let found = (first..first + count).find(|index| {
            datagram.len() == len && first_difference(datagram, self.seed, *index).is_none()
        });
        let Some(index) = found else { return false };
        self.several |= 1 << (index - SIZES);
        true
    }

    fn is_ours_but_wrong(&mut self, world: &mut World, i: usize, datagram: &[u8]) -> bool {
        let (len, wanted) = (datagram.len(), self.sizes[i]);
        let starts = |bytes: &[u8]| first_difference(bytes, self.seed, i).is_none();
        let (code, value) = if self.sent[i] == 0 || wanted < ALTERED_LEN_MIN {
            return false;
        } else if len >= ALTERED_LEN_MIN && len < wanted && starts(datagram) {
            (RIT_SELFTEST_SOCKET_CUT, len)
        } else if len > wanted && (starts(&datagram[..wanted]) || starts(&datagram[len - wanted..]))
        {
            (RIT_SELFTEST_SOCKET_LONG, len)
        } else if len == wanted && datagram.iter().all(|byte| *byte == SCRIBBLE) {
            (RIT_SELFTEST_SOCKET_KEPT, len)
        } else if len == wanted {
            let at = first_difference(datagram, self.seed, i).unwrap_or(0);
            (RIT_SELFTEST_SOCKET_ALTERED, at)
        } else {
            return false;
        };
        world.findings.tell(code, value as i64, wanted as i64);
        self.came[i] += 1;
        true
    }

    fn check_sender(&self, world: &mut World, from: &Path) {
        let echo = &self.echo;
        let (port, wanted) = (from.port, echo.port);
        if port != wanted {
            let is_swapped = port == wanted.swap_bytes();
            let code =
                if is_swapped { RIT_SELFTEST_SOCKET_PORT_ORDER } else { RIT_SELFTEST_SOCKET_FROM };
            world.findings.tell(code, i64::from(port), i64::from(wanted));
        }
        if from.ip != echo.ip {
            let last =
                |ip: &[u8; 16]| i64::from(u32::from_be_bytes([ip[12], ip[13], ip[14], ip[15]]));
            if is_swapped(&from.ip, &echo.ip) {
                let (got, wanted) = (last(&from.ip), last(&echo.ip));
                world.findings.tell(RIT_SELFTEST_SOCKET_IP_ORDER, got, wanted);
            } else if let Some(at) = misformed_at(&from.ip, &echo.ip) {
                world.findings.tell(RIT_SELFTEST_SOCKET_IP_FORM, at as i64, 0);
            } else {
                let (got, wanted) = (i64::from(port), i64::from(wanted));
                world.findings.tell(RIT_SELFTEST_SOCKET_FROM, got, wanted);
            }
        }
        let is_link_local = echo.ip[0] == 0xfe && echo.ip[1] & 0xc0 == 0x80;
        if from.ifindex != echo.ifindex && !is_link_local {
            let (got, wanted) = (i64::from(from.ifindex), i64::from(echo.ifindex));
            world.findings.tell(RIT_SELFTEST_SOCKET_INTERFACE, got, wanted);
        }
        if from.socket != 0 {
            world.findings.tell(RIT_SELFTEST_SOCKET_NUMBER, i64::from(from.socket), 0);
        }
    }

    fn is_complete(&self) -> bool {
        match self.phase {
            Phase::Size(i) => self.came[i] > 0,
            Phase::Burst => self.several == (1 << BURST) - 1,
            Phase::Batch => self.several == ((1 << BATCH) - 1) << BURST,
        }
    }

    fn give_up(&mut self, world: &mut World) {
        match self.phase {
            Phase::Size(i) if self.refused != 0 => {
                let (answer, len) = (i64::from(self.refused), self.sizes[i] as i64);
                world.findings.tell(RIT_SELFTEST_SOCKET_SEND, answer, len);
            }
            Phase::Size(i) => {
                self.first_missing.get_or_insert(self.sizes[i]);
            }
            Phase::Burst => {
                let came = i64::from(self.several.count_ones());
                world.findings.tell(RIT_SELFTEST_NOTE_BURST, came, BURST as i64);
            }
            Phase::Batch => {
                let came = i64::from(self.several.count_ones());
                world.findings.tell(RIT_SELFTEST_SOCKET_BATCH, came, BATCH as i64);
            }
        }
    }
}

/// Whether a fault was found because of which datagrams may not come.
fn is_explained(world: &World) -> bool {
    let others = [
        RIT_SELFTEST_SOCKET_SEND,
        RIT_SELFTEST_SOCKET_PATH,
        RIT_SELFTEST_SOCKET_RECV,
        RIT_SELFTEST_REENTRY,
    ];
    others.iter().any(|code| world.findings.has(*code))
        || world.findings.has_in(RIT_SELFTEST_SOCKET_CUT..=RIT_SELFTEST_SOCKET_KEPT)
}

/// Whether the bytes are those wanted, but in another order: of the whole, or of each four.
fn is_swapped(ip: &[u8; 16], wanted: &[u8; 16]) -> bool {
    let is_mapped = wanted.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    let mut whole = *wanted;
    whole.reverse();
    let mut words = *wanted;
    let from = if is_mapped { 12 } else { 0 };
    words[from..].chunks_exact_mut(4).for_each(<[u8]>::reverse);
    *ip == words || *ip == whole
}

/// An IPv4 address that is not in its form: the first byte that is wrong.
fn misformed_at(ip: &[u8; 16], wanted: &[u8; 16]) -> Option<usize> {
    let address = wanted.strip_prefix(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])?;
    if ip.windows(4).any(|four| four == address) {
        ip.iter().zip(wanted).position(|(got, wanted)| got != wanted)
    } else {
        None
    }
}
