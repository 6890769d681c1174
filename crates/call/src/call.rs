//! `call::Call`: inputs in, outputs out; the life of a call and its end.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use sip::{EndReason, InDialog, Request, RequestId, SessionEvent, Status};
use uuid::Uuid;

use crate::about::{AuthUser, Fetch, FetchFailure, FetchId, Notice};
use crate::across::Word;
use crate::cdr::{Cause, Cdr, HangupSource};
use crate::command::Command;
use crate::context::{Context, Heard, Timer};
use crate::leg::{CallNumber, End, EndpointId, LegId, LegRecord, Wire};
use crate::script::Reading;
use crate::transfer::Transferor;
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
    /// Asked what to do when a side of the call sends REFER.
    pub transfer: Option<Link>,
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
    /// What is left of the INVITE's Max-Forwards for the legs that it causes (RFC 3261 §16.6 step 3); none begins anew.
    pub max_forwards: Option<u8>,
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
    /// Takes the place of a session of another call (RFC 3891 §3).
    Replace {
        /// The session.
        replaced: sip::SessionId,
        /// How long the two may talk.
        time_limit: Duration,
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
    /// The target of a transfer is an application, which has this answer URL.
    Application {
        /// The question.
        query: QueryId,
        /// The URL.
        answer: Link,
    },
    /// The row of this leg is on disk.
    Recorded(LegId),
    /// A leg that a transfer made may talk so long, by a limit of who transferred.
    Allowed {
        /// The leg, which is answered.
        leg: LegId,
        /// How long.
        left: Duration,
    },
    /// Another call says something.
    Across {
        /// The leg that it says it to.
        to: LegId,
        /// Its leg.
        from: sip::SessionId,
        /// What it says.
        word: Word,
    },
    /// Somebody wants something of the call.
    Command(Command),
    /// The time of [`Call::poll_timeout`] has come.
    Due,
}

