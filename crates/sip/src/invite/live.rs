//! An established session: RFC 3261 §12.2, §14.2, §15.

use std::time::Instant;

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::invite::answer::Answer;
use crate::invite::courtesy::{self, Refused};
use crate::invite::prack;
use crate::invite::reinvite::{Ours, Owed};
use crate::invite::{Alarm, Session, Stage, put_sdp, sdp, session_timer};
use crate::stack::wire::{ALLOW, Wire};
use crate::stack::{Command, EndReason, SessionEvent};
use crate::transaction::layer::TransactionId;
use crate::{Flow, Header, Method, Name, Request, Response, Status, Text};

#[derive(Debug)]
pub(super) struct Live {
    pub(super) dialog: Dialog,
    /// We made the Call-ID, which decides who waits longer after glare (RFC 3261 §14.1).
    pub(super) caller: bool,
    /// Our 2xx that has no ACK yet.
    pub(super) answer: Option<Answer>,
    /// Our re-INVITE or UPDATE.
    pub(super) ours: Option<Ours>,
    /// What is to be offered after a refresh of ours that is under way.
    pub(super) next: Option<Ours>,
    /// A 2xx that waits for our answer.
    pub(super) owed: Option<Owed>,
    /// Number of our provisional answer that has no PRACK, and of its INVITE (RFC 3262 §3).
    pub(super) unpracked: Option<(u32, u32)>,
    /// Their re-INVITE, or UPDATE with an offer, that waits for Answer or Refuse.
    theirs: Option<Theirs>,
    /// Hangup is wanted and waits for the ACK (RFC 3261 §15).
    hangup: Option<Vec<Header>>,
}

#[derive(Debug)]
struct Theirs {
    request: Request,
    transaction: TransactionId,
}

impl Live {
    pub(super) fn new(dialog: Dialog, caller: bool) -> Self {
        Self {
            dialog,
            caller,
            answer: None,
            ours: None,
            next: None,
            owed: None,
            unpracked: None,
            theirs: None,
            hangup: None,
        }
    }

    pub(super) fn awaits(&self, transaction: TransactionId) -> bool {
        self.sent() == Some(transaction)
    }

    /// Tells whether an offer of ours may go out (RFC 3261 §14.1).
    pub(super) fn may_offer(&self, session: &Session) -> bool {
        let is_free = self.answer.is_none() && self.theirs.is_none() && self.owed.is_none();
        is_free && session.early_offer().is_none()
    }

    pub(super) fn command(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        command: Command,
    ) -> Stage {
        if self.hangup.is_some() {
            return Stage::Live(self);
        }
        match command {
            Command::Answer { sdp, headers, .. } => self.reanswer(session, now, wire, sdp, headers),
            Command::Refuse {
                status,
                reason,
                headers,
                ..
            } if status.0 >= 300 => {
                if let Some(theirs) = self.theirs.take() {
                    let mut response = theirs.request.respond(status);
                    response.reason = reason.unwrap_or(response.reason);
                    response.headers.extend(headers);
                    wire.respond(now, theirs.transaction, response);
                }
            }
            Command::Acknowledge { sdp, .. } => {
                session.described = sdp.clone().or(session.described.take());
                self.acknowledge(session, wire, sdp);
            }
            Command::Reinvite { sdp, .. } => self.reoffer(session, now, wire, Method::Invite, sdp),
            Command::Update { sdp, .. } => {
                let method = match self.dialog.takes_update {
                    true => Method::Update,
                    false => Method::Invite,
                };
                self.reoffer(session, now, wire, method, Some(sdp));
            }
            Command::Hangup { headers, .. } => return self.hang_up(session, now, wire, headers),
            _ => {}
        }
        Stage::Live(self)
    }

