//! A scripted application above a node: moves patterned bytes over streams and checks every one.
//!
//! The opener of a stream first writes a 16-byte header (pattern key, bytes wanted back), then its
//! own patterned bytes, then finishes. The acceptor checks what comes, answers with as many
//! patterned bytes as were asked for, and finishes. A byte's value follows from key, direction and
//! offset, so a byte that is lost, doubled or out of place shows at its offset.

use super::udp::Udp;
use rit_core::base::Time;
use rit_core::node::{Event, Node, NodeError, ServiceId, SessionId, StreamHandle};
use rit_core::tunnel::Refusal;
use std::collections::BTreeMap;
use std::time::Duration;

const HEADER_LEN: u64 = 16;
const CHUNK_LEN: usize = 16 * 1024;

/// Marks application plaintext in captures: no datagram may contain it.
pub const PLAINTEXT_MARKER: &[u8; 8] = b"PLAINTXT";

/// What the application does with an incoming stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Accepts and serves it.
    #[default]
    Serve,
    /// Refuses it.
    Refuse(Refusal),
    /// Leaves it unanswered.
    Ignore,
}

/// How fast the application reads.
#[derive(Clone, Copy, Debug)]
pub struct ReadPace {
    /// Bytes of one stream per turn.
    pub bytes: usize,
    /// Time between turns.
    pub every: Duration,
}

/// One stream as the application sees it.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// Whether this end opened the stream.
    pub is_opener: bool,
    /// Pattern key; the acceptor knows it once the header is in.
    pub key: Option<u64>,
    header: Vec<u8>,
    /// Bytes this end is to send, the opener's header included.
    pub send_total: u64,
    /// Bytes handed to the node.
    pub sent: u64,
    /// Whether our end of stream is handed to the node.
    pub is_finished: bool,
    /// Bytes received and checked.
    pub received: u64,
    /// Whether the peer's end of stream was read.
    pub is_fin_read: bool,
    /// Whether the peer's answer to the opening came.
    pub is_open: bool,
    /// The peer's refusal.
    pub refused: Option<Refusal>,
    /// The peer's reset code.
    pub reset: Option<u64>,
    /// The peer's stop code.
    pub stopped: Option<u64>,
    /// Keep sending direction open after the last byte.
    pub keep_open: bool,
}

impl Flow {
    /// Whether both directions ended as planned.
    pub fn is_done(&self) -> bool {
        self.is_finished && self.is_fin_read
    }
}

/// The application.
#[derive(Default)]
pub struct App {
    /// By service; those not named are served.
    pub behaviours: BTreeMap<ServiceId, Behaviour>,
    /// Streams that live.
    pub flows: BTreeMap<StreamHandle, Flow>,
    /// Streams that ended as planned and were released.
    pub done: Vec<Flow>,
    /// Reading pace; none: all that there is, at once.
    pub pace: Option<ReadPace>,
    /// Leaves incoming streams to the scenario.
    pub is_passive: bool,
    next_turn: Option<Time>,
    /// UDP flows.
    pub udp: Udp,
}

impl App {
    /// Opens a stream, sends `send` bytes and asks for `back`.
    pub fn open(
        &mut self,
        node: &mut Node,
        session: SessionId,
        (service, key, send, back): (&str, u64, u64, u64),
        now: Time,
    ) -> Result<StreamHandle, NodeError> {
        let stream = node.stream_open(session, service, now)?;
        let mut header = key.to_le_bytes().to_vec();
        header.extend_from_slice(&back.to_le_bytes());
        let flow = Flow {
            is_opener: true,
            key: Some(key),
            header,
            send_total: HEADER_LEN + send,
            ..Flow::default()
        };
        self.flows.insert(stream, flow);
        Ok(stream)
    }

    /// Whether every stream that was ever there ended as planned.
    pub fn is_idle(&self) -> bool {
        self.flows.is_empty()
    }

    /// Bytes received on streams that live.
    pub fn received(&self) -> u64 {
        self.flows.values().map(|flow| flow.received).sum()
    }

    /// When `on_turn` wants to be called.
    pub fn next_turn(&self) -> Option<Time> {
        self.next_turn
    }

    /// A slow reader's turn.
    pub fn on_turn(&mut self, node: &mut Node, now: Time) {
        self.next_turn = None;
        let streams: Vec<_> = self.flows.keys().copied().collect();
        for stream in streams {
            self.pump(node, stream, true, now);
        }
    }

    /// Reacts to one event of the node.
    pub fn on_event(&mut self, node: &mut Node, event: &Event, now: Time) {
        self.udp.on_event(node, event, now);
        match *event {
            Event::StreamIncoming { .. } if self.is_passive => {}
            Event::StreamIncoming { stream, service, .. } => {
                match self.behaviours.get(&service).copied().unwrap_or_default() {
                    // The opener may be gone again already.
                    Behaviour::Serve => match node.stream_accept(stream, now) {
                        Err(NodeError::Stopped(_)) => drop(node.stream_release(stream, now)),
                        other => {
                            other.expect("an incoming stream can be accepted");
                            self.flows.insert(stream, Flow { is_open: true, ..Flow::default() });
                            self.pump(node, stream, false, now);
                        }
                    },
                    Behaviour::Refuse(refusal) => {
                        node.stream_refuse(stream, refusal, now).expect("it can be refused");
                    }
                    Behaviour::Ignore => {}
                }
            }
            Event::StreamOpened { stream } => {
                self.note(stream, |flow| flow.is_open = true);
                self.pump(node, stream, false, now);
            }
            Event::StreamReadable { stream } | Event::StreamWritable { stream } => {
                self.pump(node, stream, false, now);
            }
            Event::StreamRefused { stream, refusal } => {
                self.note(stream, |flow| flow.refused = Some(refusal));
            }
            Event::StreamReset { stream, code } => {
                self.note(stream, |flow| flow.reset = Some(code));
            }
            Event::StreamStopped { stream, code } => {
                self.note(stream, |flow| flow.stopped = Some(code));
            }
            _ => {}
        }
    }

