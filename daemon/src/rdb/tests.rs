//! Payloads of Redis 7.0.15, and what is read of what was written.

use proptest::prelude::*;

use super::crc64::crc64;
use super::*;
use cahoots_gossip::store::{Consumer, Field, Mark, PendingEntry, StreamEntry, StreamGroup, StreamId, Value};

const BYTES_MAX: usize = 1 << 20;

fn bytes() -> impl Strategy<Value = Box<[u8]>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..80),
        1 => prop::collection::vec(any::<u8>(), 80..5_000),
        3 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        2 => any::<i16>().prop_map(|number| number.to_string().into_bytes()),
    ]
    .prop_map(Into::into)
}

fn names() -> impl Strategy<Value = Vec<Box<[u8]>>> {
    prop::collection::hash_set(bytes(), 1..40).prop_map(|names| names.into_iter().collect())
}

fn streams() -> impl Strategy<Value = Value> {
    let fields = prop::collection::vec((bytes(), bytes()), 1..4);
    let entries = prop::collection::btree_map((any::<u64>(), any::<u64>()), fields, 0..250);
    let groups = prop::collection::btree_map(bytes(), group(), 0..3);
    (entries, any::<(u64, u64)>(), 0..1_000_u64, groups).prop_map(|(entries, deleted, removed, groups)| {
        let entries: Vec<StreamEntry> = entries
            .iter()
            .filter_map(|((ms, seq), fields)| {
                StreamEntry::new(StreamId::new(*ms, *seq), fields.iter().map(|(name, value)| (&**name, &**value)))
            })
            .collect();
        let deleted = StreamId::new(deleted.0, deleted.1);
        let last = entries.last().map_or(deleted, |entry| entry.id.max(deleted));
        let groups = groups.into_iter().map(|(name, group)| StreamGroup { name, ..group });
        Value::Stream(entries, Mark { last, max_deleted: deleted, removed }, groups.collect())
    })
}

/// A group without a name, whose consumers got something when they asked last: 7.0 tells one time.
fn group() -> impl Strategy<Value = StreamGroup> {
    let id = || (any::<u64>(), 1..u64::MAX).prop_map(|(ms, seq)| StreamId::new(ms, seq));
    let consumers = prop::collection::btree_map(bytes(), 0..1_u64 << 62, 1..4);
    let pending =
        prop::collection::btree_map(id(), (any::<prop::sample::Index>(), 0..1_u64 << 62, any::<u64>()), 0..30);
    (id(), prop::option::of(0..1_u64 << 62), consumers, pending).prop_map(|(last, read, consumers, pending)| {
        let consumers: Vec<_> =
            consumers.into_iter().map(|(name, seen)| Consumer { name, seen, active: Some(seen) }).collect();
        let entry = |(id, (whose, at, count)): (_, (prop::sample::Index, _, _))| PendingEntry {
            id,
            consumer: whose.get(&consumers).name.clone(),
            at,
            count,
        };
        let pending = pending.into_iter().map(entry).collect();
        StreamGroup { name: Box::default(), last, read, consumers, pending }
    })
}

fn values() -> impl Strategy<Value = Value> {
    let ends = prop::option::of(1_700_000_000_000..1_800_000_000_000_u64);
    let field = (bytes(), ends).prop_map(|(value, deadline)| (value, deadline));
    prop_oneof![
        bytes().prop_map(|text| Value::Text(text.into_vec())),
        names().prop_map(Value::Set),
        names().prop_map(Value::List),
        (names(), prop::collection::vec(field, 40)).prop_map(|(names, fields)| {
            let fields = names.into_iter().zip(fields);
            Value::Hash(fields.map(|(name, (value, deadline))| Field { name, value, deadline }).collect())
        }),
        (names(), prop::collection::vec(-1e300..1e300_f64, 40))
            .prop_map(|(names, scores)| Value::Sorted(names.into_iter().zip(scores).collect())),
        streams(),
    ]
}

proptest! {
    #[test]
    fn what_was_written_is_read(value in values()) {
        prop_assert_eq!(restore(&dump(&value), 64 << 20), Ok(value));
    }

    #[test]
    fn a_payload_that_is_changed_anywhere_is_refused(value in values(), at: prop::sample::Index, flip in 1..=255_u8) {
        let mut payload = dump(&value);
        let at = at.index(payload.len());
        payload[at] ^= flip;
        prop_assert_eq!(restore(&payload, 64 << 20), Err(RdbError::Checksum));
    }

    /// With a right sum: what is read of it, if anything, is written and read again.
    #[test]
    fn any_bytes_are_read_or_refused(form in 0..26_u8, body in prop::collection::vec(any::<u8>(), 0..200)) {
        crate::fuzz::rdb(&[&[form][..], &body].concat());
    }

    #[test]
    fn what_is_cut_short_or_changed_under_a_right_sum_never_panics(
        value in values(), at: prop::sample::Index, flip: u8, cut: prop::sample::Index,
    ) {
        let payload = dump(&value);
        let mut body = payload[..payload.len() - FOOTER_BYTES].to_vec();
        let at = at.index(body.len());
        body[at] ^= flip;
        crate::fuzz::rdb(&body);
        body.truncate(cut.index(body.len()));
        crate::fuzz::rdb(&body);
    }
}

