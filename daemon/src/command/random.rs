//! Randomness for commands that draw: seeded by the system for each, so that nobody foresees it, and cheap after that.

use super::error::CommandError;
use super::options::{int_arg, is};
use crate::resp::Args;
use cahoots_gossip::driver::random_id;

/// Elements that one command draws more than once at most: a reply has a bound.
const REPEATED_MAX: u64 = 1 << 20;

/// What a command that draws elements asks for.
pub(super) struct Wanted {
    /// How many.
    pub(super) count: usize,
    /// Whether one may come more than once.
    pub(super) repeats: bool,
    /// Whether what belongs to each is asked for, too.
    pub(super) paired: bool,
}

/// Reads `[count [word]]` behind the key: `None` where one element is asked for, by itself. Without a `word` there is no such
/// option.
pub(super) fn wanted(args: Args<'_>, word: Option<&str>) -> Result<Option<Wanted>, CommandError> {
    let Some(count) = args.get(2) else { return Ok(None) };
    if word.is_none() && args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = int_arg(count)?;
    if count == i64::MIN {
        let text = format!("ERR value is out of range, value must between {} and {}", -i64::MAX, i64::MAX);
        return Err(CommandError::Other(text.into()));
    }
    let given = args.get(3);
    if args.len() > 4 || given.is_some_and(|given| word.is_none_or(|word| !is(given, word))) {
        return Err(CommandError::Syntax);
    }
    let (repeats, paired, many) = (count < 0, given.is_some(), count.unsigned_abs());
    if paired && many > i64::MAX.unsigned_abs() / 2 || repeats && many > REPEATED_MAX {
        return Err(CommandError::text("ERR value is out of range"));
    }
    Ok(Some(Wanted { count: usize::try_from(many).unwrap_or(usize::MAX), repeats, paired }))
}

/// Numbers one after the other (splitmix64, by Steele, Lea and Flood).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        Self(random_id().get())
    }

    /// A number below `max`, 0 if that is 0.
    pub(super) fn below(&mut self, max: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let product = u128::from(mixed ^ (mixed >> 31)) * max as u128;
        usize::try_from(product >> u64::BITS).expect("less than `max`")
    }
}
