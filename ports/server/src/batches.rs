//! Queues to the store whose items are taken many at once.
//!
//! One that comes alone is taken at once; where many come, each query and each commit is for all
//! that came within a moment, because most of what it costs does not depend on how many they are.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

pub(crate) struct Batches<T> {
    queue: UnboundedReceiver<T>,
    max: usize,
    every: Duration,
    next: Instant,
}

impl<T> Batches<T> {
    /// At most `max` items at once, and no more often than `every` so long.
    pub(crate) fn new(queue: UnboundedReceiver<T>, max: usize, every: Duration) -> Self {
        Batches { queue, max, every, next: Instant::now() }
    }

    /// The next items; none once the queue is closed and empty.
    pub(crate) async fn next(&mut self) -> Option<Vec<T>> {
        let mut some = Vec::new();
        if self.queue.recv_many(&mut some, self.max).await == 0 {
            return None;
        }
        sleep_until(self.next).await;
        while some.len() < self.max {
            let Ok(one) = self.queue.try_recv() else { break };
            some.push(one);
        }
        self.next = Instant::now() + self.every;
        Some(some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::unbounded_channel;

    #[tokio::test]
    async fn what_comes_within_a_moment_comes_together() {
        let (sender, queue) = unbounded_channel();
        let mut batches = Batches::new(queue, 3, Duration::from_millis(20));
        sender.send(1).unwrap();
        assert_eq!(batches.next().await.unwrap(), [1], "alone, at once");
        let late = sender.clone();
        sender.send(2).unwrap();
        let sending = tokio::spawn(async move { (3..=5).try_for_each(|n| late.send(n)) });
        assert_eq!(batches.next().await.unwrap(), [2, 3, 4], "no more than the limit");
        sending.await.unwrap().unwrap();
        drop(sender);
        assert_eq!(batches.next().await.unwrap(), [5]);
        assert_eq!(batches.next().await, None);
    }
}
