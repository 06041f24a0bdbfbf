//! Whose turn it is to send: urgency and incremental flag (RFC 9218 §4), strictly by level, and
//! shares within a level.
//!
//! Owns the queues of streams by number. Does not own what a stream has to send, nor credit. A
//! stream stands in the data queues once at most, and in the queue for control frames once at most.
//! The queues keep their memory, so that steady traffic allocates nothing.
//!
//! Incremental streams share as in start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996): each
//! has a time up to which it was served, counted in bytes over its weight, and the one with the
//! least is next. A turn is several packets where the path is fast: one stream's bytes in a row are
//! cheaper for both ends than a piece of each. Streams of a share have its weight together.

use crate::transport::{Priority, StreamId, WEIGHT_DEFAULT};
#[cfg(feature = "media")]
use crate::transport::{SHARES_MAX, StreamError};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Bytes of the longest turn.
pub(in crate::transport) const MAX_TURN: u64 = 64 * 1024;

/// What a stream keeps while it is not in line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Its share; `None`: one of its own, of the default weight.
    pub(super) share: Option<u8>,
    /// Up to when it was served, in its level's time.
    pub(super) served: u64,
}

#[derive(Clone, Copy)]
struct Place {
    id: StreamId,
    ticket: Ticket,
}

/// Streams of one priority with data to send. Not incremental: in the order of their numbers; the
/// first is sent to its end. Incremental: in the order of the times up to which they were served,
/// but that the first may be in the middle of its turn.
struct Queue {
    priority: Priority,
    places: VecDeque<Place>,
    /// Up to when whose turn it was last had been served when it began.
    now: u64,
    /// How many of each share are in this queue.
    waiting: Vec<u32>,
}

impl Queue {
    fn new(priority: Priority) -> Self {
        Queue { priority, places: VecDeque::new(), now: 0, waiting: Vec::new() }
    }

    /// Puts it into line, behind those that were served as far, and the first `keep`.
    fn insert(&mut self, place: Place, keep: usize) {
        let at = if self.priority.is_incremental() {
            let served = place.ticket.served;
            self.places.partition_point(|other| other.ticket.served <= served)
        } else {
            self.places.partition_point(|other| other.id < place.id)
        };
        self.places.insert(at.max(keep.min(self.places.len())), place);
    }

    /// How many wait with it for what one gets.
    fn together(&self, ticket: &Ticket) -> u64 {
        let share = ticket.share.and_then(|share| self.waiting.get(usize::from(share)));
        share.map_or(1, |count| u64::from(*count).max(1))
    }

    fn count(&mut self, share: Option<u8>, by: i32) {
        let Some(share) = share.map(usize::from) else { return };
        if share >= self.waiting.len() {
            self.waiting.resize(share + 1, 0);
        }
        self.waiting[share] = self.waiting[share].saturating_add_signed(by);
    }

    fn take(&mut self, at: usize) -> Option<Ticket> {
        let ticket = self.places.remove(at)?.ticket;
        self.count(ticket.share, -1);
        Some(ticket)
    }
}

/// The streams in line.
#[derive(Default)]
pub(super) struct Schedule {
    /// Those of the priorities that were ever used, the one to be served first at the front.
    queues: Vec<Queue>,
    /// The weight of each share.
    weights: Vec<u16>,
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

fn weight_of(weights: &[u16], share: Option<u8>) -> u64 {
    let weight = share.and_then(|share| weights.get(usize::from(share)));
    u64::from(*weight.unwrap_or(&WEIGHT_DEFAULT))
}

/// What a stream has had of the turn that is on.
fn had_of(turn: Option<(StreamId, u64)>, id: StreamId) -> u64 {
    turn.filter(|(whose, _)| *whose == id).map_or(0, |(_, had)| had)
}

impl Schedule {
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.front().is_none()
    }

    /// The weight of a share from now on.
    #[cfg(feature = "media")]
    pub(super) fn set_weight(&mut self, share: u8, weight: u16) -> Result<(), StreamError> {
        let share = usize::from(share);
        if share >= SHARES_MAX {
            return Err(StreamError::Limit);
        }
        if share >= self.weights.len() {
            self.weights.resize(share + 1, WEIGHT_DEFAULT);
        }
        self.weights[share] = weight.max(1);
        Ok(())
    }

    // ---- data

    /// The stream whose turn it is: of the most urgent level, an ordered one before the others.
    pub(super) fn front(&self) -> Option<StreamId> {
        self.queues.iter().find_map(|queue| queue.places.front()).map(|place| place.id)
    }

    fn first(&mut self) -> Option<&mut Queue> {
        self.queues.iter_mut().find(|queue| !queue.places.is_empty())
    }

    fn find(&self, priority: Priority) -> Result<usize, usize> {
        self.queues.binary_search_by_key(&rank(priority), |queue| rank(queue.priority))
    }

