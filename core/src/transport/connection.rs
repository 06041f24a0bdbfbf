//! The connection: what it is made of, its life from open to closed, its timers, its commands.
//!
//! Taking packets apart is in `receive`, building them in `transmit`, ending in `close`. State
//! changes only by `move_to_*`. Time that goes back is clamped.

use super::cids::{CidEvent, Cids, ResetToken};
use super::close::Close;
use super::control::Control;
use super::crypto_stream::{CryptoReceiver, CryptoSender};
use super::datagrams::Datagrams;
use super::error::{CloseReason, StreamError};
use super::establish::{PeerLimits, contact_keys, start_handshake};
use super::keep_alive::Lull;
use super::key_update::{Generation, KeyUpdate};
use super::loss::Recovery;
use super::paths::Paths;
use super::rtt::RttEstimator;
use super::space::{SpaceId, Spaces};
use super::streams::Streams;
use super::{BASE_DATAGRAM, Config, Congestion, Event, Priority, StreamId, StreamState};
use crate::base::{Path, PublicKey, Reserve, Rng, Side, Time};
use crate::crypto::{DirectionKeys, Provider, Signer};
use crate::handshake::{Contact, Handshake, HandshakeError, PeerPolicy, TlsRole};
use crate::wire::cid::Cid;
use crate::wire::params::TransportParams;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::time::Duration;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Handshaking,
    Established,
    /// CONNECTION_CLOSE was sent (RFC 9000 §10.2.1).
    Closing,
    /// The peer closed (RFC 9000 §10.2.2).
    Draining,
    Closed,
}

/// What an initiator opens a connection with.
pub struct Open<'a> {
    /// The contact it was given.
    pub contact: &'a Contact,
    /// First packet's destination: contact ID ‖ nonce.
    pub dcid: Cid,
    /// Where the responder may be.
    pub path: Path,
    /// Who the responder must be.
    pub peer: PeerPolicy,
    /// What a stateless reset of our first connection ID ends with.
    pub reset_token: ResetToken,
}

/// What a responder accepts a connection with.
pub struct Accept<'a> {
    /// The contact that the first packet names.
    pub contact: &'a Contact,
    /// First packet's destination: contact ID ‖ nonce.
    pub dcid: Cid,
    /// Where the first packet came from.
    pub path: Path,
    /// Who the initiator may be.
    pub peer: PeerPolicy,
    /// What a stateless reset of our first connection ID ends with.
    pub reset_token: ResetToken,
}

/// What both sides bring along.
#[derive(Clone)]
pub struct Local {
    /// Limits and timers.
    pub config: Config,
    /// The crypto library.
    pub provider: &'static dyn Provider,
    /// Our key.
    pub signer: Arc<dyn Signer>,
}

/// One end of a connection.
pub struct Connection {
    pub(super) side: Side,
    /// A responder's is not certain before the handshake has begun.
    pub(super) role: TlsRole,
    pub(super) config: Config,
    pub(super) provider: &'static dyn Provider,
    pub(super) rng: Rng,
    pub(super) state: State,
    pub(super) now: Time,
    pub(super) paths: Paths,
    pub(super) original_dcid: Cid,
    /// Apart: a connection that is up has no use for its room.
    pub(super) handshake: Option<Box<Handshake>>,
    pub(super) crypto_tx: CryptoSender,
    pub(super) crypto_rx: CryptoReceiver,
    pub(super) spaces: Spaces,
    /// From when there are 1-RTT keys.
    pub(super) key_update: Option<KeyUpdate>,
    /// The sequence number of our connection ID that the packet at hand came to.
    pub(super) used_cid: Option<u64>,
    /// Which key the 1-RTT packet at hand opened under.
    pub(super) opened_under: Generation,
    pub(super) recovery: Recovery,
    pub(super) control: Control,
    pub(super) streams: Streams,
    /// Apart: most connections have none.
    pub(super) datagrams: Option<Box<Datagrams>>,
    pub(super) peer: PeerLimits,
    pub(super) peer_key: Option<PublicKey>,
    #[cfg(feature = "attest")]
    pub(super) binding: [u8; 32],
    /// The peer has seen that the handshake is complete (RFC 9001 §4.1.2).
    pub(super) is_confirmed: bool,
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    pub(super) packets_dropped: u64,
    pub(super) close: Close,
    pub(super) handshake_deadline: Option<Time>,
    idle_deadline: Option<Time>,
    pub(super) keep_alive_deadline: Option<Time>,
    lull: Lull,
    /// Something ack-eliciting was sent since the last packet came (RFC 9000 §10.1).
    pub(super) has_sent_since_receive: bool,
    /// The integrator's crypto failed at a packet since the last one that opened.
    pub(super) has_crypto_failed: bool,
    pub(super) events: VecDeque<Event>,
    /// Something that came was not taken for lack of memory, as if it were lost.
    pub(super) is_short_of_memory: bool,
}

