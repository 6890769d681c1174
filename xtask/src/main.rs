//! `cargo xtask`: what the project checks and generates about itself. A module per command.

mod bench;
mod check;
mod docs;
mod rfc;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Checks and generated documents of the project",
    disable_version_flag = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Refuses what the architecture forbids: edges between crates, words in pure crates, files too long, stale documents
    Check,
    /// Writes docs/configuration.md from the doc comments of the configuration
    Docs,
    /// Writes docs/rfc.md: which RFC sections are implemented, tested, left out
    Rfc {
        /// Prints the sections of this RFC, such as 3261, and writes nothing
        number: Option<u32>,
        /// Writes nothing, and fails when docs/rfc.md is not what would be written
        #[arg(long)]
        check: bool,
    },
    /// Measures against the figures of docs/performance.md
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    let root = tree::root();
    match command {
        Command::Check => check::run(&root),
        Command::Docs => docs::run(&root),
        Command::Rfc { number, check } => rfc::run(&root, *number, *check),
        Command::Bench(arguments) => bench::run(&root, arguments),
    }
}
