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
use alloc::vec::Vec;

/// Bytes of the longest turn.
pub(in crate::transport) const MAX_TURN: u64 = 64 * 1024;

/// Streams of one priority with data to send. Not incremental: in the order of their numbers; the
/// first is sent to its end. Incremental: the first sends, then goes to the end.
struct Queue {
    priority: Priority,
    streams: VecDeque<StreamId>,
}

/// The streams in line.
#[derive(Default)]
pub(super) struct Schedule {
    /// Those of the priorities that were ever used, the one to be served first at the front.
    queues: Vec<Queue>,
    /// Fresh data, but no connection credit; in the order in which it ran out.
    starved: VecDeque<StreamId>,
    /// RESET_STREAM, STOP_SENDING, MAX_STREAM_DATA: sent ahead of all data, whatever the urgency. A
    /// stream that waits for its level must not keep the peer waiting for these.
    control: VecDeque<StreamId>,
    /// Whose turn it was last, and the bytes it has had.
    turn: Option<(StreamId, u64)>,
}

/// What is served first comes first.
fn rank(priority: Priority) -> (usize, bool) {
    (priority.level(), priority.is_incremental())
}

impl Schedule {
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.front().is_none()
    }

    // ---- data

    /// The stream whose turn it is: of the most urgent level, an ordered one before the others.
    pub(super) fn front(&self) -> Option<StreamId> {
        self.queues.iter().find_map(|queue| queue.streams.front()).copied()
    }

    fn first(&mut self) -> Option<&mut Queue> {
        self.queues.iter_mut().find(|queue| !queue.streams.is_empty())
    }

    fn find(&self, priority: Priority) -> Result<usize, usize> {
        self.queues.binary_search_by_key(&rank(priority), |queue| rank(queue.priority))
    }

    /// Puts a stream that is not in line into it.
    pub(super) fn push(&mut self, id: StreamId, priority: Priority) {
        let place = self.find(priority).unwrap_or_else(|place| {
            self.queues.reserve_exact(1);
            self.queues.insert(place, Queue { priority, streams: VecDeque::new() });
            place
        });
        let streams = &mut self.queues[place].streams;
        if priority.is_incremental() {
            streams.push_back(id);
        } else {
            let at = streams.partition_point(|other| *other < id);
            streams.insert(at, id);
        }
    }

    /// Takes the front out of line.
    pub(super) fn pop(&mut self) -> Option<StreamId> {
        self.first()?.streams.pop_front()
    }

    /// The front has sent so many bytes and has more. Ends its turn if that is long enough where
    /// all have one in `round` bytes.
    pub(super) fn on_sent(&mut self, bytes: u64, round: u64) {
        let turn = self.turn;
        let Some(queue) = self.first().filter(|queue| queue.priority.is_incremental()) else {
            return;
        };
        let Some(front) = queue.streams.front().copied() else { return };
        let before = turn.filter(|turn| turn.0 == front).map_or(0, |turn| turn.1);
        let share = round / queue.streams.len() as u64;
        let is_over = before + bytes >= share.min(MAX_TURN);
        if is_over {
            queue.streams.rotate_left(1);
        }
        self.turn = (!is_over).then_some((front, before + bytes));
    }

    /// Takes a stream out of line, wherever it stands.
    pub(super) fn remove(&mut self, id: StreamId, priority: Priority) {
        if let Ok(place) = self.find(priority) {
            remove_from(&mut self.queues[place].streams, id);
        }
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
        let data = || self.queues.iter().flat_map(|queue| &queue.streams);
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
