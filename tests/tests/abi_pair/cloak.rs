//! A device that its owner lets be found, through C: signed, told, answered, and over.

use super::world::*;
use rit::drive::rit_node_receive;
use rit::error::{RIT_ERR_GRANT, RIT_OK};
use rit::event::{RIT_EVENT_BROKER_ONLINE, RIT_EVENT_CLOAK, RIT_EVENT_OWNER_ANSWERED};
use rit::io::{RIT_IDENTIFY_PORT, RIT_SOCKET_IDENTIFY, rit_path};
use rit::owner::*;
use rit::trust::*;
use rit_core::wire::identify::{IDENTIFY_PORT, Identification, Probe};

const SECRET: [u8; RIT_CLAIM_SECRET_LEN] = [7; RIT_CLAIM_SECRET_LEN];
const PROBE: Probe = Probe { nonce: [3; 8] };
/// What the broker of this world says when its links begin.
const NOW_S: u64 = 1_700_000_000;

/// The user is the device's owner.
fn owned() -> World {
    let mut world = World::new(|_| {});
    world.connect(DEVICE, c"one");
    world.connect(USER, c"two");
    world.wait(DEVICE, RIT_EVENT_BROKER_ONLINE);
    world.wait(USER, RIT_EVENT_BROKER_ONLINE);
    let device = world.peers[DEVICE].key();
    let (mut text, mut request) = ([0; RIT_CLAIM_SECRET_TEXT_LEN], 0);
    // SAFETY: good pointers.
    unsafe {
        assert_eq!(rit_trust_start(world.peers[DEVICE].node, SECRET.as_ptr()), RIT_OK);
        assert_eq!(rit_claim_secret_to_text(SECRET.as_ptr(), text.as_mut_ptr()), RIT_OK);
        let (node, text) = (world.peers[USER].node, text.as_ptr());
        assert_eq!(rit_device_claim(node, device.as_ptr(), text, &mut request), RIT_OK);
    }
    let claimed = world.wait(USER, RIT_EVENT_OWNER_ANSWERED);
    assert_eq!((claimed.error, claimed.code), (RIT_OK, 1));
    world
}

/// The owner tells the device; what comes of it.
fn tell(world: &mut World, number: u64, issued_s: u64, for_s: u32) -> i32 {
    let device = world.peers[DEVICE].key();
    let cloak = rit_cloak { epoch: 1, device, number, issued_s, for_s, ..sized() };
    let (mut statement, mut len, mut request) = ([0; RIT_CLOAK_MAX], 0, 0);
    let node = world.peers[USER].node;
    // SAFETY: good pointers.
    unsafe {
        let (out, cap) = (statement.as_mut_ptr(), statement.len());
        assert_eq!(rit_cloak_sign(node, &cloak, out, cap, &mut len), RIT_OK);
        let told = rit_owner_tell(node, device.as_ptr(), RIT_TELL_CLOAK, out, len, &mut request);
        assert_eq!(told, RIT_OK);
    }
    let answer = world.wait(USER, RIT_EVENT_OWNER_ANSWERED);
    assert_eq!((answer.request, answer.peer), (request.into(), device));
    answer.error
}

/// What the device sends to somebody who asks it who it is.
fn ask(world: &mut World, socket: u16) -> Option<(u16, Vec<u8>)> {
    let from = rit_path { socket, ..path(77) };
    let (probe, device) = (PROBE.encode(), &mut world.peers[DEVICE]);
    // SAFETY: good pointers.
    let code = unsafe { rit_node_receive(device.node, &from, probe.as_ptr(), probe.len()) };
    assert_eq!(code, RIT_OK);
    let sent = &mut device.port().outbox;
    let at = sent.iter().position(|(to, _)| to.ip == from.ip)?;
    let (to, answer) = sent.remove(at);
    assert_eq!((to.port, to.ecn), (from.port, 0));
    Some((to.socket, answer))
}

#[test]
fn the_owner_lets_it_be_found_for_a_while() {
    assert_eq!(IDENTIFY_PORT, RIT_IDENTIFY_PORT);
    let mut world = owned();
    let key = world.peers[DEVICE].key();
    assert_eq!(ask(&mut world, 0), None);
    assert_eq!(tell(&mut world, 1, NOW_S, 60), RIT_OK);
    let opened = world.wait(DEVICE, RIT_EVENT_CLOAK);
    assert!((59..=60).contains(&opened.code), "{}", opened.code);
    for socket in [0, RIT_SOCKET_IDENTIFY] {
        let (by, answer) = ask(&mut world, socket).expect("it says who it is");
        assert_eq!(by, socket);
        let told = Identification::parse(&answer).unwrap();
        assert_eq!((told.key.0, told.nonce), (key, PROBE.nonce));
    }
    assert_eq!(tell(&mut world, 1, NOW_S, 60), RIT_ERR_GRANT, "an old number");
    assert_eq!(tell(&mut world, 2, NOW_S - 100, 60), RIT_ERR_GRANT, "over");
    assert_eq!(tell(&mut world, 2, NOW_S + 1000, 60), RIT_ERR_GRANT, "ahead");
    let closed = world.wait(DEVICE, RIT_EVENT_CLOAK);
    assert_eq!(closed.code, 0, "by itself");
    let second_us = 1_000_000;
    assert!((58 * second_us..62 * second_us).contains(&world.now_us), "{}", world.now_us);
    assert_eq!(ask(&mut world, 0), None);
    let now_s = NOW_S + world.now_us / second_us;
    assert_eq!(tell(&mut world, 2, now_s, RIT_CLOAK_FOR_MAX_S), RIT_OK);
    assert!(world.wait(DEVICE, RIT_EVENT_CLOAK).code > 80_000);
    assert_eq!(tell(&mut world, 3, now_s, 0), RIT_OK);
    assert_eq!(world.wait(DEVICE, RIT_EVENT_CLOAK).code, 0);
    assert_eq!(ask(&mut world, RIT_SOCKET_IDENTIFY), None);
}
