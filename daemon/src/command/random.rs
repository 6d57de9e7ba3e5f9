//! Randomness for commands that draw: seeded by the system for each, so that nobody foresees it, and cheap after that.

use super::error::CommandError;
use super::options::int_arg;
use cahoots_gossip::driver::random_id;

/// Elements that one command draws more than once at most: a reply has a bound.
pub(super) const REPEATED_MAX: u64 = 1 << 20;

/// How many elements are asked for: if negative, any of them more than once.
pub(super) fn drawn_arg(arg: &[u8]) -> Result<i64, CommandError> {
    let count = int_arg(arg)?;
    if count == i64::MIN {
        let text = format!("ERR value is out of range, value must between {} and {}", -i64::MAX, i64::MAX);
        return Err(CommandError::Other(text.into()));
    }
    Ok(count)
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
