//! The broker's database, in memory: one-time codes, enrolled keys, devices' owners, answers that
//! take their time.
//!
//! Owns what a real store would keep, and the wall clock it goes by. Invariant: answers come in the
//! order asked, each after the delay set.

use rit_core::base::{PublicKey, Time};
use rit_core::broker::{Answer, AskId, Query, TrustRow, code_hash};
use rit_core::crypto;
use rit_core::wire::message::Ownership;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the store's wall clock says when virtual time starts.
pub const WALL_START_UNIX_S: u64 = 1_750_000_000;

/// A one-time code in the store.
#[derive(Clone, Debug)]
pub struct Code {
    /// After this it enrols nobody.
    pub expires_unix_s: u64,
    /// Whether it enrolled somebody.
    pub is_used: bool,
}

/// The broker's database, in memory.
#[derive(Default)]
pub struct Store {
    /// By [`code_hash`].
    pub codes: BTreeMap<[u8; 32], Code>,
    /// Keys that may connect.
    pub enrolled: BTreeSet<PublicKey>,
    /// Whose the devices are, and what the owners have taken back.
    pub trust: BTreeMap<PublicKey, TrustRow>,
    /// Answers every question with a failure.
    pub is_broken: bool,
    /// How long an answer takes.
    pub delay: Duration,
    pending: BTreeMap<(Time, u64), Query>,
    ids: BTreeMap<u64, AskId>,
    asked: u64,
}

impl Store {
    /// Adds a one-time code that lives for `lifetime_s` from the start of virtual time.
    pub fn add_code(&mut self, code: &str, lifetime_s: u64) {
        let hash = code_hash(crypto::default_provider(), code);
        let expires_unix_s = WALL_START_UNIX_S + lifetime_s;
        self.codes.insert(hash, Code { expires_unix_s, is_used: false });
    }

    pub(super) fn ask(&mut self, id: AskId, query: Query, now: Time) {
        self.pending.insert((now + self.delay, self.asked), query);
        self.ids.insert(self.asked, id);
        self.asked += 1;
    }

    pub(super) fn next_answer_at(&self) -> Option<Time> {
        self.pending.keys().next().map(|&(time, _)| time)
    }

    pub(super) fn answer(&mut self, now: Time) -> Option<(AskId, Answer)> {
        let entry = self.pending.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((_, number), query) = entry.remove_entry();
        let id = self.ids.remove(&number)?;
        if self.is_broken {
            return Some((id, Answer::Failed));
        }
        let is_enrolled = match query {
            Query::Trust { key } => {
                let row = self.trust.get(&key).cloned().map(Box::new);
                return Some((id, Answer::Trust(row)));
            }
            Query::Lookup { key } => self.enrolled.contains(&key),
            Query::Enrol { key, code_hash } => self.enrol(key, &code_hash, now),
        };
        Some((id, Answer::Enrolled(is_enrolled)))
    }

    /// A device told whom it obeys.
    pub(super) fn on_ownership(&mut self, device: PublicKey, told: Ownership) {
        let row = self.trust.entry(device).or_default();
        if (row.owner, row.epoch) != (told.owner, told.epoch) {
            *row = TrustRow { owner: told.owner, epoch: told.epoch, ..TrustRow::default() };
        }
    }

    /// Whoever asked is gone: nobody waits for answers.
    pub(super) fn forget_questions(&mut self) {
        self.pending.clear();
    }

    fn enrol(&mut self, key: PublicKey, code_hash: &[u8; 32], now: Time) -> bool {
        if self.enrolled.contains(&key) {
            return true;
        }
        let Some(code) = self.codes.get_mut(code_hash) else { return false };
        if code.is_used || code.expires_unix_s <= wall_unix_s(now) {
            return false;
        }
        code.is_used = true;
        self.enrolled.insert(key)
    }
}

pub(super) fn wall_unix_s(now: Time) -> u64 {
    WALL_START_UNIX_S + now.as_micros() / 1_000_000
}
