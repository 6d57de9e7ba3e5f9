//! A sorted table that knows ranks: a B+ tree whose inner nodes count what is below them.
//!
//! Lookups by key and by rank, insertion and removal cost O(log n); a run of neighbours costs O(1) each; what touches
//! everything is done in one pass over a vector.
//!
//! Invariants: keys ascend; all leaves have one depth; no node but the root is empty, none has more than [`NODE_MAX`]
//! entries. The `first` of a child is no greater than any key below it and greater than any key before it, except that
//! of a node's first child, which is not looked at.

use alloc::vec::Vec;
use core::ops::Range;

/// Entries of a node at most: few enough that moving half of them costs less than a miss of the cache.
const NODE_MAX: usize = 32;
/// Entries of a node that is built in one go: some room for insertions.
const NODE_FILL: usize = 26;
/// With fewer a node joins a neighbour, if both fit into three quarters of one.
const NODE_FEW: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Tree<K, V> {
    root: Node<K, V>,
    len: usize,
}

#[derive(Clone, Debug)]
enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    Inner(Vec<Child<K, V>>),
}

#[derive(Clone, Debug)]
struct Child<K, V> {
    first: K,
    len: usize,
    node: Node<K, V>,
}

impl<K, V> Tree<K, V> {
    pub(crate) const fn new() -> Self {
        Self { root: Node::Leaf(Vec::new()), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The entry with `rank` smaller ones.
    pub(crate) fn nth(&self, rank: usize) -> Option<(&K, &V)> {
        if rank >= self.len {
            return None;
        }
        let (start, leaf) = self.leaf(rank);
        leaf.get(rank - start).map(|(key, value)| (key, value))
    }

    /// How many entries there are before the first of which `is_before` does not hold. It holds of a key only if it
    /// holds of all smaller ones.
    pub(crate) fn partition_point(&self, is_before: impl Fn(&K) -> bool) -> usize {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(entries) => return rank + entries.partition_point(|(key, _)| is_before(key)),
                Node::Inner(children) => {
                    let at = child_at(children, &is_before);
                    rank += children[..at].iter().map(|child| child.len).sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        self.range(0..self.len)
    }

    /// The entries of these ranks, which must be there.
    pub(crate) fn range(&self, ranks: Range<usize>) -> Iter<'_, K, V> {
        Iter { tree: self, ranks, ahead: (0, &[]), behind: (0, &[]) }
    }

    pub(crate) fn into_vec(self) -> Vec<(K, V)> {
        match self.root {
            Node::Leaf(entries) => entries,
            inner @ Node::Inner(_) => {
                let mut all = Vec::with_capacity(self.len);
                inner.drain_to(&mut all);
                all
            }
        }
    }

    /// The leaf that holds `rank`, and the rank of its first entry.
    fn leaf(&self, rank: usize) -> (usize, &[(K, V)]) {
        let (mut node, mut start) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(entries) => return (start, entries),
                Node::Inner(children) => {
                    let mut children = children.iter().peekable();
                    while let Some(child) = children.next() {
                        if rank < start + child.len || children.peek().is_none() {
                            node = &child.node;
                            break;
                        }
                        start += child.len;
                    }
                }
            }
        }
    }
}

impl<K: Ord + Clone, V> Tree<K, V> {
    /// The tree of entries that are sorted already. O(n).
    pub(crate) fn from_sorted(entries: Vec<(K, V)>) -> Self {
        debug_assert!(entries.is_sorted_by(|a, b| a.0 < b.0));
        let len = entries.len();
        if len <= NODE_MAX {
            return Self { root: Node::Leaf(entries), len };
        }
        let mut level: Vec<Child<K, V>> = Vec::with_capacity(len / NODE_FILL + 1);
        let mut entries = entries.into_iter();
        loop {
            let leaf: Vec<_> = entries.by_ref().take(NODE_FILL).collect();
            let Some((first, _)) = leaf.first() else { break };
            level.push(Child { first: first.clone(), len: leaf.len(), node: Node::Leaf(leaf) });
        }
        while level.len() > NODE_MAX {
            let mut children = level.into_iter();
            level = Vec::new();
            loop {
                let node: Vec<_> = children.by_ref().take(NODE_FILL).collect();
                let Some(first) = node.first() else { break };
                let len = node.iter().map(|child| child.len).sum();
                level.push(Child { first: first.first.clone(), len, node: Node::Inner(node) });
            }
        }
        Self { root: Node::Inner(level), len }
    }

