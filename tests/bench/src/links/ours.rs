//! Ours as a flow.

use super::link::{Datagram, Nanos};
use super::world::{End, Flow};
use super::{DATAGRAM, link::LinkConfig, window};
use crate::bulk::BLOCK;
use crate::ours::{Ends, a_path, b_path};
use rit_core::base::Time;
use rit_core::transport::{Congestion, Connection, Event, MAX_DATAGRAM, StreamId};

/// Two ends of ours.
pub struct OurFlow {
    ends: Ends,
    congestion: Congestion,
    a: Option<Connection>,
    b: Option<Connection>,
    stream: Option<(StreamId, Nanos)>,
    /// The stream as the receiver knows it.
    incoming: Option<StreamId>,
    block: Vec<u8>,
    delivered: u64,
    ended: Option<String>,
}

impl OurFlow {
    /// A flow for this link.
    pub fn new(config: &LinkConfig) -> OurFlow {
        OurFlow::with(window(config), Congestion::Cubic)
    }

    /// The same for any link, with such windows and this congestion controller.
    pub fn with(window: u64, congestion: Congestion) -> OurFlow {
        OurFlow {
            ends: Ends::with_window(DATAGRAM, window),
            congestion,
            a: None,
            b: None,
            stream: None,
            incoming: None,
            block: vec![7; BLOCK],
            delivered: 0,
            ended: None,
        }
    }

    fn connection(&mut self, end: End) -> Option<&mut Connection> {
        match end {
            End::Sender => self.a.as_mut(),
            End::Receiver => self.b.as_mut(),
        }
    }

    fn settle(&mut self, end: End, now: Nanos) {
        let Some(connection) = self.connection(end) else { return };
        if connection.poll_timeout().is_some_and(|at| at <= time(now)) {
            connection.handle_timeout(time(now));
        }
        while let Some(event) = self.connection(end).and_then(Connection::poll_event) {
            match event {
                Event::Opened(id) => self.incoming = Some(id),
                Event::Closed(reason) if self.ended.is_none() => {
                    self.ended = Some(format!("{end:?} at {:.3} s: {reason}", now as f64 / 1e9));
                }
                _ => {}
            }
        }
    }

    fn write(&mut self, now: Nanos) {
        let Some(a) = self.a.as_mut().filter(|a| a.is_established()) else { return };
        if self.stream.is_none() {
            self.stream = a.stream_open().ok().map(|id| (id, now));
        }
        let Some((stream, _)) = self.stream else { return };
        while let Ok(1..) = a.stream_write(stream, &self.block) {}
    }

    fn read(&mut self) {
        let (Some(b), Some(stream)) = (&mut self.b, self.incoming) else { return };
        while let Ok(n @ 1..) = b.stream_read(stream, &mut self.block) {
            self.delivered += n as u64;
        }
    }
}

fn time(now: Nanos) -> Time {
    Time::from_micros(now / 1000)
}

impl Flow for OurFlow {
    fn open(&mut self, now: Nanos) {
        let mut a = self.ends.open(time(now));
        a.set_congestion(self.congestion);
        self.a = Some(a);
    }

    fn handle(&mut self, end: End, mut datagram: Datagram, now: Nanos) {
        let Datagram { bytes, ecn } = &mut datagram;
        match (end, &mut self.a, &mut self.b) {
            (End::Sender, Some(a), _) => a.handle_datagram(b_path(), *ecn, bytes, time(now)),
            (End::Receiver, _, Some(b)) => b.handle_datagram(a_path(), *ecn, bytes, time(now)),
            (End::Receiver, _, None) => self.b = Some(self.ends.accept(bytes, time(now))),
            (End::Sender, None, _) => {}
        }
    }

    fn drive(&mut self, end: End, now: Nanos, send: &mut dyn FnMut(Datagram)) {
        self.settle(end, now);
        match end {
            End::Sender => self.write(now),
            End::Receiver => self.read(),
        }
        let mut buf = [0; MAX_DATAGRAM];
        let Some(connection) = self.connection(end) else { return };
        while let Some(sent) = connection.poll_transmit(&mut buf, time(now)) {
            send(Datagram { bytes: buf[..sent.len].to_vec(), ecn: sent.ecn });
        }
    }

    fn deadline(&mut self, end: End) -> Option<Nanos> {
        let at = self.connection(end)?.poll_timeout()?;
        Some(at.since(Time::ZERO).as_nanos() as u64)
    }

    fn opened_at(&self) -> Option<Nanos> {
        self.stream.map(|(_, at)| at)
    }

    fn delivered(&self) -> u64 {
        self.delivered
    }

    fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    fn describe(&self) -> String {
        let Some(a) = &self.a else { return String::new() };
        let (window, lost) = (a.congestion_window(), a.stats().packets_lost);
        format!("window {window}, {:.3} ms, {lost} lost", a.rtt().smoothed().as_secs_f64() * 1e3)
    }
}
