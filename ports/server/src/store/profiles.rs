//! Profiles: what devices that enrol themselves by a product key have in common. The key is stored
//! only as its hash. Invariant: no more devices than the limit, however many come at once.

use rit_core::base::PublicKey;
use rit_core::wire::text;

use super::Db;
use super::sql::{Arg, Row, Tx, args, values};

/// A profile to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewProfile<'a> {
    pub(crate) name: &'a str,
    pub(crate) key_hash: &'a [u8; 32],
    pub(crate) device_limit: u32,
    /// JSON, a list of text.
    pub(crate) tags: &'a str,
    /// JSON, a list of names of services.
    pub(crate) services: &'a str,
    /// What its devices are called: `{n}` is which of them, from 1; `{key}` the first eight
    /// characters of its key. Empty: nothing.
    pub(crate) name_pattern: &'a str,
}

/// A profile as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) device_limit: u64,
    pub(crate) used: u64,
    pub(crate) tags: String,
    pub(crate) services: String,
    pub(crate) name_pattern: String,
    pub(crate) created_unix_s: u64,
}

const COLUMNS: &str = "id, name, device_limit, used, tags, services, name_pattern, created_unix_s";

fn profile(row: &Row) -> Result<Profile, sqlx::Error> {
    Ok(Profile {
        id: row.int(0)?,
        name: row.text(1)?,
        device_limit: row.uint(2)?,
        used: row.uint(3)?,
        tags: row.text(4)?,
        services: row.text(5)?,
        name_pattern: row.text(6)?,
        created_unix_s: row.uint(7)?,
    })
}

impl Db {
    /// Makes a profile; its number, or nothing where there is one of that name.
    pub(crate) async fn add_profile(
        &self,
        new: &NewProfile<'_>,
        now_unix_s: u64,
    ) -> Result<Option<i64>, sqlx::Error> {
        let mut tx = self.begin().await?;
        let id = tx.numbers("profile", 1).await?;
        let add = "INSERT INTO profile (id, name, key_hash, device_limit, tags, services,
                                        name_pattern, created_unix_s)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
        let &NewProfile { name, key_hash, device_limit, tags, services, name_pattern } = new;
        let row = args![id, name, key_hash, device_limit, tags, services, name_pattern, now_unix_s];
        if tx.execute(add, row).await? == 0 {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(id))
    }

    /// All profiles, by their names.
    pub(crate) async fn profiles(&self) -> Result<Vec<Profile>, sqlx::Error> {
        let sql = format!("SELECT {COLUMNS} FROM profile ORDER BY name");
        self.fetch_all(&sql, args![]).await?.iter().map(profile).collect()
    }

    /// The profile of this name.
    #[cfg(test)]
    pub(crate) async fn profile(&self, name: &str) -> Result<Option<Profile>, sqlx::Error> {
        let sql = format!("SELECT {COLUMNS} FROM profile WHERE name = $1");
        self.fetch_optional(&sql, args![name]).await?.as_ref().map(profile).transpose()
    }

    /// Whether there was one; its devices stay.
    pub(crate) async fn remove_profile(&self, id: i64) -> Result<bool, sqlx::Error> {
        Ok(self.execute("DELETE FROM profile WHERE id = $1", args![id]).await? > 0)
    }
}

impl Tx {
    /// Takes in as many of these nodes, which have just been added, as the product key of this hash
    /// lets in: the first ones; how many.
    pub(super) async fn use_product_key(
        &mut self,
        keys: &[PublicKey],
        key_hash: &[u8; 32],
    ) -> Result<usize, sqlx::Error> {
        if keys.is_empty() {
            return Ok(0);
        }
        let lock = if matches!(self, Tx::Postgres(_)) { " FOR UPDATE" } else { "" };
        let find = format!(
            "SELECT id, used, tags, name_pattern, device_limit FROM profile
             WHERE key_hash = $1{lock}"
        );
        let Some(row) = self.fetch_optional(&find, args![key_hash]).await? else { return Ok(0) };
        let (id, used) = (row.int(0)?, row.int(1)?);
        let room = usize::try_from(row.int(4)? - used).unwrap_or(0);
        let taken = &keys[..keys.len().min(room)];
        if !taken.is_empty() {
            let count = u32::try_from(taken.len()).unwrap_or(u32::MAX);
            let take = "UPDATE profile SET used = used + $1 WHERE id = $2";
            self.execute(take, args![count, id]).await?;
            self.describe(taken, id, used + 1, &row.text(2)?, &row.text(3)?).await?;
        }
        Ok(taken.len())
    }

    /// Gives a node what its profile says. A one-time code of a profile does not count against its
    /// limit: it was made for one more.
    pub(super) async fn take_in(
        &mut self,
        key: &PublicKey,
        profile: i64,
    ) -> Result<(), sqlx::Error> {
        let sql = "SELECT used, tags, name_pattern FROM profile WHERE id = $1";
        let Some(row) = self.fetch_optional(sql, args![profile]).await? else { return Ok(()) };
        self.describe(&[*key], profile, row.int(0)?, &row.text(1)?, &row.text(2)?).await
    }

