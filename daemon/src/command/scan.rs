//! SCAN and its kin: walks that survive changes, their cursors kept by the client.

use super::error::CommandError;
use super::exec::{Exec, Flow, Outcome, int_arg, typed};
use super::generic::class_name;
use super::glob;
use crate::resp::{Args, Reply, unsigned};
use cahoots_gossip::store::Class;

/// Elements of one step unless COUNT says otherwise, as in Redis.
const COUNT_DEFAULT: usize = 10;

/// What is walked over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Keys,
    Members,
    Fields,
}

struct Options<'a> {
    count: usize,
    pattern: Option<&'a [u8]>,
    class: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>, target: Target) -> Result<Self, CommandError> {
        let mut options = Self { count: COUNT_DEFAULT, pattern: None, class: None };
        let mut at = 0;
        while let Some(option) = args.get(at) {
            let value = args.get(at + 1).ok_or(CommandError::Syntax)?;
            if option.eq_ignore_ascii_case(b"count") {
                let count = int_arg(value)?;
                options.count = usize::try_from(count).ok().filter(|&count| count > 0).ok_or(CommandError::Syntax)?;
            } else if option.eq_ignore_ascii_case(b"match") {
                options.pattern = Some(value);
            } else if option.eq_ignore_ascii_case(b"type") && target == Target::Keys {
                options.class = Some(value);
            } else {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        Ok(options)
    }

    fn takes(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }

    fn takes_class(&self, class: Class) -> bool {
        self.class.is_none_or(|wanted| wanted.eq_ignore_ascii_case(class_name(class).as_bytes()))
    }
}

fn cursor(arg: &[u8]) -> Result<u64, CommandError> {
    unsigned(arg).ok_or(CommandError::text("ERR invalid cursor"))
}

pub(super) fn keys(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let cursor = cursor(&args[1])?;
    let options = Options::parse(args.from(2), Target::Keys)?;
    let store = exec.replica.store();
    page(&mut exec.reply, |push| {
        store.scan(cursor, options.count, |key, view| {
            if options.takes(key) && options.takes_class(view.class()) {
                push(key);
            }
        })
    })
}

/// SSCAN and HSCAN.
pub(super) fn names(exec: &mut Exec<'_>, args: Args<'_>, class: Class, target: Target) -> Outcome {
    let cursor = cursor(&args[2])?;
    let Some(view) = typed(exec.replica.store(), &args[1], class)? else {
        exec.looked_up(false);
        return page(&mut exec.reply, |_| 0);
    };
    let options = Options::parse(args.from(3), target)?;
    page(&mut exec.reply, |push| {
        view.scan(cursor, options.count, |name, value| {
            if options.takes(name) {
                push(name);
                if target == Target::Fields {
                    push(&value);
                }
            }
        })
    })
}

/// The reply of a step: the next cursor, then what was found on the way there.
fn page(reply: &mut Reply<'_>, walk: impl FnOnce(&mut dyn FnMut(&[u8])) -> u64) -> Outcome {
    let start = reply.len();
    let next = reply.array_of(walk);
    reply.in_front(start, |reply| {
        reply.array(2);
        reply.bulk_integer(next);
    });
    Ok(Flow::Continue)
}
