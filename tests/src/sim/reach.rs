//! Which pairs of boxes two ends can meet through, from first principles: the oracle of the tests.
//!
//! Owns the rule and nothing of how the core goes about it. Names: S is an end whose outside port
//! stays the same whomever it sends to (no translation, or endpoint-independent mapping), D one
//! whose port depends on whom it sends to. Each end knows the other's address and port as the
//! broker saw it. Boxes choose ports at random, which is the worst they can do.
//!
//! 1. S and S: both send to the port that the broker saw. What goes out opens the filter for
//!    exactly what comes in. Direct, whatever the filters.
//! 2. S and D: what D sends comes from a port that S could not know. It passes the filter of S if
//!    that lets in any port of D's address, as S sent to that address: all filters but the
//!    address-and-port-dependent one. S then answers to where it came from. Direct.
//!    With that filter S must have sent to that very port before: it tries many, while D sends
//!    from many. Direct by birthday search.
//! 3. D and D: the only port that one knows of the other is the one the broker saw, and only a
//!    filter that lets in strangers takes anything there. Say X has such a filter and Y sends to
//!    that port. X answers to where that came from, and its answer has another port of X's
//!    address: Y's filter takes it unless it is address-and-port-dependent. From then on Y may send
//!    to any port of X, and X goes on sending to the one that Y sent from: direct, though with
//!    address-and-port-dependent mappings at both ends what comes from the peer never comes from
//!    where it is sent to. RFC 9000 §8.2.3 allows that: an answer validates the path of the
//!    question, wherever it comes from. One end only may follow the other there: if both did, they
//!    would do so for ever.
//!    In all other cases of D and D both would have to guess at once: relayed.
//! 4. Where UDP is blocked there is nothing but the relay's TCP.

use super::nat::{Filtering, Mapping};
use std::fmt;

/// How two ends reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Straight.
    Direct,
    /// Straight, after trying many ports.
    Searched,
    /// Through a relay.
    Relayed,
    /// Not at all.
    None,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Direct => "direct",
            Outcome::Searched => "search",
            Outcome::Relayed => "relayed",
            Outcome::None => "none",
        })
    }
}

/// An end's box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// What its outside port depends on.
    pub mapping: Mapping,
    /// What it lets in.
    pub filtering: Filtering,
}

impl End {
    fn is_stable(self) -> bool {
        matches!(self.mapping, Mapping::None | Mapping::EndpointIndependent)
    }

    fn takes_strangers(self) -> bool {
        matches!(self.filtering, Filtering::None | Filtering::EndpointIndependent)
    }

    fn takes_any_port(self) -> bool {
        self.filtering != Filtering::AddressAndPortDependent
    }
}

/// What two ends that can both send UDP must come to; the order of the ends does not matter.
pub fn expected(a: End, b: End) -> Outcome {
    match (a.is_stable(), b.is_stable()) {
        (true, true) => Outcome::Direct,
        (true, false) if a.takes_any_port() => Outcome::Direct,
        (false, true) if b.takes_any_port() => Outcome::Direct,
        (true, false) | (false, true) => Outcome::Searched,
        (false, false) if is_answer_met(a, b) => Outcome::Direct,
        (false, false) => Outcome::Relayed,
    }
}

/// Rule 3.
fn is_answer_met(a: End, b: End) -> bool {
    let opens = |x: End, y: End| x.takes_strangers() && y.takes_any_port();
    opens(a, b) || opens(b, a)
}

/// All mappings, the most open first.
pub const MAPPINGS: [Mapping; 4] = [
    Mapping::None,
    Mapping::EndpointIndependent,
    Mapping::AddressDependent,
    Mapping::AddressAndPortDependent,
];

/// All filterings, the most open first.
pub const FILTERINGS: [Filtering; 4] = [
    Filtering::None,
    Filtering::EndpointIndependent,
    Filtering::AddressDependent,
    Filtering::AddressAndPortDependent,
];

/// Every pair of a mapping of `mappings` and a filtering.
pub fn ends(mappings: &[Mapping]) -> Vec<End> {
    let of = |&mapping: &Mapping| FILTERINGS.map(|filtering| End { mapping, filtering });
    mappings.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Mapping = Mapping::AddressDependent;
    const PORT: Mapping = Mapping::AddressAndPortDependent;
    const CONE: Mapping = Mapping::EndpointIndependent;
    const F_ALL: Filtering = Filtering::EndpointIndependent;
    const F_ADDRESS: Filtering = Filtering::AddressDependent;
    const F_PORT: Filtering = Filtering::AddressAndPortDependent;

    fn end(mapping: Mapping, filtering: Filtering) -> End {
        End { mapping, filtering }
    }

    #[test]
    fn the_textbook_pairs_come_out_as_the_textbooks_say() {
        // In the words of RFC 3489: full cone, restricted, port restricted, symmetric.
        let full = end(CONE, F_ALL);
        let restricted = end(CONE, F_ADDRESS);
        let port_restricted = end(CONE, F_PORT);
        let symmetric = end(PORT, F_PORT);
        let cones = [full, restricted, port_restricted];
        for (a, b) in cones.iter().flat_map(|a| cones.map(|b| (*a, b))) {
            assert_eq!(expected(a, b), Outcome::Direct);
        }
        assert_eq!(expected(full, symmetric), Outcome::Direct);
        assert_eq!(expected(restricted, symmetric), Outcome::Direct);
        assert_eq!(expected(port_restricted, symmetric), Outcome::Searched);
        assert_eq!(expected(symmetric, symmetric), Outcome::Relayed);
    }

    #[test]
    fn two_dependent_mappings_meet_only_where_a_stranger_is_let_in_and_then_an_answer() {
        let direct = [(F_ALL, F_ALL), (F_ALL, F_ADDRESS)];
        let relayed = [(F_ALL, F_PORT), (F_ADDRESS, F_ADDRESS), (F_ADDRESS, F_PORT)];
        for (a, b) in [(ADDRESS, ADDRESS), (ADDRESS, PORT), (PORT, PORT)] {
            for (f, g) in direct {
                assert_eq!(expected(end(a, f), end(b, g)), Outcome::Direct, "{a:?} {b:?}");
            }
            for (f, g) in relayed {
                assert_eq!(expected(end(a, f), end(b, g)), Outcome::Relayed, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn the_order_does_not_matter() {
        let all = ends(&MAPPINGS);
        assert_eq!(all.len(), 16);
        for (a, b) in all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b))) {
            assert_eq!(expected(a, b), expected(b, a), "{a:?} {b:?}");
        }
    }
}
