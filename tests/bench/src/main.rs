//! `rit-bench [AREA...] [--json FILE]`: measures all areas but `memory`, prints one table, and
//! writes the same rows as one JSON object a line. `tests/bench.sh` builds and runs it.

use rit_bench::cli::{self, Area};
use rit_bench::{core_area, fairness_area, handshake_area, links_area, sessions_area};
use std::process::ExitCode;

const AREAS: &[Area] = &[
    ("core", core_area::rows),
    ("handshake", handshake_area::rows),
    ("links", links_area::rows),
    ("fairness", fairness_area::rows),
    ("sessions", sessions_area::rows),
];

fn main() -> ExitCode {
    cli::run(AREAS)
}
