//! The stream that `export` writes and `import` reads: a line of JSON for each key.
//!
//! The first line is `{"cahoots-export":1,...}`, the last `{"end":COUNT}`: a stream without it was cut off. Between
//! them each line is a key and its value, under the name of its type. A string is a JSON string if it is UTF-8, else
//! `{"hex":"..."}`. Documented in `docs/storage-format.md`.

use serde_json::{Map, Value, json};

use super::json_groups::{self, Group};

/// The version of the stream.
pub(super) const VERSION: u64 = 1;

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: Vec<u8>,
    pub(super) value: Data,
    /// When it ends, in milliseconds since 1970.
    pub(super) until: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Text(Vec<u8>),
    Set(Vec<Vec<u8>>),
    Hash(Hash),
    List(Vec<Vec<u8>>),
    /// Members with their scores as they are spelled: JSON has no infinities.
    Sorted(Pairs),
    Stream(Entries),
}

/// Names with their values.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hash {
    /// Fields with their values.
    pub(super) fields: Pairs,
    /// Fields that end by themselves, each with when, in milliseconds since 1970.
    pub(super) until: Vec<(Vec<u8>, u64)>,
}

/// A stream. Ids are as they are spelled: they are beyond the numbers of JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    /// Each with its id and its fields.
    pub(super) entries: Vec<(String, Pairs)>,
    /// The last id there was.
    pub(super) last: String,
    /// The highest that was deleted.
    pub(super) deleted: String,
    /// How many entries were ever added.
    pub(super) added: u64,
    /// The groups that read it.
    pub(super) groups: Vec<Group>,
}

/// A line as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Begin { version: u64, keys: Option<u64> },
    Item(Item),
    End { count: u64 },
}

pub(super) fn begin(cluster: Option<&str>, keys: u64) -> String {
    format!("{}\n", json!({ "cahoots-export": VERSION, "cluster": cluster, "keys": keys }))
}

pub(super) fn end(count: u64) -> String {
    format!("{}\n", json!({ "end": count }))
}

pub(super) fn write(item: &Item) -> String {
    let mut line = Map::new();
    line.insert("key".to_owned(), to_json(&item.key));
    let (name, value) = match &item.value {
        Data::Text(text) => ("text", to_json(text)),
        Data::Set(members) => ("set", members.iter().map(|it| to_json(it)).collect()),
        Data::Hash(hash) => ("hash", pairs_to_json(&hash.fields)),
        Data::List(values) => ("list", values.iter().map(|it| to_json(it)).collect()),
        Data::Sorted(pairs) => ("zset", pairs_to_json(pairs)),
        Data::Stream(Entries { entries, last, deleted, added, groups }) => {
            let entries: Value = entries.iter().map(|(id, fields)| json!([id, pairs_to_json(fields)])).collect();
            let mut stream = json!({ "entries": entries, "last": last, "deleted": deleted, "added": added });
            if !groups.is_empty() {
                stream["groups"] = groups.iter().map(json_groups::write).collect();
            }
            ("stream", stream)
        }
    };
    line.insert(name.to_owned(), value);
    if let Data::Hash(Hash { until, .. }) = &item.value
        && !until.is_empty()
    {
        let until = until.iter().map(|(name, until)| json!([to_json(name), until])).collect();
        line.insert("fields_until".to_owned(), until);
    }
    if let Some(until) = item.until {
        line.insert("until".to_owned(), until.into());
    }
    format!("{}\n", Value::Object(line))
}

