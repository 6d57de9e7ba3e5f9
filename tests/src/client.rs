//! A client's side of a write: what a command checks before it writes, and what its reply must be.

use cahoots_gossip::store::{Class, ListEnd, NewId, ScoreRule, StreamId, WriteError, Writer};

use crate::oracle::{Action, ListCommand, Shown};

/// One operation of a group: a key and what to do with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Request(pub Vec<u8>, pub Action);

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:?}", String::from_utf8_lossy(&self.0), self.1)
    }
}

/// What became of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It changed something; recorded in the history.
    Done,
    /// It had nothing to do; nothing may be published for it.
    Idle,
    /// The key holds another class, or a text that is no number; or the writer's clock is too far ahead.
    Refused,
}

/// One operation as the daemon's commands do it: the class first, then the write. Also what it came to, for the history.
///
/// # Panics
/// If the reply contradicts what the key showed before.
pub fn perform(writer: &mut Writer<'_>, key: &[u8], action: &Action) -> (Reply, Action) {
    if let Action::List(command) = action {
        return edit(writer, key, command);
    }
    let ends = writer.moment().view(key).and_then(|view| view.deadline());
    match action {
        Action::SetKeeping(value) => {
            let left = ends.map(|deadline| deadline - writer.moment().now());
            let done = left.map_or(Action::Set(value.clone()), |left| Action::SetFor(value.clone(), left));
            return match writer.set_keeping(key, value) {
                Err(WriteError::ClockAhead { .. }) => (Reply::Refused, done),
                kept => {
                    kept.expect("within the limits");
                    (Reply::Done, done)
                }
            };
        }
        Action::EndIf(rule, millis) => {
            let action = Action::EndIn(*millis);
            if !rule.allows(ends, writer.moment().now() + millis) {
                return (Reply::Idle, action);
            }
            return (act(writer, key, &action), action);
        }
        _ => {}
    }
    follow(writer, key, action).unwrap_or_else(|| (act(writer, key, action), action.clone()))
}

/// An operation on a stream, if it is one that is not refused.
fn follow(writer: &mut Writer<'_>, key: &[u8], action: &Action) -> Option<(Reply, Action)> {
    let (entries, last) = match Shown::read(writer.moment(), key) {
        _ if writer.admit(key, b"", 0).is_err() => return None,
        Shown::Nothing => (Vec::new(), StreamId::MIN),
        Shown::Stream(entries, last) => (entries.into_keys().collect(), last),
        _ => return None,
    };
    let (ids, removed) = match action {
        Action::Append(ahead, value) => {
            let given = ahead.map(|ahead| StreamId::new(writer.moment().now() + ahead, ahead));
            let fields = [(&b"f"[..], value.as_slice())];
            let id = match writer.append(key, given.map_or(NewId::Next, NewId::Exactly), fields) {
                Err(WriteError::IdNotAbove) if given.is_some_and(|id| id <= last) => {
                    return Some((Reply::Refused, action.clone()));
                }
                id => id.expect("within the limits"),
            };
            assert!(id > last && given.is_none_or(|given| given == id), "{id} is given, {last} was the last");
            return Some((Reply::Done, Action::Entry(id, given.is_none(), value.clone())));
        }
        Action::RemoveEntry(_) if entries.is_empty() => (Vec::new(), writer.remove_entries(key, &[last])),
        Action::RemoveEntry(place) => {
            let id = entries[place % entries.len()];
            (vec![id], writer.remove_entries(key, &[id]))
        }
        Action::Trim(len) => {
            let count = entries.len().saturating_sub(*len);
            (entries[..count].to_vec(), writer.trim_entries(key, count))
        }
        _ => return None,
    };
    assert_eq!(removed, Ok(ids.len()), "a removal says how many there were");
    let reply = if ids.is_empty() { Reply::Idle } else { Reply::Done };
    Some((reply, Action::Gone(ids, last)))
}

