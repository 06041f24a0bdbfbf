//! One stream from one end to the other in memory: the driver that every contender runs under.
//!
//! A round is what a socket loop with batched calls does: the sending application tops its stream
//! up, a burst of datagrams goes out and is taken in, the receiving application reads, and what it
//! answers goes back. Nobody waits: where time is a parameter it is virtual, and jumps to the next
//! timer when nothing moves.

use crate::clock::cpu_time;
use std::time::Duration;

/// Datagrams of one burst: what a batched receive brings on a busy socket.
pub const BURST: usize = 32;
/// One way of the virtual link, and so how long a burst takes: a loopback's order of magnitude.
pub const DELAY: Duration = Duration::from_micros(50);
/// Bytes the sending application is ahead of the receiving one: more than a burst of the largest
/// datagrams, so that bursts are full.
const AHEAD: u64 = 512 * 1024;
/// Flow control windows and send buffers, at all levels and ends: never what limits.
pub const WINDOW: u64 = 8 * 1024 * 1024;
/// The most an application writes or reads in one call.
pub const BLOCK: usize = 64 * 1024;
/// Bytes before the clock starts: congestion windows open, path MTU discovery ends.
const WARM_UP: u64 = 16 * 1024 * 1024;
/// Rounds in which nothing moves before the contender counts as stuck.
const MAX_IDLE_ROUNDS: usize = 1000;

/// Two ends with a stream between them.
pub trait Pair {
    /// The sending application writes up to `room` bytes; returns how many were taken.
    fn write(&mut self, room: usize) -> usize;
    /// A burst goes from the sending end to the receiving end; returns its datagrams.
    fn forward(&mut self) -> usize;
    /// The receiving application reads all there is; returns its bytes.
    fn read(&mut self) -> usize;
    /// What the receiving end has to say goes back; returns its datagrams.
    fn backward(&mut self) -> usize;
    /// Nothing moved: goes to the next timer.
    fn wait(&mut self);
    /// The largest datagram sent since this was last asked.
    fn take_largest(&mut self) -> usize;
}

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Bytes of the stream.
    pub bytes: u64,
    /// CPU time.
    pub cpu: Duration,
    /// The largest datagram that was really sent.
    pub datagram: usize,
}

impl Run {
    /// Stream bits per second of CPU time.
    pub fn gbit_per_s(&self) -> f64 {
        self.bytes as f64 * 8.0 / 1e9 / self.cpu.as_secs_f64()
    }
}

/// Carries what no figure counts, so that the path and the windows are settled.
pub fn warm_up(pair: &mut impl Pair) {
    transfer(pair, WARM_UP);
}

/// Carries `bytes`, and times it.
pub fn run(pair: &mut impl Pair, bytes: u64) -> Run {
    pair.take_largest();
    let start = cpu_time();
    transfer(pair, bytes);
    Run { bytes, cpu: cpu_time() - start, datagram: pair.take_largest() }
}

/// Carries `bytes` from the sending application to the receiving one.
pub fn transfer(pair: &mut impl Pair, bytes: u64) {
    transfer_watched(pair, bytes, AHEAD, |_| {});
}

/// The same with the sender at most `ahead` bytes ahead. `watch` is called in each round while a
/// burst lies unread, with the bytes read before.
pub fn transfer_watched(pair: &mut impl Pair, bytes: u64, ahead: u64, mut watch: impl FnMut(u64)) {
    let (mut written, mut read) = (0, 0);
    let mut idle = 0;
    while read < bytes {
        let room = (bytes - written).min(ahead - (written - read));
        let mut moved = write_up_to(pair, room);
        written += moved;
        moved += pair.forward() as u64;
        watch(read);
        read += pair.read() as u64;
        moved += pair.backward() as u64;
        idle = if moved == 0 { idle + 1 } else { 0 };
        if idle > 0 {
            pair.wait();
        }
        assert!(idle < MAX_IDLE_ROUNDS, "stuck after {read} of {bytes} bytes");
    }
}

fn write_up_to(pair: &mut impl Pair, room: u64) -> u64 {
    let mut written = 0;
    while written < room {
        match pair.write(BLOCK.min((room - written) as usize)) {
            0 => break,
            taken => written += taken as u64,
        }
    }
    written
}
