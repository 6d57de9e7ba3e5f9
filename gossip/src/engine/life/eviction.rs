//! Memory within a bound: which keys are evicted, who decides that, and what a fleet knows of it.
//!
//! What is bounded is what the data takes ([`Store::used`](crate::store::Store::used)). An eviction is a deletion like any other,
//! made by one replica and applied by all, so the state stays a function of the version vector. All replicas hold the same
//! data, so a fleet has one bound: the least of its live replicas'. The rules:
//!
//! - **One decider for each key**: of the live replicas that serve, the one that ranks highest for the key by rendezvous hashing,
//!   as it is for what has expired. Replicas that hold each other to be dead evict each for itself.
//! - **Before a write** a replica over its bound evicts keys that it decides ([`Replica::make_room`]), by its own policy. If
//!   there is none to evict, the write is refused here. What peers send is applied always.
//! - **In rounds** a replica that comes near its bound tells its peers by how much ([`Message::Full`]): each of them evicts its
//!   part of that, from the keys that it decides. So a replica that writes much does not run out of keys that are its to evict,
//!   and the keys that go are the least used of all. What a replica has freed in a round counts for all who ask in it.
//! - **A peer that is full is full for all**: where nothing is evicted, a replica refuses writes while a live peer says so.
//!   Without that the others' writes would take a small replica over its bound without end.
//! - **Uses are told, sampled**: of the keys that a replica reads and a peer decides it tells that peer some hashes a second
//!   ([`Message::Used`]).
//!
//! Sources: Redis's approximated LRU and LFU with a pool of candidates; rendezvous hashing as in `expiry`.

use std::collections::BTreeMap;

use cahoots_crdt::{Dot, ReplicaId};

use crate::engine::spread::relay::rank;
use crate::engine::{Now, Replica, Standing};
use crate::mix;
use crate::store::{Evictable, UseRule};
use crate::wire::Message;

/// Keys evicted before one write: if it is still over then, the write is made all the same, and the next ones go on.
const EVICTED_MAX: usize = 64;
/// Keys evicted in one look: a thousandth of a second's work, or two.
const EVICTED_PER_LOOK_MAX: usize = 1_000;
/// Keys drawn in one call, most of which other replicas may decide.
const DRAWS_MAX: usize = 2_000;
/// So many draws for each live replica without a key that may be evicted here mean that there is none. Where keys may be evicted at
/// all, that happens by chance once in e^64.
const MISSES_PER_REPLICA: usize = 64;
/// Before it is looked again whether there is one after all, in microseconds.
const RETRY_US: u64 = 10_000;
/// The best candidates seen. Redis's.
const POOL_MAX: usize = 16;
/// Peers are told before the bound is reached: when this part of it is left.
const HEADROOM_PART: usize = 64;
/// Between two rounds, in microseconds, if a round trip does not take half of it: what was asked for has happened by then.
const ROUND_US: u64 = 20_000;
/// For each live peer, who is told once a round, it lasts so long at least.
const ROUND_PER_PEER_US: u64 = 2_000;
/// A peer that was full is held to be so for this long, if nothing more is heard, in microseconds.
const FULL_US: u64 = 5_000_000;
/// Between two looks while more has to go, in microseconds.
const PAUSE_US: u64 = 10_000;
/// Between two looks of a replica that is alone and has nothing to evict, in microseconds.
const ALONE_PAUSE_US: u64 = 100_000;
/// Uses are told so often, in microseconds.
const USES_US: u64 = 1_000_000;
/// Hashes of keys that were read, told in that time to all peers together: the others are not told.
const USES_TOLD_MAX: usize = 1_024;
/// Hashes in one message.
pub(in crate::engine) const USES_IN_MESSAGE_MAX: usize = 32;

/// Which keys are evicted when memory is short. Redis's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvictionPolicy {
    /// None: writes are refused.
    #[default]
    NoEviction,
    /// Of all keys, those used least recently.
    AllKeysLru,
    /// Of all keys, those used least often.
    AllKeysLfu,
    /// Any.
    AllKeysRandom,
    /// Of the keys with a deadline, those used least recently.
    VolatileLru,
    /// Of the keys with a deadline, those used least often.
    VolatileLfu,
    /// Any with a deadline.
    VolatileRandom,
    /// Those that end soonest.
    VolatileTtl,
}

impl EvictionPolicy {
    /// Whether keys without a deadline stay.
    #[must_use]
    pub fn is_volatile(self) -> bool {
        matches!(self, Self::VolatileLru | Self::VolatileLfu | Self::VolatileRandom | Self::VolatileTtl)
    }

