//! `cargo xtask check`: what the architecture promises and no compiler holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use toml::{Table, Value};

use crate::docs;
use crate::tree::{self, Source};

/// Directory, package, and the crates of ours that it may use.
const EDGES: [(&str, &str, &[&str]); 7] = [
    ("sip", "offhook-sip", &[]),
    ("media", "offhook-media", &[]),
    ("call", "offhook-call", &["sip", "media"]),
    ("store", "offhook-store", &[]),
    ("core", "offhook-core", &["call", "store", "sip", "media"]),
    ("dialects", "offhook-dialects", &["offhook-core", "call"]),
    (
        "server",
        "offhook",
        &["dialects", "offhook-core", "store", "sip", "media"],
    ),
];

/// The crates without socket, clock, task and ambient randomness.
const PURE: [&str; 3] = ["sip", "media", "call"];

/// What a pure crate may depend on, besides ours; a new one is a decision.
const PURE_DEPENDENCIES: [&str; 15] = [
    "bytes",
    "bytestring",
    "memchr",
    "smallvec",
    "thiserror",
    "md-5",
    "sha2",
    "hmac",
    "subtle",
    "hex",
    "rand_core",
    "rand_chacha",
    "sdp-types",
    "jiff",
    "uuid",
];

/// What the product part of a pure crate does not say.
const PURE_WORDS: [(&str, &str); 18] = [
    ("Instant::now", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("Timestamp::now", "time is an argument"),
    ("Zoned::now", "time is an argument"),
    ("tokio", "no task, no socket"),
    ("UdpSocket", "no socket"),
    ("TcpStream", "no socket"),
    ("TcpListener", "no socket"),
    ("std::fs", "no file"),
    ("std::thread", "no thread"),
    ("std::env", "no environment"),
    ("rand::", "randomness is an argument"),
    ("getrandom", "randomness is an argument"),
    ("new_v4", "identifiers are an argument"),
    (".unwrap()", "bad input is data"),
    (".expect(", "bad input is data"),
    ("panic!(", "bad input is data"),
    ("unreachable!(", "bad input is data"),
];

/// What belongs to one room: a word, the crates that may say it, and why.
const ROOMS: [(&str, &[&str], &str); 6] = [
    (
        "std::fs",
        &["server", "store"],
        "files belong to the server and the store",
    ),
    (
        "TcpListener",
        &["server"],
        "listening sockets belong to the server",
    ),
    ("UdpSocket", &["server"], "sockets belong to the server"),
    ("sqlx", &["store"], "SQL belongs to the store"),
    (
        "unsafe {",
        &["server/src/net/batch.rs"],
        "unsafe code belongs to net/batch.rs",
    ),
    (
        "tokio::spawn",
        &[],
        "every task belongs to a TaskTracker or a JoinSet",
    ),
];

/// Lines that a hand-written file may have.
const LONGEST: usize = 800;

/// Names that say nothing about what lies there.
const VAGUE: [&str; 5] = ["common", "utils", "helpers", "types", "model"];

/// Runs all checks and lists every finding.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let mut findings = Vec::new();
    edges(root, &mut findings)?;
    let sources = tree::sources(root, &["crates", "xtask", "fuzz", "tests"])?;
    for source in &sources {
        length(source, &mut findings);
        vague(source, &mut findings);
        pure_words(source, &mut findings);
        rooms(source, &mut findings);
    }
    lint_files(root, &mut findings);
    documents(root, &mut findings)?;
    if findings.is_empty() {
        println!("{} files checked", sources.len());
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    bail!("{} findings", findings.len());
}

fn edges(root: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let ours: BTreeSet<&str> = ["sip", "media", "call", "store", "offhook-core", "dialects"].into();
    let expected: BTreeSet<String> = EDGES
        .iter()
        .map(|(directory, ..)| (*directory).to_owned())
        .collect();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root.join("crates"))? {
        found.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    for strange in found.symmetric_difference(&expected) {
        findings.push(format!(
            "crates/{strange}: the workspace has seven crates, listed in xtask/src/check.rs"
        ));
    }
    for (directory, package, may_use) in EDGES {
        let path = root.join("crates").join(directory).join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let manifest: Table = text.parse().with_context(|| path.display().to_string())?;
        let place = format!("crates/{directory}/Cargo.toml");
        if name(&manifest) != Some(package) {
            findings.push(format!("{place}: the package is named {package}"));
        }
        if !inherits_lints(&manifest) {
            findings.push(format!("{place}: `[lints] workspace = true` is missing"));
        }
        // The tests of the crates that join others may start what those are made of.
        let joins = ["core", "dialects", "server"].contains(&directory);
        let development = if joins {
            None
        } else {
            Some("dev-dependencies")
        };
        for section in ["dependencies", "build-dependencies"]
            .into_iter()
            .chain(development)
        {
            for dependency in keys(&manifest, section) {
                if ours.contains(dependency) && !may_use.contains(&dependency) {
                    findings.push(format!("{place}: {directory} may not use {dependency}"));
                }
            }
        }
        for dependency in keys(&manifest, "dependencies") {
            let allowed = ours.contains(dependency) || PURE_DEPENDENCIES.contains(&dependency);
            if PURE.contains(&directory) && !allowed {
                findings.push(format!("{place}: {directory} is pure, and {dependency} is not on the list for pure crates"));
            }
        }
    }
    Ok(())
}

fn name(manifest: &Table) -> Option<&str> {
    manifest.get("package")?.get("name")?.as_str()
}

fn inherits_lints(manifest: &Table) -> bool {
    manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(Value::as_bool)
        == Some(true)
}

fn keys<'a>(manifest: &'a Table, section: &str) -> Vec<&'a str> {
    let table = manifest.get(section).and_then(Value::as_table);
    table
        .into_iter()
        .flat_map(|table| table.keys().map(String::as_str))
        .collect()
}

