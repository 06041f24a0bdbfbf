//! Both ends' streams, the net between them, and the model advanced beside them.
//!
//! Each frame an end writes is taken apart and held against the model before it is put on the net;
//! each answer of a call is compared with the model's.

use super::super::Streams;
use super::way::{Parcel, Way, bytes};
use super::{CODE_EXPIRED, MAX_STREAMS, Op, SESSION_WINDOW, config};
use crate::base::{Side, Time};
use crate::transport::sent::SentFrame;
use crate::transport::{Priority, StreamError, StreamId};
use crate::wire::codec::{Reader, Writer};
use crate::wire::frame::Frame;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::vec;
use std::vec::Vec;

pub(super) const SIDES: [Side; 2] = [Side::Initiator, Side::Responder];
/// No packet is larger.
pub(super) const PACKET_MAX: usize = 400;
/// All have their turn in so many bytes; each frame has four at least.
const ROUND: u64 = 200;
const FRAMES_IN_ROUND: usize = ROUND as usize / 4;

/// Whether an end has a stream in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    NotYet,
    Live,
    Gone,
}

/// What one end knows of a stream besides its bytes, and what its application is waiting for.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) place: Place,
    pub(super) is_released: bool,
    priority: Priority,
    /// Turns that others of its level had while it had something to send.
    passed: usize,
    pub(super) waits_to_read: bool,
    pub(super) waits_to_write: bool,
    pub(super) must_be_told: bool,
}

#[derive(Debug)]
pub(super) struct Both {
    /// By sender.
    pub(super) ways: [Way; 2],
    pub(super) holds: [Hold; 2],
}

/// What one end knows of the connection.
#[derive(Debug)]
pub(super) struct EndModel {
    pub(super) opened: u64,
    pub(super) max_own: u64,
    /// How many of the peer's streams it knows.
    seen: u64,
    max_remote: u64,
    max_streams_parcel: Parcel,
    /// MAX_DATA that has arrived, and that was told.
    pub(super) send_max: u64,
    pub(super) announced: u64,
    max_data_parcel: Parcel,
    pub(super) to_be_opened: VecDeque<StreamId>,
}

#[derive(Debug)]
pub(super) struct Packet {
    from: usize,
    bytes: Vec<u8>,
    sent: Vec<SentFrame>,
    pub(super) is_on_net: bool,
    pub(super) is_delivered: bool,
    pub(super) is_settled: bool,
}

pub(super) struct Sut {
    pub(super) ends: [Streams; 2],
    pub(super) streams: BTreeMap<StreamId, Both>,
    pub(super) models: [EndModel; 2],
    pub(super) packets: Vec<Packet>,
    pub(super) now: Time,
}

pub(super) fn stream_id(opener: usize, ordinal: u64) -> StreamId {
    StreamId(ordinal << 2 | opener as u64)
}

impl Sut {
    pub(super) fn new() -> Sut {
        let config = config();
        let model = || EndModel {
            opened: 0,
            max_own: MAX_STREAMS,
            seen: 0,
            max_remote: MAX_STREAMS,
            max_streams_parcel: Parcel::None,
            send_max: SESSION_WINDOW,
            announced: SESSION_WINDOW,
            max_data_parcel: Parcel::None,
            to_be_opened: VecDeque::new(),
        };
        let mut ends = SIDES.map(|side| Streams::new(side, &config));
        ends.iter_mut().for_each(|end| end.on_params(&config.params()));
        Sut {
            ends,
            streams: BTreeMap::new(),
            models: [model(), model()],
            packets: Vec::new(),
            now: Time::ZERO,
        }
    }

    // ---- what the model says of an end

    fn ways(&self, end: usize) -> impl Iterator<Item = (&Both, &Way, &Way)> {
        self.streams.values().map(move |both| (both, &both.ways[end], &both.ways[1 - end]))
    }

