//! Ballots: keys at which every replica has a value of its own.
//!
//! A ballot is a register cell that supersedes its own replica's earlier one and nothing else, so the live cells of
//! such a key are one ballot per replica that has cast one. What they amount to is a matter of who is alive, which the
//! store does not know: a tally is taken by the engine, and the store can say which keys it is about.
//!
//! Ballots go in three ways: their replica withdraws them, someone deletes the key, or someone discards the ballot of a
//! replica that is gone for good. Discarding names exactly the dots it has observed, and so spares a ballot cast anew.

use cahoots_crdt::{Dot, ReplicaId};

use crate::store::Store;
use crate::store::cell::{Cell, Dots, Element, Path, Register};
use crate::store::event::cells::put_own;
use crate::store::event::parts::{Opened, Parts};
use crate::store::event::window::Window;
use crate::store::event::writer::{WriteError, Writer};
use crate::store::kind::Class;
use crate::store::memory::bucket::{Bucket, bucket_of, remove_cells};
use crate::store::memory::entry::Entry;
use crate::store::read::changes::{By, What};
use crate::store::read::view::owned_values;

/// Bytes of a ballot. Part of the protocol: a choice, not a document; every replica keeps one of every replica.
pub const BALLOT_BYTES_MAX: usize = 1024;

/// Why a value is no ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum BallotError {
    TooLong,
    NoNumber,
}

/// Whether a replica may cast `value`; of classes without ballots, every value.
pub(in crate::store) fn check(class: Class, value: &[u8]) -> Result<(), BallotError> {
    match class {
        Class::Vote | Class::Presence if value.len() > BALLOT_BYTES_MAX => Err(BallotError::TooLong),
        Class::Presence if present(value).is_none() => Err(BallotError::NoNumber),
        _ => Ok(()),
    }
}

/// How many are present by this ballot, which is a positive number in decimal digits.
#[must_use]
pub fn present(ballot: &[u8]) -> Option<u32> {
    let count: u32 = std::str::from_utf8(ballot).ok()?.parse().ok()?;
    (count > 0 && itoa::Buffer::new().format(count).as_bytes() == ballot).then_some(count)
}

/// A ballot that is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot<'a> {
    /// The key.
    pub key: &'a [u8],
    /// [`Class::Vote`] or [`Class::Presence`].
    pub class: Class,
    /// Whose it is.
    pub owner: ReplicaId,
    /// What it says.
    pub value: &'a [u8],
}

impl Store {
    /// Every live ballot, also of replicas long gone. O(buckets + ballots).
    pub fn ballots(&self) -> impl Iterator<Item = Ballot<'_>> {
        self.buckets.iter().flat_map(|bucket| bucket.keys.ballots()).flat_map(|(key, entry)| {
            entry.ballots().flat_map(move |(class, element)| {
                let cells = owned_values(&element).into_iter();
                cells.map(move |(owner, value)| Ballot { key, class, owner, value })
            })
        })
    }

    /// Membership of `replica` has changed: records a change of every key that may amount to something else now. These
    /// are the votes, of which it is silent or not, and where it was present. O(buckets + ballots).
    pub fn report_ballots(&mut self, replica: ReplicaId) {
        if !self.changes.is_on() {
            return;
        }
        let changes = &mut self.changes;
        let concerns = |entry: Entry<'_>| {
            let by = |class, element: &Element<'_>| {
                let casts = element.value.iter().any(|(dot, _)| dot.replica == replica);
                casts || class == Class::Vote && !element.is_empty()
            };
            entry.ballots().any(|(class, element)| by(class, &element))
        };
        let keys = self.buckets.iter().flat_map(|bucket| bucket.keys.ballots()).filter(|(_, entry)| concerns(*entry));
        for (key, entry) in keys {
            if let Some(class) = entry.class() {
                changes.tell(key, class, What::Changed, By::Membership);
            }
        }
    }

    /// What this replica has cast at `key`.
    #[must_use]
    pub fn own_ballot(&self, key: &[u8], class: Class) -> Option<&[u8]> {
        self.ballot(key, class, self.id).map(|(_, register)| register.value)
    }

    /// The live ballot of `owner`, with its dot.
    fn ballot(&self, key: &[u8], class: Class, owner: ReplicaId) -> Option<(Dot, Register<'_>)> {
        let path = Path::new(key, class, b"");
        let element = self.buckets[bucket_of(path.key_hash)].keys.element(&path);
        element.value.iter().find(|(dot, _)| dot.replica == owner).map(|(dot, register)| (dot, *register))
    }
}

