//! What goes on in a session beside its INVITE: requests of the other side that wait for the layer above, and those that
//! the layer above sends (RFC 3515, RFC 6086, RFC 3428).

use std::time::Instant;

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::invite::courtesy::{self, Refused};
use crate::invite::refer::{Progress, Refers};
use crate::invite::{Alarm, Session, Stage, put_sdp, sdp};
use crate::stack::wire::{ALLOW, Wire};
use crate::stack::{Command, EndReason, InDialog, Refer, RequestId, SessionEvent};
use crate::transaction::layer::TransactionId;
use crate::{Flow, Header, Method, Name, Request, Response, Status, Text};

/// Requests of the other side that may wait at once; more are told to come later.
const MAX_PENDING: usize = 8;
/// Requests of ours that may wait for their answers at once; more are not sent.
const MAX_SENT: usize = 16;

/// What goes on beside the INVITE.
#[derive(Default, Debug)]
pub(super) struct Asides {
    pending: Vec<Pending>,
    sent: Vec<Sent>,
    /// Who is told how far their REFER has come.
    pub(super) subscriptions: Refers,
    /// Our REFERs of which we are told.
    pub(super) referrals: Refers,
}

/// A request of the other side that waits for `Command::RespondInDialog`.
#[derive(Debug)]
pub(super) struct Pending {
    transaction: TransactionId,
    since: Instant,
    request: Request,
    /// A REFER that wants to be notified.
    subscribes: bool,
}

/// A request of ours that waits for its answer.
#[derive(Copy, Clone, Debug)]
struct Sent {
    transaction: TransactionId,
    what: What,
}

/// What a request of ours is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum What {
    /// The layer above sent it.
    Asked(RequestId),
    /// The layer above sent it, a REFER.
    Refer(RequestId),
    /// It tells how far this REFER has come.
    Notify(RequestId),
    /// An UPDATE with an offer, before the INVITE has its final answer.
    Offer,
}

impl Asides {
    /// Tells whether a REFER waits for its answer.
    pub(super) fn owe_a_refer(&self) -> bool {
        self.pending.iter().any(Pending::is_refer)
    }

    /// Takes out the REFERs that wait for their answers.
    pub(super) fn take_refers(&mut self) -> Vec<Pending> {
        self.pending
            .extract_if(.., |pending| pending.is_refer())
            .collect()
    }
}

impl Pending {
    fn is_refer(&self) -> bool {
        self.request.method == Method::Refer
    }
}

