//! Ids and tokens as customers see them; all random. Decimal ones have at most 15 digits, so that they survive languages
//! whose numbers are floating point (mapping.md §4, row 12).

use rand::Rng;
use rand::distr::uniform::SampleRange;
use store::Id;

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// 14 digits, the first not 0.
pub(crate) fn endpoint() -> Id {
    between(10_000_000_000_000..=99_999_999_999_999)
}

/// 15 digits, the first not 0.
pub(crate) fn application() -> Id {
    between(100_000_000_000_000..=999_999_999_999_999)
}

/// The key of what is not shown as a number.
pub(crate) fn internal() -> Id {
    between(1..=999_999_999_999_999)
}

/// `prefix` and 23 lower-case letters and digits.
pub(crate) fn public(prefix: &str) -> String {
    format!("{prefix}-{}", characters(LOWER, 23))
}

/// `MA` and 18 upper-case letters and digits.
pub(crate) fn auth_id() -> String {
    format!("MA{}", characters(UPPER, 18))
}

/// 40 characters of the base64 alphabet: 240 random bits.
pub(crate) fn auth_token() -> String {
    characters(BASE64, 40)
}

/// A secret of lower-case letters and digits: 32 of them, 165 bits.
pub(crate) fn secret() -> String {
    characters(LOWER, 32)
}

/// The 12 digits that make a user name unique.
pub(crate) fn suffix() -> String {
    characters(b"0123456789", 12)
}

fn between(range: impl SampleRange<Id>) -> Id {
    rand::rng().random_range(range)
}

fn characters(alphabet: &[u8], count: usize) -> String {
    let mut random = rand::rng();
    (0..count)
        .filter_map(|_| alphabet.get(random.random_range(0..alphabet.len())))
        .map(|byte| char::from(*byte))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_forms_of_the_contracts() {
        for _ in 0..1000 {
            assert_eq!(endpoint().to_string().len(), 14);
            assert_eq!(application().to_string().len(), 15);
            let auth_id = auth_id();
            assert!(auth_id.len() == 20 && auth_id.starts_with("MA"));
            assert!(
                auth_id
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            );
            assert_eq!(auth_token().len(), 40);
            assert!(suffix().len() == 12 && suffix().bytes().all(|b| b.is_ascii_digit()));
            let public = public("re");
            assert!(public.len() == 26 && public.starts_with("re-"));
        }
    }
}
