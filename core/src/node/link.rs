//! A node's side of a link to a broker, or to a gateway that is one: connect, greet, enrol, stay,
//! come back.
//!
//! Owns the connection and the control stream. What the broker says about sessions is handed on as
//! [`ToNode`]s; the link itself understands the rest.

mod fallback;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(not(feature = "gateway"))]
#[path = "link/no_gateway.rs"]
mod gateway;
mod owner_news;

use self::owner_news::OwnerNews;
use super::control::{CODE_CONTROL, CONTROL_STREAM, Control, ControlError};
use super::endpoint::Endpoint;
use super::error::{NodeError, Reason};
use super::keep_alive::{Due, KeepAlive, Say};
use super::{BrokerAddress, Event, Owner, Which};
use crate::base::{Ecn, Path, Time};
use crate::crypto::broker_contact;
use crate::handshake::Contact;
use crate::transport::{CloseReason, Connection, Event as ConnectionEvent, PathEvent, Transmit};
use crate::traverse::{FirstFlight, by_nat64, is_by_nat64};
use crate::wire::VERSION;
use crate::wire::message::{CANDIDATES_MAX, EnrolCode, ServiceInfo, ToBroker, ToNode};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// The longest silence of a link, both ways. Who is gone is noticed sooner: by what is not
/// acknowledged, which the node makes sure there is now and then.
pub(super) const LINK_IDLE: Duration = Duration::from_secs(600);
/// How long a broker may take to acknowledge.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// First wait before connecting again; doubles up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
const MAX_DOUBLINGS: u32 = 6;
/// Sockets of the broker asked beside the one that the link leads to.
const MAX_OTHERS: usize = 2;
/// How often they are asked, as questions and answers may be lost, and how long apart.
const OTHERS_ASKS: u32 = 4;
const OTHERS_WAIT: Duration = Duration::from_secs(1);
/// After a change of network a connection is given up that many probe timeouts in a row, within
/// this time: another address may be one that the old connection is not let through from. One more
/// where there is a gateway to turn to, as then each question is such a test.
const SUSPECT_TIMEOUTS: u32 = 2;
const SUSPICION: Duration = Duration::from_secs(10);

/// Where the link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing to do until `broker_connect`.
    Idle,
    /// Connecting, or connected and not welcomed yet.
    Greeting,
    Online,
    /// Waiting to connect again.
    Waiting(Time),
}

pub(super) struct Link {
    which: Which,
    address: Option<BrokerAddress>,
    code: Option<EnrolCode>,
    phase: Phase,
    connection: Option<Box<Connection>>,
    first_flight: FirstFlight,
    control: Control,
    failures: u32,
    /// The last time it was online it was so by TCP.
    is_udp_blocked: bool,
    /// When the broker is asked by UDP, while the link is by TCP.
    ask_udp_at: Option<Time>,
    /// The network changed: until then, silence means that the connection is dead.
    suspect_until: Option<Time>,
    pub(super) services: Vec<ServiceInfo>,
    pub(super) local_paths: Vec<Path>,
    /// Messages about sessions, for the node.
    pub(super) inbox: VecDeque<ToNode>,
    /// What it says, and hears, that concerns owners.
    pub(super) owner: OwnerNews,
    /// Where the broker sees us, and where another of its sockets does.
    pub(super) observed: Option<(Path, Option<Path>)>,
    /// Those other sockets.
    others: Vec<Path>,
    /// When to ask there again if nothing is heard of it, and how often more.
    ask_others_at: Option<Time>,
    asks_left: u32,
    /// What was said in hello is not so any more.
    is_hello_stale: bool,
    /// Something was not done for lack of memory.
    is_short_of_memory: bool,
    keep_alive: KeepAlive,
    /// It is left alone until then, as it refused this node.
    #[cfg(feature = "gateway")]
    refused_until: Option<Time>,
}

impl Link {
    pub(super) fn new(which: Which, keep_alive: KeepAlive) -> Self {
        Link {
            which,
            keep_alive,
            address: None,
            code: None,
            phase: Phase::Idle,
            connection: None,
            first_flight: FirstFlight::default(),
            control: Control::default(),
            failures: 0,
            is_udp_blocked: false,
            ask_udp_at: None,
            suspect_until: None,
            services: Vec::new(),
            local_paths: Vec::new(),
            inbox: VecDeque::new(),
            owner: OwnerNews::default(),
            observed: None,
            others: Vec::new(),
            ask_others_at: None,
            asks_left: 0,
            is_hello_stale: false,
            is_short_of_memory: false,
            #[cfg(feature = "gateway")]
            refused_until: None,
        }
    }

