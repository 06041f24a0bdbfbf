//! Moving: the peer is seen at another address, or we go to another one ourselves (RFC 9000 §9).
//!
//! Unlike in QUIC either end may move, at any time after the handshake: what is at an address is
//! known by its keys. The address is asked before more than three times what came from it is sent.

use super::connection::{Connection, State};
use super::probes::Response;
use super::space::SpaceId;
use super::{BASE_DATAGRAM, Event, PathEvent};
use crate::base::{Path, Side, Time, push_few};
use core::time::Duration;

/// What a new path's round trip is taken to need at least, before it is measured.
const MIN_CHALLENGE_INTERVAL: Duration = Duration::from_millis(333);

/// How long after a choice the peer may not know of it, at least.
const MIN_LEAVING: Duration = Duration::from_secs(1);

impl Connection {
    /// Our own network changed, or the peer is to be reached at another of its addresses: goes on
    /// from here, or there, with another connection ID. Unless it answered there not long ago
    /// ([`Self::probe_path`]), asks whether the peer is there; if it does not answer, an address
    /// that did is taken again.
    pub fn migrate(&mut self, path: Path, now: Time) {
        self.clamp(now);
        if self.state != State::Established || !self.is_confirmed {
            return;
        }
        let left = self.paths.active;
        self.control.cids.change();
        self.paths.migrate(path);
        self.on_path_change();
        self.challenge_unless_known();
        if self.paths.is_validated() && left != path {
            let until = now + (self.recovery.pto(SpaceId::Data) * 3).max(MIN_LEAVING);
            self.paths.probes().leave(left, until);
        }
    }

    /// Asks the peer whether it is at `path` too, without going there: one PATH_CHALLENGE, which
    /// [`PathEvent::Answered`] follows if it is. Nothing is sent before the handshake is confirmed.
    pub fn probe_path(&mut self, path: Path) {
        self.paths.probes().ask(path);
    }

    /// Sends one PATH_CHALLENGE to `path` whose answer nobody waits for, so that the NATs on the
    /// way let the peer's come in.
    pub fn open_path(&mut self, path: Path) {
        self.paths.probes().open(path);
    }

    /// While contact packets come, the peer is where the newest came from: whoever sends a copy of
    /// one ahead from elsewhere draws the connection there until the next, and no further.
    pub(super) fn follow(&mut self, path: Path) {
        if self.paths.active != path {
            // The initiator chose whom to send to. A connection ID says where its holder was, not
            // where it is: the responder asks.
            self.paths.follow(path, self.side == Side::Initiator);
            if self.side == Side::Responder {
                self.challenge();
            }
        }
        self.paths.is_latched = true;
    }

    /// Whether to go where the peer was seen last. Behind NATs that give each address called
    /// another port, each end's going is a move that the other sees: if both went along, they would
    /// for ever. The initiator is the one that stays.
    pub(super) fn may_follow(&mut self, path: Path) -> bool {
        if self.side == Side::Responder {
            return true;
        }
        // It chose to leave, and the peer does not know yet, or what said so was lost.
        let is_late = self.paths.any_probes().is_some_and(|p| p.has_just_left(&path, self.now));
        let active = self.paths.active;
        let is_elsewhere = path.ip != active.ip || path.via != active.via;
        !is_late && (is_elsewhere || self.paths.may_follow(self.now))
    }

    /// The newest of all packets, and not a mere probe, came from where the peer was not.
    /// `sequence` is that of our connection ID it came to.
    pub(super) fn on_peer_moved(&mut self, path: Path, sequence: Option<u64>) {
        let from = self.paths.active;
        self.paths.on_moved(path);
        // Where the peer took another ID so as not to be followed, so do we (RFC 9000 §9.5).
        let cids = &mut self.control.cids;
        if sequence.is_some_and(|sequence| sequence != cids.in_use_here) {
            cids.change();
        }
        // Another port alone is a NAT that forgot: the same path, as a rule (§9.4).
        if from.ip != path.ip {
            self.on_path_change();
        }
        if !self.paths.is_validated() {
            self.challenge_unless_known();
        }
        push_few(&mut self.events, Event::Path(PathEvent::Moved));
    }

    /// Another path: what was learnt of the one before says nothing of it.
    pub(super) fn on_path_change(&mut self) {
        let base = BASE_DATAGRAM.min(self.config.max_datagram);
        self.recovery.on_path_change(base, self.now);
    }

    fn challenge_unless_known(&mut self) {
        let Some(rtt) = self.paths.known(&self.paths.active, self.now) else {
            return self.challenge();
        };
        self.paths.is_known();
        if !self.recovery.rtt.has_sample() {
            self.recovery.rtt.on_sample(rtt, Duration::ZERO);
        }
        // What was lost on the way here is to be found out soon.
        self.probe();
    }

    fn challenge(&mut self) {
        let interval = self.recovery.pto(SpaceId::Data).max(MIN_CHALLENGE_INTERVAL);
        let data = self.rng.array();
        self.paths.challenge(data, interval, self.now);
        self.probe();
    }

    /// The window may be full of what went to where the peer no longer is.
    pub(super) fn probe(&mut self) {
        let data = &mut self.spaces.data;
        data.probes = data.probes.max(1);
    }

    /// The peer asks whether we are here: it is answered on the path it asked on
    /// (RFC 9000 §8.2.2).
    pub(super) fn on_path_challenge(&mut self, data: [u8; 8]) {
        let (path, active) = (self.paths.from, self.paths.active);
        self.paths.probes().respond(Response { path, data }, &active);
        if path != active {
            push_few(&mut self.events, Event::Path(PathEvent::Asked(path)));
        }
    }

    pub(super) fn on_path_response(&mut self, data: [u8; 8]) {
        if let Some(rtt) = self.paths.on_response(data, self.now) {
            // One that comes from elsewhere: it has moved since it was asked.
            let path = self.paths.active;
            if self.paths.from == path {
                push_few(&mut self.events, Event::Path(PathEvent::Answered { path, rtt }));
            }
        }
        if self.paths.any_probes().is_some() {
            if let Some((path, rtt)) = self.paths.probes().on_response(data, self.now) {
                push_few(&mut self.events, Event::Path(PathEvent::Answered { path, rtt }));
            }
        }
    }
}
