//! Services over a connection: each TCP connection of a service is one bidirectional stream, and so
//! is each UDP flow, with datagrams beside it (`flow`).
//!
//! The opener sends a header (`u8 type | u8 flags = 0 | u8 length | name`; type 1: TCP, 2: UDP),
//! the other end answers with one byte ([`Refusal`], 0: open), then bytes flow; FIN and RESET mean
//! what they mean in TCP. Owns headers and answers. Does not own which services exist or who may
//! use them (`node`).

mod flow;
mod loopback;

pub use flow::{FLOW_IDLE_DEFAULT, FLOW_IDLE_MIN, FlowEnd, FlowState, MESSAGE_MAX};
pub use loopback::loopback_address;

use self::flow::Flow;
use crate::base::{Map, Time};
use crate::transport::{
    CloseReason, Connection, Event, PathEvent, StreamError, StreamId, StreamState,
};
use crate::wire::message::{SERVICE_NAME_LEN_MAX, SERVICE_TCP, SERVICE_UDP, is_service_name};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// Header type of a TCP connection: the service's kind and one.
const TYPE_TCP: u8 = SERVICE_TCP + 1;
/// Header type of a UDP flow.
const TYPE_UDP: u8 = SERVICE_UDP + 1;
/// Header type of a question for the other end's attestation, whose name is a nonce in text.
const TYPE_ATTEST: u8 = 3;
/// [`TunnelEvent::Incoming`]'s kind of such a question.
#[cfg(feature = "attest")]
pub(crate) const KIND_ATTEST: u8 = TYPE_ATTEST - 1;
const ANSWER_OPEN: u8 = 0;
/// Stream error code: the header or answer is not of this protocol.
pub const CODE_MALFORMED: u64 = 1;
/// Stream error code: whoever used the stream let go of it.
pub const CODE_RELEASED: u64 = 2;
/// Stream error code: the sender's deadline passed before all of it had arrived.
pub const CODE_DEADLINE: u64 = 3;

/// Why a stream was not opened; its number on the wire and in the C interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The service itself refused, as a closed TCP port does.
    Service,
    /// This peer may not use it.
    Denied,
    /// No such service.
    Unknown,
    /// A limit of the device is reached.
    Limit,
}

impl Refusal {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Refusal::Service => 1,
            Refusal::Denied => 2,
            Refusal::Unknown => 3,
            Refusal::Limit => 4,
        }
    }

    /// From the number; unknown ones count as the service's refusal.
    pub fn from_code(code: u8) -> Self {
        match code {
            2 => Refusal::Denied,
            3 => Refusal::Unknown,
            4 => Refusal::Limit,
            _ => Refusal::Service,
        }
    }
}

/// What happened in a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunnelEvent {
    /// The peer is authenticated.
    Connected,
    /// The peer asks for a service; accept or refuse.
    Incoming {
        /// The stream.
        id: StreamId,
        /// The kind of service, as in [`ServiceInfo`](crate::wire::message::ServiceInfo).
        kind: u8,
        /// What it names.
        service: String,
    },
    /// The peer accepted a stream of ours.
    Accepted(StreamId),
    /// The peer refused a stream of ours.
    Refused(StreamId, Refusal),
    /// Look at the stream's or the flow's state.
    Changed(StreamId),
    /// Something about where the peer is.
    Path(PathEvent),
    /// The connection is over. The last event.
    Closed(CloseReason),
}

#[derive(Debug)]
enum Phase {
    /// Theirs: the header is not complete.
    Header(Vec<u8>),
    /// Theirs: we have not answered.
    Asked,
    /// Ours: they have not answered.
    Asking,
    /// Bytes flow.
    Open,
    /// Ours: they said no. What else they say does not count.
    Refused,
}

/// A connection with services on it.
pub struct Tunnel {
    /// The connection underneath; datagrams go to it directly.
    pub connection: Box<Connection>,
    phases: Map<StreamId, Phase>,
    flows: Map<StreamId, Flow>,
    /// Flows that something came for.
    changed_flows: VecDeque<StreamId>,
    /// No flow is idle for too long before.
    flow_check: Option<Time>,
}

