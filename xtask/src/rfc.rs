//! `cargo xtask rfc`: which sections of which RFC the code cites, which of them a test cites too, and what is left out on
//! purpose. It writes docs/rfc.md; titles and what is left out are in docs/rfc.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::tree;

/// An RFC and a section's numbers, in their order in the RFC.
type Section = (u32, Vec<Part>);

/// One part of a section's number; an appendix begins with a letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Part {
    Number(u32),
    Letter(char),
}

#[derive(Default)]
struct Citations {
    implemented: BTreeSet<String>,
    tested: BTreeSet<String>,
}

/// What docs/rfc.toml says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manual {
    /// Titles by number.
    titles: BTreeMap<String, String>,
    /// What is not implemented, and why.
    left_out: Vec<LeftOut>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeftOut {
    rfc: u32,
    /// As in `16.7`; absent: the whole document.
    section: Option<String>,
    what: String,
    why: String,
}

const PAGE: &str = "docs/rfc.md";
const MANUAL: &str = "docs/rfc.toml";

/// Writes the page, or checks that it is what would be written, or prints the rows of one RFC.
pub fn run(root: &Path, only: Option<u32>, check: bool) -> anyhow::Result<()> {
    let sections = citations(root)?;
    if let Some(only) = only {
        let rows = sections.iter().filter(|((number, _), _)| *number == only);
        for ((_, section), citations) in rows {
            let (is, tested) = (names(&citations.implemented), names(&citations.tested));
            println!("§{:<8} {is:<60} {tested}", spell(section));
        }
        return Ok(());
    }
    let manual = fs::read_to_string(root.join(MANUAL)).context(MANUAL)?;
    let manual: Manual = toml::from_str(&manual).context(MANUAL)?;
    let page = page(&sections, &manual)?;
    let path = root.join(PAGE);
    if !check {
        fs::write(&path, page).context(PAGE)?;
        println!("{PAGE} is written");
    } else if fs::read_to_string(&path).context(PAGE)? != page {
        bail!("{PAGE} is stale: run `cargo xtask rfc`");
    }
    Ok(())
}

fn citations(root: &Path) -> anyhow::Result<BTreeMap<Section, Citations>> {
    let mut sections: BTreeMap<Section, Citations> = BTreeMap::new();
    for source in tree::sources(root, &["crates"])? {
        let product = if source.is_test() {
            ""
        } else {
            source.product()
        };
        let tests = source.text.get(product.len()..).unwrap_or_default();
        for section in cited(product) {
            let citations = sections.entry(section).or_default();
            citations.implemented.insert(source.path.clone());
        }
        for section in cited(tests) {
            let citations = sections.entry(section).or_default();
            citations.tested.insert(source.path.clone());
        }
    }
    let mut outside = Vec::new();
    python(&root.join("tests"), &mut outside)?;
    for path in outside {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let shown = path
            .strip_prefix(root)?
            .to_string_lossy()
            .replace('\\', "/");
        for section in cited(&text) {
            let citations = sections.entry(section).or_default();
            citations.tested.insert(shown.clone());
        }
    }
    Ok(sections)
}

/// The tests from outside, in no order.
fn python(directory: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory).context("tests")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "node_modules" && !name.starts_with(['.', '_']) {
            python(&path, found)?;
        } else if name.ends_with(".py") {
            found.push(path);
        }
    }
    Ok(())
}

fn page(sections: &BTreeMap<Section, Citations>, manual: &Manual) -> anyhow::Result<String> {
    let mut left_out: BTreeMap<Section, (&str, &str)> = BTreeMap::new();
    for row in &manual.left_out {
        let section = row.section.as_deref();
        let parts = section.map(|section| section.split('.').map(part).collect());
        let parts: Vec<Part> = match parts {
            Some(Some(parts)) => parts,
            Some(None) => bail!("{MANUAL}: RFC {} has a section of no form", row.rfc),
            None => Vec::new(),
        };
        left_out.insert((row.rfc, parts), (&row.what, &row.why));
    }
    let numbers = sections.keys().chain(left_out.keys());
    let numbers: BTreeSet<u32> = numbers.map(|(number, _)| *number).collect();
    let mut page = String::from(
        "# Which RFC sections are implemented, tested, left out\n\n\
         Made by `cargo xtask rfc` from the citations (`RFC 3261 §10.3`) in code and tests and from `rfc.toml`; not written by \
         hand. *Implemented*: the files that cite the section where they carry it out. *Tested*: the tests that cite it; a \
         section without one is covered only by tests that do not name it. *Left out*: on purpose, with the reason.\n",
    );
    for number in numbers {
        let title = manual.titles.get(&number.to_string());
        let title = title.with_context(|| format!("{MANUAL} has no title for RFC {number}"))?;
        write!(page, "\n## RFC {number}: {title}\n\n")?;
        let cited: Vec<_> = sections
            .range((number, Vec::new())..(number + 1, Vec::new()))
            .collect();
        if !cited.is_empty() {
            page.push_str("| section | implemented in | tested in |\n|---|---|---|\n");
        }
        for ((_, section), citations) in cited {
            let (is, tested) = (names(&citations.implemented), names(&citations.tested));
            writeln!(page, "| {} | {is} | {tested} |", spell(section))?;
        }
        let out = left_out.range((number, Vec::new())..(number + 1, Vec::new()));
        for (at, ((_, section), (what, why))) in out.enumerate() {
            if at == 0 {
                page.push_str("\nLeft out on purpose:\n\n");
            }
            match section.is_empty() {
                true => writeln!(page, "- {what}: {why}")?,
                false => writeln!(page, "- §{} {what}: {why}", spell(section))?,
            }
        }
    }
    Ok(page)
}

