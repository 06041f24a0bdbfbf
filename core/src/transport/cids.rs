//! Connection IDs of both ends (RFC 9000 §5.1): ours, which the owner of the connection makes and
//! routes by, and the peer's, of which one is in use and the others wait for another path.
//!
//! Owns sequence numbers, limits and what is to be told or retired. Does not own paths.
//! Invariant: both lists are bounded by the limits, whatever the peer says.

use super::error::{TransportCode, Violation};
use super::sent::{SentFrame, SentPackets};
use crate::base::push_few;
use crate::wire::cid::Cid;
use crate::wire::codec::{Full, Writer};
use crate::wire::frame::{self, NewConnectionId};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// IDs of the peer's kept, the one in use among them; and the most of ours that the peer may keep.
/// One waits for our moving, one for the peer's.
pub(super) const ACTIVE_CIDS: u64 = 3;
/// RETIRE_CONNECTION_IDs not acknowledged at once: a peer that makes us retire more is a flood
/// (RFC 9000 §5.1.2).
const MAX_RETIRING: usize = 8;

/// What a stateless reset of a connection ID ends with (RFC 9000 §10.3).
pub type ResetToken = [u8; 16];

/// What the owner of a connection has to do about connection IDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CidEvent {
    /// The peer uses this one of ours no more: datagrams to it belong here no longer.
    Retired(Cid),
    /// Another ID of the peer's is in use: a datagram that ends with this token is its reset.
    Token(ResetToken),
}

/// One of ours.
struct Issued {
    sequence: u64,
    cid: Cid,
    token: ResetToken,
    is_told: bool,
}

pub(super) struct Cids {
    /// What the handshake gave us; the source of contact packets.
    first: Cid,
    issued: Vec<Issued>,
    next_sequence: u64,
    /// What the peer keeps of ours.
    max_issued: u64,
    /// The sequence number of ours in the newest packet.
    pub(super) in_use_here: u64,
    remote: Cid,
    remote_sequence: u64,
    /// The peer's that wait, lowest sequence number first.
    spare: Vec<NewConnectionId>,
    retire_prior_to: u64,
    /// To be retired, and whether that is under way.
    retiring: Vec<(u64, bool)>,
    events: VecDeque<CidEvent>,
}

impl Cids {
    /// `local` is ours, `remote` the peer's. `token` of ours is in the transport parameters.
    pub(super) fn new(local: Cid, token: ResetToken, remote: Cid) -> Self {
        let first = Issued { sequence: 0, cid: local, token, is_told: true };
        Cids {
            first: local,
            issued: alloc::vec![first],
            next_sequence: 1,
            max_issued: 1,
            in_use_here: 0,
            remote,
            remote_sequence: 0,
            spare: Vec::new(),
            retire_prior_to: 0,
            retiring: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// The peer's limit and the token of its first ID are known.
    pub(super) fn start(&mut self, limit: u64, token: Option<ResetToken>) {
        self.max_issued = limit.min(ACTIVE_CIDS);
        if let Some(token) = token {
            push_few(&mut self.events, CidEvent::Token(token));
        }
    }

    // ---- ours

    /// The one that contact packets name as their source.
    pub(super) fn first(&self) -> Cid {
        self.first
    }

    /// All that datagrams may come to.
    pub(super) fn local(&self) -> impl Iterator<Item = Cid> + '_ {
        self.issued.iter().map(|issued| issued.cid)
    }

    /// The sequence number of one of ours.
    pub(super) fn sequence_of(&self, cid: &Cid) -> Option<u64> {
        self.issued.iter().find(|issued| issued.cid == *cid).map(|issued| issued.sequence)
    }

    /// Whether the peer would keep another one.
    pub(super) fn wants_more(&self) -> bool {
        (self.issued.len() as u64) < self.max_issued
    }

    /// A new one of ours, to be told to the peer.
    pub(super) fn issue(&mut self, cid: Cid, token: ResetToken) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.issued.reserve_exact(1);
        self.issued.push(Issued { sequence, cid, token, is_told: false });
    }

    /// RETIRE_CONNECTION_ID (RFC 9000 §19.16).
    pub(super) fn on_retire(&mut self, sequence: u64, used: Option<u64>) -> Result<(), Violation> {
        if sequence >= self.next_sequence || Some(sequence) == used {
            let reason = "retires a connection ID never told, or the one in use";
            return Err(Violation::new(TransportCode::PROTOCOL, reason));
        }
        if let Some(index) = self.issued.iter().position(|issued| issued.sequence == sequence) {
            let retired = self.issued.remove(index);
            push_few(&mut self.events, CidEvent::Retired(retired.cid));
        }
        Ok(())
    }

