//! From the operations applied at a replica to the value it must show.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cahoots_gossip::store::{Class, StreamId};

use super::action::{Name, brief};
use super::history::{Knowledge, Operation};
use super::lifetime::Lifetimes;
use super::list::ListEdit;
use super::{Action, Ends, Path, Shown};

/// Why a replica may not show what it shows.
#[derive(Clone)]
pub struct Complaint(String);

impl Complaint {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub(super) fn judge(
    key: &[u8],
    operations: &[Operation],
    applied: &Knowledge,
    now: u64,
    shown: &Shown,
) -> Result<(), Complaint> {
    let lifetimes = Lifetimes::of(operations, now, |number| applied.has(operations[number].dot));
    let live: Vec<&Operation> = lifetimes.data(now, false).map(|(_, operation)| operation).collect();
    let expected = expect(&live);
    if shown.without_order() == expected {
        return Ok(());
    }
    let key = brief(key);
    Err(Complaint::new(format!("{key} shows {shown:?}, expected {expected:?}; live: {live:?}; applied: {applied:?}")))
}

/// Whether what is shown may end then.
pub(super) fn judge_ends(
    key: &[u8],
    operations: &[Operation],
    applied: &Knowledge,
    now: u64,
    ends: &Ends,
) -> Result<(), Complaint> {
    let lifetimes = Lifetimes::of(operations, now, |number| applied.has(operations[number].dot));
    let live: Vec<&Operation> = lifetimes.data(now, false).map(|(_, operation)| operation).collect();
    let mut expected = Ends { key: lifetimes.in_force(now).and_then(|it| it.deadline), ..Ends::default() };
    if let Shown::Hash(fields) = expect(&live) {
        let end = |name: &Name| lifetimes.in_force_at(name, now).and_then(|it| it.deadline);
        expected.fields = fields.into_keys().filter_map(|name| end(&name).map(|end| (name, end))).collect();
    }
    if *ends == expected {
        return Ok(());
    }
    let key = brief(key);
    Err(Complaint::new(format!("{key} says at {now} that it ends {ends:?}, expected {expected:?}; live: {live:?}")))
}

/// The value that these live operations amount to.
fn expect(live: &[&Operation]) -> Shown {
    // That entries are gone says less of the type than anything else does.
    let newest = live.iter().max_by_key(|operation| (operation.path != Some(Path::Mark), operation.rank()));
    let Some(class) = newest.and_then(|operation| operation.path.as_ref()).map(Path::class) else {
        return Shown::Nothing;
    };
    match class {
        Class::Text => Shown::Text(counted(live, &Path::Text, &Path::Count)),
        Class::Set => Shown::Set(live.iter().filter_map(|operation| member_of(operation)).cloned().collect()),
        Class::Vote | Class::Presence => {
            let ballots =
                live.iter().filter_map(|operation| Some((operation.dot.replica, ballot_of(operation)?.clone())));
            Shown::Ballots(ballots.collect())
        }
        Class::Sorted => {
            let members: BTreeSet<&Name> = live.iter().filter_map(|operation| scored_of(operation)).collect();
            Shown::Sorted(members.into_iter().map(|name| (name.clone(), halves(live, name))).collect())
        }
        Class::Stream => stream(live),
        Class::List => Shown::List(elements(live)).without_order(),
        Class::Deadline | Class::Until | Class::FieldDeadline | Class::FieldUntil => {
            unreachable!("no operation leaves it")
        }
        Class::Hash => {
            let names: BTreeSet<&Name> = live.iter().filter_map(|operation| field_of(operation)).collect();
            let value = |name: &Name| counted(live, &Path::Field(name.clone()), &Path::FieldCount(name.clone()));
            Shown::Hash(names.into_iter().map(|name| (name.clone(), value(name))).collect::<BTreeMap<_, _>>())
        }
    }
}

/// A value that is an assignment plus increments: the winning live assignment, and every live increment.
fn counted(live: &[&Operation], assigned: &Path, incremented: &Path) -> Name {
    let at = |path| live.iter().filter(move |operation| operation.path.as_ref() == Some(path));
    let assignment = at(assigned).max_by_key(|operation| operation.rank()).map(|operation| assigned_value(operation));
    let increments: Vec<i128> = at(incremented).map(|operation| increment(operation)).collect();
    let added: i128 = increments.iter().sum();
    let Some(value) = assignment else { return added.to_string().into_bytes() };
    match integer(value) {
        Some(number) if !increments.is_empty() => (number + added).to_string().into_bytes(),
        // A text that is no number hides the increments until it is replaced.
        _ => value.clone(),
    }
}

/// A score in halves: the winning live assignment, and every live increment.
fn halves(live: &[&Operation], member: &Name) -> i128 {
    let assigned = |operation: &&&Operation| matches!(&operation.action, Action::Score(name, _) if name == member);
    let winner = live.iter().filter(assigned).max_by_key(|operation| operation.rank());
    let increments = live.iter().filter_map(|operation| match &operation.action {
        Action::AddScore(name, halves) if name == member => Some(i128::from(*halves)),
        _ => None,
    });
    let base = match winner.map(|operation| &operation.action) {
        Some(Action::Score(_, halves)) => i128::from(*halves),
        _ => 0,
    };
    base + increments.sum::<i128>()
}

/// The newest entry of each id, and the highest id there was.
fn stream(live: &[&Operation]) -> Shown {
    let (mut entries, mut last) = (BTreeMap::<StreamId, &Operation>::new(), StreamId::MIN);
    for operation in live {
        match &operation.action {
            Action::Entry(id, ..) => {
                let known = entries.entry(*id).or_insert(operation);
                if known.rank() < operation.rank() {
                    *known = operation;
                }
                last = last.max(*id);
            }
            Action::Gone(_, seen) => last = last.max(*seen),
            _ => {}
        }
    }
    let value = |operation: &Operation| match &operation.action {
        Action::Entry(_, _, value) => value.clone(),
        _ => unreachable!("only entries lie on a path of entries"),
    };
    Shown::Stream(entries.into_iter().map(|(id, operation)| (id, value(operation))).collect(), last)
}

/// What the elements of a list show: of each the winning live assignment.
fn elements(live: &[&Operation]) -> Vec<Name> {
    let mut winners: BTreeMap<&Name, (&Operation, &Name)> = BTreeMap::new();
    for operation in live {
        let (element, value) = match &operation.action {
            Action::Edit(ListEdit::Put(element)) => (element, element),
            Action::Edit(ListEdit::Write(element, value)) => (element, value),
            _ => continue,
        };
        let winner = winners.entry(element).or_insert((operation, value));
        if winner.0.rank() <= operation.rank() {
            *winner = (operation, value);
        }
    }
    winners.into_values().map(|(_, value)| value.clone()).collect()
}

/// A 64-bit integer written as it would be printed.
fn integer(text: &[u8]) -> Option<i128> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(i128::from(number))
}

fn increment(operation: &Operation) -> i128 {
    match operation.action {
        Action::Add(delta) | Action::AddField(_, delta) => delta.into(),
        _ => unreachable!("only increments lie on a path of increments"),
    }
}

fn assigned_value(operation: &Operation) -> &Name {
    match &operation.action {
        Action::Set(value) | Action::SetField(_, value) => value,
        _ => unreachable!("only assignments lie on a path of assignments"),
    }
}

fn member_of(operation: &Operation) -> Option<&Name> {
    if let Action::AddMember(name) = &operation.action { Some(name) } else { None }
}

fn ballot_of(operation: &Operation) -> Option<&Name> {
    if let Action::Cast(ballot) = &operation.action { Some(ballot) } else { None }
}

fn scored_of(operation: &Operation) -> Option<&Name> {
    match &operation.action {
        Action::Score(name, _) | Action::AddScore(name, _) => Some(name),
        _ => None,
    }
}

fn field_of(operation: &Operation) -> Option<&Name> {
    match &operation.action {
        Action::SetField(name, _) | Action::AddField(name, _) => Some(name),
        _ => None,
    }
}
