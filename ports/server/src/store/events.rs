//! What happened, for people, the API, and webhooks: in the order of their numbers, which is the
//! order in which readers can see them.

use rit_core::base::PublicKey;

use super::Db;
#[cfg(test)]
use super::sql::Row;
use super::sql::{Arg, ROWS_AT_ONCE, Tx, args, values};

/// Kinds of events.
pub(crate) mod kind {
    pub(crate) const NODE_ENROLLED: &str = "node.enrolled";
    pub(crate) const NODE_ONLINE: &str = "node.online";
    pub(crate) const NODE_OFFLINE: &str = "node.offline";
    /// One key is used at two places.
    pub(crate) const NODE_DUPLICATE: &str = "node.duplicate";
    pub(crate) const SESSION_INTRODUCED: &str = "session.introduced";
    /// A device without owner has one.
    pub(crate) const DEVICE_CLAIMED: &str = "device.claimed";
    /// A device has another owner.
    pub(crate) const DEVICE_TRANSFERRED: &str = "device.transferred";
    /// A device has no owner any more.
    pub(crate) const DEVICE_RESET: &str = "device.reset";
}

/// An event to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewEvent {
    pub(crate) kind: &'static str,
    pub(crate) device: Option<PublicKey>,
    pub(crate) account: Option<i64>,
    /// JSON, an object.
    pub(crate) detail: String,
}

impl NewEvent {
    /// About a device, without more to say.
    pub(crate) fn of_device(kind: &'static str, device: &PublicKey) -> Self {
        NewEvent { kind, device: Some(*device), account: None, detail: "{}".to_owned() }
    }

    /// About an account, without more to say.
    #[cfg(test)]
    pub(crate) fn of_account(kind: &'static str, account: i64) -> Self {
        NewEvent { kind, device: None, account: Some(account), detail: "{}".to_owned() }
    }
}

/// A stored event, whoever may see it.
#[cfg(test)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: i64,
    pub(crate) at_unix_s: u64,
    pub(crate) kind: String,
    pub(crate) device: Option<PublicKey>,
    pub(crate) account: Option<i64>,
    pub(crate) detail: String,
}

#[cfg(test)]
fn event(row: &Row) -> Result<Event, sqlx::Error> {
    Ok(Event {
        id: row.int(0)?,
        at_unix_s: row.uint(1)?,
        kind: row.text(2)?,
        device: row.key_or_null(3)?,
        account: row.int_or_null(4)?,
        detail: row.text(5)?,
    })
}

impl Db {
    /// Events with numbers above `after`, the first ones.
    #[cfg(test)]
    pub(crate) async fn events(&self, after: i64, limit: u32) -> Result<Vec<Event>, sqlx::Error> {
        let sql = "SELECT id, at_unix_s, kind, device, account, detail FROM event
                   WHERE id > $1 ORDER BY id LIMIT $2";
        self.fetch_all(sql, args![after, limit]).await?.iter().map(event).collect()
    }

    /// The number of the newest event; 0: there was none.
    pub(crate) async fn last_event(&self) -> Result<i64, sqlx::Error> {
        let sql = "SELECT value FROM counter WHERE name = 'event'";
        self.fetch_optional(sql, args![]).await?.ok_or(sqlx::Error::RowNotFound)?.int(0)
    }

    /// Stores one event; its number.
    pub(crate) async fn add_event(
        &self,
        event: NewEvent,
        now_unix_s: u64,
    ) -> Result<i64, sqlx::Error> {
        let mut tx = self.begin().await?;
        let id = tx.add_events(&[event], now_unix_s).await?;
        tx.commit().await?;
        Ok(id)
    }
}

impl Tx {
    /// Stores events, the last thing in a transaction where that is possible: others wait for it.
    /// The number of the first.
    pub(crate) async fn add_events(
        &mut self,
        events: &[NewEvent],
        now_unix_s: u64,
    ) -> Result<i64, sqlx::Error> {
        if events.is_empty() {
            return Ok(0);
        }
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let first = self.numbers("event", count).await?;
        let mut id = first;
        for some in events.chunks(ROWS_AT_ONCE) {
            let sql = format!(
                "INSERT INTO event (id, at_unix_s, kind, device, account, detail) VALUES {}",
                values(some.len(), 6)
            );
            let mut args = Vec::with_capacity(some.len() * 6);
            for event in some {
                args.extend([Arg::from(id), now_unix_s.into(), event.kind.into()]);
                args.extend([Arg::from(event.device.as_ref()), event.account.into()]);
                args.push(Arg::from(&event.detail));
                id += 1;
            }
            self.execute(&sql, &args).await?;
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, key, on_both};
    use super::*;

    #[tokio::test]
    async fn events_are_read_in_their_order() {
        on_both(|db| async move {
            assert_eq!(db.last_event().await.unwrap(), 0);
            let one = NewEvent::of_device(kind::NODE_DUPLICATE, &key(1));
            assert_eq!(db.add_event(one.clone(), NOW).await.unwrap(), 1);
            let mut tx = db.begin().await.unwrap();
            let many = vec![NewEvent::of_account("account.login", 4); 250];
            assert_eq!(tx.add_events(&many, NOW + 1).await.unwrap(), 2);
            tx.commit().await.unwrap();
            assert_eq!(db.last_event().await.unwrap(), 251);
            let events = db.events(0, 1000).await.unwrap();
            assert!(events.iter().map(|event| event.id).eq(1..=251));
            assert_eq!((events[0].device, events[1].account), (Some(key(1)), Some(4)));
            assert_eq!(db.events(250, 1000).await.unwrap(), events[250..]);
            assert_eq!(db.events(0, 3).await.unwrap(), events[..3]);
            db.execute("DELETE FROM event WHERE id = 251", args![]).await.unwrap();
            assert_eq!(db.add_event(one, NOW).await.unwrap(), 252, "numbers are used once");
        })
        .await;
    }
}
