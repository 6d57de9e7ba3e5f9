//! Live members that share a name.
//!
//! A name is a label: members of one name are peers like any others, and what they write counts. But a name that two live
//! processes have was meant for one, so people are told, once, unless one of them turns out to be the shadow of a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cahoots_crdt::ReplicaId;

use super::member::Member;
use super::roster::Step;

/// The names that several live members have. Bounded by the live members.
#[derive(Default)]
pub(in crate::driver) struct Namesakes(BTreeMap<String, Shared>);

struct Shared {
    ids: BTreeSet<ReplicaId>,
    /// When the last of them came.
    since: Instant,
    told: bool,
}

impl Namesakes {
    /// Takes in who is alive; says what has been so for the grace and is to be told.
    pub(in crate::driver) fn update<'a>(
        &mut self,
        now: Instant,
        grace: Duration,
        live: impl Iterator<Item = &'a Member>,
    ) -> Vec<Step> {
        let mut names: BTreeMap<&str, BTreeMap<ReplicaId, SocketAddr>> = BTreeMap::new();
        for member in live {
            names.entry(&member.name).or_default().insert(member.id, member.addr);
        }
        names.retain(|_, members| members.len() > 1);
        self.0.retain(|name, _| names.contains_key(name.as_str()));
        let mut steps = Vec::new();
        for (name, members) in names {
            let ids: BTreeSet<_> = members.keys().copied().collect();
            let new = Shared { ids: BTreeSet::new(), since: now, told: false };
            let shared = self.0.entry(name.to_owned()).or_insert(new);
            if !ids.is_subset(&shared.ids) {
                (shared.since, shared.told) = (now, false);
            }
            shared.ids = ids;
            if !shared.told && now.duration_since(shared.since) >= grace {
                shared.told = true;
                steps.push(Step::Shared { name: name.to_owned(), members: members.into_iter().collect() });
            }
        }
        steps
    }

    /// When something is to be told, if nothing changes.
    pub(in crate::driver) fn recheck_at(&self, grace: Duration) -> Option<Instant> {
        self.0.values().filter(|shared| !shared.told).map(|shared| shared.since + grace).min()
    }

    /// The other live members of a name that has been told of.
    pub(in crate::driver) fn of(&self, name: &str, id: ReplicaId) -> Vec<ReplicaId> {
        let shared = self.0.get(name).filter(|shared| shared.told && shared.ids.contains(&id));
        shared.into_iter().flat_map(|shared| &shared.ids).filter(|it| **it != id).copied().collect()
    }
}
