//! A carrier: one TCP connection with TLS 1.3 that carries datagrams, where UDP is blocked.
//!
//! Owns the frames, what waits to be written, and the time that a handshake or silence may take.
//! Does not own the socket. Sans-I/O: after any call drain [`Carrier::poll_datagram`] and
//! [`Carrier::poll_bytes`].
//!
//! Nothing rests on this TLS. What it carries is sealed and authenticated end to end, as it is in
//! UDP; here it has to look like what every network lets through. So the client takes any key: it
//! would learn nothing from the right one that it does not learn from the first datagram that
//! opens, and whoever sits in the middle could as well sit in the middle of UDP.
//!
//! ```text
//! frame   length (2) of 1 to 1600, datagram
//! ```
//!
//! Invariants: at most [`WAITING_MAX`] bytes wait, what goes beyond is lost, as in any network; a
//! frame that breaks the rule, and any error of TLS, closes.

#[cfg(all(test, feature = "ring"))]
mod tests;

use crate::base::{Rng, Time};
use crate::crypto::{Provider, Signer};
use crate::handshake::TlsChannel;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// The longest datagram: a packet of an Ethernet and what a relay's bind adds.
pub const DATAGRAM_MAX: usize = 1600;
/// Bytes that wait to be written, or for the handshake, at most.
pub const WAITING_MAX: usize = 64 * 1024;
/// From the beginning to the end of the handshake, connecting included.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Whom a server had nothing to say to by then is a stranger, whatever came from there.
pub const STRANGER_TIME: Duration = Duration::from_secs(20);
/// Without a datagram either way so long a client closes: longer than any connection inside is
/// silent that is alive.
pub const IDLE_CLIENT: Duration = Duration::from_secs(150);
/// A server waits for the client to do so.
pub const IDLE_SERVER: Duration = Duration::from_secs(180);
/// Datagrams that nothing answered for so long went nowhere: a client closes, so that the next one
/// opens another connection.
pub const UNANSWERED_TIME: Duration = Duration::from_secs(30);

const HEAD_LEN: usize = 2;
/// What a record takes beside its content, or more.
const RECORD_OVERHEAD: usize = 64;
/// Frames sealed in one go: a record (RFC 8446 §5.1).
const RECORD_LEN: usize = 16 * 1024;
/// Decrypted bytes that nobody takes.
const UNREAD_MAX: usize = 256 * 1024;

/// One end of a carrier.
pub struct Carrier {
    tls: TlsChannel,
    rng: Rng,
    is_client: bool,
    is_closed: bool,
    /// Frames that came; those before `taken` are taken.
    input: Vec<u8>,
    taken: usize,
    /// Frames to be sealed.
    frames: Vec<u8>,
    /// Bytes to be written; those before `written` are.
    output: Vec<u8>,
    written: usize,
    began: Time,
    used: Time,
    /// Since when nothing answers.
    unanswered: Option<Time>,
    /// Something was sent: the other end is no stranger.
    has_sent: bool,
}

impl Carrier {
    /// The end that connected, or is about to. `None`: the provider does not allow it.
    pub fn client(provider: &'static dyn Provider, mut rng: Rng, now: Time) -> Option<Carrier> {
        let tls = TlsChannel::client(provider, &mut rng).ok()?;
        let mut carrier = Carrier::new(tls, rng, true, now);
        carrier.handle_bytes(&[], now);
        Some(carrier)
    }

    /// The end that was connected to, which shows the signer's key.
    pub fn server(
        provider: &'static dyn Provider,
        signer: Arc<dyn Signer>,
        mut rng: Rng,
        now: Time,
    ) -> Option<Carrier> {
        let tls = TlsChannel::server(provider, signer, &mut rng).ok()?;
        Some(Carrier::new(tls, rng, false, now))
    }

    fn new(tls: TlsChannel, rng: Rng, is_client: bool, now: Time) -> Carrier {
        Carrier {
            tls,
            rng,
            is_client,
            is_closed: false,
            input: Vec::new(),
            taken: 0,
            frames: Vec::new(),
            output: Vec::new(),
            written: 0,
            began: now,
            used: now,
            unanswered: None,
            has_sent: false,
        }
    }

    /// Whether the handshake is over.
    pub fn is_open(&self) -> bool {
        !self.is_closed && self.tls.is_open()
    }

