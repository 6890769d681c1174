//! Requests: RFC 3261 §7.1, §8.1.1, §8.2.6.

use bytes::Bytes;

use crate::Text;
use crate::message::header::{CSeq, Contacts, HeaderError, Malformed, Name, NameAddr, Via};
use crate::message::headers::Headers;
use crate::message::method::Method;
use crate::message::response::Response;
use crate::message::status::Status;
use crate::message::uri::Uri;
use crate::message::{body, validate, write};

/// A request (RFC 3261 §7.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI as sent.
    pub uri: Text,
    /// The headers in the order of the wire.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

/// Why a request is answered with an error without being looked at further.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{status} {why}")]
pub struct Refusal {
    /// The status of the answer.
    pub status: Status,
    /// Its reason phrase; names the header at fault.
    pub why: &'static str,
}

impl Request {
    /// Makes a request without headers.
    pub fn new(method: Method, uri: impl Into<Text>) -> Self {
        Self {
            method,
            uri: uri.into(),
            headers: Headers::new(),
            body: Bytes::new(),
        }
    }

    /// Writes the request into one buffer, with a true `Content-Length`.
    pub fn write(&self) -> Bytes {
        write::request(self)
    }

    /// Checks what every element must be able to rely on: mandatory headers, their grammar and ranges, the method
    /// of CSeq, the Request-URI (RFC 3261 §8.1.1, §20; RFC 4475 §3).
    pub fn validate(&self) -> Result<(), Refusal> {
        validate::request(self).map(|_| ())
    }

    /// Makes a response with the headers that it takes from the request (RFC 3261 §8.2.6.2). A To tag is not added.
    pub fn respond(&self, status: Status) -> Response {
        let mut response = Response::new(status);
        let keeps_route = self.method.makes_dialog() && matches!(status.0, 101..=299);
        for header in &self.headers {
            let keep = match header.name {
                Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq => true,
                // RFC 3261 §12.1.1: a response that makes a dialog carries the route.
                Name::RecordRoute => keeps_route,
                // RFC 3261 §8.2.6.1.
                Name::Timestamp => status == Status::TRYING,
                _ => false,
            };
            if keep {
                response
                    .headers
                    .push(header.name.clone(), header.value.clone());
            }
        }
        response
    }

    /// Reads the top Via.
    pub fn via(&self) -> Result<Via, HeaderError> {
        self.headers.via()
    }

    /// Reads From.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.headers.from()
    }

    /// Reads To.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.headers.to()
    }

    /// Gives the Call-ID.
    pub fn call_id(&self) -> Option<&Text> {
        self.headers.call_id()
    }

    /// Reads CSeq.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        self.headers.cseq()
    }

    /// Reads all Contacts; none is an empty list.
    pub fn contacts(&self) -> Result<Contacts, HeaderError> {
        self.headers.contacts()
    }

    /// Finds the session description in the body, also inside a multipart (RFC 5621 §3).
    pub fn sdp(&self) -> Option<Bytes> {
        body::sdp(&self.headers, &self.body)
    }

    /// Reads the Request-URI.
    pub fn uri_parsed(&self) -> Result<Uri, Malformed> {
        Uri::parse(&self.uri)
    }

    /// Gives Max-Forwards; absent or unreadable is `None` (serve as if 70, RFC 3261 §8.1.1.6).
    pub fn max_forwards(&self) -> Option<u8> {
        self.headers.max_forwards().ok().flatten()
    }

    /// Gives Expires in seconds; absent or unreadable is `None`.
    pub fn expires(&self) -> Option<u32> {
        self.headers.expires()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_takes_over_what_the_rfc_says() {
        let mut request = Request::new(Method::Invite, "sip:b@example.com");
        request.headers.push(Name::Via, "SIP/2.0/UDP a;branch=1");
        request.headers.push(Name::Via, "SIP/2.0/UDP b;branch=2");
        request
            .headers
            .push(Name::From, "<sip:a@example.com>;tag=1");
        request.headers.push(Name::To, "<sip:b@example.com>");
        request.headers.push(Name::CallId, "c");
        request.headers.push(Name::CSeq, "1 INVITE");
        request.headers.push(Name::RecordRoute, "<sip:p;lr>");
        request.headers.push(Name::Timestamp, "54");
        request.headers.push(Name::Contact, "<sip:a@1.2.3.4>");
        let names = |status| -> Vec<String> {
            let response = request.respond(status);
            let names = response
                .headers
                .iter()
                .map(|header| header.name.to_string());
            names.collect()
        };
        let always = ["Via", "Via", "From", "To", "Call-ID", "CSeq"];
        assert_eq!(names(Status::BUSY_HERE), always);
        assert_eq!(names(Status::OK), [&always[..], &["Record-Route"]].concat());
        assert_eq!(
            names(Status::TRYING),
            [&always[..], &["Timestamp"]].concat()
        );
    }
}