    /// Whether it is about how often keys are used.
    #[must_use]
    pub fn is_lfu(self) -> bool {
        matches!(self, Self::AllKeysLfu | Self::VolatileLfu)
    }

    /// Whether it is about when keys were used.
    #[must_use]
    pub fn is_lru(self) -> bool {
        matches!(self, Self::AllKeysLru | Self::VolatileLru)
    }

    fn is_random(self) -> bool {
        matches!(self, Self::AllKeysRandom | Self::VolatileRandom)
    }
}

/// How much memory the data may take, and what goes when it takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// Bytes; 0 for no bound.
    pub bytes_max: usize,
    /// What is evicted, here and for peers that are full.
    pub policy: EvictionPolicy,
    /// Keys looked at for each that is evicted.
    pub samples: usize,
    /// See [`UseRule::Frequency`].
    pub log_factor: u32,
    /// See [`UseRule::Frequency`].
    pub decay_minutes: u32,
}

/// No bound; the rest as in Redis.
impl Default for MemoryBound {
    fn default() -> Self {
        Self { bytes_max: 0, policy: EvictionPolicy::NoEviction, samples: 5, log_factor: 10, decay_minutes: 1 }
    }
}

impl MemoryBound {
    fn use_rule(&self) -> Option<UseRule> {
        let (log_factor, decay_minutes) = (self.log_factor, self.decay_minutes);
        match self.policy {
            policy if policy.is_lru() => Some(UseRule::Recency),
            policy if policy.is_lfu() => Some(UseRule::Frequency { log_factor, decay_minutes }),
            _ => None,
        }
    }
}

/// Whether there is room for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is, or there will be: as much was evicted as may be at once.
    Enough,
    /// There is none, and nothing that could be evicted here.
    None,
}

/// What evictions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evicted {
    /// As much as was wanted.
    Enough,
    /// As much as may be at once.
    Part,
    /// There is nothing more to evict here.
    All,
}

/// A key that may be the next to go.
#[derive(Debug)]
struct Candidate {
    key: Box<[u8]>,
    /// The higher, the sooner.
    score: u64,
}

/// What is known of the bound.
#[derive(Debug, Default)]
pub(in crate::engine) struct Eviction {
    bound: MemoryBound,
    /// Lowest score first.
    pool: Vec<Candidate>,
    /// Draws in a row without a key that may be evicted here.
    misses: usize,
    /// Until then there is none.
    barren_until: u64,
    /// Not before then the next look or round.
    not_before: u64,
    /// What is still to be freed for a round, and what was freed in it.
    wanted: usize,
    freed: usize,
    round_ends: u64,
    /// Peers were told that this replica is full, and not yet that it is no more.
    has_told: bool,
    /// Peers that have said that they are full, and until when that holds.
    full: BTreeMap<ReplicaId, u64>,
    /// Hashes of keys that were read here and peers decide, how many there were, and when they are told.
    uses: Vec<u64>,
    uses_seen: usize,
    uses_due: u64,
    /// What was evicted since this was asked last, by which events, where that is asked for.
    evicted: Option<Vec<(Box<[u8]>, Dot)>>,
}

impl Eviction {
    /// As much as is left over the bound when peers are told, of a replica that has some.
    fn low_mark(&self) -> usize {
        self.bound.bytes_max - self.bound.bytes_max / HEADROOM_PART
    }

    /// A peer is gone.
    pub(in crate::engine) fn forget(&mut self, peer: ReplicaId) {
        self.full.remove(&peer);
    }
}

impl Replica {
    /// Bounds the memory that the data takes.
    pub fn bound_memory(&mut self, now: Now, bound: MemoryBound) {
        self.eviction.bound = bound;
        self.eviction.pool.clear();
        (self.eviction.misses, self.eviction.barren_until, self.eviction.not_before) = (0, 0, 0);
        self.store.keep_uses(bound.use_rule(), now.wall);
    }

    /// How much memory the data may take.
    #[must_use]
    pub fn memory_bound(&self) -> MemoryBound {
        self.eviction.bound
    }

    /// Whether writes have to ask for room: there is a bound here, or a peer is full. O(1).
    #[inline]
    #[must_use]
    pub fn is_memory_bounded(&self) -> bool {
        self.eviction.bound.bytes_max > 0 || !self.eviction.full.is_empty()
    }

    /// Whether reads are to be noted: [`Replica::note_reads`]. O(1).
    #[inline]
    #[must_use]
    pub fn counts_reads(&self) -> bool {
        self.store.use_rule().is_some()
    }

