//! What lies in a data directory, read apart from the code that wrote it: by docs/storage-format.md alone.

use std::path::Path;

use cahoots_crdt::{Dot, ReplicaId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::listener::Listener;

/// Lets `listener` hear every event, transfer and image in the log of `directory`, which nobody writes to. A frame that
/// is not whole ends its segment.
///
/// # Panics
/// If the directory cannot be read, or what is whole is not as documented.
pub fn hear(directory: &Path, listener: &mut Listener) {
    for entry in std::fs::read_dir(directory).expect("a data directory") {
        let path = entry.expect("a readable directory").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log-")) {
            segment(&std::fs::read(&path).expect("a readable segment"), listener);
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn length(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")).try_into().expect("it fits")
}

fn segment(bytes: &[u8], listener: &mut Listener) {
    let Some((header, mut rest)) = bytes.split_at_checked(48) else { return };
    assert!(header.starts_with(b"CAHOOTSL"));
    let salt = number(header, 32);
    while rest.len() >= 32 && rest.starts_with(&[0xCA, 0x07]) {
        let Some(payload) = rest.get(32..32 + length(rest, 4)) else { return };
        if number(rest, 24) != xxh3_64_with_seed(payload, xxh3_64_with_seed(&rest[..24], salt)) {
            return;
        }
        match rest[2] {
            1 => records(payload, listener),
            2 => {
                listener.image(&payload[2..]);
            }
            kind => panic!("a frame of kind {kind}"),
        }
        rest = &rest[32 + payload.len()..];
    }
}

fn records(mut payload: &[u8], listener: &mut Listener) {
    while let Some((kind, rest)) = payload.split_first() {
        let dot = (*kind == 1).then(|| Dot::new(ReplicaId::new(number(rest, 0)), number(rest, 8)));
        let rest = if dot.is_some() { &rest[16..] } else { rest };
        let (body, next) = rest[4..].split_at(length(rest, 0));
        match dot {
            Some(dot) => listener.event(dot, None, body),
            None => listener.transfer(body),
        }
        payload = next;
    }
}
