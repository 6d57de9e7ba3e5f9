//! Ballots between stores: what is superseded, what is spared, what is refused.

use cahoots_gossip::store::{Applied, BUCKETS, Class, EventError, Store, TransferError};
use cahoots_gossip::{Dot, Limits, ReplicaId};

const WALL: u64 = 1_700_000_000_000;

fn id(number: u64) -> ReplicaId {
    ReplicaId::new(number)
}

fn store(number: u64) -> Store {
    Store::new(id(number), Limits::default(), 1024)
}

fn cast(store: &mut Store, key: &str, ballot: &str) {
    store.write(WALL, 0, |w| w.cast(key.as_bytes(), Class::Vote, ballot.as_bytes())).expect("admitted");
}

/// Seals, and gives everything not given yet to another store.
fn give(from: &mut Store, to: &mut Store) {
    from.seal();
    while let Some(event) = from.poll_sealed() {
        let applied = to.apply(Dot::new(from.id(), event.seq), &event.body).expect("legal");
        assert_eq!(applied, Applied::Now);
    }
}

fn ballots(store: &Store, key: &str) -> Vec<(u64, String)> {
    let view = store.at(0).view(key.as_bytes());
    let ballots = view.iter().flat_map(|view| view.ballots());
    ballots.map(|(id, ballot)| (id.get(), String::from_utf8_lossy(ballot).into_owned())).collect()
}

fn of(ballots: &[(u64, &str)]) -> Vec<(u64, String)> {
    ballots.iter().map(|(id, ballot)| (*id, (*ballot).to_owned())).collect()
}

#[test]
fn a_second_ballot_replaces_the_own_first_and_nobody_elses() {
    let (mut a, mut b) = (store(1), store(2));
    cast(&mut a, "k", "x");
    give(&mut a, &mut b);
    cast(&mut b, "k", "x");
    give(&mut b, &mut a);
    cast(&mut a, "k", "y");
    cast(&mut a, "k", "z"); // in the same window
    give(&mut a, &mut b);
    for store in [&mut a, &mut b] {
        assert_eq!(ballots(store, "k"), of(&[(1, "z"), (2, "x")]));
        assert_eq!(store.at(0).view(b"k").expect("there").len(), 2);
        assert!(store.fingerprints_are_exact());
    }
    assert_eq!(a.fingerprint(), b.fingerprint());
}

#[test]
fn withdrawing_takes_the_own_ballot_and_the_last_one_takes_the_key() {
    let (mut a, mut b) = (store(1), store(2));
    cast(&mut a, "k", "x");
    give(&mut a, &mut b);
    cast(&mut b, "k", "y");
    give(&mut b, &mut a);
    let withdraw = |store: &mut Store| store.write(WALL, 0, |w| w.withdraw(b"k", Class::Vote)).expect("admitted");
    assert!(withdraw(&mut a));
    assert!(!withdraw(&mut a), "there is none any more");
    give(&mut a, &mut b);
    assert_eq!(ballots(&b, "k"), of(&[(2, "y")]));
    assert!(withdraw(&mut b));
    give(&mut b, &mut a);
    assert!(a.is_empty() && b.is_empty() && a.ballots().next().is_none());
    assert_eq!(a.fingerprint(), b.fingerprint());
}

#[test]
fn a_ballot_cast_and_withdrawn_in_one_window_takes_the_sealed_one_with_it() {
    let (mut a, mut b) = (store(1), store(2));
    cast(&mut a, "k", "x");
    give(&mut a, &mut b);
    cast(&mut a, "k", "y");
    a.write(WALL, 0, |w| w.withdraw(b"k", Class::Vote)).expect("admitted");
    give(&mut a, &mut b);
    assert!(a.is_empty() && b.is_empty());
    assert_eq!(a.fingerprint(), b.fingerprint());
}

#[test]
fn deleting_the_key_takes_the_ballots_it_has_seen_and_spares_one_cast_meanwhile() {
    let (mut a, mut b) = (store(1), store(2));
    cast(&mut a, "k", "x");
    give(&mut a, &mut b);
    cast(&mut b, "k", "y");
    a.write(WALL, 0, |w| w.delete(b"k")).expect("admitted");
    give(&mut a, &mut b);
    give(&mut b, &mut a);
    assert_eq!(ballots(&a, "k"), of(&[(2, "y")]));
    assert_eq!(a.fingerprint(), b.fingerprint());
}

