//! What a call does: its legs, its script of verbs, the record it leaves. Pure: no socket, no clock, no task.
//!
//! A [`Call`] is a back-to-back user agent for one caller. Its inputs are what happens to its legs ([`sip::SessionEvent`]),
//! to their media ([`media::Event`]) and the answers to its questions; its outputs are commands, questions and records.
//! `handle` makes one change, then `poll_output` is drained, then `poll_timeout` tells when [`Input::Due`] is due.
//!
//! What holds at every moment, and is proved by `tests/ladders/model.rs`:
//! - every leg that starts leaves exactly one [`Cdr`]; the caller's leg leaves exactly one [`Occasion::Hangup`];
//! - every media session that was opened is closed, and no command goes to a leg that is gone;
//! - nothing answers the caller before the row of its leg is on disk ([`Input::Recorded`]);
//! - [`Output::Over`] comes once, last, after the legs are gone and their media is closed.

mod about;
mod across;
mod address;
mod aside;
mod bridge;
mod call;
mod cdr;
mod command;
mod context;
mod leg;
mod script;
mod transfer;
mod verb;

pub use about::{
    About, AuthKind, AuthUser, CallStatus, DialAction, DialLeg, DialStatus, DialSummary, Direction,
    Fetch, FetchFailure, FetchId, Notice, Occasion,
};
pub use across::Word;
pub use aside::{Aside, Digit};
pub use call::{Call, Caller, Input, Now, Output, Script, Start};
pub use cdr::{Cause, Cdr, HangupSource};
pub use command::Command;
pub use leg::{CallNumber, EndpointId, LegId, LegRecord, leg_of, session};
pub use verb::{
    Dial, Document, Hangup, HangupReason, HttpMethod, Link, LocateFailure, Located, OverTrunk,
    Place, QueryId, Redirect, Redirected, Referred, Shown, Target, TargetKind, Verb,
};
