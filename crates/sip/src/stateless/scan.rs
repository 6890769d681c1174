//! Reading a plain request in place.

use std::net::{IpAddr, SocketAddr};

use memchr::{memchr, memchr2};

/// What is asked.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// RFC 3261 §10.
    Register,
    /// RFC 3261 §11.
    Options,
}

/// A plain request: one Via, no body, nothing required, every value of the usual form.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Plain<'a> {
    /// What is asked.
    pub asked: Asked,
    /// The Request-URI, `sip:` and a lower-case host, with or without a port.
    pub uri: &'a str,
    /// The host in it.
    pub host: &'a str,
    /// The value of Via.
    pub via: &'a str,
    /// Its branch, with the magic cookie.
    pub branch: &'a str,
    /// The value of From.
    pub from: &'a str,
    /// The URI in From.
    pub from_uri: &'a str,
    /// The value of To, without a tag or any other parameter.
    pub to: &'a str,
    /// The URI in To.
    pub to_uri: &'a str,
    /// The value of Call-ID.
    pub call_id: &'a str,
    /// The value of CSeq.
    pub cseq: &'a str,
    /// The number in it.
    pub number: u32,
    /// The only Contact.
    pub contact: Option<PlainContact<'a>>,
    /// The value of Expires, seconds.
    pub expires: Option<u32>,
    /// The value of User-Agent.
    pub user_agent: Option<&'a str>,
    /// The value of Authorization.
    pub authorization: Option<&'a str>,
}

/// A Contact in angle brackets with no parameter but `expires`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PlainContact<'a> {
    /// Its URI.
    pub uri: &'a str,
    /// Its own expiry in seconds.
    pub expires: Option<u32>,
}

#[derive(Default)]
struct Found<'a> {
    via: Option<&'a str>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    call_id: Option<&'a str>,
    cseq: Option<&'a str>,
    contact: Option<&'a str>,
    expires: Option<&'a str>,
    user_agent: Option<&'a str>,
    authorization: Option<&'a str>,
    max_forwards: Option<&'a str>,
    length: Option<&'a str>,
    ignored: Option<&'a str>,
}

impl<'a> Plain<'a> {
    /// Reads a datagram; nothing when it is not plain.
    pub fn scan(datagram: &'a [u8]) -> Option<Self> {
        let (asked, method_length) = match datagram {
            [b'R', b'E', b'G', b'I', b'S', b'T', b'E', b'R', b' ', ..] => (Asked::Register, 9),
            [b'O', b'P', b'T', b'I', b'O', b'N', b'S', b' ', ..] => (Asked::Options, 8),
            _ => return None,
        };
        let text = std::str::from_utf8(datagram).ok()?;
        if datagram.iter().fold(false, |found, byte| {
            found | (*byte < b' ' && *byte != b'\r' && *byte != b'\n') | (*byte == 0x7f)
        }) {
            return None;
        }
        let (line, mut rest) = cut_line(text)?;
        let uri = line.get(method_length..)?.strip_suffix(" SIP/2.0")?;
        let host = host_of(uri)?;
        let mut found = Found::default();
        loop {
            let (line, after) = cut_line(rest)?;
            rest = after;
            if line.is_empty() {
                break;
            }
            let at = memchr(b':', line.as_bytes())?;
            let (name, value) = (line.get(..at)?, line.get(at + 1..)?.trim_ascii());
            let place = found.place(name, value)?;
            if place.replace(value).is_some() && !is_harmless(name) {
                return None;
            }
        }
        if !rest.is_empty() || found.length.is_some_and(|length| length != "0") {
            return None;
        }
        if found
            .max_forwards
            .is_some_and(|hops| number(hops).is_none_or(|hops| hops == 0 || hops > 255))
        {
            return None;
        }
        let (from, to) = (found.from?, found.to?);
        let (from_uri, from_params) = name_addr(from)?;
        let (to_uri, to_params) = name_addr(to)?;
        let tag = from_params.strip_prefix(";tag=").unwrap_or(from_params);
        if !to_params.is_empty() || !tag.bytes().all(is_word) {
            return None;
        }
        let via = found.via?;
        let (call_id, cseq) = (found.call_id?, found.cseq?);
        let (digits, method) = cut(cseq, b' ')?;
        let method_fits = match asked {
            Asked::Register => method == "REGISTER",
            Asked::Options => method == "OPTIONS",
        };
        let number_of_it = number(digits).filter(|number| *number < 1 << 31)?;
        if !method_fits
            || call_id.is_empty()
            || !call_id.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return None;
        }
        let contact = match found.contact {
            Some(contact) => Some(plain_contact(contact)?),
            None => None,
        };
        let expires = match found.expires {
            Some(expires) => Some(number(expires)?),
            None => None,
        };
        Some(Plain {
            asked,
            uri,
            host,
            via,
            branch: branch_of(via)?,
            from,
            from_uri,
            to,
            to_uri,
            call_id,
            cseq,
            number: number_of_it,
            contact,
            expires,
            user_agent: found.user_agent,
            authorization: found.authorization,
        })
    }
}

