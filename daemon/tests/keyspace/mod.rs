//! Commands on strings, keys, hashes and sets as a client may send them, to be compared with Redis's answers.

pub(crate) mod scripts;

use proptest::prelude::*;

type Words = Vec<String>;

fn owned<const N: usize>(words: [&str; N]) -> Words {
    words.map(str::to_owned).to_vec()
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(words)
}

/// Keys of any type, shared with the other commands.
fn key() -> impl Strategy<Value = &'static str> + Clone {
    one_of(&["a", "b", "c", "d", "y", "l", "e"])
}

/// Strings, and parts of them.
pub(crate) fn strings() -> impl Strategy<Value = Words> {
    let value = || one_of(&["1", "text", "", "axbxcx", "xaxbxc", "0.5", "-3", "1e3"]);
    let at = || one_of(&["0", "1", "2", "5", "-1", "-2", "-9", "9223372036854775807", "x"]);
    // A string that is made longer again and again has an end.
    let offset = one_of(&["0", "1", "2", "7", "40", "-1", "536870912", "x"]);
    let fraction = prop_oneof![3 => any::<f64>().prop_map(|it| it.to_string()), 3 => (-1_000_000..1_000_000_i32, 0..8_u32)
            .prop_map(|(units, decimals)| format!("{units}e-{decimals}")), 1 => Just("x".to_owned())];
    let part = one_of(&["GETRANGE", "SUBSTR"]);
    let options = prop::sample::select(vec![
        "",
        "LEN",
        "IDX",
        "IDX WITHMATCHLEN",
        "IDX MINMATCHLEN 2",
        "IDX LEN",
        "MINMATCHLEN x",
        "WITHMATCHLEN",
    ]);
    prop_oneof![
        1 => (key(), value(), key(), value()).prop_map(|(k, v, l, w)| owned(["MSETNX", k, v, l, w])),
        1 => (part, key(), at(), at()).prop_map(|(c, k, from, to)| owned([c, k, from, to])),
        1 => (key(), offset, value()).prop_map(|(k, at, v)| owned(["SETRANGE", k, at, v])),
        3 => (key(), fraction).prop_map(|(k, by)| owned(["INCRBYFLOAT", k, &by])),
        1 => (key(), key(), options).prop_map(|(k, l, options)| {
            [owned(["LCS", k, l]), options.split_whitespace().map(str::to_owned).collect()].concat()
        }),
    ]
}

/// Whole keys of any type.
pub(crate) fn keys() -> impl Strategy<Value = Words> {
    let option = one_of(&["", "REPLACE", "DB 0 REPLACE", "BOGUS"]);
    let word = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Words>();
    let order =
        one_of(&["", "ALPHA", "DESC", "LIMIT 1 2", "ALPHA DESC LIMIT 0 1", "BY nosort", "BY nosort DESC LIMIT 1 3"]);
    let told = one_of(&["#", "w*", "c*->x", "*"]);
    prop_oneof![
        2 => (key(), key()).prop_map(|(k, l)| owned(["RENAME", k, l])),
        1 => (key(), key()).prop_map(|(k, l)| owned(["RENAMENX", k, l])),
        2 => (key(), key(), option).prop_map(move |(k, l, option)| [owned(["COPY", k, l]), word(option)].concat()),
        1 => (key(), key()).prop_map(|(k, l)| owned(["TOUCH", k, l])),
        // Where a set is not sorted it has no order.
        2 => (one_of(&["l", "y", "m"]), order, told).prop_map(move |(k, order, told)| {
            [owned(["SORT", k]), word(order), owned(["GET", "#", "GET", told])].concat()
        }),
        1 => (key(), key(), one_of(&["", "DESC", "BY nosort"]))
            .prop_map(move |(k, to, order)| [owned(["SORT", k]), word("ALPHA STORE"), vec![to.to_owned()], word(order)].concat()),
    ]
}

/// Sets, and what hashes have beside them.
pub(crate) fn sets() -> impl Strategy<Value = Words> {
    let member = || one_of(&["x", "y", "z", "", "1"]);
    let combined = one_of(&["SUNION", "SINTER", "SDIFF"]);
    let stored = one_of(&["SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"]);
    let fraction = (-1_000_000..1_000_000_i32, 0..8_u32).prop_map(|(units, decimals)| format!("{units}e-{decimals}"));
    prop_oneof![
        2 => (combined, key(), key()).prop_map(|(c, k, l)| owned([c, k, l])),
        2 => (stored, key(), key(), key()).prop_map(|(c, to, k, l)| owned([c, to, k, l])),
        1 => (key(), key()).prop_map(|(k, l)| owned(["SINTERCARD", "2", k, l])),
        2 => (key(), key(), member()).prop_map(|(k, l, m)| owned(["SMOVE", k, l, m])),
        2 => (key(), member(), fraction).prop_map(|(k, f, by)| owned(["HINCRBYFLOAT", k, f, &by])),
        1 => (key(), member(), member()).prop_map(|(k, f, v)| owned(["HSETNX", k, f, v])),
        1 => (key(), member()).prop_map(|(k, f)| owned(["HSTRLEN", k, f])),
        1 => key().prop_map(|k| owned(["SPOP", k, "1000"])),
    ]
}

