//! The relay: passes datagrams between the two ends of a channel, which it cannot read.
//!
//! Owns channels, the addresses of their ends, and what waits for an end. Does not own who may use
//! it: tokens say that, made by a broker that shares a secret with it.
//!
//! Invariants: what does not parse, has a wrong tag, is expired, or names no channel gets no
//! answer. An address that has not echoed a cookie gets at most three times what came from it. An
//! end's address changes only for a cookie sent to the new one. Every list is bounded by
//! [`Limits`]. Passing on between bound ends allocates nothing. After any call, drain
//! `poll_transmit`.

mod channel;
mod limits;

#[cfg(all(test, any(feature = "ring", feature = "rustcrypto")))]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

pub use self::limits::Limits;

use self::channel::{Channel, End, Kept};
use crate::base::{Ecn, Path, Rng, Side, Time};
use crate::crypto::{Provider, Secret, constant_time_eq};
use crate::transport::Transmit;
use crate::trust::{relay_end_key, sign_bound, verify_bind, verify_relay_token};
use crate::wire::codec::Writer;
use crate::wire::relay::{
    BIND_OVERHEAD, BOUND_LEN, Bind, Bound, ChannelId, Claims, DATA_OVERHEAD, RelayDatagram,
    write_bound, write_data,
};

/// A channel that no datagram came for ends.
const IDLE: Duration = Duration::from_secs(60);
/// How long a payload waits for its end.
const KEPT_FOR: Duration = Duration::from_secs(5);
/// The longest payload that is kept.
pub const KEPT_LEN_MAX: usize = 1500;
/// Room that [`Relay::poll_transmit`] needs.
pub const TRANSMIT_LEN_MAX: usize = KEPT_LEN_MAX + DATA_OVERHEAD;
/// How long one cookie is given out; it is good for as long again.
const COOKIE_SLOT_US: u64 = 30_000_000;
/// Datagrams that wait for `poll_transmit`, for a caller that does not drain it each time.
const OUTPUT_MAX: usize = 64;

/// Part of the datagram handed in, to be sent as it stands in its buffer now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where to.
    pub to: Path,
    /// Which bytes.
    pub range: Range<usize>,
}

/// Counts since the relay began, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Channels now.
    pub channels: usize,
    /// Payloads that wait for their end now.
    pub kept: usize,
    /// Datagrams passed on, those that were kept first included.
    pub forwarded: u64,
    /// Their bytes.
    pub forwarded_bytes: u64,
    /// Datagrams that no end of a channel sent, or that nothing can be done with.
    pub dropped: u64,
    /// Datagrams above their sender's rate.
    pub over_rate: u64,
    /// Datagrams above a limit, or above what an address may get that is not validated.
    pub over_limit: u64,
}

enum Output {
    Bound([u8; BOUND_LEN]),
    Kept(Vec<u8>),
}

/// The state machine.
pub struct Relay {
    provider: &'static dyn Provider,
    secret: Secret,
    limits: Limits,
    /// What cookies are made with.
    cookie_key: Secret,
    /// The wall clock at the caller's start of time.
    wall_start_s: u64,
    channels: BTreeMap<ChannelId, Channel>,
    /// How many ends each node has.
    nodes: BTreeMap<[u8; 8], usize>,
    /// When channels have to be looked after.
    due: BTreeSet<(Time, ChannelId)>,
    output: VecDeque<(Path, Output)>,
    stats: Stats,
}

impl Relay {
    /// A relay without channels that takes tokens made with `secret`; `wall_unix_s` is the wall
    /// clock at `now`.
    pub fn new(
        provider: &'static dyn Provider,
        secret: Secret,
        limits: Limits,
        mut rng: Rng,
        wall_unix_s: u64,
        now: Time,
    ) -> Self {
        Relay {
            provider,
            secret,
            limits,
            cookie_key: Secret::new(rng.array()),
            wall_start_s: wall_start_s(wall_unix_s, now),
            channels: BTreeMap::new(),
            nodes: BTreeMap::new(),
            due: BTreeSet::new(),
            output: VecDeque::with_capacity(OUTPUT_MAX),
            stats: Stats::default(),
        }
    }

    /// The wall clock, at `now`; for callers whose clock is set while they run.
    pub fn set_clock(&mut self, wall_unix_s: u64, now: Time) {
        self.wall_start_s = wall_start_s(wall_unix_s, now);
    }