    /// Names nodes by a profile, from this number on.
    async fn describe(
        &mut self,
        keys: &[PublicKey],
        profile: i64,
        first: i64,
        tags: &str,
        pattern: &str,
    ) -> Result<(), sqlx::Error> {
        let names: Vec<String> =
            (first..).zip(keys).map(|(number, key)| device_name(pattern, number, key)).collect();
        let set = format!(
            "UPDATE node SET profile = v.column2, tags = v.column3, name = v.column4
             FROM (VALUES {}) AS v WHERE node.key = v.column1",
            values(keys.len(), 4)
        );
        let mut args = Vec::with_capacity(keys.len() * 4);
        for (key, name) in keys.iter().zip(&names) {
            args.extend([Arg::from(key), profile.into(), tags.into(), name.into()]);
        }
        self.execute(&set, &args).await?;
        Ok(())
    }
}

fn device_name(pattern: &str, number: i64, key: &PublicKey) -> String {
    let key = text::key_to_text(key);
    pattern.replace("{n}", &number.to_string()).replace("{key}", key.get(..8).unwrap_or(&key))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{HOUR, NOW, key, on_both};
    use super::*;

    const KEY: [u8; 32] = [5; 32];

    fn new(limit: u32) -> NewProfile<'static> {
        NewProfile {
            name: "meters",
            key_hash: &KEY,
            device_limit: limit,
            tags: r#"["meter"]"#,
            services: r#"["web"]"#,
            name_pattern: "meter-{n}",
        }
    }

    #[tokio::test]
    async fn a_product_key_takes_in_as_many_as_its_limit() {
        on_both(|db| async move {
            let id = db.add_profile(&new(3), NOW).await.unwrap().unwrap();
            assert_eq!(db.add_profile(&new(3), NOW).await.unwrap(), None, "the name is taken");
            for byte in 1..=5 {
                assert_eq!(db.enrol(&key(byte), &KEY, NOW).await.unwrap(), byte <= 3);
            }
            assert!(db.enrol(&key(1), &KEY, NOW).await.unwrap(), "it is enrolled already");
            let node = db.node(&key(2)).await.unwrap().unwrap();
            assert_eq!((node.name.as_str(), node.profile), ("meter-2", Some(id)));
            assert_eq!(node.tags, r#"["meter"]"#);
            assert!(db.node(&key(4)).await.unwrap().is_none());
            let profile = db.profile("meters").await.unwrap().unwrap();
            assert_eq!((profile.id, profile.used, profile.device_limit), (id, 3, 3));
            assert_eq!(db.profiles().await.unwrap(), [profile]);
            assert!(db.remove_profile(id).await.unwrap());
            assert!(!db.remove_profile(id).await.unwrap());
            assert!(!db.enrol(&key(6), &KEY, NOW).await.unwrap());
            assert_eq!(db.node(&key(2)).await.unwrap().unwrap().profile, None);
        })
        .await;
    }

    #[tokio::test]
    async fn of_one_batch_the_first_come_in() {
        on_both(|db| async move {
            db.add_profile(&new(3), NOW).await.unwrap().unwrap();
            db.add_codes(&[[1; 32]], HOUR, None, NOW).await.unwrap();
            let came = |byte: u8, hash: u8| (key(byte), [hash; 32]);
            // A used code, a wrong one, and one key that comes twice.
            let batch = [(1, 5), (2, 1), (3, 1), (4, 9), (4, 5), (5, 5), (5, 9), (6, 5), (7, 5)];
            let batch = batch.map(|(byte, hash)| came(byte, hash));
            let enrolled = db.enrol_many(&batch, NOW).await.unwrap();
            assert_eq!(enrolled, [true, true, false, false, true, true, true, false, false]);
            for (byte, expected) in [(1, "meter-1"), (2, ""), (4, "meter-2"), (5, "meter-3")] {
                let node = db.node(&key(byte)).await.unwrap().unwrap();
                assert_eq!(node.name, expected, "{byte}");
            }
            assert_eq!(db.profile("meters").await.unwrap().unwrap().used, 3);
            assert_eq!(db.count_nodes().await.unwrap(), (4, 0));
            assert_eq!(db.events(0, 100).await.unwrap().len(), 4);
        })
        .await;
    }

    #[tokio::test]
    async fn of_many_at_once_no_more_than_the_limit_come_in() {
        on_both(|db| async move {
            db.add_profile(&new(20), NOW).await.unwrap().unwrap();
            let other = db.reopened().await;
            let tries = (0..60).map(|byte| {
                let db = if byte % 2 == 0 { db.clone() } else { other.clone() };
                tokio::spawn(async move { db.enrol(&key(byte), &KEY, NOW).await.unwrap() })
            });
            let mut enrolled = 0;
            for a_try in tries.collect::<Vec<_>>() {
                enrolled += u32::from(a_try.await.unwrap());
            }
            assert_eq!(enrolled, 20);
            assert_eq!(db.profile("meters").await.unwrap().unwrap().used, 20);
        })
        .await;
    }

    #[tokio::test]
    async fn a_one_time_code_may_belong_to_a_profile() {
        on_both(|db| async move {
            let id = db.add_profile(&new(0), NOW).await.unwrap();
            db.add_codes(&[[1; 32]], HOUR, id, NOW).await.unwrap();
            assert!(db.enrol(&key(1), &[1; 32], NOW).await.unwrap());
            assert_eq!(db.node(&key(1)).await.unwrap().unwrap().profile, id);
        })
        .await;
    }

    #[test]
    fn names_of_devices() {
        assert_eq!(device_name("a-{n}-{n}", 7, &key(1)), "a-7-7");
        assert_eq!(device_name("", 7, &key(1)), "");
        assert_eq!(device_name("{key}", 7, &key(1)).len(), 8);
    }
}
