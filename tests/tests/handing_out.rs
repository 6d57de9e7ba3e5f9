//! Consumer groups at bare stores: what is handed out of a stream that several write to, and by several that each have some
//! of its slots, or that know nothing of each other.
//!
//! The oracle counts entries by their ids: those that were added, those that a replica had seen when it made the group, and
//! those that were handed out. It knows neither cursors nor slots.

use std::collections::{BTreeMap, BTreeSet};

use cahoots_gossip::store::{
    Applied, BUCKETS, Delivery, GroupProgress, GroupStart, NewId, Store, StreamId, Unread, Verdict,
};
use cahoots_gossip::{Dot, Limits, ReplicaId};
use cahoots_tests::sim::Random;

const WALL: u64 = 1_700_000_000_000;
const KEY: &[u8] = b"x";
const GROUP: &[u8] = b"g";
const REPLICAS: usize = 3;
/// Histories of each sort.
const SEEDS: u64 = 60;

/// Replicas with what each remembers of the group.
struct World {
    stores: [Store; REPLICAS],
    progress: [GroupProgress; REPLICAS],
    now: u64,
    /// How often each entry was handed out.
    handed: BTreeMap<StreamId, usize>,
    added: BTreeSet<StreamId>,
}

impl World {
    fn new() -> Self {
        Self {
            stores: std::array::from_fn(|at| Store::new(ReplicaId::new(at as u64 + 1), Limits::default(), 400)),
            progress: std::array::from_fn(|_| GroupProgress::default()),
            now: 0,
            handed: BTreeMap::new(),
            added: BTreeSet::new(),
        }
    }

    fn add(&mut self, at: usize) -> StreamId {
        let id = self.stores[at].write(WALL + self.now, 0, |w| w.append(KEY, NewId::Next, [(&b"f"[..], &b"v"[..])]));
        let id = id.expect("admitted");
        self.added.insert(id);
        id
    }

    fn seen(&self, at: usize) -> BTreeSet<StreamId> {
        let view = self.stores[at].at(WALL).view(KEY);
        view.map_or_else(BTreeSet::new, |view| {
            let stream = view.stream();
            stream.ranks(0..stream.len()).map(|(id, _)| id).collect()
        })
    }

    fn create(&mut self, at: usize, start: GroupStart) -> bool {
        self.stores[at].write(WALL + self.now, 0, |w| w.create_group(KEY, GROUP, start, None)).expect("admitted")
    }

    /// Hands out entries that `may` be, at most so many; says how many there were.
    fn hand_out(&mut self, at: usize, count: usize, may: impl Fn(Unread) -> bool) -> usize {
        let mut found = Vec::new();
        if let Some(view) = self.stores[at].at(WALL).view(KEY)
            && let Some(group) = view.stream().group(GROUP)
        {
            group.unread(&mut self.progress[at], |entry| {
                if found.len() == count {
                    return Verdict::Stop;
                }
                if !may(entry) {
                    return Verdict::Leave;
                }
                found.push((entry.id, entry.origin));
                Verdict::Take
            });
        }
        assert!(found.is_sorted());
        let to = Delivery { consumer: [&b"a"[..], b"b", b"c"][at], at: WALL + self.now, count: 1 };
        self.stores[at].write(WALL + self.now, 0, |w| w.hand_out(KEY, GROUP, &found, Some(to))).expect("admitted");
        for (id, _) in &found {
            *self.handed.entry(*id).or_default() += 1;
        }
        found.len()
    }

    fn pending(&self, at: usize) -> Vec<(StreamId, Vec<u8>)> {
        let view = self.stores[at].at(WALL).view(KEY).expect("the stream is there");
        let stream = view.stream();
        let group = stream.group(GROUP).expect("the group is there");
        let pending: Vec<_> =
            group.pending(StreamId::MIN, StreamId::MAX).map(|(id, it)| (id, it.consumer.to_vec())).collect();
        assert_eq!(pending.len(), group.pending_len());
        pending
    }

    fn send(&mut self, at: usize) {
        self.stores[at].seal();
        let id = self.stores[at].id();
        while let Some(sealed) = self.stores[at].poll_sealed() {
            for to in (0..REPLICAS).filter(|to| *to != at) {
                // What waits for others comes by a transfer.
                let applied = self.stores[to].apply(Dot::new(id, sealed.seq), &sealed.body).expect("it is sound");
                assert!(matches!(applied, Applied::Now | Applied::Known | Applied::Waits(_)), "{applied:?}");
            }
        }
    }

