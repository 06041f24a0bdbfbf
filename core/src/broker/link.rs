//! What the broker knows of one node's connection.
//!
//! Owns the node's standing, what it said of itself, and its allowance of introductions. Decides
//! nothing else: [`super::Broker`] does.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::base::{Path, PublicKey, Time};
use crate::wire::message::{CANDIDATES_MAX, MAPPING_UNKNOWN, ServiceInfo, ToBroker};

/// Time after which one more introduction may be asked for.
const CONNECT_INTERVAL: Duration = Duration::from_secs(1);

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
    pub(super) services: Vec<ServiceInfo>,
    pub(super) candidates: Vec<Path>,
    /// Messages that came before the store's answer.
    pub(super) waiting: Vec<ToBroker>,
    pub(super) watched: VecDeque<PublicKey>,
    pub(super) asks: usize,
    pub(super) bad_codes: u32,
    connects_left: u32,
    connects_at: Time,
}

impl Link {
    pub(super) fn new(key: PublicKey, observed: Path, connects: u32, now: Time) -> Self {
        Link {
            key,
            observed,
            mapping: MAPPING_UNKNOWN,
            standing: Standing::Unknown,
            has_hello: false,
            is_online: false,
            services: Vec::new(),
            candidates: Vec::new(),
            waiting: Vec::new(),
            watched: VecDeque::new(),
            asks: 0,
            bad_codes: 0,
            connects_left: connects,
            connects_at: now,
        }
    }

    /// Takes one introduction from the allowance, a bucket of `size` tokens that fills with time.
    pub(super) fn take_connect(&mut self, size: u32, now: Time) -> bool {
        let intervals = now.since(self.connects_at).as_secs() / CONNECT_INTERVAL.as_secs();
        let earned = u32::try_from(intervals).unwrap_or(u32::MAX);
        if earned >= size.saturating_sub(self.connects_left) {
            self.connects_left = size;
            self.connects_at = self.connects_at.max(now);
        } else {
            self.connects_left += earned;
            self.connects_at = self.connects_at + CONNECT_INTERVAL.saturating_mul(earned);
        }
        match self.connects_left.checked_sub(1) {
            Some(left) => {
                self.connects_left = left;
                true
            }
            None => false,
        }
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
