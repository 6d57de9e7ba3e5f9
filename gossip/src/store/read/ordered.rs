//! Lists and streams: elements in the order of their names, which are positions or ids.
//!
//! Many elements are found by the order that they are kept in; few, or such that have partly expired, are sorted when they
//! are asked for.

use std::ops::Range;

use cahoots_crdt::{Dot, ReplicaId};

use super::view::View;
use crate::store::cell::Element;
use crate::store::memory::name::Name;
use crate::store::memory::order::{Coded, Order, Walk};

/// The elements of a list or a stream, by rank: an element's place among all, counted from 0.
pub struct Ordered<'a> {
    elements: Elements<'a>,
}

enum Elements<'a> {
    /// Sorted by their names.
    Listed(Vec<Placed<'a>>),
    Kept(&'a Order<Coded>),
}

/// A name, and the assignment that wins there with its dot.
type Placed<'a> = (Name<'a>, (Dot, &'a [u8]));

impl<'a> View<'a> {
    /// The elements of a list or a stream in their order; none of other types. O(1), but O(elements) of few, and where a
    /// deadline has passed.
    #[must_use]
    pub fn ordered(&self) -> Ordered<'a> {
        let elements = match self.kept_order() {
            _ if !self.class().is_ordered() => Elements::Listed(Vec::new()),
            Some(order) => Elements::Kept(order),
            None => {
                let mut elements: Vec<_> = self.elements().map(|(name, element)| (name, winner_of(&element))).collect();
                elements.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                Elements::Listed(elements)
            }
        };
        Ordered { elements }
    }
}

impl<'a> Ordered<'a> {
    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.elements {
            Elements::Listed(elements) => elements.len(),
            Elements::Kept(order) => order.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many elements are before one of this name, which need not be there. O(log n).
    #[must_use]
    pub fn rank_from(&self, name: &[u8]) -> usize {
        match &self.elements {
            Elements::Listed(elements) => elements.partition_point(|(it, _)| **it < *name),
            Elements::Kept(order) => order.rank_from(name),
        }
    }

    /// The element of this rank, its name and its value. O(log n).
    #[must_use]
    pub fn get(&self, rank: usize) -> Option<(Name<'a>, &'a [u8])> {
        self.range(rank..rank + 1).next()
    }

    /// The elements of these ranks with their names and values, from either end. O(log n), and then O(1) for each.
    pub fn range(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = (Name<'a>, &'a [u8])> + use<'_, 'a> {
        self.placed(ranks).map(|(name, (_, value))| (name, value))
    }

    /// As [`range`](Self::range), with the event that each was written by.
    pub(in crate::store) fn placed(
        &self,
        ranks: Range<usize>,
    ) -> impl DoubleEndedIterator<Item = Placed<'a>> + use<'_, 'a> {
        let (listed, kept) = match &self.elements {
            Elements::Listed(elements) => {
                let end = ranks.end.min(elements.len());
                (elements[ranks.start.min(end)..end].iter().cloned(), None::<Walk<'a, Coded>>)
            }
            Elements::Kept(order) => ([].iter().cloned(), Some(order.range(ranks))),
        };
        let kept = kept.into_iter().flatten().map(|(name, element)| (Name::from(name), winner_of(&element)));
        listed.chain(kept)
    }

    /// The elements of these ranks with all that is visible of each in `view`, whose elements they are.
    pub(super) fn cells<'o>(&'o self, ranks: Range<usize>, view: &View<'a>) -> Cells<'o, 'a> {
        let view = *view;
        match &self.elements {
            Elements::Listed(elements) => {
                let end = ranks.end.min(elements.len());
                let listed = &elements[ranks.start.min(end)..end];
                Box::new(listed.iter().map(move |(name, _)| (name.clone(), view.element(name))))
            }
            Elements::Kept(order) => Box::new(order.range(ranks).map(|(name, element)| (Name::from(name), element))),
        }
    }
}

/// Elements with their names.
pub(super) type Cells<'o, 'a> = Box<dyn Iterator<Item = (Name<'a>, Element<'a>)> + 'o>;

/// What is shown of an element: the assignment that wins.
fn winner_of<'a>(element: &Element<'a>) -> (Dot, &'a [u8]) {
    let nothing = (Dot::new(ReplicaId::new(0), 0), &[][..]);
    element.winner().map_or(nothing, |(dot, register)| (dot, register.value))
}

#[cfg(test)]
mod tests {
    use cahoots_crdt::ReplicaId;

    use crate::Limits;
    use crate::store::{Class, Store};

    const WALL: u64 = 1_700_000_000_000;

    /// Few are sorted, many are kept in order; both are what the names say, whichever way they were put there.
    #[test]
    fn elements_are_in_the_order_of_their_names_however_many_there_are() {
        let mut store = Store::new(ReplicaId::new(1), Limits::default(), 1 << 20);
        for number in 0..600_u32 {
            let name = (number * 7919 % 600).to_be_bytes();
            store.write(WALL, 0, |w| w.insert(b"l", Class::List, &name, &name[2..])).unwrap();
            let view = store.at(WALL).view(b"l").unwrap();
            let ordered = view.ordered();
            assert_eq!(ordered.len(), number as usize + 1);
            let names: Vec<_> = ordered.range(0..usize::MAX).map(|(name, _)| name).collect();
            assert!(names.iter().map(|name| name.to_vec()).is_sorted());
            assert_eq!(*names[ordered.rank_from(&name)], name);
        }
        let view = store.at(WALL).view(b"l").unwrap();
        let ordered = view.ordered();
        let numbers = |number: u32| (number.to_be_bytes(), number.to_be_bytes()[2..].to_vec());
        for rank in [0, 1, 299, 599] {
            let (name, value) = numbers(u32::try_from(rank).unwrap());
            let (found, of) = ordered.get(rank).unwrap();
            assert_eq!((&found[..], of), (&name[..], &value[..]));
        }
        assert_eq!(ordered.get(600), None);
        let back: Vec<_> = ordered.range(597..700).rev().map(|(name, _)| name.to_vec()).collect();
        assert_eq!(back, [599, 598, 597].map(|number| numbers(number).0.to_vec()));
        for number in 0..599_u32 {
            store.write(WALL, 0, |w| w.remove(b"l", Class::List, &number.to_be_bytes())).unwrap();
        }
        assert_eq!(
            store.at(WALL).view(b"l").unwrap().ordered().get(0).map(|(name, _)| name.to_vec()),
            Some(numbers(599).0.to_vec())
        );
        assert!(store.fingerprints_are_exact());
    }
}
