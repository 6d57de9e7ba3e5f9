//! What travels, byte for byte. A change here is a change of the wire format: raise `VERSION` in
//! `wire/envelope.rs`, run with `CAHOOTS_BLESS=1`, and commit both together.

use std::net::SocketAddr;
use std::path::PathBuf;

use cahoots_gossip::engine::{Now, Received, Replica, ReplicaConfig, Transmit};
use cahoots_gossip::store::{BUCKETS, Class, Store};
use cahoots_gossip::wire::{ClusterKey, Probe, Refusal};
use cahoots_gossip::{Dot, Limits, ReplicaId, Zone};

const A: ReplicaId = ReplicaId::new(0xA);
const B: ReplicaId = ReplicaId::new(0xB);
const WALL: u64 = 1_700_000_000_000;

fn assert_golden(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("CAHOOTS_BLESS").is_some() {
        std::fs::write(&path, bytes).expect("golden file is writable");
    }
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(golden == bytes, "{} differs: the wire format has changed", path.display());
}

/// Two stores that know each other's writes, and have touched every kind of cell.
fn stores() -> (Store, Store) {
    let mut a = Store::new(A, Limits::default(), 1024);
    let mut b = Store::new(B, Limits::default(), 1024);
    b.write(WALL, 0, |w| {
        w.add(b"hits", 7).expect("admitted");
        w.add_field(b"cart", b"milk", 2).expect("admitted");
        w.insert(b"tags", Class::Set, b"old", b"").expect("admitted");
        w.set(b"note", b"written by b").expect("admitted");
    });
    b.seal();
    let event = b.poll_sealed().expect("sealed");
    a.apply(Dot::new(B, event.seq), &event.body).expect("legal");
    a.write(WALL + 1, 0, |w| {
        w.set(b"note", b"written by a").expect("admitted");
        w.delete(b"hits").expect("admitted");
        w.add(b"hits", -1).expect("admitted");
        w.insert(b"cart", Class::Hash, b"milk", b"none").expect("admitted");
        w.remove(b"tags", Class::Set, b"old").expect("admitted");
        w.insert(b"tags", Class::Set, b"new", b"").expect("admitted");
    });
    (a, b)
}

fn addr(id: ReplicaId) -> SocketAddr {
    ([127, 0, 0, 1], 7000 + u16::try_from(id.get() & 0xFFF).expect("small")).into()
}

fn two_that_have_met(now: Now) -> [Replica; 2] {
    let mut config = ReplicaConfig::default();
    config.cluster = "golden".into();
    let mut pair = [A, B].map(|id| Replica::new(config.clone(), id, now));
    pair[0].peer_up(now, B, addr(B), Zone::default());
    pair[1].peer_up(now, A, addr(A), Zone::default());
    pair
}

/// Delivers what either has to say, and records it.
fn exchange(pair: &mut [Replica; 2], now: Now, stream: &mut Vec<u8>) {
    for (from, to) in [(0, 1), (1, 0)] {
        while let Some(transmit) = pair[from].poll_transmit(now) {
            record(&transmit, stream);
            for datagram in transmit.datagrams() {
                pair[to].handle_datagram(now, addr(pair[from].id()), datagram).expect("accepted");
            }
        }
    }
}

/// Appends datagrams, each behind its length.
fn record(transmit: &Transmit, stream: &mut Vec<u8>) {
    for datagram in transmit.datagrams() {
        stream.extend(u16::try_from(datagram.len()).expect("short").to_le_bytes());
        stream.extend(datagram);
    }
}

#[test]
fn an_event_with_every_kind_of_change_keeps_its_bytes_and_applies() {
    let (mut a, mut b) = stores();
    a.seal();
    let event = a.poll_sealed().expect("sealed");
    assert_golden("event.bin", &event.body);
    b.apply(Dot::new(A, event.seq), &event.body).expect("legal");
    assert_eq!(a.fingerprint(), b.fingerprint());
    assert_eq!(b.at(0).view(b"hits").and_then(|view| view.text()).as_deref(), Some(&b"-1"[..]));
}

