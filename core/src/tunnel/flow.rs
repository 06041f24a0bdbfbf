//! UDP flows: each is a stream that stands for it, and datagrams that name that stream.
//!
//! The stream begins as a TCP service's does, with its own header type; when it ends, so does the
//! flow. A message goes as one DATAGRAM frame, `varint flow ID (the stream's number) | message`.
//! What does not fit into one, and all that is sent before the answer came, goes on the stream as
//! `u16 length | message`, so that no datagram overtakes the header. Messages are kept whole and
//! may be lost, doubled or out of order, as with UDP. Flows of services offered here end when idle.

use super::{Phase, Tunnel, TunnelEvent};
use crate::base::Time;
use crate::transport::{Connection, DatagramError, StreamError, StreamId};
use crate::wire::codec::{Reader, Writer};
use crate::wire::message::SERVICE_UDP;
use alloc::vec::Vec;
use core::time::Duration;

/// Messages are no longer than UDP carries over IPv6.
pub const MESSAGE_MAX: usize = 65_527;
/// A flow without a message either way for this long ends, if nothing else is said. What RFC 4787
/// REQ-5 asks of a NAT.
pub const FLOW_IDLE_DEFAULT: Duration = Duration::from_secs(120);
/// The least that may be said.
pub const FLOW_IDLE_MIN: Duration = Duration::from_secs(30);
/// Taken off a stream at once.
const CHUNK_LEN: usize = 4096;

/// Why a flow is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEnd {
    /// The other end closed it.
    Peer,
    /// No message came or went for the service's idle time.
    Idle,
}

/// What can be done with a flow now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowState {
    /// There is a message.
    pub is_readable: bool,
    /// It is over, and there is no message left.
    pub end: Option<FlowEnd>,
}

/// Takes messages off a stream, one at a time.
#[derive(Default)]
struct Messages {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Messages {
    /// Reads on; true once a message is whole, false if more bytes must come.
    fn pull(&mut self, connection: &mut Connection, id: StreamId) -> Result<bool, StreamError> {
        loop {
            let len = match self.head[..] {
                [high, low] => Some(usize::from(u16::from_be_bytes([high, low]))),
                _ => None,
            };
            let (into, target) = match len {
                // The other end knows what we hold of a stream at most.
                Some(len)
                    if len > MESSAGE_MAX
                        || len as u64 + 2 > connection.message_max_to_receive() =>
                {
                    return Err(StreamError::Limit);
                }
                Some(len) => (&mut self.body, len),
                None => (&mut self.head, 2),
            };
            if into.len() == target {
                return Ok(true);
            }
            // No more memory than there are bytes to fill it. What there is none for waits.
            let start = into.len();
            if !connection.reserve().allows(2 * target.min(start + CHUNK_LEN)) {
                return Ok(false);
            }
            into.resize(target.min(start + CHUNK_LEN), 0);
            let read = connection.stream_read(id, &mut into[start..]);
            into.truncate(start + read.unwrap_or(0));
            match read {
                Ok(0) => return Err(StreamError::Finished),
                Ok(_) => {}
                Err(StreamError::Blocked) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self.head[..], [high, low]
            if self.body.len() == usize::from(u16::from_be_bytes([high, low])))
    }

    fn take(&mut self, out: &mut [u8]) -> Result<usize, DatagramError> {
        let len = self.body.len();
        out.get_mut(..len).ok_or(DatagramError::Buffer(len))?.copy_from_slice(&self.body);
        *self = Messages::default();
        Ok(len)
    }
}

pub(super) struct Flow {
    messages: Messages,
    /// The last message either way.
    last: Time,
    /// Ends here after so long without one.
    idle: Option<Duration>,
    end: Option<FlowEnd>,
    is_changed: bool,
}

impl Flow {
    pub(super) fn new(now: Time) -> Self {
        Flow { messages: Messages::default(), last: now, idle: None, end: None, is_changed: false }
    }
}

impl Tunnel {
    /// Asks for a UDP service. Messages may be sent at once.
    pub fn flow_open(&mut self, service: &str, now: Time) -> Result<StreamId, StreamError> {
        let id = self.open_kind(SERVICE_UDP, service)?;
        self.flows.insert(id, Flow::new(now));
        Ok(id)
    }

