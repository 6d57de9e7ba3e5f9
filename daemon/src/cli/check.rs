//! `cahoots check`: whether a data directory is sound.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::{CliResult, EXIT_STORAGE, print};
use crate::storage::{self, Progress};
use cahoots_gossip::Limits;

pub(super) fn check(directory: &Path, json: bool) -> CliResult {
    let mut contents = match storage::read(directory, Limits::default(), &Progress::default()) {
        Ok(contents) => contents,
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            if json {
                print(&format!("{:#}\n", json!({ "sound": false, "error": format!("{error}{cause}") })));
            }
            eprintln!("cahoots: {error}{cause}");
            return Ok(ExitCode::from(EXIT_STORAGE));
        }
    };
    let exact = contents.store.fingerprints_are_exact();
    if json {
        let report = json!({
            "sound": exact,
            "cluster": contents.cluster,
            "id": contents.id.map(|id| id.to_string()),
            "stopped_cleanly": contents.stopped_cleanly,
            "backup": contents.is_backup,
            "segments": contents.segments,
            "log_bytes": contents.log_bytes,
            "dropped_bytes": contents.dropped_bytes,
            "position": contents.position,
            "keys": contents.store.len(),
            "fingerprint": format!("{:032x}", contents.store.fingerprint().get()),
        });
        print(&format!("{report:#}\n"));
    } else {
        let verdict = if exact { "sound" } else { "NOT SOUND, its fingerprints are not those of its data" };
        let stop = match (contents.is_backup, contents.stopped_cleanly) {
            (true, _) => "a backup",
            (false, true) => "stopped with everything in it",
            (false, false) => "not stopped cleanly",
        };
        let id = contents.id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        let cluster = contents.cluster.as_deref().unwrap_or("unknown");
        print(&format!(
            "{verdict}: {} keys, {} segments, {} bytes, last position {}\n\
             cluster {cluster}, last used by replica {id}, {stop}\n",
            contents.store.len(),
            contents.segments,
            contents.log_bytes,
            contents.position,
        ));
        if contents.dropped_bytes > 0 {
            print(&format!("{} bytes at the end were half-written and count for nothing\n", contents.dropped_bytes));
        }
    }
    Ok(if exact { ExitCode::SUCCESS } else { ExitCode::from(EXIT_STORAGE) })
}
