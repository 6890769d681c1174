//! Writing an answer into the buffer that is sent.

use std::net::SocketAddr;

use super::scan::{Plain, push_number, write_via};

/// An answer on its way into a buffer.
#[derive(Debug)]
pub struct Answer<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Answer<'o> {
    /// Goes on with an answer that has its status line and first headers.
    pub(super) fn of(out: &'o mut Vec<u8>) -> Self {
        Answer { out }
    }

    /// Begins the answer to a request from `source` with its status line, as `200 OK`; To gets this tag (RFC 3261 §8.2.6.2).
    pub fn begin(
        out: &'o mut Vec<u8>,
        status: &str,
        request: &Plain<'_>,
        source: SocketAddr,
        tag: &str,
    ) -> Self {
        out.extend_from_slice(b"SIP/2.0 ");
        out.extend_from_slice(status.as_bytes());
        out.extend_from_slice(b"\r\nVia: ");
        write_via(request.via, source, out);
        for (name, value) in [("\r\nFrom: ", request.from), ("\r\nTo: ", request.to)] {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(b";tag=");
        out.extend_from_slice(tag.as_bytes());
        for (name, value) in [
            ("\r\nCall-ID: ", request.call_id),
            ("\r\nCSeq: ", request.cseq),
        ] {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        Answer { out }
    }

    /// Adds a header whose value is these parts.
    pub fn header(&mut self, name: &str, parts: &[&str]) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Adds a Contact with what is left of its time in seconds.
    pub fn contact(&mut self, uri: &str, left: u64) {
        self.out.extend_from_slice(b"Contact: <");
        self.out.extend_from_slice(uri.as_bytes());
        self.out.extend_from_slice(b">;expires=");
        push_number(self.out, left);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Ends the answer: Server and an empty body.
    pub fn end(mut self, server: &str) {
        self.header("Server", &[server]);
        self.out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

/// Makes of an answer of [`Answer`] one with another status and a Retry-After, for what could not be kept.
pub fn refusal_of(answer: &[u8], status: &str, retry_after: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(answer.len());
    out.extend_from_slice(b"SIP/2.0 ");
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(b"\r\n");
    // Via, From, To, Call-ID and CSeq are the first five after the status line.
    for line in answer
        .split_inclusive(|byte| *byte == b'\n')
        .skip(1)
        .take(5)
    {
        out.extend_from_slice(line);
    }
    Answer { out: &mut out }.header("Retry-After", &[retry_after]);
    // Server and the empty body are its last three lines.
    let lines = answer.split_inclusive(|byte| *byte == b'\n');
    let last = lines.clone().count().saturating_sub(3);
    for line in lines.skip(last) {
        out.extend_from_slice(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Framing, Message};

    fn plain(via: &str) -> String {
        format!(
            "OPTIONS sip:example.net SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@example.net>;tag=1\r\n\
             To: <sip:a@example.net>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n"
        )
    }

    #[test]
    fn the_answer_is_the_one_that_the_parser_would_give() {
        let source: SocketAddr = "192.0.2.9:1024".parse().expect("an address");
        for via in [
            "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1",
            "SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bK1",
            "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1;rport",
            "SIP/2.0/UDP phone.example.net;branch=z9hG4bK1",
        ] {
            let text = plain(via);
            let request = Plain::scan(text.as_bytes()).expect("it is plain");
            let mut out = Vec::new();
            let mut answer = Answer::begin(&mut out, "200 OK", &request, source, "t");
            answer.header("Allow", &["INVITE", ", ACK"]);
            answer.end("Offhook");
            let Ok(Message::Request(parsed)) =
                Message::parse(text.clone().into(), Framing::Datagram)
            else {
                panic!("{text}");
            };
            let mut expected = parsed.respond(crate::Status::OK);
            expected.set_received(source);
            let to = format!("{};tag=t", request.to);
            expected.headers.set(crate::Name::To, to);
            expected.headers.push(crate::Name::Allow, "INVITE, ACK");
            expected.headers.push(crate::Name::Server, "Offhook");
            let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(shown(&out), shown(&expected.write()));
        }
    }

    #[test]
    fn a_refusal_keeps_what_names_the_request() {
        let text = plain("SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1");
        let request = Plain::scan(text.as_bytes()).expect("it is plain");
        let source: SocketAddr = "192.0.2.9:5060".parse().expect("an address");
        let mut out = Vec::new();
        let mut answer = Answer::begin(&mut out, "200 OK", &request, source, "t");
        answer.contact("sip:a@192.0.2.9", 60);
        answer.end("Offhook");
        let refusal = refusal_of(&out, "503 Service Unavailable", "2");
        assert_eq!(
            String::from_utf8_lossy(&refusal),
            "SIP/2.0 503 Service Unavailable\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
             From: <sip:a@example.net>;tag=1\r\nTo: <sip:a@example.net>;tag=t\r\nCall-ID: c\r\n\
             CSeq: 1 OPTIONS\r\nRetry-After: 2\r\nServer: Offhook\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
