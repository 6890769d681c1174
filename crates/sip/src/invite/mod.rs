//! INVITE sessions: RFC 3261 §13, §14, §15, with RFC 3262, RFC 3311, RFC 3515, RFC 4028 and RFC 6026.
//!
//! A [`Session`] is in one [`Stage`]; each stage is a file whose functions take what happened and give the next
//! stage. Sessions send through [`Wire`] and tell what happened as `SessionEvent`.

mod answer;
mod aside;
mod courtesy;
mod incoming;
mod leaving;
mod lingering;
mod live;
mod outgoing;
mod prack;
mod refer;
mod reinvite;
pub(crate) mod session_timer;

use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::invite::aside::Asides;
use crate::invite::incoming::Incoming;
use crate::invite::leaving::Leaving;
use crate::invite::lingering::Lingering;
use crate::invite::live::Live;
use crate::invite::outgoing::Outgoing;
use crate::invite::session_timer::Timed;
use crate::message::body::sdp;
use crate::stack::wire::{Due, Wire};
use crate::stack::{Command, EndReason, SessionEvent, SessionId};
use crate::target::datagram_target;
use crate::transaction::key::Token;
use crate::transaction::layer::TransactionId;
use crate::transaction::timer::TimerId;
use crate::{Flow, Header, Headers, Name, Request, Response, Status, Text, Uri};

pub(crate) use outgoing::Call;

/// One INVITE dialog usage.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// Where requests to the other side go.
    pub(crate) flow: Flow,
    /// Our tag.
    pub(crate) token: Token,
    /// User part of our Contact.
    user: Text,
    stage: Stage,
    asides: Asides,
    /// How the session is kept alive.
    timed: Option<Timed>,
    /// Our description that both sides agreed on last, for a re-INVITE that only refreshes.
    described: Option<Bytes>,
    alarms: [Option<TimerId>; Alarm::COUNT],
}

/// How far a session has come.
#[derive(Debug)]
enum Stage {
    /// Their INVITE waits for our final answer.
    Incoming(Box<Incoming>),
    /// Our INVITE waits for their final answer.
    Outgoing(Box<Outgoing>),
    /// A 2xx was sent or received.
    Live(Box<Live>),
    /// Our BYE waits for its answer.
    Leaving(Box<Leaving>),
    /// The session is over, but not what is told of a REFER.
    Lingering(Box<Lingering>),
    Gone,
}

/// The timers of a session.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Alarm {
    /// Send the 2xx (RFC 3261 §13.3.1.4) or reliable provisional answer (RFC 3262 §3) again.
    Repeat,
    /// Its ACK or PRACK did not come, or our own answer to an offer of theirs.
    GiveUp,
    /// Try a re-INVITE again (RFC 3261 §14.1); ring again (RFC 3261 §13.3.1.1).
    Retry,
    /// The session was not refreshed (RFC 4028 §10).
    Expire,
    /// Nothing came over another flow since ours was lost.
    FlowLost,
    /// The cancelled INVITE was not answered (RFC 3261 §9.1).
    CancelOver,
    /// The layer above did not answer a request.
    Unanswered,
    /// Our INVITE has had no answer at all.
    Silent,
    /// It is our turn to refresh the session (RFC 4028 §7.2).
    Refresh,
    /// Nobody had a last word about a REFER.
    LingerOver,
}

impl Alarm {
    const COUNT: usize = Self::LingerOver as usize + 1;
}

/// Where a session stands, for who wants to take its place (RFC 3891 §3).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Their INVITE waits for our answer.
    Ringing,
    /// Our INVITE waits for theirs.
    Early,
    Confirmed,
    /// BYE is sent.
    Over,
}

