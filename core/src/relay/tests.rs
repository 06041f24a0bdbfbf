//! Every rule of the relay, by what ends, strangers and an attacker on the path can send.

mod expiry;

use super::*;
use crate::base::PublicKey;
use crate::crypto::default_provider;
use crate::trust::{issue_relay_token, relay_pseudonym, sign_bind, verify_bound};
use crate::wire::relay::{RelayToken, write_bind};
use std::vec;
use std::vec::Vec;

const WALL: u64 = 1_750_000_000;
const SECOND: Duration = Duration::from_secs(1);
const I: Side = Side::Initiator;
const R: Side = Side::Responder;

fn secret() -> Secret {
    Secret::new([7; 32])
}

fn at(host: u8) -> Path {
    Path::v4([192, 0, 2, host], 4000)
}

fn channel(n: u8) -> ChannelId {
    ChannelId([n; 8])
}

/// One end, as its node would run it.
struct Peer {
    token: RelayToken,
    side: Side,
    channel: ChannelId,
    path: Path,
    sequence: u64,
    cookie: [u8; 8],
}

impl Peer {
    fn of(side: Side, claims: impl FnOnce(&mut Claims)) -> Peer {
        let host = if side == I { 1 } else { 2 };
        let node = relay_pseudonym(default_provider(), &secret(), &PublicKey([host; 32]));
        let expires_min = (WALL / 60) as u32 + 60;
        let mut all = Claims { channel: channel(1), side, rate: 0, expires_min, node };
        claims(&mut all);
        let token = issue_relay_token(default_provider(), &secret(), &all);
        let path = at(host);
        Peer { token, side, channel: all.channel, path, sequence: 0, cookie: [0; 8] }
    }

    fn new(side: Side) -> Peer {
        Peer::of(side, |_| ())
    }

    fn key(&self) -> Secret {
        relay_end_key(default_provider(), &secret(), &self.token)
    }

    fn bind(&mut self, payload: &[u8]) -> Vec<u8> {
        self.sequence += 1;
        let bind = Bind { token: self.token, sequence: self.sequence, cookie: self.cookie };
        let mut bytes = vec![0; BIND_OVERHEAD];
        write_bind(&mut Writer::new(&mut bytes), &bind, self.side).unwrap();
        bytes.extend(payload);
        assert!(sign_bind(default_provider(), &self.key(), &mut bytes));
        bytes
    }

    fn data(&self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; DATA_OVERHEAD];
        write_data(&mut Writer::new(&mut bytes), self.side, self.channel).unwrap();
        bytes.extend(payload);
        bytes
    }

    /// Reads an answer, as its node would, and keeps the cookie.
    fn hear(&mut self, bytes: &[u8]) -> Bound {
        assert!(verify_bound(default_provider(), &self.key(), bytes));
        let Ok(RelayDatagram::Bound(bound)) = RelayDatagram::parse(bytes) else {
            panic!("no answer: {bytes:?}")
        };
        assert_eq!((bound.side, bound.channel), (self.side, self.channel));
        assert_eq!(bound.sequence, self.sequence);
        self.cookie = bound.cookie;
        bound
    }
}

type Sent = Vec<(Path, Vec<u8>)>;

struct Bench {
    relay: Relay,
    now: Time,
}

impl Bench {
    fn with(limits: Limits) -> Bench {
        let (now, rng) = (Time::from_micros(5_000_000), Rng::from_seed([3; 32]));
        Bench { relay: Relay::new(default_provider(), secret(), limits, rng, WALL, now), now }
    }

    fn new() -> Bench {
        Bench::with(Limits::default())
    }

    /// What the relay sends for a datagram: its own first, then what it passes on.
    fn send(&mut self, from: Path, datagram: &[u8]) -> Sent {
        let mut datagram = datagram.to_vec();
        let forward = self.relay.handle_datagram(from, &mut datagram, self.now);
        let mut sent = self.drain();
        sent.extend(forward.map(|f| (f.to, datagram[f.range].to_vec())));
        sent
    }

