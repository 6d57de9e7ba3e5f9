//! Until when what lies under a key lives: which deadline rules which cell.
//!
//! Time for expiry is the hybrid clock, so that "written before the deadline" is one question for the writer, for its cell
//! and for everybody else. Two attributes of a key say when it ends:
//! - its *deadline*, a register: what EXPIRE and SET EX assign, "none" for PERSIST;
//! - *until*, one cell of each replica that wrote to the key while a deadline was in force: that deadline again, under its
//!   own stamp, for the cells of that replica up to then. So what survives a removal of the key still ends.
//!
//! Fields of hashes have the same two attributes, under their own names. A cell is hidden if the rule of its key or that of
//! its field hides it; each is judged alone.
//!
//! And an assignment of a text, or of a field, says "none" at its own stamp, as SET does, but only while it is visible itself: else its
//! removal would change what rules the others.
//!
//! The rule: a cell is ruled by the newest of these that had not passed when the cell was written, and is *hidden* once
//! that has passed. What is written after a deadline is never ruled by it. The rule, and what goes wrong without each part
//! of it: `docs/design.md`, 4b.

use smallvec::SmallVec;

use cahoots_crdt::{Dot, ReplicaId};

use crate::Hlc;
use crate::store::cell::{Element, Stamp};
use crate::store::kind::Class;
use crate::store::memory::entry::Entry;
use crate::varint;

/// Bytes of a deadline at most.
const DEADLINE_BYTES_MAX: usize = size_of::<u64>();

/// What says when cells end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Ruling {
    /// When it was written, and by whom.
    stamp: Stamp,
    /// Written as a deadline; otherwise as the value of a text, which counts as "none" and loses against a deadline written
    /// with it.
    explicit: bool,
    /// In milliseconds since 1970; `None`: never.
    deadline: Option<u64>,
}

impl Ruling {
    fn rank(&self) -> (Stamp, bool) {
        (self.stamp, self.explicit)
    }

    /// In milliseconds since 1970; `None`: never.
    pub(in crate::store) fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    fn has_passed(&self, now: u64) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// The attributes of one key, or of one field.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Lifetime {
    /// For all cells.
    level: SmallVec<[Ruling; 2]>,
    /// For the cells of one replica each, up to a clock.
    until: SmallVec<[(ReplicaId, Hlc, Ruling); 1]>,
}

impl Lifetime {
    /// Of a key, as it is at `now`.
    pub(in crate::store) fn of(entry: Entry<'_>, now: u64) -> Self {
        let read = |class| entry.element(class, b"");
        if entry.has_attributes() {
            Self::new(&[Class::Deadline, Class::Until, Class::Text].map(read), now, |_| false)
        } else {
            Self::default()
        }
    }

    /// Of a field of a hash, as it is at `now`, beside what the key says.
    pub(in crate::store) fn of_field(entry: Entry<'_>, name: &[u8], of_key: &Self, now: u64) -> Self {
        let read = |class| entry.element(class, name);
        let is_hidden = |stamp| of_key.hides(stamp, now);
        Self::new(&[Class::FieldDeadline, Class::FieldUntil, Class::Hash].map(read), now, is_hidden)
    }

