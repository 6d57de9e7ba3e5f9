//! How Redis 7.0 would keep a value, under the limits that are set. Here values are kept otherwise.

use crate::resp::integer;
use crate::state::Parameters;
use cahoots_gossip::store::{Class, View};

/// The longest string that Redis keeps in one piece with its head.
const EMBEDDED_BYTES_MAX: usize = 44;
/// Unless it is said otherwise, up to so many integers are a sorted array.
const INTEGERS_MAX: usize = 512;
/// Up to so many fields, and so many members with scores, none of them longer, are one string.
const PACKED_FIELDS_MAX: usize = 512;
const PACKED_SCORES_MAX: usize = 128;
const PACKED_BYTES_MAX: usize = 64;
pub(super) fn encoding_of(view: &View<'_>, parameters: &Parameters) -> &'static str {
    let limit = |name, default| parameters.value(name).and_then(|value| value.parse().ok()).unwrap_or(default);
    // A score is never long.
    let has_values = view.class() == Class::Hash;
    let are_packed = |entries, entries_default, value| {
        let bytes_max = limit(value, PACKED_BYTES_MAX);
        let are_short =
            |name: &[u8], value: &[u8]| name.len() <= bytes_max && (!has_values || value.len() <= bytes_max);
        view.len() <= limit(entries, entries_default) && view.iter().all(|(name, value)| are_short(name, &value))
    };
    match view.class() {
        Class::Text => match view.text().unwrap_or_default() {
            text if integer(&text).is_some() => "int",
            text if text.len() <= EMBEDDED_BYTES_MAX => "embstr",
            _ => "raw",
        },
        Class::Set if view.len() <= limit("set-max-intset-entries", INTEGERS_MAX) => {
            if view.iter().all(|(name, _)| integer(name).is_some()) { "intset" } else { "hashtable" }
        }
        Class::Hash if are_packed("hash-max-listpack-entries", PACKED_FIELDS_MAX, "hash-max-listpack-value") => {
            "listpack"
        }
        Class::Set | Class::Hash => "hashtable",
        Class::Sorted if are_packed("zset-max-listpack-entries", PACKED_SCORES_MAX, "zset-max-listpack-value") => {
            "listpack"
        }
        Class::Sorted => "skiplist",
        Class::List => "quicklist",
        Class::Stream => "stream",
        _ => "raw",
    }
}
