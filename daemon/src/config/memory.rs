//! How much memory the data may take, in Redis's spelling.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected};

use cahoots_gossip::engine::{EvictionPolicy, MemoryBound};

/// Redis's bound on `maxmemory-samples`.
pub const SAMPLES_MAX: u8 = 64;

/// A number of bytes, like `104857600` or `100mb`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemorySize(pub usize);

impl FromStr for MemorySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit: Option<usize> = match &*text[digits..].to_ascii_lowercase() {
            "" | "b" => Some(1),
            "k" => Some(1_000),
            "kb" => Some(1 << 10),
            "m" => Some(1_000_000),
            "mb" => Some(1 << 20),
            "g" => Some(1_000_000_000),
            "gb" => Some(1 << 30),
            _ => None,
        };
        let bytes = text[..digits].parse::<usize>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        bytes.map(Self).ok_or_else(|| "argument must be a memory value".to_owned())
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for MemorySize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Number(u64),
            Text(String),
        }
        match Given::deserialize(deserializer)? {
            Given::Number(bytes) => {
                let refused = |_| D::Error::invalid_value(Unexpected::Unsigned(bytes), &"a number of bytes");
                usize::try_from(bytes).map(Self).map_err(refused)
            }
            Given::Text(text) => text.parse().map_err(|_| D::Error::custom(format!("`{text}` is no size, like 100mb"))),
        }
    }
}

/// What is evicted when memory is short, in Redis's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PolicyWord(pub EvictionPolicy);

/// The words, in the order in which Redis lists them.
const POLICIES: [(&str, EvictionPolicy); 8] = [
    ("volatile-lru", EvictionPolicy::VolatileLru),
    ("volatile-lfu", EvictionPolicy::VolatileLfu),
    ("volatile-random", EvictionPolicy::VolatileRandom),
    ("volatile-ttl", EvictionPolicy::VolatileTtl),
    ("allkeys-lru", EvictionPolicy::AllKeysLru),
    ("allkeys-lfu", EvictionPolicy::AllKeysLfu),
    ("allkeys-random", EvictionPolicy::AllKeysRandom),
    ("noeviction", EvictionPolicy::NoEviction),
];

impl PolicyWord {
    /// Redis's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        POLICIES.iter().find(|(_, policy)| *policy == self.0).map_or("noeviction", |(word, _)| word)
    }
}

impl FromStr for PolicyWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = POLICIES.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        found.map(|(_, policy)| Self(*policy)).ok_or_else(|| {
            let words = POLICIES.map(|(word, _)| word).join(", ");
            format!("argument(s) must be one of the following: {words}")
        })
    }
}

impl TryFrom<String> for PolicyWord {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl ValueEnum for PolicyWord {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [PolicyWord; POLICIES.len()] = {
            let mut all = [PolicyWord(EvictionPolicy::NoEviction); POLICIES.len()];
            let mut at = 0;
            while at < POLICIES.len() {
                all[at] = PolicyWord(POLICIES[at].1);
                at += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.word()))
    }
}

impl super::Config {
    /// The bound on the memory that the data takes.
    #[must_use]
    pub fn memory_bound(&self) -> MemoryBound {
        MemoryBound {
            bytes_max: self.maxmemory.value.0,
            policy: self.maxmemory_policy.value.0,
            samples: self.maxmemory_samples.value.clamp(1, SAMPLES_MAX.into()),
            log_factor: self.lfu_log_factor.value,
            decay_minutes: self.lfu_decay_time.value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_policies_are_spelled_as_in_redis() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("1b", 1), ("2k", 2_000), ("2KB", 2_048), ("100mb", 100 << 20), ("1gB", 1 << 30)]
        {
            assert_eq!(text.parse(), Ok(MemorySize(bytes)), "{text}");
        }
        for text in ["", "mb", "-1", "1.5gb", "1tb", "1 mb", "99999999999gb"] {
            assert!(text.parse::<MemorySize>().is_err(), "{text}");
        }
        for (word, policy) in POLICIES {
            assert_eq!((word.parse(), PolicyWord(policy).word()), (Ok(PolicyWord(policy)), word));
        }
        assert!("lru".parse::<PolicyWord>().is_err());
    }
}
