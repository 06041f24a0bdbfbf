//! A packet number space (RFC 9000 §12.3): its keys, what was sent in it and what was received.

use super::acks::Acks;
use super::sent::SentPackets;
use crate::base::Time;
use crate::crypto::DirectionKeys;

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
    /// `None` before they exist and after they are discarded.
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
