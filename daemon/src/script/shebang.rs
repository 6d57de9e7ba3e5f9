//! The first line of a script, which may say how it is to be run: `#!lua flags=no-writes`.

use super::ScriptError;

/// The flags there are, in the order in which Redis lists them. All but the first two are of no meaning here: nothing is refused
/// by a replica that lags, or for slots.
const FLAGS: [&str; 5] = [NO_WRITES, ALLOW_OOM, "allow-stale", "no-cluster", "allow-cross-slot-keys"];
const NO_WRITES: &str = "no-writes";
const ALLOW_OOM: &str = "allow-oom";

/// What a script says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFlags {
    /// Whether it says anything.
    pub declared: bool,
    given: [bool; FLAGS.len()],
}

impl ScriptFlags {
    /// Of one that says that it has none.
    pub(super) fn declared() -> Self {
        Self { declared: true, ..Self::default() }
    }

    /// Takes one flag more, if there is such a one.
    pub(super) fn take(&mut self, flag: &str) -> bool {
        let place = FLAGS.iter().position(|it| *it == flag);
        place.inspect(|place| self.given[*place] = true).is_some()
    }

    /// Whether it writes nothing.
    #[must_use]
    pub fn no_writes(self) -> bool {
        self.words().next() == Some(NO_WRITES)
    }

    /// Whether it may write though memory is short.
    #[must_use]
    pub fn allow_oom(self) -> bool {
        self.words().any(|it| it == ALLOW_OOM)
    }

    /// Whether it says what it needs, and that it takes memory.
    #[must_use]
    pub fn grows(self) -> bool {
        self.declared && !self.allow_oom() && !self.no_writes()
    }

    /// The flags that were given.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        FLAGS.into_iter().zip(self.given).filter_map(|(word, is_given)| is_given.then_some(word))
    }
}

/// Reads the first line, if it says something; what is left begins in that line, so that lines keep their numbers.
pub(super) fn read(text: &[u8]) -> Result<(ScriptFlags, &[u8]), ScriptError> {
    if !text.starts_with(b"#!") {
        return Ok((ScriptFlags::default(), text));
    }
    let refuse = |why: String| Err(ScriptError::Shebang(why));
    let Some(end) = memchr::memchr(b'\n', text) else { return refuse("Invalid script shebang".to_owned()) };
    let line = String::from_utf8_lossy(&text[..end]);
    let mut words = line.split_ascii_whitespace();
    let engine = words.next().unwrap_or_default();
    if engine != "#!lua" {
        return refuse(format!("Unexpected engine in script shebang: {engine}"));
    }
    let mut flags = ScriptFlags::declared();
    for word in words {
        let Some(list) = word.strip_prefix("flags=") else {
            return refuse(format!("Unknown lua shebang option: {word}"));
        };
        if let Some(unknown) = list.split(',').filter(|flag| !flag.is_empty()).find(|flag| !flags.take(flag)) {
            return refuse(format!("Unexpected flag in script shebang: {unknown}"));
        }
    }
    Ok((flags, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_says_how_a_script_is_to_be_run() {
        for (text, expected) in [
            ("return 1", "false false 8"),
            ("#!lua\nreturn 1", "true false 9"),
            ("#!lua flags=allow-oom,no-writes\n", "true true 1"),
            ("#!lua", "ERR Invalid script shebang"),
            ("#!js\n", "ERR Unexpected engine in script shebang: #!js"),
            ("#!lua name=x\n", "ERR Unknown lua shebang option: name=x"),
            ("#!lua flags=no-such\n", "ERR Unexpected flag in script shebang: no-such"),
        ] {
            let read = match read(text.as_bytes()) {
                Ok((flags, rest)) => format!("{} {} {}", flags.declared, flags.no_writes(), rest.len()),
                Err(error) => error.to_string(),
            };
            assert_eq!(read, expected, "{text}");
        }
    }
}
