//! An INVITE of the other side until its final answer: RFC 3261 §13.3, §9.2.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::invite::answer::Answer;
use crate::invite::courtesy::{self, Refused};
use crate::invite::live::Live;
use crate::invite::prack::Reliable;
use crate::invite::{Alarm, Session, Stage, put_sdp, sdp, session_timer};
use crate::stack::wire::{ALLOW, Wire, tag_to};
use crate::stack::{Command, EndReason, InDialog, SessionEvent};
use crate::transaction::key::Token;
use crate::transaction::layer::TransactionId;
use crate::{Flow, Header, Method, Name, Request, Response, Status, Text};

/// How often a caller is told that it still rings.
const REMINDER: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Incoming {
    request: Request,
    pub(super) transaction: TransactionId,
    pub(super) dialog: Dialog,
    reliable: Reliable,
    /// Offer and answer are through, in provisional answers and their PRACKs.
    settled: bool,
    /// The answer that waits for a PRACK.
    held: Option<Held>,
}

/// What `Command::Answer` says.
#[derive(Debug)]
struct Held {
    sdp: Option<Bytes>,
    headers: Vec<Header>,
}

impl Incoming {
    pub(super) fn new(request: Request, transaction: TransactionId, token: Token) -> Option<Self> {
        let dialog = Dialog::of_incoming(&request, &token.to_string())?;
        Some(Self {
            request,
            transaction,
            dialog,
            reliable: Reliable::default(),
            settled: false,
            held: None,
        })
    }

    pub(super) fn command(
        mut self: Box<Self>,
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
            } if matches!(status.0, 101..=199) && self.held.is_none() => {
                let response = self.response(session, wire, status, sdp, headers);
                self.ring(session, now, wire, response);
                Stage::Incoming(self)
            }
            Command::Answer { sdp, headers, .. } if self.held.is_none() => {
                self.answer(session, now, wire, Held { sdp, headers })
            }
            Command::Update { sdp, .. } => {
                let may_offer = self.settled && self.dialog.takes_update;
                session.offer_early(now, wire, Some(&mut self.dialog).filter(|_| may_offer), sdp);
                Stage::Incoming(self)
            }
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
                match self.held {
                    // Who has answered already hears of the end, as after a 2xx.
                    Some(_) => session.ended(wire, EndReason::HungUp),
                    None => Stage::Gone,
                }
            }
            _ => Stage::Incoming(self),
        }
    }

    /// Rings: reliably where the caller requires it (RFC 3262 §3), where it only supports it the cheaper way.
    fn ring(&mut self, session: &mut Session, now: Instant, wire: &mut Wire, response: Response) {
        if !self.request.headers.lists(&Name::Require, "100rel") {
            wire.respond(now, self.transaction, response);
            session.arm(now, wire, Alarm::Retry, REMINDER);
            return;
        }
        // RFC 3262 §5: without an offer of the caller, the first reliable answer must make ours; one that does not stays
        // unsaid, because it may not be said unreliably either.
        if response.body.is_empty() && !self.settled && !courtesy::has_sdp(&self.request) {
            return;
        }
        self.reliable
            .send(session, now, wire, self.transaction, response);
    }

    /// Rings again: proxies give up an INVITE that stays silent for three minutes (RFC 3261 §13.3.1.1).
    pub(super) fn remind(
        self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
    ) -> Stage {
        if let Some((flow, bytes)) = wire
            .transactions
            .get(self.transaction)
            .map(|found| (found.flow, found.message.clone()))
        {
            wire.send(flow, bytes);
            session.arm(now, wire, Alarm::Retry, REMINDER);
        }
        Stage::Incoming(self)
    }

    pub(super) fn repeat(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
    ) -> Stage {
        self.reliable.repeat(session, now, wire);
        Stage::Incoming(self)
    }

    /// No PRACK came: RFC 3262 §3.
    pub(super) fn give_up(
        self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
    ) -> Stage {
        let status = Status::SERVER_TIMEOUT;
        let response = self.response(session, wire, status, None, Vec::new());
        wire.respond(now, self.transaction, response);
        session.ended(wire, EndReason::NoAck)
    }

    /// Answers, as soon as no session description waits for its PRACK (RFC 3262 §3).
    fn answer(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        held: Held,
    ) -> Stage {
        if self.reliable.holds_back_answer() {
            self.held = Some(held);
            return Stage::Incoming(self);
        }
        self.accept(session, now, wire, held)
    }

    fn accept(
        self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        Held { sdp, headers }: Held,
    ) -> Stage {
        session.described = sdp.clone().or(session.described.take());
        // RFC 3261 §13.2.1: where offer and answer are through, another description would be a new offer.
        let sdp = sdp.filter(|_| !self.settled);
        let offered = !courtesy::has_sdp(&self.request) && sdp.is_some();
        let mut response = self.response(session, wire, Status::OK, sdp, headers);
        let usual = wire.config.session_interval;
        let timed = session_timer::grant(&self.request, &mut response, usual);
        session.time(now, wire, timed);
        let flow = wire
            .transactions
            .get(self.transaction)
            .map(|found| found.flow);
        let bytes = wire.respond(now, self.transaction, response);
        session.disarm(wire, Alarm::Retry);
        let number = self.number();
        let mut live = Live::new(self.dialog, false);
        live.unpracked = self.reliable.unacknowledged().map(|rseq| (rseq, number));
        let flow = flow.unwrap_or(session.flow);
        live.answer = Some(Answer::begin(
            session, now, wire, flow, bytes, number, offered, true,
        ));
        Stage::Live(Box::new(live))
    }

    /// Sequence number of the INVITE.
    fn number(&self) -> u32 {
        self.request.cseq().map_or(0, |cseq| cseq.number)
    }

    /// RFC 3262 §3, §5.
    fn prack(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        request: Request,
        flow: Flow,
    ) -> Stage {
        let number = self.number();
        let Some(described) = self.reliable.acknowledged(session, wire, &request, number) else {
            courtesy::refuse(now, wire, &request, flow, Refused::Gone);
            return Stage::Incoming(self);
        };
        let brought = sdp(&request.headers, &request.body);
        let answers_ours = described && !self.settled && !courtesy::has_sdp(&self.request);
        self.settled |= described;
        match brought {
            Some(sdp) if !answers_ours => {
                session.ask(now, wire, InDialog::Offer { sdp }, request, flow);
            }
            brought => {
                wire.serve(now, &request, flow, request.respond(Status::OK));
                if let Some(sdp) = brought {
                    session.tell(wire, SessionEvent::Acknowledged { sdp });
                }
            }
        }
        if let Some(next) = self.reliable.next() {
            self.reliable
                .send(session, now, wire, self.transaction, next);
        }
        match self.held.take() {
            Some(held) => self.answer(session, now, wire, held),
            None => Stage::Incoming(self),
        }
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
                if self.settled {
                    session.asked_early(&mut self.dialog, now, wire, request, flow);
                } else {
                    courtesy::refuse(now, wire, &request, flow, Refused::Later);
                }
                Stage::Incoming(self)
            }
            Method::Prack => self.prack(session, now, wire, request, flow),
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
