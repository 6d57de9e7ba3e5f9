//! When keys were used last, or how often: what decides which of them are evicted first.
//!
//! Kept while a policy asks for it, here alone: no part of the state, of fingerprints or of what travels. A use is noted by the
//! hash of the key, in one of as many places as its bucket has keys, or up to twice as many. Keys that share a place share its
//! uses: such a key counts as used when the other one is, so it stays for longer than it would, and none goes too early. When a
//! bucket has grown, each place becomes two with the same content, since the bits that choose it are those of before and one
//! more.
//!
//! Recency is in tenths of a second. Frequency is Redis's: a logarithmic counter that falls with time (eight bits), and the
//! minute when it was looked at (sixteen); after Morris, *Counting large numbers of events in small registers* (1978).

use super::bucket::{BUCKETS, bucket_of};
use crate::mix;

/// Places of a bucket that has keys, at least.
const PLACES_MIN: usize = 4;
/// One step of recency, in milliseconds: 32 bits of them last for 13 years.
const STEP_MS: u64 = 100;
const MINUTE_MS: u64 = 60_000;
/// The frequency of a key that is new: enough for it to stay until it is used again. Redis's.
const FREQUENCY_NEW: u8 = 5;

/// What is remembered of the uses of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseRule {
    /// When the last one was.
    Recency,
    /// About how many there were lately.
    Frequency {
        /// The higher, the more uses it takes to be counted as one more.
        log_factor: u32,
        /// After so many minutes without a use the counter falls by one; 0 for never.
        decay_minutes: u32,
    },
}

/// How a key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Use {
    /// It is written, and was not there before.
    New,
    /// It was there, and is read or written.
    Again,
}

/// The uses of the keys of a store.
#[derive(Clone, Debug)]
pub(in crate::store) struct Uses {
    rule: UseRule,
    places: Vec<Vec<u32>>,
    /// What stands at a place where nothing was noted.
    begun: u32,
    random: u64,
}

impl Uses {
    /// Nothing was noted before `wall_ms`. `seed` decides which uses are counted.
    pub(in crate::store) fn new(rule: UseRule, wall_ms: u64, seed: u64) -> Self {
        let begun = match rule {
            UseRule::Recency => step_of(wall_ms),
            UseRule::Frequency { .. } => counted(minute_of(wall_ms), FREQUENCY_NEW),
        };
        Self { rule, places: vec![Vec::new(); BUCKETS], begun, random: seed }
    }

    pub(in crate::store) fn rule(&self) -> UseRule {
        self.rule
    }

    /// Another factor or decay: what was counted stays. Says whether the rule is of the same kind.
    pub(in crate::store) fn adapt(&mut self, rule: UseRule) -> bool {
        let is_same = std::mem::discriminant(&self.rule) == std::mem::discriminant(&rule);
        if is_same {
            self.rule = rule;
        }
        is_same
    }

    /// A key of a bucket of so many was used. O(1), amortised.
    pub(in crate::store) fn note(&mut self, key_hash: u64, keys: usize, wall_ms: u64, how: Use) {
        let (rule, begun) = (self.rule, self.begun);
        let places = &mut self.places[bucket_of(key_hash)];
        if places.len() < keys.max(1) {
            grow(places, keys, begun);
        }
        let at = place_of(key_hash, places.len());
        places[at] = match rule {
            UseRule::Recency => step_of(wall_ms),
            UseRule::Frequency { log_factor, .. } => {
                let now = frequency(rule, places[at], wall_ms);
                let count = match how {
                    Use::New => now.max(FREQUENCY_NEW),
                    Use::Again => counted_up(now, log_factor, &mut self.random),
                };
                counted(minute_of(wall_ms), count)
            }
        };
    }

    /// How many milliseconds ago a key was used last; 0 where that is not what is remembered.
    pub(in crate::store) fn idle_ms(&self, key_hash: u64, wall_ms: u64) -> u64 {
        match self.rule {
            UseRule::Recency => {
                u64::from(step_of(wall_ms).wrapping_sub(self.at(key_hash)).cast_signed().max(0).cast_unsigned())
                    * STEP_MS
            }
            UseRule::Frequency { .. } => 0,
        }
    }

    /// How often a key was used lately, on a scale of 0 to 255; 0 where that is not what is remembered.
    pub(in crate::store) fn frequency(&self, key_hash: u64, wall_ms: u64) -> u8 {
        frequency(self.rule, self.at(key_hash), wall_ms)
    }

    /// Has a key count as used so many milliseconds ago, or with this frequency.
    pub(in crate::store) fn set(&mut self, key_hash: u64, keys: usize, wall_ms: u64, frequency: u8) {
        self.note(key_hash, keys, wall_ms, Use::New);
        if let UseRule::Frequency { .. } = self.rule {
            let places = &mut self.places[bucket_of(key_hash)];
            let at = place_of(key_hash, places.len());
            places[at] = counted(minute_of(wall_ms), frequency);
        }
    }

