//! Streams at several replicas: ids that ascend and are nobody else's, readers that move, and what is left of what is gone.

use cahoots_gossip::store::{
    Applied, BUCKETS, CURSOR_ORIGINS_MAX, Class, EventError, Mark, NewId, Store, StreamCursor, StreamId, WriteError,
};
use cahoots_gossip::{Dot, Limits, ReplicaId};
use proptest::prelude::*;

const WALL: u64 = 1_700_000_000_000;
const KEY: &[u8] = b"x";
/// More than are kept without an order.
const MANY: u64 = 100;

fn stores<const N: usize>() -> [Store; N] {
    std::array::from_fn(|at| Store::new(ReplicaId::new(at as u64 + 1), Limits::default(), 400))
}

/// Seals what one replica has written, and hands it to the others.
fn send(from: &mut Store, others: &mut [&mut Store]) {
    from.seal();
    let id = from.id();
    while let Some(sealed) = from.poll_sealed() {
        for to in &mut *others {
            assert_eq!(to.apply(Dot::new(id, sealed.seq), &sealed.body), Ok(Applied::Now));
        }
    }
}

fn exchange(a: &mut Store, b: &mut Store) {
    send(a, &mut [b]);
    send(b, &mut [a]);
    assert!(a.fingerprints_are_exact() && b.fingerprints_are_exact());
    assert_eq!(a.fingerprint(), b.fingerprint());
}

fn transfer(from: &mut Store, to: &mut Store) {
    let theirs = to.bucket_fingerprints(0, BUCKETS);
    let (bytes, _) = from.encode_transfer(0, &theirs, usize::MAX, usize::MAX);
    to.join_transfer(&bytes).expect("it is sound");
}

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId::new(ms, seq)
}

fn append(store: &mut Store, at: u64, wanted: NewId, value: &str) -> Result<StreamId, WriteError> {
    store.write(WALL + at, 0, |w| w.append(KEY, wanted, [(&b"f"[..], value.as_bytes())]))
}

fn add(store: &mut Store, at: u64, value: &str) -> StreamId {
    append(store, at, NewId::Next, value).expect("admitted")
}

fn remove(store: &mut Store, at: u64, ids: &[StreamId]) -> usize {
    store.write(WALL + at, 0, |w| w.remove_entries(KEY, ids)).expect("admitted")
}

/// The entries that are shown, by what their one field says.
fn listed(store: &Store) -> Vec<(StreamId, String)> {
    let Some(view) = store.at(WALL).view(KEY) else { return Vec::new() };
    let stream = view.stream();
    let told: Vec<_> = stream.ranks(0..stream.len()).map(|(id, fields)| (id, said(fields))).collect();
    let mut backwards: Vec<_> =
        stream.range(StreamId::MIN, StreamId::MAX).rev().map(|(id, it)| (id, said(it))).collect();
    backwards.reverse();
    assert_eq!((told.len(), &told), (view.len(), &backwards));
    assert!(told.is_sorted_by(|a, b| a.0 < b.0) && told.last().is_none_or(|(id, _)| *id <= stream.last_id()));
    assert!(told.iter().enumerate().all(|(rank, (id, _))| stream.contains(*id) && stream.rank_from(*id) == rank));
    told
}

fn said(mut fields: cahoots_gossip::store::Fields<'_>) -> String {
    String::from_utf8_lossy(fields.next().expect("one field").1).into_owned()
}

fn last_id(store: &Store) -> Option<StreamId> {
    Some(store.at(WALL).view(KEY)?.stream().last_id())
}

#[test]
fn ids_are_above_all_that_were_seen_whoever_made_them() {
    let [mut a, mut b] = stores();
    let mut last = StreamId::MIN;
    for round in 0..MANY {
        let [first, second] = [add(&mut a, round % 3, "a"), add(&mut b, round % 5, "b")];
        assert!(first > last && second > last && first != second, "{first} and {second} after {last}");
        exchange(&mut a, &mut b);
        last = first.max(second);
    }
    assert_eq!(listed(&a).len() as u64, 2 * MANY);
    assert_eq!(listed(&a), listed(&b));
}

