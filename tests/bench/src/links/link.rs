//! One direction of a bottleneck: a rate, a drop-tail queue, random loss behind it, a delay.
//!
//! Times are nanoseconds: at 1000 Mbit/s a datagram takes 11 616 of them, and rounding to
//! microseconds would change the rate by five percent.
//! Invariant: what goes in first comes out first.

use super::varying::VaryingQueue;
use rit_core::base::{Ecn, Rng};
use std::collections::VecDeque;

/// Nanoseconds of virtual time.
pub type Nanos = u64;

/// A bottleneck and the way back.
#[derive(Clone, Copy, Debug)]
pub struct LinkConfig {
    /// Bits per second, UDP payload alone.
    pub rate: u64,
    /// Round trip without any queue.
    pub rtt: Nanos,
    /// Bytes that may wait.
    pub buffer: u64,
    /// Share of datagrams lost at random, each way, in parts per million.
    pub loss_ppm: u32,
}

impl LinkConfig {
    /// Bandwidth-delay product in bytes.
    pub fn bdp(&self) -> u64 {
        (u128::from(self.rate) * u128::from(self.rtt) / 8_000_000_000) as u64
    }
}

/// What goes through.
pub struct Datagram {
    /// UDP payload.
    pub bytes: Vec<u8>,
    /// Carried as it is: the queue marks nothing.
    pub ecn: Ecn,
}

/// A datagram under way.
struct Flying {
    arrives: Nanos,
    flow: usize,
    datagram: Datagram,
}

/// What a direction waits for.
enum Queue {
    /// Nothing ever waits.
    None,
    /// A steady rate.
    Steady {
        nanos_per_byte: u64,
        buffer: u64,
        /// When all that waits has left.
        free_at: Nanos,
    },
    /// Boxed: it is large.
    Varying(Box<VaryingQueue>),
}

/// A datagram's passage: when it went in, when it arrived, whose it was, and its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// When it went in.
    pub sent: Nanos,
    /// When it comes out.
    pub arrives: Nanos,
    /// Whose it is.
    pub flow: usize,
    /// Bytes of UDP payload.
    pub bytes: u64,
}

/// One direction.
pub struct Way {
    queue: Queue,
    delay: Nanos,
    loss_ppm: u32,
    rng: Rng,
    flying: VecDeque<Flying>,
    /// Datagrams the queue had no room for.
    pub overflowed: u64,
    /// All that got through, if somebody wants to know.
    pub passages: Option<Vec<Passage>>,
}

impl Way {
    /// The direction of the data.
    pub fn forward(config: &LinkConfig, seed: u8) -> Way {
        let nanos_per_byte = 8_000_000_000 / config.rate;
        let queue = Queue::Steady { nanos_per_byte, buffer: config.buffer, free_at: 0 };
        Way { queue, ..Way::backward(config, seed ^ 0x80) }
    }

    /// A direction with this queue and this delay behind it, which loses nothing else.
    pub fn varying(queue: VaryingQueue, delay: Nanos) -> Way {
        let config = LinkConfig { rate: 0, rtt: 2 * delay, buffer: 0, loss_ppm: 0 };
        Way { queue: Queue::Varying(Box::new(queue)), ..Way::backward(&config, 0) }
    }

    /// The direction of the acknowledgements: as fast as they come.
    pub fn backward(config: &LinkConfig, seed: u8) -> Way {
        Way {
            queue: Queue::None,
            delay: config.rtt / 2,
            loss_ppm: config.loss_ppm,
            rng: Rng::from_seed([seed; 32]),
            flying: VecDeque::new(),
            overflowed: 0,
            passages: None,
        }
    }