pub(super) fn read(line: &str) -> Result<Line, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if let Some(version) = value["cahoots-export"].as_u64() {
        return Ok(Line::Begin { version, keys: value["keys"].as_u64() });
    }
    if let Some(count) = value["end"].as_u64() {
        return Ok(Line::End { count });
    }
    let object = value.as_object().ok_or("no object")?;
    let key = from_json(object.get("key").ok_or("no key")?)?;
    let until = match object.get("until") {
        None => None,
        Some(until) => Some(until.as_u64().ok_or("no time")?),
    };
    let list = |value: &Value| value.as_array().cloned().ok_or("no list");
    let value = if let Some(text) = object.get("text") {
        Data::Text(from_json(text)?)
    } else if let Some(members) = object.get("set") {
        Data::Set(list(members)?.iter().map(from_json).collect::<Result<_, _>>()?)
    } else if let Some(fields) = object.get("hash") {
        Data::Hash(Hash {
            fields: list(fields)?.iter().map(pair_of).collect::<Result<_, _>>()?,
            until: match object.get("fields_until") {
                None => Vec::new(),
                Some(until) => list(until)?.iter().map(until_of).collect::<Result<_, _>>()?,
            },
        })
    } else if let Some(values) = object.get("list") {
        Data::List(list(values)?.iter().map(from_json).collect::<Result<_, _>>()?)
    } else if let Some(members) = object.get("zset") {
        Data::Sorted(list(members)?.iter().map(pair_of).collect::<Result<_, _>>()?)
    } else if let Some(stream) = object.get("stream") {
        let id = |value: &Value| value.as_str().map(str::to_owned).ok_or("no id");
        let entry =
            |entry: &Value| Ok((id(&entry[0])?, list(&entry[1])?.iter().map(pair_of).collect::<Result<_, String>>()?));
        Data::Stream(Entries {
            entries: list(&stream["entries"])?.iter().map(entry).collect::<Result<_, String>>()?,
            last: id(&stream["last"])?,
            deleted: id(&stream["deleted"])?,
            added: stream["added"].as_u64().ok_or("no number of entries")?,
            groups: match stream.get("groups") {
                None => Vec::new(),
                Some(groups) => list(groups)?.iter().map(json_groups::read).collect::<Result<_, _>>()?,
            },
        })
    } else {
        let names: Vec<&str> =
            object.keys().map(String::as_str).filter(|name| !["key", "until", "fields_until"].contains(name)).collect();
        return Err(format!("a type this version does not know: {}", names.join(", ")));
    };
    Ok(Line::Item(Item { key, value, until }))
}

fn pairs_to_json(pairs: &[(Vec<u8>, Vec<u8>)]) -> Value {
    pairs.iter().map(|(name, value)| json!([to_json(name), to_json(value)])).collect()
}

fn pair_of(pair: &Value) -> Result<(Vec<u8>, Vec<u8>), String> {
    match pair.as_array().map(Vec::as_slice) {
        Some([name, value]) => Ok((from_json(name)?, from_json(value)?)),
        _ => Err("a field is a pair, and a member with its score".to_owned()),
    }
}

fn until_of(pair: &Value) -> Result<(Vec<u8>, u64), String> {
    match pair.as_array().map(Vec::as_slice) {
        Some([name, until]) => Ok((from_json(name)?, until.as_u64().ok_or("no time")?)),
        _ => Err("a field that ends is a pair: its name, and when".to_owned()),
    }
}

pub(super) fn to_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

