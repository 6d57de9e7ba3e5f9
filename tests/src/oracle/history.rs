//! Everything clients did in one run, in the order it happened, and who had observed what.

use std::collections::BTreeMap;
use std::fmt;

use cahoots_crdt::{Dot, ReplicaId};

use super::action::{Action, Name};
use super::expectation::{self, Complaint};
use super::lifetime::{Lifetimes, Ruling};
use super::list::{Elements, ListEdit};
use super::{Ends, Path, Shown, bucket_of};

/// How far each replica's operations *in one bucket* have been applied somewhere.
///
/// Deliberately not the version vector of the library under test.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Knowledge(BTreeMap<ReplicaId, u64>);

impl Knowledge {
    /// Whether the operations of this event are among those applied.
    #[must_use]
    pub fn has(&self, dot: Dot) -> bool {
        self.0.get(&dot.replica).is_some_and(|seq| dot.seq <= *seq)
    }
}

/// One operation a client was told had succeeded.
pub struct Operation {
    /// The event that carried it; several operations of one flush window share one.
    pub dot: Dot,
    /// What was asked for.
    pub action: Action,
    /// The writer's hybrid logical clock when it ran.
    pub stamp: u64,
    pub(super) path: Option<Path>,
    /// The number of the command that it is a part of.
    command: u64,
    knew: Knowledge,
    /// Later operations on the key that observed and superseded this one.
    pub(super) superseded_by: Vec<usize>,
    /// Later operations that observed this one and left nothing under the key, whatever it was.
    pub(super) killed_by: Vec<usize>,
    /// The deadline in force when it wrote data.
    pub(super) until: Option<Ruling>,
    /// Later operations that observed this one and left no deadline at its field.
    pub(super) field_cleared_by: Vec<usize>,
    /// The deadline in force at the field when it added to that.
    pub(super) field_until: Option<Ruling>,
}

impl Operation {
    /// Whether it adds to a counter.
    #[must_use]
    pub fn is_increment(&self) -> bool {
        matches!(self.path, Some(Path::Count | Path::FieldCount(_) | Path::ScoreCount(_)))
    }

    /// Whether it says when the key ends, or a field.
    pub(super) fn is_deadline(&self) -> bool {
        matches!(self.path, Some(Path::Deadline | Path::FieldDeadline(_)))
    }

    /// Whether it leaves data, not a deadline.
    pub(super) fn is_data(&self) -> bool {
        self.path.is_some() && !self.is_deadline()
    }

    /// The field that it left a part of the value of.
    pub(super) fn field(&self) -> Option<&Name> {
        self.path.as_ref().and_then(Path::field)
    }

    /// Whether the author of `dot`, who `knew` so much, had this one before.
    fn is_observed(&self, dot: Dot, knew: &Knowledge) -> bool {
        self.dot.replica == dot.replica || knew.has(self.dot)
    }

    /// What decides between live operations: the higher clock, then the higher replica id.
    pub(super) fn rank(&self) -> (u64, ReplicaId) {
        (self.stamp, self.dot.replica)
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} [{:?}]", self.action, self.dot)
    }
}

/// Of each origin the events that touched something, ascending, without repetition.
type Events = BTreeMap<ReplicaId, Vec<u64>>;

#[derive(Default)]
struct KeyHistory {
    operations: Vec<Operation>,
    events: Events,
    elements: Elements,
}

/// What an operation removes because of what it finds, before it does what it is for.
#[derive(Default)]
struct Removed {
    operations: Vec<usize>,
    /// Nothing is left under the key, deadlines neither.
    all: bool,
    /// The fields at which no deadline is left.
    fields: Vec<Name>,
}

/// The deadlines in force for what an operation writes.
#[derive(Default)]
struct InForce {
    key: Option<Ruling>,
    field: Option<Ruling>,
}

impl KeyHistory {
    /// Whether ids that were given, which may be ahead of all clocks, were forgotten with the key: later ones may be lower.
    fn forgets_given_ids(&self) -> bool {
        let given = |it: &Operation| matches!(it.action, Action::Entry(_, false, _));
        let forgets = |it: &Operation| matches!(it.action, Action::Set(_) | Action::Delete | Action::Ends(_));
        self.operations.iter().any(given) && self.operations.iter().any(forgets)
    }

