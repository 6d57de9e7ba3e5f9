//! Baselines: what a reset took from another replica's counter slot.
//!
//! A reset (DEL, SET, HDEL) cannot write to a foreign slot, whose owner may be adding to it at this moment. It
//! ships, per live foreign slot, how much it had observed; from then on the slot counts for what exceeds that.
//!
//! Invariant: at most one baseline per (path, owner), the one of the highest observed seq. It may be dropped
//! once no live cell of its birth is here and the owner, having applied the reset, can write no more of them.

use hashbrown::HashTable;

use cahoots_crdt::{Dot, ReplicaId};

use crate::mix::fold;
use crate::store::cell::{Count, Path};
use crate::store::kind::Class;

/// The part of one slot's life that a reset has taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Baseline {
    pub(in crate::store) owner: ReplicaId,
    /// Which life of the slot.
    pub(in crate::store) birth: u64,
    /// The seq of the cell that the reset observed.
    pub(in crate::store) seen: u64,
    /// That cell's total.
    pub(in crate::store) total: i128,
    /// The reset.
    pub(in crate::store) reset: Dot,
}

impl Baseline {
    /// What this baseline takes from the cell `count` written by `dot`: nothing from another life.
    pub(in crate::store) fn applies_to(&self, dot: Dot, count: &Count) -> bool {
        self.owner == dot.replica && self.birth == count.birth && self.seen < dot.seq
    }
}

/// A baseline with the path of its slot.
#[derive(Clone, Debug)]
pub(in crate::store) struct Located {
    pub(in crate::store) key: Box<[u8]>,
    pub(in crate::store) class: Class,
    pub(in crate::store) name: Box<[u8]>,
    pub(in crate::store) baseline: Baseline,
}

impl Located {
    pub(in crate::store) fn path(&self) -> Path<'_> {
        Path::new(&self.key, self.class, &self.name)
    }

    fn is_at(&self, path: &Path<'_>, owner: ReplicaId) -> bool {
        self.baseline.owner == owner && *self.key == *path.key && self.class == path.class && *self.name == *path.name
    }
}

/// The baselines of one bucket.
#[derive(Clone, Default, Debug)]
pub(in crate::store) struct Baselines {
    table: HashTable<Located>,
}

impl Baselines {
    /// The baseline of the slot of `owner` at `path`.
    pub(in crate::store) fn get(&self, path: &Path<'_>, owner: ReplicaId) -> Option<&Baseline> {
        if self.table.is_empty() {
            return None;
        }
        self.table.find(fold(path.hash, owner.get()), |it| it.is_at(path, owner)).map(|it| &it.baseline)
    }

    /// The baseline that takes something from the live cell `count` of `dot` at `path`.
    pub(in crate::store) fn effective(&self, path: &Path<'_>, dot: Dot, count: &Count) -> Option<&Baseline> {
        self.get(path, dot.replica).filter(|baseline| baseline.applies_to(dot, count))
    }

    /// What the live cell `count` of `dot` at `path` contributes to the path's value.
    pub(in crate::store) fn contribution(&self, path: &Path<'_>, dot: Dot, count: &Count) -> i128 {
        count.total.wrapping_sub(self.effective(path, dot, count).map_or(0, |baseline| baseline.total))
    }

    /// Keeps, of this and any known baseline of the slot, the one that observed more; says whether it is this.
    pub(in crate::store) fn merge(&mut self, path: &Path<'_>, baseline: Baseline) -> bool {
        let hash = fold(path.hash, baseline.owner.get());
        match self.table.find_mut(hash, |it| it.is_at(path, baseline.owner)) {
            Some(known) if known.baseline.seen < baseline.seen => known.baseline = baseline,
            Some(_) => return false,
            None => {
                let located = Located { key: path.key.into(), class: path.class, name: path.name.into(), baseline };
                self.table.insert_unique(hash, located, |it| fold(it.path().hash, it.baseline.owner.get()));
            }
        }
        true
    }

    /// Drops the baseline of the slot of `owner` if it belongs to a life before `birth`: no cell of an earlier
    /// life can be live again.
    pub(in crate::store) fn begin_life(&mut self, path: &Path<'_>, owner: ReplicaId, birth: u64) {
        if self.table.is_empty() {
            return;
        }
        let hash = fold(path.hash, owner.get());
        if let Ok(found) = self.table.find_entry(hash, |it| it.is_at(path, owner))
            && found.get().baseline.birth < birth
        {
            found.remove();
        }
    }

    pub(in crate::store) fn retain(&mut self, mut keep: impl FnMut(&Located) -> bool) {
        self.table.retain(|it| keep(it));
    }

    /// The resets, to be told apart anew.
    pub(in crate::store) fn resets_mut(&mut self) -> impl Iterator<Item = &mut Dot> {
        self.table.iter_mut().map(|it| &mut it.baseline.reset)
    }

    pub(in crate::store) fn iter(&self) -> impl Iterator<Item = &Located> {
        self.table.iter()
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.table.len()
    }
}
