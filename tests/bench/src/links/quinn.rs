//! quinn-proto as a flow.

use super::link::{Datagram, LinkConfig, Nanos};
use super::world::{End, Flow};
use super::{DATAGRAM, window};
use crate::bulk::BLOCK;
use crate::quinn_peer::{self, Ends};
use bytes::{Bytes, BytesMut};
use quinn_proto::{DatagramEvent, Dir, EcnCodepoint, Event, StreamEvent, StreamId};
use rit_core::base::Ecn;
use std::time::{Duration, Instant};

/// Two ends of quinn-proto's.
pub struct QuinnFlow {
    ends: Ends,
    /// When the virtual clock says zero.
    base: Instant,
    stream: Option<(StreamId, Nanos)>,
    /// The stream as the receiver knows it.
    incoming: Option<StreamId>,
    block: Bytes,
    delivered: u64,
    ended: Option<String>,
}

impl QuinnFlow {
    /// A flow for this link.
    pub fn new(config: &LinkConfig) -> QuinnFlow {
        QuinnFlow {
            ends: Ends::with_transport(
                DATAGRAM,
                quinn_peer::transport(DATAGRAM, window(config), None),
            ),
            base: Instant::now(),
            stream: None,
            incoming: None,
            block: Bytes::from(vec![7; BLOCK]),
            delivered: 0,
            ended: None,
        }
    }

    fn time(&self, now: Nanos) -> Instant {
        self.base + Duration::from_nanos(now)
    }

    fn end(&mut self, end: End) -> &mut quinn_peer::End {
        match end {
            End::Sender => &mut self.ends.a,
            End::Receiver => &mut self.ends.b,
        }
    }

    fn settle(&mut self, end: End, now: Nanos) {
        let time = self.time(now);
        let side = self.end(end);
        if side.open.is_none() {
            return;
        }
        let events = side.settle(time);
        for event in events {
            match event {
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                    self.incoming = self.ends.b.connection().streams().accept(Dir::Bi);
                }
                Event::ConnectionLost { reason } if self.ended.is_none() => {
                    self.ended = Some(format!("{end:?} at {:.3} s: {reason}", now as f64 / 1e9));
                }
                _ => {}
            }
        }
    }

    fn write(&mut self, now: Nanos) {
        if self.ends.a.open.is_none() || self.ends.a.connection().is_handshaking() {
            return;
        }
        let a = self.ends.a.connection();
        if self.stream.is_none() {
            self.stream = a.streams().open(Dir::Bi).map(|id| (id, now));
        }
        let Some((stream, _)) = self.stream else { return };
        loop {
            let mut chunks = [self.block.clone()];
            match a.send_stream(stream).write_chunks(&mut chunks) {
                Ok(written) if written.bytes > 0 => {}
                _ => break,
            }
        }
    }

    fn read(&mut self) {
        let Some(stream) = self.incoming else { return };
        let mut stream = self.ends.b.connection().recv_stream(stream);
        let Ok(mut chunks) = stream.read(true) else { return };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            self.delivered += chunk.bytes.len() as u64;
        }
        let _ = chunks.finalize();
    }
}

fn from_quinn(ecn: Option<EcnCodepoint>) -> Ecn {
    match ecn {
        None => Ecn::NotEct,
        Some(EcnCodepoint::Ect0) => Ecn::Ect0,
        Some(EcnCodepoint::Ect1) => Ecn::Ect1,
        Some(EcnCodepoint::Ce) => Ecn::Ce,
    }
}

fn to_quinn(ecn: Ecn) -> Option<EcnCodepoint> {
    match ecn {
        Ecn::NotEct => None,
        Ecn::Ect0 => Some(EcnCodepoint::Ect0),
        Ecn::Ect1 => Some(EcnCodepoint::Ect1),
        Ecn::Ce => Some(EcnCodepoint::Ce),
    }
}

impl Flow for QuinnFlow {
    fn open(&mut self, now: Nanos) {
        let now = self.time(now);
        self.ends.open(now);
    }

    fn handle(&mut self, end: End, datagram: Datagram, now: Nanos) {
        let time = self.time(now);
        let from = match end {
            End::Sender => self.ends.b.address,
            End::Receiver => self.ends.a.address,
        };
        let (ecn, bytes) = (to_quinn(datagram.ecn), BytesMut::from(Bytes::from(datagram.bytes)));
        let (side, mut answer) = (self.end(end), Vec::new());
        match side.endpoint.handle(time, from, None, ecn, bytes, &mut answer) {
            Some(DatagramEvent::ConnectionEvent(_, event)) if side.open.is_some() => {
                side.connection().handle_event(event);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                side.open = side.endpoint.accept(incoming, time, &mut answer, None).ok();
            }
            _ => {}
        }
    }

    fn drive(&mut self, end: End, now: Nanos, send: &mut dyn FnMut(Datagram)) {
        self.settle(end, now);
        match end {
            End::Sender => self.write(now),
            End::Receiver => self.read(),
        }
        let time = self.time(now);
        let side = self.end(end);
        if side.open.is_none() {
            return;
        }
        loop {
            let mut bytes = Vec::with_capacity(DATAGRAM);
            let Some(sent) = side.connection().poll_transmit(time, 1, &mut bytes) else { break };
            send(Datagram { bytes, ecn: from_quinn(sent.ecn) });
        }
    }

    fn deadline(&mut self, end: End) -> Option<Nanos> {
        let base = self.base;
        let side = self.end(end);
        side.open.as_ref()?;
        let at = side.connection().poll_timeout()?;
        Some(at.saturating_duration_since(base).as_nanos() as u64)
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
        let open = self.ends.a.open.as_ref();
        open.map_or(String::new(), |(_, a)| format!("{:?} {:?}", a.stats().path, a.rtt()))
    }
}
