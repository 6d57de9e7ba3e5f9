//! Commands about the daemon itself.

pub(super) mod command_info;
pub(super) mod config;
pub(super) mod info;
pub(super) mod persistence;
pub(super) mod time;