    /// Answers that the service is open; the flow ends after `idle` without a message.
    pub fn flow_accept(
        &mut self,
        id: StreamId,
        idle: Duration,
        now: Time,
    ) -> Result<(), StreamError> {
        self.accept(id)?;
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.idle = Some(idle);
            flow.last = now;
            let check = now + idle;
            self.flow_check = Some(self.flow_check.map_or(check, |at| at.min(check)));
        }
        self.look_at_flow(id);
        Ok(())
    }

    /// Sends a message, as a datagram if it fits. It is given up if it has not left by `expires`;
    /// on the stream it is not.
    pub fn flow_send(
        &mut self,
        id: StreamId,
        message: &[u8],
        expires: Option<Time>,
        now: Time,
    ) -> Result<(), DatagramError> {
        let phase = self.phases.get(&id);
        let flow = self.flows.get_mut(&id).filter(|flow| flow.end.is_none());
        let (Some(flow), Some(phase)) = (flow, phase) else {
            return Err(DatagramError::NotConnected);
        };
        let sent = match phase {
            Phase::Asking => send_on_stream(&mut self.connection, id, message),
            Phase::Open => {
                let mut head = [0; 8];
                let mut w = Writer::new(&mut head);
                w.varint(id.0).map_err(|_| DatagramError::NotConnected)?;
                let len = w.len();
                match self.connection.datagram_send([&head[..len], message], expires) {
                    Err(DatagramError::TooLarge) => {
                        send_on_stream(&mut self.connection, id, message)
                    }
                    sent => sent,
                }
            }
            _ => Err(DatagramError::NotConnected),
        };
        if sent.is_ok() {
            flow.last = now;
        }
        sent
    }

    /// Copies the next message out; `None` if there is none.
    pub fn flow_read(
        &mut self,
        id: StreamId,
        out: &mut [u8],
    ) -> Option<Result<usize, DatagramError>> {
        if !matches!(self.phases.get(&id)?, Phase::Open) {
            return None;
        }
        // Again, for want of memory the last time.
        self.look_at_flow(id);
        let flow = self.flows.get_mut(&id)?;
        if flow.messages.is_whole() {
            let taken = flow.messages.take(out);
            self.look_at_flow(id);
            return Some(taken);
        }
        self.connection.datagram_read(id.0, out)
    }

    /// Ends a flow: what is on its stream still arrives.
    pub fn flow_close(&mut self, id: StreamId) {
        let _ = self.connection.stream_finish(id);
        // A stream that is over already needs no farewell.
        let _ = self.release(id);
    }

    /// The flow is let go of: so is what came for it.
    pub(super) fn forget_flow(&mut self, id: StreamId) {
        if !cfg!(feature = "udp") {
            return;
        }
        self.connection.datagram_forget(id.0);
        if self.flows.is_empty() {
            self.connection.datagram_shrink();
        }
    }

    /// The longest message that goes as a datagram now; longer ones go on the stream.
    pub fn flow_datagram_max(&self, id: StreamId) -> Option<usize> {
        let head = crate::wire::codec::varint_len(id.0);
        self.connection.datagram_max()?.checked_sub(head)
    }

    /// How many flows are not over, as far as what came says.
    pub fn live_flows(&mut self) -> usize {
        if !cfg!(feature = "udp") {
            return 0;
        }
        let ids: Vec<StreamId> = self.flows.keys().copied().collect();
        for id in ids {
            if matches!(self.phases.get(&id), Some(Phase::Open)) {
                self.look_at_flow(id);
            }
        }
        self.flows.values().filter(|flow| flow.end.is_none()).count()
    }

