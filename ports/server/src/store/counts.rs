//! How much there is of some things, for whoever watches the server.

use super::Db;
use super::sql::args;

/// The numbers.
pub(crate) struct Counts {
    pub(crate) accounts: u64,
    /// So far, forgotten ones too.
    pub(crate) events: u64,
    pub(crate) sessions: u64,
    /// That wait.
    pub(crate) deliveries: u64,
}

impl Db {
    pub(crate) async fn http_counts(&self) -> Result<Counts, sqlx::Error> {
        let sql = "SELECT (SELECT COUNT(*) FROM account),
                       (SELECT value FROM counter WHERE name = 'event'),
                       (SELECT value FROM counter WHERE name = 'session'),
                       (SELECT COUNT(*) FROM delivery)";
        let row = self.fetch_optional(sql, args![]).await?.ok_or(sqlx::Error::RowNotFound)?;
        Ok(Counts {
            accounts: row.uint(0)?,
            events: row.uint(1)?,
            sessions: row.uint(2)?,
            deliveries: row.uint(3)?,
        })
    }
}
