//! What every element may rely on after reading: RFC 3261 §8.1.1, §8.1.3, §20; RFC 4475 §3.

use crate::message::header::{HeaderError, Malformed, Name, NameAddr};
use crate::message::headers::Headers;
use crate::message::request::{Refusal, Request};
use crate::message::response::Response;
use crate::message::status::Status;

/// Headers that must be there and stand once (RFC 3261 §8.1.1). Max-Forwards may be missing: served as if 70.
const MANDATORY: [Name; 4] = [Name::CallId, Name::CSeq, Name::From, Name::To];
const ONCE: [Name; 2] = [Name::MaxForwards, Name::ContentType];

/// Checks a request.
pub(super) fn request(request: &Request) -> Result<(), Refusal> {
    let headers = &request.headers;
    common(headers)?;
    for name in ONCE {
        once(headers, name)?;
    }
    let cseq = headers.cseq().map_err(refusal)?;
    if cseq.method != request.method {
        return Err(bad("CSeq Method Differs"));
    }
    headers.max_forwards().map_err(refusal)?;
    let uri = request
        .uri_parsed()
        .map_err(|Malformed| bad("Bad Request-URI"))?;
    // RFC 3261 §19.1.1, RFC 4475 §3.1.2.11: no headers in a Request-URI.
    if !uri.headers.is_empty() {
        return Err(bad("Headers In Request-URI"));
    }
    headers.contacts().map_err(refusal)?;
    for name in [Name::Route, Name::RecordRoute, Name::Path] {
        for value in headers.values(&name) {
            NameAddr::parse(&value)
                .map_err(|Malformed| refusal(HeaderError::Malformed(name.clone())))?;
        }
    }
    Ok(())
}

/// Checks a response as far as it is needed to match it.
pub(super) fn response(response: &Response) -> Result<(), Refusal> {
    common(&response.headers)?;
    response.headers.cseq().map_err(refusal)?;
    Ok(())
}

fn common(headers: &Headers) -> Result<(), Refusal> {
    headers.via().map_err(refusal)?;
    for name in MANDATORY {
        once(headers, name)?;
    }
    let call_id = headers
        .call_id()
        .ok_or_else(|| refusal(HeaderError::Missing(Name::CallId)))?;
    if call_id.is_empty() || call_id.contains([' ', '\t']) {
        return Err(refusal(HeaderError::Malformed(Name::CallId)));
    }
    headers.cseq().map_err(refusal)?;
    headers.from().map_err(refusal)?;
    headers.to().map_err(refusal)?;
    Ok(())
}

/// RFC 3261 §7.3.1: only list headers may be repeated.
fn once(headers: &Headers, name: Name) -> Result<(), Refusal> {
    if headers.all(&name).nth(1).is_none() {
        return Ok(());
    }
    Err(bad(match name {
        Name::CallId => "Repeated Call-ID",
        Name::CSeq => "Repeated CSeq",
        Name::From => "Repeated From",
        Name::To => "Repeated To",
        Name::MaxForwards => "Repeated Max-Forwards",
        Name::ContentType => "Repeated Content-Type",
        _ => "Repeated Header",
    }))
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
