//! Fields of hashes that end: what Redis 7.4 and 8 say, which Debian's is too old to be asked.

mod process;

use std::time::Duration;

use process::Process;

/// Commands and what is answered, as it is written in RESP2; `NOW` is in a minute, in seconds since 1970.
const TABLE: &[(&str, &str)] = &[
    ("HSET h a 1 b 2 c 3", ":3"),
    ("HTTL h FIELDS 2 a none", "*2 :-1 :-2"),
    ("HTTL none FIELDS 2 a b", "*2 :-2 :-2"),
    ("HEXPIRE none 10 FIELDS 1 a", "*1 :-2"),
    ("HPERSIST none FIELDS 1 a", "*1 :-2"),
    ("HEXPIRE h 10 FIELDS 2 a none", "*2 :1 :-2"),
    ("HTTL h FIELDS 1 a", "*1 :10"),
    ("HEXPIRE h 10 NX FIELDS 2 a b", "*2 :0 :1"),
    ("HEXPIRE h 20 XX FIELDS 2 a c", "*2 :1 :0"),
    ("HEXPIRE h 10 GT FIELDS 2 a c", "*2 :0 :0"),
    ("HEXPIRE h 30 gt fields 1 a", "*1 :1"),
    ("HEXPIRE h 40 LT FIELDS 2 a c", "*2 :0 :1"),
    ("HEXPIRE h 25 LT FIELDS 1 a", "*1 :1"),
    ("HTTL h FIELDS 3 a b c", "*3 :25 :10 :40"),
    ("HPERSIST h FIELDS 3 a none a", "*3 :1 :-2 :-1"),
    ("HEXPIREAT h NOW FIELDS 1 a", "*1 :1"),
    ("HEXPIRETIME h FIELDS 1 a", "*1 :NOW"),
    ("HPEXPIRETIME h FIELDS 1 a", "*1 :NOW000"),
    ("HSET h a 7", ":0"),
    ("HTTL h FIELDS 1 a", "*1 :-1"),
    ("HEXPIRE h 100 FIELDS 1 a", "*1 :1"),
    ("HINCRBY h a 1", ":8"),
    ("HTTL h FIELDS 1 a", "*1 :100"),
    ("HPEXPIREAT h 1 FIELDS 2 b b", "*2 :2 :-2"),
    ("HEXPIRE h 0 FIELDS 1 c", "*1 :2"),
    ("HLEN h", ":1"),
    // What is wrong with it.
    ("SET text x", "+OK"),
    ("HEXPIRE text 10 FIELDS 1 a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ("HTTL text FIELDS 1 a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ("HEXPIRE h x FIELDS 1 a", "-ERR value is not an integer or out of range"),
    ("HEXPIRE h -1 FIELDS 1 a", "-ERR invalid expire time, must be >= 0"),
    ("HEXPIRE h 9223372036854775807 FIELDS 1 a", "-ERR invalid expire time in 'hexpire' command"),
    ("HPEXPIREAT h 70368744177664 FIELDS 1 a", "-ERR invalid expire time in 'hpexpireat' command"),
    ("HEXPIRE h 10 BAD FIELDS 1 a", "-ERR Mandatory argument FIELDS is missing or not at the right position"),
    ("HEXPIRE h 10 NX XX FIELDS 1 a", "-ERR Mandatory argument FIELDS is missing or not at the right position"),
    ("HEXPIRE h 10 FIELDS 0 a", "-ERR Parameter `numFields` should be greater than 0"),
    ("HEXPIRE h 10 FIELDS x a", "-ERR Parameter `numFields` should be greater than 0"),
    ("HEXPIRE h 10 FIELDS 2 a", "-ERR The `numfields` parameter must match the number of arguments"),
    ("HEXPIRE h 10 FIELDS", "-ERR wrong number of arguments for 'hexpire' command"),
    ("HTTL h FIELDS 0 a", "-ERR Number of fields must be a positive integer"),
    ("HTTL h FIELDS 1 a b", "-ERR The `numfields` parameter must match the number of arguments"),
    ("HPERSIST h NAMES 1 a", "-ERR Mandatory argument FIELDS is missing or not at the right position"),
    // Reading, setting and deleting with it.
    ("HSETEX h EX 50 FIELDS 2 a 1 d 4", ":1"),
    ("HTTL h FIELDS 2 a d", "*2 :50 :50"),
    ("HSETEX h KEEPTTL FIELDS 1 a 2", ":1"),
    ("HTTL h FIELDS 1 a", "*1 :50"),
    ("HSETEX h FIELDS 1 a 3", ":1"),
    ("HTTL h FIELDS 1 a", "*1 :-1"),
    ("HSETEX h FNX FIELDS 2 a 5 e 5", ":0"),
    ("HSETEX h FXX FIELDS 2 a 5 e 5", ":0"),
    ("HSETEX h FXX PX 60000 FIELDS 2 a 5 d 5", ":1"),
    ("HMGET h a d e", "*3 $1 5 $1 5 $-1"),
    ("HSETEX h EX 0 FIELDS 1 a 1", "-ERR invalid expire time in 'hsetex' command"),
    ("HSETEX h EX 1 PX 1 FIELDS 1 a 1", "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"),
    ("HSETEX h FNX FXX FIELDS 1 a 1", "-ERR Only one of FXX or FNX arguments can be specified"),
    ("HSETEX h EX 1 a b c", "-ERR unknown argument: a"),
    ("HSETEX h FIELDS 2 a 1 b", "-ERR wrong number of arguments for 'hsetex' command"),
    ("HGETEX h EX 70 FIELDS 2 a none", "*2 $1 5 $-1"),
    ("HTTL h FIELDS 1 a", "*1 :70"),
    ("HGETEX h PERSIST FIELDS 1 a", "*1 $1 5"),
    ("HTTL h FIELDS 1 a", "*1 :-1"),
    ("HGETEX h FIELDS 1 a", "*1 $1 5"),
    ("HGETEX none FIELDS 2 a b", "*2 $-1 $-1"),
    ("HGETEX h EX 1 PERSIST FIELDS 1 a", "-ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified"),
    ("HGETEX h EX 1 PX 2 3", "-ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified"),
    ("HGETEX h EX 10 PERS 2", "-ERR unknown argument: PERS"),
    ("HGETDEL h FIELDS 3 d d none", "*3 $1 5 $-1 $-1"),
    ("HGETDEL h FIELDS 1 a", "*1 $1 5"),
    ("EXISTS h", ":0"),
];

#[test]
fn fields_end_as_those_of_redis_do() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let now = client.words("TIME").parts()[0].text().parse::<u64>().expect("a number") + 60;
    for (command, answer) in TABLE {
        let [command, answer] = [command, answer].map(|it| it.replace("NOW", &now.to_string()));
        assert_eq!(client.words(&command).lines(), answer, "{command}");
    }
}

