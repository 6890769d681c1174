//! What a call does once its script is taken out of its hands: a transfer, or a leg that talks with another call's.
//!
//! A leg that sends REFER (RFC 3515) is the transferor, its peer the one that is kept. The application is asked first where
//! it wants to be; then the target is called, or the dialog that the REFER names is found and its peer taken over. The
//! transferor is told how it goes to the end, may leave at any time, and gets its call back when it fails.

mod linked;
mod moving;

use sip::{RequestId, SessionEvent, SessionId};

use crate::cdr::{Cause, HangupSource};
use crate::context::{Context, Heard};
use crate::leg::{End, LegId};
use crate::verb::{Dialing, Event, Step};

pub(crate) use moving::{Course, Moving, call, refer_of};

/// Who talks after the script.
#[derive(Debug)]
pub(crate) enum Tail {
    /// Two legs of this call.
    Pair,
    /// The target of a transfer is called, or talks, for the leg that is kept.
    Called {
        dialing: Box<Dialing>,
        transfer: Option<Transfer>,
    },
    /// A leg of this call talks with one of another.
    Linked {
        own: LegId,
        other: SessionId,
        /// The caller's answer is still being made.
        answering: bool,
        /// The leg of the other call is then offered anew what this one chose.
        refreshes: bool,
    },
}

/// A transfer that is not over.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Transfer {
    /// The attempt that asked for it.
    pub(crate) by: LegId,
    /// Its REFER.
    pub(crate) refer: RequestId,
    /// Its peer.
    pub(crate) kept: LegId,
    /// The last status it was told.
    pub(crate) told: u16,
}

/// How the call goes on after something happened to its tail.
pub(crate) enum Next {
    /// As it was.
    Same,
    /// It ends.
    End(End),
}

impl Tail {
    /// Something happened to a leg on the wire, other than an exchange of offers.
    pub(crate) fn on_leg(&mut self, ctx: &mut Context, leg: LegId, event: SessionEvent) -> Next {
        let ended = matches!(
            event,
            SessionEvent::Ended { .. } | SessionEvent::Failed { .. }
        );
        match self {
            Self::Called { dialing, .. } if dialing.owns(leg) => {
                let step = dialing.on_event(ctx, Event::Leg { leg, event });
                self.follow(ctx, step)
            }
            Self::Called {
                transfer: Some(transfer),
                ..
            } if ended && leg == transfer.by => {
                // The transferor leaves before the end; whom it had is kept.
                ctx.attempt_gone(leg, None);
                ctx.end_leg_of(leg, party_end(leg));
                Next::Same
            }
            _ if ended => {
                ctx.attempt_gone(leg, None);
                Next::End(party_end(leg))
            }
            _ => Next::Same,
        }
    }

    /// Anything else happened that a Dial may wait for.
    pub(crate) fn on_event(&mut self, ctx: &mut Context, event: Event) -> Next {
        match (&mut *self, event) {
            (Self::Called { dialing, .. }, event) => {
                let step = dialing.on_event(ctx, event);
                self.follow(ctx, step)
            }
            (
                Self::Linked {
                    answering,
                    own,
                    other,
                    refreshes,
                },
                Event::Media { leg, heard },
            ) if *answering && leg == *own => match heard {
                Heard::Answered(sdp) => {
                    *answering = false;
                    ctx.answer_a(sdp);
                    if *refreshes {
                        ctx.say(*other, crate::link::LinkMessage::Refresh);
                    }
                    Next::Same
                }
                Heard::Refused(status) => Next::End(End::with_status(
                    Cause::NetworkError,
                    HangupSource::Error,
                    status,
                )),
                _ => Next::Same,
            },
            (Self::Pair | Self::Linked { .. }, Event::Deadline) => {
                Next::End(End::new(Cause::ScheduledHangup, HangupSource::Platform))
            }
            _ => Next::Same,
        }
    }

    /// Tells the other call, and the transferor, that this one ends.
    pub(crate) fn stop(&mut self, ctx: &mut Context, end: End) {
        match self {
            Self::Pair => {}
            Self::Called { dialing, transfer } => {
                if let Some(transfer) = transfer.take() {
                    ctx.notify(&transfer, end.refusal());
                }
                dialing.stop(ctx, end);
            }
            Self::Linked { other, .. } => ctx.say(*other, crate::link::LinkMessage::Gone),
        }
        ctx.end_all(end);
    }

    /// Goes on as the Dial for the target says.
    fn follow(&mut self, ctx: &mut Context, step: Step) -> Next {
        let Self::Called { dialing, transfer } = self else {
            return Next::Same;
        };
        let end = match step {
            Step::Continue => {
                if let Some(going) = transfer {
                    if dialing.is_bridged() {
                        let over = *going;
                        *transfer = None;
                        moving::succeeded(ctx, &over);
                    } else if dialing.has_rung() {
                        moving::rings(ctx, going);
                    }
                }
                return Next::Same;
            }
            Step::End(end) => end,
            Step::Done | Step::Replace(_) => ctx
                .last_dial
                .unwrap_or(End::new(Cause::NormalHangup, HangupSource::Platform)),
        };
        match transfer.take() {
            None => Next::End(end),
            Some(failed) => {
                ctx.notify(&failed, end.refusal());
                if !ctx.is_up(failed.by) {
                    // There is nobody to go back to.
                    return Next::End(end);
                }
                ctx.connect(failed.kept, crate::bridge::Party::Leg(failed.by));
                *self = Self::Pair;
                Next::Same
            }
        }
    }
}

/// Whoever sits at a leg hung up.
pub(crate) fn party_end(leg: LegId) -> End {
    let party = if leg == LegId::A {
        HangupSource::Caller
    } else {
        HangupSource::Callee
    };
    End::new(Cause::NormalHangup, party)
}
