//! The link where UDP is blocked: it stands on TCP with TLS, and goes back as soon as it can.
//!
//! Owns when the broker is asked by UDP. That TCP is tried at all is the first flight's affair.

use super::super::Owner;
use super::super::endpoint::Endpoint;
use super::{Link, Phase};
use crate::base::{Path, Time};
use core::time::Duration;

/// How often.
const ASK_UDP: Duration = Duration::from_secs(60);

impl Link {
    /// Whether the broker answers, and by TCP.
    pub(in crate::node) fn is_by_tls(&self) -> bool {
        let connection = self.connection.as_ref().filter(|link| link.is_path_latched());
        connection.is_some_and(|link| link.path().is_tls())
    }

    /// When [`Self::ask_udp_if_due`] is to be called.
    pub(in crate::node) fn ask_udp_at(&self) -> Option<Time> {
        self.ask_udp_at.filter(|_| cfg!(feature = "tcp"))
    }

    /// Takes note of the way the link goes.
    pub(super) fn note_way(&mut self, now: Time) {
        if self.phase != Phase::Online {
            self.ask_udp_at = None;
            return;
        }
        self.is_udp_blocked = self.is_by_tls();
        let next = self.ask_udp_at.unwrap_or(now + ASK_UDP);
        self.ask_udp_at = Some(next).filter(|_| self.is_udp_blocked);
    }

    /// Asks the broker by UDP whether it can be reached so again, if it is time to.
    pub(in crate::node) fn ask_udp_if_due(&mut self, endpoint: &mut Endpoint<Owner>, now: Time) {
        if self.ask_udp_at().is_none_or(|at| at > now) {
            return;
        }
        self.ask_udp_at = Some(now + ASK_UDP);
        if let (Some(connection), Some(address)) = (&mut self.connection, &self.address) {
            let by_udp = address.paths.iter().filter(|path| !path.is_tls());
            by_udp.for_each(|path| connection.probe_path(*path));
        }
        endpoint.touch(Owner::Link(self.which));
    }

    /// The broker answered at `path`: if the link is by TCP, that is a better way.
    pub(super) fn on_answered(&mut self, path: Path, now: Time) {
        if path.is_tls() || !self.is_by_tls() {
            return;
        }
        if let Some(connection) = &mut self.connection {
            connection.migrate(path, now);
        }
        self.keep_alive.start(now);
        self.begin_asking_others(now);
    }
}
