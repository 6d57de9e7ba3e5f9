//! Writing a key as a whole: what it was goes, and another value lies there.

use super::list::ListEnd;
use super::writer::{WriteError, Writer};
use crate::store::cell::score::ScoreRule;
use crate::store::cell::stream::{MARK, Mark, StreamId};
use crate::store::kind::Class;
use crate::store::value::Value;

impl Writer<'_> {
    /// Makes `value` all that lies at `key`, whatever that was; it ends at `deadline`, in milliseconds since 1970, if that is
    /// given. A collection without elements leaves no key, and so does a deadline that has passed. O(n), or O(n log n) of what
    /// has an order.
    ///
    /// # Errors
    /// A limit is exceeded, or the clock is too far ahead.
    pub fn replace(&mut self, key: &[u8], value: &Value, deadline: Option<u64>) -> Result<(), WriteError> {
        self.admit_value(key, value)?;
        if let Value::Text(text) = value {
            return self.set_until(key, text, deadline);
        }
        self.delete(key)?;
        if deadline.is_some_and(|deadline| deadline <= self.now()) {
            return Ok(());
        }
        match value {
            Value::Text(text) => self.set(key, text)?,
            Value::Set(members) => {
                members.iter().try_for_each(|member| self.insert(key, Class::Set, member, b"").map(drop))?;
            }
            Value::Hash(fields) => {
                for field in fields {
                    self.insert(key, Class::Hash, &field.name, &field.value)?;
                }
                for field in fields.iter().filter(|field| field.deadline.is_some()) {
                    self.expire_field(key, &field.name, field.deadline)?;
                }
            }
            Value::Sorted(members) => {
                for (member, score) in members {
                    self.assign_score(key, member, *score, ScoreRule::Newest)?;
                }
            }
            Value::List(elements) if elements.is_empty() => {}
            Value::List(elements) => _ = self.push(key, ListEnd::Right, elements.iter().map(|it| &**it))?,
            Value::Stream(entries, mark, groups) => {
                for entry in entries {
                    self.insert(key, Class::Stream, &entry.id.to_bytes(), &entry.fields)?;
                }
                let last = entries.last().map_or(StreamId::MIN, |entry| entry.id);
                if *mark != (Mark { last, ..Mark::default() }) || entries.is_empty() {
                    self.insert(key, Class::Stream, MARK, &mark.write())?;
                }
                groups.iter().try_for_each(|group| self.put_group(key, group))?;
            }
        }
        if deadline.is_some() {
            self.expire(key, deadline)?;
        }
        Ok(())
    }

    /// Whether [`replace`](Self::replace) would be refused. To be asked where it is not the first write.
    ///
    /// # Errors
    /// As there.
    pub fn admit_value(&self, key: &[u8], value: &Value) -> Result<(), WriteError> {
        self.admit(key, b"", 0)?;
        let mut bytes = key.len();
        for (name, value) in value.parts() {
            self.admit(key, name, value)?;
            bytes += key.len() + name.len() + value;
        }
        if let Value::Stream(_, _, groups) = value {
            groups.iter().try_for_each(|group| self.admit_names(key, group))?;
        }
        self.admit_group(bytes)
    }
}

#[cfg(test)]
mod tests {
    use cahoots_crdt::ReplicaId;

    use super::*;
    use crate::Limits;
    use crate::store::value::{Field, PendingEntry, StreamEntry, StreamGroup};
    use crate::store::{Consumer, Moment, Store};

    const WALL: u64 = 1_700_000_000_000;

    fn group(name: &[u8], count: u32) -> StreamGroup {
        let consumers = [(&b"a"[..], Some(7)), (b"b", None)];
        let consumers = consumers.map(|(name, active)| Consumer { name: name.into(), seen: 9, active });
        let pending = (1..u64::from(count)).map(|at| PendingEntry {
            id: StreamId::new(at, 7),
            consumer: b"a"[..].into(),
            at,
            count: 2,
        });
        StreamGroup {
            name: name.into(),
            last: StreamId::new(u64::from(count), 7),
            read: Some(u64::from(2 * count)),
            consumers: consumers.into(),
            pending: pending.collect(),
        }
    }