    pub(super) fn live(&self, end: usize) -> impl Iterator<Item = (StreamId, &Both)> {
        let is_live = move |both: &Both| both.holds[end].place == Place::Live;
        self.streams.iter().filter(move |(_, both)| is_live(both)).map(|(id, both)| (*id, both))
    }

    pub(super) fn live_ids(&self, end: usize) -> Vec<StreamId> {
        self.live(end).map(|(id, _)| id).collect()
    }

    pub(super) fn sent(&self, end: usize) -> u64 {
        self.ways(end).map(|(_, out, _)| out.next).sum()
    }

    pub(super) fn arrived(&self, end: usize) -> u64 {
        self.ways(end).map(|(_, _, into)| into.end).sum()
    }

    pub(super) fn consumed(&self, end: usize) -> u64 {
        self.ways(end).map(|(_, _, into)| into.consumed()).sum()
    }

    pub(super) fn buffered(&self, end: usize) -> u64 {
        self.ways(end).map(|(_, out, _)| out.buffered()).sum()
    }

    fn credit(&self, end: usize) -> u64 {
        self.models[end].send_max - self.sent(end)
    }

    fn insert(&mut self, id: StreamId, opener: usize) {
        let hold = |place| Hold {
            place,
            is_released: false,
            priority: Priority::default(),
            passed: 0,
            // Its peer is told of it, and looks.
            waits_to_read: place == Place::Live,
            waits_to_write: false,
            must_be_told: false,
        };
        let place = |end| if end == opener { Place::Live } else { Place::NotYet };
        let both = Both { ways: [Way::new(), Way::new()], holds: [hold(place(0)), hold(place(1))] };
        assert!(self.streams.insert(id, both).is_none(), "a number used twice");
    }

    /// The stream, as one end has it: its hold, what it sends, what it gets.
    pub(super) fn at(
        &mut self,
        end: usize,
        id: StreamId,
    ) -> Option<(&mut Hold, &mut Way, &mut Way)> {
        let both = self.streams.get_mut(&id)?;
        let [first, second] = &mut both.ways;
        let (out, into) = if end == 0 { (first, second) } else { (second, first) };
        let hold = &mut both.holds[end];
        (hold.place == Place::Live).then_some((hold, out, into))
    }

    /// A stream whose sides are both over, and that nobody holds, is forgotten.
    fn collect(&mut self, end: usize, id: StreamId) {
        let Some((hold, out, into)) = self.at(end, id) else { return };
        if hold.is_released && out.is_sent() && into.is_received() {
            hold.place = Place::Gone;
            out.deadline = None;
            if id.0 & 1 != end as u64 {
                self.models[end].max_remote += 1;
                self.models[end].max_streams_parcel = Parcel::Pending;
            }
        }
    }

    /// The receiver tells its limit again when a quarter of the window is used.
    fn on_consumed(&mut self, end: usize) {
        let free = self.consumed(end) + SESSION_WINDOW - self.models[end].announced;
        if free >= SESSION_WINDOW / 4 {
            self.models[end].max_data_parcel = Parcel::Pending;
        }
    }

    // ---- what applications do

    pub(super) fn open(&mut self, end: usize) {
        let model = &mut self.models[end];
        let expected = match model.opened < model.max_own {
            true => Ok(stream_id(end, model.opened)),
            false => Err(StreamError::Limit),
        };
        assert_eq!(self.ends[end].open(), expected);
        if let Ok(id) = expected {
            self.models[end].opened += 1;
            self.insert(id, end);
        }
    }

