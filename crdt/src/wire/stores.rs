//! How each type lays itself out.
//!
//! ```text
//! cells        n, then n × (dot, value)
//! table        1 if it only lists keys, then n × (key, store), sorted by encoded key
//! set of dots  1 if it only lists keys; members with one dot, grouped by replica: n × (replica, m × (gap of seq,
//!              member)); members with several: n × (member, n × dot); members without: n × member
//! ```
//!
//! A set of 16-byte members thus costs 17 to 18 bytes a member, the replica being named once a group.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DecodeError, EncodeError, Reader, Wire, Writer};
use crate::bounded_counter::Row;
use crate::tallies::{Baseline, Tallies, Tally};
use crate::{
    AwSet, BoundedCounter, Dot, DotFun, DotMap, DotSet, DwFlag, EwFlag, GCounter, GSet, LwwRegister, MaxRegister,
    MinRegister, MvRegister, OrMap, PnCounter, ReplicaId, RwSet, Vote,
};

impl<T: Serialize + DeserializeOwned + Clone> Wire for DotFun<T> {
    fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.cells(self, Writer::payload)
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.cells(Reader::payload)
    }
}

impl<K, V> Wire for DotMap<K, V>
where
    K: Eq + Hash + Clone + Serialize + DeserializeOwned,
    V: Wire,
{
    fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.flag(self.is_listing());
        writer.count(self.len());
        for (key, value) in self.sorted()? {
            writer.payload_bytes(&key);
            value.encode_to(writer)?;
        }
        Ok(())
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.nested(|reader| {
            let listing = reader.flag()?;
            let mut table = Self::default();
            for _ in 0..reader.count()? {
                let key = reader.payload()?;
                let value = V::decode_from(reader)?;
                insert(&mut table, key, value, listing)?;
            }
            table.set_listing(listing);
            Ok(table)
        })
    }
}

/// Adds an entry from outside, which may be repeated, or empty where nothing empty belongs.
fn insert<K: Eq + Hash + Clone, V: Wire>(
    table: &mut DotMap<K, V>,
    key: K,
    value: V,
    listing: bool,
) -> Result<(), DecodeError> {
    if table.get(&key).is_some() {
        return Err(DecodeError::Malformed("a repeated key"));
    }
    if !listing && value.is_bottom() {
        return Err(DecodeError::Malformed("an empty value in a whole table"));
    }
    table.insert_new(key, value);
    Ok(())
}

fn encode_dot_table<T>(members: &DotMap<T, DotSet>, writer: &mut Writer) -> Result<(), EncodeError>
where
    T: Eq + Hash + Clone + Serialize,
{
    writer.flag(members.is_listing());
    let mut singles: Vec<(Dot, &T)> = Vec::with_capacity(members.len());
    let mut shared: Vec<(Vec<Dot>, &T)> = Vec::new();
    let mut listed: Vec<Vec<u8>> = Vec::new();
    for (member, dots) in members.iter() {
        let mut dots = dots.iter().map(|(dot, ())| dot);
        match (dots.next(), dots.len()) {
            (None, _) => listed.push(super::key_bytes(member)?),
            (Some(dot), 0) => singles.push((dot, member)),
            (Some(dot), _) => shared.push((core::iter::once(dot).chain(dots).collect(), member)),
        }
    }
    singles.sort_unstable_by_key(|single| single.0);
    shared.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    listed.sort_unstable();

    let groups = singles.chunk_by(|a, b| a.0.replica == b.0.replica);
    writer.count(groups.clone().count());
    for group in groups {
        writer.replica(group[0].0.replica);
        writer.count(group.len());
        let mut before = 0;
        for (dot, member) in group {
            // One dot belongs to one member, so no gap is 0 and the one before it can be left out.
            writer.integer(dot.seq.saturating_sub(before + 1));
            before = dot.seq;
            writer.payload(*member)?;
        }
    }
    writer.count(shared.len());
    for (dots, member) in shared {
        writer.payload(member)?;
        writer.count(dots.len());
        for dot in dots {
            writer.dot(dot);
        }
    }
    writer.count(listed.len());
    for member in listed {
        writer.payload_bytes(&member);
    }
    Ok(())
}

fn decode_dot_table<T>(reader: &mut Reader<'_>) -> Result<DotMap<T, DotSet>, DecodeError>
where
    T: Eq + Hash + Clone + Serialize + DeserializeOwned,
{
    let listing = reader.flag()?;
    let mut members: DotMap<T, DotSet> = DotMap::default();
    let mut group = None;
    for _ in 0..reader.count()? {
        let replica = reader.replica()?;
        if group.replace(replica).is_some_and(|before| before >= replica) {
            return Err(DecodeError::Malformed("groups of members out of order"));
        }
        let mut before = 0_u64;
        for _ in 0..reader.count()? {
            let seq = before.saturating_add(reader.integer()?).saturating_add(1);
            let dot = reader.live(Dot::new(replica, seq))?;
            before = seq;
            insert(&mut members, reader.payload()?, DotSet::of(dot, ()), listing)?;
        }
    }
    let shared = reader.count()?;
    for _ in 0..shared {
        let member = reader.payload()?;
        let dots = reader.cells(|_| Ok(()))?;
        insert(&mut members, member, dots, listing)?;
    }
    if shared > 0 {
        // One dot belongs to one member. Among members of a group the order of the dots has seen to that.
        let mut dots: Vec<Dot> = members.iter().flat_map(|(_, dots)| dots.iter().map(|(dot, ())| dot)).collect();
        dots.sort_unstable();
        if dots.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(DecodeError::Malformed("a dot of two members"));
        }
    }
    for _ in 0..reader.count()? {
        let member = reader.payload()?;
        insert(&mut members, member, DotSet::new(), listing)?;
    }
    members.set_listing(listing);
    Ok(members)
}

