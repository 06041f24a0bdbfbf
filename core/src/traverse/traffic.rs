//! What went by each path of a session.
//!
//! Owns the counters. Invariant: the list is bounded; where it is full the path that carried least
//! makes room.

use crate::base::Path;
use alloc::vec::Vec;

/// Paths that are counted: what a session uses and keeps warm, and some more.
const MAX_PATHS: usize = 8;

/// Datagrams and their bytes, of UDP payload without a relay's wrapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Bytes received.
    pub bytes_received: u64,
}

/// Counts by path.
#[derive(Default)]
pub struct Traffic {
    paths: Vec<(Path, Counts)>,
    /// The place of the one counted last, which as a rule is the next one too.
    last: usize,
}

impl Traffic {
    /// A datagram of `len` bytes went there.
    pub fn on_sent(&mut self, path: Path, len: usize) {
        let counts = self.at(path);
        counts.datagrams_sent += 1;
        counts.bytes_sent += len as u64;
    }

    /// One came from there.
    pub fn on_received(&mut self, path: Path, len: usize) {
        let counts = self.at(path);
        counts.datagrams_received += 1;
        counts.bytes_received += len as u64;
    }

    /// What went by `path`.
    pub fn counts(&self, path: &Path) -> Counts {
        self.paths.iter().find(|(known, _)| known == path).map_or_else(Counts::default, |c| c.1)
    }

    fn at(&mut self, path: Path) -> &mut Counts {
        if self.paths.get(self.last).is_none_or(|(known, _)| *known != path) {
            self.last = self.place(path);
        }
        &mut self.paths[self.last].1
    }

    fn place(&mut self, path: Path) -> usize {
        if let Some(at) = self.paths.iter().position(|(known, _)| *known == path) {
            return at;
        }
        let fresh = (path, Counts::default());
        if self.paths.len() < MAX_PATHS {
            self.paths.reserve_exact(1);
            self.paths.push(fresh);
            return self.paths.len() - 1;
        }
        let carried = |(_, counts): &(Path, Counts)| counts.bytes_sent + counts.bytes_received;
        let least = (0..self.paths.len()).min_by_key(|at| carried(&self.paths[*at])).unwrap_or(0);
        self.paths[least] = fresh;
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_by_itself_and_the_idle_ones_make_room() {
        let path = |port| Path::v4([192, 0, 2, 1], port);
        let mut traffic = Traffic::default();
        for port in 1..=MAX_PATHS as u16 {
            traffic.on_sent(path(port), usize::from(port) * 10);
            traffic.on_received(path(port), 5);
        }
        traffic.on_received(path(1), 100);
        let counts = Counts {
            datagrams_sent: 1,
            bytes_sent: 10,
            datagrams_received: 2,
            bytes_received: 105,
        };
        assert_eq!(traffic.counts(&path(1)), counts);
        assert_eq!(traffic.counts(&path(100)), Counts::default());
        // One more: the second had least.
        traffic.on_sent(path(100), 1);
        assert_eq!(traffic.paths.len(), MAX_PATHS);
        assert_eq!(traffic.counts(&path(2)), Counts::default());
        assert_eq!(traffic.counts(&path(100)).bytes_sent, 1);
        assert_eq!(traffic.counts(&path(1)), counts);
    }
}