    /// What the operation removes of what has expired, or with the last of the data; and, if it writes data, which
    /// deadline is in force for it.
    fn removed_before(&self, action: &Action, dot: Dot, knew: &Knowledge, now: u64) -> (Removed, InForce) {
        let observed = |number: usize| self.operations[number].is_observed(dot, knew);
        if !self.operations.iter().any(Operation::is_deadline) {
            return (Removed::default(), InForce::default()); // nothing of the key ever expires
        }
        let lifetimes = Lifetimes::of(&self.operations, now, observed);
        let visible: Vec<(usize, &Operation)> = lifetimes.data(now, false).collect();
        let replaces = |(_, it): &&(usize, &Operation)| {
            it.path.as_ref().is_some_and(|path| action.supersedes(dot.replica, path, it.dot.replica))
        };
        let removes = matches!(
            action,
            Action::RemoveMember(_)
                | Action::RemoveField(_)
                | Action::RemoveScored(_)
                | Action::Edit(ListEdit::Remove(_))
        );
        let is_last = removes && visible.iter().filter(replaces).count() == visible.len();
        let all = visible.is_empty() || is_last || matches!(action, Action::Set(_) | Action::Delete);
        let until = match action {
            Action::Add(_) | Action::AddField(..) | Action::AddMember(_) | Action::SetField(..) => {
                lifetimes.in_force(now)
            }
            Action::Score(..) | Action::AddScore(..) | Action::Cast(_) => lifetimes.in_force(now),
            Action::Entry(..) | Action::Gone(..) => lifetimes.in_force(now),
            Action::Edit(ListEdit::Put(_) | ListEdit::Write(..)) => lifetimes.in_force(now),
            _ => None,
        };
        let is_there = |name: &Name| visible.iter().any(|(_, it)| it.field() == Some(name));
        let field = match action {
            Action::AddField(name, _) => lifetimes.in_force_at(name, now),
            _ => None,
        };
        let in_force = InForce { key: until, field };
        if all {
            let operations = (0..self.operations.len()).filter(|number| observed(*number)).collect();
            return (Removed { operations, all, fields: Vec::new() }, in_force);
        }
        let of_field = match action {
            Action::SetField(name, _) | Action::AddField(name, _) => Some(name),
            Action::RemoveField(name) | Action::FieldEnds(name, _) => Some(name),
            _ => None,
        };
        // Where only deadlines of fields have passed, an operation on one of them is about that alone.
        let only = of_field.filter(|_| !lifetimes.has_passed(now));
        let hidden = lifetimes.data(now, true).filter(|(_, it)| only.is_none_or(|name| it.field() == Some(name)));
        let hidden: Vec<(usize, &Operation)> = hidden.collect();
        let gone = hidden.iter().filter_map(|(_, it)| it.field()).filter(|name| !is_there(name));
        let mut fields: Vec<Name> = gone.cloned().collect();
        if !lifetimes.has_passed(now) && of_field.is_none() {
            let has_data = |name: &Name| lifetimes.data(now, true).any(|(_, it)| it.field() == Some(name));
            let bare = lifetimes.due_fields(now).filter(|name| !is_there(name) && !has_data(name));
            fields.extend(bare.cloned());
        }
        let begins_anew = |name: &&Name| match action {
            Action::SetField(..) | Action::RemoveField(_) => true,
            Action::AddField(..) => !is_there(name),
            _ => false,
        };
        fields.extend(of_field.filter(begins_anew).cloned());
        (Removed { operations: hidden.into_iter().map(|(number, _)| number).collect(), all, fields }, in_force)
    }
}

impl KeyHistory {
    /// Whether elements may be shown in this order: one order of all that was ever shown, commands together.
    fn judge_list(&mut self, values: &[Name]) -> Result<(), String> {
        let order = self.elements.of(values);
        self.elements.see(&order)?;
        let put_by = |element: &Name| {
            let is_put = |it: &&Operation| matches!(&it.action, Action::Edit(ListEdit::Put(put)) if put == element);
            self.operations.iter().find(is_put).expect("somebody put it in")
        };
        let by: Vec<&Operation> = order.iter().map(put_by).collect();
        for (first, one) in by.iter().enumerate() {
            let Some(last) = by.iter().rposition(|it| it.command == one.command) else { continue };
            for other in by[first..last].iter().filter(|it| it.command != one.command) {
                if other.dot.replica != one.dot.replica && !other.knew.has(one.dot) || other.command < one.command {
                    return Err(format!("{other:?} is among elements of {one:?}, which its writer had not seen"));
                }
            }
        }
        Ok(())
    }
}

