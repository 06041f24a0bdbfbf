//! Stream handles of a node: commands by handle, and events coalesced per stream.
//!
//! What is no longer true when fetched is not told.

use super::news::{News, Newsworthy};
use super::{Event, Node, NodeError, Owner, ServiceId, SessionId, StreamHandle};
use crate::base::{Handle, Time};
use crate::transport::{Priority, StreamId, StreamState};
use crate::tunnel::{Refusal, Tunnel};
use crate::wire::message::SERVICE_TCP;

/// Things to tell of a stream, in the order they are told.
const INCOMING: u8 = 1;
const OPENED: u8 = 2;
const REFUSED: u8 = 4;
const READABLE: u8 = 8;
const WRITABLE: u8 = 16;
const RESET: u8 = 32;
const STOPPED: u8 = 64;
const EXPIRED: u8 = 128;

pub(super) struct StreamEntry {
    session: Handle,
    id: StreamId,
    service: ServiceId,
    news: News,
    /// The last write took less than it was given.
    is_blocked: bool,
    refusal: Option<Refusal>,
    /// Told already.
    has_told_reset: bool,
    has_told_stopped: bool,
    has_told_expired: bool,
}

impl StreamEntry {
    fn new(session: Handle, id: StreamId, service: ServiceId) -> Self {
        StreamEntry {
            session,
            id,
            service,
            news: News::default(),
            is_blocked: false,
            refusal: None,
            has_told_reset: false,
            has_told_stopped: false,
            has_told_expired: false,
        }
    }
}

impl Newsworthy for StreamEntry {
    fn news(&mut self) -> &mut News {
        &mut self.news
    }
}

impl Node {
    /// Asks the device for a service. Bytes may be written at once. `StreamOpened` or
    /// `StreamRefused` follows.
    pub fn stream_open(
        &mut self,
        session: SessionId,
        service: &str,
        now: Time,
    ) -> Result<StreamHandle, NodeError> {
        if !crate::wire::message::is_service_name(service) {
            return Err(NodeError::Name);
        }
        let owner = Handle(session.0);
        if self.streams.is_full() {
            return Err(NodeError::Limit);
        }
        self.check_memory(self.streams.growth())?;
        let session = self.live_session(owner)?;
        let tunnel = session.tunnel_to_open()?;
        tunnel.connection.advance(now);
        let id = tunnel.open(service)?;
        let entry = StreamEntry::new(owner, id, ServiceId(0));
        let handle = self.streams.insert(entry).map_err(|_| NodeError::Limit)?;
        self.live_session(owner)?.streams.insert(id, handle);
        self.process_session(owner, now);
        Ok(StreamHandle(handle.0))
    }

    /// Accepts an incoming stream.
    pub fn stream_accept(&mut self, stream: StreamHandle, now: Time) -> Result<(), NodeError> {
        self.with_stream(stream, now, |tunnel, id| Ok(tunnel.accept(id)?))
    }

    /// Refuses an incoming stream; its handle is stale from then on.
    pub fn stream_refuse(
        &mut self,
        stream: StreamHandle,
        refusal: Refusal,
        now: Time,
    ) -> Result<(), NodeError> {
        self.with_stream(stream, now, |tunnel, id| Ok(tunnel.refuse(id, refusal)?))?;
        self.drop_stream(Handle(stream.0));
        Ok(())
    }

    /// Buffers bytes to send; returns how many were taken. If that is fewer than given,
    /// `StreamWritable` follows; `Blocked` if it is none.
    pub fn stream_write(
        &mut self,
        stream: StreamHandle,
        data: &[u8],
        now: Time,
    ) -> Result<usize, NodeError> {
        let result = self.with_stream(stream, now, |tunnel, id| Ok(tunnel.write(id, data)?));
        let is_short = match result {
            Ok(len) => len < data.len(),
            Err(error) => error == NodeError::Blocked,
        };
        if let Some(entry) = self.streams.get_mut(Handle(stream.0)).filter(|_| is_short) {
            entry.is_blocked = true;
        }
        result
    }

