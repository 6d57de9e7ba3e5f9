//! The id under which a store mints its events, and how it changes while there is data.
//!
//! An id is in doubt after a start from a disk, until the peers have been heard. What is minted meanwhile is
//! *provisional*: no peer is told of it. If others turn out to know events of the id that the disk does not have, its
//! dots name other events elsewhere. [`Store::rename`] moves them to a fresh id, as if they had been minted under it in
//! the first place:
//!
//! - their cells, resets and places in frontiers get new dots;
//! - the own part of a context, which an event implies, is written out: to the new id, the old one is another replica;
//! - of a counter slot that was in use before, the old id keeps what it had, and what was added since becomes a slot of
//!   the new id; a slot that was reset since gets a baseline, as any foreign slot does.
//!
//! The version vector goes back to what is certain of the old id. That is then a dead origin like any other, and what
//! it had really written is fetched from those who have it. Exact, because no other replica has applied a provisional
//! event.

use std::collections::{BTreeMap, BTreeSet};

use cahoots_crdt::{Dot, DotFun, ReplicaId};

use super::cell::baseline::{Baseline, Baselines};
use super::cell::{Cell, Count, Element, Path, hash_of};
use super::event::window::{Before, Window};
use super::event::{Body, Change, Foreign, Part, begin_key, begin_part, encode_head};
use super::kind::Class;
use super::memory::bucket::{Bucket, bucket_of};
use super::read::changes::{By, Subject};
use super::{Sealed, Store};
use crate::Limits;
use crate::bytes::Bytes;

/// Bytes of provisional events kept for moving them. Beyond this the doubt is given up: an id that has been used so
/// much without a peer contradicting is this store's.
const PROVISIONAL_BYTES_MAX: usize = 16 << 20;
/// What a counter slot costs beside its names.
const SLOT_BYTES: usize = 128;

/// What became of the events when a store changed its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// The id given up.
    pub old: ReplicaId,
    /// Events up to here stay what they were.
    pub kept: u64,
    /// So many later ones were moved: they are events 1 and on of the new id.
    pub moved: u64,
}

/// Where a counter slot is: key, class, name.
type Place = (Box<[u8]>, Class, Box<[u8]>);

/// An own counter slot as it was before the provisional events.
#[derive(Clone, Debug)]
struct Slot {
    /// The first provisional event that wrote or removed it.
    touched_by: u64,
    dot: Dot,
    count: Count,
    /// Of those of the new id, the one that removed it.
    reset_by: Option<u64>,
}

/// For slots that were in use before: of the new id, the first event that adds there.
type Births = BTreeMap<Place, u64>;

#[derive(Clone, Debug)]
pub(super) struct Provisional {
    /// Own events up to here are certain.
    base: u64,
    /// Those that follow, in order.
    bodies: Vec<Vec<u8>>,
    slots: BTreeMap<Place, Slot>,
    bytes: usize,
}

impl Provisional {
    fn new(base: u64) -> Self {
        Self { base, bodies: Vec::new(), slots: BTreeMap::new(), bytes: 0 }
    }

    /// Notes that a window was sealed into an event of this body.
    pub(super) fn note(&mut self, window: &Window, body: &[u8]) {
        debug_assert_eq!(window.seq, self.base + self.bodies.len() as u64 + 1);
        self.bodies.push(body.to_vec());
        self.bytes += body.len();
        for Before { key, class, name, cell: (dot, count) } in window.slots_before() {
            if dot.seq <= self.base {
                self.bytes += key.len() + name.len() + SLOT_BYTES;
                let slot = Slot { touched_by: window.seq, dot, count, reset_by: None };
                self.slots.entry((key.into(), class, name.into())).or_insert(slot);
            }
        }
    }
}

/// Dots of provisional events, before and after.
#[derive(Clone, Copy)]
struct Moving {
    old: ReplicaId,
    new: ReplicaId,
    base: u64,
}

impl Moving {
    fn is_moved(self, dot: Dot) -> bool {
        dot.replica == self.old && dot.seq > self.base
    }

    fn dot(self, dot: Dot) -> Dot {
        if self.is_moved(dot) { Dot::new(self.new, dot.seq - self.base) } else { dot }
    }
}

impl Store {
    /// Makes a loaded store usable for minting as `id`, which is its own, to be kept on probation, or a fresh one.
    pub fn resume(&mut self, id: ReplicaId, limits: Limits, window_bytes_max: usize) {
        self.limits = limits;
        self.window_bytes_max = window_bytes_max;
        self.clock_ahead_ms = 0;
        self.changes = super::read::changes::Changes::default();
        self.provisional = None;
        if id == self.id {
            self.doubt();
        } else {
            self.rename(id);
        }
    }

