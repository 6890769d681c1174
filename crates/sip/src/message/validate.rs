//! What every element may rely on after reading: RFC 3261 §8.1.1, §8.1.3, §20; RFC 4475 §3.

use crate::Text;
use crate::message::header::{CSeq, Header, HeaderError, Malformed, Name, NameAddr, Via, number};
use crate::message::headers::Headers;
use crate::message::request::{Refusal, Request};
use crate::message::response::Response;
use crate::message::status::Status;

/// The typed headers that every message has, read once when it is judged.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) via: Via,
    pub(crate) to: NameAddr,
    pub(crate) cseq: CSeq,
}

/// Checks a request.
pub(crate) fn request(request: &Request) -> Result<Judged, Refusal> {
    let headers = &request.headers;
    let found = Found::in_headers(headers)?;
    let judged = found.judge()?;
    if judged.cseq.method != request.method {
        return Err(bad("CSeq Method Differs"));
    }
    if let Some(hops) = found.max_forwards {
        number::max_forwards(hops)
            .map_err(|Malformed| refusal(HeaderError::Malformed(Name::MaxForwards)))?;
    }
    let uri = request
        .uri_parsed()
        .map_err(|Malformed| bad("Bad Request-URI"))?;
    // RFC 3261 §19.1.1, RFC 4475 §3.1.2.11: no headers in a Request-URI.
    if !uri.headers.is_empty() {
        return Err(bad("Headers In Request-URI"));
    }
    if found.contact {
        headers.contacts().map_err(refusal)?;
    }
    if found.route {
        for name in [Name::Route, Name::RecordRoute, Name::Path] {
            for value in headers.values(&name) {
                NameAddr::parse(&value)
                    .map_err(|Malformed| refusal(HeaderError::Malformed(name.clone())))?;
            }
        }
    }
    Ok(judged)
}

/// Checks a response as far as it is needed to match it.
pub(crate) fn response(response: &Response) -> Result<Judged, Refusal> {
    Found::in_headers(&response.headers)?.judge()
}

/// The headers that are judged, found in one pass. All but Via, Contact and the routes may stand only once
/// (RFC 3261 §7.3.1).
#[derive(Default)]
struct Found<'a> {
    via: Option<&'a Text>,
    call_id: Option<&'a Text>,
    cseq: Option<&'a Text>,
    from: Option<&'a Text>,
    to: Option<&'a Text>,
    max_forwards: Option<&'a Text>,
    content_type: Option<&'a Text>,
    contact: bool,
    route: bool,
}

impl<'a> Found<'a> {
    fn in_headers(headers: &'a Headers) -> Result<Self, Refusal> {
        let mut found = Self::default();
        for Header { name, value } in headers {
            let (place, repeated) = match name {
                Name::Via => {
                    found.via.get_or_insert(value);
                    continue;
                }
                Name::Contact => {
                    found.contact = true;
                    continue;
                }
                Name::Route | Name::RecordRoute | Name::Path => {
                    found.route = true;
                    continue;
                }
                Name::CallId => (&mut found.call_id, "Repeated Call-ID"),
                Name::CSeq => (&mut found.cseq, "Repeated CSeq"),
                Name::From => (&mut found.from, "Repeated From"),
                Name::To => (&mut found.to, "Repeated To"),
                Name::MaxForwards => (&mut found.max_forwards, "Repeated Max-Forwards"),
                Name::ContentType => (&mut found.content_type, "Repeated Content-Type"),
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(bad(repeated));
            }
        }
        Ok(found)
    }

    /// Judges what every message must have (RFC 3261 §8.1.1). Max-Forwards may be missing: served as if 70.
    fn judge(&self) -> Result<Judged, Refusal> {
        let must = |value: Option<&'a Text>, name: Name| {
            value.ok_or_else(|| refusal(HeaderError::Missing(name)))
        };
        let malformed = |name: Name| move |Malformed| refusal(HeaderError::Malformed(name));
        let via = must(self.via, Name::Via)?;
        let call_id = must(self.call_id, Name::CallId)?;
        let cseq = must(self.cseq, Name::CSeq)?;
        let from = must(self.from, Name::From)?;
        let to = must(self.to, Name::To)?;
        let via = Via::parse_top(via).map_err(malformed(Name::Via))?;
        if call_id.is_empty() || call_id.contains([' ', '\t']) {
            return Err(refusal(HeaderError::Malformed(Name::CallId)));
        }
        NameAddr::parse(from).map_err(malformed(Name::From))?;
        let to = NameAddr::parse(to).map_err(malformed(Name::To))?;
        let cseq = CSeq::parse(cseq).map_err(malformed(Name::CSeq))?;
        Ok(Judged { via, to, cseq })
    }
}

