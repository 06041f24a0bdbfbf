//! Enrolment: one-time codes and product keys. A code is stored only as its hash; using one up and
//! enrolling the node are one transaction.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use rit_core::base::PublicKey;

use super::sql::{Arg, ROWS_AT_ONCE, Tx, args, rounds, values};
use super::{Db, NewEvent, kind, seconds};

/// Expired codes are kept a while, so that a person can be told why theirs did not work.
const EXPIRED_KEPT_S: i64 = 30 * 24 * 3600;

impl Db {
    /// Enrols `key` by the code or product key of this hash, if that is good. Says whether it is
    /// enrolled now.
    pub(crate) async fn enrol(
        &self,
        key: &PublicKey,
        code_hash: &[u8; 32],
        now_unix_s: u64,
    ) -> Result<bool, sqlx::Error> {
        let enrolled = self.enrol_many(&[(*key, *code_hash)], now_unix_s).await?;
        Ok(enrolled == [true])
    }

    /// Enrols each of these keys by its code; whether each is enrolled now. All are written at
    /// once.
    pub(crate) async fn enrol_many(
        &self,
        all: &[(PublicKey, [u8; 32])],
        now_unix_s: u64,
    ) -> Result<Vec<bool>, sqlx::Error> {
        let mut tx = self.begin().await?;
        let (mut enrolled, mut events) = (Vec::with_capacity(all.len()), Vec::new());
        for some in rounds(all, ROWS_AT_ONCE, |(key, _)| key) {
            let refused = tx.enrol_some(some, now_unix_s, &mut events).await?;
            enrolled.extend(some.iter().map(|(key, _)| !refused.contains(key)));
        }
        tx.add_events(&events, now_unix_s).await?;
        tx.commit().await?;
        Ok(enrolled)
    }

    /// Stores codes by their hashes, and forgets those long expired. Nodes that use them belong to
    /// the profile, if there is one.
    pub(crate) async fn add_codes(
        &self,
        hashes: &[[u8; 32]],
        valid: Duration,
        profile: Option<i64>,
        now_unix_s: u64,
    ) -> Result<(), sqlx::Error> {
        let now = seconds(now_unix_s);
        let expires = now_unix_s.saturating_add(valid.as_secs());
        let mut tx = self.begin().await?;
        let forget = "DELETE FROM enrol_code WHERE used_by IS NULL AND expires_unix_s < $1";
        tx.execute(forget, args![now.saturating_sub(EXPIRED_KEPT_S)]).await?;
        for hash in hashes {
            let add = "INSERT INTO enrol_code (hash, created_unix_s, expires_unix_s, profile)
                       VALUES ($1, $2, $3, $4)";
            tx.execute(add, args![hash, now, expires, profile]).await?;
        }
        tx.commit().await
    }
}

impl Tx {
    /// Those of these nodes, each of which is in the list once, that stay out.
    async fn enrol_some(
        &mut self,
        some: &[(PublicKey, [u8; 32])],
        now_unix_s: u64,
        events: &mut Vec<NewEvent>,
    ) -> Result<HashSet<PublicKey>, sqlx::Error> {
        let add = format!(
            "INSERT INTO node (key, enrolled_unix_s) VALUES {} ON CONFLICT DO NOTHING
             RETURNING key",
            values(some.len(), 2)
        );
        let mut args = Vec::with_capacity(some.len() * 2);
        for (key, _) in some {
            args.extend([Arg::from(key), now_unix_s.into()]);
        }
        let mut new = HashSet::new();
        for row in self.fetch_all(&add, &args).await? {
            new.insert(row.key(0)?);
        }
        // Devices of one kind come with the same product key.
        let mut by_code: BTreeMap<[u8; 32], Vec<PublicKey>> = BTreeMap::new();
        for (key, code_hash) in some.iter().filter(|(key, _)| new.contains(key)) {
            by_code.entry(*code_hash).or_default().push(*key);
        }
        let mut refused = Vec::new();
        for (code_hash, keys) in &by_code {
            let by_itself = usize::from(self.use_code(&keys[0], code_hash, now_unix_s).await?);
            let others = self.use_product_key(&keys[by_itself..], code_hash).await?;
            let (in_now, out) = keys.split_at(by_itself + others);
            events.extend(in_now.iter().map(|key| NewEvent::of_device(kind::NODE_ENROLLED, key)));
            refused.extend_from_slice(out);
        }
        if !refused.is_empty() {
            let sql = format!("DELETE FROM node WHERE key IN {}", values(1, refused.len()));
            let args: Vec<Arg<'_>> = refused.iter().map(Arg::from).collect();
            self.execute(&sql, &args).await?;
        }
        Ok(refused.into_iter().collect())
    }

