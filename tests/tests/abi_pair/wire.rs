//! What is on its way between the nodes of a test, and how a node takes it.

use super::*;

/// A datagram, when it arrives, whose it is, and its ECN codepoint.
pub(super) struct Flying {
    pub(super) at_us: u64,
    pub(super) from: u8,
    pub(super) to: u8,
    pub(super) bytes: Vec<u8>,
    pub(super) ecn: u8,
}

/// Datagrams that arrived one after the other between the same two, all but the last of `size`
/// bytes, as a system with UDP_GRO would give them.
pub(super) struct Train {
    pub(super) first: Flying,
    pub(super) size: usize,
    pub(super) count: usize,
}

/// The next that arrived by `now_us`.
pub(super) fn next_train(wire: &mut VecDeque<Flying>, now_us: u64) -> Option<Train> {
    wire.front().filter(|next| next.at_us <= now_us)?;
    let first = wire.pop_front()?;
    let mut train = Train { size: first.bytes.len(), count: 1, first };
    while train.first.bytes.len() == train.count * train.size {
        let Train { first, size, .. } = &train;
        let key = |flying: &Flying| (flying.at_us, flying.from, flying.to, flying.ecn);
        if wire.front().is_none_or(|next| key(next) != key(first) || next.bytes.len() > *size) {
            break;
        }
        train.first.bytes.extend(wire.pop_front()?.bytes);
        train.count += 1;
    }
    Some(train)
}

impl Train {
    /// One call for each datagram.
    pub(super) fn hand_in_singly(&self, node: *mut rit_node) {
        let from = rit_path { ecn: self.first.ecn, ..path(self.first.from) };
        for datagram in self.first.bytes.chunks(self.size) {
            // SAFETY: good pointers.
            let code = unsafe { rit_node_receive(node, &from, datagram.as_ptr(), datagram.len()) };
            assert_eq!(code, RIT_OK);
        }
    }

    /// One call for all.
    pub(super) fn hand_in(mut self, node: *mut rit_node) {
        let from = rit_path { ecn: self.first.ecn, ..path(self.first.from) };
        let (pkts, len) = (self.first.bytes.as_mut_ptr(), self.first.bytes.len());
        // SAFETY: good pointers.
        let code = unsafe { rit_node_receive_batch(node, &from, pkts, len, self.size) };
        assert_eq!(code, RIT_OK);
    }
}

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
