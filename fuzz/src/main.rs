//! `cargo xtask fuzz`: each target for a while.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
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
    /// Targets that run at the same time
    #[arg(long, default_value_t = 2)]
    threads: usize,
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
    let wanted: Vec<_> = targets::ALL
        .iter()
        .filter(|target| {
            arguments.targets.is_empty() || arguments.targets.iter().any(|name| name == target.name)
        })
        .collect();
    let time = Duration::from_secs(arguments.seconds);
    let next = AtomicUsize::new(0);
    let work = || -> anyhow::Result<()> {
        while let Some(target) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let report = run::run(target, time, arguments.seed)?;
            println!(
                "{:<12} {:>9} inputs, {:>6} ways, nothing found",
                target.name, report.inputs, report.ways
            );
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads.max(1))
            .map(|_| scope.spawn(work))
            .collect();
        // A target that finds something ends its thread; the others go on to their end.
        let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        for outcome in outcomes {
            outcome.unwrap_or_else(|_| bail!("the loop itself panicked"))?;
        }
        Ok(())
    })
}
