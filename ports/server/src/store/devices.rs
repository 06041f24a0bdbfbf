//! What an account sees: devices of its clients, those granted to them, and what belongs to these.
//!
//! Owns the one condition by which anything is shown: [`VISIBLE`]. Invariant: every query for a
//! caller has it, admins excepted, for whom it holds always.

use std::net::IpAddr;

use rit_core::base::PublicKey;

use super::Db;
use super::sql::{Row, args};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewer {
    pub(crate) account: i64,
    pub(crate) is_admin: bool,
}

/// Holds for devices `n`, whose row of trust is `t`, that the viewer may see. Arguments: $1 whether
/// an admin, $2 the account, $3 now. A grant of an earlier ownership shows nothing.
const VISIBLE: &str = "(t.owner IS NOT NULL
        OR NOT EXISTS (SELECT 1 FROM client c WHERE c.key = n.key))
    AND ($1 = 1
        OR EXISTS (SELECT 1 FROM client c WHERE c.account = $2 AND c.key = t.owner)
        OR EXISTS (SELECT 1 FROM grants g JOIN client c ON c.key = g.subject
            WHERE g.device = n.key AND c.account = $2 AND g.epoch = t.epoch
            AND (g.expires_unix_s IS NULL OR g.expires_unix_s > $3)))";

/// A device.
pub(crate) struct DeviceRow {
    pub(crate) key: PublicKey,
    pub(crate) name: String,
    /// JSON, as the following.
    pub(crate) tags: String,
    pub(crate) services: String,
    pub(crate) firmware: String,
    pub(crate) address: String,
    pub(crate) is_online: bool,
    pub(crate) seen_unix_s: Option<u64>,
    pub(crate) enrolled_unix_s: u64,
    pub(crate) last_error: String,
    pub(crate) owner: Option<PublicKey>,
    pub(crate) epoch: u64,
    pub(crate) list_number: u64,
    /// Of its last session that was reported.
    pub(crate) path: Option<String>,
    pub(crate) rtt_us: Option<u64>,
    pub(crate) is_owned: bool,
}

const COLUMNS: &str = "n.key, n.name, n.tags, n.services, n.firmware, n.address, n.is_online,
    n.seen_unix_s, n.enrolled_unix_s, n.last_error, t.owner, COALESCE(t.epoch, 0),
    COALESCE(t.list_number, 0),
    (SELECT s.path FROM session s WHERE s.device = n.key AND s.reported_unix_s IS NOT NULL
        ORDER BY s.id DESC LIMIT 1),
    (SELECT s.rtt_us FROM session s WHERE s.device = n.key AND s.reported_unix_s IS NOT NULL
        ORDER BY s.id DESC LIMIT 1),
    CASE WHEN EXISTS (SELECT 1 FROM client c WHERE c.account = $2 AND c.key = t.owner)
        THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END";
const FROM: &str = "FROM node n LEFT JOIN trust t ON t.device = n.key";

impl DeviceRow {
    fn of(row: &Row) -> Result<DeviceRow, sqlx::Error> {
        Ok(DeviceRow {
            key: row.key(0)?,
            name: row.text(1)?,
            tags: row.text(2)?,
            services: row.text(3)?,
            firmware: row.text(4)?,
            address: row.text(5)?,
            is_online: row.flag(6)?,
            seen_unix_s: row.uint_or_null(7)?,
            enrolled_unix_s: row.uint(8)?,
            last_error: row.text(9)?,
            owner: row.key_or_null(10)?,
            epoch: row.uint(11)?,
            list_number: row.uint(12)?,
            path: row.text_or_null(13)?,
            rtt_us: row.uint_or_null(14)?,
            is_owned: row.flag(15)?,
        })
    }
}

/// A session, as its ends reported it.
pub(crate) struct SessionRow {
    pub(crate) id: i64,
    pub(crate) initiator: PublicKey,
    pub(crate) device: PublicKey,
    pub(crate) at_unix_s: u64,
    pub(crate) reported_unix_s: Option<u64>,
    pub(crate) path: String,
    pub(crate) rtt_us: Option<u64>,
    pub(crate) sent_bytes: Option<u64>,
    pub(crate) received_bytes: Option<u64>,
    pub(crate) lost_packets: Option<u64>,
    pub(crate) error: String,
}

