//! `call::Call`: inputs in, outputs out; the life of a call and its end.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use sip::{Refer, RequestId, SessionEvent, Status};
use uuid::Uuid;

use crate::about::{AuthUser, Fetch, FetchFailure, FetchId, Notice};
use crate::cdr::{Cause, Cdr, HangupSource};
use crate::command::Command;
use crate::context::{Context, Heard, Timer};
use crate::leg::{CallNumber, End, EndpointId, LegId, LegRecord, Wire};
use crate::link::LinkMessage;
use crate::script::{Reading, not_replaced};
use crate::tail::{self, Course, Moving, Next, Tail, refer_of};
use crate::verb::{Document, Event, Hangup, Link, LocateFailure, Located, QueryId, TargetKind};

/// One moment, on the clock that never jumps and on the one that people read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Now {
    /// For durations and deadlines.
    pub instant: Instant,
    /// For records.
    pub wall: Timestamp,
}

/// What a call begins with.
pub struct Start {
    /// Unique in this process.
    pub number: CallNumber,
    /// The signalling shard that holds its sessions.
    pub shard: u8,
    /// Names the legs.
    pub uuids: Box<dyn FnMut() -> Uuid + Send>,
    /// Who calls.
    pub caller: Caller,
    /// What the call does.
    pub script: Script,
    /// How long the caller may talk at most, by a limit of its account.
    pub allowance: Option<Duration>,
    /// Asked before a side of the call is transferred; none: phones may.
    pub transfer: Option<Link>,
    /// For targets of transfers.
    pub patience: Patience,
}

/// How long what no document says may take.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Patience {
    /// How long it rings.
    pub ring: Duration,
    /// How long the bridge lasts.
    pub talk: Duration,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("number", &self.number)
            .field("shard", &self.shard)
            .field("caller", &self.caller)
            .field("script", &self.script)
            .finish_non_exhaustive()
    }
}

/// Who calls; the session of leg 0 is already accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The caller as callbacks show it: `sip:user@domain`, or digits.
    pub from: String,
    /// What was dialled, as callbacks show it.
    pub to: String,
    /// The display name.
    pub name: String,
    /// What a called party is shown: a number or a user part.
    pub number_or_user: String,
    /// The flow of the INVITE.
    pub source: sip::Flow,
    /// The To header of the INVITE.
    pub to_header: String,
    /// Custom headers of the INVITE: name as sent, value.
    pub headers: Vec<(String, String)>,
    /// Who authenticated.
    pub auth: Option<AuthUser>,
    /// The endpoint that calls.
    pub endpoint: Option<EndpointId>,
    /// The session description of the INVITE.
    pub offer: Option<Bytes>,
    /// The SIP domain of the account: host of From on legs that the call makes.
    pub domain: String,
    /// Call-ID of the INVITE.
    pub call_id: Option<String>,
    /// Whether the other side must not learn who calls (RFC 3323 §4.2).
    pub anonymous: bool,
}

/// What a call does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Script {
    /// Asks the customer.
    Application {
        /// Asked first.
        answer: Option<Link>,
        /// Asked when the answer URL brought nothing.
        fallback: Option<Link>,
        /// Told of the end.
        hangup: Option<Link>,
    },
    /// Runs a document that is already there.
    Document {
        /// The document.
        document: Document,
        /// Told of the end.
        hangup: Option<Link>,
    },
    /// Takes the place of another call's leg (RFC 3891 §3).
    Replace {
        /// The session that is replaced.
        session: sip::SessionId,
        /// Told of the end.
        hangup: Option<Link>,
    },
    /// Refuses the caller, with a record.
    Refused {
        /// What the record says.
        cause: Cause,
        /// What the caller is told, 400 to 699.
        status: u16,
        /// Told of the end.
        hangup: Option<Link>,
    },
}

