//! The keys of a bucket with what lies under them, and how it is changed.
//!
//! The few elements of a key are packed into its record. Beyond a bound they move to tables of their own, and stay there
//! until the key is deleted.
//!
//! To change an element: read it ([`Keys::element`]), change what was read, say what the record becomes
//! ([`Keys::draft`]), then put that in its place ([`Keys::commit`]). Two steps, because what was read, and what is new
//! about it, may lie in what is overwritten.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use slab::Slab;
use smallvec::SmallVec;

use super::bucket::place_of;
use super::deadlines::{Deadlines, begins_with, hash_from, prefix_of};
use super::entry::{Entry, Mix, Tables};
use super::origins::Origins;
use super::packed::{Packed, Packer, append_rank, pack_one};
use super::records::Records;
use super::table::ranked;
use super::uses::Use;
use crate::bytes::same;
use crate::store::cell::baseline::Baselines;
use crate::store::cell::lifetime::{self, Lifetime};
use crate::store::cell::score;
use crate::store::cell::{Element, Path, hash_of};
use crate::store::database;
use crate::store::kind::{CLASS_BITS, Class};
use crate::store::read::changes::Subject;

/// A key of more elements, or of more bytes of them, has tables.
const FEW_MAX: usize = 32;
const FEW_BYTES_MAX: usize = 1 << 10;

/// The first byte of a record: the class of all its data, with a bit that says whether there are attributes beside it; that
/// data has several classes, or that there is none; that a number follows instead of elements, which tells the tables.
const ATTRIBUTES: u8 = 1 << CLASS_BITS;
const SEVERAL: u8 = 0xFE;
const TABLES: u8 = 0xFF;

/// Where the record of a key is, and how that begins: good until the key is written, or keys are added or removed.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct At {
    found: usize,
    first: u8,
}

#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Keys {
    records: Records,
    tables: Slab<Tables>,
    /// Bytes that the tables take.
    tables_used: usize,
    /// Keys with data of more than one type.
    clashes: usize,
    /// Keys with data. What is left of others is attributes, and of no use.
    data: usize,
    /// Keys with attributes.
    volatile: usize,
    /// Keys with data that end.
    ending: usize,
    /// Of the keys of numbered databases, how many have data and how many of these end.
    numbered: BTreeMap<u8, (usize, usize)>,
    deadlines: Deadlines,
    /// Deadlines up to here were looked at.
    looked_upto: u64,
    /// Keys with data, all of which was found to be hidden: by the part of the hash that tells them apart.
    hidden: HashSet<u32>,
    /// Keys that hold ballots: what they amount to changes with membership, without a write.
    ballots: BTreeSet<Box<[u8]>>,
}

/// What a [`Keys::draft`] holds.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// The whole record; none, if nothing lies under the key any more.
    Record,
    /// One element for the tables of the key.
    Element,
    /// One element, of a key that has no tables yet.
    Grown,
    /// One element, of a key whose tables are made for it alone: everything else under the key goes.
    Alone,
}

/// What is to become of a key. Kept by the caller for the room in it.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Draft {
    form: Option<Form>,
    bytes: Vec<u8>,
    /// The deadlines of the key in it.
    deadlines: SmallVec<[u64; 2]>,
    /// The first deadline of a field in it.
    field_deadline: Option<u64>,
    /// The least deadline of all drafts since this was asked for.
    earliest: Option<u64>,
    /// Bytes that all keys take which were ever changed by way of this: those of the whole store.
    used: usize,
}

impl Draft {
    /// The least deadline drafted since [`Draft::expect_deadline`], or the one that was expected.
    pub(in crate::store) fn earliest(&self) -> Option<u64> {
        self.earliest
    }

    pub(in crate::store) fn expect_deadline(&mut self, next: Option<u64>) {
        self.earliest = next;
    }

    /// Bytes that all keys take.
    #[inline]
    pub(in crate::store) fn used(&self) -> usize {
        self.used
    }

    #[inline]
    fn note_used(&mut self, before: usize, after: usize) {
        self.used = self.used + after - before;
    }

    fn note_deadlines(&mut self, class: Class, element: &Element<'_>) {
        self.deadlines.clear();
        self.field_deadline = None;
        match class {
            Class::FieldDeadline | Class::FieldUntil => {
                self.field_deadline = lifetime::deadlines_of(class, element).min();
            }
            Class::Deadline | Class::Until => self.deadlines.extend(lifetime::deadlines_of(class, element)),
            _ => {}
        }
    }
}

