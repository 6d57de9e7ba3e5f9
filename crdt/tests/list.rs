//! Lists against what they promise: the local list is a `Vec`, all replicas show one order, ever, what one call puts in
//! stays together, and what survives is what the happens-before history says.

mod exchange;

use std::collections::{BTreeMap, BTreeSet};

use cahoots_crdt::{Causal, Hlc, HybridClock, Lattice, Limits, List, ListError, Position, ReplicaId, StaleStamp};
use exchange::{Exchange, Transfer};
use proptest::prelude::*;

/// An element by its number, and which write of it this is.
type Item = (u32, u32);

const REPLICAS: usize = 3;
const EVENTS_MAX: usize = 64;

fn id(n: usize) -> ReplicaId {
    ReplicaId::new(n as u64 + 1)
}

#[derive(Clone, Debug)]
enum Step {
    PushBack {
        by: usize,
        count: usize,
    },
    PushFront {
        by: usize,
    },
    Insert {
        by: usize,
        at: usize,
        count: usize,
    },
    /// Beside a position that was seen once, whose element may be gone.
    Beside {
        by: usize,
        nth: usize,
        after: bool,
    },
    Set {
        by: usize,
        at: usize,
    },
    Remove {
        by: usize,
        at: usize,
        count: usize,
    },
    Truncate {
        by: usize,
        len: usize,
    },
    Clear {
        by: usize,
    },
    Wall {
        by: usize,
        millis: i64,
    },
    Carry(Transfer),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let by = || 0..REPLICAS;
    let any_at = || 0..1_000_usize;
    let pieces = |(nth, to)| Step::Carry(Transfer::Pieces { nth, to, bytes_max: 60, backwards: true });
    let step = prop_oneof![
        3 => (by(), 1..4_usize).prop_map(|(by, count)| Step::PushBack { by, count }),
        2 => by().prop_map(|by| Step::PushFront { by }),
        5 => (by(), any_at(), 1..4_usize).prop_map(|(by, at, count)| Step::Insert { by, at, count }),
        3 => (by(), any_at(), any::<bool>()).prop_map(|(by, nth, after)| Step::Beside { by, nth, after }),
        3 => (by(), any_at()).prop_map(|(by, at)| Step::Set { by, at }),
        4 => (by(), any_at(), 1..3_usize).prop_map(|(by, at, count)| Step::Remove { by, at, count }),
        1 => (by(), 0..4_usize).prop_map(|(by, len)| Step::Truncate { by, len }),
        1 => by().prop_map(|by| Step::Clear { by }),
        3 => (by(), -6..6_i64).prop_map(|(by, millis)| Step::Wall { by, millis }),
        8 => (any_at(), by()).prop_map(|(nth, to)| Step::Carry(Transfer::Delta { nth, to })),
        1 => (any_at(), by()).prop_map(pieces),
        3 => (by(), by()).prop_map(|(from, to)| Step::Carry(Transfer::State { from, to })),
        1 => (by(), by()).prop_map(|(from, to)| Step::Carry(Transfer::Lacking { from, to })),
    ];
    prop::collection::vec(step, 1..60)
}

/// What an event did, and when.
#[derive(Clone)]
struct Event {
    by: usize,
    stamp: u64,
    puts: Vec<u32>,
    set: Option<Item>,
    removes: Vec<u32>,
    end: Option<bool>,
    seen: u64,
}

struct Clock {
    clock: HybridClock,
    wall: i64,
}

struct World {
    exchange: Exchange<List<Item>>,
    clocks: Vec<Clock>,
    events: Vec<Event>,
    places: Vec<Position>,
    next: u32,
    /// `a` was shown directly before `b`.
    before: BTreeSet<(u32, u32)>,
}

impl World {
    fn new() -> Self {
        let clock = || Clock { clock: HybridClock::new(1 << 40), wall: 1_000 };
        Self {
            exchange: Exchange::new(REPLICAS),
            clocks: (0..REPLICAS).map(|_| clock()).collect(),
            events: Vec::new(),
            places: Vec::new(),
            next: 0,
            before: BTreeSet::new(),
        }
    }

    fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
        for transfer in self.exchange.rounds() {
            self.step(&Step::Carry(transfer));
        }
        assert!(self.exchange.states.iter().all(|state| *state == self.exchange.states[0]));
        self.check_one_order();
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Wall { by, millis } => self.clocks[by].wall = (self.clocks[by].wall + millis).max(1),
            Step::Carry(transfer) => {
                if let Some(to) = self.exchange.carry(transfer) {
                    self.check(to);
                }
            }
            ref change => self.change(change),
        }
    }

    fn change(&mut self, step: &Step) {
        if self.events.len() == EVENTS_MAX {
            return;
        }
        let (Step::PushBack { by, .. }
        | Step::PushFront { by }
        | Step::Insert { by, .. }
        | Step::Beside { by, .. }
        | Step::Set { by, .. }
        | Step::Remove { by, .. }
        | Step::Truncate { by, .. }
        | Step::Clear { by }) = *step
        else {
            return;
        };
        let Clock { clock, wall } = &mut self.clocks[by];
        let list = &mut self.exchange.states[by];
        let mut expected: Vec<Item> = list.iter().copied().collect();
        let len = expected.len();
        let wall = wall.unsigned_abs();
        clock.observe(list.latest_stamp(), wall).unwrap();
        let stamp = clock.tick(wall).unwrap();
        let mut event = Event {
            by,
            stamp: stamp.millis() << 16 | u64::from(stamp.counter()),
            puts: Vec::new(),
            set: None,
            removes: Vec::new(),
            end: None,
            seen: self.exchange.seen[by],
        };
        let mut put = |count: usize| {
            let items: Vec<Item> = (0..).map(|n| (self.next + n, 0)).take(count).collect();
            self.next += u32::try_from(count).unwrap();
            event.puts = items.iter().map(|item| item.0).collect();
            items
        };
        let delta = match *step {
            Step::PushBack { count, .. } => {
                let items = put(count);
                expected.extend(&items);
                event.end = Some(true);
                list.push_back_all(id(by), stamp, items).unwrap()
            }
            Step::PushFront { .. } => {
                let items = put(1);
                expected.insert(0, items[0]);
                event.end = Some(false);
                list.push_front(id(by), stamp, items[0]).unwrap()
            }
            Step::Insert { at, count, .. } => {
                let at = at % (len + 1);
                let items = put(count);
                expected.splice(at..at, items.iter().copied());
                list.insert_all(id(by), stamp, at, items).unwrap()
            }
            Step::Beside { nth, after, .. } => {
                let Some(nth) = nth.checked_rem(self.places.len()) else { return };
                let place = &self.places[nth];
                let item = put(1)[0];
                let at = match list.index_of(place) {
                    Ok(at) => at + usize::from(after),
                    Err(at) => at,
                };
                expected.insert(at, item);
                if after {
                    list.insert_after(id(by), stamp, place, item).unwrap()
                } else {
                    list.insert_before(id(by), stamp, place, item).unwrap()
                }
            }
            Step::Set { at, .. } => {
                let Some(at) = at.checked_rem(len) else { return };
                let item = (expected[at].0, u32::try_from(self.events.len()).unwrap() + 1);
                expected[at] = item;
                event.set = Some(item);
                list.set(id(by), stamp, at, item).unwrap()
            }
            Step::Remove { at, count, .. } => {
                let Some(at) = at.checked_rem(len) else { return };
                let end = (at + count).min(len);
                event.removes = expected.drain(at..end).map(|item| item.0).collect();
                list.remove_range(id(by), at..at + count)
            }
            Step::Truncate { len: kept, .. } => {
                event.removes = expected.drain(kept.min(len)..).map(|item| item.0).collect();
                list.truncate(id(by), kept)
            }
            _ => {
                event.removes = expected.drain(..).map(|item| item.0).collect();
                list.clear(id(by))
            }
        };
        assert!(list.iter().eq(&expected), "{step:?}: {:?} instead of {expected:?}", list.store());
        let did_something = !(event.puts.is_empty() && event.set.is_none() && event.removes.is_empty());
        assert_eq!(delta.is_bottom(), !did_something);
        if did_something {
            self.exchange.publish(by, delta);
            self.events.push(event);
        }
        let list = &self.exchange.states[by];
        self.places.extend((0..list.len()).step_by(2).filter_map(|at| list.position(at).cloned()));
        self.check(by);
    }

    fn visible(&self, seen: u64) -> impl Iterator<Item = (usize, &Event)> + '_ {
        self.events.iter().enumerate().filter(move |(nth, _)| seen >> nth & 1 == 1)
    }

    fn check(&mut self, at: usize) {
        let seen = self.exchange.seen[at];
        let same = self.exchange.check(at).encode();
        let state = &self.exchange.states[at];
        assert_eq!(same, state.encode());
        let shown: Vec<Item> = state.iter().copied().collect();
        let distinct: BTreeSet<u32> = shown.iter().map(|item| item.0).collect();
        assert_eq!(distinct.len(), shown.len(), "an element twice");
        self.before.extend(shown.windows(2).map(|pair| (pair[0].0, pair[1].0)));
        let order: Vec<u32> = shown.iter().map(|item| item.0).collect();
        self.check_calls(seen, &order);
        if self.visible(seen).all(|(_, event)| event.seen & !seen == 0) {
            let shown: BTreeSet<Item> = shown.into_iter().collect();
            assert_eq!(shown, self.surviving(seen));
        }
    }

    /// An element is there while a write of it lives: seen by no later write to it, and by no removal of it.
    fn surviving(&self, seen: u64) -> BTreeSet<Item> {
        let mut writes: BTreeMap<u32, Vec<(u64, usize, u32)>> = BTreeMap::new();
        for (nth, event) in self.visible(seen) {
            let written = event.puts.iter().map(|item| (*item, 0)).chain(event.set);
            for (item, version) in written {
                let is_over = self.visible(seen).any(|(_, later)| {
                    let concerns = later.removes.contains(&item) || later.set.is_some_and(|set| set.0 == item);
                    concerns && later.seen >> nth & 1 == 1
                });
                if !is_over {
                    writes.entry(item).or_default().push((event.stamp, event.by, version));
                }
            }
        }
        writes.into_iter().filter_map(|(item, writes)| Some((item, writes.into_iter().max()?.2))).collect()
    }

    /// What the author of an event had seen, and what the authors of that had, which may not have arrived with it.
    fn knew(&self, nth: usize) -> u64 {
        let mut knew = self.events[nth].seen;
        loop {
            let more = self.visible(knew).fold(knew, |all, (_, event)| all | event.seen);
            if more == knew {
                return knew;
            }
            knew = more;
        }
    }

    /// What one call put in stands in its order, and between it only what somebody put there who had seen it. What was
    /// pushed to the ends stands in the order of time.
    fn check_calls(&self, seen: u64, order: &[u32]) {
        let author = |item: u32| self.events.iter().position(|event| event.puts.contains(&item)).unwrap();
        for (nth, event) in self.events.iter().enumerate() {
            let places: Vec<usize> =
                event.puts.iter().filter_map(|item| order.iter().position(|other| other == item)).collect();
            assert!(places.is_sorted(), "the order of one call");
            if let (Some(first), Some(last)) = (places.first(), places.last()) {
                for between in &order[*first..*last] {
                    let other = author(*between);
                    assert!(other == nth || self.knew(other) >> nth & 1 == 1, "two calls are mixed: {seen:b}");
                }
            }
        }
        for end in [true, false] {
            let pushed = order.iter().map(|item| &self.events[author(*item)]).filter(|event| event.end == Some(end));
            let mut times: Vec<_> = pushed.map(|event| (event.stamp, event.by)).collect();
            if !end {
                times.reverse();
            }
            assert!(times.is_sorted(), "what was pushed to one end is not in the order of time");
        }
    }

    /// There is one order of all elements ever shown that every replica kept to, always.
    fn check_one_order(&self) {
        let mut before = self.before.clone();
        let mut left: BTreeSet<u32> = (0..self.next).collect();
        while let Some(first) = left.iter().copied().find(|item| before.iter().all(|(_, later)| later != item)) {
            left.remove(&first);
            before.retain(|(earlier, _)| *earlier != first);
        }
        assert!(left.is_empty(), "no one order of {left:?}: {before:?}");
    }
}

