//! What a client of one replica sees of one key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;

use cahoots_crdt::ReplicaId;
use cahoots_gossip::store::{self, Class, Moment, StreamId, View};

use super::action::{Name, brief};

/// The whole visible content of a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shown {
    /// No such key.
    Nothing,
    /// A text, its increments counted in.
    Text(Name),
    /// The members of a set.
    Set(BTreeSet<Name>),
    /// The fields of a hash.
    Hash(BTreeMap<Name, Name>),
    /// The members of a sorted set with their scores in halves.
    Sorted(BTreeMap<Name, i128>),
    /// The entries of a stream, and the highest id it ever had.
    Stream(BTreeMap<StreamId, Name>, StreamId),
    /// The elements of a list.
    List(Vec<Name>),
    /// What each replica has cast.
    Ballots(BTreeMap<ReplicaId, Name>),
}

impl Shown {
    /// Reads `key` through every accessor the store offers and insists that they agree with each other.
    ///
    /// # Panics
    /// If two accessors of one view contradict each other.
    #[must_use]
    pub fn read(moment: Moment<'_>, key: &[u8]) -> Self {
        let Some(view) = moment.view(key) else { return Self::Nothing };
        match view.class() {
            Class::Text => {
                let text = view.text().expect("a text has a text").into_owned();
                assert_eq!(view.len(), text.len(), "the length of text {}", brief(key));
                Self::Text(text)
            }
            Class::Set => {
                let members: BTreeSet<Name> = view.iter().map(|(name, _)| name.to_vec()).collect();
                assert!(view.text().is_none(), "{} shows a set and a text", brief(key));
                assert_eq!(view.len(), members.len(), "the length of set {}", brief(key));
                assert!(members.iter().all(|name| view.contains(name)), "every member of {} is contained", brief(key));
                Self::Set(members)
            }
            Class::Hash => {
                let fields: BTreeMap<Name, Name> =
                    view.iter().map(|(name, value)| (name.to_vec(), value.into_owned())).collect();
                assert_eq!(view.len(), fields.len(), "the length of hash {}", brief(key));
                for (name, value) in &fields {
                    assert!(view.contains(name), "field {} is contained", brief(name));
                    assert_eq!(view.get(name).as_deref(), Some(value.as_slice()), "field {}", brief(name));
                }
                Self::Hash(fields)
            }
            Class::Sorted => Self::Sorted(read_sorted(view, key)),
            Class::Stream => read_stream(view, key),
            Class::List => Self::List(read_list(view, key)),
            Class::Deadline | Class::Until | Class::FieldDeadline | Class::FieldUntil => {
                unreachable!("{} is of a type that no test writes", brief(key))
            }
            Class::Vote | Class::Presence => {
                let cells: Vec<(ReplicaId, Name)> = view.ballots().map(|(id, ballot)| (id, ballot.to_vec())).collect();
                let ballots: BTreeMap<ReplicaId, Name> = cells.iter().cloned().collect();
                assert_eq!(
                    (view.len(), ballots.len()),
                    (cells.len(), cells.len()),
                    "one ballot each at {}",
                    brief(key)
                );
                assert!(
                    !view.contains(b"") && view.iter().next().is_none(),
                    "ballots of {} are no members",
                    brief(key)
                );
                Self::Ballots(ballots)
            }
        }
    }

    /// The class shown, if there is a key.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Nothing => None,
            Self::Text(_) => Some(Class::Text),
            Self::Set(_) => Some(Class::Set),
            Self::Hash(_) => Some(Class::Hash),
            Self::Sorted(_) => Some(Class::Sorted),
            Self::Stream(..) => Some(Class::Stream),
            Self::List(_) => Some(Class::List),
            Self::Ballots(_) => Some(Class::Vote),
        }
    }

    /// A text, for expectations written out in a test.
    #[must_use]
    pub fn text(value: &str) -> Self {
        Self::Text(value.into())
    }

    /// A set, for expectations written out in a test.
    #[must_use]
    pub fn set<'a>(members: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Set(members.into_iter().map(Into::into).collect())
    }

    /// A sorted set with scores in halves, for expectations written out in a test.
    #[must_use]
    pub fn sorted<'a>(members: impl IntoIterator<Item = (&'a str, i128)>) -> Self {
        Self::Sorted(members.into_iter().map(|(member, halves)| (member.into(), halves)).collect())
    }

    /// A list, for expectations written out in a test.
    #[must_use]
    pub fn list<'a>(elements: impl IntoIterator<Item = &'a str>) -> Self {
        Self::List(elements.into_iter().map(Into::into).collect())
    }

    /// The same, its elements sorted by their values if it is a list.
    pub(super) fn without_order(&self) -> Self {
        let mut shown = self.clone();
        if let Self::List(elements) = &mut shown {
            elements.sort_unstable();
        }
        shown
    }

    /// A hash, for expectations written out in a test.
    #[must_use]
    pub fn hash<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::Hash(fields.into_iter().map(|(field, value)| (field.into(), value.into())).collect())
    }
}

