//! Reading arguments: numbers, and words in any case.

use std::time::Duration;

use super::error::CommandError;

/// The integer an argument spells.
pub(super) fn int_arg(arg: &[u8]) -> Result<i64, CommandError> {
    crate::resp::integer(arg).ok_or(CommandError::NotInteger)
}

/// How long a client waits at most, in milliseconds; 0 is for ever.
pub(super) fn timeout_arg(arg: &[u8]) -> Result<Option<Duration>, CommandError> {
    let timeout =
        crate::resp::integer(arg).ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| CommandError::text("ERR timeout is negative"))?;
    Ok((timeout > 0).then(|| Duration::from_millis(timeout)))
}

/// Whether an argument is this word, in any case.
pub(super) fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}
