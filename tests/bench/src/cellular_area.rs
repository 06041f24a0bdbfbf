//! Area `cellular`: what a bulk transfer makes of a cellular link, and what the link's queue makes
//! of it, after Winstein, Sivaraman and Balakrishnan (NSDI 2013, §5).
//!
//! Owns the peers, the traces that are generated where none is given, and what counts: all bytes
//! that arrive, with their headers, and the self-inflicted delay, which is the age of the newest
//! news that is not exceeded for 95 % of the time, less that of a sender who knows the trace. The
//! first minute does not count. The way back carries all at once.

use crate::links::age::percentile_95;
use crate::links::link::{LinkConfig, Nanos, Way};
use crate::links::parallel;
use crate::links::trace::{Synthetic, Trace};
use crate::links::varying::{Discipline, HEADERS, VaryingQueue};
use crate::links::world::{Flow, World};
use crate::links::{OurFlow, QuinnFlow};
use crate::report::Row;
use crate::settings::Settings;
use crate::svg;
use rit_core::transport::{Congestion, DEFAULT_TARGET};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// One way.
const DELAY: Nanos = 20_000_000;
/// Before this nothing counts.
const SKIP: Nanos = 60_000_000_000;
/// Flow control windows and send buffers: what bounds who fills an unbounded queue.
const WINDOW: u64 = 16 << 20;
/// Streams of a peer that loses packets: quinn-proto bears so many gaps together.
const MANY: usize = 64;
/// A shorter target than the default, for those who would rather have less delay.
const SHORT_TARGET: Duration = Duration::from_millis(6);

/// A congestion controller and the queue that it finds.
struct Contender {
    name: &'static str,
    discipline: Discipline,
    flow: fn() -> Box<dyn Flow>,
}

/// Ours, by its default target and by the shorter one.
const OURS: [Contender; 2] = [
    Contender { name: "ours", discipline: Discipline::Unbounded, flow: || ours(DEFAULT_TARGET) },
    Contender {
        name: "ours, 6 ms",
        discipline: Discipline::Unbounded,
        flow: || ours(SHORT_TARGET),
    },
];

const PEERS: [Contender; 5] = [
    Contender {
        name: "cubic",
        discipline: Discipline::Unbounded,
        flow: || Box::new(QuinnFlow::cubic(WINDOW, 1)),
    },
    Contender {
        name: "cubic-1MB",
        discipline: Discipline::DropTail(1 << 20),
        flow: || Box::new(QuinnFlow::cubic(WINDOW, MANY)),
    },
    Contender {
        name: "cubic-256KB",
        discipline: Discipline::DropTail(256 << 10),
        flow: || Box::new(QuinnFlow::cubic(WINDOW, MANY)),
    },
    Contender {
        name: "cubic-codel",
        discipline: Discipline::CoDel,
        flow: || Box::new(QuinnFlow::cubic(WINDOW, MANY)),
    },
    Contender {
        name: "bbr",
        discipline: Discipline::Unbounded,
        flow: || Box::new(QuinnFlow::bbr(WINDOW, 1)),
    },
];

fn ours(target: Duration) -> Box<dyn Flow> {
    Box::new(OurFlow::with(WINDOW, Congestion::DelayBounded { target }))
}

/// Links that are measured where no trace is given: one that wanders, one that wanders fast and
/// breaks, one that is slow, one that is steady.
const GENERATED: [(&str, Synthetic); 4] = [
    ("walk", Synthetic { mean: 500.0, wander: 150.0, pull: 0.1, ..STILL }),
    ("drive", Synthetic { mean: 800.0, wander: 500.0, pull: 0.3, outages: (0.05, 1.0), ..STILL }),
    ("slow", Synthetic { mean: 60.0, wander: 20.0, pull: 0.1, outages: (0.02, 0.5), ..STILL }),
    ("steady", Synthetic { mean: 800.0, ..STILL }),
];
const STILL: Synthetic =
    Synthetic { mean: 0.0, wander: 0.0, pull: 0.0, outages: (0.0, 0.0), length: 180_000 };
const SEED: u8 = 1;

/// How one fared on one trace.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    /// Mbit/s.
    throughput: f64,
    /// Milliseconds.
    delay: f64,
}

/// Measures the traces given, or those generated.
pub fn rows(settings: &Settings) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let mut charts = Vec::new();
    for (name, trace) in traces(settings)? {
        let (ways, capacity) = measure(&trace);
        let all: Vec<&Contender> = OURS.iter().chain(&PEERS).collect();
        let dots = all.iter().zip(&ways);
        let dots = dots.map(|(who, way)| svg::Dot {
            name: who.name,
            x: way.delay.max(1.0),
            y: way.throughput / capacity * 100.0,
        });
        charts.push(svg::Chart { title: name.clone(), dots: dots.collect() });
        rows.extend(rows_of(&name, &ways));
        let used = ways[0].throughput / capacity * 100.0;
        rows.push(row(&name, "utilisation", "%", used, 100.0, "link"));
    }
    if let Some(file) = &settings.svg {
        std::fs::write(file, svg::draw(&charts)).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(rows)
}

