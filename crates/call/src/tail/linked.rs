//! A leg of this call is to talk with one of another: who asks, and who is asked. RFC 3891 §3.

use sip::{SessionId, Status};

use super::{Tail, party_end};
use crate::bridge::Party;
use crate::context::Context;
use crate::leg::{Described, End, LegId, Wire};
use crate::link::LinkMessage;
use crate::script::Reading;

impl Tail {
    /// The caller takes the place of another call's leg, whose peer is given.
    pub(crate) fn taken(ctx: &mut Context, other: SessionId, up: bool) -> Self {
        let own = LegId::A;
        ctx.handed_over = true;
        ctx.relay_once(own, Party::Other(other));
        ctx.connect(own, Party::Other(other));
        ctx.make_answer(own, Some(Party::Other(other)));
        Self::Linked {
            own,
            other,
            answering: true,
            refreshes: up,
        }
    }

    /// Another call's leg wants the place of one of ours; gives what this call goes on as, or why not.
    pub(crate) fn give(
        ctx: &mut Context,
        reading: &mut Reading,
        replaced: LegId,
        other: SessionId,
    ) -> Result<Self, Status> {
        if let Some(own) = ctx.own_peer_of(replaced) {
            if !ctx.is_up(own) || ctx.is_held() {
                return Err(Status::REQUEST_PENDING);
            }
            reading.hand_over(ctx);
            ctx.disconnect();
            ctx.end_leg_of(replaced, party_end(replaced));
            return Ok(Self::link(ctx, own, other, false));
        }
        // RFC 3891 §3: an early dialog that we began, which is a phone that rings: the call is picked up.
        if !reading.rings(replaced) {
            return Err(Status::CALL_DOES_NOT_EXIST);
        }
        let own = LegId::A;
        let answering = match ctx.wire(own) {
            Wire::Up => false,
            Wire::Incoming if ctx.described(own) == Described::Yes => true,
            _ => return Err(Status::NOT_ACCEPTABLE_HERE),
        };
        reading.give_up_ringing(ctx);
        ctx.disconnect();
        if answering {
            ctx.make_answer(own, Some(Party::Other(other)));
        }
        Ok(Self::link(ctx, own, other, answering))
    }

    fn link(ctx: &mut Context, own: LegId, other: SessionId, answering: bool) -> Self {
        ctx.linking = Some(own);
        ctx.join_other(own, other);
        let session = ctx.session(own);
        let (peer, up) = (session, !answering);
        ctx.say(other, LinkMessage::Granted { peer, up });
        Self::Linked {
            own,
            other,
            answering,
            refreshes: false,
        }
    }

    /// The leg of the other call wants ours to follow it, or is over.
    pub(crate) fn on_link(
        &mut self,
        ctx: &mut Context,
        from: SessionId,
        message: LinkMessage,
    ) -> Option<End> {
        let Self::Linked { own, other, .. } = self else {
            return None;
        };
        if *other != from {
            return None;
        }
        match message {
            LinkMessage::Refresh => ctx.refresh(*own),
            // Whoever sits at the other end hung up.
            LinkMessage::Gone | LinkMessage::Refused(_) => {
                let far = if *own == LegId::A { LegId(1) } else { LegId::A };
                return Some(party_end(far));
            }
            LinkMessage::Ask | LinkMessage::Granted { .. } => {}
        }
        None
    }
}