impl Writer<'_> {
    /// Casts this replica's ballot at `key`, in place of its earlier one. One cast again is asserted anew, and so
    /// survives a concurrent deletion of the key.
    ///
    /// # Errors
    /// A limit is exceeded, or the clock is too far ahead.
    ///
    /// # Panics
    /// If `class` has no ballots, or a presence is no positive number in decimal digits.
    pub fn cast(&mut self, key: &[u8], class: Class, ballot: &[u8]) -> Result<(), WriteError> {
        assert!(class.holds_ballots(), "{class:?} has no ballots");
        match check(class, ballot) {
            Ok(()) => {}
            Err(BallotError::TooLong) => {
                return Err(WriteError::ValueTooLong { bytes: ballot.len(), max: BALLOT_BYTES_MAX });
            }
            Err(BallotError::NoNumber) => panic!("a presence is a positive number"),
        }
        self.admit(key, b"", ballot.len())?;
        let path = Path::new(key, class, b"");
        let ruling = self.prepare(&path)?;
        let Parts { bucket, opening, draft, changes } = self.begin(&path, ballot.len());
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let Opened { window, event, clock } = opening.open(&path, frontier);
        put_own(&path, event, &Register { clock, value: ballot }, (keys, baselines, fingerprint, window), draft);
        changes.push(keys.subject(&path));
        self.restate(&path, clock, ruling);
        Ok(())
    }

    /// Withdraws this replica's ballot; says whether there was one.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn withdraw(&mut self, key: &[u8], class: Class) -> Result<bool, WriteError> {
        let Some((dot, _)) = self.store.ballot(key, class, self.store.id) else { return Ok(false) };
        self.take_ballot(key, class, dot, |window, path| window.remove(path, &Dots::default()))?;
        Ok(true)
    }

    /// Removes the ballot of another replica, which must be gone for good: alive, it would not know. Says whether there
    /// was one.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn discard(&mut self, key: &[u8], class: Class, owner: ReplicaId) -> Result<bool, WriteError> {
        let ballot = self.store.ballot(key, class, owner).filter(|_| owner != self.store.id);
        let Some((dot, _)) = ballot else { return Ok(false) };
        self.take_ballot(key, class, dot, |window, path| window.discard(path, Cell::Register, &[dot]))?;
        Ok(true)
    }

    fn take_ballot(
        &mut self,
        key: &[u8],
        class: Class,
        ballot: Dot,
        note: impl FnOnce(&mut Window, &Path<'_>),
    ) -> Result<(), WriteError> {
        self.admit(key, b"", 0)?;
        let path = Path::new(key, class, b"");
        let Parts { bucket, opening, draft, changes } = self.begin(&path, 0);
        let Bucket { keys, baselines, cells_fingerprint, frontier } = bucket;
        let Opened { window, event, .. } = opening.open(&path, frontier);
        let (at, mut element) = keys.look(&path);
        remove_cells(&path, &mut element, baselines, cells_fingerprint, |dot| dot == ballot);
        keys.draft(at, &path, element, draft);
        keys.commit(at, &path, baselines, draft);
        if ballot == event {
            let mut seen = Dots::default();
            window.take_back(&path, Cell::Register, &mut seen);
            debug_assert!(seen.as_slice().is_empty(), "a ballot replaces its own replica's only");
        }
        note(window, &path);
        changes.push(keys.subject(&path));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presence_is_a_positive_number_in_its_one_form() {
        for (ballot, count) in [("1", Some(1)), ("4294967295", Some(u32::MAX)), ("0", None), ("01", None), ("+1", None)]
        {
            assert_eq!(present(ballot.as_bytes()), count, "{ballot}");
        }
        assert_eq!(present(b"4294967296"), None);
        assert_eq!(check(Class::Vote, &[0; BALLOT_BYTES_MAX + 1]), Err(BallotError::TooLong));
        assert_eq!(check(Class::Vote, b"anything"), Ok(()));
        assert_eq!(check(Class::Presence, b"anything"), Err(BallotError::NoNumber));
    }
}
