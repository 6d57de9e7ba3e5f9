//! Writing to sorted sets: scores are assigned and added to.

use cahoots_crdt::ReplicaId;

use super::cells::raise;
use super::parts::{Opened, Parts};
use super::writer::{WriteError, Writer};
use crate::store::cell::score::{self, SCORE_BYTES, ScoreRule};
use crate::store::cell::{Element, Path};
use crate::store::kind::Class;
use crate::store::memory::bucket::Bucket;

impl Writer<'_> {
    /// Makes `score` the score of a member, which is put into the sorted set if it is absent; says whether it was. `rule`
    /// says how it takes its place among what others assign at the same time: one that was assigned because it is greater
    /// than the score that was seen carries that along, also where it makes the member.
    ///
    /// A member of that score is asserted anew, and so survives a concurrent remove, as members of sets do: who adds it
    /// says that it is in the set, whatever it was before.
    ///
    /// # Errors
    /// The score is no number, the key is of another type, a limit is exceeded, or the clock is too far ahead.
    pub fn assign_score(&mut self, key: &[u8], member: &[u8], score: f64, rule: ScoreRule) -> Result<bool, WriteError> {
        if score.is_nan() {
            return Err(WriteError::ScoreNotANumber);
        }
        self.insert(key, Class::Sorted, member, &score::write(rule, score))
    }

    /// Adds to the score of a member, 0 when there is none; the sum. Of an infinite increment the sum is assigned: it
    /// leaves nothing to add to.
    ///
    /// # Errors
    /// The sum is no number, what this replica has added leaves its range, the key is of another type, a limit is exceeded,
    /// or the clock is too far ahead.
    pub fn add_score(&mut self, key: &[u8], member: &[u8], increment: f64) -> Result<f64, WriteError> {
        self.admit(key, member, SCORE_BYTES)?;
        if increment.is_nan() {
            return Err(WriteError::ScoreNotANumber);
        }
        if increment.is_infinite() {
            return self.add_infinity(key, member, increment);
        }
        let path = Path::new(key, Class::Sorted, member);
        let (at, rulings) = self.ready_to_add(&path, |writer| writer.check_increment(&path, increment))?;
        let me = self.store.id;
        let Parts { bucket, opening, draft, changes } = self.begin(&path, SCORE_BYTES);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let mut element = keys.element_at(at, &path);
        let units = units_of(&element, me, increment)?;
        let Opened { window, event, clock } = opening.open(&path, frontier);
        raise(&path, &mut element, (baselines, fingerprint, window), (event, clock), units);
        let sum = score::of(&path, &element, baselines);
        keys.draft(at, &path, element, draft);
        keys.commit(at, &path, baselines, draft);
        changes.push(keys.subject(&path));
        self.restate(&path, clock, rulings);
        Ok(sum)
    }

    /// An infinite increment leaves nothing to add to: the sum is assigned.
    fn add_infinity(&mut self, key: &[u8], member: &[u8], increment: f64) -> Result<f64, WriteError> {
        let score = self.moment().view(key).and_then(|view| view.score(member)).unwrap_or(0.0);
        self.assign_score(key, member, score + increment, ScoreRule::Newest)?;
        Ok(score + increment)
    }

    /// Whether an addition at `path` would be refused, by what is visible there.
    #[cold]
    fn check_increment(&self, path: &Path<'_>, increment: f64) -> Result<(), WriteError> {
        let view = self.moment().view(path.key).filter(|view| view.class() == path.class);
        let element = view.map_or_else(Element::default, |view| view.element(path.name));
        units_of(&element, self.store.id, increment).map(drop)
    }
}

/// A finite increment of an element by replica `me` in units, if that may add it.
fn units_of(element: &Element<'_>, me: ReplicaId, increment: f64) -> Result<i128, WriteError> {
    let added = element.slot(me).map_or(0, |(_, count)| count.total);
    let units = score::to_units(increment).filter(|units| score::is_slot(added.saturating_add(*units)));
    units.ok_or(WriteError::ScoreOverflow)
}
