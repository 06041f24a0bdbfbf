//! Scenario: one connection without a node above it, over bad paths.
//!
//! Finds what the transport does wrong before anything else can hide it.

use rit_core::base::{ContactId, Path, Rng, Time};
use rit_core::crypto::Secret;
use rit_core::handshake::{Contact, PeerPolicy};
use rit_core::transport::{Config, Event, StreamError, StreamId};
use rit_tests::sim::app::fill_pattern;
use rit_tests::sim::endpoint::Endpoint;
use rit_tests::sim::net::{Datagram, EcnTreatment, LinkConfig, Net};
use rit_tests::sim::seeds;
use rit_tests::sim::sites::SiteId;
use std::collections::BTreeMap;
use std::time::Duration;

const STREAMS: u64 = 4;
const LEN: u64 = 100_000;

/// Two endpoints and the net between them.
struct Pair {
    ends: [Endpoint; 2],
    net: Net,
    now: Time,
    connected: [bool; 2],
    /// By end and stream: bytes written, bytes read and checked, end read.
    moved: [BTreeMap<StreamId, (u64, u64, bool)>; 2],
}

fn path(i: usize) -> Path {
    Path::v4([10, 0, 0, i as u8 + 1], 1000 + i as u16)
}

impl Pair {
    fn new(seed: u64, links: LinkConfig) -> Pair {
        let seeded = |n: u8| {
            let mut bytes = [n; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            bytes
        };
        let mut ends = [1, 2].map(|n| Endpoint::new(seeded(n), Config::default()));
        let contact = Contact { id: ContactId([7; 8]), key: Secret::new(seeded(3)) };
        let keys = ends.each_ref().map(Endpoint::public_key);
        ends[1].invite(contact.clone(), PeerPolicy::Exactly(keys[0]));
        let now = Time::from_micros(1_000_000);
        ends[0].open(&contact, path(1), PeerPolicy::Exactly(keys[1]), now);
        let net = Net::new(links, Rng::from_seed(seeded(4)));
        Pair { ends, net, now, connected: [false; 2], moved: Default::default() }
    }

    /// Takes all out of one end and lets its streams move.
    fn drain(&mut self, i: usize) {
        let mut buf = [0; 2048];
        loop {
            self.pump(i);
            let Some(transmit) = self.ends[i].poll_transmit(&mut buf, self.now) else { return };
            let bytes = buf[..transmit.len].to_vec();
            self.net.send(
                Datagram {
                    site: SiteId::default(),
                    src: path(i),
                    dst: transmit.path,
                    ecn: transmit.ecn,
                    bytes,
                },
                self.now,
            );
        }
    }

    fn pump(&mut self, i: usize) {
        let Some(connection) = self.ends[i].connections.first_mut() else { return };
        while let Some(event) = connection.poll_event() {
            match event {
                Event::Connected => {
                    self.connected[i] = true;
                    for _ in 0..if i == 0 { STREAMS } else { 0 } {
                        let id = connection.stream_open().expect("a stream can be opened");
                        self.moved[i].insert(id, (0, 0, false));
                    }
                }
                Event::Opened(id) => {
                    self.moved[i].insert(id, (0, 0, false));
                }
                Event::Stream(_) | Event::Path(_) | Event::Datagrams => {}
                Event::Closed(reason) => panic!("end {i} closed: {reason}"),
            }
        }
        for (&id, (written, read, ended)) in &mut self.moved[i] {
            let mut chunk = [0; 4096];
            while *written < LEN {
                let len = (LEN - *written).min(4096) as usize;
                fill_pattern(id.0, i == 0, *written, &mut chunk[..len]);
                match connection.stream_write(id, &chunk[..len]) {
                    Ok(n) => *written += n as u64,
                    Err(StreamError::Blocked) => break,
                    Err(error) => panic!("end {i} cannot write: {error}"),
                }
                if *written == LEN {
                    connection.stream_finish(id).expect("it can be finished");
                }
            }
            while !*ended {
                match connection.stream_read(id, &mut chunk) {
                    Ok(0) => *ended = true,
                    Ok(len) => {
                        let mut expected = vec![0; len];
                        fill_pattern(id.0, i != 0, *read, &mut expected);
                        assert_eq!(chunk[..len], expected, "end {i} at {read}");
                        *read += len as u64;
                    }
                    Err(StreamError::Blocked) => break,
                    Err(error) => panic!("end {i} cannot read: {error}"),
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        let all = |moved: &BTreeMap<_, (u64, u64, bool)>| {
            moved.len() as u64 == STREAMS && moved.values().all(|m| *m == (LEN, LEN, true))
        };
        self.moved.iter().all(all)
    }

    /// Runs until all is moved; how long it took.
    fn run(&mut self, limit: Duration) -> Duration {
        let start = self.now;
        (0..2).for_each(|i| self.drain(i));
        let mut steps = 0;
        while !self.is_done() {
            steps += 1;
            assert!(steps < 2_000_000, "hung at {:?}: {:?}", self.now, self.moved);
            let timeouts = self.ends.iter().filter_map(Endpoint::poll_timeout).min();
            let next = [self.net.next_arrival(), timeouts].into_iter().flatten().min();
            self.now = self.now.max(next.expect("nothing is due and not all is moved"));
            let took = self.now.since(start);
            assert!(took < limit, "slow: {:?} {:?}", self.connected, self.moved);
            if let Some(mut datagram) = self.net.pop(self.now) {
                let i = usize::from(datagram.dst == path(1));
                self.ends[i].handle_datagram(
                    datagram.src,
                    datagram.ecn,
                    &mut datagram.bytes,
                    self.now,
                );
                self.drain(i);
            } else {
                (0..2).for_each(|i| self.ends[i].handle_timeout(self.now));
                (0..2).for_each(|i| self.drain(i));
            }
        }
        self.now.since(start)
    }
}

#[test]
fn a_clean_path_is_used_well() {
    let links = LinkConfig {
        rate_bytes_per_s: Some(1_250_000),
        queue_bytes: 100_000,
        ..LinkConfig::clean(Duration::from_millis(20))
    };
    let took = Pair::new(1, links).run(Duration::from_secs(20));
    // 400 kB each way at 1.25 MB/s is 0.32 s; slow start from 40 ms round trips adds some.
    assert!(took < Duration::from_millis(1200), "{took:?}");
}

#[test]
fn a_hostile_path_delivers_every_byte() {
    seeds::run("transport", 200, |seed| {
        Pair::new(seed, LinkConfig::hostile()).run(Duration::from_secs(300));
    });
}

#[test]
fn a_very_bad_path_delivers_every_byte() {
    let links = LinkConfig {
        loss_ppm: 250_000,
        reorder_ppm: 200_000,
        duplicate_ppm: 100_000,
        corrupt_ppm: 50_000,
        ..LinkConfig::hostile()
    };
    seeds::run("very bad", 20, |seed| {
        Pair::new(seed, links.clone()).run(Duration::from_secs(3000));
    });
}

#[test]
fn a_bottleneck_that_marks_need_not_drop() {
    let queue = 32 * 1024;
    let run = |ecn| {
        let links = LinkConfig {
            rate_bytes_per_s: Some(1_250_000),
            queue_bytes: queue,
            ecn,
            ..LinkConfig::clean(Duration::from_millis(10))
        };
        let mut pair = Pair::new(9, links);
        let took = pair.run(Duration::from_secs(60));
        println!("{ecn:?}: {took:?}, {:?}", pair.net.stats);
        (took, pair.net.stats)
    };
    let (without, dropping) = run(EcnTreatment::Clear);
    let (with, marking) = run(EcnTreatment::MarkAbove(queue / 2));
    assert!(dropping.lost > 0 && dropping.marked == 0, "{dropping:?}");
    assert!(marking.lost < dropping.lost && marking.marked > 0, "{marking:?}");
    assert!(with <= without * 11 / 10, "{with:?} and {without:?}");
}
