//! What a bucket holds, as it travels: cells by key, baselines, the frontier.

use hashbrown::HashTable;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use cahoots_crdt::{Dot, Observed, ReplicaId, VersionVector};

use super::TransferError;
use crate::bytes::Bytes;
use crate::mix::fold;
use crate::store::cell::ballot::{self, BallotError};
use crate::store::cell::sound;
use crate::store::cell::{Count, Element, Register, hash_of};
use crate::store::kind::Class;
use crate::store::memory::bucket::{Bucket, bucket_of, place_of};
use crate::store::memory::entry::Entry;
use crate::{Hlc, Limits};

/// Mostly one: the text of a key, the register of an element.
pub(in crate::store) type Few<T> = SmallVec<[T; 1]>;

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct Content<'a> {
    pub(in crate::store) frontier: Vec<Dot>,
    #[serde(borrow)]
    pub(in crate::store) baselines: Vec<BaselineState<'a>>,
    pub(in crate::store) keys: Vec<KeyState<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct BaselineState<'a> {
    #[serde(borrow)]
    pub(in crate::store) key: Bytes<'a>,
    pub(in crate::store) class: u8,
    pub(in crate::store) name: Bytes<'a>,
    pub(in crate::store) owner: ReplicaId,
    pub(in crate::store) birth: u64,
    pub(in crate::store) seen: u64,
    pub(in crate::store) total: i128,
    pub(in crate::store) reset: Dot,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct KeyState<'a> {
    #[serde(borrow)]
    pub(in crate::store) key: Bytes<'a>,
    pub(in crate::store) elements: Elements<'a>,
}

/// What lies under a key: as it was read, or as it is written, without a list of it being made first. There may be millions
/// of them.
pub(in crate::store) enum Elements<'a> {
    Read(Few<ElementState<'a>>),
    Of(Entry<'a>),
}

impl<'a> Elements<'a> {
    /// Those that were read.
    pub(in crate::store) fn as_read(&self) -> &[ElementState<'a>] {
        match self {
            Self::Read(elements) => elements,
            Self::Of(_) => &[],
        }
    }
}

impl Serialize for Elements<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Read(elements) => elements.serialize(serializer),
            Self::Of(entry) => {
                let mut list = serializer.serialize_seq(Some(entry.count()))?;
                for (class, name, element) in entry.iter() {
                    list.serialize_element(&state_of(class, &name, &element))?;
                }
                list.end()
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Few::deserialize(deserializer).map(Self::Read)
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct ElementState<'a> {
    pub(in crate::store) class: u8,
    #[serde(borrow)]
    pub(in crate::store) name: Bytes<'a>,
    pub(in crate::store) registers: Few<(Dot, Hlc, Bytes<'a>)>,
    /// Dot, clock, birth, total.
    pub(in crate::store) counts: Vec<(Dot, Hlc, u64, i128)>,
}

/// The bucket's side tables, and these of its keys.
pub(in crate::store) fn content_of<'a>(
    bucket: &'a Bucket,
    keys: impl Iterator<Item = (&'a [u8], Entry<'a>)>,
) -> Content<'a> {
    let baselines = bucket.baselines.iter().map(|it| BaselineState {
        key: Bytes(&it.key),
        class: it.class as u8,
        name: Bytes(&it.name),
        owner: it.baseline.owner,
        birth: it.baseline.birth,
        seen: it.baseline.seen,
        total: it.baseline.total,
        reset: it.baseline.reset,
    });
    let keys = keys.map(|(key, entry)| KeyState { key: Bytes(key), elements: Elements::Of(entry) });
    Content { frontier: bucket.frontier.iter().collect(), baselines: baselines.collect(), keys: keys.collect() }
}

fn state_of<'n, 'a: 'n>(class: Class, name: &'n [u8], element: &Element<'a>) -> ElementState<'n> {
    ElementState {
        class: class as u8,
        name: Bytes(name),
        registers: element.value.iter().map(|(dot, it)| (dot, it.clock, Bytes(it.value))).collect(),
        counts: element.counts.iter().map(|(dot, it)| (dot, it.clock, it.birth, it.total)).collect(),
    }
}

impl ElementState<'_> {
    /// What it says is live.
    pub(in crate::store) fn element<'s>(&'s self) -> Element<'s> {
        let register =
            |(dot, clock, value): &'s (Dot, Hlc, Bytes<'_>)| (*dot, Register { clock: *clock, value: value.0 });
        let count = |(dot, clock, birth, total): &_| (*dot, Count { clock: *clock, birth: *birth, total: *total });
        Element {
            value: self.registers.iter().map(register).collect(),
            counts: self.counts.iter().map(count).collect(),
        }
    }

    /// The dots of all cells.
    pub(in crate::store) fn dots(&self) -> impl Iterator<Item = Dot> + '_ {
        self.registers.iter().map(|(dot, ..)| *dot).chain(self.counts.iter().map(|(dot, ..)| *dot))
    }

    /// The clocks of all cells.
    fn clocks(&self) -> impl Iterator<Item = Hlc> + '_ {
        self.registers.iter().map(|(_, clock, _)| *clock).chain(self.counts.iter().map(|(_, clock, ..)| *clock))
    }

    /// Whether `element` holds exactly these cells. Contents count, not dots alone: a dot of an id that was used twice
    /// may name two of them.
    pub(in crate::store) fn describes(&self, element: &Element<'_>) -> bool {
        let registers = element.value.iter().map(|(dot, it)| (dot, it.clock, it.value));
        let counts = element.counts.iter().map(|(dot, it)| (dot, it.clock, it.birth, it.total));
        registers.eq(self.registers.iter().map(|(dot, clock, value)| (*dot, *clock, value.0)))
            && counts.eq(self.counts.iter().copied())
    }
}

