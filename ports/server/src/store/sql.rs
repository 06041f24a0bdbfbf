//! One way to ask SQLite and PostgreSQL.
//!
//! Owns arguments, rows and transactions. Statements say `$1`, `$2`, … for their arguments, which
//! both databases know. `Db` and `Tx` have the same three functions; what must be together goes
//! through a `Tx`.

use std::collections::HashSet;

use rit_core::base::PublicKey;
use sqlx::{Column, Postgres, Row as _, Sqlite, Transaction, TypeInfo, ValueRef};

use super::{Db, Pool, seconds};

/// An argument of a statement; borrowed where it is long.
#[derive(Clone, Debug)]
pub(crate) enum Arg<'a> {
    /// A number, a time, or yes and no.
    Int(Option<i64>),
    /// A key, a hash, a statement.
    Bytes(Option<&'a [u8]>),
    /// Words, or JSON.
    Text(Option<&'a str>),
    /// Nothing, of no type: what the column has is taken.
    Null,
}

/// Arguments in their order: `args![&key, now, "text"]`.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::store::Arg::from($value)),*] };
}
pub(crate) use args;

impl From<i64> for Arg<'_> {
    fn from(value: i64) -> Self {
        Arg::Int(Some(value))
    }
}

impl From<u64> for Arg<'_> {
    fn from(value: u64) -> Self {
        Arg::Int(Some(seconds(value)))
    }
}

impl From<u32> for Arg<'_> {
    fn from(value: u32) -> Self {
        Arg::Int(Some(value.into()))
    }
}

impl From<bool> for Arg<'_> {
    fn from(value: bool) -> Self {
        Arg::Int(Some(value.into()))
    }
}

impl From<Option<i64>> for Arg<'_> {
    fn from(value: Option<i64>) -> Self {
        Arg::Int(value)
    }
}

impl From<Option<u64>> for Arg<'_> {
    fn from(value: Option<u64>) -> Self {
        Arg::Int(value.map(seconds))
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(value: &'a [u8]) -> Self {
        Arg::Bytes(Some(value))
    }
}

impl<'a> From<&'a Vec<u8>> for Arg<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Arg::Bytes(Some(value))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Arg<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Arg::Bytes(Some(value))
    }
}

impl<'a> From<&'a PublicKey> for Arg<'a> {
    fn from(value: &'a PublicKey) -> Self {
        Arg::Bytes(Some(&value.0))
    }
}

impl<'a> From<Option<&'a PublicKey>> for Arg<'a> {
    fn from(value: Option<&'a PublicKey>) -> Self {
        Arg::Bytes(value.map(|key| &key.0[..]))
    }
}

impl<'a> From<Option<&'a [u8]>> for Arg<'a> {
    fn from(value: Option<&'a [u8]>) -> Self {
        Arg::Bytes(value)
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(value: &'a str) -> Self {
        Arg::Text(Some(value))
    }
}

impl<'a> From<&'a String> for Arg<'a> {
    fn from(value: &'a String) -> Self {
        Arg::Text(Some(value))
    }
}

impl<'a> From<Option<&'a str>> for Arg<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Arg::Text(value)
    }
}

/// One row of an answer. Columns are counted from 0.
pub(crate) enum Row {
    Sqlite(sqlx::sqlite::SqliteRow),
    Postgres(sqlx::postgres::PgRow),
}

/// What a column can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    pub(crate) fn as_arg(&self) -> Arg<'_> {
        match self {
            Value::Null => Arg::Null,
            Value::Int(value) => Arg::Int(Some(*value)),
            Value::Text(value) => Arg::Text(Some(value)),
            Value::Bytes(value) => Arg::Bytes(Some(value)),
        }
    }
}

/// Takes one column as one of the types that both databases have.
macro_rules! column {
    ($name:ident, $type:ty) => {
        pub(crate) fn $name(&self, column: usize) -> Result<$type, sqlx::Error> {
            match self {
                Row::Sqlite(row) => row.try_get(column),
                Row::Postgres(row) => row.try_get(column),
            }
        }
    };
}

impl Row {
    column!(int, i64);
    column!(int_or_null, Option<i64>);
    column!(text, String);
    column!(text_or_null, Option<String>);
    column!(bytes, Vec<u8>);
    column!(bytes_or_null, Option<Vec<u8>>);

    /// A number that is never negative, a time for example.
    pub(crate) fn uint(&self, column: usize) -> Result<u64, sqlx::Error> {
        self.int(column).map(|value| u64::try_from(value).unwrap_or(0))
    }

    pub(crate) fn uint_or_null(&self, column: usize) -> Result<Option<u64>, sqlx::Error> {
        let value = self.int_or_null(column)?;
        Ok(value.map(|value| u64::try_from(value).unwrap_or(0)))
    }

    pub(crate) fn flag(&self, column: usize) -> Result<bool, sqlx::Error> {
        self.int(column).map(|value| value != 0)
    }

