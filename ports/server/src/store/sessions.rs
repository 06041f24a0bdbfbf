//! Who was introduced to whom, when.

use rit_core::base::PublicKey;

use super::sql::{Arg, ROWS_AT_ONCE, Tx, values};
#[cfg(test)]
use super::{Db, sql::Row, sql::args};

/// An introduction to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewSession {
    /// Names the contact that both ends were given; the database takes it once.
    pub(crate) contact: [u8; 8],
    pub(crate) initiator: PublicKey,
    pub(crate) device: PublicKey,
}

/// A stored one.
#[cfg(test)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: i64,
    pub(crate) initiator: PublicKey,
    pub(crate) device: PublicKey,
    pub(crate) at_unix_s: u64,
}

#[cfg(test)]
fn session(row: &Row) -> Result<Session, sqlx::Error> {
    Ok(Session {
        id: row.int(0)?,
        initiator: row.key(1)?,
        device: row.key(2)?,
        at_unix_s: row.uint(3)?,
    })
}

#[cfg(test)]
impl Db {
    /// The newest sessions, of one device or all, the newest first.
    pub(crate) async fn sessions(
        &self,
        device: Option<&PublicKey>,
        limit: u32,
    ) -> Result<Vec<Session>, sqlx::Error> {
        const SELECT: &str = "SELECT id, initiator, device, at_unix_s FROM session";
        let rows = if let Some(device) = device {
            let sql = format!("{SELECT} WHERE device = $1 ORDER BY id DESC LIMIT $2");
            self.fetch_all(&sql, args![device, limit]).await?
        } else {
            let sql = format!("{SELECT} ORDER BY id DESC LIMIT $1");
            self.fetch_all(&sql, args![limit]).await?
        };
        rows.iter().map(session).collect()
    }
}

impl Tx {
    /// Stores introductions that `instance` made.
    pub(crate) async fn add_sessions(
        &mut self,
        all: &[NewSession],
        instance: i64,
        now_unix_s: u64,
    ) -> Result<(), sqlx::Error> {
        for some in all.chunks(ROWS_AT_ONCE) {
            let count = u32::try_from(some.len()).unwrap_or(u32::MAX);
            let first = self.numbers("session", count).await?;
            let sql = format!(
                "INSERT INTO session (id, contact, initiator, device, instance, at_unix_s)
                 VALUES {}",
                values(some.len(), 6)
            );
            let mut args = Vec::with_capacity(some.len() * 6);
            for (id, one) in (first..).zip(some) {
                args.extend([Arg::from(id), (&one.contact).into(), (&one.initiator).into()]);
                args.extend([(&one.device).into(), Arg::from(instance), now_unix_s.into()]);
            }
            self.execute(&sql, &args).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, key, on_both};
    use super::*;

    #[tokio::test]
    async fn sessions_are_listed_and_a_contact_is_used_once() {
        on_both(|db| async move {
            let new = |n: u8| NewSession { contact: [n; 8], initiator: key(n), device: key(n % 2) };
            let all: Vec<NewSession> = (0..150).map(new).collect();
            let mut tx = db.begin().await.unwrap();
            tx.add_sessions(&all, 1, NOW).await.unwrap();
            tx.commit().await.unwrap();
            let listed = db.sessions(None, 10).await.unwrap();
            assert!(listed.iter().map(|one| one.id).eq((141..=150).rev()));
            let of_device = db.sessions(Some(&key(1)), 1000).await.unwrap();
            assert_eq!((of_device.len(), of_device[0].initiator), (75, key(149)));
            let mut tx = db.begin().await.unwrap();
            assert!(tx.add_sessions(&all[3..4], 2, NOW).await.is_err());
        })
        .await;
    }
}
