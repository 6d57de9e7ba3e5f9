//! Writes the tables of `docs/performance.md`: runs benchmarks and puts what each prints between its marks.
//!
//! `cargo run --release -p cahoots-benches --bin tables [name ...]`, all of them without names. A table stands between
//! `<!-- name -->` and `<!-- end -->`; everything else in the file is left as it is. Its name is that of the benchmark, and
//! the words it is given, if any: `"durability space"`.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join("docs/performance.md");
    let mut text = std::fs::read_to_string(&path).expect("docs/performance.md is readable");
    let known = names(&text);
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = chosen.iter().find(|name| !known.contains(name)) {
        eprintln!("there is no table {unknown:?} in {}; there are {known:?}", path.display());
        return ExitCode::FAILURE;
    }
    for name in if chosen.is_empty() { known } else { chosen } {
        eprintln!("{name} ...");
        let mut run = Command::new(env!("CARGO"));
        let mut words = name.split(' ');
        run.args(["run", "--quiet", "--release", "-p", "cahoots-benches", "--bin"]).args(words.next()).arg("--");
        run.args(words).current_dir(&root);
        let output = run.stderr(std::process::Stdio::inherit()).output().expect("cargo runs");
        if !output.status.success() {
            eprintln!("{name} failed: {}", output.status);
            return ExitCode::FAILURE;
        }
        text = replace(&text, &name, &String::from_utf8_lossy(&output.stdout));
        std::fs::write(&path, &text).expect("docs/performance.md is writable");
    }
    ExitCode::SUCCESS
}

const END: &str = "<!-- end -->";

fn mark(name: &str) -> String {
    format!("<!-- {name} -->\n")
}

/// The tables that `text` has room for.
fn names(text: &str) -> Vec<String> {
    let marks = text.lines().filter_map(|line| line.strip_prefix("<!-- ")?.strip_suffix(" -->"));
    marks.filter(|name| *name != "end").map(str::to_owned).collect()
}

fn replace(text: &str, name: &str, table: &str) -> String {
    let start = text.find(&mark(name)).expect("its mark is there") + mark(name).len();
    let end = start + text[start..].find(END).expect("a table has an end");
    format!("{}{}\n{}", &text[..start], table.trim_end(), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_replaced_between_its_marks_and_nothing_else_is() {
        let text = "a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\n<!-- end -->\nc\n";
        assert_eq!(names(text), ["one", "two"]);
        let text = replace(text, "one", "new\n\n");
        let text = replace(&text, "two", "first");
        assert_eq!(text, "a\n<!-- one -->\nnew\n<!-- end -->\nb\n<!-- two -->\nfirst\n<!-- end -->\nc\n");
    }
}
