//! A stream of the server's own node, as `AsyncRead` and `AsyncWrite`.
//!
//! Owns the stream's handle: dropped, it is given back, and what is unfinished is reset. Does not
//! own the node (`host`). Invariant: every call that may give the node something to send wakes its
//! task.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rit_core::node::{NodeError, StreamHandle};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::host::{Inside, Shared, io_error};

/// An open stream to a service of a device.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    handle: StreamHandle,
    /// The end was read: the node tells of it once.
    is_at_end: bool,
    is_finished: bool,
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, handle: StreamHandle) -> Self {
        Stream { shared, handle, is_at_end: false, is_finished: false }
    }

    pub(super) fn handle(&self) -> StreamHandle {
        self.handle
    }

    /// Does something with the stream, and has its task look at what came of it.
    fn act<T>(&self, act: impl FnOnce(&mut Inside) -> T) -> T {
        let result = act(&mut self.shared.inside());
        self.shared.changed.notify_one();
        result
    }
}

/// The session's end, for who still uses a stream of it.
fn check(inside: &Inside, stream: StreamHandle) -> io::Result<()> {
    match inside.streams.get(&stream) {
        Some(entry) if !entry.is_over => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the session ended")),
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_at_end || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let handle = self.handle;
        let read = {
            let mut inside = self.shared.inside();
            check(&inside, handle)?;
            let now = inside.now();
            let read = inside.node.stream_read(handle, buf.initialize_unfilled(), now);
            if let (Err(NodeError::Blocked), Some(entry)) = (&read, inside.streams.get_mut(&handle))
            {
                entry.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
            inside.on_used(handle);
            read.map_err(io_error)?
        };
        // There may be room now to tell the peer of.
        self.shared.changed.notify_one();
        buf.advance(read);
        self.is_at_end = read == 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let handle = self.handle;
        self.act(|inside| {
            check(inside, handle)?;
            let now = inside.now();
            match inside.node.stream_write(handle, data, now) {
                Err(NodeError::Blocked) => {
                    if let Some(entry) = inside.streams.get_mut(&handle) {
                        entry.writer = Some(context.waker().clone());
                    }
                    Poll::Pending
                }
                result => {
                    inside.on_used(handle);
                    Poll::Ready(result.map_err(io_error))
                }
            }
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_finished {
            let handle = self.handle;
            self.act(|inside| {
                check(inside, handle)?;
                let now = inside.now();
                inside.node.stream_finish(handle, now).map_err(io_error)
            })?;
            self.is_finished = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let handle = self.handle;
        self.act(|inside| inside.release(handle));
    }
}
