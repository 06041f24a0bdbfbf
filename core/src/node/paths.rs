//! The paths of a session, and what is known of each: for those who want to show or count them.

use super::{Node, NodeError, SessionId};
use crate::base::{Handle, Path, Time};
use crate::traverse::{Counts, Tried};
use alloc::vec::Vec;
use core::time::Duration;

/// A path of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// Where the peer may be; a relay's address where `via` is not 0.
    pub path: Path,
    /// Questions since the last answer.
    pub asked: u32,
    /// The least of its last round trips, of the one in use the smoothed one; `None`: it never
    /// answered.
    pub rtt: Option<Duration>,
    /// How long ago it last answered, if it should have since.
    pub silent_for: Option<Duration>,
    /// What went by it.
    pub counts: Counts,
}

impl Node {
    /// The paths of a session: first the one in use, once the peer answered, then the others that
    /// were ever tried, in no order.
    pub fn session_paths(&self, session: SessionId, now: Time) -> Result<Vec<PathInfo>, NodeError> {
        let session = self.peek_session(Handle(session.0))?;
        let connection = session.connection().filter(|c| c.is_path_latched());
        let active = connection.map(|connection| {
            let rtt = connection.rtt();
            let rtt = rtt.has_sample().then(|| rtt.smoothed());
            Tried { path: connection.path(), asked: 0, rtt, silent_for: None }
        });
        let is_other = |tried: &Tried| active.is_none_or(|active| active.path != tried.path);
        let others = session.search.tried(now).filter(is_other);
        let info = |Tried { path, asked, rtt, silent_for }| {
            let counts = session.traffic.counts(&path);
            PathInfo { path, asked, rtt, silent_for, counts }
        };
        Ok(active.into_iter().chain(others).map(info).collect())
    }
}