    fn drain(&mut self) -> Sent {
        let mut buf = [0; TRANSMIT_LEN_MAX];
        let mut sent = Vec::new();
        while let Some(transmit) = self.relay.poll_transmit(&mut buf) {
            sent.push((transmit.path, buf[..transmit.len].to_vec()));
        }
        sent
    }

    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.relay.handle_timeout(self.now);
    }

    /// Binds, and proves the address.
    fn validate(&mut self, peer: &mut Peer) {
        for _ in 0..2 {
            let bind = peer.bind(&[]);
            let sent = self.send(peer.path, &bind);
            assert_eq!(sent[0].0, peer.path);
            peer.hear(&sent[0].1);
        }
    }

    fn pair(&mut self) -> [Peer; 2] {
        let mut peers = [Peer::new(I), Peer::new(R)];
        peers.iter_mut().for_each(|peer| self.validate(peer));
        peers
    }

    fn passes(&mut self, from: &Peer, to: Path) -> bool {
        let data = from.data(b"is it open?");
        let sent = self.send(from.path, &data);
        assert!(sent.is_empty() || sent == [(to, data)], "{sent:?}");
        !sent.is_empty()
    }
}

#[test]
fn what_either_end_sends_comes_to_the_other_unchanged() {
    let mut bench = Bench::new();
    let [mut i, r] = bench.pair();
    assert!(bench.passes(&i, r.path) && bench.passes(&r, i.path));
    let bind = i.bind(b"more");
    let sent = bench.send(i.path, &bind);
    let bound = i.hear(&sent[0].1);
    assert_eq!((bound.observed, bound.is_peer_bound), (i.path, true));
    assert_eq!(sent[1..], [(r.path, i.data(b"more"))], "a bind's payload goes as data");
    let stats = bench.relay.stats();
    assert_eq!((stats.channels, stats.forwarded, stats.dropped), (1, 3, 0));
    assert_eq!(stats.forwarded_bytes, 2 * (9 + 11) + 9 + 4);
}

#[test]
fn datagrams_that_came_together_fare_as_one_by_one() {
    for rate in [0, 5] {
        let mut benches = [Bench::new(), Bench::new()];
        let mut i = Peer::of(I, |claims| claims.rate = rate);
        benches.iter_mut().for_each(|bench| {
            bench.validate(&mut i);
            i.cookie = [0; 8];
            // Not validated: it may have little.
            let mut r = Peer::new(R);
            bench.send(r.path, &r.bind(&[1; 2000]));
        });
        let stranger = [9; DATA_OVERHEAD + 700];
        let other = Peer::of(I, |claims| claims.channel = channel(2)).data(&[0; 700]);
        let mine = i.data(&[7; 700]);
        let order = [0, 0, 1, 0, 0, 0, 2, 0, 0].map(|n| [&mine[..], &stranger, &other][n]);
        let mut together = order.repeat(9).concat();
        together.truncate(together.len() - 300);
        let size = mine.len();
        let [one, all] = &mut benches;
        let alone: Sent = together.chunks(size).flat_map(|d| one.send(i.path, d)).collect();
        let (mut joined, mut rest) = (Sent::new(), &mut together[..]);
        while !rest.is_empty() {
            let (taken, forward) = all.relay.handle_datagrams(i.path, rest, size, all.now);
            let pass =
                |f: Forward| joined.extend(rest[f.range].chunks(size).map(|d| (f.to, d.to_vec())));
            forward.into_iter().for_each(pass);
            rest = &mut rest[taken..];
        }
        assert!(alone == joined && !joined.is_empty());
        assert_eq!(one.relay.stats(), all.relay.stats());
        let stats = one.relay.stats();
        assert!(stats.over_rate + stats.over_limit > 0 && stats.dropped > 0, "{stats:?}");
    }
}

#[test]
fn each_bind_has_one_answer_which_is_not_longer() {
    let mut bench = Bench::new();
    let mut i = Peer::new(I);
    for _ in 0..3 {
        let bind = i.bind(&[]);
        let sent = bench.send(i.path, &bind);
        assert_eq!(sent.len(), 1);
        assert!(sent[0].1.len() <= bind.len());
        assert!(!i.hear(&sent[0].1).is_peer_bound);
    }
}

