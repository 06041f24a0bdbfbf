//! What outlives the process: enrolled nodes and enrol codes, in SQLite.
//!
//! Owns the database file `broker.db` and its migrations. Answers the broker's queries; decides
//! nothing. Invariants: a code is stored only as its hash; using one up and enrolling the node are
//! one transaction. Several processes may have the file open: the server, and `rit-server code`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rit_core::base::PublicKey;
use rustix::fs::FlockOperation;
use sqlx::ConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::error::Error;
use crate::state::lock_file;

static MIGRATIONS: Migrator = sqlx::migrate!();

const FILE: &str = "broker.db";
/// How long one process waits for another's transaction, which lasts milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// One writes, some read.
const CONNECTIONS_MAX: u32 = 4;
/// Expired codes are kept a while, so that a person can be told why theirs did not work.
const EXPIRED_KEPT_S: i64 = 30 * 24 * 3600;

/// An open database.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) pool: SqlitePool,
    path: PathBuf,
}

impl Store {
    /// Whether a server has made a database in this folder.
    pub(crate) fn exists(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    /// Opens the database, making it or bringing it up to date where that is needed.
    pub(crate) async fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(FILE);
        // Two processes must not migrate at once; SQLite has no lock for that.
        let _migrating = lock_file(&dir.join("migrate.lock"), FlockOperation::LockExclusive)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A node told that it is enrolled must be so after a power failure too.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(|source| Error::Store { path: path.clone(), source })?;
        MIGRATIONS
            .run(&pool)
            .await
            .map_err(|source| Error::Migrate { path: path.clone(), source })?;
        Ok(Store { pool, path })
    }

    /// Waits for what is under way and closes the file.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether `key` is enrolled.
    pub(crate) async fn is_enrolled(&self, key: &PublicKey) -> Result<bool, sqlx::Error> {
        let query = sqlx::query("SELECT 1 FROM node WHERE key = ?").bind(&key.0[..]);
        Ok(query.fetch_optional(&self.pool).await?.is_some())
    }

