//! One end's use of a relay: it binds its address there, keeps it bound, and wraps what goes
//! through. By TCP where UDP does not get through, and back by UDP as soon as it does.
//!
//! Owns the token, the key that goes with it and the schedule of binds. Does not own what is
//! relayed, which the relay cannot open.

use crate::base::{Ecn, Path, Side, Time};
use crate::crypto::{Provider, Secret};
use crate::transport::Transmit;
use crate::trust::{sign_bind, verify_bound};
use crate::wire::codec::Writer;
use crate::wire::message::RelayOffer;
use crate::wire::relay::{
    BIND_OVERHEAD, Bind, Bound, ChannelId, DATA_OVERHEAD, RelayToken, write_bind, write_data,
};
use alloc::vec::Vec;
use core::time::Duration;

/// The most that [`RelayEnd::wrap`] adds to a datagram.
pub const RELAY_OVERHEAD: usize = BIND_OVERHEAD;
/// The first wait for an answer; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const MAX_WAIT: Duration = Duration::from_secs(30);
/// A relay forgets who is silent for a minute, and a NAT after half of one.
const KEEP_BOUND: Duration = Duration::from_secs(20);
/// Binds without an answer after which the relay may have forgotten the address.
const MAX_MISSES: u32 = 2;
const MAX_DOUBLINGS: u32 = 7;
/// How often UDP is tried where TCP is used.
const ASK_UDP: Duration = Duration::from_secs(60);

/// Whether a relay may be reached by TCP with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    /// It cannot be.
    Never,
    /// Where it does not answer by UDP.
    Reserve,
    /// At once: UDP is known to be blocked.
    AtOnce,
}

/// An end of a channel.
pub struct RelayEnd {
    /// The first address offered: what the path through it is known by.
    first: Path,
    /// Where the relay may be by UDP.
    udp: Vec<Path>,
    /// Where it may be by TCP.
    tls: Vec<Path>,
    /// Where it answered.
    at: Option<Path>,
    /// UDP is taken for blocked before it was tried.
    is_blocked: bool,
    /// When UDP is tried again.
    ask_udp_at: Time,
    token: RelayToken,
    key: Secret,
    side: Side,
    channel: ChannelId,
    sequence: u64,
    cookie: [u8; 8],
    /// The relay knows our address.
    is_bound: bool,
    /// It has seen that we are there.
    is_validated: bool,
    /// It answered once: there is a relay.
    is_real: bool,
    /// Where it sees us.
    seen: Option<Path>,
    misses: u32,
    bind_at: Time,
    /// Addresses the bind at hand still goes to.
    to_bind: Vec<Path>,
}

impl RelayEnd {
    /// From what the broker offered; to be bound at once. `None`: the offer makes no sense.
    pub fn new(offer: &RelayOffer, tls_use: TlsUse, now: Time) -> Option<RelayEnd> {
        let claims = offer.token.claims().ok()?;
        let has_port = |path: &&Path| path.port != 0;
        let udp: Vec<Path> = offer.paths.iter().filter(has_port).copied().collect();
        let tls = offer.tls.iter().filter(|path| has_port(path) && tls_use != TlsUse::Never);
        Some(RelayEnd {
            first: *udp.first()?,
            udp,
            tls: tls.map(|path| Path { socket: Path::TLS, ..*path }).collect(),
            at: None,
            is_blocked: tls_use == TlsUse::AtOnce,
            ask_udp_at: now,
            token: offer.token,
            key: Secret::new(offer.key.0),
            side: claims.side,
            channel: claims.channel,
            sequence: 0,
            cookie: [0; 8],
            is_bound: false,
            is_validated: false,
            is_real: false,
            seen: None,
            misses: 0,
            bind_at: now,
            to_bind: Vec::new(),
        })
    }

    /// Which channel.
    pub fn channel(&self) -> ChannelId {
        self.channel
    }

    /// The first address offered, which stays what the path through it is known by.
    pub fn path(&self) -> Path {
        self.first
    }

