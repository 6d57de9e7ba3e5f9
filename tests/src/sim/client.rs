//! Clients: what they may ask of a replica, and the record of what they were told.

use cahoots_crdt::Dot;
use cahoots_gossip::store::{Class, WriteError, Writer};

use super::World;
use super::process::EPOCH;
use crate::oracle::{Action, Knowledge, Shown};

/// One operation of a group: a key and what to do with it.
pub type Request = (Vec<u8>, Action);

/// What became of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It changed something; recorded in the history.
    Done,
    /// It had nothing to do; nothing may be published for it.
    Idle,
    /// The key holds another class, or a text that is no number.
    Refused,
}

impl World {
    /// Runs one group of operations at a replica, as one command or one MULTI does, and records what succeeded.
    ///
    /// # Panics
    /// If a reply contradicts what the replica shows before and after, or the replica cannot read its own writes.
    pub fn write(&mut self, host: usize, group: &[Request]) -> Vec<Reply> {
        let now = self.read_clocks(host);
        let knew: Vec<Knowledge> = group.iter().map(|(key, _)| self.knowledge(host, key)).collect();
        let process = self.process_mut(host);
        let (id, before) = (process.engine.id(), process.engine.position());
        let bytes = group.iter().map(|(key, action)| key.len() + action.bytes()).sum();
        let answers: Vec<(Reply, u64)> = process.engine.write(now, bytes, |writer| {
            group.iter().map(|(key, action)| (perform(writer, key, action), writer.clock().get())).collect()
        });
        let dot = Dot::new(id, process.engine.position());
        let published = answers.iter().any(|(reply, _)| *reply == Reply::Done);
        assert!(dot.seq <= before + 1, "one group became more than one event: {before} -> {}", dot.seq);
        assert!(published || dot.seq == before, "{group:?} did nothing and yet became event {dot:?}");
        for (((key, action), (reply, stamp)), knew) in group.iter().zip(&answers).zip(knew) {
            if *reply == Reply::Done {
                self.stamp_is_plausible(host, action, *stamp);
                if let Err(complaint) = self.history.record(key, dot, action.clone(), *stamp, knew) {
                    panic!("at {id}: {complaint}");
                }
            }
        }
        self.tally.groups += 1;
        group.iter().for_each(|(key, _)| self.judge(host, key));
        self.pump(host);
        answers.into_iter().map(|(reply, _)| reply).collect()
    }

    /// FLUSHALL at one replica.
    ///
    /// # Panics
    /// If the replica does not count its own keys right.
    pub fn clear(&mut self, host: usize) {
        let now = self.read_clocks(host);
        let keys: Vec<Vec<u8>> = super::process::read_all(&self.process(host).engine).into_keys().collect();
        let knew: Vec<Knowledge> = keys.iter().map(|key| self.knowledge(host, key)).collect();
        let process = self.process_mut(host);
        let cleared = process.engine.write(now, 0, |writer| writer.clear().expect("clocks are right"));
        assert_eq!(cleared, keys.len(), "FLUSHALL says how many keys there were");
        let (dot, stamp) =
            (Dot::new(process.engine.id(), process.engine.position()), process.engine.store().clock().get());
        for (key, knew) in keys.iter().zip(knew) {
            self.history.record(key, dot, Action::Delete, stamp, knew).expect("a removal has no stamp to be wrong");
        }
        keys.iter().for_each(|key| self.judge(host, key));
        self.tally.groups += 1;
        self.pump(host);
    }

    /// Closes the flush window of one replica.
    pub fn flush(&mut self, host: usize) {
        let now = self.read_clocks(host);
        self.process_mut(host).engine.flush(now);
        self.pump(host);
    }

    /// What a client of this replica sees of a key.
    #[must_use]
    pub fn shown(&self, host: usize, key: &str) -> Shown {
        Shown::read(self.process(host).engine.store(), key.as_bytes())
    }

    /// A stamp is a hybrid logical clock: not behind its writer's wall clock, and ahead of no clock in the world.
    fn stamp_is_plausible(&mut self, host: usize, action: &Action, stamp: u64) {
        if action.leaves().is_none() {
            return;
        }
        let (own, latest) = (self.read_clocks(host).wall, self.wall_latest());
        let wall = stamp >> 16;
        assert!(
            (own..=latest + 1).contains(&wall),
            "stamped {}, own clock {}, latest {}",
            wall - EPOCH,
            own - EPOCH,
            latest - EPOCH
        );
    }
}

/// One operation as the daemon's commands do it: the class first, then the write.
fn perform(writer: &mut Writer<'_>, key: &[u8], action: &Action) -> Reply {
    let before = Shown::read(writer, key);
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
        Action::Delete => removed(writer.delete(key), before != Shown::Nothing),
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

fn field_of<'a>(shown: &'a Shown, field: &[u8]) -> Option<&'a Vec<u8>> {
    if let Shown::Hash(fields) = shown { fields.get(field) } else { None }
}
