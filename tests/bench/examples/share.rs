//! Two transfers through one simulated link, second by second.
//!
//!     share ours|quinn ours|quinn MBIT_PER_S RTT_MS BUFFER_BDP SECONDS LATE_S SEED

use rit_bench::links::goodput::{SECOND, Who};
use rit_bench::links::link::LinkConfig;
use rit_bench::links::world::World;
use std::env;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |index: usize| arguments[index].parse::<f64>().expect("a number");
    let who = |index: usize| if arguments[index] == "ours" { Who::Ours } else { Who::Quinn };
    let mut config = LinkConfig {
        rate: (number(2) * 1e6) as u64,
        rtt: (number(3) * 1e6) as u64,
        buffer: 0,
        loss_ppm: 0,
    };
    config.buffer = ((config.bdp() as f64 * number(4)) as u64).max(16 * 1452);
    let starts = [0, (number(6) * 1e9) as u64];
    let flows = starts.into_iter().zip([0, 1].map(|i| who(i).flow(&config))).collect();
    let mut world = World::new(&config, number(7) as u8, flows);
    let mut before = [0; 2];
    for second in 1..=number(5) as u64 {
        world.run(second * SECOND);
        for (index, before) in before.iter_mut().enumerate() {
            let flow = world.flow(index);
            let share = (flow.delivered() - *before) as f64 * 8.0 / config.rate as f64;
            *before = flow.delivered();
            println!("{second:3} s {index} {share:.3}; {}", flow.describe());
        }
    }
}