proptest! {
    #[test]
    fn all_replicas_keep_to_one_order_and_what_survives_is_what_nobody_saw_removed(steps in steps()) {
        World::new().run(&steps);
    }

    /// Long enough for several levels of the table.
    #[test]
    fn a_long_list_is_a_vector(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..12_u8, 1..90_usize), 1..60),
    ) {
        let (mut list, mut vector) = (Causal::<List<usize>>::new(), Vec::new());
        let mut other = list.clone();
        for (nth, (at, kind, count)) in changes.into_iter().enumerate() {
            let at = at.index(vector.len() + 1);
            let end = (at + count).min(vector.len());
            let delta = match kind {
                0 | 1 => {
                    vector.drain(at..end);
                    list.remove_range(id(0), at..at + count)
                }
                2 if at < vector.len() && end < vector.len() => {
                    let item = vector.remove(at);
                    vector.insert(end, item);
                    list.move_to(id(0), tick(&list), at, end).unwrap()
                }
                3 if end < at && at < vector.len() => {
                    let item = vector.remove(at);
                    vector.insert(end, item);
                    list.move_to(id(0), tick(&list), at, end).unwrap()
                }
                4 if at < vector.len() => {
                    vector[at] = nth;
                    list.set(id(0), tick(&list), at, nth).unwrap()
                }
                5 if count == 1 => {
                    vector.truncate(at);
                    list.truncate(id(0), at)
                }
                _ => {
                    vector.splice(at..at, (0..count).map(|n| nth * 100 + n));
                    list.insert_all(id(0), tick(&list), at, (0..count).map(|n| nth * 100 + n)).unwrap()
                }
            };
            prop_assert!(list.iter().eq(&vector));
            prop_assert_eq!(list.len(), vector.len());
            other.merge(delta);
        }
        prop_assert_eq!(&list, &other);
        prop_assert!(list.iter().rev().eq(vector.iter().rev()));
        for (index, value) in vector.iter().enumerate() {
            prop_assert_eq!(list.get(index), Some(value));
            prop_assert_eq!(list.index_of(list.position(index).unwrap()), Ok(index));
        }
        let bytes = list.encode().unwrap();
        prop_assert_eq!(Causal::<List<usize>>::decode(&bytes, &Limits::default()).unwrap(), list);
    }
}

