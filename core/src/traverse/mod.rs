//! Candidates: the addresses a peer may be at, tried all at once until one of them answers.
//!
//! Owns the list and the copies still to be sent. Does not own the connection, which learns its
//! path from the first packet that opens.

use crate::base::{Ecn, Path};
use crate::transport::Transmit;
use alloc::vec::Vec;

/// Candidates tried; each costs a copy of the first flight.
pub const MAX_CANDIDATES: usize = 8;

/// Sends copies of early datagrams to every candidate but the first, which the connection has.
#[derive(Debug, Default)]
pub struct Candidates {
    others: Vec<Path>,
    copy: Vec<u8>,
    /// Copies of `copy` sent.
    sent: usize,
}

impl Candidates {
    /// Splits candidates into the one for the connection and the others, without repetition;
    /// `None` if there is none.
    pub fn new(paths: &[Path]) -> Option<(Path, Candidates)> {
        let mut unique: Vec<Path> = Vec::new();
        for path in paths {
            if unique.len() < MAX_CANDIDATES && path.port != 0 && !unique.contains(path) {
                unique.push(*path);
            }
        }
        let first = *unique.first()?;
        unique.remove(0);
        Some((first, Candidates { sent: unique.len(), others: unique, copy: Vec::new() }))
    }

    /// The connection sent this to the first candidate.
    pub fn on_transmit(&mut self, datagram: &[u8]) {
        if !self.others.is_empty() {
            self.copy.clear();
            self.copy.extend_from_slice(datagram);
            self.sent = 0;
        }
    }

    /// The next copy to send.
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        let path = *self.others.get(self.sent)?;
        let out = buf.get_mut(..self.copy.len())?;
        out.copy_from_slice(&self.copy);
        self.sent += 1;
        Some(Transmit { path, len: self.copy.len(), ecn: Ecn::NotEct })
    }

    /// A candidate answered: the others are done with.
    pub fn clear(&mut self) {
        *self = Candidates::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_candidate_gets_each_datagram_once() {
        let path = |n| Path::v4([10, 0, 0, n], 1);
        let copy = |n| Transmit { path: path(n), len: 3, ecn: Ecn::NotEct };
        assert!(Candidates::new(&[]).is_none());
        let paths = [path(1), path(2), path(1), path(3), Path::v4([10, 0, 0, 9], 0)];
        let (first, mut others) = Candidates::new(&paths).unwrap();
        assert_eq!(first, path(1));
        let mut buf = [0; 100];
        assert_eq!(others.poll_transmit(&mut buf), None);
        others.on_transmit(b"abc");
        assert_eq!(others.poll_transmit(&mut buf), Some(copy(2)));
        assert_eq!(others.poll_transmit(&mut buf), Some(copy(3)));
        assert_eq!(others.poll_transmit(&mut buf), None);
        others.on_transmit(b"abc");
        others.clear();
        assert_eq!(others.poll_transmit(&mut buf), None);
        let many: Vec<Path> = (0..20).map(path).collect();
        assert_eq!(Candidates::new(&many).unwrap().1.others.len(), MAX_CANDIDATES - 1);
    }
}