    /// Uses a code up, if it is good. That is one statement, so that of many at once one gets it.
    async fn use_code(
        &mut self,
        key: &PublicKey,
        code_hash: &[u8; 32],
        now_unix_s: u64,
    ) -> Result<bool, sqlx::Error> {
        let take = "UPDATE enrol_code SET used_unix_s = $1, used_by = $2
                    WHERE hash = $3 AND used_unix_s IS NULL AND expires_unix_s > $1
                    RETURNING profile";
        let Some(row) = self.fetch_optional(take, args![now_unix_s, key, code_hash]).await? else {
            return Ok(false);
        };
        if let Some(profile) = row.int_or_null(0)? {
            self.take_in(key, profile).await?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{HOUR, NOW, key, on_both, sqlite_in};
    use super::*;
    use crate::store::Location;

    #[tokio::test]
    async fn a_code_enrols_one_node_and_a_restart_forgets_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let db = sqlite_in(dir.path()).await;
        db.add_codes(&[[1; 32], [2; 32]], HOUR, None, NOW).await.unwrap();
        assert!(!db.is_enrolled(&key(1)).await.unwrap());
        assert!(db.enrol(&key(1), &[1; 32], NOW + 1).await.unwrap());
        assert!(!db.enrol(&key(2), &[1; 32], NOW + 1).await.unwrap(), "used");
        assert!(!db.enrol(&key(2), &[9; 32], NOW + 1).await.unwrap(), "wrong");
        db.close().await;

        let db = sqlite_in(dir.path()).await;
        assert!(db.is_enrolled(&key(1)).await.unwrap());
        assert!(!db.is_enrolled(&key(2)).await.unwrap());
        assert!(!db.enrol(&key(2), &[1; 32], NOW + 2).await.unwrap(), "still used");
        assert!(db.enrol(&key(1), &[2; 32], NOW + 2).await.unwrap(), "enrolled already");
        assert!(db.enrol(&key(2), &[2; 32], NOW + 2).await.unwrap(), "so it was not used up");
    }

    #[tokio::test]
    async fn an_expired_code_enrols_nobody() {
        on_both(|db| async move {
            db.add_codes(&[[1; 32]], HOUR, None, NOW).await.unwrap();
            assert!(!db.enrol(&key(1), &[1; 32], NOW + 3600).await.unwrap());
            assert!(db.enrol(&key(1), &[1; 32], NOW + 3599).await.unwrap());
            assert!(!db.enrol(&key(2), &[1; 32], u64::MAX).await.unwrap());
        })
        .await;
    }

    #[tokio::test]
    async fn of_many_at_once_one_gets_the_code() {
        on_both(|db| async move {
            db.add_codes(&[[1; 32]], HOUR, None, NOW).await.unwrap();
            let other = db.reopened().await;
            let tries = (0..32).map(|byte| {
                let db = if byte % 2 == 0 { db.clone() } else { other.clone() };
                tokio::spawn(async move { db.enrol(&key(byte), &[1; 32], NOW).await.unwrap() })
            });
            let mut enrolled = 0;
            for a_try in tries.collect::<Vec<_>>() {
                enrolled += u32::from(a_try.await.unwrap());
            }
            assert_eq!(enrolled, 1);
            assert_eq!(db.events(0, 100).await.unwrap().len(), 1);
        })
        .await;
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let db = sqlite_in(dir.path()).await;
        db.add_codes(&[[1; 32]], HOUR, None, NOW).await.unwrap();
        let full = Db::open(&Location::Folder(dir.path().to_owned())).await.unwrap();
        // SQLite refuses to grow the file, as it would on a full disk.
        full.execute("PRAGMA max_page_count = 1", args![]).await.unwrap();
        let hashes: Vec<[u8; 32]> = (0..=255).map(|byte| [byte ^ 0x80; 32]).collect();
        assert!(full.add_codes(&hashes, HOUR, None, NOW).await.is_err());
        assert!(!db.enrol(&key(1), &[2; 32], NOW).await.unwrap());
        assert!(db.enrol(&key(1), &[1; 32], NOW).await.unwrap());
    }

    #[tokio::test]
    async fn long_expired_codes_are_forgotten_but_used_ones_are_not() {
        on_both(|db| async move {
            db.add_codes(&[[1; 32], [2; 32]], HOUR, None, NOW).await.unwrap();
            assert!(db.enrol(&key(1), &[1; 32], NOW).await.unwrap());
            let later = NOW + 3600 + EXPIRED_KEPT_S as u64 + 1;
            db.add_codes(&[[3; 32]], HOUR, None, later).await.unwrap();
            let count = db.fetch_all("SELECT hash FROM enrol_code", args![]).await.unwrap().len();
            assert_eq!(count, 2);
        })
        .await;
    }
}
