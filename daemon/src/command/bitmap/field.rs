//! BITFIELD: integers of any width, at any bit.

use super::{
    Args, Class, CommandError, Context, Flow, Outcome, Reply, View, bit_of, change, int_arg, is, offset_arg, set_bit,
};

/// How wide an integer is, and whether it may be negative.
#[derive(Clone, Copy)]
struct Kind {
    is_signed: bool,
    bits: u32,
}

impl Kind {
    fn parse(arg: &[u8]) -> Result<Self, CommandError> {
        let (is_signed, max, digits) = match arg {
            [b'i', rest @ ..] => (true, 64, rest),
            [b'u', rest @ ..] => (false, 63, rest),
            _ => (false, 0, arg),
        };
        let bits = crate::resp::integer(digits).and_then(|bits| u32::try_from(bits).ok());
        let bits = bits.filter(|bits| (1..=max).contains(bits)).ok_or(CommandError::text(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ))?;
        Ok(Self { is_signed, bits })
    }

    fn least(self) -> i128 {
        if self.is_signed { -(1 << (self.bits - 1)) } else { 0 }
    }

    fn greatest(self) -> i128 {
        if self.is_signed { (1 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 }
    }

    fn read(self, text: &[u8], offset: u64) -> i128 {
        let bits = (0..u64::from(self.bits)).map(|at| i128::from(bit_of(text, offset + at)));
        self.wrapped(bits.fold(0, |number, bit| number << 1 | bit))
    }

    fn write(self, text: &mut [u8], offset: u64, number: i128) {
        for at in 0..u64::from(self.bits) {
            set_bit(text, offset + at, number >> (u64::from(self.bits) - 1 - at) & 1 == 1);
        }
    }

    /// The number of this kind whose bits are the lowest of `number`.
    fn wrapped(self, number: i128) -> i128 {
        let low = number & ((1 << self.bits) - 1);
        if low > self.greatest() { low - (1 << self.bits) } else { low }
    }
}

/// What becomes of a number that is out of range.
#[derive(Clone, Copy)]
enum Overflow {
    Wraps,
    Saturates,
    Fails,
}

impl Overflow {
    fn parse(arg: &[u8]) -> Result<Self, CommandError> {
        let known = [("wrap", Self::Wraps), ("sat", Self::Saturates), ("fail", Self::Fails)];
        let found = known.into_iter().find(|(word, _)| is(arg, word)).map(|(_, overflow)| overflow);
        found.ok_or(CommandError::text("ERR Invalid OVERFLOW type specified"))
    }

    fn of(self, kind: Kind, number: i128) -> Option<i128> {
        let within = number.clamp(kind.least(), kind.greatest());
        match self {
            _ if within == number => Some(number),
            Self::Wraps => Some(kind.wrapped(number)),
            Self::Saturates => Some(within),
            Self::Fails => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

struct Operation {
    kind: Kind,
    offset: u64,
    action: Action,
}

impl Operation {
    fn parse(args: Args<'_>) -> Result<Vec<Self>, CommandError> {
        let (mut operations, mut overflow, mut at) = (Vec::new(), Overflow::Wraps, 0);
        while let Some(word) = args.get(at) {
            let left = args.len() - at - 1;
            if is(word, "overflow") && left >= 1 {
                overflow = Overflow::parse(args.at(at + 1))?;
                at += 2;
                continue;
            }
            let takes = match word {
                word if is(word, "get") => 2,
                word if is(word, "set") || is(word, "incrby") => 3,
                _ => usize::MAX,
            };
            if left < takes {
                return Err(CommandError::Syntax);
            }
            let kind = Kind::parse(args.at(at + 1))?;
            let offset = offset_arg(args.at(at + 2), Some(kind.bits.into()))?;
            let action = match takes {
                2 => Action::Get,
                _ if is(word, "set") => Action::Set(int_arg(args.at(at + 3))?, overflow),
                _ => Action::Add(int_arg(args.at(at + 3))?, overflow),
            };
            operations.push(Self { kind, offset, action });
            at += 1 + takes;
        }
        Ok(operations)
    }

    /// The last bit that it writes, if it writes.
    fn writes_to(&self) -> Option<u64> {
        (!matches!(self.action, Action::Get)).then(|| self.offset + u64::from(self.kind.bits) - 1)
    }

    /// What it answers; `None` where it fails.
    fn run(&self, text: &mut [u8]) -> Option<i128> {
        let Self { kind, offset, action } = *self;
        let before = kind.read(text, offset);
        let (number, answer_new, overflow) = match action {
            Action::Get => return Some(before),
            // Of a kind without negative numbers its 64 bits count.
            Action::Set(number, overflow) if !kind.is_signed => (number.cast_unsigned().into(), false, overflow),
            Action::Set(number, overflow) => (number.into(), false, overflow),
            Action::Add(by, overflow) => (before + i128::from(by), true, overflow),
        };
        let after = overflow.of(kind, number)?;
        kind.write(text, offset, after);
        Some(if answer_new { after } else { before })
    }
}

/// Whether BITFIELD changes nothing with these arguments. One that makes no sense may as well.
pub(super) fn only_reads(args: Args<'_>) -> bool {
    Operation::parse(args.from(2)).is_ok_and(|operations| operations.iter().all(|it| it.writes_to().is_none()))
}

pub(super) fn bitfield(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let operations = Operation::parse(args.from(2))?;
    let last = operations.iter().filter_map(Operation::writes_to).max();
    let Some(last) = last else { return read(ctx, args.at(1), &operations, reply) };
    let answers = change(ctx, args.at(1), last, |text| operations.iter().map(|it| it.run(text)).collect::<Vec<_>>())?;
    answer(&answers, reply);
    Ok(Flow::Continue)
}

pub(super) fn bitfield_ro(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let operations = Operation::parse(args.from(2))?;
    if operations.iter().any(|it| it.writes_to().is_some()) {
        return Err(CommandError::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read(ctx, args.at(1), &operations, reply)
}

fn read(ctx: &Context<'_>, key: &[u8], operations: &[Operation], reply: &mut Reply<'_>) -> Outcome {
    let text = ctx.read(key, Class::Text)?.as_ref().and_then(View::text).unwrap_or_default();
    answer(&operations.iter().map(|it| Some(it.kind.read(&text, it.offset))).collect::<Vec<_>>(), reply);
    Ok(Flow::Continue)
}

fn answer(answers: &[Option<i128>], reply: &mut Reply<'_>) {
    reply.array(answers.len());
    for answer in answers {
        match answer.map(i64::try_from) {
            Some(Ok(number)) => reply.integer(number),
            _ => reply.null(),
        }
    }
}
