//! What stands between the serving loop, which waits for nothing, and all that takes time.
//!
//! Owns the channel of news to the loop, and the tasks behind it: questions to the store, records
//! for it, other instances. Everything handed in here returns at once.

use std::time::Duration;

use rit_core::base::PublicKey;
use rit_core::broker::{Answer, AskId, BrokerEvent, InstanceId, Query};
use rit_core::crypto::Secret;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::asks::Asks;
use crate::cluster::{Cluster, Word};
use crate::control::{Control, Order};
use crate::error::Error;
use crate::records::{self, Record, Records};
use crate::store::Db;

/// What is written when the server ends may take so long.
const FINISH_TIME: Duration = Duration::from_secs(10);

/// What the loop is told.
pub(crate) enum News {
    /// The store answered.
    Answer(AskId, Answer),
    /// Another instance says.
    Word(InstanceId, Word),
    /// Some seconds have passed.
    Beat,
    /// The others took this instance for dead, and its nodes with it.
    Forgotten,
    /// Devices that nodes here asked for are online elsewhere, or are not.
    Presence(Vec<(PublicKey, bool)>),
    /// The HTTP side wants something.
    Order(Order),
    /// A note is for a device that has its link there, or nowhere.
    NoteAt(Option<InstanceId>, PublicKey, (u32, u8, Vec<u8>)),
}

pub(crate) struct Desk {
    asks: Asks,
    records: Records,
    cluster: Cluster,
    db: Db,
    news: mpsc::UnboundedSender<News>,
    tasks: Handle,
}

impl Desk {
    /// Starts all tasks, in the runtime that the database was opened in. `secret`: what all
    /// instances share.
    pub(crate) async fn start(
        db: &Db,
        secret: &Secret,
    ) -> Result<(Self, mpsc::UnboundedReceiver<News>), Error> {
        let (news, received) = mpsc::unbounded_channel();
        let cluster = Cluster::join(db, secret, &news).await.map_err(|error| db.failed(error))?;
        let own = cluster.is_shared().then_some(cluster.own());
        let asks = Asks::start(db, own, &news);
        let records = Records::start(db, cluster.mouth(), cluster.own());
        let tasks = Handle::current();
        Ok((Desk { asks, records, cluster, db: db.clone(), news, tasks }, received))
    }

    pub(crate) fn control(&self) -> Control {
        Control::new(self.news.clone())
    }

    pub(crate) fn ask(&self, id: AskId, query: Query) {
        self.asks.ask(id, query);
    }

    /// A node came to another instance, and is seen there.
    pub(crate) fn moved(&self, key: PublicKey, address: String) {
        self.records.add(Record::Moved(key, address));
    }

    /// What happened is stored, soon.
    pub(crate) fn record(&self, event: BrokerEvent) {
        if let Some(record) = records::of(event) {
            self.records.add(record);
        }
    }

    /// Takes a letter of the broker to another instance.
    pub(crate) fn post(&self, to: InstanceId, letter: Zeroizing<Vec<u8>>) {
        self.cluster.send(Some(to), Word::Letter(letter));
    }

    /// A note to the broker that nobody here waits for: another instance may.
    pub(crate) fn pass_on(&self, key: PublicKey, request: u32, kind: u8, body: Vec<u8>) {
        self.cluster.send(None, Word::Note { key, request, kind, body });
    }

    /// Looks for the instance that has a device, to take a note there.
    pub(crate) fn find_for_note(&self, device: PublicKey, note: (u32, u8, Vec<u8>)) {
        let (db, news, own) = (self.db.clone(), self.news.clone(), self.cluster.own());
        self.tasks.spawn(async move {
            let found = db.lookup(&[device]).await.unwrap_or_default();
            let at = found.first().and_then(|(_, at)| at.filter(|at| *at != own));
            let at = at.map(|at| InstanceId(at.unsigned_abs()));
            let _ = news.send(News::NoteAt(at, device, note));
        });
    }

    /// Asks which of these are online.
    pub(crate) fn ask_presence(&self, keys: Vec<PublicKey>) {
        if keys.is_empty() || !self.cluster.is_shared() {
            return;
        }
        let (db, news) = (self.db.clone(), self.news.clone());
        self.tasks.spawn(async move {
            let Ok(found) = db.lookup(&keys).await else { return };
            let all = found.into_iter().map(|(key, at)| (key, at.is_some())).collect();
            let _ = news.send(News::Presence(all));
        });
    }

    /// Writes what is left, and goes.
    pub(crate) async fn finish(self) {
        let finish = async {
            self.records.finish().await;
            self.cluster.leave().await;
        };
        if tokio::time::timeout(FINISH_TIME, finish).await.is_err() {
            tracing::warn!("the database took too long; what happened last is not in it");
        }
    }
}
