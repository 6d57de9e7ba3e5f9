//! The key space: one causal CRDT over all keys, cut into buckets.
//!
//! Every change is a cell written under a dot, or a context that supersedes cells; reads are views on the live
//! cells. The store knows nothing of peers, sockets or time: clocks come in with each write, events and bucket
//! transfers go in and out as bytes.
//!
//! Invariants:
//! - **Prefix.** Of each origin exactly the events `1..=seq` are applied, bucket by bucket: `vv` holds for all
//!   buckets, `ahead` for those that a transfer brought further.
//! - **State is a function of the version vector**: equal vectors mean equal fingerprints, once the window is sealed.
//! - A context names no event that is not applied (events wait for what they name), so there is no table of
//!   removals still to come.
//!
//! Sources: Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2016) for dot stores under one causal
//! context; Baquero, Almeida, Lerche, *The problem with embedded CRDT counters and a solution* (2016) for resets.

mod cell;
pub mod database;
mod event;
mod eviction;
mod expiry;
mod identity;
mod kind;
mod memory;
mod read;
mod transfer;
mod value;

use std::collections::BTreeMap;
use std::collections::VecDeque;

use cahoots_crdt::{Dot, Observed, ReplicaId, VersionVector};

use crate::{Hlc, Limits};
use event::window::Window;
use identity::Provisional;
use memory::bucket::{Bucket, bucket_of};

pub use cell::ballot::{BALLOT_BYTES_MAX, Ballot, present};
pub use cell::fingerprint::Fingerprint;
pub use cell::group::{Delivery, GROUP_SLOTS};
pub(crate) use cell::hash_of;
pub use cell::score::{SCORE_BYTES, ScoreRule, score_of};
pub use cell::stream::{Fields, Mark, NewId, StreamId};
pub use event::EventError;
pub use event::apply::{Applied, Missing};
pub use event::group::{GroupStart, delivery_bytes};
pub use event::list::ListEnd;
pub use event::writer::{WriteError, Writer};
pub use eviction::Evictable;
pub use expiry::Lapsed;
pub use identity::Renamed;
pub use kind::Class;
pub use memory::bucket::BUCKETS;
pub use memory::name::Name;
pub use memory::size::KeyMemory;
pub use memory::uses::UseRule;
pub use memory::warm::WARM_KEYS_MAX;
pub use read::carried::{CarriedCell, cells_of_event, cells_of_transfer};
pub use read::changes::{By, Change, What};
pub use read::draw::Draws;
pub use read::group::{Consumer, Group, GroupProgress, Share, Unread, Verdict};
pub use read::ordered::Ordered;
pub use read::sorted::Sorted;
pub use read::stream::{CURSOR_ORIGINS_MAX, NoCursor, Stream, StreamCursor};
pub use read::view::{Moment, NotCounted, View};
pub(crate) use transfer::Snapshot;
pub use transfer::difference::Sketch;
pub use transfer::{Joined, TransferError};
pub use value::{Field, PendingEntry, StreamEntry, StreamGroup, Value};

/// A sealed local event: its seq and its body as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Position among this replica's events.
    pub seq: u64,
    /// The encoded body.
    pub body: Vec<u8>,
}

/// A replica's copy of the key space.
#[derive(Clone, Debug)]
pub struct Store {
    id: ReplicaId,
    limits: Limits,
    /// What holds in every bucket. The own entry is the last sealed seq.
    vv: VersionVector,
    /// What holds beyond `vv` in buckets that a transfer brought further.
    ahead: BTreeMap<usize, VersionVector>,
    buckets: Vec<Bucket>,
    clock: Hlc,
    window: Option<Window>,
    /// The room of the window sealed last, for the next one.
    spare: Window,
    /// While a group is open: bytes written in it.
    group: Option<usize>,
    /// The size beyond which a window is closed before the next group begins.
    window_bytes_max: usize,
    sealed: VecDeque<Sealed>,
    /// What the id was used for since it is in doubt.
    provisional: Option<Provisional>,
    /// By how many milliseconds the wall clock is too far ahead of the cluster's for writing; 0 = it is not.
    clock_ahead_ms: u64,
    changes: read::changes::Changes,
    /// What is remembered of the uses of keys, if a policy of eviction asks for it.
    uses: Option<memory::uses::Uses>,
    /// Room in which changes of records are prepared.
    draft: memory::keys::Draft,
}

