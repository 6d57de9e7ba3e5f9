//! A set of permissions: commands, keys and channels, all of which must allow what a client asks for.
//!
//! The rules on commands are kept in their order, as Redis 7.2 keeps them, beside the commands that they come to: so what
//! is told of a user is what was asked for, whichever commands a version has.

use std::collections::{BTreeMap, HashSet};

use crate::command::{Categories, Command, commands};

/// A pattern of keys, and what may be done to those that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPattern {
    pub(super) pattern: Box<[u8]>,
    pub(super) reads: bool,
    pub(super) writes: bool,
}

/// What is allowed together.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    /// Whether every command is, those that a later version has included; what is forbidden is named then.
    pub(super) from_all: bool,
    /// Whether none is forbidden.
    pub(super) all_commands: bool,
    /// Those that are, by their full names.
    commands: HashSet<&'static str>,
    /// Of commands that are not, those first arguments with which they are.
    first_args: BTreeMap<&'static str, Vec<Box<[u8]>>>,
    /// The rules that led there since the last one about all: a sign, and the name in lower case.
    rules: Vec<(char, Box<[u8]>)>,
    pub(super) all_keys: bool,
    pub(super) keys: Vec<KeyPattern>,
    pub(super) all_channels: bool,
    pub(super) channels: Vec<Box<[u8]>>,
}

/// Commands with their subcommands, each behind its container.
fn every() -> impl Iterator<Item = &'static Command> {
    commands().flat_map(|command| std::iter::once(command).chain(command.subcommands))
}

impl Selector {
    /// One that allows nothing but, if `channels` says so, all channels.
    pub(super) fn new(channels: bool) -> Self {
        Self { all_channels: channels, ..Self::default() }
    }

    /// Whether it allows everything.
    pub(super) fn is_free(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    pub(super) fn set_all_commands(&mut self, allow: bool) {
        (self.from_all, self.all_commands) = (allow, allow);
        self.commands = if allow { every().map(|command| command.name).collect() } else { HashSet::new() };
        self.first_args.clear();
        self.rules.clear();
    }

    /// A container's subcommands come with it.
    pub(super) fn set_command(&mut self, command: &'static Command, allow: bool) {
        self.change(command, allow);
        self.note_rule(allow, command.name.as_bytes());
    }

    fn change(&mut self, command: &'static Command, allow: bool) {
        self.first_args.remove(command.name);
        for name in std::iter::once(command.name).chain(command.subcommands.iter().map(|it| it.name)) {
            if allow {
                self.commands.insert(name);
            } else {
                self.commands.remove(name);
            }
        }
        self.all_commands &= allow;
    }

    /// `name` is that of the category, `@` included.
    pub(super) fn set_category(&mut self, category: Categories, name: &[u8], allow: bool) {
        self.note_rule(allow, name);
        every().filter(|command| command.categories().has(category)).for_each(|command| self.change(command, allow));
    }

    /// Allows a command with this first argument.
    pub(super) fn add_first_arg(&mut self, command: &'static Command, arg: &[u8], rule: &[u8]) {
        let known = self.first_args.entry(command.name).or_default();
        if !known.iter().any(|it| it.eq_ignore_ascii_case(arg)) {
            known.push(arg.into());
        }
        self.note_rule(true, rule);
    }

    /// A rule takes the place of those about the same, and of those about subcommands of it.
    fn note_rule(&mut self, allow: bool, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        let is_older = |rule: &[u8]| rule.strip_prefix(&*name).is_some_and(|rest| matches!(rest, [] | [b'|', ..]));
        self.rules.retain(|(_, rule)| !is_older(rule));
        self.rules.push((if allow { '+' } else { '-' }, name.into()));
    }

    /// Whether a command may be called at all, with this first argument.
    pub(super) fn allows_command(&self, command: &Command, first_arg: Option<&[u8]>) -> bool {
        if self.all_commands || self.commands.contains(command.name) {
            return true;
        }
        let Some(known) = self.first_args.get(command.name) else { return false };
        first_arg.is_some_and(|arg| known.iter().any(|it| it.eq_ignore_ascii_case(arg)))
    }

    /// The rules on commands.
    #[must_use]
    pub fn command_rules(&self) -> Vec<u8> {
        let mut text = if self.from_all { b"+@all".to_vec() } else { b"-@all".to_vec() };
        for (sign, name) in &self.rules {
            text.extend([b' ', u8::try_from(*sign).unwrap_or(b'-')]);
            text.extend_from_slice(name);
        }
        text
    }

    /// The patterns of keys.
    #[must_use]
    pub fn key_rules(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let prefix = |it: &KeyPattern| match (it.reads, it.writes) {
            (true, false) => "%R~",
            (false, true) => "%W~",
            // Without the letters it would be the rule that allows all, behind which there are no patterns.
            _ if &*it.pattern == b"*" => "%RW~",
            _ => "~",
        };
        let rules: Vec<Vec<u8>> = self.keys.iter().map(|it| [prefix(it).as_bytes(), &it.pattern].concat()).collect();
        rules.join(&b' ')
    }

    /// The patterns of channels.
    #[must_use]
    pub fn channel_rules(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let rules: Vec<Vec<u8>> = self.channels.iter().map(|it| [b"&", &**it].concat()).collect();
        rules.join(&b' ')
    }

    /// All rules, as they would be given.
    pub(super) fn describe(&self) -> Vec<u8> {
        let mut words = Vec::new();
        words.extend(Some(self.key_rules()).filter(|rules| !rules.is_empty()));
        if !self.all_channels {
            words.push(b"resetchannels".to_vec());
        }
        words.extend(Some(self.channel_rules()).filter(|rules| !rules.is_empty()));
        words.push(self.command_rules());
        words.join(&b' ')
    }
}
