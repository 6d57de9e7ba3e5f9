//! Until when what operations left lives: the rule of `docs/design.md`, 4b, over operations instead of cells.
//!
//! A replica's increments at one place are ruled together, by the last of them: that is what it promises.

use std::collections::BTreeMap;

use cahoots_crdt::ReplicaId;

use super::Path;
use super::action::Action;
use super::history::Operation;

/// What says when something ends: by which operation, and when (`None`: never).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    /// Clock, replica, and whether it was said in so many words.
    rank: (u64, ReplicaId, bool),
    pub(super) deadline: Option<u64>,
}

/// The operations on a key that a replica has applied and that nothing it has applied supersedes.
pub(super) struct Lifetimes<'a> {
    /// Those that left data, with their numbers.
    live: Vec<(usize, &'a Operation)>,
    level: Vec<Ruling>,
    /// Of each writer: up to which clock, and what.
    until: BTreeMap<ReplicaId, (u64, Ruling)>,
}

impl<'a> Lifetimes<'a> {
    /// At time `now`. `is_applied` is asked of operations by their numbers.
    pub(super) fn of(operations: &'a [Operation], now: u64, is_applied: impl Fn(usize) -> bool) -> Self {
        let mut lifetimes = Self { live: Vec::new(), level: Vec::new(), until: BTreeMap::new() };
        for (number, operation) in operations.iter().enumerate().filter(|(number, _)| is_applied(*number)) {
            let stamp = (operation.stamp, operation.dot.replica);
            if !operation.superseded_by.iter().any(|by| is_applied(*by)) {
                if let Action::Ends(deadline) = &operation.action {
                    lifetimes.level.push(Ruling { rank: (stamp.0, stamp.1, true), deadline: *deadline });
                }
                if operation.is_data() {
                    lifetimes.live.push((number, operation));
                }
            }
            if let Some(ruling) = operation.until
                && !operation.killed_by.iter().any(|by| is_applied(*by))
            {
                let known = lifetimes.until.entry(stamp.1).or_insert((stamp.0, ruling));
                if known.0 <= stamp.0 {
                    *known = (stamp.0, ruling);
                }
            }
        }
        if lifetimes.level.is_empty() && lifetimes.until.is_empty() {
            return lifetimes; // nothing says when anything ends
        }
        // An assignment says "none" while it is visible, which newer ones have a say in.
        let mut texts: Vec<&Operation> =
            lifetimes.live.iter().map(|(_, it)| *it).filter(|it| it.path == Some(Path::Text)).collect();
        texts.sort_by_key(|it| std::cmp::Reverse(it.rank()));
        for text in texts {
            lifetimes.level.push(Ruling { rank: (text.stamp, text.dot.replica, false), deadline: None });
            if lifetimes.is_hidden(text, now) {
                lifetimes.level.pop();
            }
        }
        lifetimes
    }

    /// The clock by which an operation is judged.
    fn clock_of(&self, operation: &Operation) -> u64 {
        if !operation.is_increment() {
            return operation.stamp;
        }
        let same = |it: &&Operation| it.dot.replica == operation.dot.replica && it.path == operation.path;
        self.live.iter().map(|(_, it)| *it).filter(same).map(|it| it.stamp).max().unwrap_or(operation.stamp)
    }

    fn ruling(&self, operation: &Operation) -> Option<Ruling> {
        let clock = self.clock_of(operation);
        let own = self.until.get(&operation.dot.replica).filter(|(upto, _)| clock <= *upto);
        let all = self.level.iter().chain(own.map(|(_, ruling)| ruling));
        all.filter(|it| it.deadline.is_none_or(|deadline| deadline > clock >> 16)).max_by_key(|it| it.rank).copied()
    }

    fn is_hidden(&self, operation: &Operation, now: u64) -> bool {
        if self.level.is_empty() && self.until.is_empty() {
            return false;
        }
        self.ruling(operation).and_then(|ruling| ruling.deadline).is_some_and(|deadline| deadline <= now)
    }

    /// The data that is live, and visible or hidden at `now`: operations with their numbers.
    pub(super) fn data(&self, now: u64, hidden: bool) -> impl Iterator<Item = (usize, &'a Operation)> + '_ {
        self.live.iter().copied().filter(move |(_, it)| self.is_hidden(it, now) == hidden)
    }

    /// The deadline in force: none if something visible has none, otherwise the latest.
    pub(super) fn in_force(&self, now: u64) -> Option<Ruling> {
        let mut latest: Option<Ruling> = None;
        for (_, operation) in self.data(now, false) {
            let ruling = self.ruling(operation)?;
            ruling.deadline?;
            if latest.is_none_or(|it| (it.deadline, it.rank) < (ruling.deadline, ruling.rank)) {
                latest = Some(ruling);
            }
        }
        latest
    }
}
