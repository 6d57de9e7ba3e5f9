//! Whether a user may do what it asks for.

use super::selector::Selector;
use super::user::User;
use crate::command::{Channels, Command, KeyUse, glob_matches};
use crate::resp::Args;

/// What a user lacks the right to: the whole command, or an argument of it, in the order in which Redis prefers to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The command.
    Command,
    /// A key: which argument it is.
    Key(usize),
    /// A channel: which argument it is.
    Channel(usize),
}

impl User {
    /// Whether it may call a command with these arguments, the name included.
    ///
    /// # Errors
    /// It may not. Of several selectors that one is told which came furthest.
    pub fn check(&self, command: &Command, args: Args<'_>) -> Result<(), Denied> {
        let mut denied = Denied::Command;
        for selector in self.all_selectors() {
            match selector.check(command, args) {
                Ok(()) => return Ok(()),
                Err(other) => denied = denied.max(other),
            }
        }
        Err(denied)
    }

    /// Whether it may call a command, and read every key that there is.
    #[must_use]
    pub fn may_read_all(&self, command: &Command, args: Args<'_>) -> bool {
        self.all_selectors().any(|it| it.check(command, args).is_ok() && it.reads_all())
    }

    /// Whether it may listen to a channel, or to a pattern, by all selectors together.
    #[must_use]
    pub fn may_listen(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_selectors().any(|selector| selector.allows_channel(channel, is_pattern))
    }

    /// Whether every channel that `before` might use may still be used.
    #[must_use]
    pub fn covers_channels_of(&self, before: &Self) -> bool {
        let has_all = |user: &Self| user.all_selectors().any(|selector| selector.all_channels);
        let known: Vec<_> = self.all_selectors().flat_map(|selector| &selector.channels).collect();
        let mut its = before.all_selectors().flat_map(|selector| &selector.channels);
        has_all(self) || (!has_all(before) && its.all(|channel| known.contains(&channel)))
    }
}

impl Selector {
    fn check(&self, command: &Command, args: Args<'_>) -> Result<(), Denied> {
        let first_arg = args.get(1 + usize::from(command.name.contains('|')));
        if !command.is_for_strangers() && !self.allows_command(command, first_arg) {
            return Err(Denied::Command);
        }
        if !self.all_keys {
            self.check_keys(command, args)?;
        }
        if !self.all_channels {
            self.check_channels(command, args)?;
        }
        Ok(())
    }

    fn check_keys(&self, command: &Command, args: Args<'_>) -> Result<(), Denied> {
        let mut denied = None;
        command.each_key_used(args, |at, does| {
            let is_allowed = args.get(at).is_some_and(|key| self.allows_key(key, does));
            denied = (!is_allowed).then_some(Denied::Key(at));
            is_allowed
        });
        denied.map_or(Ok(()), Err)
    }

    fn allows_key(&self, key: &[u8], does: KeyUse) -> bool {
        self.keys
            .iter()
            .any(|it| (it.reads || !does.reads()) && (it.writes || !does.writes()) && glob_matches(&it.pattern, key))
    }

    fn reads_all(&self) -> bool {
        self.all_keys || self.keys.iter().any(|it| it.reads && &*it.pattern == b"*")
    }

    fn check_channels(&self, command: &Command, args: Args<'_>) -> Result<(), Denied> {
        let (end, are_patterns) = match command.channels {
            Channels::None => return Ok(()),
            Channels::First => (2, false),
            Channels::All => (args.len(), false),
            Channels::Patterns => (args.len(), true),
        };
        let denied = (1..end).find(|at| !self.allows_channel(args.at(*at), are_patterns));
        denied.map_or(Ok(()), |at| Err(Denied::Channel(at)))
    }

    /// A pattern to listen to must be one of those that are allowed, letter by letter.
    fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        let allows = |it: &[u8]| if is_pattern { it == channel } else { glob_matches(it, channel) };
        self.all_channels || self.channels.iter().any(|it| allows(it))
    }
}
