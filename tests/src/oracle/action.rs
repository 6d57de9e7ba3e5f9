//! The operations of clients, and what each of them supersedes.

use std::fmt;

use cahoots_crdt::ReplicaId;
use cahoots_gossip::store::{Class, StreamId};

use super::list::{ListCommand, ListEdit};

/// Text as bytes; keys, members, fields and values are all of this kind.
pub type Name = Vec<u8>;

/// One operation of a client on one key.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// SET: supersedes everything observed of the key, whatever its class.
    Set(Name),
    /// INCRBY.
    Add(i64),
    /// SADD of one member.
    AddMember(Name),
    /// SREM of one member.
    RemoveMember(Name),
    /// HSET of one field.
    SetField(Name, Name),
    /// HINCRBY of one field.
    AddField(Name, i64),
    /// HDEL of one field.
    RemoveField(Name),
    /// ZADD of one member. Scores are told in halves, so that sums are exact.
    Score(Name, i64),
    /// ZINCRBY of one member, in halves.
    AddScore(Name, i64),
    /// ZREM of one member.
    RemoveScored(Name),
    /// XADD of one field: by the clock, or under an id so many milliseconds ahead of the writer's time.
    Append(Option<u64>, Name),
    /// XDEL of the entry at a place, counted round and round.
    RemoveEntry(usize),
    /// XTRIM to so many.
    Trim(usize),
    /// What XADD leaves; and whether the id was made by the clock.
    Entry(StreamId, bool, Name),
    /// What XDEL and XTRIM leave: which entries are gone, and the last id there was.
    Gone(Vec<StreamId>, StreamId),
    /// A command on a list.
    List(ListCommand),
    /// What a command on a list has come to where it ran.
    Edits(Vec<ListEdit>),
    /// One of these; what it says of an element says which.
    Edit(ListEdit),
    /// DEL: like SET it supersedes everything observed of the key.
    Delete,
    /// SET EX: as SET, and the key ends in so many milliseconds.
    SetFor(Name, u64),
    /// SET KEEPTTL: as SET, and the key ends when it would have.
    SetKeeping(Name),
    /// EXPIRE: the key ends in so many milliseconds.
    EndIn(u64),
    /// EXPIRE with NX, XX, GT or LT.
    EndIf(EndRule, u64),
    /// PERSIST: the key never ends.
    Persist,
    /// What EXPIRE, PERSIST and SET EX leave: the time in milliseconds since 1970 at which the key ends, or never.
    Ends(Option<u64>),
    /// HPEXPIRE of one field: it ends in so many milliseconds.
    EndFieldIn(Name, u64),
    /// HPERSIST of one field.
    PersistField(Name),
    /// What these leave: the time at which the field ends, or that it does not by itself.
    FieldEnds(Name, Option<u64>),
    /// What has expired is removed.
    RemoveExpired,
    /// The replica's own ballot.
    Cast(Name),
    /// The same, taken back.
    Withdraw,
    /// The ballot of a replica that is gone for good, removed by another.
    Discard(ReplicaId),
}

/// When EXPIRE does something, by the deadline that it finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndRule {
    /// NX: if there is none.
    None,
    /// XX: if there is one.
    Some,
    /// GT: if there is an earlier one.
    Later,
    /// LT: if there is none, or a later one.
    Earlier,
}

impl EndRule {
    /// Whether a key that ends at `before` is to end at `after`.
    #[must_use]
    pub fn allows(self, before: Option<u64>, after: u64) -> bool {
        match (self, before) {
            (Self::None | Self::Earlier, None) => true,
            (Self::Some, Some(_)) => true,
            (Self::Later, Some(before)) => after > before,
            (Self::Earlier, Some(before)) => after < before,
            (Self::None, Some(_)) | (Self::Some | Self::Later, None) => false,
        }
    }
}

/// Where inside a key an operation leaves something that can be live.
#[derive(Clone, PartialEq, Eq)]
pub enum Path {
    /// The assignments of a text.
    Text,
    /// The increments of a text.
    Count,
    /// A member of a set.
    Member(Name),
    /// The assignments of a field.
    Field(Name),
    /// The increments of a field.
    FieldCount(Name),
    /// When the key ends.
    Deadline,
    /// When a field ends.
    FieldDeadline(Name),
    /// The assignments of a score.
    Score(Name),
    /// The increments of a score.
    ScoreCount(Name),
    /// An entry of a stream.
    Entry(StreamId),
    /// What a stream knows of entries that are gone.
    Mark,
    /// An element of a list, by the value it was put in with.
    Element(Name),
    /// A ballot: one for each replica, which others' ballots do not touch.
    Ballot,
}

impl Path {
    /// The member or field, if it is one.
    pub(super) fn name(&self) -> Option<&Name> {
        match self {
            Self::Text | Self::Count | Self::Ballot | Self::Deadline | Self::Entry(_) | Self::Mark => None,
            Self::Member(name) | Self::Field(name) | Self::FieldCount(name) => Some(name),
            Self::FieldDeadline(name) => Some(name),
            Self::Score(name) | Self::ScoreCount(name) | Self::Element(name) => Some(name),
        }
    }

