//! Who is logged in now: tokens of clients and cookies of the page, by the hash alone.
//!
//! Owns the rows `api_token`; one with a key is a client's, one without the page's.

use rit_core::base::PublicKey;

use super::Db;
use super::sql::args;

/// Whose a token is.
pub(crate) struct TokenOwner {
    pub(crate) account: i64,
    pub(crate) name: String,
    pub(crate) is_admin: bool,
    /// The client that has it; none: the page.
    pub(crate) client: Option<PublicKey>,
}

impl Db {
    /// Stores a token's hash, and forgets those that are over.
    pub(crate) async fn add_token(
        &self,
        hash: &[u8; 32],
        account: i64,
        client: Option<&PublicKey>,
        now_unix_s: u64,
        expires_unix_s: u64,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        tx.execute("DELETE FROM api_token WHERE expires_unix_s <= $1", args![now_unix_s]).await?;
        let sql = "INSERT INTO api_token (hash, account, key, created_unix_s, expires_unix_s)
                   VALUES ($1, $2, $3, $4, $5)";
        let args = args![hash, account, client, now_unix_s, expires_unix_s];
        tx.execute(sql, args).await?;
        tx.commit().await
    }

    /// Whose it is, if it is good.
    pub(crate) async fn token_owner(
        &self,
        hash: &[u8; 32],
        now_unix_s: u64,
    ) -> Result<Option<TokenOwner>, sqlx::Error> {
        let sql = "SELECT a.id, a.name, a.role, t.key FROM api_token t
                   JOIN account a ON a.id = t.account
                   WHERE t.hash = $1 AND t.expires_unix_s > $2 AND a.is_disabled = 0";
        let Some(row) = self.fetch_optional(sql, args![hash, now_unix_s]).await? else {
            return Ok(None);
        };
        Ok(Some(TokenOwner {
            account: row.int(0)?,
            name: row.text(1)?,
            is_admin: row.text(2)? == "admin",
            client: row.key_or_null(3)?,
        }))
    }

    pub(crate) async fn remove_token(&self, hash: &[u8; 32]) -> Result<(), sqlx::Error> {
        self.execute("DELETE FROM api_token WHERE hash = $1", args![hash]).await.map(|_| ())
    }
}