fn note(events: &mut Events, dot: Dot) {
    let seqs = events.entry(dot.replica).or_default();
    if let Some(&last) = seqs.last() {
        assert!(last <= dot.seq, "{dot:?} was minted after {last}: a replica's events are counted upwards");
        if last == dot.seq {
            return;
        }
    }
    seqs.push(dot.seq);
}

/// Gives events after `kept` to another id; returns the last of the others.
fn move_events(events: &mut Events, old: ReplicaId, kept: u64, new: ReplicaId) -> Option<u64> {
    let seqs = events.get_mut(&old)?;
    let moved = seqs.split_off(seqs.partition_point(|seq| *seq <= kept));
    let before = seqs.last().copied();
    if before.is_none() {
        events.remove(&old);
    }
    if !moved.is_empty() {
        events.insert(new, moved.into_iter().map(|seq| seq - kept).collect());
    }
    before
}

/// All operations of one run by key.
#[derive(Default)]
pub struct History {
    keys: BTreeMap<Name, KeyHistory>,
    buckets: BTreeMap<usize, Events>,
    operations: u64,
    commands: u64,
}

impl History {
    /// A run in which nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many operations have been recorded.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.operations
    }

    /// Whether nothing has been recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations == 0
    }

    /// Whether this key was ever written.
    #[must_use]
    pub fn knows(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key)
    }

    /// The keys that were ever written.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.keys().map(Vec::as_slice)
    }

    /// Every event with every key it touched.
    pub fn events(&self) -> impl Iterator<Item = (&[u8], Dot)> {
        self.keys.iter().flat_map(|(key, history)| {
            let dots = history.events.iter().flat_map(|(&id, seqs)| seqs.iter().map(move |&seq| Dot::new(id, seq)));
            dots.map(move |dot| (key.as_slice(), dot))
        })
    }

    /// What a replica has applied of the operations in the bucket of `key`, given its answer for single events.
    ///
    /// `own` is the replica's id: what it wrote itself it has applied, an open flush window included.
    pub fn applied(&self, key: &[u8], own: Option<ReplicaId>, covers: impl Fn(Dot) -> bool) -> Knowledge {
        let mut known = BTreeMap::new();
        let Some(events) = self.buckets.get(&bucket_of(key)) else { return Knowledge::default() };
        for (&replica, events) in events {
            let seq = if own == Some(replica) {
                events.last().copied()
            } else {
                events.iter().rev().copied().find(|&seq| covers(Dot::new(replica, seq)))
            };
            if let Some(seq) = seq {
                known.insert(replica, seq);
            }
        }
        Knowledge(known)
    }

    /// Records an operation that succeeded at time `now` of its writer. `knew` is what its writer had applied of the key
    /// before it ran.
    ///
    /// # Errors
    /// If the operation leaves something under a stamp that does not come after all its writer had observed.
    ///
    /// # Panics
    /// If a replica counts its events downwards.
    pub fn record(
        &mut self,
        key: &[u8],
        dot: Dot,
        action: Action,
        stamp: u64,
        knew: &Knowledge,
        now: u64,
    ) -> Result<(), Complaint> {
        self.commands += 1;
        if let Action::Edits(edits) = &action {
            let puts = edits.iter().filter(|edit| matches!(edit, ListEdit::Put(_))).count() as u64;
            let mut left = puts;
            // Each element that is put in has a reading of the clock of its own, the last one that of the command.
            return edits.iter().try_for_each(|edit| {
                left -= u64::from(matches!(edit, ListEdit::Put(_)));
                let edit = self.keys.entry(key.to_vec()).or_default().elements.note(edit);
                self.record_part(key, dot, Action::Edit(edit), stamp - left, knew, now)
            });
        }
        let parts: &[Action] = match action {
            Action::SetFor(value, millis) => &[Action::Set(value), Action::Ends(Some(now + millis))],
            Action::EndIn(0) => &[Action::Delete],
            Action::EndIn(millis) => &[Action::Ends(Some(now + millis))],
            Action::Persist => &[Action::Ends(None)],
            Action::EndFieldIn(name, 0) => &[Action::RemoveField(name)],
            Action::EndFieldIn(name, millis) => &[Action::FieldEnds(name, Some(now + millis))],
            Action::PersistField(name) => &[Action::FieldEnds(name, None)],
            other => &[other],
        };
        parts.iter().try_for_each(|action| self.record_part(key, dot, action.clone(), stamp, knew, now))
    }

    fn record_part(
        &mut self,
        key: &[u8],
        dot: Dot,
        action: Action,
        stamp: u64,
        knew: &Knowledge,
        now: u64,
    ) -> Result<(), Complaint> {
        let history = self.keys.entry(key.to_vec()).or_default();
        let number = history.operations.len();
        let path = action.leaves();
        let (removed, in_force) = history.removed_before(&action, dot, knew, now);
        let clears = |earlier: &Operation| match &earlier.path {
            Some(Path::FieldDeadline(name)) => removed.fields.contains(name),
            _ => false,
        };
        for (at, earlier) in history.operations.iter_mut().enumerate() {
            if removed.operations.contains(&at) || clears(earlier) && earlier.is_observed(dot, knew) {
                earlier.superseded_by.push(number);
            }
            if !earlier.is_observed(dot, knew) {
                continue;
            }
            if removed.all {
                earlier.killed_by.push(number);
            }
            if removed.all || earlier.field().is_some_and(|name| removed.fields.contains(name)) {
                earlier.field_cleared_by.push(number);
            }
            // The deadline of a SET is written with it, at one clock.
            let is_one = path == Some(Path::Deadline) && earlier.dot == dot && earlier.stamp == stamp;
            if path.is_some() && earlier.path.is_some() && earlier.stamp >= stamp && !is_one {
                return Err(Complaint::new(format!(
                    "{action:?} of {dot:?} is stamped {stamp}, the observed {earlier:?} {}",
                    earlier.stamp
                )));
            }
            let writer = earlier.dot.replica;
            if earlier.path.as_ref().is_some_and(|path| action.supersedes(dot.replica, path, writer)) {
                earlier.superseded_by.push(number);
            }
        }
        if let Action::Entry(id, true, _) = &action
            && history.operations.iter().any(|earlier| earlier.path == path)
            && !history.forgets_given_ids()
        {
            return Err(Complaint::new(format!("{dot:?} makes an entry {id}, which there is already")));
        }
        note(&mut history.events, dot);
        note(self.buckets.entry(bucket_of(key)).or_default(), dot);
        history.operations.push(Operation {
            dot,
            action,
            stamp,
            path,
            command: self.commands,
            knew: knew.clone(),
            superseded_by: Vec::new(),
            killed_by: Vec::new(),
            until: in_force.key,
            field_cleared_by: Vec::new(),
            field_until: in_force.field,
        });
        self.operations += 1;
        Ok(())
    }

    /// A replica has given its events after `kept` to another id, and nobody had heard of them.
    pub fn rename(&mut self, old: ReplicaId, kept: u64, new: ReplicaId) {
        for key in self.keys.values_mut() {
            move_events(&mut key.events, old, kept, new);
        }
        for (bucket, events) in &mut self.buckets {
            let before = move_events(events, old, kept, new);
            let here = self.keys.iter_mut().filter(|(key, _)| bucket_of(key) == *bucket);
            for operation in here.flat_map(|(_, history)| &mut history.operations) {
                if operation.dot.replica == old && operation.dot.seq > kept {
                    operation.dot = Dot::new(new, operation.dot.seq - kept);
                }
                let knew = &mut operation.knew.0;
                if let Some(seq) = knew.get(&old).copied().filter(|seq| *seq > kept) {
                    knew.insert(new, seq - kept);
                    match before {
                        Some(before) => knew.insert(old, before),
                        None => knew.remove(&old),
                    };
                }
            }
        }
    }

    /// Whether what is applied is closed: with an operation everything its writer had observed of the key.
    ///
    /// # Errors
    /// Names the operation and what it was applied without.
    pub fn judge_order(&self, key: &[u8], applied: &Knowledge) -> Result<(), Complaint> {
        let Some(history) = self.keys.get(key) else { return Ok(()) };
        for operation in history.operations.iter().filter(|operation| applied.has(operation.dot)) {
            for (replica, seq) in &operation.knew.0 {
                if applied.0.get(replica).is_none_or(|have| have < seq) {
                    return Err(Complaint::new(format!(
                        "{operation:?} is applied without {replica}:{seq}, which its writer had observed"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether a replica that has applied this much of `key` may show `shown` at time `now`.
    ///
    /// # Errors
    /// Says what was expected and which operations are live.
    pub fn judge(&mut self, key: &[u8], applied: &Knowledge, now: u64, shown: &Shown) -> Result<(), Complaint> {
        let operations = self.keys.get(key).map_or(&[][..], |history| &history.operations);
        expectation::judge(key, operations, applied, now, shown)?;
        match (shown, self.keys.get_mut(key)) {
            (Shown::List(values), Some(history)) => history
                .judge_list(values)
                .map_err(|why| Complaint::new(format!("{} shows {shown:?}: {why}", super::action::brief(key)))),
            _ => Ok(()),
        }
    }

    /// Whether a replica that has applied this much of `key` may say at time `now` that what it shows ends then.
    ///
    /// # Errors
    /// Says what was expected and which operations are live.
    pub fn judge_ends(&self, key: &[u8], applied: &Knowledge, now: u64, ends: &Ends) -> Result<(), Complaint> {
        let operations = self.keys.get(key).map_or(&[][..], |history| &history.operations);
        if !operations.iter().any(Operation::is_deadline) && *ends == Ends::default() {
            return Ok(());
        }
        expectation::judge_ends(key, operations, applied, now, ends)
    }

    /// Whether readers of the stream at `key` miss nothing: they may where ids were given by hand, and the same one twice,
    /// or the stream was forgotten with its last id.
    #[must_use]
    pub fn is_read_whole(&self, key: &[u8]) -> bool {
        let Some(history) = self.keys.get(key) else { return true };
        let paths = history.operations.iter().filter_map(|it| it.path.as_ref());
        let mut ids: Vec<_> =
            paths.filter_map(|path| if let Path::Entry(id) = path { Some(id) } else { None }).collect();
        ids.sort_unstable();
        !(ids.windows(2).any(|pair| pair[0] == pair[1]) || history.forgets_given_ids())
    }

    /// Whether any key was ever given a deadline.
    #[must_use]
    pub fn has_deadlines(&self) -> bool {
        let mut operations = self.keys.values().flat_map(|history| &history.operations);
        operations.any(Operation::is_deadline)
    }

    /// How many baselines a replica that has applied everything `applied` covers can need at most, once everybody has
    /// told everybody so.
    ///
    /// A reset leaves one for each counter slot it observed. It is needed while the slot's owner still counts in the
    /// life that the reset cut short, and for ever if the owner is gone: nobody can ask whether it knew.
    pub fn baselines_needed(
        &self,
        is_alive: impl Fn(ReplicaId) -> bool,
        applied: impl Fn(&[u8], Dot) -> bool,
    ) -> usize {
        // A field and a member of a sorted set may go by one name at a key of two types.
        let mut slots: BTreeMap<_, (bool, bool)> = BTreeMap::new();
        for (key, history) in &self.keys {
            let has = |operation: &&Operation| applied(key, operation.dot);
            for operation in history.operations.iter().filter(|operation| operation.is_increment()).filter(has) {
                let reset = operation.superseded_by.iter().any(|&by| has(&&history.operations[by]));
                let place = operation.path.as_ref().map(|path| (format!("{:?}", path.class()), path.name()));
                let slot = slots.entry((key, place, operation.dot.replica)).or_default();
                if reset { slot.1 = true } else { slot.0 = true }
            }
        }
        let needed = slots.iter().filter(|((_, _, owner), (live, reset))| *reset && (*live || !is_alive(*owner)));
        needed.count()
    }

    /// How much may differ from what one replica shows and another does, for reports: the operations on a key.
    #[must_use]
    pub fn operations(&self, key: &[u8]) -> &[Operation] {
        self.keys.get(key).map_or(&[][..], |history| &history.operations)
    }
}