fn length(source: &Source, findings: &mut Vec<String>) {
    let lines = source.text.lines().count();
    if lines > LONGEST {
        findings.push(format!(
            "{}: {lines} lines; past {LONGEST} there is a second noun in it",
            source.path
        ));
    }
}

fn vague(source: &Source, findings: &mut Vec<String>) {
    if source.is_test() {
        return;
    }
    let parts = source
        .path
        .split('/')
        .map(|part| part.trim_end_matches(".rs"));
    for part in parts.filter(|part| VAGUE.contains(part)) {
        findings.push(format!(
            "{}: `{part}` says nothing; a thing lives with the noun it is about",
            source.path
        ));
    }
}

fn pure_words(source: &Source, findings: &mut Vec<String>) {
    let pure = PURE
        .iter()
        .any(|directory| source.path.starts_with(&format!("crates/{directory}/src/")));
    if !pure || source.is_test() {
        return;
    }
    for (number, line) in code(source.product()) {
        for (word, why) in PURE_WORDS.iter().filter(|(word, _)| line.contains(word)) {
            findings.push(format!(
                "{}:{number}: `{word}` in a pure crate: {why}",
                source.path
            ));
        }
    }
}

fn rooms(source: &Source, findings: &mut Vec<String>) {
    let Some(path) = source
        .path
        .strip_prefix("crates/")
        .filter(|_| !source.is_test())
    else {
        return;
    };
    for (number, line) in code(source.product()) {
        for (word, rooms, why) in ROOMS {
            if line.contains(word) && !rooms.iter().any(|room| path.starts_with(room)) {
                findings.push(format!("{}:{number}: `{word}`: {why}", source.path));
            }
        }
    }
}

/// Lines with their numbers, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn lint_files(root: &Path, findings: &mut Vec<String>) {
    let pure = PURE
        .iter()
        .map(|directory| format!("crates/{directory}/clippy.toml"));
    for path in pure.chain(["clippy.toml".to_owned(), "deny.toml".to_owned()]) {
        if !root.join(&path).is_file() {
            findings.push(format!("{path}: is missing"));
        }
    }
}

fn documents(root: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let written = fs::read_to_string(root.join(docs::PATH)).unwrap_or_default();
    if written != docs::configuration(root)? {
        findings.push(format!(
            "{}: is not what the doc comments say; run `cargo xtask docs`",
            docs::PATH
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Source, length, pure_words, rooms};

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_pure_crate_that_reads_the_clock_is_found_and_its_tests_are_not() {
        let text = "// Instant::now\nlet a = Instant::now();\n#[cfg(test)]\nmod tests {\nInstant::now();\n}\n";
        let mut findings = Vec::new();
        pure_words(&source("crates/sip/src/a.rs", text), &mut findings);
        assert_eq!(
            findings,
            ["crates/sip/src/a.rs:2: `Instant::now` in a pure crate: time is an argument"]
        );
        findings.clear();
        pure_words(&source("crates/core/src/a.rs", text), &mut findings);
        assert!(findings.is_empty());
    }

    #[test]
    fn a_word_outside_of_its_room_is_found() {
        let mut findings = Vec::new();
        rooms(
            &source("crates/core/src/a.rs", "use sqlx::query;\n"),
            &mut findings,
        );
        rooms(
            &source("crates/store/src/a.rs", "use sqlx::query;\n"),
            &mut findings,
        );
        assert_eq!(
            findings,
            ["crates/core/src/a.rs:1: `sqlx`: SQL belongs to the store"]
        );
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        let mut findings = Vec::new();
        length(&source("a.rs", &"\n".repeat(800)), &mut findings);
        assert!(findings.is_empty());
        length(&source("a.rs", &"\n".repeat(801)), &mut findings);
        assert_eq!(findings.len(), 1);
    }
}