/// Writes Via as the answer shows it: where the request came from (RFC 3261 §18.2.1, RFC 3581 §4).
pub(super) fn write_via(via: &str, source: SocketAddr, out: &mut Vec<u8>) {
    let address = source.ip().to_canonical();
    let mut asked = false;
    for (place, part) in via.split(';').enumerate() {
        if place > 0 {
            out.push(b';');
        }
        out.extend_from_slice(part.as_bytes());
        if place > 0 && part == "rport" {
            asked = true;
            out.push(b'=');
            push_number(out, u64::from(source.port()));
        }
    }
    let said = via.split([' ', ';']).nth(1).unwrap_or_default();
    let host = said.split(':').next().unwrap_or_default();
    if asked || host.parse::<IpAddr>().ok() != Some(address) {
        out.extend_from_slice(b";received=");
        push_address(out, address);
    }
}

impl<'a> Found<'a> {
    /// Where a header's value goes; nothing for one that may change what is asked.
    fn place(&mut self, name: &str, value: &str) -> Option<&mut Option<&'a str>> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let place = match name.len() {
            2 if is("To") => &mut self.to,
            3 if is("Via") => &mut self.via,
            4 if is("From") => &mut self.from,
            4 if is("CSeq") => &mut self.cseq,
            7 if is("Call-ID") => &mut self.call_id,
            7 if is("Contact") => &mut self.contact,
            7 if is("Expires") => &mut self.expires,
            10 if is("User-Agent") => &mut self.user_agent,
            12 if is("Max-Forwards") => &mut self.max_forwards,
            13 if is("Authorization") => &mut self.authorization,
            14 if is("Content-Length") => &mut self.length,
            _ if is_harmless(name) && !asks_for_more(value) => &mut self.ignored,
            _ => return None,
        };
        Some(place)
    }
}

/// Headers that say what the phone can do and change no answer to REGISTER or OPTIONS.
fn is_harmless(name: &str) -> bool {
    let known: &[&str] = match name.len() {
        5 => &["Allow"],
        6 => &["Accept"],
        9 => &["Supported"],
        12 => &["Allow-Events", "Organization"],
        15 => &["Accept-Language", "Accept-Encoding"],
        _ => &[],
    };
    known.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a Supported value names an extension of registrations (RFC 3327, RFC 5626, RFC 5627).
fn asks_for_more(value: &str) -> bool {
    let names = ["path", "outbound", "gruu"];
    value.split(',').any(|tag| {
        let tag = tag.trim_ascii();
        names.iter().any(|name| tag.eq_ignore_ascii_case(name))
    })
}

/// What stands before and after the first of these ASCII characters.
pub(super) fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = memchr(at, text.as_bytes())?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

/// Cuts one line off; its end is CR LF and nothing else.
fn cut_line(text: &str) -> Option<(&str, &str)> {
    let at = memchr2(b'\r', b'\n', text.as_bytes())?;
    let rest = text.get(at..)?.strip_prefix("\r\n")?;
    Some((text.get(..at)?, rest))
}

/// The host of `sip:host` or `sip:host:port`, when it is written in lower case.
pub fn host_of(uri: &str) -> Option<&str> {
    let rest = uri.strip_prefix("sip:")?;
    let (host, port) = match cut(rest, b':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let fits = !host.is_empty()
        && host.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        });
    let port_fits =
        port.is_none_or(|port| number(port).is_some_and(|port| (1..65_536).contains(&port)));
    (fits && port_fits).then_some(host)
}

