//! URIs: RFC 3261 §19.1, RFC 3966 §3.

use std::borrow::Cow;
use std::fmt;

use crate::Text;
use crate::message::grammar::{is_token, percent_decode, slice, split_once};
use crate::message::header::Malformed;

/// The scheme of a URI.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// `sip`
    Sip,
    /// `sips`
    Sips,
    /// `tel`
    Tel,
    /// Any other, as sent.
    Other(Text),
}

impl Scheme {
    /// Spells the scheme.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Other(scheme) => scheme,
        }
    }

    /// Tells whether it is `sip` or `sips`.
    pub fn is_sip(&self) -> bool {
        matches!(self, Self::Sip | Self::Sips)
    }
}

/// A URI taken apart, its parts as sent. A `tel` URI has its number as `user` and no host; of any other scheme than
/// `sip`, `sips` and `tel`, what follows the colon is the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user part, escapes not decoded.
    pub user: Option<Text>,
    /// The password, escapes not decoded.
    pub password: Option<Text>,
    /// The host; an IPv6 address keeps its brackets.
    pub host: Text,
    /// The port.
    pub port: Option<u16>,
    /// The parameters, without the leading `;`.
    pub params: Text,
    /// The headers, without the leading `?`.
    pub headers: Text,
}

impl Uri {
    /// Reads a URI.
    pub fn parse(text: &Text) -> Result<Self, Malformed> {
        let whole: &str = text;
        if whole
            .bytes()
            .any(|byte| byte <= b' ' || matches!(byte, b'<' | b'>' | b'"' | 0x7f))
        {
            return Err(Malformed);
        }
        let (scheme, rest) = split_once(whole, b':').ok_or(Malformed)?;
        if !is_token(scheme)
            || !scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
            || rest.is_empty()
        {
            return Err(Malformed);
        }
        let scheme = if scheme.eq_ignore_ascii_case("sip") {
            Scheme::Sip
        } else if scheme.eq_ignore_ascii_case("sips") {
            Scheme::Sips
        } else if scheme.eq_ignore_ascii_case("tel") {
            Scheme::Tel
        } else {
            Scheme::Other(slice(text, scheme))
        };
        let mut uri = Self {
            scheme,
            user: None,
            password: None,
            host: Text::new(),
            port: None,
            params: Text::new(),
            headers: Text::new(),
        };
        match &uri.scheme {
            Scheme::Other(_) => uri.host = slice(text, rest),
            Scheme::Tel => uri.read_tel(text, rest)?,
            Scheme::Sip | Scheme::Sips => uri.read_sip(text, rest)?,
        }
        Ok(uri)
    }

    /// RFC 3966 §3.
    fn read_tel(&mut self, text: &Text, rest: &str) -> Result<(), Malformed> {
        let (number, params) = split_once(rest, b';').unwrap_or((rest, ""));
        let digit = |letter: char| {
            letter.is_ascii_hexdigit() || matches!(letter, '+' | '-' | '.' | '(' | ')' | '*' | '#')
        };
        if number.is_empty() || !number.chars().all(digit) {
            return Err(Malformed);
        }
        self.user = Some(slice(text, number));
        self.params = slice(text, params);
        check_params(&self.params)
    }

    /// RFC 3261 §19.1.1.
    fn read_sip(&mut self, text: &Text, rest: &str) -> Result<(), Malformed> {
        // A user part may hold `;` and `?` (RFC 4475 §3.1.1.8); no later part may hold a bare `@`.
        let rest = match split_once(rest, b'@') {
            Some((userinfo, rest)) => {
                let (user, password) = match split_once(userinfo, b':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (userinfo, None),
                };
                if user.is_empty() {
                    return Err(Malformed);
                }
                self.user = Some(slice(text, user));
                self.password = password.map(|password| slice(text, password));
                rest
            }
            None => rest,
        };
        let (rest, headers) = split_once(rest, b'?').unwrap_or((rest, ""));
        let (address, params) = split_once(rest, b';').unwrap_or((rest, ""));
        let (host, port) = host_and_port(address).ok_or(Malformed)?;
        self.host = slice(text, host);
        self.port = port;
        self.params = slice(text, params);
        self.headers = slice(text, headers);
        if memchr::memchr_iter(b'&', headers.as_bytes()).count() >= MOST_PARAMS {
            return Err(Malformed);
        }
        check_params(&self.params)
    }

