//! INCRBYFLOAT: the sum is assigned. Increments that several daemons make at once are not added up; of the sums the later
//! one stays. (A counter's increments are integers: a fraction may be subtracted again only where all are in one unit, and
//! here each number has as many digits as it was given.)

use super::{Args, Context, Flow, Outcome, Reply, copied};
use crate::command::error::CommandError;
use crate::command::long_double::LongDouble;
use cahoots_gossip::store::Class;

pub(super) fn incrbyfloat(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let number = |text: &[u8]| LongDouble::read(text).ok_or(CommandError::text("ERR value is not a valid float"));
    let value = ctx.current(key, Class::Text)?.and_then(copied);
    let value = number(value.as_deref().unwrap_or(b"0"))?;
    let sum = value.plus(number(&args[2])?);
    let sum = sum.ok_or(CommandError::text("ERR increment would produce NaN or Infinity"))?.to_string();
    ctx.write(key.len() + sum.len(), |writer| writer.set_keeping(key, sum.as_bytes()))?;
    reply.bulk(sum.as_bytes());
    Ok(Flow::Continue)
}