impl Connection {
    /// Starts as initiator; the first datagram is ready at once.
    pub fn open(
        local: Local,
        open: Open<'_>,
        local_cid: Cid,
        rng: &mut Rng,
        now: Time,
    ) -> Result<Box<Self>, HandshakeError> {
        let Open { contact, dcid, path, peer, reset_token } = open;
        let (side, role) = (Side::Initiator, local.config.role);
        let parts = Parts { side, role, contact, dcid, path, peer, reset_token };
        let mut connection = Self::new(local, parts, dcid, local_cid, rng, now)?;
        connection.drive_handshake();
        Ok(connection)
    }

    /// Starts as responder. Hand the opened first packet to [`Self::handle_first_packet`] next.
    pub fn accept(
        local: Local,
        accept: Accept<'_>,
        remote_cid: Cid,
        local_cid: Cid,
        rng: &mut Rng,
        now: Time,
    ) -> Result<Box<Self>, HandshakeError> {
        let Accept { contact, dcid, path, peer, reset_token } = accept;
        let (side, role) = (Side::Responder, TlsRole::Server);
        let parts = Parts { side, role, contact, dcid, path, peer, reset_token };
        let mut connection = Self::new(local, parts, remote_cid, local_cid, rng, now)?;
        connection.paths.is_latched = true;
        Ok(connection)
    }

    /// Never inlined, so that what it takes of the stack is given back before the handshake needs
    /// it.
    #[inline(never)]
    fn new(
        local: Local,
        parts: Parts<'_>,
        remote_cid: Cid,
        local_cid: Cid,
        rng: &mut Rng,
        now: Time,
    ) -> Result<Box<Self>, HandshakeError> {
        let mut rng = rng.fork();
        let handshake = start_handshake(&local, &parts, &mut rng)?;
        let Local { config, provider, .. } = local;
        let contact = contact_keys(provider, parts.side, parts.contact, &parts.dcid);
        Ok(Box::new(Connection {
            side: parts.side,
            role: parts.role,
            streams: Streams::new(parts.side, &config),
            datagrams: None,
            recovery: Recovery::new(BASE_DATAGRAM.min(config.max_datagram), Congestion::default()),
            control: Control::new(Cids::new(local_cid, parts.reset_token, remote_cid)),
            handshake_deadline: Some(now + config.handshake_timeout),
            config,
            provider,
            rng,
            state: State::Handshaking,
            now,
            paths: Paths::new(parts.path, parts.side == Side::Initiator),
            original_dcid: parts.dcid,
            handshake: Some(Box::new(handshake)),
            crypto_tx: CryptoSender::default(),
            crypto_rx: CryptoReceiver::default(),
            spaces: Spaces::new(contact),
            key_update: None,
            used_cid: None,
            opened_under: Generation::Current,
            peer: PeerLimits::of(&TransportParams::default()),
            peer_key: None,
            #[cfg(feature = "attest")]
            binding: [0; 32],
            is_confirmed: false,
            bytes_received: 0,
            bytes_sent: 0,
            packets_dropped: 0,
            close: Close::default(),
            idle_deadline: None,
            keep_alive_deadline: None,
            lull: Lull::default(),
            has_sent_since_receive: false,
            has_crypto_failed: false,
            events: VecDeque::new(),
            is_short_of_memory: false,
        }))
    }

