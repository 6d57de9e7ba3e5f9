//! Caches that clients keep: who may have read which key, and is told when it changes.
//!
//! A client that tracks is noted at the keys it reads, or wants to be told of all keys with some prefixes. A key that changes,
//! whoever changes it, is told once to those noted there, and they are forgotten; who reads it again is noted again.
//!
//! Bounds: keys noted (`tracking-table-max-keys`), and the bytes of them with who is noted there ([`NOTED_BYTES_MAX`]).
//! Beyond either the key noted first is told as if it had changed. What is told waits in inboxes, and who does not take it
//! is cut: nobody keeps a cache that is silently behind.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::resp::{Protocol, Reply};
use crate::session::Client;
use cahoots_gossip::store::Change;
use cahoots_gossip::store::database::parts;

/// Bytes of keys that are noted, and of who is noted there.
pub const NOTED_BYTES_MAX: usize = 256 << 20;
/// Redis's default of `tracking-table-max-keys`.
const KEYS_MAX: usize = 1_000_000;
/// What a key costs beside its bytes, and a client noted there.
const KEY_BYTES: usize = 160;
const NOTE_BYTES: usize = 32;
/// Where a RESP2 client is told, which has to listen.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// A client that tracks.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// Who it is.
    pub client: Weak<Client>,
    /// Who is told in its place, by number.
    pub redirect: Option<(u64, Weak<Client>)>,
    /// It is not told of what it changes itself.
    pub no_loop: bool,
}

/// Who tracks which keys.
#[derive(Debug)]
pub struct Tracking {
    state: Mutex<State>,
    /// How many clients track.
    trackers: AtomicUsize,
    /// How many keys may be noted; 0 for as many as there is room for.
    pub keys_max: AtomicUsize,
}

impl Default for Tracking {
    fn default() -> Self {
        Self { state: Mutex::default(), trackers: AtomicUsize::new(0), keys_max: AtomicUsize::new(KEYS_MAX) }
    }
}

#[derive(Debug, Default)]
struct State {
    trackers: BTreeMap<u64, Tracker>,
    keys: HashMap<Arc<[u8]>, BTreeSet<u64>>,
    /// The keys in the order in which they were noted; some are noted no more.
    order: VecDeque<Arc<[u8]>>,
    bytes: usize,
    prefixes: BTreeMap<Box<[u8]>, BTreeSet<u64>>,
}

/// What the client whose command changes something is told behind the reply.
pub struct Own<'a> {
    /// Its number.
    pub client: u64,
    /// Where it goes.
    pub out: &'a mut Vec<u8>,
}