/// Paths without what they all have in common.
fn names(paths: &BTreeSet<String>) -> String {
    let short = |path: &String| {
        let path = path.trim_start_matches("crates/");
        path.replacen("/src/", "/", 1)
    };
    let names: Vec<String> = paths.iter().map(short).collect();
    names.join(" ")
}

fn spell(section: &[Part]) -> String {
    let parts = section.iter().map(|part| match part {
        Part::Number(number) => number.to_string(),
        Part::Letter(letter) => letter.to_string(),
    });
    parts.collect::<Vec<_>>().join(".")
}

/// Finds `RFC 3261 §17.2.1`, and the further sections of `RFC 3261 §8.1.1, §20`.
fn cited(text: &str) -> Vec<Section> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("RFC ") {
        let rest = &text[start + 4..];
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(rest.len());
        let Ok(number) = rest[..digits].parse() else {
            continue;
        };
        let mut rest = &rest[digits..];
        while let Some(section) = rest.trim_start_matches([',', ' ']).strip_prefix('§') {
            let end = section
                .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.')
                .unwrap_or(section.len());
            let written = section[..end].trim_end_matches('.');
            let parts: Option<Vec<Part>> = written.split('.').map(part).collect();
            match parts {
                Some(parts) => found.push((number, parts)),
                None => break,
            }
            rest = &section[written.len()..];
        }
    }
    found
}

fn part(text: &str) -> Option<Part> {
    let letter = || {
        text.chars()
            .next()
            .filter(|letter| letter.is_ascii_uppercase() && text.len() == 1)
    };
    text.parse()
        .ok()
        .map(Part::Number)
        .or_else(|| letter().map(Part::Letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_are_read_in_their_one_form() {
        let text = "RFC 3261 §17.2.1 (Figure 7), amended by RFC 6026 §7.1. See RFC 3261 §8.1.1, §20. RFC 4566 alone, RFC 3261 §B.1.";
        let found: Vec<_> = cited(text)
            .into_iter()
            .map(|(number, section)| format!("{number} {}", spell(&section)))
            .collect();
        assert_eq!(
            found,
            [
                "3261 17.2.1",
                "6026 7.1",
                "3261 8.1.1",
                "3261 20",
                "3261 B.1"
            ]
        );
    }

    #[test]
    fn the_page_has_a_row_for_each_section_and_says_what_is_left_out() {
        let mut sections: BTreeMap<Section, Citations> = BTreeMap::new();
        let ten = (3261, vec![Part::Number(10), Part::Number(3)]);
        let citations = sections.entry(ten).or_default();
        citations.implemented.insert("crates/core/src/a.rs".into());
        citations.tested.insert("tests/sipp/test_a.py".into());
        let nine = (3261, vec![Part::Number(9)]);
        sections.entry(nine).or_default();
        let manual = "[titles]\n3261 = \"SIP\"\n5627 = \"GRUU\"\n\
            [[left_out]]\nrfc = 3261\nsection = \"16\"\nwhat = \"proxies\"\nwhy = \"we are none\"\n\
            [[left_out]]\nrfc = 5627\nwhat = \"all\"\nwhy = \"later\"\n";
        let manual: Manual = toml::from_str(manual).expect("a manual");
        let page = page(&sections, &manual).expect("a page");
        let rows = page.split_once("\n## ").expect("a heading").1;
        assert_eq!(
            rows,
            "RFC 3261: SIP\n\n| section | implemented in | tested in |\n|---|---|---|\n| 9 |  |  |\n\
             | 10.3 | core/a.rs | tests/sipp/test_a.py |\n\nLeft out on purpose:\n\n- §16 proxies: we are none\n\
             \n## RFC 5627: GRUU\n\n\nLeft out on purpose:\n\n- all: later\n"
        );
        let untitled = Manual {
            titles: BTreeMap::new(),
            left_out: Vec::new(),
        };
        assert!(super::page(&sections, &untitled).is_err());
    }
}
