//! The queue before a link whose capacity a trace says.
//!
//! Each opportunity carries 1500 bytes, counted by the byte: several small datagrams, or a part of
//! a large one, which the next one goes on with. What the queue does not use is lost.
//! Invariant: what goes in first comes out first.

use super::codel::CoDel;
use super::link::{Datagram, Nanos};
use super::trace::{OPPORTUNITY, Trace};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a datagram has around it on the way: the headers of IPv4 and UDP.
pub const HEADERS: u64 = 28;

/// What a queue does when it is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// Nothing, however long.
    Unbounded,
    /// It takes no more than so many bytes.
    DropTail(u64),
    /// RFC 8289.
    CoDel,
}

/// A datagram that waits, or goes.
pub struct Waiting {
    /// When it came.
    pub since: Nanos,
    /// Whose it is.
    pub flow: usize,
    /// Itself.
    pub datagram: Datagram,
}

/// The queue, and how far its link is.
pub struct VaryingQueue {
    trace: Arc<Trace>,
    discipline: Discipline,
    codel: CoDel,
    waiting: VecDeque<Waiting>,
    /// Bytes that wait, with headers.
    bytes: u64,
    /// The next opportunity.
    next: u64,
    /// Bytes of the head that have gone.
    gone: u64,
    /// Datagrams that found no room, or were dropped to keep the queue short.
    pub dropped: u64,
}

impl VaryingQueue {
    /// Empty, at the trace's begin.
    pub fn new(trace: Arc<Trace>, discipline: Discipline) -> VaryingQueue {
        VaryingQueue {
            trace,
            discipline,
            codel: CoDel::default(),
            waiting: VecDeque::new(),
            bytes: 0,
            next: 0,
            gone: 0,
            dropped: 0,
        }
    }

    /// A datagram comes.
    pub fn push(&mut self, flow: usize, datagram: Datagram, now: Nanos) {
        let size = size(&datagram);
        if self.waiting.is_empty() {
            self.next = self.next.max(self.trace.first_from(now));
        }
        if matches!(self.discipline, Discipline::DropTail(room) if self.bytes + size > room) {
            self.dropped += 1;
            return;
        }
        self.bytes += size;
        self.waiting.push_back(Waiting { since: now, flow, datagram });
    }

    /// When something may go next.
    pub fn next_service(&self) -> Option<Nanos> {
        (!self.waiting.is_empty()).then(|| self.trace.at(self.next))
    }

    /// The opportunities until `now`; `gone` is told of each datagram that goes, and when.
    pub fn serve(&mut self, now: Nanos, mut gone: impl FnMut(Waiting, Nanos)) {
        while let Some(at) = self.next_service().filter(|at| *at <= now) {
            self.next += 1;
            let mut credit = OPPORTUNITY;
            while credit > 0 {
                let Some(left) = self.head(at) else { break };
                let taken = left.min(credit);
                credit -= taken;
                self.gone += taken;
                let whole = if taken == left { self.take_head() } else { None };
                if let Some(head) = whole {
                    gone(head, at);
                }
            }
        }
    }

    /// Bytes of the head that are to go yet; those that the discipline drops are dropped.
    fn head(&mut self, now: Nanos) -> Option<u64> {
        while let Some(head) = self.waiting.front() {
            let (size, sojourn) = (size(&head.datagram), now.saturating_sub(head.since));
            let is_new = self.gone == 0 && self.discipline == Discipline::CoDel;
            if !(is_new && self.codel.drops(sojourn, self.bytes - size, now)) {
                return Some(size - self.gone);
            }
            self.take_head();
            self.dropped += 1;
        }
        None
    }

    fn take_head(&mut self) -> Option<Waiting> {
        let head = self.waiting.pop_front()?;
        self.bytes -= size(&head.datagram);
        self.gone = 0;
        Some(head)
    }
}

/// Bytes on the way.
pub fn size(datagram: &Datagram) -> u64 {
    datagram.bytes.len() as u64 + HEADERS
}

#[cfg(test)]
mod tests {
    use super::*;
    use rit_core::base::Ecn;

    const MS: Nanos = 1_000_000;

    fn datagram(size: u64) -> Datagram {
        Datagram { bytes: vec![0; (size - HEADERS) as usize], ecn: Ecn::NotEct }
    }

    fn queue(text: &str, discipline: Discipline) -> VaryingQueue {
        VaryingQueue::new(Arc::new(Trace::parse(text).unwrap()), discipline)
    }

    fn served(queue: &mut VaryingQueue, until: Nanos) -> Vec<(u64, Nanos)> {
        let mut served = Vec::new();
        queue.serve(until, |gone, at| served.push((size(&gone.datagram), at / MS)));
        served
    }

    #[test]
    fn opportunities_are_counted_by_the_byte() {
        let mut queue = queue("1\n2\n3\n4\n", Discipline::Unbounded);
        for size in [1000, 1000, 500, 700] {
            queue.push(0, datagram(size), 0);
        }
        assert_eq!(queue.next_service(), Some(MS));
        assert_eq!(served(&mut queue, 2 * MS), [(1000, 1), (1000, 2), (500, 2)]);
        // The head has begun: 500 of it are gone already.
        assert_eq!(served(&mut queue, 3 * MS), [(700, 3)]);
        // What was left of the third is lost.
        queue.push(0, datagram(1500), 3 * MS + 1);
        assert_eq!(served(&mut queue, 9 * MS), [(1500, 4)]);
        queue.push(0, datagram(1500), 4 * MS + 1);
        assert_eq!(queue.next_service(), Some(5 * MS));
    }

    #[test]
    fn a_bounded_queue_takes_what_it_has_room_for() {
        let mut queue = queue("1\n", Discipline::DropTail(2000));
        queue.push(0, datagram(1500), 0);
        queue.push(0, datagram(501), 0);
        queue.push(0, datagram(500), 0);
        assert_eq!(queue.dropped, 1);
        assert_eq!(served(&mut queue, 2 * MS), [(1500, 1), (500, 2)]);
    }

    #[test]
    fn codel_drops_from_the_head() {
        let mut queue = queue("1\n", Discipline::CoDel);
        for _ in 0..300 {
            queue.push(0, datagram(1500), 0);
        }
        let served = served(&mut queue, 300 * MS);
        assert!(queue.dropped >= 3 && served.len() + queue.dropped as usize >= 299);
        assert_eq!(served[50], (1500, 51), "nothing in the first interval");
    }
}
