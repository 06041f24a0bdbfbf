//! Who may use which service by the face: one rule of the owner's for each account.
//!
//! Owns the rules' meaning; the store has them. A rule names the grants with which the server's
//! node goes to the device on the account's behalf. The device decides by these anyway: a rule
//! alone opens nothing.

use rit_core::base::PublicKey;

use super::logins::Account;
use super::names;
use crate::store::Db;
use crate::store::face::FaceRule;
use crate::wall_unix_s;

/// A service that has a host name.
pub(crate) struct Service {
    pub(crate) device: PublicKey,
    pub(crate) name: String,
}

/// The rules in a store.
pub(crate) struct Rules(Db);

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

    /// Lets an account use a service; what was said before of it is replaced. The host's label.
    pub(crate) async fn allow(
        &self,
        service: &Service,
        account: Account,
        chain: &[u8],
    ) -> Result<String, sqlx::Error> {
        let rule = FaceRule {
            label: names::label(&service.device, &service.name),
            account,
            device: service.device,
            service: service.name.clone(),
            chain: chain.to_vec(),
        };
        self.0.set_face_rule(&rule, wall_unix_s()).await?;
        Ok(rule.label)
    }

    /// Takes that back; the grants it had, if it was there.
    pub(crate) async fn forbid(
        &self,
        service: &Service,
        account: Account,
    ) -> Result<Option<Vec<u8>>, sqlx::Error> {
        let label = names::label(&service.device, &service.name);
        self.0.remove_face_rule(&label, account).await
    }
}
