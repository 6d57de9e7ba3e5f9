//! LCS: the longest common subsequence of two strings, by the table of those of all their beginnings (Wagner and Fischer,
//! *The String-to-String Correction Problem*, 1974).
//!
//! Of the table two rows are kept, and of every place one bit: which way the longer subsequence lies. A thirty-second of
//! what Redis takes, which is refused where it would be more than that of Redis may be.

use super::{Args, Context, Flow, Outcome, Reply, int_arg, is};
use crate::command::error::CommandError;
use crate::resp::Items;
use cahoots_gossip::store::Class;

/// Bytes that Redis takes for a place of the table, and for all of it at most.
const REDIS_PLACE_BYTES: u64 = 4;
const REDIS_TABLE_BYTES_MAX: u64 = 512 << 20;

#[derive(Default)]
struct Options {
    length: bool,
    ranges: bool,
    lengths: bool,
    shortest: u64,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            if is(word, "idx") {
                options.ranges = true;
            } else if is(word, "len") {
                options.length = true;
            } else if is(word, "withmatchlen") {
                options.lengths = true;
            } else if is(word, "minmatchlen")
                && let Some(shortest) = words.next()
            {
                options.shortest = u64::try_from(int_arg(shortest)?).unwrap_or(0);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if options.ranges && options.length {
            return Err(CommandError::text("ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

pub(super) fn lcs(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let views = [ctx.read_any(&args[1]), ctx.read_any(&args[2])];
    if views.iter().flatten().any(|view| view.class() != Class::Text) {
        return Err(CommandError::text("ERR The specified keys must contain string values"));
    }
    let [a, b] = views.map(|view| view.and_then(|view| view.text()).unwrap_or_default());
    let options = Options::parse(args.from(3))?;
    let places = (a.len() as u64 + 1) * (b.len() as u64 + 1);
    if places * REDIS_PLACE_BYTES > REDIS_TABLE_BYTES_MAX {
        return Err(CommandError::text("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    let table = Table::of(&a, &b, !options.length);
    if options.length {
        reply.count(table.length);
        return Ok(Flow::Continue);
    }
    if !options.ranges {
        let mut common: Vec<u8> = Vec::with_capacity(table.length);
        table.matches(&a, &b, |at, _, len| common.extend(a[at..at + len].iter().rev()));
        common.reverse();
        reply.bulk(&common);
        return Ok(Flow::Continue);
    }
    reply.map(2);
    reply.bulk(b"matches");
    reply.array_of(|items| {
        table.matches(&a, &b, |in_a, in_b, len| {
            if len as u64 >= options.shortest {
                write_match([in_a, in_b], len, options.lengths, items);
            }
        });
    });
    reply.bulk(b"len");
    reply.count(table.length);
    Ok(Flow::Continue)
}

fn write_match(starts: [usize; 2], len: usize, with_length: bool, items: &mut Items<'_, '_>) {
    let reply = items.one();
    reply.array(2 + usize::from(with_length));
    for start in starts {
        reply.array(2);
        reply.count(start);
        reply.count(start + len - 1);
    }
    if with_length {
        reply.count(len);
    }
}

struct Table {
    /// Of every two beginnings, whether that of the first string without its last byte has more in common with the other
    /// than the other way round. Empty if nobody asks.
    shorter_a: Vec<u64>,
    row: usize,
    length: usize,
}

impl Table {
    fn of(a: &[u8], b: &[u8], keep: bool) -> Self {
        let row = b.len();
        let words = if keep { (a.len() * row).div_ceil(64) } else { 0 };
        let mut table = Self { shorter_a: vec![0; words], row, length: 0 };
        let (mut above, mut here) = (vec![0_u32; row + 1], vec![0_u32; row + 1]);
        for (i, byte) in a.iter().enumerate() {
            for (j, other) in b.iter().enumerate() {
                here[j + 1] = if byte == other { above[j] + 1 } else { above[j + 1].max(here[j]) };
                if keep && above[j + 1] > here[j] {
                    let place = i * row + j;
                    table.shorter_a[place / 64] |= 1 << (place % 64);
                }
            }
            std::mem::swap(&mut above, &mut here);
        }
        table.length = above[row] as usize;
        table
    }

    /// Hands out what is common from the end to the beginning: where each stretch of it begins in both strings, and its
    /// length.
    fn matches(&self, a: &[u8], b: &[u8], mut found: impl FnMut(usize, usize, usize)) {
        let (mut i, mut j, mut len) = (a.len(), b.len(), 0);
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j, len) = (i - 1, j - 1, len + 1);
                continue;
            }
            if len > 0 {
                found(i, j, std::mem::take(&mut len));
            }
            let place = (i - 1) * self.row + j - 1;
            if self.shorter_a[place / 64] >> (place % 64) & 1 == 1 { i -= 1 } else { j -= 1 }
        }
        if len > 0 {
            found(i, j, len);
        }
    }
}
