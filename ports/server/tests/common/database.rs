//! The server's database, behind its back: either kind by the same queries.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;
use std::str::FromStr;

use rit_core::broker::code_hash;
use rit_core::crypto::default_provider;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};

pub(crate) enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Database {
    /// In the state folder.
    pub(crate) async fn sqlite(state: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(state.join("broker.db"));
        let options = options.busy_timeout(std::time::Duration::from_secs(60));
        Database::Sqlite(options.connect().await.unwrap())
    }

    pub(crate) async fn postgres(url: &str) -> Self {
        Database::Postgres(PgConnectOptions::from_str(url).unwrap().connect().await.unwrap())
    }

    pub(crate) async fn execute(&mut self, sql: &str) {
        match self {
            Database::Sqlite(connection) => {
                sqlx::query(sql).execute(connection).await.unwrap();
            }
            Database::Postgres(connection) => {
                sqlx::query(sql).execute(connection).await.unwrap();
            }
        }
    }

    /// The one number that a query gives.
    pub(crate) async fn number(&mut self, sql: &str) -> i64 {
        match self {
            Database::Sqlite(connection) => {
                sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
            }
            Database::Postgres(connection) => {
                sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
            }
        }
    }

    /// A profile whose product key lets in so many.
    pub(crate) async fn add_profile(&mut self, name: &str, product_key: &str, limit: usize) {
        let hash = code_hash(default_provider(), product_key);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = match self {
            Database::Sqlite(_) => format!("x'{hex}'"),
            Database::Postgres(_) => format!(r"'\x{hex}'::bytea"),
        };
        self.execute(&format!(
            "INSERT INTO profile (id, name, key_hash, device_limit, tags, name_pattern,
                                  created_unix_s)
             VALUES ((SELECT COUNT(*) FROM profile) + 1, '{name}', {bytes}, {limit}, '[\"bulk\"]',
                     '{name}-{{n}}', 1)"
        ))
        .await;
    }

    pub(crate) async fn close(self) {
        match self {
            Database::Sqlite(connection) => connection.close().await.unwrap(),
            Database::Postgres(connection) => connection.close().await.unwrap(),
        }
    }
}
