//! Threads of their own for what must not wait for the serving loop, nor hold it up.

use std::ops::Deref;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::Error;

/// A runtime's handle. The runtime ends with it, in the background, so that it may be dropped in
/// another one's task.
pub(crate) struct Thread {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Thread {
    /// With so many threads of this name.
    pub(crate) fn start(name: &str, count: usize) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name(name)
            .enable_all()
            .build()
            .map_err(|error| Error::Start(error.to_string()))?;
        Ok(Thread { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Deref for Thread {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
