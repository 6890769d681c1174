//! A Dial that a transfer makes: RFC 3515 §2.4.
//!
//! It runs on trial beside the Dial whose two sides still talk. When it has brought somebody, or when the transferor leaves,
//! it takes that Dial's place.

use sip::{RequestId, Status, Text};
use uuid::Uuid;

use super::{Callee, CalleeState, Dialing, State};
use crate::call::Caller;
use crate::context::{Context, Survivor, Timer};
use crate::leg::{End, LegId};
use crate::verb::dial::{Dial, QueryId, Target, TargetKind};
use crate::verb::{Event, Step};

/// What is particular about a Dial that a transfer makes.
#[derive(Debug)]
pub(crate) struct Referral {
    /// Who takes the caller's place, when it is the caller that transfers.
    pub(crate) survivor: Option<Box<Survivor>>,
    /// Who transfers, for the called side (RFC 3892 §2.1).
    pub(crate) referred_by: Option<Text>,
    /// The leg that talked with the caller before.
    pub(crate) before: Option<Uuid>,
    /// Whether the two that talked before go on if nobody is reached.
    pub(crate) on_trial: bool,
    /// The REFER that is answered when the other call has heard of it: whose leg it came on, its name.
    pub(crate) owed: Option<(LegId, RequestId)>,
}

impl Referral {
    /// Tells on whose behalf a Dial calls.
    pub(super) fn caller<'a>(referral: Option<&'a Self>, ctx: &'a Context) -> &'a Caller {
        let survivor = referral.and_then(|referral| referral.survivor.as_ref());
        survivor.map_or(ctx.serving(), |survivor| &survivor.caller)
    }
}

impl Dialing {
    /// Calls the target of a transfer, on trial.
    pub(crate) fn refer(
        &self,
        target: TargetKind,
        referral: Box<Referral>,
        ctx: &mut Context,
    ) -> Result<Self, Step> {
        let target = Target {
            kind: target,
            caller_id: None,
            caller_name: None,
            sip_headers: Vec::new(),
        };
        let dial = Dial {
            targets: vec![target],
            ..self.referred(&referral)
        };
        Self::begin(dial, Some(referral), ctx)
    }

    /// What a transfer makes of this Dial.
    pub(super) fn referred(&self, referral: &Referral) -> Dial {
        let dial = Dial {
            early_media: false,
            ..self.dial.clone()
        };
        // What the caller's document says of its Dial is not for who is left of it.
        match referral.survivor {
            None => dial,
            Some(_) => Dial {
                caller_id: None,
                caller_name: None,
                action: None,
                callback: None,
                sip_headers: Vec::new(),
                direct: true,
                ..dial
            },
        }
    }

    /// Tells whose leg the callees are to talk with.
    pub(super) fn near(&self, ctx: &Context) -> LegId {
        let survivor = self
            .referral
            .as_ref()
            .and_then(|referral| referral.survivor.as_ref());
        survivor.map_or(ctx.served(), |survivor| survivor.attempt)
    }

    pub(super) fn caller<'a>(&'a self, ctx: &'a Context) -> &'a Caller {
        Referral::caller(self.referral.as_deref(), ctx)
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.referral
            .as_ref()
            .is_some_and(|referral| referral.on_trial)
    }

    /// Tells whether two talk.
    pub(crate) fn is_bridged(&self) -> bool {
        matches!(self.state, State::Bridged { .. })
    }

    /// Tells whether an event is about one of the legs that this Dial calls.
    pub(crate) fn concerns(&self, event: &Event) -> bool {
        match event {
            Event::Leg { leg, .. } | Event::Media { leg, .. } | Event::Refused(leg) => {
                self.leg_of_attempt(*leg).is_some()
            }
            Event::Located { .. } | Event::Application { .. } | Event::Deadline | Event::Turn => {
                true
            }
            Event::Found(_) | Event::Across { .. } => matches!(self.state, State::Linking(_)),
            Event::Fetched { .. } | Event::TimeLimit => false,
        }
    }

    /// Takes the place of the Dial beside which this one was on trial; tells whether it serves another leg than that one.
    pub(crate) fn take_place_of(&mut self, ctx: &mut Context, mut other: Self, end: End) -> bool {
        self.rang |= other.rang;
        let winner = other.winner(ctx);
        let Some(referral) = &mut self.referral else {
            return false;
        };
        referral.on_trial = false;
        referral.before = winner;
        let Some(survivor) = referral.survivor.take() else {
            return false;
        };
        ctx.serve(survivor);
        other.leave(ctx, end);
        true
    }

    /// Ends with the caller's leg, and leaves the leg that it talked with to others.
    pub(crate) fn leave(&mut self, ctx: &mut Context, end: End) {
        let summary = self.summary_of(ctx, end);
        for callee in &mut self.callees {
            callee.state = CalleeState::Over;
        }
        self.tell_action(ctx, summary);
    }

    /// Tells whether it waits for this answer.
    pub(crate) fn looks_for(&self, query: QueryId) -> bool {
        let waits = |callee: &Callee| matches!(callee.state, CalleeState::Locating(asked) if asked == query);
        self.callees.iter().any(waits)
    }

    /// Takes back who was to take the caller's place.
    pub(crate) fn take_survivor(&mut self) -> Option<Box<Survivor>> {
        self.referral.as_mut()?.survivor.take()
    }

    /// Answers the REFER that made this Dial, if it is not answered yet.
    pub(crate) fn answer_refer(&mut self, ctx: &mut Context, status: Status) {
        let owed = self
            .referral
            .as_mut()
            .and_then(|referral| referral.owed.take());
        if let Some((by, id)) = owed {
            ctx.respond_refer(by, id, status);
        }
    }

    /// Leaves the answer of the REFER to the call of who transfers, which is over.
    pub(crate) fn forget_refer(&mut self) {
        if let Some(referral) = &mut self.referral {
            referral.owed = None;
        }
    }

    /// Ends a Dial that was on trial.
    pub(crate) fn abandon(&mut self, ctx: &mut Context, end: End) {
        ctx.clear_timer(Timer::Verb);
        ctx.clear_timer(Timer::Turn);
        self.answer_refer(ctx, Status::REQUEST_TERMINATED);
        self.let_go(ctx);
        self.state = State::Over;
        self.end_all(ctx, end);
    }
}
