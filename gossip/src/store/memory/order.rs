//! Keys in their order, each with a content, to be found by key and by rank: a counted B+tree.
//!
//! The entries lie packed, one after the other, in leaves of about a kilobyte, and every branch knows how many entries are
//! under each of its children. So a key, its rank and the key at a rank are found in O(log n), and what is kept beside the
//! entries themselves is a few bytes for each.
//!
//! What is appended at either end fills leaves whole; what comes in no order leaves them two thirds full. Leaves that have
//! become small are merged with a neighbour.
//!
//! An order is derived from cells and never replicated: nothing depends on its shape.
//!
//! Source: Bayer, McCreight, *Organization and Maintenance of Large Ordered Indexes* (1972); counts in the branches as in
//! Knuth, *The Art of Computer Programming*, volume 3, 6.2.3.

mod coded;
mod leaf;
mod plain;
mod separator;
mod walk;

use std::ops::Range;

pub(in crate::store) use coded::Coded;
pub(in crate::store) use leaf::Leaf;
use leaf::{Edge, LEAF_BYTES_MAX, LEAF_BYTES_MIN};
pub(in crate::store) use plain::Plain;
use separator::{Separator, Wanted};
pub(in crate::store) use walk::Walk;

/// Children of a branch at most. One that has become smaller than a quarter of it is merged with a neighbour.
const CHILDREN_MAX: usize = 64;
const CHILDREN_MIN: usize = CHILDREN_MAX / 4;
/// Room for children is made so many at a time.
const CHILDREN_GROWTH: usize = 8;

/// Keys in the order of their bytes, each with a content.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Order<L> {
    root: Node<L>,
    /// Bytes of the entries in all leaves.
    bytes: usize,
}

#[derive(Clone, Debug)]
enum Node<L> {
    Leaf(L),
    Branch(Branch<L>),
}

/// Nodes whose keys follow each other. Has one child at least, and none that is empty.
#[derive(Clone, Debug)]
struct Branch<L> {
    children: Vec<Child<L>>,
    /// Entries under all of them.
    len: usize,
}

#[derive(Clone, Debug)]
struct Child<L> {
    /// No key here is less, and all keys of the child before are. Of a first child it says nothing.
    from: Separator,
    node: Node<L>,
}

impl<L: Default> Default for Node<L> {
    fn default() -> Self {
        Self::Leaf(L::default())
    }
}

impl<L: Leaf> Order<L> {
    /// How many keys there are. O(1).
    pub(in crate::store) fn len(&self) -> usize {
        self.root.len()
    }

    /// The content of `key`. O(log n).
    pub(in crate::store) fn get(&self, key: &[u8]) -> Option<L::Content<'_>> {
        let (mut node, wanted) = (&self.root, Wanted::new(key));
        loop {
            match node {
                Node::Leaf(leaf) => return leaf.get(key),
                Node::Branch(branch) => node = &branch.children[branch.child_of(wanted)].node,
            }
        }
    }

    /// How many keys are less than `key`, which need not be there. O(log n).
    pub(in crate::store) fn rank_from(&self, key: &[u8]) -> usize {
        let (mut node, mut before, wanted) = (&self.root, 0, Wanted::new(key));
        loop {
            match node {
                Node::Leaf(leaf) => return before + leaf.rank_from(key),
                Node::Branch(branch) => {
                    let at = branch.child_of(wanted);
                    before += branch.before(at);
                    node = &branch.children[at].node;
                }
            }
        }
    }

    /// The entries of these ranks, from either end. O(log n), and then O(1) for each.
    pub(in crate::store) fn range(&self, ranks: Range<usize>) -> Walk<'_, L> {
        Walk::new(&self.root, ranks)
    }

    /// Puts `content` under `key`, in place of what is there; says whether the key is new. O(log n).
    pub(in crate::store) fn insert(&mut self, key: &[u8], content: &[u8]) -> bool {
        let (added, split) = self.root.insert(key, content, Edge { first: true, last: true }, &mut self.bytes);
        if let Some(right) = split {
            let left = Child { from: Separator::default(), node: std::mem::take(&mut self.root) };
            let len = left.node.len() + right.node.len();
            self.root = Node::Branch(Branch { children: vec![left, right], len });
        }
        added
    }

    /// Removes `key`; says whether it was there. O(log n).
    pub(in crate::store) fn remove(&mut self, key: &[u8]) -> bool {
        let removed = self.root.remove(key, &mut self.bytes);
        if self.len() == 0 {
            *self = Self::default();
        }
        while let Node::Branch(branch) = &mut self.root
            && branch.children.len() == 1
        {
            self.root = branch.children.pop().map(|child| child.node).unwrap_or_default();
        }
        removed
    }

    /// Bytes of memory taken. O(nodes).
    pub(in crate::store) fn memory(&self) -> usize {
        size_of::<Self>() + self.root.memory()
    }

    /// Bytes of the entries, without the nodes and the room these have to spare. O(1).
    pub(in crate::store) fn used(&self) -> usize {
        self.bytes
    }

    /// As [`used`](Self::used), counted anew. O(nodes).
    pub(in crate::store) fn count_used(&self) -> usize {
        self.root.bytes()
    }
}

