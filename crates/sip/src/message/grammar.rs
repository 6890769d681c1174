//! Pieces of the grammar that several headers share: RFC 3261 §25.1.

use std::borrow::Cow;

use crate::Text;

/// Tells whether all of `text` is one token.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Tells whether an octet may stand in a token.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

/// Removes linear white space at both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_ascii()
}

/// Gives the part of `whole` that `part` is, without copying. `part` must have been cut out of `whole`.
pub(crate) fn slice(whole: &Text, part: &str) -> Text {
    whole.slice_ref(part)
}

/// Splits at a byte, leaving the byte out.
pub(crate) fn split_once(text: &str, byte: u8) -> Option<(&str, &str)> {
    split_off(text, memchr::memchr(byte, text.as_bytes())?)
}

/// Splits at the position of an ASCII character, leaving it out.
pub(crate) fn split_off(text: &str, at: usize) -> Option<(&str, &str)> {
    Some((text.get(..at)?, text.get(at.checked_add(1)?..)?))
}

/// Finds the end of the quoted string that starts `text`: the position after the closing quote.
pub(crate) fn quoted_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        let found = memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?.checked_add(at)?;
        if bytes.get(found) == Some(&b'"') {
            return found.checked_add(1);
        }
        at = found.checked_add(2)?;
    }
}

/// Finds `wanted` outside quoted strings and angle brackets. `Err`: a quote or bracket stays open.
pub(crate) fn find_outside(text: &str, wanted: u8) -> Result<Option<usize>, Open> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(found) = memchr::memchr3(wanted, b'"', b'<', rest) else {
            return Ok(None);
        };
        at += found;
        match bytes.get(at) {
            Some(&byte) if byte == wanted => return Ok(Some(at)),
            Some(b'"') => at += quoted_end(text.get(at..).ok_or(Open)?).ok_or(Open)?,
            _ => {
                let inside = bytes.get(at..).unwrap_or_default();
                at += memchr::memchr(b'>', inside).ok_or(Open)? + 1;
            }
        }
    }
}

/// A quoted string or an angle bracket without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Open;

/// The values of a comma-separated header line (RFC 3261 §7.3.1), each trimmed.
pub(crate) struct List<'a> {
    rest: Option<&'a str>,
}

impl<'a> List<'a> {
    /// Starts at the first value.
    pub(crate) fn new(line: &'a str) -> Self {
        Self { rest: Some(line) }
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.take()?;
        if memchr::memchr(b',', rest.as_bytes()).is_none() {
            return Some(trim(rest));
        }
        // An open quote makes the rest one value, which its own parser then refuses.
        match find_outside(rest, b',') {
            Ok(Some(at)) => {
                let (value, rest) = split_off(rest, at)?;
                self.rest = Some(rest);
                Some(trim(value))
            }
            Ok(None) | Err(Open) => Some(trim(rest)),
        }
    }
}

/// Removes the quotes around a string and the backslashes in it; other text stays as it is (RFC 3261 §25.1).
pub(crate) fn unquote(text: &Text) -> Text {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return text.clone();
    };
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return slice(text, inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut escaped = false;
    for letter in inner.chars() {
        if letter == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        plain.push(letter);
    }
    plain.into()
}

/// Writes text as a quoted string (RFC 3261 §25.1). Line ends become blanks.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(letter);
            }
            '\r' | '\n' | '\0' => quoted.push(' '),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// Decodes `%HH`; a `%` without two digits stays as it is (RFC 3261 §19.1.2).
pub(crate) fn percent_decode(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if memchr::memchr(b'%', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let octet = match (byte, bytes.get(at + 1), bytes.get(at + 2)) {
            (b'%', Some(&high), Some(&low)) => hex_digit(high).zip(hex_digit(low)),
            _ => None,
        };
        match octet {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(decoded)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Reads an unsigned number of any length; what does not fit becomes the largest. `None`: not only digits.
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u64, |number, digit| {
        digit.is_ascii_digit().then(|| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_inside_quotes_and_brackets_do_not_split() {
        let line = r#""Bell, \"A\"" <sip:a,b@c>;x="1,2" , sip:d@e ,,f"#;
        let values: Vec<_> = List::new(line).collect();
        assert_eq!(
            values,
            [r#""Bell, \"A\"" <sip:a,b@c>;x="1,2""#, "sip:d@e", "", "f"]
        );
    }

    #[test]
    fn an_open_quote_or_bracket_is_noticed() {
        assert_eq!(find_outside("\"a;b", b';'), Err(Open));
        assert_eq!(find_outside("<a;b", b';'), Err(Open));
        assert_eq!(find_outside("\"a\\\";b", b';'), Err(Open));
        assert_eq!(find_outside("<a>;b", b';'), Ok(Some(3)));
    }

    #[test]
    fn quoting_and_unquoting_are_inverse() {
        let text = r#"a "b" \c"#;
        assert_eq!(unquote(&quote(text).into()), text);
        assert_eq!(unquote(&"plain".into()), "plain");
        assert_eq!(quote("a\r\nb"), "\"a  b\"");
    }

    #[test]
    fn numbers_saturate_and_percent_signs_may_be_loose() {
        assert_eq!(number("0068"), Some(68));
        assert_eq!(number("36893488147419103232"), Some(u64::MAX));
        assert_eq!(number("-1"), None);
        assert_eq!(number(""), None);
        assert_eq!(&*percent_decode("%41%zz%"), b"A%zz%");
    }
}
