//! Addresses with a display name and parameters: From, To, Contact, Route
//! (RFC 3261 §20.10, §20.20, §20.34, §20.39).

use std::fmt;

use crate::Text;
use crate::message::grammar::{
    find_outside, number, quote, quoted_end, slice, split_off, trim, unquote,
};
use crate::message::header::Malformed;
use crate::message::params::Params;
use crate::message::uri::Uri;

/// One address of a From, To, Contact, Route, … header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameAddr {
    /// The display name as sent, with its quotes if it had any.
    pub display: Option<Text>,
    /// The URI, read.
    pub uri: Uri,
    /// The URI as sent.
    pub uri_text: Text,
    /// The parameters after the address.
    pub params: Params,
}

impl NameAddr {
    /// Reads one value: the part of a header line up to a comma.
    pub fn parse(value: &Text) -> Result<Self, Malformed> {
        let text = trim(value);
        let (display, rest) = match quoted_end(text) {
            Some(end) => {
                let (display, rest) = text.split_at_checked(end).ok_or(Malformed)?;
                let rest = trim(rest);
                // A quoted display name must be followed by the address in brackets.
                if !rest.starts_with('<') {
                    return Err(Malformed);
                }
                (Some(display), rest)
            }
            None if text.starts_with('"') => return Err(Malformed),
            None => match memchr::memchr(b'<', text.as_bytes()) {
                // A `;` before the bracket: the bracket belongs to a parameter's value.
                Some(at)
                    if memchr::memchr(b';', text.get(..at).unwrap_or_default().as_bytes())
                        .is_none() =>
                {
                    let (display, rest) = text.split_at_checked(at).ok_or(Malformed)?;
                    (
                        Some(trim(display)).filter(|display| !display.is_empty()),
                        rest,
                    )
                }
                _ => (None, text),
            },
        };
        // Departs from RFC 3261 §25.1: an unquoted display name may hold any letters, because phones send names with
        // accents, commas and parentheses (RFC 4475 §3.1.2.15 allows it); a quote in it stays an error.
        if display.is_some_and(|display| !display.starts_with('"') && display.contains(['"', '>']))
        {
            return Err(Malformed);
        }
        let (uri, params) = match rest.strip_prefix('<') {
            Some(inner) => {
                let end = memchr::memchr(b'>', inner.as_bytes()).ok_or(Malformed)?;
                let (uri, after) = split_off(inner, end).ok_or(Malformed)?;
                let after = trim(after);
                let params = match after.strip_prefix(';') {
                    Some(params) => params,
                    None if after.is_empty() => "",
                    None => return Err(Malformed),
                };
                // RFC 4475 §3.1.2.14: blanks inside the brackets may be left aside.
                (trim(uri), params)
            }
            None => bare(rest)?,
        };
        let uri_text = slice(value, uri);
        Ok(Self {
            display: display.map(|display| slice(value, display)),
            uri: Uri::parse(&uri_text)?,
            uri_text,
            params: Params::parse(slice(value, params)).ok_or(Malformed)?,
        })
    }

    /// Makes an address without display name and parameters.
    pub fn new(uri: Uri) -> Self {
        Self {
            display: None,
            uri_text: uri.to_string().into(),
            uri,
            params: Params::default(),
        }
    }

    /// Gives the tag of a From or To (RFC 3261 §19.3).
    pub fn tag(&self) -> Option<Text> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// Gives a parameter's value without quotes; a flag has an empty one.
    pub fn param(&self, name: &str) -> Option<Text> {
        self.params.get(name)
    }

    /// Gives the display name without quotes and backslashes.
    pub fn display_unquoted(&self) -> Option<Text> {
        self.display.as_ref().map(unquote)
    }

    /// Sets the display name, quoting it.
    pub fn set_display(&mut self, display: &str) {
        self.display = Some(quote(display).into());
    }

