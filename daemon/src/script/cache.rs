//! The scripts that are kept, by their digests.
//!
//! One that was loaded stays until all are forgotten. Of those that came with EVAL the latest [`PASSING_MAX`] stay: a program
//! that puts values into the text of its scripts makes new ones without end.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use mlua::Function;
use ring::digest::SHA1_FOR_LEGACY_USE_ONLY;

use super::interpreter::Name;
use super::{Script, ScriptFlags};

/// Scripts kept that came with EVAL.
const PASSING_MAX: usize = 500;

/// SHA-1 of a script's text: its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 20]);

/// The name of a script.
#[must_use]
pub(super) fn digest(text: &[u8]) -> Digest {
    let digest = ring::digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, text);
    Digest(digest.as_ref().try_into().expect("SHA-1 has 20 bytes"))
}

impl Digest {
    /// Reads 40 hexadecimal digits, in any case.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits = <&[u8; 40]>::try_from(text).ok()?;
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).and_then(|it| u8::try_from(it).ok());
            *byte = digit(0)? << 4 | digit(1)?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A script that was compiled.
pub(super) struct Kept {
    pub(super) function: Function,
    pub(super) flags: ScriptFlags,
    pub(super) stays: bool,
}

impl Kept {
    pub(super) fn script(&self, digest: Digest) -> Script {
        Script { name: Name::Digest(digest), function: self.function.clone(), flags: self.flags }
    }
}

#[derive(Default)]
pub(super) struct Cache {
    kept: HashMap<Digest, Kept>,
    /// Those that do not stay, the oldest first; and some that do by now.
    passing: VecDeque<Digest>,
}

impl Cache {
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.kept.contains_key(digest)
    }

    /// A script; with `stays` it is kept for good from now on.
    pub(super) fn get(&mut self, digest: &Digest, stays: bool) -> Option<&Kept> {
        let kept = self.kept.get_mut(digest)?;
        kept.stays |= stays;
        Some(kept)
    }

    pub(super) fn keep(&mut self, digest: Digest, kept: Kept) {
        if !kept.stays {
            self.passing.push_back(digest);
        }
        self.kept.insert(digest, kept);
        while self.passing.len() > PASSING_MAX
            && let Some(oldest) = self.passing.pop_front()
        {
            if self.kept.get(&oldest).is_some_and(|it| !it.stays) {
                self.kept.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_in_any_case_and_written_in_lower_case() {
        let one = digest(b"return 1");
        assert_eq!(one.to_string(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        assert_eq!(Digest::parse(b"E0E1F9FABFC9D4800C877A703B823AC0578FF8DB"), Some(one));
        for text in [&b"e0"[..], &[b'g'; 40], b""] {
            assert_eq!(Digest::parse(text), None);
        }
    }
}
