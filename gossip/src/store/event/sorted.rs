//! Writing to sorted sets: scores are assigned and added to.

use super::writer::{Opened, Parts, WriteError, Writer, raise};
use crate::store::cell::Path;
use crate::store::cell::score::{self, SCORE_BYTES, ScoreRule};
use crate::store::kind::Class;
use crate::store::memory::bucket::{Bucket, bucket_of};

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
        let path = Path::new(key, Class::Sorted, member);
        let me = self.store.id;
        // All that can be wrong is found before what has expired is removed.
        let view = self.moment().view(key);
        if let Some(view) = view.filter(|view| view.class() != Class::Sorted) {
            return Err(WriteError::WrongType { found: view.class() });
        }
        let sum = view.and_then(|view| view.score(member)).unwrap_or(0.0) + increment;
        if sum.is_nan() {
            return Err(WriteError::ScoreNotANumber);
        }
        if increment.is_infinite() {
            self.assign_score(key, member, sum, ScoreRule::Newest)?;
            return Ok(sum);
        }
        let units = score::to_units(increment).ok_or(WriteError::ScoreOverflow)?;
        let Bucket { keys, .. } = &self.store.buckets[bucket_of(path.key_hash)];
        let added = keys.element(&path).slot(me).map_or(0, |(_, count)| count.total);
        if !score::is_slot(added.saturating_add(units)) {
            return Err(WriteError::ScoreOverflow);
        }
        let (at, ruling) = self.ready(&path)?;
        let Parts { bucket, opening, draft, changes } = self.begin(&path, SCORE_BYTES);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let mut element = keys.element_at(at, &path);
        let Opened { window, event, clock } = opening.open(&path, frontier);
        raise(&path, &mut element, (baselines, fingerprint, window), (event, clock), units);
        let sum = score::of(&path, &element, baselines);
        keys.draft(at, &path, element, draft);
        keys.commit(at, &path, baselines, draft);
        changes.push(key);
        self.restate(&path, clock, ruling);
        Ok(sum)
    }
}