fn traces(settings: &Settings) -> Result<Vec<(String, Arc<Trace>)>, String> {
    if settings.traces.is_empty() {
        let generate = |(name, link): &(&str, Synthetic)| {
            (format!("generated-{name}"), Arc::new(link.generate(SEED)))
        };
        return Ok(GENERATED.iter().map(generate).collect());
    }
    let load = |file: &String| {
        let wrong = |error: String| format!("{file}: {error}");
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let name = Path::new(file).file_name().map(|name| name.to_string_lossy().into_owned());
        Ok((name.unwrap_or_default(), Arc::new(Trace::parse(&text).map_err(wrong)?)))
    };
    settings.traces.iter().map(load).collect()
}

/// All contenders' outcomes, ours first, and the link's capacity in Mbit/s.
fn measure(trace: &Arc<Trace>) -> (Vec<Outcome>, f64) {
    let all: Vec<&Contender> = OURS.iter().chain(&PEERS).collect();
    let outcomes = parallel::map(&all, |who| run(trace, who));
    let end = end_of(trace);
    (outcomes, mbit(trace.capacity(SKIP - DELAY, end - DELAY), end - SKIP))
}

fn rows_of(trace: &str, ways: &[Outcome]) -> Vec<Row> {
    let (ours, peers) = ways.split_at(OURS.len());
    let mut rows = Vec::new();
    for (who, peer) in PEERS.iter().zip(peers) {
        let pair = |trace: &str, ours: &Outcome| {
            [
                row(trace, "throughput", "Mbit/s", ours.throughput, peer.throughput, who.name),
                row(trace, "self_inflicted_delay_p95", "ms", ours.delay, peer.delay, who.name),
            ]
        };
        rows.extend(pair(trace, &ours[0]));
        rows.extend(pair(&format!("{trace}/target_6ms"), &ours[1]));
    }
    rows
}

fn row(
    trace: &str,
    what: &str,
    unit: &'static str,
    ours: f64,
    peer: f64,
    peer_name: &'static str,
) -> Row {
    Row { name: format!("cellular/{trace}/{what}"), unit, ours, peer, peer_name }
}

/// A whole trace, and two minutes at least.
fn end_of(trace: &Trace) -> Nanos {
    trace.length().max(2 * SKIP)
}

fn mbit(bytes: u64, time: Nanos) -> f64 {
    bytes as f64 * 8000.0 / time as f64
}

fn run(trace: &Arc<Trace>, who: &Contender) -> Outcome {
    let end = end_of(trace);
    let mut forward = Way::varying(VaryingQueue::new(trace.clone(), who.discipline), DELAY);
    forward.passages = Some(Vec::new());
    let back = LinkConfig { rate: 0, rtt: 2 * DELAY, buffer: 0, loss_ppm: 0 };
    let mut world = World::between(forward, Way::backward(&back, SEED), vec![(0, (who.flow)())]);
    world.run(end);
    if let Some(ended) = world.flow(0).ended() {
        eprintln!("{}: ended: {ended}", who.name);
    }
    let passages = world.forward.passages.take().unwrap_or_default();
    let counts = passages.iter().filter(|passage| (SKIP..end).contains(&passage.arrives));
    let bytes: u64 = counts.map(|passage| passage.bytes + HEADERS).sum();
    let age = percentile_95(passages.iter().map(|p| (p.arrives, p.sent)), SKIP, end);
    let delay = (age as f64 - all_knowing(trace, end) as f64) / 1e6;
    Outcome { throughput: mbit(bytes, end - SKIP), delay }
}

/// The age for a sender who sends at each opportunity, and at no other time.
fn all_knowing(trace: &Trace, end: Nanos) -> Nanos {
    let numbers = 0..trace.first_from(end);
    percentile_95(numbers.map(|n| (trace.at(n) + DELAY, trace.at(n))), SKIP, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_follows_a_link_with_far_less_delay_than_cubic() {
        let link = Synthetic { length: 120_000, ..GENERATED[0].1 };
        let trace = Arc::new(link.generate(7));
        let [ours, cubic] = [&OURS[0], &PEERS[0]].map(|who| run(&trace, who));
        assert!(ours.throughput > cubic.throughput * 0.9, "{ours:?} {cubic:?}");
        assert!(ours.delay < cubic.delay / 10.0, "{ours:?} {cubic:?}");
    }

    #[test]
    fn who_knows_the_trace_has_no_delay_of_its_own() {
        let trace = Trace::parse("1\n11\n21\n31\n").unwrap();
        // 20 ms on the way, and up to ten until the next.
        let age = all_knowing(&trace, 2 * SKIP);
        assert!((29_000_000..=30_000_000).contains(&age), "{age}");
    }
}
