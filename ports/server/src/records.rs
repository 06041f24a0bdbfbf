//! What happens at the broker, on its way into the store.
//!
//! Owns the queue and the task that writes it: many records in one transaction, off the packet
//! path. Decides whether one key is used at two places. A database that is away for a while is
//! waited for; beyond a limit, records are lost rather than memory.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rit_core::base::PublicKey;
use rit_core::broker::{BrokerEvent, InstanceId};
use rit_core::wire::message::ServiceInfo;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::batches::Batches;
use crate::cluster::{Mouth, Word};
use crate::store::{Db, NewEvent, NewSession, Owned, Presence, args, kind};
use crate::wall_unix_s;

/// Records in one transaction.
const AT_ONCE: usize = 2000;
/// How often there is one, where they come all the time.
const EVERY: Duration = Duration::from_millis(100);
/// Waiting ones; of about 200 bytes each.
const WAITING_MAX: usize = 500_000;
/// How long to wait where the database is away.
const RETRY: Duration = Duration::from_secs(1);
/// A key that came back so often to where it was, while it was elsewhere too, within this time, is
/// used twice.
const RETURNS: u8 = 3;
const RETURNS_S: u64 = 600;

/// Something to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A node came or went.
    Presence(Presence),
    /// Two nodes were introduced.
    Session(NewSession),
    /// A device told whom it obeys.
    Owner(Owned),
    /// A node of ours is seen at another instance.
    Moved(PublicKey, String),
}

/// What of this is to be stored.
pub(crate) fn of(event: BrokerEvent) -> Option<Record> {
    Some(match event {
        BrokerEvent::NodeOnline { key, path, firmware, services } => {
            let address = path.socket_addr();
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            Record::Presence(Presence {
                key,
                is_online: true,
                address: address.to_string(),
                // PostgreSQL's text has no NUL.
                firmware: firmware.replace('\0', ""),
                services: services_json(&services),
            })
        }
        BrokerEvent::NodeOffline { key } => Record::Presence(Presence {
            key,
            is_online: false,
            address: String::new(),
            firmware: String::new(),
            services: String::new(),
        }),
        BrokerEvent::Introduced { initiator, responder: device, contact } => {
            Record::Session(NewSession { contact: contact.0, initiator, device })
        }
        BrokerEvent::Ownership { key: device, ownership } => {
            Record::Owner(Owned { device, owner: ownership.owner, epoch: ownership.epoch })
        }
        // The store knows: it enrolled it. Notes are not kept.
        BrokerEvent::Enrolled { .. } | BrokerEvent::Note { .. } => return None,
    })
}

