//! Times to live as commands give them.

use super::context::Context;
use super::error::CommandError;
use super::options::int_arg;

/// How an argument says when something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Milliseconds, not seconds.
    pub(super) millis: bool,
    /// From now on, not from 1970 on.
    pub(super) relative: bool,
}

impl Unit {
    pub(super) const SECONDS: Self = Self { millis: false, relative: true };
    pub(super) const MILLIS: Self = Self { millis: true, relative: true };
    pub(super) const SECONDS_AT: Self = Self { millis: false, relative: false };
    pub(super) const MILLIS_AT: Self = Self { millis: true, relative: false };

    /// The word in front of a time among the options of SET.
    pub(super) fn of_option(word: &[u8]) -> Option<Self> {
        let words =
            [("ex", Self::SECONDS), ("px", Self::MILLIS), ("exat", Self::SECONDS_AT), ("pxat", Self::MILLIS_AT)];
        words.into_iter().find(|(known, _)| word.eq_ignore_ascii_case(known.as_bytes())).map(|(_, unit)| unit)
    }

    /// When it is that `arg` says, in milliseconds since 1970; before that, a negative number. `command` is told if it is
    /// no time there can be.
    pub(super) fn time(self, ctx: &Context<'_>, arg: &[u8], command: &str) -> Result<i64, CommandError> {
        let given = int_arg(arg)?;
        let millis = if self.millis { Some(given) } else { given.checked_mul(1_000) };
        let from = if self.relative { i64::try_from(ctx.time()).unwrap_or(i64::MAX) } else { 0 };
        millis.and_then(|millis| millis.checked_add(from)).ok_or_else(|| invalid(command))
    }

    /// As [`time`](Self::time), where what is given must be positive.
    pub(super) fn positive_time(self, ctx: &Context<'_>, arg: &[u8], command: &str) -> Result<u64, CommandError> {
        if int_arg(arg)? <= 0 {
            return Err(invalid(command));
        }
        self.time(ctx, arg, command)?.try_into().map_err(|_| invalid(command))
    }
}

fn invalid(command: &str) -> CommandError {
    CommandError::Other(format!("ERR invalid expire time in '{command}' command").into())
}