    /// A datagram of `flow` goes in.
    pub fn send(&mut self, flow: usize, datagram: Datagram, now: Nanos) {
        let mut leaves = now;
        match &mut self.queue {
            Queue::None => {}
            Queue::Steady { nanos_per_byte: each, buffer, free_at } => {
                let len = datagram.bytes.len() as u64;
                let starts = now.max(*free_at);
                if (starts - now) / *each + len > *buffer {
                    self.overflowed += 1;
                    return;
                }
                leaves = starts + len * *each;
                *free_at = leaves;
            }
            Queue::Varying(queue) => {
                queue.push(flow, datagram, now);
                self.overflowed = queue.dropped;
                return;
            }
        }
        if self.rng.below(1_000_000) < u64::from(self.loss_ppm) {
            return;
        }
        self.fly(now, leaves, flow, datagram);
    }

    fn fly(&mut self, sent: Nanos, leaves: Nanos, flow: usize, datagram: Datagram) {
        let arrives = leaves + self.delay;
        if let Some(passages) = &mut self.passages {
            passages.push(Passage { sent, arrives, flow, bytes: datagram.bytes.len() as u64 });
        }
        self.flying.push_back(Flying { arrives, flow, datagram });
    }

    /// What a varying queue lets go by `now`.
    fn serve(&mut self, now: Nanos) {
        let Queue::Varying(queue) = &mut self.queue else { return };
        let mut gone = Vec::new();
        queue.serve(now, |waiting, at| gone.push((waiting, at)));
        self.overflowed = queue.dropped;
        for (waiting, at) in gone {
            self.fly(waiting.since, at, waiting.flow, waiting.datagram);
        }
    }

    /// When the next datagram arrives, or the queue is to be looked after.
    pub fn next_arrival(&self) -> Option<Nanos> {
        let service = match &self.queue {
            Queue::Varying(queue) => queue.next_service(),
            _ => None,
        };
        let flying = self.flying.front().map(|flying| flying.arrives);
        [service, flying].into_iter().flatten().min()
    }

    /// The next datagram that arrived by `now`, and whose it is.
    pub fn receive(&mut self, now: Nanos) -> Option<(usize, Datagram)> {
        self.serve(now);
        self.flying.front().filter(|flying| flying.arrives <= now)?;
        let flying = self.flying.pop_front()?;
        Some((flying.flow, flying.datagram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: LinkConfig =
        LinkConfig { rate: 1_000_000_000, rtt: 2_000_000, buffer: 3000, loss_ppm: 0 };

    fn datagram() -> Datagram {
        Datagram { bytes: vec![0; 1452], ecn: Ecn::Ect0 }
    }

    #[test]
    fn serializes_queues_and_overflows() {
        assert_eq!(CONFIG.bdp(), 250_000);
        let mut way = Way::forward(&CONFIG, 1);
        for _ in 0..4 {
            way.send(7, datagram(), 0);
        }
        // One is sent from the queue's head, and two wait, or all three.
        assert_eq!(way.overflowed, 2);
        assert_eq!(way.next_arrival(), Some(11_616 + 1_000_000));
        assert!(way.receive(1_011_615).is_none());
        assert!(
            way.receive(1_011_616).is_some_and(|(flow, got)| flow == 7 && got.ecn == Ecn::Ect0)
        );
        assert_eq!(way.next_arrival(), Some(2 * 11_616 + 1_000_000));
        // What left makes room.
        way.send(7, datagram(), 11_616);
        assert_eq!(way.overflowed, 2);
    }

    #[test]
    fn loses_about_as_many_as_asked_and_the_same_ones_each_time() {
        let config = LinkConfig { loss_ppm: 50_000, ..CONFIG };
        let arrivals = || {
            let mut way = Way::backward(&config, 3);
            (0..10_000).for_each(|at| way.send(0, datagram(), at));
            let mut arrivals = Vec::new();
            while let Some(at) = way.next_arrival() {
                way.receive(at);
                arrivals.push(at);
            }
            arrivals
        };
        assert_eq!(arrivals(), arrivals());
        assert!((9400..9600).contains(&arrivals().len()), "{}", arrivals().len());
    }
}