#[test]
fn forgeries_get_no_answer() {
    let mut bench = Bench::new();
    let [mut i, r] = bench.pair();
    let good = i.bind(b"payload");
    let before = bench.relay.stats();
    for at in 0..good.len() {
        let mut forged = good.clone();
        forged[at] ^= 1;
        assert_eq!(bench.send(i.path, &forged), [], "{at}");
        assert_eq!(bench.send(i.path, &good[..at]), [], "{at}");
    }
    let after = bench.relay.stats();
    assert_eq!(after.dropped, before.dropped + 2 * good.len() as u64);
    // Another relay's token, an answer, an unknown channel, a data datagram cut short.
    let theirs = Peer::new(I);
    let other = Secret::new([8; 32]);
    let claims = theirs.token.claims().unwrap();
    let mut foreign =
        Peer { token: issue_relay_token(default_provider(), &other, &claims), ..theirs };
    let bind = foreign.bind(b"payload");
    assert_eq!(bench.send(i.path, &bind), []);
    let bind = i.bind(&[]);
    let answer = bench.send(i.path, &bind).remove(0).1;
    assert_eq!(bench.send(i.path, &answer), []);
    let unknown = Peer::of(I, |claims| claims.channel = channel(9));
    assert_eq!(bench.send(i.path, &unknown.data(b"x")), []);
    assert_eq!(bench.send(i.path, &r.data(b"")[..8]), []);
    assert_eq!(bench.send(i.path, &[]), []);
    assert_eq!(bench.relay.stats().channels, 1);
}

#[test]
fn the_other_sides_token_binds_only_the_other_side() {
    let mut bench = Bench::new();
    let [i, r] = bench.pair();
    // The initiator's token with the responder's first byte, its tag made anew.
    let mut wrong = Peer { side: R, ..Peer::new(I) };
    let bind = wrong.bind(b"payload");
    assert_eq!(bench.send(at(9), &bind), []);
    // Data of the other side from one's own address.
    assert_eq!(bench.send(i.path, &r.data(b"echo")), []);
    assert!(bench.passes(&i, r.path));
}

#[test]
fn data_from_a_foreign_address_is_dropped() {
    let mut bench = Bench::new();
    let [i, r] = bench.pair();
    assert_eq!(bench.send(at(9), &i.data(b"x")), []);
    let port = Path { port: i.path.port + 1, ..i.path };
    assert_eq!(bench.send(port, &i.data(b"x")), []);
    assert_eq!(bench.send(Path { ifindex: 2, ..i.path }, &i.data(b"x")), [], "another socket");
    assert_eq!(bench.relay.stats().dropped, 3);
    assert!(bench.passes(&i, r.path));
}

#[test]
fn a_replayed_bind_moves_nobody() {
    let mut bench = Bench::new();
    let mut peers = [Peer::new(I), Peer::new(R)];
    let first = peers[0].bind(b"hello");
    let sent = bench.send(peers[0].path, &first);
    peers[0].hear(&sent[0].1);
    bench.validate(&mut peers[1]);
    let [mut i, r] = peers;
    // Before the address is validated, and after.
    for _ in 0..2 {
        let replayed = bench.send(at(66), &first);
        assert_eq!(replayed.len(), 1, "an answer, and no payload passed on");
        assert_eq!(replayed[0].0, at(66));
        assert!(replayed[0].1.len() <= first.len());
        assert!(bench.passes(&r, i.path));
        let with_cookie = i.bind(&[]);
        let sent = bench.send(i.path, &with_cookie);
        i.hear(&sent[0].1);
        assert_eq!(bench.send(at(66), &with_cookie).len(), 1, "a cookie is for one address");
        assert!(bench.passes(&r, i.path));
    }
}