    // ---- the peer's

    /// The one to send to.
    pub(super) fn remote(&self) -> &Cid {
        &self.remote
    }

    /// The responder chose its own.
    pub(super) fn on_handshake(&mut self, remote: Cid) {
        self.remote = remote;
    }

    /// Goes to an ID that was not in use on another path yet; stays if there is none.
    pub(super) fn change(&mut self) {
        if self.spare.is_empty() {
            return;
        }
        let next = self.spare.remove(0);
        self.retire(self.remote_sequence);
        (self.remote, self.remote_sequence) = (next.cid, next.sequence);
        push_few(&mut self.events, CidEvent::Token(next.token));
    }

    /// NEW_CONNECTION_ID (RFC 9000 §19.15).
    pub(super) fn on_new(&mut self, new: &NewConnectionId) -> Result<(), Violation> {
        let violation = |reason| Err(Violation::new(TransportCode::PROTOCOL, reason));
        let is_same = |old: &&NewConnectionId| old.sequence == new.sequence || old.cid == new.cid;
        if let Some(known) = self.spare.iter().find(is_same) {
            if (known.sequence, known.cid, known.token) != (new.sequence, new.cid, new.token) {
                return violation("a connection ID changed");
            }
        } else if (new.sequence == self.remote_sequence) != (new.cid == self.remote) {
            return violation("a connection ID changed");
        } else if new.sequence < self.retire_prior_to.max(self.remote_sequence) {
            // Come late: what is newer was used already.
            self.retire(new.sequence);
        } else if new.sequence > self.remote_sequence {
            let at = self.spare.partition_point(|old| old.sequence < new.sequence);
            self.spare.reserve_exact(1);
            self.spare.insert(at, *new);
        }
        if new.retire_prior_to > self.retire_prior_to {
            self.retire_prior_to = new.retire_prior_to;
            while self.spare.first().is_some_and(|old| old.sequence < new.retire_prior_to) {
                let old = self.spare.remove(0);
                self.retire(old.sequence);
            }
            if self.remote_sequence < new.retire_prior_to {
                self.change();
            }
        }
        if self.spare.len() as u64 >= ACTIVE_CIDS || self.retiring.len() > MAX_RETIRING {
            let reason = "more connection IDs than allowed";
            return Err(Violation::new(TransportCode::CONNECTION_ID_LIMIT, reason));
        }
        Ok(())
    }

    fn retire(&mut self, sequence: u64) {
        if self.retiring.iter().all(|(old, _)| *old != sequence) {
            self.retiring.push((sequence, false));
        }
    }

    // ---- frames and events

    pub(super) fn has_pending(&self) -> bool {
        self.issued.iter().any(|issued| !issued.is_told)
            || self.retiring.iter().any(|(_, is_told)| !is_told)
    }

    pub(super) fn write(&mut self, w: &mut Writer<'_>, sent: &mut SentPackets) -> Result<(), Full> {
        for issued in self.issued.iter_mut().filter(|issued| !issued.is_told) {
            let Issued { sequence, cid, token, .. } = *issued;
            let new = NewConnectionId { sequence, retire_prior_to: 0, cid, token };
            frame::write_new_connection_id(w, &new)?;
            issued.is_told = true;
            sent.push_frame(SentFrame::NewConnectionId(sequence));
        }
        for (sequence, is_told) in self.retiring.iter_mut().filter(|(_, is_told)| !is_told) {
            frame::write_retire_connection_id(w, *sequence)?;
            *is_told = true;
            sent.push_frame(SentFrame::RetireConnectionId(*sequence));
        }
        Ok(())
    }

    pub(super) fn on_lost(&mut self, frame: &SentFrame) {
        match frame {
            SentFrame::NewConnectionId(lost) => {
                self.issued.iter_mut().filter(|x| x.sequence == *lost).for_each(|issued| {
                    issued.is_told = false;
                });
            }
            SentFrame::RetireConnectionId(lost) => {
                self.retiring.iter_mut().filter(|x| x.0 == *lost).for_each(|x| x.1 = false);
            }
            _ => {}
        }
    }

