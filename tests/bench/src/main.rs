//! `rit-bench [AREA...] [--json FILE] [--trace FILE]... [--svg FILE]`: measures all areas but
//! `memory`, prints one table, and writes the same rows as one JSON object a line. `tests/bench.sh`
//! builds and runs it.

use rit_bench::cli::{self, Area};
use rit_bench::{
    cellular_area, core_area, fairness_area, handshake_area, links_area, sessions_area,
};
use std::process::ExitCode;

const AREAS: &[Area] = &[
    ("core", |settings| Ok(core_area::rows(settings))),
    ("handshake", |settings| Ok(handshake_area::rows(settings))),
    ("links", |settings| Ok(links_area::rows(settings))),
    ("fairness", |settings| Ok(fairness_area::rows(settings))),
    ("cellular", cellular_area::rows),
    ("sessions", |settings| Ok(sessions_area::rows(settings))),
];

fn main() -> ExitCode {
    cli::run(AREAS)
}
