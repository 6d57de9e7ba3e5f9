//! The daemon's binary.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Where the binary is: `CAHOOTS_BIN`, or built now, in the profile of this program.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("CAHOOTS_BIN") {
            return path.into();
        }
        // target/PROFILE/deps/this-test, or target/PROFILE/this-benchmark
        let program = std::env::current_exe().expect("a program has a path");
        let directory =
            program.ancestors().skip(1).find(|it| !it.ends_with("deps")).expect("it lies in target/PROFILE");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "cahoots", "--bin", "cahoots"]);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        build.env("CARGO_TARGET_DIR", directory.parent().expect("target"));
        // What cargo says of this package some build scripts take for a change of theirs, and are built anew.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                build.env_remove(name);
            }
        }
        if directory.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "the daemon does not build");
        directory.join("cahoots")
    })
}

/// A command of the binary, with none of the caller's settings. Clients of a test stay connected while it stops daemons;
/// it sets `--linger-ms` where that is what is looked at.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CAHOOTS_") {
            command.env_remove(name);
        }
    }
    command.env("CAHOOTS_LINGER_MS", "0");
    command
}