    pub(super) fn app(&mut self, end: usize, id: StreamId, op: Op) {
        match op {
            Op::Write(len) => self.write(end, id, len),
            Op::Read(cap) => drop(self.read(end, id, cap)),
            Op::Finish => {
                let expected = self.at(end, id).map(|(_, out, _)| out.finish());
                let actual = self.ends[end].finish(id);
                assert_eq!(actual, expected.unwrap_or(Err(StreamError::Unknown)));
            }
            Op::Reset(code) => {
                let expected = self.at(end, id).map(|(_, out, _)| {
                    out.reset(code);
                });
                assert_eq!(self.ends[end].reset(id, code), expected.ok_or(StreamError::Unknown));
            }
            Op::Stop(code) => {
                let expected = self.at(end, id).map(|(_, _, into)| into.stop(code));
                assert_eq!(self.ends[end].stop(id, code), expected.ok_or(StreamError::Unknown));
                self.on_consumed(end);
            }
            Op::Release(code) => self.release(end, id, code),
            Op::Priority(urgency, is_incremental) => {
                let priority = Priority::new(urgency, is_incremental).unwrap();
                let expected = self.at(end, id).map(|(hold, ..)| {
                    (hold.priority, hold.passed) = (priority, 0);
                });
                let actual = self.ends[end].set_priority(id, priority);
                assert_eq!(actual, expected.ok_or(StreamError::Unknown));
            }
            Op::Deadline(us) => {
                let at = us.map(|us| Time::from_micros(self.now.as_micros() + us));
                let expected = self.at(end, id).map(|(_, out, _)| {
                    out.deadline = at.filter(|_| !out.is_sent());
                });
                let actual = self.ends[end].set_deadline(id, at, CODE_EXPIRED);
                assert_eq!(actual, expected.ok_or(StreamError::Unknown));
            }
        }
    }

    fn write(&mut self, end: usize, id: StreamId, len: u64) {
        let room = SESSION_WINDOW.saturating_sub(self.buffered(end));
        let expected = self.at(end, id).map_or(Err(StreamError::Unknown), |(hold, out, _)| {
            let result = out.write(len, room);
            let is_short = result.map_or_else(|e| e == StreamError::Blocked, |n| (n as u64) < len);
            hold.waits_to_write |= is_short;
            result
        });
        let from = self.at(end, id).map_or(0, |(_, out, _)| out.written);
        let from = from - expected.map_or(0, |len| len as u64);
        assert_eq!(self.ends[end].write(id, &bytes(id, end, from, from + len)), expected);
    }

    fn read(&mut self, end: usize, id: StreamId, cap: u64) -> bool {
        let expected = self.at(end, id).map_or(Err(StreamError::Unknown), |(hold, _, into)| {
            let result = into.read(cap);
            hold.waits_to_read |= cap > 0 && result == Err(StreamError::Blocked);
            result
        });
        let read = self.at(end, id).map_or(0, |(_, _, into)| into.read);
        let mut out = vec![0; cap as usize];
        assert_eq!(self.ends[end].read(id, &mut out), expected);
        if let Ok(len) = expected {
            assert!(out[..len] == bytes(id, 1 - end, read - len as u64, read), "wrong bytes");
            self.on_consumed(end);
            self.collect(end, id);
        }
        expected.is_ok()
    }

    fn release(&mut self, end: usize, id: StreamId, code: u64) {
        let expected = self.at(end, id).map(|(hold, out, into)| {
            hold.is_released = true;
            if out.check_open().is_ok() {
                out.reset(code);
            }
            into.stop(code);
        });
        assert_eq!(self.ends[end].release(id, code), expected.ok_or(StreamError::Unknown));
        self.on_consumed(end);
        self.collect(end, id);
    }

    /// Reads on wherever the application was told to, or has not looked yet.
    pub(super) fn read_what_is_told(&mut self, end: usize) -> bool {
        let mut has_read = false;
        for id in self.live_ids(end) {
            while self.at(end, id).is_some_and(|(hold, ..)| !hold.waits_to_read)
                && self.read(end, id, 700)
            {
                has_read = true;
            }
        }
        has_read
    }

    pub(super) fn pass_to_deadline(&mut self, is_before: bool) {
        let next = self.ends.iter().filter_map(|end| end.next_deadline()).min();
        let us = next.map_or(0, |at| at.since(self.now).as_micros() as u64);
        self.pass(us.saturating_sub(is_before.into()));
    }

