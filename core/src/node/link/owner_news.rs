//! What the link tells of this node's owner, and hears of the time; nothing without the feature
//! `trust`.

use crate::base::Time;
use crate::wire::message::Ownership;

#[cfg(feature = "trust")]
#[derive(Default)]
pub(in super::super) struct OwnerNews {
    /// Whom this node obeys, as `hello` says it.
    pub(in super::super) ownership: Option<Ownership>,
    /// The broker's time of day, and when it was so late at least.
    pub(in super::super) time: Option<(u64, Time)>,
    /// When the connection came up.
    connected_at: Time,
}

#[cfg(feature = "trust")]
impl OwnerNews {
    pub(super) fn ownership(&self) -> Option<Ownership> {
        self.ownership
    }

    pub(super) fn on_connected(&mut self, now: Time) {
        self.connected_at = now;
    }

    /// Whoever keeps the broker's word back makes it seem later than it is, never earlier.
    pub(super) fn on_welcome(&mut self, unix_s: u64) {
        self.time = Some((unix_s, self.connected_at));
    }
}

#[cfg(feature = "trust")]
impl super::Link {
    /// Who the broker is.
    pub(in super::super) fn broker_key(&self) -> Option<crate::base::PublicKey> {
        self.address.as_ref().map(|address| address.key)
    }
}

#[cfg(not(feature = "trust"))]
#[derive(Default)]
pub(in super::super) struct OwnerNews;

#[cfg(not(feature = "trust"))]
impl OwnerNews {
    pub(super) fn ownership(&self) -> Option<Ownership> {
        None
    }

    pub(super) fn on_connected(&mut self, _now: Time) {}

    pub(super) fn on_welcome(&mut self, _unix_s: u64) {}
}