/// What a call wants done.
#[derive(Debug)]
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
    /// Something for another call.
    Across {
        /// The session that it is about there.
        to: sip::SessionId,
        /// Our session.
        from: sip::SessionId,
        /// What is said.
        word: Word,
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
        } = start;
        let hangup = match &script {
            Script::Application { hangup, .. }
            | Script::Document { hangup, .. }
            | Script::Replace { hangup, .. }
            | Script::Refused { hangup, .. } => hangup.clone(),
        };
        let mut ctx = Context::new(now, number, shard, uuids, caller, hangup);
        ctx.allowance = allowance;
        ctx.transfer = transfer;
        let (reading, end) = Reading::start(&mut ctx, script);
        let mut call = Self { ctx, reading };
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
                self.tell_script(Event::Fetched { fetch, outcome })
            }
            Input::Located { query, outcome } => {
                self.tell_script(Event::Located { query, outcome })
            }
            Input::Application { query, answer } => {
                self.tell_script(Event::Application { query, answer })
            }
            Input::Across { to, from, word } => self.on_word(to, from, word),
            Input::Recorded(LegId::A) => self.ctx.release(),
            Input::Recorded(_) => {}
            Input::Allowed { leg, left } => self.ctx.allow(leg, left),
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

    fn on_word(&mut self, to: LegId, from: sip::SessionId, word: Word) {
        match (word, self.ctx.distant(from)) {
            (Word::Join { replaced }, _) => {
                match self.reading.join(&mut self.ctx, to, from, replaced) {
                    Ok(end) => self.end_with(end),
                    Err(status) => self.ctx.say(from, to, Word::Declined { replaced, status }),
                }
            }
            (word @ (Word::Joined { .. } | Word::Rings { .. } | Word::Declined { .. }), _) => {
                if self.reading.awaits(&word) {
                    self.tell_script(Event::Across { from, word });
                } else if !matches!(word, Word::Declined { .. }) {
                    self.ctx.say(from, to, Word::Gone);
                }
            }
            (
                Word::Refer {
                    id,
                    refer,
                    endpoint,
                    name,
                },
                Some(distant),
            ) => {
                let by = Transferor {
                    leg: distant,
                    endpoint,
                    name,
                };
                if let Err(status) = self.reading.refer(&mut self.ctx, by, id, *refer) {
                    self.ctx.respond(distant, id, status);
                }
            }
            (Word::Responded { id, status }, Some(_)) => {
                self.reading.responded(&mut self.ctx, to, id, status);
            }
            (Word::Progress { id, status, reason }, Some(_)) => {
                self.ctx.notify(to, id, status, reason);
            }
            (Word::Gone, Some(distant)) => {
                let why = EndReason::Bye { reason: None };
                self.on_leg(distant, SessionEvent::Ended { why });
            }
            (word, Some(distant)) => self.ctx.heard_across(distant, word),
            (Word::Offer | Word::Refer { .. }, None) => self.ctx.say(from, to, Word::Gone),
            (_, None) => {}
        }
    }

    fn on_leg(&mut self, leg: LegId, event: SessionEvent) {
        if let SessionEvent::Found { replaced, .. } = event {
            // Who asked may have left: whom it leaves still waits for the answer.
            self.tell_script(Event::Found(replaced));
            return;
        }
        if matches!(event, SessionEvent::Ended { .. }) {
            self.reading.left(&mut self.ctx, leg);
        }
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
            SessionEvent::Ended { why } if self.reading.is_transferred_by(leg) => {
                let end = End::of_session(&why, party(leg));
                let end = self.reading.transferor_left(&mut self.ctx, end);
                self.end_with(end);
            }
            SessionEvent::Ended { why } if leg == self.ctx.served() => {
                let party = match self.ctx.is_distant(leg) {
                    true => HangupSource::Caller,
                    false => party(leg),
                };
                self.caller_left(End::of_session(&why, party), None);
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
            SessionEvent::Requested { id, wants, request } => {
                self.on_request(leg, id, wants, &request);
            }
            SessionEvent::Responded { id, status, .. } => self.ctx.aside_answered(leg, id, status),
            SessionEvent::Moved { remote } => self.ctx.moved(leg, remote.ip()),
            SessionEvent::Acknowledged { .. } | SessionEvent::Notified { .. } => {}
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

    /// A request inside a leg's dialog.
    fn on_request(&mut self, leg: LegId, id: RequestId, wants: InDialog, request: &Request) {
        match wants {
            InDialog::Refer(refer) => {
                let by = self.ctx.transferor(leg);
                if let Err(status) = self.reading.refer(&mut self.ctx, by, id, *refer) {
                    self.ctx.respond(leg, id, status);
                }
            }
            InDialog::Info => self.ctx.informed(leg, id, request),
            InDialog::Message => self.ctx.messaged(leg, id, request),
            InDialog::Offer { .. } => {
                self.ctx.respond(leg, id, Status::NOT_ACCEPTABLE_HERE);
            }
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
                if self.ctx.peer().is_some() {
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
                Timer::TimeLimit => self.tell_script(Event::TimeLimit),
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
                Timer::Allowance | Timer::ReferredAllowance => {
                    self.hang_up(End::new(Cause::MinutesLimit, HangupSource::Platform));
                }
            }
        }
    }

    fn tell_script(&mut self, event: Event) {
        let end = self.reading.on_event(&mut self.ctx, event);
        self.end_with(end);
    }

    fn end_with(&mut self, end: Option<End>) {
        if let Some(end) = end {
            self.hang_up(end);
        }
    }

    /// The wire itself ended the leg of the caller, or of who took its place.
    fn caller_left(&mut self, end: End, status: Option<Status>) {
        let served = self.ctx.served();
        self.ctx.attempt_gone(served, status.map(|status| status.0));
        self.hang_up(end);
    }

    /// Ends the call: first the legs that it made, then the caller's or that of who took its place.
    fn hang_up(&mut self, end: End) {
        self.reading.stop(&mut self.ctx, end);
        self.ctx.clear_timer(Timer::Verb);
        self.ctx.clear_timer(Timer::Turn);
        self.ctx.clear_timer(Timer::TimeLimit);
        self.ctx.clear_timer(Timer::Schedule);
        self.ctx.clear_timer(Timer::Allowance);
        self.ctx.clear_timer(Timer::ReferredAllowance);
        self.ctx.end_leg(self.ctx.served_leg(), end);
    }
}

/// Who sits at the far end of a leg.
fn party(leg: LegId) -> HangupSource {
    match leg {
        LegId::A => HangupSource::Caller,
        _ => HangupSource::Callee,
    }
}
