//! The first flight to all candidates at once, until one of them answers.
//!
//! Owns the list and the copies still to be sent. Does not own the connection, which learns its
//! path from the first packet that opens.

use crate::base::{Ecn, Path};
use crate::transport::Transmit;
use alloc::vec::Vec;

/// Candidates tried; each costs a copy of the first flight.
pub const MAX_COPIES: usize = 8;

/// Copies of the handshake's datagrams for every candidate but the one that the connection has.
#[derive(Debug, Default)]
pub struct FirstFlight {
    /// Where the connection sends; `None`: there is nothing to copy any more.
    first: Option<Path>,
    /// It is to have the copy again.
    is_again: bool,
    others: Vec<Path>,
    copy: Vec<u8>,
    /// Copies of `copy` sent.
    sent: usize,
}

impl FirstFlight {
    /// Splits candidates into the one for the connection and the others, without repetition;
    /// `None` if there is none.
    pub fn new(paths: &[Path]) -> Option<(Path, FirstFlight)> {
        let mut unique: Vec<Path> = Vec::new();
        for path in paths {
            if unique.len() < MAX_COPIES && path.port != 0 && !unique.contains(path) {
                unique.push(*path);
            }
        }
        let first = *unique.first()?;
        unique.remove(0);
        Some((first, FirstFlight::beside(first, unique)))
    }

    /// For a connection that sends to `first`, copies to `others`.
    pub fn beside(first: Path, others: Vec<Path>) -> FirstFlight {
        let (first, is_again, copy) = (Some(first), false, Vec::new());
        FirstFlight { first, is_again, sent: others.len(), others, copy }
    }

    /// The connection sent this to the first candidate.
    pub fn on_transmit(&mut self, datagram: &[u8]) {
        if self.first.is_some() {
            self.copy.clear();
            self.copy.extend_from_slice(datagram);
            self.sent = 0;
        }
    }

    /// The peer showed itself at `path`: it gets a copy of what was sent last, and of what follows.
    /// One more than [`MAX_COPIES`] takes the place of the last.
    pub fn add(&mut self, path: Path) {
        if self.copy.is_empty() {
            return;
        }
        if self.first == Some(path) {
            self.is_again = true;
            return;
        }
        self.others.retain(|other| *other != path);
        self.others.truncate(MAX_COPIES - 2);
        self.sent = self.sent.min(self.others.len());
        self.others.push(path);
    }

    /// The next copy to send.
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        let again = self.first.filter(|_| core::mem::take(&mut self.is_again));
        let path = again.or(self.others.get(self.sent).copied())?;
        let out = buf.get_mut(..self.copy.len())?;
        out.copy_from_slice(&self.copy);
        self.sent += usize::from(again.is_none());
        Some(Transmit { path, len: self.copy.len(), ecn: Ecn::NotEct })
    }

    /// A candidate answered: the others are done with.
    pub fn clear(&mut self) {
        *self = FirstFlight::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_candidate_gets_each_datagram_once() {
        let path = |n| Path::v4([10, 0, 0, n], 1);
        let copy = |n| Transmit { path: path(n), len: 3, ecn: Ecn::NotEct };
        assert!(FirstFlight::new(&[]).is_none());
        let paths = [path(1), path(2), path(1), path(3), Path::v4([10, 0, 0, 9], 0)];
        let (first, mut others) = FirstFlight::new(&paths).unwrap();
        assert_eq!(first, path(1));
        let mut buf = [0; 100];
        assert_eq!(others.poll_transmit(&mut buf), None);
        others.on_transmit(b"abc");
        assert_eq!(others.poll_transmit(&mut buf), Some(copy(2)));
        assert_eq!(others.poll_transmit(&mut buf), Some(copy(3)));
        assert_eq!(others.poll_transmit(&mut buf), None);
        // The connection's own shows itself: what was sent there was lost.
        others.add(path(1));
        assert_eq!(others.poll_transmit(&mut buf), Some(copy(1)));
        assert_eq!(others.poll_transmit(&mut buf), None);
        others.on_transmit(b"abc");
        others.clear();
        assert_eq!(others.poll_transmit(&mut buf), None);
        others.add(path(7));
        assert_eq!(others.poll_transmit(&mut buf), None, "nothing was sent yet");
        let many: Vec<Path> = (0..20).map(path).collect();
        let (_, mut others) = FirstFlight::new(&many).unwrap();
        assert_eq!(others.others.len(), MAX_COPIES - 1);
        // It shows itself where we did not expect it, and again.
        others.on_transmit(b"abc");
        while others.poll_transmit(&mut buf).is_some() {}
        for _ in 0..2 {
            others.add(path(99));
            assert_eq!(others.others.len(), MAX_COPIES - 1);
            assert_eq!(others.poll_transmit(&mut buf), Some(copy(99)));
            assert_eq!(others.poll_transmit(&mut buf), None);
        }
    }
}
