//! Bytes that lie in several places, written by one C call.

use super::*;
use rit::rit_bytes;

impl Peer {
    fn write_parts(&mut self, stream: rit_stream, parts: &[&[u8]]) -> Result<usize, i32> {
        let parts: Vec<rit_bytes> =
            parts.iter().map(|p| rit_bytes { data: p.as_ptr(), len: p.len() }).collect();
        let mut written = 99;
        // SAFETY: good pointers.
        match unsafe {
            rit_stream_write_parts(self.node, stream, parts.as_ptr(), parts.len(), &mut written)
        } {
            RIT_OK => Ok(written),
            error => Err(error),
        }
    }
}

#[test]
fn pieces_leave_together() {
    let (mut world, _, session) = World::connected(|_| {});
    let (device, user) = world.stream(session);
    let pieces: [&[u8]; 5] = [b"GET", b" ", &[], b"/", b"page"];
    world.collect();
    let under_way = world.wire.len();
    assert_eq!(world.peers[USER].write_parts(user, &pieces), Ok(9));
    world.collect();
    assert_eq!(world.wire.len() - under_way, 1, "datagrams");
    assert_eq!(world.wait(DEVICE, RIT_EVENT_STREAM_READABLE).stream, device);
    assert_eq!(world.peers[DEVICE].read(device), Ok(b"GET /page".to_vec()));
    assert_eq!(world.peers[USER].write_parts(user, &[]), Ok(0));
}

#[test]
fn what_does_not_fit_is_told_and_so_is_room() {
    let (mut world, _, session) = World::connected(|config| {
        config.stream_window = 4096;
        config.stream_send_buffer = 4096;
    });
    let (device, user) = world.stream(session);
    let (one, two, three) = ([1; 3000], [2; 3000], [3; 3000]);
    let taken = world.peers[USER].write_parts(user, &[&one, &two, &three]).unwrap();
    assert!((3001..6000).contains(&taken), "{taken}");
    world.peers[USER].events.clear();
    assert_eq!(world.peers[USER].write_parts(user, &[&two]), Err(RIT_ERR_AGAIN));
    let mut read = Vec::new();
    while read.len() < taken {
        match world.peers[DEVICE].read(device) {
            Ok(bytes) => read.extend(bytes),
            Err(error) => assert_eq!(error, RIT_ERR_AGAIN),
        }
        world.step();
    }
    assert_eq!(read, [&one[..], &two[..]].concat()[..taken]);
    assert_eq!(world.wait(USER, RIT_EVENT_STREAM_WRITABLE).stream, user);
    assert_eq!(world.peers[USER].write_parts(user, &[b"on"]), Ok(2));
}
