//! Flows through one bottleneck, in virtual time.
//!
//! Owns the event loop: the earliest of arrivals, timers and starts is next; the end it belongs to
//! is fed and then driven until it has nothing more to say.

use super::link::{Datagram, LinkConfig, Nanos, Way};

/// Timers no finer than this, so that one that is due already cannot stop the clock.
const TICK: Nanos = 1000;

/// The ends of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where the data comes from.
    Sender,
    /// Where it goes.
    Receiver,
}

/// A bulk transfer between two ends that know each other through the world alone.
pub trait Flow {
    /// The sender opens its connection.
    fn open(&mut self, now: Nanos);
    /// A datagram arrived.
    fn handle(&mut self, end: End, datagram: Datagram, now: Nanos);
    /// Timers that are due, the application's writing or reading, and all there is to send.
    fn drive(&mut self, end: End, now: Nanos, send: &mut dyn FnMut(Datagram));
    /// When the end is to be driven again.
    fn deadline(&mut self, end: End) -> Option<Nanos>;
    /// When the sender's stream was opened.
    fn opened_at(&self) -> Option<Nanos>;
    /// Bytes the receiving application has read.
    fn delivered(&self) -> u64;
    /// Which end's connection is over, when, and why.
    fn ended(&self) -> Option<&str>;
    /// What the sender says of itself.
    fn describe(&self) -> String;
}

struct Member {
    flow: Box<dyn Flow>,
    is_open: bool,
    deadlines: [Nanos; 2],
}

/// Flows and their bottleneck.
pub struct World {
    now: Nanos,
    /// To the receivers.
    pub forward: Way,
    backward: Way,
    members: Vec<Member>,
}

impl World {
    /// A bottleneck, and flows with the times at which they start.
    pub fn new(config: &LinkConfig, seed: u8, flows: Vec<(Nanos, Box<dyn Flow>)>) -> World {
        World::between(Way::forward(config, seed), Way::backward(config, seed), flows)
    }

    /// The same with these two directions.
    pub fn between(forward: Way, backward: Way, flows: Vec<(Nanos, Box<dyn Flow>)>) -> World {
        let member = |(starts, flow)| {
            let deadlines = [starts, Nanos::MAX];
            Member { flow, is_open: false, deadlines }
        };
        World { now: 0, forward, backward, members: flows.into_iter().map(member).collect() }
    }

    /// The flow with this number.
    pub fn flow(&self, index: usize) -> &dyn Flow {
        &*self.members[index].flow
    }

    /// Runs until the clock says `until`.
    pub fn run(&mut self, until: Nanos) {
        while let Some(next) = self.next().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = self.now.max(until);
    }

    /// Runs until a flow's stream is open, or `until`; returns when.
    pub fn run_until_open(&mut self, index: usize, until: Nanos) -> Nanos {
        while self.flow(index).opened_at().is_none() {
            let Some(next) = self.next().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.step();
        }
        self.now
    }

    fn next(&self) -> Option<Nanos> {
        let timers = self.members.iter().flat_map(|member| member.deadlines).min();
        let ways = [self.forward.next_arrival(), self.backward.next_arrival()];
        ways.into_iter().chain([timers]).flatten().min()
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some((index, datagram)) = self.forward.receive(now) {
            self.members[index].flow.handle(End::Receiver, datagram, now);
            self.drive(index, End::Receiver);
        }
        while let Some((index, datagram)) = self.backward.receive(now) {
            self.members[index].flow.handle(End::Sender, datagram, now);
            self.drive(index, End::Sender);
        }
        for index in 0..self.members.len() {
            for end in [End::Sender, End::Receiver] {
                if self.members[index].deadlines[end as usize] <= now {
                    self.drive(index, end);
                }
            }
        }
    }

    fn drive(&mut self, index: usize, end: End) {
        let now = self.now;
        let member = &mut self.members[index];
        if !member.is_open {
            member.is_open = true;
            member.flow.open(now);
        }
        let way = match end {
            End::Sender => &mut self.forward,
            End::Receiver => &mut self.backward,
        };
        member.flow.drive(end, now, &mut |datagram| way.send(index, datagram, now));
        let deadline = member.flow.deadline(end);
        member.deadlines[end as usize] = deadline.map_or(Nanos::MAX, |at| at.max(now + TICK));
    }
}
