//! A Dial that runs: voice-xml.md §4.6.
//!
//! All targets are looked up and called at once. A target is one leg with one attempt for each place where it can be
//! reached. The first attempt that answers wins; the others are hung up at once, then the winner is joined with the
//! caller: its description is read, the caller is answered like it, the two are bridged.

use std::time::Duration;

use bytes::Bytes;
use media::OfferOrAnswer;
use sip::{SessionEvent, Status};
use uuid::Uuid;

use crate::about::{DialAction, DialStatus, DialSummary, FetchFailure, FetchId, Occasion};
use crate::address::{custom_headers, from_value};
use crate::cdr::{Cause, HangupSource};
use crate::context::{Context, Heard, Timer};
use crate::leg::{Described, End, LegId, Wire};
use crate::verb::dial::{Dial, LocateFailure, Located, Place, QueryId, Target};
use crate::verb::{Event, Step, too_many_documents};

/// Targets of one Dial; the rest is not called.
const MAX_TARGETS: usize = 20;
/// Attempts on the wire of one Dial.
const MAX_ATTEMPTS: usize = 32;
/// How long it may take to join an answered leg with the caller: more than the wait for an ACK, 64·T1.
const JOIN_LIMIT: Duration = Duration::from_secs(40);

/// A Dial that runs.
#[derive(Debug)]
pub(crate) struct Dialing {
    dial: Dial,
    state: State,
    tries: Vec<Try>,
    /// Attempts that may still be made.
    room: usize,
    rang: bool,
    early: Option<Early>,
    /// The best refusal so far.
    refusal: Option<End>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    /// Targets are looked up and called.
    Ringing,
    /// One has answered and is being joined with the caller.
    Joining { b: LegId, step: Join },
    /// The two talk.
    Bridged { b: LegId },
    /// The Dial is over, the action's document awaited.
    Asking { fetch: FetchId },
    /// Nothing more will be done.
    Over,
}

/// The steps from an answer of a callee to the bridge.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Join {
    /// The plane reads the callee's answer.
    ReadB,
    /// The plane makes our answer to the caller's offer.
    AnswerA,
    /// The caller made no offer: the plane makes ours for the 200.
    OfferA,
    /// The caller's ACK brings its answer.
    AwaitAck,
    /// The plane reads it.
    ReadA,
}

/// One target.
#[derive(Debug)]
struct Try {
    target: Target,
    position: u16,
    state: TryState,
    refusal: Option<End>,
}

#[derive(Debug)]
enum TryState {
    /// Asked where it is.
    Locating(QueryId),
    /// Its leg is called at one or several places.
    Calling {
        leg: LegId,
        attempts: Vec<(LegId, Option<Place>)>,
    },
    /// It cannot be reached, or its leg is over.
    Over,
}

/// The callee whose early media the caller hears.
#[derive(Debug)]
struct Early {
    b: LegId,
    description: Bytes,
    step: EarlyStep,
}

#[derive(Debug)]
enum EarlyStep {
    /// The plane reads what the callee described.
    Reading,
    /// The plane makes our answer to the caller.
    Answering,
    /// The caller has it in a 183.
    Sent(Bytes),
    /// The caller cannot be given it.
    Useless,
}

impl Dialing {
    pub(crate) fn start(mut dial: Dial, ctx: &mut Context) -> Result<Self, Step> {
        let targets = std::mem::take(&mut dial.targets);
        if targets.is_empty() {
            // voice-xml.md §4.6: no usable child, next element, no action.
            return Err(Step::Done);
        }
        ctx.show_headers(&dial.sip_headers);
        ctx.set_timer(Timer::Verb, dial.timeout);
        let tries = targets
            .into_iter()
            .take(MAX_TARGETS)
            .zip(1..)
            .map(|(target, position)| {
                let state = TryState::Locating(ctx.locate(target.kind.clone()));
                Try {
                    target,
                    position,
                    state,
                    refusal: None,
                }
            })
            .collect();
        Ok(Self {
            dial,
            state: State::Ringing,
            tries,
            room: MAX_ATTEMPTS,
            rang: false,
            early: None,
            refusal: None,
        })
    }

