//! What devices said of their owners, and the newest revocation list for each. Not believed by
//! anyone: the list is signed, and devices decide.

use rit_core::base::PublicKey;

use super::Db;
use super::sql::{Tx, args};

/// What is known of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    pub(crate) owner: Option<PublicKey>,
    pub(crate) epoch: u32,
    /// Of the list; 0: there is none.
    pub(crate) list_number: u64,
    pub(crate) list: Option<Vec<u8>>,
}

impl Db {
    /// What is known of this device.
    pub(crate) async fn trust(&self, device: &PublicKey) -> Result<Option<Trust>, sqlx::Error> {
        let sql = "SELECT owner, epoch, list_number, list FROM trust WHERE device = $1";
        let Some(row) = self.fetch_optional(sql, args![device]).await? else { return Ok(None) };
        Ok(Some(Trust {
            owner: row.key_or_null(0)?,
            epoch: u32::try_from(row.uint(1)?).unwrap_or(u32::MAX),
            list_number: row.uint(2)?,
            list: row.bytes_or_null(3)?,
        }))
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
    /// Whose the device was, as far as it told.
    pub(crate) async fn owner(
        &mut self,
        device: &PublicKey,
    ) -> Result<Option<PublicKey>, sqlx::Error> {
        let sql = "SELECT owner FROM trust WHERE device = $1";
        match self.fetch_optional(sql, args![device]).await? {
            Some(row) => row.key_or_null(0),
            None => Ok(None),
        }
    }

    /// The device said whose it is. A list of another ownership goes; whether that was news.
    pub(crate) async fn set_owner(
        &mut self,
        device: &PublicKey,
        owner: Option<&PublicKey>,
        epoch: u32,
    ) -> Result<bool, sqlx::Error> {
        let sql = "INSERT INTO trust (device, owner, epoch) SELECT key, $2, $3 FROM node
                   WHERE key = $1
                   ON CONFLICT (device) DO UPDATE
                   SET owner = excluded.owner, epoch = excluded.epoch, list_number = 0, list = NULL
                   WHERE trust.epoch <> excluded.epoch
                      OR trust.owner IS DISTINCT FROM excluded.owner";
        Ok(self.execute(sql, args![device, owner, epoch]).await? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{enrol_all, key, on_both};

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
            assert!(db.forget_node(&device).await.unwrap());
            assert_eq!(db.trust(&device).await.unwrap(), None);
        })
        .await;
    }
}
