//! Walking over an order, from either end of a range of ranks.

use std::ops::Range;

use smallvec::SmallVec;

use super::leaf::Leaf;
use super::{Branch, Node};

/// Entries in their order, from either end.
pub(in crate::store) struct Walk<'a, L: Leaf> {
    root: &'a Node<L>,
    ranks: Range<usize>,
    front: Option<Cursor<'a, L>>,
    back: Option<Cursor<'a, L>>,
}

impl<'a, L: Leaf> Walk<'a, L> {
    pub(super) fn new(root: &'a Node<L>, ranks: Range<usize>) -> Self {
        let end = ranks.end.min(root.len());
        Self { root, ranks: ranks.start.min(end)..end, front: None, back: None }
    }
}

impl<'a, L: Leaf> Iterator for Walk<'a, L> {
    type Item = (L::Key<'a>, L::Content<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let rank = self.ranks.next()?;
        Some(self.front.get_or_insert_with(|| Cursor::seek(self.root, rank)).next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ranks.size_hint()
    }
}

impl<L: Leaf> DoubleEndedIterator for Walk<'_, L> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let rank = self.ranks.next_back()?;
        Some(self.back.get_or_insert_with(|| Cursor::seek(self.root, rank + 1)).previous())
    }
}

impl<L: Leaf> ExactSizeIterator for Walk<'_, L> {}

/// A place between two entries. There are entries in every direction that it is asked to move in.
struct Cursor<'a, L: Leaf> {
    /// The branches above the leaf, and which of their children is above it.
    above: SmallVec<[(&'a Branch<L>, usize); 6]>,
    entries: Vec<(L::Key<'a>, L::Content<'a>)>,
    /// The entry behind it.
    at: usize,
}

impl<'a, L: Leaf> Cursor<'a, L> {
    /// Behind so many entries.
    fn seek(root: &'a Node<L>, rank: usize) -> Self {
        let mut cursor = Self { above: SmallVec::new(), entries: Vec::new(), at: 0 };
        let (mut node, mut rest) = (root, rank);
        while let Node::Branch(branch) = node {
            let mut child = 0;
            while child + 1 < branch.children.len() && rest >= branch.children[child].node.len() {
                rest -= branch.children[child].node.len();
                child += 1;
            }
            cursor.above.push((branch, child));
            node = &branch.children[child].node;
        }
        if let Node::Leaf(leaf) = node {
            cursor.enter(leaf);
            cursor.at = rest;
        }
        cursor
    }

    fn enter(&mut self, leaf: &'a L) {
        self.entries.clear();
        self.entries.extend(leaf.entries());
    }

    fn next(&mut self) -> (L::Key<'a>, L::Content<'a>) {
        if self.at == self.entries.len() {
            self.turn(|branch, child| Some(child + 1).filter(|next| *next < branch.children.len()), |_| 0);
            self.at = 0;
        }
        self.at += 1;
        self.entries[self.at - 1].clone()
    }

    fn previous(&mut self) -> (L::Key<'a>, L::Content<'a>) {
        if self.at == 0 {
            self.turn(|_, child| child.checked_sub(1), |branch| branch.children.len() - 1);
            self.at = self.entries.len();
        }
        self.at -= 1;
        self.entries[self.at].clone()
    }

    /// Goes to a neighbouring leaf: up until `step` says which child is next, and down by the children that `edge` says.
    fn turn(&mut self, step: impl Fn(&Branch<L>, usize) -> Option<usize>, edge: impl Fn(&Branch<L>) -> usize) {
        let (branch, child) = loop {
            let (branch, child) = self.above.pop().expect("there are more entries");
            if let Some(next) = step(branch, child) {
                break (branch, next);
            }
        };
        self.above.push((branch, child));
        let mut node = &branch.children[child].node;
        while let Node::Branch(branch) = node {
            let child = edge(branch);
            self.above.push((branch, child));
            node = &branch.children[child].node;
        }
        if let Node::Leaf(leaf) = node {
            self.enter(leaf);
        }
    }
}