    /// The live peers that say that their memory is full.
    pub fn full_peers(&self, now: Now) -> impl Iterator<Item = ReplicaId> + '_ {
        let full = self.eviction.full.iter().filter(move |(id, until)| **until > now.mono && self.is_live(**id));
        full.map(|(id, _)| *id)
    }

    /// How many live peers say, as far as was heard last, that their memory is full.
    #[must_use]
    pub fn peers_full(&self) -> usize {
        self.eviction.full.keys().filter(|id| self.is_live(**id)).count()
    }

    /// To be asked before a write at this replica, outside of groups: evicts what is over the bound, within reason, and says
    /// whether the write may be made.
    pub fn make_room(&mut self, now: Now) -> Room {
        if self.expiry.held {
            return Room::Enough; // and the write is held, too
        }
        let over = self.bytes_over();
        if over > 0 {
            return match self.evict(now, over, EVICTED_MAX) {
                Evicted::All => Room::None,
                Evicted::Enough | Evicted::Part => Room::Enough,
            };
        }
        // Who evicts for a peer that is full does so in rounds.
        let refuses = self.eviction.bound.policy == EvictionPolicy::NoEviction || self.is_barren(now);
        if refuses && self.full_peers(now).next().is_some() { Room::None } else { Room::Enough }
    }

    /// Has a key count as used last at `wall_ms`, and with this frequency.
    pub fn set_use(&mut self, key: &[u8], wall_ms: u64, frequency: u8) {
        self.store.set_use(key, wall_ms, frequency);
    }

    /// Keys of these hashes were read here. Some of them are told to the peers that decide them.
    pub fn note_reads(&mut self, now: Now, hashes: &[u64]) {
        let has_peers = self.peers.live() > 0;
        for hash in hashes {
            self.store.note_read(*hash, now.wall);
            if has_peers && !self.decides(*hash) {
                self.remember_use(now, *hash);
            }
        }
    }

    /// Has [`Replica::take_evicted`] say what is evicted here: for those that account for every event.
    pub fn note_evicted(&mut self) {
        self.eviction.evicted.get_or_insert_default();
    }

    /// The keys that were evicted here since this was asked last, and by which events.
    pub fn take_evicted(&mut self) -> Vec<(Box<[u8]>, Dot)> {
        self.eviction.evicted.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// When there is something to free, or to tell.
    pub(in crate::engine) fn eviction_due(&self) -> Option<u64> {
        let Eviction { bound, not_before, has_told, wanted, uses, uses_due, .. } = &self.eviction;
        // Alone, without anything to evict, there is nothing to do about it.
        let may_act = !self.expiry.held && (bound.policy != EvictionPolicy::NoEviction || self.peers.live() > 0);
        let has_work = may_act && (self.bytes_near() > 0 || *has_told || *wanted > 0);
        let uses_due = (!uses.is_empty()).then_some(*uses_due);
        has_work.then_some(*not_before).into_iter().chain(uses_due).min()
    }

    /// Frees what is to be freed, and tells peers what they are to know of it.
    pub(in crate::engine) fn bound_in_turn(&mut self, now: Now) {
        if self.eviction_due().is_none_or(|due| due > now.mono) {
            return;
        }
        if !self.eviction.uses.is_empty() && self.eviction.uses_due <= now.mono {
            self.tell_uses();
        }
        if self.eviction.not_before > now.mono {
            return;
        }
        let near = self.bytes_near();
        if self.peers.live() == 0 {
            self.eviction.has_told = false;
            self.eviction.wanted = near;
        } else if now.mono >= self.eviction.round_ends {
            self.begin_round(now);
            self.tell_full(near);
            self.want(near);
        }
        self.free(now);
    }

    /// A peer says by how many bytes it is over what it may have, 0 if it is no more.
    pub(in crate::engine) fn on_full(&mut self, now: Now, sender: ReplicaId, over: u64) {
        if over == 0 {
            self.eviction.full.remove(&sender);
            return;
        }
        self.eviction.full.insert(sender, now.mono + FULL_US);
        if self.eviction.bound.policy == EvictionPolicy::NoEviction {
            return;
        }
        if now.mono >= self.eviction.round_ends {
            self.begin_round(now);
        }
        self.want(usize::try_from(over).unwrap_or(usize::MAX));
        self.eviction.not_before = self.eviction.not_before.min(now.mono);
    }

    /// A peer has read keys of these hashes.
    pub(in crate::engine) fn on_used(&mut self, now: Now, hashes: &[u8]) {
        for hash in hashes.as_chunks::<8>().0.iter().take(USES_IN_MESSAGE_MAX) {
            self.store.note_read(u64::from_le_bytes(*hash), now.wall);
        }
    }

    /// By how many bytes the data is over its bound.
    fn bytes_over(&self) -> usize {
        match self.eviction.bound.bytes_max {
            0 => 0,
            max => self.store.used().saturating_sub(max),
        }
    }

    /// By how many bytes it is over what is aimed at: the bound, and somewhat less where peers write as well.
    fn bytes_near(&self) -> usize {
        match self.eviction.bound.bytes_max {
            0 => 0,
            max if self.peers.live() == 0 => self.store.used().saturating_sub(max),
            _ => self.store.used().saturating_sub(self.eviction.low_mark()),
        }
    }

    fn begin_round(&mut self, now: Now) {
        let rtt = self.peers.iter().filter(|(_, peer)| peer.live).map(|(_, peer)| peer.rto_us()).max();
        let to_tell = ROUND_PER_PEER_US * self.peers.live() as u64;
        self.eviction.round_ends = now.mono + ROUND_US.max(2 * rtt.unwrap_or(0)).max(to_tell);
        (self.eviction.freed, self.eviction.wanted) = (0, 0);
    }

    fn tell_full(&mut self, near: usize) {
        if near == 0 && !self.eviction.has_told {
            return;
        }
        self.eviction.has_told = near > 0;
        let live: Vec<ReplicaId> = self.peers.live_ids().collect();
        live.into_iter().for_each(|id| self.tell(id, &Message::Full { over: near as u64 }));
    }

    /// Notes that the fleet has to free so many bytes, of which this replica does its part; what it has freed in this round
    /// counts.
    fn want(&mut self, bytes: usize) {
        let part = bytes.div_ceil(1 + self.peers.live());
        let Eviction { wanted, freed, .. } = &mut self.eviction;
        *wanted = (*wanted).max(part.saturating_sub(*freed));
    }

    /// Evicts what is wanted, as far as it may be at once.
    fn free(&mut self, now: Now) {
        let wanted = self.eviction.wanted;
        let evicted = if wanted > 0 { self.evict(now, wanted, EVICTED_PER_LOOK_MAX) } else { Evicted::Enough };
        if evicted != Evicted::Part {
            self.eviction.wanted = 0;
        }
        self.eviction.not_before = match evicted {
            Evicted::Part => now.mono + PAUSE_US,
            _ if self.peers.live() == 0 => now.mono + ALONE_PAUSE_US,
            _ => self.eviction.round_ends,
        };
    }

    fn is_barren(&self, now: Now) -> bool {
        self.eviction.barren_until > now.mono
    }

    /// Whether it is for this replica to evict keys of this hash.
    fn decides(&self, hash: u64) -> bool {
        let own = (rank(hash, self.id()), self.id());
        let serves = |standing| !matches!(standing, Standing::Joining | Standing::CatchingUp);
        let mut deciders = self.peers.iter().filter(|(_, peer)| peer.live && serves(peer.standing));
        deciders.all(|(id, _)| (rank(hash, *id), *id) < own)
    }

    /// Evicts keys that this replica decides, until so many bytes are free.
    fn evict(&mut self, now: Now, bytes: usize, keys_max: usize) -> Evicted {
        if self.eviction.bound.policy == EvictionPolicy::NoEviction || self.is_barren(now) {
            return Evicted::All;
        }
        // While an id is on probation nothing is minted under it, and who joins knows little yet of what there is.
        if !self.is_ready() || self.on_probation() || self.expiry.held || self.store.has_open_group() {
            return Evicted::Part;
        }
        let before = self.store.used();
        let freed = |replica: &Self| before.saturating_sub(replica.store.used());
        let mut draws = DRAWS_MAX;
        for _ in 0..keys_max {
            if freed(self) >= bytes {
                break;
            }
            let Some(key) = self.pick(now, &mut draws) else { break };
            match self.write(now, key.len(), |writer| writer.evict(&key)) {
                Ok(true) => self.note_eviction(key),
                Ok(false) => {}
                Err(_) => break,
            }
        }
        let freed = freed(self);
        self.eviction.freed += freed;
        self.eviction.wanted = self.eviction.wanted.saturating_sub(freed);
        if freed >= bytes {
            return Evicted::Enough;
        }
        if self.eviction.misses < MISSES_PER_REPLICA * (1 + self.peers.live()) {
            return Evicted::Part;
        }
        (self.eviction.misses, self.eviction.barren_until) = (0, now.mono + RETRY_US);
        Evicted::All
    }

    fn note_eviction(&mut self, key: Box<[u8]>) {
        self.counters.keys_evicted += 1;
        let event = Dot::new(self.id(), self.store.position());
        if let Some(evicted) = &mut self.eviction.evicted {
            evicted.push((key, event));
        }
    }

    /// The key that is to go next.
    fn pick(&mut self, now: Now, draws: &mut usize) -> Option<Box<[u8]>> {
        let MemoryBound { policy, samples, .. } = self.eviction.bound;
        if policy.is_random() {
            return self.draw(now, draws).map(|(key, _)| key);
        }
        for _ in 0..POOL_MAX {
            for _ in 0..samples {
                let Some((key, score)) = self.draw(now, draws) else { break };
                self.pool(key, score);
            }
            let Candidate { key, score } = self.eviction.pool.pop()?;
            // It may have been used since it was seen, or be gone, or for another replica to decide.
            let found = self.store.evictable(&key, now.wall).filter(|it| self.decides(it.hash));
            let found = found.filter(|it| !policy.is_volatile() || it.deadline.is_some());
            if found.is_some_and(|it| self.score(now, &it) >= score) {
                return Some(key);
            }
        }
        None
    }

    fn pool(&mut self, key: Box<[u8]>, score: u64) {
        let pool = &mut self.eviction.pool;
        if pool.iter().any(|it| it.key == key) {
            return;
        }
        let at = pool.partition_point(|it| it.score < score);
        if pool.len() < POOL_MAX {
            pool.insert(at, Candidate { key, score });
        } else if at > 0 {
            pool[..at].rotate_left(1);
            pool[at - 1] = Candidate { key, score };
        }
    }

    /// A key at random that this replica may evict, and how soon it is to go.
    fn draw(&mut self, now: Now, draws: &mut usize) -> Option<(Box<[u8]>, u64)> {
        let misses_max = MISSES_PER_REPLICA * (1 + self.peers.live());
        let volatile = self.eviction.bound.policy.is_volatile();
        let (mut random, mut found) = (self.random, None);
        let mut below = |max: usize| usize::try_from(mix::next(&mut random) % max as u64).expect("below a usize");
        let mut misses = self.eviction.misses;
        while found.is_none() && *draws > 0 && misses < misses_max {
            *draws -= 1;
            let drawn = self.store.draw_evictable(volatile, now.wall, &mut below);
            found = drawn.filter(|it| self.decides(it.hash)).map(|it| (it.key.into(), self.score(now, &it)));
            misses = if found.is_some() { 0 } else { misses + 1 };
        }
        (self.eviction.misses, self.random) = (misses, random);
        found
    }

    fn score(&self, now: Now, key: &Evictable<'_>) -> u64 {
        match self.eviction.bound.policy {
            EvictionPolicy::VolatileTtl => u64::MAX - key.deadline.unwrap_or(u64::MAX),
            _ => self.store.disuse(key.hash, now.wall),
        }
    }

    /// Keeps a sample of the keys that were read, each as likely as any other (Vitter, *Random sampling with a reservoir*, 1985).
    fn remember_use(&mut self, now: Now, hash: u64) {
        if self.eviction.uses.is_empty() {
            (self.eviction.uses_seen, self.eviction.uses_due) = (0, now.mono + USES_US);
        }
        self.eviction.uses_seen += 1;
        if self.eviction.uses.len() < USES_TOLD_MAX {
            return self.eviction.uses.push(hash);
        }
        let at = self.random_below(self.eviction.uses_seen);
        if let Some(place) = self.eviction.uses.get_mut(at) {
            *place = hash;
        }
    }

    fn tell_uses(&mut self) {
        let uses = std::mem::take(&mut self.eviction.uses);
        let mut of_peers: BTreeMap<ReplicaId, Vec<[u8; 8]>> = BTreeMap::new();
        for hash in uses {
            if let Some(decider) = self.peers.live_ids().max_by_key(|id| (rank(hash, *id), *id)) {
                of_peers.entry(decider).or_default().push(hash.to_le_bytes());
            }
        }
        for (id, hashes) in of_peers {
            for hashes in hashes.chunks(USES_IN_MESSAGE_MAX) {
                self.tell(id, &Message::Used { hashes: crate::bytes::Bytes(hashes.as_flattened()) });
            }
        }
    }
}

#[cfg(test)]
mod tests;