    /// Puts a stream that is not in line into it. Who comes back has what it had before counted,
    /// and who was away nothing saved up.
    pub(super) fn push(&mut self, id: StreamId, priority: Priority, mut ticket: Ticket) {
        let at = self.find(priority).unwrap_or_else(|place| {
            self.queues.reserve_exact(1);
            self.queues.insert(place, Queue::new(priority));
            place
        });
        let turn = self.turn.map(|turn| turn.0);
        let queue = &mut self.queues[at];
        let is_on = queue.places.front().is_some_and(|front| Some(front.id) == turn);
        ticket.served = ticket.served.max(queue.now);
        queue.count(ticket.share, 1);
        let keep = usize::from(is_on && priority.is_incremental());
        queue.insert(Place { id, ticket }, keep);
    }

    /// Takes the front out of line.
    pub(super) fn pop(&mut self) -> Option<Ticket> {
        self.first()?.take(0)
    }

    /// The front has sent so many bytes.
    pub(super) fn on_sent(&mut self, bytes: u64) {
        let Schedule { queues, weights, turn, .. } = self;
        let Some(queue) = queues.iter_mut().find(|queue| !queue.places.is_empty()) else { return };
        let Some(Place { id, ticket }) = queue.places.front().copied() else { return };
        let before = had_of(*turn, id);
        *turn = Some((id, before + bytes));
        if before == 0 {
            queue.now = queue.now.max(ticket.served);
        }
        let weight = weight_of(weights, ticket.share);
        let spent = bytes * queue.together(&ticket) * u64::from(WEIGHT_DEFAULT) / weight;
        if let Some(front) = queue.places.front_mut() {
            front.ticket.served = ticket.served.saturating_add(spent);
        }
    }

    /// Ends the front's turn if it was long enough where all have one in `round` bytes.
    pub(super) fn end_turn(&mut self, round: u64) {
        let turn = self.turn;
        let Some(queue) = self.first().filter(|queue| queue.priority.is_incremental()) else {
            return;
        };
        let Some(front) = queue.places.front().map(|front| front.id) else { return };
        if had_of(turn, front) < (round / queue.places.len() as u64).min(MAX_TURN) {
            return;
        }
        if let Some(place) = queue.places.pop_front() {
            queue.insert(place, 0);
        }
        self.turn = None;
    }

