//! The control stream of a node's connection to its broker: stream 0, framed messages both ways.

use crate::base::Reserve;
use crate::transport::{Connection, StreamError, StreamId};
use crate::wire::message::{self, MESSAGE_LEN_MAX, Message, MessageError};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use thiserror::Error;
use zeroize::Zeroize;

/// The stream both ends speak on; the node opens it.
pub(super) const CONTROL_STREAM: StreamId = StreamId(0);
/// Bytes waiting for a peer that does not read; more ends the connection.
const MAX_OUTBOX: usize = 64 * 1024;
/// A message and the length before it.
const FRAME_LEN_MAX: usize = 2 + MESSAGE_LEN_MAX;
/// Bytes of the peer read at once.
const CHUNK_LEN: usize = 1024;
/// One message, not quite whole, and what may come behind it.
const INBOX_CAPACITY: usize = FRAME_LEN_MAX + CHUNK_LEN;
/// Memory of a message for each byte of it, at most: paths in growing vectors.
const DECODED_RATIO: usize = 4;
/// Application close code: the control stream broke.
pub(super) const CODE_CONTROL: u64 = 3;

/// Why a control stream is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum ControlError {
    #[error("malformed message")]
    Malformed,
    #[error("the control stream ended")]
    Ended,
    #[error("the peer reads too slowly")]
    Overflow,
    /// Nothing was queued, and nothing is broken.
    #[error("out of memory")]
    Memory,
}

impl From<MessageError> for ControlError {
    fn from(_: MessageError) -> Self {
        ControlError::Malformed
    }
}

/// Bytes of messages on their way, both ways.
#[derive(Default)]
pub(super) struct Control {
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    is_open: bool,
    /// For memory to take what came.
    is_waiting: bool,
}

impl Control {
    /// The stream exists: what waits may go out.
    pub(super) fn on_open(&mut self) {
        self.is_open = true;
    }

    /// Queues a message and sends what can be sent.
    pub(super) fn send(
        &mut self,
        connection: &mut Connection,
        message: &impl Message,
    ) -> Result<(), ControlError> {
        let memory = connection.reserve();
        // What waits may move to where there is room for the message; so may what the stream has.
        if !memory.allows(self.outbox.len() + 4 * message.len_at_most()) {
            return Err(ControlError::Memory);
        }
        let roomy = (self.outbox.len() + FRAME_LEN_MAX).next_power_of_two();
        let needed = self.outbox.len() + 2 + message.len_at_most();
        reserve(&mut self.outbox, if memory.spare == 0 { roomy } else { needed });
        message.encode(&mut self.outbox)?;
        if self.outbox.len() > MAX_OUTBOX {
            return Err(ControlError::Overflow);
        }
        self.flush(connection);
        Ok(())
    }

    /// Whether what another peer wants to be told fits too: it must not end this connection.
    #[cfg(feature = "broker")]
    pub(super) fn has_room_for_others(&self) -> bool {
        self.outbox.len() < MAX_OUTBOX / 2
    }

    /// Whether [`Self::receive`] left something for lack of memory, and is to be called again.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Writes what the stream takes now.
    pub(super) fn flush(&mut self, connection: &mut Connection) {
        if !self.is_open || self.outbox.is_empty() {
            return;
        }
        if let Ok(len) = connection.stream_write(CONTROL_STREAM, &self.outbox) {
            forget(&mut self.outbox, len);
        }
    }

    /// Whether everything was handed to the connection.
    #[cfg(feature = "broker")]
    pub(super) fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Reads what came; whole messages of known types go to `out`.
    pub(super) fn receive<M: Message>(
        &mut self,
        connection: &mut Connection,
        out: &mut VecDeque<M>,
    ) -> Result<(), ControlError> {
        let mut chunk = [0; CHUNK_LEN];
        let memory = connection.reserve();
        self.is_waiting = false;
        loop {
            // What there is no room for waits in the stream.
            let needed = self.inbox.len() + CHUNK_LEN;
            if memory.spare > 0 && !(memory.allows(needed) && self.take_messages(out, memory)?) {
                self.is_waiting = true;
                break;
            }
            match connection.stream_read(CONTROL_STREAM, &mut chunk) {
                Ok(len) if len > 0 => {
                    let capacity = if memory.spare == 0 { INBOX_CAPACITY } else { needed };
                    reserve(&mut self.inbox, capacity);
                    self.inbox.extend_from_slice(&chunk[..len]);
                    self.take_messages(out, memory)?;
                }
                Err(StreamError::Blocked) => break,
                Ok(_) | Err(_) => return Err(ControlError::Ended),
            }
        }
        chunk.zeroize();
        Ok(())
    }

    /// False: there is no memory for the next.
    fn take_messages<M: Message>(
        &mut self,
        out: &mut VecDeque<M>,
        memory: Reserve,
    ) -> Result<bool, ControlError> {
        while let Some((body, taken)) = message::split(&self.inbox)? {
            if !memory.allows(body.len() * DECODED_RATIO) {
                return Ok(false);
            }
            if let Some(message) = M::decode(body)? {
                out.push_back(message);
            }
            forget(&mut self.inbox, taken);
        }
        Ok(true)
    }
}

/// Makes room without leaving a copy of what is in `buffer` behind, as growing it would.
fn reserve(buffer: &mut Vec<u8>, capacity: usize) {
    if buffer.capacity() < capacity {
        let mut larger = Vec::with_capacity(capacity);
        larger.extend_from_slice(buffer);
        buffer.zeroize();
        *buffer = larger;
    }
}

/// Drops the first `len` bytes; an empty buffer owns no memory.
fn forget(buffer: &mut Vec<u8>, len: usize) {
    let rest = buffer.len() - len;
    buffer.copy_within(len.., 0);
    buffer[rest..].zeroize();
    buffer.truncate(rest);
    if buffer.is_empty() {
        *buffer = Vec::new();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.inbox.zeroize();
        self.outbox.zeroize();
    }
}
