//! Keys and elements drawn at random, each as likely as any other.
//!
//! Randomness comes in: `below(n)` draws a number below `n`.

use std::borrow::Cow;
use std::collections::HashSet;

use super::view::{Moment, View};
use crate::store::cell::{Element, hash_of};
use crate::store::memory::bucket::{BUCKETS, Bucket};
use crate::store::memory::table::Hashed;

/// Draws before all keys are looked through instead: so many in a row were hidden by their deadlines.
const KEY_DRAWS_MAX: usize = 100;

impl<'a> Moment<'a> {
    /// A key that exists; `None` if there is none. O(buckets), unless nearly all keys have expired and are not removed yet.
    pub fn draw(self, mut below: impl FnMut(usize) -> usize) -> Option<&'a [u8]> {
        let buckets = &self.store().buckets;
        let all: usize = buckets.iter().map(|bucket| bucket.keys.len()).sum();
        if all == 0 {
            return None;
        }
        for _ in 0..KEY_DRAWS_MAX {
            let mut number = below(all);
            let bucket = buckets.iter().find(|bucket| {
                let is_here = number < bucket.keys.len();
                number -= if is_here { 0 } else { bucket.keys.len() };
                is_here
            })?;
            if let Some((key, entry)) = bucket.keys.draw(&mut below)
                && View::new(bucket, entry, (hash_of(key), key), self.now()).is_some()
            {
                return Some(key);
            }
        }
        let first = below(BUCKETS);
        (0..BUCKETS).find_map(|at| self.first_in(&buckets[(first + at) % BUCKETS]))
    }

    fn first_in(self, bucket: &'a Bucket) -> Option<&'a [u8]> {
        let mut keys = bucket.keys.iter();
        keys.find(|(key, entry)| View::new(bucket, *entry, (hash_of(key), key), self.now()).is_some())
            .map(|(key, _)| key)
    }
}

/// The elements of a collection, to be drawn from.
pub struct Draws<'a> {
    view: View<'a>,
    held: Held<'a>,
}

enum Held<'a> {
    Listed(Vec<(&'a [u8], Element<'a>)>),
    Hashed(&'a Hashed),
}

/// A name with its value.
type Drawn<'a> = (&'a [u8], Cow<'a, [u8]>);

impl<'a> View<'a> {
    /// The members or fields, to be drawn from; none of what has no names. O(1), but O(n) of few, and where a deadline has
    /// passed.
    #[must_use]
    pub fn draws(&self) -> Draws<'a> {
        let held = match self.hashed() {
            Some(hashed) => Held::Hashed(hashed),
            None => Held::Listed(self.elements().filter_map(|(name, it)| Some((name.as_kept()?, it))).collect()),
        };
        Draws { view: *self, held }
    }
}

impl<'a> Draws<'a> {
    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.held {
            Held::Listed(elements) => elements.len(),
            Held::Hashed(hashed) => hashed.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One element. O(1), and of many a step for some thousand of them.
    pub fn one(&self, mut below: impl FnMut(usize) -> usize) -> Option<Drawn<'a>> {
        self.element(&mut below).map(|(name, element)| (name, self.view.value_of(name, &element)))
    }

    fn element(&self, below: &mut impl FnMut(usize) -> usize) -> Option<(&'a [u8], Element<'a>)> {
        match &self.held {
            Held::Listed(elements) if elements.is_empty() => None,
            Held::Listed(elements) => elements.get(below(elements.len())).cloned(),
            Held::Hashed(hashed) => hashed.draw(below),
        }
    }

