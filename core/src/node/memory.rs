//! Whether a node may keep more memory, where that is counted; see [`Reserve`].
//!
//! Owns the questions that concern the node as a whole, and the room for what it has to tell. Those
//! of a connection are its own.

use super::endpoint::HeldContact;
use super::meet::Meetings;
use super::session::Session;
use super::{Event, Node, NodeError};
use crate::base::{ContactId, Reserve};

/// Things to tell that one datagram or command causes, beside the ends of sessions.
const EVENTS_OF_CALL: usize = 4;

/// Memory for the candidates and relays of one introduction.
const MEETING_LEN: usize = 384 * size_of::<usize>();

impl Session {
    /// Whether something that came was not taken for lack of memory.
    pub(super) fn take_shortage(&mut self) -> bool {
        self.tunnel().is_some_and(|tunnel| tunnel.connection.take_shortage())
    }
}

impl Node {
    pub(super) fn reserve(&self) -> Reserve {
        self.endpoint.local.config.reserve
    }

    /// Whether so many bytes may be kept.
    pub(super) fn check_memory(&self, bytes: usize) -> Result<(), NodeError> {
        if self.reserve().allows(bytes) { Ok(()) } else { Err(NodeError::Memory) }
    }

    /// Whether what happens in one call can be told, should all sessions end in it.
    pub(super) fn has_room_for_events(&mut self) -> bool {
        let wanted = self.sessions.len() + EVENTS_OF_CALL;
        let missing = (self.events.len() + wanted).saturating_sub(self.events.capacity());
        if self.reserve().spare == 0 || missing == 0 {
            return true;
        }
        // Moved as it grows.
        let is_allowed = self.reserve().allows((self.events.len() + wanted) * size_of::<Event>());
        if is_allowed {
            self.events.reserve_exact(wanted);
        }
        is_allowed
    }

    /// Whether there is room for another session's connection.
    pub(super) fn has_room_for_connection(&mut self) -> bool {
        let has_room = self.reserve().allows_connection() && self.has_room_for_events();
        self.is_short_of_memory |= !has_room;
        has_room
    }

    /// Whether there is room for another introduction.
    pub(super) fn has_room_for_meeting(&mut self) -> bool {
        let held = size_of::<(ContactId, HeldContact)>() + Meetings::ENTRY_LEN;
        // The tables are copied as they grow.
        let held = (self.endpoint.contact_count() + 1) * held + MEETING_LEN;
        let has_room = self.reserve().allows(held);
        self.is_short_of_memory |= !has_room;
        has_room
    }

    /// Whether something that came since the last call was not taken for lack of memory, as if it
    /// were lost, or something due was put off.
    pub fn take_shortage(&mut self) -> bool {
        core::mem::take(&mut self.is_short_of_memory) | self.links.take_shortage()
    }
}
