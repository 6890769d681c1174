//! Where a target is called next: rank after rank of its places, and where a 3xx sends the call.
//!
//! Places of one rank ring at once (RFC 3261 §16.6); the next rank has its turn when they have refused or rung for their
//! share of the Dial's time. Whether a redirect may be followed is not decided here: its contacts are looked up like a target.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sip::{Destination, Response, Status};

use super::{CalleeState, Dialing, State, no_room};
use crate::cdr::{Cause, HangupSource};
use crate::context::{Context, Timer};
use crate::leg::{End, LegId, Wire};
use crate::verb::Step;
use crate::verb::dial::{LocateFailure, Located, Place, QueryId, Redirected, TargetKind};

/// Redirects that are followed for one target, all in all: RFC 3261 §8.1.3.4 leaves the bound to us.
const MAX_REDIRECTS: u8 = 4;
/// Contacts of one redirect that are looked at.
const MAX_CONTACTS: usize = 5;

/// Places and redirects of one target whose turn is still to come.
#[derive(Default, Debug)]
pub(super) struct Rest {
    /// In the order of their ranks.
    places: VecDeque<Place>,
    /// Redirects that are looked up.
    asked: Vec<QueryId>,
    followed: u8,
    /// Where the target was called: RFC 3261 §8.1.3.4 calls no URI twice. Bounded by [`super::MAX_ATTEMPTS`].
    called: Vec<Destination>,
    /// Whether any place was called: the first attempt has the number of the leg.
    begun: bool,
    /// How long one rank rings.
    share: Duration,
    /// When the next rank has its turn.
    turn: Option<Instant>,
}

impl Rest {
    /// What remains of a target that was found; `time` is for all of its ranks.
    pub(super) fn of(places: Vec<Place>, time: Duration) -> Self {
        let mut ranks: Vec<u16> = places.iter().map(|place| place.rank).collect();
        ranks.dedup();
        let ranks = u32::try_from(ranks.len()).unwrap_or(u32::MAX).max(1);
        Self {
            places: places.into(),
            share: time / ranks,
            ..Self::default()
        }
    }

    /// Leaves trunks out of what was still to come.
    pub(super) fn clear_trunks(&mut self) {
        self.places.retain(|place| place.over.is_none());
    }

    /// Forgets all that was still to come.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.asked.clear();
        self.turn = None;
    }
}

impl Dialing {
    /// Calls the next rank of a target; tells whether there was one, and room for it.
    pub(super) fn call_next(&mut self, ctx: &mut Context, index: usize) -> bool {
        let room = &mut self.room;
        let Some(callee) = self.callees.get_mut(index) else {
            return false;
        };
        let CalleeState::Calling { leg, attempts } = &mut callee.state else {
            return false;
        };
        let (rest, before) = (&mut callee.rest, attempts.len());
        let rank = rest.places.front().map(|place| place.rank);
        while *room > 0
            && let Some(place) = rest.places.pop_front_if(|place| Some(place.rank) == rank)
        {
            let id = match std::mem::replace(&mut rest.begun, true) {
                false => Some(*leg),
                true => ctx.new_leg_id(),
            };
            let Some(id) = id else { break };
            ctx.open_attempt(id, *leg, Wire::Idle, place.near);
            rest.called.push(place.destination.clone());
            attempts.push((id, Some(place)));
            *room -= 1;
        }
        if *room == 0 {
            rest.places.clear();
        }
        // Another trunk has its turn when this one fails, not when the callee lets it ring.
        let next = rest.places.front().filter(|place| place.over.is_none());
        rest.turn = next.map(|_| ctx.now.instant + rest.share);
        let begun = attempts.len() > before;
        self.set_turn(ctx);
        if begun {
            self.call_ready(ctx);
        }
        begun
    }

    /// A target that no attempt calls any more goes on with its next rank, waits for a redirect, or is over.
    pub(super) fn settle(&mut self, ctx: &mut Context, index: usize) -> Step {
        let Some(callee) = self.callees.get(index) else {
            return Step::Continue;
        };
        let CalleeState::Calling { attempts, .. } = &callee.state else {
            return self.nobody_left(ctx);
        };
        if !attempts.is_empty() || !callee.rest.asked.is_empty() || self.call_next(ctx, index) {
            return Step::Continue;
        }
        let Some(callee) = self.callees.get_mut(index) else {
            return Step::Continue;
        };
        let refusal = callee.refusal.unwrap_or(no_room());
        if let CalleeState::Calling { leg, .. } = callee.state {
            if let (HangupSource::Callee, Some(status)) = (refusal.source, refusal.status) {
                // Of several attempts the refusal that counts is told.
                ctx.note_status(leg, status);
            }
            ctx.end_leg(leg, refusal);
        }
        callee.state = CalleeState::Over;
        self.refusal = Some(refusal.better(self.refusal));
        self.nobody_left(ctx)
    }

