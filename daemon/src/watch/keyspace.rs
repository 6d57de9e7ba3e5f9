//! Keyspace events: what happens to keys, published on channels of this daemon.
//!
//! `notify-keyspace-events` says which, in Redis's letters; while none is wanted nothing is recorded and nothing costs
//! anything. They are published to the clients of this daemon alone: each daemon tells its own of what it applies.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde::Deserialize;

use crate::pubsub::{PubSub, Topic};
use cahoots_gossip::store::Class;
use cahoots_gossip::store::database::{SYSTEM, parts};

/// A class of events: a bit for each letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventClass(u32);

/// The letters, bit by bit.
const LETTERS: &[u8; 13] = b"KEg$lshzxetdm";
/// The letter that is not among those that `A` stands for, beside `m`: keys that are new.
const NEW_LETTER: u8 = b'n';

impl EventClass {
    const fn of(letter: u8) -> Self {
        let mut bit = 0;
        while LETTERS[bit] != letter {
            bit += 1;
        }
        Self(1 << bit)
    }

    /// Commands that do not depend on the type.
    pub const GENERIC: Self = Self::of(b'g');
    /// A key that has expired.
    pub const EXPIRED: Self = Self::of(b'x');
    /// A key that was evicted.
    pub const EVICTED: Self = Self::of(b'e');
    /// A key that was looked for and was not there.
    pub const MISS: Self = Self::of(b'm');
    /// A key that is new.
    pub const NEW: Self = Self(1 << LETTERS.len());

    const KEYSPACE: Self = Self::of(b'K');
    const KEYEVENT: Self = Self::of(b'E');

    /// Commands on this type.
    #[must_use]
    pub const fn of_type(class: Class) -> Self {
        match class {
            Class::Text => Self::of(b'$'),
            Class::List => Self::of(b'l'),
            Class::Set => Self::of(b's'),
            Class::Hash => Self::of(b'h'),
            Class::Sorted => Self::of(b'z'),
            Class::Stream => Self::of(b't'),
            _ => Self::GENERIC,
        }
    }
}

/// All that `A` stands for: every class but misses and new keys.
const ALL: u32 = {
    let (mut all, mut bit) = (0, 2);
    while bit < LETTERS.len() - 1 {
        all |= 1 << bit;
        bit += 1;
    }
    all
};

/// A choice of events, in Redis's letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct EventLetters(u32);

impl FromStr for EventLetters {
    type Err = String;

    fn from_str(letters: &str) -> Result<Self, String> {
        let bits = |letter| match letter {
            b'A' => Some(ALL),
            NEW_LETTER => Some(EventClass::NEW.0),
            letter => LETTERS.iter().position(|it| *it == letter).map(|bit| 1 << bit),
        };
        let wanted = letters.bytes().try_fold(0, |wanted, letter| Some(wanted | bits(letter)?));
        wanted.map(Self).ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned())
    }
}

impl TryFrom<String> for EventLetters {
    type Error = String;

    fn try_from(letters: String) -> Result<Self, String> {
        letters.parse()
    }
}

/// In the order in which Redis writes them; keys that are new go without saying beside `A`, as there.
impl fmt::Display for EventLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |bit: &usize| self.0 & 1 << bit != 0;
        let letter = |bit: usize| char::from(*LETTERS.get(bit).unwrap_or(&NEW_LETTER));
        let (miss, new) = (LETTERS.len() - 1, LETTERS.len());
        let classes =
            if self.0 & ALL == ALL { "A".to_owned() } else { (2..miss).chain([new]).filter(has).map(letter).collect() };
        let ways: String = [0, 1, miss].into_iter().filter(has).map(letter).collect();
        write!(f, "{classes}{ways}")
    }
}

/// Which events are wanted.
#[derive(Debug, Default)]
pub struct KeyspaceEvents(AtomicU32);

impl KeyspaceEvents {
    /// Chooses them.
    pub fn choose(&self, letters: EventLetters) {
        self.0.store(letters.0, Relaxed);
    }

    /// What was chosen.
    #[must_use]
    pub fn letters(&self) -> EventLetters {
        EventLetters(self.0.load(Relaxed))
    }

    /// Whether any event is.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// Whether events of this class are.
    #[must_use]
    pub fn wants(&self, class: EventClass) -> bool {
        self.0.load(Relaxed) & class.0 != 0
    }

    /// Publishes that something happened to a key, as it is called in the store, if that is wanted.
    pub fn tell(&self, pubsub: &PubSub, class: EventClass, event: &str, stored: &[u8]) {
        if !self.wants(class) {
            return;
        }
        let (database, key) = parts(stored);
        if database == SYSTEM {
            return; // no client knows of it
        }
        if self.wants(EventClass::KEYSPACE) {
            let channel = [format!("__keyspace@{database}__:").as_bytes(), key].concat();
            pubsub.publish(Topic::Channel, &channel, event.as_bytes());
        }
        if self.wants(EventClass::KEYEVENT) {
            let channel = format!("__keyevent@{database}__:{event}");
            pubsub.publish(Topic::Channel, channel.as_bytes(), key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_and_written_as_redis_does() {
        let cases = [
            ("", ""),
            ("KEA", "AKE"),
            ("Kx", "xK"),
            ("Eg$", "g$E"),
            ("KEg$lshzxetd", "AKE"),
            ("KEAm", "AKEm"),
            ("KEAmn", "AKEm"),
            ("mn", "nm"),
            ("ng$KE", "g$nKE"),
        ];
        for (given, said) in cases {
            assert_eq!(given.parse::<EventLetters>().expect(given).to_string(), said, "{given}");
        }
        assert!("KEy".parse::<EventLetters>().is_err());
    }
}
