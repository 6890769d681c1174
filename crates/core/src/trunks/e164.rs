//! Numbers as people dial them, and as the telephone network knows them: E.164 §6, digits without a plus.

/// The most digits of an international number: E.164 §6.1.
const MOST: usize = 15;
/// Numbers up to this many digits are short codes and extensions, which have no international form.
const SHORT: usize = 6;

/// Gives a dialled number its international form. `country` is the calling code whose numbers need no international
/// prefix; without one a number is taken to be international already. `None`: it is no number.
pub(crate) fn normalised(country: Option<&str>, text: &str) -> Option<String> {
    let text = text.trim();
    let (is_international, bare) = match text.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let is_separator = |letter| matches!(letter, '-' | '.' | '(' | ')' | ' ' | '/' | '\u{a0}');
    if !bare
        .chars()
        .all(|letter| letter.is_ascii_digit() || is_separator(letter))
    {
        return None;
    }
    let digits: String = bare.chars().filter(char::is_ascii_digit).collect();
    let whole = match (is_international, country) {
        (true, _) => digits,
        (false, Some(country)) => from_country(country, &digits),
        // RFC 3966 knows no prefixes, people do: 00 is the one that most countries have (E.164 §C.2).
        (false, None) => digits
            .strip_prefix("00")
            .map_or(digits.clone(), str::to_owned),
    };
    (1..=MOST).contains(&whole.len()).then_some(whole)
}

fn from_country(country: &str, digits: &str) -> String {
    if digits.len() <= SHORT {
        return digits.to_owned();
    }
    if country == "1" {
        // The countries of code 1 dial 011 abroad, and ten digits among themselves with or without a 1.
        return match (digits.strip_prefix("011"), digits.len()) {
            (Some(abroad), _) => abroad.to_owned(),
            (None, 10) => format!("1{digits}"),
            _ => digits.to_owned(),
        };
    }
    if let Some(abroad) = digits.strip_prefix("00") {
        return abroad.to_owned();
    }
    match digits.strip_prefix('0') {
        Some(national) => format!("{country}{national}"),
        None => digits.to_owned(),
    }
}

/// Tells whether a text is a calling code: one to three digits, the first not 0.
pub(crate) fn is_country_code(text: &str) -> bool {
    (1..=3).contains(&text.len())
        && text.bytes().all(|digit| digit.is_ascii_digit())
        && !text.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_the_form_that_every_country_reads_alike() {
        for (country, dialled, e164) in [
            (None, "+1 (201) 555-0123", "12015550123"),
            (None, "0044 20 7946 0000", "442079460000"),
            (None, "100", "100"),
            (None, "2015550123", "2015550123"),
            (Some("1"), "201-555-0123", "12015550123"),
            (Some("1"), "1.201.555.0123", "12015550123"),
            (Some("1"), "011 44 20 7946 0000", "442079460000"),
            (Some("1"), "911", "911"),
            (Some("44"), "020 7946 0000", "442079460000"),
            (Some("44"), "00 1 201 555 0123", "12015550123"),
            (Some("44"), "442079460000", "442079460000"),
            (Some("44"), "+44 20 7946 0000", "442079460000"),
            (Some("44"), "999", "999"),
            (Some("49"), "030/1234567", "49301234567"),
        ] {
            assert_eq!(
                normalised(country, dialled).as_deref(),
                Some(e164),
                "{dialled}"
            );
        }
        for none in ["", "+", "bob", "1a", "1234567890123456", "+-", "*43#"] {
            assert_eq!(normalised(None, none), None, "{none}");
        }
    }

    #[test]
    fn a_calling_code_has_up_to_three_digits() {
        assert!(["1", "44", "353"].into_iter().all(is_country_code));
        assert!(
            ["", "0", "044", "1234", "+1"]
                .into_iter()
                .all(|text| !is_country_code(text))
        );
    }
}
