//! What must hold after every step, and once all has come to rest.

use super::sut::{Place, SIDES, Sut};
use super::way::{Parcel, Way};
use super::{FIRST_WRITE, MAX_STREAMS, SEND_BUFFER, SESSION_WINDOW, STREAM_WINDOW};
use crate::transport::{StreamId, StreamState};
use std::vec::Vec;

impl Sut {
    /// Takes the events of the step and compares all that can be seen of both ends.
    pub(super) fn check(&mut self) {
        for end in 0..2 {
            self.drain_events(end);
            self.check_waiting(end);
            self.check_states(end);
            self.check_sums(end);
            assert!(self.ends[end].schedule.is_sound(), "a stream stands in line twice");
            if !self.ends[end].has_pending() {
                self.check_drained(end);
            }
        }
        for both in self.streams.values() {
            for way in &both.ways {
                assert!(way.end <= way.next && way.next <= way.limit, "{way:?}");
                assert!(way.limit <= way.announced, "believed, but never told: {way:?}");
                assert!(way.announced <= way.read + STREAM_WINDOW, "{way:?}");
            }
        }
    }

    fn drain_events(&mut self, end: usize) {
        while let Some(id) = self.ends[end].poll_opened() {
            let expected = self.models[end].to_be_opened.pop_front();
            assert_eq!(Some(id), expected, "opened once, in order");
            if let Some((hold, ..)) = self.at(end, id) {
                hold.waits_to_read = false;
                hold.must_be_told = false;
            }
        }
        assert!(self.models[end].to_be_opened.is_empty(), "not told of a new stream");
        while let Some(id) = self.ends[end].poll_changed() {
            let (hold, ..) = self.at(end, id).expect("told of a stream that is over");
            assert!(!hold.is_released, "told of a stream let go of");
            (hold.waits_to_read, hold.waits_to_write) = (false, false);
            hold.must_be_told = false;
        }
    }

    /// Nobody waits for something that is there.
    fn check_waiting(&self, end: usize) {
        let has_room = self.buffered(end) < SESSION_WINDOW;
        for (id, both) in self.live(end) {
            let (hold, out, into) = (&both.holds[end], &both.ways[end], &both.ways[1 - end]);
            if hold.is_released {
                continue;
            }
            assert!(!hold.must_be_told, "{id:?}: not told of a reset, stop or deadline");
            assert!(!(hold.waits_to_read && into.is_readable()), "{id:?}: its reader is asleep");
            let can_write = has_room && out.buffered() < SEND_BUFFER / 2;
            let is_open = out.check_open().is_ok();
            assert!(!(hold.waits_to_write && can_write && is_open), "{id:?}: its writer is asleep");
        }
    }

    fn check_states(&self, end: usize) {
        for (id, both) in &self.streams {
            let (hold, out, into) = (&both.holds[end], &both.ways[end], &both.ways[1 - end]);
            let expected = (hold.place == Place::Live).then(|| StreamState {
                is_readable: into.is_readable(),
                is_writable: out.check_open().is_ok() && out.buffered() < SEND_BUFFER,
                reset: into.rx_reset,
                stopped: out.stopped,
                is_delivered: out.is_delivered(),
                is_expired: out.is_expired,
            });
            assert_eq!(self.ends[end].state(*id), expected, "{id:?} at {:?}", SIDES[end]);
        }
        assert_eq!(self.ends[end].count(), self.live(end).count());
    }

    /// The connection's windows are the sum of what the streams use.
    fn check_sums(&self, end: usize) {
        let (streams, model) = (&self.ends[end], &self.models[end]);
        let actual = (streams.sent, streams.arrived, streams.consumed, streams.buffered().1);
        let expected = (self.sent(end), self.arrived(end), self.consumed(end), self.buffered(end));
        assert_eq!(actual, expected, "sent, arrived, consumed, buffered at {:?}", SIDES[end]);
        assert!(self.arrived(end) <= self.sent(1 - end), "{:?}", SIDES[end]);
        assert!(self.arrived(end) - self.consumed(end) <= SESSION_WINDOW, "too much is unread");
        let peer = &self.models[1 - end];
        assert!(self.sent(end) <= model.send_max, "more than the connection allows");
        assert!(model.send_max <= peer.announced, "believed, but never told");
        let free_writes = FIRST_WRITE * self.live(end).count() as u64;
        assert!(self.buffered(end) <= SESSION_WINDOW + free_writes, "too much is unacknowledged");
    }

