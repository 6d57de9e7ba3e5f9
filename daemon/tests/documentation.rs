//! The pages under `docs/` say what is there.
//!
//! Those under `docs/commands` are made from the lists of commands: `CAHOOTS_BLESS=1` writes them anew.

use std::fmt::Write;
use std::path::PathBuf;

use cahoots::command::{Command, FAMILIES, Family, commands};

/// Families whose commands Redis does not have: their versions are ours.
const OURS: [&str; 3] = ["vote", "presence", "cahoots"];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

fn page(name: &str) -> String {
    let path = path(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_page_of_commands_lists_exactly_those_that_exist() {
    let page = page("commands.md");
    let table = page.split("## Where").next().expect("a first part");
    let mut listed: Vec<String> = table.split('`').skip(1).step_by(2).map(str::to_lowercase).collect();
    listed.retain(|name| name != "--tcp");
    let mut exist: Vec<String> = Vec::new();
    for command in commands() {
        // A container that does nothing by itself is listed by what it contains.
        if command.subcommands.is_empty() || command.name == "command" {
            exist.push(command.name.into());
        }
        exist.extend(command.subcommands.iter().map(|it| it.name.replace('|', " ")));
    }
    listed.sort();
    exist.sort();
    assert_eq!(listed, exist);
}

#[test]
fn the_page_of_each_family_is_what_its_list_says() {
    let mut stale = Vec::new();
    let contents = page("commands.md");
    for family in FAMILIES {
        let name = format!("commands/{}.md", family.name);
        assert!(contents.contains(&format!("({name})")), "docs/commands.md has no link to {name}");
        let made = describe(family);
        if std::env::var_os("CAHOOTS_BLESS").is_some() {
            std::fs::write(path(&name), made).expect("the page is written");
        } else if std::fs::read_to_string(path(&name)).ok().as_ref() != Some(&made) {
            stale.push(name);
        }
    }
    let pages = std::fs::read_dir(path("commands")).expect("there are pages").count();
    assert_eq!(pages, FAMILIES.len(), "docs/commands holds a page of a family that is gone");
    assert!(stale.is_empty(), "not what the lists say: {stale:?}. Write them anew with CAHOOTS_BLESS=1");
}

fn describe(family: &Family) -> String {
    let mut text = format!("# Commands: {}\n", family.name);
    text.push_str(
        "\nMade from the list beside their code. Where commands differ from Redis: [commands.md](../commands.md).\n",
    );
    for command in family.commands {
        if command.subcommands.is_empty() || command.name == "command" {
            describe_command(&mut text, family, command);
        }
        command.subcommands.iter().for_each(|command| describe_command(&mut text, family, command));
    }
    text
}

fn describe_command(text: &mut String, family: &Family, command: &Command) {
    let whose = if OURS.contains(&family.name) { "cahoots" } else { "Redis" };
    let Command { since, complexity, summary, .. } = command;
    let name = command.name.replace('|', " ").to_ascii_uppercase();
    let mut write = |line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("strings take everything");
    write(format_args!("\n## {name}\n\n```text\n{}\n```\n\n{summary}\n\n", command.syntax()));
    write(format_args!("- Time: {complexity}.\n- Since {whose} {since}."));
    for (version, what) in command.history {
        write(format_args!(" {version}: {what}"));
    }
    write(format_args!("\n"));
    let words = |words: &mut dyn Iterator<Item = &'static str>| words.collect::<Vec<_>>().join(" ");
    let (flags, categories) = (words(&mut command.flags.words()), words(&mut command.categories().words()));
    if !flags.is_empty() {
        write(format_args!("- Flags: {flags}.\n"));
    }
    write(format_args!("- Access categories: {categories}.\n"));
}