    pub(super) fn pass(&mut self, us: u64) {
        self.now = Time::from_micros(self.now.as_micros() + us);
        for end in 0..2 {
            let deadlines = self.live(end).filter_map(|(_, both)| both.ways[end].deadline).min();
            assert_eq!(self.ends[end].next_deadline(), deadlines);
            let now = self.now;
            for id in self.live_ids(end) {
                let Some((hold, out, _)) = self.at(end, id) else { continue };
                hold.must_be_told |= out.expire(now, CODE_EXPIRED) && !hold.is_released;
            }
            self.ends[end].handle_timeout(now);
        }
    }

    // ---- sending

    /// Writes a packet; false if there was nothing to write.
    pub(super) fn send(&mut self, end: usize, room: usize) -> bool {
        let mut buf = [0; PACKET_MAX];
        let mut w = Writer::new(&mut buf[..room]);
        let mut sent = Vec::new();
        self.ends[end].write_frames(&mut w, ROUND, |frame| sent.push(frame));
        let len = w.len();
        let written = buf[..len].to_vec();
        let mut reader = Reader::new(&written);
        while let Some(frame) = Frame::read(&mut reader).expect("what we write can be read") {
            self.on_frame_written(end, &frame);
        }
        if len == 0 {
            self.check_drained(end);
            return false;
        }
        self.packets.push(Packet {
            from: end,
            bytes: written,
            sent,
            is_on_net: true,
            is_delivered: false,
            is_settled: false,
        });
        true
    }

    fn on_frame_written(&mut self, end: usize, frame: &Frame<'_>) {
        match *frame {
            Frame::Stream(ref stream) => {
                let id = StreamId(stream.id);
                let (from, to) = (stream.offset, stream.offset + stream.data.len() as u64);
                assert!(stream.data == bytes(id, end, from, to), "wrong bytes");
                self.check_turn(end, id);
                let credit = self.credit(end);
                let (_, out, _) = self.at(end, id).expect("data of a stream that is over");
                let fresh = out.on_sent(from, to, stream.fin, credit);
                if fresh == credit {
                    // Without credit nobody stands in line; it forms anew.
                    let holds = self.streams.values_mut().map(|both| &mut both.holds[end]);
                    holds.for_each(|hold| hold.passed = 0);
                }
            }
            Frame::ResetStream { id, code, final_size } => {
                let (_, out, _) = self.at(end, StreamId(id)).expect("a reset of nothing");
                assert_eq!((out.reset, out.next), (Some(code), final_size));
                assert_eq!(out.reset_parcel, Parcel::Pending, "told twice");
                out.reset_parcel = Parcel::Sent;
            }
            Frame::StopSending { id, code } => {
                let (_, _, into) = self.at(end, StreamId(id)).expect("stops nothing");
                assert_eq!(into.rx_stop, Some(code));
                assert_eq!(into.stop_parcel, Parcel::Pending, "told twice");
                into.stop_parcel = Parcel::Sent;
            }
            Frame::MaxStreamData { id, max } => {
                let (_, _, into) = self.at(end, StreamId(id)).expect("a limit of nothing");
                assert_eq!(max, into.announced.max(into.read + super::STREAM_WINDOW));
                (into.announced, into.limit_parcel) = (max, Parcel::Sent);
            }
            Frame::MaxData(max) => {
                let free = self.consumed(end) + SESSION_WINDOW;
                let model = &mut self.models[end];
                assert_eq!(max, model.announced.max(free));
                (model.announced, model.max_data_parcel) = (max, Parcel::Sent);
            }
            Frame::MaxStreams(max) => {
                let model = &mut self.models[end];
                assert_eq!(max, model.max_remote);
                model.max_streams_parcel = Parcel::Sent;
            }
            Frame::DataBlocked(limit) => {
                assert_eq!((limit, self.credit(end)), (self.models[end].send_max, 0));
            }
            Frame::StreamDataBlocked { id, limit } => {
                let (_, out, _) = self.at(end, StreamId(id)).expect("nothing is blocked");
                assert_eq!((limit, limit), (out.limit, out.next));
            }
            ref other => panic!("{other:?} is not the streams' to send"),
        }
    }

