//! What outlives the process, in SQLite or PostgreSQL.
//!
//! Owns the connection to the database and its migrations; the queries are in the modules below,
//! one for each thing that is stored, all of them `impl Db` or functions that take a `Tx`. They are
//! written once for both databases: with `$1` for arguments, and nothing but integers, text and
//! bytes (yes is 1, no 0, lists are JSON). Decides nothing. Invariants: no secret is stored but by
//! its hash, the second factor and webhooks' secrets excepted, which must be known; the address of
//! the database, which may hold a password, is never shown.

mod accounts;
mod backup;
mod codes;
mod counts;
mod devices;
mod events;
pub(crate) mod face;
pub(crate) mod grants;
mod nodes;
mod nonces;
mod profiles;
mod sessions;
mod sql;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod throttle;
mod tokens;
mod trust;
pub(crate) mod webhooks;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FlockOperation;
use sqlx::ConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::error::Error;
use crate::state::lock_file;

pub(crate) use self::accounts::{Account, AccountRole};
pub(crate) use self::backup::BackupError;
pub(crate) use self::devices::{DeviceRow, EventRow, SessionRow, Viewer};
pub(crate) use self::events::{NewEvent, kind};
#[cfg(test)]
pub(crate) use self::nodes::Node;
pub(crate) use self::nodes::Presence;
pub(crate) use self::profiles::{NewProfile, Profile};
pub(crate) use self::sessions::NewSession;
pub(crate) use self::sql::{Arg, Tx, args, values};
pub(crate) use self::trust::{Owned, Trust};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

const FILE: &str = "broker.db";
/// How long one process waits for another's transaction, which lasts milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// One writes, some read.
const CONNECTIONS_MAX: u32 = 4;
/// Of one instance; PostgreSQL gives 100 to all.
const POSTGRES_CONNECTIONS_MAX: u32 = 8;

/// Where the rows are.
#[derive(Clone)]
pub(crate) enum Location {
    /// `broker.db` in this folder.
    Folder(PathBuf),
    /// A PostgreSQL database.
    Postgres(Box<PgConnectOptions>),
}

impl Location {
    /// Out of a `postgres://…` address, with or without a line end.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let url = url.trim();
        let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        // What is wrong with it is not said: that would show parts of it.
        let options = PgConnectOptions::from_str(url).ok().filter(|_| is_postgres);
        options.map(|options| Location::Postgres(Box::new(options))).ok_or(Error::Database)
    }

    /// For people: without a password.
    fn name(&self) -> String {
        match self {
            Location::Folder(dir) => dir.join(FILE).display().to_string(),
            Location::Postgres(options) => {
                let name = options.get_database().unwrap_or(options.get_username());
                let place = options.get_socket().map_or_else(
                    || format!("{}:{}", options.get_host(), options.get_port()),
                    |socket| socket.display().to_string(),
                );
                format!("{name} of PostgreSQL at {place}")
            }
        }
    }

    /// Whether a server has made a database there; of PostgreSQL, migrations tell.
    pub(crate) fn exists(&self) -> bool {
        match self {
            Location::Folder(dir) => dir.join(FILE).exists(),
            Location::Postgres(_) => true,
        }
    }
}

/// An open database. Cloned, it is the same one.
#[derive(Clone)]
pub(crate) struct Db {
    pool: Pool,
    name: Arc<str>,
}

#[derive(Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Db {
    /// Opens the database, making it or bringing it up to date where that is needed.
    pub(crate) async fn open(location: &Location) -> Result<Self, Error> {
        let name: Arc<str> = location.name().into();
        let failed = |source| Error::Store { name: name.to_string(), source };
        let unmigrated = |source| Error::Migrate { name: name.to_string(), source };
        let pool = match location {
            Location::Folder(dir) => {
                // Two processes must not migrate at once; SQLite has no lock for that.
                let lock = dir.join("migrate.lock");
                let _migrating = lock_file(&lock, FlockOperation::LockExclusive)?;
                let pool = sqlite(&dir.join(FILE)).await.map_err(failed)?;
                SQLITE.run(&pool).await.map_err(unmigrated)?;
                Pool::Sqlite(pool)
            }
            Location::Postgres(options) => {
                let pool = PgPoolOptions::new()
                    .max_connections(POSTGRES_CONNECTIONS_MAX)
                    .acquire_timeout(BUSY_TIMEOUT)
                    .connect_with((**options).clone().disable_statement_logging())
                    .await
                    .map_err(failed)?;
                POSTGRES.run(&pool).await.map_err(unmigrated)?;
                Pool::Postgres(pool)
            }
        };
        Ok(Db { pool, name })
    }

    /// Waits for what is under way and closes the database.
    pub(crate) async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }

    /// The pool, if several servers can have the database.
    pub(crate) fn postgres(&self) -> Option<&PgPool> {
        match &self.pool {
            Pool::Sqlite(_) => None,
            Pool::Postgres(pool) => Some(pool),
        }
    }

    /// Begins to write. What is not committed has not been.
    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        match &self.pool {
            // A transaction that only later begins to write may find the file changed and fail at
            // once.
            Pool::Sqlite(pool) => pool.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite),
            Pool::Postgres(pool) => pool.begin().await.map(Tx::Postgres),
        }
    }

    /// Begins to read what is there at one moment.
    pub(crate) async fn begin_to_read(&self) -> Result<Tx, sqlx::Error> {
        match &self.pool {
            Pool::Sqlite(pool) => pool.begin().await.map(Tx::Sqlite),
            Pool::Postgres(pool) => {
                let mut tx = pool.begin().await.map(Tx::Postgres)?;
                let level = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
                tx.execute(level, args![]).await?;
                Ok(tx)
            }
        }
    }

    /// What a query failed with, as an error of the program.
    pub(crate) fn failed(&self, source: sqlx::Error) -> Error {
        Error::Store { name: self.name.to_string(), source }
    }
}

