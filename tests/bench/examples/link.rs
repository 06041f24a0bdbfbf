//! One transfer through one simulated link, second by second: what to look at when a row of the
//! `links` area surprises.
//!
//!     link ours|quinn MBIT_PER_S RTT_MS LOSS_PERCENT BUFFER_BDP SECONDS SEED

use rit_bench::links::goodput::{SECOND, Who, goodput};
use rit_bench::links::link::LinkConfig;
use std::env;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |index: usize| arguments[index].parse::<f64>().expect("a number");
    let who = if arguments[0] == "ours" { Who::Ours } else { Who::Quinn };
    let mut config = LinkConfig {
        rate: (number(1) * 1e6) as u64,
        rtt: (number(2) * 1e6) as u64,
        buffer: 0,
        loss_ppm: (number(3) * 1e4) as u32,
    };
    config.buffer = ((config.bdp() as f64 * number(4)) as u64).max(16 * 1452);
    let (seconds, seed) = (number(5) as u64, number(6) as u8);
    let (mut before, mut second) = (0, 0);
    let outcome = goodput(who, &config, (seconds * SECOND, seconds), seed, |flow, overflowed| {
        second += 1;
        let delivered = flow.delivered() - before;
        before = flow.delivered();
        let share = delivered as f64 * 8.0 / config.rate as f64;
        println!("{second:3} s {share:.3}, {overflowed} overflowed; {}", flow.describe());
    });
    println!("total {:.4} {}", outcome.share, outcome.ended.unwrap_or_default());
}