    pub(super) fn is_online(&self) -> bool {
        self.phase == Phase::Online
    }

    pub(super) fn connection(&self) -> Option<&Connection> {
        self.connection.as_deref()
    }

    pub(super) fn start(
        &mut self,
        address: BrokerAddress,
        code: Option<&str>,
        endpoint: &mut Endpoint<Owner>,
        now: Time,
    ) -> Result<(), NodeError> {
        if !matches!(self.phase, Phase::Idle | Phase::Waiting(_)) {
            return Err(NodeError::State);
        }
        if address.paths.iter().all(|path| path.port == 0) {
            return Err(NodeError::Argument);
        }
        if !endpoint.local.config.reserve.allows_connection() {
            return Err(NodeError::Memory);
        }
        self.address = Some(address);
        self.code = code.map(EnrolCode::from);
        self.failures = 0;
        self.connect(endpoint, now)
    }

    fn connect(&mut self, endpoint: &mut Endpoint<Owner>, now: Time) -> Result<(), NodeError> {
        let Some(address) = &self.address else { return Err(NodeError::State) };
        let (id, key) = broker_contact(endpoint.provider(), &address.key);
        let (path, candidates) =
            FirstFlight::new(&address.paths, self.is_udp_blocked).ok_or(NodeError::Argument)?;
        if let Some(old) = self.connection.take() {
            endpoint.forget(&old, Owner::Link(self.which));
        }
        self.keep_alive.stop();
        if !endpoint.local.config.reserve.allows_connection() {
            self.is_short_of_memory = true;
            return Err(NodeError::Memory);
        }
        let contact = Contact { id, key };
        // All that a broker says it says on a stream.
        let mut local = endpoint.local.clone();
        local.config.datagram_recv_buffer = 0;
        if self.keep_alive.is_adaptive() {
            local.config.keep_alive = Duration::ZERO;
            local.config.idle_timeout = LINK_IDLE;
            local.config.ack_timeout = Some(ANSWER_TIME);
        }
        let connection =
            endpoint.open_with(local, &contact, address.key, path, Owner::Link(self.which), now)?;
        self.connection = Some(connection);
        self.first_flight = candidates;
        self.control = Control::default();
        self.phase = Phase::Greeting;
        endpoint.touch(Owner::Link(self.which));
        Ok(())
    }

    // ---- input and output

    pub(super) fn handle_datagram(&mut self, path: Path, ecn: Ecn, datagram: &mut [u8], now: Time) {
        if let Some(connection) = &mut self.connection {
            let dropped = connection.packets_dropped();
            connection.handle_datagram(path, ecn, datagram, now);
            // What anybody could have sent says nothing of the broker.
            if connection.packets_dropped() == dropped {
                self.keep_alive.on_heard();
            }
            if connection.is_path_latched() {
                self.first_flight.clear();
            }
        }
    }

    pub(super) fn take_shortage(&mut self) -> bool {
        let own = core::mem::take(&mut self.is_short_of_memory);
        self.connection.as_deref_mut().is_some_and(Connection::take_shortage) || own
    }