impl Keys {
    /// How many entries there are.
    pub(in crate::store) fn len(&self) -> usize {
        self.records.len()
    }

    /// How many keys have data, all of which was not found to be hidden.
    pub(in crate::store) fn shown(&self) -> usize {
        self.data.saturating_sub(self.hidden.len())
    }

    /// Keys with attributes.
    pub(in crate::store) fn volatile(&self) -> usize {
        self.volatile
    }

    /// A few of the deadlines that are to come or have been.
    pub(in crate::store) fn some_deadlines(&self) -> impl Iterator<Item = u64> + '_ {
        self.deadlines.some()
    }

    /// Keys with data that end: those that have expired included.
    pub(in crate::store) fn ending(&self) -> usize {
        self.ending
    }

    /// Of the keys of each numbered database: how many have data, and how many of these end.
    pub(in crate::store) fn numbered(&self) -> impl Iterator<Item = (u8, (usize, usize))> {
        self.numbered.iter().map(|(database, counts)| (*database, *counts))
    }

    /// The keys of `bucket`, which this is, that have data all of which was found to be hidden.
    pub(in crate::store) fn hidden(&self, bucket: usize) -> impl Iterator<Item = &[u8]> {
        self.hidden.iter().flat_map(move |prefix| self.beginning_with(bucket, *prefix)).map(|(key, _)| key)
    }

    /// When the first deadline is, or the first that was put off.
    pub(in crate::store) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.next()
    }

    /// The clock has run back to `now`: what was hidden may be visible again, and will be hidden again.
    pub(in crate::store) fn look_back(&mut self, now: u64) {
        if now < self.looked_upto {
            self.looked_upto = now;
            self.hidden.clear();
            self.gather_deadlines();
        }
    }

    /// Keys with deadlines not after `upto` that were not looked at, by the part of the hash by which one is found: each
    /// once, and others besides. O(1) if there is none.
    pub(in crate::store) fn due(&self, upto: u64) -> BTreeSet<u32> {
        self.deadlines.upto(upto).collect()
    }

    /// Takes the part of the hash by which a key is found whose deadline is not after `now`.
    pub(in crate::store) fn pop_deadline(&mut self, now: u64) -> Option<u32> {
        self.looked_upto = self.looked_upto.max(now);
        self.deadlines.pop(now)
    }

    /// Has a key be looked at again.
    pub(in crate::store) fn put_off(&mut self, prefix: u32, until: u64) {
        self.deadlines.push(until, prefix);
    }

    /// Notes, of a key whose data is all hidden, that it is; says whether that is new. Of another key it always is.
    pub(in crate::store) fn note_hidden(&mut self, prefix: u32, is_hidden: bool) -> bool {
        !is_hidden || self.hidden.insert(prefix)
    }

    /// The key of `path`, for those who tell of its changes.
    pub(in crate::store) fn subject<'a>(&'a self, path: &Path<'a>) -> Subject<'a> {
        Subject { keys: self, hash: path.key_hash, key: path.key }
    }

    /// Whether a key was found to be hidden.
    pub(in crate::store) fn is_noted(&self, prefix: u32) -> bool {
        self.hidden.contains(&prefix)
    }

    /// The keys of `bucket`, which this is, whose hashes begin so.
    pub(in crate::store) fn beginning_with(
        &self,
        bucket: usize,
        prefix: u32,
    ) -> impl Iterator<Item = (&[u8], Entry<'_>)> {
        let place = place_of(hash_from(bucket, prefix));
        let found = self.records.beginning_with(place).filter(move |(key, _)| begins_with(hash_of(key), prefix));
        found.map(|(key, record)| (key, self.entry(record)))
    }

    /// A key has changed. What was found about it at a deadline that has passed may not hold any more, so that is looked at
    /// again; a deadline that is new will be. Of the deadlines of fields that are to come the first is enough: who looks at
    /// it finds the next.
    fn note_change(&mut self, key: &[u8], key_hash: u64, draft: &mut Draft) {
        let prefix = prefix_of(key_hash);
        if !self.hidden.is_empty() {
            self.hidden.remove(&prefix);
        }
        let entry = if self.volatile == 0 { None } else { self.get(key_hash, key) };
        let entry = entry.filter(|entry| entry.has_attributes());
        let of_field = draft.field_deadline.take();
        let first_of_field = entry.and_then(|entry| entry.field_deadline_from(0)).filter(|it| Some(*it) == of_field);
        let again = entry.and_then(|entry| {
            let first = Lifetime::of(entry, 0).deadlines().chain(entry.field_deadline_from(0)).min();
            // Attributes of no data are of no use.
            if entry.has_data() { first.filter(|first| *first <= self.looked_upto) } else { Some(self.looked_upto) }
        });
        for deadline in draft.deadlines.drain(..).chain(first_of_field).chain(again) {
            self.deadlines.push(deadline, prefix);
            draft.earliest = draft.earliest.into_iter().chain([deadline]).min();
        }
        if self.deadlines.is_stale(self.volatile, self.records.len()) {
            self.gather_deadlines();
        }
    }

    #[cold]
    fn gather_deadlines(&mut self) {
        if self.volatile == 0 {
            return self.deadlines.clear();
        }
        let mut all = Vec::with_capacity(self.volatile);
        for (key, entry) in self.iter() {
            let prefix = prefix_of(hash_of(key));
            let of_key = Lifetime::of(entry, 0);
            let deadlines = of_key.deadlines().chain(entry.field_deadline_from(0));
            all.extend(deadlines.map(|deadline| (deadline, prefix)));
        }
        self.deadlines.clear();
        all.into_iter().for_each(|(deadline, prefix)| self.deadlines.push(deadline, prefix));
    }

    /// Keys with data of more than one type.
    pub(in crate::store) fn clashes(&self) -> usize {
        self.clashes
    }

    /// The keys that hold ballots.
    pub(in crate::store) fn ballots(&self) -> impl Iterator<Item = (&[u8], Entry<'_>)> {
        self.ballots.iter().filter_map(|key| Some((&**key, self.get(hash_of(key), key)?)))
    }

    pub(in crate::store) fn get(&self, key_hash: u64, key: &[u8]) -> Option<Entry<'_>> {
        self.find(key_hash, key).map(|(_, entry)| entry)
    }

    /// How a key is used that is about to be written.
    pub(in crate::store) fn how_used(&self, key_hash: u64, key: &[u8]) -> Use {
        if self.get(key_hash, key).is_some() { Use::Again } else { Use::New }
    }

    pub(in crate::store) fn warm(&self) {
        self.records.warm();
    }

    pub(in crate::store) fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], Entry<'_>)> {
        self.records.iter().map(|(key, record)| (key, self.entry(record)))
    }

    /// One of the keys, as by [`Records::draw`].
    pub(in crate::store) fn draw(&self, below: &mut impl FnMut(usize) -> usize) -> Option<(&[u8], Entry<'_>)> {
        self.records.draw(below).map(|(key, record)| (key, self.entry(record)))
    }

    /// One of the keys of `bucket`, which this is, that have attributes, at random. O(1), but that entries of deadlines which
    /// hold no more are passed over, and those are bounded.
    pub(in crate::store) fn draw_volatile(
        &self,
        bucket: usize,
        below: &mut impl FnMut(usize) -> usize,
    ) -> Option<(&[u8], Entry<'_>)> {
        let mut prefixes = self.deadlines.starting_anywhere(below);
        prefixes.find_map(|prefix| self.beginning_with(bucket, prefix).find(|(_, entry)| entry.has_attributes()))
    }

    /// What is live at a path; nothing, if there is no such key.
    pub(in crate::store) fn element(&self, path: &Path<'_>) -> Element<'_> {
        self.look(path).1
    }

    /// What is live at a path as by [`Keys::element`], and where the key is.
    pub(in crate::store) fn look(&self, path: &Path<'_>) -> (Option<At>, Element<'_>) {
        match self.find(path.key_hash, path.key) {
            Some((at, entry)) => (Some(at), entry.element(path.class, path.name)),
            None => (None, Element::default()),
        }
    }

    /// Where a key is, and what lies under it. O(1).
    #[inline]
    pub(in crate::store) fn find(&self, key_hash: u64, key: &[u8]) -> Option<(At, Entry<'_>)> {
        let (found, record) = self.records.find(place_of(key_hash), key)?;
        Some((At { found, first: record[0] }, entry_of(record, &self.tables)))
    }

    /// What is live at a path, of a key that is there.
    pub(in crate::store) fn element_at(&self, at: Option<At>, path: &Path<'_>) -> Element<'_> {
        at.map_or_else(Element::default, |at| self.at(at).element(path.class, path.name))
    }

    fn at(&self, at: At) -> Entry<'_> {
        self.entry(self.records.at(at.found))
    }

    /// The table that a key of this hash is in, and its hash there.
    pub(in crate::store) fn place(&self, key_hash: u64) -> (&Records, u64) {
        (&self.records, place_of(key_hash))
    }

    /// The tables of a key whose record is likely there, if it has some.
    pub(in crate::store) fn likely_tables(&self, likely: u32) -> Option<&Tables> {
        let record = self.records.likely_at(likely);
        (record[0] == TABLES).then(|| &self.tables[number_of(&record[1..])])
    }

    /// Makes room for so many keys.
    pub(in crate::store) fn reserve(&mut self, keys: usize) {
        self.records.reserve(keys, |key| place_of(hash_of(key)));
    }

    /// Says in `draft` what is to be done so that `element` lies at `path`, in place of what lies there.
    #[expect(clippy::needless_pass_by_value, reason = "what it borrows of the keys must end before they change")]
    pub(in crate::store) fn draft(&self, at: Option<At>, path: &Path<'_>, element: Element<'_>, draft: &mut Draft) {
        draft.note_deadlines(path.class, &element);
        // A text has no names: where all is text, there is one element.
        if path.class == Class::Text && at.is_none_or(|at| at.first == Class::Text as u8) {
            return Self::draft_alone(path, &element, draft);
        }
        let few = match at.map(|at| self.at(at)) {
            Some(Entry::Many(_)) => {
                draft.form = Some(Form::Element);
                draft.bytes.clear();
                return pack_one(path.class, &element, &mut draft.bytes);
            }
            Some(Entry::Few(_, packed)) => packed,
            None => Packed::new(&[]),
        };
        let mut recorder = Recorder::new(&mut draft.bytes);
        let mut placed = false;
        for (class, name, it) in few {
            let is_here = class == path.class && same(name, path.name);
            placed |= is_here;
            if is_here { recorder.push(class, name, &element) } else { recorder.push(class, name, &it) }
        }
        if !placed {
            recorder.push(path.class, path.name, &element);
        }
        let count = recorder.end();
        draft.form = Some(Form::Record);
        if !element.is_empty() && (count > FEW_MAX || draft.bytes.len() > FEW_BYTES_MAX) {
            draft.form = Some(Form::Grown);
            draft.bytes.clear();
            pack_one(path.class, &element, &mut draft.bytes);
        }
    }

    /// Says in `draft` what is to be done so that nothing but `element` lies under the key.
    pub(in crate::store) fn draft_alone(path: &Path<'_>, element: &Element<'_>, draft: &mut Draft) {
        draft.note_deadlines(path.class, element);
        let mut recorder = Recorder::new(&mut draft.bytes);
        recorder.push(path.class, path.name, element);
        recorder.end();
        draft.form = Some(Form::Record);
        if draft.bytes.len() > FEW_BYTES_MAX {
            draft.form = Some(Form::Alone);
            draft.bytes.clear();
            pack_one(path.class, element, &mut draft.bytes);
        }
    }

    /// Does what `draft` says about the key that is there, or is to be. What has a score is ordered by what it is beside
    /// these baselines.
    pub(in crate::store) fn commit(
        &mut self,
        at: Option<At>,
        path: &Path<'_>,
        baselines: &Baselines,
        draft: &mut Draft,
    ) {
        let (hash, key) = (path.key_hash, path.key);
        let place = (path.name_hash, path.name);
        let used = self.used();
        if !matches!(draft.form, Some(Form::Record)) {
            rank(path, &mut draft.bytes, baselines);
        }
        match draft.form.expect("a draft was made") {
            Form::Record => self.put_record(at, hash, key, &draft.bytes),
            Form::Grown => {
                let mut tables = Tables::default();
                let mut one = Vec::new();
                for (class, name, element) in at.into_iter().flat_map(|at| self.at(at).iter()) {
                    let path = Path::within(hash, key, class, &name);
                    one.clear();
                    pack_one(path.class, &element, &mut one);
                    rank(&path, &mut one, baselines);
                    tables.put(path.class, (path.name_hash, path.name), &one);
                }
                tables.put(path.class, place, &draft.bytes);
                self.put_tables(at, hash, key, tables);
            }
            Form::Alone => {
                let mut tables = Tables::default();
                tables.put(path.class, place, &draft.bytes);
                self.put_tables(at, hash, key, tables);
            }
            Form::Element => {
                let number =
                    at.and_then(|at| self.tables_at(at)).expect("a draft of an element is of a key with tables");
                let tables = &mut self.tables[number];
                let before = Traits::of(Entry::Many(tables));
                let tables_used = tables.used();
                tables.put(path.class, place, &draft.bytes);
                self.tables_used = self.tables_used + tables.used() - tables_used;
                let (after, is_empty) = (Traits::of(Entry::Many(tables)), tables.is_empty());
                self.count(key, before, after);
                if is_empty {
                    self.take_away(hash, key);
                }
            }
        }
        draft.note_used(used, self.used());
        let is_plain =
            matches!(draft.form, Some(Form::Record)) && draft.bytes.first().is_none_or(|it| *it < ATTRIBUTES);
        if !is_plain || !self.hidden.is_empty() {
            self.note_change(key, hash, draft);
        }
    }

    /// Lets `change` take cells away from, or change, the elements under a key. O(all of them).
    pub(in crate::store) fn alter(
        &mut self,
        key_hash: u64,
        key: &[u8],
        (baselines, draft): (&Baselines, &mut Draft),
        mut change: impl FnMut(&Path<'_>, &mut Element<'_>),
    ) {
        let Some((at, entry)) = self.find(key_hash, key) else { return };
        let used = self.used();
        let mut changed = |path: &Path<'_>, mut element| {
            change(path, &mut element);
            element
        };
        if let Entry::Few(_, packed) = entry {
            let mut recorder = Recorder::new(&mut draft.bytes);
            for (class, name, element) in packed {
                recorder.push(class, name, &changed(&Path::within(key_hash, key, class, name), element));
            }
            recorder.end();
            self.put_record(Some(at), key_hash, key, &draft.bytes);
        } else {
            let mut tables = Tables::default();
            for (class, name, element) in entry.iter() {
                let path = Path::within(key_hash, key, class, &name);
                let element = changed(&path, element);
                draft.bytes.clear();
                pack_one(class, &element, &mut draft.bytes);
                rank(&path, &mut draft.bytes, baselines);
                tables.put(class, (path.name_hash, &name), &draft.bytes);
            }
            self.put_tables(Some(at), key_hash, key, tables);
        }
        draft.note_used(used, self.used());
        draft.deadlines.clear();
        draft.field_deadline = None;
        self.note_change(key, key_hash, draft);
    }

    /// A baseline at `path` has changed, and with it the score of what is there: puts it where it is ordered now.
    pub(in crate::store) fn rank_again(&mut self, path: &Path<'_>, baselines: &Baselines, draft: &mut Draft) {
        if !path.class.is_scored() {
            return;
        }
        let (at, element) = self.look(path);
        if at.is_some_and(|at| at.first == TABLES) && !element.counts.is_empty() {
            self.draft(at, path, element, draft);
            self.commit(at, path, baselines, draft);
        }
    }

    /// Says anew who wrote to the stream at a key, after entries were given to another replica.
    pub(in crate::store) fn renew_origins(&mut self, key_hash: u64, key: &[u8]) {
        let Some((at, _)) = self.find(key_hash, key) else { return };
        if let Some(number) = self.tables_at(at) {
            self.tables[number].renew_origins();
        }
    }

    /// Whether who wrote to streams is known as far as their entries say, and every order of ranks has exactly the elements that are there, each where its cells say. O(all elements).
    pub(in crate::store) fn is_ordered(&self, baselines: &Baselines) -> bool {
        self.iter().all(|(key, entry)| {
            let are_known = |origins: &Origins| entry.of(Class::Stream).all(|(name, it)| origins.cover(&name, &it));
            if !entry.origins().is_none_or(are_known) {
                return false;
            }
            [Class::Sorted, Class::FieldDeadline, Class::FieldUntil].into_iter().all(|class| {
                let Some(order) = entry.ranks(class) else { return true };
                let rank = |name: &[u8], element: &Element<'_>| match class {
                    Class::Sorted => {
                        let path = Path::new(key, class, name);
                        Some(score::rank_of(score::of(&path, element, baselines)))
                    }
                    _ => lifetime::deadlines_of(class, element).min(),
                };
                let ranks = entry.of(class).filter_map(|(name, element)| Some(ranked(rank(&name, &element)?, &name)));
                let mut expected: Vec<_> = ranks.collect();
                expected.sort_unstable();
                order.range(0..usize::MAX).map(|(key, _)| key).eq(expected.iter().map(|key| &key[..]))
            })
        })
    }

    /// Removes a key with all that lies under it.
    pub(in crate::store) fn remove(&mut self, key_hash: u64, key: &[u8], draft: &mut Draft) {
        let used = self.used();
        self.take_away(key_hash, key);
        draft.note_used(used, self.used());
    }

    /// Removes all keys.
    pub(in crate::store) fn clear(&mut self, draft: &mut Draft) {
        draft.note_used(self.used(), 0);
        *self = Self::default();
    }

    fn take_away(&mut self, key_hash: u64, key: &[u8]) {
        let Some((at, entry)) = self.find(key_hash, key) else { return };
        let before = Traits::of(entry);
        if let Some(number) = self.tables_at(at) {
            self.take_tables(number);
        }
        self.count(key, before, Traits::default());
        self.records.remove(place_of(key_hash), key);
        if !self.hidden.is_empty() {
            self.hidden.remove(&prefix_of(key_hash));
        }
    }

    /// Bytes of memory taken. O(keys with tables).
    pub(in crate::store) fn memory(&self) -> usize {
        let tables = self.tables.iter().map(|(_, tables)| tables.memory());
        self.records.memory() + tables.sum::<usize>() + self.deadlines.memory()
    }

    /// Bytes that the keys take with all that lies under them, without the room that tables have to spare. O(1).
    #[inline]
    fn used(&self) -> usize {
        self.records.used() + self.tables_used
    }

    /// As [`used`](Self::used), counted anew. O(all elements).
    pub(in crate::store) fn count_used(&self) -> usize {
        self.records.count_used() + self.tables.iter().map(|(_, tables)| tables.count_used()).sum::<usize>()
    }

    fn take_tables(&mut self, number: usize) {
        self.tables_used -= self.tables.remove(number).used();
    }

    /// Bytes of memory that one key takes. O(tables).
    pub(in crate::store) fn memory_of(&self, at: At) -> usize {
        let tables = self.tables_at(at).map_or(0, |number| self.tables[number].memory());
        self.records.memory_of(at.found) + tables
    }

    fn entry<'a>(&'a self, record: &'a [u8]) -> Entry<'a> {
        entry_of(record, &self.tables)
    }

    fn tables_at(&self, at: At) -> Option<usize> {
        (at.first == TABLES).then(|| number_of(&self.records.at(at.found)[1..]))
    }

    fn put_record(&mut self, at: Option<At>, key_hash: u64, key: &[u8], record: &[u8]) {
        let Some(at) = at else {
            if !record.is_empty() {
                self.records.insert(place_of(key_hash), key, record, |key| place_of(hash_of(key)));
                self.count(key, Traits::default(), Traits::of(self.entry(record)));
            }
            return;
        };
        if record.is_empty() {
            return self.take_away(key_hash, key);
        }
        if at.first == record[0] && at.first < ATTRIBUTES {
            return self.records.replace(at.found, key, record); // it stays of one class: of the same kind
        }
        let (before, after) = (Traits::of(self.at(at)), Traits::of(self.entry(record)));
        if let Some(number) = self.tables_at(at) {
            self.take_tables(number);
        }
        self.records.replace(at.found, key, record);
        self.count(key, before, after);
    }

    fn put_tables(&mut self, at: Option<At>, key_hash: u64, key: &[u8], tables: Tables) {
        if tables.is_empty() {
            return self.take_away(key_hash, key);
        }
        self.tables_used += tables.used();
        if let Some(number) = at.and_then(|at| self.tables_at(at)) {
            let (before, after) = (Traits::of(Entry::Many(&self.tables[number])), Traits::of(Entry::Many(&tables)));
            self.tables_used -= std::mem::replace(&mut self.tables[number], tables).used();
            self.count(key, before, after);
        } else {
            let number = u32::try_from(self.tables.insert(tables)).expect("fewer keys than 32 bits tell apart");
            let mut record = [TABLES; 1 + size_of::<u32>()];
            record[1..].copy_from_slice(&number.to_le_bytes());
            self.put_record(at, key_hash, key, &record);
        }
    }

    /// Keeps count of a key that has become another kind.
    fn count(&mut self, key: &[u8], before: Traits, after: Traits) {
        if before == after {
            return;
        }
        if key.first() == Some(&database::MARK) {
            self.count_numbered(key, before, after);
        }
        self.clashes = self.clashes + usize::from(after.clashes) - usize::from(before.clashes);
        self.data = self.data + usize::from(after.data) - usize::from(before.data);
        self.volatile = self.volatile + usize::from(after.volatile) - usize::from(before.volatile);
        self.ending = self.ending + usize::from(after.ends) - usize::from(before.ends);
        match (before.holds_ballots, after.holds_ballots) {
            (false, true) => drop(self.ballots.insert(key.into())),
            (true, false) => drop(self.ballots.remove(key)),
            _ => {}
        }
    }

    #[cold]
    fn count_numbered(&mut self, key: &[u8], before: Traits, after: Traits) {
        let (number, _) = database::parts(key);
        if number == 0 {
            return;
        }
        let (data, ending) = self.numbered.entry(number).or_default();
        *data = *data + usize::from(after.data) - usize::from(before.data);
        *ending = *ending + usize::from(after.ends) - usize::from(before.ends);
        if (*data, *ending) == (0, 0) {
            self.numbered.remove(&number);
        }
    }
}

