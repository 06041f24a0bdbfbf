//! Until when what is written on a stream is worth sending.
//!
//! Owns the deadlines. Invariant: a stream has one deadline at most, and none once it is over.

use super::Streams;
use crate::base::{self, Map, Time};
use crate::transport::{StreamError, StreamId};

#[derive(Default)]
pub(super) struct Deadlines {
    at: base::Deadlines<StreamId>,
    /// What to reset with then.
    codes: Map<StreamId, u64>,
}

impl Deadlines {
    fn insert(&mut self, id: StreamId, at: Time, code: u64) {
        self.at.set(id, Some(at));
        self.codes.insert(id, code);
    }

    /// The memory that one more needs.
    fn growth(&self) -> usize {
        let entry = size_of::<(StreamId, Time)>() + size_of::<(StreamId, u64)>();
        (self.codes.len() + 1) * entry
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<u64> {
        self.at.set(id, None);
        self.codes.remove(&id)
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
        self.deadlines.at.next()
    }

    /// Gives up what is not acknowledged of the streams whose deadline is over.
    pub(in crate::transport) fn handle_timeout(&mut self, now: Time) {
        while let Some(id) = self.deadlines.at.due(now) {
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
