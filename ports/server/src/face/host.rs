//! The server's own node, which opens sessions to devices for people who have only a browser.
//!
//! Owns the node, its socket and its sessions: one for each device and chain of grants, opened when
//! it is needed and closed when nothing used it for a while. Its streams are `AsyncRead` and
//! `AsyncWrite`. Does not decide who may use it. Invariants: after every input the node is drained;
//! the lock is never held across an await; whoever waits for a stream hears of its end.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rit_core::base::{Ecn, Path, PublicKey, Time};
use rit_core::crypto;
use rit_core::node::{BrokerAddress, Config, Event, Node, NodeError, Reason};
use rit_core::node::{SessionId, StreamHandle};
use rit_core::transport;
use rit_core::trust::Identity;
use rit_core::tunnel::Refusal;
use thiserror::Error;
use tokio::sync::{Notify, watch};

use super::stream::Stream;
use crate::error::Error as ServerError;
use crate::sockets::{Received, Run, Sockets};
use crate::state::random_seed;

/// Sessions at once: devices that somebody looks at now.
const SESSIONS_MAX: usize = 1024;
/// Streams of one session: a browser opens six connections, and there may be many browsers.
const STREAMS_MAX: u64 = 256;
const STREAM_WINDOW: u64 = 256 * 1024;
const SESSION_WINDOW: u64 = 4 * 1024 * 1024;
/// How long somebody waits for a session or a stream, the broker's being online included.
const OPEN_TIME: Duration = Duration::from_secs(20);
/// A session that carries nothing ends after this long; and how often that is looked at.
const UNUSED_TIME: Duration = Duration::from_secs(300);
const SWEEP_TIME: Duration = Duration::from_secs(60);
/// A device that said that grants are good for nothing is not asked again for so long: of those
/// that it knows to be revoked it takes no notice, and who asks would wait.
const REFUSED_TIME: Duration = Duration::from_secs(600);
/// The largest datagram that is made here.
const OUT_LEN_MAX: usize = 65_535;

/// Why a service is not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum OpenError {
    #[error("the session ended: {0}")]
    Session(Reason),
    #[error("the device refused: {0:?}")]
    Refused(Refusal),
    #[error("{0}")]
    Node(NodeError),
    #[error("the device did not answer in time")]
    TimedOut,
}

impl From<NodeError> for OpenError {
    fn from(error: NodeError) -> Self {
        OpenError::Node(error)
    }
}

/// Which session: a device, and the grants that are shown to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Door {
    pub(crate) device: PublicKey,
    /// Empty: none are shown.
    pub(crate) chain: Arc<[u8]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Opening,
    Up,
    Down(Reason),
}

struct Session {
    id: SessionId,
    progress: watch::Sender<Progress>,
    streams: usize,
    unused_since: Instant,
}