/// What is counted over all keys of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Traits {
    clashes: bool,
    holds_ballots: bool,
    data: bool,
    volatile: bool,
    ends: bool,
}

impl Traits {
    fn of(entry: Entry<'_>) -> Self {
        let (data, volatile) = (entry.has_data(), entry.has_attributes());
        // Attributes outlive what they said: PERSIST leaves one, too.
        let ends = data && volatile && Lifetime::of(entry, 0).ends();
        Self { clashes: entry.clashes(), holds_ballots: entry.holds_ballots(), data, volatile, ends }
    }
}

fn entry_of<'a>(record: &'a [u8], tables: &'a Slab<Tables>) -> Entry<'a> {
    match (record[0], &record[1..]) {
        (TABLES, number) => Entry::Many(&tables[number_of(number)]),
        (SEVERAL, packed) => Entry::Few(Mix { data: None, attributes: true }, Packed::new(packed)),
        (class, packed) => {
            let data = Class::from_code(class & !ATTRIBUTES);
            Entry::Few(Mix { data, attributes: class & ATTRIBUTES != 0 }, Packed::new(packed))
        }
    }
}

/// Appends to an element that was packed alone what its place in the order of scores is, if it has a score.
fn rank(path: &Path<'_>, packed: &mut Vec<u8>, baselines: &Baselines) {
    if path.class.is_scored() {
        append_rank(packed, |element| score::of(path, element, baselines));
    }
}

