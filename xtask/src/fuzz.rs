//! `cargo xtask fuzz`: builds the fuzz targets with optimization and debug assertions, and runs them two at a time.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;

/// What is run, and for how long.
#[derive(clap::Args)]
pub struct Arguments {
    /// Targets; all without any
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the pseudo-random numbers begin; another seed, other inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Targets that run at the same time
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Runs the loop.
pub fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["run", "--quiet", "--package", "offhook-fuzz", "--"])
        .args(&arguments.targets)
        .args(["--seconds", &arguments.seconds.to_string()])
        .args(["--seed", &arguments.seed.to_string()])
        .args(["--threads", &arguments.threads.to_string()])
        .status()?;
    ensure!(status.success(), "a fuzz target found something");
    Ok(())
}
