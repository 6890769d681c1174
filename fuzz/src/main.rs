//! `cargo xtask fuzz`: each target for a while.

use std::time::Duration;

use anyhow::bail;
use clap::Parser;
use offhook_fuzz::{run, targets};

#[derive(Parser)]
struct Arguments {
    /// Targets to run; all without any
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the pseudo-random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(unknown) = arguments
        .targets
        .iter()
        .find(|name| !targets::ALL.iter().any(|target| target.name == *name))
    {
        let known: Vec<_> = targets::ALL.iter().map(|target| target.name).collect();
        bail!("no target `{unknown}`; there are {}", known.join(", "));
    }
    let wanted = targets::ALL.iter().filter(|target| {
        arguments.targets.is_empty() || arguments.targets.iter().any(|name| name == target.name)
    });
    for target in wanted {
        let report = run::run(
            target,
            Duration::from_secs(arguments.seconds),
            arguments.seed,
        )?;
        println!(
            "{:<12} {:>9} inputs, {:>6} ways, nothing found",
            target.name, report.inputs, report.ways
        );
    }
    Ok(())
}