    fn at(&self, key_hash: u64) -> u32 {
        let places = &self.places[bucket_of(key_hash)];
        places.get(place_of(key_hash, places.len())).copied().unwrap_or(self.begun)
    }
}

/// Makes the places at least as many as there are keys.
#[cold]
fn grow(places: &mut Vec<u32>, keys: usize, begun: u32) {
    if places.is_empty() {
        places.resize(PLACES_MIN, begun);
    }
    while places.len() < keys {
        places.extend_from_within(..);
    }
}

/// Which of so many places, a power of two, a hash chooses; 0 of none.
fn place_of(key_hash: u64, places: usize) -> usize {
    let mask = (places as u64).saturating_sub(1);
    usize::try_from(key_hash & mask).expect("less than a number of places")
}

#[expect(clippy::cast_possible_truncation, reason = "it wraps after 13 years, and is only compared")]
fn step_of(wall_ms: u64) -> u32 {
    (wall_ms / STEP_MS) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "it wraps after 45 days, as in Redis")]
fn minute_of(wall_ms: u64) -> u16 {
    (wall_ms / MINUTE_MS) as u16
}

fn counted(minute: u16, count: u8) -> u32 {
    u32::from(minute) << u8::BITS | u32::from(count)
}

/// The counter at a place, as far as it has fallen by now.
fn frequency(rule: UseRule, place: u32, wall_ms: u64) -> u8 {
    let UseRule::Frequency { decay_minutes, .. } = rule else { return 0 };
    let [.., high, low, count] = place.to_be_bytes();
    let passed = u32::from(minute_of(wall_ms).wrapping_sub(u16::from_be_bytes([high, low])));
    let fallen = passed.checked_div(decay_minutes).unwrap_or(0);
    count.saturating_sub(u8::try_from(fallen).unwrap_or(u8::MAX))
}

/// The counter after one more use: the higher it is, the less likely that counts.
fn counted_up(count: u8, log_factor: u32, random: &mut u64) -> u8 {
    let above = u64::from(count.saturating_sub(FREQUENCY_NEW));
    let rarely = above.saturating_mul(log_factor.into()).saturating_add(1);
    count.saturating_add(u8::from(mix::next(random).is_multiple_of(rarely)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 1_700_000_000_000;
    const FREQUENCY: UseRule = UseRule::Frequency { log_factor: 10, decay_minutes: 1 };

    /// Hashes of one bucket.
    fn hash(number: u64) -> u64 {
        mix::mix(number) >> 10
    }

    #[test]
    fn a_key_is_never_less_recent_than_it_was_used_however_the_bucket_grows() {
        let mut uses = Uses::new(UseRule::Recency, WALL, 1);
        for number in 0..5_000_u64 {
            uses.note(hash(number), usize::try_from(number).unwrap() + 1, WALL + number * STEP_MS, Use::New);
        }
        let now = WALL + 5_000 * STEP_MS;
        let idle: Vec<u64> = (0..5_000).map(|number| uses.idle_ms(hash(number), now) / STEP_MS).collect();
        assert!(idle.iter().zip(0..).all(|(idle, number)| *idle <= 5_000 - number));
        let exact = idle.iter().zip(0..).filter(|(idle, number)| **idle == 5_000 - number).count();
        assert!(exact > 2_500, "{exact} have a place to themselves, or were the last there");
        assert_eq!(uses.places[0].len(), 8_192);
        assert_eq!(uses.idle_ms(hash(0), WALL - 1_000_000), 0, "a clock that is put back makes nothing old");
    }

    #[test]
    fn the_counter_grows_ever_slower_and_falls_with_time() {
        let mut uses = Uses::new(FREQUENCY, WALL, 1);
        uses.note(7, 1, WALL, Use::New);
        let mut after = |more: u32| {
            (0..more).for_each(|_| uses.note(7, 1, WALL, Use::Again));
            uses.frequency(7, WALL)
        };
        // Redis's table for a factor of 10: 100 uses 10, 1,000 18, 100,000 142.
        let counts = [after(100), after(900), after(99_000)];
        assert!((7..=14).contains(&counts[0]) && (13..=24).contains(&counts[1]), "{counts:?}");
        assert!((120..=165).contains(&counts[2]), "{counts:?}");
        assert_eq!(uses.frequency(7, WALL + 3 * MINUTE_MS), counts[2] - 3);
        assert_eq!(uses.frequency(7, WALL + 300 * MINUTE_MS), 0);
        assert!(uses.adapt(UseRule::Frequency { log_factor: 0, decay_minutes: 0 }) && !uses.adapt(UseRule::Recency));
        assert_eq!(uses.frequency(7, WALL + 300 * MINUTE_MS), counts[2], "it never falls");
        (0..300).for_each(|_| uses.note(7, 1, WALL, Use::Again));
        assert_eq!(uses.frequency(7, WALL), u8::MAX, "each use counts, up to the last number");
    }
}
