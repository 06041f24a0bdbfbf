//! Area `handshake`: complete handshakes per second of one core that runs both ends, and of one
//! that runs the responder alone.
//!
//! A handshake counts once both ends have keys and have authenticated each other.

use crate::clock::timed;
use crate::report::Row;
use crate::settings::{Settings, median};
use crate::{ours, quinn_peer, tls};
use rit_core::base::Time;
use std::time::Duration;

/// Datagrams of the smallest size: no end pads to more.
const DATAGRAM: usize = 1200;

/// One handshake: adds the CPU time of both ends to the first, of the responder to the second.
type Handshake = Box<dyn FnMut(&mut Duration, &mut Duration)>;

/// Us first, then whom we stand beside.
fn contenders() -> Vec<(&'static str, Handshake)> {
    let mut ends = ours::Ends::new(DATAGRAM);
    let configs = tls::Configs::new();
    let mut endpoints = quinn_peer::Ends::new(DATAGRAM);
    vec![
        (
            "librit",
            Box::new(move |both, responder| {
                timed(both, || ends.connect(Time::ZERO, responder));
            }),
        ),
        (
            "rustls alone",
            Box::new(move |both, responder| timed(both, || configs.handshake(responder))),
        ),
        ("quinn-proto", Box::new(move |both, responder| endpoints.handshake(both, responder))),
    ]
}

/// Measures all contenders, of both ends and of the responder.
pub fn rows(settings: &Settings) -> Vec<Row> {
    let mut contenders = contenders();
    let mut speeds = vec![[Vec::new(), Vec::new()]; contenders.len()];
    for round in 0..=settings.rounds {
        for ((name, handshake), speeds) in contenders.iter_mut().zip(&mut speeds) {
            let per_second = run(handshake, settings.handshakes);
            // The first round is for caches and branch predictors.
            if round == 0 {
                continue;
            }
            let [both, responder] = per_second;
            eprintln!("handshake round {round}: {name}: {both:.0}/s, responder {responder:.0}/s");
            speeds.iter_mut().zip(per_second).for_each(|(speeds, speed)| speeds.push(speed));
        }
    }
    let medians: Vec<[f64; 2]> = speeds.into_iter().map(|both| both.map(median)).collect();
    let names = ["handshake, both ends", "handshake, responder"];
    let row = |end: usize, peer: usize| Row {
        name: names[end].into(),
        unit: "1/s",
        ours: medians[0][end],
        peer: medians[peer][end],
        peer_name: contenders[peer].0,
    };
    (0..names.len())
        .flat_map(|end| (1..medians.len()).map(move |peer| (end, peer)))
        .map(|(end, peer)| row(end, peer))
        .collect()
}

/// Handshakes per second of CPU time: of both ends, and of the responder.
fn run(handshake: &mut Handshake, count: usize) -> [f64; 2] {
    let (mut both, mut responder) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..count {
        handshake(&mut both, &mut responder);
    }
    [both, responder].map(|time| count as f64 / time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_shakes_hands_again_and_again() {
        for (name, mut handshake) in contenders() {
            let [both, responder] = run(&mut handshake, 3);
            assert!(both > 0.0 && responder > both, "{name}");
        }
    }
}
