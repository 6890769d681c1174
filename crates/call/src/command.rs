//! What REST, an operator or the platform may ask of a live call.

use crate::cdr::{Cause, HangupSource};

/// A wish about a live call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Ends the call at once. A [`Cause::NormalHangup`] of a leg that never answered is recorded as
    /// [`Cause::Canceled`] (plivo-rest.md §15: 1000 before the answer, 4000 after).
    HangUp {
        /// What the records say.
        cause: Cause,
        /// Who wants it.
        source: HangupSource,
    },
}