pub(super) fn from_json(value: &Value) -> Result<Vec<u8>, String> {
    if let Some(text) = value.as_str() {
        return Ok(text.as_bytes().to_vec());
    }
    let hex = value["hex"].as_str().filter(|hex| hex.len() % 2 == 0 && hex.is_ascii()).ok_or("neither text nor hex")?;
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).map_err(|error| error.to_string());
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::json_groups::Pending;

    fn group(read: Option<u64>) -> Group {
        let pending = Pending { id: "5-0".to_owned(), consumer: vec![0x80], at: 9, count: 2 };
        Group { name: vec![], last: "5-0".to_owned(), read, consumers: vec![vec![0x80]], pending: vec![pending] }
    }

    #[test]
    fn every_line_is_read_as_it_was_written() {
        let items = [
            Item { key: b"plain".to_vec(), value: Data::Text(b"a \"quoted\" line\n".to_vec()), until: None },
            Item { key: vec![0xFF, 0], value: Data::Set(vec![b"m".to_vec(), vec![0xC0]]), until: Some(1 << 42) },
            Item {
                key: b"l".to_vec(),
                value: Data::List(vec![b"x".to_vec(), vec![0xff], b"x".to_vec()]),
                until: Some(7),
            },
            Item { key: b"z".to_vec(), value: Data::Sorted(vec![(b"m".to_vec(), b"-inf".to_vec())]), until: None },
            Item {
                key: b"h".to_vec(),
                value: Data::Hash(Hash {
                    fields: vec![(b"f".to_vec(), vec![]), (vec![0x80], b"v".to_vec())],
                    until: vec![],
                }),
                until: None,
            },
            Item {
                key: b"h".to_vec(),
                value: Data::Hash(Hash {
                    fields: vec![(b"f".to_vec(), vec![]), (vec![0x80], b"v".to_vec())],
                    until: vec![(vec![0x80], 1 << 45), (b"f".to_vec(), 0)],
                }),
                until: Some(9),
            },
            Item {
                key: b"x".to_vec(),
                value: Data::Stream(Entries {
                    entries: vec![("5-0".to_owned(), vec![(b"f".to_vec(), vec![0x80]), (b"f".to_vec(), vec![])])],
                    last: "18446744073709551615-7".to_owned(),
                    deleted: "0-0".to_owned(),
                    added: 1 << 60,
                    groups: vec![],
                }),
                until: None,
            },
            Item {
                key: b"x".to_vec(),
                value: Data::Stream(Entries {
                    last: "5-0".to_owned(),
                    deleted: "0-0".to_owned(),
                    groups: [None, Some(7)].map(group).into(),
                    ..Entries::default()
                }),
                until: None,
            },
        ];
        for item in items {
            let line = write(&item);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(read(&line), Ok(Line::Item(item)));
        }
        let hash = Hash { fields: vec![(b"f".to_vec(), b"v".to_vec())], until: vec![(b"f".to_vec(), 7)] };
        let item = Item { key: b"h".to_vec(), value: Data::Hash(hash), until: None };
        let line: Value = serde_json::from_str(&write(&item)).expect("a line of JSON");
        assert_eq!(line, json!({ "key": "h", "hash": [["f", "v"]], "fields_until": [["f", 7]] }));
        assert_eq!(read(&begin(Some("c"), 9)), Ok(Line::Begin { version: 1, keys: Some(9) }));
        assert_eq!(read(&end(3)), Ok(Line::End { count: 3 }));
    }

    #[test]
    fn a_line_that_is_none_is_told() {
        for line in [
            "",
            "[]",
            "{}",
            r#"{"key":"a"}"#,
            r#"{"key":"a","future":[]}"#,
            r#"{"key":"a","text":"","until":"now"}"#,
            r#"{"key":"a","hash":[["f","v"]],"fields_until":{"f":1}}"#,
            r#"{"key":"a","hash":[["f","v"]],"fields_until":[["f"]]}"#,
            r#"{"key":"a","hash":[["f","v"]],"fields_until":[["f","1"]]}"#,
            r#"{"key":"a","hash":[["f","v"]],"fields_until":[["f",-1]]}"#,
            r#"{"key":"a","fields_until":[["f",1]]}"#,
            r#"{"key":"a","stream":[]}"#,
            r#"{"key":"a","stream":{"entries":[["5-0"]],"last":"5-0","deleted":"0-0","added":1}}"#,
            r#"{"key":"a","stream":{"entries":[],"last":"5-0","deleted":"0-0","added":1,"groups":[{"name":"g"}]}}"#,
            r#"{"key":{"hex":"0"},"text":""}"#,
        ] {
            assert!(read(line).is_err(), "{line}");
        }
        assert!(read(r#"{"key":"a","future":[]}"#).unwrap_err().contains("future"));
    }
}
