//! Running the frames of one read, one after the other, under one lock of the replica.

use super::context::Context;
use super::contract::Flow;
use super::table;
use super::wait::{Resume, Wait};
use crate::resp::{Args, Parser, Reply};
use crate::session::Session;
use crate::state::Server;
use cahoots_gossip::engine::{Now, Replica};
use cahoots_gossip::store::WARM_KEYS_MAX;

/// Commands of one turn. A read rarely holds as many; a pipeline that waited behind a `WAIT` may hold millions, and
/// everything else waits for the replica meanwhile.
const BATCH_COMMANDS_MAX: u64 = 4096;

/// Why a batch stopped.
#[derive(Debug)]
pub enum Stop {
    /// Every complete frame is executed.
    Drained,
    /// Enough for one turn: send the replies, let others have theirs, then call again.
    Enough,
    /// See [`Flow::Wait`]; call [`Batch::resume`] after it.
    Wait(Wait),
    /// See [`Flow::Close`].
    Close,
    /// See [`Flow::Cut`].
    Cut,
}

/// Commands of one client, executed together.
pub struct Batch<'a> {
    context: Context<'a>,
    reply: Reply<'a>,
}

impl<'a> Batch<'a> {
    /// Ready to execute what `session` sends; replies are appended to `out`.
    pub fn new(
        replica: &'a mut Replica,
        now: Now,
        session: &'a mut Session,
        server: &'a Server,
        out: &'a mut Vec<u8>,
    ) -> Self {
        // What was sent to the client before comes before what it is answered now.
        if session.client.inbox.has_some() {
            session.client.inbox.take(out);
        }
        let reply = Reply::new(out, session.protocol);
        Self { context: Context::new(replica, now, session, server), reply }
    }

    /// Executes the complete frames at the front of `input`; says how many bytes they were and why it stopped.
    pub fn run(mut self, parser: &mut Parser, input: &mut [u8]) -> (usize, Stop) {
        let mut done = 0;
        let output_pause_bytes = self.context.server.limits.output_pause_bytes;
        let stop = loop {
            if self.context.commands() >= BATCH_COMMANDS_MAX || self.reply.len() >= output_pause_bytes {
                break Stop::Enough;
            }
            if !parser.is_ahead() {
                self.look_ahead(parser, &input[done..]);
            }
            let rest = &mut input[done..];
            let length = match parser.parse(rest) {
                Ok(Some(length)) => length,
                Ok(None) => break Stop::Drained,
                Err(error) => {
                    self.reply.error(format_args!("ERR Protocol error: {error}"));
                    break Stop::Close;
                }
            };
            let args = parser.args(&rest[..length]);
            done += length;
            if args.is_empty() {
                continue;
            }
            match self.command(args) {
                Flow::Continue => {}
                Flow::Wait(wait) => break Stop::Wait(wait),
                Flow::Close => break Stop::Close,
                Flow::Cut => break Stop::Cut,
            }
        };
        self.end();
        (done, stop)
    }

    /// Carries on with a command that has waited.
    pub fn resume(mut self, resume: Resume) -> Stop {
        let start = self.reply.len();
        self.context.session.client.facts().waits_with = None;
        let outcome = resume(&mut self.context, &mut self.reply);
        let flow = self.context.answered(outcome, &mut self.reply);
        self.heard(&flow, start);
        self.end();
        match flow {
            Flow::Continue => Stop::Enough,
            Flow::Wait(wait) => Stop::Wait(wait),
            Flow::Close => Stop::Close,
            Flow::Cut => Stop::Cut,
        }
    }

    fn end(mut self) {
        self.context.settle_reads();
        self.context.note_client();
        self.context.server.stats.add(&self.context.counts());
    }

    fn command(&mut self, args: Args<'_>) -> Flow {
        let start = self.reply.len();
        let flow = self.context.call(args, &mut self.reply);
        self.heard(&flow, start);
        flow
    }

    /// Takes back what a client does not want to hear.
    fn heard(&mut self, flow: &Flow, start: usize) {
        let replies = &mut self.context.session.replies;
        if !replies.are_heard() {
            self.reply.truncate(start);
        }
        // A command that waits is not over.
        if !matches!(flow, Flow::Wait(_)) {
            replies.next();
        }
        self.context.hear_oneself(&mut self.reply, start);
    }

    /// Reads commands at the front of `input`, and has the store look ahead for their keys.
    fn look_ahead(&self, parser: &mut Parser, input: &[u8]) {
        let mut wanted: [(&[u8], &[u8]); WARM_KEYS_MAX] = [(b"", b""); WARM_KEYS_MAX];
        let (mut keys, mut rest) = (0, input);
        // Pipelines are often of one command.
        let (mut name, mut specs) = (&b""[..], None);
        for _ in 0..WARM_KEYS_MAX {
            if keys == wanted.len() {
                break;
            }
            let Some(length) = parser.read_ahead(rest) else { break };
            let (frame, behind) = rest.split_at(length);
            rest = behind;
            let arg = |at| parser.arg_ahead(at).map(|range| &frame[range]);
            let Some(its_name) = arg(0) else { continue };
            if its_name != name {
                name = its_name;
                specs = table::by_name(name).map(|command| command.keys);
            }
            for spec in specs.unwrap_or_default() {
                spec.visit(parser.args_ahead(), arg, |at| match (wanted.get_mut(keys), arg(at)) {
                    (Some(place), Some(key)) => {
                        *place = (key, arg(at + 1).unwrap_or_default());
                        keys += 1;
                        true
                    }
                    _ => false,
                });
            }
        }
        // For one key it would only do the work twice.
        if keys > 1 {
            self.context.warm(&wanted[..keys]);
        }
    }
}
