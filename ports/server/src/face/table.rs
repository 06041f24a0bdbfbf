//! The face's rules as rows.

use rit_core::base::PublicKey;
use sqlx::Row;

use super::logins::Account;
use crate::store::Store;
use crate::wall_unix_s;

impl Store {
    pub(super) async fn face_service(
        &self,
        label: &str,
    ) -> Result<Option<(PublicKey, String)>, sqlx::Error> {
        let query = sqlx::query("SELECT device, service FROM face_rule WHERE label = ? LIMIT 1");
        let row = query.bind(label).fetch_optional(&self.pool).await?;
        row.map(|row| {
            let device: Vec<u8> = row.try_get(0)?;
            let device = device.try_into().map_err(|_| sqlx::Error::RowNotFound)?;
            Ok((PublicKey(device), row.try_get(1)?))
        })
        .transpose()
    }

    pub(super) async fn face_chain(
        &self,
        label: &str,
        account: Account,
    ) -> Result<Option<Vec<u8>>, sqlx::Error> {
        let query = sqlx::query("SELECT chain FROM face_rule WHERE label = ? AND account = ?");
        let row = query.bind(label).bind(account).fetch_optional(&self.pool).await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    pub(super) async fn face_allow(
        &self,
        label: &str,
        device: &PublicKey,
        service: &str,
        account: Account,
        chain: &[u8],
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO face_rule (label, account, device, service, chain, created_unix_s)
             VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (label, account) DO UPDATE SET chain = excluded.chain",
        )
        .bind(label)
        .bind(account)
        .bind(&device.0[..])
        .bind(service)
        .bind(chain)
        .bind(i64::try_from(wall_unix_s()).unwrap_or(i64::MAX))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub(super) async fn face_forbid(
        &self,
        label: &str,
        account: Account,
    ) -> Result<Option<Vec<u8>>, sqlx::Error> {
        let query = "DELETE FROM face_rule WHERE label = ? AND account = ? RETURNING chain";
        let query = sqlx::query(query).bind(label).bind(account);
        let row = query.fetch_optional(&self.pool).await?;
        row.map(|row| row.try_get(0)).transpose()
    }
}
