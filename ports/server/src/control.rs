//! What the HTTP side asks of the running broker.
//!
//! Owns the orders, the notes that wait for their answers, and the wait for both. The loop carries
//! orders out between two datagrams.

use std::collections::HashMap;
use std::time::Duration;

use rit_core::base::{Path, PublicKey};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::desk::News;

/// How long a device may take to answer a note.
const NOTE_TIME: Duration = Duration::from_secs(10);
/// Notes that wait at once.
const WAITING_MAX: usize = 10_000;

/// Kind and body of a note that answers.
pub(crate) type NoteAnswer = Result<(u8, Vec<u8>), NoteError>;

/// Something to be done, and whom to tell.
pub(crate) enum Order {
    /// Nodes that are online at this instance, and where.
    Online(oneshot::Sender<Vec<(PublicKey, Path)>>),
    /// Say this to a device, as the broker; its answer is the result.
    Note { device: PublicKey, kind: u8, body: Vec<u8>, answer: oneshot::Sender<NoteAnswer> },
    /// Close a node's link, if it is here; whether it was.
    Close(PublicKey, oneshot::Sender<bool>),
}

/// Why a note has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum NoteError {
    /// It has no link.
    #[error("the device is offline")]
    Offline,
    /// It says nothing.
    #[error("the device does not answer")]
    Silent,
    /// Too many notes wait, or the server ends.
    #[error("the server has no time for this")]
    Busy,
}

/// Notes that wait for their answers.
pub(crate) struct Notes {
    next: u32,
    waiting: HashMap<(PublicKey, u32), oneshot::Sender<NoteAnswer>>,
}

impl Notes {
    /// Numbers begin at random, so that those of two instances differ.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let [a, b, c, d, ..] = seed;
        Notes { next: u32::from_be_bytes([a, b, c, d]), waiting: HashMap::new() }
    }

    /// A number for a note to this device; none if too many wait.
    pub(crate) fn ask(
        &mut self,
        device: PublicKey,
        answer: oneshot::Sender<NoteAnswer>,
    ) -> Option<u32> {
        if self.waiting.len() >= WAITING_MAX {
            let _ = answer.send(Err(NoteError::Busy));
            return None;
        }
        self.next = if self.next >= u32::MAX - 1 { 1 } else { self.next + 1 };
        self.waiting.insert((device, self.next), answer);
        Some(self.next)
    }

    /// Tells who waits for this; if nobody does, the answer back.
    pub(crate) fn answer(
        &mut self,
        device: PublicKey,
        request: u32,
        answer: NoteAnswer,
    ) -> Result<(), NoteAnswer> {
        let Some(waiting) = self.waiting.remove(&(device, request)) else { return Err(answer) };
        // Nobody may wait any more.
        let _ = waiting.send(answer);
        Ok(())
    }

    pub(crate) fn forget_old(&mut self) {
        self.waiting.retain(|_, answer| !answer.is_closed());
    }
}

/// A handle on the running broker. Cloned, it is the same one.
#[derive(Clone)]
pub(crate) struct Control {
    news: mpsc::UnboundedSender<News>,
}

#[allow(dead_code, reason = "for the API")]
impl Control {
    pub(crate) fn new(news: mpsc::UnboundedSender<News>) -> Self {
        Control { news }
    }

    /// `None`: the server ends.
    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (sender, result) = oneshot::channel();
        self.news.send(News::Order(order(sender))).ok()?;
        result.await.ok()
    }

    /// Nodes that are online at this instance, and where they are seen.
    pub(crate) async fn online(&self) -> Vec<(PublicKey, Path)> {
        self.order(Order::Online).await.unwrap_or_default()
    }

    /// Passes a note to a device, at whichever instance it is, and waits for the answer. A new
    /// revocation list goes this way too, once it is stored.
    pub(crate) async fn note(&self, device: &PublicKey, kind: u8, body: Vec<u8>) -> NoteAnswer {
        let device = *device;
        let note = self.order(|answer| Order::Note { device, kind, body, answer });
        match tokio::time::timeout(NOTE_TIME, note).await {
            Ok(answer) => answer.unwrap_or(Err(NoteError::Busy)),
            Err(_) => Err(NoteError::Silent),
        }
    }

    /// Closes a node's link; whether it had one here. It comes back if it is still enrolled.
    pub(crate) async fn close(&self, key: &PublicKey) -> bool {
        self.order(|done| Order::Close(*key, done)).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey([byte; 32])
    }

    #[test]
    fn an_answer_goes_to_who_asked_for_it() {
        let mut notes = Notes::new([0xff; 32]);
        let (sender, mut answer) = oneshot::channel();
        let request = notes.ask(key(1), sender).unwrap();
        assert_eq!(request, 1, "as the highest is the broker's own");
        let said = || Ok((4, vec![5]));
        assert_eq!(notes.answer(key(2), request, said()), Err(said()), "by another device");
        assert_eq!(notes.answer(key(1), request + 1, said()), Err(said()));
        assert_eq!(notes.answer(key(1), request, said()), Ok(()));
        assert_eq!(answer.try_recv(), Ok(said()));
        assert_eq!(notes.answer(key(1), request, said()), Err(said()), "once");
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let mut notes = Notes::new([0; 32]);
        let mut answers = Vec::new();
        for _ in 0..WAITING_MAX {
            let (sender, answer) = oneshot::channel();
            assert!(notes.ask(key(1), sender).is_some());
            answers.push(answer);
        }
        let (sender, mut answer) = oneshot::channel();
        assert_eq!(notes.ask(key(1), sender), None);
        assert_eq!(answer.try_recv(), Ok(Err(NoteError::Busy)));
        drop(answers);
        notes.forget_old();
        let (sender, _answer) = oneshot::channel();
        assert!(notes.ask(key(1), sender).is_some());
    }
}
