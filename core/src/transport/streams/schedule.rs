//! Whose turn it is to send: urgency and incremental flag (RFC 9218 §4), strictly by level.
//!
//! Owns the queues of streams by number. Does not own what a stream has to send, nor credit. A
//! stream stands in the data queues once at most, and in the queue for control frames once at most.
//! The queues keep their memory, so that steady traffic allocates nothing.
//!
//! A turn of an incremental stream is several packets where the path is fast: one stream's bytes
//! in a row are cheaper for both ends than a piece of each.

use crate::transport::{Priority, StreamId};
use alloc::collections::VecDeque;

/// Bytes of the longest turn.
pub(in crate::transport) const MAX_TURN: u64 = 64 * 1024;

/// Streams of one urgency with data to send.
#[derive(Default)]
struct Level {
    /// Not incremental: in the order of their numbers; the first is sent to its end.
    ordered: VecDeque<StreamId>,
    /// Incremental: the first sends, then goes to the end.
    turns: VecDeque<StreamId>,
}

impl Level {
    fn front(&self) -> Option<StreamId> {
        self.ordered.front().or_else(|| self.turns.front()).copied()
    }
}

/// The streams in line.
#[derive(Default)]
pub(super) struct Schedule {
    levels: [Level; Priority::LEVELS],
    /// Fresh data, but no connection credit; in the order in which it ran out.
    starved: VecDeque<StreamId>,
    /// RESET_STREAM, STOP_SENDING, MAX_STREAM_DATA: sent ahead of all data, whatever the urgency. A
    /// stream that waits for its level must not keep the peer waiting for these.
    control: VecDeque<StreamId>,
    /// Whose turn it was last, and the bytes it has had.
    turn: Option<(StreamId, u64)>,
}

impl Schedule {
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.front().is_none()
    }

    // ---- data

    /// The stream whose turn it is: of the most urgent level, an ordered one before the others.
    pub(super) fn front(&self) -> Option<StreamId> {
        self.levels.iter().find_map(Level::front)
    }

    /// Puts a stream that is not in line into it.
    pub(super) fn push(&mut self, id: StreamId, priority: Priority) {
        let level = &mut self.levels[priority.level()];
        if priority.is_incremental() {
            level.turns.push_back(id);
        } else {
            let at = level.ordered.partition_point(|other| *other < id);
            level.ordered.insert(at, id);
        }
    }

    /// Takes the front out of line.
    pub(super) fn pop(&mut self) -> Option<StreamId> {
        let level = self.levels.iter_mut().find(|level| level.front().is_some())?;
        level.ordered.pop_front().or_else(|| level.turns.pop_front())
    }

    /// The front has sent so many bytes and has more. Ends its turn if that is long enough where
    /// all have one in `round` bytes.
    pub(super) fn on_sent(&mut self, bytes: u64, round: u64) {
        let level = self.levels.iter_mut().find(|level| level.front().is_some());
        let Some(level) = level.filter(|level| level.ordered.is_empty()) else { return };
        let Some(front) = level.turns.front().copied() else { return };
        let before = self.turn.filter(|turn| turn.0 == front).map_or(0, |turn| turn.1);
        let share = round / level.turns.len() as u64;
        if before + bytes < share.min(MAX_TURN) {
            self.turn = Some((front, before + bytes));
        } else {
            self.turn = None;
            level.turns.rotate_left(1);
        }
    }

    /// Takes a stream out of line, wherever it stands.
    pub(super) fn remove(&mut self, id: StreamId, priority: Priority) {
        let level = &mut self.levels[priority.level()];
        let queue = if priority.is_incremental() { &mut level.turns } else { &mut level.ordered };
        remove_from(queue, id);
    }

    // ---- no credit

    pub(super) fn push_starved(&mut self, id: StreamId) {
        self.starved.push_back(id);
    }

    pub(super) fn pop_starved(&mut self) -> Option<StreamId> {
        self.starved.pop_front()
    }

    pub(super) fn remove_starved(&mut self, id: StreamId) {
        remove_from(&mut self.starved, id);
    }

    pub(super) fn has_starved(&self) -> bool {
        !self.starved.is_empty()
    }

    /// Whether each stream stands in the data queues once at most, and in the control queue.
    #[cfg(test)]
    pub(super) fn is_sound(&self) -> bool {
        use std::collections::BTreeSet;
        let data = || self.levels.iter().flat_map(|l| l.ordered.iter().chain(&l.turns));
        let data = || data().chain(&self.starved);
        let distinct = |ids: BTreeSet<&StreamId>| ids.len();
        distinct(data().collect()) == data().count()
            && distinct(self.control.iter().collect()) == self.control.len()
    }

    // ---- control frames

    pub(super) fn push_control(&mut self, id: StreamId) {
        self.control.push_back(id);
    }

    pub(super) fn control_front(&self) -> Option<StreamId> {
        self.control.front().copied()
    }

    pub(super) fn pop_control(&mut self) -> Option<StreamId> {
        self.control.pop_front()
    }
}

