//! Until when what operations left lives: the rule of `docs/design.md`, 4b, over operations instead of cells.
//!
//! A replica's increments at one place are ruled together, by the last of them: that is what it promises.

use std::collections::BTreeMap;

use cahoots_crdt::ReplicaId;

use super::Path;
use super::action::{Action, Name};
use super::history::Operation;

/// What says when something ends: by which operation, and when (`None`: never).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    /// Clock, replica, and whether it was said in so many words.
    rank: (u64, ReplicaId, bool),
    pub(super) deadline: Option<u64>,
}

/// What there is to say of a key, or of a field.
#[derive(Default)]
struct Level {
    said: Vec<Ruling>,
    /// Of each writer: up to which clock, and what.
    until: BTreeMap<ReplicaId, (u64, Ruling)>,
}

/// The operations on a key that a replica has applied and that nothing it has applied supersedes.
pub(super) struct Lifetimes<'a> {
    /// Those that left data, with their numbers.
    live: Vec<(usize, &'a Operation)>,
    key: Level,
    fields: BTreeMap<&'a Name, Level>,
}

impl Level {
    fn say(&mut self, operation: &Operation, deadline: Option<u64>) {
        self.said.push(Ruling { rank: (operation.stamp, operation.dot.replica, true), deadline });
    }

    fn restate(&mut self, operation: &Operation, ruling: Ruling) {
        let known = self.until.entry(operation.dot.replica).or_insert((operation.stamp, ruling));
        if known.0 <= operation.stamp {
            *known = (operation.stamp, ruling);
        }
    }

    fn is_empty(&self) -> bool {
        self.said.is_empty() && self.until.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Ruling> {
        self.said.iter().chain(self.until.values().map(|(_, ruling)| ruling))
    }

    fn has_passed(&self, now: u64) -> bool {
        self.all().any(|ruling| ruling.deadline.is_some_and(|deadline| deadline <= now))
    }

    /// What rules what `writer` left at `clock`.
    fn ruling(&self, clock: u64, writer: ReplicaId) -> Option<Ruling> {
        let own = self.until.get(&writer).filter(|(upto, _)| clock <= *upto);
        let all = self.said.iter().chain(own.map(|(_, ruling)| ruling));
        all.filter(|it| it.deadline.is_none_or(|deadline| deadline > clock >> 16)).max_by_key(|it| it.rank).copied()
    }

    fn hides(&self, clock: u64, writer: ReplicaId, now: u64) -> bool {
        self.ruling(clock, writer).and_then(|ruling| ruling.deadline).is_some_and(|deadline| deadline <= now)
    }

    /// An assignment says "none" while it is visible, which newer ones have a say in.
    fn assigned(&mut self, mut assignments: Vec<&Operation>, now: u64, is_hidden: impl Fn(&Operation) -> bool) {
        if self.is_empty() {
            return; // nothing says when anything ends
        }
        assignments.sort_by_key(|it| std::cmp::Reverse(it.rank()));
        for it in assignments {
            self.said.push(Ruling { rank: (it.stamp, it.dot.replica, false), deadline: None });
            if self.hides(it.stamp, it.dot.replica, now) || is_hidden(it) {
                self.said.pop();
            }
        }
    }
}

impl<'a> Lifetimes<'a> {
    /// At time `now`. `is_applied` is asked of operations by their numbers.
    pub(super) fn of(operations: &'a [Operation], now: u64, is_applied: impl Fn(usize) -> bool) -> Self {
        let mut lifetimes = Self { live: Vec::new(), key: Level::default(), fields: BTreeMap::new() };
        let is_applied_any = |numbers: &[usize]| numbers.iter().any(|by| is_applied(*by));
        for (number, operation) in operations.iter().enumerate().filter(|(number, _)| is_applied(*number)) {
            if !is_applied_any(&operation.superseded_by) {
                match &operation.action {
                    Action::Ends(deadline) => lifetimes.key.say(operation, *deadline),
                    Action::FieldEnds(name, deadline) => {
                        lifetimes.fields.entry(name).or_default().say(operation, *deadline);
                    }
                    _ => {}
                }
                if operation.is_data() {
                    lifetimes.live.push((number, operation));
                }
            }
            if let Some(ruling) = operation.until
                && !is_applied_any(&operation.killed_by)
            {
                lifetimes.key.restate(operation, ruling);
            }
            if let (Some(ruling), Some(name)) = (operation.field_until, operation.field())
                && !is_applied_any(&operation.field_cleared_by)
            {
                lifetimes.fields.entry(name).or_default().restate(operation, ruling);
            }
        }
        let Self { live, key, fields } = &mut lifetimes;
        let at = |path: &Path| -> Vec<&Operation> {
            live.iter().map(|(_, it)| *it).filter(|it| it.path.as_ref() == Some(path)).collect()
        };
        key.assigned(at(&Path::Text), now, |_| false);
        for (name, level) in fields {
            let is_hidden = |it: &Operation| key.hides(it.stamp, it.dot.replica, now);
            level.assigned(at(&Path::Field((*name).clone())), now, is_hidden);
        }
        lifetimes
    }

