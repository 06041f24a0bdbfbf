//! Serving: datagrams, the clock and the store's answers go into the broker node and the relay, and
//! out of them what is to be sent and asked.
//!
//! Owns the loop. Does not own what takes time, which is behind the `desk`. Invariants: after every
//! input both are drained; which of them a datagram is for, its first byte tells; the loop itself
//! waits for nothing else; questions to the store are bounded by the broker's limits, which count
//! them until they are answered.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rit_core::base::{Path, PublicKey, Rng, Time};
use rit_core::broker::BrokerEvent;
use rit_core::crypto::{self, Secret};
use rit_core::node::{BrokerNode, Config};
use rit_core::relay::{self, Relay};
use rit_core::transport;
use rit_core::wire::message::RefuseReason;
use rit_core::wire::relay::is_relays;
use rit_core::wire::text::{self, Uri};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::cluster::Word;
use crate::control::{NoteError, Notes, Order};
use crate::desk::{Desk, News};
use crate::error::Error;
use crate::http::{self, Http};
use crate::lan::{self, Lan};
use crate::sockets::{Received, Run, Sockets};
use crate::state::{State, random_seed};
use crate::store::Db;
use crate::thread::Thread;
use crate::tls::Tls;
use crate::{ServeArgs, face, relays, wall_unix_s};

/// The largest datagram that is made here.
const OUT_LEN_MAX: usize = 65_535;
/// The nodes that one instance is planned for, 100,000, and a quarter more: of a node that comes
/// back the old link is there for some seconds beside the new one.
const LINKS_MAX: usize = 125_000;
/// Four messages of the largest size.
const CONTROL_WINDOW: u64 = 16 * 1024;
/// News that are taken between two looks at the sockets.
const NEWS_AT_ONCE: usize = 64;
/// Devices at other instances whose coming and going nodes here are told.
const WATCHED_MAX: usize = 10_000;
/// How long to sleep where the node has no deadline.
const IDLE: Duration = Duration::from_secs(3600);

/// A server that is bound and ready to serve.
pub(crate) struct Server {
    broker: Option<Broker>,
    relay: Option<Relay>,
    /// Where the first socket is reached.
    host: String,
    port: u16,
    sockets: Sockets,
    tls: Tls,
    face: Option<face::start::Running>,
    http: Option<Http>,
    lan: Option<Lan>,
    relay_args: RelayArgs,
    start: Instant,
    interrupt: Signal,
    terminate: Signal,
    // Last, so that the folder is locked until all else is closed.
    _state: State,
}

/// By which relays nodes are told of, once more where this machine's addresses change.
struct RelayArgs {
    others: Vec<String>,
    secret: Secret,
    tls: Option<u16>,
}

struct Broker {
    node: BrokerNode,
    db: Db,
    uri: Uri,
    desk: Desk,
    news: mpsc::UnboundedReceiver<News>,
    notes: Notes,
    /// Devices at other instances that nodes here asked for, and whether they were told that one is
    /// online.
    elsewhere: HashMap<PublicKey, bool>,
    /// The desk's, so that a row's way does not wait for handshakes, nor they for it.
    _thread: Thread,
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
fn parse_public(public: &str) -> Result<(String, Option<u16>), Error> {
    let (host, port) = text::split_port(public).map_err(Error::Public)?;
    let port = port.map(|port| text::parse_port(port).map_err(Error::Public)).transpose()?;
    Ok((host.to_owned(), port))
}

impl Broker {
    async fn start(
        state: &State,
        args: &ServeArgs,
        secret: &Secret,
        host: &str,
        port: u16,
    ) -> Result<Self, Error> {
        let identity = state.identity(args.identity.as_deref())?;
        let (location, secret) = (args.common.location()?, secret.clone());
        let thread = Thread::start("store", 1)?;
        let opened = thread.spawn(async move {
            let db = Db::open(&location).await?;
            let (desk, news) = Desk::start(&db, &secret).await?;
            Ok((db, desk, news))
        });
        let (db, desk, news) = opened.await.map_err(|error| Error::Start(error.to_string()))??;
        let uri = Uri { key: identity.public_key(), host: host.to_owned(), port };
        let mut node = BrokerNode::new(
            config(),
            crypto::default_provider(),
            Arc::new(identity.signer()),
            random_seed()?,
            Time::ZERO,
        )
        .map_err(|error| Error::Start(error.to_string()))?;
        node.set_longest_silence(args.longest_silence);
        let (notes, elsewhere) = (Notes::new(random_seed()?), HashMap::new());
        Ok(Broker { node, db, uri, desk, news, notes, elsewhere, _thread: thread })
    }

