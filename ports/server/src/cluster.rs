//! Several servers that are one broker: the same identity, one PostgreSQL database.
//!
//! Owns this instance's row and its heartbeat, the taking over of nodes whose instance is gone, and
//! words between instances, by LISTEN and NOTIFY. Words are sealed with what all instances share,
//! for offers hold contact keys, and whoever reads the database is not to learn them. Invariants: a
//! word is taken once, and within a minute; one that is too long for a notification goes through a
//! row. On SQLite there is one instance, and nothing to say.

mod seal;

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64_NOPAD;
use rit_core::base::PublicKey;
use rit_core::broker::InstanceId;
use rit_core::crypto::Secret;
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use self::seal::Seal;
use crate::desk::News;
use crate::store::{Arg, Db, NewEvent, args, kind, values};
use crate::wall_unix_s;

/// How often an instance says that it lives, and after how much silence it does not.
const BEAT: Duration = Duration::from_secs(3);
const DEAD_S: i64 = 12;
/// The most a notification holds is 8000 bytes.
const NOTIFY_MAX: usize = 7900;
/// Words in one statement.
const AT_ONCE: usize = 50;
/// How long a word waits for a database that is away: until it is of no use.
const TRIES: u32 = 3;
const RETRY: Duration = Duration::from_secs(1);

/// What instances say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// For the other's broker.
    Letter(Zeroizing<Vec<u8>>),
    /// A node of yours is here now.
    Moved {
        /// Which.
        key: PublicKey,
        /// Where it is seen.
        address: String,
    },
    /// A node says this to the broker, and it was not I who asked.
    Note {
        /// Who says it.
        key: PublicKey,
        /// What it answers.
        request: u32,
        /// As in the note.
        kind: u8,
        /// As in the note.
        body: Vec<u8>,
    },
}

impl Word {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::new());
        match self {
            Word::Letter(letter) => {
                out.reserve_exact(1 + letter.len());
                out.push(0);
                out.extend_from_slice(letter);
            }
            Word::Moved { key, address } => {
                out.push(1);
                out.extend_from_slice(&key.0);
                out.extend_from_slice(address.as_bytes());
            }
            Word::Note { key, request, kind, body } => {
                out.push(2);
                out.extend_from_slice(&key.0);
                out.extend_from_slice(&request.to_be_bytes());
                out.push(*kind);
                out.extend_from_slice(body);
            }
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        if *tag == 0 {
            return Some(Word::Letter(Zeroizing::new(rest.to_vec())));
        }
        let (key, rest) = rest.split_first_chunk()?;
        let key = PublicKey(*key);
        match tag {
            1 => Some(Word::Moved { key, address: String::from_utf8(rest.to_vec()).ok()? }),
            2 => {
                let (request, rest) = rest.split_first_chunk()?;
                let (kind, body) = rest.split_first()?;
                let request = u32::from_be_bytes(*request);
                Some(Word::Note { key, request, kind: *kind, body: body.to_vec() })
            }
            _ => None,
        }
    }
}

/// Says words to other instances.
#[derive(Clone)]
pub(crate) struct Mouth {
    words: Option<mpsc::UnboundedSender<(InstanceId, Word)>>,
}

/// To all.
const ALL: InstanceId = InstanceId(0);

impl Mouth {
    /// With nobody to listen.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Mouth { words: None }
    }

    /// To one, or to all others.
    pub(crate) fn send(&self, to: Option<InstanceId>, word: Word) {
        if let Some(words) = &self.words {
            let _ = words.send((to.unwrap_or(ALL), word));
        }
    }
}

/// This instance among the others.
pub(crate) struct Cluster {
    db: Db,
    own: i64,
    mouth: Mouth,
    tasks: Vec<JoinHandle<()>>,
}