    /// Where the relay is, as far as known.
    pub fn address(&self) -> Path {
        let known = self.at.unwrap_or(self.first);
        let is_lost = self.misses > MAX_MISSES || self.at.is_none() && self.is_blocked;
        let other = if known.is_tls() { self.udp.first() } else { self.tls.first() };
        other.copied().filter(|_| is_lost).unwrap_or(known)
    }

    /// Where the relay sees us, if it answered since our address may have changed.
    pub fn seen(&self) -> Option<Path> {
        self.seen.filter(|_| self.is_bound && !self.at.is_some_and(|at| at.is_tls()))
    }

    /// Whether `from` is an address of the relay.
    pub fn is_at(&self, from: Path) -> bool {
        let is_it = |path: &Path| path.is_same_address(&from) && path.is_tls() == from.is_tls();
        match self.at {
            // Where it is asked by UDP it answers by UDP.
            Some(at) if !at.is_tls() => {
                is_it(&at) || self.misses > MAX_MISSES && self.all().any(|path| is_it(&path))
            }
            _ => self.all().any(|path| is_it(&path)),
        }
    }

    fn all(&self) -> impl Iterator<Item = Path> + '_ {
        self.udp.iter().chain(&self.tls).copied()
    }

    /// Our address may be another one now: binds anew.
    pub fn restart(&mut self, now: Time) {
        (self.is_bound, self.is_validated, self.misses) = (false, false, 0);
        self.bind_at = now;
    }

    /// When the next bind is due. Who never answered is left alone after a while: perhaps there is
    /// no relay, whatever the broker says.
    pub fn poll_timeout(&self) -> Option<Time> {
        (self.is_real || self.misses <= MAX_DOUBLINGS).then_some(self.bind_at)
    }

    /// The next bind, to each address that the relay may have.
    pub fn poll_transmit(
        &mut self,
        provider: &dyn Provider,
        buf: &mut [u8],
        now: Time,
    ) -> Option<Transmit> {
        if self.to_bind.is_empty() {
            if self.poll_timeout().is_none_or(|at| at > now) {
                return None;
            }
            self.sequence += 1;
            self.misses = (self.misses + 1).min(MAX_DOUBLINGS + 1);
            self.is_bound &= self.misses <= MAX_MISSES;
            self.bind_at = now + (FIRST_WAIT * (1 << (self.misses - 1))).min(MAX_WAIT);
            self.to_bind = self.next_to_bind(now);
        }
        let path = self.to_bind.pop()?;
        let len = self.write_bind(provider, buf, 0)?;
        Some(Transmit { path, len, ecn: Ecn::NotEct })
    }

    /// Where the next bind goes: to where the relay answered, to each address by UDP while it has
    /// not, and to all where it does not answer any more.
    fn next_to_bind(&mut self, now: Time) -> Vec<Path> {
        let is_lost = self.misses > MAX_MISSES;
        let mut to = Vec::new();
        match self.at {
            Some(at) if !is_lost => {
                if at.is_tls() && self.ask_udp_at <= now {
                    self.ask_udp_at = now + ASK_UDP;
                    to.extend_from_slice(&self.udp);
                }
                to.push(at);
            }
            _ => {
                to.extend_from_slice(&self.udp);
                if is_lost || self.is_blocked {
                    to.extend_from_slice(&self.tls);
                }
            }
        }
        to
    }

    /// Writes a bind before `payload` bytes that stand behind its place.
    fn write_bind(&self, provider: &dyn Provider, buf: &mut [u8], payload: usize) -> Option<usize> {
        let bind = Bind { token: self.token, sequence: self.sequence, cookie: self.cookie };
        let datagram = buf.get_mut(..BIND_OVERHEAD + payload)?;
        write_bind(&mut Writer::new(datagram), &bind, self.side).ok()?;
        sign_bind(provider, &self.key, datagram).then_some(datagram.len())
    }

    /// Bytes that stand before each datagram.
    pub fn overhead(&self) -> usize {
        if self.is_bound { DATA_OVERHEAD } else { BIND_OVERHEAD }
    }

    /// Wraps the datagram of `len` bytes at the start of `buf`; the new length. As long as the
    /// relay has not said that it knows us, each is a bind as well, so that nothing waits for that.
    pub fn wrap(&self, provider: &dyn Provider, buf: &mut [u8], len: usize) -> Option<usize> {
        let overhead = self.overhead();
        let total = len.checked_add(overhead).filter(|total| *total <= buf.len())?;
        buf.copy_within(..len, overhead);
        if self.is_bound {
            write_data(&mut Writer::new(buf), self.side, self.channel).ok()?;
            return Some(total);
        }
        self.write_bind(provider, buf, len)
    }

    /// The relay answered: `datagram`, which says `bound`, came `from` there. False if its tag is
    /// wrong.
    pub fn on_bound(
        &mut self,
        provider: &dyn Provider,
        from: Path,
        bound: &Bound,
        datagram: &[u8],
        now: Time,
    ) -> bool {
        let is_ours = bound.side == self.side && bound.channel == self.channel;
        if !is_ours || !verify_bound(provider, &self.key, datagram) {
            return false;
        }
        // An answer to what was asked before a change of network says nothing of now.
        if bound.sequence != self.sequence {
            return true;
        }
        let was_by_tls = self.at.is_some_and(|at| at.is_tls()) && self.is_bound;
        if self.is_bound && !was_by_tls && from.is_tls() {
            return true;
        }
        if !from.is_tls() || !was_by_tls {
            self.ask_udp_at = now + ASK_UDP;
        }
        self.at = Some(from);
        self.to_bind.clear();
        self.is_real = true;
        self.seen = Some(bound.observed);
        self.misses = 0;
        self.cookie = bound.cookie;
        if was_by_tls && !from.is_tls() {
            // The relay knows us by TCP until it has seen the cookie by UDP: as long as it has not
            // said so, each datagram shows it.
            (self.is_bound, self.is_validated) = (false, true);
            self.bind_at = now;
            return true;
        }
        self.is_bound = true;
        // Once more at once, with the cookie: until then the relay sends us little.
        let is_news = !core::mem::replace(&mut self.is_validated, true);
        self.bind_at = if is_news { now } else { now + KEEP_BOUND };
        true
    }

    /// Whether a datagram of the channel from `side` is the other end's.
    pub fn is_peers(&self, side: Side) -> bool {
        side != self.side
    }
}