fn remove_from(queue: &mut VecDeque<StreamId>, id: StreamId) {
    if let Some(at) = queue.iter().position(|other| *other == id) {
        queue.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn priority(urgency: u8, is_incremental: bool) -> Priority {
        Priority::new(urgency, is_incremental).unwrap()
    }

    fn turns(schedule: &mut Schedule, count: usize) -> Vec<u64> {
        let mut served = Vec::new();
        for _ in 0..count {
            served.extend(schedule.front().map(|id| id.0));
            schedule.on_sent(1000, 0);
        }
        served
    }

    #[test]
    fn the_most_urgent_level_alone_is_served() {
        let mut schedule = Schedule::default();
        for urgency in [7, 3, 0] {
            schedule.push(StreamId(u64::from(urgency)), priority(urgency, true));
        }
        assert_eq!(turns(&mut schedule, 3), [0, 0, 0]);
        assert_eq!(schedule.pop(), Some(StreamId(0)));
        assert_eq!(turns(&mut schedule, 2), [3, 3]);
        schedule.remove(StreamId(3), priority(3, true));
        assert_eq!((schedule.pop(), schedule.pop()), (Some(StreamId(7)), None));
        assert!(schedule.is_empty());
    }

    #[test]
    fn within_a_level_ordered_ones_go_first_and_the_others_take_turns() {
        let mut schedule = Schedule::default();
        for (id, is_incremental) in [(0, true), (16, false), (8, true), (4, false), (12, true)] {
            schedule.push(StreamId(id), priority(3, is_incremental));
        }
        assert_eq!(turns(&mut schedule, 2), [4, 4]);
        assert_eq!((schedule.pop(), schedule.pop()), (Some(StreamId(4)), Some(StreamId(16))));
        assert_eq!(turns(&mut schedule, 5), [0, 8, 12, 0, 8]);
        // A lower number comes in between and is first.
        schedule.push(StreamId(20), priority(3, false));
        assert_eq!(schedule.front(), Some(StreamId(20)));
    }

    #[test]
    fn turns_are_long_where_a_round_is() {
        let mut schedule = Schedule::default();
        (0..4).for_each(|n| schedule.push(StreamId(n * 4), priority(3, true)));
        let mut bytes_of_turn = |round: u64| {
            let (front, mut bytes) = (schedule.front(), 0);
            while schedule.front() == front {
                schedule.on_sent(1000, round);
                bytes += 1000;
            }
            bytes
        };
        assert_eq!(bytes_of_turn(4_000), 1_000);
        assert_eq!(bytes_of_turn(4_004), 2_000);
        assert_eq!(bytes_of_turn(80_000), 20_000);
        assert_eq!(bytes_of_turn(u64::MAX), 66_000);
        // Who comes in between ends another's turn at the most.
        schedule.on_sent(19_000, 80_000);
        let front = schedule.front();
        schedule.push(StreamId(20), priority(2, true));
        schedule.on_sent(1_000, 80_000);
        assert_eq!(schedule.pop(), Some(StreamId(20)));
        schedule.on_sent(1_000, 80_000);
        assert_eq!(schedule.front(), front);
    }
}
