//! Responses: RFC 3261 §7.2, §18.2.1; RFC 3581 §4.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::Text;
use crate::message::header::{CSeq, Contacts, HeaderError, NameAddr, Via};
use crate::message::headers::Headers;
use crate::message::request::Refusal;
use crate::message::status::Status;
use crate::message::{validate, write};

/// A response (RFC 3261 §7.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The status code.
    pub status: Status,
    /// The reason phrase.
    pub reason: Text,
    /// The headers in the order of the wire.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// Makes a response without headers, with the usual phrase. See `Request::respond`.
    pub fn new(status: Status) -> Self {
        Self {
            status,
            reason: Text::from_static(status.reason()),
            headers: Headers::new(),
            body: Bytes::new(),
        }
    }

    /// Writes the response into one buffer, with a true `Content-Length`.
    pub fn write(&self) -> Bytes {
        write::response(self)
    }

    /// Checks that the response can be matched to a request; one that fails is dropped (RFC 3261 §8.1.3, §17.1.3).
    pub fn validate(&self) -> Result<(), Refusal> {
        validate::response(self).map(|_| ())
    }

    /// Writes into the top Via where the request came from: `received` (RFC 3261 §18.2.1), and `rport` where it
    /// was asked for (RFC 3581 §4).
    pub fn set_received(&mut self, source: SocketAddr) {
        if let Ok(mut via) = self.headers.via()
            && via.set_received(source)
        {
            self.headers.set_top_via(&via);
        }
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

    /// Gives the Contacts of a 3xx, those of the highest `q` first (RFC 3261 §8.1.3.4); none where they cannot be read.
    pub fn redirects(&self) -> Vec<NameAddr> {
        let mut contacts = match self.contacts() {
            Ok(Contacts::List(contacts)) => contacts,
            _ => Vec::new(),
        };
        contacts.sort_by_key(|contact| std::cmp::Reverse(contact.q()));
        contacts
    }

    /// Reads all Contacts; none is an empty list.
    pub fn contacts(&self) -> Result<Contacts, HeaderError> {
        self.headers.contacts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::header::Name;

    #[test]
    fn where_a_redirect_leads_is_in_the_order_of_q() {
        let mut response = Response::new(Status::MOVED_TEMPORARILY);
        response
            .headers
            .push(Name::Contact, "<sip:a@x>;q=0.2, <sip:b@x>");
        response
            .headers
            .push(Name::Contact, "<sip:c@x>;q=0.7, <sip:d@x>;q=0.2");
        let redirects = response.redirects();
        let uris: Vec<&str> = redirects.iter().map(|to| &*to.uri_text).collect();
        assert_eq!(uris, ["sip:b@x", "sip:c@x", "sip:a@x", "sip:d@x"]);
        response.headers.set(Name::Contact, "*");
        assert!(response.redirects().is_empty());
    }
}