/// The URI in angle brackets and what follows them; a display name may stand before.
fn name_addr(value: &str) -> Option<(&str, &str)> {
    let rest = match value.strip_prefix('"') {
        Some(quoted) => {
            let (name, rest) = cut(quoted, b'"')?;
            if name.contains('\\') {
                return None;
            }
            rest.trim_ascii_start()
        }
        None => value,
    };
    let (uri, params) = rest.strip_prefix('<').and_then(|rest| cut(rest, b'>'))?;
    let plain = uri.bytes().all(|byte| {
        byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'?' | b'%' | b'\\' | b',')
    });
    (plain && uri.starts_with("sip:")).then_some((uri, params))
}

fn plain_contact(value: &str) -> Option<PlainContact<'_>> {
    let (uri, params) = name_addr(value)?;
    let expires = match params {
        "" => None,
        _ => Some(number(params.strip_prefix(";expires=")?)?),
    };
    Some(PlainContact { uri, expires })
}

/// The branch of `SIP/2.0/UDP host:port;…` with parameters of plain words only and nothing that is filled in by a server.
fn branch_of(via: &str) -> Option<&str> {
    let (sent_by, params) = via
        .strip_prefix("SIP/2.0/UDP ")
        .and_then(|rest| cut(rest, b';'))?;
    let (host, port) = match cut(sent_by, b':') {
        Some((host, port)) => (host, Some(port)),
        None => (sent_by, None),
    };
    let host_fits = !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    let port_fits =
        port.is_none_or(|port| number(port).is_some_and(|port| (1..65_536).contains(&port)));
    if !host_fits || !port_fits {
        return None;
    }
    let mut branch = None;
    let mut rport = false;
    for param in params.split(';') {
        let (name, value) = cut(param, b'=').unwrap_or((param, ""));
        match name {
            "branch" if branch.is_none() => branch = Some(value),
            "rport" if param == "rport" && !rport => rport = true,
            "alias" | "keep" if param == name => {}
            _ => return None,
        }
    }
    let rest = branch?.strip_prefix("z9hG4bK")?;
    (!rest.is_empty() && rest.bytes().all(is_word)).then_some(branch?)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'!' | b'*')
}

