//! Callers that wait for replicas to have their writes.
//!
//! One table for all of them, looked through once when acknowledgements advance: a wake-up goes only to a caller
//! that has its answer, so a thousand waiting connections cost a scan, not a thousand woken tasks that all want the
//! engine.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// Everybody who waits. As long as the callers' own futures: a dropped future takes its entry with it.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Table>);

#[derive(Default)]
struct Table {
    next: u64,
    waiting: Vec<Waiter>,
}

struct Waiter {
    ticket: u64,
    seq: u64,
    replicas: usize,
    done: oneshot::Sender<usize>,
}

/// One caller's place in the table.
pub(super) struct Waiting<'a> {
    waiters: &'a Waiters,
    ticket: u64,
    answer: oneshot::Receiver<usize>,
}

impl Waiters {
    /// Waits until `replicas` have own events up to `seq`.
    ///
    /// Call it under the lock of the engine, after finding that they do not have them yet, or an acknowledgement
    /// could slip in between.
    pub(super) fn enter(&self, seq: u64, replicas: usize) -> Waiting<'_> {
        let (done, answer) = oneshot::channel();
        let mut table = self.lock();
        let ticket = table.next;
        table.next += 1;
        table.waiting.push(Waiter { ticket, seq, replicas, done });
        Waiting { waiters: self, ticket, answer }
    }

    /// Answers those who have what they wait for. `acked_by(seq)` counts the replicas that have events up to `seq`.
    pub(super) fn settle(&self, acked_by: impl Fn(u64) -> usize) {
        let mut table = self.lock();
        let mut i = 0;
        while let Some(waiter) = table.waiting.get(i) {
            let count = acked_by(waiter.seq);
            if count >= waiter.replicas {
                // A receiver gone meanwhile needs no answer.
                let _ = table.waiting.swap_remove(i).done.send(count);
            } else {
                i += 1;
            }
        }
    }

    /// Answers everybody with what there is: the node has stopped, and no more will come.
    pub(super) fn dismiss(&self, acked_by: impl Fn(u64) -> usize) {
        for waiter in self.lock().waiting.drain(..) {
            let _ = waiter.done.send(acked_by(waiter.seq));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting<'_> {
    /// How many replicas had the events when there were enough. Cancel safe.
    pub(super) async fn answer(&mut self) -> usize {
        (&mut self.answer).await.expect("an entry leaves the table by its answer, or by the drop of this value")
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut table = self.waiters.lock();
        if let Some(i) = table.waiting.iter().position(|waiter| waiter.ticket == self.ticket) {
            table.waiting.swap_remove(i);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_those_with_enough_replicas_are_answered() {
        let waiters = Waiters::default();
        let mut one = waiters.enter(5, 1);
        let mut two = waiters.enter(5, 2);
        let mut later = waiters.enter(9, 1);
        waiters.settle(|seq| usize::from(seq <= 5));
        assert_eq!(one.answer().await, 1);
        assert!(two.answer.try_recv().is_err());
        assert!(later.answer.try_recv().is_err());
        waiters.settle(|_| 2);
        assert_eq!((two.answer().await, later.answer().await), (2, 2));
    }

    #[test]
    fn a_caller_that_gives_up_leaves_nothing_behind() {
        let waiters = Waiters::default();
        drop(waiters.enter(1, 1));
        let kept = waiters.enter(2, 1);
        drop(waiters.enter(3, 1));
        assert_eq!(waiters.lock().waiting.len(), 1);
        drop(kept);
        assert!(waiters.lock().waiting.is_empty());
    }
}