fn number_of(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize
}

/// Writes the record of a key of few elements.
struct Recorder<'b> {
    packer: Packer<'b>,
    /// The first byte, as far as data decides it.
    data: Option<u8>,
    attributes: bool,
    count: usize,
}

impl<'b> Recorder<'b> {
    fn new(bytes: &'b mut Vec<u8>) -> Self {
        bytes.clear();
        bytes.push(SEVERAL);
        Self { packer: Packer::new(bytes), data: None, attributes: false, count: 0 }
    }

    /// Appends an element, unless it is empty.
    fn push(&mut self, class: Class, name: &[u8], element: &Element<'_>) {
        if element.is_empty() {
            return;
        }
        self.packer.push(class, name, element);
        self.count += 1;
        if class.is_attribute() {
            self.attributes = true;
        } else {
            let code = class as u8;
            self.data = Some(self.data.filter(|known| *known != code).map_or(code, |_| SEVERAL));
        }
    }

    /// How many elements the record has; without any, there is no record.
    fn end(self) -> usize {
        let bytes = self.packer.end();
        match self.data {
            Some(SEVERAL) => {}
            Some(class) => bytes[0] = class | if self.attributes { ATTRIBUTES } else { 0 },
            None if self.attributes => {}
            None => bytes.clear(),
        }
        self.count
    }
}
