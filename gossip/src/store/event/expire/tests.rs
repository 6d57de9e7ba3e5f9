use cahoots_crdt::ReplicaId;

use super::*;
use crate::Limits;
use crate::store::{Applied, BUCKETS, Store};

const WALL: u64 = 1_700_000_000_000;

fn stores() -> [Store; 2] {
    [1, 2].map(|id| Store::new(ReplicaId::new(id), Limits::default(), 200))
}

fn send(from: &mut Store, to: &mut Store) {
    from.seal();
    let id = from.id();
    while let Some(sealed) = from.poll_sealed() {
        assert_eq!(to.apply(Dot::new(id, sealed.seq), &sealed.body), Ok(Applied::Now));
    }
}

fn text(store: &Store, at: u64, key: &str) -> Option<String> {
    let view = store.at(at).view(key.as_bytes())?;
    Some(String::from_utf8(view.text()?.into_owned()).expect("text"))
}

#[test]
fn set_ends_a_time_to_live_and_what_else_is_written_keeps_it() {
    let mut store = stores().into_iter().next().unwrap();
    let deadline = |store: &Store, key: &[u8]| store.at(WALL).view(key).expect("it is there").deadline();
    store.write(WALL, 0, |w| w.set_until(b"k", b"1", Some(WALL + 9))).unwrap();
    store.write(WALL, 0, |w| w.add(b"k", 1)).unwrap();
    assert_eq!(deadline(&store, b"k"), Some(WALL + 9));
    store.write(WALL, 0, |w| w.set_keeping(b"k", b"x")).unwrap();
    assert_eq!(deadline(&store, b"k"), Some(WALL + 9));
    assert_eq!(store.write(WALL, 0, |w| w.expire(b"k", None)), Ok(true));
    assert_eq!(store.write(WALL, 0, |w| w.expire(b"k", None)), Ok(false), "there is none any more");
    assert_eq!(deadline(&store, b"k"), None);
    assert_eq!(store.write(WALL, 0, |w| w.expire(b"k", Some(WALL + 5))), Ok(true));
    store.write(WALL, 0, |w| w.set(b"k", b"y")).unwrap();
    assert_eq!(deadline(&store, b"k"), None);
    assert_eq!(store.write(WALL, 0, |w| w.expire(b"k", Some(WALL))), Ok(true), "it has passed: the key is deleted");
    assert_eq!(store.write(WALL, 0, |w| w.expire(b"k", Some(WALL + 5))), Ok(false), "there is none");
    assert!(store.fingerprints_are_exact());
}

/// What was written under a deadline that its writer had not seen pass goes with it, though the key was removed in
/// between; what was written after it stays.
#[test]
fn what_survives_a_removal_ends_at_the_deadline_it_was_written_under() {
    let [mut a, mut b] = stores();
    a.write(WALL, 0, |w| w.insert(b"s", Class::Set, b"x", b"")).unwrap();
    a.write(WALL, 0, |w| w.expire(b"s", Some(WALL + 10))).unwrap();
    send(&mut a, &mut b);
    b.write(WALL + 1, 0, |w| w.delete(b"s")).unwrap();
    a.write(WALL + 1, 0, |w| w.insert(b"s", Class::Set, b"y", b"")).unwrap();
    send(&mut a, &mut b);
    send(&mut b, &mut a);
    for store in [&mut a, &mut b] {
        let members = |at| store.at(at).view(b"s").map(|view| view.len());
        assert_eq!((members(WALL + 9), members(WALL + 10)), (Some(1), None), "y outlives the removal, not its time");
    }
    a.write(WALL + 12, 0, |w| w.insert(b"s", Class::Set, b"z", b"")).unwrap();
    send(&mut a, &mut b);
    for store in [&mut a, &mut b] {
        let view = store.at(WALL + 99).view(b"s").expect("z was written after it");
        assert!(view.contains(b"z") && view.len() == 1 && view.deadline().is_none());
        assert!(store.fingerprints_are_exact());
    }
    assert_eq!(a.fingerprint(), b.fingerprint());
}