impl Stage {
    /// The dialog that requests of ours go through; of several early ones, the first.
    fn dialog(&mut self) -> Option<&mut Dialog> {
        match self {
            Self::Incoming(stage) => Some(&mut stage.dialog),
            Self::Outgoing(stage) => stage.forks.first_mut().map(|fork| &mut fork.dialog),
            Self::Live(stage) => Some(&mut stage.dialog),
            Self::Lingering(stage) => Some(&mut stage.dialog),
            Self::Leaving(_) | Self::Gone => None,
        }
    }
}

impl Session {
    /// Makes the session of an INVITE that came.
    pub(crate) fn incoming(
        id: SessionId,
        token: Token,
        flow: Flow,
        request: Request,
        transaction: TransactionId,
    ) -> Option<Self> {
        let user = request.uri_parsed().ok().and_then(|uri| uri.user);
        let incoming = Incoming::new(request, transaction, token)?;
        let stage = Stage::Incoming(Box::new(incoming));
        Some(Self::new(id, token, flow, user.unwrap_or_default(), stage))
    }

    /// Makes the session of an INVITE of ours, and sends it.
    pub(crate) fn outgoing(
        now: Instant,
        wire: &mut Wire,
        id: SessionId,
        token: Token,
        call: Call,
    ) -> Self {
        let (flow, user) = (call.to.flow, call.contact_user.clone());
        let (patience, described) = (call.effort.patience, call.sdp.clone());
        let stage = Stage::Outgoing(Box::new(Outgoing::begin(now, wire, id, token, call)));
        let mut session = Self {
            described,
            ..Self::new(id, token, flow, user, stage)
        };
        if let Some(patience) = patience {
            session.arm(now, wire, Alarm::Silent, patience);
        }
        session
    }

    fn new(id: SessionId, token: Token, flow: Flow, user: Text, stage: Stage) -> Self {
        Self {
            id,
            flow,
            token,
            user,
            stage,
            asides: Asides::default(),
            timed: None,
            described: None,
            alarms: [None; Alarm::COUNT],
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.stage, Stage::Gone)
    }

    /// Tells whether a request with this Call-ID and From tag belongs to one of our dialogs (RFC 3261 §12.2.2).
    pub(crate) fn is_with(&self, request: &Request) -> bool {
        let tag = request.from().ok().and_then(|from| from.tag());
        let tag = tag.unwrap_or_default();
        request
            .call_id()
            .is_some_and(|call_id| self.has_dialog(call_id, &tag))
    }