/// What a stream's user waits for, and what it is told.
pub(super) struct Entry {
    door: Door,
    opened: Option<Result<(), OpenError>>,
    /// The session is over, or nobody used the stream for too long.
    pub(super) is_over: bool,
    /// When bytes went either way.
    pub(super) used: Instant,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Entry {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

pub(super) struct Inside {
    pub(super) node: Node,
    pub(super) streams: HashMap<StreamHandle, Entry>,
    sessions: HashMap<Door, Session>,
    /// Where a session was ended because of its grants, and when.
    refused: HashMap<Door, Instant>,
    start: Instant,
    /// How long a stream may carry nothing.
    idle: Duration,
}

/// The node, shared by its task and those who use it.
pub(super) struct Shared {
    inside: Mutex<Inside>,
    /// The node may have something to send.
    pub(super) changed: Notify,
    is_online: watch::Sender<bool>,
}

/// A handle on the node; it lives as long as the task that [`Host::start`] began.
#[derive(Clone)]
pub(crate) struct Host(Arc<Shared>);

fn config() -> Config {
    let transport = transport::Config {
        stream_window: STREAM_WINDOW,
        session_window: SESSION_WINDOW,
        stream_send_buffer: STREAM_WINDOW,
        max_streams: STREAMS_MAX,
        ..transport::Config::default()
    };
    Config { transport, max_sessions: SESSIONS_MAX, ..Config::default() }
}

impl Host {
    /// Makes the node and begins to connect it to the broker; `code` enrols it the first time.
    /// Streams end that carry nothing for as long as `idle`. Must be called in a runtime, which
    /// then drives it.
    pub(crate) fn start(
        identity: &Identity,
        broker: BrokerAddress,
        code: Option<&str>,
        idle: Duration,
    ) -> Result<Host, ServerError> {
        let failed = |error: String| ServerError::Start(format!("the face's node: {error}"));
        let sockets = Sockets::bind(&[], 0)?;
        let provider = crypto::default_provider();
        let signer = Arc::new(identity.signer());
        let mut node = Node::new(config(), provider, signer, random_seed()?, Time::ZERO)
            .map_err(|error| failed(error.to_string()))?;
        let here = sockets.reachable().map_err(|error| failed(error.to_string()))?;
        node.set_local_paths(&[here.into()], Time::ZERO)
            .and_then(|()| node.broker_connect(broker, code, Time::ZERO))
            .map_err(|error| failed(error.to_string()))?;
        let (streams, sessions, refused) = (HashMap::new(), HashMap::new(), HashMap::new());
        let start = Instant::now();
        let inside = Mutex::new(Inside { node, streams, sessions, refused, start, idle });
        let is_online = watch::Sender::new(false);
        let shared = Arc::new(Shared { inside, changed: Notify::new(), is_online });
        tokio::spawn(drive(shared.clone(), sockets));
        Ok(Host(shared))
    }

    /// Opens a stream to a service of a device, and a session to it where there is none.
    pub(crate) async fn open(&self, door: &Door, service: &str) -> Result<Stream, OpenError> {
        let opening = async {
            let session = self.session(door).await?;
            let stream = self.0.inside().open(door, session, service)?;
            // From here on it is released when it is dropped.
            let stream = Stream::new(self.0.clone(), stream);
            self.0.changed.notify_one();
            poll_fn(|context| self.0.inside().poll_opened(stream.handle(), context)).await?;
            Ok(stream)
        };
        tokio::time::timeout(OPEN_TIME, opening).await.unwrap_or(Err(OpenError::TimedOut))
    }

    /// Ends the session, and with it all that goes through it.
    pub(crate) fn close(&self, door: &Door) {
        self.0.inside().close(door);
        self.0.changed.notify_one();
    }

    /// Waits for a session that is up.
    async fn session(&self, door: &Door) -> Result<SessionId, OpenError> {
        let mut online = self.0.is_online.subscribe();
        // The sender lives as long as we do, so waiting cannot fail.
        let _ = online.wait_for(|is_online| *is_online).await;
        let (id, mut progress) = self.0.inside().session(door)?;
        self.0.changed.notify_one();
        let ended = |_| OpenError::Session(Reason::Local);
        let came = *progress.wait_for(|now| *now != Progress::Opening).await.map_err(ended)?;
        match came {
            Progress::Down(reason) => Err(OpenError::Session(reason)),
            _ => Ok(id),
        }
    }
}

impl Shared {
    pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
        // A panic of another stream's task leaves the node whole: its calls do not panic halfway.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    pub(super) fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    fn session(
        &mut self,
        door: &Door,
    ) -> Result<(SessionId, watch::Receiver<Progress>), OpenError> {
        if let Some(session) = self.sessions.get(door) {
            return Ok((session.id, session.progress.subscribe()));
        }
        if self.refused.get(door).is_some_and(|since| since.elapsed() < REFUSED_TIME) {
            return Err(OpenError::Session(Reason::NotPermitted));
        }
        let id = self.node.session_open_with(door.device, &door.chain, self.now())?;
        let (progress, seen) = watch::channel(Progress::Opening);
        let session = Session { id, progress, streams: 0, unused_since: Instant::now() };
        self.sessions.insert(door.clone(), session);
        Ok((id, seen))
    }

    fn open(
        &mut self,
        door: &Door,
        session: SessionId,
        service: &str,
    ) -> Result<StreamHandle, OpenError> {
        let stream = self.node.stream_open(session, service, self.now())?;
        if let Some(session) = self.sessions.get_mut(door) {
            session.streams += 1;
        }
        let (reader, writer) = (None, None);
        let used = Instant::now();
        let door = door.clone();
        let entry = Entry { door, opened: None, is_over: false, used, reader, writer };
        self.streams.insert(stream, entry);
        Ok(stream)
    }

    fn poll_opened(
        &mut self,
        stream: StreamHandle,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), OpenError>> {
        let Some(entry) = self.streams.get_mut(&stream) else {
            return Poll::Ready(Err(OpenError::Node(NodeError::StaleHandle)));
        };
        if let Some(opened) = entry.opened {
            return Poll::Ready(opened);
        }
        entry.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// Notes that bytes went through a stream.
    pub(super) fn on_used(&mut self, stream: StreamHandle) {
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.used = Instant::now();
        }
    }

    /// Gives a stream up.
    pub(super) fn release(&mut self, stream: StreamHandle) {
        let Some(entry) = self.streams.remove(&stream) else { return };
        if !entry.is_over {
            // It is gone already if the session is.
            let _ = self.node.stream_release(stream, self.now());
        }
        if let Some(session) = self.sessions.get_mut(&entry.door) {
            session.streams = session.streams.saturating_sub(1);
            session.unused_since = Instant::now();
        }
    }

    fn close(&mut self, door: &Door) {
        if let Some(session) = self.sessions.get(door) {
            // What follows is `SessionDown`, which tells those who use it.
            let _ = self.node.session_close(session.id, 0, self.now());
        }
    }

    fn close_unused(&mut self) {
        let (now, idle) = (self.now(), self.idle);
        let is_idle = |entry: &Entry| !entry.is_over && entry.used.elapsed() >= idle;
        for (stream, entry) in self.streams.iter_mut().filter(|(_, entry)| is_idle(entry)) {
            let _ = self.node.stream_release(*stream, now);
            entry.is_over = true;
            entry.wake();
        }
        self.refused.retain(|_, since| since.elapsed() < REFUSED_TIME);
        let is_unused =
            |one: &Session| one.streams == 0 && one.unused_since.elapsed() >= UNUSED_TIME;
        let unused = self.sessions.iter().filter(|(_, session)| is_unused(session));
        for door in unused.map(|(door, _)| door.clone()).collect::<Vec<_>>() {
            self.close(&door);
        }
    }

    fn on_session_down(&mut self, id: SessionId, reason: Reason) {
        let Some(door) = self.sessions.iter().find(|(_, one)| one.id == id) else { return };
        let door = door.0.clone();
        if matches!(reason, Reason::NotPermitted | Reason::Untrusted) {
            self.refused.insert(door.clone(), Instant::now());
        }
        if let Some(session) = self.sessions.remove(&door) {
            session.progress.send_replace(Progress::Down(reason));
        }
        for entry in self.streams.values_mut().filter(|entry| entry.door == door && !entry.is_over)
        {
            entry.is_over = true;
            entry.opened.get_or_insert(Err(OpenError::Session(reason)));
            entry.wake();
        }
    }

    fn on_stream(&mut self, stream: StreamHandle, opened: Option<Result<(), OpenError>>) {
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.opened = entry.opened.or(opened);
            entry.wake();
        }
    }

