//! The same datagram for this parser and for `sipx-sip`: where both take it, they agree on what it says.
//!
//! What only one of them takes is no finding: each refuses earlier or later than the other, and RFC 4475 leaves that open.

use bytes::Bytes;
use sip::{Framing, Message, Name};
use sipx_sip::message::Message as Theirs;
use sipx_sip::parser::{Limits, parse_datagram};

use crate::trace::Trace;

/// Runs one input.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let ours = Message::parse(Bytes::copy_from_slice(bytes), Framing::Datagram);
    let theirs = parse_datagram(Bytes::copy_from_slice(bytes), &Limits::datagram());
    trace.note((ours.is_ok(), theirs.is_ok()));
    // A head that is no UTF-8 is read as Latin-1 here and as bytes there.
    let (Ok(ours), Ok(theirs), true) = (ours, theirs, bytes.is_ascii()) else {
        return trace.finish();
    };
    match (&ours, &theirs) {
        (Message::Request(ours), Theirs::Request(theirs)) => {
            assert_eq!(
                ours.method.to_string().as_bytes(),
                theirs.method.as_bytes(),
                "method"
            );
            trace.note(ours.method.to_string());
        }
        (Message::Response(ours), Theirs::Response(theirs)) => {
            assert_eq!(ours.status.0, theirs.status.code(), "status");
            trace.note(ours.status.0);
        }
        _ => panic!("one is a request and the other a response"),
    }
    let (headers, body) = match &ours {
        Message::Request(request) => (&request.headers, &request.body),
        Message::Response(response) => (&response.headers, &response.body),
    };
    assert_eq!(&body[..], &theirs.body()[..], "body");
    for (name, other) in [
        (Name::CallId, sipx_sip::name::HeaderName::CallId),
        (Name::CSeq, sipx_sip::name::HeaderName::CSeq),
        (Name::From, sipx_sip::name::HeaderName::From),
        (Name::To, sipx_sip::name::HeaderName::To),
        (Name::MaxForwards, sipx_sip::name::HeaderName::MaxForwards),
    ] {
        let here = headers.get(&name).map(|value| squeezed(value.as_bytes()));
        let there = theirs.headers().value(&other).map(|value| squeezed(&value));
        assert_eq!(here, there, "{name}");
        trace.note(here.is_some());
    }
    trace.finish()
}

/// A value without its blanks: both unfold lines, each in its own manner.
fn squeezed(value: &[u8]) -> Vec<u8> {
    value
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect()
}
