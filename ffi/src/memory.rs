//! How much memory stays free where running out of it must be an error, and never the end.
//!
//! Owns the figures; who asks for room, and when, is in core. A build with the standard library has
//! a system beneath it that hands out memory as long as it can: there nothing is asked.

use crate::error::Error;
use rit_core::base::{Reserve, has_room};
use rit_core::transport::Config;

/// What core's calls were seen to take, and some more; `tests/memory` measures it, and fails where
/// it is not enough.
const RESERVE: Reserve = if size_of::<usize>() == 4 {
    Reserve { spare: 1536, connection: 10 * 1024, step: 3328 }
} else {
    Reserve { spare: 2048, connection: 12 * 1024, step: 4096 }
};

/// Bytes of a peer's part of a handshake: three times as many as there are.
const MAX_HANDSHAKE: usize = 4096;

/// Whether memory is counted.
const IS_COUNTED: bool = cfg!(not(feature = "std"));

/// Lets a node keep that much free.
pub(crate) fn keep(config: &mut Config) {
    if IS_COUNTED {
        config.reserve = RESERVE;
        config.max_handshake = MAX_HANDSHAKE;
    }
}

/// Whether there is room for what is about to be made.
pub(crate) fn check(bytes: usize) -> Result<(), Error> {
    if !IS_COUNTED || has_room(bytes) { Ok(()) } else { Err(Error::Memory) }
}
