//! Whether a value is as a case file wants it: `_format.json` of the contract.

use std::collections::BTreeMap;

use serde_json::Value;

/// Compares; the error says where they part. With `exact` objects may have no other keys, at any depth.
pub fn holds(
    wanted: &Value,
    got: &Value,
    exact: bool,
    names: &BTreeMap<String, String>,
) -> Result<(), String> {
    match (wanted, got) {
        (Value::String(wanted), got) => {
            let wanted = super::filled(wanted, names);
            match is_like(&wanted, got) {
                true => Ok(()),
                false => Err(format!("wanted {wanted}, got {got}")),
            }
        }
        (Value::Object(wanted), Value::Object(got)) => {
            for (key, value) in wanted {
                let found = got.get(key).ok_or_else(|| format!("no {key}"))?;
                holds(value, found, exact, names).map_err(|why| format!("{key}: {why}"))?;
            }
            match got.keys().find(|key| exact && !wanted.contains_key(*key)) {
                Some(key) => Err(format!("{key} is too much")),
                None => Ok(()),
            }
        }
        (Value::Array(wanted), Value::Array(got)) => {
            if wanted.len() != got.len() {
                return Err(format!(
                    "wanted {} elements, got {}",
                    wanted.len(),
                    got.len()
                ));
            }
            wanted
                .iter()
                .zip(got)
                .try_for_each(|(wanted, got)| holds(wanted, got, exact, names))
        }
        (wanted, got) if wanted == got => Ok(()),
        (wanted, got) => Err(format!("wanted {wanted}, got {got}")),
    }
}

fn is_like(wanted: &str, got: &Value) -> bool {
    let text = |pattern: &str| got.as_str().is_some_and(|got| matches(pattern, got));
    match wanted {
        "@any" => true,
        "@string" => got.is_string(),
        "@string_or_null" => got.is_string() || got.is_null(),
        "@nonempty" => got.as_str().is_some_and(|got| !got.is_empty()),
        "@int" => got.is_i64() || got.is_u64(),
        "@number" => got.is_number(),
        "@bool" => got.is_boolean(),
        "@digits" => text("^[0-9]+$"),
        "@digits12" => text("^[0-9]{12}$"),
        "@money" => text("^-?[0-9]+[.][0-9]{5}$"),
        "@uuid" => text("^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
        "@date" => text("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
        "@utc" => text("^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$"),
        "@utc_us" => text("^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}$"),
        "@ztime" => {
            text("^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}$")
        }
        wanted => match wanted.strip_prefix("@re:") {
            Some(pattern) => text(pattern),
            None => got == wanted,
        },
    }
}

/// As much of regular expressions as case files use: anchors, classes, `?`, `+`, `*`, `{n}`.
fn matches(pattern: &str, text: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) =
        (text.chars().collect(), pattern.chars().collect());
    match pattern.split_first() {
        Some(('^', rest)) => here(rest, &text),
        _ => (0..=text.len()).any(|start| here(&pattern, &text[start..])),
    }
}

fn here(pattern: &[char], text: &[char]) -> bool {
    if pattern.is_empty() {
        return true;
    }
    if pattern == ['$'] {
        return text.is_empty();
    }
    let length = match pattern[0] {
        '[' => {
            pattern
                .iter()
                .position(|c| *c == ']')
                .expect("a closed class")
                + 1
        }
        '\\' => 2,
        _ => 1,
    };
    let (atom, rest) = pattern.split_at(length);
    let (least, most, rest) = match rest.first() {
        Some('?') => (0, 1, &rest[1..]),
        Some('*') => (0, usize::MAX, &rest[1..]),
        Some('+') => (1, usize::MAX, &rest[1..]),
        Some('{') => {
            let end = rest.iter().position(|c| *c == '}').expect("a closed count");
            let count: String = rest[1..end].iter().collect();
            let count = count.parse().expect("a number");
            (count, count, &rest[end + 1..])
        }
        _ => (1, 1, rest),
    };
    let run = text
        .iter()
        .take(most)
        .take_while(|c| is_in(atom, **c))
        .count();
    (least..=run).rev().any(|taken| here(rest, &text[taken..]))
}

fn is_in(atom: &[char], c: char) -> bool {
    match atom {
        ['[', set @ .., ']'] => {
            let range = |window: &[char]| window[1] == '-' && (window[0]..=window[2]).contains(&c);
            set.contains(&c) && c != '-' || set.windows(3).any(range) || set.last() == Some(&c)
        }
        ['\\', only] => *only == c,
        ['.'] => true,
        [only] => *only == c,
        _ => false,
    }
}