#[test]
fn an_end_that_moves_echoes_the_cookie_sent_there() {
    let mut bench = Bench::new();
    let [mut i, r] = bench.pair();
    let old = i.path;
    i.path = at(11);
    let bind = i.bind(b"x");
    let sent = bench.send(i.path, &bind);
    assert_eq!((sent.len(), sent[0].0), (1, i.path));
    assert_eq!(i.hear(&sent[0].1).observed, i.path);
    assert!(bench.passes(&r, old), "not yet");
    let moving = i.bind(b"x");
    let sent = bench.send(i.path, &moving);
    assert_eq!(sent.len(), 2, "an answer, and the payload passed on");
    assert!(bench.passes(&r, i.path) && bench.passes(&i, r.path));
    i.hear(&sent[0].1);
    // It goes back; who recorded how it moved cannot move it again.
    let away = core::mem::replace(&mut i.path, old);
    bench.validate(&mut i);
    assert_eq!(bench.send(away, &moving).len(), 1);
    assert!(bench.passes(&r, old));
}

#[test]
fn a_cookie_is_good_for_its_slot_and_the_next() {
    for (wait, is_good) in [(0, true), (59, true), (60, false)] {
        let mut bench = Bench::new();
        bench.now = Time::from_micros(COOKIE_SLOT_US * 4);
        let [mut i, mut r] = bench.pair();
        i.path = at(11);
        let bind = i.bind(&[]);
        let sent = bench.send(i.path, &bind);
        i.hear(&sent[0].1);
        for _ in 0..wait {
            bench.pass(SECOND);
            bench.validate(&mut r);
        }
        let bind = i.bind(&[]);
        bench.send(i.path, &bind);
        assert!(bench.passes(&r, if is_good { at(11) } else { at(1) }), "{wait}");
    }
}

#[test]
fn a_victim_gets_at_most_three_times_what_the_attacker_sent() {
    let mut bench = Bench::new();
    let mut i = Peer::new(I);
    bench.validate(&mut i);
    // The attacker owns both ends, and binds one with the victim's address.
    let (mut r, victim) = (Peer::new(R), at(99));
    let (mut spent, mut got) = (0, 0);
    let mut count = |sent: Sent| {
        got += sent.iter().filter(|(to, _)| *to == victim).map(|(_, b)| b.len()).sum::<usize>();
        got
    };
    for round in 0..200 {
        if round % 50 == 0 {
            let bind = r.bind(&[0; 30]);
            spent += bind.len();
            count(bench.send(victim, &bind));
        }
        if round % 7 == 0 {
            let data = r.data(b"spoofed");
            spent += data.len();
            count(bench.send(victim, &data));
        }
        let got = count(bench.send(i.path, &i.data(&[0; 100])));
        assert!(got <= 3 * spent, "{got} for {spent}");
    }
    let got = count(Vec::new());
    assert!(got > 2 * spent, "{got} for {spent}: it is used");
    assert!(bench.relay.stats().over_limit > 100);
    // The same where the address is another's already, and with a payload kept for it.
    let mut bench = Bench::new();
    let [mut i, _] = bench.pair();
    let bind = i.bind(&[0; 500]);
    assert!(bench.send(victim, &bind)[0].1.len() <= bind.len());
    let mut bench = Bench::new();
    bench.validate(&mut i);
    assert_eq!(bench.send(i.path, &i.data(&[0; 1400])), []);
    let bind = Peer::new(R).bind(&[]);
    let sent: usize = bench.send(victim, &bind).iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(sent <= 3 * bind.len());
}

#[test]
fn the_last_payload_waits_for_the_other_end() {
    let mut bench = Bench::new();
    let (mut i, mut r) = (Peer::new(I), Peer::new(R));
    let bind = i.bind(&[1; 1000]);
    assert_eq!(bench.send(i.path, &bind).len(), 1);
    assert_eq!(bench.send(i.path, &i.data(&[2; 1200])), []);
    assert_eq!(bench.relay.stats().kept, 1);
    bench.pass(SECOND * 5 - Duration::from_micros(1));
    let bind = r.bind(&[3; 1200]);
    let sent = bench.send(r.path, &bind);
    assert!(r.hear(&sent[0].1).is_peer_bound);
    assert_eq!(sent[1..], [(r.path, i.data(&[2; 1200])), (i.path, r.data(&[3; 1200]))]);
    assert_eq!((bench.relay.stats().kept, bench.relay.stats().forwarded), (0, 2));
    let bind = r.bind(&[]);
    assert_eq!(bench.send(r.path, &bind).len(), 1, "once");
}