/// A command on a list; it must come to what Redis makes of the list that was shown before.
fn edit(writer: &mut Writer<'_>, key: &[u8], command: &ListCommand) -> (Reply, Action) {
    let before = match Shown::read(writer.moment(), key) {
        Shown::List(elements) => elements,
        Shown::Nothing => Vec::new(),
        _ => return (Reply::Refused, Action::Edits(Vec::new())),
    };
    // Of several types it may be another that shows when an element is gone.
    let clashes = writer.moment().view(key).is_some_and(|view| view.clashes());
    let (after, edits) = command.apply(before.clone());
    let len = before.len();
    let at = |index: &usize| index % len.max(1);
    let done = match command {
        ListCommand::Push(end, values) => {
            writer.push(key, *end, values.iter().map(Vec::as_slice)).map(|len| assert_eq!(len, after.len()))
        }
        ListCommand::Insert(index, side, value) => {
            let len = writer.insert_beside(key, at(index), *side, value);
            len.map(|len| assert_eq!(len, (!before.is_empty()).then_some(after.len())))
        }
        ListCommand::Set(index, value) => {
            writer.set_element(key, at(index), value).map(|is_there| assert_eq!(is_there, !before.is_empty()))
        }
        ListCommand::Take(end, count) => {
            let ranks = end.ranks(*count, len);
            writer.take_ranks(key, ranks.clone()).map(|taken| assert_eq!(taken, before[ranks]))
        }
        ListCommand::Trim(from, count) => writer.trim(key, at(from)..at(from) + count),
        ListCommand::Remove(index) => {
            let value = before.get(at(index)).map_or(&[][..], Vec::as_slice);
            let removed = writer.remove_equal(key, value, ListEnd::Left, 1);
            removed.map(|removed| assert_eq!(removed, edits.len()))
        }
        ListCommand::Rotate(out, into, fresh) => writer.move_element((key, *out), (key, *into)).map(|moved| {
            assert_eq!(moved.as_ref(), before.get(out.ranks(1, len).start));
            if moved.is_some() {
                let set = writer.set_element(key, into.ranks(1, len).start, fresh);
                assert_eq!(set, Ok(true), "it is there");
            }
        }),
    };
    match done {
        Err(WriteError::TooDeep { .. } | WriteError::ClockAhead { .. }) => (Reply::Refused, Action::Edits(Vec::new())),
        Err(error) => panic!("{command:?} on {before:?}: {error}"),
        Ok(()) => {
            let shown = Shown::read(writer.moment(), key);
            let expected = if after.is_empty() { Shown::Nothing } else { Shown::List(after) };
            assert!(clashes || shown == expected, "{command:?} made {shown:?} of {before:?}");
            (if edits.is_empty() { Reply::Idle } else { Reply::Done }, Action::Edits(edits))
        }
    }
}

