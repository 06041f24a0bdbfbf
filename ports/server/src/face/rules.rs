//! Who may use which service by the face: one rule of the owner's for each account.
//!
//! Owns the rules' meaning; the store has them. A rule names the grants with which the server's
//! node goes to the device on the account's behalf. The device decides by these anyway: a rule
//! alone opens nothing.

use rit_core::base::PublicKey;

use super::logins::Account;
use crate::store::Db;

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
}