/// What can happen to a call.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "lives from the channel to handle; most inputs are of the large kind"
)]
pub enum Input {
    /// Something happened to a leg on the wire.
    Leg {
        /// The leg.
        leg: LegId,
        /// What happened.
        event: sip::SessionEvent,
    },
    /// The stack has no room for a leg ([`sip::Event::NoRoom`]).
    LegRefused(LegId),
    /// Something happened to the media of a leg.
    Media(media::Event),
    /// A document came, or did not.
    Fetched {
        /// The question.
        fetch: FetchId,
        /// The answer.
        outcome: Result<Document, FetchFailure>,
    },
    /// A target was found, or was not.
    Located {
        /// The question.
        query: QueryId,
        /// The answer.
        outcome: Result<Located, LocateFailure>,
    },
    /// A leg of another call says something to one of this call.
    Link {
        /// The leg that is meant.
        leg: LegId,
        /// Who says it.
        from: sip::SessionId,
        /// What.
        message: LinkMessage,
    },
    /// The row of this leg is on disk.
    Recorded(LegId),
    /// Somebody wants something of the call.
    Command(Command),
    /// The time of [`Call::poll_timeout`] has come.
    Due,
}

/// What a call wants done.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "taken at once; most outputs are of the large kinds"
)]
pub enum Output {
    /// For the stack of the call's shard.
    Sip(sip::Command),
    /// For the media plane.
    Media(media::Command),
    /// A question to the customer's server.
    Fetch(Fetch),
    /// Where is this target?
    Locate {
        /// Comes back in the answer.
        query: QueryId,
        /// Who.
        target: TargetKind,
        /// The endpoint that calls.
        caller: Option<EndpointId>,
        /// The caller ID that the target is to see, if it may.
        shown: String,
    },
    /// Say something to a leg of another call of the same account, as [`Input::Link`]; where there is none, answer
    /// [`LinkMessage::Refused`] to [`LinkMessage::Ask`] and [`LinkMessage::Gone`] to the rest.
    Link {
        /// To whom.
        to: sip::SessionId,
        /// In whose name.
        from: sip::SessionId,
        /// What.
        message: LinkMessage,
    },
    /// Tell the customer's server.
    Notify(Notice),
    /// Insert or update the row of a leg, and say [`Input::Recorded`].
    Record(LegRecord),
    /// A leg is over: its final row.
    Cdr(Cdr),
    /// The call is over; nothing follows.
    Over,
}

/// One call: the caller's leg, the legs that its script makes, and the records they leave.
pub struct Call {
    ctx: Context,
    reading: Reading,
    /// A transfer that is not decided yet.
    moving: Option<Moving>,
    /// What the call goes on as once its script is out of its hands.
    tail: Option<Tail>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("reading", &self.reading)
            .finish_non_exhaustive()
    }
}

impl Call {
    /// Starts a call: its first output is the caller's record.
    pub fn new(now: Now, start: Start) -> Self {
        let Start {
            number,
            shard,
            uuids,
            caller,
            script,
            allowance,
            transfer,
            patience,
        } = start;
        let hangup = match &script {
            Script::Application { hangup, .. }
            | Script::Document { hangup, .. }
            | Script::Replace { hangup, .. }
            | Script::Refused { hangup, .. } => hangup.clone(),
        };
        let mut ctx = Context::new(now, number, shard, uuids, caller, hangup);
        ctx.allowance = allowance;
        ctx.patience = patience;
        ctx.set_transfer(transfer);
        let (reading, end) = Reading::start(&mut ctx, script);
        let mut call = Self {
            ctx,
            reading,
            moving: None,
            tail: None,
        };
        call.end_with(end);
        call.ctx.settle();
        call
    }

