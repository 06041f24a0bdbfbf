//! Enrolled nodes, which of them are online, and at which instance.

use rit_core::base::PublicKey;

use super::sql::{Arg, ROWS_AT_ONCE, Row, Tx, args, values};
use super::{Db, NewEvent, kind};

/// A node as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) key: PublicKey,
    pub(crate) enrolled_unix_s: u64,
    pub(crate) profile: Option<i64>,
    pub(crate) name: String,
    /// JSON, a list of text.
    pub(crate) tags: String,
    /// JSON, a list of `{name, kind, port}`.
    pub(crate) services: String,
    pub(crate) firmware: String,
    /// Where it was last seen, `IP:PORT`.
    pub(crate) address: String,
    pub(crate) is_online: bool,
    pub(crate) seen_unix_s: Option<u64>,
    /// The instance that has its link.
    pub(crate) instance: Option<i64>,
    pub(crate) last_error: String,
}

/// That a node came or went, at one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Presence {
    pub(crate) key: PublicKey,
    pub(crate) is_online: bool,
    pub(crate) address: String,
    pub(crate) firmware: String,
    /// JSON, a list of `{name, kind, port}`.
    pub(crate) services: String,
}

const COLUMNS: &str = "node.key, enrolled_unix_s, profile, name, tags, services, firmware, address,
                       is_online, seen_unix_s, instance, last_error";

fn node(row: &Row) -> Result<Node, sqlx::Error> {
    Ok(Node {
        key: row.key(0)?,
        enrolled_unix_s: row.uint(1)?,
        profile: row.int_or_null(2)?,
        name: row.text(3)?,
        tags: row.text(4)?,
        services: row.text(5)?,
        firmware: row.text(6)?,
        address: row.text(7)?,
        is_online: row.flag(8)?,
        seen_unix_s: row.uint_or_null(9)?,
        instance: row.int_or_null(10)?,
        last_error: row.text(11)?,
    })
}

impl Db {
    /// Whether `key` is enrolled.
    pub(crate) async fn is_enrolled(&self, key: &PublicKey) -> Result<bool, sqlx::Error> {
        let sql = "SELECT 1 FROM node WHERE key = $1";
        Ok(self.fetch_optional(sql, args![key]).await?.is_some())
    }

    /// Those of `keys` that are enrolled, each with the instance that has its link.
    pub(crate) async fn lookup(
        &self,
        keys: &[PublicKey],
    ) -> Result<Vec<(PublicKey, Option<i64>)>, sqlx::Error> {
        let mut found = Vec::with_capacity(keys.len());
        for some in keys.chunks(ROWS_AT_ONCE) {
            let sql =
                format!("SELECT key, instance FROM node WHERE key IN {}", values(1, some.len()));
            let args: Vec<Arg<'_>> = some.iter().map(Arg::from).collect();
            for row in self.fetch_all(&sql, &args).await? {
                found.push((row.key(0)?, row.int_or_null(1)?));
            }
        }
        Ok(found)
    }

    /// The node of this key.
    pub(crate) async fn node(&self, key: &PublicKey) -> Result<Option<Node>, sqlx::Error> {
        let sql = format!("SELECT {COLUMNS} FROM node WHERE key = $1");
        self.fetch_optional(&sql, args![key]).await?.as_ref().map(node).transpose()
    }

    /// How many nodes are enrolled, and how many of them online.
    pub(crate) async fn count_nodes(&self) -> Result<(u64, u64), sqlx::Error> {
        let sql = "SELECT COUNT(*), COUNT(instance) FROM node";
        let row = self.fetch_optional(sql, args![]).await?.ok_or(sqlx::Error::RowNotFound)?;
        Ok((row.uint(0)?, row.uint(1)?))
    }

    /// Enrols nodes without codes, at the word of who runs the server. Those that are enrolled stay
    /// as they are.
    pub(crate) async fn let_in(
        &self,
        keys: &[PublicKey],
        now_unix_s: u64,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        let mut events = Vec::new();
        for key in keys {
            let add = "INSERT INTO node (key, enrolled_unix_s) VALUES ($1, $2)
                       ON CONFLICT DO NOTHING";
            if tx.execute(add, args![key, now_unix_s]).await? > 0 {
                events.push(NewEvent::of_device(kind::NODE_ENROLLED, key));
            }
        }
        tx.add_events(&events, now_unix_s).await?;
        tx.commit().await
    }