    /// The stream that sends is one that RFC 9218 lets: of the most urgent level that can send, the
    /// lowest number that is not incremental; if there is none, one in turn.
    fn check_turn(&mut self, end: usize, id: StreamId) {
        let credit = self.credit(end);
        let can_send: Vec<(StreamId, Priority)> = self
            .live(end)
            .filter(|(_, both)| both.ways[end].is_sendable(credit))
            .map(|(id, both)| (id, both.holds[end].priority))
            .collect();
        let urgency = can_send.iter().map(|(_, p)| p.urgency()).min().expect("something to send");
        let level = || can_send.iter().filter(|(_, p)| p.urgency() == urgency);
        let ordered = level().filter(|(_, p)| !p.is_incremental()).map(|(id, _)| *id).min();
        match ordered {
            Some(first) => assert_eq!(id, first, "not the first of its level"),
            None => assert!(level().any(|(other, _)| *other == id), "not of the urgent level"),
        }
        let in_turn: BTreeSet<StreamId> = level().map(|(id, _)| *id).collect();
        let most = self.live(end).count() + FRAMES_IN_ROUND;
        for other in self.live_ids(end) {
            let Some((hold, ..)) = self.at(end, other) else { continue };
            let is_passed = ordered.is_none() && other != id && in_turn.contains(&other);
            hold.passed = if is_passed { hold.passed + 1 } else { 0 };
            assert!(hold.passed <= most, "{other:?} was passed over");
        }
    }

    /// An end that writes nothing has nothing to say.
    pub(super) fn check_drained(&self, end: usize) {
        let credit = self.credit(end);
        for (id, both) in self.live(end) {
            let (out, into) = (&both.ways[end], &both.ways[1 - end]);
            assert!(!out.is_sendable(credit), "{id:?} has data that is not sent: {out:?}");
            assert_ne!(out.reset_parcel, Parcel::Pending, "{id:?}: its reset is not sent");
            assert!(!into.owes_control(), "{id:?}: its sender is not told: {into:?}");
        }
        let model = &self.models[end];
        assert_ne!(model.max_data_parcel, Parcel::Pending, "MAX_DATA is not sent");
        assert_ne!(model.max_streams_parcel, Parcel::Pending, "MAX_STREAMS is not sent");
    }

    // ---- what becomes of packets

    /// Delivers a packet; one with a frame that is not taken counts as lost.
    pub(super) fn deliver(&mut self, index: usize, is_kept: bool) {
        let packet = &mut self.packets[index];
        packet.is_on_net &= is_kept;
        let (end, bytes) = (1 - packet.from, packet.bytes.clone());
        let mut reader = Reader::new(&bytes);
        while let Some(frame) = Frame::read(&mut reader).expect("it was read before") {
            self.on_frame_arrived(end, &frame);
        }
        let is_declined = core::mem::take(&mut self.ends[end].has_declined);
        self.packets[index].is_delivered |= !is_declined;
    }

