//! The encoding: what it looks like, what it refuses, and that nothing makes it panic.

use cahoots_crdt::{
    AppendLog, AwSet, BoundedCounter, Causal, DecodeError, Delta, Dot, DwFlag, EwFlag, GCounter, GSet, Hlc, Lattice,
    Limits, List, LwwRegister, MaxRegister, MvRegister, OrMap, PnCounter, ReplicaId, RwSet, ScoreMap, VersionVector,
    Vote, exercise,
};
use proptest::prelude::*;

const A: ReplicaId = ReplicaId::new(0xA);
const B: ReplicaId = ReplicaId::new(0xB);

fn set_of(members: impl IntoIterator<Item = u32>) -> Causal<AwSet<u32>> {
    let mut set = Causal::<AwSet<u32>>::new();
    for member in members {
        let _sent = set.add(A, member);
    }
    set
}

/// One encoding of each kind of value, with removals and concurrent writes in it.
fn samples() -> Vec<Vec<u8>> {
    let mut counters: Causal<OrMap<u8, PnCounter>> = Causal::new();
    let first = counters.add(A, 1, 5).unwrap();
    let mut other: Causal<OrMap<u8, PnCounter>> = Causal::new();
    Lattice::merge(&mut other, first);
    let removal = other.remove(B, &1);
    let mut nested: Causal<OrMap<u8, OrMap<u8, AwSet<u8>>>> = Causal::new();
    let deep = nested.update(A, 1, |map, m| map.update(m, 2, |set, m| set.add(m, 3)));
    let deep_removal = nested.update(B, 1, |map, m| map.remove(m, &2));
    let mut bounded: Causal<BoundedCounter> = Causal::new();
    let _sent = (bounded.increment(A, 500).unwrap(), bounded.transfer(A, B, 20).unwrap());
    let mut register: Causal<LwwRegister<u8, Hlc>> = Causal::new();
    let _sent = register.write(A, Hlc::new(1_763_000_000_000, 1), 7).unwrap();
    let mut texts: Causal<MvRegister<Vec<u8>>> = Causal::new();
    let _sent = texts.write(A, b"text".to_vec());
    let mut words: Causal<RwSet<String>> = Causal::new();
    let _sent = (words.add(A, "in".into()), words.remove(B, "out".into()));
    let mut bytes: Causal<AwSet<Vec<u8>>> = Causal::new();
    let add = bytes.add(A, vec![1, 2]);
    let removed = bytes.remove(B, &vec![1, 2]);
    let mut list: Causal<List<u16>> = Causal::new();
    let pushed = list.push_back_all(A, Hlc::new(1_763_000_000_000, 1), [1, 2, 3]).unwrap();
    let inserted = list.insert(B, Hlc::new(1_763_000_000_001, 0), 1, 9).unwrap();
    let written = list.set(B, Hlc::new(1_763_000_000_002, 0), 0, 300).unwrap();
    let taken = list.remove_range(A, 2..);
    let mut scores: Causal<ScoreMap<u8>> = Causal::new();
    let set = scores.set(A, Hlc::new(1_763_000_000_000, 1), 7, 10.0).unwrap();
    let added = scores.add(A, 7, -3.0).unwrap();
    let half = scores.add(B, 8, 0.1).unwrap();
    let left = scores.remove(A, &8);
    let mut log: Causal<AppendLog<u16>> = Causal::new();
    let first = log.append_all(A, Hlc::new(1_763_000_000_000, 1), [1, 2, 300]).unwrap();
    let _sent = log.append(B, Hlc::new(1_763_000_000_000, 2), 4).unwrap();
    let trimmed = log.trim_to(B, 3);
    vec![
        counters.encode().unwrap(),
        other.encode().unwrap(),
        removal.encode().unwrap(),
        nested.encode().unwrap(),
        deep.encode().unwrap(),
        deep_removal.encode().unwrap(),
        bounded.encode().unwrap(),
        register.encode().unwrap(),
        texts.encode().unwrap(),
        words.encode().unwrap(),
        bytes.encode().unwrap(),
        add.encode().unwrap(),
        removed.encode().unwrap(),
        Causal::<GCounter>::new().increment(A, 9).unwrap().encode().unwrap(),
        Causal::<GSet<u8>>::new().add(A, 9).encode().unwrap(),
        Causal::<MaxRegister<i64>>::new().write(A, -9).encode().unwrap(),
        Causal::<EwFlag>::new().enable(A).encode().unwrap(),
        Causal::<DwFlag>::new().disable(A).encode().unwrap(),
        Causal::<Vote>::new().cast(A, true).encode().unwrap(),
        list.encode().unwrap(),
        pushed.encode().unwrap(),
        inserted.encode().unwrap(),
        written.encode().unwrap(),
        taken.encode().unwrap(),
        scores.encode().unwrap(),
        set.encode().unwrap(),
        added.encode().unwrap(),
        half.encode().unwrap(),
        left.encode().unwrap(),
        log.encode().unwrap(),
        first.encode().unwrap(),
        trimmed.encode().unwrap(),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A change of these bytes is a change of the format: raise the version.
#[test]
fn version_1_looks_as_it_always_did() {
    let golden = include_str!("corpus/version_1.hex");
    let samples: Vec<String> = samples().iter().map(|sample| hex(sample)).collect();
    assert_eq!(samples, golden.lines().collect::<Vec<_>>(), "\n{}\n", samples.join("\n"));
}

#[test]
fn the_corpus_makes_nothing_panic() {
    let corpus = [include_str!("corpus/version_1.hex"), include_str!("corpus/hostile.hex")].concat();
    for line in corpus.lines() {
        let bytes: Vec<u8> =
            (0..line.len() / 2).map(|at| u8::from_str_radix(&line[2 * at..2 * at + 2], 16).unwrap()).collect();
        exercise::decoding(&bytes);
        // And every beginning of it, and every byte of it changed.
        for cut in 0..bytes.len() {
            exercise::decoding(&bytes[..cut]);
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[cut] = value;
                exercise::decoding(&changed);
            }
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_make_nothing_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise::decoding(&bytes);
        let mut versioned = vec![1];
        versioned.extend(bytes);
        exercise::decoding(&versioned);
    }

    /// Small numbers are likelier to be indices and counts that fit.
    #[test]
    fn random_small_numbers_make_nothing_panic(bytes in prop::collection::vec(0..5_u8, 0..80)) {
        let mut versioned = vec![1, 2];
        versioned.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        versioned.extend(bytes);
        exercise::decoding(&versioned);
    }

    #[test]
    fn damaged_encodings_make_nothing_panic(
        sample in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = sample.get(&samples()).clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        exercise::decoding(&bytes);
    }
}

#[test]
fn each_fault_has_its_error() {
    type Set = Causal<AwSet<u32>>;
    let limits = Limits::default();
    let good = set_of(0..3).encode().unwrap();
    let decode = |bytes: &[u8]| Set::decode(bytes, &limits).unwrap_err();
    assert_eq!(decode(&[]), DecodeError::Truncated);
    assert_eq!(decode(&[9]), DecodeError::Version(9));
    assert_eq!(decode(&good[..5]), DecodeError::Truncated);
    assert_eq!(decode(&[&good[..], &[0]].concat()), DecodeError::Trailing(1));
    // One replica, an empty context, and a member under its dot 1.
    let uncovered = [&[1, 1][..], &[0; 8], &[0, 0], &[0, 1, 0, 1, 0, 42, 0, 0]].concat();
    assert_eq!(decode(&uncovered), DecodeError::Uncovered);
    // A sequence number of 2^64 - 1 in the context would let counting overflow.
    let huge = [&[1, 1][..], &[0; 8], &[1, 0], &[0xff; 9], &[1], &[0, 0, 0, 0, 0]].concat();
    assert!(matches!(decode(&huge), DecodeError::Malformed(_)));
    assert!(matches!(decode(&[1, 0, 0, 0, 2]), DecodeError::Malformed(_)));
}

#[test]
fn each_limit_holds_at_its_edge() {
    let set = set_of(0..10);
    let bytes = set.encode().unwrap();
    let decode = |limits: Limits| Causal::<AwSet<u32>>::decode(&bytes, &limits).map(drop);
    let exact = Limits { bytes_max: bytes.len(), entries_max: 12, depth_max: 0, replicas_max: 1 };
    assert_eq!(decode(exact), Ok(()));
    let short = bytes.len() - 1;
    assert_eq!(
        decode(Limits { bytes_max: short, ..exact }),
        Err(DecodeError::TooLong { bytes: bytes.len(), max: short })
    );
    assert_eq!(decode(Limits { entries_max: 11, ..exact }), Err(DecodeError::TooManyEntries(11)));
    assert_eq!(decode(Limits { replicas_max: 0, ..exact }), Err(DecodeError::TooManyReplicas(0)));

    let mut map: Causal<OrMap<u8, OrMap<u8, MvRegister<u8>>>> = Causal::new();
    let _sent = map.update(A, 1, |map, m| map.update(m, 2, |register, m| register.write(m, 3)));
    let bytes = map.encode().unwrap();
    let decode = |depth_max| {
        Causal::<OrMap<u8, OrMap<u8, MvRegister<u8>>>>::decode(&bytes, &Limits { depth_max, ..exact_depth() }).map(drop)
    };
    assert_eq!((decode(2), decode(1)), (Ok(()), Err(DecodeError::TooDeep(1))));
}

fn exact_depth() -> Limits {
    Limits::default()
}

#[test]
fn a_one_element_delta_costs_at_most_40_bytes_over_its_payload_with_100_known_replicas() {
    let mut set: Causal<AwSet<[u8; 16]>> = Causal::new();
    for n in 0..100_000_u64 {
        let mut member = [0; 16];
        member[..8].copy_from_slice(&n.to_le_bytes());
        let _sent = set.add(ReplicaId::new((n % 100).wrapping_mul(0x9e37_79b9_7f4a_7c15)), member);
    }
    assert_eq!(set.context().version_vector().len(), 100);
    let fresh = set.add(A, [0xff; 16]).size().unwrap();
    assert_eq!(fresh.data, 16);
    assert!(fresh.metadata <= 40, "{fresh:?}");
    // Adding again what somebody else added names that one's dot too.
    let again = set.add(A, [0; 16]).size().unwrap();
    assert!(again.metadata <= 40, "{again:?}");
    let removed = set.remove(A, &[0xff; 16]).size().unwrap();
    assert!(removed.metadata <= 40, "{removed:?}");
}

#[test]
fn a_16_byte_member_is_encoded_in_at_most_18_bytes() {
    let mut set: Causal<AwSet<[u8; 16]>> = Causal::new();
    for n in 0..10_000_u64 {
        let mut member = [0; 16];
        member[..8].copy_from_slice(&n.to_le_bytes());
        let _sent = set.add(ReplicaId::new(n % 3 + (1 << 60)), member);
    }
    assert!(set.encode().unwrap().len() <= 18 * 10_000);
}

#[test]
fn equal_values_with_different_histories_have_equal_encodings() {
    let forward = set_of(0..100);
    let mut deltas: Vec<_> = Vec::new();
    let mut other = Causal::new();
    for member in 0..100 {
        deltas.push(Causal::<AwSet<u32>>::add(&mut other, A, member));
    }
    deltas.reverse();
    let mut backward = Causal::new();
    deltas.into_iter().for_each(|delta| Lattice::merge(&mut backward, delta));
    assert_eq!(forward.encode(), backward.encode());
}

#[test]
fn serde_carries_a_value_inside_the_users_own_types() {
    let set = set_of([1, 2, 3]);
    let bytes = postcard::to_allocvec(&(7_u8, &set)).unwrap();
    let (seven, back): (u8, Causal<AwSet<u32>>) = postcard::from_bytes(&bytes).unwrap();
    assert_eq!((seven, back), (7, set));
    assert!(postcard::from_bytes::<(u8, Causal<AwSet<u32>>)>(&[7, 1, 99]).is_err());
}

#[test]
fn the_highest_accepted_dot_leaves_room_to_count_on() {
    let replica = ReplicaId::new(0);
    let context = [&[1, 1][..], &[0; 8], &[1, 0], &[0xff; 8], &[0x7f, 0], &[0, 0, 0, 0]].concat();
    let mut set = Causal::<AwSet<u32>>::decode(&context, &Limits::default()).unwrap();
    assert_eq!(set.context().last(replica), Dot::SEQ_MAX);
    let _sent = set.add(replica, 1);
    assert!(set.contains(&1));
}

#[test]
fn a_version_vector_from_outside_leaves_room_to_count_on_as_well() {
    let decode = |seq: u64| postcard::from_bytes::<VersionVector>(&postcard::to_allocvec(&vec![(A, seq)]).unwrap());
    assert_eq!(decode(Dot::SEQ_MAX).map(|seen| seen.get(A)), Ok(Dot::SEQ_MAX));
    assert!(decode(Dot::SEQ_MAX + 1).is_err());
    assert!(decode(u64::MAX).is_err());
}

#[test]
fn a_row_that_hands_rights_to_one_replica_twice_is_refused() {
    // Two replicas; the context has dot 1 of the first; its row: 9 granted, 0 spent, then what it handed to whom.
    let row = |handed: &[u8]| {
        [&[1, 2][..], &[0; 8], &[0, 0, 0, 0, 0, 0, 0, 1], &[1, 0, 1, 0], &[1, 0, 1, 9, 0], handed].concat()
    };
    let decode = |handed: &[u8]| {
        Causal::<BoundedCounter>::decode(&row(handed), &Limits::default()).map(|c| c.rights(ReplicaId::new(1)))
    };
    assert_eq!(decode(&[1, 1, 2]), Ok(Ok(2)));
    assert!(matches!(decode(&[2, 1, 2, 1, 3]), Err(DecodeError::Malformed(_))));
}

/// Integers as the encoding writes them.
fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

/// A counter may come with as many baselines as the limits allow, in the worst order; none of it may be quadratic.
#[test]
fn a_hundred_thousand_made_up_baselines_are_taken_in_and_merged_at_once() {
    const MANY: u64 = 100_000;
    let mut bytes = [&[1, 1][..], &[0; 8], &[1, 0]].concat();
    varint(Dot::SEQ_MAX, &mut bytes);
    bytes.push(0); // no cloud
    varint(1, &mut bytes); // one cell: dot (0, MANY), born with it, total 1
    bytes.push(0);
    varint(MANY, &mut bytes);
    bytes.extend([0, 2]);
    varint(MANY, &mut bytes);
    for birth in (1..=MANY).rev() {
        bytes.push(0);
        varint(birth, &mut bytes);
        bytes.extend([0, 2, 0, 1]); // seen 0 after birth, total 1, reset by dot (0, 1)
    }
    let counter = Causal::<PnCounter>::decode(&bytes, &Limits::default()).unwrap();
    let mut state = Causal::<PnCounter>::new();
    state.merge(counter.clone());
    let _sent = state.add(B, 1).unwrap();
    state.merge(counter);
    assert_eq!(state.value(), Ok(1));
}

#[test]
fn cells_out_of_order_are_refused() {
    // One replica, a context of two dots, and a register with the cells of both.
    let register = |first: u8, second: u8| {
        let bytes = [&[1, 1][..], &[0; 8], &[1, 0, 2, 0], &[2, 0, first, 7, 0, second, 8]].concat();
        Causal::<MvRegister<u8>>::decode(&bytes, &Limits::default()).map(|register| register.len())
    };
    assert_eq!(register(1, 2), Ok(2));
    assert!(matches!(register(2, 1), Err(DecodeError::Malformed(_))));
    assert!(matches!(register(1, 1), Err(DecodeError::Malformed(_))));
}

/// A register of `count` values, all of them concurrent as far as anybody can tell, written by one replica.
fn register_of(id: u8, count: u64) -> Causal<MvRegister<u8>> {
    let mut bytes = [&[1, 1][..], &[id; 8], &[1, 0]].concat();
    varint(count, &mut bytes);
    bytes.push(0); // no cloud
    varint(count, &mut bytes);
    for seq in 1..=count {
        bytes.push(0);
        varint(seq, &mut bytes);
        bytes.push(7);
    }
    Causal::decode(&bytes, &Limits::default()).unwrap()
}

/// So may a register with cells; those of the second all belong before those of the first.
#[test]
fn a_quarter_of_a_million_made_up_values_are_merged_at_once() {
    const MANY: u64 = 250_000;
    let mut state = register_of(2, MANY);
    state.merge(register_of(1, MANY));
    assert_eq!(state.len() as u64, 2 * MANY);
}
