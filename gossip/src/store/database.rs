//! Numbered databases: several spaces of keys in one store, as Redis has them.
//!
//! A key of a numbered database lies in the store under its name behind two bytes: [`MARK`], and the number. Keys of
//! database 0 lie there as they are, and cost nothing more; but for those that begin with the mark, which would be taken
//! for others'. The store counts the keys of each, and knows no more about them: what travels and what is kept is one
//! space of keys.

use std::borrow::Cow;

/// What keys of numbered databases begin with in the store.
pub const MARK: u8 = 0;
/// A database that is no client's: of what those who share the store have among themselves.
pub const SYSTEM: u8 = u8::MAX;

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
    use std::collections::BTreeMap;

    use cahoots_crdt::ReplicaId;

    use super::*;
    use crate::Limits;
    use crate::store::{Class, Store};

    const WALL: u64 = 1_700_000_000_000;

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

    /// Whatever becomes of keys, each database has as many as a walk over all finds.
    #[test]
    fn keys_are_counted_by_database() {
        let mut store = Store::new(ReplicaId::new(1), Limits::default(), 1 << 24);
        let mut random = 1_u64;
        for time in 0..3_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let [database, name, what, ..] = random.to_be_bytes();
            let key = stored([0, 0, 1, 7][usize::from(database % 4)], &[0, name % 50]).into_owned();
            store.write(WALL, 0, |w| match what % 6 {
                0 => drop(w.delete(&key).expect("admitted")),
                1 => drop(w.insert(&key, Class::Set, b"member", b"")),
                2 => drop(w.remove(&key, Class::Set, b"member").expect("admitted")),
                3 if time % 500 == 0 => drop(w.clear().expect("admitted")),
                4 => w.set_until(&key, b"value", Some(WALL + 1)).expect("admitted"),
                _ => w.set(&key, b"value").expect("admitted"),
            });
            if time % 50 == 0 {
                let mut found = BTreeMap::from([(0, 0)]);
                store.at(WALL).scan(0, usize::MAX, |key, _| *found.entry(parts(key).0).or_default() += 1);
                let counted: BTreeMap<u8, usize> =
                    store.databases().into_iter().map(|(database, (keys, _))| (database, keys)).collect();
                assert_eq!(counted, found);
            }
        }
    }
}