#[test]
fn ids_that_are_given_are_taken_if_they_are_above_all_and_continued_from() {
    let [mut a, mut b] = stores();
    let ahead = id(WALL + 1_000_000, 5);
    assert_eq!(append(&mut a, 0, NewId::Exactly(id(7, 7)), "1"), Ok(id(7, 7)));
    assert_eq!(append(&mut a, 0, NewId::Exactly(id(7, 7)), "1"), Err(WriteError::IdNotAbove));
    assert_eq!(append(&mut a, 0, NewId::Within(7), "1"), Ok(id(7, 8)));
    assert_eq!(append(&mut a, 0, NewId::Within(6), "1"), Err(WriteError::IdNotAbove));
    assert_eq!(append(&mut a, 0, NewId::Within(8), "1"), Ok(id(8, 0)));
    assert_eq!(append(&mut a, 0, NewId::Exactly(ahead), "1"), Ok(ahead));
    exchange(&mut a, &mut b);
    let [first, second] = [add(&mut a, 0, "a"), add(&mut b, 0, "b")];
    assert!(first > ahead && second > ahead && first != second && first.ms == ahead.ms);
    assert!(add(&mut a, 0, "a") > first);
    let none = a.write(WALL, 0, |w| w.append(KEY, NewId::Next, []));
    assert_eq!(none, Err(WriteError::NoFields));
    assert_eq!(append(&mut a, 0, NewId::Exactly(StreamId::MAX), "1"), Ok(StreamId::MAX));
    for wanted in [NewId::Next, NewId::Within(u64::MAX), NewId::Exactly(StreamId::MAX)] {
        assert_eq!(append(&mut a, 0, wanted, "1"), Err(WriteError::IdsUsedUp));
    }
}

#[test]
fn the_same_id_given_at_two_replicas_is_one_entry_and_the_later_wins() {
    let [mut a, mut b] = stores();
    append(&mut b, 1, NewId::Exactly(id(5, 0)), "later").unwrap();
    append(&mut a, 0, NewId::Exactly(id(5, 0)), "earlier").unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(listed(&a), [(id(5, 0), "later".to_owned())]);
    assert_eq!(remove(&mut a, 2, &[id(5, 0)]), 1);
    exchange(&mut a, &mut b);
    assert_eq!(listed(&b), []);
}

#[test]
fn what_is_gone_is_remembered_in_few_and_in_many_and_by_an_empty_stream() {
    for count in [1, MANY] {
        let [mut a, mut b] = stores();
        let ids: Vec<StreamId> = (0..count).map(|_| add(&mut a, 0, "v")).collect();
        let last = *ids.last().unwrap();
        exchange(&mut a, &mut b);
        assert_eq!(remove(&mut b, 1, &[last, last, id(1, 1)]), 1);
        exchange(&mut a, &mut b);
        for store in [&mut a, &mut b] {
            assert_eq!(last_id(store), Some(last));
            assert_eq!(append(store, 1, NewId::Exactly(last), "v"), Err(WriteError::IdNotAbove));
        }
        assert_eq!(remove(&mut a, 2, &ids), ids.len() - 1);
        exchange(&mut a, &mut b);
        let mark = Mark { last, max_deleted: last, removed: count };
        for store in [&a, &b] {
            let view = store.at(WALL).view(KEY).expect("it is there without entries");
            assert_eq!((view.class(), view.len(), view.stream().mark()), (Class::Stream, 0, mark));
            assert!(view.is_empty());
        }
        assert!(add(&mut b, 0, "next") > last);
        assert_eq!(b.write(WALL, 0, |w| w.delete(KEY)), Ok(true));
        assert_eq!(last_id(&b), None, "what is deleted is forgotten whole");
        assert_eq!(append(&mut b, 0, NewId::Exactly(id(1, 1)), "v"), Ok(id(1, 1)));
        exchange(&mut a, &mut b);
        assert_eq!(last_id(&a), Some(id(1, 1)));
    }
}

