//! `memory [--json FILE]`: area `memory`, apart from the timed areas because counting the heap
//! takes time, and from those most who allocate most.

use rit_bench::cli::{self, Area};
use rit_bench::heap::Counting;
use rit_bench::memory_area;
use std::process::ExitCode;

#[global_allocator]
static HEAP: Counting = Counting;

const AREAS: &[Area] = &[("memory", |settings| Ok(memory_area::rows(settings)))];

fn main() -> ExitCode {
    cli::run(AREAS)
}