    pub(crate) fn on_event(&mut self, ctx: &mut Context, event: Event) -> Step {
        match (self.state, event) {
            (State::Ringing, Event::Located { query, outcome }) => {
                self.located(ctx, query, outcome)
            }
            (
                _,
                Event::Media {
                    leg: LegId::A,
                    heard,
                },
            ) => self.heard_a(ctx, heard),
            (_, Event::Media { leg, heard }) => self.heard_b(ctx, leg, heard),
            (
                State::Joining {
                    b,
                    step: Join::AwaitAck,
                },
                Event::Leg {
                    leg: LegId::A,
                    event,
                },
            ) => self.acknowledged(ctx, b, event),
            (_, Event::Leg { leg: LegId::A, .. }) => Step::Continue,
            (
                State::Ringing,
                Event::Leg {
                    leg,
                    event: SessionEvent::Ringing { status, sdp, .. },
                },
            ) => self.rings(ctx, leg, status, sdp),
            (
                State::Ringing,
                Event::Leg {
                    leg,
                    event: SessionEvent::Answered { sdp, response },
                },
            ) => self.answered(
                ctx,
                leg,
                sdp,
                response.call_id().map(|id| String::from(&**id)),
            ),
            (
                _,
                Event::Leg {
                    leg,
                    event: SessionEvent::Failed { status, response },
                },
            ) => {
                ctx.attempt_gone(leg, Some(status.0));
                let source = if response.is_some() {
                    HangupSource::Callee
                } else {
                    HangupSource::Error
                };
                self.lost(
                    ctx,
                    leg,
                    End::with_status(Cause::from_sip_status(status.0), source, status.0),
                )
            }
            (_, Event::Refused(leg)) => {
                ctx.attempt_gone(leg, None);
                self.lost(ctx, leg, no_room())
            }
            (
                _,
                Event::Leg {
                    leg,
                    event: SessionEvent::Ended { why },
                },
            ) => {
                ctx.attempt_gone(leg, None);
                self.lost(ctx, leg, End::of_session(&why, HangupSource::Callee))
            }
            (State::Ringing, Event::Deadline) => self.rang_long_enough(ctx),
            (State::Joining { .. }, Event::Deadline) => Step::End(End::with_status(
                Cause::InternalError,
                HangupSource::Error,
                500,
            )),
            (State::Bridged { b }, Event::Deadline) => {
                let end = End::new(Cause::ScheduledHangup, HangupSource::Platform);
                self.bridge_over(ctx, b, end)
            }
            (
                State::Asking { fetch },
                Event::Fetched {
                    fetch: answered,
                    outcome,
                },
            ) if fetch == answered => {
                self.state = State::Over;
                match outcome {
                    Ok(document) => Step::Replace(document),
                    Err(failure) => {
                        Step::End(End::new(action_failed(failure), HangupSource::Error))
                    }
                }
            }
            _ => Step::Continue,
        }
    }

    /// Undoes what is open, because the caller's leg ends.
    pub(crate) fn stop(&mut self, ctx: &mut Context, end: End) {
        let (status, cause) = match (std::mem::replace(&mut self.state, State::Over), end.cause) {
            (State::Asking { .. } | State::Over, _) => return,
            (State::Bridged { .. }, Cause::Canceled) => {
                (DialStatus::Completed, Cause::NormalHangup)
            }
            (State::Bridged { .. }, cause) => (DialStatus::Completed, cause),
            (_, Cause::NormalHangup | Cause::Canceled) => (DialStatus::Cancel, Cause::Canceled),
            (_, cause) => (DialStatus::of(cause), cause),
        };
        let b_leg = if status == DialStatus::Completed {
            self.winner(ctx)
        } else {
            None
        };
        self.end_all(ctx, end);
        if let Some(link) = self.dial.action.clone() {
            let summary = DialSummary {
                status,
                rang: self.rang,
                cause,
                b_leg,
            };
            ctx.fetch_only(link, Occasion::DialEnded(summary));
        }
    }

    // ---- targets

