//! `cargo xtask bench`: load against the release binary, beside the reference programs.

use std::path::Path;

use anyhow::bail;

/// What is measured.
#[derive(clap::Args)]
pub struct Arguments {
    /// Names of measurements; all without any
    names: Vec<String>,
}

/// Runs the measurements.
pub fn run(_root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    bail!("no measurement is defined yet{}", arguments.names.iter().map(|name| format!(" ({name})")).collect::<String>());
}