    fn take_event(&mut self, event: BrokerEvent) {
        match event {
            BrokerEvent::Note { key, request, kind, body } => {
                let unwanted = self.notes.answer(key, request, Ok((kind, body)));
                if let Err(Ok((kind, body))) = unwanted {
                    self.desk.pass_on(key, request, kind, body);
                }
            }
            event => self.desk.record(event),
        }
    }

    fn handle_news(&mut self, news: News, now: Time) {
        match news {
            News::Answer(id, answer) => self.node.handle_answer(id, answer, wall_unix_s(), now),
            News::Word(from, Word::Letter(letter)) => self.node.handle_post(from, &letter, now),
            News::Word(_, Word::Moved { key, address }) => {
                self.desk.moved(key, address);
                self.node.disconnect(&key, RefuseReason::Replaced, now);
            }
            News::Word(_, Word::Note { key, request, kind, body }) => {
                let _ = self.notes.answer(key, request, Ok((kind, body)));
            }
            News::Beat => {
                self.notes.forget_old();
                let watched = self.node.watched_elsewhere().take(WATCHED_MAX);
                let watched: BTreeSet<PublicKey> = watched.copied().collect();
                self.elsewhere.retain(|key, _| watched.contains(key));
                self.desk.ask_presence(watched.into_iter().collect());
            }
            News::Forgotten => {
                for event in self.node.online() {
                    self.desk.record(event);
                }
            }
            News::Presence(all) => {
                for (key, is_online) in all {
                    if self.elsewhere.insert(key, is_online) != Some(is_online) {
                        self.node.on_presence_elsewhere(key, is_online, now);
                    }
                }
            }
            News::Order(order) => self.obey(order, now),
            News::NoteAt(Some(instance), device, note) => {
                self.node.post_note(instance, &device, note, now);
            }
            News::NoteAt(None, device, (request, ..)) => {
                let _ = self.notes.answer(device, request, Err(NoteError::Offline));
            }
        }
    }