    /// Makes own events provisional from now on, one whose window is open too. No peer may be told of them: neither by
    /// events nor by version vectors nor by transfers.
    pub fn doubt(&mut self) {
        let base = self.sealed_seq();
        self.provisional.get_or_insert_with(|| Provisional::new(base));
    }

    /// Own events are this store's for good.
    pub fn trust(&mut self) {
        self.provisional = None;
    }

    /// Whether the id is in doubt.
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        self.provisional.is_some()
    }

    /// The last own event that a peer may have been told of. A peer that knows a later one has it from elsewhere.
    #[must_use]
    pub fn certain_seq(&self) -> u64 {
        self.provisional.as_ref().map_or_else(|| self.sealed_seq(), |it| it.base)
    }

    /// Bytes kept for moving provisional events, and what they may come to before the doubt is given up.
    pub(super) fn doubt_queue(&self) -> (usize, usize) {
        // One more event is taken in before the bound is looked at.
        let most = PROVISIONAL_BYTES_MAX + 2 * self.limits.group_bytes_max;
        (self.provisional.as_ref().map_or(0, |it| it.bytes), most)
    }

    /// Ends a doubt that has become too expensive to keep up. To be called between events.
    pub(super) fn bound_doubt(&mut self) {
        self.provisional.take_if(|it| it.bytes > PROVISIONAL_BYTES_MAX);
    }

    /// Goes on under a fresh id. Provisional events, an open window included, are moved to it.
    ///
    /// O(what is moved, and the buckets it lies in).
    ///
    /// # Panics
    /// If `id` was ever used before, as far as can be seen here.
    pub fn rename(&mut self, id: ReplicaId) -> Renamed {
        assert!(id != self.id && self.vv.get(id) == 0, "an id is used once");
        self.doubt();
        self.seal();
        let provisional = self.provisional.take().expect("just doubted");
        let moving = Moving { old: self.id, new: id, base: provisional.base };
        let moved = provisional.bodies.len() as u64;
        self.id = id;
        self.vv = self.vv.iter().filter(|(replica, _)| *replica != moving.old).collect();
        for (replica, seq) in [(moving.old, moving.base), (id, moved)] {
            if seq > 0 {
                self.vv.raise(replica, seq);
            }
        }
        self.sealed.retain(|sealed| sealed.seq <= moving.base);
        let Provisional { bodies, mut slots, .. } = provisional;
        let mut births = Births::new();
        for (seq, bytes) in (1..).zip(&bodies) {
            let body = moving.rewrite(seq, bytes, &mut slots, &mut births, &self.limits);
            self.sealed.push_back(Sealed { seq, body });
        }
        let mut touched = BTreeSet::new();
        for bytes in &bodies {
            let body = moving.read(bytes, &self.limits);
            for part in &body.parts {
                self.move_part(moving, (&body, part), &slots, &births);
                touched.insert(part.bucket);
            }
        }
        for ((key, class, name), slot) in &slots {
            let Some(by) = slot.reset_by else { continue };
            let path = Path::new(key, *class, name);
            let (dot, Count { birth, total, .. }) = (slot.dot, slot.count);
            let baseline = Baseline { owner: dot.replica, birth, seen: dot.seq, total, reset: Dot::new(id, by) };
            let Bucket { keys, baselines, .. } = &mut self.buckets[bucket_of(hash_of(key))];
            baselines.merge(&path, baseline);
            keys.rank_again(&path, baselines, &mut self.draft);
        }
        for index in touched {
            self.buckets[index].cells_fingerprint = self.buckets[index].cells_print();
        }
        Renamed { old: moving.old, kept: moving.base, moved }
    }

    /// Gives what one provisional event left in one bucket its new dots.
    fn move_part(
        &mut self,
        moving: Moving,
        (body, part): (&Body<'_>, &Part<'_>),
        slots: &BTreeMap<Place, Slot>,
        births: &Births,
    ) {
        let bucket = &mut self.buckets[part.bucket];
        for key in body.keys_of(part) {
            let (hash, name) = (key.key_hash, key.key);
            self.changes.look(Subject { keys: &bucket.keys, hash, key: name }, By::Peer);
            for (class, name) in key.changes().filter_map(|change| written(&change)) {
                let path = Path::within(key.key_hash, key.key, class, name);
                let (at, mut element) = bucket.keys.look(&path);
                if element.is_empty() {
                    continue;
                }
                let place = place_of(&path);
                let slot = slots.get(&place).filter(|slot| slot.reset_by.is_none()).zip(births.get(&place));
                move_element(moving, &path, &mut element, &bucket.baselines, slot);
                bucket.keys.draft(at, &path, element, &mut self.draft);
                bucket.keys.commit(at, &path, &bucket.baselines, &mut self.draft);
            }
            bucket.keys.renew_origins(key.key_hash, key.key);
            self.changes.push(Subject { keys: &bucket.keys, hash, key: name }); // of assignments at one instant, the id decides
        }
        bucket.frontier = bucket.frontier.iter().map(|dot| moving.dot(dot)).collect();
        bucket.baselines.resets_mut().for_each(|reset| *reset = moving.dot(*reset));
    }
}