    fn reanswer(
        &mut self,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        sdp: Option<Bytes>,
        headers: Vec<Header>,
    ) {
        let Some(theirs) = self.theirs.take() else {
            return;
        };
        session.described = sdp.clone().or(session.described.take());
        let offered = !courtesy::has_sdp(&theirs.request) && sdp.is_some();
        let mut response = theirs.request.respond(Status::OK);
        response.headers.push(Name::Contact, session.contact(wire));
        response.headers.push(Name::Allow, Text::from_static(ALLOW));
        response.headers.extend(headers);
        put_sdp(&mut response.headers, &mut response.body, sdp);
        // RFC 4028 §7.4: each refresh says anew how long the session lasts.
        let usual = wire.config.session_interval;
        let timed = session_timer::grant(&theirs.request, &mut response, usual);
        session.time(now, wire, timed);
        let found = wire.transactions.get(theirs.transaction);
        let flow = found.map_or(session.flow, |found| found.flow);
        let bytes = wire.respond(now, theirs.transaction, response);
        if theirs.request.method == Method::Invite {
            let number = theirs.request.cseq().map_or(0, |cseq| cseq.number);
            let first = false;
            self.answer = Some(Answer::begin(
                session, now, wire, flow, bytes, number, offered, first,
            ));
        }
    }

    fn hang_up(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        headers: Vec<Header>,
    ) -> Stage {
        self.acknowledge(session, wire, None);
        self.abandon(now, wire);
        self.refuse_theirs(now, wire);
        session.disarm(wire, Alarm::Retry);
        // RFC 3261 §15: the called side sends no BYE before it has the ACK.
        if self.answer.as_ref().is_some_and(|answer| answer.first) {
            self.hangup = Some(headers);
            return Stage::Live(self);
        }
        session.leave(now, wire, self.dialog, headers)
    }

    pub(super) fn ack(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        request: &Request,
    ) -> Stage {
        let number = request.cseq().ok().map(|cseq| cseq.number);
        if self.answer.as_ref().map(|answer| answer.number) != number {
            return Stage::Live(self);
        }
        let sdp = sdp(&request.headers, &request.body);
        self.confirm(session, wire, sdp);
        self.after_confirmation(session, now, wire)
    }

    fn confirm(&mut self, session: &mut Session, wire: &mut Wire, sdp: Option<Bytes>) {
        Answer::end(session, wire);
        self.answer = None;
        if self.hangup.is_none() {
            session.tell(wire, SessionEvent::Confirmed { sdp });
        }
    }