    fn obey(&mut self, order: Order, now: Time) {
        match order {
            Order::Online(reply) => {
                let here = self.node.online().filter_map(|event| match event {
                    BrokerEvent::NodeOnline { key, path, .. } => Some((key, path)),
                    _ => None,
                });
                let _ = reply.send(here.collect());
            }
            Order::Note { device, kind, body, answer } => {
                let Some(request) = self.notes.ask(device, answer) else { return };
                let sent = self.node.send_note(&device, request, kind, body.clone(), now);
                if sent == Err(RefuseReason::Offline) {
                    self.desk.find_for_note(device, (request, kind, body));
                }
            }
            Order::Close(key, reply) => {
                let _ = reply.send(self.node.disconnect(&key, RefuseReason::Unavailable, now));
            }
        }
    }
}

/// What the broker is told; a relay alone is told nothing.
async fn next_news(broker: &mut Option<Broker>) -> Option<News> {
    broker.as_mut()?.news.recv().await
}

/// What is said in the LAN, if this is to be its gateway.
fn start_lan(
    args: &ServeArgs,
    state: &State,
    sockets: &Sockets,
    port: u16,
) -> Result<Option<Lan>, Error> {
    if !args.lan.lan {
        return Ok(None);
    }
    let key = state.identity(args.identity.as_deref())?.public_key();
    Lan::start(args.lan, key, sockets.addresses(), port).map(Some)
}

/// Waits until a LAN's gateway has other addresses.
async fn lan_changed(lan: &mut Option<Lan>) {
    match lan {
        Some(lan) => lan.changed().await,
        None => std::future::pending().await,
    }
}

/// What a broker shows to people and programs that speak HTTP, as far as it is wanted.
async fn start_http(
    args: &ServeArgs,
    state: &State,
    broker: Option<&Broker>,
) -> Result<(Option<face::start::Running>, Option<Http>), Error> {
    let wanted = args.http.config()?;
    let Some(broker) = broker else {
        return if wanted.is_some() { Err(Error::HttpOfRelay) } else { Ok((None, None)) };
    };
    let location = args.common.location()?;
    let face = face::start::Running::start(&args.face, state, &location, &broker.uri).await?;
    let Some(config) = wanted else { return Ok((face, None)) };
    let parts = http::Parts {
        control: broker.desk.control(),
        signer: Arc::new(state.identity(args.identity.as_deref())?.signer()),
        uri: broker.uri.clone(),
        face: face.as_ref().map(|running| running.face.clone()),
    };
    let http = Http::start(config, state, &location, parts).await?;
    Ok((face, Some(http)))
}

impl Server {
    /// Opens the state folder, making it where it is missing, and binds the sockets.
    pub(crate) async fn start(dir: PathBuf, args: &ServeArgs) -> Result<Self, Error> {
        let public = args.public.as_deref().map(parse_public).transpose()?;
        let state = State::open(dir)?;
        let mut sockets = Sockets::bind(&args.listen, text::DEFAULT_PORT)?;
        let failed = |error: std::io::Error| Error::Start(error.to_string());
        let reachable = sockets.reachable().map_err(failed)?;
        let is_public = public.is_some();
        let (mut host, port) = public.unwrap_or_else(|| (reachable.ip().to_string(), None));
        let port = port.unwrap_or(reachable.port());
        let lan = start_lan(args, &state, &sockets, reachable.port())?;
        if let (false, Some(address)) = (is_public, lan.as_ref().and_then(Lan::address)) {
            host = address.to_string();
        }
        let at = if args.tls.is_empty() { sockets.addresses() } else { args.tls.clone() };
        let tls = Tls::start(&at, args.tls_port)?;
        let secret = state.relay_secret(args.relay_secret.as_deref())?;
        let mut broker = None;
        if args.role.is_broker() {
            broker = Some(Broker::start(&state, args, &secret, &host, port).await?);
        }
        let (face, http) = start_http(args, &state, broker.as_ref()).await?;
        if let Some(broker) = &mut broker {
            let found = relays::paths(&host, port).unwrap_or_else(|error| {
                tracing::warn!(%host, %error, "nodes are told of no address of this machine");
                Vec::new()
            });
            if let Some(second) = bind_second(&mut sockets, args.second_port, reachable.port())? {
                // A port forwarding keeps the distance.
                let port = port.wrapping_add(second.wrapping_sub(reachable.port()));
                broker.node.set_others(found.iter().map(|path| Path { port, ..*path }).collect());
            }
            let found = lan.as_ref().map_or(found, Lan::paths);
            let own = Some(found).filter(|_| args.role.is_relay());
            broker.node.set_relays(relays::all(own, tls.port(), &args.relay, &secret)?);
        }
        let relay_args =
            RelayArgs { others: args.relay.clone(), secret: secret.clone(), tls: tls.port() };
        let relay = args.role.is_relay().then(|| {
            let (provider, rng) = (crypto::default_provider(), random_seed().map(Rng::from_seed)?);
            let limits = relay::Limits::default();
            Ok(Relay::new(provider, secret, limits, rng, wall_unix_s(), Time::ZERO))
        });
        let relay = relay.transpose()?;
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let start = Instant::now();
        let _state = state;
        Ok(Server {
            broker,
            relay,
            host,
            port,
            sockets,
            tls,
            face,
            http,
            lan,
            relay_args,
            start,
            interrupt,
            terminate,
            _state,
        })
    }

