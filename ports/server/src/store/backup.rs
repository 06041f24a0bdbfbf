//! All rows in a file, the same for SQLite and PostgreSQL: who has outgrown the one restores into
//! the other.
//!
//! Owns the format, which is lines: `rit-server backup 1`; for each table `table NAME COLUMN…`,
//! then its rows, a value a column, separated by tabs (`n`, `i` and a number, `t` and `b` and
//! base64 of text and bytes); at last `end` and how many rows there were. Invariants: a backup is
//! of one moment; it is restored whole, into an empty database, or not at all. What belongs to
//! running instances is left out.

use std::io::{self, BufRead, Write};

use data_encoding::BASE64_NOPAD;
use thiserror::Error;

use super::sql::{Arg, Tx, Value, args, values};
use super::{Db, Pool};

const HEAD: &str = "rit-server backup 1";
/// Tables that others refer to come first. Tables that are not here come last.
const FIRST: &[&str] = &["counter", "account", "profile", "node"];
/// What is of no use to another process.
const NOT_KEPT: &[&str] = &["instance", "mail", "nonce", "_sqlx_migrations"];
const ROWS_AT_ONCE: u32 = 1000;

/// Why there is no backup, or nothing was restored.
#[derive(Debug, Error)]
pub(crate) enum BackupError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The file did.
    #[error(transparent)]
    File(#[from] io::Error),
    /// It is not one that this program wrote, or not all of it.
    #[error("line {0} is not as it was written")]
    Malformed(u64),
    /// What is there would be mixed with what comes.
    #[error("the database is not empty")]
    NotEmpty,
}

impl Db {
    /// Writes all rows; how many.
    pub(crate) async fn backup(&self, out: &mut impl Write) -> Result<u64, BackupError> {
        let mut tx = self.begin_to_read().await?;
        writeln!(out, "{HEAD}")?;
        let mut rows = 0;
        for table in self.tables().await? {
            rows += write_table(&mut tx, &table, out).await?;
        }
        writeln!(out, "end {rows}")?;
        Ok(rows)
    }