/// Else a removal would hide a value that it has not seen.
#[test]
fn what_is_left_of_a_stream_shows_only_where_nothing_else_lies() {
    let [mut a, mut b] = stores();
    let only = add(&mut a, 0, "v");
    exchange(&mut a, &mut b);
    a.write(WALL, 0, |w| w.set(KEY, b"text")).unwrap();
    remove(&mut b, 1_000, &[only]);
    exchange(&mut a, &mut b);
    for store in [&a, &b] {
        assert_eq!(store.at(WALL).view(KEY).unwrap().text().as_deref(), Some(&b"text"[..]));
    }
    b.write(WALL, 0, |w| w.set(KEY, b"other")).unwrap();
    exchange(&mut a, &mut b);
    assert!(!a.at(WALL).view(KEY).unwrap().clashes());
    // An entry says more than that the stream is there: it is as new as it is.
    a.write(WALL, 0, |w| w.delete(KEY)).unwrap();
    exchange(&mut a, &mut b);
    b.write(WALL, 0, |w| w.set(KEY, b"text")).unwrap();
    add(&mut a, 5_000, "v");
    exchange(&mut a, &mut b);
    assert_eq!(b.at(WALL).view(KEY).unwrap().class(), Class::Stream);
}

#[test]
fn trimming_takes_the_oldest_and_leaves_what_it_has_not_seen() {
    for count in [3, MANY] {
        let [mut a, mut b] = stores();
        let ids: Vec<StreamId> = (0..count).map(|_| add(&mut a, 0, "v")).collect();
        exchange(&mut a, &mut b);
        let late = add(&mut a, 0, "late");
        assert_eq!(b.write(WALL, 0, |w| w.trim_entries(KEY, 2)), Ok(2));
        exchange(&mut a, &mut b);
        let left: Vec<StreamId> = listed(&b).into_iter().map(|(id, _)| id).collect();
        assert_eq!(left, [&ids[2..], &[late]].concat());
        let rest = left.len();
        b.write(WALL, 0, |w| w.expire(KEY, Some(WALL + 1_000))).unwrap();
        assert_eq!(b.write(WALL, 0, |w| w.trim_entries(KEY, usize::MAX)), Ok(rest));
        assert_eq!(b.at(WALL).view(KEY).unwrap().deadline(), Some(WALL + 1_000), "it is the same stream");
        assert_eq!(b.write(WALL, 0, |w| w.trim_entries(KEY, usize::MAX)), Ok(0));
        add(&mut b, 0, "v");
        b.write(WALL, 0, |w| w.expire(KEY, None)).unwrap();
        assert_eq!(b.write(WALL, 0, |w| w.trim_entries(KEY, usize::MAX)), Ok(1));
        exchange(&mut a, &mut b);
        let mark = a.at(WALL).view(KEY).unwrap().stream().mark();
        assert_eq!((mark.max_deleted, mark.removed), (StreamId::MIN, count + 2));
    }
}

#[test]
fn a_stream_ends_with_all_that_was_written_before_its_deadline() {
    for count in [1, MANY] {
        let [mut a, mut b] = stores();
        let ids: Vec<StreamId> = (0..count).map(|_| add(&mut a, 0, "v")).collect();
        a.write(WALL, 0, |w| w.expire(KEY, Some(WALL + 10))).unwrap();
        exchange(&mut a, &mut b);
        remove(&mut b, 0, &ids);
        add(&mut a, 5, "under it");
        exchange(&mut a, &mut b);
        for store in [&mut a, &mut b] {
            assert!(store.at(WALL + 9).view(KEY).is_some() && store.at(WALL + 10).view(KEY).is_none());
        }
        let next = add(&mut a, 20, "after");
        exchange(&mut a, &mut b);
        for store in [&a, &b] {
            let view = store.at(WALL + 99).view(KEY).expect("it was written after the deadline");
            assert_eq!((view.len(), view.stream().last_id(), view.deadline()), (1, next, None));
        }
    }
}

#[test]
fn what_no_replica_writes_is_refused_and_leaves_no_trace() {
    let entry = id(1, 1).to_bytes();
    let cases: [(&[u8], &[u8]); 6] = [
        (&entry, b""),
        (&entry, &[1, b'f']),
        (&entry[1..], &[0, 0]),
        (&[0; 16], &[0, 0]),
        (b"", b"x"),
        (&entry, &[0, 9]),
    ];
    for (name, value) in cases {
        let [mut a, mut b] = stores();
        a.write(WALL, 0, |w| w.insert(KEY, Class::Stream, name, value)).unwrap();
        let theirs = b.bucket_fingerprints(0, BUCKETS);
        let (bytes, _) = a.encode_transfer(0, &theirs, usize::MAX, usize::MAX);
        let sealed = a.poll_sealed().unwrap();
        let refused = b.apply(Dot::new(a.id(), 1), &sealed.body);
        assert_eq!(refused, Err(EventError::Illegal("an entry of a stream that nobody writes")));
        assert!(b.join_transfer(&bytes).is_err() && b.is_empty());
    }
}

