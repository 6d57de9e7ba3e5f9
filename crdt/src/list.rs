//! The list: an observed-remove map from positions to registers.
//!
//! An element is a [`Position`] and the writes that are live there; of concurrent writes the highest stamp is shown, as
//! in [`LwwRegister`](crate::LwwRegister). Removing an element supersedes the writes seen there, and nothing is left:
//! no tombstones. What is put beside a removed element needs none, because a position carries its order in itself.
//!
//! # Decision: which positions
//!
//! *Choice.* Paths of (side, clock, replica, offset), see [`Position`]. What is pushed hangs directly below the end, or
//! the start; what is put between two neighbours hangs below the one with the shorter path.
//!
//! *Rejected.* Counting up from the last element (ambiguous once the list was empty: a late write to an element hides a
//! new one in its place). Fractions (the same). Fugue's rule, which always hangs a node below what its author saw
//! beside it: it never mixes two runs typed at one place, and a thousand elements pushed in a row then have positions
//! of 18 kB without tombstones to hang them from; under this rule 19 bytes. Rewriting positions: doubles elements.
//!
//! *Price.* Two replicas that put one element after another at the same place, concurrently, may find their elements
//! mixed, in the order of time; those of one call never are. And each element costs its position, so for text, where
//! an element is a letter, take a library made for text.
//!
//! # Decision: the table
//!
//! *Choice.* A counted B+ tree keyed by position: index to element and element to index in O(log n). *Rejected.* A
//! `BTreeMap`, which would make every access by index O(n).

use core::fmt;
use core::ops::{Bound, Range, RangeBounds};

use crate::ranked::Ranked;
use crate::{CausalContext, Dot, DotFun, DotStore, Hlc, Mutation, Position, Reset, StaleStamp, VersionVector};

/// What is written at one position.
pub(crate) type Writes<T> = DotFun<(Hlc, T)>;

/// A list that several replicas insert into, remove from and write to at the same time.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `push_back(x)` | `push_back(y)` | both, in the order of their stamps |
/// | `insert(1, x)` | `insert(1, y)` | both, next to each other |
/// | `insert_all(1, [w, x])` | `insert_all(1, [y, z])` | w x y z or y z w x, never mixed |
/// | `set(1, x)` | `set(1, y)` | that of the higher stamp |
/// | `set(1, x)` | `remove(1)` | x, in its place |
/// | `remove(1)` | `remove(1)` | one element less |
/// | `insert(2, x)` | `remove(1)` | x where it was put |
/// | `move_to(1, 5)` | `move_to(1, 9)` | the element twice |
/// | `push_back(x)` | [`clear`](crate::Causal::clear) | x alone |
///
/// All replicas show the elements in one order, which also holds for what was removed meanwhile: the *strong list
/// specification*. Single elements that two replicas put at one place one by one may mix; what one call puts there
/// stays together.
///
/// Access by index, `insert`, `set` and `remove` cost O(log n), iterating O(1) an element, merging a delta of k
/// elements O(k log n), merging a state O(n + m). An element costs its position beside its value: 19 bytes however long
/// both ends are used, 18 more for each level of insertions between others; at 1 KiB ([`Position::BYTES_MAX`]) an
/// insertion is refused, which takes 56 levels. Inserting again and again before or after a fixed element, or after the
/// last inserted, stays at two levels.
///
/// Every change that writes takes a stamp, which must exceed all stamps seen here; one stamp names one change of a
/// replica. So let your clock [`observe`](crate::HybridClock::observe) the [`latest_stamp`](Self::latest_stamp) of what
/// you merge, before you merge it if you want to refuse one that is far ahead, and keep it over restarts.
///
/// Source: the tree read in order is that of Preguiça, Marquès, Shapiro, Leția, *A Commutative Replicated Data Type for
/// Cooperative Editing* (ICDCS 2009), with clocks for the order of siblings and another choice of parents, so that no
/// node is kept for what was removed; that of parents is discussed in Weidner, Kleppmann, *The Art of the Fugue* (2023).
/// Strong list specification: Attiya et al., *Specification and Complexity of Collaborative Text Editing* (PODC 2016).
///
/// ```
/// use cahoots_crdt::{Causal, HybridClock, Lattice, List, ReplicaId};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut clock = HybridClock::new(60_000);
/// let wall_millis = 1_763_000_000_000; // your clock; this crate reads none
/// let mut left: Causal<List<&str>> = Causal::new();
/// let _sent = left.push_back_all(a, clock.tick(wall_millis)?, ["eggs", "milk"])?;
/// let mut right = left.clone();
///
/// let between = left.insert(a, clock.tick(wall_millis)?, 1, "flour")?;
/// let gone = right.remove(b, 0)?;
/// left.merge(gone);
/// right.merge(between);
/// assert!(left.iter().eq(&["flour", "milk"]) && left == right);
/// assert_eq!(left.get(1), Some(&"milk"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "a delta has to reach the other replicas"]
pub struct List<T> {
    pub(crate) entries: Ranked<Position, Writes<T>>,
    /// The highest stamp this copy has seen, of removed elements too as far as it was there. Not part of the value.
    pub(crate) latest: Hlc,
}