/// Strings, bit by bit.
pub(crate) fn bitmaps() -> impl Strategy<Value = Words> {
    let offset = || one_of(&["0", "1", "7", "8", "13", "100", "-1", "x"]);
    let at = || one_of(&["0", "1", "2", "-1", "-2", "-9", "5", "40", "x"]);
    let unit = || one_of(&["", "BYTE", "BIT"]);
    let kind = || one_of(&["u1", "i1", "u4", "i5", "u8", "i8", "i16", "u31", "i33", "u63", "i64", "u64"]);
    let place = one_of(&["0", "3", "#1", "#2", "17", "-1"]);
    let number = one_of(&["0", "1", "-1", "7", "100", "-129", "9223372036854775807", "-9000000000000000000", "x"]);
    let overflow = one_of(&["WRAP", "SAT", "FAIL"]);
    let range = move || (at(), at(), unit());
    let words =
        |words: Vec<&str>| words.into_iter().filter(|word| !word.is_empty()).map(str::to_owned).collect::<Words>();
    prop_oneof![
        3 => (key(), offset(), one_of(&["0", "1", "1", "2"])).prop_map(|(k, at, bit)| owned(["SETBIT", k, at, bit])),
        1 => (key(), offset()).prop_map(|(k, at)| owned(["GETBIT", k, at])),
        1 => key().prop_map(|k| owned(["BITCOUNT", k])),
        2 => (key(), range()).prop_map(move |(k, (from, to, unit))| words(vec!["BITCOUNT", k, from, to, unit])),
        2 => (key(), one_of(&["0", "1"]), range())
            .prop_map(move |(k, bit, (from, to, unit))| words(vec!["BITPOS", k, bit, from, to, unit])),
        1 => (key(), one_of(&["0", "1"]), at()).prop_map(|(k, bit, from)| owned(["BITPOS", k, bit, from])),
        2 => (one_of(&["AND", "OR", "XOR", "NOT"]), key(), key(), key())
            .prop_map(move |(op, to, k, l)| words(vec!["BITOP", op, to, k, if op == "NOT" { "" } else { l }])),
        4 => (key(), overflow, one_of(&["SET", "INCRBY"]), kind(), place, number, kind()).prop_map(
            move |(k, overflow, op, kind, at, number, other)| {
                words(vec!["BITFIELD", k, "OVERFLOW", overflow, op, kind, at, number, "GET", other, "2", op, kind, at, "1"])
            }
        ),
    ]
}

/// Places, at both ends of the Earth and near each other.
pub(crate) fn places() -> impl Strategy<Value = Words> {
    let key = || one_of(&["g", "h"]);
    let member = || one_of(&["x", "y", "z", "u", "v", "w"]);
    let degrees = |max: f64| {
        prop_oneof![2 => -max..max, 3 => 0.0..0.02_f64, 1 => (max - 0.01)..max, 1 => Just(0.0)]
            .prop_map(|degrees| degrees.to_string())
    };
    let place = move || (degrees(180.0), degrees(85.0));
    let metres = || {
        prop_oneof![3 => 0.0..5_000.0_f64, 2 => 0.0..1e6_f64, 1 => 0.0..2.1e7_f64].prop_map(|metres| metres.to_string())
    };
    let unit = || one_of(&["m", "m", "km", "ft", "mi"]);
    let found =
        one_of(&["ASC WITHDIST", "DESC WITHCOORD", "WITHHASH WITHDIST", "", "ASC COUNT 2", "COUNT 2 ANY", "WITHDIST"]);
    let with = |words: Vec<String>, more: &str| [words, more.split_whitespace().map(str::to_owned).collect()].concat();
    prop_oneof![
        6 => (key(), prop::collection::vec((place(), member()), 1..6)).prop_map(|(k, places)| {
            let places = places.into_iter().flat_map(|((longitude, latitude), m)| [longitude, latitude, m.to_owned()]);
            ["GEOADD".to_owned(), k.to_owned()].into_iter().chain(places).collect()
        }),
        2 => (key(), member(), member(), unit()).prop_map(|(k, m, n, unit)| owned(["GEODIST", k, m, n, unit])),
        1 => (key(), member(), member()).prop_map(|(k, m, n)| owned(["GEOPOS", k, m, n])),
        1 => (key(), member(), member()).prop_map(|(k, m, n)| owned(["GEOHASH", k, m, n])),
        4 => (key(), place(), metres(), unit(), found.clone()).prop_map(move |(k, (x, y), metres, unit, found)| {
            with(owned(["GEOSEARCH", k, "FROMLONLAT", &x, &y, "BYRADIUS", &metres, unit]), found)
        }),
        4 => (key(), place(), metres(), metres(), found).prop_map(move |(k, (x, y), width, height, found)| {
            with(owned(["GEOSEARCH", k, "FROMLONLAT", &x, &y, "BYBOX", &width, &height, "m"]), found)
        }),
        2 => (key(), key(), member(), metres()).prop_map(|(to, k, m, metres)| {
            owned(["GEOSEARCHSTORE", to, k, "FROMMEMBER", m, "BYRADIUS", &metres, "km", "STOREDIST"])
        }),
    ]
}

/// HyperLogLogs, under keys of their own: what else reads their bytes may see that they are written in another way.
pub(crate) fn hyperloglogs() -> impl Strategy<Value = Words> {
    let key = || one_of(&["p", "q", "r"]);
    let word = |text: &str| text.to_owned();
    prop_oneof![
        4 => (key(), 0..50_000_u32, 0..400_u32).prop_map(move |(k, from, count)| {
            [vec![word("PFADD"), word(k)], (from..from + count).map(|number| format!("e{number}")).collect()].concat()
        }),
        2 => key().prop_map(|k| owned(["PFCOUNT", k])),
        1 => (key(), key()).prop_map(|(k, l)| owned(["PFCOUNT", k, l])),
        1 => (key(), key(), key()).prop_map(|(to, k, l)| owned(["PFMERGE", to, k, l])),
    ]
}