    /// Takes what happened; whether the broker is online, if that changed.
    fn handle_events(&mut self) -> Option<bool> {
        let mut is_online = None;
        while let Some(event) = self.node.poll_event() {
            match event {
                Event::BrokerOnline => is_online = Some(true),
                Event::BrokerOffline(reason) => {
                    tracing::debug!(%reason, "the face's node is offline");
                    is_online = Some(false);
                }
                Event::EnrolRefused(reason) => {
                    tracing::error!(%reason, "the broker will not have the face's node");
                }
                Event::SessionUp { session, .. } => {
                    let up = self.sessions.values().find(|one| one.id == session);
                    up.map(|one| one.progress.send_replace(Progress::Up));
                }
                Event::SessionDown { session, reason } => self.on_session_down(session, reason),
                Event::StreamOpened { stream } => self.on_stream(stream, Some(Ok(()))),
                Event::StreamRefused { stream, refusal } => {
                    self.on_stream(stream, Some(Err(OpenError::Refused(refusal))));
                }
                Event::StreamReadable { stream }
                | Event::StreamWritable { stream }
                | Event::StreamReset { stream, .. }
                | Event::StreamStopped { stream, .. }
                | Event::StreamExpired { stream } => self.on_stream(stream, None),
                // It offers nothing, and opens no flows.
                _ => {}
            }
        }
        is_online
    }
}

/// Sends what is due, and takes what happened; when there is something to do next.
fn drain(shared: &Shared, sockets: &Sockets, out: &mut [u8]) -> Option<Instant> {
    let mut inside = shared.inside();
    let online = loop {
        let now = inside.now();
        while let Some(transmit) = inside.node.poll_transmit(out, now) {
            sockets.send_run(&transmit.path, &out[..transmit.len], transmit.len);
        }
        // An event may have been one of its own making, as of a session that was closed here.
        let online = inside.handle_events();
        if online.is_some() || inside.node.poll_timeout().is_none_or(|at| at > now) {
            break online;
        }
        inside.node.handle_timeout(now);
    };
    if let Some(is_online) = online {
        shared.is_online.send_replace(is_online);
    }
    let at = inside.node.poll_timeout()?;
    Some(inside.start + Duration::from_micros(at.as_micros()))
}

/// Drives the node until its runtime ends.
async fn drive(shared: Arc<Shared>, mut sockets: Sockets) {
    let mut received = Received::new();
    let mut out = vec![0; OUT_LEN_MAX];
    let mut sweep = tokio::time::interval(SWEEP_TIME);
    loop {
        let deadline = drain(&shared, &sockets, &mut out);
        let deadline = deadline.unwrap_or_else(|| Instant::now() + SWEEP_TIME);
        tokio::select! {
            () = shared.changed.notified() => {}
            _ = sweep.tick() => shared.inside().close_unused(),
            () = tokio::time::sleep_until(deadline.into()) => {
                let mut inside = shared.inside();
                let now = inside.now();
                inside.node.handle_timeout(now);
            }
            () = sockets.receive(&mut received) => {
                let mut inside = shared.inside();
                let now = inside.now();
                while let Some(Run { from, datagrams, size }) = received.next() {
                    // There is one socket: which one it was says nothing.
                    let from = Path { ifindex: 0, ..from };
                    inside.node.handle_datagrams(from, Ecn::NotEct, datagrams, size, now);
                }
            }
        }
    }
}

/// A stream's error in the words of `io`.
pub(super) fn io_error(error: NodeError) -> io::Error {
    let kind = match error {
        NodeError::Reset(_) => io::ErrorKind::ConnectionReset,
        NodeError::Stopped(_) | NodeError::State => io::ErrorKind::BrokenPipe,
        _ => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error)
}
