//! Dialogs: identity, sequence numbers, remote target and route set (RFC 3261 §12).

use crate::message::header::NameAddr;
use crate::{CSeq, Contacts, Method, Name, Request, Response, Text};

/// One side's view of a dialog.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: Text,
    /// Our From or To value with its tag.
    local: Text,
    /// The other side's value as it sent it.
    remote: Text,
    /// Empty: a peer of RFC 2543 without a tag (RFC 3261 §12.1.1).
    pub(crate) remote_tag: Text,
    /// Where requests go: the URI of the last Contact.
    pub(crate) target: Text,
    route: Vec<Text>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    /// The other side takes UPDATE (RFC 3311 §4).
    pub(crate) takes_update: bool,
}

impl Dialog {
    /// The dialog that an answer with `tag` to this INVITE makes: RFC 3261 §12.1.1.
    pub(crate) fn of_incoming(invite: &Request, tag: &str) -> Option<Self> {
        let from = invite.from().ok()?;
        let to = invite.headers.get(&Name::To)?;
        Some(Self {
            call_id: invite.call_id()?.clone(),
            local: format!("{to};tag={tag}").into(),
            remote: invite.headers.get(&Name::From)?.clone(),
            remote_tag: from.tag().unwrap_or_default(),
            target: contact(invite.contacts().ok()).unwrap_or(from.uri_text),
            route: invite.headers.values(&Name::RecordRoute).collect(),
            local_cseq: 0,
            remote_cseq: Some(invite.cseq().ok()?.number),
            takes_update: invite.headers.lists(&Name::Allow, "UPDATE"),
        })
    }

    /// The dialog that this answer to our INVITE makes: RFC 3261 §12.1.2.
    pub(crate) fn of_outgoing(invite: &Request, response: &Response) -> Option<Self> {
        let mut route: Vec<Text> = response.headers.values(&Name::RecordRoute).collect();
        route.reverse();
        Some(Self {
            call_id: invite.call_id()?.clone(),
            local: invite.headers.get(&Name::From)?.clone(),
            remote: response.headers.get(&Name::To)?.clone(),
            remote_tag: response.to().ok()?.tag().unwrap_or_default(),
            target: contact(response.contacts().ok()).unwrap_or_else(|| invite.uri.clone()),
            route,
            local_cseq: invite.cseq().ok()?.number,
            remote_cseq: None,
            takes_update: response.headers.lists(&Name::Allow, "UPDATE"),
        })
    }

    /// Copies what is kept out of the buffers of the messages that it came in.
    pub(crate) fn detach(&mut self) {
        let texts = [
            &mut self.call_id,
            &mut self.local,
            &mut self.remote,
            &mut self.remote_tag,
            &mut self.target,
        ];
        for text in texts.into_iter().chain(&mut self.route) {
            *text = Text::from(&**text);
        }
    }

    /// Makes the next request, without Via: RFC 3261 §12.2.1.1.
    pub(crate) fn request(&mut self, method: Method) -> Request {
        self.local_cseq = self.local_cseq.wrapping_add(1) & 0x7fff_ffff;
        self.with_number(method, self.local_cseq)
    }

    /// Makes the ACK for a 2xx to the INVITE of that number: RFC 3261 §13.2.2.4.
    pub(crate) fn ack(&self, number: u32) -> Request {
        self.with_number(Method::Ack, number)
    }

    fn with_number(&self, method: Method, number: u32) -> Request {
        let strict = self
            .route
            .first()
            .and_then(|first| NameAddr::parse(first).ok())
            .filter(|first| first.uri.param("lr").is_none());
        let uri = match &strict {
            // RFC 3261 §12.2.1.1: a strict router takes its own URI as the Request-URI.
            Some(first) => first.uri_text.clone(),
            None => self.target.clone(),
        };
        let cseq = format!("{number} {method}");
        let mut request = Request::new(method, uri);
        request
            .headers
            .push(Name::MaxForwards, Text::from_static("70"));
        for hop in self.route.iter().skip(usize::from(strict.is_some())) {
            request.headers.push(Name::Route, hop.clone());
        }
        if strict.is_some() {
            request
                .headers
                .push(Name::Route, format!("<{}>", self.target));
        }
        request.headers.push(Name::From, self.local.clone());
        request.headers.push(Name::To, self.remote.clone());
        request.headers.push(Name::CallId, self.call_id.clone());
        request.headers.push(Name::CSeq, cseq);
        request
    }

