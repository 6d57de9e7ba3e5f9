//! Clients that are blocked until something is at a key: who is served, by what, and who is not.

mod process;

use std::time::Instant;

use process::{Client, PATIENCE, Process};

/// Waits until so many clients are blocked.
fn until_blocked(client: &mut Client, count: usize) {
    let begun = Instant::now();
    let told = format!("blocked_clients:{count}");
    while !client.words("INFO clients").text().lines().any(|line| line == told) {
        assert!(begun.elapsed() < PATIENCE, "{count} clients never are blocked");
        std::thread::yield_now();
    }
}

/// Waits until another daemon has what a client writes, and serves its own.
fn until_met(client: &mut Client, other: &mut Client) {
    let begun = Instant::now();
    while client.words("WAIT 1 100").integer() == 0 || other.words("GET ready").lines().starts_with("-LOADING") {
        assert!(begun.elapsed() < PATIENCE, "they never meet");
        client.words("INCR ready");
    }
}

/// Sends a command that is not answered yet.
fn begin(client: &mut Client, words: &str) {
    client.send(&process::frame(&words.split_whitespace().collect::<Vec<_>>()));
}

fn blocked(daemon: &Process, client: &mut Client, commands: &[&str]) -> Vec<Client> {
    let mut waiting = Vec::new();
    for command in commands {
        let mut other = daemon.client();
        begin(&mut other, command);
        waiting.push(other);
        until_blocked(client, waiting.len());
    }
    waiting
}

fn answers(clients: &mut [Client]) -> Vec<String> {
    clients.iter_mut().map(|client| client.receive().lines()).collect()
}

#[test]
fn who_came_first_is_served_first_and_before_the_next_command() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let mut waiting = blocked(&daemon, &mut client, &["BZPOPMIN z 0", "BZPOPMAX z 0", "BZMPOP 0 1 z MIN COUNT 2"]);
    client.send(
        &[
            &process::frame(&["ZADD", "z", "1", "a", "2", "b", "3", "c", "4", "d"])[..],
            &process::frame(&["ZCARD", "z"]),
        ]
        .concat(),
    );
    assert_eq!([client.receive().integer(), client.receive().integer()], [4, 0], "in one read");
    assert_eq!(
        answers(&mut waiting),
        ["*3 $1 z $1 a $1 1", "*3 $1 z $1 d $1 4", "*2 $1 z *2 *2 $1 b $1 2 *2 $1 c $1 3"]
    );
    until_blocked(&mut client, 0);
}

#[test]
fn each_member_is_handed_out_once_to_many_who_wait() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let mut waiting: Vec<Client> = (0..200).map(|_| daemon.client()).collect();
    waiting.iter_mut().for_each(|it| begin(it, "BZPOPMIN some z 0"));
    until_blocked(&mut client, 200);
    for batch in 0..20 {
        let members: Vec<String> = (0..10).map(|at| format!("0 {:03}", batch * 10 + at)).collect();
        client.words(&format!("ZADD z {}", members.join(" ")));
    }
    let mut taken: Vec<String> = waiting.iter_mut().map(|it| it.receive().parts()[1].text()).collect();
    taken.sort();
    assert_eq!(taken, (0..200).map(|number| format!("{number:03}")).collect::<Vec<_>>());
    assert_eq!(client.words("EXISTS z").integer(), 0);
}

#[test]
fn what_arrives_from_elsewhere_wakes_too() {
    let first = Process::cahoots(&["--node", "first"]);
    let seed = first.client().words("CAHOOTS STATUS").pair("listen");
    let second = Process::cahoots(&["--node", "second", "--seed", &seed]);
    let (mut client, mut elsewhere) = (first.client(), second.client());
    until_met(&mut client, &mut elsewhere);
    for round in 0..20 {
        let mut waiting = blocked(&first, &mut client, &["BZPOPMIN none z 0"]);
        elsewhere.words(&format!("ZADD z {round} member"));
        assert_eq!(answers(&mut waiting), [format!("*3 $1 z $6 member ${} {round}", round.to_string().len())]);
        until_blocked(&mut client, 0);
    }
}

