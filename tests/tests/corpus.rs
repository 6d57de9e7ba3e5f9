//! The corpora of the fuzz targets, through the same bodies: what was found once stays mended. The daemon's own tests
//! replay that of `resp`.

use std::path::PathBuf;

fn replay(target: &str, body: fn(&[u8])) {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut replayed = 0;
    for file in files {
        let path = file.expect("a readable directory").path();
        println!("{}", path.display()); // shown when the body panics
        body(&std::fs::read(&path).expect("a readable file"));
        replayed += 1;
    }
    assert!(replayed > 4, "{}: hardly a corpus", corpus.display());
}

#[test]
fn datagrams_of_the_corpus_do_no_harm() {
    replay("datagram", cahoots_gossip::fuzz::datagrams);
}

#[test]
fn events_of_the_corpus_do_no_harm() {
    replay("event", cahoots_gossip::fuzz::event);
}

#[test]
fn transfers_of_the_corpus_do_no_harm() {
    replay("transfer", cahoots_gossip::fuzz::transfer);
}

#[test]
fn sketches_of_the_corpus_do_no_harm() {
    replay("sketch", cahoots_gossip::fuzz::sketch);
}

#[test]
fn requests_and_answers_of_the_corpus_do_no_harm() {
    replay("stream", cahoots_gossip::fuzz::stream);
}

#[test]
fn encoded_types_of_the_corpus_do_no_harm() {
    replay("crdt", cahoots_crdt::exercise::decoding);
}