    pub(super) fn handle_reset(&mut self, now: Time) {
        if let Some(connection) = &mut self.connection {
            connection.handle_reset(now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        if let Some(connection) = &mut self.connection {
            connection.handle_timeout(now);
        }
    }

    pub(super) fn poll_transmit(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit> {
        if let Some(copy) = self.first_flight.poll_transmit(buf) {
            return Some(copy);
        }
        let connection = self.connection.as_mut()?;
        let transmit = connection.poll_transmit(buf, now)?;
        if transmit.path == connection.path() {
            self.keep_alive.on_sent(now);
        }
        self.first_flight.on_transmit(buf.get(..transmit.len)?, now);
        Some(transmit)
    }

    /// When to try again.
    fn retry_at(&self) -> Option<Time> {
        if let Phase::Waiting(at) = self.phase { Some(at) } else { None }
    }

    /// When something is due that is not the connection's.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let own = [self.retry_at(), self.ask_others_at, self.keep_alive.poll_timeout()];
        own.into_iter().flatten().min()
    }

    /// Does what of that is due.
    pub(super) fn do_due(&mut self, endpoint: &mut Endpoint<Owner>, now: Time) {
        if self.ask_others_at.take_if(|at| *at <= now).is_some()
            && self.observed.is_some_and(|(_, other)| other.is_none())
        {
            self.ask_others(now);
            endpoint.touch(Owner::Link(self.which));
        }
        let is_by_tls = self.is_by_tls();
        while let Some(due) = self.keep_alive.poll(now) {
            let Some(connection) = &mut self.connection else { break };
            connection.advance(now);
            if due == Ok(Due::Ask) && self.keep_alive.is_watchful() {
                self.suspect_until = Some(now + SUSPICION);
            }
            match due {
                // A TCP connection that nothing comes back by is taken for dead.
                Ok(Due::Show | Due::Ask) if is_by_tls => connection.ping(),
                // And how long the NAT remembers UDP does not matter.
                Ok(Due::Test(_)) if is_by_tls => {}
                Ok(Due::Show) => connection.show(),
                Ok(Due::Ask) => connection.ping(),
                Ok(Due::Test(socket)) => {
                    connection.probe_path(Path { socket, ..connection.path() });
                }
                Err(say) => self.say(say, now),
            }
            endpoint.touch(Owner::Link(self.which));
        }
        if self.retry_at().is_some_and(|at| at <= now) && self.connect(endpoint, now).is_err() {
            self.wait(endpoint, now);
        }
    }

    /// Addresses or routes changed: the broker is asked at once whether it is there, or called.
    pub(super) fn network_changed(&mut self, now: Time) {
        if let Phase::Waiting(at) = &mut self.phase {
            *at = now;
            self.failures = 0;
        }
        if let Some(connection) = &mut self.connection {
            connection.advance(now);
            connection.ping();
            self.observed = None;
            if self.phase == Phase::Online {
                let say = self.keep_alive.on_forgotten(now);
                self.keep_alive.start(now);
                say.into_iter().for_each(|say| self.say(say, now));
            }
            self.suspect_until = Some(now + SUSPICION);
            self.begin_asking_others(now);
        }
    }

    /// Asks the broker whether it is there, sooner than the link would by itself.
    pub(super) fn ask(&mut self, endpoint: &mut Endpoint<Owner>, now: Time) {
        if let Some(connection) = &mut self.connection {
            connection.advance(now);
            connection.ping();
            endpoint.touch(Owner::Link(self.which));
        }
    }

    /// Whether the connection does not lead anywhere any more.
    fn is_dead(&self, now: Time) -> bool {
        let enough = SUSPECT_TIMEOUTS + u32::from(self.keep_alive.is_watchful());
        self.suspect_until.is_some_and(|until| now <= until)
            && self.connection.as_ref().is_some_and(|c| c.unanswered() >= enough)
    }

    /// Looks at what happened on the connection.
    pub(super) fn process(
        &mut self,
        endpoint: &mut Endpoint<Owner>,
        events: &mut VecDeque<Event>,
        now: Time,
    ) {
        while let Some(event) = self.connection.as_deref_mut().and_then(Connection::poll_event) {
            match event {
                ConnectionEvent::Connected => self.greet(now),
                ConnectionEvent::Closed(reason) => self.on_closed(&reason, endpoint, events, now),
                ConnectionEvent::Stream(CONTROL_STREAM) => self.read(events, now),
                // The broker opens no streams.
                ConnectionEvent::Opened(_)
                | ConnectionEvent::Stream(_)
                | ConnectionEvent::Path(PathEvent::Moved)
                | ConnectionEvent::Datagrams => {}
                ConnectionEvent::Path(PathEvent::Answered { path, .. }) => {
                    self.on_answered(path, now);
                    let say = self.keep_alive.on_answered(path, now);
                    say.into_iter().for_each(|say| self.say(say, now));
                }
                ConnectionEvent::Path(PathEvent::Asked(path)) => {
                    let say = self.keep_alive.on_asked(path, now);
                    say.into_iter().for_each(|say| self.say(say, now));
                }
            }
        }
        if self.is_dead(now) {
            self.suspect_until = None;
            if self.phase == Phase::Online {
                events.push_back(self.which.offline(Reason::TimedOut));
            }
            self.failures = 0;
            if self.connect(endpoint, now).is_err() {
                self.wait(endpoint, now);
            }
        }
        if self.control.is_waiting() {
            self.read(events, now);
            self.is_short_of_memory |= self.control.is_waiting();
        }
        self.note_way(now);
        if self.is_hello_stale && self.is_online() {
            self.announce(now);
        }
        if let Some(connection) = &mut self.connection {
            self.control.flush(connection);
            // As a rule the next thing said is minutes away.
            connection.stream_shrink(CONTROL_STREAM);
            endpoint.keep_cids(connection, Owner::Link(self.which));
            endpoint.touch(Owner::Link(self.which));
        }
    }

    // ---- the conversation

    /// Queues a message to the broker.
    pub(super) fn send(&mut self, message: &ToBroker, now: Time) -> Result<(), NodeError> {
        let Some(connection) = &mut self.connection else { return Err(NodeError::Offline) };
        self.control.send(connection, message).map_err(|error| {
            if error == ControlError::Memory {
                self.is_short_of_memory = true;
                return NodeError::Memory;
            }
            connection.close(CODE_CONTROL, now);
            NodeError::Internal
        })
    }

    fn greet(&mut self, now: Time) {
        let Some(connection) = &mut self.connection else { return };
        if connection.stream_open() != Ok(CONTROL_STREAM) {
            return connection.close(CODE_CONTROL, now);
        }
        self.control.on_open();
        self.owner.on_connected(now);
        // A failure closes the connection, which is news enough.
        let sent = self.send_hello(now);
        self.close_if_unsaid(sent, now);
    }

    /// Without memory for what must be said the link is made anew, some time later.
    fn close_if_unsaid(&mut self, sent: Result<(), NodeError>, now: Time) {
        if let (Err(NodeError::Memory), Some(connection)) = (sent, &mut self.connection) {
            connection.close(CODE_CONTROL, now);
        }
    }

    /// What we offer or where we are changed: the broker is told, at once or once it knows us.
    pub(super) fn announce(&mut self, now: Time) {
        self.is_hello_stale = true;
        if self.is_online() {
            // A failure closes the link, which connects again and says hello anew; but for one of
            // memory, after which it is tried again.
            self.is_hello_stale = self.send_hello(now) == Err(NodeError::Memory);
        }
    }

    /// Tells the broker what we offer and where we are.
    pub(super) fn send_hello(&mut self, now: Time) -> Result<(), NodeError> {
        self.is_hello_stale = false;
        // What is copied to make the message.
        let copied =
            self.services.len() * size_of::<ServiceInfo>() + size_of_val(&*self.local_paths);
        let reserve = self.connection.as_deref().map(Connection::reserve).unwrap_or_default();
        if !reserve.allows(copied * 2) {
            return Err(NodeError::Memory);
        }
        let mut candidates = self.local_paths.clone();
        candidates.truncate(CANDIDATES_MAX);
        let hello = ToBroker::Hello {
            version: VERSION,
            abi: 1,
            firmware: String::new(),
            services: self.services.clone(),
            candidates,
            ownership: self.owner.ownership(),
        };
        self.send(&hello, now)
    }

    fn read(&mut self, events: &mut VecDeque<Event>, now: Time) {
        let Some(connection) = &mut self.connection else { return };
        let mut messages = VecDeque::new();
        let end = self.control.receive(connection, &mut messages);
        for message in messages {
            self.on_message(message, events, now);
        }
        if end.is_err() {
            if let Some(connection) = &mut self.connection {
                connection.close(CODE_CONTROL, now);
            }
        }
    }

    fn on_message(&mut self, message: ToNode, events: &mut VecDeque<Event>, now: Time) {
        match message {
            ToNode::Welcome { .. } if self.phase != Phase::Greeting => {}
            ToNode::Welcome { observed, enrolled, time_unix_s, others, silence_max_s } => {
                self.keep_alive.limit(silence_max_s);
                self.owner.on_welcome(time_unix_s);
                self.observed = Some((observed, None));
                self.others = others;
                self.others.truncate(if self.which == Which::Broker { MAX_OTHERS } else { 0 });
                self.begin_asking_others(now);
                // Kept until the broker has decided: a link lost on the way tries again with it.
                match self.code.clone() {
                    _ if enrolled => self.move_to_online(events, now),
                    Some(code) => {
                        let sent = self.send(&ToBroker::Enrol { code }, now);
                        self.close_if_unsaid(sent, now);
                    }
                    None => self.give_up(Reason::NotEnrolled, events, now),
                }
            }
            ToNode::Enrolled if self.phase == Phase::Greeting => {
                if self.which == Which::Broker {
                    events.push_back(Event::Enrolled);
                }
                self.move_to_online(events, now);
            }
            ToNode::Refused { request: 0, reason } => match Reason::from(reason) {
                reason @ (Reason::BadCode | Reason::NotEnrolled) => {
                    self.give_up(reason, events, now);
                }
                reason => {
                    if reason == Reason::Replaced {
                        // Two processes with one identity must not take the link from each other
                        // as fast as they can.
                        self.failures = MAX_DOUBLINGS;
                    }
                    self.close(reason, events, now);
                }
            },
            ToNode::Observed { observed, other } => {
                let is_other = self.observed.is_some_and(|(known, _)| known != observed);
                self.observed = Some((observed, other));
                if is_other && other.is_none() {
                    let say = self.keep_alive.on_forgotten(now);
                    say.into_iter().for_each(|say| self.say(say, now));
                    self.begin_asking_others(now);
                }
            }
            message => self.inbox.push_back(message),
        }
    }

    /// Shows itself to the broker's other sockets, so that the broker sees how our NAT maps, until
    /// it says so.
    fn begin_asking_others(&mut self, now: Time) {
        self.asks_left = OTHERS_ASKS;
        self.ask_others(now);
    }

    fn ask_others(&mut self, now: Time) {
        self.asks_left = self.asks_left.saturating_sub(1);
        self.ask_others_at = Some(now + OTHERS_WAIT).filter(|_| self.asks_left > 0);
        // Not where only TCP leads there: what other sockets see says nothing of that.
        let by_udp = self.connection.as_mut().filter(|link| !link.path().is_tls());
        if let Some(connection) = by_udp {
            let is_by_nat64 = is_by_nat64(&connection.path());
            let callable = |path: &Path| if is_by_nat64 { by_nat64(*path) } else { *path };
            self.others.iter().map(callable).for_each(|path| connection.probe_path(path));
        }
    }

    fn say(&mut self, say: Say, now: Time) {
        let Say { silence_s, ask_back_s } = say;
        // A failure closes the link.
        let _ = self.send(&ToBroker::Quiet { silence_s, ask_back_s }, now);
    }

    fn move_to_online(&mut self, events: &mut VecDeque<Event>, now: Time) {
        self.phase = Phase::Online;
        self.keep_alive.start(now);
        self.code = None;
        self.failures = 0;
        events.push_back(self.which.online());
    }

    /// Trying again would not help, or not soon.
    fn give_up(&mut self, reason: Reason, events: &mut VecDeque<Event>, now: Time) {
        self.code = None;
        match self.which {
            Which::Broker => {
                self.phase = Phase::Idle;
                self.address = None;
                events.push_back(Event::EnrolRefused(reason));
            }
            #[cfg(feature = "gateway")]
            Which::Gateway => self.leave_alone(reason, events, now),
        }
        if let Some(connection) = &mut self.connection {
            connection.close(0, now);
        }
    }

    fn close(&mut self, reason: Reason, events: &mut VecDeque<Event>, now: Time) {
        events.push_back(self.which.offline(reason));
        // Keeps `on_closed` from telling it twice.
        self.phase = Phase::Waiting(now + MAX_BACKOFF);
        if let Some(connection) = &mut self.connection {
            connection.close(0, now);
        }
    }

    fn on_closed(
        &mut self,
        reason: &CloseReason,
        endpoint: &mut Endpoint<Owner>,
        events: &mut VecDeque<Event>,
        now: Time,
    ) {
        if matches!(self.phase, Phase::Greeting | Phase::Online) {
            events.push_back(self.which.offline(Reason::from(reason)));
        }
        if self.phase != Phase::Idle && !self.is_refused() {
            self.wait(endpoint, now);
        }
    }

    /// Backs off: double each time, three quarters of it certain, one quarter by chance, so that a
    /// broker's restart does not bring all nodes back at once.
    fn wait(&mut self, endpoint: &mut Endpoint<Owner>, now: Time) {
        let base = MIN_BACKOFF * (1 << self.failures.min(MAX_DOUBLINGS));
        let base_us = base.min(self.max_backoff()).as_micros() as u64;
        let jittered = base_us / 4 * 3 + endpoint.rng.below(base_us / 4 + 1);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Waiting(now + Duration::from_micros(jittered));
    }
}
