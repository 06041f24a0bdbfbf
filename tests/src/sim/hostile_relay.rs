//! A relay that can do wrong: it keeps channels as an honest one does, and then drops, delays,
//! doubles, alters, replays, forges or turns round what it relays.
//!
//! Owns the channels and what it overheard. It holds the secret that tokens are made with, so its
//! answers are truly signed, whatever they say. Without misdeeds it is a plain relay, though one
//! without the limits and the caution of the real one.

use super::host::Actor;
use rit_core::base::{Ecn, Path, PublicKey, Rng, Side, Time};
use rit_core::crypto::{self, Provider, Secret};
use rit_core::transport::Transmit;
use rit_core::trust::{relay_end_key, sign_bound, verify_bind, verify_relay_token};
use rit_core::wire::codec::Writer;
use rit_core::wire::relay::{
    BOUND_LEN, Bind, Bound, ChannelId, DATA_OVERHEAD, RelayDatagram, write_bound, write_data,
};
use std::any::Any;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long something waits for the other end to be bound.
const KEPT_FOR: Duration = Duration::from_secs(5);
/// Datagrams it remembers, to replay them.
const OVERHEARD_MAX: usize = 256;

/// What the relay does wrong; shares of datagrams in parts per million.
#[derive(Clone, Debug, Default)]
pub struct Misdeeds {
    /// Dropped.
    pub drop_ppm: u32,
    /// Held back, each by another time up to this: they come in any order.
    pub delay: Duration,
    /// Sent twice.
    pub duplicate_ppm: u32,
    /// A byte of them changed.
    pub alter_ppm: u32,
    /// Followed by something that was relayed before, to either end.
    pub replay_ppm: u32,
    /// Sent back to where they came from as well.
    pub reflect_ppm: u32,
    /// Followed by bytes of its own invention.
    pub forge_ppm: u32,
    /// What it says to everybody of where it is seen.
    pub observed: Option<Path>,
    /// It says that the other end is bound where it is not, and that it is not where it is.
    pub lies_of_peer: bool,
}

#[derive(Default)]
struct Channel {
    /// Of initiator and responder.
    addresses: [Option<Path>; 2],
    /// What waits for an end that is not bound yet.
    kept: [Option<(Time, Vec<u8>)>; 2],
}

/// A relay that can do wrong.
pub struct HostileRelay {
    /// What it does wrong; may change while it runs.
    pub misdeeds: Misdeeds,
    /// What it relayed of late: to whom, and what, as the ends sealed it.
    pub overheard: Vec<(Path, Vec<u8>)>,
    /// Datagrams relayed.
    pub relayed: u64,
    secret: Secret,
    provider: &'static dyn Provider,
    channels: BTreeMap<ChannelId, Channel>,
    queue: BTreeMap<(Time, u64), (Path, Vec<u8>)>,
    queued: u64,
    rng: Rng,
}

impl HostileRelay {
    /// A relay that takes the tokens made with `secret`.
    pub fn new(secret: Secret, seed: [u8; 32]) -> Self {
        HostileRelay {
            misdeeds: Misdeeds::default(),
            overheard: Vec::new(),
            relayed: 0,
            secret,
            provider: crypto::default_provider(),
            channels: BTreeMap::new(),
            queue: BTreeMap::new(),
            queued: 0,
            rng: Rng::from_seed(seed),
        }
    }

    /// Where the two ends of its channels are, the initiators first.
    pub fn ends(&self) -> impl Iterator<Item = [Option<Path>; 2]> {
        self.channels.values().map(|channel| channel.addresses)
    }

    fn on_bind(&mut self, from: Path, bind: &Bind, datagram: &[u8], payload: usize, now: Time) {
        let key = relay_end_key(self.provider, &self.secret, &bind.token);
        let claims = verify_relay_token(self.provider, &self.secret, &bind.token);
        let Some(claims) = claims.filter(|_| verify_bind(self.provider, &key, datagram)) else {
            return;
        };
        let (own, other) = places(claims.side);
        let channel = self.channels.entry(claims.channel).or_default();
        channel.addresses[own] = Some(from);
        let is_peer_bound = channel.addresses[other].is_some() != self.misdeeds.lies_of_peer;
        let kept = channel.kept[own].take().filter(|(since, _)| now.since(*since) < KEPT_FOR);
        let bound = Bound {
            side: claims.side,
            channel: claims.channel,
            sequence: bind.sequence,
            cookie: [1; 8],
            observed: self.misdeeds.observed.unwrap_or(from),
            is_peer_bound,
        };
        let mut answer = vec![0; BOUND_LEN];
        write_bound(&mut Writer::new(&mut answer), &bound).expect("it has room for it");
        sign_bound(self.provider, &key, &mut answer);
        self.put(from, answer, now);
        if let Some((_, waiting)) = kept {
            self.relay(from, from, waiting, now);
        }
        if payload > 0 {
            let data = &datagram[datagram.len() - payload..];
            self.pass_on(claims.side, claims.channel, from, data, now);
        }
    }

