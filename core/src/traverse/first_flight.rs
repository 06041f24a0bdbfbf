//! The first flight to all candidates at once, until one of them answers. Those by TCP are kept in
//! reserve for where UDP does not get through.
//!
//! Owns the list and the copies still to be sent. Does not own the connection, which learns its
//! path from the first packet that opens.

use crate::base::{Ecn, Path, Time};
use crate::transport::Transmit;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// Candidates tried; each costs a copy of the first flight.
pub const MAX_COPIES: usize = 8;
/// Candidates by TCP.
const MAX_RESERVE: usize = 2;
/// What is sent later than this after the first is sent again: nobody answered.
const RESERVE_WAIT: Duration = Duration::from_millis(500);

/// Copies of the handshake's datagrams for every candidate but the one that the connection has.
/// `None`: there is nothing to copy any more.
#[derive(Debug, Default)]
pub struct FirstFlight(Option<Box<Flight>>);

#[derive(Debug)]
struct Flight {
    /// Where the connection sends.
    first: Path,
    /// It is to have the copy again.
    is_again: bool,
    others: Vec<Path>,
    copy: Vec<u8>,
    /// Copies of `copy` sent.
    sent: usize,
    /// Others, once nobody else has answered for a while.
    reserve: Vec<Path>,
    began: Option<Time>,
}

impl FirstFlight {
    /// Splits candidates into the one for the connection and the others, without repetition;
    /// `None` if there is none. Those by TCP get it when the others have not answered, or at once
    /// if `is_blocked`: they did not the last time.
    pub fn new(paths: &[Path], is_blocked: bool) -> Option<(Path, FirstFlight)> {
        let (mut unique, mut reserve): (Vec<Path>, Vec<Path>) = (Vec::new(), Vec::new());
        for path in paths {
            let (list, max) =
                if path.is_tls() { (&mut reserve, MAX_RESERVE) } else { (&mut unique, MAX_COPIES) };
            if list.len() < max && path.port != 0 && !list.contains(path) {
                list.push(*path);
            }
        }
        if is_blocked || unique.is_empty() {
            unique.append(&mut reserve);
        }
        let first = *unique.first()?;
        unique.remove(0);
        Some((first, FirstFlight::with_reserve(first, unique, reserve)))
    }

    /// For a connection that sends to `first`, copies to `others`.
    pub fn beside(first: Path, others: Vec<Path>) -> FirstFlight {
        FirstFlight::with_reserve(first, others, Vec::new())
    }

    fn with_reserve(first: Path, others: Vec<Path>, reserve: Vec<Path>) -> FirstFlight {
        let (is_again, copy, sent, began) = (false, Vec::new(), others.len(), None);
        let flight = Flight { first, is_again, others, copy, sent, reserve, began };
        FirstFlight(Some(Box::new(flight)))
    }

    /// The connection sent this to the first candidate.
    pub fn on_transmit(&mut self, datagram: &[u8], now: Time) {
        let Some(flight) = &mut self.0 else { return };
        if now.since(*flight.began.get_or_insert(now)) >= RESERVE_WAIT {
            flight.others.append(&mut flight.reserve);
        }
        flight.copy.clear();
        flight.copy.extend_from_slice(datagram);
        flight.sent = 0;
    }

    /// The peer showed itself at `path`: it gets a copy of what was sent last, and of what follows.
    /// One more than [`MAX_COPIES`] takes the place of the last.
    pub fn add(&mut self, path: Path) {
        let Some(flight) = self.0.as_mut().filter(|flight| !flight.copy.is_empty()) else { return };
        if flight.first == path {
            flight.is_again = true;
            return;
        }
        flight.others.retain(|other| *other != path);
        flight.others.truncate(MAX_COPIES - 2);
        flight.sent = flight.sent.min(flight.others.len());
        flight.others.push(path);
    }