    /// As two attributes and the assignments of the value say, of which `is_hidden` says what is hidden otherwise.
    fn new([deadline, until, value]: &[Element<'_>; 3], now: u64, is_hidden: impl Fn(Stamp) -> bool) -> Self {
        let mut lifetime = Self::default();
        for (dot, register) in deadline.value.iter() {
            let stamp = (register.clock, dot.replica);
            lifetime.level.push(Ruling { stamp, explicit: true, deadline: read_deadline(register.value) });
        }
        for (dot, register) in until.value.iter() {
            if let Some(ruling) = read_until(register.value, (register.clock, dot.replica)) {
                lifetime.until.push((dot.replica, register.clock, ruling));
            }
        }
        if lifetime.all().next().is_none() {
            return lifetime;
        }
        let mut assigned: SmallVec<[Stamp; 2]> =
            value.value.iter().map(|(dot, register)| (register.clock, dot.replica)).collect();
        assigned.sort_unstable_by(|a, b| b.cmp(a));
        for stamp in assigned {
            lifetime.level.push(Ruling { stamp, explicit: false, deadline: None });
            if lifetime.hides(stamp, now) || is_hidden(stamp) {
                lifetime.level.pop();
            }
        }
        lifetime
    }

    fn all(&self) -> impl Iterator<Item = &Ruling> {
        self.level.iter().chain(self.until.iter().map(|(.., ruling)| ruling))
    }

    /// Whether a deadline has passed, so that something may be hidden.
    pub(in crate::store) fn has_passed(&self, now: u64) -> bool {
        self.all().any(|ruling| ruling.has_passed(now))
    }

    /// The deadlines, in no order.
    pub(in crate::store) fn deadlines(&self) -> impl Iterator<Item = u64> + '_ {
        self.all().filter_map(|ruling| ruling.deadline)
    }

    /// Whether what was said last is that there is an end. What replicas that were apart have said may rule some cells
    /// otherwise.
    pub(in crate::store) fn ends(&self) -> bool {
        self.all().max_by_key(|it| it.rank()).is_some_and(|it| it.deadline.is_some())
    }

    /// What rules a cell of this stamp.
    fn ruling(&self, (clock, writer): Stamp) -> Option<&Ruling> {
        let own = self.until.iter().filter(|(replica, upto, _)| *replica == writer && clock <= *upto);
        let all = self.level.iter().chain(own.map(|(.., ruling)| ruling));
        let applicable = all.filter(|it| it.deadline.is_none_or(|deadline| deadline > clock.wall_ms()));
        applicable.max_by_key(|it| it.rank())
    }

    /// Whether a cell of this stamp is hidden at `now`.
    pub(in crate::store) fn hides(&self, stamp: Stamp, now: u64) -> bool {
        self.ruling(stamp).is_some_and(|ruling| ruling.has_passed(now))
    }

    /// Takes the cells that are hidden away from `element`.
    pub(in crate::store) fn hide(&self, element: &mut Element<'_>, now: u64) {
        element.value.retain(|dot, register| !self.hides((register.clock, dot.replica), now));
        element.counts.retain(|dot, count| !self.hides((count.clock, dot.replica), now));
    }

    /// The deadline in force at `now`, where there is something visible: none if a cell that is has none, otherwise the
    /// latest. `visible` are the stamps of what is visible; they are looked at only where replicas that were apart disagree
    /// about it, or something is hidden.
    pub(in crate::store) fn in_force(&self, visible: impl Iterator<Item = Stamp>, now: u64) -> Option<Ruling> {
        self.all().next()?; // else nothing ends
        let newest = self.level.iter().max_by_key(|it| it.rank());
        let overruled = || self.until.iter().any(|(.., it)| newest.is_none_or(|newest| it.rank() > newest.rank()));
        if let Some(newest) = newest
            && !newest.has_passed(now)
            && !overruled()
        {
            // No cell here is of a later time than now, so it rules all of them.
            return newest.deadline.map(|_| *newest);
        }
        let mut latest: Option<Ruling> = None;
        for stamp in visible {
            let ruling = *self.ruling(stamp)?;
            ruling.deadline?;
            let is_later = |it: Ruling| (it.deadline, it.rank()) < (ruling.deadline, ruling.rank());
            if latest.is_none_or(is_later) {
                latest = Some(ruling);
            }
        }
        latest
    }
}

/// The deadlines that an element of attributes holds.
pub(in crate::store) fn deadlines_of(class: Class, element: &Element<'_>) -> impl Iterator<Item = u64> {
    element.value.iter().filter_map(move |(dot, register)| match class {
        Class::Deadline | Class::FieldDeadline => read_deadline(register.value),
        _ => read_until(register.value, (register.clock, dot.replica))?.deadline,
    })
}