impl<T: Eq + Hash + Clone + Serialize + DeserializeOwned> Wire for AwSet<T> {
    fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        encode_dot_table(&self.members, writer)
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        decode_dot_table(reader).map(|members| Self { members })
    }
}

impl<T: Eq + Hash + Clone + Serialize + DeserializeOwned> Wire for GSet<T> {
    fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        encode_dot_table(&self.members, writer)
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        decode_dot_table(reader).map(|members| Self { members })
    }
}

/// Implements [`Wire`] for a type that is laid out like its only field.
macro_rules! wire_by_field {
    ($([$($generics:tt)*] $type:ty { $field:ident })*) => {$(
        impl<$($generics)*> Wire for $type {
            fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError> {
                self.$field.encode_to(writer)
            }

            fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Wire::decode_from(reader).map(|$field| Self { $field })
            }
        }
    )*};
}

wire_by_field! {
    [T: Eq + Hash + Clone + Serialize + DeserializeOwned] RwSet<T> { marks }
    [T: Clone + Serialize + DeserializeOwned] MvRegister<T> { values }
    [T: Clone + Serialize + DeserializeOwned, C: Clone + Serialize + DeserializeOwned] LwwRegister<T, C> { writes }
    [T: Clone + Serialize + DeserializeOwned] MaxRegister<T> { values }
    [T: Clone + Serialize + DeserializeOwned] MinRegister<T> { values }
    [] EwFlag { enablings }
    [] DwFlag { marks }
    [] Vote { ballots }
    [] GCounter { tallies }
    [] PnCounter { tallies }
    [K: Eq + Hash + Clone + Serialize + DeserializeOwned, V: Wire] OrMap<K, V> { entries }
}

impl Wire for Tallies {
    fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        encode_tallies(self, writer, Writer::signed);
        Ok(())
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        decode_tallies(reader, Reader::signed)
    }
}

/// Cells and baselines, each total written by `total`.
pub(super) fn encode_tallies(tallies: &Tallies, writer: &mut Writer, total: fn(&mut Writer, i128)) {
    writer.count(tallies.cells.len());
    for (dot, tally) in tallies.cells.iter() {
        writer.dot(dot);
        writer.integer(dot.seq.saturating_sub(tally.birth));
        total(writer, tally.total);
    }
    writer.count(tallies.baselines().len());
    for baseline in tallies.baselines() {
        writer.replica(baseline.owner);
        writer.integer(baseline.birth);
        writer.integer(baseline.seen.saturating_sub(baseline.birth));
        total(writer, baseline.total);
        writer.dot(baseline.reset);
    }
}

pub(super) fn decode_tallies<'a>(
    reader: &mut Reader<'a>,
    total: fn(&mut Reader<'a>) -> Result<i128, DecodeError>,
) -> Result<Tallies, DecodeError> {
    let mut tallies = Tallies::default();
    tallies.cells = reader.dotted(|reader, dot| {
        let age = reader.integer()?;
        let birth = dot.seq.checked_sub(age).filter(|birth| *birth > 0);
        let birth = birth.ok_or(DecodeError::Malformed("a tally older than its replica"))?;
        Ok(Tally { birth, total: total(reader)? })
    })?;
    let mut baselines = Vec::new();
    for _ in 0..reader.count()? {
        let (owner, birth) = (reader.replica()?, reader.seq()?);
        let seen = birth.saturating_add(reader.integer()?).min(Dot::SEQ_MAX);
        let (total, reset) = (total(reader)?, reader.dot()?);
        baselines.push(Baseline { owner, birth, seen, total, reset });
    }
    tallies.take_baselines(baselines);
    Ok(tallies)
}

impl Wire for BoundedCounter {
    fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.cells(&self.rows, |writer, row| {
            writer.integer(row.granted);
            writer.integer(row.spent);
            writer.count(row.handed.len());
            for (to, amount) in &row.handed {
                writer.replica(*to);
                writer.integer(*amount);
            }
            Ok(())
        })
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let rows = reader.cells(|reader| {
            let (granted, spent) = (reader.wide()?, reader.wide()?);
            let mut handed: BTreeMap<ReplicaId, u128> = BTreeMap::new();
            for _ in 0..reader.count()? {
                let (to, amount) = (reader.replica()?, reader.wide()?);
                if handed.insert(to, amount).is_some() {
                    return Err(DecodeError::Malformed("rights handed twice to one replica"));
                }
            }
            Ok(Row { granted, spent, handed })
        })?;
        Ok(Self { rows })
    }
}
