//! What a client of one replica sees of one key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cahoots_crdt::ReplicaId;
use cahoots_gossip::store::{Class, Moment};

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
            Class::Sorted | Class::List | Class::Stream | Class::Deadline | Class::Until => {
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

    /// A hash, for expectations written out in a test.
    #[must_use]
    pub fn hash<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::Hash(fields.into_iter().map(|(field, value)| (field.into(), value.into())).collect())
    }
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
            Self::Hash(fields) => {
                f.debug_map().entries(fields.iter().map(|(name, value)| (brief(name), brief(value)))).finish()
            }
        }
    }
}
