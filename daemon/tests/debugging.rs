//! DEBUG, LATENCY, SHUTDOWN and what INFO counts of commands, beside a Redis.

mod process;

use std::time::Instant;

use process::{Client, PATIENCE, Process, Value};

/// A Redis, if there is one, and a daemon, both of which let DEBUG be called.
fn both() -> Vec<Process> {
    let redis = Process::redis_with(&["--enable-debug-command", "yes"]);
    redis.into_iter().chain([Process::cahoots(&["--enable-debug-command", "yes"])]).collect()
}

/// Asks both the same; says what is different.
fn differences(asked: &[&str], hello: Option<&str>) -> Vec<String> {
    let answers: Vec<Vec<Value>> = both()
        .iter()
        .map(|server| {
            let mut client = server.client();
            hello.into_iter().for_each(|words| drop(client.words(words)));
            asked.iter().map(|words| client.words(words)).collect()
        })
        .collect();
    let [redis, ours] = &answers[..] else { return Vec::new() };
    let differ = asked.iter().zip(redis.iter().zip(ours)).filter(|(_, (redis, ours))| redis != ours);
    differ.map(|(words, (redis, ours))| format!("{words}\n  Redis {redis:?}\n  ours  {ours:?}")).collect()
}

const SESSION: &[&str] = &[
    "DEBUG",
    "DEBUG none",
    "DEBUG jmap",
    "DEBUG SLEEP",
    "DEBUG SLEEP 0",
    "DEBUG SLEEP x",
    "DEBUG SLEEP 0 1",
    "DEBUG SET-ACTIVE-EXPIRE",
    "DEBUG SET-ACTIVE-EXPIRE 0",
    "DEBUG SET-ACTIVE-EXPIRE 1",
    "DEBUG CHANGE-REPL-ID",
    "DEBUG QUICKLIST-PACKED-THRESHOLD 100b",
    "DEBUG QUICKLIST-PACKED-THRESHOLD 1",
    "DEBUG QUICKLIST-PACKED-THRESHOLD 5gb",
    "DEBUG QUICKLIST-PACKED-THRESHOLD x",
    "DEBUG QUICKLIST-PACKED-THRESHOLD 0",
    "DEBUG REPLYBUFFER PEAK-RESET-TIME 100",
    "DEBUG REPLYBUFFER PEAK-RESET-TIME NEVER",
    "DEBUG REPLYBUFFER RESIZING 0",
    "DEBUG REPLYBUFFER none 0",
    "DEBUG SET-DISABLE-DENY-SCRIPTS 1",
    "DEBUG PAUSE-CRON 1",
    "DEBUG PAUSE-CRON 0",
    "DEBUG ERROR ERR",
    "DEBUG ERROR MINE",
    "DEBUG ERROR",
    "DEBUG LOG hello",
    "DEBUG RELOAD none",
    "DEBUG RELOAD",
    "DEBUG PROTOCOL string",
    "DEBUG PROTOCOL integer",
    "DEBUG PROTOCOL double",
    "DEBUG PROTOCOL bignum",
    "DEBUG PROTOCOL null",
    "DEBUG PROTOCOL array",
    "DEBUG PROTOCOL set",
    "DEBUG PROTOCOL map",
    "DEBUG PROTOCOL verbatim",
    "DEBUG PROTOCOL true",
    "DEBUG PROTOCOL false",
    "DEBUG PROTOCOL none",
    "DEBUG OBJECT none",
    "DEBUG LISTPACK none",
    "DEBUG QUICKLIST none",
    "DEBUG HTSTATS-KEY none",
    "DEBUG HTSTATS 99",
    "DEBUG HTSTATS x",
    "RPUSH l a b",
    "SET n 17",
    "DEBUG LISTPACK l",
    "DEBUG LISTPACK n",
    "DEBUG QUICKLIST l",
    "DEBUG QUICKLIST n",
    "DEBUG HTSTATS-KEY n",
    "DEBUG POPULATE x",
    "DEBUG POPULATE -1",
    "DEBUG POPULATE 3",
    "GET key:2",
    "SET key:5 mine",
    "DEBUG POPULATE 6",
    "GET key:5",
    "DEBUG POPULATE 2 p 10",
    "GET p:1",
    "DEBUG POPULATE 1 q 4",
    "GET q:0",
    "DBSIZE",
    "DEBUG DIGEST x",
    "DEBUG DIGEST-VALUE",
    "DEBUG DIGEST-VALUE n l none",
    "LATENCY",
    "LATENCY none",
    "LATENCY LATEST",
    "LATENCY LATEST x",
    "LATENCY HISTORY none",
    "LATENCY HISTORY",
    "LATENCY RESET",
    "LATENCY RESET none",
    "LATENCY GRAPH none",
    "LATENCY DOCTOR",
    "LATENCY HISTOGRAM none",
    "LATENCY HISTOGRAM zadd",
    "CONFIG SET latency-monitor-threshold -1",
    "CONFIG SET latency-tracking maybe",
    "CONFIG SET latency-tracking-info-percentiles 101",
    "SHUTDOWN none",
    "SHUTDOWN SAVE NOSAVE",
    "SHUTDOWN ABORT NOW",
    "SHUTDOWN ABORT",
    "INFO none",
    "INFO modules",
];