    fn note(&mut self, stream: StreamHandle, change: impl FnOnce(&mut Flow)) {
        if let Some(flow) = self.flows.get_mut(&stream) {
            change(flow);
        }
    }

    /// Writes and reads what the node takes and has.
    pub fn pump(&mut self, node: &mut Node, stream: StreamHandle, is_turn: bool, now: Time) {
        let Some(flow) = self.flows.get_mut(&stream) else { return };
        match self.pace {
            None => flow.read(node, stream, usize::MAX, now),
            Some(pace) => {
                if is_turn {
                    flow.read(node, stream, pace.bytes, now);
                }
                self.next_turn = self.next_turn.or(Some(now + pace.every));
            }
        }
        flow.write(node, stream, now);
        if flow.is_done() {
            node.stream_release(stream, now).expect("a finished stream can be released");
            self.done.extend(self.flows.remove(&stream));
        }
    }
}

impl Flow {
    fn write(&mut self, node: &mut Node, stream: StreamHandle, now: Time) {
        if !self.is_open || self.stopped.is_some() {
            return;
        }
        // The acceptor's total is known once the header is in.
        let is_total_known = self.is_opener || self.header.len() as u64 == HEADER_LEN;
        while self.sent < self.send_total {
            let mut chunk = [0; CHUNK_LEN];
            let len = self.outgoing(&mut chunk);
            let written = node.stream_write(stream, &chunk[..len], now).unwrap_or(0);
            self.sent += written as u64;
            if written < len {
                return;
            }
        }
        if is_total_known && !self.is_finished && !self.keep_open {
            node.stream_finish(stream, now).expect("an open stream can be finished");
            self.is_finished = true;
        }
    }

    /// The next bytes to write.
    fn outgoing(&self, chunk: &mut [u8]) -> usize {
        let key = self.key.unwrap_or(0);
        if self.is_opener && self.sent < HEADER_LEN {
            let rest = &self.header[self.sent as usize..];
            chunk[..rest.len()].copy_from_slice(rest);
            return rest.len();
        }
        let len = (self.send_total - self.sent).min(chunk.len() as u64) as usize;
        let offset = if self.is_opener { self.sent - HEADER_LEN } else { self.sent };
        fill_pattern(key, self.is_opener, offset, &mut chunk[..len]);
        len
    }

    fn read(&mut self, node: &mut Node, stream: StreamHandle, most: usize, now: Time) {
        let mut left = most;
        let mut buf = [0; CHUNK_LEN];
        while left > 0 && !self.is_fin_read {
            let cap = left.min(buf.len());
            let Ok(len) = node.stream_read(stream, &mut buf[..cap], now) else { return };
            self.check(&buf[..len]);
            left -= len;
            self.is_fin_read = len == 0;
        }
    }

    fn check(&mut self, mut data: &[u8]) {
        if !self.is_opener && (self.header.len() as u64) < HEADER_LEN {
            let missing = (HEADER_LEN as usize - self.header.len()).min(data.len());
            self.header.extend_from_slice(&data[..missing]);
            data = &data[missing..];
            if self.header.len() as u64 == HEADER_LEN {
                let word = |at: usize| {
                    u64::from_le_bytes(self.header[at..at + 8].try_into().expect("eight bytes"))
                };
                self.key = Some(word(0));
                self.send_total = word(8);
            }
        }
        let Some(key) = self.key else { return };
        let mut expected = vec![0; data.len()];
        fill_pattern(key, !self.is_opener, self.received, &mut expected);
        if let Some(at) = expected.iter().zip(data).position(|(want, got)| want != got) {
            let offset = self.received + at as u64;
            panic!("stream of key {key}: wrong byte at offset {offset}");
        }
        self.received += data.len() as u64;
    }
}

/// The byte at each offset is a function of key, direction and offset; each 4096th to 4103rd byte
/// is the marker that captures are searched for.
pub fn fill_pattern(key: u64, from_opener: bool, offset: u64, out: &mut [u8]) {
    let mut word_at = u64::MAX;
    let mut word = [0; 8];
    for (at, byte) in (offset..).zip(out) {
        if at / 8 != word_at {
            word_at = at / 8;
            word = if word_at % 512 == 1 {
                *PLAINTEXT_MARKER
            } else {
                mix(key ^ u64::from(from_opener).rotate_right(1) ^ word_at << 20).to_le_bytes()
            };
        }
        *byte = word[(at % 8) as usize];
    }
}

/// SplitMix64's finaliser: neighbours come out unrelated.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_depends_on_key_direction_and_offset_only() {
        let mut whole = vec![0; 10_000];
        fill_pattern(1, true, 0, &mut whole);
        let mut piece = vec![0; 777];
        fill_pattern(1, true, 4001, &mut piece);
        assert_eq!(piece, whole[4001..4778]);
        let mut other = vec![0; 10_000];
        for (key, from_opener) in [(2, true), (1, false)] {
            fill_pattern(key, from_opener, 0, &mut other);
            let same = whole.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(same < 200, "{same} bytes the same");
        }
        assert!(whole.windows(8).any(|window| window == PLAINTEXT_MARKER));
    }
}
