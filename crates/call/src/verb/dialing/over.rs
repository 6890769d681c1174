//! How a Dial ends: refused by all, not answered, or bridged and hung up.

use sip::Status;
use uuid::Uuid;

use super::{CalleeState, Dialing, State};
use crate::about::{DialStatus, DialSummary, FetchFailure, Occasion};
use crate::cdr::{Cause, HangupSource};
use crate::context::{Context, Timer};
use crate::leg::{End, LegId};
use crate::verb::dial::LocateFailure;
use crate::verb::{Step, too_many_documents};

impl Dialing {
    /// An attempt is gone.
    pub(super) fn lost(&mut self, ctx: &mut Context, id: LegId, end: End) -> Step {
        match self.state {
            State::Bridged { b } if b == id => return self.bridge_over(ctx, b, end),
            State::Asking { .. } | State::Over => return Step::Continue,
            _ => {}
        }
        self.lose_early(ctx, id);
        let found = self.callees.iter_mut().position(|callee| {
            let CalleeState::Calling { attempts, .. } = &mut callee.state else {
                return false;
            };
            let before = attempts.len();
            attempts.retain(|(attempt, _)| *attempt != id);
            attempts.len() < before
        });
        let Some((index, callee)) =
            found.and_then(|index| Some((index, self.callees.get_mut(index)?)))
        else {
            return self.nobody_left(ctx);
        };
        callee.refusal = Some(end.better(callee.refusal));
        if end.status.is_some_and(|status| status >= 600) {
            // RFC 3261 §16.7 step 5: a refusal of this class speaks for the whole target.
            callee.rest.clear();
        }
        if !is_failure_of_way(&end) {
            callee.rest.clear_trunks();
        }
        self.settle(ctx, index)
    }

    /// The callee whose early media the caller hears is gone.
    pub(super) fn lose_early(&mut self, ctx: &mut Context, id: LegId) {
        if self.early.as_ref().is_some_and(|early| early.b == id) {
            self.forget_early(ctx);
            if self.state == State::Ringing {
                // Others may still ring: the caller's phone plays its own tone again.
                ctx.ring_a(Status::RINGING, None);
            }
        }
    }

    pub(super) fn nobody_left(&mut self, ctx: &mut Context) -> Step {
        if self
            .callees
            .iter()
            .any(|callee| !matches!(callee.state, CalleeState::Over))
        {
            return Step::Continue;
        }
        let end = self
            .refusal
            .unwrap_or_else(|| LocateFailure::NotRegistered.end());
        self.finish(ctx, DialStatus::of(end.cause), end, None)
    }

    pub(super) fn rang_long_enough(&mut self, ctx: &mut Context) -> Step {
        let end = End::with_status(Cause::RingTimeout, HangupSource::Platform, 480);
        self.end_all(ctx, end);
        self.finish(ctx, DialStatus::NoAnswer, end, None)
    }

    /// The bridge is over: the callee's leg ends, the caller goes on.
    pub(super) fn bridge_over(&mut self, ctx: &mut Context, b: LegId, end: End) -> Step {
        let winner = self.winner(ctx);
        if let Some(leg) = self.leg_of_attempt(b) {
            ctx.end_leg(leg, end);
        }
        self.finish(ctx, DialStatus::Completed, end, winner)
    }

    pub(super) fn end_all(&mut self, ctx: &mut Context, end: End) {
        for callee in &mut self.callees {
            if let CalleeState::Calling { leg, .. } = callee.state {
                ctx.end_leg(leg, end);
            }
            callee.rest.clear();
            callee.state = CalleeState::Over;
        }
    }

    pub(super) fn finish(
        &mut self,
        ctx: &mut Context,
        status: DialStatus,
        end: End,
        b_leg: Option<Uuid>,
    ) -> Step {
        self.state = State::Over;
        ctx.clear_timer(Timer::Verb);
        ctx.clear_timer(Timer::Turn);
        if self.is_on_trial() {
            return Step::End(end);
        }
        ctx.clear_timer(Timer::TimeLimit);
        ctx.disconnect();
        ctx.last_dial = Some(end);
        // Before a transfer somebody did talk.
        let before = self.referral.as_ref().and_then(|referral| referral.before);
        let (status, b_leg) = match (b_leg, before) {
            (None, Some(before)) => (DialStatus::Completed, Some(before)),
            _ => (status, b_leg),
        };
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
}

/// Whether an attempt failed because of the way and not because of who is called: another trunk may do better
/// (RFC 3263 §4.3: 503, no answer, no connection).
const fn is_failure_of_way(end: &End) -> bool {
    matches!(end.status, Some(408 | 430 | 500 | 502..=504))
}

/// voice-xml.md §1.3.
pub(super) const fn action_failed(failure: FetchFailure) -> Cause {
    match failure {
        FetchFailure::Unreachable => Cause::ActionUnreachable,
        FetchFailure::BadXml => Cause::InvalidActionXml,
        FetchFailure::BadUrl => Cause::InvalidActionUrl,
        FetchFailure::BadMethod => Cause::InvalidActionMethod,
    }
}