/// A deadline as a register holds it: its bytes, the greatest first, without leading zeros; "none" has none.
pub(in crate::store) fn write_deadline(deadline: Option<u64>) -> SmallVec<[u8; DEADLINE_BYTES_MAX]> {
    let bytes = deadline.unwrap_or(0).to_be_bytes();
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

fn read_deadline(value: &[u8]) -> Option<u64> {
    let deadline = value.iter().take(DEADLINE_BYTES_MAX).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    (deadline > 0).then_some(deadline)
}

fn is_deadline(value: &[u8]) -> bool {
    value.len() <= DEADLINE_BYTES_MAX && value.first() != Some(&0)
}

/// A ruling as its restatement by another cell holds it: how far the clock is behind that of the cell, the replica unless it
/// is the same, the deadline.
pub(in crate::store) fn write_until(ruling: &Ruling, (clock, replica): Stamp) -> Vec<u8> {
    let (ruled_at, by) = ruling.stamp;
    let mut value = Vec::new();
    varint::put(clock.get() - ruled_at.get(), &mut value);
    value.push(u8::from(by != replica));
    if by != replica {
        value.extend_from_slice(&by.get().to_be_bytes());
    }
    value.extend_from_slice(&write_deadline(ruling.deadline));
    value
}

fn read_until(mut value: &[u8], (clock, replica): Stamp) -> Option<Ruling> {
    let ruled_at = clock.get().checked_sub(varint::read(&mut value)?)?;
    let (is_other, mut rest) = value.split_first()?;
    let by = match is_other {
        0 => replica,
        1 => {
            let (id, behind) = rest.split_first_chunk()?;
            rest = behind;
            ReplicaId::new(u64::from_be_bytes(*id))
        }
        _ => return None,
    };
    let deadline = read_deadline(rest).filter(|_| is_deadline(rest))?;
    Some(Ruling { stamp: (Hlc::new(ruled_at), by), explicit: true, deadline: Some(deadline) })
}

/// Whether the cell of an attribute may hold `value`; of data, any value.
pub(in crate::store) fn is_sound(class: Class, dot: Dot, clock: Hlc, value: &[u8]) -> bool {
    match class {
        Class::Deadline | Class::FieldDeadline => is_deadline(value),
        Class::Until | Class::FieldUntil => read_until(value, (clock, dot.replica)).is_some(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_ruling_that_is_written_is_read(
            clock in 1..u64::MAX, age in any::<u64>(), by in 0..3_u64, replica in 0..3_u64, deadline in 1..u64::MAX,
        ) {
            let stamp = (Hlc::new(clock), ReplicaId::new(replica));
            let ruled_at = Hlc::new(clock - age % clock);
            let ruling = Ruling { stamp: (ruled_at, ReplicaId::new(by)), explicit: true, deadline: Some(deadline) };
            let value = write_until(&ruling, stamp);
            prop_assert_eq!(read_until(&value, stamp), Some(ruling));
            prop_assert_eq!(read_deadline(&write_deadline(Some(deadline))), Some(deadline));
            prop_assert!(is_deadline(&write_deadline(Some(deadline))) && is_deadline(&write_deadline(None)));
        }

        #[test]
        fn values_that_nobody_writes_are_told(value in prop::collection::vec(any::<u8>(), 0..24)) {
            let dot = Dot::new(ReplicaId::new(1), 1);
            let clock = Hlc::new(1 << 50);
            if is_sound(Class::Deadline, dot, clock, &value) {
                prop_assert_eq!(&write_deadline(read_deadline(&value))[..], &value[..]);
            }
            if let Some(ruling) = read_until(&value, (clock, dot.replica)) {
                prop_assert!(ruling.stamp.0 <= clock && ruling.deadline.is_some());
            }
        }
    }
}