    /// Whether the stream stands for a flow.
    pub fn is_flow(&self, id: StreamId) -> bool {
        self.flows.contains_key(&id)
    }

    /// What can be done with a flow now.
    pub fn flow_state(&self, id: StreamId) -> Option<FlowState> {
        if !cfg!(feature = "udp") {
            return None;
        }
        let flow = self.flows.get(&id)?;
        let is_open = matches!(self.phases.get(&id)?, Phase::Open);
        let is_readable =
            is_open && (flow.messages.is_whole() || self.connection.has_datagram(id.0));
        Some(FlowState { is_readable, end: flow.end.filter(|_| !is_readable) })
    }

    // ---- what comes

    /// Gives each datagram to its flow; those of no flow are dropped.
    pub(super) fn sort_datagrams(&mut self) {
        if !cfg!(feature = "udp") {
            return;
        }
        let (flows, changed) = (&mut self.flows, &mut self.changed_flows);
        let now = self.connection.now();
        self.connection.datagram_sort(|head| {
            let mut r = Reader::new(head);
            let id = StreamId(r.varint().ok()?);
            let flow = flows.get_mut(&id).filter(|flow| flow.end.is_none())?;
            flow.last = now;
            if !core::mem::replace(&mut flow.is_changed, true) {
                changed.push_back(id);
            }
            Some((id.0, head.len() - r.remaining()))
        });
    }

    pub(super) fn poll_changed_flow(&mut self) -> Option<TunnelEvent> {
        if !cfg!(feature = "udp") {
            return None;
        }
        while let Some(id) = self.changed_flows.pop_front() {
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.is_changed = false;
                return Some(TunnelEvent::Changed(id));
            }
        }
        None
    }

    /// Takes the next message off the flow's stream, or notes its end.
    pub(super) fn look_at_flow(&mut self, id: StreamId) {
        if !cfg!(feature = "udp") {
            return;
        }
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if flow.end.is_some() || flow.messages.is_whole() {
            return;
        }
        match flow.messages.pull(&mut self.connection, id) {
            Ok(true) => flow.last = self.connection.now(),
            Ok(false) => {}
            Err(_) => flow.end = Some(FlowEnd::Peer),
        }
    }

    // ---- time

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        [self.connection.poll_timeout(), self.flow_check].into_iter().flatten().min()
    }

    /// Does what is due at `now`; early calls are harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        self.connection.handle_timeout(now);
        if self.flow_check.is_none_or(|at| at > now) {
            return;
        }
        // Looked at again only when the first could be due: a message moves its own flow's end.
        self.flow_check = None;
        for (id, flow) in self.flows.iter_mut() {
            let Some(idle) = flow.idle.filter(|_| flow.end.is_none()) else { continue };
            let at = flow.last + idle;
            if at > now {
                self.flow_check = Some(self.flow_check.map_or(at, |first| first.min(at)));
                continue;
            }
            flow.end = Some(FlowEnd::Idle);
            let _ = self.connection.stream_finish(*id);
            let _ = self.connection.stream_release(*id, super::CODE_RELEASED);
            if !core::mem::replace(&mut flow.is_changed, true) {
                self.changed_flows.push_back(*id);
            }
        }
    }
}

/// All of the message or nothing.
fn send_on_stream(
    connection: &mut Connection,
    id: StreamId,
    message: &[u8],
) -> Result<(), DatagramError> {
    let len = u16::try_from(message.len()).map_err(|_| DatagramError::TooLarge)?;
    let needed = message.len() as u64 + 2;
    if message.len() > MESSAGE_MAX || needed > connection.message_max_to_send() {
        return Err(DatagramError::TooLarge);
    }
    let room =
        connection.stream_room(id, message.len() + 2).map_err(|_| DatagramError::NotConnected)?;
    if needed > room {
        return Err(DatagramError::Full);
    }
    for part in [&len.to_be_bytes()[..], message] {
        connection.stream_write(id, part).map_err(|_| DatagramError::NotConnected)?;
    }
    Ok(())
}
