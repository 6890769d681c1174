//! Hangup: voice-xml.md §4.11.

use std::time::Duration;

use crate::cdr::{Cause, HangupSource};
use crate::context::{Context, Timer};
use crate::leg::{End, Wire};
use crate::verb::Step;

/// Ends the call, at once or later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hangup {
    /// How to refuse a caller that is not answered yet.
    pub reason: Option<HangupReason>,
    /// Ends the call after this long and lets it go on until then.
    pub schedule: Option<Duration>,
}

/// How to refuse a caller.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum HangupReason {
    /// 603.
    Rejected,
    /// 486.
    Busy,
}

impl Hangup {
    /// Runs the whole verb: it never waits.
    pub(crate) fn start(&self, ctx: &mut Context) -> Step {
        if let Some(after) = self.schedule.filter(|after| !after.is_zero()) {
            ctx.set_timer(Timer::Schedule, after);
            return Step::Done;
        }
        let source = HangupSource::AnswerXml;
        Step::End(match (ctx.wire(ctx.served()), self.reason) {
            (Wire::Incoming, Some(HangupReason::Busy)) => {
                End::with_status(Cause::BusyLine, source, 486)
            }
            // No reason counts as rejected.
            (Wire::Incoming, Some(HangupReason::Rejected) | None) => {
                End::with_status(Cause::Rejected, source, 603)
            }
            _ => End::new(Cause::NormalHangup, source),
        })
    }

    /// Says how a call ends whose scheduled time has come.
    pub(crate) const fn scheduled() -> End {
        End::new(Cause::ScheduledHangup, HangupSource::AnswerXml)
    }
}