#[test]
fn debug_and_latency_answer_the_same_in_both_protocols() {
    for hello in [None, Some("HELLO 3")] {
        let different = differences(SESSION, hello);
        assert!(different.is_empty(), "{}", different.join("\n"));
    }
    let of_resp3 = differences(&["DEBUG PROTOCOL attrib"], None);
    assert!(of_resp3.is_empty(), "{}", of_resp3.join("\n"));
    assert!(differences(&["DEBUG PROTOCOL push"], None).is_empty());
}

/// What comes beside a reply is read by itself.
#[test]
fn attributes_and_pushes_come_before_their_reply() {
    for server in both() {
        let mut client = server.client();
        client.words("HELLO 3");
        client.send(b"DEBUG PROTOCOL attrib\r\nDEBUG PROTOCOL push\r\nQUIT\r\n");
        let all = client.rest();
        let expected = "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome real reply following the attribute\r\n\
                        >2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push reply\r\n+OK\r\n";
        assert_eq!(String::from_utf8_lossy(&all), expected);
    }
}

#[test]
fn sums_of_data_are_those_of_redis() {
    let data = [
        "RPUSH l a b",
        "SADD s a b c",
        "SADD i 1 2",
        "HSET h a 1 b 2",
        "ZADD z 1.5 a 2 b -0.1 c",
        "SET n 17",
        "SET t text",
        "XADD x 1-1 f v g w",
        "PEXPIRE t 100000000",
        "DEBUG DIGEST-VALUE l s i h z n t x none",
        "DEBUG DIGEST",
        "SELECT 3",
        "SET other 1",
        "DEBUG DIGEST-VALUE other n",
        "DEBUG DIGEST",
    ];
    let different = differences(&data, None);
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn nobody_calls_debug_unless_it_is_allowed() {
    let refusals: Vec<String> = Process::redis()
        .into_iter()
        .chain([Process::cahoots(&[])])
        .map(|server| server.client().words("DEBUG SLEEP 0").text())
        .collect();
    assert!(refusals.iter().all(|it| it.starts_with("ERR DEBUG command not allowed.")), "{refusals:?}");
    assert!(refusals.windows(2).all(|pair| pair[0] == pair[1]), "{refusals:?}");
    let local = Process::cahoots(&["--enable-debug-command", "local"]);
    assert_eq!(local.client().words("DEBUG SLEEP 0").text(), "OK");
    assert_eq!(local.client().words("CONFIG GET enable-debug-command").lines(), "*2 $20 enable-debug-command $5 local");
}

#[test]
fn keys_that_expire_stay_while_nobody_is_to_remove_them() {
    for server in both() {
        let mut client = server.client();
        client.words("DEBUG SET-ACTIVE-EXPIRE 0");
        client.words("SET k v PX 1");
        let begun = Instant::now();
        while client.words("PTTL k").integer() != -2 && begun.elapsed() < PATIENCE {}
        client.words("DEBUG SET-ACTIVE-EXPIRE 1");
        while figure(&mut client, "stats", "expired_keys:") != "1" {
            assert!(begun.elapsed() < PATIENCE);
        }
    }
}

#[test]
fn scripts_may_call_what_would_block_and_does_not_then() {
    for server in both() {
        let mut client = server.client();
        let script = "return redis.pcall('blpop', 'l', 0)";
        assert!(client.call(&["EVAL", script, "0"]).text().contains("not allowed from script"));
        client.words("DEBUG SET-DISABLE-DENY-SCRIPTS 1");
        assert_eq!(client.call(&["EVAL", script, "0"]).lines(), "$-1");
        client.words("RPUSH l a");
        assert_eq!(client.call(&["EVAL", script, "0"]).lines(), "*2 $1 l $1 a");
    }
}

/// What stands behind a name in a section of INFO.
fn figure(client: &mut Client, section: &str, name: &str) -> String {
    let info = client.words(&format!("INFO {section}")).text();
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {info}")).trim().to_owned()
}

#[test]
fn what_takes_long_is_told_second_by_second() {
    for server in both() {
        let mut client = server.client();
        client.words("CONFIG SET latency-monitor-threshold 20");
        client.words("DEBUG SLEEP 0.03");
        client.words("CONFIG SET latency-monitor-threshold 0");
        // Where much else runs, other commands have taken as long.
        let latest = client.words("LATENCY LATEST");
        let [name, _, last, worst] = latest.parts()[0].parts() else { panic!("{latest:?}") };
        assert_eq!(name.text(), "command");
        assert!(last.integer() >= 20 && worst.integer() >= 30);
        let history = client.words("LATENCY HISTORY command");
        assert!(history.parts().iter().any(|sample| sample.parts()[1].integer() >= 30), "{history:?}");
        let graph = client.words("LATENCY GRAPH command").text();
        let lines: Vec<&str> = graph.lines().collect();
        assert!(lines[0].starts_with("command - high ") && lines[1] == "-".repeat(80), "{graph}");
        let report = client.words("LATENCY DOCTOR").text();
        assert!(report.contains("1. command: ") && report.contains(" latency spikes (average "), "{report}");
        assert_eq!(client.words("LATENCY RESET none command").integer(), 1);
        assert_eq!(client.words("LATENCY LATEST").lines(), "*0");
    }
}

#[test]
fn calls_are_counted_in_buckets_with_the_ends_that_redis_has() {
    for server in both() {
        let mut client = server.client();
        client.words("CONFIG RESETSTAT");
        for words in ["SET k v", "GET k", "GET k", "DEBUG SLEEP 0.03", "CLIENT ID"] {
            client.words(words);
        }
        let told = client.words("LATENCY HISTOGRAM get debug none client get").lines();
        assert!(told.contains("$3 get *4 $5 calls :2 $14 histogram_usec"), "{told}");
        assert!(told.contains("client|id") && told.contains(" :1"), "{told}");
        assert!(told.contains("$5 debug *4 $5 calls :1"), "{told}");
        let all = client.words("LATENCY HISTOGRAM").lines();
        assert!(all.contains("$3 set *4") && !all.contains("zadd"), "{all}");
        client.words("CONFIG RESETSTAT");
        assert_eq!(client.words("LATENCY HISTOGRAM set").lines(), "*0");
        client.words("CONFIG SET latency-tracking no");
        client.words("SET k v");
        assert_eq!(client.words("LATENCY HISTOGRAM set").lines(), "*0");
    }
}

#[test]
fn calls_refusals_and_errors_are_counted_as_by_redis() {
    for server in both() {
        let mut client = server.client();
        client.words("CONFIG RESETSTAT");
        let asked = [
            "SET k v",
            "GET k",
            "GET",
            "INCR k",
            "INCR k",
            "NONE",
            "CLIENT NONE",
            "LPUSH k v",
            "AUTH a b c",
            "CLIENT ID",
        ];
        asked.iter().for_each(|words| drop(client.words(words)));
        for words in ["MULTI", "SET k v", "SET k", "EXEC"] {
            client.words(words);
        }
        let counts = |client: &mut Client, name: &str| {
            let line = figure(client, "commandstats", &format!("cmdstat_{name}:"));
            let number = |field: &str| {
                let value = line.split(',').find_map(|it| it.strip_prefix(field)).expect("the field");
                value.parse::<u64>().expect("a number")
            };
            [number("calls="), number("rejected_calls="), number("failed_calls=")]
        };
        assert_eq!(counts(&mut client, "set"), [1, 1, 0]);
        assert_eq!(counts(&mut client, "get"), [1, 1, 0]);
        assert_eq!(counts(&mut client, "incr"), [2, 0, 2]);
        assert_eq!(counts(&mut client, "lpush"), [1, 0, 1]);
        assert_eq!(counts(&mut client, "client|id"), [1, 0, 0]);
        let errors = ["ERR", "WRONGTYPE", "EXECABORT"]
            .map(|kind| figure(&mut client, "errorstats", &format!("errorstat_{kind}:count=")));
        assert_eq!(errors, ["7", "1", "1"]);
        let percentiles = figure(&mut client, "latencystats", "latency_percentiles_usec_get:");
        assert!(percentiles.starts_with("p50=") && percentiles.contains(",p99=") && percentiles.contains(",p99.9="));
        client.words("CONFIG SET latency-tracking-info-percentiles 0.5");
        assert!(figure(&mut client, "latencystats", "latency_percentiles_usec_get:").starts_with("p0.5="));
    }
}

#[test]
fn sections_are_told_to_whom_redis_tells_them() {
    let sections: Vec<Vec<Vec<String>>> = both()
        .iter()
        .map(|server| {
            let mut client = server.client();
            let asked =
                ["INFO", "INFO default", "INFO all", "INFO everything", "INFO cpu SERVER", "INFO default commandstats"];
            let heads = |words: &&str| {
                let info = client.words(words).text();
                let heads = info.lines().filter(|line| line.starts_with('#')).map(str::to_owned);
                heads.filter(|head| head != "# Cahoots").collect()
            };
            asked.iter().map(heads).collect()
        })
        .collect();
    if let [redis, ours] = &sections[..] {
        assert_eq!(redis, ours);
    }
}

#[test]
fn keys_that_end_are_counted_until_they_do_not_end_any_more() {
    for server in both() {
        let mut client = server.client();
        for words in ["SET a 1 EX 1000", "SET b 1 EX 1000", "SET c 1", "HSET h f 1", "EXPIRE h 1000"] {
            client.words(words);
        }
        assert!(figure(&mut client, "keyspace", "db0:").starts_with("keys=4,expires=3,avg_ttl="));
        for words in ["PERSIST a", "SET b 2", "HSET h g 1", "PERSIST h"] {
            client.words(words);
        }
        assert_eq!(figure(&mut client, "keyspace", "db0:"), "keys=4,expires=0,avg_ttl=0");
    }
}

#[test]
fn a_daemon_that_is_told_to_shut_down_does_and_keeps_what_it_has() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let data = data.to_str().expect("a plain path");
    for (count, words) in [(1, "SHUTDOWN"), (2, "shutdown nosave now force")] {
        let mut server = Process::cahoots(&["--data-dir", data]);
        let mut client = server.client();
        assert_eq!(client.words("INCR k").integer(), count);
        client.send(&process::frame(&words.split(' ').collect::<Vec<_>>()));
        assert_eq!(client.rest(), b"");
        assert!(server.wait().success());
    }
}