    /// As many different elements, or all. O(count), but O(n) where that is a good part of all.
    pub fn different(&self, count: usize, mut below: impl FnMut(usize) -> usize) -> Vec<Drawn<'a>> {
        /// Where at least one of so many is wanted, all are looked at: too many draws would meet what was drawn already.
        const PART: usize = 3;
        let shown = |(name, element): (&'a [u8], Element<'a>)| (name, self.view.value_of(name, &element));
        if count < self.len() / PART {
            let (mut seen, mut drawn) = (HashSet::with_capacity(count), Vec::with_capacity(count));
            while drawn.len() < count
                && let Some((name, element)) = self.element(&mut below)
            {
                if seen.insert(name) {
                    drawn.push(shown((name, element)));
                }
            }
            return drawn;
        }
        let mut all: Vec<_> = match &self.held {
            Held::Listed(elements) => elements.clone(),
            Held::Hashed(hashed) => hashed.iter().collect(),
        };
        let count = count.min(all.len());
        for at in 0..count {
            let other = at + below(all.len() - at);
            all.swap(at, other);
        }
        all.truncate(count);
        all.into_iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use cahoots_crdt::ReplicaId;

    use crate::Limits;
    use crate::store::{Class, Store};

    const WALL: u64 = 1_700_000_000_000;

    fn random() -> impl FnMut(usize) -> usize {
        let mut state = 1_u64;
        move |max| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((u128::from(state) * max as u128) >> 64).unwrap()
        }
    }

    /// Each of `names` is drawn about as often as the others: within six standard deviations.
    fn assert_even(drawn: &HashMap<Vec<u8>, u32>, names: usize, draws: u32) {
        assert_eq!(drawn.len(), names);
        let expected = f64::from(draws) / names as f64;
        for (name, count) in drawn {
            let off = (f64::from(*count) - expected).abs();
            assert!(off < 6.0 * expected.sqrt(), "{} {count} times, {expected} expected", name.escape_ascii());
        }
    }

    #[test]
    fn every_element_is_drawn_as_often_as_every_other() {
        for count in [1_u32, 7, 40, 9_000] {
            let mut store = Store::new(ReplicaId::new(1), Limits::default(), 1 << 24);
            let name = |number: u32| number.to_be_bytes();
            // Tables with room left behind by what is gone.
            for number in 0..count * 4 {
                store.write(WALL, 0, |w| w.insert(b"s", Class::Set, &name(number), b"")).unwrap();
            }
            for number in count..count * 4 {
                store.write(WALL, 0, |w| w.remove(b"s", Class::Set, &name(number))).unwrap();
            }
            let view = store.at(WALL).view(b"s").unwrap();
            let (draws, mut below) = (view.draws(), random());
            let mut drawn: HashMap<Vec<u8>, u32> = HashMap::new();
            for _ in 0..count * 100 {
                *drawn.entry(draws.one(&mut below).unwrap().0.to_vec()).or_default() += 1;
            }
            assert_even(&drawn, count as usize, count * 100);
            for wanted in [0, 1, count / 5, count / 2, count, count * 2] {
                let mut some: Vec<_> =
                    draws.different(wanted as usize, &mut below).into_iter().map(|(name, _)| name).collect();
                some.sort_unstable();
                some.dedup();
                assert_eq!(some.len(), wanted.min(count) as usize);
            }
        }
    }

    #[test]
    fn keys_are_drawn_evenly_and_none_that_has_expired() {
        let mut store = Store::new(ReplicaId::new(1), Limits::default(), 1 << 24);
        let mut below = random();
        assert_eq!(store.at(WALL).draw(&mut below), None);
        for number in 0..3_000_u32 {
            let deadline = (number >= 500).then_some(WALL + 10);
            store.write(WALL, 0, |w| w.set_until(&number.to_be_bytes(), b"", deadline)).unwrap();
        }
        let mut drawn: HashMap<Vec<u8>, u32> = HashMap::new();
        for _ in 0..50_000 {
            *drawn.entry(store.at(WALL + 10).draw(&mut below).unwrap().to_vec()).or_default() += 1;
        }
        assert_even(&drawn, 500, 50_000);
        for number in 1..500_u32 {
            store.write(WALL, 0, |w| w.delete(&number.to_be_bytes())).unwrap();
        }
        for _ in 0..20 {
            assert_eq!(store.at(WALL + 10).draw(&mut below), Some(&[0; 4][..]), "the one that is left, behind 2,500");
        }
        store.write(WALL, 0, |w| w.delete(&[0; 4])).unwrap();
        assert_eq!(store.at(WALL + 10).draw(&mut below), None);
    }
}
