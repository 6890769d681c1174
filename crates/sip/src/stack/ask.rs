//! Requests of ours outside of a dialog: RFC 3261 §8.1, §17.1.2, with the answer to a challenge (§22.2, §22.3).
//!
//! Nothing but the transaction is kept of a request without a [`Login`]; one with it is kept whole until it is answered,
//! to be sent again.

use std::time::Instant;

use bytes::Bytes;

use crate::stack::prove::{Login, MOST_PROOFS};
use crate::stack::{Destination, Event, Output, Stack};
use crate::transaction::layer::User;
use crate::{Flow, Header, Method, Name, Request, Response, Text};

/// Names a request: outside of a dialog, ours or one that is held; or inside a session. The layer above chooses it, but
/// for [`SessionEvent::Requested`](crate::SessionEvent::Requested); outside of a dialog its top bits may say whose it is.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// A request that the layer above wants sent: any method but INVITE, ACK and CANCEL.
#[derive(Clone, Debug)]
pub struct Question {
    /// The method.
    pub method: Method,
    /// Where to.
    pub to: Destination,
    /// From value without tag.
    pub from: Text,
    /// To value.
    pub to_value: Text,
    /// Call-ID and CSeq number, which a REGISTER keeps and counts on (RFC 3261 §10.2). `None`: new ones.
    pub series: Option<(Text, u32)>,
    /// User part of a Contact that leads to us on this flow. `None`: no Contact.
    pub contact_user: Option<Text>,
    /// More headers.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Bytes,
    /// Who answers a challenge. `None`: nobody does.
    pub login: Option<Login>,
}

/// What became of a [`Question`].
#[derive(Debug)]
pub enum Outcome {
    /// A final answer came; 401 and 407 too, when nobody could answer the challenge or the password was wrong.
    Answered(Response),
    /// Nobody answered within 64*T1 (RFC 3261 §17.1.2.2, Timer F).
    Timeout,
    /// The connection is gone.
    FlowLost,
    /// A limit of the stack; nothing was sent.
    NoRoom,
}

/// What is kept of a request that may have to answer a challenge.
#[derive(Debug)]
pub(super) struct Asked {
    request: Request,
    flow: Flow,
    login: Login,
    proofs: u8,
}

impl Stack {
    pub(super) fn ask(&mut self, now: Instant, id: RequestId, question: Question) {
        if self.wire.is_full() {
            self.tell_outcome(id, Outcome::NoRoom);
            return;
        }
        let flow = question.to.flow;
        let login = question.login.clone();
        let request = self.request_of(question);
        if let Some(login) = login {
            let asked = Asked {
                request: request.clone(),
                flow,
                login,
                proofs: 0,
            };
            self.asked.insert(id, asked);
        }
        self.wire
            .call(now, flow, request, Some(User::Asked(id)), false);
    }

    /// RFC 3261 §8.1.1.
    fn request_of(&mut self, question: Question) -> Request {
        let tag = self.wire.draw();
        let mut request = Request::new(question.method, question.to.uri);
        let headers = &mut request.headers;
        headers.push(Name::MaxForwards, Text::from_static("70"));
        for hop in question.to.route {
            headers.push(Name::Route, hop);
        }
        headers.push(Name::From, format!("{};tag={tag}", question.from));
        headers.push(Name::To, question.to_value);
        let (call_id, number) = question.series.unwrap_or_else(|| {
            let call_id = format!("{}{}", self.wire.draw(), self.wire.draw());
            (call_id.into(), 1)
        });
        headers.push(Name::CallId, call_id);
        headers.push(Name::CSeq, format!("{number} {}", request.method));
        if let Some(user) = question.contact_user {
            headers.push(Name::Contact, self.wire.contact(&question.to.flow, &user));
        }
        headers.extend(question.headers);
        request.body = question.body;
        request
    }

    /// An answer to a request of ours. Provisional ones say nothing that anybody waits for.
    pub(super) fn ask_answered(&mut self, now: Instant, id: RequestId, response: Response) {
        if response.status.is_provisional() {
            return;
        }
        if let Some(mut asked) = self.asked.remove(&id)
            && asked.proofs < MOST_PROOFS
            && !self.wire.is_full()
            && self.wire.prove(&asked.login, &mut asked.request, &response)
        {
            asked.proofs += 1;
            let (flow, request) = (asked.flow, asked.request.clone());
            self.asked.insert(id, asked);
            self.wire
                .call(now, flow, request, Some(User::Asked(id)), false);
            return;
        }
        self.tell_outcome(id, Outcome::Answered(response));
    }

    pub(super) fn ask_unanswered(&mut self, id: RequestId, outcome: Outcome) {
        self.asked.remove(&id);
        self.tell_outcome(id, outcome);
    }

    fn tell_outcome(&mut self, id: RequestId, outcome: Outcome) {
        let event = Event::Answer { id, outcome };
        self.wire.outputs.push_back(Output::Event(event));
    }
}
