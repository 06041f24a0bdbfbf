//! Area `fairness`: how two bulk transfers share a simulated bottleneck.
//!
//! Jain's index of the two shares: 1 is equal, 0.5 is one of them alone. Beside ours with ours
//! stands quinn-proto with quinn-proto; ours with quinn-proto's CUBIC stands beside that too, and
//! tells which of the two had more.

use crate::links::DATAGRAM;
use crate::links::goodput::{SECOND, Who};
use crate::links::link::{LinkConfig, Nanos};
use crate::links::parallel;
use crate::links::world::World;
use crate::report::Row;
use crate::settings::{Settings, median};

/// Seeds of a cell; the median counts.
const SEEDS: u8 = 3;
/// Both are at it this long before anything counts.
const SETTLE: Nanos = 30 * SECOND;
/// What counts.
const MEASURE: Nanos = 60 * SECOND;
/// How much later a late flow starts.
const LATE: Nanos = 10 * SECOND;

/// A bottleneck and when its flows start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    rate: u64,
    rtt: u64,
    /// Quarters of what the link holds.
    buffer: u64,
    is_late: bool,
}

const RATES: [u64; 3] = [10, 50, 100];
const RTTS: [u64; 3] = [10, 30, 100];
const BUFFERS: [u64; 3] = [2, 4, 16];

/// Measured by default.
const CHOICE: [(u64, u64, u64); 5] =
    [(10, 10, 4), (10, 30, 4), (10, 100, 2), (50, 30, 4), (50, 30, 16)];

fn cells(settings: &Settings) -> Vec<Cell> {
    let mut links = CHOICE.to_vec();
    if settings.all_links {
        links.clear();
        for rate in RATES {
            for rtt in RTTS {
                links.extend(BUFFERS.map(|buffer| (rate, rtt, buffer)));
            }
        }
    }
    let each =
        |(rate, rtt, buffer)| [false, true].map(|is_late| Cell { rate, rtt, buffer, is_late });
    links.into_iter().flat_map(each).collect()
}

impl Cell {
    fn config(&self) -> LinkConfig {
        let (rate, rtt) = (self.rate * 1_000_000, self.rtt * (SECOND / 1000));
        let mut config = LinkConfig { rate, rtt, buffer: 0, loss_ppm: 0 };
        config.buffer = (config.bdp() * self.buffer / 4).max(16 * DATAGRAM as u64);
        config
    }

    fn name(&self, who: &str) -> String {
        let Cell { rate, rtt, .. } = self;
        let buffer = self.buffer as f64 / 4.0;
        let late = if self.is_late { ", second 10 s late" } else { "" };
        format!("{who}: {rate} Mbit/s, {rtt} ms, {buffer} BDP{late}")
    }
}

/// Measures the cells chosen.
pub fn rows(settings: &Settings) -> Vec<Row> {
    parallel::map(&cells(settings), rows_of).concat()
}

fn rows_of(cell: &Cell) -> Vec<Row> {
    let run = |pair: [Who; 2]| -> (f64, f64) {
        let shares: Vec<[f64; 2]> = (1..=SEEDS).map(|seed| shares(cell, pair, seed)).collect();
        let of_first = |[first, second]: [f64; 2]| first / (first + second);
        (
            median(shares.iter().copied().map(jain).collect()),
            median(shares.iter().copied().map(of_first).collect()),
        )
    };
    let (ours, _) = run([Who::Ours, Who::Ours]);
    let (peer, _) = run([Who::Quinn, Who::Quinn]);
    let (mixed, first_share) = run([Who::Ours, Who::Quinn]);
    let mut rows = vec![
        Row {
            name: cell.name("two of a kind"),
            unit: "Jain",
            ours,
            peer,
            peer_name: "quinn-proto",
        },
        Row {
            name: cell.name("ours with quinn"),
            unit: "Jain",
            ours: mixed,
            peer,
            peer_name: "quinn-proto",
        },
        Row {
            name: cell.name("ours beside quinn"),
            unit: "% of both",
            ours: first_share * 100.0,
            peer: (1.0 - first_share) * 100.0,
            peer_name: "quinn-proto",
        },
    ];
    let (_, bounded) = run([Who::DelayBounded, Who::Quinn]);
    rows.push(Row {
        name: cell.name("delay-bounded beside quinn"),
        unit: "% of both",
        ours: bounded * 100.0,
        peer: (1.0 - bounded) * 100.0,
        peer_name: "quinn-proto",
    });
    if cell.is_late {
        let (_, late) = run([Who::Quinn, Who::Ours]);
        rows.push(Row {
            name: cell.name("quinn first, ours"),
            unit: "% of both",
            ours: (1.0 - late) * 100.0,
            peer: late * 100.0,
            peer_name: "quinn-proto",
        });
    }
    for row in &rows {
        eprintln!("{}: {:.3}, quinn-proto {:.3}", row.name, row.ours, row.peer);
    }
    rows
}

/// Bytes that both delivered while it counted.
fn shares(cell: &Cell, pair: [Who; 2], seed: u8) -> [f64; 2] {
    let config = cell.config();
    let late = if cell.is_late { LATE } else { 0 };
    // A few milliseconds apart by chance otherwise, or both would do the same at the same time.
    let apart = u64::from(seed) * 7 * SECOND / 1000;
    let starts = [0, late + apart];
    let flows = starts.into_iter().zip(pair.map(|who| who.flow(&config))).collect();
    let mut world = World::new(&config, seed, flows);
    let start = late + SETTLE;
    world.run(start);
    let before = [0, 1].map(|index| world.flow(index).delivered());
    world.run(start + MEASURE);
    for (index, who) in pair.iter().enumerate() {
        if let Some(ended) = world.flow(index).ended() {
            eprintln!("{}: {who:?}: ended: {ended}", cell.name("fairness"));
        }
    }
    [0, 1].map(|index| (world.flow(index).delivered() - before[index]) as f64)
}

/// Jain's fairness index.
fn jain(shares: [f64; 2]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (shares.len() as f64 * squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jains_index() {
        assert_eq!(jain([3.0, 3.0]), 1.0);
        assert_eq!(jain([3.0, 0.0]), 0.5);
        assert!((jain([2.0, 1.0]) - 0.9).abs() < 1e-9);
    }
}