/// Something that happened.
pub(crate) struct EventRow {
    pub(crate) id: i64,
    pub(crate) at_unix_s: u64,
    pub(crate) kind: String,
    pub(crate) device: Option<PublicKey>,
    /// The account's name, where it still has one.
    pub(crate) user: Option<String>,
    pub(crate) detail: String,
}

impl Db {
    /// Devices that the viewer may see, in the order of their keys, from behind `after`.
    pub(crate) async fn devices(
        &self,
        viewer: Viewer,
        after: Option<&PublicKey>,
        limit: u32,
        now_unix_s: u64,
    ) -> Result<Vec<DeviceRow>, sqlx::Error> {
        let sql = format!(
            "SELECT {COLUMNS} {FROM} WHERE {VISIBLE} AND n.key > $4 ORDER BY n.key LIMIT $5"
        );
        let after = after.map_or(&[][..], |key| &key.0[..]);
        let args = args![viewer.is_admin, viewer.account, now_unix_s, after, limit];
        self.fetch_all(&sql, args).await?.iter().map(DeviceRow::of).collect()
    }

    /// One device, if the viewer may see it.
    pub(crate) async fn device(
        &self,
        viewer: Viewer,
        key: &PublicKey,
        now_unix_s: u64,
    ) -> Result<Option<DeviceRow>, sqlx::Error> {
        let sql = format!("SELECT {COLUMNS} {FROM} WHERE {VISIBLE} AND n.key = $4");
        let args = args![viewer.is_admin, viewer.account, now_unix_s, key];
        self.fetch_optional(&sql, args).await?.as_ref().map(DeviceRow::of).transpose()
    }

    /// Devices without owner that were seen at this address since then.
    pub(crate) async fn unclaimed_at(
        &self,
        ip: IpAddr,
        since_unix_s: u64,
        limit: u32,
    ) -> Result<Vec<DeviceRow>, sqlx::Error> {
        let sql = format!(
            "SELECT {COLUMNS} {FROM}
             WHERE n.address LIKE $1 AND t.device IS NOT NULL AND t.owner IS NULL
             AND (n.is_online = 1 OR n.seen_unix_s >= $3)
             AND NOT EXISTS (SELECT 1 FROM client c WHERE c.key = n.key)
             ORDER BY n.key LIMIT $4"
        );
        // No address has a character that is more than itself to LIKE.
        let address = match ip {
            IpAddr::V4(ip) => format!("{ip}:%"),
            IpAddr::V6(ip) => format!("[{ip}]:%"),
        };
        let args = args![&address, 0_i64, since_unix_s, limit];
        self.fetch_all(&sql, args).await?.iter().map(DeviceRow::of).collect()
    }

    /// Sets what people call a device, and how they sort it.
    pub(crate) async fn label_device(
        &self,
        key: &PublicKey,
        name: Option<&str>,
        tags: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        let sql = "UPDATE node SET name = COALESCE($2, name), tags = COALESCE($3, tags)
                   WHERE key = $1";
        self.execute(sql, args![key, name, tags]).await.map(|_| ())
    }

    /// Sessions with devices that the viewer may see, the newest first.
    pub(crate) async fn visible_sessions(
        &self,
        viewer: Viewer,
        device: Option<&PublicKey>,
        limit: u32,
        now_unix_s: u64,
    ) -> Result<Vec<SessionRow>, sqlx::Error> {
        let sql = format!(
            "SELECT s.id, s.initiator, s.device, s.at_unix_s, s.reported_unix_s, s.path, s.rtt_us,
                 s.sent_bytes, s.received_bytes, s.lost_packets, s.error
             FROM session s JOIN node n ON n.key = s.device LEFT JOIN trust t ON t.device = n.key
             WHERE {VISIBLE} AND (n.key = $4 OR $5 = 0) ORDER BY s.id DESC LIMIT $6"
        );
        let key = device.map_or(&[][..], |key| &key.0[..]);
        let (is_one, is_admin) = (device.is_some(), viewer.is_admin);
        let args = args![is_admin, viewer.account, now_unix_s, key, is_one, limit];
        let session = |row: &Row| {
            Ok(SessionRow {
                id: row.int(0)?,
                initiator: row.key(1)?,
                device: row.key(2)?,
                at_unix_s: row.uint(3)?,
                reported_unix_s: row.uint_or_null(4)?,
                path: row.text(5)?,
                rtt_us: row.uint_or_null(6)?,
                sent_bytes: row.uint_or_null(7)?,
                received_bytes: row.uint_or_null(8)?,
                lost_packets: row.uint_or_null(9)?,
                error: row.text(10)?,
            })
        };
        self.fetch_all(&sql, args).await?.iter().map(session).collect()
    }

