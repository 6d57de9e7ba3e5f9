//! Callers that wait for replicas to have their writes.
//!
//! One table for all of them, ordered by what they wait for and looked through once when acknowledgements advance: a
//! wake-up goes only to a caller that has its answer, so a thousand waiting connections cost a short scan, not a thousand
//! woken tasks that all want the engine.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Everybody who waits. As long as the callers' own futures: a dropped future takes its entry with it.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Table>);

#[derive(Default)]
struct Table {
    tickets: u64,
    waiting: BTreeMap<Place, Waiter>,
}

/// The own event waited for, then who came first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    seq: u64,
    ticket: u64,
}

struct Waiter {
    replicas: usize,
    done: oneshot::Sender<usize>,
}

/// One caller's place in the table.
pub(super) struct Waiting<'a> {
    waiters: &'a Waiters,
    place: Place,
    answer: oneshot::Receiver<usize>,
}

impl Waiters {
    /// Waits until `replicas`, at least one, have own events up to `seq`.
    ///
    /// Call it under the lock of the engine, after finding that they do not have them yet, or an acknowledgement
    /// could slip in between.
    pub(super) fn enter(&self, seq: u64, replicas: usize) -> Waiting<'_> {
        let (done, answer) = oneshot::channel();
        let mut table = self.lock();
        let place = Place { seq, ticket: table.tickets };
        table.tickets += 1;
        table.waiting.insert(place, Waiter { replicas, done });
        Waiting { waiters: self, place, answer }
    }

    /// Answers those who have what they wait for. `acked_by(seq)` counts the replicas that have events up to `seq`, never
    /// more for a later one than for an earlier one.
    pub(super) fn settle(&self, acked_by: impl Fn(u64) -> usize) {
        let mut table = self.lock();
        let (mut answered, mut looked_up) = (Vec::new(), None);
        for (place, waiter) in &table.waiting {
            let count = match looked_up {
                Some((seq, count)) if seq == place.seq => count,
                _ => acked_by(place.seq),
            };
            looked_up = Some((place.seq, count));
            if count == 0 {
                break;
            }
            if count >= waiter.replicas {
                answered.push((*place, count));
            }
        }
        for (place, count) in answered {
            if let Some(waiter) = table.waiting.remove(&place) {
                // A receiver gone meanwhile needs no answer.
                let _ = waiter.done.send(count);
            }
        }
    }

    /// Whether a task waits for events up to `seq` or earlier ones.
    pub(super) fn any_upto(&self, seq: u64) -> bool {
        self.lock().waiting.first_key_value().is_some_and(|(place, _)| place.seq <= seq)
    }

    /// Answers everybody with what there is: the node has stopped or has another id, and no more will come.
    pub(super) fn dismiss(&self, acked_by: impl Fn(u64) -> usize) {
        for (place, waiter) in std::mem::take(&mut self.lock().waiting) {
            let _ = waiter.done.send(acked_by(place.seq));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
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
        self.waiters.lock().waiting.remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_those_with_enough_replicas_are_answered() {
        let waiters = Waiters::default();
        let mut later = waiters.enter(9, 1);
        let mut one = waiters.enter(5, 1);
        let mut two = waiters.enter(5, 2);
        assert!(waiters.any_upto(5) && !waiters.any_upto(4));
        waiters.settle(|seq| usize::from(seq <= 5));
        assert_eq!(one.answer().await, 1);
        assert!(two.answer.try_recv().is_err());
        assert!(later.answer.try_recv().is_err());
        waiters.settle(|_| 2);
        assert_eq!((two.answer().await, later.answer().await), (2, 2));
    }

    #[tokio::test]
    async fn when_the_node_stops_everybody_is_answered_with_what_there_is() {
        let waiters = Waiters::default();
        let (mut near, mut far) = (waiters.enter(1, 3), waiters.enter(2, 3));
        waiters.dismiss(|seq| usize::from(seq == 1));
        assert_eq!((near.answer().await, far.answer().await), (1, 0));
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
