//! Consumer groups as they are read: who is in one, what is pending, and which entries nobody was handed yet.
//!
//! An entry is new to a group if an epoch of it wants it, and no epoch has come past it, where it is looked for by who wrote
//! it and by its slot (`cell/group.rs`). So an entry that arrives late is new, whatever its id.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use smallvec::SmallVec;

use cahoots_crdt::ReplicaId;

use super::ordered::Cells;
use super::stream::Stream;
use crate::store::cell::Element;
use crate::store::cell::group::{
    self, CONSUMER, CURSOR, Cursor, Delivery, END, Epoch, PENDING, Part, Reached, SHARE, slot_of,
};
use crate::store::cell::stream::StreamId;
use crate::store::memory::name::Name;
use crate::store::value::{PendingEntry, StreamGroup};

/// A consumer group of a stream.
pub struct Group<'s, 'a> {
    stream: &'s Stream<'a>,
    prefix: Vec<u8>,
    /// One, unless the group was made at several replicas at once.
    pub(in crate::store) epochs: SmallVec<[Epoch; 1]>,
}

/// A consumer of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// What it is called.
    pub name: Box<[u8]>,
    /// When it asked last, in milliseconds since 1970.
    pub seen: u64,
    /// When it got something last.
    pub active: Option<u64>,
}

/// A replica whose clients ask for the entries of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The replica.
    pub replica: ReplicaId,
    /// Since when, without a long pause, in milliseconds since 1970.
    pub since: u64,
    /// When one did so last.
    pub until: u64,
}

/// An entry that a group has not handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its id.
    pub id: StreamId,
    /// Who wrote it.
    pub origin: ReplicaId,
    /// Its part of the stream.
    pub slot: u8,
}

/// What becomes of an entry that was found to be new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is handed out now.
    Take,
    /// It stays.
    Leave,
    /// It stays, and so does all behind it.
    Stop,
}

/// Up to where nothing is new, as far as was seen: what need not be looked through again. The default knows nothing.
/// Holds at the store that it is from alone.
#[derive(Clone, Debug, Default)]
pub struct GroupProgress {
    epochs: SmallVec<[u64; 1]>,
    upto: BTreeMap<ReplicaId, StreamId>,
}

/// How far each part of the stream was handed out, in the order of replicas and slots.
type Cursors = Vec<((ReplicaId, u8), Cursor)>;

impl<'a> Stream<'a> {
    /// The names of its groups in their order. O(groups log n).
    #[must_use]
    pub fn groups(&self) -> Vec<Box<[u8]>> {
        let (mut names, mut rank) = (BTreeSet::new(), 0);
        while let Some((name, _)) = self.ordered.get(rank) {
            rank = match group::read_name(&name) {
                Some((found, part)) => {
                    if part == Part::Group {
                        names.insert(Box::from(found));
                    }
                    self.ordered.rank_from(&group::within(&group::prefix(found), END)).max(rank + 1)
                }
                None if name.is_empty() => rank + 1,
                None => break,
            };
        }
        names.into_iter().collect()
    }

    /// Whether anything lies there about groups.
    pub(in crate::store) fn has_groups(&self) -> bool {
        (0..2).filter_map(|rank| self.ordered.get(rank)).any(|(name, _)| group::read_name(&name).is_some())
    }

    /// The group of this name. O(log n).
    #[must_use]
    pub fn group<'s>(&'s self, name: &[u8]) -> Option<Group<'s, 'a>> {
        let prefix = group::prefix(name);
        let registers = self.view.element(&group::name_of(&prefix, Part::Group));
        let mut epochs: SmallVec<[Epoch; 1]> =
            registers.value.iter().filter_map(|(_, register)| Epoch::read(register.value)).collect();
        epochs.sort_unstable_by_key(|epoch| (epoch.id, epoch.start));
        epochs.dedup_by_key(|epoch| epoch.id);
        (!epochs.is_empty()).then_some(Group { stream: self, prefix, epochs })
    }

    /// The names of all that lies there of a group, also of one that is no more.
    pub(in crate::store) fn parts_of(&self, name: &[u8]) -> Vec<Vec<u8>> {
        let prefix = group::prefix(name);
        let ranks = self.ordered.rank_from(&prefix)..self.ordered.rank_from(&group::within(&prefix, END));
        self.ordered.range(ranks).map(|(name, _)| name.to_vec()).collect()
    }
}

impl<'s, 'a> Group<'s, 'a> {
    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &'s Stream<'a> {
        self.stream
    }

    fn ranks(&self, code: u8) -> Range<usize> {
        let from = |code| self.stream.ordered.rank_from(&group::within(&self.prefix, code));
        from(code)..from(code + 1)
    }

    fn cells(&self, code: u8) -> Cells<'_, 'a> {
        self.stream.ordered.cells(self.ranks(code), &self.stream.view)
    }