/// The counterexample of the model to a cursor that is one id: b has the later id, and is read before a arrives.
#[test]
fn a_reader_sees_what_arrives_late() {
    let [mut a, mut b] = stores();
    let early = add(&mut a, 0, "a");
    let later = add(&mut b, 5, "b");
    assert!(early < later);
    let read = |store: &Store, cursor: &StreamCursor| {
        let view = store.at(WALL).view(KEY).unwrap();
        let (read, next) = view.stream().read_after(cursor, 9);
        (read.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), next)
    };
    let (first, cursor) = read(&b, &StreamCursor::default());
    exchange(&mut a, &mut b);
    let (second, cursor) = read(&b, &StreamCursor::decode(&cursor.encode()).unwrap());
    assert_eq!((first, second), (vec![later], vec![early]));
    assert_eq!(read(&a, &cursor).0, []);
}

#[test]
fn cursors_are_bounded_and_what_nobody_encoded_is_told() {
    let part = |replica: u64, ms: u64| [&replica.to_be_bytes()[..], &id(ms, 0).to_bytes()].concat();
    let encoded = |parts: &[Vec<u8>]| [&[1][..], &parts.concat()].concat();
    assert_eq!(StreamCursor::decode(&[1]), Ok(StreamCursor::default()));
    let good = encoded(&[part(1, 1), part(2, 1)]);
    assert_eq!(StreamCursor::decode(&good).unwrap().encode(), good);
    let refused = [vec![], vec![2], good[..good.len() - 1].to_vec(), encoded(&[part(2, 1), part(1, 1)])];
    let refused = refused.into_iter().chain([encoded(&[part(1, 1), part(1, 1)]), encoded(&[part(1, 0)])]);
    for bytes in refused {
        assert!(StreamCursor::decode(&bytes).is_err(), "{bytes:?}");
    }
    let many = |count: usize| encoded(&(0..count as u64).map(|replica| part(replica, 1)).collect::<Vec<_>>());
    let full = StreamCursor::decode(&many(CURSOR_ORIGINS_MAX)).expect("it is as long as one may be");
    assert!(StreamCursor::decode(&many(CURSOR_ORIGINS_MAX + 1)).is_err());
    // One more replica takes the place of one whose entries are the oldest.
    let mut store = Store::new(ReplicaId::new(u64::MAX), Limits::default(), 400);
    let new = add(&mut store, 0, "v");
    let (read, next) = store.at(WALL).view(KEY).unwrap().stream().read_after(&full, 9);
    assert_eq!((read.len(), next.encode().len(), next.of(store.id())), (1, full.encode().len(), new));
}