    pub(crate) fn array<const N: usize>(&self, column: usize) -> Result<[u8; N], sqlx::Error> {
        let bytes = self.bytes(column)?;
        bytes.try_into().map_err(|_| wrong_length(column))
    }

    pub(crate) fn key(&self, column: usize) -> Result<PublicKey, sqlx::Error> {
        self.array(column).map(PublicKey)
    }

    pub(crate) fn key_or_null(&self, column: usize) -> Result<Option<PublicKey>, sqlx::Error> {
        let Some(bytes) = self.bytes_or_null(column)? else { return Ok(None) };
        bytes.try_into().map(|key| Some(PublicKey(key))).map_err(|_| wrong_length(column))
    }
}

impl Row {
    /// Names of the columns.
    pub(crate) fn columns(&self) -> Vec<String> {
        match self {
            Row::Sqlite(row) => row.columns().iter().map(|one| one.name().to_owned()).collect(),
            Row::Postgres(row) => row.columns().iter().map(|one| one.name().to_owned()).collect(),
        }
    }

    /// All columns, whatever they hold.
    pub(crate) fn values(&self) -> Result<Vec<Value>, sqlx::Error> {
        // Of NULL, SQLite tells the type that the column was declared with.
        macro_rules! kinds {
            ($row:expr) => {
                (0..$row.len()).map(|at| {
                    let raw = $row.try_get_raw(at)?;
                    let is_null = raw.is_null();
                    Ok(if is_null { "NULL".into() } else { raw.type_info().name().to_owned() })
                })
            };
        }
        let kinds: Vec<String> = match self {
            Row::Sqlite(row) => kinds!(row).collect::<Result<_, sqlx::Error>>()?,
            Row::Postgres(row) => kinds!(row).collect::<Result<_, sqlx::Error>>()?,
        };
        let value = |(at, kind): (usize, &String)| match kind.as_str() {
            "NULL" => Ok(Value::Null),
            "INTEGER" | "INT8" => self.int(at).map(Value::Int),
            "TEXT" => self.text(at).map(Value::Text),
            "BLOB" | "BYTEA" => self.bytes(at).map(Value::Bytes),
            other => Err(sqlx::Error::Protocol(format!("column {at} is {other}"))),
        };
        kinds.iter().enumerate().map(value).collect()
    }
}

fn wrong_length(column: usize) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_string(),
        source: "it is of another length".into(),
    }
}

/// What is written together or not at all.
#[derive(Debug)]
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// No value, and no type.
struct Nothing;

impl sqlx::Type<Sqlite> for Nothing {
    fn type_info() -> sqlx::sqlite::SqliteTypeInfo {
        <Vec<u8> as sqlx::Type<Sqlite>>::type_info()
    }
}

impl sqlx::Encode<'_, Sqlite> for Nothing {
    fn encode_by_ref(
        &self,
        _: &mut Vec<sqlx::sqlite::SqliteArgumentValue<'_>>,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        Ok(sqlx::encode::IsNull::Yes)
    }
}

impl sqlx::Type<Postgres> for Nothing {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        // PostgreSQL finds out.
        sqlx::postgres::PgTypeInfo::with_oid(sqlx::postgres::types::Oid(0))
    }
}

impl sqlx::Encode<'_, Postgres> for Nothing {
    fn encode_by_ref(
        &self,
        _: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        Ok(sqlx::encode::IsNull::Yes)
    }
}

/// The statement with its arguments, for either database.
macro_rules! query {
    ($sql:expr, $args:expr) => {
        $args.iter().fold(sqlx::query($sql), |query, arg| match arg {
            Arg::Int(value) => query.bind(*value),
            Arg::Bytes(value) => query.bind(*value),
            Arg::Text(value) => query.bind(*value),
            Arg::Null => query.bind(Nothing),
        })
    };
}