impl Session {
    /// Hands a request up that the layer above answers.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        wants: InDialog,
        request: Request,
        flow: Flow,
    ) {
        if self.asides.pending.len() >= MAX_PENDING {
            courtesy::refuse(now, wire, &request, flow, Refused::Later);
            return;
        }
        let Some(transaction) = wire.open(&request, flow, Some(self.id), None) else {
            wire.reject(flow, &request, Status::SERVICE_UNAVAILABLE, "");
            return;
        };
        let subscribes = matches!(&wants, InDialog::Refer(refer) if refer.subscribes);
        self.asides.pending.push(Pending {
            transaction,
            since: now,
            request: request.clone(),
            subscribes,
        });
        if !self.is_armed(Alarm::Unanswered) {
            let patience = wire.patience();
            self.arm(now, wire, Alarm::Unanswered, patience);
        }
        let id = RequestId(transaction.number());
        self.tell(wire, SessionEvent::Requested { id, wants, request });
    }

    /// Hands REFER, INFO or MESSAGE up.
    pub(super) fn ask_for(&mut self, now: Instant, wire: &mut Wire, request: Request, flow: Flow) {
        let wants = match request.method {
            Method::Refer => match Refer::of(&request) {
                Ok(refer) => InDialog::Refer(Box::new(refer)),
                Err(_) => {
                    let response = request.respond(Status::BAD_REQUEST);
                    wire.serve(now, &request, flow, response);
                    return;
                }
            },
            Method::Info => InDialog::Info,
            _ => InDialog::Message,
        };
        self.ask(now, wire, wants, request, flow);
    }

    /// Does what the layer above wants beside the INVITE.
    pub(super) fn aside(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        dialog: Option<&mut Dialog>,
        command: Command,
    ) {
        match command {
            Command::RespondInDialog {
                request,
                status,
                sdp,
                headers,
                ..
            } => self.respond(now, wire, dialog, request, status, sdp, headers),
            Command::RequestInDialog {
                request,
                method,
                headers,
                body,
                ..
            } => {
                if let Err(status) = self.send(now, wire, dialog, request, method, headers, body) {
                    let (id, response) = (request, None);
                    self.tell(
                        wire,
                        SessionEvent::Responded {
                            id,
                            status,
                            response,
                        },
                    );
                }
            }
            Command::Notify {
                refer,
                status,
                reason,
                ..
            } => {
                if let Some(dialog) = dialog {
                    let progress = Progress::of(status, reason);
                    self.notify(now, wire, dialog, refer, progress);
                }
            }
            _ => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what the command says")]
    fn respond(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        dialog: Option<&mut Dialog>,
        id: RequestId,
        status: Status,
        sdp: Option<Bytes>,
        headers: Vec<Header>,
    ) {
        let is_it = |pending: &Pending| pending.transaction.number() == id.0;
        let Some(at) = self.asides.pending.iter().position(is_it) else {
            return;
        };
        if !status.is_final() {
            return;
        }
        let Pending {
            transaction,
            request,
            subscribes,
            ..
        } = self.asides.pending.swap_remove(at);
        let mut response = request.respond(status);
        if status.is_success() && matches!(request.method, Method::Refer | Method::Update) {
            // RFC 3515 §2.4.4, RFC 3311 §5.2.
            response.headers.push(Name::Contact, self.contact(wire));
        }
        if status.is_success() && request.method == Method::Refer && !subscribes {
            // RFC 4488 §4.
            response
                .headers
                .push(Name::ReferSub, Text::from_static("false"));
        }
        if matches!(status, Status::METHOD_NOT_ALLOWED | Status::NOT_IMPLEMENTED) {
            response.headers.push(Name::Allow, Text::from_static(ALLOW));
        }
        response.headers.extend(headers);
        put_sdp(&mut response.headers, &mut response.body, sdp);
        wire.respond(now, transaction, response);
        if status.is_success()
            && subscribes
            && let Some(dialog) = dialog
        {
            let number = request.cseq().map_or(0, |cseq| cseq.number);
            self.asides.subscriptions.open(id, number);
            // RFC 3515 §2.4.4: the first NOTIFY follows at once.
            let progress = Progress::of(Status::TRYING, None);
            self.notify(now, wire, dialog, id, progress);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what the command says")]
    fn send(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        dialog: Option<&mut Dialog>,
        id: RequestId,
        method: Method,
        headers: Vec<Header>,
        body: Bytes,
    ) -> Result<(), Status> {
        if !matches!(method, Method::Refer | Method::Info | Method::Message) {
            return Err(Status::METHOD_NOT_ALLOWED);
        }
        let dialog = dialog.ok_or(Status::CALL_DOES_NOT_EXIST)?;
        if !self.may_send(wire) {
            return Err(Status::SERVICE_UNAVAILABLE);
        }
        let mut request = dialog.request(method);
        let is_refer = request.method == Method::Refer;
        if is_refer {
            // RFC 3515 §2.2: Contact is mandatory; a MESSAGE has none (RFC 3428 §5).
            request.headers.push(Name::Contact, self.contact(wire));
            let number = request.cseq().map_or(0, |cseq| cseq.number);
            self.asides.referrals.open(id, number);
        }
        request.headers.extend(headers);
        request.body = body;
        let what = match is_refer {
            true => What::Refer(id),
            false => What::Asked(id),
        };
        self.send_aside(now, wire, request, what);
        Ok(())
    }

    fn send_aside(&mut self, now: Instant, wire: &mut Wire, request: Request, what: What) {
        let transaction = wire.call(now, self.flow, request, Some(self.id), true);
        self.asides.sent.push(Sent { transaction, what });
    }

    /// Says why no offer may be made beside one in an UPDATE or PRACK that is not answered yet (RFC 3311 §5.2).
    pub(super) fn early_offer(&self) -> Option<Refused> {
        let is_ours = |sent: &Sent| sent.what == What::Offer;
        let is_theirs =
            |pending: &Pending| matches!(pending.request.method, Method::Update | Method::Prack);
        if self.asides.pending.iter().any(is_theirs) {
            Some(Refused::Later)
        } else if self.asides.sent.iter().any(is_ours) {
            Some(Refused::Pending)
        } else {
            None
        }
    }

    /// An UPDATE with an offer of theirs, where one may be made (RFC 3311 §5.2).
    pub(super) fn asked_early(
        &mut self,
        dialog: &mut Dialog,
        now: Instant,
        wire: &mut Wire,
        request: Request,
        flow: Flow,
    ) {
        if let Some(refused) = self.early_offer() {
            courtesy::refuse(now, wire, &request, flow, refused);
            return;
        }
        dialog.refresh(request.contacts().ok());
        if let Some(sdp) = sdp(&request.headers, &request.body) {
            self.ask(now, wire, InDialog::Offer { sdp }, request, flow);
        }
    }

    /// Sends an UPDATE with an offer of ours through an early dialog; `None`: none may be sent (RFC 3311 §5.1).
    pub(super) fn offer_early(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        dialog: Option<&mut Dialog>,
        sdp: Bytes,
    ) {
        let may_send = self.early_offer().is_none() && self.may_send(wire);
        let Some(dialog) = dialog.filter(|_| may_send) else {
            let status = Status::REQUEST_PENDING;
            self.tell(wire, SessionEvent::ReofferFailed { status });
            return;
        };
        let mut request = dialog.request(Method::Update);
        request.headers.push(Name::Contact, self.contact(wire));
        request.headers.push(Name::Allow, Text::from_static(ALLOW));
        put_sdp(&mut request.headers, &mut request.body, Some(sdp));
        self.send_aside(now, wire, request, What::Offer);
    }

    pub(super) fn may_send(&self, wire: &Wire) -> bool {
        self.asides.sent.len() < MAX_SENT && !wire.is_full()
    }

    pub(super) fn send_notify(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        request: Request,
        refer: RequestId,
    ) {
        self.send_aside(now, wire, request, What::Notify(refer));
    }

    pub(super) fn is_aside(&self, transaction: TransactionId) -> bool {
        let mut sent = self.asides.sent.iter();
        sent.any(|sent| sent.transaction == transaction)
    }

    /// Takes the answer to a request of ours, or the status that stands for none.
    pub(super) fn aside_answered(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        transaction: TransactionId,
        answer: Result<Response, Status>,
    ) {
        let status = match &answer {
            Ok(response) => response.status,
            Err(status) => *status,
        };
        let is_it = |sent: &Sent| sent.transaction == transaction;
        let Some(at) = self.asides.sent.iter().position(is_it) else {
            return;
        };
        if status.is_provisional() {
            return;
        }
        let id = match self.asides.sent.swap_remove(at).what {
            What::Asked(id) => id,
            What::Refer(id) => {
                if !status.is_success() {
                    self.asides.referrals.close(id);
                }
                id
            }
            What::Notify(refer) => {
                // RFC 6665 §4.2.2: the subscription is gone, and nothing else (RFC 5057 §5.1).
                if !status.is_success() {
                    self.asides.subscriptions.close(refer);
                }
                return;
            }
            What::Offer => return self.early_answered(wire, answer),
        };
        let response = answer.ok();
        self.tell(
            wire,
            SessionEvent::Responded {
                id,
                status,
                response,
            },
        );
        // RFC 3261 §12.2.1.2, RFC 5057 §5.1: the other side knows no such dialog, or is not there.
        if matches!(
            status,
            Status::CALL_DOES_NOT_EXIST | Status::REQUEST_TIMEOUT
        ) {
            self.stage = match self.take() {
                Stage::Live(stage) => {
                    stage.end_with_bye(self, now, wire, EndReason::ReinviteTimeout481)
                }
                stage => stage,
            };
        }
    }

    fn early_answered(&mut self, wire: &mut Wire, answer: Result<Response, Status>) {
        let event = match answer {
            Ok(response) if response.status.is_success() => {
                if let Some(dialog) = self.stage.dialog() {
                    dialog.refresh(response.contacts().ok());
                }
                let sdp = sdp(&response.headers, &response.body);
                SessionEvent::Reanswered { sdp }
            }
            Ok(Response { status, .. }) | Err(status) => SessionEvent::ReofferFailed { status },
        };
        self.tell(wire, event);
    }

    /// Forgets a request of the other side whose connection is gone; `false`: it was none of these.
    pub(super) fn aside_lost(&mut self, transaction: TransactionId) -> bool {
        let before = self.asides.pending.len();
        self.asides
            .pending
            .retain(|pending| pending.transaction != transaction);
        before != self.asides.pending.len()
    }

    /// Answers what the layer above did not answer in time.
    pub(super) fn aside_due(&mut self, now: Instant, wire: &mut Wire) {
        let patience = wire.patience();
        let is_late = |pending: &Pending| now.saturating_duration_since(pending.since) >= patience;
        let (late, rest) = std::mem::take(&mut self.asides.pending)
            .into_iter()
            .partition(is_late);
        self.asides.pending = rest;
        answer_all(now, wire, late, Status::SERVER_INTERNAL_ERROR);
        self.await_answers(now, wire);
    }

    /// Puts back REFERs that outlive the session.
    pub(super) fn keep_refers(&mut self, now: Instant, wire: &mut Wire, refers: Vec<Pending>) {
        self.asides.pending = refers;
        self.await_answers(now, wire);
    }

    fn await_answers(&mut self, now: Instant, wire: &mut Wire) {
        let patience = wire.patience();
        if let Some(oldest) = self
            .asides
            .pending
            .iter()
            .map(|pending| pending.since)
            .min()
        {
            let waited = now.saturating_duration_since(oldest);
            self.arm(
                now,
                wire,
                Alarm::Unanswered,
                patience.saturating_sub(waited),
            );
        }
    }

    /// Answers all that waits, because the session is over (RFC 3261 §15.1.2).
    pub(super) fn close_asides(&mut self, now: Instant, wire: &mut Wire) {
        self.disarm(wire, Alarm::Unanswered);
        let pending = std::mem::take(&mut self.asides.pending);
        answer_all(now, wire, pending, Status::REQUEST_TERMINATED);
        for sent in self.asides.sent.drain(..) {
            wire.orphan(now, sent.transaction);
        }
    }
}

fn answer_all(now: Instant, wire: &mut Wire, pending: Vec<Pending>, status: Status) {
    for pending in pending {
        let response = pending.request.respond(status);
        wire.respond(now, pending.transaction, response);
    }
}