    fn located(
        &mut self,
        ctx: &mut Context,
        query: QueryId,
        outcome: Result<Located, LocateFailure>,
    ) -> Step {
        let room = self.room;
        let Some(r#try) = self
            .tries
            .iter_mut()
            .find(|t| matches!(t.state, TryState::Locating(q) if q == query))
        else {
            return Step::Continue;
        };
        let Some(leg) = ctx.new_leg_id() else {
            return Step::End(too_many_documents());
        };
        let from = shown_from(&self.dial, &r#try.target, ctx);
        let (mut record, places, failure) = match outcome {
            Ok(located) => {
                let mut record = ctx.callee_record(leg, from, located.shows_as);
                record.endpoint = located.endpoint;
                let failure = if located.destinations.is_empty() {
                    Some(LocateFailure::NotRegistered.end())
                } else {
                    (room == 0).then(no_room)
                };
                (record, located.destinations, failure)
            }
            Err(failure) => {
                let to = r#try.target.kind.text().to_owned();
                (
                    ctx.callee_record(leg, from, to),
                    Vec::new(),
                    Some(failure.end()),
                )
            }
        };
        record.source_ip = places.first().map(|place| place.near);
        ctx.open_leg(record, self.dial.callback.clone(), r#try.position);
        if let Some(end) = failure {
            r#try.state = TryState::Over;
            ctx.end_leg(leg, end);
            self.refusal = Some(end.better(self.refusal));
            return self.nobody_left(ctx);
        }
        let mut attempts = Vec::new();
        for place in places.into_iter().take(room) {
            let id = if attempts.is_empty() {
                Some(leg)
            } else {
                ctx.new_leg_id()
            };
            let Some(id) = id else { break };
            ctx.open_attempt(id, leg, Wire::Idle, place.near);
            attempts.push((id, Some(place)));
        }
        self.room -= attempts.len();
        r#try.state = TryState::Calling { leg, attempts };
        self.call_ready(ctx);
        Step::Continue
    }

    /// Asks for offers to everybody who is found, once the plane knows what the caller offers.
    fn call_ready(&mut self, ctx: &mut Context) {
        let like = if ctx.wire(LegId::A) == Wire::Up {
            Some(LegId::A)
        } else {
            match (ctx.caller.offer.clone(), ctx.described(LegId::A)) {
                (None, _) => None,
                (Some(_), Described::Yes) => Some(LegId::A),
                (Some(_), Described::Asked) => return,
                (Some(offer), Described::No) => {
                    ctx.describe(LegId::A, OfferOrAnswer::Offer, offer);
                    return;
                }
            }
        };
        for r#try in &self.tries {
            if let TryState::Calling { attempts, .. } = &r#try.state {
                for (id, place) in attempts {
                    if place.is_some() && !ctx.has_asked_offer(*id) {
                        ctx.make_offer(*id, like);
                    }
                }
            }
        }
    }

    /// The offer for an attempt is made: its INVITE goes out.
    fn invite(&mut self, ctx: &mut Context, id: LegId, sdp: Bytes) {
        for r#try in &mut self.tries {
            let TryState::Calling { attempts, .. } = &mut r#try.state else {
                continue;
            };
            let Some((_, place)) = attempts.iter_mut().find(|(attempt, _)| *attempt == id) else {
                continue;
            };
            let Some(place) = place.take() else { return };
            let (dial, target) = (&self.dial, &r#try.target);
            let caller_id = target.caller_id.as_deref().or(dial.caller_id.as_deref());
            let name = target
                .caller_name
                .as_deref()
                .or(dial.caller_name.as_deref());
            let from = from_value(
                caller_id.unwrap_or(&ctx.caller.number_or_user),
                name.unwrap_or(&ctx.caller.name),
                &ctx.caller.domain,
            );
            let headers = custom_headers(
                ctx.caller
                    .headers
                    .iter()
                    .chain(&dial.sip_headers)
                    .chain(&target.sip_headers),
            );
            ctx.invite(id, place, from, headers, sdp);
            return;
        }
    }

    fn rings(&mut self, ctx: &mut Context, id: LegId, status: Status, sdp: Option<Bytes>) -> Step {
        let Some(leg) = self.leg_of_attempt(id) else {
            return Step::Continue;
        };
        ctx.leg_rings(leg);
        let first = !std::mem::replace(&mut self.rang, true);
        let wanted = (self.dial.direct || self.dial.early_media) && ctx.caller.offer.is_some();
        match sdp {
            Some(description)
                if wanted && self.early.is_none() && ctx.wire(LegId::A) == Wire::Incoming =>
            {
                ctx.describe(id, OfferOrAnswer::Answer, description.clone());
                self.early = Some(Early {
                    b: id,
                    description,
                    step: EarlyStep::Reading,
                });
            }
            // A 183 without a use for the caller is a ring tone of its own phone.
            _ if first => ctx.ring_a(Status::RINGING, None),
            _ => {}
        }
        let _ = status;
        Step::Continue
    }

    // ---- from the answer to the bridge