    /// Copies received bytes out; 0 are the end of the stream, told once. `Blocked` if there are
    /// none; `StreamReadable` follows.
    pub fn stream_read(
        &mut self,
        stream: StreamHandle,
        out: &mut [u8],
        now: Time,
    ) -> Result<usize, NodeError> {
        self.with_stream(stream, now, |tunnel, id| Ok(tunnel.read(id, out)?))
    }

    /// Ends our side after what was written, as a TCP FIN does.
    pub fn stream_finish(&mut self, stream: StreamHandle, now: Time) -> Result<(), NodeError> {
        self.with_stream(stream, now, |tunnel, id| Ok(tunnel.finish(id)?))
    }

    /// Gives our side up, as a TCP RST does.
    pub fn stream_reset(
        &mut self,
        stream: StreamHandle,
        code: u64,
        now: Time,
    ) -> Result<(), NodeError> {
        self.with_stream(stream, now, |tunnel, id| Ok(tunnel.connection.stream_reset(id, code)?))
    }

    /// Asks the peer to send no more.
    pub fn stream_stop(
        &mut self,
        stream: StreamHandle,
        code: u64,
        now: Time,
    ) -> Result<(), NodeError> {
        self.with_stream(stream, now, |tunnel, id| Ok(tunnel.connection.stream_stop(id, code)?))
    }

    /// How the stream's data stands to that of others of its session; see [`Priority`]. Each end
    /// sets its own. `Argument` if `urgency` is above 7.
    pub fn stream_set_priority(
        &mut self,
        stream: StreamHandle,
        urgency: u8,
        is_incremental: bool,
        now: Time,
    ) -> Result<(), NodeError> {
        let priority = Priority::new(urgency, is_incremental).ok_or(NodeError::Argument)?;
        self.with_stream(stream, now, |tunnel, id| {
            Ok(tunnel.connection.stream_set_priority(id, priority)?)
        })
    }

    /// Sets until when what is written is worth sending, or that it always is. What has not arrived
    /// by then, the end of the stream included, is given up: the peer's `StreamReset` has
    /// [`CODE_DEADLINE`](crate::tunnel::CODE_DEADLINE), ours is `StreamExpired`.
    pub fn stream_set_deadline(
        &mut self,
        stream: StreamHandle,
        deadline: Option<Time>,
        now: Time,
    ) -> Result<(), NodeError> {
        self.with_stream(stream, now, |tunnel, id| Ok(tunnel.set_deadline(id, deadline)?))
    }

    /// Gives the handle back; what is unfinished is reset.
    pub fn stream_release(&mut self, stream: StreamHandle, now: Time) -> Result<(), NodeError> {
        // A stream that is over on the wire already is fine.
        let released = self.with_stream(stream, now, |tunnel, id| {
            let _ = tunnel.release(id);
            Ok(())
        });
        self.drop_stream(Handle(stream.0));
        released
    }

    pub(super) fn with_stream<T>(
        &mut self,
        stream: StreamHandle,
        now: Time,
        act: impl FnOnce(&mut Tunnel, StreamId) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let entry = self.streams.get(Handle(stream.0)).ok_or(NodeError::StaleHandle)?;
        let (owner, id) = (entry.session, entry.id);
        let session = self.live_session(owner)?;
        let tunnel = session.tunnel().ok_or(NodeError::State)?;
        tunnel.connection.advance(now);
        let result = act(tunnel, id);
        // The command may have given the connection something to send.
        self.endpoint.touch(Owner::Session(owner));
        #[cfg(feature = "media")]
        self.check_watch(owner, now);
        result
    }

    fn drop_stream(&mut self, handle: Handle) {
        if let Some(entry) = self.streams.remove(handle) {
            if let Some(session) = self.sessions.get_mut(entry.session) {
                session.streams.remove(&entry.id);
            }
        }
    }

    // ---- what the tunnel says