    /// A datagram came. What it says to pass on is part of the same buffer.
    pub fn handle_datagram(
        &mut self,
        from: Path,
        datagram: &mut [u8],
        now: Time,
    ) -> Option<Forward> {
        let forward = match RelayDatagram::parse(datagram) {
            Ok(RelayDatagram::Data { side, channel, .. }) => {
                self.on_data(from, side, channel, datagram, now)
            }
            Ok(RelayDatagram::Bind { bind, .. }) => self.on_bind(from, &bind, datagram, now),
            // An answer is for ends.
            Ok(RelayDatagram::Bound(_)) | Err(_) => self.dropped(),
        };
        if let Some(forward) = &forward {
            self.stats.forwarded += 1;
            self.stats.forwarded_bytes += forward.range.len() as u64;
        }
        forward
    }

    /// Takes the first of `datagrams`, which came together, `size` bytes each, end to end, the last
    /// perhaps shorter; and at little more cost those behind it that go the same way. How many
    /// bytes were taken, and what of them to pass on, in datagrams of the same size.
    pub fn handle_datagrams(
        &mut self,
        from: Path,
        datagrams: &mut [u8],
        size: usize,
        now: Time,
    ) -> (usize, Option<Forward>) {
        let (first, rest) = datagrams.split_at_mut(size.max(1).min(datagrams.len()));
        let mut taken = first.len();
        let mut forward = self.handle_datagram(from, first, now);
        // What binds as well is passed on from further behind.
        if let Some(forward) = forward.as_mut().filter(|forward| forward.range == (0..taken)) {
            let (more, passed) = self.pass_on_more(first, rest, now);
            taken += more;
            forward.range.end += passed;
        }
        (taken, forward)
    }

    /// Of those behind `first`, which was passed on, takes those that go the same way, up to one
    /// that may not: the bytes taken, and those of them to be passed on.
    fn pass_on_more(&mut self, first: &[u8], rest: &[u8], now: Time) -> (usize, usize) {
        let Ok(RelayDatagram::Data { side, channel, .. }) = RelayDatagram::parse(first) else {
            return (0, 0);
        };
        let ends = self.channels.get_mut(&channel).and_then(|channel| channel.both(side));
        let (Some((sender, peer)), Some(header)) = (ends, first.get(..DATA_OVERHEAD)) else {
            return (0, 0);
        };
        let mut taken = 0;
        for datagram in rest.chunks(first.len()).take_while(|more| more.starts_with(header)) {
            let len = datagram.len();
            sender.received(len);
            let refused = if !sender.take_rate(len, now) {
                Some(&mut self.stats.over_rate)
            } else if !peer.take_allowance(len) {
                Some(&mut self.stats.over_limit)
            } else {
                None
            };
            if let Some(count) = refused {
                *count += 1;
                return (taken + len, taken);
            }
            self.stats.forwarded += 1;
            self.stats.forwarded_bytes += len as u64;
            taken += len;
        }
        (taken, taken)
    }