    fn transfer(&mut self, from: usize, to: usize) {
        let Ok([from, to]) = self.stores.get_disjoint_mut([from, to]) else { return };
        let theirs = to.bucket_fingerprints(0, BUCKETS);
        let (bytes, _) = from.encode_transfer(0, &theirs, usize::MAX, usize::MAX);
        to.join_transfer(&bytes).expect("it is sound");
    }

    /// Everybody has everything.
    fn settle(&mut self) {
        for _ in 0..2 {
            for (from, to) in [(0, 1), (1, 2), (2, 0)] {
                self.transfer(from, to);
            }
        }
        let first = self.stores[0].fingerprint();
        for store in &mut self.stores {
            assert_eq!(store.fingerprint(), first);
            assert!(store.fingerprints_are_exact());
        }
    }
}

/// An entry that is added late has a lower id than one that was handed out: the counterexample to one cursor for a group.
#[test]
fn what_arrives_late_is_handed_out() {
    let mut world = World::new();
    world.create(0, GroupStart::After(StreamId::MIN));
    world.settle();
    let early = world.add(0);
    world.now += 5;
    let later = world.add(1);
    assert!(early < later);
    assert_eq!(world.hand_out(1, 9, |_| true), 1);
    world.settle();
    assert_eq!(world.hand_out(1, 9, |_| true), 1);
    world.settle();
    assert_eq!(world.hand_out(0, 9, |_| true), 0, "it is known everywhere");
    assert_eq!(world.handed, BTreeMap::from([(early, 1), (later, 1)]));
}

/// The group begins with what is new, and at its maker an entry is under way that has a lower id than the last one there.
#[test]
fn what_was_under_way_when_a_group_was_made_is_new() {
    let mut world = World::new();
    world.add(1);
    world.settle();
    let under_way = world.add(0);
    world.now += 5;
    let seen = world.add(1);
    world.create(1, GroupStart::New);
    world.settle();
    assert_eq!(world.hand_out(2, 9, |_| true), 1);
    assert!(under_way < seen && world.handed.contains_key(&under_way));
}

#[test]
fn a_group_that_begins_anew_hands_out_anew() {
    let mut world = World::new();
    world.create(0, GroupStart::After(StreamId::MIN));
    let ids: Vec<StreamId> = (0..40).map(|_| world.add(0)).collect();
    assert_eq!(world.hand_out(0, 99, |_| true), 40);
    world.settle();
    let again = world.stores[1].write(WALL, 0, |w| w.set_group(KEY, GROUP, GroupStart::After(ids[9]), None));
    assert_eq!(again, Ok(true));
    // Where that is not known yet, something is handed out meanwhile.
    let meanwhile: Vec<StreamId> = (0..16).map(|_| world.add(0)).collect();
    assert_eq!(world.hand_out(0, 99, |_| true), 16);
    world.settle();
    assert_eq!(world.hand_out(2, 99, |_| true), 46);
    assert!(ids.iter().enumerate().all(|(at, id)| world.handed[id] == if at > 9 { 2 } else { 1 }));
    assert!(meanwhile.iter().all(|id| world.handed[id] == 2));
}

/// What is left of a group that was removed while it handed out says nothing of one that is made later under its name.
#[test]
fn a_group_that_is_made_again_hands_out_everything() {
    let mut world = World::new();
    world.create(0, GroupStart::After(StreamId::MIN));
    (0..40).for_each(|_| _ = world.add(0));
    world.settle();
    assert_eq!(world.hand_out(1, 99, |_| true), 40);
    assert_eq!(world.stores[0].write(WALL, 0, |w| w.destroy_group(KEY, GROUP)), Ok(true));
    world.create(0, GroupStart::After(StreamId::MIN));
    world.settle();
    assert_eq!(world.hand_out(2, 99, |_| true), 40);
    world.settle();
    assert_eq!(world.stores[1].write(WALL, 0, |w| w.destroy_group(KEY, GROUP)), Ok(true));
    world.settle();
    assert!(world.stores[0].at(WALL).view(KEY).unwrap().stream().groups().is_empty());
}