    fn answered(
        &mut self,
        ctx: &mut Context,
        b: LegId,
        sdp: Option<Bytes>,
        call_id: Option<String>,
    ) -> Step {
        let Some(leg) = self.leg_of_attempt(b) else {
            return Step::Continue;
        };
        ctx.set_wire(b, Wire::Up);
        ctx.leg_answered(leg, call_id);
        ctx.tell(leg, DialAction::Answer);
        self.hang_up_losers(ctx, leg, b);
        ctx.set_timer(Timer::Verb, JOIN_LIMIT);
        self.state = State::Joining {
            b,
            step: Join::ReadB,
        };
        let known = self
            .early
            .as_ref()
            .filter(|early| early.b == b)
            .map(|early| early.description.clone());
        match (sdp, known) {
            // What came early holds: RFC 3261 §13.2.1 wants the same description in the 200.
            (None, Some(_)) if ctx.described(b) != Described::No => self.reuse_early(ctx, b),
            (Some(sdp), Some(known)) if sdp == known && ctx.described(b) != Described::No => {
                self.reuse_early(ctx, b)
            }
            (Some(sdp), _) => {
                self.forget_early(ctx);
                ctx.describe(b, OfferOrAnswer::Answer, sdp);
                Step::Continue
            }
            (None, _) => self.unusable(ctx, b, Status::NOT_ACCEPTABLE_HERE.0),
        }
    }