    /// Its consumers, in the order of their names.
    #[must_use]
    pub fn consumers(&self) -> Vec<Consumer> {
        let read = |(name, element): (Name<'a>, _)| {
            let Some((_, Part::Consumer(name))) = group::read_name(&name) else { return None };
            Some(consumer_of(name, times_of(&element)?))
        };
        self.cells(CONSUMER).filter_map(read).collect()
    }

    /// How many consumers it has. O(log n).
    #[must_use]
    pub fn consumers_len(&self) -> usize {
        self.ranks(CONSUMER).len()
    }

    /// The consumer of this name. O(log n).
    #[must_use]
    pub fn consumer(&self, name: &[u8]) -> Option<Consumer> {
        let element = self.stream.view.element(&group::name_of(&self.prefix, Part::Consumer(name)));
        times_of(&element).map(|times| consumer_of(name, times))
    }

    /// The replicas whose clients have asked for its entries.
    #[must_use]
    pub fn shares(&self) -> Vec<Share> {
        let read = |(name, element): (Name<'a>, Element<'a>)| {
            let Some((_, Part::Share(replica))) = group::read_name(&name) else { return None };
            let (since, until) = group::read_times(element.winner()?.1.value)?;
            Some(Share { replica, since, until: until.unwrap_or(since) })
        };
        self.cells(SHARE).filter_map(read).collect()
    }

    /// How many entries are pending. O(log n).
    #[must_use]
    pub fn pending_len(&self) -> usize {
        self.ranks(PENDING).len()
    }

    /// The entries from one id to another, both included, that were handed out and not acknowledged, from either end.
    pub fn pending(
        &self,
        first: StreamId,
        last: StreamId,
    ) -> impl DoubleEndedIterator<Item = (StreamId, Delivery<'a>)> + use<'_, 'a> {
        let ordered = &self.stream.ordered;
        let from = |id| ordered.rank_from(&group::name_of(&self.prefix, Part::Pending(id)));
        let end = last.above().map_or(self.ranks(PENDING).end, from);
        ordered.range(from(first).min(end)..end).filter_map(|(name, value)| {
            let Some((_, Part::Pending(id))) = group::read_name(&name) else { return None };
            Some((id, Delivery::read(value)?))
        })
    }