#[test]
fn a_short_bind_gets_what_waits_once_it_has_echoed_its_cookie() {
    let mut bench = Bench::new();
    let (mut i, mut r) = (Peer::new(I), Peer::new(R));
    let bind = i.bind(&[1; 1200]);
    bench.send(i.path, &bind);
    let bind = r.bind(&[]);
    let sent = bench.send(r.path, &bind);
    assert_eq!(sent.len(), 1);
    r.hear(&sent[0].1);
    let bind = r.bind(&[]);
    assert_eq!(bench.send(r.path, &bind)[1..], [(r.path, i.data(&[1; 1200]))]);
}

#[test]
fn nothing_waits_too_long_or_is_too_large() {
    let mut bench = Bench::new();
    let mut i = Peer::new(I);
    let bind = i.bind(&[1; KEPT_LEN_MAX + 1]);
    bench.send(i.path, &bind);
    assert_eq!(bench.relay.stats().kept, 0);
    let bind = i.bind(&[1; KEPT_LEN_MAX]);
    bench.send(i.path, &bind);
    assert_eq!(bench.relay.stats().kept, 1);
    assert_eq!(bench.relay.poll_timeout(), Some(bench.now + KEPT_FOR));
    bench.pass(KEPT_FOR);
    assert_eq!(bench.relay.stats().kept, 0);
    let mut r = Peer::new(R);
    let bind = r.bind(&[0; 1000]);
    assert_eq!(bench.send(r.path, &bind).len(), 2, "an answer, and its own payload passed on");
    // A caller late with its timers does not bring old payloads back.
    let mut bench = Bench::new();
    let bind = i.bind(&[1; 100]);
    bench.send(i.path, &bind);
    bench.now = bench.now + KEPT_FOR;
    let bind = r.bind(&[]);
    assert_eq!(bench.send(r.path, &bind).len(), 1);
}

#[test]
fn both_ends_may_be_behind_one_address() {
    let mut bench = Bench::new();
    let (mut i, mut r) = (Peer::new(I), Peer::new(R));
    r.path = Path { port: 5000, ..i.path };
    bench.validate(&mut i);
    bench.validate(&mut r);
    assert!(bench.passes(&i, r.path) && bench.passes(&r, i.path));
    let mut bench = Bench::new();
    r.path = i.path;
    (i.cookie, r.cookie) = ([0; 8], [0; 8]);
    bench.validate(&mut i);
    bench.validate(&mut r);
    assert!(bench.passes(&i, r.path) && bench.passes(&r, i.path), "to the port too");
}

#[test]
fn a_channel_ends_after_a_minute_without_a_datagram_of_its_ends() {
    let mut bench = Bench::new();
    let [i, r] = bench.pair();
    let bind = Peer::new(I).bind(&[]);
    for _ in 0..3 {
        bench.pass(IDLE - Duration::from_micros(1));
        assert!(bench.passes(&i, r.path), "either keeps it");
    }
    bench.pass(IDLE - SECOND);
    // Strangers do not.
    bench.send(at(9), &i.data(b"x"));
    bench.send(at(9), &bind);
    bench.pass(SECOND);
    assert_eq!(bench.relay.stats().channels, 0);
    assert!(!bench.passes(&i, r.path));
    assert_eq!(bench.relay.poll_timeout(), None);
    let [i, r] = bench.pair();
    assert!(bench.passes(&i, r.path), "and begins again");
}

#[test]
fn channels_are_limited_in_total() {
    let mut bench = Bench::with(Limits { channels: 2, ..Limits::default() });
    let of = |n| Peer::of(I, |claims| (claims.channel, claims.node) = (channel(n), [n; 8]));
    let mut peers: Vec<Peer> = (0..3).map(of).collect();
    for (peer, answers) in peers.iter_mut().zip([1, 1, 0]) {
        let bind = peer.bind(b"x");
        assert_eq!(bench.send(peer.path, &bind).len(), answers);
    }
    assert_eq!((bench.relay.stats().channels, bench.relay.stats().over_limit), (2, 1));
    let mut other = Peer::of(R, |claims| claims.channel = channel(1));
    let bind = other.bind(b"x");
    assert_eq!(bench.send(other.path, &bind).len(), 3, "those that are there go on");
    bench.pass(IDLE);
    let bind = peers[2].bind(b"x");
    assert_eq!(bench.send(peers[2].path, &bind).len(), 1);
}

