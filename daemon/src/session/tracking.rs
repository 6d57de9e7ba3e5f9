//! How a client keeps a cache of what it reads.

/// Which of the keys that it reads a client caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CachesWhat {
    /// All.
    #[default]
    All,
    /// Those of commands behind `CLIENT CACHING YES`.
    Told,
    /// All but those of commands behind `CLIENT CACHING NO`.
    NotTold,
}

/// How a client tracks.
#[derive(Debug, Default)]
pub struct TrackingMode {
    /// Which keys it caches.
    pub caches: CachesWhat,
    /// `CLIENT CACHING` was the last command.
    pub told: bool,
    /// It is not told of what it changes itself.
    pub no_loop: bool,
    /// Who is told in its place; 0: nobody.
    pub redirect: u64,
    /// It is told of all keys that begin so, whatever it reads; none of a client that is told of what it reads.
    pub prefixes: Vec<Box<[u8]>>,
}

impl TrackingMode {
    /// Whether it is told of all keys with its prefixes.
    #[must_use]
    pub fn broadcasts(&self) -> bool {
        !self.prefixes.is_empty()
    }

    /// Whether it caches the keys that the command reads which is executed now.
    #[must_use]
    pub fn caches_now(&self) -> bool {
        let cached = match self.caches {
            CachesWhat::All => true,
            CachesWhat::Told => self.told,
            CachesWhat::NotTold => !self.told,
        };
        cached && !self.broadcasts()
    }
}