    /// The keys of all enrolled nodes, and their names.
    pub(crate) async fn members(&self) -> Result<Vec<(PublicKey, String)>, sqlx::Error> {
        let rows = self.fetch_all("SELECT key, name FROM node ORDER BY key", args![]).await?;
        rows.iter().map(|row| Ok((row.key(0)?, row.text(1)?))).collect()
    }

    /// Makes a node a stranger again; whether it was known. What it was enrolled with stays used.
    pub(crate) async fn forget_node(&self, key: &PublicKey) -> Result<bool, sqlx::Error> {
        let mut tx = self.begin().await?;
        tx.execute("DELETE FROM enrol_code WHERE used_by = $1", args![key]).await?;
        let was_known = tx.execute("DELETE FROM node WHERE key = $1", args![key]).await? > 0;
        tx.commit().await?;
        Ok(was_known)
    }
}

impl Tx {
    /// Notes which nodes came to `instance`, or went. One that went from here and is at another
    /// instance by now, is there. Returns those that came from another instance, with that.
    pub(crate) async fn set_presence(
        &mut self,
        all: &[Presence],
        instance: i64,
        now_unix_s: u64,
    ) -> Result<Vec<(PublicKey, i64)>, sqlx::Error> {
        let mut moved = Vec::new();
        let (here, gone): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.is_online);
        for some in here.chunks(ROWS_AT_ONCE) {
            moved.extend(self.set_online(some, instance, now_unix_s).await?);
        }
        for some in gone.chunks(ROWS_AT_ONCE) {
            let sql = format!(
                "UPDATE node SET is_online = 0, instance = NULL, seen_unix_s = $1
                 WHERE instance = $2 AND key IN ({}) RETURNING key",
                (3..some.len() + 3).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ")
            );
            let mut args = vec![Arg::from(now_unix_s), Arg::from(instance)];
            args.extend(some.iter().map(|one| Arg::from(&one.key)));
            let mut events = Vec::new();
            for row in self.fetch_all(&sql, &args).await? {
                events.push(NewEvent::of_device(kind::NODE_OFFLINE, &row.key(0)?));
            }
            self.add_events(&events, now_unix_s).await?;
        }
        Ok(moved)
    }

    async fn set_online(
        &mut self,
        some: &[&Presence],
        instance: i64,
        now_unix_s: u64,
    ) -> Result<Vec<(PublicKey, i64)>, sqlx::Error> {
        // Always in the same order, so that two instances do not wait for each other.
        let mut some: Vec<&Presence> = some.to_vec();
        some.sort_unstable_by_key(|one| one.key);
        let keys: Vec<Arg<'_>> = some.iter().map(|one| Arg::from(&one.key)).collect();
        let lock = if matches!(self, Tx::Postgres(_)) { " ORDER BY key FOR UPDATE" } else { "" };
        let before = format!(
            "SELECT key, instance, is_online FROM node WHERE key IN {}{lock}",
            values(1, keys.len())
        );
        let (mut moved, mut events) = (Vec::new(), Vec::new());
        for row in self.fetch_all(&before, &keys).await? {
            let key = row.key(0)?;
            match row.int_or_null(1)? {
                Some(other) if other != instance => moved.push((key, other)),
                _ => {}
            }
            if !row.flag(2)? {
                let address = some.iter().find(|one| one.key == key).map(|one| &*one.address);
                let detail = format!(r#"{{"address":"{}"}}"#, address.unwrap_or_default());
                events.push(NewEvent { detail, ..NewEvent::of_device(kind::NODE_ONLINE, &key) });
            }
        }
        let sql = format!(
            "UPDATE node SET is_online = 1, instance = v.column2, seen_unix_s = v.column3,
             address = v.column4, firmware = v.column5, services = v.column6
             FROM (VALUES {}) AS v WHERE node.key = v.column1",
            values(some.len(), 6)
        );
        let mut args = Vec::with_capacity(some.len() * 6);
        for one in &some {
            args.extend([Arg::from(&one.key), instance.into(), now_unix_s.into()]);
            args.extend([&one.address, &one.firmware, &one.services].map(Arg::from));
        }
        self.execute(&sql, &args).await?;
        self.add_events(&events, now_unix_s).await?;
        Ok(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, enrol_all, key, on_both};
    use super::*;

    fn came(byte: u8) -> Presence {
        Presence {
            key: key(byte),
            is_online: true,
            address: format!("192.0.2.{byte}:7480"),
            firmware: "fw 1".to_owned(),
            services: "[]".to_owned(),
        }
    }

    fn went(byte: u8) -> Presence {
        Presence { is_online: false, ..came(byte) }
    }

    async fn set(db: &Db, all: &[Presence], instance: i64, now: u64) -> Vec<(PublicKey, i64)> {
        let mut tx = db.begin().await.unwrap();
        let moved = tx.set_presence(all, instance, now).await.unwrap();
        tx.commit().await.unwrap();
        moved
    }

    #[tokio::test]
    async fn nodes_come_and_go_and_move() {
        on_both(|db| async move {
            enrol_all(&db, 1..=3).await;
            let before = db.events(0, 100).await.unwrap().len();
            assert_eq!(set(&db, &[came(2), came(1), came(9)], 7, NOW).await, []);
            let node = db.node(&key(1)).await.unwrap().unwrap();
            assert_eq!(
                (node.is_online, node.instance, node.seen_unix_s),
                (true, Some(7), Some(NOW))
            );
            assert_eq!((&*node.address, &*node.firmware), ("192.0.2.1:7480", "fw 1"));
            assert!(db.node(&key(9)).await.unwrap().is_none(), "a stranger stays one");
            assert_eq!(db.count_nodes().await.unwrap(), (3, 2));

            assert_eq!(set(&db, &[came(1)], 8, NOW + 1).await, [(key(1), 7)]);
            set(&db, &[went(1), went(2), went(3)], 7, NOW + 2).await;
            assert_eq!(db.node(&key(1)).await.unwrap().unwrap().instance, Some(8));
            let node = db.node(&key(2)).await.unwrap().unwrap();
            assert_eq!(
                (node.is_online, node.instance, node.seen_unix_s),
                (false, None, Some(NOW + 2))
            );
            let mut found = db.lookup(&[key(1), key(2), key(9)]).await.unwrap();
            found.sort_unstable();
            assert_eq!(found, [(key(1), Some(8)), (key(2), None)]);

            let events = db.events(0, 100).await.unwrap().split_off(before);
            let told: Vec<_> = events.iter().map(|event| (&*event.kind, event.device)).collect();
            let online = |byte| (kind::NODE_ONLINE, Some(key(byte)));
            assert_eq!(told, [online(1), online(2), (kind::NODE_OFFLINE, Some(key(2)))]);
        })
        .await;
    }

    #[tokio::test]
    async fn more_than_one_statement_takes() {
        on_both(|db| async move {
            enrol_all(&db, 0..=250).await;
            let all: Vec<Presence> = (0..=250).map(came).collect();
            set(&db, &all, 7, NOW).await;
            assert_eq!(db.count_nodes().await.unwrap(), (251, 251));
            let keys: Vec<PublicKey> = (0..=255).map(key).collect();
            assert_eq!(db.lookup(&keys).await.unwrap().len(), 251);
        })
        .await;
    }

    #[tokio::test]
    async fn members_are_let_in_by_their_keys() {
        on_both(|db| async move {
            enrol_all(&db, 2..=2).await;
            let before = db.events(0, 100).await.unwrap().len();
            db.let_in(&[key(3), key(1), key(2), key(3)], NOW).await.unwrap();
            let keys: Vec<_> = db.members().await.unwrap().into_iter().map(|one| one.0).collect();
            assert_eq!(keys, [key(1), key(2), key(3)]);
            assert!(db.is_enrolled(&key(3)).await.unwrap());
            assert_eq!(db.events(0, 100).await.unwrap().len(), before + 2);
            assert!(db.forget_node(&key(3)).await.unwrap());
            assert_eq!(db.members().await.unwrap().len(), 2);
        })
        .await;
    }

    #[tokio::test]
    async fn a_forgotten_node_is_a_stranger_and_its_code_stays_used() {
        on_both(|db| async move {
            enrol_all(&db, 1..=1).await;
            assert!(db.forget_node(&key(1)).await.unwrap());
            assert!(!db.forget_node(&key(1)).await.unwrap());
            assert!(!db.enrol(&key(1), &[1; 32], NOW).await.unwrap());
        })
        .await;
    }
}
