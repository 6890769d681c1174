//! Our re-INVITE or UPDATE: RFC 3261 §14.1, RFC 3311 §5.1.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::invite::live::Live;
use crate::invite::{Alarm, Session, Stage, put_sdp, sdp, session_timer};
use crate::stack::wire::{ALLOW, SUPPORTED, Wire};
use crate::stack::{EndReason, SessionEvent};
use crate::transaction::layer::TransactionId;
use crate::{Method, Name, Response, Status, Text};

/// How often a re-INVITE is tried while the other side answers 491 or has its own pending.
/// Undocumented; chosen.
const MAX_TRIES: u8 = 8;

/// A re-INVITE or UPDATE of ours.
#[derive(Debug)]
pub(super) struct Ours {
    sdp: Option<Bytes>,
    method: Method,
    /// It only says that we are still there (RFC 4028 §7.4); nobody above knows of it.
    refreshes: bool,
    tries: u8,
    /// `None`: it waits for its turn, see `Alarm::Retry`.
    sent: Option<TransactionId>,
}

/// A 2xx to an INVITE of ours that made an offer: its ACK brings our answer (RFC 3261 §13.2.1).
#[derive(Debug)]
pub(super) struct Owed {
    transaction: TransactionId,
    number: u32,
}

impl Ours {
    /// A refresh that fails leaves the session until its interval is over.
    fn fail(self, session: &Session, wire: &mut Wire, status: Status) {
        if !self.refreshes {
            session.tell(wire, SessionEvent::ReofferFailed { status });
        }
    }
}

impl Live {
    /// The transaction of our re-INVITE, while it is on the wire.
    pub(super) fn sent(&self) -> Option<TransactionId> {
        self.ours.as_ref().and_then(|ours| ours.sent)
    }

    pub(super) fn reoffer(
        &mut self,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        method: Method,
        sdp: Option<Bytes>,
    ) {
        let ours = Ours {
            sdp,
            method,
            refreshes: false,
            tries: 0,
            sent: None,
        };
        match &self.ours {
            None => self.send_or_wait(session, now, wire, ours),
            Some(under_way) if under_way.refreshes && self.next.is_none() => self.next = Some(ours),
            Some(_) => {
                let status = Status::REQUEST_PENDING;
                session.tell(wire, SessionEvent::ReofferFailed { status });
            }
        }
    }

    /// It is our turn to refresh the session: by UPDATE where the other side takes it, which changes nothing, else by a
    /// re-INVITE with the description as it stands (RFC 4028 §7.4).
    pub(super) fn refresh(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
    ) -> Stage {
        // Any re-INVITE or UPDATE refreshes.
        if self.ours.is_some() {
            return Stage::Live(self);
        }
        let (method, sdp) = match (self.dialog.takes_update, &session.described) {
            (true, _) => (Method::Update, None),
            (false, Some(sdp)) => (Method::Invite, Some(sdp.clone())),
            (false, None) => return Stage::Live(self),
        };
        let ours = Ours {
            sdp,
            method,
            refreshes: true,
            tries: 0,
            sent: None,
        };
        self.send_or_wait(session, now, wire, ours);
        Stage::Live(self)
    }

    /// Tells whether an offer of ours is on the wire.
    pub(super) fn offers(&self) -> bool {
        self.ours.as_ref().is_some_and(|ours| {
            ours.sent.is_some() && !(ours.refreshes && ours.method == Method::Update)
        })
    }

    /// Our re-INVITE or UPDATE is over: the next one.
    fn proceed(&mut self, session: &mut Session, now: Instant, wire: &mut Wire) {
        if let Some(next) = self.next.take() {
            self.send_or_wait(session, now, wire, next);
        }
    }

    /// The wait after glare is over.
    pub(super) fn retry(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
    ) -> Stage {
        if let Some(ours) = self.ours.take() {
            self.send_or_wait(session, now, wire, ours);
        }
        Stage::Live(self)
    }

    fn send_or_wait(
        &mut self,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        mut ours: Ours,
    ) {
        if !self.may_offer(session) {
            self.wait(session, now, wire, ours);
            return;
        }
        if wire.is_full() {
            ours.fail(session, wire, Status::SERVICE_UNAVAILABLE);
            return;
        }
        let mut request = self.dialog.request(ours.method.clone());
        request.headers.push(Name::Contact, session.contact(wire));
        request.headers.push(Name::Allow, Text::from_static(ALLOW));
        request
            .headers
            .push(Name::Supported, Text::from_static(SUPPORTED));
        if let Some(timed) = session.timed {
            timed.keep(&mut request);
        }
        put_sdp(&mut request.headers, &mut request.body, ours.sdp.clone());
        ours.sent = Some(wire.call(now, session.flow, request, Some(session.id), true));
        self.ours = Some(ours);
    }

