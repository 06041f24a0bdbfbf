//! One flow through one link: what share of it becomes goodput.

use super::link::{LinkConfig, Nanos};
use super::world::{Flow, World};
use super::{OurFlow, QuinnFlow, window};
use rit_core::transport::{Congestion, DEFAULT_TARGET};

/// A second of virtual time.
pub const SECOND: Nanos = 1_000_000_000;
/// A stream that is not open after so long counts as one that carries nothing.
const MAX_HANDSHAKE: Nanos = 60 * SECOND;

/// Streams that bear more gaps together than one of quinn-proto's does: that closes the connection
/// where more than 1024 parts of it wait for what was lost between them.
pub const MANY: usize = 64;

/// Whose ends a flow has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Ours.
    Ours,
    /// Ours, by the controller that bounds delay.
    DelayBounded,
    /// quinn-proto's.
    Quinn,
    /// quinn-proto's, with the transfer spread over [`MANY`] streams.
    QuinnOverMany,
}

impl Who {
    /// A flow for this link.
    pub fn flow(self, config: &LinkConfig) -> Box<dyn Flow> {
        match self {
            Who::Ours => Box::new(OurFlow::new(config)),
            Who::DelayBounded => Box::new(OurFlow::with(
                window(config),
                Congestion::DelayBounded { target: DEFAULT_TARGET },
            )),
            Who::Quinn => Box::new(QuinnFlow::new(config, 1)),
            Who::QuinnOverMany => Box::new(QuinnFlow::new(config, MANY)),
        }
    }
}

/// How a transfer went.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Stream bytes read per second, beside the link's bytes per second.
    pub share: f64,
    /// Which end's connection was over before the time was, when, and why.
    pub ended: Option<String>,
}

/// Sends for so long after the stream is open. `watch` is called after each of the `steps` that
/// makes, with the flow and the bytes that the queue had no room for.
pub fn goodput(
    who: Who,
    config: &LinkConfig,
    (time, steps): (Nanos, u64),
    seed: u8,
    mut watch: impl FnMut(&dyn Flow, u64),
) -> Outcome {
    let mut world = World::new(config, seed, vec![(0, who.flow(config))]);
    let start = world.run_until_open(0, MAX_HANDSHAKE);
    for step in 1..=steps {
        world.run(start + time * step / steps);
        watch(world.flow(0), world.forward.overflowed);
    }
    let flow = world.flow(0);
    let share = flow.delivered() as f64 * 8.0 / (config.rate as f64 * time as f64 / 1e9);
    Outcome { share, ended: flow.ended().map(String::from) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fill_a_link_and_the_same_seed_gives_the_same() {
        let rtt = SECOND / 50;
        let clean = LinkConfig { rate: 10_000_000, rtt, buffer: 50_000, loss_ppm: 0 };
        let lossy = LinkConfig { loss_ppm: 20_000, ..clean };
        for who in [Who::Ours, Who::DelayBounded, Who::Quinn, Who::QuinnOverMany] {
            let run = |config| goodput(who, config, (5 * SECOND, 1), 4, |_, _| {}).share;
            assert!(run(&clean) > 0.9 && run(&clean) < 1.0, "{who:?}");
            assert!(run(&lossy) < run(&clean), "{who:?}");
            assert_eq!(run(&lossy), run(&lossy), "{who:?}");
        }
    }
}
