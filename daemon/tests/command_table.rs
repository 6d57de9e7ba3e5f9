//! What COMMAND INFO and COMMAND DOCS say, beside a Redis.

mod process;

use std::collections::BTreeSet;

use process::{Process, Value};

/// What a Redis answers, if there is one, and what a daemon does.
fn both(words: &str) -> Option<[Value; 2]> {
    let servers = [Process::redis()?, Process::cahoots(&[])];
    Some(servers.each_ref().map(|server| {
        let mut client = server.client();
        client.words("HELLO 3");
        client.words(words)
    }))
}

fn value_at<'v>(map: &'v Value, name: &str) -> Option<&'v Value> {
    map.parts().chunks(2).find(|pair| pair[0].text() == name).map(|pair| &pair[1])
}

/// The commands and subcommands of a reply to COMMAND.
fn each(reply: &Value) -> Vec<&Value> {
    reply.parts().iter().flat_map(|command| std::iter::once(command).chain(command.parts()[9].parts())).collect()
}

/// Redis's entry of a command, if it has it.
fn named<'v>(commands: &[&'v Value], name: &str) -> Option<&'v Value> {
    commands.iter().find(|command| command.parts()[0].text() == name).copied()
}

#[test]
fn hints_and_key_specifications_are_those_of_redis() {
    let Some([theirs, ours]) = both("COMMAND") else { return };
    let (theirs, ours) = (each(&theirs), each(&ours));
    let (mut compared, mut different) = (0, Vec::new());
    for command in &ours {
        let name = command.parts()[0].text();
        let Some(theirs) = named(&theirs, &name) else { continue };
        compared += 1;
        let [redis, here] = [theirs, *command].map(|it| it.parts()[7].clone().sorted(false));
        if redis != here {
            different.push(format!("{name}: hints\n  Redis {redis:?}\n  ours  {here:?}"));
        }
        let [redis, here] = [theirs, *command].map(|it| {
            let specs = it.parts()[8].parts().iter().map(|spec| {
                let flags = value_at(spec, "flags").expect("flags").clone().sorted(false).lines();
                let [begin, find] =
                    ["begin_search", "find_keys"].map(|part| value_at(spec, part).expect("a part").lines());
                format!("{flags} {begin} {find}")
            });
            specs.collect::<Vec<_>>()
        });
        if redis != here && !OTHER_KEYS.contains(&&*name) {
            different.push(format!("{name}: keys\n  Redis {redis:#?}\n  ours  {here:#?}"));
        }
    }
    assert!(compared > 200, "only {compared} commands compared");
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Redis says that keys follow patterns, or a word that can stand anywhere; here the word is searched for.
const OTHER_KEYS: [&str; 2] = ["sort", "sort_ro"];

/// The words that arguments are called by, at any depth.
fn tokens(arguments: Option<&Value>, all: &mut BTreeSet<String>) {
    for argument in arguments.into_iter().flat_map(Value::parts) {
        if let Some(token) = value_at(argument, "token") {
            all.insert(token.text());
        }
        tokens(value_at(argument, "arguments"), all);
    }
}

#[test]
fn the_words_of_arguments_are_those_of_redis() {
    let Some([theirs, ours]) = both("COMMAND DOCS") else { return };
    let mut different = Vec::new();
    for pair in ours.parts().chunks(2) {
        let name = pair[0].text();
        let Some(theirs) = value_at(&theirs, &name) else { continue };
        let mut docs = vec![(name, theirs, &pair[1])];
        for sub in value_at(&pair[1], "subcommands").into_iter().flat_map(|it| it.parts().chunks(2)) {
            let name = sub[0].text();
            if let Some(theirs) = value_at(theirs, "subcommands").and_then(|it| value_at(it, &name)) {
                docs.push((name, theirs, &sub[1]));
            }
        }
        for (name, theirs, ours) in docs {
            let [redis, here] = [theirs, ours].map(|it| {
                let mut all = BTreeSet::new();
                tokens(value_at(it, "arguments"), &mut all);
                all
            });
            if redis != here && !OTHER_WORDS.contains(&&*name) {
                different.push(format!("{name}: Redis {redis:?}, ours {here:?}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Ours is SPLIT; since 7.2 are WITHSCORE and the operators of BITOP. The conditions of CLIENT KILL are told as texts.
const OTHER_WORDS: [&str; 5] = ["client|kill", "memory|usage", "zrank", "zrevrank", "bitop"];