/// Rule 6: only what is hidden goes, and of a counter what was added since stays.
#[test]
fn a_removal_takes_what_is_hidden_and_nothing_else() {
    let [mut a, mut b] = stores();
    a.write(WALL, 0, |w| w.add_field(b"h", b"n", 5)).unwrap();
    a.write(WALL, 0, |w| w.expire(b"h", Some(WALL + 10))).unwrap();
    // It has not seen the deadline.
    b.write(WALL + 20, 0, |w| w.add_field(b"h", b"n", 1)).unwrap();
    send(&mut a, &mut b);
    send(&mut b, &mut a);
    for store in [&a, &b] {
        let view = store.at(WALL + 20).view(b"h").expect("one was added after the deadline");
        assert_eq!(view.get(b"n").as_deref(), Some(&b"1"[..]));
    }
    assert_eq!(b.write(WALL + 21, 0, |w| w.remove_expired(b"h")), Ok(true));
    assert_eq!(b.write(WALL + 21, 0, |w| w.remove_expired(b"h")), Ok(false));
    a.write(WALL + 21, 0, |w| w.add_field(b"h", b"n", 2)).unwrap();
    send(&mut a, &mut b);
    send(&mut b, &mut a);
    for store in [&mut a, &mut b] {
        assert_eq!(store.at(WALL + 22).view(b"h").unwrap().get(b"n").as_deref(), Some(&b"3"[..]));
        assert!(store.fingerprints_are_exact());
    }
    let theirs = b.bucket_fingerprints(0, BUCKETS);
    assert_eq!(a.bucket_fingerprints(0, BUCKETS), theirs);
}

#[test]
fn an_assignment_says_that_it_never_ends_to_a_deadline_set_elsewhere_before_it() {
    let [mut a, mut b] = stores();
    a.write(WALL, 0, |w| w.set_until(b"k", b"v", Some(WALL + 10))).unwrap();
    b.write(WALL + 1, 0, |w| w.set(b"k", b"w")).unwrap();
    send(&mut a, &mut b);
    send(&mut b, &mut a);
    for store in [&a, &b] {
        assert_eq!(text(store, WALL + 50, "k").as_deref(), Some("w"));
    }
}

/// Has a field of a hash, assigned or added to, end at a deadline.
fn field(store: &mut Store, at: u64, name: &str, deadline: u64) {
    assert_eq!(store.write(at, 0, |w| w.expire_field(b"h", name.as_bytes(), Some(deadline))), Ok(true));
}

fn put(store: &mut Store, at: u64, name: &str, value: &str) {
    store.write(at, 0, |w| w.insert(b"h", Class::Hash, name.as_bytes(), value.as_bytes())).unwrap();
}

fn add(store: &mut Store, at: u64, name: &str, delta: i64) {
    store.write(at, 0, |w| w.add_field(b"h", name.as_bytes(), delta)).unwrap();
}

fn value(store: &Store, at: u64, name: &str) -> Option<String> {
    let view = store.at(at).view(b"h")?;
    Some(String::from_utf8(view.get(name.as_bytes())?.into_owned()).expect("text"))
}

fn both(a: &mut Store, b: &mut Store) {
    send(a, b);
    send(b, a);
    assert_eq!(a.fingerprint(), b.fingerprint());
    assert!(a.fingerprints_are_exact() && b.fingerprints_are_exact());
}

#[test]
fn an_assignment_ends_a_fields_time_to_live_and_an_increment_keeps_it() {
    let [mut store, _] = stores();
    let deadline = |store: &Store| store.at(WALL).view(b"h").expect("it is there").field_deadline(b"f");
    put(&mut store, WALL, "f", "1");
    put(&mut store, WALL, "g", "1");
    assert_eq!(store.write(WALL, 0, |w| w.expire_field(b"h", b"x", Some(WALL + 9))), Ok(false), "no such field");
    field(&mut store, WALL, "f", WALL + 9);
    add(&mut store, WALL, "f", 1);
    assert_eq!(deadline(&store), Some(WALL + 9));
    put(&mut store, WALL, "f", "7");
    assert_eq!(deadline(&store), None);
    field(&mut store, WALL, "f", WALL + 9);
    assert_eq!(store.write(WALL, 0, |w| w.expire_field(b"h", b"f", None)), Ok(true));
    assert_eq!(store.write(WALL, 0, |w| w.expire_field(b"h", b"f", None)), Ok(false), "there is none any more");
    assert_eq!(deadline(&store), None);
    field(&mut store, WALL, "f", WALL);
    assert_eq!((value(&store, WALL, "f"), value(&store, WALL, "g")), (None, Some("1".into())), "it has passed");
    field(&mut store, WALL, "g", WALL + 9);
    assert!(store.at(WALL + 8).view(b"h").is_some() && store.at(WALL + 9).view(b"h").is_none(), "the last field");
    assert!(store.fingerprints_are_exact());
}