    /// The broker's address and store, if there is one here.
    pub(crate) fn broker(&self) -> Option<(&Uri, &Db)> {
        self.broker.as_ref().map(|broker| (&broker.uri, &broker.db))
    }

    /// By which members find the gateway of their LAN, if this is one.
    pub(crate) fn gateway(&self) -> Option<String> {
        let (lan, broker) = (self.lan.as_ref()?, self.broker.as_ref()?);
        if lan.is_silent() {
            return Some(broker.uri.to_string());
        }
        Some(format!("rit://{}@{}", text::key_to_text(&broker.uri.key), lan::SERVICE))
    }

    /// The browser face, if there is one.
    pub(crate) fn face(&self) -> Option<&face::start::Running> {
        self.face.as_ref()
    }

    /// Where the API is reached, if anywhere.
    pub(crate) fn http_urls(&self) -> &[String] {
        self.http.as_ref().map_or(&[], |http| &http.urls)
    }

    /// Where the relay is reached, if there is one here and no broker at the same address.
    pub(crate) fn relay(&self) -> Option<String> {
        let bracketed = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let address = format!("{}{}{}:{}", bracketed.0, self.host, bracketed.1, self.port);
        Some(address).filter(|_| self.broker.is_none())
    }

    /// Serves until SIGINT or SIGTERM.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let mut received = Received::new();
        let mut out = vec![0; OUT_LEN_MAX];
        loop {
            self.drain(&mut out);
            let sleep = tokio::time::sleep_until(self.deadline().into());
            tokio::select! {
                _ = self.interrupt.recv() => break,
                _ = self.terminate.recv() => break,
                Some(news) = next_news(&mut self.broker) => self.handle_news(news),
                () = lan_changed(&mut self.lan) => self.set_lan(),
                () = sleep => self.handle_timeout(),
                () = self.sockets.receive(&mut received) => {
                    self.receive(&mut received, &mut out);
                }
                Some((path, mut datagram)) = self.tls.receive() => {
                    let size = datagram.len();
                    self.take(path, &mut datagram, size, &mut out);
                }
            }
        }
        tracing::info!("stopping");
        let now = self.now();
        if let Some(broker) = &mut self.broker {
            broker.node.close(now);
        }
        self.drain(&mut out);
        if let Some(lan) = self.lan {
            lan.finish().await;
        }
        if let Some(broker) = self.broker {
            broker.desk.finish().await;
            broker.db.close().await;
        }
        Ok(())
    }

    /// Takes what is told, and what else is by now: some of it, so that datagrams do not wait long.
    fn handle_news(&mut self, news: News) {
        let now = self.now();
        let Some(broker) = &mut self.broker else { return };
        broker.handle_news(news, now);
        for _ in 1..NEWS_AT_ONCE {
            let Ok(more) = broker.news.try_recv() else { return };
            broker.handle_news(more, now);
        }
    }

    /// Nodes are told of a LAN's relay at the addresses that it has now.
    fn set_lan(&mut self) {
        let (Some(broker), Some(lan)) = (&mut self.broker, &self.lan) else { return };
        let RelayArgs { others, secret, tls } = &self.relay_args;
        match relays::all(Some(lan.paths()), *tls, others, secret) {
            Ok(relays) => broker.node.set_relays(relays),
            Err(error) => tracing::warn!(%error, "nodes are told of the relays as they were"),
        }
    }

    fn handle_timeout(&mut self) {
        let now = self.now();
        if let Some(broker) = &mut self.broker {
            broker.node.handle_timeout(now);
        }
        if let Some(relay) = &mut self.relay {
            relay.handle_timeout(now);
        }
    }

    /// Takes what came.
    fn receive(&mut self, received: &mut Received, out: &mut [u8]) {
        while let Some(Run { from, datagrams, size }) = received.next() {
            self.take(from, datagrams, size, out);
        }
    }

