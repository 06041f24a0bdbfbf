//! Flows of UDP services through the C functions.

use super::*;
use rit::error::{RIT_ERR_BUFFER, RIT_ERR_TIMEOUT, RIT_ERR_TOO_LARGE};
use rit::flow::*;

const IDLE_MS: u32 = 40_000;

impl Peer {
    fn open_flow(&mut self, session: rit_session, service: &CStr) -> Result<rit_flow, i32> {
        let mut flow = 0;
        // SAFETY: good pointers.
        match unsafe { rit_flow_open(self.node, session, service.as_ptr(), &mut flow) } {
            RIT_OK => Ok(flow),
            error => Err(error),
        }
    }

    fn send(&mut self, flow: rit_flow, message: &[u8], expiry_us: u64) -> i32 {
        // SAFETY: good pointers.
        unsafe { rit_datagram_send(self.node, flow, message.as_ptr(), message.len(), expiry_us) }
    }

    /// The next message, or the error and what the length says.
    fn recv(&mut self, flow: rit_flow, cap: usize) -> Result<Vec<u8>, (i32, usize)> {
        let (mut buf, mut len) = (vec![0; cap], 99);
        // SAFETY: good pointers.
        match unsafe { rit_datagram_recv(self.node, flow, buf.as_mut_ptr(), cap, &mut len) } {
            RIT_OK => Ok(buf[..len].to_vec()),
            error => Err((error, len)),
        }
    }

    fn close(&mut self, flow: rit_flow) -> i32 {
        // SAFETY: a good node.
        unsafe { rit_flow_close(self.node, flow) }
    }
}

/// A session, a UDP service and a flow to it that is open; the user's end and the device's.
fn with_flow() -> (World, rit_session, rit_flow, rit_flow) {
    let (mut world, _, session) = World::connected(|config| config.max_flows = 2);
    let service = rit_service {
        kind: RIT_SERVICE_UDP,
        port: 53,
        name: c"dns".as_ptr(),
        flow_idle_ms: IDLE_MS,
        ..sized()
    };
    let mut id = 0;
    // SAFETY: good pointers.
    assert_eq!(unsafe { rit_service_add(world.peers[DEVICE].node, &service, &mut id) }, RIT_OK);
    let flow = world.peers[USER].open_flow(session, c"dns").unwrap();
    assert_eq!(world.peers[USER].send(flow, b"query", 0), RIT_OK);
    let incoming = world.wait(DEVICE, RIT_EVENT_FLOW_INCOMING);
    assert_eq!(incoming.service, id);
    let device = &mut world.peers[DEVICE];
    assert_eq!(device.send(incoming.flow, b"early", 0), RIT_ERR_STATE);
    // SAFETY: a good node.
    unsafe {
        assert_eq!(rit_flow_accept(device.node, incoming.flow), RIT_OK);
        assert_eq!(rit_flow_accept(device.node, incoming.flow), RIT_ERR_STATE);
    }
    assert_eq!(world.wait(USER, RIT_EVENT_FLOW_OPENED).flow, flow);
    (world, session, flow, incoming.flow)
}

#[test]
fn messages_keep_their_bounds_both_ways() {
    let (mut world, _, user_flow, device_flow) = with_flow();
    assert_eq!(world.wait(DEVICE, RIT_EVENT_FLOW_READABLE).flow, device_flow);
    let device = &mut world.peers[DEVICE];
    assert_eq!(device.recv(device_flow, 4), Err((RIT_ERR_BUFFER, 5)));
    assert_eq!(device.recv(device_flow, 5), Ok(b"query".to_vec()));
    assert_eq!(device.recv(device_flow, 5), Err((RIT_ERR_AGAIN, 0)));
    let mut max = 0;
    // SAFETY: good pointers.
    assert_eq!(unsafe { rit_datagram_max(device.node, device_flow, &mut max) }, RIT_OK);
    for len in [0, 1, max, max + 1, 20_000, RIT_MESSAGE_MAX] {
        let message = vec![len as u8; len];
        assert_eq!(world.peers[DEVICE].send(device_flow, &message, 1_000_000), RIT_OK, "{len}");
        world.wait(USER, RIT_EVENT_FLOW_READABLE);
        let user = &mut world.peers[USER];
        assert!(user.recv(user_flow, RIT_MESSAGE_MAX) == Ok(message), "{len}");
        user.fetch();
        user.events.clear();
    }
    let user = &mut world.peers[USER];
    let over = vec![0; RIT_MESSAGE_MAX + 1];
    assert_eq!(user.send(user_flow, &over, 0), RIT_ERR_TOO_LARGE);
    // Nothing leaves before the wire is looked at again: the queue fills.
    let results: Vec<i32> = (0..1000).map(|_| user.send(user_flow, &[7; 1000], 0)).collect();
    let taken = results.iter().filter(|result| **result == RIT_OK).count();
    assert!((64..1000).contains(&taken), "{taken}");
    assert!(results[taken..].iter().all(|result| *result == RIT_ERR_LIMIT));
}

