//! How a log merges: cell by cell, by the dots its contexts name.

use alloc::vec::Vec;
use core::fmt;

use crate::tree::Tree;
use crate::{AppendLog, CausalContext, Dot, DotStore, Hlc, Mutation, Observed, Reset, VersionVector};

/// From so small a part of the log on, entries are taken out one by one.
const ONE_BY_ONE: usize = 8;

impl<T: Clone> DotStore for AppendLog<T> {
    fn is_bottom(&self) -> bool {
        self.is_empty()
    }

    fn has_dots(&self) -> bool {
        !self.is_empty()
    }

    fn is_live(&self) -> bool {
        !self.is_empty()
    }

    /// ```text
    /// (m ∩ m') ∪ {d ∈ m | d ∉ c'} ∪ {d ∈ m' | d ∉ c}
    /// ```
    fn join(&mut self, my_context: &CausalContext, theirs: Self, their_context: &CausalContext) {
        self.latest = self.latest.max(theirs.latest);
        // A delta knows of few of my entries: those in the runs of its context.
        let covered: usize = their_context.runs().map(|run| self.ranks(run).len()).sum();
        if covered <= self.len() / ONE_BY_ONE + 1 {
            let known = their_context.runs().flat_map(|run| self.entries.range(self.ranks(run)));
            let gone: Vec<Dot> = known.map(|(dot, _)| *dot).filter(|dot| theirs.entries.search(dot).is_err()).collect();
            for dot in gone {
                self.entries.remove(&dot);
            }
        } else {
            let mut there = theirs.entries.iter().map(|(dot, _)| *dot).peekable();
            self.retain(|dot| {
                while there.next_if(|other| *other < dot).is_some() {}
                !their_context.covers(dot) || there.peek() == Some(&dot)
            });
        }
        let theirs = theirs.entries.into_vec();
        let mut new: Vec<_> = theirs.into_iter().filter(|(dot, _)| !my_context.covers(*dot)).collect();
        if new.len() <= self.len() / ONE_BY_ONE + 1 {
            for (dot, entry) in new {
                self.entries.insert(dot, entry);
            }
        } else {
            let mut entries = core::mem::take(&mut self.entries).into_vec();
            entries.append(&mut new);
            // Two sorted runs, which sorting joins in one pass. A dot that is live here is not new.
            entries.sort_by_key(|(dot, _)| *dot);
            entries.dedup_by_key(|(dot, _)| *dot);
            self.entries = Tree::from_sorted(entries);
        }
    }

    fn forget(&mut self, context: &CausalContext) {
        self.retain(|dot| !context.covers(dot));
    }

    fn make_whole(&mut self) {}

    fn for_each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        for (dot, _) in self.entries.iter() {
            visit(*dot);
        }
    }

    fn since(&self, seen: &VersionVector) -> Self {
        let lacking = self.entries.iter().filter(|(dot, _)| !seen.covers(**dot));
        Self::of(Tree::from_sorted(lacking.map(|(dot, entry)| (*dot, entry.clone())).collect()))
    }

    fn atoms(self, emit: &mut dyn FnMut(Self)) {
        for entry in self.entries.into_vec() {
            emit(Self::of(Tree::from_sorted(alloc::vec![entry])));
        }
    }

    fn strip(&mut self) {
        self.entries = Tree::new();
    }
}

impl<T: Clone> Reset for AppendLog<T> {
    fn reset(&mut self, mutation: &mut Mutation<'_>, _event: Dot) -> Self {
        self.for_each_dot(&mut |dot| mutation.supersede(dot));
        self.entries = Tree::new();
        Self::default()
    }
}

impl<T> Default for AppendLog<T> {
    fn default() -> Self {
        Self { entries: Tree::new(), latest: Hlc::default() }
    }
}

impl<T: PartialEq> PartialEq for AppendLog<T> {
    fn eq(&self, other: &Self) -> bool {
        self.entries.iter().eq(other.entries.iter())
    }
}

impl<T: Eq> Eq for AppendLog<T> {}

impl<T: fmt::Debug> fmt::Debug for AppendLog<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
