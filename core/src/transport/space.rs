//! A packet number space (RFC 9000 §12.3): its keys, what was sent in it and what was received.

use super::acks::Acks;
use super::sent::SentPackets;
use crate::base::Time;
use crate::crypto::DirectionKeys;
use alloc::boxed::Box;

/// Which space; contact packets and 1-RTT packets number apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpaceId {
    Contact,
    Data,
}

impl SpaceId {
    pub(super) const ALL: [SpaceId; 2] = [SpaceId::Contact, SpaceId::Data];
}

/// Keys of both directions.
pub(super) struct Keys {
    pub(super) local: DirectionKeys,
    pub(super) remote: DirectionKeys,
}

#[derive(Default)]
pub(super) struct Space {
    /// `None` before they exist.
    pub(super) keys: Option<Keys>,
    pub(super) acks: Acks,
    pub(super) sent: SentPackets,
    pub(super) largest_acked: Option<u64>,
    /// When the earliest unacknowledged packet below `largest_acked` counts as lost.
    pub(super) loss_time: Option<Time>,
    pub(super) last_eliciting: Option<Time>,
    /// Ack-eliciting packets to send whatever the window says (RFC 9002 §6.2.4).
    pub(super) probes: u8,
}

/// Both spaces.
pub(super) struct Spaces {
    /// Until its keys are discarded; apart, for a connection that is up has no use for its room.
    contact: Option<Box<Space>>,
    pub(super) data: Space,
}

impl Spaces {
    /// Those of a connection that begins, with the keys of contact packets.
    pub(super) fn new(keys: Keys) -> Self {
        let contact = Space { keys: Some(keys), ..Space::default() };
        Spaces { contact: Some(Box::new(contact)), data: Space::default() }
    }

    /// `None`: it is discarded.
    pub(super) fn get(&self, id: SpaceId) -> Option<&Space> {
        match id {
            SpaceId::Contact => self.contact.as_deref(),
            SpaceId::Data => Some(&self.data),
        }
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, id: SpaceId) -> Option<&mut Space> {
        match id {
            SpaceId::Contact => self.contact.as_deref_mut(),
            SpaceId::Data => Some(&mut self.data),
        }
    }

    /// Takes the space of contact packets away.
    pub(super) fn discard_contact(&mut self) -> Option<Box<Space>> {
        self.contact.take()
    }

    /// An ACK may be due.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        for id in SpaceId::ALL {
            if let Some(space) = self.get_mut(id) {
                space.acks.handle_timeout(now);
            }
        }
    }

    /// Those there are.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SpaceId, &Space)> {
        SpaceId::ALL.into_iter().filter_map(|id| Some((id, self.get(id)?)))
    }
}
