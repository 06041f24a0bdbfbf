//! Until when what is written on a stream is worth sending.
//!
//! Owns the deadlines, sorted, so that the next is known without a look at every stream. Invariant:
//! a stream has one deadline at most, and none once it is over.

use super::Streams;
use crate::base::{Map, Set, Time};
use crate::transport::{StreamError, StreamId};

#[derive(Default)]
pub(super) struct Deadlines {
    sorted: Set<(Time, StreamId)>,
    /// When, and the code to reset with.
    of: Map<StreamId, (Time, u64)>,
}

impl Deadlines {
    fn insert(&mut self, id: StreamId, at: Time, code: u64) {
        self.remove(id);
        self.sorted.insert((at, id));
        self.of.insert(id, (at, code));
    }

    /// The memory that one more needs.
    fn growth(&self) -> usize {
        let entry = size_of::<(Time, StreamId)>() + size_of::<(StreamId, (Time, u64))>();
        (self.of.len() + 1) * entry
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<u64> {
        let (at, code) = self.of.remove(&id)?;
        self.sorted.remove(&(at, id));
        Some(code)
    }

    fn next(&self) -> Option<(Time, StreamId)> {
        self.sorted.first().copied()
    }
}

impl Streams {
    pub(in crate::transport) fn set_deadline(
        &mut self,
        id: StreamId,
        deadline: Option<Time>,
        code: u64,
    ) -> Result<(), StreamError> {
        let stream = self.table.get(&id).ok_or(StreamError::Unknown)?;
        if deadline.is_some() && !self.reserve.allows(self.deadlines.growth()) {
            return Err(StreamError::Memory);
        }
        match deadline.filter(|_| !stream.send.is_terminal()) {
            Some(at) => self.deadlines.insert(id, at, code),
            None => {
                self.deadlines.remove(id);
            }
        }
        Ok(())
    }

    pub(in crate::transport) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.next().map(|(at, _)| at)
    }

    /// Gives up what is not acknowledged of the streams whose deadline is over.
    pub(in crate::transport) fn handle_timeout(&mut self, now: Time) {
        while let Some((_, id)) = self.deadlines.next().filter(|(at, _)| *at <= now) {
            let Some(code) = self.deadlines.remove(id) else { return };
            let Some(stream) = self.table.get_mut(&id) else { continue };
            let buffered = stream.send.buffered();
            if stream.send.expire(code) {
                self.unbuffer(buffered);
                self.queue_control(id);
                self.notify(id);
            }
        }
    }
}
