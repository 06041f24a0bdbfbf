//! A gateway through C: called when there is no broker, told of, and forgotten.

use super::world::*;
use rit::error::{RIT_ERR_CODE, RIT_ERR_OFFLINE, RIT_OK};
use rit::event::*;
use rit::{rit_broker, rit_gateway_connect, rit_gateway_forget};
use rit_core::node::FALLBACK_AFTER;
use std::ffi::CStr;

/// Tells a node of the world's broker as its gateway.
fn know(world: &World, peer: usize, code: &CStr) {
    let to = path(BROKER);
    let gateway = rit_broker {
        key: world.broker.public_key().0,
        paths: &to,
        path_count: 1,
        enrol_code: code.as_ptr(),
        ..sized()
    };
    // SAFETY: good pointers.
    assert_eq!(unsafe { rit_gateway_connect(world.peers[peer].node, &gateway) }, RIT_OK);
}

#[test]
fn a_gateway_is_called_introduces_and_is_forgotten() {
    let mut world = World::new(|_| {});
    let device_key = world.peers[DEVICE].key();
    assert_eq!(world.peers[USER].reach(device_key), Err(RIT_ERR_OFFLINE));
    know(&world, DEVICE, c"one");
    know(&world, USER, c"two");
    let is_gateway = [RIT_EVENT_GATEWAY_ONLINE, RIT_EVENT_BROKER_ONLINE, RIT_EVENT_ENROLLED];
    for peer in [DEVICE, USER] {
        assert_eq!(world.wait_any(peer, &is_gateway).r#type, RIT_EVENT_GATEWAY_ONLINE);
    }
    assert!(world.now_us >= FALLBACK_AFTER.as_micros() as u64);
    let [device, user] = &mut world.peers;
    device.allow(user);
    device.offer(c"web");
    let session = user.reach(device_key).unwrap();
    assert_eq!(world.wait(USER, RIT_EVENT_SESSION_UP).session, session);
    let node = world.peers[USER].node;
    // SAFETY: a live node.
    assert_eq!(unsafe { rit_gateway_forget(node) }, RIT_OK);
    let over = world.wait(USER, RIT_EVENT_GATEWAY_OFFLINE);
    assert_eq!((over.error, over.code), (RIT_OK, 0));
    assert_eq!(world.peers[USER].reach(device_key), Err(RIT_ERR_OFFLINE));
    world.stream(session);
}

#[test]
fn a_gateway_that_refuses_says_why() {
    let mut world = World::new(|_| {});
    know(&world, USER, c"three");
    let over = world.wait(USER, RIT_EVENT_GATEWAY_OFFLINE);
    assert_eq!(over.error, RIT_ERR_CODE);
    assert_eq!(world.peers[USER].port().warnings, ["gateway: enrol code not accepted"]);
}