    /// To whom the entry of this id was handed out, if it is pending. O(log n).
    #[must_use]
    pub fn delivery(&self, id: StreamId) -> Option<Delivery<'a>> {
        let element = self.stream.view.element(&group::name_of(&self.prefix, Part::Pending(id)));
        Delivery::read(element.winner()?.1.value)
    }

    /// What lies at cursors, of epochs that are not over.
    pub(in crate::store) fn cursors(&self) -> Cursors {
        let mut cursors = Cursors::new();
        for (name, element) in self.cells(CURSOR) {
            let Some((_, Part::Cursor(replica, slot))) = group::read_name(&name) else { continue };
            let cursor = self.cursor_of(&element);
            if !cursor.is_empty() {
                cursors.push(((replica, slot), cursor));
            }
        }
        cursors
    }

    /// How far one part of the stream was handed out.
    pub(in crate::store) fn cursor(&self, origin: ReplicaId, slot: u8) -> Cursor {
        self.cursor_of(&self.stream.view.element(&group::name_of(&self.prefix, Part::Cursor(origin, slot))))
    }

    fn cursor_of(&self, element: &Element<'a>) -> Cursor {
        let mut cursor = Cursor::new();
        let registers = element.value.iter().filter_map(|(_, register)| group::read_cursor(register.value));
        registers.flatten().filter(|it| self.has_epoch(it.epoch)).for_each(|it| group::raise(&mut cursor, it));
        cursor
    }

    fn has_epoch(&self, id: u64) -> bool {
        self.epochs.iter().any(|epoch| epoch.id == id)
    }

    /// The highest id that was handed out, or up to which nothing is; and how many entries had been read then.
    pub(in crate::store) fn last(&self) -> Reached {
        let starts = self.epochs.iter().map(|it| Reached { epoch: it.id, id: it.start, read: it.read });
        let reached = self.cursors().into_iter().flat_map(|(_, cursor)| cursor);
        starts.chain(reached).max_by_key(|it| (it.id, it.read)).expect("a group has an epoch")
    }

    /// The highest id that was handed out, or up to which nothing is. O(replicas).
    #[must_use]
    pub fn last_delivered(&self) -> StreamId {
        self.last().id
    }

    /// Whether several replicas have written entries or hand them out, so that they need not be handed out in the order of
    /// their ids.
    pub(in crate::store) fn is_shared(&self) -> bool {
        self.ranks(SHARE).len() > 1 || self.stream.writers().len() > 1
    }

    /// How many entries of the stream the group has read, and how many it has not, as far as that is known. At one replica it
    /// is what Redis would say, which is told what it has read and may believe too much; where several write or hand out, the
    /// entries are counted: O(n).
    #[must_use]
    pub fn counts(&self) -> (Option<u64>, Option<i64>) {
        let added = self.stream.added();
        if self.is_shared() {
            let mut lag = 0_u64;
            self.unread(&mut GroupProgress::default(), |_| {
                lag += 1;
                Verdict::Leave
            });
            return (Some(added.saturating_sub(lag)), Some(lag.cast_signed()));
        }
        let Reached { id, read, .. } = self.last();
        let known = read.filter(|_| !self.stream.has_gone_from(id)).or_else(|| self.stream.read_upto(id));
        let lag = if added == 0 { Some(0) } else { known.map(|read| added.wrapping_sub(read).cast_signed()) };
        (read, lag)
    }

    /// Looks through the entries that are new, in the order of their ids, and notes in `progress` what need not be looked
    /// through again. O(replicas) if there is nothing behind that, and else O(log n), and O(1) for each entry from the first
    /// new one on.
    ///
    /// Of entries of one origin and slot those that are left have to be behind all that are taken.
    pub fn unread(&self, progress: &mut GroupProgress, mut judge: impl FnMut(Unread) -> Verdict) {
        let epochs: SmallVec<[u64; 1]> = self.epochs.iter().map(|epoch| epoch.id).collect();
        if progress.epochs != epochs {
            *progress = GroupProgress { epochs, upto: BTreeMap::new() };
        }
        let writers = self.stream.writers();
        let start_of = |origin| self.epochs.iter().map(|epoch| epoch.start_of(origin)).min().unwrap_or_default();
        let behind = writers.iter().filter_map(|(origin, last)| {
            let from = progress.upto.get(origin).copied().unwrap_or_else(|| start_of(*origin));
            (from < *last).then_some((from, *last))
        });
        let behind = merged(behind.collect());
        if behind.is_empty() {
            return;
        }
        let (cursors, mut left) = (self.cursors(), BTreeMap::new());
        let mut stopped = None;
        'all: for (above, last) in behind {
            for (id, origin) in self.stream.written(above.above().unwrap_or(above), last) {
                let slot = slot_of(id);
                if progress.upto.get(&origin).is_some_and(|upto| id <= *upto) || !self.wants(&cursors, id, origin, slot)
                {
                    continue;
                }
                // What is taken may yet be refused, so it is looked at again.
                left.entry(origin).or_insert(id);
                if judge(Unread { id, origin, slot }) == Verdict::Stop {
                    stopped = Some(id);
                    break 'all;
                }
            }
        }
        for (origin, last) in writers {
            let first = left.get(&origin).copied().into_iter().chain(stopped).min();
            let upto = first.map_or(last, |first| first.below().unwrap_or_default().min(last));
            let known = progress.upto.entry(origin).or_insert_with(|| start_of(origin));
            *known = upto.max(*known);
        }
    }

    /// All that is known of it, copied, for another stream of the same entries. There one replica has written all of them, so
    /// what was handed out above an entry that was not is handed out once more.
    pub(super) fn whole(&self, name: Box<[u8]>) -> StreamGroup {
        let mut first = None;
        self.unread(&mut GroupProgress::default(), |entry| {
            first = Some(entry.id);
            Verdict::Stop
        });
        let (reached, below) = (self.last_delivered(), first.and_then(StreamId::below));
        let pending = self.pending(StreamId::MIN, StreamId::MAX).map(|(id, it)| PendingEntry {
            id,
            consumer: it.consumer.into(),
            at: it.at,
            count: it.count,
        });
        StreamGroup {
            name,
            last: below.map_or(reached, |below| reached.min(below)),
            read: self.counts().0,
            consumers: self.consumers(),
            pending: pending.collect(),
        }
    }

    fn wants(&self, cursors: &Cursors, id: StreamId, origin: ReplicaId, slot: u8) -> bool {
        let cursor = cursors.binary_search_by_key(&(origin, slot), |(place, _)| *place);
        let cursor = cursor.map_or(&[][..], |at| &cursors[at].1);
        let mut is_wanted = false;
        for epoch in self.epochs.iter().filter(|epoch| epoch.start_of(origin) < id) {
            is_wanted = true;
            if cursor.iter().any(|reached| reached.epoch == epoch.id && reached.id >= id) {
                return false;
            }
        }
        is_wanted
    }
}

/// Ranges of ids, each above its first id, put together where they meet.
fn merged(mut ranges: Vec<(StreamId, StreamId)>) -> Vec<(StreamId, StreamId)> {
    ranges.sort_unstable();
    let mut merged: Vec<(StreamId, StreamId)> = Vec::new();
    for (above, last) in ranges {
        match merged.last_mut() {
            Some(before) if above <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((above, last)),
        }
    }
    merged
}

/// The latest of the times that were written at once.
fn times_of(element: &Element<'_>) -> Option<(u64, Option<u64>)> {
    let times = element.value.iter().filter_map(|(_, register)| group::read_times(register.value));
    times.reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))
}

fn consumer_of(name: &[u8], (seen, active): (u64, Option<u64>)) -> Consumer {
    Consumer { name: name.into(), seen, active }
}
