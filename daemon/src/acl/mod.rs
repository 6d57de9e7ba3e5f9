//! Who may do what: users, and what each of them is allowed.
//!
//! Users are this daemon's own, as its socket is: they are not replicated. They live in memory, and in a file if one is
//! configured ([`read`], [`write()`]). A user is never changed: another takes its place, and every client finds that at its
//! next command, because the generation has changed. While nobody is kept from anything ([`Acl::guards`]), a command costs
//! a look at one flag.
//!
//! Knows commands by their names, categories, keys and channels; no sockets, and nothing of the store.

mod check;
mod file;
mod log;
mod password;
mod rule;
mod selector;
mod user;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use check::Denied;
pub use file::{AclFileError, parse, read, write};
pub use log::{ACL_LOG_LEN_MAX, AccessLog, Entry, Reason, Scene};
pub use password::PasswordHash;
pub use rule::RuleError;
pub use selector::Selector;
pub use user::{DEFAULT, User};

/// Bytes of a user's rules: they are looked through one by one.
pub const USER_BYTES_MAX: usize = 64 << 10;
/// Selectors of a user, each with a list of all commands that it allows.
pub const SELECTORS_MAX: usize = 256;
/// Users.
pub const USERS_MAX: usize = 10_000;

/// All users by their names.
pub type Users = BTreeMap<Box<[u8]>, Arc<User>>;

/// Who a client is.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The user; none for one that has come before anybody asked.
    user: Option<Arc<User>>,
    /// Whether it has shown that it is, or need not.
    is_shown: bool,
    /// As of which state of the users.
    generation: u64,
}

impl Login {
    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.user.as_ref().map_or(DEFAULT, |user| &user.name)
    }

    /// The user.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// Whether the client has shown who it is, or needed not when it came.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.is_shown
    }
}

/// A user that is another one now, or none.
#[derive(Debug)]
pub struct Change {
    /// As it was.
    pub before: Arc<User>,
    /// As it is.
    pub after: Option<Arc<User>>,
}

/// Who may do what.
pub struct Acl {
    guards: AtomicBool,
    generation: AtomicU64,
    users: Mutex<Users>,
    /// Whether a new user may use all channels.
    pub all_channels: AtomicBool,
    /// The password that was configured for the default user: it can be asked for.
    required: Mutex<Option<PasswordHash>>,
    /// Where users are kept.
    pub file: Option<PathBuf>,
    /// What was refused.
    pub log: AccessLog,
}

impl Default for Acl {
    fn default() -> Self {
        Self::new(None)
    }
}

impl fmt::Debug for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acl").field("users", &self.users().len()).field("file", &self.file).finish_non_exhaustive()
    }
}

impl Acl {
    /// Everybody may do everything; users are to be kept in `file`.
    #[must_use]
    pub fn new(file: Option<PathBuf>) -> Self {
        Self {
            guards: AtomicBool::new(false),
            generation: AtomicU64::new(1),
            users: Mutex::new(BTreeMap::from([(DEFAULT.into(), Arc::new(User::first()))])),
            all_channels: AtomicBool::new(false),
            required: Mutex::new(None),
            file,
            log: AccessLog::default(),
        }
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody may be kept from anything.
    #[must_use]
    #[inline]
    pub fn guards(&self) -> bool {
        self.guards.load(Relaxed)
    }

    /// The users have changed.
    fn changed(&self, users: &Users) {
        let is_free = |user: &Arc<User>| user.is_free() && user.is_open();
        let guards = users.len() > 1 || !users.get(DEFAULT).is_some_and(is_free);
        self.guards.store(guards, Relaxed);
        self.generation.fetch_add(1, Relaxed);
    }

    /// All users, in the order of their names.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<User>> {
        self.users().values().cloned().collect()
    }