/// Why a [`List`] refuses. Nothing was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// There is no such element.
    #[error("index {index} of a list of {len}")]
    OutOfRange {
        /// What was asked for.
        index: usize,
        /// How many elements there are.
        len: usize,
    },
    /// The stamp does not exceed all that this list has seen.
    #[error(transparent)]
    Stale(#[from] StaleStamp),
    /// Too many elements were put between others at this place. Take a stretch around it out and put it in again by
    /// [`List::insert_all`]: its positions are short then.
    #[error("a position of {bytes} bytes, at most {max} are possible; elements here are nested too deeply")]
    TooDeep {
        /// How long the position would be.
        bytes: usize,
        /// How long it may be: [`Position::BYTES_MAX`].
        max: usize,
    },
    /// More than 2³² elements in one change.
    #[error("more than 2^32 elements in one change")]
    TooMany,
}

impl<T> List<T> {
    pub(crate) fn of(entries: Ranked<Position, Writes<T>>) -> Self {
        let stamps = entries.iter().flat_map(|(_, writes)| writes.iter().map(|(_, (stamp, _))| *stamp));
        let latest = stamps.max().unwrap_or_default();
        Self { entries, latest }
    }

    /// How many elements there are. O(1); O(n) for a delta.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.entries.is_listing() { self.iter().count() } else { self.entries.len() }
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`. O(log n).
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.entry(index).and_then(|(_, writes)| winner(writes))
    }

    /// The first element.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.get(0)
    }

    /// The last element.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.len().checked_sub(1).and_then(|index| self.get(index))
    }

    /// The elements in order, from either end.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + '_ {
        self.entries.iter().filter_map(|(_, writes)| winner(writes))
    }

    /// The elements at these indices; what lies beyond the end is left out. O(log n + elements).
    pub fn range(&self, indices: impl RangeBounds<usize>) -> impl DoubleEndedIterator<Item = &T> + '_ {
        self.entries.range(within(&indices, self.entries.len())).filter_map(|(_, writes)| winner(writes))
    }

    /// The name of the place of the element at `index`. O(log n).
    #[must_use]
    pub fn position(&self, index: usize) -> Option<&Position> {
        self.entry(index).map(|(position, _)| position)
    }

    /// The index of the element at `position`; of one that was removed, `Err` and the index of what followed it.
    /// O(log n).
    ///
    /// # Errors
    /// When no element is there.
    pub fn index_of(&self, position: &Position) -> Result<usize, usize> {
        self.entries.search(position)
    }

    /// The highest stamp seen here.
    #[must_use]
    pub fn latest_stamp(&self) -> Hlc {
        self.latest
    }

    fn entry(&self, index: usize) -> Option<(&Position, &Writes<T>)> {
        if self.entries.is_listing() {
            // Only a delta lists elements that are not in.
            return self.entries.iter().filter(|(_, writes)| !writes.is_empty()).nth(index);
        }
        self.entries.nth(index)
    }
}

impl<T: Clone> DotStore for List<T> {
    fn nothing() -> Self {
        Self::of(DotStore::nothing())
    }

    fn is_bottom(&self) -> bool {
        self.entries.is_bottom()
    }

    fn has_dots(&self) -> bool {
        self.entries.has_dots()
    }

    fn is_live(&self) -> bool {
        self.entries.is_live()
    }

    fn join(&mut self, my_context: &CausalContext, theirs: Self, their_context: &CausalContext) {
        self.latest = self.latest.max(theirs.latest);
        self.entries.join(my_context, theirs.entries, their_context);
    }

    fn forget(&mut self, context: &CausalContext) {
        self.entries.forget(context);
    }

    fn make_whole(&mut self) {
        self.entries.make_whole();
    }

    fn for_each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.entries.for_each_dot(visit);
    }

    fn since(&self, seen: &VersionVector) -> Self {
        Self::of(self.entries.since(seen))
    }

    fn atoms(self, emit: &mut dyn FnMut(Self)) {
        self.entries.atoms(&mut |entries| emit(Self::of(entries)));
    }

    fn strip(&mut self) {
        self.entries.strip();
    }
}

impl<T: Clone> Reset for List<T> {
    fn reset(&mut self, mutation: &mut Mutation<'_>, _event: Dot) -> Self {
        for (_, writes) in self.entries.iter() {
            mutation.supersede_all(writes);
        }
        self.entries = Ranked::default();
        Self::default()
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { entries: Ranked::default(), latest: Hlc::default() }
    }
}

impl<T: Clone + PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<T: Clone + Eq> Eq for List<T> {}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The winning value; of equal stamps that of the higher replica.
pub(crate) fn winner<T>(writes: &Writes<T>) -> Option<&T> {
    // Cells are sorted by replica; of equal maxima `max_by` takes the last.
    writes.iter().map(|(_, write)| write).max_by_key(|write| write.0).map(|(_, value)| value)
}

pub(crate) fn within(indices: &impl RangeBounds<usize>, len: usize) -> Range<usize> {
    let start = match indices.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match indices.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => len,
    };
    let end = end.min(len);
    start.min(end)..end
}
