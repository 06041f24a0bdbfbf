//! Chains of grants that were given to be handed on, by the ID of their last grant.
//!
//! Owns the rows `grants`. Whether a chain is right is decided before it comes here.

use rit_core::base::PublicKey;

use super::Db;
use super::sql::{Row, args};

/// A grant to be stored.
pub(crate) struct NewGrant<'a> {
    pub(crate) id: &'a [u8; 16],
    pub(crate) device: &'a PublicKey,
    pub(crate) epoch: u32,
    pub(crate) issuer: &'a PublicKey,
    pub(crate) subject: &'a PublicKey,
    pub(crate) chain: &'a [u8],
    pub(crate) note: &'a str,
    pub(crate) begins_unix_s: Option<u64>,
    pub(crate) expires_unix_s: Option<u64>,
}

/// A grant as it was stored.
pub(crate) struct GrantRow {
    pub(crate) id: [u8; 16],
    pub(crate) device: PublicKey,
    pub(crate) issuer: PublicKey,
    pub(crate) subject: PublicKey,
    pub(crate) chain: Vec<u8>,
    pub(crate) note: String,
    pub(crate) created_unix_s: u64,
}

/// From which side grants are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrantSide {
    Given,
    Received,
    Either,
}

/// Of devices alone: more than people make, and few enough to look through.
pub(crate) const PER_DEVICE_MAX: i64 = 4096;

const COLUMNS: &str = "g.id, g.device, g.issuer, g.subject, g.chain, g.note, g.created_unix_s";
/// Arguments: $1 whether an admin, $2 the account.
const GIVEN: &str = "($1 = 1 OR EXISTS (SELECT 1 FROM client c
    WHERE c.account = $2 AND (c.key = g.issuer OR c.key = t.owner)))";
const RECEIVED: &str = "EXISTS (SELECT 1 FROM client c WHERE c.account = $2 AND c.key = g.subject)";

impl GrantRow {
    fn of(row: &Row) -> Result<GrantRow, sqlx::Error> {
        Ok(GrantRow {
            id: row.array(0)?,
            device: row.key(1)?,
            issuer: row.key(2)?,
            subject: row.key(3)?,
            chain: row.bytes(4)?,
            note: row.text(5)?,
            created_unix_s: row.uint(6)?,
        })
    }
}

impl Db {
    /// Stores a grant. `false`: the device has too many, or another chain has the ID.
    pub(crate) async fn add_grant(
        &self,
        grant: &NewGrant<'_>,
        now_unix_s: u64,
    ) -> Result<bool, sqlx::Error> {
        let mut tx = self.begin().await?;
        let sql = "DELETE FROM grants WHERE expires_unix_s <= $1 AND device = $2";
        tx.execute(sql, args![now_unix_s, grant.device]).await?;
        let sql = "INSERT INTO grants (id, device, epoch, issuer, subject, chain, note,
                       created_unix_s, begins_unix_s, expires_unix_s)
                   SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
                   WHERE (SELECT COUNT(*) FROM grants WHERE device = $2) < $11
                   ON CONFLICT (id) DO UPDATE SET note = $7 WHERE grants.chain = $6";
        let (begins, expires) = (grant.begins_unix_s, grant.expires_unix_s);
        let args = args![
            grant.id,
            grant.device,
            grant.epoch,
            grant.issuer,
            grant.subject,
            grant.chain,
            grant.note,
            now_unix_s,
            begins,
            expires,
            PER_DEVICE_MAX
        ];
        let is_stored = tx.execute(sql, args).await? == 1;
        tx.commit().await?;
        Ok(is_stored)
    }

    /// Grants that an account gave or received.
    pub(crate) async fn grants(
        &self,
        viewer: super::Viewer,
        device: Option<&PublicKey>,
        side: GrantSide,
        now_unix_s: u64,
    ) -> Result<Vec<GrantRow>, sqlx::Error> {
        let is_seen = match side {
            GrantSide::Given => GIVEN.to_owned(),
            GrantSide::Received => RECEIVED.to_owned(),
            GrantSide::Either => format!("({GIVEN} OR {RECEIVED})"),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM grants g LEFT JOIN trust t ON t.device = g.device
             WHERE {is_seen} AND (g.device = $3 OR $4 = 0) AND ($1 = 0 OR $1 = 1)
             AND (g.expires_unix_s IS NULL OR g.expires_unix_s > $5) AND g.epoch = t.epoch
             ORDER BY g.created_unix_s, g.id"
        );
        let key = device.map_or(&[][..], |key| &key.0[..]);
        let is_one = device.is_some();
        let args = args![viewer.is_admin, viewer.account, key, is_one, now_unix_s];
        self.fetch_all(&sql, args).await?.iter().map(GrantRow::of).collect()
    }

    /// All grants of a device, for looking which a revocation ends.
    pub(crate) async fn grants_of(&self, device: &PublicKey) -> Result<Vec<GrantRow>, sqlx::Error> {
        let sql = format!("SELECT {COLUMNS} FROM grants g WHERE g.device = $1");
        self.fetch_all(&sql, args![device]).await?.iter().map(GrantRow::of).collect()
    }

    /// Removes a grant that the account gave or received. That takes no right away: a revocation
    /// does.
    pub(crate) async fn remove_grant(
        &self,
        viewer: super::Viewer,
        id: &[u8],
    ) -> Result<Option<PublicKey>, sqlx::Error> {
        let sql = format!(
            "DELETE FROM grants WHERE id = $3 AND id IN (
                 SELECT g.id FROM grants g LEFT JOIN trust t ON t.device = g.device
                 WHERE {GIVEN} OR {RECEIVED})
             RETURNING device"
        );
        let row = self.fetch_optional(&sql, args![viewer.is_admin, viewer.account, id]).await?;
        row.map(|row| row.key(0)).transpose()
    }

    /// Removes grants that were revoked.
    pub(crate) async fn drop_grants(&self, ids: &[[u8; 16]]) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        for id in ids {
            tx.execute("DELETE FROM grants WHERE id = $1", args![id]).await?;
        }
        tx.commit().await
    }
}
