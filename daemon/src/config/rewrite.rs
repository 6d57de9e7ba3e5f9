//! CONFIG REWRITE: what was set while the daemon ran goes into the table `[redis]` of the configuration file. Every other line,
//! comments included, stays as it is.

use std::io;
use std::path::Path;

use super::write_whole;

const TABLE: &str = "[redis]";

/// Has the file say these parameters.
///
/// # Errors
/// It cannot be read or written; then it is as it was.
pub fn rewrite(path: &Path, set: &[(&str, String)]) -> io::Result<()> {
    // A name that points to the file goes on pointing there.
    let path = path.canonicalize()?;
    let text = std::fs::read_to_string(&path)?;
    let permissions = std::fs::metadata(&path)?.permissions();
    write_whole(&path, rewritten(&text, set).as_bytes(), Some(permissions))
}

fn rewritten(text: &str, set: &[(&str, String)]) -> String {
    if set.is_empty() {
        return text.to_owned();
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_table = |line: &String| line.trim_start().starts_with('[');
    let found = lines.iter().position(|line| line.trim_start().starts_with(TABLE));
    let begin = found.unwrap_or_else(|| {
        lines.extend([String::new(), TABLE.to_owned()]);
        lines.len() - 1
    }) + 1;
    for (name, value) in set {
        let end = lines[begin..].iter().position(is_table).map_or(lines.len(), |more| begin + more);
        let says = |line: &String| line.split_once('=').is_some_and(|(said, _)| said.trim().trim_matches('"') == *name);
        let line = format!("{name} = {}", toml::Value::String(value.clone()));
        match lines[begin..end].iter().position(says) {
            Some(at) => lines[begin + at] = line,
            None => {
                // Before the empty lines at its end.
                let last = lines[begin..end].iter().rposition(|line| !line.trim().is_empty());
                lines.insert(last.map_or(begin, |last| begin + last + 1), line);
            }
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_said_once_and_everything_else_stays() {
        let set = [("hz", "20".to_owned()), ("slowlog-max-len", "9".to_owned())];
        let once = rewritten("node = \"a\" # mine\n[limits]\ndatabases = 3\n", &set);
        assert_eq!(
            once,
            "node = \"a\" # mine\n[limits]\ndatabases = 3\n\n[redis]\nhz = \"20\"\nslowlog-max-len = \"9\"\n"
        );
        assert_eq!(rewritten(&once, &set), once);
        let between = "[redis]\n# why\nhz = \"1\"\n\n[limits]\ndatabases = 3\n";
        let expected = "[redis]\n# why\nhz = \"20\"\nslowlog-max-len = \"9\"\n\n[limits]\ndatabases = 3\n";
        assert_eq!(rewritten(between, &set), expected);
        assert_eq!(rewritten("", &[]), "");
        let odd = rewritten("", &[("ignore-warnings", "a \"b\"\n".to_owned())]);
        let table: toml::Table = toml::from_str(&odd).expect("it is TOML");
        assert_eq!(table["redis"]["ignore-warnings"].as_str(), Some("a \"b\"\n"));
    }
}
