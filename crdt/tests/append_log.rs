//! Logs against what they promise: whoever reads with a cursor, at whatever replica, reads each entry that is not
//! removed before exactly once; what is there is what the happens-before history says, in the order of ids.

mod exchange;

use std::collections::{BTreeMap, BTreeSet};

use cahoots_crdt::{
    AppendLog, Causal, EntryId, Hlc, HybridClock, Lattice, OrMap, ReplicaId, StaleStamp, VersionVector,
};
use exchange::{Exchange, Transfer, recoded};
use proptest::prelude::*;

type State = Causal<AppendLog<u32>>;

const REPLICAS: usize = 3;
const READERS: usize = 3;
const EVENTS_MAX: usize = 64;

fn id(n: usize) -> ReplicaId {
    ReplicaId::new(n as u64 + 1)
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        by: usize,
        count: usize,
    },
    Remove {
        by: usize,
        at: usize,
    },
    TrimTo {
        by: usize,
        len: usize,
    },
    TrimBefore {
        by: usize,
        at: usize,
    },
    Clear {
        by: usize,
    },
    Wall {
        by: usize,
        millis: i64,
    },
    /// Goes on from what it stored, with a clock that knows nothing else.
    Restart {
        by: usize,
    },
    Read {
        reader: usize,
        at: usize,
        count: usize,
    },
    Carry(Transfer),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let by = || 0..REPLICAS;
    let any_at = || 0..1_000_usize;
    let pieces = |(nth, to)| Step::Carry(Transfer::Pieces { nth, to, bytes_max: 30, backwards: true });
    let step = prop_oneof![
        8 => (by(), 1..4_usize).prop_map(|(by, count)| Step::Append { by, count }),
        2 => (by(), any_at()).prop_map(|(by, at)| Step::Remove { by, at }),
        1 => (by(), 0..6_usize).prop_map(|(by, len)| Step::TrimTo { by, len }),
        1 => (by(), any_at()).prop_map(|(by, at)| Step::TrimBefore { by, at }),
        1 => by().prop_map(|by| Step::Clear { by }),
        2 => (by(), -6..6_i64).prop_map(|(by, millis)| Step::Wall { by, millis }),
        1 => by().prop_map(|by| Step::Restart { by }),
        8 => (0..READERS, by(), 1..5_usize).prop_map(|(reader, at, count)| Step::Read { reader, at, count }),
        8 => (any_at(), by()).prop_map(|(nth, to)| Step::Carry(Transfer::Delta { nth, to })),
        1 => (any_at(), by()).prop_map(pieces),
        2 => (by(), by()).prop_map(|(from, to)| Step::Carry(Transfer::State { from, to })),
        1 => (by(), by()).prop_map(|(from, to)| Step::Carry(Transfer::Lacking { from, to })),
    ];
    prop::collection::vec(step, 1..70)
}

struct Event {
    adds: Vec<u32>,
    removes: Vec<u32>,
}

struct Clock {
    clock: HybridClock,
    wall: i64,
}

#[derive(Default)]
struct Reader {
    cursor: VersionVector,
    read: Vec<u32>,
}

struct World {
    exchange: Exchange<AppendLog<u32>>,
    clocks: Vec<Clock>,
    readers: Vec<Reader>,
    events: Vec<Event>,
    ids: BTreeMap<EntryId, u32>,
    next: u32,
    restarted: bool,
}

