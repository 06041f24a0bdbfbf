//! quinn-proto, driven as kindly as its interface allows: batches of datagrams for segmentation
//! offload, buffers handed over without a copy, written and read as `Bytes` without a copy.

use crate::bulk::{BLOCK, BURST, DELAY, Pair, WINDOW};
use crate::clock::timed;
use crate::tls::{Configs, NAME};
use bytes::{Bytes, BytesMut};
use quinn_proto::congestion::CubicConfig;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, ServerConfig, StreamId, TransportConfig, VarInt,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Datagrams of one batch for segmentation offload: what quinn itself asks for.
const BATCH: usize = 10;
/// Later than any timer of a connection.
const LATER: Duration = Duration::from_secs(3600);

/// One batch, and how long its datagrams are.
type Batch = (BytesMut, usize);

/// An endpoint with one connection at most.
pub(crate) struct End {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: SocketAddr,
    pub(crate) open: Option<(ConnectionHandle, Connection)>,
    datagram: usize,
    /// A buffer that nothing was written to.
    spare: Vec<u8>,
}

impl End {
    fn new(config: &Arc<EndpointConfig>, server: Option<ServerConfig>, datagram: usize) -> End {
        let number = if server.is_some() { 2 } else { 1 };
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, number), 7000));
        let server = server.map(Arc::new);
        let endpoint = Endpoint::new(config.clone(), server, true, Some([number; 32]));
        End { endpoint, address, open: None, datagram, spare: Vec::new() }
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.open.as_mut().expect("it is connected").1
    }

    /// A burst of datagrams, in batches.
    fn collect(&mut self, now: Instant) -> Vec<Batch> {
        let (mut batches, mut count) = (Vec::with_capacity(BURST / BATCH + 1), 0);
        while count < BURST {
            let most = BATCH.min(BURST - count);
            let mut buf = std::mem::take(&mut self.spare);
            buf.reserve(most * self.datagram);
            let Some(sent) = self.connection().poll_transmit(now, most, &mut buf) else {
                self.spare = buf;
                break;
            };
            let len = sent.segment_size.unwrap_or(sent.size);
            count += sent.size.div_ceil(len);
            batches.push((BytesMut::from(Bytes::from(buf)), len));
        }
        batches
    }

    /// Takes batches in; a server accepts whoever comes.
    fn handle(&mut self, from: SocketAddr, batches: Vec<Batch>, now: Instant) {
        let mut answer = Vec::new();
        for (mut batch, len) in batches {
            while !batch.is_empty() {
                let datagram = batch.split_to(len.min(batch.len()));
                match self.endpoint.handle(now, from, None, None, datagram, &mut answer) {
                    Some(DatagramEvent::ConnectionEvent(_, event)) => {
                        self.connection().handle_event(event);
                    }
                    Some(DatagramEvent::NewConnection(incoming)) => {
                        let accepted = self.endpoint.accept(incoming, now, &mut answer, None);
                        self.open = accepted.ok();
                    }
                    Some(DatagramEvent::Response(_)) | None => {}
                }
            }
        }
        self.settle(now);
    }

    /// What whoever drives a connection does after each batch. Returns what happened.
    pub(crate) fn settle(&mut self, now: Instant) -> Vec<Event> {
        let (handle, connection) = self.open.as_mut().expect("it is connected");
        if connection.poll_timeout().is_some_and(|at| at <= now) {
            connection.handle_timeout(now);
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        std::iter::from_fn(|| connection.poll()).collect()
    }

    /// Lets the connection go, so that the endpoint forgets it.
    fn let_go(&mut self, now: Instant) {
        self.connection().close(now, VarInt::from_u32(0), Bytes::new());
        self.connection().handle_timeout(now + LATER);
        self.settle(now + LATER);
        self.open = None;
    }
}

/// Two endpoints.
pub struct Ends {
    pub(crate) a: End,
    pub(crate) b: End,
    client: ClientConfig,
}

impl Ends {
    /// Two ends that send datagrams of `datagram` bytes from the start.
    pub fn new(datagram: usize) -> Ends {
        // Ten datagrams (RFC 9002 §7.2): by default it takes them to have 1200 bytes, and a window
        // that holds one datagram waits for delayed acknowledgements alone.
        let initial = Some(10 * datagram as u64);
        Ends::with_transport(datagram, transport(datagram, WINDOW, initial))
    }

    /// The same with another transport configuration.
    pub(crate) fn with_transport(datagram: usize, transport: TransportConfig) -> Ends {
        let configs = Configs::new();
        let transport = Arc::new(transport);
        let mut config = EndpointConfig::default();
        config.max_udp_payload_size(datagram as u16).expect("1200 at least");
        let config = Arc::new(config);
        let tls = QuicServerConfig::try_from(configs.server).expect("the initial suite is there");
        let mut server = ServerConfig::with_crypto(Arc::new(tls));
        server.transport_config(transport.clone());
        let tls = QuicClientConfig::try_from(configs.client).expect("the initial suite is there");
        let mut client = ClientConfig::new(Arc::new(tls));
        client.transport_config(transport);
        let (a, b) = (End::new(&config, None, datagram), End::new(&config, Some(server), datagram));
        Ends { a, b, client }
    }

