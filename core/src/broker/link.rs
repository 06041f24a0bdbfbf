//! What the broker knows of one node's connection.
//!
//! Owns the node's standing, what it said of itself, and its allowance of introductions. Decides
//! nothing else: [`super::Broker`] does.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::trust::LinkTrust;
use super::{BrokerEvent, Limits};
use crate::base::{Path, PublicKey, Time};
use crate::wire::message::{CANDIDATES_MAX, MAPPING_UNKNOWN, ServiceInfo, ToBroker};

/// Time after which one more introduction, or note, may be asked for.
const TOKEN_INTERVAL: Duration = Duration::from_secs(1);

/// Who the node is to this broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The store has not said yet.
    Unknown,
    /// Not enrolled, and may try until the deadline.
    Stranger { deadline: Time },
    /// Enrolled.
    Enrolled,
}

pub(super) struct Link {
    pub(super) key: PublicKey,
    pub(super) observed: Path,
    /// How its NAT maps, as offers say it.
    pub(super) mapping: u8,
    pub(super) standing: Standing,
    pub(super) has_hello: bool,
    pub(super) is_online: bool,
    pub(super) firmware: String,
    pub(super) services: Vec<ServiceInfo>,
    pub(super) candidates: Vec<Path>,
    /// Messages that came before the store's answer.
    pub(super) waiting: Vec<ToBroker>,
    pub(super) watched: VecDeque<PublicKey>,
    pub(super) asks: usize,
    pub(super) bad_codes: u32,
    pub(super) trust: LinkTrust,
    connects: Allowance,
    notes: Allowance,
}

/// A bucket of tokens that fills with time.
struct Allowance {
    left: u32,
    at: Time,
}

impl Link {
    pub(super) fn new(key: PublicKey, observed: Path, limits: &Limits, now: Time) -> Self {
        Link {
            key,
            observed,
            mapping: MAPPING_UNKNOWN,
            standing: Standing::Unknown,
            has_hello: false,
            is_online: false,
            firmware: String::new(),
            services: Vec::new(),
            candidates: Vec::new(),
            waiting: Vec::new(),
            watched: VecDeque::new(),
            asks: 0,
            bad_codes: 0,
            trust: LinkTrust::default(),
            connects: Allowance { left: limits.connects, at: now },
            notes: Allowance { left: limits.notes, at: now },
        }
    }

    /// That it is online, and what it says of itself.
    pub(super) fn online_event(&self) -> BrokerEvent {
        BrokerEvent::NodeOnline {
            key: self.key,
            path: self.observed,
            firmware: self.firmware.clone(),
            services: self.services.clone(),
        }
    }

    /// Takes one introduction from the allowance of `size`.
    pub(super) fn take_connect(&mut self, size: u32, now: Time) -> bool {
        self.connects.take(size, now)
    }

    /// Takes one note, or question for the time, from the allowance of `size`.
    pub(super) fn take_note(&mut self, size: u32, now: Time) -> bool {
        self.notes.take(size, now)
    }

    /// Where the node may be reached: first where it is seen, unless that is by TCP, then what it
    /// said, without repeats.
    pub(super) fn all_candidates(&self) -> Vec<Path> {
        let observed = Path { ifindex: 0, ..self.observed };
        let seen = Some(observed).filter(|path| path.socket != Path::TLS);
        let others = self.candidates.iter().copied().filter(|path| Some(*path) != seen);
        seen.into_iter().chain(others).take(CANDIDATES_MAX).collect()
    }
}

impl Allowance {
    /// Takes one token; there are at most `size`.
    fn take(&mut self, size: u32, now: Time) -> bool {
        let intervals = now.since(self.at).as_secs() / TOKEN_INTERVAL.as_secs();
        let earned = u32::try_from(intervals).unwrap_or(u32::MAX);
        if earned >= size.saturating_sub(self.left) {
            self.left = size;
            self.at = self.at.max(now);
        } else {
            self.left += earned;
            self.at = self.at + TOKEN_INTERVAL.saturating_mul(earned);
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}
