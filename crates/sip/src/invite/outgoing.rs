//! An INVITE of ours until its final answer: RFC 3261 §13.2, §9.1.

use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::dialog::Dialog;
use crate::invite::courtesy::{self, Refused};
use crate::invite::live::Live;
use crate::invite::{Alarm, Session, Stage, put_sdp, sdp, session_timer};
use crate::stack::wire::{ALLOW, Wire};
use crate::stack::{Command, Destination, SessionEvent, SessionId};
use crate::transaction::key::Token;
use crate::transaction::layer::{Machine, TransactionId};
use crate::{Flow, Header, Method, Name, Request, Response, Status, Text};

/// Early dialogs of one INVITE; more are not remembered.
const MAX_FORKS: usize = 16;

/// What `Command::Invite` says.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) to: Destination,
    pub(crate) from: Text,
    pub(crate) to_value: Text,
    pub(crate) sdp: Option<Bytes>,
    pub(crate) headers: Vec<Header>,
    pub(crate) contact_user: Text,
}

#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) transaction: TransactionId,
    /// Early dialogs, one per To tag (RFC 3261 §13.2.2.1).
    pub(super) forks: SmallVec<[Dialog; 1]>,
    end: End,
}

/// Whether the caller still wants the call.
#[derive(Debug)]
enum End {
    /// Yes; `true`: a provisional answer came, CANCEL may be sent (RFC 3261 §9.1).
    No(bool),
    /// No; CANCEL waits for the first provisional answer.
    Wanted(Vec<Header>),
    /// CANCEL is sent; a 2xx that crosses it gets ACK and a BYE with these headers.
    Sent(Vec<Header>),
}

impl Outgoing {
    /// Sends the INVITE.
    pub(super) fn begin(
        now: Instant,
        wire: &mut Wire,
        id: SessionId,
        token: Token,
        call: Call,
    ) -> Self {
        let flow = call.to.flow;
        let mut request = Request::new(Method::Invite, call.to.uri);
        let headers = &mut request.headers;
        for hop in call.to.route {
            headers.push(Name::Route, hop);
        }
        headers.push(Name::From, format!("{};tag={token}", call.from));
        headers.push(Name::To, call.to_value);
        let call_id = format!("{}{}", wire.draw(), wire.draw());
        headers.push(Name::CallId, call_id);
        headers.push(Name::CSeq, Text::from_static("1 INVITE"));
        headers.push(Name::Contact, wire.contact(&flow, &call.contact_user));
        headers.push(Name::Allow, Text::from_static(ALLOW));
        headers.extend(call.headers);
        if headers.get(&Name::MaxForwards).is_none() {
            headers.push_front(Name::MaxForwards, Text::from_static("70"));
        }
        put_sdp(&mut request.headers, &mut request.body, call.sdp);
        Self {
            transaction: wire.call(now, flow, request, Some(id), false),
            forks: SmallVec::new(),
            end: End::No(false),
        }
    }

    pub(super) fn command(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        command: Command,
    ) -> Stage {
        if let Command::Hangup { headers, .. } = command {
            match self.end {
                End::No(true) => self.cancel(session, now, wire, headers),
                End::No(false) => self.end = End::Wanted(headers),
                End::Wanted(_) | End::Sent(_) => {}
            }
        }
        Stage::Outgoing(self)
    }

    fn cancel(
        &mut self,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        headers: Vec<Header>,
    ) {
        wire.cancel(now, self.transaction, headers.clone());
        let patience = wire.patience();
        session.arm(now, wire, Alarm::CancelOver, patience);
        self.end = End::Sent(headers);
    }

    pub(super) fn answered(
        self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        response: Response,
    ) -> Stage {
        match response.status.0 {
            ..=199 => self.rings(session, now, wire, response),
            200..=299 => self.accepted(session, now, wire, response),
            _ => {
                let status = response.status;
                self.failed(session, wire, status, Some(response))
            }
        }
    }

    fn rings(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        response: Response,
    ) -> Stage {
        match self.end {
            End::Wanted(ref mut headers) => {
                let headers = std::mem::take(headers);
                self.cancel(session, now, wire, headers);
            }
            End::No(false) => self.end = End::No(true),
            End::No(true) | End::Sent(_) => {}
        }
        if response.status == Status::TRYING {
            return Stage::Outgoing(self);
        }
        if let Some(dialog) = self.dialog(wire, &response)
            && !dialog.remote_tag.is_empty()
        {
            let known = |fork: &&mut Dialog| fork.remote_tag == dialog.remote_tag;
            let is_full = self.forks.len() >= MAX_FORKS;
            match self.forks.iter_mut().find(known) {
                Some(fork) => fork.refresh(response.contacts().ok()),
                None if !is_full => self.forks.push(dialog),
                None => {}
            }
        }
        if matches!(self.end, End::No(_)) {
            let event = SessionEvent::Ringing {
                status: response.status,
                sdp: sdp(&response.headers, &response.body),
                response,
            };
            session.tell(wire, event);
        }
        Stage::Outgoing(self)
    }

