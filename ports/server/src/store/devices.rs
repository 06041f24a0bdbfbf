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
        THEN 1 ELSE 0 END";
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
            is_owned: row.int(15)? != 0,
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
    pub(crate) account: Option<i64>,
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
            "SELECT e.id, e.at_unix_s, e.kind, e.device, e.account, a.name, e.detail FROM event e
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
                account: row.int_or_null(4)?,
                user: row.text_or_null(5)?,
                detail: row.text(6)?,
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
