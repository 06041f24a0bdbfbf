//! The relay channels of a node's sessions and introductions.
//!
//! Owns their numbers, which stand in a [`Path`] that leads through a relay, and takes what comes
//! through one out of its wrapping. A channel lasts as long as its owner, who releases it.

use crate::base::{Deadlines, Map, Path, Time};
use crate::crypto::Provider;
use crate::transport::Transmit;
use crate::traverse::{RELAY_OVERHEAD, RelayEnd, TlsUse};
use crate::wire::message::RelayOffer;
use crate::wire::relay::{ChannelId, RelayDatagram};
use alloc::vec::Vec;

/// What a relay's datagram was.
pub(super) enum Unwrapped<'a> {
    /// Its answer to a bind.
    Bound,
    /// The peer's, by this path.
    Through(Path, &'a mut [u8]),
}

#[derive(Default)]
pub(super) struct Relays {
    ends: Map<u16, RelayEnd>,
    by_channel: Map<ChannelId, u16>,
    /// When each binds next.
    deadlines: Deadlines<u16>,
    last: u16,
}

impl Relays {
    /// Takes what a broker offers; the paths that lead through it. One that makes no sense is left
    /// out.
    pub(super) fn add(&mut self, offers: &[RelayOffer], tls: TlsUse, now: Time) -> Vec<Path> {
        offers.iter().filter_map(|offer| self.add_one(offer, tls, now)).collect()
    }

    fn add_one(&mut self, offer: &RelayOffer, tls: TlsUse, now: Time) -> Option<Path> {
        let end = RelayEnd::new(offer, tls, now)?;
        if self.by_channel.contains_key(&end.channel()) || self.ends.len() >= usize::from(u16::MAX)
        {
            return None;
        }
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.ends.contains_key(&self.last) {
                break;
            }
        }
        let path = Path { via: self.last, ..end.path() };
        self.by_channel.insert(end.channel(), self.last);
        self.deadlines.set(self.last, end.poll_timeout());
        self.ends.insert(self.last, end);
        Some(path)
    }

    /// Lets go of channels.
    pub(super) fn release(&mut self, paths: &[Path]) {
        for path in paths {
            if let Some(end) = self.ends.remove(&path.via) {
                self.by_channel.remove(&end.channel());
                self.deadlines.set(path.via, None);
            }
        }
    }

    /// The relays that answered: where each is, and where it sees us.
    pub(super) fn seen(&self) -> impl Iterator<Item = (Path, Path)> + '_ {
        self.ends.values().filter_map(|end| Some((end.address(), end.seen()?)))
    }

    /// Our addresses may be others now.
    pub(super) fn restart(&mut self, now: Time) {
        for (via, end) in self.ends.iter_mut() {
            end.restart(now);
            self.deadlines.set(*via, end.poll_timeout());
        }
    }

    /// The same, as far as one session knows.
    pub(super) fn restart_of(&mut self, paths: &[Path], now: Time) {
        for path in paths {
            if let Some(end) = self.ends.get_mut(&path.via) {
                end.restart(now);
                self.deadlines.set(path.via, end.poll_timeout());
            }
        }
    }

    /// Where the relay of a path is, as far as known.
    pub(super) fn address(&self, path: &Path) -> Option<Path> {
        Some(self.ends.get(&path.via)?.address())
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// The next thing to say to a relay itself.
    pub(super) fn poll_transmit(
        &mut self,
        provider: &dyn Provider,
        buf: &mut [u8],
        now: Time,
    ) -> Option<Transmit> {
        while let Some(via) = self.deadlines.due(now) {
            let end = self.ends.get_mut(&via);
            let sent = end.and_then(|end| end.poll_transmit(provider, buf, now));
            // It stays due until it has nothing to say, as the bind goes to each address.
            if sent.is_some() {
                return sent;
            }
            self.deadlines.set(via, self.ends.get(&via).and_then(RelayEnd::poll_timeout));
        }
        None
    }

    /// Bytes that a path's relay takes of each datagram; the most that any takes where the path is
    /// not known yet.
    pub(super) fn overhead(&self, path: Option<Path>) -> usize {
        match path {
            Some(path) if path.via == 0 => 0,
            Some(path) => self.ends.get(&path.via).map_or(0, RelayEnd::overhead),
            None => RELAY_OVERHEAD,
        }
    }

    /// Wraps what goes through a channel; `None`: it is gone, or `buf` has no room.
    pub(super) fn wrap(
        &self,
        provider: &dyn Provider,
        transmit: Transmit,
        buf: &mut [u8],
    ) -> Option<Transmit> {
        if transmit.path.via == 0 {
            return Some(transmit);
        }
        let end = self.ends.get(&transmit.path.via)?;
        let len = end.wrap(provider, buf, transmit.len)?;
        Some(Transmit { path: end.address(), len, ..transmit })
    }

    /// Takes a relay's datagram: what came through it, and by which path. `None`: it is no relay's
    /// of ours.
    pub(super) fn unwrap<'a>(
        &mut self,
        provider: &dyn Provider,
        from: Path,
        datagram: &'a mut [u8],
        now: Time,
    ) -> Option<Unwrapped<'a>> {
        match RelayDatagram::parse(datagram).ok()? {
            RelayDatagram::Bound(bound) => {
                let via = *self.by_channel.get(&bound.channel)?;
                let end = self.ends.get_mut(&via)?;
                let is_its = end.is_at(from) && end.on_bound(provider, from, &bound, datagram, now);
                self.deadlines.set(via, end.poll_timeout());
                is_its.then_some(Unwrapped::Bound)
            }
            RelayDatagram::Data { side, channel, payload } => {
                let via = *self.by_channel.get(&channel)?;
                let end = self.ends.get(&via)?;
                if !end.is_at(from) || !end.is_peers(side) {
                    return None;
                }
                let start = datagram.len() - payload;
                Some(Unwrapped::Through(Path { via, ..end.path() }, datagram.get_mut(start..)?))
            }
            RelayDatagram::Bind { .. } => None,
        }
    }
}