/// The longest position after a thousand insertions, each at the index that `at` says for a list of this length; or how
/// many were made until one was refused.
fn longest(at: impl Fn(usize, usize) -> usize) -> Result<usize, usize> {
    let mut list = Causal::<List<u8>>::new();
    let _sent = list.push_back_all(id(0), tick(&list), [0, 0]).unwrap();
    for nth in 0..1_000 {
        let index = at(nth, list.len());
        match list.insert(id(nth % 3), tick(&list), index, 1) {
            Ok(_) => {}
            Err(ListError::TooDeep { bytes, max }) => {
                assert!(max == Position::BYTES_MAX && bytes > max && bytes < max + 24);
                assert_eq!(list.len(), nth + 2);
                return Err(nth);
            }
            Err(other) => panic!("{other}"),
        }
    }
    Ok((0..list.len()).map(|index| list.position(index).unwrap().as_bytes().len()).max().unwrap())
}

#[test]
fn positions_are_as_long_as_was_said() {
    assert_eq!(longest(|_, len| len), Ok(19), "at the end");
    assert_eq!(longest(|_, _| 0), Ok(19), "at the start");
    assert_eq!(longest(|nth, len| if nth % 2 == 0 { 0 } else { len }), Ok(19), "at both ends");
    assert_eq!(longest(|_, _| 1), Ok(37), "after a fixed element");
    assert_eq!(longest(|nth, _| nth + 1), Ok(37), "before a fixed element, which is after the last inserted");
    assert_eq!(longest(|nth, _| nth / 2 + 1), Err(110), "always in the middle of what was inserted");
    let random = |nth: usize, len: usize| nth.wrapping_mul(0x9e37_79b9) / 7 % (len + 1);
    assert!(longest(random).is_ok_and(|bytes| bytes < 300), "{:?}", longest(random));
}