    /// The field whose value it is a part of.
    pub(super) fn field(&self) -> Option<&Name> {
        if let Self::Field(name) | Self::FieldCount(name) = self { Some(name) } else { None }
    }

    /// The class that shows what lies here.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Text | Self::Count => Class::Text,
            Self::Member(_) => Class::Set,
            Self::Field(_) | Self::FieldCount(_) => Class::Hash,
            Self::Score(_) | Self::ScoreCount(_) => Class::Sorted,
            Self::Entry(_) | Self::Mark => Class::Stream,
            Self::Element(_) => Class::List,
            Self::Ballot => Class::Vote,
            Self::Deadline => Class::Deadline,
            Self::FieldDeadline(_) => Class::FieldDeadline,
        }
    }
}

impl Action {
    /// Where the operation leaves something; nowhere if it only removes.
    #[must_use]
    pub fn leaves(&self) -> Option<Path> {
        match self {
            Self::Set(_) => Some(Path::Text),
            Self::Add(_) => Some(Path::Count),
            Self::AddMember(member) => Some(Path::Member(member.clone())),
            Self::SetField(field, _) => Some(Path::Field(field.clone())),
            Self::AddField(field, _) => Some(Path::FieldCount(field.clone())),
            Self::Score(member, _) => Some(Path::Score(member.clone())),
            Self::AddScore(member, _) => Some(Path::ScoreCount(member.clone())),
            Self::Entry(id, ..) => Some(Path::Entry(*id)),
            Self::Gone(..) => Some(Path::Mark),
            Self::Append(..) | Self::RemoveEntry(_) | Self::Trim(_) => None,
            Self::Cast(_) => Some(Path::Ballot),
            Self::Ends(_) => Some(Path::Deadline),
            Self::FieldEnds(name, _) => Some(Path::FieldDeadline(name.clone())),
            Self::Edit(ListEdit::Put(element) | ListEdit::Write(element, _)) => Some(Path::Element(element.clone())),
            // Those that the writer's clock is to be plausible for.
            Self::List(command) => command.values().last().map(|value| Path::Element(value.clone())),
            Self::Edit(ListEdit::Remove(_)) | Self::Edits(_) => None,
            Self::SetFor(..) | Self::EndIn(_) | Self::Persist | Self::RemoveExpired => None,
            Self::EndFieldIn(..) | Self::PersistField(_) | Self::SetKeeping(_) | Self::EndIf(..) => None,
            Self::RemoveMember(_) | Self::RemoveField(_) | Self::RemoveScored(_) => None,
            Self::Delete | Self::Withdraw | Self::Discard(_) => None,
        }
    }

    /// Whether the operation of replica `by` supersedes what it observed at `path`, left there by `writer`.
    #[must_use]
    pub fn supersedes(&self, by: ReplicaId, path: &Path, writer: ReplicaId) -> bool {
        match self {
            Self::Cast(_) | Self::Withdraw => by == writer && *path == Path::Ballot,
            Self::Discard(owner) => writer == *owner && *path == Path::Ballot,
            Self::Set(_) | Self::Delete => true,
            Self::Ends(_) => *path == Path::Deadline,
            Self::FieldEnds(name, _) => matches!(path, Path::FieldDeadline(other) if other == name),
            Self::EndFieldIn(..) | Self::PersistField(_) | Self::SetKeeping(_) | Self::EndIf(..) => false,
            Self::SetFor(..) | Self::EndIn(_) | Self::Persist | Self::RemoveExpired => false,
            Self::Add(_) | Self::AddField(..) | Self::AddScore(..) => false,
            Self::Append(..) | Self::RemoveEntry(_) | Self::Trim(_) => false,
            Self::Entry(id, ..) => *path == Path::Entry(*id),
            Self::Gone(ids, _) => *path == Path::Mark || ids.iter().any(|id| *path == Path::Entry(*id)),
            Self::List(_) | Self::Edits(_) | Self::Edit(ListEdit::Put(_)) => false,
            Self::Edit(ListEdit::Write(name, _) | ListEdit::Remove(name)) => {
                matches!(path, Path::Element(other) if other == name)
            }
            Self::AddMember(name) | Self::RemoveMember(name) => matches!(path, Path::Member(other) if other == name),
            Self::SetField(name, _) | Self::RemoveField(name) => {
                matches!(path, Path::Field(other) | Path::FieldCount(other) if other == name)
            }
            Self::Score(name, _) | Self::RemoveScored(name) => {
                matches!(path, Path::Score(other) | Path::ScoreCount(other) if other == name)
            }
        }
    }