    /// The rank of `key`, or where it would be.
    pub(crate) fn search(&self, key: &K) -> Result<usize, usize> {
        let rank = self.partition_point(|other| other < key);
        match self.nth(rank) {
            Some((found, _)) if found == key => Ok(rank),
            _ => Err(rank),
        }
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
                    return Some(&mut entries[at].1);
                }
                Node::Inner(children) => {
                    let at = child_at(children, |first| first <= key);
                    node = &mut children[at].node;
                }
            }
        }
    }

    /// Adds an entry, or replaces the value of the one that is there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (replaced, split) = self.root.insert(key, value);
        if replaced.is_none() {
            self.len += 1;
        }
        if let Some(right) = split {
            // Neither half of a node that was full is empty.
            if let Some(first) = self.root.first_key().cloned() {
                let left = core::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
                let left = Child { first, len: self.len - right.len, node: left };
                self.root = Node::Inner(alloc::vec![left, right]);
            }
        }
        replaced
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<(K, V)> {
        let removed = self.root.remove(key)?;
        self.len -= 1;
        while let Node::Inner(children) = &mut self.root
            && children.len() <= 1
        {
            self.root = children.pop().map_or(Node::Leaf(Vec::new()), |child| child.node);
        }
        Some(removed)
    }
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// Which child holds the last key of which `is_before` holds, or else the first key.
fn child_at<K, V>(children: &[Child<K, V>], is_before: impl Fn(&K) -> bool) -> usize {
    children.get(1..).map_or(0, |rest| rest.partition_point(|child| is_before(&child.first)))
}

impl<K, V> Node<K, V> {
    fn size(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(children) => children.len(),
        }
    }

    fn first_key(&self) -> Option<&K> {
        match self {
            Self::Leaf(entries) => entries.first().map(|(key, _)| key),
            Self::Inner(children) => children.first().map(|child| &child.first),
        }
    }

    fn drain_to(self, all: &mut Vec<(K, V)>) {
        match self {
            Self::Leaf(mut entries) => all.append(&mut entries),
            Self::Inner(children) => children.into_iter().for_each(|child| child.node.drain_to(all)),
        }
    }
}

impl<K: Ord + Clone, V> Node<K, V> {
    /// Adds an entry. What does not fit any more is handed back as a node that comes after this one.
    fn insert(&mut self, key: K, value: V) -> (Option<V>, Option<Child<K, V>>) {
        match self {
            Self::Leaf(entries) => match entries.binary_search_by(|(other, _)| other.cmp(&key)) {
                Ok(at) => (Some(core::mem::replace(&mut entries[at].1, value)), None),
                Err(at) => {
                    entries.insert(at, (key, value));
                    let split = split(entries, at).map(|right| Child {
                        first: right[0].0.clone(),
                        len: right.len(),
                        node: Self::Leaf(right),
                    });
                    (None, split)
                }
            },
            Self::Inner(children) => {
                let at = child_at(children, |first| *first <= key);
                let (replaced, right) = children[at].node.insert(key, value);
                if replaced.is_none() {
                    children[at].len += 1;
                }
                let Some(right) = right else { return (replaced, None) };
                children[at].len -= right.len;
                children.insert(at + 1, right);
                let split = split(children, at + 1).map(|right| Child {
                    first: right[0].first.clone(),
                    len: right.iter().map(|child| child.len).sum(),
                    node: Self::Inner(right),
                });
                (replaced, split)
            }
        }
    }

    fn remove(&mut self, key: &K) -> Option<(K, V)> {
        match self {
            Self::Leaf(entries) => {
                let at = entries.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
                Some(entries.remove(at))
            }
            Self::Inner(children) => {
                let at = child_at(children, |first| first <= key);
                let removed = children[at].node.remove(key)?;
                children[at].len -= 1;
                mend(children, at);
                Some(removed)
            }
        }
    }
}

/// Cuts a node that has become too large. Where the latest entry `at` is at one of its ends more are likely to follow
/// there, so the cut is made there.
fn split<E>(entries: &mut Vec<E>, at: usize) -> Option<Vec<E>> {
    if entries.len() <= NODE_MAX {
        return None;
    }
    let cut = match at {
        0 => 1,
        at if at + 1 == entries.len() => at,
        _ => entries.len() / 2,
    };
    Some(entries.split_off(cut))
}