/// A number of at most nine digits, or ten below 2^32.
fn number(digits: &str) -> Option<u32> {
    let plain =
        (1..=10).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut count = 0;
    for digit in &mut digits {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        count += 1;
        if number == 0 {
            break;
        }
    }
    out.extend(digits.iter().take(count).rev());
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                push_number(out, u64::from(octet));
            }
        }
        IpAddr::V6(address) => out.extend_from_slice(address.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "REGISTER sip:example.net SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabc;rport\r\n\
        From: \"Alice A.\" <sip:alice@example.net>;tag=f1\r\n\
        To: <sip:alice@example.net>\r\n\
        Call-ID: c1@192.0.2.1\r\n\
        CSeq: 7 REGISTER\r\n\
        Max-Forwards: 70\r\n\
        Contact: <sip:alice@192.0.2.1:5060;ob>;expires=60\r\n\
        Expires: 300\r\n\
        User-Agent: phone\r\n\
        Allow: INVITE, ACK\r\n\
        Content-Length: 0\r\n\r\n";

    #[test]
    fn a_plain_request_is_read_in_place() {
        let plain = Plain::scan(GOOD.as_bytes()).expect("it is plain");
        assert_eq!(plain.asked, Asked::Register);
        assert_eq!((plain.host, plain.branch), ("example.net", "z9hG4bKabc"));
        assert_eq!(plain.from_uri, "sip:alice@example.net");
        assert_eq!((plain.number, plain.expires), (7, Some(300)));
        let contact = plain.contact.expect("one");
        assert_eq!(contact.uri, "sip:alice@192.0.2.1:5060;ob");
        assert_eq!(contact.expires, Some(60));
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_parser() {
        for (good, other) in [
            ("REGISTER sip:example.net ", "REGISTER sip:Example.net "),
            ("REGISTER sip:example.net ", "REGISTER sip:a@example.net "),
            ("REGISTER sip:example.net ", "REGISTER tel:1 "),
            ("SIP/2.0/UDP 192", "SIP/2.0/TCP 192"),
            (";rport", ";rport;received=1.2.3.4"),
            (";rport", ";rport;rport"),
            ("z9hG4bKabc", "z9hG4bK"),
            ("z9hG4bKabc", "1"),
            (
                "Via: ",
                "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nVia: ",
            ),
            ("From: ", "f: "),
            ("\"Alice A.\"", "\"Alice \\\"A.\""),
            ("net>;tag=f1", "net>;tag=f1;x=y"),
            (
                "To: <sip:alice@example.net>",
                "To: <sip:alice@example.net>;tag=1",
            ),
            ("To: <sip:alice@example.net>", "To: sip:alice@example.net"),
            ("To: <sip:alice@", "To: <sip:%61lice@"),
            ("CSeq: 7 REGISTER", "CSeq: 7 OPTIONS"),
            ("CSeq: 7 REGISTER", "CSeq: 2147483648 REGISTER"),
            ("CSeq: 7 REGISTER", "CSeq: 7\r\n REGISTER"),
            ("Max-Forwards: 70", "Max-Forwards: 0"),
            ("Max-Forwards: 70", "Require: x"),
            ("Max-Forwards: 70", "X-Own: y"),
            ("Max-Forwards: 70", "Path: <sip:p>"),
            ("Max-Forwards: 70", "Supported: timer, gruu"),
            (">;expires=60", ">;expires=60;q=0.5"),
            (">;expires=60", ">, <sip:b@192.0.2.2>"),
            (
                "Contact: <sip:alice@192.0.2.1:5060;ob>;expires=60",
                "Contact: *",
            ),
            ("Expires: 300", "Expires: soon"),
            ("Content-Length: 0", "Content-Length: 1"),
            ("Content-Length: 0\r\n\r\n", "Content-Length: 0\r\n\r\nx"),
            ("Content-Length: 0\r\n\r\n", "Content-Length: 0\r\n"),
            ("User-Agent: phone", "User-Agent: pho\u{0}ne"),
            ("User-Agent: phone\r\n", "User-Agent: phone\n"),
            ("Call-ID: c1@192.0.2.1", "Call-ID: c1 c2"),
        ] {
            let text = GOOD.replacen(good, other, 1);
            assert_ne!(text, GOOD, "{good}");
            assert_eq!(Plain::scan(text.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn any_octets_are_scanned_without_harm() {
        for cut in 0..GOOD.len() {
            let mut bytes = GOOD.as_bytes().to_vec();
            bytes.truncate(cut);
            assert_eq!(Plain::scan(&bytes), None);
            let mut bytes = GOOD.as_bytes().to_vec();
            for octet in [0, b'\n', b'"', b'<', b';', 0xff] {
                bytes[cut] = octet;
                // What is read must be what the parser reads; the registrar's test compares the answers.
                let _ = Plain::scan(&bytes);
            }
        }
    }
}
