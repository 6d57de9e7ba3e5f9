//! What DEBUG may change of a daemon, and who may call it.

use std::sync::atomic::AtomicBool;

use crate::config::DebugCommand;

/// What DEBUG may change.
#[derive(Debug, Default)]
pub struct Debugging {
    /// Who may call it.
    pub allowed: DebugCommand,
    /// Whether keys that expire stay until they are removed by others.
    pub keeps_expired: AtomicBool,
    /// Whether scripts may call what would block.
    pub blocks_in_scripts: AtomicBool,
}
