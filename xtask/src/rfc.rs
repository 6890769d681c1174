//! `cargo xtask rfc`: which sections of which RFC the code cites, and which of them a test cites too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

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

/// Prints the table.
pub fn run(root: &Path, only: Option<u32>) -> anyhow::Result<()> {
    let mut sections: BTreeMap<Section, Citations> = BTreeMap::new();
    for source in tree::sources(root, &["crates"])? {
        let product = if source.is_test() {
            ""
        } else {
            source.product()
        };
        let tests = source.text.get(product.len()..).unwrap_or_default();
        for section in cited(product) {
            sections
                .entry(section)
                .or_default()
                .implemented
                .insert(source.path.clone());
        }
        for section in cited(tests) {
            sections
                .entry(section)
                .or_default()
                .tested
                .insert(source.path.clone());
        }
    }
    let mut both = 0;
    sections.retain(|(number, _), _| only.is_none_or(|only| only == *number));
    for ((number, section), citations) in &sections {
        let mark = match (
            citations.implemented.is_empty(),
            citations.tested.is_empty(),
        ) {
            (false, false) => "implemented, tested",
            (false, true) => "implemented        ",
            (true, _) => "             tested",
        };
        both += usize::from(!citations.implemented.is_empty() && !citations.tested.is_empty());
        let places: BTreeSet<&str> = citations
            .implemented
            .iter()
            .chain(&citations.tested)
            .map(|path| path.trim_start_matches("crates/"))
            .collect();
        let places = places.into_iter().collect::<Vec<_>>().join(" ");
        println!("RFC {number} §{:<12} {mark}  {places}", spell(section));
    }
    println!(
        "{} sections cited, {both} of them implemented and tested",
        sections.len()
    );
    Ok(())
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
    use super::{cited, spell};

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
}