    /// Takes the sequence number of a request from the other side; `false`: out of order (RFC 3261 §12.2.2).
    pub(crate) fn takes(&mut self, cseq: &CSeq) -> bool {
        let in_order = self.remote_cseq.is_none_or(|last| last < cseq.number);
        if in_order {
            self.remote_cseq = Some(cseq.number);
        }
        in_order
    }

    /// Goes on with the sequence numbers of the early dialog that this one confirms.
    pub(crate) fn continue_from(&mut self, early: &Dialog) {
        self.local_cseq = self.local_cseq.max(early.local_cseq);
        self.remote_cseq = self.remote_cseq.max(early.remote_cseq);
        self.takes_update |= early.takes_update;
    }

    /// Takes a new remote target from a target refresh request or its answer: RFC 3261 §12.2.
    pub(crate) fn refresh(&mut self, contacts: Option<Contacts>) {
        if let Some(target) = contact(contacts) {
            self.target = target;
        }
    }

    /// Tells whether a message of the other side with this tag belongs here.
    pub(crate) fn is_with(&self, call_id: &Text, remote_tag: &str) -> bool {
        *call_id == self.call_id && self.remote_tag == *remote_tag
    }
}

fn contact(contacts: Option<Contacts>) -> Option<Text> {
    contacts?.first().map(|contact| contact.uri_text.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    fn invite() -> Request {
        let mut invite = Request::new(Method::Invite, "sip:bob@biloxi.com");
        invite
            .headers
            .push(Name::From, "Alice <sip:alice@atlanta.com>;tag=88sja8x");
        invite.headers.push(Name::To, "Bob <sip:bob@biloxi.com>");
        invite.headers.push(Name::CallId, "987asjd97y7atg");
        invite.headers.push(Name::CSeq, "986759 INVITE");
        invite.headers.push(Name::Contact, "<sip:alice@192.0.2.1>");
        invite
    }

    fn lines(request: &Request) -> Vec<String> {
        let start = format!("{} {}", request.method, request.uri);
        let headers = request.headers.iter().map(|header| header.to_string());
        std::iter::once(start).chain(headers).collect()
    }

    #[test]
    fn the_called_side_routes_in_the_order_of_record_route() {
        let mut invite = invite();
        invite
            .headers
            .push(Name::RecordRoute, "<sip:p2;lr>, <sip:p1;lr>");
        let mut dialog = Dialog::of_incoming(&invite, "314159").expect("dialog");
        assert_eq!(
            lines(&dialog.request(Method::Bye)),
            [
                "BYE sip:alice@192.0.2.1",
                "Max-Forwards: 70",
                "Route: <sip:p2;lr>",
                "Route: <sip:p1;lr>",
                "From: Bob <sip:bob@biloxi.com>;tag=314159",
                "To: Alice <sip:alice@atlanta.com>;tag=88sja8x",
                "Call-ID: 987asjd97y7atg",
                "CSeq: 1 BYE",
            ]
        );
    }

    #[test]
    fn the_calling_side_reverses_record_route_and_obeys_a_strict_router() {
        let invite = invite();
        let mut response = Response::new(Status::OK);
        response
            .headers
            .push(Name::To, "Bob <sip:bob@biloxi.com>;tag=314159");
        response.headers.push(Name::Contact, "<sip:bob@192.0.2.4>");
        response.headers.push(Name::RecordRoute, "<sip:p2;lr>");
        response.headers.push(Name::RecordRoute, "<sip:p1>");
        let dialog = Dialog::of_outgoing(&invite, &response).expect("dialog");
        assert_eq!(
            lines(&dialog.ack(986_759)),
            [
                "ACK sip:p1",
                "Max-Forwards: 70",
                "Route: <sip:p2;lr>",
                "Route: <sip:bob@192.0.2.4>",
                "From: Alice <sip:alice@atlanta.com>;tag=88sja8x",
                "To: Bob <sip:bob@biloxi.com>;tag=314159",
                "Call-ID: 987asjd97y7atg",
                "CSeq: 986759 ACK",
            ]
        );
    }

    #[test]
    fn sequence_numbers_only_rise() {
        let mut dialog = Dialog::of_incoming(&invite(), "314159").expect("dialog");
        let mut takes = |number| {
            dialog.takes(&CSeq {
                number,
                method: Method::Bye,
            })
        };
        assert!(!takes(986_758) && !takes(986_759) && takes(986_761) && !takes(986_760));
    }
}