#[test]
fn clearing_everything_keeps_its_bytes_and_applies() {
    let (mut a, mut b) = stores();
    a.write(WALL + 2, 0, |w| w.clear()).expect("admitted");
    a.seal();
    let event = a.poll_sealed().expect("sealed");
    assert_golden("clear.bin", &event.body);
    b.apply(Dot::new(A, event.seq), &event.body).expect("legal");
    assert!(b.is_empty());
    assert_eq!(a.fingerprint(), b.fingerprint());
}

#[test]
fn ballots_cast_replaced_withdrawn_and_discarded_keep_their_bytes_and_apply() {
    let (mut a, mut b) = stores();
    for (class, value) in [(Class::Vote, &b"blue"[..]), (Class::Presence, b"3")] {
        b.write(WALL + 2, 0, |w| w.cast(&[class as u8], class, value)).expect("admitted");
    }
    b.write(WALL + 2, 0, |w| w.cast(b"leader", Class::Vote, b"me")).expect("admitted");
    b.seal();
    let event = b.poll_sealed().expect("sealed");
    assert_golden("ballots-cast.bin", &event.body);
    a.seal();
    let concurrent = a.poll_sealed().expect("sealed");
    a.apply(Dot::new(B, event.seq), &event.body).expect("legal");
    b.apply(Dot::new(A, concurrent.seq), &concurrent.body).expect("legal");
    a.write(WALL + 3, 0, |w| {
        w.cast(b"leader", Class::Vote, b"not b").expect("admitted");
        w.cast(b"room", Class::Presence, b"1").expect("admitted");
    });
    a.seal();
    let first = a.poll_sealed().expect("sealed");
    a.write(WALL + 4, 0, |w| {
        w.cast(b"leader", Class::Vote, b"a").expect("admitted");
        w.withdraw(b"room", Class::Presence).expect("admitted");
        w.discard(&[Class::Vote as u8], Class::Vote, B).expect("admitted");
    });
    a.seal();
    let second = a.poll_sealed().expect("sealed");
    assert_golden("ballots.bin", &second.body);
    for event in [first, second] {
        b.apply(Dot::new(A, event.seq), &event.body).expect("legal");
    }
    assert_eq!(a.fingerprint(), b.fingerprint());
    let left: Vec<_> = b.ballots().map(|it| (it.class, it.owner, it.value.to_vec())).collect();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.contains(&(Class::Vote, A, b"a".to_vec())) && left.contains(&(Class::Presence, B, b"3".to_vec())));
}