#[test]
fn discarding_takes_the_ballot_it_has_seen_and_spares_the_own_and_one_cast_anew() {
    let (mut a, mut b) = (store(1), store(2));
    cast(&mut b, "k", "old");
    give(&mut b, &mut a);
    cast(&mut a, "k", "own");
    give(&mut a, &mut b);
    let discard = |store: &mut Store| store.write(WALL, 0, |w| w.discard(b"k", Class::Vote, id(2))).expect("admitted");
    assert!(discard(&mut a));
    assert!(!discard(&mut a) && !discard(&mut b), "nothing is left to discard, and nobody discards its own");
    cast(&mut b, "k", "anew");
    give(&mut a, &mut b);
    give(&mut b, &mut a);
    assert_eq!(ballots(&a, "k"), of(&[(1, "own"), (2, "anew")]));
    assert_eq!(a.fingerprint(), b.fingerprint());
    assert!(a.fingerprints_are_exact() && b.fingerprints_are_exact());
}

#[test]
fn ballots_travel_in_transfers_and_a_withdrawn_one_does_not_come_back() {
    let (mut a, mut b, mut c) = (store(1), store(2), store(3));
    cast(&mut a, "k", "x");
    cast(&mut a, "l", "x");
    give(&mut a, &mut b);
    cast(&mut c, "k", "z");
    let whole = |from: &mut Store, to: &mut Store| {
        let (bytes, _) = from.encode_transfer(0, &vec![0; BUCKETS], usize::MAX, usize::MAX);
        to.join_transfer(&bytes).expect("legal");
    };
    whole(&mut b, &mut c);
    assert_eq!(ballots(&c, "k"), of(&[(1, "x"), (3, "z")]));
    a.write(WALL, 0, |w| w.withdraw(b"k", Class::Vote)).expect("admitted");
    whole(&mut a, &mut c);
    whole(&mut b, &mut c); // older than what is here
    assert_eq!(ballots(&c, "k"), of(&[(3, "z")]));
    assert_eq!(c.ballots().count(), 2);
    assert!(c.fingerprints_are_exact());
}

#[test]
fn what_no_replica_casts_is_refused_whole() {
    let (mut a, mut b) = (store(1), store(2));
    let long = vec![b'x'; cahoots_gossip::store::BALLOT_BYTES_MAX + 1];
    let refused = a.write(WALL, 0, |w| w.cast(b"k", Class::Vote, &long));
    assert!(refused.is_err() && a.is_empty() && !a.has_open_window());

    // Bodies of honest events with the class exchanged: a counter, and a text taken for a presence.
    let mut honest = [store(1), store(1)];
    honest[0].write(WALL, 0, |w| w.add(b"k", 5)).expect("admitted");
    honest[1].write(WALL, 0, |w| w.set(b"k", b"no number")).expect("admitted");
    let classes = [Class::Vote, Class::Presence];
    let errors = ["nothing is added to this type", "a presence is no number"];
    for ((store, class), error) in honest.iter_mut().zip(classes).zip(errors) {
        store.seal();
        let mut body = store.poll_sealed().expect("sealed").body;
        // The key, that there is one change, what kind of change, its class.
        let at = body.windows(2).position(|it| it == [b'k', 1]).expect("the key") + 3;
        assert_eq!(body[at], Class::Text as u8);
        body[at] = class as u8;
        assert_eq!(b.apply(Dot::new(id(1), 1), &body), Err(EventError::Illegal(error)));
    }
    assert!(b.is_empty() && b.version_vector().get(id(1)) == 0);
    // The same for what a transfer holds: of one honest text, retyped.
    let mut a = store(1);
    a.write(WALL, 0, |w| w.set(b"k", b"no number")).expect("admitted");
    let (bytes, _) = a.encode_transfer(0, &vec![0; BUCKETS], usize::MAX, usize::MAX);
    let at = bytes.windows(3).position(|it| it == [b'k', 1, Class::Text as u8]).expect("key, one element, its class");
    let mut altered = bytes.clone();
    altered[at + 2] = Class::Presence as u8;
    assert_eq!(b.join_transfer(&altered), Err(TransferError::Illegal("a presence is no number")));
}
