//! Owners: whom a device obeys, and what it does for those whom its owner lets use it.
//!
//! Owns the device's trust state while the node lives, and the way of each change of it: it is
//! checked, then stored by the integrator, and only then acted on, answered and told. Does not own
//! what is decided by it (`crate::trust`). Without the feature `trust`, `no_trust` is in its place.
//! Invariants: one change at a time; a session whose permit does not hold ends within the call that
//! made it so; what comes from the allow-list alone is untouched.

mod change;
mod cloak;
mod notes;
mod offers;
#[cfg(not(feature = "initiator"))]
#[path = "no_asking.rs"]
mod owner;
#[cfg(feature = "initiator")]
mod owner;

pub use self::change::{CLAIM_CODE_TIME, Stored};
pub use self::owner::NOTES_MAX;

use self::change::Pending;
use self::cloak::Cloak;
use self::offers::Held;
use self::owner::Asked;
use super::{Event, Node, NodeError, Reason, ServiceId, SessionId, Which};
use crate::base::{ContactId, Handle, PublicKey, Time};
use crate::trust::{ClaimSecret, Claiming, NoteError, Permit, TrustState, WallClock};
use crate::wire::message::Ownership;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Application close code of a session whose peer may not use this node any more: above what
/// applications choose as a rule.
pub(super) const CODE_NOT_PERMITTED: u64 = 0x7269_7409;
/// Memory for a change of the state: the new one twice, its bytes, and the list that it comes from.
const CHANGE_LEN: usize = 8 * 1024;
/// Memory for a permit: at most the services of a grant, and its links.
const PERMIT_LEN: usize = 3 * 1024;

/// What happened that concerns owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustEvent {
    /// This device has an owner now.
    Claimed {
        /// Its name.
        owner: PublicKey,
        /// The number of this ownership.
        epoch: u32,
    },
    /// The owner gave this device to another.
    OwnerChanged {
        /// Its name.
        owner: PublicKey,
        /// The number of this ownership.
        epoch: u32,
    },
    /// After a factory reset: this device has no owner any more.
    OwnerForgotten,
    /// The owner took grants back.
    Revoked {
        /// The number of its list.
        number: u64,
    },
    /// The owner lets this device be found: it answers who asks who is there.
    Uncloaked {
        /// For so long, in seconds.
        left_s: u32,
    },
    /// It answers nobody any more.
    Cloaked,
    /// Another node answered a note.
    NoteAnswered {
        /// Which.
        request: u32,
        /// The node.
        from: PublicKey,
        /// What the body is.
        kind: u8,
        /// As it came.
        body: Vec<u8>,
    },
    /// A note, or a claim, reached nobody, or there was no answer.
    NoteFailed {
        /// Which.
        request: u32,
        /// Why.
        reason: Reason,
    },
    /// The device has proved that it takes this node for its owner.
    DeviceClaimed {
        /// Which claim.
        request: u32,
        /// The device.
        device: PublicKey,
        /// The number of this ownership, which goes into grants.
        epoch: u32,
    },
    /// The device would not be claimed, or did not prove that it was it.
    ClaimRefused {
        /// Which claim.
        request: u32,
        /// The device.
        device: PublicKey,
        /// Why.
        error: NoteError,
    },
}

/// Why a peer may be here: by a permit, or because it is on the list.
#[derive(Default)]
pub(super) struct Right(Option<Box<Permit>>);

impl Right {
    pub(super) fn is_by_list(&self) -> bool {
        self.0.is_none()
    }
}

/// What a node knows of owners.
#[derive(Default)]
pub(super) struct Trust {
    clock: WallClock,
    /// There if this node obeys an owner.
    device: Option<Box<Device>>,
    asked: Asked,
}

/// The device's end.
struct Device {
    state: TrustState,
    secret: Option<ClaimSecret>,
    /// A secret for a while.
    code: Option<(ClaimSecret, Time)>,
    claiming: Claiming,
    pending: Option<Pending>,
    held: Held,
    /// When the next permit of a session expires.
    expiry: Option<Time>,
    cloak: Cloak,
}

impl Trust {
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let device = self.device.as_ref().and_then(|device| device.poll_timeout());
        [device, self.asked.poll_timeout()].into_iter().flatten().min()
    }

    fn ownership(&self) -> Option<Ownership> {
        let state = &self.device.as_ref()?.state;
        let (epoch, list) = (state.epoch(), state.revoked().number);
        Some(Ownership { epoch, list, owner: state.owner().copied() })
    }
}

impl Device {
    fn poll_timeout(&self) -> Option<Time> {
        let own = [self.expiry, self.held.poll_timeout(), self.cloak.poll_timeout()];
        own.into_iter().flatten().min()
    }
}

