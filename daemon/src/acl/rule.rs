//! Rules: words that change what a user may do, as `ACL SETUSER` takes them.
//!
//! What a user is told as (`ACL LIST`, the file) is read back as the same user. So names, patterns and arguments hold no
//! white space, and within a selector, whose words are split as Redis splits them, no quote and no parenthesis at the end.

use std::borrow::Cow;

use thiserror::Error;

use super::password::PasswordHash;
use super::selector::{KeyPattern, Selector};
use super::user::User;
use super::{SELECTORS_MAX, USER_BYTES_MAX};
use crate::command::{Categories, command_by_name};
use crate::resp::split_words;

/// Why a rule is refused, in Redis's words.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RuleError {
    /// There is no such command or category.
    #[error("Unknown command or category name in ACL")]
    Unknown,
    /// It makes no sense.
    #[error("Syntax error")]
    Syntax,
    /// A pattern, and all keys are allowed.
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try \
         'resetkeys' to start with an empty list of patterns"
    )]
    AllKeys,
    /// A pattern, and all channels are allowed.
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try \
         'resetchannels' to start with an empty list of channels"
    )]
    AllChannels,
    /// The user has no such password.
    #[error("The password you are trying to remove from the user does not exist")]
    NoPassword,
    /// What should be a hash is none.
    #[error("The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters")]
    NoHash,
    /// A first argument of a subcommand.
    #[error("Allowing first-arg of a subcommand is not supported")]
    Subcommand,
    /// More than a user may have.
    #[error("A user takes {USER_BYTES_MAX} bytes of rules and {SELECTORS_MAX} selectors at most")]
    TooMuch,
}

/// Whether there is white space, as C has it, or a zero.
pub(super) fn has_spaces(word: &[u8]) -> bool {
    word.iter().any(|byte| matches!(byte, 0 | b' ' | b'\t'..=b'\r'))
}

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// Puts selectors together that are spread over several words; or says with which word one begins that does not end.
pub(super) fn merged<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Cow<'a, [u8]>>, &'a [u8]> {
    let mut merged = Vec::new();
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for word in words {
        let closes = word.ends_with(b")");
        match &mut open {
            Some((_, text)) => {
                text.push(b' ');
                text.extend_from_slice(word);
                if closes {
                    merged.extend(open.take().map(|(_, text)| Cow::Owned(text)));
                }
            }
            None if word.starts_with(b"(") && !closes => open = Some((word, word.to_vec())),
            None => merged.push(Cow::Borrowed(word)),
        }
    }
    open.map_or(Ok(merged), |(first, _)| Err(first))
}

impl User {
    /// Applies one rule. `all_channels` is what a fresh user has.
    ///
    /// # Errors
    /// It makes no sense; the user may be changed in part.
    pub(super) fn apply(&mut self, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        match rule {
            [] => {}
            _ if is(rule, "on") => self.is_on = true,
            _ if is(rule, "off") => self.is_on = false,
            _ if is(rule, "skip-sanitize-payload") => self.skips_sanitizing = true,
            _ if is(rule, "sanitize-payload") => self.skips_sanitizing = false,
            _ if is(rule, "nopass") => self.reset_passwords(true),
            _ if is(rule, "resetpass") => self.reset_passwords(false),
            [b'>', password @ ..] => self.add_password(PasswordHash::of(password)),
            [b'#', hash @ ..] => self.add_password(PasswordHash::parse(hash).ok_or(RuleError::NoHash)?),
            [b'<', password @ ..] => self.remove_password(&PasswordHash::of(password))?,
            [b'!', hash @ ..] => self.remove_password(&PasswordHash::parse(hash).ok_or(RuleError::NoHash)?)?,
            [b'(', words @ .., b')'] => {
                if self.selectors.len() >= SELECTORS_MAX {
                    return Err(RuleError::TooMuch);
                }
                self.selectors.push(selector(words, all_channels)?);
            }
            _ if is(rule, "clearselectors") => self.selectors.clear(),
            _ if is(rule, "reset") => {
                *self = Self::new(&self.name, all_channels);
            }
            _ => self.root.apply(rule)?,
        }
        Ok(())
    }
}