    /// The next copy to send.
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        let flight = self.0.as_mut()?;
        let again = core::mem::take(&mut flight.is_again).then_some(flight.first);
        let path = again.or(flight.others.get(flight.sent).copied())?;
        let out = buf.get_mut(..flight.copy.len())?;
        out.copy_from_slice(&flight.copy);
        flight.sent += usize::from(again.is_none());
        Some(Transmit { path, len: flight.copy.len(), ecn: Ecn::NotEct })
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
    fn tcp_is_for_where_nobody_answers() {
        let (udp, tls) = (Path::v4([10, 0, 0, 1], 1), Path::v4([10, 0, 0, 1], 443));
        let tls = |n| Path { ip: [n; 16], socket: Path::TLS, ..tls };
        let at = |ms| Time::ZERO + Duration::from_millis(ms);
        let mut buf = [0; 100];
        let paths = [tls(1), udp, tls(2), tls(3)];
        let mut sent = |flight: &mut FirstFlight, ms| {
            flight.on_transmit(b"abc", at(ms));
            let next = || flight.poll_transmit(&mut buf).map(|copy| copy.path);
            core::iter::from_fn(next).collect::<Vec<_>>()
        };
        let (first, mut flight) = FirstFlight::new(&paths, false).unwrap();
        assert_eq!(first, udp);
        assert_eq!(sent(&mut flight, 100), []);
        assert_eq!(sent(&mut flight, 599), []);
        assert_eq!(sent(&mut flight, 600), [tls(1), tls(2)]);
        assert_eq!(sent(&mut flight, 3000), [tls(1), tls(2)]);
        let (first, mut flight) = FirstFlight::new(&paths, true).unwrap();
        assert_eq!((first, sent(&mut flight, 0)), (udp, [tls(1), tls(2)].to_vec()));
        let (first, mut flight) = FirstFlight::new(&[tls(1)], false).unwrap();
        assert_eq!((first, sent(&mut flight, 0)), (tls(1), Vec::new()));
    }

    #[test]
    fn each_candidate_gets_each_datagram_once() {
        let path = |n| Path::v4([10, 0, 0, n], 1);
        let count = |flight: &FirstFlight| flight.0.as_ref().unwrap().others.len();
        let copy = |n| Transmit { path: path(n), len: 3, ecn: Ecn::NotEct };
        assert!(FirstFlight::new(&[], false).is_none());
        let paths = [path(1), path(2), path(1), path(3), Path::v4([10, 0, 0, 9], 0)];
        let (first, mut others) = FirstFlight::new(&paths, false).unwrap();
        assert_eq!(first, path(1));
        let mut buf = [0; 100];
        assert_eq!(others.poll_transmit(&mut buf), None);
        others.on_transmit(b"abc", Time::ZERO);
        assert_eq!(others.poll_transmit(&mut buf), Some(copy(2)));
        assert_eq!(others.poll_transmit(&mut buf), Some(copy(3)));
        assert_eq!(others.poll_transmit(&mut buf), None);
        // The connection's own shows itself: what was sent there was lost.
        others.add(path(1));
        assert_eq!(others.poll_transmit(&mut buf), Some(copy(1)));
        assert_eq!(others.poll_transmit(&mut buf), None);
        others.on_transmit(b"abc", Time::ZERO);
        others.clear();
        assert_eq!(others.poll_transmit(&mut buf), None);
        others.add(path(7));
        assert_eq!(others.poll_transmit(&mut buf), None, "nothing was sent yet");
        let many: Vec<Path> = (0..20).map(path).collect();
        let (_, mut others) = FirstFlight::new(&many, false).unwrap();
        assert_eq!(count(&others), MAX_COPIES - 1);
        // It shows itself where we did not expect it, and again.
        others.on_transmit(b"abc", Time::ZERO);
        while others.poll_transmit(&mut buf).is_some() {}
        for _ in 0..2 {
            others.add(path(99));
            assert_eq!(count(&others), MAX_COPIES - 1);
            assert_eq!(others.poll_transmit(&mut buf), Some(copy(99)));
            assert_eq!(others.poll_transmit(&mut buf), None);
        }
    }
}
