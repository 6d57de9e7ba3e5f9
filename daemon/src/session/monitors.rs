//! Clients that are shown every command.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Client;

/// Clients that are shown every command. One that does not take what it is shown is cut, as any that is pushed to.
#[derive(Debug, Default)]
pub struct Monitors {
    on: AtomicBool,
    clients: Mutex<BTreeMap<u64, Arc<Client>>>,
}

impl Monitors {
    fn clients(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are some.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// One begins.
    pub fn begin(&self, client: &Arc<Client>) {
        self.clients().insert(client.id, Arc::clone(client));
        self.on.store(true, Relaxed);
    }

    /// One ends, if it had begun.
    pub fn end(&self, id: u64) {
        let mut clients = self.clients();
        clients.remove(&id);
        self.on.store(!clients.is_empty(), Relaxed);
    }

    /// Shows a command of a client in its database, at a time in microseconds since 1970.
    pub fn show<'a>(&self, micros: u128, database: u8, address: &str, args: impl Iterator<Item = &'a [u8]>) {
        let transport = if address.ends_with(":0") { "unix:" } else { "" };
        let address = address.strip_suffix(":0").unwrap_or(address);
        let mut line =
            format!("+{}.{:06} [{database} {transport}{address}]", micros / 1_000_000, micros % 1_000_000).into_bytes();
        for arg in args {
            line.extend_from_slice(b" \"");
            arg.iter().for_each(|byte| escape(*byte, &mut line));
            line.push(b'"');
        }
        line.extend_from_slice(b"\r\n");
        self.clients().values().for_each(|client| _ = client.inbox.push(&line));
    }
}

/// As Redis writes bytes for people.
fn escape(byte: u8, line: &mut Vec<u8>) {
    match byte {
        b'\\' | b'"' => line.extend([b'\\', byte]),
        b'\n' => line.extend_from_slice(b"\\n"),
        b'\r' => line.extend_from_slice(b"\\r"),
        b'\t' => line.extend_from_slice(b"\\t"),
        7 => line.extend_from_slice(b"\\a"),
        8 => line.extend_from_slice(b"\\b"),
        b' '..=b'~' => line.push(byte),
        _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
    }
}