impl Cluster {
    /// Takes a place, and what dead instances left behind.
    pub(crate) async fn join(
        db: &Db,
        secret: &Secret,
        news: &mpsc::UnboundedSender<News>,
    ) -> Result<Self, sqlx::Error> {
        let now = wall_unix_s();
        let mut tx = db.begin().await?;
        let own = tx.numbers("instance", 1).await?;
        let add = "INSERT INTO instance (id, started_unix_s, seen_unix_s) VALUES ($1, $2, $2)";
        tx.execute(add, args![own, now]).await?;
        tx.commit().await?;
        let mut cluster =
            Cluster { db: db.clone(), own, mouth: Mouth { words: None }, tasks: vec![] };
        let Some(pool) = db.postgres() else {
            // Whoever had this database before is dead: the folder is locked.
            take_over(db, own, i64::MAX).await?;
            cluster.tasks.push(tokio::spawn(beat_alone(news.clone())));
            return Ok(cluster);
        };
        let (words, queue) = mpsc::unbounded_channel();
        cluster.mouth.words = Some(words);
        let seal = Arc::new(Seal::new(secret));
        let mut ears = PgListener::connect_with(pool).await?;
        ears.listen_all([channel(InstanceId(own.unsigned_abs())).as_str(), &channel(ALL)]).await?;
        let listen = listen(ears, pool.clone(), db.clone(), own, seal.clone(), news.clone());
        cluster.tasks.push(tokio::spawn(beat(db.clone(), own, news.clone())));
        cluster.tasks.push(tokio::spawn(listen));
        cluster.tasks.push(tokio::spawn(speak(db.clone(), own, seal, queue)));
        Ok(cluster)
    }

    pub(crate) fn own(&self) -> i64 {
        self.own
    }

    /// Whether there can be other instances.
    pub(crate) fn is_shared(&self) -> bool {
        self.db.postgres().is_some()
    }

    pub(crate) fn mouth(&self) -> Mouth {
        self.mouth.clone()
    }

    /// To one, or to all others.
    pub(crate) fn send(&self, to: Option<InstanceId>, word: Word) {
        self.mouth.send(to, word);
    }

    /// Gives the place up.
    pub(crate) async fn leave(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        if let Err(error) = take_over_from(&self.db, self.own).await {
            tracing::warn!(%error, "the others will find out by themselves that this server ended");
        }
    }
}

fn channel(instance: InstanceId) -> String {
    format!("rit_{}", instance.0)
}

async fn beat_alone(news: mpsc::UnboundedSender<News>) {
    while news.send(News::Beat).is_ok() {
        tokio::time::sleep(BEAT).await;
    }
}