#[test]
fn a_refused_change_touches_nothing_and_says_why() {
    let mut list = Causal::<List<u8>>::new();
    let _sent = list.push_back_all(id(0), Hlc::new(5, 0), [1, 2, 3]).unwrap();
    let before = list.clone();
    let late = Hlc::new(6, 0);
    let out_of_range = |index| Err(ListError::OutOfRange { index, len: 3 });
    assert_eq!(list.insert(id(0), late, 4, 9), out_of_range(4));
    assert_eq!(list.set(id(0), late, 3, 9), out_of_range(3));
    assert_eq!(list.remove(id(0), 3), out_of_range(3));
    assert_eq!(list.move_to(id(0), late, 3, 0), out_of_range(3));
    assert_eq!(list.move_to(id(0), late, 0, 3), out_of_range(3));
    for stamp in [Hlc::new(5, 0), Hlc::new(4, 9)] {
        let stale = || Err(StaleStamp.into());
        assert_eq!(list.push_back(id(1), stamp, 9), stale());
        assert_eq!(list.push_front(id(1), stamp, 9), stale());
        assert_eq!(list.set(id(1), stamp, 0, 9), stale());
        assert_eq!(list.move_to(id(1), stamp, 0, 1), stale());
    }
    // Nothing to do is nothing done.
    assert!(list.insert_all(id(0), late, 1, []).unwrap().is_bottom());
    assert!(list.move_to(id(0), late, 1, 1).unwrap().is_bottom());
    assert!(list.truncate(id(0), 3).is_bottom() && list.retain_range(id(0), ..).is_bottom());
    assert!(list.remove_range(id(0), 3..9).is_bottom());
    assert_eq!(list, before);
    let mut empty = Causal::<List<u8>>::new();
    assert!(empty.pop_front(id(0)).is_bottom() && empty.pop_back(id(0)).is_bottom() && empty.clear(id(0)).is_bottom());
    // A stamp that was removed is still known to whoever saw it.
    let _sent = list.clear(id(0));
    assert_eq!(list.push_back(id(0), Hlc::new(5, 0), 9), Err(StaleStamp.into()));
}

/// Both change `[0, 1, 2, 3]`, and both read the third.
#[test]
fn concurrent_changes_mean_what_the_table_says() {
    type Change = fn(&mut Causal<List<u8>>, ReplicaId, Hlc) -> Causal<List<u8>>;
    let both = |one: Change, other: Change| {
        let mut left = Causal::<List<u8>>::new();
        let _sent = left.push_back_all(id(0), Hlc::new(1, 0), [0, 1, 2, 3]).unwrap();
        let mut right = left.clone();
        let first = one(&mut left, id(0), Hlc::new(2, 0));
        let second = other(&mut right, id(1), Hlc::new(2, 0));
        left.merge(second);
        right.merge(first);
        assert_eq!(left, right);
        left.iter().copied().collect::<Vec<_>>()
    };
    let set: Change = |list, by, stamp| list.set(by, stamp, 1, if by == id(0) { 8 } else { 9 }).unwrap();
    let remove: Change = |list, by, _| list.remove(by, 1).unwrap();
    let insert: Change = |list, by, stamp| list.insert(by, stamp, 2, if by == id(0) { 8 } else { 9 }).unwrap();
    let several: Change =
        |list, by, stamp| list.insert_all(by, stamp, 2, if by == id(0) { [6, 7] } else { [8, 9] }).unwrap();
    let push: Change = |list, by, stamp| list.push_back(by, stamp, if by == id(0) { 8 } else { 9 }).unwrap();
    let forth: Change = |list, by, stamp| list.move_to(by, stamp, 1, 3).unwrap();
    let back: Change = |list, by, stamp| list.move_to(by, stamp, 1, 0).unwrap();
    let trim: Change = |list, by, _| list.retain_range(by, 2..);
    let clear: Change = |list, by, _| list.clear(by);
    let pop: Change = |list, by, _| list.pop_back(by);
    assert_eq!(both(set, set), [0, 9, 2, 3]);
    assert_eq!(both(set, remove), [0, 8, 2, 3]);
    assert_eq!(both(set, forth), [0, 8, 2, 3, 1]);
    assert_eq!(both(remove, remove), [0, 2, 3]);
    assert_eq!(both(remove, insert), [0, 9, 2, 3]);
    assert_eq!(both(insert, insert), [0, 1, 8, 9, 2, 3]);
    assert_eq!(both(several, several), [0, 1, 6, 7, 8, 9, 2, 3]);
    assert_eq!(both(push, push), [0, 1, 2, 3, 8, 9]);
    assert_eq!(both(forth, back), [1, 0, 2, 3, 1]);
    assert_eq!(both(trim, push), [2, 3, 9]);
    assert_eq!(both(clear, push), [9]);
    assert_eq!(both(pop, pop), [0, 1, 2]);
}

