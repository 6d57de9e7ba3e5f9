//! HINCRBYFLOAT: the sum is assigned to the field, as INCRBYFLOAT assigns it to a key; it ends when the field did.

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::error::CommandError;
use crate::command::long_double::LongDouble;
use cahoots_gossip::store::{Class, WriteError};

pub(super) fn hincrbyfloat(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, field) = (args.at(1), args.at(2));
    let increment = LongDouble::read(&args[3]).ok_or(CommandError::text("ERR value is not a valid float"))?;
    if !increment.is_finite() {
        return Err(CommandError::text("ERR value is NaN or Infinity"));
    }
    let view = ctx.current(key, Class::Hash)?;
    let value = view.as_ref().and_then(|view| view.get(field));
    let value = LongDouble::read(value.as_deref().unwrap_or(b"0"));
    let value = value.ok_or(CommandError::text("ERR hash value is not a float"))?;
    let sum = value.plus(increment).ok_or(CommandError::text("ERR increment would produce NaN or Infinity"))?;
    let (sum, deadline) = (sum.to_string(), view.and_then(|view| view.field_deadline(field)));
    ctx.write(key.len() + field.len() + sum.len(), |writer| {
        writer.insert(key, Class::Hash, field, sum.as_bytes())?;
        if deadline.is_some() {
            writer.expire_field(key, field, deadline)?;
        }
        Ok::<_, WriteError>(())
    })?;
    reply.bulk(sum.as_bytes());
    Ok(Flow::Continue)
}