    // ---- rest

    /// Delivers and acknowledges all there is, in order, and lets readers that are told read, until
    /// nothing moves any more.
    pub(super) fn settle(&mut self) {
        for _ in 0..1_000 {
            for end in 0..2 {
                while self.ends[end].has_pending() && self.send(end, 300) {
                    assert!(self.packets.len() < 1_000, "it never falls silent");
                }
            }
            let mut has_moved = !self.packets.is_empty();
            for index in 0..self.packets.len() {
                if self.packets[index].is_on_net {
                    self.deliver(index, false);
                }
                match (self.packets[index].is_settled, self.packets[index].is_delivered) {
                    (true, _) => {}
                    (false, true) => self.ack(index),
                    (false, false) => self.lose(index, false),
                }
            }
            self.packets.clear();
            self.check();
            for end in 0..2 {
                has_moved |= self.read_what_is_told(end);
            }
            self.check();
            if !has_moved {
                return self.check_rest();
            }
        }
        panic!("there is no rest");
    }

    /// At rest all that was written has arrived or was given up, and all credit is back.
    fn check_rest(&self) {
        for (id, both) in &self.streams {
            for (end, way) in both.ways.iter().enumerate() {
                self.check_way_at_rest(*id, end, way);
            }
        }
        for end in 0..2 {
            assert_eq!(self.ends[end].buffered(), (0, 0), "something is kept");
            assert_eq!(self.sent(end), self.arrived(1 - end), "credit is lost on the way");
            let model = &self.models[end];
            assert!(model.send_max == self.models[1 - end].announced, "a limit is not told");
            let credit = model.send_max - self.sent(end);
            assert!(credit > SESSION_WINDOW * 3 / 4, "only {credit} of credit is back");
        }
    }

    fn check_way_at_rest(&self, id: StreamId, end: usize, way: &Way) {
        let ends = [end, 1 - end].map(|end| self.streams[&id].holds[end].place);
        if way.reset.is_some() {
            assert_eq!(way.reset_parcel, Parcel::Acked, "{id:?} {way:?}");
            let is_known = way.rx_reset.is_some() || way.final_size.is_some();
            assert!(is_known || ends[1] == Place::Gone, "{id:?}: the reset is lost: {way:?}");
            return;
        }
        assert_eq!((way.next, way.buffered()), (way.written, 0), "{id:?}: {way:?}");
        assert!(matches!(way.fin, Parcel::None | Parcel::Acked), "{id:?}: its end is not there");
        assert!(way.rx_stop.is_none() || way.is_sent(), "{id:?}: the stop is lost: {way:?}");
        if way.rx_stop.is_none() && ends[1] == Place::Live {
            assert_eq!((way.end, way.read), (way.written, way.written), "{id:?}: {way:?}");
            assert_eq!(way.is_end_told, way.fin == Parcel::Acked, "{id:?}: {way:?}");
        }
    }

    /// Everybody lets go of everything: nothing is left, and as many streams as at first can be
    /// opened.
    pub(super) fn end(mut self) {
        self.settle();
        for _ in 0..10 {
            for end in 0..2 {
                let held = |id: &StreamId| !self.streams[id].holds[end].is_released;
                let ids: Vec<StreamId> = self.live_ids(end).into_iter().filter(held).collect();
                for id in ids {
                    self.app(end, id, super::Op::Release(9));
                }
            }
            self.settle();
        }
        for end in 0..2 {
            let (streams, model) = (&self.ends[end], &self.models[end]);
            assert_eq!((streams.count(), streams.memory()), (0, 0), "a stream is left");
            assert_eq!(streams.next_deadline(), None);
            assert!(streams.waiting.is_empty() && streams.schedule.is_empty());
            assert_eq!(model.max_own - model.opened, MAX_STREAMS, "streams are not given back");
        }
    }
}