impl<L: Leaf> Node<L> {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Branch(branch) => branch.len,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.bytes(),
            Self::Branch(branch) => branch.children.iter().map(|child| child.node.bytes()).sum(),
        }
    }

    /// Says whether the key is new, and what was split off to the right; keeps the sum of the bytes in all leaves.
    fn insert(&mut self, key: &[u8], content: &[u8], edge: Edge, bytes: &mut usize) -> (bool, Option<Child<L>>) {
        match self {
            Self::Leaf(leaf) => {
                let before = leaf.bytes();
                let (added, cut) = leaf.insert(key, content, edge);
                let split = cut.map(|cut| leaf.split(cut));
                *bytes = *bytes + leaf.bytes() + split.as_ref().map_or(0, |(_, right)| right.bytes()) - before;
                (added, split.map(|(from, leaf)| Child { from: Separator::new(from), node: Self::Leaf(leaf) }))
            }
            Self::Branch(branch) => branch.insert(key, content, edge, bytes),
        }
    }

    fn remove(&mut self, key: &[u8], bytes: &mut usize) -> bool {
        match self {
            Self::Leaf(leaf) => {
                let before = leaf.bytes();
                let removed = leaf.remove(key);
                *bytes = *bytes + leaf.bytes() - before;
                removed
            }
            Self::Branch(branch) => {
                let at = branch.child_of(Wanted::new(key));
                let removed = branch.children[at].node.remove(key, bytes);
                if removed {
                    branch.len -= 1;
                    branch.tidy(at, bytes);
                }
                removed
            }
        }
    }

    fn is_small(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.bytes() < LEAF_BYTES_MIN,
            Self::Branch(branch) => branch.children.len() < CHILDREN_MIN,
        }
    }

    /// Whether it and its right neighbour are one node, with room to spare.
    fn fits(&self, right: &Self) -> bool {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(right)) => left.bytes() + right.bytes() <= LEAF_BYTES_MAX * 3 / 4,
            (Self::Branch(left), Self::Branch(right)) => {
                left.children.len() + right.children.len() <= CHILDREN_MAX * 3 / 4
            }
            _ => false,
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.memory(),
            Self::Branch(branch) => {
                let children = branch.children.iter().map(|child| child.from.key().len() + child.node.memory());
                branch.children.capacity() * size_of::<Child<L>>() + children.sum::<usize>()
            }
        }
    }
}

impl<L: Leaf> Branch<L> {
    /// Which child has `key`, if it is there.
    fn child_of(&self, key: Wanted<'_>) -> usize {
        self.children[1..].partition_point(|child| child.from.is_upto(key))
    }

    /// How many entries are under the children before this one: counted from the end that is nearer.
    fn before(&self, at: usize) -> usize {
        let count = |children: &[Child<L>]| children.iter().map(|child| child.node.len()).sum::<usize>();
        if at <= self.children.len() / 2 { count(&self.children[..at]) } else { self.len - count(&self.children[at..]) }
    }

    fn insert(&mut self, key: &[u8], content: &[u8], edge: Edge, bytes: &mut usize) -> (bool, Option<Child<L>>) {
        let at = self.child_of(Wanted::new(key));
        let last = at + 1 == self.children.len();
        let below = Edge { first: edge.first && at == 0, last: edge.last && last };
        let (added, split) = self.children[at].node.insert(key, content, below, bytes);
        self.len += usize::from(added);
        let Some(child) = split else { return (added, None) };
        if self.children.len() == self.children.capacity() {
            self.children.reserve_exact(CHILDREN_GROWTH);
        }
        self.children.insert(at + 1, child);
        if self.children.len() <= CHILDREN_MAX {
            return (added, None);
        }
        // At an end, what is full stays full.
        let keep = match below {
            Edge { last: true, .. } => self.children.len() - 1,
            Edge { first: true, .. } => 1,
            _ => self.children.len() / 2,
        };
        let mut children = self.children.split_off(keep);
        self.children.shrink_to(keep + CHILDREN_GROWTH);
        let from = std::mem::take(&mut children[0].from);
        let len = children.iter().map(|child| child.node.len()).sum();
        self.len -= len;
        (added, Some(Child { from, node: Node::Branch(Self { children, len }) }))
    }

    /// Drops a child that has become empty, or merges it with a neighbour if it has become small.
    fn tidy(&mut self, at: usize, bytes: &mut usize) {
        if self.children[at].node.len() == 0 {
            if self.children.len() > 1 {
                self.children.remove(at);
            }
        } else if self.children[at].node.is_small() {
            for left in [Some(at), at.checked_sub(1)].into_iter().flatten() {
                if left + 1 < self.children.len() && self.children[left].node.fits(&self.children[left + 1].node) {
                    return self.merge(left, bytes);
                }
            }
        }
    }

    /// Merges a child with its right neighbour.
    fn merge(&mut self, left: usize, bytes: &mut usize) {
        let Child { from, node: right } = self.children.remove(left + 1);
        match (&mut self.children[left].node, right) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                let before = left.bytes() + right.bytes();
                left.append(&right);
                *bytes = *bytes + left.bytes() - before;
            }
            (Node::Branch(left), Node::Branch(mut right)) => {
                right.children[0].from = from;
                left.children.append(&mut right.children);
                left.len += right.len;
            }
            _ => unreachable!("leaves are all at one depth"),
        }
    }
}

#[cfg(test)]
mod tests;