impl Tunnel {
    /// Services over `connection`.
    pub fn new(connection: Box<Connection>) -> Self {
        Tunnel {
            connection,
            phases: Map::new(),
            flows: Map::new(),
            changed_flows: VecDeque::new(),
            flow_check: None,
        }
    }

    /// Asks for a service. Bytes may be written at once; they wait for nobody.
    pub fn open(&mut self, service: &str) -> Result<StreamId, StreamError> {
        self.open_kind(SERVICE_TCP, service)
    }

    pub(crate) fn open_kind(&mut self, kind: u8, service: &str) -> Result<StreamId, StreamError> {
        let id = self.connection.stream_open()?;
        let mut header = Vec::with_capacity(3 + service.len());
        header.extend_from_slice(&[kind + 1, 0, service.len() as u8]);
        header.extend_from_slice(service.as_bytes());
        match self.connection.stream_write(id, &header) {
            Ok(len) if len == header.len() => {
                self.phases.insert(id, Phase::Asking);
                Ok(id)
            }
            // The connection's send buffer is full, or there is no memory for one.
            written => {
                self.connection.stream_release(id, CODE_RELEASED)?;
                Err(written
                    .err()
                    .filter(|e| *e == StreamError::Memory)
                    .unwrap_or(StreamError::Limit))
            }
        }
    }

    /// Answers that the service is open.
    pub fn accept(&mut self, id: StreamId) -> Result<(), StreamError> {
        let phase = self.phases.get_mut(&id).ok_or(StreamError::Unknown)?;
        if !matches!(phase, Phase::Asked) {
            return Err(StreamError::Finished);
        }
        self.connection.stream_write(id, &[ANSWER_OPEN])?;
        *phase = Phase::Open;
        Ok(())
    }

    /// Answers that it is not, and lets go of the stream.
    pub fn refuse(&mut self, id: StreamId, refusal: Refusal) -> Result<(), StreamError> {
        if !matches!(self.phases.get(&id), Some(Phase::Asked)) {
            return Err(StreamError::Unknown);
        }
        // If not even one byte fits, the reset of `release` says as much.
        if self.connection.stream_write(id, &[refusal.code()]).is_ok() {
            let _ = self.connection.stream_finish(id);
        }
        self.release(id)
    }

    /// Buffers bytes to send. Not before an incoming stream is accepted.
    pub fn write(&mut self, id: StreamId, data: &[u8]) -> Result<usize, StreamError> {
        match self.phases.get(&id) {
            Some(Phase::Asking | Phase::Open) => self.connection.stream_write(id, data),
            Some(_) => Err(StreamError::NotConnected),
            None => Err(StreamError::Unknown),
        }
    }

    /// Copies received bytes out; 0 are the end of the stream, told once.
    pub fn read(&mut self, id: StreamId, out: &mut [u8]) -> Result<usize, StreamError> {
        match self.phases.get(&id) {
            Some(Phase::Open | Phase::Asked) => self.connection.stream_read(id, out),
            Some(_) => Err(StreamError::Blocked),
            None => Err(StreamError::Unknown),
        }
    }

    /// Ends our side after what was written.
    pub fn finish(&mut self, id: StreamId) -> Result<(), StreamError> {
        match self.phases.get(&id) {
            Some(Phase::Asking | Phase::Open) => self.connection.stream_finish(id),
            Some(_) => Err(StreamError::NotConnected),
            None => Err(StreamError::Unknown),
        }
    }

    /// Sets until when our side's bytes are worth sending; see [`Connection::stream_set_deadline`].
    pub fn set_deadline(&mut self, id: StreamId, at: Option<Time>) -> Result<(), StreamError> {
        self.connection.stream_set_deadline(id, at, CODE_DEADLINE)
    }

    /// Lets go of a stream; what is unfinished is reset.
    pub fn release(&mut self, id: StreamId) -> Result<(), StreamError> {
        self.phases.remove(&id);
        if cfg!(feature = "udp") && self.flows.remove(&id).is_some() {
            self.forget_flow(id);
        }
        self.connection.stream_release(id, CODE_RELEASED)
    }