impl World {
    fn new() -> Self {
        let clock = || Clock { clock: HybridClock::new(1 << 40), wall: 99 };
        Self {
            exchange: Exchange::new(REPLICAS),
            clocks: (0..REPLICAS).map(|_| clock()).collect(),
            readers: (0..READERS).map(|_| Reader::default()).collect(),
            events: Vec::new(),
            ids: BTreeMap::new(),
            next: 0,
            restarted: false,
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
        // All that is left is read, one by one, at any replica.
        for reader in 0..READERS {
            for nth in 0..=self.next as usize {
                self.step(&Step::Read { reader, at: nth % REPLICAS, count: 1 });
            }
        }
        let removed: BTreeSet<u32> = self.events.iter().flat_map(|event| event.removes.iter().copied()).collect();
        for Reader { read, .. } in &self.readers {
            let distinct: BTreeSet<u32> = read.iter().copied().collect();
            assert_eq!(distinct.len(), read.len(), "an entry was read twice: {read:?}");
            for entry in (0..self.next).filter(|entry| !removed.contains(entry)) {
                assert!(distinct.contains(&entry), "{entry} was never read: {read:?}");
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Wall { by, millis } => self.clocks[by].wall = (self.clocks[by].wall + millis).max(1),
            Step::Restart { by } => {
                self.exchange.states[by] = recoded(&self.exchange.states[by]);
                self.clocks[by].clock = HybridClock::new(1 << 40);
                self.restarted = true;
            }
            Step::Read { reader, at, count } => {
                let reader = &mut self.readers[reader];
                let (entries, cursor) = self.exchange.states[at].read_after(&reader.cursor, count);
                assert!(entries.len() <= count);
                assert!(self.restarted || entries.is_sorted_by_key(|(id, _)| *id));
                reader.read.extend(entries.iter().map(|(_, value)| **value));
                reader.cursor = cursor;
            }
            Step::Carry(transfer) => {
                if let Some(to) = self.exchange.carry(transfer) {
                    self.check(to);
                }
            }
            ref change => self.change(change),
        }
    }

    fn change(&mut self, step: &Step) {
        let (Step::Append { by, .. }
        | Step::Remove { by, .. }
        | Step::TrimTo { by, .. }
        | Step::TrimBefore { by, .. }
        | Step::Clear { by }) = *step
        else {
            return;
        };
        if self.events.len() == EVENTS_MAX {
            return;
        }
        let Clock { clock, wall } = &mut self.clocks[by];
        let log = &mut self.exchange.states[by];
        let before: Vec<(EntryId, u32)> = log.iter().map(|(id, value)| (id, *value)).collect();
        let mut event = Event { adds: Vec::new(), removes: Vec::new() };
        let delta = match *step {
            Step::Append { count, .. } => {
                let wall = wall.unsigned_abs();
                clock.observe(log.latest_stamp(), wall).unwrap();
                event.adds = (self.next..).take(count).collect();
                self.next += u32::try_from(count).unwrap();
                log.append_all(id(by), clock.tick(wall).unwrap(), event.adds.iter().copied()).unwrap()
            }
            Step::Remove { at, .. } => match at.checked_rem(before.len()) {
                Some(at) => {
                    event.removes.push(before[at].1);
                    log.remove(id(by), before[at].0)
                }
                None => return,
            },
            Step::TrimTo { len, .. } => {
                event.removes = before[..before.len().saturating_sub(len)].iter().map(|entry| entry.1).collect();
                log.trim_to(id(by), len)
            }
            Step::TrimBefore { at, .. } => match at.checked_rem(before.len()) {
                Some(at) => {
                    let stamp = before[at].0.stamp;
                    let older = before.iter().take_while(|(id, _)| id.stamp < stamp);
                    event.removes = older.map(|entry| entry.1).collect();
                    log.trim_before(id(by), stamp)
                }
                None => return,
            },
            _ => {
                event.removes = before.iter().map(|entry| entry.1).collect();
                log.clear(id(by))
            }
        };
        let mut expected: Vec<u32> = before.iter().map(|entry| entry.1).collect();
        expected.retain(|entry| !event.removes.contains(entry));
        expected.extend(&event.adds);
        assert!(self.restarted || log.iter().map(|(_, value)| value).eq(&expected), "{step:?}");
        assert_eq!(delta.is_bottom(), event.adds.is_empty() && event.removes.is_empty());
        if !delta.is_bottom() {
            self.exchange.publish(by, delta);
            self.events.push(event);
        }
        self.check(by);
    }

    fn check(&mut self, at: usize) {
        let seen = self.exchange.seen[at];
        let same = self.exchange.check(at).encode();
        let state = &self.exchange.states[at];
        assert_eq!(same, state.encode());
        let entries: Vec<(EntryId, u32)> = state.iter().map(|(id, value)| (id, *value)).collect();
        assert!(self.restarted || entries.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(entries.len(), state.len());
        for (id, value) in &entries {
            assert_eq!(self.ids.entry(*id).or_insert(*value), value, "an id names one entry");
            assert_eq!(state.get(*id), Some(value));
        }
        let visible = || self.events.iter().enumerate().filter(|(nth, _)| seen >> nth & 1 == 1);
        let gone: BTreeSet<u32> = visible().flat_map(|(_, event)| event.removes.iter().copied()).collect();
        let there = visible().flat_map(|(_, event)| event.adds.iter().copied());
        let there: BTreeSet<u32> = there.filter(|entry| !gone.contains(entry)).collect();
        assert_eq!(entries.iter().map(|entry| entry.1).collect::<BTreeSet<_>>(), there);
    }
}

proptest! {
    #[test]
    fn every_entry_that_stays_is_read_exactly_once_by_readers_that_move(steps in steps()) {
        World::new().run(&steps);
    }
}

#[test]
fn a_stamp_that_is_not_above_all_seen_is_refused() {
    let mut log = State::new();
    let _sent = log.append(id(0), Hlc::new(5, 0), 1).unwrap();
    let entry = log.iter().next().unwrap().0;
    assert_eq!(log.append(id(1), Hlc::new(5, 0), 2), Err(StaleStamp));
    assert!(log.append_all(id(1), Hlc::new(6, 0), []).unwrap().is_bottom());
    assert!(log.remove(id(1), EntryId { stamp: Hlc::new(6, 0), ..entry }).is_bottom());
    assert!(!log.remove(id(1), entry).is_bottom() && log.is_empty());
    assert!(log.remove(id(1), entry).is_bottom() && log.trim_to(id(1), 0).is_bottom());
    assert_eq!(log.append(id(1), Hlc::new(5, 0), 2), Err(StaleStamp));
}

#[test]
fn an_entry_that_overtook_an_earlier_one_waits_for_it() {
    let mut log = State::new();
    let first = log.append(id(0), Hlc::new(1, 0), 1).unwrap();
    let second = log.append(id(0), Hlc::new(2, 0), 2).unwrap();
    let mut elsewhere = State::new();
    elsewhere.merge(second);
    let (entries, cursor) = elsewhere.read_after(&VersionVector::new(), 9);
    assert!(entries.is_empty() && elsewhere.len() == 1);
    elsewhere.merge(first);
    let (entries, cursor) = elsewhere.read_after(&cursor, 9);
    assert_eq!(entries.iter().map(|(_, value)| **value).collect::<Vec<_>>(), [1, 2]);
    assert!(elsewhere.read_after(&cursor, 9).0.is_empty());
}

#[test]
fn a_log_in_a_map_is_read_under_the_context_of_the_map() {
    let mut map: Causal<OrMap<u8, AppendLog<u8>>> = Causal::new();
    for n in 0..10 {
        let _sent = map.try_update(id(0), n % 2, |log, m| log.append(m, Hlc::new(u64::from(n) + 1, 0), n)).unwrap();
    }
    let log = map.get(&1).unwrap();
    let (entries, cursor) = log.read_after(map.context(), &VersionVector::new(), 3);
    assert_eq!(entries.iter().map(|(_, value)| **value).collect::<Vec<_>>(), [1, 3, 5]);
    let (entries, _) = log.read_after(map.context(), &cursor, 3);
    assert_eq!(entries.iter().map(|(_, value)| **value).collect::<Vec<_>>(), [7, 9]);
}

/// Long enough for several levels of the table, and for merges one by one and in one pass.
#[test]
fn a_long_log_is_trimmed_and_merged() {
    let (mut log, mut elsewhere) = (State::new(), State::new());
    let mut gathered = State::empty_delta();
    for n in 0..5_000_u32 {
        let delta = log.append(id(n as usize % 7), Hlc::new(u64::from(n) + 1, 0), n).unwrap();
        if n % 3 == 0 {
            elsewhere.merge(delta);
        } else {
            gathered.merge(delta);
        }
        if n % 500 == 499 {
            gathered.merge(log.trim_to(id(0), 1_000));
            assert_eq!(log.len(), 500.max(n as usize + 1).min(1_000));
            assert!(log.iter().map(|(_, value)| *value).eq((n + 1).saturating_sub(1_000)..=n));
        }
    }
    elsewhere.merge(gathered.clone());
    assert_eq!(elsewhere, log);
    elsewhere.merge(gathered);
    let _gone = log.trim_before(id(1), Hlc::new(4_500, 0));
    elsewhere.merge(log.clone());
    assert!(elsewhere == log && log.len() == 501);
    assert_eq!(recoded(&log), log);
}