async fn sqlite(file: &Path) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A node told that it is enrolled must be so after a power failure too.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // 16 MiB: nodes' rows are read in no order.
        .pragma("cache_size", "-16384")
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(BUSY_TIMEOUT)
        // They go nowhere.
        .test_before_acquire(false)
        .connect_with(options)
        .await
}

/// Times in the database are signed.
pub(crate) fn seconds(unix_s: u64) -> i64 {
    i64::try_from(unix_s).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::testing::{NOW, key, on_both, sqlite_in};
    use super::*;

    /// What the first released server left behind.
    async fn released(dir: &Path) -> SqlitePool {
        let pool = sqlite(&dir.join(FILE)).await.unwrap();
        let first = Migrator {
            migrations: SQLITE.migrations.iter().take(1).cloned().collect::<Vec<_>>().into(),
            ..Migrator::DEFAULT
        };
        first.run(&pool).await.unwrap();
        pool
    }

    #[tokio::test]
    async fn the_first_release_s_nodes_and_codes_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let pool = released(dir.path()).await;
        sqlx::query("INSERT INTO node VALUES (?, 5)")
            .bind(vec![1; 32])
            .execute(&pool)
            .await
            .unwrap();
        let code = "INSERT INTO enrol_code VALUES (?, 1, 4000000000, ?, ?)";
        let used = sqlx::query(code).bind(vec![7; 32]).bind(9_i64).bind(vec![1; 32]);
        used.execute(&pool).await.unwrap();
        let unused = sqlx::query(code).bind(vec![8; 32]).bind(None::<i64>).bind(None::<Vec<u8>>);
        unused.execute(&pool).await.unwrap();
        pool.close().await;

        let db = sqlite_in(dir.path()).await;
        let node = db.node(&key(1)).await.unwrap().unwrap();
        assert_eq!((node.enrolled_unix_s, node.is_online, node.tags.as_str()), (5, false, "[]"));
        assert!(!db.enrol(&key(2), &[7; 32], NOW).await.unwrap(), "used");
        assert!(db.enrol(&key(2), &[8; 32], NOW).await.unwrap());
        db.close().await;
        let again = sqlite_in(dir.path()).await;
        assert!(again.is_enrolled(&key(2)).await.unwrap(), "migrated once");
    }

    #[test]
    fn addresses_of_databases_show_no_password() {
        let location = Location::parse("postgres://rit:hidden@db.example.org/rit\n").unwrap();
        assert_eq!(location.name(), "rit of PostgreSQL at db.example.org:5432");
        for bad in ["", "sqlite://x", "mysql://u:hidden@h/d", "postgres://u:hidden@h:port/d"] {
            let error = Location::parse(bad).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[tokio::test]
    async fn both_databases_have_the_same_tables_and_columns() {
        let dir = tempfile::tempdir().unwrap();
        let db = sqlite_in(dir.path()).await;
        let sql = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
                   WHERE m.type = 'table' AND m.name NOT LIKE '%sqlx%' ORDER BY 1, 2";
        let lite = columns(&db, sql).await;
        assert!(lite.len() > 80);
        let Some(server) = testing::postgres() else { return };
        let db = server.fresh().await;
        let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns
                   WHERE table_schema = 'public' AND table_name NOT LIKE '%sqlx%'";
        let mut postgres = columns(&db, sql).await;
        postgres.sort();
        assert_eq!(lite, postgres);
    }

    async fn columns(db: &Db, sql: &str) -> Vec<(String, String)> {
        let rows = db.fetch_all(sql, args![]).await.unwrap();
        rows.iter().map(|row| (row.text(0).unwrap(), row.text(1).unwrap())).collect()
    }

    #[tokio::test]
    async fn what_is_not_committed_has_not_been() {
        on_both(|db| async move {
            for is_committed in [false, true] {
                let mut tx = db.begin().await.unwrap();
                let sql = "INSERT INTO node (key, enrolled_unix_s) VALUES ($1, $2)";
                tx.execute(sql, args![&key(1), NOW]).await.unwrap();
                if is_committed {
                    tx.commit().await.unwrap();
                } else {
                    drop(tx);
                }
                assert_eq!(db.is_enrolled(&key(1)).await.unwrap(), is_committed);
            }
        })
        .await;
    }
}