impl Moving {
    fn read<'a>(self, bytes: &'a [u8], limits: &Limits) -> Body<'a> {
        Body::decode(bytes, Dot::new(self.old, u64::MAX), limits).expect("it was written here")
    }

    /// The body of a provisional event as the new id would have written it, as its event `seq`.
    fn rewrite(
        self,
        seq: u64,
        bytes: &[u8],
        slots: &mut BTreeMap<Place, Slot>,
        births: &mut Births,
        limits: &Limits,
    ) -> Vec<u8> {
        let body = self.read(bytes, limits);
        let mut resets: BTreeMap<(usize, &[u8]), Vec<Change<'_>>> = BTreeMap::new();
        let reset = self.resets(seq, &body, slots);
        for ((key, class, name), dot, Count { birth, total, .. }) in &reset {
            let (class, name, birth, total) = (*class as u8, Bytes(name), *birth, *total);
            let reset = Change::Reset { class, name, owner: self.old, birth, seen: dot.seq, total };
            resets.entry((bucket_of(hash_of(key)), key)).or_default().push(reset);
        }
        let own = (self.base > 0).then(|| Dot::new(self.old, self.base));
        let with_own = |dots: Foreign<'_>| -> Vec<Dot> { dots.iter().chain(own).collect() };
        let mut rewritten = Vec::new();
        encode_head(body.clock, body.since(), body.parts.len(), &mut rewritten);
        for part in &body.parts {
            let keys = body.keys_of(part);
            let changed: BTreeSet<&[u8]> = keys.iter().map(|it| it.key).collect();
            let here = resets.range((part.bucket, &b""[..])..(part.bucket + 1, &b""[..]));
            let only_reset: Vec<_> = here.filter(|((_, key), _)| !changed.contains(key)).collect();
            let (names, cleared) = (with_own(part.names), part.cleared.map(with_own));
            begin_part(part.bucket, &names, cleared.as_deref(), keys.len() + only_reset.len(), &mut rewritten);
            for key in keys {
                let resets = resets.get(&(part.bucket, key.key)).map_or(&[][..], Vec::as_slice);
                begin_key(key.key, key.count + resets.len(), &mut rewritten);
                let (writing, superseding): (Vec<_>, Vec<_>) = key.changes().partition(|it| written(it).is_some());
                for mut change in superseding.into_iter().chain(resets.iter().copied()).chain(writing) {
                    let dots;
                    if let Some(context) = change.context_mut() {
                        dots = with_own(*context);
                        *context = Foreign::Of(&dots);
                    }
                    let discarded: Vec<Dot>;
                    if let Change::Discard { class, name, cells, .. } = &mut change {
                        discarded = self.discarded((key.key, *class, *name), *cells, slots);
                        *cells = Foreign::Of(&discarded);
                    }
                    if let Change::Count { class, name, birth, total, .. } = &mut change {
                        (*birth, *total) = self.slot(seq, (key.key, *class, *name), (*birth, *total), slots, births);
                    }
                    change.encode(&mut rewritten);
                }
            }
            for ((_, key), resets) in only_reset {
                begin_key(key, resets.len(), &mut rewritten);
                resets.iter().for_each(|reset| reset.encode(&mut rewritten));
            }
        }
        rewritten
    }

    /// The birth and total of a counter slot that event `seq` of the new id writes: what was added since, if it was in use before.
    fn slot(
        self,
        seq: u64,
        (key, class, name): (&[u8], u8, Bytes<'_>),
        (birth, total): (u64, i128),
        slots: &BTreeMap<Place, Slot>,
        births: &mut Births,
    ) -> (u64, i128) {
        if birth > self.base {
            return (birth - self.base, total);
        }
        let place = (key.into(), Class::from_code(class).expect("checked"), name.0.into());
        let slot = slots.get(&place).expect("a slot older than the doubt is noted when it is written");
        (*births.entry(place).or_insert(seq), total - slot.count.total)
    }

    /// The cells that an event removed one by one. Of a counter slot that was in use before, the old id keeps a part.
    fn discarded(
        self,
        (key, class, name): (&[u8], u8, Bytes<'_>),
        cells: Foreign<'_>,
        slots: &BTreeMap<Place, Slot>,
    ) -> Vec<Dot> {
        let mut dots: Vec<Dot> = cells.iter().map(|dot| self.dot(dot)).collect();
        if cells.iter().any(|dot| self.is_moved(dot)) {
            let place = (key.into(), Class::from_code(class).expect("checked"), name.0.into());
            dots.extend(slots.get(&place).map(|slot| slot.dot));
        }
        dots
    }

    /// The slots of the old id that an event removed, noted as removed by it.
    fn resets(self, seq: u64, body: &Body<'_>, slots: &mut BTreeMap<Place, Slot>) -> Vec<(Place, Dot, Count)> {
        let mut resets = Vec::new();
        let mut reset = |place: &Place, slot: &mut Slot| {
            if slot.reset_by.is_none() && slot.touched_by <= self.base + seq {
                slot.reset_by = Some(seq);
                resets.push((place.clone(), slot.dot, slot.count));
            }
        };
        for part in &body.parts {
            if part.cleared.is_some() {
                let here = slots.iter_mut().filter(|(it, _)| bucket_of(hash_of(&it.0)) == part.bucket);
                here.for_each(|(place, slot)| reset(place, slot));
            }
            for key in body.keys_of(part) {
                for change in key.changes() {
                    let is_removed = |place: &Place| match change {
                        Change::Delete { .. } => true,
                        Change::Remove { class, name, .. } | Change::Assign { class, name, .. } => {
                            place.1 as u8 == class && *place.2 == *name.0
                        }
                        Change::Discard { class, name, cell: Cell::Count, cells } => {
                            let is_own = cells.iter().any(|dot| dot.replica == self.old);
                            is_own && place.1 as u8 == class && *place.2 == *name.0
                        }
                        _ => false,
                    };
                    let from: Place = (key.key.into(), Class::Text, Box::default());
                    let under = slots.range_mut(from..).take_while(|(place, _)| *place.0 == *key.key);
                    under.filter(|(place, _)| is_removed(place)).for_each(|(place, slot)| reset(place, slot));
                }
            }
        }
        resets
    }
}

/// Where a change leaves a cell of the event.
fn written<'a>(change: &Change<'a>) -> Option<(Class, &'a [u8])> {
    match change {
        Change::Assign { class, name, .. } | Change::Count { class, name, .. } => {
            Some((Class::from_code(*class).expect("checked"), name.0))
        }
        _ => None,
    }
}

