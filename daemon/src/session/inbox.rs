//! What a client is sent unasked: messages of channels, invalidations, and orders to go.
//!
//! Whoever has something for a client appends it here, mostly under the replica's lock; the client's connection is woken,
//! takes all of it and sends it. Messages and replies keep the order in which they came to be: a connection takes what is
//! here, under that lock, before it executes anything.
//!
//! What waits for one client is bounded, and what waits for all of them together ([`PushBudget`]). A client that does not
//! take its messages fast enough is cut, and so learns that it has missed some: it is never silently behind.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Bounds on what waits to be sent unasked. Redis's `client-output-buffer-limit` of class `pubsub`.
#[derive(Debug)]
pub struct PushBudget {
    /// Bytes that may wait for one client: past it, it is cut.
    pub hard: AtomicUsize,
    /// Bytes that may wait for one client for a while only; 0 for no such bound.
    pub soft: AtomicUsize,
    /// How long that is, in seconds.
    pub soft_seconds: AtomicU64,
    /// Bytes that may wait for all clients together: the client that would pass it is cut.
    pub total_max: usize,
    total: AtomicUsize,
    cut: AtomicU64,
}

impl Default for PushBudget {
    fn default() -> Self {
        Self {
            // Redis's defaults.
            hard: AtomicUsize::new(32 << 20),
            soft: AtomicUsize::new(8 << 20),
            soft_seconds: AtomicU64::new(60),
            // As much as clients may send that is not executed yet.
            total_max: 1 << 30,
            total: AtomicUsize::new(0),
            cut: AtomicU64::new(0),
        }
    }
}

impl PushBudget {
    /// Bytes that wait for all clients together.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total.load(Relaxed)
    }

    /// Clients that were cut because they did not take their messages.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut.load(Relaxed)
    }
}

/// Why a client is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dismissal {
    /// It did not take its messages.
    TooSlow,
    /// An operator wanted it to.
    Killed,
}

impl fmt::Display for Dismissal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooSlow => "did not take what it was sent unasked",
            Self::Killed => "killed by another client",
        })
    }
}

/// What waits for one client.
#[derive(Debug)]
pub struct Inbox {
    /// Whether there is something to take, or the client is to go: to be asked without a lock.
    some: AtomicBool,
    /// Whether something was taken that is not sent yet.
    unsent: AtomicBool,
    state: Mutex<State>,
    budget: Arc<PushBudget>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Bytes that were taken and are not sent yet.
    taken: usize,
    /// Since when more waits than may for long.
    over_soft: Option<Instant>,
    dismissed: Option<Dismissal>,
    waker: Option<Waker>,
}