/// Each of these is a counterexample of the model to a rule less: what is left at `WALL + 50` of the field f.
#[test]
fn fields_that_are_written_and_removed_at_once_end_as_the_rules_say() {
    type Step = fn(&mut Store, &mut Store);
    let histories: [(&str, Step, Option<&str>); 6] = [
        (
            "an assignment says that its field never ends, to a deadline set elsewhere before it",
            |a, b| {
                put(a, WALL, "f", "v");
                field(a, WALL, "f", WALL + 10);
                put(b, WALL + 1, "f", "w");
            },
            Some("w"),
        ),
        (
            "an increment ends with the field that it was added to, though that was removed",
            |a, b| {
                put(b, WALL, "f", "1");
                field(b, WALL, "f", WALL + 10);
                both(a, b);
                add(a, WALL + 1, "f", 1);
                b.write(WALL + 1, 0, |w| w.remove(b"h", Class::Hash, b"f")).unwrap();
            },
            None,
        ),
        (
            "a field ends with the key that it was written under, though that was deleted",
            |a, b| {
                add(b, WALL, "g", 1);
                b.write(WALL, 0, |w| w.expire(b"h", Some(WALL + 10))).unwrap();
                both(a, b);
                put(a, WALL + 1, "f", "v");
                b.write(WALL + 1, 0, |w| w.delete(b"h")).unwrap();
            },
            None,
        ),
        (
            "a field that begins anew has no deadline",
            |a, b| {
                put(a, WALL, "f", "1");
                both(a, b);
                field(b, WALL, "f", WALL + 10);
                a.write(WALL + 1, 0, |w| w.delete(b"h")).unwrap();
                both(a, b);
                add(a, WALL + 2, "f", 3);
            },
            Some("3"),
        ),
        (
            "what was added to a field ends with the key, though the field was assigned",
            |a, b| {
                add(b, WALL, "f", 1);
                b.write(WALL, 0, |w| w.expire(b"h", Some(WALL + 10))).unwrap();
                both(a, b);
                add(a, WALL + 1, "f", 1);
                put(b, WALL + 1, "g", "1");
            },
            None,
        ),
        (
            "a removal takes of a field what is hidden, and what was added after the deadline stays",
            |a, b| {
                add(a, WALL, "f", 5);
                field(a, WALL, "f", WALL + 10);
                // It has not seen the deadline.
                add(b, WALL + 20, "f", 1);
                both(a, b);
                assert_eq!(value(b, WALL + 20, "f").as_deref(), Some("1"));
                assert_eq!(b.write(WALL + 21, 0, |w| w.remove_expired(b"h")), Ok(true));
                add(a, WALL + 21, "f", 2);
            },
            Some("3"),
        ),
    ];
    for (name, steps, left) in histories {
        let [mut a, mut b] = stores();
        steps(&mut a, &mut b);
        both(&mut a, &mut b);
        for store in [&mut a, &mut b] {
            assert_eq!(value(store, WALL + 50, "f").as_deref(), left, "{name}");
            store.write(WALL + 50, 0, |w| w.remove_expired(b"h")).unwrap();
            assert_eq!(value(store, WALL + 51, "f").as_deref(), left, "{name}: removed");
            assert!(left.is_some() || store.memory_of(b"h").is_none(), "{name}: something is left");
        }
        both(&mut a, &mut b);
    }
}

