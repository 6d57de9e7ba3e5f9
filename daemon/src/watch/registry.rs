//! Keys, and who waits for them or watches them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;

use super::blocked::{Blocked, Served, Takes, Ticket};
use cahoots_gossip::store::Change;

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
    /// Tickets, first come first served, by what is taken: a key is of one type at a time, and a group is handed entries of
    /// its own.
    queues: BTreeMap<Option<Takes>, BTreeSet<u64>>,
    watching: Vec<Weak<Dirty>>,
}

impl Watchers {
    fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.watching.is_empty()
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

    /// The keys at which clients are blocked.
    pub(crate) fn blocked_keys(&self) -> Vec<Box<[u8]>> {
        let state = self.state();
        state.keys.iter().filter(|(_, watchers)| !watchers.queues.is_empty()).map(|(key, _)| key.clone()).collect()
    }

    /// Puts a client into the queues of its keys.
    pub(crate) fn block(self: &Arc<Self>, blocked: Blocked) -> Ticket {
        let (served, receiver) = oneshot::channel();
        let mut state = self.state();
        state.tickets += 1;
        let number = state.tickets;
        for key in &blocked.keys {
            let watchers = state.keys.entry(key.clone()).or_default();
            watchers.queues.entry(blocked.takes.clone()).or_default().insert(number);
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
            Change::Key { key, .. } => {
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
    /// and gives back who has not been served. Nobody enters or leaves a queue meanwhile, so that who is served is still
    /// waiting for it.
    pub(crate) fn serve(&self, key: &[u8], mut serve: impl FnMut(Blocked) -> Result<Served, Blocked>) {
        let mut state = self.state();
        let takers = state.keys.get(key).map_or_else(Vec::new, |it| it.queues.keys().cloned().collect());
        for takes in takers {
            // Of those who take nothing away, each is looked at; of others, all up to the first who finds nothing.
            let mut after = 0;
            while let Some(number) = state.ticket(key, &takes, after) {
                if !state.serve_one(number, &mut serve) && takes.is_some() {
                    break;
                }
                after = number;
            }
        }
    }
}

impl State {
    /// Says whether a client has left its queues.
    fn serve_one(&mut self, number: u64, serve: &mut impl FnMut(Blocked) -> Result<Served, Blocked>) -> bool {
        let Some(Waiting { blocked, served }) = self.blocked.remove(&number) else { return false };
        let (keys, takes) = (blocked.keys.clone(), blocked.takes.clone());
        if !served.is_closed() {
            match serve(blocked) {
                // Who goes in this moment loses what was taken, as in Redis.
                Ok(answer) => drop(served.send(answer)),
                Err(blocked) => {
                    self.blocked.insert(number, Waiting { blocked, served });
                    return false;
                }
            }
        }
        self.leave_queues(&keys, &takes, number);
        true
    }

    /// The first ticket of a queue behind another one.
    fn ticket(&self, key: &[u8], takes: &Option<Takes>, after: u64) -> Option<u64> {
        self.keys.get(key)?.queues.get(takes)?.range(after + 1..).next().copied()
    }

    fn take(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.blocked.remove(&number)?;
        self.leave_queues(&waiting.blocked.keys, &waiting.blocked.takes, number);
        Some(waiting)
    }

    fn leave_queues(&mut self, keys: &[Box<[u8]>], takes: &Option<Takes>, number: u64) {
        for key in keys {
            let Some(watchers) = self.keys.get_mut(key) else { continue };
            if let Some(queue) = watchers.queues.get_mut(takes) {
                queue.remove(&number);
                if queue.is_empty() {
                    watchers.queues.remove(takes);
                }
            }
            if watchers.is_empty() {
                self.keys.remove(key);
            }
        }
    }
}
