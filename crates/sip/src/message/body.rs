//! The session description in a body, also inside a multipart: RFC 3261 §7.4.1, §20.15; RFC 2046 §5.1; RFC 5621 §3.

use bytes::{Buf as _, Bytes};
use memchr::memmem;

use crate::message::header::Name;
use crate::message::headers::Headers;
use crate::message::params::Params;

const SDP: &str = "application/sdp";
/// Parts of one multipart that are looked at.
const MAX_PARTS: usize = 16;
/// Multiparts inside of each other that are opened.
const MAX_DEPTH: usize = 3;

/// Finds the first session description of a message. A body that does not say what it is counts by its beginning.
pub(crate) fn sdp(headers: &Headers, body: &Bytes) -> Option<Bytes> {
    if body.is_empty() {
        return None;
    }
    match headers.get(&Name::ContentType) {
        Some(kind) => find(kind, body, 0),
        None => body.starts_with(b"v=0").then(|| body.clone()),
    }
}

fn find(kind: &str, body: &Bytes, depth: usize) -> Option<Bytes> {
    let (media, params) = kind.split_once(';').unwrap_or((kind, ""));
    let media = media.trim();
    if media.eq_ignore_ascii_case(SDP) {
        return Some(body.clone());
    }
    let is_multipart = media
        .get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
    if !is_multipart || depth >= MAX_DEPTH {
        return None;
    }
    let boundary = Params::parse(params.into())?.get("boundary")?;
    let delimiter = format!("--{boundary}");
    let delimiters = memmem::Finder::new(&delimiter);
    let mut rest = body.clone();
    let mut begin = delimiters.find(&rest)?;
    for _ in 0..MAX_PARTS {
        rest.advance(begin + delimiter.len());
        // The last delimiter; what follows is for nobody.
        if rest.starts_with(b"--") {
            return None;
        }
        let end = delimiters.find(&rest)?;
        if let Some(found) = within(&rest.slice(..end), depth) {
            return Some(found);
        }
        begin = end;
    }
    None
}

/// Looks into one part: the rest of its delimiter's line, headers, an empty line, the body, and the line end that belongs
/// to the next delimiter.
fn within(part: &Bytes, depth: usize) -> Option<Bytes> {
    let head = memmem::find(part, b"\r\n\r\n")?;
    let headers = std::str::from_utf8(part.get(..head)?).ok()?;
    let kind = headers.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = Name::from(name.trim()) == Name::ContentType;
        is_it.then_some(value.trim())
    })?;
    let mut body = part.slice(head + 4..);
    if body.ends_with(b"\r\n") {
        body.truncate(body.len() - 2);
    }
    find(kind, &body, depth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: Option<&'static str>, body: &str) -> Option<String> {
        let mut headers = Headers::new();
        if let Some(kind) = kind {
            headers.push(Name::ContentType, kind);
        }
        let body = Bytes::from(body.replace('\n', "\r\n"));
        let found = sdp(&headers, &body)?;
        Some(String::from_utf8_lossy(&found).replace("\r\n", "\n"))
    }

    #[test]
    fn a_description_is_found_beside_other_parts() {
        let body = "preamble\n--b 1\nContent-Type: application/pidf+xml\n\n<x/>\n\
            --b 1\nc: application/sdp\nContent-Disposition: session\n\nv=0\ns=-\n\n--b 1--\nv=1";
        let kind = Some("multipart/mixed;boundary=\"b 1\"");
        assert_eq!(found(kind, body).as_deref(), Some("v=0\ns=-\n"));
        let nested = "--o\nContent-Type: multipart/alternative; boundary=i\n\n\
            --i\nContent-Type: text/plain\n\nx\n--i\nContent-Type: Application/SDP\n\nv=0\n\n--i--\n\n--o--";
        let kind = Some("Multipart/Mixed ; boundary=o");
        assert_eq!(found(kind, nested).as_deref(), Some("v=0\n"));
    }

    #[test]
    fn what_is_no_description_is_none() {
        assert_eq!(
            found(Some("application/sdp; x=y"), "v=0\n").as_deref(),
            Some("v=0\n")
        );
        assert_eq!(found(None, "v=0\n").as_deref(), Some("v=0\n"));
        for (kind, body) in [
            (Some("application/sdp"), ""),
            (None, "hello"),
            (Some("text/plain"), "v=0\n"),
            (
                Some("multipart/mixed"),
                "--b\nContent-Type: application/sdp\n\nv=0\n\n--b--",
            ),
            (
                Some("multipart/mixed;boundary=b"),
                "--b\nContent-Type: application/sdp\n\nv=0\n",
            ),
            (Some("multipart/mixed;boundary=b"), "--b\n\nv=0\n\n--b--"),
            (Some("multipart/mixed;boundary=b"), "--b--"),
        ] {
            assert_eq!(found(kind, body), None, "{kind:?} {body}");
        }
    }
}