    /// The ranks whose share is over give way to the next.
    pub(super) fn turn(&mut self, ctx: &mut Context) -> Step {
        let end = End::with_status(Cause::RingTimeout, HangupSource::Platform, 480);
        let mut over: Vec<LegId> = Vec::new();
        for callee in &mut self.callees {
            if callee.rest.turn.is_some_and(|turn| turn <= ctx.now.instant)
                && let CalleeState::Calling { attempts, .. } = &callee.state
            {
                callee.rest.turn = None;
                over.extend(attempts.iter().map(|(id, _)| *id));
            }
        }
        for id in over {
            ctx.drop_attempt(id, &end);
            match self.lost(ctx, id, end) {
                Step::Continue => {}
                step => return step,
            }
        }
        self.set_turn(ctx);
        Step::Continue
    }

    fn set_turn(&self, ctx: &mut Context) {
        let turns = self.callees.iter().filter_map(|callee| callee.rest.turn);
        match turns.min() {
            Some(turn) => {
                let wait = turn.saturating_duration_since(ctx.now.instant);
                ctx.set_timer(Timer::Turn, wait);
            }
            None => ctx.clear_timer(Timer::Turn),
        }
    }

    /// Takes an attempt that was answered 3xx and asks where its contacts are; `false`: it is a refusal like another.
    pub(super) fn is_redirected(
        &mut self,
        ctx: &mut Context,
        id: LegId,
        status: Status,
        response: Option<&Response>,
    ) -> bool {
        if self.state != State::Ringing || !(300..=399).contains(&status.0) {
            return false;
        }
        let contacts = response.and_then(|response| response.contacts().ok());
        let mut contacts: Vec<(String, u16)> = contacts
            .iter()
            .flat_map(|contacts| contacts.as_slice())
            .map(|contact| (contact.uri.to_string(), contact.q()))
            .collect();
        // RFC 3261 §8.1.3.4: in the order of q; equal ones in the order they were given.
        contacts.sort_by_key(|(_, q)| std::cmp::Reverse(*q));
        contacts.truncate(MAX_CONTACTS);
        let direct = self.dial.direct;
        let shown = self.dial.caller_id.clone();
        let shown = shown.unwrap_or_else(|| self.caller(ctx).number_or_user.clone());
        let found = self
            .callees
            .iter_mut()
            .find_map(|callee| match &mut callee.state {
                CalleeState::Calling { leg, attempts }
                    if attempts.iter().any(|(attempt, _)| *attempt == id) =>
                {
                    Some((*leg, attempts, &mut callee.rest))
                }
                _ => None,
            });
        let Some((leg, attempts, rest)) = found else {
            return false;
        };
        if contacts.is_empty() || rest.followed >= MAX_REDIRECTS {
            return false;
        }
        attempts.retain(|(attempt, _)| *attempt != id);
        rest.followed += 1;
        let query = ctx.locate(
            shown,
            TargetKind::Redirected(Redirected {
                contacts,
                by: ctx.leg_endpoint(leg),
                direct,
            }),
        );
        rest.asked.push(query);
        self.lose_early(ctx, id);
        true
    }

    /// Finds the target whose redirect this question was about.
    pub(super) fn redirected(&mut self, query: QueryId) -> Option<usize> {
        self.callees.iter_mut().position(|callee| {
            let before = callee.rest.asked.len();
            callee.rest.asked.retain(|asked| *asked != query);
            callee.rest.asked.len() < before
        })
    }

    /// The contacts of a redirect were looked up.
    pub(super) fn follow(
        &mut self,
        ctx: &mut Context,
        index: usize,
        outcome: Result<Located, LocateFailure>,
    ) -> Step {
        let Some(callee) = self.callees.get_mut(index) else {
            return Step::Continue;
        };
        let rest = &mut callee.rest;
        let mut found = outcome.map(|located| located.destinations);
        if let Ok(places) = &mut found {
            places.retain(|place| !rest.called.contains(&place.destination));
        }
        match found {
            Ok(places) if !places.is_empty() => {
                for place in places.into_iter().rev() {
                    rest.places.push_front(place);
                }
                if !self.call_next(ctx, index) {
                    return self.settle(ctx, index);
                }
                Step::Continue
            }
            other => {
                let failure = other.err().unwrap_or(LocateFailure::NotFollowed);
                callee.refusal = Some(failure.end().better(callee.refusal));
                self.settle(ctx, index)
            }
        }
    }
}
