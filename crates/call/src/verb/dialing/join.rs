//! From the first answer to the bridge, and what the plane says on the way.

use bytes::Bytes;
use media::OfferOrAnswer;
use sip::{SessionEvent, Status};

use super::{CalleeState, Dialing, Early, EarlyStep, JOIN_LIMIT, Join, State, no_room};
use crate::about::DialAction;
use crate::cdr::{Cause, HangupSource};
use crate::context::{Context, Heard, Timer};
use crate::leg::{Described, End, LegId, Wire};
use crate::verb::Step;

impl Dialing {
    pub(super) fn answered(
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
                // Departs from RFC 3261 §13.2.1: after a 183 of another place the 200 to the caller may describe
                // other codecs, because they are another phone's; to the caller it is one dialog.
                self.forget_early(ctx);
                ctx.describe(b, OfferOrAnswer::Answer, sdp);
                Step::Continue
            }
            (None, _) => self.unusable(ctx, b, Status::NOT_ACCEPTABLE_HERE.0),
        }
    }

    pub(super) fn hang_up_losers(&mut self, ctx: &mut Context, winner: LegId, b: LegId) {
        let lost = End::new(Cause::LostRace, HangupSource::Platform);
        ctx.clear_timer(Timer::Turn);
        for callee in &mut self.callees {
            callee.rest.clear();
            match &mut callee.state {
                CalleeState::Calling { leg, attempts } if *leg == winner => {
                    for (id, _) in attempts.extract_if(.., |(id, _)| *id != b) {
                        ctx.drop_attempt(id, &lost);
                    }
                }
                CalleeState::Calling { leg, .. } => {
                    ctx.end_leg(*leg, lost);
                    callee.state = CalleeState::Over;
                }
                CalleeState::Locating(_) => callee.state = CalleeState::Over,
                CalleeState::Over => {}
            }
        }
    }

    /// The winner's description is known from its early media.
    pub(super) fn reuse_early(&mut self, ctx: &mut Context, b: LegId) -> Step {
        let near = self.near(ctx);
        match self.early.as_ref().map(|early| &early.step) {
            Some(EarlyStep::Sent(answer)) if ctx.wire(near) == Wire::Incoming => {
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

    pub(super) fn forget_early(&mut self, ctx: &mut Context) {
        if self.early.take().is_some() {
            ctx.disconnect();
        }
    }

    /// The winner's description is read: the caller gets its own.
    pub(super) fn answer_like(&mut self, ctx: &mut Context, b: LegId) -> Step {
        let near = self.near(ctx);
        if ctx.is_waiting(near) {
            // Its call offers to both.
            ctx.end_waiting(near, b);
            return self.join(ctx, b);
        }
        let step = match (ctx.wire(near), &self.caller(ctx).offer) {
            (Wire::Up, _) => {
                // An earlier answer may have told the caller what an earlier callee chose.
                self.untold = false;
                let step = self.join(ctx, b);
                ctx.refresh();
                return step;
            }
            (_, Some(_)) => {
                ctx.make_answer(near, Some(b));
                Join::AnswerA
            }
            (_, None) => {
                ctx.make_offer(near, Some(b));
                Join::OfferA
            }
        };
        self.state = State::Joining { b, step };
        Step::Continue
    }

    pub(super) fn acknowledged(
        &mut self,
        ctx: &mut Context,
        b: LegId,
        event: SessionEvent,
    ) -> Step {
        let near = self.near(ctx);
        match event {
            SessionEvent::Confirmed { sdp: Some(sdp) } => {
                self.state = State::Joining {
                    b,
                    step: Join::ReadA,
                };
                ctx.describe(near, OfferOrAnswer::Answer, sdp);
                Step::Continue
            }
            // RFC 3261 §13.2.2.4: our offer in the 200 must be answered in the ACK.
            SessionEvent::Confirmed { sdp: None } => {
                Step::End(End::new(Cause::NetworkError, HangupSource::Error))
            }
            _ => Step::Continue,
        }
    }

    pub(super) fn join(&mut self, ctx: &mut Context, b: LegId) -> Step {
        let near = self.near(ctx);
        self.state = State::Bridged { b };
        ctx.connect(near, b);
        ctx.clear_timer(Timer::Verb);
        ctx.start_timer(Timer::TimeLimit, self.dial.time_limit);
        ctx.made_progress();
        if std::mem::take(&mut self.untold) {
            ctx.refresh_peer();
        }
        if let Some(leg) = self.leg_of_attempt(b) {
            ctx.tell(leg, DialAction::Connected);
        }
        Step::Continue
    }

    pub(super) fn heard_a(&mut self, ctx: &mut Context, heard: Heard) -> Step {
        let near = self.near(ctx);
        match (self.state, heard) {
            (State::Linking(link), heard) => return self.heard_linking(ctx, link, &heard),
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
                    ctx.relay_once(near, b);
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
                // Before the answer: the caller talks as soon as it has it.
                ctx.relay_once(near, b);
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

    pub(super) fn heard_b(&mut self, ctx: &mut Context, id: LegId, heard: Heard) -> Step {
        let near = self.near(ctx);
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
                    ctx.make_answer(near, Some(id));
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
    pub(super) fn early_is_useless(&mut self, ctx: &mut Context) {
        if let Some(early) = &mut self.early {
            early.step = EarlyStep::Useless;
        }
        ctx.ring_a(Status::RINGING, None);
    }

    /// What an attempt described cannot be used.
    pub(super) fn unusable(&mut self, ctx: &mut Context, id: LegId, status: u16) -> Step {
        let end = End::with_status(Cause::NetworkError, HangupSource::Error, status);
        ctx.drop_attempt(id, &end);
        self.lost(ctx, id, end)
    }
}