    /// Takes a stream out of line, wherever it stands.
    pub(super) fn remove(&mut self, id: StreamId, priority: Priority) -> Option<Ticket> {
        let queue = self.find(priority).ok()?;
        let queue = &mut self.queues[queue];
        let at = queue.places.iter().position(|place| place.id == id)?;
        queue.take(at)
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
        let places = || self.queues.iter().flat_map(|queue| &queue.places);
        let data = || places().map(|place| &place.id).chain(&self.starved);
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

    fn push(schedule: &mut Schedule, id: u64, priority: Priority) {
        schedule.push(StreamId(id), priority, Ticket::default());
    }

    fn send(schedule: &mut Schedule, bytes: u64, round: u64) {
        schedule.on_sent(bytes);
        schedule.end_turn(round);
    }

    fn pop(schedule: &mut Schedule) -> Option<u64> {
        let front = schedule.front();
        schedule.pop().and(front).map(|id| id.0)
    }

    fn turns(schedule: &mut Schedule, count: usize) -> Vec<u64> {
        let mut served = Vec::new();
        for _ in 0..count {
            served.extend(schedule.front().map(|id| id.0));
            send(schedule, 1000, 0);
        }
        served
    }

    #[test]
    fn the_most_urgent_level_alone_is_served() {
        let mut schedule = Schedule::default();
        for urgency in [7, 3, 0] {
            push(&mut schedule, u64::from(urgency), priority(urgency, true));
        }
        assert_eq!(turns(&mut schedule, 3), [0, 0, 0]);
        assert_eq!(pop(&mut schedule), Some(0));
        assert_eq!(turns(&mut schedule, 2), [3, 3]);
        schedule.remove(StreamId(3), priority(3, true));
        assert_eq!((pop(&mut schedule), pop(&mut schedule)), (Some(7), None));
        assert!(schedule.is_empty());
    }

    #[test]
    fn within_a_level_ordered_ones_go_first_and_the_others_take_turns() {
        let mut schedule = Schedule::default();
        for (id, is_incremental) in [(0, true), (16, false), (8, true), (4, false), (12, true)] {
            push(&mut schedule, id, priority(3, is_incremental));
        }
        assert_eq!(turns(&mut schedule, 2), [4, 4]);
        assert_eq!((pop(&mut schedule), pop(&mut schedule)), (Some(4), Some(16)));
        assert_eq!(turns(&mut schedule, 5), [0, 8, 12, 0, 8]);
        // A lower number comes in between and is first.
        push(&mut schedule, 20, priority(3, false));
        assert_eq!(schedule.front(), Some(StreamId(20)));
    }

    #[test]
    fn turns_are_long_where_a_round_is() {
        let mut schedule = Schedule::default();
        (0..4).for_each(|n| push(&mut schedule, n * 4, priority(3, true)));
        let mut bytes_of_turn = |round: u64| {
            let (front, mut bytes) = (schedule.front(), 0);
            while schedule.front() == front {
                send(&mut schedule, 1000, round);
                bytes += 1000;
            }
            bytes
        };
        assert_eq!(bytes_of_turn(4_000), 1_000);
        assert_eq!(bytes_of_turn(4_004), 2_000);
        assert_eq!(bytes_of_turn(80_000), 20_000);
        assert_eq!(bytes_of_turn(u64::MAX), 66_000);
        // Who comes in between ends another's turn at the most.
        send(&mut schedule, 19_000, 80_000);
        let front = schedule.front();
        push(&mut schedule, 20, priority(2, true));
        send(&mut schedule, 1_000, 80_000);
        assert_eq!(pop(&mut schedule), Some(20));
        send(&mut schedule, 1_000, 80_000);
        assert_eq!(schedule.front(), front);
    }

    /// Bytes that each of `count` streams got of what was sent in packets of 1000 bytes.
    fn shares(schedule: &mut Schedule, count: usize, packets: usize, round: u64) -> Vec<u64> {
        let mut got = std::vec![0; count];
        for _ in 0..packets {
            got[schedule.front().unwrap().0 as usize] += 1000;
            send(schedule, 1000, round);
        }
        got
    }

    #[test]
    fn shares_are_as_their_weights() {
        for round in [0, 20_000, u64::MAX] {
            let mut schedule = Schedule::default();
            for (share, weight) in [(0, 1), (1, 3), (2, 256)] {
                schedule.set_weight(share, weight).unwrap();
                let ticket = Ticket { share: Some(share), served: 0 };
                schedule.push(StreamId(share.into()), priority(3, true), ticket);
            }
            let got = shares(&mut schedule, 3, 260_000, round);
            for (got, weight) in got.iter().zip([1_u64, 3, 256]) {
                let wanted = weight * 1_000_000;
                assert!(got.abs_diff(wanted) <= 2 * MAX_TURN, "{got} of {wanted}");
            }
        }
    }

    #[test]
    fn streams_of_a_share_have_its_weight_together() {
        let mut schedule = Schedule::default();
        schedule.set_weight(0, 32).unwrap();
        for (id, share) in [(0, Some(0)), (1, Some(0)), (2, Some(0)), (3, None)] {
            schedule.push(StreamId(id), priority(3, true), Ticket { share, served: 0 });
        }
        let got = shares(&mut schedule, 4, 9_000, 0);
        assert!(got.iter().take(3).all(|got| got.abs_diff(2_000_000) < 5000), "{got:?}");
        // What one of them leaves is the others', not that of whoever is beside them.
        schedule.remove(StreamId(1), priority(3, true)).unwrap();
        let got = shares(&mut schedule, 4, 9_000, 0);
        assert!(got[0].abs_diff(3_000_000) < 9000 && got[3].abs_diff(3_000_000) < 9000, "{got:?}");
    }

    #[test]
    fn who_writes_little_by_little_has_its_share_all_the_same() {
        let mut schedule = Schedule::default();
        schedule.set_weight(0, 1).unwrap();
        schedule.push(StreamId(0), priority(3, true), Ticket { share: Some(0), served: 0 });
        push(&mut schedule, 1, priority(3, true));
        let mut got = [0; 2];
        for _ in 0..17_000 {
            let front = schedule.front().unwrap();
            got[front.0 as usize] += 1;
            schedule.on_sent(1000);
            // All that it had; more comes at once.
            let ticket = schedule.pop().unwrap();
            schedule.push(front, priority(3, true), ticket);
        }
        assert!((900..1100).contains(&got[0]), "{got:?}");
    }

    #[test]
    fn who_was_away_has_nothing_saved_up() {
        let mut schedule = Schedule::default();
        push(&mut schedule, 0, priority(3, true));
        shares(&mut schedule, 1, 1000, 0);
        push(&mut schedule, 1, priority(3, true));
        let got = shares(&mut schedule, 2, 1000, 0);
        assert!(got[0].abs_diff(got[1]) <= 2000, "{got:?}");
    }

    #[test]
    fn shares_at_and_over_the_limit() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.set_weight(SHARES_MAX as u8 - 1, 1), Ok(()));
        assert_eq!(schedule.set_weight(SHARES_MAX as u8, 1), Err(StreamError::Limit));
    }
}
