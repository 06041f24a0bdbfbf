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
/// The least and the most a run takes in virtual time.
const LEAST_TIME: Nanos = 30 * SECOND;
const MOST_TIME: Nanos = 120 * SECOND;
/// The most a run carries where nothing is lost at random.
const MOST_BYTES: u64 = 1_500_000_000;
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

    /// A hundred round trips through a full queue, so that neither the start nor the last loss
    /// decides; within bounds, and those of what a fast link would carry.
    fn time(&self) -> Nanos {
        let config = self.config();
        let queue = config.buffer * 8 * SECOND / config.rate;
        let most = if self.loss == 0 { MOST_BYTES * 8 / self.rate * 1000 } else { MOST_TIME };
        (100 * (config.rtt + queue)).clamp(LEAST_TIME.min(most), MOST_TIME.min(most))
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
    let (ours, _) = share(cell, Who::Ours);
    let (mut peer, has_ended) = share(cell, Who::Quinn);
    let mut peer_name = "quinn-proto";
    if has_ended {
        (peer, _) = share(cell, Who::QuinnOverMany);
        peer_name = "quinn-proto, 64 streams";
    }
    let row = Row { name: cell.name(), unit: "% of link", ours, peer, peer_name };
    eprintln!("{}: {ours:.2} %, {peer_name} {peer:.2} %: {:.3}", row.name, row.ratio());
    row
}

/// The median share in percent, and whether a connection was over too early.
fn share(cell: &Cell, who: Who) -> (f64, bool) {
    let run = |seed| goodput(who, &cell.config(), (cell.time(), 1), seed, |_, _| {});
    let outcomes: Vec<Outcome> = cell.seeds().map(run).collect();
    let ended: Vec<&String> = outcomes.iter().filter_map(|run| run.ended.as_ref()).collect();
    for ended in &ended {
        eprintln!("{}: {who:?} ended: {ended}", cell.name());
    }
    let has_ended = !ended.is_empty();
    (median(outcomes.iter().map(|outcome| outcome.share * 100.0).collect()), has_ended)
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
