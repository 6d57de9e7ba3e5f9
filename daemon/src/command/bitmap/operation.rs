//! BITOP.

use super::{Args, Class, CommandError, Context, Flow, Outcome, Reply, View, is};

/// What two bytes amount to.
type Fold = fn(u8, u8) -> u8;

pub(super) fn bitop(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (name, to, keys) = (args.at(1), args.at(2), args.from(3));
    let known: [(&str, Fold); 4] =
        [("and", |a, b| a & b), ("or", |a, b| a | b), ("xor", |a, b| a ^ b), ("not", |a, _| !a)];
    let (word, fold) = known.into_iter().find(|(word, _)| is(name, word)).ok_or(CommandError::Syntax)?;
    if word == "not" && keys.len() != 1 {
        return Err(CommandError::text("ERR BITOP NOT must be called with a single source key."));
    }
    let views = keys.iter().map(|key| ctx.read(key, Class::Text)).collect::<Result<Vec<_>, _>>()?;
    let mut texts = views.iter().map(|view| view.as_ref().and_then(View::text).unwrap_or_default());
    let len = texts.clone().map(|text| text.len()).max().unwrap_or(0);
    let mut result = texts.next().unwrap_or_default().into_owned();
    result.resize(len, 0);
    if word == "not" {
        result.iter_mut().for_each(|byte| *byte = fold(*byte, 0));
    }
    for text in texts {
        // What is shorter has zeros behind it.
        let bytes = text.iter().copied().chain(std::iter::repeat(0));
        result.iter_mut().zip(bytes).for_each(|(byte, other)| *byte = fold(*byte, other));
    }
    if len > 0 {
        ctx.write(to.len() + len, |writer| writer.set(to, &result))?;
    } else if ctx.current_any(to).is_some() {
        ctx.write(to.len(), |writer| writer.delete(to))?;
    }
    reply.count(len);
    Ok(Flow::Continue)
}