    /// Gives the user part with escapes decoded; octets that are no UTF-8 become U+FFFD (RFC 3261 §19.1.2).
    pub fn user_decoded(&self) -> Option<Cow<'_, str>> {
        Some(match percent_decode(self.user.as_ref()?) {
            Cow::Borrowed(_) => Cow::Borrowed(self.user.as_deref()?),
            Cow::Owned(octets) => Cow::Owned(String::from_utf8_lossy(&octets).into_owned()),
        })
    }

    /// Gives the host in lower case.
    pub fn host_lower(&self) -> Cow<'_, str> {
        if self.host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(self.host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(&self.host)
        }
    }

    /// Gives a parameter's value as sent; a flag has an empty one. Names are compared without case.
    pub fn param(&self, name: &str) -> Option<&str> {
        pairs(&self.params, ';')
            .find(|(known, _)| same_text(known, name))
            .map(|(_, value)| value.unwrap_or_default())
    }

    /// Tells whether two URIs are equivalent (RFC 3261 §19.1.4).
    pub fn same_as(&self, other: &Self) -> bool {
        match (&self.scheme, &other.scheme) {
            (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips) => {
                same_optional(&self.user, &other.user)
                    && same_optional(&self.password, &other.password)
                    && self.host.eq_ignore_ascii_case(&other.host)
                    && self.port == other.port
                    && params_match(&self.params, &other.params)
                    && params_match(&other.params, &self.params)
                    && same_headers(&self.headers, &other.headers)
            }
            (Scheme::Tel, Scheme::Tel) => {
                let digits = |uri: &Self| -> String {
                    let number = uri.user.as_deref().unwrap_or_default();
                    let bare = number
                        .chars()
                        .filter(|letter| !matches!(letter, '-' | '.' | '(' | ')'));
                    bare.map(|letter| letter.to_ascii_lowercase()).collect()
                };
                // RFC 3966 §5: visual separators and case do not count.
                digits(self) == digits(other) && self.params.eq_ignore_ascii_case(&other.params)
            }
            (Scheme::Other(one), Scheme::Other(two)) => {
                one.eq_ignore_ascii_case(two) && self.host == other.host
            }
            _ => false,
        }
    }
}

/// Takes apart `host[:port]`; an IPv6 address stands in brackets. `None`: neither.
pub(crate) fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let after_host = if text.starts_with('[') {
        memchr::memchr(b']', text.as_bytes())?.checked_add(1)?
    } else {
        memchr::memchr(b':', text.as_bytes()).unwrap_or(text.len())
    };
    let (host, rest) = text.split_at_checked(after_host)?;
    let port = match rest.trim_start().strip_prefix(':') {
        Some(port) => Some(port_number(port.trim_start())?),
        None if rest.trim_start().is_empty() => None,
        None => return None,
    };
    let host = host.trim_end();
    let stands = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        }
    };
    stands.then_some((host, port))
}

fn port_number(text: &str) -> Option<u16> {
    let digits =
        !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Parameters, or headers, that one URI may have: comparing two URIs takes the product of theirs.
const MOST_PARAMS: usize = 64;

/// An empty parameter is forgiven; a bare `@` is the sign of a host that is none.
fn check_params(params: &str) -> Result<(), Malformed> {
    let too_many = memchr::memchr_iter(b';', params.as_bytes()).count() >= MOST_PARAMS;
    if too_many || memchr::memchr(b'@', params.as_bytes()).is_some() {
        return Err(Malformed);
    }
    Ok(())
}

fn pairs(text: &str, separator: char) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split(separator)
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        })
}

/// Compares with regard to case after decoding escapes (RFC 3261 §19.1.4).
fn same_optional(one: &Option<Text>, two: &Option<Text>) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => percent_decode(one) == percent_decode(two),
        (None, None) => true,
        _ => false,
    }
}

/// Compares without case after decoding escapes.
fn same_text(one: &str, two: &str) -> bool {
    percent_decode(one).eq_ignore_ascii_case(&percent_decode(two))
}

/// A parameter of both must be the same in both; these five never match their absence, others do (RFC 3261 §19.1.4).
fn params_match(here: &str, there: &str) -> bool {
    const DECIDING: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    pairs(here, ';').all(|(name, value)| {
        let mut others = pairs(there, ';')
            .filter(|(known, _)| same_text(known, name))
            .map(|(_, other)| other.unwrap_or_default())
            .peekable();
        if others.peek().is_none() {
            return !DECIDING.iter().any(|deciding| same_text(deciding, name));
        }
        // A name that stands twice, which RFC 3261 §19.1.1 forbids, does not make a URI differ from itself.
        others.any(|other| same_text(value.unwrap_or_default(), other))
    })
}