    fn hang_up_losers(&mut self, ctx: &mut Context, winner: LegId, b: LegId) {
        let lost = End::new(Cause::LostRace, HangupSource::Platform);
        for r#try in &mut self.tries {
            match &mut r#try.state {
                TryState::Calling { leg, attempts } if *leg == winner => {
                    for (id, _) in attempts.extract_if(.., |(id, _)| *id != b) {
                        ctx.drop_attempt(id, &lost);
                    }
                }
                TryState::Calling { leg, .. } => {
                    ctx.end_leg(*leg, lost);
                    r#try.state = TryState::Over;
                }
                TryState::Locating(_) => r#try.state = TryState::Over,
                TryState::Over => {}
            }
        }
    }

    /// The winner's description is known from its early media.
    fn reuse_early(&mut self, ctx: &mut Context, b: LegId) -> Step {
        match self.early.as_ref().map(|early| &early.step) {
            Some(EarlyStep::Sent(answer)) if ctx.wire(LegId::A) == Wire::Incoming => {
                let answer = answer.clone();
                ctx.answer_a(answer);
                self.join(ctx, b)
            }
            Some(EarlyStep::Answering) => {
                self.state = State::Joining {
                    b,
                    step: Join::AnswerA,
                };
                Step::Continue
            }
            // Accepted or Refused is still to come.
            Some(EarlyStep::Reading) => Step::Continue,
            _ => self.answer_like(ctx, b),
        }
    }

    fn forget_early(&mut self, ctx: &mut Context) {
        if self.early.take().is_some() {
            ctx.disconnect();
        }
    }

    /// The winner's description is read: the caller gets its own.
    fn answer_like(&mut self, ctx: &mut Context, b: LegId) -> Step {
        let step = match (ctx.wire(LegId::A), &ctx.caller.offer) {
            (Wire::Up, _) => {
                // An earlier answer may have told the caller what an earlier callee chose.
                let step = self.join(ctx, b);
                ctx.refresh();
                return step;
            }
            (_, Some(_)) => {
                ctx.make_answer(LegId::A, Some(b));
                Join::AnswerA
            }
            (_, None) => {
                ctx.make_offer(LegId::A, Some(b));
                Join::OfferA
            }
        };
        self.state = State::Joining { b, step };
        Step::Continue
    }

    fn acknowledged(&mut self, ctx: &mut Context, b: LegId, event: SessionEvent) -> Step {
        match event {
            SessionEvent::Confirmed { sdp: Some(sdp) } => {
                self.state = State::Joining {
                    b,
                    step: Join::ReadA,
                };
                ctx.describe(LegId::A, OfferOrAnswer::Answer, sdp);
                Step::Continue
            }
            // RFC 3261 §13.2.2.4: our offer in the 200 must be answered in the ACK.
            SessionEvent::Confirmed { sdp: None } => {
                Step::End(End::new(Cause::NetworkError, HangupSource::Error))
            }
            _ => Step::Continue,
        }
    }

    fn join(&mut self, ctx: &mut Context, b: LegId) -> Step {
        self.state = State::Bridged { b };
        ctx.connect(b);
        ctx.set_timer(Timer::Verb, self.dial.time_limit);
        ctx.made_progress();
        if let Some(leg) = self.leg_of_attempt(b) {
            ctx.tell(leg, DialAction::Connected);
        }
        Step::Continue
    }

    // ---- what the plane says

    fn heard_a(&mut self, ctx: &mut Context, heard: Heard) -> Step {
        match (self.state, heard) {
            (State::Ringing, Heard::Accepted) => self.call_ready(ctx),
            (State::Ringing, Heard::Answered(sdp)) => {
                if let Some(
                    early @ Early {
                        step: EarlyStep::Answering,
                        ..
                    },
                ) = &mut self.early
                {
                    early.step = EarlyStep::Sent(sdp.clone());
                    let b = early.b;
                    ctx.relay_once(b);
                    ctx.ring_a(Status::SESSION_PROGRESS, Some(sdp));
                }
            }
            (State::Ringing, Heard::Refused(_))
                if matches!(
                    &self.early,
                    Some(Early {
                        step: EarlyStep::Answering,
                        ..
                    })
                ) =>
            {
                self.early_is_useless(ctx);
            }
            (
                State::Joining {
                    b,
                    step: Join::AnswerA,
                },
                Heard::Answered(sdp),
            ) => {
                ctx.answer_a(sdp);
                return self.join(ctx, b);
            }
            (
                State::Joining {
                    b,
                    step: Join::OfferA,
                },
                Heard::Offered(sdp),
            ) => {
                self.state = State::Joining {
                    b,
                    step: Join::AwaitAck,
                };
                ctx.answer_a(sdp);
            }
            (
                State::Joining {
                    b,
                    step: Join::ReadA,
                },
                Heard::Accepted,
            ) => return self.join(ctx, b),
            (State::Ringing | State::Joining { .. }, Heard::Refused(status)) => {
                return Step::End(End::with_status(
                    Cause::NetworkError,
                    HangupSource::Error,
                    status,
                ));
            }
            (State::Ringing | State::Joining { .. }, Heard::Unavailable) => {
                return Step::End(no_room());
            }
            _ => {}
        }
        Step::Continue
    }

    fn heard_b(&mut self, ctx: &mut Context, id: LegId, heard: Heard) -> Step {
        match (self.state, heard) {
            (State::Ringing, Heard::Offered(sdp)) => self.invite(ctx, id, sdp),
            (State::Ringing, Heard::Accepted) => {
                if let Some(
                    early @ Early {
                        step: EarlyStep::Reading,
                        ..
                    },
                ) = &mut self.early
                    && early.b == id
                {
                    early.step = EarlyStep::Answering;
                    ctx.make_answer(LegId::A, Some(id));
                }
            }
            (
                State::Joining {
                    b,
                    step: Join::ReadB,
                },
                Heard::Accepted,
            ) if b == id => return self.answer_like(ctx, b),
            (State::Ringing, Heard::Refused(_)) if matches!(&self.early, Some(early) if early.b == id) =>
            {
                self.early_is_useless(ctx);
            }
            (State::Ringing | State::Joining { .. }, Heard::Refused(status)) => {
                return self.unusable(ctx, id, status);
            }
            (State::Ringing | State::Joining { .. }, Heard::Unavailable) => {
                ctx.drop_attempt(id, &no_room());
                return self.lost(ctx, id, no_room());
            }
            _ => {}
        }
        Step::Continue
    }

    /// The caller hears its own ring tone.
    fn early_is_useless(&mut self, ctx: &mut Context) {
        if let Some(early) = &mut self.early {
            early.step = EarlyStep::Useless;
        }
        ctx.ring_a(Status::RINGING, None);
    }

    /// What an attempt described cannot be used.
    fn unusable(&mut self, ctx: &mut Context, id: LegId, status: u16) -> Step {
        let end = End::with_status(Cause::NetworkError, HangupSource::Error, status);
        ctx.drop_attempt(id, &end);
        self.lost(ctx, id, end)
    }

    // ---- ends

    /// An attempt is gone.
    fn lost(&mut self, ctx: &mut Context, id: LegId, end: End) -> Step {
        match self.state {
            State::Bridged { b } if b == id => return self.bridge_over(ctx, b, end),
            State::Asking { .. } | State::Over => return Step::Continue,
            _ => {}
        }
        if self.early.as_ref().is_some_and(|early| early.b == id) {
            self.forget_early(ctx);
        }
        for r#try in &mut self.tries {
            let TryState::Calling { leg, attempts } = &mut r#try.state else {
                continue;
            };
            let before = attempts.len();
            attempts.retain(|(attempt, _)| *attempt != id);
            if attempts.len() == before {
                continue;
            }
            let refusal = end.better(r#try.refusal);
            r#try.refusal = Some(refusal);
            if attempts.is_empty() {
                ctx.end_leg(*leg, refusal);
                r#try.state = TryState::Over;
                self.refusal = Some(refusal.better(self.refusal));
            }
            break;
        }
        self.nobody_left(ctx)
    }

    fn nobody_left(&mut self, ctx: &mut Context) -> Step {
        if self
            .tries
            .iter()
            .any(|r#try| !matches!(r#try.state, TryState::Over))
        {
            return Step::Continue;
        }
        let end = self
            .refusal
            .unwrap_or_else(|| LocateFailure::NotRegistered.end());
        self.finish(ctx, DialStatus::of(end.cause), end, None)
    }

    fn rang_long_enough(&mut self, ctx: &mut Context) -> Step {
        let end = End::with_status(Cause::RingTimeout, HangupSource::Platform, 480);
        self.end_all(ctx, end);
        self.finish(ctx, DialStatus::NoAnswer, end, None)
    }

    /// The bridge is over: the callee's leg ends, the caller goes on.
    fn bridge_over(&mut self, ctx: &mut Context, b: LegId, end: End) -> Step {
        let winner = self.winner(ctx);
        if let Some(leg) = self.leg_of_attempt(b) {
            ctx.end_leg(leg, end);
        }
        self.finish(ctx, DialStatus::Completed, end, winner)
    }

    fn end_all(&mut self, ctx: &mut Context, end: End) {
        for r#try in &mut self.tries {
            if let TryState::Calling { leg, .. } = r#try.state {
                ctx.end_leg(leg, end);
            }
            r#try.state = TryState::Over;
        }
    }

    fn finish(
        &mut self,
        ctx: &mut Context,
        status: DialStatus,
        end: End,
        b_leg: Option<Uuid>,
    ) -> Step {
        self.state = State::Over;
        ctx.clear_timer(Timer::Verb);
        ctx.disconnect();
        ctx.last_dial = Some(end);
        let summary = DialSummary {
            status,
            rang: self.rang,
            cause: end.cause,
            b_leg,
        };
        match self.dial.action.clone() {
            Some(link) if self.dial.redirect && !self.dial.direct => {
                match ctx.fetch_document(link, Occasion::DialEnded(summary)) {
                    Some(fetch) => {
                        self.state = State::Asking { fetch };
                        Step::Continue
                    }
                    None => Step::End(too_many_documents()),
                }
            }
            action => {
                if let Some(link) = action {
                    ctx.fetch_only(link, Occasion::DialEnded(summary));
                }
                if self.dial.direct {
                    Step::End(end)
                } else {
                    Step::Done
                }
            }
        }
    }

    // ---- look-ups

    fn leg_of_attempt(&self, id: LegId) -> Option<LegId> {
        self.tries.iter().find_map(|r#try| match &r#try.state {
            TryState::Calling { leg, attempts }
                if attempts.iter().any(|(attempt, _)| *attempt == id) =>
            {
                Some(*leg)
            }
            _ => None,
        })
    }

    /// The leg that answered; the others are over.
    fn winner(&self, ctx: &Context) -> Option<Uuid> {
        self.tries.iter().find_map(|r#try| match r#try.state {
            TryState::Calling { leg, .. } => ctx.leg_uuid(leg),
            _ => None,
        })
    }
}

/// Who calls, as records and callbacks show it.
fn shown_from(dial: &Dial, target: &Target, ctx: &Context) -> String {
    let caller_id = target.caller_id.as_ref().or(dial.caller_id.as_ref());
    caller_id.unwrap_or(&ctx.caller.from).clone()
}

const fn no_room() -> End {
    End::with_status(Cause::ConcurrencyLimit, HangupSource::Platform, 503)
}

/// voice-xml.md §1.3.
const fn action_failed(failure: FetchFailure) -> Cause {
    match failure {
        FetchFailure::Unreachable => Cause::ActionUnreachable,
        FetchFailure::BadXml => Cause::InvalidActionXml,
        FetchFailure::BadUrl => Cause::InvalidActionUrl,
        FetchFailure::BadMethod => Cause::InvalidActionMethod,
    }
}
