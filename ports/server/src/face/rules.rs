//! Who may use which service by the face: one rule of the owner's for each account.
//!
//! Owns the rules' meaning; the store has them. A rule names the grants with which the server's
//! node goes to the device on the account's behalf. The device decides by these anyway: a rule
//! alone opens nothing.

use rit_core::base::PublicKey;
use rit_core::crypto::default_provider;
use rit_core::trust::{WallTime, authorize};

use super::logins::Account;
use crate::store::Db;
use crate::wall_unix_s;

/// A service that has a host name.
pub(crate) struct Service {
    pub(crate) device: PublicKey,
    pub(crate) name: String,
}

/// The rules in a store.
pub(crate) struct Rules(pub(super) Db);

impl Rules {
    pub(crate) fn new(db: Db) -> Self {
        Rules(db)
    }

    /// The service of a host name, if there is a rule for anyone.
    pub(crate) async fn service(&self, label: &str) -> Result<Option<Service>, sqlx::Error> {
        let found = self.0.face_service(label).await?;
        Ok(found.map(|(device, name)| Service { device, name }))
    }

    /// The grants by which an account may use it.
    pub(crate) async fn chain(
        &self,
        label: &str,
        account: Account,
    ) -> Result<Option<Vec<u8>>, sqlx::Error> {
        self.0.face_chain(label, account).await
    }

    /// Whether the device would not take these grants from `who`, as far as is known here. It
    /// decides itself; but of grants that it knows to be revoked it takes no notice at all.
    pub(crate) async fn is_refused(
        &self,
        device: &PublicKey,
        who: &PublicKey,
        chain: &[u8],
    ) -> Result<bool, sqlx::Error> {
        let trust = self.0.trust(device).await?;
        let state = trust.and_then(|trust| Some((trust.state(device)?, trust.list_number)));
        Ok(state.is_some_and(|(state, number)| {
            let time = WallTime { unix_s: Some(wall_unix_s()), fresh: Some(number) };
            authorize(default_provider(), &state, device, who, chain, time).is_err()
        }))
    }
}