    /// The user of that name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users().get(name).cloned()
    }

    /// Who a client is that has just come.
    #[must_use]
    pub fn newcomer(&self) -> Login {
        let user = self.get(DEFAULT);
        let is_shown = user.as_ref().is_some_and(|user| user.is_open());
        Login { user, is_shown, generation: self.generation.load(Relaxed) }
    }

    /// Who a client is that gives this name and password, if it is that user.
    #[must_use]
    pub fn login(&self, name: &[u8], password: &[u8]) -> Option<Login> {
        // Worked out whether there is such a user or not: how long it takes does not tell.
        let hash = PasswordHash::of(password);
        let user = self.get(name).filter(|user| user.is_shown_by(&hash))?;
        Some(Login { user: Some(user), is_shown: true, generation: self.generation.load(Relaxed) })
    }

    /// Has a client be what its user is now. One whose user is gone has shown nothing.
    pub fn refresh(&self, login: &mut Login) {
        let generation = self.generation.load(Relaxed);
        if login.generation != generation {
            let user = self.get(login.name());
            login.is_shown &= user.is_some();
            login.user = user.or_else(|| self.get(DEFAULT));
            login.generation = generation;
        }
    }

    /// Whether the default user may do what it may without a password.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.users().get(DEFAULT).is_some_and(|user| user.is_open())
    }

    /// Changes a user by rules, or makes one: all of them, or none if one is refused.
    ///
    /// # Errors
    /// The refusal, in Redis's words.
    pub fn set<'a>(&self, name: &[u8], rules: impl Iterator<Item = &'a [u8]> + Clone) -> Result<Change, String> {
        if rule::has_spaces(name) {
            return Err("Usernames can't contain spaces or null characters".to_owned());
        }
        let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        let refusal = |rule: &[u8], why| format!("Error in ACL SETUSER modifier '{}': {why}", text(rule));
        let bytes: usize = rules.clone().map(|rule| rule.len() + 1).sum();
        if bytes > USER_BYTES_MAX {
            return Err(RuleError::TooMuch.to_string());
        }
        let rules = rule::merged(rules)
            .map_err(|word| format!("Unmatched parenthesis in acl selector starting at '{}'.", text(word)))?;
        let mut users = self.users();
        let all_channels = self.all_channels.load(Relaxed);
        let known = users.get(name).cloned();
        if known.is_none() && users.len() >= USERS_MAX {
            return Err(format!("There are {USERS_MAX} users at most"));
        }
        let before = known.unwrap_or_else(|| Arc::new(User::new(name, all_channels)));
        let mut user = User::clone(&before);
        for rule in rules {
            user.apply(&rule, all_channels).map_err(|why| refusal(&rule, why))?;
        }
        if user.line().len() > USER_BYTES_MAX {
            return Err(RuleError::TooMuch.to_string());
        }
        let user = Arc::new(user);
        users.insert(name.into(), Arc::clone(&user));
        self.changed(&users);
        Ok(Change { before, after: Some(user) })
    }

    /// Deletes those of these users that there are. The default user stays: who calls has seen to that.
    pub fn delete<'a>(&self, names: impl Iterator<Item = &'a [u8]>) -> Vec<Change> {
        let mut users = self.users();
        let gone = names.filter(|name| *name != DEFAULT).filter_map(|name| users.remove(name));
        let changes = gone.map(|before| Change { before, after: None }).collect();
        self.changed(&users);
        changes
    }

    /// Puts other users in the place of all. Without a default user among them it is as it was first.
    pub fn replace(&self, mut others: Users) -> Vec<Change> {
        others.entry(DEFAULT.into()).or_insert_with(|| Arc::new(User::first()));
        let mut users = self.users();
        let before = std::mem::replace(&mut *users, others);
        self.changed(&users);
        before.into_values().map(|before| Change { after: users.get(&before.name).cloned(), before }).collect()
    }

    /// Has the default user have this password and no other, or none.
    pub fn require(&self, password: Option<PasswordHash>) {
        let mut users = self.users();
        if let Some(user) = users.get(DEFAULT) {
            let mut user = User::clone(user);
            user.reset_passwords(password.is_none());
            password.into_iter().for_each(|password| user.add_password(password));
            users.insert(DEFAULT.into(), Arc::new(user));
        }
        self.changed(&users);
        *self.required.lock().unwrap_or_else(PoisonError::into_inner) = password;
    }

    /// The password that was configured for the default user.
    #[must_use]
    pub fn required(&self) -> Option<PasswordHash> {
        *self.required.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