#[cfg(all(test, feature = "ring"))]
mod tests {
    use super::*;
    use crate::crypto::default_provider;
    use crate::trust::{issue_relay_token, relay_end_key, sign_bound, verify_bind};
    use crate::wire::message::ContactKey;
    use crate::wire::relay::{BOUND_LEN, Claims, RelayDatagram, write_bound};

    const RELAY: [u8; 4] = [192, 0, 2, 9];

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    fn offer(ports: &[u16]) -> RelayOffer {
        let (p, secret) = (default_provider(), Secret::new([1; 32]));
        let channel = ChannelId([5; 8]);
        let claims =
            Claims { channel, side: Side::Responder, rate: 0, expires_min: 9, node: [0; 8] };
        let token = issue_relay_token(p, &secret, &claims);
        let key = ContactKey(*relay_end_key(p, &secret, &token).as_bytes());
        let paths = ports.iter().map(|p| Path::v4(RELAY, *p)).collect();
        RelayOffer { paths, token, key, tls: alloc::vec![Path::v4(RELAY, 443)] }
    }

    fn end() -> RelayEnd {
        RelayEnd::new(&offer(&[1, 2]), TlsUse::Never, at(0)).unwrap()
    }

    fn binds(end: &mut RelayEnd, now: Time) -> Vec<(u16, Bind)> {
        let mut buf = [0; 200];
        let mut out = Vec::new();
        while let Some(sent) = end.poll_transmit(default_provider(), &mut buf, now) {
            let datagram = &buf[..sent.len];
            assert!(verify_bind(default_provider(), &end.key, datagram));
            match RelayDatagram::parse(datagram).unwrap() {
                RelayDatagram::Bind { bind, payload: 0 } => out.push((sent.path.port, bind)),
                other => panic!("{other:?}"),
            }
        }
        out
    }