/// Says that this instance lives, and looks for those that do not.
async fn beat(db: Db, own: i64, news: mpsc::UnboundedSender<News>) {
    // By the database's clock, which is one for all.
    let alive = "UPDATE instance SET seen_unix_s = EXTRACT(EPOCH FROM clock_timestamp())::bigint
                 WHERE id = $1 AND started_unix_s > 0";
    let again = "INSERT INTO instance (id, started_unix_s, seen_unix_s)
                 SELECT $1, t, t FROM (SELECT EXTRACT(EPOCH FROM clock_timestamp())::bigint t) AS c
                 ON CONFLICT (id) DO UPDATE
                 SET started_unix_s = excluded.started_unix_s, seen_unix_s = excluded.seen_unix_s";
    while news.send(News::Beat).is_ok() {
        let beaten = async {
            if db.execute(alive, args![own]).await? == 0 {
                db.execute(again, args![own]).await?;
                let _ = news.send(News::Forgotten);
            }
            take_over(&db, own, DEAD_S).await
        };
        if let Err(error) = beaten.await {
            tracing::error!(%error, "the database failed");
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// Frees the nodes of instances that were silent for so long.
async fn take_over(db: &Db, own: i64, dead_s: i64) -> Result<(), sqlx::Error> {
    let dead = if db.postgres().is_some() {
        let dead = "SELECT id FROM instance WHERE id <> $1 AND
                    seen_unix_s < EXTRACT(EPOCH FROM clock_timestamp())::bigint - $2";
        db.fetch_all(dead, args![own, dead_s]).await?
    } else {
        db.fetch_all("SELECT id FROM instance WHERE id <> $1", args![own]).await?
    };
    for row in dead {
        let instance = row.int(0)?;
        if take_over_from(db, instance).await? {
            tracing::warn!(instance, "another server is gone");
        }
    }
    Ok(())
}

/// Frees the nodes of one instance; whether nobody else did.
async fn take_over_from(db: &Db, instance: i64) -> Result<bool, sqlx::Error> {
    let now = wall_unix_s();
    let mut tx = db.begin().await?;
    tx.line_up().await?;
    if tx.execute("DELETE FROM instance WHERE id = $1", args![instance]).await? == 0 {
        return Ok(false);
    }
    let free = "UPDATE node SET is_online = 0, instance = NULL, seen_unix_s = $1
                WHERE instance = $2 RETURNING key";
    let mut events = Vec::new();
    for row in tx.fetch_all(free, args![now, instance]).await? {
        events.push(NewEvent::of_device(kind::NODE_OFFLINE, &row.key(0)?));
    }
    tx.execute("DELETE FROM mail WHERE instance = $1", args![instance]).await?;
    tx.add_events(&events, now).await?;
    tx.commit().await?;
    Ok(true)
}

/// Says what is to be said.
async fn speak(
    db: Db,
    own: i64,
    seal: Arc<Seal>,
    mut queue: mpsc::UnboundedReceiver<(InstanceId, Word)>,
) {
    let mut some = Vec::new();
    while queue.recv_many(&mut some, AT_ONCE).await > 0 {
        let from = InstanceId(own.unsigned_abs());
        let mut sealed: Vec<(InstanceId, Vec<u8>)> = Vec::new();
        for (to, word) in some.drain(..) {
            match seal.close(from, to, &word.encode(), wall_unix_s()) {
                Some(bytes) => sealed.push((to, bytes)),
                None => tracing::error!("a word to another server could not be sealed"),
            }
        }
        for attempt in 1..=TRIES {
            match notify(&db, &sealed).await {
                Ok(()) => break,
                Err(error) => tracing::error!(%error, attempt, "other servers are not reached"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn notify(db: &Db, sealed: &[(InstanceId, Vec<u8>)]) -> Result<(), sqlx::Error> {
    let mut words: Vec<(String, String)> = Vec::with_capacity(sealed.len());
    for (to, bytes) in sealed {
        let mut text = BASE64_NOPAD.encode(bytes);
        if text.len() > NOTIFY_MAX && *to == ALL {
            // A row is taken by the first; and nothing that is for all is so long.
            continue;
        }
        if text.len() > NOTIFY_MAX {
            let mut tx = db.begin().await?;
            let id = tx.numbers("mail", 1).await?;
            let add = "INSERT INTO mail (id, instance, made_unix_s, payload)
                       VALUES ($1, $2, $3, $4)";
            let to = i64::try_from(to.0).unwrap_or(0);
            tx.execute(add, args![id, to, wall_unix_s(), bytes]).await?;
            tx.commit().await?;
            text = format!("mail {id}");
        }
        words.push((channel(*to), text));
    }
    let sql = format!(
        "SELECT pg_notify(v.column1, v.column2)::text FROM (VALUES {}) AS v",
        values(words.len(), 2)
    );
    let args: Vec<Arg<'_>> =
        words.iter().flat_map(|(channel, text)| [Arg::from(channel), Arg::from(text)]).collect();
    if !args.is_empty() {
        db.fetch_all(&sql, &args).await?;
    }
    Ok(())
}

/// Hears what others say, whatever happens to the database.
async fn listen(
    mut ears: PgListener,
    pool: PgPool,
    db: Db,
    own: i64,
    seal: Arc<Seal>,
    news: mpsc::UnboundedSender<News>,
) {
    let own_id = InstanceId(own.unsigned_abs());
    let mut once = seal::Once::default();
    loop {
        let notification = match ears.recv().await {
            Ok(notification) => notification,
            Err(error) => {
                tracing::error!(%error, "the database is away; other servers are not heard");
                ears = reconnect(&pool, own_id).await;
                continue;
            }
        };
        let text = notification.payload();
        let to = if notification.channel() == channel(ALL) { ALL } else { own_id };
        let bytes = match text.strip_prefix("mail ") {
            Some(id) => fetch_mail(&db, id).await,
            None => BASE64_NOPAD.decode(text.as_bytes()).ok(),
        };
        let opened = bytes.and_then(|bytes| seal.open(to, &bytes, wall_unix_s(), &mut once));
        let Some((from, word)) = opened else {
            tracing::warn!("a word that is none, too old, or from a server with another secret");
            continue;
        };
        if from == own_id {
            continue;
        }
        let Some(word) = Word::decode(&word) else { continue };
        if news.send(News::Word(from, word)).is_err() {
            return;
        }
    }
}

async fn reconnect(pool: &PgPool, own: InstanceId) -> PgListener {
    loop {
        tokio::time::sleep(RETRY).await;
        if let Ok(mut ears) = PgListener::connect_with(pool).await {
            if ears.listen_all([channel(own).as_str(), &channel(ALL)]).await.is_ok() {
                return ears;
            }
        }
    }
}

async fn fetch_mail(db: &Db, id: &str) -> Option<Vec<u8>> {
    let id: i64 = id.parse().ok()?;
    let take = "DELETE FROM mail WHERE id = $1 RETURNING payload";
    let row = db.fetch_optional(take, args![id]).await;
    row.ok()??.bytes(0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{enrol_all, key, postgres, sqlite_in};

    fn words() -> [Word; 3] {
        let note = Word::Note { key: key(2), request: 7, kind: 3, body: vec![4; 2048] };
        let moved = Word::Moved { key: key(1), address: "[::1]:5".into() };
        [Word::Letter(Zeroizing::new(vec![1; 8000])), moved, note]
    }

    #[test]
    fn words_are_read_as_they_were_written() {
        for word in words() {
            let bytes = word.encode();
            assert_eq!(Word::decode(&bytes), Some(word.clone()));
            if !matches!(word, Word::Letter(_)) {
                assert_eq!(Word::decode(&bytes[..32]), None);
            }
        }
        assert_eq!(Word::decode(&[]), None);
        assert_eq!(Word::decode(&[9; 40]), None);
    }

    async fn heard(news: &mut mpsc::UnboundedReceiver<News>) -> (InstanceId, Word) {
        loop {
            if let News::Word(from, word) = news.recv().await.unwrap() {
                return (from, word);
            }
        }
    }

    #[tokio::test]
    async fn instances_hear_each_other_also_after_the_database_was_away() {
        let Some(mut server) = postgres_of_its_own() else { return };
        let db = server.fresh().await;
        let secret = Secret::new([1; 32]);
        let (one, mut of_one) = mpsc::unbounded_channel();
        let (two, mut of_two) = mpsc::unbounded_channel();
        let first = Cluster::join(&db, &secret, &one).await.unwrap();
        let second = Cluster::join(&db, &secret, &two).await.unwrap();
        let stranger = Cluster::join(&db, &Secret::new([2; 32]), &two).await.unwrap();
        let [a, b] = [&first, &second].map(|one| InstanceId(one.own().unsigned_abs()));
        for word in words() {
            stranger.send(Some(b), word.clone());
            first.send(Some(b), word.clone());
            assert_eq!(heard(&mut of_two).await, (a, word.clone()));
            // To all, only what is short.
            let to = matches!(word, Word::Letter(_)).then_some(a);
            second.send(to, word.clone());
            assert_eq!(heard(&mut of_one).await, (b, word));
        }
        server.stop();
        server.run();
        let word = &words()[1];
        // What is said meanwhile may be lost: say it until it is heard.
        loop {
            first.send(Some(b), word.clone());
            let wait = tokio::time::timeout(Duration::from_millis(500), heard(&mut of_two));
            if wait.await.is_ok_and(|heard| heard == (a, word.clone())) {
                break;
            }
        }
        assert_eq!(db.fetch_all("SELECT id FROM mail", args![]).await.unwrap().len(), 0);
    }

    fn postgres_of_its_own() -> Option<crate::store::testing::Postgres> {
        crate::store::testing::Postgres::start()
    }

    #[tokio::test]
    async fn what_a_dead_instance_had_is_taken_over_once() {
        let Some(server) = postgres() else { return };
        let db = server.fresh().await;
        enrol_all(&db, 1..=2).await;
        let (news, _received) = mpsc::unbounded_channel();
        let own = Cluster::join(&db, &Secret::new([1; 32]), &news).await.unwrap().own();
        let at = "UPDATE node SET is_online = 1, instance = $1 WHERE key = $2";
        db.execute(at, args![90_i64, &key(1)]).await.unwrap();
        db.execute(at, args![own, &key(2)]).await.unwrap();
        // The heartbeat may be faster.
        db.execute("INSERT INTO instance VALUES (90, 1, 1)", args![]).await.unwrap();
        while db.node(&key(1)).await.unwrap().unwrap().instance.is_some() {
            take_over(&db, own, DEAD_S).await.unwrap();
        }
        assert!(!take_over_from(&db, 90).await.unwrap());
        let instance = |node: Option<crate::store::Node>| node.unwrap().instance;
        assert_eq!(instance(db.node(&key(1)).await.unwrap()), None);
        assert_eq!(instance(db.node(&key(2)).await.unwrap()), Some(own));
    }

    #[tokio::test]
    async fn a_server_that_starts_anew_has_no_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let db = sqlite_in(dir.path()).await;
        enrol_all(&db, 1..=1).await;
        let (news, _received) = mpsc::unbounded_channel();
        let secret = Secret::new([1; 32]);
        let first = Cluster::join(&db, &secret, &news).await.unwrap();
        let at = "UPDATE node SET is_online = 1, instance = $1";
        db.execute(at, args![first.own()]).await.unwrap();
        let second = Cluster::join(&db, &secret, &news).await.unwrap();
        assert_ne!(first.own(), second.own());
        assert_eq!(db.count_nodes().await.unwrap(), (1, 0));
    }
}
