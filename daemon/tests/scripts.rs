//! Scripts: what they write is one event, what they can take is bounded, and what one does is not felt by the next.

mod process;

use std::time::{Duration, Instant};

use process::{Client, Process};

fn eval(client: &mut Client, script: &str) -> String {
    client.call(&["EVAL", script, "0"]).lines()
}

fn seq(client: &mut Client) -> u64 {
    client.words("CAHOOTS STATUS").pair("seq").parse().expect("a number")
}

#[test]
fn what_a_script_writes_is_one_event() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    client.words("SET a 0");
    let before = seq(&mut client);
    eval(&mut client, "for i = 1, 2000 do redis.call('set', 'key:' .. i, i) redis.call('get', 'a') end");
    assert_eq!(seq(&mut client), before + 1);
    eval(&mut client, "redis.call('get', 'a') redis.call('info')");
    assert_eq!(seq(&mut client), before + 1, "one that reads writes nothing");
    assert!(eval(&mut client, "redis.call('incr', 'a') redis.call('incr', 'b') error('x')").starts_with("-ERR user_"));
    assert_eq!(seq(&mut client), before + 2);
    assert_eq!(client.words("MGET a b").lines(), "*2 $1 1 $1 1", "as in Redis, one that fails takes nothing back");
    assert_eq!(client.words("MULTI").text(), "OK");
    client.words("INCR a");
    client.call(&["EVAL", "redis.call('incr', 'a') return redis.call('incr', 'b')", "0"]);
    client.words("INCR a");
    assert_eq!(client.words("EXEC").lines(), "*3 :2 :2 :4");
    assert_eq!(seq(&mut client), before + 3, "in a transaction it is a part of that");
}

#[test]
fn a_script_that_runs_too_long_is_ended_and_keeps_what_it_wrote() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    assert_eq!(client.words("CONFIG GET busy-reply-threshold").pair("busy-reply-threshold"), "4000");
    client.words("CONFIG SET busy-reply-threshold 100");
    let before = seq(&mut client);
    let begun = Instant::now();
    let answer = eval(&mut client, "while true do redis.call('incr', 'n') end");
    assert!(answer.starts_with("-ERR Script ended because it ran for more than 100 milliseconds"), "{answer}");
    assert!(begun.elapsed() >= Duration::from_millis(100));
    assert!(client.words("GET n").text().parse::<u64>().expect("a number") > 100);
    assert_eq!(seq(&mut client), before + 1);
    assert!(client.words("SCRIPT KILL").lines().starts_with("-NOTBUSY"));
    assert!(client.words("CONFIG SET busy-reply-threshold 4001").lines().starts_with("-ERR CONFIG SET failed"));
}

/// Scripts that take what they can, or more.
const HOSTILE: &str = include_str!("hostile_scripts.session");

#[test]
fn no_script_harms_the_daemon_or_the_next_script() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    client.words("CONFIG SET busy-reply-threshold 100");
    let sane = "local t = {} for name in pairs(_G) do t[#t + 1] = name end table.sort(t) \
                return {table.concat(t), type(string.format), ('x'):rep(2), #redis, #_G, tostring(rawget(_G, 'x')), \
                redis.call('echo', 'here'), collectgarbage('count') < 200000}";
    let before = eval(&mut client, sane);
    assert!(before.ends_with("$8 function $2 xx :0 :0 $3 nil $4 here :1"), "{before}");
    let mut differences = String::new();
    for script in HOSTILE.lines().filter(|line| !line.is_empty()) {
        let begun = Instant::now();
        let answer = client.call(&["EVAL", script, "0"]);
        // What is made of little in C, or in Rust, is bounded by the memory it takes.
        let took = begun.elapsed();
        if took > Duration::from_secs(8) {
            differences.push_str(&format!("\n{script}: took {took:?}"));
        }
        drop(answer);
        let answer = eval(&mut client, sane);
        if answer != before {
            differences.push_str(&format!("\n{script}: then {answer}"));
        }
    }
    assert!(differences.is_empty(), "{differences}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kilobytes < 1_500 << 10, "scripts took {kilobytes} kB");
}

#[test]
fn scripts_are_kept_until_they_are_forgotten() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let kept = client.call(&["SCRIPT", "LOAD", "return 'kept'"]).text();
    let figure = |client: &mut Client| {
        let info = client.words("INFO memory").text();
        info.lines().find_map(|line| line.strip_prefix("number_of_cached_scripts:")).map(str::to_owned)
    };
    for number in 0..600 {
        eval(&mut client, &format!("return {number}"));
    }
    assert_eq!(client.words(&format!("EVALSHA {kept} 0")).text(), "kept");
    assert_eq!(figure(&mut client).as_deref(), Some("501"), "of what came with EVAL the last 500");
    assert_eq!(client.words(&format!("SCRIPT EXISTS {kept} {}", kept.to_uppercase())).lines(), "*2 :1 :1");
    client.words("SCRIPT FLUSH");
    assert_eq!(figure(&mut client).as_deref(), Some("0"));
    assert!(client.words(&format!("EVALSHA {kept} 0")).lines().starts_with("-NOSCRIPT"));
}

#[test]
fn those_who_watch_see_a_script_before_what_it_calls() {
    let daemon = Process::cahoots(&[]);
    let (mut client, mut watcher) = (daemon.client(), daemon.client());
    assert_eq!(watcher.words("MONITOR").text(), "OK");
    eval(&mut client, "return redis.call('set','k','v')");
    let seen = [0, 1].map(|_| watcher.receive().text());
    assert!(seen[0].ends_with(r#""EVAL" "return redis.call('set','k','v')" "0""#), "{seen:?}");
    assert!(seen[1].ends_with(r#"[0 lua] "set" "k" "v""#), "{seen:?}");
    client.words("CONFIG SET slowlog-log-slower-than 0");
    client.words("SLOWLOG RESET");
    eval(&mut client, "return redis.call('set','k','w')");
    let shown = client.words("SLOWLOG GET 1").lines();
    assert!(shown.contains("EVAL") && !shown.contains(" set "), "{shown}");
}