    /// What can be done with the stream's bytes now.
    pub fn state(&self, id: StreamId) -> Option<StreamState> {
        let mut state = self.connection.stream_state(id)?;
        let phase = self.phases.get(&id)?;
        state.is_readable &= matches!(phase, Phase::Open | Phase::Asked);
        Some(state)
    }

    /// What happened; drain until `None`.
    pub fn poll_event(&mut self) -> Option<TunnelEvent> {
        loop {
            let Some(event) = self.connection.poll_event() else {
                return self.poll_changed_flow();
            };
            let event = match event {
                Event::Connected => Some(TunnelEvent::Connected),
                Event::Closed(reason) => {
                    self.flow_check = None;
                    Some(TunnelEvent::Closed(reason))
                }
                Event::Opened(id) => {
                    self.phases.insert(id, Phase::Header(Vec::new()));
                    self.on_changed(id)
                }
                Event::Stream(id) => self.on_changed(id),
                Event::Path(event) => Some(TunnelEvent::Path(event)),
                Event::Datagrams => {
                    self.sort_datagrams();
                    None
                }
            };
            if event.is_some() {
                return event;
            }
        }
    }

    fn on_changed(&mut self, id: StreamId) -> Option<TunnelEvent> {
        match self.phases.get(&id)? {
            Phase::Open | Phase::Asked => {
                self.look_at_flow(id);
                Some(TunnelEvent::Changed(id))
            }
            Phase::Header(_) => self.read_header(id),
            Phase::Asking => self.read_answer(id),
            Phase::Refused => None,
        }
    }

    fn read_header(&mut self, id: StreamId) -> Option<TunnelEvent> {
        let Some(Phase::Header(header)) = self.phases.get_mut(&id) else { return None };
        loop {
            let wanted = match header.get(2) {
                None => 3 - header.len(),
                Some(len) => 3 + usize::from(*len) - header.len(),
            };
            if header.len() >= 3 && wanted == 0 {
                break;
            }
            let mut buf = [0; 3 + SERVICE_NAME_LEN_MAX];
            let part = buf.get_mut(..wanted).map(|part| self.connection.stream_read(id, part));
            match part {
                Some(Ok(len)) if len > 0 => header.extend_from_slice(&buf[..len]),
                Some(Err(StreamError::Blocked)) => return None,
                _ => return self.give_up(id),
            }
        }
        let name = core::str::from_utf8(&header[3..]).ok().filter(|name| is_service_name(name));
        match name {
            Some(name) if is_known_type(&header[..2]) => {
                let service = String::from(name);
                let kind = header[0] - 1;
                self.phases.insert(id, Phase::Asked);
                if kind == SERVICE_UDP && cfg!(feature = "udp") {
                    self.flows.insert(id, Flow::new(self.connection.now()));
                }
                Some(TunnelEvent::Incoming { id, kind, service })
            }
            _ => self.give_up(id),
        }
    }

    fn read_answer(&mut self, id: StreamId) -> Option<TunnelEvent> {
        let mut answer = [0];
        let refusal = match self.connection.stream_read(id, &mut answer) {
            Ok(1) if answer[0] == ANSWER_OPEN => {
                self.phases.insert(id, Phase::Open);
                return Some(TunnelEvent::Accepted(id));
            }
            Ok(1) => Refusal::from_code(answer[0]),
            // The peer wants no more of our bytes; its answer is still to come, or its reset is.
            Err(StreamError::Blocked) => return None,
            _ => Refusal::Service,
        };
        self.phases.insert(id, Phase::Refused);
        Some(TunnelEvent::Refused(id, refusal))
    }

    fn give_up(&mut self, id: StreamId) -> Option<TunnelEvent> {
        self.phases.remove(&id);
        // A stream that is over already needs no farewell.
        let _ = self.connection.stream_release(id, CODE_MALFORMED);
        None
    }

    /// Ends the tunnel with an application code.
    pub fn close(&mut self, code: u64, now: Time) {
        self.connection.close(code, now);
    }
}

/// Whether `header` begins as one of this version does, type and flags.
fn is_known_type(header: &[u8]) -> bool {
    match header {
        [TYPE_TCP | TYPE_UDP, 0] => true,
        [TYPE_ATTEST, 0] => cfg!(feature = "attest"),
        _ => false,
    }
}
