//! The loop: picks an input, mutates it, runs the target, keeps what is new, and reports what must not happen.

use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::mutate::{below, mutate};
use crate::targets::Target;

/// Inputs that a run keeps; beyond it a new one takes the place of another that the run found.
const CORPUS: usize = 4_096;
/// What one input may take; more is a finding (hard cases S35 to S38 ask for less than 10 ms on a machine that is not busy).
const SLOW: Duration = Duration::from_secs(2);

/// What a run did.
#[derive(Debug)]
pub struct Report {
    /// Inputs that were run.
    pub inputs: u64,
    /// Ways that were seen.
    pub ways: usize,
}

/// The folder of a target's corpus.
pub fn corpus_folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name)
}

/// Reads a target's corpus, in the order of the file names.
pub fn corpus(target: &Target) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let folder = corpus_folder(target);
    let mut files = Vec::new();
    let entries =
        fs::read_dir(&folder).with_context(|| format!("{} is missing", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push((name, fs::read(entry.path())?));
    }
    files.sort();
    Ok(files)
}

/// Runs a target for a time. Fails with the file of the input that must not happen.
pub fn run(target: &Target, time: Duration, seed: u64) -> anyhow::Result<Report> {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let mut inputs: Vec<Vec<u8>> = corpus(target)?
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    if inputs.is_empty() {
        bail!("{}: the corpus is empty", target.name);
    }
    let seeds = inputs.len();
    let mut ways = HashSet::new();
    for input in &inputs {
        ways.insert(check(target, input)?);
    }
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < time {
        let (one, other) = (
            below(&mut random, inputs.len()),
            below(&mut random, inputs.len()),
        );
        let input = mutate(&mut random, &inputs[one], &inputs[other]);
        count += 1;
        if ways.insert(check(target, &input)?) {
            if inputs.len() < CORPUS.max(seeds + 1) {
                inputs.push(input);
            } else {
                let place = seeds + below(&mut random, inputs.len() - seeds);
                inputs[place] = input;
            }
        }
    }
    Ok(Report {
        inputs: count,
        ways: ways.len(),
    })
}

/// Runs one input. A panic or a long time leaves the input in a file.
pub fn check(target: &Target, input: &[u8]) -> anyhow::Result<u64> {
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = start.elapsed();
    match outcome {
        Ok(trace) if took < SLOW => Ok(trace),
        Ok(_) => bail!("{}: {took:?} for {}", target.name, keep(target, input)?),
        Err(_) => bail!("{}: a panic with {}", target.name, keep(target, input)?),
    }
}

fn keep(target: &Target, input: &[u8]) -> anyhow::Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("findings");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{}-{}", target.name, input.len()));
    fs::write(&file, input)?;
    Ok(file.display().to_string())
}