impl Inbox {
    /// An empty one, whose bytes count towards `budget`.
    #[must_use]
    pub fn new(budget: Arc<PushBudget>) -> Self {
        Self { some: AtomicBool::new(false), unsent: AtomicBool::new(false), state: Mutex::default(), budget }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message. Says whether the client will get it.
    pub fn push(&self, message: &[u8]) -> bool {
        let mut state = self.state();
        if state.dismissed.is_some() {
            return false;
        }
        if !self.has_room(&mut state, message.len()) {
            self.budget.cut.fetch_add(1, Relaxed);
            self.dismiss_in(state, Dismissal::TooSlow);
            return false;
        }
        state.bytes.extend_from_slice(message);
        self.budget.total.fetch_add(message.len(), Relaxed);
        self.some.store(true, Relaxed);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        true
    }

    fn has_room(&self, state: &mut State, more: usize) -> bool {
        let (waiting, budget) = (state.bytes.len() + state.taken + more, &self.budget);
        if waiting > budget.hard.load(Relaxed) || budget.total() + more > budget.total_max {
            return false;
        }
        let soft = budget.soft.load(Relaxed);
        if soft == 0 || waiting <= soft {
            state.over_soft = None;
            return true;
        }
        let Some(since) = state.over_soft else {
            state.over_soft = Some(Instant::now());
            return true;
        };
        since.elapsed() <= Duration::from_secs(budget.soft_seconds.load(Relaxed))
    }

    /// Has the client go. What waits for it is dropped.
    pub fn dismiss(&self, why: Dismissal) {
        let state = self.state();
        if state.dismissed.is_none() {
            self.dismiss_in(state, why);
        }
    }

    fn dismiss_in(&self, mut state: MutexGuard<'_, State>, why: Dismissal) {
        state.dismissed = Some(why);
        self.budget.total.fetch_sub(state.bytes.len(), Relaxed);
        state.bytes = Vec::new();
        self.some.store(true, Relaxed);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Bytes that wait to be sent.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let state = self.state();
        state.bytes.len() + state.taken
    }

    /// Whether there is something to take, or the client is to go.
    #[must_use]
    pub fn has_some(&self) -> bool {
        self.some.load(Relaxed)
    }

    /// Waits until there is something to take. Who has something to do meanwhile asks [`has_some`](Self::has_some) instead.
    ///
    /// # Errors
    /// The client is to go.
    pub fn poll_some(&self, context: &Context<'_>) -> Poll<Result<(), Dismissal>> {
        let mut state = self.state();
        if let Some(why) = state.dismissed {
            return Poll::Ready(Err(why));
        }
        if !state.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        state.remember(context);
        Poll::Pending
    }

    /// Why the client is to go; it is told as soon as it is.
    pub fn poll_dismissed(&self, context: &Context<'_>) -> Poll<Dismissal> {
        let mut state = self.state();
        if let Some(why) = state.dismissed {
            return Poll::Ready(why);
        }
        state.remember(context);
        Poll::Pending
    }

    /// Takes all messages: they are appended to `out`, and count until they are [`sent`](Self::sent).
    pub fn take(&self, out: &mut Vec<u8>) {
        let mut state = self.state();
        state.taken += state.bytes.len();
        self.unsent.store(true, Relaxed);
        if out.is_empty() {
            std::mem::swap(out, &mut state.bytes);
        } else {
            out.append(&mut state.bytes);
        }
        // What was swapped in is empty, and only kept if it is small.
        if state.bytes.capacity() > KEPT_BYTES {
            state.bytes = Vec::new();
        }
        self.some.store(state.dismissed.is_some(), Relaxed);
    }

    /// All that was taken is sent.
    pub fn sent(&self) {
        if !self.unsent.swap(false, Relaxed) {
            return;
        }
        let mut state = self.state();
        self.budget.total.fetch_sub(std::mem::take(&mut state.taken), Relaxed);
        if state.bytes.len() <= self.budget.soft.load(Relaxed) {
            state.over_soft = None;
        }
    }
}

/// Room that is kept for the next messages.
const KEPT_BYTES: usize = 4 << 10;

impl State {
    fn remember(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(waker) if waker.will_wake(context.waker()) => {}
            waker => *waker = Some(context.waker().clone()),
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.budget.total.fetch_sub(state.bytes.len() + state.taken, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(hard: usize, soft: usize, total_max: usize) -> Arc<PushBudget> {
        let budget = PushBudget { total_max, ..PushBudget::default() };
        budget.hard.store(hard, Relaxed);
        budget.soft.store(soft, Relaxed);
        budget.soft_seconds.store(0, Relaxed);
        Arc::new(budget)
    }

    fn dismissed(inbox: &Inbox) -> Option<Dismissal> {
        match inbox.poll_dismissed(&Context::from_waker(Waker::noop())) {
            Poll::Ready(why) => Some(why),
            Poll::Pending => None,
        }
    }

    #[test]
    fn messages_count_until_they_are_sent_and_one_too_many_cuts_the_client() {
        let budget = budget(10, 0, 100);
        let inbox = Inbox::new(Arc::clone(&budget));
        let mut out = Vec::new();
        assert!(inbox.push(b"12345") && inbox.has_some());
        inbox.take(&mut out);
        assert!(!inbox.has_some() && out == b"12345");
        assert!(inbox.push(b"67890"), "up to the bound");
        inbox.sent();
        assert_eq!(budget.total(), 5);
        assert!(inbox.push(b"abcde") && !inbox.push(b"f"), "beyond it");
        assert_eq!((dismissed(&inbox), budget.total(), budget.cut()), (Some(Dismissal::TooSlow), 0, 1));
        inbox.take(&mut out);
        assert!(inbox.has_some(), "that it is to go is never overlooked");
        assert!(!inbox.push(b"g"), "it gets nothing more");
    }

    #[test]
    fn one_that_is_over_the_soft_bound_for_too_long_is_cut() {
        let inbox = Inbox::new(budget(100, 5, 100));
        assert!(inbox.push(b"123456"), "the time begins");
        std::thread::sleep(Duration::from_millis(2));
        assert!(!inbox.push(b"7"));
        assert_eq!(dismissed(&inbox), Some(Dismissal::TooSlow));
    }

    #[test]
    fn all_clients_together_have_a_bound_and_give_back_what_they_took_of_it() {
        let budget = budget(10, 0, 12);
        let (first, second) = (Inbox::new(Arc::clone(&budget)), Inbox::new(Arc::clone(&budget)));
        assert!(first.push(b"12345678") && !second.push(b"12345"));
        assert_eq!((dismissed(&first), dismissed(&second)), (None, Some(Dismissal::TooSlow)));
        drop(first);
        assert_eq!(budget.total(), 0);
    }
}