    /// Writes the next datagram of the relay's own into `buf`, which has room for
    /// [`TRANSMIT_LEN_MAX`] bytes.
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        while let Some((path, output)) = self.output.pop_front() {
            let bytes = match &output {
                Output::Bound(bytes) => &bytes[..],
                Output::Kept(bytes) => bytes,
            };
            if let Some(room) = buf.get_mut(..bytes.len()) {
                room.copy_from_slice(bytes);
                return Some(Transmit { path, len: bytes.len(), ecn: Ecn::NotEct });
            }
        }
        None
    }

    /// When to call [`Relay::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Ends channels that are idle, and throws away what waited too long.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(&(at, id)) = self.due.first() {
            if at > now {
                return;
            }
            self.due.pop_first();
            let Some(channel) = self.channels.get_mut(&id) else { continue };
            self.stats.kept -= channel.expire_kept(now);
            let end = channel.heard + IDLE;
            if end <= now {
                self.end(id);
            } else {
                channel.due = channel.next_due(end);
                self.due.insert((channel.due, id));
            }
        }
    }

    /// Counts.
    pub fn stats(&self) -> Stats {
        Stats { channels: self.channels.len(), ..self.stats }
    }

    fn on_data(
        &mut self,
        from: Path,
        side: Side,
        id: ChannelId,
        datagram: &[u8],
        now: Time,
    ) -> Option<Forward> {
        let Some(channel) = self.channels.get_mut(&id) else { return self.dropped() };
        let Some(end) = channel.end(side).as_mut().filter(|end| end.path == from) else {
            return self.dropped();
        };
        end.received(datagram.len());
        if !end.take_rate(datagram.len(), now) {
            self.stats.over_rate += 1;
            return None;
        }
        channel.heard = now;
        self.pass_on(side, id, datagram, 0, now)
    }

    fn on_bind(
        &mut self,
        from: Path,
        bind: &Bind,
        datagram: &mut [u8],
        now: Time,
    ) -> Option<Forward> {
        let Some(claims) = verify_relay_token(self.provider, &self.secret, &bind.token) else {
            return self.dropped();
        };
        let key = relay_end_key(self.provider, &self.secret, &bind.token);
        let (id, side) = (claims.channel, claims.side);
        // A token's time is for beginning: who is bound may stay as long as there is traffic.
        let is_over = self.wall_minute(now) >= u64::from(claims.expires_min)
            && self.channels.get_mut(&id).is_none_or(|channel| channel.end(side).is_none());
        if is_over || !verify_bind(self.provider, &key, datagram) {
            return self.dropped();
        }
        let is_taken = self.bind(from, &claims, bind, now)?;
        let channel = self.channels.get_mut(&id)?;
        let is_peer_bound = channel.end(side.peer()).is_some();
        if is_taken {
            channel.heard = now;
            if let Some(end) = channel.end(side) {
                end.received(datagram.len());
                // A bind lets three times its length out, and its answer is shorter.
                end.take_allowance(BOUND_LEN);
            }
        }
        self.answer(from, bind, &claims, is_peer_bound, &key, now);
        if !is_taken {
            return None;
        }
        self.hand_over_kept(id, side, now);
        if datagram.len() == BIND_OVERHEAD {
            return None;
        }
        let start = BIND_OVERHEAD - DATA_OVERHEAD;
        let datagram = datagram.get_mut(start..)?;
        write_data(&mut Writer::new(datagram), side, id).ok()?;
        let end = self.channels.get_mut(&id)?.end(side).as_mut()?;
        if !end.take_rate(datagram.len(), now) {
            self.stats.over_rate += 1;
            return None;
        }
        self.pass_on(side, id, datagram, start, now)
    }

    /// Gives the address to the end, if it may have it. None: there is no room for it.
    fn bind(&mut self, from: Path, claims: &Claims, bind: &Bind, now: Time) -> Option<bool> {
        let (id, side) = (claims.channel, claims.side);
        let has_cookie = self.is_cookie_good(from, id, side, &bind.cookie, now);
        if let Some(end) = self.channels.get_mut(&id).and_then(|channel| channel.end(side).as_mut())
        {
            let is_newer = bind.sequence > end.sequence;
            if end.path != from && !(has_cookie && is_newer) {
                return Some(false);
            }
            end.sequence = end.sequence.max(bind.sequence);
            if has_cookie {
                end.validate(from);
            }
            return Some(true);
        }
        let is_new = !self.channels.contains_key(&id);
        let ends = self.nodes.get(&claims.node).copied().unwrap_or(0);
        let is_full = is_new && self.channels.len() >= self.limits.channels;
        if is_full || ends >= self.limits.channels_per_node {
            self.stats.over_limit += 1;
            return None;
        }
        self.nodes.insert(claims.node, ends + 1);
        let due = now + IDLE;
        let channel = self.channels.entry(id).or_insert_with(|| Channel::new(due, now));
        if is_new {
            self.due.insert((due, id));
        }
        let end = channel.end(side).insert(End::new(from, claims, bind.sequence, now));
        if has_cookie {
            end.validate(from);
        }
        Some(true)
    }

    /// Passes on a data datagram that stands `at` bytes into the buffer, or keeps it for the end
    /// that is not there yet.
    fn pass_on(
        &mut self,
        side: Side,
        id: ChannelId,
        datagram: &[u8],
        at: usize,
        now: Time,
    ) -> Option<Forward> {
        let channel = self.channels.get_mut(&id)?;
        let Some(peer) = channel.end(side.peer()) else {
            self.keep(id, side.peer(), datagram, now);
            return None;
        };
        if !peer.take_allowance(datagram.len()) {
            self.stats.over_limit += 1;
            return None;
        }
        Some(Forward { to: peer.path, range: at..at + datagram.len() })
    }

    /// Keeps the newest for the end at `side`.
    fn keep(&mut self, id: ChannelId, side: Side, datagram: &[u8], now: Time) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if !(DATA_OVERHEAD + 1..=TRANSMIT_LEN_MAX).contains(&datagram.len()) {
            self.stats.dropped += 1;
            return;
        }
        let until = now + KEPT_FOR;
        match channel.kept(side) {
            Some(kept) => {
                kept.bytes.clear();
                kept.bytes.extend_from_slice(datagram);
                kept.until = until;
            }
            None if self.stats.kept >= self.limits.kept => {
                self.stats.over_limit += 1;
                return;
            }
            slot => {
                *slot = Some(Kept { bytes: datagram.to_vec(), until });
                self.stats.kept += 1;
            }
        }
        if until < channel.due {
            self.due.remove(&(channel.due, id));
            channel.due = until;
            self.due.insert((until, id));
        }
    }

    /// Sends what waited for the end, unless it may not have it yet.
    fn hand_over_kept(&mut self, id: ChannelId, side: Side, now: Time) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        self.stats.kept -= channel.expire_kept(now);
        let len = channel.kept(side).as_ref().map_or(0, |kept| kept.bytes.len());
        let has_room = self.output.len() < OUTPUT_MAX;
        let Some(end) = channel.end(side).as_mut().filter(|_| len > 0 && has_room) else { return };
        let path = end.path;
        if !end.take_allowance(len) {
            return;
        }
        if let Some(kept) = channel.kept(side).take() {
            self.stats.kept -= 1;
            self.stats.forwarded += 1;
            self.stats.forwarded_bytes += len as u64;
            self.output.push_back((path, Output::Kept(kept.bytes)));
        }
    }

    fn answer(
        &mut self,
        to: Path,
        bind: &Bind,
        claims: &Claims,
        is_peer_bound: bool,
        key: &Secret,
        now: Time,
    ) {
        if self.output.len() >= OUTPUT_MAX {
            return;
        }
        let bound = Bound {
            side: claims.side,
            channel: claims.channel,
            sequence: bind.sequence,
            cookie: self.cookie(to, claims.channel, claims.side, cookie_slot(now)),
            observed: to,
            is_peer_bound,
        };
        let mut bytes = [0; BOUND_LEN];
        let is_written = write_bound(&mut Writer::new(&mut bytes), &bound).is_ok();
        if is_written && sign_bound(self.provider, key, &mut bytes) {
            self.output.push_back((to, Output::Bound(bytes)));
        }
    }

    fn cookie(&self, to: Path, id: ChannelId, side: Side, slot: u64) -> [u8; 8] {
        let side = [u8::from(side == Side::Responder)];
        let (port, slot) = (to.port.to_be_bytes(), slot.to_be_bytes());
        // Who is at a port by TCP need not be there by UDP.
        let socket = to.socket.to_be_bytes();
        let parts: [&[u8]; 6] = [&to.ip, &port, &socket, &id.0, &side, &slot];
        let tag = self.provider.hmac_sha256(self.cookie_key.as_bytes(), &parts);
        core::array::from_fn(|i| tag[i])
    }

    fn is_cookie_good(
        &self,
        from: Path,
        id: ChannelId,
        side: Side,
        cookie: &[u8; 8],
        now: Time,
    ) -> bool {
        let slot = cookie_slot(now);
        let is_of = |slot| constant_time_eq(&self.cookie(from, id, side, slot), cookie);
        is_of(slot) || slot.checked_sub(1).is_some_and(is_of)
    }

    fn wall_minute(&self, now: Time) -> u64 {
        self.wall_start_s.saturating_add(now.as_micros() / 1_000_000) / 60
    }

    fn end(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.remove(&id) else { return };
        self.stats.kept -= channel.kept_len();
        for end in channel.ends() {
            let left = self.nodes.get(&end.node).map_or(0, |ends| ends.saturating_sub(1));
            if left == 0 {
                self.nodes.remove(&end.node);
            } else {
                self.nodes.insert(end.node, left);
            }
        }
    }

    fn dropped<T>(&mut self) -> Option<T> {
        self.stats.dropped += 1;
        None
    }
}

fn wall_start_s(wall_unix_s: u64, now: Time) -> u64 {
    wall_unix_s.saturating_sub(now.as_micros() / 1_000_000)
}

fn cookie_slot(now: Time) -> u64 {
    now.as_micros() / COOKIE_SLOT_US
}
