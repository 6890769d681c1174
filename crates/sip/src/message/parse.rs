//! Reading messages: RFC 3261 §7, §18.3, §25.1; RFC 4475 §3.
//!
//! Everything that is kept is a slice of the received buffer; only folded lines and heads in Latin-1 are copied. A
//! fault does not end the reading: the headers after it are needed for the answer.

use bytes::Bytes;

use crate::Text;
use crate::message::grammar::{
    is_token, is_token_byte, number, slice, split_off, split_once, trim,
};
use crate::message::header::Name;
use crate::message::headers::Headers;
use crate::message::method::Method;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::message::status::Status;
use crate::message::{Framing, Limits, Message, ParseError};

/// Reads one message.
pub(super) fn parse(bytes: Bytes, framing: Framing, limits: Limits) -> Result<Message, ParseError> {
    let start = bytes
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .ok_or_else(|| silent("Empty message"))?;
    let bytes = bytes.slice(start..);
    if !bytes.first().copied().is_some_and(is_token_byte) {
        return Err(silent("Not SIP"));
    }
    let mut faults = Faults::default();
    let end = head_end(&bytes, 0);
    let head_length = end.unwrap_or(bytes.len());
    if head_length > limits.head {
        faults.note(Status::MESSAGE_TOO_LARGE, "Headers Too Large");
    } else if end.is_none() {
        faults.note(Status::BAD_REQUEST, "No Blank Line After Headers");
    }
    let head = text_of(bytes.slice(..head_length.min(limits.head)));
    let (first, rest) = next_line(&head);
    let start_line = StartLine::parse(&head, first, limits, &mut faults)?;
    let headers = read_headers(&head, rest, limits, &mut faults);
    let body = read_body(
        &headers,
        bytes.slice(head_length..),
        framing,
        limits,
        &mut faults,
    );
    match (start_line, faults.first) {
        (StartLine::Request { method, uri }, None) => Ok(Message::Request(Request {
            method,
            uri,
            headers,
            body,
        })),
        (StartLine::Response { status, reason }, None) => Ok(Message::Response(Response {
            status,
            reason,
            headers,
            body,
        })),
        (StartLine::Request { method, uri }, Some((status, why))) => {
            // An ACK is never answered (RFC 3261 §17.1.1.3), and without Via there is nobody to answer.
            let answerable = method != Method::Ack && headers.get(&Name::Via).is_some();
            let partial = answerable.then(|| {
                Box::new(Request {
                    method,
                    uri,
                    headers,
                    body: Bytes::new(),
                })
            });
            Err(ParseError {
                status,
                why,
                partial,
            })
        }
        (StartLine::Response { .. }, Some((status, why))) => Err(ParseError {
            status,
            why,
            partial: None,
        }),
    }
}

/// A fault that is not answered.
fn silent(why: &'static str) -> ParseError {
    ParseError {
        status: Status::BAD_REQUEST,
        why,
        partial: None,
    }
}

/// The first fault of a message: the one that is answered.
#[derive(Default)]
struct Faults {
    first: Option<(Status, &'static str)>,
}

impl Faults {
    fn note(&mut self, status: Status, why: &'static str) {
        self.first.get_or_insert((status, why));
    }

