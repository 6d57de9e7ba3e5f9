//! A key written by ordinary commands, each well below what one command may write.

use std::collections::BTreeMap;

use super::json_groups::{Group, Pending};
use super::json_lines::{Data, Entries, Hash, Item};

/// Members, fields or elements in one command.
const NAMES_MAX: usize = 500;
/// Bytes of them, unless one has more.
const BYTES_MAX: usize = 4 << 20;

/// Takes a command's words.
type Take<'t> = &'t mut dyn FnMut(&[&[u8]]);

/// Hands the commands for one key to `take`.
pub(super) fn write(item: &Item, take: Take<'_>) {
    let key = item.key.as_slice();
    match &item.value {
        Data::Text(text) => take(&[b"SET", key, text]),
        Data::Set(members) => write_named(b"SADD", key, members, |member| [member], take),
        Data::Hash(hash) => write_hash(key, hash, take),
        // In the place of what is there: a list would have every element twice.
        Data::List(values) => {
            take(&[b"DEL", key]);
            write_named(b"RPUSH", key, values, |value| [value], take);
        }
        Data::Sorted(members) => write_named(b"ZADD", key, members, |(member, score)| [score, member], take),
        Data::Stream(stream) => {
            take(&[b"DEL", key]);
            write_stream(key, stream, take);
        }
    }
    if let Some(until) = item.until {
        take(&[b"PEXPIREAT", key, until.to_string().as_bytes()]);
    }
}

/// As many commands as it takes for what has names under a key, of which `words` says the words of each.
fn write_named<'a, T, const N: usize>(
    command: &'a [u8],
    key: &'a [u8],
    named: &'a [T],
    words: impl Fn(&'a T) -> [&'a [u8]; N],
    take: Take<'_>,
) {
    let (mut line, mut names, mut bytes) = (vec![command, key], 0, 0);
    for one in named {
        let words = words(one);
        let more: usize = words.iter().map(|word| word.len()).sum();
        if names == NAMES_MAX || names > 0 && bytes + more > BYTES_MAX {
            take(&line);
            line.truncate(2);
            (names, bytes) = (0, 0);
        }
        line.extend(words);
        (names, bytes) = (names + 1, bytes + more);
    }
    if names > 0 {
        take(&line);
    }
}

fn write_hash(key: &[u8], hash: &Hash, take: Take<'_>) {
    write_named(b"HSET", key, &hash.fields, |(name, value)| [name, value], take);
    let mut ends: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
    for (name, until) in &hash.until {
        ends.entry(*until).or_default().push(name);
    }
    for (until, names) in ends {
        let until = until.to_string();
        for chunk in names.chunks(NAMES_MAX) {
            let count = chunk.len().to_string();
            let head = [&b"HPEXPIREAT"[..], key, until.as_bytes(), b"FIELDS", count.as_bytes()];
            take(&[&head[..], chunk].concat());
        }
    }
}

fn write_stream(key: &[u8], stream: &Entries, take: Take<'_>) {
    for (id, fields) in &stream.entries {
        let pairs = fields.iter().flat_map(|(name, value)| [name.as_slice(), value.as_slice()]);
        let words: Vec<&[u8]> = [&b"XADD"[..], key, id.as_bytes()].into_iter().chain(pairs).collect();
        take(&words);
    }
    if stream.entries.is_empty() {
        // It is there without entries: one comes and goes.
        take(&[b"XADD", key, b"MAXLEN", b"0", stream.last.as_bytes(), b"", b""]);
    }
    let added = stream.added.to_string();
    let (last, deleted) = (stream.last.as_bytes(), stream.deleted.as_bytes());
    take(&[b"XSETID", key, last, b"ENTRIESADDED", added.as_bytes(), b"MAXDELETEDID", deleted]);
    stream.groups.iter().for_each(|group| write_group(key, group, take));
}

fn write_group(key: &[u8], group: &Group, take: Take<'_>) {
    let read = group.read.map_or_else(|| "-1".to_owned(), |read| read.to_string());
    let name = &*group.name;
    take(&[b"XGROUP", b"CREATE", key, name, group.last.as_bytes(), b"ENTRIESREAD", read.as_bytes()]);
    for consumer in &group.consumers {
        take(&[b"XGROUP", b"CREATECONSUMER", key, name, consumer]);
    }
    for Pending { id, consumer, at, count } in &group.pending {
        let (at, count) = (at.to_string(), count.to_string());
        let words = [&b"XCLAIM"[..], key, name, consumer, b"0", id.as_bytes(), b"TIME", at.as_bytes()];
        let options = [&b"RETRYCOUNT"[..], count.as_bytes(), b"FORCE", b"JUSTID"];
        take(&[&words[..], &options[..]].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_collection_becomes_commands_that_are_each_small() {
        let members: Vec<Vec<u8>> = (0..1_100_u32).map(|at| at.to_be_bytes().to_vec()).collect();
        let large: Vec<Vec<u8>> = (0..5).map(|_| vec![b'x'; 3 << 20]).collect();
        for (value, expected) in [(Data::Set(members), vec![500, 500, 100]), (Data::List(large), vec![1; 5])] {
            let (mut counts, item) = (Vec::new(), Item { key: b"k".to_vec(), value, until: None });
            write(&item, &mut |words| {
                if words[0] != b"DEL" {
                    counts.push(words.len() - 2);
                }
            });
            assert_eq!(counts, expected);
        }
    }
}