/// Names of services need no escapes.
fn services_json(services: &[ServiceInfo]) -> String {
    let one = |service: &ServiceInfo| {
        let ServiceInfo { name, kind, port } = service;
        format!(r#"{{"name":"{name}","kind":{kind},"port":{port}}}"#)
    };
    format!("[{}]", services.iter().map(one).collect::<Vec<_>>().join(","))
}

pub(crate) struct Records {
    queue: mpsc::UnboundedSender<Record>,
    waiting: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Records {
    pub(crate) fn start(db: &Db, mouth: Mouth, instance: i64) -> Self {
        let (queue, records) = mpsc::unbounded_channel();
        let mut batches = Batches::new(records, AT_ONCE, EVERY);
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut writer = Writer { db: db.clone(), mouth, instance, places: Places::default() };
        let counter = waiting.clone();
        let task = tokio::spawn(async move {
            while let Some(some) = batches.next().await {
                writer.write(&some).await;
                counter.fetch_sub(some.len(), Ordering::Relaxed);
            }
        });
        Records { queue, waiting, task }
    }

    pub(crate) fn add(&self, record: Record) {
        if self.waiting.load(Ordering::Relaxed) >= WAITING_MAX {
            return tracing::error!("the database is away for too long: a record is lost");
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = self.queue.send(record);
    }

    /// Waits until all is written.
    pub(crate) async fn finish(self) {
        drop(self.queue);
        let _ = self.task.await;
    }
}

struct Writer {
    db: Db,
    mouth: Mouth,
    instance: i64,
    places: Places,
}

impl Writer {
    async fn write(&mut self, some: &[Record]) {
        let batch = self.batch(some);
        loop {
            match self.commit(&batch).await {
                Ok(moved) => return self.tell_moved(&batch, moved),
                Err(error @ sqlx::Error::Database(_)) if !is_away(&error) => {
                    tracing::error!(%error, "records are lost");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the database is away; its records wait");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Of the many states of a node, the last one counts.
    fn batch(&mut self, some: &[Record]) -> Batch {
        let now = wall_unix_s();
        let mut batch = Batch::default();
        let mut latest: HashMap<PublicKey, &Presence> = HashMap::new();
        for record in some {
            let seen = match record {
                Record::Presence(presence) => {
                    latest.insert(presence.key, presence);
                    presence.is_online.then_some((presence.key, &presence.address))
                }
                Record::Moved(key, address) => Some((*key, address)),
                Record::Session(session) => {
                    batch.sessions.push(session.clone());
                    continue;
                }
                Record::Owner(owned) => {
                    batch.owners.push(*owned);
                    continue;
                }
            };
            if seen.is_some_and(|(key, address)| self.places.saw(key, address, now)) {
                batch.duplicates.extend(seen.map(|(key, _)| key));
            }
        }
        batch.presence = latest.into_values().cloned().collect();
        batch.presence.sort_unstable_by_key(|presence| presence.key);
        self.places.forget_old(now);
        batch
    }

    async fn commit(&self, batch: &Batch) -> Result<Vec<(PublicKey, i64)>, sqlx::Error> {
        let now = wall_unix_s();
        let mut tx = self.db.begin().await?;
        tx.line_up().await?;
        // Without its row nobody would free these nodes. The heartbeat sees by the 0 that the
        // others took this instance for dead.
        let alive = "INSERT INTO instance (id, started_unix_s, seen_unix_s) VALUES ($1, 0, $2)
                     ON CONFLICT DO NOTHING";
        tx.execute(alive, args![self.instance, now]).await?;
        let moved = tx.set_presence(&batch.presence, self.instance, now).await?;
        let mut events = Vec::new();
        for (owned, before) in tx.set_owners(&batch.owners).await? {
            events.extend(owner_event(&owned.device, before.as_ref(), owned.owner.as_ref()));
        }
        tx.add_sessions(&batch.sessions, self.instance, now).await?;
        for session in &batch.sessions {
            let initiator = rit_core::wire::text::key_to_text(&session.initiator);
            let detail = format!(r#"{{"initiator":"{initiator}"}}"#);
            let event = NewEvent::of_device(kind::SESSION_INTRODUCED, &session.device);
            events.push(NewEvent { detail, ..event });
        }
        for key in &batch.duplicates {
            events.push(NewEvent::of_device(kind::NODE_DUPLICATE, key));
        }
        tx.add_events(&events, now).await?;
        tx.commit().await?;
        Ok(moved)
    }

    /// Other instances still hold links of nodes that are here now.
    fn tell_moved(&self, batch: &Batch, moved: Vec<(PublicKey, i64)>) {
        for (key, at) in moved {
            let found = batch.presence.iter().find(|presence| presence.key == key);
            let address = found.map(|presence| presence.address.clone()).unwrap_or_default();
            let to = InstanceId(at.unsigned_abs());
            self.mouth.send(Some(to), Word::Moved { key, address });
        }
    }
}

/// What it is called that a device told of a new ownership; nothing if it has none, as before.
fn owner_event(
    device: &PublicKey,
    before: Option<&PublicKey>,
    owner: Option<&PublicKey>,
) -> Option<NewEvent> {
    let kind = match (before, owner) {
        (None, None) => return None,
        (Some(_), None) => kind::DEVICE_RESET,
        (Some(before), Some(owner)) if before != owner => kind::DEVICE_TRANSFERRED,
        (_, Some(_)) => kind::DEVICE_CLAIMED,
    };
    let owner = owner.map(rit_core::wire::text::key_to_text);
    let detail = owner.map_or("{}".to_owned(), |owner| format!(r#"{{"owner":"{owner}"}}"#));
    Some(NewEvent { detail, ..NewEvent::of_device(kind, device) })
}

/// Whether it is the database's state that is wrong rather than what it was told.
fn is_away(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    // PostgreSQL: connection, resources, operator, deadlock; SQLite: busy, locked, full, I/O.
    ["08", "53", "57", "40"].iter().any(|class| code.len() == 5 && code.starts_with(class))
        || matches!(&*code, "5" | "6" | "10" | "13" | "261" | "517")
}

#[derive(Default)]
struct Batch {
    presence: Vec<Presence>,
    sessions: Vec<NewSession>,
    owners: Vec<Owned>,
    duplicates: Vec<PublicKey>,
}

/// Where keys were seen lately.
#[derive(Default)]
struct Places {
    of: HashMap<PublicKey, Place>,
    cleaned_unix_s: u64,
}

struct Place {
    last: String,
    before: String,
    returns: u8,
    since_unix_s: u64,
}

impl Places {
    /// Whether a key is used at two places: one that goes back and forth between two addresses has
    /// its link taken by another who uses it. One that moves, or restarts, comes to a new address.
    fn saw(&mut self, key: PublicKey, address: &str, now_unix_s: u64) -> bool {
        let place = self.of.entry(key).or_insert_with(|| Place {
            last: address.to_owned(),
            before: String::new(),
            returns: 0,
            since_unix_s: now_unix_s,
        });
        if now_unix_s.saturating_sub(place.since_unix_s) > RETURNS_S {
            (place.returns, place.since_unix_s) = (0, now_unix_s);
        }
        if place.last == address {
            return false;
        }
        place.returns += u8::from(place.before == address);
        place.before = std::mem::replace(&mut place.last, address.to_owned());
        let is_twice = place.returns >= RETURNS;
        if is_twice {
            (place.returns, place.since_unix_s) = (0, now_unix_s);
        }
        is_twice
    }

    /// Once in a while; whoever was not seen since cannot have gone back and forth.
    fn forget_old(&mut self, now_unix_s: u64) {
        if now_unix_s.saturating_sub(self.cleaned_unix_s) > RETURNS_S {
            self.cleaned_unix_s = now_unix_s;
            self.of.retain(|_, place| now_unix_s.saturating_sub(place.since_unix_s) <= RETURNS_S);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{NOW, enrol_all, key, on_both};

    #[test]
    fn a_key_at_two_places_is_noticed() {
        let mut places = Places::default();
        let mut saw = |address: &str, at: u64| places.saw(key(1), address, NOW + at);
        // One that restarts, or whose network changes, is not.
        for n in 0..20 {
            assert!(!saw(&n.to_string(), n));
        }
        for n in 0..20 {
            assert!(!saw("same", 20 + n));
        }
        assert!(!saw("b", 50));
        assert!(!saw("same", 60) && !saw("b", 70));
        assert!(saw("same", 80));
        assert!(!saw("b", 90) && !saw("same", 100), "told once");
        assert!(saw("b", 110));
        // Too slow.
        for n in 1..20 {
            assert!(!saw(["same", "b"][n as usize % 2], 110 + n * 310), "{n}");
        }
    }

    #[tokio::test]
    async fn ownership_is_told_when_it_changes() {
        on_both(|db| async move {
            enrol_all(&db, 1..=1).await;
            let records = Records::start(&db, Mouth::silent(), 7);
            for (owner, epoch) in [(None, 0), (Some(5), 1), (Some(5), 1), (Some(6), 2), (None, 2)] {
                let owner = owner.map(key);
                records.add(Record::Owner(Owned { device: key(1), owner, epoch }));
            }
            records.finish().await;
            let events = db.events(0, 99).await.unwrap();
            let kinds: Vec<&str> = events
                .iter()
                .map(|event| event.kind.as_str())
                .filter(|kind| kind.starts_with("device."))
                .collect();
            let all = [kind::DEVICE_CLAIMED, kind::DEVICE_TRANSFERRED, kind::DEVICE_RESET];
            assert_eq!(kinds, all);
        })
        .await;
    }

    #[test]
    fn services_are_told_as_json() {
        assert_eq!(services_json(&[]), "[]");
        let service = |name: &str| ServiceInfo { name: name.into(), kind: 0, port: 80 };
        let json = r#"[{"name":"a.b","kind":0,"port":80},{"name":"c","kind":0,"port":80}]"#;
        assert_eq!(services_json(&[service("a.b"), service("c")]), json);
    }

    #[tokio::test]
    async fn records_are_in_the_store_when_it_is_closed() {
        on_both(|db| async move {
            enrol_all(&db, 1..=2).await;
            let records = Records::start(&db, Mouth::silent(), 7);
            let online = |byte| {
                Record::Presence(Presence {
                    key: key(byte),
                    is_online: true,
                    address: "192.0.2.1:5".into(),
                    firmware: "1".into(),
                    services: "[]".into(),
                })
            };
            let contact = rit_core::base::ContactId([1; 8]);
            let gone = BrokerEvent::NodeOffline { key: key(2) };
            let (initiator, responder) = (key(2), key(1));
            let introduced = BrokerEvent::Introduced { initiator, responder, contact };
            records.add(online(1));
            records.add(online(2));
            records.add(of(introduced).unwrap());
            records.add(of(gone).unwrap());
            records.finish().await;
            assert!(db.node(&key(1)).await.unwrap().unwrap().is_online);
            assert!(!db.node(&key(2)).await.unwrap().unwrap().is_online);
            assert_eq!(db.sessions(None, 9).await.unwrap()[0].initiator, key(2));
            let events = db.events(0, 100).await.unwrap();
            assert!(events.iter().any(|event| event.kind == kind::SESSION_INTRODUCED));
        })
        .await;
    }
}
