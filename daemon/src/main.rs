//! The binary: see the library for what it does.

use std::process::ExitCode;

use cahoots::cli::Cli;

fn main() -> ExitCode {
    let (cli, matches) = Cli::from_process();
    match cli.run(&matches).map_err(anyhow::Error::from_boxed) {
        Ok(code) => code,
        Err(error) => {
            // The whole chain on one line: what failed, then why.
            eprintln!("cahoots: {error:#}");
            ExitCode::FAILURE
        }
    }
}