impl Node {
    /// From now on this node obeys an owner: the one of `state`, or whoever proves to know `secret`
    /// once there is none. Peers on the allow-list may come as before.
    pub fn set_trust(
        &mut self,
        state: TrustState,
        secret: Option<ClaimSecret>,
        now: Time,
    ) -> Result<(), NodeError> {
        self.check_memory(CHANGE_LEN)?;
        self.trust.device = Some(Box::new(Device {
            state,
            secret,
            code: None,
            claiming: Claiming::new(),
            pending: None,
            held: Held::default(),
            expiry: None,
            cloak: Cloak::default(),
        }));
        self.check_permits(now);
        self.tell_ownership(now);
        Ok(())
    }

    /// Whom this node obeys; `None`: it obeys no owner.
    pub fn trust_state(&self) -> Option<&TrustState> {
        self.trust.device.as_ref().map(|device| &device.state)
    }

    /// The integrator knows the time of day, in seconds since 1970: it is believed before all
    /// others. Sessions end that are over by it.
    pub fn set_wall_time(&mut self, unix_s: u64, now: Time) {
        self.trust.clock.set(unix_s, now);
        self.check_permits(now);
        self.check_cloak(now);
    }

    /// What the peer of a session may do here; `None`: it is on the allow-list, or this node asked
    /// for the session.
    pub fn session_permit(&self, session: SessionId) -> Result<Option<&Permit>, NodeError> {
        Ok(self.peek_session(Handle(session.0))?.right.0.as_deref())
    }

    /// Whether a service may be used only with a grant that a broker agreed to just before the
    /// session began. It does not concern peers on the allow-list.
    pub fn service_demand_fresh(
        &mut self,
        service: ServiceId,
        is_demanded: bool,
    ) -> Result<(), NodeError> {
        let offered = self.services.get_mut(Handle(service.0)).ok_or(NodeError::StaleHandle)?;
        offered.must_be_fresh = is_demanded;
        Ok(())
    }

    /// Whether the peer of this contact may still come.
    pub(super) fn is_welcome(&self, contact: &ContactId, peer: &PublicKey, now: Time) -> bool {
        match (self.meetings.right(contact).and_then(|right| right.0.as_ref()), &self.trust.device)
        {
            (None, _) => self.allowed.contains(peer),
            (Some(permit), Some(device)) => {
                permit.still_holds(&device.state, self.trust.clock.at(now)).is_ok()
            }
            (Some(_), None) => false,
        }
    }

    /// Whether the peer of this session may use this service.
    pub(super) fn may_use(&self, session: Handle, service: Option<ServiceId>, name: &str) -> bool {
        let Some(state) = self.sessions.get(session) else { return false };
        let Some(permit) = &state.right.0 else {
            return self.is_caller_or_allowed(session) || self.is_owner(&state.peer);
        };
        let offered = service.and_then(|service| self.services.get(Handle(service.0)));
        let must_be_fresh = offered.is_some_and(|offered| offered.must_be_fresh);
        permit.allows(name) && (permit.is_fresh() || !must_be_fresh)
    }

    fn is_owner(&self, peer: &PublicKey) -> bool {
        self.trust_state().and_then(TrustState::owner) == Some(peer)
    }

    /// Ends sessions whose permit does not hold any more, and finds out when to look again.
    pub(super) fn check_permits(&mut self, now: Time) {
        let mut expiry: Option<Time> = None;
        for handle in self.sessions.handles() {
            let Some(device) = &self.trust.device else { return };
            let Ok(session) = self.peek_session(handle) else { continue };
            let Some(permit) = &session.right.0 else { continue };
            if permit.still_holds(&device.state, self.trust.clock.at(now)).is_err() {
                self.end_session(handle, Reason::NotPermitted);
                self.close_session(handle, CODE_NOT_PERMITTED, now);
            } else if let Some(at) = permit.expires_s().and_then(|s| self.trust.clock.when(s)) {
                expiry = Some(expiry.map_or(at, |known| known.min(at)));
            }
        }
        if let Some(device) = &mut self.trust.device {
            device.expiry = expiry;
        }
    }

    fn tell_ownership(&mut self, now: Time) {
        self.links.set_ownership(self.trust.ownership());
        self.announce(now);
    }

    /// What a link has heard of the time, and whether it is there.
    pub(super) fn on_link(&mut self, which: Which, now: Time) {
        if let Some((unix_s, at)) = self.links.of_mut(which).owner.time.take() {
            match which {
                Which::Broker => self.trust.clock.set_by_link(unix_s, at),
                #[cfg(feature = "gateway")]
                Which::Gateway => self.trust.clock.set_by_gateway(unix_s, at),
            }
            self.check_permits(now);
            self.check_cloak(now);
        }
        if !self.links.of(which).is_online() {
            self.fail_notes(which, Reason::Offline);
        }
    }

    pub(super) fn on_trust_timeout(&mut self, now: Time) {
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if let Some(device) = &self.trust.device {
            let (is_expired, is_late) = (is_due(device.expiry), is_due(device.held.poll_timeout()));
            if is_expired {
                self.check_permits(now);
            }
            if is_late {
                self.retry_held(now);
            }
        }
        self.check_cloak(now);
        self.expire_notes(now);
    }

    fn tell_owner_event(&mut self, event: impl Into<Option<TrustEvent>>) {
        self.events.extend(event.into().map(Event::Trust));
    }
}
