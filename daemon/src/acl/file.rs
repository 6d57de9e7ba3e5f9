//! The file with the users: a line for each, as `ACL LIST` tells them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::rule::{self, RuleError};
use super::user::User;
use super::{USER_BYTES_MAX, USERS_MAX, Users};
use crate::config::write_whole;

/// Bytes of the file: far more than users need, and little enough to be read at once.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum AclFileError {
    /// It cannot be read.
    #[error("Error loading ACLs, opening file '{path}': {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it says makes no sense: all that is wrong, in one line.
    #[error("{0}WARNING: ACL errors detected, no change to the previously active ACL rules was performed")]
    Content(String),
}

/// Reads users. `all_channels` is what a fresh user has.
///
/// # Errors
/// It cannot be read, or not all of it makes sense.
pub fn read(path: &Path, all_channels: bool) -> Result<Users, AclFileError> {
    let failed = |source| AclFileError::Read { path: path.to_owned(), source };
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let source = io::Error::other(format!("it is longer than {FILE_BYTES_MAX} bytes"));
        return Err(AclFileError::Read { path: path.to_owned(), source });
    }
    parse(&text, &path.display().to_string(), all_channels)
}

/// Reads the lines of a file of that name.
///
/// # Errors
/// Not all of them make sense.
pub fn parse(text: &[u8], name: &str, all_channels: bool) -> Result<Users, AclFileError> {
    let (mut users, mut errors) = (Users::new(), String::new());
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        match user_of(line, all_channels) {
            Ok(user) if users.contains_key(&user.name) => {
                let known = String::from_utf8_lossy(&user.name);
                errors.push_str(&format!("WARNING: Duplicate user '{known}' found on line {}. ", at + 1));
            }
            Ok(_) if users.len() >= USERS_MAX => {
                errors.push_str(&format!("{name}:{}: there are {USERS_MAX} users at most. ", at + 1));
                break;
            }
            Ok(user) => _ = users.insert(user.name.clone(), Arc::new(user)),
            Err(why) => errors.push_str(&format!("{name}:{}{why}. ", at + 1)),
        }
    }
    if errors.is_empty() { Ok(users) } else { Err(AclFileError::Content(errors)) }
}

/// The user that a line is about; or what is wrong with it, to stand behind the line's number.
fn user_of(line: &[u8], all_channels: bool) -> Result<User, String> {
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(b"user"), Some(name)) = (words.next(), words.next()) else {
        return Err(" should start with user keyword followed by the username".to_owned());
    };
    if rule::has_spaces(name) {
        return Err(format!(": username '{}' contains invalid characters", text(name)));
    }
    if line.len() > USER_BYTES_MAX {
        return Err(format!(": {}", RuleError::TooMuch));
    }
    let rules = rule::merged(words).map_err(|_| ": Unmatched parenthesis in selector definition".to_owned())?;
    let mut user = User::new(name, all_channels);
    for rule in rules {
        user.apply(rule.trim_ascii(), all_channels).map_err(|why| match why {
            // What is no name of a command is no secret.
            RuleError::Unknown => format!(": Error in applying operation '{}': {why}", text(&rule)),
            _ => format!(": {why}"),
        })?;
    }
    Ok(user)
}

/// Writes users: the file is as it was, or has all of them, whatever happens meanwhile.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, users: &[Arc<User>]) -> io::Result<()> {
    let mut text = Vec::new();
    for user in users {
        text.extend_from_slice(&user.line());
        text.push(b'\n');
    }
    // Hashes can be guessed at by whoever has them.
    write_whole(path, &text, None)
}