#[test]
fn the_clock_of_a_store_that_is_loaded_is_above_its_ids() {
    let [mut a, mut b] = stores();
    let only = add(&mut a, 1_000_000, "v");
    remove(&mut a, 0, &[only]);
    a.write(WALL, 0, |w| w.delete(KEY)).unwrap();
    a.seal();
    transfer(&mut a, &mut b);
    assert!(add(&mut a, 0, "v") > only, "its wall clock was set back");
    assert!(add(&mut b, 0, "v") > only, "nothing is left of the entry but the clock");
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize),
    AddAt(usize, u64),
    Remove(usize, usize),
    Trim(usize, usize),
    Send(usize),
    Transfer(usize, usize),
    Read(usize, usize, usize),
    Tick(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..3_usize;
    prop_oneof![
        20 => at().prop_map(Step::Add),
        2 => (at(), 0..50_u64).prop_map(|(at, ahead)| Step::AddAt(at, ahead)),
        5 => (at(), 0..60_usize).prop_map(|(at, rank)| Step::Remove(at, rank)),
        2 => (at(), 1..20_usize).prop_map(|(at, count)| Step::Trim(at, count)),
        10 => at().prop_map(Step::Send),
        4 => (at(), at()).prop_map(|(from, to)| Step::Transfer(from, to)),
        20 => (at(), 0..2_usize, prop::sample::select(vec![1, 2, 9, usize::MAX])).prop_map(|(at, reader, count)| Step::Read(at, reader, count)),
        5 => (0..3_u64).prop_map(Step::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Readers that go from replica to replica read every entry once that was not removed, and none twice, in streams that
    /// are few entries and in such that are many.
    #[test]
    fn readers_that_move_read_everything_once(steps in prop::collection::vec(step(), 1..200), before in prop::sample::select(vec![0, 80])) {
        let mut stores: [Store; 3] = stores();
        let (mut now, mut made, mut removed) = (0, Vec::new(), Vec::new());
        let mut readers = vec![(StreamCursor::default(), Vec::new()); 2];
        let mut read = |store: &Store, reader: usize, count: usize| {
            let Some(view) = store.at(WALL).view(KEY) else { return 0 };
            let (cursor, seen): &mut (StreamCursor, Vec<StreamId>) = &mut readers[reader];
            let (new, next) = view.stream().read_after(cursor, count);
            seen.extend(new.iter().map(|(id, _)| *id));
            *cursor = StreamCursor::decode(&next.encode()).unwrap();
            assert!(new.len() <= count && new.is_sorted_by(|a, b| a.0 < b.0));
            new.len()
        };
        for _ in 0..before {
            made.push(add(&mut stores[0], 0, "before"));
        }
        for step in steps {
            match step {
                Step::Add(at) => made.push(add(&mut stores[at], now, "v")),
                Step::AddAt(at, ahead) => {
                    let wanted = id(WALL + now + ahead, ahead << 50 | at as u64);
                    made.extend(append(&mut stores[at], now, NewId::Exactly(wanted), "v"));
                }
                Step::Remove(at, rank) => {
                    let found = stores[at].at(WALL).view(KEY).and_then(|view| Some(view.stream().get(rank)?.0));
                    if let Some(found) = found {
                        prop_assert_eq!(remove(&mut stores[at], now, &[found]), 1);
                        removed.push(found);
                    }
                }
                Step::Trim(at, count) => {
                    removed.extend(listed(&stores[at]).into_iter().map(|(id, _)| id).take(count));
                    stores[at].write(WALL + now, 0, |w| w.trim_entries(KEY, count)).unwrap();
                }
                Step::Send(at) => {
                    stores[at].seal();
                    let id = stores[at].id();
                    while let Some(sealed) = stores[at].poll_sealed() {
                        for to in (0..3).filter(|to| *to != at) {
                            // What waits for others comes by a transfer.
                            stores[to].apply(Dot::new(id, sealed.seq), &sealed.body).unwrap();
                        }
                    }
                }
                Step::Transfer(from, to) => {
                    if let Ok([from, to]) = stores.get_disjoint_mut([from, to]) {
                        transfer(from, to);
                    }
                }
                Step::Read(at, reader, count) => _ = read(&stores[at], reader, count),
                Step::Tick(by) => now += by,
            }
            for store in &mut stores {
                prop_assert!(store.fingerprints_are_exact());
            }
        }
        for _ in 0..2 {
            for (from, to) in [(0, 1), (1, 2), (2, 0)] {
                let [from, to] = stores.get_disjoint_mut([from, to]).unwrap();
                transfer(from, to);
            }
        }
        for (at, store) in stores.iter().enumerate() {
            prop_assert_eq!(listed(store), listed(&stores[0]));
            while (0..2).any(|reader| read(store, (reader + at) % 2, 3) > 0) {}
        }
        let all = made.len();
        made.sort_unstable();
        made.dedup();
        prop_assert_eq!(made.len(), all, "every id is given once");
        for (_, mut seen) in readers {
            let all = seen.len();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), all, "no entry is read twice");
            let missed: Vec<_> = made.iter().filter(|id| !removed.contains(id) && !seen.contains(id)).collect();
            prop_assert!(missed.is_empty(), "never read: {missed:?}");
        }
    }
}
