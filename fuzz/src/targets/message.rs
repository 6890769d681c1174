//! A SIP message in a datagram: what is taken is written and read again as the same (RFC 3261 §7).

use bytes::Bytes;
use sip::{Framing, Message, Name};

use crate::trace::Trace;

/// Runs one input.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    match Message::parse(Bytes::copy_from_slice(bytes), Framing::Datagram) {
        Err(error) => {
            trace.note((error.status.0, error.why));
            if let Some(partial) = error.partial {
                // What is refused can be answered.
                let answer = partial.respond(error.status).write();
                assert!(
                    Message::parse(answer, Framing::Datagram).is_ok()
                        || partial.validate().is_err()
                );
            }
        }
        Ok(message) => {
            let written = message.write();
            let again = Message::parse(written.clone(), Framing::Stream)
                .expect("what was written is a message");
            assert_eq!(again.write(), written, "what was written is written alike");
            match (&message, &again) {
                (Message::Request(one), Message::Request(other)) => {
                    assert_eq!(
                        (&one.method, &one.uri, &one.body),
                        (&other.method, &other.uri, &other.body)
                    );
                    trace.note(one.method.to_string());
                    trace.note(one.validate().err().map(|refusal| refusal.why));
                    trace.note((one.from().is_ok(), one.to().is_ok(), one.via().is_ok()));
                    trace.note((
                        one.cseq().is_ok(),
                        one.contacts().is_ok(),
                        one.uri_parsed().is_ok(),
                    ));
                    trace.note((one.expires().is_some(), one.max_forwards()));
                }
                (Message::Response(one), Message::Response(other)) => {
                    assert_eq!((one.status, &one.body), (other.status, &other.body));
                    trace.note((one.status.0, one.validate().is_ok(), one.redirects().len()));
                }
                _ => panic!("a request became a response"),
            }
            trace.note_size(bytes.len());
            let headers = match &message {
                Message::Request(request) => &request.headers,
                Message::Response(response) => &response.headers,
            };
            trace.note_size(headers.iter().count());
            for name in [
                Name::Require,
                Name::Supported,
                Name::Route,
                Name::RecordRoute,
            ] {
                trace.note_size(headers.values(&name).count());
            }
        }
    }
    trace.finish()
}