    pub(super) fn on_acked(&mut self, frame: &SentFrame) {
        if let SentFrame::RetireConnectionId(sequence) = frame {
            self.retiring.retain(|(old, _)| old != sequence);
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<CidEvent> {
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cid(n: u8) -> Cid {
        Cid::local([n; 8])
    }

    fn new(sequence: u64, retire_prior_to: u64) -> NewConnectionId {
        let n = 100 + sequence as u8;
        NewConnectionId { sequence, retire_prior_to, cid: cid(n), token: [n; 16] }
    }

    fn started() -> Cids {
        let mut cids = Cids::new(cid(1), [1; 16], cid(100));
        cids.start(9, Some([100; 16]));
        assert_eq!(cids.poll_event(), Some(CidEvent::Token([100; 16])));
        cids
    }

    fn code(result: Result<(), Violation>) -> Option<TransportCode> {
        result.err().map(|violation| violation.code)
    }

    #[test]
    fn ours_are_told_retired_and_replaced() {
        let mut cids = started();
        let mut n = 2;
        while cids.wants_more() {
            cids.issue(cid(n), [n; 16]);
            n += 1;
        }
        assert_eq!(cids.local().count() as u64, ACTIVE_CIDS);
        let (mut buf, mut sent) = ([0; 256], SentPackets::default());
        assert!(cids.has_pending());
        cids.write(&mut Writer::new(&mut buf), &mut sent).unwrap();
        assert!(!cids.has_pending());
        cids.on_lost(&SentFrame::NewConnectionId(2));
        assert!(cids.has_pending());
        assert_eq!(code(cids.on_retire(3, Some(1))), Some(TransportCode::PROTOCOL), "never told");
        assert_eq!(code(cids.on_retire(1, Some(1))), Some(TransportCode::PROTOCOL), "in use");
        assert_eq!(code(cids.on_retire(0, Some(1))), None);
        assert_eq!(code(cids.on_retire(0, Some(1))), None, "a late copy");
        assert_eq!(cids.poll_event(), Some(CidEvent::Retired(cid(1))));
        assert_eq!((cids.poll_event(), cids.sequence_of(&cid(1))), (None, None));
        assert!(cids.wants_more());
    }

    #[test]
    fn the_peers_are_used_one_after_the_other() {
        let mut cids = started();
        cids.change();
        assert_eq!(*cids.remote(), cid(100), "there is no other");
        for sequence in [2, 1, 1] {
            assert_eq!(code(cids.on_new(&new(sequence, 0))), None);
        }
        cids.change();
        assert_eq!(*cids.remote(), cid(101));
        assert_eq!(cids.poll_event(), Some(CidEvent::Token([101; 16])));
        let (mut buf, mut sent) = ([0; 256], SentPackets::default());
        cids.write(&mut Writer::new(&mut buf), &mut sent).unwrap();
        assert_eq!(buf[..2], [0x19, 0]);
        cids.on_lost(&SentFrame::RetireConnectionId(0));
        assert!(cids.has_pending());
        cids.on_acked(&SentFrame::RetireConnectionId(0));
        assert!(!cids.has_pending());
        // The peer takes back what is in use, and what waits.
        assert_eq!(code(cids.on_new(&new(5, 5))), None);
        assert_eq!((*cids.remote(), cids.retiring.len()), (cid(105), 2));
        assert_eq!(code(cids.on_new(&new(4, 0))), None);
        assert_eq!(cids.retiring.len(), 3, "come late");
    }

    #[test]
    fn limits_at_and_over() {
        let mut cids = started();
        for sequence in 1..ACTIVE_CIDS {
            assert_eq!(code(cids.on_new(&new(sequence, 0))), None);
        }
        let over = cids.on_new(&new(ACTIVE_CIDS, 0));
        assert_eq!(code(over), Some(TransportCode::CONNECTION_ID_LIMIT));
        // Each takes the one before back, and we may retire none of them.
        let mut cids = started();
        for sequence in 1..=MAX_RETIRING as u64 {
            assert_eq!(code(cids.on_new(&new(sequence, sequence))), None, "{sequence}");
        }
        let over = cids.on_new(&new(99, 99));
        assert_eq!(code(over), Some(TransportCode::CONNECTION_ID_LIMIT));
    }

    #[test]
    fn an_id_does_not_change() {
        let mut cids = started();
        assert_eq!(code(cids.on_new(&new(1, 0))), None);
        let changed = [
            NewConnectionId { cid: cid(7), ..new(1, 0) },
            NewConnectionId { token: [7; 16], ..new(1, 0) },
            NewConnectionId { sequence: 2, ..new(1, 0) },
            NewConnectionId { cid: cid(7), ..new(0, 0) },
            NewConnectionId { cid: cid(100), ..new(9, 0) },
        ];
        for new in changed {
            assert_eq!(code(cids.on_new(&new)), Some(TransportCode::PROTOCOL), "{new:?}");
        }
    }
}