#[test]
fn who_has_gone_or_whose_time_is_over_takes_nothing() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let gone = blocked(&daemon, &mut client, &["BZPOPMIN z 0"]);
    drop(gone);
    until_blocked(&mut client, 0);
    let mut late = daemon.client();
    let begun = Instant::now();
    assert_eq!(late.words("BZPOPMIN z 0.05").lines(), "*-1");
    assert!(begun.elapsed() < PATIENCE);
    client.words("ZADD z 1 a");
    assert_eq!(client.words("ZCARD z").integer(), 1);
    assert_eq!(late.words("PING").text(), "PONG", "it goes on");
}

#[test]
fn a_client_is_unblocked_by_another() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    for (how, answer) in [("", "*-1"), ("TIMEOUT", "*-1"), ("ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK")]
    {
        let mut other = daemon.client();
        let id = other.words("CLIENT ID").integer();
        begin(&mut other, "BZPOPMIN z 0");
        until_blocked(&mut client, 1);
        assert_eq!(client.words(&format!("CLIENT UNBLOCK {id} {how}")).integer(), 1);
        assert_eq!(other.receive().lines(), answer);
        assert_eq!(client.words(&format!("CLIENT UNBLOCK {id}")).integer(), 0, "it waits no more");
    }
    client.words("ZADD z 1 a");
    assert_eq!(client.words("ZCARD z").integer(), 1);
}

#[test]
fn a_key_of_another_type_is_waited_for() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let mut waiting = blocked(&daemon, &mut client, &["BZPOPMIN z 0"]);
    client.words("SET z text");
    client.words("DEL z");
    client.words("SADD z member");
    client.words("DEL z");
    until_blocked(&mut client, 1);
    client.words("MULTI");
    client.words("ZADD z 1 a");
    client.words("ZADD z 2 b");
    client.words("ZREM z a");
    client.words("EXEC");
    assert_eq!(answers(&mut waiting), ["*3 $1 z $1 b $1 2"], "a transaction is looked at as a whole");
}

/// What was taken for a client is that client's write.
#[test]
fn what_a_blocked_client_took_is_kept_elsewhere_as_its_own_write() {
    let first = Process::cahoots(&["--node", "first"]);
    let seed = first.client().words("CAHOOTS STATUS").pair("listen");
    let second = Process::cahoots(&["--node", "second", "--seed", &seed]);
    let mut client = first.client();
    until_met(&mut client, &mut second.client());
    let mut waiting = blocked(&first, &mut client, &["BZPOPMIN z 0"]);
    client.words("ZADD z 1 a");
    answers(&mut waiting);
    assert_eq!(waiting[0].words("WAIT 1 5000").integer(), 1);
    assert_eq!(second.client().words("EXISTS z").integer(), 0);
}

/// Ourselves, and Redis if it is installed: what follows is the same with both.
fn both() -> impl Iterator<Item = Process> {
    [Some(Process::cahoots(&[])), Process::redis()].into_iter().flatten()
}

#[test]
fn elements_pushed_at_once_go_to_those_who_wait_in_their_order() {
    for daemon in both() {
        let mut client = daemon.client();
        let commands = ["BLPOP l 0", "BRPOP none l 0", "BLMPOP 0 2 l none RIGHT COUNT 2", "BLPOP l 0"];
        let mut waiting = blocked(&daemon, &mut client, &commands);
        let push = process::frame(&["LPUSH", "l", "1", "2", "3", "4", "5", "6"]);
        client.send(&[&push[..], &process::frame(&["LRANGE", "l", "0", "-1"])].concat());
        assert_eq!([client.receive().lines(), client.receive().lines()], [":6", "*1 $1 4"], "in one read");
        let expected = ["*2 $1 l $1 6", "*2 $1 l $1 1", "*2 $1 l *2 $1 2 $1 3", "*2 $1 l $1 5"];
        assert_eq!(answers(&mut waiting), expected);
        until_blocked(&mut client, 0);
        let mut waiting = blocked(&daemon, &mut client, &["BLMPOP 0 1 m LEFT COUNT 5", "BLPOP m 0"]);
        client.words("RPUSH m a b");
        client.words("RPUSH m c");
        assert_eq!(answers(&mut waiting), ["*2 $1 m *2 $1 a $1 b", "*2 $1 m $1 c"], "what is there, and no more");
    }
}