    pub(super) fn on_stream_incoming(&mut self, owner: Handle, id: StreamId, service: &str) {
        let name = service;
        let service = self.find_service(SERVICE_TCP, name);
        let may_use = self.may_use(owner, service, name);
        let has_room = self.check_memory(self.streams.growth()).is_ok();
        let Some(session) = self.sessions.get_mut(owner) else { return };
        let Some(tunnel) = session.tunnel() else { return };
        // Whoever may not use it does not learn whether it is there.
        if !may_use {
            let _ = tunnel.refuse(id, Refusal::Denied);
            return;
        }
        let Some(service) = service else {
            let _ = tunnel.refuse(id, Refusal::Unknown);
            return;
        };
        if !has_room {
            self.is_short_of_memory = true;
            let _ = tunnel.refuse(id, Refusal::Limit);
            return;
        }
        match self.streams.insert(StreamEntry::new(owner, id, service)) {
            Ok(handle) => {
                session.streams.insert(id, handle);
                #[cfg(feature = "media")]
                self.begin_as_service(owner, id, service);
                self.tell(handle, INCOMING);
                self.on_stream_changed(owner, id);
            }
            Err(_) => {
                let _ = tunnel.refuse(id, Refusal::Limit);
            }
        }
    }

    pub(super) fn on_stream_accepted(&mut self, owner: Handle, id: StreamId) {
        if let Some(handle) = self.find_stream(owner, id) {
            self.tell(handle, OPENED);
            self.on_stream_changed(owner, id);
        }
    }

    pub(super) fn on_stream_refused(&mut self, owner: Handle, id: StreamId, refusal: Refusal) {
        let Some(handle) = self.find_stream(owner, id) else { return };
        if let Some(entry) = self.streams.get_mut(handle) {
            entry.refusal = Some(refusal);
        }
        self.tell(handle, REFUSED);
    }

    pub(super) fn on_stream_changed(&mut self, owner: Handle, id: StreamId) {
        let Some(handle) = self.find_stream(owner, id) else { return };
        let Some(state) = self.state_of(handle) else { return };
        let Some(entry) = self.streams.get_mut(handle) else { return };
        let mut bits = 0;
        if state.is_readable {
            bits |= READABLE;
        }
        if state.is_writable && core::mem::take(&mut entry.is_blocked) {
            bits |= WRITABLE;
        }
        if state.reset.is_some() && !core::mem::replace(&mut entry.has_told_reset, true) {
            bits |= RESET;
        }
        if state.stopped.is_some() && !core::mem::replace(&mut entry.has_told_stopped, true) {
            bits |= STOPPED;
        }
        if state.is_expired && !core::mem::replace(&mut entry.has_told_expired, true) {
            bits |= EXPIRED;
        }
        self.tell(handle, bits);
    }

    fn find_stream(&self, owner: Handle, id: StreamId) -> Option<Handle> {
        self.sessions.get(owner)?.streams.get(&id).copied()
    }

    fn state_of(&mut self, handle: Handle) -> Option<StreamState> {
        let entry = self.streams.get(handle)?;
        let (owner, id) = (entry.session, entry.id);
        self.sessions.get_mut(owner)?.tunnel()?.state(id)
    }

    fn tell(&mut self, handle: Handle, bits: u8) {
        self.stream_news.tell(&mut self.streams, handle, bits);
    }

    // ---- events

    pub(super) fn poll_stream_event(&mut self) -> Option<Event> {
        while let Some((handle, bit)) = self.stream_news.next(&mut self.streams) {
            if let Some(event) = self.stream_event(handle, bit) {
                return Some(event);
            }
        }
        None
    }

    fn stream_event(&mut self, handle: Handle, bit: u8) -> Option<Event> {
        let state = self.state_of(handle).unwrap_or_default();
        let entry = self.streams.get(handle)?;
        let stream = StreamHandle(handle.0);
        match bit {
            INCOMING => Some(Event::StreamIncoming {
                stream,
                session: SessionId(entry.session.0),
                service: entry.service,
            }),
            OPENED => Some(Event::StreamOpened { stream }),
            REFUSED => entry.refusal.map(|refusal| Event::StreamRefused { stream, refusal }),
            READABLE => state.is_readable.then_some(Event::StreamReadable { stream }),
            WRITABLE => Some(Event::StreamWritable { stream }),
            RESET => state.reset.map(|code| Event::StreamReset { stream, code }),
            STOPPED => state.stopped.map(|code| Event::StreamStopped { stream, code }),
            EXPIRED => Some(Event::StreamExpired { stream }),
            _ => None,
        }
    }
}
