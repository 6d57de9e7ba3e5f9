//! Sorted sets: members in the order of their scores, those of one score in the order of their bytes.
//!
//! Many members are found by the order that is kept beside their cells; few, or such that have partly expired, are sorted
//! when they are asked for.

use std::iter::Rev;
use std::ops::{Bound, Range};

use super::view::View;
use crate::store::cell::score;
use crate::store::kind::Class;
use crate::store::memory::name::Name;
use crate::store::memory::order::{Order, Plain, Walk};
use crate::store::memory::table::{ranked, ranked_parts};

/// The members of a sorted set, by rank: a member's place among all, counted from 0 at the lowest score.
pub struct Sorted<'a> {
    view: View<'a>,
    members: Members<'a>,
}

enum Members<'a> {
    /// Ranks as by [`score::rank_of`], sorted.
    Listed(Vec<(u64, &'a [u8])>),
    Ordered(&'a Order<Plain>),
}

impl<'a> View<'a> {
    /// The score of a member of a sorted set. O(1).
    #[must_use]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        if self.class() != Class::Sorted {
            return None;
        }
        let element = self.element(member);
        (!element.is_empty()).then(|| self.score_of(member, &element))
    }

    /// The members of a sorted set in their order; none of other types. O(1), but O(members) of few, and where a deadline
    /// has passed.
    #[must_use]
    pub fn sorted(&self) -> Sorted<'a> {
        let members = match self.ranks() {
            Some(order) => Members::Ordered(order),
            None if self.class() != Class::Sorted => Members::Listed(Vec::new()),
            None => {
                let rank = |(name, element): (Name<'a>, _)| {
                    let name = name.as_kept()?;
                    Some((score::rank_of(self.score_of(name, &element)), name))
                };
                let mut members: Vec<_> = self.elements().filter_map(rank).collect();
                members.sort_unstable();
                Members::Listed(members)
            }
        };
        Sorted { view: *self, members }
    }
}

impl<'a> Sorted<'a> {
    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.members {
            Members::Listed(members) => members.len(),
            Members::Ordered(order) => order.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rank of a member. O(log n).
    #[must_use]
    pub fn rank_of(&self, member: &[u8]) -> Option<usize> {
        let score = self.view.score(member)?;
        Some(self.rank_from(score::rank_of(score), member))
    }

    /// The ranks of the members whose scores are within these bounds. O(log n).
    #[must_use]
    pub fn by_score(&self, min: Bound<f64>, max: Bound<f64>) -> Range<usize> {
        let start = match min {
            Bound::Unbounded => 0,
            Bound::Included(score) => self.rank_from(score::rank_of(score), b""),
            Bound::Excluded(score) => self.rank_from(score::rank_of(score) + 1, b""),
        };
        let end = match max {
            Bound::Unbounded => self.len(),
            Bound::Included(score) => self.rank_from(score::rank_of(score) + 1, b""),
            Bound::Excluded(score) => self.rank_from(score::rank_of(score), b""),
        };
        start..end.max(start)
    }

    /// The ranks of the members within these bounds, where all have one score: what it is otherwise, nothing promises (the
    /// first members that are within, as many as there are in a row). O(log n), otherwise O(n).
    #[must_use]
    pub fn by_name(&self, min: Bound<&[u8]>, max: Bound<&[u8]>) -> Range<usize> {
        let mut ends = self.ranks(0..self.len());
        let (Some((first, _)), last) = (ends.next(), ends.next_back()) else { return 0..0 };
        if last.is_some_and(|(last, _)| last != first) {
            return self.in_a_row(min, max);
        }
        // No name lies between another one and that with a zero behind it.
        let after = |name: &[u8]| self.rank_from(first, &[name, &[0]].concat());
        let start = match min {
            Bound::Unbounded => 0,
            Bound::Included(name) => self.rank_from(first, name),
            Bound::Excluded(name) => after(name),
        };
        let end = match max {
            Bound::Unbounded => self.len(),
            Bound::Included(name) => after(name),
            Bound::Excluded(name) => self.rank_from(first, name),
        };
        start..end.max(start)
    }

    fn in_a_row(&self, min: Bound<&[u8]>, max: Bound<&[u8]>) -> Range<usize> {
        let mut all = self.ranks(0..self.len());
        let is_from = |name: &[u8]| match min {
            Bound::Unbounded => true,
            Bound::Included(min) => name >= min,
            Bound::Excluded(min) => name > min,
        };
        let is_to = |name: &[u8]| match max {
            Bound::Unbounded => true,
            Bound::Included(max) => name <= max,
            Bound::Excluded(max) => name < max,
        };
        let Some(start) = all.position(|(_, name)| is_from(name)) else { return 0..0 };
        let row = self.ranks(start..self.len()).take_while(|(_, name)| is_to(name)).count();
        start..start + row
    }

    /// The members of these ranks with their scores, from either end. O(log n), and then O(1) for each.
    pub fn range(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = (&'a [u8], f64)> + use<'_, 'a> {
        self.ranks(ranks).map(|(rank, member)| (member, score::of_rank(rank)))
    }

    /// As [`Sorted::range`], from the highest rank down if `reverse`.
    pub fn walk(&self, ranks: Range<usize>, reverse: bool) -> impl Iterator<Item = (&'a [u8], f64)> + use<'_, 'a> {
        let (up, down) =
            if reverse { (None, Some(self.range(ranks).rev())) } else { (Some(self.range(ranks)), None::<Rev<_>>) };
        up.into_iter().flatten().chain(down.into_iter().flatten())
    }

    fn ranks(&self, ranks: Range<usize>) -> Ranks<'_, 'a> {
        match &self.members {
            Members::Listed(members) => {
                let end = ranks.end.min(members.len());
                Ranks::Listed(members[ranks.start.min(end)..end].iter())
            }
            Members::Ordered(order) => Ranks::Ordered(Box::new(order.range(ranks))),
        }
    }

    /// How many members are before one of this score and name, which need not be there.
    fn rank_from(&self, rank: u64, name: &[u8]) -> usize {
        match &self.members {
            Members::Listed(members) => members.partition_point(|it| *it < (rank, name)),
            Members::Ordered(order) => order.rank_from(&ranked(rank, name)),
        }
    }
}

enum Ranks<'s, 'a> {
    Listed(std::slice::Iter<'s, (u64, &'a [u8])>),
    Ordered(Box<Walk<'a, Plain>>),
}

impl<'a> Iterator for Ranks<'_, 'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Listed(members) => members.next().copied(),
            Self::Ordered(walk) => walk.next().map(|(key, _)| ranked_parts(key)),
        }
    }
}

impl DoubleEndedIterator for Ranks<'_, '_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Listed(members) => members.next_back().copied(),
            Self::Ordered(walk) => walk.next_back().map(|(key, _)| ranked_parts(key)),
        }
    }
}
