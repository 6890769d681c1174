//! URIs: equal to themselves, and what they are decoded to is text (RFC 3261 §19.1).

use sip::{Text, Uri};

use crate::trace::Trace;

/// Two URIs, a line each.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let text = String::from_utf8_lossy(bytes);
    let mut parsed = text
        .lines()
        .take(2)
        .map(|line| Uri::parse(&Text::from(line)).ok());
    let (one, other) = (parsed.next().flatten(), parsed.next().flatten());
    if let Some(uri) = &one {
        assert!(uri.same_as(uri), "{uri}");
        let again = Uri::parse(&Text::from(uri.to_string())).expect("what was written is a URI");
        assert!(again.same_as(uri), "{uri} and {again}");
        trace.note((
            uri.scheme.as_str().to_owned(),
            uri.port.is_some(),
            uri.user.is_some(),
        ));
        trace.note(
            uri.user_decoded()
                .map(|user| user.chars().any(char::is_control)),
        );
        trace.note_size(uri.host_lower().len());
    }
    if let (Some(one), Some(other)) = (&one, &other) {
        assert_eq!(one.same_as(other), other.same_as(one), "{one} and {other}");
        trace.note(one.same_as(other));
    }
    trace.note((one.is_some(), other.is_some()));
    trace.finish()
}