    fn bad(&mut self, why: &'static str) {
        self.note(Status::BAD_REQUEST, why);
    }
}

/// Takes the head as text: UTF-8 without copying, or else each octet as a letter of Latin-1, as old phones mean it.
fn text_of(head: Bytes) -> Text {
    match Text::try_from(head.clone()) {
        Ok(text) => text,
        Err(_) => head
            .iter()
            .copied()
            .map(char::from)
            .collect::<String>()
            .into(),
    }
}

enum StartLine {
    Request { method: Method, uri: Text },
    Response { status: Status, reason: Text },
}

impl StartLine {
    fn parse(
        head: &Text,
        line: &str,
        limits: Limits,
        faults: &mut Faults,
    ) -> Result<Self, ParseError> {
        if line
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("SIP/"))
        {
            return Self::response(head, line);
        }
        // RFC 3261 §7.1: three parts, one blank between them.
        let (method, rest) = split_once(line, b' ').ok_or_else(|| silent("Not SIP"))?;
        if !is_token(method) {
            return Err(silent("Not SIP"));
        }
        let uri = match memchr::memrchr(b' ', rest.as_bytes()).and_then(|at| split_off(rest, at)) {
            Some((uri, version)) => {
                if version.eq_ignore_ascii_case("SIP/2.0") {
                } else if is_other_version(version) {
                    faults.note(
                        Status::VERSION_NOT_SUPPORTED,
                        Status::VERSION_NOT_SUPPORTED.reason(),
                    );
                } else {
                    faults.bad("Bad Request-Line");
                }
                uri
            }
            None => {
                faults.bad("Bad Request-Line");
                rest
            }
        };
        if uri.len() > limits.uri {
            faults.note(
                Status::REQUEST_URI_TOO_LONG,
                Status::REQUEST_URI_TOO_LONG.reason(),
            );
        } else if !may_be_uri(uri) {
            faults.bad("Bad Request-URI");
        }
        Ok(Self::Request {
            method: Method::new(&slice(head, method)),
            uri: slice(head, uri),
        })
    }

    /// RFC 3261 §7.2. A missing blank before an empty phrase is forgiven (RFC 4475 §3.1.1.13).
    fn response(head: &Text, line: &str) -> Result<Self, ParseError> {
        let (version, rest) = split_once(line, b' ').ok_or_else(|| silent("Bad Status-Line"))?;
        let (code, reason) = split_once(rest, b' ').unwrap_or((rest, ""));
        let status = Some(code)
            .filter(|code| code.len() == 3 && version.eq_ignore_ascii_case("SIP/2.0"))
            .and_then(|code| u16::try_from(number(code)?).ok())
            .filter(|code| matches!(code, 100..=699));
        if reason.contains(['\r', '\0']) {
            return Err(silent("Bad Status-Line"));
        }
        match status {
            Some(status) => Ok(Self::Response {
                status: Status(status),
                reason: slice(head, reason),
            }),
            None => Err(silent("Bad Status-Line")),
        }
    }
}

/// `SIP/digits.digits`.
fn is_other_version(version: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    version
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("SIP/"))
        && version
            .get(4..)
            .and_then(|version| version.split_once('.'))
            .is_some_and(|(major, minor)| digits(major) && digits(minor))
}

/// No blanks, control characters, quotes or brackets (RFC 4475 §3.1.2.7, §3.1.2.8).
fn may_be_uri(uri: &str) -> bool {
    !uri.is_empty()
        && !uri
            .bytes()
            .any(|byte| byte <= b' ' || matches!(byte, b'<' | b'>' | b'"' | 0x7f))
}

/// RFC 3261 §7.3.1.
fn read_headers(head: &Text, mut rest: &str, limits: Limits, faults: &mut Faults) -> Headers {
    let mut headers = Headers::new();
    while !rest.is_empty() {
        let (line, after) = next_line(rest);
        rest = after;
        if line.is_empty() {
            break;
        }
        let mut unfolded: Option<String> = None;
        while rest.starts_with([' ', '\t']) {
            let (more, after) = next_line(rest);
            rest = after;
            let whole = unfolded.get_or_insert_with(|| line.trim_end().to_owned());
            whole.push(' ');
            whole.push_str(trim(more));
        }
        if headers.len() == limits.headers {
            faults.note(Status::MESSAGE_TOO_LARGE, "Too Many Headers");
            break;
        }
        let Some((name, value)) = split_once(unfolded.as_deref().unwrap_or(line), b':') else {
            faults.bad("Header Without Colon");
            continue;
        };
        // RFC 3261 §7.3.1: blanks may stand before the colon.
        let name = name.trim_end_matches([' ', '\t']);
        let value = trim(value);
        let known = Name::known(name);
        if known.is_none() && !is_token(name) {
            faults.bad("Bad Header Name");
            continue;
        }
        if !may_be_value(value) {
            faults.bad("Control Character In Header");
            continue;
        }
        let (name, value) = if unfolded.is_some() {
            (
                known.unwrap_or_else(|| Name::Other(name.into())),
                value.into(),
            )
        } else {
            (
                known.unwrap_or_else(|| Name::Other(slice(head, name))),
                slice(head, value),
            )
        };
        headers.push(name, value);
    }
    headers
}

