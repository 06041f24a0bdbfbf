//! Runs one scenario over many seeds, on two threads, and names each seed that fails.
//!
//! `RIT_SEED=n` runs that seed alone; `RIT_SEEDS=n` runs n seeds instead of the default.

use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Threads that share the seeds. Two: what the project's machines have.
const THREADS: usize = 2;

/// Failures after which no new seed is started.
const FAILURES_SHOWN: usize = 5;

/// Runs `scenario` once per seed; panics at the end with every seed that failed.
pub fn run(name: &str, default_count: u64, scenario: impl Fn(u64) + Sync) {
    let (first, count) = match number("RIT_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("RIT_SEEDS").unwrap_or(default_count)),
    };
    let next = AtomicU64::new(first);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let failed = failures.lock().expect("no thread panics here").len();
                    if seed >= first + count || failed >= FAILURES_SHOWN {
                        return;
                    }
                    if let Err(cause) = panic::catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
                        let text = message(cause.as_ref());
                        eprintln!("{name}: seed {seed} failed: {text}");
                        failures.lock().expect("no thread panics here").push((seed, text));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no thread panics here");
    if let Some((seed, text)) = failures.first() {
        let seeds: Vec<u64> = failures.iter().map(|&(seed, _)| seed).collect();
        panic!("{name}: seeds {seeds:?} failed; replay one with RIT_SEED={seed}: {text}");
    }
}

fn message(cause: &(dyn std::any::Any + Send)) -> String {
    cause
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without text".to_owned())
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seed_once_and_failures_named() {
        let seen = Mutex::new(Vec::new());
        run("count", 100, |seed| seen.lock().expect("no panic").push(seed));
        let mut seen = seen.into_inner().expect("no panic");
        seen.sort_unstable();
        if env::var("RIT_SEED").is_err() && env::var("RIT_SEEDS").is_err() {
            assert_eq!(seen, (0..100).collect::<Vec<_>>());
        }
        let failed = panic::catch_unwind(|| run("fail", 1, |seed| assert_ne!(seed, seed)));
        let text = message(failed.expect_err("every seed failed").as_ref());
        assert!(text.contains("RIT_SEED="), "{text}");
    }
}
