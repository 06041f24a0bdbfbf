//! Accounts, and the clients that logged in: the keys of the nodes that are an account's.
//!
//! Owns the rows `account` and `client`. A password is stored as its Argon2id text. A key is a
//! client of one account at most. Invariant: a one-time code's step only grows, so none is taken
//! twice.

use rit_core::base::PublicKey;

use super::sql::{Row, args};
use super::{Db, Tx};

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountRole {
    /// Sees and touches what is its own.
    User,
    /// Sees all, and provisions.
    Admin,
}

impl AccountRole {
    fn text(self) -> &'static str {
        match self {
            AccountRole::User => "user",
            AccountRole::Admin => "admin",
        }
    }
}

/// An account.
pub(crate) struct Account {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) password_hash: Option<String>,
    /// The secret of one-time codes, and whether it is confirmed.
    pub(crate) totp: Option<Vec<u8>>,
    pub(crate) totp_is_on: bool,
    pub(crate) role: AccountRole,
    pub(crate) is_disabled: bool,
    pub(crate) created_unix_s: u64,
}

const COLUMNS: &str =
    "id, name, password_hash, totp, totp_is_on, role, is_disabled, created_unix_s";

impl Account {
    fn of(row: &Row) -> Result<Account, sqlx::Error> {
        Ok(Account {
            id: row.int(0)?,
            name: row.text(1)?,
            password_hash: row.text_or_null(2)?,
            totp: row.bytes_or_null(3)?,
            totp_is_on: row.flag(4)?,
            role: match row.text(5)?.as_str() {
                "admin" => AccountRole::Admin,
                _ => AccountRole::User,
            },
            is_disabled: row.flag(6)?,
            created_unix_s: row.uint(7)?,
        })
    }

    /// The secret that one-time codes must fit, if they are asked for.
    pub(crate) fn totp_in_use(&self) -> Option<&[u8]> {
        self.totp.as_deref().filter(|_| self.totp_is_on)
    }
}

/// A node that logged in.
pub(crate) struct ClientRow {
    pub(crate) key: PublicKey,
    pub(crate) created_unix_s: u64,
    pub(crate) seen_unix_s: u64,
}