    /// Takes datagrams of `size` bytes each, the last perhaps shorter.
    fn take(&mut self, from: Path, datagrams: &mut [u8], size: usize, out: &mut [u8]) {
        let now = self.now();
        if let Some(relay) = &mut self.relay {
            relay.set_clock(wall_unix_s(), now);
        }
        let mut rest = datagrams;
        while !rest.is_empty() {
            let taken = if self.relay.is_some() && is_relays(rest) {
                self.pass_on(from, rest, size, now, out)
            } else {
                let len = size.min(rest.len());
                if let Some(broker) = &mut self.broker {
                    broker.node.handle_datagram(from, &mut rest[..len], now);
                }
                self.drain(out);
                len
            };
            rest = &mut rest[taken..];
        }
    }

    /// Gives the relay the first of these, and those behind it that go the same way; their length.
    fn pass_on(
        &mut self,
        from: Path,
        datagrams: &mut [u8],
        size: usize,
        now: Time,
        out: &mut [u8],
    ) -> usize {
        let Some(relay) = &mut self.relay else { return datagrams.len() };
        let (taken, forward) = relay.handle_datagrams(from, datagrams, size, now);
        if let Some(forward) = forward {
            send_run(&self.sockets, &self.tls, &forward.to, &datagrams[forward.range], size);
        }
        while let Some(transmit) = relay.poll_transmit(out) {
            send_run(&self.sockets, &self.tls, &transmit.path, &out[..transmit.len], transmit.len);
        }
        taken
    }

    fn drain(&mut self, out: &mut [u8]) {
        let now = self.now();
        let Some(broker) = &mut self.broker else { return };
        while let Some(transmit) = broker.node.poll_transmit(out, now) {
            send_run(&self.sockets, &self.tls, &transmit.path, &out[..transmit.len], transmit.len);
        }
        while let Some((id, query)) = broker.node.poll_ask() {
            broker.desk.ask(id, query);
        }
        while let Some((instance, letter)) = broker.node.poll_post() {
            broker.desk.post(instance, letter);
        }
        while let Some(event) = broker.node.poll_event() {
            log(&event);
            broker.take_event(event);
        }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    fn deadline(&self) -> Instant {
        let broker = self.broker.as_ref().and_then(|broker| broker.node.poll_timeout());
        let relay = self.relay.as_ref().and_then(Relay::poll_timeout);
        match [broker, relay].into_iter().flatten().min() {
            Some(at) => {
                self.start + Duration::from_micros(at.as_micros()).min(self.start.elapsed() + IDLE)
            }
            None => Instant::now() + IDLE,
        }
    }
}

/// Sends, or loses, datagrams of `size` bytes each, the last perhaps shorter.
fn send_run(sockets: &Sockets, tls: &Tls, path: &Path, datagrams: &[u8], size: usize) {
    match path.socket {
        Path::TLS => datagrams.chunks(size.max(1)).for_each(|datagram| tls.send(path, datagram)),
        _ => sockets.send_run(path, datagrams, size),
    }
}

/// Binds the second port; none if there is to be none, or the default one is taken.
fn bind_second(sockets: &mut Sockets, port: Option<u16>, first: u16) -> Result<Option<u16>, Error> {
    match (port, first.checked_add(1)) {
        (Some(0), _) | (None, None) => Ok(None),
        (Some(port), _) => sockets.bind_second(port).map(Some),
        (None, Some(port)) => Ok(sockets.bind_second(port).map_or_else(
            |error| {
                tracing::warn!(%error, "nodes cannot learn how their NAT maps");
                None
            },
            Some,
        )),
    }
}

fn log(event: &BrokerEvent) {
    match event {
        BrokerEvent::NodeOnline { key, path, .. } => tracing::info!(?key, ?path, "online"),
        BrokerEvent::NodeOffline { key } => tracing::info!(?key, "offline"),
        BrokerEvent::Enrolled { key } => tracing::info!(?key, "enrolled"),
        BrokerEvent::Introduced { initiator, responder, .. } => {
            tracing::info!(?initiator, ?responder, "introduced");
        }
        BrokerEvent::Ownership { key, ownership } => {
            tracing::info!(?key, owner = ?ownership.owner, epoch = ownership.epoch, "owned");
        }
        BrokerEvent::Note { .. } => {}
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
