//! Histories told by hand: clients' commands at replicas called `a`, `b`, `c` ...

use cahoots_gossip::store::ListEnd;

use crate::oracle::{Action, ListCommand, Shown};

/// Something a script can run commands at. Whatever happens is checked against the oracle at once.
pub trait Commands {
    /// Runs one operation.
    ///
    /// # Panics
    /// If it is refused or does nothing: a script says what it means.
    fn run(&mut self, at: char, key: &str, action: &Action);

    /// What a client of this replica sees.
    fn shown(&self, at: char, key: &str) -> Shown;

    /// SET.
    fn set(&mut self, at: char, key: &str, value: &str) {
        self.run(at, key, &Action::Set(value.into()));
    }

    /// INCRBY.
    fn incr(&mut self, at: char, key: &str, delta: i64) {
        self.run(at, key, &Action::Add(delta));
    }

    /// SADD.
    fn sadd(&mut self, at: char, key: &str, member: &str) {
        self.run(at, key, &Action::AddMember(member.into()));
    }

    /// SREM.
    fn srem(&mut self, at: char, key: &str, member: &str) {
        self.run(at, key, &Action::RemoveMember(member.into()));
    }

    /// HSET.
    fn hset(&mut self, at: char, key: &str, field: &str, value: &str) {
        self.run(at, key, &Action::SetField(field.into(), value.into()));
    }

    /// HINCRBY.
    fn hincr(&mut self, at: char, key: &str, field: &str, delta: i64) {
        self.run(at, key, &Action::AddField(field.into(), delta));
    }

    /// HDEL.
    fn hdel(&mut self, at: char, key: &str, field: &str) {
        self.run(at, key, &Action::RemoveField(field.into()));
    }

    /// HPEXPIRE.
    fn hexpire(&mut self, at: char, key: &str, field: &str, millis: u64) {
        self.run(at, key, &Action::EndFieldIn(field.into(), millis));
    }

    /// PEXPIRE.
    fn expire(&mut self, at: char, key: &str, millis: u64) {
        self.run(at, key, &Action::EndIn(millis));
    }

    /// ZADD, in halves.
    fn zadd(&mut self, at: char, key: &str, member: &str, halves: i64) {
        self.run(at, key, &Action::Score(member.into(), halves));
    }

    /// ZINCRBY, in halves.
    fn zincr(&mut self, at: char, key: &str, member: &str, halves: i64) {
        self.run(at, key, &Action::AddScore(member.into(), halves));
    }

    /// ZREM.
    fn zrem(&mut self, at: char, key: &str, member: &str) {
        self.run(at, key, &Action::RemoveScored(member.into()));
    }

    /// XADD.
    fn xadd(&mut self, at: char, key: &str, value: &str) {
        self.run(at, key, &Action::Append(None, value.into()));
    }

    /// XDEL of the entry at a place.
    fn xdel(&mut self, at: char, key: &str, place: usize) {
        self.run(at, key, &Action::RemoveEntry(place));
    }

    /// RPUSH of words.
    fn rpush(&mut self, at: char, key: &str, words: &str) {
        let values = words.split(' ').map(Into::into).collect();
        self.run(at, key, &Action::List(ListCommand::Push(ListEnd::Right, values)));
    }

    /// LPUSH of words.
    fn lpush(&mut self, at: char, key: &str, words: &str) {
        let values = words.split(' ').map(Into::into).collect();
        self.run(at, key, &Action::List(ListCommand::Push(ListEnd::Left, values)));
    }

    /// LINSERT before or behind the element at an index.
    fn linsert(&mut self, at: char, key: &str, index: usize, side: ListEnd, value: &str) {
        self.run(at, key, &Action::List(ListCommand::Insert(index, side, value.into())));
    }

    /// LSET.
    fn lset(&mut self, at: char, key: &str, index: usize, value: &str) {
        self.run(at, key, &Action::List(ListCommand::Set(index, value.into())));
    }

    /// LPOP or RPOP of one element.
    fn pop(&mut self, at: char, key: &str, end: ListEnd) {
        self.run(at, key, &Action::List(ListCommand::Take(end, 1)));
    }

    /// A ballot of this replica's own.
    fn cast(&mut self, at: char, key: &str, ballot: &str) {
        self.run(at, key, &Action::Cast(ballot.into()));
    }

    /// The same, taken back.
    fn withdraw(&mut self, at: char, key: &str) {
        self.run(at, key, &Action::Withdraw);
    }

    /// DEL.
    fn del(&mut self, at: char, key: &str) {
        self.run(at, key, &Action::Delete);
    }
}

/// The number of the replica called by this letter.
///
/// # Panics
/// If it is no small letter.
#[must_use]
pub fn number(letter: char) -> usize {
    usize::from(u8::try_from(letter).expect("a letter") - b'a')
}