    /// The keys under which a first packet to `contact` must open; for the responder, before there
    /// is a connection.
    pub fn first_packet_keys(
        provider: &'static dyn Provider,
        contact: &Contact,
        dcid: &Cid,
    ) -> DirectionKeys {
        contact_keys(provider, Side::Responder, contact, dcid).remote
    }

    // ---- questions

    /// Our connection IDs: datagrams to them belong here.
    pub fn local_cids(&self) -> impl Iterator<Item = Cid> + '_ {
        self.control.cids.local()
    }

    /// Whether the peer would keep another connection ID of ours: then make one, route it here and
    /// call [`Self::issue_cid`].
    pub fn wants_cid(&self) -> bool {
        self.is_established() && self.control.cids.wants_more()
    }

    /// Tells the peer another connection ID of ours, and what its stateless reset ends with.
    pub fn issue_cid(&mut self, cid: Cid, token: ResetToken) {
        self.control.cids.issue(cid, token);
    }

    /// What changed about connection IDs; drain until `None`.
    pub fn poll_cid_event(&mut self) -> Option<CidEvent> {
        self.control.cids.poll_event()
    }

    /// First packet's destination, under which early datagrams may still come.
    pub fn original_dcid(&self) -> Cid {
        self.original_dcid
    }

    /// Initiator or responder.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Where the peer is.
    pub fn path(&self) -> Path {
        self.paths.active
    }

    /// Whether the peer answered from `path`; until then it is a guess.
    pub fn is_path_latched(&self) -> bool {
        self.paths.is_latched
    }

    /// Who the peer is, once the handshake is complete.
    pub fn peer_key(&self) -> Option<PublicKey> {
        self.peer_key
    }

    /// What only the two ends of this connection know, and no other connection has; zeros before
    /// the handshake is complete.
    #[cfg(feature = "attest")]
    pub fn binding(&self) -> &[u8; 32] {
        &self.binding
    }

    /// Whether streams can be used.
    pub fn is_established(&self) -> bool {
        self.state == State::Established
    }

    /// Whether nothing is left to do: the owner may drop it.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Round-trip time.
    pub fn rtt(&self) -> &RttEstimator {
        &self.recovery.rtt
    }

    /// Bytes that congestion control lets be in flight (RFC 9002 §7).
    pub fn congestion_window(&self) -> u64 {
        self.recovery.controller.window()
    }

    /// Memory that is to stay free.
    pub fn reserve(&self) -> Reserve {
        self.config.reserve
    }

    /// Whether something that came since the last call was not taken for lack of memory.
    pub fn take_shortage(&mut self) -> bool {
        core::mem::take(&mut self.is_short_of_memory)
    }

    /// Packets that were no packets of this connection's, or came again.
    pub fn packets_dropped(&self) -> u64 {
        self.packets_dropped
    }

    // ---- streams

    /// Opens a bidirectional stream.
    pub fn stream_open(&mut self) -> Result<StreamId, StreamError> {
        self.check_established()?;
        self.streams.open()
    }

    /// Buffers bytes to send; returns how many were taken. `Blocked` if none: a `Stream` event
    /// tells when there is room.
    pub fn stream_write(&mut self, id: StreamId, data: &[u8]) -> Result<usize, StreamError> {
        self.check_established()?;
        self.streams.write(id, data)
    }

    /// Copies received bytes out, in order. 0 bytes are the end of the stream, told once.
    pub fn stream_read(&mut self, id: StreamId, out: &mut [u8]) -> Result<usize, StreamError> {
        self.streams.read(id, out)
    }

    /// Ends our side after what was written.
    pub fn stream_finish(&mut self, id: StreamId) -> Result<(), StreamError> {
        self.check_established()?;
        self.streams.finish(id)
    }

    /// Ends our side at once; what was not delivered is lost.
    pub fn stream_reset(&mut self, id: StreamId, code: u64) -> Result<(), StreamError> {
        self.streams.reset(id, code)
    }

    /// Asks the peer to send no more; what comes is dropped.
    pub fn stream_stop(&mut self, id: StreamId, code: u64) -> Result<(), StreamError> {
        self.streams.stop(id, code)
    }

    /// Lets go of a stream; what is unfinished is reset and stopped with `code`.
    pub fn stream_release(&mut self, id: StreamId, code: u64) -> Result<(), StreamError> {
        self.streams.release(id, code)
    }

    /// How a stream's data stands to that of others; see [`Priority`].
    pub fn stream_set_priority(
        &mut self,
        id: StreamId,
        priority: Priority,
    ) -> Result<(), StreamError> {
        self.streams.set_priority(id, priority)
    }

    /// Makes the stream one of those that have `share`, 0 to [`SHARES_MAX`](super::SHARES_MAX) - 1,
    /// and gives the share this weight, 1 to [`WEIGHT_MAX`](super::WEIGHT_MAX). While streams of an
    /// urgency wait that take turns, each share has of what is sent as much as its weight is of all
    /// their weights, whoever of its streams it goes to; a stream without a share counts as one of
    /// weight [`WEIGHT_DEFAULT`](super::WEIGHT_DEFAULT). What one does not use goes to the others.
    #[cfg(feature = "media")]
    pub fn stream_set_share(
        &mut self,
        id: StreamId,
        share: u8,
        weight: u16,
    ) -> Result<(), StreamError> {
        self.streams.set_share(id, share, weight)
    }

    /// Sets until when what is written is worth sending, or that it always is. What is not
    /// acknowledged at `deadline`, the end of the stream included, is given up: the stream is reset
    /// with `code`, and a `Stream` event tells. If nothing is outstanding then, nothing happens,
    /// and there is no deadline any more.
    pub fn stream_set_deadline(
        &mut self,
        id: StreamId,
        deadline: Option<Time>,
        code: u64,
    ) -> Result<(), StreamError> {
        self.streams.set_deadline(id, deadline, code)
    }

    /// What can be done with a stream now; `None` if it is over.
    pub fn stream_state(&self, id: StreamId) -> Option<StreamState> {
        self.streams.state(id)
    }

    fn check_established(&self) -> Result<(), StreamError> {
        if self.is_established() { Ok(()) } else { Err(StreamError::NotConnected) }
    }

    // ---- time

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            State::Closed => return None,
            State::Closing | State::Draining => return self.close.deadline,
            State::Handshaking | State::Established => {}
        }
        let acks = self.spaces.iter().filter_map(|(_, space)| space.acks.deadline()).min();
        let loss = self.loss_deadline().map(|(at, _)| at);
        let pace = self.recovery.paced_until;
        let own = [
            self.handshake_deadline,
            self.idle_deadline,
            self.deaf_deadline(),
            self.keep_alive_deadline,
            self.lull.deadline,
            self.paths.deadline(),
            self.streams.next_deadline(),
        ];
        [acks, loss, pace].into_iter().chain(own).flatten().min()
    }

    /// Does what is due at `now`; early calls are harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        self.clamp(now);
        let now = self.now;
        let is_due = |deadline: Option<Time>| deadline.is_some_and(|at| at <= now);
        if matches!(self.state, State::Closing | State::Draining) {
            if is_due(self.close.deadline) {
                self.move_to_closed();
            }
            return;
        }
        if self.state == State::Closed {
            return;
        }
        let ends = [self.idle_deadline, self.deaf_deadline(), self.handshake_deadline];
        if ends.into_iter().any(is_due) {
            let is_ours = self.has_crypto_failed;
            self.end_silently(if is_ours { CloseReason::Crypto } else { CloseReason::TimedOut });
            return;
        }
        self.recovery.paced_until = self.recovery.paced_until.filter(|at| *at > now);
        self.streams.handle_timeout(now);
        self.spaces.handle_timeout(now);
        if self.paths.handle_timeout(now) {
            self.on_path_change();
        }
        if self.paths.is_challenge_due() {
            self.probe();
        }
        if self.lull.is_over(now) && !self.spaces.data.sent.has_ack_eliciting() {
            self.probe();
        }
        if is_due(self.keep_alive_deadline) {
            self.keep_alive_deadline = None;
            self.probe();
        }
        if let Some((_, space)) = self.loss_deadline().filter(|(at, _)| *at <= now) {
            self.on_loss_timeout(space);
        }
    }

    /// When the peer has acknowledged nothing for too long. It speaks, perhaps, but does not hear:
    /// as good as gone, and what it leaves unacknowledged must not pile up.
    fn deaf_deadline(&self) -> Option<Time> {
        let (_, at) = self.spaces.data.sent.first_outstanding(0..u64::MAX)?;
        Some(at + self.ack_timeout()?)
    }

    fn loss_deadline(&self) -> Option<(Time, SpaceId)> {
        let waits = self.side == Side::Initiator || self.role == TlsRole::Client;
        let is_unconfirmed = waits && !self.is_confirmed;
        self.recovery.deadline(&self.spaces, is_unconfirmed)
    }

    fn on_loss_timeout(&mut self, id: SpaceId) {
        let now = self.now;
        let Some(space) = self.spaces.get_mut(id) else { return };
        if space.loss_time.is_some() {
            self.detect_lost(id);
            return;
        }
        self.recovery.on_pto();
        // Probes carry what is in doubt, oldest first, rather than a bare PING (RFC 9002 §6.2.4).
        space.probes = 2;
        space.last_eliciting = Some(now);
        let (crypto, streams) = (&mut self.crypto_tx, &mut self.streams);
        let control = &mut self.control;
        space
            .sent
            .for_oldest(2, |frame| super::receive::on_frame_lost(frame, crypto, streams, control));
    }

    pub(super) fn detect_lost(&mut self, id: SpaceId) {
        let (crypto, streams) = (&mut self.crypto_tx, &mut self.streams);
        let control = &mut self.control;
        let Some(space) = self.spaces.get_mut(id) else { return };
        self.recovery.detect_lost(space, self.now, |frame| {
            super::receive::on_frame_lost(frame, crypto, streams, control);
        });
    }

    /// Time passed; nothing is done yet about what is due.
    pub fn advance(&mut self, now: Time) {
        self.clamp(now);
    }

    pub(super) fn clamp(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// A packet of the peer was authenticated.
    pub(super) fn on_heard(&mut self) {
        self.has_sent_since_receive = false;
        self.restart_idle_timer();
        if self.state == State::Established {
            self.lull.on_heard(self.recovery.pto(SpaceId::Data), self.now);
        }
    }

    /// The shorter of both ends', but three probe timeouts at least (RFC 9000 §10.1).
    pub(super) fn idle_timeout(&self) -> Option<Duration> {
        let ours = self.config.idle_timeout;
        let theirs = Duration::from_millis(self.peer.max_idle_timeout_ms);
        let shorter = [ours, theirs].into_iter().filter(|t| !t.is_zero()).min();
        let floor = self.recovery.pto(SpaceId::Data) * 3;
        shorter.map(|timeout| timeout.max(floor))
    }

    /// Idle and keep-alive time start again (RFC 9000 §10.1).
    pub(super) fn restart_idle_timer(&mut self) {
        if self.state != State::Established {
            return;
        }
        self.idle_deadline = self.idle_timeout().map(|timeout| self.now + timeout);
        self.restart_keep_alive();
    }

    /// What happened; drain until `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if !self.is_established() {
            return None;
        }
        if let Some(id) = self.streams.poll_opened() {
            return Some(Event::Opened(id));
        }
        if let Some(id) = self.streams.poll_changed() {
            return Some(Event::Stream(id));
        }
        let inbox = &mut self.datagrams.as_mut()?.inbox;
        core::mem::take(&mut inbox.is_news).then_some(Event::Datagrams)
    }

    /// The payload bytes a datagram to the peer may have.
    pub(super) fn max_datagram(&self) -> usize {
        self.recovery.mtu.current()
    }
}

pub(super) struct Parts<'a> {
    pub(super) reset_token: ResetToken,
    pub(super) side: Side,
    pub(super) role: TlsRole,
    pub(super) contact: &'a Contact,
    pub(super) dcid: Cid,
    path: Path,
    pub(super) peer: PeerPolicy,
}
