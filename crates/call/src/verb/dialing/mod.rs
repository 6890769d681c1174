//! A Dial that runs: voice-xml.md §4.6.
//!
//! All targets are looked up and called at once. A target is one leg with one attempt for each place where it can be
//! reached, at once or rank after rank. The first attempt that answers wins; the others are hung up at once, then the
//! winner is joined with the caller: its description is read, the caller is answered like it, the two are bridged.

mod flows;
mod hunt;
mod join;
mod link;
mod over;
mod referral;
mod targets;

use std::time::Duration;

use bytes::Bytes;
use sip::{SessionEvent, Status};
use uuid::Uuid;

use crate::about::{DialStatus, DialSummary, FetchId, Occasion};
use crate::cdr::{Cause, HangupSource};
use crate::context::{Context, Timer};
use crate::leg::{End, LegId};
use crate::verb::dial::{Dial, LocateFailure, Place, QueryId, Target};
use crate::verb::{Document, Event, Redirect, Step, Verb};

use hunt::Rest;
use link::Link;
use over::action_failed;

pub(crate) use referral::Referral;

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
    callees: Vec<Callee>,
    /// Attempts that may still be made.
    room: usize,
    rang: bool,
    early: Option<Early>,
    /// Where the device of an attempt is called next when its flow fails.
    flows: Vec<(LegId, Place)>,
    /// The best refusal so far.
    refusal: Option<End>,
    /// What is particular about it when a transfer made it.
    referral: Option<Box<Referral>>,
    /// Whether the other call has still to hear what the near end of this one describes.
    untold: bool,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    /// Targets are looked up and called.
    Ringing,
    /// A leg of another call is to answer at once.
    Linking(Link),
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
struct Callee {
    target: Target,
    position: u16,
    state: CalleeState,
    refusal: Option<End>,
    /// Places and redirects whose turn is still to come.
    rest: Rest,
}

#[derive(Debug)]
enum CalleeState {
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
    pub(crate) fn start(dial: Dial, ctx: &mut Context) -> Result<Self, Step> {
        Self::begin(dial, None, ctx)
    }

    fn begin(
        mut dial: Dial,
        referral: Option<Box<Referral>>,
        ctx: &mut Context,
    ) -> Result<Self, Step> {
        let targets = std::mem::take(&mut dial.targets);
        if targets.is_empty() {
            // voice-xml.md §4.6: no usable child, next element, no action.
            return Err(Step::Done);
        }
        if referral.is_none() {
            ctx.show_headers(&dial.sip_headers);
        }
        ctx.set_timer(Timer::Verb, dial.timeout);
        let callees = targets
            .into_iter()
            .take(MAX_TARGETS)
            .zip(1..)
            .map(|(target, position)| {
                let shown = target.caller_id.as_ref().or(dial.caller_id.as_ref());
                let caller = Referral::caller(referral.as_deref(), ctx);
                let shown = shown.unwrap_or(&caller.number_or_user).clone();
                let state = CalleeState::Locating(ctx.locate(shown, target.kind.clone()));
                Callee {
                    target,
                    position,
                    state,
                    refusal: None,
                    rest: Rest::default(),
                }
            })
            .collect();
        Ok(Self {
            dial,
            state: State::Ringing,
            callees,
            room: MAX_ATTEMPTS,
            rang: false,
            early: None,
            flows: Vec::new(),
            refusal: None,
            referral,
            untold: false,
        })
    }

    pub(crate) fn on_event(&mut self, ctx: &mut Context, event: Event) -> Step {
        let near = self.near(ctx);
        match (self.state, event) {
            (State::Ringing, Event::Located { query, outcome }) => {
                self.located(ctx, query, outcome)
            }
            // Who waits for a transferor that has left goes on with the application.
            (State::Ringing, Event::Application { query, answer }) if self.looks_for(query) => {
                self.abandon(ctx, LocateFailure::UnknownUser.end());
                let redirect = Redirect { link: answer };
                let verbs = vec![Verb::Redirect(redirect)];
                Step::Replace(Document { verbs })
            }
            (_, Event::Media { leg, heard }) if leg == near => self.heard_a(ctx, heard),
            (_, Event::Media { leg, heard }) => self.heard_b(ctx, leg, heard),
            (
                State::Joining {
                    b,
                    step: Join::AwaitAck,
                },
                Event::Leg { leg, event },
            ) if leg == near => self.acknowledged(ctx, b, event),
            (_, Event::Leg { leg, .. }) if leg == near => Step::Continue,
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
                if self.flow_failed(ctx, leg, status, response.as_ref()) {
                    return Step::Continue;
                }
                ctx.attempt_gone(leg, Some(status.0));
                if self.is_redirected(ctx, leg, status, response.as_ref()) {
                    return Step::Continue;
                }
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
            (State::Ringing, Event::Deadline | Event::TimeLimit) => self.rang_long_enough(ctx),
            (State::Ringing, Event::Turn) => self.turn(ctx),
            (State::Linking(Link::Find), Event::Found(replaced)) => self.found(ctx, replaced),
            (State::Linking(_), Event::Across { from, word }) => {
                self.heard_across(ctx, from, &word)
            }
            (State::Linking(_), Event::Deadline) => {
                self.let_go(ctx);
                self.not_linked(ctx, Status::REQUEST_TIMEOUT)
            }
            (State::Joining { .. }, Event::Deadline) => Step::End(End::with_status(
                Cause::InternalError,
                HangupSource::Error,
                500,
            )),
            (State::Bridged { b }, Event::TimeLimit) => {
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
        self.answer_refer(ctx, Status::REQUEST_TERMINATED);
        self.let_go(ctx);
        let summary = self.summary_of(ctx, end);
        if summary.is_some() {
            self.end_all(ctx, end);
            self.tell_action(ctx, summary);
        }
    }

    /// How a Dial went that ends with the caller's leg; none that was over before.
    fn summary_of(&mut self, ctx: &Context, end: End) -> Option<DialSummary> {
        let (status, cause) = match (std::mem::replace(&mut self.state, State::Over), end.cause) {
            (State::Asking { .. } | State::Over, _) => return None,
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
        Some(DialSummary {
            status,
            rang: self.rang,
            cause,
            b_leg,
        })
    }

    fn tell_action(&self, ctx: &mut Context, summary: Option<DialSummary>) {
        if let (Some(link), Some(summary)) = (self.dial.action.clone(), summary) {
            ctx.fetch_only(link, Occasion::DialEnded(summary));
        }
    }

    fn leg_of_attempt(&self, id: LegId) -> Option<LegId> {
        self.callees.iter().find_map(|callee| match &callee.state {
            CalleeState::Calling { leg, attempts }
                if attempts.iter().any(|(attempt, _)| *attempt == id) =>
            {
                Some(*leg)
            }
            _ => None,
        })
    }

    /// The leg that answered; the others are over.
    fn winner(&self, ctx: &Context) -> Option<Uuid> {
        self.callees.iter().find_map(|callee| match callee.state {
            CalleeState::Calling { leg, .. } => ctx.leg_uuid(leg),
            _ => None,
        })
    }
}

/// A limit was reached.
const fn no_room() -> End {
    End::with_status(Cause::ConcurrencyLimit, HangupSource::Platform, 503)
}
