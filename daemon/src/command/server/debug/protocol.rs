//! DEBUG PROTOCOL: a value of each type of the protocol, those of Redis.

use super::{Args, CommandError, Context, Flow, Outcome, Reply, is};
use crate::resp::Protocol;

type Write = fn(&mut Reply<'_>);

const TYPES: &[(&str, Write)] = &[
    ("string", |reply| reply.bulk(b"Hello World")),
    ("integer", |reply| reply.integer(12_345)),
    ("double", |reply| reply.spelled_double("3.141")),
    ("bignum", |reply| reply.spelled_big_number(b"1234567999999999999999999999999999999")),
    ("null", |reply| reply.null()),
    ("array", |reply| {
        reply.array(3);
        (0..3).for_each(|number| reply.integer(number));
    }),
    ("set", |reply| {
        reply.set(3);
        (0..3).for_each(|number| reply.integer(number));
    }),
    ("map", |reply| {
        reply.map(3);
        for number in 0..3 {
            reply.integer(number);
            reply.boolean(number == 1);
        }
    }),
    ("attrib", |reply| {
        if reply.protocol() == Protocol::Resp3 {
            reply.attributes(1);
            reply.bulk(b"key-popularity");
            reply.array(2);
            reply.bulk(b"key:123");
            reply.integer(90);
        }
        reply.bulk(b"Some real reply following the attribute");
    }),
    (PUSH, |reply| {
        reply.push(2);
        reply.bulk(b"server-cpu-usage");
        reply.integer(42);
        reply.bulk(b"Some real reply following the push reply");
    }),
    ("verbatim", |reply| reply.verbatim("This is a verbatim\nstring")),
    ("true", |reply| reply.boolean(true)),
    ("false", |reply| reply.boolean(false)),
];

/// What a client of RESP2 could not tell from replies.
const PUSH: &str = "push";

pub(super) fn protocol(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some((name, write)) = TYPES.iter().find(|(name, _)| is(&args[2], name)) else {
        let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        let refusal = format!("ERR Wrong protocol type name. Please use one of the following: {}", names.join("|"));
        return Err(CommandError::Other(refusal.into()));
    };
    if *name == PUSH && reply.protocol() == Protocol::Resp2 {
        return Err(CommandError::text("ERR RESP2 is not supported by this command"));
    }
    write(reply);
    Ok(Flow::Continue)
}