#[test]
fn an_element_moved_for_one_who_waits_serves_the_next() {
    for daemon in both() {
        let mut client = daemon.client();
        let commands = ["BLPOP c 0", "BRPOPLPUSH b c 0", "BLMOVE a b LEFT RIGHT 0"];
        let mut waiting = blocked(&daemon, &mut client, &commands);
        client.words("RPUSH a x y");
        assert_eq!(answers(&mut waiting), ["*2 $1 c $1 x", "$1 x", "$1 x"]);
        until_blocked(&mut client, 0);
        assert_eq!(client.words("EXISTS b c").integer(), 0);
        assert_eq!(client.words("LRANGE a 0 -1").lines(), "*1 $1 y");
        // Within one list.
        let mut waiting = blocked(&daemon, &mut client, &["BLMOVE l l LEFT RIGHT 0", "BLPOP l 0"]);
        client.words("RPUSH l 1 2 3");
        assert_eq!(answers(&mut waiting), ["$1 1", "*2 $1 l $1 2"]);
        assert_eq!(client.words("LRANGE l 0 -1").lines(), "*2 $1 3 $1 1");
    }
}

#[test]
fn a_move_waits_for_its_source_alone() {
    for daemon in both() {
        let mut client = daemon.client();
        client.words("SET text v");
        let commands = ["BLMOVE a text LEFT LEFT 0", "BRPOPLPUSH a text 0", "BLPOP a 0"];
        let mut waiting = blocked(&daemon, &mut client, &commands);
        client.words("APPEND text x");
        client.words("SET a v");
        client.words("DEL a");
        until_blocked(&mut client, 3);
        client.words("RPUSH a x");
        let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        assert_eq!(answers(&mut waiting), [wrong, wrong, "*2 $1 a $1 x"], "who is refused has taken nothing");
        assert_eq!(client.words("BLMOVE a b LEFT LEFT 0.01").lines(), "*-1");
    }
}

#[test]
fn who_pops_and_has_gone_leaves_the_element_to_the_next() {
    for daemon in both() {
        let mut client = daemon.client();
        drop(blocked(&daemon, &mut client, &["BLPOP l 0", "BLMOVE l other LEFT LEFT 0"]));
        until_blocked(&mut client, 0);
        assert_eq!(client.words("BRPOP l 0.05").lines(), "*-1");
        let mut waiting = blocked(&daemon, &mut client, &["BLPOP l 0"]);
        client.words("RPUSH l a b");
        assert_eq!(answers(&mut waiting), ["*2 $1 l $1 a"]);
        assert_eq!(client.words("LRANGE l 0 -1").lines(), "*1 $1 b");
        assert_eq!(client.words("EXISTS other").integer(), 0);
        client.words("DEL l");
        let mut waiting = blocked(&daemon, &mut client, &["BLPOP l 0"]);
        for words in ["MULTI", "RPUSH l a b", "LPOP l", "EXEC"] {
            client.words(words);
        }
        assert_eq!(answers(&mut waiting), ["*2 $1 l $1 b"], "a transaction is looked at as a whole");
    }
}

#[test]
fn elements_that_arrive_from_elsewhere_are_handed_out_too() {
    let first = Process::cahoots(&["--node", "first"]);
    let seed = first.client().words("CAHOOTS STATUS").pair("listen");
    let second = Process::cahoots(&["--node", "second", "--seed", &seed]);
    let (mut client, mut elsewhere) = (first.client(), second.client());
    until_met(&mut client, &mut elsewhere);
    for _ in 0..20 {
        let commands = ["BLPOP done 0", "BRPOP none l 0", "BLMOVE l done RIGHT LEFT 0"];
        let mut waiting = blocked(&first, &mut client, &commands);
        elsewhere.words("RPUSH l a b");
        assert_eq!(answers(&mut waiting), ["*2 $4 done $1 a", "*2 $1 l $1 b", "$1 a"]);
        until_blocked(&mut client, 0);
        assert_eq!(waiting[2].words("WAIT 1 5000").integer(), 1, "moved by the one who waited");
        assert_eq!(waiting[0].words("WAIT 1 5000").integer(), 1);
        assert_eq!(elsewhere.words("EXISTS l done").integer(), 0);
    }
}

