//! What those who watch a store are told.

use cahoots_crdt::{Dot, ReplicaId};

use super::*;
use crate::Limits;
use crate::store::{Store, Writer};

const WALL: u64 = 1_700_000_000_000;

fn change(key: &[u8], class: Class, what: What, by: By) -> Change {
    Change::Key { key: key.into(), class, what, by }
}

fn store(id: u64) -> Store {
    let mut store = Store::new(ReplicaId::new(id), Limits::default(), 1_000);
    store.record_changes(true);
    store
}

fn write(store: &mut Store, wall: u64, write: impl FnOnce(&mut Writer<'_>)) {
    store.write(wall, 0, write);
}

fn told(store: &mut Store) -> Vec<(String, Class, What, By)> {
    let told = std::iter::from_fn(|| store.poll_change());
    let told = told.map(|change| match change {
        Change::Key { key, class, what, by } => (String::from_utf8(key.into()).unwrap(), class, what, by),
        Change::Lost => panic!("so little cannot be too much"),
    });
    told.collect()
}

/// Brings what one store has written to another.
fn bring(from: &mut Store, to: &mut Store) {
    from.seal();
    let id = from.id();
    while let Some(sealed) = from.poll_sealed() {
        to.apply(Dot::new(id, sealed.seq), &sealed.body).expect("sound");
    }
}

#[test]
fn a_watcher_that_falls_behind_is_told_so_once_and_then_goes_on() {
    let mut changes = Changes::default();
    let tell = |changes: &mut Changes, key: &[u8]| changes.tell(key, Class::Text, What::Changed, By::Peer);
    tell(&mut changes, b"unwatched");
    assert_eq!(changes.poll(), None);
    changes.record(true);
    let key = vec![0; QUEUE_BYTES_MAX / 2];
    for at in 0..4 {
        let mut key = key.clone();
        key[0] = at;
        tell(&mut changes, &key);
    }
    assert_eq!(changes.poll(), Some(Change::Lost));
    assert_eq!(changes.poll(), None);
    tell(&mut changes, b"k");
    assert_eq!(changes.poll(), Some(change(b"k", Class::Text, What::Changed, By::Peer)));
}

#[test]
fn a_change_says_what_became_of_the_key_and_who_did_it() {
    let (mut a, mut b) = (store(1), store(2));
    let key = |what, class, by| vec![("k".to_owned(), class, what, by)];
    write(&mut a, WALL, |w| {
        w.insert(b"k", Class::Set, b"x", b"").unwrap();
        w.insert(b"k", Class::Set, b"y", b"").unwrap();
    });
    assert_eq!(told(&mut a), key(What::Created, Class::Set, By::Client), "two members, one operation");
    bring(&mut a, &mut b);
    assert_eq!(told(&mut b), key(What::Created, Class::Set, By::Peer));
    write(&mut b, WALL, |w| w.set(b"k", b"v").unwrap());
    assert_eq!(told(&mut b), key(What::Changed, Class::Text, By::Client));
    bring(&mut b, &mut a);
    assert_eq!(told(&mut a), key(What::Changed, Class::Text, By::Peer));
    write(&mut a, WALL, |w| assert_eq!(w.clear(), Ok(1)));
    assert_eq!(told(&mut a), key(What::Removed, Class::Text, By::Client));
    bring(&mut a, &mut b);
    assert_eq!(told(&mut b), key(What::Removed, Class::Text, By::Peer));
}

#[test]
fn an_end_is_told_once_whoever_removes_what_is_left_and_however_early() {
    let (mut a, mut b) = (store(1), store(2));
    let expired = |key: &str| (key.to_owned(), Class::Text, What::Expired, By::Time);
    for key in [b"k", b"l", b"m"] {
        write(&mut a, WALL, |w| w.set_until(key, b"v", Some(WALL + 100)).unwrap());
    }
    bring(&mut a, &mut b);
    told(&mut a);
    told(&mut b);
    // Before anybody has looked for what has ended, one is written and one removed.
    write(&mut a, WALL + 100, |w| {
        w.set(b"k", b"again").unwrap();
        w.remove_expired(b"l").unwrap();
    });
    let created = ("k".to_owned(), Class::Text, What::Created, By::Client);
    assert_eq!(told(&mut a), [expired("k"), created, expired("l")]);
    a.lapse(WALL + 100, usize::MAX, |_| u64::MAX);
    assert_eq!(told(&mut a), [expired("m")]);
    // The other one has looked: removals tell nothing more.
    b.lapse(WALL + 100, usize::MAX, |_| u64::MAX);
    let mut ended = told(&mut b);
    ended.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(ended, [expired("k"), expired("l"), expired("m")]);
    bring(&mut a, &mut b);
    assert_eq!(told(&mut b), [("k".to_owned(), Class::Text, What::Created, By::Peer)]);
}

/// Its clock was ahead for a moment, in which nothing was written: a write would have taken the hybrid clock along.
fn glance(store: &mut Store, wall: u64) {
    write(store, wall, |_| {});
}

#[test]
fn what_comes_after_the_clock_ran_back_is_told_as_of_the_time_it_shows() {
    let (mut a, mut b) = (store(1), store(2));
    glance(&mut b, WALL + 1_000);
    glance(&mut b, WALL);
    write(&mut a, WALL, |w| w.set_until(b"k", b"v", Some(WALL + 500)).unwrap());
    bring(&mut a, &mut b);
    assert!(b.at(WALL).view(b"k").is_some());
    assert_eq!(told(&mut b), [("k".to_owned(), Class::Text, What::Created, By::Peer)]);
}

#[test]
fn a_clock_that_runs_back_tells_of_what_was_hidden_before_anybody_looked_for_it() {
    let (mut a, mut b) = (store(1), store(2));
    write(&mut a, WALL, |w| w.set_until(b"k", b"v", Some(WALL + 100)).unwrap());
    write(&mut a, WALL, |w| w.set_until(b"later", b"v", Some(WALL + 300)).unwrap());
    bring(&mut a, &mut b);
    told(&mut b);
    glance(&mut b, WALL + 200);
    assert!(b.at(WALL + 200).view(b"k").is_none(), "who reads now sees none");
    b.see_time(WALL);
    assert_eq!(told(&mut b), [("k".to_owned(), Class::Text, What::Created, By::Time)]);
    b.see_time(WALL);
    assert_eq!(told(&mut b), [], "once");
}

#[test]
fn a_clock_that_runs_back_tells_of_fields_that_show_again() {
    let (mut a, mut b) = (store(1), store(2));
    let changed = [("h".to_owned(), Class::Hash, What::Changed, By::Time)];
    write(&mut a, WALL, |w| {
        for (field, until) in [(b"f", Some(WALL + 100)), (b"g", Some(WALL + 200)), (b"h", None)] {
            w.insert(b"h", Class::Hash, field, b"v").unwrap();
            w.expire_field(b"h", field, until).unwrap();
        }
    });
    bring(&mut a, &mut b);
    told(&mut b);
    for wall in [WALL + 150, WALL + 250] {
        b.lapse(wall, usize::MAX, |_| u64::MAX);
        assert_eq!(told(&mut b), changed, "a field has ended");
    }
    for (wall, shown) in [(WALL + 150, 2), (WALL, 3)] {
        b.see_time(wall);
        assert_eq!(b.at(wall).view(b"h").map(|view| view.len()), Some(shown));
        assert_eq!(told(&mut b), changed, "a field shows again");
    }
    b.lapse(WALL + 250, usize::MAX, |_| u64::MAX);
    assert_eq!(told(&mut b), changed, "both have ended again");
}