    pub(crate) fn has_dialog(&self, call_id: &Text, tag: &str) -> bool {
        match &self.stage {
            Stage::Incoming(stage) => stage.dialog.is_with(call_id, tag),
            Stage::Outgoing(stage) => stage.has_dialog(call_id, tag),
            Stage::Live(stage) => stage.dialog.is_with(call_id, tag),
            Stage::Leaving(stage) => stage.dialog.is_with(call_id, tag),
            Stage::Lingering(stage) => stage.dialog.is_with(call_id, tag),
            Stage::Gone => false,
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        match &self.stage {
            Stage::Incoming(_) => Standing::Ringing,
            Stage::Outgoing(_) => Standing::Early,
            Stage::Live(_) => Standing::Confirmed,
            Stage::Leaving(_) | Stage::Lingering(_) | Stage::Gone => Standing::Over,
        }
    }

    /// Tells whether the session waits for what comes of this client transaction.
    pub(crate) fn awaits(&self, transaction: TransactionId) -> bool {
        match &self.stage {
            Stage::Outgoing(stage) => stage.transaction == transaction,
            Stage::Live(stage) => stage.awaits(transaction),
            Stage::Leaving(stage) => stage.transaction == transaction,
            Stage::Incoming(_) | Stage::Lingering(_) | Stage::Gone => false,
        }
    }

    /// Tells whether this 2xx waits for our answer to its offer, and so for its ACK.
    pub(crate) fn owes_ack(&self, transaction: TransactionId, tag: &str) -> bool {
        matches!(&self.stage, Stage::Live(stage) if stage.owes_ack(transaction, tag))
    }

    // --- what can happen ---

    /// The layer above wants something.
    pub(crate) fn command(&mut self, now: Instant, wire: &mut Wire, command: Command) {
        if matches!(
            command,
            Command::RespondInDialog { .. }
                | Command::RequestInDialog { .. }
                | Command::Notify { .. }
        ) {
            let mut stage = self.take();
            let is_request = matches!(command, Command::RequestInDialog { .. });
            if !is_request || !matches!(stage, Stage::Lingering(_)) {
                self.aside(now, wire, stage.dialog(), command);
            }
            self.stage = self.linger(stage);
            return;
        }
        self.stage = match self.take() {
            Stage::Incoming(stage) => stage.command(self, now, wire, command),
            Stage::Outgoing(stage) => stage.command(self, now, wire, command),
            Stage::Live(stage) => stage.command(self, now, wire, command),
            stage @ (Stage::Leaving(_) | Stage::Lingering(_) | Stage::Gone) => stage,
        };
    }

    /// A request came inside the dialog, other than ACK and CANCEL.
    pub(crate) fn request(&mut self, now: Instant, wire: &mut Wire, request: Request, flow: Flow) {
        self.follow(wire, flow);
        self.stage = match self.take() {
            Stage::Incoming(stage) => stage.request(self, now, wire, request, flow),
            Stage::Outgoing(stage) => stage.request(self, now, wire, request, flow),
            Stage::Live(stage) => stage.request(self, now, wire, request, flow),
            Stage::Leaving(stage) => stage.request(self, now, wire, request, flow),
            Stage::Lingering(stage) => stage.request(self, now, wire, request, flow),
            Stage::Gone => Stage::Gone,
        };
    }

    /// The ACK for a 2xx came.
    pub(crate) fn ack(&mut self, now: Instant, wire: &mut Wire, request: &Request, flow: Flow) {
        self.follow(wire, flow);
        self.stage = match self.take() {
            Stage::Live(stage) => stage.ack(self, now, wire, request),
            stage => stage,
        };
    }

    /// CANCEL came for a pending INVITE; its own 200 is sent.
    pub(crate) fn cancel(&mut self, now: Instant, wire: &mut Wire, reason: Option<Text>) {
        self.stage = match self.take() {
            Stage::Incoming(stage) => stage.cancel(self, now, wire, reason),
            // Departs from RFC 3261 §9.2: a re-INVITE is not cut short by CANCEL, because the other leg has its offer
            // already; it ends with its answer, as the RFC allows where the answer is on its way.
            stage => stage,
        };
    }

    /// An answer came to a client transaction that the session awaits.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        transaction: TransactionId,
        response: Response,
    ) {
        if self.is_aside(transaction) {
            self.aside_answered(now, wire, transaction, Ok(response));
            let stage = self.take();
            self.stage = self.linger(stage);
            return;
        }
        self.stage = match self.take() {
            Stage::Outgoing(stage) => stage.answered(self, now, wire, response),
            Stage::Live(stage) => stage.answered(self, now, wire, transaction, response),
            Stage::Leaving(stage) => stage.answered(self, wire, response),
            stage @ (Stage::Incoming(_) | Stage::Lingering(_) | Stage::Gone) => stage,
        };
    }

    /// A transaction ended without an answer: 408 for a timeout, 503 for a lost connection (RFC 3261 §8.1.3.1).
    pub(crate) fn unanswered(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        transaction: TransactionId,
        status: Status,
    ) {
        if self.is_aside(transaction) {
            self.aside_answered(now, wire, transaction, Err(status));
            let stage = self.take();
            self.stage = self.linger(stage);
            return;
        }
        if self.aside_lost(transaction) {
            let stage = self.take();
            self.stage = self.linger(stage);
            return;
        }
        self.stage = match self.take() {
            Stage::Incoming(stage) if stage.transaction == transaction => {
                let why = EndReason::TransportLost;
                self.ended(wire, why)
            }
            Stage::Outgoing(stage) if stage.transaction == transaction => {
                stage.failed(self, wire, status, None)
            }
            Stage::Live(stage) => stage.unanswered(self, now, wire, transaction, status),
            Stage::Leaving(stage) if stage.transaction == transaction => {
                self.ended(wire, EndReason::HungUp)
            }
            stage => stage,
        };
    }