    /// Whether nothing more comes of this: the socket is to be closed.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Takes bytes that came, some 64 KiB at a time at most.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Time) {
        if self.is_closed {
            return;
        }
        self.input.drain(..self.taken);
        self.taken = 0;
        let before = self.input.len();
        let read = self.tls.read(bytes, &mut self.input, &mut self.output, &mut self.rng);
        if self.input.len() > before {
            self.used = self.used.max(now);
            self.unanswered = None;
        }
        self.is_closed = read.is_err() || self.input.len() > UNREAD_MAX;
    }

    /// The next datagram that came, written into `buf`; its length. One that `buf` has no room for
    /// is lost.
    pub fn poll_datagram(&mut self, buf: &mut [u8]) -> Option<usize> {
        loop {
            let rest = self.input.get(self.taken..).filter(|_| !self.is_closed)?;
            let (head, rest) = rest.split_first_chunk::<HEAD_LEN>()?;
            let len = usize::from(u16::from_be_bytes(*head));
            if !(1..=DATAGRAM_MAX).contains(&len) {
                self.is_closed = true;
                return None;
            }
            let datagram = rest.get(..len)?;
            self.taken += HEAD_LEN + len;
            if let Some(out) = buf.get_mut(..len) {
                out.copy_from_slice(datagram);
                return Some(len);
            }
        }
    }

    /// Memory that it may take to send one of `len` bytes: it waits, and is sealed behind what
    /// waits.
    pub fn memory_to_send(&self, len: usize) -> usize {
        4 * (self.frames.len() + self.output.len() + RECORD_OVERHEAD + len)
    }

    /// Memory that `len` bytes that came may take: they are put to those of the same record, and
    /// opened.
    pub fn memory_to_take(&self, len: usize) -> usize {
        4 * (self.tls.waiting() + self.input.len() + len)
    }

    /// Sends a datagram of 1 to [`DATAGRAM_MAX`] bytes; false: it is lost, as a datagram may be.
    pub fn send_datagram(&mut self, datagram: &[u8], now: Time) -> bool {
        let is_fine = (1..=DATAGRAM_MAX).contains(&datagram.len());
        let waiting = self.frames.len() + self.output.len() - self.written;
        if self.is_closed || !is_fine || waiting + HEAD_LEN + datagram.len() > WAITING_MAX {
            return false;
        }
        self.frames.extend_from_slice(&(datagram.len() as u16).to_be_bytes());
        self.frames.extend_from_slice(datagram);
        self.used = self.used.max(now);
        self.has_sent = true;
        self.unanswered.get_or_insert(now);
        true
    }

    /// Bytes to be written to the connection; those that were are [consumed](Self::consume).
    pub fn poll_bytes(&mut self) -> &[u8] {
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
            self.seal();
        }
        if self.is_closed {
            return &[];
        }
        self.output.get(self.written..).unwrap_or_default()
    }

    /// So many bytes of [`Self::poll_bytes`] were written.
    pub fn consume(&mut self, len: usize) {
        self.written = self.written.saturating_add(len).min(self.output.len());
    }

    fn seal(&mut self) {
        if self.is_closed || self.frames.is_empty() || !self.tls.is_open() {
            return;
        }
        let len = self.frames.len().min(RECORD_LEN);
        let (record, _) = self.frames.split_at(len);
        self.is_closed = self.tls.seal(record, &mut self.output).is_err();
        self.frames.drain(..len);
        // What is idle for long takes no memory.
        if self.frames.is_empty() {
            self.frames = Vec::new();
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.is_closed {
            return None;
        }
        if !self.tls.is_open() {
            return Some(self.began + HANDSHAKE_TIME);
        }
        if !self.is_client && !self.has_sent {
            return Some(self.began + STRANGER_TIME);
        }
        let idle = self.used + if self.is_client { IDLE_CLIENT } else { IDLE_SERVER };
        let unanswered = self.unanswered.filter(|_| self.is_client).map(|at| at + UNANSWERED_TIME);
        Some(unanswered.map_or(idle, |at| at.min(idle)))
    }

    /// Closes if it is due; early calls are harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        self.is_closed |= self.poll_timeout().is_some_and(|at| at <= now);
    }
}
