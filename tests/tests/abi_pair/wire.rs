//! Datagrams that leave and arrive several at once, and what a node tells of its way.

use super::*;

#[test]
fn many_datagrams_leave_in_one_call() {
    let (mut world, _, session) = World::connected(|_| {});
    let (device, user) = world.stream(session);
    let (mut sent, mut got) = (0, Vec::new());
    while got.len() < 200_000 {
        let chunk: Vec<u8> =
            (sent..200_000.min(sent + 9000)).map(|i| (i * 7 % 251) as u8).collect();
        if !chunk.is_empty() {
            sent += world.peers[DEVICE].write(device, &chunk).unwrap_or(0);
        }
        world.step();
        while let Ok(bytes) = world.peers[USER].read(user) {
            got.extend(bytes);
        }
    }
    assert!(got.iter().enumerate().all(|(i, byte)| *byte == (i * 7 % 251) as u8));
    assert!(world.peers[DEVICE].port().batches > 5, "{}", world.peers[DEVICE].port().batches);
    assert_eq!(world.peers[USER].port().batches, 0);
    // The pacer lets four go at once.
    assert!(world.longest_train >= 4, "{}", world.longest_train);
    // Far more than are marked before a report of them came back.
    assert!(world.marked > 100, "{}", world.marked);
}

#[test]
fn a_node_explains_the_way_to_its_peer() {
    let (world, _, session) = World::connected(|_| {});
    let node = world.peers[USER].node;
    let explain = |cap: usize| {
        let mut out = vec![0x55_u8; cap + 1];
        // SAFETY: good pointers; out has room for cap bytes.
        let code = unsafe { rit_node_explain(node, session, out.as_mut_ptr().cast(), cap) };
        assert_eq!((code, out[cap]), (RIT_OK, 0x55));
        CStr::from_bytes_until_nul(&out).expect("ends with a NUL").to_string_lossy().into_owned()
    };
    let text = explain(1024);
    assert!(text.starts_with("this node is seen at 10.0.0.1:"), "{text}");
    assert!(text.contains("the way in use: 10.0.0.0:") && text.contains("(direct)"), "{text}");
    assert!(!text.contains("relayed because"), "{text}");
    assert_eq!(explain(8), "this no");
    assert_eq!(explain(1), "");
}