    /// A timer of the session ran out.
    pub(crate) fn due(&mut self, now: Instant, wire: &mut Wire, alarm: Alarm) {
        if let Some(place) = self.alarms.get_mut(alarm as usize) {
            *place = None;
        }
        if alarm == Alarm::Unanswered {
            self.aside_due(now, wire);
            let stage = self.take();
            self.stage = self.linger(stage);
            return;
        }
        self.stage = match (self.take(), alarm) {
            (Stage::Incoming(stage), Alarm::Repeat) => stage.repeat(self, now, wire),
            (Stage::Incoming(stage), Alarm::GiveUp) => stage.give_up(self, now, wire),
            (Stage::Incoming(stage), Alarm::Retry) => stage.remind(self, now, wire),
            (Stage::Live(stage), Alarm::Repeat) => stage.repeat(self, now, wire),
            (Stage::Live(stage), Alarm::GiveUp) => stage.give_up(self, now, wire),
            (Stage::Live(stage), Alarm::Retry) => stage.retry(self, now, wire),
            (Stage::Live(stage), Alarm::Refresh) => stage.refresh(self, now, wire),
            (Stage::Live(stage), Alarm::Expire) => {
                stage.end_with_bye(self, now, wire, EndReason::SessionExpired)
            }
            (Stage::Live(stage), Alarm::FlowLost) => {
                let mut stage = stage;
                stage.abandon(now, wire);
                self.ended(wire, EndReason::TransportLost)
            }
            (Stage::Lingering(_), Alarm::LingerOver) => Stage::Gone,
            (Stage::Outgoing(stage), Alarm::CancelOver) => {
                wire.drop_transaction(stage.transaction);
                stage.failed(self, wire, Status::REQUEST_TERMINATED, None)
            }
            (Stage::Outgoing(stage), Alarm::Silent) => stage.silent(self, wire),
            (stage, _) => stage,
        };
    }

    /// The connection is gone. Its transactions have reported already; an established dialog lives on for a while,
    /// because the other side may come back over another connection and the media may not have noticed.
    /// Undocumented; chosen: 64*T1.
    pub(crate) fn flow_closed(&mut self, now: Instant, wire: &mut Wire) {
        if matches!(self.stage, Stage::Live(_)) && !self.is_armed(Alarm::FlowLost) {
            let wait = wire.patience();
            self.arm(now, wire, Alarm::FlowLost, wait);
        }
    }

    // --- what the stages share ---

    fn take(&mut self) -> Stage {
        mem::replace(&mut self.stage, Stage::Gone)
    }

    fn tell(&self, wire: &mut Wire, event: SessionEvent) {
        wire.tell(self.id, event);
    }

    fn ended(&self, wire: &mut Wire, why: EndReason) -> Stage {
        self.tell(wire, SessionEvent::Ended { why });
        Stage::Gone
    }

    /// The other side ended the session; what it wants to know of its REFERs outlives it.
    fn left(&mut self, now: Instant, wire: &mut Wire, dialog: Dialog, why: EndReason) -> Stage {
        let gone = self.ended(wire, why);
        if self.asides.subscriptions.is_empty() && !self.asides.owe_a_refer() {
            return gone;
        }
        // Departs from RFC 3261 §15.1.2: a REFER of who hangs up right behind it is answered by what becomes of it.
        let refers = self.asides.take_refers();
        self.close(now, wire);
        self.keep_refers(now, wire, refers);
        self.arm(now, wire, Alarm::LingerOver, lingering::LONGEST);
        Stage::Lingering(Box::new(Lingering { dialog }))
    }

