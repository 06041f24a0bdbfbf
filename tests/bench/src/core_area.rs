//! Area `core`: one stream, memory to memory, both ends on one core, in three sizes of datagram.

use crate::aead::Bound;
use crate::bulk::{Pair, Run, run, warm_up};
use crate::ours::Ours;
#[cfg(feature = "quiche")]
use crate::quiche_peer::Quiche;
use crate::quinn_peer::Quinn;
use crate::report::Row;
use crate::settings::{Settings, median};

/// Datagram sizes: what every path carries, what an Ethernet path carries, and jumbo frames.
pub const DATAGRAMS: [usize; 3] = [1200, 1452, 8900];

/// A contender: its name, and one run of it with so large datagrams over so many bytes.
pub type Contender = (&'static str, fn(usize, u64) -> Run);

/// Us first, then whom we stand beside.
pub const CONTENDERS: &[Contender] = &[
    ("librit", |datagram, bytes| fresh(Ours::new(datagram), bytes)),
    ("quinn-proto", |datagram, bytes| fresh(Quinn::new(datagram), bytes)),
    #[cfg(feature = "quiche")]
    ("quiche", |datagram, bytes| fresh(Quiche::new(datagram), bytes)),
    ("ring AEAD bound", |datagram, bytes| Bound::new(datagram).run(bytes)),
];

fn fresh(mut pair: impl Pair, bytes: u64) -> Run {
    warm_up(&mut pair);
    run(&mut pair, bytes)
}

/// Measures all sizes.
pub fn rows(settings: &Settings) -> Vec<Row> {
    DATAGRAMS.into_iter().flat_map(|datagram| rows_of(datagram, settings)).collect()
}

fn rows_of(datagram: usize, settings: &Settings) -> Vec<Row> {
    let mut runs = vec![Vec::new(); CONTENDERS.len()];
    for round in 1..=settings.rounds {
        for ((name, contend), runs) in CONTENDERS.iter().zip(&mut runs) {
            let run = contend(datagram, settings.bytes);
            let (speed, used) = (run.gbit_per_s(), run.datagram);
            eprintln!("core {datagram} round {round}: {name}: {speed:.2} Gbit/s in {used} B");
            runs.push(run);
        }
    }
    let results: Vec<(f64, usize)> = runs.iter().map(|runs| summary(runs)).collect();
    let (ours, our_datagram) = results[0];
    let row = |(&(peer_name, _), &(peer, peer_datagram)): (&Contender, &(f64, usize))| {
        let name = label(datagram, our_datagram, peer_datagram);
        Row { name, unit: "Gbit/s", ours, peer, peer_name }
    };
    CONTENDERS.iter().zip(&results).skip(1).map(row).collect()
}

/// The median speed, and the datagram size that was used.
fn summary(runs: &[Run]) -> (f64, usize) {
    let datagram = runs.iter().map(|run| run.datagram).max().unwrap_or(0);
    (median(runs.iter().map(Run::gbit_per_s).collect()), datagram)
}

/// Says so where an end did not send what was asked of it.
fn label(asked: usize, ours: usize, peer: usize) -> String {
    let mut label = format!("core {asked} B");
    for (who, used) in [("ours", ours), ("peer", peer)] {
        if used != asked {
            label += &format!(", {who} sent {used} B");
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_figure_under_a_wrong_label() {
        assert_eq!(label(1452, 1452, 1452), "core 1452 B");
        assert_eq!(label(1452, 1200, 1452), "core 1452 B, ours sent 1200 B");
    }

    #[test]
    fn every_contender_carries_a_stream() {
        for (name, contend) in CONTENDERS {
            for datagram in DATAGRAMS {
                let run = contend(datagram, 1 << 20);
                assert!(run.bytes >= 1 << 20 && run.datagram <= datagram, "{name} {run:?}");
            }
        }
    }
}
