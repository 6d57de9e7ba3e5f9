//! Reading a key as a whole.

use super::view::View;
use crate::store::kind::Class;
use crate::store::value::{Field, StreamEntry, Value};

impl View<'_> {
    /// All that the key holds, copied; `None` of ballots. O(n).
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        Some(match self.class() {
            Class::Text => Value::Text(self.text()?.into_owned()),
            Class::Set => Value::Set(self.iter().map(|(member, _)| member.into()).collect()),
            Class::Hash => {
                let may_end = self.has_attributes();
                let field = |(name, value): (&[u8], _)| Field {
                    name: name.into(),
                    value: Vec::from(value).into(),
                    deadline: if may_end { self.field_deadline(name) } else { None },
                };
                Value::Hash(self.iter().map(field).collect())
            }
            Class::Sorted => {
                let sorted = self.sorted();
                Value::Sorted(sorted.range(0..sorted.len()).map(|(member, score)| (member.into(), score)).collect())
            }
            Class::List => Value::List(self.ordered().range(0..usize::MAX).map(|(_, value)| value.into()).collect()),
            Class::Stream => {
                let stream = self.stream();
                let entries = stream.ranks(0..stream.len());
                let entries = entries.filter_map(|(id, fields)| StreamEntry::new(id, fields)).collect();
                let groups =
                    stream.groups().into_iter().filter_map(|name| stream.group(&name).map(|it| it.whole(name)));
                Value::Stream(entries, stream.mark(), groups.collect())
            }
            _ => return None,
        })
    }
}
