//! Serving: datagrams, the clock and the store's answers go into the broker node, and out of it
//! what is to be sent and asked.
//!
//! Owns the loop and the tasks that ask the store. Invariants: after every input the node is
//! drained; the loop itself never waits for the store; questions to the store are bounded by the
//! broker's limits, which count them until they are answered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rit_core::base::Time;
use rit_core::broker::{Answer, AskId, BrokerEvent, Query};
use rit_core::crypto;
use rit_core::node::{BrokerNode, Config};
use rit_core::transport;
use rit_core::wire::text::{self, Uri};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::sockets::Sockets;
use crate::state::{State, random_seed};
use crate::store::Store;
use crate::wall_unix_s;

/// The largest datagram of IPv4 and IPv6 without jumbograms.
const DATAGRAM_LEN_MAX: usize = 65_535;
/// What one instance is planned for.
const LINKS_MAX: usize = 100_000;
/// Four messages of the largest size.
const CONTROL_WINDOW: u64 = 16 * 1024;
/// How long to sleep where the node has no deadline.
const IDLE: Duration = Duration::from_secs(3600);

/// A broker that is bound and ready to serve.
pub(crate) struct Server {
    node: BrokerNode,
    sockets: Sockets,
    store: Store,
    uri: Uri,
    start: Instant,
    interrupt: Signal,
    terminate: Signal,
    // Last, so that the folder is locked until all else is closed.
    _state: State,
}

/// Links carry a few messages each, and there may be very many.
fn config() -> Config {
    let transport = transport::Config {
        stream_window: CONTROL_WINDOW,
        session_window: CONTROL_WINDOW,
        stream_send_buffer: CONTROL_WINDOW,
        max_streams: 1,
        // Nodes know their NAT, and keep their links alive themselves.
        keep_alive: Duration::ZERO,
        ..transport::Config::default()
    };
    Config { transport, max_sessions: LINKS_MAX, ..Config::default() }
}

/// The host and port of `--public`.
pub(crate) fn parse_public(public: &str) -> Result<(String, Option<u16>), Error> {
    let (host, port) = text::split_port(public).map_err(Error::Public)?;
    let port = port.map(|port| text::parse_port(port).map_err(Error::Public)).transpose()?;
    Ok((host.to_owned(), port))
}

impl Server {
    /// Opens the state folder, making it where it is missing, and binds the sockets.
    pub(crate) async fn start(
        dir: PathBuf,
        listen: &[std::net::SocketAddr],
        public: Option<(String, Option<u16>)>,
    ) -> Result<Self, Error> {
        let state = State::open(dir)?;
        let identity = state.identity()?;
        let store = Store::open(state.dir()).await?;
        let sockets = Sockets::bind(listen, text::DEFAULT_PORT)?;
        let failed = |error: std::io::Error| Error::Start(error.to_string());
        let reachable = sockets.reachable().map_err(failed)?;
        let (host, port) = public.unwrap_or_else(|| (reachable.ip().to_string(), None));
        let port = port.unwrap_or(reachable.port());
        let uri = Uri { key: identity.public_key(), host, port };
        let node = BrokerNode::new(
            config(),
            crypto::default_provider(),
            Arc::new(identity.signer()),
            random_seed()?,
            Time::ZERO,
        )
        .map_err(|error| Error::Start(error.to_string()))?;
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let start = Instant::now();
        Ok(Server { node, sockets, store, uri, start, interrupt, terminate, _state: state })
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Serves until SIGINT or SIGTERM.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let (asks, mut answers) = Asks::start(&self.store);
        let mut datagram = vec![0; DATAGRAM_LEN_MAX];
        let mut out = vec![0; DATAGRAM_LEN_MAX];
        loop {
            self.drain(&asks, &mut out);
            let sleep = tokio::time::sleep_until(self.deadline().into());
            tokio::select! {
                _ = self.interrupt.recv() => break,
                _ = self.terminate.recv() => break,
                Some((id, answer)) = answers.recv() => {
                    let now = self.now();
                    self.node.handle_answer(id, answer, wall_unix_s(), now);
                }
                () = sleep => {
                    let now = self.now();
                    self.node.handle_timeout(now);
                }
                (path, len) = self.sockets.receive(&mut datagram) => {
                    let now = self.now();
                    self.node.handle_datagram(path, &mut datagram[..len], now);
                }
            }
        }
        tracing::info!("stopping");
        let now = self.now();
        self.node.close(now);
        self.drain(&asks, &mut out);
        drop(asks);
        self.store.close().await;
        Ok(())
    }