    /// The first 2xx. Those of other forks find the session established, see `Stack`.
    fn accepted(
        self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        response: Response,
    ) -> Stage {
        let Some(mut dialog) = self.dialog(wire, &response) else {
            return Stage::Outgoing(self);
        };
        let number = response.cseq().map_or(1, |cseq| cseq.number);
        // RFC 3261 §13.2.2.4: the 2xx, not the provisional answers, gives the route set; sequence numbers go on.
        if let Some(fork) = self
            .forks
            .iter()
            .find(|fork| fork.remote_tag == dialog.remote_tag)
        {
            dialog.continue_from(fork);
        }
        let sdp = sdp(&response.headers, &response.body);
        let offered = sdp.is_some() && !self.offered(wire);
        if !offered || !matches!(self.end, End::No(_)) {
            wire.acknowledge(session.flow, self.transaction, &dialog, number, None);
        }
        match self.end {
            End::Wanted(headers) | End::Sent(headers) => {
                // RFC 3261 §9.1, §15: CANCEL came too late.
                wire.bye(now, session.flow, &mut dialog, headers, None);
                let event = SessionEvent::Failed {
                    status: Status::REQUEST_TERMINATED,
                    response: None,
                };
                session.tell(wire, event);
                Stage::Gone
            }
            End::No(_) => {
                if let Some(seconds) = session_timer::granted(&response) {
                    session.arm(now, wire, Alarm::Expire, session_timer::patience(seconds));
                }
                session.tell(wire, SessionEvent::Answered { sdp, response });
                let mut live = Live::new(dialog, true);
                if offered {
                    live.owe(session, now, wire, self.transaction, number);
                }
                Stage::Live(Box::new(live))
            }
        }
    }

    /// The INVITE failed; after our Hangup that is what was wanted.
    pub(super) fn failed(
        self: Box<Self>,
        session: &Session,
        wire: &mut Wire,
        status: Status,
        response: Option<Response>,
    ) -> Stage {
        let status = match self.end {
            End::Wanted(_) | End::Sent(_) if response.is_none() => Status::REQUEST_TERMINATED,
            _ => status,
        };
        session.tell(wire, SessionEvent::Failed { status, response });
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
        let tag = request.from().ok().and_then(|from| from.tag());
        let tag = tag.unwrap_or_default();
        let Some(at) = self.forks.iter().position(|fork| fork.remote_tag == tag) else {
            return Stage::Outgoing(self);
        };
        let Some(fork) = self.forks.get_mut(at) else {
            return Stage::Outgoing(self);
        };
        if !courtesy::in_order(fork, now, wire, &request, flow) {
            return Stage::Outgoing(self);
        }
        match request.method {
            // The called side gave up after a 2xx that never came through.
            Method::Bye => {
                wire.serve(now, &request, flow, request.respond(Status::OK));
                self.forks.remove(at);
                if !self.forks.is_empty() {
                    return Stage::Outgoing(self);
                }
                wire.drop_transaction(self.transaction);
                self.failed(session, wire, Status::REQUEST_TERMINATED, None)
            }
            Method::Invite => {
                courtesy::refuse(now, wire, &request, flow, Refused::Pending);
                Stage::Outgoing(self)
            }
            Method::Update if courtesy::has_sdp(&request) => {
                courtesy::refuse(now, wire, &request, flow, Refused::Pending);
                Stage::Outgoing(self)
            }
            _ => {
                courtesy::serve(session, fork, now, wire, request, flow);
                Stage::Outgoing(self)
            }
        }
    }

    /// Tells whether our INVITE made an offer.
    fn offered(&self, wire: &Wire) -> bool {
        match wire
            .transactions
            .get(self.transaction)
            .map(|found| &found.machine)
        {
            Some(Machine::ClientInvite(_, sent)) => courtesy::has_sdp(&sent.request),
            _ => true,
        }
    }

    fn dialog(&self, wire: &Wire, response: &Response) -> Option<Dialog> {
        match &wire.transactions.get(self.transaction)?.machine {
            Machine::ClientInvite(_, sent) => Dialog::of_outgoing(&sent.request, response),
            _ => None,
        }
    }
}
