//! Which seeds a suite runs: other ones for every commit, and the same ones whenever one commit is tested again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first seed for this state of the sources; the others follow it. Says also what it was derived from.
#[must_use]
pub fn first_seed() -> (u64, String) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let commit = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(&root).output();
    let commit = commit.ok().filter(|output| output.status.success());
    let (from, hash) = match commit.and_then(|output| String::from_utf8(output.stdout).ok()) {
        Some(commit) => (format!("commit {}", commit.trim()), hash_of(&[commit.trim().into()])),
        None => ("the sources of the engine".to_owned(), hash_of(&sources(&root.join("../gossip/src")))),
    };
    (hash % 1_000_000 * 1_000_000, from) // readable, and far apart
}

fn hash_of(parts: &[Vec<u8>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// The contents of all files under a directory, in the order of their names.
fn sources(directory: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path: &PathBuf| if path.is_dir() { sources(path) } else { std::fs::read(path).into_iter().collect() };
    paths.iter().flat_map(read).collect()
}
