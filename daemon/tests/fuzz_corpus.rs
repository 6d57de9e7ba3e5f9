//! The corpora of the fuzz targets `resp`, `rdb`, `rdb-file` and `acl`, replayed through the same bodies.

use std::path::Path;

use proptest::prelude::*;

/// Hands every file of a corpus to its body.
fn replay(corpus: &str, least: usize, body: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(corpus);
    let files = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut replayed = 0;
    for file in files {
        let path = file.expect("an entry").path();
        body(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        replayed += 1;
    }
    assert!(replayed >= least, "only {replayed} inputs");
}

#[test]
fn the_corpus_of_resp_holds() {
    replay("resp", 20, cahoots::fuzz::resp);
}

#[test]
fn the_corpus_of_rdb_holds() {
    replay("rdb", 15, cahoots::fuzz::rdb);
}

#[test]
fn the_corpus_of_rdb_files_holds() {
    replay("rdb-file", 14, cahoots::fuzz::rdb_file);
}

#[test]
fn the_corpus_of_acl_holds() {
    replay("acl", 10, cahoots::fuzz::acl);
}

/// Frames of commands that exist, with arguments that mean something to one or another of them.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(
        "ping echo hello select quit reset client command config info time dbsize flushall flushdb type exists del \
         unlink keys scan wait get set mget mset setnx getset getdel append strlen incr incrby decr decrby sadd srem \
         sismember smismember smembers scard sscan hset hmset hget hmget hgetall hdel hexists hlen hkeys hvals hincrby \
         hscan cahoots"
            .split_whitespace()
            .collect::<Vec<_>>(),
    );
    let word = prop::sample::select(
        "k l s h 0 1 -1 3 9223372036854775807 -9223372036854775808 18446744073709551615 nx xx get match count type ex \
         keepttl * [a- \\ id setname getname setinfo lib-name reply off on skip no-evict docs status members all string"
            .split_whitespace()
            .collect::<Vec<_>>(),
    );
    let arg =
        prop_oneof![6 => word.prop_map(|word| word.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..6)];
    let frame = (name, prop::collection::vec(arg, 0..6)).prop_map(|(name, args)| {
        let mut frame = format!("*{}\r\n${}\r\n{name}\r\n", args.len() + 1, name.len()).into_bytes();
        for arg in args {
            frame.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            frame.extend_from_slice(&arg);
            frame.extend_from_slice(b"\r\n");
        }
        frame
    });
    (any::<u8>(), prop::collection::vec(frame, 0..40)).prop_map(|(cut, frames)| {
        let mut data = vec![cut];
        data.extend(frames.concat());
        data
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_commands_cut_anywhere_do_the_same(data in streams()) {
        cahoots::fuzz::resp(&data);
    }
}