fn act(writer: &mut Writer<'_>, key: &[u8], action: &Action) -> Reply {
    let before = Shown::read(writer.moment(), key);
    if let Err(WriteError::ClockAhead { .. }) = writer.admit(key, b"", 0) {
        return Reply::Refused;
    }
    if let (Some(needs), Some(class)) = (action.needs(), before.class())
        && needs != class
    {
        return Reply::Refused;
    }
    match action {
        Action::Set(value) => {
            writer.set(key, value).expect("within the limits");
            Reply::Done
        }
        Action::Add(delta) => counted(writer.add(key, *delta), text_of(&before), *delta),
        Action::AddField(field, delta) => {
            counted(writer.add_field(key, field, *delta), field_of(&before, field), *delta)
        }
        Action::AddMember(member) => {
            let new = writer.insert(key, Class::Set, member, b"").expect("within the limits");
            assert_eq!(
                new,
                !matches!(&before, Shown::Set(members) if members.contains(member)),
                "{action:?}, {before:?}"
            );
            Reply::Done
        }
        Action::SetField(field, value) => {
            let new = writer.insert(key, Class::Hash, field, value).expect("within the limits");
            assert_eq!(new, field_of(&before, field).is_none(), "{action:?}, {before:?}");
            Reply::Done
        }
        Action::RemoveMember(member) => {
            let had = matches!(&before, Shown::Set(members) if members.contains(member));
            removed(writer.remove(key, Class::Set, member), had)
        }
        Action::RemoveField(field) => {
            let had = field_of(&before, field).is_some();
            removed(writer.remove(key, Class::Hash, field), had)
        }
        Action::Score(member, halves) => {
            let score = score_of(i128::from(*halves));
            let new = writer.assign_score(key, member, score, ScoreRule::Newest).expect("within the limits");
            assert_eq!(new, halves_of(&before, member).is_none(), "{action:?}, {before:?}");
            Reply::Done
        }
        Action::AddScore(member, halves) => {
            let sum = writer.add_score(key, member, score_of(i128::from(*halves))).expect("within the limits");
            let expected = halves_of(&before, member).unwrap_or(0) + i128::from(*halves);
            assert_eq!(sum, score_of(expected), "an increment says the new score");
            Reply::Done
        }
        Action::RemoveScored(member) => {
            let had = halves_of(&before, member).is_some();
            removed(writer.remove(key, Class::Sorted, member), had)
        }
        Action::Delete => removed(writer.delete(key), before != Shown::Nothing),
        Action::SetFor(value, millis) => {
            let deadline = writer.moment().now() + millis;
            writer.set_until(key, value, Some(deadline)).expect("within the limits");
            Reply::Done
        }
        Action::EndIn(millis) => {
            let deadline = writer.moment().now() + millis;
            removed(writer.expire(key, Some(deadline)), before != Shown::Nothing)
        }
        Action::Persist => {
            let had = writer.moment().view(key).is_some_and(|view| view.deadline().is_some());
            removed(writer.expire(key, None), had)
        }
        Action::EndFieldIn(field, millis) => {
            let deadline = writer.moment().now() + millis;
            let had = field_of(&before, field).is_some();
            removed(writer.expire_field(key, field, Some(deadline)), had)
        }
        Action::PersistField(field) => {
            let had = writer.moment().view(key).is_some_and(|view| view.field_deadline(field).is_some());
            removed(writer.expire_field(key, field, None), had)
        }
        Action::RemoveExpired => match writer.remove_expired(key).expect("clocks are right") {
            true => Reply::Done,
            false => Reply::Idle,
        },
        Action::Append(..) | Action::RemoveEntry(_) | Action::Trim(_) => unreachable!("a stream, or nothing, is there"),
        Action::Ends(_)
        | Action::FieldEnds(..)
        | Action::Entry(..)
        | Action::Gone(..)
        | Action::Edits(_)
        | Action::Edit(_)
        | Action::SetKeeping(_)
        | Action::EndIf(..) => {
            unreachable!("no client says this")
        }
        Action::List(_) => unreachable!("told apart before"),
        Action::Cast(ballot) => {
            writer.cast(key, Class::Vote, ballot).expect("within the limits");
            Reply::Done
        }
        Action::Withdraw => {
            let had = matches!(&before, Shown::Ballots(ballots) if ballots.contains_key(&writer.id()));
            removed(writer.withdraw(key, Class::Vote), had)
        }
        Action::Discard(owner) => {
            let had = matches!(&before, Shown::Ballots(ballots) if ballots.contains_key(owner));
            removed(writer.discard(key, Class::Vote, *owner), had)
        }
    }
}

fn removed(answer: Result<bool, WriteError>, had: bool) -> Reply {
    let answer = answer.expect("clocks are right");
    assert_eq!(answer, had, "a removal says whether there was something");
    if answer { Reply::Done } else { Reply::Idle }
}

fn counted(answer: Result<i64, WriteError>, before: Option<&Vec<u8>>, delta: i64) -> Reply {
    let number = match before {
        None => Some(0),
        // Concurrent increments may sum to more than 64 bits; such a number shows and cannot be added to.
        Some(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse::<i128>().ok()),
    };
    let sum = number.map(|number| i64::try_from(number).ok().and_then(|number| number.checked_add(delta)));
    match (sum, answer) {
        (Some(Some(sum)), Ok(answer)) => {
            assert_eq!(answer, sum, "an increment says the new value");
            Reply::Done
        }
        (Some(None), Err(WriteError::Overflow)) | (None, Err(WriteError::NotInteger)) => Reply::Refused,
        (_, answer) => panic!("{before:?} + {delta} was answered {answer:?}"),
    }
}

fn text_of(shown: &Shown) -> Option<&Vec<u8>> {
    if let Shown::Text(text) = shown { Some(text) } else { None }
}

fn score_of(halves: i128) -> f64 {
    halves as f64 / 2.0
}

fn halves_of(shown: &Shown, member: &[u8]) -> Option<i128> {
    if let Shown::Sorted(members) = shown { members.get(member).copied() } else { None }
}

fn field_of<'a>(shown: &'a Shown, field: &[u8]) -> Option<&'a Vec<u8>> {
    if let Shown::Hash(fields) = shown { fields.get(field) } else { None }
}
