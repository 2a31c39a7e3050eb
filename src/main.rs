//! Parses the command line, calls it, and turns what went wrong into one line and an exit code.
use std::process::ExitCode;

use clap::Parser;
use signpost::cli::Command;

#[derive(Parser)]
#[command(
    name = "signpost",
    version,
    about = "Hosted Apple enrollment discovery",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("signpost: {}", signpost::telemetry::one_line(&error));
            ExitCode::FAILURE
        }
    }
}
