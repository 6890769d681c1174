//! A REFER from its arrival to the call of its target or to the dialog that it names: RFC 3515 §2.4, RFC 3891 §4, RFC 5589.

use sip::{InDialog, Refer, RequestId, Status};

use super::{Tail, Transfer, party_end};
use crate::about::{FetchFailure, FetchId, Occasion, TransferAsked};
use crate::bridge::Party;
use crate::call::Output;
use crate::context::Context;
use crate::leg::LegId;
use crate::link::LinkMessage;
use crate::verb::{Dial, Dialing, Document, Link, Referred, Target, TargetKind, Verb};

/// A transfer that is not carried out yet; the script goes on beside it.
#[derive(Debug)]
pub(crate) struct Moving {
    transfer: Transfer,
    refer: Box<Refer>,
    step: Asked,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Asked {
    /// The application, whether it may be.
    Application(FetchId),
    /// The stack, which session the Replaces means.
    Stack,
    /// The other call, for the peer of that session.
    Call,
}

/// What becomes of a REFER next.
#[derive(Debug)]
pub(crate) enum Course {
    /// It waits.
    Wait(Moving),
    /// The target is called.
    Call(Transfer, Dial),
    /// It is over; nothing changes.
    Over,
}

impl Moving {
    /// Takes a REFER of a leg whose peer is known; answers it.
    pub(crate) fn begin(
        ctx: &mut Context,
        by: LegId,
        kept: LegId,
        request: RequestId,
        refer: Box<Refer>,
    ) -> Course {
        ctx.respond(by, request, Status::ACCEPTED);
        let transfer = Transfer {
            by,
            refer: request,
            kept,
            told: 100,
        };
        let moving = Self {
            transfer,
            refer,
            step: Asked::Stack,
        };
        let Some(link) = ctx.transfer.clone() else {
            return moving.allowed(ctx, None);
        };
        match ctx.fetch_document(link, Occasion::Transfer(moving.asked(ctx))) {
            Some(fetch) => Course::Wait(Self {
                step: Asked::Application(fetch),
                ..moving
            }),
            None => moving.refused(ctx, Status::DECLINE),
        }
    }

    fn asked(&self, ctx: &Context) -> TransferAsked {
        TransferAsked {
            by: ctx.uuid_of(self.transfer.by),
            kept: ctx.uuid_of(self.transfer.kept),
            to: self.refer.to.uri.to_string(),
            attended: self.refer.to.replaces.is_some(),
        }
    }

    /// Tells whether the application was asked this.
    pub(crate) fn asks(&self, fetch: FetchId) -> bool {
        self.step == Asked::Application(fetch)
    }

    /// The application answered: an empty document lets it be, a Hangup refuses, a Dial names another target.
    pub(crate) fn answered(
        self,
        ctx: &mut Context,
        outcome: Result<Document, FetchFailure>,
    ) -> Course {
        match outcome.map(|document| document.verbs.into_iter().next()) {
            Ok(None) => self.allowed(ctx, None),
            Ok(Some(Verb::Dial(dial))) => self.allowed(ctx, Some(dial)),
            // Undocumented; chosen: an application that wants to be asked and cannot be lets nothing pass.
            Ok(Some(Verb::Hangup(_) | Verb::Redirect(_))) | Err(_) => {
                self.refused(ctx, Status::DECLINE)
            }
        }
    }

    fn allowed(mut self, ctx: &mut Context, instead: Option<Dial>) -> Course {
        if !ctx.is_up(self.transfer.kept) {
            return self.refused(ctx, Status::CALL_DOES_NOT_EXIST);
        }
        if let (None, Some(replaces)) = (&instead, self.refer.to.replaces.take()) {
            let session = ctx.session(self.transfer.by);
            let request = self.transfer.refer;
            ctx.outputs.push_back(Output::Sip(sip::Command::Find {
                session,
                request,
                replaces,
            }));
            self.step = Asked::Stack;
            return Course::Wait(self);
        }
        let kept = ctx.shown(self.transfer.kept);
        let referred = Referred {
            uri: self.refer.to.uri.to_string(),
            by: ctx.endpoint_of(self.transfer.by),
        };
        let dial = match instead {
            Some(dial) => Dial {
                direct: true,
                ..dial
            },
            None => dial_of(ctx, TargetKind::Referred(referred)),
        };
        // Who is called sees who will talk, not who was called first.
        let dial = Dial {
            caller_id: dial.caller_id.or(kept),
            ..dial
        };
        Course::Call(self.transfer, dial)
    }

