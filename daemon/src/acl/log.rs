//! What was refused, the last of it: `ACL LOG`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// How many entries are kept, unless it is told; Redis's default.
pub const ACL_LOG_LEN_MAX: usize = 128;
/// However many are wanted, no more are kept.
const LEN_BOUND: usize = 1 << 16;
/// Entries that are looked through for one that is alike, and how long apart those are: Redis's.
const ALIKE_AMONG: usize = 10;
const ALIKE_MS: u64 = 60_000;
/// Bytes of a name that are kept: a key may be of megabytes, and its beginning says which.
const OBJECT_BYTES_MAX: usize = 4096;

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A user and password that do not fit.
    Auth,
    /// A command.
    Command,
    /// A key.
    Key,
    /// A channel.
    Channel,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auth, Self::Command, Self::Key, Self::Channel];

    /// Redis's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        ["auth", "command", "key", "channel"][self as usize]
    }
}

/// Where it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// As the client asked.
    Toplevel,
    /// In a transaction.
    Multi,
    /// In a script.
    Lua,
}

impl Scene {
    /// Redis's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        ["toplevel", "multi", "lua"][self as usize]
    }
}

/// Something that was refused, once or several times in a row.
#[derive(Clone, Debug)]
pub struct Entry {
    /// How often.
    pub count: u64,
    /// What.
    pub reason: Reason,
    /// Where.
    pub scene: Scene,
    /// The name of what was asked for.
    pub object: Box<[u8]>,
    /// Whose it was, or who it said it is.
    pub user: Box<[u8]>,
    /// The client, as of the last time.
    pub client: Box<str>,
    /// Its number among all entries.
    pub id: u64,
    /// When it was first, in milliseconds since 1970.
    pub created: u64,
    /// When it was last.
    pub updated: u64,
}

impl Entry {
    fn is_like(&self, other: &Self) -> bool {
        (self.reason, self.scene) == (other.reason, other.scene)
            && self.updated.abs_diff(other.updated) <= ALIKE_MS
            && (&self.object, &self.user) == (&other.object, &other.user)
    }
}

/// What was refused, the last first.
#[derive(Debug)]
pub struct AccessLog {
    /// How many entries are kept.
    pub len_max: AtomicUsize,
    entries: Mutex<(u64, VecDeque<Entry>)>,
    counts: [AtomicU64; 4],
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { len_max: AtomicUsize::new(ACL_LOG_LEN_MAX), entries: Mutex::default(), counts: Default::default() }
    }
}

/// Milliseconds since 1970.
#[must_use]
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl AccessLog {
    fn entries(&self) -> MutexGuard<'_, (u64, VecDeque<Entry>)> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was refused to `user`, whose client is as `client` says.
    pub fn note(&self, reason: Reason, scene: Scene, object: &[u8], user: &[u8], client: String) {
        self.note_at(now(), reason, scene, object, user, client);
    }

    fn note_at(&self, now: u64, reason: Reason, scene: Scene, object: &[u8], user: &[u8], client: String) {
        self.counts[reason as usize].fetch_add(1, Relaxed);
        let object = object[..object.len().min(OBJECT_BYTES_MAX)].into();
        let user = user[..user.len().min(OBJECT_BYTES_MAX)].into();
        let client = client.into();
        let mut entries = self.entries();
        let (next, kept) = &mut *entries;
        let mut entry = Entry { count: 1, reason, scene, object, user, client, id: *next, created: now, updated: now };
        let alike = kept.iter().take(ALIKE_AMONG).position(|known| known.is_like(&entry));
        if let Some(known) = alike.and_then(|at| kept.remove(at)) {
            (entry.count, entry.id, entry.created) = (known.count + 1, known.id, known.created);
        } else {
            *next += 1;
        }
        kept.push_front(entry);
        kept.truncate(self.len_max.load(Relaxed).min(LEN_BOUND));
    }

    /// Begins to count anew.
    pub fn forget_counts(&self) {
        self.counts.iter().for_each(|count| count.store(0, Relaxed));
    }

    /// How often something was refused for that reason.
    #[must_use]
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts[reason as usize].load(Relaxed)
    }

    /// The last `count` entries with their ages in milliseconds, the last first.
    #[must_use]
    pub fn last(&self, count: usize) -> Vec<(Entry, u64)> {
        let now = now();
        let entries = self.entries();
        entries.1.iter().take(count).map(|it| (it.clone(), now.saturating_sub(it.updated))).collect()
    }

    /// Forgets them.
    pub fn clear(&self) {
        self.entries().1.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(log: &AccessLog, at: u64, object: &str, user: &str) {
        log.note_at(at, Reason::Key, Scene::Toplevel, object.as_bytes(), user.as_bytes(), format!("at {at}"));
    }

    #[test]
    fn what_is_alike_and_not_long_apart_is_one_entry() {
        let log = AccessLog::default();
        note(&log, 1, "a", "u");
        note(&log, 2, "b", "u");
        note(&log, 60_001, "a", "u");
        note(&log, 120_002, "a", "u");
        note(&log, 120_003, "a", "v");
        let told: Vec<_> = log.last(9).into_iter().map(|(it, _)| (it.id, it.count, it.created, it.updated)).collect();
        assert_eq!(told, [(3, 1, 120_003, 120_003), (2, 1, 120_002, 120_002), (0, 2, 1, 60_001), (1, 1, 2, 2)]);
        assert_eq!((log.count(Reason::Key), log.count(Reason::Auth)), (5, 0));
        assert_eq!(&*log.last(9)[2].0.client, "at 60001");
    }

    #[test]
    fn an_entry_is_looked_for_among_the_last_ten_and_so_many_are_kept_as_are_wanted() {
        let log = AccessLog::default();
        (0..11).for_each(|at| note(&log, at, &format!("{at}"), "u"));
        note(&log, 20, "0", "u");
        assert_eq!(log.last(99).len(), 12);
        log.len_max.store(3, Relaxed);
        note(&log, 21, "x", "u");
        assert_eq!(log.last(99).len(), 3);
        log.len_max.store(0, Relaxed);
        note(&log, 22, "x", "u");
        assert!(log.last(99).is_empty());
        log.clear();
    }
}