/// No CR, and NUL only as the second half of a quoted pair (RFC 3261 §25.1, RFC 4475 §3.1.1.2).
fn may_be_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    if memchr::memchr2(b'\r', 0, bytes).is_none() {
        return true;
    }
    let mut quoted = false;
    let mut escaped = false;
    for byte in bytes {
        match byte {
            b'\r' => return false,
            0 if !(quoted && escaped) => return false,
            b'"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = *byte == b'\\' && !escaped;
    }
    true
}

/// RFC 3261 §18.3, §20.14.
fn read_body(
    headers: &Headers,
    rest: Bytes,
    framing: Framing,
    limits: Limits,
    faults: &mut Faults,
) -> Bytes {
    let mut lengths = headers.all(&Name::ContentLength);
    let length = match (lengths.next(), lengths.next()) {
        (Some(_), Some(_)) => {
            faults.bad("Repeated Content-Length");
            return Bytes::new();
        }
        (Some(length), None) => match number(length) {
            Some(length) => usize::try_from(length).unwrap_or(usize::MAX),
            None => {
                faults.bad("Bad Content-Length");
                return Bytes::new();
            }
        },
        (None, _) if framing == Framing::Stream => {
            faults.bad("Missing Content-Length");
            return Bytes::new();
        }
        (None, _) => rest.len(),
    };
    let announced_too_much = framing == Framing::Stream && length > limits.body;
    if length > rest.len() && !announced_too_much {
        faults.bad("Content-Length Larger Than Message");
        return Bytes::new();
    }
    if length > limits.body {
        faults.note(
            Status::REQUEST_ENTITY_TOO_LARGE,
            Status::REQUEST_ENTITY_TOO_LARGE.reason(),
        );
        return Bytes::new();
    }
    // RFC 3261 §18.3: octets after the body are left aside.
    rest.slice(..length)
}

/// Cuts off one line; CRLF and a bare LF both end it.
fn next_line(text: &str) -> (&str, &str) {
    let (line, rest) = split_once(text, b'\n').unwrap_or((text, ""));
    (line.strip_suffix('\r').unwrap_or(line), rest)
}

/// Finds the end of the head: the position after the blank line. Looks from `from` on.
pub(crate) fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes.get(from..)?).find_map(|at| {
        let next = from.checked_add(at)?.checked_add(1)?;
        match (bytes.get(next)?, bytes.get(next.checked_add(1)?)) {
            (b'\n', _) => next.checked_add(1),
            (b'\r', Some(b'\n')) => next.checked_add(2),
            _ => None,
        }
    })
}

