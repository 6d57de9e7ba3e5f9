//! Clients are files to the system, which allows a process so many.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// File descriptors beside those of clients: sockets, timers, the log, some room.
const OTHER_FILES: u64 = 32;

/// How many clients there are files for, after asking for as many as allowed; at most `wanted`.
#[must_use]
pub fn clients_with_files(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = (wanted as u64).saturating_add(OTHER_FILES);
    let Some(current) = limit.current.filter(|&current| current < needed) else { return wanted };
    let raised = limit.maximum.map_or(needed, |maximum| maximum.min(needed)).max(current);
    let granted = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }) {
        Ok(()) => raised,
        Err(_) => current,
    };
    let clients = usize::try_from(granted.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX).clamp(1, wanted);
    if clients < wanted {
        warn!(
            clients,
            wanted,
            files = granted,
            "fewer clients than configured: the limit on open files allows no more"
        );
    }
    clients
}