/// The members of a sorted set, which stand in the order of their scores and can be found in every way there is.
#[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
fn read_sorted(view: View<'_>, key: &[u8]) -> BTreeMap<Name, i128> {
    let sorted = view.sorted();
    let listed: Vec<(&[u8], f64)> = sorted.range(0..usize::MAX).collect();
    let mut backwards: Vec<(&[u8], f64)> = sorted.walk(0..usize::MAX, true).collect();
    backwards.reverse();
    assert_eq!(listed, backwards, "{} read from either end", brief(key));
    assert_eq!((sorted.len(), view.len()), (listed.len(), listed.len()), "the length of sorted set {}", brief(key));
    let in_order = listed.is_sorted_by(|a, b| a.1 < b.1 || a.1 == b.1 && a.0 < b.0);
    assert!(in_order, "the order of {}: {listed:?}", brief(key));
    let mut members = BTreeMap::new();
    for (rank, (member, score)) in listed.iter().enumerate() {
        assert_eq!(view.score(member), Some(*score), "the score of {}", brief(member));
        assert_eq!(sorted.rank_of(member), Some(rank), "the rank of {}", brief(member));
        let same = sorted.by_score(Bound::Included(*score), Bound::Included(*score));
        assert!(same.contains(&rank) && listed[same].iter().all(|it| it.1 == *score), "members of score {score}");
        let halves = (score * 2.0) as i128;
        assert_eq!(halves as f64, score * 2.0, "whole halves at {}", brief(member));
        members.insert(member.to_vec(), halves);
    }
    assert_eq!(view.iter().count(), members.len(), "the members of {}", brief(key));
    assert!(view.iter().all(|(name, _)| members.contains_key(name) && view.contains(name)));
    members
}

/// The entries of a stream, each of one field, from either end and by rank.
fn read_stream(view: View<'_>, key: &[u8]) -> Shown {
    let stream = view.stream();
    let told = |(id, fields): (StreamId, store::Fields<'_>)| {
        let fields: Vec<_> = fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let [(name, value)] = <[_; 1]>::try_from(fields).expect("entries of tests have one field");
        assert_eq!(name, b"f", "the field of {id} of {}", brief(key));
        (id, value)
    };
    let listed: Vec<(StreamId, Name)> = stream.ranks(0..usize::MAX).map(told).collect();
    let mut backwards: Vec<_> = stream.range(StreamId::MIN, StreamId::MAX).rev().map(told).collect();
    backwards.reverse();
    assert_eq!(listed, backwards, "{} read from either end", brief(key));
    assert_eq!((stream.len(), view.len()), (listed.len(), listed.len()), "the length of stream {}", brief(key));
    assert!(listed.is_sorted_by(|a, b| a.0 < b.0), "the order of {}: {listed:?}", brief(key));
    for (rank, (id, _)) in listed.iter().enumerate() {
        assert!(stream.contains(*id) && stream.rank_from(*id) == rank, "the rank of {id} of {}", brief(key));
    }
    let (all, _) = stream.read_after(&store::StreamCursor::default(), usize::MAX);
    assert_eq!(all.into_iter().map(told).collect::<Vec<_>>(), listed, "{} read whole", brief(key));
    Shown::Stream(listed.into_iter().collect(), stream.last_id())
}

/// The elements of a list, which can be found in every way there is.
fn read_list(view: View<'_>, key: &[u8]) -> Vec<Name> {
    let list = view.ordered();
    let listed: Vec<(store::Name<'_>, &[u8])> = list.range(0..usize::MAX).collect();
    let mut backwards: Vec<(store::Name<'_>, &[u8])> = list.range(0..usize::MAX).rev().collect();
    backwards.reverse();
    assert_eq!(listed, backwards, "{} read from either end", brief(key));
    assert_eq!((list.len(), view.len()), (listed.len(), listed.len()), "the length of list {}", brief(key));
    for (rank, (position, value)) in listed.iter().enumerate() {
        assert_eq!(list.get(rank), Some((position.clone(), *value)), "element {rank} of {}", brief(key));
        assert_eq!(list.rank_from(position), rank, "the rank of an element of {}", brief(key));
        assert_eq!(view.get(position).as_deref(), Some(*value), "element {rank} of {}", brief(key));
    }
    assert!(listed.is_sorted_by(|a, b| *a.0 < *b.0), "the order of {}: {listed:?}", brief(key));
    listed.into_iter().map(|(_, value)| value.to_vec()).collect()
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "nothing"),
            Self::Text(text) => write!(f, "text {}", brief(text)),
            Self::Set(members) => f.debug_set().entries(members.iter().map(|name| brief(name))).finish(),
            Self::Ballots(ballots) => {
                f.debug_map().entries(ballots.iter().map(|(id, ballot)| (id, brief(ballot)))).finish()
            }
            Self::List(elements) => f.debug_list().entries(elements.iter().map(|it| brief(it))).finish(),
            Self::Sorted(members) => {
                f.debug_map().entries(members.iter().map(|(name, halves)| (brief(name), halves))).finish()
            }
            Self::Stream(entries, last) => {
                write!(f, "last {last} ")?;
                f.debug_map().entries(entries.iter().map(|(id, value)| (id.to_string(), brief(value)))).finish()
            }
            Self::Hash(fields) => {
                f.debug_map().entries(fields.iter().map(|(name, value)| (brief(name), brief(value)))).finish()
            }
        }
    }
}
