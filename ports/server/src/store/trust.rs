//! What devices said of their owners, and the newest revocation list for each. Not believed by
//! anyone: the list is signed, and devices decide.

use std::collections::{HashMap, HashSet};

use rit_core::base::PublicKey;
use rit_core::crypto::default_provider;
use rit_core::trust::TrustState;

use super::Db;
use super::sql::{Arg, ROWS_AT_ONCE, Tx, args, rounds, values};

/// Whom a device obeys, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) device: PublicKey,
    pub(crate) owner: Option<PublicKey>,
    pub(crate) epoch: u32,
}

/// What is known of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    pub(crate) owner: Option<PublicKey>,
    pub(crate) epoch: u32,
    /// Of the list; 0: there is none.
    pub(crate) list_number: u64,
    pub(crate) list: Option<Vec<u8>>,
}

impl Trust {
    /// What holds for a device, as far as is known here; nothing if it has no owner.
    pub(crate) fn state(&self, device: &PublicKey) -> Option<TrustState> {
        let mut state = TrustState::owned(self.owner?, self.epoch);
        if let Some(list) = &self.list {
            state.revoke(default_provider(), device, list).ok()?;
        }
        Some(state)
    }
}

impl Db {
    /// What is known of this device.
    pub(crate) async fn trust(&self, device: &PublicKey) -> Result<Option<Trust>, sqlx::Error> {
        Ok(self.trust_of(&[*device]).await?.remove(device))
    }

    /// What is known of those of these devices that told something.
    pub(crate) async fn trust_of(
        &self,
        devices: &[PublicKey],
    ) -> Result<HashMap<PublicKey, Trust>, sqlx::Error> {
        let mut found = HashMap::with_capacity(devices.len());
        for some in devices.chunks(ROWS_AT_ONCE) {
            let sql = format!(
                "SELECT device, owner, epoch, list_number, list FROM trust WHERE device IN {}",
                values(1, some.len())
            );
            let args: Vec<Arg<'_>> = some.iter().map(Arg::from).collect();
            for row in self.fetch_all(&sql, &args).await? {
                let trust = Trust {
                    owner: row.key_or_null(1)?,
                    epoch: u32::try_from(row.uint(2)?).unwrap_or(u32::MAX),
                    list_number: row.uint(3)?,
                    list: row.bytes_or_null(4)?,
                };
                found.insert(row.key(0)?, trust);
            }
        }
        Ok(found)
    }

    /// Stores a list of the device's owner, if it is newer than what there is; whether it was. Who
    /// calls this has checked the list.
    pub(crate) async fn set_list(
        &self,
        device: &PublicKey,
        owner: &PublicKey,
        epoch: u32,
        number: u64,
        list: &[u8],
    ) -> Result<bool, sqlx::Error> {
        let sql = "UPDATE trust SET list_number = $1, list = $2
                   WHERE device = $3 AND owner = $4 AND epoch = $5 AND list_number < $1";
        Ok(self.execute(sql, args![number, list, device, owner, epoch]).await? > 0)
    }
}

impl Tx {
    /// Devices said whose they are. A list of another ownership goes. Returns of each for which
    /// that was news, in the order of `all`, whose it was before.
    pub(crate) async fn set_owners(
        &mut self,
        all: &[Owned],
    ) -> Result<Vec<(Owned, Option<PublicKey>)>, sqlx::Error> {
        let mut news = Vec::new();
        for some in rounds(all, ROWS_AT_ONCE, |one| &one.device) {
            let devices: Vec<Arg<'_>> = some.iter().map(|one| Arg::from(&one.device)).collect();
            let sql = format!(
                "SELECT device, owner FROM trust WHERE device IN {}",
                values(1, devices.len())
            );
            let mut before = HashMap::new();
            for row in self.fetch_all(&sql, &devices).await? {
                before.insert(row.key(0)?, row.key_or_null(1)?);
            }
            let sql = format!(
                "INSERT INTO trust (device, owner, epoch)
                 SELECT v.column1, v.column2, v.column3 FROM (VALUES {}) AS v
                 WHERE v.column1 IN (SELECT key FROM node)
                 ON CONFLICT (device) DO UPDATE
                 SET owner = excluded.owner, epoch = excluded.epoch, list_number = 0, list = NULL
                 WHERE trust.epoch <> excluded.epoch
                    OR trust.owner IS DISTINCT FROM excluded.owner
                 RETURNING device",
                values(some.len(), 3)
            );
            let mut args = Vec::with_capacity(some.len() * 3);
            for one in some {
                args.extend([Arg::from(&one.device), one.owner.as_ref().into(), one.epoch.into()]);
            }
            let mut changed = HashSet::new();
            for row in self.fetch_all(&sql, &args).await? {
                changed.insert(row.key(0)?);
            }
            let is_news = |one: &&Owned| changed.contains(&one.device);
            let with_before = |one: &Owned| (*one, before.get(&one.device).copied().flatten());
            news.extend(some.iter().filter(is_news).map(with_before));
        }
        Ok(news)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{enrol_all, key, on_both};
    use super::*;

    #[tokio::test]
    async fn owners_and_lists() {
        on_both(|db| async move {
            enrol_all(&db, 1..=2).await;
            let (device, owner, next) = (key(1), key(50), key(51));
            assert_eq!(db.trust(&device).await.unwrap(), None);
            assert!(!db.set_list(&device, &owner, 1, 1, b"one").await.unwrap());
            assert!(db.set_owner(&device, Some(&owner), 1).await.unwrap());
            assert!(!db.set_owner(&device, Some(&owner), 1).await.unwrap(), "no news");
            assert!(!db.set_owner(&key(9), Some(&owner), 1).await.unwrap(), "no node");
            assert!(db.set_list(&device, &owner, 1, 2, b"two").await.unwrap());
            assert!(!db.set_list(&device, &owner, 1, 2, b"again").await.unwrap());
            assert!(!db.set_list(&device, &next, 1, 3, b"another's").await.unwrap());
            assert!(!db.set_list(&device, &owner, 2, 3, b"another time's").await.unwrap());
            assert!(!db.set_owner(&device, Some(&owner), 1).await.unwrap());
            let trust = db.trust(&device).await.unwrap().unwrap();
            assert_eq!((trust.owner, trust.epoch), (Some(owner), 1));
            assert_eq!((trust.list_number, trust.list), (2, Some(b"two".to_vec())));

            assert!(db.set_owner(&device, Some(&next), 2).await.unwrap());
            let trust = db.trust(&device).await.unwrap().unwrap();
            assert_eq!((trust.owner, trust.list_number, trust.list), (Some(next), 0, None));
            assert!(db.set_owner(&device, None, 3).await.unwrap());
            assert_eq!(db.trust(&device).await.unwrap().unwrap().owner, None);
            let told = |byte, owner, epoch| Owned { device: key(byte), owner, epoch };
            let all = [told(1, Some(next), 4), told(2, None, 1), told(9, None, 1)];
            let all = [&all[..], &[told(1, Some(owner), 5)]].concat();
            let mut tx = db.begin().await.unwrap();
            let news = tx.set_owners(&all).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(news, [(all[0], None), (all[1], None), (all[3], Some(next))]);
            assert_eq!(db.trust_of(&[key(1), key(2), key(9)]).await.unwrap().len(), 2);
            assert!(db.forget_node(&device).await.unwrap());
            assert_eq!(db.trust(&device).await.unwrap(), None);
        })
        .await;
    }
}