    /// Gives a Contact's `expires` in seconds (RFC 3261 §20.10); what is too large becomes the largest, what is no
    /// number counts as absent.
    pub fn expires(&self) -> Option<u32> {
        let seconds = number(trim(&self.params.get("expires")?))?;
        Some(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// Gives a Contact's `q` in thousandths, 1000 when it is absent or unreadable (RFC 3261 §20.10).
    pub fn q(&self) -> u16 {
        self.params
            .get("q")
            .and_then(|q| thousandths(&q))
            .unwrap_or(1000)
    }
}

/// Takes apart an address without brackets: its `;` begins header parameters, and `?` or `,` may not be in it
/// (RFC 3261 §20).
fn bare(text: &str) -> Result<(&str, &str), Malformed> {
    let (uri, params) = match find_outside(text, b';').map_err(|_| Malformed)? {
        Some(at) => split_off(text, at).ok_or(Malformed)?,
        None => (text, ""),
    };
    let uri = trim(uri);
    if memchr::memchr2(b'?', b',', uri.as_bytes()).is_some() {
        return Err(Malformed);
    }
    Ok((uri, params))
}

fn thousandths(q: &str) -> Option<u16> {
    let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
    let whole: u16 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut sum = whole.checked_mul(1000)?;
    for (digit, weight) in fraction.chars().zip([100, 10, 1]) {
        let digit = u16::try_from(digit.to_digit(10)?).ok()?;
        sum = sum.checked_add(digit * weight)?;
    }
    (sum <= 1000).then_some(sum)
}

/// Writes the address in brackets, with the URI as sent.
impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{display} ")?;
        }
        write!(f, "<{}>{}", self.uri_text, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<NameAddr, Malformed> {
        NameAddr::parse(&text.into())
    }

    #[test]
    fn display_names_of_every_kind() {
        let cases = [
            (r#""J \"R\" \\" <sip:j@e.com>;tag=1"#, Some(r#"J "R" \"#)),
            ("caller<sip:caller@example.com>;tag=323", Some("caller")),
            ("token1~` token2'+_ <sip:a@b>", Some("token1~` token2'+_")),
            ("José, Ana (x) <sip:a@b>", Some("José, Ana (x)")),
            ("\"\"<sip:a@b>", Some("")),
            ("<sip:a@b>", None),
            ("sip:a@b ;tag=x", None),
        ];
        for (text, display) in cases {
            let address = address(text).expect(text);
            assert_eq!(address.display_unquoted().as_deref(), display, "{text}");
        }
    }

    #[test]
    fn without_brackets_the_parameters_are_the_headers() {
        let bare = address("sip:+1972@gw1.example.net;unknownparam").expect("parses");
        assert_eq!(bare.uri_text, "sip:+1972@gw1.example.net");
        assert!(bare.params.has("unknownparam"));
        let bracketed = address("<sip:+1972@gw1.example.net;unknownparam>").expect("parses");
        assert!(bracketed.params.is_empty());
        assert!(bracketed.uri.param("unknownparam").is_some());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "\"Mr. J. User <sip:j.user@example.com>",
            "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
            "\"Joe\" <sip:joe@example.org>;;;;",
            "\"Joe\" sip:joe@example.org",
            "<sip:a@b",
            "<sip:a@b> x",
            "a\"b\" <sip:a@b>",
            "Bob",
        ] {
            assert_eq!(address(bad), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn a_phones_contact_is_read_and_kept_as_sent() {
        let text = r#"<sip:u@192.0.2.4:5062;transport=udp;line=k7>;q=0.5;expires="3600";+sip.instance="<urn:uuid:0-1>";reg-id=1"#;
        let contact = address(text).expect("parses");
        assert_eq!(contact.to_string(), text);
        assert_eq!(contact.expires(), Some(3600));
        assert_eq!(contact.q(), 500);
        assert_eq!(
            contact.param("+sip.instance").as_deref(),
            Some("<urn:uuid:0-1>")
        );
        assert_eq!(contact.param("reg-id").as_deref(), Some("1"));
    }

    #[test]
    fn quality_values_are_thousandths() {
        for (q, value) in [
            ("1", 1000),
            ("0.33", 330),
            (".7", 700),
            ("0", 0),
            ("1.5", 1000),
            ("x", 1000),
        ] {
            let contact = address(&format!("<sip:a@b>;q={q}")).expect("parses");
            assert_eq!(contact.q(), value, "{q}");
        }
    }

    #[test]
    fn a_tag_may_have_blanks_around_it_but_not_be_empty() {
        assert_eq!(
            address("sip:a@b ;   tag    = 19n")
                .expect("parses")
                .tag()
                .as_deref(),
            Some("19n")
        );
        assert_eq!(address("<sip:a@b>;tag=").expect("parses").tag(), None);
    }
}