fn place_of(path: &Path<'_>) -> Place {
    (path.key.into(), path.class, path.name.into())
}

fn move_element(
    moving: Moving,
    path: &Path<'_>,
    element: &mut Element<'_>,
    baselines: &Baselines,
    slot: Option<(&Slot, &u64)>,
) {
    element.value = element.value.iter().map(|(dot, register)| (moving.dot(dot), *register)).collect();
    let mut counts = DotFun::new();
    for (dot, count) in element.counts.iter() {
        let mut count = *count;
        if !moving.is_moved(dot) {
            counts.insert(dot, count);
            continue;
        }
        if count.birth > moving.base {
            count.birth -= moving.base;
        } else if let Some((slot, birth)) = slot {
            let is_reset = |baseline: &Baseline| baseline.birth == slot.count.birth && baseline.seen >= slot.dot.seq;
            if !baselines.get(path, moving.old).is_some_and(is_reset) {
                counts.insert(slot.dot, slot.count);
            }
            count.total -= slot.count.total;
            count.birth = *birth;
        }
        counts.insert(moving.dot(dot), count);
    }
    element.counts = counts;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Applied, Missing};

    const ME: ReplicaId = ReplicaId::new(1);
    const WALL: u64 = 1_700_000_000_000;

    /// Else what is provisional would count as what is named, and be removed in its place.
    #[test]
    fn an_event_that_names_an_own_one_which_the_disk_has_lost_tells_so_and_touches_nothing() {
        let [mut before, mut other] = [1, 2].map(|id| Store::new(ReplicaId::new(id), Limits::default(), 1_024));
        let write = |store: &mut Store, key: &[u8]| {
            store.write(WALL, 0, |w| w.add(key, 1)).expect("admitted");
            store.seal();
            store.poll_sealed().expect("sealed")
        };
        let first = write(&mut before, b"first");
        let mut restored = before.clone();
        let second = write(&mut before, b"key");
        for sealed in [first, second] {
            let event = Dot::new(before.id, sealed.seq);
            assert_eq!(other.apply(event, &sealed.body), Ok(Applied::Now));
        }
        assert_eq!(other.write(WALL, 0, |w| w.delete(b"key")), Ok(true));
        other.seal();
        let deletion = other.poll_sealed().expect("sealed");

        restored.doubt();
        write(&mut restored, b"key");
        let event = Dot::new(other.id, deletion.seq);
        assert_eq!(restored.apply(event, &deletion.body), Ok(Applied::OwnId));
        let moved = restored.rename(ReplicaId::new(3));
        assert_eq!((moved.kept, moved.moved), (1, 1));
        let lost = Missing { bucket: bucket_of(hash_of(b"key")), dot: Dot::new(before.id, 2) };
        let Ok(Applied::Waits(missing)) = restored.apply(event, &deletion.body) else { panic!("it must wait") };
        assert!(missing.iter().all(|it| *it == lost), "{missing:?}");
        assert_eq!(restored.at(0).view(b"key").expect("it is there").count(), Ok(1));
    }

    /// Of the increments that the disk has lost, the assignment had seen none.
    #[test]
    fn an_assignment_that_is_moved_takes_of_an_own_counter_what_it_had_seen_and_no_more() {
        let [mut before, mut other] = [1, 2].map(|id| Store::new(ReplicaId::new(id), Limits::default(), 1_024));
        let seal = |store: &mut Store| {
            store.seal();
            let sealed = store.poll_sealed().expect("sealed");
            (Dot::new(store.id, sealed.seq), sealed.body)
        };
        before.write(WALL, 0, |w| w.add(b"key", 3)).expect("admitted");
        let first = seal(&mut before);
        let mut restored = before.clone();
        before.write(WALL, 0, |w| w.add(b"key", 2)).expect("admitted");
        let lost = seal(&mut before);

        restored.doubt();
        restored.write(WALL, 0, |w| w.set(b"key", b"10")).expect("admitted");
        restored.rename(ReplicaId::new(3));
        let moved = seal(&mut restored);
        assert_eq!(restored.apply(lost.0, &lost.1), Ok(Applied::Now));
        for (event, body) in [first, lost, moved] {
            assert_eq!(other.apply(event, &body), Ok(Applied::Now));
        }
        for store in [&mut restored, &mut other] {
            assert_eq!(store.at(0).view(b"key").expect("it is there").count(), Ok(12));
            assert!(store.fingerprints_are_exact());
        }
        assert_eq!(restored.fingerprint(), other.fingerprint());
    }

    #[test]
    fn a_doubt_that_has_become_too_expensive_is_given_up() {
        let mut store = Store::new(ME, Limits::default(), 1024);
        store.doubt();
        let value = vec![0; 1 << 20];
        let mut written = 0;
        while store.is_doubted() {
            store.write(0, 0, |writer| writer.set(b"key", &value)).expect("within the limits");
            store.seal();
            written += value.len();
            let (bytes, bytes_max) = store.doubt_queue();
            assert!(bytes <= bytes_max);
        }
        assert!((PROVISIONAL_BYTES_MAX..PROVISIONAL_BYTES_MAX + 3 * value.len()).contains(&written), "{written}");
        assert_eq!(store.certain_seq(), store.sealed_seq());
    }

    #[test]
    fn only_what_is_provisional_is_moved() {
        let mut store = Store::new(ME, Limits::default(), 1024);
        store.write(0, 0, |writer| writer.set(b"a", b"1")).expect("within the limits");
        store.seal();
        let other = ReplicaId::new(2);
        assert_eq!(store.rename(other), Renamed { old: ME, kept: 1, moved: 0 });
        store.doubt();
        store.write(0, 0, |writer| writer.set(b"b", b"1")).expect("within the limits");
        let third = ReplicaId::new(3);
        assert_eq!(store.rename(third), Renamed { old: other, kept: 0, moved: 1 });
        assert_eq!(store.version_vector().iter().collect::<Vec<_>>(), [(ME, 1), (third, 1)]);
        assert!(store.fingerprints_are_exact());
    }
}