/// Well formed, within the limits, every key and every element of it once, and no cell beyond `vv` or after `clock`.
pub(in crate::store) fn check(
    content: &Content<'_>,
    bucket: usize,
    (vv, clock): (&VersionVector, Hlc),
    limits: &Limits,
) -> Result<(), TransferError> {
    let place = |code: u8, name: &[u8]| {
        let class = Class::from_code(code).ok_or(TransferError::Illegal("no such type"))?;
        if name.len() > limits.name_bytes_max {
            return Err(TransferError::TooLong);
        }
        if !class.has_names() && !name.is_empty() {
            return Err(TransferError::Illegal("this type has no named parts"));
        }
        Ok(class)
    };
    let home = |key: &[u8]| {
        let hash = hash_of(key);
        if key.len() > limits.name_bytes_max {
            return Err(TransferError::TooLong);
        }
        if bucket_of(hash) != bucket { Err(TransferError::Illegal("key outside its bucket")) } else { Ok(hash) }
    };
    let cell = |dot: Dot| if vv.covers(dot) { Ok(()) } else { Err(TransferError::Illegal("cell before its event")) };
    content.frontier.iter().try_for_each(|dot| cell(*dot))?;
    for it in &content.baselines {
        home(it.key.0)?;
        if !place(it.class, it.name.0)?.is_counted() {
            return Err(TransferError::Illegal(sound::NOT_COUNTED));
        }
        if it.birth == 0 || it.birth > it.seen {
            return Err(TransferError::Illegal("reset of an impossible slot"));
        }
    }
    let mut keys: HashTable<&[u8]> = HashTable::with_capacity(content.keys.len());
    let mut names: HashTable<(u8, &[u8])> = HashTable::new();
    for key in &content.keys {
        let hash = home(key.key.0)?;
        if keys.find(place_of(hash), |known| *known == key.key.0).is_some() {
            return Err(TransferError::Illegal("a key twice"));
        }
        keys.insert_unique(place_of(hash), key.key.0, |key| place_of(hash_of(key)));
        names.clear();
        let elements = key.elements.as_read();
        for element in elements {
            let class = place(element.class, element.name.0)?;
            if !class.is_counted() && !element.counts.is_empty() {
                return Err(TransferError::Illegal(sound::NOT_COUNTED));
            }
            if class.holds_ballots() {
                check_ballots(class, element)?;
            }
            for (dot, clock, value) in &element.registers {
                sound::check(class, element.name.0, *dot, *clock, value.0).map_err(TransferError::Illegal)?;
            }
            for clock in element.clocks() {
                sound::check_name(class, element.name.0, clock).map_err(TransferError::Illegal)?;
            }
            if elements.len() > 1 {
                let place = (element.class, element.name.0);
                let hash = |(class, name): &(u8, &[u8])| fold(hash_of(name), u64::from(*class));
                if names.find(hash(&place), |known| *known == place).is_some() {
                    return Err(TransferError::Illegal("an element twice"));
                }
                names.insert_unique(hash(&place), place, hash);
            }
            if element.registers.iter().any(|(_, _, value)| value.0.len() > limits.value_bytes_max) {
                return Err(TransferError::TooLong);
            }
            element.dots().try_for_each(cell)?;
            if element.clocks().any(|it| it > clock) {
                return Err(TransferError::Illegal("cell later than its sender's clock"));
            }
            if element.counts.iter().any(|(dot, _, birth, _)| *birth == 0 || *birth > dot.seq) {
                return Err(TransferError::Illegal("counter slot born after its event"));
            }
        }
    }
    Ok(())
}

/// One ballot per replica, each as that replica may cast it.
fn check_ballots(class: Class, element: &ElementState<'_>) -> Result<(), TransferError> {
    let mut owners: Vec<ReplicaId> = element.registers.iter().map(|(dot, ..)| dot.replica).collect();
    owners.sort_unstable();
    if owners.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(TransferError::Illegal("two ballots of one replica"));
    }
    element.registers.iter().try_for_each(|(.., value)| match ballot::check(class, value.0) {
        Ok(()) => Ok(()),
        Err(BallotError::TooLong) => Err(TransferError::TooLong),
        Err(BallotError::NoNumber) => Err(TransferError::Illegal("a presence is no number")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{BUCKETS, Store};

    const WALL: u64 = 1_700_000_000_000;

    /// Otherwise a clock far ahead, which holds back the events of its replica, would get in by the back door.
    #[test]
    fn a_cell_later_than_the_clock_of_its_sender_is_refused() {
        for counted in [false, true] {
            let [mut from, mut to] = [1, 2].map(|id| Store::new(ReplicaId::new(id), Limits::default(), 1_024));
            let written =
                from.write(WALL, 0, |w| if counted { w.add(b"key", 1).map(drop) } else { w.set(b"key", b"v") });
            written.expect("admitted");
            let theirs = to.bucket_fingerprints(0, BUCKETS);
            let (sound, _) = from.encode_transfer(0, &theirs, usize::MAX, usize::MAX);
            from.clock = Hlc::at(WALL - 1);
            let (forged, _) = from.encode_transfer(0, &theirs, usize::MAX, usize::MAX);
            let refused = to.join_transfer(&forged);
            assert_eq!(refused, Err(TransferError::Illegal("cell later than its sender's clock")));
            assert!(to.is_empty() && to.join_transfer(&sound).is_ok());
        }
    }
}
