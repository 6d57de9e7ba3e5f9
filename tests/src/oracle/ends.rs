//! When what a client of one replica sees of one key ends.

use std::collections::BTreeMap;

use cahoots_gossip::store::{Class, Moment};

use super::action::Name;

/// What TTL and HTTL say, in milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Of the key; `None`: it never ends, or there is none.
    pub key: Option<u64>,
    /// Of those fields that end by themselves.
    pub fields: BTreeMap<Name, u64>,
}

impl Ends {
    /// Reads them.
    #[must_use]
    pub fn read(moment: Moment<'_>, key: &[u8]) -> Self {
        let Some(view) = moment.view(key) else { return Self::default() };
        let mut fields = BTreeMap::new();
        if view.class() == Class::Hash {
            let end = |name: &[u8]| view.field_deadline(name).map(|deadline| (name.to_vec(), deadline));
            fields.extend(view.iter().filter_map(|(name, _)| end(name)));
        }
        Self { key: view.deadline(), fields }
    }
}