/// Drops a child that has become empty, or joins one that has become small to a neighbour.
fn mend<K, V>(children: &mut Vec<Child<K, V>>, at: usize) {
    let size = children[at].node.size();
    if size == 0 {
        children.remove(at);
        return;
    }
    let sum = |left: usize| Some(children.get(left)?.node.size() + children.get(left + 1)?.node.size());
    let fits = |left: &usize| sum(*left).is_some_and(|sum| sum <= NODE_MAX / 4 * 3);
    if size >= NODE_FEW {
        return;
    }
    let Some(left) = [at, at.wrapping_sub(1)].into_iter().find(fits) else { return };
    let right = children.remove(left + 1);
    let here = &mut children[left];
    here.len += right.len;
    match (&mut here.node, right.node) {
        (Node::Leaf(here), Node::Leaf(mut entries)) => here.append(&mut entries),
        (Node::Inner(here), Node::Inner(mut more)) => {
            // It was a first child, whose `first` nobody looked at.
            more[0].first = right.first;
            here.append(&mut more);
        }
        // All leaves have one depth.
        _ => unreachable!("neighbours are of one kind"),
    }
}

/// The entries in order, from either end.
#[derive(Debug)]
pub(crate) struct Iter<'a, K, V> {
    tree: &'a Tree<K, V>,
    ranks: Range<usize>,
    /// The leaf that is read from the front, and the rank of its first entry.
    ahead: (usize, &'a [(K, V)]),
    behind: (usize, &'a [(K, V)]),
}

impl<'a, K, V> Iter<'a, K, V> {
    fn read(tree: &'a Tree<K, V>, leaf: &mut (usize, &'a [(K, V)]), rank: usize) -> Option<(&'a K, &'a V)> {
        if rank < leaf.0 || rank >= leaf.0 + leaf.1.len() {
            *leaf = tree.leaf(rank);
        }
        leaf.1.get(rank - leaf.0).map(|(key, value)| (key, value))
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let rank = self.ranks.next()?;
        Self::read(self.tree, &mut self.ahead, rank)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ranks.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        let rank = self.ranks.nth(n)?;
        Self::read(self.tree, &mut self.ahead, rank)
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let rank = self.ranks.next_back()?;
        Self::read(self.tree, &mut self.behind, rank)
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;

    /// Checks what the head of this file says of nodes; returns the depth of the leaves.
    fn check(node: &Node<u32, u32>, is_root: bool, low: Option<u32>, high: Option<u32>) -> usize {
        assert!((is_root || node.size() > 0) && node.size() <= NODE_MAX);
        let within = |key: u32| low.is_none_or(|low| low <= key) && high.is_none_or(|high| key < high);
        match node {
            Node::Leaf(entries) => {
                assert!(entries.is_sorted_by(|a, b| a.0 < b.0) && entries.iter().all(|(key, _)| within(*key)));
                0
            }
            Node::Inner(children) => {
                let depths = children.iter().enumerate().map(|(at, child)| {
                    assert!(at == 0 || within(child.first));
                    let mut below = Vec::new();
                    child.node.clone().drain_to(&mut below);
                    assert_eq!(child.len, below.len());
                    let low = if at == 0 { low } else { Some(child.first) };
                    check(&child.node, false, low, children.get(at + 1).map(|next| next.first).or(high))
                });
                let depths: Vec<_> = depths.collect();
                assert!(depths.iter().all(|depth| *depth == depths[0]));
                depths[0] + 1
            }
        }
    }

    /// Grows to three levels and shrinks again, by single keys and by runs of neighbours, several times.
    #[test]
    fn it_is_a_sorted_table_that_knows_ranks_through_growing_and_shrinking() {
        let (mut tree, mut model) = (Tree::new(), BTreeMap::new());
        let mut dice = 1_u32;
        let mut roll = |sides: u32| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (dice >> 8) % sides
        };
        let mut depth = 0;
        for round in 0..60_u32 {
            let grows = round % 12 < 5;
            for _ in 0..600 {
                let (key, value) = (roll(40_000), roll(1_000));
                if grows {
                    assert_eq!(tree.insert(key, value), model.insert(key, value));
                } else {
                    let run: Vec<u32> = model.range(key..).map(|(key, _)| *key).take(roll(9) as usize).collect();
                    for key in run {
                        assert_eq!(tree.remove(&key).map(|entry| entry.1), model.remove(&key));
                    }
                    if roll(3) == 0 {
                        assert_eq!(tree.insert(key, value), model.insert(key, value));
                    }
                }
            }
            depth = depth.max(check(&tree.root, true, None, None));
            assert!(tree.len() == model.len() && tree.iter().eq(model.iter()));
            assert!(tree.iter().rev().eq(model.iter().rev()));
            for (rank, (key, value)) in model.iter().enumerate() {
                assert_eq!((tree.search(key), tree.nth(rank)), (Ok(rank), Some((key, value))));
                assert_eq!(tree.get_mut(key).copied(), Some(*value));
            }
            let rebuilt = Tree::from_sorted(tree.clone().into_vec());
            check(&rebuilt.root, true, None, None);
            assert!(rebuilt.iter().eq(model.iter()));
        }
        assert!(depth >= 2);
    }
}
