//! The scripted application's UDP side: the device echoes every message, the user notes what comes
//! back.
//!
//! A message is a number and bytes that follow from number and length, so that one that is cut,
//! mixed or made up shows. Messages may be lost or overtake each other; none may come twice.

use super::app::Behaviour;
use rit_core::base::Time;
use rit_core::node::{Event, FlowHandle, Node, NodeError, Reason, SessionId};
use rit_core::tunnel::{MESSAGE_MAX, Refusal};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of the number.
pub const NUMBER_LEN: usize = 8;

/// One flow as the application sees it.
#[derive(Clone, Debug, Default)]
pub struct UdpFlow {
    /// Whether this end opened it.
    pub is_opener: bool,
    /// The peer accepted.
    pub is_open: bool,
    /// The peer's refusal.
    pub refused: Option<Refusal>,
    /// Numbers that came.
    pub received: BTreeSet<u64>,
}

/// The application's flows.
#[derive(Default)]
pub struct Udp {
    /// What becomes of incoming flows.
    pub behaviour: Behaviour,
    /// Messages are left where they are.
    pub is_deaf: bool,
    /// Flows that are over are not closed before [`Udp::close_ended`].
    pub is_sloppy: bool,
    ended: Vec<FlowHandle>,
    /// Flows that live.
    pub flows: BTreeMap<FlowHandle, UdpFlow>,
    /// Those that are over, and why.
    pub closed: Vec<(UdpFlow, Reason)>,
    /// Echoes that found no room.
    pub dropped: u64,
}

impl Udp {
    /// Opens a flow.
    pub fn open(
        &mut self,
        node: &mut Node,
        session: SessionId,
        service: &str,
        now: Time,
    ) -> Result<FlowHandle, NodeError> {
        let flow = node.flow_open(session, service, now)?;
        self.flows.insert(flow, UdpFlow { is_opener: true, ..UdpFlow::default() });
        Ok(flow)
    }

    /// Reacts to one event of the node.
    pub fn on_event(&mut self, node: &mut Node, event: &Event, now: Time) {
        match *event {
            Event::FlowIncoming { flow, .. } => match self.behaviour {
                Behaviour::Serve => {
                    node.flow_accept(flow, now).expect("an incoming flow can be accepted");
                    self.flows.insert(flow, UdpFlow { is_open: true, ..UdpFlow::default() });
                }
                Behaviour::Refuse(refusal) => {
                    node.flow_refuse(flow, refusal, now).expect("it can be refused");
                }
                Behaviour::Ignore => {}
            },
            Event::FlowOpened { flow } => {
                self.flows.get_mut(&flow).expect("it is ours").is_open = true;
            }
            Event::FlowRefused { flow, refusal } => {
                self.flows.get_mut(&flow).expect("it is ours").refused = Some(refusal);
                node.flow_close(flow, now).expect("a refused flow can be closed");
            }
            Event::FlowReadable { flow } if !self.is_deaf => self.receive(node, flow, now),
            Event::FlowClosed { flow, .. } if self.is_sloppy => self.ended.push(flow),
            Event::FlowClosed { flow, reason } => {
                node.flow_close(flow, now).expect("a flow that is over can be closed");
                let gone = self.flows.remove(&flow).expect("it was there");
                self.closed.push((gone, reason));
            }
            _ => {}
        }
    }

    /// Closes what a sloppy one did not.
    pub fn close_ended(&mut self, node: &mut Node, now: Time) {
        for flow in self.ended.drain(..) {
            node.flow_close(flow, now).expect("a flow that is over can be closed");
            self.flows.remove(&flow);
        }
    }

    /// Takes all messages of a flow.
    pub fn receive(&mut self, node: &mut Node, flow: FlowHandle, now: Time) {
        let mut buf = vec![0; MESSAGE_MAX];
        loop {
            match node.datagram_recv(flow, &mut buf, now) {
                Ok(len) => {
                    let (number, state) = (check(&buf[..len]), self.flows.get_mut(&flow));
                    let state = state.expect("it is known");
                    assert!(state.received.insert(number), "message {number} came twice");
                    if !state.is_opener {
                        let sent = node.datagram_send(flow, &buf[..len], None, now);
                        assert!(matches!(sent, Ok(()) | Err(NodeError::Limit)), "{sent:?}");
                        self.dropped += u64::from(sent.is_err());
                    }
                }
                Err(error) => return assert_eq!(error, NodeError::Blocked),
            }
        }
    }
}

/// A message of this number and length.
pub fn message(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((NUMBER_LEN..len).map(|i| (number as usize * 31 + i * 7 + len) as u8));
    bytes
}

fn check(bytes: &[u8]) -> u64 {
    let number = u64::from_be_bytes(bytes[..NUMBER_LEN].try_into().expect("eight bytes"));
    assert!(bytes == message(number, bytes.len()), "message {number} is not as it was sent");
    number
}
