//! An INVITE of the other side until its final answer: RFC 3261 §13.3, §9.2.

use std::time::Instant;

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::invite::answer::Answer;
use crate::invite::courtesy::{self, Refused};
use crate::invite::live::Live;
use crate::invite::{Alarm, Session, Stage, put_sdp, session_timer};
use crate::stack::wire::{ALLOW, Wire, tag_to};
use crate::stack::{Command, SessionEvent};
use crate::transaction::key::Token;
use crate::transaction::layer::TransactionId;
use crate::{Flow, Header, Method, Name, Request, Response, Status, Text};

#[derive(Debug)]
pub(super) struct Incoming {
    request: Request,
    pub(super) transaction: TransactionId,
    pub(super) dialog: Dialog,
}

impl Incoming {
    pub(super) fn new(request: Request, transaction: TransactionId, token: Token) -> Option<Self> {
        let dialog = Dialog::of_incoming(&request, &token.to_string())?;
        Some(Self {
            request,
            transaction,
            dialog,
        })
    }

    pub(super) fn command(
        self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        command: Command,
    ) -> Stage {
        match command {
            Command::Ring {
                status,
                sdp,
                headers,
                ..
            } if matches!(status.0, 101..=199) => {
                let response = self.response(session, wire, status, sdp, headers);
                wire.respond(now, self.transaction, response);
                Stage::Incoming(self)
            }
            Command::Answer { sdp, headers, .. } => self.accept(session, now, wire, sdp, headers),
            Command::Refuse {
                status,
                reason,
                headers,
                ..
            } if status.0 >= 300 => {
                let mut response = self.response(session, wire, status, None, headers);
                response.reason = reason.unwrap_or(response.reason);
                wire.respond(now, self.transaction, response);
                Stage::Gone
            }
            Command::Hangup { headers, .. } => {
                let status = Status::TEMPORARILY_UNAVAILABLE;
                let response = self.response(session, wire, status, None, headers);
                wire.respond(now, self.transaction, response);
                Stage::Gone
            }
            _ => Stage::Incoming(self),
        }
    }

    fn accept(
        self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        sdp: Option<Bytes>,
        headers: Vec<Header>,
    ) -> Stage {
        let offered = !courtesy::has_sdp(&self.request) && sdp.is_some();
        let mut response = self.response(session, wire, Status::OK, sdp, headers);
        if let Some(seconds) = session_timer::grant(&self.request, &mut response) {
            session.arm(now, wire, Alarm::Expire, session_timer::patience(seconds));
        }
        let flow = wire
            .transactions
            .get(self.transaction)
            .map(|found| found.flow);
        let bytes = wire.respond(now, self.transaction, response);
        let number = self.request.cseq().map_or(0, |cseq| cseq.number);
        let mut live = Live::new(self.dialog, false);
        let flow = flow.unwrap_or(session.flow);
        live.answer = Some(Answer::begin(
            session, now, wire, flow, bytes, number, offered, true,
        ));
        Stage::Live(Box::new(live))
    }

    /// RFC 3261 §9.2.
    pub(super) fn cancel(
        self: Box<Self>,
        session: &Session,
        now: Instant,
        wire: &mut Wire,
        reason: Option<Text>,
    ) -> Stage {
        let status = Status::REQUEST_TERMINATED;
        let response = self.response(session, wire, status, None, Vec::new());
        wire.respond(now, self.transaction, response);
        session.tell(wire, SessionEvent::Cancelled { reason });
        Stage::Gone
    }

    pub(super) fn request(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        request: Request,
        flow: Flow,
    ) -> Stage {
        if !courtesy::in_order(&mut self.dialog, now, wire, &request, flow) {
            return Stage::Incoming(self);
        }
        match request.method {
            // RFC 3261 §15: the caller may end an early dialog by BYE.
            Method::Bye => {
                wire.serve(now, &request, flow, request.respond(Status::OK));
                let reason = request.headers.get(&Name::Reason).cloned();
                self.cancel(session, now, wire, reason)
            }
            // RFC 3261 §14.2, RFC 3311 §5.2: the first offer has no answer yet.
            Method::Invite => {
                courtesy::refuse(now, wire, &request, flow, Refused::Later);
                Stage::Incoming(self)
            }
            Method::Update if courtesy::has_sdp(&request) => {
                courtesy::refuse(now, wire, &request, flow, Refused::Later);
                Stage::Incoming(self)
            }
            _ => {
                courtesy::serve(session, &mut self.dialog, now, wire, request, flow);
                Stage::Incoming(self)
            }
        }
    }

    fn response(
        &self,
        session: &Session,
        wire: &Wire,
        status: Status,
        sdp: Option<Bytes>,
        headers: Vec<Header>,
    ) -> Response {
        let mut response = self.request.respond(status);
        tag_to(&mut response, &session.token.to_string());
        if status.0 < 300 {
            // RFC 3261 §12.1.1: what makes a dialog carries a Contact.
            response.headers.push(Name::Contact, session.contact(wire));
            response.headers.push(Name::Allow, Text::from_static(ALLOW));
        }
        response.headers.extend(headers);
        put_sdp(&mut response.headers, &mut response.body, sdp);
        response
    }
}
