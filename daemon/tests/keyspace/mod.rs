//! Commands on strings, keys, hashes and sets as a client may send them, to be compared with Redis's answers.

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
