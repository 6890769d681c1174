//! Two calls whose legs talk with each other: RFC 3891 translated across the two legs of either call.
//!
//! Each call keeps its own legs, records and script. The leg of the other call is a distant end here: it has no record and
//! no session of ours, but it is offered to, answers and leaves like any other; what would be sent to it is said to its call.

use std::time::Duration;

use bytes::Bytes;
use sip::{Refer, RequestId, SessionId, Status, Text};

use crate::aside::Aside;
use crate::call::Output;
use crate::context::Context;
use crate::leg::{Asked, Attempt, Described, Distant, EndpointId, LegId, Media, Wire};

/// What one call says to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Word {
    /// Let my leg talk with whom this session of yours talks with, in its place.
    Join {
        /// The session to take the place of.
        replaced: SessionId,
    },
    /// It does, and the session that was replaced is over.
    Joined {
        /// The session that was replaced.
        replaced: SessionId,
    },
    /// It will, as soon as somebody answers whom this session of mine has called; it gives up its place at once.
    Rings {
        /// The session that is replaced.
        replaced: SessionId,
        /// How long it may ring.
        left: Duration,
    },
    /// It does not.
    Declined {
        /// The session that stays.
        replaced: SessionId,
        /// Why.
        status: Status,
    },
    /// My leg has a new description: offer it to yours.
    Offer,
    /// My leg has answered your offer.
    Answered,
    /// It has not; it goes on as it was.
    Failed(Status),
    /// My leg says something to yours beside the session.
    Aside {
        /// My name for it.
        id: RequestId,
        /// What it says.
        aside: Aside,
    },
    /// Yours is answered.
    Heard {
        /// Your name for it.
        id: RequestId,
        /// The answer.
        status: Status,
    },
    /// My leg wants yours to talk with somebody else (RFC 3515).
    Refer {
        /// My name for it.
        id: RequestId,
        /// What it wants.
        refer: Box<Refer>,
        /// Our endpoint at my leg.
        endpoint: Option<EndpointId>,
        /// The name by which we know who sits at it.
        name: Text,
    },
    /// What your REFER is answered with.
    Responded {
        /// Your name for it.
        id: RequestId,
        /// The answer.
        status: Status,
    },
    /// How far your REFER has come.
    Progress {
        /// Your name for it.
        id: RequestId,
        /// The status of the transfer.
        status: Status,
        /// Its reason phrase, when the default one will not do.
        reason: Option<Text>,
    },
    /// My leg talks with yours no more.
    Gone,
}

impl Context {
    /// Gives a leg of another call a number here; it is to talk with one of ours.
    pub(crate) fn open_distant(&mut self, session: SessionId, near: LegId) -> Option<LegId> {
        self.distant_attempt(session, near, Wire::Up)
    }

    /// Gives a leg of another call a number here; it waits in the place of one of ours until somebody answers.
    pub(crate) fn open_waiting(&mut self, session: SessionId, replaced: LegId) -> Option<LegId> {
        self.distant_attempt(session, replaced, Wire::Incoming)
    }

    fn distant_attempt(&mut self, session: SessionId, near: LegId, wire: Wire) -> Option<LegId> {
        let id = self.new_leg_id()?;
        let distant = Some(Distant { session, near });
        self.attempts.insert(
            id,
            Attempt {
                leg: id,
                wire,
                media: Media::Absent,
                described: Described::Yes,
                near: self.caller.source.remote.ip(),
                asked: Asked::default(),
                distant,
            },
        );
        Some(id)
    }

    /// Finds the leg of another call.
    pub(crate) fn distant(&self, session: SessionId) -> Option<LegId> {
        let is_it = |attempt: &&Attempt| {
            matches!(attempt.wire, Wire::Up | Wire::Incoming)
                && attempt
                    .distant
                    .is_some_and(|distant| distant.session == session)
        };
        let found = self.attempts.iter().find(|(_, attempt)| is_it(attempt))?;
        Some(*found.0)
    }

    pub(crate) fn is_distant(&self, id: LegId) -> bool {
        self.attempts
            .get(&id)
            .is_some_and(|attempt| attempt.distant.is_some())
    }

    /// Tells whether a leg of another call waits for an answer.
    pub(crate) fn is_waiting(&self, id: LegId) -> bool {
        self.is_distant(id) && self.wire(id) == Wire::Incoming
    }

    /// Somebody has answered: the leg of another call that waits for it talks with that leg of ours.
    pub(crate) fn end_waiting(&mut self, id: LegId, near: LegId) {
        self.set_wire(id, Wire::Up);
        let attempt = self.attempts.get_mut(&id);
        let Some(distant) = attempt.and_then(|attempt| attempt.distant.as_mut()) else {
            return;
        };
        let replaced = std::mem::replace(&mut distant.near, near);
        let replaced = self.session(replaced);
        self.say_to(id, Word::Joined { replaced });
    }

    /// Nobody has answered.
    pub(crate) fn decline_waiting(&mut self, distant: Distant, status: Status) {
        let replaced = self.session(distant.near);
        self.say(
            distant.session,
            distant.near,
            Word::Declined { replaced, status },
        );
    }

    /// Passes on to the call of a distant leg what another call wants of the leg that talks with it.
    pub(crate) fn pass_join_on(&mut self, id: LegId, other: SessionId, replaced: SessionId) {
        let attempt = self.attempts.get(&id);
        if let Some(distant) = attempt.and_then(|attempt| attempt.distant) {
            self.outputs.push_back(Output::Across {
                to: distant.session,
                from: other,
                word: Word::Join { replaced },
            });
        }
    }

    /// Says something to the call of a distant leg.
    pub(crate) fn say_to(&mut self, id: LegId, word: Word) {
        let attempt = self.attempts.get(&id);
        if let Some(Distant { session, near }) = attempt.and_then(|attempt| attempt.distant) {
            self.say(session, near, word);
        }
    }

    /// Says something to another call about one of our legs.
    pub(crate) fn say(&mut self, to: SessionId, from: LegId, word: Word) {
        let from = self.session(from);
        self.outputs.push_back(Output::Across { to, from, word });
    }

    /// Another call says something about the exchange with its leg.
    pub(crate) fn heard_across(&mut self, id: LegId, word: Word) {
        match word {
            Word::Offer => self.offered_across(id),
            Word::Answered => self.reanswered(id, Some(Bytes::new())),
            Word::Failed(status) => self.reoffer_failed(id, status),
            Word::Aside { id: asked, aside } => self.pass_on(id, asked, aside),
            Word::Heard { id: asked, status } => self.aside_answered(id, asked, status),
            Word::Join { .. }
            | Word::Joined { .. }
            | Word::Rings { .. }
            | Word::Declined { .. }
            | Word::Refer { .. }
            | Word::Responded { .. }
            | Word::Progress { .. }
            | Word::Gone => {}
        }
    }
}
