//! What we write about the caller and the customer into an INVITE: From (RFC 3261 §20.20) and custom headers.
//!
//! Everything here comes from documents and foreign headers, so nothing of it may start a new header line.

use sip::{Header, Name, Text};

/// The word that hides a number or empties a name: voice-xml.md §4.6.
pub(crate) const NONE: &str = "none";

/// Makes a From value without tag; `id` is a number, a user part or a SIP URI.
pub(crate) fn from_value(id: &str, name: &str, domain: &str) -> Text {
    if id == NONE {
        // RFC 3323 §4.1.1.3.
        return Text::from_static("\"Anonymous\" <sip:anonymous@anonymous.invalid>");
    }
    let uri = if id.starts_with("sip:") || id.starts_with("sips:") {
        id.chars()
            .filter(|c| !c.is_control() && !matches!(c, '<' | '>' | '"' | ' '))
            .collect()
    } else {
        let mut uri = String::from("sip:");
        if !id.is_empty() {
            push_user(&mut uri, id);
            uri.push('@');
        }
        uri.push_str(domain);
        uri
    };
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    if name.is_empty() || name == NONE {
        return Text::from(format!("<{uri}>"));
    }
    let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
    Text::from(format!("\"{quoted}\" <{uri}>"))
}

/// Writes a user part, escaped where RFC 3261 §25.1 wants it.
fn push_user(uri: &mut String, user: &str) {
    for byte in user.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'_'
            | b'.'
            | b'!'
            | b'~'
            | b'*'
            | b'\''
            | b'('
            | b')'
            | b'&'
            | b'='
            | b'+'
            | b'$'
            | b','
            | b';'
            | b'?'
            | b'/' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// Makes headers of names and values; the last of equal names wins, and what is not a custom header is dropped.
pub(crate) fn custom_headers<'a>(pairs: impl Iterator<Item = &'a (String, String)>) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    for (name, value) in pairs {
        if !is_custom(name) || value.chars().any(char::is_control) {
            continue;
        }
        headers.retain(|header| !header.name.as_str().eq_ignore_ascii_case(name));
        headers.push(Header::new(
            Name::Other(Text::from(name.as_str())),
            Text::from(value.as_str()),
        ));
    }
    headers
}

/// Tells whether a name is a token (RFC 3261 §25.1) that begins with `X-`.
fn is_custom(name: &str) -> bool {
    name.get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case("x-"))
        && name.len() > 2
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_customer_writes_ends_a_header_line() {
        assert_eq!(
            from_value("1 2\r\nVia: x", "a\"b\r\nc", "d.example"),
            "\"a\\\"bc\" <sip:1%202%0D%0AVia%3A%20x@d.example>"
        );
        assert_eq!(
            from_value("sip:a@b>\r\nVia: x", "", "d.example"),
            "<sip:a@bVia:x>"
        );
        let pairs = [
            ("X-PH-a", "1\r\nVia: x"),
            ("Via", "y"),
            ("X-PH-a b", "z"),
            ("X-PH-c", "2"),
            ("x-ph-C", "3"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers: Vec<String> = custom_headers(pairs.iter())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(headers, ["x-ph-C: 3"]);
    }

    #[test]
    fn none_hides_the_number_and_empties_the_name() {
        assert_eq!(
            from_value("none", "Bob", "d.example"),
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>"
        );
        assert_eq!(
            from_value("+1415", "none", "d.example"),
            "<sip:+1415@d.example>"
        );
        assert_eq!(from_value("", "", "d.example"), "<sip:d.example>");
    }
}