    /// Whether a deadline of the key has passed.
    pub(super) fn has_passed(&self, now: u64) -> bool {
        self.key.has_passed(now)
    }

    /// The fields of which a deadline has passed.
    pub(super) fn due_fields(&self, now: u64) -> impl Iterator<Item = &'a Name> + '_ {
        self.fields.iter().filter(move |(_, level)| level.has_passed(now)).map(|(name, _)| *name)
    }

    /// The clock by which an operation is judged.
    fn clock_of(&self, operation: &Operation) -> u64 {
        if !operation.is_increment() {
            return operation.stamp;
        }
        let same = |it: &&Operation| it.dot.replica == operation.dot.replica && it.path == operation.path;
        self.live.iter().map(|(_, it)| *it).filter(same).map(|it| it.stamp).max().unwrap_or(operation.stamp)
    }

    fn is_hidden(&self, operation: &Operation, now: u64) -> bool {
        if self.key.is_empty() && self.fields.is_empty() {
            return false;
        }
        let (clock, writer) = (self.clock_of(operation), operation.dot.replica);
        let field = operation.field().and_then(|name| self.fields.get(name));
        self.key.hides(clock, writer, now) || field.is_some_and(|level| level.hides(clock, writer, now))
    }

    /// The data that is live, and visible or hidden at `now`: operations with their numbers.
    pub(super) fn data(&self, now: u64, hidden: bool) -> impl Iterator<Item = (usize, &'a Operation)> + '_ {
        self.live.iter().copied().filter(move |(_, it)| self.is_hidden(it, now) == hidden)
    }

    /// The deadline in force at the key: none if something visible has none, otherwise the latest.
    pub(super) fn in_force(&self, now: u64) -> Option<Ruling> {
        self.latest(&self.key, self.data(now, false).map(|(_, it)| it))
    }

    /// The deadline in force at a field.
    pub(super) fn in_force_at(&self, name: &Name, now: u64) -> Option<Ruling> {
        let level = self.fields.get(name)?;
        self.latest(level, self.data(now, false).map(|(_, it)| it).filter(|it| it.field() == Some(name)))
    }

    fn latest<'o>(&self, level: &Level, visible: impl Iterator<Item = &'o Operation>) -> Option<Ruling> {
        let mut latest: Option<Ruling> = None;
        for operation in visible {
            let ruling = level.ruling(self.clock_of(operation), operation.dot.replica)?;
            ruling.deadline?;
            if latest.is_none_or(|it| (it.deadline, it.rank) < (ruling.deadline, ruling.rank)) {
                latest = Some(ruling);
            }
        }
        latest
    }
}
