//! The pages under `docs/` say what is there.

use cahoots::command::commands;

fn page(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
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
