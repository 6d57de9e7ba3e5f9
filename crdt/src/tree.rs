//! A sorted table that knows ranks: a B+ tree whose inner nodes count what is below them.
//!
//! Lookups by key and by rank, insertion and removal cost O(log n); a run of neighbours costs O(1) each; what touches
//! everything is done in one pass over a vector.
//!
//! Invariants: keys ascend; all leaves have one depth; no node but the root is empty, none has more than [`NODE_MAX`]
//! entries or room for more than [`NODE_SLOTS`]; of two neighbours below one node that fit into [`NODE_JOINED`] none has
//! fewer than [`NODE_FEW`]. The `first` of a child is no greater than any key below it and greater than any key before it, except that
//! of a node's first child, which is not looked at.

use alloc::vec::Vec;
use core::ops::Range;

/// Entries of a node at most: few enough that moving half of them costs less than a miss of the cache.
const NODE_MAX: usize = 32;
/// Entries of a node that is built in one go: some room for insertions.
const NODE_FILL: usize = 26;
/// With fewer a node joins a neighbour, if both fit into [`NODE_JOINED`].
const NODE_FEW: usize = 8;
/// Entries of a node that was joined: it can shrink and grow without being cut and joined again and again.
const NODE_JOINED: usize = NODE_MAX / 4 * 3;
/// Entries that a node has room for: one more than it may have, which comes in before the node is cut.
const NODE_SLOTS: usize = NODE_MAX + 1;

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
    pub(crate) fn from_sorted(mut entries: Vec<(K, V)>) -> Self {
        debug_assert!(entries.is_sorted_by(|a, b| a.0 < b.0));
        let len = entries.len();
        if len <= NODE_MAX {
            // It may be what is left of many.
            entries.shrink_to(NODE_SLOTS);
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
                    make_room(entries, 1);
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
                make_room(children, 1);
                children.insert(at + 1, right);
                let latest = mend(children, at + 1);
                let split = split(children, latest).map(|right| Child {
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

/// Makes room for `more` entries: twice as much as there was, but not more than a node may use.
fn make_room<E>(entries: &mut Vec<E>, more: usize) {
    let len = entries.len() + more;
    if len > entries.capacity() {
        entries.reserve_exact((2 * entries.capacity()).clamp(len, NODE_SLOTS.max(len)) - entries.len());
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

/// Drops a child that has become empty; joins children that have become small, or have got a small neighbour, at `at`
/// or just before. Says where the child is then.
fn mend<K, V>(children: &mut Vec<Child<K, V>>, mut at: usize) -> usize {
    if children.get(at).is_some_and(|child| child.node.size() == 0) {
        children.remove(at);
    }
    loop {
        let lefts = [Some(at), at.checked_sub(1), at.checked_sub(2)];
        let Some(left) = lefts.into_iter().flatten().find(|left| should_be_one(children, *left)) else { return at };
        join(children, left);
        at = left;
    }
}

/// Whether the child at `left` and the next one belong together.
fn should_be_one<K, V>(children: &[Child<K, V>], left: usize) -> bool {
    let Some([a, b]) = children.get(left..left + 2) else { return false };
    let (a, b) = (a.node.size(), b.node.size());
    a.min(b) < NODE_FEW && a + b <= NODE_JOINED
}

/// Joins the child at `left` and the next one.
fn join<K, V>(children: &mut Vec<Child<K, V>>, left: usize) {
    let right = children.remove(left + 1);
    let here = &mut children[left];
    here.len += right.len;
    match (&mut here.node, right.node) {
        (Node::Leaf(here), Node::Leaf(mut entries)) => {
            make_room(here, entries.len());
            here.append(&mut entries);
        }
        (Node::Inner(here), Node::Inner(mut more)) => {
            let border = here.len();
            // It was a first child, whose `first` nobody looked at.
            more[0].first = right.first;
            make_room(here, more.len());
            here.append(&mut more);
            // These two are neighbours only now.
            mend(here, border);
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
mod tests;
