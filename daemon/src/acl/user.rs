//! A user: what it may do, and how it shows who it is.

use super::password::PasswordHash;
use super::rule::RuleError;
use super::selector::Selector;

/// The user that a client is until it says otherwise.
pub const DEFAULT: &[u8] = b"default";

/// A user, as of its last change. It never changes: another one takes its place.
#[derive(Clone, Debug)]
pub struct User {
    /// What it is called.
    pub name: Box<[u8]>,
    pub(super) is_on: bool,
    /// Whether any password will do.
    pub(super) needs_no_password: bool,
    /// Kept because it can be asked for; what is restored is looked through for everybody.
    pub(super) skips_sanitizing: bool,
    passwords: Vec<PasswordHash>,
    pub(super) root: Selector,
    /// Each allows what it allows beside the others.
    pub(super) selectors: Vec<Selector>,
}

impl User {
    /// One that may do nothing.
    pub(super) fn new(name: &[u8], all_channels: bool) -> Self {
        Self {
            name: name.into(),
            is_on: false,
            needs_no_password: false,
            skips_sanitizing: false,
            passwords: Vec::new(),
            root: Selector::new(all_channels),
            selectors: Vec::new(),
        }
    }

    /// The one that everybody is, and that may do everything, unless somebody says otherwise.
    pub(super) fn first() -> Self {
        let mut user = Self::new(DEFAULT, true);
        (user.is_on, user.needs_no_password, user.root.all_keys) = (true, true, true);
        user.root.set_all_commands(true);
        user
    }

    /// Whether a client is this user without showing a password.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_on && self.needs_no_password
    }

    /// Whether any password will do.
    #[must_use]
    pub fn needs_no_password(&self) -> bool {
        self.needs_no_password
    }

    /// Whether it may do everything.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.root.is_free() || self.selectors.iter().any(Selector::is_free)
    }

    /// Whether it is shown by this password.
    pub(super) fn is_shown_by(&self, password: &PasswordHash) -> bool {
        // All are looked at, however many fit.
        let fits = self.passwords.iter().fold(false, |fits, known| fits | known.is(password));
        self.is_on && (self.needs_no_password || fits)
    }

    pub(super) fn reset_passwords(&mut self, needs_none: bool) {
        self.needs_no_password = needs_none;
        self.passwords.clear();
    }

    pub(super) fn add_password(&mut self, password: PasswordHash) {
        if !self.passwords.iter().any(|known| known.is(&password)) {
            self.passwords.push(password);
        }
        self.needs_no_password = false;
    }

    pub(super) fn remove_password(&mut self, password: &PasswordHash) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| known.is(password)).ok_or(RuleError::NoPassword)?;
        self.passwords.remove(at);
        Ok(())
    }

    /// Redis's words for what it is.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        let sanitizes = if self.skips_sanitizing { "skip-sanitize-payload" } else { "sanitize-payload" };
        let flags =
            [Some(if self.is_on { "on" } else { "off" }), self.needs_no_password.then_some("nopass"), Some(sanitizes)];
        flags.into_iter().flatten()
    }

    /// Its passwords.
    #[must_use]
    pub fn passwords(&self) -> &[PasswordHash] {
        &self.passwords
    }

    /// What it may do first of all.
    #[must_use]
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// What it may do besides.
    #[must_use]
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// All selectors, the root first.
    pub(super) fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// The line that says all about it, as `ACL LIST` and the file have it.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = vec![b"user".to_vec(), self.name.to_vec()];
        words.extend(self.flags().map(|flag| flag.as_bytes().to_vec()));
        words.extend(self.passwords.iter().map(|hash| format!("#{hash}").into_bytes()));
        words.push(self.root.describe());
        words.extend(self.selectors.iter().map(|it| [b"(", &*it.describe(), b")"].concat()));
        words.join(&b' ')
    }
}