    fn values() -> Vec<Value> {
        let names = |count: u32| (0..count).map(|it| Box::<[u8]>::from(format!("{it:05}").as_bytes()));
        let mut values = vec![Value::Text(b"10".to_vec()), Value::Text(Vec::new())];
        // Few are packed together, many lie in tables.
        for count in [1, 20, 500] {
            values.push(Value::Set(names(count).collect()));
            let deadline = |at: usize| at.is_multiple_of(3).then_some(WALL + 1_000 + at as u64);
            let fields = names(count).enumerate().map(|(at, name)| Field {
                value: format!("v{at}").into_bytes().into(),
                name,
                deadline: deadline(at),
            });
            values.push(Value::Hash(fields.collect()));
            values.push(Value::Sorted(names(count).enumerate().map(|(at, it)| (it, at as f64 / 3.0)).collect()));
            values.push(Value::List(names(count).chain(names(count)).collect()));
            let entries = names(count).enumerate().filter_map(|(at, name)| {
                StreamEntry::new(StreamId::new(at as u64 + 1, 7), [(&*name, &b"v"[..]), (b"", b"")])
            });
            let mark =
                Mark { last: StreamId::new(9_000, 0), max_deleted: StreamId::new(8_000, 1), removed: u64::from(count) };
            let groups = [b"", &b"g"[..]].map(|name| group(name, count));
            values.push(Value::Stream(entries.collect(), mark, groups.into()));
        }
        values.push(Value::Stream(Vec::new(), Mark { last: StreamId::new(5, 5), ..Mark::default() }, Vec::new()));
        values
    }

    fn shown(moment: Moment<'_>, key: &[u8]) -> (Value, Option<u64>) {
        let view = moment.view(key).unwrap();
        let mut value = view.value().unwrap();
        // Sets and hashes are in no order.
        match &mut value {
            Value::Set(members) => members.sort(),
            Value::Hash(fields) => fields.sort_by(|a, b| a.name.cmp(&b.name)),
            _ => {}
        }
        (value, view.deadline())
    }

    /// Over whatever was there, in its own event or in that of the value before.
    #[test]
    fn a_value_that_was_put_somewhere_is_read_there_and_nothing_else_is() {
        for seals in [true, false] {
            let mut store = Store::new(ReplicaId::new(1), Limits::default(), 1 << 24);
            for (number, value) in values().iter().enumerate() {
                let deadline = (number % 2 == 0).then_some(WALL + 5_000);
                store.write(WALL, 0, |w| w.replace(b"k", value, deadline)).unwrap();
                if seals {
                    store.seal();
                }
                assert_eq!(shown(store.at(WALL), b"k"), (value.clone(), deadline), "{number}");
            }
            store.write(WALL, 0, |w| w.replace(b"k", &Value::Set(Vec::new()), None)).unwrap();
            assert!(store.at(WALL).view(b"k").is_none(), "a set without members is none");
            assert!(store.fingerprints_are_exact());
        }
    }

    #[test]
    fn a_value_that_is_too_large_for_one_event_changes_nothing() {
        let limits = Limits { group_bytes_max: 100, ..Limits::default() };
        let mut store = Store::new(ReplicaId::new(1), limits, 1 << 24);
        store.write(WALL, 0, |w| w.set(b"k", b"v")).unwrap();
        store.seal();
        let before = store.fingerprint();
        for value in values().iter().filter(|it| it.bytes() > 100) {
            let refused = store.write(WALL, 0, |w| w.replace(b"k", value, None));
            assert_eq!(refused, Err(WriteError::GroupTooLarge { max: 100 }));
        }
        assert_eq!(store.fingerprint(), before);
    }

    #[test]
    fn an_end_that_has_passed_leaves_no_key() {
        let mut store = Store::new(ReplicaId::new(1), Limits::default(), 1 << 24);
        for value in values() {
            store.write(WALL, 0, |w| w.replace(b"k", &value, Some(WALL))).unwrap();
            assert!(store.at(WALL).view(b"k").is_none());
        }
    }
}
