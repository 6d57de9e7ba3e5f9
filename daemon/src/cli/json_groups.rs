//! The consumer groups of a stream in the stream that `export` writes and `import` reads.

use serde_json::{Value, json};

use super::json_lines::{from_json, to_json};

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: Vec<u8>,
    /// Entries up to this one were handed out.
    pub(super) last: String,
    /// How many there were up to there, if that is known.
    pub(super) read: Option<u64>,
    /// The names of its consumers.
    pub(super) consumers: Vec<Vec<u8>>,
    pub(super) pending: Vec<Pending>,
}

/// An entry that was handed out and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) id: String,
    pub(super) consumer: Vec<u8>,
    /// When, in milliseconds since 1970.
    pub(super) at: u64,
    /// How often.
    pub(super) count: u64,
}

pub(super) fn write(group: &Group) -> Value {
    let consumers: Value = group.consumers.iter().map(|name| to_json(name)).collect();
    let pending: Value =
        group.pending.iter().map(|it| json!([it.id, to_json(&it.consumer), it.at, it.count])).collect();
    json!({
        "name": to_json(&group.name), "last": group.last, "read": group.read, "consumers": consumers, "pending": pending,
    })
}

pub(super) fn read(group: &Value) -> Result<Group, String> {
    let list = |name: &str| group[name].as_array().ok_or_else(|| format!("a group without {name}"));
    let pending = |it: &Value| {
        Ok(Pending {
            id: it[0].as_str().ok_or("no id")?.to_owned(),
            consumer: from_json(&it[1])?,
            at: it[2].as_u64().ok_or("no time")?,
            count: it[3].as_u64().ok_or("no count")?,
        })
    };
    Ok(Group {
        name: from_json(&group["name"])?,
        last: group["last"].as_str().ok_or("no id")?.to_owned(),
        read: match &group["read"] {
            Value::Null => None,
            read => Some(read.as_u64().ok_or("no number of entries")?),
        },
        consumers: list("consumers")?.iter().map(from_json).collect::<Result<_, _>>()?,
        pending: list("pending")?.iter().map(pending).collect::<Result<_, String>>()?,
    })
}
