//! Scripts as a client may send them, to be compared with Redis's answers.

use proptest::prelude::*;

/// A value in Lua, without fields in an order of their own: a table is a sequence, or has one field.
fn value() -> impl Strategy<Value = String> {
    let text = prop::collection::vec(any::<u8>(), 0..40)
        .prop_map(|bytes| format!("'{}'", bytes.iter().map(|byte| format!("\\{byte:03}")).collect::<String>()));
    let number = prop_oneof![
        any::<i32>().prop_map(f64::from),
        any::<i64>().prop_map(|number| number as f64),
        (-1_000_000..1_000_000_i32, 0..8_u32).prop_map(|(units, by)| f64::from(units) / f64::from(10_u32.pow(by))),
        any::<f32>().prop_filter("it has digits", |it| it.is_finite()).prop_map(f64::from),
        prop::sample::select(vec![0.0, 0.5, 127.0, 128.0, 255.0, 256.0, 65_535.0, 65_536.0, -32.0, -33.0, 1e15]),
    ];
    let leaf = prop_oneof![
        3 => text,
        3 => number.prop_map(|number| format!("{number:?}")),
        1 => prop::sample::select(vec!["true", "false", "nil", "cjson.null"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..6).prop_map(|parts| format!("{{{}}}", parts.join(","))),
            2 => ("[a-z]{1,6}", inner.clone()).prop_map(|(name, value)| format!("{{{name}={value}}}")),
            1 => (field(), inner).prop_map(|(name, value)| format!("{{{name}={value}}}")),
        ]
    })
}

/// A field that has a meaning in replies.
fn field() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "err",
        "ok",
        "double",
        "map",
        "set",
        "big_number",
        "verbatim_string",
        "['2']",
        "[2]",
        "[-1]",
    ])
}

/// What becomes of a value `v`.
fn use_of_value() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "return v",
        "return {v, v}",
        "return cjson.encode(v)",
        "return cjson.decode(cjson.encode(v))",
        "return cjson.encode(cjson.decode(cjson.encode({v})))",
        "cjson.encode_invalid_numbers(true) return pcall(cjson.encode, v)",
        "return cmsgpack.pack(v)",
        "return cmsgpack.pack(v, v)",
        "return cmsgpack.unpack(cmsgpack.pack(v))",
        "return {cmsgpack.unpack(cmsgpack.pack(v, 1, v))}",
        "return {pcall(cmsgpack.unpack, v)}",
        "return {cmsgpack.unpack_one(cmsgpack.pack(v, v))}",
        "return {pcall(cjson.decode, v)}",
        "return {pcall(bit.tohex, v)}",
        "return {pcall(bit.tobit, v)}",
        "return {pcall(bit.bxor, v, 255)}",
        "return {pcall(bit.rol, v, 3)}",
        "return {pcall(struct.pack, '>I2i4dfs', v, v, v, v, v)}",
        "return {pcall(struct.pack, '<!4bi8hHlc0', v, v, v, v, v, v)}",
        "return {pcall(struct.unpack, '<i3B>h', v)}",
        "return {pcall(struct.unpack, '>!8bi4s', v)}",
        "return {pcall(string.find, v, '(.)%1')}",
        "return {pcall(string.gsub, v, '%c', '?')}",
        "return {pcall(string.format, '%q %s', v, v)}",
        "return redis.sha1hex(v)",
        "return redis.error_reply(v)",
        "return redis.status_reply(v)",
        "if type(v) ~= 'table' then error(v) end return 0",
        "return {pcall(error, v)}",
        "return redis.call('echo', v)",
        "return redis.pcall('set', KEYS[1], v)",
        "return tostring(v) == tostring(nil)",
    ])
}

/// A call, whose results have one order.
fn call() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["KEYS[1]", "KEYS[2]", "'z'", "'l'", "ARGV[2]"]);
    let rest = prop::sample::select(vec![
        "'set', {key}, ARGV[1]",
        "'set', {key}, 5, 'xx', 'get'",
        "'get', {key}",
        "'incrby', {key}, ARGV[2]",
        "'incrbyfloat', {key}, 1.5",
        "'append', {key}, ARGV[1]",
        "'getrange', {key}, 0, 3",
        "'rpush', {key}, 1, 2, ARGV[1]",
        "'lrange', {key}, 0, -1",
        "'lpop', {key}",
        "'hset', {key}, 'f', ARGV[1]",
        "'hgetall', {key}",
        "'hincrby', {key}, 'f', 2",
        "'zadd', {key}, 1.5, 'a', 2, 'b'",
        "'zrange', {key}, 0, -1, 'withscores'",
        "'zscore', {key}, 'a'",
        "'zincrby', {key}, 0.25, 'a'",
        "'sadd', {key}, 'only'",
        "'smembers', {key}",
        "'sismember', {key}, 'only'",
        "'xadd', {key}, '*', 'f'",
        "'xlen', {key}",
        "'xrange', {key}, '-', '+'",
        "'type', {key}",
        "'exists', {key}, {key}",
        "'del', {key}",
        "'ttl', {key}",
        "'expire', {key}, 100000",
        "'mget', {key}, 'none'",
        "'setbit', {key}, 7, 1",
        "'strlen', {key}",
        "'object', 'encoding', {key}, {key}",
        "'blpop', {key}, 0",
        "'nosuch', {key}",
        "{key}",
    ]);
    (prop::sample::select(vec!["redis.call", "redis.pcall"]), key, rest)
        .prop_map(|(how, key, rest)| format!("{how}({})", rest.replace("{key}", key)))
}

/// A script that makes one value and uses it, or calls commands.
pub(crate) fn script() -> impl Strategy<Value = String> {
    let of_value = (value(), use_of_value()).prop_map(|(value, rest)| format!("local v = {value} {rest}"));
    let of_calls =
        (prop::collection::vec(call(), 1..8), any::<bool>(), any::<bool>()).prop_map(|(calls, resp3, catches)| {
            let version = if resp3 { "redis.setresp(3) " } else { "" };
            let calls: String = calls.iter().map(|call| format!("r[#r + 1] = {call}\n")).collect();
            if catches {
                format!("{version}local r = {{}}\nlocal ok, e = pcall(function()\n{calls}end)\nreturn {{r, ok, e}}")
            } else {
                format!("{version}local r = {{}}\n{calls}return r")
            }
        });
    prop_oneof![3 => of_value, 2 => of_calls]
}