    /// The stack found the session that Replaces means, or did not.
    pub(crate) fn found(
        mut self,
        ctx: &mut Context,
        request: RequestId,
        replaced: Option<sip::Replaced>,
    ) -> Course {
        if request != self.transfer.refer || self.step != Asked::Stack {
            return Course::Wait(self);
        }
        let Some(replaced) = replaced.filter(|found| !ctx.is_own(found.session)) else {
            return self.refused(ctx, Status::CALL_DOES_NOT_EXIST);
        };
        self.step = Asked::Call;
        ctx.linking = Some(self.transfer.kept);
        ctx.say(replaced.session, LinkMessage::Ask);
        Course::Wait(self)
    }

    /// The other call gives its leg.
    pub(crate) fn granted(self, ctx: &mut Context, other: sip::SessionId) -> Tail {
        let own = self.transfer.kept;
        ctx.disconnect();
        ctx.relay_once(own, Party::Other(other));
        ctx.connect(own, Party::Other(other));
        succeeded(ctx, &self.transfer);
        ctx.refresh_both(own);
        Tail::Linked {
            own,
            other,
            answering: false,
            refreshes: false,
        }
    }

    /// Tells the transferor that nothing comes of it.
    pub(crate) fn refused(self, ctx: &mut Context, status: Status) -> Course {
        ctx.notify(&self.transfer, status);
        Course::Over
    }

    /// The transferor or its peer left: nobody waits any more.
    pub(crate) fn concerns(&self, leg: LegId) -> bool {
        self.transfer.by == leg || self.transfer.kept == leg
    }

    /// Whether this leg asked for it.
    pub(crate) fn is_by(&self, leg: LegId) -> bool {
        self.transfer.by == leg
    }

    /// Whether the other call was asked.
    pub(crate) fn asks_call(&self) -> bool {
        self.step == Asked::Call
    }
}

/// Calls the target for the leg that is kept.
pub(crate) fn call(ctx: &mut Context, transfer: Transfer, dial: Dial) -> Option<Tail> {
    match Dialing::start(dial, ctx, transfer.kept) {
        Ok(dialing) => Some(Tail::Called {
            dialing: Box::new(dialing),
            transfer: Some(transfer),
        }),
        Err(_) => {
            ctx.notify(&transfer, Status::DECLINE);
            None
        }
    }
}

/// The target talks with the leg that is kept: the transferor hears of it and is let go.
pub(super) fn succeeded(ctx: &mut Context, transfer: &Transfer) {
    ctx.notify(transfer, Status::OK);
    ctx.end_leg_of(transfer.by, party_end(transfer.by));
}

/// The target rings.
pub(super) fn rings(ctx: &mut Context, transfer: &mut Transfer) {
    if transfer.told < 180 {
        transfer.told = 180;
        ctx.notify(transfer, Status::RINGING);
    }
}

fn dial_of(ctx: &Context, kind: TargetKind) -> Dial {
    let target = Target {
        kind,
        caller_id: None,
        caller_name: None,
        sip_headers: Vec::new(),
    };
    Dial {
        targets: vec![target],
        timeout: ctx.patience.ring,
        time_limit: ctx.patience.talk,
        caller_id: None,
        caller_name: None,
        action: None,
        redirect: false,
        callback: None,
        sip_headers: Vec::new(),
        early_media: false,
        direct: true,
    }
}

impl Context {
    /// Answers a request inside a leg's dialog.
    pub(crate) fn respond(&mut self, id: LegId, request: RequestId, status: Status) {
        let command = sip::Command::RespondInDialog {
            session: self.session(id),
            request,
            status,
            sdp: None,
            headers: Vec::new(),
        };
        self.outputs.push_back(Output::Sip(command));
    }

    /// Tells a transferor that is still there how far it has come (RFC 3515 §2.4.5).
    pub(crate) fn notify(&mut self, transfer: &Transfer, status: Status) {
        if self.is_up(transfer.by) {
            let command = sip::Command::Notify {
                session: self.session(transfer.by),
                refer: transfer.refer,
                status,
                reason: None,
            };
            self.outputs.push_back(Output::Sip(command));
        }
    }

    /// The transfer URL of the application.
    pub(crate) fn set_transfer(&mut self, link: Option<Link>) {
        self.transfer = link;
    }
}

/// Whether a request inside a dialog is a transfer.
pub(crate) fn refer_of(wants: InDialog) -> Result<Box<Refer>, InDialog> {
    match wants {
        InDialog::Refer(refer) => Ok(refer),
        other => Err(other),
    }
}
