//! How far a copy is: figures that all its threads count, a line for people, and what went wrong by name.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Between two lines on a terminal, where each takes the place of the one before, and elsewhere.
const ON_TERMINAL: Duration = Duration::from_millis(500);
const ELSEWHERE: Duration = Duration::from_secs(10);
/// Refusals that are told by name. The others are counted.
const TOLD_MAX: u64 = 1_000;

/// What has been done.
#[derive(Debug)]
pub(super) struct Progress {
    /// Keys that were copied.
    pub(super) keys: AtomicU64,
    /// How many there are about; 0 if that is not known.
    pub(super) total: AtomicU64,
    /// Bytes of their values, and of commands.
    pub(super) bytes: AtomicU64,
    /// Commands that were carried out after the copy.
    pub(super) commands: AtomicU64,
    /// Keys and commands that the target refused.
    refused: AtomicU64,
    /// Keys of types that are not copied.
    pub(super) left_out: AtomicU64,
    line: Mutex<Line>,
}

/// The line that was written last.
#[derive(Debug)]
struct Line {
    is_terminal: bool,
    told: Instant,
    is_open: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self {
            keys: AtomicU64::new(0),
            total: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            line: Mutex::new(Line { is_terminal, told: Instant::now(), is_open: false }),
        }
    }

    /// A sentence for people, on a line of its own.
    pub(super) fn say(&self, text: &str) {
        let mut line = self.line.lock().expect("nothing panics while it is held");
        if std::mem::take(&mut line.is_open) {
            eprint!("\r\x1b[K");
        }
        eprintln!("{text}");
    }

    /// Counts something that the target refused, and tells of it.
    pub(super) fn refuse(&self, what: &str, why: &str) {
        let before = self.refused.fetch_add(1, Relaxed);
        if before < TOLD_MAX {
            self.say(&format!("refused: {what}: {why}"));
        } else if before == TOLD_MAX {
            self.say("more refusals are counted, and not told");
        }
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Shows how far it is, if it is time to.
    pub(super) fn show(&self, lag: Option<&str>) {
        let mut line = self.line.lock().expect("nothing panics while it is held");
        if line.told.elapsed() < if line.is_terminal { ON_TERMINAL } else { ELSEWHERE } {
            return;
        }
        line.told = Instant::now();
        let lag = lag.map_or_else(String::new, |lag| format!(", lag {lag}"));
        if line.is_terminal {
            eprint!("\r\x1b[K{self}{lag}");
            line.is_open = true;
            // Who does not look is no failure of ours.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{self}{lag}");
        }
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { keys, total, bytes, commands, refused, left_out, .. } = self;
        let [keys, total, bytes, commands, refused, left_out] =
            [keys, total, bytes, commands, refused, left_out].map(|figure| figure.load(Relaxed));
        write!(f, "{keys}")?;
        if total > 0 {
            write!(f, " of about {total}")?;
        }
        write!(f, " keys, {}", Bytes(bytes))?;
        for (count, what) in [(commands, "commands"), (refused, "refused"), (left_out, "left out")] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// A number of bytes for people.
pub(super) struct Bytes(pub(super) u64);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes @ ..10_000 => write!(f, "{bytes} bytes"),
            bytes @ ..10_000_000 => write!(f, "{} kB", bytes / 1_000),
            bytes @ ..10_000_000_000 => write!(f, "{} MB", bytes / 1_000_000),
            bytes => write!(f, "{} GB", bytes / 1_000_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_what_there_is_to_say() {
        let progress = Progress::new();
        assert_eq!(progress.to_string(), "0 keys, 0 bytes");
        progress.keys.store(5, Relaxed);
        progress.total.store(12, Relaxed);
        progress.bytes.store(9_999_999, Relaxed);
        progress.commands.store(7, Relaxed);
        progress.refuse("key", "why");
        assert_eq!(progress.to_string(), "5 of about 12 keys, 9999 kB, 7 commands, 1 refused");
    }
}
