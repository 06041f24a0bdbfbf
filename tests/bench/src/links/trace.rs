//! A link's capacity over time: the format of the mahimahi emulator, and a generator for it.
//!
//! Each line of a trace is a time in milliseconds at which the link can carry 1500 bytes; several
//! in one millisecond repeat the line; after the last the trace begins again. The generator follows
//! the model of Winstein, Sivaraman and Balakrishnan (NSDI 2013, §3.1): packets leave by a Poisson
//! process whose rate wanders as a Brownian motion, and sticks at zero in an outage for a while.

use super::link::Nanos;
use rit_core::base::Rng;

/// Bytes of one opportunity.
pub const OPPORTUNITY: u64 = 1500;
const MS: Nanos = 1_000_000;

/// When a link can carry [`OPPORTUNITY`] bytes.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Milliseconds, never falling, and the last more than zero.
    times: Vec<u64>,
}

impl Trace {
    /// Takes a file's text.
    pub fn parse(text: &str) -> Result<Trace, String> {
        let mut times = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |what: &str| format!("line {}: {what}: '{line}'", index + 1);
            let at = line.trim().parse().map_err(|_| wrong("not a time in milliseconds"))?;
            if times.last().is_some_and(|last| *last > at) {
                return Err(wrong("earlier than the line before"));
            }
            times.push(at);
        }
        match times.last() {
            None => Err("there is no line in it".into()),
            Some(0) => Err("it takes no time".into()),
            Some(1..=1_000_000_000) => Ok(Trace { times }),
            Some(_) => Err("it takes more than eleven days".into()),
        }
    }

    /// How long it takes, until it begins again.
    pub fn length(&self) -> Nanos {
        self.times.last().copied().unwrap_or(1) * MS
    }

    /// When the opportunity with this number is, counted on through all repetitions.
    pub fn at(&self, number: u64) -> Nanos {
        let count = self.times.len() as u64;
        (number / count) * self.length() + self.times[(number % count) as usize] * MS
    }

    /// The number of the first opportunity that is not before `now`.
    pub fn first_from(&self, now: Nanos) -> u64 {
        let (round, within) = (now / self.length(), now % self.length());
        let index = self.times.partition_point(|at| at * MS < within);
        let first = round * self.times.len() as u64 + index as u64;
        // The last of a round is at the moment at which the next begins.
        (first.saturating_sub(self.times.len() as u64)..=first)
            .find(|number| self.at(*number) >= now)
            .unwrap_or(first)
    }

    /// Bytes that it can carry from `start` until before `end`.
    pub fn capacity(&self, start: Nanos, end: Nanos) -> u64 {
        (self.first_from(end) - self.first_from(start)) * OPPORTUNITY
    }
}

/// What a generated link is like.
#[derive(Clone, Copy, Debug)]
pub struct Synthetic {
    /// Opportunities a second at the start, and about which the rate wanders.
    pub mean: f64,
    /// How far it wanders: opportunities a second in the root of a second.
    pub wander: f64,
    /// Share of itself by which the rate comes back to its mean in a second.
    pub pull: f64,
    /// Outages a second, and how long one takes on average, in seconds.
    pub outages: (f64, f64),
    /// Milliseconds.
    pub length: u64,
}

impl Synthetic {
    /// The trace of this seed.
    pub fn generate(&self, seed: u8) -> Trace {
        let mut random = Random(Rng::from_seed([seed; 32]));
        let (mut rate, mut outage_ends, mut times) = (self.mean, 0.0, Vec::new());
        for ms in 0..self.length {
            let step = self.wander * random.normal() * 0.001f64.sqrt();
            rate += step + (self.mean - rate) * self.pull * 0.001;
            rate = rate.clamp(0.0, self.mean * 4.0);
            let now = ms as f64 / 1e3;
            if now >= outage_ends && random.unit() < self.outages.0 * 0.001 {
                outage_ends = now - self.outages.1 * random.unit().ln();
            }
            if now >= outage_ends {
                times.extend((0..random.poisson(rate * 0.001)).map(|_| ms));
            }
        }
        times.push(self.length);
        Trace { times }
    }
}

struct Random(Rng);

impl Random {
    /// Above 0, up to 1.
    fn unit(&mut self) -> f64 {
        (self.0.below(1 << 52) + 1) as f64 / (1u64 << 52) as f64
    }

    /// Box and Muller's.
    fn normal(&mut self) -> f64 {
        let (a, b) = (self.unit(), self.unit());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    /// Knuth's, for small means.
    fn poisson(&mut self, mean: f64) -> u64 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_says_what_is_wrong() {
        assert_eq!(Trace::parse("0\n0\n3\n").unwrap().length(), 3 * MS);
        for (text, error) in [
            ("", "no line"),
            ("0\n0\n", "no time"),
            ("1\nx\n", "line 2"),
            ("1\n\n", "line 2"),
            ("5\n4\n", "line 2: earlier"),
            ("-1\n", "line 1"),
            ("1000000001\n", "eleven days"),
        ] {
            assert!(Trace::parse(text).unwrap_err().contains(error), "{text:?}");
        }
    }

    #[test]
    fn begins_again_after_the_last_line() {
        let trace = Trace::parse("1\n1\n4\n").unwrap();
        let at: Vec<Nanos> = (0..7).map(|n| trace.at(n) / MS).collect();
        assert_eq!(at, [1, 1, 4, 5, 5, 8, 9]);
        for number in 0..7 {
            let first = trace.first_from(trace.at(number));
            assert_eq!(trace.at(first), trace.at(number));
            assert!(first == 0 || trace.at(first - 1) < trace.at(first));
        }
        assert_eq!(trace.capacity(0, 4 * MS), 2 * OPPORTUNITY);
        assert_eq!(trace.capacity(0, 8 * MS), 5 * OPPORTUNITY);
        assert_eq!(trace.capacity(MS / 2, 9 * MS), 6 * OPPORTUNITY);
    }

    /// Of the first opportunity at zero, which a repetition has at the very end of the one before.
    #[test]
    fn a_trace_that_begins_at_zero_loses_nothing_where_it_repeats() {
        let trace = Trace::parse("0\n2\n").unwrap();
        assert_eq!((0..5).map(|n| trace.at(n) / MS).collect::<Vec<_>>(), [0, 2, 2, 4, 4]);
        assert_eq!(trace.first_from(2 * MS), 1);
        assert_eq!(trace.capacity(2 * MS, 4 * MS), 2 * OPPORTUNITY);
    }

    #[test]
    fn a_generated_one_has_about_its_mean_and_its_outages() {
        let steady =
            Synthetic { mean: 500.0, wander: 0.0, pull: 0.0, outages: (0.0, 0.0), length: 60_000 };
        let count = steady.generate(1).times.len();
        assert!((29_000..31_000).contains(&count), "{count}");
        let broken = Synthetic { outages: (0.2, 2.0), ..steady }.generate(1);
        let gaps = broken.times.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.max() > Some(1000) && broken.times.len() < count);
        assert_eq!(broken.times, Synthetic { outages: (0.2, 2.0), ..steady }.generate(1).times);
    }
}
