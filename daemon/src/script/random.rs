//! Random numbers for scripts: those of POSIX's `lrand48`, as Redis has them. Nobody should rely on them for more than dice.

use mlua::{Lua, Value};

use super::library::{Answer, Arguments};

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const STATE_BITS: u32 = 48;
/// Numbers drawn are below this.
const RANGE: f64 = 2_147_483_647.0;

/// The state, of 48 bits.
pub(super) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x1234_ABCD_330E)
    }
}

impl Random {
    /// The state that a seed stands for.
    pub(super) fn seeded(seed: i64) -> Self {
        Self((seed.cast_unsigned() & 0xFFFF_FFFF) << 16 | 0x330E)
    }

    /// A fraction, from 0 to below 1.
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & ((1 << STATE_BITS) - 1);
        ((self.0 >> 17) as f64 % RANGE) / RANGE
    }

    /// `math.random`: a fraction, or an integer from 1 or the first argument up to the last.
    pub(super) fn answer(&mut self, lua: &Lua, args: &Arguments) -> Answer {
        let fraction = self.draw();
        let number = |at| args.integer(lua, at, "random").map(|it| it as f64);
        let value = match args.len() {
            0 => fraction,
            count @ (1 | 2) => {
                let (lower, upper) = if count == 1 { (1.0, number(0)?) } else { (number(0)?, number(1)?) };
                if lower > upper {
                    return Err(format!("bad argument #{count} to 'random' (interval is empty)"));
                }
                (fraction * (upper - lower + 1.0)).floor() + lower
            }
            _ => return Err("wrong number of arguments".to_owned()),
        };
        Ok([Value::Number(value)].into_iter().collect())
    }
}
