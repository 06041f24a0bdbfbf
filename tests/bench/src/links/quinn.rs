//! quinn-proto as a flow.

use super::link::{Datagram, LinkConfig, Nanos};
use super::world::{End, Flow};
use super::{DATAGRAM, window};
use crate::bulk::BLOCK;
use crate::quinn_peer::{self, Ends};
use bytes::{Bytes, BytesMut};
use quinn_proto::congestion::BbrConfig;
use quinn_proto::{
    DatagramEvent, Dir, EcnCodepoint, Event, StreamEvent, StreamId, TransportConfig,
};
use rit_core::base::Ecn;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Two ends of quinn-proto's.
pub struct QuinnFlow {
    ends: Ends,
    /// When the virtual clock says zero.
    base: Instant,
    /// How many share the transfer.
    count: usize,
    streams: Vec<StreamId>,
    opened_at: Option<Nanos>,
    /// The streams as the receiver knows them.
    incoming: Vec<StreamId>,
    block: Bytes,
    delivered: u64,
    ended: Option<String>,
}

impl QuinnFlow {
    /// A flow for this link, over so many streams.
    pub fn new(config: &LinkConfig, count: usize) -> QuinnFlow {
        QuinnFlow::with(quinn_peer::transport(DATAGRAM, window(config), None), count)
    }

    /// The same for any link, with CUBIC and such windows.
    pub fn cubic(window: u64, count: usize) -> QuinnFlow {
        QuinnFlow::with(quinn_peer::transport(DATAGRAM, window, None), count)
    }

    /// The same with BBR.
    pub fn bbr(window: u64, count: usize) -> QuinnFlow {
        let mut transport = quinn_peer::transport(DATAGRAM, window, None);
        transport.congestion_controller_factory(Arc::new(BbrConfig::default()));
        QuinnFlow::with(transport, count)
    }

    fn with(transport: TransportConfig, count: usize) -> QuinnFlow {
        QuinnFlow {
            ends: Ends::with_transport(DATAGRAM, transport),
            base: Instant::now(),
            count,
            streams: Vec::new(),
            opened_at: None,
            incoming: Vec::new(),
            block: Bytes::from(vec![7; BLOCK / count]),
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
                    let mut streams = self.ends.b.connection().streams();
                    self.incoming.extend(std::iter::from_fn(|| streams.accept(Dir::Bi)));
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
        if self.opened_at.is_none() {
            let open = || a.streams().open(Dir::Bi);
            self.streams = std::iter::from_fn(open).take(self.count).collect();
            self.opened_at = Some(now);
        }
        // In turn, so that each has as much to say.
        loop {
            let mut written = 0;
            for stream in &self.streams {
                let mut chunks = [self.block.clone()];
                let result = a.send_stream(*stream).write_chunks(&mut chunks);
                written += result.map_or(0, |written| written.bytes);
            }
            if written == 0 {
                return;
            }
        }
    }

    fn read(&mut self) {
        for stream in &self.incoming {
            let mut stream = self.ends.b.connection().recv_stream(*stream);
            let Ok(mut chunks) = stream.read(true) else { continue };
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                self.delivered += chunk.bytes.len() as u64;
            }
            // What it asks for is sent with what else there is.
            let _ = chunks.finalize();
        }
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
        self.opened_at
    }

    fn delivered(&self) -> u64 {
        self.delivered
    }

    fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    fn describe(&self) -> String {
        let Some((_, a)) = &self.ends.a.open else { return String::new() };
        let path = a.stats().path;
        let (window, lost) = (path.cwnd, path.lost_packets);
        format!("window {window}, {:.3} ms, {lost} lost", a.rtt().as_secs_f64() * 1e3)
    }
}
