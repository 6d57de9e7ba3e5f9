//! RDB files that Redis 7.0.15 has written, and some that were made by hand.

use std::path::Path;

use super::*;
use cahoots_gossip::store::Value;

const KEPT_MAX: usize = 1 << 20;

/// A file of the corpus, with its head.
fn file(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/rdb-file").join(name);
    [b"REDIS0010".to_vec(), std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))].concat()
}

fn entries(file: &[u8]) -> Result<Vec<Entry>, FileError> {
    let mut file = RdbFile::begin(file, KEPT_MAX)?;
    std::iter::from_fn(|| file.next_entry().transpose()).collect()
}

fn keys(name: &str) -> Vec<FileKey> {
    let entries = entries(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let key = |entry| if let Entry::Key(key) = entry { Some(key) } else { None };
    let mut keys: Vec<FileKey> = entries.into_iter().filter_map(key).collect();
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    keys
}

fn value(key: &FileKey) -> Result<Value, RdbError> {
    let Content::Payload(payload) = &key.content else { panic!("{key:?} has no payload") };
    restore(payload, KEPT_MAX)
}

fn text(text: &str) -> Result<Value, RdbError> {
    Ok(Value::Text(text.as_bytes().to_vec()))
}

#[test]
fn keys_come_with_their_databases_deadlines_and_values() {
    let keys = keys("databases-lfu");
    let told: Vec<_> = keys.iter().map(|key| (&*key.name, key.database, key.deadline)).collect();
    let names: [(&[u8], u64, Option<u64>); 4] =
        [(b"k", 0, None), (b"long", 0, None), (b"n", 0, Some(4_102_444_800_123)), (b"other", 3, None)];
    assert_eq!(told, names);
    let values = keys.iter().map(value).collect::<Vec<_>>();
    assert_eq!(values, [text("v"), text(&"a".repeat(300)), text("12345"), text("1")]);
}

#[test]
fn deadlines_in_seconds_and_fields_with_ends_are_read() {
    let key = &keys("seconds")[0];
    assert_eq!((key.database, key.deadline), (2, Some(0x7F00_0000 * 1_000)));
    for file in ["hash-ends-listpack", "hash-ends-valkey"] {
        let Ok(Value::Hash(fields)) = value(&keys(file)[0]) else { panic!("it is a hash") };
        let ends: Vec<_> = fields.iter().map(|field| (&*field.name, field.deadline)).collect();
        assert_eq!(ends, [(&b"f"[..], Some(4_102_444_800_123)), (b"g", None)], "{file}");
    }
}

#[test]
fn what_is_no_value_here_is_told_by_name_and_read_past() {
    let module = keys("module");
    assert_eq!(module[0].name, b"k");
    assert_eq!(module[1].content, Content::Module("AAAAAAAAA".to_owned()));
    let functions = entries(&file("functions")).expect("it is whole");
    let source = functions.iter().find_map(|entry| if let Entry::Function(it) = entry { Some(it) } else { None });
    assert!(source.expect("a library").starts_with(b"#!lua name=lib"));
    assert!(functions.iter().any(|entry| matches!(entry, Entry::Key(key) if key.name == b"k")));
}

#[test]
fn a_value_larger_than_what_is_kept_is_told_of_and_what_follows_is_read() {
    let large = file("databases-lfu");
    let mut file = RdbFile::begin(&large[..], 20).expect("a head");
    let mut contents = std::iter::from_fn(|| file.next_entry().transpose())
        .filter_map(|entry| if let Ok(Entry::Key(key)) = entry { Some((key.name, key.content)) } else { None })
        .collect::<Vec<_>>();
    contents.sort_by(|a, b| a.0.cmp(&b.0));
    // The long one is compressed.
    assert!(contents.iter().all(|(_, content)| matches!(content, Content::Payload(_))), "{contents:?}");
    let plain =
        [b"REDIS0010\x00\x01a\x28".to_vec(), vec![b'x'; 40], b"\x00\x01b\x01y\xFF".to_vec(), vec![0; 8]].concat();
    let mut file = RdbFile::begin(&plain[..], 41).expect("a head");
    let Ok(Some(Entry::Key(first))) = file.next_entry() else { panic!("a key") };
    assert_eq!(first.content, Content::TooLarge(42));
    let Ok(Some(Entry::Key(second))) = file.next_entry() else { panic!("a key") };
    assert_eq!(value(&second), text("y"));
    assert!(matches!(file.next_entry(), Ok(None)));
    let mut file = RdbFile::begin(&plain[..], 42).expect("a head");
    assert!(matches!(file.next_entry(), Ok(Some(Entry::Key(FileKey { content: Content::Payload(_), .. })))));
}

#[test]
fn a_wrong_sum_a_cut_file_and_an_unknown_type_are_refused_each_in_its_words() {
    let mut summed = file("small");
    let body = summed.len() - 8;
    let sum = crc64::crc64(&summed[..body]);
    summed[body..].copy_from_slice(&sum.to_le_bytes());
    assert!(entries(&summed).is_ok());
    summed[body] ^= 1;
    assert!(matches!(entries(&summed), Err(FileError::Checksum)));
    for end in 0..body {
        assert!(matches!(entries(&summed[..end]), Err(FileError::Io { .. })), "cut at {end}");
    }
    assert!(matches!(entries(&file("unknown-type")), Err(FileError::UnknownType { form: 0x1E, .. })));
    assert!(matches!(entries(b"REDIS0099x"), Err(FileError::Version(99))));
    assert!(matches!(entries(b"RADIS0010x"), Err(FileError::NotRdb)));
    assert!(entries(b"VALKEY080\xFF\0\0\0\0\0\0\0\0").is_ok());
}
