//! Bodies of the fuzz targets: what must hold whatever bytes come. The corpora replay through them in the tests.

use std::net::{Ipv4Addr, SocketAddr};

use cahoots_crdt::{Dot, ReplicaId};

use crate::Zone;
use crate::bytes::Bytes;
use crate::engine::{Now, Replica, ReplicaConfig};
use crate::store::{BUCKETS, Class, ListEnd, NewId, ScoreRule, Sketch, Store};
use crate::wire::{Answer, Envelope, Kind, Message};

const ME: ReplicaId = ReplicaId::new(1);
const PEER: ReplicaId = ReplicaId::new(2);
const NOW: Now = Now { mono: 1_000_000, wall: 1_700_000_000_000 };

fn replica() -> Replica {
    let mut replica = Replica::new(ReplicaConfig::default(), ME, NOW);
    replica.peer_up(NOW, PEER, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), Zone::default());
    replica.write(NOW, 0, |w| {
        let _ = w.set(b"text", b"value");
        let _ = w.add(b"count", 3);
        let _ = w.insert(b"set", Class::Set, b"member", b"");
        let _ = w.insert(b"hash", Class::Hash, b"field", b"value");
        let _ = w.assign_score(b"zset", b"member", 1.5, ScoreRule::Newest);
        let _ = w.add_score(b"zset", b"member", 1.0);
        let _ = w.append(b"stream", NewId::Next, [(&b"field"[..], &b"value"[..])]);
        let _ = w.push(b"list", ListEnd::Right, [&b"first"[..], b"last"].into_iter());
        let _ = w.insert_beside(b"list", 1, ListEnd::Left, b"between");
        let _ = w.cast(b"vote", Class::Vote, b"choice");
        let _ = w.cast(b"room", Class::Presence, b"1");
    });
    replica.flush(NOW);
    replica
}

/// Datagrams as they come from the network: refused, or handled without harm. The first byte says how the rest is
/// cut; each piece arrives raw, and again as a payload in an envelope that holds, so that the messages are reached.
pub fn datagrams(data: &[u8]) {
    let Some((size, rest)) = data.split_first() else { return };
    let mut replica = replica();
    let mut envelope = Envelope::new(&replica.config().cluster, None, PEER, 0);
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let mut now = NOW;
    for piece in rest.chunks(usize::from(*size).max(8)) {
        let _ = replica.handle_datagram(now, from, piece);
        let payload = [&Message::head(PEER, ME)[..], piece].concat();
        let _ = replica.handle_datagram(now, from, &envelope.wrap(Kind::Engine, &payload));
        now.mono += 300_000;
        replica.handle_timeout(now);
        for _ in 0..64 {
            let Some(transmit) = replica.poll_transmit(now) else { break };
            let bytes_max = replica.config().datagram_bytes_max;
            assert!(transmit.datagrams().all(|datagram| datagram.len() <= bytes_max));
        }
    }
    assert!(replica.fingerprints_are_exact());
}

/// The body of an event: refused, or applied so that every invariant holds.
pub fn event(data: &[u8]) {
    let mut store = replica_store();
    for seq in 1..=2 {
        let _ = store.apply(Dot::new(PEER, seq), data);
    }
    read_everything(&store);
    assert!(store.fingerprints_are_exact());
}

/// A bucket transfer: refused, or joined so that every invariant holds; and joining it twice changes nothing.
pub fn transfer(data: &[u8]) {
    let mut store = replica_store();
    if store.join_transfer(data).is_ok() {
        let fingerprint = store.fingerprint();
        let again = store.join_transfer(data);
        assert!(again.is_ok() && store.fingerprint() == fingerprint);
    }
    read_everything(&store);
    assert!(store.fingerprints_are_exact());
}

/// The sketch of another replica's buckets: answered by a transfer that others can join, or not at all.
pub fn sketch(data: &[u8]) {
    let mut store = replica_store();
    let Ok(sketch) = postcard::from_bytes::<Sketch>(data) else { return };
    if let Some((transfer, count)) = store.encode_differences(&sketch, usize::MAX) {
        assert_eq!(count, sketch.buckets());
        let mut other = Store::new(PEER, crate::Limits::default(), 1024);
        other.join_transfer(&transfer).expect("stores write what stores accept");
    }
}

/// A request or an answer as it comes over a stream: refused, or handled without harm. An answer arrives raw, and again
/// as the transfer inside one that is well formed.
pub fn stream(data: &[u8]) {
    let mut replica = replica();
    let _ = replica.serve(NOW, PEER, data);
    let mut envelope = Envelope::new(&replica.config().cluster, None, PEER, 0);
    let floor = Message::BelowFloor { origin: ReplicaId::new(3), floor: 9 };
    let payload = [&Message::head(PEER, ME)[..], &floor.encode()].concat();
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    replica.handle_datagram(NOW, from, &envelope.wrap(Kind::Engine, &payload)).expect("well formed");
    let next = u16::try_from(BUCKETS).expect("BUCKETS fits 16 bits");
    for answer in [data, &Answer::Buckets { next, transfer: Bytes(data) }.encode()] {
        let Some(ask) = replica.poll_ask() else { break };
        replica.handle_answer(NOW, ask.number, Some(answer));
        assert!(replica.fingerprints_are_exact());
    }
    read_everything(replica.store());
}

fn replica_store() -> Store {
    let mut store = Store::new(ME, crate::Limits::default(), 1024);
    store.write(NOW.wall, 0, |w| {
        let _ = w.set(b"text", b"5");
        let _ = w.add(b"text", 3);
        let _ = w.cast(b"vote", Class::Vote, b"choice");
    });
    store.seal();
    store
}

fn read_everything(store: &Store) {
    let moment = store.at(0);
    assert!(store.ballots().all(|ballot| moment.view(ballot.key).is_some()));
    let mut cursor = 0;
    loop {
        cursor = moment.scan(cursor, 10, |_, view| {
            let _ = (view.text(), view.count(), view.len(), view.ballots().count());
            view.iter().for_each(|(name, _)| assert!(view.contains(name)));
        });
        if cursor == 0 {
            return;
        }
    }
}