#[test]
fn a_flow_ends_on_both_sides_and_its_handle_is_stale() {
    let (mut world, session, user_flow, device_flow) = with_flow();
    let user = &mut world.peers[USER];
    assert_eq!(user.close(user_flow), RIT_OK);
    assert_eq!(user.close(user_flow), RIT_ERR_HANDLE);
    assert_eq!(user.send(user_flow, b"x", 0), RIT_ERR_HANDLE);
    assert_eq!(user.recv(user_flow, 10), Err((RIT_ERR_HANDLE, 0)));
    // What was sent before is still there, then comes the end.
    assert_eq!(world.wait(DEVICE, RIT_EVENT_FLOW_READABLE).flow, device_flow);
    assert_eq!(world.peers[DEVICE].recv(device_flow, 10), Ok(b"query".to_vec()));
    let closed = world.wait(DEVICE, RIT_EVENT_FLOW_CLOSED);
    assert_eq!((closed.flow, closed.error), (device_flow, RIT_ERR_CLOSED));
    assert_eq!(world.peers[DEVICE].send(device_flow, b"x", 0), RIT_ERR_STATE);
    assert_eq!(world.peers[DEVICE].close(device_flow), RIT_OK);

    // Idle: the device says so by itself.
    let user_flow = world.peers[USER].open_flow(session, c"dns").unwrap();
    let incoming = world.wait(DEVICE, RIT_EVENT_FLOW_INCOMING);
    // SAFETY: a good node.
    assert_eq!(unsafe { rit_flow_accept(world.peers[DEVICE].node, incoming.flow) }, RIT_OK);
    let start = world.now_us;
    let closed = world.wait(DEVICE, RIT_EVENT_FLOW_CLOSED);
    assert_eq!((closed.flow, closed.error), (incoming.flow, RIT_ERR_TIMEOUT));
    assert_eq!(world.now_us - start, u64::from(IDLE_MS) * 1000);
    let closed = world.wait(USER, RIT_EVENT_FLOW_CLOSED);
    assert_eq!((closed.flow, closed.error), (user_flow, RIT_ERR_CLOSED));
}

#[test]
fn flows_are_refused_and_limited() {
    let (mut world, session, _, _) = with_flow();
    let second = world.peers[USER].open_flow(session, c"dns").unwrap();
    assert_eq!(world.peers[USER].open_flow(session, c"dns"), Err(RIT_ERR_LIMIT));
    let incoming = world.wait(DEVICE, RIT_EVENT_FLOW_INCOMING);
    let device = &mut world.peers[DEVICE];
    // SAFETY: a good node.
    unsafe {
        assert_eq!(rit_flow_refuse(device.node, incoming.flow, RIT_REFUSED_DENIED), RIT_OK);
        let stale = rit_flow_refuse(device.node, incoming.flow, RIT_REFUSED_DENIED);
        assert_eq!(stale, RIT_ERR_HANDLE);
    }
    let refused = world.wait(USER, RIT_EVENT_FLOW_REFUSED);
    let wanted = (second, RIT_ERR_DENIED, RIT_REFUSED_DENIED as u64);
    assert_eq!((refused.flow, refused.error, refused.code), wanted);
    assert_eq!(world.peers[USER].close(second), RIT_OK);
    // By name and kind: "web" is a TCP service.
    let third = world.peers[USER].open_flow(session, c"web").unwrap();
    let refused = world.wait(USER, RIT_EVENT_FLOW_REFUSED);
    assert_eq!((refused.flow, refused.error), (third, RIT_ERR_UNKNOWN));
    let mut stats: rit_stats = sized();
    // SAFETY: good pointers.
    assert_eq!(unsafe { rit_node_stats(world.peers[USER].node, &mut stats) }, RIT_OK);
    assert_eq!(stats.flows, 2);
}
