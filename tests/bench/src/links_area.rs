//! Area `links`: goodput of one bulk transfer through a simulated link, as a share of the link.
//!
//! Owns which links are measured. Where loss is random, the median of some seeds counts.

use crate::links::DATAGRAM;
use crate::links::goodput::{Outcome, SECOND, Who, goodput};
use crate::links::link::{LinkConfig, Nanos};
use crate::links::parallel;
use crate::report::Row;
use crate::settings::{Settings, median};

/// Seeds of a link that loses at random: what it loses is no matter of luck then.
const SEEDS: u8 = 5;
/// Of a link that does not.
const ONE_SEED: u8 = 1;
/// Datagrams the smallest buffer holds.
const MIN_BUFFER: u64 = 16;

/// Rates in Mbit/s, round trips in milliseconds, losses in parts per million, and buffers in
/// quarters of what the link holds: of the whole grid.
const RATES: [u64; 4] = [1, 10, 100, 1000];
const RTTS: [u64; 4] = [1, 30, 100, 300];
const LOSSES: [u32; 4] = [0, 1_000, 10_000, 50_000];
const BUFFERS: [u64; 3] = [1, 4, 16];

/// A link to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    rate: u64,
    rtt: u64,
    loss: u32,
    buffer: u64,
}

/// The links measured by default: each rate, round trip, loss and buffer with several of the
/// others.
const CHOICE: [Cell; 24] = [
    cell(1, 30, 0, 4),
    cell(1, 300, 1_000, 4),
    cell(1, 100, 50_000, 4),
    cell(10, 1, 50_000, 4),
    cell(10, 30, 0, 1),
    cell(10, 30, 1_000, 4),
    cell(10, 30, 50_000, 16),
    cell(10, 100, 10_000, 4),
    cell(10, 300, 0, 16),
    cell(10, 300, 10_000, 1),
    cell(100, 1, 0, 1),
    cell(100, 1, 10_000, 4),
    cell(100, 1, 50_000, 4),
    cell(100, 30, 0, 1),
    cell(100, 30, 0, 16),
    cell(100, 30, 1_000, 1),
    cell(100, 30, 10_000, 4),
    cell(100, 100, 0, 4),
    cell(100, 100, 1_000, 4),
    cell(100, 300, 0, 1),
    cell(1000, 1, 0, 4),
    cell(1000, 1, 10_000, 4),
    cell(1000, 30, 0, 1),
    cell(1000, 100, 1_000, 4),
];

const fn cell(rate: u64, rtt: u64, loss: u32, buffer: u64) -> Cell {
    Cell { rate, rtt, loss, buffer }
}

impl Cell {
    fn config(&self) -> LinkConfig {
        let (rate, rtt) = (self.rate * 1_000_000, self.rtt * (SECOND / 1000));
        let mut config = LinkConfig { rate, rtt, buffer: 0, loss_ppm: self.loss };
        config.buffer = (config.bdp() * self.buffer / 4).max(MIN_BUFFER * DATAGRAM as u64);
        config
    }

    /// Long enough for congestion avoidance to show; where a second has many packets, and the
    /// round trips are many too, a third of that.
    fn time(&self) -> Nanos {
        if self.rate >= 1000 { 10 * SECOND } else { 30 * SECOND }
    }

    fn seeds(&self) -> std::ops::RangeInclusive<u8> {
        1..=if self.loss == 0 { ONE_SEED } else { SEEDS }
    }

    fn name(&self) -> String {
        let Cell { rate, rtt, loss, buffer } = self;
        let (loss, buffer) = (f64::from(*loss) / 1e4, *buffer as f64 / 4.0);
        format!("{rate} Mbit/s, {rtt} ms, {loss} % loss, {buffer} BDP")
    }
}

/// All there are.
fn grid() -> Vec<Cell> {
    let mut cells = Vec::new();
    for rate in RATES {
        for rtt in RTTS {
            for loss in LOSSES {
                cells.extend(BUFFERS.map(|buffer| cell(rate, rtt, loss, buffer)));
            }
        }
    }
    cells
}

/// Measures the links chosen.
pub fn rows(settings: &Settings) -> Vec<Row> {
    let cells = if settings.all_links { grid() } else { CHOICE.to_vec() };
    parallel::map(&cells, row)
}

fn row(cell: &Cell) -> Row {
    let [ours, peer] = [Who::Ours, Who::Quinn].map(|who| {
        let outcomes: Vec<Outcome> = cell
            .seeds()
            .map(|seed| goodput(who, &cell.config(), (cell.time(), 1), seed, |_, _| {}))
            .collect();
        for ended in outcomes.iter().filter_map(|outcome| outcome.ended.as_ref()) {
            eprintln!("{}: {who:?}: ended: {ended}", cell.name());
        }
        median(outcomes.into_iter().map(|outcome| outcome.share * 100.0).collect())
    });
    let row = Row { name: cell.name(), unit: "% of link", ours, peer, peer_name: "quinn-proto" };
    eprintln!("{}: {ours:.2} %, quinn-proto {peer:.2} %: {:.3}", row.name, row.ratio());
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_of_the_grid() {
        let grid = grid();
        assert!(CHOICE.iter().all(|cell| grid.contains(cell)));
        assert_eq!(grid.len(), 192);
    }

    #[test]
    fn a_buffer_of_shares_of_the_link_but_never_tiny() {
        assert_eq!(cell(100, 30, 0, 1).config().buffer, 93_750);
        assert_eq!(cell(1, 1, 0, 16).config().buffer, 16 * 1452);
    }
}
