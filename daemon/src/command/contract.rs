//! What a command is: all that is known of it stands in one place, beside its code.

use super::arguments::Argument;
use super::context::Context;
use super::error::CommandError;
use super::flags::{Categories, Flags, MOVABLEKEYS, NO_AUTH, NONE, WRITE};
use super::key_use::{Channels, KeyUse};
use super::keys::KeySpec;
use super::wait::Wait;
use crate::resp::{Args, Reply};

/// Carries a command out: reads and writes through the context, appends exactly one reply.
///
/// It is called with a number of arguments that fits the arity. It blocks nothing: what takes time is a
/// [`Flow::Wait`]. If it fails it has written nothing, neither to the store nor to the reply.
pub type Handler = fn(&mut Context<'_>, Args<'_>, &mut Reply<'_>) -> Outcome;

/// What a command does to its keys, with these arguments.
type Uses = fn(Args<'_>) -> &'static [KeyUse];

/// Whether an argument of a command is not to be shown.
type Hides = fn(Args<'_>, usize) -> bool;

/// What a handler comes to.
pub type Outcome = Result<Flow, CommandError>;

/// What follows a command.
#[derive(Debug)]
pub enum Flow {
    /// The next one.
    Continue,
    /// Something outside of the replica, then the rest of this command. Those behind it wait.
    Wait(Wait),
    /// Nothing: the connection is closed once its replies are sent.
    Close,
    /// Nothing: the connection is closed at once, without a word.
    Cut,
}

/// One command, or a subcommand of one.
#[derive(Debug)]
pub struct Command {
    /// In lower case; a subcommand's has its container's in front, as in `client|id`.
    pub name: &'static str,
    /// Arguments including the name (and the subcommand's); negative: at least so many.
    pub arity: i16,
    /// What it does.
    pub flags: Flags,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// What it does to the first of its keys, and so on; the last one holds for all that follow. None: it reads, or
    /// changes, all of them.
    uses: &'static [KeyUse],
    /// The same, where that depends on the arguments.
    uses_by: Option<Uses>,
    /// Which arguments are channels.
    pub channels: Channels,
    /// Which arguments are nobody's business.
    hides: Option<Hides>,
    /// The access categories that do not follow from the flags.
    explicit: Categories,
    /// What Redis documents it under.
    pub group: &'static str,
    /// The version it came with: of Redis for its commands, of cahoots for ours.
    pub since: &'static str,
    /// How its time grows, in O notation.
    pub complexity: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// What changed since it came: a version, and what that brought.
    pub history: &'static [(&'static str, &'static str)],
    /// What it takes.
    pub arguments: &'static [Argument],
    /// `None` if it does nothing without a subcommand.
    pub(super) handler: Option<Handler>,
    /// What can follow the name, if it is a container.
    pub subcommands: &'static [Command],
}

impl Command {
    /// Hands the position of each of the command's keys among these arguments to `key`.
    pub(super) fn each_key(&self, args: Args<'_>, mut key: impl FnMut(usize)) {
        for spec in self.keys {
            spec.visit(
                args.len(),
                |at| args.get(at),
                |at| {
                    key(at);
                    true
                },
            );
        }
    }

    /// Whether there are keys among its arguments: what commands about channels call keys are channels.
    #[must_use]
    pub(crate) fn has_keys(&self) -> bool {
        !self.keys.is_empty() && self.group != "pubsub"
    }

    /// Hands the position of each of the command's keys among these arguments, and what it does to it, to `key`, which
    /// says whether it wants more.
    pub(crate) fn each_key_used(&self, args: Args<'_>, mut key: impl FnMut(usize, KeyUse) -> bool) {
        let uses = self.uses_by.map_or(self.uses, |uses| uses(args));
        let default = if self.flags.has(WRITE) { KeyUse::CHANGES } else { KeyUse::READS };
        let (mut number, mut goes_on) = (0, self.has_keys());
        for spec in self.keys {
            if !goes_on {
                break;
            }
            spec.visit(
                args.len(),
                |at| args.get(at),
                |at| {
                    goes_on = key(at, uses.get(number).or(uses.last()).copied().unwrap_or(default));
                    number += 1;
                    goes_on
                },
            );
        }
    }

    /// Its key specifications as Redis has them, each with what is done to its keys in Redis's words: keys of which the first is
    /// used otherwise than those behind it are two there.
    pub(super) fn told_specs(&self) -> Vec<(KeySpec, Vec<&'static str>)> {
        let default = if self.flags.has(WRITE) { KeyUse::CHANGES } else { KeyUse::READS };
        // What commands about channels call keys are none.
        let (is_channel, varies) = (self.group == "pubsub", self.uses_by.is_some());
        let mut specs: Vec<KeySpec> = Vec::new();
        for spec in self.keys {
            let is_split = specs.len() + 1 < self.uses.len();
            match spec.split_first().filter(|_| is_split) {
                Some(two) => specs.extend(two),
                None => specs.push(*spec),
            }
        }
        let words = |at: usize| {
            let does = self.uses.get(at).or(self.uses.last()).copied().unwrap_or(default);
            let words = does.words().filter(|_| !is_channel);
            words.chain(varies.then_some("variable_flags")).chain(is_channel.then_some("not_key")).collect()
        };
        specs.into_iter().enumerate().map(|(at, spec)| (spec, words(at))).collect()
    }

    /// Whether one may call it who has not shown who it is, and whatever it may do.
    #[must_use]
    pub(crate) fn is_for_strangers(&self) -> bool {
        self.flags.has(NO_AUTH)
    }

    /// The arguments as they may be shown.
    pub(super) fn shown<'a>(&self, args: Args<'a>) -> Vec<&'a [u8]> {
        let hides = |at| self.hides.is_some_and(|hides| hides(args, at));
        args.iter().enumerate().map(|(at, arg)| if hides(at) { b"(redacted)" } else { arg }).collect()
    }

    pub(super) const fn new(
        group: &'static str,
        name: &'static str,
        arity: i16,
        flags: Flags,
        handler: Handler,
    ) -> Self {
        Self {
            name,
            arity,
            flags,
            keys: &[],
            uses: &[],
            uses_by: None,
            channels: Channels::None,
            hides: None,
            explicit: Categories::NONE,
            group,
            since: "",
            complexity: "",
            summary: "",
            history: &[],
            arguments: &[],
            handler: Some(handler),
            subcommands: &[],
        }
    }

    /// A command that is nothing without a subcommand.
    pub(super) const fn container(group: &'static str, name: &'static str, subcommands: &'static [Self]) -> Self {
        Self {
            name,
            arity: -2,
            flags: NONE,
            keys: &[],
            uses: &[],
            uses_by: None,
            channels: Channels::None,
            hides: None,
            explicit: Categories::NONE,
            group,
            since: "",
            complexity: "Depends on the subcommand",
            summary: "",
            history: &[],
            arguments: &[],
            handler: None,
            subcommands,
        }
    }

    /// When it came, how its time grows, and what it does.
    pub(super) const fn about(mut self, since: &'static str, complexity: &'static str, summary: &'static str) -> Self {
        (self.since, self.complexity, self.summary) = (since, complexity, summary);
        self
    }

    /// When it came, if that is not when its kin came.
    pub(super) const fn since(mut self, since: &'static str) -> Self {
        self.since = since;
        self
    }

    /// Where its keys are.
    pub(super) const fn at(mut self, keys: &'static [KeySpec]) -> Self {
        self.keys = keys;
        let mut spec = 0;
        while spec < keys.len() {
            if keys[spec].positions().is_none() {
                self.flags = self.flags.and(MOVABLEKEYS);
            }
            spec += 1;
        }
        self
    }

    /// What it does to the first of its keys, and so on; the last one holds for all that follow.
    pub(super) const fn using(mut self, uses: &'static [KeyUse]) -> Self {
        self.uses = uses;
        self
    }

    /// What it does to its keys, where that depends on the arguments.
    pub(super) const fn using_by(mut self, uses: Uses) -> Self {
        self.uses_by = Some(uses);
        self
    }

    /// Which arguments are channels.
    pub(super) const fn on(mut self, channels: Channels) -> Self {
        self.channels = channels;
        self
    }

    /// Which arguments are not to be shown to who watches.
    pub(super) const fn hiding(mut self, hides: Hides) -> Self {
        self.hides = Some(hides);
        self
    }

    /// The access categories that do not follow from the flags.
    pub(super) const fn also(mut self, categories: Categories) -> Self {
        self.explicit = self.explicit.and(categories);
        self
    }

    /// What it takes.
    pub(super) const fn takes(mut self, arguments: &'static [Argument]) -> Self {
        self.arguments = arguments;
        self
    }

    /// What changed since it came.
    pub(super) const fn changed(mut self, history: &'static [(&'static str, &'static str)]) -> Self {
        self.history = history;
        self
    }

    /// Flags of a container, which has none of its own otherwise.
    pub(super) const fn flagged(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// A command that does something by itself and more with a subcommand.
    pub(super) const fn containing(mut self, subcommands: &'static [Self]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// Redis's access categories.
    #[must_use]
    pub fn categories(&self) -> Categories {
        self.explicit.with_those_of(self.flags)
    }

    /// First key, last key (negative: from the end) and the step between; zeros for none.
    #[must_use]
    pub fn positions(&self) -> (i64, i64, i64) {
        self.keys.first().and_then(KeySpec::positions).unwrap_or((0, 0, 0))
    }

    /// How it is called, as documentation has it: `SET key value [NX | XX] [GET]`.
    #[must_use]
    pub fn syntax(&self) -> String {
        let name = self.name.replace('|', " ").to_ascii_uppercase();
        self.arguments.iter().fold(name, |syntax, argument| format!("{syntax} {argument}"))
    }
}
