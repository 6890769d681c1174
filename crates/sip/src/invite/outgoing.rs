//! An INVITE of ours until its final answer: RFC 3261 §13.2, §9.1.

use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::dialog::Dialog;
use crate::invite::courtesy::{self, Refused};
use crate::invite::live::Live;
use crate::invite::prack;
use crate::invite::{Alarm, Session, Stage, put_sdp, sdp, session_timer};
use crate::stack::wire::{ALLOW, SUPPORTED, Wire};
use crate::stack::{Command, Destination, SessionEvent, SessionId};
use crate::transaction::key::Token;
use crate::transaction::layer::{Machine, TransactionId};
use crate::{Flow, Header, Method, Name, Request, Response, Status, Text};

/// Early dialogs of one INVITE; more are not remembered.
const MAX_FORKS: usize = 16;

/// INVITEs of one call: the first, and those that 422 makes longer.
const MAX_INVITES: u32 = 3;

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
    pub(super) forks: SmallVec<[Fork; 1]>,
    end: End,
}

/// An early dialog.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) dialog: Dialog,
    /// Number of its last reliable provisional answer (RFC 3262 §4); zero: there was none.
    rseq: u32,
    /// The session description of its provisional answers.
    sdp: Option<Bytes>,
    /// One of them came reliably, so that our offer has its answer.
    settled: bool,
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
        // RFC 3262 §5: whoever gets no offer would make one in a reliable answer, and want ours in the PRACK.
        let supported = match call.sdp {
            Some(_) => SUPPORTED,
            None => "timer, replaces, norefersub",
        };
        headers.push(Name::Supported, Text::from_static(supported));
        headers.extend(call.headers);
        if headers.get(&Name::MaxForwards).is_none() {
            headers.push_front(Name::MaxForwards, Text::from_static("70"));
        }
        session_timer::ask(&mut request, wire.config.session_interval);
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
        match command {
            Command::Hangup { headers, .. } => match self.end {
                End::No(true) => self.cancel(session, now, wire, headers),
                End::No(false) => self.end = End::Wanted(headers),
                End::Wanted(_) | End::Sent(_) => {}
            },
            Command::Update { sdp, .. } => {
                // With several early dialogs nobody could say which of them is meant.
                let dialog = match self.forks.as_mut_slice() {
                    [fork] if fork.settled && fork.dialog.takes_update => Some(&mut fork.dialog),
                    _ => None,
                };
                session.offer_early(now, wire, dialog, sdp);
            }
            _ => {}
        }
        Stage::Outgoing(self)
    }

    pub(super) fn has_dialog(&self, call_id: &Text, tag: &str) -> bool {
        let mut forks = self.forks.iter();
        forks.any(|fork| fork.dialog.is_with(call_id, tag))
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
            422 => self.too_short(session, now, wire, response),
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
        if !self.take(session, now, wire, &response) {
            return Stage::Outgoing(self);
        }
        // RFC 6228 §4: one fork is gone; others may still answer.
        if response.status == Status::EARLY_DIALOG_TERMINATED {
            let tag = response.to().ok().and_then(|to| to.tag());
            let tag = tag.unwrap_or_default();
            self.forks.retain(|fork| fork.dialog.remote_tag != tag);
            return Stage::Outgoing(self);
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

    /// Takes a provisional answer into its early dialog, and acknowledges it where it is reliable. `false`: it came before,
    /// or one before it is missing (RFC 3262 §4).
    fn take(
        &mut self,
        session: &Session,
        now: Instant,
        wire: &mut Wire,
        response: &Response,
    ) -> bool {
        let Some(dialog) = self
            .dialog(wire, response)
            .filter(|dialog| !dialog.remote_tag.is_empty())
        else {
            return true;
        };
        let known = |fork: &Fork| fork.dialog.remote_tag == dialog.remote_tag;
        let at = match self.forks.iter().position(known) {
            Some(at) => at,
            None if self.forks.len() >= MAX_FORKS => return true,
            None => {
                self.forks.push(Fork {
                    dialog,
                    rseq: 0,
                    sdp: None,
                    settled: false,
                });
                self.forks.len() - 1
            }
        };
        let Some(fork) = self.forks.get_mut(at) else {
            return true;
        };
        let rseq = prack::rseq(response);
        if let Some(rseq) = rseq
            && fork.rseq != 0
            && rseq != fork.rseq.wrapping_add(1)
        {
            return false;
        }
        fork.dialog.refresh(response.contacts().ok());
        fork.dialog.takes_update |= response.headers.lists(&Name::Allow, "UPDATE");
        let sdp = sdp(&response.headers, &response.body);
        if let Some(rseq) = rseq {
            fork.rseq = rseq;
            fork.settled |= sdp.is_some();
            let invite = response.cseq().map_or(1, |cseq| cseq.number);
            prack::acknowledge(now, wire, session.flow, &mut fork.dialog, rseq, invite);
        }
        // RFC 3261 §13.2.1: the first one counts.
        if fork.sdp.is_none() {
            fork.sdp = sdp;
        }
        true
    }

    /// The first 2xx. Those of other forks find the session established, see `Stack`.
    fn accepted(
        mut self: Box<Self>,
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
        let our_offer = self.offered(wire);
        let fork = self
            .forks
            .iter_mut()
            .find(|fork| fork.dialog.remote_tag == dialog.remote_tag);
        let mut early = None;
        if let Some(fork) = fork {
            dialog.continue_from(&fork.dialog);
            early = fork.sdp.take();
        }
        let sdp = sdp(&response.headers, &response.body);
        let offered = sdp.is_some() && !our_offer;
        let sdp = sdp.or(early.filter(|_| our_offer));
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
                session.time(now, wire, session_timer::granted(&response));
                session.tell(wire, SessionEvent::Answered { sdp, response });
                let mut live = Live::new(dialog, true);
                if offered {
                    live.owe(session, now, wire, self.transaction, number);
                }
                Stage::Live(Box::new(live))
            }
        }
    }

    /// Calls again with a longer session interval, in the same call (RFC 4028 §7.3, RFC 3261 §8.1.3.5).
    fn too_short(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        response: Response,
    ) -> Stage {
        let status = response.status;
        let request = match wire
            .transactions
            .get(self.transaction)
            .map(|found| &found.machine)
        {
            Some(Machine::ClientInvite(_, sent)) => Some(sent.request.clone()),
            _ => None,
        };
        let Some((mut request, number)) = request
            .and_then(|request| Some((request.cseq().ok()?.number, request)))
            .map(|(number, request)| (request, number))
            .filter(|(_, number)| *number < MAX_INVITES)
        else {
            return self.failed(session, wire, status, Some(response));
        };
        let still_wanted = matches!(self.end, End::No(_)) && !wire.is_full();
        if !still_wanted || !session_timer::ask_longer(&mut request, &response) {
            return self.failed(session, wire, status, Some(response));
        }
        request.headers.remove(&Name::Via);
        let cseq = format!("{} INVITE", number + 1);
        request.headers.set(Name::CSeq, cseq);
        self.transaction = wire.call(now, session.flow, request, Some(session.id), false);
        self.forks.clear();
        self.end = End::No(false);
        Stage::Outgoing(self)
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
        let is_it = |fork: &Fork| fork.dialog.remote_tag == tag;
        let Some(at) = self.forks.iter().position(is_it) else {
            return Stage::Outgoing(self);
        };
        let Some(fork) = self.forks.get_mut(at) else {
            return Stage::Outgoing(self);
        };
        if !courtesy::in_order(&mut fork.dialog, now, wire, &request, flow) {
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
                if fork.settled {
                    session.asked_early(&mut fork.dialog, now, wire, request, flow);
                } else {
                    courtesy::refuse(now, wire, &request, flow, Refused::Pending);
                }
                Stage::Outgoing(self)
            }
            _ => {
                courtesy::serve(session, &mut fork.dialog, now, wire, request, flow);
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