/// What happens next. Of several sorts of steps some are more frequent than others.
fn step(
    world: &mut World,
    random: &mut Random,
    acknowledged: &mut BTreeSet<StreamId>,
    may: impl Fn(usize, Unread) -> bool,
) {
    let [at, to] = [(); 2].map(|()| random.index(REPLICAS));
    match random.below(60) {
        0..20 => _ = world.add(at),
        20..35 => {
            let count = *random.pick(&[1, 2, 9, usize::MAX]);
            world.hand_out(at, count, |entry| may(at, entry));
        }
        35..40 => {
            let nth = random.index(20);
            let has_group = world.stores[at].at(WALL).view(KEY).is_some_and(|it| it.stream().group(GROUP).is_some());
            if has_group && let Some((id, _)) = world.pending(at).get(nth) {
                assert_eq!(world.stores[at].write(WALL, 0, |w| w.acknowledge(KEY, GROUP, &[*id])), Ok(1));
                acknowledged.insert(*id);
            }
        }
        40..50 => world.send(at),
        50..54 => world.transfer(at, to),
        _ => world.now += random.below(3),
    }
}

/// A history of random steps. The group exists at all replicas before, or is made at one or several as it goes. Hands out
/// what `may` be; says what was, and what had to be.
fn run(seed: u64, exists: bool, may: impl Fn(usize, Unread) -> bool) -> (World, BTreeSet<StreamId>) {
    let (mut world, mut random) = (World::new(), Random::new(seed));
    if random.below(2) == 0 {
        (0..100).for_each(|_| _ = world.add(0)); // many entries are kept in another way than few
    }
    // What every one of those who made the group had seen: nobody wants it.
    let mut unwanted: Option<BTreeSet<StreamId>> = None;
    if exists {
        world.create(0, GroupStart::After(StreamId::MIN));
        world.settle();
        unwanted = Some(BTreeSet::new());
    }
    let mut acknowledged = BTreeSet::new();
    for _ in 0..random.below(150) {
        step(&mut world, &mut random, &mut acknowledged, &may);
        if !exists && random.below(30) == 0 {
            let (at, is_new) = (random.index(REPLICAS), random.below(2) == 0);
            let seen = if is_new { world.seen(at) } else { BTreeSet::new() };
            let start = if is_new { GroupStart::New } else { GroupStart::After(StreamId::MIN) };
            if world.create(at, start) {
                unwanted = Some(unwanted.map_or_else(|| seen.clone(), |it| it.intersection(&seen).copied().collect()));
            }
        }
    }
    world.settle();
    if unwanted.is_none() {
        world.create(0, GroupStart::After(StreamId::MIN));
        world.settle();
    }
    // One after the other, each with all that the others have handed out.
    for at in 0..REPLICAS {
        while world.hand_out(at, 7, |entry| may(at, entry)) > 0 {}
        world.settle();
    }
    let wanted = world.added.difference(&unwanted.unwrap_or_default()).copied().collect();
    let pending = world.pending(0);
    assert!((1..REPLICAS).all(|at| world.pending(at) == pending));
    // What was handed out once is pending, or was acknowledged, and never both.
    for (id, times) in &world.handed {
        let is_pending = pending.iter().any(|(it, _)| it == id);
        assert!(is_pending || acknowledged.contains(id), "seed {seed}: {id} is neither pending nor acknowledged");
        assert!(*times > 1 || is_pending != acknowledged.contains(id), "seed {seed}: {id} is both");
    }
    (world, wanted)
}

fn lost(world: &World, wanted: &BTreeSet<StreamId>) -> Vec<StreamId> {
    wanted.iter().filter(|id| !world.handed.contains_key(id)).copied().collect()
}

/// Each has slots of its own, wherever entries were added and however late they arrive.
#[test]
fn where_each_has_its_slots_every_entry_is_handed_out_once() {
    for seed in 0..SEEDS {
        let (world, wanted) = run(seed, true, |at, entry| usize::from(entry.slot) % REPLICAS == at);
        assert_eq!(lost(&world, &wanted), [], "seed {seed}");
        assert!(world.handed.values().all(|times| *times == 1), "seed {seed}: {:?}", world.handed);
    }
}

/// Nobody knows of the others, and several may make the group at once.
#[test]
fn whoever_hands_out_nothing_is_lost() {
    for seed in 0..SEEDS {
        let (world, wanted) = run(seed, seed % 2 == 0, |_, _| true);
        assert_eq!(lost(&world, &wanted), [], "seed {seed}");
    }
}