    /// Takes all rows of a backup; how many.
    pub(crate) async fn restore(&self, from: &mut impl BufRead) -> Result<u64, BackupError> {
        let tables = self.tables().await?;
        let mut tx = self.begin().await?;
        for table in &tables {
            let sql = format!("SELECT 1 FROM {table} LIMIT 1");
            if table != "counter" && tx.fetch_optional(&sql, args![]).await?.is_some() {
                return Err(BackupError::NotEmpty);
            }
        }
        tx.execute("DELETE FROM counter", args![]).await?;
        let rows = read_tables(&mut tx, &tables, from).await?;
        tx.execute("UPDATE node SET is_online = 0, instance = NULL", args![]).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Names of tables that are kept, in the order in which they are written.
    async fn tables(&self) -> Result<Vec<String>, sqlx::Error> {
        let sql = match &self.pool {
            Pool::Sqlite(_) => "SELECT name FROM sqlite_schema WHERE type = 'table'",
            Pool::Postgres(_) => {
                "SELECT table_name::text FROM information_schema.tables
                 WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
            }
        };
        let mut tables = Vec::new();
        for row in self.fetch_all(sql, args![]).await? {
            tables.push(row.text(0)?);
        }
        tables.retain(|name| !NOT_KEPT.contains(&name.as_str()) && !name.starts_with("sqlite_"));
        let place = |name: &String| FIRST.iter().position(|first| first == name);
        tables.sort_by_key(|name| {
            (place(name).unwrap_or(FIRST.len()), is_referring(name), name.clone())
        });
        Ok(tables)
    }
}

/// `delivery` refers to `webhook`, which is behind it in the alphabet.
fn is_referring(table: &str) -> bool {
    table == "delivery"
}

async fn write_table(tx: &mut Tx, table: &str, out: &mut impl Write) -> Result<u64, BackupError> {
    let mut count = 0;
    let mut last: Option<Value> = None;
    loop {
        // The first column of each table is its key.
        let key = tx.first_column(table).await?;
        let rows = match &last {
            None => {
                let sql = format!("SELECT * FROM {table} ORDER BY {key} LIMIT $1");
                tx.fetch_all(&sql, args![ROWS_AT_ONCE]).await?
            }
            Some(last) => {
                let sql = format!("SELECT * FROM {table} WHERE {key} > $1 ORDER BY {key} LIMIT $2");
                tx.fetch_all(&sql, &[last.as_arg(), ROWS_AT_ONCE.into()]).await?
            }
        };
        let Some(row) = rows.last() else { return Ok(count) };
        last = row.values()?.into_iter().next();
        if count == 0 {
            writeln!(out, "table {table} {}", row.columns().join(" "))?;
        }
        for row in &rows {
            let fields: Vec<String> = row.values()?.iter().map(field).collect();
            writeln!(out, "{}", fields.join("\t"))?;
            count += 1;
        }
    }
}

fn field(value: &Value) -> String {
    match value {
        Value::Null => "n".to_owned(),
        Value::Int(value) => format!("i{value}"),
        Value::Text(value) => format!("t{}", BASE64_NOPAD.encode(value.as_bytes())),
        Value::Bytes(value) => format!("b{}", BASE64_NOPAD.encode(value)),
    }
}

fn value(field: &str) -> Option<Value> {
    let decode = |text: &str| BASE64_NOPAD.decode(text.as_bytes()).ok();
    let rest = field.get(1..)?;
    Some(match field.get(..1)? {
        "n" if rest.is_empty() => Value::Null,
        "i" => Value::Int(rest.parse().ok()?),
        "t" => Value::Text(String::from_utf8(decode(rest)?).ok()?),
        "b" => Value::Bytes(decode(rest)?),
        _ => return None,
    })
}

async fn read_tables(
    tx: &mut Tx,
    tables: &[String],
    from: &mut impl BufRead,
) -> Result<u64, BackupError> {
    let (mut number, mut rows) = (1, 0_u64);
    let mut lines = from.lines();
    if lines.next().transpose()?.as_deref() != Some(HEAD) {
        return Err(BackupError::Malformed(1));
    }
    let mut insert: Option<(String, usize)> = None;
    for line in lines {
        let line = line?;
        number += 1;
        let malformed = || BackupError::Malformed(number);
        if let Some(count) = line.strip_prefix("end ") {
            return if count.parse() == Ok(rows) { Ok(rows) } else { Err(malformed()) };
        }
        if let Some(head) = line.strip_prefix("table ") {
            insert = Some(statement(head, tables).ok_or_else(malformed)?);
            continue;
        }
        let fields: Option<Vec<Value>> = line.split('\t').map(value).collect();
        let (Some(fields), Some((sql, columns))) = (fields, &insert) else {
            return Err(malformed());
        };
        if fields.len() != *columns {
            return Err(malformed());
        }
        let args: Vec<Arg<'_>> = fields.iter().map(Value::as_arg).collect();
        tx.execute(sql, &args).await?;
        rows += 1;
    }
    Err(BackupError::Malformed(number + 1))
}

/// What inserts a row of the table that this line tells of, and how many columns that has.
fn statement(head: &str, tables: &[String]) -> Option<(String, usize)> {
    let mut words = head.split(' ');
    let table = words.next().filter(|name| tables.iter().any(|table| table == name))?;
    let columns: Vec<&str> = words.collect();
    let is_name = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    if columns.is_empty() || !columns.iter().all(is_name) {
        return None;
    }
    let sql =
        format!("INSERT INTO {table} ({}) VALUES {}", columns.join(", "), values(1, columns.len()));
    Some((sql, columns.len()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{HOUR, NOW, enrol_all, key, on_both, sqlite_in};
    use super::super::{NewEvent, kind};
    use super::*;

    async fn fill(db: &Db) {
        enrol_all(db, 1..=200).await;
        db.add_codes(&[[250; 32]], HOUR, None, NOW).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        let many = vec![NewEvent::of_device(kind::NODE_ONLINE, &key(1)); 1500];
        tx.add_events(&many, NOW).await.unwrap();
        tx.commit().await.unwrap();
        assert!(db.set_owner(&key(1), Some(&key(9)), 4).await.unwrap());
        let nul = "UPDATE node SET name = 'a\tb\nc', instance = 3, is_online = 1 WHERE key = $1";
        db.execute(nul, args![&key(2)]).await.unwrap();
        let sql = "INSERT INTO webhook (id, url, secret, created_unix_s) VALUES (1, 'u', $1, 1)";
        db.execute(sql, args![&[1; 32]]).await.unwrap();
        let sql = "INSERT INTO delivery (id, webhook, event, due_unix_s) VALUES (1, 1, 1, 1)";
        db.execute(sql, args![]).await.unwrap();
    }

    async fn text(db: &Db) -> String {
        let mut out = Vec::new();
        db.backup(&mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn rows_go_from_either_database_to_either() {
        let dir = tempfile::tempdir().unwrap();
        let source = sqlite_in(dir.path()).await;
        fill(&source).await;
        let first = text(&source).await;
        on_both(|db| {
            let first = first.clone();
            async move {
                let rows = db.restore(&mut first.as_bytes()).await.unwrap();
                assert!(rows > 1900);
                let node = db.node(&key(2)).await.unwrap().unwrap();
                assert_eq!((node.name.as_str(), node.is_online), ("a\tb\nc", false));
                assert!(db.enrol(&key(251), &[250; 32], NOW).await.unwrap());
                assert_eq!(db.trust(&key(1)).await.unwrap().unwrap().epoch, 4);
                assert_eq!(db.last_event().await.unwrap(), 1701);
                let again = db.restore(&mut first.as_bytes()).await;
                assert!(matches!(again, Err(BackupError::NotEmpty)));
                // And on to another one.
                let dir = tempfile::tempdir().unwrap();
                let last = sqlite_in(dir.path()).await;
                let second = text(&db).await;
                last.restore(&mut second.as_bytes()).await.unwrap();
                assert!(last.is_enrolled(&key(251)).await.unwrap());
                let sorted = |text: &str| {
                    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                    lines.retain(|line| !line.starts_with("table "));
                    lines.sort();
                    lines
                };
                assert_eq!(sorted(&second).len(), sorted(&text(&last).await).len());
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_damaged_backup_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let db = sqlite_in(dir.path()).await;
        enrol_all(&db, 1..=2).await;
        let good = text(&db).await;
        let dir = tempfile::tempdir().unwrap();
        let empty = sqlite_in(dir.path()).await;
        let lines: Vec<&str> = good.lines().collect();
        for cut in 0..lines.len() {
            let cut = lines[..cut].join("\n");
            assert!(empty.restore(&mut cut.as_bytes()).await.is_err());
        }
        for bad in ["table nothing a", "table node key);", "i1\tx", "end 1", "", "i1"] {
            let text = format!("{HEAD}\n{bad}\n{}", lines[1..].join("\n"));
            let error = empty.restore(&mut text.as_bytes()).await.unwrap_err();
            assert!(matches!(error, BackupError::Malformed(2)), "{bad}: {error}");
        }
        assert_eq!(empty.count_nodes().await.unwrap(), (0, 0));
        empty.restore(&mut good.as_bytes()).await.unwrap();
    }
}