    /// Enrols `key` by the code of this hash, if the code is good. Says whether it is enrolled now.
    pub(crate) async fn enrol(
        &self,
        key: &PublicKey,
        code_hash: &[u8; 32],
        now_unix_s: u64,
    ) -> Result<bool, sqlx::Error> {
        let now = seconds(now_unix_s);
        // A transaction that only later begins to write may find the file changed and fail at once.
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let known = sqlx::query("SELECT 1 FROM node WHERE key = ?").bind(&key.0[..]);
        if known.fetch_optional(&mut *transaction).await?.is_some() {
            return Ok(true);
        }
        let good = sqlx::query(
            "SELECT 1 FROM enrol_code
             WHERE hash = ? AND used_unix_s IS NULL AND expires_unix_s > ?",
        );
        let good = good.bind(&code_hash[..]).bind(now);
        if good.fetch_optional(&mut *transaction).await?.is_none() {
            return Ok(false);
        }
        sqlx::query("INSERT INTO node (key, enrolled_unix_s) VALUES (?, ?)")
            .bind(&key.0[..])
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE enrol_code SET used_unix_s = ?, used_by = ? WHERE hash = ?")
            .bind(now)
            .bind(&key.0[..])
            .bind(&code_hash[..])
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Stores codes by their hashes, and forgets those long expired.
    pub(crate) async fn add_codes(
        &self,
        hashes: &[[u8; 32]],
        valid: Duration,
        now_unix_s: u64,
    ) -> Result<(), Error> {
        let now = seconds(now_unix_s);
        let expires = seconds(now_unix_s.saturating_add(valid.as_secs()));
        let add = async {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query("DELETE FROM enrol_code WHERE used_by IS NULL AND expires_unix_s < ?")
                .bind(now.saturating_sub(EXPIRED_KEPT_S))
                .execute(&mut *transaction)
                .await?;
            for hash in hashes {
                sqlx::query(
                    "INSERT INTO enrol_code (hash, created_unix_s, expires_unix_s)
                     VALUES (?, ?, ?)",
                )
                .bind(&hash[..])
                .bind(now)
                .bind(expires)
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await
        };
        add.await.map_err(|source| Error::Store { path: self.path.clone(), source })
    }
}

/// SQLite's integers are signed.
fn seconds(unix_s: u64) -> i64 {
    i64::try_from(unix_s).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;
    const HOUR: Duration = Duration::from_secs(3600);

    fn key(byte: u8) -> PublicKey {
        PublicKey([byte; 32])
    }

    async fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn a_code_enrols_one_node_and_a_restart_forgets_nothing() {
        let (dir, store) = store().await;
        store.add_codes(&[[1; 32], [2; 32]], HOUR, NOW).await.unwrap();
        assert!(!store.is_enrolled(&key(1)).await.unwrap());
        assert!(store.enrol(&key(1), &[1; 32], NOW + 1).await.unwrap());
        assert!(!store.enrol(&key(2), &[1; 32], NOW + 1).await.unwrap(), "used");
        assert!(!store.enrol(&key(2), &[9; 32], NOW + 1).await.unwrap(), "wrong");
        store.close().await;

        let store = Store::open(dir.path()).await.unwrap();
        assert!(store.is_enrolled(&key(1)).await.unwrap());
        assert!(!store.is_enrolled(&key(2)).await.unwrap());
        assert!(!store.enrol(&key(2), &[1; 32], NOW + 2).await.unwrap(), "still used");
        assert!(store.enrol(&key(1), &[2; 32], NOW + 2).await.unwrap(), "enrolled already");
        assert!(store.enrol(&key(2), &[2; 32], NOW + 2).await.unwrap(), "so it was not used up");
    }

    #[tokio::test]
    async fn an_expired_code_enrols_nobody() {
        let (_dir, store) = store().await;
        store.add_codes(&[[1; 32]], HOUR, NOW).await.unwrap();
        assert!(!store.enrol(&key(1), &[1; 32], NOW + 3600).await.unwrap());
        assert!(store.enrol(&key(1), &[1; 32], NOW + 3599).await.unwrap());
        assert!(!store.enrol(&key(2), &[1; 32], u64::MAX).await.unwrap());
    }

    #[tokio::test]
    async fn of_many_at_once_one_gets_the_code() {
        let (dir, store) = store().await;
        let other = Store::open(dir.path()).await.unwrap();
        store.add_codes(&[[1; 32]], HOUR, NOW).await.unwrap();
        let tries = (0..32).map(|byte| {
            let store = if byte % 2 == 0 { store.clone() } else { other.clone() };
            tokio::spawn(async move { store.enrol(&key(byte), &[1; 32], NOW).await.unwrap() })
        });
        let mut enrolled = 0;
        for a_try in tries.collect::<Vec<_>>() {
            enrolled += u32::from(a_try.await.unwrap());
        }
        assert_eq!(enrolled, 1);
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_and_changes_nothing() {
        let (dir, store) = store().await;
        store.add_codes(&[[1; 32]], HOUR, NOW).await.unwrap();
        let full = SqlitePoolOptions::new().max_connections(1);
        let options = SqliteConnectOptions::new().filename(dir.path().join(FILE));
        let pool = full.connect_with(options).await.unwrap();
        // SQLite refuses to grow the file, as it would on a full disk.
        sqlx::query("PRAGMA max_page_count = 1").execute(&pool).await.unwrap();
        let full = Store { pool, path: dir.path().join(FILE) };
        let hashes: Vec<[u8; 32]> = (0..=255).map(|byte| [byte ^ 0x80; 32]).collect();
        assert!(full.add_codes(&hashes, HOUR, NOW).await.is_err());
        assert!(!store.enrol(&key(1), &[2; 32], NOW).await.unwrap());
        assert!(store.enrol(&key(1), &[1; 32], NOW).await.unwrap());
    }

    #[tokio::test]
    async fn long_expired_codes_are_forgotten_but_used_ones_are_not() {
        let (_dir, store) = store().await;
        store.add_codes(&[[1; 32], [2; 32]], HOUR, NOW).await.unwrap();
        assert!(store.enrol(&key(1), &[1; 32], NOW).await.unwrap());
        let later = NOW + 3600 + EXPIRED_KEPT_S as u64 + 1;
        store.add_codes(&[[3; 32]], HOUR, later).await.unwrap();
        let count = sqlx::query("SELECT hash FROM enrol_code").fetch_all(&store.pool).await;
        assert_eq!(count.unwrap().len(), 2);
    }
}