#[test]
fn readers_of_a_group_are_served_in_their_order_and_those_of_other_groups_for_themselves() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    for group in ["g", "h"] {
        client.words(&format!("XGROUP CREATE s {group} $ MKSTREAM"));
    }
    let read = |group: &str, consumer: &str| format!("XREADGROUP GROUP {group} {consumer} BLOCK 0 STREAMS s >");
    let commands = [read("g", "a"), read("g", "b"), read("h", "a"), read("g", "c")];
    let mut waiting = blocked(&daemon, &mut client, &commands.each_ref().map(|it| &**it));
    for number in 1..=3 {
        assert_eq!(client.words(&format!("XADD s {number}-0 f v")).text(), format!("{number}-0"));
    }
    let told: Vec<String> = [0, 1, 3].map(|at| waiting[at].receive().lines()).into();
    for (number, told) in (1..).zip(&told) {
        assert_eq!(*told, format!("*1 *2 $1 s *1 *2 $3 {number}-0 *2 $1 f $1 v"));
    }
    assert_eq!(waiting[2].receive().lines(), "*1 *2 $1 s *1 *2 $3 1-0 *2 $1 f $1 v");
    let pending = client.words("XPENDING s g - + 9");
    let owners: Vec<String> = pending.parts().iter().map(|it| it.parts()[1].text()).collect();
    assert_eq!(owners, ["a", "b", "c"]);
    // Within a transaction, too, and once it is over.
    let mut waiting = blocked(&daemon, &mut client, &[&read("g", "a"), &read("g", "b")]);
    for command in ["MULTI", "XADD s 4-0 f v", "XADD s 5-0 f v", "XLEN s", "EXEC"] {
        client.words(command);
    }
    let told = answers(&mut waiting[..1]);
    assert_eq!(
        told,
        ["*1 *2 $1 s *2 *2 $3 4-0 *2 $1 f $1 v *2 $3 5-0 *2 $1 f $1 v"],
        "the first is handed all there is"
    );
    until_blocked(&mut client, 1);
}

#[test]
fn readers_of_a_group_that_goes_away_are_told_so() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let read = "XREADGROUP GROUP g c BLOCK 0 STREAMS s >";
    let refused = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    let other = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    for (ends, told) in
        [("XGROUP DESTROY s g", refused), ("DEL s", refused), ("FLUSHALL", refused), ("SET s text", other)]
    {
        client.words("DEL s");
        client.words("XGROUP CREATE s g 0 MKSTREAM");
        let mut waiting = blocked(&daemon, &mut client, &[read, read]);
        client.words(ends);
        assert_eq!(answers(&mut waiting), [told, told], "{ends}");
    }
    client.words("DEL s");
    client.words("XGROUP CREATE s g 0 MKSTREAM");
    let mut waiting = blocked(&daemon, &mut client, &["XREADGROUP GROUP g c BLOCK 20 STREAMS s >"]);
    assert_eq!(answers(&mut waiting), ["*-1"]);
    let mut waiting = blocked(&daemon, &mut client, &[read]);
    let id = client.words("CLIENT LIST").text();
    let id = id.lines().rfind(|line| line.contains("cmd=xreadgroup")).and_then(|line| line.split(['=', ' ']).nth(1));
    client.words(&format!("CLIENT UNBLOCK {} ERROR", id.expect("it is listed")));
    assert!(answers(&mut waiting)[0].starts_with("-UNBLOCKED"));
}

/// Redis makes a consumer that asks in vain since 7.2, and tells since then when one got something last.
#[test]
fn a_consumer_that_asks_in_vain_is_one_and_has_got_nothing() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    client.words("XGROUP CREATE s g 0 MKSTREAM");
    assert_eq!(client.words("XREADGROUP GROUP g c STREAMS s >").lines(), "*-1");
    client.words("XCLAIM s g d 0 1-1");
    client.words("XAUTOCLAIM s g e 0 0");
    let told = client.words("XINFO CONSUMERS s g");
    let names: Vec<String> = told.parts().iter().map(|it| it.pair("name")).collect();
    assert_eq!(names, ["c", "d", "e"]);
    assert!(told.parts().iter().all(|it| it.pair("inactive") == "-1" && it.pair("pending") == "0"), "{told:?}");
    client.words("XADD s 1-1 f v");
    client.words("XREADGROUP GROUP g c STREAMS s >");
    let told = client.words("XINFO CONSUMERS s g");
    assert!(told.parts()[0].pair("inactive").parse::<u64>().is_ok_and(|ms| ms < 20_000), "{told:?}");
    let full = client.words("XINFO STREAM s FULL").lines();
    assert!(full.contains("active-time :-1") && !full.contains("seen-time :-1"), "{full}");
}