/// What stands between parentheses.
fn selector(text: &[u8], all_channels: bool) -> Result<Selector, RuleError> {
    let mut selector = Selector::new(all_channels);
    for word in split_words(text).ok_or(RuleError::Syntax)? {
        // As told it would not be split, or would end, as it should.
        if word.iter().any(|byte| matches!(byte, b'"' | b'\'')) || word.ends_with(b")") {
            return Err(RuleError::Syntax);
        }
        selector.apply(&word)?;
    }
    Ok(selector)
}

impl Selector {
    fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule {
            _ if is(rule, "allkeys") || rule == b"~*" => self.set_keys(true),
            _ if is(rule, "resetkeys") => self.set_keys(false),
            _ if is(rule, "allchannels") || rule == b"&*" => self.set_channels(true),
            _ if is(rule, "resetchannels") => self.set_channels(false),
            _ if is(rule, "allcommands") || is(rule, "+@all") => self.set_all_commands(true),
            _ if is(rule, "nocommands") || is(rule, "-@all") => self.set_all_commands(false),
            [b'~' | b'%', ..] => self.add_keys(rule)?,
            [b'&', pattern @ ..] => self.add_channel(pattern)?,
            [sign @ (b'+' | b'-'), category @ ..] if category.starts_with(b"@") => {
                let found = Categories::named(&category[1..]).ok_or(RuleError::Unknown)?;
                self.set_category(found, category, *sign == b'+');
            }
            [b'+', name @ ..] => self.allow(name)?,
            [b'-', name @ ..] => self.set_command(command_by_name(name).ok_or(RuleError::Unknown)?, false),
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    fn set_keys(&mut self, all: bool) {
        self.all_keys = all;
        self.keys.clear();
    }

    fn set_channels(&mut self, all: bool) {
        self.all_channels = all;
        self.channels.clear();
    }

    fn add_keys(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::AllKeys);
        }
        let (mut reads, mut writes) = (false, false);
        let pattern = match rule.strip_prefix(b"%") {
            None => {
                (reads, writes) = (true, true);
                &rule[1..]
            }
            Some(rest) => {
                let letters = rest.iter().take_while(|byte| **byte != b'~').count();
                for letter in &rest[..letters] {
                    match letter.to_ascii_uppercase() {
                        b'R' if !reads => reads = true,
                        b'W' if !writes => writes = true,
                        _ => return Err(RuleError::Syntax),
                    }
                }
                // Without a pattern it is about the key without a name, as in Redis.
                rest.get(letters + 1..).unwrap_or_default()
            }
        };
        if !(reads || writes) || has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| &*known.pattern == pattern) {
            Some(known) => {
                known.reads |= reads;
                known.writes |= writes;
            }
            None => self.keys.push(KeyPattern { pattern: pattern.into(), reads, writes }),
        }
        Ok(())
    }

    fn add_channel(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::AllChannels);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| &**known == pattern) {
            self.channels.push(pattern.into());
        }
        Ok(())
    }

    /// Allows a command, a subcommand, or a command with a first argument.
    fn allow(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let Some(bar) = memchr::memrchr(b'|', name) else {
            self.set_command(command_by_name(name).ok_or(RuleError::Unknown)?, true);
            return Ok(());
        };
        let (before, arg) = (&name[..bar], &name[bar + 1..]);
        let command = command_by_name(before).ok_or(RuleError::Unknown)?;
        if before.contains(&b'|') {
            return Err(RuleError::Subcommand);
        }
        if arg.is_empty() || has_spaces(arg) {
            return Err(RuleError::Syntax);
        }
        if command.subcommands.is_empty() {
            self.add_first_arg(command, arg, name);
        } else {
            self.set_command(command_by_name(name).ok_or(RuleError::Unknown)?, true);
        }
        Ok(())
    }
}
