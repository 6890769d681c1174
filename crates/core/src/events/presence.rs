//! `presence`: whether somebody can be reached, RFC 3856, as PIDF, RFC 3863, with what the person does, RFC 4480.
//!
//! Without a publication it is made of registrations and calls: open while a phone can be reached.

use std::fmt::Write as _;

use bytes::Bytes;
use jiff::Timestamp;

use crate::directory::Subscriber;
use crate::events::document::{Escaped, PROLOGUE, time};

/// Writes the document of an endpoint.
pub(super) fn document(
    subject: &Subscriber,
    is_reachable: bool,
    is_busy: bool,
    now: Timestamp,
) -> Bytes {
    let address = format!("{}@{}", subject.user, subject.domain);
    let address = Escaped(&address);
    let basic = if is_reachable { "open" } else { "closed" };
    let (endpoint, time) = (subject.endpoint, time(now));
    let mut text = String::from(PROLOGUE);
    // RFC 3863 §4.1.1: the entity is a `pres` URI.
    let _ = write!(
        text,
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"pres:{address}\">\r\n\
         <tuple id=\"e{endpoint}\"><status><basic>{basic}</basic></status>\
         <contact>sip:{address}</contact>"
    );
    if is_busy {
        text.push_str("<note>On the phone</note>");
    }
    let _ = write!(text, "<timestamp>{time}</timestamp></tuple>\r\n");
    if is_busy {
        let _ = write!(
            text,
            "<dm:person id=\"p{endpoint}\"><rpid:activities><rpid:on-the-phone/></rpid:activities></dm:person>\r\n"
        );
    }
    text.push_str("</presence>\r\n");
    Bytes::from(text)
}