    fn on_frame_arrived(&mut self, end: usize, frame: &Frame<'_>) {
        let streams = &mut self.ends[end];
        let result = match *frame {
            Frame::Stream(ref stream) => streams.on_stream(stream),
            Frame::ResetStream { id, code, final_size } => streams.on_reset(id, code, final_size),
            Frame::StopSending { id, code } => streams.on_stop_sending(id, code),
            Frame::MaxStreamData { id, max } => streams.on_max_stream_data(id, max),
            Frame::StreamDataBlocked { id, .. } => streams.on_stream_data_blocked(id),
            Frame::MaxData(max) => {
                streams.on_max_data(max);
                let model = &mut self.models[end];
                model.send_max = model.send_max.max(max);
                return;
            }
            Frame::MaxStreams(max) => {
                streams.on_max_streams(max);
                let model = &mut self.models[end];
                model.max_own = model.max_own.max(max);
                return;
            }
            _ => return,
        };
        result.expect("an honest peer breaks no rule");
        let is_declined = self.ends[end].has_declined;
        let id = match *frame {
            Frame::Stream(ref stream) => stream.id,
            Frame::ResetStream { id, .. }
            | Frame::StopSending { id, .. }
            | Frame::MaxStreamData { id, .. }
            | Frame::StreamDataBlocked { id, .. } => id,
            _ => return,
        };
        self.see(end, StreamId(id));
        let Some((hold, out, into)) = self.at(end, StreamId(id)) else { return };
        let is_told = !hold.is_released;
        match *frame {
            Frame::Stream(ref stream) if !is_declined => {
                let to = stream.offset + stream.data.len() as u64;
                into.on_data(stream.offset, to, stream.fin);
            }
            Frame::ResetStream { code, final_size, .. } => {
                let was_reset = into.rx_reset.is_some();
                into.on_reset(code, final_size);
                hold.must_be_told |= is_told && !was_reset && into.rx_reset.is_some();
            }
            Frame::StopSending { code, .. } => {
                hold.must_be_told |= out.on_stop_sending(code) && is_told;
            }
            Frame::MaxStreamData { max, .. } => out.limit = out.limit.max(max),
            _ => {}
        }
        self.on_consumed(end);
        self.collect(end, StreamId(id));
    }

    /// A frame about a stream opens it and all before it (RFC 9000 §3.2).
    fn see(&mut self, end: usize, id: StreamId) {
        let opener = (id.0 & 1) as usize;
        while opener != end && self.models[end].seen <= id.0 >> 2 {
            let seen = stream_id(opener, self.models[end].seen);
            self.models[end].seen += 1;
            self.models[end].to_be_opened.push_back(seen);
            let both = self.streams.get_mut(&seen).expect("somebody opened it");
            both.holds[end].place = Place::Live;
        }
    }

    pub(super) fn ack(&mut self, index: usize) {
        let packet = &mut self.packets[index];
        packet.is_settled = true;
        let (end, sent) = (packet.from, packet.sent.clone());
        for frame in &sent {
            self.ends[end].on_frame_acked(frame);
            match frame {
                SentFrame::Stream { id, range, fin } => {
                    let Some((_, out, _)) = self.at(end, *id) else { continue };
                    out.on_acked(range.start, range.end, *fin);
                    self.collect(end, *id);
                }
                SentFrame::ResetStream(id) => {
                    let Some((_, out, _)) = self.at(end, *id) else { continue };
                    out.reset_parcel = Parcel::Acked;
                    self.collect(end, *id);
                }
                _ => {}
            }
        }
    }

    /// Takes a packet for lost; a probe does without giving it up.
    pub(super) fn lose(&mut self, index: usize, is_probe: bool) {
        let packet = &mut self.packets[index];
        packet.is_settled |= !is_probe;
        let (end, sent) = (packet.from, packet.sent.clone());
        for frame in &sent {
            self.ends[end].on_frame_lost(frame);
            let id = match frame {
                SentFrame::MaxData => {
                    self.models[end].max_data_parcel = Parcel::Pending;
                    continue;
                }
                SentFrame::MaxStreams => {
                    self.models[end].max_streams_parcel = Parcel::Pending;
                    continue;
                }
                SentFrame::Stream { id, .. }
                | SentFrame::ResetStream(id)
                | SentFrame::StopSending(id)
                | SentFrame::MaxStreamData(id) => *id,
                other => panic!("{other:?} is not the streams'"),
            };
            let Some((_, out, into)) = self.at(end, id) else { continue };
            match frame {
                SentFrame::Stream { range, fin, .. } => out.on_lost(range.start, range.end, *fin),
                SentFrame::ResetStream(_) => out.reset_parcel.on_lost(),
                SentFrame::StopSending(_) if into.final_size.is_none() => {
                    into.stop_parcel = Parcel::Pending;
                }
                SentFrame::MaxStreamData(_) if into.rx_stop.is_none() && !into.is_received() => {
                    into.limit_parcel = Parcel::Pending;
                }
                _ => {}
            }
        }
    }
}