impl Tracking {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any client tracks.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.trackers.load(Relaxed) > 0
    }

    /// How many keys are noted, and how many prefixes.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.keys.len(), state.prefixes.len())
    }

    /// A client begins to track, or does so in another way; of these prefixes, too, if it is told of all keys with some.
    pub fn begin<'p>(&self, id: u64, tracker: Tracker, prefixes: impl Iterator<Item = &'p [u8]>) {
        let mut state = self.state();
        state.trackers.insert(id, tracker);
        for prefix in prefixes {
            state.prefixes.entry(prefix.into()).or_default().insert(id);
        }
        self.trackers.store(state.trackers.len(), Relaxed);
    }

    /// A client tracks no more. Where it is noted it is forgotten when those keys change.
    pub fn end<'p>(&self, id: u64, prefixes: impl Iterator<Item = &'p [u8]>) {
        let mut state = self.state();
        state.trackers.remove(&id);
        for prefix in prefixes {
            if let Some(clients) = state.prefixes.get_mut(prefix) {
                clients.remove(&id);
                if clients.is_empty() {
                    state.prefixes.remove(prefix);
                }
            }
        }
        if state.trackers.is_empty() {
            (state.keys, state.order, state.bytes) = Default::default();
        }
        self.trackers.store(state.trackers.len(), Relaxed);
    }

    /// A client has read a key.
    pub fn note(&self, id: u64, key: &[u8]) {
        let mut state = self.state();
        let state = &mut *state;
        match state.keys.get_mut(key) {
            Some(clients) => state.bytes += if clients.insert(id) { NOTE_BYTES } else { 0 },
            None => {
                let key: Arc<[u8]> = key.into();
                state.bytes += key.len() + KEY_BYTES + NOTE_BYTES;
                state.order.push_back(Arc::clone(&key));
                state.keys.insert(key, BTreeSet::from([id]));
            }
        }
        let keys_max = self.keys_max.load(Relaxed);
        while state.bytes > NOTED_BYTES_MAX || keys_max > 0 && state.keys.len() > keys_max {
            let Some(first) = state.order.pop_front() else { break };
            state.invalidate(&first, &mut None);
        }
        if state.order.len() > 2 * state.keys.len() + 64 {
            let State { keys, order, .. } = state;
            order.retain(|key| keys.contains_key(key));
        }
    }

    /// Keys have changed: by a command of its own client, if that is given.
    pub fn tell(&self, changes: &[Change], own: &mut Option<Own<'_>>) {
        let mut state = self.state();
        let mut last: Option<&[u8]> = None;
        for change in changes {
            match change {
                // One message is enough for several changes by one command.
                Change::Key { key, .. } if last == Some(&**key) => {}
                Change::Key { key, .. } => {
                    // As in Redis, caches do not tell databases apart.
                    state.invalidate(parts(key).1, own);
                    last = Some(key);
                }
                Change::Lost => state.invalidate_all(own),
            }
        }
    }

    /// All keys are gone, or may have changed.
    pub fn tell_all(&self, own: &mut Option<Own<'_>>) {
        self.state().invalidate_all(own);
    }
}

impl State {
    fn invalidate(&mut self, key: &[u8], own: &mut Option<Own<'_>>) {
        if let Some((key, clients)) = self.keys.remove_entry(key) {
            self.bytes -= key.len() + KEY_BYTES + clients.len() * NOTE_BYTES;
            clients.iter().for_each(|id| self.send(*id, Some(&key), own));
        }
        let of_prefix = self.prefixes.iter().filter(|(prefix, _)| key.starts_with(prefix));
        of_prefix.flat_map(|(_, clients)| clients).for_each(|id| self.send(*id, Some(key), own));
    }

    fn invalidate_all(&mut self, own: &mut Option<Own<'_>>) {
        (self.keys, self.order, self.bytes) = Default::default();
        self.trackers.keys().for_each(|id| self.send(*id, None, own));
    }

    /// Tells one client of a key; `None`: of all.
    fn send(&self, id: u64, key: Option<&[u8]>, own: &mut Option<Own<'_>>) {
        let Some(Tracker { client, redirect, no_loop }) = self.trackers.get(&id) else { return };
        let Some(client) = client.upgrade() else { return };
        let is_own = own.as_ref().is_some_and(|own| own.client == id);
        // That everything is gone is told in any case.
        if is_own && *no_loop && key.is_some() {
            return;
        }
        let mut message = Vec::new();
        let (target, is_redirected) = match redirect {
            None => (client, false),
            Some((number, target)) => match target.upgrade() {
                Some(target) => (target, true),
                None => {
                    if client.protocol() == Protocol::Resp3 {
                        let mut reply = Reply::new(&mut message, Protocol::Resp3);
                        reply.push(2);
                        reply.bulk(b"tracking-redir-broken");
                        reply.integer(number.cast_signed());
                        client.inbox.push(&message);
                    }
                    return;
                }
            },
        };
        let mut reply = Reply::new(&mut message, target.protocol());
        match target.protocol() {
            Protocol::Resp3 => {
                reply.push(2);
                reply.bulk(b"invalidate");
            }
            Protocol::Resp2 if is_redirected && target.listens() => {
                reply.push(3);
                reply.bulk(b"message");
                reply.bulk(CHANNEL);
            }
            Protocol::Resp2 => return,
        }
        match key {
            Some(key) => {
                reply.array(1);
                reply.bulk(key);
            }
            None => reply.null(),
        }
        match own {
            Some(own) if is_own && !is_redirected => own.out.extend_from_slice(&message),
            _ => _ = target.inbox.push(&message),
        }
    }
}