/// The entries of `ahead` that say more than `vv`.
fn beyond(ahead: &VersionVector, vv: &VersionVector) -> VersionVector {
    ahead.iter().filter(|(replica, seq)| *seq > vv.get(*replica)).collect()
}

impl Store {
    /// An empty store that mints its events as `id`. `window_bytes_max` is what fits one datagram.
    #[must_use]
    pub fn new(id: ReplicaId, limits: Limits, window_bytes_max: usize) -> Self {
        Self {
            id,
            limits,
            vv: VersionVector::new(),
            ahead: BTreeMap::new(),
            buckets: std::iter::repeat_with(Bucket::default).take(BUCKETS).collect(),
            clock: Hlc::default(),
            window: None,
            spare: Window::default(),
            group: None,
            window_bytes_max,
            sealed: VecDeque::new(),
            provisional: None,
            clock_ahead_ms: 0,
            changes: read::changes::Changes::default(),
            uses: None,
            draft: memory::keys::Draft::default(),
        }
    }

    /// The replica this store mints events for.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// How many keys there are: of those that have expired, the ones that [`Store::lapse`] was not asked about included.
    /// O(buckets).
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.keys.shown()).sum()
    }

    /// How many keys each [numbered database](database) of clients has, 0 first and others that are empty left out; and how many
    /// have a deadline. As [`Store::len`] and [`Store::ending`] count. O(buckets), and the keys that have expired and are not removed yet.
    #[must_use]
    pub fn databases(&self) -> BTreeMap<u8, (usize, usize)> {
        let mut counts: BTreeMap<u8, (usize, usize)> = BTreeMap::from([(0, (self.len(), self.ending()))]);
        for (at, bucket) in self.buckets.iter().enumerate().filter(|(_, it)| it.keys.numbered().next().is_some()) {
            for (database, (data, ending)) in bucket.keys.numbered() {
                let count = counts.entry(database).or_default();
                *count = (count.0 + data, count.1 + ending);
            }
            for key in bucket.keys.hidden(at) {
                if let (database @ 1.., _) = database::parts(key)
                    && let Some((data, _)) = counts.get_mut(&database)
                {
                    *data = data.saturating_sub(1);
                }
            }
        }
        let others = counts.range(1..).fold((0, 0), |sum, (_, it)| (sum.0 + it.0, sum.1 + it.1));
        counts.entry(0).and_modify(|it| *it = (it.0.saturating_sub(others.0), it.1.saturating_sub(others.1)));
        counts.remove(&database::SYSTEM);
        counts
    }

    /// How many keys end: those that have expired and are not removed yet included. O(buckets).
    #[must_use]
    pub fn ending(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.keys.ending()).sum()
    }

    /// How long keys that end have still, in milliseconds: the mean of a few deadlines of each bucket, some of which may have been
    /// replaced since. 0 if none ends. O(buckets).
    #[must_use]
    pub fn mean_left_ms(&self, wall_ms: u64) -> u64 {
        let now = self.now(wall_ms);
        let some = self.buckets.iter().flat_map(|bucket| bucket.keys.some_deadlines());
        let (sum, count) = some
            .filter_map(|it| it.checked_sub(now))
            .fold((0u64, 0u64), |(sum, count), left| (sum.saturating_add(left), count + 1));
        if self.ending() == 0 { 0 } else { sum / count.max(1) }
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the cluster has agreed to hold.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The highest clock written or seen.
    #[must_use]
    pub fn clock(&self) -> Hlc {
        self.clock
    }

    /// What holds in every bucket.
    #[must_use]
    pub fn version_vector(&self) -> &VersionVector {
        &self.vv
    }

    /// What holds in some bucket at least.
    #[must_use]
    pub fn version_ceiling(&self) -> VersionVector {
        let mut ceiling = self.vv.clone();
        self.ahead.values().for_each(|vv| ceiling.merge(vv));
        ceiling
    }

    /// How many buckets a transfer has brought beyond [`Store::version_vector`].
    #[must_use]
    pub fn buckets_ahead(&self) -> usize {
        self.ahead.len()
    }

    /// The seq that carries all writes made so far: the open one if a window is open. 0 = nothing was written.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.window.as_ref().map_or_else(|| self.sealed_seq(), |window| window.seq)
    }

    /// The seq of the last sealed own event.
    #[must_use]
    pub fn sealed_seq(&self) -> u64 {
        self.vv.get(self.id)
    }

    /// Whether local changes wait for their window to be sealed.
    #[must_use]
    pub fn has_open_window(&self) -> bool {
        self.window.is_some()
    }

    /// How many sealed local events wait to be taken by [`Store::poll_sealed`].
    #[must_use]
    pub fn sealed_len(&self) -> usize {
        self.sealed.len()
    }

    /// Whether event `dot` is applied in the bucket of `key`; of the own events, sealed ones.
    #[must_use]
    pub fn covers(&self, key: &[u8], dot: Dot) -> bool {
        self.seen(bucket_of(hash_of(key)), dot.replica) >= dot.seq
    }

    /// Whether event `dot` is applied in a bucket; of the own events, sealed ones.
    pub(crate) fn covers_in(&self, bucket: usize, dot: Dot) -> bool {
        self.seen(bucket, dot.replica) >= dot.seq
    }

    /// How many baselines are kept: what resets took from counter slots whose owners may still add to them.
    #[must_use]
    pub fn baselines(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.baselines.len()).sum()
    }

    /// How many keys have live cells of more than one type. O(buckets).
    #[must_use]
    pub fn clashes(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.keys.clashes()).sum()
    }

    /// The fingerprint of the whole key space. Seals the window first, but within a group: then it is of a moment that no
    /// other replica has. O(buckets).
    pub fn fingerprint(&mut self) -> Fingerprint {
        if !self.has_open_group() {
            self.seal();
        }
        let mut sum = Fingerprint::default();
        self.buckets.iter().enumerate().for_each(|(index, bucket)| sum.add(bucket.fingerprint(index)));
        sum
    }

    /// A hash of the version vector, the buckets ahead of it included. Seals the window first.
    pub fn version_hash(&mut self) -> u128 {
        self.seal();
        self.settle();
        let bytes = postcard::to_allocvec(&(&self.vv, &self.ahead)).expect("plain data");
        xxhash_rust::xxh3::xxh3_128(&bytes)
    }

    /// Forbids writing while the wall clock is this far ahead of the cluster's; 0 permits it.
    pub fn set_clock_ahead(&mut self, ms: u64) {
        self.clock_ahead_ms = ms;
    }

    /// It is wall time `wall_ms` elsewhere: what is written here from now on is of no earlier time, as if a write of then had been
    /// seen.
    pub fn raise_clock(&mut self, wall_ms: u64) {
        if wall_ms > self.clock.wall_ms() && wall_ms < Hlc::SANE_MS_MAX {
            self.clock = self.clock.next(wall_ms);
        }
    }

    /// The next sealed local event that has not been taken yet.
    pub fn poll_sealed(&mut self) -> Option<Sealed> {
        self.sealed.pop_front()
    }

    /// Starts or ends the recording of changed keys; see [`Store::poll_change`].
    pub fn record_changes(&mut self, on: bool) {
        self.changes.record(on);
    }

    /// Whether a group of writes is open.
    #[must_use]
    pub fn has_open_group(&self) -> bool {
        self.group.is_some()
    }

    /// Whether changed keys are recorded.
    #[must_use]
    pub fn records_changes(&self) -> bool {
        self.changes.is_on()
    }

    /// The next recorded change, local or remote, oldest first.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.poll()
    }

    /// What is queued or kept for a while: name, bytes now, and what they never exceed.
    pub fn queues(&self) -> impl Iterator<Item = (&'static str, usize, usize)> {
        let window = self.window.as_ref().map_or(0, Window::size);
        // A group that does not fit closes the window before it begins, and after it ends.
        let window_max = self.window_bytes_max + 2 * self.limits.group_bytes_max;
        let (changes, doubt) = (self.changes.queue(), self.doubt_queue());
        [
            ("changed keys", changes.0, changes.1),
            ("flush window", window, window_max),
            ("provisional events", doubt.0, doubt.1),
        ]
        .into_iter()
    }

    /// Closes the flush window: its changes become one event, numbered and ready to be sent.
    pub fn seal(&mut self) {
        assert!(self.group.is_none(), "an event has a group whole");
        let Some(mut window) = self.window.take() else { return };
        window.arrange();
        let event = Dot::new(self.id, window.seq);
        let body = window.encode(self.clock);
        for (index, names) in window.buckets() {
            self.buckets[index].advance_frontier(names, event);
        }
        self.vv.raise(self.id, window.seq);
        if let Some(provisional) = &mut self.provisional {
            provisional.note(&window, &body);
        }
        self.sealed.push_back(Sealed { seq: window.seq, body });
        self.spare = window;
    }

    /// How far the events of `replica` are applied in `bucket`.
    fn seen(&self, bucket: usize, replica: ReplicaId) -> u64 {
        let ahead = self.ahead.get(&bucket).map_or(0, |vv| vv.get(replica));
        ahead.max(self.vv.get(replica))
    }

    /// The buckets in which `event` is not applied yet.
    pub fn buckets_without(&self, event: Dot) -> impl Iterator<Item = usize> + '_ {
        (0..BUCKETS).filter(move |bucket| self.seen(*bucket, event.replica) < event.seq)
    }

    /// How many keys there are in a bucket.
    #[must_use]
    pub fn bucket_len(&self, bucket: usize) -> usize {
        self.buckets[bucket].keys.len()
    }

    /// The version vector of one bucket.
    fn bucket_vv(&self, bucket: usize) -> VersionVector {
        let mut vv = self.vv.clone();
        if let Some(ahead) = self.ahead.get(&bucket) {
            vv.merge(ahead);
        }
        vv
    }

    /// Moves what every bucket has into the common vector, and forgets buckets that are ahead no more.
    fn settle(&mut self) {
        if self.ahead.len() == BUCKETS {
            let mut least = self.bucket_vv(0);
            for bucket in 1..BUCKETS {
                let vv = self.bucket_vv(bucket);
                least = least.iter().map(|(replica, seq)| (replica, seq.min(vv.get(replica)))).collect();
            }
            self.vv = least;
        }
        let vv = &self.vv;
        for ahead in self.ahead.values_mut() {
            // Kept in one form, so that equal states have equal hashes: entries beyond the common vector only.
            *ahead = beyond(ahead, vv);
        }
        self.ahead.retain(|_, ahead| !ahead.is_empty());
    }

    /// Drops the baselines of slots of `owner` that nothing needs any more.
    ///
    /// `acked` is what the owner had applied when it said so, and `owner_seq` its own last seq at that moment,
    /// an open one counted; nothing is dropped before everything up to it is applied here. Says how many went,
    /// or `None` if it is too early to tell.
    pub fn collect_baselines(&mut self, owner: ReplicaId, acked: &VersionVector, owner_seq: u64) -> Option<usize> {
        if self.vv.get(owner) < owner_seq {
            return None;
        }
        Some(self.buckets.iter_mut().map(|bucket| bucket.collect(owner, |reset| acked.covers(reset))).sum())
    }

    /// Drops the baselines of slots of `owner` that no live cell needs, now that `owner` is known to have applied
    /// everything that is applied here, bucket by bucket, and nothing else. Says how many went.
    pub fn collect_agreed_baselines(&mut self, owner: ReplicaId) -> usize {
        self.buckets.iter_mut().map(|bucket| bucket.collect(owner, |_| true)).sum()
    }

    /// The replicas whose resets have left baselines of slots of `owner`: what collecting them depends on.
    #[must_use]
    pub fn resetters(&self, owner: ReplicaId) -> Vec<ReplicaId> {
        let all = self.buckets.iter().flat_map(|bucket| bucket.baselines.iter());
        let its = all.map(|it| &it.baseline).filter(|it| it.owner == owner);
        let mut resetters: Vec<_> = its.map(|it| it.reset.replica).collect();
        resetters.sort_unstable();
        resetters.dedup();
        resetters
    }

    /// Whether the fingerprints, the orders and the count of bytes that are kept equal those computed from scratch: true, or
    /// there is a bug or bad memory.
    #[must_use]
    pub fn fingerprints_are_exact(&mut self) -> bool {
        self.seal();
        let are_exact = |bucket: &Bucket| bucket.cells_print() == bucket.cells_fingerprint && bucket.is_ordered();
        self.buckets.iter().all(are_exact) && self.used_is_exact()
    }
}