/// Headers are never left aside, in any order (RFC 3261 §19.1.4).
fn same_headers(one: &str, two: &str) -> bool {
    let covers = |one: &str, two: &str| {
        pairs(one, '&').all(|(name, value)| {
            pairs(two, '&').any(|(known, other)| {
                same_text(known, name)
                    && percent_decode(value.unwrap_or_default())
                        == percent_decode(other.unwrap_or_default())
            })
        })
    };
    covers(one, two) && covers(two, one)
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme.as_str())?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            if self.scheme != Scheme::Tel {
                f.write_str("@")?;
            }
        }
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if !self.params.is_empty() {
            write!(f, ";{}", self.params)?;
        }
        if !self.headers.is_empty() {
            write!(f, "?{}", self.headers)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        Uri::parse(&text.into()).expect(text)
    }

    #[test]
    fn uris_of_every_kind_read_back() {
        for text in [
            "sip:alice@example.com",
            "sips:alice:secret@example.com:5061;transport=tcp?subject=a&priority=urgent",
            "sip:[2001:db8::10]:5070",
            "sip:example.com;lr",
            "tel:+1-201-555-0123;phone-context=x",
            "soap.beep://192.0.2.103:3002",
            "isbn:2983792873",
            "sip:user;par=u%40example.net@example.com",
            "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
            "sip:#21@example.com",
        ] {
            assert_eq!(uri(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for bad in [
            "",
            "sip:",
            "sip",
            ":a",
            "sip:a b@c",
            "<sip:a@b>",
            "sip:a@",
            "sip:@b",
            "sip:a@b:99999",
            "sip:a@b:x",
            "sip:a@b:",
            "sip:a@b@c",
            "sip:[::1",
            "sip:[zz]",
            "sip:a@b c",
            "tel:",
            "tel:abc-x",
            "sip:a@b;x=c@d",
            "1:a",
        ] {
            assert_eq!(Uri::parse(&bad.into()), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn a_uri_that_would_be_slow_to_compare_is_refused() {
        let with = |params: String| Uri::parse(&format!("sip:a@b{params}").into());
        assert!(with(";x".repeat(64)).is_ok());
        assert_eq!(with(";x".repeat(65)), Err(Malformed));
        assert_eq!(with(format!("?{}", "x=y&".repeat(64))), Err(Malformed));
    }

    #[test]
    fn escapes_are_decoded_when_asked() {
        assert_eq!(
            uri("sip:sips%3Auser%40example.com@example.net")
                .user_decoded()
                .as_deref(),
            Some("sips:user@example.com")
        );
        assert_eq!(
            uri("sip:null-%00-null@example.com")
                .user_decoded()
                .as_deref(),
            Some("null-\0-null")
        );
        assert_eq!(
            uri("sip:%ff@example.com").user_decoded().as_deref(),
            Some("\u{fffd}")
        );
        assert_eq!(uri("sip:a@EXAMPLE.com").host_lower(), "example.com");
        assert_eq!(
            uri("sip:a@b;Transport=UDP;lr").param("transport"),
            Some("UDP")
        );
        assert_eq!(uri("sip:a@b;Transport=UDP;lr").param("lr"), Some(""));
    }

    /// The lists of RFC 3261 §19.1.4.
    #[test]
    fn uris_that_are_equivalent() {
        for (one, two) in [
            (
                "sip:%61lice@atlanta.com;transport=TCP",
                "sip:alice@AtLanTa.CoM;Transport=tcp",
            ),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("tel:+1-201-555-0123", "tel:+12015550123"),
        ] {
            assert!(uri(one).same_as(&uri(two)), "{one} {two}");
            assert!(uri(two).same_as(&uri(one)), "{two} {one}");
        }
    }

    /// The lists of RFC 3261 §19.1.4.
    #[test]
    fn uris_that_are_not_equivalent() {
        for (one, two) in [
            (
                "SIP:ALICE@AtLanTa.CoM;Transport=udp",
                "sip:alice@AtLanTa.CoM;Transport=UDP",
            ),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            (
                "sip:bob@biloxi.com",
                "sip:bob@biloxi.com:6000;transport=tcp",
            ),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com?Subject=next%20meeting",
            ),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;security=off",
            ),
            ("sip:a@b", "sips:a@b"),
            ("sip:a@b", "sip:b"),
            ("sip:a@b", "sip:a:x@b"),
            ("sip:a@b", "sip:a@b;maddr=c"),
        ] {
            assert!(!uri(one).same_as(&uri(two)), "{one} {two}");
            assert!(!uri(two).same_as(&uri(one)), "{two} {one}");
        }
    }
}
