//! Writing messages: RFC 3261 §7, §20.14. The size is counted first, so one buffer of the right size is enough.

use std::fmt::Write;
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};

use crate::message::header::Name;
use crate::message::headers::Headers;
use crate::message::request::Request;
use crate::message::response::Response;

const VERSION: &str = "SIP/2.0";

/// Writes a request.
pub(super) fn request(request: &Request) -> Bytes {
    let method = request.method.as_str();
    let start = method.len() + request.uri.len() + VERSION.len() + 4;
    let mut buffer = BytesMut::with_capacity(start + size(&request.headers, &request.body));
    put(&mut buffer, method);
    buffer.put_u8(b' ');
    put(&mut buffer, &request.uri);
    buffer.put_slice(b" SIP/2.0\r\n");
    rest(&mut buffer, &request.headers, &request.body);
    buffer.freeze()
}

/// Writes a response.
pub(super) fn response(response: &Response) -> Bytes {
    let start = VERSION.len() + response.reason.len() + 8;
    let mut buffer = BytesMut::with_capacity(start + size(&response.headers, &response.body));
    buffer.put_slice(b"SIP/2.0 ");
    put_number(&mut buffer, usize::from(response.status.0));
    buffer.put_u8(b' ');
    put(&mut buffer, &response.reason);
    buffer.put_slice(b"\r\n");
    rest(&mut buffer, &response.headers, &response.body);
    buffer.freeze()
}

/// Bounds the size of headers and body from above.
fn size(headers: &Headers, body: &Bytes) -> usize {
    let lines: usize = headers
        .iter()
        .map(|header| header.name.as_str().len() + header.value.len() + 4)
        .sum();
    lines + "Content-Length: \r\n\r\n".len() + 20 + body.len()
}

/// Writes headers and body. `Content-Length` stands where it stood, or at the end, and is true.
fn rest(buffer: &mut BytesMut, headers: &Headers, body: &Bytes) {
    let mut length_stands = false;
    for header in headers {
        if header.name == Name::ContentLength {
            if !length_stands {
                put_length(buffer, body.len());
            }
            length_stands = true;
            continue;
        }
        match &header.name {
            Name::Other(name) => put(buffer, name),
            known => buffer.put_slice(known.as_str().as_bytes()),
        }
        buffer.put_slice(b": ");
        put(buffer, &header.value);
        buffer.put_slice(b"\r\n");
    }
    if !length_stands {
        put_length(buffer, body.len());
    }
    buffer.put_slice(b"\r\n");
    buffer.put_slice(body);
}

fn put_length(buffer: &mut BytesMut, length: usize) {
    buffer.put_slice(b"Content-Length: ");
    put_number(buffer, length);
    buffer.put_slice(b"\r\n");
}

fn put_number(buffer: &mut BytesMut, number: usize) {
    // Writing into a BytesMut cannot fail: it grows.
    let _ = write!(buffer, "{number}");
}

/// Adds a port or an octet by hand: every message has several, and the formatter takes ten times as long.
pub(crate) fn push_number(text: &mut String, number: u16) {
    let mut digits = [b'0'; 5];
    let mut rest = number;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let used = digits.iter().position(|digit| *digit != b'0').unwrap_or(4);
    text.extend(digits.iter().skip(used).map(|digit| char::from(*digit)));
}

/// Adds an address with its port as a URI or Via spells it.
pub(crate) fn push_address(text: &mut String, address: SocketAddr) {
    let SocketAddr::V4(four) = address else {
        // Writing into a String cannot fail.
        let _ = write!(text, "{address}");
        return;
    };
    let mut separator = None;
    for octet in four.ip().octets() {
        text.extend(separator.replace('.'));
        push_number(text, u16::from(octet));
    }
    text.push(':');
    push_number(text, four.port());
}

/// Writes text that must stay within its line: a line end in it becomes a blank, so no caller can smuggle in a
/// header.
fn put(buffer: &mut BytesMut, text: &str) {
    let bytes = text.as_bytes();
    if memchr::memchr2(b'\r', b'\n', bytes).is_none() {
        buffer.put_slice(bytes);
        return;
    }
    for &byte in bytes {
        buffer.put_u8(if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            byte
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::method::Method;
    use crate::message::status::Status;

    #[test]
    fn addresses_are_spelled_as_the_standard_library_does() {
        for address in [
            "192.0.2.1:5060",
            "0.10.255.100:65535",
            "1.2.3.4:0",
            "[2001:db8::1]:9",
        ] {
            let mut text = String::new();
            push_address(&mut text, address.parse().expect("an address"));
            assert_eq!(text, address);
        }
    }

    #[test]
    fn content_length_is_true_and_keeps_its_place() {
        let mut request = Request::new(Method::Options, "sip:a@b");
        request.headers.push(Name::ContentLength, "999");
        request.headers.push(Name::CallId, "x");
        request.headers.push(Name::ContentLength, "1");
        request.body = Bytes::from_static(b"0123456789");
        assert_eq!(
            request.write(),
            "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 10\r\nCall-ID: x\r\n\r\n0123456789"
        );
    }

    #[test]
    fn a_line_end_in_a_value_cannot_make_a_header() {
        let mut response = Response::new(Status::OK);
        response.reason = "OK\r\nX: y".into();
        response
            .headers
            .push(Name::Subject, "a\r\nRoute: <sip:evil>");
        assert_eq!(
            response.write(),
            "SIP/2.0 200 OK  X: y\r\nSubject: a  Route: <sip:evil>\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