impl Db {
    pub(crate) async fn account_named(&self, name: &str) -> Result<Option<Account>, sqlx::Error> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE name = $1");
        self.fetch_optional(&sql, args![name]).await?.as_ref().map(Account::of).transpose()
    }

    pub(crate) async fn account(&self, id: i64) -> Result<Option<Account>, sqlx::Error> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE id = $1");
        self.fetch_optional(&sql, args![id]).await?.as_ref().map(Account::of).transpose()
    }

    /// The account of who is `subject` to a login provider.
    pub(crate) async fn account_of_subject(
        &self,
        subject: &str,
    ) -> Result<Option<Account>, sqlx::Error> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE oidc_subject = $1");
        self.fetch_optional(&sql, args![subject]).await?.as_ref().map(Account::of).transpose()
    }

    pub(crate) async fn accounts(&self) -> Result<Vec<Account>, sqlx::Error> {
        let sql = format!("SELECT {COLUMNS} FROM account ORDER BY name");
        self.fetch_all(&sql, args![]).await?.iter().map(Account::of).collect()
    }

    /// A new account; none if the name or the subject has one.
    pub(crate) async fn add_account(
        &self,
        name: &str,
        password_hash: Option<&str>,
        subject: Option<&str>,
        role: AccountRole,
        now_unix_s: u64,
    ) -> Result<Option<i64>, sqlx::Error> {
        let mut tx = self.begin().await?;
        let id = tx.numbers("account", 1).await?;
        let sql =
            "INSERT INTO account (id, name, password_hash, oidc_subject, role, created_unix_s)
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let role = role.text();
        let args = args![id, name, password_hash, subject, role, now_unix_s];
        if tx.execute(sql, args).await? == 0 {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(id))
    }

    /// Sets a password; whoever was logged in by the old one no longer is.
    pub(crate) async fn set_password(&self, id: i64, hash: &str) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE account SET password_hash = $1 WHERE id = $2";
        tx.execute(sql, args![hash, id]).await?;
        tx.execute("DELETE FROM api_token WHERE account = $1", args![id]).await?;
        tx.commit().await
    }

    /// Lets nobody log in to the account, or lets them again. What is logged in no longer is.
    pub(crate) async fn disable(&self, id: i64, is_disabled: bool) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE account SET is_disabled = $1 WHERE id = $2";
        tx.execute(sql, args![is_disabled, id]).await?;
        tx.execute("DELETE FROM api_token WHERE account = $1", args![id]).await?;
        tx.commit().await
    }

    /// A secret for one-time codes, which are not asked for until one was confirmed. Says whether
    /// there was none in use.
    pub(crate) async fn begin_totp(&self, id: i64, secret: &[u8]) -> Result<bool, sqlx::Error> {
        let sql = "UPDATE account SET totp = $1 WHERE id = $2 AND totp_is_on = 0";
        Ok(self.execute(sql, args![secret, id]).await? == 1)
    }

    /// From now on one-time codes are asked for.
    pub(crate) async fn confirm_totp(&self, id: i64, step: u64) -> Result<bool, sqlx::Error> {
        let sql = "UPDATE account SET totp_is_on = 1, totp_step = $1
                   WHERE id = $2 AND totp_is_on = 0 AND totp_step < $1";
        Ok(self.execute(sql, args![step, id]).await? == 1)
    }

    pub(crate) async fn remove_totp(&self, id: i64) -> Result<(), sqlx::Error> {
        let sql = "UPDATE account SET totp = NULL, totp_is_on = 0 WHERE id = $1";
        self.execute(sql, args![id]).await.map(|_| ())
    }

    /// Takes the one-time code of a step; not one that was taken, nor an earlier one.
    pub(crate) async fn take_totp(&self, id: i64, step: u64) -> Result<bool, sqlx::Error> {
        let sql = "UPDATE account SET totp_step = $1 WHERE id = $2 AND totp_step < $1";
        Ok(self.execute(sql, args![step, id]).await? == 1)
    }

    /// Makes a node a client of an account, enrolling it. Not if it is another account's.
    pub(crate) async fn add_client(
        &self,
        key: &PublicKey,
        account: i64,
        now_unix_s: u64,
    ) -> Result<bool, sqlx::Error> {
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO node (key, enrolled_unix_s) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.execute(sql, args![key, now_unix_s]).await?;
        let sql = "INSERT INTO client (key, account, created_unix_s, seen_unix_s)
                   VALUES ($1, $2, $3, $3)
                   ON CONFLICT (key) DO UPDATE SET seen_unix_s = $3 WHERE client.account = $2";
        if tx.execute(sql, args![key, account, now_unix_s]).await? == 0 {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The account of a client, if it may log in; the client was seen.
    pub(crate) async fn account_of_client(
        &self,
        key: &PublicKey,
        now_unix_s: u64,
    ) -> Result<Option<Account>, sqlx::Error> {
        let sql = "UPDATE client SET seen_unix_s = $2 WHERE key = $1 RETURNING account";
        let Some(row) = self.fetch_optional(sql, args![key, now_unix_s]).await? else {
            return Ok(None);
        };
        Ok(self.account(row.int(0)?).await?.filter(|account| !account.is_disabled))
    }

    pub(crate) async fn clients(&self, account: i64) -> Result<Vec<ClientRow>, sqlx::Error> {
        let sql = "SELECT key, created_unix_s, seen_unix_s FROM client
                   WHERE account = $1 ORDER BY created_unix_s, key";
        let rows = self.fetch_all(sql, args![account]).await?;
        let client = |row: &Row| {
            Ok(ClientRow {
                key: row.key(0)?,
                created_unix_s: row.uint(1)?,
                seen_unix_s: row.uint(2)?,
            })
        };
        rows.iter().map(client).collect()
    }

    /// Takes a client from an account. Its node is no longer enrolled, unless it has an owner: then
    /// it is a device too.
    pub(crate) async fn remove_client(
        &self,
        key: &PublicKey,
        account: i64,
    ) -> Result<bool, sqlx::Error> {
        let mut tx = self.begin().await?;
        let sql = "DELETE FROM client WHERE key = $1 AND account = $2";
        if tx.execute(sql, args![key, account]).await? == 0 {
            return Ok(false);
        }
        tx.execute("DELETE FROM api_token WHERE key = $1", args![key]).await?;
        remove_node(&mut tx, key).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// A node that has no owner and was nobody's device.
async fn remove_node(tx: &mut Tx, key: &PublicKey) -> Result<(), sqlx::Error> {
    let sql = "SELECT 1 FROM trust WHERE device = $1 AND owner IS NOT NULL";
    if tx.fetch_optional(sql, args![key]).await?.is_some() {
        return Ok(());
    }
    tx.execute("DELETE FROM enrol_code WHERE used_by = $1", args![key]).await?;
    tx.execute("DELETE FROM node WHERE key = $1", args![key]).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, key, on_both};
    use super::*;

    #[tokio::test]
    async fn accounts_tokens_and_codes() {
        on_both(|db| async move {
            let role = AccountRole::Admin;
            let id = db.add_account("ada", Some("hash"), Some("i s"), role, NOW).await;
            let id = id.unwrap().unwrap();
            assert!(db.add_account("ada", None, None, role, NOW).await.unwrap().is_none());
            let by_subject = db.account_of_subject("i s").await.unwrap().unwrap();
            assert_eq!((by_subject.id, by_subject.role), (id, role));
            db.add_token(&[1; 32], id, None, NOW, NOW + 10).await.unwrap();
            let owner = db.token_owner(&[1; 32], NOW + 9).await.unwrap().unwrap();
            assert!(owner.is_admin && owner.client.is_none() && owner.name == "ada");
            assert!(db.token_owner(&[1; 32], NOW + 10).await.unwrap().is_none());
            db.disable(id, true).await.unwrap();
            assert!(db.token_owner(&[1; 32], NOW).await.unwrap().is_none());
            assert!(db.begin_totp(id, b"secret").await.unwrap());
            assert!(db.confirm_totp(id, 5).await.unwrap());
            assert!(!db.begin_totp(id, b"other").await.unwrap(), "in use");
            assert!(!db.take_totp(id, 5).await.unwrap() && db.take_totp(id, 6).await.unwrap());
            assert!(!db.take_totp(id, 6).await.unwrap() && !db.take_totp(id, 5).await.unwrap());
            assert!(db.use_nonce(b"nonce", NOW + 5, NOW).await.unwrap());
            assert!(!db.use_nonce(b"nonce", NOW + 5, NOW).await.unwrap());
        })
        .await;
    }

    #[tokio::test]
    async fn a_key_is_one_accounts_client() {
        on_both(|db| async move {
            let role = AccountRole::User;
            let ada = db.add_account("ada", None, None, role, NOW).await.unwrap().unwrap();
            let bob = db.add_account("bob", None, None, role, NOW).await.unwrap().unwrap();
            assert!(db.add_client(&key(1), ada, NOW).await.unwrap());
            assert!(db.add_client(&key(1), ada, NOW + 1).await.unwrap());
            assert!(!db.add_client(&key(1), bob, NOW).await.unwrap());
            assert!(!db.add_client(&key(2), 99, NOW).await.is_ok_and(|is_added| is_added));
            assert_eq!(db.account_of_client(&key(1), NOW).await.unwrap().unwrap().id, ada);
            assert!(!db.remove_client(&key(1), bob).await.unwrap());
            assert!(db.remove_client(&key(1), ada).await.unwrap());
            assert!(!db.is_enrolled(&key(1)).await.unwrap());
            assert!(db.clients(ada).await.unwrap().is_empty());
        })
        .await;
    }
}