    fn answer(end: &mut RelayEnd, port: u16, sequence: u64, now: Time) -> bool {
        let (side, channel, observed) = (end.side, end.channel, Path::v4([10, 0, 0, 1], 5));
        let cookie = [sequence as u8; 8];
        let bound = Bound { side, channel, sequence, cookie, observed, is_peer_bound: false };
        let mut datagram = [0; BOUND_LEN];
        write_bound(&mut Writer::new(&mut datagram), &bound).unwrap();
        sign_bound(default_provider(), &end.key, &mut datagram);
        let socket = if port == 443 { Path::TLS } else { 0 };
        let from = Path { socket, ..Path::v4(RELAY, port) };
        assert!(end.is_at(from));
        end.on_bound(default_provider(), from, &bound, &datagram, now)
    }

    #[test]
    fn binds_until_it_is_answered_and_then_keeps_bound() {
        let mut end = end();
        assert_eq!(binds(&mut end, at(0)).len(), 2, "both addresses");
        let mut waits = Vec::new();
        let mut now = at(0);
        while let Some(next) = end.poll_timeout() {
            waits.push(next.since(now).as_millis());
            now = next;
            assert_eq!(binds(&mut end, now).len(), 2);
        }
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 16_000]);
        assert_eq!(binds(&mut end, now + MAX_WAIT * 10).len(), 0, "left alone");
        assert!(answer(&mut end, 2, 8, now));
        // With its cookie at once, to where it answered, then at intervals.
        let sent = binds(&mut end, now);
        assert_eq!((sent.len(), sent[0].0, sent[0].1.cookie), (1, 2, [8; 8]));
        assert!(answer(&mut end, 2, 9, now));
        assert_eq!((end.poll_timeout(), binds(&mut end, now).len()), (Some(now + KEEP_BOUND), 0));
        // An answer to what was asked long ago changes nothing.
        now = end.poll_timeout().unwrap();
        assert_eq!(binds(&mut end, now).len(), 1);
        let again_at = end.poll_timeout();
        assert!(answer(&mut end, 2, 9, now));
        assert_eq!(end.poll_timeout(), again_at);
    }

    #[test]
    fn what_is_wrapped_binds_until_the_relay_answered() {
        let (p, mut end) = (default_provider(), end());
        let mut buf = [7; 100];
        let len = end.wrap(p, &mut buf, 20).unwrap();
        assert!(verify_bind(p, &end.key, &buf[..len]));
        let parsed = RelayDatagram::parse(&buf[..len]).unwrap();
        assert!(matches!(parsed, RelayDatagram::Bind { payload: 20, .. }));
        assert_eq!(buf[len - 20..len], [7; 20]);
        binds(&mut end, at(0));
        assert!(answer(&mut end, 1, 1, at(1)));
        let mut buf = [8; 100];
        let len = end.wrap(p, &mut buf, 20).unwrap();
        let data = RelayDatagram::Data { side: end.side, channel: end.channel, payload: 20 };
        assert_eq!(RelayDatagram::parse(&buf[..len]), Ok(data));
        assert_eq!(buf[len - 20..len], [8; 20]);
        // At the limit of the buffer, and over it.
        assert_eq!(end.wrap(p, &mut buf, 100 - DATA_OVERHEAD), Some(100));
        assert_eq!(end.wrap(p, &mut buf, 100 - DATA_OVERHEAD + 1), None);
        // It does not answer any more: perhaps it has forgotten us.
        for _ in 0..=MAX_MISSES {
            let now = end.poll_timeout().unwrap();
            binds(&mut end, now);
        }
        let len = end.wrap(p, &mut buf, 20).unwrap();
        assert!(matches!(RelayDatagram::parse(&buf[..len]), Ok(RelayDatagram::Bind { .. })));
    }

    #[test]
    fn who_has_no_key_cannot_answer() {
        let mut end = end();
        binds(&mut end, at(0));
        let forged = Secret::new([9; 32]);
        let key = core::mem::replace(&mut end.key, forged);
        let mut other = RelayEnd { key, ..end };
        let good = [0; BOUND_LEN];
        let bound = Bound {
            side: other.side,
            channel: other.channel,
            sequence: 1,
            cookie: [1; 8],
            observed: Path::v4([1; 4], 1),
            is_peer_bound: true,
        };
        assert!(!other.on_bound(default_provider(), other.path(), &bound, &good, at(0)));
        assert!(!other.is_bound);
        let foreign = Bound { side: Side::Initiator, ..bound };
        assert!(!other.on_bound(default_provider(), other.path(), &foreign, &good, at(0)));
        assert!(RelayEnd::new(&offer(&[]), TlsUse::AtOnce, at(0)).is_none());
        assert!(RelayEnd::new(&offer(&[0]), TlsUse::AtOnce, at(0)).is_none());
    }

    fn ports(end: &mut RelayEnd, now: Time) -> Vec<u16> {
        binds(end, now).iter().map(|(port, _)| *port).collect()
    }

    #[test]
    fn tcp_is_for_where_two_binds_by_udp_were_not_answered() {
        let mut end = RelayEnd::new(&offer(&[1]), TlsUse::Reserve, at(0)).unwrap();
        assert_eq!(ports(&mut end, at(0)), [1]);
        assert_eq!(ports(&mut end, at(250)), [1]);
        assert_eq!(end.address().port, 1);
        assert_eq!(ports(&mut end, at(750)), [443, 1]);
        assert_eq!((end.address().port, end.address().socket), (443, Path::TLS));
        assert!(answer(&mut end, 443, 3, at(800)));
        assert_eq!(ports(&mut end, at(800)), [443], "with the cookie");
        assert!(answer(&mut end, 443, 4, at(850)));
        // By UDP again: asked once a minute, gone to when it answers, without a gap.
        let mut asked = Vec::new();
        for sequence in 5..8 {
            let now = end.poll_timeout().unwrap();
            asked.push((now.as_micros() / 1_000_000, ports(&mut end, now)));
            assert!(answer(&mut end, 443, sequence, now));
        }
        let only = |s| (s, [443].to_vec());
        assert_eq!(asked, [only(20), only(40), (60, [443, 1].to_vec())]);
        assert!(answer(&mut end, 1, 7, at(61_000)));
        assert_eq!(end.address().port, 1);
        let wrapped = end.wrap(default_provider(), &mut [7; 200], 20).unwrap();
        assert_eq!(wrapped, 20 + BIND_OVERHEAD, "a bind with the cookie");
        assert_eq!(binds(&mut end, at(61_000))[0].1.cookie, [7; 8]);
        assert!(answer(&mut end, 1, 8, at(61_100)));
        assert_eq!((end.is_bound, end.poll_timeout()), (true, Some(at(61_100) + KEEP_BOUND)));
        // UDP is blocked again.
        assert_eq!(ports(&mut end, at(81_100)), [1]);
        assert_eq!(ports(&mut end, at(81_350)), [1]);
        assert_eq!(ports(&mut end, at(81_850)), [443, 1]);
        assert_eq!(end.address().port, 443);
    }

    #[test]
    fn where_udp_is_blocked_tcp_is_first_but_an_answer_by_udp_counts_more() {
        let mut end = RelayEnd::new(&offer(&[1]), TlsUse::AtOnce, at(0)).unwrap();
        assert_eq!(end.address().port, 443);
        assert_eq!(ports(&mut end, at(0)), [443, 1]);
        assert!(answer(&mut end, 443, 1, at(10)) && answer(&mut end, 1, 1, at(20)));
        assert_eq!((end.address().port, end.is_bound), (1, false));
        assert_eq!(ports(&mut end, at(20)), [1]);
        assert!(answer(&mut end, 1, 2, at(30)));
        assert!(!end.is_at(Path { socket: Path::TLS, ..Path::v4(RELAY, 443) }));
        assert!(!end.is_at(Path { socket: Path::TLS, ..Path::v4(RELAY, 1) }));
    }
}
