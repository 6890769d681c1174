//! Talking with a leg of another call, in the place of the one that it talks with: RFC 3891 §3.

use std::time::Duration;

use media::OfferOrAnswer;
use sip::{Replaced, Replaces, RequestId, SessionId, Status};

use super::{Callee, CalleeState, Dialing, Rest, State};
use crate::about::DialStatus;
use crate::across::Word;
use crate::call::Output;
use crate::cdr::{Cause, HangupSource};
use crate::context::{Context, Heard, Timer};
use crate::leg::{End, LegId};
use crate::verb::dial::{Dial, Target, TargetKind};
use crate::verb::{Referral, Step};

/// How long it may take to find the other call and to hear from it: a REFER waits for its answer until then, much less
/// than its transaction lasts (RFC 3261 §17.1.2.2: Timer F, 32 s).
const LINK_LIMIT: Duration = Duration::from_secs(10);

/// The steps to a leg of another call.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Link {
    /// The dialog that Replaces means is looked up.
    Find,
    /// The plane reads what the caller offers.
    Read { replaced: SessionId },
    /// The other call is asked.
    Join { replaced: SessionId },
    /// It has given up the place of its own leg, and joins when somebody answers there.
    Rings { replaced: SessionId },
}

impl Dialing {
    /// Takes the place of a session of another call, for a caller that says so in its INVITE.
    pub(crate) fn replace(ctx: &mut Context, replaced: SessionId, time_limit: Duration) -> Self {
        let dial = Dial {
            targets: Vec::new(),
            timeout: LINK_LIMIT,
            time_limit,
            caller_id: None,
            caller_name: None,
            action: None,
            redirect: false,
            callback: None,
            sip_headers: Vec::new(),
            early_media: false,
            direct: true,
        };
        let mut dialing = Self::linking(dial, None);
        ctx.set_timer(Timer::Verb, LINK_LIMIT);
        match ctx.caller.offer.clone() {
            Some(offer) => {
                dialing.state = State::Linking(Link::Read { replaced });
                ctx.describe(LegId::A, OfferOrAnswer::Offer, offer);
            }
            None => dialing.ask_to_join(ctx, replaced),
        }
        dialing
    }

    /// Takes the place of a session of another call, for the survivor of a transfer; on trial.
    pub(crate) fn find(
        &self,
        ctx: &mut Context,
        mut referral: Box<Referral>,
        by: LegId,
        wanted: (RequestId, Replaces),
    ) -> Self {
        let (request, replaces) = wanted;
        referral.owed = Some((by, request));
        let dial = self.referred(&referral);
        let dialing = Self::linking(dial, Some(referral));
        ctx.set_timer(Timer::Verb, LINK_LIMIT);
        let session = ctx.session(by);
        ctx.outputs.push_back(Output::Sip(sip::Command::Find {
            session,
            request,
            replaces,
        }));
        dialing
    }

    /// Lets a distant leg talk in the place of one that this Dial brought together with its near end.
    pub(crate) fn linked(
        &self,
        ctx: &mut Context,
        referral: Box<Referral>,
        near: LegId,
        distant: LegId,
    ) -> Self {
        let dial = self.referred(&referral);
        let mut dialing = Self::linking(dial, Some(referral));
        dialing.callees.push(callee(distant));
        dialing.state = State::Bridged { b: distant };
        ctx.connect(near, distant);
        dialing
    }

    /// A distant leg picks up what rings at one of our callees (RFC 3891 §3, early dialogs).
    pub(crate) fn picked_up(&mut self, ctx: &mut Context, distant: LegId) -> Step {
        ctx.set_timer(Timer::Verb, super::JOIN_LIMIT);
        self.hang_up_losers(ctx, distant, distant);
        self.forget_early(ctx);
        self.callees.push(callee(distant));
        self.answer_like(ctx, distant)
    }

    /// Who is left by a caller that gave up its place waits for the callees; what the caller's document says of its Dial
    /// goes with the caller.
    pub(crate) fn hand_over(&mut self, ctx: &mut Context, end: End) {
        self.forget_early(ctx);
        let state = self.state;
        let summary = self.summary_of(ctx, end);
        self.state = state;
        self.tell_action(ctx, summary);
        self.dial.action = None;
        self.dial.callback = None;
        self.dial.early_media = false;
        self.dial.direct = true;
    }

    /// Tells whether callees are looked up or ring.
    pub(crate) fn is_ringing(&self) -> bool {
        self.state == State::Ringing
    }

