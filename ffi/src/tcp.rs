//! TCP connections of a node, for networks that block UDP: what the port's callbacks are given, and
//! what the port hands in.
//!
//! Owns nothing: core has the connections, the port the sockets.

use crate::args;
use crate::error::Error;
use crate::io::{RIT_SOCKET_TLS, rit_path};
use crate::node::{Inner, command, rit_node};
use rit_core::base::{Path, Time};

/// The connection that a call is about.
///
/// # Safety
/// `path` is null or points to `struct_size` readable bytes.
unsafe fn connection(inner: &Inner, path: *const rit_path) -> Result<Path, Error> {
    // SAFETY: the caller's promise.
    let path = unsafe { args::read(path)?.path()? };
    match (inner.io.has_tcp(), path.socket) {
        (false, _) => Err(Error::NoTcp),
        (true, RIT_SOCKET_TLS) => Ok(path),
        (true, _) => Err(Error::Argument("rit_path.socket")),
    }
}

/// Hands in bytes as they came by a connection that rit_io.tcp_write opened.
///
/// path: what tcp_write called it. bytes: len of them, not kept; any number, 16 KiB are plenty. Of
/// a connection that the node does not have (any more) they are dropped. Errors: NULL, ARG (path),
/// SIZE, STATE (there is no rit_io.tcp_write, or the library is built without TCP), REENTRY,
/// INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_tcp_receive(
    node: *mut rit_node,
    path: *const rit_path,
    bytes: *const u8,
    len: usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let path = connection(inner, path)?;
            let bytes = args::bytes(bytes, len, "bytes")?;
            receive(inner, path, bytes, now);
            inner.check_shortage()
        })
    }
}

/// Says that a connection takes bytes again, after rit_io.tcp_write took less than all; also when
/// it is made. Calls tcp_write if there are some.
///
/// path: what tcp_write called it. Errors: NULL, ARG (path), SIZE, STATE (as in
/// rit_node_tcp_receive), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_tcp_writable(node: *mut rit_node, path: *const rit_path) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, _| {
            let path = connection(inner, path)?;
            #[cfg(feature = "tcp")]
            inner.node.tcp_writable(path);
            let _ = path;
            Ok(())
        })
    }
}

/// Says that a connection is over: closed or reset by the other end, or it could not be made. The
/// port has closed its socket. The node opens another one when it has to.
///
/// path: what tcp_write called it. Errors: NULL, ARG (path), SIZE, STATE (as in
/// rit_node_tcp_receive), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_tcp_closed(node: *mut rit_node, path: *const rit_path) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, _| {
            let path = connection(inner, path)?;
            #[cfg(feature = "tcp")]
            inner.node.tcp_closed(path);
            let _ = path;
            Ok(())
        })
    }
}

/// Bytes taken in at once.
#[cfg(feature = "tcp")]
const PIECE_LEN: usize = if cfg!(feature = "std") { 16 * 1024 } else { 1024 };

#[cfg(feature = "tcp")]
fn receive(inner: &mut Inner, path: Path, bytes: &[u8], now: Time) {
    bytes.chunks(PIECE_LEN).for_each(|piece| inner.node.handle_tcp(path, piece, now));
}

/// Nothing gets here: [`connection`] says that there is no TCP.
#[cfg(not(feature = "tcp"))]
fn receive(_: &mut Inner, _: Path, _: &[u8], _: Time) {}

#[cfg(feature = "tcp")]
impl Inner {
    /// Writes what the connections have to write, and closes those that are over.
    pub(crate) fn drain_tcp(&mut self) {
        while let Some((path, action)) = self.node.poll_tcp(&mut self.buf) {
            let rit_core::node::TcpAction::Write(len) = action else {
                self.io.tcp_close(&path);
                continue;
            };
            let bytes = self.buf.get(..len).unwrap_or_default();
            match usize::try_from(self.io.tcp_write(&path, bytes)) {
                Ok(taken) => self.node.tcp_taken(path, taken, len),
                Err(_) => self.node.tcp_closed(path),
            }
        }
    }
}
