//! `cahoots keygen`.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use rustix::rand::{GetRandomFlags, getrandom};

use super::{CliResult, print};
use crate::config::write_key;

pub(super) fn keygen(out: Option<&Path>) -> CliResult {
    let mut key = [0u8; 32];
    // The kernel fills up to 256 bytes at once or fails.
    if getrandom(&mut key, GetRandomFlags::empty())? != key.len() {
        return Err("the kernel gave no randomness".into());
    }
    let mut hex = String::with_capacity(64);
    for byte in key {
        write!(hex, "{byte:02x}")?;
    }
    match out {
        Some(path) => write_key(path, &hex)?,
        None => print(&format!("{hex}\n")),
    }
    Ok(ExitCode::SUCCESS)
}