    /// Tells the other call, whose callees ring, that nobody waits for them any more.
    pub(super) fn let_go(&self, ctx: &mut Context) {
        if let State::Linking(Link::Rings { replaced }) = self.state {
            let near = self.near(ctx);
            ctx.say(replaced, near, Word::Gone);
        }
    }

    /// Tells whether one of the callees rings at this attempt.
    pub(crate) fn rings_at(&self, id: LegId) -> bool {
        self.state == State::Ringing && self.leg_of_attempt(id).is_some()
    }

    /// Tells whether another call is asked about this session.
    pub(crate) fn awaits(&self, session: SessionId) -> bool {
        matches!(
            self.state,
            State::Linking(Link::Join { replaced } | Link::Rings { replaced }) if replaced == session
        )
    }

    fn linking(dial: Dial, referral: Option<Box<Referral>>) -> Self {
        Self {
            dial,
            state: State::Linking(Link::Find),
            callees: Vec::new(),
            room: 0,
            rang: false,
            early: None,
            flows: Vec::new(),
            refusal: None,
            referral,
            untold: false,
        }
    }

    fn ask_to_join(&mut self, ctx: &mut Context, replaced: SessionId) {
        self.state = State::Linking(Link::Join { replaced });
        let near = self.near(ctx);
        ctx.say(replaced, near, Word::Join { replaced });
    }

    /// The dialog that Replaces means was looked up.
    pub(super) fn found(&mut self, ctx: &mut Context, replaced: Option<Replaced>) -> Step {
        match replaced {
            // A call has no place for a second end of its own.
            Some(replaced) if !ctx.is_own(replaced.session) => {
                self.ask_to_join(ctx, replaced.session);
                Step::Continue
            }
            _ => self.not_linked(ctx, Status::CALL_DOES_NOT_EXIST),
        }
    }

    /// The plane has read what the caller offers.
    pub(super) fn heard_linking(&mut self, ctx: &mut Context, link: Link, heard: &Heard) -> Step {
        match (link, heard) {
            (Link::Read { replaced }, Heard::Accepted) => {
                self.ask_to_join(ctx, replaced);
                Step::Continue
            }
            (_, Heard::Refused(status)) => self.not_linked(ctx, Status(*status)),
            (_, Heard::Unavailable) => self.not_linked(ctx, Status::SERVICE_UNAVAILABLE),
            _ => Step::Continue,
        }
    }

    /// The other call has answered.
    pub(super) fn heard_across(&mut self, ctx: &mut Context, from: SessionId, word: &Word) -> Step {
        self.answer_refer(ctx, Status::ACCEPTED);
        match word {
            Word::Joined { .. } => {
                let near = self.near(ctx);
                let Some(distant) = ctx.open_distant(from, near) else {
                    ctx.say(from, near, Word::Gone);
                    return self.not_linked(ctx, Status::SERVICE_UNAVAILABLE);
                };
                self.untold = true;
                self.callees.push(callee(distant));
                self.answer_like(ctx, distant)
            }
            Word::Rings { replaced, left } => {
                let replaced = *replaced;
                self.state = State::Linking(Link::Rings { replaced });
                ctx.set_timer(Timer::Verb, left.saturating_add(LINK_LIMIT));
                ctx.ring_a(Status::RINGING, None);
                Step::Continue
            }
            Word::Declined { status, .. } => self.not_linked(ctx, *status),
            _ => Step::Continue,
        }
    }

    /// Nothing came of it. The transferor is told so in a NOTIFY: 481 or 408 as the answer of its REFER would end its own
    /// dialog (RFC 5057 §5.1), and a 408 is not to be sent at all (RFC 4320 §4.2).
    pub(super) fn not_linked(&mut self, ctx: &mut Context, status: Status) -> Step {
        self.answer_refer(ctx, Status::ACCEPTED);
        let end = End::with_status(Cause::RoutingError, HangupSource::Platform, status.0);
        self.finish(ctx, DialStatus::Failed, end, None)
    }
}

fn callee(distant: LegId) -> Callee {
    Callee {
        target: Target {
            kind: TargetKind::Any(String::new()),
            caller_id: None,
            caller_name: None,
            sip_headers: Vec::new(),
        },
        position: 1,
        state: CalleeState::Calling {
            leg: distant,
            attempts: vec![(distant, None)],
        },
        refusal: None,
        rest: Rest::default(),
    }
}
