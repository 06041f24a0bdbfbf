//! What the HTTP face asks of the running broker.

use rit_core::base::PublicKey;

/// Why a note has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "the broker's loop does not pass notes yet")]
pub(crate) enum NoteError {
    Offline,
    Silent,
    Busy,
}

/// A handle on the running broker.
#[derive(Clone)]
pub(crate) struct Control;

impl Control {
    /// Passes a note to a device, and its answer back.
    pub(crate) async fn note(
        &self,
        _device: &PublicKey,
        _kind: u8,
        _body: Vec<u8>,
    ) -> Result<(u8, Vec<u8>), NoteError> {
        Err(NoteError::Offline)
    }
}
