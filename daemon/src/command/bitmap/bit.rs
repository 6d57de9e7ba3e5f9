//! Single bits, and which of them are set.

use super::{
    Args, Class, CommandError, Context, Flow, Outcome, Reply, View, bit_of, change, int_arg, is, offset_arg, set_bit,
};

pub(super) fn getbit(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let offset = offset_arg(&args[2], None)?;
    let text = ctx.read(&args[1], Class::Text)?.as_ref().and_then(View::text).unwrap_or_default();
    reply.integer(bit_of(&text, offset).into());
    Ok(Flow::Continue)
}

pub(super) fn setbit(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let offset = offset_arg(&args[2], None)?;
    let on = match args.at(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(CommandError::text("ERR bit is not an integer or out of range")),
    };
    let was = change(ctx, args.at(1), offset, |text| {
        let was = bit_of(text, offset);
        set_bit(text, offset, on);
        was
    })?;
    reply.integer(was.into());
    Ok(Flow::Continue)
}

/// Bits of a string, both ends included.
struct Range {
    first: u64,
    last: u64,
}

/// What BITCOUNT and BITPOS say behind the key, and the bit.
struct Said {
    start: i64,
    end: i64,
    unit: u64,
}

/// Bits in what an argument counts by.
fn unit_arg(arg: Option<&[u8]>) -> Result<u64, CommandError> {
    match arg {
        None => Ok(8),
        Some(word) if is(word, "byte") => Ok(8),
        Some(word) if is(word, "bit") => Ok(1),
        Some(_) => Err(CommandError::Syntax),
    }
}

impl Said {
    /// As BITCOUNT reads it: a range of two ends from behind, the wrong way round, is empty, whatever follows.
    fn of_count(args: Args<'_>) -> Result<Option<Self>, CommandError> {
        let (start, end) = (place_arg(args.get(0), 0)?, place_arg(args.get(1), -1)?);
        if start < 0 && end < 0 && start > end {
            return Ok(None);
        }
        Ok(Some(Self { start, end, unit: unit_arg(args.get(2))? }))
    }

    /// As BITPOS reads it.
    fn of_position(args: Args<'_>) -> Result<Self, CommandError> {
        let (start, unit) = (place_arg(args.get(0), 0)?, unit_arg(args.get(2))?);
        Ok(Self { start, end: place_arg(args.get(1), -1)?, unit })
    }

    /// The bits that are meant; `None` if there is none.
    fn range(&self, bytes: usize) -> Option<Range> {
        let len = i64::try_from(bytes as u64 * 8 / self.unit).unwrap_or(i64::MAX);
        let from_end = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
        let (start, end) = (from_end(self.start), from_end(self.end).min(len - 1));
        let (first, last) = (start.unsigned_abs() * self.unit, end.unsigned_abs() * self.unit + self.unit - 1);
        (start <= end).then_some(Range { first, last })
    }
}

fn place_arg(arg: Option<&[u8]>, default: i64) -> Result<i64, CommandError> {
    arg.map_or(Ok(default), int_arg)
}

impl Range {
    /// The bytes that it is in, each with those bits of it set that are within.
    fn bytes<'a>(&self, text: &'a [u8]) -> impl Iterator<Item = (u64, u8, u8)> + use<'a> {
        let (first, last) = (self.first, self.last);
        let bytes = usize::try_from(first / 8).unwrap_or(0)..=usize::try_from(last / 8).unwrap_or(usize::MAX);
        (first / 8..).zip(text.get(bytes).unwrap_or_default()).map(move |(at, byte)| {
            let mut mask = 0xFF;
            if at == first / 8 {
                mask &= 0xFF >> (first % 8);
            }
            if at == last / 8 {
                mask &= 0xFF << (7 - last % 8);
            }
            (at, *byte, mask)
        })
    }
}

pub(super) fn bitcount(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(view) = ctx.read(&args[1], Class::Text)? else {
        reply.count(0);
        return Ok(Flow::Continue);
    };
    if !matches!(args.len(), 2 | 4 | 5) {
        return Err(CommandError::Syntax);
    }
    let text = view.text().unwrap_or_default();
    let bits = Said::of_count(args.from(2))?
        .and_then(|said| said.range(text.len()))
        .map_or(0, |range| range.bytes(&text).map(|(_, byte, mask)| u64::from((byte & mask).count_ones())).sum());
    reply.count(usize::try_from(bits).unwrap_or(usize::MAX));
    Ok(Flow::Continue)
}

pub(super) fn bitpos(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let wanted = match int_arg(&args[2])? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::text("ERR The bit argument must be 1 or 0.")),
    };
    let Some(view) = ctx.read(&args[1], Class::Text)? else {
        reply.integer(if wanted { -1 } else { 0 });
        return Ok(Flow::Continue);
    };
    if args.len() > 6 {
        return Err(CommandError::Syntax);
    }
    let text = view.text().unwrap_or_default();
    let Some(range) = Said::of_position(args.from(3))?.range(text.len()) else {
        reply.integer(-1);
        return Ok(Flow::Continue);
    };
    let found = range.bytes(&text).find_map(|(at, byte, mask)| {
        let hits = mask & if wanted { byte } else { !byte };
        (hits != 0).then(|| at * 8 + u64::from(hits.leading_zeros()))
    });
    // Behind the string all is clear, unless an end is given.
    let behind = (!wanted && args.len() < 5).then_some(text.len() as u64 * 8);
    reply.integer(found.or(behind).map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX)));
    Ok(Flow::Continue)
}
