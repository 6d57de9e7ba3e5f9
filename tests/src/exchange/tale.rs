//! A history of bare stores told by hand.

use cahoots_crdt::{Dot, ReplicaId};

use super::{Step, World};
use crate::client::{Reply, Request};
use crate::commands::{Commands, number};
use crate::oracle::{Action, Shown};

/// Stores called `a`, `b`, `c` ... in the hands of a script.
pub struct Tale {
    /// The stores and what is under way between them.
    pub world: World,
}

impl Tale {
    /// So many empty stores.
    #[must_use]
    pub fn new(replicas: usize) -> Self {
        Self { world: World::new(replicas, 1_000) }
    }

    /// The id under which a store began.
    #[must_use]
    pub fn id(&self, of: char) -> ReplicaId {
        self.world.first_id(number(of))
    }

    /// Several operations of one group.
    pub fn group(&mut self, at: char, group: &[(&str, Action)]) -> Vec<Reply> {
        let group: Vec<_> = group.iter().map(|(key, action)| Request((*key).into(), action.clone())).collect();
        self.world.write(number(at), &group)
    }

    /// Closes the flush window.
    pub fn seal(&mut self, at: char) {
        self.world.take(&Step::Seal(number(at)));
    }

    /// So many milliseconds go by.
    pub fn pass(&mut self, millis: u64) {
        self.world.take(&Step::Tick(millis));
    }

    /// Seals and hands all own events of one store to another.
    pub fn give(&mut self, from: char, to: char) {
        self.seal(from);
        let origin = self.world.id(number(from));
        self.world.give(number(from), number(to), origin);
    }

    /// Everything one store has in its logs goes to another.
    pub fn give_all(&mut self, from: char, to: char) {
        self.seal(from);
        self.world.take(&Step::SendAll(number(from), number(to)));
    }

    /// One store hands the other its whole state.
    pub fn transfer(&mut self, from: char, to: char) {
        self.world.take(&Step::Transfer(number(from), number(to)));
    }

    /// The second asks for the bucket of one key; the answer is under way.
    pub fn ask(&mut self, from: char, to: char, key: &str) {
        let bucket = super::bucket_of(key);
        self.world.take(&Step::Ask(number(from), number(to), bucket..bucket + 1));
    }

    /// What is under way arrives.
    pub fn arrive(&mut self) {
        self.world.take(&Step::Arrive(0, false));
    }

    /// One store tells the other what it has applied.
    pub fn ack(&mut self, from: char, to: char) {
        self.world.take(&Step::Ack(number(from), number(to)));
    }

    /// All logs of a store are cut to nothing.
    pub fn forget_log(&mut self, at: char) {
        (0..9).for_each(|origin| self.world.take(&Step::Cut(number(at), origin, 0)));
    }

    /// The id of a store is in doubt: until told otherwise it tells nobody anything.
    pub fn doubt(&mut self, at: char) {
        self.world.take(&Step::Doubt(number(at)));
    }

    /// The store goes on under another id.
    pub fn rename(&mut self, at: char) {
        self.world.take(&Step::Rename(number(at)));
    }

    /// Memory is lost; the store begins anew under a new id.
    pub fn crash(&mut self, at: char) {
        self.world.take(&Step::Crash(number(at)));
    }

    /// Whether a store has applied the event of this origin (by its letter, in its first life) in the key's bucket.
    #[must_use]
    pub fn has(&self, at: char, key: &str, origin: char, seq: u64) -> bool {
        let dot = Dot::new(self.world.first_id(number(origin)), seq);
        self.world.replicas[number(at)].store.covers(key.as_bytes(), dot)
    }

    /// Lets everybody exchange everything and insists that all show `expected` in the end.
    ///
    /// # Panics
    /// If not.
    pub fn heal(&mut self, key: &str, expected: &Shown) {
        self.world.heal();
        for at in 0..self.world.replicas.len() {
            assert_eq!(self.world.shown(at, key), *expected, "replica {at}");
        }
    }
}

impl Commands for Tale {
    fn run(&mut self, at: char, key: &str, action: &Action) {
        let replies = self.group(at, &[(key, action.clone())]);
        assert_eq!(replies, [Reply::Done], "{at}: {key} {action:?}");
        self.world.take(&Step::Tick(1));
    }

    fn shown(&self, at: char, key: &str) -> Shown {
        self.world.shown(number(at), key)
    }
}
