//! Times to live as commands give them.

use super::context::Context;
use super::error::CommandError;
use super::options::{int_arg, is};
use crate::resp::Args;

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

/// Under which condition a deadline is set.
#[derive(Default)]
pub(super) struct Condition {
    /// NX: only if there is none.
    if_none: bool,
    /// XX: only if there is one.
    if_some: bool,
    /// GT: only if it is later than the one there is; none is for ever.
    if_later: bool,
    /// LT: only if it is earlier.
    if_earlier: bool,
}

impl Condition {
    /// As the options of EXPIRE say it.
    pub(super) fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut condition = Self::default();
        for option in args.iter() {
            match condition.flag(option) {
                Some(flag) => *flag = true,
                None => {
                    let option = String::from_utf8_lossy(option);
                    return Err(CommandError::Other(format!("ERR Unsupported option {option}").into()));
                }
            }
        }
        let Self { if_none, if_some, if_later, if_earlier } = condition;
        if if_none && (if_some || if_later || if_earlier) {
            return Err(CommandError::text("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if if_later && if_earlier {
            return Err(CommandError::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    /// As one word says it, if that is such a word.
    pub(super) fn of_word(word: &[u8]) -> Option<Self> {
        let mut condition = Self::default();
        condition.flag(word).map(|flag| *flag = true)?;
        Some(condition)
    }

    fn flag(&mut self, word: &[u8]) -> Option<&mut bool> {
        let Self { if_none, if_some, if_later, if_earlier } = self;
        let known = [("nx", if_none), ("xx", if_some), ("gt", if_later), ("lt", if_earlier)];
        known.into_iter().find(|(known, _)| is(word, known)).map(|(_, flag)| flag)
    }

    /// Whether it allows `deadline` where `current` is in force.
    pub(super) fn holds(&self, current: Option<u64>, deadline: i64) -> bool {
        let current = current.map(|it| i64::try_from(it).unwrap_or(i64::MAX));
        (!self.if_none || current.is_none())
            && (!self.if_some || current.is_some())
            && (!self.if_later || current.is_some_and(|current| deadline > current))
            && (!self.if_earlier || current.is_none_or(|current| deadline < current))
    }
}

/// There is no such time.
pub(super) fn invalid(command: &str) -> CommandError {
    CommandError::Other(format!("ERR invalid expire time in '{command}' command").into())
}