impl Db {
    /// All rows of the answer.
    pub(crate) async fn fetch_all(
        &self,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match &self.pool {
            Pool::Sqlite(pool) => {
                let rows = query!(sql, args).fetch_all(pool).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Pool::Postgres(pool) => {
                let rows = query!(sql, args).fetch_all(pool).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row, if there is one.
    pub(crate) async fn fetch_optional(
        &self,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(match &self.pool {
            Pool::Sqlite(pool) => query!(sql, args).fetch_optional(pool).await?.map(Row::Sqlite),
            Pool::Postgres(pool) => {
                query!(sql, args).fetch_optional(pool).await?.map(Row::Postgres)
            }
        })
    }

    /// How many rows the statement changed.
    pub(crate) async fn execute(&self, sql: &str, args: &[Arg<'_>]) -> Result<u64, sqlx::Error> {
        Ok(match &self.pool {
            Pool::Sqlite(pool) => query!(sql, args).execute(pool).await?.rows_affected(),
            Pool::Postgres(pool) => query!(sql, args).execute(pool).await?.rows_affected(),
        })
    }
}

impl Tx {
    /// All rows of the answer.
    pub(crate) async fn fetch_all(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Tx::Sqlite(tx) => {
                let rows = query!(sql, args).fetch_all(&mut **tx).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Tx::Postgres(tx) => {
                let rows = query!(sql, args).fetch_all(&mut **tx).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row, if there is one.
    pub(crate) async fn fetch_optional(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(match self {
            Tx::Sqlite(tx) => query!(sql, args).fetch_optional(&mut **tx).await?.map(Row::Sqlite),
            Tx::Postgres(tx) => {
                query!(sql, args).fetch_optional(&mut **tx).await?.map(Row::Postgres)
            }
        })
    }

    /// How many rows the statement changed.
    pub(crate) async fn execute(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Tx::Sqlite(tx) => query!(sql, args).execute(&mut **tx).await?.rows_affected(),
            Tx::Postgres(tx) => query!(sql, args).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// `count` fresh numbers for rows of a table, and the first of them. Whoever else wants some
    /// waits until this is committed, so that rows become visible in the order of their numbers.
    pub(crate) async fn numbers(&mut self, table: &str, count: u32) -> Result<i64, sqlx::Error> {
        let sql = "UPDATE counter SET value = value + $1 WHERE name = $2 RETURNING value";
        let row = self.fetch_optional(sql, args![count, table]).await?;
        let last = row.ok_or(sqlx::Error::RowNotFound)?.int(0)?;
        Ok(last - i64::from(count) + 1)
    }

    /// Waits until nobody else writes who is online: of two who change many nodes, each could wait
    /// for the other. SQLite has one writer anyway.
    pub(crate) async fn line_up(&mut self) -> Result<(), sqlx::Error> {
        if matches!(self, Tx::Postgres(_)) {
            let lock = "SELECT value FROM counter WHERE name = 'event' FOR UPDATE";
            self.fetch_optional(lock, args![]).await?;
        }
        Ok(())
    }

    /// The column of a table that names its rows.
    pub(crate) async fn first_column(&mut self, table: &str) -> Result<String, sqlx::Error> {
        let sql = match self {
            Tx::Sqlite(_) => "SELECT name FROM pragma_table_info($1) WHERE cid = 0",
            Tx::Postgres(_) => {
                "SELECT column_name::text FROM information_schema.columns
                 WHERE table_schema = current_schema() AND table_name = $1
                 AND ordinal_position = 1"
            }
        };
        let row = self.fetch_optional(sql, args![table]).await?;
        row.ok_or(sqlx::Error::RowNotFound)?.text(0)
    }

    /// Makes all of it so.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Tx::Sqlite(tx) => tx.commit().await,
            Tx::Postgres(tx) => tx.commit().await,
        }
    }
}

/// Rows that one statement writes; SQLite and PostgreSQL bear many more arguments.
pub(crate) const ROWS_AT_ONCE: usize = 100;

/// The list in its order, in pieces of at most so many, each of which has no key twice: what one
/// statement can do.
pub(crate) fn rounds<T>(
    all: &[T],
    max: usize,
    key: impl Fn(&T) -> &PublicKey,
) -> impl Iterator<Item = &[T]> {
    let mut rest = all;
    std::iter::from_fn(move || {
        let mut seen = HashSet::new();
        let len = rest.iter().take(max).take_while(|one| seen.insert(key(one))).count();
        let (some, more) = rest.split_at(len);
        rest = more;
        Some(some).filter(|some| !some.is_empty())
    })
}

/// `(a, …), (b, …)` with argument numbers: what comes behind VALUES for many rows at once.
pub(crate) fn values(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let arguments: Vec<String> =
            (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", arguments.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_both;
    use super::*;

    #[test]
    fn many_rows_have_an_argument_each() {
        assert_eq!(values(2, 3), "($1, $2, $3), ($4, $5, $6)");
    }

    #[test]
    fn a_round_has_each_key_once_and_is_not_too_long() {
        let keys = [1, 2, 2, 1, 3, 4, 5, 5].map(|byte| PublicKey([byte; 32]));
        let lengths = |max| rounds(&keys, max, |key| key).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(100), [2, 5, 1]);
        assert_eq!(lengths(3), [2, 3, 2, 1]);
        assert_eq!(rounds(&keys[..0], 3, |key| key).count(), 0);
    }

    #[tokio::test]
    async fn numbers_are_given_out_once() {
        on_both(|db| async move {
            let takes = (0..20).map(|_| {
                let db = db.clone();
                tokio::spawn(async move {
                    let mut tx = db.begin().await.unwrap();
                    let first = tx.numbers("event", 3).await.unwrap();
                    tx.commit().await.unwrap();
                    first
                })
            });
            let mut all = Vec::new();
            for take in takes.collect::<Vec<_>>() {
                all.push(take.await.unwrap());
            }
            all.sort_unstable();
            assert_eq!(all, (0..20).map(|at| at * 3 + 1).collect::<Vec<i64>>());
            let mut tx = db.begin().await.unwrap();
            assert!(tx.numbers("nothing", 1).await.is_err());
        })
        .await;
    }
}