    fn contact(&self, wire: &Wire) -> Text {
        wire.contact(&self.flow, &self.user)
    }

    /// Follows the other side to the connection of its latest request (RFC 5626 §4.3; RFC 7118 §5).
    fn follow(&mut self, wire: &mut Wire, flow: Flow) {
        if flow.transport.is_reliable() {
            self.go_on(wire, flow);
        }
    }

    /// Follows a target refresh request that came in datagrams from another address: of a phone that changed its network, or
    /// whose NAT changed the mapping (RFC 3261 §12.2.2). A phone without NAT in between may send from any port.
    fn follow_datagram(&mut self, wire: &mut Wire, contact: &Text, flow: Flow) {
        let contact = Uri::parse(contact).ok();
        let remote = contact.map_or(flow.remote, |contact| {
            datagram_target(&contact, flow.remote)
        });
        let is_behind_nat = remote == flow.remote;
        let is_elsewhere = flow.remote.ip() != self.flow.remote.ip();
        if !flow.transport.is_reliable() && (is_behind_nat || is_elsewhere) {
            self.go_on(wire, Flow { remote, ..flow });
        }
    }

    /// Requests to the other side go over this flow from here on.
    pub(crate) fn go_on(&mut self, wire: &mut Wire, flow: Flow) {
        self.disarm(wire, Alarm::FlowLost);
        if self.flow == flow {
            return;
        }
        self.flow = flow;
        let remote = flow.remote;
        self.tell(wire, SessionEvent::Moved { remote });
    }

    /// Whether it is established, with this Call-ID, and with the phone of this Contact.
    pub(crate) fn is_of(&self, call_id: &Text, contact: &Text) -> bool {
        let Stage::Live(live) = &self.stage else {
            return false;
        };
        let same = |target: &Text| {
            target == contact
                || Uri::parse(target)
                    .is_ok_and(|target| Uri::parse(contact).is_ok_and(|uri| target.same_as(&uri)))
        };
        live.dialog.call_id == *call_id && same(&live.dialog.target)
    }

    fn arm(&mut self, now: Instant, wire: &mut Wire, alarm: Alarm, wait: Duration) {
        self.disarm(wire, alarm);
        let timer = wire.arm(now, wait, Due::Session(self.id, alarm));
        if let Some(place) = self.alarms.get_mut(alarm as usize) {
            *place = Some(timer);
        }
    }

    fn disarm(&mut self, wire: &mut Wire, alarm: Alarm) {
        if let Some(timer) = self.alarms.get_mut(alarm as usize).and_then(Option::take) {
            wire.wheel.cancel(timer);
        }
    }

    fn is_armed(&self, alarm: Alarm) -> bool {
        matches!(self.alarms.get(alarm as usize), Some(Some(_)))
    }

    /// The session is gone: nothing of it stays behind.
    pub(crate) fn close(&mut self, now: Instant, wire: &mut Wire) {
        self.close_asides(now, wire);
        self.disarm_all(wire);
    }

    /// Stops all timers.
    fn disarm_all(&mut self, wire: &mut Wire) {
        for timer in self.alarms.iter_mut().filter_map(Option::take) {
            wire.wheel.cancel(timer);
        }
    }

    /// Sends BYE and waits for its answer.
    fn leave(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        mut dialog: Dialog,
        headers: Vec<Header>,
    ) -> Stage {
        self.close(now, wire);
        let transaction = wire.bye(now, self.flow, &mut dialog, headers, Some(self.id));
        Stage::Leaving(Box::new(Leaving {
            dialog,
            transaction,
        }))
    }
}

/// Puts a session description into a message.
pub(crate) fn put_sdp(headers: &mut Headers, body: &mut Bytes, sdp: Option<Bytes>) {
    if let Some(sdp) = sdp {
        headers.set(Name::ContentType, Text::from_static("application/sdp"));
        *body = sdp;
    }
}