/// Reads Content-Length out of a head that is not yet a message, for framing. `Err`: no number, or more than one.
pub(crate) fn content_length(head: &[u8]) -> Result<Option<usize>, ()> {
    let mut found = None;
    let mut lines = head.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
        if !(name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l")) {
            continue;
        }
        let mut value = line
            .get(colon..)
            .and_then(|rest| rest.get(1..))
            .unwrap_or_default()
            .trim_ascii();
        while let Some(more) = lines.next_if(|next| matches!(next.first(), Some(b' ' | b'\t'))) {
            match (value.is_empty(), more.trim_ascii().is_empty()) {
                (true, _) => value = more.trim_ascii(),
                (false, true) => {}
                (false, false) => return Err(()),
            }
        }
        let digits = std::str::from_utf8(value).map_err(|_| ())?;
        let length = number(digits).ok_or(())?;
        if found
            .replace(usize::try_from(length).unwrap_or(usize::MAX))
            .is_some()
        {
            return Err(());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\n";

    fn datagram(text: impl AsRef<[u8]>) -> Result<Message, ParseError> {
        Message::parse(Bytes::copy_from_slice(text.as_ref()), Framing::Datagram)
    }

    fn request(text: impl AsRef<[u8]>) -> Request {
        match datagram(text).expect("parses") {
            Message::Request(request) => request,
            Message::Response(_) => panic!("a response"),
        }
    }

    fn refusal(text: impl AsRef<[u8]>) -> (u16, &'static str, bool) {
        let error = datagram(text).expect_err("refused");
        (error.status.0, error.why, error.partial.is_some())
    }

    #[test]
    fn nothing_is_answered_to_what_is_not_sip() {
        for text in [
            "",
            "\r\n\r\n",
            "\0\0\0",
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "hello",
            "\x16\x03\x01",
        ] {
            assert!(!refusal(text).2, "{text:?}");
        }
        // Neither an ACK nor a request without Via.
        assert!(!refusal("ACK sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c\r\nL: -1\r\n\r\n").2);
        assert!(!refusal("BYE sip:a@b SIP/2.0\r\nL: -1\r\n\r\n").2);
    }

    #[test]
    fn faults_of_the_request_line() {
        let with = |line: &str| refusal(format!("{line}\r\nVia: SIP/2.0/UDP c\r\n\r\n"));
        assert_eq!(with("OPTIONS sip:a@b"), (400, "Bad Request-Line", true));
        assert_eq!(
            with("OPTIONS sip:a@b SIP/7.0"),
            (505, "Version Not Supported", true)
        );
        assert_eq!(
            with("OPTIONS sip:a@b HTTP/1.1"),
            (400, "Bad Request-Line", true)
        );
        assert_eq!(
            with("OPTIONS <sip:a@b> SIP/2.0"),
            (400, "Bad Request-URI", true)
        );
        assert_eq!(
            with("OPTIONS sip:a@b; lr SIP/2.0"),
            (400, "Bad Request-URI", true)
        );
        assert_eq!(
            with("OPTIONS  sip:a@b SIP/2.0"),
            (400, "Bad Request-URI", true)
        );
        assert_eq!(
            with(&format!("OPTIONS sip:{} SIP/2.0", "a".repeat(20_000))).0,
            414
        );
    }

    #[test]
    fn faults_of_headers() {
        assert_eq!(
            refusal(format!("{HEAD}Bad\x01Name: x\r\n\r\n")),
            (400, "Bad Header Name", true)
        );
        assert_eq!(
            refusal(format!("{HEAD}X: a\0b\r\n\r\n")),
            (400, "Control Character In Header", true)
        );
        assert_eq!(
            refusal(format!("{HEAD}X: a\rY: b\r\n\r\n")),
            (400, "Control Character In Header", true)
        );
        assert_eq!(
            refusal(format!("{HEAD}no colon\r\n\r\n")),
            (400, "Header Without Colon", true)
        );
        assert_eq!(
            refusal("BYE sip:a@b SIP/2.0\r\n : folded\r\nv: SIP/2.0/UDP c\r\n\r\n"),
            (400, "Bad Header Name", true)
        );
        assert_eq!(refusal(HEAD), (400, "No Blank Line After Headers", true));
        assert_eq!(
            refusal(format!("{HEAD}{}\r\n", "X: y\r\n".repeat(1000))),
            (513, "Too Many Headers", true)
        );
        assert_eq!(
            refusal(format!("{HEAD}X: {}\r\n\r\n", "y".repeat(65_536))),
            (513, "Headers Too Large", true)
        );
    }

    #[test]
    fn faults_of_the_length() {
        let with = |line: &str| refusal(format!("{HEAD}{line}\r\n\r\nbody"));
        assert_eq!(
            with("Content-Length: -1"),
            (400, "Bad Content-Length", true)
        );
        assert_eq!(
            with("Content-Length: five"),
            (400, "Bad Content-Length", true)
        );
        assert_eq!(with("Content-Length:"), (400, "Bad Content-Length", true));
        assert_eq!(
            with("Content-Length: 5"),
            (400, "Content-Length Larger Than Message", true)
        );
        assert_eq!(with("Content-Length: 18446744073709551615").0, 400);
        assert_eq!(
            with("Content-Length: 4\r\nl: 4"),
            (400, "Repeated Content-Length", true)
        );
        assert_eq!(refusal(format!("{HEAD}\r\n{}", "x".repeat(300_000))).0, 413);
        let stream = |line: &str| {
            let bytes = format!("{HEAD}{line}\r\n\r\n");
            let error = Message::parse(bytes.into(), Framing::Stream).expect_err("refused");
            (error.status.0, error.why)
        };
        assert_eq!(stream("X: y"), (400, "Missing Content-Length"));
        assert_eq!(
            stream("Content-Length: 4000000000"),
            (413, "Request Entity Too Large")
        );
    }

    #[test]
    fn the_body_ends_where_its_length_says_or_with_the_datagram() {
        assert_eq!(
            request(format!("{HEAD}Content-Length: 2\r\n\r\nbody")).body,
            "bo"
        );
        assert_eq!(request(format!("{HEAD}\r\nbody")).body, "body");
        assert_eq!(request(format!("\r\n\r\n{HEAD}L:0\r\n\r\nrest")).body, "");
    }

    #[test]
    fn bare_line_feeds_folds_compact_forms_and_odd_blanks_are_taken() {
        let request = request(
            "OPTIONS sip:a@b SIP/2.0\nv : SIP/2.0/UDP c\nSubject:\r\n one\r\n\ttwo \r\nx-Y\t: z\n\n",
        );
        let lines: Vec<_> = request.headers.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["Via: SIP/2.0/UDP c", "Subject: one two", "x-Y: z"]);
    }

    #[test]
    fn a_head_in_latin_1_is_read_again() {
        let text = [
            HEAD.as_bytes(),
            b"From: \"Jos\xe9\" <sip:j@b>;tag=1\r\n\r\n\xff\xfe",
        ]
        .concat();
        let request = request(text);
        let from = request.from().expect("From");
        assert_eq!(from.display_unquoted().as_deref(), Some("José"));
        assert_eq!(&*request.body, b"\xff\xfe");
    }

    #[test]
    fn responses_with_odd_codes_are_dropped() {
        for line in [
            "SIP/2.0 4294967301 x",
            "SIP/2.0 099 x",
            "SIP/2.0 700 x",
            "SIP/3.0 200 OK",
            "SIP/2.0 2x0 OK",
            "SIP/2.0",
        ] {
            assert!(
                datagram(format!("{line}\r\nCSeq: 1 BYE\r\n\r\n")).is_err(),
                "{line}"
            );
        }
        for line in ["SIP/2.0 100 ", "SIP/2.0 100"] {
            let Ok(Message::Response(response)) =
                datagram(format!("{line}\r\nCSeq: 1 BYE\r\n\r\n"))
            else {
                panic!("{line}");
            };
            assert_eq!((response.status, &*response.reason), (Status::TRYING, ""));
        }
    }

    #[test]
    fn twenty_four_headers_share_one_buffer() {
        let text = Bytes::from(format!("{HEAD}Subject: shared\r\n\r\n"));
        let range = text.as_ptr_range();
        let Ok(Message::Request(request)) = Message::parse(text.clone(), Framing::Datagram) else {
            panic!("refused");
        };
        for header in &request.headers {
            assert!(range.contains(&header.value.as_ptr()));
        }
        assert!(range.contains(&request.uri.as_ptr()));
    }

    #[test]
    fn framing_reads_the_length_as_the_parser_does() {
        assert_eq!(content_length(b"A b C\r\nX: y\r\n\r\n"), Ok(None));
        assert_eq!(content_length(b"A b C\r\nL : 12\r\n\r\n"), Ok(Some(12)));
        assert_eq!(
            content_length(b"A b C\r\nContent-Length:\r\n 7\r\n\r\n"),
            Ok(Some(7))
        );
        assert_eq!(content_length(b"A b C\r\nl: 1\r\n 2\r\n\r\n"), Err(()));
        assert_eq!(content_length(b"A b C\r\nl: 1\r\nl: 1\r\n\r\n"), Err(()));
        assert_eq!(content_length(b"A b C\r\nl: -1\r\n\r\n"), Err(()));
    }
}
