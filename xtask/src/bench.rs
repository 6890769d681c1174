//! `cargo xtask bench`: Offhook beside Kamailio and rtpengine, in alternating rounds of one run, as ratios.
//!
//! The measuring itself is `tools/bench/run-offhook.sh` with the load generator `tools/sipload`; this builds what it needs,
//! says what is missing, and hands the knobs on.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// What is measured, and how thoroughly.
#[derive(clap::Args)]
pub struct Arguments {
    /// Parts to measure: register (and refresh, options, invite), refresh, options, memory, scale, start, latency,
    /// overload, postgres, relay, connections; all without any
    #[arg(value_parser = ["register", "refresh", "options", "memory", "scale", "start", "latency", "overload", "postgres",
        "relay", "connections"])]
    parts: Vec<String>,
    /// Alternating rounds for each figure; 9 for a verdict, 3 for a look
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// Registered users in the register part
    #[arg(long, default_value_t = 10_000)]
    users: u32,
    /// Operations in a round
    #[arg(long, default_value_t = 20_000)]
    operations: u32,
    /// Bindings in the memory part
    #[arg(long, default_value_t = 100_000)]
    memory_users: u32,
    /// Users in the scale and start parts
    #[arg(long, default_value_t = 1_000_000)]
    scale_users: u32,
    /// Seconds of the latency and overload parts
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Connections of each kind in the connections part
    #[arg(long, default_value_t = 10_000)]
    connections: u32,
    /// store.durability of the server under test: power or process
    #[arg(long, default_value = "power", value_parser = ["power", "process"])]
    durability: String,
}

/// The Debian packages that hold the peers.
const PEERS: &[(&str, &str)] = &[
    (
        "kamailio",
        "kamailio kamailio-extra-modules kamailio-sqlite-modules",
    ),
    ("rtpengine", "rtpengine-daemon"),
    ("sqlite3", "sqlite3"),
    ("python3", "python3"),
];

/// The parts that compare with nobody.
const ALONE: &[&str] = &["latency", "overload"];

/// Builds the release binary and the load generator, then runs the parts that were asked for.
pub fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let alone = |part: &String| ALONE.contains(&part.as_str());
    let peers: &[(&str, &str)] =
        match !arguments.parts.is_empty() && arguments.parts.iter().all(alone) {
            true => &[],
            false => PEERS,
        };
    for (program, packages) in peers {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()?;
        if !found.status.success() {
            bail!("{program} is not installed: apt-get install {packages}");
        }
    }
    cargo(root, &["build", "--release", "--package", "offhook"])?;
    cargo(
        root,
        &[
            "build",
            "--release",
            "--manifest-path",
            "tools/sipload/Cargo.toml",
            "--features",
            "tls",
        ],
    )?;
    let status = Command::new("bash")
        .arg(root.join("tools/bench/run-offhook.sh"))
        .args(&arguments.parts)
        .env("ROUNDS", arguments.rounds.to_string())
        .env("USERS", arguments.users.to_string())
        .env("OPS", arguments.operations.to_string())
        .env("MEMORY_USERS", arguments.memory_users.to_string())
        .env("SCALE_USERS", arguments.scale_users.to_string())
        .env("SECONDS_OF_LOAD", arguments.seconds.to_string())
        .env("CONNECTIONS", arguments.connections.to_string())
        .env("DURABILITY", &arguments.durability)
        .status()
        .context("bash")?;
    ensure!(status.success(), "the measurement ended with {status}");
    Ok(())
}

fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(arguments)
        .status()?;
    ensure!(
        status.success(),
        "cargo {} ended with {status}",
        arguments.join(" ")
    );
    Ok(())
}