#[test]
fn a_field_is_gone_when_its_time_is_over_and_a_hash_with_its_last_field() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    client.words("HSET h a 1 b 2");
    client.words("HPEXPIRE h 300 FIELDS 1 a");
    client.words("HPEXPIRE h 600 FIELDS 1 b");
    let mut seen = Vec::new();
    while seen.last() != Some(&0) {
        let there = client.words("HLEN h").integer();
        let listed = client.words("HKEYS h").parts().len();
        assert!(i64::try_from(listed).is_ok_and(|listed| listed <= there), "{listed} of {there}");
        if seen.last() != Some(&there) {
            seen.push(there);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(seen, [2, 1, 0]);
    assert_eq!(client.words("EXISTS h").integer(), 0);
    assert_eq!(client.words("DBSIZE").integer(), 0);
}

/// Work that grew with the square of the fields would not end in the time that a reply may take.
#[test]
fn a_command_on_many_fields_that_end_meanwhile_costs_no_more_than_on_others() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let pairs: Vec<String> = (0..40_000).flat_map(|number| [format!("f{number}"), "v".to_owned()]).collect();
    let all = |head: &[&str]| head.iter().map(ToString::to_string).chain(pairs.iter().cloned()).collect::<Vec<_>>();
    assert_eq!(client.call(&all(&["HSET", "h", "stays", "v"])).integer(), 40_001);
    // Its own writes push the clock beyond the deadline before it is done.
    assert_eq!(client.call(&all(&["HSETEX", "h", "PX", "1", "FIELDS", "40000"])).integer(), 1);
    assert!(client.call(&all(&["HSET", "h"])).integer() >= 0);
    assert_eq!(client.words("HLEN h").integer(), 40_001);
}