    /// RFC 3261 §14.1: the owner of the Call-ID waits 2.1 to 4 s, the other one up to 2 s, in steps of 10 ms.
    fn wait(&mut self, session: &mut Session, now: Instant, wire: &mut Wire, mut ours: Ours) {
        ours.sent = None;
        ours.tries += 1;
        if ours.tries > MAX_TRIES {
            ours.fail(session, wire, Status::REQUEST_PENDING);
            return;
        }
        let steps = match self.caller {
            true => 210 + wire.draw_below(191),
            false => wire.draw_below(201),
        };
        session.arm(now, wire, Alarm::Retry, Duration::from_millis(10 * steps));
        self.ours = Some(ours);
    }

    pub(super) fn reoffer_answered(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        transaction: TransactionId,
        response: Response,
    ) -> Stage {
        match response.status {
            Status(..=199) => Stage::Live(self),
            Status(200..=299) => {
                let ours = self.ours.take();
                let offered = ours.as_ref().is_none_or(|ours| ours.sdp.is_some());
                let refreshes = ours.as_ref().is_some_and(|ours| ours.refreshes);
                if let Some(sdp) = ours.as_ref().and_then(|ours| ours.sdp.clone()) {
                    session.described = Some(sdp);
                }
                self.dialog.refresh(response.contacts().ok());
                let sdp = sdp(&response.headers, &response.body);
                if ours.is_none_or(|ours| ours.method == Method::Invite) {
                    let number = response.cseq().map_or(0, |cseq| cseq.number);
                    if sdp.is_some() && !offered {
                        self.owe(session, now, wire, transaction, number);
                    } else {
                        let flow = session.flow;
                        wire.acknowledge(flow, transaction, &self.dialog, number, None);
                    }
                }
                // RFC 4028 §7.2: each refresh says anew how long the session lasts.
                session.time(now, wire, session_timer::granted(&response));
                if !refreshes {
                    session.tell(wire, SessionEvent::Reanswered { sdp });
                }
                self.proceed(session, now, wire);
                Stage::Live(self)
            }
            Status::SESSION_INTERVAL_TOO_SMALL if self.lengthen(session, &response) => {
                if let Some(mut ours) = self.ours.take() {
                    ours.sent = None;
                    self.send_or_wait(session, now, wire, ours);
                }
                Stage::Live(self)
            }
            Status::REQUEST_PENDING => {
                if let Some(ours) = self.ours.take() {
                    self.wait(session, now, wire, ours);
                }
                Stage::Live(self)
            }
            status => self.reoffer_failed(session, now, wire, status),
        }
    }

    pub(super) fn reoffer_failed(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        status: Status,
    ) -> Stage {
        let ours = self.ours.take();
        match status {
            // RFC 3261 §12.2.1.2: the dialog is gone on the other side.
            Status::CALL_DOES_NOT_EXIST | Status::REQUEST_TIMEOUT => {
                self.end_with_bye(session, now, wire, EndReason::ReinviteTimeout481)
            }
            _ => {
                if let Some(ours) = ours {
                    ours.fail(session, wire, status);
                }
                self.proceed(session, now, wire);
                Stage::Live(self)
            }
        }
    }

    /// Takes a longer session interval, as often as [`MAX_TRIES`] allows.
    fn lengthen(&mut self, session: &mut Session, refusal: &Response) -> bool {
        let (Some(ours), Some(timed)) = (&mut self.ours, &mut session.timed) else {
            return false;
        };
        ours.tries += 1;
        ours.tries <= MAX_TRIES && timed.lengthen(refusal)
    }

    /// Keeps in mind that a 2xx waits for our answer.
    pub(super) fn owe(
        &mut self,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        transaction: TransactionId,
        number: u32,
    ) {
        let patience = wire.patience();
        session.arm(now, wire, Alarm::GiveUp, patience);
        self.owed = Some(Owed {
            transaction,
            number,
        });
    }

    pub(super) fn owes_ack(&self, transaction: TransactionId, tag: &str) -> bool {
        let mut owed = self.owed.iter();
        self.dialog.remote_tag == *tag && owed.any(|owed| owed.transaction == transaction)
    }

    /// Sends the ACK that a 2xx waits for.
    pub(super) fn acknowledge(
        &mut self,
        session: &mut Session,
        wire: &mut Wire,
        sdp: Option<Bytes>,
    ) {
        if let Some(Owed {
            transaction,
            number,
        }) = self.owed.take()
        {
            session.disarm(wire, Alarm::GiveUp);
            wire.acknowledge(session.flow, transaction, &self.dialog, number, sdp);
        }
    }

    /// Forgets our re-INVITE, because the session ends.
    pub(super) fn abandon(&mut self, now: Instant, wire: &mut Wire) {
        if let Some(transaction) = self.ours.take().and_then(|ours| ours.sent) {
            wire.orphan(now, transaction);
        }
    }
}