    /// A whole handshake, after which the connections are let go. Adds the CPU time of all of it
    /// to `both` and what the responder took to `responder`.
    pub fn handshake(&mut self, both: &mut Duration, responder: &mut Duration) {
        let now = Instant::now();
        timed(both, || self.connect(now, responder));
        self.a.let_go(now);
        self.b.let_go(now);
    }

    /// The initiator, which has sent nothing yet.
    pub(crate) fn open(&mut self, now: Instant) {
        let Ends { a, b, client } = self;
        let opened = a.endpoint.connect(now, client.clone(), b.address, NAME);
        a.open = Some(opened.expect("it opens"));
    }

    fn connect(&mut self, now: Instant, responder: &mut Duration) {
        self.open(now);
        let Ends { a, b, .. } = self;
        loop {
            let sent = a.collect(now);
            timed(responder, || b.handle(a.address, sent, now));
            if !a.connection().is_handshaking() && !b.connection().is_handshaking() {
                return;
            }
            let sent = timed(responder, || b.collect(now));
            assert!(!sent.is_empty(), "the handshake stands still");
            a.handle(b.address, sent, now);
        }
    }
}

/// CUBIC, datagrams of one size without discovery, these flow control windows and send buffers;
/// an initial congestion window other than quinn's own.
pub(crate) fn transport(datagram: usize, window: u64, initial: Option<u64>) -> TransportConfig {
    let send_window = window;
    let window = VarInt::try_from(window).expect("below 2^62");
    let mut cubic = CubicConfig::default();
    if let Some(initial) = initial {
        cubic.initial_window(initial);
    }
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(window)
        .receive_window(window)
        .send_window(send_window)
        .initial_mtu(datagram as u16)
        .min_mtu(datagram as u16)
        .mtu_discovery_config(None)
        .congestion_controller_factory(Arc::new(cubic));
    transport
}

/// Two connected ends and a stream.
pub struct Quinn {
    /// Writes are copied, as a caller's borrowed bytes are.
    copies: bool,
    ends: Ends,
    now: Instant,
    stream: StreamId,
    block: Bytes,
    largest: usize,
}

impl Quinn {
    /// Bytes of one end's struct.
    pub const CONNECTION_BYTES: usize = size_of::<Connection>();

    /// Connected, with an open stream; what is written is handed over without a copy.
    pub fn new(datagram: usize) -> Quinn {
        let block = Bytes::from(vec![7; BLOCK]);
        Quinn::with(Ends::new(datagram), block, false)
    }

    /// All but the connections: the endpoints' tables have had one before.
    pub fn prepare(datagram: usize) -> (Ends, Bytes) {
        let mut ends = Ends::new(datagram);
        ends.handshake(&mut Duration::default(), &mut Duration::default());
        (ends.a.spare, ends.b.spare) = Default::default();
        (ends, Bytes::from(vec![7; BLOCK]))
    }

    /// The connections, with an open stream; what is written is copied.
    pub fn connect((ends, block): (Ends, Bytes)) -> Quinn {
        Quinn::with(ends, block, true)
    }

    fn with(mut ends: Ends, block: Bytes, copies: bool) -> Quinn {
        let now = Instant::now();
        ends.connect(now, &mut Duration::default());
        let stream = ends.a.connection().streams().open(Dir::Bi).expect("the peer lets us");
        Quinn { copies, ends, now, stream, block, largest: 0 }
    }
}

/// A burst of one end's datagrams, taken in by the other. Returns how many, and the longest.
fn burst(from: &mut End, to: &mut End, now: Instant) -> (usize, usize) {
    let sent = from.collect(now);
    let count = sent.iter().map(|(batch, len)| batch.len().div_ceil(*len)).sum();
    let largest = sent.iter().map(|(_, len)| *len).max().unwrap_or(0);
    from.settle(now);
    to.handle(from.address, sent, now);
    (count, largest)
}

impl Pair for Quinn {
    fn write(&mut self, room: usize) -> usize {
        let mut chunks = [self.block.slice(..room)];
        let mut stream = self.ends.a.connection().send_stream(self.stream);
        if self.copies {
            return stream.write(&chunks[0]).unwrap_or(0);
        }
        stream.write_chunks(&mut chunks).map_or(0, |written| written.bytes)
    }

    fn forward(&mut self) -> usize {
        let (count, largest) = burst(&mut self.ends.a, &mut self.ends.b, self.now);
        self.largest = self.largest.max(largest);
        self.now += DELAY;
        count
    }

    fn read(&mut self) -> usize {
        let mut stream = self.ends.b.connection().recv_stream(self.stream);
        let Ok(mut chunks) = stream.read(true) else { return 0 };
        let mut read = 0;
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            read += chunk.bytes.len();
        }
        // What it asks for is sent by the next burst anyway.
        let _ = chunks.finalize();
        read
    }

    fn backward(&mut self) -> usize {
        let (count, _) = burst(&mut self.ends.b, &mut self.ends.a, self.now);
        self.now += DELAY;
        count
    }

    fn wait(&mut self) {
        let Ends { a, b, .. } = &mut self.ends;
        let timers = [a.connection().poll_timeout(), b.connection().poll_timeout()];
        let next = timers.into_iter().flatten().min();
        self.now = self.now.max(next.expect("a connection has a timer"));
        a.settle(self.now);
        b.settle(self.now);
    }

    fn take_largest(&mut self) -> usize {
        std::mem::take(&mut self.largest)
    }
}
