//! CPU time of this thread: on a machine that others use too, wall time measures them.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CPU time this thread has used.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // The kernel counts up from zero, with fewer than 10^9 nanoseconds.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs `work` and adds the CPU time it took to `sum`.
pub fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = cpu_time();
    let result = work();
    *sum += cpu_time() - start;
    result
}
