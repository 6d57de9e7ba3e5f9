//! What the daemon holds and the source does not, after the source was copied whole: it is removed.
//!
//! Of each key that the source sent sixteen bytes are kept, a hash; two keys that fall together would leave one that should go.

use std::io;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::super::resp_client::{Reply, RespClient};
use super::keyspace;
use super::target::TargetError;

/// Types of values that no Redis has: they are the daemon's own.
const OWN_TYPES: [&str; 2] = ["vote", "presence"];

/// The keys of a source.
#[derive(Default)]
pub(super) struct Seen {
    hashes: Vec<u128>,
}

impl Seen {
    fn hash(database: u64, name: &[u8]) -> u128 {
        xxh3_128_with_seed(name, database)
    }

    pub(super) fn add(&mut self, database: u64, name: &[u8]) {
        self.hashes.push(Self::hash(database, name));
    }

    /// Removes from the daemon what is not among these; how many keys that were.
    pub(super) fn remove_others(mut self, client: &mut RespClient) -> Result<u64, TargetError> {
        self.hashes.sort_unstable();
        keyspace::each_page(client, |client, database, keys| {
            let mut removed = 0;
            for key in keys {
                if self.hashes.binary_search(&Self::hash(database, key)).is_err() {
                    removed += u64::from(remove(client, key)?);
                }
            }
            Ok(removed)
        })
    }
}

fn remove(client: &mut RespClient, key: &[u8]) -> io::Result<bool> {
    match client.call(&[b"TYPE", key])? {
        Reply::Simple(own) if OWN_TYPES.contains(&&*own) => Ok(false),
        _ => Ok(client.call(&[b"UNLINK", key])? == Reply::Integer(1)),
    }
}
