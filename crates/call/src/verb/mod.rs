//! The verbs: a parsed form that is already valid, and a running form with `start`, `on_event` and `stop`.

mod dial;
mod dialing;
mod hangup;
mod redirect;

use crate::about::{FetchFailure, FetchId};
use crate::across::Word;
use crate::cdr::{Cause, HangupSource};
use crate::context::{Context, Heard};
use crate::leg::{End, LegId};

pub use dial::{
    Dial, LocateFailure, Located, OverTrunk, Place, QueryId, Redirected, Referred, Shown, Target,
    TargetKind,
};
pub use hangup::{Hangup, HangupReason};
pub use redirect::Redirect;

pub(crate) use dialing::{Dialing, Referral};
use redirect::Redirecting;

/// What a customer's server answered, read and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// Run from first to last.
    pub verbs: Vec<Verb>,
}

/// One element of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Calls somebody.
    Dial(Dial),
    /// Ends the call.
    Hangup(Hangup),
    /// Goes on with another document.
    Redirect(Redirect),
}

/// How a URL is asked.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum HttpMethod {
    /// Parameters in the query.
    Get,
    /// Parameters in the body.
    Post,
}

/// A URL of the customer and how to ask it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Absolute, with its fragment options (voice-xml.md §1.6).
    pub url: String,
    /// The method.
    pub method: HttpMethod,
}

/// What can happen to a running verb.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "lives for one call of on_event")]
pub(crate) enum Event {
    /// Something happened to a leg on the wire.
    Leg {
        leg: LegId,
        event: sip::SessionEvent,
    },
    /// The stack has no room for a leg.
    Refused(LegId),
    /// The plane said something about a leg.
    Media { leg: LegId, heard: Heard },
    /// The customer's server answered.
    Fetched {
        fetch: FetchId,
        outcome: Result<Document, FetchFailure>,
    },
    /// A target was looked up.
    Located {
        query: QueryId,
        outcome: Result<Located, LocateFailure>,
    },
    /// A target turned out to be an application.
    Application { query: QueryId, answer: Link },
    /// The deadline that the verb set has come.
    Deadline,
    /// The next place of a target has its turn.
    Turn,
    /// Two have talked as long as they may.
    TimeLimit,
    /// The session that a Replaces means was looked up.
    Found(Option<sip::Replaced>),
    /// Another call has answered whether its leg may talk with ours.
    Across { from: sip::SessionId, word: Word },
}

/// How a document goes on after an event.
#[derive(Debug)]
pub(crate) enum Step {
    /// The verb goes on.
    Continue,
    /// The next verb's turn.
    Done,
    /// Another document takes the place of the rest.
    Replace(Document),
    /// The call ends.
    End(End),
}

/// The running form of a verb that waits for something.
#[derive(Debug)]
pub(crate) enum Running {
    Dial(Box<Dialing>),
    Redirect(Redirecting),
}

impl Verb {
    /// Starts a verb; one that is over at once has no running form.
    pub(crate) fn start(self, ctx: &mut Context) -> Result<Running, Step> {
        match self {
            Self::Dial(dial) => {
                Dialing::start(dial, ctx).map(|dialing| Running::Dial(Box::new(dialing)))
            }
            Self::Hangup(hangup) => Err(hangup.start(ctx)),
            Self::Redirect(redirect) => Redirecting::start(redirect, ctx).map(Running::Redirect),
        }
    }
}

impl Running {
    pub(crate) fn on_event(&mut self, ctx: &mut Context, event: Event) -> Step {
        match self {
            Self::Dial(dialing) => dialing.on_event(ctx, event),
            Self::Redirect(redirecting) => redirecting.on_event(event),
        }
    }

    /// Undoes what is open, because the caller's leg ends.
    pub(crate) fn stop(&mut self, ctx: &mut Context, end: End) {
        match self {
            Self::Dial(dialing) => dialing.stop(ctx, end),
            Self::Redirect(_) => {}
        }
    }
}

/// voice-xml.md §1.5: documents that only lead to documents.
pub(crate) const fn too_many_documents() -> End {
    End::with_status(Cause::LoopDetected, HangupSource::Platform, 482)
}
