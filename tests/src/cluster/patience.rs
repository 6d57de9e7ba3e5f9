//! Waiting for other processes.

use std::time::{Duration, Instant};

/// Nothing here takes so long unless it never ends.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks: what other processes do gives us nothing to wait on.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until there is what is looked for.
///
/// # Panics
/// If it takes longer than [`PATIENCE`]; says what was waited for and what was seen last.
pub fn until<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    until_within(PATIENCE, what, look)
}

/// As [`until`], for what takes its time: gigabytes, say.
///
/// # Panics
/// If it takes longer than this; says what was waited for and what was seen last.
pub fn until_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(begun.elapsed() < patience, "waited in vain until {what}: {seen}"),
        }
        std::thread::park_timeout(LOOK);
    }
}

/// As [`until`], for what may take any time as long as it moves: each time that something else is seen, patience begins
/// anew.
///
/// # Panics
/// If the same is seen for longer than [`PATIENCE`]; says what was waited for and what was seen.
pub fn until_still<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let (mut changed, mut last) = (Instant::now(), String::new());
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if seen == last => {
                assert!(changed.elapsed() < PATIENCE, "waited in vain until {what}: {seen}");
            }
            Err(seen) => (changed, last) = (Instant::now(), seen),
        }
        std::thread::park_timeout(LOOK);
    }
}