    fn after_confirmation(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
    ) -> Stage {
        match self.hangup.take() {
            Some(headers) => session.leave(now, wire, self.dialog, headers),
            None => Stage::Live(self),
        }
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
            return Stage::Live(self);
        }
        match request.method {
            Method::Bye => self.bye(session, now, wire, &request, flow),
            Method::Invite => self.invited(session, now, wire, request, flow),
            Method::Prack
                if self.unpracked.is_some() && prack::names(&request) == self.unpracked =>
            {
                self.unpracked = None;
                wire.serve(now, &request, flow, request.respond(Status::OK));
                Stage::Live(self)
            }
            Method::Update if courtesy::has_sdp(&request) => {
                self.offered(session, now, wire, request, flow);
                Stage::Live(self)
            }
            _ => {
                courtesy::serve(session, &mut self.dialog, now, wire, request, flow);
                Stage::Live(self)
            }
        }
    }

    /// RFC 3261 §15.1.2.
    fn bye(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        request: &Request,
        flow: Flow,
    ) -> Stage {
        wire.serve(now, request, flow, request.respond(Status::OK));
        self.acknowledge(session, wire, None);
        self.refuse_theirs(now, wire);
        self.abandon(now, wire);
        let why = match self.hangup {
            Some(_) => EndReason::HungUp,
            None => EndReason::Bye {
                reason: request.headers.get(&Name::Reason).cloned(),
            },
        };
        session.left(now, wire, self.dialog, why)
    }

    /// A re-INVITE.
    fn invited(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        request: Request,
        flow: Flow,
    ) -> Stage {
        if self.hangup.is_some() {
            courtesy::refuse(now, wire, &request, flow, Refused::Gone);
            return Stage::Live(self);
        }
        // Whoever sends a re-INVITE has our 2xx: its ACK is lost or late. Where the ACK carries the answer to our
        // offer, it must come first (RFC 5407 §3.1.4).
        if self.answer.as_ref().is_some_and(|answer| !answer.offered) {
            self.confirm(session, wire, None);
        }
        self.offered(session, now, wire, request, flow);
        Stage::Live(self)
    }

    /// An offer, or the wish for ours: RFC 3261 §14.2, RFC 3311 §5.2.
    fn offered(
        &mut self,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        request: Request,
        flow: Flow,
    ) {
        let our_offer_is_out = self.answer.as_ref().is_some_and(|answer| answer.offered);
        let refused = if self.hangup.is_some() {
            Some(Refused::Gone)
        } else if self.theirs.is_some() {
            Some(Refused::Later)
        } else if self.offers() || our_offer_is_out || self.owed.is_some() {
            Some(Refused::Pending)
        } else {
            session.early_offer()
        };
        if let Some(refused) = refused {
            courtesy::refuse(now, wire, &request, flow, refused);
            return;
        }
        let Some(transaction) = wire.open(&request, flow, Some(session.id), None) else {
            wire.reject(flow, &request, Status::SERVICE_UNAVAILABLE, "");
            return;
        };
        if request.method == Method::Invite {
            wire.respond(now, transaction, request.respond(Status::TRYING));
        }
        self.dialog.refresh(request.contacts().ok());
        session.follow_datagram(wire, &self.dialog.target, flow);
        let sdp = sdp(&request.headers, &request.body);
        session.tell(wire, SessionEvent::Offered { sdp });
        self.theirs = Some(Theirs {
            request,
            transaction,
        });
    }

    pub(super) fn unanswered(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        transaction: TransactionId,
        status: Status,
    ) -> Stage {
        let theirs = self.theirs.as_ref().map(|theirs| theirs.transaction);
        if theirs == Some(transaction) {
            self.theirs = None;
            return Stage::Live(self);
        }
        if !self.awaits(transaction) {
            return Stage::Live(self);
        }
        self.reoffer_failed(session, now, wire, status)
    }

    pub(super) fn answered(
        self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        transaction: TransactionId,
        response: Response,
    ) -> Stage {
        if !self.awaits(transaction) {
            return Stage::Live(self);
        }
        self.reoffer_answered(session, now, wire, transaction, response)
    }

    pub(super) fn repeat(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
    ) -> Stage {
        if let Some(answer) = &mut self.answer {
            answer.repeat(session, now, wire);
        }
        Stage::Live(self)
    }

    /// No ACK came: RFC 3261 §13.3.1.4.
    pub(super) fn give_up(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
    ) -> Stage {
        match self.hangup.take() {
            Some(headers) => session.leave(now, wire, self.dialog, headers),
            None => self.end_with_bye(session, now, wire, EndReason::NoAck),
        }
    }

    /// Ends the session at once and tells the other side by a BYE that nobody waits for.
    pub(super) fn end_with_bye(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        why: EndReason,
    ) -> Stage {
        self.acknowledge(session, wire, None);
        self.abandon(now, wire);
        self.refuse_theirs(now, wire);
        wire.bye(now, session.flow, &mut self.dialog, Vec::new(), None);
        let why = match self.hangup {
            Some(_) => EndReason::HungUp,
            None => why,
        };
        session.ended(wire, why)
    }

    /// RFC 3261 §15.1.2: what is pending is answered 487.
    fn refuse_theirs(&mut self, now: Instant, wire: &mut Wire) {
        if let Some(theirs) = self.theirs.take() {
            let response = theirs.request.respond(Status::REQUEST_TERMINATED);
            wire.respond(now, theirs.transaction, response);
        }
    }
}