    /// The class a client must find (or find nothing) for this command to be allowed; `None`: any.
    #[must_use]
    pub fn needs(&self) -> Option<Class> {
        match self {
            Self::Set(_) | Self::SetFor(..) | Self::SetKeeping(_) | Self::Delete => None,
            Self::EndIf(..) | Self::EndIn(_) | Self::Persist | Self::Ends(_) | Self::RemoveExpired => None,
            Self::Add(_) => Some(Class::Text),
            Self::AddMember(_) | Self::RemoveMember(_) => Some(Class::Set),
            Self::SetField(..) | Self::AddField(..) | Self::RemoveField(_) => Some(Class::Hash),
            Self::EndFieldIn(..) | Self::PersistField(_) | Self::FieldEnds(..) => Some(Class::Hash),
            Self::Score(..) | Self::AddScore(..) | Self::RemoveScored(_) => Some(Class::Sorted),
            Self::Append(..) | Self::RemoveEntry(_) | Self::Trim(_) => Some(Class::Stream),
            Self::Entry(..) | Self::Gone(..) => Some(Class::Stream),
            Self::List(_) | Self::Edits(_) | Self::Edit(_) => Some(Class::List),
            Self::Cast(_) | Self::Withdraw | Self::Discard(_) => Some(Class::Vote),
        }
    }

    /// An upper estimate of the bytes the operation writes, besides the key.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Set(value) | Self::SetFor(value, _) | Self::SetKeeping(value) | Self::Cast(value) => value.len(),
            Self::SetField(field, value) => field.len() + value.len(),
            Self::AddMember(name) | Self::RemoveMember(name) | Self::RemoveField(name) => name.len(),
            Self::RemoveScored(name) | Self::EndFieldIn(name, _) => name.len(),
            Self::PersistField(name) | Self::FieldEnds(name, _) => name.len(),
            Self::Append(_, value) | Self::Entry(_, _, value) => value.len() + 20,
            Self::RemoveEntry(_) | Self::Trim(_) | Self::Gone(..) => 60,
            Self::AddField(field, _) | Self::Score(field, _) | Self::AddScore(field, _) => field.len() + 20,
            Self::Add(_) => 20,
            Self::List(command) => command.values().iter().map(|value| value.len() + 23).sum(),
            Self::Edits(_) | Self::Edit(_) => 0,
            Self::EndIf(..) | Self::EndIn(_) | Self::Persist | Self::Ends(_) | Self::RemoveExpired => 0,
            Self::Delete | Self::Withdraw | Self::Discard(_) => 0,
        }
    }
}

/// Bytes as a test's reader wants them: the text, cut where it grows long.
pub(crate) fn brief(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(24)]);
    if bytes.len() > 24 { format!("{text}..({} bytes)", bytes.len()) } else { text.into_owned() }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(value) => write!(f, "SET {}", brief(value)),
            Self::Add(delta) => write!(f, "INCRBY {delta}"),
            Self::AddMember(member) => write!(f, "SADD {}", brief(member)),
            Self::RemoveMember(member) => write!(f, "SREM {}", brief(member)),
            Self::SetField(field, value) => write!(f, "HSET {} {}", brief(field), brief(value)),
            Self::AddField(field, delta) => write!(f, "HINCRBY {} {delta}", brief(field)),
            Self::RemoveField(field) => write!(f, "HDEL {}", brief(field)),
            Self::Score(member, halves) => write!(f, "ZADD {halves}/2 {}", brief(member)),
            Self::AddScore(member, halves) => write!(f, "ZINCRBY {halves}/2 {}", brief(member)),
            Self::RemoveScored(member) => write!(f, "ZREM {}", brief(member)),
            Self::Append(None, value) => write!(f, "XADD * {}", brief(value)),
            Self::Append(Some(ahead), value) => write!(f, "XADD +{ahead} {}", brief(value)),
            Self::RemoveEntry(place) => write!(f, "XDEL of entry {place}"),
            Self::Trim(len) => write!(f, "XTRIM MAXLEN {len}"),
            Self::Entry(id, _, value) => write!(f, "entry {id} {}", brief(value)),
            Self::Gone(ids, last) => {
                write!(f, "gone {}, last {last}", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            }
            Self::List(command) => write!(f, "{command:?}"),
            Self::Edits(edits) => write!(f, "{edits:?}"),
            Self::Edit(edit) => write!(f, "{edit:?}"),
            Self::Delete => write!(f, "DEL"),
            Self::SetFor(value, millis) => write!(f, "SET {} PX {millis}", brief(value)),
            Self::SetKeeping(value) => write!(f, "SET {} KEEPTTL", brief(value)),
            Self::EndIn(millis) => write!(f, "PEXPIRE {millis}"),
            Self::EndIf(rule, millis) => write!(f, "PEXPIRE {millis} if {rule:?}"),
            Self::Persist => write!(f, "PERSIST"),
            Self::Ends(deadline) => write!(f, "ends {deadline:?}"),
            Self::EndFieldIn(field, millis) => write!(f, "HPEXPIRE {} {millis}", brief(field)),
            Self::PersistField(field) => write!(f, "HPERSIST {}", brief(field)),
            Self::FieldEnds(field, deadline) => write!(f, "field {} ends {deadline:?}", brief(field)),
            Self::RemoveExpired => write!(f, "remove what has expired"),
            Self::Cast(ballot) => write!(f, "cast {}", brief(ballot)),
            Self::Withdraw => write!(f, "withdraw"),
            Self::Discard(owner) => write!(f, "discard {owner}"),
        }
    }
}
