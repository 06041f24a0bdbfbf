//! Webhooks and the queue of what is to be sent to them.
//!
//! Owns the rows `webhook` and `delivery`. Invariants: each event that a webhook wants, and its
//! account may see, is put in the queue once, however many instances look; one instance at a time
//! works on a delivery, and gives it back or finishes it.

use super::Db;
use super::sql::{Row, args};

/// What people make.
pub(crate) const PER_ACCOUNT_MAX: i64 = 16;

/// A webhook.
pub(crate) struct Webhook {
    pub(crate) id: i64,
    pub(crate) account: Option<i64>,
    pub(crate) url: String,
    /// JSON, a list of kinds; `*` is all.
    pub(crate) events: String,
    pub(crate) created_unix_s: u64,
    pub(crate) last_event: i64,
    /// Deliveries that wait, and what came of the newest of them.
    pub(crate) waiting: u64,
    pub(crate) last_status: Option<String>,
}

/// What is to be sent.
pub(crate) struct Delivery {
    pub(crate) id: i64,
    pub(crate) webhook: i64,
    pub(crate) account: Option<i64>,
    pub(crate) event: i64,
    pub(crate) tries: u64,
    pub(crate) url: String,
    pub(crate) secret: Vec<u8>,
}

const COLUMNS: &str = "w.id, w.account, w.url, w.events, w.created_unix_s, w.last_event,
    (SELECT COUNT(*) FROM delivery d WHERE d.webhook = w.id),
    (SELECT d.last_status FROM delivery d WHERE d.webhook = w.id ORDER BY d.id DESC LIMIT 1)";

impl Webhook {
    fn of(row: &Row) -> Result<Webhook, sqlx::Error> {
        Ok(Webhook {
            id: row.int(0)?,
            account: row.int_or_null(1)?,
            url: row.text(2)?,
            events: row.text(3)?,
            created_unix_s: row.uint(4)?,
            last_event: row.int(5)?,
            waiting: row.uint(6)?,
            last_status: row.text_or_null(7)?.filter(|status| !status.is_empty()),
        })
    }
}

impl Db {
    /// A new webhook, for events from now on; none if the account has too many.
    pub(crate) async fn add_webhook(
        &self,
        account: i64,
        url: &str,
        events: &str,
        secret: &[u8; 32],
        now_unix_s: u64,
    ) -> Result<Option<i64>, sqlx::Error> {
        let mut tx = self.begin().await?;
        let id = tx.numbers("webhook", 1).await?;
        let sql =
            "INSERT INTO webhook (id, account, url, events, secret, created_unix_s, last_event)
                   SELECT $1, $2, $3, $4, $5, $6, (SELECT COALESCE(MAX(id), 0) FROM event)
                   WHERE (SELECT COUNT(*) FROM webhook WHERE account = $2) < $7";
        let args = args![id, account, url, events, secret, now_unix_s, PER_ACCOUNT_MAX];
        if tx.execute(sql, args).await? == 0 {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(id))
    }

    pub(crate) async fn webhooks_of(&self, account: i64) -> Result<Vec<Webhook>, sqlx::Error> {
        let sql = format!("SELECT {COLUMNS} FROM webhook w WHERE w.account = $1 ORDER BY w.id");
        self.fetch_all(&sql, args![account]).await?.iter().map(Webhook::of).collect()
    }

    /// Webhooks that have not seen this event yet.
    pub(crate) async fn webhooks_behind(&self, event: i64) -> Result<Vec<Webhook>, sqlx::Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM webhook w JOIN account a ON a.id = w.account
             WHERE w.last_event < $1 AND w.is_disabled = 0 AND a.is_disabled = 0"
        );
        self.fetch_all(&sql, args![event]).await?.iter().map(Webhook::of).collect()
    }

    pub(crate) async fn remove_webhook(&self, account: i64, id: i64) -> Result<bool, sqlx::Error> {
        let sql = "DELETE FROM webhook WHERE id = $1 AND account = $2";
        Ok(self.execute(sql, args![id, account]).await? == 1)
    }

    /// Puts events in a webhook's queue, and notes that all up to `up_to` were looked at. Nothing,
    /// if another instance was first.
    pub(crate) async fn queue_deliveries(
        &self,
        webhook: &Webhook,
        events: &[i64],
        up_to: i64,
        now_unix_s: u64,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE webhook SET last_event = $1 WHERE id = $2 AND last_event = $3";
        if tx.execute(sql, args![up_to, webhook.id, webhook.last_event]).await? == 0 {
            return Ok(());
        }
        for event in events {
            let id = tx.numbers("delivery", 1).await?;
            let sql = "INSERT INTO delivery (id, webhook, event, due_unix_s)
                       VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
            tx.execute(sql, args![id, webhook.id, *event, now_unix_s]).await?;
        }
        tx.commit().await
    }

    /// Takes a delivery that is due; nobody else takes it before `until`.
    pub(crate) async fn take_delivery(
        &self,
        now_unix_s: u64,
        until_unix_s: u64,
    ) -> Result<Option<Delivery>, sqlx::Error> {
        let mut tx = self.begin().await?;
        let sql = "SELECT d.id, d.webhook, d.event, d.tries, w.url, w.secret, d.due_unix_s,
                       w.account
                   FROM delivery d JOIN webhook w ON w.id = d.webhook
                   WHERE d.due_unix_s <= $1 ORDER BY d.due_unix_s, d.id LIMIT 1";
        let Some(row) = tx.fetch_optional(sql, args![now_unix_s]).await? else { return Ok(None) };
        let delivery = Delivery {
            id: row.int(0)?,
            webhook: row.int(1)?,
            account: row.int_or_null(7)?,
            event: row.int(2)?,
            tries: row.uint(3)?,
            url: row.text(4)?,
            secret: row.bytes(5)?,
        };
        let sql = "UPDATE delivery SET due_unix_s = $1, tries = tries + 1
                   WHERE id = $2 AND due_unix_s = $3";
        let is_ours = tx.execute(sql, args![until_unix_s, delivery.id, row.int(6)?]).await? == 1;
        tx.commit().await?;
        Ok(Some(delivery).filter(|_| is_ours))
    }

    /// It was sent, or is given up.
    pub(crate) async fn end_delivery(&self, id: i64) -> Result<(), sqlx::Error> {
        self.execute("DELETE FROM delivery WHERE id = $1", args![id]).await.map(|_| ())
    }

    /// It failed; the next try is then.
    pub(crate) async fn delay_delivery(
        &self,
        id: i64,
        due_unix_s: u64,
        status: &str,
    ) -> Result<(), sqlx::Error> {
        let sql = "UPDATE delivery SET due_unix_s = $1, last_status = $2 WHERE id = $3";
        self.execute(sql, args![due_unix_s, status, id]).await.map(|_| ())
    }
}
