//! The arguments that commands take, as documentation has them.

use std::fmt;

/// One argument, or several that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// What it is called.
    pub name: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// The word in front of it, if there is one; of [`Kind::Token`] the word itself.
    pub token: Option<&'static str>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be repeated.
    pub multiple: bool,
}

/// What may stand in an argument's place.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A key.
    Key,
    /// Any bytes.
    String,
    /// A 64-bit integer.
    Integer,
    /// A floating-point number.
    Double,
    /// A glob-style pattern.
    Pattern,
    /// The word alone.
    Token,
    /// One of these.
    OneOf(&'static [Argument]),
    /// All of these, one after the other.
    Block(&'static [Argument]),
}

impl Argument {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, token: None, optional: false, multiple: false }
    }

    /// The same, and it may be left out.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The same under another name.
    #[must_use]
    pub const fn called(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// The same, and it may be repeated.
    #[must_use]
    pub const fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }

    /// The same behind a word.
    #[must_use]
    pub const fn behind(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }
}

/// A key called `key`.
pub(super) const KEY: Argument = Argument::new("key", Kind::Key);

/// Any bytes.
pub(super) const fn string(name: &'static str) -> Argument {
    Argument::new(name, Kind::String)
}

/// A 64-bit integer.
pub(super) const fn integer(name: &'static str) -> Argument {
    Argument::new(name, Kind::Integer)
}

/// A floating-point number.
pub(super) const fn double(name: &'static str) -> Argument {
    Argument::new(name, Kind::Double)
}

/// A glob-style pattern.
pub(super) const fn pattern(name: &'static str) -> Argument {
    Argument::new(name, Kind::Pattern)
}

/// A word.
pub(super) const fn word(token: &'static str) -> Argument {
    Argument::new(token, Kind::Token).behind(token)
}

/// One of these.
pub(super) const fn one_of(name: &'static str, choices: &'static [Argument]) -> Argument {
    Argument::new(name, Kind::OneOf(choices))
}

/// All of these, one after the other.
pub(super) const fn block(name: &'static str, parts: &'static [Argument]) -> Argument {
    Argument::new(name, Kind::Block(parts))
}

/// As Redis's documentation writes it: `key [NX | XX] [COUNT count] member [member ...]`.
impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.optional {
            f.write_str("[")?;
        }
        if let Some(token) = self.token {
            f.write_str(token)?;
        }
        if !matches!(self.kind, Kind::Token) {
            if self.token.is_some() {
                f.write_str(" ")?;
            }
            self.write_values(f)?;
        }
        if self.multiple {
            f.write_str(" [")?;
            self.write_values(f)?;
            f.write_str(" ...]")?;
        }
        if self.optional {
            f.write_str("]")?;
        }
        Ok(())
    }
}

impl Argument {
    fn write_values(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, between) = match self.kind {
            Kind::OneOf(choices) => (choices, " | "),
            Kind::Block(parts) => (parts, " "),
            _ => return f.write_str(self.name),
        };
        for (at, part) in parts.iter().enumerate() {
            f.write_str(if at > 0 { between } else { "" })?;
            write!(f, "{part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_written_as_redis_documents_them() {
        const PAIR: &[Argument] = &[string("field"), string("value")];
        const CONDITIONS: &[Argument] = &[word("NX"), word("XX")];
        for (argument, written) in [
            (KEY, "key"),
            (KEY.multiple(), "key [key ...]"),
            (integer("count").behind("COUNT").optional(), "[COUNT count]"),
            (one_of("condition", CONDITIONS).optional(), "[NX | XX]"),
            (block("data", PAIR).multiple(), "field value [field value ...]"),
            (word("GET").optional(), "[GET]"),
        ] {
            assert_eq!(argument.to_string(), written);
        }
    }
}
