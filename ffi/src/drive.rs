//! Driving a node: datagrams and time handed in, the next deadline asked for.

use crate::args::{self, Answer};
use crate::error::Error;
use crate::io::rit_path;
use crate::node::{Inner, NEVER, command, query, rit_node};

/// Datagrams one `rit_node_poll` takes, so that a flood leaves the main loop its turn.
const POLL_DATAGRAMS_MAX: usize = 64;

impl Inner {
    /// What was not taken for lack of memory is as good as lost, and will come again.
    pub(crate) fn check_shortage(&mut self) -> Result<(), Error> {
        if self.node.take_shortage() { Err(Error::Memory) } else { Ok(()) }
    }
}

/// Hands in one UDP datagram as it came from the network. What belongs to nothing known is dropped
/// without an answer, and RIT_OK: strangers are no error.
///
/// from: the source. pkt: len bytes, not kept; an empty one, or one longer than max_datagram and
/// the 9 bytes of a relay, is dropped. Errors: NULL, ARG (from), SIZE, NOMEM (as if it had been
/// lost on the way: it will come again), REENTRY, INTERNAL. Not in a callback, not in an ISR: queue
/// datagrams there and hand them in from the main loop.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_receive(
    node: *mut rit_node,
    from: *const rit_path,
    pkt: *const u8,
    len: usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let from = args::read(from)?;
            let (path, ecn) = (from.path()?, from.ecn());
            let datagram = args::bytes(pkt, len, "pkt")?;
            let room = inner.buf.get_mut(..inner.max_receive).unwrap_or_default();
            match room.get_mut(..datagram.len()) {
                Some(copy) if !copy.is_empty() => {
                    copy.copy_from_slice(datagram);
                    inner.node.handle_datagram(path, ecn, copy, now);
                }
                _ => inner.oversized += 1,
            }
            inner.check_shortage()
        })
    }
}

/// Hands in several UDP datagrams of one source, as a system gives them that receives many in one
/// call (UDP_GRO of Linux): the same as rit_node_receive for each, with less work and no copy.
///
/// from: the source; its ecn is that of all. pkts: datagrams of size bytes each, end to end, len
/// bytes in all; the last may be shorter. They are decrypted in place: what is in pkts afterwards
/// is of no use. Datagrams longer than max_datagram and the 9 bytes of a relay are dropped.
/// Errors: NULL, ARG (from; size 0), SIZE, NOMEM (for some of them, as in rit_node_receive),
/// REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_receive_batch(
    node: *mut rit_node,
    from: *const rit_path,
    pkts: *mut u8,
    len: usize,
    size: usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let from = args::read(from)?;
            let (path, ecn) = (from.path()?, from.ecn());
            let datagrams = args::bytes_mut(pkts, len, "pkts")?;
            if size == 0 {
                return Err(Error::Argument("size"));
            }
            if size.min(len) > inner.max_receive {
                inner.oversized += len.div_ceil(size) as u64;
                return Ok(());
            }
            inner.node.handle_datagrams(path, ecn, datagrams, size, now);
            inner.check_shortage()
        })
    }
}

/// For stacks with one packet buffer and for drivers whose frames are filled in place, instead of
/// rit_io.send: writes the next UDP datagram to send to buf. After any call of the library call it
/// until AGAIN, or as often as there is a frame free: what is not fetched is not lost, only later.
/// The deadline is that of a node that has nothing left to send.
///
/// to: where it goes; the caller sets to->struct_size. buf: room for cap bytes, at least
/// max_datagram and 9 for a relay; the datagram takes no more than cap, also where a relay's header
/// is longer. len: gets its length.
/// Errors: AGAIN (nothing to send now), NULL, SIZE, BUFFER (cap), STATE (there is rit_io.send),
/// REENTRY, INTERNAL; *len is 0 then. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_transmit(
    node: *mut rit_node,
    to: *mut rit_path,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let len = args::place(len, "len")?;
            len.write_unaligned(0);
            let to = Answer::new(to)?;
            let buf = args::bytes_mut(buf, cap, "buf")?;
            if inner.io.has_send() {
                return Err(Error::HasSend);
            }
            if cap < inner.max_receive {
                return Err(Error::Buffer("buf"));
            }
            let transmit = inner.node.poll_transmit(buf, now).ok_or(Error::Nothing)?;
            to.write(rit_path::new(&transmit.path, transmit.ecn));
            len.write_unaligned(transmit.len);
            Ok(())
        })
    }
}

/// Does what is due. Call it at or after the deadline; earlier is harmless: while there is a
/// deadline, rit_io.set_timer is told of it anew.
///
/// Errors: NULL, NOMEM (something was put off, such as to call the broker again), REENTRY,
/// INTERNAL.
/// Not in a callback (not in set_timer either), not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_timeout(node: *mut rit_node) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            // The timer went off, perhaps a little early: it is not set any more.
            inner.timer_us = NEVER;
            inner.node.handle_timeout(now);
            inner.check_shortage()
        })
    }
}

/// For polled stacks, one turn of the main loop: takes datagrams through rit_io.recv until there
/// are none, at most 64, then does what is due.
///
/// Errors: NULL, STATE (there is no rit_io.recv), ARG (recv returned more than cap, or no valid
/// path), NOMEM (as in rit_node_receive), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_poll(node: *mut rit_node) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            for _ in 0..POLL_DATAGRAMS_MAX {
                let room = inner.buf.get_mut(..inner.max_receive).unwrap_or_default();
                let Some((path, ecn, len)) = inner.io.recv(room)? else { break };
                if let Some(datagram) = room.get_mut(..len) {
                    inner.node.handle_datagram(path, ecn, datagram, now);
                }
            }
            inner.node.handle_timeout(now);
            inner.check_shortage()
        })
    }
}

/// When rit_node_timeout is to be called next: microseconds on the clock of rit_io.now_us,
/// UINT64_MAX if never; also UINT64_MAX for null. May lie in the past. It is the same that
/// rit_io.set_timer is told. In a callback the answer is UINT64_MAX; not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_deadline(node: *const rit_node) -> u64 {
    let mut deadline = NEVER;
    // SAFETY: as the header asks of the caller.
    unsafe {
        query(node, |inner| {
            deadline = inner.deadline();
            Ok(())
        })
    };
    deadline
}