    /// An end's bytes, to the other.
    fn pass_on(&mut self, side: Side, id: ChannelId, from: Path, payload: &[u8], now: Time) {
        let (own, other) = places(side);
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if channel.addresses[own] != Some(from) {
            return;
        }
        let mut data = vec![0; DATA_OVERHEAD + payload.len()];
        write_data(&mut Writer::new(&mut data), side, id).expect("it has room for it");
        data[DATA_OVERHEAD..].copy_from_slice(payload);
        match channel.addresses[other] {
            Some(to) => self.relay(from, to, data, now),
            None => channel.kept[other] = Some((now, data)),
        }
    }

    /// Sends what is relayed, as the misdeeds have it.
    fn relay(&mut self, from: Path, to: Path, mut data: Vec<u8>, now: Time) {
        let misdeeds = self.misdeeds.clone();
        self.relayed += 1;
        if self.overheard.len() == OVERHEARD_MAX {
            self.overheard.remove(0);
        }
        self.overheard.push((to, data.clone()));
        if self.chance(misdeeds.replay_ppm) {
            let at = self.rng.below(self.overheard.len() as u64) as usize;
            let (there, old) = self.overheard[at].clone();
            self.put(there, old, now);
        }
        if self.chance(misdeeds.reflect_ppm) {
            self.put(from, data.clone(), now);
        }
        if self.chance(misdeeds.forge_ppm) {
            let forged = self.forgery(&data);
            self.put(to, forged, now);
        }
        if self.chance(misdeeds.duplicate_ppm) {
            self.put(to, data.clone(), now);
        }
        if self.chance(misdeeds.alter_ppm) {
            let at = self.rng.below(data.len() as u64) as usize;
            data[at] ^= 1 + self.rng.below(255) as u8;
        }
        if !self.chance(misdeeds.drop_ppm) {
            self.put(to, data, now);
        }
    }

    /// Something that looks like what is relayed, or like a packet, or like nothing.
    fn forgery(&mut self, like: &[u8]) -> Vec<u8> {
        let mut forged = vec![0; 1 + self.rng.below(like.len() as u64 + 100) as usize];
        self.rng.fill(&mut forged);
        let keep = [0, 1, DATA_OVERHEAD, DATA_OVERHEAD + 9][self.rng.below(4) as usize];
        let keep = keep.min(forged.len()).min(like.len());
        forged[..keep].copy_from_slice(&like[..keep]);
        forged
    }

    fn put(&mut self, to: Path, datagram: Vec<u8>, now: Time) {
        let late = self.rng.below(self.misdeeds.delay.as_micros() as u64 + 1);
        self.queue.insert((now + Duration::from_micros(late), self.queued), (to, datagram));
        self.queued += 1;
    }

    fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.rng.below(1_000_000) < u64::from(ppm)
    }
}

/// A side's place in a channel, and the other's.
fn places(side: Side) -> (usize, usize) {
    match side {
        Side::Initiator => (0, 1),
        Side::Responder => (1, 0),
    }
}

impl Actor for HostileRelay {
    fn public_key(&self) -> PublicKey {
        PublicKey([0; 32])
    }

    fn handle_datagram(&mut self, path: Path, datagram: &mut [u8], now: Time) {
        match RelayDatagram::parse(datagram) {
            Ok(RelayDatagram::Bind { bind, payload }) => {
                self.on_bind(path, &bind, datagram, payload, now);
            }
            Ok(RelayDatagram::Data { side, channel, payload }) => {
                let data = datagram[datagram.len() - payload..].to_vec();
                self.pass_on(side, channel, path, &data, now);
            }
            Ok(RelayDatagram::Bound(_)) | Err(_) => {}
        }
    }

    fn handle_timeout(&mut self, _: Time) {}

    fn poll_transmit(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit> {
        let entry = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
        let (path, datagram) = entry.remove();
        buf[..datagram.len()].copy_from_slice(&datagram);
        Some(Transmit { path, len: datagram.len(), ecn: Ecn::NotEct })
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.queue.keys().next().map(|(time, _)| *time)
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
