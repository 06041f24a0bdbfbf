//! The broker's questions on their way to the store.
//!
//! Owns two tasks: lookups do not wait for an enrolment to reach the disk. Each takes all that
//! waits, up to a limit, and asks once: after a restart all nodes come back at the same time.

use std::collections::HashMap;
use std::time::Duration;

use rit_core::base::PublicKey;
use rit_core::broker::{Answer, AskId, InstanceId, Query, TrustRow};
use tokio::sync::mpsc;

use crate::batches::Batches;
use crate::desk::News;
use crate::store::Db;
use crate::wall_unix_s;

/// Questions that are asked at once.
const AT_ONCE: usize = 500;

/// How often, where they come all the time. An enrolment waits for the disk.
const LOOKUP_EVERY: Duration = Duration::from_millis(5);
const ENROL_EVERY: Duration = Duration::from_millis(20);

type Question = (AskId, Query);

pub(crate) struct Asks {
    lookups: mpsc::UnboundedSender<Question>,
    enrolments: mpsc::UnboundedSender<Question>,
}

impl Asks {
    /// `own`: this instance, where there can be others.
    pub(crate) fn start(db: &Db, own: Option<i64>, news: &mpsc::UnboundedSender<News>) -> Self {
        let (lookups, queue) = mpsc::unbounded_channel();
        let mut batches = Batches::new(queue, AT_ONCE, LOOKUP_EVERY);
        let (for_lookups, sender) = (db.clone(), news.clone());
        tokio::spawn(async move {
            while let Some(some) = batches.next().await {
                for answer in look_up(&for_lookups, own, &some).await {
                    let _ = sender.send(answer);
                }
            }
        });
        let (enrolments, queue) = mpsc::unbounded_channel();
        let mut batches = Batches::new(queue, AT_ONCE, ENROL_EVERY);
        let (for_enrolments, sender) = (db.clone(), news.clone());
        tokio::spawn(async move {
            while let Some(some) = batches.next().await {
                for answer in enrol(&for_enrolments, &some).await {
                    let _ = sender.send(answer);
                }
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
    let (mut nodes, mut devices) = (Vec::new(), Vec::new());
    for (_, query) in questions {
        match query {
            Query::Lookup { key } => nodes.push(*key),
            Query::Trust { key } => devices.push(*key),
            Query::Enrol { .. } => {}
        }
    }
    let nodes = db.lookup(&nodes).await.inspect_err(log_failure).ok();
    let nodes: Option<HashMap<_, _>> = nodes.map(|found| found.into_iter().collect());
    let devices = db.trust_of(&devices).await.inspect_err(log_failure).ok();
    let answer = |query: &Query| match query {
        Query::Lookup { key } => match nodes.as_ref()?.get(key) {
            None => Some(Answer::Enrolled(false)),
            Some(Some(instance)) if own.is_some_and(|own| own != *instance) => {
                Some(Answer::Elsewhere(InstanceId(instance.unsigned_abs())))
            }
            Some(_) => Some(Answer::Enrolled(true)),
        },
        Query::Trust { key } => Some(Answer::Trust(devices.as_ref()?.get(key).map(|row| {
            Box::new(TrustRow {
                owner: row.owner,
                epoch: row.epoch,
                number: row.list_number,
                list: row.list.clone().unwrap_or_default(),
            })
        }))),
        Query::Enrol { .. } => None,
    };
    let answers = questions.iter().map(|(id, query)| (*id, answer(query)));
    answers.map(|(id, answer)| News::Answer(id, answer.unwrap_or(Answer::Failed))).collect()
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
    log_failure(&error);
    Answer::Failed
}

fn log_failure(error: &sqlx::Error) {
    tracing::error!(%error, "the database failed");
}
