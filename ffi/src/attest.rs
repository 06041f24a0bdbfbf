//! Attestation: statements are made and checked by the integrator's callbacks.

use crate::io::{Io, RIT_ATTESTATION_MAX};
use crate::node::Inner;
use alloc::vec::Vec;
use rit_core::base::{PublicKey, Time};
use rit_core::node::{ATTESTATION_LEN_MAX, AttestTask, Attestation};

const _: () = assert!(RIT_ATTESTATION_MAX == ATTESTATION_LEN_MAX);

impl Io {
    pub(crate) fn attestation(&self) -> Attestation {
        Attestation {
            has_own: self.raw.attest.is_some(),
            is_demanded: self.raw.check_attestation.is_some(),
        }
    }

    /// A statement, in memory that is given back when it was sent.
    fn attest(&self, challenge: &[u8; 32]) -> Option<Vec<u8>> {
        let attest = self.raw.attest?;
        let mut out = Vec::new();
        out.try_reserve_exact(RIT_ATTESTATION_MAX).ok()?;
        out.resize(RIT_ATTESTATION_MAX, 0);
        // SAFETY: the integrator promised by the table that it may be called with its ctx; the
        // pointers are those of a live array and slice.
        let len = unsafe { attest(self.raw.ctx, challenge.as_ptr(), out.as_mut_ptr(), out.len()) };
        let len = usize::try_from(len).ok().filter(|len| (1..=out.len()).contains(len))?;
        out.truncate(len);
        Some(out)
    }

    fn check_attestation(&self, peer: &PublicKey, challenge: &[u8; 32], statement: &[u8]) -> bool {
        let Some(check) = self.raw.check_attestation else { return false };
        let (peer, challenge) = (peer.0.as_ptr(), challenge.as_ptr());
        // SAFETY: as above.
        unsafe { check(self.raw.ctx, peer, challenge, statement.as_ptr(), statement.len()) == 0 }
    }
}

impl Inner {
    /// Has made and checked what is to be.
    pub(crate) fn drain_attest(&mut self, now: Time) {
        while let Some(task) = self.node.poll_attest() {
            // A session that ended meanwhile, or a statement that does not fit, is told by events.
            let _ = match task {
                AttestTask::Make { session, challenge, .. } => {
                    let statement = self.io.attest(&challenge);
                    self.node.attest_made(session, statement.as_deref(), now)
                }
                AttestTask::Check { session, peer, challenge, statement } => {
                    let is_fine = self.io.check_attestation(&peer, &challenge, &statement);
                    self.node.attest_checked(session, is_fine, now)
                }
            };
        }
    }
}