#[test]
fn deadlines_and_what_is_written_under_them_keep_their_bytes_and_apply() {
    let (mut a, mut b) = stores();
    a.seal();
    let before = a.poll_sealed().expect("sealed");
    b.apply(Dot::new(A, before.seq), &before.body).expect("legal");
    b.write(WALL + 1, 0, |w| {
        w.set_until(b"note", b"for a while", Some(WALL + 9)).expect("admitted");
        w.expire(b"cart", Some(WALL + 5)).expect("admitted");
        w.add_field(b"cart", b"eggs", 6).expect("admitted");
        w.expire(b"tags", Some(WALL + 5)).expect("admitted");
        w.expire(b"tags", None).expect("admitted");
    });
    // It has not seen the deadline, and writes after it.
    a.write(WALL + 6, 0, |w| w.add_field(b"cart", b"eggs", 1)).expect("admitted");
    a.seal();
    b.seal();
    let (first, concurrent) = (b.poll_sealed().expect("sealed"), a.poll_sealed().expect("sealed"));
    assert_golden("deadlines.bin", &first.body);
    a.apply(Dot::new(B, first.seq), &first.body).expect("legal");
    b.apply(Dot::new(A, concurrent.seq), &concurrent.body).expect("legal");
    a.write(WALL + 7, 0, |w| w.remove_expired(b"cart")).expect("admitted");
    a.seal();
    let removal = a.poll_sealed().expect("sealed");
    assert_golden("removal.bin", &removal.body);
    b.apply(Dot::new(A, removal.seq), &removal.body).expect("legal");
    assert_eq!(a.fingerprint(), b.fingerprint());
    let eggs = b.at(WALL + 8).view(b"cart").and_then(|view| view.get(b"eggs").map(|it| it.into_owned()));
    assert_eq!(eggs.as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_transfer_of_all_buckets_keeps_its_meaning() {
    // The order of keys within a bucket is that of a hash table, so the golden bytes are read, not compared.
    let (mut a, mut b) = stores();
    let (transfer, next) = a.encode_transfer(0, &vec![0; BUCKETS], usize::MAX, usize::MAX);
    assert_eq!(next, BUCKETS);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/transfer.bin");
    if std::env::var_os("CAHOOTS_BLESS").is_some() {
        std::fs::write(&path, &transfer).expect("golden file is writable");
    }
    let golden = std::fs::read(&path).expect("golden file is there");
    assert_eq!(golden.len(), transfer.len(), "the wire format has changed");
    b.join_transfer(&golden).expect("legal");
    assert_eq!(a.fingerprint(), b.fingerprint());
}

#[test]
fn a_sketch_and_the_differences_it_shows_keep_their_meaning() {
    let (mut a, mut b) = stores();
    let sketch = b.sketch(0..BUCKETS, 40, 7);
    let encoded = postcard::to_allocvec(&sketch).expect("plain data");
    assert_golden("sketch.bin", &encoded);
    let (transfer, count) = a.encode_differences(&sketch, usize::MAX).expect("few differences");
    assert_eq!(count, BUCKETS);
    assert_golden("differences.bin", &transfer); // keys are in the order of their items
    let joined = b.join_transfer(&transfer).expect("legal");
    assert_eq!((joined.refined, joined.items), (BUCKETS, 8));
    assert_eq!(a.fingerprint(), b.fingerprint());
}

#[test]
fn datagrams_keep_their_bytes_with_and_without_a_key() {
    for (name, key) in [("datagrams.bin", None), ("datagrams-sealed.bin", Some(ClusterKey::new([7; 32])))] {
        let mut config = ReplicaConfig::default();
        config.cluster = "golden".into();
        config.key = key;
        let mut now = Now { mono: 0, wall: WALL };
        let mut a = Replica::new(config, A, now);
        a.peer_up(now, B, SocketAddr::from(([127, 0, 0, 1], 7102)), Zone::default());
        let mut stream = Vec::new();
        for step in 0..4_u8 {
            a.write(now, 0, |w| w.set(b"key", &vec![step; usize::from(step) * 700])).expect("admitted");
            while let Some(transmit) = a.poll_transmit(now) {
                record(&transmit, &mut stream);
            }
            now.mono += 400_000;
            now.wall += 400;
            a.handle_timeout(now);
        }
        assert_golden(name, &stream);
    }
}

#[test]
fn trees_and_version_vectors_that_do_not_fit_a_message_keep_their_bytes() {
    let mut now = Now { mono: 0, wall: WALL };
    let make = |id| {
        let mut config = ReplicaConfig::default();
        config.cluster = "golden".into();
        config.relay_above = 0;
        config.version_entries_max = 3;
        Replica::new(config, id, now)
    };
    // Each of two has heard of eight others that the other has not; then they meet.
    let mut pair = [make(A), make(B)];
    for (index, other) in (0..16).map(|other| (other % 2, ReplicaId::new((other as u64 + 1) << 59 | 0xC0))) {
        let mut writer = make(other);
        let (here, there) = (pair[index].id(), other);
        pair[index].peer_up(now, there, addr(there), Zone::default());
        writer.peer_up(now, here, addr(here), Zone::default());
        let value = vec![b'v'; if index == 0 { 10 } else { 2_000 }];
        writer.write(now, 0, |w| w.set(format!("{other}").as_bytes(), &value)).expect("admitted");
        while let Some(transmit) = writer.poll_transmit(now) {
            for datagram in transmit.datagrams() {
                pair[index].handle_datagram(now, addr(there), datagram).expect("accepted");
            }
        }
        pair[index].peer_gone(there);
    }
    pair.iter_mut().for_each(|replica| while replica.poll_transmit(now).is_some() {});
    pair[0].peer_up(now, B, addr(B), Zone::named("east"));
    pair[1].peer_up(now, A, addr(A), Zone::default());
    let mut stream = Vec::new();
    for _ in 0..40 {
        exchange(&mut pair, now, &mut stream);
        now.mono += 50_000;
        now.wall += 50;
        pair.iter_mut().for_each(|replica| replica.handle_timeout(now));
    }
    let [a, b] = pair.map(|mut replica| replica.status());
    assert_eq!((a.version_vector.len(), a.fingerprint), (16, b.fingerprint));
    assert!(a.counters.ranges_sent + b.counters.ranges_sent > 0);
    assert_golden("exchange.bin", &stream);
}

#[test]
fn questions_and_answers_about_disks_keep_their_bytes() {
    let mut now = Now { mono: 0, wall: WALL };
    let mut pair = two_that_have_met(now);
    pair[0].write(now, 0, |w| w.set(b"key", b"value")).expect("admitted");
    let mut stream = Vec::new();
    for _ in 0..3 {
        let kept = pair[1].store().version_vector().clone();
        pair[1].note_kept(kept);
        pair[0].ask_kept(1);
        exchange(&mut pair, now, &mut stream);
        now.mono += 50_000;
    }
    assert_eq!(pair[0].kept_by(1), 1);
    assert_golden("disks.bin", &stream);
}

#[test]
fn a_stop_keeps_its_bytes() {
    let mut now = Now { mono: 0, wall: WALL };
    let mut pair = two_that_have_met(now);
    pair[0].write(now, 0, |w| w.set(b"key", b"value")).expect("admitted");
    let mut stream = Vec::new();
    exchange(&mut pair, now, &mut stream);
    pair[0].begin_hand_over(now);
    for _ in 0..4 {
        exchange(&mut pair, now, &mut stream);
        now.mono += 100_000;
        pair[0].pursue_hand_over(now);
    }
    assert!(pair[0].is_handed_over(1) && !pair[0].stops_too(B));
    // Now the other one stops, too, which finds nobody that stays.
    pair[1].begin_hand_over(now);
    for _ in 0..2 {
        exchange(&mut pair, now, &mut stream);
        now.mono += 100_000;
        pair[1].pursue_hand_over(now);
    }
    assert!(!pair[1].is_handed_over(1) && pair[1].stops_too(A));
    assert_golden("stop.bin", &stream);
}

#[test]
fn a_probe_keeps_its_bytes() {
    let mut config = ReplicaConfig::default();
    config.cluster = "golden".into();
    let now = Now { mono: 0, wall: WALL };
    let [mut asker, mut asked] = [A, B].map(|id| Replica::new(config.clone(), id, now));
    let probe = Probe { sender: A, receiver: B, ask: 17, echo: 99 };
    let datagrams = [0, 100].map(|bytes| asker.seal_probe(&probe, bytes));
    assert_eq!([47, 100], [0, 1].map(|it| datagrams[it].len()));
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    for datagram in &datagrams {
        assert_eq!(asked.handle_datagram(now, addr, datagram), Ok(Received::Probe(probe)));
        assert_eq!(asker.handle_datagram(now, addr, datagram), Err(Refusal::OtherReceiver));
    }
    assert_golden("probe.bin", &datagrams.concat());
}
