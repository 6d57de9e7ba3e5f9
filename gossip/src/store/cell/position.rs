//! Positions: the names of a list's elements, whose bytes are in the list's order. See [`cahoots_crdt::Position`].
//!
//! A new position is a step below one of its visible neighbours, or below an end of the list, made of a reading of this
//! replica's clock that is above all it has seen: so it lies directly beside that neighbour among all that was seen, and
//! nobody makes it again. A reading names one command, an offset the element within it.
//!
//! What comes from elsewhere keeps two rules, or is refused: a name is a position, and no cell is older than its position.
//! By the second one, whoever has seen an element has a clock above that of its position, and can put others beside it.

use cahoots_crdt::{Position, ReplicaId, Side};

use crate::Hlc;

/// Bytes of the position of an element that is pushed, as long as one command pushes less than 240.
pub(in crate::store) const PUSHED_BYTES: usize = 19;
/// Bytes of a position at most. Only elements put again and again between the last two, or in the middle, come near.
pub(in crate::store) const POSITION_BYTES_MAX: usize = Position::BYTES_MAX;

/// What an element's position is made of: the clock of the command that puts it there, and the replica.
pub(in crate::store) type Stamp = (Hlc, ReplicaId);

/// A position could not be made: at this place it would be longer than positions may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct TooDeep;

/// A position between two neighbours, or at an end of the list where there is none. With as many bytes in either name, as
/// at the two ends of the list, it is the left one of its right neighbour or the right one of its left, as `tie` says.
pub(in crate::store) fn between(
    before: Option<&[u8]>,
    after: Option<&[u8]>,
    tie: Side,
    (clock, replica): Stamp,
    offset: usize,
) -> Result<Position, TooDeep> {
    let read = |name: Option<&[u8]>| name.map(Position::from_bytes).transpose().map_err(|_| TooDeep);
    let offset = u32::try_from(offset).map_err(|_| TooDeep)?;
    let (before, after) = (read(before)?, read(after)?);
    Position::between(before.as_ref(), after.as_ref(), tie, (stamp_of(clock), replica), offset).map_err(|_| TooDeep)
}

/// Whether a name is a position, and one that a cell of this clock may lie at.
pub(in crate::store) fn is_sound(name: &[u8], clock: Hlc) -> bool {
    Position::from_bytes(name).is_ok_and(|position| position.stamp() <= stamp_of(clock))
}

