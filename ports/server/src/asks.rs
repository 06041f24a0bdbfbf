//! The broker's questions on their way to the store.
//!
//! Owns two tasks: lookups do not wait for an enrolment to reach the disk. Each takes all that
//! waits, up to a limit, and asks once: after a restart all nodes come back at the same time.

use rit_core::base::PublicKey;
use rit_core::broker::{Answer, AskId, InstanceId, Query, TrustRow};
use tokio::sync::mpsc;

use crate::desk::News;
use crate::store::Db;
use crate::wall_unix_s;

/// Questions that are asked at once.
const AT_ONCE: usize = 100;

type Question = (AskId, Query);

pub(crate) struct Asks {
    lookups: mpsc::UnboundedSender<Question>,
    enrolments: mpsc::UnboundedSender<Question>,
}

impl Asks {
    /// `own`: this instance, where there can be others.
    pub(crate) fn start(db: &Db, own: Option<i64>, news: &mpsc::UnboundedSender<News>) -> Self {
        let (lookups, mut queue) = mpsc::unbounded_channel();
        let (for_lookups, sender) = (db.clone(), news.clone());
        tokio::spawn(async move {
            let mut some: Vec<Question> = Vec::new();
            while queue.recv_many(&mut some, AT_ONCE).await > 0 {
                for answer in look_up(&for_lookups, own, &some).await {
                    let _ = sender.send(answer);
                }
                some.clear();
            }
        });
        let (enrolments, mut queue) = mpsc::unbounded_channel();
        let (for_enrolments, sender) = (db.clone(), news.clone());
        tokio::spawn(async move {
            let mut some: Vec<Question> = Vec::new();
            while queue.recv_many(&mut some, AT_ONCE).await > 0 {
                for answer in enrol(&for_enrolments, &some).await {
                    let _ = sender.send(answer);
                }
                some.clear();
            }
        });
        Asks { lookups, enrolments }
    }

    pub(crate) fn ask(&self, id: AskId, query: Query) {
        let queue = match query {
            Query::Lookup { .. } | Query::Trust { .. } => &self.lookups,
            Query::Enrol { .. } => &self.enrolments,
        };
        // The tasks end after this value only.
        let _ = queue.send((id, query));
    }
}

async fn look_up(db: &Db, own: Option<i64>, questions: &[Question]) -> Vec<News> {
    let mut keys: Vec<PublicKey> = Vec::new();
    let mut answers = Vec::with_capacity(questions.len());
    for (id, query) in questions {
        match query {
            Query::Lookup { key } => keys.push(*key),
            Query::Trust { key } => answers.push(News::Answer(*id, trust(db, key).await)),
            Query::Enrol { .. } => {}
        }
    }
    let found = match db.lookup(&keys).await {
        Ok(found) => Some(found),
        Err(error) => {
            tracing::error!(%error, "the database failed");
            None
        }
    };
    for (id, query) in questions {
        let Query::Lookup { key } = query else { continue };
        let answer = match &found {
            None => Answer::Failed,
            Some(found) => match found.iter().find(|(known, _)| known == key) {
                None => Answer::Enrolled(false),
                Some((_, Some(instance))) if own.is_some_and(|own| own != *instance) => {
                    Answer::Elsewhere(InstanceId(instance.unsigned_abs()))
                }
                Some(_) => Answer::Enrolled(true),
            },
        };
        answers.push(News::Answer(*id, answer));
    }
    answers
}

async fn trust(db: &Db, device: &PublicKey) -> Answer {
    match db.trust(device).await {
        Ok(row) => Answer::Trust(row.map(|row| {
            Box::new(TrustRow {
                owner: row.owner,
                epoch: row.epoch,
                number: row.list_number,
                list: row.list.unwrap_or_default(),
            })
        })),
        Err(error) => {
            tracing::error!(%error, "the database failed");
            Answer::Failed
        }
    }
}

async fn enrol(db: &Db, questions: &[Question]) -> Vec<News> {
    let mut all: Vec<(AskId, PublicKey, [u8; 32])> = Vec::new();
    for (id, query) in questions {
        if let Query::Enrol { key, code_hash } = query {
            all.push((*id, *key, *code_hash));
        }
    }
    let wanted: Vec<(PublicKey, [u8; 32])> =
        all.iter().map(|(_, key, hash)| (*key, *hash)).collect();
    let enrolled = match db.enrol_many(&wanted, wall_unix_s()).await {
        Ok(enrolled) => enrolled.into_iter().map(Answer::Enrolled).collect(),
        // One of them may be to blame.
        Err(_) if wanted.len() > 1 => {
            let mut answers = Vec::with_capacity(wanted.len());
            for (key, hash) in &wanted {
                let enrolled = db.enrol(key, hash, wall_unix_s()).await;
                answers.push(enrolled.map_or_else(failed, Answer::Enrolled));
            }
            answers
        }
        Err(error) => vec![failed(error)],
    };
    all.iter().zip(enrolled).map(|((id, ..), answer)| News::Answer(*id, answer)).collect()
}

#[allow(clippy::needless_pass_by_value, reason = "it takes what failed")]
fn failed(error: sqlx::Error) -> Answer {
    tracing::error!(%error, "the database failed");
    Answer::Failed
}
