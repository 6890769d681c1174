//! Two calls of which a leg each talk with one another: an attended transfer, or a call that another phone picked up.
//!
//! Each call keeps its leg, its record and its callbacks. What one must know of the other travels as a [`LinkMessage`]
//! between two sessions; the relay between their media is made by whoever asked.

use sip::{SessionId, Status};

use crate::call::Output;
use crate::context::Context;

/// What a leg of one call says to a leg of another.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum LinkMessage {
    /// I take the place of this leg: let me talk with its peer.
    Ask,
    /// So be it.
    Granted {
        /// The peer.
        peer: SessionId,
        /// It is answered, so it may be offered anew what the asking leg chose.
        up: bool,
    },
    /// It cannot be.
    Refused(Status),
    /// Offer your leg anew what mine chose.
    Refresh,
    /// My leg is over.
    Gone,
}

impl Context {
    /// Says something to a leg of another call, in the name of the leg that talks with it or wants to.
    pub(crate) fn say(&mut self, to: SessionId, message: LinkMessage) {
        if let Some(leg) = self.linking {
            let from = self.session(leg);
            self.outputs.push_back(Output::Link { to, from, message });
        }
    }
}
