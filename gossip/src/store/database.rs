//! Numbered databases: several spaces of keys in one store, as Redis has them.
//!
//! A key of a numbered database lies in the store under its name behind two bytes: [`MARK`], and the number. Keys of
//! database 0 lie there as they are, and cost nothing more; but for those that begin with the mark, which would be taken
//! for others'. The store counts the keys of each, and knows no more about them: what travels and what is kept is one
//! space of keys.

use std::borrow::Cow;

/// What keys of numbered databases begin with in the store.
pub const MARK: u8 = 0;

/// The key in the store of a key in a database.
#[must_use]
pub fn stored(database: u8, key: &[u8]) -> Cow<'_, [u8]> {
    if database == 0 && key.first() != Some(&MARK) {
        return Cow::Borrowed(key);
    }
    Cow::Owned([&[MARK, database], key].concat())
}

/// The database that a key in the store is of, and the key there: the opposite of [`stored`]. A mark with nothing behind it
/// is nobody's way to say anything, and a key of database 0.
#[must_use]
pub fn parts(stored: &[u8]) -> (u8, &[u8]) {
    match stored {
        [MARK, database, key @ ..] => (*database, key),
        key => (0, key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_every_database_has_a_place_of_its_own() {
        let keys: [&[u8]; 6] = [b"", b"a", b"\0", b"\0\0", b"\0\x01a", b"\x01a"];
        let mut places = std::collections::BTreeSet::new();
        for database in [0, 1, 15, 255] {
            for key in keys {
                let place = stored(database, key).into_owned();
                assert_eq!(parts(&place), (database, key));
                assert!(places.insert(place), "{database} {key:?}");
            }
        }
        assert!(matches!(stored(0, b"plain"), Cow::Borrowed(_)));
    }
}
