//! Events as no replica that keeps the rules writes them: refused whole, or applied so that every invariant holds.

use cahoots_crdt::Dot;
use cahoots_gossip::store::{Applied, BUCKETS, Class, EventError, Store};
use cahoots_gossip::{Limits, ReplicaId};

const WALL: u64 = 1_700_000_000_000;
const ME: ReplicaId = ReplicaId::new(1);
const PEER: ReplicaId = ReplicaId::new(2);
const WRITER: ReplicaId = ReplicaId::new(3);

fn store(id: ReplicaId) -> Store {
    Store::new(id, Limits::default(), 1 << 20)
}

/// What a store has written since it was asked last, with the dots.
fn events(store: &mut Store) -> Vec<(Dot, Vec<u8>)> {
    store.seal();
    let id = store.id();
    std::iter::from_fn(|| store.poll_sealed()).map(|it| (Dot::new(id, it.seq), it.body)).collect()
}

fn give(events: &[(Dot, Vec<u8>)], to: &mut Store) {
    events.iter().for_each(|(event, body)| assert_eq!(to.apply(*event, body), Ok(Applied::Now)));
}

/// A replica that has seen some, and events of another that hold every kind of change.
fn scene() -> (Store, Vec<(Dot, Vec<u8>)>) {
    let [mut me, mut peer, mut writer] = [ME, PEER, WRITER].map(store);
    peer.write(WALL, 0, |w| {
        w.set(b"text", b"10").unwrap();
        w.add(b"text", 5).unwrap();
        w.add(b"count", 5).unwrap();
        w.insert(b"set", Class::Set, b"x", b"").unwrap();
        w.insert(b"hash", Class::Hash, b"f", b"7").unwrap();
        w.cast(b"vote", Class::Vote, b"y").unwrap();
    });
    let first = events(&mut peer);
    [&mut me, &mut writer].into_iter().for_each(|to| give(&first, to));
    writer.write(WALL, 0, |w| {
        w.set(b"text", b"11").unwrap();
        w.add(b"count", 1).unwrap();
        w.insert(b"set", Class::Set, b"x", b"").unwrap();
        w.cast(b"vote", Class::Vote, b"z").unwrap();
        w.cast(b"room", Class::Presence, b"2").unwrap();
        w.discard(b"vote", Class::Vote, PEER).unwrap();
        w.add_field(b"hash", b"f", 3).unwrap();
    });
    let mut all = events(&mut writer);
    writer.write(WALL + 1, 0, |w| {
        w.remove(b"set", Class::Set, b"x").unwrap();
        w.delete(b"count").unwrap();
        w.set(b"hash", b"now a text").unwrap();
    });
    all.extend(events(&mut writer));
    writer.write(WALL + 2, 0, |w| w.clear().unwrap());
    all.extend(events(&mut writer));
    (me, all)
}

#[test]
fn no_byte_of_an_event_changed_or_cut_off_does_any_harm() {
    let (mut me, events) = scene();
    let (mut refused, mut applied) = (0, 0);
    for (event, body) in &events {
        let print = me.fingerprint();
        let mut copy = me.clone();
        let mut offer = |bytes: &[u8]| {
            let answer = copy.apply(*event, bytes);
            if answer == Ok(Applied::Now) {
                assert!(copy.fingerprints_are_exact(), "{bytes:?}");
                copy.clone_from(&me);
                applied += 1;
            } else {
                assert_eq!(copy.fingerprint(), print, "{bytes:?}");
                refused += 1;
            }
        };
        (0..body.len()).for_each(|len| offer(&body[..len]));
        for at in 0..body.len() {
            let mut bytes = body.clone();
            let flipped = (0..u8::BITS).map(|bit| body[at] ^ 1 << bit);
            for value in flipped.chain([0, 1, 0x7F, 0x80, 0xFF]) {
                bytes[at] = value;
                offer(&bytes);
            }
            bytes[at] = body[at];
            bytes.insert(at, 0x80);
            offer(&bytes);
            bytes.remove(at);
            bytes.remove(at);
            offer(&bytes);
        }
        give(std::slice::from_ref(&(*event, body.clone())), &mut me);
        assert!(me.fingerprints_are_exact());
    }
    assert!(refused > 300 && applied > 300, "{refused} refused, {applied} applied");
}

/// An assignment at the place of another one of the same event.
#[test]
fn an_event_that_assigns_twice_at_one_place_leaves_a_fingerprint_that_is_exact() {
    let mut writer = store(WRITER);
    writer.write(WALL, 0, |w| w.set(b"k", b"v").unwrap());
    let (event, body) = events(&mut writer).remove(0);
    // ... 1 key: length, "k", 1 change: it, to the end.
    let key = body.windows(3).rposition(|it| it == [1, b'k', 1]).unwrap();
    let change = body[key + 3..].to_vec();
    let mut bytes = body;
    bytes[key + 2] = 2;
    let mut other = change;
    *other.last_mut().unwrap() = b'w';
    bytes.extend(other);
    let mut me = store(ME);
    let answer = me.apply(event, &bytes);
    assert!(me.fingerprints_are_exact(), "{answer:?}");
}

fn body(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|it| postcard::to_allocvec(it).unwrap()).collect()
}

#[test]
fn counts_of_more_than_there_is_are_refused_at_once() {
    let mut me = store(ME);
    let print = me.fingerprint();
    let event = Dot::new(WRITER, 1);
    let clock = WALL << 16;
    let buckets = BUCKETS as u64;
    for most in [1, 127, 128, 1 << 20, u64::MAX >> 1, u64::MAX] {
        // Parts; dots named; dots cleared; keys; the length of a key.
        for hostile in [
            body(&[clock, 0, most]),
            body(&[clock, 0, 1, 0, most]),
            body(&[clock, 0, 1, 0, 0, 1, most]),
            body(&[clock, 0, 1, 0, 0, 0, most]),
            body(&[clock, 0, 1, 0, 0, 0, 1, most]),
            body(&[clock, 0, 1, buckets + most / 2, 0, 0, 0]),
        ] {
            assert!(me.apply(event, &hostile).is_err(), "{hostile:?}");
            assert_eq!(me.fingerprint(), print);
        }
    }
    // All buckets touched, and nothing done in any; one more; one twice.
    let parts = |buckets: &mut dyn Iterator<Item = u64>| buckets.flat_map(|it| [it, 0, 0, 0]).collect::<Vec<_>>();
    let all = [vec![clock, 0, buckets], parts(&mut (0..buckets))].concat();
    let more = [vec![clock, 0, buckets + 1], parts(&mut (0..=buckets))].concat();
    let twice = [vec![clock, 0, 2], parts(&mut [5, 5].into_iter())].concat();
    assert!(matches!(me.apply(event, &body(&more)), Err(EventError::Illegal(_))));
    assert!(matches!(me.apply(event, &body(&twice)), Err(EventError::Illegal(_))));
    assert_eq!(me.fingerprint(), print);
    assert_eq!(me.apply(event, &body(&all)), Ok(Applied::Now));
    assert!(me.fingerprints_are_exact());
}