    /// Events of the viewer's account and of devices that he may see: those behind `after`, the
    /// oldest first; or the newest, in the same order.
    pub(crate) async fn visible_events(
        &self,
        viewer: Viewer,
        after: i64,
        is_newest: bool,
        limit: u32,
        now_unix_s: u64,
    ) -> Result<Vec<EventRow>, sqlx::Error> {
        let order = if is_newest { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT e.id, e.at_unix_s, e.kind, e.device, a.name, e.detail FROM event e
             LEFT JOIN account a ON a.id = e.account
             WHERE e.id > $4 AND ($1 = 1 OR e.account = $2 OR EXISTS (
                 SELECT 1 {FROM} WHERE n.key = e.device AND {VISIBLE}))
             ORDER BY e.id {order} LIMIT $5"
        );
        let args = args![viewer.is_admin, viewer.account, now_unix_s, after, limit];
        let event = |row: &Row| {
            Ok(EventRow {
                id: row.int(0)?,
                at_unix_s: row.uint(1)?,
                kind: row.text(2)?,
                device: row.key_or_null(3)?,
                user: row.text_or_null(4)?,
                detail: row.text(5)?,
            })
        };
        let rows = self.fetch_all(&sql, args).await?;
        let mut events = rows.iter().map(event).collect::<Result<Vec<_>, sqlx::Error>>()?;
        if is_newest {
            events.reverse();
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::super::grants::{GrantSide, NewGrant};
    use super::super::testing::{NOW, enrol_all, key, on_both};
    use super::super::{AccountRole, NewEvent, kind};
    use super::*;

    const ALL: Viewer = Viewer { account: 0, is_admin: true };

    async fn account(db: &Db, name: &str, client: u8) -> Viewer {
        let role = AccountRole::User;
        let id = db.add_account(name, None, None, role, NOW).await.unwrap().unwrap();
        assert!(db.add_client(&key(client), id, NOW).await.unwrap());
        Viewer { account: id, is_admin: false }
    }

    async fn set_owner(db: &Db, device: &PublicKey, owner: Option<&PublicKey>, epoch: u32) {
        assert!(db.set_owner(device, owner, epoch).await.unwrap());
    }

    async fn seen(db: &Db, viewer: Viewer) -> Vec<PublicKey> {
        let rows = db.devices(viewer, None, 10, NOW).await.unwrap();
        rows.iter().map(|row| row.key).collect()
    }

    #[tokio::test]
    async fn owners_and_those_they_grant_to_see_a_device() {
        on_both(|db| async move {
            enrol_all(&db, 1..=3).await;
            let (ada, bob) = (account(&db, "ada", 51).await, account(&db, "bob", 52).await);
            set_owner(&db, &key(1), Some(&key(51)), 1).await;
            set_owner(&db, &key(2), None, 0).await;
            assert_eq!(seen(&db, ada).await, [key(1)]);
            assert_eq!(seen(&db, bob).await, []);
            assert_eq!(seen(&db, ALL).await, [key(1), key(2), key(3)]);
            let mut grant = NewGrant {
                id: &[7; 16],
                device: &key(1),
                epoch: 1,
                issuer: &key(51),
                subject: &key(52),
                chain: b"chain",
                note: "",
                begins_unix_s: None,
                expires_unix_s: Some(NOW + 10),
            };
            assert!(db.add_grant(&grant, NOW).await.unwrap());
            assert!(db.add_grant(&grant, NOW).await.unwrap(), "the same again");
            grant.chain = b"another";
            assert!(!db.add_grant(&grant, NOW).await.unwrap());
            assert_eq!(seen(&db, bob).await, [key(1)]);
            assert!(db.device(bob, &key(1), NOW + 10).await.unwrap().is_none(), "expired");
            for (viewer, side, count) in [
                (ada, GrantSide::Given, 1),
                (ada, GrantSide::Received, 0),
                (bob, GrantSide::Received, 1),
                (bob, GrantSide::Given, 0),
                (bob, GrantSide::Either, 1),
            ] {
                assert_eq!(db.grants(viewer, None, side, NOW).await.unwrap().len(), count);
            }
            let row = db.device(ada, &key(1), NOW).await.unwrap().unwrap();
            assert!(row.is_owned && row.epoch == 1 && row.path.is_none());
            set_owner(&db, &key(1), Some(&key(51)), 2).await;
            assert_eq!(seen(&db, bob).await, [], "of an earlier ownership");
            assert!(db.remove_grant(bob, &[7; 16]).await.unwrap().is_some());
            assert!(db.remove_grant(bob, &[7; 16]).await.unwrap().is_none());
        })
        .await;
    }

    #[tokio::test]
    async fn what_belongs_to_a_device_is_seen_with_it() {
        on_both(|db| async move {
            enrol_all(&db, 1..=2).await;
            let (ada, bob) = (account(&db, "ada", 51).await, account(&db, "bob", 52).await);
            set_owner(&db, &key(1), Some(&key(51)), 1).await;
            let before = db.last_event().await.unwrap();
            let event = NewEvent::of_device(kind::NODE_ONLINE, &key(1));
            db.add_event(event, NOW).await.unwrap();
            let hook = db.add_webhook(ada.account, "https://a", "[]", &[1; 32], NOW).await;
            db.add_event(NewEvent::of_account("account.login", bob.account), NOW).await.unwrap();
            for (viewer, count) in [(ada, 1), (bob, 1), (ALL, 2)] {
                let events = db.visible_events(viewer, before, false, 10, NOW).await.unwrap();
                assert_eq!(events.len(), count);
                let newest = db.visible_events(viewer, 0, true, 1, NOW).await.unwrap();
                assert_eq!(newest[0].id, events[count - 1].id);
                let sessions = db.visible_sessions(viewer, None, 10, NOW).await.unwrap();
                assert!(sessions.is_empty());
            }
            let behind = db.webhooks_behind(before + 2).await.unwrap();
            assert_eq!((behind.len(), behind[0].id), (1, hook.unwrap().unwrap()));
            let (first, last) = (before + 1, before + 2);
            for _ in 0..2 {
                // The second time, another instance was first.
                db.queue_deliveries(&behind[0], &[first, last], last, NOW).await.unwrap();
            }
            for event in [first, last] {
                let taken = db.take_delivery(NOW, NOW + 60).await.unwrap().unwrap();
                assert_eq!((taken.event, taken.secret), (event, vec![1; 32]));
            }
            assert!(db.take_delivery(NOW, NOW + 60).await.unwrap().is_none(), "in work");
            let again = db.take_delivery(NOW + 60, NOW + 120).await.unwrap().unwrap();
            assert_eq!(again.tries, 1);
            db.delay_delivery(again.id, NOW + 500, "status 500").await.unwrap();
            let info = &db.webhooks_of(ada.account).await.unwrap()[0];
            assert_eq!(info.waiting, 2);
            assert!(db.http_counts().await.unwrap().deliveries == 2);
            db.end_delivery(again.id).await.unwrap();
            assert!(db.remove_webhook(ada.account, info.id).await.unwrap());
        })
        .await;
    }

    #[tokio::test]
    async fn unclaimed_devices_at_an_address() {
        on_both(|db| async move {
            enrol_all(&db, 1..=2).await;
            for n in 1..=2 {
                set_owner(&db, &key(n), None, 0).await;
                let address = format!("192.0.2.{n}:9");
                let sql = "UPDATE node SET address = $1, seen_unix_s = $2 WHERE key = $3";
                db.execute(sql, args![&address, NOW, &key(n)]).await.unwrap();
            }
            let ip = "192.0.2.1".parse().unwrap();
            let found = db.unclaimed_at(ip, NOW, 10).await.unwrap();
            assert_eq!(found.iter().map(|row| row.key).collect::<Vec<_>>(), [key(1)]);
            assert!(db.unclaimed_at(ip, NOW + 1, 10).await.unwrap().is_empty());
        })
        .await;
    }
}