#[test]
fn a_position_is_a_cursor_that_outlives_its_element() {
    let mut list = Causal::<List<char>>::new();
    let _sent = list.push_back_all(id(0), Hlc::new(1, 0), ['a', 'b', 'c']).unwrap();
    let cursor = list.position(1).unwrap().clone();
    let _gone = list.remove(id(0), 1).unwrap();
    assert_eq!(list.index_of(&cursor), Err(1));
    let _sent = list.insert_after(id(0), Hlc::new(2, 0), &cursor, 'x').unwrap();
    let _sent = list.insert_before(id(0), Hlc::new(3, 0), &cursor, 'w').unwrap();
    assert!(list.iter().eq(&['a', 'w', 'x', 'c']) || list.iter().eq(&['a', 'x', 'w', 'c']));
    assert!(list.range(1..3).eq(list.iter().skip(1).take(2)) && list.range(3..99).eq(&['c']));
    assert_eq!((list.first(), list.last(), list.get(4)), (Some(&'a'), Some(&'c'), None));
}

#[test]
fn bytes_that_are_no_position_are_refused() {
    let mut list = Causal::<List<usize>>::new();
    let _sent = list.push_back_all(id(0), Hlc::new(1, 0), 0..300).unwrap();
    let _sent = list.insert_all(id(0), Hlc::new(2, 0), 7, 0..300).unwrap();
    for index in 0..list.len() {
        let position = list.position(index).unwrap();
        let bytes = position.as_bytes();
        assert_eq!(Position::from_bytes(bytes).as_ref(), Ok(position));
        for cut in 0..bytes.len() {
            assert!(Position::from_bytes(&bytes[..cut]).is_err());
        }
        assert!(Position::from_bytes(&[bytes, &[1]].concat()).is_err());
        assert!(Position::from_bytes(&[&[9], bytes].concat()).is_err());
    }
    // A step below a later one; an offset in four bytes that fits one.
    let step = |side: u8, clock: u8, end: &[u8]| [&[side][..], &[0; 7], &[clock], &[0; 8], end].concat();
    assert!(Position::from_bytes(&[step(1, 5, &[0]), step(0, 6, &[0, 1])].concat()).is_ok());
    assert!(Position::from_bytes(&[step(1, 5, &[0]), step(0, 5, &[0, 1])].concat()).is_err());
    assert!(Position::from_bytes(&step(1, 5, &[0xf0, 0, 0, 0, 0xf0, 1])).is_ok());
    assert!(Position::from_bytes(&step(1, 5, &[0xf0, 0, 0, 0, 0xef, 1])).is_err());
    assert!(Position::from_bytes(&step(1, 5, &[0xf1, 0, 0, 0, 0xf0, 1])).is_err());
    let deep: Vec<u8> = (1..=57).flat_map(|nth| step(u8::from(nth == 1), nth, &[0])).chain([1]).collect();
    assert!(Position::from_bytes(&deep).is_err());
    assert!(Position::from_bytes(&[&deep[..deep.len() - 19], &[1]].concat()).is_ok());
}

/// A stamp for whoever is alone with a list.
fn tick<T>(list: &List<T>) -> Hlc {
    let mut clock = HybridClock::new(1 << 40);
    clock.observe(list.latest_stamp(), 0).unwrap();
    clock.tick(0).unwrap()
}