#[test]
fn channels_are_limited_by_node() {
    let mut bench = Bench::with(Limits { channels_per_node: 2, ..Limits::default() });
    // An initiator in some, a responder in others.
    let same = |n| {
        let side = if n == 1 { R } else { I };
        Peer::of(side, |claims| (claims.channel, claims.node) = (channel(n), [5; 8]))
    };
    let mut peers: Vec<Peer> = (0..3).map(same).collect();
    for (peer, answers) in peers.iter_mut().zip([1, 1, 0]) {
        let bind = peer.bind(b"x");
        assert_eq!(bench.send(peer.path, &bind).len(), answers);
    }
    let mut other = Peer::of(R, |claims| claims.channel = channel(2));
    let bind = other.bind(b"x");
    assert_eq!(bench.send(other.path, &bind).len(), 1, "another node");
    assert_eq!(bench.relay.stats().channels, 3);
    let bind = peers[2].bind(b"x");
    assert_eq!(bench.send(peers[2].path, &bind), [], "nor into one that is there");
    bench.pass(IDLE);
    assert_eq!(bench.relay.nodes.len(), 0);
    let bind = peers[2].bind(b"x");
    assert_eq!(bench.send(peers[2].path, &bind).len(), 1);
}

#[test]
fn what_waits_is_limited() {
    let mut bench = Bench::with(Limits { kept: 2, ..Limits::default() });
    for n in 0..3 {
        let mut peer = Peer::of(I, |claims| claims.channel = channel(n));
        let bind = peer.bind(b"x");
        bench.send(peer.path, &bind);
        assert_eq!(bench.relay.stats().kept, usize::from(n + 1).min(2));
    }
    assert_eq!(bench.relay.stats().over_limit, 1);
    for n in [2, 0] {
        let mut peer = Peer::of(R, |claims| claims.channel = channel(n));
        let bind = peer.bind(&[0; 50]);
        assert_eq!(bench.send(peer.path, &bind).len(), if n == 2 { 2 } else { 3 });
    }
    bench.pass(IDLE);
    assert_eq!(bench.relay.stats().kept, 0);
}

#[test]
fn answers_nobody_takes_are_limited() {
    let mut bench = Bench::new();
    let mut i = Peer::new(I);
    for _ in 0..OUTPUT_MAX + 1 {
        let mut bind = i.bind(&[]);
        assert_eq!(bench.relay.handle_datagram(i.path, &mut bind, bench.now), None);
    }
    assert_eq!(bench.drain().len(), OUTPUT_MAX);
    let bind = i.bind(&[]);
    assert_eq!(bench.send(i.path, &bind).len(), 1);
}

#[test]
fn each_end_has_the_rate_of_its_token() {
    let mut bench = Bench::new();
    // 128 000 bytes a second: the least burst is more than a tenth of that.
    let mut i = Peer::of(I, |claims| claims.rate = 10);
    let mut r = Peer::new(R);
    bench.validate(&mut i);
    bench.validate(&mut r);
    let data = i.data(&[0; 991]);
    let burst = (0..100).filter(|_| !bench.send(i.path, &data).is_empty()).count();
    assert_eq!(burst, 32);
    assert_eq!(bench.relay.stats().over_rate, 68);
    assert!((0..100).all(|_| bench.passes(&r, i.path)), "the other has its own");
    bench.pass(SECOND / 4);
    let more = (0..100).filter(|_| !bench.send(i.path, &data).is_empty()).count();
    assert_eq!(more, 32);
    let bind = i.bind(&[0; 1400]);
    assert_eq!(bench.send(i.path, &bind).len(), 1, "a bind's payload counts too");
}