/// A field in a table of many ends as one in a record of few does, and costs no look at the others.
/// Otherwise a deadline that nobody sees any more would hide what was written elsewhere before it passed.
#[test]
fn with_the_last_field_that_is_visible_goes_what_is_hidden() {
    let [mut a, mut b] = stores();
    b.write(WALL, 0, |w| w.insert(b"h", Class::Hash, b"x", b"of b")).unwrap();
    a.write(WALL, 0, |w| w.insert(b"h", Class::Hash, b"x", b"of a")).unwrap();
    a.write(WALL + 1, 0, |w| w.insert(b"h", Class::Hash, b"y", b"")).unwrap();
    field(&mut a, WALL + 2, "x", WALL + 9);
    a.seal();
    assert_eq!(a.write(WALL + 10, 0, |w| w.remove(b"h", Class::Hash, b"y")), Ok(true));
    assert!(a.at(WALL + 10).view(b"h").is_none() && a.memory_of(b"h").is_none());
    send(&mut a, &mut b);
    send(&mut b, &mut a);
    for store in [&a, &b] {
        let view = store.at(WALL + 11).view(b"h").expect("one field, of which nobody has said that it ends");
        assert!(view.contains(b"x") && view.field_deadline(b"x").is_none());
    }
    assert_eq!(a.fingerprint(), b.fingerprint());
}

#[test]
fn many_fields_end_one_after_the_other_and_leave_nothing() {
    let [mut a, mut b] = stores();
    for number in 0..3_000_u64 {
        put(&mut a, WALL, &number.to_string(), "v");
        if number % 3 > 0 {
            field(&mut a, WALL, &number.to_string(), WALL + number);
        }
    }
    both(&mut a, &mut b);
    let (all, memory) = (a.at(WALL).view(b"h").unwrap().len(), a.memory());
    assert_eq!(all, 3_000);
    for now in [1, 2, 30, 31, 999, 2_999] {
        let left = 1_000 + (0..3_000).filter(|it| it % 3 > 0 && *it > now).count();
        let view = b.at(WALL + now).view(b"h").unwrap();
        assert_eq!((view.len(), view.iter().count()), (left, left), "at {now}");
        let lapsed = b.lapse(WALL + now, 1_000, |_| 0);
        assert_eq!((lapsed.keys, lapsed.removals.len()), (0, 1), "at {now}");
        while b.write(WALL + now, 0, |w| w.remove_expired(b"h")).unwrap() {}
        assert_eq!(b.at(WALL + now).view(b"h").unwrap().len(), left);
        b.lapse(WALL + now, 1_000, |_| 0);
        assert_eq!(
            (b.next_deadline().is_some(), b.next_deadline().is_none_or(|it| it > WALL + now)),
            (now < 2_999, true)
        );
    }
    both(&mut a, &mut b);
    assert_eq!(a.at(WALL + 3_000).view(b"h").unwrap().len(), 1_000);
    assert!(a.memory() < memory * 4 / 5, "{} of {memory}", a.memory());
}

/// Replicas that were apart gave the fields two deadlines each: when the first has passed, the second is still to come.
#[test]
fn a_key_is_hidden_at_the_later_of_two_deadlines_of_its_fields() {
    for fields in [1, 200] {
        let [mut a, mut b] = stores();
        let names: Vec<String> = (0..fields).map(|number| format!("f{number}")).collect();
        names.iter().for_each(|name| put(&mut a, WALL, name, "v"));
        both(&mut a, &mut b);
        for name in &names {
            field(&mut a, WALL, name, WALL + 10);
            field(&mut b, WALL + 1, name, WALL + 300);
        }
        both(&mut a, &mut b);
        for store in [&mut a, &mut b] {
            let mut count_at = |at| {
                store.lapse(at, usize::MAX, |_| 60_000);
                (store.len(), store.at(at).view(b"h").map_or(0, |view| view.len()))
            };
            assert_eq!((count_at(WALL + 50), count_at(WALL + 299)), ((1, fields), (1, fields)));
            assert_eq!(count_at(WALL + 300), (0, 0));
        }
    }
}