    fn drain(&mut self, asks: &Asks, out: &mut [u8]) {
        let now = self.now();
        while let Some(transmit) = self.node.poll_transmit(out, now) {
            self.sockets.send(&transmit.path, &out[..transmit.len]);
        }
        while let Some((id, query)) = self.node.poll_ask() {
            asks.ask(id, query);
        }
        while let Some(event) = self.node.poll_event() {
            log(&event);
        }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    fn deadline(&self) -> Instant {
        match self.node.poll_timeout() {
            Some(at) => {
                self.start + Duration::from_micros(at.as_micros()).min(self.start.elapsed() + IDLE)
            }
            None => Instant::now() + IDLE,
        }
    }
}

/// Questions on their way to the store. Lookups have a task of their own, so that they do not wait
/// for an enrolment to reach the disk.
struct Asks {
    lookups: mpsc::UnboundedSender<(AskId, Query)>,
    enrolments: mpsc::UnboundedSender<(AskId, Query)>,
}

impl Asks {
    fn start(store: &Store) -> (Self, mpsc::UnboundedReceiver<(AskId, Answer)>) {
        let (answers, receiver) = mpsc::unbounded_channel();
        let worker = || {
            let (sender, mut queries) = mpsc::unbounded_channel();
            let (store, answers) = (store.clone(), answers.clone());
            tokio::spawn(async move {
                while let Some((id, query)) = queries.recv().await {
                    if answers.send((id, answer(&store, &query).await)).is_err() {
                        return;
                    }
                }
            });
            sender
        };
        (Asks { lookups: worker(), enrolments: worker() }, receiver)
    }

    fn ask(&self, id: AskId, query: Query) {
        let queue = match query {
            Query::Lookup { .. } => &self.lookups,
            Query::Enrol { .. } => &self.enrolments,
        };
        // The tasks end after this value only.
        let _ = queue.send((id, query));
    }
}

async fn answer(store: &Store, query: &Query) -> Answer {
    let result = match query {
        Query::Lookup { key } => store.is_enrolled(key).await,
        Query::Enrol { key, code_hash } => store.enrol(key, code_hash, wall_unix_s()).await,
    };
    match result {
        Ok(is_enrolled) => Answer::Enrolled(is_enrolled),
        Err(error) => {
            tracing::error!(%error, "the database failed");
            Answer::Failed
        }
    }
}

fn log(event: &BrokerEvent) {
    match event {
        BrokerEvent::NodeOnline { key, path } => tracing::info!(?key, ?path, "online"),
        BrokerEvent::NodeOffline { key } => tracing::info!(?key, "offline"),
        BrokerEvent::Enrolled { key } => tracing::info!(?key, "enrolled"),
        BrokerEvent::Introduced { initiator, responder } => {
            tracing::info!(?initiator, ?responder, "introduced");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses() {
        let parsed = |text| parse_public(text).unwrap();
        assert_eq!(parsed("broker.example.org"), ("broker.example.org".into(), None));
        assert_eq!(parsed("192.0.2.1:99"), ("192.0.2.1".into(), Some(99)));
        assert_eq!(parsed("[2001:db8::1]:99"), ("2001:db8::1".into(), Some(99)));
        for bad in ["", "a b", "host:0", "host:x", "2001:db8::1"] {
            assert!(parse_public(bad).is_err(), "{bad}");
        }
    }
}