fn bad(why: &'static str) -> Refusal {
    Refusal {
        status: Status::BAD_REQUEST,
        why,
    }
}

/// Names the header at fault in the reason phrase (RFC 3261 §21.4.1).
fn refusal(error: HeaderError) -> Refusal {
    bad(match error {
        HeaderError::Missing(name) => match name {
            Name::Via => "Missing Via",
            Name::CallId => "Missing Call-ID",
            Name::CSeq => "Missing CSeq",
            Name::From => "Missing From",
            Name::To => "Missing To",
            _ => "Missing Header",
        },
        HeaderError::Malformed(name) => match name {
            Name::Via => "Bad Via",
            Name::CallId => "Bad Call-ID",
            Name::CSeq => "Bad CSeq",
            Name::From => "Bad From",
            Name::To => "Bad To",
            Name::Contact => "Bad Contact",
            Name::MaxForwards => "Bad Max-Forwards",
            Name::Route => "Bad Route",
            Name::RecordRoute => "Bad Record-Route",
            Name::Path => "Bad Path",
            _ => "Bad Header",
        },
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::message::{Framing, Message};

    const GOOD: &str = "INVITE sip:b@example.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
        From: <sip:a@example.com>;tag=1\r\n\
        To: <sip:b@example.com>\r\n\
        Call-ID: x@y\r\n\
        CSeq: 1 INVITE\r\n\
        Contact: <sip:a@192.0.2.1>\r\n\
        \r\n";

    fn check(text: &str) -> Result<(), (u16, &'static str)> {
        match Message::parse(Bytes::copy_from_slice(text.as_bytes()), Framing::Datagram) {
            Ok(Message::Request(request)) => request
                .validate()
                .map_err(|refusal| (refusal.status.0, refusal.why)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_with_the_least_it_needs_stands() {
        assert_eq!(check(GOOD), Ok(()));
    }

    #[test]
    fn the_answer_names_the_header_that_is_missing() {
        for (line, why) in [
            (
                "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n",
                "Missing Via",
            ),
            ("From: <sip:a@example.com>;tag=1\r\n", "Missing From"),
            ("To: <sip:b@example.com>\r\n", "Missing To"),
            ("Call-ID: x@y\r\n", "Missing Call-ID"),
            ("CSeq: 1 INVITE\r\n", "Missing CSeq"),
        ] {
            assert_eq!(check(&GOOD.replace(line, "")), Err((400, why)));
        }
    }

    #[test]
    fn the_answer_names_the_header_at_fault() {
        for (good, bad, why) in [
            ("192.0.2.1;branch", "192.0.2.1:99999;branch", "Bad Via"),
            ("<sip:a@example.com>", "\"a <sip:a@example.com>", "Bad From"),
            ("To: <sip:b@example.com>", "To: Bob", "Bad To"),
            ("x@y", "x y", "Bad Call-ID"),
            ("1 INVITE", "2147483648 INVITE", "Bad CSeq"),
            ("1 INVITE", "1 BYE", "CSeq Method Differs"),
            ("<sip:a@192.0.2.1>", "sip:a@192.0.2.1?X=y", "Bad Contact"),
            ("<sip:a@192.0.2.1>", "*, <sip:a@192.0.2.1>", "Bad Contact"),
            ("Contact:", "Route: a\r\nContact:", "Bad Route"),
            (
                "Contact:",
                "Max-Forwards: 300\r\nContact:",
                "Bad Max-Forwards",
            ),
            (
                "Contact:",
                "Max-Forwards: 3\r\nMax-Forwards: 3\r\nContact:",
                "Repeated Max-Forwards",
            ),
            ("Contact:", "t: sip:x@y\r\nContact:", "Repeated To"),
            (
                "INVITE sip:b@example.com",
                "INVITE sip:b@example.com?X=y",
                "Headers In Request-URI",
            ),
            ("INVITE sip:b@example.com", "INVITE sip:", "Bad Request-URI"),
        ] {
            assert_eq!(
                check(&GOOD.replacen(good, bad, 1)),
                Err((400, why)),
                "{bad}"
            );
        }
    }
}