#[test]
fn a_newer_version_and_fewer_bytes_than_the_end_are_refused() {
    let mut newer = [&[kind::STRING, 1, b'a'][..], &(VERSION_MAX + 1).to_le_bytes()].concat();
    newer.extend_from_slice(&crc64(&newer).to_le_bytes());
    assert_eq!(restore(&newer, BYTES_MAX), Err(RdbError::Checksum));
    assert_eq!(restore(b"", BYTES_MAX), Err(RdbError::Checksum));
    assert_eq!(restore(&sealed(b""), BYTES_MAX), Err(RdbError::Malformed));
}

#[test]
fn what_valkey_writes_is_read() {
    let fields = [&b"\x01f\x01v"[..], &4_102_444_800_123_u64.to_le_bytes(), b"\x01g\x01w", &(-1_i64).to_le_bytes()];
    let mut payload = [&[kind::HASH_OF_VALKEY, 2][..], &fields.concat(), &VALKEY_VERSION.to_le_bytes()].concat();
    payload.extend_from_slice(&crc64(&payload).to_le_bytes());
    let field = |name: &[u8], value: &[u8], deadline| Field { name: name.into(), value: value.into(), deadline };
    let expected = vec![field(b"f", b"v", Some(4_102_444_800_123)), field(b"g", b"w", None)];
    assert_eq!(restore(&payload, BYTES_MAX), Ok(Value::Hash(expected)));
}

#[test]
fn collections_of_nothing_and_names_that_are_there_twice_are_refused() {
    for body in [
        &b"\x01\x00"[..],
        b"\x02\x00",
        b"\x04\x00",
        b"\x05\x00",
        b"\x0e\x00",
        b"\x12\x00",
        b"\x02\x02\x01a\x01a",
        b"\x04\x02\x01a\x01x\x01a\x01y",
        b"\x05\x01\x01a\x00\x00\x00\x00\x00\x00\xf8\x7f",
        b"\x00\x01a\x00",
        b"\x06\x01a",
    ] {
        assert_eq!(restore(&sealed(body), BYTES_MAX), Err(RdbError::Malformed), "{}", body.escape_ascii());
    }
}

#[test]
fn what_would_become_too_large_is_refused_before_it_is_made() {
    // Four bytes a string of 264: a list of as many as there is room for.
    let bomb = [&b"\x00\xc3\x06\x80\x00\x00\x01\x0a\x00a\xe0\xff\x00\x00"[..]].concat();
    assert_eq!(restore(&sealed(&bomb), 100), Err(RdbError::TooLarge { max: 100 }));
    let many = [&[kind::LIST, 0x40 | 0x10, 0][..], &[0; 4_096]].concat();
    assert_eq!(restore(&sealed(&many), 10_000), Err(RdbError::TooLarge { max: 10_000 }));
    assert!(restore(&sealed(&many), 100_000).is_ok());
    // A length that nothing stands behind makes no room.
    assert_eq!(restore(&sealed(b"\x02\x81\x7f\xff\xff\xff\xff\xff\xff\xff\x01a"), BYTES_MAX), Err(RdbError::Malformed));
}

#[test]
fn what_is_pending_at_nobody_or_at_two_is_refused() {
    let pending = |id| PendingEntry { id, consumer: b"c"[..].into(), at: 1, count: 1 };
    let consumer = Consumer { name: b"c"[..].into(), seen: 1, active: Some(1) };
    let id = StreamId::new(1, 1);
    let group = StreamGroup {
        name: Box::default(),
        last: id,
        read: None,
        consumers: vec![consumer],
        pending: vec![pending(id)],
    };
    let payload = dump(&Value::Stream(Vec::new(), Mark { last: id, ..Mark::default() }, vec![group.clone()]));
    let body = &payload[..payload.len() - FOOTER_BYTES];
    assert!(restore(&sealed(body), BYTES_MAX).is_ok());
    // The last 17 bytes are how many entries the consumer has, and the id of that one.
    let (front, of_consumer) = body.split_at(body.len() - 17);
    let of_nobody = [front, &[0]].concat();
    let twice = [front, &[2], &of_consumer[1..], &of_consumer[1..]].concat();
    for body in [of_nobody, twice, body[..body.len() - 1].to_vec()] {
        assert_eq!(restore(&sealed(&body), BYTES_MAX), Err(RdbError::Malformed));
    }
}