    /// Makes exactly one change; drain [`Call::poll_output`] afterwards.
    pub fn handle(&mut self, now: Now, input: Input) {
        if self.ctx.is_over() {
            return;
        }
        self.ctx.now = now;
        match input {
            Input::Leg { leg, event } => self.on_leg(leg, event),
            Input::LegRefused(leg) => self.on_refused(leg),
            Input::Media(event) => self.on_media(event),
            Input::Fetched { fetch, outcome } => {
                match self.moving.take_if(|moving| moving.asks(fetch)) {
                    Some(moving) => {
                        let course = moving.answered(&mut self.ctx, outcome);
                        self.take_course(course);
                    }
                    None => self.tell_script(Event::Fetched { fetch, outcome }),
                }
            }
            Input::Link { leg, from, message } => self.on_link(leg, from, message),
            Input::Located { query, outcome } => {
                self.tell_script(Event::Located { query, outcome })
            }
            Input::Recorded(LegId::A) => self.ctx.release(),
            Input::Recorded(_) => {}
            Input::Command(Command::HangUp { cause, source }) => {
                self.hang_up(End::new(cause, source));
                self.ctx.release();
            }
            Input::Due => self.on_due(),
        }
        self.ctx.settle();
    }

    /// Takes the next thing to do for the world outside.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.ctx.outputs.pop_front()
    }

    /// Tells when [`Input::Due`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ctx.next_timeout()
    }

    /// Tells whether [`Output::Over`] was put out.
    pub const fn is_over(&self) -> bool {
        self.ctx.is_over()
    }

    fn on_leg(&mut self, leg: LegId, event: SessionEvent) {
        if leg == LegId::A && self.ctx.wire(leg) == Wire::Gone {
            // A refusal may still wait for the caller's row; a session that is gone gets none.
            if matches!(
                event,
                SessionEvent::Cancelled { .. } | SessionEvent::Ended { .. }
            ) {
                self.ctx.attempt_gone(leg, None);
            }
            return;
        }
        match event {
            _ if self.ctx.wire(leg) == Wire::Gone => {}
            SessionEvent::Cancelled { .. } if leg == LegId::A => {
                self.ctx.forget_answer();
                self.caller_left(
                    End::new(Cause::Canceled, HangupSource::Caller),
                    Some(Status::REQUEST_TERMINATED),
                );
            }
            SessionEvent::Requested { id, wants, .. } => match refer_of(wants) {
                Ok(refer) => self.refer(leg, id, refer),
                Err(wants) => self.ctx.asked(leg, id, &wants),
            },
            SessionEvent::Found { request, replaced } => {
                if let Some(moving) = self.moving.take() {
                    let course = moving.found(&mut self.ctx, request, replaced);
                    self.take_course(course);
                }
            }
            SessionEvent::Ended { .. } | SessionEvent::Failed { .. }
                if self.tail.is_some() || self.is_moved_by(leg) =>
            {
                self.left_after_script(leg, event);
            }
            SessionEvent::Ended { why } if leg == LegId::A => {
                self.caller_left(End::of_session(&why, HangupSource::Caller), None);
            }
            SessionEvent::Failed { status, .. } if leg == LegId::A => {
                self.caller_left(
                    End::new(Cause::NetworkError, HangupSource::Error),
                    Some(status),
                );
            }
            SessionEvent::Offered { sdp } => self.ctx.reoffered(leg, sdp),
            SessionEvent::Reanswered { sdp } => self.ctx.reanswered(leg, sdp),
            SessionEvent::ReofferFailed { status } => self.ctx.reoffer_failed(leg, status),
            SessionEvent::Acknowledged { .. }
            | SessionEvent::Responded { .. }
            | SessionEvent::Notified { .. } => {}
            SessionEvent::Confirmed { sdp } => {
                if !self.ctx.reoffer_confirmed(leg, sdp.clone()) {
                    self.tell_script(Event::Leg {
                        leg,
                        event: SessionEvent::Confirmed { sdp },
                    });
                }
            }
            event => self.tell_script(Event::Leg { leg, event }),
        }
    }

    fn on_refused(&mut self, leg: LegId) {
        if self.ctx.wire(leg) == Wire::Gone {
            return;
        }
        if leg == LegId::A {
            let end = End::new(Cause::ConcurrencyLimit, HangupSource::Platform);
            self.caller_left(end, Some(Status::SERVICE_UNAVAILABLE));
        } else {
            self.tell_script(Event::Refused(leg));
        }
    }

    fn on_media(&mut self, event: media::Event) {
        let Some((leg, heard)) = self.ctx.hear(event) else {
            return;
        };
        match heard {
            // How long a side may be silent is set where the media is watched: plivo-rest.md §15, 6020.
            Heard::Silent => {
                if self.ctx.is_bridged() {
                    self.hang_up(End::new(Cause::MediaTimeout, HangupSource::Platform));
                }
            }
            heard => {
                if !self.ctx.reoffer_heard(leg, &heard) {
                    self.tell_script(Event::Media { leg, heard });
                }
            }
        }
    }

    fn on_due(&mut self) {
        while let Some(timer) = self.ctx.take_due() {
            match timer {
                Timer::Verb => self.tell_script(Event::Deadline),
                Timer::Turn => self.tell_script(Event::Turn),
                Timer::Schedule => self.hang_up(Hangup::scheduled()),
                Timer::Recorded => {
                    self.hang_up(End::with_status(
                        Cause::InternalError,
                        HangupSource::Error,
                        500,
                    ));
                    self.ctx.release();
                }
                Timer::Closed => self.ctx.closing_overdue(),
                Timer::Allowance => {
                    self.hang_up(End::new(Cause::MinutesLimit, HangupSource::Platform));
                }
            }
        }
    }

    /// A leg asks for a transfer: RFC 3515 §2.4.
    fn refer(&mut self, leg: LegId, id: RequestId, refer: Box<Refer>) {
        let status = match self.ctx.own_peer_of(leg) {
            _ if refer.to.method != sip::Method::Invite => Some(Status::NOT_IMPLEMENTED),
            // One at a time; and who talks with another call's leg was transferred already.
            Some(_) if self.moving.is_some() || matches!(self.tail, Some(Tail::Called { .. })) => {
                Some(Status::REQUEST_PENDING)
            }
            Some(kept) => {
                let course = Moving::begin(&mut self.ctx, leg, kept, id, refer);
                self.take_course(course);
                None
            }
            None => Some(Status::DECLINE),
        };
        if let Some(status) = status {
            self.ctx.respond(leg, id, status);
        }
    }

    fn is_moved_by(&self, leg: LegId) -> bool {
        self.moving
            .as_ref()
            .is_some_and(|moving| moving.concerns(leg))
    }

    fn take_course(&mut self, course: Course) {
        match course {
            Course::Wait(moving) => self.moving = Some(moving),
            Course::Call(transfer, dial) => {
                self.reading.hand_over(&mut self.ctx);
                self.tail = tail::call(&mut self.ctx, transfer, dial).or(Some(Tail::Pair));
                self.end_when_alone();
            }
            Course::Over => self.end_when_alone(),
        }
    }

    /// After a transfer that came to nothing: who was left alone by its transferor has nobody to talk with.
    fn end_when_alone(&mut self) {
        if matches!(self.tail, Some(Tail::Pair)) && !self.ctx.is_bridged() {
            self.hang_up(End::new(Cause::NormalHangup, HangupSource::Platform));
        }
    }

    /// A leg left while no script has it, or while a transfer is decided.
    fn left_after_script(&mut self, leg: LegId, event: SessionEvent) {
        if self.tail.is_none() {
            self.reading.hand_over(&mut self.ctx);
            self.tail = Some(Tail::Pair);
        }
        match self.moving.take() {
            // The transferor leaves; whom it had is kept until it is decided.
            Some(moving) if moving.is_by(leg) => {
                self.ctx.attempt_gone(leg, None);
                self.ctx.end_leg_of(leg, tail::party_end(leg));
                self.moving = Some(moving);
            }
            Some(moving) if moving.concerns(leg) => {
                moving.refused(&mut self.ctx, Status::REQUEST_TERMINATED);
                self.tell_tail(leg, event);
            }
            moving => {
                self.moving = moving;
                self.tell_tail(leg, event);
            }
        }
    }

    fn tell_tail(&mut self, leg: LegId, event: SessionEvent) {
        if let Some(tail) = &mut self.tail {
            let next = tail.on_leg(&mut self.ctx, leg, event);
            self.go(next);
        }
    }

    fn go(&mut self, next: Next) {
        if let Next::End(end) = next {
            self.hang_up(end);
        }
    }

    fn on_link(&mut self, leg: LegId, from: sip::SessionId, message: LinkMessage) {
        match message {
            LinkMessage::Ask => {
                let given = match &self.tail {
                    Some(Tail::Linked { .. }) => Err(Status::REQUEST_PENDING),
                    _ if self.moving.is_some() => Err(Status::REQUEST_PENDING),
                    _ => Tail::give(&mut self.ctx, &mut self.reading, leg, from),
                };
                match given {
                    Ok(tail) => self.tail = Some(tail),
                    Err(status) => {
                        let own = self.ctx.session(leg);
                        self.ctx.outputs.push_back(Output::Link {
                            to: from,
                            from: own,
                            message: LinkMessage::Refused(status),
                        });
                    }
                }
            }
            LinkMessage::Granted { peer, up } => {
                if let Some(moving) = self.moving.take_if(|moving| moving.asks_call()) {
                    self.reading.hand_over(&mut self.ctx);
                    self.tail = Some(moving.granted(&mut self.ctx, peer));
                } else if self.reading.is_replacing() {
                    self.reading.hand_over(&mut self.ctx);
                    self.tail = Some(Tail::taken(&mut self.ctx, peer, up));
                } else {
                    // Whoever asked has left meanwhile.
                    self.ctx.say(peer, LinkMessage::Gone);
                }
            }
            LinkMessage::Refused(status) => {
                if let Some(moving) = self.moving.take_if(|moving| moving.asks_call()) {
                    let course = moving.refused(&mut self.ctx, status);
                    self.take_course(course);
                } else if self.reading.is_replacing() {
                    self.hang_up(not_replaced(status));
                }
            }
            LinkMessage::Refresh | LinkMessage::Gone => {
                if let Some(tail) = &mut self.tail
                    && let Some(end) = tail.on_link(&mut self.ctx, from, message)
                {
                    self.hang_up(end);
                }
            }
        }
    }

    fn tell_script(&mut self, event: Event) {
        if let Some(tail) = &mut self.tail {
            let next = tail.on_event(&mut self.ctx, event);
            return self.go(next);
        }
        let end = self.reading.on_event(&mut self.ctx, event);
        self.end_with(end);
    }

    fn end_with(&mut self, end: Option<End>) {
        if let Some(end) = end {
            self.hang_up(end);
        }
    }

    /// The wire itself ended the caller's leg.
    fn caller_left(&mut self, end: End, status: Option<Status>) {
        self.ctx
            .attempt_gone(LegId::A, status.map(|status| status.0));
        self.hang_up(end);
    }

    /// Ends the call: first the legs that it made, then the caller's.
    fn hang_up(&mut self, end: End) {
        if let Some(moving) = self.moving.take() {
            moving.refused(&mut self.ctx, Status::REQUEST_TERMINATED);
        }
        if let Some(mut tail) = self.tail.take() {
            tail.stop(&mut self.ctx, end);
        }
        self.reading.stop(&mut self.ctx, end);
        self.ctx.clear_timer(Timer::Verb);
        self.ctx.clear_timer(Timer::Turn);
        self.ctx.clear_timer(Timer::Schedule);
        self.ctx.clear_timer(Timer::Allowance);
        self.ctx.end_leg(LegId::A, end);
    }
}