fn stamp_of(clock: Hlc) -> cahoots_crdt::Hlc {
    #[expect(clippy::cast_possible_truncation, reason = "the counter is the low 16 bits")]
    cahoots_crdt::Hlc::new(clock.wall_ms(), clock.get() as u16)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    /// The tree that positions are paths in, with nodes for what is not there any more: what the bytes must say.
    #[derive(Default)]
    struct Tree(Vec<Node>);

    struct Node {
        /// `None`: the start of the list if it is to the right, the end if it is to the left.
        parent: Option<usize>,
        side: Side,
        stamp: Stamp,
        offset: usize,
        name: Vec<u8>,
    }

    /// What the tree may get wrong.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Wrong {
        Nothing,
        RightSiblingsAscend,
        LeftSiblingsDescend,
        ReplicaBeforeClock,
        OffsetBeforeClock,
        OffsetsDescendOnTheLeft,
        ParentBeforeLeftChildren,
        EndBeforeStart,
    }

    const WRONGS: [Wrong; 7] = [
        Wrong::RightSiblingsAscend,
        Wrong::LeftSiblingsDescend,
        Wrong::ReplicaBeforeClock,
        Wrong::OffsetBeforeClock,
        Wrong::OffsetsDescendOnTheLeft,
        Wrong::ParentBeforeLeftChildren,
        Wrong::EndBeforeStart,
    ];

    impl Tree {
        /// The nodes as one passes them: left children, node, right children.
        fn in_order(&self, wrong: Wrong) -> Vec<usize> {
            let mut order = Vec::new();
            let ends =
                if wrong == Wrong::EndBeforeStart { [Side::Left, Side::Right] } else { [Side::Right, Side::Left] };
            for side in ends {
                self.children(None, side, wrong).for_each(|child| self.pass(child, wrong, &mut order));
            }
            order
        }

        fn pass(&self, node: usize, wrong: Wrong, order: &mut Vec<usize>) {
            if wrong == Wrong::ParentBeforeLeftChildren {
                order.push(node);
            }
            self.children(Some(node), Side::Left, wrong).for_each(|child| self.pass(child, wrong, order));
            if wrong != Wrong::ParentBeforeLeftChildren {
                order.push(node);
            }
            self.children(Some(node), Side::Right, wrong).for_each(|child| self.pass(child, wrong, order));
        }

        fn children(&self, of: Option<usize>, side: Side, wrong: Wrong) -> impl Iterator<Item = usize> {
            let is_child = |node: &usize| self.0[*node].parent == of && self.0[*node].side == side;
            let mut children: Vec<usize> = (0..self.0.len()).filter(is_child).collect();
            children.sort_by(|a, b| self.siblings(*a, *b, wrong));
            let descends = match (side, wrong) {
                (Side::Right, Wrong::RightSiblingsAscend) => false,
                (Side::Left, Wrong::LeftSiblingsDescend) => true,
                _ => side == Side::Right,
            };
            if descends {
                children.reverse();
            }
            children.into_iter()
        }

        fn siblings(&self, a: usize, b: usize, wrong: Wrong) -> Ordering {
            let (a, b) = (&self.0[a], &self.0[b]);
            let ((a_clock, a_replica), (b_clock, b_replica)) = (a.stamp, b.stamp);
            match wrong {
                Wrong::ReplicaBeforeClock => (a_replica, a_clock, a.offset).cmp(&(b_replica, b_clock, b.offset)),
                Wrong::OffsetBeforeClock => (a.offset, a.stamp).cmp(&(b.offset, b.stamp)),
                Wrong::OffsetsDescendOnTheLeft if a.side == Side::Left => (a.stamp, b.offset).cmp(&(b.stamp, a.offset)),
                _ => (a.stamp, a.offset).cmp(&(b.stamp, b.offset)),
            }
        }

        /// Puts `count` elements between two neighbours, as the rule says: below the one with the shorter path.
        fn put(
            &mut self,
            (before, after): (Option<usize>, Option<usize>),
            tie: Side,
            stamp: Stamp,
            count: usize,
        ) -> Result<Vec<usize>, String> {
            let bytes = |node: Option<usize>| node.map_or(0, |node| self.0[node].name.len());
            let side = match bytes(after).cmp(&bytes(before)) {
                Ordering::Less => Side::Left,
                Ordering::Equal => tie,
                Ordering::Greater => Side::Right,
            };
            let parent = if side == Side::Left { after } else { before };
            let from = self.0.len();
            for offset in 0..count {
                let name = |node: Option<usize>| node.map(|node| self.0[node].name.as_slice());
                let made = between(name(before), name(after), tie, stamp, offset);
                let made = made.map_err(|why| format!("{offset} at {stamp:?}: {why:?}"))?;
                let name = made.as_bytes().to_vec();
                self.0.push(Node { parent, side, stamp, offset, name });
            }
            Ok((from..self.0.len()).collect())
        }

        fn by_bytes(&self) -> Vec<usize> {
            let mut order: Vec<usize> = (0..self.0.len()).collect();
            order.sort_by(|a, b| self.0[*a].name.cmp(&self.0[*b].name));
            order
        }
    }

    /// A history of three replicas, each of which puts elements between neighbours that it sees, removes some, and now and
    /// then learns what another one has seen.
    fn history(steps: &[(usize, u8, u16, u8)], clock_is_hybrid: bool) -> Result<Tree, String> {
        let mut tree = Tree::default();
        let (mut visible, mut seen) = (vec![Vec::<usize>::new(); 3], vec![Vec::<usize>::new(); 3]);
        let mut clocks = [Hlc::at(10), Hlc::at(500), Hlc::at(90)];
        for (at, what, place, count) in steps {
            let (at, place) = (*at % 3, usize::from(*place));
            match what % 8 {
                0 => {
                    let from = place % 3;
                    let news: Vec<usize> = seen[from].iter().copied().filter(|it| !seen[at].contains(it)).collect();
                    let shown: Vec<usize> = news.iter().copied().filter(|it| visible[from].contains(it)).collect();
                    visible[at].extend(shown);
                    seen[at].extend(&news);
                    visible[at].sort_by(|a, b| tree.0[*a].name.cmp(&tree.0[*b].name));
                    if clock_is_hybrid {
                        clocks[at] = clocks[at].max(clocks[from]);
                    }
                }
                1 if !visible[at].is_empty() => {
                    let gone = place % visible[at].len();
                    visible[at].remove(gone);
                }
                what => {
                    clocks[at] = clocks[at].next(0);
                    let here = &visible[at];
                    // At an end, or between two; beside the one or the other if their names are of one length.
                    let gap = match what {
                        2 => 0,
                        3 => here.len(),
                        _ => place % (here.len() + 1),
                    };
                    let neighbours = (gap.checked_sub(1).map(|at| here[at]), here.get(gap).copied());
                    let tie = if what.is_multiple_of(2) { Side::Right } else { Side::Left };
                    let count = if *count == 0 { 300 } else { usize::from(*count % 4) + 1 };
                    let mut new = tree.put(neighbours, tie, (clocks[at], ReplicaId::new(7 - at as u64)), count)?;
                    new.sort_by(|a, b| tree.0[*a].name.cmp(&tree.0[*b].name));
                    // Beside the neighbour below which it hangs, among all that was ever seen there.
                    let mut all: Vec<usize> = seen[at].iter().chain(&new).copied().collect();
                    all.sort_by(|a, b| tree.0[*a].name.cmp(&tree.0[*b].name));
                    let rank = |it| all.iter().position(|other| *other == it);
                    let (first, last) = (rank(new[0]), rank(new[count - 1]));
                    let node = &tree.0[new[0]];
                    let is_beside = match (node.side, node.parent) {
                        (Side::Left, Some(parent)) => rank(parent) == last.map(|last| last + 1),
                        (Side::Left, None) => last == Some(all.len() - 1),
                        (Side::Right, Some(parent)) => first == rank(parent).map(|parent| parent + 1),
                        (Side::Right, None) => first == Some(0),
                    };
                    if !is_beside || last.zip(first).is_none_or(|(last, first)| last - first + 1 != count) {
                        return Err(format!("elements {new:?} are not beside their neighbour"));
                    }
                    seen[at].extend(&new);
                    visible[at].splice(gap..gap, new);
                }
            }
        }
        Ok(tree)
    }

    fn steps() -> impl Strategy<Value = Vec<(usize, u8, u16, u8)>> {
        prop::collection::vec((0..3_usize, any::<u8>(), any::<u16>(), any::<u8>()), 1..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// The order of the bytes is the order of the tree, every position is there once, and all are sound.
        #[test]
        fn bytes_are_in_the_order_of_the_tree(steps in steps()) {
            let tree = history(&steps, true).map_err(TestCaseError::fail)?;
            let order = tree.by_bytes();
            prop_assert_eq!(&order, &tree.in_order(Wrong::Nothing));
            prop_assert!(order.windows(2).all(|pair| tree.0[pair[0]].name < tree.0[pair[1]].name), "a position twice");
            for node in &tree.0 {
                let (clock, _) = node.stamp;
                prop_assert!(is_sound(&node.name, clock));
                prop_assert!(!is_sound(&node.name, Hlc::new(clock.get() - 1)), "a cell before its position");
                let pushed = node.parent.is_none() && node.offset < 240;
                prop_assert!(!pushed || node.name.len() == PUSHED_BYTES);
            }
        }

        /// Whatever bytes come from elsewhere: they are refused, or they are the one way to write a position.
        #[test]
        fn names_that_are_no_positions_are_refused(steps in steps(), at in any::<u16>(), with in any::<u8>(), cut in any::<u16>()) {
            let tree = history(&steps, true).map_err(TestCaseError::fail)?;
            let Some(node) = tree.0.first() else { return Ok(()) };
            let clock = Hlc::new(u64::MAX);
            let cut = usize::from(cut) % node.name.len();
            prop_assert!(!is_sound(&node.name[..cut], clock));
            let mut other = node.name.clone();
            let at = usize::from(at) % other.len();
            other[at] = with;
            if let Ok(position) = Position::from_bytes(&other) {
                prop_assert_eq!(position.as_bytes(), &other[..]);
            }
        }
    }

    /// That the histories above would tell: each other tree, and a clock that does not heed what was seen, is found out.
    #[test]
    fn every_other_order_is_told_from_this_one() {
        use proptest::strategy::ValueTree;
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut told = std::collections::BTreeSet::new();
        let mut strayed = 0;
        for _ in 0..200 {
            let steps = steps().new_tree(&mut runner).expect("nothing is filtered").current();
            let tree = history(&steps, true).expect("beside their neighbours");
            let order = tree.by_bytes();
            told.extend((0..WRONGS.len()).filter(|at| tree.in_order(WRONGS[*at]) != order));
            strayed += u32::from(history(&steps, false).is_err());
        }
        assert_eq!(told.len(), WRONGS.len(), "told apart: {told:?} of {WRONGS:?}");
        assert!(strayed > 0, "clocks of their own put elements elsewhere");
    }

    #[test]
    fn positions_end_at_their_longest() {
        let me = ReplicaId::new(1);
        let mut clock = Hlc::at(1);
        let mut make = |before: Option<&[u8]>, after: Option<&[u8]>| {
            clock = clock.next(0);
            between(before, after, Side::Left, (clock, me), 0).map(|it| it.as_bytes().to_vec())
        };
        // Each between the last two.
        let mut pair = [make(None, None), make(None, None)].map(Result::unwrap);
        let longest = loop {
            match make(Some(&pair[0]), Some(&pair[1])) {
                Ok(name) => pair = [name, pair[1].clone()],
                Err(TooDeep) => break pair[0].len().max(pair[1].len()),
            }
            let Ok(name) = make(Some(&pair[0]), Some(&pair[1])) else { break pair[0].len().max(pair[1].len()) };
            pair = [pair[0].clone(), name];
        };
        assert!(longest <= POSITION_BYTES_MAX && longest > POSITION_BYTES_MAX - 18, "{longest}");
        // At either end there is room for ever.
        assert_eq!(make(Some(&pair[1]), None).unwrap().len(), PUSHED_BYTES);
        assert_eq!(make(None, Some(&pair[0])).unwrap().len(), PUSHED_BYTES);
    }
}
