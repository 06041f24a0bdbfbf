//! How old the newest news is: the measure of delay of Winstein, Sivaraman and Balakrishnan
//! (NSDI 2013, §5.1).
//!
//! At any moment the age is the time since that datagram was sent which, of all that have arrived,
//! was sent last. It falls when a newer one arrives and grows with the clock otherwise.

use super::link::Nanos;

/// The age that is not exceeded for 95 % of the time from `start` to `end`. `arrivals` are pairs of
/// arrival and departure, by arrival.
pub fn percentile_95(
    arrivals: impl Iterator<Item = (Nanos, Nanos)>,
    start: Nanos,
    end: Nanos,
) -> Nanos {
    let spans = spans(arrivals, start, end);
    let within = |most: Nanos| -> Nanos {
        spans.iter().map(|(age, length)| most.saturating_sub(*age).min(*length)).sum()
    };
    let wanted = (end - start) / 20 * 19;
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if within(middle) >= wanted { high = middle } else { low = middle + 1 }
    }
    low
}

/// Spans between arrivals: the age at the begin, and how long it grows from there.
fn spans(
    arrivals: impl Iterator<Item = (Nanos, Nanos)>,
    start: Nanos,
    end: Nanos,
) -> Vec<(Nanos, Nanos)> {
    let (mut spans, mut since, mut newest) = (Vec::new(), start, 0);
    for (arrived, sent) in arrivals {
        if arrived >= end {
            break;
        }
        if arrived > since {
            spans.push((since - newest, arrived - since));
            since = arrived;
        }
        newest = newest.max(sent);
    }
    spans.push((since - newest, end - since));
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_steady_stream_it_is_the_delay_and_most_of_the_gap() {
        // Sent every 10, arriving 20 later: the age runs from 20 to 30.
        let arrivals = (0..1000).map(|n| (n * 10 + 20, n * 10));
        assert_eq!(percentile_95(arrivals, 1000, 9000), 30);
        let arrivals = (0..1000).map(|n| (n * 1000 + 20_000, n * 1000));
        assert_eq!(percentile_95(arrivals, 100_000, 900_000), 20_950);
    }

    #[test]
    fn an_outage_of_a_tenth_of_the_time_counts_for_half_of_itself() {
        let arrivals = [(0, 0), (100, 100)].into_iter().chain((200..=1100).map(|n| (n, n)));
        assert_eq!(percentile_95(arrivals, 100, 1100), 50);
    }

    #[test]
    fn what_comes_late_is_no_news() {
        let arrivals = [(10, 9), (20, 5), (30, 29)].into_iter();
        assert_eq!(spans(arrivals, 10, 40), [(1, 10), (11, 10), (1, 10)]);
    }
}
