//! From a target to its INVITE and its ring tone.

use bytes::Bytes;
use media::OfferOrAnswer;
use sip::{Header, Name, Status};

use super::flows::keep_other_flows;
use super::hunt::Rest;
use super::{Callee, CalleeState, Dialing, Early, EarlyStep, Referral, no_room};
use crate::address::{NONE, custom_headers, from_value};
use crate::call::Caller;
use crate::context::Context;
use crate::leg::{Described, LegId, Wire};
use crate::verb::dial::{Dial, LocateFailure, Located, QueryId, Target};
use crate::verb::{Step, too_many_documents};

impl Dialing {
    pub(super) fn located(
        &mut self,
        ctx: &mut Context,
        query: QueryId,
        outcome: Result<Located, LocateFailure>,
    ) -> Step {
        if let Some(index) = self.redirected(query) {
            return self.follow(ctx, index, outcome);
        }
        let room = self.room;
        let is_asked = |callee: &Callee| matches!(callee.state, CalleeState::Locating(asked) if asked == query);
        let Some(index) = self.callees.iter().position(is_asked) else {
            return Step::Continue;
        };
        let Some(callee) = self.callees.get_mut(index) else {
            return Step::Continue;
        };
        let Some(leg) = ctx.new_leg_id() else {
            return Step::End(too_many_documents());
        };
        let caller = Referral::caller(self.referral.as_deref(), ctx);
        let from = shown_from(&self.dial, &callee.target, caller);
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
                let to = callee.target.kind.text().to_owned();
                (
                    ctx.callee_record(leg, from, to),
                    Vec::new(),
                    Some(failure.end()),
                )
            }
        };
        record.source_ip = places.first().map(|place| place.near);
        ctx.open_leg(record, self.dial.callback.clone(), callee.position);
        if let Some(end) = failure {
            callee.state = CalleeState::Over;
            ctx.end_leg(leg, end);
            self.refusal = Some(end.better(self.refusal));
            return self.nobody_left(ctx);
        }
        callee.rest = Rest::of(places, self.dial.timeout);
        callee.state = CalleeState::Calling {
            leg,
            attempts: Vec::new(),
        };
        self.call_next(ctx, index);
        Step::Continue
    }

    /// Asks for offers to everybody who is found, once the plane knows what the caller offers.
    pub(super) fn call_ready(&mut self, ctx: &mut Context) {
        let near = self.near(ctx);
        let is_up = ctx.wire(near) == Wire::Up;
        let like = if is_up {
            Some(near)
        } else {
            match (self.caller(ctx).offer.clone(), ctx.described(near)) {
                (None, _) => None,
                (Some(_), Described::Yes) => Some(near),
                (Some(_), Described::Asked) => return,
                (Some(offer), Described::No) => {
                    ctx.describe(near, OfferOrAnswer::Offer, offer);
                    return;
                }
            }
        };
        for callee in &self.callees {
            if let CalleeState::Calling { attempts, .. } = &callee.state {
                for (id, place) in attempts {
                    if place.is_none() || ctx.has_asked_offer(*id) {
                        continue;
                    }
                    // Whoever put the near end on hold before, with these it is to talk.
                    match is_up {
                        true => ctx.make_offer_to_talk(*id, near),
                        false => ctx.make_offer(*id, like),
                    }
                }
            }
        }
    }

    /// The offer for an attempt is made: its INVITE goes out.
    pub(super) fn invite(&mut self, ctx: &mut Context, id: LegId, sdp: Bytes) {
        let caller = Referral::caller(self.referral.as_deref(), ctx);
        for callee in &mut self.callees {
            let CalleeState::Calling { attempts, .. } = &mut callee.state else {
                continue;
            };
            let Some((_, place)) = attempts.iter_mut().find(|(attempt, _)| *attempt == id) else {
                continue;
            };
            let Some(place) = place.take() else { return };
            keep_other_flows(&mut self.flows, id, &place);
            let (dial, target) = (&self.dial, &callee.target);
            let caller_id = target.caller_id.as_deref().or(dial.caller_id.as_deref());
            let name = target.caller_name.as_deref();
            let name = name.or(dial.caller_name.as_deref());
            // RFC 3323 §4.2: who wants to be anonymous is, unless the document shows a number of its own.
            let hidden = caller.anonymous && caller_id.is_none();
            let name = name.unwrap_or(&caller.name);
            let shown = place.over.as_ref().and_then(|over| over.shown.as_ref());
            let asserted = match shown {
                Some(shown) => match &shown.user {
                    Some(user) if caller_id != Some(NONE) => from_value(user, name, &shown.domain),
                    _ => from_value(NONE, NONE, &shown.domain),
                },
                None => from_value(
                    caller_id.unwrap_or(&caller.number_or_user),
                    name,
                    &caller.domain,
                ),
            };
            let is_nobody = shown.is_some_and(|shown| shown.user.is_none());
            let from = match hidden {
                true => from_value(NONE, NONE, &caller.domain),
                false => asserted.clone(),
            };
            let mut headers = custom_headers(
                caller
                    .headers
                    .iter()
                    .chain(&dial.sip_headers)
                    .chain(&target.sip_headers),
            );
            if let Some(left) = ctx.caller.max_forwards {
                // What RFC 3261 §16.6 step 3 asks of a proxy ends loops through other servers too.
                headers.push(Header::new(Name::MaxForwards, left.to_string()));
            }
            let referred_by = self.referral.as_ref().and_then(|by| by.referred_by.clone());
            headers.extend(referred_by.map(|by| Header::new(Name::ReferredBy, by)));
            if place.trusted && caller_id != Some(NONE) && !is_nobody {
                // RFC 3325 §5: who is trusted learns who calls, and that others must not.
                headers.push(Header::new(Name::PAssertedIdentity, asserted));
                if hidden {
                    headers.push(Header::new(Name::Privacy, "id"));
                }
            }
            ctx.invite(id, place, from, headers, sdp);
            return;
        }
    }

    pub(super) fn rings(
        &mut self,
        ctx: &mut Context,
        id: LegId,
        status: Status,
        sdp: Option<Bytes>,
    ) -> Step {
        let Some(leg) = self.leg_of_attempt(id) else {
            return Step::Continue;
        };
        // 199 and other codes do not say that anything rings.
        if !(180..=189).contains(&status.0) {
            return Step::Continue;
        }
        ctx.leg_rings(leg);
        let near = self.near(ctx);
        let first = !std::mem::replace(&mut self.rang, true);
        let wanted =
            (self.dial.direct || self.dial.early_media) && self.caller(ctx).offer.is_some();
        match sdp {
            Some(description)
                if wanted
                    && self.early.is_none()
                    && ctx.wire(near) == Wire::Incoming
                    && !ctx.is_distant(near) =>
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
        Step::Continue
    }
}

/// Who calls, as records and callbacks show it.
fn shown_from(dial: &Dial, target: &Target, caller: &Caller) -> String {
    let caller_id = target.caller_id.as_ref().or(dial.caller_id.as_ref());
    caller_id.unwrap_or(&caller.from).clone()
}
