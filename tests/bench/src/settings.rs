//! How much is measured, from the environment: small for a look, large for a figure to print.

use std::env;

/// How much each contender does, and how often.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Stream bytes of one run of the core area (`RIT_BENCH_MIB`, in MiB).
    pub bytes: u64,
    /// Runs of each contender; the median counts (`RIT_BENCH_ROUNDS`).
    pub rounds: usize,
    /// Handshakes of one run (`RIT_BENCH_HANDSHAKES`).
    pub handshakes: usize,
    /// All simulated links, rather than a choice of them (`RIT_BENCH_LINKS=all`).
    pub all_links: bool,
    /// Files of traces of cellular links; none: those that are generated.
    pub traces: Vec<String>,
    /// Where a picture of what they made of them goes.
    pub svg: Option<String>,
}

impl Settings {
    /// What the environment says; what it does not, by default.
    pub fn from_env() -> Result<Settings, String> {
        Ok(Settings {
            bytes: number("RIT_BENCH_MIB", 1024)? << 20,
            rounds: number("RIT_BENCH_ROUNDS", 5)? as usize,
            handshakes: number("RIT_BENCH_HANDSHAKES", 1000)? as usize,
            all_links: env::var_os("RIT_BENCH_LINKS").is_some_and(|text| text == "all"),
            traces: Vec::new(),
            svg: None,
        })
    }
}

/// A whole number from 1 on; a million MiB are enough for anyone.
fn number(name: &str, default: u64) -> Result<u64, String> {
    let Some(text) = env::var_os(name) else { return Ok(default) };
    let parsed = text.to_str().and_then(|text| text.parse().ok());
    parsed
        .filter(|n| (1..=1_000_000).contains(n))
        .ok_or_else(|| format!("{name} must be a whole number from 1 to 1000000"))
}

/// The median of the runs; of an even number of them, the upper one of the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
