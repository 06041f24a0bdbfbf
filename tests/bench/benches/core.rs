//! `cargo bench`: the core area's contenders, 8 MiB at a time over a connection that stays up, for
//! comparing one change with the next. Figures to print come from `tests/bench.sh`.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use rit_bench::aead::Bound;
use rit_bench::bulk::{Pair, transfer, warm_up};
use rit_bench::core_area::DATAGRAMS;
use rit_bench::ours::Ours;
#[cfg(feature = "quiche")]
use rit_bench::quiche_peer::Quiche;
use rit_bench::quinn_peer::Quinn;
use std::time::Duration;

const BYTES: u64 = 8 << 20;

fn core(criterion: &mut Criterion) {
    for datagram in DATAGRAMS {
        let mut group = criterion.benchmark_group(format!("core {datagram} B"));
        group.throughput(Throughput::Bytes(BYTES));
        group.sample_size(20).measurement_time(Duration::from_secs(3));
        carry(&mut group, "librit", Ours::new(datagram));
        carry(&mut group, "quinn-proto", Quinn::new(datagram));
        #[cfg(feature = "quiche")]
        carry(&mut group, "quiche", Quiche::new(datagram));
        let mut bound = Bound::new(datagram);
        group.bench_function("ring AEAD bound", |bencher| bencher.iter(|| bound.run(BYTES)));
        group.finish();
    }
}

/// A contender that does not send the size asked for says so in its name.
fn carry(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut pair: impl Pair) {
    warm_up(&mut pair);
    let name = format!("{name}, {} B sent", pair.take_largest());
    group.bench_function(name, |bencher| bencher.iter(|| transfer(&mut pair, BYTES)));
}

criterion_group!(benches, core);
criterion_main!(benches);
