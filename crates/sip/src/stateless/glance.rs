//! A glance at any request, in place: as much as it takes to refuse it (RFC 3261 §21.5.4) before anything else is done.
//!
//! Unlike [`super::Plain`] it takes every form of a request: folded lines, compact names, any method, with a body or without.

use std::net::SocketAddr;

use memchr::memchr;

use super::answer::Answer;
use super::scan::write_via;

/// Via values that a refusal repeats; one with more is not refused in so many words.
const VIAS: usize = 8;
/// Lines of a head that are looked at; what comes after them is not seen.
const LINES: usize = 128;

/// A request, as far as it was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glance<'a> {
    /// The method.
    pub method: &'a str,
    /// The value of From.
    pub from: &'a str,
    /// Whether To has a tag: the request belongs to a dialog (RFC 3261 §12.2.2).
    pub is_in_dialog: bool,
    /// The value of Authorization or Proxy-Authorization.
    pub proof: Option<&'a str>,
    /// None: there are more than can be repeated.
    vias: Option<([&'a str; VIAS], usize)>,
    to: &'a str,
    call_id: &'a str,
    cseq: &'a str,
}

impl<'a> Glance<'a> {
    /// Looks at a message; nothing when it is no request, or has not what each request has.
    pub fn of(message: &'a [u8]) -> Option<Self> {
        let (line, mut rest) = cut_line(message)?;
        let line = std::str::from_utf8(line.strip_suffix(b" SIP/2.0")?).ok()?;
        let (method, _) = line.split_once(' ')?;
        let (mut from, mut to, mut call_id, mut cseq, mut proof) = (None, None, None, None, None);
        let mut vias = ([""; VIAS], 0);
        for _ in 0..LINES {
            let Some((header, after)) = cut_header(rest) else {
                break;
            };
            rest = after;
            let colon = memchr(b':', header)?;
            let (name, value) = (header.get(..colon)?.trim_ascii(), header.get(colon + 1..)?);
            let is = |long: &str, short: &str| {
                name.eq_ignore_ascii_case(long.as_bytes())
                    || name.eq_ignore_ascii_case(short.as_bytes())
            };
            let place = match name.len() {
                1 | 3 if is("Via", "v") => {
                    let value = std::str::from_utf8(value).ok()?.trim_ascii();
                    if let Some(place) = vias.0.get_mut(vias.1) {
                        *place = value;
                    }
                    vias.1 += 1;
                    continue;
                }
                1 | 4 if is("From", "f") => &mut from,
                1 | 2 if is("To", "t") => &mut to,
                1 | 7 if is("Call-ID", "i") => &mut call_id,
                4 if is("CSeq", "") => &mut cseq,
                13 if is("Authorization", "") => &mut proof,
                19 if is("Proxy-Authorization", "") => &mut proof,
                _ => continue,
            };
            *place = Some(std::str::from_utf8(value).ok()?.trim_ascii());
        }
        let to = to?;
        Some(Glance {
            method,
            from: from?,
            is_in_dialog: has_tag(to),
            proof,
            vias: (1..=VIAS).contains(&vias.1).then_some(vias),
            to,
            call_id: call_id?,
            cseq: cseq?,
        })
    }

    /// Whether it starts nothing: it belongs to a dialog or a transaction that is there, or ends one.
    pub fn goes_on(&self) -> bool {
        self.is_in_dialog || matches!(self.method, "ACK" | "CANCEL" | "BYE" | "PRACK")
    }

    /// A parameter of the proof, without its quotes.
    pub fn proof_param(&self, wanted: &str) -> Option<&'a str> {
        let (_, params) = self.proof?.split_once(' ')?;
        params.split(',').find_map(|param| {
            let (name, value) = param.split_once('=')?;
            let is_it = name.trim_ascii().eq_ignore_ascii_case(wanted);
            is_it.then(|| value.trim_ascii().trim_matches('"'))
        })
    }

    /// The first thing to tell it from others by: its topmost branch and Call-ID.
    pub fn names(&self) -> (&'a str, &'a str) {
        (self.vias.map_or("", |(vias, _)| vias[0]), self.call_id)
    }

    /// Writes 503 with Retry-After, or nothing where that would need the whole parser.
    pub fn refuse(
        &self,
        out: &mut Vec<u8>,
        source: SocketAddr,
        tag: &str,
        retry_after: u32,
        server: &str,
    ) -> bool {
        let Some((vias, count)) = &self.vias else {
            return false;
        };
        let Some((first, others)) = vias.get(..*count).and_then(<[&str]>::split_first) else {
            return false;
        };
        // What a server is to fill in (RFC 3261 §18.2.1) is not there yet, and the line has one value.
        if first.contains([',', '"', '\r'])
            || first.contains("received")
            || first.contains("rport=")
        {
            return false;
        }
        out.extend_from_slice(b"SIP/2.0 503 Service Unavailable\r\nVia: ");
        write_via(first, source, out);
        let others = others.iter().map(|via| ("Via", *via, ""));
        let own = [
            ("From", self.from, ""),
            ("To", self.to, tag),
            ("Call-ID", self.call_id, ""),
            ("CSeq", self.cseq, ""),
        ];
        for (name, value, tag) in others.chain(own) {
            let parts: [&[u8]; 4] = [b"\r\n", name.as_bytes(), b": ", value.as_bytes()];
            parts
                .into_iter()
                .for_each(|part| out.extend_from_slice(part));
            if !tag.is_empty() {
                out.extend_from_slice(b";tag=");
                out.extend_from_slice(tag.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        let mut answer = Answer::of(out);
        answer.header("Retry-After", &[&retry_after.to_string()]);
        answer.end(server);
        true
    }
}

/// Cuts a line off; its end is LF, with or without CR.
fn cut_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr(b'\n', text)?;
    let line = text.get(..at)?;
    Some((
        line.strip_suffix(b"\r").unwrap_or(line),
        text.get(at + 1..)?,
    ))
}

/// Cuts a header off with the lines that continue it (RFC 3261 §7.3.1); nothing at the end of the head.
fn cut_header(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, mut rest) = cut_line(text)?;
    if first.is_empty() {
        return None;
    }
    let mut end = first.len();
    while let [b' ' | b'\t', ..] = rest {
        let (line, after) = cut_line(rest)?;
        end = text.len() - rest.len() + line.len();
        rest = after;
    }
    Some((text.get(..end)?, rest))
}

/// Whether the value of To has the parameter `tag` behind its address.
fn has_tag(to: &str) -> bool {
    let params = to.rsplit_once('>').map_or(to, |(_, params)| params);
    params.split(';').skip(1).any(|param| {
        let name = param.split('=').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case("tag")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Framing, Message};

    const INVITE: &str = "INVITE sip:bob@example.net SIP/2.0\r\n\
        v: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1;rport\r\n\
        Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK0, SIP/2.0/UDP 10.0.0.3;branch=z9hG4bK2\r\n\
        f: \"Alice\"\r\n <sip:alice@example.net>;tag=1\r\n\
        To : <sip:bob@example.net>\r\n\
        i: c1\r\n\
        CSeq: 7 INVITE\r\n\
        Proxy-Authorization: Digest username=\"alice\", realm=\"example.net\",nonce=\"abc\"\r\n\
        Content-Length: 3\r\n\r\nv=0";

    fn source() -> SocketAddr {
        "192.0.2.9:1024".parse().expect("an address")
    }

    #[test]
    fn any_request_is_seen_and_its_refusal_is_the_one_that_the_parser_would_give() {
        let glance = Glance::of(INVITE.as_bytes()).expect("a request");
        assert_eq!((glance.method, glance.goes_on()), ("INVITE", false));
        assert_eq!(glance.proof_param("nonce"), Some("abc"));
        assert_eq!(glance.proof_param("Realm"), Some("example.net"));
        let mut out = Vec::new();
        assert!(glance.refuse(&mut out, source(), "t", 7, "Offhook"));
        let parse = |bytes: Vec<u8>| Message::parse(bytes.into(), Framing::Datagram);
        let Ok(Message::Request(request)) = parse(INVITE.into()) else {
            panic!("no request");
        };
        let mut expected = request.respond(crate::Status::SERVICE_UNAVAILABLE);
        expected.set_received(source());
        let to = format!("{};tag=t", glance.to);
        expected.headers.set(crate::Name::To, to);
        expected.headers.push(crate::Name::RetryAfter, "7");
        expected.headers.push(crate::Name::Server, "Offhook");
        let Ok(Message::Response(written)) = parse(out) else {
            panic!("no response");
        };
        // RFC 3261 §8.2.6.2: all of Via in order, From, Call-ID and CSeq as they were.
        let headers = |response: &crate::Response| -> Vec<String> {
            let all = response.headers.iter();
            all.map(ToString::to_string)
                .filter(|it| !it.starts_with("Content-Length"))
                .collect()
        };
        assert_eq!(headers(&written), headers(&expected));
    }

    #[test]
    fn what_goes_on_is_told_from_what_begins() {
        for (method, to, goes_on) in [
            ("INVITE", "<sip:b@example.net>", false),
            ("INVITE", "<sip:b@example.net;tag=1>", false),
            ("INVITE", "\"tag=;tag\" <sip:b@example.net>", false),
            ("INVITE", "<sip:b@example.net>; Tag = x", true),
            ("INVITE", "sip:b@example.net;tag=1", true),
            ("BYE", "<sip:b@example.net>", true),
            ("CANCEL", "<sip:b@example.net>", true),
            ("ACK", "<sip:b@example.net>", true),
            ("OPTIONS", "<sip:b@example.net>", false),
        ] {
            let text = INVITE
                .replace("INVITE", method)
                .replace("<sip:bob@example.net>", to);
            let glance = Glance::of(text.as_bytes()).expect("a request");
            assert_eq!(glance.goes_on(), goes_on, "{method} {to}");
        }
    }

    #[test]
    fn what_a_refusal_would_need_the_parser_for_gets_none() {
        for (good, other) in [
            (";rport\r\n", ";rport;received=192.0.2.1\r\n"),
            (";rport\r\n", ";rport=5\r\n"),
            (";rport\r\n", ";x=\"a,b\"\r\n"),
            ("Via: ", &"Via: SIP/2.0/UDP h;branch=z9hG4bK3\r\n".repeat(8)),
        ] {
            let other = if good == "Via: " {
                format!("{other}Via: ")
            } else {
                other.to_string()
            };
            let text = INVITE.replacen(good, &other, 1);
            assert_ne!(text, INVITE);
            let glance = Glance::of(text.as_bytes()).expect("a request");
            let mut out = Vec::new();
            assert!(
                !glance.refuse(&mut out, source(), "t", 7, "Offhook") && out.is_empty(),
                "{other}"
            );
        }
        for other in [
            "SIP/2.0 200 OK\r\nVia: x\r\n\r\n",
            "\r\n\r\n",
            "",
            "INVITE x SIP/2.0\r\nTo: x\r\n\r\n",
        ] {
            assert_eq!(Glance::of(other.as_bytes()), None);
        }
        for cut in 0..INVITE.len() {
            let _ = Glance::of(&INVITE.as_bytes()[..cut]);
        }
    }
}
