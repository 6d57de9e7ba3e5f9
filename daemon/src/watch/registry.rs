//! Keys, and who waits for them or watches them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;

use super::blocked::{Blocked, Served, Ticket};
use cahoots_gossip::store::{Change, Class};

/// Set once something that a transaction watches has changed.
#[derive(Debug, Default)]
pub struct Dirty(AtomicBool);

impl Dirty {
    /// Whether something has changed.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everybody who cares about a key.
#[derive(Default)]
pub struct Watch {
    /// Whether changes are recorded: a copy of what the replica says, to be asked without a lock.
    active: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: HashMap<Box<[u8]>, Watchers>,
    /// By ticket.
    blocked: BTreeMap<u64, Waiting>,
    tickets: u64,
}

struct Waiting {
    blocked: Blocked,
    served: oneshot::Sender<Served>,
}

#[derive(Default)]
struct Watchers {
    /// Tickets, first come first served.
    queue: VecDeque<u64>,
    watching: Vec<Weak<Dirty>>,
}

impl Watchers {
    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.watching.is_empty()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("active", &self.active).finish_non_exhaustive()
    }
}

impl Watch {
    /// Whether anybody may care about any key.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Whether changes are recorded from now on.
    pub(crate) fn activate(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    /// Whether nobody cares about any key.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().keys.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `dirty` be set when one of `keys` changes, until it is dropped.
    pub(crate) fn watch<'k>(&self, keys: impl Iterator<Item = &'k [u8]>, dirty: &Arc<Dirty>) {
        let mut state = self.state();
        for key in keys {
            let watching = &mut state.keys.entry(key.into()).or_default().watching;
            if !watching.iter().any(|it| std::ptr::eq(it.as_ptr(), Arc::as_ptr(dirty))) {
                watching.push(Arc::downgrade(dirty));
            }
        }
    }

    /// Forgets those of `keys` that nobody cares about any more, `dirty` having been dropped.
    pub(crate) fn forget<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        let mut state = self.state();
        for key in keys {
            if let Some(watchers) = state.keys.get_mut(key) {
                watchers.watching.retain(|it| it.strong_count() > 0);
                if watchers.is_empty() {
                    state.keys.remove(key);
                }
            }
        }
    }

    /// Puts a client into the queues of its keys.
    pub(crate) fn block(self: &Arc<Self>, blocked: Blocked) -> Ticket {
        let (served, receiver) = oneshot::channel();
        let mut state = self.state();
        state.tickets += 1;
        let number = state.tickets;
        for key in &blocked.keys {
            let queue = &mut state.keys.entry(key.clone()).or_default().queue;
            // A key may be named twice.
            if queue.back() != Some(&number) {
                queue.push_back(number);
            }
        }
        state.blocked.insert(number, Waiting { blocked, served });
        Ticket::new(Arc::clone(self), number, receiver)
    }

    /// Takes a client out of all queues.
    pub(super) fn withdraw(&self, number: u64) {
        self.state().take(number);
    }

    /// Has a blocked client wait no longer; says whether it was blocked. O(blocked clients).
    pub(crate) fn unblock(&self, client: u64, how: Served) -> bool {
        let mut state = self.state();
        let number = state.blocked.iter().find(|(_, it)| it.blocked.client == client).map(|(number, _)| *number);
        let waiting = number.and_then(|number| state.take(number));
        waiting.is_some_and(|waiting| waiting.served.send(how).is_ok())
    }

    /// Notes that something has changed; returns the keys that clients are blocked at, and that may have what they wait for.
    pub(crate) fn note(&self, change: &Change) -> Vec<Box<[u8]>> {
        let mut state = self.state();
        let set = |watchers: &mut Watchers| {
            // Once is enough.
            for dirty in watchers.watching.drain(..).filter_map(|it| it.upgrade()) {
                dirty.0.store(true, Ordering::Relaxed);
            }
        };
        match change {
            Change::Key(key) => {
                let Some(watchers) = state.keys.get_mut(key) else { return Vec::new() };
                set(watchers);
                if watchers.is_empty() {
                    state.keys.remove(key);
                    return Vec::new();
                }
                vec![key.clone()]
            }
            Change::Lost => {
                state.keys.values_mut().for_each(set);
                state.keys.retain(|_, watchers| !watchers.is_empty());
                state.keys.keys().cloned().collect()
            }
        }
    }

    /// Has those who are blocked at `key` served, first come first served: `serve` is asked for each who may have a chance,
    /// and gives back who has not been served.
    pub(crate) fn serve(&self, key: &[u8], mut serve: impl FnMut(Blocked) -> Result<Served, Blocked>) {
        let mut none_left: Vec<Class> = Vec::new();
        let queue: Vec<u64> = self.state().keys.get(key).map_or_else(Vec::new, |it| it.queue.iter().copied().collect());
        for number in queue {
            let takes = self.state().blocked.get(&number).map(|it| it.blocked.takes);
            let Some(takes) = takes.filter(|takes| takes.is_none_or(|class| !none_left.contains(&class))) else {
                continue;
            };
            // Its place is kept while it is looked at.
            let Some(Waiting { blocked, served }) = self.state().blocked.remove(&number) else { continue };
            if served.is_closed() {
                self.state().leave_queues(&blocked.keys, number);
                continue;
            }
            let keys = blocked.keys.clone();
            match serve(blocked) {
                Ok(answer) => {
                    self.state().leave_queues(&keys, number);
                    // Who has gone in this moment loses what was taken, as in Redis.
                    let _ = served.send(answer);
                }
                Err(blocked) => {
                    self.state().blocked.insert(number, Waiting { blocked, served });
                    none_left.extend(takes);
                }
            }
        }
    }
}

impl State {
    fn take(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.blocked.remove(&number)?;
        self.leave_queues(&waiting.blocked.keys, number);
        Some(waiting)
    }

    fn leave_queues(&mut self, keys: &[Box<[u8]>], number: u64) {
        for key in keys {
            if let Some(watchers) = self.keys.get_mut(key) {
                watchers.queue.retain(|it| *it != number);
                if watchers.is_empty() {
                    self.keys.remove(key);
                }
            }
        }
    }
}
