//! Reading arguments: numbers, and words in any case.

use super::error::CommandError;

/// The integer an argument spells.
pub(super) fn int_arg(arg: &[u8]) -> Result<i64, CommandError> {
    crate::resp::integer(arg).ok_or(CommandError::NotInteger)
}

/// Whether an argument is this word, in any case.
pub(super) fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}
